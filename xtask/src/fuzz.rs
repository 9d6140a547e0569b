//! `cargo xtask fuzz`: the targets of the `fuzz` workspace under libFuzzer, for a given time.
//!
//! Works on stable Rust: `cargo fuzz` without a sanitizer needs no nightly compiler. It needs a C++ compiler, because
//! libFuzzer is C++.

use std::fs;
use std::path::PathBuf;

use crate::args::Args;
use crate::run::{Failure, cargo, listen, root, run as execute};

const SECONDS: u32 = 60;

pub(crate) fn run(mut args: Args) -> Result<(), Failure> {
    let seconds = args.value("--seconds")?.unwrap_or(SECONDS);
    let target = args.positional();
    args.finish()?;
    let targets = targets()?;
    match target.as_deref() {
        None => {
            targets.iter().for_each(|target| println!("{target}"));
            Ok(())
        }
        Some("all") => all(seconds),
        Some(target) if targets.iter().any(|known| known == target) => {
            install()?;
            fuzz(target, seconds)
        }
        Some(target) => {
            Err(Failure::Usage(format!("there is no fuzz target `{target}`, only {} and all", targets.join(", "))))
        }
    }
}

/// Every target, one after the other.
pub(crate) fn all(seconds: u32) -> Result<(), Failure> {
    let targets = targets()?;
    install()?;
    targets.iter().try_for_each(|target| fuzz(target, seconds))
}

/// The kept inputs again, and the form of a workspace that the other commands do not see.
pub(crate) fn replay() -> Result<(), Failure> {
    execute(cargo(&["fmt", "--check"]).current_dir(folder()))?;
    execute(cargo(&["clippy", "--all-targets", "--", "-D", "warnings"]).current_dir(folder()))?;
    execute(cargo(&["test"]).current_dir(folder()))
}

fn fuzz(target: &str, seconds: u32) -> Result<(), Failure> {
    let time = format!("-max_total_time={seconds}");
    let said = listen(cargo(&["fuzz", "run", "-s", "none", target, "--", &time]).current_dir(folder()))?;
    if !said.success {
        return Err(Failure::failed(format!("fuzz target {target} failed; the input is in fuzz/artifacts/{target}")));
    }
    let Some((executions, seconds)) = executions(&said.text) else {
        return Err(Failure::failed(format!("fuzz target {target} ended without saying how much it ran")));
    };
    println!("fuzz: {target} ran {executions} executions in {seconds} seconds and found nothing");
    Ok(())
}

/// From libFuzzer's closing line: `Done 123 runs in 4 second(s)`.
fn executions(text: &str) -> Option<(u64, u64)> {
    let done = text.lines().rev().find_map(|line| line.strip_prefix("Done "))?;
    let (runs, rest) = done.split_once(" runs in ")?;
    Some((runs.parse().ok()?, rest.split(' ').next()?.parse().ok()?))
}

fn folder() -> PathBuf {
    root().join("fuzz")
}

/// The names of the targets: each is a file of `fuzz_targets`.
fn targets() -> Result<Vec<String>, Failure> {
    let folder = folder().join("fuzz_targets");
    let cannot = |error: std::io::Error| Failure::failed(format!("{}: {error}", folder.display()));
    let mut targets = Vec::new();
    for entry in fs::read_dir(&folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            targets.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    targets.sort();
    if targets.is_empty() { Err(Failure::failed("there are no fuzz targets")) } else { Ok(targets) }
}

fn install() -> Result<(), Failure> {
    let there = cargo(&["fuzz", "--version"]).output().is_ok_and(|output| output.status.success());
    if there {
        return Ok(());
    }
    println!("cargo-fuzz is not installed; installing it takes about a minute");
    execute(&mut cargo(&["install", "cargo-fuzz", "--locked"]))
}

#[cfg(test)]
mod tests {
    use super::executions;

    #[test]
    fn executions_are_read_from_the_closing_line() {
        let said = "#2\tINITED cov: 12\n#1048576\tpulse\nDone 2031442 runs in 11 second(s)\n";
        assert_eq!(executions(said), Some((2_031_442, 11)));
        assert_eq!(executions("==1== ERROR: libFuzzer: deadly signal\n"), None);
    }
}
