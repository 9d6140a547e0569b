//! The segment usage table: how much of each segment is live, and how fast it dies.
//!
//! Owns the sums and the estimates that [`cleaning`](crate::cleaning) decides by. Refuses to decide.

use std::collections::BTreeMap;

use esker_format::Lsn;

use crate::cleaning::{Placement, Policy, Scene};

/// How many deaths the estimate that a segment's records came with counts for.
const INHERITED_WEIGHT: f64 = 16.0;
/// A segment younger than this forgets nothing, in records written.
const MEMORY_MIN: u64 = 64;

/// What is known of one segment.
///
/// Times are counted in records that users have written. The update interval of a record is how many of them pass between
/// its being written and its being replaced.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentUsage {
    stream: u8,
    /// Below zero for a moment if a record's death is told before its birth.
    live_bytes: i64,
    live_records: i64,
    appended: u64,
    opened: u64,
    /// The sum of the times at which the records were written by users, however often they were moved since.
    written_sum: f64,
    /// The sum of the logarithms of the intervals that the records came with.
    interval_log2_sum: f64,
    deaths: f64,
    /// The integral of the number of live records over time, up to `seen`.
    exposure: f64,
    seen: u64,
    /// When `deaths` and `exposure` were last halved.
    halved: u64,
}

impl SegmentUsage {
    fn new(stream: u8, now: u64) -> Self {
        Self {
            stream,
            live_bytes: 0,
            live_records: 0,
            appended: 0,
            opened: now,
            written_sum: 0.0,
            interval_log2_sum: 0.0,
            deaths: 0.0,
            exposure: 0.0,
            seen: now,
            halved: now,
        }
    }

    /// The stream that wrote it, as the policy numbers them.
    #[must_use]
    pub fn stream(&self) -> u8 {
        self.stream
    }

    /// The live bytes, headers included.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        u64::try_from(self.live_bytes).unwrap_or(0)
    }

    /// How many records are live.
    #[must_use]
    pub fn live_records(&self) -> u64 {
        u64::try_from(self.live_records).unwrap_or(0)
    }

    /// When the first record came.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// The mean of the times at which its records were written by users.
    #[must_use]
    pub fn written_mean(&self) -> f64 {
        self.written_sum / self.appended.max(1) as f64
    }

    /// The estimated update interval of what is live: the geometric mean of what the records came with, counted as sixteen
    /// deaths, and what was seen here since.
    #[must_use]
    pub fn interval(&self, now: u64) -> f64 {
        let inherited = (self.interval_log2_sum / self.appended.max(1) as f64).exp2();
        let exposure = self.exposure + self.exposed_since(now);
        (INHERITED_WEIGHT * inherited + exposure) / (INHERITED_WEIGHT + self.deaths)
    }

    fn exposed_since(&self, now: u64) -> f64 {
        now.saturating_sub(self.seen) as f64 * self.live_records.max(0) as f64
    }

    fn tick(&mut self, now: u64) {
        self.exposure += self.exposed_since(now);
        self.seen = self.seen.max(now);
    }

    fn append(&mut self, now: u64, bytes: u32, interval_log2: f64, written: f64) {
        self.tick(now);
        self.live_bytes += i64::from(bytes);
        self.live_records += 1;
        self.appended += 1;
        self.interval_log2_sum += interval_log2;
        self.written_sum += written;
    }

    fn lose(&mut self, now: u64, bytes: u32) {
        self.tick(now);
        self.live_bytes -= i64::from(bytes);
        self.live_records -= 1;
    }

    fn die(&mut self, now: u64, bytes: u32) {
        self.tick(now);
        // What was long ago weighs less and less: the memory doubles with the age.
        if now.saturating_sub(self.opened) > 2 * (self.halved - self.opened) + MEMORY_MIN {
            self.halved = now;
            self.deaths *= 0.5;
            self.exposure *= 0.5;
        }
        self.deaths += 1.0;
        self.lose(now, bytes);
    }
}

/// The usage of all segments that have had records, by their base.
///
/// Sums are exact whenever every record that was told to be live was told so before it was told to be dead, or both were
/// told. All operations cost a search in an ordered map, but [`choose`](UsageTable::choose), which looks at all candidates.
#[derive(Debug)]
pub struct UsageTable {
    policy: Box<dyn Policy>,
    segments: BTreeMap<Lsn, SegmentUsage>,
    scene: Scene,
    live_bytes: i64,
    live_records: i64,
}

impl UsageTable {
    /// An empty table for segments with room for `capacity_bytes` of records.
    #[must_use]
    pub fn new(policy: Box<dyn Policy>, capacity_bytes: u64) -> Self {
        let scene = Scene { now: 0, records: 0, capacity_bytes };
        Self { policy, segments: BTreeMap::new(), scene, live_bytes: 0, live_records: 0 }
    }

    /// Where a record is to go that a user is about to write, in the place of one in the segment `replaced`.
    #[must_use]
    pub fn place_write(&self, replaced: Option<Lsn>) -> Placement {
        let scene = Scene { now: self.scene.now + 1, ..self.scene() };
        self.policy.place_write(&scene, replaced.and_then(|base| self.segments.get(&base)))
    }

