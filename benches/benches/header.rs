//! Transitions of the packed word.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use esker_header::{BufferOffset, Header, Room};

fn transitions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("header");
    let room = Room { end: BufferOffset::new(1 << 20).expect("in range"), remainder_min: 24 };
    let open = Header::open(BufferOffset::ZERO);
    group.bench_function("try_reserve", |bencher| bencher.iter(|| black_box(open).try_reserve(black_box(280), room)));
    let (claimed, _) = open.try_reserve(280, room).expect("there is room");
    group.bench_function("leave", |bencher| bencher.iter(|| black_box(claimed).leave()));
    group.finish();
}

criterion_group!(benches, transitions);
criterion_main!(benches);
