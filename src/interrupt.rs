//! Ctrl-C: long loops call [`poll`] on the calling thread; whoever opened the door (Python) says what polling means.

use crate::error::Result;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// What [`poll`] calls; returns `Error::Interrupted` when the user wants to stop.
pub type Poll = fn() -> Result<()>;

const INTERVAL: Duration = Duration::from_millis(20);

thread_local! {
    static POLL: Cell<Option<Poll>> = const { Cell::new(None) };
    static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
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

/// Asks, at most every 20 ms, whether the user wants to stop; an error means: leave at once, change nothing.
pub fn poll() -> Result<()> {
    let Some(poll) = POLL.get() else { return Ok(()) };
    let now = Instant::now();
    if LAST.get().is_some_and(|last| now - last < INTERVAL) {
        return Ok(());
    }
    LAST.set(Some(now));
    poll()
}
