//! Reading and iterating: from memory, from the file, beside writers, from other processes.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use esker_log::{
    Error, ErrorKind, Log, LogReader, Lsn, MessageKind,
    storage::{Access, FileStorage, MemStorage, Storage},
};

use crate::support::{
    BUFFER_BYTES, Call, Hooked, Records, SEGMENT_BYTES, SetAtEnd, all, append, assert_same, collect, open, options,
    payload, reader, without_hanging,
};

/// A log of many segments with records of every length up to the largest inline one and some blobs.
fn long_log(storage: &MemStorage) -> (Log, Records) {
    let log = open(storage);
    let mut records = Records::new();
    let max = log.inline_bytes_max() as usize;
    for len in (0..=max).chain([max + 1, max + 2, 5000, 70_000]) {
        append(&log, &mut records, payload(len as u64, len));
    }
    (log, records)
}

#[test]
fn records_of_every_length_come_back_from_memory_from_the_file_and_after_reopening() {
    let storage = MemStorage::default();
    let (log, records) = long_log(&storage);
    let check = |log: &Log| {
        for (&lsn, payload) in &records {
            assert_eq!(log.read(lsn).unwrap().payload(), payload, "lsn {lsn}");
        }
        assert_same("all", &all(log), &records);
    };
    check(&log);
    log.flush().unwrap();
    check(&log);
    log.close().unwrap();
    check(&open(&storage));
    let reader = reader(&storage);
    assert_same("a reader", &collect(reader.iter_from(Lsn::ZERO)), &records);
    for (&lsn, payload) in &records {
        assert_eq!(reader.read(lsn).unwrap().payload(), payload, "lsn {lsn}");
    }
}

#[test]
fn iteration_begins_at_the_first_record_at_or_beyond_any_lsn() {
    let storage = MemStorage::default();
    let log = open(&storage);
    let mut records = Records::new();
    for n in 0..60 {
        append(&log, &mut records, payload(n, (n as usize * 37) % 300));
    }
    let end = log.flush().unwrap();
    let reader = reader(&storage);
    for lsn in (0..end.get() + 100).step_by(7).chain(records.keys().map(|lsn| lsn.get())).map(Lsn::new) {
        let wanted: Records = records.range(lsn..).map(|(&lsn, payload)| (lsn, payload.clone())).collect();
        assert_same(&format!("from {lsn}"), &collect(log.iter_from(lsn).unwrap()), &wanted);
        assert_same(&format!("a reader from {lsn}"), &collect(reader.iter_from(lsn)), &wanted);
    }
    for lsn in [Lsn::MAX, Lsn::new(u64::MAX - 4096), end + (1 << 32)] {
        assert_eq!(log.iter_from(lsn).unwrap().count(), 0);
        assert_eq!(reader.iter_from(lsn).count(), 0);
    }
}

#[test]
fn every_lsn_is_a_record_or_says_why_not() {
    let storage = MemStorage::default();
    let log = open(&storage);
    let mut records = Records::new();
    for n in 0..40 {
        append(&log, &mut records, payload(n, 150));
        log.reserve(20).unwrap().abort();
    }
    let floor = *records.keys().nth(8).unwrap();
    log.truncate_before(floor).unwrap();
    let written = log.flush().unwrap();
    // Some stay in memory.
    for n in 40..43 {
        append(&log, &mut records, payload(n, 60));
    }
    log.reserve(30).unwrap().abort();
    let end = log.end_lsn();
    assert!(written < end);
    let expected = |lsn: Lsn, end: Lsn| match records.get(&lsn) {
        _ if lsn < floor => Err(ErrorKind::Truncated),
        _ if lsn >= end => Err(ErrorKind::NeverReserved),
        Some(payload) => Ok(payload.clone()),
        None => Err(ErrorKind::NotARecord),
    };
    let found = |read: Result<esker_log::Record, Error>| read.map(|r| r.into_payload()).map_err(|e| e.kind());
    let reader = reader(&storage);
    for lsn in (0..end.get() + 50).map(Lsn::new).chain([end + (1 << 32), Lsn::MAX]) {
        assert_eq!(found(reader.read(lsn)), expected(lsn, reader.end_lsn()), "a reader at {lsn}");
        assert_eq!(found(log.read(lsn)), expected(lsn, end), "lsn {lsn}");
    }
}

