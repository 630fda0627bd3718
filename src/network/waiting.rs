//! How long to poll before blocking: grows when waits turn out short, shrinks when they do not
//! (the rule of the kernel's haltpoll governor).

use std::time::Duration;

use crate::scenario::plan::Wait;

/// The budget of one waiting thread.
#[derive(Debug)]
pub struct Spin {
    wait: Wait,
    budget: Duration,
}

impl Spin {
    const LONGEST: Duration = Duration::from_micros(400);
    const SHORTEST: Duration = Duration::from_micros(20);

    /// By the scenario's way of waiting.
    pub fn new(wait: Wait) -> Self {
        Self {
            wait,
            budget: Self::LONGEST,
        }
    }

    /// Poll for so long; `bulk`: what is awaited takes longer than polling is worth.
    pub fn budget(&self, bulk: bool) -> Duration {
        match self.wait {
            Wait::Block => Duration::ZERO,
            Wait::Spin => Duration::MAX,
            Wait::Auto if bulk => Duration::ZERO,
            Wait::Auto => self.budget,
        }
    }

    /// A wait ended after `waited`.
    pub fn blocked(&mut self, after: Duration) {
        if after > Self::LONGEST {
            self.budget = if self.budget <= Self::SHORTEST {
                Duration::ZERO
            } else {
                self.budget / 2
            };
        } else {
            self.budget = (self.budget * 2).clamp(Self::SHORTEST, Self::LONGEST);
        }
    }
}

/// Between two looks; `oversubscribed`: the core is given away, because another rank may need it to go on.
pub fn pause(oversubscribed: bool) {
    if oversubscribed {
        std::thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}
