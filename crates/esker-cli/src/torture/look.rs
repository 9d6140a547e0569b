//! Looking at what is left of a log.
//!
//! Owns reading everything in every way there is, and comparing the ways with each other. What the records should be is the
//! model's business.

use std::path::Path;

use esker::{Config, Error, Lsn, Record};

use super::{Trouble, life, model::Found, record::Identity, rng::Rng};

/// What a reader finds; `None` if there is no log.
pub(super) fn read(dir: &Path, seed: u64) -> Result<Option<Found>, Trouble> {
    let reader = match Config::new(dir).open_read_only() {
        Ok(reader) => reader,
        Err(Error::NotFound) => return Ok(None),
        Err(error) => return violation(format!("the log does not open for reading: {error}")),
    };
    if let Some(damage) = &reader.report().damage {
        return violation(format!("a reader finds damage: {damage}"));
    }
    let found = Found { floor: reader.floor(), records: collect(reader.iter_from(Lsn::ZERO), seed)? };
    let verified = reader.verify(&mut |_, _| {});
    let verified = verified.or_else(|error| violation(format!("the log cannot be verified: {error}")))?;
    if let Some(damage) = verified.damages.first() {
        return violation(format!("verification finds {} damages, the first: {damage}", verified.damages.len()));
    }
    if verified.records != found.records.len() as u64 {
        let (counted, listed) = (verified.records, found.records.len());
        return violation(format!("verification counts {counted} records, and {listed} are read"));
    }
    Ok(Some(found))
}

/// Opens the log for writing, expects what a reader has found, and closes it.
pub(super) fn write(dir: &Path, seed: u64, rng: &mut Rng, expected: &Found) -> Result<(), Trouble> {
    let log = match life::config(dir, rng).create(false).open() {
        Ok(log) => log,
        Err(error) => return violation(format!("the log does not open for writing: {error}")),
    };
    let records = log.iter_from(Lsn::ZERO).or_else(|error| violation(format!("the log cannot be read: {error}")))?;
    let found = Found { floor: log.floor(), records: collect(records, seed)? };
    if found != *expected {
        return violation(format!(
            "opening for writing finds {} records from lsn {} on, and a reader found {} from {} on",
            found.records.len(),
            found.floor,
            expected.records.len(),
            expected.floor
        ));
    }
    // Records must be found by their LSNs as well.
    for _ in 0..100.min(found.records.len()) {
        let (lsn, identity) = found.records[rng.below(found.records.len() as u64) as usize];
        let record = log.read(lsn).or_else(|error| violation(format!("lsn {lsn} cannot be read: {error}")))?;
        if identify(&record, seed)? != identity {
            return violation(format!("lsn {lsn} reads as another record than {identity}, which iteration found"));
        }
    }
    log.close().or_else(|error| violation(format!("the log cannot be closed: {error}")))?;
    Ok(())
}

/// Expects that the log is open elsewhere.
pub(super) fn expect_locked(dir: &Path) -> Result<(), Trouble> {
    match Config::new(dir).create(false).open() {
        Err(Error::Locked) => Ok(()),
        Ok(_) => violation("the log opens for writing while another process has it open".to_owned()),
        Err(error) => violation(format!("a log that another process has open is not locked: {error}")),
    }
}

fn collect(records: impl Iterator<Item = Result<Record, Error>>, seed: u64) -> Result<Vec<(Lsn, Identity)>, Trouble> {
    let mut found = Vec::new();
    for record in records {
        let record = record.or_else(|error| violation(format!("a record cannot be read: {error}")))?;
        found.push((record.lsn(), identify(&record, seed)?));
    }
    Ok(found)
}

fn identify(record: &Record, seed: u64) -> Result<Identity, Trouble> {
    let identity = Identity::of(seed, record.payload());
    identity
        .or_else(|fault| violation(format!("at lsn {} there is no record that was appended: {fault}", record.lsn())))
}

fn violation<T>(text: String) -> Result<T, Trouble> {
    Err(Trouble::Violation(text))
}
