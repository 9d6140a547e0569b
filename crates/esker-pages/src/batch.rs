//! Changes of several pages that are one.
//!
//! Owns the order of the steps by which a batch holds for everybody at once. All its records are reserved side by side; its
//! changes get numbers that follow each other, and each record but the last says that the next belongs to it, so that an
//! opening takes all or none. For those who run, a node takes the place of each page that says both what the page was and what
//! it is to be; and when all are in place, one word decides for all of them. So
//!
//! - **A1 (one moment):** whoever has seen one page as the batch leaves it sees no other page as it was before.
//! - **A2 (nobody waits):** readers see what was before until it is decided. Whoever wants to change a page that a batch has
//!   not decided about decides against it; the batch begins again, and fails only if a page is at another version then.
//! - **A3 (all or nothing on disk):** the records are completed after the decision. If it is against the batch, they say that
//!   their numbers changed nothing.

use std::{collections::HashSet, sync::Arc};

use esker_format::MESSAGE_HEADER_BYTES;
use esker_page_table::{Decision, Entry, Guard, PageId, Version, pin};
use esker_segments::cleaning::Placement;
use esker_streams::ReservedRun;

use crate::{
    Error,
    cache::Cached,
    large::Large,
    node::{Fragment, Node, Pending, Seen, State, seen, settle},
    record::{HEADER_BYTES, Head, Kind, LARGE_BYTES, NUMBER_MAX},
    roots::{META, RootChange},
    store::Inner,
    sync::thread,
    write::check,
};

/// Changes of several pages that are made together or not at all.
///
/// ```
/// # use std::sync::Arc;
/// # use esker_pages::{Batch, Error, Options, Store, storage::MemStorage};
/// # let store = Store::open(Arc::new(MemStorage::default()), Options::new())?;
/// let (left, right) = (store.allocate()?, store.allocate()?);
/// let mut batch = Batch::new();
/// batch.replace(left, None, b"a..m").replace(right, None, b"n..z").set_root("tree", None, Some(left));
/// let versions = store.apply(&batch)?;
/// assert_eq!(store.version(right), Some(versions[1]));
/// assert_eq!(store.root("tree")?, Some(left));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Batch {
    changes: Vec<Change>,
    roots: Vec<RootChange>,
}

#[derive(Clone, Debug)]
struct Change {
    page: PageId,
    expected: Option<Version>,
    kind: Kind,
    content: Vec<u8>,
}

impl Batch {
    /// No changes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `content` all of a page, if it is at the version `expected`: as [`Store::replace`](crate::Store::replace).
    pub fn replace(&mut self, page: PageId, expected: Option<Version>, content: impl Into<Vec<u8>>) -> &mut Self {
        self.add(page, expected, Kind::Full, content.into())
    }

    /// Appends a delta to a page, if it is at the version `expected`: as [`Store::link`](crate::Store::link).
    pub fn link(&mut self, page: PageId, expected: Version, delta: impl Into<Vec<u8>>) -> &mut Self {
        self.add(page, Some(expected), Kind::Delta, delta.into())
    }

    /// Ends a page, if it is at the version `expected`: as [`Store::free`](crate::Store::free).
    pub fn free(&mut self, page: PageId, expected: Version) -> &mut Self {
        self.add(page, Some(expected), Kind::Free, Vec::new())
    }

    /// Names a page, if the name stood for `expected`: as [`Store::set_root`](crate::Store::set_root).
    pub fn set_root(&mut self, name: &str, expected: Option<PageId>, page: Option<PageId>) -> &mut Self {
        self.roots.push(RootChange { name: name.to_owned(), expected, page });
        self
    }

    /// How many pages it changes. Names do not count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.roots.is_empty()
    }

    fn add(&mut self, page: PageId, expected: Option<Version>, kind: Kind, content: Vec<u8>) -> &mut Self {
        self.changes.push(Change { page, expected, kind, content });
        self
    }
}

/// A change as it will be in the log.
struct Op {
    page: PageId,
    expected: Option<Version>,
    kind: Kind,
    content: Vec<u8>,
    /// The file of the content, if it has one.
    large: Option<Large>,
}

impl Op {
    fn record_bytes(&self) -> u32 {
        (HEADER_BYTES + self.content.len()) as u32
    }
}

/// A change whose node is in the table.
struct Placed {
    before: Option<State>,
}

impl Inner {
    pub(crate) fn apply(&self, batch: &Batch) -> Result<Vec<Version>, Error> {
        let mut pages = HashSet::new();
        for change in &batch.changes {
            if change.page == META {
                return Err(Error::Reserved { page: change.page });
            }
            if !pages.insert(change.page) {
                return Err(Error::Twice { page: change.page });
            }
        }
        let mut ops: Vec<Op> = Vec::new();
        let outcome = self.apply_all(batch, &mut ops);
        if outcome.is_err() {
            ops.iter().filter_map(|op| op.large).for_each(|large| self.larges.abandon(large));
        }
        outcome
    }

