//! Live bytes, and draining what is left of them.
//!
//! Owns the counting and upholds S4. Refuses to know which records are live: the caller says so, in bytes on disk
//! (header, payload and padding), because a count of items misjudges segments whose records differ in size.

use esker_format::Lsn;

use crate::slot::{Ordinal, Phase};
use crate::{AccountError, Accountant, SegmentState};

impl Accountant {
    /// Counts `bytes` bytes of the segment that holds `lsn` as live, in whatever state the segment is. O(1).
    ///
    /// # Errors
    ///
    /// [`AccountError::NotHeld`]; [`AccountError::LiveOverflow`] if more would be live than a segment has room for.
    pub fn add_live(&mut self, lsn: Lsn, bytes: u64) -> Result<(), AccountError> {
        let capacity_bytes = self.capacity_bytes();
        let ordinal = Ordinal::containing(lsn, self.segment_bytes);
        let base = ordinal.base(self.segment_bytes);
        let held = self.held_mut(ordinal).ok_or(AccountError::NotHeld { lsn })?;
        let live_bytes = held.live_bytes;
        match live_bytes.checked_add(bytes) {
            Some(sum) if sum <= capacity_bytes => held.live_bytes = sum,
            _ => return Err(AccountError::LiveOverflow { base, live_bytes, added_bytes: bytes, capacity_bytes }),
        }
        self.live_bytes += bytes;
        Ok(())
    }

    /// Counts `bytes` bytes of the segment that holds `lsn` as dead. Returns how many of its bytes are still live:
    /// at 0 a segment can be drained and freed without moving anything. O(1).
    ///
    /// # Errors
    ///
    /// [`AccountError::NotHeld`], which is to be expected of a record whose segment was freed meanwhile;
    /// [`AccountError::LiveUnderflow`] if fewer bytes are live.
    pub fn remove_live(&mut self, lsn: Lsn, bytes: u64) -> Result<u64, AccountError> {
        let ordinal = Ordinal::containing(lsn, self.segment_bytes);
        let base = ordinal.base(self.segment_bytes);
        let held = self.held_mut(ordinal).ok_or(AccountError::NotHeld { lsn })?;
        let live_bytes = held.live_bytes;
        let Some(left) = live_bytes.checked_sub(bytes) else {
            return Err(AccountError::LiveUnderflow { base, live_bytes, removed_bytes: bytes });
        };
        held.live_bytes = left;
        self.live_bytes -= bytes;
        Ok(left)
    }

    /// Marks the Inactive segment that begins at `base` as Draining: its owner is going to move out what is live.
    /// Segments are named by their base, not by their slot, because an LSN is never used twice. O(1).
    ///
    /// # Errors
    ///
    /// [`AccountError::NotHeld`] if no held segment begins there; [`AccountError::WrongState`] unless it is Inactive.
    pub fn drain(&mut self, base: Lsn) -> Result<(), AccountError> {
        let ordinal = self.ordinal_of_base(base)?;
        let held = self.held_mut(ordinal).ok_or(AccountError::NotHeld { lsn: base })?;
        if held.phase != Phase::Inactive {
            let found = held.phase.into();
            return Err(AccountError::WrongState { base, expected: SegmentState::Inactive, found });
        }
        held.phase = Phase::Draining;
        self.draining += 1;
        Ok(())
    }

    /// The ordinal of the segment that begins at `base`; an LSN in the middle of a segment does not name it.
    pub(crate) fn ordinal_of_base(&self, base: Lsn) -> Result<Ordinal, AccountError> {
        if base.offset_in_segment(self.segment_bytes) != 0 {
            return Err(AccountError::NotHeld { lsn: base });
        }
        Ok(Ordinal::containing(base, self.segment_bytes))
    }
}
