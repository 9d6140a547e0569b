//! Reading a log without opening it for writing.

use std::{collections::VecDeque, sync::Arc};

use esker_format::{Epoch, LogId, Lsn, SegmentBytes};
use esker_storage::Storage;

use crate::{
    Error, Iter, Messages, Record, RecoveryReport, SalvageReport, VerifyReport, blob, control,
    origin::{Locate, Origin},
    read::read_written,
    recovery::{self, Recovered, Table},
    salvage,
    verify::verify,
    walk::Placement,
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
            Ok(mut recovered) => {
                recovered.find_lost()?;
                Ok(Self::of(storage, recovered))
            }
            Err(Error::NotFound) => Err(match recovery::why_not_creatable(storage.as_ref())? {
                Some(reason) => Error::NotEsker { reason },
                None => Error::NotFound,
            }),
            Err(error) => Err(error),
        }
    }

    /// As [`open`](Self::open), but a log that has lost its superblock, both copies or the file, is read as well: the headers
    /// of its segments tell what it said, but for truncations since the newest of them was begun. No writer may be at work.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::Corrupt`] if the headers do not agree on a log.
    pub fn open_for_salvage(storage: Arc<dyn Storage>) -> Result<Self, Error> {
        let mut recovered = recovery::recover_for_salvage(storage.as_ref())?;
        recovered.find_lost()?;
        Ok(Self::of(storage, recovered))
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
        let mut recovered = recovery::recover_beside_a_writer(self.storage())?;
        recovered.find_lost()?;
        *self = Self::of(self.origin.storage.clone(), recovered);
        Ok(self.recovered.tip)
    }

    /// Reads the record at `lsn`.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`], [`Error::NotARecord`], [`Error::NeverReserved`], [`Error::Corrupt`], [`Error::Lost`],
    /// [`Error::Io`].
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
        Messages::new(&self.recovered, self.floor())
    }

    /// Reads everything and reports all that is damaged. `progress` is told bytes done and bytes in all.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the storage fails. Damage is not an error but in the report.
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<VerifyReport, Error> {
        Ok(verify(self.storage(), &self.recovered, progress)?.report)
    }

    /// Copies everything that can be read into a new log in `out`: all records, each with its LSN, and their blobs. What is
    /// lost is named in the report, and has messages in its place, so that the new log is whole: it opens, verifies, and
    /// answers [`Error::Lost`] where something was lost. The damaged log stays as it is. Reads everything twice.
    ///
    /// The new log has the identity of the old one, and ends where that ends. The log must not be open for writing
    /// meanwhile. `progress` is told bytes read and bytes in all, of the first reading.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOptions`] if something is in `out` already; [`Error::Locked`]; [`Error::Io`], after which nothing in
    /// `out` is a log; [`Error::Corrupt`] for a gap too small for a message, which no damage leaves.
    pub fn salvage(&self, out: &dyn Storage, progress: &mut dyn FnMut(u64, u64)) -> Result<SalvageReport, Error> {
        salvage::salvage(self.storage(), &self.recovered, out, progress)
    }

    /// The figures of the log.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the directory cannot be listed.
    pub fn stat(&self) -> Result<LogStat, Error> {
        let superblock = &self.recovered.superblock;
        let live = self.recovered.live_segments();
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
