//! Reading and opening logs on a real disk with a warm cache, beside the plainest thing that looks at the same bytes.
//!
//! Contenders take turns, round by round, in one run, because shared machines change from minute to minute: only ratios
//! within a run mean anything. Whatever is read is compared with what was appended.
//!
//! `cargo xtask bench read`; arguments after `--`: `--rounds N`, `--mib N` (size of the log that is read),
//! `--open-mib N,N` (sizes of the logs that are opened), `--only iterate,read,open`, `--dir PATH`.
#![expect(clippy::print_stdout, reason = "a benchmark that reports on stdout")]

use std::{
    fs::File,
    hint::black_box,
    io::{BufRead, BufReader, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use esker_format::{LogId, MESSAGE_HEADER_BYTES};
use esker_log::{Iter, Log, LogReader, Lsn, Options};
use esker_storage::FileStorage;

const RECORD_BYTES: usize = 256;
const MESSAGE_BYTES: usize = MESSAGE_HEADER_BYTES + RECORD_BYTES;
const SLICE_BYTES: usize = 1 << 20;
/// How many threads read at random.
const READERS: u64 = 2;
/// How many records each of them reads in a round.
const READS: u64 = 400_000;
/// What a process that is killed has appended, without waiting for any of it to be durable.
const APPENDED_BYTES: u64 = 32 << 20;
/// The first argument of the process that is to be killed.
const VICTIM: &str = "append-and-wait-to-be-killed";

struct Plan {
    rounds: usize,
    mib: u64,
    open_mib: Vec<u64>,
    only: Option<String>,
    dir: PathBuf,
}

/// One way to do what is measured, which says how it went.
type Contender<'a> = (&'a str, Box<dyn FnMut() -> f64 + 'a>);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|argument| argument == VICTIM) {
        return append_and_wait(Path::new(&arguments[1]));
    }
    let plan = plan(&arguments);
    let is_wanted = |group: &str| plan.only.as_ref().is_none_or(|only| only.split(',').any(|name| name == group));
    if is_wanted("iterate") || is_wanted("read") {
        let dir = directory(&plan);
        let lsns = fill(dir.path(), plan.mib << 20);
        if is_wanted("iterate") {
            iterate(&plan, dir.path(), &lsns);
        }
        if is_wanted("read") {
            read(&plan, dir.path(), &lsns);
        }
    }
    if is_wanted("open") {
        open_sizes(&plan);
    }
}

fn plan(arguments: &[String]) -> Plan {
    let mut plan = Plan { rounds: 7, mib: 512, open_mib: vec![1024, 8192], only: None, dir: std::env::temp_dir() };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} wants a value"));
        match argument.as_str() {
            "--rounds" => plan.rounds = value().parse().expect("a number"),
            "--mib" => plan.mib = value().parse().expect("a number"),
            "--open-mib" => plan.open_mib = value().split(',').map(|mib| mib.parse().expect("a number")).collect(),
            "--only" => plan.only = Some(value().clone()),
            "--dir" => plan.dir = PathBuf::from(value()),
            // Cargo says so.
            "--bench" => (),
            other => panic!("`{other}` means nothing here"),
        }
    }
    plan
}

fn directory(plan: &Plan) -> tempfile::TempDir {
    tempfile::Builder::new().prefix("esker-bench").tempdir_in(&plan.dir).expect("a directory to measure in")
}

fn open(dir: &Path) -> Log {
    Log::open(Arc::new(FileStorage::create(dir).expect("a directory")), Options::new()).expect("a log")
}

fn open_read_only(dir: &Path) -> LogReader {
    LogReader::open(Arc::new(FileStorage::open(dir).expect("a directory"))).expect("a log")
}

