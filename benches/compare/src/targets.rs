//! What esker is held to, and whether it is met.

use serde::Serialize;

use crate::{
    contender::Contender,
    found::{Cell, Found},
    measure::{Ending, Measure, Pace, Place},
    outcome::Metric,
    table::number,
};

/// What a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// One figure with its bound.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Condition {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) bound: Bound,
}

impl Condition {
    fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtLeast(bound) => self.value >= bound,
            Bound::AtMost(bound) => self.value <= bound,
        }
    }

    fn line(&self) -> String {
        let (sign, bound) = match self.bound {
            Bound::AtLeast(bound) => ('≥', bound),
            Bound::AtMost(bound) => ('≤', bound),
        };
        format!("{} {} ({sign} {bound})", number(self.value), self.what)
    }
}

/// One target: every condition must be met, unless one of them is enough.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Target {
    pub(crate) id: &'static str,
    pub(crate) what: String,
    pub(crate) figure: String,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) one_is_enough: bool,
}

impl Target {
    fn new(id: &'static str, what: impl Into<String>, figure: String, conditions: Vec<Option<Condition>>) -> Self {
        let conditions = conditions.into_iter().flatten().collect();
        Self { id, what: what.into(), figure, conditions, one_is_enough: false }
    }

    pub(crate) fn is_met(&self) -> bool {
        if self.one_is_enough {
            self.conditions.iter().any(Condition::is_met)
        } else {
            self.conditions.iter().all(Condition::is_met)
        }
    }

    pub(crate) fn against(&self) -> String {
        let lines: Vec<String> = self.conditions.iter().map(Condition::line).collect();
        lines.join(if self.one_is_enough { " or " } else { ", " })
    }
}

/// The targets of which anything was measured.
pub(crate) fn evaluate(found: Found<'_>) -> Vec<Target> {
    let mut targets = durable(found);
    targets.extend(buffered(found));
    targets.extend(latency(found));
    targets.extend(read(found));
    targets.extend(open(found));
    targets.extend(costs(found));
    targets.extend(pages(found));
    targets.retain(|target| !target.conditions.is_empty());
    let order = ["D1", "D2", "D3", "D4", "D5", "D6", "B1", "B2", "B3", "B4", "L1", "R1", "R2", "R3", "M1", "W1", "G3"];
    targets.sort_by_key(|target| order.iter().position(|id| *id == target.id));
    targets
}

fn ours(found: Found<'_>, measure: Measure) -> Option<&Cell> {
    found.cell(measure, Contender::Esker)
}

/// How one cell compares with another by the figure that its measure is about.
fn against(cell: Option<&Cell>, other: Option<&Cell>, what: &str, bound: Bound) -> Option<Condition> {
    let (cell, other) = (cell?, other?);
    let value = cell.ratio_to(other, cell.measure.primary().0)?;
    Some(Condition { what: format!("× {what}"), value, bound })
}

fn against_best(found: Found<'_>, measure: Measure, least: f64) -> Option<Condition> {
    let best = found.best_peer(measure)?;
    against(ours(found, measure), Some(best), best.contender.name(), Bound::AtLeast(least))
}

fn against_limit(found: Found<'_>, measure: Measure, limit: Contender, least: f64) -> Option<Condition> {
    against(ours(found, measure), found.cell(measure, limit), limit.name(), Bound::AtLeast(least))
}

fn figure(found: Found<'_>, measure: Measure) -> String {
    let (metric, unit) = measure.primary();
    let median = ours(found, measure).and_then(|cell| cell.median(metric));
    median.map_or(String::new(), |median| format!("{} {unit}", number(median)))
}

fn pages(found: Found<'_>) -> Option<Target> {
    let measure = found.measures().into_iter().find(|measure| matches!(measure, Measure::ReplaceGet { .. }))?;
    let conditions = [(Contender::Sled, 3.0), (Contender::Marble, 2.0)].map(|(peer, least)| {
        against(ours(found, measure), found.cell(measure, peer), peer.name(), Bound::AtLeast(least))
    });
    Some(Target::new("G3", measure.title(), figure(found, measure), conditions.to_vec()))
}

