//! Appends in a process that ends without a word, and finds in another what had been made durable.
//!
//! `cargo run -p esker --example append_and_recover`

use std::{env, process::Command};

use esker::{Config, Error};

const DURABLE: usize = 1000;
const HASTY: usize = 10;

fn payload(number: usize) -> Vec<u8> {
    format!("record {number}").into_bytes()
}

/// The process that is going to crash.
fn append_and_crash(path: &str) -> Result<(), Error> {
    let log = Config::new(path).open()?;
    assert!(log.report().created);
    let mut last = log.end_lsn();
    for number in 0..DURABLE {
        last = log.append(&payload(number))?;
    }
    // One sync makes all of them durable. From here on no crash can take them away.
    let stable = log.make_stable(last)?;
    assert!(stable > last);
    // These are in memory: a crash may take them, from the last one backwards.
    for number in DURABLE..DURABLE + HASTY {
        log.append(&payload(number))?;
    }
    // Nothing is closed and no destructor runs.
    std::process::exit(0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(path) = env::args().nth(1) {
        return Ok(append_and_crash(&path)?);
    }
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("log");
    let status = Command::new(env::current_exe()?).arg(&path).status()?;
    assert!(status.success());

    let log = Config::new(&path).open()?;
    eprintln!("recovered: {}", log.report());
    assert!(!log.report().created && !log.report().clean);

    let records = log.iter_from(log.floor())?.collect::<Result<Vec<_>, Error>>()?;
    for (number, record) in records.iter().enumerate() {
        assert_eq!(record.payload(), payload(number));
    }
    assert!((DURABLE..=DURABLE + HASTY).contains(&records.len()), "{} records", records.len());

    // The log goes on where it ended, and an LSN that was never given out is an error, not a wait.
    let next = log.append(b"after the crash")?;
    assert!(records.iter().all(|record| record.lsn() < next));
    assert!(matches!(log.make_stable(log.end_lsn()), Err(Error::NeverReserved { .. })));
    log.close()?;
    eprintln!("{DURABLE} records had been durable, {} are there", records.len());
    Ok(())
}
