//! wal-db: `append_and_sync`, and `append` with one `sync` at the end. Its file grows: nothing is written over.

use std::path::{Path, PathBuf};

use wal_db::Wal;

use crate::{
    Fallible,
    contender::{Appender, Size, Subject},
    record::Tally,
};

pub(crate) struct WalDb(Wal);

pub(crate) fn path(dir: &Path) -> PathBuf {
    dir.join("app.wal")
}

impl Subject for WalDb {
    type Appender<'a> = &'a Wal;

    fn create(dir: &Path, _size: Size) -> Fallible<Self> {
        Ok(Self(Wal::open(path(dir))?))
    }

    fn appender(&self, _writer: u32) -> Fallible<&Wal> {
        Ok(&self.0)
    }

    fn sync(&self) -> Fallible {
        self.0.sync()?;
        Ok(())
    }

    fn read_back(self, dir: &Path, tally: &mut Tally) -> Fallible {
        drop(self.0);
        for entry in Wal::open(path(dir))?.iter()? {
            tally.add(entry?.data())?;
        }
        Ok(())
    }
}

impl Appender for &Wal {
    fn append(&mut self, record: &[u8]) -> Fallible {
        Ok(Wal::append(self, record).map(drop)?)
    }

    fn append_durable(&mut self, record: &[u8]) -> Fallible {
        Ok(self.append_and_sync(record).map(drop)?)
    }
}
