//! A storage in a directory of the operating system.
//!
//! Owns paths, file handles and the calls that make things durable. Refuses to cache, to retry a failed sync, and to
//! follow a name out of its directory.
//!
//! | | Linux | macOS | other Unix | Windows |
//! |---|---|---|---|---|
//! | positional I/O | `pread`, `pwrite` | likewise | likewise | `ReadFile`, `WriteFile` with an offset |
//! | vectored write | `pwritev` | `pwritev` | one write per slice | one write per slice |
//! | preallocation | `fallocate`, or zeros where the file system lacks it | zeros | zeros | zeros |
//! | giving space back | `fallocate`, where the file system has it | nothing | nothing | nothing |
//! | sync of data | `fdatasync` | `F_FULLFSYNC` | `fdatasync` or `fsync` | `FlushFileBuffers` |
//! | sync of the directory | `fsync` | `F_FULLFSYNC` | `fsync` | nothing to call: see [`FileStorage`] |
//! | lock | `flock` | `flock` | `flock` | `LockFileEx` |
//!
//! # Invariants
//!
//! - **F1 (located errors):** every error of the operating system is passed on with its kind, inside a [`FileError`]
//!   that says what was tried and on which path.
//! - **F2 (growth is exclusive):** of the calls on one handle that may cut the file, [`StorageFile::set_len`] and
//!   [`StorageFile::preallocate`] (which takes back what it added when the disk is full), one runs at a time.

mod error;
mod grow;
mod positional;

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

pub use self::error::FileError;
use self::error::Located;
use crate::{Access, LockError, Storage, StorageFile, StorageLock, check_name, check_range};

/// One directory of the file system.
///
/// Nothing is kept open but the files that were asked for, so a handle is small and a clone is another handle on the same
/// directory. The path is made absolute when the storage is opened: a later change of the working directory does not
/// matter.
///
/// On Windows a directory cannot be synced by an ordinary process, and [`sync_dir`](Storage::sync_dir) does nothing
/// there: that a created or renamed file keeps its name through a power cut rests on the journal of NTFS.
///
/// # Example
///
/// ```
/// use esker_storage::{Access, FileStorage, Storage};
///
/// # fn main() -> std::io::Result<()> {
/// # let scratch = tempfile::tempdir()?;
/// # let path = scratch.path().join("new").join("directory");
/// let storage = FileStorage::create(&path)?;
/// let file = storage.create("log")?;
/// file.preallocate(0, 1 << 16)?;
/// file.write_all_at(b"first", 0)?;
/// file.sync_data()?;
/// storage.sync_dir()?;
///
/// let again = FileStorage::open(&path)?.open("log", Access::Read)?;
/// assert_eq!(again.len()?, 1 << 16);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FileStorage {
    directory: PathBuf,
}

#[derive(Debug)]
struct DiskFile {
    file: File,
    path: PathBuf,
    access: Access,
    /// Held by whoever may cut the file (F2).
    growth: Mutex<()>,
}

#[derive(Debug)]
struct DiskLock {
    file: File,
}

impl FileStorage {
    /// Opens a directory that exists. This creates and changes nothing.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if there is nothing at `path`, [`io::ErrorKind::NotADirectory`] if what is there is no
    /// directory; or whatever the operating system reports.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let directory = std::path::absolute(path.as_ref()).located("find", path.as_ref())?;
        let metadata = fs::metadata(&directory).located("open", &directory)?;
        if !metadata.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory)).located("open", &directory);
        }
        Ok(Self { directory })
    }

    /// Opens a directory, and creates it, with the directories above it, where it does not exist. When this returns, the
    /// directory's own entry is durable, and so are those of all the directories that were created.
    ///
    /// A directory that exists has its entry synced too, since whoever created it may have been stopped before that; this
    /// is left out where its parent cannot be synced, for want of a right to open it or on a file system that cannot do
    /// that.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotADirectory`] or [`io::ErrorKind::AlreadyExists`] if something else is in the way; or whatever
    /// the operating system reports.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let directory = std::path::absolute(path.as_ref()).located("find", path.as_ref())?;
        let missing: Vec<&Path> = directory.ancestors().take_while(|path| !path.exists()).collect();
        for path in missing.iter().rev() {
            match fs::create_dir(path) {
                // Someone else was faster, which is as good; what it is shows below.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => created.located("create the directory", path)?,
            }
            sync_parent(path)?;
        }
        if missing.is_empty() {
            match sync_parent(&directory) {
                Err(error) if is_refused(&error) => {}
                synced => synced?,
            }
        }
        Self::open(directory)
    }

    /// The absolute path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.directory
    }

    fn path_of(&self, name: &str) -> io::Result<PathBuf> {
        check_name(name)?;
        Ok(self.directory.join(name))
    }
}

