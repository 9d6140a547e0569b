//! An engine among others that share its file and its space of LSNs.

use std::io;

use esker_format::{Lsn, MessageKind};

use super::support::Bench;
use crate::{EngineError, Found, IoAction};

const SEGMENT_BYTES: u64 = 4096;

/// The segments of an engine, of which it gets each third.
fn among_others() -> Bench {
    let bench = Bench::new(256, 4, SEGMENT_BYTES as u32, 0);
    bench.source.set_others(2);
    bench
}

#[test]
fn segments_of_others_lie_between_its_own_and_nothing_there_is_waited_for() {
    let bench = among_others();
    let mut lsns: Vec<Lsn> = Vec::new();
    for n in 0..250_u8 {
        let lsn = bench.append(&[n; 90]);
        assert!(lsns.last().is_none_or(|&last| last < lsn));
        if n % 7 == 0 {
            // Whether a segment has just ended or not.
            assert_eq!(bench.engine.write_out().unwrap(), bench.engine.reserved());
        }
        if n % 11 == 0 {
            assert_eq!(bench.engine.flush().unwrap(), bench.engine.reserved());
            assert!(bench.engine.stable() > lsn);
        }
        lsns.push(lsn);
    }
    let bases: std::collections::BTreeSet<u64> = lsns.iter().map(|lsn| lsn.get() / SEGMENT_BYTES).collect();
    assert!(bases.len() > 5 && bases.iter().all(|base| base % 3 == 2), "{bases:?}");
    bench.engine.flush().unwrap();
    let end = bench.engine.reserved();
    let bytes = bench.file.synced();
    for (n, lsn) in lsns.iter().enumerate() {
        let payload = &bytes[lsn.get() as usize + esker_format::MESSAGE_HEADER_BYTES..][..90];
        assert_eq!(payload, [n as u8; 90], "at {lsn} of {end}");
    }
}

#[test]
fn a_segment_that_ends_with_a_claim_is_written_out_without_the_next() {
    let bench = among_others();
    // The rest of each buffer is taken to its last byte, until a segment is full.
    let mut last = bench.append(&[1; 80]);
    while last.get() % SEGMENT_BYTES < SEGMENT_BYTES - 300 {
        last = bench.append(&[1; 80]);
    }
    let first_base = last.get() / SEGMENT_BYTES;
    while last.get() / SEGMENT_BYTES == first_base {
        assert_eq!(bench.engine.write_out().unwrap(), bench.engine.written());
        assert_eq!(bench.engine.flush().unwrap(), bench.engine.stable());
        last = bench.append(&[2; 40]);
    }
    assert_eq!(last.get() / SEGMENT_BYTES, first_base + 3);
    // What is between two segments was never reserved by anybody here; asking for it neither hangs nor finds anything.
    let between = Lsn::new((first_base + 1) * SEGMENT_BYTES + 100);
    assert!(matches!(bench.engine.read(between, <[u8]>::len), Ok(Found::Written)));
}

#[test]
fn a_sync_of_somebody_else_moves_the_watermark_up_to_what_was_written_before_it() {
    let bench = among_others();
    let first = bench.append(b"first");
    let written = bench.engine.write_out().unwrap();
    let second = bench.append(b"second");
    assert_eq!(bench.engine.synced(written, Ok(())).unwrap(), written);
    assert_eq!(bench.source.stable(), written);
    assert!(first < bench.engine.stable() && bench.engine.stable() <= second);
    // An older sync that ends later takes nothing back.
    assert_eq!(bench.engine.synced(first, Ok(())).unwrap(), written);
}

#[test]
fn a_failed_sync_of_somebody_else_stops_the_engine() {
    let bench = among_others();
    bench.append(b"first");
    let written = bench.engine.write_out().unwrap();
    let stable = bench.engine.stable();
    let failed = bench.engine.synced(written, Err(io::Error::other("the disk is gone")));
    assert!(matches!(failed, Err(EngineError::Poisoned { .. })), "{failed:?}");
    assert_eq!(bench.engine.poison().unwrap().action, IoAction::Sync);
    // Another one that succeeds acknowledges nothing.
    assert!(bench.engine.synced(written, Ok(())).is_err());
    assert_eq!(bench.engine.stable(), stable);
    assert!(bench.engine.append(MessageKind::Inline, b"second").is_err() || bench.engine.flush().is_err());
}

/// Breaks if the watermark of what is written does not pass over what lies between the engine's segments, and is not seen to
/// end in the buffer that is held.
#[test]
fn what_is_complete_before_a_reservation_at_the_beginning_of_a_segment_becomes_durable() {
    for complete in 0..3 {
        let bench = among_others();
        let mut last = bench.append(&[1; 80]);
        let first_base = last.get() / SEGMENT_BYTES;
        while last.get() / SEGMENT_BYTES == first_base {
            last = bench.append(&[1; 40]);
        }
        for n in 1..complete {
            last = bench.append(&[n; 5]);
        }
        if complete == 0 {
            // Everything before is, and what is first in the buffer is not.
            bench.engine.make_stable(last).unwrap();
        }
        let held = bench.engine.reserve(MessageKind::Inline, 7).unwrap();
        let later = bench.append(b"later");
        assert!(bench.engine.make_stable(last).unwrap() > last);
        assert!(bench.engine.stable() <= held.lsn());
        held.complete();
        assert!(bench.engine.make_stable(later).unwrap() > later);
    }
}
