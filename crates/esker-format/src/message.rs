//! Messages: what a segment is filled with, back to back.
//!
//! Owns the 24-byte message header: sealing, decoding, verifying. Refuses to walk from one message to the next; that is
//! what [`Scanner`](crate::Scanner) is for.
//!
//! # Invariants
//!
//! - M1 (bound to the place): the checksum covers the message's LSN and, through its seed, the log's identity, so a message
//!   counts only where it was written.
//! - M2 (true marks): a mark says that everything below it was durable when the message was written, so it may be read
//!   as lower than it was given, but never as higher.

use core::fmt;

use thiserror::Error;

use crate::identity::{ChecksumMismatch, ChecksumSeed, Epoch};
use crate::layout::{self, Field, MESSAGE_HEADER_BYTES, PAYLOAD_BYTES_MAX, PAYLOAD_LEN_BITS};
use crate::position::Lsn;

const CRC32: Field = layout::field(&layout::MESSAGE_HEADER, "crc32");
const KIND_LEN: Field = layout::field(&layout::MESSAGE_HEADER, "kind_len");
const LSN: Field = layout::field(&layout::MESSAGE_HEADER, "lsn");
const UNSYNCED: Field = layout::field(&layout::MESSAGE_HEADER, "unsynced");
const EPOCH: Field = layout::field(&layout::MESSAGE_HEADER, "epoch");

/// The value of `unsynced` that says nothing about a mark.
const UNSYNCED_UNKNOWN: u32 = u32::MAX;

// The checksum covers everything behind itself.
const _: () = assert!(CRC32.offset == 0);

/// What a message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum MessageKind {
    /// A record; the payload is the record's value.
    Inline = 1,
    /// A record whose value lies in a file of its own; the payload is a [`BlobPointer`](crate::BlobPointer).
    BlobPointer = 2,
    /// A reservation that was given up; the payload means nothing.
    Aborted = 3,
    /// Fills a segment to its end; the payload is zero.
    Pad = 4,
    /// Written at a clean close for the sake of the mark that its header carries; no payload.
    Mark = 5,
    /// Stands where records were lost to damage that somebody decided to give up; the payload means nothing.
    Lost = 6,
}

impl MessageKind {
    /// All kinds, by their number.
    pub const ALL: [Self; 6] = [Self::Inline, Self::BlobPointer, Self::Aborted, Self::Pad, Self::Mark, Self::Lost];

    /// The kind with this number, or `None` if this version does not know one.
    #[must_use]
    #[inline]
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Inline),
            2 => Some(Self::BlobPointer),
            3 => Some(Self::Aborted),
            4 => Some(Self::Pad),
            5 => Some(Self::Mark),
            6 => Some(Self::Lost),
            _ => None,
        }
    }

    /// The number of the kind.
    #[must_use]
    #[inline]
    pub const fn to_u8(self) -> u8 {
        self as u8
    }

    /// Whether a message of this kind is a record that a user appended.
    #[must_use]
    #[inline]
    pub const fn is_record(self) -> bool {
        matches!(self, Self::Inline | Self::BlobPointer)
    }

    /// The name of the kind, as it is printed: one lower-case word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::BlobPointer => "blob",
            Self::Aborted => "aborted",
            Self::Pad => "pad",
            Self::Mark => "mark",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What the header of a message says, without its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageHeader {
    /// What the message holds.
    pub kind: MessageKind,
    /// The length of the payload in bytes, at most [`PAYLOAD_BYTES_MAX`].
    pub len: u32,
    /// Where the message begins.
    pub lsn: Lsn,
    /// Everything below was durable when the message was written. [`Lsn::ZERO`] says nothing.
    pub mark: Lsn,
    /// The opening that wrote the message.
    pub epoch: Epoch,
}

impl MessageHeader {
    /// Writes this header over the first [`MESSAGE_HEADER_BYTES`] of `message`, whose payload must be in place, and binds
    /// both with the checksum.
    ///
    /// The header stores how far the mark lies behind the LSN, in 32 bits. A mark that lies 2^32 - 1 bytes or more behind
    /// is stored as none, and a mark beyond the LSN as the LSN: less is said, nothing untrue (M2).
    ///
    /// Costs one pass over the message.
    ///
    /// # Panics
    ///
    /// If `message` is not exactly the header and `len` bytes, or `len` exceeds [`PAYLOAD_BYTES_MAX`].
    #[inline]
    pub fn seal(&self, message: &mut [u8], seed: ChecksumSeed) {
        assert!(
            message.len() == self.message_bytes() && self.len <= PAYLOAD_BYTES_MAX,
            "a message of {} bytes cannot be sealed with a payload of {}",
            message.len(),
            self.len
        );
        let unsynced = self.lsn.get().saturating_sub(self.mark.get()).min(u64::from(UNSYNCED_UNKNOWN)) as u32;
        let kind_len = self.len | (u32::from(self.kind.to_u8()) << PAYLOAD_LEN_BITS);
        KIND_LEN.put(message, kind_len.to_le_bytes());
        LSN.put(message, self.lsn.get().to_le_bytes());
        UNSYNCED.put(message, unsynced.to_le_bytes());
        EPOCH.put(message, self.epoch.get().to_le_bytes());
        let crc = seed.checksum(checksummed(message));
        CRC32.put(message, crc.to_le_bytes());
    }

