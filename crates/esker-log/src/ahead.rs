//! Writing the next segment's place before it is needed.
//!
//! A sync of bytes that go where the file has no written blocks yet makes the file system commit that it has them now,
//! which costs more than the sync itself. So while one segment fills, zeros are written where the next one will be, if
//! syncs are frequent and nothing is free to be used again: in pieces, each of which the next sync takes along. What is
//! there already is not touched.
//!
//! # Invariants
//!
//! - **W1 (beyond the log):** zeros are written only beyond every slot that was ever handed out, and a slot is handed out
//!   only while none are being written.

use std::{
    io,
    sync::{Arc, PoisonError},
};

use esker_storage::StorageFile;

use crate::sync::{Mutex, MutexGuard};

/// How much is written at a time. The next sync takes that much longer.
const PIECE_BYTES: usize = 256 << 10;
/// More bytes than this between two syncs, and writing ahead costs more than it saves.
const BYTES_PER_SYNC_MAX: u64 = 64 << 10;

static ZEROS: [u8; PIECE_BYTES] = [0; PIECE_BYTES];

#[derive(Debug)]
pub(crate) struct Ahead {
    file: Arc<dyn StorageFile>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Where the handed out slots end in the file.
    taken: u64,
    /// Up to where the file was written, if that is beyond.
    written: u64,
    /// What the engine's counters said when a segment was begun last: bytes written, and syncs.
    bytes_before: u64,
    syncs_before: u64,
    /// Whether something went wrong. Then there is no writing ahead any more; what it is good for is speed only.
    failed: bool,
}

impl Ahead {
    /// For a file whose slots end at `taken`.
    pub(crate) fn new(file: Arc<dyn StorageFile>, taken: u64) -> Self {
        let state = State { taken, written: taken, bytes_before: 0, syncs_before: 0, failed: false };
        Self { file, state: Mutex::new(state) }
    }

    /// Hands out the slot that ends at `end`; `prepare` is called first unless its blocks are written already. Nothing is
    /// written ahead meanwhile.
    pub(crate) fn take_slot(&self, end: u64, prepare: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = self.lock();
        if state.written < end {
            prepare()?;
        }
        state.taken = state.taken.max(end);
        Ok(())
    }

    /// Whether writing ahead would pay, judged by what the engine has written since it was asked the last time.
    pub(crate) fn pays(&self, bytes_written: u64, syncs: u64) -> bool {
        let mut state = self.lock();
        let bytes = bytes_written - state.bytes_before;
        let between = syncs - state.syncs_before;
        (state.bytes_before, state.syncs_before) = (bytes_written, syncs);
        !state.failed && bytes < BYTES_PER_SYNC_MAX.saturating_mul(between)
    }

    /// Writes the next piece of the slot of `slot_bytes` after those that were handed out. Returns whether there is more to
    /// do.
    pub(crate) fn write_piece(&self, slot_bytes: u64) -> bool {
        let mut state = self.lock();
        let from = state.written.max(state.taken);
        let end = state.taken + slot_bytes;
        if state.failed || from >= end {
            return false;
        }
        let bytes = (end - from).min(PIECE_BYTES as u64);
        // Under the lock (W1).
        if self.file.write_all_at(&ZEROS[..bytes as usize], from).is_err() {
            // A full disk, most likely. What was added is given back; should that fail too, the file is longer by zeros.
            state.failed = true;
            drop(self.file.set_len(from));
            return false;
        }
        state.written = from + bytes;
        state.written < end
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use esker_storage::{MemStorage, Storage};

    const SLOT: u64 = 3 * PIECE_BYTES as u64 + 1000;

    fn ahead() -> (Ahead, Arc<dyn StorageFile>) {
        let file = MemStorage::default().create("log").unwrap();
        file.write_all_at(&[7; 100], 0).unwrap();
        (Ahead::new(file.clone(), SLOT), file)
    }

    #[test]
    fn one_slot_is_written_and_then_needs_no_preparing() {
        let (ahead, file) = ahead();
        let pieces = std::iter::repeat_with(|| ahead.write_piece(SLOT)).take_while(|&more| more).count();
        assert_eq!((pieces, file.len().unwrap()), (3, 2 * SLOT));
        assert!(!ahead.write_piece(SLOT), "one slot ahead is enough");
        ahead.take_slot(2 * SLOT, || panic!("it is written")).unwrap();
        let mut prepared = false;
        ahead
            .take_slot(3 * SLOT, || {
                prepared = true;
                Ok(())
            })
            .unwrap();
        assert!(prepared);
        let mut start = [0; 100];
        file.read_at(&mut start, 0).unwrap();
        assert_eq!(start, [7; 100], "what was there stays");
    }

    #[test]
    fn a_slot_that_is_needed_before_it_is_written_is_prepared_and_not_touched_any_more() {
        let (ahead, file) = ahead();
        assert!(ahead.write_piece(SLOT));
        let mut prepared = false;
        ahead
            .take_slot(2 * SLOT, || {
                prepared = true;
                Ok(())
            })
            .unwrap();
        assert!(prepared);
        file.write_all_at(&[9; SLOT as usize], SLOT).unwrap();
        while ahead.write_piece(SLOT) {}
        let mut slot = vec![0; SLOT as usize];
        file.read_at(&mut slot, SLOT).unwrap();
        assert!(slot.iter().all(|&byte| byte == 9));
        assert_eq!(file.len().unwrap(), 3 * SLOT);
    }

    #[test]
    fn writing_ahead_pays_where_syncs_are_frequent() {
        let (ahead, _) = ahead();
        assert!(!ahead.pays(1 << 24, 0));
        assert!(ahead.pays(2 << 24, 10_000));
        assert!(!ahead.pays(3 << 24, 10_100));
    }
}
