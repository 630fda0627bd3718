//! What a pluggable module or cable tells of itself: maker, part, serial number, length, temperature. Layouts:
//! SFF-8472 (SFP), SFF-8636 (QSFP), CMIS 5 (QSFP-DD, OSFP), all of which keep text in fixed places.

use std::ops::Range;

/// Where a kind of module keeps what; places in its lower memory followed by upper page 00h.
struct Layout {
    kind: &'static str,
    maker: Range<usize>,
    part: Range<usize>,
    revision: Range<usize>,
    serial: Range<usize>,
    date: Range<usize>,
    length: usize,
    /// The temperature, 1/256 degree Celsius.
    temperature: usize,
}

const SFP: Layout = Layout {
    kind: "SFP (SFF-8472)",
    maker: 20..36,
    part: 40..56,
    revision: 56..60,
    serial: 68..84,
    date: 84..92,
    length: 18,
    // In the second of its memories, which follows the first.
    temperature: 256 + 96,
};

const QSFP: Layout = Layout {
    kind: "QSFP (SFF-8636)",
    maker: 148..164,
    part: 168..184,
    revision: 184..186,
    serial: 196..212,
    date: 212..220,
    length: 146,
    temperature: 22,
};

const CMIS: Layout = Layout {
    kind: "CMIS",
    maker: 129..145,
    part: 148..164,
    revision: 164..166,
    serial: 166..182,
    date: 182..190,
    length: 202,
    temperature: 14,
};

/// Facts of a module by name, from its memory; empty if it is of no known kind.
pub(super) fn details(memory: &[u8]) -> Vec<(String, String)> {
    // SFF-8024, table 4-1: identifiers.
    let layout = match memory.first() {
        Some(0x03 | 0x0b) => SFP,
        Some(0x0c | 0x0d | 0x11) => QSFP,
        Some(0x18 | 0x19 | 0x1e | 0x1f) => CMIS,
        _ => return Vec::new(),
    };
    let words = [
        ("module_maker", text(memory, &layout.maker)),
        ("module_part", text(memory, &layout.part)),
        ("module_revision", text(memory, &layout.revision)),
        ("module_serial", text(memory, &layout.serial)),
        ("module_date", text(memory, &layout.date)),
        ("module_length", length(memory, &layout)),
        ("module_temperature", temperature(memory, layout.temperature)),
    ];
    let known = words
        .into_iter()
        .filter_map(|(name, word)| Some((name.to_owned(), word?)));
    std::iter::once(("module".to_owned(), layout.kind.to_owned()))
        .chain(known)
        .collect()
}

fn text(memory: &[u8], place: &Range<usize>) -> Option<String> {
    let text: String = memory
        .get(place.clone())?
        .iter()
        .map(|byte| char::from(*byte))
        .filter(|letter| letter.is_ascii_graphic() || *letter == ' ')
        .collect();
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Of copper and active cables; 0 says nothing.
fn length(memory: &[u8], layout: &Layout) -> Option<String> {
    let byte = *memory.get(layout.length)?;
    let metres = match layout.kind {
        // Two bits of scale above six of value.
        "CMIS" => f64::from(byte & 0x3f) * [0.1, 1.0, 10.0, 100.0][usize::from(byte >> 6)],
        _ => f64::from(byte),
    };
    (metres > 0.0).then(|| format!("{metres} m"))
}

fn temperature(memory: &[u8], place: usize) -> Option<String> {
    let bytes = memory.get(place..place + 2)?;
    let value = i16::from_be_bytes([bytes[0], bytes[1]]);
    // Modules without a thermometer say 0.
    (value != 0).then(|| format!("{:.1} C", f64::from(value) / 256.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(layout: &Layout, identifier: u8) -> Vec<u8> {
        let mut memory = vec![0u8; 512];
        memory[0] = identifier;
        let mut put = |place: &Range<usize>, text: &str| {
            memory[place.clone()].fill(b' ');
            memory[place.start..place.start + text.len()].copy_from_slice(text.as_bytes());
        };
        put(&layout.maker, "ACME");
        put(&layout.part, "CAB-400G-1");
        put(&layout.serial, "S1");
        memory[layout.length] = 0x43;
        memory[layout.temperature..layout.temperature + 2].copy_from_slice(&[38, 128]);
        memory
    }

    #[test]
    fn each_kind_of_module_is_read_where_it_keeps_things() {
        for (layout, identifier, length) in [(SFP, 0x03, "67 m"), (QSFP, 0x11, "67 m"), (CMIS, 0x19, "3 m")] {
            let found = details(&memory(&layout, identifier));
            let fact = |name: &str| {
                found
                    .iter()
                    .find(|(own, _)| own == name)
                    .map(|(_, value)| value.as_str())
            };
            assert_eq!(fact("module"), Some(layout.kind));
            assert_eq!(fact("module_maker"), Some("ACME"));
            assert_eq!(fact("module_part"), Some("CAB-400G-1"));
            assert_eq!(fact("module_serial"), Some("S1"));
            assert_eq!(fact("module_length"), Some(length));
            assert_eq!(fact("module_temperature"), Some("38.5 C"));
            assert_eq!(fact("module_date"), None, "nothing is said of what is empty");
        }
    }

    #[test]
    fn what_is_no_module_or_ends_early_says_less_and_nothing_fails() {
        assert!(details(&[]).is_empty());
        assert!(details(&[0x42; 640]).is_empty());
        for end in 0..512 {
            details(&memory(&CMIS, 0x18)[..end]);
            details(&memory(&SFP, 0x03)[..end]);
        }
    }
}
