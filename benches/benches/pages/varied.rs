//! What is written for each byte that users write, where nothing is as in a simulation: pages of many sizes, which change, four
//! threads, a thread that cleans, a real file, and syncs.
//!
//! Records are 1 to 7 units of 64 bytes long, drawn anew for each write; segments have 1024 units. The simulator was given the
//! same sizes, fill, segments and policy, as many writes, and one thread.

use std::{sync::Arc, thread};

use esker_pages::{Options, PageId, Store, cleaning::Rate, storage::FileStorage};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::{
    Args, Fallible,
    draw::{Draw, Workload},
    space::temporary,
    table::{Report, Table, met},
};

const THREADS: u32 = 4;
const SEGMENT_BYTES: u32 = 1 << 16;
const UNIT_BYTES: u32 = 64;
const UNITS_MEAN: u32 = 4;
const FILL: f64 = 0.8;
/// A record of a page is that much longer than the page.
const HEADERS_BYTES: u32 = 24 + 13;
/// A thread makes durable what it wrote after so many writes.
const DURABLE_EVERY: u64 = 100;
/// How often each page is written on average: first unobserved, then observed.
const TIMES: (u64, u64) = (10, 5);
/// At most so many times the simulator's figure.
const TARGET: f64 = 1.05;

/// What the simulator writes, for 4096 and for 512 segments.
const SIMULATED: [(Workload, f64, f64); 2] = [(Workload::Zipf, 1.594, 1.887), (Workload::Uniform, 2.727, 2.973)];

pub(crate) fn run(args: &Args, report: &mut Report) -> Fallible {
    let segments = if args.quick { 512 } else { 4096 };
    let mut table =
        Table::new(&["workload", "written", "with pads", "simulated", "ratio", "at most", "met", "flushes"]);
    for (workload, full, quick) in SIMULATED {
        let simulated = if args.quick { quick } else { full };
        let [written, with_pads, flushes] = measure(args, segments, workload)?;
        table.row([
            workload.name().to_owned(),
            format!("{written:.3}"),
            format!("{with_pads:.3}"),
            format!("{simulated:.3}"),
            format!("{:.3}", written / simulated),
            format!("{TARGET}"),
            met(written <= simulated * TARGET),
            format!("{flushes}"),
        ]);
    }
    report.table(
        &format!(
            "Bytes written for each byte that users wrote; {segments} segments of 64 KiB of which {FILL} are live, records of 64 \
             to 448 bytes, {THREADS} threads that make durable what they wrote after {DURABLE_EVERY} writes, cleaning in the \
             background, a real file"
        ),
        table,
    );
    Ok(())
}

fn measure(args: &Args, segments: u32, workload: Workload) -> Fallible<[f64; 3]> {
    let dir = temporary(args)?;
    let units = f64::from(segments * (SEGMENT_BYTES / UNIT_BYTES));
    let pages = (units * FILL / f64::from(UNITS_MEAN)) as u32;
    let bytes = u64::from(segments) * u64::from(SEGMENT_BYTES);
    let options = Options::new()
        .segment_bytes(SEGMENT_BYTES)
        .buffer_bytes(SEGMENT_BYTES)
        .buffers(2)
        .max_bytes(Some((bytes * 8 / 7 + 8).max(bytes + (4 << 20))))
        .policy(Rate::for_spare_segments((f64::from(segments) * (1.0 - FILL)) as u64))
        .cache_bytes(16 << 20);
    let store = Store::open(Arc::new(FileStorage::open(dir.path())?), options)?;
    let write = |times: u64, load: bool| -> Fallible {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|nth| {
                    let store = &store;
                    let times = times * u64::from(pages / THREADS);
                    scope.spawn(move || work(store, workload, pages, nth, times, load))
                })
                .collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("it does not panic"))
        })
    };
    write(1, true)?;
    write(TIMES.0, false)?;
    let before = store.stats();
    write(TIMES.1, false)?;
    let after = store.stats();
    let slots = after.file_bytes / u64::from(SEGMENT_BYTES);
    if slots > u64::from(segments) {
        return Err(format!("there are {slots} segments and not {segments}").into());
    }
    let [user, moved, pads] = [
        after.user_bytes - before.user_bytes,
        after.moved_bytes - before.moved_bytes,
        after.pad_bytes - before.pad_bytes,
    ]
    .map(|bytes| bytes as f64);
    Ok([(user + moved) / user, (user + moved + pads) / user, (after.flushes - before.flushes) as f64])
}

/// One thread: all of its share of the pages in random order, or pages as the workload has it.
fn work(store: &Store, workload: Workload, pages: u32, nth: u32, times: u64, load: bool) -> Fallible {
    let mut draw = Draw::new(workload, pages, 7 + u64::from(nth) + u64::from(load) * 100);
    let mut sizes = SmallRng::seed_from_u64(draw_seed(nth, load));
    let content = [nth as u8; (UNIT_BYTES * (2 * UNITS_MEAN - 1)) as usize];
    let mut mine: Vec<u32> =
        if load { draw.shuffled().into_iter().filter(|page| page % THREADS == nth).collect() } else { Vec::new() };
    for n in 1..=times {
        let page = match mine.pop() {
            Some(page) => page,
            None if load => break,
            None => draw.next(),
        };
        let len = sizes.random_range(1..2 * UNITS_MEAN) * UNIT_BYTES - HEADERS_BYTES;
        let page = PageId::new(u64::from(page) + 1).ok_or("too many pages")?;
        loop {
            match store.replace(page, store.version(page), &content[..len as usize]) {
                Ok(_) => break,
                // Another thread was faster.
                Err(error) if error.conflict().is_some() => (),
                Err(error) => return Err(error.into()),
            }
        }
        if n % DURABLE_EVERY == 0 {
            store.flush()?;
        }
    }
    Ok(())
}

fn draw_seed(nth: u32, load: bool) -> u64 {
    u64::from(nth) * 2 + u64::from(load)
}
