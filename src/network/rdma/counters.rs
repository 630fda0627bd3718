//! A device's own counters: what they were before and after, and which of them say "sent again".

/// Requests that were sent again, by the names of mlx5, irdma and rxe: time-outs, sequence errors that
/// the peer reported or implied, and "receiver not ready" (Linux, Documentation/ABI/stable/sysfs-class-infiniband
/// and drivers/infiniband/sw/rxe/rxe_hw_counters.c).
const RETRANSMISSIONS: &[&str] = &[
    "local_ack_timeout_err",
    "packet_seq_err",
    "implied_nak_seq_err",
    "rnr_nak_retry_err",
    "completer_retry_err",
    "RetransSegs",
];

/// How often requests were sent again.
pub fn retransmissions(counters: &[(String, u64)]) -> u64 {
    let counts = counters
        .iter()
        .filter(|(name, _)| RETRANSMISSIONS.contains(&name.as_str()));
    counts.map(|(_, count)| count).sum()
}

/// What was counted since `before`; counters that did not move are left out.
pub fn since(before: &[(String, u64)], after: Vec<(String, u64)>) -> Vec<(String, u64)> {
    let then = |name: &str| {
        before
            .iter()
            .find(|(known, _)| known == name)
            .map_or(0, |(_, count)| *count)
    };
    after
        .into_iter()
        .map(|(name, now)| {
            let count = now.saturating_sub(then(&name));
            (name, count)
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(list: &[(&str, u64)]) -> Vec<(String, u64)> {
        list.iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    }

    #[test]
    fn only_what_moved_is_left_and_only_some_of_it_is_retransmission() {
        let before = counters(&[("completer_retry_err", 3), ("sent_pkts", 10), ("send_err", 1)]);
        let after = counters(&[("completer_retry_err", 7), ("sent_pkts", 90), ("send_err", 1)]);
        let moved = since(&before, after);
        assert_eq!(moved, counters(&[("completer_retry_err", 4), ("sent_pkts", 80)]));
        assert_eq!(retransmissions(&moved), 4);
    }
}
