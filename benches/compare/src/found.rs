//! All that was found, and how to look it up.

use crate::{
    contender::{Contender, Kind},
    measure::Measure,
    outcome::{Metric, Outcome},
    stats::{Spread, ratio},
};

/// What was found of one contender in one measure, round by round. A round that failed has none.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) measure: Measure,
    pub(crate) contender: Contender,
    pub(crate) rounds: Vec<Option<Outcome>>,
    /// What went wrong, if anything did.
    pub(crate) failures: Vec<String>,
}

impl Cell {
    pub(crate) fn new(measure: Measure, contender: Contender) -> Self {
        Self { measure, contender, rounds: Vec::new(), failures: Vec::new() }
    }

    /// A figure of each round.
    pub(crate) fn values(&self, metric: Metric) -> Vec<Option<f64>> {
        let value = |round: &Option<Outcome>| round.as_ref()?.figures.get(&metric).copied();
        self.rounds.iter().map(value).collect()
    }

    pub(crate) fn spread(&self, metric: Metric) -> Option<Spread> {
        Spread::of(&self.values(metric).into_iter().flatten().collect::<Vec<_>>())
    }

    pub(crate) fn median(&self, metric: Metric) -> Option<f64> {
        self.spread(metric).map(|spread| spread.median)
    }

    /// How its figures compare with those of another, round by round.
    pub(crate) fn ratio_to(&self, other: &Self, metric: Metric) -> Option<f64> {
        ratio(&self.values(metric), &other.values(metric))
    }

    /// Whether it takes part with a promise that is not what is measured. Where only one sync at the end is asked for, we
    /// make it ourselves.
    pub(crate) fn is_out_of_ranking(&self) -> bool {
        self.measure.is_durable() && !self.contender.reaches_device()
    }
}

/// The fastest of the peers whose promise is what is measured.
pub(crate) fn best_peer<'a>(cells: impl IntoIterator<Item = &'a Cell>) -> Option<&'a Cell> {
    let peers = cells.into_iter().filter(|cell| cell.contender.kind() == Kind::Peer && !cell.is_out_of_ranking());
    let rated = peers.filter_map(|cell| Some((cell.median(cell.measure.primary().0)?, cell)));
    rated.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, cell)| cell)
}

/// The cells of a comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a>(pub(crate) &'a [Cell]);

impl<'a> Found<'a> {
    pub(crate) fn of(self, measure: Measure) -> impl Iterator<Item = &'a Cell> {
        self.0.iter().filter(move |cell| cell.measure == measure)
    }

    pub(crate) fn cell(self, measure: Measure, contender: Contender) -> Option<&'a Cell> {
        self.of(measure).find(|cell| cell.contender == contender)
    }

    pub(crate) fn best_peer(self, measure: Measure) -> Option<&'a Cell> {
        best_peer(self.of(measure))
    }

    /// The measures, in the order in which they were taken.
    pub(crate) fn measures(self) -> Vec<Measure> {
        let mut measures: Vec<Measure> = self.0.iter().map(|cell| cell.measure).collect();
        measures.dedup();
        measures
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Cell, Found};
    use crate::{
        contender::Contender,
        measure::Measure,
        outcome::{Metric, Outcome},
    };

    /// A cell with one figure in each round.
    pub(crate) fn cell(measure: Measure, contender: Contender, metric: Metric, rounds: &[f64]) -> Cell {
        let mut cell = Cell::new(measure, contender);
        for &value in rounds {
            let mut outcome = Outcome::default();
            outcome.set(metric, value);
            cell.rounds.push(Some(outcome));
        }
        cell
    }

    #[test]
    fn best_peer_is_one_that_reaches_the_device() {
        let durable = Measure::Durable { writers: 1, record_bytes: 256 };
        let buffered = Measure::Buffered { writers: 1, record_bytes: 256 };
        let rate = Metric::PerSecond;
        let cells: Vec<Cell> = [durable, buffered]
            .into_iter()
            .flat_map(|measure| {
                [
                    cell(measure, Contender::Esker, rate, &[99.0]),
                    cell(measure, Contender::WalDb, rate, &[1.0, 3.0, 2.0]),
                    cell(measure, Contender::Okaywal, rate, &[5.0, 0.5, 1.0]),
                    cell(measure, Contender::Commitlog, rate, &[50.0]),
                    cell(measure, Contender::Mutexed, rate, &[70.0]),
                ]
            })
            .collect();
        let found = Found(&cells);
        assert_eq!(found.best_peer(durable).unwrap().contender, Contender::WalDb);
        assert_eq!(found.best_peer(buffered).unwrap().contender, Contender::Commitlog);
        assert_eq!(found.measures(), [durable, buffered]);
        assert!(found.best_peer(Measure::Memory).is_none());
    }
}
