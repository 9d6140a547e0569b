//! Without faults, and without a crash, the simulated disk is a storage like any other.

use std::sync::Arc;

use esker_sim::{Faults, SimStorage};
use esker_storage::conformance;

#[test]
fn a_disk_without_faults_conforms() {
    conformance::run(&|| Arc::new(SimStorage::new(0, Faults::default())));
}

#[test]
fn what_a_crash_left_conforms() {
    conformance::run(&|| {
        let disk = SimStorage::new(0, Faults::default());
        disk.crash();
        Arc::new(disk.after_crash(1))
    });
}

#[test]
fn a_large_enough_disk_conforms() {
    let faults = Faults { capacity_bytes: Some(64 << 20), ..Faults::default() };
    conformance::run(&|| Arc::new(SimStorage::new(0, faults.clone())));
}
