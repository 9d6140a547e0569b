//! Reading mostly, by two threads, with everything in the cache.

use std::{sync::Arc, thread, time::Instant};

use esker_pages::{Options, PageId, Store, storage::MemStorage};

use crate::{
    Args, Fallible,
    draw::{Draw, Workload},
    table::{Report, Table, met},
};

const PAGES: u32 = 100_000;
const CONTENT_BYTES: usize = 100;
const THREADS: u64 = 2;
const ROUNDS: usize = 5;
/// One in so many operations writes.
const WRITES: u64 = 20;
const TARGET: f64 = 5e6;

pub(crate) fn run(args: &Args, report: &mut Report) -> Fallible {
    let operations = if args.quick { 1_000_000 } else { 5_000_000 };
    let store = Store::open(Arc::new(MemStorage::default()), Options::new().cache_bytes(1 << 30))?;
    for page in 0..PAGES {
        store.replace(id(page), None, &[1; CONTENT_BYTES])?;
    }
    let mut rates = Vec::new();
    for round in 0..ROUNDS {
        let began = Instant::now();
        let gets = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|nth| {
                    let store = &store;
                    // Drawing costs more than reading: it is done before.
                    let mut draw = Draw::new(Workload::Zipf, PAGES, nth + 10 * round as u64);
                    let pages: Vec<PageId> = (0..1 << 16).map(|_| id(draw.next())).collect();
                    scope.spawn(move || work(store, &pages, operations))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("it does not panic")).sum::<Fallible<u64>>()
        })?;
        rates.push(gets as f64 / began.elapsed().as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    let mut table = Table::new(&["gets/s, median", "least", "most", "target", "met"]);
    let median = rates[ROUNDS / 2];
    let millions = |rate: f64| format!("{:.2} M", rate / 1e6);
    table.row([
        millions(median),
        millions(rates[0]),
        millions(rates[ROUNDS - 1]),
        millions(TARGET),
        met(median >= TARGET),
    ]);
    report.table(&format!(
        "Reading 100-byte pages that are cached, {THREADS} threads, Zipf 0.99 over {PAGES} pages, one operation in {WRITES} \
         writes; only the reads count"
    ), table);
    Ok(())
}

fn work(store: &Store, pages: &[PageId], operations: u64) -> Fallible<u64> {
    let mut gets = 0;
    for (nth, &page) in (0..operations).zip(pages.iter().cycle()) {
        if nth % WRITES == 0 {
            // Whoever is overtaken by the other has lost nothing here.
            let _overtaken = store.replace(page, store.version(page), &[nth as u8; CONTENT_BYTES]);
        } else {
            let bytes = store.view(page, |_, content| content.len())?;
            if bytes != Some(CONTENT_BYTES) {
                return Err(format!("page {page} has {bytes:?} bytes").into());
            }
            gets += 1;
        }
    }
    Ok(gets)
}

fn id(page: u32) -> PageId {
    PageId::new(u64::from(page) + 1).expect("not many")
}
