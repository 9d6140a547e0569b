//! Reading what is in the file: one record, or the blob pointers of a segment.

use std::cell::Cell;

use esker_format::{
    BlobPointer, Epoch, FileOffset, Lsn, MESSAGE_HEADER_BYTES, MessageKind, RawMessageHeader, SEGMENT_HEADER_BYTES,
};

use crate::{
    Corruption, CorruptionKind, Error, Record,
    origin::Origin,
    record::whole_message,
    walk::{Step, Walk},
};

/// How much is read at least, and at most kept in memory, for records that are looked up one by one.
const READ_BYTES_MIN: usize = 256;
const READ_BYTES_KEPT: usize = 64 << 10;
/// Lengths are rounded up to this, a processor's unit of fetching.
const LINE_BYTES: usize = 64;

thread_local! {
    /// What this thread reads into. As long as the last record it looked up, because the next is likely to be as long, and
    /// reading more than is needed costs as much as the call itself.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Reads a record that is in the file.
pub(crate) fn read_written(origin: &Origin, lsn: Lsn) -> Result<Record, Error> {
    // Taken, not borrowed: a storage may have a log of its own beneath. The destructors of a thread may find none.
    let mut bytes = SCRATCH.try_with(Cell::take).unwrap_or_default();
    let record = read_into(&mut bytes, origin, lsn);
    SCRATCH.try_with(|scratch| scratch.set(bytes)).ok();
    record
}

/// Reads a record, and leaves `bytes` as long as the next one is expected to be.
fn read_into(bytes: &mut Vec<u8>, origin: &Origin, lsn: Lsn) -> Result<Record, Error> {
    let segment_bytes = origin.rules.segment_bytes;
    let room = (segment_bytes.get() - lsn.offset_in_segment(segment_bytes)) as usize;
    bytes.resize(bytes.len().max(READ_BYTES_MIN).min(room), 0);
    let Some(mut have) = origin.placement.read(lsn, bytes)? else { return read_by_walking(origin, lsn) };
    if let Some(raw) = RawMessageHeader::decode(&bytes[..have]) {
        let need = MESSAGE_HEADER_BYTES + raw.len as usize;
        if raw.lsn == lsn && have == bytes.len() && have < need && need <= room {
            bytes.resize(need, 0);
            have += origin.placement.read(lsn + have as u64, &mut bytes[have..])?.unwrap_or(0);
        }
    }
    let Some(message) = whole_message(&bytes[..have], lsn, origin.rules) else {
        bytes.truncate(READ_BYTES_MIN);
        return read_by_walking(origin, lsn);
    };
    let kind = message.header.kind;
    let record = Record::of(&message, origin.storage.as_ref(), origin.log_id);
    let next = message.header.message_bytes().next_multiple_of(LINE_BYTES);
    bytes.resize(next.clamp(READ_BYTES_MIN, READ_BYTES_KEPT), 0);
    bytes.shrink_to(READ_BYTES_KEPT);
    match record {
        Some(record) => unless_truncated(origin, lsn, record),
        None if kind == MessageKind::Lost => Err(Error::Lost { lsn }),
        None => Err(Error::NotARecord { lsn }),
    }
}

/// A record as it was read, unless it could not be because it was truncated meanwhile, and its blob removed.
pub(crate) fn unless_truncated(origin: &Origin, lsn: Lsn, record: Result<Record, Error>) -> Result<Record, Error> {
    match record {
        Err(Error::Corrupt(corruption)) => match origin.placement.floor()? {
            floor if lsn < floor => Err(Error::Truncated { lsn, floor }),
            _ => Err(corruption.into()),
        },
        record => record,
    }
}

/// Where there was no whole message at `lsn`: reads the segment up to there, and finds out whether the record was truncated,
/// lies within another, or is damaged. It may also be there, and what was read before was not what the file holds.
fn read_by_walking(origin: &Origin, lsn: Lsn) -> Result<Record, Error> {
    let floor = origin.placement.floor()?;
    if lsn < floor {
        return Err(Error::Truncated { lsn, floor });
    }
    let segment_bytes = origin.rules.segment_bytes;
    let base = lsn.segment_base(segment_bytes);
    let first = base + SEGMENT_HEADER_BYTES as u64;
    if lsn < first {
        return Err(Error::NotARecord { lsn });
    }
    let end = base + u64::from(segment_bytes.get());
    let mut walk = Walk::new(origin.placement.clone(), origin.rules, Epoch::ZERO, first, end);
    let durable_to = origin.placement.durable_to();
    loop {
        let at = walk.at();
        let corrupt = |kind| {
            let offset = FileOffset::new(origin.placement.offset_of(at));
            Err(Corruption::in_log(at, offset, kind).into())
        };
        match walk.next()? {
            Some(Step::Message(header, _)) if header.end() <= lsn => (),
            Some(Step::Message(header, _)) if header.kind == MessageKind::Lost => return Err(Error::Lost { lsn }),
            Some(Step::Message(header, _)) if header.lsn == lsn => {
                return match header.kind {
                    MessageKind::Inline => Ok(Record::new(lsn, walk.payload().to_vec())),
                    MessageKind::BlobPointer => {
                        let (storage, payload) = (origin.storage.as_ref(), walk.payload());
                        unless_truncated(origin, lsn, Record::of_pointer(lsn, payload, storage, origin.log_id))
                    }
                    _ => Err(Error::NotARecord { lsn }),
                };
            }
            Some(Step::Message(..)) | None => return Err(Error::NotARecord { lsn }),
            Some(Step::Damage(damage)) => {
                return corrupt(CorruptionKind::Message { damage: damage.kind, durable_to });
            }
            Some(Step::Missing) => return corrupt(CorruptionKind::MissingSegment { durable_to }),
        }
    }
}

/// What looking for pointers does when it meets damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BeyondDamage {
    /// An error: the pointer that matters may be there.
    Stop,
    /// Goes on with what can be read: a pointer that is missed costs space.
    GoOn,
}

/// Calls `visit` for every blob pointer of the segment at `base`, up to `end`.
pub(crate) fn walk_pointers(
    origin: &Origin,
    base: Lsn,
    end: Lsn,
    beyond_damage: BeyondDamage,
    visit: &mut dyn FnMut(Lsn, BlobPointer),
) -> Result<(), Error> {
    let segment_end = base + u64::from(origin.rules.segment_bytes.get());
    let first = base + SEGMENT_HEADER_BYTES as u64;
    let mut walk = Walk::new(origin.placement.clone(), origin.rules, Epoch::ZERO, first, segment_end.min(end));
    loop {
        let at = walk.at();
        let kind = match walk.next()? {
            None => return Ok(()),
            Some(Step::Message(header, _)) => {
                if header.kind == MessageKind::BlobPointer
                    && let Ok(pointer) = BlobPointer::decode(walk.payload())
                {
                    visit(at, pointer);
                }
                continue;
            }
            Some(Step::Damage(_)) if beyond_damage == BeyondDamage::GoOn => match walk.resync()? {
                true => continue,
                false => return Ok(()),
            },
            Some(Step::Missing) if beyond_damage == BeyondDamage::GoOn => return Ok(()),
            Some(Step::Damage(damage)) => {
                CorruptionKind::Message { damage: damage.kind, durable_to: origin.placement.durable_to() }
            }
            Some(Step::Missing) => CorruptionKind::MissingSegment { durable_to: origin.placement.durable_to() },
        };
        let offset = FileOffset::new(origin.placement.offset_of(at));
        return Err(Corruption::in_log(at, offset, kind).into());
    }
}
