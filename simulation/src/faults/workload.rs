//! What a log goes through: three lives, in which everything is done that a log can do, whatever fails.
//!
//! Calls go on after errors, so that it shows what a log does that has had one.

use std::{sync::Arc, thread};

use esker_log::{ErrorKind, Log, LogReader, Lsn};

use crate::{
    point::{Call, Fault, Phase, Set},
    promises::{Missing, Records, collect},
    trial::Trial,
};

const WRITERS: usize = 4;

/// All of it.
pub(crate) fn live(trial: &Trial) {
    if let Some(log) = trial.open(Phase::Create) {
        trial.first_life(&log);
        trial.aftermath(&log);
        // It ends without notice.
        let disk = trial.disk();
        let is_cut = !disk.is_on() || trial.set != Set::Background;
        let left = if is_cut { disk.after_crash(trial.turn as u64) } else { disk.kill() };
        disk.crash();
        trial.state().log = None;
        drop(take(log));
        trial.begin_life(left, Phase::Recover);
    } else {
        let disk = trial.disk();
        let left = if disk.is_on() { disk } else { disk.after_crash(trial.turn as u64) };
        trial.begin_life(left, Phase::Recover);
    }
    if trial.recover(Phase::Recover).is_some() && trial.disk().is_on() {
        let disk = trial.disk();
        trial.begin_life(disk, Phase::Reopen);
        trial.read_beside();
        trial.recover(Phase::Reopen);
    }
}

/// The log itself, once nobody else looks at it.
fn take(mut log: Arc<Log>) -> Log {
    loop {
        match Arc::try_unwrap(log) {
            Ok(log) => return log,
            Err(shared) => log = shared,
        }
        thread::yield_now();
    }
}

impl Trial {
    /// Opens the log; if that fails, once more on a healthy disk, which has to succeed.
    fn open(&self, phase: Phase) -> Option<Arc<Log>> {
        self.book.enter(phase);
        for attempt in 0..2 {
            self.book.set_opening(true);
            let opened = Log::open(Arc::new(self.storage()), self.options());
            self.book.set_opening(false);
            if let Some(log) = self.outcome(None, "opening", opened) {
                let log = Arc::new(log);
                let mut state = self.state();
                state.promises.created = true;
                state.log = Some(log.clone());
                return Some(log);
            }
            if !self.disk().is_on() {
                return None;
            }
            if attempt == 0 {
                self.heal();
            }
        }
        None
    }

    /// Opens a log that was there before, and does a little with it.
    fn recover(&self, phase: Phase) -> Option<()> {
        let log = self.open(phase)?;
        let (found, errors) = match self.outcome(Some(&log), "iterating", log.iter_from(Lsn::ZERO)) {
            Some(records) => collect(records),
            None => (Records::new(), Vec::new()),
        };
        let told = !errors.is_empty();
        for error in errors {
            self.outcome::<()>(Some(&log), "iterating", Err(error));
        }
        let missing = match (told, self.is_damage()) {
            (true, _) => Missing::Anything,
            (false, true) => Missing::From(log.report().mark),
            (false, false) => Missing::Unacknowledged,
        };
        let wrong = self.state().promises.judge(log.floor(), &found, missing);
        wrong.into_iter().for_each(|wrong| self.violate(format!("{}: {wrong}", phase.name())));
        if told {
            // What it could not read now may be there another time.
            self.state().log = None;
            drop(take(log));
            return None;
        }
        self.state().promises.recovered(log.floor(), found, log.stable_lsn());
        self.append(&log, 60);
        self.append_durable(&log, 90);
        self.aftermath(&log);
        self.close(log);
        Some(())
    }

    /// A reader that is not the log's.
    fn read_beside(&self) {
        let Some(reader) = self.outcome(None, "reading beside", LogReader::open(Arc::new(self.storage()))) else {
            return;
        };
        let (found, errors) = collect(reader.iter_from(Lsn::ZERO));
        let told = !errors.is_empty() || reader.report().damage.is_some();
        for error in errors {
            self.outcome::<()>(None, "reading beside", Err(error));
        }
        if let Some(damage) = reader.report().damage.clone().filter(|_| !self.is_damage()) {
            self.violate(format!("reading beside: {damage}"));
        }
        let missing = match (told, self.is_damage()) {
            (true, _) => Missing::Anything,
            (false, true) => Missing::From(reader.report().mark),
            (false, false) => Missing::Unacknowledged,
        };
        let wrong = self.state().promises.judge(reader.floor(), &found, missing);
        wrong.into_iter().for_each(|wrong| self.violate(format!("reading beside: {wrong}")));
    }

