//! "Did you mean": the nearest valid name.

/// The candidate nearest to `given`, if one is near enough to be a slip of the hand.
pub fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if given.len() > 64 {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    let given = plain(given);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&given, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| {
            *distance <= 1 + candidate.chars().count().min(given.chars().count()) / 4
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean `x`?`, or the whole list when nothing is near and the list is short.
pub fn help(given: &str, what: &str, candidates: &[&str]) -> Option<String> {
    if let Some(name) = nearest(given, candidates.iter().copied()) {
        return Some(format!("did you mean `{name}`?"));
    }
    let names: Vec<String> = candidates
        .iter()
        .take(16)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = if candidates.len() > 16 { ", ..." } else { "" };
    (!names.is_empty()).then(|| format!("{what}: {}{more}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let keys = ["hosts", "rate", "delay", "full-mesh"];
        assert_eq!(nearest("host", keys), Some("hosts"));
        assert_eq!(nearest("raet", keys), Some("rate"));
        assert_eq!(nearest("full_mesh", keys), Some("full-mesh"));
        assert_eq!(nearest("bandwidth", keys), None);
        assert_eq!(
            help("bandwidth", "keys here are", &keys[..2]),
            Some("keys here are: `hosts`, `rate`".into())
        );
    }
}
