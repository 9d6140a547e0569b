//! For models: whether what lies beside a witness was published to whoever looks at it. Reading an atomic is never a race, so
//! that atomics alone do not tell.

/// Nothing, outside of models.
#[derive(Debug)]
pub(crate) struct Witness {
    #[cfg(all(test, loom))]
    cell: loom::cell::UnsafeCell<()>,
}

impl Witness {
    /// Made by whoever publishes.
    #[inline]
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(all(test, loom))]
            cell: loom::cell::UnsafeCell::new(()),
        }
    }

    /// Fails a model in which this was not published to the calling thread.
    #[inline]
    pub(crate) fn look(&self) {
        #[cfg(all(test, loom))]
        self.cell.with(|_| ());
    }
}

// SAFETY: I2 (pinned nodes) and I3 (chunks stay) are what is to be shown: a model that accesses the cell without having been
// ordered after its making is ended by loom, and there is nothing in it.
#[cfg(all(test, loom))]
#[expect(unsafe_code, reason = "loom's cell is not Sync, as it is there to find out who shares it")]
unsafe impl Sync for Witness {}
