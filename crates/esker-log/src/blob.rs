//! Values too large for a buffer, each in a file of its own.
//!
//! A blob is written, synced and in its directory before the record that points at it is reserved, so that a record that
//! can be read has its blob.

use std::{
    collections::BTreeSet,
    io::{self, IoSlice},
    sync::{Arc, PoisonError},
};

use esker_format::{BLOB_HEADER_BYTES, BlobHeader, BlobId, BlobPointer, Epoch, LogId, Lsn};
use esker_storage::{Access, Storage};

use crate::{
    Error,
    error::{Corruption, CorruptionKind},
    sync::{Mutex, MutexGuard},
};

/// Writes the blobs of one opening.
#[derive(Debug)]
pub(crate) struct Blobs {
    storage: Arc<dyn Storage>,
    log_id: LogId,
    epoch: Epoch,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    written: u32,
    /// Blobs whose record is not appended yet: nobody points at them, and they are no orphans.
    pending: BTreeSet<BlobId>,
    /// Once the directory could not be synced, entries may be lost that a later sync does not bring back.
    failed: Option<Error>,
}

impl Blobs {
    pub(crate) fn new(storage: Arc<dyn Storage>, log_id: LogId, epoch: Epoch) -> Self {
        Self { storage, log_id, epoch, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a blob durably. No record points at it yet: [`Blobs::settle`] says that one does, [`Blobs::give_up`] that
    /// none will. `hint` is an LSN below which its record cannot be.
    pub(crate) fn write(&self, hint: Lsn, payload: &[u8]) -> Result<BlobPointer, Error> {
        let id = {
            let mut state = self.state();
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            let id = BlobId { hint, epoch: self.epoch, n: state.written };
            state.written += 1;
            state.pending.insert(id);
            id
        };
        let header = BlobHeader {
            log_id: self.log_id,
            id,
            len: payload.len() as u64,
            payload_crc32: self.log_id.checksum_seed().checksum(payload),
        };
        match self.write_file(&header, payload, hint) {
            Ok(()) => Ok(header.pointer()),
            Err(error) => {
                self.give_up(id);
                Err(error)
            }
        }
    }

    fn write_file(&self, header: &BlobHeader, payload: &[u8], at: Lsn) -> Result<(), Error> {
        let name = header.id.file_name();
        let failed = |action, error: io::Error| match esker_storage::is_out_of_space(&error) {
            true => Error::NoSpace { at, source: Arc::new(error) },
            false => Error::io(action, &name, error),
        };
        let file = self.storage.create(&name).map_err(|error| failed("create", error))?;
        let encoded = header.encode();
        file.write_all_vectored_at(&[IoSlice::new(&encoded), IoSlice::new(payload)], 0)
            .map_err(|error| failed("write", error))?;
        if !cfg!(esker_sabotage = "blob_sync") {
            file.sync_all().map_err(|error| failed("sync", error))?;
        }
        let synced = crate::sync_dir(self.storage.as_ref());
        // Whatever this sync said, one that failed meanwhile may have been the one that lost this entry.
        let mut state = self.state();
        if let Err(error) = synced {
            state.failed.get_or_insert(error);
        }
        state.failed.clone().map_or(Ok(()), Err)
    }

    /// The blob's record is appended.
    pub(crate) fn settle(&self, id: BlobId) {
        self.state().pending.remove(&id);
    }

    /// No record will point at the blob. That its file may stay until the next collection harms nobody.
    pub(crate) fn give_up(&self, id: BlobId) {
        drop(self.storage.remove(&id.file_name()));
        self.settle(id);
    }

    /// Whether the blob's record may still be on its way.
    pub(crate) fn is_pending(&self, id: BlobId) -> bool {
        self.state().pending.contains(&id)
    }

    /// How many blobs this opening has begun.
    pub(crate) fn begun(&self) -> u32 {
        self.state().written
    }
}

/// The payload that `pointer`, read at `lsn`, points at.
pub(crate) fn read(storage: &dyn Storage, log_id: LogId, lsn: Lsn, pointer: &BlobPointer) -> Result<Vec<u8>, Error> {
    let name = pointer.id.file_name();
    let corrupt = |offset: u64, kind| Corruption { file: name.clone(), lsn: Some(lsn), offset, kind };
    let damaged = |offset: u64, reason: String| corrupt(offset, CorruptionKind::Blob { reason });
    let file = match storage.open(&name, Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(corrupt(0, CorruptionKind::MissingFile).into());
        }
        Err(error) => return Err(Error::io("open", &name, error)),
    };
    let mut header = [0; BLOB_HEADER_BYTES];
    let have = file.read_at(&mut header, 0).map_err(|error| Error::io_at("read", &name, 0, error))?;
    let header = BlobHeader::decode(&header[..have]).map_err(|error| damaged(0, error.to_string()))?;
    if header.log_id != log_id || header.pointer() != *pointer {
        return Err(damaged(0, "the header is not that of the blob which the record points at".to_owned()).into());
    }
    // The file's true length bounds the allocation, not the length that it claims.
    let found = file.len().map_err(|error| Error::io("measure", &name, error))?;
    let expected = header.len.saturating_add(BLOB_HEADER_BYTES as u64);
    if found != expected {
        return Err(damaged(found.min(expected), format!("the file has {found} bytes instead of {expected}")).into());
    }
    let offset = BLOB_HEADER_BYTES as u64;
    let mut payload = vec![0; header.len as usize];
    file.read_exact_at(&mut payload, offset).map_err(|error| Error::io_at("read", &name, offset, error))?;
    header.verify_payload(&payload).map_err(|error| damaged(offset, error.to_string()))?;
    Ok(payload)
}

/// The blobs in the directory.
pub(crate) fn list(storage: &dyn Storage) -> Result<Vec<BlobId>, Error> {
    let names = storage.list().map_err(|error| Error::io("list", crate::DIRECTORY, error))?;
    Ok(names.iter().filter_map(|name| BlobId::from_file_name(name)).collect())
}

/// Removes a blob's file; that it is gone already is no error.
pub(crate) fn remove(storage: &dyn Storage, id: BlobId) -> Result<bool, Error> {
    let name = id.file_name();
    match storage.remove(&name) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("remove", &name, error)),
    }
}
