//! Which page ids are in use.
//!
//! Owns the choice of an id for a new page: the lowest that is free. Refuses to know what the pages hold, and when it is
//! safe to use an id again: whoever frees it knows.

use std::fmt;

use thiserror::Error;

use crate::{
    page::PageId,
    sync::{Mutex, lock},
};

/// How many bits of an id one level of the bitmap resolves.
const LEVEL_LOG2: u32 = 6;
/// As many levels as resolve every id.
const LEVELS: usize = crate::page::LIMIT_LOG2.div_ceil(LEVEL_LOG2) as usize;

/// How many groups of pages are told apart by the last end of one of them.
const GROUPS: usize = 32;

/// Gives out page ids: always the lowest that is not in use, and none twice. Takes about one bit for each id up to the
/// highest that was ever in use.
///
/// After a crash it is built anew from the ids that are in use, in any order:
///
/// ```
/// use esker_page_table::{PageId, PageIds};
///
/// let in_use = [0, 1, 3].into_iter().filter_map(PageId::new);
/// let ids: PageIds = in_use.collect();
/// let next: Vec<_> = (0..2).filter_map(|_| ids.allocate()).map(PageId::get).collect();
/// assert_eq!(next, [2, 4]);
/// ```
#[derive(Default)]
pub struct PageIds {
    used: Mutex<Used>,
}

/// The id was not in use, so that it cannot be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("page {page} is freed and was not in use")]
#[non_exhaustive]
pub struct NotInUse {
    /// Which it was.
    pub page: PageId,
}

impl PageIds {
    /// No id is in use.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the lowest free id into use. `None` if all are, which is never while they are given out by this.
    #[must_use]
    pub fn allocate(&self) -> Option<PageId> {
        let mut used = lock(&self.used);
        let page = PageId::new(used.lowest_free())?;
        used.insert(page);
        Some(page)
    }

    /// Takes this id into use, as recovery does with those that it finds. Says whether it was free.
    pub fn claim(&self, page: PageId) -> bool {
        lock(&self.used).insert(page)
    }

    /// Gives an id back, which may then be given out again at once.
    ///
    /// # Errors
    ///
    /// [`NotInUse`] if it is free already.
    pub fn free(&self, page: PageId) -> Result<(), NotInUse> {
        if lock(&self.used).remove(page) { Ok(()) } else { Err(NotInUse { page }) }
    }

    /// Takes the id into use, or leaves it there, if `create` succeeds, which is change `number` of all changes. No id is given
    /// out or given back meanwhile, so that what is in use is what there is, also where one thread ends a page and another
    /// makes it anew.
    ///
    /// A page that is not there looks the same whether it never was or has come and gone since the number was taken. So the
    /// number may be too low to come after the end of the page: then `create` is not called, and `None` returned. This may also
    /// be said for the sake of another page that has ended meanwhile.
    ///
    /// # Errors
    ///
    /// What `create` returns.
    pub fn claim_with<T, E>(
        &self,
        page: PageId,
        number: u64,
        create: impl FnOnce() -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        let mut used = lock(&self.used);
        if used.ended[group(page)] > number && !cfg!(esker_sabotage = "late_numbers") {
            return Ok(None);
        }
        let created = create()?;
        used.insert(page);
        Ok(Some(created))
    }

    /// Gives the id back, if it was in use, if `end` succeeds, which is change `number`: as [`claim_with`](Self::claim_with).
    ///
    /// # Errors
    ///
    /// What `end` returns.
    pub fn free_with<T, E>(&self, page: PageId, number: u64, end: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut used = lock(&self.used);
        used.note_end(page, number);
        let ended = end()?;
        used.remove(page);
        Ok(ended)
    }

    /// Says that change `number` may be about to end the page, for an end that others see before it is given back.
    pub fn note_end(&self, page: PageId, number: u64) {
        lock(&self.used).note_end(page, number);
    }

    /// Whether the id is in use.
    #[must_use]
    pub fn contains(&self, page: PageId) -> bool {
        lock(&self.used).contains(page)
    }

