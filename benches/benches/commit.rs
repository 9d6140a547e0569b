//! The whole log on a real disk beside the plainest thing that gives the same guarantee.
//!
//! Contenders take turns, round by round, in one run, because disks and shared machines change from minute to minute:
//! only ratios within a run mean anything. Memory and files are touched before anything is measured. Every record that
//! was appended is read back and counted.
//!
//! `cargo xtask bench commit`; arguments after `--`: `--rounds N`, `--millis N`, `--dir PATH`.
#![expect(clippy::print_stdout, reason = "a benchmark that reports on stdout")]

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use esker_log::{Log, Lsn, Options};
use esker_storage::FileStorage;

const RECORD_BYTES: usize = 256;

struct Plan {
    rounds: usize,
    time: Duration,
    dir: PathBuf,
}

/// One way to append.
struct Contender {
    name: &'static str,
    run: fn(&Plan) -> Round,
}

/// What one contender did in one round.
struct Round {
    appends: u64,
    syncs: u64,
    elapsed: Duration,
}

fn main() {
    let plan = plan();
    let contenders = [
        Contender { name: "pwrite+fdatasync, 1 thread", run: single_synced },
        Contender { name: "esker durable, 1 thread", run: |plan| durable(plan, 1) },
        Contender { name: "esker durable, 16 threads", run: |plan| durable(plan, 16) },
        Contender { name: "esker durable, 64 threads", run: |plan| durable(plan, 64) },
        Contender { name: "mutexed buffer, 2 threads", run: |plan| mutexed(plan, 2) },
        Contender { name: "esker buffered, 2 threads", run: |plan| buffered(plan, 2) },
    ];
    let mut rates = vec![Vec::new(); contenders.len()];
    let mut per_sync = vec![Vec::new(); contenders.len()];
    // The first round warms up memory and files.
    for round in 0..=plan.rounds {
        for (index, contender) in contenders.iter().enumerate() {
            let outcome = (contender.run)(&plan);
            if round > 0 {
                rates[index].push(outcome.appends as f64 / outcome.elapsed.as_secs_f64());
                per_sync[index].push(outcome.appends as f64 / outcome.syncs.max(1) as f64);
            }
        }
    }
    println!("{RECORD_BYTES}-byte records, {} rounds of {:?}, medians (min to max)", plan.rounds, plan.time);
    println!("{:<28} {:>12} {:>24} {:>14} {:>8}", "", "appends/s", "", "appends/sync", "ratio");
    for (index, contender) in contenders.iter().enumerate() {
        // Durable ways compare with the single synced thread, buffered ones with the mutexed buffer.
        let yardstick = if index < 4 { 0 } else { 4 };
        let rate = median(&mut rates[index].clone());
        let sorted = {
            let mut all = rates[index].clone();
            all.sort_by(f64::total_cmp);
            all
        };
        println!(
            "{:<28} {:>12.0} {:>24} {:>14.1} {:>8.2}",
            contender.name,
            rate,
            format!("({:.0} to {:.0})", sorted[0], sorted[sorted.len() - 1]),
            median(&mut per_sync[index].clone()),
            rate / median(&mut rates[yardstick].clone()),
        );
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn plan() -> Plan {
    let mut plan = Plan { rounds: 5, time: Duration::from_millis(1000), dir: std::env::temp_dir() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => plan.rounds = value(&mut arguments),
            "--millis" => plan.time = Duration::from_millis(value(&mut arguments)),
            "--dir" => plan.dir = PathBuf::from(arguments.next().unwrap_or_default()),
            _ => (),
        }
    }
    plan
}

fn value<T: std::str::FromStr>(arguments: &mut impl Iterator<Item = String>) -> T {
    match arguments.next().map(|value| value.parse()) {
        Some(Ok(value)) => value,
        _ => panic!("a number is missing"),
    }
}

fn directory(plan: &Plan) -> tempfile::TempDir {
    tempfile::Builder::new().prefix("esker-bench").tempdir_in(&plan.dir).expect("a directory to measure in")
}

/// A file whose blocks are written, so that a sync commits no file-system metadata.
fn written_file(path: &Path, bytes: usize) -> File {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).expect("a file");
    file.write_all_at(&vec![1; bytes], 0).expect("room for the file");
    file.sync_all().expect("a sync");
    file
}

