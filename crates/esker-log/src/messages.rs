//! Listing every message of a log, and every place where there should be one.

use std::{collections::VecDeque, fmt, sync::Arc};

use esker_format::{
    BlobPointer, Epoch, FileOffset, Lsn, MESSAGE_HEADER_BYTES, MessageKind, SEGMENT_HEADER_BYTES, SegmentId,
};

use crate::{
    Corruption, CorruptionKind, Error, LostRange,
    recovery::{Recovered, Table},
    walk::{Rules, Step, Walk},
};

/// One message of any kind, as [`LogReader::messages`](crate::LogReader::messages) lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageInfo {
    /// Where it is in the log.
    pub lsn: Lsn,
    /// The slot it is in.
    pub segment: SegmentId,
    /// Where it is in the file.
    pub offset: FileOffset,
    /// What it holds.
    pub kind: MessageKind,
    /// The length of its payload in bytes.
    pub len: u32,
    /// Its checksum, which is right.
    pub crc32: u32,
    /// The opening that wrote it.
    pub epoch: Epoch,
    /// Everything below was known to be durable when it was written.
    pub mark: Lsn,
    /// The blob that it points at, if that is what it holds.
    pub blob: Option<BlobPointer>,
}

impl MessageInfo {
    /// Where the message ends and the next one begins.
    #[must_use]
    pub fn end(&self) -> Lsn {
        self.lsn + (MESSAGE_HEADER_BYTES as u64 + u64::from(self.len))
    }
}

/// Every message of a log: see [`LogReader::messages`](crate::LogReader::messages).
pub struct Messages {
    table: Arc<Table>,
    rules: Rules,
    durable_to: Lsn,
    next_base: Lsn,
    end: Lsn,
    bases: VecDeque<Lsn>,
    walk: Option<Walk>,
    /// Where the present walk ends.
    walk_end: Lsn,
    /// The highest epoch that was met: along the log they never decrease.
    epoch: Epoch,
    failed: bool,
}

/// What is at a place of the log.
pub(crate) enum Found {
    /// A whole message.
    Message(MessageInfo),
    /// Nothing that can be read, and the highest epoch before it.
    Unreadable(LostRange, Epoch),
}

impl Messages {
    /// Beginning with the segment that `from` is in.
    pub(crate) fn new(recovered: &Recovered, from: Lsn) -> Self {
        Self {
            table: recovered.table.clone(),
            rules: recovered.rules(),
            durable_to: recovered.report.mark,
            next_base: from.segment_base(recovered.superblock.segment_bytes),
            end: recovered.tip,
            bases: recovered.table.bases_from(from),
            walk: None,
            walk_end: from,
            epoch: Epoch::ZERO,
            failed: false,
        }
    }

    /// What comes next. After an error there is nothing any more.
    pub(crate) fn next_found(&mut self) -> Option<Result<Found, Error>> {
        if self.failed {
            return None;
        }
        let next = self.step();
        self.failed = next.is_err();
        next.transpose()
    }

    fn step(&mut self) -> Result<Option<Found>, Error> {
        loop {
            let Some(walk) = &mut self.walk else {
                if self.next_base >= self.end {
                    return Ok(None);
                }
                let wanted = self.next_base;
                match self.bases.front() {
                    Some(&base) if base == wanted => {
                        self.bases.pop_front();
                        self.next_base = base + u64::from(self.rules.segment_bytes.get());
                        self.walk_end = self.next_base.min(self.end);
                        self.epoch = self.epoch.max(self.table.epoch_of(base).unwrap_or_default());
                        let first = base + SEGMENT_HEADER_BYTES as u64;
                        self.walk = Some(Walk::new(self.table.clone(), self.rules, Epoch::ZERO, first, self.walk_end));
                        continue;
                    }
                    later => {
                        self.next_base = later.map_or(self.end, |&base| base.min(self.end));
                        let kind = CorruptionKind::MissingSegment { durable_to: self.durable_to };
                        return Ok(Some(self.unreadable(wanted, self.next_base, kind)));
                    }
                }
            };
            let at = walk.at();
            match walk.next()? {
                None => self.walk = None,
                Some(Step::Message(header, crc32)) => {
                    let pointer = BlobPointer::decode(walk.payload()).ok();
                    let pointer = pointer.filter(|_| header.kind == MessageKind::BlobPointer);
                    self.epoch = self.epoch.max(header.epoch);
                    let info = MessageInfo {
                        lsn: header.lsn,
                        segment: self.table.segment_of(at).unwrap_or_default(),
                        offset: self.table.locate(at).unwrap_or_default(),
                        kind: header.kind,
                        len: header.len,
                        crc32,
                        epoch: header.epoch,
                        mark: header.mark,
                        blob: pointer,
                    };
                    return Ok(Some(Found::Message(info)));
                }
                Some(Step::Damage(damage)) => {
                    let to = match walk.resync()? {
                        true => walk.at(),
                        false => {
                            self.walk = None;
                            self.walk_end
                        }
                    };
                    let kind = CorruptionKind::Message { damage: damage.kind, durable_to: self.durable_to };
                    return Ok(Some(self.unreadable(at, to, kind)));
                }
                Some(Step::Missing) => {
                    self.walk = None;
                    let kind = CorruptionKind::MissingSegment { durable_to: self.durable_to };
                    return Ok(Some(self.unreadable(at, self.walk_end, kind)));
                }
            }
        }
    }

    fn unreadable(&self, from: Lsn, to: Lsn, kind: CorruptionKind) -> Found {
        let why = Corruption::in_log(from, self.table.locate(from).unwrap_or_default(), kind);
        Found::Unreadable(LostRange { from, to, why }, self.epoch)
    }
}

impl Iterator for Messages {
    type Item = Result<MessageInfo, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.next_found()?.and_then(|found| match found {
            Found::Message(info) => Ok(info),
            Found::Unreadable(lost, _) => Err(lost.why.into()),
        }))
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").field("next_base", &self.next_base).field("end", &self.end).finish_non_exhaustive()
    }
}
