//! The whole comparison: groups one after the other, rounds within a group, contenders taking turns within a round.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs,
    io::IsTerminal,
    path::Path,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    Fallible,
    args::Args,
    chart,
    child::Place,
    contender::Contender,
    found::{Cell, Found},
    guest::Guest,
    machine::Machine,
    measure::Step,
    outcome::Outcome,
    plan::{self, Group, Row},
    report::{self, Report},
    table, targets,
};

/// Memory that is touched before anything is measured: a virtual machine that has not used its memory yet is slow to.
const TOUCHED_BYTES: usize = 512 << 20;

pub(crate) fn run(args: &Args) -> Fallible {
    let guest = Guest::read(args.with.as_deref())?;
    fs::create_dir_all(&args.out)?;
    let scratch = match &args.dir {
        Some(dir) => tempfile::Builder::new().prefix("esker-compare-").tempdir_in(dir)?,
        None => tempfile::Builder::new().prefix("data-").tempdir_in(&args.out)?,
    };
    let scratch_path = scratch.path().canonicalize()?;
    let machine = Machine::here(&scratch_path);
    println!("{}", machine.line());
    if machine.is_in_memory() {
        eprintln!("esker-compare: {} keeps nothing: durable figures mean nothing there", machine.file_system);
    }
    drop(std::hint::black_box(vec![1_u8; TOUCHED_BYTES]));
    let mut cells = Vec::new();
    for &group in &args.groups {
        let begun = Instant::now();
        let found = measure(args, group, &scratch_path)?;
        println!("\n{} measured in {:.0} s", group.name(), begun.elapsed().as_secs_f64());
        table::print(&found);
        cells.extend(found);
    }
    let targets = targets::evaluate(Found(&cells));
    println!("Targets\n");
    for line in table::align(&report::target_rows(&targets), report::TARGET_WORDS) {
        println!("  {line}");
    }
    let mut charts = chart::all(Found(&cells), &machine, &args.out)?;
    charts.extend(guest.draw(&machine, &args.out)?);
    report::write(&Report {
        args,
        machine: &machine,
        cells: &cells,
        targets: &targets,
        charts: &charts,
        guest: &guest,
    })?;
    println!("\n{}", args.out.join(report::MARKDOWN).display());
    Ok(())
}

fn measure(args: &Args, group: Group, scratch: &Path) -> Fallible<Vec<Cell>> {
    let rows = plan::rows(group, args.quick);
    let mut cells: Vec<Cell> = rows
        .iter()
        .flat_map(|row| row.contenders.iter().map(|&contender| (row.measure, contender)))
        .map(|(measure, contender)| Cell::new(measure, contender))
        .collect();
    let bar = progress(cells.len() * args.rounds, group);
    let mut prepared = Prepared::new();
    for round in 0..args.rounds {
        let mut first = 0;
        for row in &rows {
            let of_row = &mut cells[first..first + row.contenders.len()];
            first += row.contenders.len();
            if round == 0 || !row.once {
                take_turns(row, of_row, round, scratch, &mut prepared, &bar);
            }
        }
    }
    bar.finish_and_clear();
    Ok(cells)
}

/// Logs that were made once, by name and owner.
type Prepared = BTreeMap<(&'static str, Contender), Place>;

/// One round of one row. Each round begins with another contender, so that nobody always comes after the same one.
fn take_turns(row: &Row, cells: &mut [Cell], round: usize, scratch: &Path, prepared: &mut Prepared, bar: &ProgressBar) {
    let count = cells.len();
    for turn in 0..count {
        let cell = &mut cells[(turn + round) % count];
        bar.set_message(format!("{}: {}", cell.measure.title(), cell.contender.name()));
        match take_turn(row, cell.contender, scratch, prepared) {
            Ok(outcome) => cell.rounds.push(Some(outcome)),
            Err(error) => {
                cell.rounds.push(None);
                cell.failures.push(error.to_string());
            }
        }
        bar.inc(1);
    }
}

fn take_turn(row: &Row, contender: Contender, scratch: &Path, prepared: &mut Prepared) -> Fallible<Outcome> {
    let mut task = row.task(contender);
    let Some(name) = row.prepared else {
        return Place::new(scratch)?.run(&mut task, Step::Run);
    };
    let place = match prepared.entry((name, contender)) {
        Entry::Occupied(place) => place.into_mut(),
        Entry::Vacant(vacant) => {
            let place = Place::new(scratch)?;
            place.run(&mut task, Step::Prepare)?;
            vacant.insert(place)
        }
    };
    if row.crashes() {
        place.crash(&mut task)?;
    }
    place.run(&mut task, Step::Run)
}

fn progress(steps: usize, group: Group) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(steps as u64).with_prefix(group.name());
    let style = ProgressStyle::with_template("{prefix:>10} [{bar:30}] {pos}/{len} {elapsed} {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
