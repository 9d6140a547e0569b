//! What the engine does when nothing fails.

use std::{collections::BTreeMap, sync::atomic::AtomicBool, thread, time::Duration};

use esker_format::{Lsn, MESSAGE_HEADER_BYTES, MessageKind, SEGMENT_HEADER_BYTES};
use proptest::prelude::*;

use super::support::{Bench, UNSYNCED_BYTES_MAX};
use crate::{EngineError, Found};

const HEADER: u64 = MESSAGE_HEADER_BYTES as u64;

#[test]
fn the_first_message_follows_the_first_segment_header() {
    let bench = Bench::new(256, 2, 4096, 0);
    assert_eq!(bench.engine.reserved(), Lsn::ZERO);
    let lsn = bench.append(b"hello");
    assert_eq!(lsn, Lsn::new(SEGMENT_HEADER_BYTES as u64));
    assert_eq!(bench.engine.reserved(), lsn + HEADER + 5);
    assert_eq!(bench.engine.make_stable(lsn).unwrap(), lsn + HEADER + 5);
    assert_eq!(
        bench.messages(&bench.file.synced(), bench.engine.stable()),
        [(lsn, MessageKind::Inline, b"hello".to_vec())]
    );
    assert_eq!(bench.source.stable(), bench.engine.stable());
}

#[test]
fn nothing_is_written_before_it_must_be() {
    let bench = Bench::new(1024, 2, 4096, 0);
    bench.append(b"buffered");
    assert!(bench.file.bytes().is_empty());
    assert_eq!(bench.engine.stats().writes, 0);
    let end = bench.engine.write_out().unwrap();
    assert_eq!((end, bench.engine.written()), (bench.engine.reserved(), bench.engine.reserved()));
    assert_eq!(bench.engine.stable(), Lsn::ZERO);
    assert_eq!(bench.messages(&bench.file.bytes(), end).len(), 1);
}

#[test]
fn an_aborted_message_keeps_its_place() {
    let bench = Bench::new(1024, 2, 4096, 0);
    let first = bench.append(b"one");
    let mut reservation = bench.engine.reserve(MessageKind::Inline, 5).unwrap();
    reservation.payload_mut().copy_from_slice(b"never");
    let aborted = reservation.lsn();
    reservation.abort();
    drop(bench.engine.reserve(MessageKind::Inline, 0).unwrap());
    let last = bench.append(b"two");
    let end = bench.engine.flush().unwrap();
    let wanted = [
        (first, MessageKind::Inline, b"one".to_vec()),
        (aborted, MessageKind::Aborted, vec![0; 5]),
        (aborted + HEADER + 5, MessageKind::Aborted, vec![]),
        (last, MessageKind::Inline, b"two".to_vec()),
    ];
    assert_eq!(bench.messages(&bench.file.synced(), end), wanted);
}

#[test]
fn every_byte_of_a_finished_segment_belongs_to_a_message() {
    // Lengths that leave every possible remainder, over many segments.
    for stride in 1..60 {
        let bench = Bench::new(300, 2, 4096, 0);
        let mut wanted = BTreeMap::new();
        for round in 0..90u32 {
            let payload = vec![round as u8; (round * stride % bench.engine.payload_bytes_max()) as usize];
            wanted.insert(bench.append(&payload), payload);
            if round % 7 == 0 {
                bench.engine.write_out().unwrap();
            }
        }
        let end = bench.engine.flush().unwrap();
        let mut found = bench.messages(&bench.file.synced(), end);
        found.retain(|(_, kind, _)| *kind != MessageKind::Pad);
        let found: BTreeMap<_, _> = found.into_iter().map(|(lsn, _, payload)| (lsn, payload)).collect();
        assert_eq!(found, wanted, "stride {stride}");
    }
}

