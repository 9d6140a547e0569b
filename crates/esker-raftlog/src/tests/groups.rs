//! Several groups in one log, beside a plain model, on a disk that loses power.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use esker_log::{
    LogId, Options,
    storage::{MemStorage, Storage},
};
use esker_sim::{Failures, Faults, SimStorage};

use crate::{Error, Group, RaftLog};

const SEGMENT_BYTES: u32 = 4096;

fn options() -> Options {
    Options::new()
        .segment_bytes(SEGMENT_BYTES)
        .buffer_bytes(1024)
        .buffers(4)
        .background(false)
        .log_id(LogId::from_bytes([5; 16]))
}

fn open(storage: Arc<dyn Storage>) -> RaftLog {
    RaftLog::open(storage, options()).unwrap()
}

fn bytes_of(group: &Group, range: std::ops::Range<u64>) -> Vec<(u64, Vec<u8>)> {
    group.entries(range).unwrap()
}

#[test]
fn entries_are_appended_overwritten_truncated_and_purged() {
    let logs = open(Arc::new(MemStorage::default()));
    let (group, other) = (logs.group(3), logs.group(4));
    group.append(1, &[b"a", b"b", b"c"]).unwrap().wait().unwrap();
    other.append(10, &[b"x"]).unwrap();
    assert_eq!((group.state().first, group.state().last, other.state().first), (Some(1), Some(3), Some(10)));
    assert_eq!(bytes_of(&group, 2..9), [(2, b"b".to_vec()), (3, b"c".to_vec())]);
    assert_eq!(group.entries(..=1).unwrap().len() + group.entries(..).unwrap().len(), 1 + 3);
    assert_eq!(group.entries_within(1.., 2).unwrap().len(), 2);
    assert_eq!(group.entries_within(1.., 0).unwrap(), [(1, b"a".to_vec())]);
    // What is written again takes the place of what was there, and of all behind it.
    group.append(2, &[b"B"]).unwrap();
    assert_eq!(bytes_of(&group, 0..9), [(1, b"a".to_vec()), (2, b"B".to_vec())]);
    let error = group.append(4, &[b"d"]).unwrap_err();
    assert!(matches!(error, Error::Gap { group: 3, index: 4, expected: 3 }), "{error}");
    group.truncate(7).unwrap();
    group.truncate(2).unwrap();
    assert_eq!(group.state().last, Some(1));
    // Purging goes beyond the end, and the log goes on anywhere.
    group.purge(20, b"term 3").unwrap();
    let state = group.state();
    assert_eq!((state.first, state.last), (None, None));
    assert_eq!(state.purged.map(|purged| (purged.index, purged.bytes)), Some((20, b"term 3".to_vec())));
    // Whatever was purged stays so.
    group.purge(10, b"term 2").unwrap();
    assert_eq!(group.state().purged.map(|purged| purged.index), Some(20));
    group.append(1, &[b"a", b"b"]).unwrap().wait().unwrap();
    assert_eq!((group.state().first, group.state().last), (None, None));
    group.append(19, &[b"s", b"t", b"u"]).unwrap();
    assert_eq!(group.entries(..).unwrap(), [(21, b"u".to_vec())]);
    group.append(21, &[b"u"]).unwrap();
    assert_eq!(group.state().first, Some(21));
    // Nothing is appended, and nothing waited for.
    group.append(22, &[]).unwrap().wait().unwrap();
    assert_eq!(other.entries(..).unwrap(), [(10, b"x".to_vec())]);
}

#[test]
fn values_are_kept_and_groups_end() {
    let storage: Arc<dyn Storage> = Arc::new(MemStorage::default());
    let logs = open(storage.clone());
    logs.group(1).put(0, b"vote 1").unwrap();
    logs.group(1).put(0, b"vote 2").unwrap().wait().unwrap();
    logs.group(1).put(7, b"committed").unwrap();
    logs.group(2).append(1, &[b"gone"]).unwrap();
    logs.group(2).end().unwrap();
    assert_eq!(logs.group(2).state(), Default::default());
    logs.flush().unwrap();
    drop(logs);
    let logs = open(storage);
    assert_eq!(logs.groups(), [1]);
    let group = logs.group(1);
    assert_eq!(
        (group.get(0), group.get(7), group.get(1)),
        (Some(b"vote 2".to_vec()), Some(b"committed".to_vec()), None)
    );
}

