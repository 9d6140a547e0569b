//! One thread with many futures under way: each awaits its own record.
//!
//! It appends until `in_flight` tickets wait, polls them until one is done, and appends another for it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use futures::{StreamExt, executor::block_on, stream::FuturesUnordered};

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
    let mut outcome = Outcome::default();
    let mut counted = latencies();
    let mut appended = 0;
    let mut under_way = FuturesUnordered::new();
    let mut measured: Option<(Meter, Instant, u64)> = None;
    let begun = Instant::now();
    let elapsed = block_on(async {
        loop {
            while under_way.len() < in_flight as usize {
                let begun = Instant::now();
                let ticket = log.append_ticket(template.numbered(appended))?;
                under_way.push(async move { (begun, ticket.await) });
                appended += 1;
            }
            let Some((appended_at, stable)) = under_way.next().await else { return Err("nothing is under way".into()) };
            stable?;
            if measured.is_some() {
                record(&mut counted, appended_at.elapsed());
            }
            match &measured {
                // With as many as are to be under way.
                None if begun.elapsed() >= time / 4 || appended >= capacity / 4 => {
                    measured = Some((Meter::start(subject.syncs())?, Instant::now(), counted.len()));
                }
                Some((_, begun, _)) if begun.elapsed() >= time || appended >= capacity => {
                    return Fallible::Ok(begun.elapsed());
                }
                _ => (),
            }
        }
    })?;
    if let Some((meter, _, before)) = measured {
        meter.stop(&mut outcome, counted.len() - before, subject.syncs())?;
    }
    drop(under_way);
    log.flush()?;
    outcome.set(Metric::PerSecond, counted.len() as f64 / elapsed.as_secs_f64());
    set_latencies(&mut outcome, &counted);
    outcome.set(Metric::PeakMegabytes, proc::peak_resident_bytes()? as f64 / 1e6);
    let mut tally = Tally::new(1, size.record_bytes as usize);
    subject.read_back(dir, &mut tally)?;
    tally.check(&Written { by_writer: vec![appended] })?;
    Ok(outcome)
}
