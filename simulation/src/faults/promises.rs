//! What was appended and what was promised, and whether it was kept.

use std::collections::BTreeMap;

use esker_log::{Error, Lsn, Record};

pub(crate) type Records = BTreeMap<Lsn, Vec<u8>>;

/// What may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Only what was not acknowledged.
    Unacknowledged,
    /// Also what was, from here on: it looks like what was in flight, because no mark says otherwise.
    From(Lsn),
    /// Anything, since damage was told.
    Anything,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Promises {
    records: Records,
    /// Payloads of calls that failed: nobody knows where they are, if they are.
    unplaced: Vec<Vec<u8>>,
    /// Everything below was acknowledged as durable.
    pub(crate) stable: Lsn,
    /// The floor that a truncation returned, and the highest that one was asked for.
    floor: Lsn,
    floor_tried: Lsn,
    /// Whether the log was ever opened.
    pub(crate) created: bool,
}

impl Promises {
    pub(crate) fn place(&mut self, lsn: Lsn, payload: Vec<u8>) {
        self.records.insert(lsn, payload);
    }

    pub(crate) fn leave_unplaced(&mut self, payload: Vec<u8>) {
        self.unplaced.push(payload);
    }

    pub(crate) fn acknowledge(&mut self, stable: Lsn) {
        self.stable = self.stable.max(stable);
    }

    pub(crate) fn truncating(&mut self, lsn: Lsn) {
        self.floor_tried = self.floor_tried.max(lsn);
    }

    pub(crate) fn truncated(&mut self, floor: Lsn) {
        self.floor = self.floor.max(floor);
        self.acknowledge(floor);
    }

    /// The records that have to be there.
    pub(crate) fn acknowledged(&self) -> Records {
        let from = self.floor.max(self.floor_tried);
        self.records.range(from..self.stable.max(from)).map(|(&lsn, payload)| (lsn, payload.clone())).collect()
    }

    /// What is wrong with these records of a log that begins at `floor`.
    pub(crate) fn judge(&self, floor: Lsn, found: &Records, missing: Missing) -> Vec<String> {
        let mut wrong = Vec::new();
        let floor_max = self.floor.max(self.floor_tried);
        if missing != Missing::Anything && (floor < self.floor || floor > floor_max) {
            wrong.push(format!("the floor is {floor}, promised were {} to {floor_max}", self.floor));
        }
        for (lsn, payload) in found {
            match self.records.get(lsn) {
                Some(appended) if appended == payload => (),
                Some(_) => wrong.push(format!("altered: lsn {lsn} has another payload")),
                None if self.unplaced.contains(payload) => (),
                None => wrong.push(format!("phantom: nothing was appended at lsn {lsn}")),
            }
        }
        let end = found.last_key_value().map_or(Lsn::ZERO, |(&lsn, _)| lsn + 1);
        for &lsn in self.records.keys().filter(|&&lsn| lsn >= floor && !found.contains_key(&lsn)) {
            let excused = match missing {
                Missing::Unacknowledged => false,
                Missing::From(from) => lsn >= from,
                Missing::Anything => true,
            };
            if lsn < self.stable && !excused {
                wrong.push(format!("lost: lsn {lsn} was acknowledged, up to {}", self.stable));
            } else if lsn < end && !excused {
                wrong.push(format!("hole: lsn {lsn} is missing before a record that is there"));
            }
        }
        wrong
    }

    /// After a recovery that found these records and ended at `end`: there is nothing else any more.
    pub(crate) fn recovered(&mut self, floor: Lsn, found: Records, end: Lsn) {
        let below = self.records.range(..floor).map(|(&lsn, payload)| (lsn, payload.clone()));
        self.records = below.chain(found).collect();
        self.stable = end;
    }
}

/// All records, and what went wrong while they were read.
pub(crate) fn collect(records: impl Iterator<Item = Result<Record, Error>>) -> (Records, Vec<Error>) {
    let (mut found, mut errors) = (Records::new(), Vec::new());
    for record in records {
        match record {
            Ok(record) => drop(found.insert(record.lsn(), record.into_payload())),
            Err(error) => errors.push(error),
        }
    }
    (found, errors)
}
