//! Finding out what a log's files hold, without changing them.
//!
//! The cost is that of the segment table (64 bytes of each segment) and of the tail beyond the last durable mark, not that
//! of the log.
//!
//! # The steps
//!
//! 1. The superblock tells identity, segment size, floor, epoch and a mark.
//! 2. The header of every slot tells which segment it holds. Of several that claim one base the latest epoch counts; a
//!    header of an earlier epoch at or beyond the beginning of the present one is from a tail that was cut.
//! 3. The *mark* is the highest that the superblock or any header carries; the *floor* likewise.
//! 4. From the floor to the mark every segment must be there.
//! 5. From the mark on, messages are read up to the first that is not whole.
//! 6. Whatever is still readable beyond that is searched for marks. If one lies beyond the unreadable place, what stood
//!    there had been durable: that is corruption. Otherwise it is the torn tail, and the log ends there.

mod survey;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::Arc,
};

use esker_format::{
    BlobId, BlobPointer, Damage, DamageKind, Epoch, FileOffset, LogId, Lsn, MessageKind, SEGMENT_HEADER_BYTES,
    SegmentBytes, SegmentId, StructureError, Superblock,
};
use esker_storage::{Access, Storage, StorageFile};

use crate::{
    Error, control,
    error::{Corruption, CorruptionKind},
    names::{LOG, SUPERBLOCK},
    walk::{Placement, Rules, Step, Walk},
};
use survey::{Headless, SlotAs, Survey};

/// How often a log that is being written is looked at again because it seems damaged.
const LOOKS_MAX: u32 = 16;

/// What was found when a log was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The log did not exist before.
    pub created: bool,
    /// The log was closed in good order the last time, so that its end is known exactly.
    pub clean: bool,
    /// Where the log begins.
    pub floor: Lsn,
    /// Where the log ends.
    pub end: Lsn,
    /// Everything below had been recorded as durable. From here on messages were read to find the end.
    pub mark: Lsn,
    /// What was cut off at the end, if anything was.
    pub torn: Option<TornTail>,
    /// What had been durable and cannot be read. Only a [`LogReader`](crate::LogReader) opens in spite of it.
    pub damage: Option<Corruption>,
    /// What else is worth knowing. Nothing of it loses a record.
    pub notes: Vec<RecoveryNote>,
}

/// The end of a log that was being written when it stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TornTail {
    /// Where the log was cut.
    pub at: Lsn,
    /// What stands there.
    pub why: DamageKind,
    /// The end of the last whole message beyond, if there is one: none of them had been acknowledged as durable.
    pub whole_to: Option<Lsn>,
}

/// Something that recovery noticed and that costs nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecoveryNote {
    /// One of two copies is damaged; the other says the same.
    CopyDamaged(Corruption),
    /// A slot that is not part of the log has an unreadable header.
    UnreadableSlot {
        /// The slot.
        segment: SegmentId,
        /// Where it begins in the file.
        offset: FileOffset,
        /// What is wrong with its header.
        reason: StructureError,
    },
    /// A slot holds a segment of another log.
    ForeignSlot {
        /// The slot.
        segment: SegmentId,
        /// The other log.
        log_id: LogId,
    },
    /// Files of blobs that no record points at were removed.
    BlobsRemoved {
        /// How many.
        blobs: u32,
    },
}

impl fmt::Display for RecoveryNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CopyDamaged(corruption) => write!(f, "{corruption}; the other copy was used"),
            Self::UnreadableSlot { segment, offset, reason } => {
                write!(f, "slot {segment} at offset {offset} is not part of the log: {reason}")
            }
            Self::ForeignSlot { segment, log_id } => write!(f, "slot {segment} holds a segment of the log {log_id}"),
            Self::BlobsRemoved { blobs } => write!(f, "{blobs} blobs that no record points at were removed"),
        }
    }
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match (self.created, self.clean) {
            (true, _) => "created",
            (false, true) => "closed in good order",
            (false, false) => "not closed in good order",
        };
        write!(f, "lsn {} to {}, {how}", self.floor, self.end)?;
        if let Some(torn) = &self.torn {
            write!(f, "; cut at lsn {}: {}", torn.at, torn.why)?;
            if let Some(whole_to) = torn.whole_to {
                write!(f, ", with unacknowledged messages beyond, up to lsn {whole_to}")?;
            }
        }
        if let Some(damage) = &self.damage {
            write!(f, "; {damage}")?;
        }
        for note in &self.notes {
            write!(f, "; {note}")?;
        }
        Ok(())
    }
}

