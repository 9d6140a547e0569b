//! Reading in the background finds damage, and nothing else.

use std::{sync::Arc, thread, time::Duration};

use esker_log::{
    CorruptionKind, Error, ErrorKind, Log, MessageKind, ScrubStats,
    storage::{Access, MemStorage, Storage},
};

use crate::support::{Records, append, open, options, payload, reader, without_hanging};

/// Waits until a round has ended that began after now.
fn round(log: &Log) -> ScrubStats {
    let before = log.stats().scrub;
    loop {
        let stats = log.stats().scrub;
        if stats.rounds >= before.rounds + 2 {
            return stats;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn flip(storage: &MemStorage, file: &str, at: u64) {
    let file = storage.open(file, Access::ReadWrite).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 4], at).unwrap();
}

#[test]
fn damage_is_found_in_the_background_and_told_once() {
    without_hanging("scrubbing", || {
        let storage = MemStorage::default();
        let mut records = Records::new();
        let log = open(&storage);
        for n in 0..100 {
            append(&log, &mut records, payload(n, 150));
        }
        append(&log, &mut records, payload(100, 3000));
        for n in 0..50 {
            append(&log, &mut records, payload(n, 150));
        }
        log.close().unwrap();
        let messages: Vec<_> = reader(&storage).messages().map(|message| message.unwrap()).collect();

        let options = options().scrub_bytes_per_second(Some(u64::MAX));
        let log = Log::open(Arc::new(storage.clone()), options).unwrap();
        let stats = round(&log);
        assert_eq!((stats.damages, stats.read_errors), (0, 0), "{:?}", log.damages());
        assert!(stats.bytes > 3000 && stats.segments > 0, "{stats:?}");

        let record = messages[20];
        flip(&storage, "log", record.offset.get() + 30);
        flip(&storage, "log", 4096 + 20);
        let blob = storage.list().unwrap().into_iter().find(|name| name.starts_with("blob-")).unwrap();
        flip(&storage, &blob, 500);
        let stats = round(&log);
        round(&log);
        assert_eq!(log.stats().scrub.damages, stats.damages, "told again: {:?}", log.damages());
        let mut damages = log.damages();
        damages.sort_by_key(|damage| damage.lsn);
        assert_eq!(stats.damages, 3, "{damages:?}");
        assert_eq!((damages[0].lsn, damages[0].offset), (Some(record.lsn), record.offset.get()));
        assert!(matches!(damages[1].kind, CorruptionKind::SegmentHeader { .. }), "{:?}", damages[1]);
        let pointer = messages.iter().find(|message| message.kind == MessageKind::BlobPointer).unwrap();
        assert_eq!((damages[2].lsn, &damages[2].file), (Some(pointer.lsn), &blob));
        // The log goes on all the same.
        assert_eq!(log.read(record.lsn).unwrap_err().kind(), ErrorKind::Corrupt);
        log.append_durable(b"goes on").unwrap();
        log.close().unwrap();
    });
}

#[test]
fn what_is_truncated_and_used_again_is_not_taken_for_damage() {
    without_hanging("scrubbing", || {
        let storage = MemStorage::default();
        let options = options().scrub_bytes_per_second(Some(u64::MAX)).segments_max(Some(6));
        let log = Log::open(Arc::new(storage), options).unwrap();
        let mut last = log.append(b"first").unwrap();
        for n in 0..3000u64 {
            match log.append(&payload(n, 200)) {
                Ok(lsn) => last = lsn,
                Err(Error::NoSpace { .. }) => drop(log.truncate_before(last).unwrap()),
                Err(error) => panic!("{error}"),
            }
            if n % 64 == 0 {
                log.append_durable(&payload(n, 900)).ok();
            }
        }
        assert_eq!(log.damages(), []);
        log.close().unwrap();
    });
}

#[test]
fn a_slow_scrub_keeps_nobody_from_closing() {
    without_hanging("closing", || {
        let storage = MemStorage::default();
        let log = Log::open(Arc::new(storage), options().scrub_bytes_per_second(Some(1))).unwrap();
        for n in 0..100 {
            log.append(&payload(n, 150)).unwrap();
        }
        log.flush().unwrap();
        log.close().unwrap();
    });
}
