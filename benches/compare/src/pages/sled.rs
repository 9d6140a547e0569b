//! sled 0.34: a map.

use std::path::Path;

use sled::{Db, Tree};

use super::{Handle, Pages, Size};
use crate::Fallible;

pub(crate) struct Sled(Db);

impl Pages for Sled {
    type Handle<'a> = &'a Db;

    fn open(dir: &Path, size: Size) -> Fallible<Self> {
        // Only whoever asks for it pays for making things durable.
        Ok(Self(sled::Config::new().path(dir).cache_capacity(size.cache_bytes()).flush_every_ms(None).open()?))
    }

    fn handle(&self) -> &Db {
        &self.0
    }
}

impl Handle for &Db {
    fn get(&mut self, page: u32, look: &mut dyn FnMut(&[u8])) -> Fallible {
        look(&Tree::get(self, page.to_be_bytes())?.ok_or("a page is not there")?);
        Ok(())
    }

    fn replace(&mut self, page: u32, content: &[u8]) -> Fallible {
        Tree::insert(self, page.to_be_bytes(), content)?;
        Ok(())
    }

    fn flush(&mut self) -> Fallible {
        Tree::flush(self)?;
        Ok(())
    }
}
