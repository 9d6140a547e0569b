//! Nodes that tell what went wrong with them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use esker_format::Lsn;

use crate::{Entry, Guard, PageId, PageTable, Stored, Version, pin, table::witness::Witness};

pub(super) type Table = PageTable<Node>;

const ALIVE: u64 = 0x1234_5678_9ABC_DEF0;

/// How many nodes were made and dropped.
#[derive(Debug, Default)]
pub(super) struct Census {
    made: AtomicU64,
    dropped: AtomicU64,
}

impl Census {
    pub(super) fn node(self: &Arc<Self>, value: u64) -> Box<Node> {
        self.made.fetch_add(1, Ordering::Relaxed);
        Box::new(Node { value, twice: !value, alive: ALIVE, witness: Witness::new(), census: self.clone() })
    }

    pub(super) fn alive(&self) -> u64 {
        self.made.load(Ordering::Acquire) - self.dropped.load(Ordering::Acquire)
    }

    /// Waits until so many are left: retired nodes are dropped when the collector gets to it.
    #[cfg(not(loom))]
    #[track_caller]
    pub(super) fn wait_for(&self, alive: u64) {
        let begun = std::time::Instant::now();
        while self.alive() != alive {
            assert!(begun.elapsed().as_secs() < 60, "{} nodes are left, not {alive}", self.alive());
            pin().flush();
            std::thread::yield_now();
        }
    }
}

/// A node that knows whether it is whole.
#[derive(Debug)]
pub(super) struct Node {
    value: u64,
    twice: u64,
    alive: u64,
    witness: Witness,
    census: Arc<Census>,
}

impl Node {
    #[track_caller]
    pub(super) fn value(&self) -> u64 {
        self.witness.look();
        assert_eq!((self.alive, self.twice), (ALIVE, !self.value), "a node that was dropped, or is not whole");
        self.value
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        assert_eq!(self.alive, ALIVE, "a node was dropped twice");
        self.alive = 0;
        self.census.dropped.fetch_add(1, Ordering::Release);
    }
}

/// An entry without what it borrows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Vacant,
    Stored(Stored),
    Resident(u64),
}

pub(super) fn seen(entry: Entry<'_, Node>) -> Seen {
    match entry {
        Entry::Vacant => Seen::Vacant,
        Entry::Stored(stored) => Seen::Stored(stored),
        Entry::Resident(node) => Seen::Resident(node.value()),
    }
}

pub(super) fn look(table: &Table, page: PageId) -> Seen {
    seen(table.load(page, &pin()))
}

pub(super) fn page(id: u64) -> PageId {
    PageId::new(id).unwrap()
}

/// A record whose details follow from its number.
pub(super) fn record(n: u64) -> Stored {
    Stored { lsn: Lsn::new(64 * n), len: 3 * n as u32, version: Version::new(n).unwrap() }
}

#[track_caller]
pub(super) fn resident<'g>(table: &'g Table, page: PageId, guard: &'g Guard) -> &'g Node {
    match table.load(page, guard) {
        Entry::Resident(node) => node,
        other => panic!("page {page} is {:?}", seen(other)),
    }
}
