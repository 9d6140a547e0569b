//! The storage as openraft sees it: its own suite, case by case, and what that leaves out, on a simulated disk: reopening, crashes,
//! failing syncs, several groups, readers beside truncation.

mod cases;
mod machine;
mod suite;
mod words;

use std::{io::Cursor, sync::Arc};

use esker_openraft::raftlog::{
    RaftLog,
    log::{LogId, Options, storage::Storage},
};

openraft::declare_raft_types!(pub(crate) Types: D = String, R = String, NodeId = u64);

/// The groups of a log whose segments and buffers are so small that everything that can happen to them does.
pub(crate) fn open(storage: Arc<dyn Storage>) -> RaftLog {
    let options = Options::new()
        .segment_bytes(4096)
        .buffer_bytes(1024)
        .buffers(4)
        .background(false)
        .log_id(LogId::from_bytes([7; 16]));
    RaftLog::open(storage, options).unwrap()
}