fn durable(found: Found<'_>) -> Vec<Target> {
    let small = |writers| Measure::Durable { writers, record_bytes: 256 };
    let one = small(1);
    let limit = against_limit(found, one, Contender::LimitDurable, 0.9);
    let mut targets =
        vec![Target::new("D1", one.title(), figure(found, one), vec![against_best(found, one, 1.0), limit])];
    let sixteen = small(16);
    let p99 = found.best_peer(sixteen).and_then(|best| {
        let value = ours(found, sixteen)?.ratio_to(best, Metric::P99Micros)?;
        let what = format!("× p99 of {}", best.contender.name());
        Some(Condition { what, value, bound: Bound::AtMost(1.0) })
    });
    let conditions = vec![against_best(found, sixteen, 2.0), p99];
    targets.push(Target::new("D2", sixteen.title(), figure(found, sixteen), conditions));
    let (some, many) = (small(64), small(512));
    targets.push(Target::new("D3", some.title(), figure(found, some), vec![against_best(found, some, 2.0)]));
    let hold = against(ours(found, many), ours(found, some), "64 writers", Bound::AtLeast(0.9));
    targets.push(Target::new("D3", many.title(), figure(found, many), vec![against_best(found, many, 2.0), hold]));
    for record_bytes in [4 << 10, 64 << 10] {
        let measure = Measure::Durable { writers: 16, record_bytes };
        let disk = found.cell(Measure::Bandwidth, Contender::LimitBandwidth);
        let share = ours(found, measure).and_then(|cell| {
            let value = cell.ratio_to(disk?, Metric::MegabytesPerSecond)?;
            Some(Condition { what: "× disk bandwidth".to_owned(), value, bound: Bound::AtLeast(0.9) })
        });
        let conditions = vec![against_best(found, measure, 1.5), share];
        let target = Target::new("D4", measure.title(), figure(found, measure), conditions);
        targets.push(Target { one_is_enough: true, ..target });
    }
    let window = Measure::Window { in_flight: 64, record_bytes: 256 };
    let same = against(ours(found, window), ours(found, some), "64 writers", Bound::AtLeast(0.8));
    targets.push(Target::new("D5", window.title(), figure(found, window), vec![same]));
    for groups in [16, 64, 256] {
        let measure = Measure::Groups { groups, record_bytes: 256 };
        targets.push(Target::new(
            "D6",
            measure.title(),
            figure(found, measure),
            vec![against_best(found, measure, 1.5)],
        ));
    }
    targets
}

fn buffered(found: Found<'_>) -> Vec<Target> {
    let mut targets = Vec::new();
    for (id, record_bytes, peers, limit) in [("B1", 64, 4.0, 0.7), ("B2", 256, 3.0, 0.8), ("B2", 4096, 3.0, 0.8)] {
        let measure = Measure::Buffered { writers: 2, record_bytes };
        let conditions =
            vec![against_best(found, measure, peers), against_limit(found, measure, Contender::LimitBuffered, limit)];
        targets.push(Target::new(id, measure.title(), figure(found, measure), conditions));
    }
    let few = Measure::Buffered { writers: 2, record_bytes: 64 };
    for writers in [16, 64] {
        let measure = Measure::Buffered { writers, record_bytes: 64 };
        let hold = against(ours(found, measure), ours(found, few), "2 writers", Bound::AtLeast(0.9));
        targets.push(Target::new("B3", measure.title(), figure(found, measure), vec![hold]));
    }
    // The same measures for records that come by 64, under the same targets.
    let batched = |measure: Measure, peers: Option<f64>, limit: Contender, least: f64| {
        let cell = found.cell(measure, Contender::EskerBatched);
        let (metric, unit) = measure.primary();
        let text = cell.and_then(|cell| cell.median(metric)).map(|median| format!("{} {unit}", number(median)));
        let best = found.best_peer(measure);
        let peer = peers.and_then(|least| against(cell, best, best?.contender.name(), Bound::AtLeast(least)));
        let limit = against(cell, found.cell(measure, limit), limit.name(), Bound::AtLeast(least));
        (format!("{}, by 64", measure.title()), text.unwrap_or_default(), vec![peer, limit])
    };
    for (id, record_bytes, peers, least) in [("B1", 64, 4.0, 0.7), ("B2", 256, 3.0, 0.8)] {
        let measure = Measure::Buffered { writers: 2, record_bytes };
        let (title, figure, conditions) = batched(measure, Some(peers), Contender::LimitBuffered, least);
        targets.push(Target::new(id, title, figure, conditions));
    }
    let path = |writers| Measure::AppendPath { writers, record_bytes: 64 };
    let limit = against_limit(found, path(2), Contender::LimitMemory, 0.6);
    targets.push(Target::new("B4", path(2).title(), figure(found, path(2)), vec![limit]));
    let (title, text, conditions) = batched(path(2), None, Contender::LimitMemory, 0.6);
    targets.push(Target::new("B4", title, text, conditions));
    let nanos = ours(found, path(1)).and_then(|cell| {
        let value = 1e9 / cell.median(Metric::PerSecond)?;
        Some(Condition { what: "ns each".to_owned(), value, bound: Bound::AtMost(60.0) })
    });
    targets.push(Target::new("B4", path(1).title(), figure(found, path(1)), vec![nanos]));
    targets
}

