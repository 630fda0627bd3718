//! What a card's PCI configuration space says of how it moves data: payload and read request sizes, address
//! translation (PCI Express Base Specification 5.0, sections 7.5.3 and 10.5.1). Without privileges the kernel shows
//! only the first 64 bytes, and nothing is said.

/// Facts by name.
pub(super) fn details(config: &[u8]) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    if let Some(express) = capability(config, EXPRESS) {
        let size = |code: u16| (code < 6).then(|| (128u32 << code).to_string());
        let capable = word(config, express + 4).and_then(|bits| size(bits & 7));
        let control = word(config, express + 8);
        let payload = control.and_then(|bits| size(bits >> 5 & 7));
        let request = control.and_then(|bits| size(bits >> 12 & 7));
        for (name, value) in [
            ("pcie_max_payload", payload),
            ("pcie_max_payload_capable", capable),
            ("pcie_max_read_request", request),
        ] {
            facts.extend(value.map(|value| (name.to_owned(), value)));
        }
    }
    if let Some(bits) = extended(config, TRANSLATION).and_then(|at| word(config, at + 6)) {
        let state = if bits >> 15 == 1 { "on" } else { "off" };
        facts.push(("pcie_ats".to_owned(), state.to_owned()));
    }
    facts
}

/// Capability of PCI Express.
const EXPRESS: u8 = 0x10;
/// Extended capability of address translation services.
const TRANSLATION: u16 = 0x000f;
/// Extended capabilities begin here.
const EXTENDED: usize = 0x100;
/// More capabilities than fit: a list that goes in circles ends.
const MOST: usize = 48;

fn word(config: &[u8], at: usize) -> Option<u16> {
    let bytes = config.get(at..at + 2)?;
    Some(u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn capability(config: &[u8], wanted: u8) -> Option<usize> {
    let mut at = usize::from(config.get(0x34)? & 0xfc);
    for _ in 0..MOST {
        if at < 0x40 {
            return None;
        }
        if *config.get(at)? == wanted {
            return Some(at);
        }
        at = usize::from(config.get(at + 1)? & 0xfc);
    }
    None
}

fn extended(config: &[u8], wanted: u16) -> Option<usize> {
    let mut at = EXTENDED;
    for _ in 0..MOST {
        let (id, next) = (word(config, at)?, word(config, at + 2)? >> 4);
        if id == wanted {
            return Some(at);
        }
        at = usize::from(next);
        if at < EXTENDED {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_translation_are_found_along_the_lists() {
        let mut config = vec![0u8; 4096];
        config[0x34] = 0x40;
        config[0x40..0x42].copy_from_slice(&[0x01, 0x60]);
        config[0x60..0x62].copy_from_slice(&[0x10, 0x00]);
        config[0x64] = 0x02;
        // 256 bytes of payload, requests of 4096.
        config[0x68..0x6a].copy_from_slice(&(1u16 << 5 | 5 << 12).to_le_bytes());
        config[0x100..0x104].copy_from_slice(&[0x01, 0x00, 0x01, 0x15]);
        config[0x150..0x154].copy_from_slice(&[0x0f, 0x00, 0x01, 0x00]);
        config[0x156..0x158].copy_from_slice(&[0x00, 0x80]);
        let found = details(&config);
        let expected = [
            ("pcie_max_payload", "256"),
            ("pcie_max_payload_capable", "512"),
            ("pcie_max_read_request", "4096"),
            ("pcie_ats", "on"),
        ];
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn short_and_circular_spaces_end() {
        assert!(details(&[0; 64]).is_empty());
        assert!(details(&[0xff; 4096]).is_empty());
        let mut circle = vec![0u8; 256];
        circle[0x34] = 0x40;
        circle[0x41] = 0x40;
        assert!(details(&circle).is_empty());
    }
}
