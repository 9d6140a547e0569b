//! Records that say what they are.
//!
//! Owns the content of every record: an [`Identity`], and bytes that follow from it and the seed, as does their number. So
//! one look at a record tells whether it is what was appended, with no copy to compare it with. Refuses to know where
//! records belong.

use std::fmt;

use super::rng::Rng;

/// The bytes of an identity in a record.
const IDENTITY_BYTES: usize = 16;

/// Which record this is. Of all records of a run no two have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    /// The process that appended it.
    pub(super) life: u32,
    /// The thread of that process.
    pub(super) writer: u32,
    /// The how manieth of that thread, from zero on.
    pub(super) counter: u64,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { life, writer, counter } = self;
        write!(f, "record {counter} of writer {writer} in life {life}")
    }
}

impl Identity {
    fn rng(self, seed: u64) -> Rng {
        Rng::of(&[seed, self.life.into(), self.writer.into(), self.counter])
    }

    /// The length of the record.
    pub(super) fn record_bytes(self, seed: u64) -> usize {
        IDENTITY_BYTES + content_bytes(&mut self.rng(seed))
    }

    /// Writes the record into `bytes`, in place of what is there.
    pub(super) fn write(self, seed: u64, bytes: &mut Vec<u8>) {
        let mut rng = self.rng(seed);
        let len = IDENTITY_BYTES + content_bytes(&mut rng);
        bytes.clear();
        bytes.reserve(len + 8);
        bytes.extend_from_slice(&self.life.to_le_bytes());
        bytes.extend_from_slice(&self.writer.to_le_bytes());
        bytes.extend_from_slice(&self.counter.to_le_bytes());
        while bytes.len() < len {
            bytes.extend_from_slice(&rng.next().to_le_bytes());
        }
        bytes.truncate(len);
    }

    /// Which record `payload` is; an error in words if it is none.
    pub(super) fn of(seed: u64, payload: &[u8]) -> Result<Self, String> {
        let Some((head, content)) = payload.split_first_chunk::<IDENTITY_BYTES>() else {
            return Err(format!("{} bytes are too few for a record", payload.len()));
        };
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let counter = u64::from(number(8)) | u64::from(number(12)) << 32;
        let identity = Self { life: number(0), writer: number(4), counter };
        let mut rng = identity.rng(seed);
        let expected = content_bytes(&mut rng);
        if content.len() != expected {
            return Err(format!("{identity} has {} bytes beside its name in place of {expected}", content.len()));
        }
        let mut chunks = content.chunks_exact(8);
        let wrong = chunks.by_ref().position(|chunk| chunk != rng.next().to_le_bytes());
        let rest = chunks.remainder();
        if let Some(chunk) = wrong {
            return Err(format!(
                "{identity} differs from what was appended around byte {}",
                IDENTITY_BYTES + 8 * chunk
            ));
        }
        if !rest.is_empty() && rest != &rng.next().to_le_bytes()[..rest.len()] {
            return Err(format!("{identity} differs from what was appended in its last {} bytes", rest.len()));
        }
        Ok(identity)
    }
}

/// The length of the content: mostly short, at times some KiB, and now and then so long that it may not fit a buffer.
fn content_bytes(rng: &mut Rng) -> usize {
    let bytes = match rng.below(240) {
        0 => 30_000 + rng.below(200_000),
        1..8 => rng.below(8192),
        _ => rng.below(300),
    };
    bytes as usize
}

#[cfg(test)]
mod tests {
    use super::Identity;

    #[test]
    fn every_altered_record_is_told() {
        let (mut long, mut bytes) = (0, Vec::new());
        for counter in 0..2000 {
            let identity = Identity { life: 3, writer: 7, counter };
            identity.write(42, &mut bytes);
            assert_eq!(Identity::of(42, &bytes), Ok(identity));
            assert_eq!(identity.record_bytes(42), bytes.len());
            assert!(Identity::of(43, &bytes).is_err() || bytes.len() == 16, "a record of another run");
            long += usize::from(bytes.len() > 30_000);
            if bytes.len() < 600 {
                for at in 0..bytes.len() {
                    bytes[at] ^= 0x10;
                    assert_ne!(Identity::of(42, &bytes), Ok(identity), "byte {at} of {}", bytes.len());
                    bytes[at] ^= 0x10;
                }
            }
            bytes.push(0);
            assert!(Identity::of(42, &bytes).is_err(), "a byte too many");
            bytes.truncate(bytes.len() - 2);
            assert!(Identity::of(42, &bytes).is_err(), "a byte too few");
        }
        assert!(long > 0, "there are long records among them");
    }
}