#[test]
fn purging_frees_segments_and_quiet_groups_keep_none() {
    let storage: Arc<dyn Storage> = Arc::new(MemStorage::default());
    let logs = open(storage.clone());
    // These have nothing but values from the beginning on.
    for id in 0..20 {
        logs.group(id).put(0, &[id as u8; 30]).unwrap();
        logs.group(id).purge(3, &[id as u8; 8]).unwrap();
    }
    let busy = logs.group(100);
    for index in 1..2000_u64 {
        busy.append(index, &[&[index as u8; 100]]).unwrap();
        if index % 10 == 0 {
            busy.purge(index - 5, &index.to_le_bytes()).unwrap();
        }
    }
    let stats = logs.log().stats();
    assert!(stats.segments.slots <= 8, "{:?}", stats.segments);
    // One that has entries does keep segments, and is told of.
    let slow = logs.group(50);
    slow.append(1, &[b"old"]).unwrap();
    for index in 2000..2400_u64 {
        busy.append(index, &[&[index as u8; 100]]).unwrap();
        busy.purge(index, b"").unwrap();
    }
    let pins = logs.pins();
    assert_eq!((pins[0].group, pins.len()), (50, 1), "{pins:?}");
    assert!(pins[0].bytes > 400 * 100, "{pins:?}");
    slow.purge(1, b"").unwrap();
    assert!(logs.pins().is_empty());
    assert!(logs.log().end_lsn() - logs.log().floor() <= 2 * u64::from(SEGMENT_BYTES));
    logs.flush().unwrap();
    drop((logs, busy, slow));
    let logs = open(storage);
    for id in 0..20 {
        let group = logs.group(id);
        assert_eq!(group.get(0), Some(vec![id as u8; 30]));
        assert_eq!(group.state().purged.map(|purged| purged.bytes), Some(vec![id as u8; 8]));
    }
}

