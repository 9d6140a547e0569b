//! Making a whole log of what can be read of a damaged one.
//!
//! Refuses to touch the damaged one, and to move anything: every record keeps its LSN, and where something is lost a
//! message says so.

use std::io;

use esker_format::{
    BlobId, Epoch, FileOffset, Lsn, MESSAGE_HEADER_BYTES, MessageHeader, MessageKind, SEGMENT_HEADER_BYTES,
    SegmentHeader, SegmentId, Superblock,
};
use esker_storage::{Access, Storage, StorageFile};

use crate::{
    Error, LostRange, VerifyReport, control,
    error::Corruption,
    names::{LOCK, LOG},
    recovery::{self, Recovered},
    verify::{Verified, verify},
    walk::Placement,
};

/// How much is copied at once.
const WINDOW_BYTES: usize = 256 << 10;
/// The longest message that stands for something lost. Its checksum has to be computed over all of it.
const LOST_BYTES_MAX: u64 = 1 << 20;

/// What was salvaged: see [`LogReader::salvage`](crate::LogReader::salvage).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvageReport {
    /// Where the new log begins.
    pub floor: Lsn,
    /// Where it ends.
    pub end: Lsn,
    /// Records that were copied, those with blobs included.
    pub records: u64,
    /// Blobs that were copied.
    pub blobs: u64,
    /// What could not be read and is not in the new log, in LSN order.
    pub lost: Vec<LostRange>,
}

