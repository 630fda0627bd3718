//! NETCONF frames (RFC 6242: end-of-message marks, then chunks once both sides offer base:1.1) and the
//! XML of its messages (RFC 6241).

use super::{MOST_BYTES, Malformed};

/// Namespace of NETCONF's own elements.
pub const BASE: &str = "urn:ietf:params:xml:ns:netconf:base:1.0";
/// Capability of chunked frames.
pub const BASE_1_1: &str = "urn:ietf:params:netconf:base:1.1";
/// Capability of every session.
pub const BASE_1_0: &str = "urn:ietf:params:netconf:base:1.0";
const MARK: &[u8] = b"]]>]]>";

/// How messages are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// By a mark at the end.
    #[default]
    Mark,
    /// By lengths.
    Chunks,
}

/// A message on the wire.
pub fn frame(framing: Framing, message: &str) -> Vec<u8> {
    match framing {
        Framing::Mark => [message.as_bytes(), MARK].concat(),
        Framing::Chunks => format!("\n#{}\n{message}\n##\n", message.len()).into_bytes(),
    }
}

/// The first message and how many bytes it took; `None`: not all of it is there.
pub fn unframe(framing: Framing, bytes: &[u8]) -> Result<Option<(String, usize)>, Malformed> {
    if bytes.len() > 2 * MOST_BYTES {
        return Err(Malformed("a message of NETCONF that does not end".into()));
    }
    let found = match framing {
        Framing::Mark => bytes
            .windows(MARK.len())
            .position(|six| six == MARK)
            .map(|end| (bytes[..end].to_vec(), end + MARK.len())),
        Framing::Chunks => chunks(bytes)?,
    };
    match found {
        None => Ok(None),
        Some((message, length)) => {
            let text = String::from_utf8(message).map_err(|_| Malformed("XML that is not UTF-8".into()))?;
            Ok(Some((text, length)))
        }
    }
}

fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Malformed> {
    let bad = || Malformed("a chunk of NETCONF that makes no sense".into());
    let (mut message, mut at) = (Vec::new(), 0);
    loop {
        let rest = &bytes[at..];
        let head = rest.get(..2).unwrap_or(rest);
        if !b"\n#".starts_with(head) {
            return Err(bad());
        }
        let Some(end) = rest.iter().skip(2).position(|&byte| byte == b'\n') else {
            return if rest.len() > 16 { Err(bad()) } else { Ok(None) };
        };
        let size = String::from_utf8_lossy(&rest[2..2 + end]).into_owned();
        at += end + 3;
        if size == "#" {
            return Ok(Some((message, at)));
        }
        let size: usize = size
            .parse()
            .ok()
            .filter(|size| (1..=MOST_BYTES).contains(size))
            .ok_or_else(bad)?;
        if message.len() + size > MOST_BYTES {
            return Err(bad());
        }
        let Some(chunk) = bytes.get(at..at + size) else {
            return Ok(None);
        };
        message.extend_from_slice(chunk);
        at += size;
    }
}

/// The greeting of a side with these capabilities.
pub fn hello(capabilities: &[&str], session: Option<u32>) -> String {
    let list: String = capabilities
        .iter()
        .map(|name| format!("<capability>{}</capability>", escaped(name)))
        .collect();
    let session = session.map_or(String::new(), |id| format!("<session-id>{id}</session-id>"));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><hello xmlns=\"{BASE}\"><capabilities>{list}</capabilities>{session}</hello>"
    )
}

/// A request with its number.
pub fn rpc(number: u64, inside: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><rpc xmlns=\"{BASE}\" message-id=\"{number}\">{inside}</rpc>"
    )
}

/// Text as it may stand in XML.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_both_kinds_come_back() {
        for framing in [Framing::Mark, Framing::Chunks] {
            let mut bytes = frame(framing, "<a>é</a>");
            let length = bytes.len();
            for cut in 0..length {
                assert_eq!(
                    unframe(framing, &bytes[..cut]).unwrap(),
                    None,
                    "{framing:?} {cut}"
                );
            }
            bytes.extend(b"rest");
            assert_eq!(
                unframe(framing, &bytes).unwrap(),
                Some(("<a>é</a>".into(), length))
            );
        }
        let two = b"\n#2\n<a\n#2\n/>\n##\n";
        assert_eq!(
            unframe(Framing::Chunks, two).unwrap(),
            Some(("<a/>".into(), two.len()))
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for bytes in [
            &b"x"[..],
            b"\n#0\n",
            b"\n#-1\n",
            b"\n#99999999999\n",
            b"\n#aaaaaaaaaaaaaaaaaaaa",
            b"\n#2\nab##",
        ] {
            assert!(unframe(Framing::Chunks, bytes).is_err(), "{bytes:?}");
        }
        assert!(unframe(Framing::Mark, &vec![0; 2 * MOST_BYTES + 1]).is_err());
        assert!(unframe(Framing::Mark, b"\xff]]>]]>").is_err());
    }
}
