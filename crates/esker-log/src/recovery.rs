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

mod rebuild;
mod survey;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use esker_format::{
    BlobId, BlobPointer, Damage, DamageKind, Epoch, FileOffset, Lsn, MessageKind, SEGMENT_HEADER_BYTES, SegmentBytes,
    SegmentHeader, SegmentId, StructureError, Superblock,
};
use esker_storage::{Access, Storage, StorageFile};

use crate::{
    Error, LostRange, Messages, OnDamage, RecoveryNote, RecoveryReport, TornTail,
    control::{self, LoadedControl},
    error::{Corruption, CorruptionKind},
    messages::Found,
    names::{LOG, SUPERBLOCK},
    verify::verify,
    walk::{Placement, Rules, Step, Walk},
};
use survey::{Headless, SlotAs, Survey};

/// How often a log that is being written is looked at again because it seems damaged.
const LOOKS_MAX: u32 = 16;

/// How much is read of a slot that says it is not part of the log, to find out whether that is true: where the log seems to
/// end with a segment, and where it seems to end within one, so that two places would have to be damaged.
const SPARE_BYTES_READ: u64 = 256 << 10;
const SPARE_BYTES_PROBED: u64 = 16 << 10;

/// How many segments may be missing from a log that is opened all the same. Each costs memory.
const HOLES_MAX: u64 = 1 << 20;

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

    /// The end of a log that ends at `lsn`, or, where there is no segment to go on in, at the end of that.
    pub(crate) fn end_at(&self, lsn: Lsn) -> Lsn {
        let is_begun = lsn.offset_in_segment(self.segment_bytes) == 0 || self.segment_of(lsn).is_some();
        if is_begun { lsn } else { lsn.next_segment(self.segment_bytes) }
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
    lost_headers: Vec<Corruption>,
    survey: Survey,
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

    /// Slots with the header of a segment that was cut away, or that is there a second time.
    pub(crate) fn leftovers(&self) -> Vec<SegmentId> {
        self.survey.leftovers(self.tip)
    }

    /// How many segments hold a part of the log.
    pub(crate) fn live_segments(&self) -> u32 {
        self.table.bases_from(self.floor).into_iter().filter(|&base| base < self.tip).count() as u32
    }

    /// The segments between floor and tip that are not there.
    pub(crate) fn holes(&self) -> Vec<Lsn> {
        let bytes = self.superblock.segment_bytes.get() as usize;
        let bases = (self.floor.segment_base(self.superblock.segment_bytes).get()..self.tip.get()).step_by(bytes);
        bases.map(Lsn::new).filter(|base| !self.table.segments.contains_key(base)).collect()
    }

    /// Refuses a log that lacks more segments than can be made up for.
    pub(crate) fn refuse_endless(&self) -> Result<(), Error> {
        let segment_bytes = self.superblock.segment_bytes;
        let bytes = self.tip.segment_base(segment_bytes) - self.floor.segment_base(segment_bytes);
        match &self.report.damage {
            Some(damage) if bytes / u64::from(segment_bytes.get()) > u64::from(self.live_segments()) + HOLES_MAX => {
                Err(damage.clone().into())
            }
            _ => Ok(()),
        }
    }

    /// Adds to the report which parts of the log are lost by the damage that recovery came across.
    pub(crate) fn find_lost(&mut self) -> Result<(), Error> {
        let Some(Corruption { lsn: Some(from), .. }) = self.report.damage else { return Ok(()) };
        let mut messages = Messages::new(self, from.max(self.floor));
        let mut lost: Vec<LostRange> = Vec::new();
        while let Some(found) = messages.next_found() {
            if let Found::Unreadable(range, _) = found? {
                lost.push(LostRange { from: range.from.max(self.floor), ..range });
            }
        }
        lost.retain(|range| range.from < range.to);
        self.report.lost = lost;
        Ok(())
    }

    /// Opens the log in spite of damage, as the policy says: reads everything, and gives up what is lost.
    pub(crate) fn give_up_lost(&mut self, storage: &dyn Storage, policy: OnDamage) -> Result<(), Error> {
        let mut lost = verify(storage, self, &mut |_, _| ())?.report.lost;
        if lost.is_empty() && self.report.damage.is_none() {
            return Ok(());
        }
        if policy == OnDamage::StopBefore
            && let Some(first) = lost.first().cloned()
        {
            lost = vec![LostRange { to: self.tip, ..first }];
            self.tip = lost[0].from;
            self.durable_to = self.durable_to.min(self.tip);
        }
        self.refuse_endless()?;
        self.tip = self.table.end_at(self.tip);
        // Segments that are not there at the beginning of the log need not be kept as holes.
        let first = self.table.bases_from(self.floor).front().copied().unwrap_or(self.tip);
        self.floor = self.floor.max(first.min(self.tip));
        let restored: Vec<_> = self.lost_headers().cloned().map(RecoveryNote::HeaderRestored).collect();
        self.report.notes.extend(restored);
        self.report.lost = lost;
        (self.report.floor, self.report.end, self.report.clean) = (self.floor, self.tip, false);
        self.report.torn = None;
        Ok(())
    }

    /// The segments of the log whose header cannot be read although their messages can.
    pub(crate) fn lost_headers(&self) -> impl Iterator<Item = &Corruption> {
        self.lost_headers.iter().filter(|header| header.lsn.is_some_and(|base| base < self.tip))
    }

    /// The headers of segments that have lost theirs, to be written again: where, and what.
    pub(crate) fn headers_to_restore(&self) -> Vec<(FileOffset, SegmentHeader)> {
        let Superblock { log_id, segment_bytes, .. } = self.superblock;
        let header = |lost: &Corruption| {
            let base = lost.lsn?;
            let (segment, epoch) = *self.table.segments.get(&base)?;
            let (floor, mark) = (self.floor.min(base), self.durable_to.min(base));
            let header = SegmentHeader { log_id, base, floor, mark, epoch, segment_bytes };
            Some((segment.offset(segment_bytes), header))
        };
        self.lost_headers().filter_map(header).collect()
    }
}

