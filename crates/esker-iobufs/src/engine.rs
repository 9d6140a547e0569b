//! The ring of buffers: starting, claiming, exchanging the open buffer.
//!
//! Locks are always taken in this order: *queue*, in which those wait who need room; *roll*, held while the open buffer is
//! exchanged for the next one; *progress*; and a buffer's list of reservations. An append that fits the open buffer takes
//! none of them.

use std::{fmt, sync::Arc};

use crossbeam_utils::CachePadded;
use esker_format::{
    ChecksumSeed, Epoch, FileOffset, Lsn, MESSAGE_HEADER_BYTES, MessageHeader, MessageKind, SegmentHeader,
};
use esker_header::{Header, Refusal};
use esker_storage::StorageFile;

use crate::{
    ActiveSegment, EngineError, OpenReservation, Options, OptionsError, Poison, SegmentSource, SourceError, Stats,
    held::Held,
    progress::Progress,
    rounds::Rounds,
    slot::{Claim, Left, Place, Slot},
    stats::Counters,
    sync::{self, AtomicBool, AtomicU64, Condvar, Mutex, MutexGuard, Ordering},
    write::Waits,
};

/// Lock-free I/O buffers over one file: many threads claim ranges and fill them at once; sealed buffers are written as a
/// whole, and one sync makes everything stable that was written before it.
///
/// All methods take `&self`. Reservations are given away by its owner: [`IoBufs`](crate::IoBufs).
pub struct Engine {
    pub(crate) hot: CachePadded<Hot>,
    /// A copy of `Progress::stable` for readers without the lock.
    pub(crate) stable: CachePadded<AtomicU64>,
    roll: CachePadded<Mutex<Roll>>,
    /// Where those wait, one at a time, who found all buffers full: not on the roll lock, which others need who want
    /// something else.
    queue: CachePadded<Mutex<()>>,
    pub(crate) progress: CachePadded<Mutex<Progress>>,
    /// Notified under `progress` whenever a buffer was written or released, the storage was found full, or the engine
    /// stopped.
    pub(crate) moved: Condvar,
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
pub(crate) struct Hot {
    /// The ring.
    slots: Box<[Slot]>,
    seed: ChecksumSeed,
    payload_bytes_max: u32,
    epoch: Epoch,
    /// The sequence number of the open buffer; its place in the ring is this modulo the number of buffers.
    current: AtomicU64,
    /// Whether `Progress::poison` is set: a hint for the fast path.
    pub(crate) stopped: AtomicBool,
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
    /// What is at this LSN is to be written, if it is there.
    WriteOutAt(Lsn),
}

impl Engine {
    /// See [`IoBufs::start`](crate::IoBufs::start).
    pub(crate) fn start(
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
            queue: CachePadded::new(Mutex::new(())),
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

    /// Appends a message and returns its LSN. Lock-free unless a buffer must be exchanged; waits, parked, when all buffers
    /// are full and none is written yet.
    ///
    /// # Errors
    ///
    /// [`EngineError::TooLarge`], [`EngineError::NoSpace`], [`EngineError::Segment`], [`EngineError::Poisoned`]. Nothing
    /// is appended then.
    #[inline]
    pub fn append(&self, kind: MessageKind, payload: &[u8]) -> Result<Lsn, EngineError> {
        self.check_len(payload.len())?;
        let (index, mut claim) = self.claim((MESSAGE_HEADER_BYTES + payload.len()) as u32)?;
        self.slots()[index].bytes_of(&mut claim)[MESSAGE_HEADER_BYTES..].copy_from_slice(payload);
        self.seal_claim(index, &mut claim, kind);
        let lsn = claim.lsn;
        self.leave(index, claim);
        Ok(lsn)
    }

    /// Whether a payload of so many bytes can be appended.
    #[inline]
    pub(crate) fn check_len(&self, len: usize) -> Result<(), EngineError> {
        let max = self.hot.payload_bytes_max;
        if len > max as usize { Err(EngineError::TooLarge { len: len as u64, max }) } else { Ok(()) }
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
                Err(Refusal::Full) => drop(self.roll(Some(seq), Need::Room, Waits::Alone)?),
                Err(Refusal::WritersExhausted) => drop(self.roll(Some(seq), Need::WriteOut, Waits::Alone)?),
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

    /// Counters since the start, and what is open now. Looks at the list of each buffer.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let open = self.open_reservations();
        Stats {
            open_reservations: open.len() as u32,
            oldest_reservation: open.into_iter().next(),
            ..self.counters.snapshot()
        }
    }

    /// The reservations that are open now, by LSN: being filled, held for long, or leaked.
    #[must_use]
    pub fn open_reservations(&self) -> Vec<OpenReservation> {
        let mut open: Vec<_> = self.slots().iter().flat_map(Slot::open_reservations).collect();
        open.sort_unstable_by_key(|open| open.lsn);
        open
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
        self.await_written(end, Waits::Alone)
    }

    /// Exchanges the open buffer for the next one, unless it is empty. Returns the end of what was claimed.
    pub(crate) fn seal_open_buffer(&self) -> Result<Lsn, EngineError> {
        self.roll(None, Need::WriteOut, Waits::Alone)
    }

    /// The same for whoever needs what is at `lsn`: does not wait for a free buffer if that is in a sealed one already, or
    /// was never claimed. Returns the end of what was claimed in buffers that are sealed.
    pub(crate) fn seal_up_to(&self, lsn: Lsn, waits: Waits) -> Result<Lsn, EngineError> {
        self.roll(None, Need::WriteOutAt(lsn), waits)
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

    /// Seals the message that fills a claim. The payload of an aborted one is zeroed.
    #[inline]
    pub(crate) fn seal_claim(&self, index: usize, claim: &mut Claim, kind: MessageKind) {
        let lsn = claim.lsn;
        // ORDERING: Relaxed: the mark is a fact about the past; any value that `stable` ever had is true.
        let mark = Lsn::new(self.stable.load(Ordering::Relaxed));
        let message = self.slots()[index].bytes_of(claim);
        if kind == MessageKind::Aborted {
            message[MESSAGE_HEADER_BYTES..].fill(0);
        }
        self.seal_message(kind, lsn, mark, message);
    }

    /// Ends a writer's stay in a buffer.
    #[inline]
    pub(crate) fn leave(&self, index: usize, claim: Claim) {
        match self.slots()[index].leave(claim) {
            Left::Open => (),
            left => self.left_sealed(index, left),
        }
    }

    #[cold]
    fn left_sealed(&self, index: usize, left: Left) {
        if left == Left::Ready {
            self.write_ready(index);
        } else {
            self.notify_if_held(index);
        }
    }

    /// Lists the claim of a reservation.
    pub(crate) fn list(&self, index: usize, held: Held) {
        self.slots()[index].list(held);
        self.notify_if_held(index);
    }

    /// Wakes the sleepers if what is left of a buffer are open reservations: what is complete before them can be written.
    /// Of all who leave a sealed buffer or list their claims in it, the last to come here sees it so.
    fn notify_if_held(&self, index: usize) {
        if self.slots()[index].held_at().is_some() {
            self.notify(&sync::lock(&self.progress));
        }
    }

    /// The place of the buffer with a sequence number.
    pub(crate) fn slot(&self, seq: u64) -> &Slot {
        &self.slots()[self.index(seq)]
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
    /// Waits for a free buffer, but not under the roll lock: an open reservation may keep all of them for as long as it
    /// likes. Everything that can fail comes before the seal, so that an error leaves the open buffer open.
    fn roll(&self, seq: Option<u64>, need: Need, waits: Waits) -> Result<Lsn, EngineError> {
        let _queue = (need == Need::Room).then(|| sync::lock(&self.queue));
        loop {
            let roll = sync::lock(&self.roll);
            // ORDERING: Relaxed: written under the roll lock.
            let current = self.hot.current.load(Ordering::Relaxed);
            let slot = &self.slots()[self.index(current)];
            // Looked at once: what is claimed from now on, nobody was asked to write.
            let seen = slot.header();
            let untouched = seen.offset().get() == slot.opened();
            let is_free = self.is_free(current + 1)?;
            if seq.is_some_and(|seq| seq != current) || (need != Need::Room && untouched) {
                return Ok(self.claimed_end(slot, seen));
            }
            if is_free {
                return self.exchange(roll, current, need);
            }
            if let Need::WriteOutAt(lsn) = need {
                let (first, end) = (slot.first_lsn(), self.claimed_end(slot, seen));
                if lsn < first || lsn >= end {
                    return Ok(if lsn < first { first } else { end });
                }
            }
            drop(roll);
            self.counters.full_waits.add(1);
            self.await_progress(waits, |progress| progress.is_written(current + 1).then_some(()))?;
        }
    }

    /// Whether what the buffer for `seq` held in its last life is written.
    fn is_free(&self, seq: u64) -> Result<bool, EngineError> {
        let progress = sync::lock(&self.progress);
        match &progress.poison {
            Some(poison) => Err(poison.clone().into()),
            None => Ok(progress.is_written(seq)),
        }
    }

    /// Exchanges the open buffer, `current`, for the next one, whose last content is written.
    fn exchange(&self, mut roll: MutexGuard<'_, Roll>, current: u64, need: Need) -> Result<Lsn, EngineError> {
        let slot = &self.slots()[self.index(current)];
        let next = &self.slots()[self.index(current + 1)];
        // I5: nobody reads what it held. Those who do only copy it, or write it to the file, so that this lasts no longer.
        self.await_progress(Waits::Alone, |_| next.readers.close().then_some(()))?;
        let (sealed, ends_segment) = self.seal(slot, need, &mut roll)?;
        let claimed = sealed.offset().get();
        let (place, segment_header) = if ends_segment {
            let segment = roll.next_segment.take().expect("a segment was prepared before the seal");
            self.place_in_new_segment(segment)
        } else {
            (self.place_after(slot.lsn_at(claimed), slot.file_at(claimed)), None)
        };
        let end = if ends_segment { place.lsn } else { slot.lsn_at(claimed) };
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
                let after = self.segment_end(slot);
                let segment = self.source.activate(after).map_err(|error| match error {
                    SourceError::NoSpace { source } => EngineError::NoSpace { at: after, source },
                    SourceError::Io { source } => EngineError::Segment { base: after, source },
                })?;
                assert!(segment.base >= after, "the source gave the segment {} for one after {after}", segment.base);
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
    fn place_in_new_segment(&self, segment: ActiveSegment) -> (Place, Option<SegmentHeaderBytes>) {
        let rest = self.options.segment_bytes.get();
        let bytes = self.options.capacity(rest);
        let header = SegmentHeader {
            log_id: self.options.log_id,
            base: segment.base,
            floor: segment.floor,
            mark: self.stable(),
            epoch: self.hot.epoch,
            segment_bytes: self.options.segment_bytes,
        };
        let place = Place { lsn: segment.base, file: segment.offset, bytes, ends_segment: bytes == rest };
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
}

type SegmentHeaderBytes = [u8; esker_format::SEGMENT_HEADER_BYTES];

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("options", &self.options).field("stats", &self.stats()).finish_non_exhaustive()
    }
}
