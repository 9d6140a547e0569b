//! Five nodes in memory, each with a disk of its own that is simulated: messages are lost, nodes lose power and come back with what
//! their disk has, logs are compacted and snapshots sent.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, mpsc},
};

use esker_sim::{Faults, SimStorage};
use esker_tikv_raft::{
    LogStore,
    raftlog::{
        RaftLog,
        log::{LogId, Options},
    },
};
use raft::{
    Config, RawNode, SnapshotStatus, StateRole, Storage,
    eraftpb::{EntryType, Message, Snapshot},
};

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

fn open(disk: &SimStorage, id: u64) -> (RaftLog, LogStore) {
    let options = Options::new()
        .segment_bytes(4096)
        .buffer_bytes(1024)
        .buffers(4)
        .background(false)
        .log_id(LogId::from_bytes([id as u8; 16]));
    let logs = RaftLog::open(Arc::new(disk.clone()), options).unwrap();
    let store = LogStore::open(logs.group(1)).unwrap();
    (logs, store)
}

struct Node {
    id: u64,
    disk: SimStorage,
    // Kept as long as the store.
    _logs: RaftLog,
    store: LogStore,
    raw: RawNode<LogStore>,
    /// What was applied, in order, and up to which entry.
    state: Vec<u64>,
    applied: u64,
    /// What is to be sent when a `Ready` is persisted, the oldest first.
    waiting: VecDeque<(u64, Vec<Message>)>,
    persisted: (mpsc::Sender<u64>, mpsc::Receiver<u64>),
}

impl Node {
    fn start(id: u64, disk: SimStorage) -> Self {
        let (logs, store) = open(&disk, id);
        store.bootstrap(&[1, 2, 3, 4, 5]).unwrap();
        // The state machine is in memory: it begins with the snapshot, or with nothing.
        let snapshot = store.snapshot(0, id).unwrap_or_default();
        let (state, applied) = load(&snapshot);
        let config = Config { id, election_tick: 10, heartbeat_tick: 3, applied, ..Config::default() };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raw = RawNode::new(&config, store.clone(), &logger).unwrap();
        let waiting = VecDeque::new();
        Self { id, disk, _logs: logs, store, raw, state, applied, waiting, persisted: mpsc::channel() }
    }

    /// Does what the node is ready for, and returns what is to be sent.
    fn work(&mut self) -> Vec<Message> {
        let mut out = Vec::new();
        while self.raw.has_ready() {
            let mut ready = self.raw.ready();
            out.extend(ready.take_messages());
            let brings_snapshot = !ready.snapshot().is_empty();
            if brings_snapshot {
                (self.state, self.applied) = load(ready.snapshot());
            }
            let committed = ready.take_committed_entries();
            let sender = self.persisted.0.clone();
            let number = ready.number();
            let ticket = self.store.persist(&ready).unwrap();
            self.waiting.push_back((number, ready.take_persisted_messages()));
            self.raw.advance_append_async(ready);
            if brings_snapshot {
                // Until the node knows that it has it, it believes to need entries that are gone.
                ticket.wait().unwrap();
                out.extend(self.was_persisted(number));
                self.raw.advance_apply_to(self.applied);
            } else {
                ticket.then(move |outcome| {
                    // A disk without power says nothing any more.
                    if outcome.is_ok() {
                        let _ = sender.send(number);
                    }
                });
            }
            for entry in &committed {
                self.applied = entry.index;
                if entry.get_entry_type() == EntryType::EntryNormal && !entry.data.is_empty() {
                    self.state.push(u64::from_le_bytes(entry.data[..].try_into().unwrap()));
                }
            }
            if !committed.is_empty() {
                self.raw.advance_apply_to(self.applied);
            }
        }
        while let Ok(number) = self.persisted.1.try_recv() {
            out.extend(self.was_persisted(number));
        }
        out
    }

    /// Tells the node, and returns what could not be sent before.
    fn was_persisted(&mut self, number: u64) -> Vec<Message> {
        self.raw.on_persist_ready(number);
        let mut out = Vec::new();
        while self.waiting.front().is_some_and(|(waits, _)| *waits <= number) {
            out.extend(self.waiting.pop_front().unwrap().1);
        }
        out
    }

    /// Makes a snapshot, and gives up the entries that it stands for.
    fn compact(&mut self) {
        // A snapshot that is installed counts when it is persisted.
        if self.applied <= self.store.first_index().unwrap() || self.applied != self.raw.raft.raft_log.applied {
            return;
        }
        let mut snapshot = Snapshot::default();
        snapshot.set_data(self.state.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>().into());
        let at = snapshot.mut_metadata();
        at.index = self.applied;
        at.term = self.store.term(self.applied).unwrap();
        at.set_conf_state(self.store.initial_state().unwrap().conf_state);
        self.store.set_snapshot(&snapshot).unwrap();
        self.store.compact(self.applied).unwrap();
    }
}

fn load(snapshot: &Snapshot) -> (Vec<u64>, u64) {
    let state = snapshot.data.chunks_exact(8).map(|value| u64::from_le_bytes(value.try_into().unwrap())).collect();
    (state, snapshot.get_metadata().index.max(1))
}

#[derive(Default)]
struct Found {
    commands: u64,
    crashes: u64,
    snapshots: u64,
}

