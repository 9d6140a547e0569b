//! What is done to a log.

use std::{fmt, ops::Range};

use crate::logs::{Files, Rng, SavedLog};

const SECTOR_BYTES: u64 = 512;
const PAGE_BYTES: u64 = 4096;

/// What happens to the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    FlippedBit,
    ZeroedSector,
    GarbageSector,
    ZeroedPage,
    SwappedSectors,
    MisplacedSector,
    MisplacedPage,
    StaleSector,
    StalePage,
    ShortenedFile,
    MissingFile,
}

impl Kind {
    pub(crate) const ALL: [Self; 11] = [
        Self::FlippedBit,
        Self::ZeroedSector,
        Self::GarbageSector,
        Self::ZeroedPage,
        Self::SwappedSectors,
        Self::MisplacedSector,
        Self::MisplacedPage,
        Self::StaleSector,
        Self::StalePage,
        Self::ShortenedFile,
        Self::MissingFile,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::FlippedBit => "flipped bit",
            Self::ZeroedSector => "zeroed sector",
            Self::GarbageSector => "garbage sector",
            Self::ZeroedPage => "zeroed page",
            Self::SwappedSectors => "swapped sectors",
            Self::MisplacedSector => "misplaced sector",
            Self::MisplacedPage => "misplaced page",
            Self::StaleSector => "stale sector",
            Self::StalePage => "stale page",
            Self::ShortenedFile => "shortened file",
            Self::MissingFile => "missing file",
        })
    }
}

/// Where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Superblock,
    SegmentHeader,
    /// Of a message that was synced before the last sync.
    Header,
    Payload,
    /// Of what the last sync made stable, or of anything after it.
    LastSync,
    /// Where there is nothing, or nothing that is needed any more.
    Unused,
    Blob,
}

impl Place {
    pub(crate) const ALL: [Self; 7] =
        [Self::Superblock, Self::SegmentHeader, Self::Header, Self::Payload, Self::LastSync, Self::Unused, Self::Blob];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Superblock => "superblock",
            Self::SegmentHeader => "segment header",
            Self::Header => "message header",
            Self::Payload => "payload",
            Self::LastSync => "last sync",
            Self::Unused => "unused",
            Self::Blob => "blob",
        }
    }
}

/// One damage, done.
#[derive(Debug)]
pub(crate) struct Damage {
    pub(crate) kind: Kind,
    pub(crate) place: Place,
    pub(crate) file: String,
    /// The bytes that are not what they were, or may not be: one range or two.
    pub(crate) changed: Vec<Range<u64>>,
    pub(crate) files: Files,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}, bytes {:?}", self.kind, self.file, self.changed)
    }
}

impl Damage {
    /// Damages a copy of the log. `None` if this kind of damage changed nothing.
    pub(crate) fn draw(kind: Kind, log: &SavedLog, rng: &mut Rng) -> Option<Self> {
        let mut files = log.files.clone();
        let names: Vec<_> = files.keys().filter(|name| *name != "lock").cloned().collect();
        // The file of segments is the largest and has the most to lose.
        let file = match rng.below(3) {
            0 => names[rng.below(names.len() as u64) as usize].clone(),
            _ => "log".to_owned(),
        };
        let len = files[&file].len() as u64;
        let unit = match kind {
            Kind::ZeroedPage | Kind::MisplacedPage | Kind::StalePage => PAGE_BYTES,
            _ => SECTOR_BYTES,
        };
        let piece = |rng: &mut Rng| {
            let at = rng.below(len.div_ceil(unit).max(1)) * unit;
            at..(at + unit).min(len)
        };
        let at = piece(rng);
        let mut changed = vec![at.clone()];
        let slice = |range: &Range<u64>| range.start as usize..range.end as usize;
        match kind {
            Kind::FlippedBit => {
                if len == 0 {
                    return None;
                }
                let byte = rng.below(len);
                files.get_mut(&file)?[byte as usize] ^= 1 << rng.below(8);
                changed[0] = byte..byte + 1;
            }
            Kind::ZeroedSector | Kind::ZeroedPage => files.get_mut(&file)?[slice(&at)].fill(0),
            Kind::GarbageSector => {
                let garbage = rng.bytes((at.end - at.start) as usize);
                files.get_mut(&file)?[slice(&at)].copy_from_slice(&garbage);
            }
            Kind::SwappedSectors => {
                let other = piece(rng);
                if other.end - other.start != at.end - at.start {
                    return None;
                }
                let bytes = files.get_mut(&file)?;
                let (here, there) = (bytes[slice(&at)].to_vec(), bytes[slice(&other)].to_vec());
                bytes[slice(&at)].copy_from_slice(&there);
                bytes[slice(&other)].copy_from_slice(&here);
                changed.push(other);
            }
            Kind::MisplacedSector | Kind::MisplacedPage => {
                // From anywhere in any file: what was written there was meant for here, or is read instead.
                let source = &log.files[&names[rng.below(names.len() as u64) as usize]];
                let pieces = (source.len() as u64).div_ceil(unit).max(1);
                let from = (rng.below(pieces) * unit) as usize;
                let mut piece = source.get(from..(from + unit as usize).min(source.len()))?.to_vec();
                piece.resize((at.end - at.start) as usize, 0);
                files.get_mut(&file)?[slice(&at)].copy_from_slice(&piece);
            }
            Kind::StaleSector | Kind::StalePage => {
                let earlier = log.earlier.get(rng.below(log.earlier.len().max(1) as u64) as usize)?;
                let mut piece = earlier.get(&file)?.get(slice(&at)).unwrap_or_default().to_vec();
                // Where the file did not reach yet, nothing was.
                piece.resize((at.end - at.start) as usize, 0);
                files.get_mut(&file)?[slice(&at)].copy_from_slice(&piece);
            }
            Kind::ShortenedFile => {
                let end = rng.below(len.max(1));
                files.get_mut(&file)?.truncate(end as usize);
                changed[0] = end..len;
            }
            Kind::MissingFile => {
                files.remove(&file)?;
                changed[0] = 0..len;
            }
        }
        let same = files.get(&file).is_some_and(|bytes| *bytes == log.files[&file]);
        let place = Self::place(log, &file, &changed);
        (!same).then_some(Self { kind, place, file, changed, files })
    }

    fn place(log: &SavedLog, file: &str, changed: &[Range<u64>]) -> Place {
        match file {
            "superblock" => return Place::Superblock,
            "log" => (),
            _ => return Place::Blob,
        }
        // The first structure that is touched counts.
        for at in changed.iter().flat_map(Clone::clone) {
            let in_segment = at % u64::from(log.segment_bytes);
            let base = at - in_segment;
            let is_live = log.message_at(base + 64).is_some();
            match log.message_at(at) {
                Some(message) if message.lsn >= log.last_sync => return Place::LastSync,
                Some(message) if message.end() <= log.floor => (),
                Some(message) if at < message.offset.get() + 24 => return Place::Header,
                Some(_) => return Place::Payload,
                None if in_segment < 64 && is_live => return Place::SegmentHeader,
                None => (),
            }
        }
        Place::Unused
    }
}
