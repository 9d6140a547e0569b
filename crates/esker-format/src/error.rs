//! Why bytes are not a segment header, a superblock or a blob.
//!
//! Owns [`StructureError`], which the three share. What is wrong with messages is told by
//! [`MessageHeaderError`](crate::MessageHeaderError) and [`Damage`](crate::Damage).

use thiserror::Error;

use crate::identity::ChecksumMismatch;
use crate::position::{Lsn, SegmentBytes, SegmentBytesError};

/// Why bytes are not the structure that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StructureError {
    /// The bytes end inside the structure.
    #[error("{have} bytes are too few, {need} are needed")]
    Cut {
        /// How many there are.
        have: usize,
        /// How many the structure has.
        need: usize,
    },
    /// All bytes are zero: it was never written.
    #[error("all bytes are zero")]
    Blank,
    /// It begins with other bytes than it should.
    #[error("the magic is {:?}, not {:?}", found.escape_ascii().to_string(), expected.escape_ascii().to_string())]
    Magic {
        /// The first eight bytes.
        found: [u8; 8],
        /// What they should be.
        expected: [u8; 8],
    },
    /// The bytes are not those that were written.
    #[error(transparent)]
    Checksum(#[from] ChecksumMismatch),
    /// It is whole, but of a version that this crate does not know.
    #[error("format version {found} is not supported, only {supported} is")]
    Version {
        /// Its version.
        found: u16,
        /// The version that this crate knows.
        supported: u16,
    },
    /// It says that it has another size than it has in this version.
    #[error("the header says that it has {found} bytes, not {need}")]
    HeaderBytes {
        /// What it says.
        found: u16,
        /// Its size in this version.
        need: usize,
    },
    /// A byte that has no meaning is not zero.
    #[error("byte {offset} is not zero")]
    NotZero {
        /// Where the byte lies in the structure.
        offset: usize,
    },
    /// It names an impossible segment size.
    #[error(transparent)]
    SegmentBytes(#[from] SegmentBytesError),
    /// A segment cannot begin at such an LSN.
    #[error("base {base} is not a multiple of the segment size {segment_bytes}")]
    BaseUnaligned {
        /// The LSN.
        base: Lsn,
        /// The segment size that goes with it.
        segment_bytes: SegmentBytes,
    },
    /// A fact from before the segment was begun lies beyond its base.
    #[error("{name} {lsn} lies beyond the base {base}")]
    BeyondBase {
        /// The name of the field.
        name: &'static str,
        /// Its value.
        lsn: Lsn,
        /// The base of the segment.
        base: Lsn,
    },
    /// A log never comes to such an LSN.
    #[error("{name} {lsn} is not below {}", Lsn::LIMIT)]
    BeyondLimit {
        /// The name of the field.
        name: &'static str,
        /// Its value.
        lsn: Lsn,
    },
    /// A superblock is never updated so often.
    #[error("generation {found} is not below {limit}")]
    Generation {
        /// What it says.
        found: u64,
        /// What no generation reaches.
        limit: u64,
    },
    /// A flag is neither 0 nor 1.
    #[error("{name} is {found}, neither 0 nor 1")]
    Flag {
        /// The name of the field.
        name: &'static str,
        /// Its value.
        found: u8,
    },
    /// The structure is followed by bytes that do not belong to it.
    #[error("{have} bytes are too many, {need} are needed")]
    Excess {
        /// How many there are.
        have: usize,
        /// How many the structure has.
        need: usize,
    },
}
