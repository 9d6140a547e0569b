//! Every crash state of small workloads: the power fails in each call in turn, and everything that this may leave is opened.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use esker_log::{Log, LogId, Options};
use esker_sim::{Faults, SimStorage};

use crate::harness::{Model, Violation, judge, read_without_opening};

const APPENDS: usize = 6;
const SYNCS: usize = 3;
/// Several in a sector; and each over a sector's border, in a buffer of its own.
const PAYLOADS: [usize; 2] = [20, 440];
/// More states than this from one power cut would not end: the workload is too large to be enumerated.
const IMAGES_MAX: u64 = 4_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Append,
    /// Waits until everything is durable.
    Sync,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Enumerated {
    pub(crate) workloads: u64,
    pub(crate) cuts: u64,
    pub(crate) states: u64,
    /// The most states that one power cut left.
    pub(crate) states_max: u64,
}

/// Tries everything. A power cut after some steps is one of the shorter workload, too, so that the longest ones suffice.
pub(crate) fn run() -> Result<Enumerated, Violation> {
    let mut workloads = Vec::new();
    for bytes in PAYLOADS {
        orders(APPENDS, SYNCS, &mut Vec::new(), &mut |steps| workloads.push((steps.to_vec(), bytes)));
    }
    let next = AtomicUsize::new(0);
    let sum = Mutex::new(Ok(Enumerated::default()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((steps, bytes)) = workloads.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = every_cut(steps, *bytes);
                    let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                    match (&mut *sum, outcome) {
                        (Ok(sum), Ok(its)) => {
                            sum.workloads += 1;
                            sum.cuts += its.cuts;
                            sum.states += its.states;
                            sum.states_max = sum.states_max.max(its.states_max);
                        }
                        (Err(_), _) => return,
                        (sum, Err(violation)) => *sum = Err(violation),
                    }
                }
            });
        }
    });
    sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `each` with every order of so many appends and syncs.
fn orders(appends: usize, syncs: usize, before: &mut Vec<Step>, each: &mut dyn FnMut(&[Step])) {
    if appends + syncs == 0 {
        return each(before);
    }
    for (step, left) in
        [(Step::Append, (appends.checked_sub(1), Some(syncs))), (Step::Sync, (Some(appends), syncs.checked_sub(1)))]
    {
        if let (Some(appends), Some(syncs)) = left {
            before.push(step);
            orders(appends, syncs, before, each);
            before.pop();
        }
    }
}

fn every_cut(steps: &[Step], bytes: usize) -> Result<Enumerated, Violation> {
    let mut tally = Enumerated::default();
    for ops in 0.. {
        let disk = SimStorage::new(0, Faults { crash_after_ops: Some(ops), ..Faults::default() });
        let mut model = Model::default();
        work(&disk, steps, bytes, &mut model);
        let ended = disk.is_on();
        disk.crash();
        tally.cuts += 1;
        let mut states = 0;
        for left in disk.crash_images() {
            states += 1;
            if let Some((floor, found)) = read_without_opening(&left, &model)? {
                judge(floor, &found, &model)?;
            }
            if states > IMAGES_MAX {
                return Err(Violation { kind: "refusal", detail: format!("{steps:?} leaves too many states") });
            }
        }
        tally.states += states;
        tally.states_max = tally.states_max.max(states);
        if ended {
            break;
        }
    }
    Ok(tally)
}

/// Works until the power fails or the steps are done. Calls fail for no other reason than that.
fn work(disk: &SimStorage, steps: &[Step], bytes: usize, model: &mut Model) {
    let options = Options::new()
        .segment_bytes(4096)
        .buffer_bytes(600)
        .buffers(4)
        .background(false)
        .log_id(LogId::from_bytes(*b"enumerated crash"));
    let Ok(log) = Log::open(Arc::new(disk.clone()), options) else { return };
    model.created = true;
    for (n, step) in steps.iter().enumerate() {
        match step {
            Step::Append => {
                let payload = vec![n as u8 + 1; bytes];
                let Ok(lsn) = log.append(&payload) else { return };
                model.records.insert(lsn, payload);
            }
            Step::Sync => match log.flush() {
                Ok(stable) => model.stable = model.stable.max(stable),
                Err(_) => return,
            },
        }
    }
}
