//! Each append waits until it is durable itself.
//!
//! Threads start together and run for a while before anything counts. What counts is what is completed between two
//! moments, whatever is under way at either.

use std::{
    path::Path,
    sync::{
        Barrier,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{Latencies, Meter, Written, latencies, record, set_latencies, settle};
use crate::{
    Fallible,
    contender::{Appender, Size, Subject},
    outcome::{Metric, Outcome},
    proc,
    record::{Tally, Template},
};

const WARM_UP: u8 = 0;
const COUNTS: u8 = 1;
const STOP: u8 = 2;

pub(crate) fn run<S: Subject>(dir: &Path, size: Size, time: Duration) -> Fallible<Outcome> {
    let subject = S::create(dir, size)?;
    settle(dir)?;
    let phase = AtomicU8::new(WARM_UP);
    let appended = AtomicU64::new(0);
    let capacity = size.bytes / u64::from(size.record_bytes);
    let start = Barrier::new(size.writers as usize + 1);
    let mut outcome = Outcome::default();
    let (written, counted, elapsed) = thread::scope(|scope| -> Fallible<_> {
        let threads: Vec<_> = (0..size.writers)
            .map(|number| {
                let writer = Writer { phase: &phase, appended: &appended, start: &start };
                let appender = subject.appender(number);
                scope.spawn(move || writer.run(appender, number, size.record_bytes))
            })
            .collect();
        start.wait();
        let begun = Instant::now();
        let full = |part: u64| appended.load(Ordering::Relaxed) >= capacity * part / 8;
        while begun.elapsed() < time / 4 && !full(1) {
            thread::sleep(Duration::from_millis(1));
        }
        let meter = Meter::start(subject.syncs())?;
        let begun = Instant::now();
        let before = appended.load(Ordering::Relaxed);
        phase.store(COUNTS, Ordering::Relaxed);
        while begun.elapsed() < time && !full(8) {
            thread::sleep(Duration::from_millis(1));
        }
        phase.store(STOP, Ordering::Relaxed);
        let elapsed = begun.elapsed();
        let during = appended.load(Ordering::Relaxed) - before;
        meter.stop(&mut outcome, during, subject.syncs())?;
        let mut counted = latencies();
        let mut written = Written::default();
        for thread in threads {
            let (count, latencies) = thread.join().map_err(|_| "a writer panicked")??;
            written.by_writer.push(count);
            counted.add(latencies)?;
        }
        Ok((written, counted, elapsed))
    })?;
    outcome.set(Metric::PerSecond, counted.len() as f64 / elapsed.as_secs_f64());
    outcome.set(
        Metric::MegabytesPerSecond,
        counted.len() as f64 * f64::from(size.record_bytes) / elapsed.as_secs_f64() / 1e6,
    );
    set_latencies(&mut outcome, &counted);
    outcome.set(Metric::PeakMegabytes, proc::peak_resident_bytes()? as f64 / 1e6);
    let mut tally = Tally::new(size.writers as usize, size.record_bytes as usize);
    subject.read_back(dir, &mut tally)?;
    tally.check(&written)?;
    Ok(outcome)
}

struct Writer<'a> {
    phase: &'a AtomicU8,
    appended: &'a AtomicU64,
    start: &'a Barrier,
}

impl Writer<'_> {
    /// Returns how many records were appended, and the latencies of those that count.
    fn run(self, appender: Fallible<impl Appender>, number: u32, record_bytes: u32) -> Fallible<(u64, Latencies)> {
        let mut template = Template::new(number, record_bytes as usize);
        let mut latencies = latencies();
        self.start.wait();
        let mut appender = appender?;
        let mut count = 0;
        loop {
            let begun = Instant::now();
            let appended = appender.append_durable(template.numbered(count));
            let took = begun.elapsed();
            appended?;
            count += 1;
            self.appended.fetch_add(1, Ordering::Relaxed);
            match self.phase.load(Ordering::Relaxed) {
                WARM_UP => (),
                COUNTS => record(&mut latencies, took),
                _ => return Ok((count, latencies)),
            }
        }
    }
}
