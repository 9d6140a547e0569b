//! The table's protocols, each as the smallest model that can break it. Under loom (`cargo xtask loom`) every schedule
//! within the preemption bound is tried; in an ordinary test each runs once.
//!
//! Regions have two pages here, and nodes and chunks have witnesses, which tell whether they were published to whoever found
//! them.

use std::{ops::Deref, sync::Arc};

use super::support::{Census, Seen, Table, look, page, record, resident, seen};
use crate::{
    Counter, Decision, Entry, pin,
    sync::{AtomicU64, Ordering, model, thread},
};

/// A table that threads share. When a model has failed it is leaked: loom has given up then, and to drop a table would ask it
/// for more, which ends the process before it is said which model it was.
#[derive(Clone)]
struct Shared(Option<Arc<Table>>);

impl Shared {
    fn new(table: Table) -> Self {
        Self(Some(Arc::new(table)))
    }
}

impl Deref for Shared {
    type Target = Table;

    fn deref(&self) -> &Table {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::mem::forget(self.0.take());
        }
    }
}

/// A table with page 0, in the log as record 1.
fn table() -> Shared {
    let mut table = Table::new();
    table.set_stored(page(0), record(1));
    Shared::new(table)
}

/// A table with page 0, in memory as node 1.
fn table_with_node(census: &Arc<Census>) -> Shared {
    let table = Table::new();
    table.replace(page(0), Entry::Vacant, census.node(1), &pin()).expect("it is empty");
    Shared::new(table)
}

/// Runs `f` with the table in a thread of its own.
fn spawn<T: Send + 'static>(table: &Shared, f: impl FnOnce(&Table) -> T + Send + 'static) -> thread::JoinHandle<T> {
    let table = table.clone();
    thread::spawn(move || f(&table))
}

/// What page 0 turns into when it is read, changed and written: node 2, then record 2.
fn change_and_evict(table: &Table, census: &Arc<Census>) {
    let guard = pin();
    let node = table.install(page(0), record(1), census.node(2), &guard).expect("nobody else changes it");
    assert!(table.evict(page(0), node, record(2), &guard).is_ok());
}

/// Whoever finds a node, by looking or because it is in the way, sees it whole; one that was taken out is dropped once, and
/// not while somebody has it. Breaks without P1.
#[test]
fn loom_a_node_is_seen_as_it_was_put_in() {
    model(|| {
        let census = Arc::new(Census::default());
        let table = Shared::new(Table::new());
        {
            // The chunk is there, and the page is not.
            let guard = pin();
            table.replace(page(0), Entry::Vacant, census.node(1), &guard).unwrap();
            table.free(page(0), table.load(page(0), &guard), &guard).unwrap();
        }
        let writers: Vec<_> = (2..4)
            .map(|value| {
                let census = census.clone();
                spawn(&table, move |table| {
                    let guard = pin();
                    match table.replace(page(0), Entry::Vacant, census.node(value), &guard) {
                        Ok(node) => assert_eq!(node.value(), value),
                        Err(conflict) => {
                            assert_eq!(conflict.node.value(), value);
                            assert_eq!(seen(conflict.current), Seen::Resident(5 - value));
                            let replaced = table.replace(page(0), conflict.current, conflict.node, &guard);
                            assert_eq!(replaced.expect("the other is done").value(), value);
                            assert_eq!(seen(conflict.current), Seen::Resident(5 - value));
                        }
                    }
                })
            })
            .collect();
        let guard = pin();
        assert!(matches!(seen(table.load(page(0), &guard)), Seen::Vacant | Seen::Resident(2 | 3)));
        drop(guard);
        for writer in writers {
            writer.join().unwrap();
        }
        assert!(matches!(look(&table, page(0)), Seen::Resident(2 | 3)));
        drop(table);
        census_is_empty(&census);
    });
}

/// As before, for whoever found a record at first: the details do not keep him from seeing the node. Breaks without P1 in
/// `Chunk::load_with_details`.
#[test]
fn loom_a_node_is_seen_in_the_place_of_a_record() {
    model(|| {
        let census = Arc::new(Census::default());
        let table = table();
        let writer = {
            let census = census.clone();
            spawn(&table, move |table| {
                let guard = pin();
                let node = table.install(page(0), record(1), census.node(2), &guard).expect("nobody else does");
                table.relocate(page(0), record(1), record(2).lsn, &guard).expect_err("it is in memory");
                node.value()
            })
        };
        let reader = spawn(&table, |table| look(table, page(0)));
        let found = reader.join().unwrap();
        assert!(found == Seen::Stored(record(1)) || found == Seen::Resident(2), "{found:?}");
        assert_eq!(writer.join().unwrap(), 2);
        drop(table);
        census_is_empty(&census);
    });
}

