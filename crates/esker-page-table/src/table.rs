//! The page table: from a page's id to its node in memory, or to its record in the log.
//!
//! Owns the nodes that are in the table, and their lifetimes. Refuses I/O, and to know what a node is. All `unsafe` of this
//! crate is in this module and those below it.

mod chunk;
mod directory;
mod reclaim;
pub(crate) mod witness;
mod word;

use std::{
    error::Error,
    fmt,
    marker::PhantomData,
    ops::{Bound, RangeBounds},
    ptr,
};

use esker_format::Lsn;

pub use self::reclaim::{Guard, pin};
use self::{
    chunk::{Found, Mark},
    directory::Directory,
    reclaim::Retired,
    word::{Meaning, Word},
};
use crate::page::{PageId, Region, Stored};

/// Where each page is: in memory, as a node of type `N`, or in the log. Shared by all threads; none of them ever waits for
/// another but one who evicts, for another who evicts a page of the same region.
///
/// Each change is one compare-and-swap from an entry that the caller has seen to another one. Entries are lent for as long as
/// the [`Guard`] is held under which they were seen. A node that was taken out of the table is dropped, by some thread, when
/// no guard is left under which it could have been seen: soon, if guards are not held for long. Nodes are not changed in
/// place: to change a page is to replace its node, and what both nodes have in common they share by an [`Arc`](std::sync::Arc).
///
/// A page that is not in memory takes 20 bytes, and its share of what is not used: memory is taken for
/// [`REGION_PAGES`](crate::REGION_PAGES) ids at a time, and the directory has 8 to 16 bytes for each region up to the highest
/// that was used.
pub struct PageTable<N: Send + Sync + 'static> {
    directory: Directory,
    retired: Retired,
    nodes: PhantomData<N>,
}

/// What a table knows of a page.
pub enum Entry<'g, N> {
    /// There is no such page.
    Vacant,
    /// It is in the log, and not in memory.
    Stored(Stored),
    /// It is in memory.
    Resident(&'g N),
}

/// The entry was another one than expected, so that the node was not put in.
#[non_exhaustive]
pub struct Conflict<'g, N> {
    /// Of which page.
    pub page: PageId,
    /// What the table knows of it now.
    pub current: Entry<'g, N>,
    /// The node that was to be put in.
    pub node: Box<N>,
}

