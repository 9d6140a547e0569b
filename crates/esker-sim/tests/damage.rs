//! Damage that no call reports: each kind by itself, and the record of all of it.

use std::{collections::BTreeMap, sync::Arc};

use esker_sim::{AtRest, Damage, DamageKind, Failures, Faults, Probability, SECTOR_BYTES, SimStorage, Survival};
use esker_storage::{Access, Storage, StorageFile};
use proptest::prelude::*;

const SECTOR: u64 = SECTOR_BYTES as u64;

fn content(disk: &SimStorage, name: &str) -> Vec<u8> {
    let file = disk.open(name, Access::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Every byte is `letter` plus the number of its sector.
fn sectors(letter: u8, count: usize) -> Vec<u8> {
    (0..count).flat_map(|sector| [letter + sector as u8; SECTOR_BYTES]).collect()
}

fn durable(disk: &SimStorage, name: &str, bytes: &[u8]) -> Arc<dyn StorageFile> {
    let file = disk.create(name).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync_all().unwrap();
    disk.sync_dir().unwrap();
    file
}

/// A disk with two durable files, on which `faults` are in force from now on.
fn disk_with_files(seed: u64, faults: Faults) -> (SimStorage, Arc<dyn StorageFile>) {
    let disk = SimStorage::new(seed, Faults::default());
    let file = durable(&disk, "a", &sectors(b'a', 8));
    durable(&disk, "b", &sectors(b'k', 8));
    disk.set_faults(faults);
    (disk, file)
}

fn differing(found: &[u8], wanted: &[u8]) -> Vec<u64> {
    assert_eq!(found.len(), wanted.len());
    (0..found.len()).filter(|&at| found[at] != wanted[at]).map(|at| at as u64).collect()
}

fn covers(damage: &Damage, name: &str, at: u64) -> bool {
    damage.file == name && (damage.offset..damage.offset + damage.bytes).contains(&at)
}

#[test]
fn a_rotten_bit_is_read_again_and_survives_a_crash() {
    let mut places = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let (disk, file) = disk_with_files(seed, Faults { bit_rot: Failures::nth(0), ..Faults::default() });
        let mut bytes = [0; 1000];
        file.read_exact_at(&mut bytes, 300).unwrap();
        let wanted = sectors(b'a', 8);
        let wrong = differing(&bytes, &wanted[300..1300]);
        assert_eq!(wrong.len(), 1);
        assert_eq!((bytes[wrong[0] as usize] ^ wanted[300 + wrong[0] as usize]).count_ones(), 1);
        let damages = disk.damages();
        assert_eq!(damages.len(), 1);
        assert_eq!((damages[0].offset, damages[0].bytes), (300 + wrong[0], 1));
        assert_eq!((&damages[0].kind, &damages[0].file[..]), (&DamageKind::BitFlip, "a"));
        let again = content(&disk, "a");
        assert_eq!(differing(&again, &wanted), [damages[0].offset]);
        let left = disk.after_crash(seed);
        assert_eq!(content(&left, "a"), again);
        assert_eq!((left.damages(), content(&left, "b")), (damages.clone(), sectors(b'k', 8)));
        places.insert(damages[0].offset / SECTOR);
    }
    assert_eq!(places, [0, 1, 2].into());
}

#[test]
fn only_synced_bytes_rot() {
    let always = Faults { bit_rot: Failures::since(0), ..Faults::default() };
    for seed in 0..50 {
        let (disk, file) = disk_with_files(seed, always.clone());
        file.write_all_at(&sectors(b'A', 8), 0).unwrap();
        let hole = disk.create("hole").unwrap();
        hole.set_len(5000).unwrap();
        assert_eq!(content(&disk, "a"), sectors(b'A', 8));
        assert_eq!(content(&disk, "hole"), [0; 5000]);
        assert_eq!(disk.damages(), []);
        file.sync_data().unwrap();
        assert_ne!(content(&disk, "a"), sectors(b'A', 8));
        // What a failed sync dropped is in the cache alone.
        disk.set_faults(Faults { sync_error: Failures::since(0), ..Faults::default() });
        file.write_all_at(&sectors(b'N', 8), 0).unwrap();
        file.sync_data().unwrap_err();
        disk.set_faults(always.clone());
        assert_eq!(content(&disk, "a"), sectors(b'N', 8));
    }
}

#[test]
fn a_lost_write_leaves_the_old_bytes_for_good() {
    let mut runs = std::collections::BTreeSet::new();
    for seed in 0..300 {
        let faults = Faults { lost_write: Failures::nth(2), ..Faults::default() };
        let (disk, file) = disk_with_files(seed, faults);
        let new = sectors(b'A', 3);
        file.write_all_at(&new, 2 * SECTOR + 100).unwrap();
        let mut wanted = sectors(b'a', 8);
        wanted[2 * SECTOR_BYTES + 100..][..new.len()].copy_from_slice(&new);
        let damages = disk.damages();
        assert_eq!(damages.len(), 1, "{damages:?}");
        assert_eq!(damages[0].kind, DamageKind::LostWrite);
        let Damage { offset, bytes, .. } = damages[0];
        let old = sectors(b'a', 8);
        let lost = offset as usize..(offset + bytes) as usize;
        wanted[lost.clone()].copy_from_slice(&old[lost]);
        assert_eq!(content(&disk, "a"), wanted);
        file.sync_data().unwrap();
        file.sync_all().unwrap();
        assert!((0..5).all(|crash| content(&disk.after_crash(crash), "a") == wanted));
        runs.insert((offset, bytes));
        // Writing it again helps.
        file.write_all_at(&new, 2 * SECTOR + 100).unwrap();
        assert_eq!(content(&disk, "a")[2 * SECTOR_BYTES + 100..][..new.len()], new);
    }
    // Any run of the four sectors that it touches, cut to its own bytes.
    assert_eq!(runs.len(), 10, "{runs:?}");
    assert!(runs.contains(&(2 * SECTOR + 100, 3 * SECTOR)) && runs.contains(&(3 * SECTOR, SECTOR)), "{runs:?}");
}

#[test]
fn a_lost_write_makes_the_file_longer_all_the_same() {
    let disk = SimStorage::new(1, Faults { lost_write: Failures::since(0), ..Faults::default() });
    let file = disk.create("a").unwrap();
    file.write_all_at(&[7; 50], 1030).unwrap();
    file.sync_data().unwrap();
    assert_eq!(content(&disk, "a"), [0; 1080]);
}

#[test]
fn a_misdirected_write_is_somewhere_else_for_good() {
    let (mut same, mut other) = (0, 0);
    for seed in 0..300 {
        let faults = Faults { misdirected_write: Failures::nth(2), ..Faults::default() };
        let (disk, file) = disk_with_files(seed, faults);
        let mut wanted = BTreeMap::from([("a", sectors(b'a', 8)), ("b", sectors(b'k', 8))]);
        file.write_all_at(&[b'!'; SECTOR_BYTES], SECTOR).unwrap();
        let damages = disk.damages();
        assert_eq!(damages.len(), 2, "{damages:?}");
        assert_eq!((damages[0].offset, &damages[0].kind), (SECTOR, &DamageKind::MisdirectedWrite));
        assert_eq!(damages[1].kind, DamageKind::Misplaced { file: "a".to_owned(), offset: SECTOR });
        let hit = damages[1].offset as usize..(damages[1].offset + damages[1].bytes) as usize;
        wanted.get_mut(&damages[1].file[..]).unwrap()[hit].fill(b'!');
        if damages[1].file == "a" {
            assert_ne!(damages[1].offset, SECTOR);
            same += 1;
        } else {
            other += 1;
        }
        for disk in [disk.after_crash(seed), disk] {
            for (name, wanted) in &wanted {
                assert_eq!(&content(&disk, name), wanted, "{name}");
            }
        }
    }
    assert!(same > 50 && other > 50, "{same} in the same file, {other} in the other");
}

/// Beneath a write that is not synced yet, misdirected bytes are seen only if that write is lost.
#[test]
fn a_misdirected_write_comes_beneath_what_is_unsynced() {
    let mut found = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let disk = SimStorage::new(seed, Faults::default());
        let target = durable(&disk, "target", b"t");
        let victim = durable(&disk, "victim", b"v");
        victim.write_all_at(b"w", 0).unwrap();
        disk.set_faults(Faults { misdirected_write: Failures::since(0), ..Faults::default() });
        target.write_all_at(b"!", 0).unwrap();
        disk.set_faults(Faults::default());
        assert_eq!((content(&disk, "target"), content(&disk, "victim")), (b"t".to_vec(), b"w".to_vec()));
        found.extend((0..10).map(|crash| content(&disk.after_crash(crash), "victim")));
        victim.sync_data().unwrap();
        assert_eq!(content(&disk.after_crash(0), "victim"), b"w");
    }
    assert_eq!(found, [b"w".to_vec(), b"!".to_vec()].into());
}

