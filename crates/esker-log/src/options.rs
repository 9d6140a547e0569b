//! How a log is opened.

use std::time::{Duration, SystemTime};

use esker_format::{LogId, SegmentBytes};

use crate::Error;

/// The size of a segment of a new log unless another is asked for: 16 MiB.
pub const SEGMENT_BYTES_DEFAULT: u32 = 16 << 20;
/// The memory of one I/O buffer unless another is asked for: 1 MiB.
pub const BUFFER_BYTES_DEFAULT: u32 = 1 << 20;
/// The number of I/O buffers unless another is asked for.
pub const BUFFERS_DEFAULT: u32 = 8;

/// How much may be written and not synced unless another is asked for: 8 MiB.
pub const UNSYNCED_BYTES_MAX_DEFAULT: u64 = 8 << 20;

/// For how long a thread that waits may yield its core before it sleeps unless another time is asked for: 2 ms.
pub const YIELD_MAX_DEFAULT: Duration = Duration::from_millis(2);

/// What opening a log for writing does about something that had been durable and is damaged or missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnDamage {
    /// Opening fails with [`Error::Corrupt`], and nothing is changed. Recovery reads the end of the log only: damage
    /// deeper in the log is met by whoever reads there.
    #[default]
    Refuse,
    /// Everything is read, and the log ends before the first damage: what comes after it is given up, and overwritten as the
    /// log goes on. What is left has no gap.
    StopBefore,
    /// Everything is read, and what can be read is kept: the log goes on behind its end. Reading and iterating return
    /// [`Error::Corrupt`] for what is lost in between, now and later. Where segments are gone as a whole, each opening
    /// has to ask for this again; [`LogReader::salvage`](crate::LogReader::salvage) makes a log of what is left that has
    /// no need to.
    Skip,
}

/// How a log is opened for writing. Validated by [`Log::open`](crate::Log::open), which reports all faults at once.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) segment_bytes: u32,
    pub(crate) buffer_bytes: u32,
    pub(crate) buffers: u32,
    pub(crate) create: bool,
    pub(crate) background: bool,
    pub(crate) flush_interval: Option<Duration>,
    pub(crate) yield_max: Duration,
    pub(crate) unsynced_bytes_max: Option<u64>,
    pub(crate) segments_max: Option<u32>,
    pub(crate) log_id: Option<LogId>,
    pub(crate) on_damage: OnDamage,
    pub(crate) scrub_bytes_per_second: Option<u64>,
    pub(crate) retain_bytes: Option<u64>,
    pub(crate) retain_age: Option<Duration>,
    pub(crate) clock: fn() -> SystemTime,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            buffer_bytes: BUFFER_BYTES_DEFAULT,
            buffers: BUFFERS_DEFAULT,
            create: true,
            background: true,
            flush_interval: None,
            yield_max: YIELD_MAX_DEFAULT,
            unsynced_bytes_max: Some(UNSYNCED_BYTES_MAX_DEFAULT),
            segments_max: None,
            log_id: None,
            on_damage: OnDamage::Refuse,
            scrub_bytes_per_second: None,
            retain_bytes: None,
            retain_age: None,
            clock: SystemTime::now,
        }
    }
}

impl Options {
    /// The defaults: create the log if there is none, 16 MiB segments, 8 buffers of 1 MiB, a thread in the background that
    /// syncs when 8 MiB are not synced, no limit on the file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The size of a segment of a *new* log: a power of two from 4 KiB to 256 MiB. A log that exists keeps its size.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u32) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// The memory of one I/O buffer, from 256 bytes to 8 MiB. Payloads that do not fit a buffer become blob files.
    #[must_use]
    pub fn buffer_bytes(mut self, bytes: u32) -> Self {
        self.buffer_bytes = bytes;
        self
    }

    /// How many I/O buffers, a power of two from 2 to 4096. Appends wait when all are full and none is written yet.
    #[must_use]
    pub fn buffers(mut self, buffers: u32) -> Self {
        self.buffers = buffers;
        self
    }

    /// Whether to create the log where there is none.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Whether the log has a thread of its own, which is on unless switched off. It does what can be late without harm: it
    /// syncs what was written when [much](Self::unsynced_bytes_max) is not synced, writes the next segment's place ahead of
    /// need if syncs are frequent, so that they cost less, and [flushes](Self::flush_interval). Without it,
    /// [`Log::run_upkeep`](crate::Log::run_upkeep) does the first two.
    #[must_use]
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// When this much was written and not synced, it is synced in the background: so the disk has work early, and what the
    /// next opening has to read and write again after a crash is about this much, and what was appended while a sync
    /// took place. Appends do not wait for it. `None` leaves syncing to those who ask for it.
    #[must_use]
    pub fn unsynced_bytes_max(mut self, bytes: Option<u64>) -> Self {
        self.unsynced_bytes_max = bytes;
        self
    }

    /// For how long a thread that waits for a commit may yield its core to other threads, over and over, before it sleeps.
    ///
    /// Waking a thread costs a core some microseconds; where many threads wait for a fast disk, that is what limits them.
    /// So while at least four threads for each core wait, and a sync takes less than a third of this time, they yield
    /// instead: on two cores, 16 to 512 threads get 1.2 to 1.4 times as much done, and take cores that would be idle, or
    /// that other threads get less of. [`Duration::ZERO`] has all of them sleep at once.
    #[must_use]
    pub fn yield_max(mut self, time: Duration) -> Self {
        self.yield_max = time;
        self
    }

