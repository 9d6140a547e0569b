//! The one source of chance.
//!
//! Owns a small generator: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014),
//! chosen because it is a few lines, has no bad seeds, and will never change under a recorded seed. Refuses secrecy.
//!
//! # Invariants
//!
//! - **R1:** what cannot vary draws nothing, so that switching a fault off leaves the rest of a run as it was.

use crate::faults::Probability;

#[derive(Debug, Clone)]
pub(crate) struct Rng {
    state: u64,
}

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be zero. Slightly uneven for bounds near 2^64, which nobody uses.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "there is no number below {bound}");
        if bound == 1 {
            return 0;
        }
        // The high half of the product scales a 64-bit fraction to the bound.
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    pub(crate) fn chance(&mut self, probability: Probability) -> bool {
        match probability {
            Probability::NEVER => false,
            Probability::ALWAYS => true,
            some => self.below(Probability::ALWAYS.per_million().into()) < some.per_million().into(),
        }
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        // The first outputs for seed 1234567 that the reference implementation gives.
        let mut rng = Rng::new(1_234_567);
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(expected.map(|_| rng.next()), expected);
    }

    #[test]
    fn chances_are_near_their_probability() {
        let mut rng = Rng::new(0);
        for per_million in [1_000, 250_000, 999_000] {
            let hits = (0..100_000).filter(|_| rng.chance(Probability::from_per_million(per_million))).count();
            let expected = f64::from(per_million) / 10.0;
            assert!((hits as f64 - expected).abs() < 5.0 * expected.sqrt(), "{hits} hits for {expected} expected");
        }
    }

    #[test]
    fn what_cannot_vary_draws_nothing() {
        let (mut rng, mut same) = (Rng::new(9), Rng::new(9));
        assert!(!rng.chance(Probability::NEVER) && rng.chance(Probability::ALWAYS));
        assert_eq!(rng.below(1), 0);
        assert_eq!(rng.next(), same.next());
    }
}
