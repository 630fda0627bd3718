//! Whether the scenario's congestion control can be had, before anything is started.

use std::io;

use socket2::{Domain, Protocol, Socket, Type};

use crate::scenario::plan::{FabricKind, Plan};

/// The kernel has no such algorithm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tcp.congestion_control: this kernel has no `{name}`\nhelp: it has {available}")]
pub struct UnknownControl {
    name: String,
    available: String,
}

/// Checks the plan's congestion control. On the host's own network an unprivileged user may be refused
/// an algorithm that exists: the kernel's default takes its place then, and a caution says so.
pub fn settle(plan: &mut Plan) -> Result<(), UnknownControl> {
    let wanted = plan.testbed.tcp.congestion_control.clone();
    let Ok(socket) = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)) else {
        return Ok(());
    };
    match socket.set_tcp_congestion(wanted.as_bytes()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let available = parameter("tcp_available_congestion_control");
            Err(UnknownControl {
                name: wanted,
                available,
            })
        }
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied && plan.testbed.fabric == FabricKind::Host => {
            let default = parameter("tcp_congestion_control");
            plan.cautions.push(format!(
                "this user may not choose congestion control `{wanted}` (allowed: {}); the kernel's default \
                 `{default}` is used",
                parameter("tcp_allowed_congestion_control")
            ));
            plan.testbed.tcp.congestion_control = default;
            Ok(())
        }
        _ => Ok(()),
    }
}

fn parameter(name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap_or_default();
    text.trim().to_owned()
}
