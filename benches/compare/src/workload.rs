//! What contenders are made to do. Every workload reads back what was written and counts it.

pub(crate) mod append_path;
pub(crate) mod bandwidth;
pub(crate) mod buffered;
pub(crate) mod device_bytes;
pub(crate) mod durable;
pub(crate) mod iterate;
pub(crate) mod latency;
pub(crate) mod memory;
pub(crate) mod open;
pub(crate) mod random_read;
pub(crate) mod replace_get;
pub(crate) mod tickets;
pub(crate) mod window;

use std::{fs::File, path::Path, time::Duration};

use hdrhistogram::Histogram;

use crate::{
    Fallible,
    outcome::{Metric, Outcome},
    proc,
};

/// How many records each writer has appended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    pub(crate) by_writer: Vec<u64>,
}

/// Has the system write out what preparing has left in its cache: otherwise the first sync that is measured pays for it.
pub(crate) fn settle(dir: &Path) -> Fallible {
    rustix::fs::syncfs(File::open(dir)?)?;
    Ok(())
}

/// Latencies in nanoseconds, to two digits: 512 threads keep one each.
pub(crate) type Latencies = Histogram<u32>;

pub(crate) fn latencies() -> Latencies {
    let mut latencies = Latencies::new_with_bounds(1, 100_000_000_000, 2).expect("bounds that a histogram can have");
    // Allocated as it is, and not while somebody measures.
    latencies.auto(false);
    latencies
}

pub(crate) fn record(latencies: &mut Latencies, took: Duration) {
    latencies.saturating_record(took.as_nanos() as u64);
}

/// Puts the percentiles of latencies into an outcome.
pub(crate) fn set_latencies(outcome: &mut Outcome, latencies: &Latencies) {
    let micros = |nanos: u64| nanos as f64 / 1000.0;
    outcome.set(Metric::P50Micros, micros(latencies.value_at_quantile(0.5)));
    outcome.set(Metric::P99Micros, micros(latencies.value_at_quantile(0.99)));
    outcome.set(Metric::P999Micros, micros(latencies.value_at_quantile(0.999)));
    outcome.set(Metric::MaxMicros, micros(latencies.max()));
}

/// What is counted from the beginning of a measurement to its end.
pub(crate) struct Meter {
    cpu: Duration,
    bytes: u64,
    syncs: Option<u64>,
}

impl Meter {
    pub(crate) fn start(syncs: Option<u64>) -> Fallible<Self> {
        Ok(Self { cpu: proc::cpu_time(), bytes: proc::bytes_written()?, syncs })
    }

    /// Puts what it cost to append `appends` records into an outcome.
    pub(crate) fn stop(self, outcome: &mut Outcome, appends: u64, syncs: Option<u64>) -> Fallible {
        let each = |total: f64| total / appends.max(1) as f64;
        outcome.set(Metric::CpuSecondsPerMillion, each((proc::cpu_time() - self.cpu).as_secs_f64()) * 1e6);
        outcome.set(Metric::BytesPerAppend, each((proc::bytes_written()? - self.bytes) as f64));
        if let (Some(before), Some(after)) = (self.syncs, syncs) {
            outcome.set(Metric::SyncsPerAppend, each((after - before) as f64));
        }
        Ok(())
    }
}
