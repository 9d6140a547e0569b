//! What a store holds and has done.

use crate::{store::Inner, sync::lock};

/// Counters of a store, and how it stands.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// How many pages have an id.
    pub pages: u64,
    /// What is live of the segments, in bytes: the records of all pages, with their headers.
    pub live_bytes: u64,
    /// What the segments take of the file, in bytes, free ones included.
    pub file_bytes: u64,
    /// How much of that was given back to the file system since the store was opened, in bytes.
    pub hole_bytes: u64,
    /// How many segments nobody uses.
    pub segments_free: u32,
    /// How long the ledger is, in bytes.
    pub ledger_bytes: u64,
    /// What users have written since the store was opened, in bytes: records with their headers.
    pub user_bytes: u64,
    /// What cleaning has moved since the store was opened, in bytes.
    pub moved_bytes: u64,
    /// What lies in the segments beside records since the store was opened, in bytes: where a record did not fit any more.
    pub pad_bytes: u64,
    /// How many files there are of contents that are too long for a segment.
    pub large_files: u64,
    /// What they take, in bytes.
    pub large_bytes: u64,
    /// What the nodes in memory take, in bytes.
    pub cached_bytes: u64,
    /// What the table takes beside them, in bytes.
    pub table_bytes: u64,
    /// Records that say that a page is gone and that the next checkpoint makes needless.
    pub graves: u64,
}

impl Stats {
    /// What was written for each byte that users have written: 1 without cleaning.
    #[must_use]
    pub fn write_amplification(&self) -> f64 {
        (self.user_bytes + self.moved_bytes) as f64 / self.user_bytes.max(1) as f64
    }

    /// What the segments take for each live byte.
    #[must_use]
    pub fn space_amplification(&self) -> f64 {
        self.file_bytes as f64 / self.live_bytes.max(1) as f64
    }
}

impl Inner {
    pub(crate) fn stats(&self) -> Stats {
        let (totals, streams) = (self.books.totals(), self.streams.stats());
        Stats {
            // Without that of the names.
            pages: self.ids.in_use() - 1,
            live_bytes: totals.live_bytes,
            file_bytes: streams.segments.file_bytes,
            hole_bytes: u64::from(streams.holes) * u64::from(self.streams.segment_bytes().get()),
            segments_free: streams.segments.free,
            ledger_bytes: self.streams.ledger_bytes(),
            user_bytes: totals.user_bytes,
            moved_bytes: totals.moved_bytes,
            pad_bytes: streams.engines.iter().map(|engine| engine.pad_bytes).sum(),
            large_files: self.larges.count(),
            large_bytes: self.larges.bytes(),
            cached_bytes: self.cache.held_bytes(),
            table_bytes: self.table.memory_bytes() as u64,
            graves: lock(&self.graves).len() as u64,
        }
    }
}
