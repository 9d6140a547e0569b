//! What recovery tells its users.

use std::fmt;

use esker_format::{DamageKind, FileOffset, LogId, Lsn, SegmentId, StructureError};

use crate::error::Corruption;

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
    /// Something that had been durable and cannot be read: the first that recovery met. Only a
    /// [`LogReader`](crate::LogReader) opens in spite of it, or a log whose
    /// [options](crate::Options::on_damage) say so.
    pub damage: Option<Corruption>,
    /// What cannot be read any more, or is given up, in LSN order. Complete if the log was opened for writing with
    /// another policy than [`OnDamage::Refuse`](crate::OnDamage::Refuse), which reads everything; otherwise what recovery
    /// came across, which reads no more than the end of the log: [`LogReader::verify`](crate::LogReader::verify) tells all.
    pub lost: Vec<LostRange>,
    /// What else is worth knowing. Nothing of it loses a record.
    pub notes: Vec<RecoveryNote>,
}

/// A part of the log that cannot be read, or was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostRange {
    /// Where it begins.
    pub from: Lsn,
    /// Where it ends: here the next whole message begins, or the log ends.
    pub to: Lsn,
    /// What stands at its beginning.
    pub why: Corruption,
}

impl fmt::Display for LostRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lsn {} to {}: {}", self.from, self.to, self.why)
    }
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
    /// The header of a segment was unreadable and told by the segment's messages. It was written again.
    HeaderRestored(Corruption),
    /// Neither copy of the superblock could be read. What it says was taken from the headers of the segments, which know
    /// nothing of truncations since the last of them was begun.
    SuperblockRebuilt(Corruption),
    /// Two slots have the header of one segment; this one holds less of it, and is not part of the log.
    SegmentTwice {
        /// The slot.
        segment: SegmentId,
        /// The segment that both say they are.
        base: Lsn,
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
            Self::SegmentTwice { segment, base } => {
                write!(f, "slot {segment} has the header of the segment at lsn {base}, which is in another slot")
            }
            Self::HeaderRestored(corruption) => write!(f, "{corruption}; it was written again"),
            Self::SuperblockRebuilt(corruption) => write!(f, "{corruption}; the segments told what it had said"),
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
        for lost in &self.lost {
            write!(f, "; lost: {lost}")?;
        }
        for note in &self.notes {
            write!(f, "; {note}")?;
        }
        Ok(())
    }
}
