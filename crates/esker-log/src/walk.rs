//! Walking over the messages of one segment, through one buffer: what recovery, iterators, `verify` and `dump` share.
//!
//! Refuses to judge: damage is returned as the format layer found it.

use std::{fmt, ops::Range, sync::Arc};

use esker_format::{
    ChecksumSeed, Cursor, Damage, Epoch, Lsn, MESSAGE_HEADER_BYTES, MessageHeader, RawMessageHeader, ScanContext,
    SegmentBytes,
};

use crate::Error;

/// How much is read at once: at first, and when a walk has gone on for a while. What fits a processor's own cache is read
/// faster the second time, when its checksum is computed.
const READ_BYTES_FIRST: usize = 64 << 10;
const READ_BYTES_MAX: usize = 256 << 10;
/// A buffer that has grown beyond this is given back at the next segment.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

/// Finds the bytes of the log, wherever its segments are.
pub(crate) trait Placement: fmt::Debug + Send + Sync {
    /// Reads from `lsn` on, within its segment. Fewer bytes than asked for where the file ends; `None` if the segment is
    /// not there, or not any more.
    fn read(&self, lsn: Lsn, dst: &mut [u8]) -> Result<Option<usize>, Error>;
}

/// Where a walk goes and what it takes for valid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) seed: ChecksumSeed,
    pub(crate) segment_bytes: SegmentBytes,
}

impl Rules {
    fn context(&self, epoch_min: Epoch) -> ScanContext {
        ScanContext::new(self.seed, self.segment_bytes).with_epoch(epoch_min, Lsn::ZERO)
    }
}

/// One step of a walk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// A whole message, with its checksum. [`Walk::payload`] has its payload until the next step.
    Message(MessageHeader, u32),
    /// Bytes that are no message. The walk stays there until it is told to resync.
    Damage(Damage),
    /// The segment is not there, or the file ends in it.
    Missing,
}

/// A walk over a part of one segment.
#[derive(Debug)]
pub(crate) struct Walk {
    placement: Arc<dyn Placement>,
    rules: Rules,
    /// Where the walk is. Its bytes are those of the buffer.
    cursor: Cursor,
    /// Where to stop: within the segment, or its end.
    end: Lsn,
    /// The first `filled` bytes have been read; the rest is room.
    buffer: Vec<u8>,
    filled: usize,
    /// How much to read the next time.
    read_bytes: usize,
    /// The file has no more than is in the buffer.
    is_exhausted: bool,
    /// Where in the buffer the last message's payload is.
    payload: Range<usize>,
}

impl Walk {
    /// A walk from the message boundary `at` to `end`, which lies in the same segment or is its end.
    pub(crate) fn new(placement: Arc<dyn Placement>, rules: Rules, epoch_min: Epoch, at: Lsn, end: Lsn) -> Self {
        Self {
            placement,
            rules,
            cursor: Cursor::new(at, rules.context(epoch_min)),
            end,
            buffer: Vec::new(),
            filled: 0,
            read_bytes: READ_BYTES_FIRST,
            is_exhausted: false,
            payload: 0..0,
        }
    }

    /// Begins again, in another segment as a rule, with the same buffer.
    pub(crate) fn restart(&mut self, epoch_min: Epoch, at: Lsn, end: Lsn) {
        self.cursor = Cursor::new(at, self.rules.context(epoch_min));
        self.end = end;
        self.filled = 0;
        self.is_exhausted = false;
        self.payload = 0..0;
        if self.buffer.len() > BUFFER_BYTES_KEPT {
            self.buffer = Vec::new();
        }
    }

    /// Where the walk is: at the next message, or at the damage.
    #[inline]
    pub(crate) fn at(&self) -> Lsn {
        self.cursor.next_lsn()
    }

    /// The lowest epoch that still counts.
    pub(crate) fn epoch_min(&self) -> Epoch {
        self.cursor.epoch_min()
    }

    /// The payload of the message that the last step returned.
    #[inline]
    pub(crate) fn payload(&self) -> &[u8] {
        &self.buffer[self.payload.clone()]
    }

