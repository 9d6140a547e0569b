//! One call after the other.

use std::sync::Arc;

use esker_format::Lsn;
use esker_page_table::{Entry, pin};
use esker_segments::{
    SegmentUsage,
    cleaning::{Placement, Policy, Scene, StreamCounts},
};
use esker_storage::{MemStorage, Storage};

use super::support::{Rng, audit, options, page, pages_of};
use crate::{Error, Options, Slot, SlotState, Store, Version};

fn store() -> Store {
    Store::open(Arc::new(MemStorage::default()), options()).unwrap()
}

fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

#[track_caller]
fn conflict<T: std::fmt::Debug>(result: Result<T, Error>) -> Option<Version> {
    result.unwrap_err().conflict().expect("it is a conflict")
}

#[test]
fn a_page_is_created_changed_and_freed() {
    let store = store();
    let page = store.allocate().unwrap();
    assert_eq!((store.version(page), store.get(page).unwrap()), (None, None));
    let first = store.replace(page, None, b"one").unwrap();
    let second = store.replace(page, Some(first), b"two").unwrap();
    assert!(first < second);
    let found = store.get(page).unwrap().unwrap();
    assert_eq!((found.version, &*found.content), (second, &b"two"[..]));
    assert_eq!(store.view(page, |version, content| (version, content.len())).unwrap(), Some((second, 3)));
    store.free(page, second).unwrap();
    assert_eq!((store.version(page), store.get(page).unwrap()), (None, None));
    assert_eq!(store.view(page, |_, _| ()).unwrap(), None);
    assert_eq!(store.allocate().unwrap(), page, "the lowest id is free again");
    let third = store.replace(page, None, b"").unwrap();
    assert!(second < third);
    assert_eq!(&*store.get(page).unwrap().unwrap().content, b"");
    audit(&store.inner);
}

#[test]
fn whoever_is_late_is_told_the_version() {
    let store = store();
    let page = page(7);
    assert_eq!(conflict(store.replace(page, Some(version(3)), b"")), None);
    assert_eq!(conflict(store.free(page, version(3))), None);
    assert_eq!(conflict(store.link(page, version(3), b"")), None);
    let first = store.replace(page, None, b"one").unwrap();
    assert_eq!(conflict(store.replace(page, None, b"")), Some(first));
    let second = store.link(page, first, b"two").unwrap();
    for late in [store.replace(page, Some(first), b""), store.link(page, first, b"")] {
        assert_eq!(conflict(late), Some(second));
    }
    let shown = store.free(page, first).unwrap_err().to_string();
    assert_eq!(shown, format!("page 8 is at version {second}, not at version {first}"));
    assert_eq!(pages_of(&store), [(7, (second.get(), b"onetwo".to_vec()))].into());
    audit(&store.inner);
}

#[test]
fn deltas_are_folded_whether_they_are_cached_or_not() {
    let store = store();
    let page = page(0);
    let mut version = store.replace(page, None, b"0").unwrap();
    let mut expected = b"0".to_vec();
    for n in 0..40_u8 {
        version = store.link(page, version, &[n]).unwrap();
        expected.push(n);
        if n % 3 == 0 {
            // Others push it out of memory.
            for other in 1..6 {
                let before = store.version(self::page(other));
                store.replace(self::page(other), before, &[other as u8; 900]).unwrap();
            }
        }
        if n % 5 != 0 {
            let found = store.get(page).unwrap().unwrap();
            assert_eq!((found.version, &found.content[..]), (version, &expected[..]));
        }
        audit(&store.inner);
    }
}

#[test]
fn without_merge_there_are_no_deltas() {
    let storage: Arc<dyn Storage> = Arc::new(MemStorage::default());
    let plain = Options { merge: None, ..options() };
    let store = Store::open(storage, plain).unwrap();
    let version = store.replace(page(0), None, b"one").unwrap();
    assert!(matches!(store.link(page(0), version, b"two"), Err(Error::InvalidOptions { .. })));
}

