//! What the store promises, one example each.

use std::sync::Arc;

use esker_format::Lsn;
use esker_storage::{MemStorage, Storage};

use super::support::{SEGMENT_BYTES, message_bytes, open, options, stream};
use crate::{Error, ErrorKind, Streams};

fn storage() -> Arc<dyn Storage> {
    Arc::new(MemStorage::default())
}

/// Fills a stream until `segments` of its segments are complete and stable. Returns the records.
fn fill(store: &Streams, number: u8, segments: usize) -> Vec<(Lsn, Vec<u8>)> {
    let mut records = Vec::new();
    let complete = |store: &Streams| {
        store.segments().iter().filter(|segment| segment.stream == stream(number) && segment.end.is_some()).count()
    };
    for n in 0_u32.. {
        let payload = [number; 200].iter().copied().chain(n.to_le_bytes()).collect::<Vec<u8>>();
        records.push((store.append(stream(number), &payload).unwrap(), payload));
        if n % 8 == 0 {
            store.flush().unwrap();
            if complete(store) >= segments {
                break;
            }
        }
    }
    records
}

#[test]
fn records_of_several_streams_are_read_back_before_and_after_a_reopening() {
    let storage = storage();
    let (store, left) = open(&storage, &options()).unwrap();
    assert!(left.records.is_empty() && left.notes.is_empty());
    let mut written = Vec::new();
    for n in 0..300_u32 {
        let stream = stream((n % 3) as u8);
        let payload = vec![n as u8; (n % 150) as usize];
        let lsn = store.append(stream, &payload).unwrap();
        assert_eq!(store.read(lsn, message_bytes(&payload)).unwrap().unwrap(), payload);
        written.push((stream, lsn, payload));
    }
    store.flush().unwrap();
    for (_, lsn, payload) in &written {
        assert_eq!(store.read(*lsn, message_bytes(payload)).unwrap().as_ref(), Some(payload));
    }
    store.close().unwrap();
    let (store, left) = open(&storage, &options()).unwrap();
    let mut found = left.records;
    found.sort_by_key(|&(_, lsn, _)| lsn);
    written.sort_by_key(|&(_, lsn, _)| lsn);
    assert_eq!(found, written);
    for (_, lsn, payload) in &written {
        assert_eq!(store.read(*lsn, message_bytes(payload)).unwrap().as_ref(), Some(payload));
    }
}

#[test]
fn an_opening_goes_on_in_new_segments_and_no_lsn_comes_twice() {
    let storage = storage();
    let mut last = Lsn::ZERO;
    for n in 0..5_u8 {
        let (store, left) = open(&storage, &options()).unwrap();
        assert_eq!(left.records.len(), usize::from(n) * 2);
        for number in [0, 2] {
            let lsn = store.append(stream(number), &[n; 10]).unwrap();
            assert!(lsn > last);
            last = lsn;
        }
        drop(store);
    }
}

#[test]
fn a_retired_segment_is_not_found_and_its_slot_is_used_again_after_the_flush_that_follows() {
    let storage = storage();
    let (store, _) = open(&storage, &options().segments_max(Some(8))).unwrap();
    let records = fill(&store, 0, 3);
    let first = store.segments()[0];
    assert_eq!(first.end, Some(first.base + u64::from(SEGMENT_BYTES)));
    store.retire(first.base).unwrap();
    assert_eq!(store.retire(first.base).unwrap_err().kind(), ErrorKind::NotARecord);
    let (lsn, payload) = &records[0];
    assert_eq!(store.read(*lsn, message_bytes(payload)).unwrap(), None);
    // No flush has begun since.
    assert_eq!(store.reclaim(1).unwrap(), 0);
    store.flush().unwrap();
    assert_eq!(store.reclaim(77).unwrap(), 1);
    let slots = store.stats().segments.slots;
    fill(&store, 1, 1);
    let stats = store.stats();
    assert!(stats.segments.slots <= slots + 1, "{stats:?}");
    store.close().unwrap();
    let (_, left) = open(&storage, &options()).unwrap();
    assert_eq!(left.freed_mark, 77);
    assert!(left.records.iter().all(|&(_, lsn, _)| lsn.segment_base(super::support::segment_bytes()) != first.base));
}

