//! Test doubles that loom can live with: their own state is behind a std mutex that is never held across anything that
//! loom could switch at.

use std::{
    io::{self, IoSlice},
    mem,
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    time::Duration,
};

use esker_format::{Epoch, FileOffset, LogId, Lsn, Message, MessageKind, ScanContext, Scanner, SegmentBytes};
use esker_storage::StorageFile;

use crate::{ActiveSegment, IoBufs, Options, SegmentSource, SourceError, memory::BufferMemory};

/// After how many bytes the benches' sources are asked to have them synced.
pub(super) const UNSYNCED_BYTES_MAX: u64 = 2000;

pub(super) const LOG_ID: [u8; 16] = *b"an engine's test";

/// Locks a std mutex by attempts, which ThreadSanitizer sees; a wait inside the standard library it does not.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    loop {
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(error) => assert!(matches!(error, std::sync::TryLockError::WouldBlock), "a test's thread panicked"),
        }
        std::thread::yield_now();
    }
}

/// A file that keeps its bytes and does as it is told.
#[derive(Debug, Default)]
pub(super) struct TestFile {
    state: Mutex<FileState>,
    /// What a sync does besides, where loom sees it.
    told: OnceLock<Arc<BufferMemory>>,
}

#[derive(Debug, Default)]
struct FileState {
    bytes: Vec<u8>,
    /// What the last successful sync covered.
    synced: Vec<u8>,
    write_error: Option<io::ErrorKind>,
    sync_error: Option<io::ErrorKind>,
    /// Errors go away after this many.
    errors_left: u32,
    panics: bool,
    sync_takes: Duration,
}

impl TestFile {
    pub(super) fn bytes(&self) -> Vec<u8> {
        lock(&self.state).bytes.clone()
    }

    pub(super) fn synced(&self) -> Vec<u8> {
        lock(&self.state).synced.clone()
    }

    /// Lets the next `times` writes fail.
    pub(super) fn fail_writes(&self, kind: io::ErrorKind, times: u32) {
        let mut state = lock(&self.state);
        state.write_error = Some(kind);
        state.errors_left = times;
    }

    /// Lets every write and sync panic.
    pub(super) fn panic_from_now_on(&self) {
        lock(&self.state).panics = true;
    }

    /// Lets syncs fill the first eight bytes of some memory with ones.
    pub(super) fn syncs_fill(&self, told: Arc<BufferMemory>) {
        self.told.set(told).unwrap();
    }

    /// Makes syncs slow, so that others come while one is under way.
    pub(super) fn syncs_take(&self, duration: Duration) {
        lock(&self.state).sync_takes = duration;
    }

    fn panic_if_told(&self) {
        // Read first, so that the panic does not poison the lock.
        let panics = lock(&self.state).panics;
        assert!(!panics, "a storage that panics");
    }

    /// Lets the next `times` syncs fail.
    pub(super) fn fail_syncs(&self, kind: io::ErrorKind, times: u32) {
        let mut state = lock(&self.state);
        state.sync_error = Some(kind);
        state.errors_left = times;
    }
}

impl FileState {
    fn fail(&mut self, kind: Option<io::ErrorKind>) -> io::Result<()> {
        match kind {
            Some(kind) if self.errors_left > 0 => {
                self.errors_left -= 1;
                Err(kind.into())
            }
            _ => Ok(()),
        }
    }
}

