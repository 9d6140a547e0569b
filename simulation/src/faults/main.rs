//! A fault at every call of a workload, one at a time, and a look at what was promised: run by `cargo xtask faults`.
//!
//! The calls are found by running: once without a fault, and then once for each call and each fault that it can have.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program that reports")]
#![expect(clippy::print_stderr, reason = "a program that reports")]

mod disk;
mod judge;
mod point;
mod promises;
mod run;
mod table;
mod trial;
mod workload;

use std::{process::ExitCode, time::Instant};

use crate::{
    point::{Call, Fault, Phase, Point, Set},
    table::Table,
};

/// Which points are tried: all, unless something is named.
#[derive(Debug, Default)]
struct Wanted {
    set: Option<Set>,
    phase: Option<Phase>,
    call: Option<Call>,
    nth: Option<usize>,
    fault: Option<Fault>,
    /// Of so many points one.
    one_in: usize,
    /// How often each is tried.
    times: usize,
    markdown: bool,
}

fn main() -> ExitCode {
    if cfg!(shuttle) {
        eprintln!("this has threads of its own; run it by `cargo xtask faults`");
        return ExitCode::from(2);
    }
    match arguments() {
        Ok(wanted) => tabulate(&wanted),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn arguments() -> Result<Wanted, lexopt::Error> {
    use lexopt::{Arg::Long, ValueExt};
    let mut wanted = Wanted { one_in: 1, times: 1, ..Wanted::default() };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("set") => wanted.set = Some(parser.value()?.parse()?),
            Long("phase") => wanted.phase = Some(parser.value()?.parse()?),
            Long("call") => wanted.call = Some(parser.value()?.parse()?),
            Long("nth") => wanted.nth = Some(parser.value()?.parse()?),
            Long("fault") => wanted.fault = Some(parser.value()?.parse()?),
            Long("one-in") => wanted.one_in = parser.value()?.parse::<usize>()?.max(1),
            Long("times") => wanted.times = parser.value()?.parse()?,
            Long("markdown") => wanted.markdown = true,
            other => return Err(other.unexpected()),
        }
    }
    Ok(wanted)
}

/// Whether one is as wanted, if one is.
fn is<T: PartialEq>(wanted: Option<T>, one: T) -> bool {
    wanted.is_none_or(|wanted| wanted == one)
}

fn points(wanted: &Wanted) -> Result<Vec<Point>, String> {
    let mut points = Vec::new();
    for &set in Set::ALL.iter().filter(|&&set| is(wanted.set, set)) {
        let calls = run::calls(set)
            .map_err(|outcome| format!("without any fault, --set {}: {}", set.name(), outcome.violations.join("; ")))?;
        for (phase, call, nth) in calls {
            if is(wanted.phase, phase) && is(wanted.call, call) && is(wanted.nth, nth) {
                let faults = Fault::ALL.iter().filter(|&&fault| is(wanted.fault, fault) && fault.fits(call));
                points.extend(faults.map(|&fault| Point { set, phase, call, nth, fault }));
            }
        }
    }
    let chosen = points.into_iter().step_by(wanted.one_in);
    Ok(chosen.flat_map(|point| std::iter::repeat_n(point, wanted.times)).collect())
}

fn tabulate(wanted: &Wanted) -> ExitCode {
    let begun = Instant::now();
    let points = match points(wanted) {
        Ok(points) => points,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let results = run::try_all(&points, |point, outcome| {
        if let Some(first) = outcome.violations.first() {
            eprintln!("not as promised: {first}\n  replay: cargo xtask faults {point}");
        }
    });
    print!("{}", Table::of(&results).render(wanted.markdown));
    let failed = results.iter().filter(|(_, outcome)| !outcome.violations.is_empty()).count();
    let hit = results.iter().filter(|(_, outcome)| outcome.hit).count();
    println!(
        "{hit} faults at calls, {failed} not as promised; {} calls did not come up again; {:.0} s",
        results.len() - hit,
        begun.elapsed().as_secs_f64()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
