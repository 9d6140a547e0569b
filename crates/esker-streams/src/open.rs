//! Opening a store: the ledger first, then what the streams hold, then writing.

use std::{collections::BTreeMap, io, sync::Arc};

use esker_format::{LogId, Lsn, SegmentBytes};
use esker_log::Log;
use esker_storage::{Access, Storage, StorageFile, is_out_of_space};

use crate::{
    Error, Options, StreamId, Streams, error,
    ledger::{self, Note, NoteError, Table},
    names::DATA,
    replay::{Found, Replay, Slots, StreamEnd, offset_in},
    streams::Parts,
};

/// The size of the ledger's segments: notes are short and soon superseded.
const LEDGER_SEGMENT_BYTES: u32 = 1 << 20;
const LEDGER_BUFFER_BYTES: u32 = 256 << 10;
/// How much is copied at once.
const WINDOW_BYTES: usize = 256 << 10;

/// A store between reading its ledger and writing.
///
/// ```
/// use std::sync::Arc;
/// use esker_storage::MemStorage;
/// use esker_streams::{Opening, Options, StreamId};
///
/// let storage = Arc::new(MemStorage::default());
/// let mut notes = Vec::new();
/// let mut opening = Opening::begin(storage, &Options::new().streams(2), |_, note| notes.push(note.to_vec()))?;
/// opening.replay(|_| esker_format::Lsn::ZERO, |record| {
///     println!("{} bytes at {} in {:?}", record.payload.len(), record.lsn, record.stream);
///     Ok(())
/// })?;
/// let store = opening.finish()?;
/// let lsn = store.append(StreamId::new(1).unwrap(), b"a record")?;
/// store.flush()?;
/// assert_eq!(store.read(lsn, 24 + 8)?.unwrap(), b"a record");
/// # Ok::<(), esker_streams::Error>(())
/// ```
#[derive(Debug)]
pub struct Opening {
    options: Options,
    ledger: Log,
    table: Table,
    file: Arc<dyn StorageFile>,
    slots: Slots,
    found: BTreeMap<StreamId, StreamEnd>,
}

