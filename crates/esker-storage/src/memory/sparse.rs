//! Bytes with holes.
//!
//! Owns one file's bytes. Refuses threads and errors: the caller guards it and has checked every range.
//!
//! # Invariants
//!
//! - **P1 (zero beyond the end):** in the page that holds the end of the file, every byte beyond the end is zero, and no
//!   page lies wholly beyond it. So growing the length needs no clearing.

use std::collections::BTreeMap;

/// Large enough that a log's writes touch few pages, small enough that a tiny file stays tiny.
const PAGE_BYTES: usize = 1 << 14;

#[derive(Debug, Default)]
pub(super) struct Sparse {
    len: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
}

/// A piece of a range that lies within one page: the page's number, and where the piece begins in the page.
struct Piece {
    page: u64,
    start: usize,
    bytes: usize,
}

/// Splits `bytes` bytes from `offset` on at the page boundaries.
fn pieces(offset: u64, bytes: usize) -> impl Iterator<Item = Piece> {
    let mut at = offset;
    let mut left = bytes;
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let start = (at % PAGE_BYTES as u64) as usize;
        let piece = Piece { page: at / PAGE_BYTES as u64, start, bytes: left.min(PAGE_BYTES - start) };
        at += piece.bytes as u64;
        left -= piece.bytes;
        Some(piece)
    })
}

impl Sparse {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Cuts, keeping P1, or extends.
    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            let first_gone = len.div_ceil(PAGE_BYTES as u64);
            self.pages.split_off(&first_gone);
            if let Some(page) = self.pages.get_mut(&(len / PAGE_BYTES as u64)) {
                page[(len % PAGE_BYTES as u64) as usize..].fill(0);
            }
        }
        self.len = len;
    }

    /// Reads what lies below the end and returns how much that was.
    pub(super) fn read(&self, dst: &mut [u8], offset: u64) -> usize {
        let below_end = self.len.saturating_sub(offset);
        let bytes = usize::try_from(below_end).map_or(dst.len(), |below_end| below_end.min(dst.len()));
        let mut rest = &mut dst[..bytes];
        for piece in pieces(offset, bytes) {
            let (now, later) = rest.split_at_mut(piece.bytes);
            match self.pages.get(&piece.page) {
                Some(page) => now.copy_from_slice(&page[piece.start..piece.start + piece.bytes]),
                None => now.fill(0),
            }
            rest = later;
        }
        bytes
    }

    /// Writes, and extends the length if the end of the range lies beyond it.
    pub(super) fn write(&mut self, src: &[u8], offset: u64) {
        let mut rest = src;
        for piece in pieces(offset, src.len()) {
            let (now, later) = rest.split_at(piece.bytes);
            let page = self.pages.entry(piece.page).or_insert_with(|| vec![0; PAGE_BYTES].into_boxed_slice());
            page[piece.start..piece.start + piece.bytes].copy_from_slice(now);
            rest = later;
        }
        if !src.is_empty() {
            self.len = self.len.max(offset + src.len() as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(sparse: &Sparse) -> Vec<u8> {
        let mut bytes = vec![0xee; sparse.len() as usize];
        assert_eq!(sparse.read(&mut bytes, 0), bytes.len());
        bytes
    }

    #[test]
    fn a_write_across_pages_reads_back() {
        let mut sparse = Sparse::default();
        let mut model = vec![0; 3 * PAGE_BYTES + 7];
        let src: Vec<u8> = (0..2 * PAGE_BYTES + 14).map(|i| (i % 251) as u8 + 1).collect();
        sparse.write(&src, PAGE_BYTES as u64 - 7);
        model[PAGE_BYTES - 7..].copy_from_slice(&src);
        assert_eq!(bytes_of(&sparse), model);
    }

    #[test]
    fn what_was_cut_reads_as_zeros_when_the_length_grows_again() {
        for cut in [0, 1, PAGE_BYTES as u64 - 1, PAGE_BYTES as u64, PAGE_BYTES as u64 + 1, 2 * PAGE_BYTES as u64] {
            let mut sparse = Sparse::default();
            sparse.write(&vec![7; 2 * PAGE_BYTES + 5], 0);
            sparse.set_len(cut);
            sparse.set_len(2 * PAGE_BYTES as u64 + 5);
            let bytes = bytes_of(&sparse);
            assert!(bytes[..cut as usize].iter().all(|&byte| byte == 7), "cut at {cut}");
            assert!(bytes[cut as usize..].iter().all(|&byte| byte == 0), "cut at {cut}");
        }
    }

    #[test]
    fn a_far_write_costs_one_page() {
        let mut sparse = Sparse::default();
        sparse.write(b"x", 1 << 60);
        assert_eq!((sparse.len(), sparse.pages.len()), ((1 << 60) + 1, 1));
    }
}