fn latency(found: Found<'_>) -> Vec<Target> {
    let target = |pace| {
        let measure = Measure::Latency { pace };
        let tail = ours(found, measure).and_then(|cell| {
            let value = crate::stats::ratio(&cell.values(Metric::P999Micros), &cell.values(Metric::P50Micros))?;
            Some(Condition { what: "× p50 is p99.9".to_owned(), value, bound: Bound::AtMost(20.0) })
        });
        Target::new("L1", measure.title(), figure(found, measure), vec![tail])
    };
    [Pace::Slow, Pace::Full].map(target).to_vec()
}

fn read(found: Found<'_>) -> Vec<Target> {
    let all = Measure::Iterate;
    let peer = against_limit(found, all, Contender::WalDb, 20.0);
    let limit = against_limit(found, all, Contender::LimitRead, 0.6);
    let mut targets = vec![Target::new("R1", all.title(), figure(found, all), vec![peer, limit])];
    let (file, buffer) = (Measure::RandomRead { from: Place::File }, Measure::RandomRead { from: Place::Buffer });
    let limit = against_limit(found, file, Contender::LimitPread, 0.7);
    targets.push(Target::new("R3", file.title(), figure(found, file), vec![limit]));
    let faster = against(ours(found, buffer), ours(found, file), "from the file", Bound::AtLeast(3.0));
    targets.push(Target::new("R3", buffer.title(), figure(found, buffer), vec![faster]));
    targets
}

fn open(found: Found<'_>) -> Vec<Target> {
    [Ending::Closed, Ending::Killed].map(|ending| open_after(found, ending)).into_iter().flatten().collect()
}

/// The larger of two logs against the smaller one.
fn open_after(found: Found<'_>, wanted: Ending) -> Option<Target> {
    let of_ending = |measure: &Measure| matches!(measure, Measure::Open { ending, .. } if *ending == wanted);
    let mut measures: Vec<Measure> = found.measures().into_iter().filter(of_ending).collect();
    measures.sort();
    let (&small, &large) = (measures.first()?, measures.last()?);
    let grows = against(ours(found, large), ours(found, small), "the smaller log", Bound::AtMost(1.5));
    let millis = ours(found, large)?.median(Metric::OpenMillis)?;
    let fast = Condition { what: "ms".to_owned(), value: millis, bound: Bound::AtMost(50.0) };
    Some(Target::new("R2", large.title(), figure(found, large), vec![grows, Some(fast)]))
}

