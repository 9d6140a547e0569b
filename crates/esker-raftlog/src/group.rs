//! One group: what it has, and what can be done to it.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::{Bound, RangeBounds},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use esker_log::{Lsn, Ticket};

use crate::{Error, record::Record, store::Shared};

/// A Raft group's part of the log. Cloning it gives another handle on the same.
///
/// What is done to a group is done in the order of the calls; reading may go on meanwhile.
#[derive(Clone, Debug)]
pub struct Group {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: u64,
    pub(crate) entries: Arc<Mutex<Entries>>,
}

/// What a group has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupState {
    /// The number of the first entry, if there is any.
    pub first: Option<u64>,
    /// The number of the last entry, if there is any.
    pub last: Option<u64>,
    /// Up to where entries were purged, if any were.
    pub purged: Option<Purged>,
}

/// What was purged last.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Purged {
    /// The number of the last entry that is gone.
    pub index: u64,
    /// What was said of it.
    pub bytes: Vec<u8>,
}

/// The index of a group.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// The number of the first of `places`.
    first: u64,
    /// Where each entry is, in ascending order.
    places: VecDeque<Lsn>,
    purged: Option<(Lsn, Purged)>,
    values: BTreeMap<u8, (Lsn, Vec<u8>)>,
    /// The last record of the group since the log was opened.
    latest: Option<Lsn>,
    /// Whether the group has come to its end.
    pub(crate) is_over: bool,
}

impl Entries {
    fn end(&self) -> u64 {
        self.first + self.places.len() as u64
    }

    /// Does what a record says.
    pub(crate) fn apply(&mut self, lsn: Lsn, record: Record<'_>) -> Result<(), &'static str> {
        match record {
            Record::Entry { index, .. } => {
                if self.is_purged(index) {
                    return Err("an entry that was purged before");
                }
                if self.places.is_empty() {
                    self.first = index;
                }
                if index > self.end() {
                    return Err("an entry behind a gap");
                }
                self.truncate(index);
                if self.places.is_empty() {
                    self.first = index;
                }
                self.places.push_back(lsn);
            }
            Record::Value { key, bytes } => drop(self.values.insert(key, (lsn, bytes.to_vec()))),
            Record::Truncation { index } => self.truncate(index),
            // Nothing that was purged comes back.
            Record::Purge { index, .. } if self.purged.as_ref().is_some_and(|(_, purged)| index < purged.index) => (),
            Record::Purge { index, bytes } => {
                let gone = index.saturating_add(1).saturating_sub(self.first).min(self.places.len() as u64);
                self.places.drain(..gone as usize);
                self.first += gone;
                self.purged = Some((lsn, Purged { index, bytes: bytes.to_vec() }));
            }
            Record::End => *self = Self { is_over: true, ..Self::default() },
        }
        Ok(())
    }

    fn truncate(&mut self, index: u64) {
        let kept = index.saturating_sub(self.first).min(self.places.len() as u64);
        self.places.truncate(kept as usize);
    }

    /// Whether an entry of this number would be gone already.
    fn is_purged(&self, index: u64) -> bool {
        self.purged.as_ref().is_some_and(|(_, purged)| index <= purged.index)
    }

    /// Where the oldest entry is.
    pub(crate) fn oldest_entry(&self) -> Option<Lsn> {
        self.places.front().copied()
    }

    /// What lies before `lsn` and is not an entry, to be written anew.
    pub(crate) fn values_before(&self, lsn: Lsn) -> Vec<(Option<u8>, Purged)> {
        let values = self.values.iter().filter(|(_, (at, _))| *at < lsn);
        let values = values.map(|(&key, (_, bytes))| (Some(key), Purged { index: 0, bytes: bytes.clone() }));
        let purged = self.purged.iter().filter(|(at, _)| *at < lsn).map(|(_, purged)| (None, purged.clone()));
        values.chain(purged).collect()
    }

    fn place(&self, index: u64) -> Option<Lsn> {
        self.places.get(usize::try_from(index.checked_sub(self.first)?).ok()?).copied()
    }
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group's number.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What the group has.
    #[must_use]
    pub fn state(&self) -> GroupState {
        let entries = self.lock();
        let last = entries.end().checked_sub(1).filter(|_| !entries.places.is_empty());
        GroupState {
            first: last.map(|_| entries.first),
            last,
            purged: entries.purged.as_ref().map(|(_, purged)| purged.clone()),
        }
    }

    /// Appends entries, the first of which has number `first`, and returns what it can be waited for with that they are durable.
    /// They can be read at once. Entries of these numbers and above that were there are gone. Where there are none, the first
    /// may have any number. What has the number of a purged entry is passed over: it is gone already.
    /// Where there is nothing to append, the ticket is for what was done to the group before.
    ///
    /// # Errors
    ///
    /// [`Error::Gap`] if the group ends before `first`. [`Error::Log`]; some of the entries may have been appended then, in
    /// order.
    pub fn append(&self, first: u64, entries: &[&[u8]]) -> Result<Ticket, Error> {
        let mut index = self.lock();
        if !index.places.is_empty() && first > index.end() {
            return Err(Error::Gap { group: self.id, index: first, expected: index.end() });
        }
        let mut last = None;
        for (index_of_entry, bytes) in (first..).zip(entries) {
            if index.is_purged(index_of_entry) {
                continue;
            }
            last = Some(self.write(&mut index, Record::Entry { index: index_of_entry, bytes })?);
        }
        // Where nothing is appended, whoever waits does so for what came before; or, where there is nothing, for a
        // record that changes nothing.
        let last = match last.or(index.latest) {
            Some(last) => last,
            None => self.write(&mut index, Record::Truncation { index: u64::MAX })?,
        };
        Ok(self.shared.log.ticket(last))
    }

    /// Gives up all entries from this number on.
    ///
    /// # Errors
    ///
    /// [`Error::Log`]: nothing was done.
    pub fn truncate(&self, from: u64) -> Result<Ticket, Error> {
        self.write_and_wait(Record::Truncation { index: from })
    }

    /// Gives up all entries up to this number, which there need not be, and notes `bytes` of the last of them: its term, say.
    /// Segments that no group needs any more are freed, which makes everything durable first.
    ///
    /// # Errors
    ///
    /// [`Error::Log`].
    pub fn purge(&self, upto: u64, bytes: &[u8]) -> Result<Ticket, Error> {
        let ticket = self.write_and_wait(Record::Purge { index: upto, bytes })?;
        self.shared.free()?;
        Ok(ticket)
    }

    /// Sets a value: a vote, what is committed, or whatever there is one of.
    ///
    /// # Errors
    ///
    /// [`Error::Log`]: nothing was done.
    pub fn put(&self, key: u8, bytes: &[u8]) -> Result<Ticket, Error> {
        self.write_and_wait(Record::Value { key, bytes })
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: u8) -> Option<Vec<u8>> {
        self.lock().values.get(&key).map(|(_, bytes)| bytes.clone())
    }

    /// Those entries of a range that there are, with their numbers, as they were at one moment.
    ///
    /// # Errors
    ///
    /// [`Error::Log`]: damage, I/O.
    pub fn entries(&self, range: impl RangeBounds<u64>) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        self.entries_within(range, usize::MAX)
    }

