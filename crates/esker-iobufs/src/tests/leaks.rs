//! Reservations that stay open for long, or are forgotten: what they stop and what they do not.

use std::{io::ErrorKind, thread};

use esker_format::{Lsn, MESSAGE_HEADER_BYTES, MessageKind};

use super::support::Bench;
use crate::{EngineError, Found, IoAction, sync};

const HEADER: u64 = MESSAGE_HEADER_BYTES as u64;

fn records(bench: &Bench, end: Lsn) -> Vec<(Lsn, Vec<u8>)> {
    let found = bench.messages(&bench.file.synced(), end).into_iter();
    found.filter(|(_, kind, _)| *kind == MessageKind::Inline).map(|(lsn, _, payload)| (lsn, payload)).collect()
}

/// Until somebody sleeps who waits for something to be written.
fn until_somebody_waits(bench: &Bench) {
    while sync::lock(&bench.engine.progress).sleepers == 0 {
        thread::yield_now();
    }
}

#[test]
fn what_was_completed_before_a_leak_becomes_stable() {
    let bench = Bench::new(1024, 4, 4096, 0);
    let (first, second) = (bench.append(b"first"), bench.append(b"second"));
    let leaked = bench.leak(10);
    bench.append(b"behind it");
    assert_eq!(bench.engine.make_stable(first).unwrap(), leaked);
    assert_eq!(bench.engine.make_stable(second).unwrap(), leaked);
    assert_eq!((bench.engine.written(), bench.engine.stable()), (leaked, leaked));
    assert_eq!(records(&bench, leaked), [(first, b"first".to_vec()), (second, b"second".to_vec())]);
    assert_eq!(bench.engine.stats().syncs, 1);
}

#[test]
fn a_leak_is_named() {
    let bench = Bench::new(1024, 4, 4096, 0);
    bench.append(b"first");
    assert_eq!(bench.engine.stats().open_reservations, 0);
    let forgetful = thread::Builder::new().name("forgetful".to_owned());
    let lsn = thread::scope(|scope| forgetful.spawn_scoped(scope, || bench.leak(10)).unwrap().join().unwrap());
    let held = bench.engine.reserve(MessageKind::Inline, 7).unwrap();
    let stats = bench.engine.stats();
    assert_eq!(stats.open_reservations, 2);
    let oldest = stats.oldest_reservation.unwrap();
    assert_eq!((oldest.lsn, oldest.len, oldest.thread.as_str()), (lsn, 10, "forgetful"));
    assert!(oldest.location.file().ends_with("support.rs"), "{oldest}");
    let all = bench.engine.open_reservations();
    assert_eq!((all.len(), all[1].lsn, all[1].len), (2, held.lsn(), 7));
    assert!(all[1].location.file().ends_with("leaks.rs"), "{}", all[1]);
    held.complete();
    assert_eq!(bench.engine.stats().open_reservations, 1);
}

#[test]
fn whoever_leads_behind_an_open_reservation_serves_those_before_it() {
    let bench = Bench::new(1024, 4, 4096, 0);
    let first = bench.append(b"first");
    let open = bench.engine.reserve(MessageKind::Inline, 10).unwrap();
    let between = bench.append(b"between");
    let second = bench.engine.reserve(MessageKind::Inline, 10).unwrap();
    let last = bench.append(b"last");
    thread::scope(|scope| {
        let leader = scope.spawn(|| bench.engine.make_stable(last).unwrap());
        until_somebody_waits(&bench);
        // Nobody but the leader can have made this stable.
        assert_eq!(bench.engine.make_stable(first).unwrap(), open.lsn());
        let follower = scope.spawn(|| bench.engine.make_stable(between).unwrap());
        let of_upkeep = scope.spawn(|| bench.engine.sync_written().unwrap());
        assert_eq!(of_upkeep.join().unwrap(), open.lsn());
        assert!(!leader.is_finished() && !follower.is_finished());
        let up_to = second.lsn();
        open.complete();
        assert_eq!(follower.join().unwrap(), up_to);
        assert!(!leader.is_finished());
        second.complete();
        assert!(leader.join().unwrap() > last);
    });
    assert_eq!(records(&bench, bench.engine.stable()).len(), 5);
}

