//! Changing pages.
//!
//! Owns the order of the steps, on which everything rests that the store promises. Room for the record is reserved; then the
//! change gets its number; then the page's entry is exchanged; then the books are kept; and only then the record is
//! completed, so that it may be written. So
//!
//! - **W1 (a record is a fact):** what is in the log took place. A change that lost against another one leaves a record that
//!   says nothing but its number.
//! - **W2 (numbers are dense):** each number is in the log, or lies beyond something that is not. After a crash, the changes
//!   that hold are those up to the first number that is missing: with each change all those before it, whatever streams they
//!   were written to.
//! - **W3 (flushes cover):** a flush waits for every reservation that was made before it began, so for every change whose
//!   number had been given out by then.

use std::sync::Arc;

use esker_format::MESSAGE_HEADER_BYTES;
use esker_page_table::{Entry, Guard, PageId, Version, pin};
use esker_segments::cleaning::{Placement, StreamCounts};
use esker_streams::{Reservation, StreamId};

use crate::{
    Error,
    cache::Cached,
    large::Large,
    node::{Fragment, Node, Seen, State, fragments_of, seen, settle, version_of},
    record::{HEADER_BYTES, Head, Kind, NUMBER_MAX},
    store::Inner,
    sync::lock,
};

impl Inner {
    /// One change of one page.
    pub(crate) fn write(
        &self,
        page: PageId,
        expected: Option<Version>,
        kind: Kind,
        content: &[u8],
        large: Option<Large>,
    ) -> Result<Version, Error> {
        loop {
            if let Some(version) = self.write_once(page, expected, kind, content, large)? {
                return Ok(version);
            }
        }
    }

    /// `None` if the number was taken too early: the page, which is to be made, has come and gone meanwhile.
    fn write_once(
        &self,
        page: PageId,
        expected: Option<Version>,
        kind: Kind,
        content: &[u8],
        large: Option<Large>,
    ) -> Result<Option<Version>, Error> {
        // Looking first keeps what cannot succeed out of the log.
        let placement = {
            let guard = pin();
            let entry = self.table.load(page, &guard);
            check(page, expected, entry)?;
            self.books.place_write(seen(entry).map(|seen| seen.newest))
        };
        let mut reservation = self.reserve(self.user_stream(&placement), kind, HEADER_BYTES + content.len())?;
        let lsn = reservation.lsn();
        let record = reservation.payload_mut();
        record[HEADER_BYTES..].copy_from_slice(content);
        let bytes = (MESSAGE_HEADER_BYTES + record.len()) as u32;

        self.books.expect(lsn, &placement);

        let guard = pin();
        let mut entry = self.table.load(page, &guard);
        settle(entry);
        if let Err(conflict) = check(page, expected, entry) {
            reservation.abort();
            return Err(conflict);
        }
        let number = self.numbers.take();
        if number > NUMBER_MAX {
            reservation.abort();
            return Err(Error::Exhausted { what: "numbers" });
        }
        Head { kind, more: false, number, page }.put(record);
        let version = Version::new(number).expect("numbers begin at one");
        if let Some(large) = large {
            self.larges.need(number, large);
        }
        let fragment = Fragment::new(lsn, bytes, version, kind == Kind::Large);
        let cached = if kind == Kind::Full { Some(Arc::<[u8]>::from(content)) } else { None };
        let put = loop {
            let exchanged = match kind {
                Kind::Free => {
                    self.ids.free_with(page, number, || self.table.free(page, entry, &guard)).map(|()| Some(None))
                }
                _ => {
                    let node = self.node_after(page, entry, kind, fragment, cached.clone(), content);
                    let cached = Cached::from(&*node);
                    let replaced = self.exchange(page, entry, node, &guard);
                    replaced.map(|put| put.map(|()| Some(cached)))
                }
            };
            match exchanged {
                Ok(Some(cached)) => break Ok(cached),
                Ok(None) => break Err(None),
                // Moved, loaded or put out of memory by somebody: still the same page.
                Err(now) => {
                    settle(now);
                    match check(page, expected, now) {
                        Ok(()) => entry = now,
                        Err(conflict) => break Err(Some(conflict)),
                    }
                }
            }
        };
        match put {
            Err(why) => {
                Head { kind: Kind::Void, more: false, number, page }.put(reservation.payload_mut());
                reservation.complete();
                if large.is_some() {
                    self.larges.need_not(number);
                }
                why.map_or(Ok(None), Err)
            }
            Ok(cached) => {
                let old = if let Entry::Resident(node) = entry { Some(node) } else { None };
                self.cache.exchanged(page, cached, old, &self.table);
                self.account(page, kind, fragment, &placement, &fragments_of(entry));
                drop(guard);
                reservation.complete();
                self.evict();
                Ok(Some(version))
            }
        }
    }

