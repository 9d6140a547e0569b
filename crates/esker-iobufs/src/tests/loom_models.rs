//! The engine's protocols, each as the smallest model that can break it. Under loom (`cargo xtask loom`) every schedule
//! within the preemption bound is tried; in an ordinary test each runs once.
//!
//! Buffers are tiny and messages a multiple of eight bytes long, so that the memory's granules (`memory.rs`) tell exactly
//! which range somebody touches without having been ordered after its last holder.

use std::{io::ErrorKind, sync::Arc, time::Duration};

use esker_format::{Lsn, MESSAGE_HEADER_BYTES, MessageKind};

use super::support::Bench;
use crate::{
    EngineError, Found,
    memory::BufferMemory,
    sync::{model, thread, wide_model},
};

const HEADER: u64 = MESSAGE_HEADER_BYTES as u64;

/// An engine in the middle of a segment: two buffers of 256 bytes.
fn bench() -> Arc<Bench> {
    Arc::new(Bench::new(256, 2, 4096, 64))
}

/// The same, whose waiters yield once before they sleep.
fn yielding_bench() -> Arc<Bench> {
    Arc::new(Bench::yielding(Duration::from_millis(1), 256, 2, 4096, 64))
}

/// Every message up to `end` is whole.
fn payloads(bench: &Bench, bytes: &[u8], end: Lsn) -> Vec<Vec<u8>> {
    bench.messages(bytes, end).into_iter().map(|(.., payload)| payload).collect()
}

/// Claim against seal; the last writer out, or the sealer, writes the buffer, and writes every byte of it. Breaks without
/// P2.
#[test]
fn loom_the_last_writer_out_writes_every_byte() {
    model(|| {
        let bench = bench();
        let writers: Vec<_> = (1..3u8)
            .map(|writer| {
                let bench = bench.clone();
                thread::spawn(move || bench.append(&[writer; 8]))
            })
            .collect();
        bench.engine.seal_open_buffer().unwrap();
        for writer in writers {
            writer.join().unwrap();
        }
        let end = bench.engine.write_out().unwrap();
        assert_eq!(end, Lsn::new(64 + 2 * (HEADER + 8)));
        let mut found = payloads(&bench, &bench.file.bytes(), end);
        found.sort();
        assert_eq!(found, [[1; 8], [2; 8]]);
    });
}

