//! The disk itself: power, files, names, faults.
//!
//! Owns the order in which a call is judged: power first, then the contract (does the name exist?), then the count and the
//! faults, then the effect, then the power cut. Refuses threads; the storage puts a mutex around it.
//!
//! # Invariants
//!
//! - **K1 (counted once):** every call that passes the contract is counted, whether or not it then fails.
//! - **K2 (dark is dark):** once the power is off no call has any effect and none succeeds.
//! - **K3 (a cut syncs nothing):** a sync in whose middle the power fails leaves everything it should have covered
//!   un-synced, so that any part of it may survive.

mod damage;

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
};

use esker_storage::LockError;

use crate::{
    content::{Content, Fate, SECTOR_BYTES},
    counts::{Counts, Kind},
    damage::Damage,
    directory::{Change, Directory, FileId},
    error,
    faults::{Failures, Faults, Probability},
    history::{Judge, Path, Step},
    rng::Rng,
    stall::{Stall, Stalls, Wait},
};

#[derive(Debug, Clone)]
struct FileState {
    content: Content,
    /// How many handles and locks are open on it.
    handles: u64,
    locked: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Disk {
    pub(crate) faults: Faults,
    counts: Counts,
    on: bool,
    rng: Rng,
    directory: Directory,
    files: BTreeMap<FileId, FileState>,
    next_file: u64,
    stalls: Stalls,
    damages: Vec<Damage>,
}

/// A call under way.
struct Call {
    kind: Kind,
    step: Step,
    /// Whether it is to fail.
    fails: bool,
    /// Whether the power fails in its middle.
    cut: bool,
}

impl Disk {
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        Self {
            faults,
            counts: Counts::default(),
            on: true,
            rng: Rng::new(seed),
            directory: Directory::default(),
            files: BTreeMap::new(),
            next_file: 0,
            stalls: Stalls::default(),
            damages: Vec::new(),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.on
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn crash(&mut self) {
        self.on = false;
    }

    /// The disk as the next process finds it after this one was killed: nothing is lost, nothing was synced by it.
    pub(crate) fn handed_over(&self) -> Self {
        let mut next = self.clone();
        next.stalls.nobody_hangs();
        for file in next.files.values_mut() {
            file.handles = 0;
            file.locked = false;
        }
        let Self { files, directory, .. } = &mut next;
        files.retain(|&id, _| directory.may_name(id));
        next
    }

    /// The disk that a power cut at this moment leaves.
    pub(crate) fn survivor(&self, seed: u64, faults: Faults) -> Self {
        let contents = self.files.values().flat_map(|file| file.content.steps());
        let steps = contents.chain(self.directory.steps()).fold(None, |range, step| {
            let (oldest, newest) = range.unwrap_or((step, step));
            Some((oldest.min(step), newest.max(step)))
        });
        self.judged(&mut Judge::new(seed, self.faults.survival, steps), faults)
    }

    /// The disk that a power cut at this moment leaves in one of all possible ways, and the way.
    pub(crate) fn survivor_of(&self, path: Path) -> (Self, Path) {
        let mut judge = Judge::listing(path);
        let left = self.judged(&mut judge, Faults::default());
        (left, judge.into_path())
    }

    fn judged(&self, judge: &mut Judge, faults: Faults) -> Self {
        let names = self.directory.survivor(judge);
        let mut files = BTreeMap::new();
        for id in names.values() {
            let content = self.files[id].content.survivor(judge, self.faults.garbage);
            files.insert(*id, FileState { content, handles: 0, locked: false });
        }
        let (next_file, damages) = (self.next_file, self.damages.clone());
        Self { files, next_file, damages, directory: Directory::new(names), ..Self::new(judge.rng.next(), faults) }
    }

    // The course of every call.

    fn check_power(&self) -> io::Result<()> {
        if self.on { Ok(()) } else { Err(error::power_off()) }
    }

    /// Counts a call that passed the contract, and decides whether it fails and whether the power does.
    fn begin(&mut self, kind: Kind) -> Call {
        let step = self.counts.changing();
        let fails = self.draw(kind.failures(&self.faults), self.counts.alike(kind));
        let cut = kind.is_changing() && self.faults.crash_after_ops.is_some_and(|ops| step >= ops);
        self.counts.count(kind);
        Call { kind, step, fails, cut }
    }

    fn draw(&mut self, failures: Failures, call: u64) -> bool {
        let chosen = failures.nth == Some(call) || failures.since.is_some_and(|first| call >= first);
        chosen || self.rng.chance(failures.probability)
    }

    fn end<T>(&mut self, call: &Call, result: io::Result<T>) -> io::Result<T> {
        if call.cut {
            self.on = false;
            return Err(error::power_off());
        }
        result
    }

    /// A call that, if it fails, has no effect.
    fn perform<T>(
        &mut self,
        kind: Kind,
        name: &str,
        effect: impl FnOnce(&mut Self, Step) -> io::Result<T>,
    ) -> io::Result<T> {
        let call = self.begin(kind);
        let result = if call.fails { Err(injected(&call, name)) } else { effect(self, call.step) };
        self.end(&call, result)
    }

    /// A call arrives that the contract, as things are, does not refuse. Returns how it waits, if it does.
    pub(crate) fn arrive(&mut self, kind: Kind) -> Option<Stall> {
        let number = self.stalls.count(kind);
        let slow = self.draw(kind.among(&self.faults.slow), number);
        let hangs = self.draw(kind.among(&self.faults.hung), number);
        let mut stall = Stall::default();
        if slow {
            let ticks = 1 + self.rng.below(self.faults.slow_ticks_max.max(1).into());
            let before = self.rng.below(ticks + 1);
            self.counts.ticks += ticks;
            (stall.before, stall.after) = (Wait::of_ticks(before), Wait::of_ticks(ticks - before));
        }
        if hangs {
            self.counts.hangs += 1;
            let wait = if self.rng.below(2) == 0 { &mut stall.before } else { &mut stall.after };
            wait.hangs = true;
        }
        (slow || hangs).then_some(stall)
    }

    pub(crate) fn stalls(&mut self) -> &mut Stalls {
        &mut self.stalls
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.directory.names().contains_key(name)
    }

    // The directory.

    pub(crate) fn create(&mut self, name: &str) -> io::Result<FileId> {
        self.check_power()?;
        if self.has(name) {
            return Err(io::Error::new(ErrorKind::AlreadyExists, format!("a file named '{name}' exists already")));
        }
        self.perform(Kind::Create, name, |disk, step| {
            let id = FileId(disk.next_file);
            disk.next_file += 1;
            disk.files.insert(id, FileState { content: Content::new(), handles: 1, locked: false });
            disk.directory.change(step, Change::Named(id, name.to_owned()));
            Ok(id)
        })
    }

    pub(crate) fn open(&mut self, name: &str) -> io::Result<FileId> {
        self.check_power()?;
        let id = self.find(name)?;
        self.perform(Kind::Open, name, |disk, _| {
            disk.file(id).handles += 1;
            Ok(id)
        })
    }

    pub(crate) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.check_power()?;
        let id = self.find(name)?;
        self.perform(Kind::Remove, name, |disk, step| {
            disk.directory.change(step, Change::Removed(id));
            Ok(())
        })
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.check_power()?;
        let id = self.find(from)?;
        if from == to {
            return Ok(());
        }
        self.perform(Kind::Rename, from, |disk, step| {
            disk.directory.change(step, Change::Named(id, to.to_owned()));
            Ok(())
        })
    }

