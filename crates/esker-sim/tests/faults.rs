//! Failing calls, full disks and counters, clause by clause.

use std::{
    io::{self, ErrorKind, IoSlice},
    sync::Arc,
};

use esker_sim::{Counts, Failures, Faults, Probability, SECTOR_BYTES, SimStorage, is_injected, is_power_off};
use esker_storage::{Access, LockError, Storage, StorageFile, is_out_of_space};

const SECTOR: u64 = SECTOR_BYTES as u64;

fn read(disk: &SimStorage, name: &str) -> Vec<u8> {
    let file = disk.open(name, Access::Read).unwrap();
    let mut bytes = vec![0xee; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn durable(disk: &SimStorage, name: &str, bytes: &[u8]) -> Arc<dyn StorageFile> {
    let file = disk.create(name).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync_all().unwrap();
    disk.sync_dir().unwrap();
    file
}

/// Makes each kind of call once, in an order in which each can succeed, and returns what came of each.
fn each_call(disk: &SimStorage) -> Vec<(&'static str, io::Result<()>)> {
    let mut results = Vec::new();
    let created = disk.create("a");
    let made = created.as_ref().ok().map(Arc::clone);
    results.push(("create", created.map(drop)));
    let file = made.unwrap_or_else(|| disk.create("a").unwrap());
    results.push(("write", file.write_all_at(b"abc", 0)));
    results.push(("write", file.write_all_vectored_at(&[IoSlice::new(b"d"), IoSlice::new(b"e")], 3)));
    results.push(("len", file.len().map(drop)));
    results.push(("set_len", file.set_len(100)));
    results.push(("preallocate", file.preallocate(0, 200)));
    results.push(("read", file.read_at(&mut [0; 3], 0).map(drop)));
    results.push(("sync_data", file.sync_data()));
    results.push(("sync_all", file.sync_all()));
    results.push(("open", disk.open("a", Access::Read).map(drop)));
    results.push(("sync_dir", disk.sync_dir()));
    results.push(("list", disk.list().map(drop)));
    let renamed = disk.rename("a", "b");
    let name = if renamed.is_ok() { "b" } else { "a" };
    results.push(("rename", renamed));
    results.push(("remove", disk.remove(name)));
    let lock = |name| match disk.lock(name) {
        Ok(_) => Ok(()),
        Err(LockError::Io(error)) => Err(error),
        Err(other) => panic!("{other:?}"),
    };
    results.push(("lock", lock("lock")));
    results.push(("lock", lock("lock")));
    results
}

#[test]
fn calls_are_counted_by_kind() {
    let disk = SimStorage::new(0, Faults::default());
    for (call, result) in each_call(&disk) {
        result.unwrap_or_else(|error| panic!("{call}: {error}"));
    }
    let counts = disk.counts();
    let kinds = [
        ("creates, with that of the lock's file", counts.creates, 2),
        ("opens", counts.opens, 1),
        ("removes", counts.removes, 1),
        ("renames", counts.renames, 1),
        ("lists", counts.lists, 1),
        ("locks of a file that was there", counts.locks, 1),
        ("syncs of the directory", counts.dir_syncs, 1),
        ("reads", counts.reads, 1),
        ("writes", counts.writes, 2),
        ("lens", counts.lens, 1),
        ("set_lens", counts.set_lens, 1),
        ("preallocations", counts.preallocations, 1),
        ("syncs of data", counts.data_syncs, 1),
        ("full syncs", counts.full_syncs, 1),
        ("bytes written", counts.bytes_written, 5),
        ("bytes read", counts.bytes_read, 3),
        ("syncs", counts.syncs(), 2),
        ("changing calls", counts.changing(), 11),
    ];
    for (what, found, expected) in kinds {
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn calls_that_the_contract_refuses_are_not_counted() {
    let disk = SimStorage::new(0, Faults::default());
    let file = disk.create("a").unwrap();
    let counts = disk.counts();
    disk.create("a").unwrap_err();
    disk.create("a/b").unwrap_err();
    disk.open("absent", Access::Read).unwrap_err();
    disk.remove("absent").unwrap_err();
    disk.rename("absent", "b").unwrap_err();
    disk.rename("a", "a").unwrap();
    file.write_all_at(b"x", u64::MAX).unwrap_err();
    file.write_all_at(b"", 0).unwrap();
    file.preallocate(0, 0).unwrap();
    assert_eq!(disk.counts(), counts);
}

#[test]
fn each_kind_of_call_fails_by_its_own_switch() {
    let always = Failures::since(0);
    let default = Faults::default;
    let table: [(Faults, &[&str]); 8] = [
        (Faults { read_error: always, ..default() }, &["read"]),
        (Faults { write_error: always, ..default() }, &["write"]),
        (Faults { short_write: always, ..default() }, &["write"]),
        (Faults { len_error: always, ..default() }, &["len"]),
        (Faults { length_error: always, ..default() }, &["set_len", "preallocate"]),
        (Faults { sync_error: always, ..default() }, &["sync_data", "sync_all"]),
        (Faults { dir_sync_error: always, ..default() }, &["sync_dir"]),
        // The very first call, which is a creation, succeeds, so that there is a file.
        (Faults { dir_error: Failures::since(1), ..default() }, &["open", "list", "rename", "remove", "lock"]),
    ];
    for (faults, failing) in table {
        for (call, result) in each_call(&SimStorage::new(0, faults.clone())) {
            assert_eq!(result.is_err(), failing.contains(&call), "{call} under {faults:?}");
            if let Err(error) = result {
                assert!(is_injected(&error), "{call}: {error:?}");
            }
        }
    }
}

#[test]
fn the_nth_call_fails_once() {
    let disk = SimStorage::new(0, Faults { write_error: Failures::nth(2), ..Faults::default() });
    let file = disk.create("a").unwrap();
    let failed: Vec<bool> = (0..5).map(|_| file.write_all_at(b"x", 0).is_err()).collect();
    assert_eq!(failed, [false, false, true, false, false]);
}

#[test]
fn random_failures_come_at_their_rate() {
    let faults = Faults { read_error: Failures::with(Probability::one_in(10)), ..Faults::default() };
    let disk = SimStorage::new(5, faults);
    let file = disk.create("a").unwrap();
    let failed = (0..10_000).filter(|_| file.read_at(&mut [0], 0).is_err()).count();
    assert!((800..1200).contains(&failed), "{failed} of 10000 failed");
}

#[test]
fn a_failed_directory_call_changes_nothing() {
    let disk = SimStorage::new(0, Faults::default());
    drop(durable(&disk, "a", b"kept"));
    disk.set_faults(Faults { dir_error: Failures::since(0), ..Faults::default() });
    disk.create("b").unwrap_err();
    disk.remove("a").unwrap_err();
    disk.rename("a", "c").unwrap_err();
    assert!(matches!(disk.lock("lock"), Err(LockError::Io(error)) if is_injected(&error)));
    disk.set_faults(Faults::default());
    assert_eq!(disk.list().unwrap(), ["a"]);
    assert_eq!(read(&disk, "a"), b"kept");
}

#[test]
fn a_failed_write_has_written_any_sectors_of_its_range() {
    let mut patterns = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let disk = SimStorage::new(seed, Faults { write_error: Failures::nth(1), ..Faults::default() });
        let file = durable(&disk, "a", &[b'o'; 4 * SECTOR_BYTES]);
        file.write_all_at(&[b'n'; 2 * SECTOR_BYTES], SECTOR).unwrap_err();
        let bytes = read(&disk, "a");
        patterns.insert([0, 1, 2, 3].map(|sector| bytes[sector * SECTOR_BYTES] as char));
        for sector in bytes.chunks(SECTOR_BYTES) {
            assert!(sector.iter().all(|&byte| byte == sector[0]));
        }
    }
    let expected = ["oooo", "onoo", "oono", "onno"].map(|pattern| {
        let mut letters = pattern.chars();
        [(); 4].map(|()| letters.next().unwrap())
    });
    assert_eq!(patterns, expected.into());
}

#[test]
fn a_short_write_stops_at_any_byte_and_is_an_error() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let disk = SimStorage::new(seed, Faults { short_write: Failures::nth(0), ..Faults::default() });
        let file = disk.create("a").unwrap();
        let error = file.write_all_at(b"abcde", 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WriteZero);
        let bytes = read(&disk, "a");
        assert!(b"abcde".starts_with(&bytes), "{bytes:?}");
        lengths.insert(bytes.len());
    }
    assert_eq!(lengths, (0..5).collect(), "never all of it");
}

#[test]
fn a_failed_read_leaves_noise() {
    let disk = SimStorage::new(0, Faults { read_error: Failures::nth(0), ..Faults::default() });
    let file = durable(&disk, "a", b"abc");
    let mut bytes = *b"abc";
    assert!(is_injected(&file.read_at(&mut bytes, 0).unwrap_err()));
    assert_ne!(&bytes, b"abc");
    assert_eq!(read(&disk, "a"), b"abc");
}

/// After a failed sync a second one succeeds and proves nothing.
#[test]
fn a_failed_sync_drops_data_that_no_retry_saves() {
    let (mut lost, mut survived) = (0, 0);
    for seed in 0..200 {
        let disk = SimStorage::new(seed, Faults { sync_error: Failures::nth(1), ..Faults::default() });
        let file = durable(&disk, "a", b"old");
        file.write_all_at(b"new", 0).unwrap();
        assert!(is_injected(&file.sync_data().unwrap_err()));
        assert_eq!(read(&disk, "a"), b"new", "readers do not notice");
        file.sync_data().unwrap();
        file.sync_all().unwrap();
        // Whether it reached the disk was decided at the failure: every image says the same.
        let images: Vec<Vec<u8>> = (0..20).map(|seed| read(&disk.after_crash(seed), "a")).collect();
        match &images[0][..] {
            b"old" => lost += 1,
            b"new" => survived += 1,
            other => panic!("{other:?}"),
        }
        assert!(images.iter().all(|image| *image == images[0]));

        // Writing it again helps.
        file.write_all_at(b"new", 0).unwrap();
        file.sync_data().unwrap();
        assert_eq!(read(&disk.after_crash(0), "a"), b"new");
    }
    assert!(lost > 20 && survived > 20, "{lost} lost, {survived} survived");
}

#[test]
fn a_failed_sync_may_drop_the_length() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let disk = SimStorage::new(seed, Faults { sync_error: Failures::nth(1), ..Faults::default() });
        let file = durable(&disk, "a", b"");
        file.set_len(10).unwrap();
        file.sync_data().unwrap_err();
        file.sync_data().unwrap();
        assert_eq!(file.len().unwrap(), 10);
        lengths.insert(read(&disk.after_crash(0), "a").len());
    }
    assert_eq!(lengths, [0, 10].into());
}

