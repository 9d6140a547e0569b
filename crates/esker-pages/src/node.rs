//! A page in memory: where its records are, and its content if that is cached.
//!
//! Owns [`Node`], [`Fragment`] and what a page is [seen](seen) as. Nodes are not changed in place but for the mark of the
//! cache: to move, load or forget a page is to put another node in its place.
//!
//! A node that a batch has put there says what the page is if the batch holds, and what it is if not. Whoever comes by looks
//! at the [`Decision`] that all nodes of the batch share, so that all of them turn at once.

use std::sync::Arc;

use esker_format::Lsn;
use esker_page_table::{Decision, Entry, Stored, Touch, Version};

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

/// What a page is.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// The record that made the page what it is.
    pub(crate) newest: Fragment,
    /// If that was a delta, those that it adds to: newer ones first, the full one last.
    pub(crate) older: Box<[Fragment]>,
    /// All of them folded, if that is cached.
    pub(crate) content: Option<Arc<[u8]>>,
}

impl State {
    /// One record, which says all.
    pub(crate) fn whole(newest: Fragment, content: Option<Arc<[u8]>>) -> Self {
        Self { newest, older: Box::default(), content }
    }

    /// All records of the page, the newest first.
    pub(crate) fn fragments(&self) -> impl Iterator<Item = Fragment> + '_ {
        std::iter::once(self.newest).chain(self.older.iter().copied())
    }

    fn memory_bytes(&self) -> usize {
        // The counts of the shared content, and its place in the cache's queue.
        const SHARED: usize = 16;
        const PLACE: usize = 8;
        let content = self.content.as_ref().map_or(0, |content| content.len() + SHARED + ALLOCATION + PLACE);
        let older = if self.older.is_empty() { 0 } else { size_of_val(&*self.older) + ALLOCATION };
        content + older
    }
}

/// What an allocation takes beside what was asked for.
const ALLOCATION: usize = 16;

/// A page that the table has an address for.
#[derive(Debug)]
pub(crate) struct Node {
    /// What the page is; if the node is one of a batch, what it is if that holds.
    pub(crate) state: State,
    pub(crate) touch: Touch,
    pub(crate) pending: Option<Box<Pending>>,
}

/// What a node knows of the batch that has put it there.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) decision: Arc<Decision>,
    /// What the page is if the batch does not hold.
    pub(crate) before: Option<State>,
    /// Whether there is no such page if the batch holds.
    pub(crate) is_freed: bool,
}

impl Node {
    pub(crate) fn new(state: State) -> Box<Self> {
        Box::new(Self { state, touch: Touch::new(), pending: None })
    }

    pub(crate) fn pending(state: State, pending: Pending) -> Box<Self> {
        Box::new(Self { state, touch: Touch::new(), pending: Some(Box::new(pending)) })
    }

    /// What the page is now. A batch that is not decided has changed nothing yet.
    #[inline]
    pub(crate) fn now(&self) -> Option<&State> {
        match &self.pending {
            None => Some(&self.state),
            Some(pending) => pending.now(&self.state),
        }
    }

    /// The memory that the node takes, as near as the allocator lets one know.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let pending = self.pending.as_ref().map_or(0, |pending| {
            size_of::<Pending>() + ALLOCATION + pending.before.as_ref().map_or(0, State::memory_bytes)
        });
        (size_of::<Self>() + ALLOCATION + self.state.memory_bytes() + pending) as u64
    }
}

impl Pending {
    fn now<'a>(&'a self, after: &'a State) -> Option<&'a State> {
        if self.decision.holds() != Some(true) {
            self.before.as_ref()
        } else if self.is_freed {
            None
        } else {
            Some(after)
        }
    }
}

/// What there is to know of a page without reading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) newest: Fragment,
    pub(crate) older: &'a [Fragment],
    pub(crate) content: Option<&'a Arc<[u8]>>,
}

impl<'a> Seen<'a> {
    pub(crate) fn of(state: &'a State) -> Self {
        Self { newest: state.newest, older: &state.older, content: state.content.as_ref() }
    }

    /// All records of the page, the newest first.
    pub(crate) fn fragments(self) -> impl Iterator<Item = Fragment> + 'a {
        std::iter::once(self.newest).chain(self.older.iter().copied())
    }

    pub(crate) fn to_state(self) -> State {
        State { newest: self.newest, older: self.older.into(), content: self.content.cloned() }
    }
}

/// What a page is at this moment; `None` if there is no such page.
#[inline]
pub(crate) fn seen<'a>(entry: Entry<'a, Node>) -> Option<Seen<'a>> {
    match entry {
        Entry::Vacant => None,
        Entry::Stored(stored) => Some(Seen { newest: stored.into(), older: &[], content: None }),
        Entry::Resident(node) => node.now().map(Seen::of),
    }
}

/// The version that a page has.
pub(crate) fn version_of(entry: Entry<'_, Node>) -> Option<Version> {
    seen(entry).map(|seen| seen.newest.version)
}

/// The records of a page, the newest first.
pub(crate) fn fragments_of(entry: Entry<'_, Node>) -> Vec<Fragment> {
    seen(entry).map_or_else(Vec::new, |seen| seen.fragments().collect())
}

/// Sees to it that an entry is decided, so that it can be replaced: a batch that has not got that far gives way, and tries
/// again.
pub(crate) fn settle(entry: Entry<'_, Node>) {
    if let Entry::Resident(Node { pending: Some(pending), .. }) = entry {
        pending.decision.refuse();
    }
}
