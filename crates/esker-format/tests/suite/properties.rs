//! Round trips over whole fields, maxima included; every flipped bit is told; nothing that a scanner is given makes it panic.

use std::ops::Range;

use proptest::prelude::*;
use proptest::sample::Index;

use esker_format::{
    BlobHeader, BlobId, BlobPointer, Cursor, Damage, DamageKind, Epoch, FileOffset, LogId, Lsn, MESSAGE_HEADER_BYTES,
    MessageHeader, MessageHeaderError, MessageKind, PAYLOAD_BYTES_MAX, RawMessageHeader, SUPERBLOCK_BYTES, ScanContext,
    Scanner, SegmentBytes, SegmentHeader, SegmentId, StructureError, Superblock, SuperblockError,
};

use crate::segment::{BASE, BYTES, LOG_ID, Segment, context, seed};

/// Any number, the ends of the range and their neighbours often.
fn edgy_u64() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0..3u64, (0..3u64).prop_map(|below| u64::MAX - below), any::<u32>().prop_map(u64::from)]
}

/// Any number that an LSN or a generation can be, the ends of the range and their neighbours often.
fn edgy_u63() -> impl Strategy<Value = u64> {
    edgy_u64().prop_map(|number| number >> 1)
}

fn edgy_u32() -> impl Strategy<Value = u32> {
    prop_oneof![any::<u32>(), 0..3u32, (0..3u32).prop_map(|below| u32::MAX - below)]
}

fn kind() -> impl Strategy<Value = MessageKind> {
    prop::sample::select(MessageKind::ALL.to_vec())
}

fn segment_bytes() -> impl Strategy<Value = SegmentBytes> {
    (12..=28u8).prop_map(|log2| SegmentBytes::from_log2(log2).unwrap())
}

fn log_id() -> impl Strategy<Value = LogId> {
    any::<[u8; 16]>().prop_map(LogId::from_bytes)
}

prop_compose! {
    fn segment_header()(
        log_id in log_id(),
        segment_bytes in segment_bytes(),
        [at, floor, mark] in [edgy_u63(), edgy_u63(), edgy_u63()],
        epoch in edgy_u32(),
    ) -> SegmentHeader {
        let base = Lsn::new(at).segment_base(segment_bytes);
        let [floor, mark] = [floor, mark].map(|lsn| Lsn::new(lsn.min(base.get())));
        SegmentHeader { log_id, base, floor, mark, epoch: Epoch::new(epoch), segment_bytes }
    }
}

prop_compose! {
    fn superblock()(
        log_id in log_id(),
        segment_bytes in segment_bytes(),
        [generation, epoch_start, floor, mark] in [edgy_u63(), edgy_u63(), edgy_u63(), edgy_u63()],
        epoch in edgy_u32(),
        clean in any::<bool>(),
    ) -> Superblock {
        let [epoch_start, floor, mark] = [epoch_start, floor, mark].map(Lsn::new);
        Superblock { log_id, segment_bytes, generation, epoch: Epoch::new(epoch), epoch_start, floor, mark, clean }
    }
}

prop_compose! {
    fn blob_header()(
        log_id in log_id(),
        [hint, len] in [edgy_u64(), edgy_u64()],
        [epoch, n, payload_crc32] in [edgy_u32(), edgy_u32(), edgy_u32()],
    ) -> BlobHeader {
        let id = BlobId { hint: Lsn::new(hint), epoch: Epoch::new(epoch), n };
        BlobHeader { log_id, id, len, payload_crc32 }
    }
}

/// Checks that `decode` refuses `bytes` with any one bit flipped.
#[track_caller]
fn check_flips<T: std::fmt::Debug>(bytes: &[u8], decode: impl Fn(&[u8]) -> Result<T, StructureError>) {
    let mut bytes = bytes.to_vec();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let decoded = decode(&bytes);
        assert!(
            matches!(decoded, Err(StructureError::Magic { .. } | StructureError::Checksum(_))),
            "bit {bit} was flipped and {decoded:?} came out"
        );
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    decode(&bytes).unwrap();
}

