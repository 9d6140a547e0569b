//! Doing damage: by calls that go wrong without saying so, and at rest.
//!
//! Owns where damage goes and the record of it. Refuses to judge whether anybody could notice.
//!
//! # Invariants
//!
//! - **G1 (all on record):** without garbage and lies, what a reader finds where no un-synced write is, and no failed sync
//!   was, is what was written last, or the record says of these bytes that they were damaged.

use std::{io, ops::Range};

use super::{Call, Disk};
use crate::{
    content::{Fate, SECTOR_BYTES, sectors},
    damage::{AtRest, Damage, DamageKind},
    directory::FileId,
    rng::Rng,
};

const SECTOR: u64 = SECTOR_BYTES as u64;
/// How often a place is drawn that must not overlap another one, before there is none.
const DRAWS_MAX: u32 = 16;

/// Sectors of a file.
#[derive(Debug, Clone)]
struct Run {
    file: FileId,
    sectors: Range<u64>,
}

impl Run {
    fn overlaps(&self, other: &Self) -> bool {
        let (a, b) = (&self.sectors, &other.sectors);
        self.file == other.file && a.start < b.end && b.start < a.end
    }

    /// As many sectors from another place on.
    fn moved_to(&self, (file, first): (FileId, u64)) -> Self {
        Self { file, sectors: first..first + (self.sectors.end - self.sectors.start) }
    }
}

impl Disk {
    pub(crate) fn damages(&self) -> &[Damage] {
        &self.damages
    }

    // By calls.

    /// A bit of what is about to be read flips.
    pub(super) fn rot(&mut self, id: FileId, name: &str, offset: u64, bytes: usize) {
        let content = &mut self.files.get_mut(&id).expect("a handle keeps its file").content;
        let end = offset.saturating_add(bytes as u64).min(content.len());
        let settled: Vec<u64> = sectors(offset, end.max(offset)).filter(|&sector| content.is_settled(sector)).collect();
        if settled.is_empty() {
            return;
        }
        let sector = settled[self.rng.index(settled.len())];
        let range = (sector * SECTOR).max(offset)..((sector + 1) * SECTOR).min(end);
        let at = range.start + self.rng.below(range.end - range.start);
        let mut flipped = content.sector(sector);
        flipped[(at % SECTOR) as usize] ^= 1 << self.rng.below(8);
        content.overwrite(sector, flipped);
        self.damages.push(Damage { file: name.to_owned(), offset: at, bytes: 1, kind: DamageKind::BitFlip });
    }

    /// What was read is from somewhere else, for a run of its sectors.
    pub(super) fn read_elsewhere(&mut self, id: FileId, name: &str, dst: &mut [u8], offset: u64) {
        let end = offset + dst.len() as u64;
        let Some(run) = self.draw_run(id, offset, end) else { return };
        let Some(place) = self.with_rng(|disk, rng| disk.draw_place(rng, None, Some(&run))) else { return };
        for (sector, other) in run.sectors.clone().zip(run.moved_to(place).sectors) {
            let bytes = self.files[&place.0].content.on_disk(other);
            let range = (sector * SECTOR).max(offset)..((sector + 1) * SECTOR).min(end);
            let inside = (range.start % SECTOR) as usize;
            let target = &mut dst[(range.start - offset) as usize..(range.end - offset) as usize];
            let len = target.len();
            target.copy_from_slice(&bytes[inside..inside + len]);
        }
        let kind = DamageKind::MisdirectedRead { file: self.name_of(place.0), offset: place.1 * SECTOR };
        self.record(name, &run, offset..end, kind);
    }

    /// A write that says it succeeded, and of which a run of sectors was lost or, if it `strays`, is somewhere else.
    pub(super) fn write_astray(
        &mut self,
        call: &Call,
        (id, name): (FileId, &str),
        src: &[u8],
        offset: u64,
        strays: bool,
    ) -> io::Result<()> {
        let end = offset + src.len() as u64;
        let run = self.draw_run(id, offset, end).expect("something is written");
        let free = self.free_sectors();
        let content = &mut self.file(id).content;
        let lost: Vec<_> = run.sectors.clone().map(|sector| content.sector_with(sector, src, offset)).collect();
        let fate = |sector| if run.sectors.contains(&sector) { Fate::Lost } else { Fate::Written };
        if !content.write(call.step, src, offset, free, fate) {
            return Err(self.full());
        }
        let kind = if strays { DamageKind::MisdirectedWrite } else { DamageKind::LostWrite };
        self.record(name, &run, offset..end, kind);
        if !strays {
            return Ok(());
        }
        let Some(place) = self.with_rng(|disk, rng| disk.draw_place(rng, None, Some(&run))) else { return Ok(()) };
        let hit = run.moved_to(place);
        let hit =
            Run { sectors: hit.sectors.start..hit.sectors.end.min(self.files[&place.0].content.sectors()), ..hit };
        let kind = DamageKind::Misplaced { file: name.to_owned(), offset: run.sectors.start * SECTOR };
        self.overwrite(&hit, lost, kind);
        Ok(())
    }

