//! A fault at every call of a workload: nothing that was acknowledged is lost, nobody hangs, and what is promised to stop
//! stops.

use std::{
    sync::{Arc, Mutex},
    thread,
};

use esker_log::{Error, ErrorKind, Log, LogReader, Lsn};
use esker_sim::{Calls, Counts, Failures, Faults, SimStorage};

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
            match n % 5 {
                4 => promises.stable(log.make_stable(lsn)),
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
fn run(what: &str, seed: u64, faults: Faults) -> Counts {
    let disk = SimStorage::new(seed, faults);
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
        let all = calls(&run("no fault", 0, Faults::default()));
        assert!(all > 1, "the workload makes {all} such calls only");
        for n in 0..all {
            for seed in 0..3 {
                run(&format!("{kind} {n}, seed {seed}"), seed, faults(Failures::nth(n)));
            }
            run(&format!("{kind} {n} and all after"), n, faults(Failures::since(n)));
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

#[test]
fn a_full_disk_is_an_error_until_there_is_room_and_costs_nothing() {
    without_hanging("a full disk", || {
        for sectors in (0..120).step_by(3) {
            let faults = Faults { capacity_bytes: Some(sectors * 512), ..Faults::default() };
            let disk = SimStorage::new(sectors, faults);
            let Ok(log) = Log::open(Arc::new(disk.clone()), options()) else {
                // Not even room for a log: nothing was promised, and one can be created once there is.
                disk.set_faults(Faults::default());
                open(&disk).append_durable(b"now").unwrap();
                continue;
            };
            let mut promises = Promises::default();
            let error = (0..).find_map(|n| promises.append(&log, n, 200 + (n % 3) as usize * 700).err()).unwrap();
            assert_eq!(error.kind(), ErrorKind::NoSpace, "{sectors} sectors: {error}");
            // What was accepted stays, whether or not it can be written now.
            let kept = promises.appended.clone();
            match log.flush() {
                Ok(stable) => promises.stable = stable,
                Err(error) => assert_eq!(error.kind(), ErrorKind::NoSpace, "{sectors} sectors: {error}"),
            }
            look(&format!("{sectors} sectors, full"), &disk.after_crash(0), &promises);
            disk.set_faults(Faults::default());
            promises.append(&log, 1000, 900).unwrap();
            promises.append(&log, 1001, 100).unwrap();
            assert!(kept.keys().all(|lsn| log.read(*lsn).is_ok()));
            promises.stable = log.close().unwrap();
            look_and_open(&format!("{sectors} sectors, room again"), &disk.after_crash(1), &promises);
        }
    });
}

#[test]
fn a_log_that_is_full_can_be_closed_and_opened_and_truncated() {
    without_hanging("a full log", || {
        let disk = SimStorage::new(1, Faults { capacity_bytes: Some(40 * 512), ..Faults::default() });
        let log = open(&disk);
        let mut promises = Promises::default();
        while promises.append(&log, 1, 200).is_ok() {}
        promises.stable = log.close().unwrap();
        for _ in 0..3 {
            let log = open(&disk);
            promises.check("reopened", log.floor(), &all(&log));
            assert_eq!(promises.append(&log, 2, 300).unwrap_err().kind(), ErrorKind::NoSpace);
            promises.stable = log.close().unwrap();
        }
        let log = open(&disk);
        let last = *promises.appended.keys().next_back().unwrap();
        promises.truncate(&log, last).unwrap();
        for n in 0..10 {
            promises.append(&log, n, 200).unwrap();
        }
        promises.stable = log.close().unwrap();
        look_and_open("truncated", &disk.after_crash(0), &promises);
    });
}

/// Several writers when a write or sync fails: every one gets an error, and what any was promised is there.
#[test]
fn an_error_reaches_every_writer_and_nothing_promised_is_lost() {
    for round in 0..60u64 {
        without_hanging("a failing disk", move || {
            let failures = Failures::nth(3 + round / 2);
            let faults = match round % 2 {
                0 => Faults { write_error: failures, ..Faults::default() },
                _ => Faults { sync_error: failures, ..Faults::default() },
            };
            let disk = SimStorage::new(round, faults);
            let Ok(log) = Log::open(Arc::new(disk.clone()), options()) else { return };
            let promised = Mutex::new(Records::new());
            thread::scope(|scope| {
                for writer in 0..4 {
                    let (log, promised) = (&log, &promised);
                    scope.spawn(move || {
                        for n in 0.. {
                            let bytes = payload(writer << 32 | n, (n * 29 % 200) as usize);
                            match log.append_durable(&bytes) {
                                Ok(lsn) => drop(promised.lock().unwrap().insert(lsn, bytes)),
                                Err(error) => {
                                    assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
                                    return;
                                }
                            }
                        }
                    });
                }
            });
            assert_eq!(log.flush().unwrap_err().kind(), ErrorKind::Poisoned);
            assert_eq!(log.close().unwrap_err().kind(), ErrorKind::Poisoned);
            disk.set_faults(Faults::default());
            let promised = promised.into_inner().unwrap();
            for disk in [disk.after_crash(round), disk] {
                let found = all(&open(&disk));
                for (lsn, payload) in &promised {
                    assert_eq!(found.get(lsn), Some(payload), "round {round}: lsn {lsn}");
                }
            }
        });
    }
}

/// The disk holds what it should, and one read gives something else: that is no reason to say that there is no record.
#[test]
fn a_record_that_one_read_got_wrong_is_read_again() {
    let disk = SimStorage::new(1, Faults::default());
    let log = open(&disk);
    let mut promises = Promises::default();
    for n in 0..40 {
        promises.append(&log, n, if n == 20 { 1500 } else { 30 + (n as usize * 71) % 300 }).unwrap();
    }
    log.flush().unwrap();
    let mut wrong = 0;
    for round in 0..10 {
        for (&lsn, payload) in &promises.appended {
            let before = disk.damages().len();
            let misdirected_read = Failures::nth(disk.counts().reads);
            disk.set_faults(Faults { misdirected_read, ..Faults::default() });
            assert_eq!(log.read(lsn).unwrap().payload(), payload, "round {round}, lsn {lsn}");
            wrong += disk.damages().len() - before;
        }
    }
    assert_eq!(wrong, 400, "a read of each went wrong");
}

/// One process dies before the name of a new log is durable; the next fails to make it so and says that; a third one must not
/// believe its own sync, which has nothing to write any more.
#[test]
fn a_new_log_whose_name_a_failed_sync_gave_up_is_created_again() {
    without_hanging("three processes", || {
        for seed in 0..40 {
            let hung = Calls { dir_sync: Failures::nth(1), ..Calls::NONE };
            let disk = SimStorage::new(seed, Faults { hung, ..Faults::default() });
            let of_thread = disk.clone();
            let first = thread::spawn(move || Log::open(Arc::new(of_thread), options()).map(drop));
            while disk.hanging() == 0 {
                thread::yield_now();
            }
            let disk = disk.kill();
            first.join().unwrap().unwrap_err();

            let dir_sync_error = Failures::nth(disk.counts().dir_syncs);
            disk.set_faults(Faults { dir_sync_error, ..Faults::default() });
            Log::open(Arc::new(disk.clone()), options()).unwrap_err();

            let disk = disk.kill();
            let log = open(&disk);
            let lsn = log.append_durable(b"acknowledged").unwrap();
            for cut in 0..20 {
                let left = open(&disk.after_crash(cut));
                assert_eq!(left.read(lsn).unwrap().payload(), b"acknowledged", "seed {seed}, power cut {cut}");
            }
        }
    });
}
