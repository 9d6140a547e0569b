//! The on-disk format of an esker log: positions, messages, segment headers, the superblock, blobs, and their checksums.
//!
//! Owns every byte of the format, which FORMAT.md in this crate describes normatively. Refuses I/O, threads and policy: it
//! turns values into bytes and bytes into values or into a precise statement of what is wrong with them.
//!
//! # Should I be using this crate?
//!
//! To keep a log, use [`esker`](https://docs.rs/esker). This crate is for tools that read an esker log's bytes themselves:
//! to inspect, to salvage, to port.
//!
//! # What to start with
//!
//! - [`MessageHeader`]: sealing a message in place, decoding and verifying one.
//! - [`Scanner`]: the messages of a segment, one after the other, and what is wrong where there is none;
//!   [`Cursor`]: the same for bytes that come piece by piece.
//! - [`SegmentHeader`], [`Superblock`], [`BlobHeader`], [`BlobPointer`]: everything else that is stored.
//! - [`Lsn`], [`FileOffset`], [`SegmentId`], [`SegmentBytes`]: where it is; [`LogId`], [`Epoch`]: whose it is.
//! - [`layout`]: sizes, and offsets and widths of all fields.
//!
//! # Invariants
//!
//! - F1 (total decoding): no input makes a decoder panic or allocate in proportion to a length that the input claims.
//! - F2 (one writing): a segment header, superblock, blob header or blob pointer that decodes encodes to the same bytes again.

#![forbid(unsafe_code)]

mod blob;
mod error;
mod identity;
pub mod layout;
mod message;
mod position;
mod prefix;
mod scan;
mod segment;
mod superblock;

pub use crate::blob::{BlobHeader, BlobId, BlobPointer};
pub use crate::error::StructureError;
pub use crate::identity::{Checksum, ChecksumMismatch, ChecksumSeed, Epoch, LogId};
pub use crate::layout::{
    BLOB_HEADER_BYTES, BLOB_POINTER_BYTES, MESSAGE_HEADER_BYTES, PAYLOAD_BYTES_MAX, SEGMENT_HEADER_BYTES,
    SUPERBLOCK_BYTES, SUPERBLOCK_COPIES,
};
pub use crate::message::{MessageHeader, MessageHeaderError, MessageKind, RawMessageHeader};
pub use crate::position::{FileOffset, Lsn, SegmentBytes, SegmentBytesError, SegmentId};
pub use crate::prefix::FORMAT_VERSION;
pub use crate::scan::{Cursor, Damage, DamageKind, MarkAt, Message, ScanContext, Scanner, Survey};
pub use crate::segment::SegmentHeader;
pub use crate::superblock::{Superblock, SuperblockCopies, SuperblockError};

/// The README's example is run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
