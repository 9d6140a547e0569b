//! One life of a log: several threads that append, wait, read, truncate and do the upkeep, until they are done or the
//! disk fails them.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use esker_log::{Error, ErrorKind, Log, Lsn};
use shuttle::thread;

use crate::{
    disk::Watched,
    ledger::{Ledger, Violation},
    plan::Plan,
    rng::Rng,
};

/// What the threads of one life share.
#[derive(Debug)]
struct Life {
    log: Log,
    ledger: Arc<Ledger>,
    plan: Plan,
    /// Whether calls may fail, because the disk was told to.
    may_fail: bool,
    violation: Mutex<Option<Violation>>,
}

/// Why a thread stops early.
struct Stopped;

/// Lives a life on `disk`. The log is closed in good order at its end if `closes`.
pub(crate) fn live(
    disk: &Watched,
    ledger: &Arc<Ledger>,
    plan: &Plan,
    rng: &mut Rng,
    may_fail: bool,
    closes: bool,
) -> Result<(), Violation> {
    let log = match Log::open(Arc::new(disk.clone()), plan.options()) {
        Ok(log) => log,
        Err(error) if may_fail && is_of_the_disk(&error) => return Ok(()),
        Err(error) => return Err(refusal("opening", &error)),
    };
    ledger.opened(log.floor(), log.stable_lsn());
    let life =
        Arc::new(Life { log, ledger: ledger.clone(), plan: plan.clone(), may_fail, violation: Mutex::new(None) });
    let mut threads = Vec::new();
    let mut start = |work: fn(&Life, &mut Rng) -> Result<(), Stopped>, count: u64| {
        for _ in 0..count {
            let (life, mut rng) = (life.clone(), rng.split());
            threads.push(thread::spawn(move || drop(work(&life, &mut rng))));
        }
    };
    start(write, plan.writers);
    start(truncate, plan.truncations.min(1));
    start(keep_up, plan.upkeeps.min(1));
    start(read_along, plan.readings.min(1));
    for thread in threads {
        thread.join().map_err(|_| Violation { kind: "panic", detail: "a thread panicked".to_owned() })?;
    }
    let Some(life) = Arc::into_inner(life) else { unreachable!("all threads have ended") };
    let mut leaks = 0;
    if plan.leaks {
        drop(leak(&life, rng, &mut leaks));
    }
    if let Some(violation) = life.violation.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(violation);
    }
    if closes {
        let end = life.log.end_lsn();
        match life.log.close() {
            Ok(end) if leaks == 0 => ledger.closed(end),
            Ok(_) => return Err(Violation { kind: "silent", detail: "closing did not tell of a leak".to_owned() }),
            // Everything but the leak is promised all the same.
            Err(Error::ReservationLeaked { count, .. }) if count == leaks => ledger.closed(end),
            Err(error) if may_fail && is_of_the_disk(&error) => (),
            Err(error) => return Err(refusal("closing", &error)),
        }
    }
    Ok(())
}

fn refusal(what: &str, error: &Error) -> Violation {
    Violation { kind: "refusal", detail: format!("{what} failed without a cause: {error}") }
}

/// Whether the disk is the cause of an error, as far as the error says.
fn is_of_the_disk(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::NoSpace | ErrorKind::Poisoned)
}

impl Life {
    fn violate(&self, kind: &'static str, detail: String) -> Stopped {
        let mut first = self.violation.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(Violation { kind, detail });
        Stopped
    }

    /// What a call returned: `None` if it may be tried again, since there was no room.
    fn outcome<T>(&self, what: &str, result: Result<T, Error>) -> Result<Option<T>, Stopped> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if self.may_fail && error.kind() == ErrorKind::NoSpace => Ok(None),
            Err(error) if self.may_fail && is_of_the_disk(&error) => Err(Stopped),
            Err(error) => Err(self.violate("refusal", format!("{what} failed without a cause: {error}"))),
        }
    }

    fn acknowledge(&self, result: Result<Lsn, Error>) -> Result<(), Stopped> {
        if let Some(stable) = self.outcome("waiting", result)? {
            self.ledger.acknowledge(stable);
        }
        Ok(())
    }

    fn payload(&self, rng: &mut Rng) -> Vec<u8> {
        let len = if self.plan.one_size { self.plan.payload_max } else { rng.below(self.plan.payload_max + 1) };
        rng.payload(len)
    }
}

fn write(life: &Life, rng: &mut Rng) -> Result<(), Stopped> {
    for _ in 0..rng.below(life.plan.calls + 1) {
        if rng.one_in(life.plan.blob_one_in) {
            let payload = rng.payload(u64::from(life.log.inline_bytes_max()) + 1 + rng.clone().below(2000));
            append(life, payload)?;
            continue;
        }
        match rng.below(13) {
            0 => life.acknowledge(life.log.flush())?,
            1 => batch(life, rng)?,
            2 | 5 => reserve(life, rng)?,
            3 => read_back(life, rng)?,
            4 => life.ledger.acknowledge(life.log.stable_lsn()),
            _ => {
                let lsn = append(life, life.payload(rng))?;
                if let Some(lsn) = lsn
                    && rng.one_in(life.plan.durable_one_in)
                {
                    life.acknowledge(life.log.make_stable(lsn))?;
                }
            }
        }
    }
    Ok(())
}

