//! What is there in the end: read and opened on a healthy disk, by the next process and after power cuts.

use std::sync::Arc;

use esker_log::{ErrorKind, Log, LogReader, Lsn};
use esker_sim::{Faults, SimStorage};

use crate::{
    promises::{Missing, Records, collect},
    trial::Trial,
};

const CUTS: u64 = 3;

pub(crate) fn judge(trial: &Trial) {
    let disk = trial.disk();
    let mut states: Vec<_> = (0..CUTS).map(|seed| (format!("power cut {seed}"), disk.after_crash(seed))).collect();
    if disk.is_on() {
        states.push(("the next process".to_owned(), disk.kill()));
    }
    for (what, left) in states {
        left.set_faults(Faults::default());
        let judged = if trial.is_damage() { damaged(trial, &left) } else { whole(trial, &left) };
        if let Err(wrong) = judged {
            trial.violate(format!("{what}: {wrong}"));
        }
    }
}

/// On a disk that keeps what was synced.
fn whole(trial: &Trial, disk: &SimStorage) -> Result<(), String> {
    let promises = trial.state().promises.clone();
    let storage = Arc::new(disk.clone());
    let found = match LogReader::open(storage.clone()) {
        Ok(reader) => {
            if let Some(damage) = &reader.report().damage {
                return Err(format!("an honest disk is taken for a damaged one: {damage}"));
            }
            let (found, errors) = collect(reader.iter_from(Lsn::ZERO));
            if let Some(error) = errors.first() {
                return Err(format!("a record cannot be read: {error}"));
            }
            first(promises.judge(reader.floor(), &found, Missing::Unacknowledged))?;
            found
        }
        Err(error) if error.kind() == ErrorKind::NotFound && !promises.created => Records::new(),
        Err(error) => return Err(format!("reading is refused: {error}")),
    };
    let mut appended = Vec::new();
    for time in 0..2 {
        let open = |error| format!("opening: {error}");
        let log = Log::open(storage.clone(), trial.options()).map_err(open)?;
        let records = log.iter_from(Lsn::ZERO).map_err(|error| error.to_string())?;
        let (mut again, errors) = collect(records);
        if let Some(error) = errors.first() {
            return Err(format!("a record cannot be read by opening {time}: {error}"));
        }
        if appended.iter().any(|lsn| again.remove(lsn).is_none()) || again != found {
            return Err(format!("opening {time} found other records than reading did"));
        }
        appended.push(log.append_durable(b"goes on").map_err(|error| format!("the log does not go on: {error}"))?);
        log.close().map_err(|error| format!("closing: {error}"))?;
    }
    Ok(())
}

/// On a disk that does not: what is told as damage may be missing, and what is given has to be right.
fn damaged(trial: &Trial, disk: &SimStorage) -> Result<(), String> {
    let promises = trial.state().promises.clone();
    let reader = match LogReader::open(Arc::new(disk.clone())) {
        Ok(reader) => reader,
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound && !promises.created => return Ok(()),
        Err(error) => return Err(format!("reading is refused: {error} ({:?})", error.kind())),
    };
    let (found, errors) = collect(reader.iter_from(Lsn::ZERO));
    if let Some(error) = errors.iter().find(|error| error.kind() != ErrorKind::Corrupt) {
        return Err(format!("a record cannot be read: {error}"));
    }
    let told = !errors.is_empty() || reader.report().damage.is_some();
    let missing = if told { Missing::Anything } else { Missing::From(reader.report().mark) };
    first(promises.judge(reader.floor(), &found, missing))
}

fn first(wrong: Vec<String>) -> Result<(), String> {
    wrong.into_iter().next().map_or(Ok(()), Err)
}
