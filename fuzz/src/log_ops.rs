//! Sequences of calls on a log, with crashes among them, against a model: a map of what was appended, and how far it was
//! promised to be durable.
//!
//! The log is on the simulated disk of `esker-sim`. The input begins with the shape of the log; then operations follow, a
//! byte each, with arguments where they are needed: every call of the log, faults of the disk, the end of room, the end of
//! the process, and power cuts, at once or in the middle of a later call, with a choice of what survives. Everything
//! happens on one thread, so that an input repeats exactly.
//!
//! # What is checked
//!
//! - O1: a call returns what the model says. It may fail only because of a fault that the input asked for.
//! - O2: after an end of any kind, what is left is what was appended up to some place, at or beyond what was promised.
//! - O3: reading without opening, opening, and opening again find the same.
//! - O4: a full disk stops nothing for good.

mod model;

use std::sync::Arc;

use esker_log::{Error, ErrorKind, Log, LogReader, Lsn, Options};
use esker_sim::{Failures, Faults, SimStorage, Survival, is_injected, is_power_off};

use self::model::{Model, Records};
use crate::image::LOG_ID;
use crate::input::Input;

/// Calls of one input, so that no input takes long.
const OPERATIONS_MAX: u32 = 400;
/// How often an opening may be cut off by the power, at most.
const OPENINGS_MAX: u32 = 20;

/// Runs one input.
///
/// # Panics
///
/// If the log does not do what the model says.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let options = options(&mut input);
    let mut world = World {
        disk: SimStorage::new(input.u8().into(), Faults::default()),
        options,
        log: None,
        model: Model::default(),
        seen: None,
        is_limited: false,
    };
    world.is_limited = world.limit_segments(&mut input);
    world.open(&mut input);
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
    }
    world.end_process(&mut input);
}

fn options(input: &mut Input<'_>) -> Options {
    let shape = input.u8();
    Options::new()
        .segment_bytes(4096 << (shape & 1))
        .buffer_bytes(256 + u32::from(input.u8()) * 8)
        .buffers(4 << (shape >> 1 & 1))
        .unsynced_bytes_max((shape & 4 != 0).then(|| 1 + u64::from(input.u16())))
        .background(false)
        .log_id(LOG_ID)
}

struct World {
    disk: SimStorage,
    options: Options,
    /// `None` after the process has ended.
    log: Option<Log>,
    model: Model,
    /// What a reader found after the last end.
    seen: Option<(Lsn, Records)>,
    /// Whether the log may have so many segments only.
    is_limited: bool,
}

impl World {
    fn limit_segments(&mut self, input: &mut Input<'_>) -> bool {
        let limit = input.u8();
        let is_limited = limit < 32;
        if is_limited {
            self.options = self.options.clone().segments_max(Some(3 + u32::from(limit)));
        }
        is_limited
    }

    /// The log, which is open during a step.
    fn log(&self) -> &Log {
        self.log.as_ref().expect("the log is open between steps")
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let outcome = match input.u8() % 24 {
            0..4 => self.append(input, 0),
            4 => self.append(input, self.log().inline_bytes_max() + 1),
            5 | 6 => self.append_batch(input),
            7 | 8 => self.reserve(input),
            9 => self.make_stable(input),
            10 => self.log().flush().map(|stable| self.model.promise(stable)),
            11 => self.truncate(input),
            12 => self.read(input),
            13 => self.iterate(),
            14 => self.log().run_upkeep(),
            15 => self.look_beside(),
            16 => return self.close(input),
            17 => return self.kill(input),
            18 => return self.cut_power(input),
            19 => {
                let after = self.disk.counts().changing() + u64::from(input.u8() % 32);
                self.disk.set_faults(Faults { crash_after_ops: Some(after), ..self.disk.faults() });
                Ok(())
            }
            20 | 21 => {
                self.fail_soon(input);
                Ok(())
            }
            22 => {
                self.fill_disk(input);
                Ok(())
            }
            _ => self.make_room(),
        };
        if let Err(error) = outcome {
            self.expect_cause(&error);
        }
        if !self.disk.is_on() {
            return self.cut_power(input);
        }
        let (stable, end) = (self.log().stable_lsn(), self.log().end_lsn());
        assert!(stable >= self.model.stable, "stable went back from {} to {stable}", self.model.stable);
        assert!(stable <= end, "stable is {stable}, beyond the end {end}");
        self.model.promise(stable);
    }

