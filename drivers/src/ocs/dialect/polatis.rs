//! How Polatis numbers ports: A ports 1 to N, B ports N+1 to N+M; and what its YANG models are made of, whether
//! they come as XML or as JSON.

use std::collections::BTreeSet;

use crate::ocs::error::OcsError;
use crate::ocs::model::{Circuit, Identity, Port, PortState, Size, Startup};
use crate::ocs::switch::{Settling, circuit};

/// The device's number of a port.
pub fn number(size: Size, port: Port) -> u32 {
    match port {
        Port::A(number) => number.into(),
        Port::B(number) => u32::from(size.a) + u32::from(number),
    }
}

/// The port that the device calls so.
pub fn port(size: Size, number: u32) -> Option<Port> {
    let a = u32::from(size.a);
    let port = match number <= a {
        true => Port::A(number as u16),
        false => Port::B(u16::try_from(number - a).ok()?),
    };
    size.has(port).then_some(port)
}

/// The circuit between two of the device's numbers.
pub fn pair(size: Size, ingress: u32, egress: u32) -> Option<Circuit> {
    circuit(size, ingress, egress.checked_sub(size.a.into())?)
}

/// The device's numbers of a circuit.
pub fn numbers(size: Size, circuit: Circuit) -> (u32, u32) {
    (circuit.a.into(), number(size, Port::B(circuit.b)))
}

/// `16x16` out of a product code like `I-OST-16x16-LU1-DMHNS`.
pub fn size_in(code: &str) -> Option<Size> {
    code.split('-').find_map(|part| part.parse().ok())
}

/// The size that a device's model names.
pub fn size_of(device: &Identity) -> Result<Size, OcsError> {
    let model = &device.model;
    size_in(model).ok_or_else(|| OcsError::malformed("product-information", format!("no size in `{model}`")))
}

/// What `product-information` says, by the text of its leaves.
pub fn identity(leaf: impl Fn(&str) -> String) -> Identity {
    Identity {
        vendor: leaf("manufacturer"),
        model: leaf("model-name"),
        serial: leaf("serial-number"),
        firmware: leaf("software-version"),
    }
}

/// How far circuits are, where a switch shows only those that have settled.
pub fn settling(now: &BTreeSet<Circuit>, circuits: &[Circuit]) -> Settling {
    Settling {
        pending: circuits.iter().any(|circuit| !now.contains(circuit)),
        failed: Vec::new(),
    }
}

/// A port's status.
pub fn port_state(word: &str) -> Option<PortState> {
    match word {
        "ENABLED" => Some(PortState::Enabled),
        "DISABLED" => Some(PortState::Blocked),
        "FAILED" => Some(PortState::Failed),
        _ => None,
    }
}

/// The word of a start-up mode.
pub fn startup_word(startup: Startup) -> &'static str {
    match startup {
        Startup::Volatile => "MODE_VOLATILE",
        Startup::Preserve => "MODE_PRESERVE",
    }
}

/// The start-up mode of a word, which may have its module before it.
pub fn startup(word: &str) -> Result<Startup, OcsError> {
    match bare(word) {
        "MODE_VOLATILE" => Ok(Startup::Volatile),
        "MODE_PRESERVE" => Ok(Startup::Preserve),
        _ => Err(OcsError::malformed("startup-mode", word)),
    }
}

/// A name without its module.
pub fn bare(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, bare)| bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn egress_ports_come_after_ingress_ports() {
        let size = Size { a: 16, b: 8 };
        assert_eq!(number(size, Port::B(1)), 17);
        for port_ in size.ports() {
            assert_eq!(port(size, number(size, port_)), Some(port_));
        }
        assert_eq!([port(size, 0), port(size, 25), port(size, u32::MAX)], [None; 3]);
        assert_eq!(pair(size, 1, 16), None);
        assert_eq!(
            size_in("N-VST-192x96-LU1-DMHNV-801"),
            Some(Size { a: 192, b: 96 })
        );
    }
}
