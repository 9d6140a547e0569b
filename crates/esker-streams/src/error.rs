//! Errors are those of the log, since they are about the same things.

use std::{io, sync::Arc};

use esker_format::Lsn;
use esker_iobufs::EngineError;
pub use esker_log::{Corruption, CorruptionKind, Error, ErrorKind};

use crate::names::DATA;

pub(crate) fn io(action: &'static str, file: &str, source: io::Error) -> Error {
    Error::Io { action, file: file.to_owned(), offset: None, source: Arc::new(source) }
}

pub(crate) fn io_at(action: &'static str, file: &str, offset: u64, source: io::Error) -> Error {
    Error::Io { action, file: file.to_owned(), offset: Some(offset), source: Arc::new(source) }
}

pub(crate) fn corrupt(lsn: Lsn, offset: u64, kind: CorruptionKind) -> Error {
    Corruption::new(DATA, Some(lsn), offset, kind).into()
}

/// What an engine's error means here.
pub(crate) fn of_engine(error: EngineError) -> Error {
    match error {
        EngineError::Segment { base: _, source } => {
            Error::Io { action: "extend", file: DATA.to_owned(), offset: None, source }
        }
        other => other.into(),
    }
}
