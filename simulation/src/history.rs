//! A history: lives of one log on one disk, each ended by a crash that the next one recovers from.

use std::{fmt, str::FromStr, sync::Arc};

use esker_sim::{Calls, Failures, Faults, Probability, SimStorage};

use crate::{
    check::{self, Outcome},
    disk::Watched,
    ledger::{Ledger, Violation},
    life,
    pace::Scheduled,
    plan::{Limits, Plan},
    rng::Rng,
};

/// How many moments of a life are kept, and how many crashes each of them is tried with.
const MOMENTS_MAX: u64 = 20;
const CRASHES: u64 = 3;
/// Of so many crash states one is opened for writing, with crashes during that.
const OPENED_ONE_IN: u64 = 8;
/// How often a log that was closed is damaged.
const DAMAGES: u64 = 32;

/// What histories did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) histories: u64,
    pub(crate) lives: u64,
    /// Lives in which I/O was told to fail.
    pub(crate) faulty_lives: u64,
    /// Crash states that were judged.
    pub(crate) states: u64,
    /// Crash states that were opened for writing, with crashes during recovery.
    pub(crate) opened: u64,
    /// Records compared.
    pub(crate) records: u64,
    /// Damages to logs at rest, and those among them that were told.
    pub(crate) damages: u64,
    pub(crate) detected: u64,
}

impl Tally {
    fn figures(&mut self) -> [&mut u64; 8] {
        let Self { histories, lives, faulty_lives, states, opened, records, damages, detected } = self;
        [histories, lives, faulty_lives, states, opened, records, damages, detected]
    }

    pub(crate) fn add(&mut self, mut other: Self) {
        self.figures().into_iter().zip(other.figures()).for_each(|(sum, part)| *sum += *part);
    }
}

/// For another process.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut copy = *self;
        copy.figures().into_iter().try_for_each(|figure| write!(f, "{figure} "))
    }
}

impl FromStr for Tally {
    type Err = std::num::ParseIntError;

    fn from_str(said: &str) -> Result<Self, Self::Err> {
        let mut tally = Self::default();
        for (figure, part) in tally.figures().into_iter().zip(said.split_whitespace()) {
            *figure = part.parse()?;
        }
        Ok(tally)
    }
}

/// What truncation leaves for later, when no reader is left, is done now: later means in another history.
fn run_what_was_deferred() {
    for _ in 0..16 {
        crossbeam_epoch::pin().flush();
    }
}

/// Runs the history of a seed. Only under shuttle's scheduler.
pub(crate) fn run(seed: u64, limits: &Limits, tally: &mut Tally) -> Result<(), Violation> {
    let mut rng = Rng::new(seed);
    let plan = Plan::draw(&mut rng, limits);
    let mut disk = SimStorage::with_pace(rng.next(), Faults::default(), Arc::new(Scheduled));
    let mut ledger = Arc::new(Ledger::default());
    tally.histories += 1;
    for _ in 0..plan.lives {
        tally.lives += 1;
        let faults = if plan.faults { faults(&mut rng) } else { Faults::default() };
        let faults = slowed(&mut rng, faults);
        let may_fail = plan.faults;
        tally.faulty_lives += u64::from(may_fail);
        disk.set_faults(faults);
        let watched = Watched::new(disk.clone(), ledger.clone(), rng.split(), MOMENTS_MAX);
        let closes = rng.one_in(3);
        let lived = life::live(&watched, &ledger, &plan, &mut rng, may_fail, closes);
        run_what_was_deferred();
        lived?;
        let moments = watched.take_moments();
        drop(watched);
        let mut next = None;
        for moment in &moments {
            for n in 0..CRASHES {
                // The process dies and the machine does not; or the power fails.
                let left = if n == 0 { moment.disk.kill() } else { moment.disk.after_crash(rng.next()) };
                left.set_faults(Faults::default());
                let found = check::crashed(&left, &ledger, &moment.promises)?;
                tally.states += 1;
                let Some(found) = found else { continue };
                tally.records += found.records.len() as u64;
                if n > 0 && rng.one_in(OPENED_ONE_IN) {
                    check::opened(&left, &plan, &found, &mut rng)?;
                    tally.opened += 1;
                }
                if next.is_none() || rng.one_in(CRASHES * MOMENTS_MAX / 4) {
                    next = Some((left, found, moment.promises));
                }
            }
        }
        if ledger.promises().closed {
            damage(&disk, &ledger, &mut rng, tally)?;
        }
        let Some((left, found, promises)) = next else { return Ok(()) };
        disk = left;
        ledger = Arc::new(ledger.after_recovery(found.floor, found.records, promises));
    }
    Ok(())
}

/// Damages a log that was closed in good order.
fn damage(disk: &SimStorage, ledger: &Ledger, rng: &mut Rng, tally: &mut Tally) -> Result<(), Violation> {
    let left = disk.after_crash(rng.next());
    left.set_faults(Faults::default());
    let Some(whole) = check::crashed(&left, ledger, &ledger.promises())? else { return Ok(()) };
    for _ in 0..DAMAGES {
        let Some(outcome) = check::damaged(&left, ledger, &whole, rng)? else { continue };
        tally.damages += 1;
        tally.detected += u64::from(outcome == Outcome::Detected);
    }
    Ok(())
}

/// In some lives calls take time, in a few of them so long that all others are done before.
fn slowed(rng: &mut Rng, faults: Faults) -> Faults {
    if !rng.one_in(8) {
        return faults;
    }
    let (one_in, slow_ticks_max) = if rng.one_in(4) { (32, 500) } else { (4, 20) };
    Faults { slow: Calls::each(Failures::with(Probability::one_in(one_in))), slow_ticks_max, ..faults }
}

/// Something that fails in this life.
fn faults(rng: &mut Rng) -> Faults {
    let some = |rng: &mut Rng| {
        let nth = rng.below(40);
        if rng.one_in(3) { Failures::since(nth) } else { Failures::nth(nth) }
    };
    let mut faults = Faults::default();
    for _ in 0..1 + rng.below(2) {
        match rng.below(8) {
            // One sync alone, among those that a life has: what is acknowledged behind it is what may be lost.
            0 | 1 => faults.sync_error = Failures::nth(rng.below(12)),
            2 if rng.one_in(2) => faults.sync_error = some(rng),
            2 => faults.write_error = some(rng),
            3 => faults.short_write = some(rng),
            4 => faults.dir_sync_error = some(rng),
            5 => faults.dir_error = some(rng),
            6 => faults.read_error = some(rng),
            _ => faults.capacity_bytes = Some(8192 + rng.below(40_000)),
        }
    }
    faults
}
