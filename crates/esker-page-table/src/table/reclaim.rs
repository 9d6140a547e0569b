//! When a node that was taken out of a table is dropped: when nobody can have it any more.
//!
//! Owns the use of epochs, which are crossbeam-epoch's. Refuses to know tables.
//!
//! A model has no epochs: crossbeam-epoch has models of its own, and what is to be checked here is the table. In a model a
//! node that was retired is kept until the table is dropped, which is later than any guard.

#[cfg(all(test, loom))]
use crate::sync::PlainMutex;

/// Keeps nodes that this thread can see from being dropped while it is held (I2).
///
/// It is a pinned epoch of crossbeam-epoch's default collector: to hold one for long keeps whatever is retired meanwhile, by
/// any table or log of the process, in memory. Many may be held at once by one thread; all but the first cost next to nothing.
#[derive(Debug)]
pub struct Guard {
    #[cfg(not(all(test, loom)))]
    epoch: crossbeam_epoch::Guard,
    /// As the other one, it stays with its thread.
    #[cfg(all(test, loom))]
    epoch: std::marker::PhantomData<*const ()>,
}

/// Pins the current epoch for this thread. Never waits.
#[must_use]
#[inline]
pub fn pin() -> Guard {
    Guard {
        #[cfg(not(all(test, loom)))]
        epoch: crossbeam_epoch::pin(),
        #[cfg(all(test, loom))]
        epoch: std::marker::PhantomData,
    }
}

#[cfg(not(all(test, loom)))]
impl Guard {
    /// Lets go of the epoch and pins the current one, unless this thread holds another guard. For those who hold a guard
    /// for long.
    #[inline]
    pub fn repin(&mut self) {
        self.epoch.repin();
    }

    /// Offers what this thread has retired to be dropped as soon as it can be, rather than when there is more of it.
    pub fn flush(&self) {
        self.epoch.flush();
    }
}

/// Where the retired nodes of a table are, if not with the collector.
#[derive(Default)]
pub(super) struct Retired {
    #[cfg(all(test, loom))]
    drops: PlainMutex<Vec<Box<dyn FnOnce()>>>,
}

impl Retired {
    /// Drops `node` when no guard is held any more that was pinned before this.
    ///
    /// # Safety
    ///
    /// The node was made by [`Box::into_raw`], was taken out of its table, so that whoever pins an epoch from now on does
    /// not find it, and is not retired twice. It may be dropped by any thread, and at any time from then on.
    #[cfg(not(all(test, loom)))]
    #[expect(unsafe_code, reason = "a node is dropped when nobody can have it")]
    pub(super) unsafe fn retire<N>(&self, node: *mut N, guard: &Guard) {
        // SAFETY: I1 (one owner), I2 (pinned nodes): the caller has promised that nobody finds the node from now on and that
        // nobody else drops it. Those who have found it hold a guard of the same collector, as `Guard` can be made in no other
        // way than by `pin`; the collector runs this when they are gone.
        let drop = move || unsafe { drop_node(node) };
        // SAFETY: I2 (pinned nodes): the caller has promised that the node may be dropped by any thread, and later.
        unsafe { guard.epoch.defer_unchecked(drop) };
    }

    /// Keeps `node` until the table is dropped.
    ///
    /// # Safety
    ///
    /// As for the other one.
    #[cfg(all(test, loom))]
    #[expect(unsafe_code, reason = "as the other one")]
    pub(super) unsafe fn retire<N: 'static>(&self, node: *mut N, _: &Guard) {
        // SAFETY: I1 (one owner), I2 (pinned nodes): as in the other one; this is run when the table is dropped.
        self.drops.lock().unwrap().push(Box::new(move || unsafe { drop_node(node) }));
    }
}

#[cfg(all(test, loom))]
impl Drop for Retired {
    fn drop(&mut self) {
        self.drops.get_mut().unwrap().drain(..).for_each(|drop| drop());
    }
}

/// Drops a node now.
///
/// # Safety
///
/// The node was made by [`Box::into_raw`], nobody has it any more, and nobody else drops it.
#[expect(unsafe_code, reason = "a node is dropped when nobody can have it")]
pub(super) unsafe fn drop_node<N>(node: *mut N) {
    // SAFETY: I1 (one owner): the caller has vouched for just what this needs.
    drop(unsafe { Box::from_raw(node) });
}
