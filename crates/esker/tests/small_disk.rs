//! A disk that is full: a real file system of a few MiB, where the kernel says that there is no room.
//!
//! Such a file system needs to be made, so that these tests are ignored: `cargo xtask small-disk` makes some and runs them.
//! By hand, on any empty file system of 8 to 64 MiB:
//! `ESKER_SMALL_DISK=/mnt cargo test -p esker --test small_disk -- --ignored --test-threads=1`.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{ErrorKind as IoErrorKind, Write},
    path::PathBuf,
    sync::Mutex,
    thread,
};

use esker::{Config, Error, ErrorKind, Log, Lsn};

/// A file system that takes more than this is not small.
const DISK_BYTES_MAX: u64 = 64 << 20;
const RECORD_BYTES: usize = 4000;

type Records = BTreeMap<Lsn, Vec<u8>>;

/// A directory on the small file system, empty before and after.
struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    fn new() -> Self {
        let dir = std::env::var_os("ESKER_SMALL_DISK").map(PathBuf::from);
        let dir =
            dir.expect("ESKER_SMALL_DISK names a small file system: run `cargo xtask small-disk`").join("scratch");
        fs::create_dir(&dir).expect("nothing is left of an earlier test");
        Self { dir }
    }

    fn config(&self) -> Config {
        Config::new(self.dir.join("log")).segment_bytes(256 << 10).buffer_bytes(64 << 10)
    }

    fn filler(&self) -> PathBuf {
        self.dir.join("filler")
    }

    /// Takes room with a file: so many bytes, or all there is.
    fn fill(&self, bytes: u64) {
        let mut file = File::create(self.filler()).expect("a filler");
        // The last of the room is taken in small pieces.
        for piece in [64 << 10, 512] {
            while file.metadata().expect("its length").len() < bytes.min(DISK_BYTES_MAX) {
                match file.write_all(&vec![1; piece]).and_then(|()| file.sync_all()) {
                    Ok(()) => (),
                    Err(error) if error.kind() == IoErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        assert!(
            bytes < DISK_BYTES_MAX || file.metadata().expect("its length").len() < DISK_BYTES_MAX,
            "the disk is not small"
        );
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).expect("there is a filler");
    }

    /// What a reader finds beside the log.
    fn read(&self) -> Records {
        let reader = self.config().open_read_only().expect("the log can be read");
        assert_eq!(reader.report().damage, None);
        assert!(reader.verify(&mut |_, _| {}).expect("the log can be read").is_clean());
        let whole = reader.iter_from(Lsn::ZERO).map(|record| record.expect("every record is whole"));
        whole.map(|record| (record.lsn(), record.into_payload())).collect()
    }

    fn blob_files(&self) -> usize {
        let entries = fs::read_dir(self.dir.join("log")).expect("there is a log");
        entries
            .filter(|entry| entry.as_ref().expect("an entry").file_name().to_string_lossy().starts_with("blob-"))
            .count()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A test that failed has more to tell than this could.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn payload(n: u64, len: usize) -> Vec<u8> {
    let number = n.to_le_bytes();
    (0..len).map(|at| number[at % 8] ^ (at / 8) as u8).collect()
}

/// Appends durably with four threads until each of them is told that the disk is full. Returns what was acknowledged.
fn append_until_full(log: &Log, len: usize) -> Records {
    let acknowledged = Mutex::new(Records::new());
    thread::scope(|scope| {
        for writer in 0..4 {
            let acknowledged = &acknowledged;
            scope.spawn(move || {
                for n in 0..DISK_BYTES_MAX / len as u64 {
                    let payload = payload(writer << 32 | n, len);
                    match log.append_durable(&payload) {
                        Ok(lsn) => assert!(acknowledged.lock().unwrap().insert(lsn, payload).is_none(), "{lsn} twice"),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
                            return;
                        }
                    }
                }
                panic!("the disk took more than {DISK_BYTES_MAX} bytes");
            });
        }
    });
    acknowledged.into_inner().unwrap()
}

/// Every record that was acknowledged and not truncated is there, in the log and for a reader.
#[track_caller]
fn check_kept(scratch: &Scratch, log: &Log, acknowledged: &Records) {
    let found = scratch.read();
    for (&lsn, payload) in acknowledged.range(log.floor()..) {
        assert_eq!(log.read(lsn).expect("it was acknowledged").payload(), payload);
        assert_eq!(found.get(&lsn), Some(payload), "a reader does not find {lsn}");
    }
}

/// The log is closed and opened again, and holds what was acknowledged.
#[track_caller]
fn check_reopened(scratch: &Scratch, log: Log, acknowledged: &Records) {
    log.close().expect("there is room for a mark");
    let log = scratch.config().open().expect("the log is whole");
    check_kept(scratch, &log, acknowledged);
    log.append_durable(b"after opening again").expect("there is room");
}

fn middle(records: &Records) -> Lsn {
    *records.keys().nth(records.len() / 2).expect("something was acknowledged before the disk was full")
}

fn is_full(error: &Error) -> bool {
    match error {
        Error::NoSpace { .. } => true,
        Error::Io { source, .. } => source.kind() == IoErrorKind::StorageFull,
        _ => false,
    }
}

#[test]
#[ignore = "wants a small file system: cargo xtask small-disk"]
fn a_log_on_a_full_disk_goes_on_after_truncation() {
    let scratch = Scratch::new();
    let log = scratch.config().open().unwrap();
    let mut acknowledged = append_until_full(&log, RECORD_BYTES);
    assert!(acknowledged.len() > 300, "{} records only", acknowledged.len());
    check_kept(&scratch, &log, &acknowledged);
    for _ in 0..3 {
        let truncation = log.truncate_before(middle(&acknowledged)).expect("giving up needs no room");
        assert!(truncation.segments_freed > 0);
        acknowledged = acknowledged.split_off(&truncation.floor);
        let more = append_until_full(&log, RECORD_BYTES);
        assert!(more.len() > 50, "{} records only after {} segments were freed", more.len(), truncation.segments_freed);
        acknowledged.extend(more);
        check_kept(&scratch, &log, &acknowledged);
    }
    log.truncate_before(middle(&acknowledged)).unwrap();
    check_reopened(&scratch, log, &acknowledged);
}

#[test]
#[ignore = "wants a small file system: cargo xtask small-disk"]
fn a_log_on_a_full_disk_goes_on_when_others_make_room() {
    let scratch = Scratch::new();
    scratch.fill(3 << 20);
    let log = scratch.config().open().unwrap();
    let mut acknowledged = append_until_full(&log, RECORD_BYTES);
    check_kept(&scratch, &log, &acknowledged);
    for _ in 0..20 {
        // The threads are told again, and nothing of what they tried comes to stand in the way.
        assert_eq!(log.append_durable(&payload(7, 60_000)).unwrap_err().kind(), ErrorKind::NoSpace);
    }
    scratch.make_room();
    let more = append_until_full(&log, RECORD_BYTES);
    assert!(more.len() > 300, "{} records only in 3 MiB", more.len());
    acknowledged.extend(more);
    check_kept(&scratch, &log, &acknowledged);
    log.truncate_before(middle(&acknowledged)).unwrap();
    check_reopened(&scratch, log, &acknowledged);
}

#[test]
#[ignore = "wants a small file system: cargo xtask small-disk"]
fn blobs_that_find_no_room_leave_nothing_behind() {
    let scratch = Scratch::new();
    scratch.fill(1 << 20);
    let log = scratch.config().open().unwrap();
    let mut acknowledged = append_until_full(&log, 300_000);
    assert!(acknowledged.len() > 2, "{} blobs only", acknowledged.len());
    check_kept(&scratch, &log, &acknowledged);
    assert_eq!(scratch.blob_files(), acknowledged.len(), "a blob that failed left its file");
    // Small records may find room where a blob does not.
    acknowledged.extend(append_until_full(&log, 100));
    check_kept(&scratch, &log, &acknowledged);

    scratch.make_room();
    let more = append_until_full(&log, 300_000);
    assert!(!more.is_empty(), "no blob in 1 MiB");
    acknowledged.extend(more);
    let blobs = |acknowledged: &Records| acknowledged.values().filter(|payload| payload.len() > 1000).count();
    assert_eq!(scratch.blob_files(), blobs(&acknowledged));

    let floor = *acknowledged.keys().next_back().expect("there are records");
    let truncation = log.truncate_before(floor).expect("giving up needs no room");
    assert!(truncation.blobs_removed > 0);
    acknowledged = acknowledged.split_off(&floor);
    let more = append_until_full(&log, 300_000);
    assert!(more.len() > 2, "{} blobs only after {} were removed", more.len(), truncation.blobs_removed);
    acknowledged.extend(more);
    check_kept(&scratch, &log, &acknowledged);
    log.truncate_before(*acknowledged.keys().next_back().unwrap()).unwrap();
    check_reopened(&scratch, log, &acknowledged);
}

#[test]
#[ignore = "wants a small file system: cargo xtask small-disk"]
fn a_log_opens_and_closes_on_a_full_disk() {
    let scratch = Scratch::new();
    let log = scratch.config().open().unwrap();
    let mut acknowledged = Records::new();
    for n in 0..200 {
        let payload = payload(n, RECORD_BYTES);
        acknowledged.insert(log.append_durable(&payload).unwrap(), payload);
    }
    scratch.fill(u64::MAX);
    acknowledged.extend(append_until_full(&log, 100));
    check_kept(&scratch, &log, &acknowledged);
    // Without room for its mark a log closes all the same.
    log.close().expect("a full disk does not keep a log from closing");
    let log = scratch.config().open().expect("a full disk does not keep a log from opening");
    check_kept(&scratch, &log, &acknowledged);
    acknowledged.extend(append_until_full(&log, 100));
    check_kept(&scratch, &log, &acknowledged);
    scratch.make_room();
    let lsn = log.append_durable(&payload(1, RECORD_BYTES)).expect("there is room again");
    acknowledged.insert(lsn, payload(1, RECORD_BYTES));
    check_reopened(&scratch, log, &acknowledged);
}

#[test]
#[ignore = "wants a small file system: cargo xtask small-disk"]
fn a_log_that_found_no_room_to_be_created_can_be_created_later() {
    let scratch = Scratch::new();
    scratch.fill(u64::MAX);
    match scratch.config().open() {
        // Names and small files may be kept where there is always room.
        Ok(log) => assert!(is_full(&log.append_durable(&payload(1, RECORD_BYTES)).unwrap_err())),
        Err(error) => assert!(is_full(&error), "{error}"),
    }
    scratch.make_room();
    let log = scratch.config().open().expect("there is room now");
    let lsn = log.append_durable(b"first").unwrap();
    check_reopened(&scratch, log, &Records::from([(lsn, b"first".to_vec())]));
}
