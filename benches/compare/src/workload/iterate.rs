//! Opening a log and going over all its records.
//!
//! The log is made once, read back in full, and then opened again by every round; the page cache holds it.

use std::{fs::File, path::Path, time::Instant};

use ::wal_db::Wal;
use esker::Config;

use super::Written;
use crate::{
    Fallible,
    contender::{
        Appender, Contender, Promise, Size, Subject, esker::Esker, private, raft_engine, raft_engine::RaftEngine,
        wal_db, wal_db::WalDb,
    },
    frames,
    measure::RECORD_BYTES,
    outcome::{Metric, Outcome},
    proc,
    record::{Tally, Template, number},
};

pub(crate) fn prepare(dir: &Path, contender: Contender, bytes: u64) -> Fallible {
    match contender {
        // Bare reads are made of the same file.
        Contender::Esker | Contender::LimitPread => fill::<Esker>(dir, bytes),
        Contender::RaftEngine => fill::<RaftEngine>(dir, bytes),
        Contender::WalDb => fill::<WalDb>(dir, bytes),
        Contender::LimitRead => fill::<private::Buffered>(dir, bytes),
        other => Err(format!("{} is not iterated over", other.name()).into()),
    }
}

fn fill<S: Subject>(dir: &Path, bytes: u64) -> Fallible {
    let records = bytes / u64::from(RECORD_BYTES);
    // A log that nothing was truncated from: there is no need to write over anything.
    let size = Size { promise: Promise::Buffered, writers: 1, record_bytes: RECORD_BYTES, bytes };
    let subject = S::create_cold(dir, size)?;
    let mut template = Template::new(0, RECORD_BYTES as usize);
    let mut appender = subject.appender(0)?;
    for count in 0..records {
        appender.append(template.numbered(count))?;
    }
    appender.finish()?;
    drop(appender);
    subject.sync()?;
    let mut tally = Tally::new(1, RECORD_BYTES as usize);
    subject.read_back(dir, &mut tally)?;
    tally.check(&Written { by_writer: vec![records] })
}

pub(crate) fn run(dir: &Path, contender: Contender, bytes: u64) -> Fallible<Outcome> {
    let mut seen = Seen::default();
    let cpu = proc::cpu_time();
    let begun = Instant::now();
    let opened = match contender {
        Contender::Esker => {
            let log = Config::new(dir).open()?;
            let opened = begun.elapsed();
            let mut records = log.iter_from(log.floor())?;
            while let Some(record) = records.next_record() {
                seen.add(record?.payload())?;
            }
            opened
        }
        Contender::RaftEngine => {
            let engine = raft_engine::open(dir)?;
            let opened = begun.elapsed();
            raft_engine::read(&engine, |record| seen.add(record))?;
            opened
        }
        Contender::WalDb => {
            let log = Wal::open(wal_db::path(dir))?;
            let opened = begun.elapsed();
            for entry in log.iter()? {
                seen.add(entry?.data())?;
            }
            opened
        }
        Contender::LimitRead => {
            let file = File::open(dir.join(private::FILE))?;
            let opened = begun.elapsed();
            frames::read(&file, 0, |record| seen.add(record))?;
            opened
        }
        other => return Err(format!("{} is not iterated over", other.name()).into()),
    };
    let elapsed = begun.elapsed();
    let records = bytes / u64::from(RECORD_BYTES);
    seen.check(records)?;
    let mut outcome = Outcome::default();
    outcome.set(Metric::PerSecond, records as f64 / elapsed.as_secs_f64());
    outcome.set(Metric::MegabytesPerSecond, bytes as f64 / elapsed.as_secs_f64() / 1e6);
    outcome.set(Metric::OpenMillis, opened.as_secs_f64() * 1e3);
    outcome.set(Metric::CpuSecondsPerMillion, (proc::cpu_time() - cpu).as_secs_f64() / records as f64 * 1e6);
    outcome.set(Metric::PeakMegabytes, proc::peak_resident_bytes()? as f64 / 1e6);
    Ok(outcome)
}

/// A check of what comes by that costs next to nothing: what the records say was compared when the log was made.
#[derive(Debug, Default)]
struct Seen {
    count: u64,
    numbers: u64,
}

impl Seen {
    #[inline]
    fn add(&mut self, record: &[u8]) -> Fallible {
        self.count += 1;
        self.numbers = self.numbers.wrapping_add(number(record));
        Ok(())
    }

    fn check(&self, records: u64) -> Fallible {
        let numbers = (0..records).fold(0, u64::wrapping_add);
        if (self.count, self.numbers) == (records, numbers) {
            return Ok(());
        }
        Err(format!("{} records came by where {records} were to come, or not the right ones", self.count).into())
    }
}
