//! Each thing that a scanner can meet, and how it goes on.

use esker_format::{
    DamageKind, Epoch, Lsn, MESSAGE_HEADER_BYTES, MarkAt, MessageHeader, MessageKind, PAYLOAD_BYTES_MAX,
    RawMessageHeader, SEGMENT_HEADER_BYTES, ScanContext, Scanner, Survey,
};

use crate::segment::{BASE, BYTES, LOG_ID, Segment, at, context, message, seed};

/// A message that no writer writes, with the right checksum.
fn raw_message(kind: u8, lsn: Lsn, unsynced: u32, payload: &[u8]) -> Vec<u8> {
    let mut body = (u32::from(kind) << 24 | payload.len() as u32).to_le_bytes().to_vec();
    body.extend(lsn.get().to_le_bytes());
    body.extend(unsynced.to_le_bytes());
    body.extend(1u32.to_le_bytes());
    body.extend(payload);
    [seed().checksum(&body).to_le_bytes().to_vec(), body].concat()
}

/// A segment with one message, and where the next one belongs.
fn one_message() -> (Segment, Lsn) {
    let mut segment = Segment::new();
    segment.push(MessageKind::Inline, b"first");
    let target = segment.end();
    (segment, target)
}

/// Puts `bytes` behind a first message, in a segment that goes on, and checks what is met there.
#[track_caller]
fn check(bytes: &[u8], expected: DamageKind) {
    let (segment, target) = one_message();
    let mut whole = segment.whole();
    whole[at(target)..at(target) + bytes.len()].copy_from_slice(bytes);
    check_at(&whole, context(), target, expected);
}

/// Checks what is met at `target` of a segment, and that the scanner stays there.
#[track_caller]
fn check_at(segment: &[u8], context: ScanContext, target: Lsn, expected: DamageKind) {
    let mut scanner = Scanner::new(segment, BASE, context);
    while scanner.next_lsn() < target {
        scanner.next().expect("the bytes go on").expect("what precedes is whole");
    }
    let damage = scanner.next().expect("the bytes go on").expect_err("the message is damaged");
    assert_eq!((damage.at, damage.kind), (target, expected));
    assert_eq!(damage.claimed, RawMessageHeader::decode(&segment[at(target)..]));
    assert!(scanner.next().is_none());
    assert_eq!(scanner.next_lsn(), target);
    assert!(!scanner.is_complete());
    let shown = format!("{damage}");
    assert!(shown.starts_with(&format!("at LSN {target}: ")), "{shown}");
    assert!(expected.name().chars().all(|letter| letter.is_ascii_lowercase() || letter == '-'));
}

#[test]
fn blank_header_was_never_written() {
    check(&[], DamageKind::Blank);
    assert!(DamageKind::Blank.is_unwritten());
}

#[test]
fn whole_message_of_another_place_is_stale_or_misplaced() {
    let (_, target) = one_message();
    let of = |lsn| message(MessageKind::Inline, lsn, Lsn::ZERO, Epoch::new(1), b"elsewhere");
    let earlier = Lsn::new(target.get() - u64::from(BYTES.get()));
    check(&of(earlier), DamageKind::Stale { found: earlier });
    let later = target + u64::from(BYTES.get());
    check(&of(later), DamageKind::Misplaced { found: later });
    let shifted = Lsn::new(target.get() - 1);
    check(&of(shifted), DamageKind::Misplaced { found: shifted });
    let mut torn = of(earlier);
    torn[30] ^= 1;
    check(&torn, DamageKind::WrongLsn { found: earlier });
}

#[test]
fn garbage_has_a_wrong_lsn() {
    check(&[0xff; 300], DamageKind::WrongLsn { found: Lsn::MAX });
}

#[test]
fn length_beyond_the_segment_is_an_overrun() {
    let (_, target) = one_message();
    let room = BYTES.get() as usize - at(target) - MESSAGE_HEADER_BYTES;
    for len in [room as u32 + 1, PAYLOAD_BYTES_MAX] {
        let mut bytes = message(MessageKind::Inline, target, Lsn::ZERO, Epoch::new(1), b"");
        bytes[4..8].copy_from_slice(&(1 << 24 | len).to_le_bytes());
        check(&bytes, DamageKind::LengthOverrun { len, room });
    }
}

