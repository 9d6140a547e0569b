//! Who reads a buffer's memory, counted where readers do not meet.
//!
//! Owns the pins of one buffer and the LSN by which its life can be found. Refuses to touch the memory.

use crossbeam_utils::CachePadded;
use esker_format::Lsn;

use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

/// How many counters a buffer's readers are spread over. Threads share one by chance only; a model has one, so that
/// there is less to try.
const STRIPES: usize = if cfg!(all(test, loom)) { 1 } else { 8 };

/// Says that the buffer is in no life that may be read. No message begins there.
const NOBODY: u64 = u64::MAX;

/// The readers of one buffer.
#[derive(Debug)]
pub(crate) struct Readers {
    /// The first LSN of the life that may be read.
    life: AtomicU64,
    /// Whether somebody waits for the pins to go.
    awaited: AtomicBool,
    pins: [CachePadded<AtomicU32>; STRIPES],
}

impl Readers {
    pub(crate) fn new() -> Self {
        Self {
            life: AtomicU64::new(NOBODY),
            awaited: AtomicBool::new(false),
            pins: std::array::from_fn(|_| CachePadded::new(AtomicU32::new(0))),
        }
    }

    /// Lets readers into the life that begins at `first`. Called after the life was opened.
    pub(crate) fn open(&self, first: Lsn) {
        // ORDERING: Relaxed: written by whoever opens and closes, one at a time under the roll lock; readers that see it
        // late only take a lock for nothing.
        self.awaited.store(false, Ordering::Relaxed);
        // ORDERING: Release pairs with the load in `life` and the fence in `pin` [P4]: where the life's bytes belong is seen by
        // its readers.
        self.life.store(first.get(), Ordering::Release);
    }

    /// Lets nobody in any more, and says whether everybody is out. Whoever is not will notify (see [`Pin::release`]).
    pub(crate) fn close(&self) -> bool {
        // ORDERING: Relaxed: ordered against the readers' side by the fence.
        self.awaited.store(true, Ordering::Relaxed);
        self.life.store(NOBODY, Ordering::Relaxed);
        // ORDERING: SeqCst pairs with the fences in `pin` and in `Pin::release` [P5]: of two fences one comes first, so that
        // either the reader sees that the life has ended, or that it is awaited, or its pin, or its absence, is seen here.
        fence(Ordering::SeqCst);
        // ORDERING: Acquire pairs with the Release in `Pin::release` [P6]: what readers did comes before the next life.
        self.pins.iter().all(|pins| pins.load(Ordering::Acquire) == 0)
    }

    /// The first LSN of the life that may be read now, if any.
    pub(crate) fn life(&self) -> Option<Lsn> {
        // ORDERING: Relaxed: a hint; a pin's holder looks again. The fence in `pin` makes it an Acquire of what `open` did [P4].
        let first = self.life.load(Ordering::Relaxed);
        (first != NOBODY).then_some(Lsn::new(first))
    }

    /// Keeps the present life from ending (I6), if it has not yet: see [`Readers::is_open`].
    pub(crate) fn pin(&self) -> Pin<'_> {
        let pins = &*self.pins[stripe::of_this_thread()];
        // ORDERING: Relaxed: ordered against `close` by the fence.
        pins.fetch_add(1, Ordering::Relaxed);
        // ORDERING: SeqCst pairs with the fence in `close` [P5]; and, after `life`, with the Release in `open` [P4].
        fence(Ordering::SeqCst);
        Pin { readers: self, pins }
    }

    /// Whether the life that begins at `first`, which [`Readers::life`] returned before the pin was taken, goes on. For holders
    /// of a pin: then it does so as long as they hold it.
    pub(crate) fn is_open(&self, first: Lsn) -> bool {
        // ORDERING: Relaxed: the same value was seen by `life`, and the fence in `pin` came after that [P4].
        self.life.load(Ordering::Relaxed) == first.get()
    }
}

/// A pinned life. To be given back by [`Pin::release`], since somebody may have to be notified.
#[derive(Debug)]
#[must_use]
pub(crate) struct Pin<'a> {
    readers: &'a Readers,
    pins: &'a AtomicU32,
}

impl Pin<'_> {
    /// Ends the reader's stay. Returns whether somebody waits for it, who is then to be notified.
    pub(crate) fn release(self) -> bool {
        // ORDERING: Release pairs with the Acquire in `close` [P6]: what was read was read before the next life.
        self.pins.fetch_sub(1, Ordering::Release);
        // ORDERING: SeqCst pairs with the fence in `close` [P5].
        fence(Ordering::SeqCst);
        // ORDERING: Relaxed: ordered by the fence.
        self.readers.awaited.load(Ordering::Relaxed)
    }
}

/// Which counter a thread uses. Never loom's: it changes nothing but speed.
mod stripe {
    use std::cell::Cell;

    use super::STRIPES;
    use crate::sync::{CounterU64, Ordering};

    static NEXT: CounterU64 = CounterU64::new(0);

    thread_local! {
        static OWN: Cell<usize> = const { Cell::new(usize::MAX) };
    }

    pub(super) fn of_this_thread() -> usize {
        OWN.with(|own| {
            if own.get() == usize::MAX {
                // ORDERING: Relaxed: only a number.
                own.set(NEXT.fetch_add(1, Ordering::Relaxed) as usize % STRIPES);
            }
            own.get()
        })
    }
}
