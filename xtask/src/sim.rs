//! `cargo xtask sim`: whole logs, their threads under a scheduler that a seed decides, on a disk that loses and fails.

use crate::run::cargo;
use crate::seeded::Seeded;

pub(crate) const SIM: Seeded = Seeded {
    name: "sim",
    broken: "a simulated history broke a promise; the command that repeats it is above",
    command: || cargo(&["run", "--release", "-p", "esker-simulation", "--"]),
    flags: Some(("--cfg shuttle", "shuttle")),
    sabotages: &[
        "sync",
        "dir_sync",
        "early_ack",
        "checksum",
        "lsn",
        "stale_segment",
        "gap",
        "sync_retry",
        "reuse_gate",
        "marks",
        "blob_sync",
        "truncation",
    ],
    runs: 500,
    options: &["--lives", "--writers", "--calls"],
    switches: &["--no-faults", "--writers-only"],
};
