//! Truncation: what it frees, what it keeps, and what becomes of blobs.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use esker_log::{
    ErrorKind, Log, Lsn,
    storage::{FileStorage, MemStorage, Storage},
};
use esker_sim::{Faults, SimStorage};

use crate::support::{
    Call, Hooked, Image, Records, SEGMENT_BYTES, SetAtEnd, abandon, all, append, assert_same, collect, open, options,
    payload, reader, salvage,
};

/// Readers are known to the whole process: one that takes its time in one test keeps segments from being used again in
/// another.
static READERS: Mutex<()> = Mutex::new(());

fn blobs(storage: &dyn Storage) -> usize {
    storage.list().unwrap().iter().filter(|name| name.starts_with("blob-")).count()
}

fn laps(storage: Arc<dyn Storage>) {
    let log = Log::open(storage, options()).unwrap();
    let mut records = Records::new();
    let mut slots_max = 0;
    for lap in 0..50u64 {
        // Four segments and a bit.
        while log.end_lsn().get() < (lap + 1) * 4 * u64::from(SEGMENT_BYTES) + 700 {
            append(&log, &mut records, payload(lap, 300));
        }
        let floor = *records.keys().rev().nth(2).unwrap();
        assert_eq!(log.truncate_before(floor).unwrap().floor, floor);
        records = records.split_off(&floor);
        assert_eq!(log.floor(), floor);
        assert_same(&format!("lap {lap}"), &all(&log), &records);
        slots_max = slots_max.max(log.stats().segments.slots);
    }
    // Those of a lap, and those of the one before, which wait until nobody can be reading them.
    assert!(slots_max <= 20, "the file grew to {slots_max} segments");
}

#[test]
fn segments_are_used_again_and_the_file_does_not_grow() {
    let _alone = READERS.lock().unwrap_or_else(PoisonError::into_inner);
    laps(Arc::new(MemStorage::default()));
    let directory = tempfile::tempdir().unwrap();
    laps(Arc::new(FileStorage::create(directory.path()).unwrap()));
    let bytes = std::fs::metadata(directory.path().join("log")).unwrap().len();
    assert!(bytes <= 20 * u64::from(SEGMENT_BYTES), "the file has {bytes} bytes");
}

#[test]
fn the_floor_is_exact_at_every_lsn_and_after_every_kind_of_end() {
    let storage = MemStorage::default();
    let log = open(&storage);
    let mut records = Records::new();
    for n in 0..60 {
        append(&log, &mut records, payload(n, 150));
    }
    let end = log.flush().unwrap();
    abandon(log);
    let image = Image::of(&storage);
    // Every kind of place: within records and headers, at their borders, at the borders of segments, and the end.
    for floor in (1..end.get()).step_by(61).chain([64, 4095, 4096, 4097, 4160, 8192, end.get() - 1, end.get()]) {
        let floor = Lsn::new(floor);
        let wanted = records.clone().split_off(&floor);
        let storage = image.storage();
        let log = open(&storage);
        let truncation = log.truncate_before(floor).unwrap();
        assert_eq!(truncation.floor, floor);
        assert_eq!(u64::from(truncation.segments_freed), floor.get() / u64::from(SEGMENT_BYTES));
        assert_eq!(log.floor(), floor);
        assert_same(&format!("floor {floor}"), &all(&log), &wanted);
        // An earlier one changes nothing.
        assert_eq!(log.truncate_before(Lsn::new(floor.get() / 2)).unwrap().floor, floor);
        let killed = Image::of(&storage);
        log.close().unwrap();
        for storage in [storage, killed.storage()] {
            let reader = reader(&storage);
            assert_eq!(reader.floor(), floor);
            assert_same(&format!("floor {floor}, reader"), &collect(reader.iter_from(Lsn::ZERO)), &wanted);
            assert!(reader.verify(&mut |_, _| ()).unwrap().is_clean());
            let log = open(&storage);
            let mut wanted = wanted.clone();
            assert_eq!(log.floor(), floor);
            assert_same(&format!("floor {floor} after reopening"), &all(&log), &wanted);
            for n in 0..30 {
                append(&log, &mut wanted, payload(n, 200));
            }
            assert_same(&format!("floor {floor} after going on"), &all(&log), &wanted);
            log.close().unwrap();
            assert_same(&format!("floor {floor} after going on and reopening"), &all(&open(&storage)), &wanted);
        }
    }
}

