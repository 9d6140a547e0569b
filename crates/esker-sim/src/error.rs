//! The errors a simulated disk makes up.
//!
//! Owns their texts and the means to tell them from the errors of a real contract, such as a name not found. Refuses to
//! imitate an operating system's error numbers, which differ between systems.
//!
//! # Invariants
//!
//! - **E1:** every [`std::io::Error`] that stands for an injected fault has a [`SimError`] inside.

use std::io;

/// Which fault made a call fail; found inside the [`io::Error`]s of a [`SimStorage`](crate::SimStorage).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// The power is off.
    #[error("the power is off")]
    PowerOff,
    /// The call failed because [`Faults`](crate::Faults) say so.
    #[error("simulated error in {call} of '{name}'")]
    Injected {
        /// The kind of call.
        call: &'static str,
        /// The file it concerned, or `.` for the directory.
        name: String,
    },
    /// The disk is full.
    #[error("the simulated disk of {capacity_bytes} bytes is full")]
    Full {
        /// The size of the disk.
        capacity_bytes: u64,
    },
}

fn inner(error: &io::Error) -> Option<&SimError> {
    error.get_ref()?.downcast_ref()
}

/// Whether a call failed because the power is off.
#[must_use]
pub fn is_power_off(error: &io::Error) -> bool {
    matches!(inner(error), Some(SimError::PowerOff))
}

/// Whether a call failed because it was to fail: a read, write, sync or directory error, but not a full disk or a power
/// cut.
#[must_use]
pub fn is_injected(error: &io::Error) -> bool {
    matches!(inner(error), Some(SimError::Injected { .. }))
}

pub(crate) fn power_off() -> io::Error {
    io::Error::other(SimError::PowerOff)
}

pub(crate) fn injected(kind: io::ErrorKind, call: &'static str, name: &str) -> io::Error {
    io::Error::new(kind, SimError::Injected { call, name: name.to_owned() })
}

pub(crate) fn full(capacity_bytes: u64) -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, SimError::Full { capacity_bytes })
}
