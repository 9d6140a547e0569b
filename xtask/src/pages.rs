//! `cargo xtask pages`: the page store's long tests, and the proof that its tests would find a missing safety measure.

use crate::args::Args;
use crate::run::{Failure, cargo, hear, run as execute, rustflags, target_dir};

/// The long tests: crashes of one thread, crashes of many, and days near the bound on the disk.
const LONG: &[&str] = &["many_crashes", "many_threads_crash", "many_days"];

const STORE: &str = "esker-pages";
const ACCOUNTANT: &str = "esker-segments";

/// The safety measures that can be removed with `--cfg esker_sabotage="NAME"`; the packages of which a test has to fail then,
/// and which tests are run.
const SABOTAGES: &[(&str, &[(&str, &str)])] = &[
    ("gate_a", &[(ACCOUNTANT, "model")]),
    ("gate_b", &[(ACCOUNTANT, "model")]),
    ("copies", &[(STORE, "crash")]),
    ("sync", &[(STORE, "crash")]),
    ("segment_note", &[(STORE, "crash")]),
    ("freed_mark", &[(STORE, "crash")]),
    ("discarded", &[(STORE, "crash")]),
    ("batch", &[(STORE, "crash")]),
    ("late_numbers", &[(STORE, "many_threads_crash")]),
    ("copied_batch", &[(STORE, "many_threads_crash")]),
    ("graves", &[(STORE, "crash")]),
    ("moved_graves", &[(STORE, "crash")]),
    ("checkpoint_flush", &[(STORE, "many_threads_crash")]),
];

pub(crate) fn run(mut args: Args) -> Result<(), Failure> {
    let sabotage: Option<String> = args.value("--sabotage")?;
    args.finish()?;
    match sabotage.as_deref() {
        None => LONG.iter().try_for_each(|test| {
            let command = &["test", "--release", "-p", STORE, "--lib", test, "--", "--ignored", "--nocapture"];
            execute(&mut cargo(command))
        }),
        Some("all") => SABOTAGES.iter().try_for_each(|(name, where_)| bites(name, where_)),
        Some(name) => match SABOTAGES.iter().find(|(known, _)| *known == name) {
            Some((name, where_)) => bites(name, where_),
            None => {
                let names: Vec<&str> = SABOTAGES.iter().map(|(name, _)| *name).collect();
                Err(Failure::Usage(format!("there is no sabotage `{name}`, only {} and all", names.join(", "))))
            }
        },
    }
}

/// A test of each of these packages has to fail once the safety measure is gone.
fn bites(sabotage: &str, packages: &[(&str, &str)]) -> Result<(), Failure> {
    for (package, filter) in packages {
        let mut command = cargo(&["test", "--release", "-p", package, "--lib", filter, "--"]);
        // A long one, where it takes that.
        command.args(LONG.contains(filter).then_some("--include-ignored"));
        rustflags(&mut command, &format!("--cfg esker_sabotage=\"{sabotage}\""));
        command.env("CARGO_TARGET_DIR", target_dir(&format!("sabotage-{sabotage}")));
        // What fails on purpose is not to be remembered.
        command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true");
        let said = hear(&mut command)?;
        if said.success {
            return Err(Failure::failed(format!("{package}: no test noticed that `{sabotage}` is gone")));
        }
        let failed = said.text.lines().find_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
        let failed = failed.ok_or_else(|| Failure::failed(format!("{package} without `{sabotage}` was not tested")))?;
        println!("pages: without `{sabotage}`, {package}'s test {failed} fails");
    }
    Ok(())
}
