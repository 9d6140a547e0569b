//! The clauses about several handles and several threads.
//!
//! Owns small, short races: enough to make a missing lock show, not to prove its absence. Refuses overlapping writes,
//! about which the contract says nothing that could be checked.
//!
//! # Invariants
//!
//! C1 and C2 of the suite.

use std::{
    io::{ErrorKind, IoSlice},
    thread,
};

use super::{Expected, Violation, ensure, expect_bytes, expect_error};
use crate::{Access, Storage, StorageFile};

const THREADS: usize = 8;

pub(super) fn handles_for_reading_change_nothing(storage: &dyn Storage) -> Result<(), Violation> {
    storage.create("file").expected("creating")?.write_all_at(b"kept", 0).expected("writing")?;
    let reader = storage.open("file", Access::Read).expected("opening for reading")?;
    let refused = [ErrorKind::PermissionDenied];
    expect_error(reader.write_all_at(b"x", 0), &refused, "writing through a handle for reading")?;
    let srcs = [IoSlice::new(b"x")];
    expect_error(reader.write_all_vectored_at(&srcs, 0), &refused, "writing slices through it")?;
    expect_error(reader.set_len(0), &refused, "cutting through it")?;
    expect_error(reader.set_len(10), &refused, "extending through it")?;
    expect_error(reader.preallocate(0, 10), &refused, "preallocating through it")?;
    expect_error(reader.sync_data(), &refused, "syncing data through it")?;
    expect_error(reader.sync_all(), &refused, "syncing through it")?;
    expect_bytes(&*reader, b"kept", "after all that was refused")
}

pub(super) fn handles_on_one_file_see_each_other(storage: &dyn Storage) -> Result<(), Violation> {
    let first = storage.create("file").expected("creating")?;
    let second = storage.open("file", Access::ReadWrite).expected("opening for writing")?;
    let reader = storage.open("file", Access::Read).expected("opening for reading")?;
    first.write_all_at(b"from the first", 0).expected("writing through the first handle")?;
    expect_bytes(&*second, b"from the first", "through the second handle")?;
    second.write_all_at(b"FROM", 0).expected("writing through the second handle")?;
    for (handle, what) in [(&first, "through the first handle"), (&reader, "through the handle for reading")] {
        expect_bytes(&**handle, b"FROM the first", what)?;
    }
    second.set_len(4).expected("cutting through the second handle")?;
    expect_bytes(&*first, b"FROM", "after a cut through the other handle")?;
    drop(first);
    expect_bytes(&*second, b"FROM", "after the first handle was dropped")
}

pub(super) fn handles_never_reach_another_file(storage: &dyn Storage) -> Result<(), Violation> {
    let file = storage.create("old").expected("creating")?;
    file.write_all_at(b"one", 0).expected("writing")?;
    storage.rename("old", "new").expected("renaming an open file")?;
    file.write_all_at(b"ONE", 0).expected("writing to a renamed file")?;
    expect_bytes(&*storage.open("new", Access::Read).expected("opening the new name")?, b"ONE", "under the new name")?;

    storage.remove("new").expected("removing an open file")?;
    let other = storage.create("new").expected("creating the name again")?;
    other.write_all_at(b"two", 0).expected("writing")?;
    // Whether this works is left open; where it goes is not.
    let _ = file.write_all_at(b"XXX", 0);
    let mut found = [0; 3];
    if file.read_at(&mut found, 0).is_ok() {
        ensure!(&found != b"two", "a handle on a removed file reads the file that took its name");
    }
    expect_bytes(&*other, b"two", "after a write through a handle on the removed file")
}

/// Each thread writes every eighth piece, in pieces that share sectors and pages with their neighbours, and reads back
/// its own last piece each time.
pub(super) fn concurrent_writes_do_not_disturb_each_other(storage: &dyn Storage) -> Result<(), Violation> {
    const PIECE: usize = 173;
    const PIECES: usize = 400;
    let file = storage.create("file").expected("creating")?;
    let write_pieces = |thread: usize, handle: &dyn StorageFile| {
        for piece in (thread..PIECES).step_by(THREADS) {
            let src = [piece as u8 | 1; PIECE];
            let offset = (piece * PIECE) as u64;
            if piece % 2 == 0 {
                handle.write_all_at(&src, offset).expected("writing")?;
            } else {
                let (front, back) = src.split_at(PIECE / 2);
                let srcs = [IoSlice::new(front), IoSlice::new(back)];
                handle.write_all_vectored_at(&srcs, offset).expected("writing two slices")?;
            }
            let mut found = [0; PIECE];
            handle.read_exact_at(&mut found, offset).expected("reading back")?;
            ensure!(found == src, "piece {piece} changed between its write and its writer's read");
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let shared = &file;
                scope.spawn(move || match thread % 2 {
                    0 => write_pieces(thread, &**shared),
                    _ => write_pieces(thread, &*storage.open("file", Access::ReadWrite).expected("opening")?),
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| joined(thread.join()))
    })?;
    let expected: Vec<u8> = (0..PIECES).flat_map(|piece| [piece as u8 | 1; PIECE]).collect();
    expect_bytes(&*file, &expected, "after all threads wrote")
}

pub(super) fn concurrent_creations_have_one_winner(storage: &dyn Storage) -> Result<(), Violation> {
    for round in 0..20 {
        let name = format!("file-{round}");
        let created = || match storage.create(&name) {
            Ok(_) => Ok(1),
            Err(error) => {
                expect_error::<()>(Err(error), &[ErrorKind::AlreadyExists], "creating a name in a race").map(|()| 0)
            }
        };
        let winners: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(created)).collect();
            threads.into_iter().map(|thread| joined(thread.join())).sum::<Result<usize, Violation>>()
        })?;
        ensure!(winners == 1, "{winners} of {THREADS} threads created the same file");
    }
    Ok(())
}

/// A thread's answer; a panic inside the storage is a violation like any other.
pub(super) fn joined<T>(result: thread::Result<Result<T, Violation>>) -> Result<T, Violation> {
    result.unwrap_or_else(|_| Err(Violation::new("a thread panicked inside the storage".to_owned())))
}
