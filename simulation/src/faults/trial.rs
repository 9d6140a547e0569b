//! One run of the workload: what its threads share, and which errors they may get.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use esker_log::{Error, ErrorKind, Log, LogId, Lsn, Options};
use esker_sim::{Faults, SimStorage};

use crate::{
    disk::{Book, Faulty},
    point::{Call, Fault, Phase, Point, Set},
    promises::Promises,
};

#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) set: Set,
    pub(crate) fault: Option<Fault>,
    /// Of ways that are tried in turn, this one.
    pub(crate) turn: usize,
    pub(crate) book: Arc<Book>,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) disk: SimStorage,
    pub(crate) promises: Promises,
    /// The log, while it is open.
    pub(crate) log: Option<Arc<Log>>,
    /// Where the log was stable when it was first said to have stopped.
    pub(crate) stopped_at: Option<Lsn>,
    /// Whether somebody was told that the disk is full, and it still is.
    pub(crate) is_full: bool,
    /// The fault is over: from now on nothing may go wrong.
    over: bool,
    payloads: u64,
    /// What is being tried beside a call that hangs.
    pub(crate) beside: &'static str,
    violations: Vec<String>,
}

impl Trial {
    pub(crate) fn new(set: Set, point: Option<Point>) -> Self {
        let turn = point.map_or(0, |point| point.nth);
        let state = State {
            disk: SimStorage::new(turn as u64, Faults::default()),
            promises: Promises::default(),
            log: None,
            stopped_at: None,
            is_full: false,
            over: false,
            payloads: 0,
            beside: "nothing",
            violations: Vec::new(),
        };
        let fault = point.map(|point| point.fault);
        Self { set, fault, turn, book: Arc::new(Book::new(point)), state: Mutex::new(state) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn disk(&self) -> SimStorage {
        self.state().disk.clone()
    }

    pub(crate) fn storage(&self) -> Faulty {
        Faulty::new(self.disk(), self.book.clone())
    }

    pub(crate) fn options(&self) -> Options {
        let options = Options::new().log_id(LogId::from_bytes(*b"a fault per call"));
        match self.set {
            Set::Small => options.segment_bytes(4096).buffer_bytes(512).buffers(4).background(false),
            Set::Background => options.segment_bytes(4096).buffer_bytes(1024).buffers(2).unsynced_bytes_max(Some(1500)),
            Set::Upkeep => {
                let options = options.segment_bytes(16384).buffer_bytes(2048).buffers(8);
                options.background(false).unsynced_bytes_max(Some(1))
            }
        }
    }

    pub(crate) fn is_damage(&self) -> bool {
        self.fault.is_some_and(Fault::is_damage)
    }

    pub(crate) fn violate(&self, what: impl Into<String>) {
        self.state().violations.push(what.into());
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// Bytes that no other record has.
    pub(crate) fn payload(&self, len: usize) -> Vec<u8> {
        let mut state = self.state();
        state.payloads += 1;
        let mut word = state.payloads.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb).wrapping_add(1);
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    /// Makes the disk whole again.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.disk.set_faults(Faults::default());
        state.is_full = false;
        state.over |= self.book.hit().is_some();
    }

    /// Whether the log has said that it stopped, and where it was stable then.
    pub(crate) fn stopped_at(&self) -> Option<Lsn> {
        self.state().stopped_at
    }

    /// What a call returned, if it succeeded; if not, the error has to be one that the fault may cause.
    pub(crate) fn outcome<T>(&self, log: Option<&Log>, what: &str, result: Result<T, Error>) -> Option<T> {
        let error = match result {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        if !self.allows(&error) {
            self.violate(format!("{what}: {error} ({:?})", error.kind()));
        }
        if error.kind() == ErrorKind::NoSpace {
            self.state().is_full = true;
        }
        if let (ErrorKind::Poisoned, Some(log)) = (error.kind(), log) {
            let stable = log.stable_lsn();
            let first = *self.state().stopped_at.get_or_insert(stable);
            if stable != first {
                self.violate(format!("{what}: stable at {first} when the log stopped, and at {stable} later"));
            }
        }
        None
    }

    fn allows(&self, error: &Error) -> bool {
        let Some(hit) = self.book.hit() else { return false };
        let (Some(fault), false) = (self.fault, self.state().over && !self.is_damage()) else { return false };
        let is_full = |source: &Arc<io::Error>| source.kind() == io::ErrorKind::StorageFull;
        match (fault, error) {
            (Fault::Hang, _) => false,
            (Fault::Once | Fault::Short, Error::Poisoned(_)) => hit.by_engine,
            (Fault::Since, Error::Poisoned(_)) => {
                matches!(hit.call, Call::Write | Call::WriteVectored | Call::SyncData | Call::SyncAll)
            }
            (Fault::Cut, Error::Poisoned(_)) => true,
            (Fault::Once | Fault::Since | Fault::Short | Fault::Cut, Error::Io { .. }) => true,
            (Fault::Full, Error::NoSpace { .. }) => true,
            // Opening does not know of a log that goes on when there is room.
            (Fault::Full, Error::Io { source, .. }) => is_full(source),
            (Fault::Rot | Fault::Misread | Fault::Lost | Fault::Misdirected, Error::Corrupt(_)) => true,
            _ => false,
        }
    }

    /// Whether the fault may keep records from being read.
    pub(crate) fn may_fail_reading(&self) -> bool {
        // What goes on failing does so for all calls of the directory, of which opening a blob is one.
        let of_reading = |call| match call {
            Call::Read | Call::Open | Call::Len => true,
            Call::Create | Call::Remove | Call::Rename | Call::List | Call::Lock => self.fault == Some(Fault::Since),
            _ => false,
        };
        match self.fault {
            Some(Fault::Once | Fault::Since) => self.book.hit_now().is_some_and(|hit| of_reading(hit.call)),
            Some(Fault::Cut) => !self.disk().is_on(),
            Some(fault) => fault.is_damage(),
            None => false,
        }
    }

    /// The next life of the log, on this disk.
    pub(crate) fn begin_life(&self, disk: SimStorage, phase: Phase) {
        disk.set_faults(Faults::default());
        self.book.begin_life();
        self.book.enter(phase);
        let mut state = self.state();
        state.disk = disk;
        state.stopped_at = None;
        state.is_full = false;
        state.over |= self.book.hit().is_some();
    }
}