    // At rest.

    pub(crate) fn damage_at_rest(&mut self, seed: u64, how: AtRest, within: Option<&str>) -> Vec<Damage> {
        let mut rng = Rng::new(seed);
        let before = self.damages.len();
        let Some((file, sector)) = self.draw_place(&mut rng, within, None) else { return Vec::new() };
        let run = Run { file, sectors: sector..sector + 1 };
        let content = &self.files[&file].content;
        let bytes = content.on_disk(sector);
        let inside = content.len().saturating_sub(sector * SECTOR).min(SECTOR);
        match how {
            AtRest::BitFlip => {
                let at = rng.below(inside);
                let mut flipped = bytes;
                flipped[at as usize] ^= 1 << rng.below(8);
                let at = sector * SECTOR + at;
                self.file(file).content.overwrite(sector, flipped);
                let file = self.name_of(file);
                self.damages.push(Damage { file, offset: at, bytes: 1, kind: DamageKind::BitFlip });
            }
            AtRest::Zeros => self.overwrite(&run, vec![[0; SECTOR_BYTES]], DamageKind::Zeros),
            AtRest::Noise => self.overwrite(&run, vec![rng.bytes()], DamageKind::Noise),
            AtRest::Misplaced | AtRest::Swapped => {
                let Some(place) = self.draw_place(&mut rng, within, Some(&run)) else { return Vec::new() };
                let other = run.moved_to(place);
                let there = self.files[&place.0].content.on_disk(place.1);
                let belongs = |disk: &Self, run: &Run| DamageKind::Misplaced {
                    file: disk.name_of(run.file),
                    offset: run.sectors.start * SECTOR,
                };
                let (from_there, from_here) = (belongs(self, &other), belongs(self, &run));
                self.overwrite(&run, vec![there], from_there);
                if how == AtRest::Swapped {
                    self.overwrite(&other, vec![bytes], from_here);
                }
            }
        }
        self.damages[before..].to_vec()
    }

    // What several of these need.

    fn with_rng<T>(&mut self, draw: impl FnOnce(&Self, &mut Rng) -> T) -> T {
        let mut rng = self.rng.clone();
        let drawn = draw(self, &mut rng);
        self.rng = rng;
        drawn
    }

    /// Some neighbours among the sectors of a range of bytes.
    fn draw_run(&mut self, file: FileId, offset: u64, end: u64) -> Option<Run> {
        let all = sectors(offset, end);
        if offset >= end {
            return None;
        }
        let first = all.start + self.rng.below(all.end - all.start);
        let last = first + self.rng.below(all.end - first);
        Some(Run { file, sectors: first..last + 1 })
    }

    /// A sector of any file that has a name, or of the file `within`, from which on as many as `apart_from` has do not
    /// overlap that.
    fn draw_place(&self, rng: &mut Rng, within: Option<&str>, apart_from: Option<&Run>) -> Option<(FileId, u64)> {
        let names = self.directory.names().iter().filter(|&(name, _)| within.is_none_or(|within| within == name));
        let files: Vec<_> = names.map(|(_, &id)| (id, self.files[&id].content.sectors())).collect();
        let total: u64 = files.iter().map(|(_, sectors)| sectors).sum();
        for _ in 0..DRAWS_MAX {
            if total == 0 {
                return None;
            }
            let mut nth = rng.below(total);
            let &(id, _) = files.iter().find(|&&(_, sectors)| {
                let is_here = nth < sectors;
                nth -= if is_here { 0 } else { sectors };
                is_here
            })?;
            if apart_from.is_none_or(|run| !run.overlaps(&run.moved_to((id, nth)))) {
                return Some((id, nth));
            }
        }
        None
    }

    /// Puts other bytes into sectors, unless they are the same, and records it.
    fn overwrite(&mut self, run: &Run, bytes: Vec<[u8; SECTOR_BYTES]>, kind: DamageKind) {
        let content = &mut self.file(run.file).content;
        let end = content.len();
        let before: Vec<_> = run.sectors.clone().map(|sector| content.on_disk(sector)).collect();
        for (sector, bytes) in run.sectors.clone().zip(bytes) {
            content.overwrite(sector, bytes);
        }
        let after: Vec<_> = run.sectors.clone().map(|sector| content.on_disk(sector)).collect();
        if before != after {
            self.record(&self.name_of(run.file), run, 0..end, kind);
        }
    }

    /// Records damage to the part of a run that lies in a range of bytes.
    fn record(&mut self, name: &str, run: &Run, range: Range<u64>, kind: DamageKind) {
        let offset = (run.sectors.start * SECTOR).max(range.start);
        let end = (run.sectors.end * SECTOR).min(range.end);
        self.damages.push(Damage { file: name.to_owned(), offset, bytes: end - offset, kind });
    }

    /// The name of a file that has one.
    fn name_of(&self, file: FileId) -> String {
        let name = self.directory.names().iter().find(|&(_, &id)| id == file);
        name.map(|(name, _)| name.clone()).unwrap_or_default()
    }
}
