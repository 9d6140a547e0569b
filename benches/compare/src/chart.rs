//! The charts: which there are, and what goes into them.

mod axis;
mod bars;
mod canvas;
mod lines;

use std::path::Path;

use self::{
    axis::Scale,
    bars::{Bar, Bars},
    canvas::Look,
    lines::{Line, Lines},
};
use crate::{
    Fallible,
    contender::Contender,
    found::{Cell, Found},
    machine::Machine,
    measure::{Measure, Place, bytes},
    outcome::Metric,
    stats::Spread,
};

/// A chart that was drawn.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// The name of its file.
    pub(crate) file: String,
}

/// Bars: the name of each, whether it is ours, and how far it reaches.
type Plain = Vec<(String, bool, Spread)>;

/// Draws bars of one kind and of another.
pub(crate) fn plain(title: &str, panels: Vec<(String, Plain)>, machine: &Machine, path: &Path) -> Fallible {
    let look = |is_ours| Look::of(if is_ours { Contender::Esker } else { Contender::LimitMemory });
    let bars = |bars: Plain| {
        bars.into_iter().map(|(name, is_ours, spread)| Bar { name, look: look(is_ours), spread }).collect()
    };
    let panels = panels.into_iter().map(|(title, of_panel)| bars::Panel { title, bars: bars(of_panel) });
    bars::draw(&chart(title, panels.collect(), machine), path)
}

/// Draws every chart for which there are figures.
pub(crate) fn all(found: Found<'_>, machine: &Machine, out: &Path) -> Fallible<Vec<Chart>> {
    let mut charts = Vec::new();
    let throughput = ("appends per second, log scale", Metric::PerSecond);
    let latencies = [("p50, µs, log scale", Metric::P50Micros), ("p99, µs, log scale", Metric::P99Micros)];
    let cpu = ("µs of processor time, log scale", Metric::CpuSecondsPerMillion);
    for (file, title, figures, who) in [
        ("durable-throughput.svg", "Durable appends of 256 bytes: throughput", &[throughput][..], Who::All),
        ("durable-latency.svg", "Durable appends of 256 bytes: latency", &latencies, Who::Ranked),
        ("durable-cpu.svg", "Durable appends of 256 bytes: processor time for each", &[cpu], Who::Ranked),
    ] {
        let chart = over_writers(found, title, figures, who, machine);
        if chart.ticks.len() > 1 {
            lines::draw(&chart, &out.join(file))?;
            charts.push(Chart { title: chart.title, file: file.to_owned() });
        }
    }
    for (file, chart) in [
        ("durable-sizes.svg", sizes(found, machine)),
        ("buffered.svg", buffered(found, machine)),
        ("read.svg", read(found, machine)),
        ("open.svg", open(found, machine)),
        ("pages.svg", pages(found, machine)),
    ] {
        if !chart.panels.is_empty() {
            bars::draw(&chart, &out.join(file))?;
            charts.push(Chart { title: chart.title, file: file.to_owned() });
        }
    }
    if let Some(chart) = memory(found, machine) {
        let file = "memory.svg";
        lines::draw(&chart, &out.join(file))?;
        charts.push(Chart { title: chart.title, file: file.to_owned() });
    }
    Ok(charts)
}

fn footnote(machine: &Machine, more: &str) -> String {
    format!("{}. {more}", machine.line())
}

/// Its name, and what is to be known of it.
fn name(cell: &Cell) -> String {
    let name = cell.contender.name();
    if cell.is_out_of_ranking() { format!("{name}, not to the device") } else { name.to_owned() }
}

/// Whose lines a chart has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    All,
    /// Those whose promise reaches the device. The others wait for nothing, and would stretch a scale for what they do not do.
    Ranked,
}

