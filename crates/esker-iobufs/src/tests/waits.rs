//! Who waits, and for what: with real threads and a file that takes its time.

use std::{sync::Arc, thread, time::Duration};

use esker_format::{Epoch, FileOffset, LogId, Lsn, MESSAGE_HEADER_BYTES, MessageKind, SegmentBytes};

use super::support::Bench;
use crate::{EngineError, IoAction, Options};

const MARGIN: Duration = Duration::from_secs(2);

#[test]
fn whoever_yields_returns_only_when_its_record_is_on_the_disk() {
    let bench = Arc::new(Bench::yielding(Duration::from_millis(50), 4096, 4, 1 << 16, 0));
    bench.file.syncs_take(Duration::from_micros(300));
    thread::scope(|scope| {
        for thread in 0..24_u8 {
            let bench = bench.clone();
            scope.spawn(move || {
                for n in 0..20_u8 {
                    let lsn = bench.append(&[thread, n, 7]);
                    let stable = bench.engine.make_stable(lsn).unwrap();
                    assert!(stable > lsn, "{lsn} is said to be stable at {stable}");
                    let at = lsn.get() as usize + MESSAGE_HEADER_BYTES;
                    assert_eq!(bench.file.synced()[at..at + 3], [thread, n, 7]);
                }
            });
        }
    });
}

#[test]
fn what_was_never_reserved_is_refused_while_others_are_served() {
    let bench = Arc::new(Bench::new(4096, 4, 1 << 16, 0));
    bench.file.syncs_take(MARGIN);
    let leader = {
        let bench = bench.clone();
        thread::spawn(move || {
            let lsn = bench.append(b"one");
            bench.engine.make_stable(lsn).unwrap();
        })
    };
    while bench.engine.written() == Lsn::ZERO {
        thread::yield_now();
    }
    let beyond = Lsn::new(1 << 20);
    let refused = bench.engine.make_stable(beyond);
    assert!(matches!(refused, Err(EngineError::NeverReserved { lsn, .. }) if lsn == beyond), "{refused:?}");
    assert!(!leader.is_finished(), "it was refused only after the sync of another");
    leader.join().unwrap();
}

#[test]
fn a_batch_takes_payloads_up_to_the_longest() {
    let bench = Bench::new(4096, 4, 1 << 16, 0);
    let max = bench.engine.payload_bytes_max() as usize;
    let (long, longer) = (vec![1; max], vec![1; max + 1]);
    let mut lsns = Vec::new();
    bench.engine.append_all(MessageKind::Inline, &[b"short", &long], &mut lsns).unwrap();
    assert_eq!(lsns.len(), 2);
    let refused = bench.engine.append_all(MessageKind::Inline, &[b"short", &longer], &mut lsns);
    assert!(matches!(refused, Err(EngineError::TooLarge { .. })), "{refused:?}");
    assert_eq!(lsns.len(), 2, "nothing of it was appended");
}

#[test]
fn an_engine_shows_how_it_stands() {
    let bench = Bench::new(4096, 4, 1 << 16, 0);
    let shown = format!("{:?}", bench.engine);
    assert!(shown.contains("stats: Stats") && shown.contains("options: Options"), "{shown}");
    let memory = format!("{:?}", crate::memory::BufferMemory::new(256));
    assert!(memory.contains("256"), "{memory}");
    assert_eq!([IoAction::Write, IoAction::Sync].map(|action| action.to_string()), ["write", "sync"]);
}

#[test]
fn the_buffers_of_a_segment_fill_it_and_leave_no_remainder_too_small_for_a_pad() {
    const PAD_MIN: u32 = MESSAGE_HEADER_BYTES as u32;
    let bench = Bench::new(256, 2, 4096, 0);
    let options = &bench.engine.engine().options;
    let capacities = [1, 255, 256, 257, 256 + PAD_MIN - 1, 256 + PAD_MIN, 4096].map(|rest| options.capacity(rest));
    assert_eq!(capacities, [1, 255, 256, 256 - PAD_MIN, 256 - PAD_MIN, 256, 256]);
}

#[test]
fn a_tip_too_near_to_the_end_of_its_segment_for_a_header_is_refused() {
    let segment_bytes = SegmentBytes::new(4096).unwrap();
    let options = |tip| Options {
        buffer_bytes: 256,
        buffers: 2,
        segment_bytes,
        log_id: LogId::from_bytes([7; 16]),
        epoch: Epoch::new(1),
        tip: Lsn::new(tip),
        tip_segment: FileOffset::new(0),
        yield_max: Duration::ZERO,
        unsynced_bytes_max: u64::MAX,
    };
    let header = MESSAGE_HEADER_BYTES as u64;
    for tip in [4096 - header, 4096] {
        assert_eq!(options(tip).validate(), Ok(()), "{tip}");
    }
    for tip in [1, 4096 - header + 1, 4095] {
        let refused = options(tip).validate().unwrap_err();
        assert!(refused.to_string().contains("cannot begin a message"), "{refused}");
    }
}

#[test]
fn a_flush_with_nothing_to_flush_writes_nothing() {
    let bench = Bench::new(256, 2, 4096, 0);
    assert_eq!(
        (bench.engine.flush().unwrap(), bench.engine.stats().writes),
        (Lsn::ZERO, 0),
        "a header alone is nothing"
    );
    for len in 0..300 {
        bench.append(&vec![1; len % 90]);
        let stable = bench.engine.flush().unwrap();
        let before = bench.engine.stats();
        assert_eq!(bench.engine.flush().unwrap(), stable);
        assert_eq!((bench.engine.stats().writes, bench.engine.stats().segments), (before.writes, before.segments));
    }
}

#[test]
fn padding_is_counted() {
    let bench = Bench::new(256, 2, 4096, 0);
    for len in 0..300 {
        bench.append(&vec![1; len % 90]);
    }
    let stable = bench.engine.flush().unwrap();
    let found = bench.messages(&bench.file.synced(), stable);
    let pads = found.iter().filter(|(_, kind, _)| *kind == MessageKind::Pad);
    let pad_bytes: usize = pads.map(|(_, _, payload)| MESSAGE_HEADER_BYTES + payload.len()).sum();
    assert!(pad_bytes > 0);
    assert_eq!(bench.engine.stats().pad_bytes, pad_bytes as u64);
}
