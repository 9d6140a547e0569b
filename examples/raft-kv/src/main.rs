//! `raft-kv`: a cluster of three nodes on this machine, and a client for it.
#![expect(clippy::print_stdout, reason = "a program that answers on its standard output")]

use std::{
    error::Error,
    path::PathBuf,
    process::{ExitCode, Stdio},
    time::Duration,
};

use clap::{Parser, Subcommand};
use raft_kv::{Peers, client::Client, serve};
use tokio::{
    process::{Child, Command},
    signal,
};

const PEERS: &str = "1=127.0.0.1:21001,2=127.0.0.1:21002,3=127.0.0.1:21003";
const DEADLINE: Duration = Duration::from_secs(10);

/// A replicated key-value store on esker.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Task,
    /// The nodes and where they listen.
    #[arg(long, global = true, default_value = PEERS)]
    peers: Peers,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Starts all nodes as processes of their own, and makes them a cluster; ends them with ctrl-c.
    Cluster {
        /// Where the nodes have their directories.
        dir: PathBuf,
    },
    /// Runs one node.
    Node {
        /// Which of the peers.
        #[arg(long)]
        id: u64,
        /// Its directory.
        dir: PathBuf,
    },
    /// Sets a value.
    Put {
        /// Its key.
        key: String,
        /// The value.
        value: String,
    },
    /// Prints a value.
    Get {
        /// Its key.
        key: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("raft-kv: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(Args { command, peers }: Args) -> Result<(), Box<dyn Error + Send + Sync>> {
    match command {
        Task::Cluster { dir } => {
            let program = std::env::current_exe()?;
            let start = |id: u64| -> std::io::Result<Child> {
                Command::new(&program)
                    .args(["node", "--id", &id.to_string(), "--peers", &peers.to_string()])
                    .arg(dir.join(id.to_string()))
                    .stdin(Stdio::null())
                    .kill_on_drop(true)
                    .spawn()
            };
            let mut nodes = peers.0.keys().map(|&id| Ok((id, start(id)?))).collect::<std::io::Result<Vec<_>>>()?;
            Client::new(peers.clone(), 0).initialize(DEADLINE).await?;
            eprintln!("the nodes {peers} are a cluster; ctrl-c ends them");
            signal::ctrl_c().await?;
            for (id, node) in &mut nodes {
                node.kill().await?;
                eprintln!("node {id} has ended");
            }
        }
        Task::Node { id, dir } => serve(id, peers, &dir).await?,
        Task::Put { key, value } => Client::new(peers, 0).put(&key, &value, DEADLINE).await?,
        Task::Get { key } => match Client::new(peers, 0).get(&key, DEADLINE).await? {
            Some(value) => println!("{value}"),
            None => return Err(format!("{key:?} has no value").into()),
        },
    }
    Ok(())
}
