//! What a store has done, and how it stands.

use esker_format::Lsn;

/// Counters of the streams' engines, and the state of the segments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// What each stream has done since the store was opened. Syncs are counted with every stream that they served.
    pub engines: Vec<esker_iobufs::Stats>,
    /// The slots of the file, by state.
    pub segments: esker_segments::Stats,
    /// How many flushes there were. One serves all who ask while another is under way.
    pub flushes: u64,
    /// Segments that are retired and not reclaimed.
    pub retired: u32,
    /// Segments that were reclaimed and wait for readers who may be in them.
    pub pinned: u32,
    /// The first byte of the oldest of these.
    pub oldest_pin: Option<Lsn>,
    /// Free slots whose space was given back to the file system, since the store was opened. The file's length counts them.
    pub holes: u32,
}
