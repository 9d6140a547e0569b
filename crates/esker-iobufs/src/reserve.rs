//! A reservation: a claimed range, filled in place, then completed or aborted.

use esker_format::{Lsn, MESSAGE_HEADER_BYTES, MessageKind};

use crate::{Engine, slot::Claim};

/// Room for one message, at an LSN that is known already. Fill it, then [`complete`](Reservation::complete) or
/// [`abort`](Reservation::abort) it; dropping it aborts it.
///
/// An aborted message takes its place in the log but is skipped by readers. Nothing at or beyond the reservation's LSN
/// becomes stable while it is open, and so for as long as a leaked one (`mem::forget`) is not
/// [aborted by the owner](crate::IoBufs::abort_leaked).
#[derive(Debug)]
#[must_use = "dropping a reservation aborts it"]
pub struct Reservation<'a> {
    engine: &'a Engine,
    /// The place of the buffer in the ring.
    index: usize,
    /// `None` once the message is finished.
    claim: Option<Claim>,
    kind: MessageKind,
}

impl<'a> Reservation<'a> {
    #[inline]
    pub(crate) fn new(engine: &'a Engine, index: usize, claim: Claim, kind: MessageKind) -> Self {
        Self { engine, index, claim: Some(claim), kind }
    }

    /// The LSN of the message.
    #[must_use]
    #[inline]
    pub fn lsn(&self) -> Lsn {
        self.open_claim().lsn
    }

    /// The payload to fill. What it holds at first is unspecified: bytes of earlier messages or zeros.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let slot = &self.engine.slots()[self.index];
        let claim = self.claim.as_mut().expect("a reservation is open until it is consumed");
        &mut slot.bytes_of(claim)[MESSAGE_HEADER_BYTES..]
    }

    /// Publishes the message and returns its LSN. Touches only memory, unless this is the last writer of a buffer that is
    /// full, which then writes it.
    #[inline]
    pub fn complete(mut self) -> Lsn {
        let lsn = self.lsn();
        self.finish(self.kind);
        lsn
    }

    /// Gives the message up; readers skip it. Its payload is zeroed.
    pub fn abort(self) {
        drop(self);
    }

    #[inline]
    fn open_claim(&self) -> &Claim {
        self.claim.as_ref().expect("a reservation is open until it is consumed")
    }

    #[inline]
    fn finish(&mut self, kind: MessageKind) {
        let Some(mut claim) = self.claim.take() else { return };
        let engine = self.engine;
        engine.seal_claim(self.index, &mut claim, kind);
        engine.slots()[self.index].strike(&claim);
        engine.leave(self.index, claim);
    }
}

impl Drop for Reservation<'_> {
    #[inline]
    fn drop(&mut self) {
        self.finish(MessageKind::Aborted);
    }
}
