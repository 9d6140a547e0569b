//! Counters. Relaxed, because they order nothing; none is touched by an append that fits the open buffer.

use crate::sync::{CounterU64, Ordering};

/// What an engine has done since it was started. The counters are read one after the other, so that they may be a few
/// events apart from each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Bytes handed to the storage, headers and padding included.
    pub bytes_written: u64,
    /// Bytes of padding among them.
    pub pad_bytes: u64,
    /// Writes handed to the storage: one for each sealed buffer.
    pub writes: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
    /// Segments taken from the source.
    pub segments: u64,
    /// How often a thread found all buffers full and waited.
    pub full_waits: u64,
    /// How often a thread waited for somebody else's sync.
    pub commit_waits: u64,
    /// Writes that found the storage full and were kept to be tried again.
    pub no_space_writes: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(CounterU64);

impl Counter {
    pub(crate) fn add(&self, amount: u64) {
        // ORDERING: Relaxed: a counter publishes nothing.
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        // ORDERING: Relaxed: a counter publishes nothing.
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) bytes_written: Counter,
    pub(crate) pad_bytes: Counter,
    pub(crate) writes: Counter,
    pub(crate) syncs: Counter,
    pub(crate) segments: Counter,
    pub(crate) full_waits: Counter,
    pub(crate) commit_waits: Counter,
    pub(crate) no_space_writes: Counter,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            bytes_written: self.bytes_written.get(),
            pad_bytes: self.pad_bytes.get(),
            writes: self.writes.get(),
            syncs: self.syncs.get(),
            segments: self.segments.get(),
            full_waits: self.full_waits.get(),
            commit_waits: self.commit_waits.get(),
            no_space_writes: self.no_space_writes.get(),
        }
    }
}
