//! esker beside its peers and beside the limits of the machine.
//!
//! Owns what is measured, how, and how it is told; `cargo xtask bench compare` runs it. Every measurement is a child
//! process of its own (this program again, with a task as its argument), so that peak memory and processor time are
//! that contender's alone. Contenders take turns within a round, and every record that was appended is read back
//! through the contender's own interface and counted. Refuses to say anything it has not measured.
#![expect(clippy::print_stdout, reason = "a benchmark reports on stdout")]

mod args;
mod chart;
mod child;
mod contender;
mod found;
mod frames;
mod guest;
mod machine;
mod measure;
mod outcome;
mod pages;
mod plan;
mod proc;
mod record;
mod report;
mod run;
mod stats;
mod table;
mod targets;
mod workload;

use std::process::ExitCode;

/// What goes wrong in a benchmark ends that measurement; nobody tells the kinds apart.
type Failure = Box<dyn std::error::Error + Send + Sync>;
type Fallible<T = ()> = Result<T, Failure>;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let done = match arguments.next().as_deref() {
        Some(child::COMMAND) => child::main(arguments.next().as_deref()),
        _ => args::parse().and_then(|args| run::run(&args)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("esker-compare: {error}");
            ExitCode::FAILURE
        }
    }
}
