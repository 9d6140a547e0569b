//! Walking over the messages of one segment, in windows: what recovery, iterators, `verify` and `dump` share.
//!
//! Refuses to judge: damage is returned as the format layer found it.

use std::{fmt, sync::Arc};

use esker_format::{
    ChecksumSeed, Damage, Epoch, Lsn, MESSAGE_HEADER_BYTES, Message, RawMessageHeader, ScanContext, Scanner,
    SegmentBytes,
};

use crate::Error;

/// How much is read at once.
const WINDOW_BYTES: usize = 256 << 10;

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

/// One step of a walk.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// A whole message.
    Message(Message<'a>),
    /// Bytes that are no message. The walk stays there until it is told to resync.
    Damage(Damage),
    /// The segment is not there.
    Missing,
}

/// A walk over a part of one segment.
#[derive(Debug)]
pub(crate) struct Walk {
    placement: Arc<dyn Placement>,
    rules: Rules,
    epoch_min: Epoch,
    /// The next message.
    at: Lsn,
    /// Where to stop: within the segment, or its end.
    end: Lsn,
    window: Vec<u8>,
    window_at: Lsn,
}

impl Walk {
    /// A walk from the message boundary `at` to `end`, which lies in the same segment or is its end.
    pub(crate) fn new(placement: Arc<dyn Placement>, rules: Rules, epoch_min: Epoch, at: Lsn, end: Lsn) -> Self {
        Self { placement, rules, epoch_min, at, end, window: Vec::new(), window_at: at }
    }

    /// Where the walk is: at the next message, or at the damage.
    pub(crate) fn at(&self) -> Lsn {
        self.at
    }

    /// The lowest epoch that still counts.
    pub(crate) fn epoch_min(&self) -> Epoch {
        self.epoch_min
    }

    /// The next step; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Step<'_>>, Error> {
        if self.at >= self.end {
            return Ok(None);
        }
        if !self.fill(MESSAGE_HEADER_BYTES)? {
            return Ok(Some(Step::Missing));
        }
        if let Some(raw) = RawMessageHeader::decode(self.rest()) {
            // What the header claims is read only as far as the segment goes.
            self.fill(MESSAGE_HEADER_BYTES + raw.len as usize)?;
        }
        let context = self.context();
        let rest = &self.window[(self.at - self.window_at) as usize..];
        match Scanner::new(rest, self.at, context).next() {
            Some(Ok(message)) => {
                self.at = message.header.end();
                self.epoch_min = message.header.epoch;
                Ok(Some(Step::Message(message)))
            }
            Some(Err(damage)) => Ok(Some(Step::Damage(damage))),
            // The file ends before the walk does.
            None => Ok(Some(Step::Missing)),
        }
    }

    /// After damage: goes to the next whole message before the end of the walk, wherever it begins. Returns whether there
    /// is one.
    pub(crate) fn resync(&mut self) -> Result<bool, Error> {
        self.fill((self.end - self.at) as usize)?;
        let mut scanner = Scanner::new(self.rest(), self.at, self.context());
        // Only a scanner that has met the damage looks beyond it.
        let next = match scanner.next() {
            Some(Err(_)) => scanner.resync(),
            _ => None,
        };
        self.at = next.unwrap_or(self.end);
        Ok(next.is_some())
    }

    fn context(&self) -> ScanContext {
        ScanContext::new(self.rules.seed, self.rules.segment_bytes).with_epoch(self.epoch_min, Lsn::ZERO)
    }

    fn rest(&self) -> &[u8] {
        self.window.get((self.at - self.window_at) as usize..).unwrap_or_default()
    }

    /// Sees to it that the window holds `bytes` from where the walk is, as far as the walk and the file go. Returns
    /// whether the segment is there.
    fn fill(&mut self, bytes: usize) -> Result<bool, Error> {
        let left = (self.end - self.at) as usize;
        let wanted = bytes.min(left);
        if self.rest().len() >= wanted {
            return Ok(true);
        }
        self.window.resize(wanted.max(WINDOW_BYTES).min(left), 0);
        self.window_at = self.at;
        let read = self.placement.read(self.at, &mut self.window)?;
        self.window.truncate(read.unwrap_or(0));
        Ok(read.is_some())
    }
}
