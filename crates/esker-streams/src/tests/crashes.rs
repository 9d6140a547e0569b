//! The power fails at any call; what is found is compared with what was promised. Several lives of a store on one disk.

use std::{collections::BTreeMap, sync::Arc};

use esker_format::Lsn;
use esker_sim::{Faults, SimStorage};
use esker_storage::Storage;

use super::support::{Left, message_bytes, open, options, segment_bytes, stream};
use crate::{Error, Streams};

const STREAMS: u8 = 3;
const LIVES: u32 = 4;
const CRASHES: u64 = 6;

/// A generator that is good enough to draw from: splitmix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// What became of a segment that was retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retired {
    /// Its records are promised as before.
    Unflushed,
    /// A flush that began later has ended: it may be let go.
    Flushed,
    /// It may be gone, as a whole.
    MayBeGone,
}

/// What was done and promised.
#[derive(Clone, Debug, Default)]
struct Ledger {
    /// By stream, in the order of appending.
    appended: Vec<Vec<(Lsn, Vec<u8>)>>,
    /// By stream: so many of them are durable.
    durable: Vec<usize>,
    retired: BTreeMap<Lsn, Retired>,
    notes: Vec<Vec<u8>>,
    notes_durable: usize,
}

impl Ledger {
    fn new() -> Self {
        let streams = usize::from(STREAMS);
        Self { appended: vec![Vec::new(); streams], durable: vec![0; streams], ..Self::default() }
    }

    fn check(&self, left: &Left) {
        for number in 0..STREAMS {
            let found: BTreeMap<Lsn, &Vec<u8>> = left
                .records
                .iter()
                .filter(|(of, ..)| *of == stream(number))
                .map(|(_, lsn, payload)| (*lsn, payload))
                .collect();
            let appended = &self.appended[usize::from(number)];
            let durable = self.durable[usize::from(number)];
            let mut cut = None;
            for (nth, (lsn, payload)) in appended.iter().enumerate() {
                let base = lsn.segment_base(segment_bytes());
                let may_be_gone = self.retired.get(&base) == Some(&Retired::MayBeGone);
                match found.get(lsn) {
                    Some(&found) => {
                        assert_eq!(found, payload, "the record at {lsn} of stream {number}");
                        assert_eq!(cut, None, "stream {number} goes on at {lsn} behind what it lost");
                    }
                    None if may_be_gone => (),
                    None => {
                        assert!(nth >= durable, "the record at {lsn} of stream {number} was durable and is gone");
                        cut.get_or_insert(*lsn);
                    }
                }
            }
            let known: BTreeMap<_, _> = appended.iter().map(|(lsn, payload)| (*lsn, payload)).collect();
            for lsn in found.keys() {
                assert!(known.contains_key(lsn), "a record at {lsn} of stream {number} that nobody appended");
            }
        }
        assert!(left.notes.len() >= self.notes_durable, "a durable note is gone");
        assert_eq!(left.notes, self.notes[..left.notes.len()]);
    }

    /// What the next life begins with.
    fn after(&self, left: &Left) -> Self {
        let mut next = Self::new();
        for (of, lsn, payload) in &left.records {
            next.appended[usize::from(of.get())].push((*lsn, payload.clone()));
        }
        next.durable = next.appended.iter().map(Vec::len).collect();
        next.notes.clone_from(&left.notes);
        next.notes_durable = left.notes.len();
        next
    }
}

/// Does one thing; an error ends the life.
fn step(store: &Streams, ledger: &mut Ledger, rng: &mut Rng) -> Result<(), Error> {
    match rng.below(40) {
        0..24 => {
            let number = rng.below(u64::from(STREAMS)) as u8;
            let len = if rng.below(6) == 0 { 500 } else { rng.below(60) };
            let payload = vec![rng.next() as u8; len as usize];
            let reserved = store.reserve(stream(number), len as u32);
            let mut reservation = reserved?;
            let lsn = reservation.lsn();
            if rng.below(10) == 0 {
                drop(reservation);
                return Ok(());
            }
            reservation.payload_mut().copy_from_slice(&payload);
            ledger.appended[usize::from(number)].push((lsn, payload));
            reservation.complete();
        }
        24..31 => {
            let waiting: Vec<_> = ledger.appended.iter().map(Vec::len).collect();
            store.flush()?;
            ledger.durable = waiting;
            for retired in ledger.retired.values_mut().filter(|retired| **retired == Retired::Unflushed) {
                *retired = Retired::Flushed;
            }
        }
        31..34 => {
            let full: Vec<_> = store.segments().into_iter().filter(|segment| segment.end.is_some()).collect();
            if full.len() > 2 {
                let base = full[rng.below(full.len() as u64) as usize].base;
                store.retire(base)?;
                ledger.retired.insert(base, Retired::Unflushed);
            }
        }
        34..37 => {
            // What is on its way may have come to the disk, whatever the answer.
            for retired in ledger.retired.values_mut().filter(|retired| **retired == Retired::Flushed) {
                *retired = Retired::MayBeGone;
            }
            store.reclaim(rng.next())?;
        }
        37 => {
            let note = rng.next().to_le_bytes().to_vec();
            ledger.notes.push(note.clone());
            store.note(&note)?;
        }
        38 => {
            let waiting = ledger.notes.len();
            store.flush_notes()?;
            ledger.notes_durable = waiting;
        }
        _ => {
            let (records, nth) = {
                let records = &ledger.appended[rng.below(u64::from(STREAMS)) as usize];
                (records, rng.below(records.len().max(1) as u64) as usize)
            };
            if let Some((lsn, payload)) = records.get(nth) {
                let is_retired = ledger.retired.contains_key(&lsn.segment_base(segment_bytes()));
                match store.read(*lsn, message_bytes(payload))? {
                    Some(found) => assert_eq!(&found, payload),
                    None => assert!(is_retired, "the record at {lsn} is not found"),
                }
            }
        }
    }
    Ok(())
}

