//! What can go wrong in the engine. Every error says where.

use std::{fmt, io, sync::Arc};

use esker_format::{FileOffset, Lsn};
use thiserror::Error;

/// Which I/O failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IoAction {
    /// Writing a buffer to its place in the file.
    Write,
    /// Making written bytes stable.
    Sync,
}

impl fmt::Display for IoAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Write => "write",
            Self::Sync => "sync",
        })
    }
}

/// The I/O error that stopped an engine for good. Cheap to clone: everybody who asks gets the same one.
#[derive(Clone, Debug, Error)]
#[error("the log stopped for good when a {action} at file offset {offset} failed: {source}", offset = offset.get())]
#[non_exhaustive]
pub struct Poison {
    /// What failed.
    pub action: IoAction,
    /// Where it failed: the beginning of the bytes that were being written, or the end of what was being synced.
    pub offset: FileOffset,
    /// The error of the storage.
    pub source: Arc<io::Error>,
}

/// Why a segment source gave no segment.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// There is no room for another segment now; asking again later may succeed.
    #[error("no space for another segment: {source}")]
    NoSpace {
        /// What the storage said.
        source: Arc<io::Error>,
    },
    /// The storage failed; nothing was changed, and asking again later may succeed.
    #[error("another segment could not be prepared: {source}")]
    Io {
        /// What the storage said.
        source: Arc<io::Error>,
    },
}

/// Why the engine did not do what it was asked to.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The payload is larger than a buffer or a segment can hold. Nothing was claimed.
    #[error("a payload of {len} bytes is over the limit of {max} bytes")]
    TooLarge {
        /// The payload's length in bytes.
        len: u64,
        /// The longest payload in bytes.
        max: u32,
    },
    /// The storage is full. Nothing was lost: what was claimed before stays in memory or in the file, and calls succeed
    /// again when there is room.
    #[error("no space left to go on at lsn {at}: {source}")]
    NoSpace {
        /// Where the log could not go on.
        at: Lsn,
        /// What the storage said.
        source: Arc<io::Error>,
    },
    /// The next segment could not be prepared. Nothing was claimed, and trying again may succeed.
    #[error("the segment at lsn {base} could not be prepared: {source}")]
    Segment {
        /// The base LSN of the segment that was wanted.
        base: Lsn,
        /// What the storage said.
        source: Arc<io::Error>,
    },
    /// No message of this LSN was ever reserved, so that waiting for it would never end.
    #[error("lsn {lsn} was never reserved: the log ends at {end}")]
    NeverReserved {
        /// What was asked for.
        lsn: Lsn,
        /// The end of everything that was reserved.
        end: Lsn,
    },
    /// An earlier write or sync failed. The engine acknowledges nothing any more.
    #[error(transparent)]
    Poisoned(#[from] Poison),
}

/// The options contradict each other or the limits. Lists every fault.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("invalid engine options: {}", faults.join("; "))]
#[non_exhaustive]
pub struct OptionsError {
    /// One clause for each fault.
    pub faults: Vec<String>,
}
