//! Changes of several pages that are one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use esker_storage::{MemStorage, Storage};

use super::support::{Rng, audit, options, page, pages_of};
use crate::{Batch, Error, PageId, Store, Version};

fn store() -> Store {
    Store::open(Arc::new(MemStorage::default()), options()).unwrap()
}

#[test]
fn all_changes_of_a_batch_are_made_or_none() {
    let store = store();
    let first = store.replace(page(1), None, b"one").unwrap();
    let second = store.replace(page(2), None, b"two").unwrap();
    let mut batch = Batch::new();
    batch.replace(page(1), Some(first), "uno").link(page(2), second, "!").replace(page(3), None, "tre");
    let versions = store.apply(&batch).unwrap();
    assert_eq!(versions.len(), 3);
    let wanted = [(1, "uno"), (2, "two!"), (3, "tre")];
    let wanted = wanted.iter().zip(&versions).map(|(&(id, content), version)| (id, (version.get(), content.into())));
    let wanted = wanted.collect();
    assert_eq!(pages_of(&store), wanted);

    // The same again is late, and so is a batch of which only the last change is late.
    let late = store.apply(&batch).unwrap_err();
    assert_eq!(late.conflict(), Some(Some(versions[0])));
    let mut batch = Batch::new();
    batch.free(page(1), versions[0]).replace(page(4), None, "quattro").link(page(3), versions[0], "?");
    let late = store.apply(&batch).unwrap_err();
    assert_eq!(late.conflict(), Some(Some(versions[2])));
    assert_eq!(pages_of(&store), wanted);

    let mut batch = Batch::new();
    batch.free(page(1), versions[0]).free(page(3), versions[2]);
    store.apply(&batch).unwrap();
    assert_eq!(pages_of(&store).into_keys().collect::<Vec<_>>(), [2]);
    assert_eq!(store.apply(&Batch::new()).unwrap(), []);
    assert!(Batch::new().is_empty() && batch.len() == 2);
    audit(&store.inner);
    // What was freed may be had again.
    assert_eq!([store.allocate().unwrap(), store.allocate().unwrap()], [page(0), page(1)]);
}

#[test]
fn what_is_wrong_with_a_batch_is_said() {
    let store = store();
    let mut batch = Batch::new();
    batch.replace(page(1), None, "a").replace(page(1), None, "b");
    let error = store.apply(&batch).unwrap_err();
    assert!(matches!(error, Error::Twice { page: twice } if twice == page(1)), "{error}");
    let mut batch = Batch::new();
    batch.replace(PageId::MIN, None, "a");
    for error in [store.apply(&batch).map(drop), store.replace(PageId::MIN, None, b"a").map(drop)] {
        assert!(matches!(error, Err(Error::Reserved { .. })), "{error:?}");
    }
    let mut batch = Batch::new();
    for id in 0..1000 {
        batch.replace(page(id), None, "a");
    }
    let error = store.apply(&batch).unwrap_err();
    assert!(matches!(error, Error::TooLarge { what: "batch", .. }), "{error}");
    assert!(pages_of(&store).is_empty());
    audit(&store.inner);
}

#[test]
fn a_batch_that_does_not_fit_gives_its_longest_contents_files() {
    let storage: Arc<dyn Storage> = Arc::new(MemStorage::default());
    let store = Store::open(storage.clone(), options()).unwrap();
    let contents: Vec<Vec<u8>> = (0..8).map(|nth| vec![nth; 100 + 100 * usize::from(nth)]).collect();
    let mut batch = Batch::new();
    for (id, content) in (0..).zip(&contents) {
        batch.replace(page(id), None, &**content);
    }
    let versions = store.apply(&batch).unwrap();
    let files = store.stats().large_files;
    assert!((1..8).contains(&files), "{files}");
    // What comes to nothing leaves no file behind.
    assert!(store.apply(&batch).is_err());
    assert_eq!(store.stats().large_files, files);
    store.close().unwrap();
    let store = Store::open(storage, options()).unwrap();
    for (id, (content, version)) in (0..).zip(contents.iter().zip(versions)) {
        let found = store.get(page(id)).unwrap().unwrap();
        assert_eq!((found.version, &*found.content), (version, &**content));
    }
    audit(&store.inner);
}

#[test]
fn names_stand_for_pages_across_openings() {
    let storage: Arc<dyn Storage> = Arc::new(MemStorage::default());
    let store = Store::open(storage.clone(), options()).unwrap();
    assert_eq!(store.root("tree").unwrap(), None);
    store.set_root("tree", None, Some(page(3))).unwrap();
    store.set_root("queue", None, Some(page(4))).unwrap();
    let late = store.set_root("tree", None, Some(page(5))).unwrap_err();
    assert_eq!(late.to_string(), "the name \"tree\" stands for page 4, not nothing");
    let mut batch = Batch::new();
    batch.set_root("tree", Some(page(3)), Some(page(6))).set_root("queue", Some(page(4)), None).replace(
        page(6),
        None,
        "x",
    );
    assert_eq!(store.apply(&batch).unwrap().len(), 1);
    // A change that is late keeps the name from being changed, and the other way round.
    let mut batch = Batch::new();
    batch.set_root("tree", Some(page(6)), None).replace(page(6), None, "y");
    assert!(store.apply(&batch).unwrap_err().conflict().is_some());
    let mut batch = Batch::new();
    batch.set_root("tree", None, None).replace(page(7), None, "y");
    assert!(matches!(store.apply(&batch), Err(Error::RootConflict { .. })));
    let too_long = "x".repeat(70_000);
    assert!(matches!(store.set_root(&too_long, None, Some(page(1))), Err(Error::TooLarge { what: "name", .. })));
    store.close().unwrap();

    let store = Store::open(storage, options()).unwrap();
    assert_eq!(store.roots().unwrap(), [("tree".to_owned(), page(6))]);
    // The page of the names is nobody's.
    assert_eq!(pages_of(&store).len(), 2);
    let mut listed = Vec::new();
    store.for_each(|page, _| listed.push(page));
    assert_eq!((listed, store.stats().pages), (vec![page(6)], 1));
    assert_eq!((store.get(PageId::MIN).unwrap(), store.version(PageId::MIN)), (None, None));
    assert_eq!(store.view(PageId::MIN, |_, _| ()).unwrap(), None);
    audit(&store.inner);
}