#[test]
fn a_misdirected_read_is_wrong_once() {
    let mut from = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let faults = Faults { misdirected_read: Failures::nth(0), ..Faults::default() };
        let (disk, file) = disk_with_files(seed, faults);
        let mut bytes = [0; 2 * SECTOR_BYTES];
        file.read_exact_at(&mut bytes, SECTOR).unwrap();
        let wanted = sectors(b'a', 8);
        let wrong = differing(&bytes, &wanted[SECTOR_BYTES..3 * SECTOR_BYTES]);
        let damages = disk.damages();
        let Damage { kind: DamageKind::MisdirectedRead { file: other, offset }, .. } = &damages[0] else {
            panic!("{damages:?}")
        };
        assert!(!wrong.is_empty() && wrong.iter().all(|at| covers(&damages[0], "a", SECTOR + at)), "{damages:?}");
        assert!(!damages[0].is_lasting());
        from.insert((other.clone(), *offset));
        assert_eq!(content(&disk, "a"), wanted);
        assert_eq!(content(&disk.after_crash(seed), "a"), wanted);
    }
    assert!(from.len() > 10, "{from:?}");
}

#[test]
fn a_disk_without_another_place_loses_what_it_would_misdirect() {
    let disk = SimStorage::new(1, Faults { misdirected_write: Failures::since(0), ..Faults::default() });
    let file = disk.create("a").unwrap();
    file.write_all_at(b"x", 0).unwrap();
    assert_eq!(content(&disk, "a"), [0]);
    assert_eq!(disk.damages().len(), 1);
    let mut bytes = [7];
    disk.set_faults(Faults { misdirected_read: Failures::since(0), bit_rot: Failures::since(0), ..Faults::default() });
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes, [0]);
}

