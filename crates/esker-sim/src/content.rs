//! One file: its sectors, its length, its space.
//!
//! Owns what a file holds now, what of it is durable, and what it was in between. Refuses names, and refuses to decide
//! what fails: it is told.
//!
//! # Invariants
//!
//! - **B1 (zero beyond the end):** what readers see of a sector is zero beyond the length they see, so that growing the
//!   length needs no clearing.
//! - **B2 (dirty is exact):** `dirty` holds exactly the sectors that changed since the last sync.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use crate::{
    faults::Probability,
    history::{History, Judge, Step},
    ranges::Ranges,
    rng::Rng,
};

/// The unit in which the simulated disk writes: no smaller piece is ever torn.
pub const SECTOR_BYTES: usize = 512;

/// The bytes of a sector; `None` is a hole, which reads as zeros.
type Sector = Option<Arc<[u8; SECTOR_BYTES]>>;

#[derive(Debug, Clone)]
pub(crate) struct Content {
    len: History<u64>,
    sectors: BTreeMap<u64, History<Sector>>,
    dirty: BTreeSet<u64>,
    /// The sectors that have space, written or preallocated.
    space: Ranges,
    space_durable: Ranges,
}

/// The part of a range of bytes that lies in one sector.
#[derive(Debug, Clone)]
struct Piece {
    sector: u64,
    /// Where it is in the sector.
    inside: Range<usize>,
}

/// What becomes of a sector that a call writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Written,
    /// The call fails before it comes to this one.
    Skipped,
    /// It keeps its content, and the call does not know.
    Lost,
}

/// Splits `bytes` bytes from `offset` on at the borders of sectors.
fn pieces(offset: u64, bytes: usize) -> impl Iterator<Item = Piece> {
    let mut at = offset;
    let mut left = bytes;
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let start = (at % SECTOR_BYTES as u64) as usize;
        let bytes = left.min(SECTOR_BYTES - start);
        let piece = Piece { sector: at / SECTOR_BYTES as u64, inside: start..start + bytes };
        at += bytes as u64;
        left -= bytes;
        Some(piece)
    })
}

/// The sectors that a range of bytes touches.
pub(crate) fn sectors(offset: u64, end: u64) -> Range<u64> {
    offset / SECTOR_BYTES as u64..end.div_ceil(SECTOR_BYTES as u64)
}