    fn apply_all(&self, batch: &Batch, ops: &mut Vec<Op>) -> Result<Vec<Version>, Error> {
        for change in &batch.changes {
            ops.push(self.prepare(change)?);
        }
        let changes = ops.len();
        loop {
            if !batch.roots.is_empty() {
                let (expected, content) = self.change_roots(&batch.roots)?;
                ops.push(Op { page: META, expected, kind: Kind::Full, content, large: None });
            }
            if ops.is_empty() {
                return Ok(Vec::new());
            }
            self.fit(ops)?;
            match self.attempt(ops) {
                Ok(Some(mut versions)) => {
                    versions.truncate(changes);
                    return Ok(versions);
                }
                // Somebody else came first, if not with a version that matters.
                Ok(None) => thread::yield_now(),
                // Other names may have been changed; those that matter are looked at again.
                Err(Error::Conflict { page: META, .. }) => (),
                Err(error) => return Err(error),
            }
            for op in ops.drain(changes..) {
                op.large.into_iter().for_each(|large| self.larges.abandon(large));
            }
        }
    }

    /// What of a change can be done before all others.
    fn prepare(&self, change: &Change) -> Result<Op, Error> {
        let Change { page, expected, kind, .. } = *change;
        let entry_is_long = {
            let guard = pin();
            let entry = self.table.load(page, &guard);
            check(page, expected, entry)?;
            self.is_long(entry)
        };
        let mut op = Op { page, expected, kind, content: change.content.clone(), large: None };
        if kind == Kind::Delta {
            let merge = self.merge()?;
            if entry_is_long || self.is_large(op.content.len()) {
                let conflict = |current| Error::Conflict { page, expected, current };
                let before = self.get(page)?.ok_or(conflict(None))?;
                if Some(before.version) != expected {
                    return Err(conflict(Some(before.version)));
                }
                op.content = merge.merge(page, &before.content, &change.content);
                op.kind = Kind::Full;
            }
        }
        Ok(op)
    }

    /// Gives the longest contents files of their own, until the records fit side by side.
    fn fit(&self, ops: &mut [Op]) -> Result<(), Error> {
        let max = u64::from(self.streams.payload_bytes_max());
        loop {
            let bytes = |op: &Op| MESSAGE_HEADER_BYTES as u64 + u64::from(op.record_bytes());
            let len = ops.iter().map(bytes).sum::<u64>() - MESSAGE_HEADER_BYTES as u64;
            if len <= max {
                return Ok(());
            }
            let may_shrink = |op: &&mut Op| op.kind == Kind::Full && op.content.len() > LARGE_BYTES;
            let longest = ops.iter_mut().filter(may_shrink).max_by_key(|op| op.content.len());
            let Some(op) = longest else { return Err(Error::TooLarge { what: "batch", len, max }) };
            let large = self.create_large(&op.content)?;
            (op.kind, op.content, op.large) = (Kind::Large, large.encode().to_vec(), Some(large));
        }
    }

    /// Tries once. `None` if somebody else was in the way.
    fn attempt(&self, ops: &[Op]) -> Result<Option<Vec<Version>>, Error> {
        // Looking first keeps what cannot succeed out of the log.
        let first_replaced = {
            let guard = pin();
            let mut first_replaced = None;
            for op in ops {
                let entry = self.table.load(op.page, &guard);
                check(op.page, op.expected, entry)?;
                first_replaced = first_replaced.or(seen(entry).map(|seen| seen.newest));
            }
            first_replaced
        };
        let placement = self.books.place_write(first_replaced);
        let mut run = self.reserve_run(&placement, ops)?;
        let lsns: Vec<_> = run.lsns().collect();
        self.books.expect(lsns[0], &placement);

        let guard = pin();
        for op in ops {
            let entry = self.table.load(op.page, &guard);
            settle(entry);
            check(op.page, op.expected, entry)?;
        }
        let count = ops.len() as u64;
        let first = self.numbers.take_many(count);
        if first > NUMBER_MAX - count {
            return Err(Error::Exhausted { what: "numbers" });
        }
        for ((number, op), payload) in (first..).zip(ops).zip(run.payloads_mut()) {
            let more = number + 1 < first + count;
            Head { kind: op.kind, more, number, page: op.page }.put(payload);
            payload[HEADER_BYTES..].copy_from_slice(&op.content);
            if let Some(large) = op.large {
                self.larges.need(number, large);
            }
        }
        let fragments: Vec<Fragment> = (first..)
            .zip(ops)
            .zip(lsns)
            .map(|((number, op), lsn)| {
                let version = Version::new(number).expect("numbers begin at one");
                let bytes = MESSAGE_HEADER_BYTES as u32 + op.record_bytes();
                Fragment::new(lsn, bytes, version, op.kind == Kind::Large)
            })
            .collect();

        let decision = Arc::new(Decision::new());
        let mut placed = Vec::with_capacity(ops.len());
        let outcome = ops.iter().zip(&fragments).try_for_each(|(op, &fragment)| {
            placed.push(self.put_pending(op, fragment, &decision, &guard).map_err(Some)?.ok_or(None)?);
            if op.kind == Kind::Free {
                // From the decision on, others may make the page anew.
                self.ids.note_end(op.page, fragment.version.get());
            }
            Ok(())
        });
        if outcome.is_err() {
            decision.refuse();
        }
        let holds = outcome.is_ok() && decision.hold();
        // What is decided takes its place before the records are completed: a checkpoint that begins then finds it marked.
        for op in &ops[..placed.len()] {
            self.put_decided(op.page, &decision, holds, &guard);
        }
        if holds {
            for ((op, &fragment), placed) in ops.iter().zip(&fragments).zip(placed) {
                let before: Vec<Fragment> = placed.before.iter().flat_map(State::fragments).collect();
                self.account(op.page, op.kind, fragment, &placement, &before);
            }
        } else {
            for ((number, op), payload) in (first..).zip(ops).zip(run.payloads_mut()) {
                Head { kind: Kind::Void, more: false, number, page: op.page }.put(payload);
                if op.large.is_some() {
                    self.larges.need_not(number);
                }
            }
        }
        drop(guard);
        run.complete();
        if let Err(Some(error)) = outcome {
            return Err(error);
        }
        if !holds {
            return Ok(None);
        }
        self.evict();
        Ok(Some(fragments.into_iter().map(|fragment| fragment.version).collect()))
    }