/// What a mark says for certain. What an epoch before the present one wrote beyond the beginning of that is not part of
/// the log any more; a mark that lies there speaks of what was given up then, because it was damaged.
fn credible_mark(superblock: &Superblock, mark: Lsn, epoch: Epoch) -> Lsn {
    if epoch < superblock.epoch { mark.min(superblock.epoch_start) } else { mark }
}

fn rules(superblock: &Superblock) -> Rules {
    Rules { seed: superblock.log_id.checksum_seed(), segment_bytes: superblock.segment_bytes }
}

/// Finds out what is there. Damage of what had been durable is in the report, not an error; but without a superblock or
/// a file there is nothing to report on.
pub(crate) fn recover(storage: &dyn Storage) -> Result<Recovered, Error> {
    let LoadedControl { superblock, next_generation, damaged } = control::load(storage)?;
    recover_as(storage, superblock, next_generation, damaged.map(RecoveryNote::CopyDamaged))
}

/// Finds out what is there, given what the superblock says.
pub(crate) fn recover_as(
    storage: &dyn Storage,
    superblock: Superblock,
    next_generation: u64,
    note: Option<RecoveryNote>,
) -> Result<Recovered, Error> {
    let file = storage.open(LOG, Access::Read).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Corruption { file: LOG.to_owned(), lsn: None, offset: 0, kind: CorruptionKind::MissingFile }.into()
        }
        _ => Error::io("open", LOG, error),
    })?;
    let mut notes: Vec<_> = note.into_iter().collect();
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
        let end = outcome.end.max(tail.mark);
        table = Arc::new(survey.adopt(&superblock, &table, end, &mut lost_headers)?);
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
        lost: Vec::new(),
        notes,
    };
    Ok(Recovered {
        superblock,
        next_generation,
        lost_headers,
        slots: survey.slots,
        floor: survey.floor,
        tip: outcome.end,
        durable_to: tail.mark,
        epoch: survey.epoch.max(tail.epoch),
        tail_blobs: tail.blobs,
        report,
        table,
        survey,
    })
}

