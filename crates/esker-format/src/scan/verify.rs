//! Verifying checksums at a cost that stays linear in the bytes, whatever they hold.
//!
//! A valid message is verified once, and the scan moves on behind it. But bytes can be made up of headers that all look right
//! and all claim long payloads; summing each by itself would cost quadratic time, and payloads are chosen by strangers. So
//! once more bytes have been summed in vain than there are, [`PrefixSums`] take over: CRC-32 is linear, and the checksum of
//! any range follows from those of two prefixes.

use crc32fast::Hasher;

use super::Cursor;
use crate::identity::{ChecksumMismatch, ChecksumSeed};
use crate::message;

/// What has been spent on verifying so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Effort {
    /// How many bytes have been summed in vain.
    wasted: usize,
    /// Built once that is more than there are.
    sums: Option<PrefixSums>,
    /// How many bytes have been summed in all, but by the sums.
    #[cfg(test)]
    summed: usize,
}

impl Effort {
    /// The sums are those of bytes that begin somewhere else now.
    pub(super) fn forget_sums(&mut self) {
        self.sums = None;
    }
}

impl Cursor {
    /// Checks the checksum of `message`, which lies at `at` of `bytes`.
    #[inline]
    pub(super) fn verify_at(&mut self, bytes: &[u8], at: usize, message: &[u8]) -> Result<(), ChecksumMismatch> {
        if self.effort.wasted > bytes.len() {
            return self.verify_by_sums(bytes, at, message);
        }
        let verified = message::verify(message, self.context.seed);
        #[cfg(test)]
        {
            self.effort.summed += message.len();
        }
        // A checksum that is right is no waste where the scan goes on behind the message. Where it does not, because the
        // message is wrong in another respect, the diagnosis comes here once more and is as long.
        if verified.is_err() || self.is_damaged {
            self.effort.wasted += message.len();
        }
        verified
    }

    #[cold]
    fn verify_by_sums(&mut self, bytes: &[u8], at: usize, message: &[u8]) -> Result<(), ChecksumMismatch> {
        // Those of fewer bytes do not reach far enough.
        self.effort.sums.take_if(|sums| sums.bytes != bytes.len());
        let sums = self.effort.sums.get_or_insert_with(|| PrefixSums::of(bytes));
        let end = at + message.len();
        let from = end - message::checksummed(message).len();
        message::compare(message, sums.checksum(bytes, from, end, self.context.seed))
    }
}

/// The CRC-32 of prefixes of some bytes, one every [`PrefixSums::STEP`] bytes.
#[derive(Clone, Debug)]
struct PrefixSums {
    /// The plain CRC-32 of the first `i * STEP` bytes.
    sums: Vec<u32>,
    /// How many bytes the sums are of.
    bytes: usize,
}

impl PrefixSums {
    /// Four bytes of memory for as many bytes of the segment. A range costs about one such step of checksumming.
    const STEP: usize = 1024;

    fn of(bytes: &[u8]) -> Self {
        let mut sums = Vec::with_capacity(bytes.len() / Self::STEP + 1);
        let mut hasher = Hasher::new();
        sums.push(hasher.clone().finalize());
        for step in bytes.chunks_exact(Self::STEP) {
            hasher.update(step);
            sums.push(hasher.clone().finalize());
        }
        Self { sums, bytes: bytes.len() }
    }

    /// What [`ChecksumSeed::checksum`] says of `bytes[from..to]`, where `bytes` are those that the sums are of.
    ///
    /// With `shift(c, n)` the effect of `n` further zero bytes on the sum `c`, `crc(a ++ b) = shift(crc(a), |b|) ^ crc(b)`,
    /// and `shift` is linear. Both for the prefix `p` before the range `r` and for the seed that stands in its stead:
    /// `crc(p ++ r) = shift(crc(p), |r|) ^ crc(r)` and `sum = shift(seed, |r|) ^ crc(r)`. So
    /// `sum = shift(seed ^ crc(p), |r|) ^ crc(p ++ r)`.
    fn checksum(&self, bytes: &[u8], from: usize, to: usize, seed: ChecksumSeed) -> u32 {
        let mut shifted = Hasher::new_with_initial(seed.get() ^ self.prefix(bytes, from));
        shifted.combine(&Hasher::new_with_initial_len(0, (to - from) as u64));
        shifted.finalize() ^ self.prefix(bytes, to)
    }

