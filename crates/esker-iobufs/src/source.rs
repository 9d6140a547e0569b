//! Where segments come from: a small trait that the layer above implements with its accountant, and that tests implement
//! with a counter.

use esker_format::{FileOffset, Lsn};

use crate::SourceError;

/// A segment that the engine may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveSegment {
    /// The LSN of its first byte: a multiple of the segment size, at or beyond the one that was asked for.
    pub base: Lsn,
    /// Where the segment begins in the file; a multiple of the segment size.
    pub offset: FileOffset,
    /// The truncation floor to record in the segment's header.
    pub floor: Lsn,
}

/// Gives the engine its segments and learns when they are stable.
pub trait SegmentSource: Send + Sync {
    /// The segment that the engine writes next. Where the last one ended is `after`, and a log is to go on just there;
    /// where several engines share one file and one space of LSNs, the segments between belong to others. The engine asks
    /// with ascending LSNs, again with the same one only if the answer was an error. It holds the lock under which buffers
    /// are exchanged, so that the call may do I/O (extend the file, say) but must not call the engine.
    ///
    /// # Errors
    ///
    /// [`SourceError`]: the reservation that needed the segment fails with it, and a later one asks again.
    fn activate(&self, after: Lsn) -> Result<ActiveSegment, SourceError>;

    /// Everything below `stable` is stable now. Called in ascending order under the engine's commit lock: do little, and
    /// do not call the engine.
    fn stable_to(&self, stable: Lsn);

    /// As much was written since the last sync as [`Options::unsynced_bytes_max`](crate::Options) says. Called once for
    /// each time it comes to that, by whoever wrote a buffer, without any lock but perhaps the one under which buffers are
    /// exchanged: hand it to somebody who calls [`Engine::sync_written`](crate::Engine::sync_written), and return.
    fn sync_due(&self) {}
}
