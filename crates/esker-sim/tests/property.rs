//! For any sequence of calls, every crash image is one that the fault model allows.
//!
//! The oracle is written differently from the disk: it keeps a snapshot of the whole file after every call since the last
//! sync, and allows of each sector whatever one of the snapshots holds there.

use std::{collections::BTreeMap, io, sync::Arc};

use esker_sim::{Failures, Faults, Probability, SECTOR_BYTES, SimStorage, Survival};
use esker_storage::{Access, Storage, StorageFile};
use proptest::prelude::*;

const NAMES: [&str; 3] = ["a", "b", "c"];

/// One call. Which file it concerns is a name, and nothing happens if there is no such file.
#[derive(Debug, Clone)]
enum Op {
    Create(usize),
    Remove(usize),
    Rename(usize, usize),
    Write { name: usize, offset: u16, bytes: u16 },
    SetLen(usize, u16),
    Preallocate { name: usize, offset: u16, bytes: u16 },
    SyncData(usize),
    SyncAll(usize),
    SyncDir,
}

fn op() -> impl Strategy<Value = Op> {
    let name = 0..NAMES.len();
    let (offset, bytes) = (0u16..3000, 1u16..2000);
    prop_oneof![
        3 => name.clone().prop_map(Op::Create),
        1 => name.clone().prop_map(Op::Remove),
        2 => (name.clone(), name.clone()).prop_map(|(from, to)| Op::Rename(from, to)),
        8 => (name.clone(), offset.clone(), bytes.clone())
            .prop_map(|(name, offset, bytes)| Op::Write { name, offset, bytes }),
        2 => (name.clone(), offset.clone()).prop_map(|(name, len)| Op::SetLen(name, len)),
        1 => (name.clone(), offset, bytes).prop_map(|(name, offset, bytes)| Op::Preallocate { name, offset, bytes }),
        2 => name.clone().prop_map(Op::SyncData),
        2 => name.prop_map(Op::SyncAll),
        2 => Just(Op::SyncDir),
    ]
}

/// What one file may be after a crash: first what was synced last, then what it was after each call since.
#[derive(Debug, Clone)]
struct Allowed {
    snapshots: Vec<Vec<u8>>,
}

impl Allowed {
    fn now(&self) -> &Vec<u8> {
        self.snapshots.last().expect("at least the synced one")
    }

    fn change(&mut self, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut next = self.now().clone();
        edit(&mut next);
        self.snapshots.push(next);
    }

    fn sync(&mut self) {
        self.snapshots = vec![self.now().clone()];
    }

    /// Whether the file may be this after a crash.
    fn allows(&self, left: &[u8]) -> bool {
        let sector = |index: usize, snapshot: &[u8]| -> Vec<u8> {
            let range = index * SECTOR_BYTES..left.len().min((index + 1) * SECTOR_BYTES);
            range.map(|at| snapshot.get(at).copied().unwrap_or(0)).collect()
        };
        self.snapshots.iter().any(|snapshot| snapshot.len() == left.len())
            && (0..left.len().div_ceil(SECTOR_BYTES)).all(|index| {
                let found = sector(index, left);
                self.snapshots.iter().any(|snapshot| sector(index, snapshot) == found)
            })
    }
}

/// The oracle: files by number, what the names mean, and what the directory may be after a crash.
#[derive(Debug, Default)]
struct Model {
    files: Vec<Allowed>,
    names: BTreeMap<usize, usize>,
    synced: BTreeMap<usize, usize>,
    /// Since the last sync of the directory, which files each name meant at some time.
    since: BTreeMap<usize, Vec<Option<usize>>>,
}

impl Model {
    fn file(&mut self, name: usize) -> &mut Allowed {
        &mut self.files[self.names[&name]]
    }

    fn set_name(&mut self, name: usize, file: Option<usize>) {
        match file {
            Some(file) => self.names.insert(name, file),
            None => self.names.remove(&name),
        };
        self.since.entry(name).or_default().push(file);
    }

    /// Whether a name may be missing or hold these bytes after a crash. A file may also still be under a name it had
    /// before a rename that is lost, which `since` and `synced` cover, and be missing where it had gone to.
    fn allows(&self, name: usize, left: Option<&[u8]>) -> bool {
        let changes = self.since.get(&name).map_or(&[][..], Vec::as_slice);
        let meant = changes.iter().copied().chain([self.synced.get(&name).copied()]);
        match left {
            Some(bytes) => meant.flatten().any(|file| self.files[file].allows(bytes)),
            // It may be missing if it ever was since the sync, or if a change of it is un-synced and may be lost.
            None => !self.synced.contains_key(&name) || changes.contains(&None),
        }
    }
}