/// Checks that the last message of `segment`, at `lsn`, is not returned with any one bit flipped.
#[track_caller]
fn check_message_flips(segment: &Segment, lsn: Lsn) {
    let mut message = segment.bytes[(lsn - BASE) as usize..].to_vec();
    for bit in 0..message.len() * 8 {
        message[bit / 8] ^= 1 << (bit % 8);
        let met = Scanner::new(&message, lsn, context()).next();
        assert!(matches!(met, Some(Err(damage)) if damage.at == lsn), "bit {bit} was flipped and {met:?} came out");
        message[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(matches!(Scanner::new(&message, lsn, context()).next(), Some(Ok(_))));
}

/// What a scanner meets in all of some bytes, beyond every damage.
fn met_in_one_piece(bytes: &[u8]) -> Vec<Result<Lsn, Damage>> {
    let mut scanner = Scanner::new(bytes, BASE, context());
    let mut met = Vec::new();
    loop {
        match scanner.next() {
            Some(step) => met.push(step.map(|message| message.lsn())),
            None if scanner.resync().is_some() => (),
            None => return met,
        }
    }
}

/// What a cursor meets in the same bytes, `piece` by `piece` through one buffer, out of which goes what was passed.
fn met_through_a_buffer(bytes: &[u8], piece: usize) -> Vec<Result<Lsn, Damage>> {
    let mut cursor = Cursor::new(BASE, context());
    let (mut buffer, mut read, mut met) = (Vec::new(), 0, Vec::new());
    let mut fetch = |cursor: &mut Cursor, buffer: &mut Vec<u8>, wanted: usize| {
        let passed = cursor.at().min(buffer.len());
        buffer.drain(..passed);
        cursor.forget(passed);
        let next = bytes.len().min(read + wanted);
        buffer.extend_from_slice(&bytes[read..next]);
        read = next;
        read < bytes.len()
    };
    let mut has_more = true;
    loop {
        let rest = buffer.get(cursor.at()..).unwrap_or_default();
        let has_next =
            RawMessageHeader::decode(rest).is_some_and(|raw| rest.len() >= MESSAGE_HEADER_BYTES + raw.len as usize);
        if has_more && !has_next {
            has_more = fetch(&mut cursor, &mut buffer, piece);
            continue;
        }
        match cursor.next(&buffer) {
            Some(Ok(message)) => met.push(Ok(message.lsn())),
            Some(Err(damage)) => {
                met.push(Err(damage));
                while has_more {
                    let wanted = if cursor.skip(&buffer) { bytes.len() } else { piece };
                    has_more = fetch(&mut cursor, &mut buffer, wanted);
                }
                if cursor.resync(&buffer).is_none() {
                    return met;
                }
            }
            None => return met,
        }
    }
}

/// Some records in a segment, as several openings may have written them, with a pad at its end or not.
fn segment() -> impl Strategy<Value = Segment> {
    (unpadded_segment(), any::<bool>()).prop_map(|(mut segment, is_padded)| {
        if is_padded {
            segment.pad();
        }
        segment
    })
}

fn unpadded_segment() -> impl Strategy<Value = Segment> {
    let record = (prop::collection::vec(any::<u8>(), 0..120), kind(), any::<bool>(), any::<bool>());
    prop::collection::vec(record, 0..20).prop_map(|records| {
        let mut segment = Segment::new();
        for (payload, kind, is_synced, is_reopened) in records {
            if is_synced {
                segment.mark = segment.end();
            }
            if is_reopened {
                segment.epoch = segment.epoch.next().unwrap();
            }
            match kind {
                MessageKind::Pad => segment.push(MessageKind::Inline, &payload),
                MessageKind::Mark => segment.push(MessageKind::Mark, b""),
                kind => segment.push(kind, &payload),
            };
        }
        segment
    })
}

/// A way to spoil bytes, and where it may have changed some.
#[derive(Clone, Debug)]
enum Spoil {
    Flip(Index, u8),
    Fill(Index, Index, u8),
    Copy(Index, Index, Index),
}

impl Spoil {
    fn apply(&self, bytes: &mut [u8]) -> Range<usize> {
        match self {
            Self::Flip(at, bit) => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << (bit % 8);
                at..at + 1
            }
            Self::Fill(from, to, value) => {
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
                let range = from.min(to)..from.max(to);
                bytes[range.clone()].fill(*value);
                range
            }
            Self::Copy(from, to, dst) => {
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
                let range = from.min(to)..from.max(to);
                let dst = dst.index(bytes.len() - range.len() + 1);
                let changed = dst..dst + range.len();
                bytes.copy_within(range, dst);
                changed
            }
        }
    }
}

fn spoil() -> impl Strategy<Value = Spoil> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, bit)| Spoil::Flip(at, bit)),
        (any::<Index>(), any::<Index>(), prop_oneof![Just(0), any::<u8>()])
            .prop_map(|(from, to, value)| Spoil::Fill(from, to, value)),
        any::<[Index; 3]>().prop_map(|[from, to, dst]| Spoil::Copy(from, to, dst)),
    ]
}

