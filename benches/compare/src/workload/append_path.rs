//! The path of an append alone: esker's engine over a storage that forgets, beside buffers of one's own.

use std::{
    io::{self, IoSlice},
    path::Path,
    sync::Arc,
    time::Duration,
};

use esker::{
    BUFFER_BYTES_DEFAULT, BUFFERS_DEFAULT, Epoch, FileOffset, LogId, Lsn, MessageKind, SEGMENT_BYTES_DEFAULT,
    SegmentBytes, StorageFile,
};
use esker_iobufs::{ActiveSegment, IoBufs, Options, SegmentSource, SourceError};

use crate::{
    Fallible,
    contender::{Appender, Size, Subject},
    record::Tally,
};

/// A file that takes everything and keeps nothing.
#[derive(Debug)]
struct NullFile;

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

struct Endless;

impl SegmentSource for Endless {
    fn activate(&self, base: Lsn) -> Result<ActiveSegment, SourceError> {
        Ok(ActiveSegment { offset: FileOffset::new(base.get()), floor: Lsn::ZERO })
    }
    fn stable_to(&self, _stable: Lsn) {}
}

/// esker's engine without a log around it, with the log's default buffers.
pub(crate) struct Engine(IoBufs);

impl Subject for Engine {
    type Appender<'a> = &'a IoBufs;

    fn create(_dir: &Path, _size: Size) -> Fallible<Self> {
        let options = Options {
            buffer_bytes: BUFFER_BYTES_DEFAULT,
            buffers: BUFFERS_DEFAULT,
            segment_bytes: SegmentBytes::new(SEGMENT_BYTES_DEFAULT)?,
            log_id: LogId::from_bytes([7; 16]),
            epoch: Epoch::new(1),
            tip: Lsn::ZERO,
            tip_segment: FileOffset::ZERO,
        };
        Ok(Self(IoBufs::start(Arc::new(NullFile), Arc::new(Endless), options)?))
    }

    fn appender(&self, _writer: u32) -> Fallible<&IoBufs> {
        Ok(&self.0)
    }

    fn sync(&self) -> Fallible {
        self.0.flush()?;
        Ok(())
    }

    fn read_back(self, _dir: &Path, _tally: &mut Tally) -> Fallible {
        Err("nothing was kept".into())
    }
}

impl Appender for &IoBufs {
    #[inline]
    fn append(&mut self, record: &[u8]) -> Fallible {
        let mut reservation = self.reserve(MessageKind::Inline, record.len() as u32)?;
        reservation.payload_mut().copy_from_slice(record);
        reservation.complete();
        Ok(())
    }

    fn append_durable(&mut self, _record: &[u8]) -> Fallible {
        Err("nothing is durable here".into())
    }
}

/// A round as long as it is allowed to be: nothing fills up.
pub(crate) fn size(writers: u32, record_bytes: u32, time: Duration) -> Size {
    // A thousand million records a second, and that is not reached.
    let bytes = u64::from(record_bytes) * u64::from(writers) * time.as_nanos() as u64;
    Size { promise: crate::contender::Promise::Buffered, writers, record_bytes, bytes }
}
