//! Storage for TiKV's [`raft`] crate on esker: the entries, hard states and snapshots of many Raft groups in one log.
//!
//! Owns the translation between [`raft`] 0.7 and [`esker_raftlog`], and the terms of entries, which that crate asks for all the
//! time. Refuses to drive a node: what a [`Ready`](raft::Ready) has is persisted with [`LogStore::persist`], and the node is told
//! when the ticket says so.
//!
//! What a group commit gives here: `raft` goes on while a `Ready` becomes durable, and persisting one says the same of all before it,
//! so that the `Ready`s of one group that come while a sync runs share the next one, as do the groups that share a log.
//!
//! # Example
//!
//! ```
//! use std::sync::{Arc, mpsc};
//! use esker_tikv_raft::{LogStore, raftlog::{RaftLog, log::{Options, storage::MemStorage}}};
//! use raft::{Config, RawNode, StateRole};
//!
//! let logs = RaftLog::open(Arc::new(MemStorage::default()), Options::new())?;
//! let store = LogStore::open(logs.group(1))?;
//! store.bootstrap(&[1])?;
//! let logger = slog::Logger::root(slog::Discard, slog::o!());
//! let mut node = RawNode::new(&Config::new(1), store.clone(), &logger)?;
//! node.campaign()?;
//!
//! let (persisted, was_persisted) = mpsc::channel();
//! while node.raft.raft_log.committed < 2 {
//!     while node.has_ready() {
//!         let ready = node.ready();
//!         let number = ready.number();
//!         let persisted = persisted.clone();
//!         store.persist(&ready)?.then(move |outcome| drop(persisted.send((number, outcome.is_ok()))));
//!         node.advance_append_async(ready);
//!     }
//!     let (number, is_durable) = was_persisted.recv()?;
//!     assert!(is_durable, "the disk has failed, and the node has to stop");
//!     node.on_persist_ready(number);
//! }
//! assert_eq!(node.raft.state, StateRole::Leader);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub use esker_raftlog as raftlog;
pub use raft;

mod store;
mod terms;

pub use store::LogStore;
