//! A storage over another one, which it only reads: what is written stays in memory and is gone with the last handle.
//!
//! For looking at what a program would find or do without doing it. Owns what differs from the storage below. Refuses
//! durability, as [`MemStorage`](crate::MemStorage) does.
//!
//! # Invariants
//!
//! - **O1 (below is only read):** of the storage below nothing is called but opening for reading, reading, listing, and
//!   locking a file that is there.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use crate::{Access, LockError, Storage, StorageFile, StorageLock, check_name, check_range};

const PAGE_BYTES: u64 = 1 << 14;

/// A storage whose changes nobody else sees, over another one. A clone is another handle on the same changes.
///
/// The storage below must not change meanwhile; a [lock](Storage::lock) of a file that is there is taken below.
///
/// # Example
///
/// ```
/// use std::sync::Arc;
///
/// use esker_storage::{Access, MemStorage, ScratchStorage, Storage};
///
/// # fn main() -> std::io::Result<()> {
/// let below = MemStorage::default();
/// below.create("log")?.write_all_at(b"as it was", 0)?;
/// let scratch = ScratchStorage::new(Arc::new(below.clone()));
/// scratch.open("log", Access::ReadWrite)?.write_all_at(b"AS", 0)?;
///
/// let mut bytes = [0; 9];
/// scratch.open("log", Access::Read)?.read_exact_at(&mut bytes, 0)?;
/// assert_eq!(&bytes, b"AS it was");
/// below.open("log", Access::Read)?.read_exact_at(&mut bytes, 0)?;
/// assert_eq!(&bytes, b"as it was");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ScratchStorage {
    below: Arc<dyn Storage>,
    /// What is not as it is below, or was opened: a file, or that there is none of this name.
    directory: Arc<Mutex<BTreeMap<String, Option<Arc<Node>>>>>,
}

#[derive(Debug, Default)]
struct Node {
    content: RwLock<Layer>,
    locked: Mutex<bool>,
}

/// The bytes of a file.
#[derive(Debug, Default)]
struct Layer {
    len: u64,
    below: Option<Arc<dyn StorageFile>>,
    /// What of the file below is seen, where no page is in front of it.
    below_len: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
}

#[derive(Debug)]
struct ScratchFile {
    node: Arc<Node>,
    access: Access,
}

#[derive(Debug)]
struct ScratchLock {
    node: Arc<Node>,
}

impl ScratchStorage {
    /// Over `below`, as it is.
    #[must_use]
    pub fn new(below: Arc<dyn Storage>) -> Self {
        Self { below, directory: Arc::default() }
    }

    fn directory(&self) -> MutexGuard<'_, BTreeMap<String, Option<Arc<Node>>>> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file of this name, in a directory that is locked.
    fn find(&self, directory: &mut BTreeMap<String, Option<Arc<Node>>>, name: &str) -> io::Result<Arc<Node>> {
        match directory.get(name) {
            Some(Some(node)) => Ok(Arc::clone(node)),
            Some(None) => Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no file named '{name}'"))),
            None => {
                let below = self.below.open(name, Access::Read)?;
                let len = below.len()?;
                let content = Layer { len, below: Some(below), below_len: len, pages: BTreeMap::new() };
                let node = Arc::new(Node { content: RwLock::new(content), locked: Mutex::default() });
                directory.insert(name.to_owned(), Some(Arc::clone(&node)));
                Ok(node)
            }
        }
    }
}

impl fmt::Debug for ScratchStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScratchStorage").field("below", &self.below).finish_non_exhaustive()
    }
}

