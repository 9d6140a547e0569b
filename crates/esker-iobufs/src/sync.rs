//! The only source of atomics, locks, cells and threads in this crate: the standard library's, or loom's when the models
//! run (`cargo xtask loom`), or shuttle's when whole logs are simulated (`cargo xtask sim`).

#[cfg(all(test, loom))]
pub(crate) use loom::{
    cell::UnsafeCell,
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence},
    },
    thread,
};
#[cfg(all(shuttle, not(all(test, loom))))]
pub(crate) use shuttle::{
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence},
    },
    thread,
};
#[cfg(not(any(shuttle, all(test, loom))))]
pub(crate) use std::{
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence},
    },
    thread,
};

/// Whether a scheduler decides who runs when. It knows no time, so that nothing may depend on how long something takes.
pub(crate) const IS_SIMULATED: bool = cfg!(any(shuttle, all(test, loom)));

/// The atomic behind a statistics counter. Never loom's: counters order nothing, and each would multiply the schedules of
/// every model.
pub(crate) use std::sync::atomic::AtomicU64 as CounterU64;

/// Locks `mutex`. A holder that panicked is ignored: no code of this crate panics between two changes that belong
/// together, so what the mutex guards is whole.
#[cfg(not(esker_tsan))]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Waits on `condvar` with the lock of `mutex`, ignoring panics as [`lock`] does. May wake without cause.
#[cfg(not(esker_tsan))]
pub(crate) fn wait<'a, T>(condvar: &Condvar, _: &'a Mutex<T>, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar.wait(guard).unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// [`lock`] for `cargo xtask sanitize thread`. ThreadSanitizer sees what is compiled into this crate, which an attempt to
/// lock is; it does not see inside the standard library, where a thread waits for a lock.
#[cfg(esker_tsan)]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    loop {
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => thread::yield_now(),
        }
    }
}

/// [`wait`] for ThreadSanitizer: as waking without cause is allowed, it need not wait.
#[cfg(esker_tsan)]
pub(crate) fn wait<'a, T>(_: &Condvar, mutex: &'a Mutex<T>, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    drop(guard);
    thread::yield_now();
    lock(mutex)
}

/// A thread by its name and number. Never loom's: it is told to people.
pub(crate) use std::thread::Thread as ThreadName;

/// The thread that calls this.
pub(crate) fn this_thread() -> ThreadName {
    std::thread::current()
}

/// How many threads can run at once, or one if nobody says.
pub(crate) fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX))
}

/// Whether this thread is unwinding.
pub(crate) fn is_panicking() -> bool {
    std::thread::panicking()
}

/// As [`model`], for a model of more threads than the others: with so many preemptions fewer than are asked for, but one.
#[cfg(test)]
pub(crate) fn wide_model(fewer: usize, f: impl Fn() + Send + Sync + 'static) {
    #[cfg(loom)]
    {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = builder.preemption_bound.map(|bound| bound.saturating_sub(fewer).max(1));
        builder.check(f);
    }
    #[cfg(not(loom))]
    {
        _ = fewer;
        f();
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
