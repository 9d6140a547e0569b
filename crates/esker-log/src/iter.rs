//! Iterating over the records of a log, in LSN order.

use std::{collections::VecDeque, fmt};

use esker_format::{DamageKind, Epoch, FileOffset, Lsn, MessageKind, SEGMENT_HEADER_BYTES};

use crate::{
    Error, Record, RecordRef,
    error::{Corruption, CorruptionKind},
    origin::Origin,
    read::unless_truncated,
    walk::{Step, Walk},
};

/// The records from some LSN on, up to where the log ended when the iterator was made.
///
/// [`next_record`](Iter::next_record) lends each record where it was read, at no cost beyond reading and verifying it. As an
/// [`Iterator`] it gives records away, with memory of their own.
///
/// After damage the iterator goes on with the next record that can be read, so that whoever wants everything that is left
/// gets it, and whoever stops at the first error misses nothing silently. After an I/O error it ends.
pub struct Iter {
    origin: Origin,
    /// Records before this one are passed over.
    from: Lsn,
    end: Lsn,
    /// The walk over the segment that is being read, if one is.
    walk: Walk,
    is_walking: bool,
    /// The segments to come.
    bases: VecDeque<Lsn>,
    /// The base of the next segment, if none is missing.
    next_base: Lsn,
    /// The last record, if it is a blob.
    blob: Option<Record>,
    done: bool,
}

impl Iter {
    pub(crate) fn new(origin: Origin, from: Lsn, end: Lsn) -> Self {
        let bases = origin.placement.bases_from(from);
        let next_base = from.segment_base(origin.rules.segment_bytes);
        let walk = Walk::new(origin.placement.clone(), origin.rules, Epoch::ZERO, next_base, next_base);
        Self { origin, from, end, walk, is_walking: false, bases, next_base, blob: None, done: false }
    }

    /// The next record, which stays in the iterator's memory until the next call. As fast as reading and verifying are:
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use esker_log::{Log, Options};
    /// # let log = Log::open(Arc::new(esker_storage::MemStorage::default()), Options::new())?;
    /// # log.append(b"first")?;
    /// let mut records = log.iter_from(log.floor())?;
    /// while let Some(record) = records.next_record() {
    ///     let record = record?;
    ///     assert_eq!(record.payload(), b"first");
    /// }
    /// # Ok::<(), esker_log::Error>(())
    /// ```
    pub fn next_record(&mut self) -> Option<Result<RecordRef<'_>, Error>> {
        let lsn = match self.advance()? {
            Ok(lsn) => lsn,
            Err(error) => return Some(Err(error)),
        };
        let payload = self.blob.as_ref().map_or_else(|| self.walk.payload(), Record::payload);
        Some(Ok(RecordRef::new(lsn, payload)))
    }

    /// Goes to the next record, which is in the buffer of the walk then or in `blob`.
    #[inline]
    fn advance(&mut self) -> Option<Result<Lsn, Error>> {
        if self.done {
            return None;
        }
        self.blob = None;
        let next = self.step();
        if !matches!(&next, Ok(Some(_)) | Err(Error::Corrupt(_))) {
            self.done = true;
        }
        next.transpose()
    }

    #[inline]
    fn step(&mut self) -> Result<Option<Lsn>, Error> {
        loop {
            if !self.is_walking && !self.open_next_segment()? {
                return Ok(None);
            }
            match self.walk.next()? {
                Some(Step::Message(header, _)) if header.lsn < self.from => (),
                Some(Step::Message(header, _)) => match header.kind {
                    MessageKind::Inline => return Ok(Some(header.lsn)),
                    MessageKind::BlobPointer => return self.read_blob(header.lsn).map(Some),
                    _ => (),
                },
                None => self.is_walking = false,
                Some(Step::Damage(damage)) => self.pass_damage(damage.at, damage.kind)?,
                Some(Step::Missing) => {
                    self.is_walking = false;
                    return Err(self.explain(self.walk.at(), None));
                }
            }
        }
    }

    /// Goes on beyond a damage, which is an error unless it lies before where the iteration begins.
    #[cold]
    fn pass_damage(&mut self, at: Lsn, kind: DamageKind) -> Result<(), Error> {
        self.is_walking = self.walk.resync()?;
        match self.is_walking && self.walk.at() <= self.from {
            true => Ok(()),
            false => Err(self.explain(at, Some(kind))),
        }
    }

    #[cold]
    fn read_blob(&mut self, lsn: Lsn) -> Result<Lsn, Error> {
        let record = Record::of_pointer(lsn, self.walk.payload(), self.origin.storage.as_ref(), self.origin.log_id);
        self.blob = Some(unless_truncated(&self.origin, lsn, record)?);
        Ok(lsn)
    }

    /// Goes to the next segment before the end. Returns whether there is one.
    #[cold]
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
                self.next_base = end;
                self.walk.restart(self.walk.epoch_min(), at, end.min(self.end));
                self.is_walking = true;
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
        let durable_to = self.origin.placement.durable_to();
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
        Some(self.advance()?.map(|lsn| match self.blob.take() {
            Some(blob) => blob,
            None => Record::new(lsn, self.walk.payload().to_vec()),
        }))
    }
}

impl fmt::Debug for Iter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("from", &self.from).field("end", &self.end).finish_non_exhaustive()
    }
}
