//! `cargo xtask damages`: damage to logs at rest, of every kind and in every place.

use crate::args::Args;
use crate::run::{Failure, cargo};
use crate::seeded::Seeded;

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    DAMAGES.run(args)
}

pub(crate) const DAMAGES: Seeded = Seeded {
    name: "damages",
    broken: "damage was passed off as something else; the seed of the log is above",
    command: || cargo(&["run", "--release", "-p", "esker-log", "--example", "damages", "--"]),
    flags: None,
    sabotages: &["checksum", "lsn", "marks"],
    runs: 200,
    options: &[],
    switches: &[],
};
