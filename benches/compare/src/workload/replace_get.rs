//! Random replaces and gets of pages, in equal parts, made durable every so often.
//!
//! Every page is written once, in order, and once again, in random order, before anything counts. A page says which it is
//! and as how many it was written; each thread writes pages of its own and reads all. In the end the store is opened again,
//! and every page has to be what its thread wrote last.

use std::{
    path::Path,
    sync::{
        Barrier,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{Latencies, Meter, latencies, record, set_latencies, settle};
use crate::{
    Fallible,
    outcome::{Metric, Outcome},
    pages::{Handle, PAGE_BYTES, Pages, Size},
    proc,
    record::{Template, number},
};

const THREADS: u32 = 2;
/// A thread makes durable what it wrote after so many operations, half of which write.
const DURABLE_EVERY: u32 = 100;
/// Writing everything once more ends after this, for those who are slow at it.
const WARM_UP: Duration = Duration::from_secs(25);

const WARMS_UP: u8 = 0;
const COUNTS: u8 = 1;
const STOP: u8 = 2;

pub(crate) fn run<P: Pages>(dir: &Path, pages: u32, time: Duration) -> Fallible<Outcome> {
    let size = Size { pages };
    let store = P::open(dir, size)?;
    let phase = AtomicU8::new(WARMS_UP);
    // Everybody is warm; everybody may go on.
    let (warm, go) = (Barrier::new(THREADS as usize + 1), Barrier::new(THREADS as usize + 1));
    let mut outcome = Outcome::default();
    let written = thread::scope(|scope| -> Fallible<_> {
        let threads: Vec<_> = (0..THREADS)
            .map(|nth| {
                let (store, phase, warm, go) = (&store, &phase, &warm, &go);
                scope.spawn(move || Worker::new(nth, pages, store.handle()).run(phase, warm, go))
            })
            .collect();
        warm.wait();
        settle(dir)?;
        let meter = Meter::start(None)?;
        phase.store(COUNTS, Ordering::Relaxed);
        go.wait();
        let began = Instant::now();
        thread::sleep(time);
        phase.store(STOP, Ordering::Relaxed);
        let elapsed = began.elapsed();
        let mut counted = latencies();
        let (mut done, mut written) = (0, Vec::new());
        for thread in threads {
            let of_thread = thread.join().map_err(|_| "a thread panicked")??;
            done += of_thread.done;
            counted.add(of_thread.latencies)?;
            written.push(of_thread.written);
        }
        meter.stop(&mut outcome, done, None)?;
        outcome.set(Metric::PerSecond, done as f64 / elapsed.as_secs_f64());
        set_latencies(&mut outcome, &counted);
        Ok(written)
    })?;
    outcome.set(Metric::PeakMegabytes, proc::peak_resident_bytes()? as f64 / 1e6);
    outcome.set(Metric::SpaceRatio, allocated_bytes(dir)? as f64 / size.data_bytes() as f64);
    drop(store);
    check(&P::open(dir, size)?, &written)?;
    Ok(outcome)
}

/// What one thread did.
struct Done {
    done: u64,
    latencies: Latencies,
    /// As how many each of its pages was written last.
    written: Vec<u32>,
}

struct Worker<H> {
    nth: u32,
    pages: u32,
    handle: H,
    template: Template,
    written: Vec<u32>,
    random: u64,
    until_flush: u32,
}

impl<H: Handle> Worker<H> {
    fn new(nth: u32, pages: u32, handle: H) -> Self {
        let random = u64::from(nth + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let written = vec![0; (pages / THREADS) as usize];
        Self {
            nth,
            pages,
            handle,
            template: Template::new(nth, PAGE_BYTES),
            written,
            random,
            until_flush: DURABLE_EVERY,
        }
    }

    fn run(mut self, phase: &AtomicU8, warm: &Barrier, go: &Barrier) -> Fallible<Done> {
        // Whoever fails lets the others go on, so that its failure is heard of.
        let warmed = self.warm_up();
        warm.wait();
        go.wait();
        warmed?;
        let mut latencies = latencies();
        let mut done = 0;
        while phase.load(Ordering::Relaxed) == COUNTS {
            let began = Instant::now();
            let random = self.next();
            if random & 1 == 0 {
                let of_thread = (random >> 1) as u32 % self.pages_of_thread();
                self.replace(of_thread)?;
            } else {
                self.get((random >> 1) as u32 % (self.pages_of_thread() * THREADS))?;
            }
            self.count()?;
            record(&mut latencies, began.elapsed());
            done += 1;
        }
        self.handle.flush()?;
        Ok(Done { done, latencies, written: self.written })
    }

    fn warm_up(&mut self) -> Fallible {
        for page in 0..self.pages_of_thread() {
            self.replace(page)?;
            self.count()?;
        }
        let began = Instant::now();
        for _ in 0..self.pages_of_thread() {
            let page = (self.next() >> 1) as u32 % self.pages_of_thread();
            self.replace(page)?;
            self.count()?;
            if began.elapsed() > WARM_UP {
                break;
            }
        }
        self.handle.flush()
    }

    fn pages_of_thread(&self) -> u32 {
        self.pages / THREADS
    }

    fn replace(&mut self, of_thread: u32) -> Fallible {
        let page = of_thread * THREADS + self.nth;
        let times = &mut self.written[of_thread as usize];
        *times += 1;
        self.handle.replace(page, self.template.numbered(stamp(page, *times)))
    }

    fn get(&mut self, page: u32) -> Fallible {
        let mut found = None;
        self.handle.get(page, &mut |content| found = Some(number(content)))?;
        let found = found.ok_or("nothing was shown")?;
        if found >> 32 == u64::from(page) { Ok(()) } else { Err(format!("page {page} is page {}", found >> 32).into()) }
    }

    /// Counts one operation, and makes it durable with those before it when there are enough.
    fn count(&mut self) -> Fallible {
        self.until_flush -= 1;
        if self.until_flush == 0 {
            self.until_flush = DURABLE_EVERY;
            self.handle.flush()?;
        }
        Ok(())
    }

    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 11
    }
}

/// Which page it is, and as how many it was written.
fn stamp(page: u32, times: u32) -> u64 {
    u64::from(page) << 32 | u64::from(times)
}

fn check<P: Pages>(store: &P, written: &[Vec<u32>]) -> Fallible {
    let mut handle = store.handle();
    for (nth, of_thread) in (0..).zip(written) {
        let mut template = Template::new(nth, PAGE_BYTES);
        for (at, &times) in (0..).zip(of_thread) {
            let page = at * THREADS + nth;
            let wanted = template.numbered(stamp(page, times));
            let mut is_same = false;
            handle.get(page, &mut |content| is_same = content == wanted)?;
            if !is_same {
                return Err(format!("page {page} is not what was written last").into());
            }
        }
    }
    Ok(())
}

/// What a directory takes of the disk: files may be longer than that.
fn allocated_bytes(dir: &Path) -> Fallible<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        // What is gone meanwhile takes nothing.
        let Ok(metadata) = entry.metadata() else { continue };
        sum += if metadata.is_dir() { allocated_bytes(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(sum)
}