    /// As [`entries`](Group::entries), but no more of them than `max_bytes` hold; the first in any case.
    ///
    /// # Errors
    ///
    /// As [`entries`](Group::entries).
    pub fn entries_within(&self, range: impl RangeBounds<u64>, max_bytes: usize) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let from = match range.start_bound() {
            Bound::Included(&from) => from,
            Bound::Excluded(&from) => from.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(&to) => to.saturating_add(1),
            Bound::Excluded(&to) => to,
            Bound::Unbounded => u64::MAX,
        };
        loop {
            let places: Vec<(u64, Lsn)> = {
                let entries = self.lock();
                let (from, to) = (from.max(entries.first), to.min(entries.end()));
                (from..to).filter_map(|index| Some((index, entries.place(index)?))).collect()
            };
            match self.read_within(&places, max_bytes) {
                // Purged, and its segment freed, since the places were looked up.
                Err(Error::Log(esker_log::Error::Truncated { .. })) => (),
                outcome => return outcome,
            }
        }
    }

    fn read_within(&self, places: &[(u64, Lsn)], max_bytes: usize) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let (mut found, mut bytes) = (Vec::new(), 0_usize);
        for &(index, lsn) in places {
            let entry = self.read(index, lsn)?;
            bytes = bytes.saturating_add(entry.1.len());
            if bytes > max_bytes && !found.is_empty() {
                break;
            }
            found.push(entry);
        }
        Ok(found)
    }

    /// Ends the group: it has nothing any more, now and after any crash.
    ///
    /// # Errors
    ///
    /// [`Error::Log`].
    pub fn end(&self) -> Result<Ticket, Error> {
        let ticket = self.write_and_wait(Record::End)?;
        self.shared.free()?;
        Ok(ticket)
    }

    fn read(&self, index: u64, lsn: Lsn) -> Result<(u64, Vec<u8>), Error> {
        let record = self.shared.log.read(lsn)?;
        match Record::decode(record.payload()) {
            Some((group, Record::Entry { index: found, bytes })) if (group, found) == (self.id, index) => {
                Ok((index, bytes.to_vec()))
            }
            _ => Err(Error::Damaged { lsn, reason: "another record than the entry that was appended" }),
        }
    }

    fn write_and_wait(&self, record: Record<'_>) -> Result<Ticket, Error> {
        let lsn = self.write(&mut self.lock(), record)?;
        Ok(self.shared.log.ticket(lsn))
    }

    fn write(&self, entries: &mut Entries, record: Record<'_>) -> Result<Lsn, Error> {
        let lsn = self.shared.log.append(&record.encode(self.id))?;
        entries.is_over = false;
        entries.apply(lsn, record).map_err(|reason| Error::Damaged { lsn, reason })?;
        entries.latest = Some(lsn);
        Ok(lsn)
    }

    /// Writes values anew that lie before `lsn`.
    pub(crate) fn move_values(&self, lsn: Lsn) -> Result<(), Error> {
        let mut entries = self.lock();
        for (key, Purged { index, bytes }) in entries.values_before(lsn) {
            let record = match key {
                Some(key) => Record::Value { key, bytes: &bytes },
                None => Record::Purge { index, bytes: &bytes },
            };
            self.write(&mut entries, record)?;
        }
        Ok(())
    }
}
