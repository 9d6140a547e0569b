//! Small values: what they print, and what the predicates say.

use esker_format::{
    Cursor, DamageKind, Epoch, FileOffset, LogId, Lsn, MESSAGE_HEADER_BYTES, MessageHeader, MessageKind,
    RawMessageHeader, ScanContext, Scanner, SegmentId, Superblock,
};

use crate::properties::reseal;
use crate::segment::{BASE, BYTES, LOG_ID, Segment, at, context, message, seed};

#[test]
fn values_are_printed_as_people_write_them() {
    let id = LogId::from_bytes([0xab, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0x0e]);
    assert_eq!(id.to_string(), "ab000102030405060708090a0b0c0d0e");
    assert_eq!(format!("{id:?}"), "LogId(ab000102030405060708090a0b0c0d0e)");
    assert_eq!(Epoch::new(41).to_string(), "41");
    assert_eq!(FileOffset::new(77).to_string(), "77");
    assert_eq!(SegmentId::new(9).to_string(), "9");
    assert_eq!(format!("{:>8}", MessageKind::Inline), "  inline");
}

#[test]
fn places_are_what_they_were_made_of() {
    assert_eq!((FileOffset::new(40) + 2).get(), 42);
    assert_eq!(SegmentId::new(7).get(), 7);
    let kinds = MessageKind::ALL.map(|kind| (kind, kind.is_record()));
    let records = kinds.into_iter().filter(|(_, is_record)| *is_record).map(|(kind, _)| kind);
    assert!(records.eq([MessageKind::Inline, MessageKind::BlobPointer]));
}

#[test]
fn a_message_verifies_with_its_own_bytes_only() {
    let mut bytes = message(MessageKind::Inline, BASE, Lsn::ZERO, Epoch::new(1), b"payload");
    let (header, _) = MessageHeader::decode(&bytes).unwrap();
    assert_eq!(header.verify(&bytes, seed()), Ok(()));
    bytes[MESSAGE_HEADER_BYTES] ^= 1;
    let mismatch = header.verify(&bytes, seed()).unwrap_err();
    assert_ne!(mismatch.expected, mismatch.found);
}

#[test]
fn a_header_is_blank_only_if_all_of_it_is() {
    let blank = [0; MESSAGE_HEADER_BYTES];
    assert!(RawMessageHeader::decode(&blank).unwrap().is_blank());
    for at in 0..MESSAGE_HEADER_BYTES {
        let mut bytes = blank;
        bytes[at] = 1;
        assert!(!RawMessageHeader::decode(&bytes).unwrap().is_blank(), "byte {at}");
    }
}

#[test]
fn the_limit_itself_is_no_lsn_of_a_log() {
    let superblock = Superblock {
        log_id: LOG_ID,
        segment_bytes: BYTES,
        generation: 1,
        epoch: Epoch::new(2),
        epoch_start: BASE,
        floor: Lsn::FIRST,
        mark: BASE,
        clean: false,
    };
    let mut bytes = superblock.encode();
    for (mark, is_one) in [(Lsn::LIMIT.get() - 1, true), (Lsn::LIMIT.get(), false)] {
        bytes[56..64].copy_from_slice(&mark.to_le_bytes());
        reseal(&mut bytes, LOG_ID);
        assert_eq!(Superblock::decode(&bytes).is_ok(), is_one, "{mark}");
    }
}

#[test]
fn only_what_was_left_behind_looks_unwritten() {
    assert!(DamageKind::Blank.is_unwritten());
    assert!(DamageKind::Stale { found: BASE }.is_unwritten());
    assert!(!DamageKind::Checksum { expected: 1, found: 2 }.is_unwritten());
    assert!(!DamageKind::Misplaced { found: BASE }.is_unwritten());
}

#[test]
fn a_cursor_says_how_far_it_has_come() {
    let mut segment = Segment::new();
    segment.push(MessageKind::Inline, b"first");
    let mut cursor = Cursor::new(BASE, context());
    // A header of a segment is no message.
    assert_eq!(cursor.at(), 64);
    assert!(cursor.next(&segment.bytes).unwrap().is_ok());
    assert_eq!(cursor.at(), segment.bytes.len());
}

#[test]
fn the_last_header_of_a_segment_may_be_cut() {
    let mut segment = Segment::new();
    let room = BYTES.get() as usize - segment.bytes.len();
    segment.push(MessageKind::Inline, &vec![1; room - 2 * MESSAGE_HEADER_BYTES]);
    let end = segment.end();
    assert_eq!(BYTES.get() as usize - at(end), MESSAGE_HEADER_BYTES);
    segment.bytes.extend([7; 10]);
    let mut scanner = Scanner::new(&segment.bytes[64..], BASE + 64, context());
    assert!(scanner.next().unwrap().is_ok());
    let damage = scanner.next().unwrap().unwrap_err();
    assert_eq!(damage.kind, DamageKind::Cut { have: 10, need: MESSAGE_HEADER_BYTES });
}

