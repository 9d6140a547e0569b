//! Freeing segments, and the two gates before their slots are written again.
//!
//! Owns the way from held to Freed to Free and upholds S3. Refuses to decide that readers are gone: it hands out a
//! ticket for every slot and waits for it.

use esker_format::{Lsn, SegmentId};

use crate::accountant::index;
use crate::slot::{Freed, Held, Ordinal, Phase, Slot};
use crate::{AccountError, Accountant, SegmentState};

/// For tests that are to notice that a gate is missing.
const IS_OPEN_A: bool = cfg!(any(esker_sabotage = "reuse_gate", esker_sabotage = "gate_a"));
const IS_OPEN_B: bool = cfg!(any(esker_sabotage = "reuse_gate", esker_sabotage = "gate_b"));

/// A segment that left the table.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FreedSegment {
    /// The slot that will be reused.
    pub segment: SegmentId,
    /// The LSN of the first byte it held.
    pub base: Lsn,
    /// To be handed back when no reader can hold an offset into the slot any more.
    pub ticket: ReuseTicket,
}

/// The right to say that nobody reads a freed slot any more (gate B).
///
/// There is one for each time a slot is freed; it cannot be copied or made up. A ticket that is dropped leaves its slot
/// unused until the file is opened again, which costs space and nothing else.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the slot is not reused until its ticket is released"]
pub struct ReuseTicket {
    segment: SegmentId,
    life: u64,
}

/// What gate A of a freed slot waits for.
#[derive(Debug, Clone, Copy)]
enum Durable {
    Floor(Lsn),
    Stable(Lsn),
    /// The caller's word, for the segment of this base.
    Said(Lsn),
}

impl Accountant {
    /// Frees the oldest segments that lie wholly below `floor`, as far as they are Inactive or Draining; an Active one
    /// ends the run, and another call with the same floor can free it later. What was live in them is not any more.
    ///
    /// From here on [`Accountant::locate`] does not find them. Each slot becomes Free when
    /// [`Accountant::mark_floor_durable`] has reached its end (gate A) and its ticket was released (gate B). Gate A
    /// takes a durable floor as the promise that recovery needs nothing below it; so an owner that moved records out
    /// of the way writes the floor down only when their copies are stable.
    pub fn free_before(&mut self, floor: Lsn) -> Vec<FreedSegment> {
        let mut freed = Vec::new();
        while let Some((ordinal, held)) = self.log.first()
            && held.phase != Phase::Active
            && self.end_of(ordinal) <= floor
        {
            let gate = Durable::Floor(self.end_of(ordinal));
            freed.push(self.leave(ordinal, gate).expect("the segment was found held just now"));
        }
        freed
    }

    /// Frees one Draining segment that has nothing live left, wherever in the log it is. It is named by its base.
    ///
    /// Gate A opens when the log is stable up to `durable_at`: the end of the last record that recovery needs in
    /// order to do without this segment, be it a moved copy or the note that the segment is gone.
    ///
    /// # Errors
    ///
    /// [`AccountError::NotHeld`] if no held segment begins there; [`AccountError::WrongState`] unless it is Draining;
    /// [`AccountError::StillLive`] unless it is empty.
    pub fn free(&mut self, base: Lsn, durable_at: Lsn) -> Result<FreedSegment, AccountError> {
        let ordinal = self.ordinal_of_base(base)?;
        let held = *self.held(ordinal).ok_or(AccountError::NotHeld { lsn: base })?;
        if held.phase != Phase::Draining {
            let found = held.phase.into();
            return Err(AccountError::WrongState { base, expected: SegmentState::Draining, found });
        }
        if held.live_bytes != 0 {
            return Err(AccountError::StillLive { base, live_bytes: held.live_bytes });
        }
        Ok(self.leave(ordinal, Durable::Stable(durable_at)).expect("the segment was found held above"))
    }

    /// Frees one segment that is Inactive or Draining, wherever in the log it is and whatever was counted as live in it, and
    /// leaves gate A to [`mark_durable`](Accountant::mark_durable). It is named by its base. For owners that commit several
    /// streams together, so that no single stable LSN says it all.
    ///
    /// # Errors
    ///
    /// [`AccountError::NotHeld`] if no held segment begins there; [`AccountError::WrongState`] if it is Active.
    pub fn retire(&mut self, base: Lsn) -> Result<FreedSegment, AccountError> {
        let ordinal = self.ordinal_of_base(base)?;
        let held = self.held(ordinal).ok_or(AccountError::NotHeld { lsn: base })?;
        if held.phase == Phase::Active {
            let found = held.phase.into();
            return Err(AccountError::WrongState { base, expected: SegmentState::Inactive, found });
        }
        Ok(self.leave(ordinal, Durable::Said(base)).expect("the segment was found held above"))
    }

