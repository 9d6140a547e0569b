//! A record, and how one is read.

use esker_format::{BlobPointer, LogId, Lsn, MESSAGE_HEADER_BYTES, Message, MessageHeader, MessageKind};
use esker_storage::Storage;

use crate::{
    Error, blob,
    error::{Corruption, CorruptionKind},
    walk::Rules,
};

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    lsn: Lsn,
    payload: Vec<u8>,
}

impl Record {
    pub(crate) fn new(lsn: Lsn, payload: Vec<u8>) -> Self {
        Self { lsn, payload }
    }

    /// Where the record is in the log.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// What was appended.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// What was appended, without a copy.
    #[must_use]
    pub fn into_payload(self) -> Vec<u8> {
        self.payload
    }

    /// The record that a message is, with its blob if it points at one; `None` if it is not a record.
    pub(crate) fn of(message: &Message<'_>, storage: &dyn Storage, log_id: LogId) -> Option<Result<Self, Error>> {
        let lsn = message.header.lsn;
        match message.header.kind {
            MessageKind::Inline => Some(Ok(Self { lsn, payload: message.payload.to_vec() })),
            MessageKind::BlobPointer => Some(Self::of_pointer(lsn, message.payload, storage, log_id)),
            _ => None,
        }
    }

    pub(crate) fn of_pointer(lsn: Lsn, payload: &[u8], storage: &dyn Storage, log_id: LogId) -> Result<Self, Error> {
        let pointer = BlobPointer::decode(payload).map_err(|error| Corruption {
            file: crate::names::LOG.to_owned(),
            lsn: Some(lsn),
            offset: 0,
            kind: CorruptionKind::Blob { reason: format!("its pointer: {error}") },
        })?;
        Ok(Self { lsn, payload: blob::read(storage, log_id, lsn, &pointer)? })
    }
}

/// One record of the log, in the memory of the iterator that found it: see [`Iter::next_record`](crate::Iter::next_record).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    lsn: Lsn,
    payload: &'a [u8],
}

impl<'a> RecordRef<'a> {
    pub(crate) fn new(lsn: Lsn, payload: &'a [u8]) -> Self {
        Self { lsn, payload }
    }

    /// Where the record is in the log.
    #[must_use]
    #[inline]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// What was appended.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// A copy of the record that can be kept.
    #[must_use]
    pub fn to_record(&self) -> Record {
        Record { lsn: self.lsn, payload: self.payload.to_vec() }
    }
}

/// The message that should begin at the beginning of `bytes` and at `lsn`; `None` if there is no whole one.
pub(crate) fn whole_message(bytes: &[u8], lsn: Lsn, rules: Rules) -> Option<Message<'_>> {
    let (header, crc32) = MessageHeader::decode(bytes).ok()?;
    let room = rules.segment_bytes.get() - lsn.offset_in_segment(rules.segment_bytes);
    if header.lsn != lsn || header.message_bytes() > room as usize {
        return None;
    }
    let message = bytes.get(..header.message_bytes())?;
    header.verify(message, rules.seed).ok()?;
    Some(Message { header, payload: &message[MESSAGE_HEADER_BYTES..], crc32 })
}
