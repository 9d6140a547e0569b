//! Tickets on executors that know nothing of esker, and of which esker knows nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use esker::{Config, Error, ErrorKind, Log, Lsn, MemStorage, Options, Ticket};
use futures::{StreamExt, future::join_all, stream::FuturesUnordered};

const RECORDS: u64 = 2000;

fn log() -> Arc<Log> {
    Arc::new(Log::open(Arc::new(MemStorage::default()), Options::new().buffer_bytes(1 << 16)).unwrap())
}

async fn write(log: Arc<Log>) -> u64 {
    let mut durable = 0;
    for n in 0..RECORDS / 4 {
        let ticket = log.append_ticket(&n.to_le_bytes()).unwrap();
        let stable = ticket.await.unwrap();
        assert!(stable <= log.stable_lsn());
        durable += 1;
    }
    durable
}

#[test]
fn tokio_with_many_threads_awaits_records() {
    let log = log();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let durable: u64 = runtime.block_on(async {
        let tasks: Vec<_> = (0..4).map(|_| tokio::spawn(write(log.clone()))).collect();
        join_all(tasks).await.into_iter().map(Result::unwrap).sum()
    });
    assert_eq!(durable, RECORDS);
    assert_eq!(log.iter_from(Lsn::ZERO).unwrap().count() as u64, RECORDS);
}

#[test]
fn tokio_on_one_thread_awaits_records_beside_other_things() {
    let log = log();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let writers = join_all((0..4).map(|_| write(log.clone())));
        let (durable, ()) = tokio::join!(writers, tokio::time::sleep(Duration::from_millis(1)));
        assert_eq!(durable.into_iter().sum::<u64>(), RECORDS);
    });
    // A wait that is given up gives up nothing but the wait.
    let lsn = log.append(b"given up").unwrap();
    let open = log.reserve(8).unwrap();
    let behind = log.append(b"behind").unwrap();
    runtime.block_on(async {
        let wait = tokio::time::timeout(Duration::from_millis(20), log.ticket(behind));
        assert!(wait.await.is_err(), "it lies behind a reservation that is open");
        log.ticket(lsn).await.unwrap();
    });
    drop(open);
    assert_eq!(log.read(behind).unwrap().payload(), b"behind");
    assert!(log.ticket(behind).wait().unwrap() > behind);
}

#[test]
fn smol_awaits_records() {
    let log = log();
    let executor = Arc::new(smol::Executor::new());
    let tasks: Vec<_> = (0..4).map(|_| executor.spawn(write(log.clone()))).collect();
    let others: Vec<_> = (0..2)
        .map(|_| {
            let executor = executor.clone();
            let (stop, stopped) = smol::channel::bounded::<()>(1);
            (
                stop,
                std::thread::spawn(move || {
                    smol::block_on(executor.run(async {
                        let _stopped = stopped.recv().await;
                    }))
                }),
            )
        })
        .collect();
    let durable: u64 = smol::block_on(async { join_all(tasks).await.into_iter().sum() });
    assert_eq!(durable, RECORDS);
    for (stop, thread) in others {
        drop(stop);
        thread.join().unwrap();
    }
}

#[test]
fn a_hundred_thousand_tickets_are_in_flight_on_one_thread() {
    const TICKETS: u64 = 100_000;
    let dir = tempfile::tempdir().unwrap();
    let log = Config::new(dir.path()).open().unwrap();
    let threads_before = threads();
    let mut tickets: FuturesUnordered<Ticket> =
        (0..TICKETS).map(|n| log.append_ticket(&n.to_le_bytes()).unwrap()).collect();
    let told = smol::block_on(async {
        let mut told = 0;
        while let Some(outcome) = tickets.next().await {
            told += u64::from(outcome.is_ok());
            if told == 1 {
                // One more than there were: it serves all.
                assert!(threads().saturating_sub(threads_before) <= 1, "{} threads", threads());
            }
        }
        told
    });
    assert_eq!(told, TICKETS);
    assert!(log.stats().engine.syncs < 1000, "{} syncs", log.stats().engine.syncs);

    // And as many callbacks.
    let called = Arc::new(AtomicU64::new(0));
    let (sender, receiver) = mpsc::channel();
    for n in 0..TICKETS {
        let (called, sender) = (called.clone(), sender.clone());
        log.append_ticket(&n.to_le_bytes()).unwrap().then(move |outcome| {
            assert!(outcome.is_ok());
            if called.fetch_add(1, Ordering::SeqCst) + 1 == TICKETS {
                sender.send(()).unwrap();
            }
        });
    }
    receiver.recv().unwrap();
}

/// How many threads this process has, as far as the system says.
fn threads() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let count = status.lines().find_map(|line| line.strip_prefix("Threads:"));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

#[test]
fn tickets_for_what_is_not_there_and_after_the_end_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let log = Config::new(dir.path()).open().unwrap();
    let lsn = log.append(b"one").unwrap();
    let beyond = Lsn::new(1 << 30);
    let error: Error = smol::block_on(log.ticket(beyond)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NeverReserved);
    let (early, late) = (log.ticket(lsn), log.ticket(beyond));
    log.close().unwrap();
    assert!(smol::block_on(early).unwrap() > lsn);
    assert!(smol::block_on(late).is_err());
    // The directory is free although tickets of the log are left.
    Config::new(dir.path()).open().unwrap();
}
