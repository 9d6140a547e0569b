//! A few simulated power cuts in every test run; `cargo xtask crash` makes many.

#[path = "../examples/crash/harness.rs"]
mod harness;

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let mut cuts = 0;
    for seed in 0..300 {
        match harness::run(seed) {
            Ok(tally) => cuts += tally.cuts,
            Err(violation) => panic!("seed {seed}: {violation}"),
        }
    }
    assert!(cuts > 300, "{cuts} power cuts are too few to mean anything");
}