/// Walks to the end, beyond every damage. Checks what holds for any bytes, and returns where messages were found.
fn walk(bytes: &[u8], start: Lsn, context: ScanContext) -> Vec<Lsn> {
    let mut scanner = Scanner::new(bytes, start, context);
    let mut found = Vec::new();
    let mut last_end = scanner.next_lsn();
    let mut damages = Vec::new();
    loop {
        let expected = scanner.next_lsn();
        match scanner.next() {
            Some(Ok(message)) => {
                assert_eq!(message.lsn(), expected);
                last_end = message.end();
                assert_eq!(scanner.next_lsn(), last_end);
                found.push(message.lsn());
                let from = (message.lsn() - start) as usize;
                let bytes = &bytes[from..from + message.header.message_bytes()];
                message.header.verify(bytes, context.seed).unwrap();
                assert_eq!(MessageHeader::decode(bytes), Ok((message.header, message.crc32)));
                assert_eq!(&bytes[MESSAGE_HEADER_BYTES..], message.payload);
            }
            Some(Err(damage)) => {
                assert_eq!((damage.at, scanner.next_lsn()), (expected, expected));
                assert_eq!(scanner.next(), None);
                damages.push(damage);
            }
            None => match scanner.resync() {
                Some(lsn) => {
                    assert!(lsn > expected, "{lsn} is not beyond {expected}");
                    assert_eq!(scanner.next_lsn(), lsn);
                    assert!(scanner.clone().next().is_some_and(|met| met.is_ok()), "there is no message at {lsn}");
                }
                None => break,
            },
        }
    }
    let survey = Scanner::new(bytes, start, context).survey();
    assert_eq!((survey.messages, survey.end), (found.len() as u64, last_end));
    assert_eq!((survey.damages, survey.first_damage), (damages.len() as u64, damages.first().copied()));
    found
}

