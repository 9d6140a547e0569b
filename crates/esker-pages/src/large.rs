//! Contents that are too long for a record: each is a file of its own, which is written once and never moved.
//!
//! Owns these files: their names, who needs them, and when they are removed: when the change that made them needless is
//! durable. A file that no page names, because the store was closed or crashed before that or before its page was, is removed
//! by the next opening.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use esker_page_table::PageId;
use esker_storage::{Access, Storage};

use crate::{
    Error,
    node::Fragment,
    record::LARGE_BYTES,
    store::Inner,
    sync::{Mutex, lock},
};

const PREFIX: &str = "page-";

/// The files of a store.
pub(crate) struct Larges {
    storage: Arc<dyn Storage>,
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    /// By the version of the page that needs it.
    needed: BTreeMap<u64, Large>,
    /// With the number of the change that made it needless.
    doomed: Vec<(u64, Large)>,
    bytes: u64,
}

/// What a record says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Large {
    id: u64,
    bytes: u64,
    crc32: u32,
}

impl Large {
    pub(crate) fn encode(self) -> [u8; LARGE_BYTES] {
        let mut out = [0; LARGE_BYTES];
        out[..8].copy_from_slice(&self.id.to_le_bytes());
        out[8..16].copy_from_slice(&self.bytes.to_le_bytes());
        out[16..].copy_from_slice(&self.crc32.to_le_bytes());
        out
    }

    pub(crate) fn decode(content: &[u8]) -> Option<Self> {
        let (id, rest) = content.split_first_chunk::<8>()?;
        let (bytes, crc32) = rest.split_first_chunk::<8>()?;
        Some(Self {
            id: u64::from_le_bytes(*id),
            bytes: u64::from_le_bytes(*bytes),
            crc32: u32::from_le_bytes(crc32.try_into().ok()?),
        })
    }

    fn name(self) -> String {
        name_of(self.id)
    }
}

pub(crate) fn name_of(id: u64) -> String {
    format!("{PREFIX}{id:016x}")
}

/// Whether a file of this name is one of ours.
pub(crate) fn is_name(name: &str) -> bool {
    id_of(name).is_some()
}

fn id_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX).filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok().filter(|&id| name_of(id) == name)
}

pub(crate) fn failed(action: &'static str, file: String, source: io::Error) -> Error {
    if esker_storage::is_out_of_space(&source) {
        return Error::Log(esker_log::Error::NoSpace { at: esker_format::Lsn::ZERO, source: Arc::new(source) });
    }
    Error::Log(esker_log::Error::Io { action, file, offset: None, source: Arc::new(source) })
}

impl Larges {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage, files: Mutex::default() }
    }

    /// What all files take, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        lock(&self.files).bytes
    }

    /// How many files there are.
    pub(crate) fn count(&self) -> u64 {
        let files = lock(&self.files);
        (files.needed.len() + files.doomed.len()) as u64
    }

    /// The names of those that a page needs, and of those that wait to be removed.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        let files = lock(&self.files);
        let doomed = files.doomed.iter().map(|(_, large)| large.name());
        let names: Vec<String> = files.needed.values().map(|large| large.name()).chain(doomed).collect();
        names.into_iter()
    }

    /// Writes a file, durably.
    fn create(&self, id: u64, content: &[u8]) -> Result<Large, Error> {
        let large = Large { id, bytes: content.len() as u64, crc32: crc32fast::hash(content) };
        let write = || -> io::Result<()> {
            let file = self.storage.create(&large.name())?;
            file.write_all_at(content, 0)?;
            file.sync_all()?;
            self.storage.sync_dir()
        };
        if let Err(error) = write() {
            drop(self.storage.remove(&large.name()));
            return Err(failed("write", large.name(), error));
        }
        lock(&self.files).bytes += large.bytes;
        Ok(large)
    }

    /// A file that came to nothing.
    pub(crate) fn abandon(&self, large: Large) {
        drop(self.storage.remove(&large.name()));
        lock(&self.files).bytes -= large.bytes;
    }

    /// A page of this version needs the file.
    pub(crate) fn need(&self, version: u64, large: Large) {
        lock(&self.files).needed.insert(version, large);
    }

    /// The id and the length of the file that a page of this version has.
    pub(crate) fn file_of(&self, version: u64) -> Option<(u64, u64)> {
        lock(&self.files).needed.get(&version).map(|large| (large.id, large.bytes))
    }

    /// It does not after all.
    pub(crate) fn need_not(&self, version: u64) {
        lock(&self.files).needed.remove(&version);
    }

    /// As [`need`](Larges::need), for what was there before the store was opened.
    pub(crate) fn found(&self, version: u64, large: Large) {
        let mut files = lock(&self.files);
        if files.needed.insert(version, large).is_none() {
            files.bytes += large.bytes;
        }
    }

    /// Since the change `number`, the page of this version needs no file.
    fn doom(&self, version: u64, number: u64) {
        let mut files = lock(&self.files);
        if let Some(large) = files.needed.remove(&version) {
            files.doomed.push((number, large));
        }
    }

    /// Removes what was made needless by changes up to `durable`.
    pub(crate) fn sweep(&self, durable: u64) {
        let gone: Vec<Large> = {
            let mut files = lock(&self.files);
            let (gone, rest) =
                std::mem::take(&mut files.doomed).into_iter().partition(|&(number, _)| number <= durable);
            files.doomed = rest;
            let gone: Vec<(u64, Large)> = gone;
            files.bytes -= gone.iter().map(|(_, large)| large.bytes).sum::<u64>();
            gone.into_iter().map(|(_, large)| large).collect()
        };
        for large in gone {
            // What cannot be removed now is by the next opening.
            drop(self.storage.remove(&large.name()));
        }
    }

    /// Removes the files that nobody needs. Called by an opening.
    pub(crate) fn remove_others(&self) -> Result<(), Error> {
        let needed: BTreeSet<u64> = lock(&self.files).needed.values().map(|large| large.id).collect();
        let names = self.storage.list().map_err(|error| failed("list", "the store".to_owned(), error))?;
        for name in names {
            if id_of(&name).is_some_and(|id| !needed.contains(&id)) {
                self.storage.remove(&name).map_err(|error| failed("remove", name.clone(), error))?;
            }
        }
        Ok(())
    }
}

