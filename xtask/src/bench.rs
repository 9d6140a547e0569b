//! `cargo xtask bench`: the benchmarks of package `esker-benches`, and the comparison with other logs.

use std::ffi::OsString;

use crate::args::Args;
use crate::metadata::members;
use crate::run::{Failure, cargo, run as execute, target_dir};

const PACKAGE: &str = "esker-benches";
/// The name of the comparison, which is a workspace of its own.
const COMPARE: &str = "compare";
/// The benchmark that is told together with a comparison of its own.
const PAGES: &str = "pages";
const COMPARE_MANIFEST: &str = "benches/compare/Cargo.toml";

pub(crate) fn run(mut args: Args) -> Result<(), Failure> {
    let name = args.positional();
    if name.as_deref() == Some(COMPARE) {
        return compare(args);
    }
    let list = args.flag("--list");
    if name.as_deref() == Some(PAGES) && !list {
        return pages(args);
    }
    let rest = args.rest();
    args.finish()?;
    let names = names()?;
    if list {
        names.iter().for_each(|name| println!("{name}"));
        return Ok(());
    }
    let chosen = match &name {
        Some(name) if names.contains(name) => std::slice::from_ref(name),
        Some(name) => {
            return Err(Failure::Usage(format!("there is no benchmark `{name}`, only {}", names.join(", "))));
        }
        None => &names[..],
    };
    for name in chosen {
        let mut command = cargo(&["bench", "-p", PACKAGE, "--bench", name, "--"]);
        execute(command.args(&rest))?;
    }
    Ok(())
}

/// The page store by itself and beside others, in one report. Rows that are named are measured alone, and told on the terminal.
fn pages(mut args: Args) -> Result<(), Failure> {
    let quick = args.flag("--quick");
    let mut rest = args.rest();
    args.finish()?;
    if quick {
        rest.push("--quick".into());
    }
    let is_all = rest.iter().all(|arg| arg == "--quick");
    let out = target_dir("bench-pages");
    std::fs::create_dir_all(&out).map_err(|error| Failure::failed(format!("{}: {error}", out.display())))?;
    let found = out.join("pages.json");
    let mut command = cargo(&["bench", "-p", PACKAGE, "--bench", PAGES, "--"]);
    command.args(&rest);
    if is_all {
        command.arg("--out").arg(&found);
    }
    execute(&mut command)?;
    if !is_all {
        return Ok(());
    }
    let mut command = compare_cargo(&["run", "--quiet", "--locked", "--release"]);
    command.args(["--", "--only", PAGES, "--with"]).arg(found).arg("--out").arg(out);
    execute(command.args(rest))
}

/// Builds the comparison and hands it its part of the command line.
fn compare(mut args: Args) -> Result<(), Failure> {
    let check = args.flag("--check");
    let mut options = Vec::new();
    if args.flag("--quick") {
        options.push("--quick".into());
    }
    for name in ["--rounds", "--only", "--dir"] {
        if let Some(value) = args.value::<String>(name)? {
            options.extend([name.into(), value.into()]);
        }
    }
    let out = args.value::<String>("--out")?.map_or_else(|| target_dir("bench-compare").into(), OsString::from);
    options.extend(["--out".into(), out]);
    args.finish()?;
    if check {
        return check_compare();
    }
    let mut command = compare_cargo(&["run", "--quiet", "--locked", "--release"]);
    execute(command.arg("--").args(options))
}

/// What CI asks of every package, of this one.
pub(crate) fn check_compare() -> Result<(), Failure> {
    execute(&mut cargo(&["fmt", "--manifest-path", COMPARE_MANIFEST, "--check"]))?;
    execute(compare_cargo(&["clippy", "--locked", "--all-targets"]).args(["--", "-D", "warnings"]))?;
    execute(&mut compare_cargo(&["test", "--locked"]))
}

/// Cargo, in the comparison's workspace, with the build beside everybody else's.
fn compare_cargo(command: &[&str]) -> std::process::Command {
    let mut cargo = cargo(command);
    cargo.args(["--manifest-path", COMPARE_MANIFEST, "--target-dir"]).arg(target_dir(COMPARE));
    cargo
}

fn names() -> Result<Vec<String>, Failure> {
    let members = members()?;
    let package = members.into_iter().find(|member| member.name == PACKAGE);
    let package = package.ok_or_else(|| Failure::failed(format!("there is no package {PACKAGE}")))?;
    let benches = package.targets.into_iter().filter(|(kind, _)| kind == "bench");
    let names: Vec<String> = benches.map(|(_, name)| name).collect();
    if names.is_empty() { Err(Failure::failed(format!("{PACKAGE} has no benchmarks"))) } else { Ok(names) }
}
