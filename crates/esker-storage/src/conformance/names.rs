//! The clauses about names: create, open, remove, rename, list.
//!
//! Owns what can be said without looking at more than a few bytes of a file. Refuses crash questions.
//!
//! # Invariants
//!
//! C1 and C2 of the suite.

use std::io::ErrorKind;

use super::{Expected, Violation, ensure, expect_bytes, expect_error};
use crate::{Access, LockError, Storage};

fn listed(storage: &dyn Storage) -> Result<Vec<String>, Violation> {
    let mut names = storage.list().expected("listing")?;
    names.sort_unstable();
    Ok(names)
}

fn expect_listed(storage: &dyn Storage, expected: &[&str], what: &str) -> Result<(), Violation> {
    let names = listed(storage)?;
    ensure!(names == expected, "{what}: the list is {names:?} and not {expected:?}");
    Ok(())
}

pub(super) fn created_files_are_empty_and_listed(storage: &dyn Storage) -> Result<(), Violation> {
    expect_listed(storage, &[], "at first")?;
    for name in ["b", "a", "c.tmp", "blob-0000000000000040-00000001-0000000a"] {
        let file = storage.create(name).expected("creating a file")?;
        expect_bytes(&*file, &[], "a new file")?;
    }
    expect_listed(storage, &["a", "b", "blob-0000000000000040-00000001-0000000a", "c.tmp"], "after four creations")
}

pub(super) fn creating_a_taken_name_fails_and_leaves_the_file(storage: &dyn Storage) -> Result<(), Violation> {
    let file = storage.create("a").expected("creating")?;
    file.write_all_at(b"kept", 0).expected("writing")?;
    expect_error(storage.create("a"), &[ErrorKind::AlreadyExists], "creating a taken name")?;
    expect_bytes(&*file, b"kept", "through the first handle")?;
    let again = storage.open("a", Access::Read).expected("opening")?;
    expect_bytes(&*again, b"kept", "through a second handle")
}

pub(super) fn opening_an_absent_file_fails_and_creates_nothing(storage: &dyn Storage) -> Result<(), Violation> {
    for access in [Access::Read, Access::ReadWrite] {
        expect_error(storage.open("a", access), &[ErrorKind::NotFound], "opening an absent file")?;
    }
    expect_error(storage.remove("a"), &[ErrorKind::NotFound], "removing an absent file")?;
    expect_listed(storage, &[], "after opening and removing what was not there")
}

pub(super) fn removed_names_are_gone_and_free(storage: &dyn Storage) -> Result<(), Violation> {
    let first = storage.create("a").expected("creating")?;
    first.write_all_at(b"first", 0).expected("writing")?;
    drop(first);
    storage.create("b").expected("creating another")?;
    storage.remove("a").expected("removing")?;
    expect_listed(storage, &["b"], "after the removal")?;
    expect_error(storage.open("a", Access::Read), &[ErrorKind::NotFound], "opening a removed file")?;
    expect_error(storage.remove("a"), &[ErrorKind::NotFound], "removing it twice")?;
    let second = storage.create("a").expected("creating a removed name")?;
    expect_bytes(&*second, &[], "a new file of a removed name")
}

pub(super) fn renaming_moves_and_replaces(storage: &dyn Storage) -> Result<(), Violation> {
    let file = storage.create("from").expected("creating")?;
    file.write_all_at(b"moved", 0).expected("writing")?;
    drop(file);
    storage.rename("from", "to").expected("renaming to a free name")?;
    expect_listed(storage, &["to"], "after a rename to a free name")?;
    expect_error(storage.open("from", Access::Read), &[ErrorKind::NotFound], "opening the old name")?;

    storage.create("from").expected("creating")?.write_all_at(b"replacing", 0).expected("writing")?;
    storage.rename("from", "to").expected("renaming to a taken name")?;
    expect_listed(storage, &["to"], "after a rename to a taken name")?;
    let file = storage.open("to", Access::Read).expected("opening the new name")?;
    expect_bytes(&*file, b"replacing", "the file that replaced another")?;
    drop(file);

    storage.rename("to", "to").expected("renaming a file to its own name")?;
    let file = storage.open("to", Access::Read).expected("opening what was renamed to itself")?;
    expect_bytes(&*file, b"replacing", "the file that was renamed to itself")
}

pub(super) fn failed_renames_change_nothing(storage: &dyn Storage) -> Result<(), Violation> {
    storage.create("to").expected("creating")?.write_all_at(b"kept", 0).expected("writing")?;
    expect_error(storage.rename("from", "to"), &[ErrorKind::NotFound], "renaming an absent file")?;
    expect_error(storage.rename("from", "from"), &[ErrorKind::NotFound], "renaming an absent file to itself")?;
    expect_listed(storage, &["to"], "after a rename that failed")?;
    let file = storage.open("to", Access::Read).expected("opening")?;
    expect_bytes(&*file, b"kept", "after a rename that failed")
}

pub(super) fn invalid_names_are_refused_everywhere(storage: &dyn Storage) -> Result<(), Violation> {
    storage.create("a").expected("creating")?;
    let long = "n".repeat(crate::NAME_BYTES_MAX + 1);
    for name in ["", ".", "..", "x/y", "/x", "../a", "./a", "a/", "x\\y", "x\0", "x:y", "a.", "nul", &long] {
        let refused = [ErrorKind::InvalidInput];
        expect_error(storage.create(name), &refused, &format!("creating {name:?}"))?;
        for access in [Access::Read, Access::ReadWrite] {
            expect_error(storage.open(name, access), &refused, &format!("opening {name:?}"))?;
        }
        expect_error(storage.remove(name), &refused, &format!("removing {name:?}"))?;
        expect_error(storage.rename(name, "a"), &refused, &format!("renaming {name:?}"))?;
        expect_error(storage.rename("a", name), &refused, &format!("renaming to {name:?}"))?;
        match storage.lock(name) {
            Err(LockError::Io(error)) => expect_error::<()>(Err(error), &refused, &format!("locking {name:?}"))?,
            other => return Err(Violation::new(format!("locking {name:?} gave {other:?}"))),
        }
    }
    expect_listed(storage, &["a"], "after invalid names were refused")
}

pub(super) fn directory_syncs_succeed_and_change_nothing(storage: &dyn Storage) -> Result<(), Violation> {
    storage.sync_dir().expected("syncing an empty directory")?;
    storage.create("a").expected("creating")?.write_all_at(b"kept", 0).expected("writing")?;
    storage.sync_dir().expected("syncing the directory")?;
    storage.sync_dir().expected("syncing the directory twice")?;
    expect_listed(storage, &["a"], "after a sync of the directory")?;
    let file = storage.open("a", Access::Read).expected("opening")?;
    expect_bytes(&*file, b"kept", "after a sync of the directory")
}