#[test]
fn a_segment_that_is_being_filled_is_not_retired() {
    let (store, _) = open(&storage(), &options()).unwrap();
    store.append(stream(0), b"record").unwrap();
    let segment = store.segments()[0];
    assert_eq!(segment.end, None);
    assert_eq!(store.retire(segment.base).unwrap_err().kind(), ErrorKind::NotARecord);
    assert!(!store.visit_segment(segment.base, &mut Vec::new(), |_| Ok(())).unwrap());
}

#[test]
fn a_segment_is_visited_record_by_record() {
    let (store, _) = open(&storage(), &options()).unwrap();
    let records = fill(&store, 1, 2);
    let mut seen = Vec::new();
    let mut buffer = Vec::new();
    for segment in store.segments().into_iter().filter(|segment| segment.end.is_some()) {
        let there = store.visit_segment(segment.base, &mut buffer, |found| {
            assert_eq!(found.stream, stream(1));
            seen.push((found.lsn, found.payload.to_vec()));
            Ok(())
        });
        assert!(there.unwrap());
    }
    assert_eq!(seen, records[..seen.len()]);
    assert!(seen.len() > 20);
}

#[test]
fn users_stop_where_the_reserve_begins_and_go_on_when_segments_are_reclaimed() {
    let options = options().segments_max(Some(9)).reserve(2, 2);
    let (store, _) = open(&storage(), &options).unwrap();
    let full = loop {
        if let Err(error) = store.append(stream(0), &[1; 300]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::NoSpace);
    assert_eq!(store.stats().segments.slots, 7);
    // Who moves records may take what is left.
    fill(&store, 2, 1);
    let error = loop {
        if let Err(error) = store.append(stream(2), &[1; 300]) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    store.flush().unwrap();
    for segment in store.segments().iter().filter(|segment| segment.end.is_some()).take(3) {
        store.retire(segment.base).unwrap();
    }
    store.flush().unwrap();
    assert_eq!(store.reclaim(0).unwrap(), 3);
    store.append(stream(0), &[1; 300]).unwrap();
    store.flush().unwrap();
    assert!(store.stats().segments.slots <= 9);
}

#[test]
fn what_is_reserved_is_at_its_lsn_once_it_is_complete_and_skipped_if_it_is_not() {
    let storage = storage();
    let (store, _) = open(&storage, &options()).unwrap();
    let mut kept = store.reserve(stream(1), 4).unwrap();
    let given_up = store.reserve(stream(1), 4).unwrap();
    kept.payload_mut().copy_from_slice(b"kept");
    let (lsn, other) = (kept.lsn(), given_up.lsn());
    assert_eq!(kept.complete(), lsn);
    drop(given_up);
    assert_eq!(store.read(lsn, 28).unwrap().unwrap(), b"kept");
    assert!(matches!(store.read(other, 28), Err(Error::NotARecord { .. })));
    store.close().unwrap();
    let (_, left) = open(&storage, &options()).unwrap();
    assert_eq!(left.of(stream(1)), [b"kept"]);
}

#[test]
fn many_threads_flush_at_once_and_share_syncs() {
    let storage = storage();
    let (store, _) = open(&storage, &options()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..6_u8 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..50_u8 {
                    store.append(stream(thread % 3), &[thread, n]).unwrap();
                    store.flush().unwrap();
                }
            });
        }
    });
    drop(store);
    let (_, left) = open(&storage, &options()).unwrap();
    assert_eq!(left.records.len(), 300);
    for thread in 0..6_u8 {
        let of_thread: Vec<_> = left.records.iter().filter(|(_, _, payload)| payload[0] == thread).collect();
        assert!(of_thread.windows(2).all(|pair| pair[0].2[1] < pair[1].2[1]), "each stream keeps its order");
    }
}

#[test]
fn fewer_streams_at_the_next_opening_lose_nothing() {
    let storage = storage();
    let (store, _) = open(&storage, &options()).unwrap();
    let lsn = store.append(stream(2), b"of a stream that will not be").unwrap();
    store.close().unwrap();
    let (store, left) = open(&storage, &options().streams(1)).unwrap();
    assert_eq!(left.of(stream(2)).len(), 1);
    assert!(store.read(lsn, 24 + 28).unwrap().is_some());
}

#[test]
fn options_that_contradict_each_other_are_all_named() {
    let options = crate::Options::new().segment_bytes(5).buffer_bytes(1).buffers(3).streams(0).segments_max(Some(0));
    let Err(Error::InvalidOptions { faults }) = options.validate() else { panic!("they are not valid") };
    assert_eq!(faults.len(), 5, "{faults:?}");
}
