//! `cargo xtask faults`: a fault at every I/O call of a workload, one at a time, and a look at what was promised.
//!
//! With `--sabotage` a safety measure is removed, and the table has to show it.

use crate::args::Args;
use crate::run::{Failure, cargo, listen, run as execute, rustflags, target_dir};

const PROGRAM: &[&str] = &["run", "--release", "-p", "esker-simulation", "--bin", "faults", "--"];
/// Handed on.
const OPTIONS: &[&str] = &["--set", "--phase", "--call", "--nth", "--fault", "--one-in", "--times"];
/// The measures that a single fault, or the workload alone, can show to be gone. The others need a crash at the right
/// moment: see `cargo xtask sim`.
const SABOTAGES: &[&str] =
    &["sync", "dir_sync", "early_ack", "checksum", "sync_retry", "reuse_gate", "marks", "blob_sync", "truncation"];
/// What the program says before a finding.
const FINDINGS: [&str; 2] = ["not as promised: ", "without any fault, "];

pub(crate) fn run(mut args: Args) -> Result<(), Failure> {
    let mut rest = Vec::new();
    for name in OPTIONS {
        if let Some(value) = args.value::<String>(name)? {
            rest.extend([(*name).to_owned(), value]);
        }
    }
    if args.flag("--markdown") {
        rest.push("--markdown".to_owned());
    }
    let sabotage: Option<String> = args.value("--sabotage")?;
    args.finish()?;
    match sabotage.as_deref() {
        None => execute(cargo(PROGRAM).args(rest)),
        Some("all") => SABOTAGES.iter().try_for_each(|name| bites(name, &rest)),
        Some(name) if SABOTAGES.contains(&name) => bites(name, &rest),
        Some(name) => {
            let names = SABOTAGES.join(", ");
            Err(Failure::Usage(format!("there is no sabotage `{name}`, only {names} and all")))
        }
    }
}

/// Every fault at every call has to end as promised.
pub(crate) fn check() -> Result<(), Failure> {
    execute(&mut cargo(PROGRAM))
}

fn bites(sabotage: &str, rest: &[String]) -> Result<(), Failure> {
    let mut command = cargo(PROGRAM);
    command.args(rest);
    rustflags(&mut command, &format!("--cfg esker_sabotage=\"{sabotage}\""));
    command.env("CARGO_TARGET_DIR", target_dir(&format!("sabotage-{sabotage}")));
    let said = listen(&mut command)?;
    if said.success {
        return Err(Failure::failed(format!(
            "without `{sabotage}` every fault ended as promised: the table is blind to it"
        )));
    }
    match said.text.lines().find(|line| FINDINGS.iter().any(|finding| line.starts_with(finding))) {
        Some(finding) => {
            println!("faults: without `{sabotage}`: {finding}");
            Ok(())
        }
        None => Err(Failure::failed(format!("the run without `{sabotage}` ended without a finding"))),
    }
}