    /// The header at the beginning of `bytes`, and the checksum it stores. What the checksum covers is not looked at.
    ///
    /// # Errors
    ///
    /// If the bytes are too few, blank, or not what a writer of this version writes.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<(Self, u32), MessageHeaderError> {
        let raw = RawMessageHeader::decode(bytes)
            .ok_or(MessageHeaderError::Cut { have: bytes.len(), need: MESSAGE_HEADER_BYTES })?;
        Ok((raw.interpret()?, raw.crc32))
    }

    /// Checks the checksum of `message`, whose header this is.
    ///
    /// Built with `--cfg esker_sabotage="checksum"`, every message passes. That switch is for tests only: with it, the
    /// crash tests must fail, which shows that they would notice.
    ///
    /// # Errors
    ///
    /// Both checksums, if they differ.
    ///
    /// # Panics
    ///
    /// If `message` is not exactly the header and `len` bytes.
    #[inline]
    pub fn verify(&self, message: &[u8], seed: ChecksumSeed) -> Result<(), ChecksumMismatch> {
        assert!(
            message.len() == self.message_bytes(),
            "a message of {} bytes cannot have a payload of {}",
            message.len(),
            self.len
        );
        verify(message, seed)
    }

    /// The length of the message in bytes: its header and its payload.
    #[must_use]
    #[inline]
    pub const fn message_bytes(&self) -> usize {
        MESSAGE_HEADER_BYTES + self.len as usize
    }

    /// Where the message ends and the next one begins.
    ///
    /// # Panics
    ///
    /// If that cannot be represented; never for a header that a [`Scanner`](crate::Scanner) returned.
    #[must_use]
    #[inline]
    pub fn end(&self) -> Lsn {
        self.lsn + self.message_bytes() as u64
    }
}

/// Checks the checksum of a whole message.
#[inline]
pub(crate) fn verify(message: &[u8], seed: ChecksumSeed) -> Result<(), ChecksumMismatch> {
    compare(message, seed.checksum(checksummed(message)))
}

/// The part of a whole message that its checksum covers.
#[inline]
pub(crate) fn checksummed(message: &[u8]) -> &[u8] {
    &message[CRC32.end()..]
}

/// Compares the checksum that a message stores with the one that its bytes were found to have.
#[inline]
pub(crate) fn compare(message: &[u8], found: u32) -> Result<(), ChecksumMismatch> {
    let expected = CRC32.u32_of(message);
    if expected == found || cfg!(esker_sabotage = "checksum") {
        Ok(())
    } else {
        Err(ChecksumMismatch { expected, found })
    }
}

/// The fields of a message header as they are stored, whatever they say.
///
/// For tools that show damaged messages; everybody else wants [`MessageHeader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RawMessageHeader {
    /// The stored checksum.
    pub crc32: u32,
    /// The number of the kind.
    pub kind: u8,
    /// The claimed length of the payload in bytes.
    pub len: u32,
    /// The LSN.
    pub lsn: Lsn,
    /// How far the mark lies behind the LSN; `u32::MAX` says nothing.
    pub unsynced: u32,
    /// The epoch.
    pub epoch: Epoch,
}

impl RawMessageHeader {
    /// The header at the beginning of `bytes`, or `None` if they are fewer than [`MESSAGE_HEADER_BYTES`].
    #[must_use]
    #[inline]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<MESSAGE_HEADER_BYTES>()?;
        let kind_len = KIND_LEN.u32_of(header);
        Some(Self {
            crc32: CRC32.u32_of(header),
            kind: (kind_len >> PAYLOAD_LEN_BITS) as u8,
            len: kind_len & PAYLOAD_BYTES_MAX,
            lsn: Lsn::new(LSN.u64_of(header)),
            unsynced: UNSYNCED.u32_of(header),
            epoch: Epoch::new(EPOCH.u32_of(header)),
        })
    }

    /// What the fields mean.
    ///
    /// # Errors
    ///
    /// If all are zero, or a writer of this version does not write such a header.
    #[inline]
    pub fn interpret(&self) -> Result<MessageHeader, MessageHeaderError> {
        let Some(kind) = MessageKind::from_u8(self.kind) else {
            return Err(if self.is_blank() {
                MessageHeaderError::Blank
            } else {
                MessageHeaderError::UnknownKind { found: self.kind }
            });
        };
        let mark = match self.unsynced {
            UNSYNCED_UNKNOWN => 0,
            unsynced => match self.lsn.get().checked_sub(u64::from(unsynced)) {
                Some(mark) => mark,
                None => return Err(MessageHeaderError::UnsyncedBeyondLsn { unsynced, lsn: self.lsn }),
            },
        };
        Ok(MessageHeader { kind, len: self.len, lsn: self.lsn, mark: Lsn::new(mark), epoch: self.epoch })
    }

    /// Whether all bytes of the header are zero: no message was ever written here.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        let Self { crc32, kind, len, lsn, unsynced, epoch } = *self;
        crc32 == 0 && kind == 0 && len == 0 && lsn == Lsn::ZERO && unsynced == 0 && epoch == Epoch::ZERO
    }
}

/// Why bytes are not the header of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MessageHeaderError {
    /// The bytes end inside the header.
    #[error("{have} bytes are too few for a message header of {need}")]
    Cut {
        /// How many there are.
        have: usize,
        /// How many a header has.
        need: usize,
    },
    /// All bytes are zero.
    #[error("the message header is blank")]
    Blank,
    /// This version knows no such kind.
    #[error("unknown message kind {found}")]
    UnknownKind {
        /// The number of the kind.
        found: u8,
    },
    /// The mark would lie before the beginning of the log.
    #[error("{unsynced} bytes unsynced before LSN {lsn} reach beyond the beginning of the log")]
    UnsyncedBeyondLsn {
        /// The claimed distance of the mark from the LSN.
        unsynced: u32,
        /// The LSN.
        lsn: Lsn,
    },
}
