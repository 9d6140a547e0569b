//! What a scanner met where it expected a message.

use thiserror::Error;

use super::{Cursor, first_nonzero};
use crate::identity::{ChecksumMismatch, Epoch};
use crate::layout::MESSAGE_HEADER_BYTES;
use crate::message::{MessageKind, RawMessageHeader};
use crate::position::Lsn;

/// A place where a message was expected and none is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("at LSN {at}: {kind}")]
pub struct Damage {
    /// Where the message should begin.
    pub at: Lsn,
    /// What is there instead.
    #[source]
    pub kind: DamageKind,
    /// The bytes there, read as a header, if there are enough. Nothing in it can be relied on.
    pub claimed: Option<RawMessageHeader>,
}

/// What is where a message was expected.
///
/// If more than one thing is wrong, the first in the order of this list is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DamageKind {
    /// The rest of the segment is too small for a message; a writer never leaves such a rest.
    #[error("the {room} bytes to the end of the segment are too few for a message")]
    Sliver {
        /// How many bytes are left in the segment.
        room: usize,
    },
    /// The bytes at hand end inside the message. The segment goes on.
    #[error("the bytes end inside the message: {have} are there, {need} are needed")]
    Cut {
        /// How many bytes of the message there are.
        have: usize,
        /// How many it has; if even the header is cut, how many the header has.
        need: usize,
    },
    /// All bytes of the header are zero: never written.
    #[error("blank, never written")]
    Blank,
    /// A whole message of a lower LSN that belongs to the same place: left from an earlier life of the segment.
    #[error("a message of LSN {found} from an earlier life of the segment")]
    Stale {
        /// The LSN of that message.
        found: Lsn,
    },
    /// A whole message of an LSN that cannot have been written here.
    #[error("a misplaced message of LSN {found}")]
    Misplaced {
        /// The LSN of that message.
        found: Lsn,
    },
    /// No message, and the LSN is not this place's.
    #[error("not a message: where the LSN should be is {found}")]
    WrongLsn {
        /// What the bytes say.
        found: Lsn,
    },
    /// The payload would reach beyond the end of the segment.
    #[error("a payload of {len} bytes, but only {room} are left in the segment")]
    LengthOverrun {
        /// The claimed length of the payload.
        len: u32,
        /// How many bytes are left for it.
        room: usize,
    },
    /// The bytes are not those that were written.
    #[error("checksum mismatch: {expected:08x} is stored, but the bytes give {found:08x}")]
    Checksum {
        /// The checksum that is stored.
        expected: u32,
        /// The checksum of the bytes as they are.
        found: u32,
    },
    /// A whole message, but of an earlier epoch than must stand here: left from a tail that has been cut off.
    #[error("a message of epoch {found}, but none before {epoch_min} counts here")]
    StaleEpoch {
        /// The epoch of the message.
        found: Epoch,
        /// The earliest epoch that counts here.
        epoch_min: Epoch,
    },
    /// A whole message of a kind that this version does not know.
    #[error("unknown message kind {found}")]
    UnknownKind {
        /// The number of the kind.
        found: u8,
    },
    /// A whole message whose mark would lie before the beginning of the log.
    #[error("{unsynced} bytes unsynced reach beyond the beginning of the log")]
    UnsyncedBeyondLsn {
        /// The claimed distance of the mark from the LSN.
        unsynced: u32,
    },
    /// A whole pad that does not reach the end of the segment.
    #[error("a pad ends {missing} bytes before the end of the segment")]
    PadShort {
        /// How many bytes are left behind it.
        missing: usize,
    },
    /// A whole pad that holds something.
    #[error("byte {offset} of a pad is not zero")]
    PadNotZero {
        /// Where in the payload the first such byte lies.
        offset: usize,
    },
    /// A whole mark with a payload.
    #[error("a mark with a payload of {len} bytes")]
    MarkNotEmpty {
        /// The length of the payload.
        len: u32,
    },
}

impl DamageKind {
    /// Whether this is what an ordinary end of a log looks like: nothing has been written here since the segment was begun,
    /// or since a torn tail was cut off here.
    #[must_use]
    pub const fn is_unwritten(&self) -> bool {
        matches!(self, Self::Blank | Self::Stale { .. } | Self::StaleEpoch { .. })
    }

