//! Where the chunks are.
//!
//! Owns the memory of all chunks, and finds a region's in two steps: *levels* of pointers, each twice as long as the one
//! before, so that a table grows without copying anything. Refuses to look into chunks.

use std::{iter, ptr, slice};

use crate::{
    page::{LIMIT_LOG2, REGION_LOG2, Region},
    sync::{AtomicPtr, Ordering},
    table::{chunk::Chunk, witness::Witness},
};

/// How many chunks the first level points to, as a power of two. Each level has twice as many as the one before.
const FIRST_LOG2: u32 = if cfg!(all(test, loom)) { 0 } else { 6 };
/// Enough levels for every region.
const LEVELS: usize = (LIMIT_LOG2 - REGION_LOG2 - FIRST_LOG2 + 1) as usize;

/// A pointer to a chunk, or null.
#[derive(Debug)]
struct Entry {
    chunk: AtomicPtr<Chunk>,
    published: Witness,
}

/// The chunks of a table. Those that are there stay, and stay where they are, until the directory is dropped (I3).
#[derive(Debug)]
pub(super) struct Directory {
    /// The first entry of each level, or null.
    levels: [AtomicPtr<Entry>; LEVELS],
}

impl Directory {
    pub(super) fn new() -> Self {
        Self { levels: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())) }
    }

    /// The chunk of this region, if it was made.
    #[inline]
    pub(super) fn find(&self, region: Region) -> Option<&Chunk> {
        let (level, at) = place(region);
        chunk(&self.level(level)?[at])
    }

    /// The chunk of this region, which is made if there is none.
    #[inline]
    pub(super) fn find_or_make(&self, region: Region) -> &Chunk {
        match self.find(region) {
            Some(chunk) => chunk,
            None => self.make(region),
        }
    }

    /// The regions from `first` to `last`, both included, whose chunks were made, in ascending order.
    pub(super) fn chunks(&self, first: Region, last: Region) -> impl Iterator<Item = (Region, &Chunk)> {
        let levels = (0..LEVELS).filter_map(|level| Some((level, self.level(level)?)));
        levels.flat_map(move |(level, entries)| {
            let base = first_of(level);
            // What of the level lies in the range.
            let from = (first.0.saturating_sub(base) as usize).min(entries.len());
            let to = ((last.0 + 1).saturating_sub(base) as usize).clamp(from, entries.len());
            let found = entries[from..to].iter().zip(base + from as u64..);
            found.filter_map(|(entry, region)| Some((Region(region), chunk(entry)?)))
        })
    }

    /// All chunks that were made.
    pub(super) fn all(&self) -> impl Iterator<Item = (Region, &Chunk)> {
        self.chunks(Region(0), Region(u64::MAX - 1))
    }

    /// The memory of chunks and levels, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        let levels: usize = (0..LEVELS).filter_map(|level| self.level(level)).map(size_of_val).sum();
        levels + self.all().count() * size_of::<Chunk>()
    }

    #[inline]
    #[expect(unsafe_code, reason = "levels are found through an atomic pointer")]
    fn level(&self, level: usize) -> Option<&[Entry]> {
        // ORDERING: Acquire pairs with the Release in `publish` [P4]: the level's entries.
        let first = self.levels[level].load(Ordering::Acquire);
        if first.is_null() {
            return None;
        }
        // SAFETY: I3 (chunks stay): a pointer that is not null is that of a level which `make` has published, as a boxed slice
        // of exactly this many entries. It is given back only by `drop`, which has the directory for itself. P4 orders its
        // making before this; and it is only ever shared.
        Some(unsafe { slice::from_raw_parts(first, len(level)) })
    }

    #[cold]
    fn make(&self, region: Region) -> &Chunk {
        let (level, at) = place(region);
        if self.level(level).is_none() {
            let entry = || Entry { chunk: AtomicPtr::new(ptr::null_mut()), published: Witness::new() };
            let entries: Box<[Entry]> = iter::repeat_with(entry).take(len(level)).collect();
            let first = Box::into_raw(entries).cast::<Entry>();
            if !publish(&self.levels[level], first) {
                drop_level(level, first);
            }
        }
        let entry = &self.level(level).expect("I3: a level that was published stays")[at];
        if chunk(entry).is_none() {
            let made = Box::into_raw(Box::new(Chunk::new()));
            if !publish(&entry.chunk, made) {
                drop_chunk(made);
            }
        }
        chunk(entry).expect("I3: a chunk that was published stays")
    }
}