#[test]
fn a_failed_sync_leaves_what_was_synced_before() {
    let disk = SimStorage::new(3, Faults { sync_error: Failures::nth(1), ..Faults::default() });
    let file = durable(&disk, "a", &[b'o'; 2 * SECTOR_BYTES]);
    file.write_all_at(&[b'n'; SECTOR_BYTES], SECTOR).unwrap();
    file.sync_data().unwrap_err();
    for seed in 0..100 {
        let left = read(&disk.after_crash(seed), "a");
        assert!(left[..SECTOR_BYTES] == [b'o'; SECTOR_BYTES]);
    }
}

#[test]
fn a_failed_directory_sync_drops_names_that_no_retry_saves() {
    let (mut lost, mut survived) = (0, 0);
    for seed in 0..100 {
        let disk = SimStorage::new(seed, Faults { dir_sync_error: Failures::nth(0), ..Faults::default() });
        disk.create("a").unwrap();
        assert!(is_injected(&disk.sync_dir().unwrap_err()));
        disk.sync_dir().unwrap();
        assert_eq!(disk.list().unwrap(), ["a"], "readers do not notice");
        if disk.after_crash(0).list().unwrap().is_empty() { lost += 1 } else { survived += 1 }
    }
    assert!(lost > 20 && survived > 20, "{lost} lost, {survived} survived");
}

