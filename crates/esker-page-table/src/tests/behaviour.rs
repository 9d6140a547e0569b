//! Examples of what each call does when it does it.

use std::{ops::Bound, sync::Arc, time::Instant};

use super::support::{Census, Seen, Table, look, page, record, resident, seen};
use crate::{Counter, Entry, PageId, PageIds, PageTable, REGION_PAGES, Region, Stored, Touch, Version, pin};

const REGION: u64 = REGION_PAGES as u64;

/// The regions that are dirty, by their first page, divided by a region's length.
fn dirty(table: &Table) -> Vec<u64> {
    table.take_dirty().into_iter().map(|region| region.pages().start().get() / REGION).collect()
}

fn region(n: u64) -> Region {
    page(n * REGION).region()
}

/// A table with page 7 in memory, as node 1, and nothing dirty.
fn with_node(census: &Arc<Census>) -> Table {
    let table = Table::new();
    table.replace(page(7), Entry::Vacant, census.node(1), &pin()).unwrap();
    assert_eq!(dirty(&table), [0]);
    table
}

/// A table with page 7 in the log, as this record, and nothing dirty.
fn with_record(stored: Stored) -> Table {
    let mut table = Table::new();
    table.set_stored(page(7), stored);
    assert_eq!(dirty(&table), [0]);
    table
}

#[test]
fn ids_versions_and_regions_have_their_limits() {
    assert_eq!((PageId::MIN.get(), PageId::MAX.get()), (0, (1 << 40) - 1));
    assert_eq!(PageId::new(PageId::MAX.get()), Some(PageId::MAX));
    for id in [1 << 40, u64::MAX] {
        assert_eq!(PageId::new(id), None);
    }
    assert_eq!(PageId::MAX.to_string(), "1099511627775");

    assert_eq!(Version::new(0), None);
    let last = Version::new(u64::MAX).unwrap();
    assert_eq!((last.get(), last.to_string().as_str()), (u64::MAX, "18446744073709551615"));

    assert_eq!(page(REGION - 1).region(), region(0));
    assert_eq!(page(REGION).region().pages(), page(REGION)..=page(2 * REGION - 1));
    assert_eq!(*PageId::MAX.region().pages().end(), PageId::MAX);
}

#[test]
fn an_empty_table_has_no_pages_and_takes_no_memory_for_those_that_are_asked_for() {
    let (table, census) = (Table::default(), Arc::new(Census::default()));
    let (guard, node) = (pin(), census.node(1));
    for id in [PageId::MIN, page(REGION), PageId::MAX] {
        assert_eq!(look(&table, id), Seen::Vacant);
        assert_eq!(table.free(id, Entry::Vacant, &guard).map_err(seen), Ok(()));
        assert_eq!(table.free(id, Entry::Stored(record(1)), &guard).map_err(seen), Err(Seen::Vacant));
        assert_eq!(table.relocate(id, record(1), record(2).lsn, &guard).map_err(seen), Err(Seen::Vacant));
        assert_eq!(table.evict(id, &node, record(1), &guard).map_err(seen), Err(Seen::Vacant));
        assert_eq!(table.evict_clean(id, &node, record(1), &guard).map_err(seen), Err(Seen::Vacant));
        table.mark_dirty(id.region());
    }
    table.scan(.., &guard, |page, _| panic!("there is a page {page}"));
    assert_eq!(dirty(&table), [0; 0]);
    assert_eq!(table.memory_bytes(), 0);
}

#[test]
fn a_page_is_created_changed_written_read_moved_and_freed() {
    let (table, census) = (Table::new(), Arc::new(Census::default()));
    let (page, guard) = (page(7), pin());

    let first = table.replace(page, Entry::Vacant, census.node(1), &guard).unwrap();
    assert_eq!((first.value(), look(&table, page)), (1, Seen::Resident(1)));
    let second = table.replace(page, Entry::Resident(first), census.node(2), &guard).unwrap();
    assert_eq!((second.value(), look(&table, page)), (2, Seen::Resident(2)));

    assert!(table.evict(page, second, record(5), &guard).is_ok());
    assert_eq!(look(&table, page), Seen::Stored(record(5)));
    let again = table.install(page, record(5), census.node(2), &guard).unwrap();
    assert_eq!((again.value(), look(&table, page)), (2, Seen::Resident(2)));
    assert!(table.evict_clean(page, again, record(5), &guard).is_ok());
    assert_eq!(look(&table, page), Seen::Stored(record(5)));

    assert!(table.relocate(page, record(5), record(6).lsn, &guard).is_ok());
    let moved = Stored { lsn: record(6).lsn, ..record(5) };
    assert_eq!(look(&table, page), Seen::Stored(moved), "length and version stay");
    // Changed without having been read.
    let third = table.replace(page, Entry::Stored(moved), census.node(3), &guard).unwrap();
    assert_eq!(look(&table, page), Seen::Resident(3));

    assert!(table.free(page, Entry::Resident(third), &guard).is_ok());
    assert_eq!(look(&table, page), Seen::Vacant);
    let last = table.replace(page, Entry::Vacant, census.node(4), &guard).unwrap();
    assert!(table.evict(page, last, record(7), &guard).is_ok());
    assert!(table.free(page, Entry::Stored(record(7)), &guard).is_ok());
    assert_eq!(look(&table, page), Seen::Vacant);

    // Whatever was taken out is whole as long as the guard is held.
    assert_eq!([first, second, again, third, last].map(|node| node.value()), [1, 2, 2, 3, 4]);
    drop(guard);
    census.wait_for(0);
}

