//! Any sequence of calls, with whatever they may expect, does as a plain map does.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
};

use proptest::prelude::*;

use super::support::{Census, Node, Seen, Table, page, record, seen};
use crate::{Entry, Guard, PageId, REGION_PAGES, Region, Stored};

/// Pages at both ends of regions, and regions of three levels of the directory.
const PAGES: [u64; 7] = [
    0,
    1,
    REGION_PAGES as u64 - 1,
    REGION_PAGES as u64,
    64 * REGION_PAGES as u64 - 1,
    64 * REGION_PAGES as u64,
    200_000,
];
/// Calls of one case, so that the 256 cases of an ordinary run make more than 100 thousand.
const CALLS: RangeInclusive<usize> = 400..=800;
/// Calls with shared access under one guard: what they have seen may be expected by those after them.
const UNDER_GUARD: usize = 12;

/// What a call expects a page to be.
#[derive(Clone, Debug)]
enum Expected {
    /// What it is.
    Current,
    Vacant,
    /// What this page is.
    AsOf(usize),
    Record(u64),
    /// The node of so many that were seen under the guard.
    Seen(usize),
}

#[derive(Clone, Debug)]
enum Call {
    Load(usize),
    Replace(usize, Expected),
    Install(usize, Expected),
    Evict(usize, Expected, u64, bool),
    Relocate(usize, Expected, u64),
    Free(usize, Expected),
    Scan(usize, usize),
    TakeDirty,
    MarkDirty(usize),
}

/// What follows in one case: calls that need the table for themselves, then some that share it.
#[derive(Clone, Debug)]
struct Batch {
    set: Vec<(usize, Option<u64>)>,
    calls: Vec<Call>,
}

fn expected() -> impl Strategy<Value = Expected> {
    prop_oneof![
        6 => Just(Expected::Current),
        1 => Just(Expected::Vacant),
        1 => at().prop_map(Expected::AsOf),
        1 => number().prop_map(Expected::Record),
        1 => (0..UNDER_GUARD).prop_map(Expected::Seen),
    ]
}

fn at() -> impl Strategy<Value = usize> + Clone {
    0..PAGES.len()
}

fn number() -> impl Strategy<Value = u64> + Clone {
    1..12_u64
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        2 => at().prop_map(Call::Load),
        5 => (at(), expected()).prop_map(|(at, expected)| Call::Replace(at, expected)),
        4 => (at(), expected()).prop_map(|(at, expected)| Call::Install(at, expected)),
        6 => (at(), expected(), number(), any::<bool>())
            .prop_map(|(at, expected, n, is_clean)| Call::Evict(at, expected, n, is_clean)),
        3 => (at(), expected(), number()).prop_map(|(at, expected, n)| Call::Relocate(at, expected, n)),
        2 => (at(), expected()).prop_map(|(at, expected)| Call::Free(at, expected)),
        1 => (at(), at()).prop_map(|(first, last)| Call::Scan(first, last)),
        1 => Just(Call::TakeDirty),
        1 => at().prop_map(Call::MarkDirty),
    ]
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let set = proptest::collection::vec((at(), proptest::option::weighted(0.7, number())), 0..3);
    (proptest::collection::vec(call(), CALLS), proptest::collection::vec(set, CALLS.end() / UNDER_GUARD + 1)).prop_map(
        |(calls, sets)| {
            let calls = calls.chunks(UNDER_GUARD).map(<[Call]>::to_vec);
            calls.zip(sets).map(|(calls, set)| Batch { set, calls }).collect()
        },
    )
}

/// What the table should be. Pages that are not in the map are vacant.
#[derive(Default)]
struct Model {
    pages: BTreeMap<PageId, Seen>,
    /// Regions in which a page ever was, or was to be.
    known: BTreeSet<Region>,
    dirty: BTreeSet<Region>,
}

impl Model {
    fn get(&self, page: PageId) -> Seen {
        self.pages.get(&page).copied().unwrap_or(Seen::Vacant)
    }

    fn set(&mut self, page: PageId, new: Seen) {
        match new {
            Seen::Vacant => self.pages.remove(&page),
            new => self.pages.insert(page, new),
        };
    }

    /// Changes a page if it is as expected. Says whether it is, or what else.
    fn change(&mut self, page: PageId, expected: Seen, new: Seen, is_dirty: bool) -> Result<(), Seen> {
        let current = self.get(page);
        let is_expected = match (current, expected) {
            (Seen::Stored(current), Seen::Stored(expected)) => current.lsn == expected.lsn,
            (current, expected) => current == expected,
        };
        if !is_expected {
            return Err(current);
        }
        self.set(page, new);
        // Where no page ever was, a vacant one stays so without a trace.
        if is_dirty && self.known.contains(&page.region()) {
            self.dirty.insert(page.region());
        }
        Ok(())
    }
}

struct Run {
    table: Table,
    model: Model,
    census: Arc<Census>,
    nodes_made: u64,
}

impl Run {
    fn set(&mut self, at: usize, n: Option<u64>) {
        let page = page(PAGES[at]);
        match n {
            Some(n) => {
                self.table.set_stored(page, record(n));
                self.model.known.insert(page.region());
            }
            None => self.table.set_vacant(page),
        }
        self.model.set(page, n.map_or(Seen::Vacant, |n| Seen::Stored(record(n))));
        if self.model.known.contains(&page.region()) {
            self.model.dirty.insert(page.region());
        }
    }

    fn calls(&mut self, calls: &[Call]) -> Result<(), TestCaseError> {
        let Self { table, model, census, nodes_made } = self;
        let guard = crate::pin();
        let mut nodes: Vec<&Node> = Vec::new();
        for call in calls {
            one(table, model, call, &guard, &mut nodes, || {
                *nodes_made += 1;
                census.node(*nodes_made)
            })?;
            // All of them are whole, whatever became of them.
            nodes.iter().for_each(|node| _ = node.value());
        }
        Ok(())
    }
}

