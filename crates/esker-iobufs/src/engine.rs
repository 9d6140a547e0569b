//! The ring of buffers: starting, exchanging the open buffer, writing sealed ones out.
//!
//! Two locks, always taken in this order: *roll*, held while the open buffer is exchanged for the next one, and
//! *progress*. An append that fits the open buffer takes neither.

use std::{fmt, io, sync::Arc};

use crossbeam_utils::CachePadded;
use esker_format::{
    ChecksumSeed, Epoch, FileOffset, Lsn, MESSAGE_HEADER_BYTES, MessageHeader, MessageKind, SegmentHeader,
};
use esker_header::{Header, Refusal};
use esker_storage::{StorageFile, is_out_of_space};

use crate::{
    ActiveSegment, EngineError, IoAction, Options, OptionsError, Poison, SegmentSource, SourceError, Stats,
    progress::{LifeState, Progress},
    reserve::Reservation,
    rounds::Rounds,
    slot::{Claim, Place, Slot},
    stats::Counters,
    sync::{self, AtomicBool, AtomicU64, Condvar, Mutex, MutexGuard, Ordering},
};

/// Lock-free I/O buffers over one file: many threads claim ranges and fill them at once; sealed buffers are written as a
/// whole, and one sync makes everything stable that was written before it.
///
/// All methods take `&self`; share it by reference or in an `Arc`.
pub struct IoBufs {
    hot: CachePadded<Hot>,
    /// A copy of `Progress::stable` for readers without the lock.
    pub(crate) stable: CachePadded<AtomicU64>,
    roll: CachePadded<Mutex<Roll>>,
    pub(crate) progress: CachePadded<Mutex<Progress>>,
    /// Notified under `progress` whenever a buffer was written or released, the storage was found full, or the engine
    /// stopped.
    moved: Condvar,
    /// Notified at the end of a commit round, and when the engine stops: one for each cohort of waiters.
    pub(crate) committed: [Condvar; Rounds::COHORTS],
    /// A copy of `Rounds::is_led` for those who wait without sleeping.
    pub(crate) led: CachePadded<AtomicBool>,
    pub(crate) counters: CachePadded<Counters>,
    pub(crate) file: Arc<dyn StorageFile>,
    pub(crate) source: Arc<dyn SegmentSource>,
    pub(crate) options: Options,
}

/// What every append reads and nothing but the exchange of a buffer, or the end of the engine, writes: on one cache line.
#[derive(Debug)]
struct Hot {
    /// The ring.
    slots: Box<[Slot]>,
    seed: ChecksumSeed,
    payload_bytes_max: u32,
    epoch: Epoch,
    /// The sequence number of the open buffer; its place in the ring is this modulo the number of buffers.
    current: AtomicU64,
    /// Whether `Progress::poison` is set: a hint for the fast path.
    stopped: AtomicBool,
}

/// What the holder of the roll lock keeps.
#[derive(Debug, Default)]
struct Roll {
    /// The segment after the open buffer's, once it was asked for.
    next_segment: Option<ActiveSegment>,
}

/// Why the open buffer is to be exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// A claim did not fit.
    Room,
    /// What it holds is to be written. An empty buffer stays.
    WriteOut,
}

impl IoBufs {
    /// Starts an engine that goes on at `options.tip` of `file`.
    ///
    /// # Errors
    ///
    /// [`OptionsError`] with every fault of the options.
    pub fn start(
        file: Arc<dyn StorageFile>,
        source: Arc<dyn SegmentSource>,
        options: Options,
    ) -> Result<Self, OptionsError> {
        options.validate()?;
        let room = options.room();
        let rounds = Rounds::new(sync::cores(), options.yield_max);
        let engine = Self {
            hot: CachePadded::new(Hot {
                slots: std::iter::repeat_with(|| Slot::new(room)).take(options.buffers as usize).collect(),
                seed: options.log_id.checksum_seed(),
                payload_bytes_max: options.payload_bytes_max(),
                epoch: options.epoch,
                current: AtomicU64::new(0),
                stopped: AtomicBool::new(false),
            }),
            stable: CachePadded::new(AtomicU64::new(options.tip.get())),
            roll: CachePadded::new(Mutex::new(Roll::default())),
            progress: CachePadded::new(Mutex::new(Progress::new(options.buffers, options.tip, rounds))),
            moved: Condvar::new(),
            committed: [Condvar::new(), Condvar::new()],
            led: CachePadded::new(AtomicBool::new(false)),
            counters: CachePadded::default(),
            file,
            source,
            options,
        };
        let first = engine.first_place();
        engine.slots()[0].open(first, None);
        engine.slots()[0].readers.open(first.lsn);
        sync::lock(&engine.progress).open(0, first.lsn);
        Ok(engine)
    }

