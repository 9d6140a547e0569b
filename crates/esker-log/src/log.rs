//! The log that is open for writing.

use std::{
    collections::{BTreeSet, VecDeque},
    io, mem,
    sync::{Arc, PoisonError},
};

use esker_format::{BlobId, Epoch, LogId, Lsn, MessageKind, SegmentBytes, Superblock};
use esker_iobufs::{Engine, EngineError, Found, IoBufs, Reservation};
use esker_segments::{Accountant, RecoveredLog};
use esker_storage::{Access, LockError, Storage, StorageFile, StorageLock};
use esker_tickets::Tickets;

use crate::{
    Corruption, Error, Iter, OnDamage, Options, Record, RecoveryReport, Stats, adopt,
    blob::{self, Blobs},
    control::{self, Control},
    names::{LOCK, LOG},
    origin::{Locate, Origin},
    read::{BeyondDamage, read_written, unless_truncated, walk_pointers},
    record::whole_message,
    recovery::{self, Recovered},
    retention::Retention,
    scrub::{Findings, ScrubThread},
    segments::Segments,
    sync::{Mutex, MutexGuard},
    ticket::Durable,
    upkeep::{Upkeep, UpkeepThread},
    walk::{Placement, Rules},
};

/// A crash-safe log that many threads append to at once.
///
/// All methods take `&self`: share it by reference or in an [`Arc`]. Dropping the log closes it as
/// [`close`](Log::close) does, but says nothing of errors; so it may block on the disk.
#[derive(Debug)]
pub struct Log {
    /// Gives reservations away, which therefore borrow the log. What it owns is in `shared` too.
    engine: IoBufs,
    shared: Arc<Shared>,
    report: RecoveryReport,
    upkeep: Upkeep,
    thread: Option<UpkeepThread>,
    tickets: Tickets<Durable>,
    scrub: Option<ScrubThread>,
    findings: Arc<Findings>,
    closed: bool,
}

/// What the threads of a log share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// For reading what is in the file.
    origin: Origin,
    pub(crate) engine: Arc<Engine>,
    pub(crate) segments: Arc<Segments>,
    /// What is kept, if anything is given up by itself.
    pub(crate) retention: Option<Retention>,
    control: Mutex<Control>,
    blobs: Blobs,
    /// Blobs that were there when the log was opened: without any, truncation need not look for pointers.
    old_blobs: bool,
    _lock: Box<dyn StorageLock>,
}

/// The right to be told when a record is durable: see [`Log::ticket`].
///
/// [`wait`](esker_tickets::Ticket::wait) for it on a thread, `await` it, or have a callback called
/// [`then`](esker_tickets::Ticket::then). What is told is the LSN below which everything is
/// durable.
/// Dropping it cancels only the wait.
pub type Ticket = esker_tickets::Ticket<Durable>;

/// What truncation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Truncation {
    /// Where the log begins now.
    pub floor: Lsn,
    /// How many segments were freed by it.
    pub segments_freed: u32,
    /// How many blobs were removed by it.
    pub blobs_removed: u32,
}

impl Log {
    /// Opens the log in `storage` for writing: takes the lock, finds out what is there, and makes that stable. Where there
    /// is no log, one is created if the options say so.
    ///
    /// Costs the segment table and the tail beyond the last durable mark, not the log, and a few syncs.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidOptions`] with all faults.
    /// - [`Error::NotEsker`], [`Error::NotFound`], [`Error::NewerFormat`]: nothing was touched.
    /// - [`Error::Locked`] if the log is open for writing elsewhere.
    /// - [`Error::Corrupt`] if something that had been durable cannot be read. Nothing was changed;
    ///   [`LogReader`](crate::LogReader) reads what is left, and [`Options::on_damage`] may say to go on all the same.
    /// - [`Error::Io`].
    pub fn open(storage: Arc<dyn Storage>, options: Options) -> Result<Self, Error> {
        let segment_bytes = options.validate()?;
        if !has_superblock(storage.as_ref())? {
            check_creatable(storage.as_ref())?;
            if !options.create {
                return Err(Error::NotFound);
            }
        } else if let Err(error @ (Error::NotEsker { .. } | Error::NewerFormat { .. })) =
            control::load(storage.as_ref())
        {
            // Before the lock, which would leave its file in a directory that is none of ours. What else may be wrong can
            // change until the lock is held.
            return Err(error);
        }
        let lock = storage.lock(LOCK).map_err(|error| match error {
            LockError::Io(error) => Error::io("lock", LOCK, error),
            _ => Error::Locked,
        })?;
        let created = !has_superblock(storage.as_ref())?;
        if created {
            // Again, because the lock was not held the first time.
            check_creatable(storage.as_ref())?;
            create(storage.as_ref(), segment_bytes, options.log_id)?;
        } else {
            control::keep_in_place(storage.as_ref())?;
        }
        let mut recovered = recovery::recover(storage.as_ref())?;
        match (options.on_damage, &recovered.report.damage) {
            (OnDamage::Refuse, Some(damage)) => return Err(damage.clone().into()),
            (OnDamage::Refuse, None) => (),
            (policy, _) => recovered.give_up_lost(storage.as_ref(), policy)?,
        }
        recovered.report.created = created;
        Self::start(storage, lock, &options, recovered)
    }

