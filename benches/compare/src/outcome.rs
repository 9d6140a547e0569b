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
    /// Bytes handed to the system's write calls, per record.
    BytesPerAppend,
    /// The most that was resident at once.
    PeakMegabytes,
}

/// The figures of one measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Outcome(pub(crate) BTreeMap<Metric, f64>);

impl Outcome {
    pub(crate) fn set(&mut self, metric: Metric, value: f64) {
        self.0.insert(metric, value);
    }
}
