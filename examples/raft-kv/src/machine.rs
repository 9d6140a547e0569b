//! The state machine: a map in memory, and its snapshot in a page store.
//!
//! What was applied since the snapshot is in the Raft log, which says what is committed, and is applied again after a restart.

use std::{
    collections::BTreeMap,
    io::Cursor,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use esker_openraft::raftlog::{Codec, Postcard};
use esker_pages::{Batch, Options, Store, storage::FileStorage};
use openraft::{
    AnyError, BasicNode, Entry, EntryPayload, LogId, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta,
    StorageError, StorageIOError, StoredMembership, storage::RaftStateMachine,
};
use serde::{Deserialize, Serialize};

use crate::{Types, protocol::Change};

/// The name under which the page store has the snapshot.
const SNAPSHOT: &str = "snapshot";

type Failed = StorageError<u64>;
type Meta = SnapshotMeta<u64, BasicNode>;

/// What a snapshot consists of.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State {
    applied: Option<LogId<u64>>,
    membership: StoredMembership<u64, BasicNode>,
    values: BTreeMap<String, String>,
}

/// The state machine; clones are handles on the same.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    state: Arc<Mutex<State>>,
    pages: Arc<Store>,
}

fn failed(error: impl std::error::Error + 'static) -> Failed {
    StorageIOError::write_state_machine(AnyError::new(&error)).into()
}

impl Machine {
    /// The state as of the last snapshot.
    pub(crate) fn open(dir: &Path) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let pages = Store::open(Arc::new(FileStorage::create(dir)?), Options::new())?;
        let machine = Self { state: Arc::default(), pages: Arc::new(pages) };
        if let Some((_, bytes)) = machine.saved()? {
            *machine.lock() = Postcard::decode(&bytes)?;
        }
        Ok(machine)
    }

    pub(crate) fn get(&self, key: &str) -> Option<String> {
        self.lock().values.get(key).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The snapshot that was saved last: a page that holds what is said of it and the state, as it is sent.
    fn saved(&self) -> Result<Option<(Meta, Vec<u8>)>, Failed> {
        let Some(page) = self.pages.root(SNAPSHOT).map_err(failed)? else { return Ok(None) };
        let page = self.pages.get(page).map_err(failed)?;
        page.map(|page| Postcard::decode(&page.content).map_err(failed)).transpose()
    }

    /// Saves a snapshot in place of the one before; returns when it is durable.
    fn save(&self, meta: &Meta, bytes: &[u8]) -> Result<(), Failed> {
        let content = Postcard::encode(&(meta, bytes)).map_err(failed)?;
        let mut batch = Batch::new();
        match self.pages.root(SNAPSHOT).map_err(failed)? {
            Some(page) => batch.replace(page, self.pages.version(page), content),
            None => {
                let page = self.pages.allocate().map_err(failed)?;
                batch.replace(page, None, content).set_root(SNAPSHOT, None, Some(page))
            }
        };
        self.pages.apply(&batch).map_err(failed)?;
        self.pages.flush().map_err(failed)
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, Failed> {
        let state = self.lock().clone();
        let bytes = Postcard::encode(&state).map_err(failed)?;
        let meta = SnapshotMeta {
            last_log_id: state.applied,
            last_membership: state.membership,
            snapshot_id: state.applied.map_or_else(String::new, |id| id.to_string()),
        };
        self.save(&meta, &bytes)?;
        Ok(Snapshot { meta, snapshot: Box::new(Cursor::new(bytes)) })
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId<u64>>, StoredMembership<u64, BasicNode>), Failed> {
        let state = self.lock();
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>, Failed>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let state = &mut *self.lock();
        let applied = entries.into_iter().map(|entry| {
            state.applied = Some(entry.log_id);
            match entry.payload {
                EntryPayload::Blank => (),
                EntryPayload::Normal(Change::Nothing) => (),
                EntryPayload::Normal(Change::Put { key, value }) => drop(state.values.insert(key, value)),
                EntryPayload::Membership(membership) => {
                    state.membership = StoredMembership::new(Some(entry.log_id), membership);
                }
            }
        });
        Ok(applied.collect())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, Failed> {
        Ok(Box::default())
    }

    async fn install_snapshot(&mut self, meta: &Meta, snapshot: Box<Cursor<Vec<u8>>>) -> Result<(), Failed> {
        let bytes = snapshot.into_inner();
        let state = Postcard::decode(&bytes).map_err(failed)?;
        self.save(meta, &bytes)?;
        *self.lock() = state;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, Failed> {
        Ok(self.saved()?.map(|(meta, bytes)| Snapshot { meta, snapshot: Box::new(Cursor::new(bytes)) }))
    }
}