#[test]
fn truncating_everything_leaves_a_log_that_goes_on() {
    let storage = MemStorage::default();
    for n in 0..40 {
        let log = open(&storage);
        let mut records = Records::new();
        for _ in 0..n % 17 {
            append(&log, &mut records, payload(n, 400));
        }
        assert_same("all", &all(&log), &records);
        let end = log.end_lsn();
        assert_eq!(log.truncate_before(end).unwrap().floor, end);
        assert!(all(&log).is_empty());
        log.close().unwrap();
    }
}

#[test]
fn a_limit_on_segments_is_an_error_until_truncation_makes_room() {
    for max in [2, 3, 5] {
        let storage = MemStorage::default();
        let log = Log::open(Arc::new(storage.clone()), options().segments_max(Some(max))).unwrap();
        for lap in 0..20u64 {
            let mut records = all(&log);
            let error = loop {
                let payload = payload(lap, 100 + (lap as usize * 37) % 300);
                match log.append(&payload) {
                    Ok(lsn) => assert!(records.insert(lsn, payload).is_none()),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
            // Everything that was accepted is kept, and can be made durable and read.
            log.flush().unwrap();
            assert_same("all", &all(&log), &records);
            let floor = *records.keys().rev().nth(1).unwrap();
            assert!(log.truncate_before(floor).unwrap().segments_freed >= max - 1);
            log.append(&payload(lap, 100)).unwrap_or_else(|error| panic!("no room after truncation: {error}"));
        }
        log.close().unwrap();
        let bytes = Image::of(&storage).file("log").len();
        assert_eq!(bytes, (max * SEGMENT_BYTES) as usize);
    }
}

/// Gate B: between looking a place up and reading it, everything is truncated and the file is written over and over.
#[test]
fn a_slot_is_not_used_again_while_a_reader_is_on_its_way_to_it() {
    type Interrupt = Box<dyn FnOnce() + Send>;
    let _alone = READERS.lock().unwrap_or_else(PoisonError::into_inner);
    let interrupt: Arc<Mutex<Option<Interrupt>>> = Arc::default();
    let armed = interrupt.clone();
    let storage = Hooked::new(MemStorage::default(), move |call, name| {
        if call == Call::Read && name == "log" {
            let interrupt = armed.lock().unwrap().take();
            if let Some(interrupt) = interrupt {
                interrupt();
            }
        }
        Ok(())
    });
    let log = Arc::new(open(&storage));
    // Short enough to be read at once: where a second look is needed, the record is gone by then.
    let lsn = log.append(&payload(1, 200)).unwrap();
    while log.end_lsn().get() < 2 * u64::from(SEGMENT_BYTES) {
        log.append(&payload(2, 300)).unwrap();
    }
    log.flush().unwrap();
    let writing = log.clone();
    *interrupt.lock().unwrap() = Some(Box::new(move || {
        let truncation = writing.truncate_before(writing.end_lsn()).unwrap();
        assert_eq!(truncation.segments_freed, 2);
        // Enough to fill the freed slots, were they given out. On another thread: this one is the reader.
        let lap = writing.end_lsn() + 4 * u64::from(SEGMENT_BYTES);
        let write = || {
            while writing.end_lsn() < lap {
                writing.append(&payload(3, 300)).unwrap();
            }
            writing.flush().unwrap();
        };
        thread::scope(|scope| scope.spawn(write).join()).unwrap();
    }));
    assert_eq!(log.read(lsn).unwrap().payload(), payload(1, 200));
    assert!(interrupt.lock().unwrap().is_none(), "the reader was not interrupted");
    assert_eq!(log.read(lsn).unwrap_err().kind(), ErrorKind::Truncated);
}

#[test]
fn room_that_truncation_made_is_found_while_others_read() {
    let _alone = READERS.lock().unwrap_or_else(PoisonError::into_inner);
    // Reads that take their time.
    let storage = Hooked::new(MemStorage::default(), |call, _| {
        if call == Call::Read {
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    });
    let log = Log::open(Arc::new(storage), options().segments_max(Some(4))).unwrap();
    log.append(&payload(0, 10)).unwrap();
    let done = AtomicBool::new(false);
    let (log, done) = (&log, &done);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    salvage(log.iter_from(Lsn::ZERO).unwrap());
                }
            });
        }
        let _end = SetAtEnd(done);
        let mut lsns = Vec::new();
        for n in 0..200 {
            lsns.push(log.append(&payload(n, 300)).unwrap_or_else(|error| panic!("record {n}: {error}")));
            if lsns.len() > 20 {
                log.truncate_before(lsns.split_off(lsns.len() - 3)[0]).unwrap();
                lsns.clear();
            }
        }
    });
}

