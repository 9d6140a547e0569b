//! The policies on simulated stores, against what an independent simulator of the same rules gives.

#[path = "../examples/wa/sim.rs"]
mod sim;

use esker_format::Lsn;
use esker_segments::{
    UsageTable,
    cleaning::{Greedy, Policy, Rate, Sepbit},
};
use sim::{Shape, Workload, run};

/// Smaller than is good for cleaning, so that it takes no time.
const SHAPE: Shape = Shape { segments: 256, records: 64, reserve: 4 };

#[track_caller]
fn assert_written(policy: &dyn Policy, workload: Workload, wanted: f64) {
    let found = run(SHAPE, policy, workload, 0.8, 7).amplification();
    assert!((found / wanted - 1.0).abs() < 0.03, "{policy:?} on {workload:?}: {found:.3}, not {wanted}");
}

#[test]
fn sorting_by_rate_writes_what_the_simulator_says() {
    assert_written(&Rate::two_and_two(), Workload::Zipf, 2.13);
    assert_written(&Rate::three_and_three(), Workload::Zipf, 1.98);
    assert_written(&Rate::six_and_three(), Workload::Hot, 2.23);
}

#[test]
fn greedy_cleaning_writes_what_the_simulator_says() {
    assert_written(&Greedy::new(), Workload::Uniform, 2.76);
}

#[test]
fn sorting_by_life_and_age_writes_what_the_simulator_says() {
    assert_written(&Sepbit::new(), Workload::Zipf, 2.17);
}

#[test]
fn the_number_of_streams_follows_the_spare_space() {
    let streams = |spare| {
        let streams = Rate::for_spare_segments(spare).streams();
        (streams.user, streams.moved)
    };
    assert_eq!([0, 49, 50, 199, 200, 10_000].map(streams), [(2, 2), (2, 2), (3, 3), (3, 3), (6, 3), (6, 3)]);
}

#[test]
fn sums_are_exact_and_what_is_empty_is_chosen_first() {
    let [a, b, c] = [0, 4096, 8192].map(Lsn::new);
    let mut table = UsageTable::new(Rate::three_and_three().boxed(), 4000);
    let first = table.place_write(None);
    for (segment, bytes) in [(a, 1000), (a, 3000), (b, 2000), (c, 500)] {
        table.written(segment, bytes, &first);
    }
    assert_eq!((table.live_bytes(), table.live_records()), (6500, 4));
    assert_eq!(table.choose([a]), None, "there is nothing to gain");
    table.died(a, 1000);
    // Told in the other order, as happens between threads.
    table.died(b, 100);
    table.written(b, 100, &first);
    assert_eq!([a, b, c].map(|segment| table.live_bytes_in(segment)), [3000, 2000, 500]);
    assert_eq!(table.choose([a, b]), Some(b));

    let placement = table.place_move(b);
    assert!((3..6).contains(&placement.stream), "{placement:?}");
    table.moved(c, 2000, &placement);
    table.left(b, 2000);
    assert_eq!(table.choose([a, b, c]), Some(b), "empty");
    table.forget(b);
    // Too late, and without effect.
    table.died(b, 5);
    assert_eq!((table.live_bytes(), table.live_records()), (5500, 3));
    assert_eq!(
        table.iter().map(|(segment, usage)| (segment, usage.live_records())).collect::<Vec<_>>(),
        [(a, 1), (c, 2)]
    );
}

#[test]
fn what_is_found_is_taken_to_be_as_likely_to_die_as_all_the_rest() {
    let mut table = UsageTable::new(Rate::three_and_three().boxed(), 4000);
    for nth in 0..64 {
        table.found(Lsn::new(nth / 16 * 4096), 3, 100);
    }
    table.all_found();
    for (_, usage) in table.iter() {
        assert_eq!((usage.stream(), usage.live_records(), usage.interval(0)), (3, 16, 64.0));
    }
}

#[test]
fn what_dies_fast_is_sorted_away_from_what_does_not() {
    let mut table = UsageTable::new(Rate::three_and_three().boxed(), 100_000);
    let (hot, cold) = (Lsn::new(0), Lsn::new(1 << 20));
    let first = table.place_write(None);
    for _ in 0..1000 {
        table.written(cold, 10, &first);
    }
    table.written(hot, 10, &first);
    for _ in 0..1000 {
        let placement = table.place_write(Some(hot));
        table.written(hot, 10, &placement);
        table.died(hot, 10);
    }
    let hot_again = table.place_write(Some(hot));
    let cold_again = table.place_write(Some(cold));
    assert!(hot_again.interval_log2 < cold_again.interval_log2, "{hot_again:?} {cold_again:?}");
    assert_eq!((hot_again.stream, cold_again.stream), (0, 2));
    assert_eq!((table.place_move(hot).stream, table.place_move(cold).stream), (3, 5));
}
