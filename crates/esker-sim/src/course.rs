//! The course of a call, from its arrival to its return.
//!
//! Owns the mutex around the disk, and the order of waiting and taking effect. Refuses to know what a call does.
//!
//! # Invariants
//!
//! - **W1 (one at a time):** every call takes effect with the mutex held, so that effects have an order, and a crash falls
//!   between two of them or into exactly one. A call that neither is slow nor hangs holds it from beginning to end.
//! - **W2 (nobody waits inside):** a call that waits holds nothing that another one needs.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{counts::Kind, disk::Disk, error, pace::Pace, stall::Wait};

#[derive(Debug)]
pub(crate) struct Course {
    disk: Mutex<Disk>,
    pace: Arc<dyn Pace>,
}

impl Course {
    pub(crate) fn new(disk: Disk, pace: Arc<dyn Pace>) -> Self {
        Self { disk: Mutex::new(disk), pace }
    }

    /// The same for another disk.
    pub(crate) fn of(&self, disk: Disk) -> Self {
        Self::new(disk, Arc::clone(&self.pace))
    }

    /// A test that panicked in another thread must not hide behind a poisoned mutex: its disk is still in order, since
    /// nothing in it runs the test's code.
    pub(crate) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those who hang may have been released. To be called without the mutex.
    pub(crate) fn wake(&self) {
        self.pace.wake();
    }

    /// One call. `passes` says whether the contract lets it pass as things are when it arrives: others do not wait.
    pub(crate) fn call<T, E: From<io::Error>>(
        &self,
        kind: Kind,
        passes: impl FnOnce(&Disk) -> bool,
        effect: impl FnOnce(&mut Disk) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut disk = self.disk();
        let stall = if disk.is_on() && passes(&disk) { disk.arrive(kind) } else { None };
        let Some(stall) = stall else { return self.take_effect(disk, effect) };
        drop(disk);
        self.wait(&stall.before);
        let result = self.take_effect(self.disk(), effect);
        self.wait(&stall.after);
        // K2: the power may have failed since the call took effect.
        if self.disk().is_on() { result } else { Err(error::power_off().into()) }
    }

    fn take_effect<T>(&self, mut disk: MutexGuard<'_, Disk>, effect: impl FnOnce(&mut Disk) -> T) -> T {
        let was_on = disk.is_on();
        let result = effect(&mut disk);
        let goes_dark = was_on && !disk.is_on();
        drop(disk);
        if goes_dark {
            self.wake();
        }
        result
    }

    fn wait(&self, wait: &Wait) {
        for _ in 0..wait.ticks {
            self.pace.tick();
        }
        if wait.hangs {
            let since = self.disk().stalls().hang();
            self.pace.sleep_until(&|| {
                let mut disk = self.disk();
                !disk.is_on() || disk.stalls().is_released(since)
            });
            self.disk().stalls().go_on();
        }
    }
}
