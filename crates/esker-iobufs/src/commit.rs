//! Group commit: one sync for everything that was written before it.
//!
//! Whoever waits first leads a *round*: it seals the open buffer, waits until the contiguous prefix with its message is
//! written, syncs, and moves the watermark. Who comes meanwhile joins a *cohort* (`rounds.rs`) and sleeps; their messages
//! gather in the next buffer. The end of a round wakes the cohort that it covered and one of the next, who leads. Where
//! many wait for a fast device, nobody sleeps: they yield to one another and look at the watermark.
//!
//! Before it seals, a leader gives those whom the last round served a moment to come back, if that has paid lately: so
//! all of them share one sync, where otherwise two halves would take turns.

use std::{
    io,
    time::{Duration, Instant},
};

use esker_format::{FileOffset, Lsn};

use crate::{
    Engine, EngineError, IoAction,
    progress::Progress,
    rounds::{Member, Patience, Wake},
    sync::{self, IS_SIMULATED, MutexGuard, Ordering, thread},
    write::{StopOnPanic, Waits},
};

impl Engine {
    /// Waits until the message at `lsn` is stable and returns up to where the log is. Leads a sync or waits for one.
    ///
    /// Any LSN below the end of what was reserved may be given, so `reserved() - 1` waits for everything. An open
    /// reservation is waited for by those who want it or what lies behind it to be stable, for as long as it is open; what
    /// was completed before it becomes stable without it.
    ///
    /// # Errors
    ///
    /// - [`EngineError::NeverReserved`] if nothing was reserved at `lsn`.
    /// - [`EngineError::NoSpace`] if a buffer could not be written; it is kept, and a later call tries again.
    /// - [`EngineError::Segment`] if the log had to go on in a new segment, which could not be prepared.
    /// - [`EngineError::Poisoned`] after a failed write or sync.
    pub fn make_stable(&self, lsn: Lsn) -> Result<Lsn, EngineError> {
        let stable = self.stable();
        if stable > lsn {
            return Ok(stable);
        }
        let mut exists = false;
        let mut yielded = false;
        let mut progress = sync::lock(&self.progress);
        loop {
            // What is stable stays so even after the engine has stopped.
            if progress.stable > lsn {
                return Ok(progress.stable);
            }
            if let Some(poison) = &progress.poison {
                return Err(poison.clone().into());
            }
            if !progress.rounds.is_led() {
                break;
            }
            // Lower LSNs are served first, so that one beyond the log would wait for as long as others come.
            // So would one within the open buffer, for as long as a reservation holds the leader up.
            if !exists && (lsn >= progress.open_limit(self.options.limit()) || progress.rounds.is_held_up()) {
                drop(progress);
                self.check_reserved(lsn)?;
                exists = true;
                progress = sync::lock(&self.progress);
                continue;
            }
            self.counters.commit_waits.add(1);
            let yield_for = if yielded { Duration::ZERO } else { progress.rounds.yield_for() };
            let member = progress.rounds.join(lsn);
            if yield_for.is_zero() {
                progress = self.sleep(progress, member);
                continue;
            }
            drop(progress);
            if let Some(stable) = self.yield_until_stable(lsn, yield_for) {
                return Ok(stable);
            }
            yielded = true;
            progress = sync::lock(&self.progress);
            progress.rounds.leave(member, false);
        }
        let patience = self.begin_round(&mut progress);
        drop(progress);
        let _round = Round(self);
        self.gather(&patience);
        self.lead(lsn)
    }

    /// Makes everything stable that is reserved now and returns up to where the log is stable.
    ///
    /// # Errors
    ///
    /// As [`Engine::make_stable`], without `NeverReserved`.
    pub fn flush(&self) -> Result<Lsn, EngineError> {
        let end = self.reserved();
        match end.get().checked_sub(1) {
            Some(last) if self.stable() < end => self.make_stable(Lsn::new(last)),
            _ => Ok(self.stable()),
        }
    }

    /// Makes everything stable that was written when this was called, without writing out the open buffer: what is due
    /// now and then so that a crash does not leave much to recover. Returns up to where the log is stable.
    ///
    /// # Errors
    ///
    /// [`EngineError::Poisoned`] after a failed write or sync.
    pub fn sync_written(&self) -> Result<Lsn, EngineError> {
        let mut progress = sync::lock(&self.progress);
        let end = progress.written;
        loop {
            if progress.stable >= end {
                return Ok(progress.stable);
            }
            if let Some(poison) = &progress.poison {
                return Err(poison.clone().into());
            }
            if !progress.rounds.is_led() {
                break;
            }
            let stable = progress.stable;
            let member = progress.rounds.join(stable);
            progress = self.sleep(progress, member);
        }
        // Nobody is waited for: those who want more than was written lead a round of their own.
        self.begin_round(&mut progress);
        let written = progress.written;
        progress.rounds.close(written);
        drop(progress);
        let _round = Round(self);
        self.sync_to(written)
    }

    fn check_reserved(&self, lsn: Lsn) -> Result<(), EngineError> {
        let end = self.reserved();
        if lsn >= end { Err(EngineError::NeverReserved { lsn, end }) } else { Ok(()) }
    }

    /// Sleeps until the round of `member` has ended, or it is to lead the next one, or for no reason.
    fn sleep<'a>(&'a self, mut progress: MutexGuard<'a, Progress>, member: Member) -> MutexGuard<'a, Progress> {
        progress.rounds.sleep(member);
        progress = sync::wait(&self.committed[member.index()], &self.progress, progress);
        progress.rounds.leave(member, true);
        progress
    }

