//! Polatis SCPI: lists of ports `(@1,2)`, quoted texts, the error queue (SCPI-1999 form).

use super::Malformed;

/// `(@1,2,3)`.
pub fn ports(numbers: &[u32]) -> String {
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    format!("(@{})", numbers.join(","))
}

/// Reads `(@1,2,3)`; gives the numbers and what follows the list. Ranges `1:4` are SCPI's.
pub fn read_ports(text: &str) -> Result<(Vec<u32>, &str), Malformed> {
    let bad = || Malformed(format!("`{text}` is not a list of ports"));
    let inside = text.trim_start().strip_prefix("(@").ok_or_else(bad)?;
    let (list, rest) = inside.split_once(')').ok_or_else(bad)?;
    let mut numbers = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once(':').unwrap_or((part, part));
        let first: u32 = first.trim().parse().map_err(|_| bad())?;
        let last: u32 = last.trim().parse().map_err(|_| bad())?;
        if last < first || last - first > 4096 || numbers.len() > 4096 {
            return Err(bad());
        }
        numbers.extend(first..=last);
    }
    Ok((numbers, rest))
}

/// Reads two lists of equal length, `(@1,2),(@17,18)`, as pairs by position.
pub fn read_pairs(text: &str) -> Result<Vec<(u32, u32)>, Malformed> {
    let (from, rest) = read_ports(text)?;
    let rest = rest.trim_start().strip_prefix(',');
    let (to, _) = read_ports(rest.ok_or_else(|| Malformed("the second list of ports is missing".into()))?)?;
    if from.len() != to.len() {
        let message = format!("{} ports against {}", from.len(), to.len());
        return Err(Malformed(message));
    }
    Ok(from.into_iter().zip(to).collect())
}

/// The parts of `(a,b,c)`.
pub fn read_tuple(text: &str) -> Result<Vec<&str>, Malformed> {
    let inside = text
        .trim()
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'));
    let inside = inside.ok_or_else(|| Malformed(format!("`{text}` is not in parentheses")))?;
    Ok(inside.split(',').map(str::trim).collect())
}

/// An entry of the error queue, `-113,"Undefined header"`; `None` for `0,...`, the empty queue.
pub fn read_error(text: &str) -> Result<Option<String>, Malformed> {
    let (code, words) = text.trim().split_once(',').unwrap_or((text.trim(), ""));
    let code: i32 = code
        .trim()
        .parse()
        .map_err(|_| Malformed(format!("`{text}` is not an entry of the error queue")))?;
    Ok((code != 0).then(|| format!("{code} {}", words.trim().trim_matches('"'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_pairs() {
        assert_eq!(ports(&[1, 18]), "(@1,18)");
        assert_eq!(
            read_pairs("(@1,2:3),(@19,18, 22)").unwrap(),
            [(1, 19), (2, 18), (3, 22)]
        );
        assert_eq!(read_pairs("(@),(@)").unwrap(), []);
        for text in [
            "",
            "(@1",
            "(@1),",
            "(@1),(@)",
            "(@x),(@1)",
            "(@1:9999999),(@1)",
            "(@3:1),(@1)",
        ] {
            assert!(read_pairs(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_error_queue() {
        assert_eq!(read_error("0,\"No error\"").unwrap(), None);
        assert_eq!(
            read_error("-221,\"Settings conflict\"").unwrap().as_deref(),
            Some("-221 Settings conflict")
        );
        assert!(read_error("?").is_err());
    }
}
