//! The entries of one region: their words, and what is known of those that are stored.
//!
//! Owns every change of an entry and the orderings that go with it. Refuses to know nodes: to it they are numbers. A chunk
//! is arrays of plain atomics, 20 bytes for a page, so that nothing here is `unsafe`.

use crate::{
    page::{REGION_PAGES, Stored, Version},
    sync::{AtomicBool, AtomicU32, AtomicU64, Mutex, Ordering, fence, lock},
    table::{
        witness::Witness,
        word::{Meaning, Word},
    },
};

/// What is known of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Vacant,
    Stored(Stored),
    /// The address of its node.
    Resident(usize),
}

/// Whether a checkpoint says something else of the page after a change than it did before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// It does: the region is marked.
    Dirty,
    /// It does not: only the cache changed.
    Clean,
}

/// The entries of one region.
// In this order, so that what evictors write all the time does not lie on a line with words.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Chunk {
    words: [AtomicU64; REGION_PAGES],
    /// Of the stored entries. With `lens`, the entry's *details* (I4).
    versions: [AtomicU64; REGION_PAGES],
    lens: [AtomicU32; REGION_PAGES],
    /// How many evictions have begun to write details.
    evictions: AtomicU64,
    /// Held by the one who evicts.
    evicting: Mutex<()>,
    dirty: AtomicBool,
    published: Witness,
}

impl Chunk {
    /// All entries are vacant, and clean.
    pub(super) fn new() -> Self {
        Self {
            words: std::array::from_fn(|_| AtomicU64::new(Word::VACANT.to_bits())),
            versions: std::array::from_fn(|_| AtomicU64::new(0)),
            lens: std::array::from_fn(|_| AtomicU32::new(0)),
            evictions: AtomicU64::new(0),
            evicting: Mutex::new(()),
            dirty: AtomicBool::new(false),
            published: Witness::new(),
        }
    }

    /// See [`Witness::look`].
    #[inline]
    pub(super) fn look(&self) {
        self.published.look();
    }

    /// An entry as it was at one moment during the call.
    #[inline]
    pub(super) fn load(&self, at: usize) -> Found {
        // ORDERING: Acquire pairs with the Release in `exchange` [P1]: whoever sees a node's address sees the node.
        let word = Word::from_bits(self.words[at].load(Ordering::Acquire));
        match word.meaning() {
            Meaning::Resident(address) => Found::Resident(address),
            Meaning::Vacant => Found::Vacant,
            Meaning::Stored(_) => self.load_with_details(at),
        }
    }

    /// An entry as it was at one moment, with its details if it is stored. Looks again only when an eviction in this region
    /// has begun meanwhile.
    #[cold]
    fn load_with_details(&self, at: usize) -> Found {
        loop {
            // ORDERING: Acquire pairs with the Release in `evict` [P3]: if this counts an eviction, the word is seen as that
            // found it, or later, so that the record that it took the place of is not found below.
            let evictions = self.evictions.load(Ordering::Acquire);
            // ORDERING: Acquire pairs with the Release in `evict` [P2]: the details are seen as they were written for this
            // record, or later; and with the one in `exchange` [P1], for a node.
            let word = Word::from_bits(self.words[at].load(Ordering::Acquire));
            let lsn = match word.meaning() {
                Meaning::Stored(lsn) => lsn,
                Meaning::Vacant => return Found::Vacant,
                Meaning::Resident(address) => return Found::Resident(address),
            };
            // ORDERING: Acquire pairs with the Release in `evict` [P3]: if one of these is of a later eviction, that is counted
            // below.
            let version = self.versions[at].load(Ordering::Acquire);
            let len = self.lens[at].load(Ordering::Acquire);
            // ORDERING: Relaxed: the loads above ordered it [P2, P3].
            if self.evictions.load(Ordering::Relaxed) == evictions {
                let version = Version::new(version).expect("I4: details are written before the word says stored");
                return Found::Stored(Stored { lsn, len, version });
            }
        }
    }

    /// Changes an entry from `expected` to `new`, which is not a stored one unless `expected` is. Says whether the entry was
    /// as expected.
    #[must_use]
    pub(super) fn exchange(&self, at: usize, expected: Word, new: Word, mark: Mark) -> bool {
        // ORDERING: Release publishes the new node to the Acquire in `load` [P1]. It need not publish the details of a record
        // that is moved: a swap continues the release sequence of the one in `evict` [P2]. Relaxed on failure: callers load
        // the entry anew.
        let swapped =
            self.words[at].compare_exchange(expected.to_bits(), new.to_bits(), Ordering::Release, Ordering::Relaxed);
        if swapped.is_ok() && mark == Mark::Dirty {
            self.mark_dirty();
        }
        swapped.is_ok()
    }

