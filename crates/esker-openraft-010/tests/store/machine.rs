//! A state machine in memory, as small as openraft allows: it keeps what was applied, and one snapshot.

use std::{
    io::{self, Cursor},
    sync::{Arc, Mutex},
};

use futures::{Stream, TryStreamExt};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder,
    alias::{LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf},
    storage::{EntryResponder, RaftStateMachine},
};
use serde::{Deserialize, Serialize};

use crate::Types;

type LogId = LogIdOf<Types>;
type Membership = StoredMembershipOf<Types>;
type Meta = SnapshotMetaOf<Types>;
type Snapshot = SnapshotOf<Types, Cursor<Vec<u8>>>;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State {
    applied: Option<LogId>,
    membership: Membership,
    texts: Vec<String>,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    snapshot: Option<(Meta, Vec<u8>)>,
}

/// The state machine; clones are handles on the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine(Arc<Mutex<Inner>>);

impl Machine {
    #[allow(dead_code, reason = "not every test asks")]
    pub(crate) fn texts(&self) -> Vec<String> {
        self.0.lock().unwrap().state.texts.clone()
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    type SnapshotData = Cursor<Vec<u8>>;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let mut inner = self.0.lock().unwrap();
        let bytes = serde_json::to_vec(&inner.state).unwrap();
        let meta = Meta { last_log_id: inner.state.applied, last_membership: inner.state.membership.clone() };
        inner.snapshot = Some((meta.clone(), bytes.clone()));
        Ok(Snapshot { meta, snapshot: Cursor::new(bytes) })
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = Cursor<Vec<u8>>;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), io::Error> {
        let inner = self.0.lock().unwrap();
        Ok((inner.state.applied, inner.state.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let state = &mut self.0.lock().unwrap().state;
            state.applied = Some(entry.log_id);
            match entry.payload {
                EntryPayload::Blank => (),
                EntryPayload::Normal(text) => state.texts.push(text),
                EntryPayload::Membership(membership) => {
                    state.membership = Membership::new(Some(entry.log_id), membership);
                }
            }
            if let Some(responder) = responder {
                responder.send(String::new());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &Meta, snapshot: Cursor<Vec<u8>>) -> Result<(), io::Error> {
        let bytes = snapshot.into_inner();
        let state = serde_json::from_slice(&bytes)?;
        *self.0.lock().unwrap() = Inner { state, snapshot: Some((meta.clone(), bytes)) };
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let inner = self.0.lock().unwrap();
        let snapshot = inner.snapshot.clone();
        Ok(snapshot.map(|(meta, bytes)| Snapshot { meta, snapshot: Cursor::new(bytes) }))
    }
}
