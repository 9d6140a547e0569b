//! The table: a row for each kind of call in each phase, a column for each fault.

use std::{collections::BTreeMap, fmt::Write};

use crate::{
    point::{Call, Fault, Phase, Point},
    run::Outcome,
};

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    tried: usize,
    failed: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: BTreeMap<(Phase, Call), BTreeMap<Fault, Cell>>,
}

impl Table {
    pub(crate) fn of(results: &[(Point, Outcome)]) -> Self {
        let mut table = Self::default();
        for (point, outcome) in results.iter().filter(|(_, outcome)| outcome.hit || !outcome.violations.is_empty()) {
            let row = table.rows.entry((point.phase, point.call)).or_default();
            let cell = row.entry(point.fault).or_default();
            cell.tried += 1;
            cell.failed += usize::from(!outcome.violations.is_empty());
        }
        table
    }

    /// Cells say how many points were tried, and after a `!` how many of them were not as promised.
    pub(crate) fn render(&self, markdown: bool) -> String {
        let mut lines = vec![Vec::new()];
        lines[0].extend(["phase", "call"].map(str::to_owned));
        lines[0].extend(Fault::ALL.iter().map(|fault| fault.name().to_owned()));
        for ((phase, call), cells) in &self.rows {
            let mut line = vec![phase.name().to_owned(), call.name().to_owned()];
            line.extend(Fault::ALL.iter().map(|fault| match cells.get(fault) {
                None => String::new(),
                Some(Cell { tried, failed: 0 }) => tried.to_string(),
                Some(Cell { tried, failed }) => format!("{tried}!{failed}"),
            }));
            lines.push(line);
        }
        if markdown {
            let rule = ["---", "---"].into_iter().chain(Fault::ALL.iter().map(|_| "--:"));
            lines.insert(1, rule.map(str::to_owned).collect());
        }
        let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
        let mut text = String::new();
        for line in &lines {
            for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
                let gap = if markdown { "| " } else { "  " };
                let cell = if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") };
                // Writing to a string does not fail.
                let _ = write!(text, "{gap}{cell}{}", if markdown { " " } else { "" });
            }
            text.push_str(if markdown { "|\n" } else { "\n" });
        }
        text
    }
}
