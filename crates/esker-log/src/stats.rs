//! What a log has done.

/// Counters of an open log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// What the engine did since the log was opened.
    pub engine: esker_iobufs::Stats,
    /// The state of the segments now.
    pub segments: esker_segments::Stats,
    /// What reading in the background has found: see [`Options::scrub_bytes_per_second`](crate::Options::scrub_bytes_per_second).
    pub scrub: crate::ScrubStats,
}
