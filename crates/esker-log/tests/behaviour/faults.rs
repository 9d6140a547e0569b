//! A fault at every call of a workload: nothing that was acknowledged is lost, nobody hangs, and what is promised to stop
//! stops.

use std::sync::Arc;

use esker_log::{Error, ErrorKind, Log, LogReader, Lsn};
use esker_sim::{Counts, Failures, Faults, SimStorage};

use crate::support::{Records, all, collect, open, options, payload, without_hanging};

/// What a log has promised.
#[derive(Clone, Debug, Default)]
struct Promises {
    /// Every record that was appended, acknowledged or not.
    appended: Records,
    /// Everything below was acknowledged as durable.
    stable: Lsn,
    /// The floor that was acknowledged, and the highest that was asked for.
    floor: Lsn,
    floor_tried: Lsn,
}

impl Promises {
    fn stable(&mut self, outcome: Result<Lsn, Error>) -> Result<(), Error> {
        self.stable = self.stable.max(outcome?);
        Ok(())
    }

    fn append(&mut self, log: &Log, n: u64, len: usize) -> Result<Lsn, Error> {
        let payload = payload(n, len);
        let lsn = log.append(&payload)?;
        self.appended.insert(lsn, payload);
        Ok(lsn)
    }

    fn truncate(&mut self, log: &Log, lsn: Lsn) -> Result<(), Error> {
        self.floor_tried = self.floor_tried.max(lsn);
        self.floor = self.floor.max(log.truncate_before(lsn)?.floor);
        Ok(())
    }

    fn check(&self, what: &str, floor: Lsn, found: &Records) {
        assert!(self.floor <= floor && floor <= self.floor_tried, "{what}: the floor is {floor}: {self:?}");
        for (lsn, payload) in found {
            assert_eq!(self.appended.get(lsn), Some(payload), "{what}: lsn {lsn} was not appended like this");
        }
        for lsn in self.appended.range(floor..self.stable.max(floor)).map(|(lsn, _)| lsn) {
            assert!(found.contains_key(lsn), "{what}: lsn {lsn} was acknowledged up to {}", self.stable);
        }
    }
}

/// One life of a log, which does everything that a log can do. Goes on after errors as far as that makes sense.
fn live(disk: &SimStorage, life: u64, promises: &mut Promises) -> Result<(), Error> {
    let log = Log::open(Arc::new(disk.clone()), options())?;
    // Opening vouches for what it found.
    promises.stable = promises.stable.max(log.stable_lsn());
    let mut outcome = Ok(());
    let mut first = None;
    for n in 0..14 {
        let mut step = || -> Result<(), Error> {
            let lsn = promises.append(&log, life * 100 + n, 30 + (n as usize * 71) % 300)?;
            first.get_or_insert(lsn);
            match n {
                4 => {
                    promises.append(&log, life * 100 + 50, 1500)?;
                }
                9 => promises.truncate(&log, first.unwrap_or(lsn))?,
                11 => drop(log.iter_from(Lsn::ZERO)?.filter(Result::is_err).count()),
                12 => drop(log.collect_blobs()?),
                _ => (),
            }
            match n % 3 {
                0 => promises.stable(log.make_stable(lsn)),
                1 => log.read(lsn).map(drop),
                _ => Ok(()),
            }
        };
        outcome = outcome.and(step());
    }
    outcome = outcome.and(promises.stable(log.flush()));
    let closed = log.close();
    outcome.and(promises.stable(closed))
}

/// Runs up to three lives under `faults`, then one without, and compares what is there, also with what a power cut would
/// leave. Returns what was called under `faults`.
fn run(what: &str, faults: Faults) -> Counts {
    let disk = SimStorage::new(1, faults);
    let mut promises = Promises::default();
    for life in 0..3 {
        if live(&disk, life, &mut promises).is_ok() {
            continue;
        }
        let counts = disk.counts();
        // The machine goes on: another process opens what is there. Or the power fails at once, or after that.
        disk.set_faults(Faults::default());
        for seed in 0..3 {
            look_and_open(&format!("{what}, power cut {seed}"), &disk.after_crash(seed), &promises);
        }
        // What the log does not hold now was not acknowledged, and its place is given to others.
        promises.appended = look(what, &disk, &promises);
        live(&disk, 9, &mut promises).unwrap_or_else(|error| panic!("{what}: the next life: {error}"));
        for seed in 0..3 {
            look_and_open(&format!("{what}, a life later, power cut {seed}"), &disk.after_crash(seed), &promises);
        }
        return counts;
    }
    disk.counts()
}

fn look(what: &str, disk: &SimStorage, promises: &Promises) -> Records {
    let storage = Arc::new(disk.clone());
    match LogReader::open(storage.clone()) {
        Ok(reader) => {
            assert!(reader.report().damage.is_none(), "{what}: {}", reader.report());
            let found = collect(reader.iter_from(Lsn::ZERO));
            promises.check(what, reader.floor(), &found);
            found
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            assert_eq!(promises.stable, Lsn::ZERO, "{what}: the log is gone");
            Records::new()
        }
        Err(error) => panic!("{what}: {error}"),
    }
}

/// The same, and opens it for writing: everything on it is durable.
fn look_and_open(what: &str, disk: &SimStorage, promises: &Promises) {
    look(what, disk, promises);
    let log = open(disk);
    promises.check(what, log.floor(), &all(&log));
}

fn every_fault(
    kind: &'static str,
    calls: impl Fn(&Counts) -> u64 + Send + 'static,
    faults: impl Fn(Failures) -> Faults + Send + 'static,
) {
    without_hanging(kind, move || {
        let all = calls(&run("no fault", Faults::default()));
        assert!(all > 1, "the workload makes {all} such calls only");
        for n in 0..all {
            run(&format!("{kind} {n}"), faults(Failures::nth(n)));
            run(&format!("{kind} {n} and all after"), faults(Failures::since(n)));
        }
    });
}

#[test]
fn a_failed_write_loses_nothing_that_was_acknowledged() {
    every_fault("write", |counts| counts.writes, |write_error| Faults { write_error, ..Faults::default() });
}

#[test]
fn a_short_write_loses_nothing_that_was_acknowledged() {
    every_fault("short write", |counts| counts.writes, |short_write| Faults { short_write, ..Faults::default() });
}

#[test]
fn a_failed_sync_loses_nothing_that_was_acknowledged() {
    every_fault("sync", |counts| counts.syncs(), |sync_error| Faults { sync_error, ..Faults::default() });
}

#[test]
fn a_failed_change_of_length_loses_nothing_that_was_acknowledged() {
    every_fault(
        "length",
        |counts| counts.set_lens + counts.preallocations,
        |length_error| Faults { length_error, ..Faults::default() },
    );
}

#[test]
fn a_failed_sync_of_the_directory_loses_nothing_that_was_acknowledged() {
    every_fault(
        "directory sync",
        |counts| counts.dir_syncs,
        |dir_sync_error| Faults { dir_sync_error, ..Faults::default() },
    );
}

#[test]
fn a_failed_change_of_the_directory_loses_nothing_that_was_acknowledged() {
    every_fault(
        "directory",
        |counts| counts.creates + counts.opens + counts.removes + counts.renames + counts.lists + counts.locks,
        |dir_error| Faults { dir_error, ..Faults::default() },
    );
}

#[test]
fn a_failed_read_loses_nothing_that_was_acknowledged() {
    every_fault("read", |counts| counts.reads, |read_error| Faults { read_error, ..Faults::default() });
}
