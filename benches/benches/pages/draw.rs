//! Which page is written next.

use rand::{RngExt, SeedableRng, rngs::SmallRng, seq::SliceRandom};
use rand_distr::{Distribution, Zipf};

/// How often which page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// All alike.
    Uniform,
    /// The nth page in proportion to n to the power of -0.99.
    Zipf,
    /// Four fifths of the writes go to a fifth of the pages.
    Hot,
    /// As YCSB's "scrambled Zipfian" is: the same as `Zipf` over ten thousand million ranks, which are hashed onto the pages, so
    /// that a few are written often and all the others nearly alike.
    Ycsb,
}

impl Workload {
    pub(crate) const ALL: [Self; 4] = [Self::Uniform, Self::Zipf, Self::Hot, Self::Ycsb];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf 0.99",
            Self::Hot => "80/20",
            Self::Ycsb => "ycsb",
        }
    }
}

const EXPONENT: f64 = 0.99;
const YCSB_RANKS: f64 = 1e10;

/// Draws pages, the same ones for the same seed.
pub(crate) struct Draw {
    workload: Workload,
    pages: u32,
    rng: SmallRng,
    zipf: Zipf<f64>,
}

impl Draw {
    pub(crate) fn new(workload: Workload, pages: u32, seed: u64) -> Self {
        let ranks = if workload == Workload::Ycsb { YCSB_RANKS } else { f64::from(pages) };
        let zipf = Zipf::new(ranks, EXPONENT).expect("there are ranks");
        Self { workload, pages, rng: SmallRng::seed_from_u64(seed), zipf }
    }

    pub(crate) fn next(&mut self) -> u32 {
        let pages = self.pages;
        match self.workload {
            Workload::Uniform => self.rng.random_range(0..pages),
            Workload::Hot => {
                let hot = pages / 5;
                if self.rng.random_range(0..5) < 4 {
                    self.rng.random_range(0..hot)
                } else {
                    self.rng.random_range(hot..pages)
                }
            }
            Workload::Zipf => self.zipf.sample(&mut self.rng) as u32 - 1,
            Workload::Ycsb => (fnv(self.zipf.sample(&mut self.rng) as u64 - 1) % u64::from(pages)) as u32,
        }
    }

    /// All pages, in random order.
    pub(crate) fn shuffled(&mut self) -> Vec<u32> {
        let mut all: Vec<u32> = (0..self.pages).collect();
        all.shuffle(&mut self.rng);
        all
    }
}

/// FNV-1a over the eight bytes of a number, and its absolute value as a signed one, as YCSB does it.
fn fnv(number: u64) -> u64 {
    let hash = number
        .to_le_bytes()
        .into_iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash.cast_signed().unsigned_abs()
}
