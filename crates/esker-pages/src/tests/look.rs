//! Looking at a store.

use std::{collections::BTreeMap, sync::Arc};

use esker_storage::{Access, MemStorage, Storage};

use super::support::{audit, options, page};
use crate::{Error, Look, SlotState, Store};

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
