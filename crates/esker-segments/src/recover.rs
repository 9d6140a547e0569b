//! Rebuilding the accountant from the slots found in a file.
//!
//! Owns the check that slots make up one log without gaps (S1, S2). Refuses to guess: a stretch that is claimed twice
//! or by nobody is an error with its place. Memory is bounded by the slots given, not by the LSNs they claim.

use esker_format::{Lsn, SegmentBytes, SegmentId};

use crate::slot::{Held, Ordinal, Phase, Slot};
use crate::{Accountant, RecoverError};

/// What recovery knows of a log before it looks at the slots.
#[derive(Debug, Clone, Copy)]
pub struct RecoveredLog<'a> {
    /// The segment size that the file was made with.
    pub segment_bytes: SegmentBytes,
    /// Number of slots in the file.
    pub slot_count: u32,
    /// The truncation floor that is on disk: nothing wholly below it is wanted.
    pub floor: Lsn,
    /// The exclusive end of what was recovered, and on stable storage. A tip that is a segment's base means that this
    /// segment is yet to be allocated.
    pub tip: Lsn,
    /// The bases of segments between floor and tip that were freed on purpose.
    pub holes: &'a [Lsn],
}

impl Accountant {
    /// The accountant of a file found on disk: `slots` says which slots claim which base.
    ///
    /// Claims wholly below the floor, at or beyond the tip, or of a declared hole are of the past, and their slots are
    /// Free at once: the floor is durable, and nobody reads yet. The segment that contains the tip is Active, older
    /// ones are Inactive. No bytes are live until [`Accountant::add_live`] says so. Where several slots claim one base,
    /// because a cut tail was written again elsewhere, the caller passes the newest.
    ///
    /// O(n log n) in the number of claims, plus O(`slot_count`).
    ///
    /// # Errors
    ///
    /// A [`RecoverError`] that says which slot or which stretch of the log is at fault.
    pub fn recover(
        log: RecoveredLog<'_>,
        slots: impl IntoIterator<Item = (SegmentId, Lsn)>,
    ) -> Result<Self, RecoverError> {
        let RecoveredLog { segment_bytes, slot_count, floor, tip, holes } = log;
        if floor > tip {
            return Err(RecoverError::FloorBeyondTip { floor, tip });
        }
        let wanted = Wanted::new(segment_bytes, floor, tip)?;
        let claims = sorted_claims(log, wanted, slots)?;
        let holes = sorted_holes(log, wanted, holes)?;

        let mut accountant = Self::empty(segment_bytes, floor);
        accountant.stable = tip;
        accountant.floor_durable = floor;
        accountant.slots = vec![Slot::Free; slot_count as usize];
        accountant.next = wanted.end;
        let mut claims = claims.into_iter().peekable();
        let mut holes = holes.into_iter().peekable();
        let mut ordinal = wanted.first;
        while ordinal < wanted.end {
            if holes.next_if_eq(&ordinal).is_some() {
                claims.next_if(|claim| claim.0 == ordinal);
            } else if let Some((_, segment)) = claims.next_if(|claim| claim.0 == ordinal) {
                let phase = if ordinal < wanted.first_active { Phase::Inactive } else { Phase::Active };
                accountant.slots[segment.get() as usize] = Slot::Held(ordinal);
                accountant.log.push_back(ordinal, Held { segment, phase, live_bytes: 0 });
                if phase == Phase::Active {
                    accountant.active.push_back(ordinal, ());
                }
            } else {
                return Err(RecoverError::Missing { base: ordinal.base(segment_bytes) });
            }
            ordinal = ordinal.next();
        }
        accountant.find_free();
        Ok(accountant)
    }

