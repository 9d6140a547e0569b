//! The accountant behind its lock, as the engine's source of segments and the readers' map.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use esker_format::{FileOffset, Lsn};
use esker_iobufs::{ActiveSegment, SegmentSource, SourceError};
use esker_segments::{Accountant, AllocateError, ReuseTicket, Stats};
use esker_storage::{StorageFile, is_out_of_space};

/// The segments of an open log.
#[derive(Debug)]
pub(crate) struct Segments {
    file: Arc<dyn StorageFile>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    accountant: Accountant,
    /// Recorded in the header of each new segment.
    floor: Lsn,
}

impl Segments {
    pub(crate) fn new(file: Arc<dyn StorageFile>, accountant: Accountant, floor: Lsn) -> Self {
        Self { file, state: Mutex::new(State { accountant, floor }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the byte at `lsn` is in the file. The caller must have pinned the current epoch before it asks and keep it
    /// pinned while it reads there.
    pub(crate) fn locate(&self, lsn: Lsn) -> Option<FileOffset> {
        self.lock().accountant.locate(lsn)
    }

    pub(crate) fn floor(&self) -> Lsn {
        self.lock().floor
    }

    pub(crate) fn stats(&self) -> Stats {
        self.lock().accountant.stats()
    }

    /// The bases of the segments, beginning with the one that holds `lsn` or the next after it.
    pub(crate) fn bases_from(&self, lsn: Lsn) -> VecDeque<Lsn> {
        let state = self.lock();
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
    /// Freed slots wait until the epoch has moved on, which it does only when somebody asks.
    fn hurry_readers_out(&self) {
        // The epoch has to advance twice; a third round runs what was deferred.
        for _ in 0..3 {
            if self.stats().freed == 0 {
                return;
            }
            crossbeam_epoch::pin().flush();
        }
    }
}

impl SegmentSource for Segments {
    fn activate(&self, base: Lsn) -> Result<ActiveSegment, SourceError> {
        self.hurry_readers_out();
        let (allocation, segment_bytes) = {
            let mut state = self.lock();
            let allocation = state.accountant.allocate(base).map_err(|error| match error {
                AllocateError::OutOfOrder { .. } => panic!("the engine asked for segments out of order: {error}"),
                full => SourceError::NoSpace { source: Arc::new(io::Error::new(io::ErrorKind::StorageFull, full)) },
            })?;
            (allocation, u64::from(state.accountant.segment_bytes().get()))
        };
        // Without the lock, so that readers find their way while the file grows. The engine asks for one segment at a time.
        if !allocation.reused
            && let Err(error) = self.file.preallocate(allocation.offset.get(), segment_bytes)
        {
            self.lock().accountant.unallocate(allocation).expect("the allocation is the latest");
            let full = is_out_of_space(&error);
            let source = Arc::new(error);
            return Err(if full { SourceError::NoSpace { source } } else { SourceError::Io { source } });
        }
        Ok(ActiveSegment { offset: allocation.offset, floor: self.floor() })
    }

    fn stable_to(&self, stable: Lsn) {
        self.lock().accountant.deactivate_below(stable).expect("no more became stable than was allocated");
    }
}
