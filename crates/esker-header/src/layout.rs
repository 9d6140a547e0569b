//! Where the fields of the word lie. Only widths are stated; shifts and masks follow from them, and constants prove that
//! the fields fill the word without overlapping.

/// Bits of the offset field.
pub const OFFSET_BITS: u32 = 24;
/// Bits of the writer count.
pub const WRITERS_BITS: u32 = 20;
/// Bits of the salt.
pub const SALT_BITS: u32 = 19;

pub(crate) const OFFSET: Field = Field::lowest(OFFSET_BITS);
pub(crate) const WRITERS: Field = OFFSET.then(WRITERS_BITS);
pub(crate) const SEALED: Field = WRITERS.then(1);
pub(crate) const SALT: Field = SEALED.then(SALT_BITS);

const _: () = {
    assert!(SALT.shift + SALT.bits == u64::BITS, "the fields must fill the word");
    assert!(OFFSET.mask() & WRITERS.mask() == 0);
    assert!((OFFSET.mask() | WRITERS.mask()) & SEALED.mask() == 0);
    assert!((OFFSET.mask() | WRITERS.mask() | SEALED.mask()) & SALT.mask() == 0);
    assert!(OFFSET.mask() | WRITERS.mask() | SEALED.mask() | SALT.mask() == u64::MAX);
    // Values of the offset, the writers and the salt are handed out as `u32`.
    assert!(OFFSET.bits < 32 && WRITERS.bits < 32 && SALT.bits < 32);
};

/// One field of the word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    shift: u32,
    bits: u32,
}

impl Field {
    /// The field that holds the lowest bits.
    const fn lowest(bits: u32) -> Self {
        Self { shift: 0, bits }
    }

    /// The field just above this one.
    const fn then(self, bits: u32) -> Self {
        Self { shift: self.shift + self.bits, bits }
    }

    /// The largest value the field holds.
    pub(crate) const fn max(self) -> u32 {
        ((1u64 << self.bits) - 1) as u32
    }

    /// The word with this field at its maximum and all others zero.
    pub(crate) const fn mask(self) -> u64 {
        ((1u64 << self.bits) - 1) << self.shift
    }

    /// The word with this field one and all others zero.
    pub(crate) const fn one(self) -> u64 {
        1u64 << self.shift
    }

    /// The field's value in `word`.
    pub(crate) const fn of(self, word: u64) -> u32 {
        ((word & self.mask()) >> self.shift) as u32
    }

    /// `word` with the field replaced; bits of `value` beyond the field's width are dropped, so that no neighbour can be
    /// reached (H2).
    pub(crate) const fn replace(self, word: u64, value: u32) -> u64 {
        (word & !self.mask()) | (((value as u64) << self.shift) & self.mask())
    }
}
