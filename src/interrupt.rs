//! Ctrl-C: long loops call [`poll`]; whoever opened the door (Python) says what polling means on the calling thread.

use crate::error::{Error, Result};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What [`poll`] calls; returns `Error::Interrupted` when the user wants to stop.
pub type Poll = fn() -> Result<()>;

/// Time between two questions.
pub(crate) const INTERVAL: Duration = Duration::from_millis(20);

thread_local! {
    static POLL: Cell<Option<Poll>> = const { Cell::new(None) };
    static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
    static STOP: RefCell<Option<Stop>> = const { RefCell::new(None) };
}

/// Runs `work` with `poll` installed on this thread.
pub fn with_poll<T>(poll: Poll, work: impl FnOnce() -> T) -> T {
    struct Restore(Option<Poll>);
    impl Drop for Restore {
        fn drop(&mut self) {
            POLL.set(self.0);
        }
    }
    let _restore = Restore(POLL.replace(Some(poll)));
    work()
}

/// Passes on to another thread that the user wants to stop.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// That of this thread, to be heard by the threads that help it.
    pub(crate) fn of_this_thread() -> Option<Self> {
        STOP.with_borrow(Clone::clone)
    }

    /// The user wants to stop.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Runs `work` on this thread, where [`poll`] answers `Error::Interrupted` once [`Stop::set`] was called.
    pub(crate) fn heard_in<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Restore(Option<Stop>);
        impl Drop for Restore {
            fn drop(&mut self) {
                STOP.replace(self.0.take());
            }
        }
        let _restore = Restore(STOP.replace(Some(self.clone())));
        work()
    }
}

/// Asks, at most every 20 ms, whether the user wants to stop; an error means: leave at once, change nothing.
pub fn poll() -> Result<()> {
    if STOP.with_borrow(|stop| stop.as_ref().is_some_and(|stop| stop.0.load(Ordering::Relaxed))) {
        return Err(Error::Interrupted);
    }
    let Some(poll) = POLL.get() else { return Ok(()) };
    let now = Instant::now();
    if LAST.get().is_some_and(|last| now - last < INTERVAL) {
        return Ok(());
    }
    LAST.set(Some(now));
    poll()
}
