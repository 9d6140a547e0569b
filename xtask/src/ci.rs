//! `cargo xtask ci`: what CI runs, in the same order, because CI runs this.
//!
//! Cheap questions with frequent answers come first. Every step prints the command it runs and lets it speak for itself;
//! the first one that fails ends it all.

use std::time::Instant;

use crate::args::Args;
use crate::run::{Failure, cargo, run as execute};
use crate::{
    bench, counts, crash::CRASH, damages::DAMAGES, faults, fuzz, layers, loom, package, sim::SIM, small_disk, tidy,
};

/// How long each fuzz target runs, in seconds.
const FUZZ_SECONDS: u32 = 10;
/// Simulated power cuts, of which the first has seed 1.
const CRASH_RUNS: u64 = 20_000;
/// Logs that are damaged, each in some hundred ways.
const DAMAGED_LOGS: u64 = 50;
/// Simulated histories, some hundred crash states each.
const SIM_RUNS: u64 = 200;

type Step = (&'static str, fn() -> Result<(), Failure>);

const STEPS: &[Step] = &[
    ("tests", || execute(&mut cargo(&["test", "--workspace", "--locked"]))),
    ("format", || execute(&mut cargo(&["fmt", "--all", "--check"]))),
    ("clippy", || execute(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))),
    ("tidy", tidy::check),
    ("packages", package::check_contents),
    ("documentation", || layers::document(&["--workspace"])),
    ("layers alone", layers::all_alone),
    ("instruction counts", counts::check),
    ("comparison", bench::check_compare),
    ("loom", || loom::check(None, 3)),
    ("fuzz", || fuzz::replay().and_then(|()| fuzz::all(FUZZ_SECONDS))),
    ("crash", || CRASH.check(1, CRASH_RUNS)),
    ("crash tests bite", || CRASH.all_bite(1, CRASH_RUNS)),
    ("faults", faults::check),
    ("damages", || DAMAGES.check(1, DAMAGED_LOGS)),
    ("small disk", small_disk::check),
    ("simulation", || SIM.check(1, SIM_RUNS)),
];

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    args.finish()?;
    let begun = Instant::now();
    let mut took = Vec::new();
    for (at, (name, step)) in STEPS.iter().enumerate() {
        println!("\n=== {} of {}: {name}", at + 1, STEPS.len());
        let begun = Instant::now();
        step().map_err(|failure| match failure {
            Failure::Failed(what) | Failure::Usage(what) => Failure::Failed(format!("ci: {name}: {what}")),
        })?;
        took.push((name, begun.elapsed()));
    }
    println!("\n=== all {} steps passed", STEPS.len());
    for (name, took) in took {
        println!("{:>6.0} s  {name}", took.as_secs_f64());
    }
    println!("{:>6.0} s  in all", begun.elapsed().as_secs_f64());
    Ok(())
}
