//! How much of each segment is live.
//!
//! Owns the sums. Exact whenever no operation is under way: what a page's records take is added after the page was put into
//! the table, and taken away after it was replaced.

use std::collections::BTreeMap;

use esker_format::{Lsn, SegmentBytes};

use crate::{
    node::Fragment,
    sync::{Mutex, lock},
};

/// Live bytes by segment.
#[derive(Debug)]
pub(crate) struct Books {
    segment_bytes: SegmentBytes,
    sums: Mutex<Sums>,
}

#[derive(Debug, Default)]
struct Sums {
    /// By the base of the segment. What was added may be taken away before it is added, for a moment.
    segments: BTreeMap<Lsn, i64>,
    all: i64,
    /// What was written by users, with the records' headers.
    user_bytes: u64,
    /// What was moved.
    moved_bytes: u64,
}

/// The books at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) live_bytes: u64,
    pub(crate) user_bytes: u64,
    pub(crate) moved_bytes: u64,
}

impl Books {
    pub(crate) fn new(segment_bytes: SegmentBytes) -> Self {
        Self { segment_bytes, sums: Mutex::default() }
    }

    /// A user's record is live, in the place of `dead`.
    pub(crate) fn written(&self, live: Option<Fragment>, bytes: u32, dead: impl IntoIterator<Item = Fragment>) {
        let mut sums = lock(&self.sums);
        sums.user_bytes += u64::from(bytes);
        if let Some(live) = live {
            self.add(&mut sums, live, 1);
        }
        dead.into_iter().for_each(|dead| self.add(&mut sums, dead, -1));
    }

    /// A record was moved.
    pub(crate) fn moved(&self, live: Fragment, dead: impl IntoIterator<Item = Fragment>) {
        let mut sums = lock(&self.sums);
        sums.moved_bytes += u64::from(live.bytes());
        self.add(&mut sums, live, 1);
        dead.into_iter().for_each(|dead| self.add(&mut sums, dead, -1));
    }

    /// A record was found by recovery.
    pub(crate) fn found(&self, live: Fragment) {
        self.add(&mut lock(&self.sums), live, 1);
    }

    /// A record is live no more, and nothing took its place.
    pub(crate) fn died(&self, dead: Fragment) {
        self.add(&mut lock(&self.sums), dead, -1);
    }

    /// A segment is not there any more.
    pub(crate) fn forget(&self, base: Lsn) {
        let mut sums = lock(&self.sums);
        // What is left was replaced, and is about to be taken away.
        if let Some(rest) = sums.segments.remove(&base) {
            sums.all -= rest;
        }
    }

    /// All segments that have ever had something live, and are there.
    pub(crate) fn segments(&self) -> BTreeMap<Lsn, u64> {
        lock(&self.sums).segments.iter().map(|(&base, &live)| (base, positive(live))).collect()
    }

    pub(crate) fn totals(&self) -> Totals {
        let sums = lock(&self.sums);
        Totals { live_bytes: positive(sums.all), user_bytes: sums.user_bytes, moved_bytes: sums.moved_bytes }
    }

    fn add(&self, sums: &mut Sums, fragment: Fragment, sign: i64) {
        let base = fragment.lsn.segment_base(self.segment_bytes);
        let bytes = sign * i64::from(fragment.bytes());
        if sign > 0 {
            *sums.segments.entry(base).or_default() += bytes;
            sums.all += bytes;
        } else if let Some(live) = sums.segments.get_mut(&base) {
            *live += bytes;
            sums.all += bytes;
        }
    }
}

fn positive(sum: i64) -> u64 {
    u64::try_from(sum).unwrap_or(0)
}
