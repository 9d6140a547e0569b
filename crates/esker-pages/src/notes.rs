//! What the store notes in the ledger beside the segments: where pages are.
//!
//! Owns the encoding of notes. Refuses I/O.
//!
//! All numbers are little-endian. The first byte tells the kind:
//!
//! | byte | note | then |
//! |--:|---|---|
//! | 1 | region | checkpoint (8), region (8), count (2), then for each page its index (2), how many records follow its first (1), and of each record lsn (8), length (4), version (8) |
//! | 2 | root | checkpoint (8), mark (8), next id (8), bytes that users had written (8) and that cleaning had moved (8) since the store was made, count (1), then where each stream is read from (8 each) |
//! | 3 | ids | next id (8): those below may have been given out |
//! | 4 | discarded | first (8), next (8): changes with these numbers never took place |
//!
//! A checkpoint is its root and, of every region, the newest note of this or an earlier checkpoint that has a root.

use esker_format::Lsn;
use esker_page_table::{REGION_PAGES, Stored, Version};

use crate::node::Fragment;

/// The most records of a page that a note has room for.
pub(crate) const FRAGMENTS_MAX: usize = 10;

const REGION: u8 = 1;
const ROOT: u8 = 2;
const IDS: u8 = 3;
const DISCARDED: u8 = 4;

/// A note of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// That there is a picture of a region; its pages are looked at by [`pages_of`].
    Region {
        checkpoint: u64,
        region: u64,
    },
    Root(Root),
    Ids {
        next: u64,
    },
    Discarded {
        first: u64,
        next: u64,
    },
}

/// The end of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) checkpoint: u64,
    /// Every change up to this number was durable.
    pub(crate) mark: u64,
    pub(crate) next_id: u64,
    /// What users had written since the store was made, and what cleaning had moved, in bytes.
    pub(crate) user_bytes: u64,
    pub(crate) moved_bytes: u64,
    /// By stream.
    pub(crate) starts: Vec<Lsn>,
}

impl Note {
    /// The note without a region's pages.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Region { checkpoint, region } => {
                out.push(REGION);
                put(&mut out, &[*checkpoint, *region]);
            }
            Self::Root(Root { checkpoint, mark, next_id, user_bytes, moved_bytes, starts }) => {
                out.push(ROOT);
                put(&mut out, &[*checkpoint, *mark, *next_id, *user_bytes, *moved_bytes]);
                out.push(starts.len() as u8);
                starts.iter().for_each(|start| put(&mut out, &[start.get()]));
            }
            Self::Ids { next } => {
                out.push(IDS);
                put(&mut out, &[*next]);
            }
            Self::Discarded { first, next } => {
                out.push(DISCARDED);
                put(&mut out, &[*first, *next]);
            }
        }
        out
    }

    /// The note, or `None` if it is none that this version writes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&kind, mut rest) = bytes.split_first()?;
        let note = match kind {
            REGION => {
                let note = Self::Region { checkpoint: take(&mut rest)?, region: take(&mut rest)? };
                pages_of(bytes, |_, _| ())?;
                return Some(note);
            }
            ROOT => {
                let (checkpoint, mark, next_id) = (take(&mut rest)?, take(&mut rest)?, take(&mut rest)?);
                let (user_bytes, moved_bytes) = (take(&mut rest)?, take(&mut rest)?);
                let (&count, after) = rest.split_first()?;
                rest = after;
                let starts = (0..count).map(|_| take(&mut rest).map(Lsn::new)).collect::<Option<_>>()?;
                Self::Root(Root { checkpoint, mark, next_id, user_bytes, moved_bytes, starts })
            }
            IDS => Self::Ids { next: take(&mut rest)? },
            DISCARDED => Self::Discarded { first: take(&mut rest)?, next: take(&mut rest)? },
            _ => return None,
        };
        rest.is_empty().then_some(note)
    }
}

/// A note of a region, in the making.
#[derive(Debug)]
pub(crate) struct RegionNote {
    bytes: Vec<u8>,
    count: u16,
}

/// Where the count is.
const COUNT_AT: usize = 17;