#[test]
fn what_is_closed_is_found_again() {
    let storage: Arc<dyn Storage> = Arc::new(MemStorage::default());
    let store = Store::open(storage.clone(), options()).unwrap();
    let mut versions = Vec::new();
    for id in 0..300 {
        versions.push(store.replace(page(id), None, format!("page {id}").as_bytes()).unwrap());
    }
    for id in (0..300).step_by(3) {
        store.link(page(id), versions[id as usize], b", linked").unwrap();
    }
    for id in (0..300).step_by(7) {
        let version = store.version(page(id)).unwrap();
        store.free(page(id), version).unwrap();
    }
    let before = pages_of(&store);
    store.close().unwrap();
    let store = Store::open(storage, options()).unwrap();
    audit(&store.inner);
    assert_eq!(pages_of(&store), before);
    assert_eq!(store.allocate().unwrap(), page(0));
    assert_eq!(store.allocate().unwrap(), page(7));
}

#[test]
fn the_cache_keeps_its_budget() {
    let store = store();
    for id in 0..50 {
        store.replace(page(id), None, &[id as u8; 200]).unwrap();
        assert!(store.stats().cached_bytes <= 2000);
    }
    for round in 0..3 {
        for id in 0..50 {
            let found = store.get(page((id * 7 + round) % 50)).unwrap().unwrap();
            assert_eq!(found.content.len(), 200);
            assert!(store.stats().cached_bytes <= 2000);
        }
    }
    audit(&store.inner);
}

#[test]
fn dead_space_is_used_again() {
    let storage = Arc::new(MemStorage::default());
    let bounded = options().max_bytes(Some((4 << 20) + 30 * 4096));
    let store = Store::open(storage, bounded).unwrap();
    let mut versions: Vec<Option<Version>> = vec![None; 200];
    let mut rng = Rng(1);
    for n in 0..5000_u64 {
        let id = rng.below(200);
        versions[id as usize] = Some(store.replace(page(id), versions[id as usize], &[n as u8; 150]).unwrap());
    }
    let stats = store.stats();
    assert!(stats.file_bytes <= 30 * 4096, "{stats:?}");
    assert!(stats.moved_bytes > 0 && stats.write_amplification() < 4.0, "{stats:?}");
    audit(&store.inner);
    for id in 0..200 {
        assert_eq!(store.version(page(id)), versions[id as usize], "moving changes no version");
        assert_eq!(store.get(page(id)).unwrap().unwrap().content.len(), 150);
    }
}

#[test]
fn a_full_store_says_so_and_freeing_helps() {
    let bounded = options().max_bytes(Some((4 << 20) + 24 * 4096));
    let store = Store::open(Arc::new(MemStorage::default()), bounded).unwrap();
    let mut made = Vec::new();
    let full = loop {
        let page = store.allocate().unwrap();
        match store.replace(page, None, &[7; 300]) {
            Ok(version) => made.push((page, version)),
            Err(error) => break error,
        }
        assert!(made.len() < 1000);
    };
    assert!(matches!(full, Error::NoSpace { .. }), "{full}");
    assert!(store.stats().file_bytes <= 24 * 4096);
    // What is there can be read, and may be freed, all of it.
    for &(page, version) in &made {
        assert_eq!(store.get(page).unwrap().unwrap().version, version);
    }
    let (half, rest) = made.split_at(made.len() / 2);
    for &(page, version) in half {
        store.free(page, version).unwrap();
    }
    store.checkpoint().unwrap();
    for _ in 0..half.len() / 2 {
        let page = store.allocate().unwrap();
        store.replace(page, None, &[8; 300]).unwrap();
    }
    for &(page, version) in rest {
        assert_eq!(store.get(page).unwrap().unwrap().version, version);
    }
    audit(&store.inner);
}

