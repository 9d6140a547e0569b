//! Finding the space again that dead records take.
//!
//! Owns when to clean, what, and how records are moved. A victim is read once, from its beginning to its end. Each record
//! that is live is appended to another stream under the number that it has, the page's entry is exchanged, and then the copy
//! is completed: so, as with users' changes, what is in the log is so, and versions do not change by being moved. When
//! nothing live is left in it, the segment is retired; it is used again when all copies are durable.

use std::time::Duration;

use esker_format::{Lsn, MESSAGE_HEADER_BYTES};
use esker_page_table::{Entry, PageId, Version, pin};
use esker_segments::cleaning::Placement;
use esker_streams::Reservation;

use crate::{
    Error,
    cache::Cached,
    node::{Fragment, Node, State, fragments_of, settle},
    read::{Folded, moved},
    record::{HEADER_BYTES, Head, Kind},
    store::Inner,
    sync::{Condvar, Mutex, lock, thread, wait},
};

/// How many victims share a flush.
const VICTIMS_AT_ONCE: u32 = 4;
/// A segment of which not even this share would be gained is not worth moving: the store is full.
const GAIN_MIN_DIVISOR: u64 = 16;
/// After so many batches of victims that did not make a segment more free, the store is full.
const BATCHES_IN_VAIN_MAX: u32 = 4;
/// How often a writer may find that others have taken what became free, before it is told that there is no room.
const TRIES_MAX: u32 = 1000;
/// How often a reader is given its turn before a cleaner goes on without the segment.
const READER_TURNS_MAX: u32 = 200;
const READER_TURN: Duration = Duration::from_millis(1);

/// Who cleans, and who waits for it.
#[derive(Debug, Default)]
pub(crate) struct Cleaning {
    rounds: Mutex<Rounds>,
    changed: Condvar,
    /// Held by the one who cleans, with the memory for a segment.
    victim: Mutex<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Rounds {
    /// How many rounds have ended.
    done: u64,
    /// How often a segment more became free, or was found to be.
    gained: u64,
    /// Whether somebody waits for one.
    wanted: bool,
    is_stopped: bool,
}

/// A record that is live.
pub(crate) struct Live {
    lsn: Lsn,
    pub(crate) bytes: u32,
    head: Head,
}

impl Cleaning {
    /// Waits until there is something to do. `false` when there will not be any more.
    pub(crate) fn await_need(&self) -> bool {
        let mut rounds = lock(&self.rounds);
        loop {
            if rounds.is_stopped {
                return false;
            }
            if std::mem::take(&mut rounds.wanted) {
                return true;
            }
            rounds = wait(&self.changed, rounds);
        }
    }

    /// Asks the store's thread, if there is one, to look whether there is something to do.
    pub(crate) fn look(&self) {
        lock(&self.rounds).wanted = true;
        self.changed.notify_all();
    }

    /// Says that a round has ended.
    pub(crate) fn ended(&self) {
        lock(&self.rounds).done += 1;
        self.changed.notify_all();
    }

    pub(crate) fn stop(&self) {
        lock(&self.rounds).is_stopped = true;
        self.changed.notify_all();
    }

    fn gain(&self) {
        lock(&self.rounds).gained += 1;
        self.changed.notify_all();
    }

    fn gained(&self) -> u64 {
        lock(&self.rounds).gained
    }

    /// Waits for a round that begins after this call, or for a segment more that becomes free, unless nobody works on it any
    /// more.
    fn await_round(&self) {
        let mut rounds = lock(&self.rounds);
        let before = rounds.gained;
        // One may be under way that began before.
        let enough = rounds.done + 2;
        while rounds.done < enough && rounds.gained == before && !rounds.is_stopped {
            if !rounds.wanted {
                rounds.wanted = true;
                self.changed.notify_all();
            }
            rounds = wait(&self.changed, rounds);
        }
    }
}

impl Inner {
    /// Back-pressure: whoever found no room waits for cleaning, or cleans, or is told that there is none.
    pub(crate) fn make_room(&self, tries: &mut u32) -> Result<(), Error> {
        let before = self.cleaning.gained();
        if self.options.background {
            self.cleaning.await_round();
        } else {
            self.upkeep()?;
        }
        // Others may have been faster. If it is the disk that is full, there is room for ever that cannot be had.
        *tries += 1;
        let is_hopeful = before < self.cleaning.gained() || self.segments_available() > self.options.reserve_segments();
        if is_hopeful && *tries < TRIES_MAX {
            return Ok(());
        }
        let live_bytes = self.books.totals().live_bytes + self.larges.bytes();
        Err(Error::NoSpace { live_bytes, max_bytes: self.options.max_bytes.unwrap_or(u64::MAX) })
    }

