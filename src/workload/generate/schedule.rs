//! In which order a pipeline stage plays the passes of its micro-batches: GPipe (Huang et al., arXiv
//! 1811.06965, section 2.3), one-forward-one-backward and its interleaved form (Narayanan et al.,
//! arXiv 2104.04473, section 2.2).

/// Order of passes.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// All forward passes, then all backward passes.
    #[value(name = "gpipe")]
    GPipe,
    /// One forward, one backward, as soon as the pipeline is full; interleaved if a stage has several
    /// chunks.
    #[serde(rename = "1f1b")]
    #[value(name = "1f1b")]
    OneForwardOneBackward,
}

/// Direction of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Activations.
    Forward,
    /// Gradients.
    Backward,
}

/// One pass of one micro-batch through one chunk of a stage's layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Which way.
    pub pass: Pass,
    /// The stage's chunk, from 0.
    pub chunk: u32,
    /// The micro-batch, from 0.
    pub micro_batch: u32,
}

/// A pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pipeline {
    /// Stages, `p`.
    pub stages: u32,
    /// Chunks of each stage, `v`.
    pub chunks: u32,
    /// Micro-batches, `m`; a multiple of `p` if `v` is above 1.
    pub micro_batches: u32,
    /// Order of passes.
    pub schedule: Schedule,
}

impl Pipeline {
    /// What `stage` plays, in order.
    pub fn order(&self, stage: u32) -> Vec<Slot> {
        let total = self.micro_batches * self.chunks;
        let warm = match self.schedule {
            Schedule::GPipe => total,
            Schedule::OneForwardOneBackward => self.warm_up(stage).min(total),
        };
        let mut slots: Vec<Slot> = (0..warm).map(|k| self.forward(k)).collect();
        for k in warm..total {
            slots.push(self.forward(k));
            slots.push(self.backward(k - warm));
        }
        slots.extend((total - warm..total).map(|k| self.backward(k)));
        slots
    }

    /// Forward passes before the first backward pass.
    fn warm_up(&self, stage: u32) -> u32 {
        let behind = self.stages - 1 - stage;
        match self.chunks {
            1 => behind,
            chunks => 2 * behind + (chunks - 1) * self.stages,
        }
    }

    fn forward(&self, k: u32) -> Slot {
        let (chunk, micro_batch) = self.place(k);
        Slot {
            pass: Pass::Forward,
            chunk,
            micro_batch,
        }
    }

    fn backward(&self, k: u32) -> Slot {
        let (chunk, micro_batch) = self.place(k);
        Slot {
            pass: Pass::Backward,
            chunk: self.chunks - 1 - chunk,
            micro_batch,
        }
    }

    /// Chunk and micro-batch of the k-th pass: `p` micro-batches go through a chunk, then the same
    /// through the next.
    fn place(&self, k: u32) -> (u32, u32) {
        if self.chunks == 1 {
            return (0, k);
        }
        let round = self.stages * self.chunks;
        (k % round / self.stages, k / round * self.stages + k % self.stages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn pipeline(stages: u32, chunks: u32, micro_batches: u32, schedule: Schedule) -> Pipeline {
        Pipeline {
            stages,
            chunks,
            micro_batches,
            schedule,
        }
    }

    /// Plays all stages; a pass waits for that of its neighbour. Returns how many passes could be played.
    fn play(pipeline: &Pipeline) -> usize {
        let last = pipeline.stages * pipeline.chunks - 1;
        let orders: Vec<_> = (0..pipeline.stages).map(|stage| pipeline.order(stage)).collect();
        let mut next = vec![0; orders.len()];
        let mut done = HashSet::new();
        loop {
            let before = done.len();
            for (stage, order) in (0..).zip(&orders) {
                while let Some(slot) = order.get(next[stage as usize]) {
                    let place = slot.chunk * pipeline.stages + stage;
                    let forward = |place: u32| (true, place, slot.micro_batch);
                    let ready = match slot.pass {
                        Pass::Forward => place == 0 || done.contains(&forward(place - 1)),
                        Pass::Backward if place == last => done.contains(&forward(place)),
                        Pass::Backward => done.contains(&(false, place + 1, slot.micro_batch)),
                    };
                    if !ready {
                        break;
                    }
                    assert!(done.insert((slot.pass == Pass::Forward, place, slot.micro_batch)));
                    next[stage as usize] += 1;
                }
            }
            if done.len() == before {
                return before;
            }
        }
    }

    #[test]
    fn every_pass_is_played_once_and_nobody_waits_for_ever() {
        for schedule in [Schedule::GPipe, Schedule::OneForwardOneBackward] {
            for (stages, micro_batches) in [(1, 1), (1, 4), (2, 1), (4, 2), (4, 4), (4, 12), (3, 7)] {
                let pipeline = pipeline(stages, 1, micro_batches, schedule);
                assert_eq!(
                    play(&pipeline),
                    (2 * stages * micro_batches) as usize,
                    "{pipeline:?}"
                );
            }
        }
        for (stages, chunks, micro_batches) in [(2, 2, 2), (2, 3, 8), (4, 2, 4), (4, 2, 8), (4, 5, 12)] {
            let pipeline = pipeline(stages, chunks, micro_batches, Schedule::OneForwardOneBackward);
            let passes = 2 * stages * chunks * micro_batches;
            assert_eq!(play(&pipeline), passes as usize, "{pipeline:?}");
        }
    }

    #[test]
    fn one_forward_one_backward_holds_few_activations() {
        // Section 2.2.1: at most p micro-batches in flight, where GPipe has m.
        let in_flight = |schedule| {
            let order = pipeline(4, 1, 16, schedule).order(0);
            let steps = order
                .iter()
                .map(|slot| if slot.pass == Pass::Forward { 1 } else { -1 });
            steps
                .scan(0, |held, step| {
                    *held += step;
                    Some(*held)
                })
                .max()
        };
        assert_eq!(in_flight(Schedule::OneForwardOneBackward), Some(4));
        assert_eq!(in_flight(Schedule::GPipe), Some(16));
    }
}