#[test]
fn long_contents_have_files_of_their_own() {
    let storage = Arc::new(MemStorage::default());
    let store = Store::open(storage.clone(), options()).unwrap();
    let long: Vec<u8> = (0..20_000_u32).map(|n| (n % 251) as u8).collect();
    let first = store.replace(page(1), None, &long).unwrap();
    let files = || storage.list().unwrap().into_iter().filter(|name| name.starts_with("page-")).count();
    assert_eq!((&*store.get(page(1)).unwrap().unwrap().content, files()), (&long[..], 1));
    let second = store.link(page(1), first, b"more").unwrap();
    let longer = [&long[..], b"more"].concat();
    // What is added lies in a segment, until the page is written anew: by cleaning, for one.
    assert_eq!((&*store.get(page(1)).unwrap().unwrap().content, files()), (&longer[..], 1));
    let third = store.replace(page(3), None, &long).unwrap();
    let file = store.inner.larges.file_of(third.get());
    for n in 0..100_u8 {
        let before = store.version(page(2));
        store.replace(page(2), before, &[n; 200]).unwrap();
    }
    store.flush().unwrap();
    store.inner.clean(u32::MAX).unwrap();
    audit(&store.inner);
    assert_eq!((store.version(page(1)), store.version(page(3))), (Some(second), Some(third)));
    // The record was moved, and the file was not.
    assert!(store.inner.larges.file_of(first.get()).is_none() && store.stats().moved_bytes > 0);
    assert_eq!(store.inner.larges.file_of(third.get()), file);
    store.replace(page(2), store.version(page(2)), b"").unwrap();
    store.flush().unwrap();
    assert_eq!(files(), 2);
    drop(store);
    let store = Store::open(storage.clone(), options()).unwrap();
    assert_eq!((&*store.get(page(1)).unwrap().unwrap().content, files()), (&longer[..], 2));
    store.free(page(1), second).unwrap();
    store.free(page(3), third).unwrap();
    store.close().unwrap();
    assert_eq!(files(), 0);
}

#[test]
fn ids_never_come_back() {
    let storage: Arc<dyn Storage> = Arc::new(MemStorage::default());
    let mut last = None;
    for _ in 0..4 {
        let store = Store::open(storage.clone(), options()).unwrap();
        for _ in 0..1500 {
            let id = store.generate_id().unwrap();
            assert!(last < Some(id));
            last = Some(id);
        }
        store.checkpoint().unwrap();
    }
}

#[test]
fn checkpoints_keep_the_ledger_short() {
    let store = store();
    let mut versions: Vec<Option<Version>> = vec![None; 3000];
    for round in 0..2000_u64 {
        for n in 0..4 {
            let id = (round * 31 + n * 977) % 3000;
            versions[id as usize] = Some(store.replace(page(id), versions[id as usize], b"some").unwrap());
        }
        if round % 4 == 0 {
            store.checkpoint().unwrap();
        }
    }
    let image = 3000 * 23;
    let ledger = store.stats().ledger_bytes;
    assert!(ledger < image * 2 + (6 << 20), "{ledger}");
}

#[test]
fn options_are_checked_all_at_once() {
    #[derive(Clone, Debug)]
    struct NoStreams;
    impl Policy for NoStreams {
        fn streams(&self) -> StreamCounts {
            StreamCounts { user: 0, moved: 1 }
        }
        fn place_write(&self, _: &Scene, _: Option<&SegmentUsage>) -> Placement {
            unreachable!("the options are refused")
        }
        fn place_move(&self, _: &Scene, _: &SegmentUsage) -> Placement {
            unreachable!("the options are refused")
        }
        fn cost(&self, _: &Scene, _: &SegmentUsage) -> f64 {
            unreachable!("the options are refused")
        }
        fn boxed(&self) -> Box<dyn Policy> {
            Box::new(self.clone())
        }
    }
    let wrong = options().policy(NoStreams).chain_max(100).max_bytes(Some(1)).segment_bytes(5000);
    let error = Store::open(Arc::new(MemStorage::default()), wrong).unwrap_err();
    let Error::InvalidOptions { faults } = &error else { panic!("{error}") };
    assert!(faults.len() >= 4, "{error}");
}

#[test]
fn pages_are_listed_in_order() {
    let store = store();
    for id in [5, 100_000, 2, 3000] {
        store.replace(page(id), None, b"x").unwrap();
    }
    let mut listed = Vec::new();
    store.for_each(|page, _| listed.push(page));
    assert_eq!(listed, [2, 5, 3000, 100_000].map(page));
    assert_eq!(store.stats().pages, 4);
    assert_eq!(store.allocate().unwrap(), page(0));
}