#[test]
fn altered_byte_is_a_checksum_mismatch() {
    let (_, target) = one_message();
    let bytes = message(MessageKind::Inline, target, BASE, Epoch::new(1), b"second");
    for altered in [0, 7, 16, 20, 24, bytes.len() - 1] {
        let mut bytes = bytes.clone();
        bytes[altered] ^= 0x80;
        let expected = RawMessageHeader::decode(&bytes).unwrap().crc32;
        let found = seed().checksum(&bytes[4..]);
        check(&bytes, DamageKind::Checksum { expected, found });
    }
}

#[test]
fn earlier_epoch_is_stale() {
    let (mut segment, _) = one_message();
    segment.epoch = Epoch::new(7);
    segment.push(MessageKind::Inline, b"reopened");
    segment.epoch = Epoch::new(6);
    let target = segment.push(MessageKind::Inline, b"left over");
    let expected = DamageKind::StaleEpoch { found: Epoch::new(6), epoch_min: Epoch::new(7) };
    assert!(expected.is_unwritten());
    check_at(&segment.whole(), context(), target, expected);
}

#[test]
fn earlier_epoch_is_stale_from_the_epoch_start_on_only() {
    let (mut segment, target) = one_message();
    segment.push(MessageKind::Inline, b"left over");
    let expected = DamageKind::StaleEpoch { found: Epoch::new(1), epoch_min: Epoch::new(2) };
    check_at(&segment.whole(), context().with_epoch(Epoch::new(2), target), target, expected);
    let mut scanner = Scanner::new(&segment.bytes, BASE, context().with_epoch(Epoch::new(2), segment.end()));
    assert_eq!(scanner.by_ref().filter_map(Result::ok).count(), 2);
    assert_eq!(scanner.epoch_min(), Epoch::new(2));
}

#[test]
fn whole_message_that_no_writer_writes_is_told() {
    let (segment, target) = one_message();
    check(&raw_message(0, target, 0, b"x"), DamageKind::UnknownKind { found: 0 });
    check(&raw_message(7, target, 0, b""), DamageKind::UnknownKind { found: 7 });
    check(&raw_message(255, target, 0, b""), DamageKind::UnknownKind { found: 255 });
    let unsynced = target.get() as u32 + 1;
    check(&raw_message(1, target, unsynced, b"x"), DamageKind::UnsyncedBeyondLsn { unsynced });
    check(&raw_message(5, target, 0, b"x"), DamageKind::MarkNotEmpty { len: 1 });
    let missing = BYTES.get() as usize - at(target) - MESSAGE_HEADER_BYTES - 100;
    check(&raw_message(4, target, 0, &[0; 100]), DamageKind::PadShort { missing });
    let mut full = vec![0; BYTES.get() as usize - at(segment.end()) - MESSAGE_HEADER_BYTES];
    for offset in [0, 63, 64, 65, full.len() - 1] {
        full[offset] = 1;
        check(&raw_message(4, target, 0, &full), DamageKind::PadNotZero { offset });
        full[offset] = 0;
    }
}

#[test]
fn missing_mark_is_no_mark() {
    let (segment, target) = one_message();
    let bytes = [segment.bytes, raw_message(1, target, u32::MAX, b"x")].concat();
    let message = Scanner::new(&bytes, BASE, context()).nth(1).unwrap().unwrap();
    assert_eq!(message.header.mark, Lsn::ZERO);
}

#[test]
fn rest_too_small_for_a_message_is_a_sliver() {
    for room in [1, 23] {
        let (mut segment, target) = one_message();
        let len = BYTES.get() as usize - at(target) - MESSAGE_HEADER_BYTES - room;
        segment.push(MessageKind::Inline, &vec![1; len]);
        check_at(&segment.whole(), context(), segment.end(), DamageKind::Sliver { room });
    }
}

#[test]
fn bytes_that_end_inside_a_message_are_cut() {
    let (mut segment, target) = one_message();
    segment.push(MessageKind::Inline, b"second");
    let whole = segment.bytes.len();
    for end in at(target)..whole {
        let have = end - at(target);
        let need = if have < MESSAGE_HEADER_BYTES { MESSAGE_HEADER_BYTES } else { whole - at(target) };
        if have > 0 {
            check_at(&segment.bytes[..end], context(), target, DamageKind::Cut { have, need });
        } else {
            let mut scanner = Scanner::new(&segment.bytes[..end], BASE, context());
            assert!(scanner.all(|message| message.is_ok()));
            assert_eq!(scanner.next_lsn(), target);
        }
    }
}

