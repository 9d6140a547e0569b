//! Rebuilding the accountant from claims: what is accepted, and what is refused with which place.

use esker_format::{Lsn, SegmentId};

use super::{BYTES, base, segment_bytes, slot};
use crate::{Accountant, RecoverError, RecoveredLog, SegmentState};

fn log(slot_count: u32, floor: u64, tip: u64) -> RecoveredLog<'static> {
    let (floor, tip) = (Lsn::new(floor), Lsn::new(tip));
    RecoveredLog { segment_bytes: segment_bytes(), slot_count, floor, tip, holes: &[] }
}

fn claims(claims: &[(u32, u64)]) -> Vec<(SegmentId, Lsn)> {
    claims.iter().map(|&(segment, n)| (slot(segment), base(n))).collect()
}

#[test]
fn recovered_log_goes_on_where_it_stopped() {
    // Slot 1 holds an older life, slot 3 something beyond the tip.
    let found = claims(&[(2, 5), (0, 6), (1, 2), (3, 7), (4, 4)]);
    let mut accountant = Accountant::recover(log(6, 4 * BYTES + 9, 6 * BYTES + 100), found).unwrap();
    let held: Vec<_> = accountant.segments().map(|held| (held.segment.get(), held.base, held.state)).collect();
    let expected = [
        (4, base(4), SegmentState::Inactive),
        (2, base(5), SegmentState::Inactive),
        (0, base(6), SegmentState::Active),
    ];
    assert_eq!(held, expected);
    assert_eq!(accountant.locate(base(5) + 3).unwrap().get(), 2 * BYTES + 3);
    for free in [1, 3, 5] {
        assert_eq!(accountant.state(slot(free)), Some(SegmentState::Free));
    }
    let next = accountant.allocate(base(7)).unwrap();
    assert_eq!((next.segment, next.reused), (slot(1), true));
}

#[test]
fn tip_at_a_segment_boundary_leaves_no_active_segment() {
    let accountant = Accountant::recover(log(2, 0, 2 * BYTES), claims(&[(0, 0), (1, 1)])).unwrap();
    assert_eq!(accountant.stats().active, 0);
    assert_eq!(accountant.next_base(), base(2));
}

#[test]
fn what_begins_at_the_tip_was_cut_and_may_be_claimed_twice() {
    let found = claims(&[(0, 0), (1, 1), (2, 2), (3, 2)]);
    let accountant = Accountant::recover(log(4, 0, 2 * BYTES), found).unwrap();
    assert_eq!((accountant.stats().free, accountant.next_base()), (2, base(2)));
}

#[test]
fn recovered_tip_counts_as_stable() {
    let tip = BYTES + 200;
    let mut accountant = Accountant::recover(log(2, 0, tip), claims(&[(0, 0), (1, 1)])).unwrap();
    accountant.drain(base(0)).unwrap();
    let freed = accountant.free(base(0), Lsn::new(tip)).unwrap();
    assert_eq!(accountant.release(freed.ticket), Ok(SegmentState::Free));
}

#[test]
fn empty_file_recovers_to_a_new_accountant() {
    assert_eq!(Accountant::recover(log(0, 0, 0), []), Ok(Accountant::new(segment_bytes())));
}

#[test]
fn slots_of_a_truncated_log_are_free_at_once() {
    let accountant = Accountant::recover(log(2, 2 * BYTES, 2 * BYTES), claims(&[(0, 0), (1, 1)])).unwrap();
    assert_eq!((accountant.stats().free, accountant.next_base()), (2, base(2)));
    assert_eq!(accountant.trailing_free(), 2);
}

#[test]
fn two_lives_of_a_dead_base_do_not_matter() {
    let found = claims(&[(0, 1), (1, 1), (2, 3), (3, 9), (4, 9)]);
    let accountant = Accountant::recover(log(5, 3 * BYTES, 3 * BYTES + 64), found).unwrap();
    assert_eq!((accountant.stats().free, accountant.stats().active), (4, 1));
}

#[test]
fn declared_holes_are_no_gaps() {
    let holes = [base(2), base(0), base(3)];
    let recovered = RecoveredLog { holes: &holes, ..log(4, BYTES, 5 * BYTES) };
    // Slot 3 still has the header of the hole at 2.
    let accountant = Accountant::recover(recovered, claims(&[(0, 1), (1, 4), (3, 2)])).unwrap();
    let bases: Vec<_> = accountant.segments().map(|held| held.base).collect();
    assert_eq!(bases, [base(1), base(4)]);
    assert_eq!(accountant.stats().free, 2);
    assert_eq!(accountant.locate(base(3)), None);
}

#[test]
fn hole_at_the_floor_moves_the_beginning() {
    let holes = [base(0)];
    let recovered = RecoveredLog { holes: &holes, ..log(1, 0, 2 * BYTES) };
    let accountant = Accountant::recover(recovered, claims(&[(0, 1)])).unwrap();
    assert_eq!(accountant.first_base(), Some(base(1)));
}

#[test]
fn bad_claims_are_refused_with_their_place() {
    #[track_caller]
    fn check(log: RecoveredLog<'_>, found: &[(u32, Lsn)], expected: RecoverError) {
        let found = found.iter().map(|&(segment, base)| (slot(segment), base));
        assert_eq!(Accountant::recover(log, found), Err(expected));
    }
    let (floor, tip) = (Lsn::new(5), Lsn::new(4));
    check(log(1, 5, 4), &[], RecoverError::FloorBeyondTip { floor, tip });
    check(log(1, 0, 64), &[(1, base(0))], RecoverError::SlotBeyondFile { segment: slot(1), slot_count: 1 });
    check(
        log(1, 0, 64),
        &[(0, Lsn::new(64))],
        RecoverError::Misaligned { segment: slot(0), base: Lsn::new(64), segment_bytes: segment_bytes() },
    );
    check(
        log(2, 0, 64),
        &[(0, base(1)), (0, base(0))],
        RecoverError::SlotTwice { segment: slot(0), first: base(0), second: base(1) },
    );
    check(
        log(3, 0, 64),
        &[(2, base(0)), (1, base(0))],
        RecoverError::BaseTwice { base: base(0), first: slot(1), second: slot(2) },
    );
    check(log(3, 0, 2 * BYTES + 1), &[(0, base(0)), (1, base(2))], RecoverError::Missing { base: base(1) });
    check(log(1, 0, 1), &[], RecoverError::Missing { base: base(0) });
    // However far the tip is claimed to be, the first gap ends the search.
    check(log(1, 0, u64::MAX - BYTES), &[(0, base(0))], RecoverError::Missing { base: base(1) });
    check(log(1, 0, u64::MAX), &[], RecoverError::LsnExhausted { tip: Lsn::new(u64::MAX) });
    let tip = Lsn::new(BYTES + 64);
    for hole in [base(1), Lsn::new(7)] {
        let recovered = RecoveredLog { holes: &[hole], ..log(2, 0, tip.get()) };
        check(recovered, &[(0, base(0)), (1, base(1))], RecoverError::BadHole { base: hole, tip });
    }
}

#[test]
fn end_of_all_lsns_is_refused_not_overflowed() {
    let last = Lsn::new(u64::MAX).segment_base(segment_bytes());
    let mut accountant = Accountant::recover(log(0, last.get(), last.get()), []).unwrap();
    assert_eq!(accountant.next_base(), last);
    assert_eq!(accountant.allocate(last), Err(crate::AllocateError::LsnExhausted { base: last }));
}
