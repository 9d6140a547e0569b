//! Many writers fill shared buffers at once; sealed buffers are written as a whole; one sync makes everything stable that
//! was written before it.
//!
//! Owns the buffers, reservations, sealing, writing out, group commit, and the watermarks *reserved*, *written* and
//! *stable*. All atomics and all `unsafe` of esker's log are here. Refuses to open files, to choose segments (a
//! [`SegmentSource`] does) and to interpret payloads.
//!
//! # Should I use this crate?
//!
//! Use [`esker`](https://docs.rs/esker) for a log with recovery and reading. This crate is for those who build another
//! log on the same engine: it writes a valid stream of segments and messages into one file, and nothing reads it back.
//!
//! # Invariants
//!
//! - **I1 (seal is final):** a sealed buffer admits no claim until its next life.
//! - **I2 (exclusive ranges):** the claims of one life never overlap.
//! - **I3 (writers first):** a buffer is written only when it is sealed and has no writers, by exactly one thread; what lies
//!   before every reservation that is open in it may be written earlier (I9).
//! - **I4 (stable is a prefix):** `stable` never passes a byte that was not written before a sync began that succeeded;
//!   `written` never passes a byte that is not written. Neither moves backwards.
//! - **I5 (one life at a time):** a buffer's next life begins only after its content was written and while nobody reads
//!   it.
//! - **I6 (pinned life):** while a reader has pinned a buffer, its life does not end.
//! - **I7 (stopped for good):** after a failed write or sync nothing is acknowledged any more, and nobody waits.
//! - **I8 (claims do not fail):** everything that can fail (a segment, a free buffer) comes before the seal; after a claim
//!   only memory is touched until the message is finished.
//! - **I9 (listed are counted):** whoever is listed with a reservation of a buffer is counted among its writers. So if they are
//!   as many, everything below the first of them is final.
//!
//! # Ordering pairs
//!
//! | pair | releasing site | acquiring site | what becomes visible | model |
//! |---|---|---|---|---|
//! | P1 | `Slot::open`, store of the word | `Slot::claim`, swap | where the buffer belongs; its memory, handed over from the last life | `loom_a_buffer_is_handed_over_to_its_next_life` |
//! | P2 | `Slot::leave`, subtraction; `Slot::seal`, swap | `Slot::leave`, `Slot::seal`, `Slot::settled`, `Slot::held_at` | the bytes of all writers; whether to pad | `loom_the_last_writer_out_writes_every_byte`, `loom_the_last_writer_out_knows_whether_to_pad`, `loom_a_reader_sees_only_whole_messages`, `loom_the_last_to_leave_but_those_who_hold_wakes_whoever_waits` |
//! | P3 | `Engine::sync_to`, store of `stable` | `Engine::stable` | what the sync did | `loom_stable_is_seen_only_after_the_sync` |
//! | P4 | `Readers::open`, store of the life | `Readers::life`, load of the life, and `Readers::pin`, fence | where the life's bytes belong | `loom_a_reader_of_a_new_life_sees_where_it_belongs` |
//! | P5 | `Readers::close`, fence | `Readers::pin` and `Pin::release`, fences | the end of the life, or the pin; that it is awaited, or that it is gone | `loom_a_reader_sees_only_whole_messages` |
//! | P6 | `Pin::release`, subtraction | `Readers::close`, loads of the pins | that reading is over | `loom_a_reader_sees_only_whole_messages` |
//!
//! `cargo xtask loom --mutate` weakens every ordering of these pairs, one at a time and each way it can be, and runs all models:
//! with each of the 15 weaker orderings one of them fails, and with none of them weakened all hold.
//!
//! Everything else is guarded by locks, taken in the order *queue* (of those who need room), *roll*, *progress*, a buffer's
//! list of reservations; every condition that a thread sleeps for is checked under the lock that its notifier takes.
//!
//! # Why no wait spins
//!
//! A claim that does not fit takes the roll lock; a full ring, an unwritten prefix and a running sync are waited for
//! asleep. A claim's compare-and-swap is repeated only when another thread's claim succeeded. The exceptions give
//! their core away, again and again but for no longer than half of what a sync takes: before a sync, the leader of a commit
//! round may let those come whom the sync is to serve; and whoever finds that only reservations keep a buffer from being
//! written lets their holders finish.

mod batch;
mod commit;
mod engine;
mod error;
mod held;
mod iobufs;
mod memory;
mod options;
mod progress;
mod read;
mod readers;
mod reserve;
mod rounds;
mod run;
mod slot;
mod source;
mod stats;
mod sync;
mod write;

pub use engine::Engine;
pub use error::{EngineError, IoAction, OptionsError, Poison, SourceError};
pub use held::OpenReservation;
pub use iobufs::IoBufs;
pub use options::{BUFFER_BYTES_MAX, BUFFER_BYTES_MIN, BUFFERS_MAX, BUFFERS_MIN, Options};
pub use read::Found;
pub use reserve::Reservation;
pub use run::ReservedRun;
pub use source::{ActiveSegment, SegmentSource};
pub use stats::Stats;

#[cfg(test)]
mod tests;
