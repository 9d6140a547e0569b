//! Many threads, each waiting for its own records to be durable, share the syncs.
//!
//! `cargo run --release -p esker --example group_commit`

use std::{collections::BTreeSet, thread, time::Instant};

use esker::{Config, Error, Lsn};

const THREADS: usize = 16;
const RECORDS_PER_THREAD: usize = 250;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let config = Config::new(directory.path().join("log"));
    let log = config.open()?;

    let began = Instant::now();
    let acknowledged = thread::scope(|scope| {
        let writers: Vec<_> = (0..THREADS)
            .map(|writer| {
                let log = &log;
                scope.spawn(move || -> Result<Vec<Lsn>, Error> {
                    (0..RECORDS_PER_THREAD)
                        .map(|number| log.append_durable(format!("writer {writer}, record {number}").as_bytes()))
                        .collect()
                })
            })
            .collect();
        let results = writers.into_iter().map(|writer| writer.join().expect("no writer panics"));
        results.collect::<Result<Vec<_>, Error>>()
    })?;
    let seconds = began.elapsed().as_secs_f64();

    let appends = THREADS * RECORDS_PER_THREAD;
    let syncs = log.stats().engine.syncs;
    eprintln!("{appends} durable appends in {seconds:.3} s with {syncs} syncs");
    // How many share a sync depends on the disk and the machine; that they never need more than one each does not.
    assert!(syncs <= appends as u64, "{syncs} syncs for {appends} appends");

    // Each thread's records are in the order it appended them, and no LSN was given out twice.
    for lsns in &acknowledged {
        assert!(lsns.is_sorted());
    }
    let distinct: BTreeSet<Lsn> = acknowledged.iter().flatten().copied().collect();
    assert_eq!(distinct.len(), appends);

    // Nothing but what was acknowledged is in the log.
    drop(log);
    let reader = config.open_read_only()?;
    let read: BTreeSet<Lsn> =
        reader.iter_from(reader.floor()).map(|record| Ok(record?.lsn())).collect::<Result<_, Error>>()?;
    assert_eq!(read, distinct);
    Ok(())
}
