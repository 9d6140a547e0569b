//! What went wrong, and where.
//!
//! Owns the wrapping of the operating system's errors with the path and the attempt. Refuses to change their kind, by
//! which callers decide.
//!
//! # Invariants
//!
//! F1 of the file storage.

use std::{
    io,
    path::{Path, PathBuf},
};

/// What was tried on which path, and why it failed; found inside the [`io::Error`]s of a
/// [`FileStorage`](crate::FileStorage).
///
/// Its text is complete: it ends with the operating system's own message.
///
/// # Example
///
/// ```
/// use esker_storage::{FileError, FileStorage};
///
/// let error = FileStorage::open("no/such/directory").unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
/// let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<FileError>()).unwrap();
/// assert!(inner.path().ends_with("no/such/directory"));
/// assert!(inner.cause().raw_os_error().is_some());
/// ```
// The cause is part of the text, so it is not also the source: whoever prints the chain of sources would say it twice.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempt} {}: {cause}", path.display())]
pub struct FileError {
    attempt: &'static str,
    path: PathBuf,
    cause: io::Error,
}

impl FileError {
    /// The file or directory concerned.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the operating system said.
    #[must_use]
    pub fn cause(&self) -> &io::Error {
        &self.cause
    }
}

/// Adds the attempt and the path to an error.
pub(super) trait Located {
    fn located(self, attempt: &'static str, path: &Path) -> Self;
}

impl<T> Located for io::Result<T> {
    fn located(self, attempt: &'static str, path: &Path) -> Self {
        self.map_err(|cause| io::Error::new(cause.kind(), FileError { attempt, path: path.to_owned(), cause }))
    }
}
