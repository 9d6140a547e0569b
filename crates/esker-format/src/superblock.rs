//! The superblock: what a log must know before it reads anything else. Kept twice, so that a torn write leaves one copy.
//!
//! Owns encoding, decoding and the choice between the two copies. Refuses to write them; in which order and with which
//! syncs that is done is an obligation of the writer (FORMAT.md).
//!
//! # Invariants
//!
//! - B1 (one copy survives): the two copies are never written without a sync between them, and the one that is written
//!   first is never the only good one, so at any moment at least one is whole.
//! - B2 (newest wins): of two whole copies, the one of the higher generation counts. Copies of one generation are equal.

use thiserror::Error;

use crate::error::StructureError;
use crate::identity::{Epoch, LogId};
use crate::layout::{self, Field, SUPERBLOCK_BYTES, SUPERBLOCK_COPIES};
use crate::position::{FileOffset, Lsn, SegmentBytes};
use crate::prefix;

const SEGMENT_LOG2: Field = layout::field(&layout::SUPERBLOCK, "segment_log2");
const CLEAN: Field = layout::field(&layout::SUPERBLOCK, "clean");
const GENERATION: Field = layout::field(&layout::SUPERBLOCK, "generation");
const EPOCH_START: Field = layout::field(&layout::SUPERBLOCK, "epoch_start");
const FLOOR: Field = layout::field(&layout::SUPERBLOCK, "floor");
const MARK: Field = layout::field(&layout::SUPERBLOCK, "mark");
const EPOCH: Field = layout::field(&layout::SUPERBLOCK, "epoch");
const ZERO: Field = layout::field(&layout::SUPERBLOCK, "zero");

/// What the superblock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Superblock {
    /// The identity of the log.
    pub log_id: LogId,
    /// The size of every segment of the log.
    pub segment_bytes: SegmentBytes,
    /// Raised with each update: by one, or as [`SuperblockCopies::next_generation`] says.
    pub generation: u64,
    /// The latest opening for writing.
    pub epoch: Epoch,
    /// Where `epoch` began: at or beyond this LSN no message of an earlier epoch counts.
    pub epoch_start: Lsn,
    /// Everything below has been given up by truncation.
    pub floor: Lsn,
    /// Everything below was durable when the superblock was written.
    pub mark: Lsn,
    /// Whether the log was closed in good order; then `mark` is its end.
    pub clean: bool,
}

impl Superblock {
    /// The first eight bytes of each copy.
    pub const MAGIC: [u8; 8] = *b"ESKERSUP";

    /// No generation reaches this: 2^63. At one update per nanosecond it takes three centuries.
    pub const GENERATION_LIMIT: u64 = 1 << 63;

    /// The bytes of one copy.
    ///
    /// # Panics
    ///
    /// If the generation is not below [`Superblock::GENERATION_LIMIT`], or an LSN not below [`Lsn::LIMIT`].
    #[must_use]
    pub fn encode(&self) -> [u8; SUPERBLOCK_BYTES] {
        let Self { log_id, segment_bytes, generation, epoch, epoch_start, floor, mark, clean } = *self;
        let limit = Self::GENERATION_LIMIT;
        assert!(generation < limit, "generation {generation} is not below {limit}");
        let last = epoch_start.max(floor).max(mark);
        assert!(last < Lsn::LIMIT, "LSN {last} is not below {}", Lsn::LIMIT);
        let mut bytes = [0; SUPERBLOCK_BYTES];
        SEGMENT_LOG2.put(&mut bytes, segment_bytes.log2().to_le_bytes());
        CLEAN.put(&mut bytes, u8::from(clean).to_le_bytes());
        GENERATION.put(&mut bytes, generation.to_le_bytes());
        EPOCH_START.put(&mut bytes, epoch_start.get().to_le_bytes());
        FLOOR.put(&mut bytes, floor.get().to_le_bytes());
        MARK.put(&mut bytes, mark.get().to_le_bytes());
        EPOCH.put(&mut bytes, epoch.get().to_le_bytes());
        prefix::seal(&mut bytes, Self::MAGIC, log_id);
        bytes
    }

