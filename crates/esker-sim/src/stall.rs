//! Calls that are slow or hang.
//!
//! Owns the count of the calls that arrived and the list of those that hang. Refuses to wait: the course of a call does.

use crate::counts::{Counts, Kind};

/// How a call waits before it takes effect, and after that.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    pub(crate) before: Wait,
    pub(crate) after: Wait,
}

#[derive(Debug, Default)]
pub(crate) struct Wait {
    pub(crate) ticks: u64,
    pub(crate) hangs: bool,
}

impl Wait {
    pub(crate) fn of_ticks(ticks: u64) -> Self {
        Self { ticks, hangs: false }
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Stalls {
    /// Counted when they arrive; the disk's own counts tell of those that were begun. The two differ only while calls wait.
    arrived: Counts,
    hanging: u64,
    /// How often those who hang were released: a call that hangs now waits for the next time.
    releases: u64,
}

impl Stalls {
    /// Counts a call that arrives. Returns how many like it came before.
    pub(crate) fn count(&mut self, kind: Kind) -> u64 {
        let number = self.arrived.alike(kind);
        self.arrived.count(kind);
        number
    }

    /// A call begins to hang. Returns what tells whether it was released.
    pub(crate) fn hang(&mut self) -> u64 {
        self.hanging += 1;
        self.releases
    }

    pub(crate) fn is_released(&self, since: u64) -> bool {
        self.releases > since
    }

    /// A call hangs no longer.
    pub(crate) fn go_on(&mut self) {
        self.hanging -= 1;
    }

    pub(crate) fn release(&mut self) {
        self.releases += 1;
    }

    pub(crate) fn hanging(&self) -> u64 {
        self.hanging
    }

    /// On a copy of the disk there are no calls under way.
    pub(crate) fn nobody_hangs(&mut self) {
        self.hanging = 0;
    }
}