#[test]
fn the_longest_payload_fits_and_one_more_byte_is_refused() {
    let bench = Bench::new(512, 2, 4096, 0);
    let max = bench.engine.payload_bytes_max();
    for _ in 0..40 {
        bench.append(&vec![7; max as usize]);
        bench.append(b"x");
    }
    let refused = bench.engine.reserve(MessageKind::Inline, max + 1).unwrap_err();
    assert!(matches!(refused, EngineError::TooLarge { len, max: limit } if len == u64::from(max) + 1 && limit == max));
    let end = bench.engine.flush().unwrap();
    let found = bench.messages(&bench.file.synced(), end);
    assert_eq!(found.iter().filter(|(_, kind, _)| *kind == MessageKind::Inline).count(), 80);
}

#[test]
fn an_lsn_that_was_never_reserved_is_an_error_and_not_a_wait() {
    let bench = Bench::new(512, 2, 4096, 0);
    let refused = |lsn: Lsn| match bench.engine.make_stable(lsn).unwrap_err() {
        EngineError::NeverReserved { lsn: at, end } => assert_eq!((at, end), (lsn, bench.engine.reserved())),
        other => panic!("{other}"),
    };
    refused(Lsn::ZERO);
    refused(Lsn::new(64));
    let lsn = bench.append(b"something");
    refused(bench.engine.reserved());
    refused(Lsn::MAX);
    bench.engine.make_stable(lsn).unwrap();
    refused(bench.engine.reserved());
    assert!(bench.engine.read(bench.engine.reserved(), |_| ()).is_err());
}

#[test]
fn one_sync_serves_everything_before_it() {
    let bench = Bench::new(1024, 4, 4096, 0);
    let lsns: Vec<_> = (0..100u8).map(|i| bench.append(&[i; 40])).collect();
    bench.engine.make_stable(*lsns.last().unwrap()).unwrap();
    for lsn in lsns {
        bench.engine.make_stable(lsn).unwrap();
    }
    bench.engine.flush().unwrap();
    assert_eq!(bench.engine.stats().syncs, 1);
}

#[test]
fn a_message_is_read_from_memory_until_its_buffer_begins_another_life() {
    let bench = Bench::new(1024, 2, 4096, 0);
    let first = bench.append(b"first");
    let second = bench.append(b"second");
    let read = |lsn| bench.engine.read(lsn, |bytes| bytes[MESSAGE_HEADER_BYTES..].to_vec()).unwrap();
    let Found::InMemory(bytes) = read(first) else { panic!("not in memory") };
    assert!(bytes.starts_with(b"first"));
    assert_eq!(read(second), Found::InMemory(b"second".to_vec()));
    assert_eq!(bench.engine.stats().writes, 0, "reading wrote something");
    bench.engine.write_out().unwrap();
    assert_eq!(read(second), Found::InMemory(b"second".to_vec()));
    // The second buffer, and the first again.
    for _ in 0..2 {
        bench.append(b"another");
        bench.engine.write_out().unwrap();
    }
    assert_eq!(read(second), Found::Written);
}

#[test]
fn many_threads_write_one_stream() {
    const THREADS: u64 = 8;
    const EACH: u64 = 500;
    let bench = Bench::new(2048, 4, 1 << 16, 0);
    let done = AtomicBool::new(false);
    let acked: Vec<(Lsn, Vec<u8>)> = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            // What is stable was synced: the prefix parses, whatever the writers are doing.
            let mut looks = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let stable = bench.engine.stable();
                bench.messages(&bench.file.synced(), stable);
                looks += 1;
            }
            looks
        });
        let writers: Vec<_> = (0..THREADS)
            .map(|writer| {
                let bench = &bench;
                scope.spawn(move || {
                    let mut acked = Vec::new();
                    for i in 0..EACH {
                        let payload = format!("{writer}:{i}:{}", "x".repeat((i * 7 % 120) as usize)).into_bytes();
                        let lsn = bench.append(&payload);
                        if i % 5 == 0 {
                            assert!(bench.engine.make_stable(lsn).unwrap() > lsn);
                        }
                        acked.push((lsn, payload));
                    }
                    acked
                })
            })
            .collect();
        let acked = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(watcher.join().unwrap() > 0);
        acked
    });
    let end = bench.engine.flush().unwrap();
    let found: BTreeMap<_, _> =
        bench.messages(&bench.file.synced(), end).into_iter().map(|(lsn, _, payload)| (lsn, payload)).collect();
    for (lsn, payload) in &acked {
        assert_eq!(found.get(lsn), Some(payload), "lsn {lsn}");
    }
    assert_eq!(acked.len() as u64, THREADS * EACH);
    let records =
        bench.messages(&bench.file.synced(), end).into_iter().filter(|&(_, kind, _)| kind == MessageKind::Inline);
    assert_eq!(records.count(), acked.len());
}

