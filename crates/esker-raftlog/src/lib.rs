//! The logs of many Raft groups in one esker log.
//!
//! Owns the records, the index that finds entries by group and number, and what segments are needed for. Refuses to know what
//! entries hold, and any consensus library.
//!
//! # Invariants
//!
//! - **R1 (one order):** what is done to a group is in the log in the order in which it was done, and recovery does it again.
//! - **R2 (no gaps):** the entries of a group are numbered without gaps, whatever crashed.
//! - **R3 (floors come last):** nothing is given up before whatever makes it needless is durable.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use esker_raftlog::{Error, RaftLog, log::{Options, storage::MemStorage}};
//!
//! let logs = RaftLog::open(Arc::new(MemStorage::default()), Options::new())?;
//! let group = logs.group(7);
//! group.put(0, b"my vote")?.wait()?;
//! let ticket = group.append(1, &[b"first", b"second"])?;
//! ticket.wait()?;
//! assert_eq!(group.entries(1..3)?, [(1, b"first".to_vec()), (2, b"second".to_vec())]);
//! group.truncate(2)?;
//! assert_eq!(group.state().last, Some(1));
//! # Ok::<(), Error>(())
//! ```

#![forbid(unsafe_code)]

#[cfg(any(feature = "json", feature = "postcard"))]
mod codec;
mod error;
mod group;
mod record;
mod store;

#[cfg(feature = "json")]
pub use codec::Json;
#[cfg(feature = "postcard")]
pub use codec::Postcard;
#[cfg(any(feature = "json", feature = "postcard"))]
pub use codec::{Codec, CodecError};
pub use error::Error;
pub use esker_log as log;
pub use group::{Group, GroupState, Purged};
pub use store::{Pin, RaftLog};

#[cfg(test)]
mod tests;
