//! What a store holds and has done.

use esker_format::{Lsn, SEGMENT_HEADER_BYTES};

use crate::{SlotState, store::Inner, sync::lock};

/// Counters of a store, and how it stands.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// How many pages have an id.
    pub pages: u64,
    /// What is live of the segments, in bytes: the records of all pages, with their headers.
    pub live_bytes: u64,
    /// What is dead of the segments that are full, in bytes: all that is no live record but the segments' headers. Padding is
    /// dead from the beginning.
    pub dead_bytes: u64,
    /// What the segments that nobody uses take of the file, in bytes.
    pub free_bytes: u64,
    /// How many bytes cleaning has to move until there are as many free segments as it wants, if it takes those first that have
    /// the least that is live; zero if there are enough.
    pub debt_bytes: u64,
    /// What the segments take of the file, in bytes, free ones included.
    pub file_bytes: u64,
    /// How much of that was given back to the file system since the store was opened, in bytes.
    pub hole_bytes: u64,
    /// How many segments nobody uses.
    pub segments_free: u32,
    /// How many segments are empty and wait for readers who may be in them.
    pub segments_pinned: u32,
    /// The first byte of the oldest of these.
    pub oldest_pin: Option<Lsn>,
    /// How long the ledger is, in bytes.
    pub ledger_bytes: u64,
    /// What users have written since the store was opened, in bytes: records with their headers.
    pub user_bytes: u64,
    /// What cleaning has moved since the store was opened, in bytes.
    pub moved_bytes: u64,
    /// What users have written since the store was made, in bytes; of what came before a crash, what the last checkpoint tells.
    pub user_bytes_ever: u64,
    /// What cleaning has moved since the store was made, in bytes, as far.
    pub moved_bytes_ever: u64,
    /// What lies in the segments beside records since the store was opened, in bytes: where a record did not fit any more.
    pub pad_bytes: u64,
    /// How many flushes there were since the store was opened, those included that cleaning and checkpoints make. One serves all
    /// who ask while another is under way.
    pub flushes: u64,
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

    /// The same since the store was made.
    #[must_use]
    pub fn write_amplification_ever(&self) -> f64 {
        (self.user_bytes_ever + self.moved_bytes_ever) as f64 / self.user_bytes_ever.max(1) as f64
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
        let segment = u64::from(self.streams.segment_bytes().get());
        let full = self.slots().into_iter().filter(|slot| slot.state == SlotState::Full);
        let mut live: Vec<u64> = full.map(|slot| slot.live_bytes).collect();
        live.sort_unstable();
        let capacity = segment - SEGMENT_HEADER_BYTES as u64;
        Stats {
            // Without that of the names.
            pages: self.ids.in_use() - 1,
            live_bytes: totals.live_bytes,
            dead_bytes: live.iter().map(|live| capacity.saturating_sub(*live)).sum(),
            free_bytes: u64::from(streams.segments.free) * segment,
            debt_bytes: debt(&live, capacity, (self.segments_wanted() + 1).saturating_sub(self.segments_free())),
            file_bytes: streams.segments.file_bytes,
            hole_bytes: u64::from(streams.holes) * segment,
            segments_free: streams.segments.free,
            segments_pinned: streams.pinned,
            oldest_pin: streams.oldest_pin,
            ledger_bytes: self.streams.ledger_bytes(),
            user_bytes: totals.user_bytes,
            moved_bytes: totals.moved_bytes,
            user_bytes_ever: self.before.user_bytes + totals.user_bytes,
            moved_bytes_ever: self.before.moved_bytes + totals.moved_bytes,
            pad_bytes: streams.engines.iter().map(|engine| engine.pad_bytes).sum(),
            flushes: streams.flushes,
            large_files: self.larges.count(),
            large_bytes: self.larges.bytes(),
            cached_bytes: self.cache.held_bytes(),
            table_bytes: self.table.memory_bytes() as u64,
            graves: lock(&self.graves).len() as u64,
        }
    }
}

/// What is moved until `wanted` segments more are free, of which the full ones have so much that is live, in ascending order.
fn debt(live: &[u64], capacity: u64, wanted: u32) -> u64 {
    let mut moved = 0;
    for (nth, live) in live.iter().enumerate() {
        // What was moved so far fills segments as well.
        if nth as u64 >= u64::from(wanted) + u64::div_ceil(moved, capacity) {
            break;
        }
        moved += live;
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::debt;

    #[test]
    fn debt_is_what_is_moved_until_enough_is_free() {
        assert_eq!(debt(&[10, 20, 30], 100, 0), 0);
        assert_eq!(debt(&[0, 0, 30], 100, 2), 0);
        // One is gained by two: the second is filled by what was in both.
        assert_eq!(debt(&[10, 20, 30], 100, 1), 10 + 20);
        assert_eq!(debt(&[50, 50, 50, 50, 50], 100, 2), 4 * 50);
        // There is no more.
        assert_eq!(debt(&[90, 90], 100, 5), 180);
    }
}