#[test]
fn whoever_reads_while_entries_are_purged_gets_what_is_there() {
    let logs = open(Arc::new(MemStorage::default()));
    let stop = AtomicBool::new(false);
    let group = logs.group(1);
    thread::scope(|scope| {
        for _ in 0..2 {
            let (group, stop) = (group.clone(), &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let entries = group.entries(..).unwrap();
                    for (at, (index, bytes)) in entries.iter().enumerate() {
                        assert_eq!(*index, entries[0].0 + at as u64, "there is a gap");
                        assert_eq!(bytes, &vec![*index as u8; 200]);
                    }
                }
            });
        }
        for index in 1..3000_u64 {
            group.append(index, &[&[index as u8; 200]]).unwrap();
            if index % 7 == 0 {
                group.truncate(index).unwrap();
                group.append(index, &[&[index as u8; 200]]).unwrap();
            }
            if index % 20 == 0 {
                group.purge(index - 10, b"").unwrap();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn the_ticket_of_nothing_is_for_what_came_before() {
    let disk = SimStorage::new(1, Faults::default());
    let logs = open(Arc::new(disk.clone()));
    let group = logs.group(1);
    group.append(1, &[]).unwrap().wait().unwrap();
    group.append(1, &[b"one"]).unwrap();
    group.append(2, &[]).unwrap().wait().unwrap();
    let again = disk.after_crash(7);
    assert_eq!(open(Arc::new(again)).group(1).entries(..).unwrap(), [(1, b"one".to_vec())]);
}

#[test]
fn a_sync_that_fails_is_told_to_whoever_waits() {
    let disk = SimStorage::new(1, Faults::default());
    let logs = open(Arc::new(disk.clone()));
    let group = logs.group(1);
    group.append(1, &[b"durable"]).unwrap().wait().unwrap();
    disk.set_faults(Faults { sync_error: Failures::since(0), ..Faults::default() });
    let (sender, receiver) = mpsc::channel();
    group.append(2, &[b"not"]).unwrap().then(move |outcome| sender.send(outcome.is_err()).unwrap());
    assert!(receiver.recv().unwrap(), "the callback is told of the error");
    assert!(group.put(0, b"vote").and_then(|ticket| Ok(ticket.wait()?)).is_err());
    let again = disk.after_crash(7);
    again.set_faults(Faults::default());
    drop(logs);
    let logs = open(Arc::new(again));
    assert_eq!(logs.group(1).entries(..=1).unwrap(), [(1, b"durable".to_vec())]);
}

/// What a group has, in plain words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Plain {
    entries: BTreeMap<u64, Vec<u8>>,
    values: BTreeMap<u8, Vec<u8>>,
    purged: Option<(u64, Vec<u8>)>,
}

type World = BTreeMap<u64, Plain>;

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

const GROUPS: u64 = 4;

/// Does one thing to a group, and to the model, in which each state that a crash may leave is added to `history`.
fn step(
    logs: &RaftLog,
    world: &mut World,
    history: &mut Vec<World>,
    durable: &mut usize,
    rng: &mut Rng,
) -> Result<(), Error> {
    let id = rng.below(GROUPS);
    let group = logs.group(id);
    let plain = world.entry(id).or_default();
    let ticket = match rng.below(20) {
        0..10 => {
            let end = plain.entries.last_key_value().map(|(index, _)| index + 1);
            let floor = plain.purged.as_ref().map_or(1, |(index, _)| index + 1);
            let first = match end {
                Some(end) => end - rng.below(3).min(plain.entries.len() as u64),
                None => floor,
            };
            let entries: Vec<Vec<u8>> =
                (0..1 + rng.below(3)).map(|_| vec![rng.below(256) as u8; rng.below(200) as usize]).collect();
            let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
            let outcome = group.append(first, &slices);
            // Each entry is a record of its own: a crash may come between them.
            for (index, entry) in (first..).zip(entries) {
                let plain = world.entry(id).or_default();
                plain.entries.split_off(&index);
                plain.entries.insert(index, entry);
                history.push(world.clone());
            }
            outcome?
        }
        10..13 => {
            let key = rng.below(2) as u8;
            let bytes = vec![rng.below(256) as u8; 16];
            plain.values.insert(key, bytes.clone());
            history.push(world.clone());
            group.put(key, &bytes)?
        }
        13..15 => {
            let from = plain.entries.keys().copied().nth(rng.below(8) as usize).unwrap_or(3);
            plain.entries.split_off(&from);
            history.push(world.clone());
            group.truncate(from)?
        }
        15..18 => {
            let upto = plain
                .entries
                .keys()
                .copied()
                .nth(rng.below(12) as usize)
                .unwrap_or(5)
                .max(plain.purged.as_ref().map_or(0, |(index, _)| *index));
            plain.entries = plain.entries.split_off(&(upto + 1));
            plain.purged = Some((upto, vec![id as u8; 4]));
            history.push(world.clone());
            group.purge(upto, &[id as u8; 4])?
        }
        18 => {
            logs.flush()?;
            *durable = history.len();
            return Ok(());
        }
        _ => {
            let found = group.entries(..)?;
            assert_eq!(found, plain.entries.clone().into_iter().collect::<Vec<_>>());
            return Ok(());
        }
    };
    if rng.below(4) == 0 {
        let before = history.len();
        ticket.wait()?;
        *durable = before;
    }
    Ok(())
}

fn world_of(logs: &RaftLog) -> World {
    let mut world = World::new();
    for id in logs.groups() {
        let group = logs.group(id);
        let state = group.state();
        let entries: BTreeMap<u64, Vec<u8>> = group.entries(..).unwrap().into_iter().collect();
        assert_eq!(state.first, entries.first_key_value().map(|(index, _)| *index));
        assert_eq!(state.last, entries.last_key_value().map(|(index, _)| *index));
        let values = (0..2).filter_map(|key| Some((key, group.get(key)?))).collect();
        world.insert(id, Plain { entries, values, purged: state.purged.map(|purged| (purged.index, purged.bytes)) });
    }
    world.retain(|_, plain| *plain != Plain::default());
    world
}

fn history(seed: u64) -> u64 {
    let mut rng = Rng(seed);
    let mut disk = SimStorage::new(seed, Faults::default());
    let mut base = World::new();
    let mut states = 0;
    for _ in 0..3 {
        let faults = match rng.below(5) {
            0 => Faults { sync_error: Failures::nth(rng.below(12)), ..Faults::default() },
            _ => Faults::default(),
        };
        disk.set_faults(Faults { crash_after_ops: Some(rng.below(250)), ..faults });
        let (mut world, mut passed, mut durable) = (base.clone(), vec![base.clone()], 0);
        if let Ok(logs) = RaftLog::open(Arc::new(disk.clone()), options()) {
            assert_eq!(world_of(&logs), base, "seed {seed}");
            durable = 1;
            for _ in 0..200 {
                if step(&logs, &mut world, &mut passed, &mut durable, &mut rng).is_err() {
                    break;
                }
            }
        }
        for world in &mut passed {
            world.retain(|_, plain| *plain != Plain::default());
        }
        let mut next = None;
        for _ in 0..6 {
            let left_over = disk.after_crash(rng.below(u64::MAX));
            left_over.set_faults(Faults::default());
            let image = left_over.snapshot();
            let found = world_of(&open(Arc::new(left_over)));
            let from = durable.saturating_sub(1);
            assert!(
                passed[from..].contains(&found),
                "seed {seed}: this never was, or not since {from} of {} was acknowledged: {found:?}",
                passed.len()
            );
            states += 1;
            next = Some((image, found));
        }
        (disk, base) = next.expect("there was a crash");
    }
    states
}

#[test]
fn what_is_found_after_a_crash_was_so_after_some_operation() {
    let states: u64 = (0..200).map(history).sum();
    assert_eq!(states, 200 * 18);
}
