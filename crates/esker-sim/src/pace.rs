//! How calls wait.
//!
//! Owns the trait by which a test brings a scheduler of its own, and the one for threads of the operating system. Refuses
//! clocks: a slow call lets others run, and how long that takes is theirs to say.

use std::{
    fmt::Debug,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// How slow calls pass the time and hung ones sleep: see [`SimStorage::with_pace`](crate::SimStorage::with_pace).
///
/// No lock of the disk is held while a method is called. For a scheduler such as shuttle's, [`tick`](Self::tick) is its
/// yield, and the other two are its mutex and its condition variable: so it knows who waits, and sees it when all do.
pub trait Pace: Debug + Send + Sync {
    /// Lets others run: one unit of simulated time.
    fn tick(&self);

    /// Sleeps until `is_over`, which is to be asked at the beginning and after every [`wake`](Self::wake). A wake that
    /// comes while it answers must not be missed.
    fn sleep_until(&self, is_over: &dyn Fn() -> bool);

    /// Wakes all who sleep.
    fn wake(&self);
}

/// For threads of the operating system: a tick is a yield, and hung calls sleep on a condition variable.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    asking: Mutex<()>,
    woken: Condvar,
}

impl Threads {
    fn lock(&self) -> MutexGuard<'_, ()> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pace for Threads {
    fn tick(&self) {
        thread::yield_now();
    }

    fn sleep_until(&self, is_over: &dyn Fn() -> bool) {
        let mut asking = self.lock();
        while !is_over() {
            asking = self.woken.wait(asking).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn wake(&self) {
        // Whoever has asked and does not sleep yet holds the lock.
        drop(self.lock());
        self.woken.notify_all();
    }
}