    fn start(
        storage: Arc<dyn Storage>,
        lock: Box<dyn StorageLock>,
        options: &Options,
        recovered: Recovered,
    ) -> Result<Self, Error> {
        let (leftovers, holes) = (recovered.leftovers(), recovered.holes());
        let file = storage.open(LOG, Access::ReadWrite).map_err(|error| Error::io("open", LOG, error))?;
        adopt::restore_headers(file.as_ref(), &recovered)?;
        let Recovered {
            superblock,
            next_generation,
            table,
            slots,
            floor,
            tip,
            durable_to,
            epoch,
            tail_blobs,
            mut report,
            ..
        } = recovered;
        let Superblock { log_id, segment_bytes, .. } = superblock;
        let epoch = epoch.next().ok_or_else(|| Error::InvalidOptions {
            faults: vec!["the log has been opened 2^32 - 1 times, which is all that its format can count".to_owned()],
        })?;
        adopt::make_durable(file.as_ref(), &table, durable_to.max(floor), tip)?;
        adopt::complete_last_slot(file.as_ref(), slots, segment_bytes)?;
        let mut control = Control::open(storage.as_ref(), superblock, next_generation)?;
        control.update(|superblock| {
            superblock.epoch = epoch;
            superblock.epoch_start = tip;
            superblock.floor = floor;
            superblock.mark = tip;
            superblock.clean = false;
        })?;
        // Where something is lost, so may be the record of a blob that is to be salvaged.
        let old_blobs =
            !report.lost.is_empty() || adopt::collect_tail_orphans(storage.as_ref(), &mut report, &tail_blobs)?;
        let claims = table.segments.iter().map(|(&base, &(segment, _))| (segment, base));
        let recovered = RecoveredLog { segment_bytes, slot_count: slots, floor, tip, holes: &holes };
        let accountant = Accountant::recover(recovered, claims)
            .expect("recovery has checked which segments from the floor to the tip are there, each once")
            .with_slots_max(options.segments_max.unwrap_or(u32::MAX));
        let tip_segment = table.locate(tip.segment_base(segment_bytes)).unwrap_or_default();
        let segments = Arc::new(Segments::new(file.clone(), accountant, floor, leftovers));
        let engine = IoBufs::start(
            file.clone(),
            segments.clone(),
            esker_iobufs::Options {
                buffer_bytes: options.buffer_bytes,
                buffers: options.buffers,
                segment_bytes,
                log_id,
                epoch,
                tip,
                tip_segment,
                yield_max: options.yield_max,
                unsynced_bytes_max: options.unsynced_bytes_max.unwrap_or(u64::MAX),
            },
        )
        .map_err(|error| Error::InvalidOptions { faults: error.faults })?;
        let bytes = LiveBytes { file, segments: segments.clone(), engine: engine.engine().clone() };
        let rules = Rules { seed: log_id.checksum_seed(), segment_bytes };
        let retention = Retention::open(storage.as_ref(), options, segment_bytes, floor)?;
        let shared = Arc::new(Shared {
            retention,
            blobs: Blobs::new(storage.clone(), log_id, epoch),
            origin: Origin { placement: Arc::new(bytes), storage, log_id, rules },
            engine: engine.engine().clone(),
            segments,
            control: Mutex::new(control),
            old_blobs,
            _lock: lock,
        });
        let upkeep = Upkeep::new(shared.clone());
        let thread =
            options.background.then(|| UpkeepThread::start(upkeep.clone(), options.flush_interval)).transpose()?;
        let findings = Arc::new(Findings::default());
        let scrub = options
            .scrub_bytes_per_second
            .map(|rate| ScrubThread::start(shared.origin.clone(), findings.clone(), rate))
            .transpose()?;
        let tickets = Tickets::new(Durable(shared.engine.clone()), "esker-tickets");
        Ok(Self { engine, shared, report, upkeep, thread, tickets, scrub, findings, closed: false })
    }

