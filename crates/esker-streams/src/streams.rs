//! The store that is open for writing.

use std::{
    collections::{BTreeSet, HashMap},
    mem,
    sync::Arc,
    time::Duration,
};

use esker_format::{
    DamageKind, FileOffset, Lsn, MESSAGE_HEADER_BYTES, MessageKind, ScanContext, Scanner, SegmentBytes, SegmentId,
};
use esker_iobufs::{Found as InEngine, IoBufs, Reservation, ReservedRun};
use esker_log::Log;
use esker_segments::{Accountant, ReuseTicket};
use esker_storage::StorageFile;

use crate::{
    Error, Found, Options, Stats, StreamId,
    commit::Commit,
    error,
    ledger::{self, Note, Table},
    names::DATA,
    replay::{Slots, as_record},
    source::Source,
    sync::{Mutex, MutexGuard, ShardedLock, lock, read, write},
};

/// Several streams of records over one file of segments.
///
/// All methods take `&self`. Dropping the store closes it as [`close`](Streams::close) does, but says nothing of errors.
#[derive(Debug)]
pub struct Streams {
    /// Give reservations away, which therefore borrow the store.
    engines: Vec<IoBufs>,
    shared: Arc<Shared>,
    commit: Commit,
    closed: bool,
}

/// What the streams have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) file: Arc<dyn StorageFile>,
    pub(crate) context: ScanContext,
    pub(crate) ledger: Log,
    /// Every reader asks for a place, which changes once in a segment: so readers do not share a lock.
    pub(crate) places: ShardedLock<HashMap<u64, Place>>,
    pub(crate) state: Mutex<State>,
    /// Held while a stream gets a segment: the file is made longer by one at a time.
    pub(crate) growth: Mutex<()>,
    pub(crate) reserve_segments: u32,
    pub(crate) privileged_from: u8,
}

/// Where a segment is, and whose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) offset: FileOffset,
    pub(crate) stream: StreamId,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) accountant: Accountant,
    /// As the ledger says.
    pub(crate) table: Table,
    /// Whether the ledger has notes that an acknowledgement waits for.
    pub(crate) noted: bool,
    /// The segments that streams are filling, or that are not stable to their end.
    pub(crate) active: Vec<(StreamId, Lsn)>,
    retired: Vec<Retired>,
    /// The segments that are to be used again once nobody can be reading them.
    pinned: BTreeSet<Lsn>,
    /// Free slots whose space was given back to the file system.
    pub(crate) holes: BTreeSet<SegmentId>,
}

/// A segment that nobody needs, until the disk knows.
#[derive(Debug)]
struct Retired {
    base: Lsn,
    ticket: ReuseTicket,
    /// The flush that covers what is in its place.
    flush: u64,
}

/// What a store is started with.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) options: Options,
    pub(crate) ledger: Log,
    pub(crate) table: Table,
    pub(crate) file: Arc<dyn StorageFile>,
    pub(crate) slots: Slots,
}

/// A segment of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// The LSN of its first byte.
    pub base: Lsn,
    /// The stream that fills or filled it.
    pub stream: StreamId,
    /// Where its records end; `None` while it is being filled, or not all of it is stable.
    pub end: Option<Lsn>,
}

