//! Yesterday's bytes. The vectors were written by another implementation of FORMAT.md, with zlib's CRC-32, and never change:
//! a change of the format gets a new version and vectors of its own.

use esker_format::{
    BlobHeader, BlobId, BlobPointer, Epoch, Lsn, MESSAGE_HEADER_BYTES, MessageHeader, MessageKind, SegmentBytes,
    SegmentHeader, Superblock,
};

use crate::hex;
use crate::segment::{LOG_ID, seed};

#[test]
fn message_vector_is_read_and_written() {
    let golden = hex::parse(include_str!("../vectors/message.hex"));
    let header = MessageHeader {
        kind: MessageKind::Inline,
        len: 5,
        lsn: Lsn::new(0x0123_4567_89ab_cdef),
        mark: Lsn::new(0x0123_4567_89ab_cdef - 0xfedc_ba98),
        epoch: Epoch::new(0x7654_3210),
    };
    let (decoded, _) = MessageHeader::decode(&golden).unwrap();
    assert_eq!(decoded, header);
    decoded.verify(&golden, seed()).unwrap();
    assert_eq!(&golden[MESSAGE_HEADER_BYTES..], b"esker");

    let mut written = [&[0; MESSAGE_HEADER_BYTES], &b"esker"[..]].concat();
    header.seal(&mut written, seed());
    hex::assert_same(&written, &golden);
}

#[test]
fn segment_header_vector_is_read_and_written() {
    let golden = hex::parse(include_str!("../vectors/segment_header.hex"));
    let header = SegmentHeader {
        log_id: LOG_ID,
        base: Lsn::new(0x0123_4567_8000_0000),
        floor: Lsn::new(0x0011_2233_4455_6677),
        mark: Lsn::new(0x0123_4567_0000_0001),
        epoch: Epoch::new(0x89ab_cdef),
        segment_bytes: SegmentBytes::MAX,
    };
    assert_eq!(SegmentHeader::decode(&golden), Ok(header));
    hex::assert_same(&header.encode(), &golden);
}

#[test]
fn superblock_vector_is_read_and_written() {
    let golden = hex::parse(include_str!("../vectors/superblock.hex"));
    let superblock = Superblock {
        log_id: LOG_ID,
        segment_bytes: SegmentBytes::from_log2(23).unwrap(),
        generation: 0x1122_3344_5566_7788,
        epoch: Epoch::new(0x89ab_cdef),
        epoch_start: Lsn::new(0x0123_4567_89ab_cdef),
        floor: Lsn::new(0x0011_2233_4455_6677),
        mark: Lsn::new(0x0123_4567_89ab_cdf0),
        clean: true,
    };
    assert_eq!(Superblock::decode(&golden), Ok(superblock));
    hex::assert_same(&superblock.encode(), &golden);
}

const BLOB: BlobId = BlobId { hint: Lsn::new(0x0123_4567_89ab_cdef), epoch: Epoch::new(0x7654_3210), n: 0x0102_0304 };

#[test]
fn blob_pointer_vector_is_read_and_written() {
    let golden = hex::parse(include_str!("../vectors/blob_pointer.hex"));
    let pointer = BlobPointer { id: BLOB, len: 0x1122_3344_5566_7788, payload_crc32: 0xdead_beef };
    assert_eq!(BlobPointer::decode(&golden), Ok(pointer));
    hex::assert_same(&pointer.encode(), &golden);
}

#[test]
fn blob_header_vector_is_read_and_written() {
    let golden = hex::parse(include_str!("../vectors/blob_header.hex"));
    let header = BlobHeader { log_id: LOG_ID, id: BLOB, len: 0x1122_3344_5566_7788, payload_crc32: 0xdead_beef };
    assert_eq!(BlobHeader::decode(&golden), Ok(header));
    hex::assert_same(&header.encode(), &golden);
}

#[test]
fn blob_file_names_are_as_specified() {
    assert_eq!(BLOB.file_name(), "blob-0123456789abcdef-76543210-01020304");
}