    /// What was found when the log was opened.
    #[must_use]
    pub fn report(&self) -> &RecoveryReport {
        &self.report
    }

    /// Appends a record and returns its LSN. It is in memory then, and readable; [`make_stable`](Log::make_stable) makes
    /// it durable.
    ///
    /// A payload longer than [`inline_bytes_max`](Log::inline_bytes_max) goes to a file of its own, which is durable when
    /// this returns.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`], [`Error::Poisoned`], [`Error::Io`]. The record is not in the log then.
    #[inline]
    pub fn append(&self, payload: &[u8]) -> Result<Lsn, Error> {
        let engine = &self.engine;
        match u32::try_from(payload.len()) {
            Ok(len) if len <= engine.payload_bytes_max() => Ok(engine.append(MessageKind::Inline, payload)?),
            _ => self.append_blob(payload),
        }
    }

    /// Appends a record for each payload, in this order, and adds their LSNs to `lsns`. For small records this is several
    /// times as fast as one [`append`](Log::append) each when many threads append, because they contend once for many
    /// records.
    ///
    /// A batch is no transaction: records of other threads may come to lie between its own, and a crash may keep the first
    /// of them without the rest. To make all of it durable, wait for the last.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use esker_log::{Log, Options, storage::MemStorage};
    /// let log = Log::open(Arc::new(MemStorage::default()), Options::new())?;
    /// let mut lsns = Vec::new();
    /// log.append_batch(&[b"one", b"two", b"three"], &mut lsns)?;
    /// log.make_stable(lsns[2])?;
    /// # Ok::<(), esker_log::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`append`](Log::append). The records whose LSNs were added are in the log then, the others are not.
    pub fn append_batch(&self, payloads: &[&[u8]], lsns: &mut Vec<Lsn>) -> Result<(), Error> {
        let inline_bytes_max = self.inline_bytes_max() as usize;
        let mut rest = payloads;
        loop {
            let inline = rest.iter().take_while(|payload| payload.len() <= inline_bytes_max).count();
            let (now, later) = rest.split_at(inline);
            self.engine.append_all(MessageKind::Inline, now, lsns)?;
            let Some((long, later)) = later.split_first() else { return Ok(()) };
            lsns.push(self.append_blob(long)?);
            rest = later;
        }
    }

    #[cold]
    fn append_blob(&self, payload: &[u8]) -> Result<Lsn, Error> {
        let Shared { engine, blobs, .. } = &*self.shared;
        let pointer = blobs.write(engine.reserved(), payload)?;
        match engine.append(MessageKind::BlobPointer, &pointer.encode()) {
            Ok(lsn) => {
                blobs.settle(pointer.id);
                Ok(lsn)
            }
            Err(error) => {
                blobs.give_up(pointer.id);
                Err(error.into())
            }
        }
    }

    /// Appends a record and waits until it is durable.
    ///
    /// # Errors
    ///
    /// As [`append`](Log::append) and [`make_stable`](Log::make_stable). After an error the record may be in the log or
    /// not, but it was not acknowledged.
    pub fn append_durable(&self, payload: &[u8]) -> Result<Lsn, Error> {
        let lsn = self.append(payload)?;
        self.make_stable(lsn)?;
        Ok(lsn)
    }

    /// Appends a record, and returns what it can be waited for with: by a thread, as a future of any executor, or with a
    /// callback. Nothing is made durable for it before somebody waits, or for anybody else.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use esker_log::{Log, Options, storage::MemStorage};
    /// let log = Log::open(Arc::new(MemStorage::default()), Options::new())?;
    /// let (first, second) = (log.append_ticket(b"one")?, log.append_ticket(b"two")?);
    /// second.then(|outcome| println!("durable up to {outcome:?}"));
    /// first.wait()?;
    /// # Ok::<(), esker_log::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`append`](Log::append).
    pub fn append_ticket(&self, payload: &[u8]) -> Result<Ticket, Error> {
        Ok(self.ticket(self.append(payload)?))
    }

