//! What a history is like: drawn from its seed, and cut down by whoever looks for a smaller one.

use esker_log::{LogId, Options};

use crate::rng::Rng;

/// Bounds from the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) lives: Option<u64>,
    pub(crate) writers: Option<u64>,
    /// How many calls each writer makes at most.
    pub(crate) calls: Option<u64>,
    /// Whether I/O may fail.
    pub(crate) no_faults: bool,
    /// Whether there are threads beside the writers.
    pub(crate) writers_only: bool,
}

impl Limits {
    /// As arguments.
    pub(crate) fn arguments(&self) -> String {
        let mut said = String::new();
        for (name, value) in [("--lives", self.lives), ("--writers", self.writers), ("--calls", self.calls)] {
            if let Some(value) = value {
                said += &format!(" {name} {value}");
            }
        }
        for (name, is_set) in [("--no-faults", self.no_faults), ("--writers-only", self.writers_only)] {
            if is_set {
                said += &format!(" {name}");
            }
        }
        said
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) lives: u64,
    pub(crate) writers: u64,
    pub(crate) calls: u64,
    pub(crate) payload_max: u64,
    pub(crate) one_size: bool,
    pub(crate) durable_one_in: u64,
    pub(crate) blob_one_in: u64,
    pub(crate) truncations: u64,
    pub(crate) upkeeps: u64,
    pub(crate) readings: u64,
    pub(crate) faults: bool,
    /// Whether reservations are forgotten at the end of a life.
    pub(crate) leaks: bool,
    segment_bytes: u32,
    buffer_bytes: u32,
    buffers: u32,
    unsynced_bytes_max: u64,
    yields: bool,
}

impl Plan {
    pub(crate) fn draw(rng: &mut Rng, limits: &Limits) -> Self {
        let buffer_bytes = 256 + rng.below(1800) as u32;
        let drawn = Self {
            lives: 1 + rng.below(3),
            writers: 1 + rng.below(4),
            calls: 4 << rng.below(5),
            payload_max: 1 + rng.below(u64::from(buffer_bytes - 200)),
            one_size: rng.one_in(3),
            durable_one_in: 1 + rng.below(6),
            blob_one_in: 8 + rng.below(40),
            truncations: rng.below(5),
            upkeeps: rng.below(4),
            readings: rng.below(3),
            faults: rng.one_in(2),
            segment_bytes: 4096 << rng.below(3),
            buffer_bytes,
            buffers: 2 << rng.below(3),
            unsynced_bytes_max: 1 + rng.below(20_000),
            yields: rng.one_in(2),
            leaks: rng.one_in(2),
        };
        // Where segments are used again and again, and what is left in them fits exactly behind what is new.
        let drawn = if rng.one_in(2) {
            let (truncations, lives) = (rng.below(10), 2 + rng.below(4));
            Self { segment_bytes: 4096, one_size: true, blob_one_in: 500, truncations, lives, calls: 48, ..drawn }
        } else {
            drawn
        };
        let beside = u64::from(!limits.writers_only);
        Self {
            lives: drawn.lives.min(limits.lives.unwrap_or(u64::MAX)),
            writers: drawn.writers.min(limits.writers.unwrap_or(u64::MAX)),
            calls: drawn.calls.min(limits.calls.unwrap_or(u64::MAX)),
            truncations: drawn.truncations * beside,
            upkeeps: drawn.upkeeps * beside,
            readings: drawn.readings * beside,
            faults: drawn.faults && !limits.no_faults,
            // A leak keeps its buffer, and the one behind it can be the short end of a segment.
            leaks: drawn.leaks && drawn.buffers > 2,
            ..drawn
        }
    }

    pub(crate) fn options(&self) -> Options {
        let yield_max = if self.yields { std::time::Duration::from_millis(1) } else { std::time::Duration::ZERO };
        Options::new()
            .segment_bytes(self.segment_bytes)
            .buffer_bytes(self.buffer_bytes)
            .buffers(self.buffers)
            .unsynced_bytes_max(Some(self.unsynced_bytes_max))
            .yield_max(yield_max)
            // The upkeep is done by a thread that the scheduler knows.
            .background(false)
            .log_id(LogId::from_bytes(*b"simulated whole!"))
    }
}
