//! How deltas become content.

use esker_page_table::PageId;

/// Folds what was [linked](crate::Store::link) to a page into its content. Called whenever a page is read that has deltas, by
/// any thread; the same content and delta must always give the same result, in every process that opens the store.
pub trait Merge: Send + Sync + 'static {
    /// The content of a page after a delta.
    fn merge(&self, page: PageId, content: &[u8], delta: &[u8]) -> Vec<u8>;
}

impl<F: Fn(PageId, &[u8], &[u8]) -> Vec<u8> + Send + Sync + 'static> Merge for F {
    fn merge(&self, page: PageId, content: &[u8], delta: &[u8]) -> Vec<u8> {
        self(page, content, delta)
    }
}
