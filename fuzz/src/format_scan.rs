//! Arbitrary bytes through the scanner and every decoder of `esker-format`.
//!
//! The input begins with the context of the scan: flags, the binary logarithm of the segment size, the LSN, an epoch and
//! where it begins. The rest are the bytes. Flags ask for right checksums and LSNs to be put in where messages claim to be,
//! because a fuzzer will not find a CRC-32 by itself and most of the code lies behind one.

use esker_format::{
    BLOB_POINTER_BYTES, BlobHeader, BlobPointer, Epoch, LogId, Lsn, MESSAGE_HEADER_BYTES, MessageHeader, MessageKind,
    SUPERBLOCK_BYTES, SUPERBLOCK_COPIES, ScanContext, Scanner, SegmentBytes, SegmentHeader, StructureError, Superblock,
};

use crate::input::Input;
use crate::repair::{repair_messages, repair_structure};

const LOG_ID: LogId = LogId::from_bytes(*b"the fuzzed log's");
const REPAIR_CHECKSUM: u8 = 1;
const REPAIR_LSN: u8 = 2;
/// Bytes of the input before those that are scanned.
pub const CONTEXT_BYTES: usize = 2 + 8 + 4 + 8;

/// Runs one input.
///
/// # Panics
///
/// If the scanner or a decoder does not keep its promises.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.u8();
    let segment_bytes = SegmentBytes::from_log2(12 + input.u8() % 17).expect("the logarithm is 12 to 28");
    let start = Lsn::new(input.u64());
    let epoch = Epoch::new(input.u32());
    let epoch_start = Lsn::new(input.u64());
    let mut bytes = input.0.to_vec();

    check_structures(&bytes);
    let context = ScanContext::new(LOG_ID.checksum_seed(), segment_bytes).with_epoch(epoch, epoch_start);
    if flags & (REPAIR_CHECKSUM | REPAIR_LSN) != 0 {
        let lsn_of_first = (flags & REPAIR_LSN != 0).then_some(start);
        repair_messages(&mut bytes, lsn_of_first, flags & REPAIR_CHECKSUM != 0, context.seed);
    }
    check_scan(&bytes, start, context);
}

fn check_scan(bytes: &[u8], start: Lsn, context: ScanContext) {
    let mut scanner = Scanner::new(bytes, start, context);
    let (mut messages, mut damages, mut last_end) = (0, 0, scanner.next_lsn());
    let mut mark = Lsn::ZERO;
    loop {
        let place = scanner.next_lsn();
        let epoch_min = scanner.epoch_min();
        match scanner.next() {
            Some(Ok(message)) => {
                assert_eq!(message.lsn(), place);
                assert!(message.header.epoch >= epoch_min, "{message:?} is of an epoch before {epoch_min}");
                assert!(message.header.mark <= message.lsn(), "{message:?} has a mark beyond its LSN");
                let from = (place - start) as usize;
                let sealed = &bytes[from..from + message.header.message_bytes()];
                message.header.verify(sealed, context.seed).expect("what the scanner returns verifies");
                assert_eq!(MessageHeader::decode(sealed), Ok((message.header, message.crc32)));
                assert_eq!(&sealed[MESSAGE_HEADER_BYTES..], message.payload);
                check_kind(&message.header, message.payload, context.segment_bytes);
                assert_eq!(scanner.next_lsn(), message.end());
                assert!(message.end() > last_end || messages == 0, "{message:?} ends before {last_end}");
                last_end = message.end();
                messages += 1;
                mark = mark.max(message.header.mark);
            }
            Some(Err(damage)) => {
                assert_eq!((damage.at, scanner.next_lsn()), (place, place));
                assert!(!damage.to_string().is_empty());
                assert!(scanner.next().is_none());
                damages += 1;
            }
            None => match scanner.resync() {
                Some(lsn) => assert!(lsn > place, "{lsn} is not beyond {place}"),
                None => break,
            },
        }
    }
    let survey = Scanner::new(bytes, start, context).survey();
    assert_eq!((survey.messages, survey.damages, survey.end), (messages, damages, last_end));
    assert_eq!(survey.highest_mark.map_or(Lsn::ZERO, |highest| highest.mark), mark);
}

/// What the kind of a returned message promises.
fn check_kind(header: &MessageHeader, payload: &[u8], segment_bytes: SegmentBytes) {
    match header.kind {
        MessageKind::Pad => {
            assert_eq!(header.end().offset_in_segment(segment_bytes), 0, "{header:?} does not reach the end");
            assert!(payload.iter().all(|&byte| byte == 0), "{header:?} is not zero");
        }
        MessageKind::Mark => assert!(payload.is_empty(), "{header:?} is not empty"),
        MessageKind::BlobPointer => {
            if let Ok(pointer) = BlobPointer::decode(payload) {
                assert_eq!(pointer.encode(), payload);
            } else {
                assert_ne!(payload.len(), BLOB_POINTER_BYTES);
            }
        }
        _ => {}
    }
}

/// What decodes must encode to the same bytes again; with a right checksum put in, too.
fn check_structures(bytes: &[u8]) {
    check_structure(bytes, SegmentHeader::decode, |header| header.encode());
    check_structure(bytes, BlobHeader::decode, |header| header.encode());
    check_structure(bytes, Superblock::decode, |superblock| superblock.encode());
    let mut copies = bytes.to_vec();
    for copy in copies.chunks_mut(SUPERBLOCK_BYTES).take(SUPERBLOCK_COPIES) {
        repair_structure(copy, SUPERBLOCK_BYTES);
    }
    for file in [bytes, &copies] {
        if let Ok(found) = Superblock::newest(file) {
            assert!(found.copies.contains(&Ok(found.newest)));
            let whole = found.copies.iter().flatten();
            assert!(whole.clone().all(|copy| copy.generation <= found.newest.generation));
        }
    }
}

fn check_structure<T, const N: usize>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, StructureError>,
    encode: impl Fn(&T) -> [u8; N],
) {
    let mut repaired = bytes.to_vec();
    repair_structure(&mut repaired, N);
    for bytes in [bytes, &repaired] {
        match decode(bytes) {
            Ok(decoded) => assert_eq!(encode(&decoded), bytes[..N], "other bytes say the same"),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}
