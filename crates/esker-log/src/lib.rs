//! A crash-safe log: appending from many threads, group commit, recovery, random reads, iteration, blobs and truncation.
//!
//! Owns the wiring of the layers below (format, storage, segments, I/O buffers), recovery, and reading. Refuses atomics
//! and `unsafe`, which are the engine's, and any meaning of payloads.
//!
//! # Should I use this crate?
//!
//! Use [`esker`](https://docs.rs/esker), which is this crate with files opened for you. Use this one to bring your own
//! [`Storage`](esker_storage::Storage).
//!
//! # Invariants
//!
//! - **L1 (promised is there):** what `make_stable` has acknowledged is read back after any crash, or opening says where
//!   and why not.
//! - **L2 (no resurrection):** what recovery has cut off, or truncation has given up, is never returned again.
//! - **L3 (opening destroys nothing):** until the first append nothing in the log's file changes; a log that is refused is
//!   left as it was.
//! - **L4 (reuse last):** a segment is written again only after the floor above it is durable and every reader that could
//!   hold a place in it is gone.
//! - **L5 (blob first):** a blob is durable, and in its directory, before its record is reserved.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use esker_log::{Log, Options};
//! use esker_storage::MemStorage;
//!
//! let storage = Arc::new(MemStorage::default());
//! let log = Log::open(storage.clone(), Options::new())?;
//! let lsn = log.append_durable(b"first")?;
//! log.close()?;
//!
//! let log = Log::open(storage, Options::new())?;
//! assert_eq!(log.read(lsn)?.payload(), b"first");
//! # Ok::<(), esker_log::Error>(())
//! ```
#![forbid(unsafe_code)]

mod adopt;
mod ahead;
mod blob;
mod control;
mod error;
mod iter;
mod log;
mod messages;
mod names;
mod options;
mod origin;
mod read;
mod reader;
mod record;
mod recovery;
mod repair;
mod report;
mod retention;
mod salvage;
mod scrub;
mod segments;
mod stats;
mod sync;
mod ticket;
mod upkeep;
mod verify;
mod walk;

pub use error::{Corruption, CorruptionKind, Error, ErrorKind};
pub use esker_format as format;
pub use esker_format::{DamageKind, Epoch, FileOffset, LogId, Lsn, MessageKind, SegmentBytes, SegmentId};
pub use esker_iobufs::{OpenReservation, Poison, Reservation};
pub use esker_storage as storage;
pub use iter::Iter;
pub use log::{Log, Ticket, Truncation};
pub use messages::{MessageInfo, Messages};
pub use options::{
    BUFFER_BYTES_DEFAULT, BUFFERS_DEFAULT, OnDamage, Options, SEGMENT_BYTES_DEFAULT, UNSYNCED_BYTES_MAX_DEFAULT,
    YIELD_MAX_DEFAULT,
};
pub use reader::{LogReader, LogStat};
pub use record::{Record, RecordRef};
pub use repair::{Repair, RepairStep};
pub use report::{LostRange, RecoveryNote, RecoveryReport, TornTail};
pub use salvage::SalvageReport;
pub use scrub::ScrubStats;
pub use stats::Stats;
pub use ticket::Durable;
pub use verify::VerifyReport;

/// What the directory is called in errors.
const DIRECTORY: &str = "the directory";

/// Makes the directory's entries durable.
fn sync_dir(storage: &dyn esker_storage::Storage) -> Result<(), Error> {
    if cfg!(esker_sabotage = "dir_sync") {
        return Ok(());
    }
    storage.sync_dir().map_err(|error| Error::io("sync", DIRECTORY, error))
}
