//! What a log must hold.

use std::collections::BTreeMap;

use esker_log::Lsn;

pub(super) type Records = BTreeMap<Lsn, Vec<u8>>;

/// What was appended and promised.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// Every record that was completed and may be there.
    pub(super) records: Records,
    /// A record whose append failed after it may have come into the log: it lies there or beyond, or nowhere.
    perhaps: Vec<(Lsn, Vec<u8>)>,
    /// Everything below was promised to be durable.
    pub(super) stable: Lsn,
    /// Where the log begins, and where it was asked to.
    pub(super) floor: Lsn,
    pub(super) floor_asked: Lsn,
    /// Whether an opening has ever succeeded.
    pub(super) created: bool,
    payloads: u64,
}

impl Model {
    /// Bytes that no other payload has, unless it is very short.
    pub(super) fn payload(&mut self, len: u32) -> Vec<u8> {
        self.payloads += 1;
        let mut state = self.payloads;
        let mut next = || {
            state = state.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23) ^ self.payloads;
            state.to_le_bytes()
        };
        let mut bytes = Vec::with_capacity(len as usize + 8);
        while bytes.len() < len as usize {
            bytes.extend_from_slice(&next());
        }
        bytes.truncate(len as usize);
        bytes
    }

    pub(super) fn note(&mut self, lsn: Lsn, payload: Vec<u8>) {
        let end = self.records.last_key_value().map(|(&lsn, _)| lsn);
        assert!(self.records.insert(lsn, payload).is_none(), "{lsn} was given to two records, the last at {end:?}");
    }

    /// An append failed, at or beyond `from`.
    pub(super) fn perhaps(&mut self, from: Lsn, payload: Vec<u8>) {
        self.perhaps.push((from, payload));
    }

    /// Expects that this is one of those.
    pub(super) fn expect_perhaps(&self, lsn: Lsn, payload: &[u8]) {
        let is_one = self.perhaps.iter().any(|(from, other)| lsn >= *from && payload == other);
        assert!(is_one && !self.records.contains_key(&lsn), "the record at {lsn} was never appended");
    }

    pub(super) fn promise(&mut self, stable: Lsn) {
        self.stable = self.stable.max(stable);
    }

    pub(super) fn ask(&mut self, floor: Lsn) {
        self.floor_asked = self.floor_asked.max(floor);
    }

    pub(super) fn cut(&mut self, floor: Lsn) {
        self.floor = self.floor.max(floor);
        self.promise(floor);
        self.records = self.records.split_off(&self.floor);
    }

    /// The log is open, with what was found in it. From now on that is what must be there.
    pub(super) fn opened(&mut self, found: Option<(Lsn, Records)>, end: Lsn, stable: Lsn) {
        assert_eq!(stable, end, "opening vouches for what it found");
        assert!(stable >= self.stable, "{stable} is stable after opening, {} was promised", self.stable);
        let (floor, records) = found.unwrap_or_default();
        (self.floor, self.floor_asked) = (floor, floor);
        self.records = records;
        self.perhaps.clear();
        self.created = true;
        self.promise(stable);
    }

    /// O2.
    pub(super) fn check(&self, (floor, found): &(Lsn, Records)) {
        let floor_max = self.floor.max(self.floor_asked);
        assert!(
            *floor >= self.floor && *floor <= floor_max,
            "the log begins at {floor}, not in {}..={floor_max}",
            self.floor
        );
        for (lsn, payload) in found {
            if self.records.get(lsn) != Some(payload) {
                self.expect_perhaps(*lsn, payload);
            }
        }
        let last = found.last_key_value().map(|(&lsn, _)| lsn);
        for &lsn in self.records.keys().filter(|lsn| *lsn >= floor && !found.contains_key(lsn)) {
            assert!(lsn >= self.stable, "{lsn} is lost, and {} was promised", self.stable);
            assert!(last < Some(lsn), "{lsn} is missing before {last:?}");
        }
    }
}
