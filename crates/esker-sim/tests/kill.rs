//! A killed process takes nothing with it and syncs nothing.

use esker_sim::{Faults, SimStorage, is_power_off};
use esker_storage::{Access, Storage};

#[test]
fn what_a_killed_process_wrote_is_there_and_not_durable() {
    let disk = SimStorage::new(1, Faults::default());
    let file = disk.create("file").unwrap();
    file.write_all_at(b"synced", 0).unwrap();
    file.sync_all().unwrap();
    disk.sync_dir().unwrap();
    file.write_all_at(b"cached", 1000).unwrap();
    let lock = disk.lock("lock").unwrap();

    let next = disk.kill();
    assert!(is_power_off(&file.write_all_at(b"ghost", 0).unwrap_err()));
    drop(lock);
    let _relocked = next.lock("lock").unwrap();
    let mut bytes = [0; 6];
    next.open("file", Access::Read).unwrap().read_exact_at(&mut bytes, 1000).unwrap();
    assert_eq!(&bytes, b"cached");

    next.crash();
    let lengths: Vec<u64> =
        (0..200).map(|seed| next.after_crash(seed).open("file", Access::Read).unwrap().len().unwrap()).collect();
    assert!(lengths.contains(&6) && lengths.contains(&1006), "{lengths:?}");
}

#[test]
fn a_snapshot_and_its_disk_go_their_own_ways() {
    let disk = SimStorage::new(1, Faults::default());
    let file = disk.create("file").unwrap();
    file.write_all_at(b"before", 0).unwrap();
    disk.sync_dir().unwrap();
    let _lock = disk.lock("lock").unwrap();

    let snapshot = disk.snapshot();
    file.write_all_at(b"after", 0).unwrap();
    file.sync_all().unwrap();
    let _lock_of_its_own = snapshot.lock("lock").unwrap();
    // What was un-synced then may be lost, and what was written later is not there.
    let contents: Vec<_> = (0..200)
        .map(|seed| {
            let left = snapshot.after_crash(seed).open("file", Access::Read).unwrap();
            let mut bytes = vec![0; left.len().unwrap() as usize];
            left.read_exact_at(&mut bytes, 0).unwrap();
            bytes
        })
        .collect();
    for possible in [&b""[..], b"before", &[0; 6]] {
        assert!(contents.iter().any(|bytes| bytes == possible), "{possible:?}");
    }
    assert!(contents.iter().all(|bytes| !bytes.starts_with(b"after")));
    // The disk itself goes on.
    let mut bytes = [0; 5];
    disk.after_crash(1).open("file", Access::Read).unwrap().read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"after");
}