#[test]
fn waiting_for_an_lsn_that_was_never_reserved_is_an_error() {
    let log = open(&MemStorage::default());
    let kind = |lsn| log.make_stable(lsn).unwrap_err().kind();
    assert_eq!(kind(Lsn::ZERO), ErrorKind::NeverReserved);
    let lsn = log.append(b"one").unwrap();
    assert_eq!(kind(log.end_lsn()), ErrorKind::NeverReserved);
    assert_eq!(kind(Lsn::MAX), ErrorKind::NeverReserved);
    assert_eq!(log.truncate_before(log.end_lsn() + 1).unwrap_err().kind(), ErrorKind::NeverReserved);
    assert_eq!(log.truncate_before(Lsn::MAX).unwrap_err().kind(), ErrorKind::NeverReserved);
    assert!(log.make_stable(lsn).unwrap() > lsn);
}

#[test]
fn aborted_reservations_are_passed_over_and_dropped_ones_are_aborted() {
    let storage = MemStorage::default();
    let log = open(&storage);
    let mut records = Records::new();
    for n in 0..30 {
        let aborted = log.reserve(n).unwrap();
        let dropped = log.reserve(n).unwrap();
        let mut kept = log.reserve(n).unwrap();
        let bytes = payload(u64::from(n), n as usize);
        kept.payload_mut().copy_from_slice(&bytes);
        records.insert(kept.lsn(), bytes);
        let lsns = [aborted.lsn(), dropped.lsn()];
        drop(dropped);
        kept.complete();
        aborted.abort();
        for lsn in lsns {
            assert_eq!(log.read(lsn).unwrap_err().kind(), ErrorKind::NotARecord);
        }
    }
    assert_same("all", &all(&log), &records);
    log.close().unwrap();
    let log = open(&storage);
    assert_same("all", &all(&log), &records);
    let infos: Vec<_> = reader(&storage).messages().map(|info| info.unwrap()).collect();
    assert_eq!(infos.iter().filter(|info| info.kind == MessageKind::Aborted).count(), 60);
    assert_eq!(infos.iter().filter(|info| info.kind == MessageKind::Mark).count(), 1);
    let mut next = Lsn::new(64);
    for info in &infos {
        // Messages follow each other without a gap, but for the segments' headers.
        assert!(info.lsn == next || info.lsn == next + 64, "{info:?} does not begin at {next}");
        assert_eq!(info.lsn.get() % u64::from(SEGMENT_BYTES), info.offset.get() % u64::from(SEGMENT_BYTES));
        next = info.lsn + 24 + u64::from(info.len);
    }
}

#[test]
fn a_reservation_is_limited_and_a_record_is_not() {
    let log = open(&MemStorage::default());
    let max = log.inline_bytes_max();
    assert!(max < BUFFER_BYTES);
    let lsn = log.reserve(max).unwrap().complete();
    assert_eq!(log.read(lsn).unwrap().payload().len(), max as usize);
    for len in [max + 1, 1 << 24, u32::MAX] {
        match log.reserve(len).unwrap_err() {
            Error::TooLarge { len: found, max: limit } => {
                assert_eq!((found, limit), (u64::from(len), u64::from(max)));
            }
            other => panic!("{other}"),
        }
    }
    let large = payload(7, 3 << 20);
    let lsn = log.append(&large).unwrap();
    assert_eq!(log.read(lsn).unwrap().payload(), large);
}