#[test]
fn recovery_sets_entries_whatever_they_were() {
    let (mut table, census) = (Table::new(), Arc::new(Census::default()));
    table.set_vacant(page(5 * REGION));
    assert_eq!((dirty(&table), table.memory_bytes()), (vec![], 0), "there is nothing to be ended");

    for n in [1, 2] {
        table.set_stored(page(7), record(n));
        assert_eq!((look(&table, page(7)), dirty(&table)), (Seen::Stored(record(n)), vec![0]));
    }
    table.set_vacant(page(7));
    assert_eq!((look(&table, page(7)), dirty(&table)), (Seen::Vacant, vec![0]));

    for stored in [None, Some(record(3))] {
        table.replace(page(7), Entry::Vacant, census.node(1), &pin()).unwrap();
        match stored {
            Some(stored) => table.set_stored(page(7), stored),
            None => table.set_vacant(page(7)),
        }
        assert_eq!(census.alive(), 0, "nobody can have it, so that it is dropped at once");
        assert_eq!(look(&table, page(7)), stored.map_or(Seen::Vacant, Seen::Stored));
    }
    let last = Stored { lsn: esker_format::Lsn::new(esker_format::Lsn::LIMIT.get() - 1), ..record(1) };
    table.set_stored(page(0), last);
    assert_eq!(look(&table, page(0)), Seen::Stored(last));
}

#[test]
fn a_change_marks_its_region_and_what_only_concerns_the_cache_does_not() {
    let (census, guard) = (Arc::new(Census::default()), pin());

    let table = with_node(&census);
    let node = resident(&table, page(7), &guard);
    assert!(table.replace(page(7), Entry::Resident(node), census.node(2), &guard).is_ok());
    assert_eq!(dirty(&table), [0], "replace");
    assert!(table.evict(page(7), resident(&table, page(7), &guard), record(2), &guard).is_ok());
    assert_eq!(dirty(&table), [0], "evict");
    assert!(table.relocate(page(7), record(2), record(3).lsn, &guard).is_ok());
    assert_eq!(dirty(&table), [0], "relocate");
    assert!(table.free(page(7), table.load(page(7), &guard), &guard).is_ok());
    assert_eq!(dirty(&table), [0], "free");

    let table = with_record(record(1));
    let node = table.install(page(7), record(1), census.node(1), &guard).unwrap();
    assert_eq!(dirty(&table), [0; 0], "install");
    assert!(table.evict_clean(page(7), node, record(1), &guard).is_ok());
    assert_eq!(dirty(&table), [0; 0], "evict_clean");
    table.scan(.., &guard, |_, _| ());
    assert_eq!((look(&table, page(7)), dirty(&table)), (Seen::Stored(record(1)), vec![]), "looking");
}

#[test]
fn dirty_regions_are_taken_once_in_ascending_order_and_can_be_given_back() {
    let mut table = Table::new();
    // Regions of the first three levels of the directory.
    for n in [200, 0, 64, 3, 63, 3] {
        table.set_stored(page(n * REGION + n), record(1));
    }
    assert_eq!(dirty(&table), [0, 3, 63, 64, 200]);
    assert_eq!(dirty(&table), [0; 0]);
    for n in [64, 63, 64] {
        table.mark_dirty(region(n));
    }
    table.mark_dirty(region(4)); // no page was ever there
    assert_eq!(dirty(&table), [63, 64]);
    // The first and the last page of a region mark it, and no other.
    for id in [3 * REGION, 4 * REGION - 1] {
        table.set_stored(page(id), record(2));
        assert_eq!(dirty(&table), [3]);
    }
}

