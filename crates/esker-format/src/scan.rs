//! Walking through the messages of a segment.
//!
//! Owns [`Scanner`], which returns message after message and says precisely what it met where there is none. Refuses to
//! decide what damage means: whether it is a torn tail or corruption depends on marks that may lie elsewhere.
//!
//! # Invariants
//!
//! - N1 (valid or damage): a message is returned only if its place, its checksum, its epoch and the rules of its kind are
//!   all right. Everything else is a [`Damage`].
//! - N2 (ascending): messages are returned in the order of their LSNs and never overlap.
//! - N3 (linear): walking and searching costs time in proportion to the bytes, whatever they hold, and memory for at most
//!   1/256 of them, whatever lengths they claim.

mod damage;
mod search;
mod survey;
mod verify;

use crate::identity::{ChecksumSeed, Epoch};
use crate::layout::{MESSAGE_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::message::{MessageHeader, MessageKind, RawMessageHeader};
use crate::position::{Lsn, SegmentBytes};

pub use damage::{Damage, DamageKind};
pub use survey::{MarkAt, Survey};

/// What a scanner must know of the log that the bytes belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanContext {
    /// What the log's checksums begin with.
    pub seed: ChecksumSeed,
    /// The size of the log's segments.
    pub segment_bytes: SegmentBytes,
    /// At or beyond [`epoch_start`](Self::epoch_start), messages of an earlier epoch than this do not count.
    pub epoch_min: Epoch,
    /// Where [`epoch_min`](Self::epoch_min) begins to hold. [`Lsn::ZERO`] for everywhere.
    pub epoch_start: Lsn,
}

impl ScanContext {
    /// A context that admits messages of every epoch, as long as epochs do not decrease.
    #[must_use]
    pub const fn new(seed: ChecksumSeed, segment_bytes: SegmentBytes) -> Self {
        Self { seed, segment_bytes, epoch_min: Epoch::ZERO, epoch_start: Lsn::ZERO }
    }

    /// This context, but at or beyond `start` messages of an earlier epoch than `epoch` do not count.
    #[must_use]
    pub const fn with_epoch(self, epoch: Epoch, start: Lsn) -> Self {
        Self { epoch_min: epoch, epoch_start: start, ..self }
    }
}

/// A valid message, borrowed from the bytes that were scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// What its header says.
    pub header: MessageHeader,
    /// Its payload.
    pub payload: &'a [u8],
    /// Its checksum, as stored.
    pub crc32: u32,
}

impl Message<'_> {
    /// Where the message begins.
    #[must_use]
    #[inline]
    pub const fn lsn(&self) -> Lsn {
        self.header.lsn
    }

    /// Where the message ends and the next one begins.
    #[must_use]
    #[inline]
    pub fn end(&self) -> Lsn {
        // The scanner clips its bytes so that this cannot overflow.
        self.header.end()
    }
}

/// Iterates over the messages in the bytes of a segment, or of a part of it.
///
/// Yields the valid messages in order, then one [`Damage`] if there is something else before the bytes end, and then
/// `None`. [`Scanner::resync`] goes on beyond a damage. Where the bytes end at a message boundary, nothing is wrong and the
/// iterator just ends; [`Scanner::next_lsn`] tells where, and [`Scanner::is_complete`] whether the segment ends there, too.
///
/// ```
/// use esker_format::{DamageKind, Epoch, LogId, Lsn, MessageHeader, MessageKind, ScanContext, Scanner, SegmentBytes};
///
/// let seed = LogId::from_bytes([7; 16]).checksum_seed();
/// let mut bytes = [0; 100];
/// bytes[24..29].copy_from_slice(b"hello");
/// let header =
///     MessageHeader { kind: MessageKind::Inline, len: 5, lsn: Lsn::FIRST, mark: Lsn::ZERO, epoch: Epoch::new(1) };
/// header.seal(&mut bytes[..29], seed);
///
/// let mut scanner = Scanner::new(&bytes, Lsn::FIRST, ScanContext::new(seed, SegmentBytes::MIN));
/// assert_eq!(scanner.next().unwrap().unwrap().payload, b"hello");
/// assert_eq!(scanner.next().unwrap().unwrap_err().kind, DamageKind::Blank);
/// assert!(scanner.next().is_none());
/// assert_eq!(scanner.next_lsn(), header.end());
/// ```
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    /// The bytes, clipped at the end of the segment.
    bytes: &'a [u8],
    /// The LSN of the first of them.
    start: Lsn,
    /// How far into them the segment ends; no less than their number.
    room: usize,
    /// How far into them the next message begins.
    at: usize,
    /// No message of an earlier epoch counts any more.
    epoch: Epoch,
    context: ScanContext,
    /// Whether what lies at `at` is not a message.
    is_damaged: bool,
    effort: verify::Effort,
}

