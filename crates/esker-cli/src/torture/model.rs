//! What a log must hold.
//!
//! Owns what was promised so far, and the comparison with what was found. Refuses processes and files.
//!
//! # Invariants
//!
//! - T1 (acknowledged is there): every record that was acknowledged, or that an earlier look found, is found unless it is
//!   below the floor.
//! - T2 (a prefix): of each writer of each life the records from some counter on are found, without a gap; from zero on,
//!   unless the log was truncated since that life began.
//! - T3 (nothing comes back): what is found and was not known belongs to a life since the last look, and lies where that
//!   life appended.
//! - T4 (the floor was asked for): the log begins at or beyond every floor that truncation returned, and not beyond every
//!   floor it was asked for.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use esker::Lsn;

use super::{record::Identity, said::Said};

/// What was found in a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Where the log begins.
    pub(super) floor: Lsn,
    /// Its records, by rising LSN.
    pub(super) records: Vec<(Lsn, Identity)>,
}

/// What was promised about one log.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    /// Whether an opening for writing has succeeded: from then on there is a log.
    opened: bool,
    /// The records that must be there.
    known: BTreeMap<Lsn, Identity>,
    /// Where the lives since the last look began to append.
    begun: BTreeMap<u32, Lsn>,
    /// The highest floor that truncation returned.
    floor: Lsn,
    /// The highest floor that it was asked for.
    floor_asked: Lsn,
}

impl Model {
    /// Takes in what the child with this life has said.
    pub(super) fn hear(&mut self, life: u32, said: &Said) {
        match *said {
            Said::Open { end, floor } => {
                self.opened = true;
                self.begun.insert(life, end);
                self.promise_floor(floor);
            }
            Said::Ack { writer, counter, lsn } => {
                self.known.insert(lsn, Identity { life, writer, counter });
            }
            Said::Ask(lsn) => self.floor_asked = self.floor_asked.max(lsn),
            Said::Cut(lsn) => self.promise_floor(lsn),
            _ => (),
        }
    }

    fn promise_floor(&mut self, floor: Lsn) {
        self.floor = self.floor.max(floor);
        // What lies below cannot be asked for any more.
        if self.known.first_key_value().is_some_and(|(&lsn, _)| lsn < floor) {
            self.known = self.known.split_off(&floor);
        }
    }

    /// Whether there must be a log.
    pub(super) fn opened(&self) -> bool {
        self.opened
    }

    /// The record that must be there with the highest LSN.
    pub(super) fn last_known(&self) -> Option<Lsn> {
        self.known.last_key_value().map(|(&lsn, _)| lsn)
    }

    /// Compares what was found with what was promised. An error is the violation in words.
    pub(super) fn check(&self, found: &Found) -> Result<(), String> {
        let floor_max = self.floor.max(self.floor_asked);
        if found.floor < self.floor || found.floor > floor_max {
            return Err(format!(
                "the log begins at lsn {}; truncation had returned {}, and was asked for {floor_max} at most",
                found.floor, self.floor
            ));
        }
        self.check_known(found)?;
        self.check_new(found)
    }

    /// T1.
    fn check_known(&self, found: &Found) -> Result<(), String> {
        let mut records = found.records.iter().peekable();
        for (&lsn, &identity) in self.known.range(found.floor..) {
            while records.next_if(|&&(at, _)| at < lsn).is_some() {}
            match records.peek() {
                Some(&&(at, other)) if at == lsn && other == identity => (),
                Some(&&(at, other)) if at == lsn => {
                    return Err(format!("at lsn {lsn} there is {other}, and {identity} was acknowledged there"));
                }
                _ => return Err(format!("{identity} is missing at lsn {lsn}, where it was acknowledged or seen")),
            }
        }
        Ok(())
    }

    /// T2 and T3.
    fn check_new(&self, found: &Found) -> Result<(), String> {
        let mut next: BTreeMap<(u32, u32), u64> = BTreeMap::new();
        let mut last = None;
        for &(lsn, identity) in &found.records {
            if lsn < found.floor || last >= Some(lsn) {
                return Err(format!("{identity} is returned at lsn {lsn}, out of order"));
            }
            last = Some(lsn);
            let Identity { life, writer, counter } = identity;
            let Some(&begin) = self.begun.get(&life) else {
                if self.known.get(&lsn) == Some(&identity) {
                    continue;
                }
                return Err(format!(
                    "{identity} is at lsn {lsn}, and was not there at an earlier look or never opened a log"
                ));
            };
            if lsn < begin {
                return Err(format!("{identity} is at lsn {lsn}, and its life began to append at {begin}"));
            }
            let expected = next.entry((life, writer)).or_insert(if found.floor > begin { counter } else { 0 });
            if *expected != counter {
                return Err(format!(
                    "{identity} is at lsn {lsn}, and record {expected} of that writer should come next"
                ));
            }
            *expected += 1;
        }
        Ok(())
    }

    /// Makes what was found, and is final, what must be there.
    pub(super) fn adopt(&mut self, found: Found) {
        self.floor = found.floor;
        self.floor_asked = found.floor;
        self.begun.clear();
        self.known = found.records.into_iter().collect();
    }
}
