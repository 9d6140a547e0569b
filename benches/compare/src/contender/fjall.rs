//! fjall: a map. Keys say writer and number; `persist(SyncData)`, which is `fdatasync`, makes its journal durable.

use std::path::Path;

use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::{
    Fallible,
    contender::{Appender, Size, Subject, key},
    record::Tally,
};

pub(crate) struct Fjall {
    database: Database,
    records: Keyspace,
}

fn open(dir: &Path) -> Fallible<Fjall> {
    // Nobody else compresses.
    let database = Database::builder(dir).journal_compression(CompressionType::None).open()?;
    let records = database.keyspace("records", KeyspaceCreateOptions::default)?;
    Ok(Fjall { database, records })
}

impl Subject for Fjall {
    type Appender<'a> = Keys<'a>;

    fn create(dir: &Path, _size: Size) -> Fallible<Self> {
        open(dir)
    }

    fn appender(&self, writer: u32) -> Fallible<Keys<'_>> {
        Ok(Keys { fjall: self, writer, number: 0 })
    }

    fn sync(&self) -> Fallible {
        self.database.persist(PersistMode::SyncData)?;
        Ok(())
    }

    fn read_back(self, dir: &Path, tally: &mut Tally) -> Fallible {
        drop(self);
        for pair in open(dir)?.records.iter() {
            tally.add(&pair.value()?)?;
        }
        Ok(())
    }
}

pub(crate) struct Keys<'a> {
    fjall: &'a Fjall,
    writer: u32,
    number: u64,
}

impl Appender for Keys<'_> {
    fn append(&mut self, record: &[u8]) -> Fallible {
        self.fjall.records.insert(key(self.writer, self.number), record)?;
        self.number += 1;
        Ok(())
    }

    fn append_durable(&mut self, record: &[u8]) -> Fallible {
        self.append(record)?;
        self.fjall.sync()
    }
}
