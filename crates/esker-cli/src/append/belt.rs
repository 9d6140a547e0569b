//! The belt that carries batches of records from one reader to many writers, and carries the empty ones back.
//!
//! Owns the batches, their number, and why the traffic ended. Refuses to know what is in them.
//!
//! # Invariants
//!
//! - B1 (bounded): there are never more than `batches_max` batches, and no new batch is given out while those on the way
//!   hold more than [`OVERSIZE_BYTES_MAX`] beyond their usual size. One record longer than that is still carried.
//! - B2 (everybody wakes): whatever ends the traffic, [`Belt::end`] or [`Belt::stop`], wakes whoever waits.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use crate::ending::{Ending, Failure};

/// The usual size of a batch: long enough that the costs of passing it on do not show, short enough to stay in a cache.
pub(super) const BATCH_BYTES: usize = 256 << 10;

/// How much memory batches on the way may hold together beyond their usual size.
const OVERSIZE_BYTES_MAX: usize = 64 << 20;

/// Some bytes of the input and the records among them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The bytes; what lies beyond `filled` means nothing.
    pub(super) bytes: Vec<u8>,
    /// How many bytes were read.
    pub(super) filled: usize,
    /// Where each record's payload begins in `bytes`, and its length.
    pub(super) records: Vec<(u32, u32)>,
}

