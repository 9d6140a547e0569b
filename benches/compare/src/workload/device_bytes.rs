//! What is written for each byte of payload: counted by the log itself, by the storage below it, and by the system.

use std::{
    io::{self, IoSlice},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use esker::{Access, FileStorage, LockError, Log, Options, Storage, StorageFile, StorageLock};

use super::{Written, settle};
use crate::{
    Fallible,
    contender::esker::warm,
    measure::{DEVICE_WRITERS, RECORD_BYTES},
    outcome::{Metric, Outcome},
    proc,
    record::{Tally, Template},
};

/// The unit in which file systems write. A write of fewer bytes takes the whole blocks that it touches to the device.
const BLOCK_BYTES: u64 = 4096;

pub(crate) fn run(dir: &Path, bytes: u64, time: Duration) -> Fallible<Outcome> {
    let storage = Counting { files: FileStorage::create(dir)?, block_bytes: Arc::default() };
    let block_bytes = storage.block_bytes.clone();
    let log = Log::open(Arc::new(storage), Options::new())?;
    warm(&log, bytes)?;
    settle(dir)?;
    let before = log.stats().engine;
    let blocks_before = block_bytes.load(Ordering::Relaxed);
    let system_before = proc::bytes_written()?;
    let begun = Instant::now();
    let from = log.end_lsn();
    let by_writer = thread::scope(|scope| -> Fallible<Vec<u64>> {
        let writers: Vec<_> = (0..DEVICE_WRITERS)
            .map(|writer| {
                let log = &log;
                scope.spawn(move || -> Fallible<u64> {
                    let mut template = Template::new(writer, RECORD_BYTES as usize);
                    let mut count = 0;
                    while begun.elapsed() < time {
                        log.append_durable(template.numbered(count))?;
                        count += 1;
                    }
                    Ok(count)
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().map_err(|_| "a writer panicked")?).collect()
    })?;
    let appends: u64 = by_writer.iter().sum();
    let after = log.stats().engine;
    let payload = (appends * u64::from(RECORD_BYTES)) as f64;
    let mut outcome = Outcome::default();
    outcome.set(Metric::PerSecond, appends as f64 / begun.elapsed().as_secs_f64());
    outcome.set(Metric::SyncsPerAppend, (after.syncs - before.syncs) as f64 / appends as f64);
    outcome.set(Metric::WrittenRatio, (after.bytes_written - before.bytes_written) as f64 / payload);
    outcome.set(Metric::PadRatio, (after.pad_bytes - before.pad_bytes) as f64 / payload);
    outcome.set(Metric::BlockRatio, (block_bytes.load(Ordering::Relaxed) - blocks_before) as f64 / payload);
    outcome.set(Metric::SystemRatio, (proc::bytes_written()? - system_before) as f64 / payload);
    let mut tally = Tally::new(DEVICE_WRITERS as usize, RECORD_BYTES as usize);
    let mut records = log.iter_from(from)?;
    while let Some(record) = records.next_record() {
        tally.add(record?.payload())?;
    }
    tally.check(&Written { by_writer })?;
    log.close()?;
    Ok(outcome)
}

/// Files that count the blocks that are written.
#[derive(Debug)]
struct Counting {
    files: FileStorage,
    block_bytes: Arc<AtomicU64>,
}

#[derive(Debug)]
struct CountingFile {
    file: Arc<dyn StorageFile>,
    block_bytes: Arc<AtomicU64>,
}

/// The bytes of the blocks that a write touches.
fn block_bytes(offset: u64, len: u64) -> u64 {
    if len == 0 { 0 } else { (offset + len).next_multiple_of(BLOCK_BYTES) - offset / BLOCK_BYTES * BLOCK_BYTES }
}

impl CountingFile {
    fn count(&self, offset: u64, len: usize) {
        self.block_bytes.fetch_add(block_bytes(offset, len as u64), Ordering::Relaxed);
    }
}

impl Counting {
    fn counted(&self, file: io::Result<Arc<dyn StorageFile>>) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(CountingFile { file: file?, block_bytes: self.block_bytes.clone() }))
    }
}

impl Storage for Counting {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.counted(self.files.create(name))
    }
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        self.counted(self.files.open(name, access))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.remove(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.files.rename(from, to)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.files.list()
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.files.sync_dir()
    }
    fn lock(&self, name: &str) -> Result<Box<dyn StorageLock>, LockError> {
        self.files.lock(name)
    }
}

impl StorageFile for CountingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn read_at(&self, dst: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(dst, offset)
    }
    fn write_all_at(&self, src: &[u8], offset: u64) -> io::Result<()> {
        self.count(offset, src.len());
        self.file.write_all_at(src, offset)
    }
    fn write_all_vectored_at(&self, srcs: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.count(offset, srcs.iter().map(|src| src.len()).sum());
        self.file.write_all_vectored_at(srcs, offset)
    }
    fn preallocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file.preallocate(offset, len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::block_bytes;

    #[test]
    fn writes_are_rounded_out_to_blocks() {
        let cases = [((0, 0), 0), ((0, 1), 4096), ((4095, 2), 8192), ((4096, 4096), 4096), ((100, 4096), 8192)];
        for ((offset, len), bytes) in cases {
            assert_eq!(block_bytes(offset, len), bytes, "{len} at {offset}");
        }
    }
}
