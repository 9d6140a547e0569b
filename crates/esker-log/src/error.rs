//! What can go wrong, and where.

use std::{fmt, io, sync::Arc};

use esker_format::{DamageKind, FileOffset, Lsn};
use esker_iobufs::{EngineError, OpenReservation, Poison};
use thiserror::Error;

/// Why a log did not do what it was asked to. Every error says where it happened, in terms of the log (LSN) or of a file.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation on a file failed.
    #[error("could not {action} {file}{}: {source}", at(*offset))]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file, by its name in the directory, or the directory itself.
        file: String,
        /// Where in the file, if it matters.
        offset: Option<u64>,
        /// What the storage said.
        source: Arc<io::Error>,
    },
    /// Somebody else has the log open for writing.
    #[error("locked by another process")]
    Locked,
    /// The directory holds something, but no log.
    #[error("not an esker directory: {reason}")]
    NotEsker {
        /// What tells.
        reason: String,
    },
    /// There is no log, and none was to be created.
    #[error("no esker log here")]
    NotFound,
    /// The log was written by a later version of the format.
    #[error("the log has format version {found}; this program reads up to version {supported}")]
    NewerFormat {
        /// The log's version.
        found: u16,
        /// The newest version this program reads.
        supported: u16,
    },
    /// The options contradict each other or the limits.
    #[error("invalid options: {}", faults.join("; "))]
    InvalidOptions {
        /// One clause for each fault.
        faults: Vec<String>,
    },
    /// Something that was promised to be there is damaged or missing. Nothing was changed.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// The payload is larger than what was asked for can hold.
    #[error("a payload of {len} bytes is over the limit of {max} bytes")]
    TooLarge {
        /// The payload's length in bytes.
        len: u64,
        /// The longest payload in bytes.
        max: u64,
    },
    /// The storage, or the share of it that the log may use, is full. Nothing was lost, and calls succeed again when
    /// there is room.
    #[error("no space left to go on at lsn {at}: {source}")]
    NoSpace {
        /// Where the log could not go on.
        at: Lsn,
        /// What the storage said.
        source: Arc<io::Error>,
    },
    /// No record of this LSN was ever appended.
    #[error("lsn {lsn} was never reserved: the log ends at {end}")]
    NeverReserved {
        /// What was asked for.
        lsn: Lsn,
        /// The end of the log.
        end: Lsn,
    },
    /// No record begins at this LSN: it lies within one, or its message was aborted.
    #[error("no record begins at lsn {lsn}")]
    NotARecord {
        /// What was asked for.
        lsn: Lsn,
    },
    /// What stood here was damaged, and was given up when the log was [salvaged](crate::LogReader::salvage).
    #[error("what was at lsn {lsn} is lost: it was damaged when the log was salvaged")]
    Lost {
        /// What was asked for.
        lsn: Lsn,
    },
    /// The record was truncated away.
    #[error("lsn {lsn} was truncated: the log begins at {floor}")]
    Truncated {
        /// What was asked for.
        lsn: Lsn,
        /// Where the log begins.
        floor: Lsn,
    },
    /// An earlier write or sync failed: the log acknowledges nothing any more until it is opened again. Reading still
    /// works.
    #[error(transparent)]
    Poisoned(#[from] Poison),
    /// Reservations were never completed, aborted or dropped, but leaked (`mem::forget`). Closing the log aborted them;
    /// everything else in it is durable.
    #[error("leaked, and aborted when the log was closed: {first}{}", more(*count))]
    ReservationLeaked {
        /// The one with the lowest LSN.
        first: Box<OpenReservation>,
        /// How many there were.
        count: u32,
    },
}

/// The kinds of [`Error`](enum@Error), for matching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// [`Error::Io`]
    Io,
    /// [`Error::Locked`]
    Locked,
    /// [`Error::NotEsker`]
    NotEsker,
    /// [`Error::NotFound`]
    NotFound,
    /// [`Error::NewerFormat`]
    NewerFormat,
    /// [`Error::InvalidOptions`]
    InvalidOptions,
    /// [`Error::Corrupt`]
    Corrupt,
    /// [`Error::TooLarge`]
    TooLarge,
    /// [`Error::NoSpace`]
    NoSpace,
    /// [`Error::NeverReserved`]
    NeverReserved,
    /// [`Error::NotARecord`]
    NotARecord,
    /// [`Error::Lost`]
    Lost,
    /// [`Error::Truncated`]
    Truncated,
    /// [`Error::Poisoned`]
    Poisoned,
    /// [`Error::ReservationLeaked`]
    ReservationLeaked,
}