    /// The plain CRC-32 of `bytes[..end]`.
    fn prefix(&self, bytes: &[u8], end: usize) -> u32 {
        let step = end / Self::STEP;
        let mut hasher = Hasher::new_with_initial(self.sums[step]);
        hasher.update(&bytes[step * Self::STEP..end]);
        hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::identity::{Epoch, LogId};
    use crate::message::{MessageHeader, MessageKind};
    use crate::position::{Lsn, SegmentBytes};
    use crate::scan::{ScanContext, Scanner};

    /// What a walk to the end, beyond every damage, has summed.
    fn summed(bytes: &[u8], context: ScanContext) -> usize {
        let mut scanner = Scanner::new(bytes, Lsn::ZERO, context);
        loop {
            let met = scanner.by_ref().last();
            if met.is_none() && scanner.resync().is_none() {
                return scanner.cursor.effort.summed;
            }
        }
    }

    #[test]
    fn hostile_lengths_cost_no_more_than_linear_effort() {
        let seed = LogId::from_bytes([7; 16]).checksum_seed();
        let context = ScanContext::new(seed, SegmentBytes::new(1 << 22).unwrap());
        let mut bytes = vec![1; 1 << 22];
        let put = |bytes: &mut [u8], at: usize, len: usize| {
            let kind_len = (1 << 24) | len as u32;
            bytes[at + 4..at + 8].copy_from_slice(&kind_len.to_le_bytes());
            bytes[at + 8..at + 16].copy_from_slice(&(at as u64).to_le_bytes());
            bytes[at + 16..at + 20].fill(0);
        };
        // Headers as dense as they can be, each claiming everything up to the end: half a terabyte, summed one by one.
        for at in (64..bytes.len() - 24).step_by(16) {
            let len = bytes.len() - at - 24;
            put(&mut bytes, at, len);
        }
        let bound = bytes.len() * 3;
        assert!(summed(&bytes, context) < bound);
        // The same with a valid message before each, so that every one of them is met as a damage of its own.
        for at in (64..bytes.len() - 60).step_by(48) {
            let header = MessageHeader {
                kind: MessageKind::Inline,
                len: 0,
                lsn: Lsn::new(at as u64),
                mark: Lsn::ZERO,
                epoch: Epoch::ZERO,
            };
            header.seal(&mut bytes[at..at + 24], seed);
            let len = bytes.len() - at - 48;
            put(&mut bytes, at + 24, len);
        }
        assert!(summed(&bytes, context) < bound);
    }

    #[test]
    fn what_is_whole_needs_no_sums() {
        let seed = LogId::from_bytes([7; 16]).checksum_seed();
        let mut bytes = vec![0; 64];
        for _ in 0..20 {
            let lsn = Lsn::new(bytes.len() as u64);
            let header = MessageHeader { kind: MessageKind::Inline, len: 30, lsn, mark: Lsn::ZERO, epoch: Epoch::ZERO };
            let at = bytes.len();
            bytes.resize(at + header.message_bytes(), 3);
            header.seal(&mut bytes[at..], seed);
        }
        let mut scanner = Scanner::new(&bytes, Lsn::ZERO, ScanContext::new(seed, SegmentBytes::MIN));
        assert_eq!(scanner.by_ref().filter(Result::is_ok).count(), 20);
        assert!(scanner.cursor.effort.sums.is_none());
    }

    #[test]
    fn sums_of_fewer_bytes_are_not_used_for_more() {
        const BYTES: usize = 1 << 16;
        let seed = LogId::from_bytes([7; 16]).checksum_seed();
        let mut bytes = vec![1; BYTES];
        // In the first half, headers that claim everything up to its end.
        for at in (64..BYTES / 2 - 24).step_by(16) {
            bytes[at + 4..at + 8].copy_from_slice(&((1 << 24) | (BYTES / 2 - at - 24) as u32).to_le_bytes());
            bytes[at + 8..at + 16].copy_from_slice(&(at as u64).to_le_bytes());
            bytes[at + 16..at + 20].fill(0);
        }
        let (at, len) = (BYTES / 2 + 3000, 5000);
        let lsn = Lsn::new(at as u64);
        let header = MessageHeader { kind: MessageKind::Inline, len, lsn, mark: Lsn::ZERO, epoch: Epoch::ZERO };
        header.seal(&mut bytes[at..at + header.message_bytes()], seed);

        let mut cursor = Cursor::new(Lsn::ZERO, ScanContext::new(seed, SegmentBytes::new(BYTES as u32).unwrap()));
        let half = &bytes[..BYTES / 2];
        assert!(cursor.next(half).is_some_and(|met| met.is_err()));
        assert_eq!(cursor.resync(half), None);
        assert!(cursor.effort.sums.is_some(), "so much was summed in vain that there are sums by now");
        assert_eq!(cursor.resync(&bytes), Some(lsn));
        assert_eq!(cursor.next(&bytes).unwrap().unwrap().header, header);
    }

    #[test]
    fn sums_of_bytes_that_are_gone_are_not_used_for_the_rest() {
        const BYTES: usize = 1 << 16;
        let seed = LogId::from_bytes([7; 16]).checksum_seed();
        let mut bytes: Vec<u8> = (0..BYTES).map(|at| (at % 251) as u8).collect();
        const HALF: usize = BYTES / 2;
        const QUARTER: usize = BYTES / 4;
        // In the second quarter, headers that claim everything up to its end, again and again.
        for at in (QUARTER + 64..HALF - 24).step_by(16) {
            bytes[at + 4..at + 8].copy_from_slice(&((1 << 24) | (HALF - at - 24) as u32).to_le_bytes());
            bytes[at + 8..at + 16].copy_from_slice(&(at as u64).to_le_bytes());
            bytes[at + 16..at + 20].fill(0);
        }
        let lsn = Lsn::new((HALF + 3000) as u64);
        let header = MessageHeader { kind: MessageKind::Inline, len: 5000, lsn, mark: Lsn::ZERO, epoch: Epoch::ZERO };
        let at = lsn.get() as usize;
        header.seal(&mut bytes[at..at + header.message_bytes()], seed);

        let mut cursor = Cursor::new(Lsn::ZERO, ScanContext::new(seed, SegmentBytes::new(BYTES as u32).unwrap()));
        assert!(cursor.next(&bytes[..HALF]).is_some_and(|met| met.is_err()));
        assert!(cursor.skip(&bytes[..HALF]), "the headers look right");
        assert_eq!(cursor.resync(&bytes[..HALF]), None);
        assert!(cursor.effort.sums.is_some(), "so much was summed in vain that there are sums by now");
        cursor.forget(QUARTER);
        // As many bytes as before, and others.
        assert_eq!(cursor.resync(&bytes[QUARTER..QUARTER + HALF]), Some(lsn));
    }

    proptest! {
        #[test]
        fn prefix_sums_agree_with_the_checksum(
            bytes in prop::collection::vec(any::<u8>(), 0..5000),
            id in any::<[u8; 16]>(),
            ends in any::<[prop::sample::Index; 2]>(),
        ) {
            let mut ends = ends.map(|end| end.index(bytes.len() + 1));
            ends.sort_unstable();
            let seed = LogId::from_bytes(id).checksum_seed();
            let found = PrefixSums::of(&bytes).checksum(&bytes, ends[0], ends[1], seed);
            prop_assert_eq!(found, seed.checksum(&bytes[ends[0]..ends[1]]));
        }
    }
}
