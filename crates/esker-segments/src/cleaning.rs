//! Which segment deserves cleaning, and which records belong together.
//!
//! Owns the policies. Refuses to count: what they decide by is the [`SegmentUsage`] of each segment and a [`Scene`]. Nothing
//! is kept for a record, so that a policy costs a hundred bytes for each segment and no more.
//!
//! A policy is the answer to three questions: to which stream a user's write goes, to which stream a moved record goes, and
//! which segment is emptied next. All that is live of a victim has to be written again, so that good answers bring together
//! in a segment what dies at about the same time.
//!
//! - [`Rate`] estimates the update interval of what is in a segment by how fast it dies there, sorts users' writes and moved
//!   records into streams by it, and empties the segment whose cost declines the least by waiting. The default.
//! - [`Greedy`] empties the one with the fewest live bytes, which is the best there is if all records are as likely to die.
//! - [`Sepbit`] sorts users' writes by whether what they replace was short-lived, and moved records by their age.

use std::fmt;

use crate::SegmentUsage;

/// What holds for all segments at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scene {
    /// The time, in records that users have written.
    pub now: u64,
    /// How many records are live.
    pub records: u64,
    /// How many bytes of records a segment has room for.
    pub capacity_bytes: u64,
}

/// Where a record goes, and what is thought of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// The stream: those for users' writes come first, the hottest of each kind first.
    pub stream: u8,
    /// The logarithm to base two of its estimated update interval.
    pub interval_log2: f64,
    /// When it is thought to have been written by a user. For moved records.
    pub written: f64,
}

/// How many streams a policy writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamCounts {
    /// For users' writes, at least one.
    pub user: u8,
    /// For moved records, at least one.
    pub moved: u8,
}

/// A rule for cleaning.
///
/// The answers decide how much is written and nothing else: whatever they are, nothing is lost.
pub trait Policy: fmt::Debug + Send + Sync {
    /// How many streams there are. Always the same.
    fn streams(&self) -> StreamCounts;

    /// Where a record goes that a user writes, in the place of one in the segment `replaced`; `None` for a new one.
    fn place_write(&self, scene: &Scene, replaced: Option<&SegmentUsage>) -> Placement;

    /// Where the live records of a victim go.
    fn place_move(&self, scene: &Scene, victim: &SegmentUsage) -> Placement;

    /// What it costs to clean the segment now and not later: the lowest is cleaned first. Not asked of segments with nothing
    /// live in them.
    fn cost(&self, scene: &Scene, segment: &SegmentUsage) -> f64;

    /// A segment was cleaned.
    fn cleaned(&mut self, _scene: &Scene, _victim: &SegmentUsage) {}

    /// A policy of the same kind that has not seen anything yet.
    fn boxed(&self) -> Box<dyn Policy>;
}

impl Policy for Box<dyn Policy> {
    fn streams(&self) -> StreamCounts {
        (**self).streams()
    }

    fn place_write(&self, scene: &Scene, replaced: Option<&SegmentUsage>) -> Placement {
        (**self).place_write(scene, replaced)
    }

    fn place_move(&self, scene: &Scene, victim: &SegmentUsage) -> Placement {
        (**self).place_move(scene, victim)
    }

    fn cost(&self, scene: &Scene, segment: &SegmentUsage) -> f64 {
        (**self).cost(scene, segment)
    }

    fn cleaned(&mut self, scene: &Scene, victim: &SegmentUsage) {
        (**self).cleaned(scene, victim);
    }

    fn boxed(&self) -> Box<dyn Policy> {
        (**self).boxed()
    }
}

/// Streams by estimated update interval, victims by declining cost.
///
/// The cost is that of Lomet and Luo, "Efficiently Reclaiming Space in a Log Structured Store" (ICDE 2021), with the
/// segment's own observed death rate in the place of their estimate.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    streams: StreamCounts,
    /// The coldest stream takes intervals from this times the number of records, each next one `step` times less.
    top: f64,
    step: f64,
}

impl Rate {
    /// How much of a write's estimate is the time since what it replaces was written; the rest is its segment's.
    const OWN_SHARE: f64 = 0.3;

    /// Two streams for users and two for moved records: for stores with fewer than fifty segments to spare.
    #[must_use]
    pub fn two_and_two() -> Self {
        Self { streams: StreamCounts { user: 2, moved: 2 }, top: 1.0, step: 8.0 }
    }

    /// Three streams for users and three for moved records.
    #[must_use]
    pub fn three_and_three() -> Self {
        Self { streams: StreamCounts { user: 3, moved: 3 }, top: 1.0, step: 8.0 }
    }

    /// Six streams for users and three for moved records: for stores with more than two hundred segments to spare.
    #[must_use]
    pub fn six_and_three() -> Self {
        Self { streams: StreamCounts { user: 6, moved: 3 }, top: 2.0, step: 4.0 }
    }

    /// The best of the three for a store that has so many segments more than what is live fills.
    #[must_use]
    pub fn for_spare_segments(spare: u64) -> Self {
        match spare {
            ..50 => Self::two_and_two(),
            50..200 => Self::three_and_three(),
            _ => Self::six_and_three(),
        }
    }

    fn level(&self, scene: &Scene, interval: f64, levels: u8) -> u8 {
        let mut bound = self.top * scene.records as f64;
        let mut level = levels - 1;
        while level > 0 && interval < bound {
            level -= 1;
            bound /= self.step;
        }
        level
    }
}