proptest! {
    #[test]
    fn message_comes_back(
        kind in kind(),
        lsn in edgy_u64(),
        behind in prop_oneof![edgy_u64(), edgy_u32().prop_map(u64::from)],
        epoch in edgy_u32(),
        payload in prop::collection::vec(any::<u8>(), 0..300),
        id in log_id(),
    ) {
        let mark = lsn.saturating_sub(behind);
        let [lsn, mark] = [lsn, mark].map(Lsn::new);
        let header = MessageHeader { kind, len: payload.len() as u32, lsn, mark, epoch: Epoch::new(epoch) };
        let mut message = [&[0xaa; MESSAGE_HEADER_BYTES], &payload[..]].concat();
        header.seal(&mut message, id.checksum_seed());
        let (decoded, _) = MessageHeader::decode(&message).unwrap();
        // What cannot be expressed is not said.
        let mark = if lsn - mark >= u64::from(u32::MAX) { Lsn::ZERO } else { mark };
        prop_assert_eq!(decoded, MessageHeader { mark, ..header });
        prop_assert_eq!(decoded.verify(&message, id.checksum_seed()), Ok(()));
        prop_assert_eq!(&message[MESSAGE_HEADER_BYTES..], &payload[..]);
    }

    #[test]
    fn mark_beyond_the_lsn_is_stored_as_the_lsn(lsn in edgy_u64(), mark in edgy_u64()) {
        let [lsn, mark] = [lsn.min(mark), lsn.max(mark)].map(Lsn::new);
        let header = MessageHeader { kind: MessageKind::Mark, len: 0, lsn, mark, epoch: Epoch::ZERO };
        let mut message = [0; MESSAGE_HEADER_BYTES];
        header.seal(&mut message, seed());
        prop_assert_eq!(MessageHeader::decode(&message).unwrap().0.mark, lsn);
    }

    #[test]
    fn every_flipped_bit_of_a_message_is_told(segment in unpadded_segment()) {
        if let Some(&last) = walk(&segment.bytes, BASE, context()).last() {
            check_message_flips(&segment, last);
        }
    }

    #[test]
    fn segment_header_comes_back(header in segment_header()) {
        let bytes = header.encode();
        prop_assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        for have in 0..bytes.len() {
            let cut = StructureError::Cut { have, need: bytes.len() };
            prop_assert_eq!(SegmentHeader::decode(&bytes[..have]), Err(cut));
        }
    }

    #[test]
    fn every_flipped_bit_of_a_segment_header_is_told(header in segment_header()) {
        check_flips(&header.encode(), SegmentHeader::decode);
    }

    #[test]
    fn superblock_comes_back(superblock in superblock()) {
        prop_assert_eq!(Superblock::decode(&superblock.encode()), Ok(superblock));
    }

    #[test]
    fn newest_whole_copy_of_the_superblock_counts(
        old in superblock(),
        generations in [edgy_u63(), edgy_u63()],
        spoiled in [prop::option::of(any::<Index>()), prop::option::of(any::<Index>())],
    ) {
        let copies = generations.map(|generation| Superblock { generation, ..old });
        let mut file: Vec<u8> = copies.iter().flat_map(|copy| copy.encode()).collect();
        for (copy, spoiled) in spoiled.iter().enumerate() {
            if let Some(at) = spoiled {
                file[copy * SUPERBLOCK_BYTES + at.index(SUPERBLOCK_BYTES)] ^= 1;
            }
        }
        let whole = (0..2).filter(|&copy| spoiled[copy].is_none()).map(|copy| copies[copy]);
        match (Superblock::newest(&file), whole.max_by_key(|copy| copy.generation)) {
            (Ok(found), Some(newest)) => {
                prop_assert_eq!(found.newest, newest);
                prop_assert_eq!(found.copies.map(|copy| copy.is_ok()), spoiled.map(|spoiled| spoiled.is_none()));
                if newest.generation < Superblock::GENERATION_LIMIT - 2 {
                    let next = Superblock { generation: found.next_generation(), ..newest };
                    let first = (next.copy_offsets()[0].get() / SUPERBLOCK_BYTES as u64) as usize;
                    prop_assert!(next.generation > newest.generation);
                    // The copy that is written first can be lost without loss.
                    prop_assert_eq!(found.copies[1 - first], Ok(newest));
                }
            }
            (Err(SuperblockError::BothDamaged { .. }), None) => {}
            (found, newest) => prop_assert!(false, "{found:?}, but {newest:?} is the newest whole one"),
        }
    }

    #[test]
    fn blob_header_and_pointer_come_back(header in blob_header()) {
        prop_assert_eq!(BlobHeader::decode(&header.encode()), Ok(header));
        let pointer = header.pointer();
        let bytes = pointer.encode();
        prop_assert_eq!(BlobPointer::decode(&bytes), Ok(pointer));
        let (have, need) = (bytes.len() + 1, bytes.len());
        let excess = StructureError::Excess { have, need };
        prop_assert_eq!(BlobPointer::decode(&[&bytes[..], &[0]].concat()), Err(excess));
        let cut = StructureError::Cut { have: need - 1, need };
        prop_assert_eq!(BlobPointer::decode(&bytes[1..]), Err(cut));
        prop_assert_eq!(BlobId::from_file_name(&header.id.file_name()), Some(header.id));
    }

    #[test]
    fn every_flipped_bit_of_a_blob_header_is_told(header in blob_header()) {
        check_flips(&header.encode(), BlobHeader::decode);
    }

    #[test]
    fn blob_has_one_file_name_only(name in "blob-[0-9a-fA-F+]{16}-[0-9a-fA-F+]{8}-[0-9a-f]{8}|.*") {
        if let Some(id) = BlobId::from_file_name(&name) {
            prop_assert_eq!(id.file_name(), name);
        }
    }

    #[test]
    fn altered_blob_is_told(
        payload in prop::collection::vec(any::<u8>(), 1..200),
        at in any::<Index>(),
        header in blob_header(),
    ) {
        let checksum = header.log_id.checksum_seed().checksum(&payload);
        let header = BlobHeader { len: payload.len() as u64, payload_crc32: checksum, ..header };
        prop_assert_eq!(header.verify_payload(&payload), Ok(()));
        let mut altered = payload.clone();
        altered[at.index(payload.len())] ^= 1;
        prop_assert!(header.verify_payload(&altered).is_err());
        let (first, second) = payload.split_at(at.index(payload.len()));
        let mut checksum = header.log_id.checksum_seed().begin();
        checksum.update(first);
        checksum.update(second);
        prop_assert_eq!(checksum.finish(), header.payload_crc32);
    }

    #[test]
    fn arbitrary_bytes_are_scanned_without_panic(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0)], 0..6000),
        start in edgy_u64(),
        segment_bytes in segment_bytes(),
        epoch in edgy_u32(),
        epoch_start in edgy_u64(),
    ) {
        let context = ScanContext::new(seed(), segment_bytes).with_epoch(Epoch::new(epoch), Lsn::new(epoch_start));
        walk(&bytes, Lsn::new(start), context);
        // Nothing else that decodes may panic either; what comes out is checked elsewhere.
        let _ = SegmentHeader::decode(&bytes);
        let _ = Superblock::newest(&bytes);
        let _ = BlobHeader::decode(&bytes);
        let _ = BlobPointer::decode(&bytes);
    }

    #[test]
    fn every_untouched_message_of_a_spoiled_segment_is_found(
        segment in segment(),
        spoils in prop::collection::vec(spoil(), 0..4),
    ) {
        let mut bytes = segment.whole();
        let lsns = walk(&bytes, BASE, context());
        let changed: Vec<_> = spoils.iter().map(|spoil| spoil.apply(&mut bytes)).collect();
        let found = walk(&bytes, BASE, context());
        let ends = lsns.iter().skip(1).copied().chain([segment.end()]);
        for (&lsn, end) in lsns.iter().zip(ends) {
            let range = (lsn - BASE) as usize..(end - BASE) as usize;
            let is_touched = changed.iter().any(|changed| changed.start < range.end && range.start < changed.end);
            prop_assert!(is_touched || found.contains(&lsn), "the message at {} is not found", lsn);
        }
        prop_assert!(found.iter().all(|lsn| lsns.contains(lsn)), "{:?} are not all of {:?}", found, lsns);
    }

    #[test]
    fn cursor_meets_through_a_buffer_what_a_scanner_meets_in_one_piece(
        segment in segment(),
        is_whole in any::<bool>(),
        spoils in prop::collection::vec(spoil(), 0..4),
        piece in prop_oneof![1..60usize, 1..5000usize],
    ) {
        let mut bytes = if is_whole { segment.whole() } else { segment.bytes.clone() };
        for spoil in &spoils {
            spoil.apply(&mut bytes);
        }
        prop_assert_eq!(met_through_a_buffer(&bytes, piece), met_in_one_piece(&bytes));
    }

    #[test]
    fn segment_can_be_scanned_in_parts(segment in segment(), window in 24..400usize) {
        let whole = walk(&segment.bytes, BASE, context());
        let mut found = Vec::new();
        let (mut at, mut have) = (0, window);
        loop {
            let part = &segment.bytes[at..segment.bytes.len().min(at + have)];
            let mut scanner = Scanner::new(part, BASE + at as u64, context());
            found.extend(scanner.by_ref().map_while(Result::ok).map(|message| message.lsn()));
            let next = (scanner.next_lsn() - BASE) as usize;
            if next == segment.bytes.len() {
                break;
            }
            // What is cut, or does not say yet how long it is, needs a larger part.
            have = if next == at { have + window } else { window };
            at = next;
        }
        prop_assert_eq!(found, whole);
    }

    #[test]
    fn positions_agree_with_plain_arithmetic(lsn in edgy_u64(), segment_bytes in segment_bytes(), slot in edgy_u32()) {
        let bytes = u64::from(segment_bytes.get());
        let position = Lsn::new(lsn);
        prop_assert_eq!(position.segment_base(segment_bytes).get(), lsn / bytes * bytes);
        prop_assert_eq!(u64::from(position.offset_in_segment(segment_bytes)), lsn % bytes);
        if let Some(next) = (lsn / bytes * bytes).checked_add(bytes) {
            prop_assert_eq!(position.next_segment(segment_bytes).get(), next);
        }
        prop_assert_eq!(position.checked_add(bytes).map(Lsn::get), lsn.checked_add(bytes));
        let offset = FileOffset::new(u64::from(slot) * bytes);
        prop_assert_eq!(SegmentId::new(slot).offset(segment_bytes), offset);
        prop_assert_eq!(SegmentBytes::from_log2(segment_bytes.log2()), Ok(segment_bytes));
    }

    #[test]
    fn segment_sizes_are_powers_of_two_in_range(bytes in prop_oneof![edgy_u32(), (0..32u32).prop_map(|log2| 1 << log2)]) {
        let is_valid = (0..32).any(|log2| 1 << log2 == bytes) && (1 << 12..=1 << 28).contains(&bytes);
        prop_assert_eq!(SegmentBytes::new(bytes).map(SegmentBytes::get).ok(), is_valid.then_some(bytes));
    }
}