impl Opening {
    /// Takes the lock, reads the ledger, and shows every note of the owner to `notes`, oldest first. Creates the store where
    /// there is none, if the options say so.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOptions`]; what [`Log::open`] says of the ledger; [`Error::NotEsker`] if the directory has a log that
    /// is no ledger; [`Error::NewerFormat`]; [`Error::Corrupt`]; [`Error::Io`].
    pub fn begin(
        storage: Arc<dyn Storage>,
        options: &Options,
        mut notes: impl FnMut(Lsn, &[u8]),
    ) -> Result<Self, Error> {
        let segment_bytes = options.validate()?;
        let ledger_options = esker_log::Options::new()
            .segment_bytes(LEDGER_SEGMENT_BYTES)
            .buffer_bytes(LEDGER_BUFFER_BYTES)
            .buffers(2)
            .create(options.create)
            .background(false);
        let ledger_options = match options.log_id {
            Some(id) => ledger_options.log_id(id),
            None => ledger_options,
        };
        let ledger = Log::open(storage.clone(), ledger_options)?;
        let table = match read_ledger(&ledger, &mut notes)? {
            Some(table) => table,
            // Also if an earlier opening came no further than to the ledger.
            None if is_empty(&ledger)? => create(storage.as_ref(), &ledger, segment_bytes, options.log_id)?,
            None => return Err(Error::NotEsker { reason: NoteError::NoBeginning.to_string() }),
        };
        let file = storage.open(DATA, Access::ReadWrite).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => error::corrupt(Lsn::ZERO, 0, error::CorruptionKind::MissingFile),
            _ => error::io("open", DATA, error),
        })?;
        let slots =
            Slots::survey(file.as_ref(), table.log_id, table.segment_bytes, |base| table.segments.contains_key(&base))?;
        Ok(Self { options: options.clone(), ledger, table, file, slots, found: BTreeMap::new() })
    }

    /// A note of the owner, by where it was shown to be.
    ///
    /// # Errors
    ///
    /// As those of [`Log::read`].
    pub fn note(&self, lsn: Lsn) -> Result<Vec<u8>, Error> {
        let record = self.ledger.read(lsn)?;
        ledger::as_owners(record.payload()).map(<[u8]>::to_vec).ok_or(Error::NotARecord { lsn })
    }

    /// The highest mark that the owner gave with [freed](Streams::reclaim) segments.
    #[must_use]
    pub fn freed_mark(&self) -> u64 {
        self.table.freed_mark
    }

    /// The identity of the data file.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.table.log_id
    }

    /// The size of a segment.
    #[must_use]
    pub fn segment_bytes(&self) -> SegmentBytes {
        self.table.segment_bytes
    }

    /// Reads each stream from where `start` says, and shows every record to `visit`, stream by stream, in the order in
    /// which they were appended to it. Everything below `start` must have been durable once: the owner noted it after a
    /// [flush](Streams::flush). Changes nothing on disk.
    ///
    /// Costs what is read: the segments at and beyond `start`.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if something that had been durable cannot be read; [`Error::Io`]; what `visit` returns.
    pub fn replay(
        &mut self,
        start: impl Fn(StreamId) -> Lsn,
        mut visit: impl FnMut(Found<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut streams: BTreeMap<StreamId, Vec<_>> = BTreeMap::new();
        for (&base, &entry) in &self.table.segments {
            streams.entry(entry.stream).or_default().push((base, entry));
        }
        let mut replay = Replay {
            file: self.file.as_ref(),
            log_id: self.table.log_id,
            segment_bytes: self.table.segment_bytes,
            slots: &mut self.slots,
            buffer: Vec::new(),
        };
        for (stream, segments) in streams {
            let end = replay.stream(stream, &segments, start(stream), &mut visit)?;
            self.found.insert(stream, end);
        }
        Ok(())
    }

    /// Makes durable what was found, writes down where it ends, and starts the streams, each in a segment of its own that
    /// is to come.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::NoSpace`], [`Error::Poisoned`] of the ledger. What was found is found again by the next
    /// opening.
    ///
    /// # Panics
    ///
    /// If nothing was [replayed](Self::replay).
    pub fn finish(mut self) -> Result<Streams, Error> {
        assert!(self.found.len() == self.streams_found(), "the streams are replayed before writing begins");
        self.make_durable()?;
        let epoch = self.table.epoch.next().ok_or_else(|| Error::InvalidOptions {
            faults: vec!["the store has been opened 2^32 - 1 times, which is all that its format can count".to_owned()],
        })?;
        let ends: Vec<_> = self.found.values().flat_map(|found| found.ends.iter().copied()).collect();
        let cut: Vec<_> = self.found.values().flat_map(|found| found.cut.iter().copied()).collect();
        let mut table = self.table;
        // A segment that the ledger does not know was never part of anything that was acknowledged. Its LSNs are not used
        // again all the same.
        if let Some(highest) = self.slots.highest_base {
            table.next_base = table.next_base.max(highest.next_segment(table.segment_bytes));
        }
        for note in [Note::Opened { epoch, ends }, Note::Freed { mark: 0, bases: cut }] {
            self.ledger.append(&note.encode())?;
            table = Table::after(Some(table), note)
                .expect("the ends were found within their segments")
                .expect("a table stays one");
        }
        self.ledger.flush()?;
        let Self { options, ledger, file, slots, .. } = self;
        Streams::start(Parts { options, ledger, table, file, slots })
    }

    fn streams_found(&self) -> usize {
        let streams: std::collections::BTreeSet<_> = self.table.segments.values().map(|entry| entry.stream).collect();
        streams.len()
    }

    /// Writes again what no mark covers, just as it is, before the file is synced: an earlier opening may have ended because
    /// its sync had failed, after which a system may show what it has given up writing. The same goes for the length.
    fn make_durable(&mut self) -> Result<(), Error> {
        let segment_bytes = self.table.segment_bytes;
        let doubtful: Vec<_> = self
            .found
            .values()
            .flat_map(|found| found.ends.iter().map(|&(base, end)| (base, base.max(found.mark), end)))
            .filter(|&(_, from, end)| from < end)
            .collect();
        let whole = u64::from(self.slots.count) * u64::from(segment_bytes.get());
        let file = self.file.as_ref();
        let len = file.len().map_err(|error| error::io("measure", DATA, error))?;
        let is_whole = len == whole;
        if is_whole && doubtful.is_empty() {
            return Ok(());
        }
        if !is_whole {
            match file.preallocate(len, whole - len) {
                // Whoever writes there will be told.
                Err(error) if is_out_of_space(&error) => file.set_len(whole),
                outcome => outcome,
            }
            .map_err(|error| error::io_at("extend", DATA, len, error))?;
        }
        if !doubtful.is_empty() {
            let set_len = |len| file.set_len(len).map_err(|error| error::io("set the length of", DATA, error));
            set_len(whole + 1)?;
            set_len(whole)?;
        }
        let mut window = Vec::new();
        for (base, from, end) in doubtful {
            let slot = self.slots.by_base[&base];
            let mut at = from;
            while at < end {
                window.resize(WINDOW_BYTES.min((end.get() - at.get()) as usize), 0);
                let offset = offset_in(slot, at, segment_bytes).get();
                file.read_exact_at(&mut window, offset).map_err(|error| error::io_at("read", DATA, offset, error))?;
                file.write_all_at(&window, offset).map_err(|error| error::io_at("write", DATA, offset, error))?;
                at = at + window.len() as u64;
            }
        }
        file.sync_data().map_err(|error| error::io("sync", DATA, error))
    }
}

