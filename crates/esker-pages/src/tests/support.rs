//! Stores to test with.

use std::{collections::BTreeMap, sync::Arc};

use esker_format::{LogId, Lsn};
use esker_page_table::{Entry, PageId, pin};
use esker_segments::cleaning::Rate;

use crate::{Options, Store, node::seen, roots::META, store::Inner, sync::lock};

/// A generator that is good enough to draw from: splitmix64.
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Small segments and buffers, little memory, and nothing happens by itself. Deltas are appended.
pub(super) fn options() -> Options {
    Options::new()
        .segment_bytes(4096)
        .buffer_bytes(1024)
        .buffers(2)
        .policy(Rate::two_and_two())
        .cache_bytes(2000)
        .chain_max(3)
        .checkpoint_bytes(u64::MAX)
        .surplus_bytes(0)
        .background(false)
        .merge(Arc::new(|_, content: &[u8], delta: &[u8]| [content, delta].concat()))
        .log_id(LogId::from_bytes([9; 16]))
}

pub(super) fn page(id: u64) -> PageId {
    // Zero is the store's own.
    PageId::new(id + 1).unwrap()
}

/// What is in a store: by page, its version and content.
pub(super) type Pages = BTreeMap<u64, (u64, Vec<u8>)>;

/// The page of the names, as it is shown.
pub(super) const ROOTS: u64 = u64::MAX;

/// Reads all of a store, the names included.
pub(super) fn pages_of(store: &Store) -> Pages {
    let mut versions = Vec::new();
    store.for_each(|page, version| versions.push((page, version)));
    let read = versions.into_iter().map(|(page, version)| {
        let found = store.get(page).unwrap().unwrap_or_else(|| panic!("page {page} was listed"));
        assert_eq!(found.version, version);
        (page.get() - 1, (version.get(), found.content.to_vec()))
    });
    let mut pages: Pages = read.collect();
    if let Some(roots) = store.inner.get(META).unwrap() {
        pages.insert(ROOTS, (roots.version.get(), roots.content.to_vec()));
    }
    pages
}

/// C4: what the books say is what the table and the graves name. When nobody uses the store.
pub(super) fn audit(inner: &Inner) {
    let mut live: BTreeMap<Lsn, u64> = BTreeMap::new();
    let mut memory = 0;
    let guard = pin();
    let mut add = |lsn: Lsn, bytes: u32| {
        *live.entry(lsn.segment_base(inner.streams.segment_bytes())).or_default() += u64::from(bytes);
    };
    for region in inner.table.regions() {
        inner.table.scan(region.pages(), &guard, |page, entry| {
            assert!(inner.ids.contains(page), "page {page} has no id");
            if let Entry::Resident(node) = entry {
                assert!(node.pending.is_none(), "a batch has left page {page} behind");
                memory += node.memory_bytes();
            }
            if let Some(seen) = seen(entry) {
                seen.fragments().for_each(|fragment| add(fragment.lsn, fragment.bytes()));
            }
        });
    }
    lock(&inner.graves).values().for_each(|(_, grave)| add(grave.lsn, grave.bytes()));
    for info in inner.streams.segments() {
        let wanted = live.remove(&info.base).unwrap_or(0);
        assert_eq!(inner.books.live_bytes_in(info.base), wanted, "the books of {} are wrong", info.base);
    }
    assert!(live.is_empty(), "live and in no segment: {live:?}");
    assert_eq!(inner.cache.held_bytes(), memory, "what is cached is wrong");
}
