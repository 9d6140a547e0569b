//! Writing out: ready buffers as a whole, and what is complete before an open reservation; waiting for either; stopping.
//!
//! A buffer is written when nobody fills it any more. Whoever waits and finds that all who do hold reservations, which may
//! stay open for as long as their holders like, or for ever, writes what is complete before the first of them; whoever leads
//! a commit round syncs that, and goes on waiting. The last writer out writes the rest.

use std::{io, sync::Arc, time::Instant};

use esker_format::{FileOffset, Lsn, MessageKind};
use esker_storage::is_out_of_space;

use crate::{
    Engine, EngineError, IoAction, Poison,
    progress::{LifeState, Progress},
    read::Pinned,
    sync::{self, Condvar, IS_SIMULATED, MutexGuard, Ordering, thread},
};

/// On whose behalf a thread waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// On its own.
    Alone,
    /// On behalf of a commit round that it leads: as long as it does, nobody else syncs.
    Leading,
}

/// A sealed buffer that only reservations keep from being ready.
#[derive(Clone, Copy, Debug)]
struct HeldBuffer {
    seq: u64,
    /// Where in its memory the first of them begins.
    at: u32,
}

impl Engine {
    /// Waits until everything below `end` is written, and returns up to where it is.
    pub(crate) fn await_written(&self, end: Lsn, waits: Waits) -> Result<Lsn, EngineError> {
        self.await_progress(waits, |progress| (progress.written >= end).then_some(progress.written))
    }

    /// Waits until `done` answers. Tries writes again that found the storage full; if it still is, or if the engine
    /// stops, the answer is that error. Has made written what is complete before an open reservation, and stable if it
    /// leads, before it waits for that.
    pub(crate) fn await_progress<T>(
        &self,
        waits: Waits,
        mut done: impl FnMut(&mut Progress) -> Option<T>,
    ) -> Result<T, EngineError> {
        let mut is_patient = true;
        let mut progress = sync::lock(&self.progress);
        loop {
            if let Some(answer) = done(&mut progress) {
                return Ok(answer);
            }
            if let Some(poison) = &progress.poison {
                return Err(poison.clone().into());
            }
            if let Some(index) = progress.take_no_space() {
                drop(progress);
                self.try_write(index)?;
                progress = sync::lock(&self.progress);
                continue;
            }
            if let Some(held) = self.held(&progress) {
                if is_patient {
                    is_patient = false;
                    progress = self.yield_to_holders(progress);
                    continue;
                }
                if progress.written < self.slot(held.seq).lsn_at(held.at) {
                    if !progress.life(held.seq).prefix_under_way {
                        progress = self.write_before(progress, held)?;
                        continue;
                    }
                } else if waits == Waits::Leading {
                    if progress.stable < progress.written {
                        let written = progress.written;
                        drop(progress);
                        self.sync_to(written)?;
                        progress = sync::lock(&self.progress);
                        self.wake_cohorts();
                        continue;
                    }
                    if !progress.rounds.is_held_up() {
                        progress.rounds.hold_up();
                        self.wake_cohorts();
                    }
                }
            }
            progress.sleepers += 1;
            progress = sync::wait(&self.moved, &self.progress, progress);
            progress.sleepers -= 1;
        }
    }

    /// The first buffer that is not written, if only reservations keep it from that. Under the lock its life goes on.
    fn held(&self, progress: &Progress) -> Option<HeldBuffer> {
        let seq = progress.first_unwritten;
        let at = (seq <= progress.newest).then(|| self.slot(seq).held_at())??;
        Some(HeldBuffer { seq, at })
    }

    /// Gives those who hold reservations a moment to finish them, which spares a write and a sync: half as long as a sync
    /// takes at most.
    fn yield_to_holders<'a>(&'a self, mut progress: MutexGuard<'a, Progress>) -> MutexGuard<'a, Progress> {
        let at_most = progress.rounds.patience_max();
        // A simulation that waited for some time would not be the same each time.
        if at_most.is_zero() || IS_SIMULATED {
            return progress;
        }
        let began = Instant::now();
        while self.held(&progress).is_some() && began.elapsed() < at_most {
            drop(progress);
            thread::yield_now();
            progress = sync::lock(&self.progress);
        }
        progress
    }

