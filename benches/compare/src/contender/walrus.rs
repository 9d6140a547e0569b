//! walrus-rust: each writer has a topic of its own, as in its own benchmarks. Durable is the schedule `SyncEach`, buffered
//! `NoFsync`, with its files synced by us at the end, because then it never does.

use std::path::{Path, PathBuf};

use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus as Log};

use crate::{
    Fallible,
    contender::{Appender, Promise, Size, Subject, sync_files},
    record::Tally,
};

pub(crate) struct Walrus {
    log: Log,
    dir: PathBuf,
    writers: u32,
}

fn topic(writer: u32) -> String {
    format!("w{writer}")
}

impl Subject for Walrus {
    type Appender<'a> = Topic<'a>;

    /// Where its files go it takes from the environment.
    fn create(dir: &Path, size: Size) -> Fallible<Self> {
        let schedule = match size.promise {
            Promise::Durable => FsyncSchedule::SyncEach,
            Promise::Buffered => FsyncSchedule::NoFsync,
        };
        let log =
            Log::with_consistency_and_schedule(ReadConsistency::AtLeastOnce { persist_every: 1 << 20 }, schedule)?;
        Ok(Self { log, dir: dir.to_owned(), writers: size.writers })
    }

    fn appender(&self, writer: u32) -> Fallible<Topic<'_>> {
        Ok(Topic { log: &self.log, name: topic(writer) })
    }

    fn sync(&self) -> Fallible {
        sync_files(&self.dir)
    }

    fn read_back(self, _dir: &Path, tally: &mut Tally) -> Fallible {
        for writer in 0..self.writers {
            // Reading them one by one would sync the read offset each time. The limit is far above what the most entries of
            // a batch come to: where it is the limit that ends a batch, version 0.2.0 leaves out the rest of the block.
            loop {
                let entries = self.log.batch_read_for_topic(&topic(writer), 1 << 30, true)?;
                if entries.is_empty() {
                    break;
                }
                for entry in entries {
                    tally.add(&entry.data)?;
                }
            }
        }
        Ok(())
    }
}

pub(crate) struct Topic<'a> {
    log: &'a Log,
    name: String,
}

impl Appender for Topic<'_> {
    fn append(&mut self, record: &[u8]) -> Fallible {
        self.log.append_for_topic(&self.name, record)?;
        Ok(())
    }

    /// The schedule says when it syncs.
    fn append_durable(&mut self, record: &[u8]) -> Fallible {
        self.append(record)
    }
}
