//! A scanner without its bytes.
//!
//! Owns where a scan is and what it has learned: the place, the epoch, the effort spent. Refuses to hold the bytes, so that
//! whoever reads a segment piece by piece can use one buffer for all of them.

use super::{Damage, Message, ScanContext, first_nonzero, verify};
use crate::identity::Epoch;
use crate::layout::{MESSAGE_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::message::{MessageHeader, MessageKind, RawMessageHeader};
use crate::position::Lsn;

/// A [`Scanner`](crate::Scanner) without its bytes, for scanning what is read piece by piece into one buffer.
///
/// Every call is given the bytes that begin at [`Cursor::start`]. From one call to the next they may become more, at their
/// end, and fewer only as [`Cursor::forget`] says, at their beginning. What has no message in the bytes at hand is a damage
/// like any other, [`DamageKind::Cut`](crate::DamageKind::Cut) if it is for want of bytes; so whoever has more sees to it
/// beforehand that the next message is there as a whole.
///
/// Time stays linear in the bytes (N3) as long as they become more only a few times after a damage has been met.
///
/// ```
/// use esker_format::{Cursor, Epoch, LogId, Lsn, MessageHeader, MessageKind, ScanContext, SegmentBytes};
///
/// let seed = LogId::from_bytes([7; 16]).checksum_seed();
/// let mut cursor = Cursor::new(Lsn::FIRST, ScanContext::new(seed, SegmentBytes::MIN));
/// let mut buffer = [0; 24];
/// for _ in 0..3 {
///     let (kind, lsn) = (MessageKind::Inline, cursor.next_lsn());
///     MessageHeader { kind, len: 0, lsn, mark: Lsn::ZERO, epoch: Epoch::new(1) }.seal(&mut buffer, seed);
///     assert_eq!(cursor.next(&buffer).unwrap().unwrap().lsn(), lsn);
///     cursor.forget(24);
/// }
/// assert_eq!(cursor.next_lsn(), Lsn::FIRST + 72);
/// ```
#[derive(Clone, Debug)]
pub struct Cursor {
    /// The LSN of the first of the bytes.
    pub(super) start: Lsn,
    /// How far into them the segment ends.
    pub(super) room: usize,
    /// How far into them the next message begins.
    pub(super) at: usize,
    /// No message of an earlier epoch counts any more.
    epoch: Epoch,
    pub(super) context: ScanContext,
    /// Whether what lies at `at` is not a message.
    pub(super) is_damaged: bool,
    pub(super) effort: verify::Effort,
}

impl Cursor {
    /// A cursor at the LSN `start`: at a message, or at the segment's header, which is skipped unread. Bytes beyond the end
    /// of the segment are not looked at, and none at all at or beyond [`Lsn::LIMIT`].
    #[must_use]
    pub fn new(start: Lsn, context: ScanContext) -> Self {
        let in_segment = start.offset_in_segment(context.segment_bytes);
        // No log comes to the limit, which is the end of a segment, too; so no position that follows overflows.
        let room = if start < Lsn::LIMIT { (context.segment_bytes.get() - in_segment) as usize } else { 0 };
        let header_rest = SEGMENT_HEADER_BYTES.saturating_sub(in_segment as usize);
        Self {
            start,
            room,
            at: header_rest.min(room),
            epoch: Epoch::ZERO,
            context,
            is_damaged: false,
            effort: verify::Effort::default(),
        }
    }

    /// The LSN at which the bytes begin.
    #[must_use]
    #[inline]
    pub const fn start(&self) -> Lsn {
        self.start
    }

    /// Where the next message is expected or, after a damage, where the damage begins.
    #[must_use]
    #[inline]
    pub fn next_lsn(&self) -> Lsn {
        self.lsn_at(self.at)
    }

    /// How far into the bytes [`Cursor::next_lsn`] lies.
    #[must_use]
    #[inline]
    pub const fn at(&self) -> usize {
        self.at
    }

    /// Whether the cursor has come to the end of the segment.
    #[must_use]
    #[inline]
    pub const fn is_complete(&self) -> bool {
        self.at == self.room
    }

    /// The earliest epoch that a message at [`Cursor::next_lsn`] may have: that of the message before it, or what the
    /// context demands. A cursor of the next segment takes it as its minimum.
    #[must_use]
    pub fn epoch_min(&self) -> Epoch {
        self.epoch_min_at(self.next_lsn())
    }

    /// The next message; a [`Damage`] where there is something else, and from then on `None`, until
    /// [`resync`](Cursor::resync); and `None` where the bytes end at a message boundary.
    #[inline]
    pub fn next<'b>(&mut self, bytes: &'b [u8]) -> Option<Result<Message<'b>, Damage>> {
        let bytes = self.clip(bytes);
        if self.is_damaged || self.at >= bytes.len() {
            return None;
        }
        match self.message_at(bytes, self.at) {
            Some(message) => {
                self.at += message.header.message_bytes();
                self.epoch = message.header.epoch;
                Some(Ok(message))
            }
            None => {
                self.is_damaged = true;
                Some(Err(self.diagnose(bytes)))
            }
        }
    }

    /// Says that the first `bytes` of the bytes are gone, so that the rest begins that much later.
    ///
    /// # Panics
    ///
    /// If the cursor has not come so far.
    pub fn forget(&mut self, bytes: usize) {
        assert!(bytes <= self.at, "{bytes} bytes are to be forgotten, but the cursor is at {}", self.at);
        self.start = self.lsn_at(bytes);
        self.room -= bytes;
        self.at -= bytes;
        self.effort.forget_sums();
    }

    /// The bytes up to the end of the segment.
    #[inline]
    pub(super) fn clip<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        &bytes[..bytes.len().min(self.room)]
    }

    /// Takes back what of the segment's header was skipped although it is not there.
    pub(super) fn end_with(&mut self, bytes: &[u8]) {
        self.at = self.at.min(bytes.len());
    }

    #[inline]
    pub(super) fn lsn_at(&self, at: usize) -> Lsn {
        // No overflow: `at` is at most `room`, and `new` has limited that.
        self.start + at as u64
    }

    #[inline]
    fn epoch_min_at(&self, lsn: Lsn) -> Epoch {
        if lsn >= self.context.epoch_start { self.epoch.max(self.context.epoch_min) } else { self.epoch }
    }

    /// The message at `at`, if it is valid in every respect (N1).
    #[inline]
    pub(super) fn message_at<'b>(&mut self, bytes: &'b [u8], at: usize) -> Option<Message<'b>> {
        let (message, header, crc32) = self.plausible_at(bytes, at)?;
        self.verify_at(bytes, at, message).ok()?;
        if header.kind == MessageKind::Pad && first_nonzero(&message[MESSAGE_HEADER_BYTES..]).is_some() {
            return None;
        }
        Some(Message { header, payload: &message[MESSAGE_HEADER_BYTES..], crc32 })
    }

    /// The bytes, the header and the stored checksum of the message at `at`, if its header alone does not rule it out.
    #[inline]
    fn plausible_at<'b>(&self, bytes: &'b [u8], at: usize) -> Option<(&'b [u8], MessageHeader, u32)> {
        let lsn = self.lsn_at(at);
        let rest = &bytes[at..];
        let mut raw = RawMessageHeader::decode(rest)?;
        if cfg!(esker_sabotage = "lsn") {
            raw.lsn = lsn;
        }
        if raw.lsn != lsn {
            return None;
        }
        let header = raw.interpret().ok()?;
        let message = rest.get(..header.message_bytes())?;
        let fits_kind = match header.kind {
            MessageKind::Pad => at + message.len() == self.room,
            MessageKind::Mark => header.len == 0,
            MessageKind::Inline | MessageKind::BlobPointer | MessageKind::Aborted | MessageKind::Lost => true,
        };
        let is_fresh = header.epoch >= self.epoch_min_at(lsn) || cfg!(esker_sabotage = "stale_segment");
        (fits_kind && is_fresh).then_some((message, header, raw.crc32))
    }
}
