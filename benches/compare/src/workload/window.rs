//! One thread with many appends under way: no thread for each, and no waiting for each.
//!
//! It appends until `in_flight` are on their way, waits until the older half is durable, and appends as many again.

use std::{
    collections::VecDeque,
    path::Path,
    time::{Duration, Instant},
};

use super::{Meter, Written, latencies, record, set_latencies, settle};
use crate::{
    Fallible,
    contender::{Size, Subject, esker::Esker},
    outcome::{Metric, Outcome},
    proc,
    record::{Tally, Template},
};

pub(crate) fn run(dir: &Path, size: Size, in_flight: u32, time: Duration) -> Fallible<Outcome> {
    let subject = Esker::create(dir, size)?;
    settle(dir)?;
    let log = &subject.log;
    let mut template = Template::new(0, size.record_bytes as usize);
    let capacity = size.bytes / u64::from(size.record_bytes);
    let half = in_flight as usize / 2;
    let mut window = VecDeque::with_capacity(in_flight as usize);
    let mut outcome = Outcome::default();
    let mut counted = latencies();
    let mut appended = 0;
    let mut measured: Option<(Meter, Instant, u64)> = None;
    let begun = Instant::now();
    let elapsed = loop {
        while window.len() < in_flight as usize {
            let begun = Instant::now();
            window.push_back((log.append(template.numbered(appended))?, begun));
            appended += 1;
        }
        let (wanted, _) = window[half - 1];
        let stable = log.make_stable(wanted)?;
        let now = Instant::now();
        // More than was waited for may have become durable with it; it counts from when this thread could know.
        while let Some(&(lsn, begun)) = window.front()
            && lsn < stable
        {
            window.pop_front();
            if measured.is_some() {
                record(&mut counted, now - begun);
            }
        }
        match &measured {
            None if begun.elapsed() >= time / 4 || appended >= capacity / 8 => {
                measured = Some((Meter::start(subject.syncs())?, now, appended));
            }
            Some((_, begun, _)) if begun.elapsed() >= time || appended >= capacity => break begun.elapsed(),
            _ => (),
        }
    };
    if let Some((meter, _, before)) = measured {
        meter.stop(&mut outcome, appended - before, subject.syncs())?;
    }
    log.flush()?;
    outcome.set(Metric::PerSecond, counted.len() as f64 / elapsed.as_secs_f64());
    set_latencies(&mut outcome, &counted);
    outcome.set(Metric::PeakMegabytes, proc::peak_resident_bytes()? as f64 / 1e6);
    let mut tally = Tally::new(1, size.record_bytes as usize);
    subject.read_back(dir, &mut tally)?;
    tally.check(&Written { by_writer: vec![appended] })?;
    Ok(outcome)
}
