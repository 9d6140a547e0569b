//! The repairs that lose nothing: copies that can be had from elsewhere, and the end that every opening would find.
//!
//! Refuses what would have to invent something. Records that are damaged stay so: [`LogReader::salvage`] is for them.
//!
//! [`LogReader::salvage`]: crate::LogReader::salvage

use std::{fmt, sync::Arc};

use esker_format::{SEGMENT_HEADER_BYTES, Superblock};
use esker_storage::{Access, LockError, Storage, StorageFile};

use crate::{
    Error, Log, LostRange, Options, RecoveryNote, TornTail, VerifyReport,
    control::{self, Control},
    error::Corruption,
    names::{LOCK, LOG, SUPERBLOCK},
    recovery::{self, Recovered},
    verify::verify,
};

/// How much is copied at once.
const WINDOW_BYTES: usize = 256 << 10;

/// Something that can be repaired without a loss.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RepairStep {
    /// One copy of the superblock is damaged: it is written again, as the other says.
    SuperblockCopy(Corruption),
    /// Both copies are: they are written again, as the headers of the segments tell. Truncations since the newest segment
    /// was begun are forgotten.
    Superblock(Corruption),
    /// The header of a segment is damaged: it is written again, as the segment's messages tell.
    SegmentHeader(Corruption),
    /// The log was being written when it ended: it is cut where its last whole message ends, as the next opening would.
    Tail(TornTail),
    /// The log was not closed in good order: it is opened and closed.
    Close,
}

impl fmt::Display for RepairStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SuperblockCopy(damage) => write!(f, "{damage}: write it again, as the other copy says"),
            Self::Superblock(damage) => write!(f, "{damage}: write both again, as the segments tell"),
            Self::SegmentHeader(damage) => write!(f, "{damage}: write it again, as the segment's messages tell"),
            Self::Tail(TornTail { at, why, .. }) => {
                write!(f, "the log was being written at lsn {at} ({why}): cut it there")
            }
            Self::Close => f.write_str("the log was not closed in good order: close it"),
        }
    }
}

/// What can be repaired in a log, and what cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// What can, in the order in which it is done.
    pub steps: Vec<RepairStep>,
    /// What no repair brings back, in LSN order.
    pub lost: Vec<LostRange>,
}

impl Repair {
    /// Finds out what could be repaired. Reads the whole log, takes no lock and changes nothing.
    ///
    /// # Errors
    ///
    /// As [`LogReader::open_for_salvage`](crate::LogReader::open_for_salvage).
    pub fn plan(storage: &dyn Storage, progress: &mut dyn FnMut(u64, u64)) -> Result<Self, Error> {
        Self::of(storage, &recovery::recover_for_salvage(storage)?, progress)
    }

    fn of(storage: &dyn Storage, recovered: &Recovered, progress: &mut dyn FnMut(u64, u64)) -> Result<Self, Error> {
        let mut steps = Vec::new();
        for note in &recovered.report.notes {
            match note {
                RecoveryNote::CopyDamaged(damage) => steps.push(RepairStep::SuperblockCopy(damage.clone())),
                RecoveryNote::SuperblockRebuilt(damage) => steps.push(RepairStep::Superblock(damage.clone())),
                _ => (),
            }
        }
        steps.extend(recovered.lost_headers().cloned().map(RepairStep::SegmentHeader));
        let VerifyReport { lost, .. } = verify(storage, recovered, progress)?.report;
        // Cutting what may have been damaged would make it look like a crash.
        if lost.is_empty() {
            match &recovered.report.torn {
                Some(torn) => steps.push(RepairStep::Tail(torn.clone())),
                None if !recovered.report.clean => steps.push(RepairStep::Close),
                None => (),
            }
        }
        Ok(Self { steps, lost })
    }

