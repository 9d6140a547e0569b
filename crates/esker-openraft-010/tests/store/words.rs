//! What is said differently to another version of openraft.

pub(crate) use esker_openraft_010::{LogStore, raftlog};
use openraft::{
    EntryPayload,
    alias::{EntryOf, LogIdOf, VoteOf},
    entry::RaftEntry,
    storage::RaftLogStorage,
    vote::RaftLeaderId,
};

use crate::Types;

pub(crate) type LogId = LogIdOf<Types>;
pub(crate) type Vote = VoteOf<Types>;

pub(crate) fn id(term: u64, index: u64) -> LogId {
    LogId::new(openraft::alias::LeaderIdOf::<Types>::new(term, 1).to_committed(), index)
}

pub(crate) fn entry(id: LogId, text: &str) -> EntryOf<Types> {
    EntryOf::<Types>::new(id, EntryPayload::Normal(text.to_owned()))
}

pub(crate) async fn truncate_from(store: &mut LogStore<Types>, first: LogId) -> Result<(), std::io::Error> {
    let last = first.index().checked_sub(1).map(|index| id(first.committed_leader_id().term, index));
    store.truncate_after(last).await
}

pub(crate) fn term_of(id: &LogId) -> u64 {
    id.committed_leader_id().term
}