#[test]
fn a_scan_finds_the_pages_of_its_range_in_ascending_order() {
    let (mut table, census, guard) = (Table::new(), Arc::new(Census::default()), pin());
    let first_of_level = 64 * REGION;
    let ids = [0, 1, 5, REGION - 1, REGION, 3 * REGION + 9, first_of_level - 1, first_of_level, 200 * REGION];
    for id in ids {
        table.set_stored(page(id), record(id + 1));
    }
    table.set_vacant(page(1));
    table.free(page(5), Entry::Stored(record(6)), &guard).unwrap();
    table.replace(page(5), Entry::Vacant, census.node(5), &guard).unwrap();
    let there: Vec<(u64, Seen)> =
        ids.into_iter().filter(|id| *id != 1).map(|id| (id, look(&table, page(id)))).collect();
    assert_eq!(there[1], (5, Seen::Resident(5)));

    let ends = ids.into_iter().flat_map(|id| [id.saturating_sub(1), id, id + 1]).chain([PageId::MAX.get()]);
    let bounds: Vec<Bound<PageId>> =
        ends.flat_map(|id| [Bound::Included(page(id)), Bound::Excluded(page(id))]).chain([Bound::Unbounded]).collect();
    for first in &bounds {
        for last in &bounds {
            let range = (*first, *last);
            let mut found = Vec::new();
            table.scan(range, &guard, |page, entry| found.push((page.get(), seen(entry))));
            let within = |id: u64| std::ops::RangeBounds::contains(&range, &page(id));
            let expected: Vec<_> = there.iter().copied().filter(|(id, _)| within(*id)).collect();
            assert_eq!(found, expected, "{range:?}");
        }
    }
    let mut count = 0;
    table.scan(region(1).pages(), &guard, |_, _| count += 1);
    assert_eq!(count, 1);
}

#[test]
fn nodes_are_kept_by_guards_and_dropped_soon_after() {
    let census = Arc::new(Census::default());
    let table = with_node(&census);
    let mut guard = pin();
    let node = resident(&table, page(7), &guard);
    table.free(page(7), Entry::Resident(node), &guard).unwrap();
    // Another thread does all it can to have it dropped.
    std::thread::scope(|scope| scope.spawn(|| (0..1000).for_each(|_| pin().flush())).join().unwrap());
    assert_eq!((node.value(), census.alive()), (1, 1));

    // Letting go for a moment is enough.
    let begun = Instant::now();
    while census.alive() != 0 {
        assert!(begun.elapsed().as_secs() < 60, "the node is never dropped");
        guard.repin();
        guard.flush();
        std::thread::yield_now();
    }
}

#[test]
fn a_table_drops_its_nodes_at_its_end() {
    let (table, census) = (Table::new(), Arc::new(Census::default()));
    for id in [0, 1, REGION, 100 * REGION] {
        table.replace(page(id), Entry::Vacant, census.node(id), &pin()).unwrap();
    }
    assert_eq!(census.alive(), 4);
    drop(table);
    assert_eq!(census.alive(), 0);
}

#[test]
fn memory_is_taken_by_the_region() {
    let mut table = Table::new();
    table.set_stored(page(0), record(1));
    let one = table.memory_bytes();
    // Twenty bytes for each page, a little for the region, and the directory's first level.
    assert!((20 * REGION_PAGES..21 * REGION_PAGES + 64 * 8).contains(&one), "{one}");
    table.set_stored(page(REGION - 1), record(1));
    assert_eq!(table.memory_bytes(), one);
    table.set_stored(page(REGION), record(1));
    let two = table.memory_bytes();
    assert!((one + 20 * REGION_PAGES..2 * one).contains(&two), "{one} {two}");
    // A level of the directory that begins far above takes its own length, and no chunks between.
    table.set_stored(page(64 * REGION), record(1));
    assert_eq!(table.memory_bytes(), two + (two - one) + 128 * 8);
}

#[test]
fn values_say_what_they_are() {
    let (table, guard) = (PageTable::<String>::new(), pin());
    let node = table.replace(page(1), Entry::Vacant, Box::new("one".into()), &guard).unwrap();
    let entries = [Entry::Vacant, Entry::Stored(record(1)), Entry::Resident(node)].map(|entry| format!("{entry:?}"));
    assert_eq!(entries[0], "Vacant");
    assert!(entries[1].starts_with("Stored(Stored { lsn: "), "{}", entries[1]);
    assert_eq!(entries[2], "Resident(\"one\")");
    assert!(format!("{table:?}").starts_with("PageTable { memory_bytes: "));
    let ids: PageIds = [page(3), page(4)].into_iter().collect();
    assert_eq!(format!("{ids:?}"), "PageIds { in_use: 2, .. }");
    assert!(ids.contains(page(4)) && !ids.contains(page(5)));
}

#[test]
fn sums_do_not_go_below_zero_for_those_who_look() {
    let sum = Counter::default();
    sum.subtract(5);
    assert_eq!(sum.sum(), 0);
    sum.add(12);
    assert_eq!((sum.sum(), format!("{sum:?}")), (7, "7".to_owned()));
}

#[test]
fn what_is_new_counts_as_touched() {
    let touch = Touch::new();
    assert_eq!([touch.take(), touch.take()], [true, false]);
    touch.touch();
    touch.touch();
    assert_eq!([touch.take(), touch.take()], [true, false]);
    assert!(!Touch::default().take());
}

#[test]
fn regions_have_numbers() {
    let region = PageId::new(5000).unwrap().region();
    assert_eq!(Region::new(region.number()), Some(region));
    assert_eq!(Region::new(PageId::MAX.region().number() + 1), None);
    let table = Table::new();
    assert_eq!(table.regions(), []);
    table.replace(PageId::new(5000).unwrap(), Entry::Vacant, Arc::new(Census::default()).node(1), &pin()).unwrap();
    assert_eq!(table.regions(), [region]);
}
