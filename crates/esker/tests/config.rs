//! What the facade adds to the log: a directory, and what can be wrong with one.

use std::{fs, path::Path};

use esker::{Config, Error, ErrorKind, Log, LogReader};

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a scratch directory")
}

fn kind_of<T>(result: Result<T, Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[test]
fn all_faults_are_reported_at_once_and_nothing_is_touched() {
    let scratch = scratch();
    let path = scratch.path().join("log");
    let config = Config::new(&path).segment_bytes(5000).buffer_bytes(1).buffers(3).segments_max(Some(1));
    let Err(Error::InvalidOptions { faults }) = config.open() else { panic!("the configuration is faulty") };
    for name in ["segment_bytes", "buffer_bytes", "buffers", "segments_max"] {
        assert!(faults.iter().any(|fault| fault.starts_with(name)), "{name} in {faults:?}");
    }
    assert_eq!(faults.len(), 4, "{faults:?}");
    assert!(!path.exists());

    let Err(Error::InvalidOptions { faults }) = Config::new("").buffers(3).open() else { panic!("no path") };
    assert_eq!(faults.len(), 2, "{faults:?}");
}

#[test]
fn a_log_that_exists_keeps_its_segment_size() {
    let scratch = scratch();
    let config = Config::new(scratch.path()).segment_bytes(1 << 16);
    let log = config.open().expect("a new log");
    let lsn = log.append(b"record").expect("there is room");
    log.close().expect("it closes");

    let log = config.clone().segment_bytes(1 << 12).open().expect("another size does not matter");
    assert_eq!(log.segment_bytes().get(), 1 << 16);
    assert_eq!(log.read(lsn).expect("it is there").payload(), b"record");
}

#[test]
fn what_is_no_log_is_told_apart() {
    let scratch = scratch();
    let check = |path: &Path, create: bool, writing: Option<ErrorKind>, reading: Option<ErrorKind>| {
        let config = Config::new(path).create(create);
        assert_eq!(kind_of(config.open_read_only()), reading, "{config:?}");
        assert_eq!(kind_of(config.open()), writing, "{config:?}");
    };
    let file = scratch.path().join("file");
    fs::write(&file, "not a directory").expect("a scratch file");
    for create in [false, true] {
        check(&file, create, Some(ErrorKind::NotEsker), Some(ErrorKind::NotEsker));
        check(scratch.path(), create, Some(ErrorKind::NotEsker), Some(ErrorKind::NotEsker));
    }
    check(&file.join("below"), true, Some(ErrorKind::NotEsker), Some(ErrorKind::NotEsker));
    let missing = scratch.path().join("missing");
    check(&missing, false, Some(ErrorKind::NotFound), Some(ErrorKind::NotFound));
    assert!(!missing.exists());
    check(&missing, true, None, Some(ErrorKind::NotFound));
    check(&missing, true, None, None);
}

#[test]
fn a_second_writer_is_refused_and_readers_are_not() {
    let scratch = scratch();
    let config = Config::new(scratch.path());
    let log = config.open().expect("a new log");
    assert_eq!(kind_of(config.open()), Some(ErrorKind::Locked));
    let lsn = log.append_durable(b"record").expect("there is room");
    let reader = config.open_read_only().expect("readers need no lock");
    assert_eq!(reader.read(lsn).expect("it is there").payload(), b"record");
    drop(log);
    assert_eq!(kind_of(config.open()), None);
}

#[test]
fn logs_are_shared_between_threads() {
    const fn shared<T: Send + Sync>() {}
    shared::<Log>();
    shared::<LogReader>();
    shared::<Config>();
    shared::<Error>();
}
