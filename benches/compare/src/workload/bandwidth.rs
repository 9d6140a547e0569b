//! What the disk takes: large sequential writes over blocks that are there already, each followed by a sync.

use std::{
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use super::{latencies, record, set_latencies};
use crate::{
    Fallible, frames,
    outcome::{Metric, Outcome},
};

const WRITE_BYTES: usize = 1 << 20;

pub(crate) fn run(dir: &Path, file_bytes: u64, time: Duration) -> Fallible<Outcome> {
    let file = frames::written_file(&dir.join("plain"), file_bytes)?;
    let data = vec![0x5a; WRITE_BYTES];
    let mut latencies = latencies();
    let begun = Instant::now();
    let mut written = 0;
    while begun.elapsed() < time {
        let each = Instant::now();
        let room = file_bytes - WRITE_BYTES as u64;
        file.write_all_at(&data, written % room / WRITE_BYTES as u64 * WRITE_BYTES as u64)?;
        file.sync_data()?;
        record(&mut latencies, each.elapsed());
        written += WRITE_BYTES as u64;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let mut outcome = Outcome::default();
    outcome.set(Metric::PerSecond, written as f64 / WRITE_BYTES as f64 / seconds);
    outcome.set(Metric::MegabytesPerSecond, written as f64 / seconds / 1e6);
    set_latencies(&mut outcome, &latencies);
    Ok(outcome)
}