fn simulate(seed: u64, turns: u64) -> Found {
    let mut rng = Rng(seed);
    let mut nodes: BTreeMap<u64, Node> =
        (1..=5).map(|id| (id, Node::start(id, SimStorage::new(seed + id, Faults::default())))).collect();
    let mut on_the_way: Vec<Message> = Vec::new();
    let (mut next, mut found) = (0_u64, Found::default());
    // What some node has applied, which is committed, and must stay.
    let mut committed: Vec<u64> = Vec::new();
    for turn in 0..turns {
        let calm = turn > turns * 4 / 5;
        for node in nodes.values_mut() {
            node.raw.tick();
            on_the_way.extend(node.work());
        }
        if rng.below(3) == 0 {
            for node in nodes.values_mut().filter(|node| node.raw.raft.state == StateRole::Leader) {
                if node.raw.propose(Vec::new(), next.to_le_bytes().to_vec()).is_ok() {
                    next += 1;
                }
            }
        }
        // Messages come in any order, and some never.
        for _ in 0..on_the_way.len() {
            let message = on_the_way.swap_remove(rng.below(on_the_way.len() as u64) as usize);
            found.snapshots += u64::from(!message.get_snapshot().is_empty());
            let arrives = calm || rng.below(30) != 0;
            if !message.get_snapshot().is_empty() {
                // Whoever sends one waits to be told how it went.
                let status = if arrives { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
                nodes.get_mut(&message.from).unwrap().raw.report_snapshot(message.to, status);
            }
            if arrives {
                let to = nodes.get_mut(&message.to).unwrap();
                let _ = to.raw.step(message);
                on_the_way.extend(to.work());
            }
        }
        if !calm && rng.below(60) == 0 {
            let id = 1 + rng.below(5);
            let node = nodes.remove(&id).unwrap();
            let after = node.disk.after_crash(rng.below(u64::MAX));
            after.set_faults(Faults::default());
            drop(node);
            nodes.insert(id, Node::start(id, after));
            found.crashes += 1;
            for node in nodes.values_mut().filter(|node| node.id != id) {
                node.raw.report_unreachable(id);
                node.raw.report_snapshot(id, SnapshotStatus::Failure);
            }
        }
        if rng.below(40) == 0 {
            nodes.get_mut(&(1 + rng.below(5))).unwrap().compact();
        }
        for node in nodes.values() {
            let both = node.state.len().min(committed.len());
            assert_eq!(node.state[..both], committed[..both], "seed {seed}, turn {turn}: node {} differs", node.id);
            if node.state.len() > both {
                committed.extend(&node.state[both..]);
            }
        }
    }
    // Persisting takes what time it takes.
    for _ in 0..2000 {
        if nodes.values().all(|node| node.state.len() == committed.len()) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
        for node in nodes.values_mut() {
            node.raw.tick();
            on_the_way.extend(node.work());
        }
        for message in std::mem::take(&mut on_the_way) {
            if !message.get_snapshot().is_empty() {
                nodes.get_mut(&message.from).unwrap().raw.report_snapshot(message.to, SnapshotStatus::Finish);
            }
            let _ = nodes.get_mut(&message.to).unwrap().raw.step(message);
        }
        let longest = nodes.values().max_by_key(|node| node.state.len()).unwrap();
        if longest.state.len() > committed.len() {
            committed.clone_from(&longest.state);
        }
    }
    assert!(committed.is_sorted_by(|one, other| one < other), "seed {seed}: something was committed twice");
    for node in nodes.values() {
        assert_eq!(node.state, committed, "seed {seed}: node {} has something else in the end", node.id);
    }
    found.commands = committed.len() as u64;
    found
}

#[test]
fn five_nodes_agree_through_crashes_compaction_and_lost_messages() {
    let mut all = Found::default();
    for seed in 0..20 {
        let found = simulate(seed * 10, 1000);
        all.commands += found.commands;
        all.crashes += found.crashes;
        all.snapshots += found.snapshots;
    }
    eprintln!("{} commands committed, {} crashes, {} snapshots sent", all.commands, all.crashes, all.snapshots);
    assert!(all.commands > 500 && all.crashes > 100 && all.snapshots > 10);
}

#[test]
fn a_reopened_store_has_what_was_persisted() {
    let disk = SimStorage::new(1, Faults::default());
    let (logs, store) = open(&disk, 1);
    store.bootstrap(&[1, 2, 3]).unwrap();
    assert_eq!((store.first_index().unwrap(), store.last_index().unwrap(), store.term(1).unwrap()), (2, 1, 1));
    let entry = |index, term| raft::eraftpb::Entry { index, term, data: vec![7; 20].into(), ..Default::default() };
    store.append(&[entry(2, 1), entry(3, 1), entry(4, 2)]).unwrap();
    store.append(&[entry(4, 3), entry(5, 3)]).unwrap().wait().unwrap();
    store.compact(2).unwrap().wait().unwrap();
    let check = |store: &LogStore| {
        assert_eq!((store.first_index().unwrap(), store.last_index().unwrap()), (3, 5));
        let terms: Vec<u64> = (2..=5).map(|index| store.term(index).unwrap()).collect();
        assert_eq!(terms, [1, 1, 3, 3]);
        let context = || raft::GetEntriesContext::empty(false);
        assert_eq!(store.entries(3, 6, None, context()).unwrap().len(), 3);
        assert_eq!(store.entries(3, 6, Some(0), context()).unwrap(), [entry(3, 1)]);
        let compacted = raft::Error::Store(raft::StorageError::Compacted);
        assert_eq!(store.entries(2, 4, None, context()).unwrap_err(), compacted);
        assert_eq!(store.term(1).unwrap_err(), compacted);
        assert_eq!(store.term(6).unwrap_err(), raft::Error::Store(raft::StorageError::Unavailable));
        assert_eq!(store.initial_state().unwrap().conf_state.voters, [1, 2, 3]);
    };
    check(&store);
    drop((store, logs));
    let after = disk.after_crash(3);
    after.set_faults(Faults::default());
    let (_logs, store) = open(&after, 1);
    // Whoever has begun does not begin again.
    store.bootstrap(&[9]).unwrap();
    check(&store);
}
