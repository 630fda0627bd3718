//! Where all ranks send to all others at once, each flow keeps to its share of the busiest link, whichever of
//! a pair's connections its chunks take.

use std::collections::BTreeMap;

use crate::network::message::{Channel, Rank};
use crate::system::collective::{Layout, traffic};
use crate::system::op::Op;

/// Flows of fewer bytes are not paced: their time is latency.
const LEAST_PACED: u64 = 64 * 1024;
/// A flow may go so much faster than its share of the busiest link, to make up for moments in which it
/// had nothing to send.
const HEADROOM: f64 = 1.01;

/// What `ranks[position]` sends to each peer on each channel at most, payload bytes per second, when the busiest
/// link is busy for so many seconds.
pub fn shares(
    op: &Op,
    ranks: &[Rank],
    position: u32,
    channels: u32,
    seconds: f64,
) -> BTreeMap<(Rank, Channel), u64> {
    let n = ranks.len() as u32;
    let flows = traffic(op, n).map(|traffic| traffic.flows).unwrap_or_default();
    let parts = parts(
        Layout::new(op, n, position).chunks(),
        op.chunks_in_flight,
        channels,
    );
    let mut rates = BTreeMap::new();
    for flow in flows {
        if flow.from == position && flow.bytes >= LEAST_PACED {
            let share = flow.bytes as f64 / seconds * HEADROOM;
            for (channel, part) in (0..).zip(&parts) {
                rates.insert((ranks[flow.to as usize], channel), (share * part) as u64);
            }
        }
    }
    rates
}

/// The part of a flow's share that each channel has, as chunks take them in turn: as many as it carries of all chunks,
/// unless fewer are in flight than there are channels to carry them.
fn parts(chunks: u32, in_flight: u32, channels: u32) -> Vec<f64> {
    let used = chunks.min(channels).max(1);
    let part = |channel: u32| match in_flight.max(1) {
        few if few < used => 1.0 / f64::from(few),
        _ => f64::from((chunks - channel).div_ceil(channels.max(1))) / f64::from(chunks),
    };
    (0..used).map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::op::{Algorithm, Collective};

    fn op(chunks: u64, in_flight: u32) -> Op {
        Op {
            chunk_bytes: (8 << 20) / chunks,
            chunks_in_flight: in_flight,
            ..Op::new(Collective::AllGather, Algorithm::Direct, 8 << 20)
        }
    }

    /// All-gather of 8 MiB among 4 ranks: 2 MiB to each peer; in 1 s that is 2 MiB/s and the headroom, however
    /// many connections carry it.
    #[test]
    fn channels_together_go_no_faster_than_the_share() {
        let share = (2 << 20) as f64 * HEADROOM;
        for (chunks, in_flight, channels, at_once) in [
            (1, 1, 1, 1),
            (1, 4, 4, 1),
            (4, 4, 4, 4),
            (8, 8, 4, 4),
            (8, 2, 4, 2),
            (8, 1, 4, 1),
        ] {
            let rates = shares(&op(chunks, in_flight), &[10, 11, 12, 13], 1, channels, 1.0);
            for peer in [10, 12, 13] {
                let of_peer: Vec<f64> = rates
                    .iter()
                    .filter(|((to, _), _)| *to == peer)
                    .map(|(_, rate)| *rate as f64)
                    .collect();
                assert_eq!(of_peer.len() as u64, chunks.min(u64::from(channels)));
                let together: f64 = of_peer.iter().take(at_once).sum();
                assert!(
                    (together / share - 1.0).abs() < 1e-3,
                    "{chunks} chunks, {in_flight} in flight, {channels} channels: {of_peer:?}"
                );
            }
            assert!(!rates.contains_key(&(11, 0)), "nothing to itself");
        }
    }

    /// 3 chunks on 2 channels: the first carries two of them and ends with the other when it has two thirds.
    #[test]
    fn a_channel_that_carries_more_goes_faster() {
        assert_eq!(parts(3, 3, 2), [2.0 / 3.0, 1.0 / 3.0]);
    }

    #[test]
    fn small_flows_are_not_paced() {
        let small = Op::new(Collective::AllGather, Algorithm::Direct, 4 * (LEAST_PACED - 4));
        assert!(shares(&small, &[0, 1, 2, 3], 0, 1, 1.0).is_empty());
    }
}
