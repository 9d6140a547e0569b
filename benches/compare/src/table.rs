//! Tables in plain text: for the terminal, and as they are for Markdown.

use crate::{
    found::{Cell, best_peer},
    outcome::Metric,
};

/// Prints one table for each measure among the cells.
pub(crate) fn print(cells: &[Cell]) {
    for of_measure in cells.chunk_by(|a, b| a.measure == b.measure) {
        println!("\n{}", of_measure[0].measure.title());
        for line in align(&table(of_measure), 1) {
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
    ("disk / data", Metric::SpaceRatio),
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
        .filter(|(_, metric)| *metric != primary && cells.iter().any(|cell| cell.spread(*metric).is_some()))
        .collect();
    let mut heading = vec![String::new(), label.to_owned(), "min to max".to_owned()];
    heading.extend(best.map(|best| format!("× {}", best.contender.name())));
    heading.extend(limit.map(|limit| format!("× {}", limit.contender.name())));
    heading.extend(columns.iter().map(|(name, _)| (*name).to_owned()));
    let mut rows = vec![heading];
    for cell in cells {
        let figure = |metric| cell.spread(metric).map_or(NOT_APPLICABLE.to_owned(), |spread| number(spread.median));
        let range = cell.spread(primary).map(|spread| format!("{} to {}", number(spread.min), number(spread.max)));
        let mut row = vec![name(cell), figure(primary), range.unwrap_or(NOT_APPLICABLE.to_owned())];
        for other in [best, limit].into_iter().flatten() {
            row.push(cell.ratio_to(other, primary).map_or(NOT_APPLICABLE.to_owned(), |ratio| format!("{ratio:.2}")));
        }
        row.extend(columns.iter().map(|(_, metric)| figure(*metric)));
        rows.push(row);
    }
    rows
}

/// The contender's name, marked where its promise is not what is asked for.
fn name(cell: &Cell) -> String {
    let name = cell.contender.name();
    if cell.is_out_of_ranking() { format!("{name} (does not reach the device)") } else { name.to_owned() }
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

/// The same rows for Markdown. The first columns hold words, the others figures.
pub(crate) fn markdown(rows: &[Vec<String>], words: usize) -> String {
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        text.push_str(&format!("| {} |\n", row.join(" | ")));
        if at == 0 {
            text.push_str(&format!("|{}{}\n", "---|".repeat(words), "--:|".repeat(row.len().saturating_sub(words))));
        }
    }
    text
}

/// Columns of equal width: the first ones, which hold words, to the left, the others to the right.
pub(crate) fn align(rows: &[Vec<String>], words: usize) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let pad = |(at, cell): (usize, &String)| {
        if at < words { format!("{cell:<0$}", widths[at]) } else { format!("{cell:>0$}", widths[at]) }
    };
    let line = |row: &Vec<String>| row.iter().enumerate().map(pad).collect::<Vec<_>>().join("  ");
    rows.iter().map(|row| line(row).trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::{align, markdown, number, table};
    use crate::{contender::Contender, found::tests::cell, measure::Measure, outcome::Metric};

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
        assert_eq!(align(&rows, 1), ["a      1", "bcd  100"]);
    }

    #[test]
    fn tables_compare_with_the_best_peer_and_the_limit() {
        let measure = Measure::Durable { writers: 1, record_bytes: 256 };
        let cells = [
            cell(measure, Contender::Esker, Metric::PerSecond, &[200.0, 300.0, 400.0]),
            cell(measure, Contender::Sled, Metric::PerSecond, &[900.0, 900.0, 900.0]),
            cell(measure, Contender::WalDb, Metric::PerSecond, &[100.0, 100.0, 100.0]),
            cell(measure, Contender::LimitDurable, Metric::PerSecond, &[400.0, 400.0, 400.0]),
        ];
        let rows = table(&cells);
        assert_eq!(rows[0], ["", "appends/s", "min to max", "× wal-db", "× limit-durable"]);
        assert_eq!(rows[1], ["esker", "300", "200 to 400", "3.00", "0.75"]);
        assert!(rows[2][0].contains("does not reach the device"));
        let text = markdown(&rows, 1);
        assert!(text.starts_with("|  | appends/s |") && text.contains("\n|---|--:|--:|--:|--:|\n"), "{text}");
    }
}
