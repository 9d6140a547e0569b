//! A log of nothing but places: what cleaning would cost, without any bytes.

use std::collections::VecDeque;

use esker_format::Lsn;
use esker_segments::{
    UsageTable,
    cleaning::{Placement, Policy},
};

/// The shape of a simulated store. A record is one unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// How many segments there are, open and free ones included.
    pub(crate) segments: u32,
    /// How many records a segment holds.
    pub(crate) records: u32,
    /// Cleaning keeps so many segments free.
    pub(crate) reserve: u32,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    /// By the user.
    pub(crate) user: u64,
    /// By cleaning.
    pub(crate) moved: u64,
}

impl Written {
    /// What was written for each record that the user wrote.
    pub(crate) fn amplification(self) -> f64 {
        (self.user + self.moved) as f64 / self.user as f64
    }
}

/// A store in simulation.
pub(crate) struct Sim {
    shape: Shape,
    usage: UsageTable,
    /// Which records a segment was filled with.
    segments: Vec<Vec<u32>>,
    is_full: Vec<bool>,
    free: VecDeque<u32>,
    open: Vec<Option<u32>>,
    /// Where each record is: the segment, and its place there.
    places: Vec<Option<(u32, u32)>>,
    /// What was written so far.
    pub(crate) written: Written,
}

impl Sim {
    /// A store that is to hold `items` records, none of them written yet.
    pub(crate) fn new(shape: Shape, policy: &dyn Policy, items: u32) -> Self {
        let streams = policy.streams();
        Self {
            shape,
            usage: UsageTable::new(policy.boxed(), u64::from(shape.records)),
            segments: vec![Vec::new(); shape.segments as usize],
            is_full: vec![false; shape.segments as usize],
            free: (0..shape.segments).collect(),
            open: vec![None; usize::from(streams.user + streams.moved)],
            places: vec![None; items as usize],
            written: Written::default(),
        }
    }

    /// The user writes a record.
    pub(crate) fn write(&mut self, item: u32) {
        while self.free.len() < self.shape.reserve as usize {
            self.clean();
        }
        let old = self.places[item as usize].map(|(segment, _)| lsn(segment));
        let placement = self.usage.place_write(old);
        self.written.user += 1;
        let segment = self.append(item, placement.stream);
        self.usage.written(lsn(segment), 1, &placement);
        if let Some(old) = old {
            self.usage.died(old, 1);
        }
    }

    fn clean(&mut self) {
        let full = (0..self.shape.segments).filter(|&segment| self.is_full[segment as usize]);
        let victim = self.usage.choose(full.map(lsn)).expect("what is live leaves room");
        let placement: Placement = self.usage.place_move(victim);
        let at = victim.get() as u32;
        self.is_full[at as usize] = false;
        for (place, item) in std::mem::take(&mut self.segments[at as usize]).into_iter().enumerate() {
            if self.places[item as usize] == Some((at, place as u32)) {
                self.written.moved += 1;
                let segment = self.append(item, placement.stream);
                self.usage.moved(lsn(segment), 1, &placement);
                self.usage.left(victim, 1);
            }
        }
        self.usage.forget(victim);
        self.free.push_front(at);
    }

    /// Returns the segment.
    fn append(&mut self, item: u32, stream: u8) -> u32 {
        let mut stream = usize::from(stream);
        if self.open[stream].is_none() {
            match self.free.pop_front() {
                Some(segment) => self.open[stream] = Some(segment),
                // In the middle of a cleaning: it joins the nearest stream that has room.
                None => {
                    let with_room = (0..self.open.len()).filter(|&other| self.open[other].is_some());
                    stream = with_room.min_by_key(|other| other.abs_diff(stream)).expect("the reserve is too small");
                }
            }
        }
        let segment = self.open[stream].expect("it was opened");
        let records = &mut self.segments[segment as usize];
        self.places[item as usize] = Some((segment, records.len() as u32));
        records.push(item);
        if records.len() == self.shape.records as usize {
            self.is_full[segment as usize] = true;
            self.open[stream] = None;
        }
        segment
    }
}

fn lsn(segment: u32) -> Lsn {
    Lsn::new(u64::from(segment))
}

/// How often which record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// All alike.
    Uniform,
    /// Four fifths of the writes go to a fifth of the records.
    Hot,
    /// The nth record is written in proportion to n to the power of -0.99.
    Zipf,
}

/// Draws records.
pub(crate) struct Draw {
    workload: Workload,
    items: u32,
    state: u64,
    /// For each record the probability that it or one before it is drawn.
    cumulative: Vec<f64>,
}

impl Draw {
    /// Draws by a seed.
    pub(crate) fn new(workload: Workload, items: u32, seed: u64) -> Self {
        let mut cumulative = Vec::new();
        if workload == Workload::Zipf {
            let mut sum = 0.0;
            cumulative.extend((1..=items).map(|rank| {
                sum += f64::from(rank).powf(-0.99);
                sum
            }));
            cumulative.iter_mut().for_each(|share| *share /= sum);
        }
        Self { workload, items, state: seed, cumulative }
    }

    /// The next record that is written.
    pub(crate) fn next(&mut self) -> u32 {
        let items = self.items;
        match self.workload {
            Workload::Uniform => self.below(items),
            Workload::Hot => {
                let hot = items / 5;
                if self.below(5) < 4 { self.below(hot) } else { hot + self.below(items - hot) }
            }
            Workload::Zipf => {
                let drawn = (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
                self.cumulative.partition_point(|&share| share < drawn).min(items as usize - 1) as u32
            }
        }
    }

    /// All records, in random order.
    pub(crate) fn shuffled(&mut self) -> Vec<u32> {
        let mut all: Vec<_> = (0..self.items).collect();
        for nth in (1..all.len()).rev() {
            let other = self.below(nth as u32 + 1) as usize;
            all.swap(nth, other);
        }
        all
    }

    fn below(&mut self, end: u32) -> u32 {
        (((self.next_u64() >> 32) * u64::from(end)) >> 32) as u32
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Loads a store to `fill`, writes until it is steady, and says what was written from then on.
pub(crate) fn run(shape: Shape, policy: &dyn Policy, workload: Workload, fill: f64, seed: u64) -> Written {
    let items = (f64::from(shape.segments * shape.records) * fill).round() as u32;
    let (mut sim, mut draw) = (Sim::new(shape, policy, items), Draw::new(workload, items, seed));
    draw.shuffled().into_iter().for_each(|item| sim.write(item));
    let (steady, measured) = (30 * u64::from(items), 15 * u64::from(items));
    (0..steady).for_each(|_| sim.write(draw.next()));
    sim.written = Written::default();
    (0..measured).for_each(|_| sim.write(draw.next()));
    sim.written
}
