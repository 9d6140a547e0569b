//! All groups, and the log that they share.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use esker_log::{Log, Lsn, Options, storage::Storage};

use crate::{Error, Group, group::Entries, record::Record};

/// The logs of many Raft groups.
#[derive(Debug)]
pub struct RaftLog {
    shared: Arc<Shared>,
}

/// What all groups share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) log: Log,
    groups: RwLock<BTreeMap<u64, Arc<Mutex<Entries>>>>,
    /// Held by whoever frees segments.
    freeing: Mutex<()>,
}

/// A group that needs something old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pin {
    /// Which group.
    pub group: u64,
    /// Where its oldest entry is.
    pub lsn: Lsn,
    /// How much of the log lies behind it, in bytes: what it takes that all groups purge up to their ends, but this one.
    pub bytes: u64,
}

impl RaftLog {
    /// Opens the log, or creates it, and reads all of it to find out what each group has.
    ///
    /// # Errors
    ///
    /// [`Error::Log`] with what opening a log may meet; [`Error::Damaged`].
    pub fn open(storage: Arc<dyn Storage>, options: Options) -> Result<Self, Error> {
        let log = Log::open(storage, options)?;
        let mut groups: BTreeMap<u64, Entries> = BTreeMap::new();
        let mut records = log.iter_from(log.floor())?;
        while let Some(record) = records.next_record() {
            let record = record?;
            let lsn = record.lsn();
            let damaged = |reason| Error::Damaged { lsn, reason };
            let (group, record) = Record::decode(record.payload()).ok_or(damaged("no record of a Raft log"))?;
            groups.entry(group).or_default().apply(lsn, record).map_err(damaged)?;
        }
        drop(records);
        groups.retain(|_, entries| !entries.is_over);
        let groups = groups.into_iter().map(|(id, entries)| (id, Arc::new(Mutex::new(entries)))).collect();
        Ok(Self { shared: Arc::new(Shared { log, groups: RwLock::new(groups), freeing: Mutex::new(()) }) })
    }

    /// A group, which may have nothing yet.
    #[must_use]
    pub fn group(&self, id: u64) -> Group {
        self.shared.group(id)
    }

    /// The groups that have something, or were asked for, in ascending order.
    #[must_use]
    pub fn groups(&self) -> Vec<u64> {
        let groups = self.shared.groups.read().unwrap_or_else(PoisonError::into_inner);
        groups.keys().copied().collect()
    }

    /// Which groups have old entries, those with the oldest first: these keep segments from being freed, and are to be purged,
    /// or given a snapshot.
    #[must_use]
    pub fn pins(&self) -> Vec<Pin> {
        let end = self.shared.log.end_lsn();
        let mut pins: Vec<Pin> = self
            .shared
            .all()
            .into_iter()
            .filter_map(|group| {
                let lsn = group.entries.lock().unwrap_or_else(PoisonError::into_inner).oldest_entry()?;
                Some(Pin { group: group.id, lsn, bytes: end - lsn })
            })
            .collect();
        pins.sort_by_key(|pin| pin.lsn);
        pins
    }

    /// The log that all groups share. Whoever appends to it or truncates it breaks what is kept there.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.shared.log
    }

    /// Makes everything durable.
    ///
    /// # Errors
    ///
    /// [`Error::Log`].
    pub fn flush(&self) -> Result<(), Error> {
        self.shared.log.flush()?;
        Ok(())
    }
}

impl Shared {
    pub(crate) fn group(self: &Arc<Self>, id: u64) -> Group {
        let known = self.groups.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        let entries = known.unwrap_or_else(|| {
            let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
            groups.entry(id).or_default().clone()
        });
        Group { shared: self.clone(), id, entries }
    }

    fn all(self: &Arc<Self>) -> Vec<Group> {
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        groups.iter().map(|(&id, entries)| Group { shared: self.clone(), id, entries: entries.clone() }).collect()
    }

    /// Gives up the segments that hold nothing that a group needs.
    pub(crate) fn free(self: &Arc<Self>) -> Result<(), Error> {
        let _one_at_a_time = self.freeing.lock().unwrap_or_else(PoisonError::into_inner);
        let segment_bytes = self.log.segment_bytes();
        let groups = self.all();
        // What is appended from here on lies behind the end, and so do values that are written anew.
        let end = self.log.end_lsn();
        let oldest = groups
            .iter()
            .filter_map(|group| group.entries.lock().unwrap_or_else(PoisonError::into_inner).oldest_entry());
        let floor = oldest.min().unwrap_or(end).segment_base(segment_bytes);
        if floor <= self.log.floor().segment_base(segment_bytes) {
            return Ok(());
        }
        groups.iter().try_for_each(|group| group.move_values(floor))?;
        // R3: what says that the entries below are gone, and the values that were moved out of there.
        self.log.flush()?;
        self.log.truncate_before(floor)?;
        Ok(())
    }
}
