//! What an open log does besides what its users ask for: syncing before much is unsynced, writing segments ahead of need,
//! and flushing at an interval.
//!
//! Owns the list of what is due, and the thread that does it. Refuses to decide anything that a user waits for: all of this
//! may be late without harm.

use std::{
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use esker_iobufs::EngineError;

use crate::{Error, log::Shared, names::LOG, retention::Retention, segments::Segments};

/// The thread rests this long between two pieces of a segment that is written ahead, so that those who sync meanwhile
/// have to wait for one piece at most.
const PIECE_PAUSE: Duration = Duration::from_millis(1);

/// What is due.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Due {
    /// Much was written and not synced.
    sync: bool,
    /// A segment was begun.
    segment: bool,
    /// The log is being closed.
    stop: bool,
}

/// The list of what is due: one adds to it, another takes from it.
#[derive(Debug, Default)]
pub(crate) struct DueList {
    due: Mutex<Due>,
    added: Condvar,
}

impl DueList {
    fn lock(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add_sync(&self) {
        self.lock().sync = true;
        self.added.notify_one();
    }

    pub(crate) fn add_segment(&self) {
        self.lock().segment = true;
        self.added.notify_one();
    }

    fn stop(&self) {
        self.lock().stop = true;
        self.added.notify_one();
    }

    fn stops(&self) -> bool {
        self.lock().stop
    }

    /// Takes everything off the list but the stop, which stays.
    fn take(&self) -> Due {
        let mut due = self.lock();
        let stop = due.stop;
        mem::replace(&mut *due, Due { stop, ..Due::default() })
    }

    /// As [`take`](Self::take), once there is something on the list or `until` has come.
    fn wait(&self, until: Option<Instant>) -> Due {
        let mut due = self.lock();
        while !(due.sync || due.segment || due.stop) {
            match until.map(|until| until.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => break,
                Some(left) => {
                    (due, _) = self.added.wait_timeout(due, left).unwrap_or_else(PoisonError::into_inner);
                }
                None => due = self.added.wait(due).unwrap_or_else(PoisonError::into_inner),
            }
        }
        drop(due);
        self.take()
    }
}

/// Whoever does what is due: with a log's parts in hand.
#[derive(Clone, Debug)]
pub(crate) struct Upkeep {
    shared: Arc<Shared>,
}

impl Upkeep {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn segments(&self) -> &Segments {
        &self.shared.segments
    }

    /// Does what is due now.
    pub(crate) fn run(&self) -> Result<(), Error> {
        let due = self.segments().due().take();
        self.sync(due)?;
        if due.segment && self.wants_segment() {
            while self.segments().write_ahead() {}
        }
        self.retain()
    }

    fn sync(&self, due: Due) -> Result<(), EngineError> {
        if due.sync {
            self.shared.engine.sync_written()?;
        }
        Ok(())
    }

    /// Gives up what is not to be kept any longer.
    fn retain(&self) -> Result<(), Error> {
        let Some(retention) = &self.shared.retention else { return Ok(()) };
        let floor = self.shared.floor();
        let wanted = retention.floor(floor, self.shared.engine.reserved())?;
        if wanted > floor {
            self.shared.truncate_before(wanted)?;
        }
        Ok(())
    }

    fn wants_segment(&self) -> bool {
        let stats = self.shared.engine.stats();
        self.segments().wants_ahead(stats.bytes_written, stats.syncs)
    }
}

/// A thread that does what is due. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct UpkeepThread {
    upkeep: Upkeep,
    thread: Option<thread::JoinHandle<()>>,
}

impl UpkeepThread {
    /// Starts it; with an interval, it makes everything durable that often as well.
    pub(crate) fn start(upkeep: Upkeep, flush_interval: Option<Duration>) -> Result<Self, Error> {
        let of_thread = upkeep.clone();
        let thread = thread::Builder::new()
            .name("esker-upkeep".to_owned())
            .spawn(move || run(&of_thread, flush_interval))
            .map_err(|error| Error::io("start a thread for the upkeep of", LOG, error))?;
        Ok(Self { upkeep, thread: Some(thread) })
    }
}

impl Drop for UpkeepThread {
    fn drop(&mut self) {
        self.upkeep.segments().due().stop();
        if let Some(thread) = self.thread.take() {
            // A panic in it has been reported by the runtime.
            drop(thread.join());
        }
    }
}

fn run(upkeep: &Upkeep, flush_interval: Option<Duration>) {
    let due_list = upkeep.segments().due();
    let after = |interval: Option<Duration>| interval.and_then(|interval| Instant::now().checked_add(interval));
    let look_every = upkeep.shared.retention.as_ref().and_then(Retention::look_every);
    let (mut flush_at, mut look_at) = (after(flush_interval), after(look_every));
    loop {
        let due = due_list.wait([flush_at, look_at].into_iter().flatten().min());
        if due.stop {
            return;
        }
        let mut done = upkeep.sync(due).map(drop);
        if flush_at.is_some_and(|at| at <= Instant::now()) {
            done = done.and(upkeep.shared.engine.flush().map(drop));
            flush_at = after(flush_interval);
        }
        // A full disk may have room the next time. A stopped log stays so: its users learn it by their own calls.
        if let Err(EngineError::Poisoned(_)) = done {
            return;
        }
        if due.segment || look_at.is_some_and(|at| at <= Instant::now()) {
            // What cannot be given up now may be the next time.
            drop(upkeep.retain());
            look_at = after(look_every);
        }
        if due.segment && upkeep.wants_segment() {
            while !due_list.stops() && upkeep.segments().write_ahead() {
                thread::sleep(PIECE_PAUSE);
            }
        }
    }
}