/// The record that is appended as the one with this number.
fn record(number: u64) -> [u8; RECORD_BYTES] {
    let mut bytes = [7; RECORD_BYTES];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// Appends `bytes` of payload, and returns the place of each record.
fn fill(dir: &Path, bytes: u64) -> Vec<Lsn> {
    let log = open(dir);
    let count = bytes / RECORD_BYTES as u64;
    let lsns = (0..count).map(|number| log.append(&record(number)).expect("an append")).collect();
    log.close().expect("a close");
    lsns
}

/// Runs every contender once in each round, the first of which warms up, and returns what each measured.
fn interleave(rounds: usize, contenders: &mut [Contender<'_>]) -> Vec<Vec<f64>> {
    let mut measured = vec![Vec::new(); contenders.len()];
    for round in 0..=rounds {
        for ((_, run), measured) in contenders.iter_mut().zip(&mut measured) {
            let value = run();
            if round > 0 {
                measured.push(value);
            }
        }
    }
    measured.iter_mut().for_each(|values| values.sort_by(f64::total_cmp));
    measured
}

/// Prints rates, and how they compare with that of the first contender.
fn report(title: &str, contenders: &[&str], rates: &[Vec<f64>]) {
    println!("{title}, medians (min to max)");
    for (name, values) in contenders.iter().zip(rates) {
        let spread = format!("({:.0} to {:.0})", values[0], values[values.len() - 1]);
        let ratio = median(values) / median(&rates[0]);
        println!("{name:<48} {:>12.0} {spread:>26} {ratio:>8.2}", median(values));
    }
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

fn iterate(plan: &Plan, dir: &Path, lsns: &[Lsn]) {
    let count = lsns.len() as u64;
    let rate = |started: Instant| count as f64 / started.elapsed().as_secs_f64();
    // Beyond is what the last segment has left, which nobody has to read.
    let end = lsns[lsns.len() - 1].get() + MESSAGE_BYTES as u64;
    let seed = LogId::from_bytes([7; 16]).checksum_seed();
    // One buffer for all, as whoever reads in a loop has.
    let mut slice = vec![0; SLICE_BYTES];
    let mut pieces = vec![0; SLICE_BYTES / MESSAGE_BYTES * MESSAGE_BYTES];
    let mut contenders: Vec<Contender<'_>> = vec![
        (
            "reads of 1 MiB, crc32 of each",
            Box::new(|| {
                let started = Instant::now();
                plain(dir, end, &mut slice, |bytes| _ = black_box(seed.checksum(bytes)));
                rate(started)
            }),
        ),
        (
            "reads of 1 MiB, crc32 of every 280 bytes",
            Box::new(|| {
                let started = Instant::now();
                plain(dir, end, &mut pieces, |bytes| {
                    bytes.chunks(MESSAGE_BYTES).for_each(|piece| _ = black_box(seed.checksum(piece)));
                });
                rate(started)
            }),
        ),
        (
            "esker: LogReader::open and iterate",
            Box::new(|| {
                let started = Instant::now();
                let reader = open_read_only(dir);
                check_all(reader.iter_from(reader.floor()), count);
                rate(started)
            }),
        ),
        (
            "esker: Log::open and iterate",
            Box::new(|| {
                let started = Instant::now();
                let log = open(dir);
                check_all(log.iter_from(log.floor()).expect("an iterator"), count);
                rate(started)
            }),
        ),
        (
            "the same, each record with memory of its own",
            Box::new(|| {
                let started = Instant::now();
                let log = open(dir);
                let mut number = 0;
                for found in log.iter_from(log.floor()).expect("an iterator") {
                    check(found.expect("a record").payload(), &mut number);
                }
                assert_eq!(number, count);
                rate(started)
            }),
        ),
    ];
    let rates = interleave(plan.rounds, &mut contenders);
    let names: Vec<_> = contenders.iter().map(|(name, _)| *name).collect();
    report(&format!("open and iterate, {} MiB of {RECORD_BYTES}-byte records: records/s", plan.mib), &names, &rates);
}

/// Iterates over all records, which must be those that were appended.
fn check_all(mut records: Iter, count: u64) {
    let mut number = 0;
    while let Some(found) = records.next_record() {
        check(found.expect("a record").payload(), &mut number);
    }
    assert_eq!(number, count);
}

fn check(payload: &[u8], number: &mut u64) {
    assert_eq!(payload.len(), RECORD_BYTES);
    assert_eq!(payload[..8], number.to_le_bytes());
    *number += 1;
}

/// Reads the file of segments in slices, up to the LSN `end` of a log that was never truncated.
fn plain(dir: &Path, end: u64, slice: &mut [u8], mut visit: impl FnMut(&[u8])) {
    let file = File::open(dir.join("log")).expect("the file of segments");
    let mut at = 0;
    while at < end {
        let wanted = slice.len().min((end - at) as usize);
        let read = file.read_at(&mut slice[..wanted], at).expect("a read");
        assert!(read > 0, "the file ends at {at}, before its log does");
        visit(&slice[..read]);
        at += read as u64;
    }
}

/// A generator of places that costs next to nothing.
fn next_random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Lets some threads run `read` with random numbers below `count`, and returns how often a second it was run in all.
fn at_random(count: u64, read: &(impl Fn(&mut [u8], u64) + Sync)) -> f64 {
    let started = Instant::now();
    thread::scope(|scope| {
        for reader in 0..READERS {
            scope.spawn(move || {
                let mut state = 0x9e37_79b9_7f4a_7c15 ^ (reader + 1);
                let mut bytes = vec![0; MESSAGE_BYTES];
                for _ in 0..READS {
                    read(&mut bytes, next_random(&mut state) % count);
                }
            });
        }
    });
    (READERS * READS) as f64 / started.elapsed().as_secs_f64()
}

fn read(plan: &Plan, dir: &Path, lsns: &[Lsn]) {
    let count = lsns.len() as u64;
    let file = File::open(dir.join("log")).expect("the file of segments");
    let log = open(dir);
    let reader = open_read_only(dir);
    // Segments of a log that was never truncated lie in the file as they do in the log.
    let pread = |bytes: &mut [u8], number: u64| {
        file.read_exact_at(bytes, lsns[number as usize].get()).expect("a read");
        assert_eq!(bytes[MESSAGE_HEADER_BYTES..][..8], number.to_le_bytes());
    };
    let from_log = |_: &mut [u8], number: u64| {
        check(log.read(lsns[number as usize]).expect("a record").payload(), &mut { number });
    };
    let from_reader = |_: &mut [u8], number: u64| {
        check(reader.read(lsns[number as usize]).expect("a record").payload(), &mut { number });
    };
    let mut contenders: Vec<Contender<'_>> = vec![
        ("pread of the 280 bytes", Box::new(|| at_random(count, &pread))),
        ("esker: Log::read", Box::new(|| at_random(count, &from_log))),
        ("esker: LogReader::read", Box::new(|| at_random(count, &from_reader))),
    ];
    let rates = interleave(plan.rounds, &mut contenders);
    let names: Vec<_> = contenders.iter().map(|(name, _)| *name).collect();
    report(&format!("random reads of {RECORD_BYTES}-byte records, {READERS} threads: reads/s"), &names, &rates);
}

fn open_sizes(plan: &Plan) {
    let logs: Vec<_> = plan.open_mib.iter().map(|&mib| (mib, directory(plan))).collect();
    for (mib, dir) in &logs {
        drop(fill(dir.path(), mib << 20));
    }
    // What was just written reaches the disk before anything is measured.
    Command::new("sync").status().expect("sync");
    let mut names = Vec::new();
    let mut contenders: Vec<Contender<'_>> = Vec::new();
    for (mib, dir) in &logs {
        let dir = dir.path();
        names.push(format!("closed in good order, {mib} MiB"));
        contenders.push(("clean", Box::new(move || timed_open(dir))));
        names.push(format!("killed after {} MiB of appends, {mib} MiB", APPENDED_BYTES >> 20));
        contenders.push((
            "killed",
            Box::new(move || {
                kill_an_appender(dir);
                let milliseconds = timed_open(dir);
                give_up_as_much(dir);
                milliseconds
            }),
        ));
    }
    let times = interleave(plan.rounds, &mut contenders);
    println!("Log::open: milliseconds, medians (min to max)");
    for (name, values) in names.iter().zip(&times) {
        let spread = format!("({:.2} to {:.2})", values[0], values[values.len() - 1]);
        println!("{name:<48} {:>12.2} {spread:>26}", median(values));
    }
}

/// Opens the log and returns how many milliseconds that took. Closes it in good order.
fn timed_open(dir: &Path) -> f64 {
    let started = Instant::now();
    let log = open(dir);
    let elapsed: Duration = started.elapsed();
    log.close().expect("a close");
    elapsed.as_secs_f64() * 1e3
}

/// Gives up about as much of the log as the killed process added, so that all rounds open logs of one size.
fn give_up_as_much(dir: &Path) {
    let log = open(dir);
    log.truncate_before(log.floor() + APPENDED_BYTES).expect("a truncation");
    log.close().expect("a close");
}

/// Lets another process append to the log, and kills it.
fn kill_an_appender(dir: &Path) {
    let program = std::env::current_exe().expect("this program");
    let mut child =
        Command::new(program).arg(VICTIM).arg(dir).stdout(Stdio::piped()).spawn().expect("a process that appends");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    assert_eq!(line, "appended\n");
    child.kill().expect("SIGKILL");
    child.wait().expect("the end of the process");
}

/// What the process does that is to be killed.
fn append_and_wait(dir: &Path) {
    let log = open(dir);
    for number in 0..APPENDED_BYTES / RECORD_BYTES as u64 {
        log.append(&record(number)).expect("an append");
    }
    println!("appended");
    std::io::stdout().flush().expect("a pipe");
    thread::sleep(Duration::from_secs(60));
}
