//! What the store writes down of its segments, as records of an ordinary log: the *ledger*.
//!
//! Owns the encoding of notes, and the table that follows from them. Refuses I/O.
//!
//! # Notes
//!
//! All numbers are little-endian. The first byte tells the kind:
//!
//! | byte | note | then |
//! |--:|---|---|
//! | 1 | created | version (2), identity of the data file (16), log2 of the segment size (1) |
//! | 2 | begun | stream (1), base (8): a stream got a segment |
//! | 3 | freed | owner's mark (8), count (4), bases (8 each): nobody needs these segments any more |
//! | 4 | opened | epoch (4), count (4), base and end of segments (16 each): where those end that were not full |
//! | 5 | owner | what the owner of the store noted |
//! | 6 | table | version (2), identity (16), log2 (1), epoch (4), next base (8), owner's mark (8), count (4), then for each segment base (8), stream (1), end or 0 (8): all that the notes before it amount to |
//!
//! # Invariants
//!
//! - **N1 (never twice):** no two segments ever have the same base, and a base that was freed does not come back.
//! - **N2 (total):** any bytes are either a note or a [`NoteError`]; nothing panics.

use std::collections::BTreeMap;

use esker_format::{Epoch, LogId, Lsn, SegmentBytes};
use thiserror::Error;

use crate::StreamId;

/// The version of the notes and of the data file.
pub(crate) const VERSION: u16 = 1;

/// What a note says that is the store's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    Created { log_id: LogId, segment_bytes: SegmentBytes },
    Begun { stream: StreamId, base: Lsn },
    Freed { mark: u64, bases: Vec<Lsn> },
    Opened { epoch: Epoch, ends: Vec<(Lsn, Lsn)> },
    Table(Table),
}

/// A segment, as far as the ledger knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) stream: StreamId,
    /// Where its messages end, once that is certain.
    pub(crate) end: Option<Lsn>,
}

/// What the notes amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) log_id: LogId,
    pub(crate) segment_bytes: SegmentBytes,
    /// That of the last opening.
    pub(crate) epoch: Epoch,
    /// Every segment that was ever begun has a base below.
    pub(crate) next_base: Lsn,
    /// The highest mark of the owner that came with freed segments.
    pub(crate) freed_mark: u64,
    pub(crate) segments: BTreeMap<Lsn, Entry>,
}

/// Why a record of the ledger is not a note.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum NoteError {
    #[error("a note of unknown kind {0}")]
    UnknownKind(u8),
    #[error("a note that ends too early or too late")]
    Length,
    #[error("a segment size of 2^{0} bytes")]
    SegmentBytes(u8),
    #[error("version {0}, this program reads up to {VERSION}")]
    Newer(u16),
    #[error("the ledger does not begin with what the store is")]
    NoBeginning,
    #[error("stream {0} does not exist")]
    Stream(u8),
    #[error("segment {0} is begun twice")]
    Twice(Lsn),
    #[error("segment {0} ends at {1}")]
    End(Lsn, Lsn),
    #[error("{0} is not the base of a segment")]
    Base(Lsn),
}

const CREATED: u8 = 1;
const BEGUN: u8 = 2;
const FREED: u8 = 3;
const OPENED: u8 = 4;
const OWNER: u8 = 5;
const TABLE: u8 = 6;

/// A note of the owner, ready to be appended.
pub(crate) fn owners(note: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + note.len());
    bytes.push(OWNER);
    bytes.extend_from_slice(note);
    bytes
}

/// The owner's note in a record, if it is one.
pub(crate) fn as_owners(record: &[u8]) -> Option<&[u8]> {
    record.split_first().filter(|&(&kind, _)| kind == OWNER).map(|(_, note)| note)
}

impl Note {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Created { log_id, segment_bytes } => {
                out.push(CREATED);
                put_identity(&mut out, *log_id, *segment_bytes);
            }
            Self::Begun { stream, base } => {
                out.extend_from_slice(&[BEGUN, stream.get()]);
                put_u64(&mut out, base.get());
            }
            Self::Freed { mark, bases } => {
                out.push(FREED);
                put_u64(&mut out, *mark);
                put_count(&mut out, bases.len());
                bases.iter().for_each(|base| put_u64(&mut out, base.get()));
            }
            Self::Opened { epoch, ends } => {
                out.push(OPENED);
                out.extend_from_slice(&epoch.get().to_le_bytes());
                put_count(&mut out, ends.len());
                for (base, end) in ends {
                    put_u64(&mut out, base.get());
                    put_u64(&mut out, end.get());
                }
            }
            Self::Table(table) => {
                out.push(TABLE);
                put_identity(&mut out, table.log_id, table.segment_bytes);
                out.extend_from_slice(&table.epoch.get().to_le_bytes());
                put_u64(&mut out, table.next_base.get());
                put_u64(&mut out, table.freed_mark);
                put_count(&mut out, table.segments.len());
                for (base, entry) in &table.segments {
                    put_u64(&mut out, base.get());
                    out.push(entry.stream.get());
                    put_u64(&mut out, entry.end.map_or(0, Lsn::get));
                }
            }
        }
        out
    }

    pub(crate) fn decode(record: &[u8]) -> Result<Self, NoteError> {
        let mut bytes = Bytes(record);
        let note = match bytes.u8()? {
            CREATED => {
                let (log_id, segment_bytes) = bytes.identity()?;
                Self::Created { log_id, segment_bytes }
            }
            BEGUN => Self::Begun { stream: bytes.stream()?, base: bytes.lsn()? },
            FREED => {
                let mark = bytes.u64()?;
                let count = bytes.count(8)?;
                Self::Freed { mark, bases: (0..count).map(|_| bytes.lsn()).collect::<Result<_, _>>()? }
            }
            OPENED => {
                let epoch = Epoch::new(bytes.u32()?);
                let count = bytes.count(16)?;
                let ends = (0..count).map(|_| Ok((bytes.lsn()?, bytes.lsn()?))).collect::<Result<_, _>>()?;
                Self::Opened { epoch, ends }
            }
            TABLE => {
                let (log_id, segment_bytes) = bytes.identity()?;
                let epoch = Epoch::new(bytes.u32()?);
                let (next_base, freed_mark) = (bytes.lsn()?, bytes.u64()?);
                let mut segments = BTreeMap::new();
                for _ in 0..bytes.count(17)? {
                    let (base, stream, end) = (bytes.lsn()?, bytes.stream()?, bytes.lsn()?);
                    let end = (end != Lsn::ZERO).then_some(end);
                    if segments.insert(base, Entry { stream, end }).is_some() {
                        return Err(NoteError::Twice(base));
                    }
                }
                Self::Table(Table { log_id, segment_bytes, epoch, next_base, freed_mark, segments })
            }
            other => return Err(NoteError::UnknownKind(other)),
        };
        bytes.0.is_empty().then_some(note).ok_or(NoteError::Length)
    }
}

