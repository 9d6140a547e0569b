//! Random operation sequences on the accountant and on a plain model, which must agree after every step.
//!
//! The model keeps one list of slots and searches it from end to end; it shares no table, count or shortcut with the
//! accountant.

use esker_format::{Lsn, SEGMENT_HEADER_BYTES};
use proptest::prelude::*;
use proptest::sample::Index;

use super::{BYTES, segment_bytes, slot};
use crate::{AccountError, Accountant, AllocateError, Allocation, RecoveredLog, ReuseTicket, SegmentState, Stats};

const CAPACITY: u64 = BYTES - SEGMENT_HEADER_BYTES as u64;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Use {
    Free,
    Held { base: u64, state: SegmentState, live: u64 },
    Freed { base: u64, needs_floor: u64, needs_stable: u64, needs_word: bool, unread: bool },
}

#[derive(Debug, Clone)]
struct Model {
    slots: Vec<Use>,
    slots_max: u32,
    next: u64,
    stable: u64,
    floor_durable: u64,
}

impl Model {
    fn held(&self) -> Vec<(usize, u64, SegmentState, u64)> {
        let mut held: Vec<_> = self.slots.iter().enumerate().filter_map(as_held).collect();
        held.sort_by_key(|&(_, base, ..)| base);
        held
    }

    fn find(&self, lsn: u64) -> Option<(usize, u64, SegmentState, u64)> {
        self.held().into_iter().find(|&(_, base, ..)| base <= lsn && lsn < base + BYTES)
    }

    fn count(&self, wanted: SegmentState) -> u32 {
        self.slots.iter().filter(|slot| state_of(slot) == wanted).count() as u32
    }

    /// S3, as a sweep over all slots.
    fn sweep(&mut self) {
        for slot in &mut self.slots {
            if let Use::Freed { needs_floor, needs_stable, needs_word: false, unread: true, .. } = *slot
                && needs_floor <= self.floor_durable
                && needs_stable <= self.stable
            {
                *slot = Use::Free;
            }
        }
    }

    fn trailing_free(&self) -> u32 {
        self.slots.iter().rev().take_while(|slot| **slot == Use::Free).count() as u32
    }

    fn stats(&self) -> Stats {
        let live = self.held().iter().map(|&(.., live)| live).sum();
        Stats {
            slots: self.slots.len() as u32,
            free: self.count(SegmentState::Free),
            active: self.count(SegmentState::Active),
            inactive: self.count(SegmentState::Inactive),
            draining: self.count(SegmentState::Draining),
            freed: self.count(SegmentState::Freed),
            live_bytes: live,
            capacity_bytes: self.held().len() as u64 * CAPACITY,
            file_bytes: self.slots.len() as u64 * BYTES,
        }
    }
}

fn as_held((at, slot): (usize, &Use)) -> Option<(usize, u64, SegmentState, u64)> {
    match *slot {
        Use::Held { base, state, live } => Some((at, base, state, live)),
        _ => None,
    }
}

fn as_waiting_for_word(slot: &Use) -> Option<u64> {
    match *slot {
        Use::Freed { base, needs_word: true, .. } => Some(base),
        _ => None,
    }
}

fn state_of(slot: &Use) -> SegmentState {
    match slot {
        Use::Free => SegmentState::Free,
        Use::Held { state, .. } => *state,
        Use::Freed { .. } => SegmentState::Freed,
    }
}

#[derive(Debug, Clone)]
enum Op {
    Allocate,
    AllocateAndTakeBack,
    AllocateNext,
    Deactivate(Index),
    DeactivateOne(Index),
    AddLive(Index, u64),
    RemoveLive(Index, u64),
    Drain(Index),
    FreeBefore(Index),
    Free(Index, u64),
    Retire(Index),
    Durable(Vec<Index>),
    FloorDurable(Index),
    Release(Index),
    Shrink(u32),
    Reopen(Index),
    ReopenStreams,
}

