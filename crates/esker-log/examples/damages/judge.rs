//! What became of the records of a damaged log.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use esker_log::storage::MemStorage;
use esker_log::{Error, LogReader, Lsn};

use crate::{
    damage::Damage,
    logs::{End, SavedLog, storage_of},
};

/// What a damage did. Everything else is a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// Every acknowledged record is there, and nothing is said.
    Harmless,
    /// Every acknowledged record is there, and the damage is told.
    ToldWithoutLoss,
    /// Opening for writing is refused.
    Refused,
    /// It opens; whoever reads what is damaged is told, and so is who verifies.
    ToldByReading,
    /// Records at the end are gone, and look as if they had been in flight at the crash.
    TailInFlight,
}

/// Reads a damaged log, and compares.
pub(crate) fn judge(log: &SavedLog, damage: &Damage) -> Result<Outcome, String> {
    let reader = match LogReader::open(Arc::new(storage_of(&damage.files))) {
        Ok(reader) => reader,
        // Nothing is read, and nothing is passed off as anything.
        Err(Error::Corrupt(_) | Error::NotFound | Error::NotEsker { .. }) => return Ok(Outcome::Refused),
        Err(error) => return Err(format!("an error of the wrong kind: {error}")),
    };
    let mut found = BTreeMap::new();
    let mut told = false;
    let mut records = reader.iter_from(Lsn::ZERO);
    while let Some(record) = records.next_record() {
        match record {
            Ok(record) => {
                if found.insert(record.lsn(), record.payload().to_vec()).is_some() {
                    return Err(format!("lsn {} came twice", record.lsn()));
                }
            }
            Err(Error::Corrupt(_)) => told = true,
            Err(error) => return Err(format!("an error of the wrong kind: {error}")),
        }
    }
    for (lsn, payload) in &found {
        match log.records.get(lsn) {
            Some(appended) if appended == payload => (),
            // The floor is a fact of its own; what lies below it had been whole once.
            None if *lsn < log.floor => (),
            Some(_) => return Err(format!("WRONG DATA at lsn {lsn}")),
            None => return Err(format!("a record from nowhere at lsn {lsn}")),
        }
    }
    for (&lsn, payload) in &log.records {
        match reader.read(lsn) {
            Ok(record) if record.payload() == payload => (),
            Ok(_) => return Err(format!("WRONG DATA when lsn {lsn} is read")),
            Err(_) if found.contains_key(&lsn) => return Err(format!("lsn {lsn} is found by iteration only")),
            Err(_) => (),
        }
    }
    let verified = reader.verify(&mut |_, _| ()).map_err(|error| format!("verify: {error}"))?;
    // Below the floor nothing is lost by damage, though it is told.
    let is_below = |lsn: Option<Lsn>| lsn.is_some_and(|lsn| lsn < log.floor);
    let is_clean = verified.lost.is_empty() && verified.damages.iter().all(|damage| is_below(damage.lsn));
    let missing: Vec<Lsn> =
        log.records.keys().copied().filter(|&lsn| lsn < log.stable && !found.contains_key(&lsn)).collect();
    if let Some(&lsn) = missing.first()
        && is_clean
    {
        return silent(log, damage, lsn, found.keys().next_back().copied());
    }
    if !missing.is_empty() && reader.report().damage.is_none() && !told {
        return Err(format!("only verify notices that lsn {} is missing", missing[0]));
    }
    salvaged(&reader, &found)?;
    Ok(match (missing.is_empty(), is_clean) {
        (true, true) => Outcome::Harmless,
        (true, false) if reader.report().damage.is_none() => Outcome::ToldWithoutLoss,
        (false, _) if reader.report().damage.is_none() => Outcome::ToldByReading,
        _ => Outcome::Refused,
    })
}

/// Records are gone and nothing says so. That is right only if all that is left of the log knows nothing of them having
/// been stable, and the log was not closed.
fn silent(log: &SavedLog, damage: &Damage, first: Lsn, last_found: Option<Lsn>) -> Result<Outcome, String> {
    if log.end == End::Closed {
        return Err(format!("lsn {first} of a closed log is lost in silence"));
    }
    if last_found.is_some_and(|last| last > first) {
        return Err(format!("lsn {first} is lost in silence, in the middle"));
    }
    let is_touched = |file: &str, range: &Range<u64>| {
        file == damage.file
            && damage.changed.iter().any(|changed| changed.start < range.end && range.start < changed.end)
    };
    let left = log.marks.iter().filter(|(file, range, _)| !is_touched(file, range)).map(|&(.., mark)| mark).max();
    if left.is_some_and(|mark| first < mark) {
        return Err(format!("lsn {first} is lost in silence, below the mark {}", left.unwrap_or_default()));
    }
    Ok(Outcome::TailInFlight)
}

/// What can be read can be salvaged, all of it.
fn salvaged(reader: &LogReader, found: &BTreeMap<Lsn, Vec<u8>>) -> Result<(), String> {
    let out = MemStorage::default();
    let report = reader.salvage(&out, &mut |_, _| ()).map_err(|error| format!("salvage: {error}"))?;
    let again = LogReader::open(Arc::new(out)).map_err(|error| format!("what was salvaged: {error}"))?;
    let kept: Result<BTreeMap<_, _>, _> =
        again.iter_from(Lsn::ZERO).map(|record| record.map(|record| (record.lsn(), record.into_payload()))).collect();
    match kept {
        Ok(kept) if kept == *found && report.records == found.len() as u64 => Ok(()),
        Ok(kept) => Err(format!("{} of {} records were salvaged", kept.len(), found.len())),
        Err(error) => Err(format!("what was salvaged: {error}")),
    }
}