    /// Repairs what can be repaired, and returns what that was. What is replaced is copied to `keep` first, durably, in
    /// files named after the file and the offset in it.
    ///
    /// The steps are found anew, with the log locked. If this is interrupted, it can be begun again.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] if the log is open for writing; [`Error::InvalidOptions`] if `keep` holds something already;
    /// [`Error::Io`]; as [`plan`](Self::plan).
    pub fn apply(
        storage: &Arc<dyn Storage>,
        keep: &dyn Storage,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, Error> {
        let lock = storage.lock(LOCK).map_err(|error| match error {
            LockError::Io(error) => Error::io("lock", LOCK, error),
            _ => Error::Locked,
        })?;
        let held = keep.list().map_err(|error| Error::io("list", crate::DIRECTORY, error))?;
        if let Some(name) = held.first() {
            let fault = format!("what is replaced cannot be kept where \"{name}\" is already");
            return Err(Error::InvalidOptions { faults: vec![fault] });
        }
        let mut recovered = recovery::recover_for_salvage(storage.as_ref())?;
        let repair = Self::of(storage.as_ref(), &recovered, progress)?;
        if repair.steps.is_empty() {
            return Ok(repair);
        }
        repair.keep_what_is_replaced(storage.as_ref(), &recovered, keep)?;
        repair.restore_headers(storage.as_ref(), &recovered)?;
        repair.restore_superblock(storage.as_ref(), &mut recovered)?;
        drop(lock);
        if repair.steps.iter().any(|step| matches!(step, RepairStep::Tail(_) | RepairStep::Close)) {
            Log::open(storage.clone(), Options::new().create(false).background(false))?.close()?;
        }
        Ok(repair)
    }

    fn keep_what_is_replaced(
        &self,
        storage: &dyn Storage,
        recovered: &Recovered,
        keep: &dyn Storage,
    ) -> Result<(), Error> {
        for step in &self.steps {
            match step {
                RepairStep::SuperblockCopy(_) | RepairStep::Superblock(_) => {
                    match storage.open(SUPERBLOCK, Access::Read) {
                        Ok(file) => keep_piece(file.as_ref(), SUPERBLOCK, 0, u64::MAX, keep)?,
                        Err(error) if error.kind() == std::io::ErrorKind::NotFound => (),
                        Err(error) => return Err(Error::io("open", SUPERBLOCK, error)),
                    }
                }
                RepairStep::SegmentHeader(damage) => {
                    let end = damage.offset + SEGMENT_HEADER_BYTES as u64;
                    keep_piece(recovered.table.file.as_ref(), LOG, damage.offset, end, keep)?;
                }
                RepairStep::Tail(torn) => {
                    // Beyond the segment, what is there stays until it is used for something else.
                    if let Some(at) = recovered.table.locate(torn.at) {
                        let room = recovered.superblock.segment_bytes.get()
                            - torn.at.offset_in_segment(recovered.superblock.segment_bytes);
                        keep_piece(recovered.table.file.as_ref(), LOG, at.get(), at.get() + u64::from(room), keep)?;
                    }
                }
                RepairStep::Close => (),
            }
        }
        crate::sync_dir(keep)
    }

    fn restore_headers(&self, storage: &dyn Storage, recovered: &Recovered) -> Result<(), Error> {
        let headers = recovered.headers_to_restore();
        if headers.is_empty() {
            return Ok(());
        }
        let file = storage.open(LOG, Access::ReadWrite).map_err(|error| Error::io("open", LOG, error))?;
        for (offset, header) in headers {
            file.write_all_at(&header.encode(), offset.get())
                .map_err(|error| Error::io_at("write", LOG, offset.get(), error))?;
        }
        file.sync_data().map_err(|error| Error::io("sync", LOG, error))
    }

    fn restore_superblock(&self, storage: &dyn Storage, recovered: &mut Recovered) -> Result<(), Error> {
        for step in &self.steps {
            match step {
                RepairStep::SuperblockCopy(_) => {
                    let mut control = Control::open(storage, recovered.superblock, recovered.next_generation)?;
                    // Nothing is to be said but what the other copy says: an update writes both.
                    control.update(|_| ())?;
                }
                RepairStep::Superblock(_) => {
                    let (floor, epoch) = (recovered.floor, recovered.epoch);
                    let Superblock { log_id, segment_bytes, .. } = recovered.superblock;
                    let superblock = Superblock {
                        log_id,
                        segment_bytes,
                        generation: 0,
                        epoch,
                        // Of the latest epoch, and of none before it, something may follow at the next opening.
                        epoch_start: recovered.tip,
                        floor,
                        mark: recovered.durable_to,
                        clean: false,
                    };
                    control::create(storage, &superblock)?;
                }
                _ => (),
            }
        }
        Ok(())
    }
}

/// Copies a piece of a file, from `offset` to `end` or to the file's end, to a file of its own.
fn keep_piece(from: &dyn StorageFile, name: &str, offset: u64, end: u64, keep: &dyn Storage) -> Result<(), Error> {
    let kept = format!("{name}-{offset}");
    let to = keep.create(&kept).map_err(|error| Error::io("create", &kept, error))?;
    let mut window = vec![0; WINDOW_BYTES];
    let mut at = offset;
    while at < end {
        let want = window.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        let read = from.read_at(&mut window[..want], at).map_err(|error| Error::io_at("read", name, at, error))?;
        if read == 0 {
            break;
        }
        to.write_all_at(&window[..read], at - offset)
            .map_err(|error| Error::io_at("write", &kept, at - offset, error))?;
        at += read as u64;
    }
    to.sync_all().map_err(|error| Error::io("sync", &kept, error))
}