    /// Writes what is complete before the first reservation in a buffer, and was not written yet.
    fn write_before<'a>(
        &'a self,
        mut progress: MutexGuard<'a, Progress>,
        held: HeldBuffer,
    ) -> Result<MutexGuard<'a, Progress>, EngineError> {
        let slot = self.slot(held.seq);
        let from = slot.at(progress.written).expect("I4: what is written ends in the first buffer that is not");
        progress.life_mut(held.seq).prefix_under_way = true;
        // The buffer is not written, so that its life goes on (I5); from now on because of the pin (I6).
        let pinned = Pinned::new(self, slot);
        drop(progress);
        let bytes = slot.settled_bytes(from, held.at);
        let (offset, end) = (slot.file_at(from), slot.lsn_at(held.at));
        let written = self.write_bytes(bytes, offset);
        let mut progress = sync::lock(&self.progress);
        progress.life_mut(held.seq).prefix_under_way = false;
        match written {
            Ok(()) => {
                progress.mark_written_before(held.seq, end);
                let sync_due = progress.ask_for_sync(self.options.unsynced_bytes_max);
                self.notify(&progress);
                drop(progress);
                if sync_due {
                    self.source.sync_due();
                }
            }
            Err(error) if is_out_of_space(&error) => {
                self.counters.no_space_writes.add(1);
                let at = progress.written;
                // Whoever left this to us is to find out by itself.
                self.notify(&progress);
                drop(progress);
                return Err(EngineError::NoSpace { at, source: Arc::new(error) });
            }
            Err(error) => return Err(self.stop(&mut progress, IoAction::Write, offset, error).into()),
        }
        drop(pinned);
        Ok(sync::lock(&self.progress))
    }

    /// Writes bytes to their place in the file.
    fn write_bytes(&self, bytes: &[u8], offset: FileOffset) -> io::Result<()> {
        // Before the first segment there is a buffer of no bytes.
        if bytes.is_empty() {
            return Ok(());
        }
        let _guard = StopOnPanic { engine: self, action: IoAction::Write, offset };
        self.file.write_all_at(bytes, offset.get())?;
        self.counters.writes.add(1);
        self.counters.bytes_written.add(bytes.len() as u64);
        Ok(())
    }

    /// Writes a buffer that became ready by the caller's doing. What goes wrong reaches those who wait for it.
    #[cold]
    pub(crate) fn write_ready(&self, index: usize) {
        // A full storage is reported to whoever waits for this buffer, and a failed write stops the engine; the thread
        // that happens to be the last one out asked for neither.
        drop(self.try_write(index));
    }

    /// Writes a ready buffer. The caller is the only one to do so.
    fn try_write(&self, index: usize) -> Result<(), EngineError> {
        let slot = &self.slots()[index];
        let written = {
            let progress = sync::lock(&self.progress);
            // What is lost anyway is not worth a write to a device that fails.
            if let Some(poison) = &progress.poison {
                return Err(poison.clone().into());
            }
            progress.written
        };
        let finished = slot.finish(|lsn, pad| self.fill_pad(lsn, pad));
        // What was complete before a reservation is written already, and may be stable: it is left alone.
        let before = written.get().saturating_sub(finished.lsn.get());
        let (bytes, offset) = (&finished.bytes[before as usize..], FileOffset::new(finished.offset.get() + before));
        match self.write_bytes(bytes, offset) {
            Ok(()) => {
                self.counters.pad_bytes.add(u64::from(finished.pad_bytes));
                let mut progress = sync::lock(&self.progress);
                progress.mark_written(index, finished.end);
                let sync_due = progress.ask_for_sync(self.options.unsynced_bytes_max);
                self.notify(&progress);
                drop(progress);
                if sync_due {
                    self.source.sync_due();
                }
                Ok(())
            }
            Err(error) if is_out_of_space(&error) => {
                self.counters.no_space_writes.add(1);
                let mut progress = sync::lock(&self.progress);
                progress.lives[index].state = LifeState::NoSpace;
                let at = progress.lives[index].lsn;
                self.notify(&progress);
                Err(EngineError::NoSpace { at, source: Arc::new(error) })
            }
            Err(error) => {
                let mut progress = sync::lock(&self.progress);
                Err(self.stop(&mut progress, IoAction::Write, offset, error).into())
            }
        }
    }

    /// Fills the end of a segment with a pad message.
    fn fill_pad(&self, lsn: Lsn, pad: &mut [u8]) {
        pad.fill(0);
        self.seal_message(MessageKind::Pad, lsn, self.stable(), pad);
    }

    /// Stops the engine for good and wakes everybody who sleeps. The first error stays; it is returned.
    pub(crate) fn stop(
        &self,
        progress: &mut MutexGuard<'_, Progress>,
        action: IoAction,
        offset: FileOffset,
        error: io::Error,
    ) -> Poison {
        let poison = progress.poison.get_or_insert_with(|| Poison { action, offset, source: Arc::new(error) }).clone();
        // ORDERING: Relaxed: a hint; the lock publishes the poison itself.
        self.hot.stopped.store(true, Ordering::Relaxed);
        self.notify(progress);
        self.wake_cohorts();
        poison
    }

    /// Wakes all who sleep until a round ends, to look again. Called with the lock held.
    fn wake_cohorts(&self) {
        self.committed.iter().for_each(Condvar::notify_all);
    }

    /// Wakes the sleepers. Called with the lock held, so that none can miss it between its check and its sleep.
    pub(crate) fn notify(&self, progress: &MutexGuard<'_, Progress>) {
        if progress.sleepers > 0 {
            self.moved.notify_all();
        }
    }
}

/// Stops the engine if the storage panics: otherwise whoever waits for the outcome would wait for ever.
pub(crate) struct StopOnPanic<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) action: IoAction,
    pub(crate) offset: FileOffset,
}

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if sync::is_panicking() {
            let mut progress = sync::lock(&self.engine.progress);
            self.engine.stop(&mut progress, self.action, self.offset, io::Error::other("the storage panicked"));
        }
    }
}
