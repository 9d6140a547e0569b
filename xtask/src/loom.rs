//! `cargo xtask loom`: the models of the latch-free crates, under every schedule that loom can tell apart.

use std::process::Command;

use crate::args::Args;
use crate::mutate;
use crate::run::{Failure, cargo, listen, rustflags, target_dir};

/// The crates whose threads share memory by other means than the standard library's locks.
pub(crate) const LATCH_FREE: &[&str] = &["esker-iobufs", "esker-page-table"];
/// Two preemptions find what is known to be findable in protocols of two or three threads, in minutes.
const PREEMPTIONS: u32 = 2;

pub(crate) fn run(mut args: Args) -> Result<(), Failure> {
    let preemptions = args.value("--preemptions")?.unwrap_or(PREEMPTIONS);
    let mutate_all = args.flag("--mutate");
    let which = args.positional();
    args.finish()?;
    if mutate_all {
        return mutate::run(which.as_deref(), preemptions);
    }
    check(which.as_deref(), preemptions)
}

/// Runs the models whose name contains `model`, or all, and fails if there is none.
pub(crate) fn check(model: Option<&str>, preemptions: u32) -> Result<(), Failure> {
    let said = match model {
        None => listen(&mut tests(preemptions, &["loom_"]))?,
        Some(model) => {
            let listed = listen(&mut tests(preemptions, &["loom_", "--list"]))?;
            let chosen = chosen(&listed.text, model);
            if chosen.is_empty() {
                return Err(Failure::failed(format!("there is no model with `{model}` in its name")));
            }
            let filter = chosen.into_iter().chain(["--exact"]);
            listen(&mut tests(preemptions, &filter.collect::<Vec<_>>()))?
        }
    };
    if !said.success {
        return Err(Failure::failed("a model failed; see LOOM_LOG and LOOM_LOCATION in loom's documentation"));
    }
    match passed(&said.text) {
        0 => Err(Failure::failed("not one model was run")),
        passed => {
            println!("loom: {passed} models hold under every schedule with at most {preemptions} preemptions");
            Ok(())
        }
    }
}

fn tests(preemptions: u32, filter: &[&str]) -> Command {
    let mut command = cargo(&["test", "--release", "--lib"]);
    command.args(LATCH_FREE.iter().flat_map(|name| ["-p", name])).arg("--").args(filter);
    command.env("LOOM_MAX_PREEMPTIONS", preemptions.to_string()).env("CARGO_TARGET_DIR", target_dir("loom"));
    rustflags(&mut command, "--cfg loom");
    command
}

/// The full names of the listed tests that contain `model`.
fn chosen<'a>(listed: &'a str, model: &str) -> Vec<&'a str> {
    let names = listed.lines().filter_map(|line| line.strip_suffix(": test"));
    names.filter(|name| name.contains(model)).collect()
}

/// How many tests the test runner says have passed.
fn passed(text: &str) -> u32 {
    let results = text.lines().filter_map(|line| line.strip_prefix("test result: ok. "));
    results.filter_map(|result| result.split(' ').next()?.parse::<u32>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::{chosen, passed};

    #[test]
    fn models_are_chosen_by_a_part_of_their_name() {
        let listed = "tests::loom_a_seal: test\ntests::loom_a_wait: test\n\n2 tests, 0 benchmarks\n";
        assert_eq!(chosen(listed, "wait"), ["tests::loom_a_wait"]);
        assert_eq!(chosen(listed, "loom_").len(), 2);
        assert_eq!(chosen(listed, "benchmarks"), [""; 0]);
    }

    #[test]
    fn tests_that_ran_are_counted() {
        assert_eq!(passed("running 7 tests\ntest result: ok. 7 passed; 0 failed; 0 ignored\n"), 7);
        assert_eq!(passed("running 0 tests\ntest result: ok. 0 passed; 0 failed; 12 filtered out\n"), 0);
        assert_eq!(passed(""), 0);
    }
}
