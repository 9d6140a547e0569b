//! A group as the storage of a `raft` node.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use esker_raftlog::{Group, log::Ticket};
use protobuf::Message;
use raft::{
    Error, GetEntriesContext, RaftState, Ready, Result, Storage, StorageError,
    eraftpb::{ConfState, Entry, HardState, Snapshot},
};

use crate::terms::Terms;

/// Which value of the group is the hard state.
const HARD_STATE: u8 = 0;
/// Which value of the group says who its members are.
const CONF_STATE: u8 = 1;
/// Which value of the group is the last snapshot.
const SNAPSHOT: u8 = 2;

/// The storage of one Raft group, for [`raft::RawNode::new`]. Clones are handles on the same group: the node has one, and whoever
/// persists what the node is ready with another.
///
/// What is persisted can be read at once, and is durable when the ticket says so: that of a later call includes what earlier ones
/// have written. Snapshots are kept in memory and in the log, and written anew as the log goes on: one that is large has to hold
/// where its data is, rather than the data.
#[derive(Clone, Debug)]
pub struct LogStore {
    group: Group,
    terms: Arc<Mutex<Terms>>,
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Store(StorageError::Other(Box::new(error)))
}

fn bytes_of(message: &impl Message) -> Result<Vec<u8>> {
    message.write_to_bytes().map_err(other)
}

impl LogStore {
    /// The storage of a group of an open [`RaftLog`](esker_raftlog::RaftLog). Reads all its entries for their terms.
    ///
    /// # Errors
    ///
    /// [`StorageError::Other`] if the group cannot be read, or was written by something else.
    pub fn open(group: Group) -> Result<Self> {
        let store = Self { group, terms: Arc::default() };
        // The crash may have come between these.
        let snapshot: Snapshot = store.value(SNAPSHOT)?;
        if snapshot.get_metadata().index > store.purged().0 {
            store.begin_at(&snapshot)?;
        }
        let state = store.group.state();
        if let (Some(first), Some(last)) = (state.first, state.last) {
            const AT_ONCE: u64 = 1024;
            let mut terms = store.lock();
            for from in (first..=last).step_by(AT_ONCE as usize) {
                for (index, bytes) in store.group.entries(from..from.saturating_add(AT_ONCE)).map_err(other)? {
                    terms.append(index, decode(&bytes)?.term);
                }
            }
            drop(terms);
        }
        Ok(store)
    }

    /// Makes these the first members of a group that has nothing yet: with an index and a term of 1, as if from a snapshot, the same
    /// at each member. Where there is something, nothing is done.
    ///
    /// # Errors
    ///
    /// [`StorageError::Other`].
    pub fn bootstrap(&self, voters: &[u64]) -> Result<()> {
        if self.purged().0 > 0 || self.group.state().last.is_some() {
            return Ok(());
        }
        let mut members = ConfState::default();
        members.set_voters(voters.to_vec());
        self.set_conf_state(&members)?;
        self.group.purge(1, &1_u64.to_le_bytes()).map_err(other)?;
        let state = HardState { term: 1, commit: 1, ..HardState::default() };
        self.group.put(HARD_STATE, &bytes_of(&state)?).map_err(other)?.wait().map_err(other)?;
        Ok(())
    }

    /// Writes what a node is ready with: a snapshot, entries, its hard state, in this order. When the ticket says that they are durable,
    /// call [`on_persist_ready`](raft::RawNode::on_persist_ready) with the number of `ready`, and send its
    /// [`persisted_messages`](raft::Ready::persisted_messages). Where `ready` brings a snapshot, do so at once, and call
    /// [`advance_apply_to`](raft::RawNode::advance_apply_to) with its index, before the node is stepped or ticks: its entries are gone
    /// already, and a node that has not applied the snapshot may ask for them, and panic. The ticket of a `ready` that has nothing to write is for those before it.
    ///
    /// # Errors
    ///
    /// [`StorageError::Other`]; the node must stop then, because some of it may be written.
    pub fn persist(&self, ready: &Ready) -> Result<Ticket> {
        if !ready.snapshot().is_empty() {
            self.install(ready.snapshot())?;
        }
        let mut ticket = self.append(ready.entries())?;
        if let Some(state) = ready.hs() {
            // Behind the entries, so that no crash leaves it saying that more is committed than there is.
            ticket = self.group.put(HARD_STATE, &bytes_of(state)?).map_err(other)?;
        }
        Ok(ticket)
    }

    /// Appends entries, in place of those of the same numbers and above.
    ///
    /// # Errors
    ///
    /// [`StorageError::Other`].
    pub fn append(&self, entries: &[Entry]) -> Result<Ticket> {
        let bytes = entries.iter().map(bytes_of).collect::<Result<Vec<_>>>()?;
        let slices: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
        let mut terms = self.lock();
        let ticket = self.group.append(entries.first().map_or(0, |entry| entry.index), &slices).map_err(other)?;
        entries.iter().for_each(|entry| terms.append(entry.index, entry.term));
        Ok(ticket)
    }