    /// Where the first buffer belongs.
    fn first_place(&self) -> Place {
        let Options { tip, tip_segment, segment_bytes, .. } = self.options;
        self.place_after(tip, tip_segment + u64::from(tip.offset_in_segment(segment_bytes)))
    }

    /// Reserves room for a message of `len` payload bytes, to be filled in place. Lock-free unless a buffer must be
    /// exchanged; waits, parked, when all buffers are full and none is written yet.
    ///
    /// While a reservation is open, nothing at or beyond its LSN becomes stable, and once all other buffers are full,
    /// reservations wait for it. So a thread that holds one open and waits for either waits for itself.
    ///
    /// # Errors
    ///
    /// [`EngineError::TooLarge`], [`EngineError::NoSpace`], [`EngineError::Segment`], [`EngineError::Poisoned`]. Nothing
    /// is claimed then.
    #[inline]
    pub fn reserve(&self, kind: MessageKind, len: u32) -> Result<Reservation<'_>, EngineError> {
        if len > self.hot.payload_bytes_max {
            return Err(EngineError::TooLarge { len: u64::from(len), max: self.hot.payload_bytes_max });
        }
        let (index, claim) = self.claim(MESSAGE_HEADER_BYTES as u32 + len)?;
        Ok(Reservation::new(self, index, claim, kind))
    }

    #[inline]
    pub(crate) fn claim(&self, bytes: u32) -> Result<(usize, Claim), EngineError> {
        loop {
            // ORDERING: Relaxed: a hint only. A look at a copied or stale flag or number does no harm: the slot's word
            // decides the claim, and the locks of the slow path decide the rest.
            if self.hot.stopped.load(Ordering::Relaxed) {
                self.check_poison()?;
            }
            // ORDERING: Relaxed: see above.
            let seq = self.hot.current.load(Ordering::Relaxed);
            let index = self.index(seq);
            match self.slots()[index].claim(bytes) {
                Ok(claim) => return Ok((index, claim)),
                Err(Refusal::Full) => drop(self.roll(Some(seq), Need::Room)?),
                Err(Refusal::WritersExhausted) => drop(self.roll(Some(seq), Need::WriteOut)?),
                // The holder of the roll lock is about to open the successor.
                Err(Refusal::Sealed) => drop(sync::lock(&self.roll)),
            }
        }
    }

    /// The longest payload of one message in bytes.
    #[must_use]
    pub fn payload_bytes_max(&self) -> u32 {
        self.hot.payload_bytes_max
    }

    /// Everything below this LSN is stable: it survives the loss of power.
    #[must_use]
    pub fn stable(&self) -> Lsn {
        // ORDERING: Acquire pairs with the Release in `commit` [P3]: whoever sees the watermark also sees what the sync
        // that moved it did.
        Lsn::new(self.stable.load(Ordering::Acquire))
    }

    /// Everything below this LSN was handed to the storage.
    #[must_use]
    pub fn written(&self) -> Lsn {
        sync::lock(&self.progress).written
    }

    /// The end of everything that was ever reserved.
    #[must_use]
    pub fn reserved(&self) -> Lsn {
        let _roll = sync::lock(&self.roll);
        let slot = self.current_slot();
        self.claimed_end(slot, slot.header())
    }

    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counters.snapshot()
    }

    /// The error that stopped the engine, if one did.
    #[must_use]
    pub fn poison(&self) -> Option<Poison> {
        sync::lock(&self.progress).poison.clone()
    }

    /// Hands everything reserved so far to the storage, without a sync, and returns up to where. Waits for open
    /// reservations among it.
    ///
    /// # Errors
    ///
    /// [`EngineError::NoSpace`], [`EngineError::Segment`], [`EngineError::Poisoned`].
    pub fn write_out(&self) -> Result<Lsn, EngineError> {
        let end = self.seal_open_buffer()?;
        self.await_written(end)
    }

    /// Exchanges the open buffer for the next one, unless it is empty. Returns the end of what was claimed.
    pub(crate) fn seal_open_buffer(&self) -> Result<Lsn, EngineError> {
        self.roll(None, Need::WriteOut)
    }

    /// The ring.
    #[inline]
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.hot.slots
    }

    /// The header of a message of this opening, sealed.
    #[inline]
    pub(crate) fn seal_message(&self, kind: MessageKind, lsn: Lsn, mark: Lsn, message: &mut [u8]) {
        let len = (message.len() - MESSAGE_HEADER_BYTES) as u32;
        MessageHeader { kind, len, lsn, mark, epoch: self.hot.epoch }.seal(message, self.hot.seed);
    }

    /// The place in the ring of the buffer with a sequence number. The ring's size is a power of two.
    pub(crate) fn index(&self, seq: u64) -> usize {
        seq as usize & (self.slots().len() - 1)
    }

    /// The sequence number of the newest buffer that a reader need look at. A stale one misses what was appended after.
    pub(crate) fn newest(&self) -> u64 {
        // ORDERING: Relaxed: a hint; the slot says what it holds.
        self.hot.current.load(Ordering::Relaxed)
    }

    /// The open buffer. Only for holders of the roll lock, under which it stays so.
    fn current_slot(&self) -> &Slot {
        // ORDERING: Relaxed: written under the roll lock, which the caller holds.
        &self.slots()[self.index(self.hot.current.load(Ordering::Relaxed))]
    }

    /// The end of what was claimed in an open buffer when its word was `seen`: a segment header before the first claim does
    /// not count.
    fn claimed_end(&self, slot: &Slot, seen: Header) -> Lsn {
        let claimed = seen.offset().get();
        if claimed == slot.opened() { slot.first_lsn() } else { slot.lsn_at(claimed) }
    }

    pub(crate) fn check_poison(&self) -> Result<(), EngineError> {
        match self.poison() {
            Some(poison) => Err(poison.into()),
            None => Ok(()),
        }
    }

    /// Exchanges the open buffer, if it still is `seq` or `None` was given, for the next one, and writes it if nobody is
    /// filling it. Returns the end of what was claimed before.
    ///
    /// Everything that can fail comes before the seal, so that an error leaves the open buffer open.
    fn roll(&self, seq: Option<u64>, need: Need) -> Result<Lsn, EngineError> {
        let mut roll = sync::lock(&self.roll);
        self.check_poison()?;
        // ORDERING: Relaxed: written under the roll lock.
        let current = self.hot.current.load(Ordering::Relaxed);
        let slot = &self.slots()[self.index(current)];
        // Looked at once: what is claimed from now on, nobody was asked to write.
        let seen = slot.header();
        let untouched = seen.offset().get() == slot.opened();
        if seq.is_some_and(|seq| seq != current) || (need == Need::WriteOut && untouched) {
            return Ok(self.claimed_end(slot, seen));
        }
        self.await_free(current + 1)?;
        let (sealed, ends_segment) = self.seal(slot, need, &mut roll)?;
        let claimed = sealed.offset().get();
        let (place, segment_header) = if ends_segment {
            let segment = roll.next_segment.take().expect("a segment was prepared before the seal");
            self.place_in_new_segment(self.segment_end(slot), segment)
        } else {
            (self.place_after(slot.lsn_at(claimed), slot.file_at(claimed)), None)
        };
        let end = if ends_segment { place.lsn } else { slot.lsn_at(claimed) };
        let next = &self.slots()[self.index(current + 1)];
        next.open(place, segment_header.as_ref().map(|header| &header[..]));
        next.readers.open(place.lsn);
        sync::lock(&self.progress).open(current + 1, place.lsn);
        // ORDERING: Relaxed: whoever sees the new number too early or too late finds out by the word or by the roll lock.
        self.hot.current.store(current + 1, Ordering::Relaxed);
        drop(roll);
        if sealed.is_ready() {
            self.write_ready(self.index(current));
        }
        Ok(end)
    }

    /// Seals the open buffer, once the segment after it is prepared if it is the last of its own.
    fn seal(&self, slot: &Slot, need: Need, roll: &mut Roll) -> Result<(Header, bool), EngineError> {
        // Writing out asks for no segment, even if this one is exactly full: what was claimed can become stable although
        // there is no room for more.
        let ends_segment = slot.ends_segment() && need == Need::Room;
        loop {
            let seen = slot.header();
            if ends_segment && roll.next_segment.is_none() {
                let base = self.segment_end(slot);
                let segment = self.source.activate(base).map_err(|error| match error {
                    SourceError::NoSpace { source } => EngineError::NoSpace { at: base, source },
                    SourceError::Io { source } => EngineError::Segment { base, source },
                })?;
                self.counters.segments.add(1);
                roll.next_segment = Some(segment);
            }
            if let Ok(sealed) = slot.seal(seen, ends_segment) {
                return Ok((sealed, ends_segment));
            }
        }
    }

    /// The end of the segment that a buffer ends with.
    fn segment_end(&self, slot: &Slot) -> Lsn {
        slot.lsn_at(self.options.room().end.get())
    }

    /// The first buffer of a segment, with the segment's header.
    fn place_in_new_segment(&self, base: Lsn, segment: ActiveSegment) -> (Place, Option<SegmentHeaderBytes>) {
        let rest = self.options.segment_bytes.get();
        let bytes = self.options.capacity(rest);
        let header = SegmentHeader {
            log_id: self.options.log_id,
            base,
            floor: segment.floor,
            mark: self.stable(),
            epoch: self.hot.epoch,
            segment_bytes: self.options.segment_bytes,
        };
        let place = Place { lsn: base, file: segment.offset, bytes, ends_segment: bytes == rest };
        (place, Some(header.encode()))
    }

    /// The buffer that goes on at `lsn`: the rest of its segment, or, where no segment is begun yet, no bytes at all, so
    /// that the first claim asks for one.
    fn place_after(&self, lsn: Lsn, file: FileOffset) -> Place {
        let segment_bytes = self.options.segment_bytes;
        let at = lsn.offset_in_segment(segment_bytes);
        let rest = if at == 0 { 0 } else { segment_bytes.get() - at };
        let bytes = self.options.capacity(rest);
        Place { lsn, file, bytes, ends_segment: bytes == rest }
    }

    /// Waits until the buffer for `seq` may begin its next life.
    fn await_free(&self, seq: u64) -> Result<(), EngineError> {
        let mut waited = false;
        self.await_progress(|progress| {
            // I5: its last content is written, and nobody reads it.
            let free = progress.is_written(seq) && self.slots()[self.index(seq)].readers.close();
            if !free && !waited {
                waited = true;
                self.counters.full_waits.add(1);
            }
            free.then_some(())
        })
    }

    /// Waits until everything below `end` is written, and returns up to where it is.
    pub(crate) fn await_written(&self, end: Lsn) -> Result<Lsn, EngineError> {
        self.await_progress(|progress| (progress.written >= end).then_some(progress.written))
    }

    /// Waits until `done` answers. Tries writes again that found the storage full; if it still is, or if the engine
    /// stops, the answer is that error.
    fn await_progress<T>(&self, mut done: impl FnMut(&mut Progress) -> Option<T>) -> Result<T, EngineError> {
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
            progress.sleepers += 1;
            progress = sync::wait(&self.moved, &self.progress, progress);
            progress.sleepers -= 1;
        }
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
        // What is lost anyway is not worth a write to a device that fails.
        self.check_poison()?;
        let finished = slot.finish(|lsn, pad| self.fill_pad(lsn, pad));
        let guard = StopOnPanic { engine: self, action: IoAction::Write, offset: finished.offset };
        // Before the first segment there is a buffer of no bytes.
        let written = match finished.bytes {
            [] => Ok(()),
            bytes => self.file.write_all_at(bytes, finished.offset.get()),
        };
        drop(guard);
        match written {
            Ok(()) => {
                self.counters.writes.add(u64::from(!finished.bytes.is_empty()));
                self.counters.bytes_written.add(finished.bytes.len() as u64);
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
                Err(self.stop(&mut progress, IoAction::Write, finished.offset, error).into())
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
        self.committed.iter().for_each(Condvar::notify_all);
        poison
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
    pub(crate) engine: &'a IoBufs,
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

type SegmentHeaderBytes = [u8; esker_format::SEGMENT_HEADER_BYTES];

impl fmt::Debug for IoBufs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoBufs").field("options", &self.options).field("stats", &self.stats()).finish_non_exhaustive()
    }
}
