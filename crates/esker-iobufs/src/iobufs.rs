//! The owner of an engine: who may reserve, and who may end what was leaked.

use std::{ops::Deref, panic::Location, sync::Arc};

use esker_format::{MESSAGE_HEADER_BYTES, MessageKind};
use esker_storage::StorageFile;

use crate::{
    Engine, EngineError, OpenReservation, Options, OptionsError, Reservation, ReservedRun, SegmentSource, held::Held,
};

/// Owns an [`Engine`], to which it derefs, and gives reservations of its buffers away.
///
/// There is one owner. Reservations borrow it, so that having it for oneself (`&mut`) proves that there are none left, but
/// leaked ones, which can then be ended: [`abort_leaked`](IoBufs::abort_leaked). Whoever needs no reservations may share
/// the engine itself and outlive the owner: [`engine`](IoBufs::engine).
#[derive(Debug)]
pub struct IoBufs {
    engine: Arc<Engine>,
}

impl IoBufs {
    /// Starts an engine that goes on at `options.tip` of `file`.
    ///
    /// # Errors
    ///
    /// [`OptionsError`] with every fault of the options.
    pub fn start(
        file: Arc<dyn StorageFile>,
        source: Arc<dyn SegmentSource>,
        options: Options,
    ) -> Result<Self, OptionsError> {
        Ok(Self { engine: Arc::new(Engine::start(file, source, options)?) })
    }

    /// The engine, to share.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Reserves room for a message of `len` payload bytes, to be filled in place. Takes no lock that others hold for long
    /// unless a buffer must be exchanged; waits, parked, when all buffers are full and none is written yet.
    ///
    /// While a reservation is open, nothing at or beyond its LSN becomes written or stable, and once all other buffers are
    /// full, reservations and appends wait for it. So a thread that holds one open and waits for either waits for itself.
    /// What was completed below its LSN becomes stable all the same. A reservation that is leaked (`mem::forget`) is one
    /// that stays open: [`Engine::stats`] names it, and [`IoBufs::abort_leaked`] ends it.
    ///
    /// # Errors
    ///
    /// [`EngineError::TooLarge`], [`EngineError::NoSpace`], [`EngineError::Segment`], [`EngineError::Poisoned`]. Nothing
    /// is claimed then.
    #[inline]
    #[track_caller]
    pub fn reserve(&self, kind: MessageKind, len: u32) -> Result<Reservation<'_>, EngineError> {
        let engine = &*self.engine;
        engine.check_len(len as usize)?;
        let (index, claim) = engine.claim(MESSAGE_HEADER_BYTES as u32 + len)?;
        engine.list(index, Held::new(claim.range.clone(), claim.lsn, Location::caller()));
        Ok(Reservation::new(engine, index, claim, kind))
    }

    /// Reserves room for messages of so many payload bytes each, side by side, as [`reserve`](Self::reserve) does for one.
    /// All of them together, with a header of 24 bytes for each but the first, may be as long as
    /// [one](Engine::payload_bytes_max).
    ///
    /// # Errors
    ///
    /// As [`reserve`](Self::reserve).
    ///
    /// # Panics
    ///
    /// If `lens` is empty.
    #[track_caller]
    pub fn reserve_run(&self, kind: MessageKind, lens: &[u32]) -> Result<ReservedRun<'_>, EngineError> {
        const HEADER_BYTES: usize = MESSAGE_HEADER_BYTES;
        assert!(!lens.is_empty(), "a run has messages");
        let engine = &*self.engine;
        let bytes = lens.iter().fold(0, |sum: usize, &len| sum.saturating_add(HEADER_BYTES + len as usize));
        engine.check_len(bytes - HEADER_BYTES)?;
        let (index, claim) = engine.claim(bytes as u32)?;
        engine.list(index, Held::new(claim.range.clone(), claim.lsn, Location::caller()));
        let lens = lens.iter().map(|&len| HEADER_BYTES as u32 + len).collect();
        Ok(ReservedRun::new(engine, index, claim, kind, lens))
    }

    /// Aborts every reservation that was leaked, and says which they were: readers skip them, and what waited for them
    /// goes on. None is left that is not leaked, since reservations borrow `self`.
    pub fn abort_leaked(&mut self) -> Vec<OpenReservation> {
        let engine = &*self.engine;
        let mut aborted = Vec::new();
        for (index, slot) in engine.slots().iter().enumerate() {
            // SAFETY: I2 (exclusive ranges): a reservation borrows the one `IoBufs` of its engine, and its payload borrows the
            // reservation. `&mut self` proves that these borrows have ended, so that nobody can reach the range of a
            // reservation that is still listed; and whatever let the caller have `self` exclusively (a join, the last drop
            // of an `Arc`, a lock) ordered us after all that was done with it.
            #[expect(unsafe_code, reason = "only the owner can tell that a reservation is leaked")]
            while let Some((mut claim, held)) = unsafe { slot.take_leaked() } {
                engine.seal_claim(index, &mut claim, MessageKind::Aborted);
                engine.leave(index, claim);
                aborted.push(held.describe());
            }
        }
        aborted.sort_unstable_by_key(|leaked| leaked.lsn);
        aborted
    }
}

impl Deref for IoBufs {
    type Target = Engine;

    #[inline]
    fn deref(&self) -> &Engine {
        &self.engine
    }
}
