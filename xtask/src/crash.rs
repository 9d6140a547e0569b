//! `cargo xtask crash`: simulated power cuts on one thread, thousands of histories a minute.

use crate::args::Args;
use crate::run::{Failure, cargo, run as execute};
use crate::seeded::Seeded;

const EXAMPLE: &[&str] = &["run", "--release", "-p", "esker-log", "--example", "crash", "--"];

pub(crate) fn run(mut args: Args) -> Result<(), Failure> {
    if args.flag("--exhaustive") {
        args.finish()?;
        return execute(cargo(EXAMPLE).arg("--exhaustive"));
    }
    CRASH.run(args)
}

pub(crate) const CRASH: Seeded = Seeded {
    name: "crash",
    broken: "a simulated power cut broke a promise; its seed is above",
    command: || cargo(EXAMPLE),
    flags: None,
    sabotages: &["sync", "dir_sync", "checksum", "reuse_gate"],
    runs: 1000,
    options: &[],
    switches: &[],
};