impl<N: Send + Sync + 'static> PageTable<N> {
    /// A table without pages. Does not compile for nodes that take no memory, or that may lie at odd addresses: by its address
    /// a node is told from others and from records.
    ///
    /// ```compile_fail
    /// _ = esker_page_table::PageTable::<()>::new();
    /// ```
    ///
    /// ```compile_fail
    /// _ = esker_page_table::PageTable::<[u8; 8]>::new();
    /// ```
    ///
    /// ```
    /// _ = esker_page_table::PageTable::<u16>::new();
    /// ```
    #[must_use]
    pub fn new() -> Self {
        const { assert!(align_of::<N>() >= 2 && size_of::<N>() > 0, "a node has an even address of its own") };
        Self { directory: Directory::new(), retired: Retired::default(), nodes: PhantomData }
    }

    /// What is known of a page.
    #[inline]
    pub fn load<'g>(&'g self, page: PageId, guard: &'g Guard) -> Entry<'g, N> {
        match self.directory.find(page.region()) {
            Some(chunk) => self.entry(chunk.load(page.index()), guard),
            None => Entry::Vacant,
        }
    }

    /// Puts a node in the place of whatever is `expected`: creates a page, changes one that is in memory, or changes one that
    /// is not without looking at it. Marks the page's region as dirty.
    ///
    /// # Errors
    ///
    /// [`Conflict`], with the node, if the entry is not as expected. One that is stored is as expected if its LSN is.
    ///
    /// # Panics
    ///
    /// If a record is expected whose LSN is not below [`Lsn::LIMIT`].
    #[inline]
    pub fn replace<'g>(
        &'g self,
        page: PageId,
        expected: Entry<'_, N>,
        node: Box<N>,
        guard: &'g Guard,
    ) -> Result<&'g N, Conflict<'g, N>> {
        self.put(page, expected, node, Mark::Dirty, guard)
    }

    /// Puts a node in the place of the record that it was read from. As nothing was changed by that which a checkpoint would
    /// tell of, the page's region is *not* marked as dirty.
    ///
    /// # Errors
    ///
    /// [`Conflict`], with the node, if the entry is not stored with this LSN.
    ///
    /// # Panics
    ///
    /// As [`PageTable::replace`].
    #[inline]
    pub fn install<'g>(
        &'g self,
        page: PageId,
        expected: Stored,
        node: Box<N>,
        guard: &'g Guard,
    ) -> Result<&'g N, Conflict<'g, N>> {
        self.put(page, Entry::Stored(expected), node, Mark::Clean, guard)
    }

    /// Puts a record in the place of the node that was written there. Marks the page's region as dirty.
    ///
    /// # Errors
    ///
    /// What is known of the page, if that is not the expected node.
    ///
    /// # Panics
    ///
    /// If the record's LSN is not below [`Lsn::LIMIT`].
    pub fn evict<'g>(
        &'g self,
        page: PageId,
        expected: &N,
        stored: Stored,
        guard: &'g Guard,
    ) -> Result<(), Entry<'g, N>> {
        self.take_out(page, expected, stored, Mark::Dirty, guard)
    }

    /// As [`PageTable::evict`], but for a node that a checkpoint would say the same of as of the record: that is there since
    /// the node was put in. The page's region is *not* marked as dirty.
    ///
    /// # Errors
    ///
    /// As those of [`PageTable::evict`].
    ///
    /// # Panics
    ///
    /// As [`PageTable::evict`].
    pub fn evict_clean<'g>(
        &'g self,
        page: PageId,
        expected: &N,
        stored: Stored,
        guard: &'g Guard,
    ) -> Result<(), Entry<'g, N>> {
        self.take_out(page, expected, stored, Mark::Clean, guard)
    }

    /// Says that the record of a page that is not in memory was copied to another place. Length and version stay as they are.
    /// Marks the page's region as dirty.
    ///
    /// # Errors
    ///
    /// What is known of the page, if it is not stored with the expected LSN.
    ///
    /// # Panics
    ///
    /// If `to` or the expected LSN is not below [`Lsn::LIMIT`].
    pub fn relocate<'g>(
        &'g self,
        page: PageId,
        expected: Stored,
        to: Lsn,
        guard: &'g Guard,
    ) -> Result<(), Entry<'g, N>> {
        self.swap(page, Word::stored(expected.lsn), Word::stored(to), guard)
    }

    /// Ends a page. Marks its region as dirty, unless no page ever was there.
    ///
    /// # Errors
    ///
    /// What is known of the page, if that is not as expected.
    ///
    /// # Panics
    ///
    /// As [`PageTable::replace`].
    pub fn free<'g>(&'g self, page: PageId, expected: Entry<'_, N>, guard: &'g Guard) -> Result<(), Entry<'g, N>> {
        let expected = word_of(expected);
        self.swap(page, expected, Word::VACANT, guard)?;
        self.retire(expected, guard);
        Ok(())
    }

    /// Calls `each` with each page of these ids that there is, in ascending order. Each entry is as it was at some moment
    /// during the call; changes that are made meanwhile are seen or not.
    ///
    /// What [`PageTable::take_dirty`] says holds for this: a change that was made before a region was taken is seen.
    pub fn scan<'g>(
        &'g self,
        pages: impl RangeBounds<PageId>,
        guard: &'g Guard,
        mut each: impl FnMut(PageId, Entry<'g, N>),
    ) {
        let Some((first, last)) = ends(&pages) else { return };
        for (region, chunk) in self.directory.chunks(first.region(), last.region()) {
            let from = if region == first.region() { first.index() } else { 0 };
            let to = if region == last.region() { last.index() } else { crate::REGION_PAGES - 1 };
            for at in from..=to {
                let found = chunk.load(at);
                if found != Found::Vacant {
                    each(region.page(at), self.entry(found, guard));
                }
            }
        }
    }

    /// The regions that have or had pages, in ascending order.
    #[must_use]
    pub fn regions(&self) -> Vec<Region> {
        self.directory.all().map(|(region, _)| region).collect()
    }

    /// Takes the marks of all regions that are dirty, and returns these regions in ascending order.
    ///
    /// A change whose call has returned before this one began is in a region that is returned, unless another call took it,
    /// and whoever then reads the region sees the change. A change that is being made meanwhile may be seen by whoever reads
    /// the region then, or not; if not, its region is dirty afterwards. So no change is lost between two checkpoints; but one
    /// that began before a checkpoint and goes on is in that checkpoint only by chance.
    ///
    /// What comes to nothing is to be given back by [`PageTable::mark_dirty`].
    #[must_use = "the regions that are returned are not dirty any more"]
    pub fn take_dirty(&self) -> Vec<Region> {
        let chunks = self.directory.all();
        let taken = chunks.filter(|(_, chunk)| chunk.take_dirty()).map(|(region, _)| region).collect();
        chunk::after_taking();
        taken
    }

    /// Marks a region as dirty. One in which no page ever was stays clean.
    pub fn mark_dirty(&self, region: Region) {
        if let Some(chunk) = self.directory.find(region) {
            chunk.mark_dirty();
        }
    }

    /// Sets an entry, whatever it was, to a record, as recovery does. Marks the page's region as dirty; to have the regions
    /// clean that are as a checkpoint says, [`PageTable::take_dirty`] when all of it is in.
    ///
    /// # Panics
    ///
    /// If the record's LSN is not below [`Lsn::LIMIT`].
    #[inline]
    pub fn set_stored(&mut self, page: PageId, stored: Stored) {
        let old = self.directory.find_or_make(page.region()).set(page.index(), Some(stored));
        self.drop_resident(old);
    }

    /// Ends a page, whatever it was, as recovery does. Marks the page's region as dirty, unless no page ever was there.
    pub fn set_vacant(&mut self, page: PageId) {
        if let Some(chunk) = self.directory.find(page.region()) {
            let old = chunk.set(page.index(), None);
            self.drop_resident(old);
        }
    }

    /// The memory that the table takes beside itself and the nodes, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.directory.memory_bytes()
    }

    #[expect(unsafe_code, reason = "a node that could not be put in is given back")]
    fn put<'g>(
        &'g self,
        page: PageId,
        expected: Entry<'_, N>,
        node: Box<N>,
        mark: Mark,
        guard: &'g Guard,
    ) -> Result<&'g N, Conflict<'g, N>> {
        let chunk = self.directory.find_or_make(page.region());
        let expected = word_of(expected);
        let node = Box::into_raw(node);
        // Exposed, because the word that it becomes a part of is a number.
        let address = node.expose_provenance();
        if chunk.exchange(page.index(), expected, Word::resident(address), mark) {
            self.retire(expected, guard);
            return Ok(self.node(address, guard));
        }
        // SAFETY: I1 (one owner): it was made by `Box::into_raw` above, and was not put in, so that nobody has seen it.
        let node = unsafe { Box::from_raw(node) };
        Err(Conflict { page, current: self.entry(chunk.load(page.index()), guard), node })
    }

    fn take_out<'g>(
        &'g self,
        page: PageId,
        expected: &N,
        stored: Stored,
        mark: Mark,
        guard: &'g Guard,
    ) -> Result<(), Entry<'g, N>> {
        let Some(chunk) = self.directory.find(page.region()) else { return Err(Entry::Vacant) };
        let expected = word_of(Entry::Resident(expected));
        if !chunk.evict(page.index(), expected, stored, mark) {
            return Err(self.entry(chunk.load(page.index()), guard));
        }
        self.retire(expected, guard);
        Ok(())
    }

    /// A change that puts no node in.
    fn swap<'g>(&'g self, page: PageId, expected: Word, new: Word, guard: &'g Guard) -> Result<(), Entry<'g, N>> {
        let Some(chunk) = self.directory.find(page.region()) else {
            // Nothing was ever put there, and nothing has to be to leave it so.
            return if expected == Word::VACANT && new == Word::VACANT { Ok(()) } else { Err(Entry::Vacant) };
        };
        if chunk.exchange(page.index(), expected, new, Mark::Dirty) {
            return Ok(());
        }
        Err(self.entry(chunk.load(page.index()), guard))
    }

    #[inline]
    fn entry<'g>(&'g self, found: Found, guard: &'g Guard) -> Entry<'g, N> {
        match found {
            Found::Vacant => Entry::Vacant,
            Found::Stored(stored) => Entry::Stored(stored),
            Found::Resident(address) => Entry::Resident(self.node(address, guard)),
        }
    }

    /// The node at an address that was found in the table under this guard.
    #[inline]
    #[expect(unsafe_code, reason = "an address that was found is that of a node")]
    fn node<'g>(&'g self, address: usize, _: &'g Guard) -> &'g N {
        // SAFETY: I1 (one owner): the address came from a word of this table, into which only `put` writes addresses, those of
        // a `Box<N>`. I2 (pinned nodes): it was in the word after the guard was pinned, so that it had not been retired before;
        // so it is not dropped before the guard is gone, nor, by `drop` or `set`, while the table is borrowed. Until then nobody
        // has it for himself. P1 orders its making before this.
        unsafe { &*ptr::with_exposed_provenance::<N>(address) }
    }

    /// Arranges for the node to be dropped, if the word had one, that the caller has taken out of the table.
    #[inline]
    #[expect(unsafe_code, reason = "whoever takes a node out retires it")]
    fn retire(&self, taken: Word, guard: &Guard) {
        if let Meaning::Resident(address) = taken.meaning() {
            // SAFETY: I1 (one owner): the swap that succeeded found this address in a word of this table and took it out; only
            // `put` writes addresses into words, each of a `Box::into_raw` of its own, into one word and once; so this is the
            // only one to retire it, and nobody finds it any more. `N` is `Send`, `Sync` and `'static`, so that it may be dropped
            // by any thread and later.
            unsafe { self.retired.retire(ptr::with_exposed_provenance_mut::<N>(address), guard) };
        }
    }

    /// Drops the node that was in an entry, if there was one.
    #[expect(unsafe_code, reason = "the table is borrowed by nobody else")]
    fn drop_resident(&mut self, taken: Word) {
        if let Meaning::Resident(address) = taken.meaning() {
            // SAFETY: I1 (one owner): as in `retire`. I2 (pinned nodes): entries borrow the table, which the caller has for
            // itself; so nobody has the node any more.
            unsafe { reclaim::drop_node(ptr::with_exposed_provenance_mut::<N>(address)) };
        }
    }
}

