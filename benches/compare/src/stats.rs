//! Medians and ranges.

use serde::Serialize;

/// A figure over rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of no values there is none.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Some(Self { median, min, max })
    }
}

/// The median of the ratios of what was measured in the same round. A disk that slows down from one round to the next
/// slows both down.
pub(crate) fn ratio(above: &[Option<f64>], below: &[Option<f64>]) -> Option<f64> {
    let ratios = above.iter().zip(below).filter_map(|(above, below)| Some((*above)? / (*below)?));
    Spread::of(&ratios.collect::<Vec<_>>()).map(|spread| spread.median)
}

#[cfg(test)]
mod tests {
    use super::{Spread, ratio};

    #[test]
    fn median_is_the_middle_or_between_the_middles() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(Spread::of(&[f64::NAN]), None);
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        let (above, below) = ([Some(10.0), Some(2.0), None, Some(6.0)], [Some(5.0), Some(1.0), Some(9.0), Some(2.0)]);
        assert_eq!(ratio(&above, &below), Some(2.0));
        assert_eq!(ratio(&[None], &[Some(1.0)]), None);
    }
}