    /// What the record at `lsn` can be waited for with, until it is durable. One sync serves all who wait, in whatever way;
    /// those who wait without a thread of their own are served by one of the log's, which is started when the first of them
    /// comes and sleeps while there are none. Waiting for what was never appended ends with [`Error::NeverReserved`].
    ///
    /// A ticket may outlive the log: whoever waits when the log is [closed](Log::close) is told.
    #[must_use]
    pub fn ticket(&self, lsn: Lsn) -> Ticket {
        self.tickets.ticket(lsn.get())
    }

    /// Reserves room for a record of `len` bytes at an LSN that is known at once, to be filled in place and then completed
    /// or aborted. Dropping the reservation aborts it.
    ///
    /// While it is open, nothing behind it becomes durable, and once all buffers behind it are full, appends and reservations
    /// wait for it. So whoever holds one must not wait for that: not by [`make_stable`](Log::make_stable) or
    /// [`flush`](Log::flush), and not by iterating or by reading its own LSN either. What was completed before it becomes
    /// durable and is read without waiting.
    ///
    /// A reservation that is leaked (`mem::forget`) stays open until the log is closed: [`stats`](Log::stats) say who made
    /// it, where, and how long ago, and [`close`](Log::close) aborts it.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] above [`inline_bytes_max`](Log::inline_bytes_max); [`Error::NoSpace`], [`Error::Poisoned`],
    /// [`Error::Io`].
    #[inline]
    #[track_caller]
    pub fn reserve(&self, len: u32) -> Result<Reservation<'_>, Error> {
        Ok(self.engine.reserve(MessageKind::Inline, len)?)
    }

    /// The longest payload that is stored in the log itself, in bytes.
    #[must_use]
    pub fn inline_bytes_max(&self) -> u32 {
        self.engine.payload_bytes_max()
    }

    /// Waits until the record at `lsn` is durable, and returns up to where the log is. One sync serves all who wait. If
    /// there is an open [reservation](Log::reserve) at `lsn` or before it, that is waited for.
    ///
    /// # Errors
    ///
    /// [`Error::NeverReserved`] if there is no such record; [`Error::NoSpace`] (the record is kept, and a later call
    /// tries again); [`Error::Poisoned`].
    pub fn make_stable(&self, lsn: Lsn) -> Result<Lsn, Error> {
        Ok(self.engine.make_stable(lsn)?)
    }

    /// Makes everything durable that was appended before, and returns up to where the log is.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`], [`Error::Poisoned`].
    pub fn flush(&self) -> Result<Lsn, Error> {
        Ok(self.engine.flush()?)
    }

    /// Does what the log's own thread does otherwise: syncs what was written, if more than
    /// [`unsynced_bytes_max`](Options::unsynced_bytes_max) is not synced, and writes the next segment's place ahead of need
    /// where that makes syncs cheaper. For programs that switched the [thread](Options::background) off; whether and when
    /// they call this changes nothing but how long syncs and the next opening take.
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`].
    pub fn run_upkeep(&self) -> Result<(), Error> {
        self.upkeep.run()
    }

    /// Everything below this LSN is durable.
    #[must_use]
    pub fn stable_lsn(&self) -> Lsn {
        self.engine.stable()
    }

    /// Everything below this LSN was handed to the storage; whether it is durable is for [`stable_lsn`](Log::stable_lsn) to say.
    #[must_use]
    pub fn written_lsn(&self) -> Lsn {
        self.engine.written()
    }

    /// The end of what was appended or reserved.
    #[must_use]
    pub fn end_lsn(&self) -> Lsn {
        self.engine.reserved()
    }

    /// Where the log begins: records below were truncated.
    #[must_use]
    pub fn floor(&self) -> Lsn {
        self.shared.floor()
    }

    /// The log's identity.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.shared.origin.log_id
    }

    /// The size of the log's segments.
    #[must_use]
    pub fn segment_bytes(&self) -> SegmentBytes {
        self.shared.origin.rules.segment_bytes
    }

    /// Counters since the log was opened, and the state of its segments.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats { engine: self.engine.stats(), segments: self.shared.segments.stats(), scrub: self.findings.stats() }
    }

    /// What [scrubbing](Options::scrub_bytes_per_second) has found to be damaged since the log was opened: each place once,
    /// the first thousand, in the order in which they were found.
    #[must_use]
    pub fn damages(&self) -> Vec<Corruption> {
        self.findings.damages()
    }

    /// Reads the record at `lsn`, whether it is on disk yet or not. Never syncs. If an open [reservation](Log::reserve) is
    /// at `lsn`, that is waited for.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`], [`Error::NotARecord`], [`Error::NeverReserved`], [`Error::Corrupt`], [`Error::Lost`],
    /// [`Error::Io`].
    pub fn read(&self, lsn: Lsn) -> Result<Record, Error> {
        let shared = &*self.shared;
        let origin = &shared.origin;
        // What is stable is in the file, and asking for that takes no lock. The floor never passes what is stable, so
        // only what is stable need be compared with it.
        if lsn < shared.engine.stable() {
            let floor = self.floor();
            return if lsn < floor { Err(Error::Truncated { lsn, floor }) } else { read_written(origin, lsn) };
        }
        let in_memory = shared.engine.read(lsn, |bytes| {
            let message = whole_message(bytes, lsn, origin.rules)?;
            Some((message.header.kind, message.payload.to_vec()))
        })?;
        match in_memory {
            Found::InMemory(Some((MessageKind::Inline, payload))) => Ok(Record::new(lsn, payload)),
            Found::InMemory(Some((MessageKind::BlobPointer, payload))) => {
                let record = Record::of_pointer(lsn, &payload, origin.storage.as_ref(), origin.log_id);
                unless_truncated(origin, lsn, record)
            }
            Found::InMemory(_) => Err(Error::NotARecord { lsn }),
            Found::Written => read_written(origin, lsn),
        }
    }

    /// Iterates over the records from `lsn` on, up to where the log ends now. What is not in the file yet is written
    /// there first, without a sync; open [reservations](Log::reserve) are waited for.
    ///
    /// `lsn` need not be the beginning of a record; below [`floor`](Log::floor) iteration begins there.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`], [`Error::Poisoned`] or [`Error::Io`] if what is in memory could not be written.
    pub fn iter_from(&self, lsn: Lsn) -> Result<Iter, Error> {
        let end = match self.engine.write_out() {
            Ok(end) => end,
            // Reading goes on after the log has stopped: as far as it was written.
            Err(EngineError::Poisoned(_)) => self.engine.written(),
            Err(error) => return Err(error.into()),
        };
        Ok(Iter::new(self.shared.origin.clone(), lsn.max(self.floor()), end))
    }

    /// Gives up every record below `lsn`: durably, before this returns. Segments that lie wholly below are used again once
    /// nobody can be reading them, and blobs that only they point at are removed.
    ///
    /// Makes everything below `lsn` durable first, since what was never written cannot be given up. An LSN below the
    /// present floor changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::NeverReserved`] beyond the end of the log; [`Error::NoSpace`], [`Error::Poisoned`], [`Error::Io`]. Where
    /// the floor could not be recorded, nothing is freed.
    pub fn truncate_before(&self, lsn: Lsn) -> Result<Truncation, Error> {
        self.shared.truncate_before(lsn)
    }

    /// Removes every blob that no record points at: left by crashes, or by truncations that were interrupted. Reads the
    /// whole log if there are any blobs. Returns how many were removed.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the log cannot be read, since the pointer may be there; [`Error::Io`], and what
    /// [`iter_from`](Log::iter_from) returns.
    pub fn collect_blobs(&self) -> Result<u32, Error> {
        let shared = &*self.shared;
        // Listed first: a blob that is written meanwhile is not among them. Those whose records are on their way are left
        // out before the end of the log is asked for, because their records may come to lie beyond it.
        let mut candidates = blob::list(shared.storage())?;
        candidates.retain(|&id| !shared.blobs.is_pending(id));
        if candidates.is_empty() {
            return Ok(0);
        }
        let end = shared.engine.write_out()?;
        let origin = &shared.origin;
        let mut live = BTreeSet::new();
        let floor = self.floor();
        for base in origin.placement.bases_from(floor).into_iter().take_while(|&base| base < end) {
            walk_pointers(origin, base, end, BeyondDamage::Stop, &mut |at, pointer| {
                if at >= floor {
                    live.insert(pointer.id);
                }
            })?;
        }
        let mut removed = 0;
        for id in candidates {
            if !live.contains(&id) {
                removed += u32::from(blob::remove(shared.storage(), id)?);
            }
        }
        Ok(removed)
    }

    /// Makes everything durable, leaves a mark in the log and in the superblock that says so, and releases the lock.
    /// Returns the end of the log.
    ///
    /// A [reservation](Log::reserve) that is still open can only be a leaked one, because others borrow the log. It is
    /// aborted, so that nothing is lost but itself.
    ///
    /// # Errors
    ///
    /// - [`Error::ReservationLeaked`]: the log was closed in good order, with everything durable that was appended or
    ///   completed; but the program has a fault.
    /// - [`Error::NoSpace`], [`Error::Poisoned`], [`Error::Io`]. The log is closed all the same, as if by a crash: what was
    ///   acknowledged is durable.
    pub fn close(mut self) -> Result<Lsn, Error> {
        self.shut()
    }

    fn shut(&mut self) -> Result<Lsn, Error> {
        if mem::replace(&mut self.closed, true) {
            return Ok(self.stable_lsn());
        }
        // First, because a thread of the log may be waiting for one.
        let leaked = self.engine.abort_leaked();
        drop(self.scrub.take());
        drop(self.thread.take());
        let left = self.leave_in_order();
        // Those who wait are told, of the end or of what was in the way.
        self.tickets.close();
        let end = left?;
        let count = leaked.len() as u32;
        match leaked.into_iter().next() {
            Some(first) => Err(Error::ReservationLeaked { first: Box::new(first), count }),
            None => Ok(end),
        }
    }

    /// Makes everything durable and says so in the log.
    fn leave_in_order(&self) -> Result<Lsn, Error> {
        let engine = &self.engine;
        let flushed = engine.flush()?;
        let appended = flushed > self.report.end;
        let marked_before = self.report.clean || self.report.created;
        let end = if appended || !marked_before { self.leave_mark(flushed)? } else { flushed };
        self.shared.control().update(|superblock| {
            superblock.mark = end;
            superblock.clean = true;
        })?;
        Ok(end)
    }

    /// Appends a mark: its own header says that everything before it is durable, which is so by now. Where there is no
    /// room for one, the superblock's has to do.
    fn leave_mark(&self, flushed: Lsn) -> Result<Lsn, Error> {
        let engine = &self.engine;
        match engine.append(MessageKind::Mark, &[]) {
            Ok(mark) => Ok(engine.make_stable(mark)?),
            Err(EngineError::NoSpace { .. }) => Ok(flushed),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // A destructor has nobody to tell; `close` is for those who want to know.
        drop(self.shut());
    }
}

