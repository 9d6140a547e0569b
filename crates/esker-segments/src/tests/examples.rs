//! Examples, each named for the rule it shows.

use esker_format::{Lsn, SEGMENT_HEADER_BYTES};

use super::{BYTES, base, filled, segment_bytes, slot};
use crate::{AccountError, Accountant, AllocateError, SegmentState};

#[test]
fn empty_file_grows_slot_by_slot() {
    let mut accountant = Accountant::new(segment_bytes());
    for n in 0..3 {
        let allocation = accountant.allocate(base(n)).unwrap();
        assert_eq!(allocation.segment.get(), n as u32);
        assert_eq!(allocation.offset.get(), n * BYTES);
        assert_eq!(allocation.base, base(n));
        assert!(!allocation.reused);
    }
    assert_eq!(accountant.slot_count(), 3);
    assert_eq!(accountant.stats().file_bytes, 3 * BYTES);
}

#[test]
fn out_of_order_allocation_is_refused_and_changes_nothing() {
    let mut accountant = filled(2);
    let before = accountant.clone();
    for wrong in [base(0), base(1), base(3), Lsn::new(2 * BYTES + 1), Lsn::new(u64::MAX)] {
        let refused = accountant.allocate(wrong);
        assert_eq!(refused, Err(AllocateError::OutOfOrder { base: wrong, expected: base(2) }));
    }
    assert_eq!(accountant, before);
}

#[test]
fn ceiling_stops_growth_and_tells_what_is_waiting() {
    let mut accountant = filled(2).with_slots_max(2);
    assert_eq!(accountant.slots_max(), 2);
    let refused = accountant.allocate(base(2));
    assert_eq!(refused, Err(AllocateError::NoSpace { slots: 2, slots_max: 2, waiting: 0 }));

    accountant.deactivate_below(base(1)).unwrap();
    let mut freed = accountant.free_before(base(1));
    let before = accountant.clone();
    let refused = accountant.allocate(base(2));
    assert_eq!(refused, Err(AllocateError::NoSpace { slots: 2, slots_max: 2, waiting: 1 }));
    assert_eq!(accountant, before);

    accountant.mark_floor_durable(base(1));
    accountant.release(freed.remove(0).ticket).unwrap();
    assert!(accountant.allocate(base(2)).unwrap().reused);
}

#[test]
fn states_are_printed_as_one_word() {
    let states =
        [SegmentState::Free, SegmentState::Active, SegmentState::Inactive, SegmentState::Draining, SegmentState::Freed];
    assert_eq!(states.map(|state| state.to_string()), ["free", "active", "inactive", "draining", "freed"]);
}

#[test]
fn ceiling_below_the_file_still_lets_its_slots_be_reused() {
    let mut accountant = filled(3).with_slots_max(1);
    accountant.deactivate_below(base(3)).unwrap();
    accountant.mark_floor_durable(base(3));
    for freed in accountant.free_before(base(3)) {
        accountant.release(freed.ticket).unwrap();
    }
    for n in 3..6 {
        assert!(accountant.allocate(base(n)).unwrap().reused);
    }
    assert!(matches!(accountant.allocate(base(6)), Err(AllocateError::NoSpace { .. })));
}

#[test]
fn unallocate_restores_what_was_before() {
    let mut growing = filled(1);
    let before = growing.clone();
    let allocation = growing.allocate(base(1)).unwrap();
    growing.unallocate(allocation).unwrap();
    assert_eq!(growing, before);

    let mut reusing = filled(2);
    reusing.deactivate_below(base(1)).unwrap();
    reusing.mark_floor_durable(base(1));
    let freed = reusing.free_before(base(1)).remove(0);
    reusing.release(freed.ticket).unwrap();
    let before = reusing.clone();
    let allocation = reusing.allocate(base(2)).unwrap();
    assert!(allocation.reused);
    reusing.unallocate(allocation).unwrap();
    assert_eq!(reusing, before);
}

#[test]
fn only_an_untouched_latest_allocation_can_be_taken_back() {
    let mut accountant = Accountant::new(segment_bytes());
    let first = accountant.allocate(base(0)).unwrap();
    let second = accountant.allocate(base(1)).unwrap();
    let refused = Err(AccountError::NotLatest { segment: first.segment, base: first.base });
    assert_eq!(accountant.unallocate(first), refused);

    let refused = Err(AccountError::NotLatest { segment: second.segment, base: second.base });
    accountant.add_live(base(1), 1).unwrap();
    assert_eq!(accountant.unallocate(second), refused);
    accountant.remove_live(base(1), 1).unwrap();

    accountant.deactivate_below(base(1) + 1).unwrap();
    assert_eq!(accountant.unallocate(second), refused);
}

