//! The whole log in memory: what it costs where the disk costs nothing.
//!
//! Logs on a real disk are measured by `commit` and `read`.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use esker_log::{Log, LogReader, Lsn, Options};
use esker_storage::MemStorage;

/// How much is appended before it is given up again, so that a benchmark of any length takes little memory and appends to
/// segments that were used before, as a log does that has run for long.
const LAP_BYTES: u64 = 32 << 20;
/// Records that are read: so few that they fit one buffer.
const RECORDS: u64 = 2000;
const RECORD_BYTES: usize = 256;

/// A log in memory, and nothing that works for it beside those who are measured.
fn log() -> Log {
    Log::open(Arc::<MemStorage>::default(), Options::new().background(false)).expect("a log in memory")
}

/// Does `append` as often as asked for and returns how long that took, without the truncations that follow each lap.
fn in_laps(log: &Log, iterations: u64, len: usize, append: impl Fn() -> Lsn) -> Duration {
    let lap = LAP_BYTES / len as u64;
    let mut elapsed = Duration::ZERO;
    let mut left = iterations;
    while left > 0 {
        let count = left.min(lap);
        left -= count;
        let mut last = Lsn::ZERO;
        let started = Instant::now();
        for _ in 0..count {
            last = black_box(append());
        }
        elapsed += started.elapsed();
        log.truncate_before(last).expect("a truncation");
    }
    // Otherwise it would be a growing file that was measured.
    assert!(log.stats().segments.slots <= 8, "{:?}", log.stats());
    elapsed
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log/append");
    group.throughput(Throughput::Elements(1));
    for len in [64, 256, 4096] {
        let log = log();
        let payload = vec![7; len];
        // Every segment there will be has been written to once.
        in_laps(&log, 4 * LAP_BYTES / len as u64, len, || log.append(&payload).expect("there is room"));
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
            bencher.iter_custom(|iterations| {
                in_laps(&log, iterations, len, || log.append(black_box(&payload)).expect("there is room"))
            });
        });
    }
    group.finish();
}

fn durable(criterion: &mut Criterion) {
    let log = log();
    let payload = [7; RECORD_BYTES];
    criterion.bench_function("log/append+make_stable", |bencher| {
        bencher.iter_custom(|iterations| {
            in_laps(&log, iterations, RECORD_BYTES, || {
                let lsn = log.append(black_box(&payload)).expect("there is room");
                assert!(log.make_stable(lsn).expect("a log in memory") > lsn);
                lsn
            })
        });
    });
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log/read");
    group.throughput(Throughput::Elements(1));
    let log = log();
    let lsns: Vec<_> = (0..RECORDS).map(|number| log.append(&record(number)).expect("there is room")).collect();
    let mut bench = |name: &str| {
        let mut numbers = (0..RECORDS).cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let number = numbers.next().expect("endless");
                let found = log.read(black_box(lsns[number as usize])).expect("a record");
                assert_eq!(found.payload()[..8], number.to_le_bytes());
                found
            });
        });
    };
    bench("memory");
    assert_eq!(log.stats().engine.writes, 0, "everything was read from memory");
    log.flush().expect("a flush");
    bench("file");
    group.finish();
}

fn iterate(criterion: &mut Criterion) {
    const RECORDS: u64 = 20_000;
    let mut group = criterion.benchmark_group("log/iterate");
    group.throughput(Throughput::Elements(RECORDS));
    let log = log();
    for number in 0..RECORDS {
        log.append(&record(number)).expect("there is room");
    }
    group.bench_function("lent", |bencher| {
        bencher.iter(|| {
            let mut records = log.iter_from(log.floor()).expect("an iterator");
            let mut found = 0;
            while let Some(record) = records.next_record() {
                black_box(record.expect("a record").payload());
                found += 1;
            }
            assert_eq!(found, RECORDS);
        });
    });
    group.bench_function("given", |bencher| {
        bencher.iter(|| {
            let mut found = 0;
            for record in log.iter_from(log.floor()).expect("an iterator") {
                black_box(record.expect("a record").payload());
                found += 1;
            }
            assert_eq!(found, RECORDS);
        });
    });
    group.finish();
}

/// Opening a log of some segments that was closed in good order; for writing with its thread in the background, which is
/// started then.
fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log/open");
    for segments in [4, 64] {
        let storage = Arc::<MemStorage>::default();
        let options = || Options::new().segment_bytes(64 << 10).buffer_bytes(16 << 10);
        let log = Log::open(storage.clone(), options()).expect("a new log");
        while log.end_lsn().get() < segments * (64 << 10) {
            log.append(&[7; RECORD_BYTES]).expect("there is room");
        }
        let end = log.close().expect("a close");
        group.bench_function(BenchmarkId::new("write", segments), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut elapsed = Duration::ZERO;
                for _ in 0..iterations {
                    let started = Instant::now();
                    let log = Log::open(storage.clone(), options()).expect("a log");
                    elapsed += started.elapsed();
                    assert_eq!(log.end_lsn(), end);
                    log.close().expect("a close");
                }
                elapsed
            });
        });
        group.bench_function(BenchmarkId::new("read", segments), |bencher| {
            bencher.iter(|| {
                let reader = LogReader::open(storage.clone()).expect("a log");
                assert_eq!(reader.end_lsn(), end);
                reader
            });
        });
    }
    group.finish();
}

fn record(number: u64) -> [u8; RECORD_BYTES] {
    let mut bytes = [7; RECORD_BYTES];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

criterion_group!(benches, append, durable, read, iterate, open);
criterion_main!(benches);
