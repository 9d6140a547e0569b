//! Opening a log, however it was left.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use esker::{Config, Lsn};

use crate::{
    Fallible,
    measure::RECORD_BYTES,
    outcome::{Metric, Outcome},
    proc,
    record::Template,
};

/// What a process that is to be killed appends before it says that it may be.
const CRASH_BYTES: u64 = 256 << 20;

/// Makes a log of so many bytes, with records of 4 KiB, and closes it.
pub(crate) fn prepare(dir: &Path, bytes: u64) -> Fallible {
    let log = Config::new(dir).open()?;
    let mut template = Template::new(0, 4096);
    let mut count = 0;
    while log.append(template.numbered(count))?.get() < bytes {
        count += 1;
    }
    log.close()?;
    Ok(())
}

/// Appends small records at full speed, waiting for nothing, until it is killed. As much is given up at the front, so that
/// the log stays as long as it was.
pub(crate) fn crash(dir: &Path, ready: &Path, bytes: u64) -> Fallible {
    let log = Config::new(dir).open()?;
    let end = log.end_lsn();
    if end.get() > bytes {
        log.truncate_before(Lsn::new(end.get() - bytes + CRASH_BYTES.min(bytes / 2)))?;
    }
    let mut template = Template::new(0, RECORD_BYTES as usize);
    let begun = Instant::now();
    let mut count = 0;
    let mut said = false;
    // Whoever is to kill this process may have died itself.
    while begun.elapsed() < Duration::from_secs(60) {
        let lsn = log.append(template.numbered(count))?;
        count += 1;
        if !said && lsn.get() > end.get() + CRASH_BYTES.min(bytes / 2) {
            fs::write(ready, "")?;
            said = true;
        }
    }
    Err("nobody killed this process".into())
}

pub(crate) fn run(dir: &Path) -> Fallible<Outcome> {
    let begun = Instant::now();
    let log = Config::new(dir).open()?;
    let opened = begun.elapsed();
    let mut outcome = Outcome::default();
    outcome.set(Metric::OpenMillis, opened.as_secs_f64() * 1e3);
    outcome.set(Metric::PeakMegabytes, proc::peak_resident_bytes()? as f64 / 1e6);
    // It is a log: what is appended now comes after what is there.
    let end = log.end_lsn();
    let lsn = log.append_durable(b"after opening")?;
    if lsn < end || log.read(lsn)?.payload() != b"after opening" {
        return Err("the log that was opened does not go on".into());
    }
    log.close()?;
    Ok(outcome)
}