#[test]
fn complete_segment_ends_without_damage() {
    let (mut segment, _) = one_message();
    segment.pad();
    // Bytes behind the segment are not looked at.
    let bytes = [&segment.bytes[..], &[0xff; 100]].concat();
    let mut scanner = Scanner::new(&bytes, BASE, context());
    let ends: Vec<_> = scanner.by_ref().map(|message| message.unwrap().end()).collect();
    assert_eq!(ends.last(), Some(&BASE.next_segment(BYTES)));
    assert!(scanner.is_complete());
    assert_eq!(scanner.resync(), None);
}

#[test]
fn segment_header_is_skipped_unread() {
    let (mut segment, _) = one_message();
    segment.bytes[..SEGMENT_HEADER_BYTES].fill(0xff);
    for from in 0..=SEGMENT_HEADER_BYTES {
        let mut scanner = Scanner::new(&segment.bytes[from..], BASE + from as u64, context());
        assert_eq!(scanner.next().unwrap().unwrap().payload, b"first", "from {from}");
        let mut scanner = Scanner::new(&segment.bytes[from..SEGMENT_HEADER_BYTES], BASE + from as u64, context());
        assert!(scanner.next().is_none());
    }
}

#[test]
fn messages_of_another_log_do_not_count() {
    let (segment, _) = one_message();
    let mut id = LOG_ID.to_bytes();
    id[15] ^= 1;
    let other = ScanContext::new(esker_format::LogId::from_bytes(id).checksum_seed(), BYTES);
    let damage = Scanner::new(&segment.bytes, BASE, other).next().unwrap().unwrap_err();
    assert_eq!(damage.kind.name(), "checksum");
}

#[test]
fn scanning_goes_on_beyond_damage() {
    let mut segment = Segment::new();
    let lsns: Vec<_> = (0..6u8).map(|n| segment.push(MessageKind::Inline, &[n; 10])).collect();
    let mut bytes = segment.whole();
    bytes[at(lsns[1]) + 30] ^= 1;
    // The length of this one cannot be relied on either.
    bytes[at(lsns[3]) + 5] ^= 1;
    let mut scanner = Scanner::new(&bytes, BASE, context());
    let mut found = Vec::new();
    let mut damaged = Vec::new();
    loop {
        match scanner.next() {
            Some(Ok(message)) => found.push(message.lsn()),
            Some(Err(damage)) => damaged.push(damage.at),
            None if scanner.resync().is_some() => (),
            None => break,
        }
    }
    assert_eq!(found, [lsns[0], lsns[2], lsns[4], lsns[5]]);
    assert_eq!(damaged, [lsns[1], lsns[3], segment.end()]);
}

#[test]
fn search_begins_right_behind_the_damage_and_ends_with_the_bytes() {
    let (segment, target) = one_message();
    let blank = segment.bytes.len();
    for garbage in [1, 2, 100] {
        let mut bytes = segment.bytes.clone();
        bytes.resize(blank + garbage, 0xee);
        let lsn = target + garbage as u64;
        bytes.extend(message(MessageKind::Mark, lsn, lsn, Epoch::new(1), b""));
        let mut scanner = Scanner::new(&bytes, BASE, context());
        assert_eq!(scanner.by_ref().filter_map(Result::ok).count(), 1);
        assert_eq!(scanner.resync(), Some(lsn), "behind {garbage} bytes");
        assert!(scanner.next().unwrap().is_ok());
        assert!(scanner.next().is_none());
        assert_eq!(Scanner::new(&bytes[..bytes.len() - 1], BASE, context()).survey().messages, 1);
    }
}

#[test]
fn message_that_would_fill_the_segment_is_cut_rather_than_an_overrun() {
    let (mut segment, target) = one_message();
    segment.pad();
    let need = segment.bytes.len() - at(target);
    let end = segment.bytes.len() - 1;
    check_at(&segment.bytes[..end], context(), target, DamageKind::Cut { have: need - 1, need });
}

#[test]
fn message_of_a_cut_tail_is_not_found_beyond_damage() {
    let mut segment = Segment::new();
    segment.epoch = Epoch::new(2);
    segment.push(MessageKind::Inline, b"present");
    let damaged = segment.push(MessageKind::Inline, b"present, but damaged");
    segment.epoch = Epoch::new(1);
    segment.push(MessageKind::Inline, b"cut off in the past");
    let mut bytes = segment.whole();
    bytes[at(damaged)] ^= 1;
    let mut scanner = Scanner::new(&bytes, BASE, context());
    assert_eq!(scanner.by_ref().filter_map(Result::ok).count(), 1);
    assert_eq!(scanner.resync(), None);
    assert_eq!(scanner.next_lsn(), damaged);
}