/// Whether a ledger never had a note.
fn is_empty(ledger: &Log) -> Result<bool, Error> {
    Ok(ledger.iter_from(ledger.floor())?.next_record().transpose()?.is_none())
}

/// The table that the ledger amounts to; `None` if it says nothing of a store.
fn read_ledger(ledger: &Log, notes: &mut dyn FnMut(Lsn, &[u8])) -> Result<Option<Table>, Error> {
    let mut table = None;
    let mut records = ledger.iter_from(ledger.floor())?;
    while let Some(record) = records.next_record() {
        let record = record?;
        if let Some(note) = ledger::as_owners(record.payload()) {
            notes(record.lsn(), note);
            continue;
        }
        let applied = Note::decode(record.payload()).and_then(|note| Table::after(table.take(), note));
        table = applied.map_err(|error| match error {
            NoteError::Newer(found) => Error::NewerFormat { found, supported: ledger::VERSION },
            other => Error::NotEsker { reason: format!("the record at lsn {} of its log is {other}", record.lsn()) },
        })?;
    }
    Ok(table)
}

/// Creates an empty store beside an empty ledger.
fn create(
    storage: &dyn Storage,
    ledger: &Log,
    segment_bytes: SegmentBytes,
    log_id: Option<LogId>,
) -> Result<Table, Error> {
    // Left from a creation that was interrupted. Its entry may be one that a failed sync has given up.
    match storage.remove(DATA) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error::io("remove", DATA, error)),
        _ => (),
    }
    let file = storage.create(DATA).map_err(|error| error::io("create", DATA, error))?;
    file.sync_all().map_err(|error| error::io("sync", DATA, error))?;
    storage.sync_dir().map_err(|error| error::io("sync", "the directory", error))?;
    let mut bytes = log_id.map_or([0; 16], LogId::to_bytes);
    match log_id {
        // Another one than the ledger's, so that neither file can pass for the other.
        Some(_) => bytes[15] ^= 1,
        None => getrandom::fill(&mut bytes)
            .map_err(|error| error::io("draw an identity for", DATA, io::Error::other(error.to_string())))?,
    }
    let log_id = LogId::from_bytes(bytes);
    ledger.append(&Note::Created { log_id, segment_bytes }.encode())?;
    ledger.flush()?;
    Ok(Table::new(log_id, segment_bytes))
}
