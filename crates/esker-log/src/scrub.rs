//! Reading what nobody has read for long, at a set rate, so that damage is known while there still is a backup.
//!
//! Owns the round over the segments, and the thread that makes it. Refuses to mend.

use std::{
    collections::BTreeSet,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use esker_format::{
    BlobPointer, Epoch, FileOffset, Lsn, MESSAGE_HEADER_BYTES, MessageKind, SEGMENT_HEADER_BYTES, SegmentHeader,
};

use crate::{
    Error, blob,
    error::{Corruption, CorruptionKind},
    names::LOG,
    origin::Origin,
    walk::{Step, Walk},
};

/// How many damages are kept to be told.
const DAMAGES_KEPT: usize = 1000;
/// The shortest time to rest: shorter ones are added up.
const REST_MIN: Duration = Duration::from_millis(10);
/// How long to rest where there is nothing to read, or nothing can be read.
const REST_IDLE: Duration = Duration::from_secs(1);

/// What scrubbing has done since the log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScrubStats {
    /// How often the whole log was read.
    pub rounds: u64,
    /// Segments that were read.
    pub segments: u64,
    /// Bytes that were read, those of blobs included.
    pub bytes: u64,
    /// Places that are damaged, each counted once: see [`Log::damages`](crate::Log::damages).
    pub damages: u64,
    /// Reads that failed. What they were to read is tried again in the next round.
    pub read_errors: u64,
}

/// What scrubbing has found, shared by the thread and the log.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    state: Mutex<State>,
    stopped: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stats: ScrubStats,
    damages: Vec<Corruption>,
    /// The places of the damages, so that each is told once.
    known: BTreeSet<(String, u64)>,
    stop: bool,
}

impl Findings {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stats(&self) -> ScrubStats {
        self.lock().stats
    }

    pub(crate) fn damages(&self) -> Vec<Corruption> {
        self.lock().damages.clone()
    }

    fn count(&self, change: impl FnOnce(&mut ScrubStats)) {
        change(&mut self.lock().stats);
    }

    fn add(&self, damage: Corruption) {
        let mut state = self.lock();
        if state.known.len() < DAMAGES_KEPT && state.known.insert((damage.file.clone(), damage.offset)) {
            state.stats.damages += 1;
            state.damages.push(damage);
        }
    }

    /// Rests for some time. Returns whether to go on.
    fn rest(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut state = self.lock();
        while !state.stop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            (state, _) = self.stopped.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
        false
    }
}

/// Reads the log again and again. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct ScrubThread {
    findings: Arc<Findings>,
    thread: Option<thread::JoinHandle<()>>,
}

impl ScrubThread {
    pub(crate) fn start(origin: Origin, findings: Arc<Findings>, bytes_per_second: u64) -> Result<Self, Error> {
        let scrub = Scrub { origin, findings: findings.clone(), bytes_per_second, owed: Duration::ZERO };
        let thread = thread::Builder::new()
            .name("esker-scrub".to_owned())
            .spawn(move || scrub.run())
            .map_err(|error| Error::io("start a thread for the scrubbing of", LOG, error))?;
        Ok(Self { findings, thread: Some(thread) })
    }
}

impl Drop for ScrubThread {
    fn drop(&mut self) {
        self.findings.lock().stop = true;
        self.findings.stopped.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic in it has been reported by the runtime.
            drop(thread.join());
        }
    }
}

/// The round.
struct Scrub {
    origin: Origin,
    findings: Arc<Findings>,
    bytes_per_second: u64,
    /// How long to rest for what was read already.
    owed: Duration,
}

/// Whether to go on.
type GoesOn = bool;

impl Scrub {
    fn run(mut self) {
        while self.round() {}
    }