#[test]
fn every_flipped_bit_of_a_pad_is_told() {
    let mut segment = Segment::new();
    segment.push(MessageKind::Inline, &[3; 3700]);
    let pad = segment.pad();
    check_message_flips(&segment, pad);
}

#[test]
fn every_flipped_bit_of_a_superblock_is_told() {
    let superblock = Superblock {
        log_id: LOG_ID,
        segment_bytes: BYTES,
        generation: 3,
        epoch: Epoch::new(2),
        epoch_start: BASE,
        floor: Lsn::FIRST,
        mark: BASE,
        clean: true,
    };
    check_flips(&superblock.encode(), Superblock::decode);
}

#[test]
fn whole_copies_of_one_generation_that_differ_are_refused() {
    let of = |mark| Superblock {
        log_id: LOG_ID,
        segment_bytes: BYTES,
        generation: 9,
        epoch: Epoch::new(2),
        epoch_start: BASE,
        floor: Lsn::FIRST,
        mark: Lsn::new(mark),
        clean: false,
    };
    let file = [of(100).encode(), of(101).encode()].concat();
    assert_eq!(Superblock::newest(&file), Err(SuperblockError::Contradiction { generation: 9 }));
}

#[test]
fn longest_payload_comes_back() {
    let mut message = vec![7; MESSAGE_HEADER_BYTES + PAYLOAD_BYTES_MAX as usize];
    let (kind, len) = (MessageKind::Inline, PAYLOAD_BYTES_MAX);
    let header = MessageHeader { kind, len, lsn: Lsn::FIRST, mark: Lsn::FIRST, epoch: Epoch::ZERO };
    header.seal(&mut message, seed());
    assert_eq!(MessageHeader::decode(&message).unwrap().0, header);
    let context = ScanContext::new(seed(), SegmentBytes::MAX);
    let mut scanner = Scanner::new(&message, Lsn::FIRST, context);
    assert_eq!(scanner.next().unwrap().unwrap().payload.len(), len as usize);
}

