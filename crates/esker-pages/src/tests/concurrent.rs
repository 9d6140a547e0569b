//! Many threads at once, the power fails at any call, and what was seen before and is found after is compared with one order of
//! all changes.
//!
//! Linearizability is checked page by page, which is enough, since it is local (Herlihy and Wing, 1990). The numbers of the
//! changes give the order in which they have to have happened, so nothing is searched for: each call is noted with the
//! moments of its beginning and its end on one clock; by number, each change replaces what the one before it made; and
//! whatever a call saw is neither older than what was seen or done by any call that had ended before it began, nor made by a
//! call that began after it had ended. What is found after a crash has to be what there was after some number, at or beyond all
//! that a flush had returned for, and in the midst of no batch.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use esker_page_table::Version;
use esker_sim::{Failures, Faults, SimStorage};

use super::support::{Pages, Rng, audit, options, page, pages_of};
use crate::{Batch, Error, Options, Store};

const THREADS: u64 = 3;
const PAGES: u64 = 8;
const STEPS: u32 = 60;
const LIVES: u32 = 3;
const CRASHES: u32 = 8;

/// Begin and end of a call.
#[derive(Clone, Copy, Debug)]
struct Span {
    began: u64,
    ended: u64,
}

/// A change of one page that was made. Those of a batch share a span.
#[derive(Clone, Debug)]
struct Change {
    number: u64,
    page: u64,
    before: Option<u64>,
    after: Option<Vec<u8>>,
    /// Whether the next number belongs to the same batch.
    more: bool,
    span: Span,
}

/// What a call saw of one page.
#[derive(Clone, Debug)]
struct Sight {
    page: u64,
    seen: Option<(u64, Vec<u8>)>,
    span: Span,
}

#[derive(Default)]
struct Shared {
    clock: AtomicU64,
    /// The highest number that was returned.
    returned: AtomicU64,
    /// The highest number that was returned before a flush began that has returned as well.
    durable: AtomicU64,
}

impl Shared {
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }
}

#[derive(Default)]
struct Seen {
    changes: Vec<Change>,
    sights: Vec<Sight>,
}

struct Worker<'a> {
    store: &'a Store,
    shared: &'a Shared,
    rng: Rng,
    nth: u64,
    count: u64,
    seen: Seen,
}

impl Worker<'_> {
    fn run(mut self) -> Seen {
        for _ in 0..STEPS {
            match self.step() {
                Err(Error::NoSpace { .. }) | Ok(()) => (),
                Err(error) if error.conflict().is_some() => (),
                Err(_) => break,
            }
        }
        self.seen
    }

    fn look(&mut self, id: u64) -> Result<Option<(u64, Vec<u8>)>, Error> {
        let began = self.shared.tick();
        let seen = self.store.get(page(id))?.map(|page| (page.version.get(), page.content.to_vec()));
        let ended = self.shared.tick();
        self.seen.sights.push(Sight { page: id, seen: seen.clone(), span: Span { began, ended } });
        Ok(seen)
    }

    /// Bytes that nobody else writes.
    fn fresh(&mut self) -> Vec<u8> {
        self.count += 1;
        let mut bytes = (self.nth << 32 | self.count).to_le_bytes().to_vec();
        let len = match self.rng.below(30) {
            0 => 1500,
            1..4 => 600,
            _ => 8 + self.rng.below(100) as usize,
        };
        bytes.resize(len, self.nth as u8);
        bytes
    }

    fn step(&mut self) -> Result<(), Error> {
        match self.rng.below(20) {
            0..2 => {
                let returned = self.shared.returned.load(Ordering::SeqCst);
                self.store.flush()?;
                self.shared.durable.fetch_max(returned, Ordering::SeqCst);
                return Ok(());
            }
            2..5 => {
                let id = self.rng.below(PAGES);
                return self.look(id).map(drop);
            }
            _ => (),
        }
        let pages = if self.rng.below(3) == 0 { 1 + self.rng.below(3) } else { 1 };
        let mut ids: Vec<u64> = (0..pages).map(|_| self.rng.below(PAGES)).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut batch = Batch::new();
        let mut changes = Vec::new();
        for &id in &ids {
            let seen = self.look(id)?;
            let expected = seen.as_ref().map(|(version, _)| Version::new(*version).expect("it is one"));
            let after = match (self.rng.below(8), expected, &seen) {
                (0, Some(expected), _) => {
                    batch.free(page(id), expected);
                    None
                }
                (1..3, Some(expected), Some((_, before))) => {
                    let delta = &self.fresh()[..8];
                    batch.link(page(id), expected, delta);
                    Some([before, delta].concat())
                }
                _ => {
                    let content = self.fresh();
                    batch.replace(page(id), expected, &*content);
                    Some(content)
                }
            };
            changes.push((id, seen, expected, after));
        }
        let began = self.shared.tick();
        let numbers = match &changes[..] {
            // Without a batch, too.
            [(id, _, expected, Some(after))] if self.rng.below(2) == 0 => {
                vec![self.store.replace(page(*id), *expected, after)?]
            }
            _ => self.store.apply(&batch)?,
        };
        let ended = self.shared.tick();
        let last = numbers.len() - 1;
        for (nth, (number, (id, seen, _, after))) in numbers.into_iter().zip(changes).enumerate() {
            let number = number.get();
            self.shared.returned.fetch_max(number, Ordering::SeqCst);
            let (before, span) = (seen.map(|(version, _)| version), Span { began, ended });
            self.seen.changes.push(Change { number, page: id, before, after, more: nth < last, span });
        }
        Ok(())
    }
}

