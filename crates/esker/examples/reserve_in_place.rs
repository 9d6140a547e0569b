//! Writes records directly into the log's buffers, without building them elsewhere first, and gives one up.
//!
//! `cargo run -p esker --example reserve_in_place`

use esker::{Config, Error, Lsn};

/// A record of fixed layout: 8 bytes of account, 8 bytes of amount, both little-endian.
const TRANSFER_BYTES: u32 = 16;

fn transfer(log: &esker::Log, account: u64, amount: i64) -> Result<Lsn, Error> {
    let mut reservation = log.reserve(TRANSFER_BYTES)?;
    let payload = reservation.payload_mut();
    payload[..8].copy_from_slice(&account.to_le_bytes());
    payload[8..].copy_from_slice(&amount.to_le_bytes());
    Ok(reservation.complete())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let log = Config::new(directory.path().join("log")).open()?;

    let first = transfer(&log, 7, -250)?;

    // The LSN is known before the payload is: a record can name its own place, or be given up. Dropping a reservation
    // gives it up as well. What is given up costs its space and is never read back.
    let mut given_up = log.reserve(TRANSFER_BYTES)?;
    let place = given_up.lsn();
    given_up.payload_mut().fill(0xff);
    given_up.abort();

    let second = transfer(&log, 8, 250)?;
    assert!(first < place && place < second);
    log.make_stable(second)?;

    let mut balance = 0;
    let mut lsns = Vec::new();
    for record in log.iter_from(first)? {
        let record = record?;
        let (account, amount) = record.payload().split_at(8);
        assert!([7, 8].contains(&u64::from_le_bytes(account.try_into()?)));
        balance += i64::from_le_bytes(amount.try_into()?);
        lsns.push(record.lsn());
    }
    assert_eq!(balance, 0);
    assert_eq!(lsns, [first, second]);
    assert!(matches!(log.read(place), Err(Error::NotARecord { .. })));
    log.close()?;
    eprintln!("two transfers, in place; the one given up is not among them");
    Ok(())
}
