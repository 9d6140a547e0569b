//! The power fails at any call; what is found is compared with what was promised. Several lives of a store on one disk.

use std::{collections::BTreeSet, sync::Arc};

use esker_page_table::Version;
use esker_sim::{Failures, Faults, SimStorage};
use esker_storage::Storage;

use super::support::{Pages, ROOTS, Rng, audit, options, page, pages_of};
use crate::{Batch, Error, Options, Store, roots::encode};

const LIVES: u32 = 4;
const CRASHES: u64 = 6;
const PAGES: u64 = 24;

/// What was done and promised.
#[derive(Clone, Debug, Default)]
struct Model {
    /// What is known to be there.
    base: Pages,
    /// What was done since, in the order of the numbers: with the content after it.
    changes: Vec<(u64, u64, Option<Vec<u8>>)>,
    /// The numbers of those that the next one belongs to.
    more: BTreeSet<u64>,
    /// So many of them are durable.
    durable: usize,
    now: Pages,
    ids: u64,
}

impl Model {
    fn change(&mut self, version: u64, page: u64, content: Option<Vec<u8>>) {
        if let Some((last, ..)) = self.changes.last() {
            assert!(*last < version, "numbers grow");
        }
        apply(&mut self.now, version, page, content.as_ref());
        self.changes.push((version, page, content));
    }

    /// What is found is what there was after some change, at or beyond what was promised. Returns after how many.
    fn check(&self, found: &Pages, seed: u64) -> usize {
        let mut state = self.base.clone();
        for (version, page, content) in &self.changes[..self.durable] {
            apply(&mut state, *version, *page, content.as_ref());
        }
        if state == *found {
            return self.durable;
        }
        for (nth, (version, page, content)) in self.changes.iter().enumerate().skip(self.durable) {
            apply(&mut state, *version, *page, content.as_ref());
            // In the midst of a batch is no state that anybody may see.
            if state == *found && !self.more.contains(version) {
                return nth + 1;
            }
        }
        let differing: Vec<_> = (0..PAGES).chain([ROOTS]).filter(|page| state.get(page) != found.get(page)).collect();
        let short = |pages: &Pages| {
            differing.iter().map(|page| pages.get(page).map(|(version, _)| *version)).collect::<Vec<_>>()
        };
        panic!(
            "seed {seed}: this was never so: of pages {differing:?} versions {:?} rather than {:?} at the end; {} of {:?} are durable",
            short(found),
            short(&state),
            self.durable,
            self.changes
                .iter()
                .map(|(version, page, content)| (*version, *page, content.is_some()))
                .collect::<Vec<_>>(),
        );
    }
}

fn apply(pages: &mut Pages, version: u64, page: u64, content: Option<&Vec<u8>>) {
    match content {
        Some(content) => pages.insert(page, (version, content.clone())),
        None => pages.remove(&page),
    };
}

fn content(rng: &mut Rng) -> Vec<u8> {
    let len = match rng.below(30) {
        0 => 1500,
        1..4 => 600,
        _ => rng.below(120),
    };
    vec![rng.next() as u8; len as usize]
}

/// Does one thing; an error ends the life.
fn step(store: &Store, model: &mut Model, rng: &mut Rng) -> Result<(), Error> {
    let id = rng.below(PAGES);
    let current = model.now.get(&id).cloned();
    let expected = current.as_ref().map(|(version, _)| Version::new(*version).unwrap());
    match rng.below(60) {
        0..26 => {
            let content = content(rng);
            let version = store.replace(page(id), expected, &content)?;
            model.change(version.get(), id, Some(content));
        }
        26..36 => {
            if let Some((version, before)) = current {
                let delta = vec![rng.next() as u8; rng.below(30) as usize];
                let version = store.link(page(id), Version::new(version).unwrap(), &delta)?;
                model.change(version.get(), id, Some([before, delta].concat()));
            }
        }
        36..40 => {
            if let Some(expected) = expected {
                // Its number is not told: it is the only one between two others.
                store.free(page(id), expected)?;
                let version = store.inner.numbers.get() - 1;
                model.change(version, id, None);
            }
        }
        40..46 => {
            let waiting = model.changes.len();
            store.flush()?;
            model.durable = waiting;
        }
        46..49 => store.checkpoint()?,
        49..52 => {
            store.upkeep()?;
            store.inner.streams.give_back(rng.below(4) as u32)?;
        }
        52 => drop(store.inner.clean(u32::MAX)?),
        53 => {
            let unique = store.generate_id()?;
            assert!(unique >= model.ids, "id {unique} was given out before");
            model.ids = unique + 1;
        }
        54..58 => batch(store, model, rng)?,
        58 => {
            // Somebody who is late leaves a number that changed nothing.
            let late = Version::new(1 << 40);
            assert!(store.replace(page(id), late, b"late").is_err());
        }
        _ => {
            let found = store.get(page(id))?.map(|page| (page.version.get(), page.content.to_vec()));
            assert_eq!(found, current, "page {id}");
        }
    }
    Ok(())
}

