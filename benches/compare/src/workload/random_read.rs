//! Reads at random places: of records in the file, beside bare reads of as many bytes, and of records that are not
//! written yet.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use esker::{Config, Log, Lsn};

use super::{Latencies, latencies, record, set_latencies};
use crate::{
    Fallible,
    contender::Contender,
    measure::{Place, RECORD_BYTES},
    outcome::{Metric, Outcome},
    proc,
    record::{Template, number},
};

const THREADS: u64 = 2;
/// What a record of 256 bytes takes in the file.
const MESSAGE_BYTES: usize = RECORD_BYTES as usize + 24;
/// So many records fit a buffer with room to spare.
const IN_BUFFER: u64 = 2000;
/// One read in so many is timed by itself.
const TIMED: u64 = 16;

pub(crate) fn run(dir: &Path, contender: Contender, from: Place, time: Duration) -> Fallible<Outcome> {
    match (contender, from) {
        (Contender::Esker, Place::File) => {
            let log = Config::new(dir).open()?;
            let mut lsns = Vec::new();
            let mut records = log.iter_from(log.floor())?;
            while let Some(record) = records.next_record() {
                lsns.push(record?.lsn());
            }
            let outcome = measure(time, |random| read(&log, &lsns, random))?;
            log.close()?;
            Ok(outcome)
        }
        (Contender::Esker, Place::Buffer) => {
            let log = Config::new(dir).open()?;
            let mut template = Template::new(0, RECORD_BYTES as usize);
            let lsns: Vec<Lsn> =
                (0..IN_BUFFER).map(|count| log.append(template.numbered(count))).collect::<Result<_, _>>()?;
            measure(time, |random| read(&log, &lsns, random))
        }
        (Contender::LimitPread, Place::File) => {
            let file = File::open(dir.join("log"))?;
            // Looked up as LSNs are: whoever reads something has to know where it is.
            let places: Vec<u64> =
                (0..file.metadata()?.len() / MESSAGE_BYTES as u64).map(|n| n * MESSAGE_BYTES as u64).collect();
            measure(time, |random| {
                let mut buffer = [0; MESSAGE_BYTES];
                file.read_exact_at(&mut buffer, places[(random % places.len() as u64) as usize])?;
                std::hint::black_box(&buffer);
                Ok(())
            })
        }
        _ => Err(format!("{} does not do this", contender.name()).into()),
    }
}

fn read(log: &Log, lsns: &[Lsn], random: u64) -> Fallible {
    let at = random % lsns.len() as u64;
    let record = log.read(lsns[at as usize])?;
    // The records of this log are numbered from zero.
    if number(record.payload()) == at { Ok(()) } else { Err(format!("record {at} is another").into()) }
}

/// Two threads call `read` with random numbers.
fn measure(time: Duration, read: impl Fn(u64) -> Fallible + Sync) -> Fallible<Outcome> {
    let start = Barrier::new(THREADS as usize);
    let cpu = proc::cpu_time();
    let counts: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|seed| {
                let (read, start) = (&read, &start);
                scope.spawn(move || again_and_again(seed + 1, time, read, start))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| "a reader panicked")?).collect::<Fallible<_>>()
    })?;
    let mut counted = latencies();
    let (mut reads, mut rate) = (0, 0.0);
    for (count, seconds, latencies) in counts {
        reads += count;
        rate += count as f64 / seconds;
        counted.add(latencies)?;
    }
    let mut outcome = Outcome::default();
    outcome.set(Metric::PerSecond, rate);
    outcome.set(Metric::CpuSecondsPerMillion, (proc::cpu_time() - cpu).as_secs_f64() / reads as f64 * 1e6);
    outcome.set(Metric::PeakMegabytes, proc::peak_resident_bytes()? as f64 / 1e6);
    set_latencies(&mut outcome, &counted);
    Ok(outcome)
}

fn again_and_again(
    seed: u64,
    time: Duration,
    read: impl Fn(u64) -> Fallible,
    start: &Barrier,
) -> Fallible<(u64, f64, Latencies)> {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random >> 11
    };
    let mut latencies = latencies();
    start.wait();
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < time {
        for _ in 0..TIMED {
            read(next())?;
        }
        let each = Instant::now();
        read(next())?;
        record(&mut latencies, each.elapsed());
        count += TIMED + 1;
    }
    Ok((count, begun.elapsed().as_secs_f64(), latencies))
}
