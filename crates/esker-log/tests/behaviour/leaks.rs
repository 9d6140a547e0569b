//! Reservations that are forgotten: what closing makes of them.

use std::{mem, sync::Arc, thread, time::Duration};

use esker_log::{Error, ErrorKind, Log, Lsn, storage::MemStorage};

use crate::support::{Records, all, append, assert_same, collect, open, options, payload, reader, without_hanging};

/// Forgets a reservation.
fn leak(log: &Log, len: u32) -> Lsn {
    let reservation = log.reserve(len).unwrap();
    let lsn = reservation.lsn();
    mem::forget(reservation);
    lsn
}

/// Records before, between and behind `leaks` leaks.
fn fill(log: &Log, leaks: u64) -> (Records, Vec<Lsn>) {
    let (mut records, mut lsns) = (Records::new(), Vec::new());
    for n in 0..=leaks {
        append(log, &mut records, payload(n, 40));
        append(log, &mut records, payload(100 + n, 30));
        if n < leaks {
            lsns.push(leak(log, 20));
        }
    }
    (records, lsns)
}

#[test]
fn closing_aborts_what_was_leaked_and_loses_nothing_else() {
    for leaks in 1..5 {
        let storage = MemStorage::default();
        let of_log = storage.clone();
        let (records, lsns, error) = without_hanging("closing", move || {
            let log = open(&of_log);
            let (records, lsns) = fill(&log, leaks);
            (records, lsns, log.close().unwrap_err())
        });
        assert_eq!(error.kind(), ErrorKind::ReservationLeaked);
        let said = error.to_string();
        assert!(said.contains("leaks.rs"), "{said}");
        let Error::ReservationLeaked { first, count } = error else { unreachable!() };
        assert_eq!((first.lsn, first.len, u64::from(count)), (lsns[0], 20, leaks));
        let reader = reader(&storage);
        assert!(reader.report().clean, "closed in good order");
        assert_same("reading", &collect(reader.iter_from(Lsn::ZERO)), &records);
        let log = open(&storage);
        assert_same("opening again", &all(&log), &records);
        for lsn in lsns {
            assert_eq!(log.read(lsn).unwrap_err().kind(), ErrorKind::NotARecord);
        }
        log.close().unwrap();
    }
}

/// With the log's own thread waiting for the leak, and the log shared among threads.
#[test]
fn dropping_the_last_share_aborts_what_was_leaked() {
    let storage = MemStorage::default();
    let of_log = storage.clone();
    let records = without_hanging("dropping", move || {
        let flushing = options().background(true).flush_interval(Some(Duration::from_millis(1)));
        let log = Arc::new(Log::open(Arc::new(of_log), flushing).unwrap());
        let (records, lsns) = fill(&log, 2);
        // What lies before the first leak becomes durable by the thread alone.
        while log.stable_lsn() < lsns[0] {
            thread::yield_now();
        }
        assert_eq!(log.stable_lsn(), lsns[0]);
        let shares: Vec<_> = (0..3).map(|_| log.clone()).collect();
        drop(log);
        let threads: Vec<_> = shares.into_iter().map(|log| thread::spawn(move || drop(log))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        records
    });
    let reader = reader(&storage);
    assert!(reader.report().clean);
    assert_same("reading", &collect(reader.iter_from(Lsn::ZERO)), &records);
}

#[test]
fn statistics_name_what_is_open() {
    let log = open(&MemStorage::default());
    let before = log.append(b"before").unwrap();
    let lsn = leak(&log, 12);
    let stats = log.stats().engine;
    let oldest = stats.oldest_reservation.unwrap();
    assert_eq!((stats.open_reservations, oldest.lsn, oldest.len), (1, lsn, 12));
    assert!(oldest.location.file().ends_with("leaks.rs"), "{oldest}");
    assert_eq!(log.make_stable(before).unwrap(), lsn);
    assert_eq!(log.read(before).unwrap().payload(), b"before");
    let behind = log.append(b"behind").unwrap();
    assert_eq!(log.read(behind).unwrap().payload(), b"behind");
    assert_eq!(log.truncate_before(lsn).unwrap().floor, lsn);
    assert_eq!(log.close().unwrap_err().kind(), ErrorKind::ReservationLeaked);
}
