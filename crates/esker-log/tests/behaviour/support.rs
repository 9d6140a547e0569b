//! What the tests share: small logs, images of directories, a storage with a hook before every call, and a watchdog.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, IoSlice},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use esker_log::{
    Error, Iter, Log, LogId, LogReader, Lsn, Options, Record,
    storage::{Access, LockError, MemStorage, Storage, StorageFile, StorageLock},
};

/// The records of a log.
pub(crate) type Records = BTreeMap<Lsn, Vec<u8>>;

pub(crate) const SEGMENT_BYTES: u32 = 4096;
pub(crate) const BUFFER_BYTES: u32 = 512;

/// The smallest segments, and buffers that need several to fill one.
pub(crate) fn options() -> Options {
    Options::new()
        .segment_bytes(SEGMENT_BYTES)
        .buffer_bytes(BUFFER_BYTES)
        .buffers(4)
        // The same calls in the same order each time.
        .background(false)
        .log_id(LogId::from_bytes(*b"a log of a test."))
}

pub(crate) fn open(storage: &(impl Storage + Clone + 'static)) -> Log {
    Log::open(Arc::new(storage.clone()), options()).unwrap()
}

pub(crate) fn reader(storage: &(impl Storage + Clone + 'static)) -> LogReader {
    LogReader::open(Arc::new(storage.clone())).unwrap()
}

/// `len` bytes that differ from those of every other `n`.
pub(crate) fn payload(n: u64, len: usize) -> Vec<u8> {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ len as u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb).wrapping_add(1);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Every record of an iterator that meets no error.
pub(crate) fn collect(records: impl Iterator<Item = Result<Record, Error>>) -> Records {
    records.map(|record| record.unwrap()).map(|record| (record.lsn(), record.into_payload())).collect()
}

/// All records of a log that is open.
pub(crate) fn all(log: &Log) -> Records {
    collect(log.iter_from(Lsn::ZERO).unwrap())
}

/// Compares records, and names those that differ.
pub(crate) fn assert_same(what: &str, found: &Records, wanted: &Records) {
    let missing: Vec<_> = wanted.keys().filter(|lsn| !found.contains_key(lsn)).collect();
    let foreign: Vec<_> = found.keys().filter(|lsn| !wanted.contains_key(lsn)).collect();
    let altered: Vec<_> =
        found.iter().filter(|(lsn, p)| wanted.get(lsn).is_some_and(|w| w != *p)).map(|(l, _)| l).collect();
    assert!(
        missing.is_empty() && foreign.is_empty() && altered.is_empty(),
        "{what}: missing {missing:?}, foreign {foreign:?}, altered {altered:?}"
    );
}

/// What can be read, and what cannot.
pub(crate) fn salvage(mut records: Iter) -> (Records, Vec<Error>) {
    let (mut found, mut errors) = (Records::new(), Vec::new());
    while let Some(record) = records.next_record() {
        match record {
            Ok(record) => {
                assert!(found.insert(record.lsn(), record.payload().to_vec()).is_none(), "{} came twice", record.lsn());
            }
            Err(error) => errors.push(error),
        }
    }
    (found, errors)
}

/// Appends a record and notes it.
pub(crate) fn append(log: &Log, records: &mut Records, payload: Vec<u8>) -> Lsn {
    let lsn = log.append(&payload).unwrap();
    records.insert(lsn, payload);
    lsn
}

/// Leaves a log without closing it, as a process does that is killed. What is in memory only is lost.
pub(crate) fn abandon(log: Log) {
    // The engine's threads and files stay behind; the storage in memory does not mind. The lock does, so that whoever
    // goes on does so on a copy of the storage. Kept where AddressSanitizer sees that it is not lost.
    static ABANDONED: Mutex<Vec<Log>> = Mutex::new(Vec::new());
    ABANDONED.lock().unwrap().push(log);
}

/// The content of every file of a directory.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Image(pub(crate) BTreeMap<String, Vec<u8>>);

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, bytes)| (name, bytes.len()))).finish()
    }
}

impl Image {
    pub(crate) fn of(storage: &dyn Storage) -> Self {
        let read = |name: String| {
            let file = storage.open(&name, Access::Read).unwrap();
            let mut bytes = vec![0; file.len().unwrap() as usize];
            file.read_exact_at(&mut bytes, 0).unwrap();
            (name, bytes)
        };
        Self(storage.list().unwrap().into_iter().map(read).collect())
    }

