//! Three nodes under load, of which one or all are killed and started again, round by round. What the clients saw must be
//! linearizable, so that nothing that was acknowledged is lost and nothing is read that was not there.
//!
//! `RAFT_KV_ROUNDS` says how many rounds there are; 20 unless it does.

mod linearizable;

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use linearizable::{Action, Op, is_linearizable};
use raft_kv::{
    Peers,
    client::{Client, NoAnswer},
};
use tempfile::TempDir;

const CLIENTS: usize = 4;
const KEYS: u64 = 3;
/// How long clients work in each round, how much of that passes before nodes are killed, and until they are started again.
const ROUND: Duration = Duration::from_millis(1300);
const BEFORE: Duration = Duration::from_millis(350);
const DOWN: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(30);

/// The nodes; they die with it.
struct Cluster {
    dir: TempDir,
    peers: Peers,
    nodes: BTreeMap<u64, Child>,
}

impl Cluster {
    fn start() -> Self {
        let free: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let peers = (1..).zip(&free).map(|(id, free)| (id, free.local_addr().unwrap().to_string())).collect();
        drop(free);
        let mut cluster = Self { dir: TempDir::new().unwrap(), peers: Peers(peers), nodes: BTreeMap::new() };
        (1..=3).for_each(|id| cluster.start_node(id));
        cluster
    }

    fn start_node(&mut self, id: u64) {
        let node = Command::new(env!("CARGO_BIN_EXE_raft-kv"))
            .args(["node", "--id", &id.to_string(), "--peers", &self.peers.to_string()])
            .arg(self.dir.path().join(id.to_string()))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.nodes.insert(id, node);
    }

    /// SIGKILL.
    fn kill_node(&mut self, id: u64) {
        let mut node = self.nodes.remove(&id).unwrap();
        assert!(node.try_wait().unwrap().is_none(), "node {id} has ended by itself");
        node.kill().unwrap();
        node.wait().unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in self.nodes.values_mut() {
            let _ = node.kill();
            let _ = node.wait();
        }
    }
}

/// What was done to each key.
#[derive(Default)]
struct History {
    begun: Option<Instant>,
    ops: Mutex<BTreeMap<String, Vec<Op>>>,
    values: AtomicU64,
    acknowledged: AtomicU64,
    unknown: AtomicU64,
}

impl History {
    fn now(&self) -> u64 {
        self.begun.expect("begun before clients are").elapsed().as_nanos() as u64
    }

    fn note(&self, key: &str, called: u64, returned: Option<u64>, action: Action) {
        self.ops.lock().unwrap().entry(key.to_owned()).or_default().push(Op { called, returned, action });
    }

    async fn put(&self, client: &mut Client, key: &str) {
        let value = self.values.fetch_add(1, Ordering::Relaxed);
        let called = self.now();
        let outcome = client.put(key, &value.to_string(), PATIENCE).await;
        let returned = self.now();
        match outcome {
            Ok(()) => {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                self.note(key, called, Some(returned), Action::Put(value));
            }
            Err(NoAnswer::NotDone(_)) => (),
            Err(_) => {
                self.unknown.fetch_add(1, Ordering::Relaxed);
                self.note(key, called, None, Action::Put(value));
            }
        }
    }

    async fn get(&self, client: &mut Client, key: &str) -> bool {
        let called = self.now();
        let Ok(value) = client.get(key, PATIENCE).await else { return false };
        let value = value.map(|value| value.parse().expect("a value that was put"));
        self.note(key, called, Some(self.now()), Action::Get(value));
        true
    }
}

fn key(round: u64, nth: u64) -> String {
    format!("round {round} key {nth}")
}

async fn work(history: Arc<History>, peers: Peers, who: usize, round: u64) {
    let mut client = Client::new(peers, who);
    let end = Instant::now() + ROUND;
    let mut turn = who as u64;
    while Instant::now() < end {
        turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = key(round, (turn >> 33) % KEYS);
        if (turn >> 60).is_multiple_of(2) {
            history.put(&mut client, &key).await;
        } else {
            history.get(&mut client, &key).await;
        }
    }
}

async fn read_all(history: &History, peers: &Peers, round: u64) {
    let mut client = Client::new(peers.clone(), round as usize);
    for nth in 0..KEYS {
        assert!(history.get(&mut client, &key(round, nth)).await, "round {round}: nobody answers any more");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_killed_under_load_and_nothing_acknowledged_is_lost() {
    let rounds: u64 = std::env::var("RAFT_KV_ROUNDS").map_or(20, |rounds| rounds.parse().unwrap());
    let mut cluster = Cluster::start();
    let peers = cluster.peers.clone();
    Client::new(peers.clone(), 0).initialize(PATIENCE).await.unwrap();
    let history = Arc::new(History { begun: Some(Instant::now()), ..History::default() });
    for round in 0..rounds {
        let clients: Vec<_> =
            (0..CLIENTS).map(|who| tokio::spawn(work(history.clone(), peers.clone(), who, round))).collect();
        tokio::time::sleep(BEFORE).await;
        let victims: Vec<u64> = if round % 4 == 3 { vec![1, 2, 3] } else { vec![1 + round % 3] };
        victims.iter().for_each(|&id| cluster.kill_node(id));
        tokio::time::sleep(DOWN).await;
        victims.iter().for_each(|&id| cluster.start_node(id));
        for client in clients {
            client.await.unwrap();
        }
        read_all(&history, &peers, round).await;
    }
    // Once more from what is on disk, each key of every round.
    (1..=3).for_each(|id| cluster.kill_node(id));
    (1..=3).for_each(|id| cluster.start_node(id));
    for round in 0..rounds {
        read_all(&history, &peers, round).await;
    }
    let ops = history.ops.lock().unwrap();
    let gets = ops.values().flatten().filter(|op| matches!(op.action, Action::Get(_))).count();
    let bytes = log_bytes(cluster.dir.path());
    for (key, ops) in ops.iter() {
        assert!(is_linearizable(ops), "{key:?} is not linearizable: {ops:?}");
    }
    eprintln!(
        "{rounds} rounds: {} puts acknowledged, {} with an outcome that nobody knows, {gets} gets, in the order of a register per key; the logs take {bytes} bytes",
        history.acknowledged.load(Ordering::Relaxed),
        history.unknown.load(Ordering::Relaxed),
    );
    assert!(history.acknowledged.load(Ordering::Relaxed) > 50 * rounds, "the clients hardly did anything");
}

/// What the log files of all nodes take, in bytes.
fn log_bytes(dir: &Path) -> u64 {
    (1..=3)
        .flat_map(|id| std::fs::read_dir(dir.join(id.to_string()).join("log")).unwrap())
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}
