//! Segments made to measure.

use esker_format::{
    ChecksumSeed, Epoch, LogId, Lsn, MESSAGE_HEADER_BYTES, MessageHeader, MessageKind, SEGMENT_HEADER_BYTES,
    ScanContext, SegmentBytes, SegmentHeader,
};

pub(crate) const LOG_ID: LogId =
    LogId::from_bytes([0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f]);
pub(crate) const BYTES: SegmentBytes = SegmentBytes::MIN;
/// The second segment, so that there are earlier LSNs of the same place.
pub(crate) const BASE: Lsn = Lsn::new(4096);

pub(crate) fn seed() -> ChecksumSeed {
    LOG_ID.checksum_seed()
}

pub(crate) fn context() -> ScanContext {
    ScanContext::new(seed(), BYTES)
}

/// A whole message.
pub(crate) fn message(kind: MessageKind, lsn: Lsn, mark: Lsn, epoch: Epoch, payload: &[u8]) -> Vec<u8> {
    let mut message = vec![0; MESSAGE_HEADER_BYTES];
    message.extend_from_slice(payload);
    MessageHeader { kind, len: payload.len() as u32, lsn, mark, epoch }.seal(&mut message, seed());
    message
}

/// A segment that grows message by message.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) bytes: Vec<u8>,
    pub(crate) epoch: Epoch,
    pub(crate) mark: Lsn,
}

impl Segment {
    /// One with the base [`BASE`] and without messages.
    pub(crate) fn new() -> Self {
        let epoch = Epoch::new(1);
        let (floor, mark) = (Lsn::FIRST, Lsn::new(4000));
        let header = SegmentHeader { log_id: LOG_ID, base: BASE, floor, mark, epoch, segment_bytes: BYTES };
        Self { bytes: header.encode().to_vec(), epoch, mark: BASE }
    }

    pub(crate) fn end(&self) -> Lsn {
        BASE + self.bytes.len() as u64
    }

    /// Appends a message and returns where it begins.
    pub(crate) fn push(&mut self, kind: MessageKind, payload: &[u8]) -> Lsn {
        let lsn = self.end();
        self.bytes.extend(message(kind, lsn, self.mark, self.epoch, payload));
        assert!(self.bytes.len() <= BYTES.get() as usize, "the segment overflows");
        lsn
    }

    /// Appends the pad and returns where it begins.
    pub(crate) fn pad(&mut self) -> Lsn {
        let len = BYTES.get() as usize - self.bytes.len() - MESSAGE_HEADER_BYTES;
        self.push(MessageKind::Pad, &vec![0; len])
    }

    /// All of the segment, what was not written being zero.
    pub(crate) fn whole(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes.resize(BYTES.get() as usize, 0);
        bytes
    }
}

/// How far into the segment `lsn` lies.
pub(crate) fn at(lsn: Lsn) -> usize {
    let at = (lsn - BASE) as usize;
    assert!(at >= SEGMENT_HEADER_BYTES, "no message begins at {lsn}");
    at
}
