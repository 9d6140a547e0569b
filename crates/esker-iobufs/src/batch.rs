//! Many messages under one claim.

use esker_format::{Lsn, MESSAGE_HEADER_BYTES, MessageKind};

use crate::{Engine, EngineError, sync::Ordering};

/// The most that one claim of a batch takes, unless a single message is longer: enough that the claim's share in the cost
/// of a small message is lost among the rest, and so little that others do not wait long for it to be filled.
const CLAIM_BYTES_MAX: u32 = 16 << 10;

impl Engine {
    /// Appends a message for each payload, in this order, and adds their LSNs to `lsns`. Costs one claim for many messages:
    /// what threads contend for.
    ///
    /// Messages of other threads may come to lie between them, and a crash may keep the first of them without the rest.
    ///
    /// # Errors
    ///
    /// [`EngineError::TooLarge`] if one is too long: nothing is appended. [`EngineError::NoSpace`],
    /// [`EngineError::Segment`], [`EngineError::Poisoned`]: those whose LSNs were added are in the log, the others are not.
    pub fn append_all(&self, kind: MessageKind, payloads: &[&[u8]], lsns: &mut Vec<Lsn>) -> Result<(), EngineError> {
        let max = self.payload_bytes_max();
        if let Some(long) = payloads.iter().find(|payload| payload.len() > max as usize) {
            return Err(EngineError::TooLarge { len: long.len() as u64, max });
        }
        lsns.reserve(payloads.len());
        // A message of the greatest length fits any fresh buffer; so does a run of no more bytes.
        let claim_bytes_max = CLAIM_BYTES_MAX.min(max + MESSAGE_HEADER_BYTES as u32);
        let mut rest = payloads;
        while !rest.is_empty() {
            let (count, bytes) = first_claim(rest, claim_bytes_max);
            let (now, later) = rest.split_at(count);
            self.append_run(kind, now, bytes, lsns)?;
            rest = later;
        }
        Ok(())
    }

    /// Appends messages of `bytes` in all, at least one, under one claim.
    fn append_run(
        &self,
        kind: MessageKind,
        payloads: &[&[u8]],
        bytes: u32,
        lsns: &mut Vec<Lsn>,
    ) -> Result<(), EngineError> {
        let (index, mut claim) = self.claim(bytes)?;
        let slot = &self.slots()[index];
        // ORDERING: Relaxed: the mark is a fact about the past; any value that `stable` ever had is true.
        let mark = Lsn::new(self.stable.load(Ordering::Relaxed));
        let mut lsn = claim.lsn;
        let mut free = slot.bytes_of(&mut claim);
        for payload in payloads {
            let (message, after) = free.split_at_mut(message_bytes(payload) as usize);
            message[MESSAGE_HEADER_BYTES..].copy_from_slice(payload);
            self.seal_message(kind, lsn, mark, message);
            lsns.push(lsn);
            lsn = lsn + u64::from(message_bytes(payload));
            free = after;
        }
        self.leave(index, claim);
        Ok(())
    }
}

/// How many of the payloads, at least one, share the next claim, and how many bytes it takes.
fn first_claim(payloads: &[&[u8]], bytes_max: u32) -> (usize, u32) {
    let mut bytes = 0;
    for (count, payload) in payloads.iter().enumerate() {
        let with_this = bytes + message_bytes(payload);
        if count > 0 && with_this > bytes_max {
            return (count, bytes);
        }
        bytes = with_this;
    }
    (payloads.len(), bytes)
}

/// The length of the message for a payload, which fits a buffer.
fn message_bytes(payload: &[u8]) -> u32 {
    MESSAGE_HEADER_BYTES as u32 + payload.len() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_takes_at_least_one_message_and_no_more_than_its_share() {
        let full = CLAIM_BYTES_MAX as usize - MESSAGE_HEADER_BYTES;
        let (none, small, exact, long) = (&[][..], &[0; 40][..], &vec![0; full][..], &vec![0; full + 1][..]);
        for (payloads, expected) in [
            (&[none][..], (1, 24)),
            (&[small, none], (2, 88)),
            (&[exact], (1, CLAIM_BYTES_MAX)),
            (&[long, none], (1, CLAIM_BYTES_MAX + 1)),
            (&[exact, none], (1, CLAIM_BYTES_MAX)),
            (&[small, exact], (1, 64)),
            (&[small, &vec![0; full - 64]], (2, CLAIM_BYTES_MAX)),
            (&[small, &vec![0; full - 63]], (1, 64)),
        ] {
            assert_eq!(first_claim(payloads, CLAIM_BYTES_MAX), expected);
        }
    }
}
