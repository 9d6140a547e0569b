//! Real threads that do everything to the same pages at once, over nodes that know whether they were dropped.
//!
//! A page's content is a number, which each change raises by one. So no change is lost if the numbers that the pages have at
//! the end, and had when they were ended, add up to the changes that succeeded. LSNs, lengths and versions are made so that
//! whoever finds a record can tell whether all of it belongs together, and to the page.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use esker_format::Lsn;

use super::support::{Census, Node, page};
use crate::{Entry, Guard, PageId, PageTable, REGION_PAGES, Stored, Version, pin};

const THREADS: u64 = 4;
/// Where the content begins in a record's LSN; below is what tells it from others of that content, and then a number of its
/// own.
const CONTENT_SHIFT: u32 = 39;
const MARK_SHIFT: u32 = 31;
/// Calls that a thread makes under one guard.
const UNDER_GUARD: usize = 24;
/// ThreadSanitizer makes all of it slow.
const SLOW: u64 = if cfg!(esker_tsan) { 10 } else { 1 };

/// A page in memory.
struct Leaf {
    /// The page's id and its content.
    node: Box<Node>,
    /// The record that it was read from, if it was not changed since.
    from: Option<Stored>,
}

/// What a checkpoint has of a page: its content, and where that is, if it is in the log.
type Known = (u64, Option<Lsn>);

/// What the threads share.
struct World {
    table: PageTable<Leaf>,
    pages: Vec<PageId>,
    census: Arc<Census>,
    /// The number of the next record.
    next_record: AtomicU64,
    /// Changes that succeeded.
    changes: AtomicU64,
    /// The contents that pages had when they were ended, added up.
    ended: AtomicU64,
    is_over: AtomicBool,
}

/// Numbers of no particular order.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

impl World {
    fn new(pages: Vec<PageId>) -> Self {
        Self {
            table: PageTable::new(),
            pages,
            census: Arc::default(),
            next_record: AtomicU64::new(1),
            changes: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    fn leaf(&self, page: PageId, content: u64, from: Option<Stored>) -> Box<Leaf> {
        Box::new(Leaf { node: self.census.node(page.get() << 32 | content), from })
    }

    /// A record of this content. Its length tells it from most others of the same content.
    fn record(&self, page: PageId, content: u64) -> Stored {
        let number = self.next_record.fetch_add(1, Ordering::Relaxed);
        let lsn = Lsn::new(content << CONTENT_SHIFT | (number & 0xFF) << MARK_SHIFT | number);
        Stored { lsn, len: length(page, lsn), version: Version::new(content).unwrap() }
    }

    /// An LSN that was never used, for a copy of this record.
    fn copy_of(&self, stored: Stored) -> Lsn {
        let number = self.next_record.fetch_add(1, Ordering::Relaxed);
        Lsn::new(stored.lsn.get() >> MARK_SHIFT << MARK_SHIFT | number)
    }

    /// What an entry says, all parts of which have to belong together. `None` if there is no page.
    #[track_caller]
    fn check(&self, page: PageId, entry: Entry<'_, Leaf>) -> Option<Known> {
        match entry {
            Entry::Vacant => None,
            Entry::Stored(stored) => Some((content_of(page, stored), Some(stored.lsn))),
            Entry::Resident(leaf) => {
                let content = value_of(page, leaf);
                if let Some(from) = leaf.from {
                    assert_eq!(content_of(page, from), content);
                }
                Some((content, leaf.from.map(|from| from.lsn)))
            }
        }
    }

    /// One call, chosen by `random`, with what the page is.
    fn act<'g>(&'g self, random: &mut Random, guard: &'g Guard, nodes: &mut Vec<(PageId, &'g Leaf, u64)>) {
        let page = self.pages[random.below(self.pages.len())];
        let entry = self.table.load(page, guard);
        let content = self.check(page, entry).map_or(0, |(content, _)| content);
        if let Entry::Resident(leaf) = entry {
            nodes.push((page, leaf, content));
        }
        match (random.below(10), entry) {
            (0..4, entry) => match self.table.replace(page, entry, self.leaf(page, content + 1, None), guard) {
                Ok(leaf) => {
                    self.changes.fetch_add(1, Ordering::Relaxed);
                    nodes.push((page, leaf, content + 1));
                }
                Err(conflict) => {
                    assert_eq!((conflict.page, value_of(page, &conflict.node)), (page, content + 1));
                    self.check(page, conflict.current);
                }
            },
            (4, entry) => {
                if let Err(current) = self.table.free(page, entry, guard) {
                    self.check(page, current);
                } else {
                    self.ended.fetch_add(content, Ordering::Relaxed);
                }
            }
            (_, Entry::Vacant) => {}
            (5, Entry::Stored(stored)) => {
                if let Err(current) = self.table.relocate(page, stored, self.copy_of(stored), guard) {
                    self.check(page, current);
                }
            }
            (_, Entry::Stored(stored)) => {
                match self.table.install(page, stored, self.leaf(page, content, Some(stored)), guard) {
                    Ok(leaf) => nodes.push((page, leaf, content)),
                    Err(conflict) => _ = self.check(page, conflict.current),
                }
            }
            (choice, Entry::Resident(leaf)) => {
                let result = match leaf.from {
                    // Back to where it came from, though others try to put it elsewhere.
                    Some(from) if choice < 9 => self.table.evict_clean(page, leaf, from, guard),
                    _ => self.table.evict(page, leaf, self.record(page, content), guard),
                };
                if let Err(current) = result {
                    self.check(page, current);
                }
            }
        }
    }

