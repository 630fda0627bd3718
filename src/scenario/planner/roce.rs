//! `[roce-user]`: ranges, and the resolved options.

use crate::scenario::plan::roce::{Receiver, RoceOptions};
use crate::scenario::plan::{FabricKind, TransportKind};
use crate::scenario::section::Scenario;
use crate::scenario::section::roce::RoceUser;
use crate::scenario::units::Bytes;

use super::findings::Findings;

/// Smallest and largest window.
const WINDOW: (Bytes, Bytes) = (Bytes(4 << 10), Bytes(64 << 20));

impl Default for RoceOptions {
    fn default() -> Self {
        resolve(&RoceUser::default())
    }
}

/// Checks the section.
pub fn check(scenario: &Scenario, findings: &mut Findings<'_>) {
    let roce = &scenario.roce_user;
    let used = scenario.testbed.transport == TransportKind::RoceUser;
    if !used && (!roce.is_default() || findings.written("roce-user")) {
        let help = "`[roce-user]` needs transport = \"roce-user\" in `[testbed]`";
        findings.unwanted("roce-user", "`[roce-user]` is not used by this transport", help);
    }
    let (least, most) = WINDOW;
    if !(least..=most).contains(&roce.window) {
        findings.wrong(
            "roce-user.window",
            format!("a window of {}; {least} to {most} are possible", roce.window),
        );
    }
    if roce.cnp_dscp > 63 {
        findings.wrong(
            "roce-user.cnp_dscp",
            format!("a cnp_dscp of {}; 0 to 63 are possible", roce.cnp_dscp),
        );
    }
    if roce.receiver == Receiver::Raw && scenario.testbed.fabric == FabricKind::Host {
        findings.caution(
            "roce-user.receiver = \"raw\": needs CAP_NET_RAW and cannot be had on the loopback interface"
                .into(),
        );
    }
    if roce.capture.as_deref() == Some("") {
        let wrong = findings.wrong("roce-user.capture", "no folder");
        wrong
            .help
            .push("capture = \"captures\": one file for each rank is put there".into());
    }
}

/// The checked options.
pub fn resolve(roce: &RoceUser) -> RoceOptions {
    RoceOptions {
        receiver: roce.receiver,
        window: roce.window,
        congestion_control: roce.congestion_control,
        line_rate: roce.line_rate,
        // In range, as checked; out of range nothing is played.
        cnp_dscp: u8::try_from(roce.cnp_dscp).unwrap_or(0),
        loss: roce.loss,
        segmentation: roce.segmentation,
        capture: roce.capture.clone(),
    }
}