/// Small buffers and segments, so that a batch begins and ends anywhere in them.
#[test]
fn batches_from_many_threads_are_whole_and_in_order() {
    const THREADS: u8 = 4;
    for buffer_bytes in [256, 4096, 1 << 20] {
        let bench = Bench::new(buffer_bytes, 4, 8192, 0);
        let max = bench.engine.payload_bytes_max() as usize;
        let batches = |thread: u8| (1..60usize).map(move |n| vec![vec![thread; (n * 37) % max.min(900)]; n % 23]);
        std::thread::scope(|scope| {
            for thread in 1..=THREADS {
                let bench = &bench;
                scope.spawn(move || {
                    for batch in batches(thread) {
                        let payloads: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
                        let mut lsns = Vec::new();
                        bench.engine.append_all(MessageKind::Inline, &payloads, &mut lsns).unwrap();
                        assert_eq!(lsns.len(), payloads.len());
                        assert!(lsns.is_sorted_by(|a, b| a < b));
                        if let Some(&last) = lsns.last() {
                            assert!(bench.engine.make_stable(last).unwrap() > last);
                        }
                    }
                });
            }
        });
        let end = bench.engine.flush().unwrap();
        let found = bench.messages(&bench.file.synced(), end);
        for thread in 1..=THREADS {
            let expected: Vec<_> = batches(thread).flatten().filter(|payload| !payload.is_empty()).collect();
            let of_thread: Vec<_> =
                found.iter().map(|(.., payload)| payload).filter(|payload| payload.first() == Some(&thread)).collect();
            assert!(of_thread == expected.iter().collect::<Vec<_>>(), "thread {thread}, {buffer_bytes}-byte buffers");
        }
    }
}

#[test]
fn a_batch_with_a_payload_that_is_too_long_appends_nothing() {
    let bench = Bench::new(4096, 2, 8192, 0);
    let long = vec![1; bench.engine.payload_bytes_max() as usize + 1];
    let mut lsns = vec![Lsn::new(7)];
    let error = bench.engine.append_all(MessageKind::Inline, &[&[1], &long], &mut lsns).unwrap_err();
    assert!(matches!(error, EngineError::TooLarge { .. }), "{error}");
    assert_eq!((lsns, bench.engine.reserved()), (vec![Lsn::new(7)], Lsn::ZERO));
}

#[test]
fn more_reservations_than_a_small_counter_holds_are_open_at_once() {
    let bench = Bench::new(1 << 20, 2, 1 << 20, 0);
    let open: Vec<_> = (0..10_000).map(|_| bench.engine.reserve(MessageKind::Inline, 1).unwrap()).collect();
    let lsns: Vec<_> = open.into_iter().rev().map(|reservation| reservation.complete()).collect();
    let end = bench.engine.flush().unwrap();
    assert_eq!(bench.messages(&bench.file.synced(), end).len(), lsns.len());
}

#[test]
fn a_full_ring_waits_for_the_open_reservation_and_goes_on() {
    let bench = Bench::new(256, 2, 4096, 0);
    let held = bench.engine.reserve(MessageKind::Inline, 1).unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 1..20 {
                bench.append(&[1; 100]);
            }
            bench.append(&[1; 100])
        });
        // The writer fills the rest of both buffers and waits: the first is not written while `held` is open.
        while bench.engine.stats().full_waits == 0 {
            thread::yield_now();
        }
        assert!(!writer.is_finished());
        held.complete();
        let last = writer.join().unwrap();
        bench.engine.make_stable(last).unwrap();
    });
    assert_eq!(bench.messages(&bench.file.synced(), bench.engine.stable()).len(), 21 + pads(&bench));
}