impl RegionNote {
    pub(crate) fn new(checkpoint: u64, region: u64) -> Self {
        let mut bytes = Note::Region { checkpoint, region }.encode();
        bytes.extend_from_slice(&[0; 2]);
        Self { bytes, count: 0 }
    }

    /// Adds the records of a page, the newest first: at most [`FRAGMENTS_MAX`].
    pub(crate) fn add(&mut self, index: u16, fragments: impl Iterator<Item = Fragment>) {
        self.bytes.extend_from_slice(&index.to_le_bytes());
        let at = self.bytes.len();
        self.bytes.push(0);
        let mut count = 0;
        for fragment in fragments {
            let Stored { lsn, len, version } = fragment.into();
            put(&mut self.bytes, &[lsn.get()]);
            self.bytes.extend_from_slice(&len.to_le_bytes());
            put(&mut self.bytes, &[version.get()]);
            count += 1;
        }
        assert!((1..=FRAGMENTS_MAX).contains(&count), "a page has {count} records");
        self.bytes[at] = count as u8 - 1;
        self.count += 1;
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes[COUNT_AT..COUNT_AT + 2].copy_from_slice(&self.count.to_le_bytes());
        self.bytes
    }
}

/// Shows each page of a region's note, with its records, the newest first. `None` if the note is not whole.
pub(crate) fn pages_of(note: &[u8], mut each: impl FnMut(u16, &[Fragment])) -> Option<()> {
    let (count, mut rest) = note.get(COUNT_AT..)?.split_first_chunk::<2>()?;
    let mut fragments = Vec::with_capacity(FRAGMENTS_MAX);
    for _ in 0..u16::from_le_bytes(*count) {
        let (index, after) = rest.split_first_chunk::<2>()?;
        let index = u16::from_le_bytes(*index);
        let (&more, after) = after.split_first()?;
        rest = after;
        if usize::from(index) >= REGION_PAGES || usize::from(more) >= FRAGMENTS_MAX {
            return None;
        }
        fragments.clear();
        for _ in 0..=more {
            let lsn = Lsn::new(take(&mut rest)?);
            let (len, after) = rest.split_first_chunk::<4>()?;
            rest = after;
            let version = Version::new(take(&mut rest)?)?;
            if lsn >= Lsn::LIMIT {
                return None;
            }
            fragments.push(Stored { lsn, len: u32::from_le_bytes(*len), version }.into());
        }
        each(index, &fragments);
    }
    rest.is_empty().then_some(())
}

fn put(out: &mut Vec<u8>, numbers: &[u64]) {
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let (number, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    Some(u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_decoded_as_they_were_encoded() {
        let root = Root {
            checkpoint: 3,
            mark: 70,
            next_id: 9,
            user_bytes: 1 << 50,
            moved_bytes: 77,
            starts: vec![Lsn::new(5), Lsn::new(1 << 40)],
        };
        for note in [Note::Root(root), Note::Ids { next: 4096 }, Note::Discarded { first: 8, next: 9 }] {
            let bytes = note.encode();
            assert_eq!(Note::decode(&bytes), Some(note));
            for end in 0..bytes.len() {
                assert_eq!(Note::decode(&bytes[..end]), None);
            }
            assert_eq!(Note::decode(&[&bytes[..], &[0]].concat()), None);
        }
        assert_eq!(Note::decode(&[9, 1]), None);
    }

    #[test]
    fn pages_of_a_region_come_back_in_order() {
        let fragment = |n: u64| Fragment::new(Lsn::new(n * 100), n as u32, Version::new(n).unwrap(), n % 2 == 1);
        let mut note = RegionNote::new(7, 11);
        note.add(0, [fragment(1)].into_iter());
        note.add(1023, [fragment(9), fragment(8), fragment(2)].into_iter());
        let bytes = note.finish();
        assert_eq!(Note::decode(&bytes), Some(Note::Region { checkpoint: 7, region: 11 }));
        let mut found = Vec::new();
        pages_of(&bytes, |index, fragments| found.push((index, fragments.to_vec()))).unwrap();
        assert_eq!(found, [(0, vec![fragment(1)]), (1023, vec![fragment(9), fragment(8), fragment(2)])]);
        for end in 0..bytes.len() {
            assert_eq!(Note::decode(&bytes[..end]), None, "{end} bytes");
        }
    }
}
