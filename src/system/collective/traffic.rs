//! Who sends how much to whom in an operation, from the same schedules that the machine runs: what
//! the planner needs to charge links.

use crate::system::op::Op;

use super::layout::Layout;
use super::schedule::Round;
use super::{OpError, schedules};

/// All messages from one position to one other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Position of the sender.
    pub from: u32,
    /// Position of the receiver.
    pub to: u32,
    /// Payload bytes.
    pub bytes: u64,
    /// How many messages carry them.
    pub messages: u64,
}

/// What one operation sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// Pairs that exchange anything, by sender, each sender's in the order of first use.
    pub flows: Vec<Flow>,
    /// Message latencies one after another on the critical path of one chunk.
    pub rounds: u32,
    /// Pieces into which the operation is cut.
    pub chunks: u32,
}

/// What `op` sends among `n` ranks. Work: one step per message of one chunk.
///
/// # Errors
/// If `n` ranks cannot carry out the operation.
pub fn traffic(op: &Op, n: u32) -> Result<Traffic, OpError> {
    let schedules = schedules(op, n)?;
    let variants = schedules.len() as u32;
    let (mut flows, mut round) = (Vec::new(), Round::default());
    for from in 0..n {
        let layout = Layout::new(op, n, from);
        let mut sender = Sender::new(from, n);
        for (variant, schedule) in (0..).zip(&schedules) {
            for k in 0..schedule.rounds(from) {
                round.sends.clear();
                round.receives.clear();
                schedule.round(from, k, &mut round);
                for message in &round.sends {
                    let messages = layout.chunks_with_bytes(message.cells, variant, variants);
                    let bytes = layout.bytes_of_chunks(message.cells, variant, variants);
                    sender.add(message.peer, bytes, messages);
                }
            }
        }
        flows.append(&mut sender.flows);
    }
    let chunks = Layout::new(op, n, 0).chunks();
    let used = schedules.iter().take(chunks as usize);
    Ok(Traffic {
        flows,
        rounds: used.map(|s| s.depth()).max().unwrap_or(0),
        chunks,
    })
}

/// Flows of one sender.
struct Sender {
    from: u32,
    flows: Vec<Flow>,
    /// Index into `flows` by destination.
    index: Vec<Option<u32>>,
}

impl Sender {
    fn new(from: u32, n: u32) -> Self {
        Sender {
            from,
            flows: Vec::new(),
            index: vec![None; n as usize],
        }
    }

    fn add(&mut self, to: u32, bytes: u64, messages: u32) {
        if messages == 0 {
            return;
        }
        let index = *self.index[to as usize].get_or_insert_with(|| {
            self.flows.push(Flow {
                from: self.from,
                to,
                bytes: 0,
                messages: 0,
            });
            self.flows.len() as u32 - 1
        });
        let flow = &mut self.flows[index as usize];
        flow.bytes += bytes;
        flow.messages += u64::from(messages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::op::{Algorithm, Collective};

    fn sent(collective: Collective, algorithm: Algorithm, bytes: u64, n: u32) -> Vec<u64> {
        let mut sent = vec![0; n as usize];
        for flow in traffic(&Op::new(collective, algorithm, bytes), n).unwrap().flows {
            sent[flow.from as usize] += flow.bytes;
        }
        sent
    }

    #[test]
    fn bandwidth_optimal_all_reduces_send_two_n_minus_one_nths() {
        // Patarasuk and Yuan, 2009: no rank can send less than 2(n-1)/n of the buffer.
        for algorithm in [Algorithm::Ring, Algorithm::Direct, Algorithm::HalvingDoubling] {
            let bytes = 4 * 8 * 100;
            assert_eq!(
                sent(Collective::AllReduce, algorithm, bytes, 8),
                [2 * 7 * bytes / 8; 8],
                "{algorithm}"
            );
        }
    }

    #[test]
    fn double_binary_trees_load_no_rank_with_more_than_twice_the_buffer() {
        // Reduction up sends the buffer once, broadcast down at most once more.
        let op = Op {
            chunk_bytes: 1000,
            ..Op::new(Collective::AllReduce, Algorithm::DoubleBinaryTree, 8000)
        };
        let mut sent = vec![0; 13];
        for flow in traffic(&op, 13).unwrap().flows {
            sent[flow.from as usize] += flow.bytes;
        }
        assert!(sent.iter().all(|&bytes| bytes <= 2 * op.bytes), "{sent:?}");
    }

    #[test]
    fn an_all_to_all_on_a_ring_carries_blocks_over_n_half_hops_on_average() {
        let bytes = 4 * 6 * 10;
        let total: u64 = sent(Collective::AllToAll, Algorithm::Ring, bytes, 6).iter().sum();
        assert_eq!(total, 6 * (bytes / 6) * (1 + 2 + 3 + 4 + 5));
    }

    #[test]
    fn large_communicators_are_cheap() {
        let op = Op {
            chunk_bytes: 1 << 20,
            ..Op::new(Collective::AllReduce, Algorithm::Ring, 1 << 40)
        };
        let ring = traffic(&op, 1024).unwrap();
        assert_eq!(
            (ring.flows.len(), ring.rounds, ring.chunks),
            (1024, 2046, 1 << 20)
        );
        let direct = traffic(&Op::new(Collective::AllToAll, Algorithm::Direct, 1 << 30), 256).unwrap();
        assert_eq!(direct.flows.len(), 256 * 255);
    }
}