impl Shared {
    pub(crate) fn floor(&self) -> Lsn {
        self.segments.floor()
    }

    /// See [`Log::truncate_before`].
    pub(crate) fn truncate_before(&self, lsn: Lsn) -> Result<Truncation, Error> {
        let shared = self;
        if let Some(last) = lsn.get().checked_sub(1) {
            shared.engine.make_stable(Lsn::new(last)).map_err(|error| match error {
                EngineError::NeverReserved { end, .. } => Error::NeverReserved { lsn, end },
                other => other.into(),
            })?;
        }
        // Held throughout, so that truncations come one after the other.
        let mut control = shared.control();
        let before = self.floor();
        if lsn <= before {
            return Ok(Truncation { floor: before, segments_freed: 0, blobs_removed: 0 });
        }
        let dead_blobs = self.blobs_below(lsn)?;
        // Without its gates a slot would be written again before the disk knows that nobody needs it: the crash tests must
        // notice that, and a floor that is promised and not recorded.
        if !cfg!(any(esker_sabotage = "reuse_gate", esker_sabotage = "truncation")) {
            let stable = shared.engine.stable();
            control.update(|superblock| {
                superblock.floor = lsn;
                superblock.mark = superblock.mark.max(stable);
            })?;
        }
        let tickets = shared.segments.truncate(lsn);
        let segments_freed = tickets.len() as u32;
        if !tickets.is_empty() {
            let segments = shared.segments.clone();
            // Whoever looked up a place before the segments left the table is pinned now.
            let guard = crossbeam_epoch::pin();
            guard.defer(move || segments.release(tickets));
            guard.flush();
        }
        let mut blobs_removed = 0;
        for id in dead_blobs {
            blobs_removed += u32::from(blob::remove(shared.storage(), id)?);
        }
        Ok(Truncation { floor: lsn, segments_freed, blobs_removed })
    }