fn disk_of_sectors(sectors: u64) -> SimStorage {
    SimStorage::new(0, Faults { capacity_bytes: Some(sectors * SECTOR), ..Faults::default() })
}

#[test]
fn a_full_disk_refuses_and_keeps_what_it_has() {
    let disk = disk_of_sectors(4);
    let file = disk.create("a").unwrap();
    file.write_all_at(&[1; 3 * SECTOR_BYTES], 0).unwrap();
    // A part fits.
    let error = file.write_all_at(&[2; 2 * SECTOR_BYTES], 3 * SECTOR).unwrap_err();
    assert!(is_out_of_space(&error) && !is_injected(&error), "{error:?}");
    assert_eq!(read(&disk, "a"), [[1; 3 * SECTOR_BYTES].as_slice(), &[2; SECTOR_BYTES]].concat());
    // What is there can be overwritten and synced, and files can be made that hold nothing.
    file.write_all_at(&[3; 4 * SECTOR_BYTES], 0).unwrap();
    file.sync_data().unwrap();
    let other = disk.create("b").unwrap();
    other.set_len(1 << 30).unwrap();
    assert!(is_out_of_space(&other.write_all_at(b"x", 0).unwrap_err()));
    assert_eq!(read(&disk, "a"), [3; 4 * SECTOR_BYTES]);
}

