//! How the command ends.
//!
//! Owns the exit codes and the translation of errors into one line with a place and, where it helps, a hint. Refuses to
//! print.

use std::{fmt::Display, io, path::Path, process::ExitCode};

use esker::{Error, ErrorKind, storage::FileError};

/// The ways to end, each with its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Everything asked for was done.
    Done,
    /// The answer is a bad one: something is damaged, or gone.
    Finding,
    /// The command line asks for what cannot be.
    Usage,
    /// Reading or writing failed, or the input is not made of records.
    Io,
    /// Another process has the log open for writing.
    Locked,
    /// There is no log in the directory, or one of a newer format.
    NotEsker,
    /// The user interrupted.
    Interrupted,
}

impl Ending {
    /// The exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Finding => 1,
            Self::Usage => 2,
            Self::Io => 3,
            Self::Locked => 4,
            Self::NotEsker => 5,
            Self::Interrupted => 130,
        }
    }
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(ending.code())
    }
}

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Whoever read standard output has left: a quiet end.
    OutputClosed,
    /// Something to be told, in one line.
    Told {
        /// How to end.
        ending: Ending,
        /// The line, without the command's name.
        message: String,
    },
}

/// What a command returns.
pub(crate) type Outcome = Result<Ending, Failure>;

impl Failure {
    /// A command line that asks for what cannot be.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Told { ending: Ending::Usage, message: message.into() }
    }

    /// Reading or writing something failed.
    pub(crate) fn io(what: impl Display, error: &io::Error) -> Self {
        Self::Told { ending: Ending::Io, message: format!("{what}: {error}") }
    }

    /// Writing standard output failed.
    pub(crate) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        Self::io("standard output", error)
    }

    /// The log in `dir` refused.
    pub(crate) fn log(dir: &Path, error: &Error) -> Self {
        let dir = dir.display();
        let message = match hint(error) {
            Some(hint) => format!("{dir}: {} ({hint})", described(error)),
            None => format!("{dir}: {}", described(error)),
        };
        Self::Told { ending: ending_of(error), message }
    }

    /// The same failure, with more to say about it.
    pub(crate) fn and(self, more: &str) -> Self {
        match self {
            Self::OutputClosed => Self::OutputClosed,
            Self::Told { ending, message } => Self::Told { ending, message: format!("{message}; {more}") },
        }
    }
}

/// Which ending an error of the log leads to.
fn ending_of(error: &Error) -> Ending {
    match error.kind() {
        // A record that was truncated while it was about to be read is not there, like one that is damaged.
        ErrorKind::Corrupt | ErrorKind::Truncated | ErrorKind::Lost => Ending::Finding,
        ErrorKind::InvalidOptions | ErrorKind::NeverReserved | ErrorKind::NotARecord => Ending::Usage,
        ErrorKind::Locked => Ending::Locked,
        ErrorKind::NotEsker | ErrorKind::NotFound | ErrorKind::NewerFormat => Ending::NotEsker,
        _ => Ending::Io,
    }
}

/// The error in words. An error of the file storage says by itself what was tried on which path, so what the log adds
/// would only repeat it.
fn described(error: &Error) -> String {
    match error {
        Error::Io { offset, source, .. } if source.get_ref().is_some_and(|inner| inner.is::<FileError>()) => {
            let at = offset.map(|offset| format!(" (at offset {offset})")).unwrap_or_default();
            format!("{source}{at}")
        }
        _ => error.to_string(),
    }
}

/// What the user could do about it.
fn hint(error: &Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::Locked => Some("reading commands work all the same"),
        ErrorKind::NotFound => Some("`esker append` creates one"),
        ErrorKind::NewerFormat => Some("a newer esker can read it"),
        ErrorKind::Corrupt => Some("`esker verify` lists all damage, `esker salvage` copies what is left"),
        ErrorKind::NoSpace => Some("make room, or free segments with `esker truncate`"),
        _ => None,
    }
}
