//! Carrying a change out: commands, completion, reading back, the error queue; again where an answer was
//! lost or a part was not done; and back to what was before where it cannot be done. What is read back
//! decides, not what the switch answered.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::change::Change;
use super::error::OcsError;
use super::model::Circuit;
use super::switch::Switch;

/// Patience: what an error costs is one; what a command that silently did nothing costs is three.
/// Progress gives all of it back.
const ATTEMPTS: u32 = 12;
/// Between two looks at mirrors that move: the first and the longest.
const LOOK: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));
/// Before another attempt after an error.
const PAUSE: Duration = Duration::from_millis(20);

/// How long the parts of a change took, each measured on its own.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Times {
    /// From the first command to its last answer, seconds.
    pub command_s: f64,
    /// From the last answer to the proof that all mirrors have settled, seconds.
    pub settle_s: f64,
    /// From there to the links that were watched being up, seconds; `None`: none was watched.
    pub link_up_s: Option<f64>,
}

/// A change that was carried out and read back.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Applied {
    /// What was done.
    pub change: Change,
    /// How long it took.
    pub times: Times,
    /// Attempts beyond the first.
    pub retries: u32,
    /// What went wrong on the way, oldest first.
    pub notes: Vec<String>,
}

/// A change that was not carried out.
#[derive(Debug, thiserror::Error)]
#[error("{}", describe(self))]
pub struct ApplyError {
    /// Circuits that could not be made or removed.
    pub undone: Vec<Circuit>,
    /// Why, as far as the switch said.
    pub reasons: Vec<String>,
    /// Circuits that were there before, are not now, and could not be put back.
    pub lost: Vec<Circuit>,
    /// Circuits made on the way that could not be removed again.
    pub stray: Vec<Circuit>,
    /// The switch could not be asked how it stands now.
    pub unknown: bool,
}