    pub(crate) fn list(&mut self) -> io::Result<Vec<String>> {
        self.check_power()?;
        self.perform(Kind::List, ".", |disk, _| Ok(disk.directory.names().keys().cloned().collect()))
    }

    pub(crate) fn sync_dir(&mut self) -> io::Result<()> {
        self.check_power()?;
        let call = self.begin(Kind::DirSync);
        if call.cut || self.faults.ignore_sync_dir {
            return self.end(&call, Ok(()));
        }
        if call.fails {
            self.directory.fail_sync(&mut self.rng);
            return Err(injected(&call, "."));
        }
        self.directory.sync();
        let (files, directory) = (&mut self.files, &self.directory);
        files.retain(|&id, file| file.handles > 0 || directory.may_name(id));
        Ok(())
    }

    pub(crate) fn lock(&mut self, name: &str) -> Result<FileId, LockError> {
        self.check_power()?;
        let Some(&id) = self.directory.names().get(name) else {
            let id = self.create(name)?;
            self.file(id).locked = true;
            return Ok(id);
        };
        let held = self.perform(Kind::Lock, name, |disk, _| {
            let file = disk.file(id);
            let held = file.locked;
            if !held {
                file.locked = true;
                file.handles += 1;
            }
            Ok(held)
        })?;
        if held { Err(LockError::Held) } else { Ok(id) }
    }

    /// A lock was dropped, maybe after the power cut.
    pub(crate) fn unlock(&mut self, id: FileId) {
        self.file(id).locked = false;
        self.close(id);
    }

    /// A handle was dropped, maybe after the power cut.
    pub(crate) fn close(&mut self, id: FileId) {
        let file = self.file(id);
        file.handles -= 1;
        if file.handles == 0 && !self.directory.may_name(id) {
            self.files.remove(&id);
        }
    }

    // One file.

    pub(crate) fn len(&mut self, id: FileId, name: &str) -> io::Result<u64> {
        self.check_power()?;
        self.perform(Kind::Len, name, |disk, _| Ok(disk.file(id).content.len()))
    }