    /// How many segments can be had at once.
    fn segments_available(&self) -> u32 {
        let stats = self.streams.stats().segments;
        stats.free + self.streams.segments_max().saturating_sub(stats.slots)
    }

    /// How many segments are to be free. With a thread that cleans, so many that writers do not have to wait for it.
    pub(crate) fn segments_wanted(&self) -> u32 {
        if !self.options.background {
            return self.options.reserve_segments();
        }
        self.options.reserve_segments() + u32::from(self.options.policy.streams().user) + VICTIMS_AT_ONCE
    }

    /// How many segments there are that nobody uses, those included that the file may still grow by.
    pub(crate) fn segments_free(&self) -> u32 {
        let stats = self.streams.stats();
        let max = match self.options.max_bytes {
            Some(_) => self.streams.segments_max(),
            // Without a bound, as much may be dead as is live.
            None => {
                let segment = u64::from(self.streams.segment_bytes().get());
                let live = self.books.totals().live_bytes / segment;
                u32::try_from(live * 2).unwrap_or(u32::MAX).max(self.segments_wanted() * 4)
            }
        };
        let held = stats.segments.slots - stats.segments.free;
        max.saturating_sub(held)
    }

    /// Cleans until so many segments are free, or nothing can be gained. Returns how many victims there were.
    pub(crate) fn clean(&self, wanted: u32) -> Result<u32, Error> {
        let mut buffer = lock(&self.cleaning.victim);
        if self.segments_free() >= wanted {
            // Somebody else is about to take it, or has been.
            self.cleaning.gain();
            return Ok(0);
        }
        // Only what is stable can be moved away from.
        self.flush()?;
        self.reclaim()?;
        let filled_before = self.segments_filled();
        let (mut victims, mut in_vain, mut gained) = (0, 0, 0);
        let is_enough = || self.segments_free() + self.segments_waiting() >= wanted;
        while !is_enough() && in_vain < BATCHES_IN_VAIN_MAX {
            let before = victims;
            while victims < before + VICTIMS_AT_ONCE
                && !is_enough()
                && let Some(victim) = self.choose()
            {
                self.empty(victim, &mut buffer)?;
                self.streams.retire(victim)?;
                self.books.forget(victim);
                victims += 1;
            }
            if victims == before {
                break;
            }
            self.reclaim()?;
            // Whatever writers take meanwhile: what is moved out of several segments fills one, sooner or later.
            let net = u64::from(victims).saturating_sub(self.segments_filled() - filled_before);
            if net > gained {
                (gained, in_vain) = (net, 0);
                self.cleaning.gain();
            } else {
                in_vain += 1;
            }
        }
        self.await_readers();
        if self.segments_available() > self.options.reserve_segments() {
            self.cleaning.gain();
        }
        Ok(victims)
    }

    /// How many segments cleaning has begun to fill.
    fn segments_filled(&self) -> u64 {
        let engines = self.streams.stats().engines;
        engines.iter().skip(usize::from(self.options.policy.streams().user)).map(|engine| engine.segments).sum()
    }

    /// How many segments are empty and not yet free: because a flush is still to come, or readers.
    fn segments_waiting(&self) -> u32 {
        self.streams.stats().segments.freed
    }

    /// Gives those who are reading in segments that were emptied the time to finish, if nothing else is free.
    fn await_readers(&self) {
        let nothing_is_free =
            || self.segments_available() <= self.options.reserve_segments() && self.segments_waiting() > 0;
        for turn in 0..READER_TURNS_MAX {
            if !nothing_is_free() {
                return;
            }
            self.streams.hurry_readers();
            if turn < READER_TURNS_MAX / 2 {
                thread::yield_now();
            } else {
                thread::sleep(READER_TURN);
            }
        }
    }