/// Puts `made` where nothing is yet. Of several at once one succeeds, and the others go on with its.
fn publish<T>(place: &AtomicPtr<T>, made: *mut T) -> bool {
    // ORDERING: Release pairs with the Acquire in `level` and in `chunk` [P4]: what `made` points to. Relaxed on failure:
    // callers load the pointer anew.
    place.compare_exchange(ptr::null_mut(), made, Ordering::Release, Ordering::Relaxed).is_ok()
}

#[inline]
#[expect(unsafe_code, reason = "chunks are found through an atomic pointer")]
fn chunk(entry: &Entry) -> Option<&Chunk> {
    entry.published.look();
    // ORDERING: Acquire pairs with the Release in `publish` [P4]: the chunk.
    let chunk = entry.chunk.load(Ordering::Acquire);
    // SAFETY: I3 (chunks stay): a pointer that is not null is that of a chunk which `make` has published. It is given back only
    // when the directory is dropped, whose borrow the entry's is a part of. P4 orders its making before this; and it is only
    // ever shared.
    let chunk = unsafe { chunk.as_ref() }?;
    chunk.look();
    Some(chunk)
}

#[expect(unsafe_code, reason = "gives back what `make` has made")]
fn drop_level(level: usize, first: *mut Entry) {
    let entries = ptr::slice_from_raw_parts_mut(first, len(level));
    // SAFETY: I3 (chunks stay): `make` made it by `Box::into_raw` from as many entries; and either it was not published, or
    // this is the drop of the directory, which has it for itself and does so once.
    drop(unsafe { Box::from_raw(entries) });
}

#[expect(unsafe_code, reason = "gives back what `make` has made")]
fn drop_chunk(chunk: *mut Chunk) {
    // SAFETY: I3 (chunks stay): `make` made it by `Box::into_raw`; and either it was not published, or this is the drop of the
    // directory, which has it for itself and does so once.
    drop(unsafe { Box::from_raw(chunk) });
}

impl Drop for Directory {
    fn drop(&mut self) {
        for level in 0..LEVELS {
            let Some(entries) = self.level(level) else { continue };
            for entry in entries {
                // ORDERING: Relaxed: nobody else is there any more.
                let chunk = entry.chunk.load(Ordering::Relaxed);
                if !chunk.is_null() {
                    drop_chunk(chunk);
                }
            }
            // ORDERING: Relaxed: nobody else is there any more.
            drop_level(level, self.levels[level].load(Ordering::Relaxed));
        }
    }
}

/// The level that points to a region's chunk, and which of its entries does.
#[inline]
fn place(region: Region) -> (usize, usize) {
    let n = region.0 + (1 << FIRST_LOG2);
    let power = n.ilog2();
    // Counted from the first level's length on, each level begins at a power of two, which is its length.
    let level = power - FIRST_LOG2;
    (level as usize, (n - (1 << power)) as usize)
}

/// How many entries a level has.
#[inline]
fn len(level: usize) -> usize {
    1 << (FIRST_LOG2 as usize + level)
}

/// The first region of a level.
fn first_of(level: usize) -> u64 {
    (len(level) - len(0)) as u64
}

#[cfg(test)]
mod tests {
    use super::{LEVELS, first_of, len, place};
    use crate::page::{PageId, Region};

    #[test]
    fn every_region_has_its_own_place() {
        let mut expected = (0, 0);
        for region in 0..100_000 {
            assert_eq!(place(Region(region)), expected, "{region}");
            expected.1 += 1;
            if expected.1 == len(expected.0) {
                expected = (expected.0 + 1, 0);
                assert_eq!(first_of(expected.0), region + 1);
            }
        }
        let (level, at) = place(PageId::MAX.region());
        assert!(level == LEVELS - 1 && at < len(level), "{level} {at}");
    }
}