/// Copies what can be read into `out`.
pub(crate) fn salvage(
    from: &dyn Storage,
    recovered: &Recovered,
    out: &dyn Storage,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<SalvageReport, Error> {
    if let Some(reason) = match has_log(out)? {
        true => Some("it holds a log already".to_owned()),
        false => recovery::why_not_creatable(out)?,
    } {
        let fault = format!("nothing can be salvaged into that directory: {reason}");
        return Err(Error::InvalidOptions { faults: vec![fault] });
    }
    let _lock = out.lock(LOCK).map_err(|error| match error {
        esker_storage::LockError::Io(error) => Error::io("lock", LOCK, error),
        _ => Error::Locked,
    })?;
    recovered.refuse_endless()?;
    let verified = verify(from, recovered, progress)?;
    let copy = Copy::new(recovered, &verified);
    let file = out.create(LOG).map_err(|error| Error::io("create", LOG, error))?;
    copy.write_segments(file.as_ref())?;
    file.sync_all().map_err(|error| Error::io("sync", LOG, error))?;
    for &id in &verified.blobs {
        copy_blob(from, out, id)?;
    }
    crate::sync_dir(out)?;
    // Until now there is no log: whoever is interrupted begins again.
    control::create(out, &copy.superblock())?;
    let (floor, end) = (copy.floor, copy.end);
    let VerifyReport { records, blobs, lost, .. } = verified.report;
    Ok(SalvageReport { floor, end, records, blobs, lost })
}

fn has_log(storage: &dyn Storage) -> Result<bool, Error> {
    match control::load(storage) {
        Ok(_) | Err(Error::Corrupt(_) | Error::NewerFormat { .. }) => Ok(true),
        Err(Error::NotFound) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What is copied: the segments from the floor on, and where in them something is lost.
struct Copy<'a> {
    recovered: &'a Recovered,
    lost: &'a [(LostRange, Epoch)],
    floor: Lsn,
    end: Lsn,
}

impl<'a> Copy<'a> {
    fn new(recovered: &'a Recovered, verified: &'a Verified) -> Self {
        // Segments that are gone at the beginning need no place.
        let first = recovered.table.bases_from(recovered.floor).front().copied().unwrap_or(recovered.tip);
        let floor = recovered.floor.max(first.min(recovered.tip));
        Self { recovered, lost: &verified.lost, floor, end: recovered.tip }
    }

    fn superblock(&self) -> Superblock {
        let Superblock { log_id, segment_bytes, .. } = self.recovered.superblock;
        Superblock {
            log_id,
            segment_bytes,
            generation: 0,
            epoch: self.recovered.epoch,
            epoch_start: self.end,
            floor: self.floor,
            mark: self.end,
            clean: true,
        }
    }

    fn write_segments(&self, file: &dyn StorageFile) -> Result<(), Error> {
        let Superblock { log_id, segment_bytes, .. } = self.recovered.superblock;
        let bytes = u64::from(segment_bytes.get());
        let mut epoch = Epoch::ZERO;
        let mut base = self.floor.segment_base(segment_bytes);
        let mut slot = 0;
        while base < self.end {
            let at = SegmentId::new(slot).offset(segment_bytes);
            file.set_len(at.get() + bytes).map_err(|error| Error::io("set the length of", LOG, error))?;
            let end = self.end.min(base + bytes);
            let first = base + SEGMENT_HEADER_BYTES as u64;
            if self.recovered.table.segment_of(base).is_some() {
                self.copy_bytes(file, at, base, first, end)?;
            }
            let known = self.recovered.table.epoch_of(base);
            let before = self.lost.iter().filter(|(range, _)| range.from < end).map(|&(_, epoch)| epoch).max();
            epoch = known.or(before).unwrap_or(epoch).max(epoch);
            let header = SegmentHeader { log_id, base, floor: self.floor.min(base), mark: base, epoch, segment_bytes };
            write(file, &header.encode(), at.get())?;
            for (range, epoch) in self.lost.iter().filter(|(range, _)| range.from < end && range.to > first) {
                let (from, to) = (range.from.max(first), range.to.min(end));
                self.write_lost(file, at + (from - base), from, to, *epoch, &range.why)?;
            }
            base = base + bytes;
            slot += 1;
        }
        Ok(())
    }

    /// Copies what is in the segment at `base`, from `from` to `to`, to the slot at `at`.
    fn copy_bytes(&self, file: &dyn StorageFile, at: FileOffset, base: Lsn, from: Lsn, to: Lsn) -> Result<(), Error> {
        let mut window = vec![0; WINDOW_BYTES.min((to - base) as usize)];
        let mut lsn = from;
        while lsn < to {
            let want = window.len().min((to - lsn) as usize);
            let read = self.recovered.table.read(lsn, &mut window[..want])?.unwrap_or(0);
            if read == 0 {
                // The file ends here: what is missing is among what is lost.
                return Ok(());
            }
            write(file, &window[..read], (at + (lsn - base)).get())?;
            lsn = lsn + read as u64;
        }
        Ok(())
    }

    /// Writes messages that say that what was from `from` to `to` is lost.
    fn write_lost(
        &self,
        file: &dyn StorageFile,
        at: FileOffset,
        from: Lsn,
        to: Lsn,
        epoch: Epoch,
        why: &Corruption,
    ) -> Result<(), Error> {
        const HEADER: u64 = MESSAGE_HEADER_BYTES as u64;
        if to - from < HEADER {
            // No writer leaves so little between two messages.
            return Err(why.clone().into());
        }
        let mut message = Vec::new();
        let mut lsn = from;
        while lsn < to {
            let rest = to - lsn;
            // The last piece must be long enough to be a message.
            let bytes = if rest <= LOST_BYTES_MAX { rest } else { LOST_BYTES_MAX.min(rest - HEADER) };
            message.clear();
            message.resize(bytes as usize, 0);
            let (kind, len) = (MessageKind::Lost, (bytes - HEADER) as u32);
            let header = MessageHeader { kind, len, lsn, mark: Lsn::ZERO, epoch };
            header.seal(&mut message, self.recovered.superblock.log_id.checksum_seed());
            write(file, &message, (at + (lsn - from)).get())?;
            lsn = lsn + bytes;
        }
        Ok(())
    }
}

fn write(file: &dyn StorageFile, bytes: &[u8], offset: u64) -> Result<(), Error> {
    file.write_all_at(bytes, offset).map_err(|error| write_error(error, LOG, offset))
}

fn write_error(error: io::Error, name: &str, offset: u64) -> Error {
    Error::io_at("write", name, offset, error)
}

/// Copies the file of a blob, which was found to be whole.
fn copy_blob(from: &dyn Storage, out: &dyn Storage, id: BlobId) -> Result<(), Error> {
    let name = id.file_name();
    let source = from.open(&name, Access::Read).map_err(|error| Error::io("open", &name, error))?;
    let target = out.create(&name).map_err(|error| Error::io("create", &name, error))?;
    let mut window = vec![0; WINDOW_BYTES];
    let mut offset = 0;
    loop {
        let read = source.read_at(&mut window, offset).map_err(|error| Error::io_at("read", &name, offset, error))?;
        if read == 0 {
            break;
        }
        target.write_all_at(&window[..read], offset).map_err(|error| write_error(error, &name, offset))?;
        offset += read as u64;
    }
    target.sync_all().map_err(|error| Error::io("sync", &name, error))
}