impl Streams {
    pub(crate) fn start(parts: Parts) -> Result<Self, Error> {
        let Parts { options, ledger, table, file, slots } = parts;
        let Table { log_id, segment_bytes, epoch, next_base, .. } = table;
        let held: Vec<(SegmentId, Lsn)> = slots
            .by_base
            .iter()
            .filter(|(base, _)| table.segments.contains_key(base))
            .map(|(&base, &slot)| (slot, base))
            .collect();
        let places = held
            .iter()
            .map(|&(slot, base)| {
                let place = Place { offset: slot.offset(segment_bytes), stream: table.segments[&base].stream };
                (index_of(base, segment_bytes), place)
            })
            .collect();
        let accountant = Accountant::recover_streams(segment_bytes, slots.count, next_base, held)
            .expect("each base was found in one slot")
            .with_slots_max(options.segments_max.unwrap_or(u32::MAX));
        let shared = Arc::new(Shared {
            file: file.clone(),
            context: ScanContext::new(log_id.checksum_seed(), segment_bytes),
            ledger,
            places: ShardedLock::new(places),
            state: Mutex::new(State {
                accountant,
                table,
                noted: false,
                active: Vec::new(),
                retired: Vec::new(),
                pinned: BTreeSet::new(),
                holes: BTreeSet::new(),
            }),
            growth: Mutex::new(()),
            reserve_segments: options.reserve_segments,
            privileged_from: options.privileged_from,
        });
        let engines = (0..options.streams)
            .map(|stream| {
                let stream = StreamId::new(stream).expect("options allow no more");
                let engine_options = esker_iobufs::Options {
                    buffer_bytes: options.buffer_bytes,
                    buffers: options.buffers,
                    segment_bytes,
                    log_id,
                    epoch,
                    tip: next_base,
                    tip_segment: FileOffset::default(),
                    yield_max: Duration::ZERO,
                    unsynced_bytes_max: u64::MAX,
                };
                let source = Arc::new(Source { shared: shared.clone(), stream });
                IoBufs::start(file.clone(), source, engine_options)
                    .map_err(|error| Error::InvalidOptions { faults: error.faults })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { engines, shared, commit: Commit::default(), closed: false })
    }

    fn engine(&self, stream: StreamId) -> &IoBufs {
        self.engines.get(stream.index()).unwrap_or_else(|| {
            panic!("stream {stream} of a store with {} streams", self.engines.len());
        })
    }

    /// How many streams there are.
    #[must_use]
    pub fn streams(&self) -> u8 {
        self.engines.len() as u8
    }

    /// The size of a segment.
    #[must_use]
    pub fn segment_bytes(&self) -> SegmentBytes {
        self.shared.context.segment_bytes
    }

    /// The longest payload of a record, in bytes.
    #[must_use]
    pub fn payload_bytes_max(&self) -> u32 {
        self.engines[0].payload_bytes_max()
    }

    /// Appends a record to a stream and returns its LSN. It is in memory then, and readable.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::NoSpace`], [`Error::Poisoned`], [`Error::Io`]. The record is not in the store then.
    ///
    /// # Panics
    ///
    /// If the store has no such stream.
    pub fn append(&self, stream: StreamId, payload: &[u8]) -> Result<Lsn, Error> {
        self.engine(stream).append(MessageKind::Inline, payload).map_err(error::of_engine)
    }

    /// Reserves room for a record of `len` bytes at an LSN that is known at once, to be filled in place and then completed
    /// or aborted. While it is open, a [flush](Self::flush) waits for it.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    ///
    /// # Panics
    ///
    /// As [`append`](Self::append).
    #[track_caller]
    pub fn reserve(&self, stream: StreamId, len: u32) -> Result<Reservation<'_>, Error> {
        self.engine(stream).reserve(MessageKind::Inline, len).map_err(error::of_engine)
    }

