//! `esker torture`: processes that append are killed, and what they left is compared with what they had acknowledged.
//!
//! Owns the summary. What is done in a round is [`rounds`]; what must hold afterwards, with its invariants T1 to T4, is
//! [`model`].

mod args;
mod life;
mod look;
mod model;
mod record;
mod rng;
mod rounds;
mod sabotage;
mod said;
mod victim;

use std::{
    fs,
    hash::{BuildHasher, RandomState},
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use self::rounds::{Rounds, Tally};
pub(crate) use self::{
    args::{Life, Torture},
    life::run as live,
};
use crate::{
    ending::{Ending, Failure, Outcome},
    interrupt,
    output::Output,
    size,
    talk::Talk,
};

/// Why a round ended early.
#[derive(Debug)]
enum Trouble {
    /// A promise was broken, in words.
    Violation(String),
    /// The test itself could not be made.
    Failure(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Runs the command.
pub(crate) fn run(args: &Torture, json: bool, talk: Talk) -> Outcome {
    check_empty(args)?;
    let seed = args.seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    let interrupted = Arc::new(AtomicBool::new(false));
    interrupt::stop_first({
        let interrupted = Arc::clone(&interrupted);
        // Relaxed: nothing else is published by it.
        move || interrupted.store(true, Ordering::Relaxed)
    })?;
    let bar = progress(talk, args.rounds.into());
    let began = Instant::now();
    let mut rounds = Rounds::new(args, seed);
    let mut violation = None;
    while rounds.tally.rounds < args.rounds.into() && !interrupted.load(Ordering::Relaxed) {
        match rounds.next() {
            Ok(()) => (),
            Err(Trouble::Violation(text)) => {
                violation = Some(text);
                break;
            }
            Err(Trouble::Failure(failure)) => return Err(failure),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();

    let summary = Summary { tally: rounds.tally, seed, took: began.elapsed(), violation };
    if json {
        let mut out = Output::lock();
        out.line(&summary.document())?;
        out.finish()?;
    } else {
        talk.note(&summary.text());
    }
    if let Some(violation) = summary.violation {
        let dir = rounds.dir().display();
        let message = format!(
            "{dir}: broken in round {} of seed {seed}: {violation}; the directory is kept: look at it with \
             `esker verify {dir}` and `esker dump {dir}`",
            rounds.tally.rounds
        );
        return Err(Failure::Told { ending: Ending::Finding, message });
    }
    Ok(if interrupted.load(Ordering::Relaxed) { Ending::Interrupted } else { Ending::Done })
}

/// Refuses a directory with anything in it: logs are made and removed there.
fn check_empty(args: &Torture) -> Result<(), Failure> {
    match fs::read_dir(&args.dir) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Failure::usage(format!("{}: torture wants an empty directory", args.dir.display()))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::io(args.dir.display(), &error)),
    }
}

fn progress(talk: Talk, rounds: u64) -> ProgressBar {
    let bar = talk.progress(Some(rounds));
    // As in `Talk::progress`: a fault in the constant costs no more than the looks.
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} rounds {per_sec} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    bar
}

/// What is told at the end.
struct Summary {
    tally: Tally,
    seed: u64,
    took: Duration,
    violation: Option<String>,
}

impl Summary {
    fn text(&self) -> String {
        let Tally { rounds, logs, kills_opening, kills_working, kills_closing, closes, .. } = self.tally;
        let Tally { stops, races, openings, truncations, acknowledged, bytes, compared, .. } = self.tally;
        format!(
            "{rounds} rounds with {logs} logs from seed {}: killed {kills_working} times at work, {kills_opening} while opening \
             and {kills_closing} while closing; {closes} closes, {stops} stops, {races} races, {openings} openings, {truncations} \
             truncations; {acknowledged} records ({}) acknowledged, {compared} compared; {}, {:.1} s",
            self.seed,
            size::human(bytes),
            if self.violation.is_some() { "1 violation" } else { "no violation" },
            self.took.as_secs_f64()
        )
    }

    fn document(&self) -> Value {
        let tally = self.tally;
        json!({
            "schema": 1,
            "command": "torture",
            "seed": self.seed,
            "rounds": tally.rounds,
            "logs": tally.logs,
            "kills_working": tally.kills_working,
            "kills_opening": tally.kills_opening,
            "kills_closing": tally.kills_closing,
            "closes": tally.closes,
            "stops": tally.stops,
            "races": tally.races,
            "openings": tally.openings,
            "truncations": tally.truncations,
            "records_acknowledged": tally.acknowledged,
            "bytes_acknowledged": tally.bytes,
            "records_compared": tally.compared,
            "seconds": self.took.as_secs_f64(),
            "violation": self.violation,
        })
    }
}