#[test]
fn pages_that_come_and_go_leave_nothing_behind_in_the_cache() {
    let options = options().segment_bytes(1 << 16).buffer_bytes(1 << 12).cache_bytes(1 << 20);
    let store = Store::open(Arc::new(MemStorage::default()), options).unwrap();
    store.replace(page(7), None, b"stays").unwrap();
    for n in 0..20_000_u64 {
        let version = store.replace(page(n % 2), None, &[1; 10]).unwrap();
        store.free(page(n % 2), version).unwrap();
        if n % 1000 == 0 {
            store.checkpoint().unwrap();
        }
    }
    assert!(store.inner.cache.queued() < 2000, "{}", store.inner.cache.queued());
    assert_eq!(&*store.get(page(7)).unwrap().unwrap().content, b"stays");
    audit(&store.inner);
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_free_is_given_back_to_the_file_system() {
    use std::os::unix::fs::MetadataExt as _;
    let scratch = tempfile::tempdir().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(esker_storage::FileStorage::open(scratch.path()).unwrap());
    let store = Store::open(storage.clone(), options().surplus_bytes(20 * 4096)).unwrap();
    let mut versions: Vec<_> = (0..2000).map(|id| store.replace(page(id), None, &[7; 200]).unwrap()).collect();
    store.checkpoint().unwrap();
    let full = store.stats();
    assert!(full.file_bytes > 400_000, "{full:?}");
    // Every page but a few is freed, one of those that stay being the last that was written.
    let mut left = Vec::new();
    for (id, version) in (0..).zip(versions.drain(..)) {
        if id % 500 == 0 || id == 1999 {
            left.push(id);
        } else {
            store.free(page(id), version).unwrap();
        }
    }
    store.checkpoint().unwrap();
    for _ in 0..10 {
        store.inner.clean(u32::MAX).unwrap();
        store.upkeep().unwrap();
    }
    let stats = store.stats();
    let blocks = std::fs::metadata(scratch.path().join("streams")).unwrap().blocks() * 512;
    assert!(blocks <= 60 * 4096, "{blocks} bytes on disk: {stats:?}");
    assert_eq!(stats.file_bytes, std::fs::metadata(scratch.path().join("streams")).unwrap().len());
    // And taken again.
    for id in 2000..3000 {
        store.replace(page(id), None, &[8; 200]).unwrap();
    }
    audit(&store.inner);
    let pages = pages_of(&store);
    assert_eq!(pages.len(), left.len() + 1000);
    drop(store);
    let store = Store::open(storage, options()).unwrap();
    assert_eq!(pages_of(&store), pages);
    audit(&store.inner);
}

#[test]
fn a_page_whose_segment_is_lost_is_damaged_and_nobody_waits_for_it() {
    let store = Store::open(Arc::new(MemStorage::default()), options().cache_bytes(0)).unwrap();
    store.replace(page(1), None, &[1; 100]).unwrap();
    store.flush().unwrap();
    let guard = pin();
    let Entry::Stored(stored) = store.inner.table.load(page(1), &guard) else { panic!("nothing is cached") };
    let nowhere = Lsn::new(1 << 40);
    store.inner.table.relocate(page(1), stored, nowhere, &guard).unwrap();
    drop(guard);
    let error = store.get(page(1)).unwrap_err();
    assert!(matches!(error, Error::Damaged { lsn, .. } if lsn == nowhere), "{error}");
    assert!(store.view(page(1), |_, _| ()).is_err());
}

#[test]
fn whoever_waits_for_a_version_waits_for_those_before_it() {
    let storage: Arc<dyn Storage> = Arc::new(MemStorage::default());
    let store = Store::open(storage.clone(), options()).unwrap();
    assert_eq!(store.stable(), None);
    let versions: Vec<Version> = (0..5).map(|id| store.replace(page(id), None, b"some").unwrap()).collect();
    assert!(store.stable() < Some(versions[0]));
    let stable = store.make_stable(versions[2]).unwrap();
    assert_eq!((stable, store.stable()), (versions[4], Some(versions[4])));
    let syncs = |store: &Store| store.inner.streams.stats().engines[0].syncs;
    let before = syncs(&store);
    assert_eq!(store.make_stable(versions[4]).unwrap(), versions[4]);
    assert_eq!(syncs(&store), before, "it was so already");
    let beyond = version(versions[4].get() + 1);
    assert!(matches!(store.make_stable(beyond), Err(Error::NeverMade { version }) if version == beyond));
    let later = store.replace(page(0), Some(versions[0]), b"more").unwrap();
    assert_eq!(store.stable(), Some(versions[4]));
    assert_eq!(store.make_stable(later).unwrap(), later);
    store.close().unwrap();
    let store = Store::open(storage, options()).unwrap();
    assert_eq!(store.stable(), Some(later), "what is found was made durable");
}

#[test]
fn a_reader_pins_the_segment_that_it_is_in() {
    let store = Store::open(Arc::new(MemStorage::default()), options()).unwrap();
    let write = || {
        for n in 0..100_u8 {
            store.replace(page(2), store.version(page(2)), &[n; 200]).unwrap();
        }
        store.flush().unwrap();
    };
    write();
    let reader = pin();
    let full = |slot: &Slot| slot.base.filter(|_| slot.state == SlotState::Full);
    let oldest = store.slots().iter().filter_map(full).min();
    store.inner.clean(u32::MAX).unwrap();
    let stats = store.stats();
    assert!(stats.segments_pinned > 2 && stats.oldest_pin == oldest, "{stats:?}");
    drop(reader);
    while store.stats().segments_pinned > 0 {
        store.inner.streams.hurry_readers();
    }
    assert_eq!(store.stats().oldest_pin, None);
}

#[test]
fn changes_are_waited_for_by_threads_futures_and_callbacks() {
    let storage: Arc<dyn Storage> = Arc::new(MemStorage::default());
    let store = Store::open(storage.clone(), options()).unwrap();
    let first = store.replace(page(1), None, b"one").unwrap();
    let second = store.replace(page(2), None, b"two").unwrap();
    assert_eq!(store.ticket(first).wait().unwrap(), second, "one flush serves all");
    let third = store.replace(page(3), None, b"three").unwrap();
    assert!(!store.ticket(third).is_passed());
    assert_eq!(futures::executor::block_on(store.ticket(third)).unwrap(), third);
    let fourth = store.replace(page(4), None, b"four").unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    store.ticket(fourth).then(move |outcome| sender.send(outcome.map_err(|error| error.to_string())).unwrap());
    assert_eq!(receiver.recv().unwrap(), Ok(fourth));
    // Whoever waits when the store is closed is told, and may come later.
    let fifth = store.replace(page(5), None, b"five").unwrap();
    let (early, late) = (store.ticket(fifth), store.ticket(version(fifth.get() + 1)));
    store.close().unwrap();
    assert_eq!(early.wait().unwrap(), fifth);
    assert!(matches!(late.wait(), Err(Error::Closed)), "nobody can bring it about");
    assert_eq!(Store::open(storage, options()).unwrap().stable(), Some(fifth));
}

#[test]
fn what_was_ever_written_is_known_after_the_store_was_opened_again() {
    let storage: Arc<dyn Storage> = Arc::new(MemStorage::default());
    let mut ever = (0, 0);
    for _ in 0..3 {
        let store = Store::open(storage.clone(), options()).unwrap();
        let stats = store.stats();
        assert_eq!((stats.user_bytes, stats.user_bytes_ever, stats.moved_bytes_ever), (0, ever.0, ever.1));
        for n in 0..200_u8 {
            let id = page(if n % 5 == 0 { u64::from(n) } else { 1 });
            store.replace(id, store.version(id), &[n; 100]).unwrap();
        }
        store.flush().unwrap();
        store.inner.clean(u32::MAX).unwrap();
        let stats = store.stats();
        assert_eq!(stats.user_bytes_ever - ever.0, stats.user_bytes);
        assert!(stats.user_bytes == 200 * 137 && stats.moved_bytes > 0 && stats.write_amplification_ever() > 1.0);
        ever = (stats.user_bytes_ever, stats.moved_bytes_ever);
        store.close().unwrap();
    }
}
