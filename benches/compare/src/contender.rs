//! Who is measured: esker, its peers, and our own yardsticks.
//!
//! Each peer is driven as its own documentation says for the guarantee that is measured; README.md says how.

pub(crate) mod batched;
pub(crate) mod commitlog;
pub(crate) mod esker;
pub(crate) mod esker_raft;
pub(crate) mod fjall;
pub(crate) mod mutexed;
pub(crate) mod okaywal;
pub(crate) mod private;
pub(crate) mod raft_engine;
pub(crate) mod single;
pub(crate) mod sled;
pub(crate) mod wal_db;
pub(crate) mod walrus;

use std::{
    fs::{self, File},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{Fallible, record::Tally};

/// A way to append, named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    Esker,
    /// The same, which is given 64 records at a time.
    EskerBatched,
    RaftEngine,
    Okaywal,
    WalDb,
    Walrus,
    Fjall,
    Sled,
    Commitlog,
    Redb,
    Marble,
    /// One buffer under a mutex; for durable appends one leader writes and syncs for all who wait.
    Mutexed,
    /// Private buffers, copied and checksummed, and no file.
    LimitMemory,
    /// The same, written to a file whose blocks are there already, and synced at the end.
    LimitBuffered,
    /// One thread that writes and syncs each record.
    LimitDurable,
    /// Large sequential writes, each synced.
    LimitBandwidth,
    /// Large reads and a checksum of each record.
    LimitRead,
    /// Bare reads of as many bytes.
    LimitPread,
}

/// On what terms a contender takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    /// A library that others published.
    Peer,
    /// Code of this benchmark: what the machine gives to the plainest thing.
    Yardstick,
}

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Esker => "esker",
            Self::EskerBatched => "esker, by 64",
            Self::RaftEngine => "raft-engine",
            Self::Okaywal => "okaywal",
            Self::WalDb => "wal-db",
            Self::Walrus => "walrus-rust",
            Self::Fjall => "fjall",
            Self::Sled => "sled 0.34",
            Self::Commitlog => "commitlog",
            Self::Redb => "redb",
            Self::Marble => "marble",
            Self::Mutexed => "mutexed",
            Self::LimitMemory => "limit-memory",
            Self::LimitBuffered => "limit-buffered",
            Self::LimitDurable => "limit-durable",
            Self::LimitBandwidth => "limit-bandwidth",
            Self::LimitRead => "limit-read",
            Self::LimitPread => "limit-pread",
        }
    }

    /// The version of a peer: Cargo.toml pins it.
    pub(crate) fn version(self) -> Option<&'static str> {
        let wanted = match self {
            Self::Walrus => "walrus-rust",
            Self::Sled => "sled",
            other if other.kind() == Kind::Peer => other.name(),
            _ => return None,
        };
        let manifest = include_str!("../Cargo.toml");
        let line = manifest.lines().find_map(|line| line.strip_prefix(wanted)?.strip_prefix(" = "))?;
        line.split_once("\"=")?.1.split('"').next()
    }

    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Esker | Self::EskerBatched => Kind::Ours,
            Self::RaftEngine
            | Self::Okaywal
            | Self::WalDb
            | Self::Walrus
            | Self::Fjall
            | Self::Sled
            | Self::Commitlog
            | Self::Redb
            | Self::Marble => Kind::Peer,
            Self::Mutexed
            | Self::LimitMemory
            | Self::LimitBuffered
            | Self::LimitDurable
            | Self::LimitBandwidth
            | Self::LimitRead
            | Self::LimitPread => Kind::Yardstick,
        }
    }

    /// Whether this is what the machine gives to the plainest thing.
    pub(crate) fn is_limit(self) -> bool {
        self.kind() == Kind::Yardstick && self != Self::Mutexed
    }

    /// Whether its call that promises durability makes the system write to the device and wait for it. README.md says
    /// what a trace of the system calls showed.
    pub(crate) fn reaches_device(self) -> bool {
        !matches!(self, Self::Sled | Self::Commitlog)
    }
}

/// What appends are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// Durable when they return.
    Durable,
    /// In memory, or with the system, when they return.
    Buffered,
}

/// How much a contender is prepared for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) promise: Promise,
    pub(crate) writers: u32,
    pub(crate) record_bytes: u32,
    /// The most payload bytes that will be appended. Where a long-running log would write over blocks that are there
    /// already, so many of them are there.
    pub(crate) bytes: u64,
}

impl Size {
    /// The bytes of a file for all of it, if each record takes so many more than its payload.
    pub(crate) fn file_bytes(self, overhead: usize) -> u64 {
        let records = self.bytes.div_ceil(u64::from(self.record_bytes));
        // And something for whoever pads.
        records * (u64::from(self.record_bytes) + overhead as u64) + (16 << 20)
    }
}

/// A log that many threads append to.
pub(crate) trait Subject: Sized + Sync {
    /// One thread's handle.
    type Appender<'a>: Appender + Send
    where
        Self: 'a;

    /// Creates the log in an empty directory, warmed up as that of somebody who has been running for long.
    fn create(dir: &Path, size: Size) -> Fallible<Self>;

    /// Creates the log without warming up, for those who will only read it.
    fn create_cold(dir: &Path, size: Size) -> Fallible<Self> {
        Self::create(dir, size)
    }

    fn appender(&self, writer: u32) -> Fallible<Self::Appender<'_>>;

    /// Makes durable what was appended.
    fn sync(&self) -> Fallible;

    /// Syncs since the creation, if anybody counts them.
    fn syncs(&self) -> Option<u64> {
        None
    }

    /// Reads everything back.
    fn read_back(self, dir: &Path, tally: &mut Tally) -> Fallible;
}

/// What one thread appends with. An appender that is dropped has handed over all it was given.
pub(crate) trait Appender {
    /// Appends without waiting.
    fn append(&mut self, record: &[u8]) -> Fallible;

    /// Appends and waits until the record is durable.
    fn append_durable(&mut self, record: &[u8]) -> Fallible;

    /// Ends a run of buffered appends: what this thread still holds privately is handed over.
    fn finish(&mut self) -> Fallible {
        Ok(())
    }
}

/// Makes a directory's files durable, for those who do not.
fn sync_files(dir: &Path) -> Fallible {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    Ok(())
}

/// The key of a record in a map: each writer's are in order.
fn key(writer: u32, number: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&writer.to_be_bytes());
    key[4..].copy_from_slice(&number.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::{Contender, key};

    #[test]
    fn every_peer_has_a_version() {
        let peers = [
            Contender::RaftEngine,
            Contender::Okaywal,
            Contender::WalDb,
            Contender::Walrus,
            Contender::Fjall,
            Contender::Sled,
            Contender::Commitlog,
            Contender::Redb,
            Contender::Marble,
        ];
        for peer in peers {
            assert!(peer.version().is_some_and(|version| version.split('.').count() == 3), "{}", peer.name());
        }
        assert_eq!(Contender::Esker.version(), None);
    }

    #[test]
    fn keys_sort_by_writer_and_number() {
        assert!(key(0, u64::MAX) < key(1, 0) && key(1, 255) < key(1, 256));
    }
}
