//! Which contents stay in memory.
//!
//! Owns the sum of what nodes take, and the hand of the clock: it goes over all pages again and again, and puts out of memory
//! what nobody has used since it last came by. Refuses I/O: whatever is in memory is in the log, written or about to be.

use esker_page_table::{Counter, Entry, PageId, Region, pin};

use crate::{
    node::Node,
    store::Inner,
    sync::{Mutex, try_lock},
};

/// The cache of a store.
#[derive(Debug)]
pub(crate) struct Cache {
    /// What all nodes take, in bytes.
    held: Counter,
    bytes_max: u64,
    hand: Mutex<Hand>,
}

#[derive(Debug, Default)]
struct Hand {
    /// Those of this lap that are still to come, the next one last.
    regions: Vec<Region>,
}

impl Cache {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { held: Counter::default(), bytes_max, hand: Mutex::default() }
    }

    /// A node was put into the table, in the place of another one or of none.
    pub(crate) fn exchanged(&self, new: Option<u64>, old: Option<&Node>) {
        if let Some(new) = new {
            self.held.add(new);
        }
        if let Some(old) = old {
            self.held.subtract(old.memory_bytes());
        }
    }

    pub(crate) fn held_bytes(&self) -> u64 {
        self.held.sum()
    }

    fn is_full(&self) -> bool {
        self.held.sum() > self.bytes_max
    }
}

impl Inner {
    /// Puts pages out of memory until the rest has room. Whoever finds somebody doing it leaves it to him.
    pub(crate) fn evict(&self) {
        if !self.cache.is_full() {
            return;
        }
        let Some(mut hand) = try_lock(&self.cache.hand) else { return };
        // In the first lap all may have been used; in the second, only what is used at this very moment.
        let mut laps = 0;
        while self.cache.is_full() {
            let Some(region) = hand.regions.pop() else {
                laps += 1;
                if laps > 2 {
                    return;
                }
                hand.regions = self.table.regions();
                hand.regions.reverse();
                continue;
            };
            self.evict_of(region);
        }
    }

    fn evict_of(&self, region: Region) {
        let guard = pin();
        let mut unused: Vec<(PageId, &Node)> = Vec::new();
        self.table.scan(region.pages(), &guard, |page, entry| {
            if let Entry::Resident(node) = entry
                && node.content.is_some()
                && !node.touch.take()
            {
                unused.push((page, node));
            }
        });
        for (page, node) in unused {
            if !self.cache.is_full() {
                return;
            }
            if node.older.is_empty() {
                // A checkpoint says the same of both.
                if self.table.evict_clean(page, node, node.newest.into(), &guard).is_ok() {
                    self.cache.exchanged(None, Some(node));
                }
            } else {
                let bare = Node::new(node.newest, node.older.clone(), None);
                let bytes = bare.memory_bytes();
                if self.table.replace(page, Entry::Resident(node), bare, &guard).is_ok() {
                    self.cache.exchanged(Some(bytes), Some(node));
                }
            }
        }
    }
}
