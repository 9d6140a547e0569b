//! The records that are appended, and the count of those that are read back.
//!
//! A record says who wrote it and as which of that writer's; the rest is noise that no compression shortens, the same for
//! all. So every record that is read back is told from every other, and each writer's must come in order, without a gap.

use crate::{Fallible, workload::Written};

/// Writer and number.
const PREFIX_BYTES: usize = 12;

/// The noise behind a record's prefix.
fn noise(len: usize) -> impl Iterator<Item = u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(move || {
        // xorshift64: bytes that do not compress, the same every time.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
    .take(len)
}

/// A record that is appended again and again with the next number.
#[derive(Debug)]
pub(crate) struct Template(Vec<u8>);

impl Template {
    pub(crate) fn new(writer: u32, record_bytes: usize) -> Self {
        assert!(record_bytes >= PREFIX_BYTES, "a record of {record_bytes} bytes has no room for its number");
        let mut bytes = writer.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[0; PREFIX_BYTES - 4]);
        bytes.extend(noise(record_bytes - PREFIX_BYTES));
        Self(bytes)
    }

    #[inline]
    pub(crate) fn numbered(&mut self, number: u64) -> &[u8] {
        self.0[4..PREFIX_BYTES].copy_from_slice(&number.to_le_bytes());
        &self.0
    }
}

/// The number of a record.
#[inline]
pub(crate) fn number(record: &[u8]) -> u64 {
    record.get(4..PREFIX_BYTES).and_then(|number| number.try_into().ok()).map_or(u64::MAX, u64::from_le_bytes)
}

/// What was read back.
#[derive(Debug)]
pub(crate) struct Tally {
    noise: Vec<u8>,
    next: Vec<u64>,
    /// Records of other lengths: what the contender wrote to warm up.
    others: u64,
}

impl Tally {
    pub(crate) fn new(writers: usize, record_bytes: usize) -> Self {
        Self { noise: noise(record_bytes - PREFIX_BYTES).collect(), next: vec![0; writers], others: 0 }
    }

    /// Takes one record. Fails if it is none that was appended, or not the next one of its writer.
    pub(crate) fn add(&mut self, record: &[u8]) -> Fallible {
        if record.len() != PREFIX_BYTES + self.noise.len() {
            self.others += 1;
            return Ok(());
        }
        let (prefix, noise) = record.split_at(PREFIX_BYTES);
        let (writer, number) = prefix.split_at(4);
        let writer = u32::from_le_bytes(writer.try_into()?) as usize;
        let number = u64::from_le_bytes(number.try_into()?);
        if noise != self.noise {
            return Err(format!("record {number} of writer {writer} came back changed").into());
        }
        let next = self.next.get_mut(writer).ok_or_else(|| format!("nobody is writer {writer}"))?;
        if *next != number {
            return Err(format!("writer {writer}: record {number} came back where {next} was to come").into());
        }
        *next += 1;
        Ok(())
    }

    /// Everything that was appended must have come back.
    pub(crate) fn check(&self, written: &Written) -> Fallible {
        if self.next == written.by_writer {
            return Ok(());
        }
        let (back, all): (u64, u64) = (self.next.iter().sum(), written.by_writer.iter().sum());
        Err(format!("{all} records were appended and {back} came back").into())
    }
}

#[cfg(test)]
mod tests {
    use super::{Tally, Template};
    use crate::workload::Written;

    #[test]
    fn what_was_appended_is_what_must_come_back() {
        let (mut first, mut second) = (Template::new(0, 64), Template::new(1, 64));
        let mut tally = Tally::new(2, 64);
        tally.add(first.numbered(0)).unwrap();
        tally.add(second.numbered(0)).unwrap();
        tally.add(first.numbered(1)).unwrap();
        tally.add(&[1; 1000]).unwrap();
        tally.check(&Written { by_writer: vec![2, 1] }).unwrap();
        tally.check(&Written { by_writer: vec![2, 2] }).unwrap_err();
    }

    #[test]
    fn gaps_repetitions_changes_and_strangers_are_found() {
        let mut template = Template::new(0, 64);
        let mut tally = Tally::new(1, 64);
        tally.add(template.numbered(1)).unwrap_err();
        tally.add(template.numbered(0)).unwrap();
        tally.add(template.numbered(0)).unwrap_err();
        let mut changed = template.numbered(1).to_vec();
        changed[40] ^= 1;
        tally.add(&changed).unwrap_err();
        tally.add(Template::new(7, 64).numbered(0)).unwrap_err();
    }
}