impl Content {
    pub(crate) fn new() -> Self {
        Self {
            len: History::new(0),
            sectors: BTreeMap::new(),
            dirty: BTreeSet::new(),
            space: Ranges::default(),
            space_durable: Ranges::default(),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        *self.len.now()
    }

    /// How many sectors of space the file takes.
    pub(crate) fn space_sectors(&self) -> u64 {
        self.space.total()
    }

    pub(crate) fn read(&self, dst: &mut [u8], offset: u64) -> usize {
        let below_end = self.len().saturating_sub(offset);
        let bytes = usize::try_from(below_end).map_or(dst.len(), |below_end| below_end.min(dst.len()));
        let mut rest = &mut dst[..bytes];
        for piece in pieces(offset, bytes) {
            let (now, later) = rest.split_at_mut(piece.inside.len());
            match self.sectors.get(&piece.sector).and_then(|history| history.now().as_ref()) {
                Some(sector) => now.copy_from_slice(&sector[piece.inside]),
                None => now.fill(0),
            }
            rest = later;
        }
        bytes
    }

    /// Writes the sectors, each as `fate` says, in order, while `free` sectors of new space last. Returns whether the space
    /// was enough.
    pub(crate) fn write(
        &mut self,
        step: Step,
        src: &[u8],
        offset: u64,
        mut free: u64,
        mut fate: impl FnMut(u64) -> Fate,
    ) -> bool {
        let mut rest = src;
        let mut at = offset;
        for piece in pieces(offset, src.len()) {
            let (now, later) = rest.split_at(piece.inside.len());
            rest = later;
            at += now.len() as u64;
            let fate = fate(piece.sector);
            if fate == Fate::Skipped {
                continue;
            }
            if !self.space.contains(piece.sector) {
                if free == 0 {
                    return false;
                }
                free -= 1;
                self.space.insert(piece.sector..piece.sector + 1);
            }
            if fate == Fate::Written {
                self.change(step, piece.sector, |sector| sector[piece.inside].copy_from_slice(now));
            }
            if at > self.len() {
                self.len.change(step, at);
            }
        }
        true
    }

    pub(crate) fn set_len(&mut self, step: Step, len: u64) {
        if len < self.len() {
            let cut: Vec<u64> = self.sectors.range(len / SECTOR_BYTES as u64..).map(|(&sector, _)| sector).collect();
            for sector in cut {
                let kept = len.saturating_sub(sector * SECTOR_BYTES as u64) as usize;
                if kept < SECTOR_BYTES {
                    self.change(step, sector, |bytes| bytes[kept..].fill(0));
                }
            }
            self.space.truncate(len.div_ceil(SECTOR_BYTES as u64));
        }
        if len != self.len() {
            self.len.change(step, len);
        }
    }

    /// Reserves space from `offset` to `end`, if `free` sectors are enough for it; otherwise changes nothing.
    pub(crate) fn preallocate(&mut self, step: Step, offset: u64, end: u64, free: u64) -> bool {
        let wanted = sectors(offset, end);
        if self.space.missing(&wanted) > free {
            return false;
        }
        self.space.insert(wanted);
        if end > self.len() {
            self.len.change(step, end);
        }
        true
    }

    pub(crate) fn sync(&mut self) {
        self.len.sync();
        for sector in std::mem::take(&mut self.dirty) {
            self.history(sector).sync();
        }
        self.space_durable = self.space.clone();
    }

    pub(crate) fn fail_sync(&mut self, rng: &mut Rng) {
        self.len.fail_sync(rng);
        for sector in std::mem::take(&mut self.dirty) {
            self.history(sector).fail_sync(rng);
        }
    }

    /// How many sectors readers see.
    pub(crate) fn sectors(&self) -> u64 {
        self.len().div_ceil(SECTOR_BYTES as u64)
    }

    /// What readers see of a sector.
    pub(crate) fn sector(&self, sector: u64) -> [u8; SECTOR_BYTES] {
        let now = self.sectors.get(&sector).and_then(|history| history.now().as_deref());
        now.copied().unwrap_or([0; SECTOR_BYTES])
    }

    /// What readers would see of a sector if `src` were written at `offset`.
    pub(crate) fn sector_with(&self, sector: u64, src: &[u8], offset: u64) -> [u8; SECTOR_BYTES] {
        let mut bytes = self.sector(sector);
        if let Some(piece) = pieces(offset, src.len()).find(|piece| piece.sector == sector) {
            let from = (sector * SECTOR_BYTES as u64 + piece.inside.start as u64 - offset) as usize;
            let len = piece.inside.len();
            bytes[piece.inside].copy_from_slice(&src[from..from + len]);
        }
        bytes
    }

    /// What the disk holds in a sector, whatever is un-synced.
    pub(crate) fn on_disk(&self, sector: u64) -> [u8; SECTOR_BYTES] {
        let durable = self.sectors.get(&sector).and_then(|history| history.durable().as_deref());
        durable.copied().unwrap_or([0; SECTOR_BYTES])
    }

    /// Whether something was written to a sector, and what readers see is what the disk holds.
    pub(crate) fn is_settled(&self, sector: u64) -> bool {
        self.sectors.get(&sector).is_some_and(|history| history.is_settled() && history.now().is_some())
    }

    /// Changes what the disk holds, beneath what is un-synced: readers see it where nothing is.
    pub(crate) fn overwrite(&mut self, sector: u64, mut bytes: [u8; SECTOR_BYTES]) {
        let kept = self.len().saturating_sub(sector * SECTOR_BYTES as u64);
        bytes[kept.min(SECTOR_BYTES as u64) as usize..].fill(0);
        self.space.insert(sector..sector + 1);
        self.history(sector).overwrite(Some(Arc::new(bytes)));
    }

    /// The oldest and the newest un-synced change.
    pub(crate) fn steps(&self) -> impl Iterator<Item = Step> {
        let sectors = self.dirty.iter().filter_map(|sector| self.sectors.get(sector));
        sectors.flat_map(History::steps).chain(self.len.steps())
    }

    /// The file after a power cut, all of it durable.
    pub(crate) fn survivor(&self, judge: &mut Judge, garbage: Probability) -> Self {
        let (data, length) = (judge.class(), judge.class());
        let len = *self.len.survivor(judge, length);
        let mut left = Self { len: History::new(len), space: self.space_durable.clone(), ..Self::new() };
        for (&sector, history) in &self.sectors {
            let mut bytes = history.survivor(judge, data).clone();
            if history.is_dirty() && judge.rng.chance(garbage) {
                bytes = Some(Arc::new(judge.rng.bytes()));
            }
            let kept = len.saturating_sub(sector * SECTOR_BYTES as u64);
            if let Some(mut bytes) = bytes.filter(|_| kept > 0) {
                if kept < SECTOR_BYTES as u64 {
                    Arc::make_mut(&mut bytes)[kept as usize..].fill(0);
                }
                left.space.insert(sector..sector + 1);
                left.sectors.insert(sector, History::new(Some(bytes)));
            }
        }
        left.space.truncate(len.div_ceil(SECTOR_BYTES as u64));
        left.space_durable = left.space.clone();
        left
    }

    fn history(&mut self, sector: u64) -> &mut History<Sector> {
        self.sectors.entry(sector).or_insert_with(|| History::new(None))
    }

    fn change(&mut self, step: Step, sector: u64, edit: impl FnOnce(&mut [u8; SECTOR_BYTES])) {
        let history = self.history(sector);
        let mut bytes = history.now().as_deref().copied().unwrap_or([0; SECTOR_BYTES]);
        edit(&mut bytes);
        history.change(step, Some(Arc::new(bytes)));
        self.dirty.insert(sector);
    }
}
