//! Opens what is left of a disk and compares it with what was promised.

use std::sync::Arc;

use esker_log::{
    Error, ErrorKind, Log, LogReader, Lsn, Record,
    storage::{Access, Storage},
};
use esker_sim::{Faults, SECTOR_BYTES, SimStorage, is_power_off};

use crate::{
    ledger::{Ledger, Promises, Records, Violation, violation},
    plan::Plan,
    rng::Rng,
};

/// What a log was found to hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) floor: Lsn,
    pub(crate) records: Records,
}

/// Reads what is left after a crash, as a program would that does not open it for writing, and judges it. `None` if there
/// is no log, which is right only as long as opening never returned.
pub(crate) fn crashed(disk: &SimStorage, ledger: &Ledger, promises: &Promises) -> Result<Option<Found>, Violation> {
    let reader = match LogReader::open(Arc::new(disk.clone())) {
        Ok(reader) => reader,
        Err(error) if error.kind() == ErrorKind::NotFound && !promises.created => return Ok(None),
        Err(error) => return violation("refusal", error.to_string()),
    };
    if let Some(damage) = &reader.report().damage {
        return violation("refusal", damage.to_string());
    }
    let records = collect(reader.iter_from(Lsn::ZERO))
        .or_else(|(_, error)| violation("lost", format!("a record cannot be read: {error}")))?;
    let found = Found { floor: reader.floor(), records };
    ledger.judge(found.floor, &found.records, promises)?;
    Ok(Some(found))
}

/// Opens it for writing, in a copy, several times: the power fails during recovery, and then it does not.
pub(crate) fn opened(disk: &SimStorage, plan: &Plan, found: &Found, rng: &mut Rng) -> Result<(), Violation> {
    let mut copy = disk.after_crash(0);
    for _ in 0..rng.below(3) {
        let crash_after_ops = Some(copy.counts().changing() + rng.below(12));
        copy.set_faults(Faults { crash_after_ops, ..Faults::default() });
        match Log::open(Arc::new(copy.clone()), plan.options()) {
            Ok(_) => (),
            Err(error) if is_cut(&error) || !copy.is_on() => (),
            Err(error) => return violation("refusal", format!("while the power failed again: {error}")),
        }
        copy.crash();
        copy = copy.after_crash(rng.next());
    }
    for _ in 0..2 {
        let log = Log::open(Arc::new(copy.clone()), plan.options())
            .or_else(|error| violation("refusal", format!("opening: {error}")))?;
        let records = log
            .iter_from(Lsn::ZERO)
            .map_err(|error| (Records::new(), error))
            .and_then(collect)
            .or_else(|(_, error)| violation("lost", format!("a record cannot be read: {error}")))?;
        if (log.floor(), &records) != (found.floor, &found.records) {
            return violation("idempotence", "opening found other records than reading did");
        }
    }
    Ok(())
}

fn is_cut(error: &Error) -> bool {
    match error {
        Error::Io { source, .. } | Error::NoSpace { source, .. } => is_power_off(source),
        Error::Poisoned(poison) => is_power_off(&poison.source),
        _ => false,
    }
}

/// All records up to the first error.
fn collect(records: impl Iterator<Item = Result<Record, Error>>) -> Result<Records, (Records, Error)> {
    let mut found = Records::new();
    for record in records {
        match record {
            Ok(record) => drop(found.insert(record.lsn(), record.into_payload())),
            Err(error) => return Err((found, error)),
        }
    }
    Ok(found)
}

/// What damage to a log at rest came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything is there.
    Harmless,
    /// It was told.
    Detected,
}

/// Damages a log that was closed in good order, in one of several ways, and reads it: either all of it is there, or the
/// damage is told, and what is given is right.
pub(crate) fn damaged(
    disk: &SimStorage,
    ledger: &Ledger,
    whole: &Found,
    rng: &mut Rng,
) -> Result<Option<Outcome>, Violation> {
    let copy = disk.after_crash(0);
    let Some(what) = damage(&copy, rng) else { return Ok(None) };
    let lost = |detail: String| Violation { kind: "silent", detail: format!("{what}: {detail}") };
    let reader = match LogReader::open(Arc::new(copy)) {
        Ok(reader) => reader,
        Err(_) => return Ok(Some(Outcome::Detected)),
    };
    match collect(reader.iter_from(Lsn::ZERO)) {
        Ok(records) => {
            ledger
                .judge_what_is_there(&records)
                .map_err(|violation| Violation { detail: format!("{what}: {}", violation.detail), ..violation })?;
            if reader.report().damage.is_some() {
                return Ok(Some(Outcome::Detected));
            }
            if reader.floor() != whole.floor {
                return Err(lost(format!("the floor is {} and was {}", reader.floor(), whole.floor)));
            }
            match whole.records.keys().find(|lsn| !records.contains_key(lsn)) {
                Some(lsn) => Err(lost(format!("lsn {lsn} is missing and nothing says so"))),
                None => Ok(Some(Outcome::Harmless)),
            }
        }
        Err((records, _)) => {
            ledger
                .judge_what_is_there(&records)
                .map_err(|violation| Violation { detail: format!("{what}: {}", violation.detail), ..violation })?;
            Ok(Some(Outcome::Detected))
        }
    }
}

/// Changes some bytes of some file. Returns what was done.
fn damage(disk: &SimStorage, rng: &mut Rng) -> Option<String> {
    let names: Vec<_> = disk.list().ok()?.into_iter().filter(|name| name != "lock").collect();
    let name = &names[rng.below(names.len() as u64) as usize];
    let file = disk.open(name, Access::ReadWrite).ok()?;
    let len = file.len().ok().filter(|&len| len > 0)?;
    let sectors = len.div_ceil(SECTOR_BYTES as u64);
    let sector = |rng: &mut Rng| rng.below(sectors) * SECTOR_BYTES as u64;
    let at = sector(rng);
    let bytes_at = |at: u64| {
        let mut bytes = vec![0; (len - at).min(SECTOR_BYTES as u64) as usize];
        file.read_exact_at(&mut bytes, at).map(|()| bytes).ok()
    };
    let mut bytes = bytes_at(at)?;
    let what = match rng.below(5) {
        0 => {
            let place = rng.below(bytes.len() as u64) as usize;
            bytes[place] ^= 1 << rng.below(8);
            format!("a bit flipped in {name} at {}", at + place as u64)
        }
        1 => {
            bytes.fill(0);
            format!("zeros in {name} at {at}")
        }
        2 => {
            let len = bytes.len() as u64;
            bytes = rng.payload(len);
            format!("garbage in {name} at {at}")
        }
        3 => {
            let from = sector(rng);
            let mut other = bytes_at(from)?;
            other.resize(bytes.len(), 0);
            bytes = other;
            format!("{name} at {at} holds what belongs at {from}")
        }
        _ => {
            let from = sector(rng);
            let other = bytes_at(from)?;
            if other.len() != bytes.len() {
                return None;
            }
            file.write_all_at(&bytes, from).ok()?;
            bytes = other;
            format!("{name} at {at} and at {from} have changed places")
        }
    };
    file.write_all_at(&bytes, at).ok()?;
    file.sync_all().ok()?;
    Some(what)
}
