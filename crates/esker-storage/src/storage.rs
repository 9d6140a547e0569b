//! The contract between an engine and its disk.
//!
//! Owns the traits and the words of the contract; [`conformance`](crate::conformance) checks all of it that can be
//! checked without cutting the power, and a simulated disk is the place to check the rest. Refuses to say how anything
//! is stored.
//!
//! # Invariants
//!
//! The four of the crate, S1 to S4, which every implementation keeps.

use std::{
    fmt::Debug,
    io::{self, IoSlice},
    sync::Arc,
};

/// The greatest length of a file and the greatest end of a write, in bytes: what a signed 64-bit offset can say.
pub const OFFSET_MAX: u64 = i64::MAX as u64;

/// What a handle may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reading only. Opening creates and changes nothing, and whatever would change or sync the file is refused with
    /// [`io::ErrorKind::PermissionDenied`].
    Read,
    /// Reading, writing and syncing.
    ReadWrite,
}

/// Why a lock was not obtained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Someone else holds it: another process, or another holder in this one.
    #[error("the lock is held by another process or another holder in this one")]
    Held,
    /// The lock could not be tried.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Whether an error means that the disk, or the share of it that this user may fill, is full.
///
/// Such an error costs the caller that one operation and nothing else: what was written before is still there, and
/// the operation may be tried again once there is room. It says nothing about any sync.
#[must_use]
pub fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The end of the range of `len` bytes at `offset`, if a file may reach that far. Implementations call this first.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] if the end is above [`OFFSET_MAX`].
pub fn check_range(offset: u64, len: u64) -> io::Result<u64> {
    offset.checked_add(len).filter(|&end| end <= OFFSET_MAX).ok_or_else(|| {
        let message = format!("{len} bytes at offset {offset} would end beyond the greatest offset, {OFFSET_MAX}");
        io::Error::new(io::ErrorKind::InvalidInput, message)
    })
}

/// One flat directory of files.
///
/// Every name given must pass [`check_name`](crate::check_name); otherwise the call fails with
/// [`io::ErrorKind::InvalidInput`] and does nothing.
///
/// What [`create`](Self::create), [`remove`](Self::remove) and [`rename`](Self::rename) do is seen at once by every user
/// of the directory, and is durable only once a later [`sync_dir`](Self::sync_dir) returned `Ok`. Until then a crash may
/// undo any of them, each by itself and in any order: a created file may be gone with all its data, *synced or not*; a
/// removed one may be back; a rename may not have happened. A rename is never seen half done.
pub trait Storage: Debug + Send + Sync {
    /// Creates an empty file and opens it for reading and writing.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] if the name is taken, which leaves that file as it was; or whatever the disk
    /// reports.
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Opens a file that exists. Any number of handles may be open on one file; each sees at once what was written
    /// through the others.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if there is no such file: opening never creates one, whatever the `access`.
    /// [`io::ErrorKind::PermissionDenied`] if this access is not allowed; or whatever the disk reports.
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>>;

    /// Removes a file. Handles still open on it keep reaching its bytes, or fail; they never reach another file.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if there is no such file; or whatever the disk reports.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Gives the file `from` the name `to`. A file that had that name before is replaced, in one step: at no moment is
    /// there no file `to`. Handles open on `from` go on with the same file under its new name. Renaming a file to its own
    /// name does nothing.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if there is no file `from`; or whatever the disk reports. After an error both names
    /// are as before.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// The names of all entries in the directory, files of others included, in no particular order.
    ///
    /// An entry with a name that is not Unicode is listed with replacement characters: so a caller sees that it is
    /// there, but cannot open it.
    ///
    /// # Errors
    ///
    /// Whatever the disk reports.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes durable which names exist and what they mean: everything that creations, removals and renames had done
    /// when this call began. It does not sync the contents of any file.
    ///
    /// # Errors
    ///
    /// Whatever the disk reports. After an error nothing is known about any change since the last success; trying
    /// again proves nothing.
    fn sync_dir(&self) -> io::Result<()>;

    /// Takes the exclusive lock that goes with the file `name`, and creates that file, empty, if there is none. Returns
    /// at once. The lock excludes every other holder, in this process and in others, until it is dropped or its process
    /// ends. Whether others can read and write that file meanwhile depends on the system, so it is best kept empty; and
    /// it must not be removed or renamed while anyone may lock it, or two could hold a lock of that name.
    ///
    /// # Errors
    ///
    /// [`LockError::Held`] if someone holds it; [`LockError::Io`] if the file cannot be created or locked.
    fn lock(&self, name: &str) -> Result<Box<dyn StorageLock>, LockError>;
}

/// An exclusive lock, released when it is dropped.
pub trait StorageLock: Debug + Send + Sync {}

/// One open file. It has no cursor, and every method may be called from any number of threads at once.
///
/// # Concurrent calls
///
/// Writes to ranges that do not overlap do not disturb each other, whatever the handles and threads. Of writes that
/// overlap while both are under way, either may win, byte by byte; a read that overlaps a write under way may see any
/// mixture of old and new.
///
/// # What a sync covers
///
/// [`sync_data`](Self::sync_data) and [`sync_all`](Self::sync_all) cover everything done to *the file*, through any
/// handle, that had returned when the sync began. Until a sync returns `Ok`, writes may be lost, torn and reordered by a
/// crash, and so may changes of the length; but nothing that an earlier sync covered is touched by the loss of what came
/// later, except where a later write meant to overwrite it. That the file can be found under its name is the
/// directory's matter: see [`Storage::sync_dir`].
///
/// **After a failed sync nothing is known.** What it should have covered may be durable or lost, and an operating
/// system may have forgotten that it ever was to be written, so that a second sync succeeds without it. Do not retry:
/// treat everything un-synced as lost, and go on only after reading the file again.
#[expect(
    clippy::len_without_is_empty,
    reason = "a length here is the answer of a disk and may fail; nobody asks for emptiness"
)]
pub trait StorageFile: Debug + Send + Sync {
    /// The length of the file in bytes.
    ///
    /// # Errors
    ///
    /// Whatever the disk reports.
    fn len(&self) -> io::Result<u64>;

