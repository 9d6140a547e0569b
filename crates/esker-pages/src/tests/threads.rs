//! Many threads at once, with cleaning and checkpoints going on.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use esker_page_table::Version;
use esker_storage::{MemStorage, Storage};

use super::support::{Rng, audit, options, page, pages_of};
use crate::{Error, Store, sync::lock};

const PAGES: u64 = 60;
const THREADS: u64 = 4;
const STEPS: u64 = 4000;

/// What a thread did: page, the version it replaced, the version it made, and whether the page is there after it.
type Done = Vec<(u64, Option<Version>, Option<Version>)>;

fn work(store: &Store, seed: u64) -> Done {
    let mut rng = Rng(seed);
    let mut done = Vec::new();
    for _ in 0..STEPS {
        let id = rng.below(PAGES);
        let seen = store.get(page(id)).unwrap();
        if let Some(seen) = &seen {
            // Each content says which page it is of, all through.
            assert!(seen.content.iter().all(|&byte| u64::from(byte) == id), "page {id} has {:?}", seen.content);
        }
        let expected = seen.map(|page| page.version);
        let outcome = match (rng.below(10), expected) {
            (0, Some(expected)) => store.free(page(id), expected).map(|()| None),
            (1..5, Some(expected)) => store.link(page(id), expected, &[id as u8; 3]).map(Some),
            (5, _) => {
                store.flush().unwrap();
                continue;
            }
            _ => store.replace(page(id), expected, &vec![id as u8; rng.below(200) as usize]).map(Some),
        };
        match outcome {
            Ok(after) => done.push((id, expected, after)),
            Err(error) => assert!(error.conflict().is_some_and(|current| current != expected), "{error}"),
        }
    }
    done
}

#[test]
fn every_change_replaces_the_one_before_it_and_nothing_is_lost() {
    let storage: Arc<dyn Storage> = Arc::new(MemStorage::default());
    let bounded = options().max_bytes(Some((4 << 20) + 40 * 4096)).background(true).checkpoint_bytes(50_000);
    let store = Store::open(storage.clone(), bounded.clone()).unwrap();
    let stop = AtomicBool::new(false);
    let done: Done = thread::scope(|scope| {
        let cleaner = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                store.inner.clean(30).unwrap();
                store.checkpoint().unwrap();
            }
        });
        let store = &store;
        let workers: Vec<_> = (0..THREADS).map(|seed| scope.spawn(move || work(store, seed))).collect();
        let done = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
        stop.store(true, Ordering::Relaxed);
        cleaner.join().unwrap();
        done
    });
    // By page, each version was replaced once at most, and all of them hang together: the changes are linearizable.
    let mut by_page: BTreeMap<u64, HashMap<Version, Option<Version>>> = BTreeMap::new();
    let mut creations: BTreeMap<u64, Vec<Version>> = BTreeMap::new();
    for (id, before, after) in done {
        match before {
            Some(before) => {
                assert!(after.is_none_or(|after| before < after), "versions grow");
                let twice = by_page.entry(id).or_default().insert(before, after);
                assert_eq!(twice, None, "version {before} of page {id} was replaced twice");
            }
            None => creations.entry(id).or_default().push(after.expect("what is not there is not freed")),
        }
    }
    let found = pages_of(&store);
    for id in 0..PAGES {
        let next = by_page.remove(&id).unwrap_or_default();
        let mut created = creations.remove(&id).unwrap_or_default();
        created.sort_unstable();
        let (mut steps, mut last) = (0, None);
        for first in created {
            assert!(last.is_none(), "page {id} was created while it was there");
            last = Some(first);
            while let Some(current) = last
                && let Some(&after) = next.get(&current)
            {
                steps += 1;
                last = after;
            }
        }
        assert_eq!(steps, next.len(), "a change of page {id} replaced a version that never was");
        assert_eq!(found.get(&id).map(|(version, _)| *version), last.map(Version::get), "page {id}");
    }
    audit(&store.inner);
    assert!(store.stats().moved_bytes > 0);
    store.close().unwrap();
    let store = Store::open(storage, bounded).unwrap();
    assert_eq!(pages_of(&store), found);
    audit(&store.inner);
}

#[test]
fn whoever_finds_no_room_waits_for_the_thread_that_cleans() {
    let bounded = options().max_bytes(Some((4 << 20) + 24 * 4096)).background(true);
    let store = Store::open(Arc::new(MemStorage::default()), bounded).unwrap();
    thread::scope(|scope| {
        for thread in 0..3_u64 {
            let store = &store;
            scope.spawn(move || {
                let mut versions = [None; 30];
                for n in 0..3000_u64 {
                    let at = (n * 7 % 30) as usize;
                    let id = page(thread * 30 + at as u64);
                    match store.replace(id, versions[at], &[n as u8; 100]) {
                        Ok(version) => versions[at] = Some(version),
                        Err(Error::NoSpace { .. }) => panic!("there is room"),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    assert!(store.stats().file_bytes <= 24 * 4096);
    audit(&store.inner);
}

#[test]
fn a_store_without_a_bound_is_cleaned_and_checkpointed_by_its_thread() {
    let storage: Arc<dyn Storage> = Arc::new(MemStorage::default());
    let store = Store::open(storage, options().background(true).checkpoint_bytes(100_000)).unwrap();
    let mut writes = 0_u64;
    // Until both have happened; a test that never ends is one that fails.
    while store.stats().moved_bytes == 0 || lock(&store.inner.checkpoints).last < 3 {
        let id = if writes.is_multiple_of(5) { writes / 5 % 400 } else { writes % 20 };
        store.replace(page(id), store.version(page(id)), &[id as u8; 150]).unwrap();
        writes += 1;
    }
    let stats = store.stats();
    assert!(stats.file_bytes < stats.user_bytes, "nothing was used again: {stats:?}");
    store.close().unwrap();
}
