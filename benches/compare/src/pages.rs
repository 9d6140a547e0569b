//! Stores of pages: a page is found by its number, and written anew as a whole.

pub(crate) mod esker;
pub(crate) mod fjall;
pub(crate) mod marble;
pub(crate) mod redb;
pub(crate) mod sled;

use std::path::Path;

use crate::Fallible;

/// The bytes of each page.
pub(crate) const PAGE_BYTES: usize = 1024;
/// The data is so many times as long as the cache that everybody is given.
pub(crate) const DATA_TO_CACHE: u64 = 4;
/// Which share of its space a store that has a bound is filled to.
pub(crate) const FILL: f64 = 0.8;

/// How much a store is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) pages: u32,
}

impl Size {
    pub(crate) fn data_bytes(self) -> u64 {
        u64::from(self.pages) * PAGE_BYTES as u64
    }

    pub(crate) fn cache_bytes(self) -> u64 {
        self.data_bytes() / DATA_TO_CACHE
    }
}

/// A store that many threads use.
pub(crate) trait Pages: Sized + Sync {
    /// One thread's handle.
    type Handle<'a>: Handle + Send
    where
        Self: 'a;

    /// Creates the store, or opens it.
    fn open(dir: &Path, size: Size) -> Fallible<Self>;

    fn handle(&self) -> Self::Handle<'_>;
}

/// What one thread reads and writes with.
pub(crate) trait Handle {
    /// Calls `look` with a page, in the state that this thread last gave to it, or a later one.
    fn get(&mut self, page: u32, look: &mut dyn FnMut(&[u8])) -> Fallible;

    /// Writes a page anew. No other thread writes the same one.
    fn replace(&mut self, page: u32, content: &[u8]) -> Fallible;

    /// Makes durable what this thread wrote.
    fn flush(&mut self) -> Fallible;
}
