//! The tables, allocation and its rollback, deactivation, lookup.
//!
//! Owns [`Accountant`] and upholds S1, S2 and S5. Freeing and reuse are in `reuse`, live bytes and draining in `live`,
//! start-up in `recover`; all of them act on the fields declared here.

use std::collections::{BTreeMap, BTreeSet};

use esker_format::{FileOffset, Lsn, SEGMENT_HEADER_BYTES, SegmentBytes, SegmentId};

use crate::ordered::Ordered;
use crate::slot::{Held, Ordinal, Phase, Slot};
use crate::{AccountError, AllocateError, HeldSegment, SegmentState, Stats};

/// The segment accountant of one log file.
///
/// See the [crate documentation](crate) for the states, the gates and the invariants. All operations are deterministic.
/// Two accountants are equal if no later call could tell them apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accountant {
    pub(crate) segment_bytes: SegmentBytes,
    pub(crate) slots_max: u32,
    /// What each slot of the file is used for, by [`SegmentId`].
    pub(crate) slots: Vec<Slot>,
    /// The slots that are [`Slot::Free`].
    pub(crate) free: BTreeSet<SegmentId>,
    /// The held segments in LSN order. As many as there are, however old the oldest of them is.
    pub(crate) log: Ordered<Held>,
    /// The ordinal of the segment that is allocated next.
    pub(crate) next: Ordinal,
    /// Those that are Active: a few.
    pub(crate) active: Ordered<()>,
    pub(crate) draining: u32,
    /// Sum of the held segments' live bytes (S4).
    pub(crate) live_bytes: u64,
    /// The highest LSN that was called stable.
    pub(crate) stable: Lsn,
    /// The highest floor that is known to be on disk.
    pub(crate) floor_durable: Lsn,
    /// Freed slots behind gate A, each with the durable floor or the stable LSN that opens it.
    pub(crate) awaiting_floor: BTreeSet<(Lsn, SegmentId)>,
    pub(crate) awaiting_stable: BTreeSet<(Lsn, SegmentId)>,
    /// Freed slots behind gate A that wait for the caller's word, by the base of what they held.
    pub(crate) awaiting_word: BTreeMap<Lsn, SegmentId>,
    /// How many slots were ever freed: the name of the next [`crate::slot::Freed::life`].
    pub(crate) lives: u64,
}

/// A slot handed out for a segment of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Allocation {
    /// The slot.
    pub segment: SegmentId,
    /// Where the slot begins in the file.
    pub offset: FileOffset,
    /// The LSN of the segment's first byte.
    pub base: Lsn,
    /// Whether the slot was part of the file before: it then holds bytes of an earlier life and its blocks exist.
    /// Otherwise the file has to grow to the slot's end before it is written.
    pub reused: bool,
}

impl Accountant {
    /// An accountant for an empty file, whose first segment will have base 0.
    #[must_use]
    pub fn new(segment_bytes: SegmentBytes) -> Self {
        Self::empty(segment_bytes, Lsn::ZERO)
    }

    /// No slots; the next segment is the one that contains `start`.
    pub(crate) fn empty(segment_bytes: SegmentBytes, start: Lsn) -> Self {
        Self {
            segment_bytes,
            slots_max: u32::MAX,
            slots: Vec::new(),
            free: BTreeSet::new(),
            log: Ordered::new(),
            next: Ordinal::containing(start, segment_bytes),
            active: Ordered::new(),
            draining: 0,
            live_bytes: 0,
            stable: Lsn::ZERO,
            floor_durable: Lsn::ZERO,
            awaiting_floor: BTreeSet::new(),
            awaiting_stable: BTreeSet::new(),
            awaiting_word: BTreeMap::new(),
            lives: 0,
        }
    }

    /// Sets a ceiling on the number of slots, and so on the length of the file. A file that is longer already keeps its
    /// slots and goes on reusing them; it only does not grow. Without this call the ceiling is `u32::MAX`.
    #[must_use]
    pub fn with_slots_max(mut self, slots_max: u32) -> Self {
        self.slots_max = slots_max;
        self
    }

