//! The superblock file: the log's identity, its truncation floor, its epoch and its durable mark, twice.
//!
//! Both copies always say the same once an update has returned: first the one, synced, then the other, synced. So a crash
//! tears at most one, and later damage to one loses nothing.

use std::{io, sync::Arc};

use esker_format::{
    Epoch, SUPERBLOCK_BYTES, SUPERBLOCK_COPIES, SegmentHeader, StructureError, Superblock, SuperblockCopies,
    SuperblockError,
};
use esker_storage::{Access, Storage, StorageFile};

use crate::{
    Error,
    error::{Corruption, CorruptionKind},
    names::{LOG, SUPERBLOCK, SUPERBLOCK_NEW},
};

/// How often a superblock is read before a copy is called damaged.
const READS_MAX: u32 = 3;

/// What the superblock file says.
#[derive(Debug)]
pub(crate) struct LoadedControl {
    pub(crate) superblock: Superblock,
    /// The generation of the next update: one that writes a copy first that is unusable or older, if there is one.
    pub(crate) next_generation: u64,
    /// A copy that cannot be read while the other can, or that lags behind it.
    pub(crate) damaged: Option<Corruption>,
}

/// Reads the superblock.
///
/// # Errors
///
/// [`Error::NotFound`] if there is none; [`Error::Corrupt`] if neither copy can be read; [`Error::NewerFormat`].
pub(crate) fn load(storage: &dyn Storage) -> Result<LoadedControl, Error> {
    let file = match storage.open(SUPERBLOCK, Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::NotFound),
        Err(error) => return Err(Error::io("open", SUPERBLOCK, error)),
    };
    let mut bytes = vec![0; SUPERBLOCK_COPIES * SUPERBLOCK_BYTES];
    let mut read = 0;
    // A copy that is being written at this moment, while the log is open elsewhere, is whole the next time.
    for _ in 0..READS_MAX {
        read = file.read_at(&mut bytes, 0).map_err(|error| Error::io_at("read", SUPERBLOCK, 0, error))?;
        if Superblock::newest(&bytes[..read]).is_ok_and(|copies| copies.copies.iter().all(Result::is_ok)) {
            break;
        }
    }
    match Superblock::newest(&bytes[..read]) {
        Ok(both @ SuperblockCopies { newest, copies }) => {
            // A program of a later version has begun to write here, and must finish.
            copies.iter().try_for_each(newer_version)?;
            let damage = copies.iter().position(Result::is_err);
            let damaged = damage.map(|copy| corrupt(copy, copies[copy].expect_err("found above").to_string()));
            Ok(LoadedControl { superblock: newest, next_generation: both.next_generation(), damaged })
        }
        Err(SuperblockError::BothDamaged { first, second }) => {
            newer_version(&Err(first))?;
            newer_version(&Err(second))?;
            if is_foreign(&bytes[..read]) && !has_segments(storage) {
                return Err(Error::NotEsker { reason: format!("its \"{SUPERBLOCK}\" is something else") });
            }
            Err(corrupt(0, format!("{first}; the other copy: {second}")).into())
        }
        Err(error) => Err(corrupt(0, error.to_string()).into()),
    }
}

/// Whether the bytes are somebody else's: there are some, and neither copy begins as ours do.
fn is_foreign(bytes: &[u8]) -> bool {
    let second = bytes.get(SUPERBLOCK_BYTES..).unwrap_or_default();
    let ours = bytes.starts_with(&Superblock::MAGIC) || second.starts_with(&Superblock::MAGIC);
    !ours && bytes.iter().any(|&byte| byte != 0)
}

/// Whether the file of segments begins as ours do: then a superblock that says nothing to us is damaged.
fn has_segments(storage: &dyn Storage) -> bool {
    let mut magic = [0; SegmentHeader::MAGIC.len()];
    let read = storage.open(LOG, Access::Read).and_then(|log| log.read_exact_at(&mut magic, 0));
    read.is_ok() && magic == SegmentHeader::MAGIC
}

fn newer_version(copy: &Result<Superblock, StructureError>) -> Result<(), Error> {
    match copy {
        Err(StructureError::Version { found, supported }) if found > supported => {
            Err(Error::NewerFormat { found: *found, supported: *supported })
        }
        _ => Ok(()),
    }
}

