//! Creating, opening, closing and opening again.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use esker_log::{
    Error, ErrorKind, Log, LogReader, Lsn, Options,
    storage::{Access, FileStorage, MemStorage, Storage},
};
use esker_sim::{Faults, SimStorage};

use crate::support::{
    Call, Hooked, Image, Records, SEGMENT_BYTES, abandon, all, append, assert_same, collect, open, options, payload,
    reader,
};

#[test]
fn a_new_log_is_empty_and_stays_so_through_any_number_of_openings() {
    let storage = MemStorage::default();
    let mut bytes = None;
    for round in 0..20 {
        let log = open(&storage);
        assert_eq!(log.report().created, round == 0);
        assert!(log.report().clean, "round {round}: {}", log.report());
        assert_eq!((log.floor(), log.stable_lsn(), log.end_lsn()), (Lsn::ZERO, Lsn::ZERO, Lsn::ZERO));
        assert!(all(&log).is_empty());
        assert_eq!(log.read(Lsn::new(64)).unwrap_err().kind(), ErrorKind::NeverReserved);
        assert_eq!(log.close().unwrap(), Lsn::ZERO);
        let log_bytes = Image::of(&storage).file("log").len();
        assert_eq!(*bytes.get_or_insert(log_bytes), log_bytes);
    }
    assert!(collect(reader(&storage).iter_from(Lsn::ZERO)).is_empty());
}

#[test]
fn every_round_of_opening_and_closing_keeps_every_record_of_the_rounds_before() {
    let storage = MemStorage::default();
    let mut records = Records::new();
    for round in 0..30u64 {
        let log = open(&storage);
        assert_same(&format!("round {round}"), &all(&log), &records);
        assert!(log.report().clean && log.report().torn.is_none(), "round {round}: {}", log.report());
        for n in 0..round % 7 * 3 {
            append(&log, &mut records, payload(round * 100 + n, (round * n % 300) as usize));
        }
        let end = log.close().unwrap();
        assert!(records.keys().all(|&lsn| lsn < end));
        assert_same("a reader", &collect(reader(&storage).iter_from(Lsn::ZERO)), &records);
    }
}

#[test]
fn opening_and_closing_without_appending_leaves_the_log_file_as_it_is() {
    let storage = MemStorage::default();
    let log = open(&storage);
    append(&log, &mut Records::new(), payload(1, 100));
    log.close().unwrap();
    let before = Image::of(&storage).file("log").clone();
    for _ in 0..5 {
        open(&storage).close().unwrap();
    }
    assert_eq!(*Image::of(&storage).file("log"), before);
}

#[test]
fn dropping_a_log_closes_it() {
    let storage = MemStorage::default();
    let mut records = Records::new();
    let log = open(&storage);
    append(&log, &mut records, payload(1, 100));
    drop(log);
    let log = open(&storage);
    assert!(log.report().clean);
    assert_same("all", &all(&log), &records);
}

#[test]
fn a_batch_is_appended_in_order_with_long_payloads_among_it() {
    let storage = MemStorage::default();
    let log = open(&storage);
    let max = log.inline_bytes_max() as usize;
    let lens = [0, 10, max, max + 1, max + 1, 3, 100, 5000, 7];
    let payloads: Vec<_> = (0..).zip(lens).map(|(n, len)| payload(n, len)).collect();
    let mut records = Records::new();
    for batch in [&payloads[..0], &payloads[..1], &payloads[3..5], &payloads] {
        let mut lsns = Vec::new();
        log.append_batch(&batch.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut lsns).unwrap();
        assert_eq!(lsns.len(), batch.len());
        assert!(
            lsns.is_sorted_by(|a, b| a < b)
                && records.last_key_value().is_none_or(|(last, _)| lsns.iter().all(|lsn| lsn > last))
        );
        records.extend(lsns.into_iter().zip(batch.iter().cloned()));
    }
    assert_same("before closing", &all(&log), &records);
    log.close().unwrap();
    assert_same("after", &all(&open(&storage)), &records);
}

#[test]
fn a_batch_on_a_full_log_says_how_far_it_came() {
    let storage = MemStorage::default();
    let log = Log::open(Arc::new(storage.clone()), options().segments_max(Some(2))).unwrap();
    let payloads: Vec<_> = (0..100).map(|n| payload(n, 150)).collect();
    let mut lsns = Vec::new();
    let error = log.append_batch(&payloads.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut lsns).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert!((1..100).contains(&lsns.len()), "{} appended", lsns.len());
    let records = lsns.into_iter().zip(payloads).collect();
    assert_same("what was appended", &all(&log), &records);
}

