//! What is said differently to another version of openraft.

pub(crate) use esker_openraft::{LogStore, raftlog};
use openraft::{CommittedLeaderId, Entry, EntryPayload, StorageError, storage::RaftLogStorage};

use crate::Types;

pub(crate) type LogId = openraft::LogId<u64>;
pub(crate) type Vote = openraft::Vote<u64>;

pub(crate) fn id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term, 1), index)
}

pub(crate) fn entry(id: LogId, text: &str) -> Entry<Types> {
    Entry { log_id: id, payload: EntryPayload::Normal(text.to_owned()) }
}

pub(crate) async fn truncate_from(store: &mut LogStore<Types>, first: LogId) -> Result<(), StorageError<u64>> {
    store.truncate(first).await
}

pub(crate) fn term_of(id: &LogId) -> u64 {
    id.leader_id.term
}
