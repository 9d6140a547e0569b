//! How a store is opened.

use std::{fmt, sync::Arc};

use esker_format::LogId;
use esker_segments::cleaning::{Policy, Rate, StreamCounts};
use esker_streams::STREAMS_MAX;

use crate::{Error, Merge, notes::FRAGMENTS_MAX};

/// The memory for the contents of pages unless said otherwise, in bytes.
pub const CACHE_BYTES_DEFAULT: u64 = 64 << 20;
/// The longest chain of deltas unless said otherwise.
pub const CHAIN_MAX_DEFAULT: u32 = 8;
/// How much is written between two checkpoints unless said otherwise, in bytes.
pub const CHECKPOINT_BYTES_DEFAULT: u64 = 256 << 20;

/// How much of the file may be free unless said otherwise, in bytes.
pub const SURPLUS_BYTES_DEFAULT: u64 = 64 << 20;

/// Nothing is written when somebody only looks.
const LOOK_BUFFER_BYTES: u32 = 1 << 16;

/// How a store is opened. Checked by [`Store::open`](crate::Store::open), which reports all faults at once.
#[derive(Clone)]
pub struct Options {
    pub(crate) streams: esker_streams::Options,
    pub(crate) segment_bytes: u32,
    pub(crate) policy: Arc<dyn Policy>,
    pub(crate) cache_bytes: u64,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) chain_max: u32,
    pub(crate) checkpoint_bytes: u64,
    pub(crate) surplus_bytes: u64,
    pub(crate) merge: Option<Arc<dyn Merge>>,
    pub(crate) background: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            streams: esker_streams::Options::new(),
            segment_bytes: esker_streams::SEGMENT_BYTES_DEFAULT,
            policy: Arc::new(Rate::three_and_three()),
            cache_bytes: CACHE_BYTES_DEFAULT,
            max_bytes: None,
            chain_max: CHAIN_MAX_DEFAULT,
            checkpoint_bytes: CHECKPOINT_BYTES_DEFAULT,
            surplus_bytes: SURPLUS_BYTES_DEFAULT,
            merge: None,
            background: true,
        }
    }
}