impl Table {
    pub(crate) fn new(log_id: LogId, segment_bytes: SegmentBytes) -> Self {
        Self {
            log_id,
            segment_bytes,
            epoch: Epoch::ZERO,
            next_base: Lsn::ZERO,
            freed_mark: 0,
            segments: BTreeMap::new(),
        }
    }

    /// The table after one more note. `None` before the first.
    pub(crate) fn after(table: Option<Self>, note: Note) -> Result<Option<Self>, NoteError> {
        let mut table = match (table, note) {
            // An interrupted creation may have said so twice.
            (_, Note::Created { log_id, segment_bytes }) => return Ok(Some(Self::new(log_id, segment_bytes))),
            (_, Note::Table(table)) => {
                for (&base, entry) in &table.segments {
                    table.check_base(base)?;
                    entry.end.map_or(Ok(()), |end| table.check_end(base, end))?;
                }
                table
            }
            // What was noted before a table that was not reached yet: it says everything again.
            (None, _) => return Ok(None),
            (Some(mut table), note) => {
                table.apply(note)?;
                table
            }
        };
        table.raise_next_base();
        Ok(Some(table))
    }

    pub(crate) fn apply(&mut self, note: Note) -> Result<(), NoteError> {
        match note {
            Note::Begun { stream, base } => {
                self.check_base(base)?;
                if self.segments.insert(base, Entry { stream, end: None }).is_some() {
                    return Err(NoteError::Twice(base));
                }
            }
            Note::Freed { mark, bases } => {
                self.freed_mark = self.freed_mark.max(mark);
                for base in bases {
                    self.segments.remove(&base);
                }
            }
            Note::Opened { epoch, ends } => {
                self.epoch = self.epoch.max(epoch);
                for (base, end) in ends {
                    self.check_end(base, end)?;
                    if let Some(entry) = self.segments.get_mut(&base) {
                        entry.end = Some(end);
                    }
                }
            }
            Note::Created { .. } | Note::Table(_) => unreachable!("these begin a table"),
        }
        Ok(())
    }

    fn check_base(&self, base: Lsn) -> Result<(), NoteError> {
        let is_base = base < Lsn::LIMIT && base.offset_in_segment(self.segment_bytes) == 0;
        if is_base { Ok(()) } else { Err(NoteError::Base(base)) }
    }

    fn check_end(&self, base: Lsn, end: Lsn) -> Result<(), NoteError> {
        let is_end = end >= base && end.get() - base.get() <= u64::from(self.segment_bytes.get());
        if is_end { Ok(()) } else { Err(NoteError::End(base, end)) }
    }

    fn raise_next_base(&mut self) {
        if let Some((&last, _)) = self.segments.last_key_value() {
            self.next_base = self.next_base.max(last.next_segment(self.segment_bytes));
        }
    }
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("there are fewer segments than a 32-bit number of slots");
    out.extend_from_slice(&count.to_le_bytes());
}

fn put_identity(out: &mut Vec<u8>, log_id: LogId, segment_bytes: SegmentBytes) {
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&log_id.to_bytes());
    out.push(segment_bytes.log2());
}

/// What is left of a note.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], NoteError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(NoteError::Length)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, NoteError> {
        self.take().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, NoteError> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, NoteError> {
        self.take().map(u64::from_le_bytes)
    }

    fn lsn(&mut self) -> Result<Lsn, NoteError> {
        self.u64().map(Lsn::new)
    }

    fn stream(&mut self) -> Result<StreamId, NoteError> {
        let number = self.u8()?;
        StreamId::new(number).ok_or(NoteError::Stream(number))
    }

    /// A number of things of `each` bytes, all of which are there.
    fn count(&mut self, each: usize) -> Result<usize, NoteError> {
        let count = self.u32()? as usize;
        if self.0.len() == count.saturating_mul(each) { Ok(count) } else { Err(NoteError::Length) }
    }

    fn identity(&mut self) -> Result<(LogId, SegmentBytes), NoteError> {
        let version = u16::from_le_bytes(self.take()?);
        if version > VERSION {
            return Err(NoteError::Newer(version));
        }
        let log_id = LogId::from_bytes(self.take()?);
        let log2 = self.u8()?;
        Ok((log_id, SegmentBytes::from_log2(log2).map_err(|_| NoteError::SegmentBytes(log2))?))
    }
}