    /// Notes who the members are, after a change of them was applied.
    ///
    /// # Errors
    ///
    /// [`StorageError::Other`].
    pub fn set_conf_state(&self, members: &ConfState) -> Result<Ticket> {
        self.group.put(CONF_STATE, &bytes_of(members)?).map_err(other)
    }

    /// Keeps a snapshot that the application has made, to be sent to those who need entries that are gone.
    ///
    /// # Errors
    ///
    /// [`StorageError::SnapshotOutOfDate`] if there is a later one, [`StorageError::Other`].
    pub fn set_snapshot(&self, snapshot: &Snapshot) -> Result<Ticket> {
        let before: Snapshot = self.value(SNAPSHOT)?;
        if before.get_metadata().index > snapshot.get_metadata().index {
            return Err(Error::Store(StorageError::SnapshotOutOfDate));
        }
        self.group.put(SNAPSHOT, &bytes_of(snapshot)?).map_err(other)
    }

    /// Gives up the entries up to this one, which must have been applied. Segments that no group needs are freed, after a sync or two.
    ///
    /// # Errors
    ///
    /// [`StorageError::Compacted`] if they are gone, [`StorageError::Unavailable`] if there is no such entry yet,
    /// [`StorageError::Other`].
    pub fn compact(&self, upto: u64) -> Result<Ticket> {
        let term = self.term(upto)?;
        let mut terms = self.lock();
        let ticket = self.group.purge(upto, &term.to_le_bytes()).map_err(other)?;
        terms.purge(upto);
        Ok(ticket)
    }

    /// The group.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Begins anew with a snapshot of another node.
    fn install(&self, snapshot: &Snapshot) -> Result<()> {
        // First of all: what follows is done again by an opening that finds this alone.
        self.group.put(SNAPSHOT, &bytes_of(snapshot)?).map_err(other)?;
        self.begin_at(snapshot)
    }

    fn begin_at(&self, snapshot: &Snapshot) -> Result<()> {
        let at = snapshot.get_metadata();
        self.set_conf_state(at.get_conf_state())?;
        let mut terms = self.lock();
        self.group.purge(at.index, &at.term.to_le_bytes()).map_err(other)?;
        self.group.truncate(0).map_err(other)?;
        terms.truncate(0);
        Ok(())
    }

    /// The number and the term of the last entry that is gone.
    fn purged(&self) -> (u64, u64) {
        let purged = self.group.state().purged;
        purged.map_or((0, 0), |purged| {
            let term = <[u8; 8]>::try_from(&purged.bytes[..]).map_or(0, u64::from_le_bytes);
            (purged.index, term)
        })
    }

    fn value<T: Message + Default>(&self, key: u8) -> Result<T> {
        let bytes = self.group.get(key);
        bytes.map_or_else(|| Ok(T::default()), |bytes| T::parse_from_bytes(&bytes).map_err(other))
    }

    fn lock(&self) -> MutexGuard<'_, Terms> {
        self.terms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn decode(bytes: &[u8]) -> Result<Entry> {
    Entry::parse_from_bytes(bytes).map_err(other)
}

impl Storage for LogStore {
    fn initial_state(&self) -> Result<RaftState> {
        let mut hard_state: HardState = self.value(HARD_STATE)?;
        // A crash may have come between a snapshot and the hard state that went with it: what is in a snapshot is committed.
        let (index, term) = self.purged();
        hard_state.commit = hard_state.commit.max(index);
        if hard_state.term < term {
            (hard_state.term, hard_state.vote) = (term, 0);
        }
        Ok(RaftState { hard_state, conf_state: self.value(CONF_STATE)? })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        if low < self.first_index()? {
            return Err(Error::Store(StorageError::Compacted));
        }
        if high > self.last_index()? + 1 {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let max_bytes = max_size.into().map_or(usize::MAX, |size| usize::try_from(size).unwrap_or(usize::MAX));
        let found = self.group.entries_within(low..high, max_bytes).map_err(other)?;
        if found.first().is_none_or(|(index, _)| *index != low) && low < high {
            // Compacted since it was looked.
            return Err(Error::Store(StorageError::Compacted));
        }
        found.iter().map(|(_, bytes)| decode(bytes)).collect()
    }

    fn term(&self, index: u64) -> Result<u64> {
        let terms = self.lock();
        let (purged, term) = self.purged();
        if index == purged {
            return Ok(term);
        }
        if index < purged {
            return Err(Error::Store(StorageError::Compacted));
        }
        let last = self.group.state().last.unwrap_or(purged);
        let found = if index <= last { terms.of(index) } else { None };
        found.ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.purged().0 + 1)
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.group.state().last.unwrap_or_else(|| self.purged().0))
    }

    /// The last snapshot that was [set](LogStore::set_snapshot) or installed, if it is as new as is asked for.
    fn snapshot(&self, request_index: u64, _to: u64) -> Result<Snapshot> {
        let snapshot: Snapshot = self.value(SNAPSHOT)?;
        let index = snapshot.get_metadata().index;
        if index == 0 || index < request_index || index < self.purged().0 {
            return Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        Ok(snapshot)
    }
}
