//! Logs that released versions have written are read by this one. `golden/VERSION` holds one of each, written once by
//! `cargo test -p esker-log --test golden -- --ignored`, and never again.

use std::{fs, path::PathBuf, sync::Arc};

use esker_log::{
    Error, Log, LogId, LogReader, Lsn, Options,
    storage::{FileStorage, MemStorage, Storage},
};

const VERSIONS: &[&str] = &["0.1"];
const SEGMENT_BYTES: u32 = 4096;
const RECORDS: u64 = 120;
/// Records below this one were truncated.
const KEPT_FROM: u64 = 40;
/// This one is too large for a segment.
const BLOB: u64 = 60;

fn dir(version: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version)
}

fn options() -> Options {
    Options::new().segment_bytes(SEGMENT_BYTES).buffer_bytes(1024).buffers(4).background(false).log_id(id())
}

fn id() -> LogId {
    LogId::from_bytes(*b"a golden log, 16")
}

fn payload(number: u64) -> Vec<u8> {
    let len = if number == BLOB { 9000 } else { (number * 37 % 300) as usize };
    (0..len).map(|at| (number as usize * 31 + at) as u8).collect()
}

fn write(storage: Arc<dyn Storage>) -> Result<(), Error> {
    let log = Log::open(storage, options())?;
    let mut kept = Lsn::default();
    for number in 0..RECORDS {
        let lsn = log.append(&payload(number))?;
        if number == KEPT_FROM {
            kept = lsn;
        }
        // One that was given up leaves what readers pass over.
        drop(log.reserve(10)?);
    }
    log.flush()?;
    log.truncate_before(kept)?;
    log.close()?;
    Ok(())
}

/// The files of a version, in memory, so that they stay as they are.
fn copy(version: &str) -> Arc<dyn Storage> {
    let storage = MemStorage::default();
    for file in fs::read_dir(dir(version)).unwrap() {
        let file = file.unwrap();
        let bytes = fs::read(file.path()).unwrap();
        storage.create(file.file_name().to_str().unwrap()).unwrap().write_all_at(&bytes, 0).unwrap();
    }
    Arc::new(storage)
}

#[test]
fn logs_of_all_versions_are_read() {
    for version in VERSIONS {
        let storage = copy(version);
        let reader = LogReader::open(storage.clone()).unwrap();
        assert_eq!(reader.stat().unwrap().log_id, id());
        let found: Vec<Vec<u8>> =
            reader.iter_from(Lsn::default()).map(|record| record.unwrap().into_payload()).collect();
        let expected: Vec<Vec<u8>> = (KEPT_FROM..RECORDS).map(payload).collect();
        assert_eq!(found, expected, "{version}");
        assert!(reader.verify(&mut |_, _| ()).unwrap().is_clean(), "{version}");
        // Other options, and what this version appends.
        let log = Log::open(storage.clone(), Options::new().buffer_bytes(2048).buffers(2)).unwrap();
        assert!(log.report().clean, "{version}");
        let lsn = log.append_durable(b"of today").unwrap();
        log.close().unwrap();
        let reader = LogReader::open(storage).unwrap();
        assert_eq!(reader.read(lsn).unwrap().payload(), b"of today");
        assert_eq!(reader.iter_from(Lsn::default()).count() as u64, RECORDS - KEPT_FROM + 1);
    }
}

#[test]
fn this_version_writes_what_the_last_one_wrote() {
    // Byte by byte: whoever changes what is written gives it a new version, and that its own files.
    let written: Arc<dyn Storage> = Arc::new(MemStorage::default());
    write(written.clone()).unwrap();
    let golden = copy(VERSIONS.last().unwrap());
    let names = |storage: &Arc<dyn Storage>| {
        let mut names = storage.list().unwrap();
        names.sort();
        names
    };
    let all = |storage: &Arc<dyn Storage>, name: &str| {
        let file = storage.open(name, esker_log::storage::Access::Read).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        bytes
    };
    assert_eq!(names(&written), names(&golden));
    for name in names(&golden) {
        assert!(all(&written, &name) == all(&golden, &name), "{name} differs");
    }
}

#[test]
#[ignore = "writes the files of a version that is released, once"]
fn files_are_written() {
    let dir = dir(VERSIONS.last().unwrap());
    assert!(!dir.exists(), "{} is there", dir.display());
    write(Arc::new(FileStorage::create(&dir).unwrap())).unwrap();
}
