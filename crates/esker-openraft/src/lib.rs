//! openraft's log storage on esker: the entries, votes and commit marks of many Raft groups in one log.
//!
//! Owns the translation between [`openraft`] 0.9 and [`esker_raftlog`]. Refuses to keep anything itself.
//!
//! What a group commit gives here: openraft 0.9 waits for each append of a group to be durable before it goes on with that
//! group, so one group alone has one sync per append. Groups that share a log share its syncs.
//!
//! # Example
//!
//! ```
//! use std::{io::Cursor, sync::Arc};
//! use esker_openraft::{LogStore, raftlog::{Json, RaftLog, log::{Options, storage::MemStorage}}};
//! use openraft::{Vote, storage::RaftLogStorage};
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
#![allow(clippy::result_large_err, reason = "the errors are openraft's")]

pub use esker_raftlog as raftlog;
pub use openraft;

mod store;

pub use store::LogStore;
