//! `cargo xtask package`: each published crate as it would be uploaded.
//!
//! Owns what has to be in it. cargo builds each from its own files, and those below it from theirs.

use std::{path::Path, process::Command};

use crate::args::Args;
use crate::metadata::members;
use crate::run::{Failure, cargo, run as execute};

/// What every crate has to bring.
const FILES: &[&str] = &["Cargo.toml", "README.md", "LICENSE-MIT", "LICENSE-APACHE", "src/"];
/// More than the largest crate takes; what is larger has something in it by mistake.
const BYTES_MAX: u64 = 1 << 20;

pub(crate) fn run(mut args: Args) -> Result<(), Failure> {
    let list = args.flag("--list");
    args.finish()?;
    contents(list)?;
    if list {
        return Ok(());
    }
    let (published, kept): (Vec<_>, Vec<_>) = members()?.into_iter().partition(|member| member.published);
    let mut command = cargo(&["package", "--workspace", "--locked", "--allow-dirty"]);
    for member in &kept {
        command.args(["--exclude", &member.name]);
    }
    execute(&mut command)?;
    let mut wrong = Vec::new();
    for member in &published {
        let made = crate::run::target_dir("package").join(format!("{}-{}.crate", member.name, member.version));
        let bytes = bytes(&made)?;
        println!("{bytes:>9} bytes  {}", member.name);
        if bytes > BYTES_MAX {
            wrong.push(format!("{} takes {bytes} bytes, more than {BYTES_MAX}", member.name));
        }
    }
    told(&wrong)
}

/// Looks into each, without building it.
pub(crate) fn check_contents() -> Result<(), Failure> {
    contents(false)
}

fn contents(list: bool) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    for member in members()?.iter().filter(|member| member.published) {
        let files = files(&member.name)?;
        println!("{}: {} files", member.name, files.lines().count());
        if list {
            print!("{files}");
        }
        wrong.extend(missing(&files).into_iter().map(|file| format!("{} has no {file}", member.name)));
    }
    told(&wrong)
}

fn told(wrong: &[String]) -> Result<(), Failure> {
    if wrong.is_empty() { Ok(()) } else { Err(Failure::Failed(format!("package: {}", wrong.join("; ")))) }
}

fn files(name: &str) -> Result<String, Failure> {
    let mut command: Command = cargo(&["package", "--list", "--allow-dirty", "-p", name]);
    let output = command.output().map_err(|error| Failure::failed(format!("cannot run cargo package: {error}")))?;
    if !output.status.success() {
        return Err(Failure::failed(format!("cargo package: {}", String::from_utf8_lossy(&output.stderr))));
    }
    String::from_utf8(output.stdout).map_err(Failure::failed)
}

fn missing(files: &str) -> Vec<&'static str> {
    let there = |wanted: &str| {
        let is_folder = wanted.ends_with('/');
        files.lines().any(|file| if is_folder { file.starts_with(wanted) } else { file == wanted })
    };
    FILES.iter().copied().filter(|wanted| !there(wanted)).collect()
}

fn bytes(file: &Path) -> Result<u64, Failure> {
    let metadata = std::fs::metadata(file).map_err(|error| Failure::failed(format!("{}: {error}", file.display())))?;
    Ok(metadata.len())
}

#[cfg(test)]
mod tests {
    use super::missing;

    #[test]
    fn what_is_missing_is_named() {
        let all = "Cargo.toml\nLICENSE-APACHE\nLICENSE-MIT\nREADME.md\nsrc/lib.rs\n";
        assert!(missing(all).is_empty());
        assert_eq!(missing(&all.replace("README.md", "docs/README.md")), ["README.md"]);
        assert_eq!(missing("Cargo.toml\nREADME.md\nLICENSE-MIT\n"), ["LICENSE-APACHE", "src/"]);
    }
}
