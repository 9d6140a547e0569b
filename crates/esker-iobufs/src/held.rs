//! Open reservations: who holds which range of a buffer, and since when.
//!
//! Listed is what was given away by `IoBufs::reserve`, because only that can be held for long, or be forgotten
//! (`mem::forget`); the claim of an append ends before the append returns, and takes no part in this. Owns the list of one
//! buffer. Refuses to touch its word and its memory.
//!
//! A reservation is listed after its claim and struck off before it leaves (I9), so that a buffer whose writers are as many
//! as are listed, looked at under the list's lock, is complete but for what is listed.

use std::{
    fmt,
    ops::Range,
    panic::Location,
    time::{Duration, Instant},
};

use esker_format::{Lsn, MESSAGE_HEADER_BYTES};

use crate::sync::{self, Mutex, MutexGuard, ThreadName};

/// A reservation that was not finished when somebody looked: being filled, held for long, or leaked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenReservation {
    /// The LSN of its message.
    pub lsn: Lsn,
    /// The length of its payload in bytes.
    pub len: u32,
    /// For how long it has been open.
    pub age: Duration,
    /// The name of the thread that reserved, or its number if it has none.
    pub thread: String,
    /// The place in the program that reserved.
    pub location: &'static Location<'static>,
}

impl fmt::Display for OpenReservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lsn, len, age, thread, location } = self;
        write!(f, "the reservation of {len} bytes at lsn {lsn}, made at {location} by thread {thread} {age:.1?} ago")
    }
}

/// One entry of the list.
#[derive(Debug)]
pub(crate) struct Held {
    /// The claim's range of the memory.
    pub(crate) range: Range<u32>,
    pub(crate) lsn: Lsn,
    since: Instant,
    thread: ThreadName,
    location: &'static Location<'static>,
}

impl Held {
    /// By this thread, from now on.
    pub(crate) fn new(range: Range<u32>, lsn: Lsn, location: &'static Location<'static>) -> Self {
        Self { range, lsn, since: Instant::now(), thread: sync::this_thread(), location }
    }

    pub(crate) fn describe(&self) -> OpenReservation {
        let number = || format!("{:?}", self.thread.id());
        OpenReservation {
            lsn: self.lsn,
            len: (self.range.end - self.range.start) - MESSAGE_HEADER_BYTES as u32,
            age: self.since.elapsed(),
            thread: self.thread.name().map_or_else(number, str::to_owned),
            location: self.location,
        }
    }
}

/// The reservations that are open in one buffer, in the order of their ranges.
#[derive(Debug)]
pub(crate) struct HeldList(Mutex<Vec<Held>>);

impl HeldList {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The list, which stays as it is until the guard is dropped.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<Held>> {
        sync::lock(&self.0)
    }
}

/// Adds an entry.
pub(crate) fn add(list: &mut Vec<Held>, held: Held) {
    let at = list.partition_point(|other| other.range.start < held.range.start);
    list.insert(at, held);
}

/// Strikes off the entry whose range begins at `start`.
pub(crate) fn strike(list: &mut Vec<Held>, start: u32) {
    let at = list.binary_search_by_key(&start, |held| held.range.start);
    list.remove(at.expect("I9: an open reservation is listed"));
}

/// From `at` on, where nothing is listed any more, or where the next entry begins; `None` within an entry.
pub(crate) fn free_from(list: &[Held], at: u32) -> Option<Option<u32>> {
    let next = list.partition_point(|held| held.range.end <= at);
    match list.get(next) {
        Some(held) if held.range.start <= at => None,
        Some(held) => Some(Some(held.range.start)),
        None => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_tells_what_is_free() {
        let mut list = Vec::new();
        for start in [300, 100, 200] {
            add(&mut list, Held::new(start..start + 50, Lsn::new(7000 + u64::from(start)), Location::caller()));
        }
        assert_eq!(list.iter().map(|held| held.range.start).collect::<Vec<_>>(), [100, 200, 300]);
        for (at, expected) in [
            (0, Some(Some(100))),
            (99, Some(Some(100))),
            (100, None),
            (149, None),
            (150, Some(Some(200))),
            (349, None),
            (350, Some(None)),
        ] {
            assert_eq!(free_from(&list, at), expected, "at {at}");
        }
        strike(&mut list, 200);
        assert_eq!(free_from(&list, 200), Some(Some(300)));
    }

    #[test]
    fn an_entry_says_who_and_where() {
        let name = "somebody";
        let entry = |lsn| Held::new(0..64, Lsn::new(lsn), Location::caller()).describe();
        let of_named = std::thread::Builder::new().name(name.to_owned()).spawn(move || entry(5)).unwrap();
        let open = of_named.join().unwrap();
        assert_eq!((open.lsn, open.len, open.thread.as_str()), (Lsn::new(5), 40, name));
        let said = open.to_string();
        assert!(said.contains("lsn 5") && said.contains(name) && said.contains("held.rs"), "{said}");
        let unnamed = std::thread::spawn(move || entry(6)).join().unwrap();
        assert!(unnamed.thread.starts_with("ThreadId"), "{unnamed}");
    }
}
