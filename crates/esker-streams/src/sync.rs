//! The only source of locks in this crate: the standard library's and crossbeam's, or shuttle's when whole stores are
//! simulated.

use std::sync::PoisonError;

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{
    Condvar, Mutex, MutexGuard, RwLock as ShardedLock, RwLockReadGuard as ReadGuard, RwLockWriteGuard as WriteGuard,
};
#[cfg(not(shuttle))]
pub(crate) use {
    crossbeam_utils::sync::{ShardedLock, ShardedLockReadGuard as ReadGuard, ShardedLockWriteGuard as WriteGuard},
    std::sync::{Condvar, Mutex, MutexGuard},
};

/// Locks. A thread that panicked with the lock held has left the data as whole as an error would: every change of it is
/// made in one step, after all that can fail.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits on a condition.
pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

/// What readers of a sharded lock see.
pub(crate) fn read<T>(shared: &ShardedLock<T>) -> ReadGuard<'_, T> {
    shared.read().unwrap_or_else(PoisonError::into_inner)
}

/// The right to change what readers of a sharded lock see.
pub(crate) fn write<T>(shared: &ShardedLock<T>) -> WriteGuard<'_, T> {
    shared.write().unwrap_or_else(PoisonError::into_inner)
}
