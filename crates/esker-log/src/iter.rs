//! Iterating over the records of a log, in LSN order.

use std::{collections::VecDeque, fmt};

use esker_format::{DamageKind, Epoch, FileOffset, Lsn, SEGMENT_HEADER_BYTES};

use crate::{
    Error, Record,
    error::{Corruption, CorruptionKind},
    origin::Origin,
    read::unless_truncated,
    walk::{Step, Walk},
};

/// The records from some LSN on, up to where the log ended when the iterator was made.
///
/// After damage the iterator goes on with the next record that can be read, so that whoever wants everything that is left
/// gets it, and whoever stops at the first error misses nothing silently. After an I/O error it ends.
pub struct Iter {
    origin: Origin,
    /// Records before this one are passed over.
    from: Lsn,
    end: Lsn,
    /// The segment that is being read.
    walk: Option<Walk>,
    /// The segments to come.
    bases: VecDeque<Lsn>,
    /// The base of the next segment, if none is missing.
    next_base: Lsn,
    epoch_min: Epoch,
    done: bool,
}

impl Iter {
    pub(crate) fn new(origin: Origin, from: Lsn, end: Lsn) -> Self {
        let bases = origin.placement.bases_from(from);
        let next_base = from.segment_base(origin.rules.segment_bytes);
        Self { origin, from, end, walk: None, bases, next_base, epoch_min: Epoch::ZERO, done: false }
    }

    fn step(&mut self) -> Result<Option<Record>, Error> {
        loop {
            let Some(walk) = &mut self.walk else {
                if !self.open_next_segment()? {
                    return Ok(None);
                }
                continue;
            };
            let (at, damage) = match walk.next()? {
                None => {
                    self.epoch_min = walk.epoch_min();
                    self.walk = None;
                    continue;
                }
                Some(Step::Message(message)) => {
                    if message.header.lsn < self.from {
                        continue;
                    }
                    match Record::of(&message, self.origin.storage.as_ref(), self.origin.log_id) {
                        Some(record) => {
                            return unless_truncated(&self.origin, message.header.lsn, record).map(Some);
                        }
                        None => continue,
                    }
                }
                Some(Step::Damage(damage)) => (damage.at, Some(damage.kind)),
                Some(Step::Missing) => (walk.at(), None),
            };
            let resynced = damage.is_some() && walk.resync()?;
            let passed_over = resynced && walk.at() <= self.from;
            if !resynced {
                self.walk = None;
            }
            if !passed_over {
                return Err(self.explain(at, damage));
            }
        }
    }

    /// Goes to the next segment before the end. Returns whether there is one.
    fn open_next_segment(&mut self) -> Result<bool, Error> {
        if self.next_base >= self.end {
            return Ok(false);
        }
        let segment_bytes = self.origin.rules.segment_bytes;
        let wanted = self.next_base;
        while self.bases.front().is_some_and(|&base| base < wanted) {
            self.bases.pop_front();
        }
        match self.bases.front() {
            Some(&base) if base == wanted => {
                let end = base + u64::from(segment_bytes.get());
                let at = base + SEGMENT_HEADER_BYTES as u64;
                let walk =
                    Walk::new(self.origin.placement.clone(), self.origin.rules, self.epoch_min, at, end.min(self.end));
                self.next_base = end;
                self.walk = Some(walk);
                Ok(true)
            }
            later => {
                // A gap. Whoever goes on after the error goes on behind it.
                self.next_base = later.copied().unwrap_or(self.end);
                Err(self.explain(wanted, None))
            }
        }
    }

    /// Why there is no message at `at`: it was truncated away meanwhile, or it is damaged.
    fn explain(&self, at: Lsn, damage: Option<DamageKind>) -> Error {
        match self.origin.placement.floor() {
            Err(error) => return error,
            // The log was truncated beyond the beginning of this iteration.
            Ok(floor) if at < floor && self.from < floor => return Error::Truncated { lsn: at.max(self.from), floor },
            Ok(_) => (),
        }
        let durable_to = self.origin.durable_to;
        let kind = match damage {
            Some(damage) => CorruptionKind::Message { damage, durable_to },
            None => CorruptionKind::MissingSegment { durable_to },
        };
        let offset = FileOffset::new(self.origin.placement.offset_of(at));
        Corruption::in_log(at, offset, kind).into()
    }
}

impl Iterator for Iter {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.step().transpose();
        self.done = !matches!(&next, Some(Ok(_) | Err(Error::Corrupt(_))));
        next
    }
}

impl fmt::Debug for Iter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("from", &self.from).field("end", &self.end).finish_non_exhaustive()
    }
}
