//! Simulated power cuts: `crash --seed S --runs N` runs the histories of the seeds S to S + N - 1, and `crash --exhaustive`
//! every crash state of small workloads.
//!
//! Exits with 1 at the first history whose promises were not kept, and names its seed; `--seed THAT --runs 1` repeats it.
#![expect(clippy::print_stdout, reason = "a program that reports on stdout")]

mod exhaustive;
mod harness;

use std::{
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Instant,
};

use harness::{Tally, Violation};

fn main() -> ExitCode {
    if std::env::args().skip(1).eq(["--exhaustive"]) {
        return enumerate();
    }
    let Some((seed, runs)) = arguments() else {
        eprintln!("usage: crash [--seed S] [--runs N] | crash --exhaustive");
        return ExitCode::from(2);
    };
    let started = Instant::now();
    let next = AtomicU64::new(0);
    let workers = thread::available_parallelism().map_or(1, |cores| cores.get());
    let outcomes: Vec<Result<Tally, (u64, Violation)>> = thread::scope(|scope| {
        let work = || {
            let mut sum = Tally::default();
            loop {
                let run = next.fetch_add(1, Ordering::Relaxed);
                if run >= runs {
                    return Ok(sum);
                }
                match harness::run(seed.wrapping_add(run)) {
                    Ok(tally) => add(&mut sum, tally),
                    Err(violation) => {
                        // The others need not go on for long.
                        next.fetch_max(runs, Ordering::Relaxed);
                        return Err((seed.wrapping_add(run), violation));
                    }
                }
            }
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a history panicked")).collect()
    });
    let mut sum = Tally::default();
    let mut first: Option<(u64, Violation)> = None;
    for outcome in outcomes {
        match outcome {
            Ok(tally) => add(&mut sum, tally),
            Err(failure) if first.as_ref().is_none_or(|first| failure.0 < first.0) => first = Some(failure),
            Err(_) => (),
        }
    }
    if let Some((seed, violation)) = first {
        println!("failing seed: {seed} ({violation})");
        println!("repeat with: --seed {seed} --runs 1");
        return ExitCode::from(1);
    }
    println!(
        "{runs} histories from seed {seed}: {} power cuts ({} during recovery), {} kills, {} records appended, {} compared, {} \
         segments freed, no violation, {:.1} s",
        sum.cuts,
        sum.cuts_in_recovery,
        sum.kills,
        sum.appended,
        sum.checked,
        sum.segments_freed,
        started.elapsed().as_secs_f64()
    );
    ExitCode::SUCCESS
}

fn enumerate() -> ExitCode {
    let started = Instant::now();
    match exhaustive::run() {
        Ok(found) => {
            println!(
                "{} workloads, {} power cuts, {} crash states (at most {} of one cut), no violation, {:.1} s",
                found.workloads,
                found.cuts,
                found.states,
                found.states_max,
                started.elapsed().as_secs_f64()
            );
            ExitCode::SUCCESS
        }
        Err(violation) => {
            println!("{violation}");
            ExitCode::from(1)
        }
    }
}

fn add(sum: &mut Tally, tally: Tally) {
    sum.cuts += tally.cuts;
    sum.cuts_in_recovery += tally.cuts_in_recovery;
    sum.kills += tally.kills;
    sum.appended += tally.appended;
    sum.checked += tally.checked;
    sum.segments_freed += tally.segments_freed;
}

fn arguments() -> Option<(u64, u64)> {
    let (mut seed, mut runs) = (1, 1000);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next()?.parse().ok()?;
        match argument.as_str() {
            "--seed" => seed = value,
            "--runs" => runs = value,
            _ => return None,
        }
    }
    Some((seed, runs))
}
