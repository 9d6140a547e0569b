//! What an opening for writing does with what recovery has found, before it builds on it.
//!
//! Recovery reads what the system shows; that need not be what the disk holds. Here it is made so. Refuses to judge: which
//! part of the files is the log has been decided.

use std::collections::BTreeSet;

use esker_format::{BlobId, Lsn, SegmentBytes, SegmentId};
use esker_storage::{Storage, StorageFile, is_out_of_space};

use crate::{
    Error, RecoveryNote, RecoveryReport, blob,
    names::LOG,
    recovery::{Recovered, Table},
    walk::Placement,
};

/// How much is copied at once.
const WINDOW_BYTES: usize = 256 << 10;

/// Makes the log durable up to its `tip`. Everything below `durable_to` is so already.
///
/// The rest is written again, just as it is, before the file is synced. It may be in a cache only, which a sync would take
/// care of; but if an earlier opening ended because its sync had failed, the system may have given up what that sync
/// was to write while it goes on showing it, and the next sync reports success without writing it. The same goes for the
/// file's length.
pub(crate) fn make_durable(file: &dyn StorageFile, table: &Table, durable_to: Lsn, tip: Lsn) -> Result<(), Error> {
    if durable_to < tip {
        let len = file.len().map_err(|error| Error::io("measure", LOG, error))?;
        let set_len = |len| file.set_len(len).map_err(|error| Error::io("set the length of", LOG, error));
        set_len(len + 1)?;
        set_len(len)?;
    }
    let mut window = Vec::new();
    let mut at = durable_to;
    while at < tip {
        let end = tip.min(at.segment_base(table.segment_bytes) + u64::from(table.segment_bytes.get()));
        window.resize(WINDOW_BYTES.min((end - at) as usize), 0);
        let (read, offset) = match (table.read(at, &mut window)?, table.locate(at)) {
            (Some(read), Some(offset)) if read > 0 => (read, offset),
            // Only where damage is passed over; otherwise reading came to the tip.
            _ => {
                at = end;
                continue;
            }
        };
        file.write_all_at(&window[..read], offset.get())
            .map_err(|error| Error::io_at("write", LOG, offset.get(), error))?;
        at = at + read as u64;
    }
    file.sync_data().map_err(|error| Error::io("sync", LOG, error))
}

/// Writes the headers of segments again that have lost theirs. The sync that follows makes them durable.
pub(crate) fn restore_headers(file: &dyn StorageFile, recovered: &Recovered) -> Result<(), Error> {
    for (offset, header) in recovered.headers_to_restore() {
        let offset = offset.get();
        file.write_all_at(&header.encode(), offset).map_err(|error| Error::io_at("write", LOG, offset, error))?;
    }
    Ok(())
}

/// Extends the file to whole slots: a crash may have undone a part of its last extension.
pub(crate) fn complete_last_slot(file: &dyn StorageFile, slots: u32, segment_bytes: SegmentBytes) -> Result<(), Error> {
    let have = file.len().map_err(|error| Error::io("measure", LOG, error))?;
    let want = SegmentId::new(slots).offset(segment_bytes).get();
    if have >= want {
        return Ok(());
    }
    match file.preallocate(have, want - have) {
        // Whoever writes there will be told. The length takes no room, and recovery relies on it.
        Err(error) if is_out_of_space(&error) => {
            file.set_len(want).map_err(|error| Error::io("set the length of", LOG, error))
        }
        outcome => outcome.map_err(|error| Error::io_at("extend", LOG, have, error)),
    }
}

/// Removes the blobs that were written after the last durable mark and whose record did not survive. Returns whether any
/// others are there.
pub(crate) fn collect_tail_orphans(
    storage: &dyn Storage,
    report: &mut RecoveryReport,
    tail_blobs: &BTreeSet<BlobId>,
) -> Result<bool, Error> {
    let mut removed = 0;
    let mut left = false;
    for id in blob::list(storage)? {
        // A record lies at or beyond its blob's hint, so that all records of such a blob were read just now.
        if id.hint >= report.mark && !tail_blobs.contains(&id) {
            removed += u32::from(blob::remove(storage, id)?);
        } else {
            left = true;
        }
    }
    if removed > 0 {
        report.notes.push(RecoveryNote::BlobsRemoved { blobs: removed });
    }
    Ok(left)
}
