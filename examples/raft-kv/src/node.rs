//! One node: opens what it has, and answers.

use std::{collections::BTreeMap, error::Error, io, path::Path, str::FromStr, sync::Arc};

use esker_openraft::{
    LogStore,
    raftlog::{Postcard, RaftLog, log::Options},
};
use esker_pages::storage::FileStorage;
use openraft::{
    BasicNode, Config, Raft, SnapshotPolicy,
    error::{CheckIsLeaderError, ClientWriteError, RaftError},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::OnceCell,
};

use crate::{
    Types,
    machine::Machine,
    network::Network,
    protocol::{Answer, Ask, Change, receive, send},
};

/// The nodes of a cluster and where they listen: `1=127.0.0.1:21001,2=127.0.0.1:21002`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peers(pub BTreeMap<u64, String>);

impl FromStr for Peers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let peers = text.split(',').map(|peer| {
            let (id, address) = peer.split_once('=').ok_or_else(|| format!("{peer:?} is not ID=ADDRESS"))?;
            Ok((id.parse().map_err(|_| format!("{id:?} is not a number"))?, address.to_owned()))
        });
        peers.collect::<Result<_, String>>().map(Self)
    }
}

impl std::fmt::Display for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (id, address)) in self.0.iter().enumerate() {
            write!(f, "{}{id}={address}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

struct Node {
    raft: Raft<Types>,
    machine: Machine,
    peers: Peers,
    /// Set once something was committed through this node since it was started.
    caught_up: OnceCell<()>,
}

/// Runs node `id` on what is in `dir`, until the process ends.
///
/// # Errors
///
/// If the directory cannot be opened, holds something else, or the address is taken.
pub async fn serve(id: u64, peers: Peers, dir: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
    let address = peers.0.get(&id).ok_or("the node is not among its peers")?;
    let listener = TcpListener::bind(address).await?;
    let logs = RaftLog::open(Arc::new(FileStorage::create(dir.join("log"))?), Options::new().segment_bytes(1 << 20))?;
    let machine = Machine::open(&dir.join("state"))?;
    let config = Config {
        heartbeat_interval: 60,
        election_timeout_min: 250,
        election_timeout_max: 500,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(500),
        max_in_snapshot_log_to_keep: 100,
        ..Config::default()
    };
    let store: LogStore<Types, Postcard> = LogStore::new(logs.group(0));
    let raft = Raft::new(id, Arc::new(config.validate()?), Network, store, machine.clone()).await?;
    let node = Arc::new(Node { raft, machine, peers, caught_up: OnceCell::new() });
    loop {
        let (stream, _) = listener.accept().await?;
        let node = node.clone();
        // Whoever asks and goes away ends this task, and nothing else.
        tokio::spawn(async move { node.converse(stream).await });
    }
}

impl Node {
    async fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        while let Some(ask) = receive(&mut stream).await? {
            let answer = self.answer(ask).await;
            send(&mut stream, &answer).await?;
        }
        Ok(())
    }

    async fn answer(&self, ask: Ask) -> Answer {
        match ask {
            Ask::Append(rpc) => Answer::Append(self.raft.append_entries(rpc).await),
            Ask::Snapshot(rpc) => Answer::Snapshot(self.raft.install_snapshot(rpc).await),
            Ask::Vote(rpc) => Answer::Vote(self.raft.vote(rpc).await),
            Ask::Initialize => {
                let nodes: BTreeMap<u64, BasicNode> =
                    self.peers.0.iter().map(|(&id, address)| (id, BasicNode::new(address))).collect();
                match self.raft.initialize(nodes).await {
                    // It was done before.
                    Ok(()) | Err(RaftError::APIError(_)) => Answer::Done,
                    Err(error) => Answer::Failed(error.to_string()),
                }
            }
            Ask::Put { key, value } => match self.raft.client_write(Change::Put { key, value }).await {
                Ok(_) => Answer::Done,
                Err(error) => not_written(error),
            },
            Ask::Get(key) => {
                // openraft 0.9 lets a leader that is started again lead on in the same term, and takes for committed what was
                // known to be so when it went down, which may be less than what was acknowledged. So it commits something
                // before it answers for the first time.
                let write = || async { self.raft.client_write(Change::Nothing).await.map(drop) };
                if let Err(error) = self.caught_up.get_or_try_init(write).await {
                    return not_written(error);
                }
                // Asks a quorum whether this node still leads, and waits until everything is applied that was committed.
                match self.raft.ensure_linearizable().await {
                    Ok(_) => Answer::Value(self.machine.get(&key)),
                    Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(to))) => {
                        Answer::NotLeader(to.leader_id)
                    }
                    Err(error) => Answer::Failed(error.to_string()),
                }
            }
        }
    }
}

fn not_written(error: RaftError<u64, ClientWriteError<u64, BasicNode>>) -> Answer {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => Answer::NotLeader(to.leader_id),
        error => Answer::Failed(error.to_string()),
    }
}