    /// Changes an entry from `expected`, which is a node, to a record. Says whether the entry was as expected.
    #[must_use]
    pub(super) fn evict(&self, at: usize, expected: Word, stored: Stored, mark: Mark) -> bool {
        let new = Word::stored(stored.lsn);
        let swapped = {
            let _one_at_a_time = lock(&self.evicting);
            // ORDERING: Relaxed: nothing is read of the node. That the word is not that of a record is what counts: only
            // whoever holds the lock can make it one (I4).
            if self.words[at].load(Ordering::Relaxed) != expected.to_bits() {
                return false;
            }
            // ORDERING: Relaxed: only holders of the lock write it.
            let begun = self.evictions.load(Ordering::Relaxed) + 1;
            // ORDERING: Release pairs with the Acquire in `load_with_details` [P3]: whoever counts this eviction sees what the
            // load above saw, or later, and not the record before it.
            self.evictions.store(begun, Ordering::Release);
            // ORDERING: Release pairs with the Acquire in `load_with_details` [P3]: whoever reads what is written here counts
            // this eviction.
            self.versions[at].store(stored.version.get(), Ordering::Release);
            self.lens[at].store(stored.len, Ordering::Release);
            let (old, new) = (expected.to_bits(), new.to_bits());
            // ORDERING: Release pairs with the Acquire in `load_with_details` [P2]: the details. Relaxed on failure: nothing
            // is read.
            self.words[at].compare_exchange(old, new, Ordering::Release, Ordering::Relaxed)
        };
        if swapped.is_ok() && mark == Mark::Dirty {
            self.mark_dirty();
        }
        swapped.is_ok()
    }

    /// Sets an entry, and returns the word that was there. The caller has the table for itself.
    pub(super) fn set(&self, at: usize, stored: Option<Stored>) -> Word {
        // This may panic, and nothing was changed then.
        let new = stored.map_or(Word::VACANT, |stored| Word::stored(stored.lsn));
        if let Some(stored) = stored {
            // ORDERING: Relaxed, here and below: nobody else looks, and whoever hands the table on to others publishes all of
            // it.
            self.versions[at].store(stored.version.get(), Ordering::Relaxed);
            self.lens[at].store(stored.len, Ordering::Relaxed);
        }
        // ORDERING: Relaxed, as above.
        let old = self.words[at].load(Ordering::Relaxed);
        self.words[at].store(new.to_bits(), Ordering::Relaxed);
        self.dirty.store(true, Ordering::Relaxed);
        Word::from_bits(old)
    }

    /// The addresses of all nodes. The caller has the table for itself.
    pub(super) fn residents(&self) -> impl Iterator<Item = usize> {
        // ORDERING: Relaxed: nobody else is there.
        let words = self.words.iter().map(|word| Word::from_bits(word.load(Ordering::Relaxed)));
        words.filter_map(|word| if let Meaning::Resident(address) = word.meaning() { Some(address) } else { None })
    }

    /// Says that the region changed. Called after the change (I5).
    pub(super) fn mark_dirty(&self) {
        // ORDERING: SeqCst pairs with the fence after `take_dirty` [P5]: of the two one comes first. If this does, whoever took
        // the mark sees the change; if that does, the load below does not see the mark that was taken.
        fence(Ordering::SeqCst);
        // ORDERING: Relaxed: the fence ordered it. Looking first keeps the line shared among those who change the region.
        if !self.dirty.load(Ordering::Relaxed) {
            // ORDERING: Relaxed: whoever takes the mark orders what is read then by a fence [P5].
            self.dirty.store(true, Ordering::Relaxed);
        }
    }

    /// Takes the mark away, and says whether there was one. Before anything is read, the caller needs [`after_taking`].
    pub(super) fn take_dirty(&self) -> bool {
        // ORDERING: Relaxed: ordered by the fence in `after_taking` [P5].
        self.dirty.load(Ordering::Relaxed) && self.dirty.swap(false, Ordering::Relaxed)
    }
}

/// Orders the taking of marks before what is then read of their regions.
pub(super) fn after_taking() {
    // ORDERING: SeqCst pairs with the fence in `mark_dirty` [P5].
    fence(Ordering::SeqCst);
}
