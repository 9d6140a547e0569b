//! What can be measured, and the task that a child process is given.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{contender::Contender, outcome::Metric};

/// One measure. Together with a contender it is a cell of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Measure {
    /// Each append waits until it is durable itself.
    Durable { writers: u32, record_bytes: u32 },
    /// One thread with many appends under way: when `in_flight` are, the older half is waited for.
    Window { in_flight: u32, record_bytes: u32 },
    /// As many Raft groups as writers share a log; each entry is waited for until it is durable.
    Groups { groups: u32, record_bytes: u32 },
    /// One thread with so many futures under way, each of which awaits its own record.
    Tickets { in_flight: u32, record_bytes: u32 },
    /// Large sequential writes over blocks that are written, each followed by a sync.
    Bandwidth,
    /// Nothing is waited for, but one sync at the end.
    Buffered { writers: u32, record_bytes: u32 },
    /// The path of an append alone: claim, copy, checksum, over a storage that forgets.
    AppendPath { writers: u32, record_bytes: u32 },
    /// How long a buffered append of 256 bytes by two writers takes while a third thread makes everything durable without
    /// pause.
    Latency { pace: Pace },
    /// Opening a log and going over all its records of 256 bytes, which the page cache holds.
    Iterate,
    /// Opening alone.
    Open { log_mib: u32, ending: Ending },
    /// Two threads read records of 256 bytes at random places.
    RandomRead { from: Place },
    /// How memory grows while one appends at full speed.
    Memory,
    /// Two threads replace and get pages of 1 KiB at random and make them durable every 100 operations.
    ReplaceGet { pages: u32 },
    /// Bytes that reach the device for each byte of payload, with 16 durable writers of 256 bytes.
    DeviceBytes,
}

/// How fast appends follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Pace {
    /// At 20,000 a second from each writer, far below what the disk takes.
    Slow,
    /// As fast as they return.
    Full,
}

/// How the log that is opened was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Ending {
    /// Closed.
    Closed,
    /// Its process was killed while it appended at full speed and waited for nothing.
    Killed,
}

/// Where the records are that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Place {
    /// In the file, which the page cache holds.
    File,
    /// In a buffer that is not written yet.
    Buffer,
}

/// What latencies of appends that wait for nothing are measured with.
pub(crate) const LATENCY_WRITERS: u32 = 2;
/// The record of all measures that do not say another.
pub(crate) const RECORD_BYTES: u32 = 256;
/// The writers of `DeviceBytes`.
pub(crate) const DEVICE_WRITERS: u32 = 16;

impl Measure {
    /// The figure that it is about, and what that is called.
    pub(crate) fn primary(self) -> (Metric, &'static str) {
        match self {
            Self::Bandwidth => (Metric::MegabytesPerSecond, "MB/s"),
            Self::Latency { .. } => (Metric::P50Micros, "µs p50"),
            Self::Iterate => (Metric::PerSecond, "records/s"),
            Self::Open { .. } => (Metric::OpenMillis, "ms"),
            Self::RandomRead { .. } => (Metric::PerSecond, "reads/s"),
            Self::Memory => (Metric::GrowthMegabytes, "MB growth"),
            Self::ReplaceGet { .. } => (Metric::PerSecond, "operations/s"),
            Self::DeviceBytes => (Metric::WrittenRatio, "bytes/byte"),
            Self::Durable { .. }
            | Self::Window { .. }
            | Self::Tickets { .. }
            | Self::Groups { .. }
            | Self::Buffered { .. }
            | Self::AppendPath { .. } => (Metric::PerSecond, "appends/s"),
        }
    }

    /// Whether each append is to be durable by itself.
    pub(crate) fn is_durable(self) -> bool {
        matches!(
            self,
            Self::Durable { .. }
                | Self::Window { .. }
                | Self::Tickets { .. }
                | Self::Groups { .. }
                | Self::ReplaceGet { .. }
        )
    }

    /// A short name, for rows and progress.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Durable { writers, record_bytes } => {
                format!("durable, {}, {}", bytes(record_bytes), count(writers, "writer"))
            }
            Self::Window { in_flight, record_bytes } => {
                format!("durable, {}, one thread with {in_flight} in flight", bytes(record_bytes))
            }
            Self::Tickets { in_flight, record_bytes } => {
                format!("durable, {}, one thread with {in_flight} futures", bytes(record_bytes))
            }
            Self::Groups { groups, record_bytes } => {
                format!("Raft, durable entries of {}, {}", bytes(record_bytes), count(groups, "group"))
            }
            Self::Bandwidth => "sequential writes of 1 MiB, each synced".to_owned(),
            Self::Buffered { writers, record_bytes } => {
                format!("buffered, {}, {}", bytes(record_bytes), count(writers, "writer"))
            }
            Self::AppendPath { writers, record_bytes } => {
                format!("append path over a null storage, {}, {}", bytes(record_bytes), count(writers, "writer"))
            }
            Self::Latency { pace: Pace::Slow } => {
                "latency of a buffered append, 20,000/s from each of 2 writers".to_owned()
            }
            Self::Latency { pace: Pace::Full } => "latency of a buffered append, 2 writers at full speed".to_owned(),
            Self::Iterate => "open and iterate, 256 B".to_owned(),
            Self::Open { log_mib, ending } => {
                let size = if log_mib >= 1024 { format!("{} GiB", log_mib / 1024) } else { format!("{log_mib} MiB") };
                let ending = match ending {
                    Ending::Closed => "closed",
                    Ending::Killed => "killed while appending",
                };
                format!("open {size}, {ending}")
            }
            Self::RandomRead { from: Place::File } => "random reads, 256 B, 2 threads, from the file".to_owned(),
            Self::RandomRead { from: Place::Buffer } => "random reads, 256 B, 2 threads, not yet written".to_owned(),
            Self::Memory => "memory while appending at full speed".to_owned(),
            Self::ReplaceGet { pages } => {
                format!("replace and get of {pages} pages of 1 KiB at random, 2 threads, durable every 100")
            }
            Self::DeviceBytes => "bytes written per byte of payload, 256 B, 16 durable writers".to_owned(),
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

/// Which part of a measure a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// Makes the log that all rounds use.
    Prepare,
    /// Appends until it is killed. Says by a file that it has appended enough for that.
    Crash,
    /// Measures.
    Run,
}

/// What a child process does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) step: Step,
    pub(crate) measure: Measure,
    pub(crate) contender: Contender,
    /// A directory for the contender's files: empty, or prepared.
    pub(crate) dir: PathBuf,
    /// How long to measure what takes as long as one likes.
    pub(crate) millis: u64,
    /// How many payload bytes to append or to prepare, where that is what ends a measurement.
    pub(crate) bytes: u64,
}
