//! The report: report.md for people, report.json for programs.

use std::{fmt::Write, fs};

use serde::Serialize;

use crate::{
    Fallible,
    args::Args,
    chart::Chart,
    contender::Contender,
    found::{Cell, Found},
    guest::Guest,
    machine::Machine,
    outcome::Outcome,
    table,
    targets::Target,
};

pub(crate) const MARKDOWN: &str = "report.md";
const JSON: &str = "report.json";

/// All there is to tell.
pub(crate) struct Report<'a> {
    pub(crate) args: &'a Args,
    pub(crate) machine: &'a Machine,
    pub(crate) cells: &'a [Cell],
    pub(crate) targets: &'a [Target],
    pub(crate) charts: &'a [Chart],
    pub(crate) guest: &'a Guest,
}

pub(crate) fn write(report: &Report<'_>) -> Fallible {
    fs::write(report.args.out.join(MARKDOWN), markdown(report)?)?;
    fs::write(report.args.out.join(JSON), serde_json::to_vec_pretty(&json(report))?)?;
    Ok(())
}

/// How many columns of the targets' table hold words before the figures.
pub(crate) const TARGET_WORDS: usize = 2;

/// The targets as rows of a table.
pub(crate) fn target_rows(targets: &[Target]) -> Vec<Vec<String>> {
    let mut rows = vec![["", "", "figure", "against", "met"].map(str::to_owned).to_vec()];
    for target in targets {
        let met = if target.is_met() { "yes" } else { "no" };
        rows.push(vec![
            target.id.to_owned(),
            target.what.clone(),
            target.figure.clone(),
            target.against(),
            met.to_owned(),
        ]);
    }
    rows
}

fn markdown(report: &Report<'_>) -> Fallible<String> {
    let Report { args, machine, cells, targets, charts, guest } = report;
    let mut text = String::new();
    writeln!(text, "# esker beside its peers and the limits of a machine\n")?;
    writeln!(
        text,
        "{}; {}{} rounds, contenders interleaved, medians. Ratios are medians of the ratios within rounds: disks differ, and \
         shared ones change by the minute, so they say more than the figures do. `limit-` and `mutexed` are yardsticks of \
         the benchmark itself. What is appended is read back \
         through the contender's own interface and compared, but for the logs of which only opening or memory is measured.\n",
        machine.line(),
        if args.quick { "a quick look, " } else { "" },
        args.rounds,
    )?;
    writeln!(text, "## Targets\n\n{}", table::markdown(&target_rows(targets), TARGET_WORDS))?;
    for chart in *charts {
        writeln!(text, "![{}]({})\n", chart.title, chart.file)?;
    }
    if !guest.tables.is_empty() {
        writeln!(text, "## The page store by itself\n")?;
        for crate::guest::Table { title, rows } in &guest.tables {
            writeln!(text, "{title}:\n\n{}", table::markdown(rows, 1))?;
        }
    }
    writeln!(text, "## Figures\n")?;
    for of_measure in cells.chunk_by(|a, b| a.measure == b.measure) {
        let title = of_measure[0].measure.title();
        writeln!(text, "### {title}\n\n{}", table::markdown(&table::table(of_measure), 1))?;
        for cell in of_measure {
            for failure in &cell.failures {
                writeln!(text, "{} failed: {failure}\n", cell.contender.name())?;
            }
        }
    }
    writeln!(text, "{}", LEGEND.trim_end())?;
    Ok(text)
}

const LEGEND: &str = "\
## What the columns say

Latencies are those of single operations, over all writers, in microseconds. *CPU s/M* is processor time, user and system,
of the whole process in seconds for a million operations. *Syncs each* is known of those who count them. *Bytes each* are
bytes that the process handed to the system's write calls, for each record. *Peak* is the most memory that was resident at
once, the program itself included. *Before sync* is the rate without the sync at the end. *n/a* is what cannot be known, or
what a contender does not do.
";

#[derive(Serialize)]
struct JsonReport<'a> {
    machine: &'a Machine,
    quick: bool,
    rounds: usize,
    targets: Vec<JsonTarget<'a>>,
    cells: Vec<JsonCell<'a>>,
}

#[derive(Serialize)]
struct JsonTarget<'a> {
    #[serde(flatten)]
    target: &'a Target,
    met: bool,
}

#[derive(Serialize)]
struct JsonCell<'a> {
    measure: crate::measure::Measure,
    title: String,
    contender: Contender,
    version: Option<&'static str>,
    reaches_device: bool,
    best_peer: bool,
    rounds: &'a [Option<Outcome>],
    failures: &'a [String],
}

fn json<'a>(report: &Report<'a>) -> JsonReport<'a> {
    let Report { args, machine, cells, targets, .. } = *report;
    let best = |cell: &Cell| Found(cells).best_peer(cell.measure).is_some_and(|best| best.contender == cell.contender);
    JsonReport {
        machine,
        quick: args.quick,
        rounds: args.rounds,
        targets: targets.iter().map(|target| JsonTarget { target, met: target.is_met() }).collect(),
        cells: cells
            .iter()
            .map(|cell| JsonCell {
                measure: cell.measure,
                title: cell.measure.title(),
                contender: cell.contender,
                version: cell.contender.version(),
                reaches_device: cell.contender.reaches_device(),
                best_peer: best(cell),
                rounds: &cell.rounds,
                failures: &cell.failures,
            })
            .collect(),
    }
}
