//! Work on a thread of its own, so that the controller hears ranks and signals meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

/// The wish that work ends before its time.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Whether it was uttered. Work that takes long looks now and then.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Work under way. Dropping it asks the work to stop and waits until it has: what it uses may be taken down then.
#[derive(Debug)]
pub(super) struct Beside<T> {
    /// What comes of it; an error: it panicked.
    pub result: oneshot::Receiver<T>,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Beside<T> {
    pub fn start(work: impl FnOnce(&Stop) -> T + Send + 'static) -> Self {
        let (done, result) = oneshot::channel();
        let stop = Stop::default();
        let own = stop.clone();
        let thread = std::thread::spawn(move || {
            // Nobody may want it any more.
            let _ = done.send(work(&own));
        });
        Beside {
            result,
            stop,
            thread: Some(thread),
        }
    }
}

impl<T> Drop for Beside<T> {
    fn drop(&mut self) {
        self.stop.ask();
        if let Some(thread) = self.thread.take() {
            // Of a panic the result has told.
            let _ = thread.join();
        }
    }
}
