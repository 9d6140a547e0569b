//! The accountant: a lap of allocation, deactivation, freeing and reuse.

use criterion::{Criterion, criterion_group, criterion_main};
use esker_format::{Lsn, SegmentBytes};
use esker_segments::Accountant;

fn lap(criterion: &mut Criterion) {
    let segment_bytes = SegmentBytes::new(1 << 20).expect("a power of two");
    let bytes = u64::from(segment_bytes.get());
    criterion.bench_function("segments/lap", |bencher| {
        let mut accountant = Accountant::new(segment_bytes);
        let mut base = Lsn::ZERO;
        bencher.iter(|| {
            let allocation = accountant.allocate(base).expect("the next base");
            base = base + bytes;
            accountant.deactivate_below(base).expect("allocated");
            for freed in accountant.free_before(base) {
                accountant.release(freed.ticket).expect("its own ticket");
            }
            accountant.mark_floor_durable(base);
            allocation
        });
        assert!(accountant.slot_count() <= 2);
    });
}

criterion_group!(benches, lap);
criterion_main!(benches);
