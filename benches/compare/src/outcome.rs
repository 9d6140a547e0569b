//! What one measurement found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A figure that a measurement may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    /// Records, or reads, per second.
    PerSecond,
    /// The same without the sync at the end.
    PerSecondUnsynced,
    /// Payload megabytes per second.
    MegabytesPerSecond,
    /// Latency of one operation.
    P50Micros,
    P99Micros,
    P999Micros,
    MaxMicros,
    /// Processor seconds, user and system, per million operations.
    CpuSecondsPerMillion,
    SyncsPerAppend,
    /// Durable appends per second beside those that are measured.
    SyncsPerSecond,
    /// Bytes handed to the system's write calls, per record.
    BytesPerAppend,
    /// The most that was resident at once.
    PeakMegabytes,
    /// How long opening took.
    OpenMillis,
    /// Memory that belongs to no file: the most, less what there was before the log was opened.
    GrowthMegabytes,
    /// The same of the first part and of the last part of what was appended.
    FirstGrowthMegabytes,
    LastGrowthMegabytes,
    /// What the log's I/O buffers come to.
    BufferMegabytes,
    /// Bytes handed to the storage, for each byte of payload: headers, padding and marks.
    WrittenRatio,
    /// Of these, padding.
    PadRatio,
    /// The same bytes with each write rounded out to whole blocks of the file system.
    BlockRatio,
    /// What the files take of the disk, for each byte of the pages in them.
    SpaceRatio,
    /// What the system says was handed to its write calls, for each byte of payload.
    SystemRatio,
}

/// The figures of one measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) figures: BTreeMap<Metric, f64>,
    /// A figure that was taken again and again, for a chart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) series: Vec<f64>,
}

impl Outcome {
    pub(crate) fn set(&mut self, metric: Metric, value: f64) {
        self.figures.insert(metric, value);
    }
}
