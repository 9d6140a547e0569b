//! `cargo xtask crash`: simulated power cuts, from seeds; and the proof that they would find a missing safety measure.
//!
//! Each run is one seed: a workload on a simulated disk, a power cut, recovery, and a comparison with what had been
//! promised. A failing run names its seed. Refuses to call a sabotage survived: if no run fails although a measure was
//! removed, the tests are blind to it, and that is a failure.

use crate::args::Args;
use crate::run::{Failure, Said, cargo, listen, rustflags, target_dir};

/// The safety measures that can be removed with `--cfg esker_sabotage="NAME"`.
const SABOTAGES: &[&str] = &["sync", "dir_sync", "checksum", "reuse_gate"];
const RUNS: u64 = 1000;
/// What the example prints before the seed of a run that failed.
const FAILING: &str = "failing seed: ";

pub(crate) fn run(mut args: Args) -> Result<(), Failure> {
    let seed = args.value("--seed")?.unwrap_or(1);
    let runs = args.value("--runs")?.unwrap_or(RUNS);
    let sabotage: Option<String> = args.value("--sabotage")?;
    args.finish()?;
    match sabotage.as_deref() {
        None => check(seed, runs),
        Some("all") => all_bite(seed, runs),
        Some(name) if SABOTAGES.contains(&name) => bites(name, seed, runs),
        Some(name) => {
            Err(Failure::Usage(format!("there is no sabotage `{name}`, only {} and all", SABOTAGES.join(", "))))
        }
    }
}

/// All runs have to hold.
pub(crate) fn check(seed: u64, runs: u64) -> Result<(), Failure> {
    let said = simulate(None, seed, runs)?;
    if said.success { Ok(()) } else { Err(Failure::failed("a simulated power cut broke a promise; its seed is above")) }
}

/// Each safety measure is missed once it is gone.
pub(crate) fn all_bite(seed: u64, runs: u64) -> Result<(), Failure> {
    SABOTAGES.iter().try_for_each(|name| bites(name, seed, runs))
}

/// A run has to fail once the safety measure is gone.
fn bites(sabotage: &str, seed: u64, runs: u64) -> Result<(), Failure> {
    let said = simulate(Some(sabotage), seed, runs)?;
    if said.success {
        return Err(Failure::failed(format!(
            "{runs} runs without `{sabotage}` and none failed: the tests are blind to it"
        )));
    }
    let failing = failing_seed(&said.text)
        .ok_or_else(|| Failure::failed(format!("the runs without `{sabotage}` ended without naming a failing seed")))?;
    println!("crash: without `{sabotage}`, run {} of {runs} failed (seed {failing})", failing.wrapping_sub(seed) + 1);
    Ok(())
}

fn simulate(sabotage: Option<&str>, seed: u64, runs: u64) -> Result<Said, Failure> {
    let (seed, runs) = (seed.to_string(), runs.to_string());
    let example = ["run", "--release", "-p", "esker-log", "--example", "crash", "--", "--seed", &seed, "--runs", &runs];
    let mut command = cargo(&example);
    if let Some(name) = sabotage {
        rustflags(&mut command, &format!("--cfg esker_sabotage=\"{name}\""));
        command.env("CARGO_TARGET_DIR", target_dir(&format!("sabotage-{name}")));
    }
    listen(&mut command)
}

fn failing_seed(text: &str) -> Option<u64> {
    let after = text.lines().find_map(|line| Some(line.split_once(FAILING)?.1))?;
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::failing_seed;

    #[test]
    fn failing_seed_is_read_from_what_was_said() {
        assert_eq!(failing_seed("run 1 ok\nfailing seed: 1234 (lost lsn 5)\n"), Some(1234));
        assert_eq!(failing_seed("error[E0432]: unresolved import\n"), None);
        assert_eq!(failing_seed("failing seed: \n"), None);
    }
}