#[test]
fn survey_finds_the_highest_mark_beyond_damage() {
    let mut segment = Segment::new();
    segment.mark = Lsn::ZERO;
    segment.push(MessageKind::Inline, b"says nothing");
    let damaged = segment.push(MessageKind::Inline, b"to be damaged");
    segment.mark = damaged;
    let first = segment.push(MessageKind::Inline, b"durable to the one before");
    segment.mark = segment.end();
    let highest = segment.push(MessageKind::Mark, b"");
    let mark = segment.mark;
    segment.mark = BASE;
    segment.push(MessageKind::Inline, b"says less");
    let whole = segment.whole();
    let survey = |bytes: &[u8]| Scanner::new(bytes, BASE, context()).survey();

    let complete = survey(&whole);
    assert_eq!((complete.messages, complete.damages), (5, 1));
    assert_eq!(complete.first_damage.unwrap().kind, DamageKind::Blank);
    assert_eq!(complete.highest_mark, Some(MarkAt { mark, at: highest }));
    assert_eq!(complete.message_bytes, segment.end() - BASE - SEGMENT_HEADER_BYTES as u64);
    assert_eq!(complete.end, segment.end());

    let mut bytes = whole.clone();
    bytes[at(damaged) + 30] ^= 1;
    assert_eq!(survey(&bytes).highest_mark, Some(MarkAt { mark, at: highest }));
    assert_eq!(survey(&bytes).first_damage.unwrap().at, damaged);
    // A scanner that stands at the damage goes on beyond it and does not count it again.
    let mut scanner = Scanner::new(&bytes, BASE, context());
    scanner.by_ref().take_while(Result::is_ok).for_each(drop);
    let beyond = scanner.survey();
    assert_eq!((beyond.messages, beyond.damages), (3, 1));

    bytes[at(highest)] ^= 1;
    assert_eq!(survey(&bytes).highest_mark, Some(MarkAt { mark: damaged, at: first }));
    bytes[at(first)..].fill(0);
    let nothing = survey(&bytes);
    assert_eq!((nothing.messages, nothing.highest_mark), (1, None));
    let empty = Scanner::new(&[], BASE, context()).survey();
    let (messages, message_bytes, damages) = (0, 0, 0);
    let expected = Survey { messages, message_bytes, damages, first_damage: None, highest_mark: None, end: BASE };
    assert_eq!(empty, expected);
}

#[test]
fn scanning_ends_at_the_limit_of_all_lsns() {
    let base = Lsn::new(Lsn::LIMIT.get() - 1).segment_base(BYTES);
    let start = base + SEGMENT_HEADER_BYTES as u64;
    let len = BYTES.get() as usize - SEGMENT_HEADER_BYTES - MESSAGE_HEADER_BYTES;
    let last = message(MessageKind::Pad, start, base, Epoch::new(1), &vec![0; len]);
    let mut scanner = Scanner::new(&last, start, context());
    assert_eq!(scanner.next().unwrap().unwrap().end(), Lsn::LIMIT);
    assert!(scanner.next().is_none());
    assert!(scanner.is_complete());
    for beyond in [Lsn::LIMIT, Lsn::LIMIT + 64, Lsn::new(u64::MAX - 4000), Lsn::MAX] {
        let message = message(MessageKind::Mark, beyond, beyond, Epoch::new(1), b"");
        let mut scanner = Scanner::new(&message, beyond, context());
        assert_eq!(scanner.next(), None);
        assert_eq!(scanner.resync(), None);
        assert_eq!(scanner.next_lsn(), beyond);
    }
}

#[test]
fn header_alone_can_be_decoded() {
    let bytes = message(MessageKind::Aborted, BASE, Lsn::new(7), Epoch::new(3), b"0123456789");
    let (header, crc32) = MessageHeader::decode(&bytes[..MESSAGE_HEADER_BYTES]).unwrap();
    assert_eq!((header.kind, header.len, header.lsn), (MessageKind::Aborted, 10, BASE));
    assert_eq!((header.mark, header.epoch), (Lsn::new(7), Epoch::new(3)));
    assert_eq!(crc32.to_le_bytes(), bytes[..4]);
    assert_eq!(header.end(), BASE + 34);
}