#[test]
fn segments_are_deactivated_in_order_once_wholly_stable() {
    let mut accountant = filled(3);
    assert_eq!(accountant.deactivate_below(Lsn::new(BYTES - 1)), Ok(0));
    assert_eq!(accountant.deactivate_below(Lsn::new(BYTES)), Ok(1));
    assert_eq!(accountant.state(slot(0)), Some(SegmentState::Inactive));
    assert_eq!(accountant.state(slot(1)), Some(SegmentState::Active));
    assert_eq!(accountant.deactivate_below(Lsn::new(5)), Ok(0), "stable never goes back");
    assert_eq!(accountant.deactivate_below(base(3)), Ok(2));
    let beyond = AccountError::StableBeyondEnd { stable: base(3) + 1, end: base(3) };
    assert_eq!(accountant.deactivate_below(base(3) + 1), Err(beyond));
}

#[test]
fn locate_keeps_the_place_within_the_segment() {
    let mut accountant = filled(2);
    accountant.deactivate_below(base(1)).unwrap();
    accountant.mark_floor_durable(base(1));
    let freed = accountant.free_before(base(1)).remove(0);
    accountant.release(freed.ticket).unwrap();
    accountant.allocate(base(2)).unwrap();

    // Segment 2 of the log lies in slot 0 of the file.
    assert_eq!(accountant.locate(base(2)).unwrap().get(), 0);
    assert_eq!(accountant.locate(base(2) + (BYTES - 1)).unwrap().get(), BYTES - 1);
    assert_eq!(accountant.locate(base(1) + 77).unwrap().get(), BYTES + 77);
    for nowhere in [Lsn::ZERO, Lsn::new(BYTES - 1), base(3), Lsn::new(u64::MAX)] {
        assert_eq!(accountant.locate(nowhere), None, "{nowhere}");
    }
}

#[test]
fn slot_is_reused_only_after_both_gates_in_either_order() {
    for durable_first in [true, false] {
        let mut accountant = filled(1);
        accountant.deactivate_below(base(1)).unwrap();
        let freed = accountant.free_before(base(1)).remove(0);
        assert_eq!(accountant.state(slot(0)), Some(SegmentState::Freed));
        if durable_first {
            assert_eq!(accountant.mark_floor_durable(base(1)), 0);
            assert_eq!(accountant.state(slot(0)), Some(SegmentState::Freed));
            assert_eq!(accountant.release(freed.ticket), Ok(SegmentState::Free));
        } else {
            assert_eq!(accountant.release(freed.ticket), Ok(SegmentState::Freed));
            assert_eq!(accountant.state(slot(0)), Some(SegmentState::Freed));
            assert_eq!(accountant.mark_floor_durable(base(1)), 1);
        }
        assert_eq!(accountant.state(slot(0)), Some(SegmentState::Free));
    }
}

#[test]
fn floor_on_disk_opens_only_what_lies_wholly_below_it() {
    let mut accountant = filled(2);
    accountant.deactivate_below(base(2)).unwrap();
    for freed in accountant.free_before(base(2)) {
        accountant.release(freed.ticket).unwrap();
    }
    assert_eq!(accountant.mark_floor_durable(Lsn::new(2 * BYTES - 1)), 1);
    assert_eq!(accountant.state(slot(0)), Some(SegmentState::Free));
    assert_eq!(accountant.state(slot(1)), Some(SegmentState::Freed));
    assert_eq!(accountant.mark_floor_durable(base(2)), 1);
}

#[test]
fn active_segment_is_never_freed() {
    let mut accountant = filled(2);
    assert_eq!(accountant.free_before(base(2)), []);
    accountant.deactivate_below(base(1)).unwrap();
    let freed = accountant.free_before(Lsn::new(u64::MAX));
    assert_eq!(freed.len(), 1);
    assert_eq!(accountant.first_base(), Some(base(1)));
}

#[test]
fn segment_that_straddles_the_floor_stays() {
    let mut accountant = filled(3);
    accountant.deactivate_below(base(3)).unwrap();
    assert_eq!(accountant.free_before(Lsn::new(2 * BYTES - 1)).len(), 1);
    assert_eq!(accountant.first_base(), Some(base(1)));
}

