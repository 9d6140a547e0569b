//! The accountant behind its lock, as the engine's source of segments and the readers' map.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, PoisonError},
    time::Duration,
};

use esker_format::{FileOffset, Lsn, MESSAGE_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentId};
use esker_iobufs::{ActiveSegment, SegmentSource, SourceError};
use esker_segments::{Accountant, AllocateError, Allocation, ReuseTicket, Stats};
use esker_storage::{StorageFile, is_out_of_space};

use crate::{
    ahead::Ahead,
    sync::{ShardedLock, ShardedLockReadGuard, ShardedLockWriteGuard, thread},
    upkeep::DueList,
};

/// A segment's header and that of its first message, which tells what the segment was when the other is damaged.
const WIPED_BYTES: usize = SEGMENT_HEADER_BYTES + MESSAGE_HEADER_BYTES;

/// How often, and how long each time, a full log waits for readers of slots that were freed. A read that takes longer in
/// all is not waited for.
const READER_WAITS_MAX: u32 = 200;
const READER_WAIT: Duration = Duration::from_millis(1);

/// The segments of an open log.
#[derive(Debug)]
pub(crate) struct Segments {
    file: Arc<dyn StorageFile>,
    /// Every reader asks for a place and the floor; that changes once in a segment. So readers do not share a lock.
    state: ShardedLock<State>,
    ahead: Ahead,
    due: DueList,
}

#[derive(Debug)]
struct State {
    accountant: Accountant,
    /// Recorded in the header of each new segment.
    floor: Lsn,
    /// Free slots with a header that must be gone before a segment of the same base is begun elsewhere.
    leftovers: Vec<SegmentId>,
}

impl Segments {
    /// `leftovers` are free slots that still say they hold a part of the log.
    pub(crate) fn new(
        file: Arc<dyn StorageFile>,
        accountant: Accountant,
        floor: Lsn,
        leftovers: Vec<SegmentId>,
    ) -> Self {
        let taken = u64::from(accountant.slot_count()) * u64::from(accountant.segment_bytes().get());
        Self {
            ahead: Ahead::new(file.clone(), taken),
            file,
            state: ShardedLock::new(State { accountant, floor, leftovers }),
            due: DueList::default(),
        }
    }

    /// What is due besides what the log's users ask for.
    pub(crate) fn due(&self) -> &DueList {
        &self.due
    }

    /// Whether it would pay to write the place of the next segment ahead of need, judged by what the engine has done
    /// since this was asked last.
    pub(crate) fn wants_ahead(&self, bytes_written: u64, syncs: u64) -> bool {
        self.ahead.pays(bytes_written, syncs)
    }

    /// Writes a piece of the place where the next segment will be, unless there is one to be used again. Returns whether
    /// there is more to do.
    pub(crate) fn write_ahead(&self) -> bool {
        let (stats, slots_max) = {
            let state = self.look();
            (state.accountant.stats(), state.accountant.slots_max())
        };
        stats.free + stats.freed == 0 && stats.slots < slots_max && self.ahead.write_piece(self.segment_bytes())
    }

    fn look(&self) -> ShardedLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> ShardedLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the byte at `lsn` is in the file. The caller must have pinned the current epoch before it asks and keep it
    /// pinned while it reads there.
    pub(crate) fn locate(&self, lsn: Lsn) -> Option<FileOffset> {
        self.look().accountant.locate(lsn)
    }

    pub(crate) fn floor(&self) -> Lsn {
        self.look().floor
    }

    pub(crate) fn stats(&self) -> Stats {
        self.look().accountant.stats()
    }

    /// The bases of the segments, beginning with the one that holds `lsn` or the next after it.
    pub(crate) fn bases_from(&self, lsn: Lsn) -> VecDeque<Lsn> {
        let state = self.look();
        let first = lsn.segment_base(state.accountant.segment_bytes());
        state.accountant.segments().map(|segment| segment.base).filter(|&base| base >= first).collect()
    }

    /// Notes that `floor` is durable, and frees what is wholly below it. The tickets are to be released when nobody can
    /// be reading there any more.
    pub(crate) fn truncate(&self, floor: Lsn) -> Vec<ReuseTicket> {
        let mut state = self.lock();
        state.floor = state.floor.max(floor);
        let freed = state.accountant.free_before(floor);
        state.accountant.mark_floor_durable(floor);
        freed.into_iter().map(|freed| freed.ticket).collect()
    }