    /// Gate A of segments that were [retired](Accountant::retire): recovery from any crash that may come does without them.
    /// Returns how many slots became Free by this.
    ///
    /// # Errors
    ///
    /// [`AccountError::NotHeld`] for a base that was not retired, or whose gate is open already. Nothing has changed then.
    pub fn mark_durable(&mut self, bases: &[Lsn]) -> Result<u32, AccountError> {
        if IS_OPEN_A {
            return Ok(0);
        }
        if let Some(&lsn) = bases.iter().find(|base| !self.awaiting_word.contains_key(base)) {
            return Err(AccountError::NotHeld { lsn });
        }
        let mut became_free = 0;
        for base in bases {
            if let Some(segment) = self.awaiting_word.remove(base) {
                became_free += u32::from(self.pass_durable(segment));
            }
        }
        Ok(became_free)
    }

    /// Notes that a truncation floor is on stable storage, so that recovery from any crash will not look below it:
    /// slots freed below it pass gate A. A smaller floor than before has no effect. Returns how many slots became
    /// Free by this.
    pub fn mark_floor_durable(&mut self, floor: Lsn) -> u32 {
        self.floor_durable = self.floor_durable.max(floor);
        let mut became_free = 0;
        while let Some(&(needed, segment)) = self.awaiting_floor.first() {
            if needed > self.floor_durable {
                break;
            }
            self.awaiting_floor.pop_first();
            became_free += u32::from(self.pass_durable(segment));
        }
        became_free
    }

    /// Gate B: no reader can hold an offset into the ticket's slot any more. Returns the slot's state: `Free` if gate A
    /// was open already, else `Freed`.
    ///
    /// # Errors
    ///
    /// [`AccountError::UnknownTicket`] if another accountant issued the ticket.
    pub fn release(&mut self, ticket: ReuseTicket) -> Result<SegmentState, AccountError> {
        let ReuseTicket { segment, life } = ticket;
        if IS_OPEN_B {
            // The slot went free at once and may be anything by now.
            return Ok(SegmentState::Free);
        }
        match self.slots.get_mut(index(segment)) {
            Some(Slot::Freed(freed)) if freed.life == life && !freed.unread => freed.unread = true,
            _ => return Err(AccountError::UnknownTicket { segment }),
        }
        Ok(if self.free_if_open(segment) { SegmentState::Free } else { SegmentState::Freed })
    }

    /// The stable LSN has risen: slots that waited for it pass gate A.
    pub(crate) fn open_gate_of_stable(&mut self) {
        while let Some(&(needed, segment)) = self.awaiting_stable.first() {
            if needed > self.stable {
                break;
            }
            self.awaiting_stable.pop_first();
            self.pass_durable(segment);
        }
    }

    /// Takes a held segment out of the table and puts its slot behind its gates. `None` if there is none.
    fn leave(&mut self, ordinal: Ordinal, gate: Durable) -> Option<FreedSegment> {
        let Held { segment, phase, live_bytes } = self.log.remove(ordinal)?;
        assert_ne!(phase, Phase::Active, "an Active segment at {ordinal:?} is not freed");
        self.live_bytes -= live_bytes;
        self.draining -= u32::from(phase == Phase::Draining);

        let life = self.lives;
        self.lives += 1;
        let is_durable = match gate {
            Durable::Floor(needed) => needed <= self.floor_durable,
            Durable::Stable(needed) => needed <= self.stable,
            Durable::Said(_) => false,
        };
        let durable = is_durable || IS_OPEN_A;
        self.slots[index(segment)] = Slot::Freed(Freed { life, durable, unread: IS_OPEN_B });
        if !self.free_if_open(segment) && !durable {
            match gate {
                Durable::Floor(needed) => drop(self.awaiting_floor.insert((needed, segment))),
                Durable::Stable(needed) => drop(self.awaiting_stable.insert((needed, segment))),
                Durable::Said(base) => drop(self.awaiting_word.insert(base, segment)),
            }
        }
        let ticket = ReuseTicket { segment, life };
        Some(FreedSegment { segment, base: ordinal.base(self.segment_bytes), ticket })
    }

    /// Gate A of one slot. Returns whether the slot is Free now.
    fn pass_durable(&mut self, segment: SegmentId) -> bool {
        match &mut self.slots[index(segment)] {
            Slot::Freed(freed) if !freed.durable => freed.durable = true,
            other => unreachable!("slot {segment} awaits gate A but is {other:?}"),
        }
        self.free_if_open(segment)
    }

    /// S3: the only way from Freed to Free.
    fn free_if_open(&mut self, segment: SegmentId) -> bool {
        let slot = &mut self.slots[index(segment)];
        let open = matches!(slot, Slot::Freed(Freed { durable: true, unread: true, .. }));
        if open {
            *slot = Slot::Free;
            self.free.insert(segment);
        }
        open
    }
}