impl<N: Send + Sync + 'static> Drop for PageTable<N> {
    #[expect(unsafe_code, reason = "the table is borrowed by nobody else")]
    fn drop(&mut self) {
        for address in self.directory.all().flat_map(|(_, chunk)| chunk.residents()) {
            // SAFETY: I1 (one owner): only `put` writes addresses into words, each of a `Box::into_raw` of its own, into one
            // word; and this looks at each word once. I2 (pinned nodes): entries borrow the table, which is gone after this.
            unsafe { reclaim::drop_node(ptr::with_exposed_provenance_mut::<N>(address)) };
        }
    }
}

impl<N: Send + Sync + 'static> Default for PageTable<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<N: Send + Sync + 'static> fmt::Debug for PageTable<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageTable").field("memory_bytes", &self.memory_bytes()).finish_non_exhaustive()
    }
}

impl<N> Clone for Entry<'_, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N> Copy for Entry<'_, N> {}

impl<N: fmt::Debug> fmt::Debug for Entry<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vacant => f.write_str("Vacant"),
            Self::Stored(stored) => f.debug_tuple("Stored").field(stored).finish(),
            Self::Resident(node) => f.debug_tuple("Resident").field(node).finish(),
        }
    }
}

impl<N> fmt::Debug for Conflict<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conflict").field("page", &self.page).finish_non_exhaustive()
    }
}

impl<N> fmt::Display for Conflict<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.current {
            Entry::Vacant => "vacant",
            Entry::Stored(_) => "stored",
            Entry::Resident(_) => "resident",
        };
        write!(f, "page {} is not as expected: it is {state}", self.page)
    }
}

impl<N> Error for Conflict<'_, N> {}

#[inline]
fn word_of<N>(entry: Entry<'_, N>) -> Word {
    match entry {
        Entry::Vacant => Word::VACANT,
        Entry::Stored(stored) => Word::stored(stored.lsn),
        Entry::Resident(node) => Word::resident(ptr::from_ref(node).addr()),
    }
}

/// The first and the last page of a range, or `None` if it is empty.
fn ends(pages: &impl RangeBounds<PageId>) -> Option<(PageId, PageId)> {
    let first = match pages.start_bound() {
        Bound::Included(first) => *first,
        Bound::Excluded(before) => PageId::new(before.get() + 1)?,
        Bound::Unbounded => PageId::MIN,
    };
    let last = match pages.end_bound() {
        Bound::Included(last) => *last,
        Bound::Excluded(after) => PageId::new(after.get().checked_sub(1)?)?,
        Bound::Unbounded => PageId::MAX,
    };
    (first <= last).then_some((first, last))
}