#[test]
fn blobs_go_with_their_records() {
    let storage = MemStorage::default();
    let log = open(&storage);
    let mut records = Records::new();
    for n in 0..20 {
        append(&log, &mut records, payload(n, 1000 + n as usize * 100));
        append(&log, &mut records, payload(n, 100));
    }
    assert_eq!(blobs(&storage), 20);
    let floor = *records.keys().nth(9).unwrap();
    assert_eq!(log.truncate_before(floor).unwrap().blobs_removed, 5);
    assert_eq!(blobs(&storage), 15);
    records = records.split_off(&floor);
    assert_same("all", &all(&log), &records);
    // Those that an earlier opening wrote go, too.
    log.close().unwrap();
    let log = open(&storage);
    let floor = *records.keys().nth(11).unwrap();
    log.truncate_before(floor).unwrap();
    records = records.split_off(&floor);
    assert_same("all", &all(&log), &records);
    assert_eq!(blobs(&storage), records.values().filter(|payload| payload.len() > 500).count());
    assert_eq!(log.collect_blobs().unwrap(), 0);
    let end = log.end_lsn();
    log.truncate_before(end).unwrap();
    assert_eq!(blobs(&storage), 0);
}

#[test]
fn blobs_that_nobody_points_at_are_collected_and_no_others() {
    let storage = MemStorage::default();
    let log = open(&storage);
    let mut records = Records::new();
    for n in 0..4 {
        append(&log, &mut records, payload(n, 2000));
    }
    log.close().unwrap();
    // As a crash between a blob and its record leaves it.
    let mut image = Image::of(&storage);
    let (name, bytes) = image.0.iter().find(|(name, _)| name.starts_with("blob-")).unwrap();
    let orphan = format!("{}{:08x}", &name[..name.len() - 8], 77);
    let bytes = bytes.clone();
    image.0.insert(orphan.clone(), bytes);
    let storage = image.storage();
    assert_eq!(reader(&storage).verify(&mut |_, _| ()).unwrap().orphan_blobs, [orphan]);
    let log = open(&storage);
    assert_eq!(log.collect_blobs().unwrap(), 1);
    assert_eq!(log.collect_blobs().unwrap(), 0);
    assert_same("all", &all(&log), &records);
}

/// The record of a blob is appended while the collection that found the blob is reading the log.
#[test]
fn a_blob_whose_record_is_on_its_way_is_not_collected() {
    let storage = MemStorage::default();
    let (blob_begun, wait_for_begin) = mpsc::channel();
    let (let_go, gate) = mpsc::channel();
    let (appended, wait_for_append) = mpsc::channel();
    let steps = Mutex::new((Some(blob_begun), Some(gate), Some((let_go, wait_for_append))));
    let armed = Arc::new(AtomicBool::new(false));
    let is_armed = armed.clone();
    let hooked = Hooked::new(storage, move |call, name| {
        if !is_armed.load(Ordering::Relaxed) {
            return Ok(());
        }
        if call == Call::Sync && name.starts_with("blob-") {
            let mut steps = steps.lock().unwrap();
            let (begun, gate) = (steps.0.take(), steps.1.take());
            drop(steps);
            if let (Some(begun), Some(gate)) = (begun, gate) {
                begun.send(()).unwrap();
                gate.recv().unwrap();
            }
        }
        if call == Call::Read && name == "log" {
            let released = steps.lock().unwrap().2.take();
            if let Some((let_go, wait_for_append)) = released {
                let_go.send(()).unwrap();
                wait_for_append.recv().unwrap();
            }
        }
        Ok(())
    });
    let log = open(&hooked);
    let mut records = Records::new();
    append(&log, &mut records, payload(1, 2000));
    armed.store(true, Ordering::Relaxed);
    let log = &log;
    let lsn = thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let lsn = log.append(&payload(2, 2000)).unwrap();
            appended.send(()).unwrap();
            lsn
        });
        wait_for_begin.recv().unwrap();
        assert_eq!(log.collect_blobs().unwrap(), 0);
        writer.join().unwrap()
    });
    assert_eq!(log.read(lsn).unwrap().payload(), payload(2, 2000));
}

