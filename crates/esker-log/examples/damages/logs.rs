//! The logs that are damaged, and what is known of them.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use esker_log::{
    Log, LogReader, Lsn, MessageInfo, Options,
    storage::{Access, MemStorage, Storage},
};

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(len).collect()
    }
}

/// The content of every file of a directory.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// How a log ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// In good order.
    Closed,
    /// Killed right after its last record was acknowledged.
    KilledAfterSync,
    /// Killed while something was written and not synced: all of it is there.
    KilledWriting,
}

/// A log that is whole, and all that is known of it.
#[derive(Debug)]
pub(crate) struct SavedLog {
    pub(crate) end: End,
    pub(crate) files: Files,
    /// What the files held before, the latest last.
    pub(crate) earlier: Vec<Files>,
    pub(crate) segment_bytes: u32,
    pub(crate) floor: Lsn,
    /// Everything below was acknowledged.
    pub(crate) stable: Lsn,
    /// Where the last sync began to have something to do.
    pub(crate) last_sync: Lsn,
    /// Every record that was appended and not truncated.
    pub(crate) records: BTreeMap<Lsn, Vec<u8>>,
    pub(crate) messages: Vec<MessageInfo>,
    /// The marks in segment headers and the superblock: where they stand, and what they say.
    pub(crate) marks: Vec<(String, Range<u64>, Lsn)>,
}

impl SavedLog {
    /// The log of a seed: several openings, records short and long, blobs, batches, given-up reservations, truncation, slots
    /// that are used again.
    pub(crate) fn make(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let segment_bytes = 4096u32 << rng.below(3);
        let options =
            Options::new().segment_bytes(segment_bytes).buffer_bytes(512 << rng.below(3)).buffers(4).background(false);
        let storage = MemStorage::default();
        let mut log = Self {
            end: [End::Closed, End::KilledAfterSync, End::KilledWriting][rng.below(3) as usize],
            files: Files::new(),
            earlier: Vec::new(),
            segment_bytes,
            floor: Lsn::ZERO,
            stable: Lsn::ZERO,
            last_sync: Lsn::ZERO,
            records: BTreeMap::new(),
            messages: Vec::new(),
            marks: Vec::new(),
        };
        let openings = 1 + rng.below(4);
        for opening in 1..=openings {
            let open = Log::open(Arc::new(storage.clone()), options.clone()).expect("a whole log opens");
            log.live(&open, &storage, &mut rng);
            if opening < openings || log.end == End::Closed {
                log.last_sync = log.stable;
                log.stable = open.close().expect("storage in memory does not fail");
                log.earlier.push(files_of(&storage));
                continue;
            }
            log.last_sync = open.stable_lsn();
            log.append(&open, &mut rng);
            log.stable = open.flush().expect("storage in memory does not fail");
            if log.end == End::KilledWriting {
                for _ in 0..1 + rng.below(8) {
                    log.append(&open, &mut rng);
                }
                // Written, and not synced: iterating needs it in the file.
                drop(open.iter_from(log.stable));
            }
            log.files = files_of(&storage);
            // What the process does from here on, nobody sees.
            drop(open);
        }
        if log.end == End::Closed {
            log.files = files_of(&storage);
        }
        log.look();
        log
    }

    fn append(&mut self, open: &Log, rng: &mut Rng) {
        let len = match rng.below(12) {
            0 => 600 + rng.below(3000),
            1 => 0,
            _ => 1 + rng.below(200),
        };
        let payload = rng.bytes(len as usize);
        let lsn = open.append(&payload).expect("storage in memory does not fail");
        self.records.insert(lsn, payload);
    }

    fn live(&mut self, open: &Log, storage: &MemStorage, rng: &mut Rng) {
        for _ in 0..10 + rng.below(60) {
            match rng.below(20) {
                0..14 => self.append(open, rng),
                14 => {
                    let aborted = open.reserve(rng.below(100) as u32).expect("there is room");
                    aborted.abort();
                }
                15 => {
                    let payloads: Vec<_> = (0..rng.below(9)).map(|n| rng.bytes(n as usize * 9)).collect();
                    let slices: Vec<_> = payloads.iter().map(Vec::as_slice).collect();
                    let mut lsns = Vec::new();
                    open.append_batch(&slices, &mut lsns).expect("storage in memory does not fail");
                    self.records.extend(lsns.into_iter().zip(payloads));
                }
                16 if self.records.len() > 30 => {
                    let nth = rng.below(self.records.len() as u64 / 2) as usize;
                    let before = *self.records.keys().nth(nth).expect("there are more");
                    self.floor = open.truncate_before(before).expect("storage in memory does not fail").floor;
                    self.records = self.records.split_off(&before);
                }
                _ => {
                    self.stable = open.flush().expect("storage in memory does not fail");
                    self.earlier.push(files_of(storage));
                }
            }
        }
        self.stable = open.flush().expect("storage in memory does not fail");
    }

    /// Finds out what the files hold.
    fn look(&mut self) {
        let reader = LogReader::open(Arc::new(storage_of(&self.files))).expect("a whole log opens");
        assert!(reader.report().damage.is_none(), "{}", reader.report());
        self.messages = reader.messages().map(|message| message.expect("a whole log")).collect();
        self.floor = reader.floor();
        for slot in 0..self.files["log"].len() as u64 / u64::from(self.segment_bytes) {
            let at = slot * u64::from(self.segment_bytes);
            if let Ok(header) = esker_log::format::SegmentHeader::decode(&self.files["log"][at as usize..]) {
                self.marks.push(("log".to_owned(), at..at + 64, header.mark));
            }
        }
        for copy in 0..2u64 {
            let at = copy * 4096;
            let superblock = esker_log::format::Superblock::decode(&self.files["superblock"][at as usize..]);
            // The rest of each copy is zero, and covered by its checksum.
            self.marks.push(("superblock".to_owned(), at..at + 4096, superblock.expect("whole").mark));
        }
        for message in &self.messages {
            let at = message.offset.get();
            let end = at + 24 + u64::from(message.len);
            self.marks.push(("log".to_owned(), at..end, message.mark));
        }
    }

    /// The message that a byte of the file of segments belongs to.
    pub(crate) fn message_at(&self, offset: u64) -> Option<&MessageInfo> {
        self.messages.iter().find(|message| {
            let at = message.offset.get();
            (at..at + 24 + u64::from(message.len)).contains(&offset)
        })
    }
}

pub(crate) fn files_of(storage: &MemStorage) -> Files {
    let read = |name: String| {
        let file = storage.open(&name, Access::Read).expect("it is listed");
        let mut bytes = vec![0; file.len().expect("storage in memory does not fail") as usize];
        file.read_exact_at(&mut bytes, 0).expect("storage in memory does not fail");
        (name, bytes)
    };
    storage.list().expect("storage in memory does not fail").into_iter().map(read).collect()
}

pub(crate) fn storage_of(files: &Files) -> MemStorage {
    let storage = MemStorage::default();
    for (name, bytes) in files {
        let file = storage.create(name).expect("storage in memory does not fail");
        file.write_all_at(bytes, 0).expect("storage in memory does not fail");
        file.set_len(bytes.len() as u64).expect("storage in memory does not fail");
    }
    storage
}