fn number(content: &[u8]) -> u64 {
    u64::from_le_bytes(content.try_into().unwrap())
}

/// A1: two pages that are always changed together are never seen apart, whichever of them is looked at first.
#[test]
fn whoever_has_seen_one_page_of_a_batch_sees_the_others() {
    const ROUNDS: u64 = 3000;
    let store = store();
    for id in 0..2 {
        store.replace(page(id), None, &0_u64.to_le_bytes()).unwrap();
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2_u64)
            .map(|first| {
                let (store, stop) = (&store, &stop);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let [earlier, later] = [first, 1 - first]
                            .map(|id| store.view(page(id), |_, content| number(content)).unwrap().unwrap());
                        assert!(later >= earlier, "page {first} was seen at {earlier}, and the other at {later}");
                    }
                })
            })
            .collect();
        for n in 1..=ROUNDS {
            let mut batch = Batch::new();
            for id in 0..2 {
                batch.replace(page(id), store.version(page(id)), n.to_le_bytes());
            }
            store.apply(&batch).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    audit(&store.inner);
}

/// Many threads move amounts between accounts, each move a batch, beside changes of single pages, cleaning and checkpoints:
/// the sum of all accounts stays what it was, at each moment and after each crash.
#[test]
fn moves_between_accounts_leave_their_sum_alone() {
    const ACCOUNTS: u64 = 12;
    const EACH: u64 = 1000;
    const MOVES: u64 = 1500;
    let storage = Arc::new(MemStorage::default());
    let options = options().max_bytes(Some((4 << 20) + 60 * 4096)).background(true).checkpoint_bytes(50_000);
    let store = Store::open(storage.clone(), options.clone()).unwrap();
    for id in 0..ACCOUNTS {
        store.replace(page(id), None, &EACH.to_le_bytes()).unwrap();
    }
    let balance = |store: &Store, id: u64| -> (Version, u64) {
        let found = store.get(page(id)).unwrap().unwrap();
        (found.version, number(&found.content))
    };
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (store, stop) = (&store, &stop);
        let movers: Vec<_> = (0..4)
            .map(|seed| {
                scope.spawn(move || {
                    let mut rng = Rng(seed);
                    let mut moved = 0;
                    while moved < MOVES {
                        let [from, to] = [rng.below(ACCOUNTS), rng.below(ACCOUNTS)];
                        let ((first, have), (second, had)) = (balance(store, from), balance(store, to));
                        let amount = rng.below(have + 1);
                        if from == to {
                            // Somebody who changes a page that batches are at.
                            let _late = store.replace(page(from), Some(first), &have.to_le_bytes());
                            continue;
                        }
                        let mut batch = Batch::new();
                        batch.replace(page(from), Some(first), (have - amount).to_le_bytes()).replace(
                            page(to),
                            Some(second),
                            (had + amount).to_le_bytes(),
                        );
                        match store.apply(&batch) {
                            Ok(_) => moved += 1,
                            Err(error) => assert!(error.conflict().is_some(), "{error}"),
                        }
                    }
                })
            })
            .collect();
        let cleaner = scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                store.inner.clean(40).unwrap();
                store.checkpoint().unwrap();
            }
        });
        let looker = scope.spawn(move || {
            let mut looks = 0;
            while !stop.load(Ordering::Relaxed) {
                // What has the same versions twice was so all the time between.
                let [first, second] = [(); 2].map(|()| (0..ACCOUNTS).map(|id| balance(store, id)).collect::<Vec<_>>());
                if first == second {
                    assert_eq!(first.iter().map(|(_, balance)| balance).sum::<u64>(), ACCOUNTS * EACH);
                    looks += 1;
                }
            }
            looks
        });
        movers.into_iter().for_each(|mover| mover.join().unwrap());
        // Nobody moves any more, so that this look at least is one.
        thread::yield_now();
        stop.store(true, Ordering::Relaxed);
        cleaner.join().unwrap();
        let _looks: u64 = looker.join().unwrap();
    });
    audit(&store.inner);
    let pages = pages_of(&store);
    store.close().unwrap();
    let store = Store::open(storage, options).unwrap();
    assert_eq!(pages_of(&store), pages);
    assert_eq!((0..ACCOUNTS).map(|id| balance(&store, id).1).sum::<u64>(), ACCOUNTS * EACH);
}
