//! Sealing, verifying and scanning messages, one after the other as they lie in a buffer, which stays in the second-level
//! cache.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use esker_format::{
    ChecksumSeed, Epoch, LogId, Lsn, MESSAGE_HEADER_BYTES, MessageHeader, MessageKind, ScanContext, Scanner,
    SegmentBytes,
};

const LENS: [u32; 3] = [64, 256, 4096];
const BUFFER_BYTES: usize = 256 << 10;

fn header(len: u32, lsn: Lsn) -> MessageHeader {
    MessageHeader { kind: MessageKind::Inline, len, lsn, mark: Lsn::ZERO, epoch: Epoch::new(1) }
}

fn seed() -> ChecksumSeed {
    LogId::from_bytes([7; 16]).checksum_seed()
}

/// As many messages as fit, sealed.
fn messages(len: u32) -> Vec<u8> {
    let message_bytes = MESSAGE_HEADER_BYTES + len as usize;
    let mut bytes = vec![7; BUFFER_BYTES / message_bytes * message_bytes];
    for (index, message) in bytes.chunks_mut(message_bytes).enumerate() {
        header(len, Lsn::FIRST + (index * message_bytes) as u64).seal(message, seed());
    }
    bytes
}

/// The place of the next message, or of the first again.
fn next(at: usize, message_bytes: usize, end: usize) -> usize {
    if at + message_bytes < end { at + message_bytes } else { 0 }
}

fn seal(criterion: &mut Criterion) {
    let seed = seed();
    let mut group = criterion.benchmark_group("format/seal");
    for len in LENS {
        let header = header(len, Lsn::FIRST);
        let mut bytes = messages(len);
        group.throughput(Throughput::Bytes(header.message_bytes() as u64));
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
            let mut at = 0;
            bencher.iter(|| {
                let message = &mut bytes[at..at + header.message_bytes()];
                black_box(header).seal(black_box(message), black_box(seed));
                at = next(at, header.message_bytes(), bytes.len());
            });
        });
        header.verify(&bytes[..header.message_bytes()], seed).expect("what was sealed");
    }
    group.finish();
}

/// What a single read does with the bytes.
fn verify(criterion: &mut Criterion) {
    let seed = seed();
    let mut group = criterion.benchmark_group("format/verify");
    for len in LENS {
        let message_bytes = MESSAGE_HEADER_BYTES + len as usize;
        let bytes = messages(len);
        group.throughput(Throughput::Bytes(message_bytes as u64));
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
            let mut at = 0;
            bencher.iter(|| {
                let message = black_box(&bytes[at..at + message_bytes]);
                let (found, _) = MessageHeader::decode(message).expect("a header");
                found.verify(message, black_box(seed)).expect("a whole message");
                at = next(at, message_bytes, bytes.len());
                found
            });
        });
    }
    group.finish();
}

fn scan(criterion: &mut Criterion) {
    let seed = seed();
    let segment_bytes = SegmentBytes::new(1 << 20).expect("a power of two");
    let mut group = criterion.benchmark_group("format/scan");
    for len in LENS {
        let bytes = messages(len);
        let count = bytes.len() / (MESSAGE_HEADER_BYTES + len as usize);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
            bencher.iter(|| {
                let scanner = Scanner::new(black_box(&bytes), Lsn::FIRST, ScanContext::new(seed, segment_bytes));
                let whole = scanner.inspect(|message| _ = black_box(message)).filter(Result::is_ok).count();
                assert_eq!(whole, count);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, seal, verify, scan);
criterion_main!(benches);
