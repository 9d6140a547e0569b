//! Runs the workload with one fault, under a watchdog, and looks after those who are beside a call that hangs.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use esker_log::LogReader;
use esker_sim::Faults;

use crate::{
    judge,
    point::{Call, Fault, Phase, Point, Set},
    trial::Trial,
    workload,
};

/// Longer than this no run takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether a call hangs.
const LOOK: Duration = Duration::from_micros(200);

/// What came of one point.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Whether the call was made at all: with several threads there is not always the same number of calls.
    pub(crate) hit: bool,
    pub(crate) violations: Vec<String>,
}

/// The calls of a run without a fault.
pub(crate) fn calls(set: Set) -> Result<Vec<(Phase, Call, usize)>, Outcome> {
    let (trial, outcome) = run(set, None);
    if outcome.violations.is_empty() { Ok(trial.book.calls()) } else { Err(outcome) }
}

pub(crate) fn try_point(point: Point) -> Outcome {
    run(point.set, Some(point)).1
}

fn run(set: Set, point: Option<Point>) -> (Arc<Trial>, Outcome) {
    let trial = Arc::new(Trial::new(set, point));
    let (done, is_done) = mpsc::channel();
    let of_thread = trial.clone();
    let worker = thread::spawn(move || {
        workload::live(&of_thread);
        judge::judge(&of_thread);
        let _ = done.send(());
    });
    let begun = Instant::now();
    let hangs = trial.fault == Some(Fault::Hang);
    loop {
        match is_done.recv_timeout(if hangs { LOOK } else { PATIENCE }) {
            Err(RecvTimeoutError::Timeout) if begun.elapsed() >= PATIENCE => {
                trial.violate(format!("hangs: no end after {} s", PATIENCE.as_secs()));
                break;
            }
            Err(RecvTimeoutError::Timeout) => look_beside(&trial),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                if worker.join().is_err() {
                    trial.violate("panics");
                }
                break;
            }
        }
    }
    let outcome = Outcome { hit: trial.book.hit().is_some(), violations: trial.violations() };
    (trial, outcome)
}

/// If a call hangs: others must not, and then it goes on.
fn look_beside(trial: &Arc<Trial>) {
    let disk = trial.disk();
    if disk.hanging() == 0 {
        return;
    }
    disk.set_faults(Faults::default());
    let (done, is_done) = mpsc::channel();
    let of_thread = trial.clone();
    // By itself, since it may hang too.
    let looker = thread::spawn(move || {
        of_thread.others_do_not_hang();
        let _ = done.send(());
    });
    match is_done.recv_timeout(PATIENCE / 3) {
        Err(RecvTimeoutError::Timeout) => {
            let beside = trial.state().beside;
            trial.violate(format!("{beside} hangs with the call that hangs"));
        }
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {
            if looker.join().is_err() {
                trial.violate("panics beside a call that hangs");
            }
        }
    }
    // Also those that were about to hang when the disk was healed.
    while disk.hanging() > 0 {
        disk.release_hung();
        thread::yield_now();
    }
}

impl Trial {
    /// While one call hangs: what is stable can be read, by this log and by a reader of its own, and while the engine waits
    /// for the disk there is room in the buffers.
    fn others_do_not_hang(&self) {
        let Some(log) = self.state().log.clone() else { return };
        let acknowledged = self.state().promises.acknowledged();
        let tries = |what| self.state().beside = what;
        tries("asking");
        let _ = (log.stable_lsn(), log.floor(), log.stats(), log.report());
        tries("reading");
        for (lsn, payload) in acknowledged.into_iter().take(8) {
            match log.read(lsn) {
                Ok(record) if record.payload() == payload => (),
                Ok(_) => self.violate(format!("altered: lsn {lsn} reads as something else beside a hung call")),
                // Truncation may be what hangs.
                Err(_) if log.floor() > lsn => (),
                Err(error) => self.violate(format!("reading lsn {lsn} beside a hung call: {error}")),
            }
        }
        tries("another reader");
        if let Err(error) = LogReader::open(Arc::new(self.storage())) {
            self.violate(format!("opening for reading beside a hung call: {error}"));
        }
        // With two buffers there may be no room: the one that is open ends with its segment, and the other one hangs.
        let has_room = self.set != Set::Background;
        if has_room && self.book.hit().is_some_and(|hit| hit.by_engine) {
            tries("appending");
            let payload = self.payload(24);
            match log.append(&payload) {
                Ok(lsn) => self.state().promises.place(lsn, payload),
                Err(error) => self.violate(format!("appending beside a hung call: {error}")),
            }
        }
    }
}

/// Tries many points, as many at a time as there are cores.
pub(crate) fn try_all(points: &[Point], told: impl Fn(Point, &Outcome) + Sync) -> Vec<(Point, Outcome)> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let queue = Mutex::new(points.iter());
    let results = Mutex::new(Vec::new());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next().copied();
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(point) = next() {
                    let outcome = try_point(point);
                    told(point, &outcome);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((point, outcome));
                }
            });
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}