#[test]
fn freeing_the_prefix_drops_its_live_bytes() {
    let mut accountant = filled(2);
    accountant.add_live(base(0) + 64, 100).unwrap();
    accountant.add_live(base(1) + 64, 11).unwrap();
    accountant.deactivate_below(base(1)).unwrap();
    accountant.free_before(base(1));
    assert_eq!(accountant.stats().live_bytes, 11);
    let gone = base(0) + 64;
    assert_eq!(accountant.remove_live(gone, 100), Err(AccountError::NotHeld { lsn: gone }));
}

#[test]
fn live_bytes_stay_between_zero_and_what_a_segment_holds() {
    let mut accountant = filled(1);
    let capacity_bytes = BYTES - SEGMENT_HEADER_BYTES as u64;
    accountant.add_live(base(0), capacity_bytes).unwrap();
    for added_bytes in [1, u64::MAX] {
        let overflow =
            AccountError::LiveOverflow { base: base(0), live_bytes: capacity_bytes, added_bytes, capacity_bytes };
        assert_eq!(accountant.add_live(base(0), added_bytes), Err(overflow));
    }
    assert_eq!(accountant.remove_live(base(0), capacity_bytes - 1), Ok(1));
    let underflow = AccountError::LiveUnderflow { base: base(0), live_bytes: 1, removed_bytes: 2 };
    assert_eq!(accountant.remove_live(base(0), 2), Err(underflow));
    assert_eq!(accountant.stats().live_bytes, 1);
}

#[test]
fn segment_in_the_middle_is_freed_when_drained_and_empty() {
    let mut accountant = filled(4);
    accountant.deactivate_below(base(3)).unwrap();
    accountant.add_live(base(1), 10).unwrap();
    let not_draining =
        AccountError::WrongState { base: base(1), expected: SegmentState::Draining, found: SegmentState::Inactive };
    assert_eq!(accountant.free(base(1), base(3)), Err(not_draining));
    accountant.drain(base(1)).unwrap();
    assert_eq!(accountant.free(base(1), base(3)), Err(AccountError::StillLive { base: base(1), live_bytes: 10 }));
    assert_eq!(accountant.remove_live(base(1), 10), Ok(0));

    let copied_to = base(3) + 200;
    let freed = accountant.free(base(1), copied_to).unwrap();
    assert_eq!((freed.segment, freed.base), (slot(1), base(1)));
    assert_eq!(accountant.locate(base(1)), None);
    assert!(accountant.locate(base(0)).is_some() && accountant.locate(base(2)).is_some());
    assert_eq!(accountant.release(freed.ticket), Ok(SegmentState::Freed));

    // A durable floor says nothing of the copies; their own stability does.
    accountant.mark_floor_durable(base(2));
    accountant.deactivate_below(Lsn::new(copied_to.get() - 1)).unwrap();
    assert_eq!(accountant.state(slot(1)), Some(SegmentState::Freed));
    accountant.deactivate_below(copied_to).unwrap();
    assert_eq!(accountant.state(slot(1)), Some(SegmentState::Free));

    // The prefix now runs over the hole.
    let bases: Vec<_> = accountant.free_before(base(3)).into_iter().map(|freed| freed.base).collect();
    assert_eq!(bases, [base(0), base(2)]);
    assert_eq!(accountant.first_base(), Some(base(3)));
}

#[test]
fn only_inactive_segments_can_be_drained() {
    let mut accountant = filled(2);
    accountant.deactivate_below(base(1)).unwrap();
    accountant.drain(base(0)).unwrap();
    for (n, found) in [(0, SegmentState::Draining), (1, SegmentState::Active)] {
        let refused = AccountError::WrongState { base: base(n), expected: SegmentState::Inactive, found };
        assert_eq!(accountant.drain(base(n)), Err(refused));
    }
    for nowhere in [base(2), base(0) + 1] {
        assert_eq!(accountant.drain(nowhere), Err(AccountError::NotHeld { lsn: nowhere }));
    }
}

#[test]
fn ticket_of_another_accountant_opens_nothing() {
    let mut one = filled(1);
    one.deactivate_below(base(1)).unwrap();
    let mut other = one.clone();
    let stranger = one.free_before(base(1)).remove(0).ticket;
    assert_eq!(other.release(stranger), Err(AccountError::UnknownTicket { segment: slot(0) }));
    assert_eq!(other.state(slot(0)), Some(SegmentState::Inactive));
}

