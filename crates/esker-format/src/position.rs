//! Positions: in the logical log, in the log's file, and the slots that segments lie in.
//!
//! Owns [`Lsn`], [`FileOffset`], [`SegmentId`] and [`SegmentBytes`] and the arithmetic between them. Refuses to know which
//! segment lies in which slot.
//!
//! # Invariants
//!
//! - P1 (congruence): the LSN and the file offset of a byte are equal modulo the segment size.
//! - P2 (no wrap): no operation wraps around; one that cannot be represented panics or returns `None`, as documented.

use core::fmt;
use core::ops::{Add, Sub};

use thiserror::Error;

use crate::SEGMENT_HEADER_BYTES;

/// A position in the logical log, in bytes. Dense: the segment with base LSN `b` occupies `b..b + segment_bytes`.
///
/// Ends and watermarks are exclusive: everything below them is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(u64);

impl Lsn {
    /// The beginning of the log: the first byte of the header of its first segment.
    pub const ZERO: Self = Self(0);
    /// The first message of a log.
    pub const FIRST: Self = Self(SEGMENT_HEADER_BYTES as u64);
    /// The largest value, and more than any LSN of a log.
    pub const MAX: Self = Self(u64::MAX);
    /// No byte of a log has this LSN or a higher one: 2^63. Headers that say otherwise are refused, so that whoever goes on
    /// from what they say to the end of a segment never overflows.
    pub const LIMIT: Self = Self(1 << 63);

    /// The position `bytes` from the beginning of the log.
    #[must_use]
    #[inline]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The position in bytes from the beginning of the log.
    #[must_use]
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position `bytes` further, or `None` if there is none.
    #[must_use]
    #[inline]
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The base of the segment that this position lies in.
    #[must_use]
    #[inline]
    pub const fn segment_base(self, segment_bytes: SegmentBytes) -> Self {
        Self(self.0 & !(segment_bytes.mask() as u64))
    }

    /// How far into its segment this position lies, in bytes.
    #[must_use]
    #[inline]
    pub const fn offset_in_segment(self, segment_bytes: SegmentBytes) -> u32 {
        // The mask has fewer than 32 bits, so nothing is lost.
        self.0 as u32 & segment_bytes.mask()
    }

    /// The base of the segment after the one that this position lies in.
    ///
    /// # Panics
    ///
    /// If this is the last segment that can be addressed.
    #[must_use]
    #[inline]
    pub fn next_segment(self, segment_bytes: SegmentBytes) -> Self {
        self.segment_base(segment_bytes) + u64::from(segment_bytes.get())
    }
}

/// # Panics
///
/// If the sum cannot be represented. [`Lsn::checked_add`] tells instead.
impl Add<u64> for Lsn {
    type Output = Self;

    #[inline]
    fn add(self, bytes: u64) -> Self {
        match self.checked_add(bytes) {
            Some(sum) => sum,
            None => panic!("LSN {self} + {bytes} overflows"),
        }
    }
}

/// The distance in bytes.
///
/// # Panics
///
/// If the right side lies beyond the left.
impl Sub for Lsn {
    type Output = u64;

    #[inline]
    fn sub(self, other: Self) -> u64 {
        match self.0.checked_sub(other.0) {
            Some(distance) => distance,
            None => panic!("LSN {other} lies beyond {self}"),
        }
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A position in the log's file, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileOffset(u64);

impl FileOffset {
    /// The beginning of the file.
    pub const ZERO: Self = Self(0);

    /// The position `bytes` from the beginning of the file.
    #[must_use]
    #[inline]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The position in bytes from the beginning of the file.
    #[must_use]
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// # Panics
///
/// If the sum cannot be represented.
impl Add<u64> for FileOffset {
    type Output = Self;

    #[inline]
    fn add(self, bytes: u64) -> Self {
        match self.0.checked_add(bytes) {
            Some(sum) => Self(sum),
            None => panic!("file offset {self} + {bytes} overflows"),
        }
    }
}

impl fmt::Display for FileOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A slot of the log's file: the place of one segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(u32);

impl SegmentId {
    /// The slot with this number, counted from 0.
    #[must_use]
    #[inline]
    pub const fn new(slot: u32) -> Self {
        Self(slot)
    }

    /// The number of the slot.
    #[must_use]
    #[inline]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Where the slot begins in the file.
    #[must_use]
    #[inline]
    pub const fn offset(self, segment_bytes: SegmentBytes) -> FileOffset {
        // At most 2^32 slots of 2^28 bytes: no overflow.
        FileOffset((self.0 as u64) << segment_bytes.log2())
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The size of a segment in bytes: a power of two from [`SegmentBytes::MIN`] to [`SegmentBytes::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentBytes(u32);

impl SegmentBytes {
    /// The smallest segment: 4 KiB.
    pub const MIN: Self = Self(1 << 12);
    /// The largest segment: 256 MiB.
    pub const MAX: Self = Self(1 << 28);

    /// Segments of `bytes` bytes.
    ///
    /// # Errors
    ///
    /// If `bytes` is not a power of two or not in range.
    pub const fn new(bytes: u32) -> Result<Self, SegmentBytesError> {
        if !bytes.is_power_of_two() {
            Err(SegmentBytesError::NotPowerOfTwo { bytes })
        } else if bytes < Self::MIN.0 || bytes > Self::MAX.0 {
            Err(SegmentBytesError::OutOfRange { log2: bytes.ilog2() as u8 })
        } else {
            Ok(Self(bytes))
        }
    }

    /// Segments of `2^log2` bytes.
    ///
    /// # Errors
    ///
    /// If the size is not in range.
    pub const fn from_log2(log2: u8) -> Result<Self, SegmentBytesError> {
        if log2 < Self::MIN.log2() || log2 > Self::MAX.log2() {
            Err(SegmentBytesError::OutOfRange { log2 })
        } else {
            Ok(Self(1 << log2))
        }
    }

    /// The size in bytes.
    #[must_use]
    #[inline]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The binary logarithm of the size.
    #[must_use]
    #[inline]
    pub const fn log2(self) -> u8 {
        self.0.trailing_zeros() as u8
    }

    /// The bits of a position that say where in its segment it lies.
    const fn mask(self) -> u32 {
        self.0 - 1
    }
}

impl fmt::Display for SegmentBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a number is not the size of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SegmentBytesError {
    /// Sizes are powers of two.
    #[error("segment size {bytes} is not a power of two")]
    NotPowerOfTwo {
        /// The number.
        bytes: u32,
    },
    /// Too small or too large.
    #[error(
        "segment size 2^{log2} is not between 2^{} and 2^{}", SegmentBytes::MIN.log2(), SegmentBytes::MAX.log2()
    )]
    OutOfRange {
        /// The binary logarithm of the size.
        log2: u8,
    },
}
