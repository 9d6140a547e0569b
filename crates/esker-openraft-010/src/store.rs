//! A group as openraft's log storage.

use std::{
    fmt::{self, Debug},
    io,
    marker::PhantomData,
    ops::RangeBounds,
};

use esker_raftlog::{Codec, Group, Json};
use openraft::{
    LogState, OptionalSend, RaftLogReader, RaftTypeConfig,
    alias::{LogIdOf, VoteOf},
    entry::RaftEntry,
    storage::{IOFlushed, RaftLogStorage},
};

/// Which value of the group is the vote.
const VOTE: u8 = 0;
/// Which value of the group says what is committed.
const COMMITTED: u8 = 1;
/// How much one read for replication may return, in bytes of encoded entries.
const READ_MAX_BYTES: usize = 4 << 20;

/// The log of one Raft group, for [`openraft::Raft::new`]. Clones are handles on the same group, and readers.
///
/// Calls that append copy into the log's buffers and return; they wait, without giving the executor back, only where
/// the buffers are full. A vote is saved when it is durable. Purging frees segments, and where it does, waits for a sync or
/// two on the thread that called.
pub struct LogStore<C, K = Json> {
    group: Group,
    types: PhantomData<fn() -> (C, K)>,
}

impl<C, K> Clone for LogStore<C, K> {
    fn clone(&self) -> Self {
        Self::new(self.group.clone())
    }
}

impl<C, K> Debug for LogStore<C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogStore").field("group", &self.group.id()).finish_non_exhaustive()
    }
}

impl<C, K> LogStore<C, K> {
    /// The log of a group of an open [`RaftLog`](esker_raftlog::RaftLog). The group must have been written with the same
    /// codec and the same types before, if at all. Its values 0 and 1 are the store's: the vote, and what is committed.
    #[must_use]
    pub fn new(group: Group) -> Self {
        Self { group, types: PhantomData }
    }

    /// The group.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.group
    }
}

impl<C: RaftTypeConfig, K: Codec> LogStore<C, K> {
    fn entries(&self, range: impl RangeBounds<u64>, max_bytes: usize) -> Result<Vec<C::Entry>, io::Error> {
        let found = self.group.entries_within(range, max_bytes).map_err(io::Error::other)?;
        found.iter().map(|(_, bytes)| K::decode(bytes).map_err(io::Error::other)).collect()
    }
}

impl<C: RaftTypeConfig, K: Codec> RaftLogReader<C> for LogStore<C, K> {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<C::Entry>, io::Error> {
        self.entries(range, usize::MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<VoteOf<C>>, io::Error> {
        self.group.get(VOTE).map(|bytes| K::decode(&bytes)).transpose().map_err(io::Error::other)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<C::Entry>, io::Error> {
        self.entries(start..end, READ_MAX_BYTES)
    }
}

impl<C: RaftTypeConfig, K: Codec> RaftLogStorage<C> for LogStore<C, K> {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<C>, io::Error> {
        let state = self.group.state();
        let purged = state.purged.map(|purged| K::decode(&purged.bytes)).transpose().map_err(io::Error::other)?;
        let last = match state.last {
            Some(last) => self.entries(last..=last, usize::MAX)?.first().map(RaftEntry::log_id),
            None => None,
        };
        Ok(LogState { last_log_id: last.or_else(|| purged.clone()), last_purged_log_id: purged })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<C>) -> Result<(), io::Error> {
        let bytes = K::encode(vote).map_err(io::Error::other)?;
        let ticket = self.group.put(VOTE, &bytes).map_err(io::Error::other)?;
        ticket.await.map(drop).map_err(io::Error::other)
    }

    async fn save_committed(&mut self, committed: Option<LogIdOf<C>>) -> Result<(), io::Error> {
        let bytes = K::encode(&committed).map_err(io::Error::other)?;
        self.group.put(COMMITTED, &bytes).map(drop).map_err(io::Error::other)
    }

    async fn read_committed(&mut self) -> Result<Option<LogIdOf<C>>, io::Error> {
        let committed = self.group.get(COMMITTED).map(|bytes| K::decode::<Option<_>>(&bytes)).transpose();
        committed.map(Option::flatten).map_err(io::Error::other)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<C>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = C::Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let (mut first, mut encoded) = (None, Vec::new());
        for entry in entries {
            first.get_or_insert(entry.log_id().index());
            encoded.push(K::encode(&entry).map_err(io::Error::other)?);
        }
        let encoded: Vec<&[u8]> = encoded.iter().map(Vec::as_slice).collect();
        let ticket = self.group.append(first.unwrap_or_default(), &encoded).map_err(io::Error::other)?;
        ticket.then(|outcome| callback.io_completed(outcome.map(drop).map_err(io::Error::other)));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<C>>) -> Result<(), io::Error> {
        let first = last.map_or(0, |last| last.index() + 1);
        // What is appended next is behind the truncation in the log, and durable only if that is.
        self.group.truncate(first).map(drop).map_err(io::Error::other)
    }

    async fn purge(&mut self, log_id: LogIdOf<C>) -> Result<(), io::Error> {
        let bytes = K::encode(&log_id).map_err(io::Error::other)?;
        self.group.purge(log_id.index(), &bytes).map(drop).map_err(io::Error::other)
    }
}