/// Where each segment is.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) file: Arc<dyn StorageFile>,
    pub(crate) segment_bytes: SegmentBytes,
    /// By base: the slot and the header's epoch.
    pub(crate) segments: BTreeMap<Lsn, (SegmentId, Epoch)>,
}

impl Table {
    pub(crate) fn locate(&self, lsn: Lsn) -> Option<FileOffset> {
        let (segment, _) = self.segments.get(&lsn.segment_base(self.segment_bytes))?;
        Some(segment.offset(self.segment_bytes) + u64::from(lsn.offset_in_segment(self.segment_bytes)))
    }

    pub(crate) fn segment_of(&self, lsn: Lsn) -> Option<SegmentId> {
        self.segments.get(&lsn.segment_base(self.segment_bytes)).map(|(segment, _)| *segment)
    }

    /// The bases of the segments, beginning with the one that holds `lsn` or the next after it.
    pub(crate) fn bases_from(&self, lsn: Lsn) -> VecDeque<Lsn> {
        self.segments.range(lsn.segment_base(self.segment_bytes)..).map(|(&base, _)| base).collect()
    }

    pub(crate) fn epoch_of(&self, lsn: Lsn) -> Option<Epoch> {
        self.segments.get(&lsn.segment_base(self.segment_bytes)).map(|(_, epoch)| *epoch)
    }
}

impl Placement for Table {
    fn read(&self, lsn: Lsn, dst: &mut [u8]) -> Result<Option<usize>, Error> {
        let Some(offset) = self.locate(lsn) else { return Ok(None) };
        let read = self.file.read_at(dst, offset.get());
        read.map(Some).map_err(|error| Error::io_at("read", LOG, offset.get(), error))
    }
}

/// What recovery found.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) superblock: Superblock,
    /// The generation of the superblock's next update.
    pub(crate) next_generation: u64,
    pub(crate) table: Arc<Table>,
    /// Segments that are in the table although their header cannot be read: only beside other damage.
    pub(crate) lost_headers: Vec<Corruption>,
    /// Slots with the header of a segment that was cut away, or that is there a second time.
    pub(crate) leftovers: Vec<SegmentId>,
    pub(crate) slots: u32,
    pub(crate) floor: Lsn,
    pub(crate) tip: Lsn,
    /// The highest mark that was met, in messages too: everything below is durable.
    pub(crate) durable_to: Lsn,
    /// The highest epoch in any valid piece.
    pub(crate) epoch: Epoch,
    /// The blobs whose records lie at or beyond the mark.
    pub(crate) tail_blobs: BTreeSet<BlobId>,
    pub(crate) report: RecoveryReport,
}

impl Recovered {
    pub(crate) fn rules(&self) -> Rules {
        rules(&self.superblock)
    }
}

fn rules(superblock: &Superblock) -> Rules {
    Rules { seed: superblock.log_id.checksum_seed(), segment_bytes: superblock.segment_bytes }
}

