//! Reading the streams after an opening, and telling a torn tail from damage.
//!
//! Each stream is read segment by segment, in the order in which it filled them. The first place without a whole message
//! ends it: as a *torn tail* if nothing says that what stood there had been durable, as *damage* otherwise. What says so is
//! the mark of any message of that stream, wherever it is, the end that an earlier opening wrote down, and where the owner
//! says that everything was durable.

use std::collections::BTreeMap;

use esker_format::{
    DamageKind, Epoch, FileOffset, LogId, Lsn, Message, MessageKind, SEGMENT_HEADER_BYTES, ScanContext, Scanner,
    SegmentBytes, SegmentHeader, SegmentId,
};
use esker_storage::StorageFile;

use crate::{Error, StreamId, error, ledger::Entry, names::DATA};

/// A record as it was found.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Found<'a> {
    /// The stream that it was appended to.
    pub stream: StreamId,
    /// Where it is.
    pub lsn: Lsn,
    /// The opening that appended it.
    pub epoch: Epoch,
    /// How many bytes it takes in its segment: its header and its payload.
    pub bytes: u32,
    /// What was appended.
    pub payload: &'a [u8],
}

/// Which slot of the file holds which segment.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// How many whole slots the file has.
    pub(crate) count: u32,
    pub(crate) by_base: BTreeMap<Lsn, SegmentId>,
    /// Slots without a header of this store that can be read: never written, or damaged.
    headless: Vec<SegmentId>,
    /// The highest base of any header, whether the ledger knows it or not.
    pub(crate) highest_base: Option<Lsn>,
}

impl Slots {
    /// Reads the header of each slot.
    pub(crate) fn survey(
        file: &dyn StorageFile,
        log_id: LogId,
        segment_bytes: SegmentBytes,
        is_known: impl Fn(Lsn) -> bool,
    ) -> Result<Self, Error> {
        let len = file.len().map_err(|error| error::io("measure", DATA, error))?;
        let count = u32::try_from(len.div_ceil(u64::from(segment_bytes.get())))
            .map_err(|_| error::corrupt(Lsn::ZERO, 0, error::CorruptionKind::TooLong { file_bytes: len }))?;
        let mut slots = Self { count, ..Self::default() };
        for slot in (0..count).map(SegmentId::new) {
            let offset = slot.offset(segment_bytes).get();
            let mut header = [0; SEGMENT_HEADER_BYTES];
            let have = file.read_at(&mut header, offset).map_err(|error| error::io_at("read", DATA, offset, error))?;
            match SegmentHeader::decode(&header[..have]) {
                Ok(header) if header.log_id == log_id && header.segment_bytes == segment_bytes => {
                    slots.highest_base = slots.highest_base.max(Some(header.base));
                    if is_known(header.base) {
                        slots.by_base.insert(header.base, slot);
                    }
                }
                _ => slots.headless.push(slot),
            }
        }
        Ok(slots)
    }
}

/// What a stream amounts to.
#[derive(Debug, Default)]
pub(crate) struct StreamEnd {
    /// The segments whose end was not known before, with it.
    pub(crate) ends: Vec<(Lsn, Lsn)>,
    /// Segments that the stream does not reach any more.
    pub(crate) cut: Vec<Lsn>,
    /// The highest mark that was met: below, everything is durable.
    pub(crate) mark: Lsn,
}

/// Reads segments of one data file.
pub(crate) struct Replay<'a> {
    pub(crate) file: &'a dyn StorageFile,
    pub(crate) log_id: LogId,
    pub(crate) segment_bytes: SegmentBytes,
    pub(crate) slots: &'a mut Slots,
    /// One segment.
    pub(crate) buffer: Vec<u8>,
}

