//! A storage in memory, for tests and for logs that need not outlive the process.
//!
//! Owns the files' bytes, in pages that exist only where something was written. Refuses durability: a sync succeeds and
//! means nothing, and everything is gone with the last handle. There are no crashes here.
//!
//! # Invariants
//!
//! - **M1 (lock order):** the directory's mutex is never held while a file's bytes are read or written, so a slow copy
//!   hinders nobody from opening another file.

mod sparse;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io::{self, IoSlice},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use self::sparse::Sparse;
use crate::{Access, LockError, Storage, StorageFile, StorageLock, check_name, check_range};

/// One directory in memory. A clone is another handle on the same directory; [`Default`] makes a new, empty one.
///
/// Files are sparse: a write far beyond the end costs only what it writes.
///
/// # Example
///
/// ```
/// use esker_storage::{LockError, MemStorage, Storage};
///
/// let storage = MemStorage::default();
/// let lock = storage.lock("lock").unwrap();
/// assert!(matches!(storage.clone().lock("lock"), Err(LockError::Held)));
/// drop(lock);
/// assert!(storage.lock("lock").is_ok());
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemStorage {
    directory: Arc<Mutex<BTreeMap<String, Arc<Node>>>>,
}

/// One file, whether it has a name or only handles.
#[derive(Debug, Default)]
struct Node {
    content: RwLock<Sparse>,
    locked: Mutex<bool>,
}

#[derive(Debug)]
struct MemFile {
    node: Arc<Node>,
    access: Access,
}

#[derive(Debug)]
struct MemLock {
    node: Arc<Node>,
}

impl MemStorage {
    /// Nothing that holds this mutex can panic half way, so a poisoned one still guards a whole map.
    fn directory(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Node>>> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for MemStorage {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        check_name(name)?;
        match self.directory().entry(name.to_owned()) {
            Entry::Occupied(_) => {
                Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("a file named '{name}' exists already")))
            }
            Entry::Vacant(vacant) => {
                let node = Arc::clone(vacant.insert(Arc::default()));
                Ok(Arc::new(MemFile { node, access: Access::ReadWrite }))
            }
        }
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        check_name(name)?;
        let node = self.directory().get(name).map(Arc::clone).ok_or_else(|| not_found(name))?;
        Ok(Arc::new(MemFile { node, access }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        self.directory().remove(name).map(drop).ok_or_else(|| not_found(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        let mut directory = self.directory();
        let node = directory.remove(from).ok_or_else(|| not_found(from))?;
        directory.insert(to.to_owned(), node);
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.directory().keys().cloned().collect())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, name: &str) -> Result<Box<dyn StorageLock>, LockError> {
        check_name(name)?;
        let node = Arc::clone(self.directory().entry(name.to_owned()).or_default());
        let mut locked = node.locked.lock().unwrap_or_else(PoisonError::into_inner);
        if *locked {
            return Err(LockError::Held);
        }
        *locked = true;
        drop(locked);
        Ok(Box::new(MemLock { node }))
    }
}

impl StorageLock for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        *self.node.locked.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }
}

impl MemFile {
    fn content(&self) -> RwLockReadGuard<'_, Sparse> {
        self.node.content.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn content_mut(&self) -> io::Result<RwLockWriteGuard<'_, Sparse>> {
        self.check_writable()?;
        Ok(self.node.content.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn check_writable(&self) -> io::Result<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::Read => {
                Err(io::Error::new(io::ErrorKind::PermissionDenied, "the file was opened for reading only"))
            }
        }
    }
}

impl StorageFile for MemFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content().len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut content = self.content_mut()?;
        check_range(0, len)?;
        content.set_len(len);
        Ok(())
    }

    fn read_at(&self, dst: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(self.content().read(dst, offset))
    }

    fn write_all_at(&self, src: &[u8], offset: u64) -> io::Result<()> {
        let mut content = self.content_mut()?;
        check_range(offset, src.len() as u64)?;
        content.write(src, offset);
        Ok(())
    }

    fn write_all_vectored_at(&self, srcs: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut content = self.content_mut()?;
        let total = srcs.iter().fold(0u64, |sum, src| sum.saturating_add(src.len() as u64));
        check_range(offset, total)?;
        let mut at = offset;
        for src in srcs {
            content.write(src, at);
            at += src.len() as u64;
        }
        Ok(())
    }

    fn preallocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut content = self.content_mut()?;
        let end = check_range(offset, len)?;
        if len > 0 && end > content.len() {
            content.set_len(end);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check_writable()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.check_writable()
    }
}

fn not_found(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no file named '{name}'"))
}
