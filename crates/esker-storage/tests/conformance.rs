//! The storages of this crate keep the contract, and the suite that says so can tell when one does not.

use std::{
    cell::Cell,
    io::{self, IoSlice},
    sync::Arc,
};

use esker_storage::{
    Access, FileStorage, LockError, MemStorage, ScratchStorage, Storage, StorageFile, StorageLock,
    conformance::{self, CHECKS},
};

#[test]
fn memory_storage_conforms() {
    conformance::run(&|| Arc::new(MemStorage::default()));
}

#[test]
fn scratch_storage_conforms() {
    conformance::run(&|| Arc::new(ScratchStorage::new(Arc::new(MemStorage::default()))));
}

#[test]
fn file_storage_conforms() {
    let scratch = tempfile::tempdir().unwrap();
    let made = Cell::new(0);
    conformance::run(&|| {
        made.set(made.get() + 1);
        Arc::new(FileStorage::create(scratch.path().join(made.get().to_string())).unwrap())
    });
    assert_eq!(made.get(), CHECKS.len());
}

/// One way of breaking the contract.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    CreateTruncates,
    OpenCreates,
    RenameKeepsTheOldName,
    RenameRefusesTakenNames,
    ListForgetsNamesWithDots,
    NamesAreNotChecked,
    LockIsSharedByAll,
    LockIsNeverReleased,
    ReadsAreShort,
    ReadsBeyondTheEndFail,
    EmptyWritesExtend,
    CutBytesComeBack,
    PreallocationClears,
    PreallocationDoesNotExtend,
    VectoredWritesStopAtTheSystemsLimit,
    WritesBeyondTheGreatestOffsetAreIgnored,
    HandlesForReadingWrite,
    WritesGoByWholeSectors,
    SyncFails,
}

/// A good storage with one fault built in.
#[derive(Debug)]
struct Broken {
    fault: Fault,
    good: MemStorage,
}

#[derive(Debug)]
struct BrokenFile {
    fault: Fault,
    good: Arc<dyn StorageFile>,
    access: Access,
    writer: Arc<dyn StorageFile>,
}

#[derive(Debug)]
struct Fake;

impl StorageLock for Fake {}

impl Broken {
    fn wrap(&self, name: &str, good: Arc<dyn StorageFile>, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let writer = self.good.open(name, Access::ReadWrite)?;
        Ok(Arc::new(BrokenFile { fault: self.fault, good, access, writer }))
    }

    fn name<'a>(&self, name: &'a str) -> &'a str {
        if self.fault == Fault::NamesAreNotChecked && name.contains(':') { "x-y" } else { name }
    }
}

impl Storage for Broken {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let name = self.name(name);
        if self.fault == Fault::CreateTruncates && self.good.open(name, Access::Read).is_ok() {
            self.good.remove(name)?;
        }
        let file = self.good.create(name)?;
        self.wrap(name, file, Access::ReadWrite)
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        if self.fault == Fault::OpenCreates {
            let _ = self.good.create(name);
        }
        let file = self.good.open(name, access)?;
        self.wrap(name, file, access)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.good.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        if self.fault == Fault::RenameRefusesTakenNames && from != to && self.good.open(to, Access::Read).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.good.rename(from, to)?;
        if self.fault == Fault::RenameKeepsTheOldName {
            let _ = self.good.create(from);
        }
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = self.good.list()?;
        if self.fault == Fault::ListForgetsNamesWithDots {
            names.retain(|name| !name.contains('.'));
        }
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        if self.fault == Fault::SyncFails { Err(io::Error::other("no sync here")) } else { self.good.sync_dir() }
    }

    fn lock(&self, name: &str) -> Result<Box<dyn StorageLock>, LockError> {
        match self.good.lock(name) {
            Err(LockError::Held) if self.fault == Fault::LockIsSharedByAll => Ok(Box::new(Fake)),
            Ok(lock) if self.fault == Fault::LockIsNeverReleased => {
                std::mem::forget(lock);
                Ok(Box::new(Fake))
            }
            result => result,
        }
    }
}

impl BrokenFile {
    /// The handle to write through.
    fn target(&self) -> &dyn StorageFile {
        match (self.fault, self.access) {
            (Fault::HandlesForReadingWrite, Access::Read) => &*self.writer,
            _ => &*self.good,
        }
    }
}

impl StorageFile for BrokenFile {
    fn len(&self) -> io::Result<u64> {
        self.good.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let old = self.good.len()?;
        let mut cut = vec![0; old.saturating_sub(len) as usize];
        if self.fault == Fault::CutBytesComeBack && len > old && len < 1 << 20 {
            // What an earlier, larger length left on the disk shows through.
            return self.good.write_all_at(&vec![0xdb; (len - old) as usize], old);
        }
        self.good.read_at(&mut cut, len)?;
        self.target().set_len(len)
    }

    fn read_at(&self, dst: &mut [u8], offset: u64) -> io::Result<usize> {
        match self.fault {
            Fault::ReadsAreShort if dst.len() > 4096 => self.good.read_at(&mut dst[..4096], offset),
            Fault::ReadsBeyondTheEndFail if offset > self.good.len()? => Err(io::ErrorKind::InvalidInput.into()),
            _ => self.good.read_at(dst, offset),
        }
    }