fn pads(bench: &Bench) -> usize {
    let found = bench.messages(&bench.file.synced(), bench.engine.stable());
    found.iter().filter(|(_, kind, _)| *kind == MessageKind::Pad).count()
}

#[test]
fn the_engine_goes_on_in_the_middle_of_a_segment() {
    for tip in [64, 100, 4096 - 24, 4096 - 100, 4096, 8192 + 64] {
        let bench = Bench::new(256, 2, 4096, tip);
        let first = bench.append(b"first");
        let fits = 4096 - tip % 4096 >= 24 + 5 + 24 && tip % 4096 != 0;
        let wanted = if fits { tip } else { tip.next_multiple_of(4096) + 64 };
        assert_eq!(first, Lsn::new(wanted), "tip {tip}");
        let end = bench.engine.flush().unwrap();
        assert_eq!(bench.messages(&bench.file.synced(), end).last().unwrap().0, first);
    }
}

#[test]
fn a_sync_is_asked_for_once_when_much_is_unsynced_and_leaves_the_open_buffer_alone() {
    let bench = Bench::new(256, 4, 1 << 16, 0);
    let append_all = |bytes: u64| {
        for _ in 0..bytes / 124 {
            bench.append(&[7; 100]);
        }
    };
    append_all(UNSYNCED_BYTES_MAX - 500);
    assert_eq!(bench.source.syncs_due(), 0);
    append_all(3 * UNSYNCED_BYTES_MAX);
    assert_eq!((bench.source.syncs_due(), bench.engine.stats().syncs), (1, 0));
    let (written, reserved) = (bench.engine.written(), bench.engine.reserved());
    assert!(written < reserved, "the open buffer holds something");
    assert_eq!(bench.engine.sync_written().unwrap(), written);
    assert_eq!((bench.engine.written(), bench.engine.stable()), (written, written));
    // Nothing was written since, so that nothing is to be synced.
    assert_eq!((bench.engine.sync_written().unwrap(), bench.engine.stats().syncs), (written, 1));
    append_all(UNSYNCED_BYTES_MAX + 500);
    assert_eq!(bench.source.syncs_due(), 2);
}

#[test]
fn options_that_contradict_each_other_are_all_named() {
    let file = std::sync::Arc::new(super::support::TestFile::default());
    let bench = Bench::new(256, 2, 4096, 0);
    let options = crate::Options {
        buffer_bytes: 1,
        buffers: 3,
        tip: Lsn::new(10),
        tip_segment: esker_format::FileOffset::new(5),
        ..bench.engine.options.clone()
    };
    let error = crate::IoBufs::start(file, bench.source.clone(), options).unwrap_err();
    assert_eq!(error.faults.len(), 4, "{error}");
}

#[test]
fn an_lsn_4_gib_beyond_the_end_is_no_message_in_memory() {
    let bench = Bench::new(1024, 2, 4096, 0);
    let lsn = bench.append(b"the only one");
    for beyond in [1 << 32, 1 << 40, u64::MAX - 4096] {
        let error = bench.engine.read(lsn + beyond, |_| ()).unwrap_err();
        assert!(matches!(error, EngineError::NeverReserved { .. }), "{beyond}: {error}");
    }
}