impl Options {
    /// The defaults: segments of 1 MiB, a cache of 64 MiB, no bound on the disk, chains of at most eight deltas, a checkpoint
    /// every 256 MiB, a thread that cleans and takes checkpoints, and the store is created if there is none.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The size of a segment of a *new* store: a power of two from 4 KiB to 256 MiB. A store that exists keeps its size.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u32) -> Self {
        self.streams = self.streams.segment_bytes(bytes);
        self.segment_bytes = bytes;
        self
    }

    /// The memory of one I/O buffer, from 256 bytes to 8 MiB, of which each stream has several. Limits the length of a page
    /// that lies in a segment; longer ones get a file of their own.
    #[must_use]
    pub fn buffer_bytes(mut self, bytes: u32) -> Self {
        self.streams = self.streams.buffer_bytes(bytes);
        self
    }

    /// How many I/O buffers each stream has, a power of two from 2 to 4096.
    #[must_use]
    pub fn buffers(mut self, buffers: u32) -> Self {
        self.streams = self.streams.buffers(buffers);
        self
    }

    /// Which pages are written beside which, and which segment is cleaned next. A policy with more streams saves writing, and
    /// costs I/O buffers and half-filled segments. May differ from opening to opening.
    #[must_use]
    pub fn policy(mut self, policy: impl Policy + 'static) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// The memory for cached pages, in bytes. Pages that are read or written at this moment may exceed it.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// What the store's directory may take on disk, in bytes.
    #[must_use]
    pub fn max_bytes(mut self, bytes: Option<u64>) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How many deltas a page may have before it is written anew, with all of them folded.
    #[must_use]
    pub fn chain_max(mut self, deltas: u32) -> Self {
        self.chain_max = deltas;
        self
    }

    /// How much is written between two checkpoints, in bytes: as much as an opening has to read.
    #[must_use]
    pub fn checkpoint_bytes(mut self, bytes: u64) -> Self {
        self.checkpoint_bytes = bytes;
        self
    }

    /// How much of the file may be free, in bytes: what is more is given back to the file system, by cutting the file or by
    /// making holes in it. What the store needs free to be cleaned in time is kept in any case.
    #[must_use]
    pub fn surplus_bytes(mut self, bytes: u64) -> Self {
        self.surplus_bytes = bytes;
        self
    }

    /// How deltas are folded. Without this, pages can be replaced and not linked to. Use the same for one store always.
    #[must_use]
    pub fn merge(mut self, merge: Arc<dyn Merge>) -> Self {
        self.merge = Some(merge);
        self
    }

    /// Whether a thread of the store's own cleans and takes checkpoints. Without it, [`Store::upkeep`](crate::Store::upkeep)
    /// does, and whoever finds no room.
    #[must_use]
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// For looking only.
    pub(crate) fn for_looking() -> Self {
        Self::new()
            .create(false)
            .background(false)
            .policy(Rate::two_and_two())
            .buffers(2)
            .buffer_bytes(LOOK_BUFFER_BYTES)
    }

    /// Whether to create the store where there is none.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.streams = self.streams.create(create);
        self
    }

    /// The identity of a *new* store, otherwise drawn at random. For tests that want the same bytes each time.
    #[must_use]
    pub fn log_id(mut self, id: LogId) -> Self {
        self.streams = self.streams.log_id(id);
        self
    }

    /// Segments that only cleaning may use, so that it can go on: what it fills at once, and one to spare.
    pub(crate) fn reserve_segments(&self) -> u32 {
        u32::from(self.policy.streams().moved) + 1
    }

    /// The options of the streams below, and how many segments they may have.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOptions`] with all faults.
    pub(crate) fn validate(&self) -> Result<esker_streams::Options, Error> {
        let mut faults = Vec::new();
        let StreamCounts { user, moved } = self.policy.streams();
        let all = u32::from(user) + u32::from(moved);
        if user == 0 || moved == 0 || all > u32::from(STREAMS_MAX) {
            faults.push(format!(
                "the policy has {user} streams for users and {moved} for what is moved, not at least one each and at most \
                 {STREAMS_MAX} in all",
            ));
        }
        let mut segments_max = None;
        if let Some(max_bytes) = self.max_bytes {
            let segments = self.segments_max(max_bytes, 0);
            let least = all + self.reserve_segments() + 1;
            if segments < least {
                faults.push(format!(
                    "max_bytes is {max_bytes}, which leaves {segments} segments where {least} are needed"
                ));
            }
            segments_max = Some(segments);
        }
        let streams = self
            .streams
            .clone()
            .streams(all.min(u32::from(STREAMS_MAX)) as u8)
            .segments_max(segments_max)
            .reserve(self.reserve_segments(), user);
        match streams.validate() {
            Ok(_) => (),
            Err(esker_log::Error::InvalidOptions { faults: more }) => faults.extend(more),
            Err(other) => return Err(other.into()),
        }
        if self.chain_max as usize >= FRAGMENTS_MAX {
            faults.push(format!(
                "chain_max is {}, and a checkpoint has room for {}",
                self.chain_max,
                FRAGMENTS_MAX - 1
            ));
        }
        if faults.is_empty() { Ok(streams) } else { Err(Error::InvalidOptions { faults }) }
    }

    /// How many segments there may be, so that the ledger has room beside them, and `other_bytes`.
    pub(crate) fn segments_max(&self, max_bytes: u64, other_bytes: u64) -> u32 {
        let room = max_bytes.saturating_sub(ledger_bytes_max(max_bytes)).saturating_sub(other_bytes);
        u32::try_from(room / u64::from(self.segment_bytes)).unwrap_or(u32::MAX)
    }
}

/// How much of the bound is the ledger's.
pub(crate) fn ledger_bytes_max(max_bytes: u64) -> u64 {
    // A page of a hundred bytes takes 20 of a checkpoint, of which there may be two. And the ledger has segments of its own.
    const LEAST: u64 = 4 << 20;
    (max_bytes / 8).max(LEAST)
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("streams", &self.streams)
            .field("cache_bytes", &self.cache_bytes)
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}
