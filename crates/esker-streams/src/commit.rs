//! Group commit over all streams: who leads a flush, and whom it serves.
//!
//! # Invariants
//!
//! - **C1 (after the call):** a flush serves those who asked before it began, and nobody else.
//! - **C2 (stopped for good):** after a flush failed in a way that leaves the disk unknown, none succeeds any more. That it
//!   failed is known before another can begin.

use std::mem;

use crate::{
    Error, ErrorKind,
    sync::{Condvar, Mutex, lock, wait},
};

/// The flushes of a store.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    state: Mutex<Flushes>,
    /// Notified, under the lock, whenever a flush ends.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Flushes {
    /// How many flushes have begun.
    begun: u64,
    /// The last that succeeded.
    done: u64,
    is_led: bool,
    failed: Option<Error>,
}

impl Commit {
    /// Has a flush begin after this call, by this thread or another, and waits for its end.
    pub(crate) fn flush(&self, run: impl Fn() -> Result<(), Error>) -> Result<(), Error> {
        let mut flushes = lock(&self.state);
        let wanted = flushes.begun + 1;
        loop {
            if flushes.done >= wanted {
                return Ok(());
            }
            if let Some(error) = &flushes.failed {
                return Err(error.clone());
            }
            if flushes.is_led {
                flushes = wait(&self.ended, flushes);
                continue;
            }
            flushes.is_led = true;
            flushes.begun += 1;
            let flush = flushes.begun;
            drop(flushes);
            let leader = Leader { commit: self, flush, outcome: None };
            let outcome = leader.run(&run);
            flushes = lock(&self.state);
            outcome?;
        }
    }

    /// The flush that begins next.
    pub(crate) fn next(&self) -> u64 {
        lock(&self.state).begun + 1
    }

    /// The last flush that succeeded: all that were awaited before it began are covered by it, too.
    pub(crate) fn done(&self) -> u64 {
        lock(&self.state).done
    }
}

/// The leader's office, given up even if the storage panics: otherwise all who wait would wait for ever.
struct Leader<'a> {
    commit: &'a Commit,
    flush: u64,
    outcome: Option<Result<(), Error>>,
}

impl Leader<'_> {
    fn run(mut self, run: impl Fn() -> Result<(), Error>) -> Result<(), Error> {
        let outcome = run();
        self.outcome = Some(outcome.clone());
        outcome
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        let mut flushes = lock(&self.commit.state);
        flushes.is_led = false;
        match mem::take(&mut self.outcome) {
            Some(Ok(())) => flushes.done = self.flush,
            // Nothing was lost, and whoever asks next tries again.
            Some(Err(error)) if error.kind() == ErrorKind::NoSpace => (),
            Some(Err(error)) => drop(flushes.failed.get_or_insert(error)),
            None => {
                let panicked = crate::error::io("flush", crate::names::DATA, std::io::Error::other("it panicked"));
                flushes.failed.get_or_insert(panicked);
            }
        }
        self.commit.ended.notify_all();
    }
}
