//! What the headers of the slots say: the first look at a log's file.
//!
//! Costs 64 bytes of every slot, and a message of those whose header cannot be used. Refuses to say where the log ends.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use esker_format::{
    Epoch, Lsn, MESSAGE_HEADER_BYTES, RawMessageHeader, SEGMENT_HEADER_BYTES, SegmentBytes, SegmentHeader, SegmentId,
    StructureError, Superblock,
};
use esker_storage::StorageFile;

use super::{RecoveryNote, Table, credible_mark, rules};
use crate::{
    Error,
    error::{Corruption, CorruptionKind},
    names::LOG,
    walk::{Placement, Step, Walk},
};

/// How many segments without a header are looked for among the slots without one.
const MISSING_MAX: usize = 64;

/// What the slots' headers say.
#[derive(Debug)]
pub(super) struct Survey {
    /// How many slots the file has, a last one that is cut short included.
    pub(super) slots: u32,
    pub(super) segments: BTreeMap<Lsn, (SegmentId, Epoch)>,
    pub(super) floor: Lsn,
    pub(super) mark: Lsn,
    pub(super) epoch: Epoch,
    pub(super) notes: Vec<RecoveryNote>,
    pub(super) file_bytes: u64,
    pub(super) segment_bytes: SegmentBytes,
    /// Whole headers that count for nothing: of a tail that was cut, or of a segment that another slot has as well.
    pub(super) superseded: Vec<(SegmentId, Lsn)>,
    /// Slots with the header of a segment that another slot has as well, of the same epoch.
    twins: Vec<(Lsn, SegmentId)>,
    /// Slots without a usable header.
    pub(super) headless: Vec<Headless>,
}

/// A slot without a usable header.
#[derive(Debug)]
pub(super) struct Headless {
    pub(super) segment: SegmentId,
    pub(super) reason: StructureError,
    /// What the first message says, if it is whole: the segment's base and an epoch.
    pub(super) claim: Option<(Lsn, Epoch)>,
}

impl Survey {
    pub(super) fn of(file: &Arc<dyn StorageFile>, superblock: &Superblock) -> Result<Self, Error> {
        let Superblock { segment_bytes, floor, mark, epoch, .. } = *superblock;
        let file_bytes = file.len().map_err(|error| Error::io("measure", LOG, error))?;
        let slots = u32::try_from(file_bytes.div_ceil(u64::from(segment_bytes.get()))).map_err(|_| {
            let offset = SegmentId::new(u32::MAX).offset(segment_bytes).get();
            Corruption { file: LOG.to_owned(), lsn: None, offset, kind: CorruptionKind::TooLong { file_bytes } }
        })?;
        let mut survey = Self {
            slots,
            segments: BTreeMap::new(),
            floor,
            mark,
            epoch,
            notes: Vec::new(),
            file_bytes,
            segment_bytes,
            superseded: Vec::new(),
            twins: Vec::new(),
            headless: Vec::new(),
        };
        // Headers lie far apart, so that a disk would be asked for one after the other.
        for slot in 0..slots {
            file.will_read(SegmentId::new(slot).offset(segment_bytes).get(), SEGMENT_HEADER_BYTES as u64);
        }
        for slot in 0..slots {
            let segment = SegmentId::new(slot);
            let offset = segment.offset(segment_bytes);
            let mut bytes = [0; SEGMENT_HEADER_BYTES];
            let read = file
                .read_at(&mut bytes, offset.get())
                .map_err(|error| Error::io_at("read", LOG, offset.get(), error))?;
            match SegmentHeader::decode(&bytes[..read]) {
                Ok(header) => survey.note_header(superblock, segment, &header),
                Err(reason) => {
                    // A blank one is, as a rule, preallocated and not written yet.
                    if reason != StructureError::Blank {
                        survey.notes.push(RecoveryNote::UnreadableSlot { segment, offset, reason });
                    }
                    let claim = first_claim(file, superblock, segment)?;
                    survey.headless.push(Headless { segment, reason, claim });
                }
            }
        }
        survey.tell_twins_apart(file, superblock)?;
        Ok(survey)
    }

    /// Of two slots with one header, the one that holds more of the segment is it.
    fn tell_twins_apart(&mut self, file: &Arc<dyn StorageFile>, superblock: &Superblock) -> Result<(), Error> {
        for (base, twin) in std::mem::take(&mut self.twins) {
            let Some(entry) = self.segments.get_mut(&base) else { continue };
            let (held, of_twin) =
                (whole_bytes(file, superblock, entry.0, base)?, whole_bytes(file, superblock, twin, base)?);
            let other = if of_twin > held { std::mem::replace(&mut entry.0, twin) } else { twin };
            self.superseded.push((other, base));
            self.notes.push(RecoveryNote::SegmentTwice { segment: other, base });
        }
        Ok(())
    }