/// As [`recover`], but where neither copy of the superblock can be read, or there is none, the segments tell what it said.
pub(crate) fn recover_for_salvage(storage: &dyn Storage) -> Result<Recovered, Error> {
    match recover(storage) {
        Err(Error::Corrupt(damage)) if damage.file == SUPERBLOCK => {
            rebuild::recover_without_superblock(storage, damage)
        }
        Err(Error::NotFound) => {
            let damage =
                Corruption { file: SUPERBLOCK.to_owned(), lsn: None, offset: 0, kind: CorruptionKind::MissingFile };
            rebuild::recover_without_superblock(storage, damage.clone()).map_err(|error| match error {
                // There is no log, and never was as far as can be told.
                Error::Corrupt(met) if met == damage => Error::NotFound,
                error => error,
            })
        }
        outcome => outcome,
    }
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
        let is_closed = self.superblock.clean && self.superblock.mark == stop;
        if !is_closed {
            let is_base = stop.offset_in_segment(segment_bytes) == 0;
            let mut base = if is_base { stop } else { stop.next_segment(segment_bytes) };
            while !is_base && self.table.segments.contains_key(&base) {
                base = base.next_segment(segment_bytes);
            }
            // There is no such segment, or its header is lost.
            let bytes = if is_base { SPARE_BYTES_READ } else { SPARE_BYTES_PROBED };
            whole_to = whole_to.max(self.last_unclaimed_message_end(base, bytes)?);
            if !is_base {
                // Nor need what has the header of this segment be the rest of it.
                let base = stop.segment_base(segment_bytes);
                whole_to = whole_to.max(self.last_unclaimed_message_end(base, bytes)?.filter(|&end| end > stop));
            }
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
        if let Some(damage) = self.file_cut_at(stop, why) {
            // Nobody knows how much of the segment was in use.
            return Ok(End { end: stop.next_segment(segment_bytes), torn: None, damage: Some(damage) });
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
        Ok(self.table.end_at(last.unwrap_or(from).max(from).max(self.mark)))
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

    /// Whether reading ended at `stop` because the file does, in a slot that had been durable as a whole: it was extended to
    /// its end before anything was written there, and a mark says that something there was synced.
    fn file_cut_at(&self, stop: Lsn, why: Option<Damage>) -> Option<Corruption> {
        let Survey { file_bytes, segment_bytes, .. } = *self.survey;
        let base = stop.segment_base(segment_bytes);
        let slot = self.table.locate(base)?.get();
        let is_cut = slot + u64::from(segment_bytes.get()) > file_bytes
            && why.is_none_or(|damage| matches!(damage.kind, DamageKind::Cut { .. }));
        let kind = CorruptionKind::FileCut { durable_to: self.mark };
        (is_cut && self.mark > base && stop > base).then(|| Corruption::in_log(stop, FileOffset::new(file_bytes), kind))
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
                        self.mark = self.mark.max(credible_mark(self.superblock, header.mark, header.epoch));
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

    /// The same for slots that may hold the segment at `base` although their header does not say so: it is damaged, or it
    /// is the one of the slot's last life, or blank, because the new one was never written. The latter are many as a rule,
    /// so that only so many `bytes` of each are read.
    fn last_unclaimed_message_end(&mut self, base: Lsn, bytes: u64) -> Result<Option<Lsn>, Error> {
        let segment_bytes = self.superblock.segment_bytes;
        let end = base.next_segment(segment_bytes);
        let probed = end.min(base + bytes);
        let headless = self.survey.headless.iter().filter(|slot| slot.claim.is_none_or(|claim| claim.0 == base));
        let is_blank = |slot: &Headless| slot.claim.is_none() && slot.reason == StructureError::Blank;
        let headless = headless.map(|slot| (slot.segment, if is_blank(slot) { probed } else { end }));
        let spare = self.survey.spare().into_iter().map(|segment| (segment, probed));
        let mut last = None;
        for (segment, end) in headless.chain(spare) {
            let slot = SlotAs { file: self.table.file.clone(), segment, base, segment_bytes };
            let at = base + SEGMENT_HEADER_BYTES as u64;
            last = last.max(self.last_before(Arc::new(slot), Epoch::ZERO, at, end)?);
        }
        Ok(last)
    }

    /// Notes the marks of the whole messages from `at` to the end of its segment, whatever lies between them. Returns the
    /// end of the last.
    fn last_in_segment(&mut self, placement: Arc<dyn Placement>, epoch: Epoch, at: Lsn) -> Result<Option<Lsn>, Error> {
        self.last_before(placement, epoch, at, at.next_segment(self.superblock.segment_bytes))
    }

    fn last_before(
        &mut self,
        placement: Arc<dyn Placement>,
        epoch: Epoch,
        at: Lsn,
        end: Lsn,
    ) -> Result<Option<Lsn>, Error> {
        // What the present epoch wrote, or an earlier one that nothing has cut since.
        let epoch_min = if at >= self.superblock.epoch_start { epoch.max(self.superblock.epoch) } else { epoch };
        let mut walk = Walk::new(placement, rules(self.superblock), epoch_min, at, end);
        let mut last = None;
        loop {
            match walk.next()? {
                Some(Step::Message(header, _)) => {
                    self.mark = self.mark.max(credible_mark(self.superblock, header.mark, header.epoch));
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
