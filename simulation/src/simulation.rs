//! Runs histories under a scheduler, one seed each, and finds a smaller one where one fails.
//!
//! Histories share a process one after the other only: the log's epochs are the process's, and what they defer must not
//! meet the scheduler of another history.

use std::{
    env,
    io::{self, BufRead, BufReader},
    panic::{AssertUnwindSafe, catch_unwind},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use shuttle::{
    Config, FailurePersistence, MaxSteps, Runner,
    scheduler::{PctScheduler, RandomScheduler},
};

use crate::{
    history::{self, Tally},
    ledger::Violation,
    plan::Limits,
};

/// What a worker says before its figures, and before the seed of a history that failed.
const TALLY: &str = "tally ";
const FAILED: &str = "failed ";

/// A history that broke a promise.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) limits: Limits,
    pub(crate) violation: Violation,
}

/// Runs one history, in a thread of its own, so that nothing is left of the one before. Three in four have a random
/// schedule, the others one with few changes of priority.
pub(crate) fn run_one(seed: u64, limits: Limits, tally: &mut Tally) -> Result<(), Violation> {
    thread::scope(|scope| match scope.spawn(|| run_here(seed, limits, tally)).join() {
        Ok(result) => result,
        Err(_) => Err(Violation { kind: "panic or deadlock", detail: "outside of the history".to_owned() }),
    })
}

fn run_here(seed: u64, limits: Limits, tally: &mut Tally) -> Result<(), Violation> {
    let outcome = Arc::new(Mutex::new((Tally::default(), Ok(()))));
    let of_run = outcome.clone();
    let history = move || {
        let mut tally = Tally::default();
        let result = history::run(seed, &limits, &mut tally);
        *of_run.lock().unwrap_or_else(PoisonError::into_inner) = (tally, result);
    };
    let mut config = Config::new();
    config.failure_persistence = FailurePersistence::None;
    config.max_steps = MaxSteps::FailAfter(20_000_000);
    config.stack_size = 1 << 19;
    let ran = catch_unwind(AssertUnwindSafe(|| {
        if seed.is_multiple_of(4) {
            let depth = 2 + (seed / 4 % 4) as usize;
            Runner::new(PctScheduler::new_from_seed(seed, depth, 1), config).run(history);
        } else {
            Runner::new(RandomScheduler::new_from_seed(seed, 1), config).run(history);
        }
    }));
    if let Err(panic) = ran {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
        let detail = said.unwrap_or_else(|| "it did not say why".to_owned());
        return Err(Violation { kind: "panic or deadlock", detail });
    }
    let (of_one, result) = outcome.lock().unwrap_or_else(PoisonError::into_inner).clone();
    tally.add(of_one);
    result
}

/// Runs the histories of every `stride`-th seed, up to the first that fails, and says so for [`run`].
pub(crate) fn work(first: u64, end: u64, stride: usize, limits: Limits) -> String {
    let mut tally = Tally::default();
    for seed in (first..end).step_by(stride) {
        if let Err(violation) = run_one(seed, limits, &mut tally) {
            return format!("{TALLY}{tally}\n{FAILED}{seed} {}", violation.to_string().replace('\n', " "));
        }
    }
    format!("{TALLY}{tally}")
}

/// Runs the histories of the seeds from `first` on in as many processes as there are cores, up to the first that fails.
pub(crate) fn run(first: u64, runs: u64, limits: Limits) -> io::Result<(Tally, Option<Failure>)> {
    let workers = thread::available_parallelism()?.get().min(usize::try_from(runs.max(1)).unwrap_or(usize::MAX));
    let mut children = (0..workers)
        .map(|worker| {
            Command::new(env::current_exe()?)
                .args(["--stride", &workers.to_string(), "--seed", &(first + worker as u64).to_string()])
                .args(["--end", &first.saturating_add(runs).to_string()])
                .args(limits.arguments().split_whitespace())
                .stdout(Stdio::piped())
                .spawn()
        })
        .collect::<io::Result<Vec<Child>>>()?;
    let mut tally = Tally::default();
    let mut failure: Option<Failure> = None;
    for (worker, child) in children.iter_mut().enumerate() {
        let mut said_tally = false;
        let stdout = child.stdout.take().expect("it was piped");
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            if let Some(figures) = line.strip_prefix(TALLY) {
                tally.add(figures.parse().map_err(io::Error::other)?);
                said_tally = true;
            }
            let failed = line.strip_prefix(FAILED).and_then(|rest| rest.split_once(' '));
            if let Some((seed, detail)) = failed {
                let seed = seed.parse().map_err(io::Error::other)?;
                let violation = Violation { kind: "violation", detail: detail.to_owned() };
                if failure.as_ref().is_none_or(|first| seed < first.seed) {
                    failure = Some(Failure { seed, limits, violation });
                }
            }
        }
        if !said_tally {
            return Err(io::Error::other(format!("worker {worker} ended with {}", child.wait()?)));
        }
        child.wait()?;
    }
    Ok((tally, failure))
}

/// Looks for bounds under which the same seed fails with less.
pub(crate) fn shrink(failure: &Failure) -> Failure {
    let mut least = failure.clone();
    let fails = |limits: Limits| {
        let violation = run_one(failure.seed, limits, &mut Tally::default()).err()?;
        Some(Failure { seed: failure.seed, limits, violation })
    };
    let mut attempt = |limits: Limits| match fails(limits) {
        Some(smaller) => {
            least = smaller;
            Ok(())
        }
        None => Err(least.limits),
    };
    let mut limits = failure.limits;
    for change in [
        (|limits| Limits { no_faults: true, ..limits }) as fn(Limits) -> Limits,
        |limits| Limits { writers_only: true, ..limits },
        |limits| Limits { lives: Some(1), ..limits },
        |limits| Limits { lives: Some(limits.lives.unwrap_or(2).min(2)), ..limits },
        |limits| Limits { writers: Some(1), ..limits },
        |limits| Limits { writers: Some(limits.writers.unwrap_or(2).min(2)), ..limits },
    ] {
        match attempt(change(limits)) {
            Ok(()) => limits = change(limits),
            Err(kept) => limits = kept,
        }
    }
    for calls in [32, 16, 8, 6, 4, 3, 2, 1] {
        match attempt(Limits { calls: Some(calls), ..limits }) {
            Ok(()) => limits.calls = Some(calls),
            Err(kept) => limits = kept,
        }
    }
    least
}
