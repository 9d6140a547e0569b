//! `cargo xtask crash`: simulated power cuts on one thread, thousands of histories a minute.

use crate::run::cargo;
use crate::seeded::Seeded;

pub(crate) const CRASH: Seeded = Seeded {
    name: "crash",
    broken: "a simulated power cut broke a promise; its seed is above",
    command: || cargo(&["run", "--release", "-p", "esker-log", "--example", "crash", "--"]),
    flags: None,
    sabotages: &["sync", "dir_sync", "checksum", "reuse_gate"],
    runs: 1000,
    options: &[],
    switches: &[],
};