    /// Lets segments be used again that were retired before the last flush.
    fn reclaim(&self) -> Result<(), Error> {
        // What was numbered when a segment was retired is durable by the flush that it waits for.
        let mark = self.numbers.get() - 1;
        if self.streams.stats().retired > 0 {
            if !cfg!(esker_sabotage = "copies") {
                self.streams.flush()?;
            }
            self.streams.reclaim(mark)?;
        } else {
            self.streams.reclaim(0)?;
        }
        Ok(())
    }

    /// The segment that the policy says is next, if anything is gained by cleaning it.
    fn choose(&self) -> Option<Lsn> {
        let segment = u64::from(self.streams.segment_bytes().get());
        let full = self.streams.segments().into_iter().filter(|info| info.end.is_some());
        self.books.choose(full.map(|info| info.base), segment - segment / GAIN_MIN_DIVISOR)
    }

    /// Reads a segment into `buffer`, and finds the records in it that are live.
    pub(crate) fn read_live(&self, segment: Lsn, buffer: &mut Vec<u8>) -> Result<Vec<Live>, Error> {
        let mut live = Vec::new();
        let mut damaged = None;
        self.streams.visit_segment(segment, buffer, |found| {
            match Head::split(found.payload) {
                Some((head, _)) if self.is_live(&head, found.lsn) => {
                    live.push(Live { lsn: found.lsn, bytes: found.bytes, head });
                }
                Some(_) => (),
                None => damaged = Some(found.lsn),
            }
            Ok(())
        })?;
        match damaged {
            None => Ok(live),
            Some(lsn) => Err(Error::Damaged { page: PageId::MIN, lsn, reason: "a record that is none of a page" }),
        }
    }

    /// Moves whatever is live out of a segment.
    fn empty(&self, victim: Lsn, buffer: &mut Vec<u8>) -> Result<(), Error> {
        let live = self.read_live(victim, buffer)?;
        let placement = self.books.place_move(victim);
        for record in live {
            let from = (record.lsn - victim) as usize + MESSAGE_HEADER_BYTES;
            let payload = &buffer[from..(record.lsn - victim) as usize + record.bytes as usize];
            match record.head.kind {
                Kind::Free => self.move_grave(&record, payload, &placement)?,
                _ => self.move_page(&record, payload, &placement)?,
            }
        }
        Ok(())
    }

    fn is_live(&self, head: &Head, lsn: Lsn) -> bool {
        match head.kind {
            Kind::Void => false,
            Kind::Free if cfg!(esker_sabotage = "moved_graves") => false,
            Kind::Free => lock(&self.graves).get(&head.number).is_some_and(|(_, grave)| grave.lsn == lsn),
            Kind::Full | Kind::Delta | Kind::Large => {
                let guard = pin();
                fragments_of(self.table.load(head.page, &guard)).iter().any(|fragment| fragment.lsn == lsn)
            }
        }
    }

    /// Room for a copy. Cleaning has segments that nobody else may use; if they are used up, those that were emptied by then
    /// are let go first.
    fn reserve_copy(&self, len: u32, placement: &Placement) -> Result<Reservation<'_>, Error> {
        let stream = self.cleaning_stream(placement);
        match self.streams.reserve(stream, len) {
            Err(esker_log::Error::NoSpace { .. }) => {
                self.reclaim()?;
                self.await_readers();
                Ok(self.streams.reserve(stream, len)?)
            }
            outcome => Ok(outcome?),
        }
    }