impl<'a> Scanner<'a> {
    /// A scanner of `bytes`, which begin at the LSN `start`: at a message, or at the segment's header, which is skipped
    /// unread. Bytes beyond the end of the segment are not looked at, and none at all at or beyond [`Lsn::LIMIT`].
    ///
    /// Whether one damage or another is reported can depend on how much of the segment is at hand; with all of it, the
    /// statement is the most precise.
    #[must_use]
    pub fn new(bytes: &'a [u8], start: Lsn, context: ScanContext) -> Self {
        let in_segment = start.offset_in_segment(context.segment_bytes);
        // No log comes to the limit, which is the end of a segment, too; so no position that follows overflows.
        let room = if start < Lsn::LIMIT { (context.segment_bytes.get() - in_segment) as usize } else { 0 };
        let bytes = &bytes[..bytes.len().min(room)];
        let header_rest = SEGMENT_HEADER_BYTES.saturating_sub(in_segment as usize);
        Self {
            bytes,
            start,
            room,
            at: header_rest.min(bytes.len()),
            epoch: Epoch::ZERO,
            context,
            is_damaged: false,
            effort: verify::Effort::default(),
        }
    }

    /// Where the next message is expected or, after a damage, where the damage begins.
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        self.lsn_at(self.at)
    }

    /// Whether the scanner has come to the end of the segment.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.at == self.room
    }

    /// The earliest epoch that a message at [`Scanner::next_lsn`] may have: that of the message before it, or what the
    /// context demands. A scanner of the next segment takes it as its minimum.
    #[must_use]
    pub fn epoch_min(&self) -> Epoch {
        self.epoch_min_at(self.next_lsn())
    }

    fn lsn_at(&self, at: usize) -> Lsn {
        // No overflow: `at` is at most `room`, and `new` has limited that.
        self.start + at as u64
    }

    fn epoch_min_at(&self, lsn: Lsn) -> Epoch {
        if lsn >= self.context.epoch_start { self.epoch.max(self.context.epoch_min) } else { self.epoch }
    }

    /// The message at `at`, if it is valid in every respect (N1).
    #[inline]
    fn message_at(&mut self, at: usize) -> Option<Message<'a>> {
        let (message, header, crc32) = self.plausible_at(at)?;
        self.verify_at(at, message).ok()?;
        if header.kind == MessageKind::Pad && first_nonzero(&message[MESSAGE_HEADER_BYTES..]).is_some() {
            return None;
        }
        Some(Message { header, payload: &message[MESSAGE_HEADER_BYTES..], crc32 })
    }

    /// The bytes, the header and the stored checksum of the message at `at`, if its header alone does not rule it out.
    #[inline]
    fn plausible_at(&self, at: usize) -> Option<(&'a [u8], MessageHeader, u32)> {
        let lsn = self.lsn_at(at);
        let rest = &self.bytes[at..];
        let raw = RawMessageHeader::decode(rest)?;
        if raw.lsn != lsn {
            return None;
        }
        let header = raw.interpret().ok()?;
        let message = rest.get(..header.message_bytes())?;
        let fits_kind = match header.kind {
            MessageKind::Pad => at + message.len() == self.room,
            MessageKind::Mark => header.len == 0,
            MessageKind::Inline | MessageKind::BlobPointer | MessageKind::Aborted => true,
        };
        (fits_kind && header.epoch >= self.epoch_min_at(lsn)).then_some((message, header, raw.crc32))
    }
}

impl<'a> Iterator for Scanner<'a> {
    type Item = Result<Message<'a>, Damage>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.is_damaged || self.at == self.bytes.len() {
            return None;
        }
        match self.message_at(self.at) {
            Some(message) => {
                self.at += message.header.message_bytes();
                self.epoch = message.header.epoch;
                Some(Ok(message))
            }
            None => {
                self.is_damaged = true;
                Some(Err(self.diagnose()))
            }
        }
    }
}

/// Where the first byte that is not zero lies. Looks at many bytes at once, because pads are long.
fn first_nonzero(bytes: &[u8]) -> Option<usize> {
    const STRIDE: usize = 64;
    let is_zero = |stride: &[u8]| stride.iter().fold(0, |all, &byte| all | byte) == 0;
    let clean = bytes.chunks(STRIDE).take_while(|stride| is_zero(stride)).count() * STRIDE;
    let rest = bytes.get(clean..)?;
    rest.iter().position(|&byte| byte != 0).map(|offset| clean + offset)
}
