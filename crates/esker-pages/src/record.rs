//! What the store appends to its streams.
//!
//! Owns the encoding of records. Refuses I/O.
//!
//! A record is a header of [`HEADER_BYTES`] and the bytes of a page or of a delta. All numbers are little-endian:
//!
//! | bytes | field |
//! |--:|---|
//! | 0 | kind; bit 7 is set if the next number belongs to the same batch |
//! | 1..8 | number: the order of all changes, and the version that the page has after this one |
//! | 8..13 | page id |
//! | 13.. | content |
//!
//! | kind | meaning | content |
//! |--:|---|---|
//! | 1 | full | all of the page |
//! | 2 | delta | what was linked to the page, of the version before |
//! | 3 | free | none: there is no such page from now on |
//! | 4 | void | unspecified. The number is taken, and changed nothing; zero is no number |
//! | 5 | large | id (8), length (8) and CRC-32 (4) of the page's content, which is in a file of its own |

use esker_page_table::PageId;

/// The bytes of a record before its content.
pub(crate) const HEADER_BYTES: usize = 13;
/// The highest number that fits.
pub(crate) const NUMBER_MAX: u64 = (1 << 56) - 1;
/// The content of a record of the kind [`Kind::Large`].
pub(crate) const LARGE_BYTES: usize = 20;
const MORE: u8 = 0x80;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Full = 1,
    Delta = 2,
    Free = 3,
    Void = 4,
    Large = 5,
}

impl Kind {
    fn from_u8(kind: u8) -> Option<Self> {
        Some(match kind {
            1 => Self::Full,
            2 => Self::Delta,
            3 => Self::Free,
            4 => Self::Void,
            5 => Self::Large,
            _ => return None,
        })
    }
}

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    /// Whether the next number belongs to the same batch.
    pub(crate) more: bool,
    pub(crate) number: u64,
    pub(crate) page: PageId,
}

impl Head {
    /// Writes the head over the first bytes of a record.
    pub(crate) fn put(self, record: &mut [u8]) {
        assert!(self.number <= NUMBER_MAX, "2^56 changes are all that the format can count");
        record[0] = self.kind as u8 | if self.more { MORE } else { 0 };
        record[1..8].copy_from_slice(&self.number.to_le_bytes()[..7]);
        record[8..HEADER_BYTES].copy_from_slice(&self.page.get().to_le_bytes()[..5]);
    }

    /// The head and the content of a record; `None` if it is none that this version writes.
    pub(crate) fn split(record: &[u8]) -> Option<(Self, &[u8])> {
        let (head, content) = record.split_first_chunk::<HEADER_BYTES>()?;
        let (mut number, mut page) = ([0; 8], [0; 8]);
        number[..7].copy_from_slice(&head[1..8]);
        page[..5].copy_from_slice(&head[8..]);
        let head = Self {
            kind: Kind::from_u8(head[0] & !MORE)?,
            more: head[0] & MORE != 0,
            number: u64::from_le_bytes(number),
            page: PageId::new(u64::from_le_bytes(page))?,
        };
        let is_right = match head.kind {
            Kind::Free => content.is_empty(),
            Kind::Large => content.len() == LARGE_BYTES,
            Kind::Full | Kind::Delta | Kind::Void => true,
        };
        (is_right && (head.number > 0 || head.kind == Kind::Void)).then_some((head, content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_split_again() {
        for kind in [Kind::Full, Kind::Delta, Kind::Free, Kind::Void, Kind::Large] {
            for (more, number, page) in
                [(false, 1, 0), (true, NUMBER_MAX, PageId::MAX.get()), (true, 0x0001_0203_0405_0607, 9)]
            {
                let head = Head { kind, more, number, page: PageId::new(page).unwrap() };
                let content = match kind {
                    Kind::Free => 0,
                    Kind::Large => LARGE_BYTES,
                    _ => 3,
                };
                let mut record = vec![0xee; HEADER_BYTES + content];
                head.put(&mut record);
                assert_eq!(Head::split(&record), Some((head, &vec![0xee; content][..])));
            }
        }
    }

    #[test]
    fn other_bytes_are_no_record() {
        let head = Head { kind: Kind::Full, more: false, number: 7, page: PageId::MIN };
        let mut record = vec![0; HEADER_BYTES];
        head.put(&mut record);
        assert_eq!(Head::split(&record[..HEADER_BYTES - 1]), None);
        for kind in [0, 6, 0x7f, 0x80] {
            record[0] = kind;
            assert_eq!(Head::split(&record), None);
        }
        let zero = Head { kind: Kind::Full, more: false, number: 0, page: PageId::MIN };
        zero.put(&mut record);
        assert_eq!(Head::split(&record), None);
        Head { kind: Kind::Void, ..zero }.put(&mut record);
        assert!(Head::split(&record).is_some());
        Head { kind: Kind::Large, ..head }.put(&mut record);
        assert_eq!(Head::split(&record), None);
        Head { kind: Kind::Free, ..head }.put(&mut record);
        record.push(0);
        assert_eq!(Head::split(&record), None);
    }
}