#[test]
fn an_lsn_that_was_never_reserved_is_an_error_behind_an_open_reservation_too() {
    let bench = Bench::new(256, 2, 4096, 0);
    let open = bench.engine.reserve(MessageKind::Inline, 10).unwrap();
    let last = bench.append(b"last");
    let refused = |lsn| {
        let error = bench.engine.make_stable(lsn).unwrap_err();
        assert!(matches!(error, EngineError::NeverReserved { .. }), "{error}");
    };
    thread::scope(|scope| {
        let leader = scope.spawn(|| bench.engine.make_stable(last).unwrap());
        until_somebody_waits(&bench);
        // One that joins is told, although the leader is held up.
        let end = bench.engine.reserved();
        [end, end + 100, Lsn::MAX].into_iter().for_each(refused);
        open.complete();
        assert!(leader.join().unwrap() > last);
    });
    // One that leads is told, although there is no room to exchange the open buffer.
    let open = bench.engine.reserve(MessageKind::Inline, 60).unwrap();
    bench.engine.seal_open_buffer().unwrap();
    bench.append(b"in the other buffer");
    let end = bench.engine.reserved();
    [end, end + 100, Lsn::MAX].into_iter().for_each(refused);
    open.complete();
    assert_eq!(bench.engine.flush().unwrap(), end);
}

#[test]
fn an_engine_that_stops_wakes_those_who_wait_for_a_leak() {
    let bench = Bench::new(1024, 4, 4096, 0);
    let first = bench.append(b"first");
    let leaked = bench.leak(10);
    let behind = bench.append(b"behind");
    let stable = bench.engine.make_stable(first).unwrap();
    thread::scope(|scope| {
        let leader = scope.spawn(|| bench.engine.make_stable(behind).map(drop));
        let reader = scope.spawn(|| bench.engine.read(leaked, |_| ()).map(drop));
        let writer = scope.spawn(|| bench.engine.write_out().map(drop));
        until_somebody_waits(&bench);
        // The next write is that of the second buffer, which nobody holds.
        let filler = scope.spawn(|| {
            bench.file.fail_writes(ErrorKind::Other, 1);
            loop {
                bench.engine.append(MessageKind::Inline, &[1; 200])?;
            }
        });
        for waiter in [leader, reader, writer, filler] {
            assert!(matches!(waiter.join().unwrap(), Err(EngineError::Poisoned(_))));
        }
    });
    assert_eq!(bench.engine.make_stable(first).unwrap(), stable);
}

/// Sixteen places for a leak, so that it is at the beginning of a buffer, in its middle and at its end.
#[test]
fn the_owner_aborts_what_was_leaked_and_everything_else_becomes_stable() {
    for before in 0..16 {
        let mut bench = Bench::new(512, 4, 4096, 0);
        let mut wanted: Vec<_> = (0..before).map(|n| (bench.append(&[n; 40]), vec![n; 40])).collect();
        let mut leaks = vec![bench.leak(40)];
        // Behind it, with another leak in the same buffer or the next one.
        for n in 100..106 {
            wanted.push((bench.append(&[n; 40]), vec![n; 40]));
            if n == 103 {
                leaks.push(bench.leak(8));
            }
        }
        if let Some((lsn, _)) = wanted.get(usize::from(before).wrapping_sub(1)) {
            assert_eq!(bench.engine.make_stable(*lsn).unwrap(), leaks[0], "before {before}");
        }
        let aborted = bench.engine.abort_leaked();
        assert_eq!(aborted.iter().map(|leak| leak.lsn).collect::<Vec<_>>(), leaks);
        assert_eq!(bench.engine.abort_leaked(), []);
        let end = bench.engine.flush().unwrap();
        assert_eq!((end, bench.engine.stats().open_reservations), (bench.engine.reserved(), 0));
        assert_eq!(records(&bench, end), wanted, "before {before}");
        let found = bench.messages(&bench.file.synced(), end).into_iter();
        let found: Vec<_> = found.filter(|(_, kind, _)| *kind == MessageKind::Aborted).map(|(lsn, ..)| lsn).collect();
        assert_eq!(found, leaks);
    }
}