#[test]
#[should_panic(expected = "cannot be sealed")]
fn payload_over_the_maximum_is_not_sealed() {
    let mut message = vec![0; MESSAGE_HEADER_BYTES + PAYLOAD_BYTES_MAX as usize + 1];
    let len = PAYLOAD_BYTES_MAX + 1;
    MessageHeader { kind: MessageKind::Inline, len, lsn: Lsn::FIRST, mark: Lsn::ZERO, epoch: Epoch::ZERO }
        .seal(&mut message, seed());
}

#[test]
#[should_panic(expected = "cannot be sealed")]
fn message_of_another_length_is_not_sealed() {
    let mut message = [0; MESSAGE_HEADER_BYTES];
    MessageHeader { kind: MessageKind::Inline, len: 1, lsn: Lsn::FIRST, mark: Lsn::ZERO, epoch: Epoch::ZERO }
        .seal(&mut message, seed());
}

/// Makes the checksum right again after a change, so that what lies behind it is reached.
pub(crate) fn reseal(bytes: &mut [u8], log_id: LogId) {
    let crc = log_id.checksum_seed().checksum(&bytes[12..]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn whole_structures_that_no_writer_writes_are_refused() {
    let segment = Segment::new().bytes;
    #[track_caller]
    fn check(segment: &[u8], at: usize, value: u8, expected: &str) {
        let mut bytes = segment.to_vec();
        bytes[at] = value;
        reseal(&mut bytes, LOG_ID);
        let error = SegmentHeader::decode(&bytes).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    check(&segment, 12, 2, "format version 2 is not supported, only 1 is");
    check(&segment, 13, 1, "format version 257 is not supported, only 1 is");
    check(&segment, 14, 65, "the header says that it has 65 bytes, not 64");
    check(&segment, 33, 0x11, "base 4352 is not a multiple of the segment size 4096");
    check(&segment, 47, 1, "floor 72057594037928000 lies beyond the base 4096");
    check(&segment, 49, 0x10, "mark 4256 lies beyond the base 4096");
    check(&segment, 60, 29, "segment size 2^29 is not between 2^12 and 2^28");
    check(&segment, 60, 11, "segment size 2^11 is not between 2^12 and 2^28");
    check(&segment, 63, 1, "byte 63 is not zero");
    let mut other = segment;
    other[..8].copy_from_slice(b"ESKERSUP");
    let error = SegmentHeader::decode(&other).unwrap_err();
    assert_eq!(error.to_string(), r#"the magic is "ESKERSUP", not "ESKERSEG""#);
}

#[test]
fn floor_and_mark_may_be_the_base_but_not_beyond() {
    for field in [40, 48] {
        let mut bytes = Segment::new().bytes;
        bytes[field..field + 8].copy_from_slice(&BASE.get().to_le_bytes());
        reseal(&mut bytes, LOG_ID);
        assert!(SegmentHeader::decode(&bytes).is_ok());
        bytes[field] += 1;
        reseal(&mut bytes, LOG_ID);
        let error = SegmentHeader::decode(&bytes).unwrap_err();
        assert!(matches!(error, StructureError::BeyondBase { lsn, base: BASE, .. } if lsn == BASE + 1), "{error}");
    }
}

#[test]
fn numbers_that_no_log_reaches_are_refused() {
    let superblock = Superblock {
        log_id: LOG_ID,
        segment_bytes: BYTES,
        generation: 3,
        epoch: Epoch::new(2),
        epoch_start: BASE,
        floor: Lsn::FIRST,
        mark: BASE,
        clean: true,
    };
    // The highest byte of each field, so that 0x80 is 2^63.
    let fields = [(39, "generation"), (47, "epoch_start"), (55, "floor"), (63, "mark")];
    for (at, name) in fields {
        let mut bytes = superblock.encode();
        bytes[at] = 0x7f;
        reseal(&mut bytes, LOG_ID);
        assert!(Superblock::decode(&bytes).is_ok(), "{name}");
        bytes[at] = 0x80;
        reseal(&mut bytes, LOG_ID);
        let shown = Superblock::decode(&bytes).unwrap_err().to_string();
        assert!(shown.starts_with(name) && shown.ends_with("is not below 9223372036854775808"), "{shown}");
    }
    let mut bytes = Segment::new().bytes;
    bytes[39] = 0x80;
    reseal(&mut bytes, LOG_ID);
    let error = SegmentHeader::decode(&bytes).unwrap_err();
    assert!(matches!(error, StructureError::BeyondLimit { name: "base", .. }), "{error}");
}

#[test]
fn other_names_are_no_blobs() {
    let name = "blob-0123456789abcdef-76543210-01020304";
    assert!(BlobId::from_file_name(name).is_some());
    let others = [
        "",
        "log",
        "blob",
        "blob-",
        "blub-0123456789abcdef-76543210-01020304",
        "blob-123456789abcdef-76543210-01020304",
        "blob-00123456789abcdef-76543210-01020304",
        "blob-0123456789abcdef-6543210-01020304",
        "blob-0123456789abcdef-76543210-0102030",
        "blob-0123456789abcdef-76543210-001020304",
        "blob-0123456789ABCDEF-76543210-01020304",
        "blob-0123456789abcdef-76543210-0102030A",
        "blob-0123456789abcdef-76543210-+1020304",
        "blob-0123456789abcdef-76543210-01020304-",
        "blob-0123456789abcdef-76543210-01020304-1",
        "blob-0123456789abcdef-76543210",
        " blob-0123456789abcdef-76543210-01020304",
        "blob-0123456789abcdef-76543210-01020304.tmp",
    ];
    for other in others {
        assert_eq!(BlobId::from_file_name(other), None, "{other:?}");
    }
}

#[test]
fn blank_structures_are_told_from_damaged_ones() {
    assert_eq!(SegmentHeader::decode(&[0; 64]), Err(StructureError::Blank));
    assert_eq!(Superblock::decode(&[0; SUPERBLOCK_BYTES]), Err(StructureError::Blank));
    assert_eq!(BlobHeader::decode(&[0; 64]), Err(StructureError::Blank));
    assert_eq!(MessageHeader::decode(&[0; 24]), Err(MessageHeaderError::Blank));
    let cut = MessageHeaderError::Cut { have: 23, need: 24 };
    assert_eq!(MessageHeader::decode(&[0; 23]), Err(cut));
    let blank = Scanner::new(&[0; 24], Lsn::FIRST, context()).next().unwrap().unwrap_err();
    assert_eq!(blank.kind, DamageKind::Blank);
}
