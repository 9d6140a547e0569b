//! Tests of the accountant: random operations against a plain model, and examples named for what they show.
//!
//! A build with `esker_sabotage` breaks a promise on purpose, so tests of the gates fail in it.

mod examples;
mod model;
mod recover;

use esker_format::{Lsn, SegmentBytes, SegmentId};

use crate::Accountant;

/// Size of a segment in the tests.
const BYTES: u64 = 4096;

fn segment_bytes() -> SegmentBytes {
    SegmentBytes::new(4096).expect("4096 is a segment size")
}

/// The base LSN of the n-th segment.
fn base(n: u64) -> Lsn {
    Lsn::new(n * BYTES)
}

fn slot(n: u32) -> SegmentId {
    SegmentId::new(n)
}

/// An accountant with segments 0..n allocated in slots 0..n.
fn filled(n: u64) -> Accountant {
    let mut accountant = Accountant::new(segment_bytes());
    for ordinal in 0..n {
        accountant.allocate(base(ordinal)).expect("there is no ceiling");
    }
    accountant
}
