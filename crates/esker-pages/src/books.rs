//! How much of each segment is live.
//!
//! Owns the sums, and what they tell of where records belong. Exact whenever no operation is under way: what a page's records
//! take is added after the page was put into the table, and taken away after it was replaced.

use esker_format::{Lsn, SEGMENT_HEADER_BYTES, SegmentBytes};
use esker_segments::{
    UsageTable,
    cleaning::{Placement, Policy},
};

use crate::{
    node::Fragment,
    sync::{Mutex, lock},
};

/// The usage of the segments.
#[derive(Debug)]
pub(crate) struct Books {
    segment_bytes: SegmentBytes,
    sums: Mutex<Sums>,
}

#[derive(Debug)]
struct Sums {
    usage: UsageTable,
    /// What was written by users, with the records' headers.
    user_bytes: u64,
    /// What was moved.
    moved_bytes: u64,
    /// When users have written so much, somebody is to look whether there is something to do.
    upkeep_at: u64,
}

/// The books at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) live_bytes: u64,
    pub(crate) user_bytes: u64,
    pub(crate) moved_bytes: u64,
}

impl Books {
    pub(crate) fn new(segment_bytes: SegmentBytes, policy: &dyn Policy) -> Self {
        let capacity_bytes = u64::from(segment_bytes.get()) - SEGMENT_HEADER_BYTES as u64;
        let usage = UsageTable::new(policy.boxed(), capacity_bytes);
        Self {
            segment_bytes,
            sums: Mutex::new(Sums { usage, user_bytes: 0, moved_bytes: 0, upkeep_at: capacity_bytes }),
        }
    }

    /// Where a user's record is to go, in the place of `replaced`.
    pub(crate) fn place_write(&self, replaced: Option<Fragment>) -> Placement {
        lock(&self.sums).usage.place_write(replaced.map(|fragment| self.base(fragment)))
    }

    /// Where what is live of a segment is to go.
    pub(crate) fn place_move(&self, victim: Lsn) -> Placement {
        lock(&self.sums).usage.place_move(victim)
    }

    /// A record is about to come to a place.
    pub(crate) fn expect(&self, lsn: Lsn, placement: &Placement) {
        lock(&self.sums).usage.expect(lsn.segment_base(self.segment_bytes), placement.stream);
    }

    /// A user's record is live, in the place of `dead`. Says, for each segment that users have filled, once that it is time for
    /// upkeep.
    #[must_use]
    pub(crate) fn written(
        &self,
        live: Fragment,
        placement: &Placement,
        dead: impl IntoIterator<Item = Fragment>,
    ) -> bool {
        let mut sums = lock(&self.sums);
        sums.user_bytes += u64::from(live.bytes());
        sums.usage.written(self.base(live), live.bytes(), placement);
        dead.into_iter().for_each(|dead| sums.usage.died(self.base(dead), dead.bytes()));
        let is_due = sums.user_bytes >= sums.upkeep_at;
        if is_due {
            sums.upkeep_at = sums.user_bytes + u64::from(self.segment_bytes.get());
        }
        is_due
    }

    /// A record was moved.
    pub(crate) fn moved(&self, live: Fragment, placement: &Placement, dead: impl IntoIterator<Item = Fragment>) {
        let mut sums = lock(&self.sums);
        sums.moved_bytes += u64::from(live.bytes());
        sums.usage.moved(self.base(live), live.bytes(), placement);
        dead.into_iter().for_each(|dead| sums.usage.left(self.base(dead), dead.bytes()));
    }

    /// A record was found by recovery.
    pub(crate) fn found(&self, live: Fragment) {
        lock(&self.sums).usage.found(self.base(live), 0, live.bytes());
    }

    /// There are no more to be found.
    pub(crate) fn all_found(&self) {
        lock(&self.sums).usage.all_found();
    }

    /// A record is live no more, and nothing took its place.
    pub(crate) fn died(&self, dead: Fragment) {
        lock(&self.sums).usage.died(self.base(dead), dead.bytes());
    }

    /// A segment is not there any more: what was left in it was replaced, and is about to be taken away.
    pub(crate) fn forget(&self, base: Lsn) {
        lock(&self.sums).usage.forget(base);
    }

    /// The live bytes of a segment.
    #[cfg(test)]
    pub(crate) fn live_bytes_in(&self, segment: Lsn) -> u64 {
        lock(&self.sums).usage.live_bytes_in(segment)
    }

    /// The live bytes of each of these segments.
    pub(crate) fn live_bytes_of(&self, segments: impl Iterator<Item = Option<Lsn>>) -> Vec<u64> {
        let sums = lock(&self.sums);
        segments.map(|base| base.map_or(0, |base| sums.usage.live_bytes_in(base))).collect()
    }

    /// The segment that is to be cleaned first.
    pub(crate) fn choose(&self, candidates: impl IntoIterator<Item = Lsn>, live_bytes_max: u64) -> Option<Lsn> {
        let sums = lock(&self.sums);
        let usage = &sums.usage;
        usage.choose(candidates.into_iter().filter(|&base| usage.live_bytes_in(base) <= live_bytes_max))
    }

    pub(crate) fn totals(&self) -> Totals {
        let sums = lock(&self.sums);
        Totals { live_bytes: sums.usage.live_bytes(), user_bytes: sums.user_bytes, moved_bytes: sums.moved_bytes }
    }

    fn base(&self, fragment: Fragment) -> Lsn {
        fragment.lsn.segment_base(self.segment_bytes)
    }
}
