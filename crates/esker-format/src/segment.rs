//! The header that every segment begins with.
//!
//! Owns its encoding and decoding. Refuses to look at the messages behind it.
//!
//! # Invariants
//!
//! - S1 (self-contained): a segment header can be judged by its own 64 bytes; its checksum is bound to the identity that it
//!   carries. Whether that is the right log, the caller compares.
//! - S2 (the past only): neither the floor nor the mark lies beyond the base, because both were facts before the segment
//!   was begun.

use crate::error::StructureError;
use crate::identity::{Epoch, LogId};
use crate::layout::{self, Field, SEGMENT_HEADER_BYTES};
use crate::position::{Lsn, SegmentBytes};
use crate::prefix;

const HEADER_BYTES: Field = layout::field(&layout::SEGMENT_HEADER, "header_bytes");
const BASE: Field = layout::field(&layout::SEGMENT_HEADER, "base");
const FLOOR: Field = layout::field(&layout::SEGMENT_HEADER, "floor");
const MARK: Field = layout::field(&layout::SEGMENT_HEADER, "mark");
const EPOCH: Field = layout::field(&layout::SEGMENT_HEADER, "epoch");
const SEGMENT_LOG2: Field = layout::field(&layout::SEGMENT_HEADER, "segment_log2");
const ZERO: Field = layout::field(&layout::SEGMENT_HEADER, "zero");

/// What the header of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SegmentHeader {
    /// The log that the segment belongs to.
    pub log_id: LogId,
    /// The LSN of the segment's first byte, a multiple of the segment size.
    pub base: Lsn,
    /// Everything below had been given up by truncation when the segment was begun.
    pub floor: Lsn,
    /// Everything below was durable when the segment was begun.
    pub mark: Lsn,
    /// The opening that began the segment.
    pub epoch: Epoch,
    /// The size of every segment of the log.
    pub segment_bytes: SegmentBytes,
}

impl SegmentHeader {
    /// The first eight bytes of a segment header.
    pub const MAGIC: [u8; 8] = *b"ESKERSEG";

    /// The bytes of this header.
    ///
    /// # Panics
    ///
    /// If the base is not a multiple of the segment size or not below [`Lsn::LIMIT`], or the floor or the mark lies beyond
    /// it (S2).
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let Self { log_id, base, floor, mark, epoch, segment_bytes } = *self;
        assert!(
            base.offset_in_segment(segment_bytes) == 0,
            "base {base} is not a multiple of the segment size {segment_bytes}"
        );
        assert!(base < Lsn::LIMIT, "base {base} is not below {}", Lsn::LIMIT);
        assert!(floor <= base, "floor {floor} lies beyond the base {base}");
        assert!(mark <= base, "mark {mark} lies beyond the base {base}");
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        HEADER_BYTES.put(&mut bytes, (SEGMENT_HEADER_BYTES as u16).to_le_bytes());
        BASE.put(&mut bytes, base.get().to_le_bytes());
        FLOOR.put(&mut bytes, floor.get().to_le_bytes());
        MARK.put(&mut bytes, mark.get().to_le_bytes());
        EPOCH.put(&mut bytes, epoch.get().to_le_bytes());
        SEGMENT_LOG2.put(&mut bytes, segment_bytes.log2().to_le_bytes());
        prefix::seal(&mut bytes, Self::MAGIC, log_id);
        bytes
    }

    /// The header at the beginning of `bytes`.
    ///
    /// # Errors
    ///
    /// If the bytes are too few, blank, damaged, of another version, or not what a writer of this version writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, StructureError> {
        let (bytes, log_id) = prefix::open::<SEGMENT_HEADER_BYTES>(bytes, Self::MAGIC)?;
        let header_bytes = HEADER_BYTES.u16_of(bytes);
        if usize::from(header_bytes) != SEGMENT_HEADER_BYTES {
            return Err(StructureError::HeaderBytes { found: header_bytes, need: SEGMENT_HEADER_BYTES });
        }
        prefix::check_zero(bytes, ZERO)?;
        let segment_bytes = SegmentBytes::from_log2(SEGMENT_LOG2.u8_of(bytes))?;
        let base = prefix::lsn_of(bytes, BASE)?;
        if base.offset_in_segment(segment_bytes) != 0 {
            return Err(StructureError::BaseUnaligned { base, segment_bytes });
        }
        let floor = Lsn::new(FLOOR.u64_of(bytes));
        let mark = Lsn::new(MARK.u64_of(bytes));
        for (name, lsn) in [(FLOOR.name, floor), (MARK.name, mark)] {
            if lsn > base {
                return Err(StructureError::BeyondBase { name, lsn, base });
            }
        }
        Ok(Self { log_id, base, floor, mark, epoch: Epoch::new(EPOCH.u32_of(bytes)), segment_bytes })
    }
}
