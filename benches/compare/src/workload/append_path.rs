//! The path of an append alone: esker's engine over a storage that forgets, beside buffers of one's own.

use std::{path::Path, time::Duration};

use esker::MessageKind;
use esker_benches::engine_on_nothing;
use esker_iobufs::IoBufs;

use crate::{
    Fallible,
    contender::{Appender, Promise, Size, Subject},
    record::Tally,
};

/// esker's engine without a log around it, with the log's default buffers.
pub(crate) struct Engine(IoBufs);

impl Subject for Engine {
    type Appender<'a> = &'a IoBufs;

    fn create(_dir: &Path, _size: Size) -> Fallible<Self> {
        Ok(Self(engine_on_nothing()))
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
        esker_iobufs::Engine::append(self, MessageKind::Inline, record)?;
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
    Size { promise: Promise::Buffered, writers, record_bytes, bytes }
}