    pub(crate) fn storage(&self) -> MemStorage {
        let storage = MemStorage::default();
        for (name, bytes) in &self.0 {
            let file = storage.create(name).unwrap();
            file.write_all_at(bytes, 0).unwrap();
            // A write of nothing leaves a length of nothing.
            file.set_len(bytes.len() as u64).unwrap();
        }
        storage
    }

    pub(crate) fn file(&mut self, name: &str) -> &mut Vec<u8> {
        self.0.get_mut(name).unwrap_or_else(|| panic!("there is no file {name}"))
    }
}

/// What is about to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Create,
    Open,
    Remove,
    Rename,
    List,
    SyncDir,
    Lock,
    Len,
    SetLen,
    Read,
    Write,
    Preallocate,
    Sync,
}

type Hook = dyn Fn(Call, &str) -> io::Result<()> + Send + Sync;

/// A storage that asks a hook before every call. A call that the hook fails does not reach the storage below.
#[derive(Clone)]
pub(crate) struct Hooked {
    below: Arc<dyn Storage>,
    hook: Arc<Hook>,
}

impl Hooked {
    pub(crate) fn new(
        below: impl Storage + 'static,
        hook: impl Fn(Call, &str) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { below: Arc::new(below), hook: Arc::new(hook) }
    }

    fn file(&self, name: &str, below: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(HookedFile { below, hook: self.hook.clone(), name: name.to_owned() })
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooked").field("below", &self.below).finish_non_exhaustive()
    }
}

impl Storage for Hooked {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        (self.hook)(Call::Create, name)?;
        Ok(self.file(name, self.below.create(name)?))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        (self.hook)(Call::Open, name)?;
        Ok(self.file(name, self.below.open(name, access)?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        (self.hook)(Call::Remove, name)?;
        self.below.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        (self.hook)(Call::Rename, from)?;
        self.below.rename(from, to)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        (self.hook)(Call::List, "")?;
        self.below.list()
    }

    fn sync_dir(&self) -> io::Result<()> {
        (self.hook)(Call::SyncDir, "")?;
        self.below.sync_dir()
    }

    fn lock(&self, name: &str) -> Result<Box<dyn StorageLock>, LockError> {
        (self.hook)(Call::Lock, name)?;
        self.below.lock(name)
    }
}

struct HookedFile {
    below: Arc<dyn StorageFile>,
    hook: Arc<Hook>,
    name: String,
}

impl fmt::Debug for HookedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookedFile").field("name", &self.name).finish_non_exhaustive()
    }
}

impl StorageFile for HookedFile {
    fn len(&self) -> io::Result<u64> {
        (self.hook)(Call::Len, &self.name)?;
        self.below.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        (self.hook)(Call::SetLen, &self.name)?;
        self.below.set_len(len)
    }

    fn read_at(&self, dst: &mut [u8], offset: u64) -> io::Result<usize> {
        (self.hook)(Call::Read, &self.name)?;
        self.below.read_at(dst, offset)
    }

    fn write_all_at(&self, src: &[u8], offset: u64) -> io::Result<()> {
        (self.hook)(Call::Write, &self.name)?;
        self.below.write_all_at(src, offset)
    }

    fn write_all_vectored_at(&self, srcs: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        (self.hook)(Call::Write, &self.name)?;
        self.below.write_all_vectored_at(srcs, offset)
    }

    fn preallocate(&self, offset: u64, len: u64) -> io::Result<()> {
        (self.hook)(Call::Preallocate, &self.name)?;
        self.below.preallocate(offset, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        (self.hook)(Call::Sync, &self.name)?;
        self.below.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        (self.hook)(Call::Sync, &self.name)?;
        self.below.sync_all()
    }
}

/// Sets a flag when it is dropped, so that threads that wait for it end although the test has failed.
pub(crate) struct SetAtEnd<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `work` and panics if it takes longer than a hang would have to be taken for one.
pub(crate) fn without_hanging<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, outcome) = mpsc::channel();
    let worker = thread::spawn(move || {
        // Nobody listens any more if it took too long.
        let _ = done.send(work());
    });
    match outcome.recv_timeout(Duration::from_secs(60)) {
        Ok(outcome) => {
            worker.join().unwrap();
            outcome
        }
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what} hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match worker.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("the worker ended without an outcome"),
        },
    }
}
