//! Sealing and scanning messages.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use esker_format::{
    Epoch, LogId, Lsn, MESSAGE_HEADER_BYTES, MessageHeader, MessageKind, ScanContext, Scanner, SegmentBytes,
};

fn header(len: u32, lsn: Lsn) -> MessageHeader {
    MessageHeader { kind: MessageKind::Inline, len, lsn, mark: Lsn::ZERO, epoch: Epoch::new(1) }
}

fn seal(criterion: &mut Criterion) {
    let seed = LogId::from_bytes([7; 16]).checksum_seed();
    let mut group = criterion.benchmark_group("format/seal");
    for len in [64, 256, 4096] {
        let mut message = vec![7; MESSAGE_HEADER_BYTES + len as usize];
        group.throughput(Throughput::Bytes(u64::from(len)));
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
            bencher.iter(|| header(len, Lsn::FIRST).seal(black_box(&mut message), seed));
        });
    }
    group.finish();
}

fn scan(criterion: &mut Criterion) {
    let seed = LogId::from_bytes([7; 16]).checksum_seed();
    let segment_bytes = SegmentBytes::new(1 << 20).expect("a power of two");
    let mut group = criterion.benchmark_group("format/scan");
    for len in [64u32, 256, 4096] {
        let message_bytes = MESSAGE_HEADER_BYTES + len as usize;
        let mut bytes = vec![7; (900 << 10) / message_bytes * message_bytes];
        for (index, message) in bytes.chunks_mut(message_bytes).enumerate() {
            header(len, Lsn::FIRST + (index * message_bytes) as u64).seal(message, seed);
        }
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
            bencher.iter(|| {
                let scanner = Scanner::new(black_box(&bytes), Lsn::FIRST, ScanContext::new(seed, segment_bytes));
                assert_eq!(scanner.filter(|step| step.is_ok()).count(), bytes.len() / message_bytes);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, seal, scan);
criterion_main!(benches);