    fn note_header(&mut self, superblock: &Superblock, segment: SegmentId, header: &SegmentHeader) {
        if header.log_id != superblock.log_id || header.segment_bytes != superblock.segment_bytes {
            self.notes.push(RecoveryNote::ForeignSlot { segment, log_id: header.log_id });
            return;
        }
        // What a header says of the past stays true, whatever became of the segment.
        self.floor = self.floor.max(header.floor);
        self.mark = self.mark.max(credible_mark(superblock, header.mark, header.epoch));
        self.epoch = self.epoch.max(header.epoch);
        if is_cut_away(superblock, header.base, header.epoch) {
            self.superseded.push((segment, header.base));
            return;
        }
        match self.segments.entry(header.base) {
            Entry::Vacant(vacant) => {
                vacant.insert((segment, header.epoch));
            }
            // No writer begins a segment twice: one of them is not where it was written.
            Entry::Occupied(occupied) if occupied.get().1 == header.epoch => self.twins.push((header.base, segment)),
            Entry::Occupied(mut occupied) => {
                let older =
                    if header.epoch > occupied.get().1 { occupied.insert((segment, header.epoch)).0 } else { segment };
                self.superseded.push((older, header.base));
            }
        }
    }

    /// The slots that would speak for a segment if that segment's true header were lost, given where the log ends.
    pub(super) fn leftovers(&self, tip: Lsn) -> Vec<SegmentId> {
        let beyond = self.segments.range(tip..).map(|(&base, &(segment, _))| (segment, base));
        let headless = self.headless.iter().filter_map(|slot| slot.claim.map(|(base, _)| (slot.segment, base)));
        let beyond = beyond.chain(headless.filter(|&(_, base)| base >= tip));
        let floor = self.floor.segment_base(self.segment_bytes);
        self.superseded.iter().copied().chain(beyond).filter(|&(_, base)| base >= floor).map(|(slot, _)| slot).collect()
    }

    /// Slots whose header is whole and says that they hold no part of the log.
    pub(super) fn spare(&self) -> Vec<SegmentId> {
        let below = self.segments.range(..self.floor.segment_base(self.segment_bytes));
        let superseded = self.superseded.iter().map(|&(segment, _)| segment);
        below.map(|(_, &(segment, _))| segment).chain(superseded).collect()
    }

    /// The table with the segments whose header is lost but whose messages tell what they are, for reading what is left.
    /// The log goes to `end` at least.
    pub(super) fn adopt(
        &self,
        superblock: &Superblock,
        table: &Table,
        end: Lsn,
        lost_headers: &mut Vec<Corruption>,
    ) -> Result<Table, Error> {
        let mut segments = table.segments.clone();
        let mut adopt = |segments: &mut BTreeMap<_, _>, segment: SegmentId, reason: String, base: Lsn, epoch: Epoch| {
            segments.insert(base, (segment, epoch));
            let kind = CorruptionKind::SegmentHeader { reason };
            lost_headers.push(Corruption::in_log(base, segment.offset(self.segment_bytes), kind));
        };
        let floor = self.floor.segment_base(self.segment_bytes);
        for slot in &self.headless {
            if let Some((base, epoch)) = slot.claim
                && base >= floor
                && segments.get(&base).is_none_or(|known: &(_, Epoch)| known.1 < epoch)
            {
                adopt(&mut segments, slot.segment, slot.reason.to_string(), base, epoch);
            }
        }
        // Where the beginning of a segment is lost, any message of the rest tells.
        let bytes = self.segment_bytes.get() as usize;
        let missing = (floor.get()..end.get()).step_by(bytes).map(Lsn::new).take(self.slots as usize + MISSING_MAX);
        let missing: Vec<Lsn> = missing.filter(|base| !segments.contains_key(base)).take(MISSING_MAX).collect();
        let headless = self.headless.iter().filter(|slot| slot.claim.is_none());
        let headless = headless.map(|slot| (slot.segment, slot.reason.to_string()));
        let stale = || "it is of an earlier life of the slot".to_owned();
        let spare = self.spare().into_iter().map(|segment| (segment, stale()));
        for (segment, reason) in headless.chain(spare) {
            for &base in &missing {
                if !segments.contains_key(&base)
                    && let Some(epoch) = any_claim(&table.file, superblock, segment, base)?
                {
                    adopt(&mut segments, segment, reason, base, epoch);
                    break;
                }
            }
        }
        Ok(Table { segments, ..table.clone() })
    }
}

