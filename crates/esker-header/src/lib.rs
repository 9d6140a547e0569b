//! The packed word that governs one I/O buffer: who may still claim space in it, how much is claimed, and how many
//! writers are still filling what they claimed.
//!
//! Owns the layout of the word and its transitions. Refuses atomics (the engine stores the word in an `AtomicU64` and
//! decides the orderings), `unsafe`, and `std`.
//!
//! ```text
//!  63               45  44  43                24 23                       0
//! +-------------------+----+--------------------+--------------------------+
//! | salt (19)         |seal| writers (20)       | offset (24)              |
//! +-------------------+----+--------------------+--------------------------+
//! ```
//!
//! # Invariants
//!
//! - **H1 (total):** every transition is defined for every one of the 2^64 words; what a transition cannot do is a
//!   return value, never a wrong word.
//! - **H2 (no carry):** a transition changes only the fields it names; no arithmetic reaches a neighbour.
//! - **H3 (seal is final):** no transition but [`Header::reopen`] leads from a sealed word to an unsealed one, and none
//!   admits a writer to a sealed word.
//! - **H4 (self-contained):** whether a claim fits depends on the word and on constants of the engine, not on any other
//!   shared variable.
//!
//! # The widths
//!
//! *Offset*, 24 bits: a position in the buffer's memory, up to 16,777,215. *Writers*, 20 bits: 1,048,575 reservations
//! open at once in one buffer, far beyond the threads of any machine; and the cap is never felt even so, because a
//! buffer that reached it counts as full and the next buffer begins with a count of zero
//! ([`Refusal::WritersExhausted`]). *Salt*, 19 bits: how often the buffer has been reused, modulo 524,288.
//!
//! # When the salt wraps around
//!
//! A thread may load a word, lose the processor, and compare-and-swap much later. The salt makes that swap fail after a
//! reuse of the buffer, unless exactly a multiple of 524,288 reuses passed and the other three fields are equal too. That
//! case is harmless rather than merely rare: because of H4, a swap that succeeds has claimed a range that is free and in
//! bounds *in the buffer's present life*, since it compared the whole present word. The rule that makes it so is that
//! whatever else a writer wants to know (the LSN and file position of the buffer) is read after the swap, when the
//! buffer cannot be reused any more. The engine's buffers all end at the same offset for the same reason: they may begin
//! anywhere, but the limit of a claim is a constant.
//!
//! # Example
//!
//! ```
//! use esker_header::{BufferOffset, Header, Refusal, Room};
//!
//! let room = Room { end: BufferOffset::new(64).unwrap(), remainder_min: 0 };
//! let open = Header::open(BufferOffset::ZERO);
//! let (claimed, at) = open.try_reserve(40, room).unwrap();
//! assert_eq!((at.get(), claimed.offset().get(), claimed.writers()), (0, 40, 1));
//! assert_eq!(claimed.try_reserve(40, room), Err(Refusal::Full));
//!
//! let sealed = claimed.seal().unwrap();
//! assert_eq!(sealed.try_reserve(8, room), Err(Refusal::Sealed));
//! let ready = sealed.leave().unwrap();
//! assert!(ready.is_ready());
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod header;
mod layout;

pub use header::{BufferOffset, Header, Refusal, Room, Salt};
pub use layout::{OFFSET_BITS, SALT_BITS, WRITERS_BITS};

#[cfg(test)]
mod tests;
