//! raft-engine: each writer is a raft group that appends entries of consecutive indexes.

use std::path::Path;

use protobuf::descriptor::UninterpretedOption;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use crate::{
    Fallible,
    contender::{Appender, Size, Subject},
    record::Tally,
};

/// Entry, index and batch headers, checksum.
const OVERHEAD_BYTES: usize = 128;
const FILE_BYTES: u64 = 64 << 20;

/// The entries. This message of the protobuf library has a number and bytes, which is what a raft entry comes to.
#[derive(Clone, Copy, Debug)]
struct Entries;

impl MessageExt for Entries {
    type Entry = UninterpretedOption;

    fn index(entry: &UninterpretedOption) -> u64 {
        entry.get_positive_int_value()
    }
}

fn config(dir: &Path, prefill_bytes: Option<u64>) -> Fallible<Config> {
    Ok(Config {
        dir: dir.to_str().ok_or("a path that is no text")?.to_owned(),
        // Nobody else compresses.
        batch_compression_threshold: ReadableSize(0),
        target_file_size: ReadableSize(FILE_BYTES),
        prefill_for_recycle: prefill_bytes.is_some(),
        prefill_limit: prefill_bytes.map(|bytes| ReadableSize(bytes.next_multiple_of(FILE_BYTES) + FILE_BYTES)),
        ..Config::default()
    })
}

pub(crate) struct RaftEngine(Engine);

impl Subject for RaftEngine {
    type Appender<'a> = Group<'a>;

    fn create(dir: &Path, size: Size) -> Fallible<Self> {
        Ok(Self(Engine::open(config(dir, Some(size.file_bytes(OVERHEAD_BYTES)))?)?))
    }

    fn create_cold(dir: &Path, _size: Size) -> Fallible<Self> {
        open(dir).map(Self)
    }

    fn appender(&self, writer: u32) -> Fallible<Group<'_>> {
        Ok(Group {
            engine: &self.0,
            // Group 0 is none.
            region: u64::from(writer) + 1,
            batch: LogBatch::with_capacity(1),
            entry: [UninterpretedOption::new()],
        })
    }

    fn sync(&self) -> Fallible {
        self.0.sync()?;
        Ok(())
    }

    fn read_back(self, dir: &Path, tally: &mut Tally) -> Fallible {
        drop(self.0);
        read(&open(dir)?, |record| tally.add(record))
    }
}

pub(crate) fn open(dir: &Path) -> Fallible<Engine> {
    Ok(Engine::open(config(dir, None)?)?)
}

/// All entries of all groups.
pub(crate) fn read(engine: &Engine, mut each: impl FnMut(&[u8]) -> Fallible) -> Fallible {
    const AT_ONCE: u64 = 4096;
    for region in engine.raft_groups() {
        let (Some(first), Some(last)) = (engine.first_index(region), engine.last_index(region)) else { continue };
        let mut entries = Vec::new();
        for from in (first..=last).step_by(AT_ONCE as usize) {
            engine.fetch_entries_to::<Entries>(region, from, (from + AT_ONCE).min(last + 1), None, &mut entries)?;
            for entry in entries.drain(..) {
                each(entry.get_string_value())?;
            }
        }
    }
    Ok(())
}

pub(crate) struct Group<'a> {
    engine: &'a Engine,
    region: u64,
    batch: LogBatch,
    entry: [UninterpretedOption; 1],
}

impl Group<'_> {
    fn write(&mut self, record: &[u8], sync: bool) -> Fallible {
        let [entry] = &mut self.entry;
        entry.set_positive_int_value(Entries::index(entry) + 1);
        entry.mut_string_value().clear();
        entry.mut_string_value().extend_from_slice(record);
        self.batch.add_entries::<Entries>(self.region, &self.entry)?;
        self.engine.write(&mut self.batch, sync)?;
        Ok(())
    }
}

impl Appender for Group<'_> {
    fn append(&mut self, record: &[u8]) -> Fallible {
        self.write(record, false)
    }

    fn append_durable(&mut self, record: &[u8]) -> Fallible {
        self.write(record, true)
    }
}
