//! Reconfigurations beside the controller, each on its time: between steps at once, and while operations are
//! played when the plan says. The controller hears of each by a notice.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::reconfigure::Moment;
use super::{Optics, lock};
use crate::event::Reconfiguration;
use crate::scenario::plan::optical::Wiring;
use crate::testbed::stages::Notice;

/// A change that is to be made.
#[derive(Debug, Clone)]
pub struct Due {
    /// When, after the beginning of the timeline.
    pub after: Duration,
    /// What stands from then on.
    pub wiring: Wiring,
}

/// Changes that are made one after another. Dropping it makes no more, and waits for the one under way.
#[derive(Debug)]
pub struct Timeline {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    haste: Mutex<Haste>,
    changed: Condvar,
    /// The operation that is played.
    op: AtomicUsize,
    /// Changes that have not begun.
    left: AtomicUsize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Haste {
    /// Each change has its time.
    InTime,
    /// What is left is made at once.
    AtOnce,
    /// Nothing more is made.
    Never,
}

/// What the controller hears a timeline by. It waits for each change, so a panic is told as well.
struct Voice(mpsc::UnboundedSender<Notice>);

impl Voice {
    /// Whether somebody hears it still.
    fn say(&self, made: Result<Box<Reconfiguration>, String>) -> bool {
        self.0.send(Notice::Reconfigured(made)).is_ok()
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.say(Err("the thread that changes circuits panicked".into()));
        }
    }
}

impl Timeline {
    /// Begins to make the changes. `moment` says the step and its first operation.
    pub fn start(
        optics: Arc<Optics>,
        changes: Vec<Due>,
        moment: Moment,
        started: Instant,
        notices: mpsc::UnboundedSender<Notice>,
    ) -> Self {
        let shared = Arc::new(Shared {
            haste: Mutex::new(Haste::InTime),
            changed: Condvar::new(),
            op: AtomicUsize::new(moment.op),
            left: AtomicUsize::new(changes.len()),
        });
        let own = shared.clone();
        let work = move || {
            let voice = Voice(notices);
            let begun = Instant::now();
            for due in changes {
                if own.wait(begun + due.after) == Haste::Never {
                    return;
                }
                own.left.fetch_sub(1, Ordering::Relaxed);
                let moment = Moment {
                    op: own.op.load(Ordering::Relaxed),
                    ..moment.clone()
                };
                let resent = optics.retransmits();
                // Whoever waits for the notice must have one.
                let change = AssertUnwindSafe(|| optics.reconfigure(&due.wiring, &moment, started));
                let panicked = |_| Err("the thread that changes circuits panicked".to_owned());
                let made = catch_unwind(change).unwrap_or_else(panicked);
                let made = made.map(|mut made| {
                    made.retransmits = resent; // a counter until the controller makes a number of it
                    Box::new(made)
                });
                let failed = made.is_err();
                if !voice.say(made) || failed {
                    return;
                }
            }
        };
        Timeline {
            shared,
            thread: Some(std::thread::spawn(work)),
        }
    }

    /// This operation is played from now on.
    pub fn playing(&self, op: usize) {
        self.shared.op.store(op, Ordering::Relaxed);
    }

    /// What is left is made at once; gives how many changes had not begun.
    pub fn hurry(&self) -> usize {
        let left = self.shared.left.load(Ordering::Relaxed);
        self.shared.hasten(Haste::AtOnce);
        left
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        self.shared.hasten(Haste::Never);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to end.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn hasten(&self, haste: Haste) {
        *lock(&self.haste) = haste;
        self.changed.notify_all();
    }

    /// Waits for a moment, unless there is haste.
    fn wait(&self, until: Instant) -> Haste {
        let mut haste = lock(&self.haste);
        while *haste == Haste::InTime {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(haste, left);
            haste = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(haste, _)| haste);
        }
        *haste
    }
}
