//! A latch-free page table over a log: which pages are in memory, where in the log the others are, and what changed since
//! the last checkpoint.
//!
//! Owns the map from page ids to nodes and records ([`PageTable`]), when a node's memory is freed ([`Guard`]), the choice of
//! ids ([`PageIds`]) and which regions are dirty. Refuses I/O, and to know what a page holds: `N` is its user's.
//!
//! # Should I use this crate?
//!
//! Use it if you build a store of pages that lie in a log, such as a B-tree or a key-value store, larger than memory and
//! used by many threads: it is the one place where they meet. For a log, use [`esker`](https://docs.rs/esker). If all your
//! values fit into memory, a concurrent hash map does, and needs no ids from zero on.
//!
//! # Example
//!
//! ```
//! use esker_page_table::{Entry, PageIds, PageTable, Stored, Version, pin};
//! use esker_format::Lsn;
//!
//! let (ids, table) = (PageIds::new(), PageTable::<String>::new());
//! let page = ids.allocate().expect("there are 2^40");
//! let guard = pin();
//!
//! let Ok(node) = table.replace(page, Entry::Vacant, Box::new("first".into()), &guard) else { panic!("nobody else is there") };
//! // Written to the log, it need not stay in memory.
//! let stored = Stored { lsn: Lsn::new(64), len: 5, version: Version::new(1).expect("not zero") };
//! assert!(table.evict(page, node, stored, &guard).is_ok());
//! assert_eq!(node, "first"); // as long as the guard is held
//!
//! let Entry::Stored(found) = table.load(page, &guard) else { panic!("it was evicted") };
//! assert_eq!(found, stored);
//! ```
//!
//! # Invariants
//!
//! - **I1 (one owner):** the address in a word is that of a boxed node which this table owns. One exchange puts it into one
//!   word, once; whichever exchange takes it out retires it, or the drop of the table drops it.
//! - **I2 (pinned nodes):** a node that was found under a guard is not dropped while that guard is held, nor while the table
//!   is borrowed.
//! - **I3 (chunks stay):** a chunk of entries that was published stays where it is until the table is dropped, and so does a
//!   level of the directory.
//! - **I4 (details):** length and version of an entry are written only by the holder of its region's eviction lock, after
//!   that was counted, and only while the entry is not stored; and only such a holder makes an entry stored. Before the table
//!   is shared, whoever has it does both.
//! - **I5 (marked after):** whatever a checkpoint has to tell of is first changed, then marked, before the call returns.
//!
//! # Ordering pairs
//!
//! | pair | releasing site | acquiring site | what becomes visible | model |
//! |---|---|---|---|---|
//! | P1 | `Chunk::exchange`, swap | `Chunk::load`, `Chunk::load_with_details`, loads of the word | the node | `loom_a_node_is_seen_as_it_was_put_in`, `loom_a_node_is_seen_in_the_place_of_a_record` |
//! | P2 | `Chunk::evict`, swap | `Chunk::load_with_details`, load of the word | the record's details | `loom_a_record_is_seen_with_its_details`, `loom_details_of_two_records_are_not_mixed` |
//! | P3 | `Chunk::evict`, stores of the count and of the details | `Chunk::load_with_details`, loads of the count and of the details | that an eviction has begun; that the record before it is gone | `loom_details_of_two_records_are_not_mixed`, `loom_details_are_not_those_of_a_failed_eviction` |
//! | P4 | `publish` in the directory, swap | `Directory::level`, `chunk`, loads of the pointers | a level, a chunk | `loom_chunks_are_seen_as_they_were_made` |
//! | P5 | `Chunk::mark_dirty`, fence | `after_taking`, fence | the change; or that the mark was taken | `loom_no_change_is_lost_between_two_checkpoints` |
//! | P6 | `Counter::take`, `Counter::take_many`, additions | the same, and `Counter::get` | what was done before a number was taken | `loom_a_later_number_sees_what_came_before_an_earlier_one`, `loom_whoever_sees_a_number_taken_sees_what_came_before` |
//! | P7 | `Decision::hold` | `Decision::holds` | the changes that it is about | `loom_whoever_sees_that_changes_hold_sees_all_of_them`, `loom_changes_hold_or_are_refused_for_all` |
//!
//! `cargo xtask loom` runs the models. They check the words, not the epochs: in a model, retired nodes are kept until the
//! table is dropped. That the collector frees nothing too early is [crossbeam-epoch](https://docs.rs/crossbeam-epoch)'s own
//! claim, with models of its own; that the table uses it rightly is what the tests with threads check, of which each node
//! knows whether it was dropped, and which `cargo xtask sanitize` runs under AddressSanitizer and ThreadSanitizer.
//!
//! # Why it is done like this
//!
//! - **One word decides.** An LSN has 63 bits, and nodes lie at even addresses. So one swap goes from any state to any other,
//!   and as a node is not freed while somebody who has seen it holds a guard, an address does not come back meanwhile.
//! - **Details lie beside the word** rather than in an allocation for each stored page, which would take 32 bytes or more with
//!   its header. A reader has to put word and details together. That the word is the same before and after does not prove that
//!   they belong together: a node that was not changed is evicted to the record that it came from, and in between somebody may
//!   have tried to evict it to another and failed. So evictions are counted, by region, and a reader looks again if one has
//!   begun meanwhile. This asks nothing of LSNs and versions.
//! - **Evictors of one region take turns** by a lock that nobody else takes: they have just written a page.
//! - **Marks cost a fence**, but the line that they lie on is written only when the first page of a region changes after a
//!   checkpoint. A swap that always writes would need no fence, and all who change pages of one region would take that line
//!   from each other.

mod ids;
mod page;
mod shared;
mod sync;
mod table;

pub use ids::{NotInUse, PageIds};
pub use page::{PageId, REGION_PAGES, Region, Stored, Version};
pub use shared::{Counter, Decision, Touch};
pub use table::{Conflict, Entry, Guard, PageTable, pin};

#[cfg(test)]
mod tests;
