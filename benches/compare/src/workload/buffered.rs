//! Nothing is waited for but one sync at the end, which is counted in the time.
//!
//! Each writer appends its share of the bytes, or until the time is over: peers differ a hundredfold, and what is wanted
//! is a rate.

use std::{
    path::Path,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use super::{Meter, Written, settle};
use crate::{
    Fallible,
    contender::{Appender, Size, Subject},
    outcome::{Metric, Outcome},
    proc,
    record::{Tally, Template},
};

/// Whether what was appended can be read back: a yardstick that keeps nothing cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    Everything,
    Nothing,
}

pub(crate) fn run<S: Subject>(dir: &Path, size: Size, time: Duration, keeps: Keeps) -> Fallible<Outcome> {
    let subject = S::create(dir, size)?;
    settle(dir)?;
    let each = size.bytes / u64::from(size.record_bytes) / u64::from(size.writers);
    let start = Barrier::new(size.writers as usize + 1);
    let mut outcome = Outcome::default();
    let mut meter = None;
    let (written, unsynced, synced) = thread::scope(|scope| -> Fallible<_> {
        let threads: Vec<_> = (0..size.writers)
            .map(|number| {
                let (appender, start) = (subject.appender(number), &start);
                let record_bytes = size.record_bytes as usize;
                scope.spawn(move || append(appender, Template::new(number, record_bytes), each, time, start))
            })
            .collect();
        meter = Some(Meter::start(subject.syncs())?);
        start.wait();
        let begun = Instant::now();
        let mut written = Written::default();
        for thread in threads {
            written.by_writer.push(thread.join().map_err(|_| "a writer panicked")??);
        }
        let unsynced = begun.elapsed();
        subject.sync()?;
        Ok((written, unsynced, begun.elapsed()))
    })?;
    let appends: u64 = written.by_writer.iter().sum();
    if let Some(meter) = meter {
        meter.stop(&mut outcome, appends, subject.syncs())?;
    }
    let appended = appends as f64;
    outcome.set(Metric::PerSecond, appended / synced.as_secs_f64());
    outcome.set(Metric::PerSecondUnsynced, appended / unsynced.as_secs_f64());
    outcome.set(Metric::MegabytesPerSecond, appended * f64::from(size.record_bytes) / synced.as_secs_f64() / 1e6);
    outcome.set(Metric::PeakMegabytes, proc::peak_resident_bytes()? as f64 / 1e6);
    if keeps == Keeps::Everything {
        let mut tally = Tally::new(size.writers as usize, size.record_bytes as usize);
        subject.read_back(dir, &mut tally)?;
        tally.check(&written)?;
    }
    Ok(outcome)
}

/// Returns how many records were appended.
fn append(
    appender: Fallible<impl Appender>,
    mut template: Template,
    most: u64,
    time: Duration,
    start: &Barrier,
) -> Fallible<u64> {
    const BETWEEN_LOOKS: u64 = 64;
    start.wait();
    let mut appender = appender?;
    let begun = Instant::now();
    let mut count = 0;
    while count < most && begun.elapsed() < time {
        for _ in 0..BETWEEN_LOOKS.min(most - count) {
            appender.append(template.numbered(count))?;
            count += 1;
        }
    }
    appender.finish()?;
    Ok(count)
}
