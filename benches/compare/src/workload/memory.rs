//! How memory grows while two threads append at full speed, and the log is truncated behind them.
//!
//! What counts is memory that belongs to no file, less what there was before the log was opened.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use esker::{BUFFER_BYTES_DEFAULT, BUFFERS_DEFAULT, Config, Lsn};

use crate::{
    Fallible,
    measure::RECORD_BYTES,
    outcome::{Metric, Outcome},
    proc,
    record::Template,
};

const WRITERS: u32 = 2;
/// What the log is kept to.
const LOG_BYTES: u64 = 512 << 20;
/// Memory is reported for so many equal parts of what is appended.
const PARTS: u64 = 10;

pub(crate) fn run(dir: &Path, bytes: u64) -> Fallible<Outcome> {
    let before = proc::anonymous_bytes()?;
    let log = Config::new(dir).open()?;
    let first = log.end_lsn();
    let stop = AtomicBool::new(false);
    let truncated = AtomicU64::new(first.get());
    let mut parts = vec![0; PARTS as usize];
    let begun = Instant::now();
    thread::scope(|scope| -> Fallible {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (log, stop, truncated) = (&log, &stop, &truncated);
                scope.spawn(move || -> Fallible {
                    let mut template = Template::new(writer, RECORD_BYTES as usize);
                    let mut count = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let lsn = log.append(template.numbered(count))?;
                        count += 1;
                        // The disk is not to be filled: whoever is too far ahead of the truncation waits for it.
                        while lsn.get() > truncated.load(Ordering::Relaxed) + LOG_BYTES && !stop.load(Ordering::Relaxed)
                        {
                            thread::sleep(Duration::from_micros(200));
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        let truncator = scope.spawn(|| -> Fallible {
            while !stop.load(Ordering::Relaxed) {
                let end = log.end_lsn().get();
                if end > truncated.load(Ordering::Relaxed) + LOG_BYTES / 2 {
                    let floor = Lsn::new(end - LOG_BYTES / 8);
                    log.truncate_before(floor)?;
                    truncated.store(floor.get(), Ordering::Relaxed);
                }
                thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        });
        loop {
            // An LSN counts every byte of the log.
            let done = log.end_lsn().get() - first.get();
            if let Some(part) = parts.get_mut((done * PARTS / bytes) as usize) {
                *part = (*part).max(proc::anonymous_bytes()?);
            }
            if done >= bytes || writers.iter().any(|writer| writer.is_finished()) || truncator.is_finished() {
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
        stop.store(true, Ordering::Relaxed);
        truncator.join().map_err(|_| "the truncating thread panicked")??;
        writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| "a writer panicked")?)
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let appended = log.close()?.get() - first.get();
    let megabytes = |bytes: u64| bytes.saturating_sub(before) as f64 / 1e6;
    if parts.contains(&0) {
        return Err("a part of what was appended went by unseen".into());
    }
    let series: Vec<f64> = parts.into_iter().map(megabytes).collect();
    let mut outcome = Outcome::default();
    outcome.set(Metric::MegabytesPerSecond, appended as f64 / seconds / 1e6);
    outcome.set(Metric::GrowthMegabytes, series.iter().copied().fold(0.0, f64::max));
    outcome.set(Metric::FirstGrowthMegabytes, series[0]);
    outcome.set(Metric::LastGrowthMegabytes, series[series.len() - 1]);
    outcome.set(Metric::BufferMegabytes, f64::from(BUFFER_BYTES_DEFAULT) * f64::from(BUFFERS_DEFAULT) / 1e6);
    outcome.set(Metric::PeakMegabytes, proc::peak_resident_bytes()? as f64 / 1e6);
    outcome.series = series;
    Ok(outcome)
}
