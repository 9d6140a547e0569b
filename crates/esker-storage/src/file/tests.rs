//! What the conformance suite cannot see: paths in errors, the calls that reach the operating system, directories made on
//! the way.

use super::*;

fn inner(error: &io::Error) -> &FileError {
    error.get_ref().and_then(|inner| inner.downcast_ref::<FileError>()).expect("a located error")
}

#[test]
fn created_directories_exist_with_those_above_them() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("one").join("two").join("three");
    let storage = FileStorage::create(&path).unwrap();
    assert_eq!(storage.path(), path);
    storage.create("kept").unwrap();
    // Creating again opens what is there.
    assert_eq!(FileStorage::create(&path).unwrap().list().unwrap(), ["kept"]);
}

#[test]
fn opening_a_directory_creates_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let error = FileStorage::open(scratch.path().join("absent")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert_eq!(inner(&error).path(), scratch.path().join("absent"));
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn a_file_in_the_way_is_an_error_and_stays() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("file");
    fs::write(&path, b"kept").unwrap();
    let opened = FileStorage::open(&path).unwrap_err();
    assert_eq!(opened.kind(), io::ErrorKind::NotADirectory);
    let created = FileStorage::create(&path).unwrap_err();
    assert_eq!(created.kind(), io::ErrorKind::NotADirectory);
    FileStorage::create(path.join("below")).unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), b"kept");
}

#[test]
fn errors_say_what_was_tried_and_where() {
    let scratch = tempfile::tempdir().unwrap();
    let storage = FileStorage::open(scratch.path()).unwrap();
    let path = scratch.path().join("absent");
    let error = storage.open("absent", Access::Read).unwrap_err();
    assert_eq!(inner(&error).path(), path);
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot open {}: ", path.display())), "{text}");
    assert!(text.ends_with(&inner(&error).cause().to_string()), "{text}");
}

#[test]
fn what_is_not_a_regular_file_is_listed_but_not_opened() {
    let scratch = tempfile::tempdir().unwrap();
    fs::create_dir(scratch.path().join("below")).unwrap();
    let storage = FileStorage::open(scratch.path()).unwrap();
    assert_eq!(storage.list().unwrap(), ["below"]);
    for access in [Access::Read, Access::ReadWrite] {
        assert_eq!(storage.open("below", access).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
    storage.remove("below").unwrap_err();
    assert!(scratch.path().join("below").is_dir());
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_unicode_are_listed() {
    use std::os::unix::ffi::OsStrExt;
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join(std::ffi::OsStr::from_bytes(b"odd\xff")), b"").unwrap();
    assert_eq!(FileStorage::open(scratch.path()).unwrap().list().unwrap(), ["odd\u{fffd}"]);
}

#[test]
fn relative_paths_become_absolute() {
    let storage = FileStorage::open(".").unwrap();
    assert!(storage.path().is_absolute(), "{:?}", storage.path());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_device_is_out_of_space() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    for error in [
        positional::write_all(&full, b"x", 0).unwrap_err(),
        positional::write_all_vectored(&full, &[IoSlice::new(b"x"), IoSlice::new(b"y")], 0).unwrap_err(),
    ] {
        let error = Err::<(), _>(error).located("write", Path::new("/dev/full")).unwrap_err();
        assert!(crate::is_out_of_space(&error), "{error:?}");
    }
}

/// A device without storage refuses to be synced, which shows that a sync gets as far as the operating system.
#[cfg(target_os = "linux")]
#[test]
fn syncs_reach_the_operating_system() {
    let path = PathBuf::from("/dev/null");
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let file = DiskFile { file, path, access: Access::ReadWrite, growth: Mutex::default() };
    for synced in [file.sync_data(), file.sync_all()] {
        assert_eq!(synced.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
    // So does a directory that is made up by the kernel; but it can be used, as a directory that exists.
    let storage = FileStorage::create("/proc/self/fdinfo").unwrap();
    assert_eq!(storage.sync_dir().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(sync_parent(storage.path()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[cfg(target_os = "linux")]
#[test]
fn space_that_is_given_back_is_taken_from_the_disk_no_more() {
    use std::os::unix::fs::MetadataExt as _;
    let scratch = tempfile::tempdir().unwrap();
    let storage = FileStorage::open(scratch.path()).unwrap();
    let file = storage.create("log").unwrap();
    file.write_all_at(&vec![7; 1 << 20], 0).unwrap();
    file.sync_data().unwrap();
    let blocks = || std::fs::metadata(scratch.path().join("log")).unwrap().blocks();
    let before = blocks();
    if !file.give_back(1 << 18, 1 << 19).unwrap() {
        // A file system that cannot.
        return;
    }
    assert!(blocks() <= before - (1 << 19) / 512, "{} of {before} blocks", blocks());
    assert_eq!(file.len().unwrap(), 1 << 20);
    let mut bytes = vec![1; 1 << 20];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let (hole, around): (Vec<_>, Vec<_>) =
        bytes.iter().enumerate().partition(|(at, _)| (1 << 18..3 << 18).contains(at));
    assert!(hole.iter().all(|(_, byte)| **byte == 0) && around.iter().all(|(_, byte)| **byte == 7));
    // And can be had again.
    file.preallocate(1 << 18, 1 << 19).unwrap();
    file.write_all_at(b"again", 1 << 18).unwrap();
    assert!(file.give_back(0, 0).unwrap());
}
