//! Errors and panics: what was not as expected stays as it was.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use esker_format::Lsn;

use super::support::{Census, Node, Seen, Table, look, page, record, resident, seen};
use crate::{Conflict, Entry, Guard, PageId, PageIds, PageTable, Stored, pin};

/// A table with pages that are vacant, stored (as record 1 and as record 2) and in memory (as node 3 and as node 4).
fn with_all(census: &Arc<Census>) -> Table {
    let mut table = Table::new();
    let [_, one, two, three, four] = pages();
    table.set_stored(one, record(1));
    table.set_stored(two, record(2));
    table.replace(three, Entry::Vacant, census.node(3), &pin()).unwrap();
    table.replace(four, Entry::Vacant, census.node(4), &pin()).unwrap();
    assert_eq!(table.take_dirty().len(), 1);
    table
}

fn pages() -> [PageId; 5] {
    [0, 1, 2, 3, 4].map(page)
}

/// Tries a call on each page with what is known of each other one, and demands that nothing happens. `call` says what it found
/// instead, or `None` if it does not take such an entry.
#[track_caller]
fn refused(call: impl for<'g> Fn(&'g Table, PageId, Entry<'g, Node>, &'g Guard) -> Option<Result<(), Seen>>) {
    let census = Arc::new(Census::default());
    let table = with_all(&census);
    let before = pages().map(|page| look(&table, page));
    let mut tried = 0;
    for page in pages() {
        for other in pages().into_iter().filter(|other| *other != page) {
            let guard = pin();
            let Some(result) = call(&table, page, table.load(other, &guard), &guard) else { continue };
            assert_eq!(result, Err(before[page.get() as usize]), "page {page}, expected as {other}");
            tried += 1;
        }
    }
    assert!(tried >= 8, "{tried}");
    assert_eq!(pages().map(|page| look(&table, page)), before);
    assert_eq!(table.take_dirty(), [], "nothing was changed");
    census.wait_for(2);
    drop(table);
    assert_eq!(census.alive(), 0);
}

/// What a conflict says, whose node has to be the one that was to be put in.
fn told(result: Result<&Node, Conflict<'_, Node>>, page: PageId, value: u64) -> Result<(), Seen> {
    let conflict = result.map(|_| ()).err();
    conflict.map_or(Ok(()), |conflict| {
        assert_eq!((conflict.page, conflict.node.value()), (page, value));
        Err(seen(conflict.current))
    })
}

#[test]
fn a_page_that_is_not_as_expected_is_not_replaced() {
    refused(|table, page, expected, guard| {
        let census = Arc::new(Census::default());
        let result = told(table.replace(page, expected, census.node(9), guard), page, 9);
        assert_eq!(census.alive(), 0, "the node was given back");
        Some(result)
    });
}

#[test]
fn a_node_is_not_installed_over_another_record() {
    refused(|table, page, expected, guard| {
        let Entry::Stored(expected) = expected else { return None };
        let census = Arc::new(Census::default());
        Some(told(table.install(page, expected, census.node(9), guard), page, 9))
    });
}

#[test]
fn a_node_that_is_not_there_is_not_evicted() {
    refused(|table, page, expected, guard| {
        let Entry::Resident(expected) = expected else { return None };
        Some(table.evict(page, expected, record(9), guard).map_err(seen))
    });
    refused(|table, page, expected, guard| {
        let Entry::Resident(expected) = expected else { return None };
        Some(table.evict_clean(page, expected, record(9), guard).map_err(seen))
    });
}

#[test]
fn a_record_that_is_not_there_is_not_moved() {
    refused(|table, page, expected, guard| {
        let Entry::Stored(expected) = expected else { return None };
        Some(table.relocate(page, expected, record(9).lsn, guard).map_err(seen))
    });
}

#[test]
fn a_page_that_is_not_as_expected_is_not_freed() {
    refused(|table, page, expected, guard| Some(table.free(page, expected, guard).map_err(seen)));
}

#[test]
fn a_node_that_was_replaced_is_not_expected_any_more() {
    let census = Arc::new(Census::default());
    let (table, guard) = (with_all(&census), pin());
    let page = page(3);
    let old = resident(&table, page, &guard);
    let new = table.replace(page, Entry::Resident(old), census.node(5), &guard).unwrap();
    for attempt in 0..4 {
        let result = match attempt {
            0 => told(table.replace(page, Entry::Resident(old), census.node(6), &guard), page, 6),
            1 => table.evict(page, old, record(6), &guard).map_err(seen),
            2 => table.evict_clean(page, old, record(6), &guard).map_err(seen),
            _ => table.free(page, Entry::Resident(old), &guard).map_err(seen),
        };
        assert_eq!(result, Err(Seen::Resident(5)), "attempt {attempt}");
    }
    assert_eq!((old.value(), new.value()), (3, 5));
}