    /// How many ids are in use.
    #[must_use]
    pub fn in_use(&self) -> u64 {
        lock(&self.used).count
    }

    /// The memory that this takes beside itself, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        lock(&self.used).levels.iter().map(|level| level.capacity() * size_of::<u64>()).sum()
    }
}

impl FromIterator<PageId> for PageIds {
    /// Exactly these are in use.
    fn from_iter<T: IntoIterator<Item = PageId>>(pages: T) -> Self {
        let mut used = Used::default();
        for page in pages {
            used.insert(page);
        }
        Self { used: Mutex::new(used) }
    }
}

impl fmt::Debug for PageIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageIds").field("in_use", &self.in_use()).finish_non_exhaustive()
    }
}

/// A bitmap with summaries: bit `i` of level 0 says that id `i` is in use, bit `i` of a level above that word `i` of the
/// level below is all ones. Words that are not there are zero.
#[derive(Default)]
struct Used {
    levels: [Vec<u64>; LEVELS],
    count: u64,
    /// The highest number of a change that ended a page of each group.
    ended: [u64; GROUPS],
}

impl Used {
    /// The lowest id that is not in use; beyond the last one if all are.
    fn lowest_free(&self) -> u64 {
        self.levels.iter().rev().fold(0, |at, level| {
            let word = level.get(at as usize).copied().unwrap_or(0);
            (at << LEVEL_LOG2) + u64::from(word.trailing_ones())
        })
    }

    fn insert(&mut self, page: PageId) -> bool {
        if self.contains(page) {
            return false;
        }
        self.count += 1;
        let mut at = page.get();
        for level in &mut self.levels {
            let (word, bit) = split(at);
            if level.len() <= word {
                level.resize(word + 1, 0);
            }
            level[word] |= bit;
            if level[word] != u64::MAX {
                break;
            }
            at >>= LEVEL_LOG2;
        }
        true
    }

    fn remove(&mut self, page: PageId) -> bool {
        if !self.contains(page) {
            return false;
        }
        self.count -= 1;
        let mut at = page.get();
        for level in &mut self.levels {
            let (word, bit) = split(at);
            let was_full = level[word] == u64::MAX;
            level[word] &= !bit;
            if !was_full {
                break;
            }
            at >>= LEVEL_LOG2;
        }
        true
    }

    fn note_end(&mut self, page: PageId, number: u64) {
        let ended = &mut self.ended[group(page)];
        *ended = number.max(*ended);
    }

    fn contains(&self, page: PageId) -> bool {
        let (word, bit) = split(page.get());
        self.levels[0].get(word).is_some_and(|word| word & bit != 0)
    }
}

fn group(page: PageId) -> usize {
    page.get() as usize % GROUPS
}

