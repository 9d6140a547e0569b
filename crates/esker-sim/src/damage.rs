//! What was damaged, and where.
//!
//! Owns the words for it. Refuses to damage anything: the disk does.

use std::fmt;

/// Bytes that do not hold, or did not give, what was last written there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Damage {
    /// The file, by the name it had then.
    pub file: String,
    /// Where the damage begins in the file, in bytes.
    pub offset: u64,
    /// How many bytes it takes at most: what is there may happen to be the same.
    pub bytes: u64,
    /// What was done.
    pub kind: DamageKind,
}

/// What was done to some bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DamageKind {
    /// One bit is the other one ([`Faults::bit_rot`](crate::Faults::bit_rot), [`AtRest::BitFlip`]).
    BitFlip,
    /// They were reported as written and are what they were before ([`Faults::lost_write`](crate::Faults::lost_write)).
    LostWrite,
    /// The same, because they went somewhere else: to the place of the next entry, if there was one
    /// ([`Faults::misdirected_write`](crate::Faults::misdirected_write)).
    MisdirectedWrite,
    /// They hold what belongs to another place: by a misdirected write, [`AtRest::Misplaced`] or [`AtRest::Swapped`].
    Misplaced {
        /// The file to which the bytes belong.
        file: String,
        /// Where they belong.
        offset: u64,
    },
    /// One read gave what is in another place ([`Faults::misdirected_read`](crate::Faults::misdirected_read)); the disk
    /// holds what it should.
    MisdirectedRead {
        /// The file that was read instead.
        file: String,
        /// Where it was read.
        offset: u64,
    },
    /// They are zeros ([`AtRest::Zeros`]).
    Zeros,
    /// They are noise ([`AtRest::Noise`]).
    Noise,
}

impl Damage {
    /// Whether the disk itself is damaged, and not just what one read gave.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        !matches!(self.kind, DamageKind::MisdirectedRead { .. })
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of '{}' from {} on ", self.bytes, self.file, self.offset)?;
        match &self.kind {
            DamageKind::BitFlip => f.write_str("have one bit flipped"),
            DamageKind::LostWrite => f.write_str("were not written"),
            DamageKind::MisdirectedWrite => f.write_str("were written somewhere else"),
            DamageKind::Misplaced { file, offset } => write!(f, "hold what belongs to '{file}' at {offset}"),
            DamageKind::MisdirectedRead { file, offset } => write!(f, "were read from '{file}' at {offset}"),
            DamageKind::Zeros => f.write_str("are zeros"),
            DamageKind::Noise => f.write_str("are noise"),
        }
    }
}

/// Ways in which a disk goes bad while nobody uses it: see [`SimStorage::damage`](crate::SimStorage::damage).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AtRest {
    /// One bit flips.
    BitFlip,
    /// A sector holds zeros.
    Zeros,
    /// A sector holds noise.
    Noise,
    /// A sector holds what another one holds too.
    Misplaced,
    /// Two sectors have changed places.
    Swapped,
}

impl AtRest {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::BitFlip, Self::Zeros, Self::Noise, Self::Misplaced, Self::Swapped];
}
