//! esker's page store, which is given as much space as makes its segments as full as is asked for.

use std::{path::Path, sync::Arc};

use esker_pages::{Options, PageId, Store, cleaning::Rate, storage::FileStorage};

use super::{FILL, Handle, PAGE_BYTES, Pages, Size};
use crate::Fallible;

/// What a page takes in a segment beyond its content.
const OVERHEAD_BYTES: u64 = 37;

pub(crate) struct Esker(Store);

impl Pages for Esker {
    type Handle<'a> = &'a Store;

    fn open(dir: &Path, size: Size) -> Fallible<Self> {
        let live = u64::from(size.pages) * (PAGE_BYTES as u64 + OVERHEAD_BYTES);
        let segments = live as f64 / FILL;
        let spare = (segments - live as f64) as u64 >> 20;
        // An eighth of the bound is for the ledger.
        let options = Options::new()
            .max_bytes(Some((segments * 8.0 / 7.0) as u64 + (8 << 20)))
            .cache_bytes(size.cache_bytes())
            .policy(Rate::for_spare_segments(spare));
        Ok(Self(Store::open(Arc::new(FileStorage::open(dir)?), options)?))
    }

    fn handle(&self) -> &Store {
        &self.0
    }
}

impl Handle for &Store {
    fn get(&mut self, page: u32, look: &mut dyn FnMut(&[u8])) -> Fallible {
        self.view(id(page)?, |_, content| look(content))?.ok_or_else(|| "a page is not there".into())
    }

    fn replace(&mut self, page: u32, content: &[u8]) -> Fallible {
        let page = id(page)?;
        Store::replace(self, page, self.version(page), content)?;
        Ok(())
    }

    fn flush(&mut self) -> Fallible {
        Store::flush(self)?;
        Ok(())
    }
}

fn id(page: u32) -> Fallible<PageId> {
    PageId::new(u64::from(page) + 1).ok_or_else(|| "too many pages".into())
}
