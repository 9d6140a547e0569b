//! Runs a log on a simulated disk, cuts the power, opens what is left, and compares it with what was promised.
//!
//! One seed is one history: a workload, a power cut in the middle of some I/O, a recovery, perhaps cut as well, then the
//! workload goes on, several times over. Everything is drawn from the seed and runs on one thread, so that a seed repeats
//! exactly.
//!
//! What is checked after every recovery:
//!
//! - *Lost:* every record that was acknowledged as durable, and not truncated, is there.
//! - *Altered, phantom:* every record that is there was appended at that LSN with that payload.
//! - *Hole:* what survived of a life is a prefix of what was appended in it.
//! - *Resurrection:* what an earlier recovery did not return is never returned.
//! - *Idempotence:* reading without opening, opening, and opening again after a cut during recovery give the same.
//! - *Refusal:* an honest power cut never makes the log unopenable.

use std::{collections::BTreeMap, fmt, sync::Arc};

use esker_log::{Error, ErrorKind, Log, LogId, LogReader, Lsn, Options};
use esker_sim::{Faults, SimStorage, is_power_off};

/// What was promised and not kept.
#[derive(Debug)]
pub(crate) struct Violation {
    /// The kind, as in the list above.
    pub(crate) kind: &'static str,
    /// What exactly.
    pub(crate) detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.detail)
    }
}

fn violation<T>(kind: &'static str, detail: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { kind, detail: detail.into() })
}

/// What one history did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Power cuts.
    pub(crate) cuts: u64,
    /// Processes that were killed while the power stayed on.
    pub(crate) kills: u64,
    /// Power cuts that hit a recovery.
    pub(crate) cuts_in_recovery: u64,
    /// Records appended.
    pub(crate) appended: u64,
    /// Records compared after recoveries.
    pub(crate) checked: u64,
    /// Segments freed by truncation.
    pub(crate) segments_freed: u64,
}

pub(crate) type Records = BTreeMap<Lsn, Vec<u8>>;

/// What the log must hold.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// Every record that was completed and may be there, since the last recovery or confirmed by it.
    pub(crate) records: Records,
    /// Everything below was acknowledged as durable.
    pub(crate) stable: Lsn,
    /// The floor that is promised, and the one that was being promised when the power failed.
    floor: Lsn,
    floor_tried: Lsn,
    /// Whether `Log::open` has ever returned.
    pub(crate) created: bool,
}

/// Runs the history of a seed.
pub(crate) fn run(seed: u64) -> Result<Tally, Violation> {
    let mut rng = Rng(seed);
    let shape = Shape::draw(&mut rng);
    let mut tally = Tally::default();
    let mut model = Model::default();
    let mut disk = SimStorage::new(rng.next(), Faults::default());
    for _ in 0..shape.lives {
        // Some lives end by a kill, or in peace.
        cut_after(&disk, if rng.below(4) == 0 { u64::MAX / 2 } else { rng.below(shape.ops_max) });
        let log = live(&disk, &shape, &mut rng, &mut model, &mut tally)?;
        if disk.is_on() && rng.below(2) == 0 {
            // The process dies, the machine does not: what the next one reads may be in a cache only. The disk is taken
            // away first, because a log that is dropped closes itself.
            let next = disk.kill();
            drop(log);
            disk = next;
            tally.kills += 1;
            check(&disk, &shape, &mut model, &mut tally, Image::Cached)?;
            continue;
        }
        disk.crash();
        drop(log);
        tally.cuts += 1;
        disk = disk.after_crash(rng.next());
        // A power cut during recovery leaves something to recover as well.
        while rng.below(3) == 0 {
            cut_after(&disk, rng.below(8));
            match open(&disk, &shape) {
                Ok(log) => model.created |= log.report().end >= Lsn::ZERO,
                Err(error) if is_cut(&error) || !disk.is_on() => (),
                Err(error) => return violation("refusal", format!("while the power failed again: {error}")),
            }
            disk.crash();
            tally.cuts += 1;
            tally.cuts_in_recovery += 1;
            disk = disk.after_crash(rng.next());
        }
        check(&disk, &shape, &mut model, &mut tally, Image::Durable)?;
    }
    Ok(tally)
}