/// Lines over the number of writers.
fn over_writers(found: Found<'_>, title: &str, figures: &[(&str, Metric)], who: Who, machine: &Machine) -> Lines {
    const RECORD_BYTES: u32 = 256;
    let writers = |measure| match measure {
        Measure::Durable { writers, record_bytes: RECORD_BYTES } => Some(f64::from(writers)),
        _ => None,
    };
    let mut ticks: Vec<f64> = found.measures().into_iter().filter_map(writers).collect();
    ticks.sort_by(f64::total_cmp);
    let mut contenders: Vec<Contender> =
        found.0.iter().filter(|cell| writers(cell.measure).is_some()).map(|cell| cell.contender).collect();
    contenders.sort();
    contenders.dedup();
    contenders.retain(|contender| who == Who::All || contender.reaches_device());
    let line = |contender: Contender, metric| {
        let cells = found.0.iter().filter(|cell| cell.contender == contender);
        let placed = cells.filter_map(|cell| Some((writers(cell.measure)?, cell)));
        let mut named = contender.name().to_owned();
        let mut points: Vec<(f64, Spread)> = placed
            .inspect(|(_, cell)| named = name(cell))
            .filter_map(|(at, cell)| Some((at, cell.spread(metric)?)))
            .collect();
        points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        Line { name: named, look: Look::of(contender), points }
    };
    let panel = |&(upwards, metric): &(&str, Metric)| lines::Panel {
        upwards: upwards.to_owned(),
        lines: contenders
            .iter()
            .map(|&contender| line(contender, metric))
            // A single point is no line; those with one take part for comparison in the tables.
            .filter(|line| line.points.len() > 1)
            .collect(),
    };
    Lines {
        title: title.to_owned(),
        rightwards: "writers, each waiting for its own record".to_owned(),
        ticks,
        scale: Scale::Logarithmic,
        panels: figures.iter().map(panel).collect(),
        footnote: footnote(machine, "Medians; thin lines from the least to the most of the rounds."),
    }
}

/// Bars of one measure, the best first.
fn panel(found: Found<'_>, title: String, measure: Measure, metric: Metric, without: &[Contender]) -> bars::Panel {
    let of_measure = found.of(measure).filter(|cell| !without.contains(&cell.contender));
    let mut bars: Vec<Bar> = of_measure
        .filter_map(|cell| Some(Bar { name: name(cell), look: Look::of(cell.contender), spread: cell.spread(metric)? }))
        .collect();
    bars.sort_by(|a, b| b.spread.median.total_cmp(&a.spread.median));
    bars::Panel { title, bars }
}

fn chart(title: &str, mut panels: Vec<bars::Panel>, machine: &Machine) -> Bars {
    panels.retain(|panel| !panel.bars.is_empty());
    let footnote = footnote(machine, "Medians; whiskers from the least to the most of the rounds.");
    Bars { title: title.to_owned(), panels, footnote }
}

fn sizes(found: Found<'_>, machine: &Machine) -> Bars {
    let of_size = |record_bytes: u32| {
        let measure = Measure::Durable { writers: 16, record_bytes };
        let title = format!("{} records, 16 writers: MB/s of payload", bytes(record_bytes));
        let mut panel = panel(found, title, measure, Metric::MegabytesPerSecond, &[]);
        let disk = found.cell(Measure::Bandwidth, Contender::LimitBandwidth);
        if let Some(spread) = disk.and_then(|cell| cell.spread(Metric::MegabytesPerSecond))
            && !panel.bars.is_empty()
        {
            let look = Look::of(Contender::LimitBandwidth);
            panel.bars.push(Bar { name: "1 MiB writes, each synced".to_owned(), look, spread });
        }
        panel
    };
    chart("Durable appends of larger records", vec![of_size(4 << 10), of_size(64 << 10)], machine)
}

fn buffered(found: Found<'_>, machine: &Machine) -> Bars {
    let of_size = |record_bytes: u32| {
        let measure = Measure::Buffered { writers: 2, record_bytes };
        let title = format!("{} records, 2 writers: appends/s", bytes(record_bytes));
        panel(found, title, measure, Metric::PerSecond, &[Contender::LimitMemory])
    };
    let mut panels = vec![of_size(64), of_size(256), of_size(4096)];
    let ours = |writers| {
        let cell = found.cell(Measure::Buffered { writers, record_bytes: 64 }, Contender::Esker)?;
        let look = Look::of(Contender::Esker);
        Some(Bar { name: format!("{writers} writers"), look, spread: cell.spread(Metric::PerSecond)? })
    };
    let bars = [2, 16, 64].into_iter().filter_map(ours).collect();
    panels.push(bars::Panel { title: "esker, 64 B records, more writers than cores: appends/s".to_owned(), bars });
    chart("Buffered appends, one sync at the end included", panels, machine)
}

