//! Waiting for changes to become durable without holding a thread.

use std::sync::{Arc, Weak};

use esker_page_table::Version;
use esker_tickets::Watermark;

use crate::{
    Error,
    store::Inner,
    sync::{Mutex, lock},
};

/// What is durable of a store, for those who wait for it: see [`Ticket`](crate::Ticket).
pub struct Durable {
    /// Not held: a ticket may outlive the store, whose directory is then another's to open.
    inner: Weak<Inner>,
    /// All changes up to this number are durable.
    known: Arc<Mutex<u64>>,
}

impl Durable {
    pub(crate) fn of(inner: &Arc<Inner>) -> Self {
        Self { inner: Arc::downgrade(inner), known: inner.durable.clone() }
    }
}

impl Watermark for Durable {
    type Mark = Version;
    type Error = Error;

    fn mark(passed: u64) -> Version {
        Version::new(passed - 1).expect("a version has passed, of which the first is one")
    }

    fn passed(&self) -> u64 {
        *lock(&self.known) + 1
    }

    fn pass(&self, position: u64) -> Result<u64, Error> {
        match self.passed() {
            passed if passed > position => Ok(passed),
            _ => Ok(self.inner.upgrade().ok_or(Error::Closed)?.make_stable(position)? + 1),
        }
    }
}

impl std::fmt::Debug for Durable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Durable").field("known", &*lock(&self.known)).finish_non_exhaustive()
    }
}
