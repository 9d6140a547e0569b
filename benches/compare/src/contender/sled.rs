//! sled 0.34: a map. Keys say writer and number; `flush` is what it has for durability.

use std::path::{Path, PathBuf};

use sled::Db;

use crate::{
    Fallible,
    contender::{Appender, Size, Subject, key, sync_files},
    record::Tally,
};

pub(crate) struct Sled {
    db: Db,
    dir: PathBuf,
}

impl Subject for Sled {
    type Appender<'a> = Keys<'a>;

    fn create(dir: &Path, _size: Size) -> Fallible<Self> {
        Ok(Self { db: sled::open(dir)?, dir: dir.to_owned() })
    }

    fn appender(&self, writer: u32) -> Fallible<Keys<'_>> {
        Ok(Keys { db: &self.db, writer, number: 0 })
    }

    fn sync(&self) -> Fallible {
        self.db.flush()?;
        sync_files(&self.dir)
    }

    fn read_back(self, dir: &Path, tally: &mut Tally) -> Fallible {
        drop(self.db);
        for pair in sled::open(dir)?.iter() {
            tally.add(&pair?.1)?;
        }
        Ok(())
    }
}

pub(crate) struct Keys<'a> {
    db: &'a Db,
    writer: u32,
    number: u64,
}

impl Appender for Keys<'_> {
    fn append(&mut self, record: &[u8]) -> Fallible {
        self.db.insert(key(self.writer, self.number), record)?;
        self.number += 1;
        Ok(())
    }

    fn append_durable(&mut self, record: &[u8]) -> Fallible {
        self.append(record)?;
        self.db.flush()?;
        Ok(())
    }
}
