//! Opening a store: the last checkpoint, then what was written after it.
//!
//! Owns recovery. The ledger tells of the last checkpoint; its notes give the table. Then the streams are read from where the
//! checkpoint says, in any order, and what is found is put in the order of its numbers. All changes up to the checkpoint's
//! mark, and up to the mark that the last reclaimed segment came with, are known to have been durable. Beyond it, changes
//! hold up to the first number that is missing (W2), and not beyond the beginning of a batch that is not whole. What lies
//! beyond is noted as discarded before anything new is written, so that no later opening finds it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use esker_format::Lsn;
use esker_page_table::{Counter, Entry, PageId, PageIds, PageTable, Region, Stored, Version, pin};
use esker_storage::Storage;
use esker_streams::{Opening, StreamId};

use crate::{
    Error, Options,
    books::{Books, Totals},
    cache::{Cache, Cached},
    checkpoint::Checkpoints,
    clean::Cleaning,
    large::{Large, Larges},
    node::{Fragment, Node, State, seen},
    notes::{self, Note, Root},
    record::{Head, Kind},
    roots::META,
    store::{Graves, Inner, UniqueIds},
    sync::Mutex,
};

/// What the ledger says.
#[derive(Debug, Default)]
struct Ledger {
    root: Root,
    /// The newest notes of regions that belong to a checkpoint with a root, and how long they are.
    regions: BTreeMap<u64, (Lsn, u64)>,
    /// Those of a checkpoint whose root has not come yet.
    pending: Vec<(u64, u64, Lsn, u64)>,
    last: u64,
    next_id: u64,
    /// Ranges of numbers, since the last root.
    discarded: Vec<(u64, u64)>,
    fault: Option<Lsn>,
}

impl Ledger {
    fn add(&mut self, lsn: Lsn, bytes: &[u8]) {
        let Some(note) = Note::decode(bytes) else {
            self.fault.get_or_insert(lsn);
            return;
        };
        match note {
            Note::Region { checkpoint, region } => {
                self.last = self.last.max(checkpoint);
                self.pending.push((checkpoint, region, lsn, bytes.len() as u64));
            }
            Note::Root(root) => {
                self.last = self.last.max(root.checkpoint);
                for (checkpoint, region, lsn, bytes) in std::mem::take(&mut self.pending) {
                    // What an attempt before it left is worth nothing.
                    if checkpoint == root.checkpoint {
                        self.regions.insert(region, (lsn, bytes));
                    }
                }
                self.next_id = self.next_id.max(root.next_id);
                // The streams are read from beyond all that was discarded before.
                self.discarded.clear();
                self.root = root;
            }
            Note::Ids { next } => self.next_id = self.next_id.max(next),
            Note::Discarded { first, next } => self.discarded.push((first, next)),
        }
    }
}

/// A change that was found in a stream.
#[derive(Clone, Copy, Debug)]
struct Change {
    head: Head,
    lsn: Lsn,
    bytes: u32,
}