fn op() -> impl Strategy<Value = Op> {
    let bytes = || prop_oneof![0..600_u64, Just(CAPACITY), Just(u64::MAX)];
    prop_oneof![
        6 => Just(Op::Allocate),
        2 => Just(Op::AllocateNext),
        1 => Just(Op::AllocateAndTakeBack),
        5 => any::<Index>().prop_map(Op::Deactivate),
        3 => any::<Index>().prop_map(Op::DeactivateOne),
        3 => (any::<Index>(), bytes()).prop_map(|(at, bytes)| Op::AddLive(at, bytes)),
        3 => (any::<Index>(), bytes()).prop_map(|(at, bytes)| Op::RemoveLive(at, bytes)),
        3 => any::<Index>().prop_map(Op::Drain),
        3 => any::<Index>().prop_map(Op::FreeBefore),
        3 => (any::<Index>(), 0..3 * BYTES).prop_map(|(at, ahead)| Op::Free(at, ahead)),
        3 => any::<Index>().prop_map(Op::Retire),
        3 => prop::collection::vec(any::<Index>(), 0..3).prop_map(Op::Durable),
        3 => any::<Index>().prop_map(Op::FloorDurable),
        5 => any::<Index>().prop_map(Op::Release),
        1 => (0..4_u32).prop_map(Op::Shrink),
        1 => any::<Index>().prop_map(Op::Reopen),
        1 => Just(Op::ReopenStreams),
    ]
}

/// The pair under test, and the tickets that the caller still has.
struct Pair {
    accountant: Accountant,
    model: Model,
    tickets: Vec<(usize, ReuseTicket)>,
}

impl Pair {
    fn new(slots_max: u32) -> Self {
        let model = Model { slots: Vec::new(), slots_max, next: 0, stable: 0, floor_durable: 0 };
        let accountant = Accountant::new(segment_bytes()).with_slots_max(slots_max);
        Self { accountant, model, tickets: Vec::new() }
    }

    /// An LSN from below the log up to its end, and a little beyond.
    fn lsn(&self, index: Index) -> u64 {
        index.index((self.model.next + 2 * BYTES) as usize) as u64
    }

    fn apply(&mut self, op: &Op) {
        let before = self.accountant.clone();
        let refused = match *op {
            Op::Allocate => self.allocate(|accountant, base| accountant.allocate(base)),
            Op::AllocateNext => self.allocate(|accountant, _| accountant.allocate_next()),
            Op::AllocateAndTakeBack => self.allocate_and_take_back(),
            Op::Deactivate(index) => self.deactivate(index),
            Op::DeactivateOne(index) => self.deactivate_one(index),
            Op::AddLive(index, bytes) => self.add_live(index, bytes),
            Op::RemoveLive(index, bytes) => self.remove_live(index, bytes),
            Op::Drain(index) => self.drain(index),
            Op::FreeBefore(index) => self.free_before(index),
            Op::Free(index, ahead) => self.free(index, ahead),
            Op::Retire(index) => self.retire(index),
            Op::Durable(ref indices) => self.durable(indices),
            Op::FloorDurable(index) => self.floor_durable(index),
            Op::Release(index) => self.release(index),
            Op::Shrink(slots) => self.shrink(slots),
            Op::Reopen(index) => self.reopen(index),
            Op::ReopenStreams => self.reopen_streams(),
        };
        if refused {
            assert_eq!(self.accountant, before, "S6: {op:?} was refused");
        }
        self.compare();
    }

    fn allocate(&mut self, allocate: impl Fn(&mut Accountant, Lsn) -> Result<Allocation, AllocateError>) -> bool {
        let model = &mut self.model;
        let lowest = model.slots.iter().position(|slot| *slot == Use::Free);
        let base = Lsn::new(model.next);
        let result = allocate(&mut self.accountant, base);
        let at = match lowest {
            Some(at) => at,
            None if model.slots.len() < model.slots_max as usize => {
                model.slots.push(Use::Free);
                model.slots.len() - 1
            }
            None => {
                let (slots, waiting) = (model.slots.len() as u32, model.count(SegmentState::Freed));
                let expected = AllocateError::NoSpace { slots, slots_max: model.slots_max, waiting };
                assert_eq!(result, Err(expected));
                return true;
            }
        };
        let allocation = result.unwrap();
        assert_eq!(
            (allocation.segment.get() as usize, allocation.offset.get(), allocation.base, allocation.reused),
            (at, at as u64 * BYTES, base, lowest.is_some())
        );
        model.slots[at] = Use::Held { base: model.next, state: SegmentState::Active, live: 0 };
        model.next += BYTES;
        false
    }

    fn allocate_and_take_back(&mut self) -> bool {
        if let Ok(allocation) = self.accountant.allocate(Lsn::new(self.model.next)) {
            self.accountant.unallocate(allocation).unwrap();
        }
        true
    }

    fn deactivate(&mut self, index: Index) -> bool {
        let stable = self.lsn(index);
        let result = self.accountant.deactivate_below(Lsn::new(stable));
        if stable > self.model.next {
            let end = Lsn::new(self.model.next);
            assert_eq!(result, Err(AccountError::StableBeyondEnd { stable: Lsn::new(stable), end }));
            return true;
        }
        self.model.stable = self.model.stable.max(stable);
        let mut deactivated = 0;
        for slot in &mut self.model.slots {
            if let Use::Held { base, state, .. } = slot
                && *state == SegmentState::Active
                && *base + BYTES <= self.model.stable
            {
                *state = SegmentState::Inactive;
                deactivated += 1;
            }
        }
        self.model.sweep();
        assert_eq!(result, Ok(deactivated));
        false
    }

