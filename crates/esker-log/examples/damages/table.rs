//! The outcomes by kind, place and end.

use std::{collections::BTreeMap, fmt};

use crate::{
    damage::{Kind, Place},
    judge::Outcome,
    logs::End,
};

/// How often what happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table(BTreeMap<(bool, Kind, Place, Outcome), u64>);

impl Table {
    pub(crate) fn count(&mut self, end: End, kind: Kind, place: Place, outcome: Outcome) {
        *self.0.entry((end == End::Closed, kind, place, outcome)).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (key, count) in &other.0 {
            *self.0.entry(*key).or_default() += count;
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    fn sum(&self, closed: bool, kind: Kind, place: Place, outcomes: &[Outcome]) -> u64 {
        outcomes.iter().filter_map(|&outcome| self.0.get(&(closed, kind, place, outcome))).sum()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const TOLD: [Outcome; 3] = [Outcome::Refused, Outcome::ToldByReading, Outcome::ToldWithoutLoss];
        for closed in [true, false] {
            match closed {
                true => writeln!(f, "Closed logs: told / harmless.")?,
                false => writeln!(
                    f,
                    "\nLogs that ended in a crash: told / harmless / a lost end that looks like what was in flight."
                )?,
            }
            write!(f, "{:<18}", "")?;
            Place::ALL.iter().try_for_each(|place| write!(f, "{:>18}", place.name()))?;
            writeln!(f)?;
            for kind in Kind::ALL {
                write!(f, "{kind:<18}")?;
                for place in Place::ALL {
                    let [told, harmless, tail] = [&TOLD[..], &[Outcome::Harmless], &[Outcome::TailInFlight]]
                        .map(|outcomes| self.sum(closed, kind, place, outcomes));
                    let cell = match (closed, told + harmless + tail) {
                        (_, 0) => String::new(),
                        (true, _) => format!("{told} / {harmless}"),
                        (false, _) => format!("{told} / {harmless} / {tail}"),
                    };
                    write!(f, "{cell:>18}")?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}
