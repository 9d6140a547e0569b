//! Reading everything that can be read, for the sake of what it tells about the rest.

use super::{Damage, Scanner};
use crate::position::Lsn;

/// A mark and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkAt {
    /// Everything below was durable.
    pub mark: Lsn,
    /// The message that carries the mark.
    pub at: Lsn,
}

/// What [`Scanner::survey`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey {
    /// How many valid messages there are.
    pub messages: u64,
    /// How many bytes they have together, with their headers.
    pub message_bytes: u64,
    /// How many damages there are; a run of bytes without any valid message counts once.
    pub damages: u64,
    /// The first of them.
    pub first_damage: Option<Damage>,
    /// The highest mark of any valid message, unless no mark says anything; the first message that carries it.
    pub highest_mark: Option<MarkAt>,
    /// Where the last valid message ends; where the scanner stood, if there is none.
    pub end: Lsn,
}

impl Scanner<'_> {
    /// Reads all valid messages from here on, beyond every damage.
    ///
    /// A scanner that has just returned a damage goes on beyond it; that damage is not counted.
    ///
    /// What [`Scanner::resync`] says of evidence holds for what is found beyond a damage. Linear in the bytes.
    #[must_use]
    pub fn survey(mut self) -> Survey {
        let mut survey = Survey {
            messages: 0,
            message_bytes: 0,
            damages: 0,
            first_damage: None,
            highest_mark: None,
            end: self.next_lsn(),
        };
        loop {
            match self.next() {
                Some(Ok(message)) => {
                    survey.messages += 1;
                    survey.message_bytes += message.header.message_bytes() as u64;
                    survey.end = message.end();
                    let (mark, at) = (message.header.mark, message.lsn());
                    if mark > survey.highest_mark.map_or(Lsn::ZERO, |highest| highest.mark) {
                        survey.highest_mark = Some(MarkAt { mark, at });
                    }
                }
                Some(Err(damage)) => {
                    survey.damages += 1;
                    survey.first_damage.get_or_insert(damage);
                }
                None if self.resync().is_some() => {}
                None => return survey,
            }
        }
    }
}
