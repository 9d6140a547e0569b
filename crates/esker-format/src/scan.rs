//! Walking through the messages of a segment.
//!
//! Owns [`Scanner`], which returns message after message and says precisely what it met where there is none, and
//! [`Cursor`], which is a scanner without its bytes. Refuses to decide what damage means: whether it is a torn tail or
//! corruption depends on marks that may lie elsewhere.
//!
//! # Invariants
//!
//! - N1 (valid or damage): a message is returned only if its place, its checksum, its epoch and the rules of its kind are
//!   all right. Everything else is a [`Damage`].
//! - N2 (ascending): messages are returned in the order of their LSNs and never overlap.
//! - N3 (linear): walking and searching costs time in proportion to the bytes, whatever they hold, and memory for at most
//!   1/256 of them, whatever lengths they claim.

mod cursor;
mod damage;
mod search;
mod survey;
mod verify;

use crate::identity::{ChecksumSeed, Epoch};
use crate::message::MessageHeader;
use crate::position::{Lsn, SegmentBytes};

pub use cursor::Cursor;
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
    cursor: Cursor,
}

impl<'a> Scanner<'a> {
    /// A scanner of `bytes`, which begin at the LSN `start`: at a message, or at the segment's header, which is skipped
    /// unread. Bytes beyond the end of the segment are not looked at, and none at all at or beyond [`Lsn::LIMIT`].
    ///
    /// Whether one damage or another is reported can depend on how much of the segment is at hand; with all of it, the
    /// statement is the most precise.
    #[must_use]
    pub fn new(bytes: &'a [u8], start: Lsn, context: ScanContext) -> Self {
        let mut cursor = Cursor::new(start, context);
        let bytes = cursor.clip(bytes);
        cursor.end_with(bytes);
        Self { bytes, cursor }
    }

    /// Where the next message is expected or, after a damage, where the damage begins.
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        self.cursor.next_lsn()
    }

    /// Whether the scanner has come to the end of the segment.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.cursor.is_complete()
    }

    /// The earliest epoch that a message at [`Scanner::next_lsn`] may have: that of the message before it, or what the
    /// context demands. A scanner of the next segment takes it as its minimum.
    #[must_use]
    pub fn epoch_min(&self) -> Epoch {
        self.cursor.epoch_min()
    }

    /// Goes on beyond a damage: finds the next place beyond [`Scanner::next_lsn`] at which a valid message stands, moves
    /// there, and returns the place. `None`, and nothing has changed, if there is none.
    ///
    /// Message boundaries beyond a damage are not known, so a message is looked for at every byte. A payload that holds what
    /// would be a valid message at just that place is taken for one: what is found beyond a damage is evidence, not proof.
    /// Without a damage to go beyond, the next message is skipped and the same holds for what is found instead.
    ///
    /// Linear in the bytes at hand, whatever they hold (N3), also over all calls together if they are repeated to the end.
    pub fn resync(&mut self) -> Option<Lsn> {
        self.cursor.resync(self.bytes)
    }
}

impl<'a> Iterator for Scanner<'a> {
    type Item = Result<Message<'a>, Damage>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.cursor.next(self.bytes)
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