    /// Cuts the file to `len` bytes, or extends it with zeros. What was cut is gone: a later extension reads as zeros.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] or [`io::ErrorKind::FileTooLarge`] if `len` is above [`OFFSET_MAX`] or what the
    /// storage can hold; [`io::ErrorKind::PermissionDenied`] on a handle opened with [`Access::Read`]; or whatever the
    /// disk reports.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Reads into `dst` from `offset` on and returns how many bytes were read. Fewer than asked for only where the file
    /// ends; at and beyond its end, zero. What lies below the end and was never written reads as zero.
    ///
    /// # Errors
    ///
    /// Whatever the disk reports; `dst` may then hold anything.
    fn read_at(&self, dst: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Says that these bytes will be read soon, so that the system can fetch them while the caller does something else.
    /// Advice only: nothing but time depends on it, and what it fails at is found out by reading. Does nothing unless an
    /// implementation knows better.
    fn will_read(&self, offset: u64, len: u64) {
        let _ = (offset, len);
    }

    /// Fills `dst` from `offset` on.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] if the file ends before; or whatever the disk reports. `dst` may then hold
    /// anything.
    fn read_exact_at(&self, dst: &mut [u8], offset: u64) -> io::Result<()> {
        let wanted = dst.len();
        let read = self.read_at(dst, offset)?;
        if read == wanted {
            return Ok(());
        }
        let message = format!("the file ends {read} bytes after offset {offset}, where {wanted} bytes were wanted");
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, message))
    }

    /// Writes all of `src` at `offset`. Beyond the end this extends the file, and a gap before `offset` reads as zeros.
    /// An empty `src` changes nothing, not even the length.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::StorageFull`] or [`io::ErrorKind::QuotaExceeded`] (see [`is_out_of_space`]) for want of space;
    /// [`io::ErrorKind::InvalidInput`] or [`io::ErrorKind::FileTooLarge`] if the end would be above [`OFFSET_MAX`] or
    /// what the storage can hold; [`io::ErrorKind::PermissionDenied`] on a handle opened with [`Access::Read`]; or
    /// whatever the disk reports. After an error any part of `src` may have been written, and nothing outside its range
    /// was.
    fn write_all_at(&self, src: &[u8], offset: u64) -> io::Result<()>;

    /// Writes all of `srcs`, one after the other, at `offset`: the same as [`write_all_at`](Self::write_all_at) of their
    /// concatenation. Any number of slices is allowed, empty ones included.
    ///
    /// # Errors
    ///
    /// As [`write_all_at`](Self::write_all_at).
    fn write_all_vectored_at(&self, srcs: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut at = offset;
        for src in srcs {
            self.write_all_at(src, at)?;
            at = at.saturating_add(src.len() as u64);
        }
        Ok(())
    }

    /// Reserves the space from `offset` to `offset + len`. After `Ok` the file is at least `offset + len` bytes long,
    /// what was added reads as zeros, and what was there is unchanged. Where the file system can promise it, writes
    /// inside this range no longer fail for want of space. A `len` of zero changes nothing.
    ///
    /// The greater length is durable after the next sync, like that of a write. While this call is under way nobody else
    /// may change the length, nor write at or beyond the end the file had before: such a write may be lost. Writes below
    /// that end are safe.
    ///
    /// # Errors
    ///
    /// As [`write_all_at`](Self::write_all_at). After an error what was there is unchanged, and so is the length unless
    /// the disk refuses to restore it; if the length did grow, what was added reads as zeros.
    fn preallocate(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Gives the space of these bytes back to the file system, without changing the file's length: they read as zeros from then
    /// on, and writing them may fail for want of space until they are [preallocated](Self::preallocate) again. Returns whether
    /// that was done; `false` where it cannot be, and then the bytes are as they were. After a crash they may be as they were,
    /// too, until the file is synced.
    ///
    /// # Errors
    ///
    /// As [`write_all_at`](Self::write_all_at).
    fn give_back(&self, offset: u64, len: u64) -> io::Result<bool> {
        let _ = (offset, len);
        Ok(false)
    }

    /// Makes durable what was written to the file, and the length needed to read it back. Times and the like may stay
    /// behind.
    ///
    /// # Errors
    ///
    /// Whatever the disk reports: **do not retry**, see the trait's documentation. [`io::ErrorKind::PermissionDenied`] on
    /// a handle opened with [`Access::Read`].
    fn sync_data(&self) -> io::Result<()>;

    /// Makes durable all that [`sync_data`](Self::sync_data) does, and everything else the file system keeps about the
    /// file; but not its name.
    ///
    /// # Errors
    ///
    /// As [`sync_data`](Self::sync_data).
    fn sync_all(&self) -> io::Result<()>;
}

impl<S: Storage + ?Sized> Storage for Arc<S> {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        (**self).create(name)
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        (**self).open(name, access)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        (**self).remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        (**self).rename(from, to)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        (**self).list()
    }

    fn sync_dir(&self) -> io::Result<()> {
        (**self).sync_dir()
    }

    fn lock(&self, name: &str) -> Result<Box<dyn StorageLock>, LockError> {
        (**self).lock(name)
    }
}
