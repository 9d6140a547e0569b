//! Checkpoints: where all pages are, so that an opening need not read all of the log to find out.
//!
//! Owns what a checkpoint is made of. It is *fuzzy*: writers go on while it is taken. Its steps:
//!
//! 1. Note where each stream ends. An opening will read them from there.
//! 2. Flush. All reservations that lie before those ends are completed by now, so that the table tells of them (W1): what is
//!    in neither the checkpoint nor behind its start does not exist.
//! 3. Take the marks of the regions that were changed, and note the pages of each: *incremental*, as regions that were not
//!    changed are noted already. If those notes take more than twice what they would take without what is superseded, the
//!    oldest of them are noted anew, so that the ledger can be truncated.
//! 4. Flush again. Whatever the notes tell of is durable.
//! 5. Note the root, make it durable, and give up what is before the oldest note that still counts.
//!
//! Until the root is durable, the last checkpoint counts, of which nothing was given up. If a step fails, the regions are
//! marked again.

use std::collections::{BTreeMap, BTreeSet};

use esker_format::Lsn;
use esker_page_table::{Region, pin};
use esker_streams::{STREAMS_MAX, StreamId};

use crate::{
    Error,
    node::seen,
    notes::{Note, RegionNote, Root},
    store::Inner,
    sync::lock,
};

/// How long the ledger may be beside what counts, before notes are moved.
const LEDGER_SLACK_BYTES: u64 = 4 << 20;

/// What is known of the checkpoints so far.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    /// The number of the last one.
    pub(crate) last: u64,
    /// The newest note of each region, and how long it is.
    pub(crate) regions: BTreeMap<Region, (Lsn, u64)>,
    /// How much had been appended to the streams when the last one began.
    pub(crate) appended_bytes: u64,
}

impl Inner {
    /// How much was appended to the streams since the store was opened.
    pub(crate) fn appended_bytes(&self) -> u64 {
        let totals = self.books.totals();
        totals.user_bytes + totals.moved_bytes
    }

    /// Whether so much was written since the last checkpoint that it is time for another.
    pub(crate) fn needs_checkpoint(&self) -> bool {
        let since = lock(&self.checkpoints).appended_bytes;
        self.appended_bytes() - since >= self.options.checkpoint_bytes
    }

    pub(crate) fn checkpoint(&self) -> Result<(), Error> {
        let mut checkpoints = lock(&self.checkpoints);
        let appended_bytes = self.appended_bytes();
        let graves_before = self.numbers.get();
        let ends: Vec<Lsn> =
            (0..self.streams.streams()).filter_map(StreamId::new).map(|id| self.streams.end_of(id)).collect();
        // Whatever a stream has that is not open now, it had before this opening, whose segments lie beyond all others.
        let latest = ends.iter().copied().max().unwrap_or(Lsn::ZERO);
        let starts = (0..STREAMS_MAX).map(|nth| ends.get(usize::from(nth)).copied().unwrap_or(latest)).collect();
        if !cfg!(esker_sabotage = "checkpoint_flush") {
            self.flush()?;
        }

        let dirty: BTreeSet<Region> = self.table.take_dirty().into_iter().collect();
        let outcome = self.note_all(&mut checkpoints, &dirty, starts);
        if outcome.is_err() {
            dirty.into_iter().for_each(|region| self.table.mark_dirty(region));
            return outcome;
        }
        checkpoints.appended_bytes = appended_bytes;
        drop(checkpoints);
        // Nothing older of those pages will be found any more.
        let mut graves = lock(&self.graves);
        let rest = graves.split_off(&graves_before);
        for (_, grave) in std::mem::replace(&mut *graves, rest).into_values() {
            self.books.died(grave);
        }
        Ok(())
    }

    fn note_all(&self, checkpoints: &mut Checkpoints, dirty: &BTreeSet<Region>, starts: Vec<Lsn>) -> Result<(), Error> {
        let number = checkpoints.last + 1;
        // A number that was begun is not used again, whether its notes are durable or not.
        checkpoints.last = number;
        let mut noted = BTreeMap::new();
        for &region in dirty.iter().chain(&self.overdue(checkpoints, dirty)) {
            let note = self.picture(number, region);
            let bytes = note.len() as u64;
            noted.insert(region, (self.streams.note(&note)?, bytes));
        }
        let mark = self.numbers.get() - 1;
        self.streams.flush()?;
        let mut regions = checkpoints.regions.clone();
        regions.extend(noted);
        let keep = regions.values().map(|&(lsn, _)| lsn).min().unwrap_or(Lsn::LIMIT);
        // Nobody notes anything of the ids between this look and the root, before which all such notes are given up.
        let unique = lock(&self.unique);
        let next_id = unique.noted;
        let totals = self.books.totals();
        let (user_bytes, moved_bytes) =
            (self.before.user_bytes + totals.user_bytes, self.before.moved_bytes + totals.moved_bytes);
        let root = Note::Root(Root { checkpoint: number, mark, next_id, user_bytes, moved_bytes, starts });
        self.streams.checkpoint(&root.encode(), keep)?;
        drop(unique);
        checkpoints.regions = regions;
        Ok(())
    }

    /// The regions whose notes are so old that they keep much of the ledger from being given up.
    fn overdue(&self, checkpoints: &Checkpoints, dirty: &BTreeSet<Region>) -> BTreeSet<Region> {
        let count: u64 = checkpoints.regions.values().map(|&(_, bytes)| bytes).sum();
        let mut excess = self.streams.ledger_bytes().saturating_sub(count * 2 + LEDGER_SLACK_BYTES);
        let mut oldest: Vec<_> = checkpoints
            .regions
            .iter()
            .filter(|(region, _)| !dirty.contains(region))
            .map(|(&region, &at)| (at, region))
            .collect();
        oldest.sort_unstable();
        let mut overdue = BTreeSet::new();
        for ((_, bytes), region) in oldest {
            if excess == 0 {
                break;
            }
            // As much is written anew as is to be given up: the ledger stays within a factor of what counts.
            excess = excess.saturating_sub(bytes.max(1));
            overdue.insert(region);
        }
        overdue
    }

    /// Where the pages of a region are.
    fn picture(&self, checkpoint: u64, region: Region) -> Vec<u8> {
        let first = region.pages().start().get();
        let mut note = RegionNote::new(checkpoint, region.number());
        let guard = pin();
        self.table.scan(region.pages(), &guard, |page, entry| {
            let index = (page.get() - first) as u16;
            if let Some(seen) = seen(entry) {
                note.add(index, seen.fragments());
            }
        });
        note.finish()
    }
}
