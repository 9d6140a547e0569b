//! Reading pages.

use std::sync::Arc;

use esker_page_table::{Entry, PageId, pin};

use crate::{
    Error, Page,
    cache::Cached,
    node::{Fragment, Node, State, seen},
    record::{Head, Kind},
    store::Inner,
};

/// What the records of a page add up to.
pub(crate) struct Folded {
    pub(crate) content: Vec<u8>,
    /// Whether the change that the newest of them tells of belongs to a batch with the next one.
    pub(crate) more: bool,
}

impl Inner {
    pub(crate) fn get(&self, page: PageId) -> Result<Option<Page>, Error> {
        let mut gone = Vec::new();
        loop {
            let guard = pin();
            let entry = self.table.load(page, &guard);
            let Some(seen) = seen(entry) else { return Ok(None) };
            if let Some(content) = seen.content {
                if let Entry::Resident(node) = entry {
                    node.touch.touch();
                }
                return Ok(Some(Page { version: seen.newest.version, content: content.clone() }));
            }
            let fragments: Vec<Fragment> = seen.fragments().collect();
            let Some(folded) = self.fold(page, &fragments)? else {
                drop(guard);
                // What was moved meanwhile is found where it is now.
                gone = moved(page, gone, fragments)?;
                continue;
            };
            let content: Arc<[u8]> = folded.content.into();
            let version = fragments[0].version;
            let state = State { newest: fragments[0], older: fragments[1..].into(), content: Some(content.clone()) };
            let node = Node::new(state);
            let cached = Some(Cached::from(&*node));
            // If the page was changed meanwhile, this is what it was.
            match entry {
                Entry::Stored(stored) => {
                    if self.table.install(page, stored, node, &guard).is_ok() {
                        self.cache.exchanged(page, cached, None, &self.table);
                    }
                }
                // Whoever has a batch there is about to put something else in its place.
                Entry::Resident(bare) if bare.pending.is_none() => {
                    if self.table.replace(page, entry, node, &guard).is_ok() {
                        self.cache.exchanged(page, cached, Some(bare), &self.table);
                    }
                }
                Entry::Resident(_) | Entry::Vacant => (),
            }
            drop(guard);
            self.evict();
            return Ok(Some(Page { version, content }));
        }
    }

    /// What these records add up to, the newest being first. `None` if one of them is not where it was.
    pub(crate) fn fold(&self, page: PageId, fragments: &[Fragment]) -> Result<Option<Folded>, Error> {
        let mut content = Vec::new();
        let more = self.read_all(page, fragments, |kind, bytes| {
            content = if kind == Kind::Delta { self.merge()?.merge(page, &content, &bytes) } else { bytes };
            Ok(())
        })?;
        Ok(more.map(|more| Folded { content, more }))
    }

    /// Reads these records, of which the newest is the first, and shows them from the oldest on: what is full, and the deltas
    /// that it has. Returns whether the newest belongs to a batch with the next number; `None` if one of them is not where it
    /// was.
    pub(crate) fn read_all(
        &self,
        page: PageId,
        fragments: &[Fragment],
        mut show: impl FnMut(Kind, Vec<u8>) -> Result<(), Error>,
    ) -> Result<Option<bool>, Error> {
        let mut more = None;
        for &fragment in fragments.iter().rev() {
            let Some((head, content)) = self.read(page, fragment)? else { return Ok(None) };
            let damaged = |reason| Err(Error::Damaged { page, lsn: fragment.lsn, reason });
            match (more, head.kind) {
                (None, Kind::Delta) => return damaged("a delta that adds to nothing"),
                (Some(_), Kind::Full | Kind::Large) => return damaged("no delta among the deltas of a page"),
                _ => show(head.kind, content)?,
            }
            more = Some(head.more);
        }
        Ok(more)
    }

    pub(crate) fn merge(&self) -> Result<&dyn crate::Merge, Error> {
        let fault = || "pages have deltas, and no merge is given to fold them".to_owned();
        self.options.merge.as_deref().ok_or_else(|| Error::InvalidOptions { faults: vec![fault()] })
    }

    /// What a record of a page says. `None` if it is not there any more.
    fn read(&self, page: PageId, fragment: Fragment) -> Result<Option<(Head, Vec<u8>)>, Error> {
        let Some(mut record) = self.streams.read(fragment.lsn, fragment.bytes())? else { return Ok(None) };
        let damaged = |reason| Error::Damaged { page, lsn: fragment.lsn, reason };
        let Some((head, content)) = Head::split(&record) else {
            return Err(damaged("a record that is none of a page"));
        };
        if (head.page, head.number) != (page, fragment.version.get()) {
            return Err(damaged("the record of another page or version"));
        }
        match head.kind {
            Kind::Full | Kind::Delta => {
                let from = record.len() - content.len();
                record.drain(..from);
                Ok(Some((head, record)))
            }
            Kind::Large => {
                let content = self.read_large(page, fragment, content)?;
                Ok(content.map(|content| (head, content)))
            }
            Kind::Free | Kind::Void => Err(damaged("a record without a page")),
        }
    }
}

/// The records of a page were not where they were looked for. Before a segment goes, what is live in it is put elsewhere: so
/// if they are `gone` already, and still the page's, they are lost.
pub(crate) fn moved(page: PageId, gone: Vec<Fragment>, fragments: Vec<Fragment>) -> Result<Vec<Fragment>, Error> {
    if gone == fragments {
        return Err(Error::Damaged {
            page,
            lsn: fragments[0].lsn,
            reason: "nothing: the segment of a record is not there",
        });
    }
    Ok(fragments)
}