impl Error {
    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } => ErrorKind::Io,
            Self::Locked => ErrorKind::Locked,
            Self::NotEsker { .. } => ErrorKind::NotEsker,
            Self::NotFound => ErrorKind::NotFound,
            Self::NewerFormat { .. } => ErrorKind::NewerFormat,
            Self::InvalidOptions { .. } => ErrorKind::InvalidOptions,
            Self::Corrupt(_) => ErrorKind::Corrupt,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::NoSpace { .. } => ErrorKind::NoSpace,
            Self::NeverReserved { .. } => ErrorKind::NeverReserved,
            Self::NotARecord { .. } => ErrorKind::NotARecord,
            Self::Lost { .. } => ErrorKind::Lost,
            Self::Truncated { .. } => ErrorKind::Truncated,
            Self::Poisoned(_) => ErrorKind::Poisoned,
            Self::ReservationLeaked { .. } => ErrorKind::ReservationLeaked,
        }
    }

    pub(crate) fn io(action: &'static str, file: &str, source: io::Error) -> Self {
        Self::Io { action, file: file.to_owned(), offset: None, source: Arc::new(source) }
    }

    pub(crate) fn io_at(action: &'static str, file: &str, offset: u64, source: io::Error) -> Self {
        Self::Io { action, file: file.to_owned(), offset: Some(offset), source: Arc::new(source) }
    }
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::TooLarge { len, max } => Self::TooLarge { len, max: u64::from(max) },
            EngineError::NoSpace { at, source } => Self::NoSpace { at, source },
            EngineError::Segment { base: _, source } => {
                Self::Io { action: "extend", file: crate::names::LOG.to_owned(), offset: None, source }
            }
            EngineError::NeverReserved { lsn, end } => Self::NeverReserved { lsn, end },
            EngineError::Poisoned(poison) => Self::Poisoned(poison),
            other => unreachable!("an engine error of a later version: {other}"),
        }
    }
}

/// How many there are besides the first.
fn more(count: u32) -> String {
    if count > 1 { format!(", and {} more", count - 1) } else { String::new() }
}

fn at(offset: Option<u64>) -> String {
    offset.map(|offset| format!(" at offset {offset}")).unwrap_or_default()
}

/// Something that is damaged or missing although it had been promised to be there.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file} is damaged at offset {offset}{}: {kind}", lsn.map(|lsn| format!(" (lsn {lsn})")).unwrap_or_default())]
#[non_exhaustive]
pub struct Corruption {
    /// The file, by its name in the directory.
    pub file: String,
    /// The LSN of what is damaged, if it has one.
    pub lsn: Option<Lsn>,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub kind: CorruptionKind,
}

impl Corruption {
    /// Damage in a file of a store that keeps more than a log.
    #[must_use]
    pub fn new(file: &str, lsn: Option<Lsn>, offset: u64, kind: CorruptionKind) -> Self {
        Self { file: file.to_owned(), lsn, offset, kind }
    }

    pub(crate) fn in_log(lsn: Lsn, offset: FileOffset, kind: CorruptionKind) -> Self {
        Self { file: crate::names::LOG.to_owned(), lsn: Some(lsn), offset: offset.get(), kind }
    }
}

/// What is wrong with something that is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CorruptionKind {
    /// A message that had been durable cannot be read.
    Message {
        /// What stands there.
        damage: DamageKind,
        /// Everything below this LSN had been durable.
        durable_to: Lsn,
    },
    /// A segment that had been durable is nowhere in the file.
    MissingSegment {
        /// Everything below this LSN had been durable.
        durable_to: Lsn,
    },
    /// The file ends here.
    FileCut {
        /// Everything below this LSN had been durable.
        durable_to: Lsn,
    },
    /// The file is longer than any log.
    TooLong {
        /// Its length in bytes.
        file_bytes: u64,
    },
    /// A segment header cannot be read.
    SegmentHeader {
        /// What is wrong with it.
        reason: String,
    },
    /// A copy of the superblock cannot be read.
    Superblock {
        /// Which copy.
        copy: u8,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of the log is gone.
    MissingFile,
    /// A blob file cannot be read as what its pointer says.
    Blob {
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Display for CorruptionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message { damage, durable_to } => {
                write!(f, "{damage}, although everything below lsn {durable_to} had been durable")
            }
            Self::MissingSegment { durable_to } => {
                write!(f, "the segment is missing, although everything below lsn {durable_to} had been durable")
            }
            Self::FileCut { durable_to } => {
                write!(f, "the file ends here, although everything below lsn {durable_to} had been durable")
            }
            Self::TooLong { file_bytes } => {
                write!(f, "the file has {file_bytes} bytes, which are more segments than a log can have")
            }
            Self::SegmentHeader { reason } => write!(f, "segment header: {reason}"),
            Self::Superblock { copy, reason } => write!(f, "copy {copy} of the superblock: {reason}"),
            Self::MissingFile => f.write_str("the file is missing"),
            Self::Blob { reason } => write!(f, "blob: {reason}"),
        }
    }
}