#[test]
fn a_buffer_is_written_in_pieces_that_do_not_overlap() {
    let bench = Bench::new(1024, 4, 4096, 0);
    let first = bench.append(&[1; 100]);
    let one = bench.engine.reserve(MessageKind::Inline, 100).unwrap();
    bench.append(&[2; 100]);
    let two = bench.engine.reserve(MessageKind::Inline, 100).unwrap();
    bench.append(&[3; 100]);
    bench.engine.make_stable(first).unwrap();
    let (one_lsn, two_lsn) = (one.lsn(), two.lsn());
    one.complete();
    assert_eq!(bench.engine.make_stable(one_lsn).unwrap(), two_lsn);
    two.complete();
    let end = bench.engine.flush().unwrap();
    assert_eq!(records(&bench, end).len(), 5);
    let stats = bench.engine.stats();
    assert_eq!((stats.writes, stats.bytes_written), (3, end.get()), "{stats:?}");
}

#[test]
fn a_full_ring_behind_a_leak_stops_appends_and_nothing_that_was_complete() {
    let bench = Bench::new(256, 2, 4096, 0);
    let first = bench.append(b"first");
    let open = bench.engine.reserve(MessageKind::Inline, 16).unwrap();
    let lsn = open.lsn();
    thread::scope(|scope| {
        let filler = scope.spawn(|| (0..3).map(|_| bench.append(&[2; 120])).collect::<Vec<_>>());
        while bench.engine.stats().full_waits == 0 {
            thread::yield_now();
        }
        // None of this needs a free buffer.
        assert_eq!(bench.engine.make_stable(first).unwrap(), lsn);
        assert_eq!(bench.engine.stats().oldest_reservation.unwrap().lsn, lsn);
        let beside = bench.engine.read(lsn + HEADER + 16, |bytes| bytes[MESSAGE_HEADER_BYTES]).unwrap();
        assert_eq!(beside, Found::InMemory(2));
        let end = bench.engine.reserved();
        assert!(!filler.is_finished());
        open.complete();
        assert!(filler.join().unwrap()[2] >= end);
    });
    let end = bench.engine.flush().unwrap();
    assert_eq!(records(&bench, end).len(), 5);
}

#[test]
fn whoever_leads_while_there_is_no_free_buffer_serves_those_before_the_reservation() {
    let bench = Bench::new(256, 2, 4096, 0);
    let first = bench.append(b"first");
    let open = bench.engine.reserve(MessageKind::Inline, 16).unwrap();
    bench.engine.seal_open_buffer().unwrap();
    let last = bench.append(b"last");
    thread::scope(|scope| {
        // Waits to exchange the buffer with the last message for the one with the first.
        let leader = scope.spawn(|| bench.engine.make_stable(last).unwrap());
        until_somebody_waits(&bench);
        assert_eq!(bench.engine.make_stable(first).unwrap(), open.lsn());
        assert!(!leader.is_finished());
        open.complete();
        assert!(leader.join().unwrap() > last);
    });
}

