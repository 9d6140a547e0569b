//! The hot paths of each layer, each a fixed number of times, for callgrind to count the instructions of.
//!
//! Run by `cargo xtask counts`, which tells callgrind to collect inside [`collected_by_callgrind`] only and to write out
//! what it collected each time that returns. So nothing else may be in there, and the operations themselves are the same
//! in each run: no clock, no random number, one thread. For each path one line on stdout: its name and how many operations
//! were collected, in the order of callgrind's files; the first line names the processor features that decide which code
//! runs. What the operations give is checked, outside of what is counted.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "reports to `cargo xtask counts` on stdout")]

use std::{hint::black_box, sync::Arc};

use esker_benches::engine_on_nothing;
use esker_format::{
    Epoch, LogId, Lsn, MESSAGE_HEADER_BYTES, MessageHeader, MessageKind, ScanContext, Scanner, SegmentBytes,
};
use esker_header::{BufferOffset, Header, Room};
use esker_log::{Log, Options};
use esker_segments::Accountant;
use esker_storage::MemStorage;

fn main() {
    println!("features {}", features());
    header();
    for len in [64, 256, 4096] {
        seal(len);
    }
    scan(256);
    accountant();
    for len in [64, 256, 4096] {
        engine_append(len);
    }
    engine_append_all(64);
    engine_reserve(64);
    engine_exchange();
    engine_durable();
    log_append(256);
    log_read(256);
    log_iterate(256);
}

/// Runs `operations`, and nothing else. The name is what callgrind looks for.
#[inline(never)]
fn collected_by_callgrind(operations: impl FnOnce()) {
    operations();
}

/// What was collected is written out when this returns. A function of its own, because callgrind does not do both for one.
#[inline(never)]
fn written_out_by_callgrind(operations: impl FnOnce()) {
    collected_by_callgrind(operations);
}

/// Lets callgrind collect `operations`, which are `count` of those that `path` names.
fn count(path: &str, count: u64, operations: impl FnOnce()) {
    written_out_by_callgrind(operations);
    println!("path {path} {count}");
}