    /// The accountant of a file that several streams have filled: `slots` says which slots hold which base, with any gaps
    /// between, and `next_base` what is allocated next. All of them are Inactive: whoever opens a file goes on in new
    /// segments. All other slots are Free at once: what is durable says that nobody needs them, and nobody reads yet.
    ///
    /// O(n log n) in the number of slots held, plus O(`slot_count`).
    ///
    /// # Errors
    ///
    /// A [`RecoverError`] that says which slot or base is at fault.
    pub fn recover_streams(
        segment_bytes: SegmentBytes,
        slot_count: u32,
        next_base: Lsn,
        slots: impl IntoIterator<Item = (SegmentId, Lsn)>,
    ) -> Result<Self, RecoverError> {
        let log = RecoveredLog { segment_bytes, slot_count, floor: Lsn::ZERO, tip: next_base, holes: &[] };
        if next_base.offset_in_segment(segment_bytes) != 0 {
            return Err(RecoverError::BadHole { base: next_base, tip: next_base });
        }
        let wanted = Wanted::new(segment_bytes, Lsn::ZERO, next_base)?;
        let mut accountant = Self::empty(segment_bytes, next_base);
        accountant.slots = vec![Slot::Free; slot_count as usize];
        for (ordinal, segment) in sorted_claims(log, wanted, slots)? {
            accountant.slots[segment.get() as usize] = Slot::Held(ordinal);
            accountant.log.push_back(ordinal, Held { segment, phase: Phase::Inactive, live_bytes: 0 });
        }
        accountant.find_free();
        Ok(accountant)
    }

    fn find_free(&mut self) {
        let ids = (0..self.slot_count()).map(SegmentId::new);
        let free = ids.zip(&self.slots).filter(|(_, slot)| **slot == Slot::Free);
        self.free = free.map(|(segment, _)| segment).collect();
    }
}

/// The ordinals from `first` to `end` are those that the log needs; from `first_active` on they are still written.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    first: Ordinal,
    first_active: Ordinal,
    end: Ordinal,
}

impl Wanted {
    fn new(segment_bytes: SegmentBytes, floor: Lsn, tip: Lsn) -> Result<Self, RecoverError> {
        let first = Ordinal::containing(floor, segment_bytes);
        let first_active = Ordinal::containing(tip, segment_bytes);
        let tip_in_segment = tip.offset_in_segment(segment_bytes) != 0;
        if tip_in_segment && first_active.checked_end(segment_bytes).is_none() {
            return Err(RecoverError::LsnExhausted { tip });
        }
        let end = if tip_in_segment { first_active.next() } else { first_active };
        Ok(Self { first, first_active, end })
    }

    fn contains(self, ordinal: Ordinal) -> bool {
        self.first <= ordinal && ordinal < self.end
    }
}

/// The claims that matter, in log order, each ordinal once.
fn sorted_claims(
    log: RecoveredLog<'_>,
    wanted: Wanted,
    slots: impl IntoIterator<Item = (SegmentId, Lsn)>,
) -> Result<Vec<(Ordinal, SegmentId)>, RecoverError> {
    let RecoveredLog { segment_bytes, slot_count, .. } = log;
    let mut all: Vec<(SegmentId, Lsn)> = slots.into_iter().collect();
    all.sort_unstable();
    if let Some(&(segment, _)) = all.last().filter(|(segment, _)| segment.get() >= slot_count) {
        return Err(RecoverError::SlotBeyondFile { segment, slot_count });
    }
    if let Some(pair) = all.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(RecoverError::SlotTwice { segment: pair[0].0, first: pair[0].1, second: pair[1].1 });
    }
    if let Some(&(segment, base)) = all.iter().find(|(_, base)| base.offset_in_segment(segment_bytes) != 0) {
        return Err(RecoverError::Misaligned { segment, base, segment_bytes });
    }
    let claims = all.into_iter().map(|(segment, base)| (Ordinal::containing(base, segment_bytes), segment));
    let mut claims: Vec<_> = claims.filter(|(ordinal, _)| wanted.contains(*ordinal)).collect();
    claims.sort_unstable();
    if let Some(pair) = claims.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let base = pair[0].0.base(segment_bytes);
        return Err(RecoverError::BaseTwice { base, first: pair[0].1, second: pair[1].1 });
    }
    Ok(claims)
}

/// The declared holes that matter, in log order, each once. Only a segment wholly below the tip can have been freed.
fn sorted_holes(log: RecoveredLog<'_>, wanted: Wanted, holes: &[Lsn]) -> Result<Vec<Ordinal>, RecoverError> {
    let RecoveredLog { segment_bytes, tip, .. } = log;
    let mut ordinals = Vec::with_capacity(holes.len());
    for &base in holes {
        let ordinal = Ordinal::containing(base, segment_bytes);
        if base.offset_in_segment(segment_bytes) != 0 || ordinal >= wanted.first_active {
            return Err(RecoverError::BadHole { base, tip });
        }
        if wanted.contains(ordinal) {
            ordinals.push(ordinal);
        }
    }
    ordinals.sort_unstable();
    ordinals.dedup();
    Ok(ordinals)
}
