//! The cases, in words that are the same for each version of openraft.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use esker_sim::{Calls, Failures, Faults, SimStorage};
use futures::{FutureExt, executor::block_on};
use openraft::{
    RaftLogReader,
    storage::{RaftLogStorage, RaftLogStorageExt},
};

use crate::{
    Types, open,
    words::{LogId, LogStore, Vote, entry, id, raftlog::RaftLog, term_of, truncate_from},
};

const ROUNDS: u64 = 60;

struct Rng(u64);

impl Rng {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// A disk that does what it is asked.
fn disk(seed: u64) -> SimStorage {
    SimStorage::new(seed, Faults::default())
}

/// What a disk may hold after a loss of power.
fn crashed(disk: &SimStorage, seed: u64) -> SimStorage {
    let after = disk.after_crash(seed);
    after.set_faults(Faults::default());
    after
}

fn store(logs: &RaftLog, group: u64) -> LogStore<Types> {
    LogStore::new(logs.group(group))
}

/// What openraft can ask of a store.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    entries: BTreeMap<u64, (LogId, String)>,
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
}

fn seen(store: &mut LogStore<Types>) -> Seen {
    block_on(async {
        let state = store.get_log_state().await.unwrap();
        let entries = store.try_get_log_entries(..).await.unwrap();
        let entries: BTreeMap<u64, (LogId, String)> = entries
            .into_iter()
            .map(|entry| match entry.payload {
                openraft::EntryPayload::Normal(text) => (entry.log_id.index, (entry.log_id, text)),
                other => panic!("nobody appended {other:?}"),
            })
            .collect();
        let numbers: Vec<u64> = entries.keys().copied().collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "there is a hole in {numbers:?}");
        let last = entries.last_key_value().map(|(_, (id, _))| *id);
        assert_eq!(state.last_log_id, last.or(state.last_purged_log_id));
        Seen {
            entries,
            vote: store.read_vote().await.unwrap(),
            committed: store.read_committed().await.unwrap(),
            purged: state.last_purged_log_id,
        }
    })
}

fn said(error: impl ToString) -> String {
    error.to_string()
}

/// Does one thing, and says it to the model.
async fn step(store: &mut LogStore<Types>, model: &mut Seen, rng: &mut Rng, term: u64) -> Result<(), String> {
    let end = match (model.entries.last_key_value(), model.purged) {
        (Some((index, _)), _) => index + 1,
        (None, purged) => purged.map_or(1, |purged| purged.index + 1),
    };
    match rng.below(10) {
        0..5 => {
            let count = 1 + rng.below(4);
            let ids: Vec<LogId> = (end..end + count).map(|index| id(term, index)).collect();
            let text = |id: &LogId| format!("{id:?}").repeat(1 + id.index as usize % 3);
            model.entries.extend(ids.iter().map(|id| (id.index, (*id, text(id)))));
            store.blocking_append(ids.iter().map(|id| entry(*id, &text(id))).collect::<Vec<_>>()).await.map_err(said)
        }
        5 => {
            let vote = Vote::new(term, rng.below(3));
            model.vote = Some(vote);
            store.save_vote(&vote).await.map_err(said)
        }
        6 => {
            model.committed = model.entries.last_key_value().map(|(_, (id, _))| *id);
            store.save_committed(model.committed).await.map_err(said)
        }
        7 => {
            let Some(first) = model.entries.keys().copied().nth(rng.below(6) as usize) else { return Ok(()) };
            let first = id(term, first);
            model.entries.split_off(&first.index);
            truncate_from(store, first).await.map_err(said)
        }
        _ => {
            let nth = model.entries.values().nth(rng.below(6) as usize).map(|(id, _)| *id);
            let upto = nth.unwrap_or_else(|| id(term, end + 2));
            model.entries = model.entries.split_off(&(upto.index + 1));
            model.purged = Some(upto);
            store.purge(upto).await.map_err(said)
        }
    }
}

#[test]
fn a_store_that_is_reopened_after_each_operation_has_all_of_it() {
    let (disk, mut model, mut rng) = (disk(1), Seen::default(), Rng(1));
    for round in 0..4 * ROUNDS {
        let logs = open(Arc::new(disk.clone()));
        let mut store = store(&logs, 1);
        assert_eq!(seen(&mut store), model, "before operation {round}");
        block_on(step(&mut store, &mut model, &mut rng, 1 + round / 10)).unwrap();
        assert_eq!(seen(&mut store), model, "after operation {round}");
        logs.flush().unwrap();
    }
}

#[test]
fn a_crash_leaves_all_that_was_called_back_and_no_hole() {
    for seed in 0..ROUNDS {
        let (disk, mut rng) = (disk(seed), Rng(seed));
        let logs = open(Arc::new(disk.clone()));
        let mut store = store(&logs, 1);
        let told = 1 + rng.below(20);
        let ids =
            |range: std::ops::RangeInclusive<u64>| range.map(|index| entry(id(1, index), "x")).collect::<Vec<_>>();
        block_on(store.blocking_append(ids(1..=told))).unwrap();
        // Appended, and not called back: nobody drives what would have waited.
        disk.set_faults(Faults { hung: Calls { sync: Failures::since(0), ..Calls::NONE }, ..Faults::default() });
        let end = told + 1 + rng.below(8);
        let waits = store.blocking_append(ids(told + 1..=end)).now_or_never();
        assert!(waits.is_none(), "seed {seed}: called back without a sync");
        for crash in 0..8 {
            let logs = open(Arc::new(crashed(&disk, crash)));
            let found = seen(&mut self::store(&logs, 1)).entries;
            let last = found.last_key_value().map_or(0, |(index, _)| *index);
            assert!((told..=end).contains(&last), "seed {seed}: {last} of {told} to {end}");
            assert_eq!(found.len() as u64, last);
        }
        disk.set_faults(Faults::default());
        disk.release_hung();
    }
}