fn describe(error: &ApplyError) -> String {
    let list = |circuits: &[Circuit]| {
        circuits
            .iter()
            .map(Circuit::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut text = match error.undone.as_slice() {
        [] => "the change could not be begun".to_owned(),
        undone => format!("not done: {}", list(undone)),
    };
    if let Some(reason) = error.reasons.last() {
        text += &format!(": {reason}");
    }
    match (error.unknown, error.lost.as_slice(), error.stray.as_slice()) {
        (true, ..) => text += "\nnote: the switch does not answer: how it stands now is not known",
        (_, [], []) => text += "\nnote: everything is as it was before",
        (_, lost, stray) => {
            for (circuits, what) in [
                (lost, "could not be put back"),
                (stray, "could not be removed again"),
            ] {
                if !circuits.is_empty() {
                    text += &format!("\nnote: {}: {what}", list(circuits));
                }
            }
        }
    }
    text
}

/// Carries a change out. Where it cannot be done, what was there before is put back.
///
/// `settle`: so long may mirrors move.
pub fn apply(switch: &mut dyn Switch, change: &Change, settle: Duration) -> Result<Applied, Box<ApplyError>> {
    let mut effort = Effort::new(settle);
    let done = effort.drive(switch, change);
    let Effort {
        times,
        retries,
        mut notes,
        ..
    } = effort;
    match done {
        Ok(()) => Ok(Applied {
            change: change.clone(),
            times,
            retries,
            notes,
        }),
        Err(Stopped { undone, last }) => {
            notes.extend(last);
            let back = change.reversed();
            let mut error = ApplyError {
                undone,
                reasons: notes,
                lost: Vec::new(),
                stray: Vec::new(),
                unknown: false,
            };
            if Effort::new(settle).drive(switch, &back).is_err() {
                left_over(switch, change, &mut error);
            }
            Err(Box::new(error))
        }
    }
}

/// Carries a change out as far as it goes and never goes back: for putting things back. Circuits of others
/// that are in the way by now stay; what they displace is reported as undone.
pub fn finish(
    switch: &mut dyn Switch,
    change: &Change,
    settle: Duration,
) -> Result<Applied, Box<ApplyError>> {
    let mut effort = Effort::new(settle);
    match effort.drive(switch, change) {
        Ok(()) => Ok(Applied {
            change: change.clone(),
            times: effort.times,
            retries: effort.retries,
            notes: effort.notes,
        }),
        Err(Stopped { undone, last }) => {
            effort.notes.extend(last);
            let mut error = ApplyError {
                undone,
                reasons: effort.notes,
                lost: Vec::new(),
                stray: Vec::new(),
                unknown: false,
            };
            left_over(switch, &change.reversed(), &mut error);
            Err(Box::new(error))
        }
    }
}

/// What a failed way back has left.
fn left_over(switch: &mut dyn Switch, change: &Change, error: &mut ApplyError) {
    let now = switch.reopen().and_then(|()| switch.circuits());
    match now {
        Ok(now) => {
            error.lost = change.remove.difference(&now).copied().collect();
            error.stray = change.add.intersection(&now).copied().collect();
        }
        Err(_) => error.unknown = true,
    }
}

/// Why driving stopped.
struct Stopped {
    undone: Vec<Circuit>,
    last: Option<String>,
}

struct Effort {
    settle: Duration,
    times: Times,
    retries: u32,
    notes: Vec<String>,
    left: u32,
    best: usize,
}

impl Effort {
    fn new(settle: Duration) -> Self {
        Self {
            settle,
            times: Times::default(),
            retries: 0,
            notes: Vec::new(),
            left: ATTEMPTS,
            best: usize::MAX,
        }
    }

    /// Repeats what is missing until nothing is, or nothing moves any more.
    fn drive(&mut self, switch: &mut dyn Switch, change: &Change) -> Result<(), Stopped> {
        let mut begun = false;
        let mut undone: BTreeSet<Circuit> = change.remove.union(&change.add).copied().collect();
        loop {
            match switch.circuits() {
                Err(error) => self.stumble(switch, error),
                Ok(now) => {
                    let remove: Vec<Circuit> = change.remove.intersection(&now).copied().collect();
                    let add: Vec<Circuit> = change.add.difference(&now).copied().collect();
                    undone = remove.iter().chain(&add).copied().collect();
                    if undone.is_empty() {
                        return self.settled(switch, change);
                    }
                    self.progress(undone.len(), begun);
                    if let Some((wanted, other)) = in_the_way(&add, &now, &change.remove) {
                        let last = Some(format!(
                            "{other} was made meanwhile by somebody else and is in the way of {wanted}"
                        ));
                        return Err(Stopped {
                            undone: undone.into_iter().collect(),
                            last,
                        });
                    }
                    if self.left > 0 {
                        begun = true;
                        if let Err(error) = self.command(switch, &remove, &add) {
                            self.stumble(switch, error);
                        }
                    }
                }
            }
            if self.left == 0 {
                let last = self.notes.pop().or_else(|| {
                    Some("the switch took the command and did not do it; is the port stuck?".into())
                });
                return Err(Stopped {
                    undone: undone.into_iter().collect(),
                    last,
                });
            }
        }
    }

    /// Less to do than ever is progress, and gives new patience.
    fn progress(&mut self, todo: usize, begun: bool) {
        if todo < self.best {
            self.best = todo;
            self.left = ATTEMPTS;
        } else {
            self.left = self.left.saturating_sub(3);
        }
        self.retries += u32::from(begun);
    }

    fn command(
        &mut self,
        switch: &mut dyn Switch,
        remove: &[Circuit],
        add: &[Circuit],
    ) -> Result<(), OcsError> {
        let begin = Instant::now();
        let told = tell(switch, remove, add);
        self.times.command_s += begin.elapsed().as_secs_f64();
        told?;
        self.wait(switch, add)?;
        let errors = switch.errors()?;
        self.notes.extend(errors);
        Ok(())
    }

    /// Waits until the circuits have settled. Those that do not are read back as missing.
    fn wait(&mut self, switch: &mut dyn Switch, circuits: &[Circuit]) -> Result<(), OcsError> {
        let begin = Instant::now();
        let mut pause = LOOK.0;
        let result = loop {
            let settling = match switch.settling(circuits) {
                Ok(settling) => settling,
                Err(error) => break Err(error),
            };
            if let Some(circuit) = settling.failed.first() {
                break Err(OcsError::refused(
                    &circuit.to_string(),
                    "the mirrors did not settle: the switch says failed",
                ));
            }
            if !settling.pending || begin.elapsed() > self.settle {
                break Ok(());
            }
            sleep(pause);
            pause = (2 * pause).min(LOOK.1);
        };
        self.times.settle_s += begin.elapsed().as_secs_f64();
        result
    }

    /// All circuits are configured: they must also have settled.
    fn settled(&mut self, switch: &mut dyn Switch, change: &Change) -> Result<(), Stopped> {
        let add: Vec<Circuit> = change.add.iter().copied().collect();
        let deadline = Instant::now() + self.settle;
        loop {
            match switch.settling(&add) {
                Ok(settling) if settling.failed.is_empty() && !settling.pending => return Ok(()),
                Ok(settling) if !settling.failed.is_empty() => {
                    let last = Some("the mirrors did not settle: the switch says failed".into());
                    return Err(Stopped {
                        undone: settling.failed,
                        last,
                    });
                }
                Ok(_) if Instant::now() > deadline => {
                    let last = Some("the mirrors have not settled in time".into());
                    return Err(Stopped { undone: add, last });
                }
                Ok(_) => sleep(LOOK.1),
                Err(error) => self.stumble(switch, error),
            }
            if self.left == 0 {
                return Err(Stopped {
                    undone: add,
                    last: self.notes.pop(),
                });
            }
        }
    }

    /// After an error: notes it, begins a new session where that may help, and costs an attempt.
    fn stumble(&mut self, switch: &mut dyn Switch, error: OcsError) {
        let new_session = error.wants_new_session();
        self.notes.push(error.to_string());
        self.left = self.left.saturating_sub(1);
        sleep(PAUSE);
        if new_session && let Err(error) = switch.reopen() {
            self.notes.push(error.to_string());
        }
    }
}

/// Removes, then makes what is not in the way of anything that was not removed after all.
fn tell(switch: &mut dyn Switch, remove: &[Circuit], add: &[Circuit]) -> Result<(), OcsError> {
    let mut add = add.to_vec();
    if !remove.is_empty() {
        switch.disconnect(remove)?;
        if !add.is_empty() {
            let now = switch.circuits()?;
            add.retain(|wanted| !now.iter().any(|other| other.conflicts(*wanted)));
        }
    }
    if add.is_empty() {
        Ok(())
    } else {
        switch.connect(&add)
    }
}

fn in_the_way(
    add: &[Circuit],
    now: &BTreeSet<Circuit>,
    remove: &BTreeSet<Circuit>,
) -> Option<(Circuit, Circuit)> {
    let others = || now.iter().filter(|circuit| !remove.contains(circuit));
    add.iter().find_map(|wanted| {
        others()
            .find(|other| other.conflicts(*wanted))
            .map(|other| (*wanted, *other))
    })
}
