//! How long a buffered append takes while another thread appends durably without pause, so that there is always a sync under
//! way.

use std::{
    path::Path,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{Latencies, Written, buffered::Keeps, latencies, record, set_latencies, settle};
use crate::{
    Fallible,
    contender::{Appender, Size, Subject},
    measure::Pace,
    outcome::{Metric, Outcome},
    record::{Tally, Template},
};

/// Paced writers append so many, and then sleep until the next millisecond.
const APPENDS_A_MILLI: u64 = 20;

pub(crate) fn run<S: Subject>(dir: &Path, size: Size, pace: Pace, time: Duration, keeps: Keeps) -> Fallible<Outcome> {
    let subject = S::create(dir, size)?;
    settle(dir)?;
    let each = size.bytes / u64::from(size.record_bytes) / u64::from(size.writers);
    let start = Barrier::new(size.writers as usize + 1);
    let stop = AtomicBool::new(false);
    let (written, counted, elapsed) = thread::scope(|scope| -> Fallible<_> {
        let threads: Vec<_> = (0..size.writers)
            .map(|number| {
                let (appender, start) = (subject.appender(number), &start);
                let record_bytes = size.record_bytes as usize;
                scope.spawn(move || {
                    let template = Template::new(number, record_bytes);
                    append(appender, template, each, time, pace, start)
                })
            })
            .collect();
        let syncer = scope.spawn(|| -> Fallible<u64> {
            let mut template = Template::new(size.writers, size.record_bytes as usize);
            start.wait();
            let mut appender = subject.appender(size.writers)?;
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                appender.append_durable(template.numbered(count))?;
                count += 1;
            }
            Ok(count)
        });
        let mut counted = latencies();
        let mut written = Written::default();
        let begun = Instant::now();
        let ended: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        let elapsed = begun.elapsed();
        stop.store(true, Ordering::Relaxed);
        for ended in ended {
            let (count, latencies) = ended.map_err(|_| "a writer panicked")??;
            written.by_writer.push(count);
            counted.add(latencies)?;
        }
        written.by_writer.push(syncer.join().map_err(|_| "the syncing thread panicked")??);
        Ok((written, counted, elapsed))
    })?;
    let mut outcome = Outcome::default();
    outcome.set(Metric::PerSecond, counted.len() as f64 / elapsed.as_secs_f64());
    outcome.set(Metric::SyncsPerSecond, written.by_writer[size.writers as usize] as f64 / elapsed.as_secs_f64());
    set_latencies(&mut outcome, &counted);
    if keeps == Keeps::Nothing {
        return Ok(outcome);
    }
    subject.sync()?;
    let mut tally = Tally::new(size.writers as usize + 1, size.record_bytes as usize);
    subject.read_back(dir, &mut tally)?;
    tally.check(&written)?;
    Ok(outcome)
}

fn append(
    appender: Fallible<impl Appender>,
    mut template: Template,
    most: u64,
    time: Duration,
    pace: Pace,
    start: &Barrier,
) -> Fallible<(u64, Latencies)> {
    let mut latencies = latencies();
    start.wait();
    let mut appender = appender?;
    let begun = Instant::now();
    let mut count = 0;
    while count < most && begun.elapsed() < time {
        for _ in 0..APPENDS_A_MILLI.min(most - count) {
            let bytes = template.numbered(count);
            let begun = Instant::now();
            appender.append(bytes)?;
            let took = begun.elapsed();
            record(&mut latencies, took);
            count += 1;
        }
        if pace == Pace::Slow {
            let next = Duration::from_millis(begun.elapsed().as_millis() as u64 + 1);
            thread::sleep(next.saturating_sub(begun.elapsed()));
        }
    }
    appender.finish()?;
    Ok((count, latencies))
}
