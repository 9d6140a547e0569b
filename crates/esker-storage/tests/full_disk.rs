//! A full disk, for real. This needs a small file system, which only an administrator can make:
//!
//! ```text
//! mount -t tmpfs -o size=4m none /mnt/small
//! ESKER_SMALL_DISK=/mnt/small cargo test -p esker-storage --test full_disk -- --ignored
//! ```

use esker_storage::{FileStorage, Storage, is_out_of_space};

#[test]
#[ignore = "needs a small file system: set ESKER_SMALL_DISK to a directory on one of at most 64 MiB"]
fn a_full_disk_refuses_and_destroys_nothing_and_recovers_when_there_is_room() {
    let path = std::env::var_os("ESKER_SMALL_DISK").expect("ESKER_SMALL_DISK");
    let storage = FileStorage::open(path).unwrap();
    let ballast = storage.create("ballast").unwrap();
    ballast.preallocate(0, 1 << 20).unwrap();
    let file = storage.create("file").unwrap();
    file.write_all_at(b"kept", 100).unwrap();
    file.sync_all().unwrap();

    let error = file.preallocate(0, 64 << 20).unwrap_err();
    assert!(is_out_of_space(&error), "{error:?}");
    assert_eq!(file.len().unwrap(), 104, "the length is as before");

    // What was reserved has to be given back: half of the disk still fits, and then really can be written.
    file.preallocate(0, 1 << 20).unwrap();
    let mut filled = 1 << 20;
    let chunk = vec![7; 1 << 16];
    let error = loop {
        match ballast.write_all_at(&chunk, filled) {
            Ok(()) => filled += chunk.len() as u64,
            Err(error) => break error,
        }
    };
    assert!(is_out_of_space(&error), "{error:?}");
    for at in (4096..1 << 20).step_by(4096) {
        file.write_all_at(&chunk[..4096], at).expect("a write into reserved space on a full disk");
    }
    file.sync_data().unwrap();

    let mut bytes = [0xee; 105];
    file.read_exact_at(&mut bytes[..104], 0).unwrap();
    assert_eq!((&bytes[..100], &bytes[100..104]), (&[0; 100][..], &b"kept"[..]));

    storage.remove("ballast").unwrap();
    drop(ballast);
    file.write_all_at(&chunk, 1 << 20).expect("a write once there is room again");
    storage.remove("file").unwrap();
}
