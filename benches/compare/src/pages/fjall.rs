//! fjall: a map, an LSM tree.

use std::path::Path;

use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Handle, Pages, Size};
use crate::Fallible;

pub(crate) struct Fjall {
    database: Database,
    pages: Keyspace,
}

impl Pages for Fjall {
    type Handle<'a> = &'a Fjall;

    fn open(dir: &Path, size: Size) -> Fallible<Self> {
        // Nobody else compresses, and nothing here would shorten.
        let builder = Database::builder(dir).journal_compression(CompressionType::None);
        let database = builder.cache_size(size.cache_bytes()).open()?;
        let pages = database.keyspace("pages", KeyspaceCreateOptions::default)?;
        Ok(Self { database, pages })
    }

    fn handle(&self) -> &Self {
        self
    }
}

impl Handle for &Fjall {
    fn get(&mut self, page: u32, look: &mut dyn FnMut(&[u8])) -> Fallible {
        look(&self.pages.get(page.to_be_bytes())?.ok_or("a page is not there")?);
        Ok(())
    }

    fn replace(&mut self, page: u32, content: &[u8]) -> Fallible {
        self.pages.insert(page.to_be_bytes(), content)?;
        Ok(())
    }

    fn flush(&mut self) -> Fallible {
        self.database.persist(PersistMode::SyncData)?;
        Ok(())
    }
}