#[test]
fn messages_beside_an_open_reservation_are_read_from_memory() {
    let bench = Bench::new(1024, 2, 4096, 0);
    let first = bench.append(b"first");
    let mut open = bench.engine.reserve(MessageKind::Inline, 4).unwrap();
    let behind = bench.append(b"behind");
    open.payload_mut().fill(9);
    let read = |lsn| bench.engine.read(lsn, |bytes| bytes[MESSAGE_HEADER_BYTES..].to_vec()).unwrap();
    assert_eq!(read(first), Found::InMemory(b"first".to_vec()));
    assert_eq!(read(behind), Found::InMemory(b"behind".to_vec()));
    assert_eq!(bench.engine.stats().writes, 0);
    let (lsn, bench) = (open.lsn(), &bench);
    thread::scope(|scope| {
        let reader = scope.spawn(move || bench.engine.read(lsn, |_| ()).unwrap());
        // The reader seals the buffer and sleeps until the reservation is finished.
        until_somebody_waits(bench);
        open.complete();
        assert_eq!(reader.join().unwrap(), Found::Written);
    });
}

#[test]
fn a_full_storage_is_told_to_whoever_waits_before_a_leak() {
    let mut bench = Bench::new(1024, 2, 4096, 0);
    let first = bench.append(b"first");
    let leaked = bench.leak(10);
    bench.file.fail_writes(ErrorKind::StorageFull, 1);
    let error = bench.engine.make_stable(first).unwrap_err();
    assert!(matches!(error, EngineError::NoSpace { at: Lsn::ZERO, .. }), "{error}");
    assert_eq!(bench.engine.make_stable(first).unwrap(), leaked);
    bench.file.fail_writes(ErrorKind::StorageFull, 1);
    assert_eq!(bench.engine.abort_leaked().len(), 1);
    assert_eq!(bench.engine.flush().unwrap(), bench.engine.reserved());
    assert_eq!(bench.engine.stats().no_space_writes, 2);
}

#[test]
fn many_threads_hold_reservations_and_wait_and_the_prefix_is_always_whole() {
    const THREADS: u8 = 4;
    for round in 0..10 {
        let mut bench = Bench::new(4096, 8, 1 << 16, 0);
        thread::scope(|scope| {
            for writer in 0..THREADS {
                let bench = &bench;
                scope.spawn(move || {
                    for i in 0..60u8 {
                        let mut held = bench.engine.reserve(MessageKind::Inline, 30).unwrap();
                        held.payload_mut().fill(i);
                        if i % 3 == 0 {
                            thread::yield_now();
                        }
                        let lsn = held.complete();
                        if i % 5 == writer {
                            assert!(bench.engine.make_stable(lsn).unwrap() > lsn);
                            // The watermark first: others move it on.
                            let stable = bench.engine.stable();
                            bench.messages(&bench.file.synced(), stable);
                        }
                    }
                });
            }
        });
        let leaks = 1 + round % 3;
        let first = (0..leaks).map(|_| bench.leak(5)).min().unwrap();
        assert_eq!(bench.engine.make_stable(Lsn::new(first.get() - 1)).unwrap(), first);
        assert_eq!(bench.engine.abort_leaked().len(), leaks);
        let end = bench.engine.flush().unwrap();
        assert_eq!(records(&bench, end).len(), usize::from(THREADS) * 60);
    }
}

#[test]
fn a_write_before_a_leak_that_fails_stops_the_engine() {
    let bench = Bench::new(256, 4, 4096, 0);
    let first = bench.append(b"first");
    bench.leak(5);
    bench.file.fail_writes(ErrorKind::Other, 1);
    let failed = bench.engine.make_stable(first);
    assert!(matches!(failed, Err(EngineError::Poisoned { .. })), "{failed:?}");
    assert_eq!(bench.engine.poison().unwrap().action, IoAction::Write);
    assert_eq!(bench.engine.stable(), Lsn::ZERO);
}

#[test]
fn nobody_is_counted_as_asleep_who_is_awake() {
    let bench = Bench::new(256, 2, 4096, 0);
    let held = bench.engine.reserve(MessageKind::Inline, 20).unwrap();
    thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..10 {
                        bench.append(&[1; 100]);
                    }
                })
            })
            .collect();
        until_somebody_waits(&bench);
        held.complete();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    });
    bench.engine.flush().unwrap();
    assert_eq!(sync::lock(&bench.engine.progress).sleepers, 0);
}
