//! `esker cat`: records in LSN order; and what every command does that reads records.
//!
//! Damage does not end the reading: it is told, what is readable beyond it is delivered, and the exit code says that
//! there was some.

use std::path::Path;

use esker::{Config, Error, LogReader, Lsn, Record};

use crate::{
    args::Cat,
    ending::{Ending, Failure, Outcome},
    interrupt,
    output::{self, Output},
    talk::Talk,
};

/// Runs the command.
pub(crate) fn run(args: &Cat, json: bool, talk: Talk) -> Outcome {
    let format = output::format(json, args.output)?;
    interrupt::end_at_once()?;
    let reader = open(&args.dir)?;
    let floor = reader.floor();
    let from = args.from.unwrap_or(floor);
    if from < floor && from > Lsn::ZERO {
        talk.note(&format_args!("{}: everything below lsn {floor} was truncated", args.dir.display()));
    }
    let mut out = Output::lock();
    let mut left = args.n.unwrap_or(u64::MAX);
    let ending = if left == 0 {
        Ending::Done
    } else {
        each(reader.iter_from(from), &args.dir, talk, &mut out, |out, record| {
            if args.to.is_some_and(|to| record.lsn() >= to) {
                return Ok(Next::Stop);
            }
            out.record(format, record)?;
            left -= 1;
            Ok(if left == 0 { Next::Stop } else { Next::GoOn })
        })?
    };
    out.finish()?;
    Ok(ending)
}

/// Opens the log in `dir` for reading.
pub(crate) fn open(dir: &Path) -> Result<LogReader, Failure> {
    Config::new(dir).open_read_only().map_err(|error| Failure::log(dir, &error))
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    GoOn,
    Stop,
}

/// Visits what an iterator over a log yields, and tells of damage between. What came before some bad news is handed over
/// before it is told.
pub(crate) fn each<T>(
    items: impl Iterator<Item = Result<T, Error>>,
    dir: &Path,
    talk: Talk,
    out: &mut Output,
    mut visit: impl FnMut(&mut Output, &T) -> Result<Next, Failure>,
) -> Outcome {
    let mut ending = Ending::Done;
    for item in items {
        match item {
            Ok(item) => {
                if visit(out, &item)? == Next::Stop {
                    break;
                }
            }
            Err(error) => {
                out.flush()?;
                let failure = Failure::log(dir, &error);
                match (error, failure) {
                    (Error::Corrupt(_), Failure::Told { ending: finding, message }) => {
                        talk.error(&message);
                        ending = finding;
                    }
                    (_, failure) => return Err(failure),
                }
            }
        }
    }
    Ok(ending)
}

/// Writes all records from `from` on.
pub(crate) fn all_from(
    reader: &LogReader,
    from: Lsn,
    dir: &Path,
    talk: Talk,
    out: &mut Output,
    format: crate::args::Format,
) -> Outcome {
    each(reader.iter_from(from), dir, talk, out, |out, record: &Record| {
        out.record(format, record)?;
        Ok(Next::GoOn)
    })
}
