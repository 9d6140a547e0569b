//! What is appended to the log.
//!
//! Owns the encoding of records. Refuses I/O.
//!
//! All numbers are little-endian.
//!
//! | bytes | field |
//! |--:|---|
//! | 0 | kind |
//! | 1..9 | group |
//! | 9.. | as the kind says |
//!
//! | kind | meaning | then |
//! |--:|---|---|
//! | 1 | entry | index (8), its bytes. Entries of this index and above that the group had are gone |
//! | 2 | value | key (1), its bytes |
//! | 3 | truncation | index (8): entries of this index and above are gone |
//! | 4 | purge | index (8), some bytes: entries of this index and below are gone |
//! | 5 | end | nothing: there is no such group any more |

const ENTRY: u8 = 1;
const VALUE: u8 = 2;
const TRUNCATION: u8 = 3;
const PURGE: u8 = 4;
const END: u8 = 5;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    Entry { index: u64, bytes: &'a [u8] },
    Value { key: u8, bytes: &'a [u8] },
    Truncation { index: u64 },
    Purge { index: u64, bytes: &'a [u8] },
    End,
}

impl<'a> Record<'a> {
    pub(crate) fn encode(self, group: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(17 + self.bytes().len());
        let (kind, number): (u8, &[u8]) = match &self {
            Self::Entry { index, .. } => (ENTRY, &index.to_le_bytes()),
            Self::Value { key, .. } => (VALUE, &[*key]),
            Self::Truncation { index } => (TRUNCATION, &index.to_le_bytes()),
            Self::Purge { index, .. } => (PURGE, &index.to_le_bytes()),
            Self::End => (END, &[]),
        };
        out.push(kind);
        out.extend_from_slice(&group.to_le_bytes());
        out.extend_from_slice(number);
        out.extend_from_slice(self.bytes());
        out
    }

    fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Entry { bytes, .. } | Self::Value { bytes, .. } | Self::Purge { bytes, .. } => bytes,
            Self::Truncation { .. } | Self::End => &[],
        }
    }

    /// The group and what was done to it; `None` if it is no record of this version.
    pub(crate) fn decode(payload: &'a [u8]) -> Option<(u64, Self)> {
        let (&kind, rest) = payload.split_first()?;
        let (group, rest) = rest.split_first_chunk::<8>()?;
        let number = || rest.split_first_chunk::<8>().map(|(number, rest)| (u64::from_le_bytes(*number), rest));
        let record = match kind {
            ENTRY => number().map(|(index, bytes)| Self::Entry { index, bytes })?,
            VALUE => rest.split_first().map(|(&key, bytes)| Self::Value { key, bytes })?,
            TRUNCATION => number().filter(|(_, rest)| rest.is_empty()).map(|(index, _)| Self::Truncation { index })?,
            PURGE => number().map(|(index, bytes)| Self::Purge { index, bytes })?,
            END if rest.is_empty() => Self::End,
            _ => return None,
        };
        Some((u64::from_le_bytes(*group), record))
    }
}

#[cfg(test)]
mod tests {
    use super::Record;

    #[test]
    fn records_are_decoded_as_they_were_encoded() {
        let (index, bytes) = (u64::MAX - 3, &b"some"[..]);
        let records = [
            Record::Entry { index, bytes },
            Record::Entry { index: 0, bytes: b"" },
            Record::Value { key: 200, bytes },
            Record::Truncation { index },
            Record::Purge { index, bytes },
            Record::End,
        ];
        for record in records {
            let encoded = record.encode(1 << 40);
            assert_eq!(Record::decode(&encoded), Some((1 << 40, record)));
            for end in 0..9 {
                assert_eq!(Record::decode(&encoded[..end]), None);
            }
        }
        for wrong in [&[0; 20][..], &[6; 20], &Record::Truncation { index }.encode(1)[..12]] {
            assert_eq!(Record::decode(wrong), None);
        }
        assert_eq!(Record::decode(&[Record::End.encode(1), vec![0]].concat()), None);
    }
}