    /// As [`with_slots_max`](Accountant::with_slots_max), later.
    pub fn set_slots_max(&mut self, slots_max: u32) {
        self.slots_max = slots_max;
    }

    /// The most slots the file may have.
    #[must_use]
    pub fn slots_max(&self) -> u32 {
        self.slots_max
    }

    /// Allocates a slot for the segment that begins at `base`: the lowest free slot, or else a new one at the end of
    /// the file. The segment is Active. O(log n) in the number of slots.
    ///
    /// If the file then cannot be made long enough, [`Accountant::unallocate`] takes the allocation back.
    ///
    /// # Errors
    ///
    /// [`AllocateError::OutOfOrder`] unless `base` is [`Accountant::next_base`]; [`AllocateError::NoSpace`] at the
    /// ceiling; [`AllocateError::LsnExhausted`] at the end of all LSNs. Nothing has changed then.
    pub fn allocate(&mut self, base: Lsn) -> Result<Allocation, AllocateError> {
        let expected = self.next_base();
        if base != expected {
            return Err(AllocateError::OutOfOrder { base, expected });
        }
        self.allocate_next()
    }

    /// Allocates a slot as [`allocate`](Accountant::allocate) does, for a segment at whatever base is next: for several
    /// streams that share a file and its LSNs.
    ///
    /// # Errors
    ///
    /// As those of [`allocate`](Accountant::allocate), except that no order can be broken.
    pub fn allocate_next(&mut self) -> Result<Allocation, AllocateError> {
        let base = self.next_base();
        let ordinal = self.next;
        if ordinal.checked_end(self.segment_bytes).is_none() {
            return Err(AllocateError::LsnExhausted { base });
        }
        let (segment, reused) = match self.free.pop_first() {
            Some(segment) => {
                self.slots[index(segment)] = Slot::Held(ordinal);
                (segment, true)
            }
            None => {
                let slots = self.slot_count();
                if slots >= self.slots_max {
                    let waiting = self.freed_count();
                    return Err(AllocateError::NoSpace { slots, slots_max: self.slots_max, waiting });
                }
                self.slots.push(Slot::Held(ordinal));
                (SegmentId::new(slots), false)
            }
        };
        self.log.push_back(ordinal, Held { segment, phase: Phase::Active, live_bytes: 0 });
        self.active.push_back(ordinal, ());
        self.next = ordinal.next();
        Ok(Allocation { segment, offset: segment.offset(self.segment_bytes), base, reused })
    }

    /// Takes the latest allocation back, as if it had not been made: a reused slot is free again, a new one no longer
    /// belongs to the file. For when the file could not be made longer, for want of space for instance.
    ///
    /// # Errors
    ///
    /// [`AccountError::NotLatest`] if a later segment was allocated, or if anything in the segment is live or stable.
    pub fn unallocate(&mut self, allocation: Allocation) -> Result<(), AccountError> {
        let Allocation { segment, base, reused, .. } = allocation;
        let refused = AccountError::NotLatest { segment, base };
        let ordinal = Ordinal::containing(base, self.segment_bytes);
        let untouched = Held { segment, phase: Phase::Active, live_bytes: 0 };
        let latest = self.log.get(ordinal) == Some(&untouched)
            && ordinal.next() == self.next
            && self.stable <= ordinal.base(self.segment_bytes);
        let at_end = segment.get().checked_add(1) == Some(self.slot_count());
        if !latest || !(reused || at_end) {
            return Err(refused);
        }
        self.log.remove(ordinal);
        self.active.remove(ordinal);
        self.next = ordinal;
        if reused {
            self.slots[index(segment)] = Slot::Free;
            self.free.insert(segment);
        } else {
            self.slots.pop();
        }
        Ok(())
    }

