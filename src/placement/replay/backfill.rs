//! Backfilling: jobs behind the head may start if they are through before the head could start at the latest,
//! which is found by trying the head on the machine as it will be after so many completions (EASY: Lifka, 1995,
//! with the shape looked at too).

use crate::placement::policy::Policy;
use crate::placement::shape::Shape;
use crate::placement::state::State;

/// A running job, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub struct Running<'a> {
    /// When it ends, microseconds.
    pub end: u64,
    /// Its nodes.
    pub nodes: &'a [u32],
}

/// When the head can start if nothing else is started, microseconds; `None` if not even then. `running` are in
/// the order of their ends. More free nodes are never less room, so the completions are bisected.
pub fn shadow(
    head: &Shape,
    policy: &mut dyn Policy,
    state: &State<'_>,
    running: &[Running<'_>],
) -> Option<u64> {
    let mut fits_after = |count: usize| {
        let mut later = state.clone();
        running[..count].iter().for_each(|job| later.release(job.nodes));
        policy.place(head, &later).is_ok()
    };
    if !fits_after(running.len()) {
        return None;
    }
    let (mut low, mut high) = (0, running.len());
    while high - low > 1 {
        let middle = low.midpoint(high);
        match fits_after(middle) {
            true => high = middle,
            false => low = middle,
        }
    }
    running.get(high - 1).map(|job| job.end)
}
