//! Where a log is and how it is opened.
//!
//! Owns [`Config`]: the directory's path beside the log's [`Options`], and the translation of what the file system says
//! about the directory into the log's own errors. Refuses algorithms: recovery, limits and formats are the layers'
//! business, and what they say is passed on.
//!
//! # Invariants
//!
//! - C1 (nothing before the check): a faulty configuration touches no file; all its faults are reported in one error.
//! - C2 (reading leaves no trace): [`Config::open_read_only`] creates and changes nothing.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use esker_log::{
    Error, Log, LogReader, OnDamage, Options, Repair, SalvageReport,
    storage::{FileStorage, Storage},
};

/// Where a log is, and how it is to be opened. The way in for nearly everyone; for a storage of your own see
/// [`Log::open`].
///
/// Nothing is checked before [`open`](Self::open), which reports all faults at once.
///
/// # Example
///
/// ```
/// use esker::Config;
///
/// # fn main() -> Result<(), esker::Error> {
/// # let scratch = tempfile::tempdir().expect("a scratch directory");
/// # let path = scratch.path().join("events");
/// let config = Config::new(&path).segment_bytes(1 << 20).buffer_bytes(64 << 10);
/// config.open()?.close()?;
///
/// // The size of the segments is a property of the log: what its files say wins.
/// config.clone().segment_bytes(4096).open()?.close()?;
/// assert_eq!(config.open_read_only()?.stat()?.segment_bytes.get(), 1 << 20);
///
/// let faulty = config.segment_bytes(1000).buffers(3);
/// assert_eq!(
///     faulty.open().expect_err("two faults").kind(),
///     esker::ErrorKind::InvalidOptions
/// );
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    path: PathBuf,
    create: bool,
    options: Options,
}

