//! Reading what is in a buffer, straight from there: what is not written yet, and what was written last.

use esker_format::Lsn;

use crate::{Engine, EngineError, readers::Pin, slot::Slot, sync, write::Waits};

/// Where the bytes at an LSN are.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// In memory; what the caller's function made of them.
    InMemory(T),
    /// Handed to the storage: read the file.
    Written,
}

impl Engine {
    /// Calls `read` with the bytes from `lsn` to the end of what is complete in its buffer, or to the next open reservation,
    /// or says that they are in the file. Never syncs. If the message is being filled at this moment, or an append beside
    /// it, the buffer is sealed and awaited, and the answer is that it is written.
    ///
    /// `lsn` must be the first byte of a message for the bytes to make sense; they carry their LSN, so that the reader
    /// can tell.
    ///
    /// # Errors
    ///
    /// [`EngineError::NeverReserved`] at or beyond the end of the log; [`EngineError::NoSpace`],
    /// [`EngineError::Segment`] and [`EngineError::Poisoned`] if the buffer had to be written and could not be.
    pub fn read<T>(&self, lsn: Lsn, read: impl FnOnce(&[u8]) -> T) -> Result<Found<T>, EngineError> {
        let mut read = Some(read);
        if let Some(found) = self.read_in_memory(lsn, &mut read) {
            return Ok(Found::InMemory(found));
        }
        if lsn < sync::lock(&self.progress).written {
            return Ok(Found::Written);
        }
        let end = self.reserved();
        if lsn >= end {
            return Err(EngineError::NeverReserved { lsn, end });
        }
        self.seal_up_to(lsn, Waits::Alone)?;
        self.await_written(lsn + 1, Waits::Alone)?;
        Ok(Found::Written)
    }

    /// Calls `read` if `lsn` lies in a buffer, below what is complete there. Takes no lock unless somebody waits for the
    /// buffer. Costs a look at each buffer from the open one back to the one with `lsn`.
    fn read_in_memory<T>(&self, lsn: Lsn, read: &mut Option<impl FnOnce(&[u8]) -> T>) -> Option<T> {
        let newest = self.newest();
        let oldest = (newest + 1).saturating_sub(self.slots().len() as u64);
        let slots = (oldest..=newest).rev().map(|seq| &self.slots()[self.index(seq)]);
        let mut lives = slots.filter_map(|slot| Some((slot, slot.readers.life()?)));
        let (slot, first) = lives.find(|&(_, first)| first <= lsn)?;
        let pinned = Pinned::new(self, slot);
        if !slot.readers.is_open(first) {
            return None;
        }
        let at = slot.at(lsn)?;
        let settled = slot.settled(at)?;
        let found = read.take().map(|read| read(slot.settled_bytes(at, settled)));
        drop(pinned);
        found
    }
}

/// A pin that is given back even if reading panics: otherwise the ring would stop here for ever.
pub(crate) struct Pinned<'a> {
    engine: &'a Engine,
    /// `None` once it is given back.
    pin: Option<Pin<'a>>,
}

impl<'a> Pinned<'a> {
    /// Pins the life that the buffer is in, if it is in one.
    pub(crate) fn new(engine: &'a Engine, slot: &'a Slot) -> Self {
        Self { engine, pin: Some(slot.readers.pin()) }
    }
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        if self.pin.take().is_some_and(Pin::release) {
            let progress = sync::lock(&self.engine.progress);
            self.engine.notify(&progress);
        }
    }
}