#[test]
fn preallocation_is_a_promise_kept_on_a_full_disk() {
    let disk = disk_of_sectors(8);
    let file = disk.create("a").unwrap();
    file.preallocate(0, 4 * SECTOR).unwrap();
    let other = disk.create("b").unwrap();
    let error = other.preallocate(0, 5 * SECTOR).unwrap_err();
    assert!(is_out_of_space(&error), "{error:?}");
    assert_eq!(other.len().unwrap(), 0, "all or nothing");
    other.write_all_at(&[1; 4 * SECTOR_BYTES], 0).unwrap();
    assert!(is_out_of_space(&other.write_all_at(b"x", 4 * SECTOR).unwrap_err()));
    file.write_all_at(&[2; 4 * SECTOR_BYTES], 0).unwrap();
    // It is kept after a crash too, once it was synced.
    file.sync_all().unwrap();
    disk.sync_dir().unwrap();
}

#[test]
fn synced_preallocation_is_kept_through_a_crash() {
    let disk = disk_of_sectors(4);
    let file = disk.create("a").unwrap();
    file.preallocate(0, 3 * SECTOR).unwrap();
    file.sync_all().unwrap();
    disk.sync_dir().unwrap();
    disk.crash();
    for seed in 0..20 {
        let left = disk.after_crash_with(seed, disk.faults());
        let other = left.create("b").unwrap();
        other.write_all_at(&[1; SECTOR_BYTES], 0).unwrap();
        assert!(is_out_of_space(&other.write_all_at(b"x", SECTOR).unwrap_err()));
        left.open("a", Access::ReadWrite).unwrap().write_all_at(&[1; 3 * SECTOR_BYTES], 0).unwrap();
    }
}

#[test]
fn room_comes_back_by_cutting_removing_and_growing_the_disk() {
    let disk = disk_of_sectors(4);
    let file = disk.create("a").unwrap();
    file.write_all_at(&[1; 4 * SECTOR_BYTES], 0).unwrap();
    let other = disk.create("b").unwrap();
    let fits = |sectors: usize| other.write_all_at(&vec![2; sectors * SECTOR_BYTES], 0).is_ok();
    assert!(!fits(1));
    file.set_len(2 * SECTOR).unwrap();
    assert!(fits(2) && !fits(3));
    disk.remove("a").unwrap();
    assert!(!fits(3), "an open handle keeps the space of a removed file");
    drop(file);
    assert!(fits(4) && !fits(5));
    disk.set_faults(Faults { capacity_bytes: Some(5 * SECTOR), ..Faults::default() });
    assert!(fits(5));
}

