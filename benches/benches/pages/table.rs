//! Tables on the terminal.

/// Rows of text with a head, each column as wide as its widest cell.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// As Markdown, so that it can be put into a document as it is.
    pub(crate) fn print(&self, title: &str) {
        println!("\n{title}\n");
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

/// Whether a target is met, in a word.
pub(crate) fn met(is_met: bool) -> String {
    if is_met { "yes" } else { "no" }.to_owned()
}
