//! What a power cut may leave, clause by clause: each outcome that the fault model allows is seen in some seeds, and no
//! other in any.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use esker_sim::{Faults, Probability, SECTOR_BYTES, SimStorage, Survival, is_power_off};
use esker_storage::{Access, LockError, Storage, StorageFile};

const SEEDS: u64 = 400;

fn disk() -> SimStorage {
    SimStorage::new(0, Faults::default())
}

fn surviving(survival: Survival) -> SimStorage {
    SimStorage::new(0, Faults { survival: Some(survival), ..Faults::default() })
}

/// A file that is durable with its name, holding these bytes.
fn durable(disk: &SimStorage, name: &str, bytes: &[u8]) -> Arc<dyn StorageFile> {
    let file = disk.create(name).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync_all().unwrap();
    disk.sync_dir().unwrap();
    file
}

fn read(disk: &SimStorage, name: &str) -> Option<Vec<u8>> {
    let file = match disk.open(name, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        file => file.unwrap(),
    };
    let mut bytes = vec![0xee; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    Some(bytes)
}

/// How often each outcome was seen over many seeds.
fn outcomes<T: Ord>(disk: &SimStorage, look: impl Fn(&SimStorage) -> T) -> BTreeMap<T, u64> {
    let mut seen = BTreeMap::new();
    for seed in 0..SEEDS {
        *seen.entry(look(&disk.after_crash(seed))).or_default() += 1;
    }
    seen
}

/// Checks that exactly these outcomes are seen, each in at least one seed in a hundred.
fn check<T: Ord + std::fmt::Debug>(disk: &SimStorage, look: impl Fn(&SimStorage) -> T, expected: &[T]) {
    let seen = outcomes(disk, look);
    for outcome in expected {
        let count = seen.get(outcome).copied().unwrap_or(0);
        assert!(count >= SEEDS / 100, "{outcome:?} was seen {count} times in {SEEDS}; seen: {seen:?}");
    }
    for outcome in seen.keys() {
        assert!(expected.contains(outcome), "{outcome:?} is not among {expected:?}");
    }
}

#[test]
fn synced_data_under_a_synced_name_always_survives() {
    let disk = disk();
    let bytes: Vec<u8> = (0..5000).map(|i| i as u8).collect();
    let _file = durable(&disk, "file", &bytes);
    check(&disk, |left| read(left, "file"), &[Some(bytes)]);
}

#[test]
fn an_unsynced_creation_may_be_lost_with_all_synced_data() {
    let disk = disk();
    let file = disk.create("file").unwrap();
    file.write_all_at(b"synced", 0).unwrap();
    file.sync_all().unwrap();
    check(&disk, |left| read(left, "file"), &[None, Some(b"synced".to_vec())]);
}

#[test]
fn unsynced_data_and_its_length_survive_apart() {
    let disk = disk();
    let file = durable(&disk, "file", b"");
    file.write_all_at(b"ab", 0).unwrap();
    // Length without data, and data without length, are seen as zeros and as nothing.
    check(&disk, |left| read(left, "file").unwrap(), &[b"".to_vec(), b"\0\0".to_vec(), b"ab".to_vec()]);
}

#[test]
fn unsynced_data_of_a_file_with_its_length_synced_may_be_lost() {
    let disk = disk();
    let file = durable(&disk, "file", b"old");
    file.write_all_at(b"new", 0).unwrap();
    check(&disk, |left| read(left, "file").unwrap(), &[b"old".to_vec(), b"new".to_vec()]);
}

#[test]
fn each_version_of_a_sector_may_be_the_one_that_survives() {
    let disk = disk();
    let file = durable(&disk, "file", b"0000");
    for (at, byte) in [(0, b"1"), (1, b"2"), (2, b"3")] {
        file.write_all_at(byte, at).unwrap();
    }
    let versions = [b"0000", b"1000", b"1200", b"1230"].map(|version| version.to_vec());
    check(&disk, |left| read(left, "file").unwrap(), &versions);
}

#[test]
fn a_write_is_torn_between_sectors_in_any_pattern_but_never_inside_one() {
    let disk = disk();
    let file = durable(&disk, "file", &[b'o'; 3 * SECTOR_BYTES]);
    file.write_all_at(&[b'n'; 3 * SECTOR_BYTES], 0).unwrap();
    let sectors = |left: &SimStorage| {
        let bytes = read(left, "file").unwrap();
        let whole = |sector: &[u8]| sector.iter().all(|&byte| byte == sector[0]).then_some(sector[0]);
        bytes.chunks(SECTOR_BYTES).map(|sector| whole(sector).expect("a sector torn inside") as char).collect()
    };
    let patterns = ["ooo", "oon", "ono", "onn", "noo", "non", "nno", "nnn"].map(str::to_owned);
    check(&disk, sectors, &patterns);
}

#[test]
fn a_write_across_a_border_touches_no_neighbouring_byte() {
    let disk = disk();
    let file = durable(&disk, "file", &[b'o'; 2 * SECTOR_BYTES]);
    file.write_all_at(b"nn", SECTOR_BYTES as u64 - 1).unwrap();
    let image = |front: u8, back: u8| {
        let mut bytes = vec![b'o'; 2 * SECTOR_BYTES];
        (bytes[SECTOR_BYTES - 1], bytes[SECTOR_BYTES]) = (front, back);
        bytes
    };
    let images = [image(b'o', b'o'), image(b'o', b'n'), image(b'n', b'o'), image(b'n', b'n')];
    check(&disk, |left| read(left, "file").unwrap(), &images);
}

#[test]
fn writes_to_two_files_survive_in_any_order() {
    let disk = disk();
    let (first, second) = (durable(&disk, "first", b"o"), durable(&disk, "second", b"o"));
    first.write_all_at(b"n", 0).unwrap();
    second.write_all_at(b"n", 0).unwrap();
    let both = |left: &SimStorage| (read(left, "first").unwrap()[0] as char, read(left, "second").unwrap()[0] as char);
    check(&disk, both, &[('o', 'o'), ('o', 'n'), ('n', 'o'), ('n', 'n')]);
}

#[test]
fn an_unsynced_cut_may_be_undone() {
    let disk = disk();
    let file = durable(&disk, "file", b"long");
    file.set_len(1).unwrap();
    check(&disk, |left| read(left, "file").unwrap(), &[b"long".to_vec(), b"l".to_vec(), b"l\0\0\0".to_vec()]);
    file.sync_data().unwrap();
    check(&disk, |left| read(left, "file").unwrap(), &[b"l".to_vec()]);
}

#[test]
fn a_cut_and_regrown_file_never_shows_what_was_cut_once_synced() {
    let disk = disk();
    let file = durable(&disk, "file", &[7; 1500]);
    file.set_len(600).unwrap();
    file.set_len(1500).unwrap();
    file.sync_data().unwrap();
    let mut expected = vec![7; 600];
    expected.resize(1500, 0);
    check(&disk, |left| read(left, "file").unwrap(), &[expected]);
}

#[test]
fn data_beyond_a_lost_length_is_gone_for_good() {
    let disk = disk();
    let file = durable(&disk, "file", b"o");
    file.write_all_at(b"abc", 0).unwrap();
    let regrown = |left: &SimStorage| {
        let before = read(left, "file").unwrap();
        left.open("file", Access::ReadWrite).unwrap().set_len(3).unwrap();
        (before, read(left, "file").unwrap())
    };
    let outcomes = [(&b"o"[..], b"o\0\0"), (b"a", b"a\0\0"), (b"o\0\0", b"o\0\0"), (b"abc", b"abc")];
    check(&disk, regrown, &outcomes.map(|(before, after)| (before.to_vec(), after.to_vec())));
}

#[test]
fn preallocated_length_is_durable_only_after_a_sync() {
    let disk = disk();
    let file = durable(&disk, "file", b"kept");
    file.preallocate(0, 1000).unwrap();
    let len = |left: &SimStorage| read(left, "file").unwrap().len();
    check(&disk, len, &[4, 1000]);
    file.sync_data().unwrap();
    check(&disk, len, &[1000]);
}

#[test]
fn an_unsynced_removal_may_come_back() {
    let disk = disk();
    drop(durable(&disk, "file", b"bytes"));
    disk.remove("file").unwrap();
    check(&disk, |left| read(left, "file"), &[None, Some(b"bytes".to_vec())]);
    disk.sync_dir().unwrap();
    check(&disk, |left| read(left, "file"), &[None]);
}

#[test]
fn an_unsynced_rename_happened_or_did_not() {
    let disk = disk();
    drop(durable(&disk, "to", b"old"));
    drop(durable(&disk, "from", b"new"));
    disk.rename("from", "to").unwrap();
    let both = |left: &SimStorage| (read(left, "from"), read(left, "to").unwrap());
    check(&disk, both, &[(Some(b"new".to_vec()), b"old".to_vec()), (None, b"new".to_vec())]);
    disk.sync_dir().unwrap();
    check(&disk, both, &[(None, b"new".to_vec())]);
}

#[test]
fn a_renamed_file_whose_data_was_not_synced_may_be_empty() {
    let disk = disk();
    drop(durable(&disk, "to", b"old"));
    disk.create("from").unwrap().write_all_at(b"new", 0).unwrap();
    disk.rename("from", "to").unwrap();
    disk.sync_dir().unwrap();
    let outcomes = [b"".to_vec(), b"\0\0\0".to_vec(), b"new".to_vec()];
    check(&disk, |left| read(left, "to").unwrap(), &outcomes);
}

#[test]
fn a_file_never_has_two_names_whichever_renames_survive() {
    let disk = disk();
    drop(durable(&disk, "a", b"x"));
    disk.rename("a", "b").unwrap();
    disk.rename("b", "c").unwrap();
    let names = |name: &str| vec![name.to_owned()];
    check(&disk, |left| left.list().unwrap(), &[names("a"), names("b"), names("c")]);
}

#[test]
fn directory_changes_survive_in_any_order() {
    let disk = disk();
    for name in ["a", "b", "c"] {
        disk.create(name).unwrap();
    }
    let subsets: Vec<Vec<String>> =
        [&[][..], &["a"], &["b"], &["c"], &["a", "b"], &["a", "c"], &["b", "c"], &["a", "b", "c"]]
            .iter()
            .map(|names| names.iter().map(|&name| name.to_owned()).collect())
            .collect();
    check(&disk, |left| left.list().unwrap(), &subsets);
}

#[test]
fn a_name_taken_again_means_the_old_file_the_new_one_or_none() {
    let disk = disk();
    drop(durable(&disk, "a", b"old"));
    disk.remove("a").unwrap();
    let file = disk.create("a").unwrap();
    file.write_all_at(b"new", 0).unwrap();
    file.sync_all().unwrap();
    check(&disk, |left| read(left, "a"), &[None, Some(b"old".to_vec()), Some(b"new".to_vec())]);
}

/// Three un-synced facts in the order in which they were made, and a fourth in another file.
fn four_facts(survival: Survival) -> SimStorage {
    let disk = surviving(survival);
    let (first, second) = (durable(&disk, "first", b"oo"), durable(&disk, "second", b"o"));
    first.write_all_at(b"n", 0).unwrap();
    second.write_all_at(b"n", 0).unwrap();
    disk.create("third").unwrap();
    first.write_all_at(b"m", 0).unwrap();
    disk
}

fn facts(left: &SimStorage) -> String {
    let third = if read(left, "third").is_some() { "+" } else { "-" };
    let data = ["first", "second"].map(|name| read(left, name).unwrap()[0] as char);
    format!("{}{}{third}", data[0], data[1])
}

#[test]
fn the_named_survivals_leave_what_they_say() {
    check(&four_facts(Survival::Nothing), facts, &["oo-".to_owned()]);
    check(&four_facts(Survival::Everything), facts, &["mn+".to_owned()]);
    let prefixes = ["oo-", "no-", "nn-", "nn+", "mn+"].map(str::to_owned);
    check(&four_facts(Survival::Prefix), facts, &prefixes);
    let subsets: Vec<String> = ["o", "n", "m"]
        .iter()
        .flat_map(|first| ["o-", "o+", "n-", "n+"].map(|rest| format!("{first}{rest}")))
        .collect();
    check(&four_facts(Survival::Subset), facts, &subsets);
}

#[test]
fn a_prefix_tears_only_the_last_write() {
    let disk = surviving(Survival::Prefix);
    let file = durable(&disk, "file", &[b'o'; 2 * SECTOR_BYTES]);
    for byte in [b'1', b'2'] {
        file.write_all_at(&[byte; 2 * SECTOR_BYTES], 0).unwrap();
    }
    let ends = |left: &SimStorage| {
        let bytes = read(left, "file").unwrap();
        (bytes[0] as char, bytes[2 * SECTOR_BYTES - 1] as char)
    };
    let possible = [('o', 'o'), ('1', 'o'), ('o', '1'), ('1', '1'), ('2', '1'), ('1', '2'), ('2', '2')];
    check(&disk, ends, &possible);
}

#[test]
fn garbage_appears_only_in_unsynced_sectors_and_only_if_asked_for() {
    let run = |garbage| {
        let disk = SimStorage::new(0, Faults { garbage, ..Faults::default() });
        let file = durable(&disk, "file", &[b'o'; 2 * SECTOR_BYTES]);
        file.write_all_at(&[b'n'; SECTOR_BYTES], SECTOR_BYTES as u64).unwrap();
        outcomes(&disk, |left| {
            let bytes = read(left, "file").unwrap();
            assert!(bytes[..SECTOR_BYTES] == [b'o'; SECTOR_BYTES], "a synced sector changed");
            let back = &bytes[SECTOR_BYTES..];
            back != [b'o'; SECTOR_BYTES] && back != [b'n'; SECTOR_BYTES]
        })
    };
    assert_eq!(run(Probability::NEVER).keys().collect::<Vec<_>>(), [&false]);
    assert_eq!(run(Probability::ALWAYS).keys().collect::<Vec<_>>(), [&true]);
    assert_eq!(run(Probability::one_in(2)).len(), 2);
}

#[test]
fn a_disk_that_lies_about_syncs_may_lose_what_was_synced() {
    let disk = SimStorage::new(0, Faults { ignore_sync: true, ..Faults::default() });
    drop(durable(&disk, "file", b"x"));
    check(&disk, |left| read(left, "file").unwrap(), &[b"".to_vec(), b"\0".to_vec(), b"x".to_vec()]);
}

#[test]
fn a_disk_that_lies_about_directory_syncs_may_lose_the_name() {
    let disk = SimStorage::new(0, Faults { ignore_sync_dir: true, ..Faults::default() });
    drop(durable(&disk, "file", b"x"));
    check(&disk, |left| read(left, "file"), &[None, Some(b"x".to_vec())]);
}

#[test]
fn once_the_power_is_off_every_call_fails_and_no_lock_is_held() {
    let disk = disk();
    let file = durable(&disk, "file", b"x");
    let lock = disk.lock("lock").unwrap();
    disk.sync_dir().unwrap();
    assert!(disk.is_on());
    disk.crash();
    assert!(!disk.is_on());
    let counts = disk.counts();
    let errors = [
        ("create", disk.create("new").unwrap_err()),
        ("open", disk.open("file", Access::Read).unwrap_err()),
        ("remove", disk.remove("file").unwrap_err()),
        ("rename", disk.rename("file", "new").unwrap_err()),
        ("list", disk.list().unwrap_err()),
        ("sync_dir", disk.sync_dir().unwrap_err()),
        ("len", file.len().unwrap_err()),
        ("set_len", file.set_len(0).unwrap_err()),
        ("read", file.read_at(&mut [0], 0).unwrap_err()),
        ("write", file.write_all_at(b"y", 0).unwrap_err()),
        ("preallocate", file.preallocate(0, 10).unwrap_err()),
        ("sync_data", file.sync_data().unwrap_err()),
        ("sync_all", file.sync_all().unwrap_err()),
    ];
    for (call, error) in errors {
        assert!(is_power_off(&error), "{call}: {error:?}");
    }
    assert!(matches!(disk.lock("other"), Err(LockError::Io(error)) if is_power_off(&error)));
    assert_eq!(disk.counts(), counts, "calls in the dark are not counted");

    let left = disk.after_crash(0);
    assert!(left.lock("lock").is_ok(), "the lock is free after the crash");
    assert_eq!(read(&left, "file").unwrap(), b"x");
    drop(lock);
}

#[test]
fn asking_for_an_image_changes_nothing() {
    let disk = disk();
    let file = durable(&disk, "file", b"old");
    file.write_all_at(b"new", 0).unwrap();
    let lock = disk.lock("lock").unwrap();
    let left = disk.after_crash(3);
    drop(left.lock("lock"));
    left.create("other").unwrap();
    assert!(disk.is_on());
    assert!(matches!(disk.lock("lock"), Err(LockError::Held)));
    assert_eq!(read(&disk, "file").unwrap(), b"new");
    assert_eq!(disk.list().unwrap(), ["file", "lock"]);
    drop(lock);
}

#[test]
fn what_survived_is_durable() {
    let disk = disk();
    let file = durable(&disk, "file", b"old");
    file.write_all_at(b"new", 0).unwrap();
    disk.create("other").unwrap();
    for seed in 0..50 {
        let left = disk.after_crash(seed);
        let (bytes, names) = (read(&left, "file"), left.list().unwrap());
        for again in 0..20 {
            let later = left.after_crash(again);
            assert_eq!((read(&later, "file"), later.list().unwrap()), (bytes.clone(), names.clone()));
        }
    }
}

/// What a disk holds, by name.
fn contents(disk: &SimStorage) -> Vec<(String, Vec<u8>)> {
    let read = |name: &String| {
        let file = disk.open(name, Access::Read).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    };
    disk.list().unwrap().into_iter().map(|name| (name.clone(), read(&name))).collect()
}

#[test]
fn listed_images_are_all_that_a_power_cut_leaves() {
    let disk = SimStorage::new(1, Faults::default());
    let file = disk.create("file").unwrap();
    file.write_all_at(&[1; SECTOR_BYTES + 10], 0).unwrap();
    file.sync_all().unwrap();
    disk.sync_dir().unwrap();
    file.write_all_at(&[2; 2 * SECTOR_BYTES], 0).unwrap();
    file.write_all_at(&[3; 20], 0).unwrap();
    disk.create("other").unwrap();
    disk.rename("file", "renamed").unwrap();

    let images: Vec<_> = disk.crash_images().collect();
    // Three contents of the first sector, two of the second, two lengths, and two changes of the directory.
    assert_eq!(images.len(), 3 * 2 * 2 * 2 * 2);
    let listed: BTreeSet<_> = images.iter().map(contents).collect();
    let drawn: BTreeSet<_> = (0..20_000).map(|seed| contents(&disk.after_crash(seed))).collect();
    assert!(drawn.is_subset(&listed), "something is drawn that is not listed");
    assert_eq!(drawn.len(), listed.len(), "something is listed that is never drawn");
}