/// Everything that the threads of one life did and saw, the changes by number.
fn live(store: &Store, shared: &Shared, rng: &mut Rng, first: u64) -> Seen {
    let done = AtomicU64::new(0);
    let mut seen = thread::scope(|scope| {
        let (done, mut upkeep) = (&done, Rng(rng.next()));
        scope.spawn(move || {
            while done.load(Ordering::SeqCst) < THREADS {
                let outcome = match upkeep.below(4) {
                    0 => store.checkpoint(),
                    1 => store.inner.clean(u32::MAX).map(drop),
                    2 => store.inner.streams.give_back(upkeep.below(3) as u32).map(drop).map_err(Error::from),
                    _ => store.upkeep(),
                };
                if outcome.is_err() {
                    break;
                }
            }
        });
        let workers: Vec<_> = (0..THREADS)
            .map(|nth| {
                let rng = Rng(rng.next());
                scope.spawn(move || {
                    let worker = Worker { store, shared, rng, nth: first + nth, count: 0, seen: Seen::default() };
                    let seen = worker.run();
                    done.fetch_add(1, Ordering::SeqCst);
                    seen
                })
            })
            .collect();
        let mut all = Seen::default();
        for worker in workers {
            let seen = worker.join().expect("a worker does not panic");
            all.changes.extend(seen.changes);
            all.sights.extend(seen.sights);
        }
        all
    });
    seen.changes.sort_by_key(|change| change.number);
    seen
}

/// A page at its version, or that there is none.
type State<'a> = Option<(u64, &'a [u8])>;