    /// The name of the kind, as it is printed: one lower-case word.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sliver { .. } => "sliver",
            Self::Cut { .. } => "cut",
            Self::Blank => "blank",
            Self::Stale { .. } => "stale",
            Self::Misplaced { .. } => "misplaced",
            Self::WrongLsn { .. } => "wrong-lsn",
            Self::LengthOverrun { .. } => "length-overrun",
            Self::Checksum { .. } => "checksum",
            Self::StaleEpoch { .. } => "stale-epoch",
            Self::UnknownKind { .. } => "unknown-kind",
            Self::UnsyncedBeyondLsn { .. } => "unsynced-beyond-lsn",
            Self::PadShort { .. } => "pad-short",
            Self::PadNotZero { .. } => "pad-not-zero",
            Self::MarkNotEmpty { .. } => "mark-not-empty",
        }
    }
}

impl Cursor {
    /// What is wrong at the cursor's place, given that no valid message is there.
    #[cold]
    pub(super) fn diagnose(&mut self, bytes: &[u8]) -> Damage {
        let rest = &bytes[self.at..];
        let claimed = RawMessageHeader::decode(rest);
        let room = self.room - self.at;
        let kind = match claimed {
            None if room < MESSAGE_HEADER_BYTES => DamageKind::Sliver { room },
            None => DamageKind::Cut { have: rest.len(), need: MESSAGE_HEADER_BYTES },
            Some(raw) => self.diagnose_header(bytes, raw, room),
        };
        Damage { at: self.next_lsn(), kind, claimed }
    }

    fn diagnose_header(&mut self, bytes: &[u8], raw: RawMessageHeader, room: usize) -> DamageKind {
        if raw.is_blank() {
            return DamageKind::Blank;
        }
        let rest = &bytes[self.at..];
        let at = self.next_lsn();
        let need = MESSAGE_HEADER_BYTES + raw.len as usize;
        let message = rest.get(..need);
        let checksum = message.map(|message| self.verify_at(bytes, self.at, message));
        if raw.lsn != at {
            let segment_bytes = self.context.segment_bytes;
            let is_congruent = raw.lsn.offset_in_segment(segment_bytes) == at.offset_in_segment(segment_bytes);
            return match checksum {
                Some(Ok(())) if is_congruent && raw.lsn < at => DamageKind::Stale { found: raw.lsn },
                Some(Ok(())) => DamageKind::Misplaced { found: raw.lsn },
                Some(Err(_)) | None => DamageKind::WrongLsn { found: raw.lsn },
            };
        }
        let (message, checksum) = match (message, checksum) {
            (Some(message), Some(checksum)) => (message, checksum),
            _ if need > room => {
                return DamageKind::LengthOverrun { len: raw.len, room: room - MESSAGE_HEADER_BYTES };
            }
            _ => return DamageKind::Cut { have: rest.len(), need },
        };
        match checksum {
            Err(ChecksumMismatch { expected, found }) => DamageKind::Checksum { expected, found },
            Ok(()) => self.diagnose_meaning(raw, &message[MESSAGE_HEADER_BYTES..], room - need),
        }
    }

    /// What is wrong with a message whose place, length and checksum are right.
    fn diagnose_meaning(&self, raw: RawMessageHeader, payload: &[u8], missing: usize) -> DamageKind {
        let epoch_min = self.epoch_min();
        if raw.epoch < epoch_min {
            return DamageKind::StaleEpoch { found: raw.epoch, epoch_min };
        }
        let Some(kind) = MessageKind::from_u8(raw.kind) else {
            return DamageKind::UnknownKind { found: raw.kind };
        };
        if raw.interpret().is_err() {
            return DamageKind::UnsyncedBeyondLsn { unsynced: raw.unsynced };
        }
        match kind {
            MessageKind::Pad => match first_nonzero(payload) {
                Some(offset) if missing == 0 => DamageKind::PadNotZero { offset },
                _ => DamageKind::PadShort { missing },
            },
            MessageKind::Mark => DamageKind::MarkNotEmpty { len: raw.len },
            MessageKind::Inline | MessageKind::BlobPointer | MessageKind::Aborted | MessageKind::Lost => {
                unreachable!("no rule is broken by {raw:?}, yet it was refused")
            }
        }
    }
}