impl Policy for Rate {
    fn streams(&self) -> StreamCounts {
        self.streams
    }

    fn place_write(&self, scene: &Scene, replaced: Option<&SegmentUsage>) -> Placement {
        let interval_log2 = match replaced {
            Some(old) => {
                let own = (scene.now as f64 - old.written_mean() + 1.0).log2();
                let segment = old.interval(scene.now).max(1.0).log2();
                Self::OWN_SHARE * own + (1.0 - Self::OWN_SHARE) * segment
            }
            None => (scene.records.max(1) as f64).log2(),
        };
        let stream = match replaced {
            Some(_) => self.level(scene, interval_log2.exp2(), self.streams.user),
            // Nothing is known of it. What is loaded at first is best kept together.
            None => 0,
        };
        Placement { stream, interval_log2, written: scene.now as f64 }
    }

    fn place_move(&self, scene: &Scene, victim: &SegmentUsage) -> Placement {
        let interval = victim.interval(scene.now);
        let stream = self.streams.user + self.level(scene, interval, self.streams.moved);
        Placement { stream, interval_log2: interval.max(1.0).log2(), written: victim.written_mean() }
    }

    fn cost(&self, scene: &Scene, segment: &SegmentUsage) -> f64 {
        let live = segment.live_bytes() as f64;
        let rest = scene.capacity_bytes.saturating_sub(segment.live_bytes()) as f64;
        (live / rest).powi(2) / (segment.live_records().max(1) as f64 * segment.interval(scene.now))
    }

    fn boxed(&self) -> Box<dyn Policy> {
        Box::new(self.clone())
    }
}

/// The fewest live bytes first; users' writes and moved records apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Greedy {
    _private: (),
}

impl Greedy {
    /// The policy.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Policy for Greedy {
    fn streams(&self) -> StreamCounts {
        StreamCounts { user: 1, moved: 1 }
    }

    fn place_write(&self, scene: &Scene, _replaced: Option<&SegmentUsage>) -> Placement {
        Placement { stream: 0, interval_log2: 0.0, written: scene.now as f64 }
    }

    fn place_move(&self, _scene: &Scene, victim: &SegmentUsage) -> Placement {
        Placement { stream: 1, interval_log2: 0.0, written: victim.written_mean() }
    }

    fn cost(&self, _scene: &Scene, segment: &SegmentUsage) -> f64 {
        segment.live_bytes() as f64
    }

    fn boxed(&self) -> Box<dyn Policy> {
        Box::new(Self::new())
    }
}

/// Streams by the life of what is replaced and by age, victims by benefit to cost.
///
/// After Wang and others, "Separating Data via Block Invalidation Time Inference for Write Amplification Reduction in
/// Log-Structured Storage" (FAST 2022). The paper knows when each record was written; here the mean of its segment stands
/// for that.
#[derive(Clone, Debug, PartialEq)]
pub struct Sepbit {
    /// How long a segment of the hottest stream lives until it is cleaned.
    life: f64,
    lives_sum: f64,
    lives: u32,
}

impl Sepbit {
    const USER_STREAMS: u8 = 2;
    const MOVED_STREAMS: u8 = 4;
    /// Over how many segments the life is averaged.
    const LIVES: u32 = 16;

    /// The policy.
    #[must_use]
    pub fn new() -> Self {
        Self { life: f64::INFINITY, lives_sum: 0.0, lives: 0 }
    }
}

impl Default for Sepbit {
    fn default() -> Self {
        Self::new()
    }
}

impl Policy for Sepbit {
    fn streams(&self) -> StreamCounts {
        StreamCounts { user: Self::USER_STREAMS, moved: Self::MOVED_STREAMS }
    }

    fn place_write(&self, scene: &Scene, replaced: Option<&SegmentUsage>) -> Placement {
        let is_short = replaced.is_some_and(|old| scene.now as f64 - old.written_mean() < self.life);
        Placement { stream: u8::from(!is_short), interval_log2: 0.0, written: scene.now as f64 }
    }

    fn place_move(&self, scene: &Scene, victim: &SegmentUsage) -> Placement {
        let age = scene.now as f64 - victim.written_mean();
        let nth = match victim.stream() {
            0 => 0,
            _ if age < 4.0 * self.life => 1,
            _ if age < 16.0 * self.life => 2,
            _ => 3,
        };
        Placement { stream: Self::USER_STREAMS + nth, interval_log2: 0.0, written: victim.written_mean() }
    }

    fn cost(&self, scene: &Scene, segment: &SegmentUsage) -> f64 {
        let u = segment.live_bytes() as f64 / scene.capacity_bytes as f64;
        -(1.0 - u) / u * ((scene.now - segment.opened()) as f64 + 1.0).sqrt()
    }

    fn cleaned(&mut self, scene: &Scene, victim: &SegmentUsage) {
        if victim.stream() == 0 {
            self.lives_sum += (scene.now - victim.opened()) as f64;
            self.lives += 1;
            if self.lives == Self::LIVES {
                self.life = self.lives_sum / f64::from(self.lives);
                (self.lives_sum, self.lives) = (0.0, 0);
            }
        }
    }

    fn boxed(&self) -> Box<dyn Policy> {
        Box::new(Self::new())
    }
}
