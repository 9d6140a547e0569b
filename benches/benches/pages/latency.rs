//! How long a writer takes while the store cleans as fast as it can, and while it does not.

use std::{sync::Arc, time::Instant};

use esker_pages::{Options, PageId, Store, storage::FileStorage};

use crate::{
    Args, Fallible,
    draw::{Draw, Workload},
    machine::quantile,
    space::temporary,
    table::{Table, met},
};

const CONTENT_BYTES: usize = 1024;
const SEGMENT_BYTES: u64 = 1 << 20;
const SEGMENTS: u64 = 256;
const FILL: f64 = 0.8;
const ROUNDS: usize = 3;
/// How much longer the slowest in a thousand may take.
const TARGET: f64 = 5.0;

pub(crate) fn run(args: &Args) -> Fallible {
    let times = if args.quick { 1 } else { 4 };
    let mut table = Table::new(&["", "p50", "p99", "p99.9", "most", "writes/s", "written / written by users"]);
    let (mut idle, mut busy) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        idle.push(measure(args, "idle", None, times, &mut table)?);
        busy.push(measure(args, "busy", Some(SEGMENTS * SEGMENT_BYTES * 8 / 7 + 8), times, &mut table)?);
    }
    table.print(&format!(
        "Replacing pages of {CONTENT_BYTES} bytes, one thread, uniform. Idle: without a bound on the disk, so that nothing is \
         cleaned; busy: {FILL} of {SEGMENTS} segments are live"
    ));
    idle.sort_unstable();
    busy.sort_unstable();
    let ratio = busy[ROUNDS / 2] as f64 / idle[ROUNDS / 2] as f64;
    let mut table = Table::new(&["p99.9 busy / idle, medians", "target", "met"]);
    table.row([format!("{ratio:.2}"), format!("{TARGET}"), met(ratio <= TARGET)]);
    table.print("The slowest in a thousand");
    Ok(())
}

/// Returns the time below which 99.9 % of the writes took, in nanoseconds.
fn measure(args: &Args, name: &str, max_bytes: Option<u64>, times: u32, table: &mut Table) -> Fallible<u64> {
    let dir = temporary(args)?;
    // Whatever is not measured is to be the same: with no bound, so much may be dead that nothing is cleaned in this time.
    let storage = Arc::new(FileStorage::open(dir.path())?);
    let store = Store::open(storage, Options::new().max_bytes(max_bytes).buffer_bytes(1 << 18))?;
    let pages = (SEGMENTS as f64 * FILL * SEGMENT_BYTES as f64 / (CONTENT_BYTES + 37) as f64) as u32;
    let mut draw = Draw::new(Workload::Uniform, pages, 1);
    let content = [7; CONTENT_BYTES];
    let id = |page: u32| PageId::new(u64::from(page) + 1).expect("not many");
    for page in draw.shuffled() {
        store.replace(id(page), None, &content)?;
    }
    if max_bytes.is_some() {
        // Until it is steady.
        for _ in 0..pages {
            let page = id(draw.next());
            store.replace(page, store.version(page), &content)?;
        }
    }
    store.flush()?;
    let before = store.stats();
    let count = if max_bytes.is_some() { pages * times } else { pages * times.min(1) };
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
    if max_bytes.is_none() && moved > 0.0 {
        return Err("something was cleaned that should not have been".into());
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
    Ok(quantile(&nanos, 999))
}