/// Finds out what is there. Damage of what had been durable is in the report, not an error; but without a superblock or
/// a file there is nothing to report on.
pub(crate) fn recover(storage: &dyn Storage) -> Result<Recovered, Error> {
    let loaded = control::load(storage)?;
    let superblock = loaded.superblock;
    let file = storage.open(LOG, Access::Read).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Corruption { file: LOG.to_owned(), lsn: None, offset: 0, kind: CorruptionKind::MissingFile }.into()
        }
        _ => Error::io("open", LOG, error),
    })?;
    let mut notes: Vec<_> = loaded.damaged.into_iter().map(RecoveryNote::CopyDamaged).collect();
    let survey = Survey::of(&file, &superblock)?;
    let mut table = Arc::new(Table {
        file: file.clone(),
        segment_bytes: superblock.segment_bytes,
        segments: survey.segments.clone(),
    });
    let mut tail = Tail::new(&superblock, &survey, table.clone());
    let mut outcome = tail.find_end()?;
    let mut lost_headers = Vec::new();
    if outcome.damage.is_some() {
        table = Arc::new(survey.adopt(&table, &mut lost_headers));
        outcome.end = tail.end_of_what_is_left(table.clone(), outcome.end)?;
    }
    let used =
        |segment: SegmentId| table.segments.iter().any(|(&base, &(slot, _))| slot == segment && base < outcome.end);
    let unused = |note: &RecoveryNote| match note {
        RecoveryNote::UnreadableSlot { segment, .. } | RecoveryNote::ForeignSlot { segment, .. } => !used(*segment),
        _ => true,
    };
    notes.extend(survey.notes.iter().filter(|note| unused(note)).cloned());
    let clean = superblock.clean && superblock.mark == outcome.end;
    let report = RecoveryReport {
        created: false,
        clean,
        floor: survey.floor,
        end: outcome.end,
        mark: survey.mark,
        // Behind a clean end there can be leftovers, but nothing was being written.
        torn: outcome.torn.filter(|_| !clean),
        damage: outcome.damage,
        notes,
    };
    Ok(Recovered {
        superblock,
        next_generation: loaded.next_generation,
        lost_headers,
        leftovers: survey.leftovers(outcome.end),
        slots: survey.slots,
        floor: survey.floor,
        tip: outcome.end,
        durable_to: tail.mark,
        epoch: survey.epoch.max(tail.epoch),
        tail_blobs: tail.blobs,
        report,
        table,
    })
}

/// As [`recover`], of a log that may be open for writing elsewhere. What was read at different moments may look like
/// damage then, or like the end of the log. So damage counts only if it is found again at the same place, and an end only
/// if the log has not been truncated beyond it: before that, no slot that was read last can have been used again.
pub(crate) fn recover_beside_a_writer(storage: &dyn Storage) -> Result<Recovered, Error> {
    let mut seen = None;
    for _ in 1..LOOKS_MAX {
        let outcome = recover(storage);
        let damage = match &outcome {
            Ok(recovered) => match &recovered.report.damage {
                Some(damage) => damage,
                None if control::load(storage)?.superblock.floor > recovered.tip => continue,
                None => return outcome,
            },
            Err(Error::Corrupt(damage)) => damage,
            Err(_) => return outcome,
        };
        let place = Some((damage.file.clone(), damage.lsn, damage.offset));
        if place == seen {
            return outcome;
        }
        seen = place;
    }
    recover(storage)
}

/// The search for the end of the log.
#[derive(Debug)]
struct Tail<'a> {
    superblock: &'a Superblock,
    survey: &'a Survey,
    table: Arc<Table>,
    /// The highest mark of any whole message that was met.
    mark: Lsn,
    epoch: Epoch,
    blobs: BTreeSet<BlobId>,
}

struct End {
    end: Lsn,
    torn: Option<TornTail>,
    damage: Option<Corruption>,
}

impl<'a> Tail<'a> {
    fn new(superblock: &'a Superblock, survey: &'a Survey, table: Arc<Table>) -> Self {
        Self { superblock, survey, table, mark: survey.mark, epoch: survey.epoch, blobs: BTreeSet::new() }
    }

    fn find_end(&mut self) -> Result<End, Error> {
        let segment_bytes = self.superblock.segment_bytes;
        let bytes = u64::from(segment_bytes.get());
        let mut chain_end = self.survey.floor.segment_base(segment_bytes);
        while self.table.segments.contains_key(&chain_end) {
            chain_end = chain_end + bytes;
        }
        let marks = !cfg!(esker_sabotage = "marks");
        let start = if marks { self.survey.mark.max(self.survey.floor) } else { self.survey.floor };
        if start > chain_end {
            let damage = self.missing(chain_end);
            return Ok(End { end: start, torn: None, damage: Some(damage) });
        }
        if let Some(damage) = self.file_cut_below(start) {
            return Ok(End { end: start, torn: None, damage: Some(damage) });
        }
        let (mut stop, mut why) = self.walk_from(start)?;
        let mut whole_to = self.last_message_end(stop)?;
        if stop.offset_in_segment(segment_bytes) == 0 {
            // There is no such segment, or its header is lost.
            whole_to = whole_to.max(self.last_headless_message_end(stop)?);
        }
        if whole_to.is_some() {
            // With a writer at work, what lies beyond may have been written just now; then so was what lies before it.
            (stop, why) = self.walk_from(stop)?;
            whole_to = whole_to.filter(|&end| end > stop);
        }
        if self.mark > stop && marks {
            let damage = match why {
                Some(damage) => Corruption::in_log(
                    stop,
                    self.table.locate(stop).unwrap_or_default(),
                    CorruptionKind::Message { damage: damage.kind, durable_to: self.mark },
                ),
                None => self.missing(stop),
            };
            return Ok(End { end: whole_to.unwrap_or(stop), torn: None, damage: Some(damage) });
        }
        let torn = why.filter(|damage| !damage.kind.is_unwritten() || whole_to.is_some()).map(|damage| TornTail {
            at: stop,
            why: damage.kind,
            whole_to,
        });
        Ok(End { end: stop, torn, damage: None })
    }