    /// The copy at the beginning of `bytes`.
    ///
    /// # Errors
    ///
    /// If the bytes are too few, blank, damaged, of another version, or not what a writer of this version writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, StructureError> {
        let (bytes, log_id) = prefix::open::<SUPERBLOCK_BYTES>(bytes, Self::MAGIC)?;
        prefix::check_zero(bytes, ZERO)?;
        let clean = match CLEAN.u8_of(bytes) {
            0 => false,
            1 => true,
            found => return Err(StructureError::Flag { name: CLEAN.name, found }),
        };
        let (generation, limit) = (GENERATION.u64_of(bytes), Self::GENERATION_LIMIT);
        if generation >= limit {
            return Err(StructureError::Generation { found: generation, limit });
        }
        Ok(Self {
            log_id,
            segment_bytes: SegmentBytes::from_log2(SEGMENT_LOG2.u8_of(bytes))?,
            generation,
            epoch: Epoch::new(EPOCH.u32_of(bytes)),
            epoch_start: prefix::lsn_of(bytes, EPOCH_START)?,
            floor: prefix::lsn_of(bytes, FLOOR)?,
            mark: prefix::lsn_of(bytes, MARK)?,
            clean,
        })
    }

    /// Where the copies lie in the file, in the order in which they are to be written for this generation.
    #[must_use]
    pub const fn copy_offsets(&self) -> [FileOffset; SUPERBLOCK_COPIES] {
        let first = FileOffset::ZERO;
        let second = FileOffset::new(SUPERBLOCK_BYTES as u64);
        if self.generation.is_multiple_of(2) { [first, second] } else { [second, first] }
    }

    /// The newest whole copy in the content of the superblock's file (B2).
    ///
    /// # Errors
    ///
    /// What is wrong with both copies, or that two whole ones contradict each other.
    pub fn newest(file: &[u8]) -> Result<SuperblockCopies, SuperblockError> {
        let second = file.get(SUPERBLOCK_BYTES..).unwrap_or_default();
        let copies = [Self::decode(file), Self::decode(second)];
        let newest = match copies {
            [Ok(first), Ok(second)] if first.generation == second.generation && first != second => {
                return Err(SuperblockError::Contradiction { generation: first.generation });
            }
            [Ok(first), Ok(second)] => {
                if second.generation > first.generation {
                    second
                } else {
                    first
                }
            }
            [Ok(whole), Err(_)] | [Err(_), Ok(whole)] => whole,
            [Err(first), Err(second)] => return Err(SuperblockError::BothDamaged { first, second }),
        };
        Ok(SuperblockCopies { newest, copies })
    }
}

/// Both copies of the superblock, and which counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuperblockCopies {
    /// The newest whole copy.
    pub newest: Superblock,
    /// The two copies, in the order of the file.
    pub copies: [Result<Superblock, StructureError>; SUPERBLOCK_COPIES],
}

impl SuperblockCopies {
    /// The generation for the first update after the copies were read: one or two higher than that of the newest copy, so
    /// that [`Superblock::copy_offsets`] of the update begins with a copy that is unusable or older, if there is one (B1).
    #[must_use]
    pub fn next_generation(&self) -> u64 {
        // What was decoded is below the limit, so this cannot overflow.
        let next = |by| self.newest.generation + by;
        // The copies are numbered in the order of the file, and a generation's lowest bit is the number of the copy that is
        // written first.
        match self.copies.iter().position(|copy| *copy != Ok(self.newest)) {
            Some(copy) if next(1) % 2 != copy as u64 => next(2),
            Some(_) | None => next(1),
        }
    }
}

/// Why there is no superblock to go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SuperblockError {
    /// Neither copy can be used.
    #[error("both copies of the superblock are unusable: the first: {first}; the second: {second}")]
    BothDamaged {
        /// What is wrong with the copy at 0.
        first: StructureError,
        /// What is wrong with the copy at 4096.
        second: StructureError,
    },
    /// Both copies are whole and of one generation, but differ.
    #[error("the two copies of the superblock have generation {generation} but differ")]
    Contradiction {
        /// The generation of both.
        generation: u64,
    },
}
