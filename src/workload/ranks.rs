//! Lists of ranks as people write them in JSON: numbers, and ranges as text, `[0, 3, "8-11"]`.

use std::ops::RangeInclusive;

use crate::document::{Diagnostic, Fields, Node, Reader, Value};

/// Takes the list under `key`, of ranks from 0 to `last`, each at most once; `None` if it is missing (which
/// is said) or wrong.
pub(super) fn take(reader: &mut Reader, fields: &mut Fields, key: &str, last: u32) -> Option<Vec<u32>> {
    if !fields.has(key) {
        reader.missing(fields, key, format!("for example \"{key}\": [0, 3, \"8-11\"]"));
        return None;
    }
    let (nodes, span) = reader.list(fields, key, "[0, 3, \"8-11\"]")?;
    let mut ranks = Vec::new();
    for node in &nodes {
        ranks.extend(range(reader, node, key, last)?);
        if ranks.len() > last as usize + 1 {
            // More than there are: some stand twice, which is said below.
            break;
        }
    }
    let mut sorted = ranks.clone();
    sorted.sort_unstable();
    let twice = sorted.windows(2).find(|pair| pair[0] == pair[1]);
    if let Some(pair) = twice {
        let message = format!("{} stands twice in `{key}`", pair[0]);
        reader.wrong(Diagnostic::new(message).at(span.clone(), ""));
    }
    if ranks.is_empty() {
        reader.wrong(Diagnostic::new(format!("`{key}` is empty")).at(span, ""));
    }
    Some(ranks)
}

fn range(reader: &mut Reader, node: &Node, key: &str, last: u32) -> Option<RangeInclusive<u32>> {
    let Value::Text(text) = &node.value else {
        let what = format!("an element of `{key}`");
        let rank = reader.whole_of(node, &what, 0..=u64::from(last))? as u32;
        return Some(rank..=rank);
    };
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|&rank| rank <= last);
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let found = number(from).zip(number(to)).filter(|(from, to)| from <= to);
    if found.is_none() {
        let message = format!("`{}` is no range of `{key}`", text.escape_debug());
        let help = format!("from low to high, within 0 to {last}: \"0-{last}\"");
        reader.wrong(Diagnostic::new(message).at(node.span.clone(), "").help(help));
    }
    found.map(|(from, to)| from..=to)
}
