//! Sequences of operations on the packed word of `esker-header`, against a model of four plain variables.
//!
//! The input begins with the bits of the word, the end of the room and the smallest remainder; then operations follow, a
//! byte each, with an argument where one is needed.

use esker_header::{BufferOffset, Header, OFFSET_BITS, Refusal, Room, SALT_BITS, WRITERS_BITS};

use crate::input::Input;

/// The word, unpacked, in integers too wide to overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Model {
    salt: u64,
    sealed: bool,
    writers: u64,
    offset: u64,
}

impl Model {
    fn of(header: Header) -> Self {
        Self {
            salt: header.salt().get().into(),
            sealed: header.is_sealed(),
            writers: header.writers().into(),
            offset: header.offset().get().into(),
        }
    }

    fn try_reserve(self, bytes: u64, room: Room) -> Result<(Self, u64), Refusal> {
        let (end, room_end) = (self.offset + bytes, u64::from(room.end.get()));
        let fits = end == room_end || (end < room_end && room_end - end >= u64::from(room.remainder_min));
        if self.sealed {
            Err(Refusal::Sealed)
        } else if !fits {
            Err(Refusal::Full)
        } else if self.writers + 1 == 1 << WRITERS_BITS {
            Err(Refusal::WritersExhausted)
        } else {
            Ok((Self { writers: self.writers + 1, offset: end, ..self }, self.offset))
        }
    }

    fn leave(self) -> Option<Self> {
        (self.writers > 0).then(|| Self { writers: self.writers - 1, ..self })
    }

    fn seal(self) -> Option<Self> {
        (!self.sealed).then_some(Self { sealed: true, ..self })
    }

    fn reopen(self, start: u64) -> Option<Self> {
        let salt = (self.salt + 1) % (1 << SALT_BITS);
        (self.sealed && self.writers == 0).then_some(Self { salt, sealed: false, writers: 0, offset: start })
    }
}

fn offset(bytes: u32) -> BufferOffset {
    BufferOffset::new(bytes % (1 << OFFSET_BITS)).expect("the remainder fits the field")
}

/// Runs one input.
///
/// # Panics
///
/// If the word and the model disagree.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut header = Header::from_bits(input.u64());
    let room = Room { end: offset(input.u32()), remainder_min: input.u32() };
    let mut model = Model::of(header);
    while !input.is_empty() {
        let (next, expected) = match input.u8() % 5 {
            0 | 1 => {
                let bytes = input.u32();
                match (header.try_reserve(bytes, room), model.try_reserve(bytes.into(), room)) {
                    (Ok((next, at)), Ok((expected, expected_at))) => {
                        assert_eq!(u64::from(at.get()), expected_at);
                        (Some(next), Some(expected))
                    }
                    (Err(refusal), Err(expected)) => {
                        assert_eq!(refusal, expected, "{model:?} reserves {bytes} in {room:?}");
                        (None, None)
                    }
                    (found, expected) => panic!("{found:?}, expected {expected:?}"),
                }
            }
            2 => {
                if header.writers() > 0 {
                    // What the engine does in one atomic subtraction.
                    let subtracted = header.to_bits() - Header::ONE_WRITER;
                    assert_eq!(header.leave().map(Header::to_bits), Some(subtracted));
                }
                (header.leave(), model.leave())
            }
            3 => (header.seal(), model.seal()),
            _ => {
                let start = offset(input.u32());
                (header.reopen(start), model.reopen(start.get().into()))
            }
        };
        assert_eq!(next.map(Model::of), expected, "after {header:?}");
        header = next.unwrap_or(header);
        model = expected.unwrap_or(model);
        assert_eq!(Header::from_bits(header.to_bits()), header);
        assert_eq!(header.is_ready(), model.sealed && model.writers == 0);
    }
}
