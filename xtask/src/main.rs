//! The project's chores: everything that CI does, one command each.
//!
//! Owns how the project is checked. Refuses to hold any check that `cargo test` could hold: what is here needs the whole
//! workspace, special flags, or another tool. Nothing is skipped silently: a tool that is missing is an error that says
//! so, or is installed with a word; only CI goes on without valgrind, and says that.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command line tool reports on stdout")]

mod args;
mod bench;
mod ci;
mod counts;
mod crash;
mod damages;
mod faults;
mod fuzz;
mod layers;
mod loom;
mod metadata;
mod mutate;
mod package;
mod pages;
mod run;
mod sanitize;
mod seeded;
mod sim;
mod small_disk;
mod tidy;

use std::process::ExitCode;

use crate::args::Args;
use crate::run::Failure;

const HELP: &str = "\
cargo xtask COMMAND

  ci                                   everything that CI runs, in the same order
  tidy                                 rules of the code that neither rustc nor clippy knows
  test [LAYER]                         each layer alone: tests, a build without dev-dependencies, documentation
  bench [NAME] [--list] [-- ARGS]      benchmarks; without a name all of them
  bench compare [--quick] [--rounds N] esker beside its peers and the limits of this machine: tables, charts, targets;
        [--only GROUPS] [--dir PATH]   groups are durable, buffered, append, latency, open, read, memory, bytes;
        [--out PATH] [--check]         with --check its formatting, lints and tests only
  bench pages [--quick] [-- ROWS]      the page store by itself and beside its peers, with a report and charts; rows are
                                       amplification, varied, space, latency, open, gets, and are measured alone
  counts [--bless]                     instructions of the hot paths, counted by callgrind, beside the baseline of the
                                       repository; --bless writes that anew
  fuzz [TARGET|all] [--seconds N]      fuzzing with libFuzzer, 60 seconds each unless told; without a target lists them
  loom [MODEL] [--preemptions N]       models of the engine and of the page table, under every schedule with at most N
                                       preemptions (2)
  loom --mutate [CRATE]                with each ordering of one crate or all weakened, one at a time: a model has to fail
  crash [--seed S] [--runs N]          simulated power cuts; a failing seed is printed and can be run again
        [--sabotage NAME|all]          with a safety measure removed: the runs have to fail
        [--exhaustive]                 every crash state of small workloads, some 66 million
  faults [--markdown] [--times N]      a fault at every I/O call of a workload, one at a time: a table of what was tried
         [--set S] [--phase P]         and whether it ended as promised; the command that repeats a failure is printed;
         [--call C] [--nth N]          options name what is tried, or one of so many
         [--fault F] [--one-in N]
         [--sabotage NAME|all]
  damages [--seed S] [--runs N]        damage to logs at rest, some hundred to each of N logs: a table of what came of it
          [--sabotage NAME|all]
  sim [--seed S] [--runs N]            whole logs under schedules, faults, crashes and damage; a failing seed is shrunk,
      [--lives N] [--writers N]        and the command that repeats it is printed; bounds make a history smaller
      [--calls N] [--no-faults]
      [--writers-only]
      [--sabotage NAME|all]
  pages                                the page store's long tests: crashes of one thread and of many, days near the bound
        [--sabotage NAME|all]          with a safety measure removed: a test has to fail
  small-disk                           logs on real file systems that are full: tmpfs and ext4, where they can be made
  sanitize [address|thread]            the tests under AddressSanitizer or ThreadSanitizer; both unless told
  package [--list]                     each published crate as it would be uploaded: what is in it, and whether it builds
  help                                 this text

The first failure ends a command with exit code 1; a command line that is not understood, with 2.
";

fn main() -> ExitCode {
    let mut args = Args::from_env();
    if args.flag("--help") || args.flag("-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match dispatch(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(what)) => {
            eprintln!("xtask: {what}; see `cargo xtask help`");
            ExitCode::from(2)
        }
        Err(Failure::Failed(what)) => {
            eprintln!("xtask: {what}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(mut args: Args) -> Result<(), Failure> {
    let Some(command) = args.positional() else {
        return Err(Failure::Usage("no command given".into()));
    };
    match command.as_str() {
        "ci" => ci::run(args),
        "tidy" => tidy::run(args),
        "test" => layers::run(args),
        "bench" => bench::run(args),
        "counts" => counts::run(args),
        "fuzz" => fuzz::run(args),
        "loom" => loom::run(args),
        "crash" => crash::run(args),
        "damages" => damages::run(args),
        "package" => package::run(args),
        "pages" => pages::run(args),
        "faults" => faults::run(args),
        "sim" => sim::SIM.run(args),
        "small-disk" => small_disk::run(args),
        "sanitize" => sanitize::run(args),
        "help" => {
            print!("{HELP}");
            args.finish()
        }
        other => Err(Failure::Usage(format!("there is no command `{other}`"))),
    }
}