    fn round(&mut self) -> GoesOn {
        let mut segments = 0;
        let floor = self.origin.placement.floor().unwrap_or_default();
        let bytes = u64::from(self.origin.rules.segment_bytes.get());
        for base in self.origin.placement.bases_from(floor) {
            // Where it is still being written it is not cold, and the end of what is stable is no end of a message.
            if base.checked_add(bytes).is_none_or(|end| end > self.origin.placement.durable_to()) {
                continue;
            }
            match self.segment(base) {
                Ok(true) => segments += 1,
                Ok(false) => return false,
                Err(_) => self.findings.count(|stats| stats.read_errors += 1),
            }
        }
        if segments == 0 {
            return self.findings.rest(REST_IDLE);
        }
        self.findings.count(|stats| stats.rounds += 1);
        true
    }

    fn segment(&mut self, base: Lsn) -> Result<GoesOn, Error> {
        let mut header = [0; SEGMENT_HEADER_BYTES];
        let Some(read) = self.origin.placement.read(base, &mut header)? else { return Ok(true) };
        let is_right = match SegmentHeader::decode(&header[..read]) {
            Ok(header) if header.base == base && header.log_id == self.origin.log_id => Ok(()),
            Ok(_) => Err("it is that of another segment".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(reason) = is_right {
            self.found(base, CorruptionKind::SegmentHeader { reason });
        }
        let end = base + u64::from(self.origin.rules.segment_bytes.get());
        let first = base + SEGMENT_HEADER_BYTES as u64;
        let mut walk = Walk::new(self.origin.placement.clone(), self.origin.rules, Epoch::ZERO, first, end);
        let durable_to = self.origin.placement.durable_to();
        loop {
            let at = walk.at();
            let bytes = match walk.next()? {
                None => break,
                Some(Step::Message(header, _)) => {
                    let mut bytes = header.message_bytes() as u64;
                    if header.kind == MessageKind::BlobPointer
                        && at >= self.origin.placement.floor()?
                        && let Ok(pointer) = BlobPointer::decode(walk.payload())
                    {
                        bytes += self.blob(at, &pointer)?;
                    }
                    bytes
                }
                Some(Step::Damage(damage)) => {
                    self.found(at, CorruptionKind::Message { damage: damage.kind, durable_to });
                    if !walk.resync()? {
                        break;
                    }
                    walk.at() - at
                }
                Some(Step::Missing) => {
                    self.found(at, CorruptionKind::MissingSegment { durable_to });
                    break;
                }
            };
            if !self.pay(bytes) {
                return Ok(false);
            }
        }
        self.findings.count(|stats| stats.segments += 1);
        Ok(true)
    }

    /// Reads a blob. Returns how long it is.
    fn blob(&self, lsn: Lsn, pointer: &BlobPointer) -> Result<u64, Error> {
        match blob::read(self.origin.storage.as_ref(), self.origin.log_id, lsn, pointer) {
            Ok(payload) => Ok(payload.len() as u64),
            Err(Error::Corrupt(damage)) => {
                if self.is_needed(lsn) {
                    self.findings.add(damage);
                }
                Ok(MESSAGE_HEADER_BYTES as u64)
            }
            Err(error) => Err(error),
        }
    }

    fn found(&self, lsn: Lsn, kind: CorruptionKind) {
        if self.is_needed(lsn) {
            let offset = FileOffset::new(self.origin.placement.offset_of(lsn));
            self.findings.add(Corruption::in_log(lsn, offset, kind));
        }
    }

    /// Whether what is at `lsn` was not truncated meanwhile, so that its slot may hold something else by now.
    fn is_needed(&self, lsn: Lsn) -> bool {
        let floor = self.origin.placement.floor().unwrap_or(Lsn::MAX);
        lsn >= floor.segment_base(self.origin.rules.segment_bytes)
    }

    /// Counts what was read, and rests as long as that has to last.
    fn pay(&mut self, bytes: u64) -> GoesOn {
        let stop = {
            let mut state = self.findings.lock();
            state.stats.bytes += bytes;
            state.stop
        };
        self.owed += Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        if self.owed < REST_MIN {
            return !stop;
        }
        self.findings.rest(std::mem::take(&mut self.owed))
    }
}