    /// O1: an error has a cause among what the input asked for.
    fn expect_cause(&self, error: &Error) {
        let made = |source: &std::io::Error| is_injected(source) || is_power_off(source);
        let has_cause = match error {
            Error::Io { source, .. } => made(source) || !self.disk.is_on(),
            Error::NoSpace { source, .. } => {
                made(source) || self.is_limited || self.disk.faults().capacity_bytes.is_some()
            }
            // A full disk is no reason to stop.
            Error::Poisoned(poison) => made(&poison.source),
            _ => false,
        };
        assert!(has_cause, "{error:?} without a cause");
        assert!(!error.to_string().is_empty());
    }

    // The calls of the log.

    fn append(&mut self, input: &mut Input<'_>, len_min: u32) -> Result<(), Error> {
        let len = len_min + u32::from(input.u16()) % (self.log().inline_bytes_max() + 1);
        let payload = self.model.payload(len);
        self.append_payload(payload, input.u8().is_multiple_of(4))
    }

    fn append_payload(&mut self, payload: Vec<u8>, is_durable: bool) -> Result<(), Error> {
        let before = self.log().end_lsn();
        let lsn = if is_durable { self.log().append_durable(&payload) } else { self.log().append(&payload) };
        // A record that could not be made durable is in the log all the same.
        let lsn = match lsn {
            Ok(lsn) => lsn,
            Err(error) => {
                self.model.perhaps(before, payload);
                return Err(error);
            }
        };
        assert!(lsn >= before, "{lsn} lies before the end {before}");
        self.model.note(lsn, payload);
        Ok(())
    }

    fn append_batch(&mut self, input: &mut Input<'_>) -> Result<(), Error> {
        let lens: Vec<u32> = (0..input.u8() % 12).map(|_| u32::from(input.u8()) * 4).collect();
        let payloads: Vec<Vec<u8>> = lens.into_iter().map(|len| self.model.payload(len)).collect();
        let mut lsns = Vec::new();
        let borrowed: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        let outcome = self.log().append_batch(&borrowed, &mut lsns);
        assert!(outcome.is_err() || lsns.len() == payloads.len());
        lsns.into_iter().zip(payloads).for_each(|(lsn, payload)| self.model.note(lsn, payload));
        outcome
    }

    /// Up to three reservations at once, of which each is completed, aborted or dropped, in any order.
    fn reserve(&mut self, input: &mut Input<'_>) -> Result<(), Error> {
        let log = self.log.as_ref().expect("the log is open between steps");
        let mut open = Vec::new();
        for _ in 0..1 + input.u8() % 3 {
            // Short ones: the room for the next must not depend on those that are open.
            open.push(log.reserve((input.u8() % 48).into())?);
        }
        while !open.is_empty() {
            let choice = input.u8();
            let mut reservation = open.swap_remove(usize::from(choice) % open.len());
            match choice >> 6 {
                0 => drop(reservation),
                1 => reservation.abort(),
                _ => {
                    let payload = self.model.payload(reservation.payload_mut().len() as u32);
                    reservation.payload_mut().copy_from_slice(&payload);
                    let lsn = reservation.complete();
                    self.model.note(lsn, payload);
                }
            }
        }
        Ok(())
    }

    /// An LSN: mostly of a record, at times any.
    fn lsn(&self, input: &mut Input<'_>) -> Lsn {
        let (choice, nth) = (input.u8(), input.u16());
        let records = &self.model.records;
        match records.keys().nth(usize::from(nth) % records.len().max(1)) {
            Some(&lsn) if choice % 4 > 0 => lsn,
            _ => Lsn::new(u64::from(nth) % (self.log().end_lsn().get() + 50)),
        }
    }

