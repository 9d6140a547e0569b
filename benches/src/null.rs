//! An engine with nothing below it: what it is seen to cost is its own.

use std::{
    io::{self, IoSlice},
    sync::Arc,
    time::Duration,
};

use esker_format::{Epoch, FileOffset, LogId, Lsn, SegmentBytes};
use esker_iobufs::{ActiveSegment, IoBufs, Options, SegmentSource, SourceError};
use esker_storage::StorageFile;

/// A file that takes everything and keeps nothing.
#[derive(Debug)]
pub struct NullFile;

impl StorageFile for NullFile {
    fn len(&self) -> io::Result<u64> {
        Ok(0)
    }
    fn set_len(&self, _len: u64) -> io::Result<()> {
        Ok(())
    }
    fn read_at(&self, _dst: &mut [u8], _offset: u64) -> io::Result<usize> {
        Ok(0)
    }
    fn write_all_at(&self, _src: &[u8], _offset: u64) -> io::Result<()> {
        Ok(())
    }
    fn write_all_vectored_at(&self, _srcs: &[IoSlice<'_>], _offset: u64) -> io::Result<()> {
        Ok(())
    }
    fn preallocate(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A file without end, whose segments are never used again.
#[derive(Debug)]
pub struct Endless;

impl SegmentSource for Endless {
    fn activate(&self, after: Lsn) -> Result<ActiveSegment, SourceError> {
        Ok(ActiveSegment { base: after, offset: FileOffset::new(after.get()), floor: Lsn::ZERO })
    }
    fn stable_to(&self, _stable: Lsn) {}
}

/// An engine with the buffers and segments of a log with default options, over a file that takes everything.
///
/// # Panics
///
/// If the engine refuses these options.
#[must_use]
pub fn engine_on_nothing() -> IoBufs {
    let options = Options {
        buffer_bytes: 1 << 20,
        buffers: 8,
        segment_bytes: SegmentBytes::new(16 << 20).expect("a power of two"),
        log_id: LogId::from_bytes([7; 16]),
        epoch: Epoch::new(1),
        tip: Lsn::ZERO,
        tip_segment: FileOffset::ZERO,
        yield_max: Duration::ZERO,
        unsynced_bytes_max: u64::MAX,
    };
    IoBufs::start(Arc::new(NullFile), Arc::new(Endless), options).expect("valid options")
}