#[test]
fn what_a_power_cut_leaves_of_blobs_is_collected_and_what_was_promised_is_there() {
    let mut orphans = 0;
    for cut in 0..120u64 {
        let disk = SimStorage::new(cut, Faults { crash_after_ops: Some(10 + cut), ..Faults::default() });
        let mut promised = Records::new();
        if let Ok(log) = Log::open(Arc::new(disk.clone()), options()) {
            let mut floor = Lsn::ZERO;
            for n in 0..12 {
                let payload = payload(n, 1500);
                let Ok(lsn) = log.append_durable(&payload) else { break };
                promised.insert(lsn, payload);
                if n % 4 == 3 {
                    floor = lsn;
                    if log.truncate_before(lsn).is_err() {
                        break;
                    }
                }
            }
            promised = promised.split_off(&floor);
        }
        disk.crash();
        for seed in 0..3 {
            let left = disk.after_crash(seed);
            let log = open(&left);
            let found = all(&log);
            for (lsn, payload) in &promised {
                assert_eq!(found.get(lsn), Some(payload), "cut {cut}, seed {seed}");
            }
            orphans += log.collect_blobs().unwrap();
            assert_same(&format!("cut {cut}, seed {seed}, collected"), &all(&log), &found);
            assert_eq!(blobs(&left), found.len());
        }
    }
    assert!(orphans > 0, "no cut left an orphan, so that nothing was tested");
}

#[test]
fn damage_does_not_keep_a_log_from_being_truncated_beyond_it() {
    let storage = MemStorage::default();
    let log = open(&storage);
    let mut records = Records::new();
    append(&log, &mut records, payload(0, 2000));
    for n in 0..40 {
        append(&log, &mut records, payload(n, 300));
    }
    log.close().unwrap();
    let mut image = Image::of(&storage);
    let damaged = *records.keys().nth(3).unwrap();
    image.file("log")[damaged.get() as usize + 30] ^= 4;
    let storage = image.storage();
    let log = open(&storage);
    assert_eq!(log.read(damaged).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(log.collect_blobs().unwrap_err().kind(), ErrorKind::Corrupt);
    let floor = *records.keys().nth(4).unwrap();
    assert_eq!(log.truncate_before(floor).unwrap().blobs_removed, 1);
    assert_same("beyond the damage", &all(&log), &records.split_off(&floor));
}

/// Appends until so many segments more are begun.
fn fill(log: &Log, segments: u64) {
    let until = (log.end_lsn().get() / u64::from(SEGMENT_BYTES) + segments) * u64::from(SEGMENT_BYTES);
    while log.end_lsn().get() <= until {
        log.append(&[7; 300]).unwrap();
    }
}

fn segments_kept(log: &Log) -> u64 {
    log.end_lsn().get() / u64::from(SEGMENT_BYTES) - log.floor().get() / u64::from(SEGMENT_BYTES)
}

#[test]
fn only_the_newest_bytes_are_kept_of_a_log_that_is_to_keep_no_more() {
    let _alone = READERS.lock().unwrap_or_else(PoisonError::into_inner);
    let storage: Arc<dyn Storage> = Arc::new(MemStorage::default());
    let kept = 5 * u64::from(SEGMENT_BYTES) + 100;
    let by_hand = options().background(false).retain_bytes(Some(kept));
    let log = Log::open(storage.clone(), by_hand).unwrap();
    for _ in 0..20 {
        fill(&log, 3);
        log.run_upkeep().unwrap();
        assert_eq!(log.floor().get() % u64::from(SEGMENT_BYTES), 0, "segments go as a whole");
        let len = log.end_lsn() - log.floor();
        assert!(log.floor() == Lsn::ZERO || len >= kept, "{len} bytes are left");
        assert!(len <= kept + u64::from(SEGMENT_BYTES), "{len} bytes are left");
    }
    assert!(log.stats().segments.slots <= 13, "{:?}", log.stats());
    let first = log.iter_from(Lsn::ZERO).unwrap().next().unwrap().unwrap().lsn();
    assert!(first >= log.floor());
    log.close().unwrap();

    // And so does the log's own thread.
    let log = Log::open(storage, options().background(true).retain_bytes(Some(kept))).unwrap();
    let floor = log.floor();
    fill(&log, 4);
    while log.floor() == floor {
        thread::yield_now();
    }
    assert!(log.end_lsn() - log.floor() >= kept);
}

/// The time that the tests of ages tell, in milliseconds since 1970.
static TIME: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1_000_000);

