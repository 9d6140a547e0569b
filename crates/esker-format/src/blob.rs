//! Blobs: values too large for a segment, each in a file of its own, and the pointers to them in the log.
//!
//! Owns the names, the file header and the pointer. Refuses to read or write files.
//!
//! # Invariants
//!
//! - V1 (one name, one blob): an id is used once in the life of a log, because no two openings have the same epoch and no
//!   opening uses a number twice.
//! - V2 (pointer and file agree): a pointer says everything that the file's header says, so that a blob can be checked
//!   against the log.

use core::fmt;

use crate::error::StructureError;
use crate::identity::{ChecksumMismatch, Epoch, LogId};
use crate::layout::{BLOB_HEADER_BYTES, BLOB_POINTER_BYTES};
use crate::position::Lsn;
use crate::prefix;

const NAME_PREFIX: &str = "blob";

/// The identity of a blob in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId {
    /// No record that points at the blob lies below this LSN: the end of the log when the blob was begun.
    pub hint: Lsn,
    /// The opening that wrote the blob.
    pub epoch: Epoch,
    /// Which of that opening's blobs it is.
    pub n: u32,
}

impl BlobId {
    /// The name of the blob's file: `blob-`, then hint, epoch and number in 16, 8 and 8 lower-case hexadecimal digits.
    #[must_use]
    pub fn file_name(&self) -> String {
        self.to_string()
    }

    /// The blob whose file has this name, or `None` if it is no blob's name.
    #[must_use]
    pub fn from_file_name(name: &str) -> Option<Self> {
        let mut parts = name.split('-');
        if parts.next()? != NAME_PREFIX {
            return None;
        }
        let hint = parse_hex(parts.next()?, 16)?;
        let epoch = parse_hex(parts.next()?, 8)?;
        let n = parse_hex(parts.next()?, 8)?;
        if parts.next().is_some() {
            return None;
        }
        // Eight digits fit 32 bits.
        Some(Self { hint: Lsn::new(hint), epoch: Epoch::new(epoch as u32), n: n as u32 })
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAME_PREFIX}-{:016x}-{:08x}-{:08x}", self.hint.get(), self.epoch.get(), self.n)
    }
}

/// Exactly `digits` lower-case hexadecimal digits. Stricter than the standard library, so that a blob has one name only.
fn parse_hex(text: &str, digits: usize) -> Option<u64> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() == digits && text.bytes().all(is_digit) { u64::from_str_radix(text, 16).ok() } else { None }
}

/// The payload of a [`BlobPointer`](crate::MessageKind::BlobPointer) message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlobPointer {
    /// The blob.
    pub id: BlobId,
    /// The length of its payload in bytes.
    pub len: u64,
    /// The checksum of its payload, begun with the log's seed.
    pub payload_crc32: u32,
}

mod pointer {
    use crate::layout::{BLOB_POINTER, Field, field};

    pub(super) const HINT: Field = field(&BLOB_POINTER, "hint");
    pub(super) const EPOCH: Field = field(&BLOB_POINTER, "epoch");
    pub(super) const N: Field = field(&BLOB_POINTER, "n");
    pub(super) const LEN: Field = field(&BLOB_POINTER, "len");
    pub(super) const PAYLOAD_CRC32: Field = field(&BLOB_POINTER, "payload_crc32");
}

impl BlobPointer {
    /// The bytes of this pointer.
    #[must_use]
    pub fn encode(&self) -> [u8; BLOB_POINTER_BYTES] {
        let mut bytes = [0; BLOB_POINTER_BYTES];
        pointer::HINT.put(&mut bytes, self.id.hint.get().to_le_bytes());
        pointer::EPOCH.put(&mut bytes, self.id.epoch.get().to_le_bytes());
        pointer::N.put(&mut bytes, self.id.n.to_le_bytes());
        pointer::LEN.put(&mut bytes, self.len.to_le_bytes());
        pointer::PAYLOAD_CRC32.put(&mut bytes, self.payload_crc32.to_le_bytes());
        bytes
    }

