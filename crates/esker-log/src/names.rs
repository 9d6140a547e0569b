//! The names of a log's files in its directory.

/// Held by whoever has the log open for writing.
pub(crate) const LOCK: &str = "lock";
/// The two copies of the superblock.
pub(crate) const SUPERBLOCK: &str = "superblock";
/// The superblock of a log that is being created.
pub(crate) const SUPERBLOCK_NEW: &str = "superblock.tmp";
/// When segments were begun, where that matters.
pub(crate) const TIMES: &str = "times";
/// The same, while it is written anew.
pub(crate) const TIMES_NEW: &str = "times.tmp";
/// The segments.
pub(crate) const LOG: &str = "log";
