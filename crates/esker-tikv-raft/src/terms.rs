//! The terms of entries, as runs of equal ones.

use std::collections::BTreeMap;

/// Which term each entry has. There are as many runs as leaders whose entries are in the log: few.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    /// The first entry of each run, and its term.
    runs: BTreeMap<u64, u64>,
}

impl Terms {
    /// An entry was appended in place of whatever was there, and behind it.
    pub(crate) fn append(&mut self, index: u64, term: u64) {
        self.truncate(index);
        if self.runs.last_key_value().is_none_or(|(_, last)| *last != term) {
            self.runs.insert(index, term);
        }
    }

    /// Entries of this number and above are gone.
    pub(crate) fn truncate(&mut self, index: u64) {
        drop(self.runs.split_off(&index));
    }

    /// Entries of this number and below are gone.
    pub(crate) fn purge(&mut self, index: u64) {
        let next = index.saturating_add(1);
        let Some((_, &term)) = self.runs.range(..=next).next_back() else { return };
        self.runs = self.runs.split_off(&next);
        self.runs.entry(next).or_insert(term);
    }

    /// The term of an entry that there is.
    pub(crate) fn of(&self, index: u64) -> Option<u64> {
        self.runs.range(..=index).next_back().map(|(_, &term)| term)
    }
}

#[cfg(test)]
mod tests {
    use super::Terms;

    #[test]
    fn terms_are_those_of_a_plain_list() {
        let mut terms = Terms::default();
        for (index, term) in [(5, 1), (6, 1), (7, 2), (8, 2), (9, 4)] {
            terms.append(index, term);
        }
        let of = |terms: &Terms, range: std::ops::RangeInclusive<u64>| -> Vec<u64> {
            range.filter_map(|index| terms.of(index)).collect()
        };
        assert_eq!(of(&terms, 4..=9), [1, 1, 2, 2, 4]);
        terms.append(8, 5);
        assert_eq!(of(&terms, 5..=8), [1, 1, 2, 5]);
        terms.purge(5);
        assert_eq!(of(&terms, 5..=8), [1, 2, 5]);
        terms.purge(6);
        terms.truncate(8);
        terms.append(8, 2);
        assert_eq!((of(&terms, 6..=8), terms.runs.len()), (vec![2, 2], 1));
        terms.purge(20);
        terms.truncate(0);
        assert_eq!(terms.of(30), None);
    }
}