/// Lets the power fail so many changing calls from now.
fn cut_after(disk: &SimStorage, ops: u64) {
    let crash_after_ops = Some(disk.counts().changing() + ops);
    disk.set_faults(Faults { crash_after_ops, ..Faults::default() });
}

fn open(disk: &SimStorage, shape: &Shape) -> Result<Log, Error> {
    Log::open(Arc::new(disk.clone()), shape.options())
}

/// Whether an error is only the power cut. What the engine and the reading side wrap is looked through.
fn is_cut(error: &Error) -> bool {
    match error {
        Error::Io { source, .. } | Error::NoSpace { source, .. } => is_power_off(source),
        Error::Poisoned(poison) => is_power_off(&poison.source),
        _ => false,
    }
}

/// How a history differs from others.
#[derive(Debug)]
struct Shape {
    segment_bytes: u32,
    buffer_bytes: u32,
    buffers: u32,
    payload_max: u64,
    lives: u64,
    ops_max: u64,
    /// One in so many calls waits for durability.
    durable_one_in: u64,
    truncate_one_in: u64,
    blob_one_in: u64,
    unsynced_bytes_max: u64,
    /// Records of one size make leftovers of a cut tail fit exactly behind what follows.
    one_size: bool,
}

impl Shape {
    fn draw(rng: &mut Rng) -> Self {
        let buffer_bytes = 256 + rng.below(1800) as u32;
        Self {
            segment_bytes: 4096 << rng.below(3),
            buffer_bytes,
            buffers: 4 << rng.below(2),
            payload_max: 1 + rng.below(u64::from(buffer_bytes - 200)),
            lives: 1 + rng.below(4),
            ops_max: 4 << rng.below(7),
            durable_one_in: 1 + rng.below(12),
            truncate_one_in: 4 + rng.below(60),
            blob_one_in: 10 + rng.below(60),
            unsynced_bytes_max: 1 + rng.below(20_000),
            one_size: rng.below(3) == 0,
        }
    }

    fn options(&self) -> Options {
        Options::new()
            .segment_bytes(self.segment_bytes)
            .buffer_bytes(self.buffer_bytes)
            .buffers(self.buffers)
            .unsynced_bytes_max(Some(self.unsynced_bytes_max))
            // Everything happens on one thread; the upkeep is a step like others.
            .background(false)
            .log_id(LogId::from_bytes(*b"simulated crash!"))
    }
}

/// Opens the log and works on it until the power fails or the work is done.
fn live(
    disk: &SimStorage,
    shape: &Shape,
    rng: &mut Rng,
    model: &mut Model,
    tally: &mut Tally,
) -> Result<Option<Log>, Violation> {
    let mut log = match open(disk, shape) {
        Ok(log) => log,
        Err(error) if is_cut(&error) || !disk.is_on() => return Ok(None),
        Err(error) => return violation("refusal", error.to_string()),
    };
    model.created = true;
    // Opening vouches for what it found.
    model.stable = model.stable.max(log.stable_lsn());
    for _ in 0..rng.below(400) {
        let outcome = match rng.below(100) {
            0 => match log.close() {
                Ok(end) => {
                    model.stable = model.stable.max(end);
                    match open(disk, shape) {
                        Ok(again) => {
                            log = again;
                            Ok(())
                        }
                        Err(error) if is_cut(&error) || !disk.is_on() => return Ok(None),
                        Err(error) => return violation("refusal", error.to_string()),
                    }
                }
                Err(_) => return Ok(None),
            },
            _ => step(&log, shape, rng, model, tally)?,
        };
        if let Err(error) = outcome {
            if !is_cut(&error) && disk.is_on() {
                return violation("refusal", format!("a call failed without a cause: {error}"));
            }
            return Ok(Some(log));
        }
    }
    Ok(Some(log))
}