#[test]
fn a_record_is_told_by_its_lsn_alone() {
    let census = Arc::new(Census::default());
    let (table, guard) = (with_all(&census), pin());
    let expected = Stored { len: 0, version: record(7).version, ..record(1) };
    table.relocate(page(1), expected, record(8).lsn, &guard).unwrap();
    let moved = Stored { lsn: record(8).lsn, ..record(1) };
    assert_eq!(look(&table, page(1)), Seen::Stored(moved));
    table.install(page(1), Stored { len: 1, ..moved }, census.node(1), &guard).unwrap();
}

#[test]
fn an_lsn_beyond_the_limit_panics_and_changes_nothing() {
    let beyond = Stored { lsn: Lsn::LIMIT, ..record(9) };
    type Call = fn(&mut Table, Stored, &Arc<Census>);
    let calls: [(&str, Call); 9] = [
        ("set_stored", |table, beyond, _| table.set_stored(page(1), beyond)),
        ("set_stored over a node", |table, beyond, _| table.set_stored(page(3), beyond)),
        ("replace", |table, beyond, census| {
            _ = table.replace(page(1), Entry::Stored(beyond), census.node(9), &pin()).is_ok();
        }),
        ("install", |table, beyond, census| _ = table.install(page(1), beyond, census.node(9), &pin()).is_ok()),
        ("evict", |table, beyond, _| {
            let guard = pin();
            _ = table.evict(page(3), resident(table, page(3), &guard), beyond, &guard).is_ok();
        }),
        ("evict_clean", |table, beyond, _| {
            let guard = pin();
            _ = table.evict_clean(page(3), resident(table, page(3), &guard), beyond, &guard).is_ok();
        }),
        ("relocate to", |table, beyond, _| _ = table.relocate(page(1), record(1), beyond.lsn, &pin()).is_ok()),
        ("relocate from", |table, beyond, _| _ = table.relocate(page(1), beyond, record(9).lsn, &pin()).is_ok()),
        ("free", |table, beyond, _| _ = table.free(page(1), Entry::Stored(beyond), &pin()).is_ok()),
    ];
    for (name, call) in calls {
        let census = Arc::new(Census::default());
        let mut table = with_all(&census);
        let before = pages().map(|page| look(&table, page));
        let panic = catch_unwind(AssertUnwindSafe(|| call(&mut table, beyond, &census))).expect_err(name);
        let said = panic.downcast::<String>().expect("assertions that format panic with a string");
        assert!(said.contains("is none of a record"), "{name}: {said}");
        assert_eq!(pages().map(|page| look(&table, page)), before, "{name}");
        assert_eq!(table.take_dirty(), [], "{name}");
        census.wait_for(2);
        // Whoever evicts next is not kept from it.
        let guard = pin();
        table.evict(page(4), resident(&table, page(4), &guard), record(4), &guard).map_err(seen).unwrap();
    }
}

#[test]
fn errors_say_what_happened() {
    let (table, guard) = (PageTable::<String>::new(), pin());
    let node = || Box::new("a".to_owned());
    let said = |page, expected| table.replace(page, expected, node(), &guard).unwrap_err().to_string();
    assert_eq!(said(page(1), Entry::Stored(record(1))), "page 1 is not as expected: it is vacant");
    let first = table.replace(page(1), Entry::Vacant, node(), &guard).unwrap();
    assert_eq!(said(page(1), Entry::Vacant), "page 1 is not as expected: it is resident");
    assert!(table.evict(page(1), first, record(1), &guard).is_ok());
    assert_eq!(said(page(1), Entry::Vacant), "page 1 is not as expected: it is stored");
    let conflict = table.replace(page(1), Entry::Vacant, node(), &guard).unwrap_err();
    assert_eq!(format!("{conflict:?}"), "Conflict { page: PageId(1), .. }");
    let _: &dyn std::error::Error = &conflict;

    let error = PageIds::new().free(page(3)).unwrap_err();
    assert_eq!(error.to_string(), "page 3 is freed and was not in use");
}
