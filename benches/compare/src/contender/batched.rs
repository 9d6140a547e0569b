//! Records handed over by sixty-four: one claim for all of them.
//!
//! What is measured includes the copy into the batch, which somebody who has the records at hand does not need.

use std::path::Path;

use esker::{Log, Lsn, MessageKind};
use esker_iobufs::IoBufs;

use super::{Appender, Size, Subject, esker::Esker};
use crate::{Fallible, record::Tally, workload::append_path::Engine};

const RECORDS: usize = 64;

/// What takes several records at once.
pub(crate) trait Batches: Sync {
    fn append_batch(&self, records: &[&[u8]], lsns: &mut Vec<Lsn>) -> Fallible;
}

impl Batches for Log {
    fn append_batch(&self, records: &[&[u8]], lsns: &mut Vec<Lsn>) -> Fallible {
        Ok(Log::append_batch(self, records, lsns)?)
    }
}

impl Batches for IoBufs {
    fn append_batch(&self, records: &[&[u8]], lsns: &mut Vec<Lsn>) -> Fallible {
        Ok(self.append_all(MessageKind::Inline, records, lsns)?)
    }
}

/// A subject whose appenders gather records.
pub(crate) struct Batched<S>(S);

/// One thread's batch. All records have the same length.
pub(crate) struct Batch<'a, L> {
    log: &'a L,
    staged: Vec<u8>,
    record_bytes: usize,
    lsns: Vec<Lsn>,
}

impl<L: Batches> Batch<'_, L> {
    fn hand_over(&mut self) -> Fallible {
        let mut records: [&[u8]; RECORDS] = [&[]; RECORDS];
        let mut count = 0;
        for (place, record) in records.iter_mut().zip(self.staged.chunks_exact(self.record_bytes)) {
            *place = record;
            count += 1;
        }
        self.lsns.clear();
        self.log.append_batch(&records[..count], &mut self.lsns)?;
        self.staged.clear();
        Ok(())
    }
}

impl<L: Batches> Appender for Batch<'_, L> {
    #[inline]
    fn append(&mut self, record: &[u8]) -> Fallible {
        self.record_bytes = record.len();
        self.staged.extend_from_slice(record);
        if self.staged.len() == RECORDS * record.len() { self.hand_over() } else { Ok(()) }
    }

    fn append_durable(&mut self, _record: &[u8]) -> Fallible {
        Err("batches are measured without waiting".into())
    }

    fn finish(&mut self) -> Fallible {
        if self.staged.is_empty() { Ok(()) } else { self.hand_over() }
    }
}

macro_rules! batched {
    ($subject:ty, $log:ty) => {
        impl Subject for Batched<$subject> {
            type Appender<'a> = Batch<'a, $log>;

            fn create(dir: &Path, size: Size) -> Fallible<Self> {
                Ok(Self(<$subject>::create(dir, size)?))
            }

            fn appender(&self, writer: u32) -> Fallible<Self::Appender<'_>> {
                let log = self.0.appender(writer)?;
                Ok(Batch { log, staged: Vec::new(), record_bytes: 1, lsns: Vec::new() })
            }

            fn sync(&self) -> Fallible {
                self.0.sync()
            }

            fn syncs(&self) -> Option<u64> {
                self.0.syncs()
            }

            fn read_back(self, dir: &Path, tally: &mut Tally) -> Fallible {
                self.0.read_back(dir, tally)
            }
        }
    };
}

batched!(Esker, Log);
batched!(Engine, IoBufs);