fn resolve<'g>(
    table: &'g Table,
    page: PageId,
    expected: &Expected,
    nodes: &[&'g Node],
    guard: &'g Guard,
) -> Entry<'g, Node> {
    match expected {
        Expected::Current => table.load(page, guard),
        Expected::Vacant => Entry::Vacant,
        Expected::AsOf(other) => table.load(super::support::page(PAGES[*other]), guard),
        Expected::Record(n) => Entry::Stored(record(*n)),
        Expected::Seen(nth) => nodes.get(*nth).copied().map_or(Entry::Vacant, Entry::Resident),
    }
}

/// What is done instead of a call that does not take such an entry.
fn as_modelled(table: &Table, model: &Model, page: PageId, guard: &Guard) -> Result<(), TestCaseError> {
    prop_assert_eq!(seen(table.load(page, guard)), model.get(page));
    Ok(())
}

/// Makes one call, and compares what comes of it.
fn one<'g>(
    table: &'g Table,
    model: &mut Model,
    call: &Call,
    guard: &'g Guard,
    nodes: &mut Vec<&'g Node>,
    node: impl FnOnce() -> Box<Node>,
) -> Result<(), TestCaseError> {
    match call {
        Call::Load(at) => {
            let page = page(PAGES[*at]);
            let found = table.load(page, guard);
            prop_assert_eq!(seen(found), model.get(page));
            if let Entry::Resident(node) = found {
                nodes.push(node);
            }
        }
        Call::Replace(at, expected) | Call::Install(at, expected) => {
            let page = page(PAGES[*at]);
            let expected = resolve(table, page, expected, nodes, guard);
            let is_change = matches!(call, Call::Replace(..));
            let node = node();
            let value = node.value();
            let result = match expected {
                Entry::Stored(expected) if !is_change => table.install(page, expected, node, guard),
                _ if !is_change => return as_modelled(table, model, page, guard),
                expected => table.replace(page, expected, node, guard),
            };
            // Whether it could be put in or not, there was to be a page.
            model.known.insert(page.region());
            let modelled = model.change(page, seen(expected), Seen::Resident(value), is_change);
            match result {
                Ok(node) => {
                    prop_assert_eq!((Ok(()), value), (modelled, node.value()));
                    nodes.push(node);
                }
                Err(conflict) => {
                    prop_assert_eq!(Err(seen(conflict.current)), modelled);
                    prop_assert_eq!((conflict.page, conflict.node.value()), (page, value));
                }
            }
        }
        Call::Evict(at, expected, n, is_clean) => {
            let page = page(PAGES[*at]);
            let Entry::Resident(expected) = resolve(table, page, expected, nodes, guard) else {
                return as_modelled(table, model, page, guard);
            };
            let result = if *is_clean {
                table.evict_clean(page, expected, record(*n), guard)
            } else {
                table.evict(page, expected, record(*n), guard)
            };
            let new = Seen::Stored(record(*n));
            let modelled = model.change(page, Seen::Resident(expected.value()), new, !is_clean);
            prop_assert_eq!(result.map_err(seen), modelled);
            nodes.push(expected);
        }
        Call::Relocate(at, expected, n) => {
            let page = page(PAGES[*at]);
            let Entry::Stored(expected) = resolve(table, page, expected, nodes, guard) else {
                return as_modelled(table, model, page, guard);
            };
            let result = table.relocate(page, expected, record(*n).lsn, guard);
            // Length and version are those of the entry, not those that were expected.
            let new = match model.get(page) {
                Seen::Stored(current) => Seen::Stored(Stored { lsn: record(*n).lsn, ..current }),
                other => other,
            };
            prop_assert_eq!(result.map_err(seen), model.change(page, Seen::Stored(expected), new, true));
        }
        Call::Free(at, expected) => {
            let page = page(PAGES[*at]);
            let expected = resolve(table, page, expected, nodes, guard);
            let result = table.free(page, expected, guard).map_err(seen);
            prop_assert_eq!(result, model.change(page, seen(expected), Seen::Vacant, true));
        }
        Call::Scan(first, last) => {
            let (first, last) = (page(PAGES[*first]), page(PAGES[*last]));
            let mut found = Vec::new();
            table.scan(first..=last, guard, |page, entry| found.push((page, seen(entry))));
            let within = model.pages.iter().filter(|(page, _)| (first..=last).contains(page));
            prop_assert_eq!(found, within.map(|(page, state)| (*page, *state)).collect::<Vec<_>>());
        }
        Call::TakeDirty => {
            let dirty = std::mem::take(&mut model.dirty);
            prop_assert_eq!(table.take_dirty(), dirty.into_iter().collect::<Vec<_>>());
        }
        Call::MarkDirty(at) => {
            let region = page(PAGES[*at]).region();
            table.mark_dirty(region);
            if model.known.contains(&region) {
                model.dirty.insert(region);
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_table_does_as_a_map_does(batches in batches()) {
        let census = Arc::new(Census::default());
        let mut run = Run { table: Table::new(), model: Model::default(), census: census.clone(), nodes_made: 0 };
        for batch in &batches {
            for (at, n) in &batch.set {
                run.set(*at, *n);
            }
            run.calls(&batch.calls)?;
        }
        let resident = run.model.pages.values().filter(|state| matches!(state, Seen::Resident(_))).count() as u64;
        census.wait_for(resident);
        drop(run);
        prop_assert_eq!(census.alive(), 0);
    }
}
