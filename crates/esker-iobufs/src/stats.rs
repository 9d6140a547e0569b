//! Counters. Relaxed, because they order nothing; none is touched by an append that fits the open buffer.

use crate::{
    OpenReservation,
    sync::{CounterU64, Ordering},
};

/// What an engine has done since it was started. The counters are read one after the other, so that they may be a few
/// events apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Bytes handed to the storage, headers and padding included.
    pub bytes_written: u64,
    /// Bytes of padding among them.
    pub pad_bytes: u64,
    /// Writes handed to the storage: one for each sealed buffer, and one more whenever a buffer was written up to a
    /// reservation that stayed open.
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
    /// How many reservations are open now: being filled, held for long, or leaked.
    pub open_reservations: u32,
    /// The open reservation with the lowest LSN. Nothing at or beyond it becomes durable, and it is what appends wait for
    /// when all buffers are full.
    pub oldest_reservation: Option<OpenReservation>,
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
    /// The counters, without what is open.
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
            ..Stats::default()
        }
    }
}