    /// Lets other threads run until `lsn` is stable. Gives up when nobody leads, or when it took longer than `at_most`.
    ///
    /// Whoever returns with its LSN stable has not left its cohort: the end of the round, which is near, dismisses that.
    fn yield_until_stable(&self, lsn: Lsn, at_most: Duration) -> Option<Lsn> {
        let began = Instant::now();
        loop {
            // Loom would run everybody else until they wait, so that whoever yields would never give up.
            if !IS_SIMULATED {
                thread::yield_now();
            }
            let stable = self.stable();
            if stable > lsn {
                return Some(stable);
            }
            // ORDERING: Relaxed: a hint; whoever gives up looks again under the lock.
            let is_led = self.led.load(Ordering::Relaxed);
            // A simulation knows no time, and a wait without end would be one schedule too many.
            if !is_led || IS_SIMULATED || began.elapsed() >= at_most {
                return None;
            }
        }
    }

    /// The caller leads a round, from now until [`Round`] is dropped.
    fn begin_round(&self, progress: &mut Progress) -> Patience {
        // ORDERING: Relaxed: a hint to those who yield; the lock guards the truth.
        self.led.store(true, Ordering::Relaxed);
        progress.rounds.begin()
    }

    /// Gives those whom the last round served a moment to come back.
    fn gather(&self, patience: &Patience) {
        if patience.at_most.is_zero() {
            return;
        }
        let began = Instant::now();
        loop {
            // Those who are to come may need this core: yielding lets them have it. The wait is bounded by a part of what a
            // sync takes.
            thread::yield_now();
            let waited = began.elapsed();
            let mut progress = sync::lock(&self.progress);
            if waited >= patience.at_most || progress.rounds.is_complete(patience) {
                return progress.rounds.gathered(patience, waited);
            }
        }
    }

    /// One round, which covers `lsn`.
    fn lead(&self, lsn: Lsn) -> Result<Lsn, EngineError> {
        let end = self.seal_up_to(lsn, Waits::Leading)?;
        if lsn >= end {
            return Err(EngineError::NeverReserved { lsn, end });
        }
        sync::lock(&self.progress).rounds.close(end);
        let written = self.await_written(lsn + 1, Waits::Leading)?;
        self.sync_to(written)
    }

    /// Syncs and moves the watermark to `written`, which was reached before the sync began.
    pub(crate) fn sync_to(&self, written: Lsn) -> Result<Lsn, EngineError> {
        let guard = StopOnPanic { engine: self, action: IoAction::Sync, offset: FileOffset::new(written.get()) };
        if cfg!(esker_sabotage = "early_ack") {
            self.mark_stable(&mut sync::lock(&self.progress), written);
        }
        let began = Instant::now();
        let synced = if cfg!(esker_sabotage = "sync") { Ok(()) } else { self.file.sync_data() };
        let synced =
            if cfg!(esker_sabotage = "sync_retry") { synced.or_else(|_| self.file.sync_data()) } else { synced };
        let took = began.elapsed();
        drop(guard);
        self.conclude_sync(written, synced, Some(took))
    }

    /// Notes how a sync of the file ended that the caller began after [`write_out`](Self::write_out) had returned
    /// `written`, and returns up to where the engine is stable. For several engines that share a file: one sync serves all
    /// of them. An error stops this engine for good, as one that it met itself.
    ///
    /// # Errors
    ///
    /// [`EngineError::Poisoned`] if the sync failed, or if the engine had stopped before.
    pub fn synced(&self, written: Lsn, outcome: io::Result<()>) -> Result<Lsn, EngineError> {
        self.conclude_sync(written, outcome, None)
    }

    fn conclude_sync(&self, written: Lsn, synced: io::Result<()>, took: Option<Duration>) -> Result<Lsn, EngineError> {
        // The outcome takes effect under the lock: after a failure no other sync, whenever it began, acknowledges
        // anything, because a storage may drop what it failed to write and report success the next time.
        let mut progress = sync::lock(&self.progress);
        if let Err(error) = synced {
            // A sync covers the whole file; the watermark says from where on nothing is known.
            let offset = FileOffset::new(progress.stable.get());
            return Err(self.stop(&mut progress, IoAction::Sync, offset, error).into());
        }
        if let Some(poison) = &progress.poison {
            return Err(poison.clone().into());
        }
        self.counters.syncs.add(1);
        if let Some(took) = took {
            progress.rounds.synced(took);
        }
        if written > progress.stable {
            self.mark_stable(&mut progress, written);
            self.source.stable_to(written);
        }
        Ok(progress.stable)
    }

    /// Moves the watermark.
    fn mark_stable(&self, progress: &mut Progress, stable: Lsn) {
        progress.mark_stable(stable);
        // ORDERING: Release pairs with the Acquire in `Engine::stable` [P3].
        self.stable.store(stable.get(), Ordering::Release);
    }
}

/// The leader's office. Given up even if the storage panics: otherwise all who wait would wait for ever.
struct Round<'a>(&'a Engine);

impl Drop for Round<'_> {
    fn drop(&mut self) {
        let Self(engine) = self;
        let mut progress = sync::lock(&engine.progress);
        let stable = progress.stable;
        let woken = progress.rounds.end(stable);
        // ORDERING: Relaxed: a hint to those who yield, who then take the lock.
        engine.led.store(false, Ordering::Relaxed);
        drop(progress);
        for (cohort, wake) in woken {
            let committed = &engine.committed[cohort];
            match wake {
                Wake::Nobody => (),
                Wake::Leader => committed.notify_one(),
                Wake::All => committed.notify_all(),
            }
        }
    }
}