#[test]
fn readers_and_iterators_beside_writers_see_what_was_appended() {
    let storage = MemStorage::default();
    let log = open(&storage);
    let appended = Mutex::new(Records::new());
    let done = AtomicBool::new(false);
    let (log, appended, done) = (&log, &appended, &done);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..3u64)
            .map(|thread| {
                scope.spawn(move || {
                    for n in 0..400u64 {
                        let bytes = payload(thread << 32 | n, (n % 250) as usize);
                        let lsn = log.append(&bytes).unwrap();
                        appended.lock().unwrap().insert(lsn, bytes);
                        if n % 16 == 0 {
                            log.make_stable(lsn).unwrap();
                        }
                    }
                })
            })
            .collect();
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                // What is known now must be there; what is there besides is compared at the end.
                let known = appended.lock().unwrap().clone();
                let found = all(log);
                for (lsn, payload) in &known {
                    assert_eq!(found.get(lsn), Some(payload), "iteration at {lsn}");
                }
            }
        });
        scope.spawn(move || {
            let mut n = 0;
            while !done.load(Ordering::Relaxed) {
                n += 1;
                let known = appended.lock().unwrap();
                let Some((&lsn, wanted)) = known.iter().nth(n * 31 % known.len().max(1)) else { continue };
                let wanted = wanted.clone();
                drop(known);
                assert_eq!(log.read(lsn).unwrap().payload(), wanted, "reading at {lsn}");
            }
        });
        let _end = SetAtEnd(done);
        for writer in writers {
            writer.join().unwrap();
        }
    });
    assert_same("at the end", &all(log), &appended.lock().unwrap());
}

