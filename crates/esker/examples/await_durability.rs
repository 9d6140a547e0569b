//! Appends from one thread of an async program, without a runtime's help and without waiting for each record.
//!
//! `cargo run -p esker --example await_durability`

use esker::{Config, Error};
use futures::{StreamExt, executor::block_on, stream::FuturesUnordered};

fn main() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let log = Config::new(dir.path()).open()?;

    // A ticket is a future: of any executor, and no thread waits for it alone.
    let mut under_way = FuturesUnordered::new();
    for n in 0..10_000 {
        let ticket = log.append_ticket(format!("record {n}").as_bytes())?;
        under_way.push(async move { (n, ticket.await) });
    }
    let durable = block_on(async {
        let mut durable = 0;
        while let Some((_n, outcome)) = under_way.next().await {
            outcome?;
            durable += 1;
        }
        Ok::<_, Error>(durable)
    })?;
    eprintln!("{durable} records are durable, by {} syncs", log.stats().engine.syncs);

    // Or a callback, for those who have no executor at all.
    log.append_ticket(b"the last")?.then(|outcome| match outcome {
        Ok(stable) => eprintln!("the log is durable up to {stable}"),
        Err(error) => eprintln!("the last record is not durable: {error}"),
    });
    log.close()?;
    Ok(())
}