#[test]
fn a_log_that_was_not_closed_keeps_what_was_made_durable() {
    let storage = MemStorage::default();
    let mut records = Records::new();
    let log = open(&storage);
    for n in 0..50 {
        append(&log, &mut records, payload(n, 150));
    }
    log.flush().unwrap();
    log.append(&payload(99, 20)).unwrap();
    let image = Image::of(&storage);
    abandon(log);
    let log = open(&image.storage());
    assert!(!log.report().clean);
    assert!(log.report().torn.is_none(), "{}", log.report());
    assert_same("all", &all(&log), &records);
    assert_eq!(log.stable_lsn(), log.end_lsn());
}

#[test]
fn the_log_is_locked_until_it_is_closed_and_readers_do_not_mind() {
    let directory = tempfile::tempdir().unwrap();
    let files = FileStorage::create(directory.path().join("log")).unwrap();
    let memory = MemStorage::default();
    let storages: [Arc<dyn Storage>; 2] = [Arc::new(files), Arc::new(memory)];
    for storage in storages {
        let log = Log::open(storage.clone(), options()).unwrap();
        log.append_durable(b"seen by readers").unwrap();
        assert_eq!(Log::open(storage.clone(), options()).unwrap_err().kind(), ErrorKind::Locked);
        let reader = LogReader::open(storage.clone()).unwrap();
        assert_eq!(collect(reader.iter_from(Lsn::ZERO)).len(), 1);
        log.close().unwrap();
        Log::open(storage, options()).unwrap();
    }
}

#[test]
fn the_lock_is_released_when_opening_fails() {
    let storage = MemStorage::default();
    let log = open(&storage);
    log.append(b"what shows that the log is ours").unwrap();
    log.close().unwrap();
    let whole = Image::of(&storage).file("superblock").clone();
    let superblock = storage.open("superblock", Access::ReadWrite).unwrap();
    superblock.write_all_at(&[0xee; 8192], 0).unwrap();
    assert_eq!(Log::open(Arc::new(storage.clone()), options()).unwrap_err().kind(), ErrorKind::Corrupt);
    superblock.write_all_at(&whole, 0).unwrap();
    open(&storage);
}

