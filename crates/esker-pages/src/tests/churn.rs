//! Days of a store that is nearly full: what is taken of the disk and of memory stays bounded, and nothing leaks.

use std::{collections::BTreeMap, sync::Arc};

use esker_page_table::Version;
use esker_storage::{Access, MemStorage, Storage};

use super::support::{Rng, audit, options, page, pages_of};
use crate::{Batch, Error, Look, Options, Store};

const MAX_BYTES: u64 = 16 << 20;
/// Of this share of the bound, less the ledger's part, all is live.
const FILL: f64 = 0.9;
const CACHE_BYTES: u64 = 200_000;
const WRITES_A_DAY: u64 = 20_000;

fn bounded() -> Options {
    options()
        .segment_bytes(1 << 15)
        .buffer_bytes(1 << 13)
        .cache_bytes(CACHE_BYTES)
        .max_bytes(Some(MAX_BYTES))
        .checkpoint_bytes(4 << 20)
}

/// The length of all files.
fn bytes_of(storage: &dyn Storage) -> u64 {
    let names = storage.list().unwrap();
    names.iter().map(|name| storage.open(name, Access::Read).map_or(0, |file| file.len().unwrap())).sum()
}

fn days(count: u64) {
    let mut storage: Arc<dyn Storage> = Arc::new(MemStorage::default());
    let mut rng = Rng(7);
    let mut model: BTreeMap<u64, (Version, u64)> = BTreeMap::new();
    let room = ((MAX_BYTES - (4 << 20)) as f64 * FILL) as u64;
    let mut live = 0;
    for day in 0..count {
        let store = Store::open(storage.clone(), bounded()).unwrap();
        let found: Vec<_> = pages_of(&store).into_iter().map(|(id, (version, _))| (id, version)).collect();
        assert_eq!(found, model.iter().map(|(id, (version, _))| (*id, version.get())).collect::<Vec<_>>(), "day {day}");
        for n in 0..WRITES_A_DAY {
            let id = if rng.below(3) == 0 { rng.below(8000) } else { rng.below(800) };
            let before = model.get(&id).copied();
            let expected = before.map(|(version, _)| version);
            // Where it is full, pages go; now and then one is long.
            let is_full = live > room;
            if let Some(expected) = expected.filter(|_| is_full || rng.below(10) == 0) {
                store.free(page(id), expected).unwrap();
                model.remove(&id);
            } else {
                let len = if rng.below(300) == 0 { 60_000 } else { 100 + rng.below(4000) };
                let content = vec![id as u8; len as usize];
                let written = if rng.below(5) == 0 {
                    let mut batch = Batch::new();
                    batch.replace(page(id), expected, &*content);
                    store.apply(&batch).map(|versions| versions[0])
                } else {
                    store.replace(page(id), expected, &content)
                };
                match written {
                    Ok(version) => drop(model.insert(id, (version, len + 37))),
                    Err(Error::NoSpace { .. }) => (),
                    Err(error) => panic!("day {day}: {error}"),
                }
            }
            let after = model.get(&id).map_or(0, |(_, len)| *len);
            live = live + after - before.map_or(0, |(_, len)| len);
            if n % 50 == 0 {
                let bytes = bytes_of(&*storage);
                assert!(bytes <= MAX_BYTES, "day {day}: {bytes} bytes");
            }
            if n % 1000 == 0 {
                store.upkeep().unwrap();
                let stats = store.stats();
                assert!(stats.cached_bytes <= CACHE_BYTES * 2, "day {day}: {stats:?}");
                assert!(stats.graves < 20_000, "day {day}: {stats:?}");
            }
        }
        assert!(day == 0 || live > room / 100 * 97, "day {day}: only {live} of {room} bytes are live");
        audit(&store.inner);
        store.flush().unwrap();
        let stats = store.stats();
        assert_eq!(stats.pages, model.len() as u64);
        let files = storage.list().unwrap().iter().filter(|name| name.starts_with("page-")).count();
        assert_eq!(files as u64, stats.large_files, "day {day}: a file of nobody");
        // What was live and is not: the segments that hold nothing can be had again, all of them.
        let slots = store.slots();
        let held = slots.iter().filter(|slot| slot.base.is_some()).count() as u64;
        let waiting = store.inner.streams.stats();
        assert_eq!(
            held + u64::from(waiting.segments.free) + u64::from(waiting.segments.freed),
            slots.len() as u64,
            "day {day}: a segment of nobody"
        );
        // Each second night is a crash.
        if day % 2 == 0 {
            store.close().unwrap();
        } else {
            // Its process is gone, and what it has written is there.
            let image = copy_of(&*storage);
            drop(store);
            storage = image;
        }
        let verified = Look::open(storage.clone()).unwrap().verify(&mut |_, _| ()).unwrap();
        assert!(verified.damages.is_empty() && verified.leaks.is_empty(), "day {day}: {verified:?}");
        assert_eq!(verified.pages, model.len() as u64);
    }
}

fn copy_of(storage: &dyn Storage) -> Arc<dyn Storage> {
    let image = MemStorage::default();
    for name in storage.list().unwrap() {
        let file = storage.open(&name, Access::Read).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        image.create(&name).unwrap().write_all_at(&bytes, 0).unwrap();
    }
    Arc::new(image)
}

#[test]
fn days_of_a_store_that_is_nearly_full() {
    days(3);
}

/// The long run: `cargo test --release -p esker-pages many_days -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes"]
fn many_days() {
    days(24);
}
