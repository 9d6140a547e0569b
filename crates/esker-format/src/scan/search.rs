//! Finding the next valid message beyond a damage.
//!
//! A damaged message does not say where the next one begins, so every byte is tried. Almost all are ruled out by comparing
//! eight bytes with the LSN that would have to stand there. What is left gets its checksum verified.

use super::Scanner;
use crate::layout::{self, Field, MESSAGE_HEADER_BYTES};
use crate::position::Lsn;

const LSN: Field = layout::field(&layout::MESSAGE_HEADER, "lsn");

impl Scanner<'_> {
    /// Goes on beyond a damage: finds the next place beyond [`Scanner::next_lsn`] at which a valid message stands, moves
    /// there, and returns the place. `None`, and nothing has changed, if there is none.
    ///
    /// Message boundaries beyond a damage are not known, so a message is looked for at every byte. A payload that holds what
    /// would be a valid message at just that place is taken for one: what is found beyond a damage is evidence, not proof.
    /// Without a damage to go beyond, the next message is skipped and the same holds for what is found instead.
    ///
    /// Linear in the bytes at hand, whatever they hold (N3), also over all calls together if they are repeated to the end.
    pub fn resync(&mut self) -> Option<Lsn> {
        let at = self.search(self.at + 1)?;
        self.at = at;
        self.is_damaged = false;
        Some(self.lsn_at(at))
    }

    /// The first place at or beyond `from` at which a valid message stands.
    fn search(&mut self, from: usize) -> Option<usize> {
        let (bytes, start) = (self.bytes, self.start.get());
        let places = from..(bytes.len() + 1).checked_sub(MESSAGE_HEADER_BYTES)?;
        let lsns = bytes.get(places.start + LSN.offset..)?.windows(LSN.bytes);
        for (at, lsn) in places.zip(lsns) {
            let mut stored = [0; 8];
            stored.copy_from_slice(lsn);
            // No overflow: `new` has limited the bytes so that all their LSNs can be named.
            if u64::from_le_bytes(stored) == start + at as u64 && self.message_at(at).is_some() {
                return Some(at);
            }
        }
        None
    }
}
