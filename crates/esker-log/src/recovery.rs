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

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::Arc,
};

use esker_format::{
    BlobId, BlobPointer, Damage, DamageKind, Epoch, FileOffset, LogId, Lsn, MessageKind, SEGMENT_HEADER_BYTES,
    SegmentBytes, SegmentHeader, SegmentId, StructureError, Superblock,
};
use esker_storage::{Access, Storage, StorageFile};

use crate::{
    Error, control,
    error::{Corruption, CorruptionKind},
    names::{LOG, SUPERBLOCK},
    walk::{Placement, Rules, Step, Walk},
};

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
    pub(crate) table: Arc<Table>,
    pub(crate) slots: u32,
    pub(crate) floor: Lsn,
    pub(crate) tip: Lsn,
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
    let table = Arc::new(Table {
        file: file.clone(),
        segment_bytes: superblock.segment_bytes,
        segments: survey.segments.clone(),
    });
    let mut tail = Tail::new(&superblock, &survey, table.clone());
    let outcome = tail.find_end()?;
    let used =
        |segment: SegmentId| table.segments.iter().any(|(&base, &(slot, _))| slot == segment && base < outcome.end);
    let unused = |note: &RecoveryNote| match note {
        RecoveryNote::UnreadableSlot { segment, .. } | RecoveryNote::ForeignSlot { segment, .. } => !used(*segment),
        _ => true,
    };
    notes.extend(survey.notes.iter().filter(|note| unused(note)).cloned());
    let report = RecoveryReport {
        created: false,
        clean: superblock.clean && superblock.mark == outcome.end,
        floor: survey.floor,
        end: outcome.end,
        mark: survey.mark,
        torn: outcome.torn,
        damage: outcome.damage,
        notes,
    };
    Ok(Recovered {
        superblock,
        slots: survey.slots,
        floor: survey.floor,
        tip: outcome.end,
        epoch: survey.epoch.max(tail.epoch),
        tail_blobs: tail.blobs,
        report,
        table,
    })
}

/// What the slots' headers say.
#[derive(Debug)]
struct Survey {
    /// How many slots the file has, a last one that is cut short included.
    slots: u32,
    segments: BTreeMap<Lsn, (SegmentId, Epoch)>,
    floor: Lsn,
    mark: Lsn,
    epoch: Epoch,
    notes: Vec<RecoveryNote>,
}

impl Survey {
    fn of(file: &Arc<dyn StorageFile>, superblock: &Superblock) -> Result<Self, Error> {
        let Superblock { segment_bytes, floor, mark, epoch, .. } = *superblock;
        let file_bytes = file.len().map_err(|error| Error::io("measure", LOG, error))?;
        let slots = u32::try_from(file_bytes.div_ceil(u64::from(segment_bytes.get()))).unwrap_or(u32::MAX);
        let mut survey = Self { slots, segments: BTreeMap::new(), floor, mark, epoch, notes: Vec::new() };
        for slot in 0..slots {
            let segment = SegmentId::new(slot);
            let offset = segment.offset(segment_bytes);
            let mut bytes = [0; SEGMENT_HEADER_BYTES];
            let read = file
                .read_at(&mut bytes, offset.get())
                .map_err(|error| Error::io_at("read", LOG, offset.get(), error))?;
            match SegmentHeader::decode(&bytes[..read]) {
                Ok(header) => survey.note_header(superblock, segment, &header),
                // Preallocated and never written.
                Err(StructureError::Blank) => (),
                Err(reason) => survey.notes.push(RecoveryNote::UnreadableSlot { segment, offset, reason }),
            }
        }
        Ok(survey)
    }

    fn note_header(&mut self, superblock: &Superblock, segment: SegmentId, header: &SegmentHeader) {
        if header.log_id != superblock.log_id || header.segment_bytes != superblock.segment_bytes {
            self.notes.push(RecoveryNote::ForeignSlot { segment, log_id: header.log_id });
            return;
        }
        // Marks and floors stay true for ever, whatever became of the segment.
        self.floor = self.floor.max(header.floor);
        self.mark = self.mark.max(header.mark);
        self.epoch = self.epoch.max(header.epoch);
        let cut_away = header.base >= superblock.epoch_start && header.epoch < superblock.epoch;
        if cut_away {
            return;
        }
        let newest = self.segments.entry(header.base).or_insert((segment, header.epoch));
        if header.epoch > newest.1 {
            *newest = (segment, header.epoch);
        }
    }
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
        let start = self.survey.mark.max(self.survey.floor);
        if start > chain_end {
            // A segment below the mark is missing. The end is looked for beyond the gap all the same.
            let damage = self.missing(chain_end);
            let (end, _) = self.walk_from(start)?;
            let end = self.last_message_end(end)?.unwrap_or(end).max(self.mark);
            return Ok(End { end, torn: None, damage: Some(damage) });
        }
        let (stop, why) = self.walk_from(start)?;
        let whole_to = self.last_message_end(stop)?;
        if self.mark > stop {
            let damage = match why {
                Some(damage) => Corruption::in_log(
                    stop,
                    self.table.locate(stop).unwrap_or_default(),
                    CorruptionKind::Message { damage: damage.kind, durable_to: self.mark },
                ),
                None => self.missing(stop),
            };
            let end = whole_to.unwrap_or(stop).max(self.mark);
            return Ok(End { end, torn: None, damage: Some(damage) });
        }
        let torn = why.filter(|damage| !damage.kind.is_unwritten() || whole_to.is_some()).map(|damage| TornTail {
            at: stop,
            why: damage.kind,
            whole_to,
        });
        Ok(End { end: stop, torn, damage: None })
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
            if segment_epoch < epoch_min {
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
                    Some(Step::Message(message)) => {
                        self.mark = self.mark.max(message.header.mark);
                        self.epoch = self.epoch.max(message.header.epoch);
                        if message.header.kind == MessageKind::BlobPointer
                            && let Ok(pointer) = BlobPointer::decode(message.payload)
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
            let end = base + u64::from(segment_bytes.get());
            let at = stop.max(base + SEGMENT_HEADER_BYTES as u64);
            // What the present epoch wrote, or an earlier one that nothing has cut since.
            let epoch_min = if at >= self.superblock.epoch_start { epoch.max(self.superblock.epoch) } else { epoch };
            let mut walk = Walk::new(self.table.clone(), rules(self.superblock), epoch_min, at, end);
            loop {
                match walk.next()? {
                    Some(Step::Message(message)) => {
                        self.mark = self.mark.max(message.header.mark);
                        self.epoch = self.epoch.max(message.header.epoch);
                        last = Some(message.header.end());
                    }
                    Some(Step::Damage(_)) => {
                        if !walk.resync()? {
                            break;
                        }
                    }
                    Some(Step::Missing) | None => break,
                }
            }
        }
        Ok(last)
    }

    /// The corruption of a segment that should hold `base`: an unreadable header, if there is exactly one slot that could
    /// be it.
    fn missing(&self, base: Lsn) -> Corruption {
        let mut unreadable = self.survey.notes.iter().filter_map(|note| match note {
            RecoveryNote::UnreadableSlot { offset, reason, .. } => Some((*offset, reason.to_string())),
            _ => None,
        });
        match (unreadable.next(), unreadable.next()) {
            (Some((offset, reason)), None) => {
                Corruption::in_log(base, offset, CorruptionKind::SegmentHeader { reason })
            }
            _ => {
                let file_end = SegmentId::new(self.survey.slots).offset(self.superblock.segment_bytes);
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
