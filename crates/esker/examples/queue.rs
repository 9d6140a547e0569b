//! A persistent queue on a log: jobs are pushed, taken, and marked as done, and what is done is kept for as long as the log
//! has room for it.
//!
//! `cargo run -p esker --example queue`
//!
//! A record is a job, or the note that all jobs up to one are done. Whoever opens the queue finds the last note, and goes on
//! behind it: a job whose note did not become durable is taken once more.

use std::path::Path;

use esker::{Config, Error, Log, Lsn};

const JOB: u8 = b'j';
const DONE: u8 = b'd';

struct Queue {
    log: Log,
    /// Where the next job is looked for.
    next: Lsn,
    /// How much of the log is kept for those who want to look back, in bytes. Jobs that are not done are kept in any case.
    retain_bytes: u64,
}

impl Queue {
    fn open(dir: &Path, retain_bytes: u64) -> Result<Self, Error> {
        let log = Config::new(dir).segment_bytes(1 << 16).buffer_bytes(1 << 14).open()?;
        let mut next = log.floor();
        for record in log.iter_from(next)? {
            if let Some((&DONE, lsn)) = record?.payload().split_first() {
                next = Lsn::new(u64::from_le_bytes(lsn.try_into().expect("a note holds an LSN")) + 1);
            }
        }
        Ok(Self { log, next, retain_bytes })
    }

    /// The job is in the queue when this returns, whatever happens.
    fn push(&self, job: &[u8]) -> Result<Lsn, Error> {
        self.log.append_durable(&[&[JOB], job].concat())
    }

    /// The next job, and where it is. It stays in the queue until it is done.
    fn take(&mut self) -> Result<Option<(Lsn, Vec<u8>)>, Error> {
        for record in self.log.iter_from(self.next)? {
            let record = record?;
            if let Some((&JOB, job)) = record.payload().split_first() {
                self.next = record.lsn() + 1;
                return Ok(Some((record.lsn(), job.to_vec())));
            }
        }
        Ok(None)
    }

    /// The job at `lsn`, and all before it, are done. Gives up what is older than is to be kept.
    fn done(&self, lsn: Lsn) -> Result<(), Error> {
        self.log.append_durable(&[&[DONE][..], &lsn.get().to_le_bytes()].concat())?;
        let keep_from = Lsn::new(self.log.end_lsn().get().saturating_sub(self.retain_bytes));
        // Only whole segments are freed: between two of them, this costs nothing worth avoiding.
        if keep_from.min(lsn) > self.log.floor() + u64::from(self.log.segment_bytes().get()) {
            self.log.truncate_before(keep_from.min(lsn))?;
        }
        Ok(())
    }
}

fn main() -> Result<(), Error> {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let retain_bytes = 1 << 18;
    let mut pushed = 0_u32;
    let mut taken = 0_u32;
    // Several lives of a queue, which goes on where it was.
    for _ in 0..4 {
        let mut queue = Queue::open(directory.path(), retain_bytes)?;
        for _ in 0..500 {
            queue.push(&[&pushed.to_le_bytes()[..], &[0; 400]].concat())?;
            pushed += 1;
            if pushed.is_multiple_of(5) {
                continue;
            }
            let (lsn, job) = queue.take()?.expect("there are jobs");
            assert_eq!(job[..4], taken.to_le_bytes(), "jobs come in their order, none missing, none twice");
            queue.done(lsn)?;
            taken += 1;
        }
        queue.log.close()?;
    }
    let queue = Queue::open(directory.path(), retain_bytes)?;
    let (floor, end) = (queue.log.floor(), queue.log.end_lsn());
    assert!(floor > Lsn::ZERO && end - queue.next.min(end) >= u64::from(pushed - taken) * 400);
    eprintln!("{pushed} jobs pushed, {taken} done; the log keeps {} of {end} bytes", end - floor);
    Ok(())
}
