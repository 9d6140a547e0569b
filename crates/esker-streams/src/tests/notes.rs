//! The ledger: notes of the store and of its owner.

use std::sync::Arc;

use esker_format::{Epoch, LogId, Lsn, SegmentBytes};
use esker_storage::{MemStorage, Storage};
use proptest::{collection::vec, prelude::*};

use super::support::{SEGMENT_BYTES, open, options, stream};
use crate::{
    ErrorKind, StreamId,
    ledger::{Entry, Note, Table},
};

fn table() -> Table {
    let mut table = Table::new(LogId::from_bytes([3; 16]), SegmentBytes::new(SEGMENT_BYTES).unwrap());
    table.epoch = Epoch::new(5);
    table.freed_mark = 9;
    for (n, end) in [(0, None), (2, Some(Lsn::new(2 * 4096 + 100))), (7, Some(Lsn::new(8 * 4096)))] {
        let base = Lsn::new(n * u64::from(SEGMENT_BYTES));
        table.segments.insert(base, Entry { stream: stream(n as u8), end });
    }
    table.next_base = Lsn::new(8 * 4096);
    table
}

#[test]
fn notes_are_what_they_were_after_encoding() {
    let notes = [
        Note::Created { log_id: LogId::from_bytes([1; 16]), segment_bytes: SegmentBytes::new(8192).unwrap() },
        Note::Begun { stream: StreamId::FIRST, base: Lsn::new(4096) },
        Note::Freed { mark: u64::MAX, bases: vec![Lsn::new(1), Lsn::new(2)] },
        Note::Opened { epoch: Epoch::new(7), ends: vec![(Lsn::new(0), Lsn::new(64))] },
        Note::Table(table()),
    ];
    for note in notes {
        let bytes = note.encode();
        assert_eq!(Note::decode(&bytes).unwrap(), note);
        for len in 0..bytes.len() {
            assert!(Note::decode(&bytes[..len]).is_err(), "{note:?} cut to {len} bytes");
        }
    }
}

#[test]
fn a_table_says_all_that_the_notes_before_it_do() {
    let whole = table();
    let note = Note::Table(whole.clone());
    assert_eq!(Table::after(None, note.clone()).unwrap(), Some(whole.clone()));
    let other = Table::new(whole.log_id, whole.segment_bytes);
    assert_eq!(Table::after(Some(other), note).unwrap(), Some(whole));
}

#[test]
fn no_base_is_begun_twice_and_none_below_the_next_comes_again() {
    let base = Lsn::new(3 * 4096);
    let begun = Note::Begun { stream: StreamId::FIRST, base };
    let table = Table::after(Some(table()), begun.clone()).unwrap().unwrap();
    assert_eq!(table.next_base, Lsn::new(8 * 4096));
    assert!(Table::after(Some(table.clone()), begun).is_err());
    let later = Note::Begun { stream: StreamId::FIRST, base: Lsn::new(20 * 4096) };
    let table = Table::after(Some(table), later).unwrap().unwrap();
    assert_eq!(table.next_base, Lsn::new(21 * 4096));
    // What is freed leaves its mark.
    let freed = Note::Freed { mark: 8, bases: vec![Lsn::new(20 * 4096)] };
    let table = Table::after(Some(table), freed).unwrap().unwrap();
    assert_eq!((table.next_base, table.freed_mark), (Lsn::new(21 * 4096), 9));
}

proptest! {
    #[test]
    fn any_bytes_are_a_note_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(note) = Note::decode(&bytes) {
            prop_assert_eq!(note.encode(), bytes);
            drop(Table::after(Some(table()), note));
        }
    }
}

#[test]
fn an_owners_notes_come_back_and_a_checkpoint_gives_up_those_before_it() {
    let storage: Arc<dyn Storage> = Arc::new(MemStorage::default());
    let (store, _) = open(&storage, &options()).unwrap();
    let mut last = Lsn::ZERO;
    for n in 0..20_u32 {
        store.append(stream(1), &[1; 700]).unwrap();
        last = store.note(&vec![n as u8; 100_000]).unwrap();
    }
    store.flush().unwrap();
    store.flush_notes().unwrap();
    let before = store.ledger_bytes();
    store.checkpoint(b"root", last).unwrap();
    assert!(store.ledger_bytes() < before);
    store.append(stream(2), b"after the checkpoint").unwrap();
    store.close().unwrap();
    let (_, left) = open(&storage, &options()).unwrap();
    // Notes are given up by segments of the ledger, so that some before are still there.
    assert!(left.notes.len() < 20);
    assert_eq!(left.notes.last().unwrap(), b"root");
    assert_eq!(left.notes[left.notes.len() - 2], [19; 100_000]);
    assert_eq!((left.of(stream(1)).len(), left.of(stream(2)).len()), (20, 1));
}

#[test]
fn a_log_that_is_no_ledger_is_refused() {
    let storage: Arc<dyn Storage> = Arc::new(MemStorage::default());
    let log = esker_log::Log::open(storage.clone(), esker_log::Options::new().segment_bytes(4096)).unwrap();
    log.append(b"somebody's record").unwrap();
    log.close().unwrap();
    let refused = open(&storage, &options()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotEsker, "{refused}");
}

#[test]
fn a_store_is_not_created_where_that_is_not_wanted() {
    let storage: Arc<dyn Storage> = Arc::new(MemStorage::default());
    let refused = open(&storage, &options().create(false)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
}
