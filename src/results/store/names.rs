//! What to type to name a run, and what was meant by what was typed.

use crate::results::RunId;

/// For every run of a list, how much of its random part is enough to name it.
#[derive(Debug, Clone)]
pub struct UniquePrefixes {
    ids: Vec<String>,
    shorts: Vec<String>,
}

impl UniquePrefixes {
    /// For these runs.
    pub fn of<'a>(ids: impl IntoIterator<Item = &'a RunId>) -> UniquePrefixes {
        let mut ids: Vec<&RunId> = ids.into_iter().collect();
        ids.sort();
        let mut shorts: Vec<String> = ids.iter().map(|id| id.short().to_owned()).collect();
        shorts.sort();
        UniquePrefixes {
            ids: ids.iter().map(|id| id.as_str().to_owned()).collect(),
            shorts,
        }
    }

    /// How many characters of the random part tell `id` from all others.
    pub fn length(&self, id: &RunId) -> usize {
        let short = id.short();
        let unique = |length: &usize| {
            let prefix = &short[..*length];
            // The run itself begins so once, by its random part; its whole id may too.
            let own = 1 + usize::from(id.as_str().starts_with(prefix));
            beginning(&self.shorts, prefix) + beginning(&self.ids, prefix) <= own
        };
        (1..short.len()).find(unique).unwrap_or(short.len())
    }
}

/// How many of sorted texts begin with `prefix`.
fn beginning(sorted: &[String], prefix: &str) -> usize {
    let first = sorted.partition_point(|text| text.as_str() < prefix);
    sorted[first..].partition_point(|text| text.starts_with(prefix))
}

/// The three most similar ids (whole or by their random part) and tags.
pub(super) fn nearest<'a>(text: &str, ids: &[RunId], tags: impl Iterator<Item = &'a String>) -> Vec<String> {
    let like = |name: &str| strsim::jaro_winkler(text, name);
    let ids = ids
        .iter()
        .rev()
        .map(|id| (like(id.as_str()).max(like(id.short())), id.to_string()));
    let mut names: Vec<(f64, String)> = tags.map(|tag| (like(tag), tag.clone())).chain(ids).collect();
    names.sort_by(|a, b| b.0.total_cmp(&a.0));
    names.into_iter().map(|(_, name)| name).take(3).collect()
}
