//! Tables in plain text: for the terminal, and as they are for Markdown.

use crate::{
    contender::Kind,
    outcome::Metric,
    run::Cell,
    stats::{Spread, ratio},
};

/// Prints one table for each measure among the cells.
pub(crate) fn print(cells: &[Cell]) {
    for of_measure in cells.chunk_by(|a, b| a.measure == b.measure) {
        println!("\n{}", of_measure[0].measure.title());
        for line in align(&table(of_measure)) {
            println!("  {line}");
        }
        for cell in of_measure {
            for failure in &cell.failures {
                println!("  {} failed: {failure}", cell.contender.name());
            }
        }
    }
    println!();
}

/// What is told of a measure beside the figure that it is about.
const COLUMNS: &[(&str, Metric)] = &[
    ("before sync/s", Metric::PerSecondUnsynced),
    ("MB/s", Metric::MegabytesPerSecond),
    ("opened ms", Metric::OpenMillis),
    ("p50 µs", Metric::P50Micros),
    ("p99 µs", Metric::P99Micros),
    ("p99.9 µs", Metric::P999Micros),
    ("max µs", Metric::MaxMicros),
    ("CPU s/M", Metric::CpuSecondsPerMillion),
    ("syncs each", Metric::SyncsPerAppend),
    ("syncs/s beside", Metric::SyncsPerSecond),
    ("bytes each", Metric::BytesPerAppend),
    ("padding", Metric::PadRatio),
    ("in blocks", Metric::BlockRatio),
    ("by the system", Metric::SystemRatio),
    ("first tenth MB", Metric::FirstGrowthMegabytes),
    ("last tenth MB", Metric::LastGrowthMegabytes),
    ("buffers MB", Metric::BufferMegabytes),
    ("peak MB", Metric::PeakMegabytes),
];

const NOT_APPLICABLE: &str = "n/a";

/// The rows of one measure, the heading first.
pub(crate) fn table(cells: &[Cell]) -> Vec<Vec<String>> {
    let Some(measure) = cells.first().map(|cell| cell.measure) else { return Vec::new() };
    let (primary, label) = measure.primary();
    let best = best_peer(cells);
    let limit = cells.iter().find(|cell| cell.contender.is_limit());
    let columns: Vec<_> = COLUMNS
        .iter()
        .filter(|(_, metric)| *metric != primary && cells.iter().any(|cell| spread(cell, *metric).is_some()))
        .collect();
    let mut heading = vec![String::new(), label.to_owned(), "min to max".to_owned()];
    heading.extend(best.map(|best| format!("× {}", best.contender.name())));
    heading.extend(limit.map(|limit| format!("× {}", limit.contender.name())));
    heading.extend(columns.iter().map(|(name, _)| (*name).to_owned()));
    let mut rows = vec![heading];
    for cell in cells {
        let figure = |metric| spread(cell, metric).map_or(NOT_APPLICABLE.to_owned(), |spread| number(spread.median));
        let range = spread(cell, primary).map(|spread| format!("{} to {}", number(spread.min), number(spread.max)));
        let mut row = vec![name(cell), figure(primary), range.unwrap_or(NOT_APPLICABLE.to_owned())];
        for other in [best, limit].into_iter().flatten() {
            let ratio = ratio(&cell.values(primary), &other.values(primary));
            row.push(ratio.map_or(NOT_APPLICABLE.to_owned(), |ratio| format!("{ratio:.2}")));
        }
        row.extend(columns.iter().map(|(_, metric)| figure(*metric)));
        rows.push(row);
    }
    rows
}

/// The contender's name, marked where its promise is not what is asked for.
fn name(cell: &Cell) -> String {
    let name = cell.contender.name();
    if cell.contender.reaches_device() || !cell.measure.is_durable() {
        return name.to_owned();
    }
    format!("{name} (does not reach the device)")
}

pub(crate) fn spread(cell: &Cell, metric: Metric) -> Option<Spread> {
    Spread::of(&cell.values(metric).into_iter().flatten().collect::<Vec<_>>())
}

/// The fastest of the peers. Where durability is measured, those whose promise does not reach the device do not count; where
/// only one sync at the end is, we make theirs.
pub(crate) fn best_peer(cells: &[Cell]) -> Option<&Cell> {
    let honest = |cell: &&Cell| cell.contender.reaches_device() || !cell.measure.is_durable();
    let peers = cells.iter().filter(|cell| cell.contender.kind() == Kind::Peer).filter(honest);
    let rated = peers.filter_map(|cell| Some((spread(cell, cell.measure.primary().0)?.median, cell)));
    rated.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, cell)| cell)
}

/// Three digits or so, with thousands set apart.
pub(crate) fn number(value: f64) -> String {
    if value.abs() < 10.0 {
        return format!("{value:.2}");
    }
    if value.abs() < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digit.is_ascii_digit() && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Columns of equal width: the first to the left, the others to the right.
fn align(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let pad = |(at, cell): (usize, &String)| {
        if at == 0 { format!("{cell:<0$}", widths[at]) } else { format!("{cell:>0$}", widths[at]) }
    };
    let line = |row: &Vec<String>| row.iter().enumerate().map(pad).collect::<Vec<_>>().join("  ");
    rows.iter().map(|row| line(row).trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::{align, number};

    #[test]
    fn numbers_are_short_and_grouped() {
        let cases = [
            (0.125, "0.12"),
            (9.99, "9.99"),
            (12.34, "12.3"),
            (999.6, "1,000"),
            (1234567.0, "1,234,567"),
            (100.0, "100"),
        ];
        for (value, shown) in cases {
            assert_eq!(number(value), shown);
        }
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["bcd".to_owned(), "100".to_owned()]];
        assert_eq!(align(&rows), ["a      1", "bcd  100"]);
    }
}