#[test]
fn damage_at_rest_is_as_it_is_called() {
    let wanted = BTreeMap::from([("a", sectors(b'a', 8)), ("b", sectors(b'k', 8))]);
    for how in AtRest::ALL {
        let mut places = std::collections::BTreeSet::new();
        for seed in 0..300 {
            let (disk, _) = disk_with_files(0, Faults::default());
            let damages = disk.damage(seed, how, None);
            assert_eq!((disk.damages(), disk.snapshot().damages()), (damages.clone(), damages.clone()));
            let expected = if how == AtRest::Swapped { 2 } else { 1 };
            assert_eq!(damages.len(), expected, "{how:?}: {damages:?}");
            for disk in [disk.after_crash(0), disk] {
                for (name, wanted) in &wanted {
                    let found = content(&disk, name);
                    let wrong = differing(&found, wanted);
                    assert!(wrong.iter().all(|&at| damages.iter().any(|damage| covers(damage, name, at))), "{how:?}");
                }
                for Damage { file, offset, bytes, kind, .. } in &damages {
                    let range = *offset as usize..(offset + bytes) as usize;
                    let (before, after) = (&wanted[&file[..]][range.clone()], &content(&disk, file)[range]);
                    match kind {
                        DamageKind::BitFlip => assert_eq!((before[0] ^ after[0]).count_ones(), 1),
                        DamageKind::Zeros => assert_eq!(after, [0; SECTOR_BYTES]),
                        DamageKind::Misplaced { file, offset } => {
                            assert_eq!(after, &wanted[&file[..]][*offset as usize..][..SECTOR_BYTES]);
                        }
                        _ => assert_ne!(after, before, "{kind:?}"),
                    }
                }
            }
            places.insert((damages[0].file.clone(), damages[0].offset / SECTOR));
        }
        assert_eq!(places.len(), 16, "{how:?} comes to every sector");
    }
}