/// Several pages at once, and a name now and then.
fn batch(store: &Store, model: &mut Model, rng: &mut Rng) -> Result<(), Error> {
    let mut ids: Vec<u64> = (0..1 + rng.below(4)).map(|_| rng.below(PAGES)).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut changes = Batch::new();
    let mut after = Vec::new();
    for id in ids {
        let current = model.now.get(&id).cloned();
        let expected = current.as_ref().map(|(version, _)| Version::new(*version).unwrap());
        after.push((
            id,
            match (rng.below(6), expected, current) {
                (0, Some(expected), _) => {
                    changes.free(page(id), expected);
                    None
                }
                (1, Some(expected), Some((_, before))) => {
                    let delta = vec![rng.next() as u8; rng.below(30) as usize];
                    changes.link(page(id), expected, &*delta);
                    Some([before, delta].concat())
                }
                _ => {
                    let content = content(rng);
                    changes.replace(page(id), expected, &*content);
                    Some(content)
                }
            },
        ));
    }
    if rng.below(3) == 0 {
        let (_, mut roots) = store.inner.roots()?;
        let name = ["one", "two", "three"][rng.below(3) as usize];
        let target = (rng.below(4) > 0).then(|| page(rng.below(PAGES)));
        changes.set_root(name, roots.get(name).copied(), target);
        match target {
            Some(target) => roots.insert(name.to_owned(), target),
            None => roots.remove(name),
        };
        after.push((ROOTS, Some(encode(&roots))));
    }
    // Somebody who is late changes nothing at all.
    if rng.below(8) == 0 {
        let mut late = changes.clone();
        late.replace(page(PAGES), Version::new(1 << 40), "late");
        assert!(store.apply(&late).is_err());
    }
    store.apply(&changes)?;
    let next = store.inner.numbers.get();
    let first = next - after.len() as u64;
    for (number, (id, content)) in (first..).zip(after) {
        model.change(number, id, content);
        if number + 1 < next {
            model.more.insert(number);
        }
    }
    Ok(())
}

fn check_whole(store: &Store, model: &Model, seed: u64) -> (Pages, usize) {
    let found = pages_of(store);
    let held = model.check(&found, seed);
    audit(&store.inner);
    let unique = store.generate_id().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    assert!(unique >= model.ids, "seed {seed}: id {unique} was given out before");
    (found, held)
}

/// Runs the lives of a seed. Returns how many crash states were looked at.
fn history(seed: u64) -> u64 {
    let mut rng = Rng(seed);
    let bounded = |rng: &mut Rng| -> Options {
        let segments = 14 + rng.below(30);
        options().max_bytes(Some((4 << 20) + segments * 4096)).cache_bytes(rng.below(3) * 2000)
    };
    let mut disk = SimStorage::new(rng.next(), Faults::default());
    let mut model = Model::default();
    let mut states = 0;
    let options = bounded(&mut rng);
    for _ in 0..LIVES {
        let crash_after_ops = Some(rng.below(160));
        let faults = match rng.below(6) {
            0 => Faults { sync_error: Failures::nth(rng.below(10)), ..Faults::default() },
            1 => Faults { write_error: Failures::nth(rng.below(30)), ..Faults::default() },
            _ => Faults::default(),
        };
        disk.set_faults(Faults { crash_after_ops, ..faults });
        if let Ok(store) = Store::open(Arc::new(disk.clone()), options.clone()) {
            model.durable = model.changes.len();
            for _ in 0..300 {
                match step(&store, &mut model, &mut rng) {
                    Err(Error::NoSpace { .. }) | Ok(()) => (),
                    Err(_) => break,
                }
            }
            if rng.below(3) == 0 {
                let waiting = model.changes.len();
                if store.close().is_ok() {
                    model.durable = waiting;
                }
            }
        }
        let mut next = None;
        for n in 0..CRASHES {
            let left_over = if n == 0 && disk.is_on() { disk.snapshot() } else { disk.after_crash(rng.next()) };
            left_over.set_faults(Faults::default());
            let image = left_over.snapshot();
            let open = |disk: &SimStorage| {
                Store::open(Arc::new(disk.clone()) as Arc<dyn Storage>, options.clone())
                    .unwrap_or_else(|error| panic!("seed {seed}: {error}"))
            };
            // The opening may be cut short as well, and what it leaves is as good.
            if rng.below(3) == 0 {
                left_over.set_faults(Faults { crash_after_ops: Some(rng.below(20)), ..Faults::default() });
                drop(Store::open(Arc::new(left_over.clone()), options.clone()));
                let again = left_over.after_crash(rng.next());
                again.set_faults(Faults::default());
                check_whole(&open(&again), &model, seed);
                states += 1;
            }
            let life = image.snapshot();
            let store = open(&life);
            let (found, held) = check_whole(&store, &model, seed);
            drop(store);
            states += 1;
            if next.is_none() || rng.below(3) == 0 {
                next = Some((image, found, held));
            }
        }
        let (image, found, held) = next.expect("there was a crash");
        disk = image;
        // What a process leaves that is killed need not be durable before somebody has opened it again.
        model.changes.truncate(held);
        let held: BTreeSet<u64> = model.changes.iter().map(|(version, ..)| *version).collect();
        model.more.retain(|number| held.contains(number));
        model.now = found;
    }
    states
}

#[test]
fn what_is_found_after_a_crash_was_so_at_one_moment() {
    let states: u64 = (0..60).map(history).sum();
    assert!(states > 1500, "{states}");
}

/// The long run: `cargo test --release -p esker-pages many_crashes -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes"]
#[expect(clippy::print_stdout, reason = "the figure is what this is run for")]
fn many_crashes() {
    let states: u64 = (1_000_000..1_006_500).map(history).sum();
    println!("{states} crash states");
    assert!(states > 100_000, "{states}");
}
