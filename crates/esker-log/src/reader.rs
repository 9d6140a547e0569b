//! Reading a log without opening it for writing.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    sync::Arc,
};

use esker_format::{
    BlobPointer, Epoch, FileOffset, LogId, Lsn, MESSAGE_HEADER_BYTES, MessageKind, SEGMENT_HEADER_BYTES, SegmentBytes,
    SegmentId,
};
use esker_storage::Storage;

use crate::{
    Corruption, CorruptionKind, Error, Iter, Record, RecoveryReport, blob, control,
    origin::{Locate, Origin},
    read::read_written,
    recovery::{self, Recovered, RecoveryNote, Table},
    walk::{Placement, Rules, Step, Walk},
};

/// A log that is only read: takes no lock, writes nothing, and works while another process appends. It sees what was in
/// the files when it was opened or last [refreshed](LogReader::refresh).
///
/// Damage does not keep it from opening: [`report`](LogReader::report) tells, and what can be read is read.
#[derive(Debug)]
pub struct LogReader {
    recovered: Recovered,
    origin: Origin,
}

/// One message of any kind, as [`LogReader::messages`] lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageInfo {
    /// Where it is in the log.
    pub lsn: Lsn,
    /// The slot it is in.
    pub segment: SegmentId,
    /// Where it is in the file.
    pub offset: FileOffset,
    /// What it holds.
    pub kind: MessageKind,
    /// The length of its payload in bytes.
    pub len: u32,
    /// Its checksum, which is right.
    pub crc32: u32,
    /// The opening that wrote it.
    pub epoch: Epoch,
    /// Everything below was known to be durable when it was written.
    pub mark: Lsn,
}

/// What [`LogReader::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Records that are whole, those with blobs included.
    pub records: u64,
    /// Messages of any kind that are whole.
    pub messages: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Blobs that are whole.
    pub blobs: u64,
    /// Segments read.
    pub segments: u32,
    /// What is damaged or missing, in LSN order.
    pub damages: Vec<Corruption>,
    /// Files of blobs that no record points at. They cost space, nothing else.
    pub orphan_blobs: Vec<String>,
}

impl VerifyReport {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.damages.is_empty()
    }
}

/// The figures of a log, as [`LogReader::stat`] tells them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStat {
    /// The log's identity.
    pub log_id: LogId,
    /// The size of its segments.
    pub segment_bytes: SegmentBytes,
    /// The latest opening for writing.
    pub epoch: Epoch,
    /// Where the log begins.
    pub floor: Lsn,
    /// Where it ends.
    pub end: Lsn,
    /// Everything below was recorded as durable.
    pub mark: Lsn,
    /// Whether it was closed in good order.
    pub clean: bool,
    /// Slots that hold a part of the log.
    pub segments_live: u32,
    /// Slots that hold none.
    pub segments_free: u32,
    /// The length of the file of segments in bytes.
    pub file_bytes: u64,
    /// Files of blobs.
    pub blobs: u32,
}

impl LogReader {
    /// Opens the log in `storage` for reading.
    ///
    /// # Errors
    ///
    /// [`Error::NotEsker`], [`Error::NotFound`], [`Error::NewerFormat`], [`Error::Io`]; [`Error::Corrupt`] only if both
    /// copies of the superblock or the whole file of segments are gone.
    pub fn open(storage: Arc<dyn Storage>) -> Result<Self, Error> {
        match recovery::recover_beside_a_writer(storage.as_ref()) {
            Ok(recovered) => Ok(Self::of(storage, recovered)),
            Err(Error::NotFound) => Err(match recovery::why_not_creatable(storage.as_ref())? {
                Some(reason) => Error::NotEsker { reason },
                None => Error::NotFound,
            }),
            Err(error) => Err(error),
        }
    }

    fn of(storage: Arc<dyn Storage>, recovered: Recovered) -> Self {
        let placement = SnapshotBytes {
            table: recovered.table.clone(),
            storage: storage.clone(),
            durable_to: recovered.report.mark,
        };
        let log_id = recovered.superblock.log_id;
        let origin = Origin { placement: Arc::new(placement), storage, log_id, rules: recovered.rules() };
        Self { recovered, origin }
    }

    fn storage(&self) -> &dyn Storage {
        self.origin.storage.as_ref()
    }

    /// What was found.
    #[must_use]
    pub fn report(&self) -> &RecoveryReport {
        &self.recovered.report
    }

    /// Where the log begins.
    #[must_use]
    pub fn floor(&self) -> Lsn {
        self.recovered.floor
    }

    /// Where the log ended when it was last looked at.
    #[must_use]
    pub fn end_lsn(&self) -> Lsn {
        self.recovered.tip
    }

    /// Looks again, for what a writer has added or truncated meanwhile. Returns the new end.
    ///
    /// # Errors
    ///
    /// As [`LogReader::open`]. The reader stays as it was then.
    pub fn refresh(&mut self) -> Result<Lsn, Error> {
        let recovered = recovery::recover_beside_a_writer(self.storage())?;
        *self = Self::of(self.origin.storage.clone(), recovered);
        Ok(self.recovered.tip)
    }

