//! What the engine does when the storage or the source fails.

use std::{io::ErrorKind, thread};

use esker_format::{Lsn, MessageKind};

use super::support::Bench;
use crate::{EngineError, IoAction};

fn poisoned_by(error: &EngineError) -> IoAction {
    match error {
        EngineError::Poisoned(poison) => poison.action,
        other => panic!("not poisoned: {other}"),
    }
}

#[test]
fn a_failed_sync_stops_the_engine_for_good() {
    let bench = Bench::new(1024, 2, 4096, 0);
    let before = bench.append(b"before");
    bench.engine.make_stable(before).unwrap();
    let stable = bench.engine.stable();
    bench.file.fail_syncs(ErrorKind::Other, 1);
    let lsn = bench.append(b"lost");
    assert_eq!(poisoned_by(&bench.engine.make_stable(lsn).unwrap_err()), IoAction::Sync);
    // The device works again; the engine knows better.
    assert_eq!(poisoned_by(&bench.engine.make_stable(lsn).unwrap_err()), IoAction::Sync);
    assert_eq!(poisoned_by(&bench.engine.flush().unwrap_err()), IoAction::Sync);
    assert_eq!(poisoned_by(&bench.engine.reserve(MessageKind::Inline, 1).unwrap_err()), IoAction::Sync);
    assert_eq!(bench.engine.stable(), stable);
    // What was acknowledged stays acknowledged.
    assert_eq!(bench.engine.make_stable(before).unwrap(), stable);
}

#[test]
fn a_failed_write_stops_the_engine_for_good() {
    let bench = Bench::new(256, 2, 4096, 0);
    bench.file.fail_writes(ErrorKind::Other, 1);
    let lsn = bench.append(&[1; 100]);
    assert_eq!(poisoned_by(&bench.engine.make_stable(lsn).unwrap_err()), IoAction::Write);
    assert_eq!(poisoned_by(&bench.engine.write_out().unwrap_err()), IoAction::Write);
    assert_eq!(bench.engine.stable(), Lsn::ZERO);
    assert_eq!(bench.engine.poison().unwrap().action, IoAction::Write);
}

