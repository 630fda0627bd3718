//! ASTRA-sim's comm groups JSON: `{"1": [0, 2], "2": [1, 3]}`, who takes part in the collectives of
//! each group, and in which order of ranks.

use std::collections::{BTreeMap, HashSet};

use crate::document::{Diagnostic, Diagnostics, Entry, NoticeKind, Parsed, Reader, Value, json};

/// Communicators by id; id 0 stands for all NPUs and is not listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommGroups {
    /// Ranks of each group, in the order of its logical ring; ids are above 0.
    pub groups: BTreeMap<u32, Vec<u32>>,
}

impl CommGroups {
    /// Reads the text of a file that is called `name`, for a system of `npus` (if that is known).
    pub fn parse(name: &str, text: &str, npus: Option<u32>) -> Result<Parsed<Self>, Diagnostics> {
        let (mut reader, root) = Reader::open(name, text, json::parse)?;
        let groups = reader.fields(root, "a file of comm groups").map(|fields| {
            let mut groups = BTreeMap::new();
            for entry in fields.rest() {
                group(&mut reader, entry, npus, &mut groups);
            }
            CommGroups { groups }
        });
        reader.finish(groups)
    }

    /// Ranks of a group; `None` for 0, all NPUs, and for groups that are not listed.
    pub fn ranks(&self, id: u32) -> Option<&[u32]> {
        self.groups.get(&id).map(Vec::as_slice)
    }

    /// As the JSON that [`CommGroups::parse`] reads, one group on a line.
    pub fn to_json(&self) -> String {
        let lines = self.groups.iter().map(|(id, ranks)| {
            let ranks: Vec<String> = ranks.iter().map(u32::to_string).collect();
            format!("  \"{id}\": [{}]", ranks.join(", "))
        });
        format!("{{\n{}\n}}\n", lines.collect::<Vec<_>>().join(",\n"))
    }
}

fn group(reader: &mut Reader, entry: Entry, npus: Option<u32>, groups: &mut BTreeMap<u32, Vec<u32>>) {
    let id = entry.key.parse().ok().filter(|id| *id <= i32::MAX as u32);
    let (Some(id), true) = (id, entry.key.bytes().all(|b| b.is_ascii_digit())) else {
        let message = format!("group id `{}` is no whole number above 0", entry.key);
        return reader.wrong(Diagnostic::new(message).at(entry.span, ""));
    };
    let Some(ranks) = ranks(reader, &entry, npus) else {
        return;
    };
    if id == 0 {
        return zero(reader, &entry, &ranks, npus);
    }
    if groups.insert(id, ranks).is_some() {
        let message = format!("group {id} is given twice");
        reader.wrong(Diagnostic::new(message).at(entry.span, ""));
    }
}

/// The documentation's example lists group 0, which ASTRA-sim itself refuses; harmless if it says
/// what 0 means anyway.
fn zero(reader: &mut Reader, entry: &Entry, ranks: &[u32], npus: Option<u32>) {
    let all = ranks.iter().zip(0..).all(|(rank, number)| *rank == number);
    let count = ranks.len() as u64;
    if all && npus.is_none_or(|npus| u64::from(npus) == count) {
        let message = "group 0 is all NPUs and is not listed; ASTRA-sim stops here".into();
        reader.notice(NoticeKind::Ignored, &entry.span, message, None);
    } else {
        let wrong = Diagnostic::new("group 0 stands for all NPUs and cannot be listed");
        reader.wrong(wrong.at(entry.span.clone(), "").help("number groups from 1"));
    }
}

fn ranks(reader: &mut Reader, entry: &Entry, npus: Option<u32>) -> Option<Vec<u32>> {
    let Value::List(nodes) = &entry.value.value else {
        let message = format!("a group is a list of ranks, not {}", entry.value.value.kind());
        reader.wrong(Diagnostic::new(message).at(entry.value.span.clone(), ""));
        return None;
    };
    let last = npus.map_or(u32::MAX, |npus| npus.saturating_sub(1));
    let what = format!("a rank of group `{}`", entry.key);
    let mut seen = HashSet::new();
    let mut ranks = Vec::with_capacity(nodes.len());
    for node in nodes {
        let rank = reader.whole_of(node, &what, 0..=u64::from(last))? as u32;
        if !seen.insert(rank) {
            let message = format!("rank {rank} stands twice in group `{}`", entry.key);
            reader.wrong(Diagnostic::new(message).at(node.span.clone(), ""));
        }
        ranks.push(rank);
    }
    if ranks.is_empty() {
        let message = format!("group `{}` has no ranks", entry.key);
        reader.wrong(Diagnostic::new(message).at(entry.value.span.clone(), ""));
    }
    Some(ranks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Parsed<CommGroups>, String> {
        CommGroups::parse("g.json", text, Some(4)).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn groups_keep_the_order_of_their_ranks() {
        let text = "{\"2\": [3, 1], \"1\": [0, 2]}";
        let groups = parse(text).expect("valid").value;
        assert_eq!(groups.ranks(2), Some([3, 1].as_slice()));
        assert_eq!(groups.ranks(0), None);
        assert_eq!(parse(&groups.to_json()).expect("valid").value, groups);
    }

    #[test]
    fn impossible_groups_are_refused() {
        for (text, part) in [
            ("{\"a\": [0]}", "group id `a`"),
            ("{\"-1\": [0]}", "group id `-1`"),
            ("{\"+1\": [0]}", "group id `+1`"),
            ("{\"99999999999\": [0]}", "group id `99999999999`"),
            ("{\"1\": [0, 4]}", "from 0 to 3"),
            ("{\"1\": [0, 0]}", "rank 0 stands twice"),
            ("{\"1\": []}", "has no ranks"),
            ("{\"1\": 0}", "is a list of ranks"),
            ("{\"1\": [0], \"01\": [1]}", "group 1 is given twice"),
            ("{\"1\": [0], \"1\": [1]}", "key `1` is given twice"),
            ("{\"0\": [0, 1]}", "group 0 stands for all NPUs"),
            ("[]", "is a map"),
        ] {
            let said = parse(text).expect_err(text);
            assert!(said.contains(part), "{text}:\n{said}");
        }
    }

    #[test]
    fn a_group_0_of_all_ranks_is_said_only() {
        let parsed = parse("{\"0\": [0, 1, 2, 3]}").expect("valid");
        assert!(parsed.value.groups.is_empty());
        assert_eq!(parsed.notices[0].kind, NoticeKind::Ignored);
    }
}
