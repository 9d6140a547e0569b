//! Reading what is not written yet, straight from the buffers.

use esker_format::Lsn;

use crate::{EngineError, IoBufs, sync};

/// Where the bytes at an LSN are.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// In memory; what the caller's function made of them.
    InMemory(T),
    /// Handed to the storage: read the file.
    Written,
}

impl IoBufs {
    /// Calls `read` with the bytes from `lsn` to the end of what is complete in its buffer, or says that they are in the
    /// file. Never syncs. If somebody is filling the buffer at this moment, it is sealed and awaited, and the answer is
    /// that it is written.
    ///
    /// `lsn` must be the first byte of a message for the bytes to make sense; they carry their LSN, so that the reader
    /// can tell.
    ///
    /// # Errors
    ///
    /// [`EngineError::NeverReserved`] at or beyond the end of the log; [`EngineError::NoSpace`],
    /// [`EngineError::Segment`] and [`EngineError::Poisoned`] if the buffer had to be written and could not be.
    pub fn read<T>(&self, lsn: Lsn, read: impl FnOnce(&[u8]) -> T) -> Result<Found<T>, EngineError> {
        let mut progress = sync::lock(&self.progress);
        if lsn < progress.written {
            return Ok(Found::Written);
        }
        if let Some(index) = progress.holder(lsn) {
            progress.lives[index].pins += 1;
            drop(progress);
            // The pin is released even if `read` panics: otherwise the ring would stop here for ever.
            let _pin = Pin { engine: self, index };
            let slot = &self.slots[index];
            if let (Some(settled), Some(at)) = (slot.settled(), slot.at(lsn))
                && at < settled
            {
                return Ok(Found::InMemory(read(slot.settled_bytes(at, settled))));
            }
        } else {
            drop(progress);
        }
        let end = self.reserved();
        if lsn >= end {
            return Err(EngineError::NeverReserved { lsn, end });
        }
        self.seal_open_buffer()?;
        self.await_written(lsn + 1)?;
        Ok(Found::Written)
    }
}

/// Keeps a buffer's life from ending (I6).
struct Pin<'a> {
    engine: &'a IoBufs,
    /// The place of the buffer in the ring.
    index: usize,
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        let mut progress = sync::lock(&self.engine.progress);
        let life = &mut progress.lives[self.index];
        life.pins -= 1;
        if life.pins == 0 {
            self.engine.notify(&progress);
        }
    }
}