#[test]
fn damage_at_rest_stays_within_the_file_and_its_length() {
    let disk = SimStorage::new(0, Faults::default());
    durable(&disk, "a", &[7; 700]);
    durable(&disk, "b", &[8; 700]);
    disk.create("empty").unwrap();
    for (seed, how) in (0..200).flat_map(|seed| AtRest::ALL.map(|how| (seed, how))) {
        let copy = disk.snapshot();
        let damages = copy.damage(seed, how, Some("b"));
        assert!(damages.iter().all(|damage| damage.file == "b" && damage.offset + damage.bytes <= 700), "{damages:?}");
        assert_eq!(content(&copy, "a"), [7; 700]);
        copy.open("b", Access::ReadWrite).unwrap().set_len(2000).unwrap();
        assert!(content(&copy, "b")[700..].iter().all(|&byte| byte == 0), "zero beyond the end");
        assert_eq!(disk.damage(seed, how, Some("empty")), []);
        assert_eq!(disk.damage(seed, how, Some("absent")), []);
    }
}

/// Files as they should be, whatever the disk made of them.
type Model = BTreeMap<usize, Vec<u8>>;

const NAMES: [&str; 2] = ["a", "b"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// D2 and D3 hold but in the bytes that are on record.
    #[test]
    fn whatever_differs_is_on_record(
        writes in prop::collection::vec((0..2usize, 0u64..6000, 1usize..3000, any::<bool>()), 1..40),
        rate in 0u32..700_000,
        seed: u64,
    ) {
        let disk = SimStorage::new(seed, Faults::default());
        let files = NAMES.map(|name| disk.create(name).unwrap());
        disk.sync_dir().unwrap();
        let some = Failures::with(Probability::from_per_million(rate));
        disk.set_faults(Faults {
            bit_rot: some, lost_write: some, misdirected_write: some, misdirected_read: some,
            survival: Some(Survival::Everything), ..Faults::default()
        });
        let mut model = Model::from([(0, Vec::new()), (1, Vec::new())]);
        for (step, (file, offset, bytes, sync)) in writes.into_iter().enumerate() {
            let src: Vec<u8> = (0..bytes).map(|i| ((i + step * 41) % 255) as u8 + 1).collect();
            files[file].write_all_at(&src, offset).unwrap();
            let wanted = model.get_mut(&file).unwrap();
            wanted.resize(wanted.len().max(offset as usize + bytes), 0);
            wanted[offset as usize..offset as usize + bytes].copy_from_slice(&src);
            files[file].read_at(&mut [0; 700], offset / 2).unwrap();
            if sync {
                files[file].sync_data().unwrap();
            }
        }
        disk.set_faults(Faults { survival: Some(Survival::Everything), ..Faults::default() });
        let damages = disk.damages();
        prop_assert!(rate > 0 || damages.is_empty());
        for disk in [disk.after_crash(seed), disk.snapshot(), disk.kill()] {
            prop_assert_eq!(disk.damages(), damages.clone());
            for (file, name) in NAMES.iter().enumerate() {
                for at in differing(&content(&disk, name), &model[&file]) {
                    let told = damages.iter().any(|damage| damage.is_lasting() && covers(damage, name, at));
                    prop_assert!(told, "'{}' at {}", name, at);
                }
            }
        }
    }
}

#[test]
fn the_same_seed_and_calls_do_the_same_damage() {
    let run = |seed| {
        let some = Failures::with(Probability::one_in(4));
        let faults = Faults {
            bit_rot: some,
            lost_write: some,
            misdirected_write: some,
            misdirected_read: some,
            ..Faults::default()
        };
        let (disk, file) = disk_with_files(seed, faults);
        for i in 0..60u64 {
            file.write_all_at(&[i as u8; 1300], i * 50).unwrap();
            file.sync_data().unwrap();
            file.read_at(&mut [0; 2000], i * 30).unwrap();
        }
        (disk.damages(), content(&disk.after_crash(seed), "a"))
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
    assert!(run(1).0.iter().any(|damage| damage.to_string().contains("bit")));
}
