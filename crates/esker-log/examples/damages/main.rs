//! Damage to logs at rest: `damages --seed S --runs N` makes the logs of the seeds S to S + N - 1, damages a copy of each in
//! some hundred ways, one at a time, and tells what became of the records that had been acknowledged.
//!
//! Exits with 1 if a record was altered or came from nowhere, if something was lost and nothing said so although it could
//! not have been in flight at a crash, or if anything panicked or hung; `--seed THAT --runs 1` repeats it.
#![expect(clippy::print_stdout, reason = "a program that reports on stdout")]

mod damage;
mod judge;
mod logs;
mod table;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    damage::{Damage, Kind},
    judge::judge,
    logs::{Rng, SavedLog},
    table::Table,
};

/// How many damages of each kind are done to each log.
const DAMAGES_OF_A_KIND: u64 = 16;
/// A damage that keeps somebody busy for longer is called a hang.
const HANG: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let Some((seed, runs)) = arguments() else {
        eprintln!("usage: damages [--seed S] [--runs N]");
        return ExitCode::from(2);
    };
    let started = Instant::now();
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let failed = Mutex::new(None);
    let table = Mutex::new(Table::default());
    let workers = thread::available_parallelism().map_or(1, |cores| cores.get());
    thread::scope(|scope| {
        let work = || {
            let mut own = Table::default();
            loop {
                let run = next.fetch_add(1, Ordering::Relaxed);
                if run >= runs {
                    break;
                }
                let seed = seed.wrapping_add(run);
                let outcome = catch_unwind(AssertUnwindSafe(|| one_log(seed, &mut own, &done)))
                    .unwrap_or_else(|_| Err("panic: see above".to_owned()));
                if let Err(what) = outcome {
                    next.fetch_max(runs, Ordering::Relaxed);
                    failed.lock().unwrap().get_or_insert((seed, what));
                    break;
                }
            }
            table.lock().unwrap().add(&own);
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        // Whoever hangs cannot be joined.
        let mut last = (done.load(Ordering::Relaxed), Instant::now());
        while workers.iter().any(|worker| !worker.is_finished()) {
            thread::sleep(Duration::from_millis(20));
            let now = done.load(Ordering::Relaxed);
            if now != last.0 {
                last = (now, Instant::now());
            } else if last.1.elapsed() > HANG {
                println!("failing seed: up to {} (hang)", seed.wrapping_add(next.load(Ordering::Relaxed)));
                std::process::exit(1);
            }
        }
    });
    if let Some((seed, what)) = failed.into_inner().unwrap() {
        println!("failing seed: {seed} ({what})");
        println!("repeat with: --seed {seed} --runs 1");
        return ExitCode::from(1);
    }
    let table = table.into_inner().unwrap();
    println!("{table}");
    println!(
        "{runs} logs from seed {seed}, {} damages: no wrong data, nothing lost in silence but what may have been in flight, \
         no panic, no hang, {:.1} s",
        table.total(),
        started.elapsed().as_secs_f64()
    );
    ExitCode::SUCCESS
}

/// Makes one log, and damages copies of it.
fn one_log(seed: u64, table: &mut Table, done: &AtomicU64) -> Result<(), String> {
    let log = SavedLog::make(seed);
    // Apart from what the log was made with.
    let mut rng = Rng::new(!seed);
    for kind in Kind::ALL {
        for _ in 0..DAMAGES_OF_A_KIND {
            let Some(damage) = Damage::draw(kind, &log, &mut rng) else { continue };
            let outcome = judge(&log, &damage).map_err(|what| format!("{what}, after {damage}"))?;
            table.count(log.end, kind, damage.place, outcome);
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

fn arguments() -> Option<(u64, u64)> {
    let (mut seed, mut runs) = (1, 200);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next()?.parse().ok()?;
        match arg.as_str() {
            "--seed" => seed = value,
            "--runs" => runs = value,
            _ => return None,
        }
    }
    Some((seed, runs))
}
