//! Who wrote a piece of a log, and when: the log's identity, the epoch, and the checksums they are bound into.
//!
//! Owns [`LogId`], [`Epoch`], [`ChecksumSeed`] and [`Checksum`]. Refuses to draw identities: whoever creates a log brings
//! 16 random bytes.
//!
//! # Invariants
//!
//! - C1 (bound to the log): every checksum is the CRC-32 of the log's 16 identity bytes followed by what is covered, so
//!   bytes of another log do not pass, except by the chance of 1 in 2^32 that any CRC-32 leaves.

use core::fmt;

use crc32fast::Hasher;
use thiserror::Error;

/// The identity of a log: 16 bytes drawn at random when it is created.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId([u8; 16]);

impl LogId {
    /// The identity with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the identity.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// What every checksum of this log begins with: the CRC-32 of the identity.
    #[must_use]
    pub fn checksum_seed(self) -> ChecksumSeed {
        ChecksumSeed(crc32fast::hash(&self.0))
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogId({self})")
    }
}

/// The CRC-32 of a log's identity, from which the checksums of its pieces go on. See [`LogId::checksum_seed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChecksumSeed(u32);

impl ChecksumSeed {
    /// The seed as an integer.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The checksum of `bytes` in this log: the CRC-32 of the identity followed by `bytes`.
    #[must_use]
    #[inline]
    pub fn checksum(self, bytes: &[u8]) -> u32 {
        let mut hasher = Hasher::new_with_initial(self.0);
        hasher.update(bytes);
        hasher.finalize()
    }

    /// A checksum of bytes that come in pieces.
    #[must_use]
    pub fn begin(self) -> Checksum {
        Checksum(Hasher::new_with_initial(self.0))
    }
}

/// A checksum in the making. See [`ChecksumSeed::begin`].
#[derive(Clone, Debug)]
pub struct Checksum(Hasher);

impl Checksum {
    /// Goes on with `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all bytes so far.
    #[must_use]
    pub fn finish(self) -> u32 {
        self.0.finalize()
    }
}

/// A stored checksum does not agree with the bytes it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("checksum mismatch: {expected:08x} is stored, but the bytes give {found:08x}")]
pub struct ChecksumMismatch {
    /// The checksum that is stored.
    pub expected: u32,
    /// The checksum of the bytes as they are.
    pub found: u32,
}

/// Which opening of the log wrote a piece of it. Raised durably at each opening for writing, before the first append.
///
/// Along the log epochs never decrease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u32);

impl Epoch {
    /// The epoch of a log that was created and never opened for writing.
    pub const ZERO: Self = Self(0);

    /// The epoch with this number.
    #[must_use]
    #[inline]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number of the epoch.
    #[must_use]
    #[inline]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The epoch after this one, or `None` when 2^32 - 1 openings have used them up.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
