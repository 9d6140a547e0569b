//! A reservation of several messages that lie side by side.

use esker_format::{Lsn, MESSAGE_HEADER_BYTES, MessageKind};

use crate::{Engine, slot::Claim, sync::Ordering};

/// Room for several messages, one after the other, under one claim: what waits for room does so once, for all of them. Fill
/// them, then [`complete`](ReservedRun::complete) them together; dropping the run aborts all.
///
/// What is said of a [`Reservation`](crate::Reservation) that stays open holds for a run.
#[derive(Debug)]
#[must_use = "dropping a run aborts its messages"]
pub struct ReservedRun<'a> {
    engine: &'a Engine,
    /// The place of the buffer in the ring.
    index: usize,
    /// `None` once the messages are finished.
    claim: Option<Claim>,
    kind: MessageKind,
    /// The length of each message, header included.
    lens: Box<[u32]>,
}

impl<'a> ReservedRun<'a> {
    pub(crate) fn new(engine: &'a Engine, index: usize, claim: Claim, kind: MessageKind, lens: Box<[u32]>) -> Self {
        Self { engine, index, claim: Some(claim), kind, lens }
    }

    /// The LSNs of the messages.
    pub fn lsns(&self) -> impl Iterator<Item = Lsn> + '_ {
        let first = self.claim.as_ref().expect("a run is open until it is consumed").lsn;
        self.lens.iter().scan(first, |next, &len| {
            let lsn = *next;
            *next = lsn + u64::from(len);
            Some(lsn)
        })
    }

    /// The payloads to fill. What they hold at first is unspecified: bytes of earlier messages or zeros.
    pub fn payloads_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let claim = self.claim.as_mut().expect("a run is open until it is consumed");
        let mut rest = self.engine.slots()[self.index].bytes_of(claim);
        self.lens.iter().map(move |&len| {
            let (message, after) = std::mem::take(&mut rest).split_at_mut(len as usize);
            rest = after;
            &mut message[MESSAGE_HEADER_BYTES..]
        })
    }

    /// Publishes all messages.
    pub fn complete(mut self) {
        let Some(mut claim) = self.claim.take() else { return };
        let engine = self.engine;
        let slot = &engine.slots()[self.index];
        // ORDERING: Relaxed: the mark is a fact about the past; any value that `stable` ever had is true.
        let mark = Lsn::new(engine.stable.load(Ordering::Relaxed));
        let mut lsn = claim.lsn;
        let mut rest = slot.bytes_of(&mut claim);
        for &len in &self.lens {
            let (message, after) = rest.split_at_mut(len as usize);
            engine.seal_message(self.kind, lsn, mark, message);
            lsn = lsn + u64::from(len);
            rest = after;
        }
        slot.strike(&claim);
        engine.leave(self.index, claim);
    }
}

impl Drop for ReservedRun<'_> {
    fn drop(&mut self) {
        let Some(mut claim) = self.claim.take() else { return };
        // One message that readers skip takes the place of all.
        self.engine.seal_claim(self.index, &mut claim, MessageKind::Aborted);
        self.engine.slots()[self.index].strike(&claim);
        self.engine.leave(self.index, claim);
    }
}
