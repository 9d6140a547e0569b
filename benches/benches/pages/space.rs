//! Whether the bound on the disk is kept, by ten writers at the bound, on a real file system.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use esker_pages::{Error, Options, PageId, Store, storage::FileStorage};

use crate::{
    Args, Fallible,
    draw::{Draw, Workload},
    machine::directory_bytes,
    table::{Report, Table, met},
};

const WRITERS: u64 = 10;
const MAX_BYTES: u64 = 256 << 20;
const SAMPLE_EVERY: Duration = Duration::from_millis(2);
/// The fill at which the file may be so much longer than what is live.
const FILL: f64 = 0.8;
const FILE_TO_LIVE_MAX: f64 = 1.25;

pub(crate) fn run(args: &Args, report: &mut Report) -> Fallible {
    let seconds = if args.quick { 5 } else { 60 };
    let dir = temporary(args)?;
    let store = Store::open(Arc::new(FileStorage::open(dir.path())?), options())?;
    let stop = AtomicBool::new(false);
    let (most, samples, refused) = thread::scope(|scope| -> Fallible<_> {
        let (store, stop) = (&store, &stop);
        let writers: Vec<_> = (0..WRITERS).map(|nth| scope.spawn(move || overfill(store, nth, stop))).collect();
        let sampled = sample(dir.path(), Duration::from_secs(seconds));
        stop.store(true, Ordering::Relaxed);
        let refused =
            writers.into_iter().map(|writer| writer.join().expect("it does not panic")).sum::<Fallible<u64>>()?;
        let (most, samples) = sampled?;
        Ok((most, samples, refused))
    })?;
    drop(store);
    drop(dir);
    let mut table = Table::new(&["max_bytes", "most that was seen", "samples", "writes refused", "never over"]);
    table.row([
        MAX_BYTES.to_string(),
        format!("{most} ({:.1} %)", 100.0 * most as f64 / MAX_BYTES as f64),
        samples.to_string(),
        refused.to_string(),
        met(most <= MAX_BYTES),
    ]);
    report.table(
        &format!("The length of all files, while {WRITERS} writers want more than there is room for, for {seconds} s"),
        table,
    );
    at_fill(args, report)
}

/// Writes new pages until there is no room, then frees one in three of its own, and so on.
fn overfill(store: &Store, nth: u64, stop: &AtomicBool) -> Fallible<u64> {
    let (mut refused, mut next) = (0, 0);
    let id = |n: u64| PageId::new(n * WRITERS + nth + 1).expect("not many");
    let mut draw = Draw::new(Workload::Uniform, 3000, nth);
    let content = [nth as u8; 4000];
    while !stop.load(Ordering::Relaxed) {
        let len = 500 + draw.next() as usize;
        let page = id(next);
        match store.replace(page, store.version(page), &content[..len]) {
            Ok(_) => next += 1,
            Err(Error::NoSpace { .. }) => {
                refused += 1;
                for n in (0..next).filter(|n| n % 3 == refused % 3) {
                    if let Some(version) = store.version(id(n)) {
                        store.free(id(n), version)?;
                    }
                }
                next = 0;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(refused)
}

fn sample(dir: &std::path::Path, duration: Duration) -> Fallible<(u64, u64)> {
    let (began, mut most, mut samples) = (Instant::now(), 0, 0);
    while began.elapsed() < duration {
        most = most.max(directory_bytes(dir)?);
        samples += 1;
        thread::sleep(SAMPLE_EVERY);
    }
    Ok((most, samples))
}

/// How long the file is at [`FILL`], after every page was written anew several times.
fn at_fill(args: &Args, report: &mut Report) -> Fallible {
    const RECORD_BYTES: u64 = 1024 + 37;
    const SEGMENT_BYTES: u64 = 1 << 20;
    let dir = temporary(args)?;
    let store = Store::open(Arc::new(FileStorage::open(dir.path())?), options())?;
    let segments = MAX_BYTES * 7 / 8 / SEGMENT_BYTES;
    let pages = (segments as f64 * FILL * SEGMENT_BYTES as f64 / RECORD_BYTES as f64) as u32;
    let mut draw = Draw::new(Workload::Uniform, pages, 3);
    let times = if args.quick { 3 } else { 10 };
    let order: Vec<u32> = draw.shuffled();
    let later = (0..u64::from(pages) * times).map(|_| draw.next());
    for page in order.into_iter().chain(later) {
        let page = PageId::new(u64::from(page) + 1).expect("not many");
        store.replace(page, store.version(page), &[7; 1024])?;
    }
    let stats = store.stats();
    let reserve = 4.0 * SEGMENT_BYTES as f64;
    let ratio = (stats.file_bytes as f64 - reserve) / stats.live_bytes as f64;
    let mut table = Table::new(&["file", "live", "fill", "(file - reserve) / live", "most", "met"]);
    let fill = stats.live_bytes as f64 / stats.file_bytes as f64;
    table.row([
        stats.file_bytes.to_string(),
        stats.live_bytes.to_string(),
        format!("{fill:.3}"),
        format!("{ratio:.3}"),
        format!("{FILE_TO_LIVE_MAX}"),
        met(ratio <= FILE_TO_LIVE_MAX),
    ]);
    report.table(
        &format!("The file at a fill of {FILL}, uniform, every page written {times} times more on average"),
        table,
    );
    Ok(())
}

fn options() -> Options {
    Options::new().max_bytes(Some(MAX_BYTES)).buffer_bytes(1 << 18)
}

pub(crate) fn temporary(args: &Args) -> Fallible<tempfile::TempDir> {
    Ok(match &args.dir {
        Some(dir) => tempfile::TempDir::new_in(dir)?,
        // Beside the build, which lies on a disk and not in memory.
        None => tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?,
    })
}