#[test]
fn an_lsn_that_does_not_exist_does_not_wait_for_those_that_do() {
    use std::sync::atomic::Ordering;
    let bench = Bench::new(1024, 4, 1 << 16, 0);
    bench.file.syncs_take(Duration::from_millis(1));
    let stop = AtomicBool::new(false);
    let (bench, stop) = (&bench, &stop);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                // Not for ever, so that the test fails instead of hanging.
                while !stop.load(Ordering::Relaxed) && bench.engine.stats().syncs < 10_000 {
                    bench.engine.make_stable(bench.append(&[1; 30])).unwrap();
                }
            });
        }
        while bench.engine.stats().commit_waits < 20 {
            thread::yield_now();
        }
        for _ in 0..50 {
            let begun = bench.engine.stats().syncs;
            let error = bench.engine.make_stable(Lsn::MAX).unwrap_err();
            assert!(matches!(error, EngineError::NeverReserved { .. }), "{error}");
            let syncs = bench.engine.stats().syncs - begun;
            assert!(syncs < 100, "waited for {syncs} syncs");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_sequence_of_calls_leaves_a_readable_stream(
        buffer_bytes in 256u32..2000,
        buffers in prop_oneof![Just(2u32), Just(4)],
        calls in prop::collection::vec((0u8..10, 0u32..1500), 1..120),
    ) {
        let bench = Bench::new(buffer_bytes, buffers, 4096, 0);
        let mut wanted = Vec::new();
        for (index, &(call, len)) in calls.iter().enumerate() {
            let len = len % (bench.engine.payload_bytes_max() + 1);
            match call {
                0 => { bench.engine.write_out().unwrap(); }
                1 => { bench.engine.flush().unwrap(); }
                2 => bench.engine.reserve(MessageKind::Inline, len).unwrap().abort(),
                3 if !wanted.is_empty() => {
                    let (lsn, payload): &(Lsn, Vec<u8>) = &wanted[index % wanted.len()];
                    let found = bench.engine.read(*lsn, |bytes| bytes[24..24 + payload.len()].to_vec()).unwrap();
                    prop_assert!(found == Found::Written || found == Found::InMemory(payload.clone()));
                }
                _ => {
                    let payload = vec![index as u8; len as usize];
                    wanted.push((bench.append(&payload), payload));
                }
            }
            prop_assert!(bench.engine.stable() <= bench.engine.written());
            prop_assert!(bench.engine.written() <= bench.engine.reserved());
        }
        let end = bench.engine.flush().unwrap();
        let found: Vec<_> = bench
            .messages(&bench.file.synced(), end)
            .into_iter()
            .filter(|(_, kind, _)| *kind == MessageKind::Inline)
            .map(|(lsn, _, payload)| (lsn, payload))
            .collect();
        prop_assert_eq!(found, wanted);
    }
}

#[test]
fn a_run_is_completed_or_aborted_as_a_whole() {
    let bench = Bench::new(1024, 2, 4096, 0);
    let mut wanted = Vec::new();
    for round in 0..60_u8 {
        let mut run = bench.engine.reserve_run(MessageKind::Inline, &[3, 0, 40]).unwrap();
        let lsns: Vec<_> = run.lsns().collect();
        assert_eq!((lsns[1] - lsns[0], lsns[2] - lsns[1]), (27, 24));
        run.payloads_mut().for_each(|payload| payload.fill(round));
        if round % 3 == 0 {
            drop(run);
        } else {
            run.complete();
            let payloads = [3, 0, 40].map(|len| vec![round; len]);
            wanted.extend(lsns.into_iter().zip(payloads));
        }
    }
    bench.engine.flush().unwrap();
    assert!(bench.engine.open_reservations().is_empty());
    let found = bench.messages(&bench.file.synced(), bench.engine.stable()).into_iter();
    let found: Vec<_> = found.filter(|(_, kind, _)| *kind == MessageKind::Inline).collect();
    assert_eq!(found.into_iter().map(|(lsn, _, payload)| (lsn, payload)).collect::<Vec<_>>(), wanted);

    // As long as a message may be, and a byte more.
    let max = bench.engine.payload_bytes_max();
    bench.engine.reserve_run(MessageKind::Inline, &[max - 24 - 7, 7]).unwrap().complete();
    let refused = bench.engine.reserve_run(MessageKind::Inline, &[max - 24 - 7, 8]);
    assert!(matches!(refused, Err(EngineError::TooLarge { .. })), "{refused:?}");
}