impl Storage for ScratchStorage {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        check_name(name)?;
        let mut directory = self.directory();
        match self.find(&mut directory, name) {
            Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("a file named '{name}' exists already"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let node = Arc::<Node>::default();
                directory.insert(name.to_owned(), Some(Arc::clone(&node)));
                Ok(Arc::new(ScratchFile { node, access: Access::ReadWrite }))
            }
            Err(error) => Err(error),
        }
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        check_name(name)?;
        let node = self.find(&mut self.directory(), name)?;
        Ok(Arc::new(ScratchFile { node, access }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        let mut directory = self.directory();
        self.find(&mut directory, name)?;
        directory.insert(name.to_owned(), None);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        let mut directory = self.directory();
        let node = self.find(&mut directory, from)?;
        directory.insert(from.to_owned(), None);
        directory.insert(to.to_owned(), Some(node));
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let directory = self.directory();
        let mut names = self.below.list()?;
        names.retain(|name| !directory.contains_key(name));
        names.extend(directory.iter().filter(|(_, node)| node.is_some()).map(|(name, _)| name.clone()));
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, name: &str) -> Result<Box<dyn StorageLock>, LockError> {
        check_name(name)?;
        let mut directory = self.directory();
        let node = match self.find(&mut directory, name) {
            // Whoever has the storage below open has locked this.
            Ok(node) if read(&node.content).below.is_some() => {
                drop(directory);
                return self.below.lock(name);
            }
            Ok(node) => node,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let node = Arc::<Node>::default();
                directory.insert(name.to_owned(), Some(Arc::clone(&node)));
                node
            }
            Err(error) => return Err(error.into()),
        };
        let mut locked = node.locked.lock().unwrap_or_else(PoisonError::into_inner);
        if *locked {
            return Err(LockError::Held);
        }
        *locked = true;
        drop(locked);
        Ok(Box::new(ScratchLock { node }))
    }
}

impl StorageLock for ScratchLock {}

impl Drop for ScratchLock {
    fn drop(&mut self) {
        *self.node.locked.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }
}

fn read(content: &RwLock<Layer>) -> RwLockReadGuard<'_, Layer> {
    content.read().unwrap_or_else(PoisonError::into_inner)
}