    /// The end of the last message in a damaged log, or of what had been durable, given a `table` of all that is left.
    fn end_of_what_is_left(&mut self, table: Arc<Table>, from: Lsn) -> Result<Lsn, Error> {
        self.table = table;
        let last = self.last_message_end(from.min(self.mark))?;
        Ok(last.unwrap_or(from).max(from).max(self.mark))
    }

    /// Whether the file ends before what had been durable in its last slot.
    fn file_cut_below(&self, mark: Lsn) -> Option<Corruption> {
        let Survey { file_bytes, segment_bytes, floor, .. } = *self.survey;
        let (&base, _) =
            self.table.segments.range(floor.segment_base(segment_bytes)..mark).find(|(_, (segment, _))| {
                segment.offset(segment_bytes) + u64::from(segment_bytes.get()) > FileOffset::new(file_bytes)
            })?;
        let at = base + (file_bytes - self.table.locate(base)?.get());
        let kind = CorruptionKind::FileCut { durable_to: self.mark };
        (at < mark).then(|| Corruption::in_log(at, FileOffset::new(file_bytes), kind))
    }

    /// Reads messages from the boundary `start` on. Returns where no whole message follows, and what stands there;
    /// nothing if that is the base of a segment that is not there.
    fn walk_from(&mut self, start: Lsn) -> Result<(Lsn, Option<Damage>), Error> {
        let segment_bytes = self.superblock.segment_bytes;
        let mut at = start;
        let mut epoch_min = Epoch::ZERO;
        while let Some(segment_epoch) = self.table.epoch_of(at) {
            let base = at.segment_base(segment_bytes);
            let end = base + u64::from(segment_bytes.get());
            at = at.max(base + SEGMENT_HEADER_BYTES as u64);
            if segment_epoch < epoch_min && !cfg!(esker_sabotage = "stale_segment") {
                // Begun before the messages that lead up to it: a leftover of a tail that was cut.
                return Ok((base, None));
            }
            epoch_min = epoch_min.max(segment_epoch);
            if at >= self.superblock.epoch_start {
                epoch_min = epoch_min.max(self.superblock.epoch);
            }
            let mut walk = Walk::new(self.table.clone(), rules(self.superblock), epoch_min, at, end);
            loop {
                match walk.next()? {
                    None => break,
                    Some(Step::Message(header, _)) => {
                        self.mark = self.mark.max(header.mark);
                        self.epoch = self.epoch.max(header.epoch);
                        if header.kind == MessageKind::BlobPointer
                            && let Ok(pointer) = BlobPointer::decode(walk.payload())
                        {
                            self.blobs.insert(pointer.id);
                        }
                    }
                    Some(Step::Damage(damage)) => return Ok((walk.at(), Some(damage))),
                    Some(Step::Missing) => return Ok((walk.at(), None)),
                }
            }
            epoch_min = walk.epoch_min();
            at = end;
        }
        Ok((at, None))
    }

    /// Looks for whole messages beyond `stop`, in its own segment and in later ones, and notes their marks. Returns the
    /// end of the last.
    fn last_message_end(&mut self, stop: Lsn) -> Result<Option<Lsn>, Error> {
        let segment_bytes = self.superblock.segment_bytes;
        let first = stop.segment_base(segment_bytes);
        let bases: Vec<_> = self.table.segments.range(first..).map(|(&base, &(_, epoch))| (base, epoch)).collect();
        let mut last = None;
        for (base, epoch) in bases {
            let at = stop.max(base + SEGMENT_HEADER_BYTES as u64);
            last = last.max(self.last_in_segment(self.table.clone(), epoch, at)?);
        }
        Ok(last)
    }