pub(crate) fn open(storage: Arc<dyn Storage>, options: Options) -> Result<Inner, Error> {
    let streams_options = options.validate()?;
    let mut ledger = Ledger::default();
    let mut opening = Opening::begin(storage.clone(), &streams_options, |lsn, note| ledger.add(lsn, note))?;
    if let Some(lsn) = ledger.fault {
        return Err(Error::Damaged { page: PageId::MIN, lsn, reason: "a note in the ledger that is none of a store" });
    }

    let mut table = PageTable::new();
    let mut chains: HashMap<PageId, Vec<Fragment>> = HashMap::new();
    for (&region, &(lsn, _)) in &ledger.regions {
        load_region(&opening, region, lsn, &mut table, &mut chains)?;
    }
    // As the checkpoint says: what is changed from here on is in no checkpoint.
    let _ = table.take_dirty();

    let mut changes = Vec::new();
    let starts = std::mem::take(&mut ledger.root.starts);
    let mut damaged = None;
    opening.replay(
        |stream: StreamId| starts.get(usize::from(stream.get())).copied().unwrap_or(Lsn::ZERO),
        |found| {
            match Head::split(found.payload) {
                Some((head, _)) if head.number > 0 => {
                    changes.push(Change { head, lsn: found.lsn, bytes: found.bytes });
                }
                Some(_) => (),
                None => damaged = Some(found.lsn),
            }
            Ok(())
        },
    )?;
    if let Some(lsn) = damaged {
        return Err(Error::Damaged { page: PageId::MIN, lsn, reason: "a record that is none of a page" });
    }
    changes.retain(|change| !ledger.discarded.iter().any(|&(first, next)| (first..next).contains(&change.head.number)));
    // Each stream gives them nearly in order, which this sort makes use of.
    changes.sort_by_key(|change| (change.head.number, change.head.kind != Kind::Delta, change.lsn));

    let resumed = ledger.discarded.iter().map(|&(_, next)| next - 1).max().unwrap_or(0);
    let freed_mark = if cfg!(esker_sabotage = "freed_mark") { 0 } else { opening.freed_mark() };
    let mark = ledger.root.mark.max(freed_mark).max(resumed);
    let held = held_to(&changes, mark);
    let highest = changes.last().map_or(mark, |change| change.head.number.max(mark));

    let mut graves = Graves::new();
    for change in changes.iter().take_while(|change| change.head.number <= held) {
        apply(change, &mut table, &mut chains, &mut graves);
    }

    let streams = opening.finish()?;
    if highest > held && !cfg!(esker_sabotage = "discarded") {
        streams.note(&Note::Discarded { first: held + 1, next: highest + 1 }.encode())?;
        streams.flush_notes()?;
    }

    let larges = Larges::new(storage);
    let books = Books::new(streams.segment_bytes(), &*options.policy);
    let cache = Cache::new(options.cache_bytes);
    let ids = PageIds::new();
    ids.claim(META);
    let guard = pin();
    for (page, fragments) in chains {
        let node = Node::new(State { newest: fragments[0], older: fragments[1..].into(), content: None });
        let cached = Cached::from(&*node);
        let entry = table.load(page, &guard);
        if table.replace(page, entry, node, &guard).is_ok() {
            cache.exchanged(page, Some(cached), None, &table);
        }
    }
    let mut large = Vec::new();
    for region in table.regions() {
        table.scan(region.pages(), &guard, |page, entry| {
            ids.claim(page);
            let Some(seen) = seen(entry) else { return };
            seen.fragments().for_each(|fragment| books.found(fragment));
            large.extend(seen.fragments().filter(|fragment| fragment.is_large()).map(|fragment| (page, fragment)));
        });
    }
    drop(guard);
    graves.values().for_each(|&(_, grave)| books.found(grave));
    books.all_found();

    for fragment in large {
        let (page, fragment) = fragment;
        let record = streams.read(fragment.lsn, fragment.bytes())?;
        let named = record.as_deref().and_then(Head::split).and_then(|(_, content)| Large::decode(content));
        let Some(named) = named else {
            return Err(Error::Damaged { page, lsn: fragment.lsn, reason: "no name of a file" });
        };
        larges.found(fragment.version.get(), named);
    }
    larges.remove_others()?;

    let Root { user_bytes, moved_bytes, .. } = ledger.root;
    let before = Totals { user_bytes, moved_bytes, ..Totals::default() };
    let regions = ledger.regions.into_iter();
    let regions = regions.filter_map(|(region, at)| Some((Region::new(region)?, at))).collect();
    Ok(Inner {
        options,
        table,
        ids,
        numbers: Counter::new(highest + 1),
        streams,
        books,
        before,
        cache,
        graves: Mutex::new(graves),
        checkpoints: Mutex::new(Checkpoints { last: ledger.last, regions, appended_bytes: 0 }),
        cleaning: Cleaning::default(),
        larges,
        // What is there was made so by the opening.
        durable: Arc::new(Mutex::new(held)),
        unique: Mutex::new(UniqueIds { next: ledger.next_id, noted: ledger.next_id }),
    })
}

/// Puts the pages of a region's note into the table.
fn load_region(
    opening: &Opening,
    region: u64,
    lsn: Lsn,
    table: &mut PageTable<Node>,
    chains: &mut HashMap<PageId, Vec<Fragment>>,
) -> Result<(), Error> {
    let damaged = |reason| Error::Damaged { page: PageId::MIN, lsn, reason };
    let note = opening.note(lsn)?;
    let region = Region::new(region).ok_or(damaged("a region that no table has"))?;
    let first = region.pages().start().get();
    notes::pages_of(&note, |index, fragments| {
        let Some(page) = PageId::new(first + u64::from(index)) else { return };
        table.set_stored(page, fragments[0].into());
        if fragments.len() > 1 {
            chains.insert(page, fragments.to_vec());
        }
    })
    .ok_or(damaged("a note of a region that is not whole"))
}

/// The last number that holds: all from `mark` on are there, and its batch is whole.
fn held_to(changes: &[Change], mark: u64) -> u64 {
    let mut held = mark;
    // The end of the last batch that is whole.
    let mut whole = mark;
    for change in changes.iter().skip_while(|change| change.head.number <= mark) {
        let number = change.head.number;
        if number > held + 1 {
            break;
        }
        held = number;
        if !change.head.more || cfg!(esker_sabotage = "batch") {
            whole = number;
        }
    }
    whole
}

/// Changes the table as a change did that holds.
fn apply(
    change: &Change,
    table: &mut PageTable<Node>,
    chains: &mut HashMap<PageId, Vec<Fragment>>,
    graves: &mut Graves,
) {
    let Change { head: Head { kind, number, page, .. }, lsn, bytes } = *change;
    if kind == Kind::Void {
        return;
    }
    let version = Version::new(number).expect("changes without a number were left out");
    let fragment = Fragment::new(lsn, bytes, version, kind == Kind::Large);
    let current = match table.load(page, &pin()) {
        Entry::Stored(stored) => Some(Stored { ..stored }),
        Entry::Vacant | Entry::Resident(_) => None,
    };
    // The checkpoint tells of something later. What is of the same version is the same, in another place.
    if current.is_some_and(|current| current.version > version) {
        return;
    }
    match kind {
        Kind::Void => (),
        Kind::Full | Kind::Large => {
            chains.remove(&page);
            table.set_stored(page, fragment.into());
        }
        Kind::Free => {
            chains.remove(&page);
            table.set_vacant(page);
            graves.insert(number, (page, fragment));
        }
        Kind::Delta => {
            // A delta of this version is in the checkpoint. One without anything before it was superseded, by what comes next.
            if current.is_none_or(|current| current.version < version) {
                let chain = chains.entry(page).or_insert_with(|| current.into_iter().map(Fragment::from).collect());
                chain.insert(0, fragment);
                table.set_stored(page, fragment.into());
            }
        }
    }
}