impl ScratchFile {
    fn check_writable(&self) -> io::Result<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::Read => {
                Err(io::Error::new(io::ErrorKind::PermissionDenied, "the file was opened for reading only"))
            }
        }
    }

    fn content_mut(&self) -> io::Result<RwLockWriteGuard<'_, Layer>> {
        self.check_writable()?;
        Ok(self.node.content.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl StorageFile for ScratchFile {
    fn len(&self) -> io::Result<u64> {
        Ok(read(&self.node.content).len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut content = self.content_mut()?;
        check_range(0, len)?;
        content.set_len(len);
        Ok(())
    }

    fn read_at(&self, dst: &mut [u8], offset: u64) -> io::Result<usize> {
        read(&self.node.content).read(dst, offset)
    }

    fn write_all_at(&self, src: &[u8], offset: u64) -> io::Result<()> {
        let mut content = self.content_mut()?;
        check_range(offset, src.len() as u64)?;
        content.write(src, offset)
    }

    fn preallocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut content = self.content_mut()?;
        let end = check_range(offset, len)?;
        if len > 0 && end > content.len {
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

impl Layer {
    fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.pages.split_off(&len.div_ceil(PAGE_BYTES));
            if let Some(page) = self.pages.get_mut(&(len / PAGE_BYTES)) {
                page[(len % PAGE_BYTES) as usize..].fill(0);
            }
            self.below_len = self.below_len.min(len);
        }
        self.len = len;
    }

    fn read(&self, dst: &mut [u8], offset: u64) -> io::Result<usize> {
        let below_end = self.len.saturating_sub(offset);
        let bytes = usize::try_from(below_end).map_or(dst.len(), |below_end| below_end.min(dst.len()));
        let (mut rest, mut at) = (&mut dst[..bytes], offset);
        while !rest.is_empty() {
            let start = at % PAGE_BYTES;
            let (now, later) = rest.split_at_mut(rest.len().min((PAGE_BYTES - start) as usize));
            match self.pages.get(&(at / PAGE_BYTES)) {
                Some(page) => now.copy_from_slice(&page[start as usize..start as usize + now.len()]),
                None => self.read_below(now, at)?,
            }
            at += now.len() as u64;
            rest = later;
        }
        Ok(bytes)
    }

    /// What is seen of the file below, and zeros behind it.
    fn read_below(&self, dst: &mut [u8], offset: u64) -> io::Result<()> {
        let seen = self.below_len.saturating_sub(offset).min(dst.len() as u64) as usize;
        let (from_below, zeros) = dst.split_at_mut(seen);
        if let Some(below) = self.below.as_ref().filter(|_| seen > 0) {
            below.read_exact_at(from_below, offset)?;
        }
        zeros.fill(0);
        Ok(())
    }

    fn write(&mut self, src: &[u8], offset: u64) -> io::Result<()> {
        let (mut rest, mut at) = (src, offset);
        while !rest.is_empty() {
            let (page, start) = (at / PAGE_BYTES, (at % PAGE_BYTES) as usize);
            let (now, later) = rest.split_at(rest.len().min(PAGE_BYTES as usize - start));
            if !self.pages.contains_key(&page) {
                let mut bytes = vec![0; PAGE_BYTES as usize].into_boxed_slice();
                self.read_below(&mut bytes, page * PAGE_BYTES)?;
                self.pages.insert(page, bytes);
            }
            let bytes = self.pages.get_mut(&page).expect("it was made");
            bytes[start..start + now.len()].copy_from_slice(now);
            at += now.len() as u64;
            rest = later;
        }
        if !src.is_empty() {
            self.len = self.len.max(offset + src.len() as u64);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemStorage;

    /// A storage with a file of so many sevens.
    fn below(bytes: usize) -> (MemStorage, ScratchStorage) {
        let below = MemStorage::default();
        below.create("log").unwrap().write_all_at(&vec![7; bytes], 0).unwrap();
        (below.clone(), ScratchStorage::new(Arc::new(below)))
    }

    fn bytes_of(storage: &dyn Storage, name: &str) -> Vec<u8> {
        let file = storage.open(name, Access::Read).unwrap();
        let mut bytes = vec![0xee; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn changes_are_seen_through_the_storage_and_not_below_it() {
        let bytes = 3 * PAGE_BYTES as usize + 100;
        let (below, scratch) = below(bytes);
        let file = scratch.open("log", Access::ReadWrite).unwrap();
        let mut model = vec![7; bytes];
        file.write_all_at(&[1; 200], PAGE_BYTES - 100).unwrap();
        model[PAGE_BYTES as usize - 100..][..200].fill(1);
        assert_eq!(bytes_of(&scratch, "log"), model);
        // What was cut is not seen again.
        file.set_len(2 * PAGE_BYTES + 5).unwrap();
        file.set_len(4 * PAGE_BYTES).unwrap();
        model.truncate(2 * PAGE_BYTES as usize + 5);
        model.resize(4 * PAGE_BYTES as usize, 0);
        assert_eq!(bytes_of(&scratch, "log"), model);
        file.write_all_at(&[2; 3], 2 * PAGE_BYTES + 10).unwrap();
        model[2 * PAGE_BYTES as usize + 10..][..3].fill(2);
        assert_eq!(bytes_of(&scratch, "log"), model);
        assert_eq!(bytes_of(&below, "log"), vec![7; bytes]);
    }

    #[test]
    fn names_change_in_the_storage_and_not_below_it() {
        let (below, scratch) = below(10);
        scratch.rename("log", "other").unwrap();
        scratch.create("log").unwrap().write_all_at(b"new", 0).unwrap();
        assert_eq!((bytes_of(&scratch, "other"), bytes_of(&scratch, "log")), (vec![7; 10], b"new".to_vec()));
        scratch.remove("other").unwrap();
        assert_eq!(scratch.list().unwrap(), ["log"]);
        assert_eq!(scratch.open("other", Access::Read).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(bytes_of(&below, "log"), vec![7; 10]);
        assert_eq!(below.list().unwrap(), ["log"]);
    }

    #[test]
    fn whoever_has_the_lock_below_has_it_here() {
        let (below, scratch) = below(10);
        let held = below.lock("log").unwrap();
        assert!(matches!(scratch.lock("log"), Err(LockError::Held)));
        drop(held);
        let held = scratch.lock("log").unwrap();
        assert!(matches!(below.lock("log"), Err(LockError::Held)));
        drop(held);
        // One that is not there below is of no meaning to anybody else.
        let held = scratch.lock("new").unwrap();
        assert!(matches!(scratch.lock("new"), Err(LockError::Held)));
        assert_eq!(below.list().unwrap(), ["log"]);
        drop(held);
        assert!(scratch.lock("new").is_ok());
    }
}