/// That what was done and seen is linearizable, page by page. `base` is what there was before.
fn check_linearizable(base: &Pages, seen: &Seen, seed: u64) {
    for id in 0..PAGES {
        // The states of the page in their order, each with the moment before which it cannot have been.
        let mut states: Vec<(State<'_>, u64)> =
            vec![(base.get(&id).map(|(version, content)| (*version, &**content)), 0)];
        // What a call brought about or saw: the place of the state among the states, if that is certain, and when.
        let mut calls: Vec<(Option<usize>, Span)> = Vec::new();
        for change in seen.changes.iter().filter(|change| change.page == id) {
            let (last, _) = states[states.len() - 1];
            assert_eq!(
                last.map(|(version, _)| version),
                change.before,
                "seed {seed}: number {} of page {id} did not replace what was there",
                change.number
            );
            calls.push((Some(states.len()), change.span));
            states.push((change.after.as_deref().map(|content| (change.number, content)), change.span.began));
        }
        for sight in seen.sights.iter().filter(|sight| sight.page == id) {
            let at = sight.seen.as_ref().map(|(version, content)| {
                let wanted = Some((*version, &**content));
                let at = states.iter().position(|(state, _)| *state == wanted);
                at.unwrap_or_else(|| panic!("seed {seed}: page {id} at version {version} never was as it was seen"))
            });
            calls.push((at, sight.span));
        }
        calls.sort_by_key(|(_, span)| span.began);
        let mut ended: BTreeMap<u64, usize> = BTreeMap::new();
        let mut least = 0;
        for (at, span) in calls {
            // What had ended before this began.
            let later = ended.split_off(&span.began);
            least = ended.values().copied().fold(least, usize::max);
            ended = later;
            // Of several times at which the page was not there, the earliest that can be meant.
            let at = at.unwrap_or_else(|| {
                let absent = states.iter().enumerate().skip(least).find(|(_, (state, _))| state.is_none());
                absent.unwrap_or_else(|| panic!("seed {seed}: page {id} was there all the time")).0
            });
            assert!(at >= least, "seed {seed}: page {id} was seen in state {at} after state {least}");
            assert!(states[at].1 <= span.ended, "seed {seed}: page {id} was seen in state {at} before it was made");
            ended.insert(span.ended, at);
        }
    }
}

/// That what is found is what there was after some number.
fn check_found(base: &Pages, seen: &Seen, durable: u64, found: &Pages, seed: u64) {
    let mut state = base.clone();
    let is_in_midst = |nth: usize| nth > 0 && seen.changes[nth - 1].more;
    for nth in 0..=seen.changes.len() {
        let next = seen.changes.get(nth);
        if next.is_none_or(|next| next.number > durable) && !is_in_midst(nth) && state == *found {
            return;
        }
        if let Some(Change { number, page, after, .. }) = next {
            match after {
                Some(after) => state.insert(*page, (*number, after.clone())),
                None => state.remove(page),
            };
        }
    }
    let short = |pages: &Pages| pages.iter().map(|(page, (version, _))| (*page, *version)).collect::<Vec<_>>();
    let changes: Vec<_> =
        seen.changes.iter().map(|change| (change.number, change.page, change.after.is_some())).collect();
    panic!("seed {seed}: {:?} never was; {durable} is durable of {changes:?}", short(found));
}

/// Runs the lives of a seed. Returns how many crash states were looked at.
fn history(seed: u64) -> u64 {
    let mut rng = Rng(seed);
    let segments = 14 + rng.below(30);
    let options: Options = options().max_bytes(Some((4 << 20) + segments * 4096)).cache_bytes(rng.below(3) * 1000);
    let open = |disk: &SimStorage| {
        Store::open(Arc::new(disk.clone()), options.clone()).unwrap_or_else(|error| panic!("seed {seed}: {error}"))
    };
    let mut disk = SimStorage::new(rng.next(), Faults::default());
    let mut base = Pages::new();
    let mut states = 0;
    for life in 0..LIVES {
        let shared = Shared::default();
        let mut seen = Seen::default();
        let faults = match rng.below(6) {
            0 => Faults { sync_error: Failures::nth(rng.below(10)), ..Faults::default() },
            1 => Faults { write_error: Failures::nth(rng.below(30)), ..Faults::default() },
            _ => Faults::default(),
        };
        disk.set_faults(Faults { crash_after_ops: Some(rng.below(200)), ..faults });
        if let Ok(store) = Store::open(Arc::new(disk.clone()), options.clone()) {
            seen = live(&store, &shared, &mut rng, u64::from(life) * THREADS);
            check_linearizable(&base, &seen, seed);
        }
        let durable = shared.durable.load(Ordering::SeqCst);
        let mut next = None;
        for _ in 0..CRASHES {
            let left_over = disk.after_crash(rng.next());
            left_over.set_faults(Faults::default());
            let image = left_over.snapshot();
            // The opening may be cut short as well, and what it leaves is as good.
            if rng.below(3) == 0 {
                left_over.set_faults(Faults { crash_after_ops: Some(rng.below(20)), ..Faults::default() });
                drop(Store::open(Arc::new(left_over.clone()), options.clone()));
                let again = left_over.after_crash(rng.next());
                again.set_faults(Faults::default());
                let store = open(&again);
                check_found(&base, &seen, durable, &pages_of(&store), seed);
                audit(&store.inner);
                states += 1;
            }
            let store = open(&image.snapshot());
            let found = pages_of(&store);
            check_found(&base, &seen, durable, &found, seed);
            audit(&store.inner);
            states += 1;
            next = Some((image, found));
        }
        (disk, base) = next.expect("there was a crash");
    }
    states
}

#[test]
fn threads_see_one_order_and_a_crash_leaves_a_beginning_of_it() {
    let states: u64 = (0..40).map(history).sum();
    assert!(states >= 40 * u64::from(LIVES * CRASHES), "{states}");
}

/// The long run: `cargo test --release -p esker-pages many_threads_crash -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes"]
#[expect(clippy::print_stdout, reason = "the figure is what this is run for")]
fn many_threads_crash() {
    let states: u64 = (1_000_000..1_007_000).map(history).sum();
    println!("{states} crash states");
    assert!(states >= 200_000, "{states}");
}
