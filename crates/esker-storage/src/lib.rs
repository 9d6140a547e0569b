//! The storage under a log: what an engine may expect of a disk, stated once, with implementations and a suite that
//! checks any implementation against the statement.
//!
//! Owns the traits [`Storage`], [`StorageFile`] and [`StorageLock`], and the contract in their documentation;
//! [`FileStorage`] on the operating system's files, [`MemStorage`] in memory, [`ScratchStorage`] over
//! another one that it does not change, and [`conformance`]. Refuses knowledge of
//! any file format: it moves bytes, names, and lengths.
//!
//! # Invariants
//!
//! - **S1 (one flat directory):** a storage is one directory without subdirectories; every name passes [`check_name`]
//!   before it reaches the operating system, so no name can lead out of the directory.
//! - **S2 (positional):** no file has a cursor. Every read and write says where, and any number of threads may use one
//!   handle, or many, at once.
//! - **S3 (errors are answers):** whatever the disk or the caller does wrong comes back as an [`io::Error`]
//!   (or a [`LockError`]); nothing in this crate panics on it.
//! - **S4 (reading leaves no trace):** [`Access::Read`] creates nothing, changes nothing and takes no lock.
//!
//! # What survives a crash
//!
//! | what | durable after |
//! |---|---|
//! | bytes written, and the length needed to read them | [`StorageFile::sync_data`] or [`StorageFile::sync_all`] returned `Ok` |
//! | the length itself, after [`StorageFile::set_len`] or [`StorageFile::preallocate`] | likewise |
//! | that a name exists, is gone, or means another file | [`Storage::sync_dir`] returned `Ok` |
//!
//! Until then each of these may be lost, each by itself, and data may be torn: some sectors of a write new and some old,
//! a later write there and an earlier one not.
//!
//! # Example
//!
//! ```
//! use esker_storage::{Access, MemStorage, Storage};
//!
//! # fn main() -> std::io::Result<()> {
//! let storage = MemStorage::default();
//! let file = storage.create("log")?;
//! file.write_all_at(b"hello", 4096)?;
//! file.sync_data()?;
//! storage.sync_dir()?;
//!
//! let mut bytes = [0xff; 6];
//! storage.open("log", Access::Read)?.read_exact_at(&mut bytes, 4095)?;
//! assert_eq!(&bytes, b"\0hello");
//! # Ok(())
//! # }
//! ```
//!
//! [`io::Error`]: std::io::Error
#![forbid(unsafe_code)]

pub mod conformance;
#[cfg(any(unix, windows))]
mod file;
mod memory;
mod name;
mod scratch;
mod storage;

#[cfg(any(unix, windows))]
pub use crate::file::{FileError, FileStorage};
pub use crate::{
    memory::MemStorage,
    name::{InvalidName, NAME_BYTES_MAX, check_name},
    scratch::ScratchStorage,
    storage::{Access, LockError, OFFSET_MAX, Storage, StorageFile, StorageLock, check_range, is_out_of_space},
};