#[test]
fn a_pad_that_ends_early_is_short_whatever_it_holds() {
    for payload in [&[0; 100][..], &[1; 100]] {
        let mut segment = Segment::new();
        segment.push(MessageKind::Pad, payload);
        let missing = BYTES.get() as usize - segment.bytes.len();
        let bytes = segment.whole();
        let damage = Scanner::new(&bytes[64..], BASE + 64, context()).next().unwrap().unwrap_err();
        assert_eq!(damage.kind, DamageKind::PadShort { missing });
    }
}

#[test]
fn two_equal_bytes_in_a_pad_do_not_hide_each_other() {
    let mut segment = Segment::new();
    let mut payload = vec![0; BYTES.get() as usize - segment.bytes.len() - MESSAGE_HEADER_BYTES];
    (payload[200], payload[210]) = (5, 5);
    segment.push(MessageKind::Pad, &payload);
    let damage = Scanner::new(&segment.bytes[64..], BASE + 64, context()).next().unwrap().unwrap_err();
    assert_eq!(damage.kind, DamageKind::PadNotZero { offset: 200 });
}

/// A segment somewhere far up, where every byte of an LSN counts, with messages of these lengths.
fn far_up(base: Lsn, lens: &[usize]) -> (Vec<u8>, Vec<Lsn>) {
    let (mut bytes, mut lsns) = (vec![0xee; 64], Vec::new());
    for &len in lens {
        let lsn = base + bytes.len() as u64;
        bytes.extend(message(MessageKind::Inline, lsn, Lsn::ZERO, Epoch::new(1), &vec![3; len]));
        lsns.push(lsn);
    }
    (bytes, lsns)
}

#[test]
fn what_lies_beyond_a_damage_is_found_wherever_in_a_log_that_is() {
    for base in [0x7b6d_5a3c_9f1e_d000, 0x0123_4567_89ab_c000, 0x1000, 0x7fff_ffff_ffff_e000].map(Lsn::new) {
        let lens: Vec<usize> = (0..40).map(|n| n * 7 % 90).collect();
        let (mut bytes, lsns) = far_up(base, &lens);
        let damaged = (lsns[3] - base) as usize + 4;
        bytes[damaged] ^= 0x40;
        let context = ScanContext::new(seed(), BYTES);
        let mut scanner = Scanner::new(&bytes[64..], base + 64, context);
        assert_eq!(scanner.by_ref().filter(Result::is_ok).count(), 3);
        for &next in &lsns[4..] {
            assert_eq!(scanner.resync(), Some(next), "from {}", scanner.next_lsn());
        }
        assert_eq!(scanner.resync(), None);
    }
}

#[test]
fn a_message_in_the_very_last_place_is_found() {
    // The first place of its stride of 256, and the only one that there is.
    let base = BASE;
    let (bytes, lsns) = far_up(base, &[100, 256 - 64 - 100 - 2 * MESSAGE_HEADER_BYTES, 0]);
    assert_eq!(lsns[2].get() % 256, 0);
    let mut damaged = bytes.clone();
    damaged[(lsns[1] - base) as usize] ^= 1;
    let mut scanner = Scanner::new(&damaged[64..], base + 64, context());
    assert_eq!(scanner.by_ref().filter(Result::is_ok).count(), 1);
    assert_eq!(scanner.resync(), Some(lsns[2]));
    assert_eq!(scanner.next().unwrap().unwrap().lsn(), lsns[2]);
}

#[test]
fn a_place_whose_bytes_are_all_alike_is_found() {
    // The first segment of a log, where all bytes of an LSN but the lowest are zero.
    let (bytes, lsns) = far_up(Lsn::ZERO, &[10, 0]);
    let mut cursor = Cursor::new(Lsn::new(64), context());
    assert!(cursor.skip(&bytes[64..]));
    assert_eq!(cursor.next_lsn() + 1, lsns[1]);
    assert_eq!(cursor.resync(&bytes[64..]), Some(lsns[1]));
}

#[test]
fn without_a_damage_the_message_at_hand_is_skipped() {
    let (bytes, lsns) = far_up(BASE, &[10, 20, 30]);
    let mut scanner = Scanner::new(&bytes[64..], BASE + 64, context());
    assert_eq!(scanner.resync(), Some(lsns[1]));
    let mut cursor = Cursor::new(BASE + 64, context());
    assert!(cursor.skip(&bytes[64..]), "the second message can begin where it does");
    assert_eq!(cursor.next_lsn() + 1, lsns[1]);
    assert_eq!(cursor.resync(&bytes[64..]), Some(lsns[1]));
    // Where nothing can begin, all places are passed over whose headers are at hand.
    let mut cursor = Cursor::new(BASE + 64, context());
    assert!(!cursor.skip(&[0xee; 10]));
    assert_eq!(cursor.at(), 0, "too little is at hand to judge any place");
    let garbage = [0xee; 100];
    let mut cursor = Cursor::new(BASE + 64, context());
    assert!(!cursor.skip(&garbage));
    assert_eq!(cursor.at(), garbage.len() - MESSAGE_HEADER_BYTES);
}
