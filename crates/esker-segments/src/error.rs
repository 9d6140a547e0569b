//! What the accountant refuses, and where.
//!
//! Owns the error types. None of them carries text from outside or an I/O error, because the accountant does no I/O.

use esker_format::{Lsn, SegmentBytes, SegmentId};
use thiserror::Error;

use crate::SegmentState;

/// Why a segment could not be allocated. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AllocateError {
    /// Every slot is in use and the file may not grow.
    #[error("no free segment: {slots} of at most {slots_max} slots in use, {waiting} of them waiting to be reused")]
    NoSpace {
        /// Slots in the file.
        slots: u32,
        /// The ceiling.
        slots_max: u32,
        /// How many of the slots are freed but still behind a gate: space that will come back.
        waiting: u32,
    },
    /// The log grows segment by segment, and this is not the next one.
    #[error("segment at lsn {base} allocated out of order, the next one is at lsn {expected}")]
    OutOfOrder {
        /// The base that was asked for.
        base: Lsn,
        /// The base of the next segment.
        expected: Lsn,
    },
    /// The end of the segment would be beyond the largest LSN.
    #[error("the segment at lsn {base} would end beyond the largest lsn")]
    LsnExhausted {
        /// The base that was asked for.
        base: Lsn,
    },
}

/// Why an operation on existing segments was refused. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AccountError {
    /// No segment holds this LSN: it was freed, or never allocated.
    #[error("no segment holds lsn {lsn}")]
    NotHeld {
        /// The LSN in question.
        lsn: Lsn,
    },
    /// The segment is not in the state that the operation starts from.
    #[error("the segment at lsn {base} is {found}, not {expected}")]
    WrongState {
        /// The segment's first LSN.
        base: Lsn,
        /// The state that the operation starts from.
        expected: SegmentState,
        /// The state that the segment is in.
        found: SegmentState,
    },
    /// A drained segment still has live bytes.
    #[error("the segment at lsn {base} still has {live_bytes} live bytes")]
    StillLive {
        /// The segment's first LSN.
        base: Lsn,
        /// What has not been moved out.
        live_bytes: u64,
    },
    /// More bytes were removed than were live.
    #[error("{removed_bytes} bytes removed from the segment at lsn {base}, which has {live_bytes} live bytes")]
    LiveUnderflow {
        /// The segment's first LSN.
        base: Lsn,
        /// Live bytes before the call, and still.
        live_bytes: u64,
        /// What was to be taken away.
        removed_bytes: u64,
    },
    /// More bytes were added than a segment has room for.
    #[error(
        "{added_bytes} bytes added to the segment at lsn {base}, which has {live_bytes} of {capacity_bytes} bytes live"
    )]
    LiveOverflow {
        /// The segment's first LSN.
        base: Lsn,
        /// Live bytes before the call, and still.
        live_bytes: u64,
        /// What was to be added.
        added_bytes: u64,
        /// What a segment can hold beside its header.
        capacity_bytes: u64,
    },
    /// More was called stable than has been allocated.
    #[error("lsn {stable} called stable, but the last segment ends at lsn {end}")]
    StableBeyondEnd {
        /// The claim.
        stable: Lsn,
        /// The exclusive end of the newest segment.
        end: Lsn,
    },
    /// Only the latest allocation can be taken back, and only while nothing was done with it.
    #[error("the allocation of slot {segment} at lsn {base} cannot be taken back any more")]
    NotLatest {
        /// The slot of the allocation.
        segment: SegmentId,
        /// Its base.
        base: Lsn,
    },
    /// A ticket that this accountant is not waiting for.
    #[error("no reuse of slot {segment} waits for this ticket")]
    UnknownTicket {
        /// The slot that the ticket names.
        segment: SegmentId,
    },
    /// The file was to be shortened by more slots than are free at its end.
    #[error("file shortened by {slots} slots, of which only the last {free} are free")]
    NotFree {
        /// By how many slots.
        slots: u32,
        /// How many are free at the end.
        free: u32,
    },
}

/// Why the slots found in a file do not make up a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The log would begin after its end.
    #[error("the log's floor, lsn {floor}, is beyond its tip, lsn {tip}")]
    FloorBeyondTip {
        /// Below this nothing is wanted.
        floor: Lsn,
        /// The exclusive end of the log.
        tip: Lsn,
    },
    /// The segment of the tip would end beyond the largest LSN, where no segment can be.
    #[error("the log's tip, lsn {tip}, lies in a segment that would end beyond the largest lsn")]
    LsnExhausted {
        /// The exclusive end of the log.
        tip: Lsn,
    },
    /// A slot outside the file.
    #[error("slot {segment} found in a file of {slot_count} slots")]
    SlotBeyondFile {
        /// The slot.
        segment: SegmentId,
        /// Slots in the file.
        slot_count: u32,
    },
    /// A base that no segment of this size can have.
    #[error("slot {segment} claims to begin at lsn {base}, which is not a multiple of {segment_bytes} bytes")]
    Misaligned {
        /// The slot.
        segment: SegmentId,
        /// What it claims.
        base: Lsn,
        /// The segment size.
        segment_bytes: SegmentBytes,
    },
    /// One slot was named twice.
    #[error("slot {segment} claims lsn {first} and also lsn {second}")]
    SlotTwice {
        /// The slot.
        segment: SegmentId,
        /// One claim.
        first: Lsn,
        /// The other.
        second: Lsn,
    },
    /// Two slots claim the same stretch of the log.
    #[error("slots {first} and {second} both claim to begin at lsn {base}")]
    BaseTwice {
        /// The base claimed by both.
        base: Lsn,
        /// The lower slot.
        first: SegmentId,
        /// The higher slot.
        second: SegmentId,
    },
    /// No slot holds a stretch that the log needs.
    #[error("no slot holds the segment at lsn {base}")]
    Missing {
        /// The first LSN that is missing.
        base: Lsn,
    },
    /// A hole was declared where no whole segment can have been freed.
    #[error("the hole at lsn {base} is not a whole segment below the tip, lsn {tip}")]
    BadHole {
        /// The declared hole.
        base: Lsn,
        /// The exclusive end of the log.
        tip: Lsn,
    },
}