    fn make_stable(&mut self, input: &mut Input<'_>) -> Result<(), Error> {
        let (lsn, end) = (self.lsn(input), self.log().end_lsn());
        match self.log().make_stable(lsn) {
            Ok(stable) => {
                assert!(stable > lsn && lsn < end, "{lsn} of a log that ends at {end} is stable with {stable}");
                self.model.promise(stable);
                Ok(())
            }
            Err(Error::NeverReserved { .. }) => {
                assert!(lsn >= end, "{lsn} was reserved: the log ends at {end}");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn truncate(&mut self, input: &mut Input<'_>) -> Result<(), Error> {
        let (lsn, end) = (self.lsn(input), self.log().end_lsn());
        let asked_before = self.model.floor_asked;
        self.model.ask(lsn);
        match self.log().truncate_before(lsn) {
            Ok(truncation) => {
                assert_eq!(truncation.floor, lsn.max(self.model.floor));
                self.model.cut(truncation.floor);
                Ok(())
            }
            Err(Error::NeverReserved { .. }) => {
                assert!(lsn > end, "{lsn} was reserved: the log ends at {end}");
                self.model.floor_asked = asked_before;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn read(&self, input: &mut Input<'_>) -> Result<(), Error> {
        let (lsn, end) = (self.lsn(input), self.log().end_lsn());
        let expected = self.model.records.get(&lsn).filter(|_| lsn >= self.log().floor());
        match self.log().read(lsn) {
            Ok(record) => match expected {
                Some(payload) => assert_eq!((record.lsn(), record.payload()), (lsn, &payload[..])),
                None => self.model.expect_perhaps(lsn, record.payload()),
            },
            Err(Error::Truncated { .. }) => assert!(lsn < self.model.floor_asked, "{lsn} was not truncated"),
            Err(Error::NeverReserved { .. }) => assert!(lsn >= end, "{lsn} was reserved: the log ends at {end}"),
            Err(Error::NotARecord { .. }) => assert_eq!(expected, None, "there is a record at {lsn}"),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn iterate(&self) -> Result<(), Error> {
        let floor = self.log().floor();
        let mut records = self.log().iter_from(Lsn::ZERO)?;
        let mut expected = self.model.records.range(floor..).peekable();
        while let Some(record) = records.next_record() {
            let record = record?;
            if expected.next_if(|&(&lsn, payload)| lsn == record.lsn() && payload == record.payload()).is_none() {
                self.model.expect_perhaps(record.lsn(), record.payload());
            }
        }
        // After it has stopped, a log shows what it has written.
        if let Some((lsn, _)) = expected.next() {
            let error = self.log().flush().expect_err("iteration ends before the record at the end");
            assert_eq!(error.kind(), ErrorKind::Poisoned, "{lsn} is not iterated over");
            assert!(*lsn >= self.log().stable_lsn(), "{lsn} is durable and not iterated over");
        }
        Ok(())
    }

    /// A reader beside the log sees what is durable, and perhaps more.
    fn look_beside(&mut self) -> Result<(), Error> {
        let faults = self.disk.faults();
        self.disk.set_faults(Faults::default());
        let found = self.find().expect("there is a log");
        self.model.check(&found);
        self.disk.set_faults(faults);
        Ok(())
    }

    // What happens to the disk.

    fn fail_soon(&mut self, input: &mut Input<'_>) {
        let (kind, from) = (input.u8(), u64::from(input.u8() % 16));
        let counts = self.disk.counts();
        let at = |count: u64| {
            if kind & 0x80 == 0 { Failures::nth(count + from) } else { Failures::since(count + from) }
        };
        let faults = self.disk.faults();
        let faults = match kind % 6 {
            0 => Faults { write_error: at(counts.writes), ..faults },
            1 => Faults { short_write: at(counts.writes), ..faults },
            2 => Faults { sync_error: at(counts.syncs()), ..faults },
            3 => Faults { dir_sync_error: at(counts.dir_syncs), ..faults },
            4 => Faults { read_error: at(counts.reads), ..faults },
            _ => Faults { length_error: at(counts.set_lens + counts.preallocations), ..faults },
        };
        self.disk.set_faults(faults);
    }

    /// Gives the disk a size near what is in use.
    fn fill_disk(&mut self, input: &mut Input<'_>) {
        let capacity = u64::from(input.u16()) * 4;
        self.disk.set_faults(Faults { capacity_bytes: Some(capacity), ..self.disk.faults() });
    }

    /// O4: with room on the disk and every record given up, the log goes on, unless it had been stopped.
    fn make_room(&mut self) -> Result<(), Error> {
        let crash_after_ops = self.disk.faults().crash_after_ops;
        self.disk.set_faults(Faults { crash_after_ops, ..Faults::default() });
        let was_limited = std::mem::replace(&mut self.is_limited, false);
        let end = self.log().end_lsn();
        let outcome = self.go_on(end, was_limited);
        if let Err(error) = &outcome {
            self.expect_cause(error);
        }
        self.is_limited = was_limited;
        Ok(())
    }

    fn go_on(&mut self, end: Lsn, was_limited: bool) -> Result<(), Error> {
        self.model.ask(end);
        match self.log().truncate_before(end) {
            Ok(truncation) => self.model.cut(truncation.floor),
            // What is not in the file yet may need a segment that the log may not have: nothing can be given up then.
            Err(Error::NoSpace { .. }) if was_limited => return Ok(()),
            Err(error) => return Err(error),
        }
        let payload = self.model.payload(40);
        self.append_payload(payload, true)
    }

    // Ends and beginnings.

    fn close(&mut self, input: &mut Input<'_>) {
        let log = self.log.take().expect("the log is open between steps");
        match log.close() {
            Ok(end) => self.model.promise(end),
            Err(error) => self.expect_cause(&error),
        }
        if self.disk.is_on() {
            self.settle();
            self.open(input);
        } else {
            self.cut_power(input);
        }
    }

    /// The process ends, the machine goes on.
    fn kill(&mut self, input: &mut Input<'_>) {
        self.end_process(input);
        self.open(input);
    }

    fn end_process(&mut self, input: &mut Input<'_>) {
        if !self.disk.is_on() {
            return self.cut_power(input);
        }
        // The disk is taken away first, because a log that is dropped closes itself.
        let next = self.disk.kill();
        drop(self.log.take());
        self.disk = next;
        self.settle();
    }

    /// The power fails, unless it has failed already, and comes back.
    fn cut_power(&mut self, input: &mut Input<'_>) {
        let survival = match input.u8() % 6 {
            0 => Some(Survival::Nothing),
            1 => Some(Survival::Everything),
            2 => Some(Survival::Prefix),
            3 => Some(Survival::Subset),
            _ => None,
        };
        self.disk.set_faults(Faults { survival, ..Faults::default() });
        self.disk.crash();
        drop(self.log.take());
        self.disk = self.disk.after_crash(input.u16().into());
        self.settle();
        self.open_in_copies();
        self.open(input);
    }

    /// Reads what an end has left, and compares it with the model. What is seen is not promised: it may be in a cache only.
    fn settle(&mut self) {
        self.disk.set_faults(Faults { crash_after_ops: self.disk.faults().crash_after_ops, ..Faults::default() });
        self.seen = self.find().inspect(|found| self.model.check(found));
    }

    /// What a reader finds; `None` if there is no log, which is right only as long as none was opened.
    fn find(&self) -> Option<(Lsn, Records)> {
        match LogReader::open(Arc::new(self.disk.clone())) {
            Ok(reader) => {
                assert_eq!(reader.report().damage, None, "an honest end looks like damage");
                Some((reader.floor(), collect(reader.iter_from(Lsn::ZERO))))
            }
            Err(error) => {
                assert!(error.kind() == ErrorKind::NotFound && !self.model.created, "{error}");
                None
            }
        }
    }

    /// O3, twice: opening changes what is on the disk, so that it is done in copies.
    fn open_in_copies(&self) {
        for _ in 0..2 {
            let copy = self.disk.after_crash(0);
            let log = Log::open(Arc::new(copy), self.options.clone()).expect("what a power cut leaves opens");
            self.expect_seen(&log);
        }
    }

    fn expect_seen(&self, log: &Log) {
        let found = collect(log.iter_from(Lsn::ZERO).expect("an open log can be read"));
        let empty = (Lsn::ZERO, Records::new());
        assert_eq!(
            &(log.floor(), found),
            self.seen.as_ref().unwrap_or(&empty),
            "opening finds something else than reading"
        );
    }

    /// Opens the log, also if that takes some attempts because the power fails again.
    fn open(&mut self, input: &mut Input<'_>) {
        for attempt in 1..=OPENINGS_MAX {
            match Log::open(Arc::new(self.disk.clone()), self.options.clone()) {
                Ok(log) => {
                    self.expect_seen(&log);
                    self.model.opened(self.seen.take(), log.end_lsn(), log.stable_lsn());
                    self.log = Some(log);
                    return;
                }
                Err(error) => self.expect_cause(&error),
            }
            assert!(!self.disk.is_on(), "without faults an opening fails only if the power does");
            let again = input.u8();
            self.disk = self.disk.after_crash(input.u16().into());
            self.settle();
            if again % 4 == 3 && attempt + 1 < OPENINGS_MAX {
                let crash_after_ops = Some(u64::from(again / 4 % 16));
                self.disk.set_faults(Faults { crash_after_ops, ..Faults::default() });
            }
        }
        panic!("the log does not open although the power stays on at last");
    }
}

fn collect(records: impl Iterator<Item = Result<esker_log::Record, Error>>) -> Records {
    let whole = |record: Result<esker_log::Record, Error>| record.expect("what is left can be read");
    records.map(whole).map(|record| (record.lsn(), record.into_payload())).collect()
}
