//! Small numbers and marks that threads share.
//!
//! Owns [`Counter`], [`Touch`] and [`Decision`]: here, so that the layers above need no atomics of their own.

use std::fmt;

use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// A number that many threads count with.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Begins to count here.
    #[must_use]
    pub fn new(start: u64) -> Self {
        Self(AtomicU64::new(start))
    }

    /// The number, which then is the next one: each is given out once. What a thread did before it took a number is seen by
    /// those who take a later one, and by those who [see](Counter::get) that it was taken.
    #[inline]
    pub fn take(&self) -> u64 {
        // ORDERING: AcqRel pairs with itself and with the Acquire in `get` [P6]: what was done before a number was taken.
        self.0.fetch_add(1, Ordering::AcqRel)
    }

    /// As [`take`](Counter::take), for so many numbers that follow each other. Returns the first.
    #[inline]
    pub fn take_many(&self, count: u64) -> u64 {
        // ORDERING: AcqRel, as in `take` [P6].
        self.0.fetch_add(count, Ordering::AcqRel)
    }

    /// The number that is given out next.
    #[inline]
    pub fn get(&self) -> u64 {
        // ORDERING: Acquire pairs with the Release in `take` [P6].
        self.0.load(Ordering::Acquire)
    }

    /// Adds to a sum.
    #[inline]
    pub fn add(&self, amount: u64) {
        // ORDERING: Relaxed: only a sum.
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Subtracts from a sum what was added before, or will be by somebody who is doing it now.
    #[inline]
    pub fn subtract(&self, amount: u64) {
        // ORDERING: Relaxed: only a sum.
        self.0.fetch_sub(amount, Ordering::Relaxed);
    }

    /// The sum. If more was subtracted than was added so far, it is zero.
    #[inline]
    pub fn sum(&self) -> u64 {
        // ORDERING: Relaxed: only a sum.
        u64::try_from(self.0.load(Ordering::Relaxed).cast_signed()).unwrap_or(0)
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sum().fmt(f)
    }
}

/// Whether something was used since somebody last looked: the mark of a cache that evicts by the clock.
#[derive(Debug, Default)]
pub struct Touch(AtomicBool);

impl Touch {
    /// Touched already, as what is new.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicBool::new(true))
    }

    /// Marks it as used. Writes only if nobody did since it was looked at, so that its line stays shared.
    #[inline]
    pub fn touch(&self) {
        // ORDERING: Relaxed for both: a hint.
        if !self.0.load(Ordering::Relaxed) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it was used, and takes the mark away.
    #[inline]
    pub fn take(&self) -> bool {
        // ORDERING: Relaxed for both: a hint.
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed)
    }
}

const UNDECIDED: u32 = 0;
const HOLDS: u32 = 1;
const REFUSED: u32 = 2;

/// Whether several changes hold, all or none: what makes them one. Decided once, by whoever comes first.
#[derive(Debug, Default)]
pub struct Decision(AtomicU32);

impl Decision {
    /// Not decided yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Decides that the changes hold, unless they were refused. What was done before is seen by whoever
    /// [sees](Decision::holds) that they hold. Returns whether they do.
    pub fn hold(&self) -> bool {
        // ORDERING: Release pairs with the Acquire in `holds` [P7]: all the changes. Relaxed if it was refused: the one who
        // asks has made them.
        self.0.compare_exchange(UNDECIDED, HOLDS, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Decides that the changes do not hold, unless it was decided.
    pub fn refuse(&self) {
        // ORDERING: Relaxed: everything is as it was before, and there is nothing to see.
        let _ = self.0.compare_exchange(UNDECIDED, REFUSED, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether the changes hold; `None` while that is not decided.
    #[inline]
    pub fn holds(&self) -> Option<bool> {
        // ORDERING: Acquire pairs with the Release in `hold` [P7]: all the changes.
        match self.0.load(Ordering::Acquire) {
            UNDECIDED => None,
            HOLDS => Some(true),
            _ => Some(false),
        }
    }
}
