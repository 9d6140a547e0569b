//! A page in memory: where its records are, and its content if that is cached.
//!
//! Owns [`Node`] and [`Fragment`]. Nodes are not changed in place but for the mark of the cache: to move, load or forget a
//! page is to put another node in its place.

use std::sync::Arc;

use esker_format::Lsn;
use esker_page_table::{Entry, Stored, Touch, Version};

/// Set in [`Fragment::len`] if the content is in a file of its own.
const LARGE: u32 = 1 << 31;

/// A record of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub(crate) lsn: Lsn,
    /// Its length, and a flag.
    len: u32,
    pub(crate) version: Version,
}

impl Fragment {
    pub(crate) fn new(lsn: Lsn, bytes: u32, version: Version, is_large: bool) -> Self {
        Self { lsn, len: bytes | if is_large { LARGE } else { 0 }, version }
    }

    /// The length of the record with its message header: what is read at once, and what it takes of its segment.
    pub(crate) fn bytes(self) -> u32 {
        self.len & !LARGE
    }

    /// Whether the content is in a file of its own.
    pub(crate) fn is_large(self) -> bool {
        self.len & LARGE != 0
    }
}

impl From<Stored> for Fragment {
    fn from(stored: Stored) -> Self {
        Self { lsn: stored.lsn, len: stored.len, version: stored.version }
    }
}

impl From<Fragment> for Stored {
    fn from(fragment: Fragment) -> Self {
        Self { lsn: fragment.lsn, len: fragment.len, version: fragment.version }
    }
}

/// A page that the table has an address for.
#[derive(Debug)]
pub(crate) struct Node {
    /// The record that made the page what it is.
    pub(crate) newest: Fragment,
    /// If that was a delta, those that it adds to: newer ones first, the full one last.
    pub(crate) older: Box<[Fragment]>,
    /// All of them folded, if that is cached.
    pub(crate) content: Option<Arc<[u8]>>,
    pub(crate) touch: Touch,
}

impl Node {
    pub(crate) fn new(newest: Fragment, older: Box<[Fragment]>, content: Option<Arc<[u8]>>) -> Box<Self> {
        Box::new(Self { newest, older, content, touch: Touch::new() })
    }

    /// All records of the page, the newest first.
    pub(crate) fn fragments(&self) -> impl Iterator<Item = Fragment> + '_ {
        std::iter::once(self.newest).chain(self.older.iter().copied())
    }

    /// The memory that the node takes, as near as the allocator lets one know.
    pub(crate) fn memory_bytes(&self) -> u64 {
        // The counts of the shared content, and what an allocation takes beside what was asked for.
        const SHARED: usize = 16;
        const EACH: usize = 16;
        // Its place in the cache's queue.
        const PLACE: usize = 8;
        let content = self.content.as_ref().map_or(0, |content| content.len() + SHARED + EACH + PLACE);
        let older = if self.older.is_empty() { 0 } else { size_of_val(&*self.older) + EACH };
        (size_of::<Self>() + EACH + content + older) as u64
    }
}

/// The version that a page has.
pub(crate) fn version_of(entry: Entry<'_, Node>) -> Option<Version> {
    match entry {
        Entry::Vacant => None,
        Entry::Stored(stored) => Some(stored.version),
        Entry::Resident(node) => Some(node.newest.version),
    }
}

/// The record that made a page what it is.
pub(crate) fn newest_of(entry: Entry<'_, Node>) -> Option<Fragment> {
    match entry {
        Entry::Vacant => None,
        Entry::Stored(stored) => Some(stored.into()),
        Entry::Resident(node) => Some(node.newest),
    }
}

/// The records of a page, the newest first.
pub(crate) fn fragments_of(entry: Entry<'_, Node>) -> Vec<Fragment> {
    match entry {
        Entry::Vacant => Vec::new(),
        Entry::Stored(stored) => vec![stored.into()],
        Entry::Resident(node) => node.fragments().collect(),
    }
}