    pub(crate) fn read(&mut self, id: FileId, name: &str, dst: &mut [u8], offset: u64) -> io::Result<usize> {
        self.check_power()?;
        let number = self.counts.reads;
        let rots = self.draw(self.faults.bit_rot, number);
        let strays = self.draw(self.faults.misdirected_read, number);
        let call = self.begin(Kind::Read);
        self.counts.bytes_read += dst.len() as u64;
        if call.fails {
            dst.fill(self.rng.next() as u8);
            return Err(injected(&call, name));
        }
        if rots {
            self.rot(id, name, offset, dst.len());
        }
        let read = self.file(id).content.read(dst, offset);
        if strays {
            self.read_elsewhere(id, name, &mut dst[..read], offset);
        }
        Ok(read)
    }

    /// Writes `src`, which is not empty.
    pub(crate) fn write(&mut self, id: FileId, name: &str, src: &[u8], offset: u64) -> io::Result<()> {
        self.check_power()?;
        let number = self.counts.writes;
        let short = self.draw(self.faults.short_write, number);
        let loses = self.draw(self.faults.lost_write, number);
        let strays = self.draw(self.faults.misdirected_write, number);
        let call = self.begin(Kind::Write);
        self.counts.bytes_written += src.len() as u64;
        let free = self.free_sectors();
        if (loses || strays) && !(call.fails || short) {
            let result = self.write_astray(&call, (id, name), src, offset, strays);
            return self.end(&call, result);
        }
        let rng = &mut self.rng;
        // Not `self.file`, because the generator is needed at the same time.
        let content = &mut self.files.get_mut(&id).expect("a handle keeps its file").content;
        let result = if call.fails {
            let written = Probability::from_per_million(rng.below(1_000_001) as u32);
            let fate = |_| if rng.chance(written) { Fate::Written } else { Fate::Skipped };
            content.write(call.step, src, offset, free, fate);
            Err(injected(&call, name))
        } else if short {
            let bytes = rng.index(src.len());
            content.write(call.step, &src[..bytes], offset, free, |_| Fate::Written);
            Err(error::injected(ErrorKind::WriteZero, call.kind.name(), name))
        } else if content.write(call.step, src, offset, free, |_| Fate::Written) {
            Ok(())
        } else {
            Err(self.full())
        };
        self.end(&call, result)
    }

    pub(crate) fn set_len(&mut self, id: FileId, name: &str, len: u64) -> io::Result<()> {
        self.check_power()?;
        self.perform(Kind::SetLen, name, |disk, step| {
            disk.file(id).content.set_len(step, len);
            Ok(())
        })
    }

    /// Reserves from `offset` to `end`, which is greater.
    pub(crate) fn preallocate(&mut self, id: FileId, name: &str, offset: u64, end: u64) -> io::Result<()> {
        self.check_power()?;
        self.perform(Kind::Preallocate, name, |disk, step| {
            let free = disk.free_sectors();
            let fits = disk.file(id).content.preallocate(step, offset, end, free);
            if fits { Ok(()) } else { Err(disk.full()) }
        })
    }

    pub(crate) fn sync(&mut self, kind: Kind, id: FileId, name: &str) -> io::Result<()> {
        self.check_power()?;
        let call = self.begin(kind);
        if call.cut || self.faults.ignore_sync {
            return self.end(&call, Ok(()));
        }
        let rng = &mut self.rng;
        let content = &mut self.files.get_mut(&id).expect("a handle keeps its file").content;
        if call.fails {
            content.fail_sync(rng);
            return Err(injected(&call, name));
        }
        content.sync();
        Ok(())
    }

    // What several of these need.

    fn find(&self, name: &str) -> io::Result<FileId> {
        let not_found = || io::Error::new(ErrorKind::NotFound, format!("there is no file named '{name}'"));
        self.directory.names().get(name).copied().ok_or_else(not_found)
    }

    fn file(&mut self, id: FileId) -> &mut FileState {
        self.files.get_mut(&id).expect("a handle or a name keeps its file")
    }

    fn free_sectors(&self) -> u64 {
        let Some(capacity_bytes) = self.faults.capacity_bytes else { return u64::MAX };
        let named = |id| self.directory.names().values().any(|&other| other == id);
        let alive = self.files.iter().filter(|&(&id, file)| file.handles > 0 || named(id));
        let used: u64 = alive.map(|(_, file)| file.content.space_sectors()).sum();
        (capacity_bytes / SECTOR_BYTES as u64).saturating_sub(used)
    }

    fn full(&self) -> io::Error {
        error::full(self.faults.capacity_bytes.unwrap_or(u64::MAX))
    }
}

fn injected(call: &Call, name: &str) -> io::Error {
    error::injected(ErrorKind::Other, call.kind.name(), name)
}
