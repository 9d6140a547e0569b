//! The files of a log, outside any storage, and logs to begin with.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use esker_format::{LogId, Lsn};
use esker_log::{Log, Options};
use esker_storage::{Access, MemStorage, Storage};

/// The size of a segment of the logs below.
pub(crate) const SEGMENT_BYTES: usize = 4096;
pub(crate) const LOG_ID: LogId = LogId::from_bytes(*b"the fuzzed log's");

/// The files of a directory, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image(pub(crate) BTreeMap<String, Vec<u8>>);

impl Image {
    /// What a storage holds, without the lock, which is no data.
    pub(crate) fn of(storage: &dyn Storage) -> Self {
        let names = storage.list().expect("memory can be listed");
        let read = |name: String| {
            let file = storage.open(&name, Access::Read).expect("what is listed can be opened");
            let mut bytes = vec![0; file.len().expect("memory has a length") as usize];
            file.read_exact_at(&mut bytes, 0).expect("memory can be read");
            (name, bytes)
        };
        Self(names.into_iter().filter(|name| name != "lock").map(read).collect())
    }

    /// A storage that holds just this.
    pub(crate) fn storage(&self) -> Arc<MemStorage> {
        let storage = MemStorage::default();
        for (name, bytes) in &self.0 {
            let file = storage.create(name).expect("the name is new and valid");
            file.write_all_at(bytes, 0).expect("memory can be written");
        }
        Arc::new(storage)
    }
}

/// A log to begin with.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) image: Image,
    /// Every record that was ever acknowledged as durable.
    pub(crate) records: BTreeMap<Lsn, Vec<u8>>,
}

/// One that was closed and one that was not. Both have several openings, segments that are reused, and blobs.
pub(crate) static FIXTURES: LazyLock<[Fixture; 2]> = LazyLock::new(|| [fixture(true), fixture(false)]);

pub(crate) fn options() -> Options {
    Options::new().segment_bytes(SEGMENT_BYTES as u32).buffer_bytes(1024).buffers(2).background(false).log_id(LOG_ID)
}

fn fixture(is_closed: bool) -> Fixture {
    let storage = Arc::new(MemStorage::default());
    let mut records = BTreeMap::new();
    let mut append = |log: &Log, count: u8| {
        for n in 0..count {
            // Every fifth is too long for a buffer and becomes a blob.
            let len = if n % 5 == 4 { 2000 } else { usize::from(n) * 37 % 400 };
            let payload = vec![n ^ 0xa5; len];
            records.insert(log.append(&payload).expect("memory does not fail"), payload);
            if n % 3 == 0 {
                log.flush().expect("memory does not fail");
            }
        }
        log.flush().expect("memory does not fail");
        *records.keys().nth(records.len() / 2).expect("records were appended")
    };
    let open = || Log::open(storage.clone(), options()).expect("the log is whole");
    let log = open();
    let middle = append(&log, 60);
    log.close().expect("memory does not fail");
    let log = open();
    log.truncate_before(middle).expect("the record exists");
    append(&log, 40);
    if is_closed {
        log.close().expect("memory does not fail");
        return Fixture { image: Image::of(storage.as_ref()), records };
    }
    // What is in the files while the log is still open is what a killed process leaves.
    let image = Image::of(storage.as_ref());
    drop(log);
    Fixture { image, records }
}