#[test]
fn an_error_wakes_everybody_who_waits() {
    for kind in [IoAction::Write, IoAction::Sync] {
        for round in 0..30 {
            let bench = Bench::new(512, 2, 1 << 16, 0);
            let outcomes: Vec<_> = thread::scope(|scope| {
                let threads: Vec<_> = (0..6u64)
                    .map(|thread| {
                        let bench = &bench;
                        scope.spawn(move || {
                            for i in 0u64.. {
                                if thread == 0 && i == round {
                                    match kind {
                                        IoAction::Write => bench.file.fail_writes(ErrorKind::Other, 1),
                                        IoAction::Sync => bench.file.fail_syncs(ErrorKind::Other, 1),
                                    }
                                }
                                let mut reservation = match bench.engine.reserve(MessageKind::Inline, 50) {
                                    Ok(reservation) => reservation,
                                    Err(error) => return poisoned_by(&error),
                                };
                                reservation.payload_mut().fill(thread as u8);
                                let lsn = reservation.complete();
                                if let Err(error) = bench.engine.make_stable(lsn) {
                                    return poisoned_by(&error);
                                }
                            }
                            unreachable!("the storage fails sooner or later")
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(outcomes, vec![kind; 6]);
            bench.messages(&bench.file.synced(), bench.engine.stable());
        }
    }
}

#[test]
fn a_full_source_is_an_error_to_the_caller_and_nothing_is_lost() {
    let bench = Bench::new(1024, 2, 4096, 0);
    let mut wanted = vec![bench.append(b"first")];
    bench.source.set_full(true);
    let error = loop {
        match bench.engine.reserve(MessageKind::Inline, 700) {
            Ok(reservation) => wanted.push(reservation.complete()),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, EngineError::NoSpace { at, .. } if at == Lsn::new(4096)), "{error}");
    // A shorter message still fits the open buffer, and what is there can be made stable.
    wanted.push(bench.append(b"short"));
    let stable = bench.engine.make_stable(*wanted.last().unwrap()).unwrap();
    assert!(stable > *wanted.last().unwrap());
    bench.source.set_full(false);
    wanted.push(bench.append(&[1; 700]));
    let end = bench.engine.flush().unwrap();
    let found: Vec<_> = bench
        .messages(&bench.file.synced(), end)
        .into_iter()
        .filter(|(_, kind, _)| *kind == MessageKind::Inline)
        .map(|(lsn, ..)| lsn)
        .collect();
    assert_eq!(found, wanted);
}

#[test]
fn what_fills_its_segment_exactly_becomes_stable_although_there_is_no_other() {
    // Two buffers of half a segment, each filled to the last byte.
    let bench = Bench::new(2048, 2, 4096, 0);
    bench.append(&[1; 1024 - 64 - 24]);
    bench.append(&[2; 1024 - 24]);
    bench.append(&[3; 1024 - 24]);
    let last = bench.append(&[4; 1024 - 24]);
    bench.source.set_full(true);
    assert_eq!(bench.engine.make_stable(last).unwrap(), Lsn::new(4096));
    assert_eq!(bench.engine.reserved(), Lsn::new(4096));
    let error = bench.engine.reserve(MessageKind::Inline, 0).unwrap_err();
    assert!(matches!(error, EngineError::NoSpace { at, .. } if at == Lsn::new(4096)), "{error}");
    bench.source.set_full(false);
    assert_eq!(bench.append(b"goes on"), Lsn::new(4096 + 64));
    let end = bench.engine.flush().unwrap();
    assert_eq!(bench.messages(&bench.file.synced(), end).len(), 5);
}

#[test]
fn a_write_to_a_full_storage_is_kept_and_tried_again() {
    let bench = Bench::new(256, 2, 4096, 0);
    let first = bench.append(&[1; 100]);
    // The one that seals the buffer tries once and, since it waits for it, once more; the second call tries once.
    bench.file.fail_writes(ErrorKind::StorageFull, 3);
    for _ in 0..2 {
        let error = bench.engine.make_stable(first).unwrap_err();
        assert!(matches!(error, EngineError::NoSpace { at: Lsn::ZERO, .. }), "{error}");
    }
    assert!(bench.engine.poison().is_none());
    let second = bench.append(&[2; 50]);
    assert!(bench.engine.make_stable(second).unwrap() > second);
    let found = bench.messages(&bench.file.synced(), bench.engine.stable());
    assert_eq!(found.iter().map(|(lsn, ..)| *lsn).collect::<Vec<_>>(), [first, second]);
    assert_eq!(bench.engine.stats().no_space_writes, 3);
}

#[test]
fn appending_to_a_full_ring_on_a_full_storage_is_an_error_and_not_a_wait() {
    let bench = Bench::new(256, 2, 4096, 0);
    bench.file.fail_writes(ErrorKind::StorageFull, u32::MAX);
    let mut appended = 0;
    let error = loop {
        match bench.engine.reserve(MessageKind::Inline, 60) {
            Ok(reservation) => drop(reservation.complete()),
            Err(error) => break error,
        }
        appended += 1;
    };
    assert!(matches!(error, EngineError::NoSpace { .. }), "{error}");
    assert!(appended > 1);
    bench.file.fail_writes(ErrorKind::StorageFull, 0);
    bench.append(&[9; 60]);
    let end = bench.engine.flush().unwrap();
    let found = bench.messages(&bench.file.synced(), end);
    assert_eq!(found.iter().filter(|(_, kind, _)| *kind == MessageKind::Inline).count(), appended + 1);
}

#[test]
fn a_full_storage_under_many_writers_loses_nothing_when_there_is_room_again() {
    for _ in 0..20 {
        let bench = Bench::new(512, 2, 1 << 16, 0);
        thread::scope(|scope| {
            for thread in 0..4u8 {
                let bench = &bench;
                scope.spawn(move || {
                    for i in 0..50u8 {
                        if thread == 0 && i % 10 == 5 {
                            bench.file.fail_writes(ErrorKind::StorageFull, 3);
                        }
                        let lsn = loop {
                            match bench.engine.reserve(MessageKind::Inline, 40) {
                                Ok(reservation) => break reservation.complete(),
                                Err(EngineError::NoSpace { .. }) => thread::yield_now(),
                                Err(other) => panic!("{other}"),
                            }
                        };
                        while let Err(error) = bench.engine.make_stable(lsn) {
                            assert!(matches!(error, EngineError::NoSpace { .. }), "{error}");
                        }
                    }
                });
            }
        });
        let end = bench.engine.stable();
        assert_eq!(bench.messages(&bench.file.synced(), end).len(), 200);
    }
}

#[test]
fn a_storage_that_panics_stops_the_engine_and_nobody_waits() {
    for written_before in [false, true] {
        let bench = Bench::new(512, 2, 1 << 16, 0);
        let lsn = bench.append(b"something");
        if written_before {
            bench.engine.write_out().unwrap();
        }
        bench.file.panic_from_now_on();
        let panicked = thread::scope(|scope| scope.spawn(|| bench.engine.make_stable(lsn)).join());
        assert!(panicked.is_err());
        let action = if written_before { IoAction::Sync } else { IoAction::Write };
        assert_eq!(poisoned_by(&bench.engine.make_stable(lsn).unwrap_err()), action);
        assert_eq!(poisoned_by(&bench.engine.reserve(MessageKind::Inline, 1).unwrap_err()), action);
    }
}