    fn write_all_at(&self, src: &[u8], offset: u64) -> io::Result<()> {
        match self.fault {
            Fault::EmptyWritesExtend if src.is_empty() => {
                let len = self.good.len()?.max(offset);
                self.good.set_len(len)
            }
            Fault::WritesBeyondTheGreatestOffsetAreIgnored if offset > i64::MAX as u64 => Ok(()),
            Fault::WritesGoByWholeSectors if !src.is_empty() && offset < 1 << 30 => {
                // Reads, changes and writes back whole sectors, without a lock over the three.
                let len = self.good.len()?;
                let first = offset / 512 * 512;
                let end = (offset + src.len() as u64).next_multiple_of(512);
                let mut sectors = vec![0; (end - first) as usize];
                self.good.read_at(&mut sectors, first)?;
                // Long enough that another writer comes between, even on one core.
                std::thread::sleep(std::time::Duration::from_micros(20));
                sectors[(offset - first) as usize..][..src.len()].copy_from_slice(src);
                let kept = (len.max(offset + src.len() as u64).min(end) - first) as usize;
                self.target().write_all_at(&sectors[..kept], first)
            }
            _ => self.target().write_all_at(src, offset),
        }
    }

    fn write_all_vectored_at(&self, srcs: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        match self.fault {
            Fault::VectoredWritesStopAtTheSystemsLimit => {
                self.target().write_all_vectored_at(&srcs[..srcs.len().min(1024)], offset)
            }
            _ => self.target().write_all_vectored_at(srcs, offset),
        }
    }

    fn preallocate(&self, offset: u64, len: u64) -> io::Result<()> {
        match self.fault {
            Fault::PreallocationClears if len > 0 && offset.saturating_add(len) < 1 << 30 => {
                self.good.write_all_at(&vec![0; len as usize], offset)
            }
            Fault::PreallocationDoesNotExtend => Ok(()),
            _ => self.target().preallocate(offset, len),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.fault == Fault::SyncFails { Err(io::Error::other("no sync here")) } else { self.target().sync_data() }
    }

    fn sync_all(&self) -> io::Result<()> {
        self.target().sync_all()
    }
}

fn broken_clauses(fault: Fault) -> Vec<&'static str> {
    let make = || -> Arc<dyn Storage> { Arc::new(Broken { fault, good: MemStorage::default() }) };
    conformance::violations(&make).iter().map(|(check, _)| check.name).collect()
}

#[test]
fn the_suite_finds_each_way_of_breaking_the_contract() {
    assert_eq!(broken_clauses(Fault::None), [""; 0], "the wrapper itself must not break anything");
    let table = [
        (Fault::CreateTruncates, "creating_a_taken_name_fails_and_leaves_the_file"),
        (Fault::OpenCreates, "opening_an_absent_file_fails_and_creates_nothing"),
        (Fault::RenameKeepsTheOldName, "renaming_moves_and_replaces"),
        (Fault::RenameRefusesTakenNames, "renaming_moves_and_replaces"),
        (Fault::ListForgetsNamesWithDots, "created_files_are_empty_and_listed"),
        (Fault::NamesAreNotChecked, "invalid_names_are_refused_everywhere"),
        (Fault::LockIsSharedByAll, "a_held_lock_excludes_until_dropped"),
        (Fault::LockIsNeverReleased, "a_held_lock_excludes_until_dropped"),
        (Fault::ReadsAreShort, "reads_are_short_only_at_the_end"),
        (Fault::ReadsBeyondTheEndFail, "reads_are_short_only_at_the_end"),
        (Fault::EmptyWritesExtend, "empty_writes_change_nothing"),
        (Fault::CutBytesComeBack, "set_len_cuts_and_extends_with_zeros"),
        (Fault::PreallocationClears, "preallocation_keeps_bytes_and_extends_with_zeros"),
        (Fault::PreallocationDoesNotExtend, "preallocation_keeps_bytes_and_extends_with_zeros"),
        (Fault::VectoredWritesStopAtTheSystemsLimit, "vectored_writes_equal_plain_ones"),
        (Fault::WritesBeyondTheGreatestOffsetAreIgnored, "ends_above_the_greatest_offset_are_refused"),
        (Fault::HandlesForReadingWrite, "handles_for_reading_change_nothing"),
        (Fault::WritesGoByWholeSectors, "concurrent_writes_do_not_disturb_each_other"),
        (Fault::SyncFails, "syncs_succeed_and_change_nothing"),
    ];
    for (fault, clause) in table {
        let broken = broken_clauses(fault);
        assert!(broken.contains(&clause), "{fault:?} should break {clause}; found broken: {broken:?}");
    }
}

#[test]
#[should_panic(expected = "clauses are broken:\n  a_held_lock_excludes_until_dropped: ")]
fn a_broken_storage_makes_the_suite_panic_with_the_clause() {
    conformance::run(&|| Arc::new(Broken { fault: Fault::LockIsNeverReleased, good: MemStorage::default() }));
}
