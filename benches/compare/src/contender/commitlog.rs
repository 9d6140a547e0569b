//! commitlog: one writer at a time, so under a mutex; `flush` is what it has for durability.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use commitlog::{CommitLog, LogOptions, ReadLimit, message::MessageSet};

use crate::{
    Fallible,
    contender::{Appender, Size, Subject, sync_files},
    record::Tally,
};

pub(crate) struct Commitlog {
    log: Mutex<CommitLog>,
    dir: PathBuf,
}

impl Commitlog {
    fn lock(&self) -> MutexGuard<'_, CommitLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subject for Commitlog {
    type Appender<'a> = &'a Self;

    fn create(dir: &Path, _size: Size) -> Fallible<Self> {
        Ok(Self { log: Mutex::new(CommitLog::new(LogOptions::new(dir))?), dir: dir.to_owned() })
    }

    fn appender(&self, _writer: u32) -> Fallible<&Self> {
        Ok(self)
    }

    fn sync(&self) -> Fallible {
        self.lock().flush()?;
        sync_files(&self.dir)
    }

    fn read_back(self, dir: &Path, tally: &mut Tally) -> Fallible {
        drop(self.log);
        let log = CommitLog::new(LogOptions::new(dir))?;
        let mut next = 0;
        while next < log.next_offset() {
            for message in log.read(next, ReadLimit::max_bytes(1 << 20))?.iter() {
                next = message.offset() + 1;
                tally.add(message.payload())?;
            }
        }
        Ok(())
    }
}

impl Appender for &Commitlog {
    fn append(&mut self, record: &[u8]) -> Fallible {
        self.lock().append_msg(record)?;
        Ok(())
    }

    fn append_durable(&mut self, record: &[u8]) -> Fallible {
        let mut log = self.lock();
        log.append_msg(record)?;
        log.flush()?;
        Ok(())
    }
}