    /// Reserves room for records of so many bytes each, side by side: see [`ReservedRun`]. All of them together, with 24 bytes
    /// for each but the first, may be as long as [one](Self::payload_bytes_max).
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    ///
    /// # Panics
    ///
    /// As [`append`](Self::append); and if `lens` is empty.
    #[track_caller]
    pub fn reserve_run(&self, stream: StreamId, lens: &[u32]) -> Result<ReservedRun<'_>, Error> {
        self.engine(stream).reserve_run(MessageKind::Inline, lens).map_err(error::of_engine)
    }

    /// The end of what was reserved in a stream. What is appended to it from now on lies at or beyond.
    ///
    /// # Panics
    ///
    /// As [`append`](Self::append).
    #[must_use]
    pub fn end_of(&self, stream: StreamId) -> Lsn {
        self.engine(stream).reserved()
    }

    /// Reads the record at `lsn`, whether it is on disk yet or not. `bytes` is its length with its header, 24 bytes more
    /// than what was appended: it is read at once. `None` if its segment was retired.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`], [`Error::Io`]; [`Error::NotARecord`] if its message was aborted; and, if the record is in a
    /// buffer that must be written first, what that may meet.
    pub fn read(&self, lsn: Lsn, bytes: u32) -> Result<Option<Vec<u8>>, Error> {
        let pinned = crossbeam_epoch::pin();
        let Some(place) = self.shared.place_of(lsn) else { return Ok(None) };
        if let Some(engine) = self.engines.get(place.stream.index())
            && engine.stable() <= lsn
        {
            let in_memory =
                engine.read(lsn, |bytes| self.shared.message_in(bytes, lsn).map(|found| found.map(<[u8]>::to_vec)));
            match in_memory.map_err(error::of_engine)? {
                InEngine::InMemory(Ok(found)) => return found.map(Some).ok_or(Error::NotARecord { lsn }),
                InEngine::InMemory(Err(damage)) => return Err(self.shared.damaged(lsn, place, damage, Lsn::ZERO)),
                InEngine::Written => (),
            }
        }
        let segment_bytes = self.segment_bytes();
        let at = lsn.offset_in_segment(segment_bytes);
        let mut buffer = vec![0; bytes.min(segment_bytes.get() - at) as usize];
        let offset = place.offset.get() + u64::from(at);
        let have = self.shared.file.read_at(&mut buffer, offset);
        let have = have.map_err(|error| error::io_at("read", DATA, offset, error))?;
        drop(pinned);
        let payload = match self.shared.message_in(&buffer[..have], lsn) {
            Ok(Some(payload)) => payload.len(),
            Ok(None) => return Err(Error::NotARecord { lsn }),
            Err(damage) => {
                let durable_to = self.engines.get(place.stream.index()).map_or(Lsn::ZERO, |engine| engine.stable());
                return Err(self.shared.damaged(lsn, place, damage, durable_to));
            }
        };
        buffer.truncate(MESSAGE_HEADER_BYTES + payload);
        buffer.drain(..MESSAGE_HEADER_BYTES);
        Ok(Some(buffer))
    }

    /// Makes everything durable that was reserved in any stream before this was called, with one sync of the data file. One
    /// flush serves all who ask while another is under way.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`]: nothing is lost, and a later call tries again. [`Error::Poisoned`] and [`Error::Io`]: the store
    /// acknowledges nothing any more until it is opened again; reading still works.
    pub fn flush(&self) -> Result<(), Error> {
        self.commit.flush(|| self.sync_all())
    }

    /// One flush: everything is written, then synced, then acknowledged.
    fn sync_all(&self) -> Result<(), Error> {
        let mut written = Vec::with_capacity(self.engines.len());
        for engine in &self.engines {
            if engine.reserved() > engine.stable() {
                written.push((engine, engine.write_out().map_err(error::of_engine)?));
            }
        }
        let shared = &*self.shared;
        if !written.is_empty() {
            let synced = if cfg!(esker_sabotage = "sync") { Ok(()) } else { shared.file.sync_data() };
            for (engine, end) in written {
                engine.synced(end, again(&synced)).map_err(error::of_engine)?;
            }
        }
        // A segment is known to the ledger before anything in it is acknowledged: so one that is lost is missed.
        if mem::take(&mut lock(&shared.state).noted) && !cfg!(esker_sabotage = "segment_note") {
            let flushed = shared.ledger.flush();
            if flushed.is_err() {
                lock(&shared.state).noted = true;
            }
            flushed?;
        }
        Ok(())
    }

    /// Notes something for the owner, to be shown to it at the next opening. Durable after [`flush_notes`](Self::flush_notes).
    ///
    /// # Errors
    ///
    /// As those of [`Log::append`].
    pub fn note(&self, note: &[u8]) -> Result<Lsn, Error> {
        self.shared.ledger.append(&ledger::owners(note))
    }

    /// Makes the owner's notes durable.
    ///
    /// # Errors
    ///
    /// As those of [`Log::flush`].
    pub fn flush_notes(&self) -> Result<(), Error> {
        self.shared.ledger.flush().map(drop)
    }

    /// Appends a note of the owner behind a table of all segments, makes both durable, and gives up the notes before `keep`.
    /// For checkpoints: what is before the table is not needed for the segments any more, and what the owner still needs, it
    /// says.
    ///
    /// # Errors
    ///
    /// As those of [`Log::append`] and [`Log::truncate_before`].
    pub fn checkpoint(&self, note: &[u8], keep: Lsn) -> Result<Lsn, Error> {
        let shared = &*self.shared;
        let (table, root) = {
            // Nothing is noted between the table and what it was made of.
            let state = lock(&shared.state);
            let table = shared.ledger.append(&Note::Table(state.table.clone()).encode())?;
            (table, shared.ledger.append(&ledger::owners(note))?)
        };
        shared.ledger.make_stable(root)?;
        shared.ledger.truncate_before(keep.min(table))?;
        Ok(root)
    }

    /// The most segments that the file may have.
    #[must_use]
    pub fn segments_max(&self) -> u32 {
        lock(&self.shared.state).accountant.slots_max()
    }

    /// Changes the most segments that the file may have. If it has more, they stay, and are used again.
    pub fn set_segments_max(&self, segments: u32) {
        lock(&self.shared.state).accountant.set_slots_max(segments);
    }

    /// Gives the space of free segments back to the file system, but of so many: the file is cut where they are at its end, and
    /// elsewhere gets holes, if the file system can. They are used again when they are needed. Returns of how many.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]. What was given back before is.
    pub fn give_back(&self, keep_free: u32) -> Result<u32, Error> {
        let shared = &*self.shared;
        // Nobody begins a segment meanwhile: what is free stays free.
        let _growth = lock(&shared.growth);
        let segment_bytes = u64::from(shared.context.segment_bytes.get());
        let (surplus, cut, slots) = {
            let state = lock(&shared.state);
            let stats = state.accountant.stats();
            let surplus = stats.free.saturating_sub(keep_free);
            (surplus, surplus.min(state.accountant.trailing_free()), stats.slots)
        };
        let mut given = 0;
        if cut > 0 {
            let len = u64::from(slots - cut) * segment_bytes;
            shared.file.set_len(len).map_err(|error| error::io_at("shorten", DATA, len, error))?;
            let mut state = lock(&shared.state);
            let left = state.accountant.shrink(cut).expect("what was free is free still");
            let cut_holes = state.holes.split_off(&SegmentId::new(left));
            given += cut - cut_holes.len() as u32;
        }
        let more: Vec<SegmentId> = {
            let state = lock(&shared.state);
            let rest = state.accountant.free_from_the_end().take((surplus - cut) as usize);
            rest.filter(|slot| !state.holes.contains(slot)).collect()
        };
        for slot in more {
            let offset = slot.offset(shared.context.segment_bytes).get();
            let is_hole = shared.file.give_back(offset, segment_bytes);
            if !is_hole.map_err(|error| error::io_at("give back space of", DATA, offset, error))? {
                break;
            }
            lock(&shared.state).holes.insert(slot);
            given += 1;
        }
        Ok(given)
    }

    /// How long the ledger is, in bytes.
    #[must_use]
    pub fn ledger_bytes(&self) -> u64 {
        self.shared.ledger.end_lsn() - self.shared.ledger.floor()
    }

    /// Which segment each slot of the data file holds, from the file's beginning; `None` for those that are free, or wait to be.
    #[must_use]
    pub fn slots(&self) -> Vec<Option<SegmentInfo>> {
        let segments = self.segments();
        let mut slots = vec![None; self.stats().segments.slots as usize];
        for info in segments {
            let segment_bytes = u64::from(self.segment_bytes().get());
            let place = self.shared.place_of(info.base).map(|place| place.offset.get() / segment_bytes);
            if let Some(slot) = place.and_then(|slot| slots.get_mut(slot as usize)) {
                *slot = Some(info);
            }
        }
        slots
    }

    /// The segments that hold records, by LSN.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let state = lock(&self.shared.state);
        let retired: Vec<_> = state.retired.iter().map(|retired| retired.base).collect();
        let segments = state.table.segments.iter().filter(|(base, _)| !retired.contains(base));
        segments.map(|(&base, entry)| SegmentInfo { base, stream: entry.stream, end: entry.end }).collect()
    }

    /// Reads a segment whose records are all stable, in one piece, and shows each record to `visit`. `buffer` is used for
    /// that and can be used again. Returns whether the segment is there.
    ///
    /// The caller must see to it that nobody retires the segment meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`], [`Error::Io`].
    pub fn visit_segment(
        &self,
        base: Lsn,
        buffer: &mut Vec<u8>,
        mut visit: impl FnMut(Found<'_>) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let shared = &*self.shared;
        let Some(place) = shared.place_of(base) else { return Ok(false) };
        let Some(end) = lock(&shared.state).table.segments.get(&base).and_then(|entry| entry.end) else {
            return Ok(false);
        };
        let len = (end - base) as usize;
        buffer.resize(len, 0);
        let offset = place.offset.get();
        let have = shared.file.read_at(buffer, offset).map_err(|error| error::io_at("read", DATA, offset, error))?;
        let header = esker_format::SEGMENT_HEADER_BYTES;
        let bytes = buffer[..have].get(header..).unwrap_or_default();
        let mut scanner = Scanner::new(bytes, base + header as u64, shared.context);
        while scanner.next_lsn() < end {
            match scanner.next() {
                Some(Ok(message)) => {
                    if let Some(found) = as_record(place.stream, &message) {
                        visit(found)?;
                    }
                }
                Some(Err(damage)) => return Err(shared.damaged(damage.at, place, damage.kind, end)),
                None => {
                    let missing = DamageKind::Cut { have: 0, need: MESSAGE_HEADER_BYTES };
                    return Err(shared.damaged(scanner.next_lsn(), place, missing, end));
                }
            }
        }
        Ok(true)
    }

    /// Nobody needs the segment at `base` any more: whatever was live in it is elsewhere, or superseded, and that will be
    /// durable when a [flush](Self::flush) ends that begins after this call. Readers do not find it from now on. It is used
    /// again after [`reclaim`](Self::reclaim).
    ///
    /// # Errors
    ///
    /// [`Error::NotARecord`] if there is no such segment, if it is still being filled, or if it was retired before.
    pub fn retire(&self, base: Lsn) -> Result<(), Error> {
        let flush = self.commit.next();
        let shared = &*self.shared;
        let mut state = lock(&shared.state);
        let freed = state.accountant.retire(base).map_err(|_| Error::NotARecord { lsn: base })?;
        state.retired.push(Retired { base, ticket: freed.ticket, flush });
        drop(state);
        write(&shared.places).remove(&index_of(base, self.segment_bytes()));
        Ok(())
    }

    /// Lets retired segments be used again: those whose successors are durable by a flush that has ended. Writes down, and
    /// makes durable, that nobody needs them, with the owner's `mark`, the highest of which
    /// [an opening](crate::Opening::freed_mark) returns. A segment is used again once nobody can be reading it. Returns how
    /// many were let go.
    ///
    /// # Errors
    ///
    /// As those of [`Log::append`] and [`Log::flush`]; nothing is used again then that was not before.
    pub fn reclaim(&self, mark: u64) -> Result<u32, Error> {
        let shared = &*self.shared;
        let flushed = self.commit.done();
        let mut state = lock(&shared.state);
        let (ready, later): (Vec<_>, Vec<_>) = mem::take(&mut state.retired)
            .into_iter()
            .partition(|retired| retired.flush <= flushed || cfg!(esker_sabotage = "copies"));
        state.retired = later;
        if ready.is_empty() {
            drop(state);
            hurry_readers_out();
            return Ok(0);
        }
        let bases: Vec<_> = ready.iter().map(|retired| retired.base).collect();
        let noted = shared.note(&mut state, Note::Freed { mark, bases: bases.clone() });
        drop(state);
        let flushed = noted.and_then(|_| shared.ledger.flush());
        let mut state = lock(&shared.state);
        if let Err(error) = flushed {
            // The note may be durable or not; the segments are as good as before either way.
            state.retired.extend(ready);
            return Err(error);
        }
        state.accountant.mark_durable(&bases).expect("these were retired");
        state.pinned.extend(&bases);
        drop(state);
        let count = ready.len() as u32;
        let tickets: Vec<_> = ready.into_iter().map(|retired| retired.ticket).collect();
        let let_go = Arc::downgrade(&self.shared);
        // Whoever looked up a place before it left the table is pinned now.
        crossbeam_epoch::pin().defer(move || {
            if let Some(shared) = let_go.upgrade() {
                shared.release(tickets, &bases);
            }
        });
        hurry_readers_out();
        Ok(count)
    }

    /// Offers what waits for readers to be let go: it is, once no reader is left that may have looked it up.
    pub fn hurry_readers(&self) {
        hurry_readers_out();
    }

    /// Counters since the store was opened, and the state of its segments.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let engines = self.engines.iter().map(|engine| engine.stats()).collect();
        let state = lock(&self.shared.state);
        Stats {
            engines,
            flushes: self.commit.done(),
            segments: state.accountant.stats(),
            retired: state.retired.len() as u32,
            pinned: state.pinned.len() as u32,
            oldest_pin: state.pinned.first().copied(),
            holes: state.holes.len() as u32,
        }
    }

    /// Makes everything durable, and writes down where each segment ends, so that the next opening need not find out.
    ///
    /// # Errors
    ///
    /// As those of [`flush`](Self::flush) and [`Log::close`]. The store is closed all the same, as if by a crash.
    pub fn close(mut self) -> Result<(), Error> {
        self.shut()
    }

    fn shut(&mut self) -> Result<(), Error> {
        if mem::replace(&mut self.closed, true) {
            return Ok(());
        }
        for engine in &mut self.engines {
            engine.abort_leaked();
        }
        self.flush()?;
        let shared = &*self.shared;
        let mut state = lock(&shared.state);
        let segment_bytes = self.segment_bytes();
        let ends: Vec<_> = state
            .table
            .segments
            .iter()
            .filter(|(_, entry)| entry.end.is_none())
            .map(|(&base, entry)| {
                let full = base.next_segment(segment_bytes);
                let stable = self.engines.get(entry.stream.index()).map_or(full, |engine| engine.stable());
                (base, stable.clamp(base, full))
            })
            .collect();
        let epoch = state.table.epoch;
        shared.note(&mut state, Note::Opened { epoch, ends })?;
        shared.ledger.flush()?;
        Ok(())
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        // A destructor has nobody to tell; `close` is for those who want to know.
        drop(self.shut());
    }
}