impl Batch {
    fn oversize(&self) -> usize {
        self.bytes.len().saturating_sub(BATCH_BYTES)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Belt {
    state: Mutex<State>,
    /// Somebody waits for a batch to append.
    loaded: Condvar,
    /// The reader waits for an empty batch.
    returned: Condvar,
    batches_max: usize,
}

#[derive(Debug, Default)]
struct State {
    loaded: VecDeque<Batch>,
    empty: Vec<Batch>,
    /// How many batches there are, wherever they are.
    batches: usize,
    /// How much the batches on the way hold beyond their usual size.
    oversize: usize,
    /// The reader has sent its last batch.
    ended: bool,
    /// Why the reader ended, if not because the input did.
    failure: Option<Failure>,
    /// Why everybody is to stop, whatever is still on the belt.
    stopped: Option<Ending>,
}

impl Belt {
    pub(super) fn new(batches_max: usize) -> Self {
        Self { state: Mutex::default(), loaded: Condvar::new(), returned: Condvar::new(), batches_max }
    }

    /// An empty batch for the reader, which waits until there is one; nothing once the belt was stopped.
    pub(super) fn empty(&self) -> Option<Batch> {
        let mut state = self.lock();
        loop {
            if state.stopped.is_some() {
                return None;
            }
            if state.oversize <= OVERSIZE_BYTES_MAX {
                if let Some(batch) = state.empty.pop() {
                    return Some(batch);
                }
                if state.batches < self.batches_max {
                    state.batches += 1;
                    return Some(Batch { bytes: vec![0; BATCH_BYTES], ..Batch::default() });
                }
            }
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sends a batch to the writers. Never waits: there is room for every batch there is.
    pub(super) fn send(&self, batch: Batch) {
        let mut state = self.lock();
        state.oversize += batch.oversize();
        state.loaded.push_back(batch);
        self.loaded.notify_one();
    }

    /// Says that nothing more will be sent, and why if the input did not simply end.
    pub(super) fn end(&self, failure: Option<Failure>) {
        let mut state = self.lock();
        state.ended = true;
        state.failure = failure;
        self.loaded.notify_all();
    }

    /// The next batch to append; nothing once all were taken and no more will come, or the belt was stopped.
    pub(super) fn next(&self) -> Option<Batch> {
        let mut state = self.lock();
        loop {
            if state.stopped.is_some() {
                return None;
            }
            if let Some(batch) = state.loaded.pop_front() {
                return Some(batch);
            }
            if state.ended {
                return None;
            }
            state = self.loaded.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives a batch back when its records were appended.
    pub(super) fn give_back(&self, mut batch: Batch) {
        let oversize = batch.oversize();
        batch.bytes.truncate(BATCH_BYTES);
        batch.bytes.shrink_to(BATCH_BYTES);
        batch.filled = 0;
        batch.records.clear();
        let mut state = self.lock();
        state.oversize -= oversize;
        state.empty.push(batch);
        self.returned.notify_one();
    }

    /// Stops the reader and the writers before what is on the belt was appended. The first reason counts.
    pub(super) fn stop(&self, why: Ending) {
        let mut state = self.lock();
        state.stopped.get_or_insert(why);
        self.loaded.notify_all();
        self.returned.notify_all();
    }

    /// Why the belt was stopped, if it was.
    pub(super) fn stopped(&self) -> Option<Ending> {
        self.lock().stopped
    }

    /// Why the reader ended, if not because the input did.
    pub(super) fn take_failure(&self) -> Option<Failure> {
        self.lock().failure.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing here panics while it holds the lock, so the state is sound even if a thread did elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stops the belt if the thread that holds it panics, so that nobody waits for that thread.
#[derive(Debug)]
pub(super) struct StopOnPanic<'a>(pub(super) &'a Belt);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop(Ending::Io);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread, time::Duration};

    use super::{BATCH_BYTES, Batch, Belt, OVERSIZE_BYTES_MAX};
    use crate::ending::Ending;

    fn batch(bytes: usize) -> Batch {
        Batch { bytes: vec![0; bytes], filled: bytes, records: vec![(0, 1)] }
    }

    /// Runs `wait` in a thread of its own, shows that it waits, and returns what it returns after `wake`.
    fn check_wakes<T: Send + 'static>(
        belt: &Arc<Belt>,
        wait: impl FnOnce(&Belt) -> T + Send + 'static,
        wake: impl FnOnce(&Belt),
    ) -> T {
        let waiter = thread::spawn({
            let belt = Arc::clone(belt);
            move || wait(&belt)
        });
        thread::sleep(Duration::from_millis(20));
        assert!(!waiter.is_finished());
        wake(belt);
        waiter.join().expect("the waiter returns")
    }

    #[test]
    fn the_reader_waits_for_a_batch_when_all_are_on_the_way() {
        let belt = Arc::new(Belt::new(2));
        let first = belt.empty().expect("the first of two");
        belt.send(belt.empty().expect("the second of two"));
        let returned = check_wakes(&belt, Belt::empty, |belt| belt.give_back(first));
        assert_eq!(returned.expect("the one that came back").bytes.len(), BATCH_BYTES);
    }

    #[test]
    fn an_oversized_batch_holds_up_the_reader_until_it_is_appended() {
        let belt = Arc::new(Belt::new(9));
        belt.send(batch(BATCH_BYTES + OVERSIZE_BYTES_MAX + 1));
        let large = belt.next().expect("it was sent");
        let small = check_wakes(&belt, Belt::empty, |belt| belt.give_back(large)).expect("an empty batch");
        assert_eq!((small.bytes.len(), small.filled, small.records.len()), (BATCH_BYTES, 0, 0));
    }

    #[test]
    fn writers_drain_the_belt_after_the_end_and_not_after_a_stop() {
        let belt = Arc::new(Belt::new(9));
        belt.send(batch(1));
        belt.send(batch(2));
        belt.end(None);
        assert_eq!(belt.next().expect("sent before the end").filled, 1);
        belt.stop(Ending::Interrupted);
        belt.stop(Ending::Io);
        assert!(belt.next().is_none());
        assert!(belt.empty().is_none());
        assert_eq!(belt.stopped(), Some(Ending::Interrupted));
    }

    #[test]
    fn the_end_and_a_stop_wake_waiting_writers() {
        let belt = Arc::new(Belt::new(1));
        assert!(check_wakes(&belt, Belt::next, |belt| belt.end(None)).is_none());
        let belt = Arc::new(Belt::new(1));
        assert!(check_wakes(&belt, Belt::next, |belt| belt.stop(Ending::Interrupted)).is_none());
    }
}
