//! The only source of locks and threads in this crate: the standard library's and crossbeam's, or shuttle's when whole logs
//! are simulated (`cargo xtask sim`).
//!
//! What waits for time stays outside: a simulation has no background thread, whose work is a step like others there.

#[cfg(shuttle)]
pub(crate) use shuttle::{
    sync::{
        Mutex, MutexGuard, RwLock as ShardedLock, RwLockReadGuard as ShardedLockReadGuard,
        RwLockWriteGuard as ShardedLockWriteGuard,
    },
    thread,
};
#[cfg(not(shuttle))]
pub(crate) use {
    crossbeam_utils::sync::{ShardedLock, ShardedLockReadGuard, ShardedLockWriteGuard},
    std::{
        sync::{Mutex, MutexGuard},
        thread,
    },
};
