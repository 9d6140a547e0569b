//! What a store has done, and how it stands.

/// Counters of the streams' engines, and the state of the segments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// What each stream has done since the store was opened. Syncs are counted with every stream that they served.
    pub engines: Vec<esker_iobufs::Stats>,
    /// The slots of the file, by state.
    pub segments: esker_segments::Stats,
    /// Segments that are retired and not reclaimed.
    pub retired: u32,
    /// Free slots whose space was given back to the file system, since the store was opened. The file's length counts them.
    pub holes: u32,
}