fn append(life: &Life, payload: Vec<u8>) -> Result<Option<Lsn>, Stopped> {
    let result = life.log.append(&payload);
    match &result {
        Ok(lsn) => life.ledger.place(*lsn, payload),
        Err(_) => life.ledger.leave_unplaced(payload),
    }
    life.outcome("appending", result)
}

fn batch(life: &Life, rng: &mut Rng) -> Result<(), Stopped> {
    let payloads: Vec<_> = (0..rng.below(8)).map(|_| life.payload(rng)).collect();
    let mut lsns = Vec::new();
    let result = life.log.append_batch(&payloads.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut lsns);
    for (n, payload) in payloads.into_iter().enumerate() {
        match lsns.get(n) {
            Some(&lsn) => life.ledger.place(lsn, payload),
            None => life.ledger.leave_unplaced(payload),
        }
    }
    life.outcome("appending a batch", result).map(drop)
}

/// One at a time: whoever holds a reservation and waits for room may wait for itself.
fn reserve(life: &Life, rng: &mut Rng) -> Result<(), Stopped> {
    let len = life.payload(rng).len() as u64;
    let reserved = life.log.reserve(len as u32);
    let Some(mut reservation) = life.outcome("reserving", reserved)? else { return Ok(()) };
    // Long enough, now and then, for others to fill and write the buffers that come after.
    for _ in 0..if rng.one_in(3) { 200 } else { rng.below(4) } {
        thread::yield_now();
    }
    if rng.one_in(4) {
        reservation.abort();
        return Ok(());
    }
    let payload = rng.payload(len);
    reservation.payload_mut().copy_from_slice(&payload);
    life.ledger.place(reservation.lsn(), payload);
    reservation.complete();
    Ok(())
}

/// Forgets reservations, with records before and behind them, and waits for what lies before the first. When nobody else is
/// left: whoever waited for what lies behind would do so for ever. Little enough not to need the buffers that they keep.
fn leak(life: &Life, rng: &mut Rng, leaks: &mut u32) -> Result<(), Stopped> {
    if life.outcome("flushing", life.log.flush())?.is_none() {
        return Ok(());
    }
    for _ in 0..1 + rng.below(2) {
        let before = append(life, rng.payload(rng.clone().below(8)))?;
        let reserved = life.log.reserve(rng.below(8) as u32);
        let Some(reservation) = life.outcome("reserving", reserved)? else { return Ok(()) };
        let lsn = reservation.lsn();
        mem::forget(reservation);
        *leaks += 1;
        if let (Some(before), 1) = (before, *leaks) {
            life.acknowledge(life.log.make_stable(before))?;
            let named = life.log.stats().engine.oldest_reservation.map(|oldest| oldest.lsn);
            if named != Some(lsn) {
                return Err(life.violate("silent", format!("the leak at {lsn} is not named, but {named:?}")));
            }
        }
        append(life, rng.payload(rng.clone().below(8)))?;
    }
    Ok(())
}

fn read_back(life: &Life, rng: &mut Rng) -> Result<(), Stopped> {
    let Some((lsn, payload)) = life.ledger.nth(rng.next()) else { return Ok(()) };
    match life.log.read(lsn) {
        Ok(record) if record.payload() == payload => Ok(()),
        Ok(_) => Err(life.violate("altered", format!("lsn {lsn} reads as something else than was appended"))),
        // Its reservation may be open, or given up.
        Err(error) if error.kind() == ErrorKind::Truncated => Ok(()),
        Err(_) if life.ledger.promises().floor_tried > lsn => Ok(()),
        Err(Error::NotARecord { .. }) => Ok(()),
        Err(error) => life.outcome::<()>("reading", Err(error)).map(drop),
    }
}

fn truncate(life: &Life, rng: &mut Rng) -> Result<(), Stopped> {
    for _ in 0..life.plan.truncations {
        for _ in 0..rng.below(40) {
            thread::yield_now();
        }
        let Some((lsn, _)) = life.ledger.nth(rng.next()) else { continue };
        life.ledger.truncating(lsn);
        let truncated = life.log.truncate_before(lsn);
        if let Some(truncation) = life.outcome("truncating", truncated)? {
            life.ledger.truncated(truncation.floor);
        }
    }
    Ok(())
}

fn keep_up(life: &Life, rng: &mut Rng) -> Result<(), Stopped> {
    for _ in 0..life.plan.upkeeps {
        for _ in 0..rng.below(40) {
            thread::yield_now();
        }
        life.outcome("the upkeep", life.log.run_upkeep())?;
        life.ledger.acknowledge(life.log.stable_lsn());
    }
    Ok(())
}

/// Reads what others append, as far as it is known what it is.
fn read_along(life: &Life, _: &mut Rng) -> Result<(), Stopped> {
    for _ in 0..life.plan.readings {
        let Some(records) = life.outcome("iterating", life.log.iter_from(life.log.floor()))? else { continue };
        for record in records {
            let record = match record {
                Ok(record) => record,
                Err(error) if error.kind() == ErrorKind::Truncated => break,
                Err(_) if life.ledger.promises().floor_tried > Lsn::ZERO => break,
                Err(error) => return life.outcome::<()>("iterating", Err(error)).map(drop),
            };
            if life.ledger.contradicts(record.lsn(), record.payload()) {
                return Err(life.violate("altered", format!("lsn {} iterates as something else", record.lsn())));
            }
        }
    }
    Ok(())
}