/// Whether a segment is left from a tail that was cut.
pub(super) fn is_cut_away(superblock: &Superblock, base: Lsn, epoch: Epoch) -> bool {
    base >= superblock.epoch_start && epoch < superblock.epoch && !cfg!(esker_sabotage = "stale_segment")
}

/// What the first message of a slot without a usable header says about the segment, if it can be believed.
fn first_claim(
    file: &Arc<dyn StorageFile>,
    superblock: &Superblock,
    segment: SegmentId,
) -> Result<Option<(Lsn, Epoch)>, Error> {
    let segment_bytes = superblock.segment_bytes;
    let offset = segment.offset(segment_bytes) + SEGMENT_HEADER_BYTES as u64;
    let mut bytes = [0; MESSAGE_HEADER_BYTES];
    let read =
        file.read_at(&mut bytes, offset.get()).map_err(|error| Error::io_at("read", LOG, offset.get(), error))?;
    let Some(raw) = RawMessageHeader::decode(&bytes[..read]) else { return Ok(None) };
    let base = raw.lsn.segment_base(segment_bytes);
    let Some(end) = base.checked_add(u64::from(segment_bytes.get())) else { return Ok(None) };
    if raw.lsn != base + SEGMENT_HEADER_BYTES as u64 {
        return Ok(None);
    }
    let slot = Arc::new(SlotAs { file: file.clone(), segment, base, segment_bytes });
    let mut walk = Walk::new(slot, rules(superblock), Epoch::ZERO, raw.lsn, end);
    Ok(match walk.next()? {
        Some(Step::Message(header, _)) if !is_cut_away(superblock, base, header.epoch) => Some((base, header.epoch)),
        _ => None,
    })
}

/// The epoch of the first message in a slot that can be believed if the slot holds the segment at `base`. Reads all of it
/// if there is none.
fn any_claim(
    file: &Arc<dyn StorageFile>,
    superblock: &Superblock,
    segment: SegmentId,
    base: Lsn,
) -> Result<Option<Epoch>, Error> {
    let segment_bytes = superblock.segment_bytes;
    let slot = Arc::new(SlotAs { file: file.clone(), segment, base, segment_bytes });
    let first = base + SEGMENT_HEADER_BYTES as u64;
    let mut walk = Walk::new(slot, rules(superblock), Epoch::ZERO, first, base.next_segment(segment_bytes));
    loop {
        match walk.next()? {
            Some(Step::Message(header, _)) if !is_cut_away(superblock, base, header.epoch) => {
                return Ok(Some(header.epoch));
            }
            Some(Step::Message(..)) => (),
            Some(Step::Damage(_)) if walk.resync()? => (),
            Some(Step::Damage(_) | Step::Missing) | None => return Ok(None),
        }
    }
}

/// How many bytes of whole messages a slot has if it holds the segment at `base`.
fn whole_bytes(
    file: &Arc<dyn StorageFile>,
    superblock: &Superblock,
    segment: SegmentId,
    base: Lsn,
) -> Result<u64, Error> {
    let segment_bytes = superblock.segment_bytes;
    let slot = Arc::new(SlotAs { file: file.clone(), segment, base, segment_bytes });
    let first = base + SEGMENT_HEADER_BYTES as u64;
    let mut walk = Walk::new(slot, rules(superblock), Epoch::ZERO, first, base.next_segment(segment_bytes));
    let mut bytes = 0;
    loop {
        match walk.next()? {
            Some(Step::Message(header, _)) => bytes += header.message_bytes() as u64,
            Some(Step::Damage(_)) if walk.resync()? => (),
            Some(Step::Damage(_) | Step::Missing) | None => return Ok(bytes),
        }
    }
}

/// One slot, taken to hold a certain segment.
#[derive(Debug)]
pub(super) struct SlotAs {
    pub(super) file: Arc<dyn StorageFile>,
    pub(super) segment: SegmentId,
    pub(super) base: Lsn,
    pub(super) segment_bytes: SegmentBytes,
}

impl Placement for SlotAs {
    fn read(&self, lsn: Lsn, dst: &mut [u8]) -> Result<Option<usize>, Error> {
        let offset = self.segment.offset(self.segment_bytes) + (lsn - self.base);
        let read = self.file.read_at(dst, offset.get());
        read.map(Some).map_err(|error| Error::io_at("read", LOG, offset.get(), error))
    }
}
