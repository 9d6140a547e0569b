//! What the superblock must have said, told by the segments, for logs that have lost both copies of it.
//!
//! Refuses to write, and to guess: where the headers do not agree on one log, there is no answer.

use std::collections::BTreeMap;

use esker_format::{Epoch, LogId, Lsn, SEGMENT_HEADER_BYTES, SegmentBytes, SegmentHeader, Superblock};
use esker_storage::{Access, Storage, StorageFile};

use super::{Recovered, recover_as};
use crate::{Error, RecoveryNote, blob, error::Corruption, names::LOG};

/// Segments begin at multiples of this, whatever their size.
const SEGMENT_BYTES_MIN: u64 = 4096;

/// As [`recover`](super::recover), of a log whose superblock cannot be read, which is the `damage`.
///
/// Truncations since the newest segment was begun are forgotten by it: what they gave up is a part of the log again, as
/// far as it is there. Nothing else that was durable is missed.
///
/// # Errors
///
/// The `damage`, if the segments do not tell which log this is. [`Error::Io`].
pub(crate) fn recover_without_superblock(storage: &dyn Storage, damage: Corruption) -> Result<Recovered, Error> {
    let file = match storage.open(LOG, Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(damage.into()),
        Err(error) => return Err(Error::io("open", LOG, error)),
    };
    let Some((log_id, segment_bytes)) = identity(file.as_ref())? else { return Err(damage.into()) };
    let superblock = Superblock {
        log_id,
        segment_bytes,
        generation: 0,
        // With these nothing is taken for a tail that was cut but what the order of epochs tells.
        epoch: Epoch::ZERO,
        epoch_start: Lsn::ZERO,
        floor: Lsn::ZERO,
        mark: Lsn::ZERO,
        clean: false,
    };
    let mut recovered = recover_as(storage, superblock, 1, Some(RecoveryNote::SuperblockRebuilt(damage)))?;
    // An opening that wrote nothing but blobs has left its epoch in their names alone.
    let of_blobs = blob::list(storage)?.into_iter().map(|id| id.epoch).max();
    recovered.epoch = recovered.epoch.max(of_blobs.unwrap_or_default());
    Ok(recovered)
}

/// Which log the file holds: what most of its segments say. The first slot is not outvoted, since a record may hold a log.
fn identity(file: &dyn StorageFile) -> Result<Option<(LogId, SegmentBytes)>, Error> {
    let len = file.len().map_err(|error| Error::io("measure", LOG, error))?;
    let mut votes: BTreeMap<([u8; 16], u32), u64> = BTreeMap::new();
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    for offset in (0..len).step_by(SEGMENT_BYTES_MIN as usize) {
        let read = file.read_at(&mut bytes, offset).map_err(|error| Error::io_at("read", LOG, offset, error))?;
        let Ok(header) = SegmentHeader::decode(&bytes[..read]) else { continue };
        if offset == 0 {
            return Ok(Some((header.log_id, header.segment_bytes)));
        }
        if offset % u64::from(header.segment_bytes.get()) == 0 {
            *votes.entry((header.log_id.to_bytes(), header.segment_bytes.get())).or_default() += 1;
        }
    }
    let most = votes.values().copied().max();
    let mut first = votes.iter().filter(|&(_, &count)| Some(count) == most);
    Ok(match (first.next(), first.next()) {
        (Some((&(id, bytes), _)), None) => SegmentBytes::new(bytes).ok().map(|bytes| (LogId::from_bytes(id), bytes)),
        _ => None,
    })
}