    /// The same for slots without a usable header, as if each of them held the segment at `base`.
    fn last_headless_message_end(&mut self, base: Lsn) -> Result<Option<Lsn>, Error> {
        let segment_bytes = self.superblock.segment_bytes;
        let mut last = None;
        for headless in
            self.survey.headless.iter().filter(|headless| headless.claim.is_none_or(|claim| claim.0 == base))
        {
            let slot = SlotAs { file: self.table.file.clone(), segment: headless.segment, base, segment_bytes };
            let at = base + SEGMENT_HEADER_BYTES as u64;
            last = last.max(self.last_in_segment(Arc::new(slot), Epoch::ZERO, at)?);
        }
        Ok(last)
    }

    /// Notes the marks of the whole messages from `at` to the end of its segment, whatever lies between them. Returns the
    /// end of the last.
    fn last_in_segment(&mut self, placement: Arc<dyn Placement>, epoch: Epoch, at: Lsn) -> Result<Option<Lsn>, Error> {
        let end = at.next_segment(self.superblock.segment_bytes);
        // What the present epoch wrote, or an earlier one that nothing has cut since.
        let epoch_min = if at >= self.superblock.epoch_start { epoch.max(self.superblock.epoch) } else { epoch };
        let mut walk = Walk::new(placement, rules(self.superblock), epoch_min, at, end);
        let mut last = None;
        loop {
            match walk.next()? {
                Some(Step::Message(header, _)) => {
                    self.mark = self.mark.max(header.mark);
                    self.epoch = self.epoch.max(header.epoch);
                    last = Some(header.end());
                }
                Some(Step::Damage(_)) => {
                    if !walk.resync()? {
                        return Ok(last);
                    }
                }
                Some(Step::Missing) | None => return Ok(last),
            }
        }
    }

    /// The corruption of a segment that should begin at `base`: an unreadable header, if there is a slot whose messages
    /// say that it is the one, or exactly one that may be.
    fn missing(&self, base: Lsn) -> Corruption {
        let segment_bytes = self.superblock.segment_bytes;
        let unreadable = |headless: &&Headless| headless.claim.is_none() && headless.reason != StructureError::Blank;
        let mut candidates = self.survey.headless.iter().filter(unreadable);
        let only = candidates.next().filter(|_| candidates.next().is_none());
        let claimed = self.survey.headless.iter().find(|headless| headless.claim.is_some_and(|claim| claim.0 == base));
        match claimed.or(only) {
            Some(Headless { segment, reason, .. }) => {
                let kind = CorruptionKind::SegmentHeader { reason: reason.to_string() };
                Corruption::in_log(base, segment.offset(segment_bytes), kind)
            }
            None => {
                let file_end = SegmentId::new(self.survey.slots).offset(segment_bytes);
                Corruption::in_log(base, file_end, CorruptionKind::MissingSegment { durable_to: self.mark })
            }
        }
    }
}

/// What keeps a directory from being an esker directory, given the names in it; `None` if a log may be created there:
/// it is empty, or an earlier creation was interrupted before there was a log.
pub(crate) fn why_not_creatable(storage: &dyn Storage) -> Result<Option<String>, Error> {
    let names = storage.list().map_err(|error| Error::io("list", crate::DIRECTORY, error))?;
    for name in &names {
        match name.as_str() {
            crate::names::LOCK | crate::names::SUPERBLOCK_NEW => (),
            LOG => {
                let file = storage.open(LOG, Access::Read).map_err(|error| Error::io("open", LOG, error))?;
                if file.len().map_err(|error| Error::io("measure", LOG, error))? > 0 {
                    return Ok(Some(format!("it holds a file \"{LOG}\" but no \"{SUPERBLOCK}\"")));
                }
            }
            other => return Ok(Some(format!("it holds \"{other}\" but no \"{SUPERBLOCK}\""))),
        }
    }
    Ok(None)
}