/// One call, or a few that belong together.
fn step(
    log: &Log,
    shape: &Shape,
    rng: &mut Rng,
    model: &mut Model,
    tally: &mut Tally,
) -> Result<Result<(), Error>, Violation> {
    if rng.below(shape.truncate_one_in) == 0 {
        return Ok(truncate(log, rng, model, tally));
    }
    if rng.below(shape.blob_one_in) == 0 {
        let payload = rng.payload(u64::from(log.inline_bytes_max()) + 1 + rng.clone().below(3000));
        // The blob comes first, so the record may be there although the call failed; but then it was never completed.
        return Ok(log.append(&payload).map(|lsn| note(model, tally, lsn, payload)));
    }
    match rng.below(15) {
        0 => Ok(log.flush().map(|stable| model.stable = model.stable.max(stable))),
        1 => several_at_once(log, shape, rng, model, tally),
        2 => read_back(log, rng, model),
        3 => batch(log, shape, rng, model, tally),
        // Writes the next segment's place ahead of need, and syncs, if either is due.
        4 | 5 => Ok(log.run_upkeep().map(|()| model.stable = model.stable.max(log.stable_lsn()))),
        _ => {
            let len = if shape.one_size { shape.payload_max } else { rng.below(shape.payload_max + 1) };
            let payload = rng.payload(len);
            let lsn = match log.append(&payload) {
                Ok(lsn) => lsn,
                Err(error) => return Ok(Err(error)),
            };
            note(model, tally, lsn, payload);
            if rng.below(shape.durable_one_in) == 0 {
                return Ok(log.make_stable(lsn).map(|stable| model.stable = model.stable.max(stable)));
            }
            Ok(Ok(()))
        }
    }
}

/// Several records by one call. Those whose LSNs it gave before it failed are in the log.
fn batch(
    log: &Log,
    shape: &Shape,
    rng: &mut Rng,
    model: &mut Model,
    tally: &mut Tally,
) -> Result<Result<(), Error>, Violation> {
    let payloads: Vec<_> = (0..rng.below(12))
        .map(|_| {
            let len = rng.below(shape.payload_max + 1);
            rng.payload(len)
        })
        .collect();
    let mut lsns = Vec::new();
    let outcome = log.append_batch(&payloads.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut lsns);
    lsns.into_iter().zip(payloads).for_each(|(lsn, payload)| note(model, tally, lsn, payload));
    Ok(outcome)
}

fn note(model: &mut Model, tally: &mut Tally, lsn: Lsn, payload: Vec<u8>) {
    model.records.insert(lsn, payload);
    tally.appended += 1;
}

/// Several reservations, completed or aborted in another order than they were made.
fn several_at_once(
    log: &Log,
    shape: &Shape,
    rng: &mut Rng,
    model: &mut Model,
    tally: &mut Tally,
) -> Result<Result<(), Error>, Violation> {
    let mut open = Vec::new();
    for _ in 0..2 + rng.below(2) {
        match log.reserve(rng.below(shape.payload_max.min(100)) as u32) {
            Ok(reservation) => open.push(reservation),
            Err(error) => return Ok(Err(error)),
        }
    }
    while !open.is_empty() {
        let mut reservation = open.swap_remove(rng.below(open.len() as u64) as usize);
        if rng.below(4) == 0 {
            reservation.abort();
            continue;
        }
        let payload = rng.payload(reservation.payload_mut().len() as u64);
        reservation.payload_mut().copy_from_slice(&payload);
        note(model, tally, reservation.lsn(), payload);
        reservation.complete();
    }
    Ok(Ok(()))
}

fn truncate(log: &Log, rng: &mut Rng, model: &mut Model, tally: &mut Tally) -> Result<(), Error> {
    let Some(&lsn) = model.records.keys().nth(rng.below(model.records.len().max(1) as u64) as usize) else {
        return Ok(());
    };
    model.floor_tried = model.floor_tried.max(lsn);
    let truncation = log.truncate_before(lsn)?;
    tally.segments_freed += u64::from(truncation.segments_freed);
    model.floor = model.floor.max(truncation.floor);
    model.stable = model.stable.max(truncation.floor);
    model.records = model.records.split_off(&model.floor);
    Ok(())
}

fn read_back(log: &Log, rng: &mut Rng, model: &Model) -> Result<Result<(), Error>, Violation> {
    let nth = rng.below(model.records.len().max(1) as u64) as usize;
    let Some((&lsn, payload)) = model.records.iter().nth(nth) else { return Ok(Ok(())) };
    match log.read(lsn) {
        Ok(record) if record.payload() == payload => Ok(Ok(())),
        Ok(record) => {
            violation("altered", format!("lsn {lsn} read as {} bytes while it was written", record.payload().len()))
        }
        Err(error) => Ok(Err(error)),
    }
}