/// Whoever finds that its message does not fit the segment seals the buffer, and the last writer out pads it. Breaks without
/// the Release of the seal in P2.
#[test]
fn loom_the_last_writer_out_knows_whether_to_pad() {
    model(|| {
        // The last 128 bytes of a segment, which either of two messages fits.
        let bench = Arc::new(Bench::new(256, 2, 4096, 4096 - 128));
        let writers: Vec<_> = [(1, 8), (2, 104)]
            .into_iter()
            .map(|(byte, len)| {
                let bench = bench.clone();
                thread::spawn(move || bench.append(&vec![byte; len]))
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        let end = bench.engine.write_out().unwrap();
        let mut found = bench.messages(&bench.file.bytes(), end);
        found.retain(|(_, kind, _)| *kind == MessageKind::Inline);
        let mut found: Vec<_> = found.into_iter().map(|(.., payload)| payload).collect();
        found.sort();
        assert_eq!(found, [vec![1; 8], vec![2; 104]]);
    });
}

/// A buffer's memory and place are handed over to its next life. Breaks without P1.
#[test]
fn loom_a_buffer_is_handed_over_to_its_next_life() {
    model(|| {
        let bench = bench();
        let writer = {
            let bench = bench.clone();
            thread::spawn(move || {
                bench.append(&[1; 8]);
                bench.append(&[2; 8]);
            })
        };
        // Two exchanges bring the first buffer back.
        bench.append(&[3; 8]);
        bench.engine.seal_open_buffer().unwrap();
        bench.append(&[4; 8]);
        bench.engine.seal_open_buffer().unwrap();
        bench.append(&[5; 8]);
        writer.join().unwrap();
        let end = bench.engine.write_out().unwrap();
        let mut found = payloads(&bench, &bench.file.bytes(), end);
        found.sort();
        assert_eq!(found, [[1; 8], [2; 8], [3; 8], [4; 8], [5; 8]]);
    });
}

/// A reader of memory sees whole messages only, and not one of the next life. Breaks without P2's Acquire in `settled`,
/// and without pins.
#[test]
fn loom_a_reader_sees_only_whole_messages() {
    model(|| {
        let bench = bench();
        let first = bench.append(&[1; 8]);
        let writer = {
            let bench = bench.clone();
            thread::spawn(move || {
                bench.append(&[2; 8]);
                bench.engine.seal_open_buffer().unwrap();
                bench.append(&[3; 8]);
                bench.engine.seal_open_buffer().unwrap();
                // Over the first message, in the next life of its buffer.
                bench.append(&[4; 8]);
            })
        };
        let found = bench.engine.read(first, |bytes| {
            assert!(bytes.len() == 32 || bytes.len() == 64, "{} bytes", bytes.len());
            bytes[MESSAGE_HEADER_BYTES..32].to_vec()
        });
        match found.unwrap() {
            Found::InMemory(payload) => assert_eq!(payload, [1; 8]),
            Found::Written => assert!(bench.engine.written() > first),
        }
        writer.join().unwrap();
    });
}

/// A reader that finds a buffer in a life sees where its bytes belong, and how far they are filled, in that life and not in
/// the one before. Breaks without P4.
#[test]
fn loom_a_reader_of_a_new_life_sees_where_it_belongs() {
    model(|| {
        let bench = bench();
        bench.append(&[1; 8]);
        bench.append(&[2; 8]);
        bench.engine.seal_open_buffer().unwrap();
        bench.append(&[3; 8]);
        let next = bench.engine.reserved();
        // A thread of its own, so that it can begin at any moment.
        let reader = {
            let bench = bench.clone();
            thread::spawn(move || match bench.engine.read(next, |bytes| bytes[MESSAGE_HEADER_BYTES..32].to_vec()) {
                Ok(Found::InMemory(payload)) => assert_eq!(payload, [4; 8]),
                Ok(Found::Written) => assert!(bench.engine.written() > next),
                Err(error) => assert!(matches!(error, EngineError::NeverReserved { .. }), "{error}"),
            })
        };
        // The first buffer again: over the first message, which is as long.
        bench.engine.seal_open_buffer().unwrap();
        assert_eq!(bench.append(&[4; 8]), next);
        reader.join().unwrap();
    });
}

/// Whoever sees the watermark also sees what the sync did that moved it. Breaks without P3.
#[test]
#[expect(unsafe_code, reason = "only plain memory tells whether the watermark ordered its reader after its writer")]
fn loom_stable_is_seen_only_after_the_sync() {
    model(|| {
        let bench = bench();
        let told = Arc::new(BufferMemory::new(8));
        bench.file.syncs_fill(told.clone());
        let lsn = bench.append(&[1; 8]);
        let writer = {
            let bench = bench.clone();
            thread::spawn(move || assert!(bench.engine.make_stable(lsn).unwrap() > lsn))
        };
        while bench.engine.stable() <= lsn {
            thread::yield_now();
        }
        // SAFETY: I3 (writers first): the only sync came before the watermark that was just seen [P3].
        assert_eq!(unsafe { told.range(0..8) }, [1; 8]);
        assert_eq!(payloads(&bench, &bench.file.synced(), bench.engine.stable()), [[1; 8]]);
        writer.join().unwrap();
    });
}

/// Everybody who waits for durability is woken, whoever leads; nobody is told before the sync.
#[test]
fn loom_every_waiter_is_woken() {
    model(|| two_wait(bench()));
}

/// The same of those who yield.
#[test]
fn loom_every_waiter_that_yields_is_served() {
    model(|| two_wait(yielding_bench()));
}

fn two_wait(bench: Arc<Bench>) {
    let writers: Vec<_> = (1..3u8)
        .map(|writer| {
            let bench = bench.clone();
            thread::spawn(move || {
                let lsn = bench.append(&[writer; 8]);
                let stable = bench.engine.make_stable(lsn).unwrap();
                assert!(stable > lsn);
                assert!(payloads(&bench, &bench.file.synced(), stable).contains(&vec![writer; 8]));
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    let syncs = bench.engine.stats().syncs;
    assert!((1..=2).contains(&syncs), "{syncs} syncs");
}

/// Whoever gathers for the next round while one runs is served by it, although the end of a round wakes only one of them:
/// three threads, so that two can wait for the third.
#[test]
fn loom_the_end_of_a_round_hands_over_to_the_next() {
    wide_model(1, || three_wait(bench()));
}

/// The end of a round wakes nobody to lead the next one if somebody yields, who then does.
#[test]
fn loom_the_end_of_a_round_hands_over_to_those_who_yield() {
    wide_model(2, || three_wait(yielding_bench()));
}

fn three_wait(bench: Arc<Bench>) {
    let others: Vec<_> = (1..3u8)
        .map(|writer| {
            let bench = bench.clone();
            thread::spawn(move || {
                let lsn = bench.append(&[writer; 8]);
                assert!(bench.engine.make_stable(lsn).unwrap() > lsn);
            })
        })
        .collect();
    let lsn = bench.append(&[3; 8]);
    assert!(bench.engine.make_stable(lsn).unwrap() > lsn);
    for other in others {
        other.join().unwrap();
    }
}

/// A sync of what is written takes turns with the rounds of those who wait, and loses none of them.
#[test]
fn loom_a_sync_of_what_is_written_takes_its_turn() {
    model(|| {
        let bench = bench();
        let first = bench.append(&[1; 8]);
        bench.engine.write_out().unwrap();
        let waiter = {
            let bench = bench.clone();
            thread::spawn(move || {
                let lsn = bench.append(&[2; 8]);
                assert!(bench.engine.make_stable(lsn).unwrap() > lsn);
            })
        };
        let stable = bench.engine.sync_written().unwrap();
        assert!(stable > first);
        assert!(!payloads(&bench, &bench.file.synced(), stable).is_empty());
        waiter.join().unwrap();
    });
}

/// Whoever writes out what was claimed does not wait for what is claimed meanwhile, which nobody may ever seal.
#[test]
fn loom_writing_out_waits_for_nothing_that_comes_later() {
    model(|| {
        let bench = bench();
        let other = {
            let bench = bench.clone();
            thread::spawn(move || {
                let end = bench.engine.write_out().unwrap();
                assert!(bench.engine.written() >= end);
            })
        };
        bench.append(&[1; 8]);
        other.join().unwrap();
    });
}

/// The watermarks never pass a buffer that is not written, in whatever order buffers are.
#[test]
fn loom_the_watermark_never_passes_a_gap() {
    model(|| {
        let bench = bench();
        let held = bench.engine.reserve(MessageKind::Inline, 8).unwrap();
        let first = held.lsn();
        let other = {
            let bench = bench.clone();
            thread::spawn(move || {
                // Seals the buffer with the open reservation; its own message goes to the next one.
                bench.engine.seal_open_buffer().unwrap();
                let second = bench.append(&[2; 8]);
                let stable = bench.engine.make_stable(second).unwrap();
                assert!(stable > second);
                assert_eq!(payloads(&bench, &bench.file.synced(), stable).len(), 2);
            })
        };
        assert!(bench.engine.stable() <= first && bench.engine.written() <= first);
        held.complete();
        other.join().unwrap();
    });
}

/// A failed sync reaches everybody who waits, and nothing is acknowledged after it.
#[test]
fn loom_a_failed_sync_wakes_everybody() {
    model(|| two_wait_in_vain(bench()));
}

/// The same of those who yield.
#[test]
fn loom_a_failed_sync_reaches_those_who_yield() {
    model(|| two_wait_in_vain(yielding_bench()));
}

fn two_wait_in_vain(bench: Arc<Bench>) {
    bench.file.fail_syncs(ErrorKind::Other, 1);
    let writers: Vec<_> = (1..3u8)
        .map(|writer| {
            let bench = bench.clone();
            thread::spawn(move || {
                let Ok(mut reservation) = bench.engine.reserve(MessageKind::Inline, 8) else { return };
                reservation.payload_mut().fill(writer);
                let lsn = reservation.complete();
                let error = bench.engine.make_stable(lsn).unwrap_err();
                assert!(matches!(error, EngineError::Poisoned(_)), "{error}");
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    assert_eq!(bench.engine.stable(), Lsn::new(64));
}

/// A failed write, met by whoever is the last writer out, reaches the one who waits for the prefix and the one who waits
/// for a free buffer.
#[test]
fn loom_a_failed_write_wakes_everybody() {
    model(|| {
        let bench = bench();
        bench.file.fail_writes(ErrorKind::Other, 1);
        let held = bench.engine.reserve(MessageKind::Inline, 8).unwrap();
        let first = held.lsn();
        let waiter = {
            let bench = bench.clone();
            thread::spawn(move || {
                let error = bench.engine.make_stable(first).unwrap_err();
                assert!(matches!(error, EngineError::Poisoned(_)), "{error}");
            })
        };
        let filler = {
            let bench = bench.clone();
            thread::spawn(move || {
                // Two more exchanges need the buffer with the open reservation.
                for _ in 0..2 {
                    match bench.engine.reserve(MessageKind::Inline, 120) {
                        Ok(reservation) => drop(reservation.complete()),
                        Err(error) => return assert!(matches!(error, EngineError::Poisoned(_)), "{error}"),
                    }
                }
            })
        };
        held.complete();
        waiter.join().unwrap();
        filler.join().unwrap();
        assert_eq!(bench.engine.stable(), Lsn::new(64));
    });
}

/// A claim that finds every buffer full waits for a write and is woken by it.
#[test]
fn loom_a_full_ring_wakes_whoever_waits_for_room() {
    model(|| {
        let bench = bench();
        let held = bench.engine.reserve(MessageKind::Inline, 120).unwrap();
        let filler = {
            let bench = bench.clone();
            // The second fills the second buffer, the third needs the first again.
            thread::spawn(move || {
                bench.append(&[2; 120]);
                bench.append(&[2; 120])
            })
        };
        held.complete();
        let last = filler.join().unwrap();
        let end = bench.engine.write_out().unwrap();
        assert!(end > last);
        assert_eq!(payloads(&bench, &bench.file.bytes(), end).len(), 3);
    });
}