fn corrupt(copy: usize, reason: String) -> Corruption {
    let kind = CorruptionKind::Superblock { copy: copy as u8, reason };
    Corruption { file: SUPERBLOCK.to_owned(), lsn: None, offset: (copy * SUPERBLOCK_BYTES) as u64, kind }
}

/// Puts the superblock of a new log in place, in one step: until the directory entry is durable there is no log.
pub(crate) fn create(storage: &dyn Storage, superblock: &Superblock) -> Result<(), Error> {
    match storage.remove(SUPERBLOCK_NEW) {
        Ok(()) => (),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (),
        Err(error) => return Err(Error::io("remove", SUPERBLOCK_NEW, error)),
    }
    let file = storage.create(SUPERBLOCK_NEW).map_err(|error| Error::io("create", SUPERBLOCK_NEW, error))?;
    let encoded = superblock.encode();
    for offset in superblock.copy_offsets() {
        let offset = offset.get();
        file.write_all_at(&encoded, offset).map_err(|error| Error::io_at("write", SUPERBLOCK_NEW, offset, error))?;
    }
    file.sync_all().map_err(|error| Error::io("sync", SUPERBLOCK_NEW, error))?;
    put_in_place(storage)
}

/// Makes sure that the name of the superblock of a log that exists is durable: whoever created it may have died before it
/// was.
///
/// That this sync succeeds says nothing if one has failed before and has given the name up, in an opening that told so. But
/// then there has been no opening that succeeded, which is what raises the epoch; and making the name again helps.
pub(crate) fn keep_in_place(storage: &dyn Storage) -> Result<(), Error> {
    // What is wrong with it is for recovery to tell.
    match load(storage) {
        Ok(LoadedControl { superblock, .. }) if superblock.epoch == Epoch::ZERO => {
            storage.rename(SUPERBLOCK, SUPERBLOCK_NEW).map_err(|error| Error::io("rename", SUPERBLOCK, error))?;
            put_in_place(storage)
        }
        _ => crate::sync_dir(storage),
    }
}

fn put_in_place(storage: &dyn Storage) -> Result<(), Error> {
    storage.rename(SUPERBLOCK_NEW, SUPERBLOCK).map_err(|error| Error::io("rename", SUPERBLOCK_NEW, error))?;
    crate::sync_dir(storage).inspect_err(|_| {
        // Whether the name is durable is not known, and no later sync tells: the creation is to be begun again. If this
        // fails as well, the next opening finds a log without a record.
        drop(storage.rename(SUPERBLOCK, SUPERBLOCK_NEW));
    })
}

/// The superblock of a log that is open for writing.
#[derive(Debug)]
pub(crate) struct Control {
    file: Arc<dyn StorageFile>,
    current: Superblock,
    next_generation: u64,
    /// After a failed update nothing is known about either copy, so that nothing may be built on a later success.
    failed: Option<Error>,
}

impl Control {
    /// For updating what was loaded. Makes it durable first: a copy that a process which has died since left in a cache
    /// must not be torn together with the one that the next update overwrites.
    pub(crate) fn open(storage: &dyn Storage, current: Superblock, next_generation: u64) -> Result<Self, Error> {
        let file = storage.open(SUPERBLOCK, Access::ReadWrite).map_err(|error| Error::io("open", SUPERBLOCK, error))?;
        file.sync_data().map_err(|error| Error::io("sync", SUPERBLOCK, error))?;
        Ok(Self { file, current, next_generation, failed: None })
    }

    /// Changes the superblock, durably.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; from then on every update fails with the same error.
    pub(crate) fn update(&mut self, change: impl FnOnce(&mut Superblock)) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let mut next = self.current;
        change(&mut next);
        next.generation = self.next_generation;
        match self.write(&next) {
            Ok(()) => {
                self.current = next;
                self.next_generation += 1;
                Ok(())
            }
            Err(error) => {
                self.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    fn write(&self, next: &Superblock) -> Result<(), Error> {
        let encoded = next.encode();
        for offset in next.copy_offsets() {
            let offset = offset.get();
            self.file
                .write_all_at(&encoded, offset)
                .map_err(|error| Error::io_at("write", SUPERBLOCK, offset, error))?;
            self.file.sync_data().map_err(|error| Error::io_at("sync", SUPERBLOCK, offset, error))?;
        }
        Ok(())
    }
}