    /// Puts a node in the place of an entry. Where there is no such page, it is made, and its id is in use from then on; `None`
    /// if the page may have come and gone since the number of the change was taken.
    pub(crate) fn exchange<'g>(
        &'g self,
        page: PageId,
        entry: Entry<'g, Node>,
        node: Box<Node>,
        guard: &'g Guard,
    ) -> Result<Option<()>, Entry<'g, Node>> {
        let number = node.state.newest.version.get();
        let exchange = || match self.table.replace(page, entry, node, guard) {
            Ok(_) => Ok(()),
            Err(conflict) => Err(conflict.current),
        };
        if seen(entry).is_none() { self.ids.claim_with(page, number, exchange) } else { exchange().map(Some) }
    }

    /// Keeps the books of a change.
    pub(crate) fn account(
        &self,
        page: PageId,
        kind: Kind,
        fragment: Fragment,
        placement: &Placement,
        before: &[Fragment],
    ) {
        if kind != Kind::Delta {
            self.doom_large(before, fragment.version.get());
        }
        let is_due = match kind {
            // What a delta adds to stays live.
            Kind::Delta => self.books.written(fragment, placement, []),
            Kind::Free => {
                lock(&self.graves).insert(fragment.version.get(), (page, fragment));
                let is_due = self.books.written(fragment, placement, before.iter().copied());
                if cfg!(esker_sabotage = "graves") {
                    lock(&self.graves).remove(&fragment.version.get());
                    self.books.died(fragment);
                }
                is_due
            }
            _ => self.books.written(fragment, placement, before.iter().copied()),
        };
        if is_due {
            self.cleaning.look();
        }
    }

    /// The node that takes the place of `entry`.
    fn node_after(
        &self,
        page: PageId,
        entry: Entry<'_, Node>,
        kind: Kind,
        fragment: Fragment,
        content: Option<Arc<[u8]>>,
        delta: &[u8],
    ) -> Box<Node> {
        Node::new(self.state_after(page, seen(entry), kind, fragment, content, delta))
    }

    /// What a page is after a change.
    pub(crate) fn state_after(
        &self,
        page: PageId,
        before: Option<Seen<'_>>,
        kind: Kind,
        fragment: Fragment,
        content: Option<Arc<[u8]>>,
        delta: &[u8],
    ) -> State {
        let Some(before) = before.filter(|_| kind == Kind::Delta) else { return State::whole(fragment, content) };
        let merge = self.options.merge.as_deref();
        let merged = before.content.zip(merge).map(|(content, merge)| merge.merge(page, content, delta).into());
        State { newest: fragment, older: before.fragments().collect(), content: merged }
    }

    pub(crate) fn link(&self, page: PageId, expected: Version, delta: &[u8]) -> Result<Version, Error> {
        self.merge()?;
        let is_long = {
            let guard = pin();
            let entry = self.table.load(page, &guard);
            check(page, Some(expected), entry)?;
            self.is_long(entry)
        };
        if !is_long {
            return self.write(page, Some(expected), Kind::Delta, delta, None);
        }
        let conflict = |current| Error::Conflict { page, expected: Some(expected), current };
        let before = self.get(page)?.ok_or(conflict(None))?;
        if before.version != expected {
            return Err(conflict(Some(before.version)));
        }
        let content = self.merge()?.merge(page, &before.content, delta);
        self.replace(page, Some(expected), &content)
    }

    /// Whether a page is to be written anew as a whole, rather than to have one more delta.
    pub(crate) fn is_long(&self, entry: Entry<'_, Node>) -> bool {
        seen(entry).is_some_and(|seen| seen.older.len() >= self.options.chain_max as usize)
    }

    pub(crate) fn replace(&self, page: PageId, expected: Option<Version>, content: &[u8]) -> Result<Version, Error> {
        if !self.is_large(content.len()) {
            return self.write(page, expected, Kind::Full, content, None);
        }
        check(page, expected, self.table.load(page, &pin()))?;
        let large = self.create_large(content)?;
        let written = self.write(page, expected, Kind::Large, &large.encode(), Some(large));
        if written.is_err() {
            self.larges.abandon(large);
        }
        written
    }

    /// Room for a record of a user.
    fn reserve(&self, stream: StreamId, kind: Kind, len: usize) -> Result<Reservation<'_>, Error> {
        let max = self.streams.payload_bytes_max();
        let len = u32::try_from(len).ok().filter(|&len| len <= max).ok_or(Error::TooLarge {
            what: "record",
            len: len as u64,
            max: u64::from(max),
        })?;
        let mut tries = 0;
        loop {
            match self.streams.reserve(stream, len) {
                Ok(reservation) => return Ok(reservation),
                Err(esker_log::Error::NoSpace { .. }) if kind == Kind::Free => {
                    // What frees must succeed where nothing else does.
                    match self.streams.reserve(self.last_resort(), len) {
                        Ok(reservation) => return Ok(reservation),
                        Err(esker_log::Error::NoSpace { .. }) => self.make_room(&mut tries)?,
                        Err(error) => return Err(error.into()),
                    }
                }
                Err(esker_log::Error::NoSpace { .. }) => self.make_room(&mut tries)?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The stream that a policy has chosen for a user's record.
    pub(crate) fn user_stream(&self, placement: &Placement) -> StreamId {
        let user = self.options.policy.streams().user;
        StreamId::new(placement.stream.min(user - 1)).expect("options allow no more")
    }

    /// The stream that a policy has chosen for what is moved.
    pub(crate) fn cleaning_stream(&self, placement: &Placement) -> StreamId {
        let StreamCounts { user, moved } = self.options.policy.streams();
        StreamId::new(placement.stream.clamp(user, user + moved - 1)).expect("options allow no more")
    }

    /// The first of the streams that may take the last segments.
    pub(crate) fn last_resort(&self) -> StreamId {
        StreamId::new(self.options.policy.streams().user).expect("options allow no more")
    }
}

pub(crate) fn check(page: PageId, expected: Option<Version>, entry: Entry<'_, Node>) -> Result<(), Error> {
    let current = version_of(entry);
    if current == expected { Ok(()) } else { Err(Error::Conflict { page, expected, current }) }
}