fn costs(found: Found<'_>) -> Vec<Target> {
    let mut targets = Vec::new();
    let (memory, bytes) = (Measure::Memory, Measure::DeviceBytes);
    if let Some(cell) = ours(found, memory) {
        let at_most = |what: &str, value: Option<f64>, bound| {
            Some(Condition { what: what.to_owned(), value: value?, bound: Bound::AtMost(bound) })
        };
        let beyond = cell.median(Metric::GrowthMegabytes).zip(cell.median(Metric::BufferMegabytes));
        let drift = cell.median(Metric::LastGrowthMegabytes).zip(cell.median(Metric::FirstGrowthMegabytes));
        let conditions = vec![
            at_most("MB beyond the buffers", beyond.map(|(growth, buffers)| growth - buffers), 2.09),
            at_most("MB more in the last tenth than in the first", drift.map(|(last, first)| last - first), 0.5),
        ];
        targets.push(Target::new("M1", memory.title(), figure(found, memory), conditions));
    }
    if let Some(value) = ours(found, bytes).and_then(|cell| cell.median(Metric::WrittenRatio)) {
        let ratio = Condition { what: "bytes for each of payload".to_owned(), value, bound: Bound::AtMost(1.25) };
        targets.push(Target::new("W1", bytes.title(), figure(found, bytes), vec![Some(ratio)]));
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::evaluate;
    use crate::{
        contender::Contender,
        found::{Cell, Found, tests::cell},
        measure::{Ending, Measure},
        outcome::Metric,
    };

    fn met(cells: &[Cell], id: &str) -> Option<bool> {
        let targets = evaluate(Found(cells));
        let mut of_id = targets.iter().filter(|target| target.id == id).peekable();
        of_id.peek()?;
        Some(of_id.all(|target| target.is_met()))
    }

    #[test]
    fn what_was_not_measured_is_no_target() {
        assert!(evaluate(Found(&[])).is_empty());
    }

    #[test]
    fn target_is_met_if_every_condition_is() {
        let measure = Measure::Durable { writers: 1, record_bytes: 256 };
        let cells = |ours: f64, limit: f64| {
            [
                cell(measure, Contender::Esker, Metric::PerSecond, &[ours, ours, ours]),
                cell(measure, Contender::Okaywal, Metric::PerSecond, &[100.0, 100.0, 100.0]),
                cell(measure, Contender::Commitlog, Metric::PerSecond, &[900.0, 900.0, 900.0]),
                cell(measure, Contender::LimitDurable, Metric::PerSecond, &[limit, limit, limit]),
            ]
        };
        assert_eq!(met(&cells(100.0, 100.0), "D1"), Some(true));
        assert_eq!(met(&cells(99.0, 100.0), "D1"), Some(false));
        assert_eq!(met(&cells(100.0, 120.0), "D1"), Some(false));
        assert_eq!(met(&cells(100.0, 100.0), "B1"), None);
    }

    #[test]
    fn large_records_need_the_peers_or_the_disk_beaten() {
        let measure = Measure::Durable { writers: 16, record_bytes: 4096 };
        let cells = |peer: f64, disk: f64| {
            let mut ours = cell(measure, Contender::Esker, Metric::PerSecond, &[100.0]);
            for round in ours.rounds.iter_mut().flatten() {
                round.set(Metric::MegabytesPerSecond, 10.0);
            }
            [
                ours,
                cell(measure, Contender::Okaywal, Metric::PerSecond, &[peer]),
                cell(Measure::Bandwidth, Contender::LimitBandwidth, Metric::MegabytesPerSecond, &[disk]),
            ]
        };
        assert_eq!(met(&cells(50.0, 100.0), "D4"), Some(true));
        assert_eq!(met(&cells(90.0, 11.0), "D4"), Some(true));
        assert_eq!(met(&cells(90.0, 100.0), "D4"), Some(false));
    }

    #[test]
    fn opening_may_not_grow_with_the_log() {
        let open = |log_mib| Measure::Open { log_mib, ending: Ending::Killed };
        let cells = |small: f64, large: f64| {
            [
                cell(open(8192), Contender::Esker, Metric::OpenMillis, &[large]),
                cell(open(1024), Contender::Esker, Metric::OpenMillis, &[small]),
            ]
        };
        assert_eq!(met(&cells(10.0, 15.0), "R2"), Some(true));
        assert_eq!(met(&cells(10.0, 16.0), "R2"), Some(false));
        assert_eq!(met(&cells(40.0, 51.0), "R2"), Some(false));
    }
}
