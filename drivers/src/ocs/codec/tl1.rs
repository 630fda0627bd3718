//! TL1 (Telcordia GR-831): commands `VERB-MOD:TID:AID:CTAG::...;` and their answers, which carry the
//! command's tag and may be interleaved with messages that nobody asked for.

use super::{MOST_BYTES, Malformed, line};

/// What came of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// Done.
    Completed,
    /// Refused.
    Denied,
    /// Done in part.
    Partial,
    /// Will be done later; another answer follows.
    Delayed,
}

/// A message of a switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Whose answer it is; `None`: nobody asked for it.
    pub tag: Option<String>,
    /// What came of the command.
    pub completion: Completion,
    /// Lines of its body: quoted ones without their quotes, then codes and comments as they are.
    pub lines: Vec<String>,
    /// Another message with the rest follows.
    pub more: bool,
}

impl Message {
    /// Its lines in one sentence, as a reason of a refusal.
    pub fn reason(&self) -> String {
        let words = |line: &String| {
            line.trim_start_matches("/*")
                .trim_end_matches("*/")
                .trim()
                .to_owned()
        };
        let words: Vec<String> = self.lines.iter().map(words).filter(|w| !w.is_empty()).collect();
        if words.is_empty() {
            "no reason given".into()
        } else {
            words.join(": ")
        }
    }
}

/// The first message in these bytes and how many bytes it took, whatever stands before it (echoes,
/// banners) included; `None`: it is not complete.
pub fn message(bytes: &[u8]) -> Result<Option<(Message, usize)>, Malformed> {
    let mut at = 0;
    let mut found: Option<Message> = None;
    while let Some((text, length)) = line_or_end(&bytes[at..]) {
        at += length;
        let text = String::from_utf8_lossy(text);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        match (&mut found, text) {
            (Some(message), ";" | ">") => {
                message.more = text == ">";
                return Ok(found.map(|message| (message, at)));
            }
            (Some(_), "") => {}
            (Some(message), _) => message.lines.push(unquoted(text)),
            (None, _) => found = head(text),
        }
    }
    if bytes.len() > MOST_BYTES {
        return Err(Malformed("a message of TL1 that does not end".into()));
    }
    Ok(None)
}

/// A line; the terminator counts as one though no line end follows it.
fn line_or_end(bytes: &[u8]) -> Option<(&[u8], usize)> {
    line(bytes).or_else(|| matches!(bytes, [b';' | b'>']).then_some((bytes, 1)))
}

/// The line that says what kind of message it is: `M  123 COMPLD`, `A  17 REPT ...`, `*C 18 REPT ...`.
fn head(text: &str) -> Option<Message> {
    let mut words = text.split_whitespace();
    let (kind, tag) = (words.next()?, words.next()?);
    let word = words.next()?;
    let (tag, completion) = match kind {
        "M" => (Some(tag.to_owned()), completion(word)?),
        "A" | "*C" | "**" | "*^" => (None, Completion::Completed),
        _ => return None,
    };
    Some(Message {
        tag,
        completion,
        lines: Vec::new(),
        more: false,
    })
}

fn completion(word: &str) -> Option<Completion> {
    match word {
        "COMPLD" | "RTRV" => Some(Completion::Completed),
        "DENY" => Some(Completion::Denied),
        "PRTL" => Some(Completion::Partial),
        "DELAY" => Some(Completion::Delayed),
        _ => None,
    }
}

fn unquoted(text: &str) -> String {
    let inside = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    inside.unwrap_or(text).to_owned()
}

/// A command in its parts; missing ones are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// `ENT-PATCH`, in upper case.
    pub verb: String,
    /// Target: name of the switch.
    pub target: String,
    /// What it is about.
    pub access: String,
    /// Tag that the answer repeats.
    pub tag: String,
    /// All that follows the general block, part by part.
    pub data: Vec<String>,
}

/// Reads one command without its `;`.
pub fn command(text: &str) -> Command {
    let mut parts = split_quoted(text.trim(), ':')
        .into_iter()
        .map(|part| part.trim().to_owned());
    let mut next = || parts.next().unwrap_or_default();
    let (verb, target, access, tag, _general) = (next(), next(), next(), next(), next());
    Command {
        verb: verb.to_ascii_uppercase(),
        target,
        access,
        tag,
        data: parts.collect(),
    }
}

