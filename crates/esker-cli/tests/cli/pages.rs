//! Page stores: `stat`, `pages`, `blobs`, `map`.

use std::sync::Arc;

use esker_pages::{Options, PageId, Store, storage::FileStorage};

use crate::support::Scratch;

/// A store with pages 1 to 400, of which the last has a file, in the directory `store`.
fn fill(scratch: &Scratch) -> Store {
    let storage = Arc::new(FileStorage::create(scratch.path("store")).unwrap());
    let options = Options::new().segment_bytes(4096).buffer_bytes(4096).background(false);
    let store = Store::open(storage, options).unwrap();
    for nth in 0..400 {
        let page = store.allocate().unwrap();
        store.replace(page, None, &vec![nth as u8; if nth == 399 { 9000 } else { 200 }]).unwrap();
    }
    for nth in 1..100 {
        let page = PageId::new(nth * 3).unwrap();
        store.free(page, store.version(page).unwrap()).unwrap();
    }
    store.set_root("tree", None, PageId::new(7)).unwrap();
    store
}

#[test]
fn a_store_is_listed_drawn_and_left_alone() {
    let scratch = Scratch::new();
    fill(&scratch).close().unwrap();
    let before = scratch.snapshot("store");

    let stat = scratch.run("stat store").expect(0);
    assert!(stat.text().contains("pages                       301\n"), "{}", stat.text());
    assert!(stat.text().contains("root \"tree\"                 page 7\n"), "{}", stat.text());
    let stat = scratch.run("--json stat store").expect(0).json();
    let number = |name: &str| stat[name].as_u64().unwrap_or_else(|| panic!("{name}"));
    assert_eq!((number("pages"), number("large_files"), number("large_bytes")), (301, 1, 9000));
    assert_eq!(number("file_bytes"), number("segments") * 4096);
    assert_eq!(stat["roots"]["tree"], 7);

    let listed = scratch.run("pages store").expect(0);
    let rows: Vec<Vec<&str>> = listed.text().lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 302);
    assert_eq!(rows[0], ["page", "version", "records", "bytes", "lsn", "file"]);
    assert_eq!((rows[1][0], rows[1][2], rows[1][3], rows[1][5]), ("1", "1", "237", "-"));
    let file = rows[301][5];
    assert!(before.keys().any(|path| path.ends_with(file)), "{file} is not in {:?}", before.keys());
    let live: u64 = rows[1..].iter().map(|row| row[3].parse::<u64>().unwrap()).sum();
    assert!(live <= number("live_bytes"), "{live}");
    assert_eq!(scratch.run("blobs store").expect(0).text(), format!("{file}\t9000\t400\n"));

    let map = scratch.run("map store --svg map.svg").expect(0);
    let cells = map.text().lines().take_while(|line| !line.is_empty()).map(|line| line.chars().skip(10).count());
    assert_eq!(cells.sum::<usize>() as u64, number("segments"));
    let svg = std::fs::read_to_string(scratch.path("map.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("<title>").count() as u64, number("segments"));
    let lines = scratch.run("--json map store").expect(0).text().lines().count();
    assert_eq!(lines as u64, number("segments"));
    assert_eq!(scratch.snapshot("store"), before, "whoever looks changes nothing");
}

#[test]
fn a_store_that_is_open_or_absent_is_told_of() {
    let scratch = Scratch::new();
    let store = fill(&scratch);
    let refused = scratch.run("pages store").expect(4);
    assert!(refused.err.contains("another process has the store open"), "{}", refused.err);
    drop(store);
    let refused = scratch.run("map nothing").expect(5);
    assert!(refused.err.contains("there is no page store"), "{}", refused.err);
}

#[test]
fn a_store_is_verified_and_what_leaks_or_is_damaged_is_told() {
    let scratch = Scratch::new();
    fill(&scratch).close().unwrap();
    let clean = scratch.run("verify store --leaks").expect(0);
    assert!(clean.text().starts_with("clean: 301 pages ("), "{}", clean.text());

    // A file that nobody needs: a finding for those who ask for such.
    let stray = scratch.path("store").join("page-00000000deadbeef");
    std::fs::write(&stray, b"123").unwrap();
    scratch.run("verify store").expect(0);
    let leaking = scratch.run("verify store --leaks").expect(1);
    let said = leaking.text();
    assert!(said.contains("leaked: page-00000000deadbeef: no page names this file of 3 bytes\n1 leak: 301"), "{said}");
    let json = scratch.run("--json verify store --leaks").expect(1).json();
    assert_eq!((json["clean"].as_bool(), json["leaks"].as_array().unwrap().len()), (Some(false), 1));
    std::fs::remove_file(stray).unwrap();

    // The content of the last page is in a file, of which one byte changes.
    let listed = scratch.run("blobs store").expect(0);
    let file = scratch.path("store").join(listed.text().split('\t').next().unwrap());
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[4000] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let damaged = scratch.run("verify store").expect(1);
    assert!(damaged.text().contains("page 400: at lsn"), "{}", damaged.text());
    assert!(damaged.text().contains("1 damage: 301 pages"), "{}", damaged.text());
}

#[test]
fn the_blobs_of_a_log_are_listed() {
    let scratch = Scratch::new();
    scratch.file("long", vec![b'x'; 3 << 20]);
    scratch.feed("append log", b"short\n").expect(0);
    scratch.run("append log long").expect(0);
    let listed = scratch.run("blobs log").expect(0);
    let fields: Vec<&str> = listed.text().trim_end().split('\t').collect();
    assert_eq!((fields.len(), fields[1]), (3, "3145728"), "{}", listed.text());
    assert!(scratch.path("log").join(fields[0]).is_file());
    let json = scratch.run("--json blobs log").expect(0).json();
    assert_eq!((json["file"].as_str(), json["bytes"].as_u64()), (Some(fields[0]), Some(3 << 20)));
}
