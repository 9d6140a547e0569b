//! `mutexed`: one buffer under a mutex. Whoever fills it writes it; of those who wait for durability one leads, writes what
//! has gathered over blocks that are there already, syncs once for all whom that covers, and wakes exactly these, each
//! parked on its own, and one more to lead next.

use std::{
    collections::VecDeque,
    fs::File,
    mem,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
};

use crate::{
    Fallible,
    contender::{Appender, Size, Subject},
    frames::{self, FRAME_BYTES},
    record::Tally,
};

const BUFFER_BYTES: usize = 1 << 20;

pub(crate) struct Mutexed {
    file: File,
    file_bytes: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    buffer: Vec<u8>,
    spare: Vec<u8>,
    /// Where in the file the buffer belongs.
    at: u64,
    /// Everything below is durable.
    stable: u64,
    leading: bool,
    waiters: VecDeque<Arc<Waiter>>,
    syncs: u64,
}

struct Waiter {
    end: u64,
    woken: AtomicBool,
    thread: Thread,
}

impl Waiter {
    fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Mutexed {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the end of the record.
    fn push(&self, record: &[u8]) -> Fallible<u64> {
        let mut state = self.lock();
        if state.buffer.len() + record.len() + FRAME_BYTES > BUFFER_BYTES {
            if state.at + state.buffer.len() as u64 > self.file_bytes {
                return Err("the file is full".into());
            }
            self.file.write_all_at(&state.buffer, state.at)?;
            state.at += state.buffer.len() as u64;
            state.buffer.clear();
        }
        frames::push(&mut state.buffer, record);
        Ok(state.at + state.buffer.len() as u64)
    }

    fn wait(&self, end: u64) -> Fallible {
        let mut state = self.lock();
        while state.stable < end {
            if !state.leading {
                return self.lead(state);
            }
            let waiter = Arc::new(Waiter { end, woken: AtomicBool::new(false), thread: thread::current() });
            state.waiters.push_back(waiter.clone());
            drop(state);
            while !waiter.woken.load(Ordering::Acquire) {
                thread::park();
            }
            state = self.lock();
        }
        Ok(())
    }

    fn lead(&self, mut state: MutexGuard<'_, State>) -> Fallible {
        state.leading = true;
        let spare = mem::take(&mut state.spare);
        let buffer = mem::replace(&mut state.buffer, spare);
        let at = state.at;
        state.at += buffer.len() as u64;
        let end = state.at;
        drop(state);
        self.file.write_all_at(&buffer, at)?;
        self.file.sync_data()?;
        let mut state = self.lock();
        state.spare = buffer;
        state.spare.clear();
        state.stable = end;
        state.syncs += 1;
        state.leading = false;
        let (covered, mut left): (VecDeque<_>, VecDeque<_>) =
            mem::take(&mut state.waiters).into_iter().partition(|waiter| waiter.end <= end);
        let next = left.pop_front();
        state.waiters = left;
        drop(state);
        next.iter().chain(&covered).for_each(|waiter| waiter.wake());
        Ok(())
    }
}

impl Subject for Mutexed {
    type Appender<'a> = &'a Self;

    fn create(dir: &Path, size: Size) -> Fallible<Self> {
        let file_bytes = size.file_bytes(FRAME_BYTES);
        let file = frames::written_file(&dir.join("plain"), file_bytes)?;
        let buffer = || {
            let mut buffer = vec![1; BUFFER_BYTES];
            buffer.clear();
            buffer
        };
        let state = State { buffer: buffer(), spare: buffer(), ..State::default() };
        Ok(Self { file, file_bytes, state: Mutex::new(state) })
    }

    fn appender(&self, _writer: u32) -> Fallible<&Self> {
        Ok(self)
    }

    fn sync(&self) -> Fallible {
        let state = self.lock();
        let end = state.at + state.buffer.len() as u64;
        drop(state);
        self.wait(end)
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.lock().syncs)
    }

    fn read_back(self, _dir: &Path, tally: &mut Tally) -> Fallible {
        frames::tally(&self.file, 0, tally)
    }
}

impl Appender for &Mutexed {
    fn append(&mut self, record: &[u8]) -> Fallible {
        self.push(record).map(drop)
    }

    fn append_durable(&mut self, record: &[u8]) -> Fallible {
        let end = self.push(record)?;
        self.wait(end)
    }
}