fn read(found: Found<'_>, machine: &Machine) -> Bars {
    let all =
        panel(found, "Open and iterate, 256 B records: records/s".to_owned(), Measure::Iterate, Metric::PerSecond, &[]);
    let file = Measure::RandomRead { from: Place::File };
    let mut random =
        panel(found, "Random reads of 256 B records, 2 threads: reads/s".to_owned(), file, Metric::PerSecond, &[]);
    let buffer = found.cell(Measure::RandomRead { from: Place::Buffer }, Contender::Esker);
    if let Some(spread) = buffer.and_then(|cell| cell.spread(Metric::PerSecond)) {
        let bar = Bar { name: "esker, not yet written".to_owned(), look: Look::of(Contender::Esker), spread };
        random.bars.insert(0, bar);
    }
    chart("Reading, from the page cache", vec![all, random], machine)
}

fn open(found: Found<'_>, machine: &Machine) -> Bars {
    let open = |measure: &Measure| matches!(measure, Measure::Open { .. });
    let bars = found.measures().into_iter().filter(open).filter_map(|measure| {
        let cell = found.cell(measure, Contender::Esker)?;
        let look = Look::of(Contender::Esker);
        Some(Bar {
            name: measure.title().replace(" while appending", ""),
            look,
            spread: cell.spread(Metric::OpenMillis)?,
        })
    });
    let panel = bars::Panel { title: "Opening for writing: milliseconds".to_owned(), bars: bars.collect() };
    chart("Opening esker's log", vec![panel], machine)
}

fn pages(found: Found<'_>, machine: &Machine) -> Bars {
    let of_measure = |measure: Measure| {
        let panels = [
            ("operations/s", Metric::PerSecond),
            ("space on the disk for each byte of pages", Metric::SpaceRatio),
            ("most memory, MB", Metric::PeakMegabytes),
        ];
        panels.map(|(what, metric)| panel(found, what.to_owned(), measure, metric, &[]))
    };
    let is_ours = |measure: &Measure| matches!(measure, Measure::ReplaceGet { .. });
    let panels = found.measures().into_iter().find(is_ours).map(of_measure).into_iter().flatten().collect();
    chart("Pages of 1 KiB replaced and read at random, durable every 100 operations", panels, machine)
}

fn memory(found: Found<'_>, machine: &Machine) -> Option<Lines> {
    let cell = found.cell(Measure::Memory, Contender::Esker)?;
    let outcome = cell.rounds.iter().flatten().next()?;
    let ticks: Vec<f64> = (1..=outcome.series.len()).map(|at| at as f64).collect();
    let flat = |value: f64| Spread { median: value, min: value, max: value };
    let points = ticks.iter().zip(&outcome.series).map(|(&at, &value)| (at, flat(value))).collect();
    let buffers = *outcome.figures.get(&Metric::BufferMegabytes)?;
    let lines = vec![
        Line { name: "esker, all memory".to_owned(), look: Look::of(Contender::Esker), points },
        Line {
            name: "its I/O buffers".to_owned(),
            look: Look::of(Contender::Mutexed),
            points: ticks.iter().map(|&at| (at, flat(buffers))).collect(),
        },
    ];
    Some(Lines {
        title: "Memory while two threads append at full speed".to_owned(),
        rightwards: "tenths of what was appended".to_owned(),
        ticks,
        scale: Scale::Linear,
        panels: vec![lines::Panel { upwards: "MB beyond what the program had before".to_owned(), lines }],
        footnote: footnote(machine, "The most of each tenth; files' pages not counted."),
    })
}
