//! Transitions of the packed word: each by itself, and a whole life one after the other.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use esker_header::{BufferOffset, Header, Room};

const START: BufferOffset = BufferOffset::ZERO;

/// What comes in and what comes out is hidden from the optimizer, so that a transition can neither be computed beforehand nor
/// be left out. Nothing waits for the result, hence this is how many can be done in a time and not how long one takes.
fn transitions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("header");
    let room = room();
    let open = Header::open(START);
    let (claimed, _) = open.try_reserve(280, room).expect("there is room");
    let full = Header::open(room.end);
    let sealed = open.seal().expect("it was open");
    group.bench_function("try_reserve", |bencher| {
        bencher.iter(|| black_box(open).try_reserve(black_box(280), black_box(room)));
    });
    group.bench_function("try_reserve/full", |bencher| {
        bencher.iter(|| black_box(full).try_reserve(black_box(280), black_box(room)));
    });
    group.bench_function("leave", |bencher| bencher.iter(|| black_box(claimed).leave()));
    group.bench_function("seal", |bencher| bencher.iter(|| black_box(open).seal()));
    group.bench_function("reopen", |bencher| bencher.iter(|| black_box(sealed).reopen(black_box(START))));
    group.finish();
}

/// Two claims, a seal while both are filled, and the next life: each transition waits for the one before.
fn life(criterion: &mut Criterion) {
    let room = room();
    let mut word = Header::open(START);
    criterion.bench_function("header/life", |bencher| {
        bencher.iter(|| {
            let (one, _) = word.try_reserve(black_box(280), black_box(room)).expect("there is room");
            let (two, _) = one.try_reserve(black_box(280), black_box(room)).expect("there is room");
            let left = two.seal().and_then(Header::leave).and_then(Header::leave).expect("two writers");
            word = left.reopen(black_box(START)).expect("sealed and empty");
            word
        });
    });
    assert_ne!(word.salt(), Header::open(START).salt(), "it lived again");
}

fn room() -> Room {
    Room { end: BufferOffset::new(1 << 20).expect("in range"), remainder_min: 24 }
}

criterion_group!(benches, transitions, life);
criterion_main!(benches);