    /// Lets freed slots be reused.
    pub(crate) fn release(&self, tickets: Vec<ReuseTicket>) {
        let mut state = self.lock();
        for ticket in tickets {
            state.accountant.release(ticket).expect("this accountant issued the ticket");
        }
    }
}

impl Segments {
    /// Makes the headers of a tail that was cut unreadable, at the latest moment: were the header of a segment that takes
    /// its place damaged one day, the old one would speak for the log again. Made durable by the sync that makes the new
    /// segment durable.
    fn wipe_leftovers(&self) -> Result<(), SourceError> {
        let leftovers = self.look().leftovers.clone();
        if cfg!(esker_sabotage = "stale_segment") {
            return Ok(());
        }
        for segment in leftovers {
            let offset = segment.offset(self.look().accountant.segment_bytes());
            self.file.write_all_at(&[0; WIPED_BYTES], offset.get()).map_err(source_error)?;
        }
        self.lock().leftovers.clear();
        Ok(())
    }

    fn segment_bytes(&self) -> u64 {
        u64::from(self.look().accountant.segment_bytes().get())
    }

    fn allocate(&self, base: Lsn) -> Result<Allocation, SourceError> {
        if base >= Lsn::LIMIT {
            let source = Arc::new(io::Error::other("the log has come to the last LSN that its format can name"));
            return Err(SourceError::Io { source });
        }
        let mut waits = 0;
        loop {
            self.hurry_readers_out();
            match self.lock().accountant.allocate(base) {
                Ok(allocation) => return Ok(allocation),
                // There is room as soon as those have finished who are reading at this moment. They hold a slot for one
                // read at a time.
                Err(AllocateError::NoSpace { waiting, .. }) if waiting > 0 && waits < READER_WAITS_MAX => waits += 1,
                Err(error @ AllocateError::OutOfOrder { .. }) => {
                    panic!("the engine asked for segments out of order: {error}")
                }
                Err(full) => {
                    let source = Arc::new(io::Error::new(io::ErrorKind::StorageFull, full));
                    return Err(SourceError::NoSpace { source });
                }
            }
            thread::sleep(READER_WAIT);
        }
    }

    /// Freed slots wait until the epoch has moved on, which it does only when somebody asks, and not while a reader that
    /// saw the last one is at work. Where the file would have to grow otherwise, such readers are given some time.
    fn hurry_readers_out(&self) {
        // The epoch has to advance twice; a third round runs what was deferred.
        const ROUNDS: u32 = 3;
        const ROUNDS_PATIENT: u32 = 100;
        for round in 0..ROUNDS_PATIENT {
            let stats = self.stats();
            if stats.freed == 0 || (round >= ROUNDS && stats.free > 0) {
                return;
            }
            if round >= ROUNDS {
                thread::yield_now();
            }
            crossbeam_epoch::pin().flush();
        }
    }
}

impl SegmentSource for Segments {
    fn activate(&self, base: Lsn) -> Result<ActiveSegment, SourceError> {
        self.wipe_leftovers()?;
        let allocation = self.allocate(base)?;
        // Without the lock, so that readers find their way while the file grows. The engine asks for one segment at a time.
        let (offset, bytes) = (allocation.offset.get(), self.segment_bytes());
        if !allocation.reused
            && let Err(error) = self.ahead.take_slot(offset + bytes, || self.file.preallocate(offset, bytes))
        {
            self.lock().accountant.unallocate(allocation).expect("the allocation is the latest");
            return Err(source_error(error));
        }
        self.due.add_segment();
        Ok(ActiveSegment { base, offset: allocation.offset, floor: self.floor() })
    }

    fn stable_to(&self, stable: Lsn) {
        self.lock().accountant.deactivate_below(stable).expect("no more became stable than was allocated");
    }

    fn sync_due(&self) {
        self.due.add_sync();
    }
}

/// What an I/O error means to whoever asked for a segment.
fn source_error(error: io::Error) -> SourceError {
    let full = is_out_of_space(&error);
    let source = Arc::new(error);
    if full { SourceError::NoSpace { source } } else { SourceError::Io { source } }
}
