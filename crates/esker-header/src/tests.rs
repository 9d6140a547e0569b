//! Properties over the whole word, maxima included.

extern crate std;

use proptest::prelude::*;

use crate::{BufferOffset, Header, Refusal, Room, layout};

/// The word as four plain variables: what the packed one must equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Model {
    salt: u32,
    sealed: bool,
    writers: u32,
    offset: u32,
}

fn unpack(header: Header) -> Model {
    Model {
        salt: header.salt().get(),
        sealed: header.is_sealed(),
        writers: header.writers(),
        offset: header.offset().get(),
    }
}

fn room(end: u32, remainder_min: u32) -> Room {
    Room { end: BufferOffset::new(end).unwrap(), remainder_min }
}

/// Words whose fields sit at their ends as often as between them.
fn words() -> impl Strategy<Value = Header> {
    fn field(max: u32) -> impl Strategy<Value = u64> {
        prop_oneof![Just(0), Just(1), Just(u64::from(max) - 1), Just(u64::from(max)), 0..=u64::from(max)]
    }
    let packed = (
        field(layout::SALT.max()),
        field(layout::SEALED.max().max(1)),
        field(layout::WRITERS.max()),
        field(layout::OFFSET.max()),
    )
        .prop_map(|(salt, sealed, writers, offset)| {
            Header::from_bits(salt << 45 | (sealed & 1) << 44 | writers << 24 | offset)
        });
    prop_oneof![packed, any::<u64>().prop_map(Header::from_bits)]
}

fn sizes() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(1), Just(24), Just((1 << 24) - 1), Just(1 << 24), Just(u32::MAX), any::<u32>()]
}

proptest! {
    #[test]
    fn the_fields_cover_the_word(bits in any::<u64>()) {
        let model = unpack(Header::from_bits(bits));
        let rebuilt = u64::from(model.salt) << 45
            | u64::from(model.sealed) << 44
            | u64::from(model.writers) << 24
            | u64::from(model.offset);
        prop_assert_eq!(rebuilt, bits);
    }

    #[test]
    fn a_claim_moves_the_offset_and_counts_one_writer(
        header in words(), bytes in sizes(), end in 0..=layout::OFFSET.max(), remainder in prop_oneof![Just(0), Just(24)],
    ) {
        let before = unpack(header);
        let claimed_end = u64::from(before.offset) + u64::from(bytes);
        let left = u64::from(end).checked_sub(claimed_end);
        let fits = left.is_some_and(|left| left == 0 || left >= u64::from(remainder));
        match header.try_reserve(bytes, room(end, remainder)) {
            Ok((after, at)) => {
                prop_assert!(fits && !before.sealed);
                prop_assert_eq!(at.get(), before.offset);
                let wanted = Model { offset: claimed_end as u32, writers: before.writers + 1, ..before };
                prop_assert_eq!(unpack(after), wanted);
            }
            Err(Refusal::Sealed) => prop_assert!(before.sealed),
            Err(Refusal::Full) => prop_assert!(!before.sealed && !fits),
            Err(Refusal::WritersExhausted) => {
                prop_assert!(!before.sealed && fits);
                prop_assert_eq!(before.writers, Header::WRITERS_MAX);
            }
        }
    }

    #[test]
    fn leaving_takes_one_writer_and_nothing_else(header in words()) {
        let before = unpack(header);
        match header.leave() {
            None => prop_assert_eq!(before.writers, 0),
            Some(after) => {
                prop_assert_eq!(unpack(after), Model { writers: before.writers - 1, ..before });
                prop_assert_eq!(after.to_bits(), header.to_bits() - Header::ONE_WRITER);
            }
        }
    }

    #[test]
    fn sealing_sets_the_seal_and_nothing_else(header in words()) {
        let before = unpack(header);
        match header.seal() {
            None => prop_assert!(before.sealed),
            Some(after) => prop_assert_eq!(unpack(after), Model { sealed: true, ..before }),
        }
    }

    #[test]
    fn only_a_ready_buffer_is_reopened(header in words(), start in 0..=layout::OFFSET.max()) {
        let before = unpack(header);
        match header.reopen(BufferOffset::new(start).unwrap()) {
            None => prop_assert!(!before.sealed || before.writers > 0),
            Some(after) => {
                let salt = if before.salt == layout::SALT.max() { 0 } else { before.salt + 1 };
                prop_assert_eq!(unpack(after), Model { salt, sealed: false, writers: 0, offset: start });
            }
        }
    }
}

#[test]
fn only_what_is_sealed_and_left_is_ready() {
    let open = Header::open(BufferOffset::ZERO);
    let (claimed, _) = open.try_reserve(8, room(100, 0)).unwrap();
    let sealed = claimed.seal().unwrap();
    assert_eq!([open, claimed, sealed].map(Header::is_ready), [false; 3]);
    assert_eq!([open, claimed, sealed].map(|header| header.reopen(BufferOffset::ZERO)), [None; 3]);
    let ready = sealed.leave().unwrap();
    assert!(ready.is_ready() && ready.reopen(BufferOffset::ZERO).is_some());
    assert!(open.seal().unwrap().is_ready());
}

#[test]
fn a_word_is_shown_field_by_field() {
    let (claimed, _) = Header::open(BufferOffset::ZERO).try_reserve(8, room(100, 0)).unwrap();
    assert_eq!(std::format!("{claimed:?}"), "Header { salt: 0, sealed: false, writers: 1, offset: 8 }");
}

#[test]
fn sealed_header_refuses_writers() {
    let sealed = Header::open(BufferOffset::ZERO).seal().unwrap();
    assert_eq!(sealed.try_reserve(1, room(100, 0)), Err(Refusal::Sealed));
    assert_eq!(sealed.seal(), None);
}

#[test]
fn a_claim_leaves_room_for_a_pad_or_none_at_all() {
    let cases = [
        // offset, bytes, end, remainder_min, granted
        (0, 100, 100, 24, true),
        (0, 99, 100, 24, false),
        (0, 77, 100, 24, false),
        (0, 76, 100, 24, true),
        (0, 101, 100, 24, false),
        (100, 0, 100, 24, true),
        (90, 10, 100, 24, true),
        (90, 11, 100, 24, false),
    ];
    for (offset, bytes, end, remainder_min, granted) in cases {
        let header = Header::open(BufferOffset::new(offset).unwrap());
        let answer = header.try_reserve(bytes, room(end, remainder_min));
        assert_eq!(answer.is_ok(), granted, "{offset} + {bytes} of {end}, remainder {remainder_min}");
    }
}

#[test]
fn the_writer_count_stops_at_its_maximum_without_touching_the_seal() {
    let full = Header::from_bits(u64::from(Header::WRITERS_MAX) << 24);
    assert_eq!(full.try_reserve(1, room(100, 0)), Err(Refusal::WritersExhausted));
    assert!(!full.is_sealed());
    let one_less = full.leave().unwrap();
    let (again, _) = one_less.try_reserve(1, room(100, 0)).unwrap();
    assert_eq!((again.writers(), again.is_sealed(), again.salt().get()), (Header::WRITERS_MAX, false, 0));
}

#[test]
fn the_largest_offset_is_claimed_exactly() {
    let max = BufferOffset::MAX.get();
    let (full, at) = Header::open(BufferOffset::ZERO).try_reserve(max, room(max, 24)).unwrap();
    assert_eq!((at.get(), full.offset().get(), full.writers()), (0, max, 1));
    assert_eq!(full.try_reserve(1, room(max, 24)), Err(Refusal::Full));
    assert_eq!(BufferOffset::new(max + 1), None);
}
