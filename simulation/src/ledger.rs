//! What was appended and what was promised, noted by those who called.
//!
//! Behind a mutex of the standard library, at which the scheduler does not stop: noting takes no time in a simulation.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use esker_log::Lsn;

pub(crate) type Records = BTreeMap<Lsn, Vec<u8>>;

/// What holds at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Promises {
    /// Everything below was acknowledged as durable.
    pub(crate) stable: Lsn,
    /// The floor that a truncation returned, and the highest that one was asked for.
    pub(crate) floor: Lsn,
    pub(crate) floor_tried: Lsn,
    /// Whether the log was ever opened.
    pub(crate) created: bool,
    /// Whether it was closed in good order, and nobody has opened it since.
    pub(crate) closed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    page: Mutex<Page>,
}

#[derive(Debug, Default)]
struct Page {
    records: Records,
    /// Payloads of calls that did not say under which LSN the record is, if it is there: under way, or failed.
    unplaced: Vec<Vec<u8>>,
    promises: Promises,
}

impl Ledger {
    fn page(&self) -> MutexGuard<'_, Page> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn promises(&self) -> Promises {
        self.page().promises
    }

    /// A record that is, or is going to be, at this LSN.
    pub(crate) fn place(&self, lsn: Lsn, payload: Vec<u8>) {
        self.page().records.insert(lsn, payload);
    }

    /// A record that may be there, nobody knows where.
    pub(crate) fn leave_unplaced(&self, payload: Vec<u8>) {
        self.page().unplaced.push(payload);
    }

    pub(crate) fn acknowledge(&self, stable: Lsn) {
        let promises = &mut self.page().promises;
        promises.stable = promises.stable.max(stable);
    }

    pub(crate) fn opened(&self, floor: Lsn, stable: Lsn) {
        let promises = &mut self.page().promises;
        promises.created = true;
        promises.closed = false;
        promises.floor = promises.floor.max(floor);
        promises.stable = promises.stable.max(stable);
    }

    pub(crate) fn closed(&self, end: Lsn) {
        let promises = &mut self.page().promises;
        promises.closed = true;
        promises.stable = promises.stable.max(end);
    }

    /// The LSN of the n-th record, counted around.
    pub(crate) fn nth(&self, n: u64) -> Option<(Lsn, Vec<u8>)> {
        let page = self.page();
        let count = page.records.len() as u64;
        let (&lsn, payload) = page.records.iter().nth(n.checked_rem(count)? as usize)?;
        Some((lsn, payload.clone()))
    }

    pub(crate) fn truncating(&self, lsn: Lsn) {
        let promises = &mut self.page().promises;
        promises.floor_tried = promises.floor_tried.max(lsn);
    }

    pub(crate) fn truncated(&self, floor: Lsn) {
        let promises = &mut self.page().promises;
        promises.floor = promises.floor.max(floor);
        promises.stable = promises.stable.max(floor);
    }

    /// Whether something else is known to be at this LSN.
    pub(crate) fn contradicts(&self, lsn: Lsn, payload: &[u8]) -> bool {
        self.page().records.get(&lsn).is_some_and(|appended| appended != payload)
    }

    /// Compares what is left with what was promised at a moment. Everything that was appended since is known by now.
    pub(crate) fn judge(&self, floor: Lsn, found: &Records, promises: &Promises) -> Result<(), Violation> {
        let page = self.page();
        // Built without the gates, truncation does not make its floor durable before segments are used again. What matters
        // is then that the loss of what was overwritten is noticed, not that the floor is low.
        let gated = !cfg!(esker_sabotage = "reuse_gate");
        if (gated && floor < promises.floor) || floor > promises.floor.max(promises.floor_tried) {
            return violation(
                "floor",
                format!("it is {floor}, promised were {} to {}", promises.floor, promises.floor_tried),
            );
        }
        let from = if gated { Lsn::ZERO } else { promises.floor };
        for (lsn, payload) in found.range(from..) {
            match page.records.get(lsn) {
                Some(appended) if appended == payload => (),
                Some(_) => return violation("altered", format!("lsn {lsn} has another payload")),
                None if page.unplaced.contains(payload) => (),
                None => return violation("phantom", format!("nothing was appended at lsn {lsn}")),
            }
        }
        let end = found.last_key_value().map_or(Lsn::ZERO, |(&lsn, _)| lsn + 1);
        for &lsn in page.records.keys().filter(|&&lsn| lsn >= floor.max(from) && !found.contains_key(&lsn)) {
            if lsn < promises.stable {
                return violation("lost", format!("lsn {lsn} was acknowledged, up to {}", promises.stable));
            }
            if lsn < end {
                return violation("hole", format!("lsn {lsn} is missing before a record that is there"));
            }
        }
        Ok(())
    }

    /// As [`judge`](Self::judge), of a log whose reader says that something is missing: only what is there counts.
    pub(crate) fn judge_what_is_there(&self, found: &Records) -> Result<(), Violation> {
        let page = self.page();
        let wrong = found.iter().find(|&(lsn, payload)| match page.records.get(lsn) {
            Some(appended) => appended != payload,
            None => !page.unplaced.contains(payload),
        });
        match wrong {
            Some((lsn, _)) => violation("altered", format!("lsn {lsn} has another payload, beside damage")),
            None => Ok(()),
        }
    }

    /// A ledger for what comes after a recovery, which found these records from `floor` on. The floor may be in a cache only,
    /// so that what lies below may be there once more.
    pub(crate) fn after_recovery(&self, floor: Lsn, found: Records, promises: Promises) -> Self {
        let page = self.page();
        let mut records = found;
        records.extend(page.records.range(..floor).map(|(&lsn, payload)| (lsn, payload.clone())));
        let promises = Promises { closed: false, ..promises };
        Self { page: Mutex::new(Page { records, unplaced: page.unplaced.clone(), promises }) }
    }
}

/// What was promised and not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) kind: &'static str,
    pub(crate) detail: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind, self.detail)
    }
}

pub(crate) fn violation<T>(kind: &'static str, detail: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { kind, detail: detail.into() })
}