/// Whoever finds a record finds its length and version. Breaks without P2.
#[test]
fn loom_a_record_is_seen_with_its_details() {
    model(|| {
        let census = Arc::new(Census::default());
        let table = table_with_node(&census);
        let evictor = spawn(&table, |table| {
            let guard = pin();
            let node = resident(table, page(0), &guard);
            assert!(table.evict(page(0), node, record(1), &guard).is_ok());
            assert_eq!(node.value(), 1);
        });
        let reader = spawn(&table, |table| look(table, page(0)));
        let found = reader.join().unwrap();
        assert!(found == Seen::Stored(record(1)) || found == Seen::Resident(1), "{found:?}");
        evictor.join().unwrap();
        drop(table);
        census_is_empty(&census);
    });
}

/// Whoever looks while a page goes from one record to another finds one or the other, and not some of both. Breaks without
/// P3, and without P2 in `Chunk::load_with_details`.
#[test]
fn loom_details_of_two_records_are_not_mixed() {
    model(|| {
        let census = Arc::new(Census::default());
        let table = table();
        let evictor = {
            let census = census.clone();
            spawn(&table, move |table| change_and_evict(table, &census))
        };
        let reader = spawn(&table, |table| look(table, page(0)));
        let found = reader.join().unwrap();
        let records = [Seen::Stored(record(1)), Seen::Resident(2), Seen::Stored(record(2))];
        assert!(records.contains(&found), "{found:?}");
        evictor.join().unwrap();
        drop(table);
        census_is_empty(&census);
    });
}

/// As before, where neither the word nor the page tells: an attempt to evict it to another record fails, because the node
/// was replaced, and the page goes back to the record that it came from. Breaks if a reader compares the word before and
/// after, rather than count.
#[test]
fn loom_details_are_not_those_of_a_failed_eviction() {
    model(|| {
        let census = Arc::new(Census::default());
        let table = table();
        let evictor = spawn(&table, |table| {
            let guard = pin();
            if let Entry::Resident(node) = table.load(page(0), &guard)
                && node.value() == 1
            {
                // Fails if the node is replaced after it was found to be there.
                _ = table.evict(page(0), node, record(2), &guard).is_ok();
            }
        });
        let reader = spawn(&table, |table| look(table, page(0)));
        {
            // By the model's own thread, which is one less to be tried.
            let guard = pin();
            let clean = table.install(page(0), record(1), census.node(1), &guard).expect("nobody else does");
            match table.replace(page(0), Entry::Resident(clean), census.node(3), &guard) {
                Ok(node) => assert!(table.evict(page(0), node, record(1), &guard).is_ok()),
                Err(conflict) => assert_eq!(seen(conflict.current), Seen::Stored(record(2))),
            }
        }
        let found = reader.join().unwrap();
        let all = [Seen::Resident(1), Seen::Stored(record(2)), Seen::Resident(3), Seen::Stored(record(1))];
        assert!(all.contains(&found), "{found:?}");
        evictor.join().unwrap();
        drop(table);
        census_is_empty(&census);
    });
}

/// Two threads evict pages of one region at once, and nothing is mixed up. Breaks without the lock.
#[test]
fn loom_evictors_of_a_page_take_turns() {
    model(|| {
        let census = Arc::new(Census::default());
        let table = table_with_node(&census);
        let evictors: Vec<_> = (1..3)
            .map(|n| {
                spawn(&table, move |table| {
                    let guard = pin();
                    match table.load(page(0), &guard) {
                        Entry::Resident(node) => table.evict(page(0), node, record(n), &guard).is_ok(),
                        _ => false,
                    }
                })
            })
            .collect();
        let evicted: Vec<bool> = evictors.into_iter().map(|evictor| evictor.join().unwrap()).collect();
        assert_eq!(evicted.iter().filter(|evicted| **evicted).count(), 1);
        let n = if evicted[0] { 1 } else { 2 };
        assert_eq!(look(&table, page(0)), Seen::Stored(record(n)));
        drop(table);
        census_is_empty(&census);
    });
}

/// A level and a chunk that one thread has made are whole for another; of two that make them at once, one does. Breaks
/// without P4.
#[test]
fn loom_chunks_are_seen_as_they_were_made() {
    model(|| {
        let census = Arc::new(Census::default());
        let table = Shared::new(Table::new());
        // Pages of the same chunk; their level is the second.
        let writers: Vec<_> = (2..4)
            .map(|id| {
                let census = census.clone();
                spawn(&table, move |table| {
                    let guard = pin();
                    table.replace(page(id), Entry::Vacant, census.node(id), &guard).unwrap();
                })
            })
            .collect();
        let found = look(&table, page(2));
        assert!(found == Seen::Vacant || found == Seen::Resident(2), "{found:?}");
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!([look(&table, page(2)), look(&table, page(3))], [Seen::Resident(2), Seen::Resident(3)]);
        drop(table);
        census_is_empty(&census);
    });
}

