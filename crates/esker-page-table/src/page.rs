//! What a page is called, what is known of one that is not in memory, and how pages are grouped for checkpoints.
//!
//! Owns [`PageId`], [`Version`], [`Stored`] and [`Region`]. Plain values: no atomics, no memory.

use std::{fmt, num::NonZeroU64, ops::RangeInclusive};

use esker_format::Lsn;

/// Models have few pages, so that there is less to try.
const IS_MODEL: bool = cfg!(all(test, loom));
/// How many page ids there are, as a power of two.
pub(crate) const LIMIT_LOG2: u32 = if IS_MODEL { 4 } else { 40 };
/// How many pages a region has, as a power of two.
pub(crate) const REGION_LOG2: u32 = if IS_MODEL { 1 } else { 10 };
/// How many pages lie in one region.
pub const REGION_PAGES: usize = 1 << REGION_LOG2;

/// The name of a page: a number below 2^40.
///
/// What a table keeps for itself grows with the highest id that was ever used, so that ids are best given out from zero on,
/// as [`PageIds`](crate::PageIds) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId(u64);

impl PageId {
    /// The lowest id.
    pub const MIN: Self = Self(0);
    /// The highest id.
    pub const MAX: Self = Self((1 << LIMIT_LOG2) - 1);

    /// The id of this number, or `None` if it is not below 2^40.
    #[must_use]
    #[inline]
    pub const fn new(id: u64) -> Option<Self> {
        if id <= Self::MAX.0 { Some(Self(id)) } else { None }
    }

    /// The number.
    #[must_use]
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The region that the page lies in.
    #[must_use]
    #[inline]
    pub const fn region(self) -> Region {
        Region(self.0 >> REGION_LOG2)
    }

    /// Which of its region's pages this is, from 0.
    #[inline]
    pub(crate) const fn index(self) -> usize {
        self.0 as usize & (REGION_PAGES - 1)
    }
}

impl fmt::Display for PageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// [`REGION_PAGES`] pages with successive ids: what is marked when one of them changes, and written by a checkpoint as a
/// whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(pub(crate) u64);

impl Region {
    /// The region of this number, or `None` if there are no pages for it.
    #[must_use]
    #[inline]
    pub const fn new(number: u64) -> Option<Self> {
        if number <= PageId::MAX.region().0 { Some(Self(number)) } else { None }
    }

    /// The number: the region holds the pages from that many times [`REGION_PAGES`] on.
    #[must_use]
    #[inline]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The ids of its pages.
    #[must_use]
    #[inline]
    pub const fn pages(self) -> RangeInclusive<PageId> {
        self.page(0)..=self.page(REGION_PAGES - 1)
    }

    /// The page of this index.
    #[inline]
    pub(crate) const fn page(self, index: usize) -> PageId {
        PageId(self.0 << REGION_LOG2 | index as u64)
    }
}

/// How new a page's content is. What the numbers count is for the layer above to say; the table keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(NonZeroU64);

impl Version {
    /// The version of this number, or `None` for zero.
    #[must_use]
    #[inline]
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    #[inline]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a page is that is not in memory, and what is known of it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stored {
    /// Where its record is in the log: below [`Lsn::LIMIT`]; a table panics at others. An LSN names one record for ever, and
    /// so one content of one page.
    pub lsn: Lsn,
    /// How many bytes to read there.
    pub len: u32,
    /// How new that content is.
    pub version: Version,
}
