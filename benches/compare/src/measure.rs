//! What can be measured, and the task that a child process is given.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::contender::Contender;

/// One measure. Together with a contender it is a cell of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Measure {
    /// Each append waits until it is durable itself.
    Durable { writers: u32, record_bytes: u32 },
    /// One thread with many appends under way: when `in_flight` are, the older half is waited for.
    Window { in_flight: u32, record_bytes: u32 },
    /// Large sequential writes over blocks that are written, each followed by a sync.
    Bandwidth,
    /// Nothing is waited for, but one sync at the end.
    Buffered { writers: u32, record_bytes: u32 },
}

impl Measure {
    /// A short name, for rows and progress.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Durable { writers, record_bytes } => {
                format!("durable, {}, {}", bytes(record_bytes), count(writers, "writer"))
            }
            Self::Window { in_flight, record_bytes } => {
                format!("durable, {}, one thread with {in_flight} in flight", bytes(record_bytes))
            }
            Self::Bandwidth => "sequential writes of 1 MiB, each synced".to_owned(),
            Self::Buffered { writers, record_bytes } => {
                format!("buffered, {}, {}", bytes(record_bytes), count(writers, "writer"))
            }
        }
    }
}

/// `256 B`, `4 KiB`.
pub(crate) fn bytes(bytes: u32) -> String {
    if bytes >= 1024 && bytes.is_multiple_of(1024) { format!("{} KiB", bytes / 1024) } else { format!("{bytes} B") }
}

fn count(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What a child process does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) measure: Measure,
    pub(crate) contender: Contender,
    /// An empty directory for the contender's files.
    pub(crate) dir: PathBuf,
    /// How long to measure what takes as long as one likes.
    pub(crate) millis: u64,
    /// How many payload bytes to append or to prepare, where that is what ends a measurement.
    pub(crate) bytes: u64,
}
