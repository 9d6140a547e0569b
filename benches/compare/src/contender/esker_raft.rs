//! esker's Raft log, with the default options: each writer is a group that appends entries of consecutive numbers.

use std::{path::Path, sync::Arc};

use esker_raftlog::{
    Group, RaftLog,
    log::{Options, storage::FileStorage},
};

use crate::{
    Fallible,
    contender::{Appender, Size, Subject, esker::OVERHEAD_BYTES},
    record::Tally,
};

/// A group that has no writer.
const WARM: u64 = u64::MAX;

pub(crate) struct EskerRaft(RaftLog);

impl EskerRaft {
    fn open(dir: &Path) -> Fallible<Self> {
        Ok(Self(RaftLog::open(Arc::new(FileStorage::create(dir)?), Options::new())?))
    }
}

impl Subject for EskerRaft {
    type Appender<'a> = Entries;

    fn create(dir: &Path, size: Size) -> Fallible<Self> {
        let logs = Self::open(dir)?;
        // Kind, group and number of each entry.
        let bytes = size.file_bytes(OVERHEAD_BYTES + 17);
        let group = logs.0.group(WARM);
        let payload = vec![1; 64 << 10];
        let mut index = 0;
        while logs.0.log().end_lsn().get() < bytes {
            index += 1;
            group.append(index, &[&payload])?;
        }
        group.purge(index, &[])?;
        group.end()?.wait()?;
        Ok(logs)
    }

    fn appender(&self, writer: u32) -> Fallible<Entries> {
        Ok(Entries { group: self.0.group(writer.into()), next: 1 })
    }

    fn sync(&self) -> Fallible {
        self.0.flush()?;
        Ok(())
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.0.log().stats().engine.syncs)
    }

    fn read_back(self, dir: &Path, tally: &mut Tally) -> Fallible {
        const AT_ONCE: u64 = 4096;
        drop(self);
        let logs = Self::open(dir)?;
        for group in logs.0.groups() {
            let group = logs.0.group(group);
            let Some(last) = group.state().last else { continue };
            for from in (1..=last).step_by(AT_ONCE as usize) {
                for (_, bytes) in group.entries(from..from + AT_ONCE)? {
                    tally.add(&bytes)?;
                }
            }
        }
        Ok(())
    }
}

/// One group and its next entry.
pub(crate) struct Entries {
    group: Group,
    next: u64,
}

impl Entries {
    fn write(&mut self, record: &[u8]) -> Fallible<esker_raftlog::log::Ticket> {
        let ticket = self.group.append(self.next, &[record])?;
        self.next += 1;
        Ok(ticket)
    }
}

impl Appender for Entries {
    fn append(&mut self, record: &[u8]) -> Fallible {
        self.write(record).map(drop)
    }

    fn append_durable(&mut self, record: &[u8]) -> Fallible {
        self.write(record)?.wait()?;
        Ok(())
    }
}
