//! `cargo xtask bench`: the benchmarks of package `esker-benches`.

use crate::args::Args;
use crate::metadata::members;
use crate::run::{Failure, cargo, run as execute};

const PACKAGE: &str = "esker-benches";

pub(crate) fn run(mut args: Args) -> Result<(), Failure> {
    let list = args.flag("--list");
    let name = args.positional();
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

fn names() -> Result<Vec<String>, Failure> {
    let members = members()?;
    let package = members.into_iter().find(|member| member.name == PACKAGE);
    let package = package.ok_or_else(|| Failure::failed(format!("there is no package {PACKAGE}")))?;
    let benches = package.targets.into_iter().filter(|(kind, _)| kind == "bench");
    let names: Vec<String> = benches.map(|(_, name)| name).collect();
    if names.is_empty() { Err(Failure::failed(format!("{PACKAGE} has no benchmarks"))) } else { Ok(names) }
}
