//! The simulated disk as the log sees it: every call is noted, and one is made to fail.
//!
//! Calls come one at a time, so that the fault hits the call that was meant; but not where one is to hang.

use std::{
    collections::BTreeMap,
    io::{self, IoSlice},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use esker_log::storage::{Access, LockError, Storage, StorageFile, StorageLock};
use esker_sim::{Calls, Failures, Faults, SimStorage};

use crate::point::{Call, Fault, Phase, Point};

/// The file of segments, which the engine writes.
const LOG: &str = "log";

/// The call that was hit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    pub(crate) call: Call,
    /// Whether it was the engine's, on the path on which records become durable.
    pub(crate) by_engine: bool,
    /// In which life of the log.
    pub(crate) life: u32,
}

/// What was called so far, and what shall fail. Shared by all disks of a run.
#[derive(Debug)]
pub(crate) struct Book {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    life: u32,
    /// Whether the log is being opened, and not open.
    opening: bool,
    /// For each call whether the contract let it pass.
    seen: BTreeMap<(Phase, Call), Vec<bool>>,
    target: Option<Point>,
    hit: Option<Hit>,
}

impl Book {
    pub(crate) fn new(target: Option<Point>) -> Self {
        let state = State { phase: Phase::Create, life: 0, opening: true, seen: BTreeMap::new(), target, hit: None };
        Self { state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.lock().phase = phase;
    }

    pub(crate) fn begin_life(&self) {
        self.lock().life += 1;
    }

    pub(crate) fn set_opening(&self, opening: bool) {
        self.lock().opening = opening;
    }

    pub(crate) fn hit(&self) -> Option<Hit> {
        self.lock().hit
    }

    /// What was hit in the present life.
    pub(crate) fn hit_now(&self) -> Option<Hit> {
        let state = self.lock();
        state.hit.filter(|hit| hit.life == state.life)
    }

    /// Every call that can be made to fail, with its number among its like.
    pub(crate) fn calls(&self) -> Vec<(Phase, Call, usize)> {
        let state = self.lock();
        let passed = |(&(phase, call), passed): (&(Phase, Call), &Vec<bool>)| {
            let numbers: Vec<usize> = (0..passed.len()).filter(|&nth| passed[nth]).collect();
            numbers.into_iter().map(move |nth| (phase, call, nth))
        };
        state.seen.iter().filter(|((phase, _), _)| *phase != Phase::After).flat_map(passed).collect()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Faulty {
    disk: SimStorage,
    book: Arc<Book>,
}

impl Faulty {
    pub(crate) fn new(disk: SimStorage, book: Arc<Book>) -> Self {
        Self { disk, book }
    }

    /// A call on `file`. `tells` says whether it writes anything but zeros, or syncs.
    fn call<T>(&self, call: Call, file: &str, tells: bool, act: impl FnOnce() -> T) -> T {
        let mut state = self.book.lock();
        let key = (state.phase, call);
        let nth = state.seen.get(&key).map_or(0, Vec::len);
        let target = state.target.filter(|point| (point.phase, point.call, point.nth) == (key.0, call, nth));
        if let Some(point) = target {
            let by_engine = file == LOG && tells && !state.opening;
            state.hit = Some(Hit { call, by_engine, life: state.life });
            self.arm(call, point.fault);
        }
        if state.target.is_some_and(|point| point.fault == Fault::Hang) {
            state.seen.entry(key).or_default().push(true);
            drop(state);
            return act();
        }
        let before = self.disk.counts();
        let result = act();
        let passed = self.disk.counts() != before;
        state.seen.entry(key).or_default().push(passed);
        let lasts = |point: Point| matches!(point.fault, Fault::Since | Fault::Full | Fault::Cut);
        if target.is_some_and(|point| !lasts(point)) {
            self.disk.set_faults(Faults::default());
        }
        result
    }

    /// Makes the next call, which is of this kind, go wrong.
    fn arm(&self, call: Call, fault: Fault) {
        let counts = self.disk.counts();
        let mut faults = Faults::default();
        let dirs = counts.creates + counts.opens + counts.removes + counts.renames + counts.lists + counts.locks;
        let lengths = counts.set_lens + counts.preallocations;
        let mut calls = Calls::NONE;
        let (number, error, hung) = match call {
            Call::Create | Call::Open | Call::Remove | Call::Rename | Call::List | Call::Lock => {
                (dirs, &mut faults.dir_error, &mut calls.dir)
            }
            Call::SyncDir => (counts.dir_syncs, &mut faults.dir_sync_error, &mut calls.dir_sync),
            Call::Read => (counts.reads, &mut faults.read_error, &mut calls.read),
            Call::Write | Call::WriteVectored => (counts.writes, &mut faults.write_error, &mut calls.write),
            Call::Len => (counts.lens, &mut faults.len_error, &mut calls.len),
            Call::SetLen | Call::Preallocate => (lengths, &mut faults.length_error, &mut calls.length),
            Call::SyncData | Call::SyncAll => (counts.syncs(), &mut faults.sync_error, &mut calls.sync),
        };
        let this = Failures::nth(number);
        match fault {
            Fault::Once => *error = this,
            Fault::Since => *error = Failures::since(number),
            Fault::Short => faults.short_write = this,
            Fault::Full => faults.capacity_bytes = Some(0),
            Fault::Cut if matches!(call, Call::Open | Call::List | Call::Lock | Call::Read | Call::Len) => {
                return self.disk.crash();
            }
            Fault::Cut => faults.crash_after_ops = Some(counts.changing()),
            // Another thread's call of this kind may come before it, and is as good; whoever sees it hang ends this.
            Fault::Hang => *hung = Failures::since(number),
            Fault::Rot => faults.bit_rot = this,
            Fault::Misread => faults.misdirected_read = this,
            Fault::Lost => faults.lost_write = this,
            Fault::Misdirected => faults.misdirected_write = this,
        }
        faults.hung = calls;
        self.disk.set_faults(faults);
    }

    fn file(&self, name: &str, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(FaultyFile { file, name: name.to_owned(), storage: self.clone() })
    }
}

impl Storage for Faulty {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.call(Call::Create, name, false, || self.disk.create(name)).map(|file| self.file(name, file))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        self.call(Call::Open, name, false, || self.disk.open(name, access)).map(|file| self.file(name, file))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.call(Call::Remove, name, false, || self.disk.remove(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(Call::Rename, from, false, || self.disk.rename(from, to))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.call(Call::List, "", false, || self.disk.list())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.call(Call::SyncDir, "", false, || self.disk.sync_dir())
    }

    fn lock(&self, name: &str) -> Result<Box<dyn StorageLock>, LockError> {
        self.call(Call::Lock, name, false, || self.disk.lock(name))
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Arc<dyn StorageFile>,
    name: String,
    storage: Faulty,
}

impl FaultyFile {
    fn call<T>(&self, call: Call, tells: bool, act: impl FnOnce(&dyn StorageFile) -> T) -> T {
        self.storage.call(call, &self.name, tells, || act(self.file.as_ref()))
    }
}

impl StorageFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.call(Call::Len, false, |file| file.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.call(Call::SetLen, false, |file| file.set_len(len))
    }

    fn read_at(&self, dst: &mut [u8], offset: u64) -> io::Result<usize> {
        self.call(Call::Read, false, |file| file.read_at(dst, offset))
    }

    fn write_all_at(&self, src: &[u8], offset: u64) -> io::Result<()> {
        // Zeros are written where nothing is yet, and over what is to be forgotten.
        let tells = src.iter().any(|&byte| byte != 0);
        self.call(Call::Write, tells, |file| file.write_all_at(src, offset))
    }

    fn write_all_vectored_at(&self, srcs: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.call(Call::WriteVectored, true, |file| file.write_all_vectored_at(srcs, offset))
    }

    fn preallocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.call(Call::Preallocate, false, |file| file.preallocate(offset, len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.call(Call::SyncData, true, |file| file.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.call(Call::SyncAll, true, |file| file.sync_all())
    }
}