    /// Notes that everything below `stable` is on stable storage: Active segments that lie wholly below it become
    /// Inactive, in LSN order, and freed slots that waited for that (see [`Accountant::free`]) pass gate A. A smaller
    /// LSN than before has no effect. Returns how many segments became Inactive.
    ///
    /// Amortized O(log n) for each segment and slot that changes; O(1) if none does.
    ///
    /// # Errors
    ///
    /// [`AccountError::StableBeyondEnd`] if that much was never allocated.
    pub fn deactivate_below(&mut self, stable: Lsn) -> Result<u32, AccountError> {
        let end = self.next_base();
        if stable > end {
            return Err(AccountError::StableBeyondEnd { stable, end });
        }
        if stable <= self.stable {
            return Ok(0);
        }
        self.stable = stable;
        let mut deactivated = 0;
        while let Some((oldest, ())) = self.active.first()
            && self.end_of(oldest) <= stable
        {
            self.pass_active(oldest);
            deactivated += 1;
        }
        self.open_gate_of_stable();
        Ok(deactivated)
    }

    /// Notes that the one Active segment at `base` is full, and stable to its end: it becomes Inactive. For several streams,
    /// which fill segments side by side.
    ///
    /// # Errors
    ///
    /// [`AccountError::NotHeld`] if no held segment begins there; [`AccountError::WrongState`] unless it is Active.
    pub fn deactivate(&mut self, base: Lsn) -> Result<(), AccountError> {
        let ordinal = self.ordinal_of_base(base)?;
        let held = self.held(ordinal).ok_or(AccountError::NotHeld { lsn: base })?;
        if held.phase != Phase::Active {
            let found = held.phase.into();
            return Err(AccountError::WrongState { base, expected: SegmentState::Active, found });
        }
        self.pass_active(ordinal);
        Ok(())
    }

    /// From Active to Inactive.
    fn pass_active(&mut self, ordinal: Ordinal) {
        let held = self.held_mut(ordinal).expect("S2: an Active segment is held");
        assert_eq!(held.phase, Phase::Active, "S2: {held:?} is among the Active ones");
        held.phase = Phase::Inactive;
        self.active.remove(ordinal);
    }

    /// Where the byte at `lsn` is in the file, or `None` if no segment holds it. O(1) if no segment was freed out of order, or
    /// else O(log n).
    ///
    /// The answer is good until the segment is freed *and* its ticket released; so a reader must be known to whoever
    /// releases tickets before it asks.
    #[must_use]
    pub fn locate(&self, lsn: Lsn) -> Option<FileOffset> {
        let held = self.held(Ordinal::containing(lsn, self.segment_bytes))?;
        Some(held.segment.offset(self.segment_bytes) + u64::from(lsn.offset_in_segment(self.segment_bytes)))
    }

    /// The segment that holds `lsn`, or `None`. O(1) or O(log n), as [`locate`](Accountant::locate).
    #[must_use]
    pub fn segment_of(&self, lsn: Lsn) -> Option<HeldSegment> {
        let ordinal = Ordinal::containing(lsn, self.segment_bytes);
        self.held(ordinal).map(|held| self.picture(ordinal, held))
    }

