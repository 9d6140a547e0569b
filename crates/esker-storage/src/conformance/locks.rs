//! The clauses about the exclusive lock.
//!
//! Owns what shows within one process. Refuses the question of other processes, which an implementation that promises it
//! must test itself.
//!
//! # Invariants
//!
//! C1 and C2 of the suite.

use std::thread;

use super::{Expected, Violation, ensure, expect_bytes, sharing::joined};
use crate::{Access, LockError, Storage};

fn expect_held(storage: &dyn Storage, name: &str, what: &str) -> Result<(), Violation> {
    match storage.lock(name) {
        Err(LockError::Held) => Ok(()),
        other => Err(Violation::new(format!("{what}: a second lock gave {other:?}"))),
    }
}

pub(super) fn a_held_lock_excludes_until_dropped(storage: &dyn Storage) -> Result<(), Violation> {
    for round in 0..3 {
        let lock = storage.lock("lock").expected("taking a free lock")?;
        expect_held(storage, "lock", &format!("in round {round}"))?;
        expect_held(storage, "lock", &format!("asked again in round {round}"))?;
        let other = storage.lock("other").expected("taking the lock of another file")?;
        drop(other);
        expect_held(storage, "lock", "after another lock was dropped")?;
        drop(lock);
    }
    Ok(())
}

pub(super) fn locking_creates_the_file_and_keeps_its_bytes(storage: &dyn Storage) -> Result<(), Violation> {
    let lock = storage.lock("lock").expected("locking an absent file")?;
    let names = storage.list().expected("listing")?;
    ensure!(names == ["lock"], "after locking an absent file the list is {names:?}");
    drop(lock);
    expect_bytes(&*storage.open("lock", Access::Read).expected("opening")?, &[], "a file created by locking")?;

    // While the lock is held, reading the file may fail on some systems; afterwards it may not.
    storage.create("file").expected("creating")?.write_all_at(b"kept", 0).expected("writing")?;
    let lock = storage.lock("file").expected("locking a file with bytes")?;
    let _ = storage.open("file", Access::Read).map(drop);
    expect_held(storage, "file", "after a handle on the locked file was dropped")?;
    drop(lock);
    expect_bytes(&*storage.open("file", Access::Read).expected("opening")?, b"kept", "after unlocking")
}

pub(super) fn a_lock_has_one_winner_among_threads(storage: &dyn Storage) -> Result<(), Violation> {
    const THREADS: usize = 8;
    for round in 0..10 {
        let lock_once = || match storage.lock("lock") {
            Ok(lock) => Ok(Some(lock)),
            Err(LockError::Held) => Ok(None),
            Err(error) => Err(Violation::new(format!("locking in a race failed: {error}"))),
        };
        // The locks outlive their threads: nobody lets go before everybody has tried.
        let locks: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(lock_once)).collect();
            threads.into_iter().map(|thread| joined(thread.join())).collect::<Result<_, Violation>>()
        })?;
        let winners = locks.iter().flatten().count();
        ensure!(winners == 1, "in round {round}, {winners} of {THREADS} threads got the lock");
    }
    Ok(())
}
