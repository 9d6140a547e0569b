//! Several write streams over one file of segments that are freed in any order, with one commit for all.
//!
//! A log writes one stream, and frees its segments from the front. A store that moves what is live out of nearly dead
//! segments wants more: hot and cold records in different segments, and any segment freed as soon as nothing in it is live.
//! This crate gives it that, with the same engine, format and guarantees as a log: records are checksummed and bound to
//! their place, a [flush](Streams::flush) makes everything durable that was appended before with a single sync, and after a
//! crash each stream is there up to where it was durable, and at most a little further.
//!
//! Owns the table of segments, which it keeps in a *ledger*, an ordinary esker log in the same directory; group commit over
//! all streams; and recovery of each. Refuses to say which record is live, what belongs to what, and when to clean: its
//! owner does.
//!
//! # Should I use this crate?
//!
//! If you write a store of your own with several logs that share a disk's space. For one log, take
//! [`esker-log`](https://docs.rs/esker-log).
//!
//! # What holds after a crash
//!
//! - Whatever was appended before a flush that returned `Ok` began, is there, unless its segment was
//!   [retired](Streams::retire).
//! - Of each stream there is a prefix. Streams are cut independently of each other: whoever wants one order over all of
//!   them numbers its records and ends at the first number that is missing.
//! - Something damaged that had been durable is an error that says where it is. As the ledger knows every segment before
//!   anything in it is acknowledged, a segment that is lost as a whole is missed, too.
//!
//! # Invariants
//!
//! - **T1 (one space):** all streams share one space of LSNs. A segment gets the next stretch of it, whichever stream asks,
//!   and no LSN is ever used twice: so an LSN names a record for good, and nothing left over in a slot is taken for another.
//! - **T2 (known first):** a flush ends only after the ledger durably knows each segment that it covers.
//! - **T3 (freed last):** a slot is written again only after (A) a flush has ended that began when its segment was retired,
//!   and the ledger durably says that nobody needs it, and (B) no reader is left that could have looked it up.
//! - **T4 (nothing in place):** an opening goes on in new segments. What an earlier one left is only read.

#![forbid(unsafe_code)]

mod commit;
mod error;
mod ledger;
mod names;
mod open;
mod options;
mod replay;
mod source;
mod stats;
mod stream;
mod streams;
mod sync;

pub use error::{Corruption, CorruptionKind, Error, ErrorKind};
pub use esker_format as format;
pub use esker_iobufs::{Reservation, ReservedRun};
pub use esker_storage as storage;
pub use open::Opening;
pub use options::{BUFFER_BYTES_DEFAULT, BUFFERS_DEFAULT, Options, SEGMENT_BYTES_DEFAULT, STREAMS_MAX};
pub use replay::Found;
pub use stats::Stats;
pub use stream::StreamId;
pub use streams::{SegmentInfo, Streams};

/// The name of the file that holds the segments of all streams.
pub const DATA_FILE: &str = names::DATA;

#[cfg(test)]
mod tests;