#[test]
fn the_power_fails_in_the_middle_of_the_chosen_call() {
    // Create, write, sync, sync_dir, write, sync: the power fails in each of them, and after all.
    let run = |faults: Faults| {
        let disk = SimStorage::new(0, faults);
        let mut done = 0;
        let mut steps = || -> io::Result<()> {
            let file = disk.create("a")?;
            done += 1;
            for byte in [b'1', b'2'] {
                file.write_all_at(&[byte; 2 * SECTOR_BYTES], 0)?;
                done += 1;
                file.sync_data()?;
                done += 1;
                if byte == b'1' {
                    disk.sync_dir()?;
                    done += 1;
                }
            }
            Ok(())
        };
        let result = steps();
        (disk, done, result)
    };
    for ops in 0..=6 {
        let (disk, done, result) = run(Faults { crash_after_ops: Some(ops), ..Faults::default() });
        assert_eq!(done, ops, "calls that succeeded");
        assert_eq!(disk.is_on(), ops == 6);
        assert_eq!(result.is_ok(), ops == 6);
        assert!(result.as_ref().map_or_else(is_power_off, |()| true));
        let outcomes: std::collections::BTreeSet<Option<(u8, u8)>> = (0..200)
            .map(|seed| {
                let left = disk.after_crash(seed);
                let file = left.open("a", Access::Read).ok()?;
                let mut bytes = [b'-'; 2 * SECTOR_BYTES];
                file.read_at(&mut bytes, 0).unwrap();
                Some((bytes[0], bytes[2 * SECTOR_BYTES - 1]))
            })
            .collect();
        let torn = outcomes.contains(&Some((b'1', b'2'))) && outcomes.contains(&Some((b'2', b'1')));
        let lost = outcomes.contains(&None);
        // The write that is cut short, and the sync that should have covered it, leave any part of it.
        assert_eq!(torn, ops == 4 || ops == 5, "torn at {ops}: {outcomes:?}");
        assert_eq!(lost, ops < 4, "lost at {ops}: {outcomes:?}");
        if ops == 6 {
            assert_eq!(outcomes, [Some((b'2', b'2'))].into());
        }
    }
}

#[test]
fn reads_and_failed_calls_do_not_shift_the_crash_point_unless_they_change() {
    let faults = Faults { crash_after_ops: Some(2), write_error: Failures::nth(0), ..Faults::default() };
    let disk = SimStorage::new(0, faults);
    let file = disk.create("a").unwrap();
    for _ in 0..10 {
        file.read_at(&mut [0; 4], 0).unwrap();
        disk.list().unwrap();
    }
    assert!(is_injected(&file.write_all_at(b"x", 0).unwrap_err()), "a failed write is a changing call");
    assert!(is_power_off(&file.write_all_at(b"x", 0).unwrap_err()));
    assert_eq!(disk.counts().changing(), 3);
}

#[test]
fn the_same_seed_and_calls_give_the_same_everything() {
    let run = |seed| {
        let faults = Faults {
            write_error: Failures::with(Probability::one_in(5)),
            sync_error: Failures::with(Probability::one_in(3)),
            garbage: Probability::one_in(4),
            ..Faults::default()
        };
        let disk = SimStorage::new(seed, faults);
        let file = disk.create("a").unwrap();
        let mut answers: Vec<bool> = Vec::new();
        for i in 0..50u64 {
            answers.push(file.write_all_at(&[i as u8; 1300], i * 100).is_ok());
            answers.push(file.sync_data().is_ok());
        }
        disk.sync_dir().unwrap();
        file.write_all_at(&[0xab; 2000], 300).unwrap_or(());
        let images: Vec<Vec<u8>> = (0..5).map(|seed| read(&disk.after_crash(seed), "a")).collect();
        (answers, images, disk.counts())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0, "another seed fails elsewhere");
    let (_, images, _): (_, _, Counts) = run(1);
    assert_ne!(images[0], images[1], "another crash seed leaves something else");
}
