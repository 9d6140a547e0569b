//! What is found, for the terminal and for whoever draws it.

use std::{fs, path::Path};

use serde::Serialize;

use crate::Fallible;

/// Rows of text with a head, each column as wide as its widest cell.
#[derive(Serialize)]
pub(crate) struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { title: String::new(), rows: vec![head.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// As Markdown, so that it can be put into a document as it is.
    fn print(&self) {
        println!("\n{}\n", self.title);
        let columns = self.rows[0].len();
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (nth, row) in self.rows.iter().enumerate() {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:>width$}")).collect();
            println!("| {} |", cells.join(" | "));
            if nth == 0 {
                let rules: Vec<String> =
                    widths.iter().map(|&width| format!("{}:", "-".repeat(width.max(2) - 1))).collect();
                println!("| {} |", rules.join(" | "));
            }
        }
    }
}

/// Bars, in panels that have a scale each.
#[derive(Serialize)]
pub(crate) struct Chart {
    pub(crate) file: &'static str,
    pub(crate) title: &'static str,
    pub(crate) panels: Vec<Panel>,
}

#[derive(Serialize)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) bars: Vec<Bar>,
}

#[derive(Serialize)]
pub(crate) struct Bar {
    pub(crate) name: String,
    /// Whether it is what is looked at, and not what it is compared with.
    pub(crate) is_ours: bool,
    /// One for each round.
    pub(crate) values: Vec<f64>,
}

/// All of it.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    tables: Vec<Table>,
    charts: Vec<Chart>,
}

impl Report {
    pub(crate) fn table(&mut self, title: &str, mut table: Table) {
        table.title = title.to_owned();
        table.print();
        self.tables.push(table);
    }

    pub(crate) fn chart(&mut self, chart: Chart) {
        self.charts.push(chart);
    }

    pub(crate) fn write(&self, path: &Path) -> Fallible {
        fs::write(path, serde_json::to_vec_pretty(self)?)?;
        Ok(())
    }
}

/// Whether a target is met, in a word.
pub(crate) fn met(is_met: bool) -> String {
    if is_met { "yes" } else { "no" }.to_owned()
}