impl Storage for FileStorage {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let path = self.path_of(name)?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).located("create", &path)?;
        Ok(Arc::new(DiskFile { file, path, access: Access::ReadWrite, growth: Mutex::default() }))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let path = self.path_of(name)?;
        // Asked before opening, because opening a pipe waits for whoever is at its other end.
        if !fs::metadata(&path).located("open", &path)?.is_file() {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
            return Err(error).located("open", &path);
        }
        let write = access == Access::ReadWrite;
        let file = OpenOptions::new().read(true).write(write).open(&path).located("open", &path)?;
        Ok(Arc::new(DiskFile { file, path, access, growth: Mutex::default() }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path_of(name)?;
        fs::remove_file(&path).located("remove", &path)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path_of(from)?, self.path_of(to)?);
        fs::rename(&from, &to).located("rename", &from)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.directory).located("list", &self.directory)?;
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        entries.map(|entry| entry.map(name)).collect::<io::Result<_>>().located("list", &self.directory)
    }

    fn sync_dir(&self) -> io::Result<()> {
        sync_directory(&self.directory)
    }

    fn lock(&self, name: &str) -> Result<Box<dyn StorageLock>, LockError> {
        let path = self.path_of(name)?;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path).located("open", &path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(DiskLock { file })),
            Err(TryLockError::WouldBlock) => Err(LockError::Held),
            Err(TryLockError::Error(error)) => {
                Err(LockError::Io(Err::<(), _>(error).located("lock", &path).unwrap_err()))
            }
        }
    }
}

impl StorageLock for DiskLock {}

impl Drop for DiskLock {
    fn drop(&mut self) {
        // Closing alone would leave the lock with a child process that was forked while it was held. If this fails,
        // closing is what remains, and there is nobody to tell.
        let _ = self.file.unlock();
    }
}

impl DiskFile {
    fn check_writable(&self) -> io::Result<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::Read => {
                let error = io::Error::new(io::ErrorKind::PermissionDenied, "it was opened for reading only");
                Err(error).located("change or sync", &self.path)
            }
        }
    }
}

impl StorageFile for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata().located("get the length of", &self.path)?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        check_range(0, len)?;
        let _growth = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
        self.file.set_len(len).located("set the length of", &self.path)
    }

    fn read_at(&self, dst: &mut [u8], offset: u64) -> io::Result<usize> {
        if check_range(offset, dst.len() as u64).is_err() {
            // No file reaches that far, but some systems refuse the offset instead of finding nothing there.
            return positional::read_to_greatest(&self.file, dst, offset).located("read", &self.path);
        }
        positional::read(&self.file, dst, offset).located("read", &self.path)
    }

    #[cfg(target_os = "linux")]
    fn will_read(&self, offset: u64, len: u64) {
        // Whoever cannot be advised has to be waited for: reading tells.
        rustix::fs::fadvise(&self.file, offset, len.try_into().ok(), rustix::fs::Advice::WillNeed).ok();
    }

    fn write_all_at(&self, src: &[u8], offset: u64) -> io::Result<()> {
        self.check_writable()?;
        check_range(offset, src.len() as u64)?;
        positional::write_all(&self.file, src, offset).located("write", &self.path)
    }

    fn write_all_vectored_at(&self, srcs: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.check_writable()?;
        let total = srcs.iter().fold(0u64, |sum, src| sum.saturating_add(src.len() as u64));
        check_range(offset, total)?;
        positional::write_all_vectored(&self.file, srcs, offset).located("write", &self.path)
    }

    fn preallocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.check_writable()?;
        let end = check_range(offset, len)?;
        if len == 0 {
            return Ok(());
        }
        let _growth = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
        grow::preallocate(&self.file, offset, end).located("preallocate", &self.path)
    }

    fn give_back(&self, offset: u64, len: u64) -> io::Result<bool> {
        self.check_writable()?;
        check_range(offset, len)?;
        if len == 0 {
            return Ok(true);
        }
        grow::give_back(&self.file, offset, len).located("give back space of", &self.path)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check_writable()?;
        self.file.sync_data().located("sync", &self.path)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.check_writable()?;
        self.file.sync_all().located("sync", &self.path)
    }
}

/// Whether a sync was not even tried.
fn is_refused(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    matches!(error.kind(), PermissionDenied | InvalidInput | Unsupported)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    // The root has no parent, and needs none.
    path.parent().map_or(Ok(()), sync_directory)
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path).and_then(|directory| directory.sync_all()).located("sync the directory", path)
}

#[cfg(windows)]
fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests;
