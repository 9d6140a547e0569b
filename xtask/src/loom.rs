//! `cargo xtask loom`: the engine's models, under every schedule that loom can tell apart.

use crate::args::Args;
use crate::run::{Failure, cargo, listen, rustflags, target_dir};

/// Two preemptions find what is known to be findable in protocols of two or three threads, in minutes.
const PREEMPTIONS: u32 = 2;

pub(crate) fn run(mut args: Args) -> Result<(), Failure> {
    let preemptions = args.value("--preemptions")?.unwrap_or(PREEMPTIONS);
    let model = args.positional();
    args.finish()?;
    check(model.as_deref(), preemptions)
}

/// Runs the models whose name contains `model`, and fails if there is none.
pub(crate) fn check(model: Option<&str>, preemptions: u32) -> Result<(), Failure> {
    let filter = match model {
        Some(model) if !model.starts_with("loom_") => format!("loom_{model}"),
        Some(model) => model.to_owned(),
        None => "loom_".to_owned(),
    };
    let mut command = cargo(&["test", "--release", "-p", "esker-iobufs", "--lib", "--", &filter]);
    command.env("LOOM_MAX_PREEMPTIONS", preemptions.to_string()).env("CARGO_TARGET_DIR", target_dir("loom"));
    rustflags(&mut command, "--cfg loom");
    let said = listen(&mut command)?;
    if !said.success {
        return Err(Failure::failed("a model failed; see LOOM_LOG and LOOM_LOCATION in loom's documentation"));
    }
    match passed(&said.text) {
        0 => Err(Failure::failed(format!("there is no model with `{filter}` in its name"))),
        passed => {
            println!("loom: {passed} models hold under every schedule with at most {preemptions} preemptions");
            Ok(())
        }
    }
}

/// How many tests the test runner says have passed.
fn passed(text: &str) -> u32 {
    let results = text.lines().filter_map(|line| line.strip_prefix("test result: ok. "));
    results.filter_map(|result| result.split(' ').next()?.parse::<u32>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::passed;

    #[test]
    fn tests_that_ran_are_counted() {
        assert_eq!(passed("running 7 tests\ntest result: ok. 7 passed; 0 failed; 0 ignored\n"), 7);
        assert_eq!(passed("running 0 tests\ntest result: ok. 0 passed; 0 failed; 12 filtered out\n"), 0);
        assert_eq!(passed(""), 0);
    }
}
