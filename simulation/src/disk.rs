//! The simulated disk as the log sees it: other threads may run before every call, and some moments are kept.

use std::{
    io::{self, IoSlice},
    sync::{Arc, Mutex, PoisonError},
};

use esker_log::storage::{Access, LockError, Storage, StorageFile, StorageLock};
use esker_sim::SimStorage;
use shuttle::thread;

use crate::{
    ledger::{Ledger, Promises},
    rng::Rng,
};

/// The disk at one moment, and what had been promised by then.
#[derive(Debug)]
pub(crate) struct Moment {
    pub(crate) disk: SimStorage,
    pub(crate) promises: Promises,
}

/// A disk on which moments are kept.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    disk: SimStorage,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ledger: Arc<Ledger>,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    rng: Rng,
    moments: Vec<Moment>,
    /// How many changes there were.
    changes: u64,
    moments_max: u64,
}

impl Watched {
    /// Keeps at most `moments_max` moments, drawn evenly from all changes.
    pub(crate) fn new(disk: SimStorage, ledger: Arc<Ledger>, rng: Rng, moments_max: u64) -> Self {
        let kept = Mutex::new(Kept { rng, moments: Vec::new(), changes: 0, moments_max });
        Self { disk, shared: Arc::new(Shared { ledger, kept }) }
    }

    /// The moments that were kept.
    pub(crate) fn take_moments(&self) -> Vec<Moment> {
        std::mem::take(&mut self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner).moments)
    }
}

impl Shared {
    /// After a change: any `moments_max` of all changes so far are as likely to be kept as any others.
    fn changed(&self, disk: &SimStorage) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = &mut *kept;
        kept.changes += 1;
        let place = if kept.changes <= kept.moments_max { kept.changes - 1 } else { kept.rng.below(kept.changes) };
        if place >= kept.moments_max {
            return;
        }
        let moment = Moment { disk: disk.snapshot(), promises: self.ledger.promises() };
        match kept.moments.get_mut(place as usize) {
            Some(replaced) => *replaced = moment,
            None => kept.moments.push(moment),
        }
    }
}

impl Watched {
    /// A call that changes nothing.
    fn look<T>(&self, call: impl FnOnce(&SimStorage) -> T) -> T {
        thread::yield_now();
        call(&self.disk)
    }

    /// A call that changes the disk, even if it fails.
    fn change<T>(&self, call: impl FnOnce(&SimStorage) -> T) -> T {
        thread::yield_now();
        let result = call(&self.disk);
        self.shared.changed(&self.disk);
        result
    }

    /// Others may run while the disk is at it, and what they change is not covered. The moment before counts as well: what
    /// is promised by then must not rest on this sync.
    fn sync(&self, call: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        thread::yield_now();
        self.shared.changed(&self.disk);
        let result = self.change(|_| call());
        thread::yield_now();
        result
    }

    fn watch(&self, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(WatchedFile { file, storage: self.clone() })
    }
}

impl Storage for Watched {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.change(|disk| disk.create(name)).map(|file| self.watch(file))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        self.look(|disk| disk.open(name, access)).map(|file| self.watch(file))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(|disk| disk.remove(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(|disk| disk.rename(from, to))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.look(|disk| disk.list())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.change(|disk| disk.sync_dir())
    }

    fn lock(&self, name: &str) -> Result<Box<dyn StorageLock>, LockError> {
        self.look(|disk| disk.lock(name))
    }
}

#[derive(Debug)]
struct WatchedFile {
    file: Arc<dyn StorageFile>,
    storage: Watched,
}

impl StorageFile for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.storage.change(|_| self.file.set_len(len))
    }

    fn read_at(&self, dst: &mut [u8], offset: u64) -> io::Result<usize> {
        self.storage.look(|_| self.file.read_at(dst, offset))
    }

    fn write_all_at(&self, src: &[u8], offset: u64) -> io::Result<()> {
        self.storage.change(|_| self.file.write_all_at(src, offset))
    }

    fn write_all_vectored_at(&self, srcs: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.storage.change(|_| self.file.write_all_vectored_at(srcs, offset))
    }

    fn preallocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.storage.change(|_| self.file.preallocate(offset, len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.storage.sync(|| self.file.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.storage.sync(|| self.file.sync_all())
    }
}
