//! `cargo xtask counts`: how many instructions the hot paths take, counted by callgrind and compared with a baseline.
//!
//! Owns the build, the run under valgrind, and the verdict. What is counted is in `benches/counts/main.rs`; why in this way,
//! and what the figures mean, in `benches/README.md`. Refuses to call a difference a regression where compiler, processor or
//! C library differ from those of the baseline: then it reports only.

mod baseline;
mod callgrind;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::args::Args;
use crate::run::{Failure, cargo, listen, root, run as execute, target_dir};
use baseline::{Baseline, Count, Machine, Verdict};

const PROGRAM: &str = "counts";
const PACKAGE: &str = "esker-benches";
const BASELINE: &str = "benches/counts/baseline.txt";
/// What the functions of the program are called that callgrind looks for.
const COLLECTED: &str = "*collected_by_callgrind*";
const WRITTEN_OUT: &str = "*written_out_by_callgrind*";

pub(crate) fn run(mut args: Args) -> Result<(), Failure> {
    let bless = args.flag("--bless");
    args.finish()?;
    let valgrind = valgrind().ok_or_else(|| {
        Failure::failed(
            "instructions are counted by valgrind, which is not there; install it, as `valgrind`, and try again",
        )
    })?;
    let counted = count(&valgrind)?;
    if bless { write(&counted) } else { compare(&counted) }
}

/// What CI asks. Where there is no valgrind nothing is counted, and that is said.
pub(crate) fn check() -> Result<(), Failure> {
    match valgrind() {
        Some(valgrind) => compare(&count(&valgrind)?),
        None => {
            println!("counts: there is no valgrind here, so no instructions were counted and nothing was compared");
            Ok(())
        }
    }
}

/// The version that valgrind says it has, if it is there.
fn valgrind() -> Option<String> {
    output(Command::new("valgrind").arg("--version"))
}

/// What a program that succeeds says on its first line.
fn output(command: &mut Command) -> Option<String> {
    let output = command.current_dir(root()).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned())
}

/// Builds the program, runs it under callgrind, and returns what was counted.
fn count(valgrind: &str) -> Result<Baseline, Failure> {
    // No flags but those of the profile, whatever the environment says: they would change the code that is counted.
    let mut build = cargo(&["build", "--release", "--locked", "-p", PACKAGE, "--bin", PROGRAM]);
    execute(build.env("CARGO_ENCODED_RUSTFLAGS", "").env_remove("CARGO_BUILD_TARGET"))?;
    let folder = empty_folder()?;
    let files = folder.join("callgrind");
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=callgrind", "--compress-strings=no", "--compress-pos=no"]);
    command.arg(format!("--toggle-collect={COLLECTED}")).arg(format!("--dump-after={WRITTEN_OUT}"));
    command.arg(format!("--callgrind-out-file={}", files.display())).arg(target_dir("release").join(PROGRAM));
    let said = listen(&mut command)?;
    if !said.success {
        return Err(Failure::failed("the hot paths did not run to their end under valgrind"));
    }
    let report = callgrind::Report::parse(&said.text).map_err(Failure::Failed)?;
    let mut counts = Vec::new();
    for (at, path) in report.paths.into_iter().enumerate() {
        let file = files.with_extension((at + 1).to_string());
        let text = fs::read_to_string(&file).map_err(|error| unreadable(&file, error))?;
        let sum = callgrind::sum(&text, PROGRAM).map_err(|what| unreadable(&file, what))?;
        counts.push(Count::of(path.name, sum, path.operations));
    }
    let extra = files.with_extension((counts.len() + 1).to_string());
    if counts.is_empty() || extra.exists() {
        return Err(Failure::failed("callgrind did not write one file for each path: were its functions inlined?"));
    }
    counts.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Baseline { machine: machine(report.features, valgrind), counts })
}

fn empty_folder() -> Result<PathBuf, Failure> {
    let folder = target_dir(PROGRAM);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| unreadable(&folder, error))?;
    }
    fs::create_dir_all(&folder).map_err(|error| unreadable(&folder, error))?;
    Ok(folder)
}

fn unreadable(path: &Path, what: impl std::fmt::Display) -> Failure {
    Failure::failed(format!("{}: {what}", path.display()))
}

fn machine(features: String, valgrind: &str) -> Machine {
    let unknown = || "unknown".to_owned();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    Machine {
        rustc: output(Command::new(rustc).arg("--version")).unwrap_or_else(unknown),
        processor: format!("{} with {features}", std::env::consts::ARCH),
        library: format!(
            "{} under {valgrind}",
            output(Command::new("getconf").arg("GNU_LIBC_VERSION")).unwrap_or_else(unknown)
        ),
    }
}

fn write(counted: &Baseline) -> Result<(), Failure> {
    let path = root().join(BASELINE);
    fs::write(&path, counted.to_string()).map_err(|error| unreadable(&path, error))?;
    println!("counts: {} paths written to {BASELINE}", counted.counts.len());
    Ok(())
}

fn compare(counted: &Baseline) -> Result<(), Failure> {
    let path = root().join(BASELINE);
    let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
    let expected: Baseline = text.parse().map_err(|what: String| unreadable(&path, what))?;
    let rows = expected.compare(counted);
    println!("\n{}", baseline::table(&rows));
    let differences = expected.machine.differences(&counted.machine);
    for difference in &differences {
        println!("counts: {difference}");
    }
    let worse: Vec<_> = rows.iter().filter(|row| row.verdict == Verdict::Worse).map(|row| row.path.as_str()).collect();
    let unpaired = rows.iter().filter(|row| row.verdict == Verdict::Unpaired).count();
    if rows.iter().any(|row| row.verdict == Verdict::Better) {
        println!("counts: some paths take fewer instructions now; `cargo xtask counts --bless` holds them to it");
    }
    if unpaired > 0 {
        return Err(Failure::failed(format!(
            "{unpaired} paths are not both in {BASELINE} and in the program; `cargo xtask counts --bless` writes it anew"
        )));
    }
    if !worse.is_empty() {
        return Err(Failure::failed(format!(
            "more instructions than {BASELINE} allows: {}; if they are worth it, `cargo xtask counts --bless` says so",
            worse.join(", ")
        )));
    }
    Ok(())
}
