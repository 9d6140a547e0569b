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

impl Inner {
    pub(crate) fn get(&self, page: PageId) -> Result<Option<Page>, Error> {
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
            // What was moved meanwhile is found where it is now.
            let Some(content) = self.fold(page, &fragments)? else { continue };
            let content: Arc<[u8]> = content.into();
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

    /// The content that these records add up to, the newest being first. `None` if one of them is not where it was.
    pub(crate) fn fold(&self, page: PageId, fragments: &[Fragment]) -> Result<Option<Vec<u8>>, Error> {
        let Some((&full, deltas)) = fragments.split_last() else { return Ok(None) };
        let Some((kind, mut content)) = self.read(page, full)? else { return Ok(None) };
        if kind == Kind::Delta {
            return Err(Error::Damaged { page, lsn: full.lsn, reason: "a delta that adds to nothing" });
        }
        for &delta in deltas.iter().rev() {
            let Some((kind, delta_content)) = self.read(page, delta)? else { return Ok(None) };
            if kind != Kind::Delta {
                return Err(Error::Damaged { page, lsn: delta.lsn, reason: "no delta among the deltas of a page" });
            }
            content = self.merge()?.merge(page, &content, &delta_content);
        }
        Ok(Some(content))
    }

    pub(crate) fn merge(&self) -> Result<&dyn crate::Merge, Error> {
        let fault = || "pages have deltas, and no merge is given to fold them".to_owned();
        self.options.merge.as_deref().ok_or_else(|| Error::InvalidOptions { faults: vec![fault()] })
    }

    /// What a record of a page says. `None` if it is not there any more.
    fn read(&self, page: PageId, fragment: Fragment) -> Result<Option<(Kind, Vec<u8>)>, Error> {
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
                Ok(Some((head.kind, record)))
            }
            Kind::Large => {
                let content = self.read_large(page, fragment, content)?;
                Ok(content.map(|content| (Kind::Full, content)))
            }
            Kind::Free | Kind::Void => Err(damaged("a record without a page")),
        }
    }
}
