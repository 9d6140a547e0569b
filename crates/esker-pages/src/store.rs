//! The store that is open.

use std::{collections::BTreeMap, fmt, mem, sync::Arc};

use esker_page_table::{Counter, Entry, PageId, PageIds, PageTable, Version, pin};
use esker_storage::Storage;
use esker_streams::Streams;
use esker_tickets::Tickets;

use crate::{
    Batch, Error, Options, Slot, Stats,
    books::{Books, Totals},
    cache::Cache,
    checkpoint::Checkpoints,
    clean::Cleaning,
    large::Larges,
    node::{Fragment, Node, State, version_of},
    open,
    record::Kind,
    roots::META,
    sync::{Mutex, lock},
    ticket::Durable,
    upkeep::Upkeep,
};

/// A store of pages.
///
/// All methods take `&self` and may be called by any thread. Dropping the store closes it as [`close`](Store::close) does,
/// but says nothing of errors.
pub struct Store {
    pub(crate) inner: Arc<Inner>,
    upkeep: Option<Upkeep>,
    tickets: Tickets<Durable>,
    closed: bool,
}

/// The right to be told when a change is durable: see [`Store::ticket`].
///
/// [`wait`](esker_tickets::Ticket::wait) for it on a thread, `await` it, or have a callback called
/// [`then`](esker_tickets::Ticket::then). What is told is the version up to which all changes are durable. Dropping it cancels
/// only the wait.
pub type Ticket = esker_tickets::Ticket<Durable>;

/// What the threads of a store share.
pub(crate) struct Inner {
    pub(crate) options: Options,
    pub(crate) table: PageTable<Node>,
    pub(crate) ids: PageIds,
    /// The number of the next change.
    pub(crate) numbers: Counter,
    pub(crate) streams: Streams,
    pub(crate) books: Books,
    /// What had been written before the store was opened, as far as the last checkpoint tells.
    pub(crate) before: Totals,
    pub(crate) cache: Cache,
    pub(crate) graves: Mutex<Graves>,
    pub(crate) checkpoints: Mutex<Checkpoints>,
    pub(crate) cleaning: Cleaning,
    pub(crate) larges: Larges,
    pub(crate) unique: Mutex<UniqueIds>,
    /// All changes up to this number are durable.
    pub(crate) durable: Arc<Mutex<u64>>,
}

/// The records that say that a page is gone, by number. Each is live until a checkpoint that began after it is complete:
/// until then, something older of the page might be found.
pub(crate) type Graves = BTreeMap<u64, (PageId, Fragment)>;

/// Ids that were never given out before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UniqueIds {
    pub(crate) next: u64,
    /// Those below are noted as given out.
    pub(crate) noted: u64,
}

/// A page as it was at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// Its version: what a change of it is compared with.
    pub version: Version,
    /// All of it.
    pub content: Arc<[u8]>,
}

impl Store {
    /// Opens a store, or creates one.
    ///
    /// Costs the reading of the last checkpoint and of what was written after it.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOptions`]; [`Error::Log`] with what opening a log may meet: another process has it, damage, I/O.
    pub fn open(storage: Arc<dyn Storage>, options: Options) -> Result<Self, Error> {
        let inner = Arc::new(open::open(storage, options)?);
        let upkeep = inner.options.background.then(|| Upkeep::start(inner.clone())).transpose()?;
        let tickets = Tickets::new(Durable::of(&inner), "esker-tickets");
        Ok(Self { inner, upkeep, tickets, closed: false })
    }

    /// An id for a new page: the lowest that is free. It is taken until the page is [freed](Store::free), or the store is
    /// closed without the page having been [created](Store::replace). Ids begin at one; page zero is the store's own.
    ///
    /// # Errors
    ///
    /// [`Error::Exhausted`] after 2^40 pages.
    pub fn allocate(&self) -> Result<PageId, Error> {
        self.inner.ids.allocate().ok_or(Error::Exhausted { what: "page ids" })
    }

    /// A page, or `None` if there is none of this id.
    ///
    /// A page that is not cached costs one read, or one for each of its deltas and one.
    ///
    /// # Errors
    ///
    /// [`Error::Log`]: damage, I/O.
    pub fn get(&self, page: PageId) -> Result<Option<Page>, Error> {
        if page == META { Ok(None) } else { self.inner.get(page) }
    }

