//! The number of a stream.

use std::fmt;

use crate::STREAMS_MAX;

/// One of a store's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u8);

impl StreamId {
    /// The stream that every store has.
    pub const FIRST: Self = Self(0);

    /// The stream of a number below [`STREAMS_MAX`]. Whether a store has it is for the store to say.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number < STREAMS_MAX { Some(Self(number)) } else { None }
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