    /// Where live records of the segment `victim` are to be moved.
    #[must_use]
    pub fn place_move(&self, victim: Lsn) -> Placement {
        let scene = self.scene();
        let unknown = SegmentUsage::new(0, scene.now);
        self.policy.place_move(&scene, self.segments.get(&victim).unwrap_or(&unknown))
    }

    /// A user wrote a record, as it was [placed](Self::place_write). Counts as a step of time.
    pub fn written(&mut self, segment: Lsn, bytes: u32, placement: &Placement) {
        self.scene.now += 1;
        let now = self.scene.now;
        self.append(segment, bytes, placement, now as f64);
    }

    /// A record was copied into `segment`, as it was [placed](Self::place_move).
    pub fn moved(&mut self, segment: Lsn, bytes: u32, placement: &Placement) {
        self.append(segment, bytes, placement, placement.written);
    }

    /// Records are about to come into a segment. Only what was expected may be told to be dead before it is told to be live, as
    /// happens between threads.
    pub fn expect(&mut self, segment: Lsn, stream: u8) {
        let now = self.scene.now;
        self.segments.entry(segment).or_insert_with(|| SegmentUsage::new(stream, now));
    }

    /// A record was found, of which nothing is known but where it is.
    pub fn found(&mut self, segment: Lsn, stream: u8, bytes: u32) {
        let placement = Placement { stream, interval_log2: 0.0, written: 0.0 };
        self.append(segment, bytes, &placement, 0.0);
    }

    /// All records in the table were [found](Self::found), and there are no more of them: their intervals are taken to be the
    /// number of records, which is what they are if all are as likely to be replaced.
    pub fn all_found(&mut self) {
        let interval_log2 = (self.live_records().max(1) as f64).log2();
        for usage in self.segments.values_mut() {
            usage.interval_log2_sum = usage.appended as f64 * interval_log2;
        }
    }

    /// A record died, because a user replaced or deleted it. Does nothing if the segment is [gone](Self::forget).
    pub fn died(&mut self, segment: Lsn, bytes: u32) {
        let now = self.scene.now;
        self.remove(segment, bytes, |usage| usage.die(now, bytes));
    }

    /// A record is live no more, because a copy of it is. Does nothing if the segment is [gone](Self::forget).
    pub fn left(&mut self, segment: Lsn, bytes: u32) {
        let now = self.scene.now;
        self.remove(segment, bytes, |usage| usage.lose(now, bytes));
    }

    /// The segment among `candidates` that is to be cleaned first; `None` if there is nothing dead in any.
    #[must_use]
    pub fn choose(&self, candidates: impl IntoIterator<Item = Lsn>) -> Option<Lsn> {
        let scene = self.scene();
        let mut best: Option<(f64, Lsn)> = None;
        for base in candidates {
            let Some(usage) = self.segments.get(&base).filter(|usage| usage.live_bytes() > 0) else {
                return Some(base);
            };
            let cost = self.policy.cost(&scene, usage);
            if usage.live_bytes() < scene.capacity_bytes && best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, base));
            }
        }
        best.map(|(_, base)| base)
    }

    /// The segment was cleaned, and what it had will be told to be dead never again.
    pub fn forget(&mut self, segment: Lsn) {
        let scene = self.scene();
        if let Some(usage) = self.segments.remove(&segment) {
            self.live_bytes -= usage.live_bytes;
            self.live_records -= usage.live_records;
            self.policy.cleaned(&scene, &usage);
        }
    }

    /// The live bytes of a segment; zero for one that had no records.
    #[must_use]
    pub fn live_bytes_in(&self, segment: Lsn) -> u64 {
        self.segments.get(&segment).map_or(0, SegmentUsage::live_bytes)
    }

    /// All segments that have had records, in the order of the log.
    pub fn iter(&self) -> impl Iterator<Item = (Lsn, &SegmentUsage)> {
        self.segments.iter().map(|(&base, usage)| (base, usage))
    }

    /// The live bytes of all segments.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        u64::try_from(self.live_bytes).unwrap_or(0)
    }

    /// How many records are live.
    #[must_use]
    pub fn live_records(&self) -> u64 {
        u64::try_from(self.live_records).unwrap_or(0)
    }

    fn scene(&self) -> Scene {
        Scene { records: self.live_records(), ..self.scene }
    }

    fn append(&mut self, segment: Lsn, bytes: u32, placement: &Placement, written: f64) {
        let now = self.scene.now;
        let usage = self.segments.entry(segment).or_insert_with(|| SegmentUsage::new(placement.stream, now));
        usage.append(now, bytes, placement.interval_log2, written);
        self.live_bytes += i64::from(bytes);
        self.live_records += 1;
    }

    fn remove(&mut self, segment: Lsn, bytes: u32, remove: impl FnOnce(&mut SegmentUsage)) {
        if let Some(usage) = self.segments.get_mut(&segment) {
            remove(usage);
            self.live_bytes -= i64::from(bytes);
            self.live_records -= 1;
        }
    }
}