    /// The next step; `None` at the end.
    // Iterating is this and little else, and it has too many callers for a compiler to see that by itself.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<Option<Step>, Error> {
        if !self.is_next_at_hand() {
            if self.at() >= self.end {
                return Ok(None);
            }
            if !self.fetch_next()? {
                return Ok(Some(Step::Missing));
            }
        }
        Ok(Some(match self.cursor.next(&self.buffer[..self.filled]) {
            Some(Ok(message)) => {
                let step = Step::Message(message.header, message.crc32);
                let end = self.cursor.at();
                self.payload = end - message.payload.len()..end;
                step
            }
            Some(Err(damage)) => Step::Damage(damage),
            // The file ends before the walk does.
            None => Step::Missing,
        }))
    }

    /// Whether the buffer holds all that the header of the next message claims.
    #[inline]
    fn is_next_at_hand(&self) -> bool {
        let rest = &self.buffer[self.cursor.at()..self.filled];
        RawMessageHeader::decode(rest).is_some_and(|raw| rest.len() - MESSAGE_HEADER_BYTES >= raw.len as usize)
    }

    /// Reads what the next message claims to need, as far as the walk and the file go. Returns whether the segment is
    /// there.
    #[cold]
    fn fetch_next(&mut self) -> Result<bool, Error> {
        if !self.fetch(MESSAGE_HEADER_BYTES)? {
            return Ok(false);
        }
        let rest = &self.buffer[self.cursor.at()..self.filled];
        match RawMessageHeader::decode(rest) {
            // What the header claims is read only as far as the segment goes.
            Some(raw) => self.fetch(MESSAGE_HEADER_BYTES + raw.len as usize),
            None => Ok(true),
        }
    }

    /// After damage: goes to the next whole message before the end of the walk, wherever it begins. Returns whether there
    /// is one.
    ///
    /// Where no message can begin is passed over piece by piece. From the first place at which one can, the rest of the
    /// segment is read into the buffer and stays there: lengths that are only claimed would have it read over and over.
    pub(crate) fn resync(&mut self) -> Result<bool, Error> {
        while !self.has_rest() {
            let bytes = match self.cursor.skip(&self.buffer[..self.filled]) {
                true => usize::MAX,
                false => self.read_bytes,
            };
            if !self.fetch(bytes)? {
                break;
            }
        }
        let found = self.cursor.resync(&self.buffer[..self.filled]);
        if found.is_none() {
            self.filled = self.cursor.at();
            self.end = self.at();
        }
        Ok(found.is_some())
    }

    /// Whether the buffer holds everything up to the end of the walk, or of the file.
    fn has_rest(&self) -> bool {
        self.is_exhausted || self.cursor.start() + self.filled as u64 >= self.end
    }

    /// Sees to it that the buffer holds `bytes` from where the walk is, as far as the walk and the file go. Returns whether
    /// the segment is there.
    fn fetch(&mut self, bytes: usize) -> Result<bool, Error> {
        let wanted = bytes.min((self.end - self.at()) as usize);
        if self.is_exhausted || self.filled - self.cursor.at() >= wanted {
            return Ok(true);
        }
        let passed = self.cursor.at();
        self.buffer.copy_within(passed..self.filled, 0);
        self.filled -= passed;
        self.cursor.forget(passed);
        let wanted = wanted.max(self.read_bytes).min((self.end - self.at()) as usize);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        let room = &mut self.buffer[self.filled..wanted];
        match self.placement.read(self.cursor.start() + self.filled as u64, room)? {
            Some(read) => {
                self.is_exhausted = read < room.len();
                self.filled += read;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use esker_format::{LogId, MessageKind, SEGMENT_HEADER_BYTES, Scanner};

    use super::*;

    /// A segment that begins at LSN 0, and how much of it was read.
    #[derive(Debug)]
    struct Bytes {
        bytes: Vec<u8>,
        read: AtomicUsize,
    }

    impl Placement for Bytes {
        fn read(&self, lsn: Lsn, dst: &mut [u8]) -> Result<Option<usize>, Error> {
            let rest = &self.bytes[lsn.get() as usize..];
            let read = rest.len().min(dst.len());
            dst[..read].copy_from_slice(&rest[..read]);
            self.read.fetch_add(read, Ordering::Relaxed);
            Ok(Some(read))
        }
    }

    fn rules(segment_bytes: usize) -> Rules {
        let seed = LogId::from_bytes([7; 16]).checksum_seed();
        Rules { seed, segment_bytes: SegmentBytes::new(segment_bytes as u32).unwrap() }
    }

    /// Puts a whole message at `at`, and returns where it ends.
    fn put(bytes: &mut [u8], rules: Rules, at: usize, len: usize) -> usize {
        let (kind, lsn) = (MessageKind::Inline, Lsn::new(at as u64));
        let header = MessageHeader { kind, len: len as u32, lsn, mark: Lsn::ZERO, epoch: Epoch::ZERO };
        header.seal(&mut bytes[at..at + header.message_bytes()], rules.seed);
        at + header.message_bytes()
    }

    /// Puts the header of a message at `at` that claims `len` bytes and has no right checksum.
    fn claim(bytes: &mut [u8], at: usize, len: usize) {
        bytes[at..at + MESSAGE_HEADER_BYTES].fill(0);
        bytes[at + 4..at + 8].copy_from_slice(&((1 << 24) | len as u32).to_le_bytes());
        bytes[at + 8..at + 16].copy_from_slice(&(at as u64).to_le_bytes());
    }

    /// Walks to the end, and compares with what a scanner meets that has all bytes. Returns how many bytes were read.
    fn check(what: &str, bytes: Vec<u8>, rules: Rules) -> usize {
        let placement = Arc::new(Bytes { bytes, read: AtomicUsize::new(0) });
        let bytes = &placement.bytes;
        let mut scanner = Scanner::new(bytes, Lsn::ZERO, rules.context(Epoch::ZERO));
        let (first, end) = (Lsn::new(SEGMENT_HEADER_BYTES as u64), Lsn::new(u64::from(rules.segment_bytes.get())));
        let mut walk = Walk::new(placement.clone(), rules, Epoch::ZERO, first, end);
        loop {
            assert_eq!(walk.at(), scanner.next_lsn(), "{what}");
            match (walk.next().unwrap(), scanner.next()) {
                (Some(Step::Message(header, crc32)), Some(Ok(message))) => {
                    assert_eq!((header, crc32), (message.header, message.crc32), "{what}");
                    assert_eq!(walk.payload(), message.payload, "{what}");
                }
                (Some(Step::Damage(met)), Some(Err(damage))) => {
                    assert_eq!(met, damage, "{what}");
                    let resynced = scanner.resync();
                    assert_eq!(walk.resync().unwrap(), resynced.is_some(), "{what}");
                    if resynced.is_none() {
                        break;
                    }
                }
                (None, None) => break,
                (Some(Step::Missing), None) if bytes.len() < end.get() as usize => break,
                (walked, scanned) => panic!("{what}: {walked:?} by walking, {scanned:?} in one piece"),
            }
        }
        assert!(!matches!(walk.next().unwrap(), Some(Step::Message(..))), "{what}");
        placement.read.load(Ordering::Relaxed)
    }

    #[test]
    fn a_walk_meets_what_a_scanner_of_the_whole_segment_meets() {
        const BYTES: usize = 2 << 20;
        let rules = rules(BYTES);
        let mut whole = vec![0; BYTES];
        let mut ends = vec![SEGMENT_HEADER_BYTES];
        // Short ones and some that are longer than what is read at once.
        for n in 0.. {
            let len = if n % 97 == 96 { READ_BYTES_MAX + n } else { n * 41 % 1500 };
            let at = ends[n];
            if at + MESSAGE_HEADER_BYTES + len > BYTES - (100 << 10) {
                break;
            }
            whole[at + MESSAGE_HEADER_BYTES..][..len].fill(n as u8);
            ends.push(put(&mut whole, rules, at, len));
        }
        assert!(ends.len() > 200);
        assert_eq!(check("whole", whole.clone(), rules), BYTES - SEGMENT_HEADER_BYTES, "bytes read");
        for at in (100..BYTES).step_by(BYTES / 40) {
            let what = format!("changed at {at}");
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            assert!(check(&what, flipped.clone(), rules) < 2 * BYTES, "{what}");
            flipped[at.saturating_sub(70_000)..at].fill(0);
            check(&what, flipped, rules);
            check(&format!("cut at {at}"), whole[..at].to_vec(), rules);
        }
        for (n, &at) in ends.iter().enumerate().step_by(7) {
            let mut claimed = whole.clone();
            claim(&mut claimed, at, [0, 30, 300_000, BYTES][n % 4]);
            check(&format!("claimed at {at}"), claimed, rules);
        }
    }

    /// Every claim would have everything behind it read and summed: terabytes, were a walk to begin anew after each.
    #[test]
    fn bytes_made_up_to_be_costly_are_read_a_few_times_only() {
        const BYTES: usize = 8 << 20;
        let rules = rules(BYTES);
        let mut bytes = vec![1; BYTES];
        for at in (SEGMENT_HEADER_BYTES..BYTES - 100).step_by(48) {
            put(&mut bytes, rules, at, 0);
            claim(&mut bytes, at + 24, BYTES - at - 48);
        }
        let read = check("claims between messages", bytes, rules);
        assert!(read <= 2 * BYTES, "{read} bytes were read");
    }
}