impl StorageFile for TestFile {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.state).bytes.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        lock(&self.state).bytes.resize(len as usize, 0);
        Ok(())
    }

    fn read_at(&self, dst: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = lock(&self.state);
        let from = state.bytes.get(offset as usize..).unwrap_or_default();
        let read = from.len().min(dst.len());
        dst[..read].copy_from_slice(&from[..read]);
        Ok(read)
    }

    fn write_all_at(&self, src: &[u8], offset: u64) -> io::Result<()> {
        self.panic_if_told();
        let mut state = lock(&self.state);
        let kind = state.write_error;
        state.fail(kind)?;
        let (start, end) = (offset as usize, offset as usize + src.len());
        if state.bytes.len() < end {
            state.bytes.resize(end, 0);
        }
        state.bytes[start..end].copy_from_slice(src);
        Ok(())
    }

    fn write_all_vectored_at(&self, srcs: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let joined: Vec<u8> = srcs.iter().flat_map(|src| src.iter().copied()).collect();
        self.write_all_at(&joined, offset)
    }

    fn preallocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut state = lock(&self.state);
        let end = (offset + len) as usize;
        if state.bytes.len() < end {
            state.bytes.resize(end, 0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.panic_if_told();
        let sync_takes = lock(&self.state).sync_takes;
        if !sync_takes.is_zero() {
            std::thread::sleep(sync_takes);
        }
        let mut state = lock(&self.state);
        let kind = state.sync_error;
        state.fail(kind)?;
        state.synced = state.bytes.clone();
        drop(state);
        if let Some(told) = self.told.get() {
            #[expect(unsafe_code, reason = "only plain memory tells whether a sync is ordered before what follows it")]
            // SAFETY: I2 (exclusive ranges): one sync is under way at a time, and nobody reads the memory before it sees the
            // watermark that the sync moves [P3].
            unsafe { told.range_mut(0..8) }.fill(1);
        }
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Gives the segments of the file one after the other, and checks that the engine asks as it promises.
#[derive(Debug)]
pub(super) struct Counter {
    segment_bytes: SegmentBytes,
    state: Mutex<CounterState>,
}

#[derive(Debug)]
struct CounterState {
    next: Lsn,
    full: bool,
    stable: Lsn,
    syncs_due: u32,
    /// How many segments between two of the engine belong to others.
    others: u64,
}

impl Counter {
    /// From now on, so many segments between two of the engine belong to others.
    pub(super) fn set_others(&self, others: u64) {
        lock(&self.state).others = others;
    }

    /// Lets the source be full, or have room again.
    pub(super) fn set_full(&self, full: bool) {
        lock(&self.state).full = full;
    }

    pub(super) fn stable(&self) -> Lsn {
        lock(&self.state).stable
    }

    pub(super) fn syncs_due(&self) -> u32 {
        lock(&self.state).syncs_due
    }
}

impl SegmentSource for Counter {
    fn activate(&self, after: Lsn) -> Result<ActiveSegment, SourceError> {
        let mut state = lock(&self.state);
        if state.full {
            return Err(SourceError::NoSpace { source: Arc::new(io::ErrorKind::StorageFull.into()) });
        }
        assert_eq!(after, state.next, "segments are asked for in order, each once");
        let base = after + state.others * u64::from(self.segment_bytes.get());
        state.next = base + u64::from(self.segment_bytes.get());
        Ok(ActiveSegment { base, offset: FileOffset::new(base.get()), floor: Lsn::ZERO })
    }

    fn stable_to(&self, stable: Lsn) {
        let mut state = lock(&self.state);
        assert!(stable > state.stable, "stable went from {} to {stable}", state.stable);
        state.stable = stable;
    }

    fn sync_due(&self) {
        lock(&self.state).syncs_due += 1;
    }
}

/// An engine with what is above and below it.
pub(super) struct Bench {
    pub(super) engine: IoBufs,
    pub(super) file: Arc<TestFile>,
    pub(super) source: Arc<Counter>,
    pub(super) tip: Lsn,
    pub(super) segment_bytes: SegmentBytes,
}

impl Bench {
    pub(super) fn new(buffer_bytes: u32, buffers: u32, segment_bytes: u32, tip: u64) -> Self {
        Self::yielding(Duration::ZERO, buffer_bytes, buffers, segment_bytes, tip)
    }

    /// One whose waiters may yield for so long before they sleep.
    pub(super) fn yielding(yield_max: Duration, buffer_bytes: u32, buffers: u32, segment_bytes: u32, tip: u64) -> Self {
        let file = Arc::new(TestFile::default());
        let segment_bytes = SegmentBytes::new(segment_bytes).unwrap();
        let tip = Lsn::new(tip);
        let next = if tip.offset_in_segment(segment_bytes) == 0 { tip } else { tip.next_segment(segment_bytes) };
        let source = Arc::new(Counter {
            segment_bytes,
            state: Mutex::new(CounterState { next, full: false, stable: Lsn::ZERO, syncs_due: 0, others: 0 }),
        });
        let options = Options {
            buffer_bytes,
            buffers,
            segment_bytes,
            log_id: LogId::from_bytes(LOG_ID),
            epoch: Epoch::new(1),
            tip,
            tip_segment: FileOffset::new(tip.segment_base(segment_bytes).get()),
            yield_max,
            unsynced_bytes_max: UNSYNCED_BYTES_MAX,
        };
        let engine = IoBufs::start(file.clone(), source.clone(), options).unwrap();
        Self { engine, file, source, tip, segment_bytes }
    }

    pub(super) fn append(&self, payload: &[u8]) -> Lsn {
        self.engine.append(MessageKind::Inline, payload).unwrap()
    }

    /// Reserves room for a payload and forgets it. Returns the LSN.
    pub(super) fn leak(&self, len: u32) -> Lsn {
        let reservation = self.engine.reserve(MessageKind::Inline, len).unwrap();
        let lsn = reservation.lsn();
        mem::forget(reservation);
        lsn
    }

    /// Every message in `bytes` from the tip to `end`, pads included; panics at the first byte that is not part of one.
    pub(super) fn messages(&self, bytes: &[u8], end: Lsn) -> Vec<(Lsn, MessageKind, Vec<u8>)> {
        let mut found = Vec::new();
        let mut base = self.tip.segment_base(self.segment_bytes);
        while base < end {
            let next = base + u64::from(self.segment_bytes.get());
            let from = self.tip.max(base + esker_format::SEGMENT_HEADER_BYTES as u64);
            if from >= end {
                break;
            }
            let slice = &bytes[from.get() as usize..end.min(next).get() as usize];
            for message in scanner(slice, from, self.segment_bytes) {
                found.push((message.header.lsn, message.header.kind, message.payload.to_vec()));
            }
            base = next;
        }
        found
    }
}

fn scanner<'a>(bytes: &'a [u8], from: Lsn, segment_bytes: SegmentBytes) -> impl Iterator<Item = Message<'a>> {
    let context = ScanContext::new(LogId::from_bytes(LOG_ID).checksum_seed(), segment_bytes);
    Scanner::new(bytes, from, context).map(|step| step.unwrap_or_else(|damage| panic!("{damage:?}")))
}
