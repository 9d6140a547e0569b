//! Finding the next valid message beyond a damage.
//!
//! A damaged message does not say where the next one begins, so every byte is tried. Almost all are ruled out by comparing
//! eight bytes with the LSN that would have to stand there, and those are ruled out many at a time: places whose LSNs differ
//! in the lowest byte only have the other bytes in common. What is left gets its checksum verified.

use core::ops::Range;

use super::Cursor;
use crate::layout::{self, Field, MESSAGE_HEADER_BYTES};
use crate::position::Lsn;

const LSN: Field = layout::field(&layout::MESSAGE_HEADER, "lsn");

/// How many places there are whose LSNs differ in the lowest byte only.
const STRIDE: usize = 256;

impl Cursor {
    /// Goes on beyond a damage, as [`Scanner::resync`](crate::Scanner::resync) does.
    pub fn resync(&mut self, bytes: &[u8]) -> Option<Lsn> {
        let bytes = self.clip(bytes);
        let mut from = self.at + 1;
        loop {
            let at = self.candidate(bytes, from)?;
            if self.message_at(bytes, at).is_some() {
                self.at = at;
                self.is_damaged = false;
                return Some(self.lsn_at(at));
            }
            from = at + 1;
        }
    }

    /// Passes over places beyond a damage at which no message can begin, whatever bytes may follow, so that they can be
    /// [forgotten](Cursor::forget) before the rest is at hand: [`resync`](Cursor::resync) finds from there what it would have
    /// found from here. Returns whether there is a place left at which one can begin.
    pub fn skip(&mut self, bytes: &[u8]) -> bool {
        let bytes = self.clip(bytes);
        let candidate = self.candidate(bytes, self.at + 1);
        let judged = places(bytes, self.at + 1).end;
        // The place before the next that is to be tried.
        self.at = candidate.unwrap_or(judged) - 1;
        self.is_damaged = true;
        candidate.is_some()
    }

    /// The first place at or beyond `from` where the LSN of that place stands as in a message.
    fn candidate(&self, bytes: &[u8], from: usize) -> Option<usize> {
        let mut places = places(bytes, from);
        while !places.is_empty() {
            let lsn = self.lsn_at(places.start).get();
            let next = places.end.min(places.start + STRIDE - (lsn as usize % STRIDE));
            let stride = &bytes[places.start + LSN.offset..next - 1 + LSN.end()];
            if may_hold(stride, lsn.to_le_bytes())
                && let Some(found) = (places.start..next).find(|&at| LSN.u64_of(&bytes[at..]) == self.lsn_at(at).get())
            {
                return Some(found);
            }
            places.start = next;
        }
        None
    }
}

/// The places at or beyond `from` at which the bytes hold the whole header of a message. Not empty before its beginning.
fn places(bytes: &[u8], from: usize) -> Range<usize> {
    from..(bytes.len() + 1).saturating_sub(MESSAGE_HEADER_BYTES).max(from)
}

/// Whether `bytes` may hold one of the LSNs that differ from `lsn` in the lowest byte only. Looks at three of the others, and
/// at many places at once.
fn may_hold(bytes: &[u8], lsn: [u8; 8]) -> bool {
    let [_, second, third, fourth, ..] = lsn;
    let (seconds, thirds, fourths) = (&bytes[1..], &bytes[2..], &bytes[3..]);
    let differs = seconds.iter().zip(thirds).zip(fourths).map(|((a, b), c)| (a ^ second) | (b ^ third) | (c ^ fourth));
    differs.fold(false, |any, differs| any | (differs == 0))
}
