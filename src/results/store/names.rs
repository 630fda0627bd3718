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
        let place = self.shorts.partition_point(|other| other.as_str() < short);
        // The neighbours in order share the most with it.
        let neighbours = [place.checked_sub(1), Some(place + 1)];
        let shared = neighbours
            .into_iter()
            .flatten()
            .filter_map(|place| self.shorts.get(place));
        let mut length = 1 + shared.map(|other| common(short, other)).max().unwrap_or(0);
        // A whole id may begin so too; the run's own does no harm.
        while length < short.len() {
            let prefix = &short[..length];
            if beginning(&self.ids, prefix) <= usize::from(id.as_str().starts_with(prefix)) {
                break;
            }
            length += 1;
        }
        length.min(short.len())
    }
}

/// How many characters two texts begin with alike.
fn common(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

/// How many of sorted texts begin with `prefix`.
fn beginning(sorted: &[String], prefix: &str) -> usize {
    let first = sorted.partition_point(|text| text.as_str() < prefix);
    sorted[first..].partition_point(|text| text.starts_with(prefix))
}

/// The three most similar ids (whole or by their random part), tags and words that name runs.
pub(super) fn nearest<'a>(text: &str, ids: &[RunId], tags: impl Iterator<Item = &'a String>) -> Vec<String> {
    let like = |name: &str| strsim::jaro_winkler(text, name);
    let ids = ids
        .iter()
        .rev()
        .map(|id| (like(id.as_str()).max(like(id.short())), id.to_string()));
    let latest = std::iter::once((like("latest"), "latest".to_owned()));
    let tags = tags.map(|tag| (like(tag), tag.clone()));
    let mut names: Vec<(f64, String)> = latest.chain(tags).chain(ids).collect();
    names.sort_by(|a, b| b.0.total_cmp(&a.0));
    names.into_iter().map(|(_, name)| name).take(3).collect()
}