    /// Calls `look` with a page's version and content, which are not copied if they are cached. `None` if there is no such
    /// page. What is retired meanwhile by any thread stays in memory while `look` runs.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn view<T>(&self, page: PageId, look: impl FnOnce(Version, &[u8]) -> T) -> Result<Option<T>, Error> {
        if page == META {
            return Ok(None);
        }
        let guard = pin();
        if let Entry::Resident(node) = self.inner.table.load(page, &guard)
            && let Some(State { newest, content: Some(content), .. }) = node.now()
        {
            node.touch.touch();
            return Ok(Some(look(newest.version, content)));
        }
        drop(guard);
        Ok(self.inner.get(page)?.map(|page| look(page.version, &page.content)))
    }

    /// The version of a page, or `None` if there is no such page. Reads nothing.
    #[must_use]
    pub fn version(&self, page: PageId) -> Option<Version> {
        if page == META { None } else { version_of(self.inner.table.load(page, &pin())) }
    }

    /// Makes `content` all of a page, if the page is at the version `expected`: `None` creates it. Returns its new version,
    /// which is higher than any that it had.
    ///
    /// A page may be created without its id having been [allocated](Store::allocate). What the store keeps for itself grows
    /// with the highest id: about 16 bytes for each 1024 ids below it.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if it is at another version. [`Error::TooLarge`], [`Error::NoSpace`], [`Error::Log`]: the page is
    /// as it was.
    pub fn replace(&self, page: PageId, expected: Option<Version>, content: &[u8]) -> Result<Version, Error> {
        check_page(page)?;
        self.inner.replace(page, expected, content)
    }

    /// Appends `delta` to a page that is at the version `expected`, without reading it: the page then is what
    /// [merging](crate::Merge) makes of it. Every so often the page is written anew instead, which reads it.
    ///
    /// # Errors
    ///
    /// As [`replace`](Store::replace); and [`Error::InvalidOptions`] for a store that was opened without
    /// [`Options::merge`].
    pub fn link(&self, page: PageId, expected: Version, delta: &[u8]) -> Result<Version, Error> {
        check_page(page)?;
        self.inner.link(page, expected, delta)
    }

    /// Ends a page that is at the version `expected`. Its id may be used for a new page at once. Succeeds also where there is
    /// no room for anything else.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if it is at another version, or not there. [`Error::Log`].
    pub fn free(&self, page: PageId, expected: Version) -> Result<(), Error> {
        check_page(page)?;
        self.inner.write(page, Some(expected), Kind::Free, &[], None).map(drop)
    }

    /// Makes all changes of a batch, or none. Whoever sees one of them sees all; after a crash, all are there or none. Returns
    /// the new version of each page, in the order in which the pages were added; of a page that was freed, that of its end.
    ///
    /// The batch takes one reservation, as long as all its records together. If that is more than one may be, the longest
    /// contents are written to files of their own.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if a page is at another version, [`Error::RootConflict`] if a name stands for another page.
    /// [`Error::Twice`], [`Error::Reserved`]; [`Error::TooLarge`] if there are too many changes; and as
    /// [`replace`](Store::replace) and [`link`](Store::link). Nothing has changed then.
    pub fn apply(&self, batch: &Batch) -> Result<Vec<Version>, Error> {
        self.inner.apply(batch)
    }

    /// The page that a name stands for.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn root(&self, name: &str) -> Result<Option<PageId>, Error> {
        Ok(self.inner.roots()?.1.remove(name))
    }

    /// All names, in ascending order, and the pages that they stand for.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn roots(&self) -> Result<Vec<(String, PageId)>, Error> {
        Ok(self.inner.roots()?.1.into_iter().collect())
    }

    /// Lets a name stand for a page, or for nothing, if it stands for `expected`: so that a store can be understood by whoever
    /// opens it. Whether there is such a page does not matter. To change pages and names together, use a [`Batch`].
    ///
    /// All names are one page: they are for a few roots, not for many.
    ///
    /// # Errors
    ///
    /// [`Error::RootConflict`] if it stands for something else. [`Error::TooLarge`] for a name of more than 65,535 bytes; and
    /// as [`replace`](Store::replace).
    pub fn set_root(&self, name: &str, expected: Option<PageId>, page: Option<PageId>) -> Result<(), Error> {
        let mut batch = Batch::new();
        batch.set_root(name, expected, page);
        self.inner.apply(&batch).map(drop)
    }

    /// Makes every change durable that was made before this was called. One flush serves all who ask while another is under
    /// way.
    ///
    /// # Errors
    ///
    /// [`Error::Log`]. After a failed sync the store acknowledges nothing any more, until it is opened again.
    pub fn flush(&self) -> Result<(), Error> {
        self.inner.flush()
    }

    /// Makes the change durable that gave a page this version, and with it every change before. Returns up to where changes
    /// are durable. Costs nothing if it is so already.
    ///
    /// # Errors
    ///
    /// [`Error::NeverMade`]; and as [`flush`](Store::flush).
    pub fn make_stable(&self, version: Version) -> Result<Version, Error> {
        let stable = self.inner.make_stable(version.get())?;
        Ok(Version::new(stable).expect("what was asked for is one at least"))
    }

    /// What a change can be waited for with, that gave a page this version: by a thread, as a future of any executor, or with a
    /// callback. One flush serves all who wait, in whatever way; those who wait without a thread of their own are served by one
    /// of the store's, which is started when the first of them comes and sleeps while there are none.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use esker_pages::{Error, Options, Store, storage::MemStorage};
    /// let store = Store::open(Arc::new(MemStorage::default()), Options::new())?;
    /// let page = store.allocate()?;
    /// let ticket = store.ticket(store.replace(page, None, b"content")?);
    /// ticket.then(|outcome| println!("durable up to {outcome:?}"));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// A ticket may outlive the store: whoever waits when it is [closed](Store::close) is told.
    #[must_use]
    pub fn ticket(&self, version: Version) -> Ticket {
        self.tickets.ticket(version.get())
    }

    /// All changes up to this version are durable, of whatever page; `None` if there is none of which that is known.
    #[must_use]
    pub fn stable(&self) -> Option<Version> {
        Version::new(*lock(&self.inner.durable))
    }

    /// Calls `each` with every page and its version, in the order of their ids. A page that is changed meanwhile is shown as
    /// it is before or after; one that is created or freed meanwhile is shown or not.
    pub fn for_each(&self, mut each: impl FnMut(PageId, Version)) {
        for region in self.inner.table.regions() {
            let guard = pin();
            self.inner.table.scan(region.pages(), &guard, |page, entry| {
                if let Some(version) = version_of(entry).filter(|_| page != META) {
                    each(page, version);
                }
            });
        }
    }

    /// A number that no call of this store has ever returned before, whatever crashed: always a higher one.
    ///
    /// # Errors
    ///
    /// [`Error::Log`]: once in many calls, something is made durable.
    pub fn generate_id(&self) -> Result<u64, Error> {
        self.inner.generate_id()
    }

    /// Takes a checkpoint: what was written before need not be read by the next opening. Writers go on meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::Log`]. The last checkpoint stays good.
    pub fn checkpoint(&self) -> Result<(), Error> {
        self.inner.checkpoint()
    }

    /// Does what the store's own thread does, if there is one: cleans as far as there is need, and takes a checkpoint if
    /// enough was written since the last.
    ///
    /// # Errors
    ///
    /// [`Error::Log`].
    pub fn upkeep(&self) -> Result<(), Error> {
        self.inner.upkeep()
    }

    /// What each slot of the data file holds, from the file's beginning.
    #[must_use]
    pub fn slots(&self) -> Vec<Slot> {
        self.inner.slots()
    }

    /// What the store holds, and what it has done since it was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }

    /// Makes everything durable, takes a checkpoint, and closes the store, so that the next opening has little to read.
    ///
    /// # Errors
    ///
    /// [`Error::Log`]. The store is closed all the same, as if by a crash.
    pub fn close(mut self) -> Result<(), Error> {
        self.shut()
    }

    fn shut(&mut self) -> Result<(), Error> {
        if mem::replace(&mut self.closed, true) {
            return Ok(());
        }
        // Its thread goes first.
        drop(self.upkeep.take());
        let left = self.inner.checkpoint();
        // Those who wait are told, of the end or of what was in the way.
        self.tickets.close();
        left
    }
}