/// A writer that appends, makes durable, truncates and reuses segments all the time, and a reader of its files that must
/// never take that for damage.
fn a_reader_follows_a_writer(storage: Arc<dyn Storage>, rounds: u64) {
    let log = Log::open(storage.clone(), options()).unwrap();
    log.append_durable(&payload(0, 10)).unwrap();
    let done = AtomicBool::new(false);
    let (log, done) = (&log, &done);
    thread::scope(|scope| {
        scope.spawn(move || {
            let _end = SetAtEnd(done);
            let mut lsns = Vec::new();
            for n in 1..rounds {
                let len = if n % 50 == 0 { 1500 } else { (n * 13 % 300) as usize };
                let lsn = log.append(&payload(n, len)).unwrap();
                lsns.push(lsn);
                if n % 5 == 0 {
                    log.make_stable(lsn).unwrap();
                }
                if n % 100 == 0 {
                    log.truncate_before(lsns[lsns.len() - 60]).unwrap();
                }
            }
        });
        let mut reader = LogReader::open(storage.clone()).unwrap();
        let mut last_end = reader.end_lsn();
        while !done.load(Ordering::Relaxed) {
            let stable = log.stable_lsn();
            let end = reader.refresh().unwrap();
            assert!(reader.report().damage.is_none(), "{}", reader.report());
            assert!(end >= last_end && end >= stable, "the log ended at {last_end} and {stable}, now at {end}");
            last_end = end;
            let verified = reader.verify(&mut |_, _| ()).unwrap();
            assert!(verified.is_clean(), "{:?}", verified.damages);
            let mut previous = None;
            for record in reader.iter_from(Lsn::ZERO) {
                match record {
                    Ok(record) => {
                        assert!(previous.is_none_or(|lsn| lsn < record.lsn()));
                        previous = Some(record.lsn());
                    }
                    Err(Error::Truncated { .. }) => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        log.flush().unwrap();
        reader.refresh().unwrap();
        assert_same("at the end", &collect(reader.iter_from(Lsn::ZERO)), &all(log));
    });
}

#[test]
fn a_reader_follows_a_writer_in_memory() {
    without_hanging("following", || a_reader_follows_a_writer(Arc::new(MemStorage::default()), 20_000));
}

#[test]
fn a_reader_follows_a_writer_in_files() {
    let directory = tempfile::tempdir().unwrap();
    let storage = FileStorage::create(directory.path()).unwrap();
    without_hanging("following", || a_reader_follows_a_writer(Arc::new(storage), 5_000));
}

/// The writer comes in between the reader's walk to the end and its look beyond.
#[test]
fn what_is_written_while_a_reader_looks_is_not_damage() {
    let storage = MemStorage::default();
    let log = Arc::new(open(&storage));
    log.append_durable(&payload(0, 100)).unwrap();
    for moment in 0..30 {
        let (writer, mut reads) = (log.clone(), 0);
        let reads_of_log = Mutex::new(move |name: &str| {
            reads += u32::from(name == "log");
            if reads == moment {
                for n in 0..3 {
                    writer.append_durable(&payload(n, 70)).unwrap();
                }
            }
        });
        let hooked = Hooked::new(storage.clone(), move |call, name| {
            if call == Call::Read {
                (*reads_of_log.lock().unwrap())(name);
            }
            Ok(())
        });
        let reader = LogReader::open(Arc::new(hooked)).unwrap();
        assert!(reader.report().damage.is_none(), "moment {moment}: {}", reader.report());
        assert!(reader.report().torn.is_none(), "moment {moment}: {}", reader.report());
        let (end, records) = (reader.end_lsn(), all(&log));
        let wanted: Records = records.into_iter().filter(|(lsn, _)| *lsn < end).collect();
        assert_same(&format!("moment {moment}"), &collect(reader.iter_from(Lsn::ZERO)), &wanted);
    }
}

#[test]
fn a_writer_that_is_always_ahead_is_not_damage() {
    let storage = MemStorage::default();
    // One segment for all: where a new one begins that the reader has not seen, it would find an end.
    let log = Arc::new(Log::open(Arc::new(storage.clone()), options().segment_bytes(1 << 22)).unwrap());
    log.append_durable(&payload(0, 100)).unwrap();
    let writer = log.clone();
    let hooked = Hooked::new(storage, move |call, name| {
        if call == Call::Read && name == "log" {
            for n in 0..3 {
                writer.append_durable(&payload(n, 20)).unwrap();
            }
        }
        Ok(())
    });
    let mut reader = LogReader::open(Arc::new(hooked)).unwrap();
    for _ in 0..20 {
        let stable = log.stable_lsn();
        assert!(reader.refresh().unwrap() >= stable);
        assert!(reader.report().damage.is_none() && reader.report().torn.is_none(), "{}", reader.report());
    }
}

/// The writer truncates all that the reader has seen and uses its segments again, at every moment of the reader's look.
#[test]
fn segments_that_are_used_again_while_a_reader_looks_are_not_damage() {
    for moment in 0..60 {
        let storage = MemStorage::default();
        let log = Arc::new(open(&storage));
        for n in 0..70 {
            log.append(&payload(n, 250)).unwrap();
        }
        log.flush().unwrap();
        let (writer, mut reads) = (log.clone(), 0);
        let reads_of_log = Mutex::new(move |name: &str| {
            reads += u32::from(name == "log");
            if reads == moment {
                writer.truncate_before(writer.end_lsn()).unwrap();
                for n in 0..150 {
                    writer.append(&payload(n, 250)).unwrap();
                }
                writer.flush().unwrap();
            }
        });
        let hooked = Hooked::new(storage.clone(), move |call, name| {
            if call == Call::Read {
                (*reads_of_log.lock().unwrap())(name);
            }
            Ok(())
        });
        let reader = LogReader::open(Arc::new(hooked)).unwrap();
        assert!(reader.report().damage.is_none(), "moment {moment}: {}", reader.report());
        let verified = reader.verify(&mut |_, _| ()).unwrap();
        assert!(verified.is_clean(), "moment {moment}: {:?}", verified.damages);
        let records = all(&log);
        for record in reader.iter_from(Lsn::ZERO) {
            match record {
                Ok(record) if record.lsn() < log.floor() => (),
                Ok(record) => assert_eq!(Some(record.payload()), records.get(&record.lsn()).map(Vec::as_slice)),
                Err(Error::Truncated { .. }) => break,
                Err(error) => panic!("moment {moment}: {error}"),
            }
        }
    }
}

#[test]
fn a_copy_of_the_superblock_that_is_being_written_is_not_damage() {
    let storage = MemStorage::default();
    open(&storage).close().unwrap();
    let (below, reads) = (storage.clone(), Mutex::new(0));
    let hooked = Hooked::new(storage, move |call, name| {
        if call == Call::Read && name == "superblock" {
            // As the page looks in the middle of a write, the first time.
            let mut reads = reads.lock().unwrap();
            let file = below.open("superblock", Access::ReadWrite)?;
            let mut byte = [0];
            file.read_exact_at(&mut byte, 60)?;
            byte[0] ^= u8::from(*reads < 2);
            file.write_all_at(&byte, 60)?;
            *reads += 1;
        }
        Ok(())
    });
    let reader = LogReader::open(Arc::new(hooked)).unwrap();
    assert!(reader.report().notes.is_empty(), "{}", reader.report());
}

#[test]
fn an_iterator_that_is_overtaken_by_truncation_says_so_and_ends() {
    let storage = MemStorage::default();
    let log = open(&storage);
    let mut records = Records::new();
    for n in 0..200 {
        append(&log, &mut records, payload(n, 200));
    }
    let mut iter = log.iter_from(Lsn::ZERO).unwrap();
    let reader = reader(&storage);
    let mut from_outside = reader.iter_from(Lsn::ZERO);
    for (lsn, _) in records.iter().take(3) {
        assert_eq!(iter.next().unwrap().unwrap().lsn(), *lsn);
        assert_eq!(from_outside.next().unwrap().unwrap().lsn(), *lsn);
    }
    let floor = *records.keys().nth(150).unwrap();
    log.truncate_before(floor).unwrap();
    // Whatever takes the place of what was truncated is not taken for it.
    for n in 0..300 {
        append(&log, &mut records, payload(n, 200));
    }
    log.flush().unwrap();
    for iter in [&mut iter, &mut from_outside] {
        let mut last = None;
        for step in iter.by_ref() {
            match step {
                Ok(record) => assert_eq!(Some(record.payload()), records.get(&record.lsn()).map(Vec::as_slice)),
                Err(error) => last = Some(error),
            }
        }
        assert!(matches!(last, Some(Error::Truncated { floor: found, .. }) if found == floor), "{last:?}");
        assert!(iter.next().is_none());
    }
}

/// The blob is removed between the reading of its record and the reading of its file.
#[test]
fn a_blob_that_is_truncated_while_it_is_read_is_truncated_and_not_damaged() {
    type Truncate = Box<dyn FnOnce() + Send>;
    enum From {
        Memory,
        File,
        Iteration,
        Reader,
    }
    for from in [From::Memory, From::File, From::Iteration, From::Reader] {
        let storage = MemStorage::default();
        let truncate: Arc<Mutex<Option<Truncate>>> = Arc::default();
        let armed = truncate.clone();
        let hooked = Hooked::new(storage.clone(), move |call, name| {
            if call == Call::Open && name.starts_with("blob-") {
                let truncate = armed.lock().unwrap().take();
                if let Some(truncate) = truncate {
                    truncate();
                }
            }
            Ok(())
        });
        let log = Arc::new(open(&hooked));
        let lsn = log.append(&payload(1, 2000)).unwrap();
        if !matches!(from, From::Memory) {
            log.flush().unwrap();
        }
        let mut iter = log.iter_from(Lsn::ZERO).unwrap();
        let reader = LogReader::open(Arc::new(hooked.clone())).unwrap();
        let truncating = log.clone();
        *truncate.lock().unwrap() = Some(Box::new(move || {
            let end = truncating.end_lsn();
            assert_eq!(truncating.truncate_before(end).unwrap().blobs_removed, 1);
        }));
        let error = match from {
            From::Memory | From::File => log.read(lsn).unwrap_err(),
            From::Iteration => iter.next().unwrap().unwrap_err(),
            From::Reader => reader.read(lsn).unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
    }
}

#[test]
fn reading_goes_on_after_the_log_has_stopped() {
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = stopped.clone();
    let storage = Hooked::new(MemStorage::default(), move |call, _| match call {
        Call::Write | Call::Sync if stop.load(Ordering::Relaxed) => Err(io::Error::other("the disk is gone")),
        _ => Ok(()),
    });
    let log = open(&storage);
    let mut records = Records::new();
    for n in 0..20 {
        append(&log, &mut records, payload(n, 200));
    }
    log.flush().unwrap();
    stopped.store(true, Ordering::Relaxed);
    let lost = log.append(b"in memory only").unwrap();
    assert_eq!(log.make_stable(lost).unwrap_err().kind(), ErrorKind::Poisoned);
    assert_eq!(log.append(b"more").unwrap_err().kind(), ErrorKind::Poisoned);
    assert_same("all", &all(&log), &records);
    for (&lsn, payload) in &records {
        assert_eq!(log.read(lsn).unwrap().payload(), payload);
        assert!(log.make_stable(lsn).is_ok(), "what is durable stays so");
    }
    assert_eq!(log.close().unwrap_err().kind(), ErrorKind::Poisoned);
}
