//! What can be asked of `torture`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, value_parser};

use crate::size;

/// Kill processes that append, at random moments, and check what they left
///
/// Each round starts this command again as a process that appends with several threads and reports every acknowledgement,
/// and kills it: while it opens the log, or while it works; or stops it and lets it go on, or has two of them race for the
/// log. What is left is then read, opened for writing in every other round, and compared with what was acknowledged. DIR
/// must be empty or not exist; it is kept. The exit code is 1 if a promise was broken.
#[derive(Debug, Args)]
pub(crate) struct Torture {
    /// An empty directory for the log
    pub(crate) dir: PathBuf,

    /// How many rounds
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) rounds: u32,

    /// What the random choices begin with; the moments depend on the machine all the same
    #[arg(long, value_name = "SEED")]
    pub(crate) seed: Option<u64>,

    /// How many threads append in each process
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u16).range(1..=1024))]
    pub(crate) writers: u16,

    /// The log is truncated when it becomes longer than this
    #[arg(long, value_name = "SIZE", default_value = "2MiB", value_parser = size::parse)]
    pub(crate) keep: u32,

    /// Damages the log after a kill, to show that this is noticed
    #[arg(long, hide = true)]
    pub(crate) sabotage: Option<Sabotage>,
}

/// What is done to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sabotage {
    /// A bit of an acknowledged record is flipped
    Flip,
    /// The log ends before the last acknowledged record
    Cut,
}

/// The process that `torture` kills
#[derive(Debug, Args)]
pub(crate) struct Life {
    pub(crate) dir: PathBuf,
    #[arg(long)]
    pub(crate) seed: u64,
    #[arg(long)]
    pub(crate) life: u32,
    #[arg(long)]
    pub(crate) writers: u16,
    #[arg(long)]
    pub(crate) keep: u32,
}