    /// Makes everything durable in the background, this often, if anything is to be made so. Errors surface at the next
    /// append. Not without the log's own [thread](Self::background).
    #[must_use]
    pub fn flush_interval(mut self, interval: Option<Duration>) -> Self {
        self.flush_interval = interval;
        self
    }

    /// The most segments the file may have. Appends that need one more fail with
    /// [`Error::NoSpace`](crate::Error::NoSpace) until truncation frees some.
    #[must_use]
    pub fn segments_max(mut self, segments: Option<u32>) -> Self {
        self.segments_max = segments;
        self
    }

    /// Reads the log over and over in the background, at this rate, and checks it: every segment that is wholly stable, and
    /// the blobs of its records. What is damaged is counted in the [statistics](crate::Log::stats) and named by
    /// [`Log::damages`](crate::Log::damages). Has a thread of its own; none unless asked for.
    ///
    /// Of what a storage keeps in memory, the copy there is read, not what the device holds.
    #[must_use]
    pub fn scrub_bytes_per_second(mut self, rate: Option<u64>) -> Self {
        self.scrub_bytes_per_second = rate;
        self
    }

    /// Gives up the oldest segments by itself, as [`Log::truncate_before`](crate::Log::truncate_before) does, so that the log
    /// has the newest `bytes` bytes and at most two segments more. Looked after whenever a segment is begun, by the log's own
    /// [thread](Self::background) or by [`Log::run_upkeep`](crate::Log::run_upkeep). `None`, the default, keeps everything.
    #[must_use]
    pub fn retain_bytes(mut self, bytes: Option<u64>) -> Self {
        self.retain_bytes = bytes;
        self
    }

    /// Gives up by itself what was appended at least so long ago, segment by segment: the segment that is being filled stays,
    /// and so does the one before it, as long as nobody can tell that all of it is old enough. Looked after now and then by
    /// the log's own [thread](Self::background), or by [`Log::run_upkeep`](crate::Log::run_upkeep).
    ///
    /// Times are those of the system's clock. They are kept in a file, `times`, for segments that are begun while this is set;
    /// what was appended before counts as old as the first segment that was. If the clock is set back, records are kept for
    /// longer; if it is set forth, they go sooner.
    #[must_use]
    pub fn retain_age(mut self, age: Option<Duration>) -> Self {
        self.retain_age = age;
        self
    }

    /// Where the time comes from that [`retain_age`](Self::retain_age) goes by: the system's clock unless told, for simulations
    /// and tests.
    #[must_use]
    pub fn clock(mut self, clock: fn() -> SystemTime) -> Self {
        self.clock = clock;
        self
    }

    /// What to do about damage. With another policy than [`OnDamage::Refuse`] opening reads the whole log, and what was
    /// lost is in the [report](crate::Log::report).
    #[must_use]
    pub fn on_damage(mut self, policy: OnDamage) -> Self {
        self.on_damage = policy;
        self
    }

    /// The identity of a *new* log, otherwise drawn at random. For tests that want the same bytes each time: two logs of
    /// one identity cannot be told apart.
    #[must_use]
    pub fn log_id(mut self, id: LogId) -> Self {
        self.log_id = Some(id);
        self
    }

    /// Checks everything that can be checked without the log, and returns the segment size of a new one.
    /// [`Log::open`](crate::Log::open) does so before it touches anything.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOptions`] with all faults.
    pub fn validate(&self) -> Result<SegmentBytes, Error> {
        use esker_iobufs::{BUFFER_BYTES_MAX, BUFFER_BYTES_MIN, BUFFERS_MAX, BUFFERS_MIN};
        let mut faults = Vec::new();
        let segment_bytes = SegmentBytes::new(self.segment_bytes);
        if let Err(error) = &segment_bytes {
            faults.push(format!("segment_bytes: {error}"));
        }
        if !(BUFFER_BYTES_MIN..=BUFFER_BYTES_MAX).contains(&self.buffer_bytes) {
            faults.push(format!(
                "buffer_bytes is {}, not between {BUFFER_BYTES_MIN} and {BUFFER_BYTES_MAX}",
                self.buffer_bytes
            ));
        }
        if !(BUFFERS_MIN..=BUFFERS_MAX).contains(&self.buffers) || !self.buffers.is_power_of_two() {
            faults.push(format!(
                "buffers is {}, not a power of two between {BUFFERS_MIN} and {BUFFERS_MAX}",
                self.buffers
            ));
        }
        if self.segments_max.is_some_and(|segments| segments < 2) {
            faults.push("segments_max is below 2: one segment is filled while another is freed".to_owned());
        }
        if self.flush_interval.is_some_and(|interval| interval.is_zero()) {
            faults.push("flush_interval is zero".to_owned());
        }
        if self.flush_interval.is_some() && !self.background {
            faults.push("flush_interval needs the background thread, which is switched off".to_owned());
        }
        if self.scrub_bytes_per_second == Some(0) {
            faults.push("scrub_bytes_per_second is zero: leave it out to read nothing".to_owned());
        }
        if self.retain_age.is_some_and(|age| age.is_zero()) {
            faults.push("retain_age is zero: nothing would be kept".to_owned());
        }
        if self.unsynced_bytes_max == Some(0) {
            faults.push("unsynced_bytes_max is zero: use make_stable or flush to sync each append".to_owned());
        }
        match segment_bytes {
            Ok(segment_bytes) if faults.is_empty() => Ok(segment_bytes),
            _ => Err(Error::InvalidOptions { faults }),
        }
    }
}
