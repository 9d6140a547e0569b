//! How a store is opened.

use esker_format::{LogId, SegmentBytes};
use esker_iobufs::{BUFFER_BYTES_MAX, BUFFER_BYTES_MIN, BUFFERS_MAX, BUFFERS_MIN};

use crate::Error;

/// The most streams that a store can have.
pub const STREAMS_MAX: u8 = 16;
/// The size of a segment unless said otherwise, in bytes.
pub const SEGMENT_BYTES_DEFAULT: u32 = 1 << 20;
/// The memory of an I/O buffer unless said otherwise, in bytes.
pub const BUFFER_BYTES_DEFAULT: u32 = 256 << 10;
/// The I/O buffers of each stream unless said otherwise.
pub const BUFFERS_DEFAULT: u32 = 4;

/// How a store is opened. Checked by [`Opening::begin`](crate::Opening::begin), which reports all faults at once.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) segment_bytes: u32,
    pub(crate) buffer_bytes: u32,
    pub(crate) buffers: u32,
    pub(crate) streams: u8,
    pub(crate) privileged_from: u8,
    pub(crate) segments_max: Option<u32>,
    pub(crate) reserve_segments: u32,
    pub(crate) create: bool,
    pub(crate) log_id: Option<LogId>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            buffer_bytes: BUFFER_BYTES_DEFAULT,
            buffers: BUFFERS_DEFAULT,
            streams: 1,
            privileged_from: STREAMS_MAX,
            segments_max: None,
            reserve_segments: 0,
            create: true,
            log_id: None,
        }
    }
}

impl Options {
    /// The defaults: one stream, segments of 1 MiB, four buffers of 256 KiB for each stream, no limit on the file, and the
    /// store is created if there is none.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The size of a segment of a *new* store: a power of two from 4 KiB to 256 MiB. A store that exists keeps its size.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u32) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// The memory of one I/O buffer, from 256 bytes to 8 MiB. Limits the length of a record; see
    /// [`Streams::payload_bytes_max`](crate::Streams::payload_bytes_max).
    #[must_use]
    pub fn buffer_bytes(mut self, bytes: u32) -> Self {
        self.buffer_bytes = bytes;
        self
    }

    /// How many I/O buffers each stream has, a power of two from 2 to 4096.
    #[must_use]
    pub fn buffers(mut self, buffers: u32) -> Self {
        self.buffers = buffers;
        self
    }

    /// How many streams there are, from 1 to [`STREAMS_MAX`]. May differ from opening to opening.
    #[must_use]
    pub fn streams(mut self, streams: u8) -> Self {
        self.streams = streams;
        self
    }

    /// The most segments the file may have. A stream that needs one more gets [`Error::NoSpace`] until some are
    /// [reclaimed](crate::Streams::reclaim).
    #[must_use]
    pub fn segments_max(mut self, segments: Option<u32>) -> Self {
        self.segments_max = segments;
        self
    }

    /// The last `segments` of [`segments_max`](Self::segments_max) are given to streams from number `from` on only: to those
    /// that a cleaner moves records with, so that it can go on where users cannot.
    #[must_use]
    pub fn reserve(mut self, segments: u32, from: u8) -> Self {
        self.reserve_segments = segments;
        self.privileged_from = from;
        self
    }

    /// Whether to create the store where there is none.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// The identity of a *new* store, otherwise drawn at random. For tests that want the same bytes each time.
    #[must_use]
    pub fn log_id(mut self, id: LogId) -> Self {
        self.log_id = Some(id);
        self
    }

    /// Checks everything that can be checked without the store, and returns the segment size of a new one.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOptions`] with all faults.
    pub fn validate(&self) -> Result<SegmentBytes, Error> {
        let mut faults = Vec::new();
        let mut check = |ok: bool, fault: String| {
            if !ok {
                faults.push(fault);
            }
        };
        let segment_bytes = SegmentBytes::new(self.segment_bytes);
        check(segment_bytes.is_ok(), format!("segment_bytes is {}, no power of two in the range", self.segment_bytes));
        check(
            (BUFFER_BYTES_MIN..=BUFFER_BYTES_MAX).contains(&self.buffer_bytes),
            format!("buffer_bytes is {}, not between {BUFFER_BYTES_MIN} and {BUFFER_BYTES_MAX}", self.buffer_bytes),
        );
        check(
            (BUFFERS_MIN..=BUFFERS_MAX).contains(&self.buffers) && self.buffers.is_power_of_two(),
            format!("buffers is {}, not a power of two between {BUFFERS_MIN} and {BUFFERS_MAX}", self.buffers),
        );
        check(
            (1..=STREAMS_MAX).contains(&self.streams),
            format!("streams is {}, not between 1 and {STREAMS_MAX}", self.streams),
        );
        if let Some(segments_max) = self.segments_max {
            let need = u32::from(self.streams) + self.reserve_segments;
            check(
                segments_max > need,
                format!("segments_max is {segments_max}, but {need} are filled at once or in reserve"),
            );
        }
        match segment_bytes {
            Ok(segment_bytes) if faults.is_empty() => Ok(segment_bytes),
            _ => Err(Error::InvalidOptions { faults }),
        }
    }
}
