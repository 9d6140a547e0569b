//! Counts for people and policies. Refuses to be a source of decisions inside the accountant.

/// How many slots are in which state, and how full the log is. All counts are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Slots in the file: the sum of the five states.
    pub slots: u32,
    /// Slots that an allocation may take.
    pub free: u32,
    /// Segments that the log is being written to.
    pub active: u32,
    /// Segments that are only read.
    pub inactive: u32,
    /// Segments that are being emptied.
    pub draining: u32,
    /// Slots that wait for a gate.
    pub freed: u32,
    /// Live bytes over all held segments.
    pub live_bytes: u64,
    /// Bytes that the held segments could have live: their number times the segment size less its header.
    pub capacity_bytes: u64,
    /// Length of the file: slots times the segment size.
    pub file_bytes: u64,
}

impl Stats {
    /// Segments that hold a stretch of the log: Active, Inactive or Draining.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.active + self.inactive + self.draining
    }
}
