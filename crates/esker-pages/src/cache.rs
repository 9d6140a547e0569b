//! Which contents stay in memory.
//!
//! Owns the sum of what nodes take, and the queue of those with a content: whoever is at its head and was used since it came
//! to its end goes to the end again, and the others are put out of memory ("second chance", the FIFO form of the clock of
//! Corbató, "A Paging Experiment with the Multics System", 1968). Refuses I/O: whatever is in memory is in the log, written or
//! about to be.

use std::collections::{HashSet, VecDeque};

use esker_page_table::{Counter, Entry, PageId, PageTable, pin};

use crate::{
    node::{Node, State},
    store::Inner,
    sync::{Mutex, lock},
};

/// A queue shorter than this is not worth looking through.
const QUEUE_MIN: usize = 1024;

/// The cache of a store.
#[derive(Debug)]
pub(crate) struct Cache {
    /// What all nodes take, in bytes.
    held: Counter,
    bytes_max: u64,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Every page with a content in memory, and some that had one.
    pages: VecDeque<PageId>,
    /// So long may it become until it is looked through for what is there in vain.
    sweep_at: usize,
}

/// What a node takes of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cached {
    bytes: u64,
    has_content: bool,
}

impl From<&Node> for Cached {
    fn from(node: &Node) -> Self {
        Self { bytes: node.memory_bytes(), has_content: node.state.content.is_some() }
    }
}

impl Cache {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let queue = Queue { pages: VecDeque::new(), sweep_at: QUEUE_MIN };
        Self { held: Counter::default(), bytes_max, queue: Mutex::new(queue) }
    }

    /// A node was put into the table, in the place of another one or of none.
    pub(crate) fn exchanged(&self, page: PageId, new: Option<Cached>, old: Option<&Node>, table: &PageTable<Node>) {
        let old = old.map(Cached::from);
        if let Some(new) = new {
            self.held.add(new.bytes);
        }
        if let Some(old) = old {
            self.held.subtract(old.bytes);
        }
        let has = |cached: Option<Cached>| cached.is_some_and(|cached| cached.has_content);
        if has(new) && !has(old) {
            self.queue(page, table);
        }
    }

    pub(crate) fn held_bytes(&self) -> u64 {
        self.held.sum()
    }

    fn is_full(&self) -> bool {
        self.held.sum() > self.bytes_max
    }

    /// Puts a page at the end. Costs, over time, the same however many there are.
    fn queue(&self, page: PageId, table: &PageTable<Node>) {
        let mut queue = lock(&self.queue);
        if queue.pages.len() >= queue.sweep_at {
            // Pages that are freed, and made again, leave their places behind.
            let mut seen = HashSet::new();
            let guard = pin();
            queue.pages.retain(|&page| {
                let has_content =
                    matches!(table.load(page, &guard), Entry::Resident(node) if node.state.content.is_some());
                has_content && seen.insert(page)
            });
            queue.sweep_at = (queue.pages.len() * 2).max(QUEUE_MIN);
        }
        queue.pages.push_back(page);
    }

    /// The page at the head.
    fn take(&self) -> Option<PageId> {
        lock(&self.queue).pages.pop_front()
    }

    /// How many places there are.
    pub(crate) fn queued(&self) -> usize {
        lock(&self.queue).pages.len()
    }
}

impl Inner {
    /// Puts pages out of memory until the rest has room.
    pub(crate) fn evict(&self) {
        if !self.cache.is_full() {
            return;
        }
        // All may have been used; when it is their turn again, only those are that are used at this very moment.
        let mut turns = self.cache.queued() * 2 + 1;
        while self.cache.is_full() && turns > 0 {
            let Some(page) = self.cache.take() else { return };
            if !self.evict_page(page) {
                self.cache.queue(page, &self.table);
            }
            turns -= 1;
        }
    }

    /// `false` if the page stays.
    fn evict_page(&self, page: PageId) -> bool {
        let guard = pin();
        let Entry::Resident(node) = self.table.load(page, &guard) else { return true };
        if node.state.content.is_none() {
            return true;
        }
        // A batch is at work there.
        if node.touch.take() || node.pending.is_some() {
            return false;
        }
        let State { newest, older, .. } = &node.state;
        if older.is_empty() {
            // A checkpoint says the same of both.
            let is_out = self.table.evict_clean(page, node, (*newest).into(), &guard).is_ok();
            if is_out {
                self.cache.exchanged(page, None, Some(node), &self.table);
            }
            is_out
        } else {
            let bare = Node::new(State { newest: *newest, older: older.clone(), content: None });
            let cached = Cached::from(&*bare);
            let is_out = self.table.replace(page, Entry::Resident(node), bare, &guard).is_ok();
            if is_out {
                self.cache.exchanged(page, Some(cached), Some(node), &self.table);
            }
            is_out
        }
    }
}