/// Does the call on the disk and in the model.
fn apply(disk: &SimStorage, model: &mut Model, step: usize, op: &Op) -> io::Result<()> {
    let has = |model: &Model, name: usize| model.names.contains_key(&name);
    let open = |name: usize| disk.open(NAMES[name], Access::ReadWrite);
    match *op {
        Op::Create(name) if !has(model, name) => {
            disk.create(NAMES[name])?;
            model.files.push(Allowed { snapshots: vec![Vec::new()] });
            model.set_name(name, Some(model.files.len() - 1));
        }
        Op::Remove(name) if has(model, name) => {
            disk.remove(NAMES[name])?;
            model.set_name(name, None);
        }
        Op::Rename(from, to) if has(model, from) && from != to => {
            disk.rename(NAMES[from], NAMES[to])?;
            let file = model.names[&from];
            model.set_name(to, Some(file));
            model.set_name(from, None);
        }
        Op::Write { name, offset, bytes } if has(model, name) => {
            // No byte is zero, and each call writes other bytes.
            let src: Vec<u8> = (0..bytes as usize).map(|i| ((i + step * 41) % 255) as u8 + 1).collect();
            open(name)?.write_all_at(&src, offset.into())?;
            let (start, end) = (offset as usize, (offset + bytes) as usize);
            model.file(name).change(|file| {
                file.resize(file.len().max(end), 0);
                file[start..end].copy_from_slice(&src);
            });
        }
        Op::SetLen(name, len) if has(model, name) => {
            open(name)?.set_len(len.into())?;
            model.file(name).change(|file| file.resize(len.into(), 0));
        }
        Op::Preallocate { name, offset, bytes } if has(model, name) => {
            open(name)?.preallocate(offset.into(), bytes.into())?;
            model.file(name).change(|file| file.resize(file.len().max((offset + bytes).into()), 0));
        }
        Op::SyncData(name) if has(model, name) => {
            open(name)?.sync_data()?;
            model.file(name).sync();
        }
        Op::SyncAll(name) if has(model, name) => {
            open(name)?.sync_all()?;
            model.file(name).sync();
        }
        Op::SyncDir => {
            disk.sync_dir()?;
            model.synced = model.names.clone();
            model.since.clear();
        }
        _ => {}
    }
    Ok(())
}

fn read(disk: &SimStorage, name: &str) -> Option<Vec<u8>> {
    let file: Arc<dyn StorageFile> = disk.open(name, Access::Read).ok()?;
    let mut bytes = vec![0xee; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    Some(bytes)
}

fn survival() -> impl Strategy<Value = Option<Survival>> {
    let named = [Survival::Nothing, Survival::Everything, Survival::Prefix, Survival::Subset];
    prop_oneof![Just(None), prop::sample::select(named.to_vec()).prop_map(Some)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_image_is_allowed(
        ops in prop::collection::vec(op(), 1..60),
        survival in survival(),
        seed: u64,
    ) {
        let disk = SimStorage::new(seed, Faults { survival, ..Faults::default() });
        let mut model = Model::default();
        for (step, op) in ops.iter().enumerate() {
            apply(&disk, &mut model, step, op).unwrap();
        }
        for (&name, &file) in &model.names {
            let found = read(&disk, NAMES[name]);
            prop_assert_eq!(found.as_ref(), Some(model.files[file].now()), "before the crash");
        }
        for image in 0..20 {
            let left = disk.after_crash(seed.wrapping_add(image));
            for (name, text) in NAMES.iter().enumerate() {
                let bytes = read(&left, text);
                let len = bytes.as_ref().map(Vec::len);
                prop_assert!(model.allows(name, bytes.as_deref()), "image {}: '{}' of length {:?}", image, text, len);
            }
        }
    }

    /// A file that was synced with its name, and not touched since, is there byte for byte, whatever else went wrong.
    #[test]
    fn what_was_synced_and_left_alone_survives_any_faults(
        content in prop::collection::vec(any::<u8>(), 0..3000),
        ops in prop::collection::vec(op(), 0..40),
        rate in 0u32..400_000,
        crash_after in 0u64..40,
        seed: u64,
    ) {
        let disk = SimStorage::new(seed, Faults::default());
        let file = disk.create("precious").unwrap();
        file.write_all_at(&content, 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir().unwrap();

        let random = Failures::with(Probability::from_per_million(rate));
        disk.set_faults(Faults {
            crash_after_ops: Some(disk.counts().changing() + crash_after),
            read_error: random,
            write_error: random,
            short_write: random,
            length_error: random,
            sync_error: random,
            dir_sync_error: random,
            dir_error: random,
            capacity_bytes: Some(8 << 10),
            garbage: Probability::from_per_million(rate),
            ..Faults::default()
        });
        // Errors are expected; the model is of no use then, and only keeps the calls sensible.
        let mut model = Model::default();
        for (step, op) in ops.iter().enumerate() {
            let _ = apply(&disk, &mut model, step, op);
        }
        for image in 0..10 {
            let left = read(&disk.after_crash(image), "precious");
            prop_assert_eq!(left.as_ref(), Some(&content));
        }
    }

    #[test]
    fn the_same_calls_leave_the_same_images(ops in prop::collection::vec(op(), 1..40), seed: u64) {
        let run = || {
            let disk = SimStorage::new(seed, Faults { garbage: Probability::one_in(3), ..Faults::default() });
            let mut model = Model::default();
            for (step, op) in ops.iter().enumerate() {
                apply(&disk, &mut model, step, op).unwrap();
            }
            let left = disk.after_crash(seed);
            NAMES.map(|name| read(&left, name))
        };
        prop_assert_eq!(run(), run());
    }
}

/// The oracle has teeth: disks that lie, or turn un-synced sectors into noise, are caught by it.
#[test]
fn the_oracle_notices_a_lying_disk_and_garbage() {
    let ops = [
        Op::Create(0),
        Op::SyncDir,
        Op::Write { name: 0, offset: 0, bytes: 1500 },
        Op::SyncData(0),
        Op::Write { name: 0, offset: 700, bytes: 10 },
    ];
    let violations = |faults: Faults| {
        let disk = SimStorage::new(0, faults);
        let mut model = Model::default();
        for (step, op) in ops.iter().enumerate() {
            apply(&disk, &mut model, step, op).unwrap();
        }
        (0..100).filter(|&seed| !model.allows(0, read(&disk.after_crash(seed), "a").as_deref())).count()
    };
    assert_eq!(violations(Faults::default()), 0);
    assert!(violations(Faults { ignore_sync: true, ..Faults::default() }) > 10);
    assert!(violations(Faults { ignore_sync_dir: true, ..Faults::default() }) > 10);
    assert!(violations(Faults { garbage: Probability::ALWAYS, ..Faults::default() }) > 10);
}
