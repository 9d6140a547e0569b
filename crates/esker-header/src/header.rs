//! The word itself and its transitions.

use core::fmt;

use crate::layout::{OFFSET, SALT, SEALED, WRITERS};

/// A position in the memory of an I/O buffer, in bytes. At most [`BufferOffset::MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferOffset(u32);

impl BufferOffset {
    /// The beginning of the buffer's memory.
    pub const ZERO: Self = Self(0);
    /// The largest position that the word can hold: 2^24 - 1.
    pub const MAX: Self = Self(OFFSET.max());

    /// The position `bytes`, or `None` if the word cannot hold it.
    #[must_use]
    pub const fn new(bytes: u32) -> Option<Self> {
        if bytes <= OFFSET.max() { Some(Self(bytes)) } else { None }
    }

    /// The position in bytes.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// How often a buffer has been reused, modulo 2^19.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Salt(u32);

impl Salt {
    /// The salt after this one; the largest is followed by zero.
    #[must_use]
    pub const fn next(self) -> Self {
        Self((self.0 + 1) & SALT.max())
    }

    /// The salt as an integer below 2^19.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The room that claims share. Constant for all buffers of an engine (H4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// One past the last position that can be claimed.
    pub end: BufferOffset,
    /// A claim may fill the room exactly or leave at least this many bytes, but nothing between, so that what is left can
    /// always be described by a padding message of this size.
    pub remainder_min: u32,
}

/// Why a claim was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The buffer is sealed: claim in its successor.
    Sealed,
    /// The claim does not fit what is left.
    Full,
    /// As many reservations are open as the word can count: seal the buffer and claim in its successor.
    WritersExhausted,
}

/// The packed word of one I/O buffer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header(u64);

impl Header {
    /// What one writer adds to the bits of the word.
    ///
    /// Subtracting it from a word with at least one writer equals [`Header::leave`], so that a writer that is counted may
    /// leave by a single atomic subtraction.
    pub const ONE_WRITER: u64 = WRITERS.one();
    /// The most writers one buffer can count: 2^20 - 1.
    pub const WRITERS_MAX: u32 = WRITERS.max();

    /// The word of a buffer in its first life: unsealed, no writers, claimed up to `start`.
    #[must_use]
    pub const fn open(start: BufferOffset) -> Self {
        Self(OFFSET.replace(0, start.0))
    }

    /// The word with these bits. Every value is a word (H1).
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits of the word.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// How often the buffer has been reused.
    #[must_use]
    pub const fn salt(self) -> Salt {
        Salt(SALT.of(self.0))
    }

    /// Whether the buffer admits no more claims.
    #[must_use]
    pub const fn is_sealed(self) -> bool {
        SEALED.of(self.0) != 0
    }

    /// How many reservations are open.
    #[must_use]
    pub const fn writers(self) -> u32 {
        WRITERS.of(self.0)
    }

    /// Up to where the buffer is claimed.
    #[must_use]
    pub const fn offset(self) -> BufferOffset {
        BufferOffset(OFFSET.of(self.0))
    }

    /// Whether the buffer's content is final: sealed, and nobody is filling it.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        self.is_sealed() && self.writers() == 0
    }

    /// Claims `bytes` for one more writer. Returns the new word and where the claim begins.
    ///
    /// # Errors
    ///
    /// A [`Refusal`], checked in this order: the buffer is sealed, its room is short, its writer count is exhausted.
    #[inline]
    pub const fn try_reserve(self, bytes: u32, room: Room) -> Result<(Self, BufferOffset), Refusal> {
        if self.is_sealed() {
            return Err(Refusal::Sealed);
        }
        let at = self.offset();
        // In 64 bits neither sum can overflow. An end beyond the room fails the second comparison for any remainder.
        let end = at.0 as u64 + bytes as u64;
        let room_end = room.end.0 as u64;
        if end != room_end && end + room.remainder_min as u64 > room_end {
            return Err(Refusal::Full);
        }
        if self.writers() == WRITERS.max() {
            return Err(Refusal::WritersExhausted);
        }
        // `end` is at most `room.end`, so it fits the field; the count is below its maximum, so adding one cannot carry.
        Ok((Self(OFFSET.replace(self.0, end as u32) + WRITERS.one()), at))
    }

    /// One writer has finished. `None` if none is counted.
    #[must_use]
    #[inline]
    pub const fn leave(self) -> Option<Self> {
        if self.writers() == 0 { None } else { Some(Self(self.0 - WRITERS.one())) }
    }

    /// Admits no more claims. `None` if the buffer is sealed already, so that exactly one caller seals it.
    #[must_use]
    pub const fn seal(self) -> Option<Self> {
        if self.is_sealed() { None } else { Some(Self(self.0 | SEALED.mask())) }
    }

    /// Begins the buffer's next life, claimed up to `start`. `None` unless it [is ready](Header::is_ready), because a
    /// buffer that somebody still fills must not be reused.
    #[must_use]
    pub const fn reopen(self, start: BufferOffset) -> Option<Self> {
        if self.is_ready() { Some(Self(SALT.replace(OFFSET.replace(0, start.0), self.salt().next().0))) } else { None }
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("salt", &self.salt().get())
            .field("sealed", &self.is_sealed())
            .field("writers", &self.writers())
            .field("offset", &self.offset().get())
            .finish()
    }
}