#[test]
fn a_vote_is_durable_with_all_that_was_appended_before() {
    for seed in 0..ROUNDS {
        let disk = disk(seed);
        let logs = open(Arc::new(disk.clone()));
        let mut store = store(&logs, 1);
        block_on(async {
            store.blocking_append([entry(id(1, 1), "a")]).await.unwrap();
            // Nobody waits for the truncation, what is committed and the purge: the vote comes after them.
            store.save_committed(Some(id(1, 1))).await.unwrap();
            truncate_from(&mut store, id(1, 1)).await.unwrap();
            store.save_vote(&Vote::new(2, 1)).await.unwrap();
        });
        let expected = Seen { vote: Some(Vote::new(2, 1)), committed: Some(id(1, 1)), ..Seen::default() };
        for crash in 0..8 {
            let logs = open(Arc::new(crashed(&disk, crash)));
            assert_eq!(seen(&mut self::store(&logs, 1)), expected, "seed {seed}");
        }
    }
}

#[test]
fn after_any_crash_there_is_what_there_was_once_and_all_that_was_waited_for() {
    for seed in 0..ROUNDS {
        let (mut rng, disk) = (Rng(seed), disk(seed));
        disk.set_faults(Faults { crash_after_ops: Some(20 + rng.below(200)), ..Faults::default() });
        let (mut model, mut passed, mut durable) = (Seen::default(), vec![Seen::default()], 0);
        let logs = open(Arc::new(disk.clone()));
        let mut store = store(&logs, 1);
        for round in 0..100 {
            let before = model.clone();
            let outcome = block_on(step(&mut store, &mut model, &mut rng, 1 + round / 10));
            // A crash may come between the entries of one append.
            let mut partial = before.clone();
            for (index, entry) in model.entries.range(before.entries.last_key_value().map_or(0, |(last, _)| last + 1)..)
            {
                partial.entries.insert(*index, entry.clone());
                passed.push(partial.clone());
            }
            passed.push(model.clone());
            if outcome.is_err() {
                break;
            }
            // These return when they are durable, and whatever came before is then, too.
            let appended = model.entries.keys().next_back() > before.entries.keys().next_back();
            if appended || model.vote != before.vote {
                durable = passed.len() - 1;
            }
        }
        for crash in 0..6 {
            let logs = open(Arc::new(crashed(&disk, crash)));
            let found = seen(&mut self::store(&logs, 1));
            assert!(passed[durable..].contains(&found), "seed {seed}: this never was, or not any more: {found:?}");
        }
    }
}

#[test]
fn a_failing_sync_is_told_to_openraft_and_to_all_who_come_after() {
    let disk = disk(1);
    let logs = open(Arc::new(disk.clone()));
    let (mut store, mut other) = (store(&logs, 1), self::store(&logs, 2));
    block_on(async {
        store.blocking_append([entry(id(1, 1), "durable")]).await.unwrap();
        disk.set_faults(Faults { sync_error: Failures::since(0), ..Faults::default() });
        let error = store.blocking_append([entry(id(1, 2), "not")]).await.unwrap_err();
        assert!(!error.to_string().is_empty());
        // Another sync would succeed, and prove nothing: what the first one lost stays lost.
        disk.set_faults(Faults::default());
        assert!(store.save_vote(&Vote::new(2, 1)).await.is_err());
        assert!(other.blocking_append([entry(id(1, 1), "neither")]).await.is_err());
        assert_eq!(store.try_get_log_entries(1..2).await.unwrap().len(), 1, "what is durable can be read");
    });
}

#[test]
fn purging_gives_space_back_while_groups_share_the_log() {
    let disk = disk(1);
    let logs = open(Arc::new(disk));
    block_on(async {
        for index in 1..=400 {
            for group in 1..=3 {
                let mut store = store(&logs, group);
                store.blocking_append([entry(id(group, index), &"x".repeat(50))]).await.unwrap();
                if index % 10 == 0 {
                    store.purge(id(group, index - 3)).await.unwrap();
                }
            }
        }
    });
    for group in 1..=3 {
        let found = seen(&mut store(&logs, group));
        assert_eq!((found.entries.len(), found.purged), (3, Some(id(group, 397))));
        assert!(found.entries.values().all(|(at, _)| *at == id(group, at.index)));
    }
    assert!(logs.log().stats().segments.slots <= 6, "{:?}", logs.log().stats().segments);
}

#[test]
fn whoever_reads_beside_truncation_sees_one_of_the_two_logs() {
    let disk = disk(1);
    let logs = open(Arc::new(disk));
    let mut store = store(&logs, 1);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            let mut reader = block_on(store.get_log_reader());
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let found = block_on(reader.try_get_log_entries(1..=20)).unwrap();
                    let terms: Vec<u64> = found.iter().map(|entry| term_of(&entry.log_id)).collect();
                    assert!(terms.is_sorted(), "terms only grow along a log: {terms:?}");
                    assert!(found.iter().zip(1..).all(|(entry, index)| entry.log_id.index == index));
                }
            });
        }
        block_on(async {
            store.blocking_append((1..=10).map(|index| entry(id(1, index), "first"))).await.unwrap();
            for term in 2..300 {
                let from = 1 + term % 10;
                truncate_from(&mut store, id(term, from)).await.unwrap();
                store.blocking_append((from..=10).map(|index| entry(id(term, index), "again"))).await.unwrap();
            }
        });
        stop.store(true, Ordering::Relaxed);
    });
}