    /// The held segments, oldest first.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = HeldSegment> + '_ {
        self.log.iter().map(|(ordinal, held)| self.picture(ordinal, held))
    }

    /// The state of one slot, or `None` if the file has no such slot. O(1) or O(log n), as [`locate`](Accountant::locate).
    #[must_use]
    pub fn state(&self, segment: SegmentId) -> Option<SegmentState> {
        self.slots.get(index(segment)).map(|slot| match slot {
            Slot::Free => SegmentState::Free,
            Slot::Freed(_) => SegmentState::Freed,
            Slot::Held(ordinal) => self.held(*ordinal).expect("S1: a held slot is in the table").phase.into(),
        })
    }

    /// The base of the segment that has to be allocated next, which is also the exclusive end of the newest one.
    #[must_use]
    pub fn next_base(&self) -> Lsn {
        self.next.base(self.segment_bytes)
    }

    /// The base of the oldest held segment, or `None` if there is none.
    #[must_use]
    pub fn first_base(&self) -> Option<Lsn> {
        self.log.first().map(|(first, _)| first.base(self.segment_bytes))
    }

    /// The segment size.
    #[must_use]
    pub fn segment_bytes(&self) -> SegmentBytes {
        self.segment_bytes
    }

    /// Number of slots in the file.
    #[must_use]
    pub fn slot_count(&self) -> u32 {
        u32::try_from(self.slots.len()).expect("the ceiling on slots is a u32")
    }

    /// How many slots at the end of the file are free, so that the file could be that much shorter. O(result).
    #[must_use]
    pub fn trailing_free(&self) -> u32 {
        let from_the_end = (0..self.slot_count()).rev();
        let trailing = self.free.iter().rev().zip(from_the_end).take_while(|(free, slot)| free.get() == *slot);
        u32::try_from(trailing.count()).expect("there are at most u32::MAX slots")
    }

    /// The slots that an allocation may take, from the end of the file: those that it will take last.
    pub fn free_from_the_end(&self) -> impl Iterator<Item = SegmentId> + '_ {
        self.free.iter().rev().copied()
    }

    /// Notes that the file's last `slots` slots have been cut off. Returns the number of slots that are left.
    ///
    /// # Errors
    ///
    /// [`AccountError::NotFree`] if that is more than [`Accountant::trailing_free`].
    pub fn shrink(&mut self, slots: u32) -> Result<u32, AccountError> {
        let free = self.trailing_free();
        if slots > free {
            return Err(AccountError::NotFree { slots, free });
        }
        let left = self.slot_count() - slots;
        self.slots.truncate(left as usize);
        self.free.split_off(&SegmentId::new(left));
        Ok(left)
    }

    /// Counts per state and bytes. O(1).
    #[must_use]
    pub fn stats(&self) -> Stats {
        let slots = self.slot_count();
        let held = self.held_count();
        let active = u32::try_from(self.active.len()).expect("no more Active segments than slots");
        Stats {
            slots,
            free: slots - held - self.freed_count(),
            active,
            inactive: held - active - self.draining,
            draining: self.draining,
            freed: self.freed_count(),
            live_bytes: self.live_bytes,
            capacity_bytes: u64::from(held) * self.capacity_bytes(),
            file_bytes: u64::from(slots) * u64::from(self.segment_bytes.get()),
        }
    }

    /// What one segment can hold beside its header.
    pub(crate) fn capacity_bytes(&self) -> u64 {
        u64::from(self.segment_bytes.get()) - SEGMENT_HEADER_BYTES as u64
    }

    /// The exclusive end of an allocated segment.
    pub(crate) fn end_of(&self, ordinal: Ordinal) -> Lsn {
        ordinal.checked_end(self.segment_bytes).expect("`allocate` and `recover` refuse a segment without an end")
    }

    pub(crate) fn held(&self, ordinal: Ordinal) -> Option<&Held> {
        self.log.get(ordinal)
    }

    pub(crate) fn held_mut(&mut self, ordinal: Ordinal) -> Option<&mut Held> {
        self.log.get_mut(ordinal)
    }

    pub(crate) fn picture(&self, ordinal: Ordinal, held: &Held) -> HeldSegment {
        let Held { segment, phase, live_bytes } = *held;
        HeldSegment { segment, base: ordinal.base(self.segment_bytes), state: phase.into(), live_bytes }
    }

    fn held_count(&self) -> u32 {
        u32::try_from(self.log.len()).expect("no more held segments than slots")
    }

    fn freed_count(&self) -> u32 {
        let free = u32::try_from(self.free.len()).expect("no more free slots than slots");
        self.slot_count() - self.held_count() - free
    }
}

/// The place of a slot in the table of slots.
pub(crate) fn index(segment: SegmentId) -> usize {
    segment.get() as usize
}