    fn first_life(&self, log: &Log) {
        self.book.enter(Phase::Append);
        for n in 0..30 {
            self.append(log, 40 + n * 71 % 300);
        }
        self.batch(log);
        self.reserve(log);
        self.book.enter(Phase::Wait);
        let newest = self.append(log, 100);
        if let Some(lsn) = newest {
            self.wait(log, lsn);
        }
        self.append_durable(log, 200);
        self.append_durable(log, 30);
        self.append(log, 80);
        self.upkeep(log);
        self.flush(log);
        self.on_full(log);
        self.book.enter(Phase::Threads);
        thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| (0..3).for_each(|n| self.append_durable(log, 30 + n * 20)));
            }
        });
        self.on_full(log);
        self.book.enter(Phase::Read);
        self.append(log, 50);
        self.read_acknowledged(log);
        self.iterate(log);
        self.book.enter(Phase::Blob);
        let over = log.inline_bytes_max() as usize + 1;
        let blob = self.append(log, over);
        self.append_durable(log, over + 3000);
        self.append(log, 70);
        self.flush(log);
        self.on_full(log);
        self.read_acknowledged(log);
        self.book.enter(Phase::Truncate);
        if let Some(blob) = blob {
            self.truncate(log, blob + 1);
        }
        self.outcome(Some(log), "collecting blobs", log.collect_blobs());
        self.on_full(log);
        self.book.enter(Phase::Append);
        for n in 0..16 {
            self.append(log, 150 + n * 10);
        }
        self.upkeep(log);
        self.flush(log);
        self.append(log, over + 100);
        self.append(log, 45);
        self.on_full(log);
    }

    fn append(&self, log: &Log, len: usize) -> Option<Lsn> {
        let payload = self.payload(len);
        let result = log.append(&payload);
        if let Ok(lsn) = result {
            self.state().promises.place(lsn, payload);
        }
        self.outcome(Some(log), "appending", result)
    }

    fn batch(&self, log: &Log) {
        let payloads: Vec<_> = (0..6).map(|n| self.payload(50 + n * 10)).collect();
        let mut lsns = Vec::new();
        let result = log.append_batch(&payloads.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut lsns);
        self.outcome(Some(log), "appending a batch", result);
        let mut state = self.state();
        lsns.into_iter().zip(payloads).for_each(|(lsn, payload)| state.promises.place(lsn, payload));
    }

    fn reserve(&self, log: &Log) {
        for completes in [true, false] {
            let payload = self.payload(120);
            let Some(mut reservation) = self.outcome(Some(log), "reserving", log.reserve(120)) else { continue };
            if completes {
                reservation.payload_mut().copy_from_slice(&payload);
                self.state().promises.place(reservation.lsn(), payload);
                reservation.complete();
            } else {
                reservation.abort();
            }
        }
    }

    /// What is acknowledged after the log has said that it stopped must have been stable before.
    fn acknowledge(&self, what: &str, stopped_at: Option<Lsn>, stable: Lsn) {
        if let Some(stopped_at) = stopped_at.filter(|&at| stable > at) {
            self.violate(format!("{what}: acknowledged {stable} after the log stopped at {stopped_at}"));
        }
        self.state().promises.acknowledge(stable);
    }

    fn wait(&self, log: &Log, lsn: Lsn) {
        let stopped_at = self.stopped_at();
        if let Some(stable) = self.outcome(Some(log), "waiting", log.make_stable(lsn)) {
            self.acknowledge("waiting", stopped_at, stable);
        }
    }

    fn flush(&self, log: &Log) {
        let stopped_at = self.stopped_at();
        if let Some(stable) = self.outcome(Some(log), "flushing", log.flush()) {
            self.acknowledge("flushing", stopped_at, stable);
        }
    }

    fn append_durable(&self, log: &Log, len: usize) {
        let payload = self.payload(len);
        let stopped_at = self.stopped_at();
        let result = log.append_durable(&payload);
        match result {
            Ok(lsn) => {
                self.state().promises.place(lsn, payload);
                self.acknowledge("appending durably", stopped_at, lsn + 1);
            }
            Err(_) => self.state().promises.leave_unplaced(payload),
        }
        self.outcome(Some(log), "appending durably", result);
    }

    fn upkeep(&self, log: &Log) {
        if self.set != Set::Background {
            self.outcome(Some(log), "the upkeep", log.run_upkeep());
        }
        let stopped_at = self.stopped_at();
        self.acknowledge("the upkeep", stopped_at, log.stable_lsn());
    }

    fn truncate(&self, log: &Log, lsn: Lsn) -> u32 {
        self.state().promises.truncating(lsn);
        let truncated = self.outcome(Some(log), "truncating", log.truncate_before(lsn));
        truncated.map_or(0, |truncation| {
            self.state().promises.truncated(truncation.floor);
            truncation.segments_freed
        })
    }

    /// Reads every record that has to be there.
    fn read_acknowledged(&self, log: &Log) {
        let acknowledged = self.state().promises.acknowledged();
        for (lsn, payload) in acknowledged {
            match log.read(lsn) {
                Ok(record) if record.payload() == payload => (),
                Ok(_) => self.violate(format!("altered: lsn {lsn} reads as something else than was appended")),
                Err(error) if self.may_fail_reading() => {
                    self.outcome::<()>(Some(log), "reading", Err(error));
                }
                Err(error) => self.violate(format!("reading lsn {lsn}, which is stable: {error}")),
            }
        }
    }

    fn iterate(&self, log: &Log) {
        let Some(records) = self.outcome(Some(log), "iterating", log.iter_from(Lsn::ZERO)) else { return };
        let (found, errors) = collect(records);
        let told = !errors.is_empty();
        for error in errors {
            if self.may_fail_reading() {
                self.outcome::<()>(Some(log), "iterating", Err(error));
            } else {
                self.violate(format!("iterating: {error}"));
            }
        }
        let missing = if told { Missing::Anything } else { Missing::Unacknowledged };
        let wrong = self.state().promises.judge(log.floor(), &found, missing);
        wrong.into_iter().for_each(|wrong| self.violate(format!("iterating: {wrong}")));
    }

    /// If somebody was told that the disk is full: it costs the calls that need room, and nothing else; and the log goes
    /// on, without being opened again, when segments are freed, and when the disk is larger.
    fn on_full(&self, log: &Log) {
        if !self.state().is_full {
            return;
        }
        self.read_acknowledged(log);
        self.append(log, 100);
        self.flush(log);
        let last = self.state().promises.acknowledged().keys().next_back().copied();
        if let Some(last) = last.filter(|_| self.turn.is_multiple_of(2))
            && self.truncate(log, last) > 0
        {
            let payload = self.payload(60);
            match log.append_durable(&payload) {
                Ok(lsn) => {
                    self.state().promises.place(lsn, payload);
                    self.acknowledge("appending", None, lsn + 1);
                }
                Err(error) => self.violate(format!("appending where segments were freed: {error}")),
            }
        }
        self.heal();
        self.append_durable(log, 60);
        self.append_durable(log, log.inline_bytes_max() as usize + 200);
        self.flush(log);
    }

    /// What the log does in the end of a life in which something failed.
    fn aftermath(&self, log: &Log) {
        self.book.enter(Phase::After);
        self.on_full(log);
        if self.fault == Some(Fault::Full) {
            self.heal();
        }
        let hit = self.book.hit_now();
        let is_on = self.disk().is_on();
        let has_failed = hit.is_some_and(|hit| hit.by_engine) && self.fault.is_some_and(Fault::is_error);
        let may_go_on_failing = self.fault == Some(Fault::Since) && hit.is_some();
        self.append_durable(log, 33);
        if has_failed || !is_on {
            if self.stopped_at().is_none() && is_on {
                self.violate("a call of the engine failed, and the log did not stop");
                return;
            }
            // By any thread, and as often as it is tried: the disk works again, where the fault was a single one.
            thread::scope(|scope| {
                for _ in 0..WRITERS {
                    scope.spawn(|| {
                        for _ in 0..2 {
                            let appended = log.append_durable(&self.payload(40));
                            match appended {
                                Err(error) if error.kind() == ErrorKind::Poisoned || !is_on => (),
                                Err(error) => self.violate(format!("after the log stopped: {error}")),
                                Ok(lsn) => self.violate(format!("acknowledged {lsn} after the log stopped")),
                            }
                        }
                    });
                }
            });
            if log.flush().is_ok_and(|stable| stable < log.end_lsn()) {
                self.violate("flushed what it has not");
            }
        } else if !may_go_on_failing {
            if self.stopped_at().is_some() {
                self.violate("the log stopped for no reason");
            }
            let before = self.violations().len();
            let payload = self.payload(44);
            match log.append_durable(&payload) {
                Ok(lsn) => {
                    self.state().promises.place(lsn, payload);
                    self.acknowledge("appending", None, lsn + 1);
                }
                Err(error) if before == 0 => self.violate(format!("the log does not go on: {error}")),
                Err(_) => (),
            }
        }
        self.read_acknowledged(log);
        if is_on {
            self.iterate(log);
        }
    }

    fn close(&self, log: Arc<Log>) {
        self.book.enter(Phase::Close);
        self.state().log = None;
        let before = self.book.hit_now().is_some();
        let result = take(log).close();
        let failed = self.book.hit_now().filter(|hit| !before && hit.by_engine);
        if result.is_ok() && failed.is_some() && self.fault.is_some_and(Fault::is_error) {
            self.violate("closing succeeded, though a call of the engine failed");
        }
        if let Some(hit) = self.book.hit_now().filter(|_| result.is_ok() && !before)
            && hit.call != Call::Remove
            && matches!(self.fault, Some(Fault::Once | Fault::Since | Fault::Short | Fault::Cut))
        {
            self.violate("closing succeeded, though a call failed");
        }
        let stopped_at = self.stopped_at();
        if let Some(end) = self.outcome(None, "closing", result) {
            self.acknowledge("closing", stopped_at, end);
        }
    }
}
