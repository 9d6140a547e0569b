//! A replicated key-value store that keeps everything on esker: the Raft log with its votes in a log that groups could share,
//! the snapshots of the state machine in a page store.
//!
//! Owns nothing that a real service would not have: a protocol, a network, a state machine, a node and a client, one module
//! each.

#![allow(clippy::result_large_err, reason = "the errors are openraft's")]

pub mod client;
mod machine;
mod network;
mod node;
pub mod protocol;

pub use node::{Peers, serve};

use std::io::Cursor;

openraft::declare_raft_types!(
    /// What openraft is to replicate.
    pub Types: D = protocol::Change, R = (), NodeId = u64
);
