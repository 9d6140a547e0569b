//! Page stores that released versions have written are read by this one. `golden/VERSION` holds one of each, written once by
//! `cargo test -p esker-pages --test golden -- --ignored`, and never again.

use std::{fs, path::PathBuf, sync::Arc};

use esker_pages::{
    Batch, Error, Look, Options, PageId, Store,
    storage::{FileStorage, MemStorage, Storage},
};

const VERSIONS: &[&str] = &["0.1"];
const PAGES: u64 = 60;

fn dir(version: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version)
}

/// A delta is what comes behind.
fn join(_page: PageId, content: &[u8], delta: &[u8]) -> Vec<u8> {
    [content, delta].concat()
}

fn options() -> Options {
    Options::new()
        .merge(Arc::new(join))
        .surplus_bytes(0)
        .segment_bytes(4096)
        .buffer_bytes(1024)
        .buffers(4)
        .background(false)
        .log_id(esker_format::LogId::from_bytes(*b"some golden page"))
}

/// What a page holds in the end; each third is gone, each seventh had deltas, and one is larger than a segment.
fn content(number: u64) -> Option<Vec<u8>> {
    if number.is_multiple_of(3) {
        return None;
    }
    let len = if number == 20 { 9000 } else { (number * 41 % 350) as usize };
    let mut bytes: Vec<u8> = (0..len).map(|at| (number as usize * 29 + at) as u8).collect();
    if number.is_multiple_of(7) {
        bytes.extend(b" and more");
    }
    Some(bytes)
}

fn write(storage: Arc<dyn Storage>) -> Result<(), Error> {
    let store = Store::open(storage, options())?;
    let pages: Vec<PageId> = (0..PAGES).map(|_| store.allocate()).collect::<Result<_, _>>()?;
    for (number, &page) in (0..).zip(&pages) {
        let first = store.replace(page, None, b"before")?;
        let Some(bytes) = content(number) else {
            store.free(page, first)?;
            continue;
        };
        let base = bytes.strip_suffix(b" and more").unwrap_or(&bytes);
        let version = store.replace(page, Some(first), base)?;
        if base.len() < bytes.len() {
            store.link(page, version, b" and")?;
            let version = store.version(page).expect("the page is there");
            store.link(page, version, b" more")?;
        }
        if number == PAGES / 2 {
            store.checkpoint()?;
        }
    }
    let mut batch = Batch::new();
    batch.set_root("first", None, Some(pages[1])).set_root("last", None, Some(pages[PAGES as usize - 2]));
    store.apply(&batch)?;
    store.close()
}

/// The files of a version, in memory, so that they stay as they are.
fn copy(version: &str) -> Arc<dyn Storage> {
    let storage = MemStorage::default();
    for file in fs::read_dir(dir(version)).unwrap() {
        let file = file.unwrap();
        let bytes = fs::read(file.path()).unwrap();
        storage.create(file.file_name().to_str().unwrap()).unwrap().write_all_at(&bytes, 0).unwrap();
    }
    Arc::new(storage)
}

#[test]
fn stores_of_all_versions_are_read() {
    for version in VERSIONS {
        let storage = copy(version);
        let found = Look::open(storage.clone()).unwrap().verify(&mut |_, _| ()).unwrap();
        assert!(found.damages.is_empty() && found.leaks.is_empty(), "{version}: {found:?}");
        // Other options, and a page of today.
        let store = Store::open(storage.clone(), Options::new().merge(Arc::new(join)).cache_bytes(1 << 20)).unwrap();
        let first = store.root("first").unwrap().unwrap().get();
        for number in 0..PAGES {
            let page = PageId::new(first - 1 + number).unwrap();
            let found = store.get(page).unwrap().map(|page| page.content.to_vec());
            assert_eq!(found, content(number), "{version}: page {number}");
        }
        let page = store.allocate().unwrap();
        store.replace(page, None, b"of today").unwrap();
        store.close().unwrap();
        let store = Store::open(storage, options()).unwrap();
        assert_eq!(&*store.get(page).unwrap().unwrap().content, b"of today");
    }
}

#[test]
#[ignore = "writes the files of a version that is released, once"]
fn files_are_written() {
    let dir = dir(VERSIONS.last().unwrap());
    assert!(!dir.exists(), "{} is there", dir.display());
    write(Arc::new(FileStorage::create(&dir).unwrap())).unwrap();
}
