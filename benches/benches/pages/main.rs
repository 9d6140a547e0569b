//! The page store: what cleaning writes, what it takes of the disk and of a writer's time, how soon it opens, how fast it
//! reads.
//!
//! ```text
//! cargo xtask bench pages -- [amplification | varied | space | latency | open | gets]... [--quick] [--dir DIR] [--out FILE]
//! ```
#![expect(clippy::print_stdout, reason = "a benchmark reports on stdout")]

mod amplification;
mod draw;
mod gets;
mod latency;
mod machine;
mod open;
mod space;
mod table;
mod varied;

use std::{path::PathBuf, process::ExitCode};

use crate::table::Report;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Fallible<T = ()> = Result<T, Failure>;

/// What was asked for.
struct Args {
    names: Vec<String>,
    quick: bool,
    /// Where the files go.
    dir: Option<PathBuf>,
    /// Which shares of the segments are live, for `amplification`.
    fills: Vec<f64>,
    /// Where `amplification` leaves the pages that it wrote, in their order.
    traces: Option<PathBuf>,
    /// Where to leave what was found, as JSON.
    out: Option<PathBuf>,
    /// Set in the process that is killed.
    child: Option<PathBuf>,
}

const NAMES: [&str; 6] = ["amplification", "varied", "space", "latency", "open", "gets"];

fn main() -> ExitCode {
    match parse().and_then(|args| run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pages: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse() -> Fallible<Args> {
    use lexopt::{Arg, ValueExt};
    let mut args =
        Args { names: Vec::new(), quick: false, dir: None, fills: Vec::new(), traces: None, out: None, child: None };
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            // Cargo's.
            Arg::Long("bench") => (),
            Arg::Long("quick") => args.quick = true,
            Arg::Long("dir") => args.dir = Some(parser.value()?.into()),
            Arg::Long("fill") => args.fills.push(parser.value()?.parse()?),
            Arg::Long("traces") => args.traces = Some(parser.value()?.into()),
            Arg::Long("out") => args.out = Some(parser.value()?.into()),
            Arg::Long("child") => args.child = Some(parser.value()?.into()),
            Arg::Value(name) => {
                let name = name.string()?;
                if !NAMES.contains(&name.as_str()) {
                    return Err(format!("there is no `{name}`, only {}", NAMES.join(", ")).into());
                }
                args.names.push(name);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(args)
}

fn run(args: &Args) -> Fallible {
    if let Some(dir) = &args.child {
        return open::fill_and_wait(dir, args.quick);
    }
    let mut report = Report::default();
    for name in NAMES {
        if !args.names.is_empty() && args.names.iter().all(|wanted| wanted != name) {
            continue;
        }
        match name {
            "amplification" => amplification::run(args, &mut report)?,
            "varied" => varied::run(args, &mut report)?,
            "space" => space::run(args, &mut report)?,
            "latency" => latency::run(args, &mut report)?,
            "open" => open::run(args, &mut report)?,
            _ => gets::run(args, &mut report)?,
        }
    }
    args.out.as_ref().map_or(Ok(()), |out| report.write(out))
}
