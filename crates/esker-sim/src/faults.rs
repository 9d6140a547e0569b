//! What shall go wrong.
//!
//! Owns the names and numbers of the faults. Refuses to draw: that is the disk's business.
//!
//! # Invariants
//!
//! - **T1 (nothing by default):** [`Faults::default`] is a disk that never fails, has no end, and loses at a power cut
//!   only what it may.

/// A probability, in millionths, so that it can be compared and printed exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Probability {
    per_million: u32,
}

impl Probability {
    /// It does not happen.
    pub const NEVER: Self = Self { per_million: 0 };
    /// It happens each time.
    pub const ALWAYS: Self = Self { per_million: 1_000_000 };

    /// So many times in a million; more than a million counts as [`ALWAYS`](Self::ALWAYS).
    #[must_use]
    pub const fn from_per_million(per_million: u32) -> Self {
        if per_million > 1_000_000 { Self::ALWAYS } else { Self { per_million } }
    }

    /// Once in `n` times, rounded down to a millionth; for zero, [`ALWAYS`](Self::ALWAYS).
    #[must_use]
    pub const fn one_in(n: u32) -> Self {
        match 1_000_000u32.checked_div(n) {
            Some(per_million) => Self { per_million },
            None => Self::ALWAYS,
        }
    }

    /// In millionths.
    #[must_use]
    pub const fn per_million(self) -> u32 {
        self.per_million
    }
}

/// Which calls of one kind fail, or have happen to them what else a field of [`Faults`] says. Calls are counted from zero
/// since the disk was made; a call is chosen if any of the three says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Failures {
    /// Each call, with this probability.
    pub probability: Probability,
    /// This call, once.
    pub nth: Option<u64>,
    /// This call and all after it.
    pub since: Option<u64>,
}

impl Failures {
    /// No call.
    pub const NONE: Self = Self { probability: Probability::NEVER, nth: None, since: None };

    /// The call number `n`, once.
    #[must_use]
    pub const fn nth(n: u64) -> Self {
        Self { nth: Some(n), ..Self::NONE }
    }

    /// The call number `n` and all after it.
    #[must_use]
    pub const fn since(n: u64) -> Self {
        Self { since: Some(n), ..Self::NONE }
    }

    /// Each call, with this probability.
    #[must_use]
    pub const fn with(probability: Probability) -> Self {
        Self { probability, ..Self::NONE }
    }
}

/// Calls of every kind, each kind counted by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Calls {
    /// `read_at`.
    pub read: Failures,
    /// `write_all_at` and `write_all_vectored_at`.
    pub write: Failures,
    /// `len`.
    pub len: Failures,
    /// `set_len` and `preallocate`.
    pub length: Failures,
    /// `sync_data` and `sync_all`.
    pub sync: Failures,
    /// `sync_dir`.
    pub dir_sync: Failures,
    /// `create`, `open`, `remove`, `rename`, `list` and `lock`.
    pub dir: Failures,
}

impl Calls {
    /// No call of any kind.
    pub const NONE: Self = Self::each(Failures::NONE);

    /// These of each kind.
    #[must_use]
    pub const fn each(chosen: Failures) -> Self {
        let (read, write, len, length) = (chosen, chosen, chosen, chosen);
        Self { read, write, len, length, sync: chosen, dir_sync: chosen, dir: chosen }
    }
}

/// How it is decided what of the un-synced survives a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Survival {
    /// Only what was synced.
    Nothing,
    /// Everything, as if the process alone had been killed.
    Everything,
    /// Everything up to some call, nothing after it, and of that call any of its sectors: a disk that keeps order.
    Prefix,
    /// Each fact by itself. How many survive is drawn too, for the data and for the length of each file, and for the
    /// directory; all and none are frequent draws. So data without length, length without data, one file without the
    /// other, and names without files all occur.
    Subset,
}

/// What shall go wrong. The default is: nothing.
///
/// # Example
///
/// ```
/// use esker_sim::{Failures, Faults, Probability};
///
/// let faults = Faults {
///     crash_after_ops: Some(100),
///     sync_error: Failures::nth(3),
///     read_error: Failures::with(Probability::one_in(1000)),
///     ..Faults::default()
/// };
/// assert_eq!(faults.write_error, Failures::NONE);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults {
    /// After so many changing calls (see [`Counts::changing`](crate::Counts::changing)) the power fails in the middle of
    /// the next one.
    pub crash_after_ops: Option<u64>,
    /// Calls of `read_at`. The destination is then full of noise.
    pub read_error: Failures,
    /// Calls of `write_all_at` and `write_all_vectored_at`. Any sectors of the range may have been written.
    pub write_error: Failures,
    /// The same calls: a part from the beginning is written, at any byte, and the error's kind is
    /// [`WriteZero`](std::io::ErrorKind::WriteZero).
    pub short_write: Failures,
    /// Calls of `len`.
    pub len_error: Failures,
    /// Calls of `set_len` and `preallocate`. Nothing is changed.
    pub length_error: Failures,
    /// Calls of `sync_data` and `sync_all`. Data is dropped, as the fault model says.
    pub sync_error: Failures,
    /// Calls of `sync_dir`. Entries are dropped, as the fault model says.
    pub dir_sync_error: Failures,
    /// Calls of `create`, `open`, `remove`, `rename`, `list` and `lock`. Nothing is changed.
    pub dir_error: Failures,
    /// Calls that take time: as many [ticks](crate::Pace::tick) as is drawn, from one to
    /// [`slow_ticks_max`](Self::slow_ticks_max). At which of them the call takes effect is drawn too.
    pub slow: Calls,
    /// The most ticks that a slow call takes; zero counts as one.
    pub slow_ticks_max: u32,
    /// Calls that do not return until [`SimStorage::release_hung`](crate::SimStorage::release_hung), or until the power is
    /// off. Whether such a call takes effect before it hangs or after that is drawn.
    pub hung: Calls,
    /// Calls of `read_at` that find a bit flipped, for good, in a sector of their range that was written and has nothing
    /// un-synced. Nothing happens if there is no such sector.
    pub bit_rot: Failures,
    /// Calls of `read_at` that get, for a run of their sectors, what the disk holds somewhere else. The disk stays as it is.
    pub misdirected_read: Failures,
    /// Writes that return `Ok` and leave a run of their sectors as it was, for good. The length grows as it should.
    pub lost_write: Failures,
    /// The same, and what should have been written is somewhere else, for good: in another place of the file or in another
    /// file. It comes there beneath what is un-synced, so that readers see it where nothing is, and the next sync of what is
    /// un-synced repairs it.
    pub misdirected_write: Failures,
    /// The size of the disk. Counted are the sectors that were written or preallocated, of all files that have a name or
    /// an open handle.
    pub capacity_bytes: Option<u64>,
    /// The probability that an un-synced sector comes back from a power cut as noise.
    pub garbage: Probability,
    /// How it is decided what survives; `None` leaves it to the seed of each crash image.
    pub survival: Option<Survival>,
    /// The disk lies: `sync_data` and `sync_all` return `Ok` and make nothing durable.
    pub ignore_sync: bool,
    /// The disk lies: `sync_dir` returns `Ok` and makes nothing durable.
    pub ignore_sync_dir: bool,
}
