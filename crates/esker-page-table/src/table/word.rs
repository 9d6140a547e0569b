//! One word for what an entry is.
//!
//! Owns the encoding: zero is a vacant entry, an odd number has the LSN of a stored one in its upper 63 bits, and any other
//! number is the address of a node. An LSN has 63 bits ([`Lsn::LIMIT`]), and a node's address is even and not zero.

use esker_format::Lsn;

/// An entry's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(u64);

/// What a word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Vacant,
    Stored(Lsn),
    /// The address of a node.
    Resident(usize),
}

impl Word {
    pub(super) const VACANT: Self = Self(0);

    /// # Panics
    ///
    /// If the LSN is not below [`Lsn::LIMIT`].
    #[inline]
    pub(super) fn stored(lsn: Lsn) -> Self {
        assert!(lsn < Lsn::LIMIT, "LSN {lsn} is none of a record");
        Self(lsn.get() << 1 | 1)
    }

    #[inline]
    pub(super) fn resident(address: usize) -> Self {
        debug_assert!(address != 0 && address.is_multiple_of(2), "a node at {address:#x}");
        Self(address as u64)
    }

    #[inline]
    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    #[inline]
    pub(super) const fn to_bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub(super) const fn meaning(self) -> Meaning {
        if self.0 & 1 == 1 {
            Meaning::Stored(Lsn::new(self.0 >> 1))
        } else if self.0 == 0 {
            Meaning::Vacant
        } else {
            Meaning::Resident(self.0 as usize)
        }
    }
}

#[cfg(test)]
mod tests {
    use esker_format::Lsn;

    use super::{Meaning, Word};

    #[test]
    fn words_mean_what_they_were_made_of() {
        let last = Lsn::new(Lsn::LIMIT.get() - 1);
        for lsn in [Lsn::ZERO, Lsn::FIRST, last] {
            let word = Word::stored(lsn);
            assert_eq!(word.meaning(), Meaning::Stored(lsn));
            assert_eq!(Word::from_bits(word.to_bits()), word);
        }
        assert_eq!(Word::VACANT.meaning(), Meaning::Vacant);
        for address in [2, usize::MAX - 1] {
            assert_eq!(Word::resident(address).meaning(), Meaning::Resident(address));
        }
    }

    #[test]
    #[should_panic(expected = "none of a record")]
    fn lsn_beyond_the_limit_is_refused() {
        _ = Word::stored(Lsn::LIMIT);
    }
}
