//! Who waits, and for what: with real threads and a file that takes its time.

use std::{sync::Arc, thread, time::Duration};

use esker_format::{Lsn, MESSAGE_HEADER_BYTES, MessageKind};

use super::support::Bench;
use crate::{EngineError, IoAction};

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
    assert_eq!([IoAction::Write, IoAction::Sync].map(|action| action.to_string()), ["write", "sync"]);
}
