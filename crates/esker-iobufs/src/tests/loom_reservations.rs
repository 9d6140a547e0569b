//! Models of reservations that stay open: what is complete before them is written and made stable without them, and nobody
//! who waits for that sleeps on. As `loom_models.rs`.

use std::sync::Arc;

use esker_format::{Lsn, MESSAGE_HEADER_BYTES, MessageKind};

use super::support::Bench;
use crate::{
    Found,
    sync::{model, thread},
};

const MESSAGE: u64 = MESSAGE_HEADER_BYTES as u64 + 8;

fn bench() -> Arc<Bench> {
    Arc::new(Bench::new(256, 2, 4096, 64))
}

fn payloads(bench: &Bench, bytes: &[u8], end: Lsn) -> Vec<Vec<u8>> {
    bench.messages(bytes, end).into_iter().map(|(.., payload)| payload).collect()
}

/// An append ends while somebody waits for what lies before a reservation, who is then to be woken. Breaks if only the last
/// writer out says so, and without P2's Acquire in `held_at`.
#[test]
fn loom_the_last_to_leave_but_those_who_hold_wakes_whoever_waits() {
    model(|| {
        let bench = bench();
        let first = bench.append(&[1; 8]);
        let other = {
            let bench = bench.clone();
            thread::spawn(move || bench.append(&[2; 8]))
        };
        let leaked = bench.leak(8);
        let stable = bench.engine.make_stable(first).unwrap();
        assert_eq!(stable, leaked);
        assert_eq!(payloads(&bench, &bench.file.synced(), stable).len() as u64, (leaked.get() - 64) / MESSAGE);
        other.join().unwrap();
    });
}

/// The same if it is a reservation that is claimed before the buffer is sealed, and listed after somebody waits. Breaks if
/// whoever lists one wakes nobody.
#[test]
fn loom_a_reservation_that_is_listed_late_wakes_whoever_waits() {
    model(|| {
        let bench = bench();
        let first = bench.append(&[1; 8]);
        let other = {
            let bench = bench.clone();
            thread::spawn(move || bench.leak(8))
        };
        assert!(bench.engine.make_stable(first).unwrap() > first);
        other.join().unwrap();
    });
}

/// A reservation ends while others stay open: whoever waits for what lies before the next one is woken. Breaks if only the
/// last writer out wakes, and if whoever leads does not look again.
#[test]
fn loom_the_end_of_a_reservation_serves_those_before_the_next() {
    model(|| {
        let bench = bench();
        let open = bench.engine.reserve(MessageKind::Inline, 8).unwrap();
        let between = bench.append(&[1; 8]);
        let leaked = bench.leak(8);
        let waiter = {
            let bench = bench.clone();
            thread::spawn(move || assert_eq!(bench.engine.make_stable(between).unwrap(), leaked))
        };
        open.complete();
        waiter.join().unwrap();
    });
}

/// Whoever leads and is held up serves those who joined, and goes on when the reservation ends.
#[test]
fn loom_a_leader_that_is_held_up_serves_the_others() {
    model(|| {
        let bench = bench();
        let first = bench.append(&[1; 8]);
        let open = bench.engine.reserve(MessageKind::Inline, 8).unwrap();
        let behind = {
            let bench = bench.clone();
            let lsn = open.lsn();
            thread::spawn(move || assert!(bench.engine.make_stable(lsn).unwrap() > lsn))
        };
        assert!(bench.engine.make_stable(first).unwrap() > first);
        open.complete();
        behind.join().unwrap();
    });
}

/// The same each time that one of several reservations ends. Breaks if the leader does not wake the others after a sync.
#[test]
fn loom_a_leader_that_is_held_up_again_serves_the_others() {
    model(|| {
        let bench = bench();
        let open = bench.engine.reserve(MessageKind::Inline, 8).unwrap();
        let between = bench.append(&[1; 8]);
        let next = bench.engine.reserve(MessageKind::Inline, 8).unwrap();
        let behind = {
            let bench = bench.clone();
            let lsn = next.lsn();
            thread::spawn(move || assert!(bench.engine.make_stable(lsn).unwrap() > lsn))
        };
        open.complete();
        assert!(bench.engine.make_stable(between).unwrap() > between);
        next.complete();
        behind.join().unwrap();
    });
}

/// What is complete before a reservation is written while that ends, the last writer out writes the buffer, and its memory
/// is used again. Breaks if whoever writes the beginning does not pin the buffer (I6).
#[test]
fn loom_writing_before_a_reservation_keeps_the_buffer_from_its_next_life() {
    model(|| {
        let bench = bench();
        let first = bench.append(&[1; 8]);
        let open = bench.engine.reserve(MessageKind::Inline, 8).unwrap();
        bench.engine.seal_open_buffer().unwrap();
        let waiter = {
            let bench = bench.clone();
            thread::spawn(move || {
                assert!(bench.engine.await_written(first + 1, crate::write::Waits::Alone).unwrap() > first);
            })
        };
        open.complete();
        // Over the first message, in the next life of its buffer.
        bench.append(&[3; 8]);
        bench.engine.seal_open_buffer().unwrap();
        bench.append(&[4; 8]);
        let end = bench.engine.write_out().unwrap();
        assert_eq!(payloads(&bench, &bench.file.bytes(), end).len(), 4);
        waiter.join().unwrap();
    });
}

/// A reader sees whole messages beside one that is being filled. Breaks without P2's Acquire in `settled`, and if whoever
/// finishes a reservation strikes it off after it left.
#[test]
fn loom_a_reader_sees_whole_messages_beside_an_open_reservation() {
    model(|| {
        let bench = bench();
        let first = bench.append(&[1; 8]);
        let writer = {
            let bench = bench.clone();
            thread::spawn(move || {
                let mut open = bench.engine.reserve(MessageKind::Inline, 8).unwrap();
                bench.append(&[3; 8]);
                open.payload_mut().fill(2);
                open.complete();
            })
        };
        for (lsn, payload) in [(first, [1; 8]), (first + 2 * MESSAGE, [3; 8])] {
            if lsn >= bench.engine.reserved() {
                continue;
            }
            let read = |bytes: &[u8]| {
                assert!(bytes.len().is_multiple_of(MESSAGE as usize), "{} bytes", bytes.len());
                bytes[MESSAGE_HEADER_BYTES..MESSAGE as usize].to_vec()
            };
            match bench.engine.read(lsn, read).unwrap() {
                Found::InMemory(found) => assert_eq!(found, payload),
                Found::Written => assert!(bench.engine.written() > lsn),
            }
        }
        writer.join().unwrap();
    });
}

/// The owner ends what was leaked while another thread, which has the engine only, waits for it.
#[test]
fn loom_the_owner_ends_what_somebody_waits_for() {
    model(|| {
        let mut bench = Bench::new(256, 2, 4096, 64);
        let leaked = bench.leak(8);
        let waiter = {
            let engine = bench.engine.engine().clone();
            thread::spawn(move || {
                let behind = engine.append(MessageKind::Inline, &[2; 8]).unwrap();
                assert!(engine.make_stable(behind).unwrap() > behind);
            })
        };
        assert_eq!(bench.engine.abort_leaked().iter().map(|leak| leak.lsn).collect::<Vec<_>>(), [leaked]);
        waiter.join().unwrap();
        let end = bench.engine.flush().unwrap();
        assert_eq!(payloads(&bench, &bench.file.synced(), end), [[0; 8], [2; 8]]);
    });
}