fn single_synced(plan: &Plan) -> Round {
    const FILE_BYTES: usize = 64 << 20;
    let dir = directory(plan);
    let file = written_file(&dir.path().join("plain"), FILE_BYTES);
    let record = [7; RECORD_BYTES];
    let started = Instant::now();
    let mut appends = 0;
    while started.elapsed() < plan.time {
        file.write_all_at(&record, (appends as usize * RECORD_BYTES % FILE_BYTES) as u64).expect("a write");
        file.sync_data().expect("a sync");
        appends += 1;
    }
    Round { appends, syncs: appends, elapsed: started.elapsed() }
}

fn open(dir: &Path) -> Log {
    let storage = Arc::new(FileStorage::create(dir).expect("a directory"));
    Log::open(storage, Options::new()).expect("a log")
}

/// Goes over the first segments once, so that the file's blocks are written, as those of a log that has been in use are.
fn warm(log: &Log, segments: u32) {
    let payload = vec![1; 64 << 10];
    let bytes = u64::from(segments) * u64::from(log.segment_bytes().get());
    let mut last = Lsn::ZERO;
    while last.get() < bytes {
        last = log.append(&payload).expect("an append");
    }
    log.flush().expect("a flush");
    log.truncate_before(last).expect("a truncation");
}

fn durable(plan: &Plan, threads: usize) -> Round {
    let dir = directory(plan);
    let log = open(dir.path());
    warm(&log, 4);
    let (from, syncs) = (log.end_lsn(), log.stats().engine.syncs);
    let stop = AtomicBool::new(false);
    let started = Instant::now();
    let appends: u64 = thread::scope(|scope| {
        let writers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let record = [7; RECORD_BYTES];
                    let mut appends = 0;
                    while !stop.load(Ordering::Relaxed) {
                        log.append_durable(&record).expect("a durable append");
                        appends += 1;
                    }
                    appends
                })
            })
            .collect();
        thread::sleep(plan.time);
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().expect("a writer")).sum()
    });
    let elapsed = started.elapsed();
    let syncs = log.stats().engine.syncs - syncs;
    verify(&log, from, appends);
    Round { appends, syncs, elapsed }
}

fn verify(log: &Log, from: Lsn, appends: u64) {
    let found = log.iter_from(from).expect("an iterator").map(|record| record.expect("a record"));
    let whole = found.filter(|record| record.payload() == [7; RECORD_BYTES]).count() as u64;
    assert_eq!(whole, appends, "records read back against records appended");
}

/// How many records each thread of a buffered round appends: enough to leave every cache, not so many that the disk's
/// speed is what is measured.
const BUFFERED_APPENDS: u64 = 400_000;

fn buffered(plan: &Plan, threads: u64) -> Round {
    let dir = directory(plan);
    let log = open(dir.path());
    warm(&log, 16);
    let (from, syncs) = (log.end_lsn(), log.stats().engine.syncs);
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let record = [7; RECORD_BYTES];
                for _ in 0..BUFFERED_APPENDS {
                    log.append(&record).expect("an append");
                }
            });
        }
    });
    let elapsed = started.elapsed();
    let syncs = log.stats().engine.syncs - syncs;
    verify(&log, from, threads * BUFFERED_APPENDS);
    Round { appends: threads * BUFFERED_APPENDS, syncs, elapsed }
}

/// A buffer under a mutex: copy, checksum, and whoever fills it writes it.
fn mutexed(plan: &Plan, threads: u64) -> Round {
    const BUFFER_BYTES: usize = 1 << 20;
    const FILE_BYTES: usize = 256 << 20;
    let dir = directory(plan);
    let file = written_file(&dir.path().join("plain"), FILE_BYTES);
    let state = Mutex::new((Vec::with_capacity(BUFFER_BYTES), 0usize));
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let record = [7; RECORD_BYTES];
                for _ in 0..BUFFERED_APPENDS {
                    let crc = checksum(&record);
                    let mut guard = state.lock().expect("no writer panics");
                    let (buffer, at) = &mut *guard;
                    if buffer.len() + RECORD_BYTES + 8 > BUFFER_BYTES {
                        file.write_all_at(buffer, *at as u64).expect("a write");
                        *at = (*at + buffer.len()) % (FILE_BYTES - BUFFER_BYTES);
                        buffer.clear();
                    }
                    buffer.extend_from_slice(&(RECORD_BYTES as u32).to_le_bytes());
                    buffer.extend_from_slice(&crc.to_le_bytes());
                    buffer.extend_from_slice(&record);
                }
            });
        }
    });
    Round { appends: threads * BUFFERED_APPENDS, syncs: 0, elapsed: started.elapsed() }
}

fn checksum(bytes: &[u8]) -> u32 {
    esker_format::LogId::from_bytes([7; 16]).checksum_seed().checksum(bytes)
}