impl Shared {
    pub(crate) fn place_of(&self, lsn: Lsn) -> Option<Place> {
        read(&self.places).get(&index_of(lsn, self.context.segment_bytes)).copied()
    }

    /// The payload of the record at the beginning of `bytes`; `None` if its message is no record.
    fn message_in<'a>(&self, bytes: &'a [u8], lsn: Lsn) -> Result<Option<&'a [u8]>, DamageKind> {
        match Scanner::new(bytes, lsn, self.context).next() {
            Some(Ok(message)) => Ok((message.header.kind == MessageKind::Inline).then_some(message.payload)),
            Some(Err(damage)) => Err(damage.kind),
            None => Err(DamageKind::Cut { have: 0, need: MESSAGE_HEADER_BYTES }),
        }
    }

    fn damaged(&self, at: Lsn, place: Place, damage: DamageKind, durable_to: Lsn) -> Error {
        let offset = place.offset.get() + u64::from(at.offset_in_segment(self.context.segment_bytes));
        error::corrupt(at, offset, error::CorruptionKind::Message { damage, durable_to })
    }

    /// Appends a note to the ledger and to the table that it adds up to.
    pub(crate) fn note(&self, state: &mut MutexGuard<'_, State>, note: Note) -> Result<Lsn, Error> {
        let lsn = self.ledger.append(&note.encode())?;
        state.table.apply(note).expect("the store notes only what is so");
        Ok(lsn)
    }

    fn release(&self, tickets: Vec<ReuseTicket>, bases: &[Lsn]) {
        let mut state = lock(&self.state);
        state.pinned.retain(|base| !bases.contains(base));
        for ticket in tickets {
            state.accountant.release(ticket).expect("this accountant issued the ticket");
        }
    }
}

/// Which segment of the log an LSN lies in.
pub(crate) fn index_of(lsn: Lsn, segment_bytes: SegmentBytes) -> u64 {
    lsn.get() >> segment_bytes.log2()
}

/// What was freed waits until the epoch has moved on twice, which it does only when somebody asks.
fn hurry_readers_out() {
    const ROUNDS: u32 = 3;
    for _ in 0..ROUNDS {
        crossbeam_epoch::pin().flush();
    }
}

/// The outcome of a sync, once more for the next engine.
fn again(outcome: &std::io::Result<()>) -> std::io::Result<()> {
    match outcome {
        Ok(()) => Ok(()),
        Err(error) => Err(std::io::Error::new(error.kind(), error.to_string())),
    }
}