#[test]
fn a_log_is_created_only_where_that_is_wanted_and_nothing_else_is() {
    let storage = MemStorage::default();
    let error = Log::open(Arc::new(storage.clone()), options().create(false)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(LogReader::open(Arc::new(storage.clone())).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(storage.list().unwrap().is_empty(), "looking for a log left something behind");

    for name in ["notes.txt", "blob-0000000000000000-00000001-00000000", "Superblock", "log"] {
        let storage = MemStorage::default();
        storage.create(name).unwrap().write_all_at(b"precious", 0).unwrap();
        let before = Image::of(&storage);
        let error = Log::open(Arc::new(storage.clone()), options()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotEsker, "{name}: {error}");
        assert!(error.to_string().contains(name), "{name} is not named in: {error}");
        assert_eq!(LogReader::open(Arc::new(storage.clone())).unwrap_err().kind(), ErrorKind::NotEsker, "{name}");
        assert_eq!(Image::of(&storage), before, "{name}: the directory was touched");
    }
}

#[test]
fn a_log_keeps_its_segment_size_and_its_identity() {
    let storage = MemStorage::default();
    let log = open(&storage);
    let (segment_bytes, log_id) = (log.segment_bytes(), log.log_id());
    let mut records = Records::new();
    append(&log, &mut records, payload(1, 300));
    log.close().unwrap();
    let other = Options::new().segment_bytes(1 << 16).buffer_bytes(1 << 12);
    let log = Log::open(Arc::new(storage), other).unwrap();
    assert_eq!((log.segment_bytes(), log.log_id()), (segment_bytes, log_id));
    for n in 0..40 {
        append(&log, &mut records, payload(n, 700));
    }
    assert_same("all", &all(&log), &records);
}

#[test]
fn two_logs_have_two_identities() {
    let log = |storage| Log::open(Arc::new(storage), Options::new().segment_bytes(4096)).unwrap().log_id();
    assert_ne!(log(MemStorage::default()), log(MemStorage::default()));
}

#[test]
fn all_faults_of_options_are_reported_at_once_and_nothing_is_touched() {
    let storage = MemStorage::default();
    let options = Options::new()
        .segment_bytes(5000)
        .buffer_bytes(1)
        .buffers(3)
        .segments_max(Some(1))
        .flush_interval(Some(std::time::Duration::ZERO));
    match Log::open(Arc::new(storage.clone()), options).unwrap_err() {
        Error::InvalidOptions { faults } => assert_eq!(faults.len(), 5, "{faults:?}"),
        other => panic!("{other}"),
    }
    assert!(storage.list().unwrap().is_empty());
}

#[test]
fn a_creation_that_was_cut_short_anywhere_can_be_begun_again() {
    for cut in 0.. {
        let disk = SimStorage::new(cut, Faults { crash_after_ops: Some(cut), ..Faults::default() });
        let outcome = Log::open(Arc::new(disk.clone()), options()).and_then(|log| log.append_durable(b"first"));
        let promised = outcome.is_ok();
        disk.crash();
        for seed in 0..40 {
            let left = disk.after_crash(seed);
            let log = Log::open(Arc::new(left.clone()), options())
                .unwrap_or_else(|error| panic!("cut {cut}, seed {seed}: {error}"));
            assert!(!promised || all(&log).len() == 1, "cut {cut}, seed {seed}: the record is lost");
            log.append_durable(b"second").unwrap();
        }
        if promised {
            assert!(cut > 5, "creating took {cut} changing calls only");
            return;
        }
    }
}

/// Kills the process at every call of a first opening, then goes on in another process, then cuts the power.
#[test]
fn a_creation_whose_process_was_killed_anywhere_is_durable_once_the_next_one_has_opened_it() {
    for kill in 0.. {
        let disk = SimStorage::new(kill, Faults::default());
        let calls = Arc::new(AtomicU64::new(0));
        let counter = calls.clone();
        let dying = Hooked::new(disk.clone(), move |_, _| match counter.fetch_add(1, Ordering::Relaxed) {
            call if call < kill => Ok(()),
            _ => Err(io::Error::other("killed")),
        });
        let done = Log::open(Arc::new(dying), options()).is_ok_and(|log| log.close().is_ok());
        let log = open(&disk);
        let lsn = log.append_durable(b"promised").unwrap();
        disk.crash();
        drop(log);
        for seed in 0..20 {
            let log = Log::open(Arc::new(disk.after_crash(seed)), options().create(false))
                .unwrap_or_else(|error| panic!("killed at {kill}, seed {seed}: {error}"));
            assert_eq!(log.read(lsn).unwrap().payload(), b"promised");
        }
        if done {
            assert!(kill > 10, "opening and closing took {kill} calls only");
            return;
        }
    }
}

#[test]
fn a_damaged_copy_of_the_superblock_is_replaced_before_the_whole_one_is_touched() {
    // Both parities of the generation, and either copy.
    for (closings, copy) in [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0)] {
        let storage = MemStorage::default();
        let mut records = Records::new();
        for _ in 0..closings {
            let log = open(&storage);
            append(&log, &mut records, payload(1, 10));
            // One update more, so that generations of both parities come up.
            log.truncate_before(Lsn::new(64)).unwrap();
            log.close().unwrap();
        }
        let mut image = Image::of(&storage);
        image.file("superblock")[copy * 4096 + 50] ^= 1;
        for cut in 0..8 {
            let disk = SimStorage::new(cut, Faults { garbage: esker_sim::Probability::ALWAYS, ..Faults::default() });
            for (name, bytes) in &image.0 {
                let file = disk.create(name).unwrap();
                if !bytes.is_empty() {
                    file.write_all_at(bytes, 0).unwrap();
                }
                file.sync_all().unwrap();
            }
            disk.sync_dir().unwrap();
            let crash_after_ops = Some(disk.counts().changing() + cut);
            disk.set_faults(Faults { crash_after_ops, ..disk.faults() });
            drop(Log::open(Arc::new(disk.clone()), options()));
            disk.crash();
            let log = open(&disk.after_crash(cut));
            assert_same(&format!("{closings} closings, copy {copy}, cut {cut}"), &all(&log), &records);
        }
    }
}

/// What a process that was killed has left in a cache, and what the next one writes, must not be torn together.
#[test]
fn a_superblock_survives_a_kill_and_then_a_power_cut_in_the_middle_of_its_updates() {
    for kill in 0..40 {
        for cut in 0..8 {
            let garbage = esker_sim::Probability::ALWAYS;
            let disk = SimStorage::new(kill, Faults { garbage, ..Faults::default() });
            open(&disk).close().unwrap();
            let calls = AtomicU64::new(0);
            let dying = Hooked::new(disk.clone(), move |_, _| match calls.fetch_add(1, Ordering::Relaxed) {
                call if call < kill => Ok(()),
                _ => Err(io::Error::other("killed")),
            });
            drop(Log::open(Arc::new(dying), options()));
            let crash_after_ops = Some(disk.counts().changing() + cut);
            disk.set_faults(Faults { crash_after_ops, ..disk.faults() });
            drop(Log::open(Arc::new(disk.clone()), options()));
            disk.crash();
            let left = disk.after_crash(cut);
            Log::open(Arc::new(left), options().create(false))
                .unwrap_or_else(|error| panic!("killed at call {kill}, power cut at {cut}: {error}"));
        }
    }
}

#[test]
fn the_last_opening_that_can_be_counted_is_not_the_end_of_the_data() {
    use esker_log::format::Superblock;
    let storage = MemStorage::default();
    let log = open(&storage);
    let mut records = Records::new();
    append(&log, &mut records, payload(1, 10));
    log.close().unwrap();
    let mut image = Image::of(&storage);
    let mut superblock = Superblock::decode(image.file("superblock")).unwrap();
    superblock.epoch = esker_log::Epoch::new(u32::MAX);
    superblock.epoch_start = superblock.mark;
    let encoded = superblock.encode();
    image.file("superblock")[..4096].copy_from_slice(&encoded);
    image.file("superblock")[4096..].copy_from_slice(&encoded);
    let storage = image.storage();
    assert_eq!(Log::open(Arc::new(storage.clone()), options()).unwrap_err().kind(), ErrorKind::InvalidOptions);
    assert_eq!(Image::of(&storage), image);
    assert_same("a reader", &collect(reader(&storage).iter_from(Lsn::ZERO)), &records);
}

#[test]
fn a_later_version_of_the_format_is_refused_untouched() {
    let storage = MemStorage::default();
    open(&storage).close().unwrap();
    let mut image = Image::of(&storage);
    for copy in 0..2 {
        let bytes = &mut image.file("superblock")[copy * 4096..][..4096];
        bytes[12] = 2;
        let crc = options_id().checksum_seed().checksum(&bytes[12..]);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        let storage = image.storage();
        for error in [
            Log::open(Arc::new(storage.clone()), options()).unwrap_err(),
            LogReader::open(Arc::new(storage.clone())).unwrap_err(),
        ] {
            assert!(matches!(error, Error::NewerFormat { found: 2, supported: 1 }), "{error}");
        }
        assert_eq!(Image::of(&storage), image);
    }
}

fn options_id() -> esker_log::LogId {
    open(&MemStorage::default()).log_id()
}

#[test]
fn the_background_makes_records_durable_and_ends_with_the_log() {
    let storage = MemStorage::default();
    let interval = std::time::Duration::from_millis(1);
    let log = Log::open(Arc::new(storage.clone()), options().background(true).flush_interval(Some(interval))).unwrap();
    let lsn = log.append(b"nobody waits").unwrap();
    let begun = std::time::Instant::now();
    while log.stable_lsn() <= lsn {
        assert!(begun.elapsed().as_secs() < 60, "nothing was flushed");
        std::thread::sleep(interval);
    }
    log.close().unwrap();
    assert_eq!(all(&open(&storage)).len(), 1);
}

#[test]
fn syncs_of_the_directory_that_fail_stop_blobs_and_nothing_else() {
    let failing = Arc::new(AtomicU64::new(0));
    let fails = failing.clone();
    let storage = Hooked::new(MemStorage::default(), move |call, _| match call {
        Call::SyncDir if fails.load(Ordering::Relaxed) == 1 => Err(io::Error::other("the directory is gone")),
        _ => Ok(()),
    });
    let log = open(&storage);
    let large = payload(1, 5000);
    let kept = log.append(&large).unwrap();
    failing.store(1, Ordering::Relaxed);
    assert_eq!(log.append(&large).unwrap_err().kind(), ErrorKind::Io);
    // What a failed sync has lost a later one does not bring back, so that no later one is believed.
    failing.store(0, Ordering::Relaxed);
    assert_eq!(log.append(&large).unwrap_err().kind(), ErrorKind::Io);
    log.append_durable(b"small ones go on").unwrap();
    assert_eq!(log.read(kept).unwrap().payload(), large);
    log.close().unwrap();
    open(&storage).append(&large).unwrap();
}

/// Opening makes durable what it found by writing it again, since a cache that lost its sync shows more than it will write.
/// What a message says was durable need not be, however far back the headers' marks are.
#[test]
fn opening_writes_again_only_what_no_message_vouches_for() {
    let storage = MemStorage::default();
    let log = open(&storage);
    let mut records = Records::new();
    // In the middle of a segment, so that the header of none was written after the sync.
    let synced = 20 * u64::from(SEGMENT_BYTES) + u64::from(SEGMENT_BYTES) / 2;
    while log.end_lsn().get() < synced {
        append(&log, &mut records, payload(1, 200));
    }
    log.flush().unwrap();
    append(&log, &mut records, payload(2, 200));
    // Written, but not synced.
    assert_same("all", &all(&log), &records);
    abandon(log);

    let writes = Arc::new(AtomicU64::new(0));
    let counted = writes.clone();
    let storage = Hooked::new(Image::of(&storage).storage(), move |call, name| {
        if call == Call::Write && name == "log" {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    });
    let log = open(&storage);
    assert_eq!(log.report().mark, Lsn::ZERO, "a header knew more than this test is about");
    assert_eq!(log.stable_lsn(), log.end_lsn());
    assert_eq!(writes.load(Ordering::Relaxed), 1);
    assert_same("all", &all(&log), &records);
}

#[test]
fn what_is_written_is_synced_in_the_background_before_it_is_much() {
    let storage = MemStorage::default();
    let options = options().background(true).unsynced_bytes_max(Some(10_000));
    let log = Log::open(Arc::new(storage.clone()), options).unwrap();
    let begin = log.stable_lsn();
    for n in 0..200 {
        log.append(&payload(n, 100)).unwrap();
    }
    let begun = std::time::Instant::now();
    while log.stable_lsn() - begin < 10_000 {
        assert!(begun.elapsed().as_secs() < 60, "nothing was synced");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[test]
fn without_a_thread_the_same_is_done_when_asked() {
    let storage = MemStorage::default();
    let log = Log::open(Arc::new(storage.clone()), options().unsynced_bytes_max(Some(10_000))).unwrap();
    for n in 0..200 {
        log.append(&payload(n, 100)).unwrap();
    }
    assert_eq!(log.stable_lsn(), Lsn::ZERO);
    log.run_upkeep().unwrap();
    assert!(log.stable_lsn() - Lsn::ZERO >= 10_000, "{}", log.stable_lsn());
}

#[test]
fn segments_are_written_ahead_where_syncs_are_frequent_and_nothing_is_free() {
    let storage = MemStorage::default();
    let log = open(&storage);
    let file_bytes = || storage.open("log", Access::Read).unwrap().len().unwrap();
    let mut records = Records::new();
    let fill = |log: &Log, records: &mut Records, segments: u64| {
        let end = log.end_lsn() + segments * u64::from(SEGMENT_BYTES);
        while log.end_lsn() < end {
            append(log, records, payload(7, 300));
            log.flush().unwrap();
        }
    };
    fill(&log, &mut records, 3);
    let slots = u64::from(log.stats().segments.slots);
    assert_eq!(file_bytes(), slots * u64::from(SEGMENT_BYTES));
    log.run_upkeep().unwrap();
    assert_eq!(file_bytes(), (slots + 1) * u64::from(SEGMENT_BYTES));
    // The segment that was written ahead is the next one, and a log that ends before it is used uses it all the same.
    fill(&log, &mut records, 1);
    assert_eq!(file_bytes(), (slots + 1) * u64::from(SEGMENT_BYTES));
    log.run_upkeep().unwrap();
    drop(log);
    let log = open(&storage);
    assert_same("all", &all(&log), &records);
    let before = file_bytes();
    assert_eq!(before, (slots + 2) * u64::from(SEGMENT_BYTES));
    fill(&log, &mut records, 1);
    assert_eq!(file_bytes(), before);
    // Freed segments are used first.
    log.truncate_before(log.end_lsn()).unwrap();
    fill(&log, &mut records, 1);
    log.run_upkeep().unwrap();
    assert_eq!(file_bytes(), before);
}
