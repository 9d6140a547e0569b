//! A set of sector numbers, kept as ranges.
//!
//! Owns the bookkeeping of which sectors of a file have space on the disk. Refuses to know what is in them.
//!
//! # Invariants
//!
//! - **A1:** the ranges are not empty and neither overlap nor touch, so there are never more than the writes made gaps.

use std::{collections::BTreeMap, ops::Range};

#[derive(Debug, Clone, Default)]
pub(crate) struct Ranges {
    /// From the start of each range to its end.
    ends: BTreeMap<u64, u64>,
}

impl Ranges {
    pub(crate) fn contains(&self, sector: u64) -> bool {
        self.ends.range(..=sector).next_back().is_some_and(|(_, &end)| sector < end)
    }

    /// How many sectors are in the set.
    pub(crate) fn total(&self) -> u64 {
        self.ends.iter().map(|(start, end)| end - start).sum()
    }

    /// How many sectors of `range` are not in the set.
    pub(crate) fn missing(&self, range: &Range<u64>) -> u64 {
        let present: u64 =
            self.touching(range).map(|(start, end)| end.min(range.end).saturating_sub(start.max(range.start))).sum();
        (range.end - range.start) - present
    }

    pub(crate) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let touching: Vec<(u64, u64)> = self.touching(&range).collect();
        let mut joined = range;
        for (start, end) in touching {
            self.ends.remove(&start);
            joined = joined.start.min(start)..joined.end.max(end);
        }
        self.ends.insert(joined.start, joined.end);
    }

    /// Takes out everything from `sector` on.
    pub(crate) fn truncate(&mut self, sector: u64) {
        self.ends.split_off(&sector);
        if let Some(mut last) = self.ends.last_entry() {
            let end = (*last.get()).min(sector);
            last.insert(end);
        }
    }

    /// The ranges that overlap `range` or border on it.
    fn touching(&self, range: &Range<u64>) -> impl Iterator<Item = (u64, u64)> {
        let start = range.start;
        let ranges = self.ends.range(..=range.end).rev();
        ranges.map(|(&start, &end)| (start, end)).take_while(move |&(_, end)| end >= start)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_equal_a_set_of_numbers(steps in prop::collection::vec((0u64..60, 0u64..12, 0u8..8), 1..60)) {
            let (mut ranges, mut model) = (Ranges::default(), BTreeSet::new());
            for (start, len, action) in steps {
                if action == 0 {
                    ranges.truncate(start);
                    model.retain(|&sector| sector < start);
                } else {
                    let missing = (start..start + len).filter(|sector| !model.contains(sector)).count();
                    prop_assert_eq!(ranges.missing(&(start..start + len)), missing as u64);
                    ranges.insert(start..start + len);
                    model.extend(start..start + len);
                }
                prop_assert_eq!(ranges.total(), model.len() as u64);
                for sector in 0..80 {
                    prop_assert_eq!(ranges.contains(sector), model.contains(&sector), "sector {}", sector);
                }
                let flat: Vec<u64> = ranges.ends.iter().flat_map(|(&start, &end)| [start, end]).collect();
                prop_assert!(flat.is_sorted_by(|a, b| a < b), "{:?} overlap, touch or are empty", flat);
            }
        }
    }
}