    fn deactivate_one(&mut self, index: Index) -> bool {
        let base = self.lsn(index) / BYTES * BYTES;
        let result = self.accountant.deactivate(Lsn::new(base));
        match self.model.find(base) {
            None => assert_eq!(result, Err(AccountError::NotHeld { lsn: Lsn::new(base) })),
            Some((at, base, SegmentState::Active, live)) => {
                assert_eq!(result, Ok(()));
                self.model.slots[at] = Use::Held { base, state: SegmentState::Inactive, live };
                return false;
            }
            Some((_, base, found, _)) => {
                let (base, expected) = (Lsn::new(base), SegmentState::Active);
                assert_eq!(result, Err(AccountError::WrongState { base, expected, found }));
            }
        }
        true
    }

    fn add_live(&mut self, index: Index, bytes: u64) -> bool {
        let lsn = self.lsn(index);
        let result = self.accountant.add_live(Lsn::new(lsn), bytes);
        let Some((at, base, state, live)) = self.model.find(lsn) else {
            assert_eq!(result, Err(AccountError::NotHeld { lsn: Lsn::new(lsn) }));
            return true;
        };
        if u128::from(live) + u128::from(bytes) > u128::from(CAPACITY) {
            assert!(matches!(result, Err(AccountError::LiveOverflow { .. })), "{result:?}");
            return true;
        }
        assert_eq!(result, Ok(()));
        self.model.slots[at] = Use::Held { base, state, live: live + bytes };
        false
    }

    fn remove_live(&mut self, index: Index, bytes: u64) -> bool {
        let lsn = self.lsn(index);
        // Half of the time all of it, or segments would seldom become empty.
        let all = self.model.find(lsn).map_or(bytes, |(.., live)| live);
        let bytes = if bytes.is_multiple_of(2) { all } else { bytes };
        let result = self.accountant.remove_live(Lsn::new(lsn), bytes);
        let Some((at, base, state, live)) = self.model.find(lsn) else {
            assert_eq!(result, Err(AccountError::NotHeld { lsn: Lsn::new(lsn) }));
            return true;
        };
        if bytes > live {
            let base = Lsn::new(base);
            assert_eq!(result, Err(AccountError::LiveUnderflow { base, live_bytes: live, removed_bytes: bytes }));
            return true;
        }
        assert_eq!(result, Ok(live - bytes));
        self.model.slots[at] = Use::Held { base, state, live: live - bytes };
        false
    }

    fn drain(&mut self, index: Index) -> bool {
        let base = self.lsn(index) / BYTES * BYTES;
        let result = self.accountant.drain(Lsn::new(base));
        match self.model.find(base) {
            None => assert_eq!(result, Err(AccountError::NotHeld { lsn: Lsn::new(base) })),
            Some((at, base, SegmentState::Inactive, live)) => {
                assert_eq!(result, Ok(()));
                self.model.slots[at] = Use::Held { base, state: SegmentState::Draining, live };
                return false;
            }
            Some((_, base, found, _)) => {
                let (base, expected) = (Lsn::new(base), SegmentState::Inactive);
                assert_eq!(result, Err(AccountError::WrongState { base, expected, found }));
            }
        }
        true
    }

    fn free_before(&mut self, index: Index) -> bool {
        let floor = self.lsn(index);
        let freed = self.accountant.free_before(Lsn::new(floor));
        let prefix = self.model.held().into_iter();
        let prefix = prefix.take_while(|&(_, base, state, _)| base + BYTES <= floor && state != SegmentState::Active);
        let prefix: Vec<_> = prefix.collect();
        assert_eq!(freed.len(), prefix.len());
        for (freed, (at, base, ..)) in freed.into_iter().zip(prefix) {
            assert_eq!((freed.segment.get() as usize, freed.base.get()), (at, base));
            self.tickets.push((at, freed.ticket));
            let needs_floor = base + BYTES;
            self.model.slots[at] = Use::Freed { base, needs_floor, needs_stable: 0, needs_word: false, unread: false };
        }
        false
    }

