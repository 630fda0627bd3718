//! The tables of SONiC-OCS, by whatever way they came: circuits, ports and their states. Names of tables and fields
//! differ between its design document and its images: both forms are read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::ocs::error::OcsError;
use crate::ocs::model::{Circuit, Port, PortInfo, PortState, Size};
use crate::ocs::switch::Settling;

/// Rows of a table: fields by key.
pub type Rows = BTreeMap<String, Map<String, Value>>;

/// CONFIG_DB: circuits that are wanted, and ports.
pub const CIRCUITS: &str = "OCS_CROSS_CONNECT";
/// See [`CIRCUITS`].
pub const PORTS: &str = "OCS_PORT";
/// STATE_DB: how far circuits and ports are.
pub const CIRCUIT_STATES: [&str; 2] = [CIRCUITS, "OCS_CROSS_CONNECT_TABLE"];
/// See [`CIRCUIT_STATES`].
pub const PORT_STATES: [&str; 2] = [PORTS, "OCS_PORT_TABLE"];

/// The field of a port's state: the first in the design document, the second in images.
const STATES: [&str; 2] = ["state", "config_status"];

fn port_rows(rows: &Rows) -> impl Iterator<Item = (Port, &Map<String, Value>)> {
    rows.iter()
        .filter_map(|(name, fields)| Some((name.parse().ok()?, fields)))
}

/// How many ports the rows of [`PORTS`] have.
pub fn size(rows: &Rows) -> Result<Size, OcsError> {
    let mut size = Size { a: 0, b: 0 };
    for (port, _) in port_rows(rows) {
        match port {
            Port::A(number) => size.a = size.a.max(number),
            Port::B(number) => size.b = size.b.max(number),
        }
    }
    match size.a.min(size.b) {
        0 => Err(OcsError::malformed(PORTS, "no ports: is this a SONiC-OCS?")),
        _ => Ok(size),
    }
}

/// The circuits of the rows of [`CIRCUITS`].
pub fn circuits(rows: &Rows) -> Result<BTreeSet<Circuit>, OcsError> {
    let circuit = |name: &String| {
        let circuit = name.parse();
        circuit.map_err(|_| OcsError::malformed(CIRCUITS, name.as_str()))
    };
    rows.keys().map(circuit).collect()
}

/// How far circuits are, by the rows of [`CIRCUIT_STATES`].
pub fn settling(rows: &Rows, circuits: &[Circuit]) -> Settling {
    let mut settling = Settling::default();
    for circuit in circuits {
        let row = rows.get(&circuit.to_string());
        let status = |side: &str| row.and_then(|row| row.get(side)?.as_str()).unwrap_or("tuning");
        match (status("a_side_status"), status("b_side_status")) {
            ("tuned", "tuned") => {}
            ("failed", _) | (_, "failed") => settling.failed.push(*circuit),
            ("blocked", _) | (_, "blocked") => {}
            _ => settling.pending = true,
        }
    }
    settling
}

/// All ports, by the rows of [`PORTS`] and [`PORT_STATES`].
pub fn ports(config: &Rows, states: &Rows) -> Vec<PortInfo> {
    let text = |row: Option<&Map<String, Value>>, key: &str| {
        row.and_then(|row| row.get(key)?.as_str()).map(str::to_owned)
    };
    let info = |(port, row): (Port, &Map<String, Value>)| {
        let word = STATES.iter().find_map(|field| text(Some(row), field));
        let failed = text(states.get(&port.to_string()), "status").as_deref() == Some("failed");
        let state = match word.as_deref() {
            _ if failed => PortState::Failed,
            Some("force_blocked") => PortState::Blocked,
            _ => PortState::Enabled,
        };
        PortInfo {
            state: Some(state),
            label: Some(text(Some(row), "label").unwrap_or_default()),
            ..PortInfo::unknown(port)
        }
    };
    let mut infos: Vec<PortInfo> = port_rows(config).map(info).collect();
    infos.sort_by_key(|info| info.port);
    infos
}

/// The field in which this switch keeps the state of its ports.
pub fn state_field(config: &Rows) -> &'static str {
    let used = |field: &&&str| config.values().any(|row| row.contains_key(**field));
    STATES.iter().find(used).unwrap_or(&STATES[0])
}

/// The word for a port that is, or is not, to be blocked.
pub fn state_word(blocked: bool) -> &'static str {
    if blocked { "force_blocked" } else { "normal" }
}

/// Refuses labels that the switch's own tools would trip over.
pub fn check_label(label: &str) -> Result<(), OcsError> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    match !label.is_empty() && label.chars().all(good) {
        true => Ok(()),
        false => Err(OcsError::refused(
            label,
            "a label here is made of letters, digits and - _ . / :",
        )),
    }
}