    /// The blobs that records below `lsn` point at.
    fn blobs_below(&self, lsn: Lsn) -> Result<Vec<BlobId>, Error> {
        let shared = self;
        if !shared.old_blobs && shared.blobs.begun() == 0 {
            return Ok(Vec::new());
        }
        let origin = &shared.origin;
        let mut found = Vec::new();
        let from = self.floor();
        for base in origin.placement.bases_from(from).into_iter().take_while(|&base| base < lsn) {
            // Damage is no reason to keep what is given up.
            walk_pointers(origin, base, lsn, BeyondDamage::GoOn, &mut |at, pointer| {
                if at >= from && at < lsn {
                    found.push(pointer.id);
                }
            })?;
        }
        Ok(found)
    }

    fn storage(&self) -> &dyn Storage {
        self.origin.storage.as_ref()
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of a log that is being written: places change when segments are freed and used again, so that every read
/// pins the epoch before it looks one up.
#[derive(Debug)]
struct LiveBytes {
    file: Arc<dyn StorageFile>,
    segments: Arc<Segments>,
    engine: Arc<Engine>,
}

impl Placement for LiveBytes {
    fn read(&self, lsn: Lsn, dst: &mut [u8]) -> Result<Option<usize>, Error> {
        let _pinned = crossbeam_epoch::pin();
        let Some(offset) = self.segments.locate(lsn) else { return Ok(None) };
        let read = self.file.read_at(dst, offset.get());
        read.map(Some).map_err(|error| Error::io_at("read", LOG, offset.get(), error))
    }
}

impl Locate for LiveBytes {
    fn offset_of(&self, lsn: Lsn) -> u64 {
        self.segments.locate(lsn).unwrap_or_default().get()
    }

    fn floor(&self) -> Result<Lsn, Error> {
        Ok(self.segments.floor())
    }

    fn durable_to(&self) -> Lsn {
        self.engine.stable()
    }

    fn bases_from(&self, lsn: Lsn) -> VecDeque<Lsn> {
        self.segments.bases_from(lsn)
    }
}

fn has_superblock(storage: &dyn Storage) -> Result<bool, Error> {
    match storage.open(crate::names::SUPERBLOCK, Access::Read) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("open", crate::names::SUPERBLOCK, error)),
    }
}

