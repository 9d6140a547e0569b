//! Cutting bytes into records.
//!
//! Owns the three ways in which records are delimited. Refuses to read: it sees bytes, and says which of them are
//! records and how many more it wants.
//!
//! # Invariants
//!
//! - K1 (lossless): the records, each with its delimiter, are the input, byte for byte; only the delimiter of the last
//!   one may be missing, except with lengths.
//! - K2 (linear): no byte is looked at twice, however the input is split into reads.
//! - K3 (a length is a claim): nothing is allocated for it.

use memchr::memchr_iter;

/// How records are delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// A line break after each.
    Line,
    /// A NUL byte after each.
    Null,
    /// A little-endian length of 32 bits before each.
    Length,
}

/// Why bytes cannot be cut into records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CutError {
    /// A record is longer than allowed.
    TooLong { len_at_least: u64, max: u32 },
    /// The input ends inside a record.
    Incomplete { found: usize },
}

/// Cuts one input. It is told of the bytes from the beginning of the first unfinished record on, again and again, each
/// time with more bytes at the end.
#[derive(Debug)]
pub(super) struct Cutter {
    framing: Framing,
    record_max: u32,
    /// How many bytes of the unfinished record are known to hold no delimiter.
    searched: usize,
}

const LENGTH_BYTES: usize = 4;

impl Cutter {
    pub(super) fn new(framing: Framing, record_max: u32) -> Self {
        Self { framing, record_max, searched: 0 }
    }

    /// Appends the place of every record that is complete to `records`, and returns where the unfinished one begins.
    pub(super) fn cut(&mut self, bytes: &[u8], records: &mut Vec<(u32, u32)>) -> Result<usize, CutError> {
        match self.framing {
            Framing::Line => self.cut_delimited(b'\n', bytes, records),
            Framing::Null => self.cut_delimited(b'\0', bytes, records),
            Framing::Length => self.cut_lengths(bytes, records),
        }
    }

    /// The last record, when the input has ended with `bytes` unfinished. Its place is within `bytes`.
    pub(super) fn finish(&mut self, bytes: &[u8]) -> Result<Option<(u32, u32)>, CutError> {
        self.searched = 0;
        match self.framing {
            _ if bytes.is_empty() => Ok(None),
            Framing::Line | Framing::Null => Ok(Some((0, self.checked_len(bytes.len())?))),
            Framing::Length => Err(CutError::Incomplete { found: bytes.len() }),
        }
    }

    fn cut_delimited(&mut self, delimiter: u8, bytes: &[u8], records: &mut Vec<(u32, u32)>) -> Result<usize, CutError> {
        let mut start = 0;
        for found in memchr_iter(delimiter, &bytes[self.searched..]) {
            let end = self.searched + found;
            records.push((place(start), self.checked_len(end - start)?));
            start = end + 1;
        }
        self.checked_len(bytes.len() - start)?;
        self.searched = bytes.len() - start;
        Ok(start)
    }

    fn cut_lengths(&mut self, bytes: &[u8], records: &mut Vec<(u32, u32)>) -> Result<usize, CutError> {
        let mut start = 0;
        while let Some((length, rest)) = bytes[start..].split_first_chunk::<LENGTH_BYTES>() {
            let len = u32::from_le_bytes(*length);
            if len > self.record_max {
                return Err(CutError::TooLong { len_at_least: u64::from(len), max: self.record_max });
            }
            if rest.len() < len as usize {
                break;
            }
            records.push((place(start + LENGTH_BYTES), len));
            start += LENGTH_BYTES + len as usize;
        }
        Ok(start)
    }

    fn checked_len(&self, len: usize) -> Result<u32, CutError> {
        match u32::try_from(len) {
            Ok(len) if len <= self.record_max => Ok(len),
            _ => Err(CutError::TooLong { len_at_least: len as u64, max: self.record_max }),
        }
    }
}

/// A position in a batch. Batches hold little more than one record, whose length is at most 2 GiB.
fn place(position: usize) -> u32 {
    u32::try_from(position).expect("a batch is shorter than 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::{CutError, Cutter, Framing};

    /// Cuts `input`, given in pieces of `step` bytes, as the reader does.
    fn cut(framing: Framing, max: u32, input: &[u8], step: usize) -> Result<Vec<Vec<u8>>, CutError> {
        let mut cutter = Cutter::new(framing, max);
        let (mut pending, mut all) = (Vec::new(), Vec::new());
        for piece in input.chunks(step) {
            pending.extend_from_slice(piece);
            let mut records = Vec::new();
            let rest = cutter.cut(&pending, &mut records)?;
            all.extend(records.iter().map(|&(at, len)| pending[at as usize..][..len as usize].to_vec()));
            pending.drain(..rest);
        }
        all.extend(cutter.finish(&pending)?.map(|(at, len)| pending[at as usize..][..len as usize].to_vec()));
        Ok(all)
    }

    fn check(framing: Framing, max: u32, input: &[u8], expected: Result<&[&[u8]], CutError>) {
        for step in 1..=input.len() + 1 {
            let found = cut(framing, max, input, step);
            let expected = expected.map(|records| records.iter().map(|record| record.to_vec()).collect());
            match (&found, &expected) {
                // How much of a long record was seen depends on the pieces.
                (Err(CutError::TooLong { max: a, .. }), Err(CutError::TooLong { max: b, .. })) => assert_eq!(a, b),
                _ => assert_eq!(found, expected, "{framing:?} of {input:?} in steps of {step}"),
            }
        }
    }

    #[test]
    fn lines_are_records() {
        check(Framing::Line, 9, b"", Ok(&[]));
        check(Framing::Line, 9, b"\n", Ok(&[b""]));
        check(Framing::Line, 9, b"a", Ok(&[b"a"]));
        check(Framing::Line, 9, b"a\nbc\n\nd\0\r\n", Ok(&[b"a", b"bc", b"", b"d\0\r"]));
        check(Framing::Line, 9, b"\n\na", Ok(&[b"", b"", b"a"]));
    }

    #[test]
    fn nul_delimited_records_hold_line_breaks() {
        check(Framing::Null, 9, b"a\nb\0\0c", Ok(&[b"a\nb", b"", b"c"]));
    }

    #[test]
    fn records_after_their_lengths_hold_everything() {
        check(Framing::Length, 9, b"", Ok(&[]));
        check(Framing::Length, 9, b"\0\0\0\0\x03\0\0\0\n\0\xff", Ok(&[b"", b"\n\0\xff"]));
    }

    #[test]
    fn an_input_that_ends_inside_a_length_or_its_record_is_refused() {
        check(Framing::Length, 9, b"\x01", Err(CutError::Incomplete { found: 1 }));
        check(Framing::Length, 9, b"\0\0\0\0\x02\0\0\0a", Err(CutError::Incomplete { found: 5 }));
    }

    #[test]
    fn the_limit_is_the_longest_record_allowed() {
        let too_long = Err(CutError::TooLong { len_at_least: 4, max: 3 });
        check(Framing::Line, 3, b"abc\nabc", Ok(&[b"abc", b"abc"]));
        check(Framing::Line, 3, b"abcd\n", too_long);
        check(Framing::Null, 3, b"a\0abcd", too_long);
        check(Framing::Length, 3, b"\x03\0\0\0abc", Ok(&[b"abc"]));
        check(Framing::Length, 3, b"\x04\0\0\0abcd", too_long);
        check(Framing::Length, u32::MAX, b"\xff\xff\xff\xffa", Err(CutError::Incomplete { found: 5 }));
    }
}
