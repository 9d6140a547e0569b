//! Stores to test with.

use std::sync::Arc;

use esker_format::{LogId, Lsn, MESSAGE_HEADER_BYTES};
use esker_storage::Storage;

use crate::{Error, Opening, Options, StreamId, Streams};

pub(super) const SEGMENT_BYTES: u32 = 4096;

pub(super) fn options() -> Options {
    Options::new()
        .segment_bytes(SEGMENT_BYTES)
        .buffer_bytes(1024)
        .buffers(2)
        .streams(3)
        .log_id(LogId::from_bytes([9; 16]))
}

pub(super) fn stream(number: u8) -> StreamId {
    StreamId::new(number).unwrap()
}

/// What an opening found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) notes: Vec<Vec<u8>>,
    pub(super) records: Vec<(StreamId, Lsn, Vec<u8>)>,
    pub(super) freed_mark: u64,
}

impl Left {
    pub(super) fn of(&self, stream: StreamId) -> Vec<&[u8]> {
        let of_stream = self.records.iter().filter(|(found, ..)| *found == stream);
        of_stream.map(|(_, _, payload)| &payload[..]).collect()
    }
}

/// Opens a store and reads everything in it.
pub(super) fn open(storage: &Arc<dyn Storage>, options: &Options) -> Result<(Streams, Left), Error> {
    let mut left = Left::default();
    let mut opening = Opening::begin(storage.clone(), options, |_, note| left.notes.push(note.to_vec()))?;
    opening.replay(
        |_| Lsn::ZERO,
        |found| {
            assert_eq!(found.bytes as usize, MESSAGE_HEADER_BYTES + found.payload.len());
            left.records.push((found.stream, found.lsn, found.payload.to_vec()));
            Ok(())
        },
    )?;
    left.freed_mark = opening.freed_mark();
    Ok((opening.finish()?, left))
}

/// How long the message of a payload is.
pub(super) fn message_bytes(payload: &[u8]) -> u32 {
    (MESSAGE_HEADER_BYTES + payload.len()) as u32
}

pub(super) fn segment_bytes() -> esker_format::SegmentBytes {
    esker_format::SegmentBytes::new(SEGMENT_BYTES).unwrap()
}