    fn free(&mut self, index: Index, ahead: u64) -> bool {
        let base = self.lsn(index) / BYTES * BYTES;
        let needs_stable = self.model.stable + ahead;
        let result = self.accountant.free(Lsn::new(base), Lsn::new(needs_stable));
        match self.model.find(base) {
            None => assert_eq!(result, Err(AccountError::NotHeld { lsn: Lsn::new(base) })),
            Some((at, base, SegmentState::Draining, 0)) => {
                let freed = result.unwrap();
                assert_eq!((freed.segment.get() as usize, freed.base.get()), (at, base));
                self.tickets.push((at, freed.ticket));
                self.model.slots[at] =
                    Use::Freed { base, needs_floor: 0, needs_stable, needs_word: false, unread: false };
                return false;
            }
            Some((_, base, SegmentState::Draining, live_bytes)) => {
                assert_eq!(result, Err(AccountError::StillLive { base: Lsn::new(base), live_bytes }));
            }
            Some((_, base, found, _)) => {
                let (base, expected) = (Lsn::new(base), SegmentState::Draining);
                assert_eq!(result, Err(AccountError::WrongState { base, expected, found }));
            }
        }
        true
    }

    fn retire(&mut self, index: Index) -> bool {
        let base = self.lsn(index) / BYTES * BYTES;
        let result = self.accountant.retire(Lsn::new(base));
        match self.model.find(base) {
            None => assert_eq!(result, Err(AccountError::NotHeld { lsn: Lsn::new(base) })),
            Some((_, base, found @ SegmentState::Active, _)) => {
                let (base, expected) = (Lsn::new(base), SegmentState::Inactive);
                assert_eq!(result, Err(AccountError::WrongState { base, expected, found }));
            }
            Some((at, base, ..)) => {
                let freed = result.unwrap();
                assert_eq!((freed.segment.get() as usize, freed.base.get()), (at, base));
                self.tickets.push((at, freed.ticket));
                self.model.slots[at] =
                    Use::Freed { base, needs_floor: 0, needs_stable: 0, needs_word: true, unread: false };
                return false;
            }
        }
        true
    }

    fn durable(&mut self, indices: &[Index]) -> bool {
        // Mostly what waits for the word, and now and then what does not.
        let waiting: Vec<u64> = self.model.slots.iter().filter_map(as_waiting_for_word).collect();
        let mut bases: Vec<u64> = indices
            .iter()
            .map(|index| match index.index(waiting.len() * 4 + 1) {
                0 => self.lsn(*index),
                at => waiting[at % waiting.len()],
            })
            .collect();
        bases.sort_unstable();
        bases.dedup();
        let said: Vec<Lsn> = bases.iter().map(|&base| Lsn::new(base)).collect();
        let result = self.accountant.mark_durable(&said);
        if let Some(&wrong) = bases.iter().find(|base| !waiting.contains(base)) {
            assert_eq!(result, Err(AccountError::NotHeld { lsn: Lsn::new(wrong) }));
            return true;
        }
        let free = self.model.count(SegmentState::Free);
        for slot in &mut self.model.slots {
            if let Use::Freed { base, needs_word, .. } = slot
                && bases.contains(base)
            {
                *needs_word = false;
            }
        }
        self.model.sweep();
        assert_eq!(result, Ok(self.model.count(SegmentState::Free) - free));
        false
    }

    fn floor_durable(&mut self, index: Index) -> bool {
        let floor = self.lsn(index);
        let free = self.model.count(SegmentState::Free);
        self.model.floor_durable = self.model.floor_durable.max(floor);
        self.model.sweep();
        let became_free = self.model.count(SegmentState::Free) - free;
        assert_eq!(self.accountant.mark_floor_durable(Lsn::new(floor)), became_free);
        false
    }

    fn release(&mut self, index: Index) -> bool {
        if self.tickets.is_empty() {
            return true;
        }
        let (at, ticket) = self.tickets.swap_remove(index.index(self.tickets.len()));
        match &mut self.model.slots[at] {
            Use::Freed { unread, .. } => *unread = true,
            other => panic!("a ticket for slot {at}, which is {other:?}"),
        }
        self.model.sweep();
        assert_eq!(self.accountant.release(ticket), Ok(state_of(&self.model.slots[at])));
        false
    }

    fn shrink(&mut self, slots: u32) -> bool {
        let free = self.model.trailing_free();
        let result = self.accountant.shrink(slots);
        if slots > free {
            assert_eq!(result, Err(AccountError::NotFree { slots, free }));
            return true;
        }
        self.model.slots.truncate(self.model.slots.len() - slots as usize);
        assert_eq!(result, Ok(self.model.slots.len() as u32));
        false
    }

