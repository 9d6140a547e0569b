//! How far the log has come: which buffers are in use, up to where it is written and stable, who waits, and whether it has
//! stopped. Plain data under one lock, so that every condition is checked under the lock that its notifier takes.
//!
//! Refuses I/O and atomics.

use esker_format::Lsn;

use crate::{Poison, rounds::Rounds};

/// The part of the engine's state that one lock guards.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The sequence number of the first buffer that is not written. Buffers become free in this order.
    pub(crate) first_unwritten: u64,
    /// The sequence number of the newest buffer that was opened.
    pub(crate) newest: u64,
    /// One entry for each buffer of the ring.
    pub(crate) lives: Box<[Life]>,
    /// Everything below is written.
    pub(crate) written: Lsn,
    /// Everything below is stable. Never beyond `written` (I4).
    pub(crate) stable: Lsn,
    /// Whether somebody was told that a sync is due since the watermark last moved.
    sync_asked: bool,
    /// Who leads and who waits for a commit round.
    pub(crate) rounds: Rounds,
    /// How many threads sleep on the engine's condition variable.
    pub(crate) sleepers: u32,
    /// Why the engine has stopped, if it has. Never cleared.
    pub(crate) poison: Option<Poison>,
}

/// What one buffer of the ring is doing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) state: LifeState,
    /// The LSN of its first byte.
    pub(crate) lsn: Lsn,
    /// Whether somebody is writing what is complete before a reservation in it.
    pub(crate) prefix_under_way: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LifeState {
    /// Not in use.
    Idle,
    /// Being filled, sealed, or being written.
    Open,
    /// Its write found the storage full; somebody is to try again.
    NoSpace,
    /// Written up to this LSN, while an earlier buffer is not.
    Written(Lsn),
}

impl Progress {
    pub(crate) fn new(buffers: u32, tip: Lsn, rounds: Rounds) -> Self {
        let idle = Life { state: LifeState::Idle, lsn: tip, prefix_under_way: false };
        Self {
            first_unwritten: 0,
            newest: 0,
            lives: vec![idle; buffers as usize].into_boxed_slice(),
            written: tip,
            stable: tip,
            sync_asked: false,
            rounds,
            sleepers: 0,
            poison: None,
        }
    }

    /// The place in the ring of the buffer with a sequence number.
    fn index(&self, seq: u64) -> usize {
        (seq % self.lives.len() as u64) as usize
    }

    pub(crate) fn life(&self, seq: u64) -> &Life {
        &self.lives[self.index(seq)]
    }

    pub(crate) fn life_mut(&mut self, seq: u64) -> &mut Life {
        &mut self.lives[self.index(seq)]
    }

    /// Whether what the buffer for `seq` held in its last life is written.
    pub(crate) fn is_written(&self, seq: u64) -> bool {
        seq < self.first_unwritten + self.lives.len() as u64
    }

    /// Notes that the buffer `seq` begins a life at `lsn`.
    pub(crate) fn open(&mut self, seq: u64, lsn: Lsn) {
        *self.life_mut(seq) = Life { state: LifeState::Open, lsn, prefix_under_way: false };
        self.newest = seq;
        self.pass_others();
    }

    /// What lies between a segment and the next one of this engine is none of its own, so that nothing there is waited for.
    fn pass_others(&mut self) {
        if self.first_unwritten <= self.newest {
            self.written = self.written.max(self.life(self.first_unwritten).lsn);
        }
    }

    /// No claim that is known here reaches beyond this LSN: the end of the open buffer, of at most `bytes`.
    pub(crate) fn open_limit(&self, bytes: u32) -> Lsn {
        self.lives[self.index(self.newest)].lsn.checked_add(u64::from(bytes)).unwrap_or(Lsn::MAX)
    }

    /// Notes that the buffer at `index` of the ring is written up to `end`, and moves the watermark over the contiguous
    /// prefix.
    pub(crate) fn mark_written(&mut self, index: usize, end: Lsn) {
        self.lives[index].state = LifeState::Written(end);
        if cfg!(esker_sabotage = "gap") {
            self.written = self.written.max(end);
        }
        while self.first_unwritten <= self.newest {
            let first = self.index(self.first_unwritten);
            let LifeState::Written(end) = self.lives[first].state else { break };
            let in_order = end >= self.written || cfg!(esker_sabotage = "gap");
            assert!(in_order, "I4: a buffer ended at {end}, before {}", self.written);
            self.lives[first].state = LifeState::Idle;
            self.written = self.written.max(end);
            self.first_unwritten += 1;
        }
        self.pass_others();
    }

    /// Notes that what the buffer `seq` holds is written up to `end`, although not all of it. Somebody else may have written
    /// all of it meanwhile.
    pub(crate) fn mark_written_before(&mut self, seq: u64, end: Lsn) {
        if seq == self.first_unwritten {
            self.written = self.written.max(end);
        }
    }

    /// Whether to tell somebody that a sync is due: once, until the watermark moves again.
    pub(crate) fn ask_for_sync(&mut self, unsynced_bytes_max: u64) -> bool {
        let due = !self.sync_asked && self.written - self.stable >= unsynced_bytes_max;
        self.sync_asked |= due;
        due
    }

    /// Moves the watermark.
    pub(crate) fn mark_stable(&mut self, stable: Lsn) {
        assert!(stable <= self.written, "I4: {stable} is not written, only {}", self.written);
        self.stable = stable;
        self.sync_asked = false;
    }

    /// The place of a buffer whose write found the storage full, now the caller's to write again.
    pub(crate) fn take_no_space(&mut self) -> Option<usize> {
        let index = self.lives.iter().position(|life| life.state == LifeState::NoSpace)?;
        self.lives[index].state = LifeState::Open;
        Some(index)
    }
}
