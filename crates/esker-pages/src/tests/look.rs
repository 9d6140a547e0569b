//! Looking at a store.

use std::{collections::BTreeMap, sync::Arc};

use esker_storage::{Access, MemStorage, Storage};

use super::support::{audit, options, page};
use crate::{Error, Leak, Look, SlotState, Store, node::Fragment};

/// All bytes of all files.
fn bytes_of(storage: &dyn Storage) -> BTreeMap<String, Vec<u8>> {
    let names = storage.list().unwrap().into_iter();
    let read = names.map(|name| {
        let file = storage.open(&name, Access::Read).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        (name, bytes)
    });
    read.collect()
}

#[test]
fn whoever_looks_sees_all_and_changes_nothing() {
    let storage: Arc<dyn Storage> = Arc::new(MemStorage::default());
    let store = Store::open(storage.clone(), options()).unwrap();
    let first = store.replace(page(1), None, &[1; 100]).unwrap();
    let linked = store.link(page(1), first, b"and more").unwrap();
    let large = store.replace(page(2), None, &[2; 5000]).unwrap();
    for id in 3..60 {
        store.replace(page(id), None, &[3; 200]).unwrap();
    }
    store.set_root("tree", None, Some(page(2))).unwrap();
    assert!(matches!(Look::open(storage.clone()), Err(Error::Log(_))), "somebody has it open");
    store.flush().unwrap();
    let stats = store.stats();
    let live: u64 = store.slots().iter().map(|slot| slot.live_bytes).sum();
    assert_eq!(live, stats.live_bytes);
    // As after a crash: nothing is closed in good order.
    std::mem::forget(store);
    let image: Arc<dyn Storage> = Arc::new(MemStorage::default());
    for (name, bytes) in bytes_of(&*storage) {
        image.create(&name).unwrap().write_all_at(&bytes, 0).unwrap();
    }

    let before = bytes_of(&*image);
    let look = Look::open(image.clone()).unwrap();
    audit(&look.inner);
    let mut pages = BTreeMap::new();
    look.pages(|info| {
        pages.insert(info.page, info);
        Ok::<_, ()>(())
    })
    .unwrap();
    assert_eq!(pages.len(), 59);
    let (one, two) = (&pages[&page(1)], &pages[&page(2)]);
    assert_eq!((one.version, one.records, one.bytes, one.file), (linked, 2, (37 + 100) + (37 + 8), None));
    assert_eq!((two.version, two.records, two.file.map(|file| file.bytes)), (large, 1, Some(5000)));
    assert_eq!(look.roots().unwrap(), [("tree".to_owned(), page(2))]);
    let slots = look.slots();
    assert_eq!(slots.len() as u64 * u64::from(look.segment_bytes()), look.stats().file_bytes);
    assert_eq!(slots.iter().map(|slot| slot.live_bytes).sum::<u64>(), look.stats().live_bytes);
    assert!(slots.iter().any(|slot| slot.state == SlotState::Full && slot.stream.is_some() && slot.base.is_some()));
    assert_eq!(look.pages(|info| if info.page == page(3) { Err("enough") } else { Ok(()) }), Err("enough"));
    drop(look);
    assert_eq!(bytes_of(&*image), before);
    // What is not there is not made.
    let nothing: Arc<dyn Storage> = Arc::new(MemStorage::default());
    assert!(Look::open(nothing.clone()).is_err());
    assert!(nothing.list().unwrap().is_empty());
}

#[test]
fn all_of_a_store_is_read_and_leaks_are_told_of() {
    let storage: Arc<dyn Storage> = Arc::new(MemStorage::default());
    let store = Store::open(storage.clone(), options()).unwrap();
    for id in 0..80 {
        store.replace(page(id), None, &[id as u8; 200]).unwrap();
    }
    let linked = store.link(page(3), store.version(page(3)).unwrap(), b"more").unwrap();
    store.replace(page(4), store.version(page(4)), &[4; 5000]).unwrap();
    store.free(page(5), store.version(page(5)).unwrap()).unwrap();
    store.close().unwrap();
    let mut told = (0, 0);
    let look = Look::open(storage.clone()).unwrap();
    let verified = look.verify(&mut |done, total| told = (done, total)).unwrap();
    assert!(verified.damages.is_empty() && verified.leaks.is_empty(), "{verified:?}");
    assert_eq!((verified.pages, verified.records), (79, 80), "the delta is one more");
    assert!(verified.segments > 3 && verified.bytes > 79 * 237 * 2 + 5000, "{verified:?}");
    assert!(told.0 == told.1 && told.1 > 0, "{told:?}");

    // What is counted and what is there are two things.
    let newest = |look: &Look, id| {
        let mut found = None;
        look.pages(|info| {
            found = found.or((info.page == page(id)).then_some((info.lsn, info.version)));
            Ok::<_, ()>(())
        })
        .unwrap();
        found.unwrap()
    };
    let (lsn, version) = newest(&look, 7);
    look.inner.books.died(Fragment::new(lsn, 237, version, false));
    look.inner.ids.free(page(9)).unwrap();
    let (delta_lsn, delta_version) = newest(&look, 3);
    assert_eq!(delta_version, linked);
    storage.create("page-0123456789abcdef").unwrap().write_all_at(&[1; 77], 0).unwrap();
    let data = storage.open(esker_streams::DATA_FILE, Access::ReadWrite).unwrap();
    data.write_all_at(&[0; 10], data.len().unwrap()).unwrap();
    let verified = look.verify(&mut |_, _| ()).unwrap();
    let base = lsn.segment_base(look.inner.streams.segment_bytes());
    let accounted = look.inner.books.live_bytes_in(base);
    let wanted = [
        Leak::PageIds { in_use: 78, pages: 79 },
        Leak::Segment {
            base,
            accounted_bytes: accounted,
            reached_bytes: accounted + 237,
            found_bytes: accounted + 237,
        },
        Leak::File { name: "page-0123456789abcdef".to_owned(), bytes: 77 },
        Leak::Tail { bytes: 10 },
    ];
    assert!(verified.damages.is_empty(), "{verified:?}");
    assert_eq!(verified.leaks, wanted);

    // A byte of the delta changes: the page and its segment are not what was written.
    let slots = look.slots();
    let delta_base = delta_lsn.segment_base(look.inner.streams.segment_bytes());
    let slot = slots.iter().position(|slot| slot.base == Some(delta_base)).unwrap() as u64;
    let at = slot * 4096 + (delta_lsn - delta_base) + 24 + 13;
    data.write_all_at(b"M", at).unwrap();
    let verified = look.verify(&mut |_, _| ()).unwrap();
    assert_eq!(verified.damages.len(), 2, "{:?}", verified.damages);
}