fn check_creatable(storage: &dyn Storage) -> Result<(), Error> {
    recovery::why_not_creatable(storage)?.map_or(Ok(()), |reason| Err(Error::NotEsker { reason }))
}

/// Creates a log. Until the superblock has its name, durably, there is none.
fn create(storage: &dyn Storage, segment_bytes: SegmentBytes, log_id: Option<LogId>) -> Result<(), Error> {
    let log_id = match log_id {
        Some(log_id) => log_id,
        None => {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes)
                .map_err(|error| Error::io("draw an identity for", LOG, io::Error::other(error.to_string())))?;
            LogId::from_bytes(bytes)
        }
    };
    // An empty one of a creation that was interrupted. Its entry may be one that a failed sync has given up, and which only
    // making it again makes durable.
    match storage.remove(LOG) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::io("remove", LOG, error)),
        _ => (),
    }
    let file = storage.create(LOG).map_err(|error| Error::io("create", LOG, error))?;
    file.sync_all().map_err(|error| Error::io("sync", LOG, error))?;
    crate::sync_dir(storage)?;
    let superblock = Superblock {
        log_id,
        segment_bytes,
        generation: 0,
        epoch: Epoch::ZERO,
        epoch_start: Lsn::ZERO,
        floor: Lsn::ZERO,
        mark: Lsn::ZERO,
        clean: true,
    };
    control::create(storage, &superblock)
}