fn clock() -> std::time::SystemTime {
    std::time::UNIX_EPOCH + Duration::from_millis(TIME.load(Ordering::SeqCst))
}

fn pass(millis: u64) {
    TIME.fetch_add(millis, Ordering::SeqCst);
}

#[test]
fn what_is_old_enough_is_given_up_also_after_the_log_was_opened_again() {
    let _alone = READERS.lock().unwrap_or_else(PoisonError::into_inner);
    let storage: Arc<dyn Storage> = Arc::new(MemStorage::default());
    let aging = || options().background(false).retain_age(Some(Duration::from_secs(10))).clock(clock);
    let open = || Log::open(storage.clone(), aging()).unwrap();
    let log = open();
    // One segment a second.
    for _ in 0..8 {
        fill(&log, 1);
        log.run_upkeep().unwrap();
        pass(1000);
    }
    assert_eq!(log.floor(), Lsn::ZERO);
    // What the file says that nobody understands is passed over, and what is missing makes records older.
    log.close().unwrap();
    let times = storage.open("times", esker_log::storage::Access::ReadWrite).unwrap();
    let len = times.len().unwrap();
    times.write_all_at(b"12 what 7\n\xff\xfe\n18446744073709551615 5\n1", len).unwrap();
    let log = open();
    log.run_upkeep().unwrap();
    assert_eq!((log.floor(), segments_kept(&log)), (Lsn::ZERO, 8));
    pass(5000);
    log.run_upkeep().unwrap();
    // Segments 1 to 4 were begun ten seconds ago and more, so that 0 to 3 are old enough.
    assert_eq!(segments_kept(&log), 4);
    pass(1000);
    log.run_upkeep().unwrap();
    assert_eq!(segments_kept(&log), 3);
    log.close().unwrap();
    // However old it is, what is being filled stays.
    pass(1_000_000);
    let log = open();
    log.run_upkeep().unwrap();
    assert_eq!(segments_kept(&log), 0);
    assert!(log.iter_from(Lsn::ZERO).unwrap().count() > 0);
    // Without the file nothing is known of what is there, but that it is older than what comes.
    fill(&log, 3);
    log.run_upkeep().unwrap();
    log.close().unwrap();
    storage.remove("times").unwrap();
    let log = open();
    pass(20_000);
    log.run_upkeep().unwrap();
    assert_eq!(segments_kept(&log), 3);
    pass(9_999);
    log.run_upkeep().unwrap();
    assert_eq!(segments_kept(&log), 3);
    pass(1);
    log.run_upkeep().unwrap();
    assert_eq!(segments_kept(&log), 0);
}

#[test]
fn a_thread_looks_at_the_clock_where_age_matters() {
    let _alone = READERS.lock().unwrap_or_else(PoisonError::into_inner);
    let log = Log::open(
        Arc::new(MemStorage::default()),
        options().background(true).retain_age(Some(Duration::from_millis(20))),
    )
    .unwrap();
    fill(&log, 3);
    // Nothing more is appended: only time passes.
    while segments_kept(&log) > 0 {
        thread::yield_now();
    }
    assert!(log.iter_from(Lsn::ZERO).unwrap().count() > 0);
}
