//! The whole log on a real disk beside the plainest thing that gives the same guarantee.
//!
//! Contenders take turns, round by round, in one run, because disks and shared machines change from minute to minute:
//! only ratios within a run mean anything. Memory and files are touched before anything is measured. Whatever was appended
//! is read back and counted, and reaches the disk before the next contender's turn, which would pay for it otherwise.
//!
//! `cargo xtask bench commit`; arguments after `--`: `--rounds N`, `--millis N`, `--dir PATH`.
#![expect(clippy::print_stdout, reason = "a benchmark that reports on stdout")]

use std::{
    fs::{File, OpenOptions},
    hint::black_box,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use esker_format::{ChecksumSeed, LogId};
use esker_log::{Log, Lsn, Options};
use esker_storage::FileStorage;

const RECORD: [u8; RECORD_BYTES] = [7; RECORD_BYTES];
const RECORD_BYTES: usize = 256;
/// More than 64 threads append in a second. Files are prepared for so much.
const DURABLE_BYTES_PER_SECOND: u64 = 128 << 20;

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
    let mut syncs = vec![(0, 0); contenders.len()];
    // The first round warms up memory and files.
    for round in 0..=plan.rounds {
        for (index, contender) in contenders.iter().enumerate() {
            let outcome = (contender.run)(&plan);
            if round > 0 {
                rates[index].push(outcome.appends as f64 / outcome.elapsed.as_secs_f64());
                syncs[index].0 += outcome.appends;
                syncs[index].1 += outcome.syncs;
            }
        }
    }
    println!("{RECORD_BYTES}-byte records, {} rounds of {:?}, medians (min to max)", plan.rounds, plan.time);
    println!("{:<28} {:>12} {:>24} {:>14} {:>8}", "", "appends/s", "", "appends/sync", "ratio");
    rates.iter_mut().for_each(|rates| rates.sort_by(f64::total_cmp));
    for (index, contender) in contenders.iter().enumerate() {
        // Durable ways compare with the single synced thread, buffered ones with the mutexed buffer.
        let yardstick = if index < 4 { 0 } else { 4 };
        let sorted = &rates[index];
        let per_sync = match syncs[index] {
            (_, 0) => "-".to_owned(),
            (appends, syncs) => format!("{:.1}", appends as f64 / syncs as f64),
        };
        println!(
            "{:<28} {:>12.0} {:>24} {per_sync:>14} {:>8.2}",
            contender.name,
            median(sorted),
            format!("({:.0} to {:.0})", sorted[0], sorted[sorted.len() - 1]),
            median(sorted) / median(&rates[yardstick]),
        );
    }
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

fn plan() -> Plan {
    let mut plan = Plan { rounds: 5, time: Duration::from_millis(1000), dir: std::env::temp_dir() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => plan.rounds = value(&mut arguments),
            "--millis" => plan.time = Duration::from_millis(value(&mut arguments)),
            "--dir" => plan.dir = PathBuf::from(arguments.next().expect("a path after --dir")),
            // Cargo says so.
            "--bench" => (),
            other => panic!("`{other}` means nothing here"),
        }
    }
    assert!(plan.rounds > 0, "no rounds, no medians");
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
    let started = Instant::now();
    let mut appends = 0;
    while started.elapsed() < plan.time {
        file.write_all_at(&RECORD, (appends as usize * RECORD_BYTES % FILE_BYTES) as u64).expect("a write");
        file.sync_data().expect("a sync");
        appends += 1;
    }
    let elapsed = started.elapsed();
    let found = pieces(&file, FILE_BYTES, RECORD_BYTES, |piece| piece == RECORD);
    assert_eq!(found, (appends as usize).min(FILE_BYTES / RECORD_BYTES), "records read back against records written");
    Round { appends, syncs: appends, elapsed }
}

/// How many of the pieces of a file are as `is_whole` wants them.
fn pieces(file: &File, file_bytes: usize, piece_bytes: usize, is_whole: impl Fn(&[u8]) -> bool) -> usize {
    let mut bytes = vec![0; file_bytes];
    file.read_exact_at(&mut bytes, 0).expect("a read");
    bytes.chunks_exact(piece_bytes).filter(|piece| is_whole(piece)).count()
}

fn open(dir: &Path) -> Log {
    let storage = Arc::new(FileStorage::create(dir).expect("a directory"));
    Log::open(storage, Options::new()).expect("a log")
}

