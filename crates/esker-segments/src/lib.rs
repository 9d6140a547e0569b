//! The segment accountant of an esker log: which slot of the log file holds which stretch of the log, how many of its
//! bytes are still wanted, and when a slot may be written again.
//!
//! Owns the table from logical segments to physical slots, the state of every slot, live-byte counts, and the two gates
//! that stand before reuse. Refuses I/O, threads, clocks and policy: every operation is a plain `&mut self` call whose
//! outcome depends only on the calls before it, so one sequence of calls always gives one result. Which segment deserves
//! cleaning is for the caller to say; the policies of [`cleaning`] are made for that, and decide by a [`UsageTable`] that
//! tells how fast what is in each segment dies.
//!
//! # States of a slot
//!
//! ```text
//!          allocate           deactivate             drain
//!   Free ------------> Active ------------> Inactive -----> Draining
//!    ^                                          \              /
//!    |  both gates passed                        \ free_before, free, retire
//!    +---------------------------- Freed <--------+-----------+
//! ```
//!
//! - **Free**: nobody wants anything in it; the next allocation may take it.
//! - **Active**: the log is being written here.
//! - **Inactive**: every byte of it is stable; it is only read.
//! - **Draining**: as Inactive, and its owner is moving what is still live elsewhere.
//! - **Freed**: out of the table, so no new reader finds it; waiting for its gates.
//!
//! # The gates
//!
//! A freed slot is written again only when both hold, in whatever order they come about:
//!
//! - **A (durable):** whatever makes recovery do without the old content is on stable storage: the truncation floor
//!   ([`Accountant::mark_floor_durable`]), or the copies that were moved out and the record that says so
//!   ([`Accountant::deactivate_below`]; for owners of several streams, whose stability no single LSN tells,
//!   [`Accountant::mark_durable`]).
//! - **B (unread):** no reader can still hold an offset into it; the caller knows this and says so by handing back the
//!   [`ReuseTicket`] ([`Accountant::release`]).
//!
//! With both of them, the owner of the records can keep the third rule of reuse: **C (found):** recovery from a crash at any
//! point finds every live record, in its old place or in its new one.
//!
//! Compiled with `--cfg esker_sabotage="gate_a"` or `"gate_b"` that gate stands open, with `"reuse_gate"` both, so that tests
//! can show that they would notice. This is for tests alone and not reachable through a feature.
//!
//! # Invariants
//!
//! - **S1 (one place):** every slot is in exactly one state, and two slots never hold the same stretch of the log.
//! - **S2 (log order):** segments are allocated in LSN order without gaps. The Active ones are the newest, unless several
//!   streams share the LSNs and say themselves which of their segments are full ([`Accountant::deactivate`]).
//! - **S3 (both gates):** no slot goes from Freed to Free before gate A and gate B.
//! - **S4 (exact sums):** the live bytes of the log are the sum over its segments, and no count ever goes below zero or
//!   above what a segment holds.
//! - **S5 (low slots first):** an allocation takes the lowest free slot, and the file grows only when there is none.
//! - **S6 (all or nothing):** an operation that returns an error has changed nothing.
//!
//! # Example
//!
//! ```
//! use esker_format::{Lsn, SegmentBytes};
//! use esker_segments::Accountant;
//!
//! let segment_bytes = SegmentBytes::new(4096)?;
//! let mut accountant = Accountant::new(segment_bytes);
//! let first = accountant.allocate(Lsn::new(0))?;
//! let second = accountant.allocate(Lsn::new(4096))?;
//! assert_eq!((first.offset.get(), second.offset.get()), (0, 4096));
//!
//! // Everything below 5000 is stable: the first segment is full and done.
//! accountant.deactivate_below(Lsn::new(5000))?;
//! let mut freed = accountant.free_before(Lsn::new(4500));
//! assert_eq!(freed.len(), 1);
//! assert_eq!(accountant.locate(Lsn::new(64)), None);
//!
//! // Until the floor is on disk and no reader is left, the slot is not used again.
//! assert!(!accountant.allocate(Lsn::new(8192))?.reused);
//! accountant.mark_floor_durable(Lsn::new(4500));
//! accountant.release(freed.remove(0).ticket)?;
//! let fourth = accountant.allocate(Lsn::new(12288))?;
//! assert!(fourth.reused);
//! assert_eq!(fourth.offset.get(), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod accountant;
pub mod cleaning;
mod error;
mod live;
mod ordered;
mod recover;
mod reuse;
mod slot;
mod stats;
mod usage;

pub use accountant::{Accountant, Allocation};
pub use error::{AccountError, AllocateError, RecoverError};
pub use recover::RecoveredLog;
pub use reuse::{FreedSegment, ReuseTicket};
pub use slot::{HeldSegment, SegmentState};
pub use stats::Stats;
pub use usage::{SegmentUsage, UsageTable};

#[cfg(test)]
mod tests;
