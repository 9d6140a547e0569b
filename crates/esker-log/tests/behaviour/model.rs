//! Random sequences of calls against a plain map.

use std::sync::Arc;

use esker_log::{ErrorKind, Log, LogId, Lsn, Options, storage::MemStorage};
use proptest::{prelude::*, sample::Index};

use crate::support::{Image, Records, abandon, all, assert_same, collect, payload, reader};

#[derive(Clone, Debug)]
enum Op {
    Append(usize),
    AppendDurable(usize),
    /// Reservations completed or aborted in reverse.
    ReserveSeveral(Vec<(u32, bool)>),
    Blob(usize),
    Truncate(Index),
    TruncateAll,
    Flush,
    CollectBlobs,
    Read(Index),
    IterFrom(Index),
    Close,
    Kill,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (0usize..2000).prop_map(Op::Append),
        6 => (0usize..2000).prop_map(Op::AppendDurable),
        3 => prop::collection::vec((0u32..200, any::<bool>()), 1..5).prop_map(Op::ReserveSeveral),
        2 => (0usize..4000).prop_map(Op::Blob),
        2 => any::<Index>().prop_map(Op::Truncate),
        1 => Just(Op::TruncateAll),
        2 => Just(Op::Flush),
        1 => Just(Op::CollectBlobs),
        4 => any::<Index>().prop_map(Op::Read),
        2 => any::<Index>().prop_map(Op::IterFrom),
        1 => Just(Op::Close),
        2 => Just(Op::Kill),
    ]
}

#[derive(Debug)]
struct Model {
    storage: MemStorage,
    options: Options,
    records: Records,
    floor: Lsn,
    stable: Lsn,
    n: u64,
}

impl Model {
    fn open(&mut self) -> Log {
        let log = Log::open(Arc::new(self.storage.clone()), self.options.clone()).unwrap();
        assert_eq!(log.floor(), self.floor);
        assert_eq!(log.stable_lsn(), log.end_lsn());
        self.stable = log.stable_lsn();
        log
    }

    fn payload(&mut self, len: usize) -> Vec<u8> {
        self.n += 1;
        payload(self.n, len)
    }

    fn append(&mut self, log: &Log, payload: Vec<u8>) -> Lsn {
        let lsn = log.append(&payload).unwrap();
        assert!(self.records.keys().next_back().is_none_or(|&last| last < lsn));
        self.records.insert(lsn, payload);
        lsn
    }

    fn any_lsn(&self, index: Index, log: &Log) -> Lsn {
        let mut lsns: Vec<_> = self.records.keys().copied().collect();
        lsns.extend([log.floor(), log.end_lsn()]);
        lsns[index.index(lsns.len())]
    }

    fn truncate(&mut self, log: &Log, lsn: Lsn) {
        self.floor = self.floor.max(lsn);
        assert_eq!(log.truncate_before(lsn).unwrap().floor, self.floor);
        self.records = self.records.split_off(&self.floor);
        self.stable = log.stable_lsn();
    }

    fn step(&mut self, log: Log, op: Op) -> Log {
        match op {
            Op::Append(len) => {
                let payload = self.payload(len);
                self.append(&log, payload);
            }
            Op::AppendDurable(len) => {
                let payload = self.payload(len);
                let lsn = self.append(&log, payload);
                self.stable = log.make_stable(lsn).unwrap();
                assert!(self.stable > lsn);
            }
            Op::ReserveSeveral(several) => self.reserve_several(&log, several),
            Op::Blob(over) => {
                let payload = self.payload(log.inline_bytes_max() as usize + 1 + over);
                self.append(&log, payload);
            }
            Op::Truncate(index) => self.truncate(&log, self.any_lsn(index, &log)),
            Op::TruncateAll => self.truncate(&log, log.end_lsn()),
            Op::Flush => {
                self.stable = log.flush().unwrap();
                assert_eq!(self.stable, log.end_lsn());
            }
            Op::CollectBlobs => drop(log.collect_blobs().unwrap()),
            Op::Read(index) => {
                let lsn = self.any_lsn(index, &log);
                let found = log.read(lsn).map(|record| record.into_payload()).map_err(|error| error.kind());
                let wanted = match self.records.get(&lsn) {
                    Some(payload) => Ok(payload.clone()),
                    None if lsn >= log.end_lsn() => Err(ErrorKind::NeverReserved),
                    None => Err(ErrorKind::NotARecord),
                };
                assert_eq!(found, wanted, "lsn {lsn}");
            }
            Op::IterFrom(index) => {
                let lsn = self.any_lsn(index, &log);
                assert_same("iteration", &collect(log.iter_from(lsn).unwrap()), &self.records.clone().split_off(&lsn));
            }
            Op::Close => {
                log.close().unwrap();
                self.check_files();
                return self.open();
            }
            Op::Kill => return self.kill(log),
        }
        assert!(log.stable_lsn() >= self.stable && log.stable_lsn() <= log.end_lsn());
        log
    }

    fn reserve_several(&mut self, log: &Log, several: Vec<(u32, bool)>) {
        let mut open = Vec::new();
        for (len, keep) in several {
            let mut reservation = log.reserve(len.min(log.inline_bytes_max() / 8)).unwrap();
            let payload = self.payload(reservation.payload_mut().len());
            reservation.payload_mut().copy_from_slice(&payload);
            if keep {
                self.records.insert(reservation.lsn(), payload);
            }
            open.push((reservation, keep));
        }
        for (reservation, keep) in open.into_iter().rev() {
            if keep {
                reservation.complete();
            } else {
                reservation.abort();
            }
        }
    }

    /// What was in memory only is lost: the records that are left are the first ones, and all that were durable.
    fn kill(&mut self, log: Log) -> Log {
        let image = Image::of(&self.storage);
        abandon(log);
        self.storage = image.storage();
        let stable = self.stable;
        let log = self.open();
        let found = all(&log);
        let kept: Records =
            self.records.iter().filter(|(lsn, _)| **lsn < log.end_lsn()).map(|(lsn, p)| (*lsn, p.clone())).collect();
        assert_same("after a kill", &found, &kept);
        assert!(log.end_lsn() >= stable);
        self.records = found;
        log
    }

    fn check_files(&self) {
        let reader = reader(&self.storage);
        assert!(reader.report().clean, "{}", reader.report());
        assert_eq!(reader.floor(), self.floor);
        assert_same("a reader", &collect(reader.iter_from(Lsn::ZERO)), &self.records);
        assert!(reader.verify(&mut |_, _| ()).unwrap().is_clean());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn any_sequence_of_calls_does_what_a_map_does(
        ops in prop::collection::vec(op(), 1..120),
        segment_log2 in 12u32..15,
        buffer_bytes in 256u32..3000,
        buffers_log2 in 2u32..5,
    ) {
        let options = Options::new()
            .segment_bytes(1 << segment_log2)
            .buffer_bytes(buffer_bytes)
            .buffers(1 << buffers_log2)
            .log_id(LogId::from_bytes(*b"any sequence of."));
        let storage = MemStorage::default();
        let mut model = Model { storage, options, records: Records::new(), floor: Lsn::ZERO, stable: Lsn::ZERO, n: 0 };
        let mut log = model.open();
        for op in ops {
            log = model.step(log, op);
        }
        assert_same("at the end", &all(&log), &model.records);
        log.close().unwrap();
        model.check_files();
    }
}