/// The first command in these bytes and how many it took; `;` within quotes does not end it.
pub fn next_command(bytes: &[u8]) -> Option<(String, usize)> {
    let mut quoted = false;
    let end = bytes.iter().position(|&byte| {
        quoted ^= byte == b'"';
        byte == b';' && !quoted
    })?;
    let text = String::from_utf8_lossy(&bytes[..end]).trim().to_owned();
    Some((text, end + 1))
}

/// Splits at a separator that is not within quotes.
pub fn split_quoted(text: &str, separator: char) -> Vec<&str> {
    let mut quoted = false;
    text.split(|c: char| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
    .collect()
}

/// Numbers of `1&4&&7`: `&` joins, `&&` is a range.
pub fn read_list(text: &str) -> Result<Vec<u32>, Malformed> {
    let bad = || Malformed(format!("`{text}` is not a list of ports"));
    let number = |text: &str| text.trim().parse::<u32>().map_err(|_| bad());
    let mut numbers: Vec<u32> = Vec::new();
    let mut range = false;
    for part in text.split('&') {
        match (part.trim(), range) {
            ("", false) => range = true,
            ("", true) => return Err(bad()),
            (part, true) => {
                let first = *numbers.last().ok_or_else(bad)?;
                let last = number(part)?;
                if last < first || last - first > 4096 {
                    return Err(bad());
                }
                numbers.extend(first + 1..=last);
                range = false;
            }
            (part, false) => numbers.push(number(part)?),
        }
        if numbers.len() > 8192 {
            return Err(bad());
        }
    }
    if range || numbers.is_empty() {
        Err(bad())
    } else {
        Ok(numbers)
    }
}

/// `1&4&10`.
pub fn list(numbers: impl IntoIterator<Item = u32>) -> String {
    let numbers: Vec<String> = numbers.into_iter().map(|number| number.to_string()).collect();
    numbers.join("&")
}

/// The value of `KEY=value` in `A=1,KEY=value,C=3`.
pub fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut pairs = text.split([',', ':']).filter_map(|part| part.split_once('='));
    let found = pairs.find(|(name, _)| name.trim() == key);
    found.map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] =
        b"garbage\r\n\r\n\n   SW 26-11-22 10:00:00\r\nM  12 COMPLD\r\n   \"1,17\"\r\n   \"2,18;x\"\r\n;";

    #[test]
    fn an_answer_is_found_behind_garbage_and_not_before_it_is_whole() {
        let (found, length) = message(ANSWER).unwrap().unwrap();
        assert_eq!(length, ANSWER.len());
        assert_eq!(found.tag.as_deref(), Some("12"));
        assert_eq!(found.lines, ["1,17", "2,18;x"]);
        for cut in 0..ANSWER.len() {
            assert_eq!(message(&ANSWER[..cut]).unwrap(), None, "{cut}");
        }
    }

    #[test]
    fn denials_and_messages_that_nobody_asked_for() {
        let bytes = b"\r\n\n   SW 26-11-22 10:00:00\r\nA  17 REPT DBCHG\r\n   \"x\"\r\n;\r\nM  3 DENY\r\n   IDNV\r\n   /* Input, Data Not Valid */\r\n;";
        let (first, length) = message(bytes).unwrap().unwrap();
        assert_eq!(first.tag, None);
        let (second, _) = message(&bytes[length..]).unwrap().unwrap();
        assert_eq!(second.completion, Completion::Denied);
        assert_eq!(second.reason(), "IDNV: Input, Data Not Valid");
    }

    #[test]
    fn commands_and_lists() {
        let parts = command("ent-patch:\"a:b\":11,28:123::X:Y=1");
        assert_eq!(
            (parts.verb.as_str(), parts.access.as_str()),
            ("ENT-PATCH", "11,28")
        );
        assert_eq!((parts.target.as_str(), parts.tag.as_str()), ("\"a:b\"", "123"));
        assert_eq!(parts.data, ["X", "Y=1"]);
        assert_eq!(next_command(b"A:\";\":1;B").unwrap().1, 8);
        assert_eq!(read_list("1&4&&6&9").unwrap(), [1, 4, 5, 6, 9]);
        for text in ["", "&", "1&", "&&3", "1&&", "5&&3", "1&&99999999", "x", "1&&&2"] {
            assert!(read_list(text).is_err(), "{text}");
        }
        assert_eq!(field("A=1,SIZE=16x16", "SIZE"), Some("16x16"));
    }

    #[test]
    fn an_endless_message_is_given_up() {
        let mut bytes = b"M  1 COMPLD\r\n".to_vec();
        bytes.resize(MOST_BYTES + 100, b'x');
        assert!(message(&bytes).is_err());
    }
}