impl Replay<'_> {
    /// Reads a stream from `start` on, below which everything was durable when the owner said so, and shows each record to
    /// `visit`. `segments` are all of the stream that the ledger knows.
    pub(crate) fn stream(
        &mut self,
        stream: StreamId,
        segments: &[(Lsn, Entry)],
        start: Lsn,
        visit: &mut dyn FnMut(Found<'_>) -> Result<(), Error>,
    ) -> Result<StreamEnd, Error> {
        let mut found = StreamEnd { mark: start, ..StreamEnd::default() };
        for (nth, &(base, entry)) in segments.iter().enumerate() {
            let full = base + u64::from(self.segment_bytes.get());
            let is_past = entry.end.unwrap_or(full) <= start;
            if is_past {
                if !self.slots.by_base.contains_key(&base) && !self.find_headless(base)? {
                    return Err(missing(base, start));
                }
                if entry.end.is_none() {
                    found.ends.push((base, full));
                }
                continue;
            }
            let stop = self.segment(stream, base, entry.end, start, &mut found.mark, visit)?;
            let Some((hole, damage)) = stop else {
                if entry.end.is_none() {
                    found.ends.push((base, full));
                }
                continue;
            };
            // Whatever was durable behind this place says that this place was.
            let durable_to = self.highest_mark(hole, base, &segments[nth + 1..])?.max(found.mark);
            let known = entry.end.unwrap_or(Lsn::ZERO).max(durable_to);
            if hole < known {
                return Err(match damage {
                    Some(kind) => self.damaged(hole, base, kind, known),
                    None => missing(base, known),
                });
            }
            found.ends.push((base, hole));
            if damage.is_none() {
                found.ends.pop();
                found.cut.push(base);
            }
            found.cut.extend(segments[nth + 1..].iter().map(|&(base, _)| base));
            break;
        }
        Ok(found)
    }

    /// Reads a segment. Returns where its messages stop before its end, and why: no reason if it is not there at all.
    fn segment(
        &mut self,
        stream: StreamId,
        base: Lsn,
        end: Option<Lsn>,
        start: Lsn,
        mark: &mut Lsn,
        visit: &mut dyn FnMut(Found<'_>) -> Result<(), Error>,
    ) -> Result<Option<(Lsn, Option<DamageKind>)>, Error> {
        if !self.slots.by_base.contains_key(&base) && !self.find_headless(base)? {
            return Ok(Some((base, None)));
        }
        self.read(base)?;
        let mut scanner = self.scanner(base);
        while end.is_none_or(|end| scanner.next_lsn() < end) {
            match scanner.next() {
                None => break,
                Some(Err(damage)) => return Ok(Some((damage.at, Some(damage.kind)))),
                Some(Ok(message)) => {
                    *mark = (*mark).max(message.header.mark);
                    if let Some(found) = as_record(stream, &message).filter(|found| found.lsn >= start) {
                        visit(found)?;
                    }
                }
            }
        }
        Ok(None)
    }

    /// Reads the segment at `base` into the buffer. Where the file ends, nothing was written.
    pub(crate) fn read(&mut self, base: Lsn) -> Result<(), Error> {
        let offset = self.offset_of(base);
        self.buffer.resize(self.segment_bytes.get() as usize, 0);
        let read = self.file.read_at(&mut self.buffer, offset);
        let have = read.map_err(|error| error::io_at("read", DATA, offset, error))?;
        self.buffer[have..].fill(0);
        Ok(())
    }

    /// A scanner of the segment in the buffer.
    pub(crate) fn scanner(&self, base: Lsn) -> Scanner<'_> {
        let header = SEGMENT_HEADER_BYTES;
        let context = ScanContext::new(self.log_id.checksum_seed(), self.segment_bytes);
        Scanner::new(&self.buffer[header..], base + header as u64, context)
    }

    /// The highest mark of any message from `hole`, in the segment of the buffer if it is there, or in later segments of
    /// the same stream.
    fn highest_mark(&mut self, hole: Lsn, base: Lsn, later: &[(Lsn, Entry)]) -> Result<Lsn, Error> {
        let mut highest = Lsn::ZERO;
        let first = (hole > base).then_some(base);
        for base in first.into_iter().chain(later.iter().map(|&(base, _)| base)) {
            if !self.slots.by_base.contains_key(&base) && !self.find_headless(base)? {
                continue;
            }
            self.read(base)?;
            if let Ok(header) = SegmentHeader::decode(&self.buffer)
                && header.base == base
            {
                highest = highest.max(header.mark);
            }
            let survey = self.scanner(base).survey();
            highest = highest.max(survey.highest_mark.map_or(Lsn::ZERO, |mark| mark.mark));
        }
        Ok(highest)
    }

    /// Looks for the segment at `base` among the slots whose headers cannot be read: its messages tell.
    fn find_headless(&mut self, base: Lsn) -> Result<bool, Error> {
        for nth in 0..self.slots.headless.len() {
            let slot = self.slots.headless[nth];
            self.slots.by_base.insert(base, slot);
            self.read(base)?;
            let mut scanner = self.scanner(base);
            if matches!(scanner.next(), Some(Ok(_))) || scanner.resync().is_some() {
                self.slots.headless.swap_remove(nth);
                return Ok(true);
            }
            self.slots.by_base.remove(&base);
        }
        Ok(false)
    }

    fn offset_of(&self, base: Lsn) -> u64 {
        self.slots.by_base.get(&base).map_or(0, |slot| slot.offset(self.segment_bytes).get())
    }

    fn damaged(&self, at: Lsn, base: Lsn, damage: DamageKind, durable_to: Lsn) -> Error {
        let offset = self.offset_of(base) + u64::from(at.offset_in_segment(self.segment_bytes));
        error::corrupt(at, offset, error::CorruptionKind::Message { damage, durable_to })
    }
}

fn missing(base: Lsn, durable_to: Lsn) -> Error {
    error::corrupt(base, 0, error::CorruptionKind::MissingSegment { durable_to })
}

/// The record that a message is, if it is one.
pub(crate) fn as_record<'a>(stream: StreamId, message: &Message<'a>) -> Option<Found<'a>> {
    (message.header.kind == MessageKind::Inline).then(|| Found {
        stream,
        lsn: message.lsn(),
        epoch: message.header.epoch,
        bytes: message.header.message_bytes() as u32,
        payload: message.payload,
    })
}

/// Where the byte at `lsn` of the segment in `slot` is.
pub(crate) fn offset_in(slot: SegmentId, lsn: Lsn, segment_bytes: SegmentBytes) -> FileOffset {
    slot.offset(segment_bytes) + u64::from(lsn.offset_in_segment(segment_bytes))
}