impl Inner {
    /// Whether content of this length needs a file.
    pub(crate) fn is_large(&self, len: usize) -> bool {
        len + crate::record::HEADER_BYTES > self.streams.payload_bytes_max() as usize
    }

    /// Writes content to a file of its own.
    pub(crate) fn create_large(&self, content: &[u8]) -> Result<Large, Error> {
        self.make_room_for_large(content.len() as u64)?;
        let id = self.generate_id()?;
        self.larges.create(id, content)
    }

    /// A file must find room beside what the segments take, and may not grow into any more.
    fn make_room_for_large(&self, bytes: u64) -> Result<(), Error> {
        let Some(max_bytes) = self.options.max_bytes else { return Ok(()) };
        let used = self.streams.stats().segments.file_bytes + self.larges.bytes();
        let room = max_bytes - crate::options::ledger_bytes_max(max_bytes);
        if used + bytes > room {
            return Err(Error::NoSpace { live_bytes: self.books.totals().live_bytes + self.larges.bytes(), max_bytes });
        }
        self.streams.set_segments_max(self.options.segments_max(max_bytes, self.larges.bytes() + bytes));
        Ok(())
    }

    /// If one of these records has a file, it is needless since the change `number`.
    pub(crate) fn doom_large(&self, before: &[Fragment], number: u64) {
        for large in before.iter().filter(|fragment| fragment.is_large()) {
            self.larges.doom(large.version.get(), number);
        }
    }

    /// The content in a file, of which the record says `content`.
    pub(crate) fn read_large(
        &self,
        page: PageId,
        fragment: Fragment,
        content: &[u8],
    ) -> Result<Option<Vec<u8>>, Error> {
        let damaged = |reason| Error::Damaged { page, lsn: fragment.lsn, reason };
        let large = Large::decode(content).ok_or(damaged("a name of a file that is none"))?;
        let file = match self.larges.storage.open(&large.name(), Access::Read) {
            Ok(file) => file,
            // The page may have been changed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let is_needed = lock(&self.larges.files).needed.contains_key(&fragment.version.get());
                return if is_needed { Err(damaged("its file is missing")) } else { Ok(None) };
            }
            Err(error) => return Err(failed("open", large.name(), error)),
        };
        let len = file.len().map_err(|error| failed("measure", large.name(), error))?;
        if len != large.bytes {
            return Err(damaged("its file has another length"));
        }
        let mut bytes = vec![0; large.bytes as usize];
        file.read_exact_at(&mut bytes, 0).map_err(|error| failed("read", large.name(), error))?;
        if crc32fast::hash(&bytes) != large.crc32 {
            return Err(damaged("the checksum of its file is wrong"));
        }
        Ok(Some(bytes))
    }
}
