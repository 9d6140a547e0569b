//! Puts a log on another storage than a directory: here memory, wrapped so that its syncs are counted.
//!
//! `cargo run -p esker --example custom_storage`

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use esker::{Access, LockError, Log, LogReader, MemStorage, Options, Storage, StorageFile, StorageLock};

/// A storage that passes everything on and counts the syncs of files.
#[derive(Debug, Default)]
struct Counting {
    inner: MemStorage,
    syncs: Arc<AtomicU64>,
}

#[derive(Debug)]
struct CountingFile {
    inner: Arc<dyn StorageFile>,
    syncs: Arc<AtomicU64>,
}

impl Counting {
    fn counted(&self, inner: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(CountingFile { inner, syncs: Arc::clone(&self.syncs) })
    }
}

impl Storage for Counting {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.counted(self.inner.create(name)?))
    }
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.counted(self.inner.open(name, access)?))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.inner.sync_dir()
    }
    fn lock(&self, name: &str) -> Result<Box<dyn StorageLock>, LockError> {
        self.inner.lock(name)
    }
}

impl StorageFile for CountingFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }
    fn read_at(&self, dst: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(dst, offset)
    }
    fn write_all_at(&self, src: &[u8], offset: u64) -> io::Result<()> {
        self.inner.write_all_at(src, offset)
    }
    fn preallocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.inner.preallocate(offset, len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.inner.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.inner.sync_all()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Whoever writes a storage runs the project's own checks against it first.
    esker::storage::conformance::run(&|| Arc::new(Counting::default()));

    let storage = Arc::new(Counting::default());
    let log = Log::open(Arc::clone(&storage) as Arc<dyn Storage>, Options::new().segment_bytes(64 << 10))?;
    let syncs_before = storage.syncs.load(Ordering::Relaxed);
    for number in 0..100_u32 {
        log.append(&number.to_le_bytes())?;
    }
    log.flush()?;
    let syncs = storage.syncs.load(Ordering::Relaxed) - syncs_before;
    assert!((1..100).contains(&syncs), "a hundred records took {syncs} syncs");
    log.close()?;

    let reader = LogReader::open(storage)?;
    let numbers = reader
        .iter_from(reader.floor())
        .map(|record| Ok(u32::from_le_bytes(record?.payload().try_into()?)))
        .collect::<Result<Vec<_>, Box<dyn std::error::Error>>>()?;
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    eprintln!("a hundred records in memory, made durable by {syncs} syncs");
    Ok(())
}