/// Appends `bytes` and gives them up, so that the blocks of that much of the file are written and free, as those of a log are
/// that has been in use.
fn warm(log: &Log, bytes: u64) {
    let payload = vec![1; 64 << 10];
    let mut last = Lsn::ZERO;
    // The segment in which the last one lies is not free.
    while last.get() < bytes + 2 * u64::from(log.segment_bytes().get()) {
        last = log.append(&payload).expect("an append");
    }
    log.flush().expect("a flush");
    log.truncate_before(last).expect("a truncation");
}

fn durable(plan: &Plan, threads: usize) -> Round {
    let dir = directory(plan);
    let log = open(dir.path());
    let warm_bytes = DURABLE_BYTES_PER_SECOND * plan.time.as_millis() as u64 / 1000;
    warm(&log, warm_bytes);
    let (from, syncs) = (log.end_lsn(), log.stats().engine.syncs);
    let stop = AtomicBool::new(false);
    let started = Instant::now();
    let appends: u64 = thread::scope(|scope| {
        let writers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut appends = 0;
                    while !stop.load(Ordering::Relaxed) {
                        log.append_durable(&RECORD).expect("a durable append");
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
    assert!(
        log.end_lsn() - from <= warm_bytes,
        "more was appended than had been prepared: a growing file was measured"
    );
    Round { appends, syncs, elapsed }
}

fn verify(log: &Log, from: Lsn, appends: u64) {
    let mut records = log.iter_from(from).expect("an iterator");
    let mut whole = 0;
    while let Some(record) = records.next_record() {
        whole += u64::from(record.expect("a record").payload() == RECORD);
    }
    assert_eq!(whole, appends, "records read back against records appended");
}

/// How many records each thread of a buffered round appends: enough to leave every cache, not so many that the disk's
/// speed is what is measured.
const BUFFERED_APPENDS: u64 = 1_000_000;
/// More than such a record takes in any of the files.
const BUFFERED_BYTES: u64 = 300;

fn buffered(plan: &Plan, threads: u64) -> Round {
    let dir = directory(plan);
    let log = open(dir.path());
    warm(&log, threads * BUFFERED_APPENDS * BUFFERED_BYTES);
    let (from, syncs) = (log.end_lsn(), log.stats().engine.syncs);
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..BUFFERED_APPENDS {
                    log.append(black_box(&RECORD)).expect("an append");
                }
            });
        }
    });
    let elapsed = started.elapsed();
    let syncs = log.stats().engine.syncs - syncs;
    log.flush().expect("a flush");
    verify(&log, from, threads * BUFFERED_APPENDS);
    Round { appends: threads * BUFFERED_APPENDS, syncs, elapsed }
}

/// A buffer under a mutex: copy, checksum, and whoever fills it writes it.
fn mutexed(plan: &Plan, threads: u64) -> Round {
    const BUFFER_BYTES: usize = 1 << 20;
    const FRAME_BYTES: usize = RECORD_BYTES + 8;
    let dir = directory(plan);
    let appends = threads * BUFFERED_APPENDS;
    let file = written_file(&dir.path().join("plain"), appends as usize * FRAME_BYTES);
    let seed = LogId::from_bytes([7; 16]).checksum_seed();
    let state = Mutex::new((Vec::with_capacity(BUFFER_BYTES), 0));
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..BUFFERED_APPENDS {
                    let record = black_box(&RECORD);
                    let crc = seed.checksum(record);
                    let mut guard = state.lock().expect("no writer panics");
                    let (buffer, at) = &mut *guard;
                    if buffer.len() + FRAME_BYTES > BUFFER_BYTES {
                        file.write_all_at(buffer, *at).expect("a write");
                        *at += buffer.len() as u64;
                        buffer.clear();
                    }
                    buffer.extend_from_slice(&(RECORD_BYTES as u32).to_le_bytes());
                    buffer.extend_from_slice(&crc.to_le_bytes());
                    buffer.extend_from_slice(record);
                }
            });
        }
    });
    let elapsed = started.elapsed();
    let (rest, at) = state.into_inner().expect("no writer panicked");
    file.write_all_at(&rest, at).expect("a write");
    file.sync_data().expect("a sync");
    let found = pieces(&file, appends as usize * FRAME_BYTES, FRAME_BYTES, |frame| is_whole(frame, seed));
    assert_eq!(found as u64, appends, "records read back against records appended");
    Round { appends, syncs: 0, elapsed }
}

fn is_whole(frame: &[u8], seed: ChecksumSeed) -> bool {
    let (head, record) = frame.split_at(8);
    head[..4] == (RECORD_BYTES as u32).to_le_bytes() && head[4..] == seed.checksum(record).to_le_bytes()
}
