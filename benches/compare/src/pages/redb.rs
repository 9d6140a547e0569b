//! redb: a map, a B-tree that is copied on write. Whoever writes has it alone, so each thread hands over what it has written
//! when it is to be durable, in one transaction, and looks into what it has not handed over yet when it reads.

use std::{collections::HashMap, path::Path};

use redb::{Database, ReadableDatabase, TableDefinition};

use super::{Handle, Pages, Size};
use crate::Fallible;

const PAGES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("pages");

pub(crate) struct Redb(Database);

impl Pages for Redb {
    type Handle<'a> = Pending<'a>;

    fn open(dir: &Path, size: Size) -> Fallible<Self> {
        let database =
            Database::builder().set_cache_size(size.cache_bytes() as usize).create(dir.join("pages.redb"))?;
        Ok(Self(database))
    }

    fn handle(&self) -> Pending<'_> {
        Pending { database: &self.0, pages: HashMap::new() }
    }
}

pub(crate) struct Pending<'a> {
    database: &'a Database,
    pages: HashMap<u32, Vec<u8>>,
}

impl Handle for Pending<'_> {
    fn get(&mut self, page: u32, look: &mut dyn FnMut(&[u8])) -> Fallible {
        if let Some(content) = self.pages.get(&page) {
            look(content);
            return Ok(());
        }
        let table = self.database.begin_read()?.open_table(PAGES)?;
        look(table.get(page)?.ok_or("a page is not there")?.value());
        Ok(())
    }

    fn replace(&mut self, page: u32, content: &[u8]) -> Fallible {
        self.pages.insert(page, content.to_vec());
        Ok(())
    }

    fn flush(&mut self) -> Fallible {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(PAGES)?;
            for (page, content) in self.pages.drain() {
                table.insert(page, content.as_slice())?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}
