//! `esker append`: a pipeline from an input to acknowledgements.
//!
//! One thread reads and cuts the input into batches of records, `--threads` of them append, and one waits for durability
//! and prints acknowledgements. Owns the order of these steps and the account given at the end. Refuses to know how
//! records are delimited ([`cut`]) and how batches travel ([`belt`]).
//!
//! # Invariants
//!
//! - A1 (promised means durable): an acknowledgement is printed only after `make_stable` returned `Ok` for its record or
//!   one after it.
//! - A2 (input order): with one writer, LSNs and acknowledgements follow the input.
//! - A3 (constant memory): the belt has a fixed number of batches, and so has the channel of acknowledgements.
//! - A4 (prompt): a batch is what one read returned, so records that come one by one are acknowledged one by one.
//! - A5 (nothing is left behind): whatever ends the input early, what had been appended is made durable before the exit.

mod belt;
mod cut;
mod pipeline;
mod read;

use std::{
    io::{self, IsTerminal},
    sync::Arc,
    time::{Duration, Instant},
};

use esker::{Config, Error, Lsn};
use indicatif::ProgressBar;
use serde_json::json;

use self::{belt::Belt, cut::Framing, pipeline::Totals};
use crate::{
    args::Append,
    ending::{Ending, Failure, Outcome},
    interrupt,
    output::Output,
    size,
    talk::Talk,
};

/// How often what was appended is made durable while nobody waits for acknowledgements.
const FLUSH_INTERVAL: Duration = Duration::from_millis(50);

/// Runs the command.
pub(crate) fn run(args: &Append, json: bool, talk: Talk) -> Outcome {
    let framing = match (args.null, args.len32) {
        (true, _) => Framing::Null,
        (_, true) => Framing::Length,
        _ => Framing::Line,
    };
    // A missing file is found before a log is created for it.
    let sources = read::Sources::check(&args.files)?;
    let log = config(args).open().map_err(|error| Failure::log(&args.dir, &error))?;
    if log.report().torn.is_some() {
        talk.note(&format_args!("{}: recovered: {}", args.dir.display(), log.report()));
    }

    let threads = usize::from(args.threads);
    let belt = Arc::new(Belt::new(2 * threads + 2));
    interrupt::stop_first({
        let belt = Arc::clone(&belt);
        move || belt.stop(Ending::Interrupted)
    })?;
    // On one terminal a bar and the acknowledgements would write over each other.
    let bar =
        if args.acks && io::stdout().is_terminal() { ProgressBar::hidden() } else { talk.progress(sources.bytes()) };
    let began = Instant::now();
    // The reader is not waited for: a read of standard input cannot be interrupted, and may never return.
    read::start(sources, framing, args.max_record, Arc::clone(&belt))?;
    let ran = pipeline::run(&log, &args.dir, &belt, threads, args.acks, &bar);
    let flushed = log.flush();
    let seconds = began.elapsed().as_secs_f64();
    bar.finish_and_clear();

    let interrupted = belt.stopped() == Some(Ending::Interrupted);
    let summary =
        Summary { totals: ran.totals, seconds, syncs: log.stats().engine.syncs, stable: log.stable_lsn(), interrupted };
    let closed = log.close();
    let from_log = |error: Error| Failure::log(&args.dir, &error);
    let failure = cause([ran.failure, belt.take_failure(), flushed.err().map(from_log), closed.err().map(from_log)]);
    if let Some(failure @ Failure::Told { .. }) = failure {
        if json {
            summary.tell(json, args.acks, talk)?;
        }
        return Err(failure.and(&format!(
            "{} records were appended, and everything below lsn {} is stable",
            summary.totals.records, summary.stable
        )));
    }
    summary.tell(json, args.acks, talk)?;
    if interrupted {
        let message = format!("interrupted; everything below lsn {} is stable", summary.stable);
        return Err(Failure::Told { ending: Ending::Interrupted, message });
    }
    failure.map_or(Ok(Ending::Done), Err)
}

/// The failure to be told, of those listed in the order in which they came about: the first is the cause of the others;
/// but that whoever read standard output has left explains no failure of the log.
fn cause(failures: [Option<Failure>; 4]) -> Option<Failure> {
    let mut failures: Vec<Failure> = failures.into_iter().flatten().collect();
    let first_told = failures.iter().position(|failure| matches!(failure, Failure::Told { .. }));
    (!failures.is_empty()).then(|| failures.swap_remove(first_told.unwrap_or(0)))
}

fn config(args: &Append) -> Config {
    let mut config = Config::new(&args.dir);
    if let Some(bytes) = args.segment_bytes {
        config = config.segment_bytes(bytes);
    }
    if let Some(bytes) = args.buffer_bytes {
        config = config.buffer_bytes(bytes);
    }
    // With acknowledgements the pipeline asks for durability itself.
    config.flush_interval((!args.acks).then_some(FLUSH_INTERVAL))
}

/// What happened, told at the end.
struct Summary {
    totals: Totals,
    seconds: f64,
    syncs: u64,
    stable: Lsn,
    interrupted: bool,
}

impl Summary {
    /// Tells it: to people on standard error; with `--json` as a document on standard output, unless acknowledgements
    /// have that for themselves.
    fn tell(&self, json: bool, acks: bool, talk: Talk) -> Result<(), Failure> {
        let Totals { records, bytes } = self.totals;
        // An append of nothing takes no time at all, and its rates are zero rather than undefined.
        let per_second = |amount: u64| if self.seconds > 0.0 { amount as f64 / self.seconds } else { 0.0 };
        let (records_per_second, megabytes_per_second) = (per_second(records), per_second(bytes) / 1e6);
        if !json {
            talk.note(&format_args!(
                "appended {records} records, {bytes} bytes ({}) in {:.3} s: {records_per_second:.0} records/s, \
                 {megabytes_per_second:.1} MB/s, {} syncs, stable below lsn {}",
                size::human(bytes),
                self.seconds,
                self.syncs,
                self.stable,
            ));
            return Ok(());
        }
        let document = json!({
            "schema": 1,
            "command": "append",
            "records": records,
            "payload_bytes": bytes,
            "seconds": self.seconds,
            "records_per_second": records_per_second,
            "megabytes_per_second": megabytes_per_second,
            "syncs": self.syncs,
            "stable_lsn": self.stable.get(),
            "interrupted": self.interrupted,
        });
        if acks {
            talk.note(&document);
            return Ok(());
        }
        let mut out = Output::lock();
        out.line(&document)?;
        out.finish()
    }
}
