//! Follows a log through a handle of its own while another thread appends to it.
//!
//! `cargo run -p esker --example tail_a_log`

use std::{
    thread,
    time::{Duration, Instant},
};

use esker::{Config, Error};

const RECORDS: usize = 200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let config = Config::new(directory.path().join("log"));
    let log = config.open()?;

    // A reader takes no lock: it could as well be another process.
    let mut reader = config.open_read_only()?;

    let seen = thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..RECORDS {
                log.append_durable(format!("event {number}").as_bytes()).expect("the disk takes the event");
            }
        });

        let deadline = Instant::now() + Duration::from_secs(60);
        let mut seen = Vec::new();
        let mut next = reader.floor();
        while seen.len() < RECORDS && Instant::now() < deadline {
            let end = reader.refresh()?;
            for record in reader.iter_from(next) {
                seen.push(String::from_utf8_lossy(record?.payload()).into_owned());
            }
            // An iterator ends at the end of its time, so the next one begins there.
            next = end;
            thread::sleep(Duration::from_millis(5));
        }
        Ok::<_, Error>(seen)
    })?;

    let expected: Vec<String> = (0..RECORDS).map(|number| format!("event {number}")).collect();
    assert_eq!(seen, expected);
    log.close()?;
    eprintln!("followed {RECORDS} events, none missing, none twice");
    Ok(())
}
