//! The accountant: what happens once for each segment, and what happens at each read.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use esker_format::{Lsn, SegmentBytes};
use esker_segments::Accountant;

/// The segments of a log of 8 GiB.
const HELD: u64 = 512;
/// How many segments go through one step before the clock is looked at.
const STEPS: u64 = 64;

/// An accountant that holds this many segments and lets them go in the order in which they came.
struct Belt {
    accountant: Accountant,
    /// The base of the next segment, and that of the first which is active, held and freed but not yet free.
    next: Lsn,
    active: Lsn,
    held: Lsn,
}

impl Belt {
    fn new() -> Self {
        let accountant = Accountant::new(SegmentBytes::new(16 << 20).expect("a power of two"));
        let mut belt = Self { accountant, next: Lsn::ZERO, active: Lsn::ZERO, held: Lsn::ZERO };
        belt.allocate(HELD);
        belt.deactivate(HELD);
        belt
    }

    fn bytes(&self) -> u64 {
        u64::from(self.accountant.segment_bytes().get())
    }

    fn allocate(&mut self, count: u64) {
        for _ in 0..count {
            black_box(self.accountant.allocate(self.next).expect("the next base"));
            self.next = self.next + self.bytes();
        }
    }

    fn deactivate(&mut self, count: u64) {
        for _ in 0..count {
            self.active = self.active + self.bytes();
            black_box(self.accountant.deactivate_below(self.active).expect("allocated"));
        }
    }

    /// Frees, and opens both gates.
    fn free(&mut self, count: u64) {
        for _ in 0..count {
            self.held = self.held + self.bytes();
            for freed in self.accountant.free_before(self.held) {
                black_box(self.accountant.release(freed.ticket).expect("its own ticket"));
            }
            self.accountant.mark_floor_durable(self.held);
        }
    }
}

/// A step of a segment's life, by the segment.
fn life(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("segments");
    group.throughput(Throughput::Elements(1));
    for timed in ["allocate", "deactivate", "free"] {
        group.bench_function(timed, |bencher| {
            let mut belt = Belt::new();
            bencher.iter_custom(|iterations| {
                let mut elapsed = Duration::ZERO;
                let mut left = iterations;
                while left > 0 {
                    let count = left.min(STEPS);
                    left -= count;
                    for (name, step) in [
                        ("allocate", Belt::allocate as fn(&mut Belt, u64)),
                        ("deactivate", Belt::deactivate),
                        ("free", Belt::free),
                    ] {
                        let started = Instant::now();
                        step(&mut belt, count);
                        if name == timed {
                            elapsed += started.elapsed();
                        }
                    }
                }
                elapsed
            });
            // Slots were used again: otherwise it would be a growing file that was measured.
            assert!(u64::from(belt.accountant.slot_count()) <= HELD + STEPS);
        });
    }
    group.finish();
}

/// Where a byte of the log is in the file, asked for places all over the log.
fn locate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("segments/locate");
    group.throughput(Throughput::Elements(1));
    let belt = Belt::new();
    // A stride of an odd number of segments comes to each before it comes to one again.
    let stride = belt.bytes() * 311 + 4711;
    let places: Vec<_> = (0..2 * HELD).map(|step| Lsn::new(step * stride % belt.next.get())).collect();
    let mut places = places.iter().cycle();
    group.bench_function(BenchmarkId::from_parameter(HELD), |bencher| {
        bencher.iter(|| {
            let lsn = places.next().expect("endless");
            black_box(&belt.accountant).locate(black_box(*lsn)).expect("held")
        });
    });
    group.finish();
}

criterion_group!(benches, life, locate);
criterion_main!(benches);