/// Runs the lives of a seed. Returns how many crash states were looked at.
fn history(seed: u64) -> u64 {
    let mut rng = Rng(seed);
    let options = options().segments_max(Some(24)).reserve(2, 2);
    let mut disk = SimStorage::new(rng.next(), Faults::default());
    let mut ledger = Ledger::new();
    let mut states = 0;
    for _ in 0..LIVES {
        let crash_after_ops = Some(rng.below(120));
        let faults = match rng.below(4) {
            0 => Faults { sync_error: esker_sim::Failures::nth(rng.below(10)), ..Faults::default() },
            1 => Faults { write_error: esker_sim::Failures::nth(rng.below(30)), ..Faults::default() },
            _ => Faults::default(),
        };
        disk.set_faults(Faults { crash_after_ops, ..faults });
        let storage: Arc<dyn Storage> = Arc::new(disk.clone());
        if let Ok((store, left)) = open(&storage, &options) {
            ledger.check(&left);
            for _ in 0..200 {
                match step(&store, &mut ledger, &mut rng) {
                    Err(Error::NoSpace { .. }) | Ok(()) => (),
                    Err(_) => break,
                }
            }
            if rng.below(3) == 0 {
                let waiting: Vec<_> = ledger.appended.iter().map(Vec::len).collect();
                if store.close().is_ok() {
                    ledger.durable = waiting;
                }
            }
        }
        let mut next = None;
        for n in 0..CRASHES {
            let left_over = if n == 0 && disk.is_on() { disk.snapshot() } else { disk.after_crash(rng.next()) };
            left_over.set_faults(Faults::default());
            let picture: Arc<dyn Storage> = Arc::new(left_over.clone());
            let image = left_over.snapshot();
            // The opening may be cut short as well, and what it leaves is as good.
            if rng.below(3) == 0 {
                left_over.set_faults(Faults { crash_after_ops: Some(rng.below(20)), ..Faults::default() });
                drop(open(&picture, &options));
                let again = left_over.after_crash(rng.next());
                again.set_faults(Faults::default());
                let (_, left) = open(&(Arc::new(again) as Arc<dyn Storage>), &options)
                    .unwrap_or_else(|error| panic!("seed {seed}: after a crash while opening: {error}"));
                ledger.check(&left);
                states += 1;
            }
            let picture: Arc<dyn Storage> = Arc::new(image.clone());
            let (store, left) = open(&picture, &options).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            ledger.check(&left);
            for (_, lsn, payload) in &left.records {
                assert_eq!(store.read(*lsn, message_bytes(payload)).unwrap().as_ref(), Some(payload), "seed {seed}");
            }
            drop(store);
            states += 1;
            if next.is_none() || rng.below(3) == 0 {
                next = Some((image, left));
            }
        }
        let (image, left) = next.expect("there was a crash");
        disk = image;
        ledger = ledger.after(&left);
    }
    states
}

#[test]
fn what_was_flushed_survives_any_crash_and_each_stream_is_cut_once() {
    let states: u64 = (0..60).map(history).sum();
    assert!(states > 1500, "{states}");
}

/// `cargo test --release -p esker-streams many_crashes -- --ignored --nocapture`
#[test]
#[ignore = "takes a minute; the short form above runs each time"]
#[expect(clippy::print_stdout, reason = "the figure is what this is run for")]
fn many_crashes() {
    let states: u64 = (1000..6000).map(history).sum();
    println!("{states} crash states");
}
