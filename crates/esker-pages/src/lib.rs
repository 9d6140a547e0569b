//! A store of pages in a log: compare-and-swap, deltas, atomic batches, a cache, cleaning and checkpoints.
//!
//! Owns the records of pages, the order of changes, which records are live, and recovery. Refuses to know what pages hold.
//! Where pages are is kept by [`esker_page_table`], and what is written and freed by [`esker_streams`].
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use esker_pages::{Error, Options, Store};
//! use esker_storage::MemStorage;
//!
//! let store = Store::open(Arc::new(MemStorage::default()), Options::new())?;
//! let page = store.allocate()?;
//! let first = store.replace(page, None, b"one")?;
//! let second = store.replace(page, Some(first), b"two")?;
//! // Whoever still believes in the first version is told of the second.
//! let late = store.replace(page, Some(first), b"three");
//! assert_eq!(late.unwrap_err().conflict(), Some(Some(second)));
//! store.flush()?;
//! assert_eq!(&*store.get(page)?.unwrap().content, b"two");
//! store.close()?;
//! # Ok::<(), Error>(())
//! ```
//!
//! # What holds
//!
//! - **Each page is linearizable**: a change succeeds only against the version that it names, and what [`Store::get`] returns
//!   was so at some moment during the call.
//! - **All changes have one order**, in which a change comes after those that its thread saw. After a crash there are the
//!   changes up to some place in this order, and none beyond it.
//! - **What a [flush](Store::flush) returned for is there**: all changes that were made before it was called.
//! - **A [batch](Store::apply) is one change**: to whoever reads, and across crashes.
//! - **Versions only grow**, of each page and of an id that is used again, across crashes too.
//!
//! # Invariants
//!
//! - **W1 (a record is a fact)**, **W2 (numbers are dense)**, **W3 (flushes cover)**: see below.
//! - **A1 (one moment):** whoever has seen one page as a batch leaves it sees no other page as it was before.
//! - **A2 (nobody waits):** readers do not wait for a batch, and a writer who meets one makes it begin again.
//! - **A3 (all or nothing on disk):** an opening takes all changes of a batch or none.
//! - **C1 (checkpoints are whole):** a checkpoint counts from when its root is durable, and everything that it tells of was
//!   durable before.
//! - **C2 (graves stay):** the record that says that a page is gone stays live until a checkpoint that began after it counts.
//! - **C3 (moved is the same):** a record is moved under its number; before its segment is used again, the copy is durable.
//! - **C4 (exact books):** when no call is under way, the live bytes of each segment are the sum of the records that the table
//!   and the graves name.
//!
//! # The order of a change
//!
//! A writer (1) reserves room for the record, whose place is known from then on; (2) takes the next number, which is the
//! page's new version; (3) exchanges the page's entry in the table, by one compare-and-swap; (4) keeps the books; and
//! (5) completes the record, so that it may be written. If another one was faster at (3), the record says that its number
//! changed nothing.
//!
//! - The number is taken after the entry was seen that it replaces, so numbers grow along each page, and along whatever a
//!   thread does. Where there is no page, seeing that says little: it may come and go before the exchange, and the number be
//!   lower than that of its end. So whoever ends a page says so first ([`PageIds::note_end`](esker_page_table::PageIds)), and
//!   whoever makes one with a number that is too low begins again.
//! - A flush waits for all reservations made before it. So whatever was numbered before a flush is durable after it, also
//!   what other threads were about to do; and there is no number below that is missing.
//! - A checkpoint notes the ends of the streams, and then flushes. Each record below those ends has been through (3) then, so
//!   that the table tells of it; each record beyond is read again by the next opening.
//! - Cleaning does the same as a writer, but keeps the number, and gives way if the page has changed. Versions stay what
//!   users have seen. A copy may be durable before what it was made of; so it says as that does that it belongs to a batch.
//! - A batch goes through the same steps with all its pages: it reserves room for all its records side by side, takes numbers
//!   that follow each other, and puts a node in the place of each page that says what the page was and what it is to be. One
//!   word decides which of both holds, for all pages at once. Then nodes that say one thing only take their place, the books
//!   are kept, and the records are completed.
//! - To which stream a record goes is for a [policy](cleaning::Policy) to say, and does not matter for any of this: the numbers
//!   order the records of all streams.
//! - A page that is put out of memory leaves the place of its record in the table. That the record may not be written yet
//!   does not matter: the stream finds it in its buffers.

#![forbid(unsafe_code)]

mod batch;
mod books;
mod cache;
mod checkpoint;
mod clean;
mod error;
mod large;
mod look;
mod merge;
mod node;
mod notes;
mod open;
mod options;
mod read;
mod record;
mod roots;
mod stats;
mod store;
mod sync;
mod ticket;
mod upkeep;
mod verify;
mod write;

pub use batch::Batch;
pub use error::Error;
pub use esker_page_table::{PageId, Version};
pub use esker_segments::cleaning;
pub use esker_storage as storage;
pub use look::{LargeFile, Look, PageInfo, Slot, SlotState};
pub use merge::Merge;
pub use options::{CACHE_BYTES_DEFAULT, CHAIN_MAX_DEFAULT, CHECKPOINT_BYTES_DEFAULT, Options, SURPLUS_BYTES_DEFAULT};
pub use stats::Stats;
pub use store::{Page, Store, Ticket};
pub use ticket::Durable;
pub use verify::{Leak, Verification};

#[cfg(test)]
mod tests;
