//! What can go wrong.

use esker_log::Lsn;
use thiserror::Error;

/// Why an operation was not done.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// There is something between the last entry of the group and the one that was to be appended. Nothing was done.
    #[error("group {group} ends before entry {expected}, so that entry {index} would leave a gap")]
    Gap {
        /// Which group.
        group: u64,
        /// The entry that was to be appended.
        index: u64,
        /// The next one that the group has not.
        expected: u64,
    },
    /// A record in the log is none of a Raft log, or does not follow from those before it.
    #[error("at lsn {lsn} is {reason}")]
    Damaged {
        /// Where it is.
        lsn: Lsn,
        /// What is found there.
        reason: &'static str,
    },
    /// What the log below says: damage, a failing or full disk, a log that has stopped.
    #[error(transparent)]
    Log(#[from] esker_log::Error),
}
