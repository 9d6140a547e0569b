//! A map from ordinals, for keys that come in ascending order and mostly leave from the front.
//!
//! Owns [`Ordered`]. Refuses to know what is kept in it.

use std::collections::VecDeque;

use crate::slot::Ordinal;

/// Entries in ascending order of their ordinals, side by side. Where there are no gaps between them, as in a log, an entry
/// is found in one step; otherwise by bisection. One that leaves from the middle moves those on its shorter side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ordered<T> {
    entries: VecDeque<(Ordinal, T)>,
}

impl<T> Ordered<T> {
    pub(crate) fn new() -> Self {
        Self { entries: VecDeque::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Appends an entry that comes after all others.
    pub(crate) fn push_back(&mut self, ordinal: Ordinal, value: T) {
        debug_assert!(self.entries.back().is_none_or(|&(last, _)| last < ordinal), "{ordinal:?} comes too late");
        self.entries.push_back((ordinal, value));
    }

    pub(crate) fn first(&self) -> Option<(Ordinal, &T)> {
        self.entries.front().map(|(ordinal, value)| (*ordinal, value))
    }

    #[inline]
    pub(crate) fn get(&self, ordinal: Ordinal) -> Option<&T> {
        Some(&self.entries[self.position(ordinal)?].1)
    }

    pub(crate) fn get_mut(&mut self, ordinal: Ordinal) -> Option<&mut T> {
        let at = self.position(ordinal)?;
        Some(&mut self.entries[at].1)
    }

    pub(crate) fn remove(&mut self, ordinal: Ordinal) -> Option<T> {
        let at = self.position(ordinal)?;
        self.entries.remove(at).map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (Ordinal, &T)> {
        self.entries.iter().map(|(ordinal, value)| (*ordinal, value))
    }

    #[inline]
    fn position(&self, ordinal: Ordinal) -> Option<usize> {
        // Each entry is at least one further than the one before, so that none lies beyond this place.
        let at = usize::try_from(ordinal.since(self.entries.front()?.0)?).ok()?;
        if self.entries.get(at).is_some_and(|&(found, _)| found == ordinal) { Some(at) } else { self.bisect(ordinal) }
    }

    #[cold]
    #[inline(never)]
    fn bisect(&self, ordinal: Ordinal) -> Option<usize> {
        self.entries.binary_search_by_key(&ordinal, |&(found, _)| found).ok()
    }
}