    /// Reads the record at `lsn`.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`], [`Error::NotARecord`], [`Error::NeverReserved`], [`Error::Corrupt`], [`Error::Io`].
    pub fn read(&self, lsn: Lsn) -> Result<Record, Error> {
        let (floor, end) = (self.floor(), self.end_lsn());
        if lsn < floor {
            return Err(Error::Truncated { lsn, floor });
        }
        if lsn >= end {
            return Err(Error::NeverReserved { lsn, end });
        }
        read_written(&self.origin, lsn)
    }

    /// Iterates over the records from `lsn` on. `lsn` need not be the beginning of one; below the floor iteration begins
    /// there.
    pub fn iter_from(&self, lsn: Lsn) -> Iter {
        Iter::new(self.origin.clone(), lsn.max(self.floor()), self.end_lsn())
    }

    /// Lists every message of any kind, beginning with the segment that the floor is in. Damage is an item; the list goes
    /// on beyond it.
    #[must_use]
    pub fn messages(&self) -> Messages {
        let bases = self.recovered.table.bases_from(self.floor());
        Messages {
            table: self.recovered.table.clone(),
            rules: self.recovered.rules(),
            durable_to: self.recovered.report.mark,
            next_base: self.floor().segment_base(self.recovered.superblock.segment_bytes),
            end: self.end_lsn(),
            bases,
            walk: None,
            failed: false,
        }
    }

