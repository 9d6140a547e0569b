//! A stream's segments, from the one accountant.

use std::sync::Arc;

use esker_format::Lsn;
use esker_iobufs::{ActiveSegment, SegmentSource, SourceError};
use esker_log::Error;
use esker_segments::{AllocateError, Allocation};
use esker_storage::is_out_of_space;

use crate::{
    StreamId,
    ledger::Note,
    streams::{Place, Shared, index_of},
    sync::{lock, write},
};

/// What an engine asks for segments.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) shared: Arc<Shared>,
    pub(crate) stream: StreamId,
}

impl Source {
    fn allocate(&self) -> Result<Allocation, SourceError> {
        let mut state = lock(&self.shared.state);
        let accountant = &mut state.accountant;
        if accountant.next_base() >= Lsn::LIMIT {
            let source = Arc::new(std::io::Error::other("the store has come to the last LSN that its format can name"));
            return Err(SourceError::Io { source });
        }
        let stats = accountant.stats();
        let available = stats.free + accountant.slots_max().saturating_sub(stats.slots);
        let is_privileged = self.stream.get() >= self.shared.privileged_from;
        if !is_privileged && available <= self.shared.reserve_segments {
            let full =
                AllocateError::NoSpace { slots: stats.slots, slots_max: accountant.slots_max(), waiting: stats.freed };
            return Err(no_space(full));
        }
        accountant.allocate_next().map_err(no_space)
    }

    /// Takes back an allocation that came to nothing.
    fn unallocate(&self, allocation: Allocation) {
        lock(&self.shared.state).accountant.unallocate(allocation).expect("the allocation is the latest");
    }

    /// Writes the allocation down, and lets readers find the segment.
    fn note(&self, allocation: &Allocation) -> Result<(), Error> {
        let shared = &*self.shared;
        let base = allocation.base;
        let mut state = lock(&shared.state);
        shared.note(&mut state, Note::Begun { stream: self.stream, base })?;
        state.noted = true;
        state.active.push((self.stream, base));
        drop(state);
        let place = Place { offset: allocation.offset, stream: self.stream };
        write(&shared.places).insert(index_of(base, shared.context.segment_bytes), place);
        Ok(())
    }
}

impl SegmentSource for Source {
    fn activate(&self, _: Lsn) -> Result<ActiveSegment, SourceError> {
        let shared = &*self.shared;
        let _growth = lock(&shared.growth);
        let allocation = self.allocate()?;
        let (base, offset) = (allocation.base, allocation.offset);
        let segment_bytes = u64::from(shared.context.segment_bytes.get());
        let is_hole = lock(&shared.state).holes.remove(&allocation.segment);
        if (!allocation.reused || is_hole)
            && let Err(error) = shared.file.preallocate(offset.get(), segment_bytes)
        {
            if is_hole {
                lock(&shared.state).holes.insert(allocation.segment);
            }
            self.unallocate(allocation);
            let full = is_out_of_space(&error);
            let source = Arc::new(error);
            return Err(if full { SourceError::NoSpace { source } } else { SourceError::Io { source } });
        }
        if let Err(error) = self.note(&allocation) {
            self.unallocate(allocation);
            return Err(match error {
                Error::NoSpace { source, .. } => SourceError::NoSpace { source },
                other => SourceError::Io { source: Arc::new(std::io::Error::other(other)) },
            });
        }
        Ok(ActiveSegment { base, offset, floor: Lsn::ZERO })
    }

    fn stable_to(&self, stable: Lsn) {
        let mut state = lock(&self.shared.state);
        let segment_bytes = self.shared.context.segment_bytes;
        let state = &mut *state;
        let done: Vec<Lsn> = state
            .active
            .iter()
            .filter(|&&(stream, base)| stream == self.stream && base.next_segment(segment_bytes) <= stable)
            .map(|&(_, base)| base)
            .collect();
        for base in done {
            state.accountant.deactivate(base).expect("the segment was active until now");
            state.active.retain(|&(_, active)| active != base);
            if let Some(entry) = state.table.segments.get_mut(&base) {
                entry.end = Some(base.next_segment(segment_bytes));
            }
        }
    }
}

fn no_space(full: AllocateError) -> SourceError {
    SourceError::NoSpace { source: Arc::new(std::io::Error::new(std::io::ErrorKind::StorageFull, full)) }
}