impl Config {
    /// A log in the directory `path`, with the default options: created, with the directory, if there is none; 16 MiB
    /// segments, 8 buffers of 1 MiB, no flushing in the background, no limit on its size.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), create: true, options: Options::new() }
    }

    /// The size in bytes of a segment of a *new* log: a power of two from 4 KiB to 256 MiB. A log that exists keeps the
    /// size its files say.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u32) -> Self {
        self.options = self.options.segment_bytes(bytes);
        self
    }

    /// The memory of one I/O buffer in bytes. Payloads that do not fit a buffer become files of their own.
    #[must_use]
    pub fn buffer_bytes(mut self, bytes: u32) -> Self {
        self.options = self.options.buffer_bytes(bytes);
        self
    }

    /// How many I/O buffers there are: a power of two. Appends wait while all of them are full.
    #[must_use]
    pub fn buffers(mut self, buffers: u32) -> Self {
        self.options = self.options.buffers(buffers);
        self
    }

    /// Whether to create the log, and its directory, where there is none.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self.options = self.options.create(create);
        self
    }

    /// Whether the log has a thread of its own for what can be late without harm, which is on unless switched off: see
    /// [`Options::background`].
    #[must_use]
    pub fn background(mut self, background: bool) -> Self {
        self.options = self.options.background(background);
        self
    }

    /// When this many bytes were written and not synced, they are synced in the background, so that a crash leaves little to
    /// recover: 8 MiB unless set otherwise, `None` for never.
    #[must_use]
    pub fn unsynced_bytes_max(mut self, bytes: Option<u64>) -> Self {
        self.options = self.options.unsynced_bytes_max(bytes);
        self
    }

    /// For how long a thread that waits for a commit may yield its core to others before it sleeps: 2 ms unless set
    /// otherwise. Done only while many wait, four for each core at least, and the disk is fast; see
    /// [`Options::yield_max`](esker_log::Options::yield_max).
    #[must_use]
    pub fn yield_max(mut self, time: Duration) -> Self {
        self.options = self.options.yield_max(time);
        self
    }

    /// Makes everything durable in the background, this often, if there is anything to be made so.
    #[must_use]
    pub fn flush_interval(mut self, interval: Option<Duration>) -> Self {
        self.options = self.options.flush_interval(interval);
        self
    }

    /// The most segments the log may have at once. Appends that need one more fail with
    /// [`Error::NoSpace`] until truncation frees some.
    #[must_use]
    pub fn segments_max(mut self, segments: Option<u32>) -> Self {
        self.options = self.options.segments_max(segments);
        self
    }

    /// Gives up the oldest segments by itself, so that the log has the newest `bytes` bytes and at most two segments more: see
    /// [`Options::retain_bytes`].
    #[must_use]
    pub fn retain_bytes(mut self, bytes: Option<u64>) -> Self {
        self.options = self.options.retain_bytes(bytes);
        self
    }

    /// Gives up by itself what was appended at least so long ago, segment by segment: see [`Options::retain_age`].
    #[must_use]
    pub fn retain_age(mut self, age: Option<Duration>) -> Self {
        self.options = self.options.retain_age(age);
        self
    }

    /// Reads the log over and over in the background, at this rate in bytes per second, and checks it: see
    /// [`Options::scrub_bytes_per_second`].
    #[must_use]
    pub fn scrub_bytes_per_second(mut self, rate: Option<u64>) -> Self {
        self.options = self.options.scrub_bytes_per_second(rate);
        self
    }

    /// What opening for writing does about something that had been durable and is damaged: it refuses, unless told
    /// otherwise. See [`OnDamage`].
    #[must_use]
    pub fn on_damage(mut self, policy: OnDamage) -> Self {
        self.options = self.options.on_damage(policy);
        self
    }

    /// The directory of the log.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the log for appending: takes its lock, recovers what a crash left, and creates it first if there is none
    /// (and [`create`](Self::create) was not switched off).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOptions`] with all the faults of this configuration; [`Error::NotEsker`] if the path is a file,
    /// or a directory that holds something else; [`Error::NotFound`] if there is no log and none was to be created;
    /// [`Error::Locked`] if another process has it open; [`Error::Corrupt`] if something that had been durable is
    /// damaged; [`Error::NewerFormat`]; [`Error::Io`].
    pub fn open(&self) -> Result<Log, Error> {
        self.validate()?;
        let opened = if self.create { FileStorage::create(&self.path) } else { FileStorage::open(&self.path) };
        let storage = opened.map_err(|error| self.directory_error(error))?;
        Log::open(Arc::new(storage), self.options.clone())
    }

    /// Opens the log for reading alone, also while a process appends to it: takes no lock and writes nothing. Of the
    /// configuration only the path matters.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), except that it is never locked, never created, and no option can be faulty.
    pub fn open_read_only(&self) -> Result<LogReader, Error> {
        LogReader::open(self.storage()?)
    }

    /// As [`open_read_only`](Self::open_read_only), but a log that has lost its superblock is read as well: see
    /// [`LogReader::open_for_salvage`].
    ///
    /// # Errors
    ///
    /// As [`LogReader::open_for_salvage`].
    pub fn open_for_salvage(&self) -> Result<LogReader, Error> {
        LogReader::open_for_salvage(self.storage()?)
    }

    /// Copies everything that can be read of a damaged log into a new one, in the directory `out`, which is created if it
    /// does not exist: see [`LogReader::salvage`]. `progress` is told bytes read and bytes in all.
    ///
    /// # Errors
    ///
    /// As [`open_for_salvage`](Self::open_for_salvage) and [`LogReader::salvage`].
    pub fn salvage_to(
        &self,
        out: impl AsRef<Path>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<SalvageReport, Error> {
        let reader = self.open_for_salvage()?;
        let out = Self::new(out.as_ref());
        let storage = FileStorage::create(out.path()).map_err(|error| out.directory_error(error))?;
        reader.salvage(&storage, progress)
    }

    /// Finds out what could be repaired without a loss: see [`Repair::plan`]. `progress` is told bytes read and bytes in
    /// all.
    ///
    /// # Errors
    ///
    /// As [`Repair::plan`].
    pub fn plan_repair(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Repair, Error> {
        Repair::plan(self.storage()?.as_ref(), progress)
    }

    /// Repairs what can be repaired without a loss, and keeps what that replaces in the directory `keep`, which is created
    /// if it does not exist: see [`Repair::apply`]. `progress` is told bytes read and bytes in all.
    ///
    /// # Errors
    ///
    /// As [`Repair::apply`].
    pub fn repair(&self, keep: impl AsRef<Path>, progress: &mut dyn FnMut(u64, u64)) -> Result<Repair, Error> {
        let storage = self.storage()?;
        let keep = Self::new(keep.as_ref());
        let kept = FileStorage::create(keep.path()).map_err(|error| keep.directory_error(error))?;
        Repair::apply(&storage, &kept, progress)
    }

    /// The directory, which must exist.
    fn storage(&self) -> Result<Arc<dyn Storage>, Error> {
        let storage = FileStorage::open(&self.path).map_err(|error| self.directory_error(error))?;
        Ok(Arc::new(storage))
    }

    /// Refuses a faulty configuration before anything is touched (C1).
    fn validate(&self) -> Result<(), Error> {
        let mut faults = Vec::new();
        if self.path.as_os_str().is_empty() {
            faults.push("the path is empty".to_owned());
        }
        if let Err(Error::InvalidOptions { faults: more }) = self.options.validate() {
            faults.extend(more);
        }
        if faults.is_empty() { Ok(()) } else { Err(Error::InvalidOptions { faults }) }
    }

    /// What it means for the log that its directory could not be opened.
    fn directory_error(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::NotFound => Error::NotFound,
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                Error::NotEsker { reason: "it is a file, not a directory".to_owned() }
            }
            _ => Error::Io {
                action: "open",
                file: self.path.display().to_string(),
                offset: None,
                source: Arc::new(error),
            },
        }
    }
}
