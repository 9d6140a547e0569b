//! Each case of openraft's own storage suite as a test of its own, once for each codec: on files with JSON, in memory with
//! postcard.

use std::sync::Arc;

use esker_openraft::{
    LogStore,
    raftlog::{
        Codec, Json, Postcard, RaftLog,
        log::storage::{FileStorage, MemStorage, Storage},
    },
};
use openraft::{
    StorageError,
    testing::{StoreBuilder, Suite},
};
use tempfile::TempDir;

use crate::{Types, machine::Machine, open};

/// What has to live as long as a store.
type Guard = (RaftLog, Option<TempDir>);

struct InFiles;
struct InMemory;

fn store<K>(storage: Arc<dyn Storage>, dir: Option<TempDir>) -> (Guard, LogStore<Types, K>, Machine) {
    let logs = open(storage);
    let store = LogStore::new(logs.group(1));
    ((logs, dir), store, Machine::default())
}

impl StoreBuilder<Types, LogStore<Types, Json>, Machine, Guard> for InFiles {
    async fn build(&self) -> Result<(Guard, LogStore<Types, Json>, Machine), Failed> {
        let dir = TempDir::new().unwrap();
        Ok(store(Arc::new(FileStorage::open(dir.path()).unwrap()), Some(dir)))
    }
}

impl StoreBuilder<Types, LogStore<Types, Postcard>, Machine, Guard> for InMemory {
    async fn build(&self) -> Result<(Guard, LogStore<Types, Postcard>, Machine), Failed> {
        Ok(store(Arc::new(MemStorage::default()), None))
    }
}

type Failed = StorageError<u64>;
type Cases<K, B> = Suite<Types, LogStore<Types, K>, Machine, B, Guard>;

async fn run<K: Codec, B, F, E>(builder: B, case: impl FnOnce(LogStore<Types, K>, Machine) -> F)
where
    B: StoreBuilder<Types, LogStore<Types, K>, Machine, Guard>,
    F: Future<Output = Result<(), E>>,
    E: std::fmt::Debug,
{
    let (_guard, store, machine) = builder.build().await.unwrap();
    case(store, machine).await.unwrap();
}

macro_rules! suite {
    ($module:ident, $codec:ident, $builder:ident, $($case:ident)*) => {
        mod $module {
            use super::*;

            $(
                #[tokio::test]
                async fn $case() {
                    run($builder, Cases::<$codec, $builder>::$case).await;
                }
            )*

            #[tokio::test]
            async fn transfer_snapshot() {
                Cases::<$codec, $builder>::transfer_snapshot(&$builder).await.unwrap();
            }
        }
    };
}

macro_rules! both {
    ($($case:ident)*) => {
        suite!(json_in_files, Json, InFiles, $($case)*);
        suite!(postcard_in_memory, Postcard, InMemory, $($case)*);
    };
}

both! {
    last_membership_in_log_initial
    last_membership_in_log
    last_membership_in_log_multi_step
    get_membership_initial
    get_membership_from_log_and_empty_sm
    get_membership_from_empty_log_and_sm
    get_membership_from_log_le_sm_last_applied
    get_membership_from_log_gt_sm_last_applied_1
    get_membership_from_log_gt_sm_last_applied_2
    get_initial_state_without_init
    get_initial_state_membership_from_log_and_sm
    get_initial_state_with_state
    get_initial_state_last_log_gt_sm
    get_initial_state_last_log_lt_sm
    get_initial_state_log_ids
    get_initial_state_re_apply_committed
    save_vote
    get_log_entries
    limited_get_log_entries
    try_get_log_entry
    initial_logs
    get_log_state
    get_log_id
    last_id_in_log
    last_applied_state
    purge_logs_upto_0
    purge_logs_upto_5
    purge_logs_upto_20
    delete_logs_since_11
    delete_logs_since_0
    append_to_log
    snapshot_meta
    apply_single
    apply_multiple
}
