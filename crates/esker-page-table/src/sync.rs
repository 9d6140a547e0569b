//! The only source of atomics, locks and threads in this crate: the standard library's, or loom's when the models run
//! (`cargo xtask loom`), or shuttle's when whole stores are simulated (`cargo xtask sim`).

#[cfg(all(test, loom))]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence},
};
#[cfg(all(shuttle, not(all(test, loom))))]
pub(crate) use shuttle::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence},
};
#[cfg(not(any(shuttle, all(test, loom))))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence},
};

/// Threads of the tests. Those of this crate's users are their own.
#[cfg(all(test, loom))]
pub(crate) use loom::thread;
#[cfg(all(test, not(loom)))]
pub(crate) use std::thread;

/// A lock that no model looks at.
#[cfg(all(test, loom))]
pub(crate) use std::sync::Mutex as PlainMutex;

/// Locks `mutex`. A holder that panicked is ignored: no code of this crate panics between two changes that belong
/// together, so what the mutex guards is whole.
#[cfg(not(esker_tsan))]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// [`lock`] for `cargo xtask sanitize thread`. ThreadSanitizer sees what is compiled into this crate, which an attempt to
/// lock is; it does not see inside the standard library, where a thread waits for a lock.
#[cfg(esker_tsan)]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    loop {
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => std::thread::yield_now(),
        }
    }
}

/// Runs a model: every schedule of it under loom, one schedule of it in an ordinary test.
#[cfg(test)]
pub(crate) fn model(f: impl Fn() + Send + Sync + 'static) {
    #[cfg(loom)]
    loom::model(f);
    #[cfg(not(loom))]
    f();
}