    /// A crash: what is Active may lose its end, everything else is found again from the slots' claims.
    fn reopen(&mut self, index: Index) -> bool {
        let model = &mut self.model;
        let floor = model.held().first().map_or(model.next, |&(_, base, ..)| base);
        let tip_min = model.stable.max(floor);
        let tip = tip_min + index.index((model.next - tip_min) as usize + 1) as u64;
        // A log does not end in a segment that is gone.
        let tip = if model.find(tip).is_some() { tip } else { tip.next_multiple_of(BYTES) };
        let claims = model.slots.iter().enumerate().filter_map(|(at, slot)| match *slot {
            Use::Free => None,
            Use::Held { base, .. } | Use::Freed { base, .. } => Some((self::slot(at as u32), Lsn::new(base))),
        });
        // Holes are remembered by the owner's records; those in whose slots something else lives now, too.
        let held = model.held();
        let bases = (floor..tip / BYTES * BYTES).step_by(BYTES as usize);
        let holes = bases.filter(|base| held.iter().all(|&(_, held, ..)| held != *base));
        let holes: Vec<Lsn> = holes.map(Lsn::new).collect();
        let slot_count = model.slots.len() as u32;
        let segment_bytes = segment_bytes();
        let log = RecoveredLog { segment_bytes, slot_count, floor: Lsn::new(floor), tip: Lsn::new(tip), holes: &holes };
        self.accountant = Accountant::recover(log, claims).unwrap().with_slots_max(model.slots_max);

        self.tickets.clear();
        for slot in &mut model.slots {
            *slot = match *slot {
                Use::Held { base, .. } if base < tip => {
                    let whole = base + BYTES <= tip;
                    let state = if whole { SegmentState::Inactive } else { SegmentState::Active };
                    Use::Held { base, state, live: 0 }
                }
                _ => Use::Free,
            };
        }
        model.next = tip.div_ceil(BYTES) * BYTES;
        model.stable = tip;
        model.floor_durable = floor;
        false
    }

    /// A crash of several streams: the owner's records say which segments are held, and all of them are done with.
    fn reopen_streams(&mut self) -> bool {
        let model = &mut self.model;
        let held = model.held().into_iter().map(|(at, base, ..)| (slot(at as u32), Lsn::new(base)));
        let (slot_count, next) = (model.slots.len() as u32, Lsn::new(model.next));
        let accountant = Accountant::recover_streams(segment_bytes(), slot_count, next, held).unwrap();
        self.accountant = accountant.with_slots_max(model.slots_max);
        self.tickets.clear();
        for slot in &mut model.slots {
            *slot = match *slot {
                Use::Held { base, .. } => Use::Held { base, state: SegmentState::Inactive, live: 0 },
                _ => Use::Free,
            };
        }
        model.stable = 0;
        model.floor_durable = 0;
        false
    }

    fn compare(&self) {
        let Self { accountant, model, .. } = self;
        assert_eq!(accountant.stats(), model.stats());
        assert_eq!(accountant.next_base().get(), model.next);
        assert_eq!(accountant.trailing_free(), model.trailing_free());
        for (at, slot) in model.slots.iter().enumerate() {
            assert_eq!(accountant.state(self::slot(at as u32)), Some(state_of(slot)), "slot {at}");
        }
        assert_eq!(accountant.state(slot(model.slots.len() as u32)), None);
        let held = accountant.segments();
        let held = held.map(|held| (held.segment.get() as usize, held.base.get(), held.state, held.live_bytes));
        assert_eq!(held.collect::<Vec<_>>(), model.held());
        assert_eq!(accountant.first_base().map(Lsn::get), model.held().first().map(|&(_, base, ..)| base));
        for lsn in (0..model.next + 2 * BYTES).step_by(BYTES as usize).flat_map(|base| [base, base + BYTES - 1]) {
            let expected = model.find(lsn).map(|(at, base, ..)| at as u64 * BYTES + (lsn - base));
            assert_eq!(accountant.locate(Lsn::new(lsn)).map(|offset| offset.get()), expected, "lsn {lsn}");
            let segment = accountant.segment_of(Lsn::new(lsn)).map(|held| held.base.get());
            assert_eq!(segment, model.find(lsn).map(|(_, base, ..)| base));
        }
    }
}

/// A hundred and twenty thousand operations in an ordinary run; `PROPTEST_CASES=20000` makes it more than a million.
const CASES: u32 = 2000;

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(CASES), ..ProptestConfig::default() })]

    #[test]
    fn accountant_agrees_with_the_model(
        slots_max in prop_oneof![1..8_u32, Just(u32::MAX)],
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let mut pair = Pair::new(slots_max);
        for op in &ops {
            pair.apply(op);
        }
    }
}