/// A change is seen by whoever takes its region's mark, or the region is marked afterwards; and a change that was made before
/// is in a region that is taken. Breaks without P5.
#[test]
fn loom_no_change_is_lost_between_two_checkpoints() {
    model(|| {
        // Dirty from the beginning, so that the mark of a change is there already.
        let table = table();
        let changer = spawn(&table, |table| {
            table.relocate(page(0), record(1), record(2).lsn, &pin()).unwrap();
        });
        let checkpoint = spawn(&table, |table| {
            let taken = table.take_dirty();
            assert_eq!(taken, [page(0).region()]);
            let mut lsns = Vec::new();
            table.scan(taken[0].pages(), &pin(), |_, entry| match entry {
                Entry::Stored(stored) => lsns.push(stored.lsn),
                _ => panic!("a record is moved and stays one"),
            });
            lsns
        });
        changer.join().unwrap();
        let first = checkpoint.join().unwrap();
        if first == [record(1).lsn] {
            assert_eq!(table.take_dirty(), [page(0).region()], "the change is in neither checkpoint");
        } else {
            assert_eq!(first, [record(2).lsn]);
        }
    });
}

/// Whoever takes a later number sees what the one did before who took an earlier one. Breaks without P6.
#[test]
fn loom_a_later_number_sees_what_came_before_an_earlier_one() {
    for take in [|numbers: &Counter| numbers.take(), |numbers: &Counter| numbers.take_many(1)] {
        model(move || {
            let shared = Arc::new((Counter::new(0), [AtomicU64::new(0), AtomicU64::new(0)]));
            let takers: Vec<_> = (0..2)
                .map(|me| {
                    let shared = shared.clone();
                    thread::spawn(move || {
                        let (numbers, told) = &*shared;
                        // ORDERING: Relaxed: the numbers are what orders it [P6].
                        told[me].store(1, Ordering::Relaxed);
                        if take(numbers) == 1 {
                            // ORDERING: Relaxed, as above.
                            assert_eq!(told[1 - me].load(Ordering::Relaxed), 1);
                        }
                    })
                })
                .collect();
            for taker in takers {
                taker.join().unwrap();
            }
            assert_eq!(shared.0.get(), 2);
        });
    }
}

/// Whoever sees that a number was taken sees what was done before. Breaks without P6.
#[test]
fn loom_whoever_sees_a_number_taken_sees_what_came_before() {
    for take in [|numbers: &Counter| numbers.take(), |numbers: &Counter| numbers.take_many(1)] {
        model(move || {
            let shared = Arc::new((Counter::new(0), AtomicU64::new(0)));
            let taker = {
                let shared = shared.clone();
                thread::spawn(move || {
                    // ORDERING: Relaxed: the number is what orders it [P6].
                    shared.1.store(1, Ordering::Relaxed);
                    take(&shared.0);
                })
            };
            if shared.0.get() == 1 {
                // ORDERING: Relaxed, as above.
                assert_eq!(shared.1.load(Ordering::Relaxed), 1);
            }
            taker.join().unwrap();
        });
    }
}

/// Whoever sees that changes hold sees all of them. Breaks without P7.
#[test]
fn loom_whoever_sees_that_changes_hold_sees_all_of_them() {
    model(|| {
        let shared = Arc::new((Decision::new(), AtomicU64::new(0)));
        let decider = {
            let shared = shared.clone();
            thread::spawn(move || {
                // ORDERING: Relaxed: the decision is what orders it [P7].
                shared.1.store(1, Ordering::Relaxed);
                assert!(shared.0.hold());
            })
        };
        if shared.0.holds() == Some(true) {
            // ORDERING: Relaxed, as above.
            assert_eq!(shared.1.load(Ordering::Relaxed), 1);
        }
        decider.join().unwrap();
    });
}

/// All agree on what was decided, whoever decided it.
#[test]
fn loom_changes_hold_or_are_refused_for_all() {
    model(|| {
        let decision = Arc::new(Decision::new());
        let refuser = {
            let decision = decision.clone();
            thread::spawn(move || {
                decision.refuse();
                decision.holds()
            })
        };
        let held = decision.hold();
        assert_eq!(refuser.join().unwrap(), Some(held));
        assert_eq!((decision.holds(), decision.hold()), (Some(held), false));
    });
}

/// Nodes that were retired are dropped with the table, in a model; otherwise when the collector gets to it, which other tests
/// wait for.
fn census_is_empty(census: &Census) {
    if cfg!(loom) {
        assert_eq!(census.alive(), 0);
    }
}