#[test]
fn ticket_of_an_earlier_life_opens_nothing() {
    let mut one = filled(1);
    one.deactivate_below(base(1)).unwrap();
    one.mark_floor_durable(base(2));
    let mut other = one.clone();
    let early = one.free_before(base(1)).remove(0).ticket;

    let mut freed = other.free_before(base(1));
    other.release(freed.remove(0).ticket).unwrap();
    assert_eq!(other.allocate(base(1)).unwrap().segment, slot(0));
    other.deactivate_below(base(2)).unwrap();
    let _late = other.free_before(base(2));
    assert_eq!(other.release(early), Err(AccountError::UnknownTicket { segment: slot(0) }));
    assert_eq!(other.state(slot(0)), Some(SegmentState::Freed));
}

#[test]
fn dropped_ticket_costs_its_slot_and_nothing_else() {
    let mut accountant = filled(1);
    accountant.deactivate_below(base(1)).unwrap();
    accountant.mark_floor_durable(base(1));
    drop(accountant.free_before(base(1)));
    assert_eq!(accountant.allocate(base(1)).unwrap().segment, slot(1));
}

#[test]
fn free_slots_at_the_end_can_be_cut_off() {
    let mut accountant = filled(4);
    accountant.deactivate_below(base(4)).unwrap();
    accountant.mark_floor_durable(base(4));
    for freed in accountant.free_before(base(4)) {
        accountant.release(freed.ticket).unwrap();
    }
    assert_eq!(accountant.trailing_free(), 4);
    accountant.allocate(base(4)).unwrap();
    accountant.allocate(base(5)).unwrap();
    assert_eq!(accountant.trailing_free(), 2);
    assert_eq!(accountant.shrink(3), Err(AccountError::NotFree { slots: 3, free: 2 }));
    assert_eq!(accountant.shrink(1), Ok(3));
    assert_eq!(accountant.shrink(1), Ok(2));
    assert_eq!(accountant.shrink(0), Ok(2));
    assert_eq!(accountant.state(slot(2)), None);
    let next = accountant.allocate(base(6)).unwrap();
    assert_eq!((next.segment, next.reused), (slot(2), false));
}

#[test]
fn empty_log_still_knows_its_next_segment() {
    let mut accountant = filled(2);
    accountant.deactivate_below(base(2)).unwrap();
    assert_eq!(accountant.free_before(base(2)).len(), 2);
    assert_eq!(accountant.first_base(), None);
    assert_eq!(accountant.segments().count(), 0);
    assert_eq!(accountant.next_base(), base(2));
}

#[test]
fn stats_count_every_slot_once() {
    let mut accountant = filled(5);
    accountant.deactivate_below(base(4)).unwrap();
    accountant.mark_floor_durable(base(1));
    let mut freed = accountant.free_before(base(2));
    accountant.release(freed.remove(0).ticket).unwrap();
    accountant.drain(base(2)).unwrap();
    accountant.add_live(base(4), 30).unwrap();
    let stats = accountant.stats();
    assert_eq!(
        (stats.free, stats.freed, stats.draining, stats.inactive, stats.active, stats.held()),
        (1, 1, 1, 1, 1, 3)
    );
    assert_eq!(stats.slots, 5);
    assert_eq!(stats.live_bytes, 30);
    assert_eq!(stats.capacity_bytes, 3 * (BYTES - SEGMENT_HEADER_BYTES as u64));
}

#[cfg(esker_sabotage = "reuse_gate")]
#[test]
fn sabotaged_gate_reuses_at_once() {
    let mut accountant = filled(1);
    accountant.deactivate_below(base(1)).unwrap();
    let freed = accountant.free_before(base(1)).remove(0);
    let reused = accountant.allocate(base(1)).unwrap();
    assert_eq!(reused.segment, freed.segment);
    accountant.release(freed.ticket).unwrap();
}

#[test]
fn the_ceiling_may_be_moved() {
    let mut accountant = filled(0).with_slots_max(1);
    accountant.allocate(base(0)).unwrap();
    assert!(matches!(accountant.allocate(base(1)), Err(AllocateError::NoSpace { .. })));
    accountant.set_slots_max(2);
    assert_eq!(accountant.slots_max(), 2);
    accountant.allocate(base(1)).unwrap();
    // Below what there is, nothing is taken away.
    accountant.set_slots_max(1);
    assert_eq!(accountant.stats().slots, 2);
    assert!(matches!(accountant.allocate(base(2)), Err(AllocateError::NoSpace { .. })));
}
