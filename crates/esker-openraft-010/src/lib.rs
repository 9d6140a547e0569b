//! The log storage of openraft 0.10 on esker: the entries, votes and commit marks of many Raft groups in one log.
//!
//! Owns the translation between [`openraft`] 0.10 and [`esker_raftlog`]. Refuses to keep anything itself.
//!
//! What a group commit gives here: openraft 0.10 goes on while appends become durable, so those of one group that come while
//! a sync runs share the next one, as do the groups that share a log.
//!
//! # Example
//!
//! ```
//! use std::{io::Cursor, sync::Arc};
//! use esker_openraft_010::{LogStore, raftlog::{Json, RaftLog, log::{Options, storage::MemStorage}}};
//! use openraft::{impls::Vote, storage::{RaftLogReader, RaftLogStorage}};
//!
//! openraft::declare_raft_types!(pub Types: D = String, R = String, NodeId = u64);
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let logs = RaftLog::open(Arc::new(MemStorage::default()), Options::new())?;
//! let mut first: LogStore<Types, Json> = LogStore::new(logs.group(1));
//! first.save_vote(&Vote::new(3, 1)).await?;
//! assert_eq!(first.read_vote().await?, Some(Vote::new(3, 1)));
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

pub use esker_raftlog as raftlog;
pub use openraft;

mod store;

pub use store::LogStore;