    fn move_page(&self, record: &Live, payload: &[u8], placement: &Placement) -> Result<(), Error> {
        let Head { page, .. } = record.head;
        let mut gone = Vec::new();
        loop {
            let fragments = {
                let guard = pin();
                fragments_of(self.table.load(page, &guard))
            };
            if !fragments.iter().any(|fragment| fragment.lsn == record.lsn) {
                return Ok(());
            }
            let is_moved = if let [_] = fragments[..] {
                self.put_copy(&fragments, record.head, &payload[HEADER_BYTES..], placement)?
            } else {
                // What belongs together is put together.
                let Some(Folded { content, more }) = self.fold(page, &fragments)? else {
                    gone = moved(page, gone, fragments)?;
                    continue;
                };
                let number = fragments[0].version.get();
                // Where the newest of them may not be durable yet, the copy must not hold without the rest of its batch.
                let more = more && !cfg!(esker_sabotage = "copied_batch");
                let head = Head { kind: Kind::Full, more, number, page };
                if self.is_large(content.len()) {
                    let large = self.create_large(&content)?;
                    self.larges.need(number, large);
                    let is_moved =
                        self.put_copy(&fragments, Head { kind: Kind::Large, ..head }, &large.encode(), placement)?;
                    if !is_moved {
                        self.larges.need_not(number);
                        self.larges.abandon(large);
                    }
                    is_moved
                } else {
                    self.put_copy(&fragments, head, &content, placement)?
                }
            };
            if is_moved {
                if fragments.len() > 1 {
                    // What was folded into the copy is needless once the copy is durable: by a flush that begins after the
                    // next number is taken.
                    self.doom_large(&fragments, self.numbers.get());
                }
                return Ok(());
            }
        }
    }

    /// Appends a copy of a page, whose records are `fragments`, and puts it in their place. `false` if they are others by now.
    fn put_copy(
        &self,
        fragments: &[Fragment],
        head: Head,
        content: &[u8],
        placement: &Placement,
    ) -> Result<bool, Error> {
        let page = head.page;
        let len = (HEADER_BYTES + content.len()) as u32;
        let mut reservation = self.reserve_copy(len, placement)?;
        let record = reservation.payload_mut();
        head.put(record);
        record[HEADER_BYTES..].copy_from_slice(content);
        let bytes = MESSAGE_HEADER_BYTES as u32 + len;
        let version = fragments[0].version;
        let copy = Fragment::new(reservation.lsn(), bytes, version, head.kind == Kind::Large);
        self.books.expect(copy.lsn, placement);
        let guard = pin();
        let is_put = loop {
            let entry = self.table.load(page, &guard);
            settle(entry);
            if fragments_of(entry) != fragments {
                break false;
            }
            let is_put = match entry {
                Entry::Vacant => break false,
                Entry::Stored(stored) => self.table.relocate(page, stored, copy.lsn, &guard).is_ok(),
                Entry::Resident(node) => {
                    let content = node.now().and_then(|state| state.content.clone());
                    self.put_node(page, entry, Node::new(State::whole(copy, content)), &guard)
                }
            };
            if is_put {
                break true;
            }
        };
        drop(guard);
        if is_put {
            self.books.moved(copy, placement, fragments.iter().copied());
        } else {
            Head { kind: Kind::Void, number: 0, ..head }.put(reservation.payload_mut());
        }
        reservation.complete();
        Ok(is_put)
    }

    fn put_node(&self, page: PageId, entry: Entry<'_, Node>, node: Box<Node>, guard: &esker_page_table::Guard) -> bool {
        let cached = Cached::from(&*node);
        let is_put = self.table.replace(page, entry, node, guard).is_ok();
        if is_put {
            let old = if let Entry::Resident(node) = entry { Some(node) } else { None };
            self.cache.exchanged(page, Some(cached), old, &self.table);
        }
        is_put
    }

    fn move_grave(&self, record: &Live, payload: &[u8], placement: &Placement) -> Result<(), Error> {
        let mut reservation = self.reserve_copy(payload.len() as u32, placement)?;
        let out = reservation.payload_mut();
        out.copy_from_slice(payload);
        let mut graves = lock(&self.graves);
        match graves.get_mut(&record.head.number) {
            Some((_, grave)) if grave.lsn == record.lsn => {
                let version = Version::new(record.head.number).expect("a change has a number");
                let copy = Fragment::new(reservation.lsn(), record.bytes, version, false);
                let old = std::mem::replace(grave, copy);
                self.books.moved(copy, placement, [old]);
            }
            // A checkpoint has made it needless.
            _ => {
                Head { kind: Kind::Void, more: false, number: 0, page: record.head.page }.put(reservation.payload_mut())
            }
        }
        drop(graves);
        reservation.complete();
        Ok(())
    }
}
