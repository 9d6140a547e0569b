//! Whole logs in a simulation: the real engine, several threads under a scheduler that a seed decides, and a disk that
//! loses, tears and fails. Run by `cargo xtask sim`, which builds it with `--cfg shuttle`.
#![forbid(unsafe_code)]
#![cfg_attr(shuttle, expect(clippy::print_stdout, reason = "a program that reports"))]
#![expect(clippy::print_stderr, reason = "a program that reports")]

#[cfg(shuttle)]
mod check;
#[cfg(shuttle)]
mod disk;
#[cfg(shuttle)]
mod history;
#[cfg(shuttle)]
mod ledger;
#[cfg(shuttle)]
mod life;
#[cfg(shuttle)]
mod pace;
#[cfg(shuttle)]
mod plan;
#[cfg(shuttle)]
mod rng;
#[cfg(shuttle)]
mod simulation;

use std::process::ExitCode;

#[cfg(not(shuttle))]
fn main() -> ExitCode {
    eprintln!("this was built without the scheduler; run it by `cargo xtask sim`");
    ExitCode::FAILURE
}

#[cfg(shuttle)]
fn main() -> ExitCode {
    match arguments() {
        Ok(wanted) => simulate(&wanted),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

#[cfg(shuttle)]
struct Wanted {
    seed: u64,
    runs: u64,
    limits: plan::Limits,
    /// For a worker: every so many seeds, up to this one.
    stride: Option<usize>,
    end: u64,
}

#[cfg(shuttle)]
fn arguments() -> Result<Wanted, lexopt::Error> {
    use lexopt::{Arg::Long, ValueExt};
    let mut wanted = Wanted { seed: 1, runs: 1, limits: plan::Limits::default(), stride: None, end: 0 };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("seed") => wanted.seed = parser.value()?.parse()?,
            Long("runs") => wanted.runs = parser.value()?.parse()?,
            Long("lives") => wanted.limits.lives = Some(parser.value()?.parse()?),
            Long("writers") => wanted.limits.writers = Some(parser.value()?.parse()?),
            Long("calls") => wanted.limits.calls = Some(parser.value()?.parse()?),
            Long("stride") => wanted.stride = Some(parser.value()?.parse()?),
            Long("end") => wanted.end = parser.value()?.parse()?,
            Long("no-faults") => wanted.limits.no_faults = true,
            Long("writers-only") => wanted.limits.writers_only = true,
            other => return Err(other.unexpected()),
        }
    }
    Ok(wanted)
}

#[cfg(shuttle)]
fn simulate(wanted: &Wanted) -> ExitCode {
    if let Some(stride) = wanted.stride {
        println!("{}", simulation::work(wanted.seed, wanted.end, stride, wanted.limits));
        return ExitCode::SUCCESS;
    }
    let begun = std::time::Instant::now();
    let (tally, failure) = match simulation::run(wanted.seed, wanted.runs, wanted.limits) {
        Ok(found) => found,
        Err(error) => {
            eprintln!("the simulation could not be run: {error}");
            return ExitCode::FAILURE;
        }
    };
    let Some(failure) = failure else {
        println!(
            "{} histories ({} lives, {} with faults), {} crash states without a violation ({} opened, {} records \
             compared), {} damages ({} told, the others harmless), {:.0} s",
            tally.histories,
            tally.lives,
            tally.faulty_lives,
            tally.states,
            tally.opened,
            tally.records,
            tally.damages,
            tally.detected,
            begun.elapsed().as_secs_f64()
        );
        return ExitCode::SUCCESS;
    };
    let nth = failure.seed - wanted.seed + 1;
    let states = tally.states / tally.histories.max(1) * nth;
    println!(
        "failing seed: {} ({}), in history {nth}, after about {states} crash states",
        failure.seed, failure.violation
    );
    let least = simulation::shrink(&failure);
    println!("smallest: {}", least.violation);
    println!("replay: cargo xtask sim --seed {} --runs 1{}", least.seed, least.limits.arguments());
    ExitCode::FAILURE
}
