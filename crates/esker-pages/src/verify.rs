//! Reading all of a store, and comparing what is accounted with what can be reached.
//!
//! Owns what a leak is. Refuses to repair: what is needless is removed by the next opening or by cleaning, and what is damaged
//! is for the owner to decide.

use std::collections::{BTreeMap, BTreeSet};

use esker_format::Lsn;
use esker_page_table::{PageId, pin};
use esker_storage::Access;

use crate::{
    Error, Look, SlotState,
    large::failed,
    node::{Fragment, seen},
    roots::META,
    store::Inner,
    sync::lock,
};

/// What reading all of a store has found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Verification {
    /// How many pages were read.
    pub pages: u64,
    /// How many records they consist of.
    pub records: u64,
    /// How many segments were read, each as a whole.
    pub segments: u64,
    /// How many bytes were read, with the files that belong to one page.
    pub bytes: u64,
    /// Pages and segments that cannot be read as they were written.
    pub damages: Vec<Error>,
    /// What takes space and belongs to nobody.
    pub leaks: Vec<Leak>,
}

/// Something that takes space, or is counted, and that nothing leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Leak {
    /// A file that no page names. The next opening of the store removes it.
    File {
        /// Its name.
        name: String,
        /// How long it is, in bytes.
        bytes: u64,
    },
    /// A segment of which more or less is counted as live than its pages take.
    Segment {
        /// The LSN of its first byte.
        base: Lsn,
        /// What is counted as live, in bytes.
        accounted_bytes: u64,
        /// What pages take, in bytes.
        reached_bytes: u64,
        /// What was found in the segment that pages name, in bytes.
        found_bytes: u64,
    },
    /// More or fewer ids are in use than there are pages.
    PageIds {
        /// How many are in use.
        in_use: u64,
        /// How many pages there are.
        pages: u64,
    },
    /// A part of the data file that is in no segment.
    Tail {
        /// How long it is, in bytes.
        bytes: u64,
    },
}

impl std::fmt::Display for Leak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { name, bytes } => write!(f, "{name}: no page names this file of {bytes} bytes"),
            Self::Segment { base, accounted_bytes, reached_bytes, found_bytes } => write!(
                f,
                "the segment at lsn {base}: {accounted_bytes} bytes are counted as live, pages take {reached_bytes}, and \
                 {found_bytes} of them were found"
            ),
            Self::PageIds { in_use, pages } => write!(f, "{in_use} page ids are in use by {pages} pages"),
            Self::Tail { bytes } => write!(f, "the last {bytes} bytes of the data file are in no segment"),
        }
    }
}

/// What pages take of each segment.
#[derive(Default)]
struct Reached {
    bytes: BTreeMap<Lsn, u64>,
    records: u64,
}

impl Reached {
    fn add(&mut self, inner: &Inner, fragment: Fragment) {
        let base = fragment.lsn.segment_base(inner.streams.segment_bytes());
        *self.bytes.entry(base).or_default() += u64::from(fragment.bytes());
        self.records += 1;
    }
}

impl Look {
    /// Reads every page and every segment, with all checksums, and compares what is counted as live with what pages lead to:
    /// segment by segment, file by file, and id by id. `progress` is told how many bytes are done, and of how many.
    ///
    /// Reads what is live twice. Takes memory for each segment and for each file of a page, not for each page.
    ///
    /// # Errors
    ///
    /// I/O. Damage is part of what is returned.
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Verification, Error> {
        let inner = &self.inner;
        let mut found = Verification::default();
        let stats = inner.stats();
        let total = stats.live_bytes + stats.large_bytes + stats.file_bytes - stats.free_bytes;
        let mut reached = Reached::default();
        for region in inner.table.regions() {
            let mut pages: Vec<(PageId, Vec<Fragment>)> = Vec::new();
            inner.table.scan(region.pages(), &pin(), |page, entry| {
                pages.extend(seen(entry).map(|seen| (page, seen.fragments().collect())));
            });
            for (page, fragments) in pages {
                found.pages += u64::from(page != META);
                for &fragment in &fragments {
                    reached.add(inner, fragment);
                    found.bytes += u64::from(fragment.bytes());
                    found.bytes += inner.larges.file_of(fragment.version.get()).map_or(0, |(_, bytes)| bytes);
                }
                // Its records are read one by one, as whoever asks for the page would.
                match inner.read_all(page, &fragments, |_, _| Ok(())) {
                    Ok(Some(_)) => (),
                    Ok(None) => {
                        let (lsn, reason) = (fragments[0].lsn, "its segment is not there");
                        found.damages.push(Error::Damaged { page, lsn, reason });
                    }
                    Err(error) => found.damages.push(as_damage(error)?),
                }
                progress(found.bytes, total);
            }
        }
        for &(_, grave) in lock(&inner.graves).values() {
            reached.add(inner, grave);
        }
        found.records = reached.records;
        if stats.pages != found.pages {
            found.leaks.push(Leak::PageIds { in_use: stats.pages, pages: found.pages });
        }
        self.verify_segments(&reached, &mut found, progress, total)?;
        self.verify_files(&mut found)?;
        Ok(found)
    }

    fn verify_segments(
        &self,
        reached: &Reached,
        found: &mut Verification,
        progress: &mut dyn FnMut(u64, u64),
        total: u64,
    ) -> Result<(), Error> {
        let inner = &self.inner;
        let segment_bytes = u64::from(inner.streams.segment_bytes().get());
        let mut buffer = Vec::new();
        for slot in inner.slots() {
            let (Some(base), SlotState::Full) = (slot.base, slot.state) else { continue };
            let live = inner.read_live(base, &mut buffer);
            found.segments += 1;
            found.bytes += segment_bytes;
            progress(found.bytes.min(total), total);
            let found_bytes: u64 = match live {
                Ok(live) => live.iter().map(|record| u64::from(record.bytes)).sum(),
                Err(error) => {
                    found.damages.push(as_damage(error)?);
                    continue;
                }
            };
            let reached_bytes = reached.bytes.get(&base).copied().unwrap_or(0);
            let accounted_bytes = slot.live_bytes;
            if reached_bytes != accounted_bytes || found_bytes != accounted_bytes {
                found.leaks.push(Leak::Segment { base, accounted_bytes, reached_bytes, found_bytes });
            }
        }
        Ok(())
    }

    fn verify_files(&self, found: &mut Verification) -> Result<(), Error> {
        let inner = &self.inner;
        let needed: BTreeSet<String> = inner.larges.names().collect();
        let len_of = |name: &str| {
            let file = self.storage.open(name, Access::Read)?;
            file.len()
        };
        let names = self.storage.list().map_err(|error| failed("list", "the store".to_owned(), error))?;
        for name in names {
            if crate::large::is_name(&name) && !needed.contains(&name) {
                let bytes = len_of(&name).map_err(|error| failed("measure", name.clone(), error))?;
                found.leaks.push(Leak::File { name, bytes });
            }
        }
        let data = esker_streams::DATA_FILE;
        let bytes = len_of(data).map_err(|error| failed("measure", data.to_owned(), error))?;
        let known = inner.stats().file_bytes;
        if bytes > known {
            found.leaks.push(Leak::Tail { bytes: bytes - known });
        }
        Ok(())
    }
}

/// Damage is what is looked for; anything else ends the search.
fn as_damage(error: Error) -> Result<Error, Error> {
    match error {
        Error::Damaged { .. } | Error::Log(esker_log::Error::Corrupt(_) | esker_log::Error::NotARecord { .. }) => {
            Ok(error)
        }
        other => Err(other),
    }
}