    /// Puts a node in the place of a page that turns with the decision. `None` if the page, which is to be made, may have come and
    /// gone since the numbers were taken.
    fn put_pending(
        &self,
        op: &Op,
        fragment: Fragment,
        decision: &Arc<Decision>,
        guard: &Guard,
    ) -> Result<Option<Placed>, Error> {
        let page = op.page;
        let content = (op.kind == Kind::Full).then(|| Arc::<[u8]>::from(&*op.content));
        let mut entry = self.table.load(page, guard);
        loop {
            settle(entry);
            check(page, op.expected, entry)?;
            let now = seen(entry);
            let after = self.state_after(page, now, op.kind, fragment, content.clone(), &op.content);
            let before = now.map(Seen::to_state);
            let is_freed = op.kind == Kind::Free;
            let pending = Pending { decision: decision.clone(), before: before.clone(), is_freed };
            let node = Node::pending(after, pending);
            let cached = Cached::from(&*node);
            match self.exchange(page, entry, node, guard) {
                Ok(Some(())) => {
                    let old = if let Entry::Resident(node) = entry { Some(node) } else { None };
                    self.cache.exchanged(page, Some(cached), old, &self.table);
                    return Ok(Some(Placed { before }));
                }
                Ok(None) => return Ok(None),
                Err(now) => entry = now,
            }
        }
    }

    /// Puts what was decided in the place of the node that a batch has put there, unless somebody else has.
    fn put_decided(&self, page: PageId, decision: &Arc<Decision>, holds: bool, guard: &Guard) {
        loop {
            let entry = self.table.load(page, guard);
            let Entry::Resident(node) = entry else { return };
            let is_ours = node.pending.as_ref().is_some_and(|pending| Arc::ptr_eq(&pending.decision, decision));
            if !is_ours {
                return;
            }
            let (cached, is_put) = match node.now() {
                // Whoever has asked for the id of a page that did not come about still has it.
                None if !holds => (None, self.table.free(page, entry, guard).is_ok()),
                None => {
                    let number = node.state.newest.version.get();
                    (None, self.ids.free_with(page, number, || self.table.free(page, entry, guard)).is_ok())
                }
                Some(state) => {
                    let node = Node::new(state.clone());
                    (Some(Cached::from(&*node)), self.table.replace(page, entry, node, guard).is_ok())
                }
            };
            if is_put {
                self.cache.exchanged(page, cached, Some(node), &self.table);
                return;
            }
        }
    }

    /// Room for the records of a batch.
    fn reserve_run(&self, placement: &Placement, ops: &[Op]) -> Result<ReservedRun<'_>, Error> {
        let lens: Vec<u32> = ops.iter().map(Op::record_bytes).collect();
        let frees_only = ops.iter().all(|op| op.kind == Kind::Free);
        let mut tries = 0;
        loop {
            match self.streams.reserve_run(self.user_stream(placement), &lens) {
                Err(esker_log::Error::NoSpace { .. }) if frees_only => {
                    // What frees must succeed where nothing else does.
                    match self.streams.reserve_run(self.last_resort(), &lens) {
                        Err(esker_log::Error::NoSpace { .. }) => self.make_room(&mut tries)?,
                        outcome => return Ok(outcome?),
                    }
                }
                Err(esker_log::Error::NoSpace { .. }) => self.make_room(&mut tries)?,
                outcome => return Ok(outcome?),
            }
        }
    }
}