    fn work(&self, seed: u64, batches: u64) {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        for _ in 0..batches {
            let guard = pin();
            let mut nodes = Vec::new();
            for _ in 0..UNDER_GUARD {
                self.act(&mut random, &guard, &mut nodes);
            }
            // Whatever became of them, they are as they were.
            for (page, leaf, content) in nodes {
                assert_eq!(value_of(page, leaf), content);
            }
        }
    }

    /// Nothing but changes and evictions, one after the other.
    fn change_and_evict(&self, rounds: u64) {
        for _ in 0..rounds {
            let guard = pin();
            for page in &self.pages {
                let entry = self.table.load(*page, &guard);
                let content = self.check(*page, entry).map_or(0, |(content, _)| content);
                if let Entry::Resident(leaf) = entry {
                    _ = self.table.evict(*page, leaf, self.record(*page, content), &guard);
                } else if self.table.replace(*page, entry, self.leaf(*page, content + 1, None), &guard).is_ok() {
                    self.changes.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Brings what a checkpoint knows up to date, from the regions that changed.
    fn checkpoint(&self, image: &mut BTreeMap<PageId, Known>) {
        for region in self.table.take_dirty() {
            image.retain(|page, _| page.region() != region);
            self.table.scan(region.pages(), &pin(), |page, entry| {
                let known = self.check(page, entry).expect("a scan finds pages that there are");
                assert!(image.insert(page, known).is_none(), "a scan finds each page once");
            });
        }
    }

    /// Everything that there is.
    fn all(&self) -> BTreeMap<PageId, Known> {
        let mut all = BTreeMap::new();
        self.table.scan(.., &pin(), |page, entry| _ = all.insert(page, self.check(page, entry).unwrap()));
        all
    }
}

/// The length of a record of this page, and of its copies.
fn length(page: PageId, lsn: Lsn) -> u32 {
    ((page.get() << 20) ^ (lsn.get() >> MARK_SHIFT).wrapping_mul(0x9E37_79B1)) as u32
}

/// The content of a record, all parts of which have to belong together.
#[track_caller]
fn content_of(page: PageId, stored: Stored) -> u64 {
    let content = stored.version.get();
    assert_eq!(
        (stored.lsn.get() >> CONTENT_SHIFT, stored.len),
        (content, length(page, stored.lsn)),
        "details of page {page} are mixed"
    );
    content
}

#[track_caller]
fn value_of(page: PageId, leaf: &Leaf) -> u64 {
    let value = leaf.node.value();
    assert_eq!(value >> 32, page.get(), "a node of another page");
    value & u64::from(u32::MAX)
}

/// Lets the threads do `work` to these pages, beside one that makes checkpoints and one that only looks.
fn at_once(ids: impl Iterator<Item = u64>, work: impl Fn(&World, u64) + Sync) {
    let world = World::new(ids.map(page).collect());
    let mut image = thread::scope(|scope| {
        let workers: Vec<_> = (1..=THREADS)
            .map(|seed| {
                let (world, work) = (&world, &work);
                scope.spawn(move || work(world, seed))
            })
            .collect();
        let checkpoints = scope.spawn(|| {
            let mut image = BTreeMap::new();
            while !world.is_over.load(Ordering::Acquire) {
                world.checkpoint(&mut image);
                thread::yield_now();
            }
            image
        });
        let reader = scope.spawn(|| {
            let mut guard = pin();
            while !world.is_over.load(Ordering::Acquire) {
                for page in &world.pages {
                    world.check(*page, world.table.load(*page, &guard));
                }
                guard.repin();
            }
        });
        let ended: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        world.is_over.store(true, Ordering::Release);
        reader.join().unwrap();
        ended.into_iter().for_each(|ended| ended.unwrap());
        checkpoints.join().unwrap()
    });

    let all = world.all();
    world.checkpoint(&mut image);
    assert_eq!(image, all, "what checkpoints have is not what there is");
    assert_eq!(world.table.take_dirty(), []);
    let contents: u64 = all.values().map(|(content, _)| content).sum();
    assert_eq!(contents + world.ended.into_inner(), world.changes.into_inner(), "a change was lost, or made twice");

    let resident = |page: &PageId| matches!(world.table.load(*page, &pin()), Entry::Resident(_));
    world.census.wait_for(all.keys().filter(|page| resident(page)).count() as u64);
    drop(world.table);
    assert_eq!(world.census.alive(), 0);
}

/// Waits until so many have arrived, this one included.
fn meet(arrived: &AtomicU64, all: u64) {
    arrived.fetch_add(1, Ordering::AcqRel);
    let begun = Instant::now();
    while arrived.load(Ordering::Acquire) < all {
        assert!(begun.elapsed().as_secs() < 60, "another thread does not come");
        thread::yield_now();
    }
}

#[test]
fn a_few_pages_that_all_threads_want_are_never_mixed_up() {
    at_once(0..3, |world, seed| world.work(seed, 10_000 / SLOW));
}

#[test]
fn one_page_that_all_threads_want_is_never_mixed_up() {
    at_once(5..6, |world, seed| world.work(seed, 6_000 / SLOW));
}

#[test]
fn records_that_follow_each_other_are_never_mixed_up() {
    at_once(0..2, |world, _| world.change_and_evict(300_000 / SLOW));
}

#[test]
fn pages_of_several_regions_are_never_mixed_up() {
    let ids = [0, 1, 64, 191].into_iter().flat_map(|region| (0..40).map(move |n| region * REGION_PAGES as u64 + n));
    at_once(ids, |world, seed| world.work(seed, 10_000 / SLOW));
}

#[test]
fn of_threads_that_create_a_page_at_once_one_does_wherever_it_lies() {
    const REGIONS: u64 = 200;
    let census = Arc::new(Census::default());
    let table = PageTable::<Node>::new();
    let arrived = AtomicU64::new(0);
    let created: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|value| {
                let (table, census, arrived) = (&table, &census, &arrived);
                scope.spawn(move || {
                    let mut created = 0;
                    for region in 0..REGIONS {
                        // All of them need a chunk, and sometimes a level, that is not there yet.
                        meet(arrived, THREADS * (region + 1));
                        let guard = pin();
                        let page = page(region * REGION_PAGES as u64 + region);
                        match table.replace(page, Entry::Vacant, census.node(value), &guard) {
                            Ok(node) => {
                                assert_eq!(node.value(), value);
                                created += 1;
                            }
                            Err(conflict) => {
                                let Entry::Resident(node) = conflict.current else { panic!("nobody takes it out") };
                                assert_ne!(node.value(), value);
                            }
                        }
                    }
                    created
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!((created, census.alive(), table.take_dirty().len() as u64), (REGIONS, REGIONS, REGIONS));
    let one_by_one = PageTable::<Node>::new();
    for region in 0..REGIONS {
        one_by_one.replace(page(region * REGION_PAGES as u64), Entry::Vacant, census.node(0), &pin()).unwrap();
    }
    assert_eq!(table.memory_bytes(), one_by_one.memory_bytes());
    drop((table, one_by_one));
    assert_eq!(census.alive(), 0);
}
