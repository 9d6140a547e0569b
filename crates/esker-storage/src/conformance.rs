//! Checks that a storage keeps the contract, as far as that shows without cutting the power.
//!
//! Owns one check per clause of the documentation of [`Storage`] and [`StorageFile`](crate::StorageFile). Refuses to know any implementation: whoever writes one runs this suite in its tests. What a crash may take, and what a
//! sync must save from it, cannot be seen from here; that sync calls succeed and change no byte can.
//!
//! # Invariants
//!
//! - **C1 (a fresh storage each):** every check gets a storage of its own, which must be empty, and leaves nothing
//!   behind that another check could see.
//! - **C2 (verdicts, not panics):** a check answers with a [`Violation`]; only [`run`] panics, with all of them.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//!
//! use esker_storage::{MemStorage, conformance};
//!
//! conformance::run(&|| Arc::new(MemStorage::default()));
//! ```

mod bytes;
mod locks;
mod names;
mod sharing;

use std::{fmt, sync::Arc};

use crate::Storage;

/// One clause of the contract, and the code that tries it.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Check {
    /// The clause, as a sentence with underscores.
    pub name: &'static str,
    /// Tries the clause on an empty storage.
    pub run: fn(&dyn Storage) -> Result<(), Violation>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How a storage broke the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Violation {
    message: String,
}

impl Violation {
    pub(self) fn new(message: String) -> Self {
        Self { message }
    }
}

/// All checks, in the order in which it is easiest to make a new implementation pass them.
pub const CHECKS: &[Check] = &[
    check("created_files_are_empty_and_listed", names::created_files_are_empty_and_listed),
    check("creating_a_taken_name_fails_and_leaves_the_file", names::creating_a_taken_name_fails_and_leaves_the_file),
    check("opening_an_absent_file_fails_and_creates_nothing", names::opening_an_absent_file_fails_and_creates_nothing),
    check("removed_names_are_gone_and_free", names::removed_names_are_gone_and_free),
    check("renaming_moves_and_replaces", names::renaming_moves_and_replaces),
    check("failed_renames_change_nothing", names::failed_renames_change_nothing),
    check("invalid_names_are_refused_everywhere", names::invalid_names_are_refused_everywhere),
    check("directory_syncs_succeed_and_change_nothing", names::directory_syncs_succeed_and_change_nothing),
    check("reads_are_short_only_at_the_end", bytes::reads_are_short_only_at_the_end),
    check("exact_reads_beyond_the_end_fail", bytes::exact_reads_beyond_the_end_fail),
    check("writes_beyond_the_end_extend_with_zeros", bytes::writes_beyond_the_end_extend_with_zeros),
    check("writes_change_only_their_range", bytes::writes_change_only_their_range),
    check("empty_writes_change_nothing", bytes::empty_writes_change_nothing),
    check("set_len_cuts_and_extends_with_zeros", bytes::set_len_cuts_and_extends_with_zeros),
    check("preallocation_keeps_bytes_and_extends_with_zeros", bytes::preallocation_keeps_bytes_and_extends_with_zeros),
    check("vectored_writes_equal_plain_ones", bytes::vectored_writes_equal_plain_ones),
    check("ends_above_the_greatest_offset_are_refused", bytes::ends_above_the_greatest_offset_are_refused),
    check("any_sequence_of_operations_gives_the_expected_bytes", bytes::any_sequence_gives_the_expected_bytes),
    check("syncs_succeed_and_change_nothing", bytes::syncs_succeed_and_change_nothing),
    check("handles_for_reading_change_nothing", sharing::handles_for_reading_change_nothing),
    check("handles_on_one_file_see_each_other", sharing::handles_on_one_file_see_each_other),
    check("handles_follow_a_rename_and_never_reach_another_file", sharing::handles_never_reach_another_file),
    check("concurrent_writes_do_not_disturb_each_other", sharing::concurrent_writes_do_not_disturb_each_other),
    check("concurrent_creations_of_one_name_have_one_winner", sharing::concurrent_creations_have_one_winner),
    check("a_held_lock_excludes_until_dropped", locks::a_held_lock_excludes_until_dropped),
    check("locking_creates_the_file_and_keeps_its_bytes", locks::locking_creates_the_file_and_keeps_its_bytes),
    check("a_lock_has_one_winner_among_threads", locks::a_lock_has_one_winner_among_threads),
];

const fn check(name: &'static str, run: fn(&dyn Storage) -> Result<(), Violation>) -> Check {
    Check { name, run }
}

/// Runs every check on a storage from `make`, which must return an empty one each time, and returns the clauses that
/// were broken.
#[must_use = "these are the broken clauses"]
pub fn violations(make: &dyn Fn() -> Arc<dyn Storage>) -> Vec<(Check, Violation)> {
    let broken = |check: &Check| Some((*check, (check.run)(&*make()).err()?));
    CHECKS.iter().filter_map(broken).collect()
}

/// Runs every check on a storage from `make`, which must return an empty one each time.
///
/// # Panics
///
/// If any clause is broken, with all that are.
pub fn run(make: &dyn Fn() -> Arc<dyn Storage>) {
    let broken: Vec<String> =
        violations(make).iter().map(|(check, violation)| format!("\n  {}: {violation}", check.name)).collect();
    assert!(broken.is_empty(), "{} of {} clauses are broken:{}", broken.len(), CHECKS.len(), broken.concat());
}

/// Ends a check with a [`Violation`] unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Violation::new(format!($($message)+)));
        }
    };
}
use ensure;

/// Turns an error where the contract promises success into a [`Violation`].
trait Expected<T> {
    fn expected(self, what: &str) -> Result<T, Violation>;
}

impl<T, E: fmt::Display> Expected<T> for Result<T, E> {
    fn expected(self, what: &str) -> Result<T, Violation> {
        self.map_err(|error| Violation::new(format!("{what} failed: {error}")))
    }
}

/// Checks that a call failed, with one of these kinds.
fn expect_error<T>(result: std::io::Result<T>, kinds: &[std::io::ErrorKind], what: &str) -> Result<(), Violation> {
    match result {
        Ok(_) => Err(Violation::new(format!("{what} succeeded, where {kinds:?} was expected"))),
        Err(error) if kinds.contains(&error.kind()) => Ok(()),
        Err(error) => {
            Err(Violation::new(format!("{what} gave {:?} ({error}), where {kinds:?} was expected", error.kind())))
        }
    }
}

/// Checks that a file holds exactly these bytes, by its length and by reading beyond its end.
fn expect_bytes(file: &dyn crate::StorageFile, expected: &[u8], what: &str) -> Result<(), Violation> {
    let len = file.len().expected("asking for the length")?;
    ensure!(len == expected.len() as u64, "{what}: the length is {len} and not {}", expected.len());
    let mut found = vec![0xee; expected.len() + 1];
    let read = file.read_at(&mut found, 0).expected("reading the whole file")?;
    ensure!(read == expected.len(), "{what}: {read} bytes were read of a file of {}", expected.len());
    if let Some(at) = (0..read).find(|&at| found[at] != expected[at]) {
        return Err(Violation::new(format!("{what}: byte {at} is {:#04x} and not {:#04x}", found[at], expected[at])));
    }
    Ok(())
}
