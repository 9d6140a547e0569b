//! esker through its facade, with the default options.

use std::path::Path;

use esker::{Config, Log, Lsn};

use crate::{
    Fallible,
    contender::{Appender, Size, Subject},
    record::Tally,
};

/// What a record takes in the log beyond its payload is less than this.
pub(crate) const OVERHEAD_BYTES: usize = 40;

/// A log and where it began to be measured.
pub(crate) struct Esker {
    pub(crate) log: Log,
    from: Lsn,
}

/// Goes over the first segments once and gives them up, so that they are written over from then on, as those of a log that
/// has been in use are.
pub(crate) fn warm(log: &Log, bytes: u64) -> Fallible {
    let payload = vec![1; 64 << 10];
    let mut last = log.append(&payload)?;
    while last.get() < bytes {
        last = log.append(&payload)?;
    }
    log.flush()?;
    log.truncate_before(last)?;
    Ok(())
}

impl Subject for Esker {
    type Appender<'a> = &'a Log;

    fn create(dir: &Path, size: Size) -> Fallible<Self> {
        let log = Config::new(dir).open()?;
        warm(&log, size.file_bytes(OVERHEAD_BYTES))?;
        Ok(Self { from: log.end_lsn(), log })
    }

    fn create_cold(dir: &Path, _size: Size) -> Fallible<Self> {
        let log = Config::new(dir).open()?;
        Ok(Self { from: log.end_lsn(), log })
    }

    fn appender(&self, _writer: u32) -> Fallible<&Log> {
        Ok(&self.log)
    }

    fn sync(&self) -> Fallible {
        self.log.flush()?;
        Ok(())
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.log.stats().engine.syncs)
    }

    fn read_back(self, dir: &Path, tally: &mut Tally) -> Fallible {
        let Self { log, from } = self;
        log.close()?;
        let log = Config::new(dir).open_read_only()?;
        let mut records = log.iter_from(from);
        while let Some(record) = records.next_record() {
            tally.add(record?.payload())?;
        }
        Ok(())
    }
}

impl Appender for &Log {
    #[inline]
    fn append(&mut self, record: &[u8]) -> Fallible {
        Log::append(self, record)?;
        Ok(())
    }

    #[inline]
    fn append_durable(&mut self, record: &[u8]) -> Fallible {
        Log::append_durable(self, record)?;
        Ok(())
    }
}