/// What a disk holds after an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Image {
    /// The power was cut: all that is left is durable.
    Durable,
    /// The process was killed: what is there may be lost yet.
    Cached,
}

/// Compares what is left with the model, and makes it the model.
fn check(
    disk: &SimStorage,
    shape: &Shape,
    model: &mut Model,
    tally: &mut Tally,
    image: Image,
) -> Result<(), Violation> {
    let Some((floor, found)) = read_without_opening(disk, model)? else {
        model.records.clear();
        return Ok(());
    };
    judge(floor, &found, model)?;
    tally.checked += found.len() as u64;
    // Opening changes what is on the disk, so that the same image is opened in a copy, twice.
    for _ in 0..if image == Image::Durable { 2 } else { 0 } {
        let copy = disk.after_crash(0);
        let log = open(&copy, shape).or_else(|error| violation("refusal", error.to_string()))?;
        let opened = collect(log.iter_from(Lsn::ZERO).map_err(|error| unreadable(&error))?)?;
        if (log.floor(), &opened) != (floor, &found) {
            return violation("idempotence", "opening found other records than reading did");
        }
    }
    model.records = found;
    Ok(())
}

/// The records that a reader finds; `None` if there is no log, which is right only as long as opening never returned.
pub(crate) fn read_without_opening(disk: &SimStorage, model: &Model) -> Result<Option<(Lsn, Records)>, Violation> {
    match LogReader::open(Arc::new(disk.clone())) {
        Ok(reader) => {
            if let Some(damage) = &reader.report().damage {
                return violation("refusal", damage.to_string());
            }
            Ok(Some((reader.floor(), collect(reader.iter_from(Lsn::ZERO))?)))
        }
        Err(error) if error.kind() == ErrorKind::NotFound && !model.created => Ok(None),
        Err(error) => violation("refusal", error.to_string()),
    }
}

fn collect(records: impl Iterator<Item = Result<esker_log::Record, Error>>) -> Result<Records, Violation> {
    let mut found = BTreeMap::new();
    for record in records {
        let record = record.map_err(|error| unreadable(&error))?;
        found.insert(record.lsn(), record.into_payload());
    }
    Ok(found)
}

fn unreadable(error: &Error) -> Violation {
    Violation { kind: "lost", detail: error.to_string() }
}

pub(crate) fn judge(floor: Lsn, found: &Records, model: &Model) -> Result<(), Violation> {
    // Built without the gates, truncation does not make its floor durable before segments are used again. What matters is
    // then that the loss of what was overwritten is noticed, not that the floor is low.
    let gated = !cfg!(esker_sabotage = "reuse_gate");
    if (gated && floor < model.floor) || floor > model.floor.max(model.floor_tried) {
        return violation(
            "lost",
            format!("the floor is {floor}, promised were {} to {}", model.floor, model.floor_tried),
        );
    }
    let from = if gated { Lsn::ZERO } else { model.floor };
    if let Some((lsn, _)) = found.range(from..).find(|&(lsn, payload)| model.records.get(lsn) != Some(payload)) {
        let kind = if model.records.contains_key(lsn) { "altered" } else { "phantom" };
        return violation(kind, format!("lsn {lsn} was not appended like this"));
    }
    let end = found.last_key_value().map_or(Lsn::ZERO, |(&lsn, _)| lsn + 1);
    for &lsn in model.records.keys().filter(|&&lsn| lsn >= floor) {
        if found.contains_key(&lsn) {
            continue;
        }
        if lsn < model.stable {
            return violation("lost", format!("lsn {lsn} was acknowledged, up to {}", model.stable));
        }
        if lsn < end {
            return violation("hole", format!("lsn {lsn} is missing before a record that is there"));
        }
    }
    Ok(())
}

/// SplitMix64.
#[derive(Clone, Debug)]
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// Bytes that no other payload has, unless it is very short.
    fn payload(&mut self, len: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len as usize + 8);
        while bytes.len() < len as usize {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len as usize);
        bytes
    }
}
