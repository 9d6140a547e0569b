//! How long a writer takes while the store cleans as fast as it can, and while it does not.

use std::{sync::Arc, time::Instant};

use esker_pages::{Options, PageId, Store, storage::FileStorage};

use crate::{
    Args, Fallible,
    draw::{Draw, Workload},
    machine::quantile,
    space::temporary,
    table::{Bar, Chart, Panel, Report, Table, met},
};

const CONTENT_BYTES: usize = 1024;
const SEGMENT_BYTES: u64 = 1 << 20;
const SEGMENTS: u64 = 256;
const FILL: f64 = 0.8;
/// So many times the segments, that nothing has to be moved; and what may be moved all the same, of what users write.
const IDLE: u64 = 8;
const IDLE_MOVED_MAX: f64 = 0.02;
const ROUNDS: usize = 3;
/// How much longer the slowest in a thousand may take.
const TARGET: f64 = 5.0;

pub(crate) fn run(args: &Args, report: &mut Report) -> Fallible {
    let times = if args.quick { 1 } else { 4 };
    let mut table = Table::new(&["", "p50", "p99", "p99.9", "most", "writes/s", "written / written by users"]);
    let (mut idle, mut busy) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        idle.push(measure(args, "idle", SEGMENTS * IDLE, times, &mut table)?);
        busy.push(measure(args, "busy", SEGMENTS, times, &mut table)?);
    }
    report.table(&format!(
        "Replacing pages of {CONTENT_BYTES} bytes, one thread, uniform. Busy: {FILL} of {SEGMENTS} segments are live; idle: \
         {IDLE} times as many segments, all of them written before, so that cleaning finds next to nothing to move"
    ), table);
    let median = |rounds: &[[u64; 3]]| {
        let mut slowest: Vec<u64> = rounds.iter().map(|round| round[2]).collect();
        slowest.sort_unstable();
        slowest[ROUNDS / 2] as f64
    };
    let ratio = median(&busy) / median(&idle);
    let mut table = Table::new(&["p99.9 busy / idle, medians", "target", "met"]);
    table.row([format!("{ratio:.2}"), format!("{TARGET}"), met(ratio <= TARGET)]);
    report.table("The slowest in a thousand", table);
    report.chart(chart(&idle, &busy));
    Ok(())
}

/// Panels of one quantile each.
fn chart(idle: &[[u64; 3]], busy: &[[u64; 3]]) -> Chart {
    let panel = |(nth, name): (usize, &str)| {
        let bar = |name: &str, is_ours, rounds: &[[u64; 3]]| Bar {
            name: name.to_owned(),
            is_ours,
            values: rounds.iter().map(|round| round[nth] as f64 / 1e3).collect(),
        };
        let bars = vec![bar("while cleaning", true, busy), bar("without cleaning", false, idle)];
        Panel { title: format!("{name}, microseconds"), bars }
    };
    let panels = ["p50", "p99", "p99.9"].into_iter().enumerate().map(panel).collect();
    Chart { file: "latency.svg", title: "Replacing a page of 1 KiB, one thread at full speed", panels }
}

/// Returns the time below which half, 99 % and 99.9 % of the writes took, in nanoseconds.
fn measure(args: &Args, name: &str, segments: u64, times: u32, table: &mut Table) -> Fallible<[u64; 3]> {
    let dir = temporary(args)?;
    let storage = Arc::new(FileStorage::open(dir.path())?);
    let store = Store::open(
        storage,
        Options::new().max_bytes(Some(segments * SEGMENT_BYTES * 8 / 7 + 8)).buffer_bytes(1 << 18),
    )?;
    let pages = (SEGMENTS as f64 * FILL * SEGMENT_BYTES as f64 / (CONTENT_BYTES + 37) as f64) as u32;
    let mut draw = Draw::new(Workload::Uniform, pages, 1);
    let content = [7; CONTENT_BYTES];
    let id = |page: u32| PageId::new(u64::from(page) + 1).expect("not many");
    for page in draw.shuffled() {
        store.replace(id(page), None, &content)?;
    }
    // Until it is steady, and no file has to grow.
    for _ in 0..u64::from(pages) * (segments / SEGMENTS + 1) {
        let page = id(draw.next());
        store.replace(page, store.version(page), &content)?;
    }
    store.flush()?;
    let before = store.stats();
    let count = pages * times;
    let mut nanos = Vec::with_capacity(count as usize);
    let all = Instant::now();
    for _ in 0..count {
        let page = id(draw.next());
        let began = Instant::now();
        store.replace(page, store.version(page), &content)?;
        nanos.push(began.elapsed().as_nanos() as u64);
    }
    let rate = f64::from(count) / all.elapsed().as_secs_f64();
    let after = store.stats();
    let user = (after.user_bytes - before.user_bytes) as f64;
    let moved = (after.moved_bytes - before.moved_bytes) as f64;
    if segments > SEGMENTS && moved > user * IDLE_MOVED_MAX {
        return Err(format!("{moved} bytes were moved where next to nothing was to be").into());
    }
    nanos.sort_unstable();
    let micros = |thousandths| format!("{:.1} us", quantile(&nanos, thousandths) as f64 / 1e3);
    table.row([
        name.to_owned(),
        micros(500),
        micros(990),
        micros(999),
        micros(1000),
        format!("{rate:.0}"),
        format!("{:.2}", (user + moved) / user),
    ]);
    Ok([500, 990, 999].map(|thousandths| quantile(&nanos, thousandths)))
}