fn check_page(page: PageId) -> Result<(), Error> {
    if page == META { Err(Error::Reserved { page }) } else { Ok(()) }
}

impl Inner {
    /// How many ids are noted at once.
    const IDS_AT_ONCE: u64 = 1024;

    pub(crate) fn flush(&self) -> Result<(), Error> {
        let durable = self.numbers.get() - 1;
        self.streams.flush()?;
        self.larges.sweep(durable);
        let mut known = lock(&self.durable);
        *known = durable.max(*known);
        Ok(())
    }

    /// Returns up to which number all changes are durable: this one at least.
    pub(crate) fn make_stable(&self, number: u64) -> Result<u64, Error> {
        let known = *lock(&self.durable);
        if known >= number {
            return Ok(known);
        }
        if let Some(version) = Version::new(number).filter(|_| number >= self.numbers.get()) {
            return Err(Error::NeverMade { version });
        }
        self.flush()?;
        Ok(*lock(&self.durable))
    }

    pub(crate) fn generate_id(&self) -> Result<u64, Error> {
        let mut unique = lock(&self.unique);
        if unique.next == unique.noted {
            let noted = unique.noted.checked_add(Self::IDS_AT_ONCE).ok_or(Error::Exhausted { what: "unique ids" })?;
            self.streams.note(&crate::notes::Note::Ids { next: noted }.encode())?;
            self.streams.flush_notes()?;
            unique.noted = noted;
        }
        let id = unique.next;
        unique.next += 1;
        Ok(id)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // A destructor has nobody to tell; `close` is for those who want to know.
        drop(self.shut());
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