    /// Reads everything and reports all that is damaged. `progress` is told bytes done and bytes in all.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the storage fails. Damage is not an error but in the report.
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<VerifyReport, Error> {
        let mut report = VerifyReport::default();
        report.damages.extend(self.recovered.report.notes.iter().filter_map(|note| match note {
            RecoveryNote::CopyDamaged(corruption) => Some(corruption.clone()),
            _ => None,
        }));
        report.segments = self.live_segments();
        let floor = self.floor();
        let total = self.end_lsn() - floor.segment_base(self.recovered.superblock.segment_bytes).min(self.end_lsn());
        let mut pointed_at = BTreeSet::new();
        let mut messages = self.messages();
        while let Some(found) = messages.next_pointer() {
            let (info, pointer) = match found {
                Ok(found) => found,
                Err(Error::Corrupt(corruption)) => {
                    report.damages.extend(self.unless_truncated(corruption)?);
                    continue;
                }
                Err(error) => return Err(error),
            };
            report.messages += 1;
            report.bytes += MESSAGE_HEADER_BYTES as u64 + u64::from(info.len);
            // Every so many messages, so that telling costs nothing beside reading.
            if report.messages % 4096 == 0 {
                progress(report.bytes.min(total), total);
            }
            if !info.kind.is_record() || info.lsn < floor {
                continue;
            }
            if info.kind == MessageKind::BlobPointer {
                let read = pointer.ok_or_else(|| pointer_damaged(&info).into()).and_then(|pointer| {
                    pointed_at.insert(pointer.id);
                    blob::read(self.storage(), self.recovered.superblock.log_id, info.lsn, &pointer)
                });
                match read {
                    Ok(payload) => {
                        report.blobs += 1;
                        report.bytes += payload.len() as u64;
                    }
                    Err(Error::Corrupt(corruption)) => {
                        report.damages.extend(self.unless_truncated(corruption)?);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            report.records += 1;
        }
        progress(total, total);
        let orphan = |id: &esker_format::BlobId| !pointed_at.contains(id);
        report.orphan_blobs =
            blob::list(self.storage())?.iter().filter(|id| orphan(id)).map(|id| id.file_name()).collect();
        // What recovery could not read is met again here, unless it is a segment that is missing or has lost its header.
        for damage in self.recovered.report.damage.iter().chain(&self.recovered.lost_headers) {
            if !report.damages.iter().any(|found| found.lsn == damage.lsn) {
                report.damages.push(damage.clone());
            }
        }
        report.damages.sort_by_key(|damage| damage.lsn);
        Ok(report)
    }

    /// A damage, unless a writer has truncated the log beyond it meanwhile, so that it is none.
    fn unless_truncated(&self, corruption: Corruption) -> Result<Option<Corruption>, Error> {
        let floor = control::load(self.storage())?.superblock.floor;
        let truncated = floor > self.floor() && corruption.lsn.is_some_and(|lsn| lsn < floor);
        Ok((!truncated).then_some(corruption))
    }

    fn live_segments(&self) -> u32 {
        let end = self.end_lsn();
        self.recovered.table.bases_from(self.floor()).into_iter().filter(|&base| base < end).count() as u32
    }

    /// The figures of the log.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the directory cannot be listed.
    pub fn stat(&self) -> Result<LogStat, Error> {
        let superblock = &self.recovered.superblock;
        let live = self.live_segments();
        Ok(LogStat {
            log_id: superblock.log_id,
            segment_bytes: superblock.segment_bytes,
            epoch: self.recovered.epoch,
            floor: self.floor(),
            end: self.end_lsn(),
            mark: self.recovered.report.mark,
            clean: self.recovered.report.clean,
            segments_live: live,
            segments_free: self.recovered.slots.saturating_sub(live),
            file_bytes: self
                .recovered
                .table
                .file
                .len()
                .map_err(|error| Error::io("measure", crate::names::LOG, error))?,
            blobs: blob::list(self.storage())?.len() as u32,
        })
    }
}

fn pointer_damaged(info: &MessageInfo) -> Corruption {
    let reason = "its pointer has a wrong length".to_owned();
    Corruption::in_log(info.lsn, info.offset, CorruptionKind::Blob { reason })
}

/// The bytes of a log as its segment table was when it was read. A writer may have used a segment again since.
#[derive(Debug)]
struct SnapshotBytes {
    table: Arc<Table>,
    storage: Arc<dyn Storage>,
    durable_to: Lsn,
}

impl Placement for SnapshotBytes {
    fn read(&self, lsn: Lsn, dst: &mut [u8]) -> Result<Option<usize>, Error> {
        self.table.read(lsn, dst)
    }
}

impl Locate for SnapshotBytes {
    fn offset_of(&self, lsn: Lsn) -> u64 {
        self.table.locate(lsn).unwrap_or_default().get()
    }

    fn floor(&self) -> Result<Lsn, Error> {
        Ok(control::load(self.storage.as_ref())?.superblock.floor)
    }

    fn durable_to(&self) -> Lsn {
        self.durable_to
    }

    fn bases_from(&self, lsn: Lsn) -> VecDeque<Lsn> {
        self.table.bases_from(lsn)
    }
}

/// Every message of a log: see [`LogReader::messages`].
pub struct Messages {
    table: Arc<Table>,
    rules: Rules,
    durable_to: Lsn,
    next_base: Lsn,
    end: Lsn,
    bases: VecDeque<Lsn>,
    walk: Option<Walk>,
    failed: bool,
}

impl Messages {
    /// The next message, with its pointer if it is one to a blob and can be decoded.
    fn next_pointer(&mut self) -> Option<Result<(MessageInfo, Option<BlobPointer>), Error>> {
        if self.failed {
            return None;
        }
        let next = self.step().transpose();
        self.failed = matches!(&next, Some(Err(error)) if !matches!(error, Error::Corrupt(_)));
        next
    }

    fn step(&mut self) -> Result<Option<(MessageInfo, Option<BlobPointer>)>, Error> {
        loop {
            let Some(walk) = &mut self.walk else {
                if self.next_base >= self.end {
                    return Ok(None);
                }
                let wanted = self.next_base;
                let base = self.bases.pop_front();
                let Some(base) = base.filter(|&base| base == wanted) else {
                    // A gap: the segment that was popped, if any, comes after it.
                    self.next_base = base.unwrap_or(self.end);
                    self.bases.extend(base);
                    self.bases.rotate_right(usize::from(base.is_some()));
                    return Err(self.corrupt(wanted, CorruptionKind::MissingSegment { durable_to: self.durable_to }));
                };
                let end = base + u64::from(self.rules.segment_bytes.get());
                let first = base + SEGMENT_HEADER_BYTES as u64;
                self.next_base = end;
                self.walk = Some(Walk::new(self.table.clone(), self.rules, Epoch::ZERO, first, end.min(self.end)));
                continue;
            };
            let at = walk.at();
            match walk.next()? {
                None => self.walk = None,
                Some(Step::Message(header, crc32)) => {
                    let pointer = BlobPointer::decode(walk.payload()).ok();
                    let info = MessageInfo {
                        lsn: header.lsn,
                        segment: self.table.segment_of(at).unwrap_or_default(),
                        offset: self.table.locate(at).unwrap_or_default(),
                        kind: header.kind,
                        len: header.len,
                        crc32,
                        epoch: header.epoch,
                        mark: header.mark,
                    };
                    return Ok(Some((info, pointer.filter(|_| header.kind == MessageKind::BlobPointer))));
                }
                Some(Step::Damage(damage)) => {
                    if !walk.resync()? {
                        self.walk = None;
                    }
                    let kind = CorruptionKind::Message { damage: damage.kind, durable_to: self.durable_to };
                    return Err(self.corrupt(at, kind));
                }
                Some(Step::Missing) => {
                    self.walk = None;
                    return Err(self.corrupt(at, CorruptionKind::MissingSegment { durable_to: self.durable_to }));
                }
            }
        }
    }

    fn corrupt(&self, at: Lsn, kind: CorruptionKind) -> Error {
        Corruption::in_log(at, self.table.locate(at).unwrap_or_default(), kind).into()
    }
}

impl Iterator for Messages {
    type Item = Result<MessageInfo, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.next_pointer()?.map(|(info, _)| info))
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").field("next_base", &self.next_base).field("end", &self.end).finish_non_exhaustive()
    }
}
