//! The threads that append, and the one that acknowledges.
//!
//! Owns the writers and their way to the acknowledgements. Refuses to decide what follows from a failure.
//!
//! # Invariants
//!
//! A1, A2 and A3 of `append`.

use std::{
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{self, ScopedJoinHandle},
};

use esker::{Log, Lsn};
use indicatif::ProgressBar;

use super::belt::{Batch, Belt, StopOnPanic};
use crate::{
    ending::{Ending, Failure},
    output::{Output, write_meta},
};

/// What was appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) records: u64,
    /// Of payload.
    pub(super) bytes: u64,
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
    }
}

/// How the pipeline ended.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) totals: Totals,
    /// The first failure of a writer or of the acknowledgements.
    pub(super) failure: Option<Failure>,
}

/// The acknowledgements of one batch.
#[derive(Debug)]
struct Acks {
    /// The LSN of the last record among them.
    last: Lsn,
    /// The lines, ready to be printed.
    lines: Vec<u8>,
}

/// What one writer works with.
#[derive(Clone, Copy)]
struct Writer<'a> {
    log: &'a Log,
    dir: &'a Path,
    belt: &'a Belt,
    bar: &'a ProgressBar,
}

/// Appends what comes over the belt until it ends or is stopped, and acknowledges it if that is wanted.
pub(super) fn run(log: &Log, dir: &Path, belt: &Belt, threads: usize, acks: bool, bar: &ProgressBar) -> Ran {
    let writer = Writer { log, dir, belt, bar };
    thread::scope(|scope| {
        let mut ran = Ran { totals: Totals::default(), failure: None };
        let (sender, receiver) = sync_channel(2 * threads);
        let sender = acks.then_some(sender);
        let acknowledger = acks.then(|| scope.spawn(move || writer.acknowledge(&receiver)));
        let mut writers = Vec::with_capacity(threads);
        for _ in 0..threads {
            let acks = sender.clone();
            match thread::Builder::new().spawn_scoped(scope, move || writer.append_all(acks.as_ref())) {
                Ok(handle) => writers.push(handle),
                Err(error) => {
                    belt.stop(Ending::Io);
                    ran.failure = Some(Failure::io(format!("cannot start {threads} threads"), &error));
                    break;
                }
            }
        }
        // The channel of acknowledgements ends with its last sender.
        drop(sender);
        for handle in writers {
            let (totals, failure) = joined(handle);
            ran.totals.add(totals);
            ran.failure = ran.failure.or(failure);
        }
        if let Some(handle) = acknowledger {
            // Writers whose acknowledgements nobody takes just end, so here is the cause if it is not there.
            ran.failure = ran.failure.or(joined(handle).err());
        }
        ran
    })
}

fn joined<T>(handle: ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl Writer<'_> {
    /// Appends batch after batch. A failure stops everybody.
    fn append_all(self, acks: Option<&SyncSender<Acks>>) -> (Totals, Option<Failure>) {
        let _stop = StopOnPanic(self.belt);
        let mut totals = Totals::default();
        while let Some(batch) = self.belt.next() {
            let (appended, acknowledgement, failure) = self.append(&batch, acks.is_some());
            totals.add(appended);
            self.bar.inc(batch.filled as u64);
            self.belt.give_back(batch);
            let unheard = match (acks, acknowledgement) {
                (Some(acks), Some(acknowledgement)) => acks.send(acknowledgement).is_err(),
                _ => false,
            };
            if failure.is_some() || unheard {
                self.belt.stop(Ending::Io);
                return (totals, failure);
            }
        }
        (totals, None)
    }

    /// Appends the records of one batch, up to the first that fails.
    fn append(self, batch: &Batch, with_acks: bool) -> (Totals, Option<Acks>, Option<Failure>) {
        let mut totals = Totals::default();
        let mut acks = None;
        for &(at, len) in &batch.records {
            let payload = &batch.bytes[at as usize..][..len as usize];
            match self.log.append(payload) {
                Ok(lsn) => {
                    totals.add(Totals { records: 1, bytes: u64::from(len) });
                    if with_acks {
                        let acks = acks.get_or_insert_with(|| Acks { last: lsn, lines: Vec::new() });
                        acks.last = lsn;
                        // Memory takes everything that is written to it.
                        let _ = write_meta(&mut acks.lines, lsn, payload);
                    }
                }
                Err(error) => return (totals, acks, Some(Failure::log(self.dir, &error))),
            }
        }
        (totals, acks, None)
    }

    /// Waits for durability and prints what it covers, until all writers have ended. One wait serves whatever came
    /// together during the last one.
    fn acknowledge(self, acks: &Receiver<Acks>) -> Result<(), Failure> {
        let result = self.acknowledge_until_failure(acks);
        if result.is_err() {
            self.belt.stop(Ending::Io);
        }
        result
    }

    fn acknowledge_until_failure(self, acks: &Receiver<Acks>) -> Result<(), Failure> {
        let mut out = Output::lock();
        while let Ok(first) = acks.recv() {
            let mut last = first.last;
            let mut group = vec![first];
            // Bounded, so that a flood of input does not put off what is durable already.
            while let Some(more) = (group.len() < GROUP_MAX).then(|| acks.try_recv().ok()).flatten() {
                last = last.max(more.last);
                group.push(more);
            }
            let stable = self.log.make_stable(last);
            // Even if the log failed, it may have made the beginning of this durable first.
            let end = stable.as_ref().map_or_else(|_| self.log.stable_lsn(), |end| *end);
            for acks in group.iter().filter(|acks| acks.last < end) {
                out.bytes(&acks.lines)?;
            }
            out.flush()?;
            stable.map_err(|error| Failure::log(self.dir, &error))?;
        }
        Ok(())
    }
}

/// How many batches are acknowledged together at most.
const GROUP_MAX: usize = 64;
