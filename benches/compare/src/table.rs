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

const COLUMNS: &[(&str, Metric)] = &[
    ("p50 us", Metric::P50Micros),
    ("p99 us", Metric::P99Micros),
    ("p99.9 us", Metric::P999Micros),
    ("max us", Metric::MaxMicros),
    ("CPU s/M", Metric::CpuSecondsPerMillion),
    ("syncs each", Metric::SyncsPerAppend),
    ("B each", Metric::BytesPerAppend),
    ("peak MB", Metric::PeakMegabytes),
];

/// The rows of one measure, the heading first.
pub(crate) fn table(cells: &[Cell]) -> Vec<Vec<String>> {
    let best = best_peer(cells);
    let mut heading = vec!["".to_owned(), "per second".to_owned(), "min to max".to_owned(), "x best peer".to_owned()];
    let columns: Vec<_> =
        COLUMNS.iter().filter(|(_, metric)| cells.iter().any(|cell| spread(cell, *metric).is_some())).collect();
    heading.extend(columns.iter().map(|(name, _)| (*name).to_owned()));
    let mut rows = vec![heading];
    for cell in cells {
        let rate = spread(cell, Metric::PerSecond);
        let mut row = vec![
            cell.contender.name().to_owned(),
            rate.map_or("n/a".to_owned(), |rate| number(rate.median)),
            rate.map_or("n/a".to_owned(), |rate| format!("{} to {}", number(rate.min), number(rate.max))),
            best.and_then(|best| ratio(&cell.values(Metric::PerSecond), &best.values(Metric::PerSecond)))
                .map_or("n/a".to_owned(), |ratio| format!("{ratio:.2}")),
        ];
        let figure = |metric| spread(cell, metric).map_or("n/a".to_owned(), |spread| number(spread.median));
        row.extend(columns.iter().map(|(_, metric)| figure(*metric)));
        rows.push(row);
    }
    rows
}

fn spread(cell: &Cell, metric: Metric) -> Option<Spread> {
    Spread::of(&cell.values(metric).into_iter().flatten().collect::<Vec<_>>())
}

/// The fastest peer whose promise reaches the device.
pub(crate) fn best_peer(cells: &[Cell]) -> Option<&Cell> {
    let peers = cells.iter().filter(|cell| cell.contender.kind() == Kind::Peer && cell.contender.reaches_device());
    let rated = peers.filter_map(|cell| Some((spread(cell, Metric::PerSecond)?.median, cell)));
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
