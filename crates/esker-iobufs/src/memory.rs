//! The bytes of one I/O buffer: the crate's one unsafe module.
//!
//! Owns the memory. Refuses to know who may touch which range of it: that is decided by the buffer's word (`slot.rs`),
//! and each caller here cites the invariant that gives it the range. References are only ever formed over a single
//! range, never over the whole buffer, because others hold ranges of it.
#![allow(unsafe_code, reason = "writers fill disjoint ranges of one allocation at the same time")]

use std::{cell::UnsafeCell, fmt, ops::Range};

/// Memory that several threads access in disjoint ranges. Zeroed when new.
pub(crate) struct BufferMemory {
    bytes: Box<[UnsafeCell<u8>]>,
    #[cfg(all(test, loom))]
    granules: Granules,
}

// SAFETY: sharing the memory is sharing its ranges. `range_mut` demands exclusive ranges (I2, I5) and `range` ranges
// without a writer (I3), so no byte is written by one thread while another reads or writes it; the happens-before
// between successive holders of a range comes from the buffer's word (pairs P1 and P2).
unsafe impl Sync for BufferMemory {}

impl BufferMemory {
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            bytes: std::iter::repeat_with(|| UnsafeCell::new(0)).take(bytes).collect(),
            #[cfg(all(test, loom))]
            granules: Granules::new(bytes),
        }
    }

    /// A range to read.
    ///
    /// # Safety
    ///
    /// Until the slice is gone nobody may hold a mutable slice of any byte of `range`, and all writes to it must have
    /// happened before.
    #[inline]
    pub(crate) unsafe fn range(&self, range: Range<u32>) -> &[u8] {
        #[cfg(all(test, loom))]
        self.granules.read(range.clone());
        let cells = &self.bytes[range.start as usize..range.end as usize];
        // SAFETY: I3 (writers first): the caller vouches that nobody writes here while the slice lives, so a shared slice
        // over exactly these initialized, in-bounds bytes of our own allocation is sound. `UnsafeCell<u8>` has the layout
        // of `u8`, and the borrow of `self` keeps the allocation alive.
        unsafe { std::slice::from_raw_parts(cells.as_ptr().cast::<u8>(), cells.len()) }
    }

    /// A range to write.
    ///
    /// # Safety
    ///
    /// Until the slice is gone nobody else may hold any slice of any byte of `range`, and all earlier accesses to it
    /// must have happened before.
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "disjoint ranges of shared memory are the point; see Safety")]
    pub(crate) unsafe fn range_mut(&self, range: Range<u32>) -> &mut [u8] {
        #[cfg(all(test, loom))]
        self.granules.write(range.clone());
        let cells = &self.bytes[range.start as usize..range.end as usize];
        // SAFETY: I2 (exclusive ranges): the caller vouches that the range is its own while the slice lives, so a mutable
        // slice over exactly these initialized, in-bounds bytes aliases nothing. The bytes are inside `UnsafeCell`, so
        // writing through a pointer derived from `&self` is allowed, and the borrow keeps the allocation alive.
        unsafe { std::slice::from_raw_parts_mut(UnsafeCell::raw_get(cells.as_ptr()), cells.len()) }
    }
}

impl fmt::Debug for BufferMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferMemory").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// What loom is told of accesses: one tracked cell for every eight bytes, so that a missing happens-before or an overlap
/// between holders fails the model although loom cannot see plain bytes. Models use ranges that begin and end at
/// multiples of eight.
#[cfg(all(test, loom))]
struct Granules(Box<[crate::sync::UnsafeCell<()>]>);

#[cfg(all(test, loom))]
impl Granules {
    const BYTES: u32 = 8;

    fn new(bytes: usize) -> Self {
        let granules = bytes.div_ceil(Self::BYTES as usize);
        Self(std::iter::repeat_with(|| crate::sync::UnsafeCell::new(())).take(granules).collect())
    }

    fn of(&self, range: Range<u32>) -> &[crate::sync::UnsafeCell<()>] {
        &self.0[(range.start / Self::BYTES) as usize..range.end.div_ceil(Self::BYTES) as usize]
    }

    fn read(&self, range: Range<u32>) {
        self.of(range).iter().for_each(|granule| granule.with(|_| ()));
    }

    fn write(&self, range: Range<u32>) {
        self.of(range).iter().for_each(|granule| granule.with_mut(|_| ()));
    }
}
