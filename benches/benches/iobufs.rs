//! The engine over a file that takes everything: claim, fill, complete; the exchange of a buffer; waiting for a sync.
//!
//! Buffers are as many and as large as a log's are by default, so that appends go through more memory than the first-level
//! caches hold, as they do in a log.

use std::{
    hint::black_box,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use esker_benches::engine_on_nothing;
use esker_format::{Lsn, MessageKind};
use esker_iobufs::IoBufs;

/// An engine whose buffers have all been in use.
fn warm_engine() -> IoBufs {
    let engine = engine_on_nothing();
    while append(&engine, &[7; 4096]).get() < 16 << 20 {}
    engine
}

fn append(engine: &IoBufs, payload: &[u8]) -> Lsn {
    engine.append(MessageKind::Inline, black_box(payload)).expect("there is room")
}

/// Lets each of some threads do `operation` as often as asked for, and returns how long all of them together took. Starting
/// the threads does not count.
fn together(threads: usize, iterations: u64, operation: impl Fn() + Sync) -> Duration {
    let gate = Barrier::new(threads);
    let spans: Vec<(Instant, Instant)> = thread::scope(|scope| {
        let run = || {
            gate.wait();
            let started = Instant::now();
            for _ in 0..iterations {
                operation();
            }
            (started, Instant::now())
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread that appends")).collect()
    });
    let started = spans.iter().map(|span| span.0).min().expect("at least one thread");
    spans.iter().map(|span| span.1).max().expect("at least one thread") - started
}

/// The time is that of one append of each thread, the throughput that of all.
fn appends(criterion: &mut Criterion) {
    for threads in [1, 2] {
        let mut group = criterion.benchmark_group(format!("iobufs/append/threads={threads}"));
        for len in [64, 256, 4096] {
            let engine = warm_engine();
            let payload = vec![7; len];
            group.throughput(Throughput::Elements(threads as u64));
            group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
                bencher.iter_custom(|iterations| {
                    together(threads, iterations, || _ = black_box(append(&engine, &payload)))
                });
            });
        }
        group.finish();
    }
}

fn append_all(criterion: &mut Criterion) {
    const BATCH: usize = 64;
    let mut group = criterion.benchmark_group(format!("iobufs/append_all/{BATCH}"));
    for len in [64, 256] {
        let engine = warm_engine();
        let payload = vec![7; len];
        let batch = [&payload[..]; BATCH];
        let mut lsns = Vec::with_capacity(BATCH);
        group.throughput(Throughput::Elements(BATCH as u64));
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
            bencher.iter(|| {
                lsns.clear();
                engine.append_all(MessageKind::Inline, black_box(&batch), &mut lsns).expect("there is room");
                black_box(lsns.last().copied())
            });
        });
    }
    group.finish();
}

/// What comes on top of an append if its buffer is exchanged and written, and if it is waited for: with a disk that takes no
/// time, this is what the engine itself adds.
fn commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("iobufs/commit");
    let payload = [7; 64];
    let engine = warm_engine();
    group.bench_function("append+write_out", |bencher| {
        bencher.iter(|| {
            append(&engine, &payload);
            engine.write_out().expect("a file that takes everything")
        });
    });
    for threads in [1, 2] {
        let engine = warm_engine();
        group.throughput(Throughput::Elements(threads as u64));
        group.bench_function(format!("append+make_stable/threads={threads}"), |bencher| {
            bencher.iter_custom(|iterations| {
                together(threads, iterations, || {
                    let lsn = append(&engine, &payload);
                    assert!(engine.make_stable(lsn).expect("a file that takes everything") > lsn);
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, appends, append_all, commit);
criterion_main!(benches);