    /// The pointer that is all of `payload`.
    ///
    /// # Errors
    ///
    /// If `payload` has another length than a pointer. The message's checksum has told already whether it is whole.
    pub fn decode(payload: &[u8]) -> Result<Self, StructureError> {
        let (have, need) = (payload.len(), BLOB_POINTER_BYTES);
        if have < need {
            return Err(StructureError::Cut { have, need });
        }
        if have > need {
            return Err(StructureError::Excess { have, need });
        }
        Ok(Self {
            id: BlobId {
                hint: Lsn::new(pointer::HINT.u64_of(payload)),
                epoch: Epoch::new(pointer::EPOCH.u32_of(payload)),
                n: pointer::N.u32_of(payload),
            },
            len: pointer::LEN.u64_of(payload),
            payload_crc32: pointer::PAYLOAD_CRC32.u32_of(payload),
        })
    }
}

/// What a blob's file begins with; the payload follows, to the end of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlobHeader {
    /// The log that the blob belongs to.
    pub log_id: LogId,
    /// The blob.
    pub id: BlobId,
    /// The length of the payload in bytes.
    pub len: u64,
    /// The checksum of the payload, begun with the log's seed.
    pub payload_crc32: u32,
}

mod header {
    use crate::layout::{BLOB_HEADER, Field, field};

    pub(super) const HEADER_BYTES: Field = field(&BLOB_HEADER, "header_bytes");
    pub(super) const HINT: Field = field(&BLOB_HEADER, "hint");
    pub(super) const LEN: Field = field(&BLOB_HEADER, "len");
    pub(super) const EPOCH: Field = field(&BLOB_HEADER, "epoch");
    pub(super) const N: Field = field(&BLOB_HEADER, "n");
    pub(super) const PAYLOAD_CRC32: Field = field(&BLOB_HEADER, "payload_crc32");
    pub(super) const ZERO: Field = field(&BLOB_HEADER, "zero");
}

impl BlobHeader {
    /// The first eight bytes of a blob's file.
    pub const MAGIC: [u8; 8] = *b"ESKERBLB";

    /// The bytes of this header.
    #[must_use]
    pub fn encode(&self) -> [u8; BLOB_HEADER_BYTES] {
        let mut bytes = [0; BLOB_HEADER_BYTES];
        header::HEADER_BYTES.put(&mut bytes, (BLOB_HEADER_BYTES as u16).to_le_bytes());
        header::HINT.put(&mut bytes, self.id.hint.get().to_le_bytes());
        header::LEN.put(&mut bytes, self.len.to_le_bytes());
        header::EPOCH.put(&mut bytes, self.id.epoch.get().to_le_bytes());
        header::N.put(&mut bytes, self.id.n.to_le_bytes());
        header::PAYLOAD_CRC32.put(&mut bytes, self.payload_crc32.to_le_bytes());
        prefix::seal(&mut bytes, Self::MAGIC, self.log_id);
        bytes
    }

    /// The header at the beginning of `bytes`. The payload is not looked at.
    ///
    /// # Errors
    ///
    /// If the bytes are too few, blank, damaged, of another version, or not what a writer of this version writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, StructureError> {
        let (bytes, log_id) = prefix::open::<BLOB_HEADER_BYTES>(bytes, Self::MAGIC)?;
        let header_bytes = header::HEADER_BYTES.u16_of(bytes);
        if usize::from(header_bytes) != BLOB_HEADER_BYTES {
            return Err(StructureError::HeaderBytes { found: header_bytes, need: BLOB_HEADER_BYTES });
        }
        prefix::check_zero(bytes, header::ZERO)?;
        Ok(Self {
            log_id,
            id: BlobId {
                hint: Lsn::new(header::HINT.u64_of(bytes)),
                epoch: Epoch::new(header::EPOCH.u32_of(bytes)),
                n: header::N.u32_of(bytes),
            },
            len: header::LEN.u64_of(bytes),
            payload_crc32: header::PAYLOAD_CRC32.u32_of(bytes),
        })
    }

    /// The pointer to this blob (V2).
    #[must_use]
    pub const fn pointer(&self) -> BlobPointer {
        BlobPointer { id: self.id, len: self.len, payload_crc32: self.payload_crc32 }
    }

    /// Checks the checksum of the payload, if it is at hand in one piece. [`ChecksumSeed::begin`](crate::ChecksumSeed::begin)
    /// is for one that is not.
    ///
    /// # Errors
    ///
    /// Both checksums, if they differ.
    pub fn verify_payload(&self, payload: &[u8]) -> Result<(), ChecksumMismatch> {
        let expected = self.payload_crc32;
        let found = self.log_id.checksum_seed().checksum(payload);
        if expected == found { Ok(()) } else { Err(ChecksumMismatch { expected, found }) }
    }
}