/// The features by which the standard library and the checksum choose their code.
#[cfg(target_arch = "x86_64")]
fn features() -> String {
    let known = [
        ("sse4.1", is_x86_feature_detected!("sse4.1")),
        ("pclmulqdq", is_x86_feature_detected!("pclmulqdq")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("vpclmulqdq", is_x86_feature_detected!("vpclmulqdq")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
    ];
    let there: Vec<_> = known.iter().filter(|(_, is_there)| *is_there).map(|(name, _)| *name).collect();
    there.join("+")
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> String {
    "unknown".to_owned()
}

fn header() {
    const OPERATIONS: u64 = 10_000;
    let room = Room { end: BufferOffset::new(1 << 20).expect("in range"), remainder_min: 24 };
    let open = Header::open(BufferOffset::ZERO);
    count("header/try_reserve+leave", OPERATIONS, || {
        for _ in 0..OPERATIONS {
            let (claimed, at) = black_box(open).try_reserve(black_box(280), black_box(room)).expect("there is room");
            black_box(at);
            black_box(black_box(claimed).leave());
        }
    });
}

fn message(len: usize, lsn: Lsn) -> MessageHeader {
    MessageHeader { kind: MessageKind::Inline, len: len as u32, lsn, mark: Lsn::ZERO, epoch: Epoch::new(1) }
}

fn seal(len: usize) {
    const OPERATIONS: u64 = 2_000;
    let seed = LogId::from_bytes([7; 16]).checksum_seed();
    let header = message(len, Lsn::FIRST);
    let mut bytes = vec![7; MESSAGE_HEADER_BYTES + len];
    count(&format!("format/seal/{len}"), OPERATIONS, || {
        for _ in 0..OPERATIONS {
            black_box(header).seal(black_box(&mut bytes), black_box(seed));
        }
    });
    header.verify(&bytes, seed).expect("what was sealed");
}

fn scan(len: usize) {
    const OPERATIONS: u64 = 2_000;
    let seed = LogId::from_bytes([7; 16]).checksum_seed();
    let segment_bytes = SegmentBytes::new(1 << 20).expect("a power of two");
    let message_bytes = MESSAGE_HEADER_BYTES + len;
    let mut bytes = vec![7; OPERATIONS as usize * message_bytes];
    for (index, bytes) in bytes.chunks_mut(message_bytes).enumerate() {
        message(len, Lsn::FIRST + (index * message_bytes) as u64).seal(bytes, seed);
    }
    let scanner = Scanner::new(&bytes, Lsn::FIRST, ScanContext::new(seed, segment_bytes));
    let mut found = 0;
    count(&format!("format/scan/{len}"), OPERATIONS, || {
        for message in scanner {
            black_box(&message);
            found += u64::from(message.is_ok());
        }
    });
    assert_eq!(found, OPERATIONS);
}

fn accountant() {
    const OPERATIONS: u64 = 2_000;
    const HELD: u64 = 64;
    let segment_bytes = SegmentBytes::new(1 << 20).expect("a power of two");
    let bytes = u64::from(segment_bytes.get());
    let mut accountant = Accountant::new(segment_bytes);
    let mut base = Lsn::ZERO;
    let allocate = |accountant: &mut Accountant, base: &mut Lsn| {
        black_box(accountant.allocate(*base).expect("the next base"));
        *base = *base + bytes;
        accountant.deactivate_below(*base).expect("allocated");
    };
    for _ in 0..HELD {
        allocate(&mut accountant, &mut base);
    }
    count("segments/allocate+free", OPERATIONS, || {
        for _ in 0..OPERATIONS {
            allocate(&mut accountant, &mut base);
            let floor = Lsn::new(base.get() - HELD * bytes);
            for freed in accountant.free_before(floor) {
                accountant.release(freed.ticket).expect("its own ticket");
            }
            accountant.mark_floor_durable(floor);
        }
    });
    assert_eq!(accountant.slot_count(), HELD as u32 + 1);
    let lsn = Lsn::new(base.get() - bytes / 2);
    count("segments/locate", OPERATIONS, || {
        for _ in 0..OPERATIONS {
            black_box(black_box(&accountant).locate(black_box(lsn)));
        }
    });
    assert!(accountant.locate(lsn).is_some());
}

/// Enough to go through several buffers, so that each append bears its part of exchanging and writing them.
fn operations_for(len: usize) -> u64 {
    (8 << 20) / (MESSAGE_HEADER_BYTES + len) as u64
}

fn engine_append(len: usize) {
    let engine = engine_on_nothing();
    let payload = vec![7; len];
    let operations = operations_for(len);
    count(&format!("iobufs/append/{len}"), operations, || {
        for _ in 0..operations {
            black_box(engine.append(MessageKind::Inline, black_box(&payload)).expect("there is room"));
        }
    });
    assert!(engine.stats().writes >= 7, "{:?}", engine.stats());
}

fn engine_reserve(len: usize) {
    let engine = engine_on_nothing();
    let payload = vec![7; len];
    let operations = operations_for(len);
    count(&format!("iobufs/reserve+complete/{len}"), operations, || {
        for _ in 0..operations {
            let mut reservation = engine.reserve(MessageKind::Inline, len as u32).expect("there is room");
            reservation.payload_mut().copy_from_slice(black_box(&payload));
            black_box(reservation.complete());
        }
    });
    assert!(engine.stats().writes >= 7, "{:?}", engine.stats());
}

fn engine_append_all(len: usize) {
    const BATCH: u64 = 64;
    let engine = engine_on_nothing();
    let payload = vec![7; len];
    let batch = vec![&payload[..]; BATCH as usize];
    let batches = operations_for(len) / BATCH;
    let mut lsns = Vec::with_capacity(BATCH as usize);
    count(&format!("iobufs/append_all/{len}"), batches * BATCH, || {
        for _ in 0..batches {
            lsns.clear();
            engine.append_all(MessageKind::Inline, black_box(&batch), &mut lsns).expect("there is room");
            black_box(&lsns);
        }
    });
    assert_eq!(lsns.len() as u64, BATCH);
}

fn engine_exchange() {
    const OPERATIONS: u64 = 2_000;
    let engine = engine_on_nothing();
    let append = || engine.append(MessageKind::Inline, &[]).expect("there is room");
    count("iobufs/append+write_out/0", OPERATIONS, || {
        for _ in 0..OPERATIONS {
            append();
            black_box(engine.write_out().expect("a file that takes everything"));
        }
    });
    assert_eq!(engine.stats().writes, OPERATIONS);
}

fn engine_durable() {
    const OPERATIONS: u64 = 2_000;
    let engine = engine_on_nothing();
    count("iobufs/append+make_stable/0", OPERATIONS, || {
        for _ in 0..OPERATIONS {
            let lsn = engine.append(MessageKind::Inline, &[]).expect("there is room");
            black_box(engine.make_stable(lsn).expect("a file that takes everything"));
        }
    });
    assert_eq!(engine.stats().syncs, OPERATIONS);
}

/// A log in memory with an identity of its own, so that its bytes are the same in each run.
fn log() -> Log {
    Log::open(Arc::new(MemStorage::default()), Options::new().background(false).log_id(LogId::from_bytes([7; 16])))
        .expect("a new log")
}

fn log_append(len: usize) {
    let log = log();
    let payload = vec![7; len];
    let operations = operations_for(len);
    count(&format!("log/append/{len}"), operations, || {
        for _ in 0..operations {
            black_box(log.append(black_box(&payload)).expect("there is room"));
        }
    });
    assert!(log.stats().engine.writes >= 7, "{:?}", log.stats());
}

fn log_read(len: usize) {
    const OPERATIONS: u64 = 2_000;
    let log = log();
    let payload = vec![7; len];
    let lsns: Vec<_> = (0..OPERATIONS).map(|_| log.append(&payload).expect("there is room")).collect();
    let read_all = || {
        for &lsn in &lsns {
            assert_eq!(log.read(black_box(lsn)).expect("a record").payload().len(), len);
        }
    };
    assert_eq!(log.stats().engine.writes, 0, "everything is in memory");
    count(&format!("log/read/memory/{len}"), OPERATIONS, read_all);
    assert_eq!(log.stats().engine.writes, 0, "everything still is");
    log.flush().expect("a flush");
    count(&format!("log/read/file/{len}"), OPERATIONS, read_all);
}

fn log_iterate(len: usize) {
    const OPERATIONS: u64 = 10_000;
    let log = log();
    let payload = vec![7; len];
    for _ in 0..OPERATIONS {
        log.append(&payload).expect("there is room");
    }
    let mut records = log.iter_from(log.floor()).expect("an iterator");
    let mut found = 0;
    count(&format!("log/iterate/{len}"), OPERATIONS, || {
        while let Some(record) = records.next_record() {
            black_box(record.expect("a record").payload());
            found += 1;
        }
    });
    assert_eq!(found, OPERATIONS);
}
