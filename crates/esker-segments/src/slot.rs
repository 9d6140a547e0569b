//! What the accountant knows of one slot and of one held segment.
//!
//! Owns the private tables' entries and their public pictures. Refuses to change them: transitions are in the modules
//! that name them.

use std::fmt;

use esker_format::{Lsn, SegmentBytes, SegmentId};

/// State of one slot of the log file; see the [crate documentation](crate#states-of-a-slot).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SegmentState {
    /// Nobody wants anything in it; the next allocation may take it.
    Free,
    /// The log is being written here.
    Active,
    /// Every byte of it is stable; it is only read.
    Inactive,
    /// As `Inactive`, and its owner is moving what is still live elsewhere.
    Draining,
    /// Given up, but still waiting for a gate before it is `Free`.
    Freed,
}

impl fmt::Display for SegmentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Free => "free",
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Draining => "draining",
            Self::Freed => "freed",
        })
    }
}

/// A segment that holds a stretch of the log: Active, Inactive or Draining.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldSegment {
    /// The slot of the file that it occupies.
    pub segment: SegmentId,
    /// The LSN of its first byte.
    pub base: Lsn,
    /// Active, Inactive or Draining.
    pub state: SegmentState,
    /// How many of its bytes are live, as counted by the caller.
    pub live_bytes: u64,
}

/// Ordinal of a segment within the log: base LSN divided by the segment size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ordinal(u64);

impl Ordinal {
    /// The ordinal of the segment that contains `lsn`.
    pub(crate) fn containing(lsn: Lsn, segment_bytes: SegmentBytes) -> Self {
        Self(lsn.get() >> segment_bytes.log2())
    }

    /// The LSN of the segment's first byte. Cannot overflow: every ordinal comes from an LSN, or is the successor of
    /// one whose end is an LSN.
    pub(crate) fn base(self, segment_bytes: SegmentBytes) -> Lsn {
        Lsn::new(self.0 << segment_bytes.log2())
    }

    /// The exclusive end of the segment, or `None` if that is beyond the largest LSN.
    pub(crate) fn checked_end(self, segment_bytes: SegmentBytes) -> Option<Lsn> {
        self.base(segment_bytes).checked_add(u64::from(segment_bytes.get()))
    }

    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// How many segments lie from `earlier` up to this one, or `None` if `earlier` comes later.
    #[inline]
    pub(crate) fn since(self, earlier: Self) -> Option<u64> {
        self.0.checked_sub(earlier.0)
    }
}

/// What one slot of the file is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    Free,
    /// Holds the segment of this ordinal; the rest is in [`Held`].
    Held(Ordinal),
    Freed(Freed),
}

/// One held segment, found by its ordinal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) segment: SegmentId,
    pub(crate) phase: Phase,
    pub(crate) live_bytes: u64,
}

/// The part of [`SegmentState`] that a held segment can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Active,
    Inactive,
    Draining,
}

impl From<Phase> for SegmentState {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Active => Self::Active,
            Phase::Inactive => Self::Inactive,
            Phase::Draining => Self::Draining,
        }
    }
}

/// A slot on its way back: which of its gates it has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Freed {
    /// Tells this life of the slot from earlier and later ones, so that a ticket opens only its own gate.
    pub(crate) life: u64,
    /// Gate A.
    pub(crate) durable: bool,
    /// Gate B.
    pub(crate) unread: bool,
}
