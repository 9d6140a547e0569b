//! Looking at a store without changing it.
//!
//! Owns what is shown of a store's inside. An opening writes a little, of which nothing reaches the disk here: it goes to a
//! [`ScratchStorage`].

use std::sync::Arc;

use esker_format::Lsn;
use esker_page_table::{PageId, Version, pin};
use esker_storage::{ScratchStorage, Storage};

use crate::{Error, Options, Stats, node::seen, open, roots::META, store::Inner};

/// A store that is only looked at. While it is there, nobody else can open the store; and nothing of it changes.
pub struct Look {
    pub(crate) inner: Inner,
    /// What is really there.
    pub(crate) storage: Arc<dyn Storage>,
}

/// What the store knows of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageInfo {
    /// The page.
    pub page: PageId,
    /// Its version.
    pub version: Version,
    /// How many records it consists of: one, and one for each delta.
    pub records: u32,
    /// How many bytes these records take in the segments, with their headers.
    pub bytes: u64,
    /// Where the newest of them is.
    pub lsn: Lsn,
    /// The file of its content, if it has one of its own.
    pub file: Option<LargeFile>,
}

/// A file that holds the content of one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LargeFile {
    /// The number in its name, `page-` and sixteen hexadecimal digits.
    pub id: u64,
    /// How long it is, in bytes.
    pub bytes: u64,
}

impl LargeFile {
    /// Its name in the store's directory.
    #[must_use]
    pub fn name(&self) -> String {
        crate::large::name_of(self.id)
    }
}

/// What a slot of the data file is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotState {
    /// Nobody needs anything in it, or it will be so when a flush or a reader has ended.
    Free,
    /// Records are being written to it, or are not yet durable to its end.
    Open,
    /// It is only read.
    Full,
}

/// A slot of the data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Slot {
    /// What it is used for.
    pub state: SlotState,
    /// The LSN of the first byte of the segment that it holds.
    pub base: Option<Lsn>,
    /// The stream that wrote the segment.
    pub stream: Option<u8>,
    /// What is live of it, in bytes, headers of records included.
    pub live_bytes: u64,
}

impl Look {
    /// Looks at a store.
    ///
    /// # Errors
    ///
    /// As those of [`Store::open`](crate::Store::open).
    pub fn open(storage: Arc<dyn Storage>) -> Result<Self, Error> {
        let inner = open::open(Arc::new(ScratchStorage::new(storage.clone())), Options::for_looking())?;
        Ok(Self { inner, storage })
    }

    /// What the store holds. Nothing was written since it was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }

    /// What each slot of the data file holds, from the file's beginning.
    #[must_use]
    pub fn slots(&self) -> Vec<Slot> {
        self.inner.slots()
    }

    /// The size of a segment in bytes.
    #[must_use]
    pub fn segment_bytes(&self) -> u32 {
        self.inner.streams.segment_bytes().get()
    }

    /// The names, and the pages that they stand for.
    ///
    /// # Errors
    ///
    /// As those of [`Store::roots`](crate::Store::roots).
    pub fn roots(&self) -> Result<Vec<(String, PageId)>, Error> {
        Ok(self.inner.roots()?.1.into_iter().collect())
    }

    /// Calls `each` with every page, in the order of their ids, until it returns an error.
    ///
    /// # Errors
    ///
    /// What `each` returns.
    pub fn pages<E>(&self, mut each: impl FnMut(PageInfo) -> Result<(), E>) -> Result<(), E> {
        for region in self.inner.table.regions() {
            let mut found = Vec::new();
            self.inner.table.scan(region.pages(), &pin(), |page, entry| {
                let Some(seen) = seen(entry).filter(|_| page != META) else { return };
                let newest = seen.newest;
                let file = seen.fragments().find(|fragment| fragment.is_large());
                found.push(PageInfo {
                    page,
                    version: newest.version,
                    records: 1 + seen.older.len() as u32,
                    bytes: seen.fragments().map(|fragment| u64::from(fragment.bytes())).sum(),
                    lsn: newest.lsn,
                    file: file
                        .and_then(|large| self.inner.larges.file_of(large.version.get()))
                        .map(|(id, bytes)| LargeFile { id, bytes }),
                });
            });
            found.into_iter().try_for_each(&mut each)?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Look").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Inner {
    pub(crate) fn slots(&self) -> Vec<Slot> {
        let held = self.streams.slots();
        let live = self.books.live_bytes_of(held.iter().map(|held| held.map(|info| info.base)));
        let slots = held.into_iter().zip(live);
        let slots = slots.map(|(held, live_bytes)| match held {
            None => Slot { state: SlotState::Free, base: None, stream: None, live_bytes: 0 },
            Some(info) => Slot {
                state: if info.end.is_some() { SlotState::Full } else { SlotState::Open },
                base: Some(info.base),
                stream: Some(info.stream.get()),
                live_bytes,
            },
        });
        slots.collect()
    }
}
