//! okaywal: every entry that is committed is durable. There is no append without a sync.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use okaywal::{Configuration, Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};

use crate::{
    Fallible,
    contender::{Appender, Size, Subject},
    record::Tally,
};

/// Entry and chunk headers, checksum, end mark.
const OVERHEAD_BYTES: usize = 24;

/// Keeps what is recovered. Nothing is checkpointed while it is measured, because the file is large enough.
#[derive(Debug, Default, Clone)]
struct Keeper(Arc<Mutex<Vec<Vec<u8>>>>);

impl LogManager for Keeper {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        if let Some(chunks) = entry.read_all_chunks()? {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(chunks);
        }
        Ok(())
    }

    fn checkpoint_to(&mut self, _: EntryId, _: &mut SegmentReader, _: &WriteAheadLog) -> io::Result<()> {
        Ok(())
    }
}

fn configuration(dir: &Path, size: Size) -> Fallible<Configuration> {
    let bytes = size.file_bytes(OVERHEAD_BYTES);
    // Room beyond the threshold, as its documentation asks for.
    Ok(Configuration::default_for(dir)
        .preallocate_bytes(u32::try_from(bytes + (16 << 20))?)
        .checkpoint_after_bytes(bytes))
}

pub(crate) struct Okaywal {
    log: WriteAheadLog,
    configuration: Configuration,
}

impl Subject for Okaywal {
    type Appender<'a> = &'a WriteAheadLog;

    fn create(dir: &Path, size: Size) -> Fallible<Self> {
        let configuration = configuration(dir, size)?;
        let log = configuration.clone().open(Keeper::default())?;
        Ok(Self { log, configuration })
    }

    fn appender(&self, _writer: u32) -> Fallible<&WriteAheadLog> {
        Ok(&self.log)
    }

    fn sync(&self) -> Fallible {
        Err("okaywal has no sync of its own".into())
    }

    fn read_back(self, _dir: &Path, tally: &mut Tally) -> Fallible {
        let Self { log, configuration } = self;
        log.shutdown()?;
        let keeper = Keeper::default();
        let log = configuration.open(keeper.clone())?;
        for record in keeper.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            tally.add(&record)?;
        }
        log.shutdown()?;
        Ok(())
    }
}

impl Appender for &WriteAheadLog {
    fn append(&mut self, _record: &[u8]) -> Fallible {
        Err("okaywal does not append without a sync".into())
    }

    fn append_durable(&mut self, record: &[u8]) -> Fallible {
        let mut entry = self.begin_entry()?;
        entry.write_chunk(record)?;
        entry.commit()?;
        Ok(())
    }
}
