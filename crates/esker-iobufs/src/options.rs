//! What an engine is started with.

use std::time::Duration;

use esker_format::{Epoch, FileOffset, LogId, Lsn, MESSAGE_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentBytes};
use esker_header::{BufferOffset, Room};

use crate::OptionsError;

const HEADER_BYTES: u32 = MESSAGE_HEADER_BYTES as u32;

/// The smallest buffer: a segment header and a few small messages.
pub const BUFFER_BYTES_MIN: u32 = 256;
/// The largest buffer: half of what the packed word can address, so that its offsets never come near the maximum.
pub const BUFFER_BYTES_MAX: u32 = 1 << 23;
/// The fewest buffers: one to fill while another is written.
pub const BUFFERS_MIN: u32 = 2;
/// The most buffers.
pub const BUFFERS_MAX: u32 = 1 << 12;

/// The size, identity and starting point of an engine.
#[derive(Clone, Debug)]
pub struct Options {
    /// Memory of one buffer in bytes, from [`BUFFER_BYTES_MIN`] to [`BUFFER_BYTES_MAX`]. Longer than a segment is the
    /// same as a segment.
    pub buffer_bytes: u32,
    /// How many buffers, a power of two from [`BUFFERS_MIN`] to [`BUFFERS_MAX`]. Reservations wait when all are full and
    /// not yet written.
    pub buffers: u32,
    /// The size of a segment.
    pub segment_bytes: SegmentBytes,
    /// The log's identity, recorded in segment headers and bound into every checksum.
    pub log_id: LogId,
    /// The epoch of this opening, recorded in every message.
    pub epoch: Epoch,
    /// Where the log goes on: the end of what is there. All of it is taken to be stable.
    pub tip: Lsn,
    /// Where the segment that `tip` lies in begins in the file. Not used when `tip` is the first byte of a segment,
    /// because the source is asked for that one.
    pub tip_segment: FileOffset,
    /// For how long a thread that waits for a commit may yield its core to other threads, over and over, before it sleeps.
    /// That spares waking it, and is done only while at least four threads for each core wait and a sync takes less than a
    /// third of this. Zero for never.
    pub yield_max: Duration,
    /// How many bytes may be written and not synced before [`SegmentSource::sync_due`](crate::SegmentSource::sync_due) is
    /// called. `u64::MAX` for never.
    pub unsynced_bytes_max: u64,
}

impl Options {
    /// The part of a buffer's memory that is used: its offsets end here.
    pub(crate) fn limit(&self) -> u32 {
        self.buffer_bytes.min(self.segment_bytes.get())
    }

    /// The room that claims share.
    pub(crate) fn room(&self) -> Room {
        let end = BufferOffset::new(self.limit()).expect("BUFFER_BYTES_MAX is below the largest offset");
        Room { end, remainder_min: HEADER_BYTES }
    }

    /// The longest payload that fits a fresh buffer of a fresh segment, whatever [`Options::capacity`] leaves of it.
    pub(crate) fn payload_bytes_max(&self) -> u32 {
        // The segment's header, the message's own, a remainder, and what `capacity` may hold back.
        self.limit() - SEGMENT_HEADER_BYTES as u32 - 3 * HEADER_BYTES
    }

    /// How many bytes the buffer at the beginning of the last `rest` bytes of a segment takes. Never so many that fewer
    /// are left than a pad's header.
    pub(crate) fn capacity(&self, rest: u32) -> u32 {
        let limit = self.limit();
        if rest <= limit {
            rest
        } else if rest - limit < HEADER_BYTES {
            limit - HEADER_BYTES
        } else {
            limit
        }
    }

    pub(crate) fn validate(&self) -> Result<(), OptionsError> {
        let mut faults = Vec::new();
        let mut check = |ok: bool, fault: String| {
            if !ok {
                faults.push(fault);
            }
        };
        check(
            (BUFFER_BYTES_MIN..=BUFFER_BYTES_MAX).contains(&self.buffer_bytes),
            format!("buffer_bytes is {}, not between {BUFFER_BYTES_MIN} and {BUFFER_BYTES_MAX}", self.buffer_bytes),
        );
        check(
            (BUFFERS_MIN..=BUFFERS_MAX).contains(&self.buffers) && self.buffers.is_power_of_two(),
            format!("buffers is {}, not a power of two between {BUFFERS_MIN} and {BUFFERS_MAX}", self.buffers),
        );
        let at = self.tip.offset_in_segment(self.segment_bytes);
        let rest = self.segment_bytes.get() - at;
        check(
            at == 0 || (at >= SEGMENT_HEADER_BYTES as u32 && rest >= HEADER_BYTES),
            format!("the tip {} cannot begin a message: it is {at} bytes into its segment", self.tip),
        );
        check(
            self.tip_segment.get().is_multiple_of(u64::from(self.segment_bytes.get())),
            format!("the tip's segment begins at {}, not at a multiple of the segment size", self.tip_segment.get()),
        );
        if faults.is_empty() { Ok(()) } else { Err(OptionsError { faults }) }
    }
}