/// The word and the bit in it.
fn split(at: u64) -> (usize, u64) {
    ((at >> LEVEL_LOG2) as usize, 1 << (at & ((1 << LEVEL_LOG2) - 1)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{NotInUse, PageIds};
    use crate::page::PageId;

    fn id(id: u64) -> PageId {
        PageId::new(id).unwrap()
    }

    #[test]
    fn lowest_free_id_is_given_out_across_all_levels() {
        let ids = PageIds::new();
        let first: Vec<_> = (0..300_000).map(|_| ids.allocate().unwrap().get()).collect();
        assert!(first.iter().copied().eq(0..300_000));
        for freed in [270_000, 4_095, 4_096, 0, 299_999] {
            ids.free(id(freed)).unwrap();
        }
        let again: Vec<_> = (0..6).map(|_| ids.allocate().unwrap().get()).collect();
        assert_eq!(again, [0, 4_095, 4_096, 270_000, 299_999, 300_000]);
        assert_eq!(ids.in_use(), 300_001);
    }

    #[test]
    fn what_fails_changes_nothing() {
        let ids = PageIds::new();
        assert_eq!(ids.claim_with(id(3), 1, || Err::<(), _>("not created")), Err("not created"));
        assert!(!ids.contains(id(3)));
        assert_eq!(ids.claim_with(id(3), 1, || Ok::<_, ()>(7)), Ok(Some(7)));
        assert_eq!(ids.claim_with(id(3), 1, || Ok::<_, ()>(8)), Ok(Some(8)));
        assert_eq!(ids.free_with(id(3), 2, || Err::<(), _>("not ended")), Err("not ended"));
        assert_eq!((ids.contains(id(3)), ids.in_use()), (true, 1));
        assert_eq!(ids.free_with(id(3), 3, || Ok::<_, ()>(9)), Ok(9));
        assert_eq!((ids.contains(id(3)), ids.in_use()), (false, 0));
    }

    #[test]
    fn what_was_numbered_before_a_page_ended_does_not_make_it_anew() {
        let ids = PageIds::new();
        ids.claim_with(id(3), 1, || Ok::<_, ()>(())).unwrap();
        ids.free_with(id(3), 7, || Ok::<_, ()>(())).unwrap();
        assert_eq!(ids.claim_with(id(3), 6, || -> Result<(), ()> { panic!("called") }), Ok(None));
        assert_eq!(ids.claim_with(id(4), 6, || Ok::<_, ()>(())), Ok(Some(())));
        assert_eq!(ids.claim_with(id(3), 8, || Ok::<_, ()>(())), Ok(Some(())));
        ids.note_end(id(3), 10);
        ids.note_end(id(3), 9);
        assert_eq!(ids.claim_with(id(3), 9, || -> Result<(), ()> { panic!("called") }), Ok(None));
    }

    #[test]
    fn id_that_is_not_in_use_is_not_freed() {
        let ids = PageIds::new();
        assert_eq!(ids.free(id(7)), Err(NotInUse { page: id(7) }));
        assert!(ids.claim(id(7)) && !ids.claim(id(7)));
        ids.free(id(7)).unwrap();
        assert_eq!(ids.free(id(7)), Err(NotInUse { page: id(7) }));
        assert_eq!(ids.allocate(), Some(id(0)));
    }

    #[test]
    fn ten_million_ids_take_little_memory() {
        let ids: PageIds = (0..10_000_000).map(id).collect();
        assert_eq!(ids.in_use(), 10_000_000);
        assert!(ids.memory_bytes() < 3 << 20, "{} bytes", ids.memory_bytes());
    }

    #[test]
    fn no_id_is_given_out_twice_by_threads() {
        let ids = PageIds::new();
        let mut all: Vec<u64> = std::thread::scope(|scope| {
            let take = || (0..2000).map(|_| ids.allocate().unwrap().get()).collect::<Vec<_>>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        all.sort_unstable();
        assert!(all.into_iter().eq(0..8000));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Allocate,
        Claim(u64),
        Free(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        // Around the borders of words and of their summaries.
        let id = prop_oneof![0..70_u64, 4_000..4_200_u64];
        prop_oneof![4 => Just(Step::Allocate), 2 => id.clone().prop_map(Step::Claim), 2 => id.prop_map(Step::Free)]
    }

    proptest! {
        #[test]
        fn ids_do_as_a_set_does(dense in prop_oneof![Just(0), Just(63), Just(64), 4_000..4_200_u64],
                                steps in proptest::collection::vec(step(), 1..300)) {
            let ids: PageIds = (0..dense).map(id).collect();
            let mut model: BTreeSet<u64> = (0..dense).collect();
            for step in steps {
                match step {
                    Step::Allocate => {
                        let lowest = (0..).find(|id| !model.contains(id)).unwrap();
                        prop_assert_eq!(ids.allocate(), PageId::new(lowest));
                        model.insert(lowest);
                    }
                    Step::Claim(page) => prop_assert_eq!(ids.claim(id(page)), model.insert(page)),
                    Step::Free(page) => prop_assert_eq!(ids.free(id(page)).is_ok(), model.remove(&page)),
                }
                prop_assert_eq!(ids.in_use(), model.len() as u64);
            }
            prop_assert!((0..5_000).all(|page| ids.contains(id(page)) == model.contains(&page)));
        }
    }
}
