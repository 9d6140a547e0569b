//! The child: opens the log, and works on it until it is told to end, or is killed.
//!
//! Owns what a life does to a log, and tells it in time: that it will truncate before it does, that a record is durable
//! after the log said so. Refuses to check what it left; that is the parent's.

use std::{
    io::{self, Read, Write},
    process,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use esker::{Config, Error, Log, Lsn};

use super::{args::Life, record::Identity, rng::Rng, said::Said};
use crate::ending::{Ending, Failure, Outcome};

/// The size of the segments: small, so that a life goes through some.
const SEGMENT_BYTES: u32 = 256 << 10;

/// How a log is opened in a life; differently in each.
pub(super) fn config(dir: &std::path::Path, rng: &mut Rng) -> Config {
    let background = !rng.one_in(4);
    let interval = (background && rng.one_in(3)).then(|| Duration::from_millis(1 + rng.below(20)));
    Config::new(dir)
        .segment_bytes(SEGMENT_BYTES)
        .buffer_bytes(16 << 10 << rng.below(4))
        .buffers(2 << rng.below(3))
        .background(background)
        .unsynced_bytes_max(Some(64 << 10 << rng.below(8)))
        .flush_interval(interval)
}

/// Runs the command.
pub(crate) fn run(args: &Life) -> Outcome {
    // A thread that panics must not leave the others to go on as if nothing were wrong.
    std::panic::set_hook(Box::new(|panic| {
        let _ = say(&Said::Failed(panic.to_string()));
        process::exit(i32::from(Ending::Io.code()));
    }));
    say(&Said::Start)?;
    let mut rng = Rng::of(&[args.seed, args.life.into()]);
    let log = match config(&args.dir, &mut rng).open() {
        Ok(log) => log,
        Err(Error::Locked) => {
            say(&Said::Locked)?;
            return Ok(Ending::Done);
        }
        Err(error) => fail("open", &error),
    };
    say(&Said::Open { end: log.end_lsn(), floor: log.floor() })?;
    let shared =
        Shared { log: &log, args, stop: AtomicBool::new(false), pings: AtomicU64::new(0), pongs: AtomicU64::new(0) };
    thread::scope(|scope| {
        for writer in 0..args.writers {
            let shared = &shared;
            scope.spawn(move || Writer::new(shared, writer.into()).run());
        }
        // Each byte asks for a sign of life. The end of the input asks for an end: that comes too if the parent has gone.
        let mut byte = [0];
        while io::stdin().read(&mut byte).is_ok_and(|read| read > 0) {
            // Relaxed: nothing else is published by it.
            shared.pings.fetch_add(1, Ordering::Relaxed);
        }
        shared.stop.store(true, Ordering::Relaxed);
    });
    match log.close() {
        Ok(end) => say(&Said::Closed(end))?,
        Err(error) => fail("close", &error),
    }
    Ok(Ending::Done)
}

/// What the writers share.
struct Shared<'a> {
    log: &'a Log,
    args: &'a Life,
    stop: AtomicBool,
    /// How often the parent has asked for a sign of life, and how often it was given.
    pings: AtomicU64,
    pongs: AtomicU64,
}

/// One thread that appends.
struct Writer<'a> {
    shared: &'a Shared<'a>,
    writer: u32,
    rng: Rng,
    /// How many records were appended.
    counter: u64,
    /// What was appended and not acknowledged yet.
    pending: Vec<(u64, Lsn)>,
    payload: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn new(shared: &'a Shared<'a>, writer: u32) -> Self {
        let Life { seed, life, .. } = *shared.args;
        let rng = Rng::of(&[seed, life.into(), writer.into()]);
        Self { shared, writer, rng, counter: 0, pending: Vec::new(), payload: Vec::new() }
    }

    fn run(mut self) {
        // Relaxed: the flag and the counts publish nothing else.
        while !self.shared.stop.load(Ordering::Relaxed) {
            let pings = self.shared.pings.load(Ordering::Relaxed);
            self.append_some();
            if self.rng.one_in(16) {
                self.read_back();
            }
            if self.rng.one_in(4) || self.pending.len() > 1000 {
                self.wait();
                if self.shared.pongs.fetch_max(pings, Ordering::Relaxed) < pings {
                    tell(&[Said::Pong(pings)]);
                }
            }
            if self.rng.one_in(32) {
                self.truncate();
            }
            if self.rng.one_in(200) {
                thread::sleep(Duration::from_micros(self.rng.below(3000)));
            }
        }
        self.wait();
    }

    /// Makes the next record.
    fn fill(&mut self) {
        let identity = Identity { life: self.shared.args.life, writer: self.writer, counter: self.counter };
        identity.write(self.shared.args.seed, &mut self.payload);
    }

    fn appended(&mut self, lsn: Lsn) {
        self.pending.push((self.counter, lsn));
        self.counter += 1;
    }

    fn append_some(&mut self) {
        let log = self.shared.log;
        match self.rng.below(8) {
            0 => self.append_batch(),
            1 => self.append_in_place(),
            2 => {
                self.fill();
                match log.append_durable(&self.payload) {
                    Ok(lsn) => self.appended(lsn),
                    Err(error) => fail("append durably", &error),
                }
            }
            _ => {
                for _ in 0..1 + self.rng.below(8) {
                    self.fill();
                    match log.append(&self.payload) {
                        Ok(lsn) => self.appended(lsn),
                        Err(error) => fail("append", &error),
                    }
                }
            }
        }
    }

    fn append_batch(&mut self) {
        let first = self.counter;
        let payloads: Vec<Vec<u8>> = (0..1 + self.rng.below(16))
            .map(|_| {
                self.fill();
                self.counter += 1;
                self.payload.clone()
            })
            .collect();
        self.counter = first;
        let mut lsns = Vec::new();
        let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        match self.shared.log.append_batch(&payloads, &mut lsns) {
            Ok(()) => lsns.into_iter().for_each(|lsn| self.appended(lsn)),
            Err(error) => fail("append a batch", &error),
        }
    }

    /// Reserves and fills, or reserves and gives up.
    fn append_in_place(&mut self) {
        let log = self.shared.log;
        self.fill();
        let len = self.payload.len() as u32;
        if len > log.inline_bytes_max() {
            return;
        }
        match log.reserve(len) {
            Ok(mut reservation) => {
                reservation.payload_mut().copy_from_slice(&self.payload);
                if self.rng.one_in(3) {
                    reservation.abort();
                } else {
                    let lsn = reservation.complete();
                    self.appended(lsn);
                }
            }
            Err(error) => fail("reserve", &error),
        }
    }

    /// Reads one of the latest records, which may be in memory only.
    fn read_back(&mut self) {
        let Some(&(counter, lsn)) = self.pending.last() else { return };
        let expected = Identity { life: self.shared.args.life, writer: self.writer, counter };
        match self.shared.log.read(lsn) {
            Ok(record) if Identity::of(self.shared.args.seed, record.payload()) == Ok(expected) => (),
            Ok(_) => {
                end(&Said::Failed(format!("{expected} was appended at lsn {lsn}, and something else is read there")))
            }
            // Somebody else may have truncated it meanwhile.
            Err(Error::Truncated { .. }) => (),
            Err(error) => fail("read what was just appended", &error),
        }
    }

    /// Waits until all that is pending is durable, and says so.
    fn wait(&mut self) {
        let Some(&(_, last)) = self.pending.last() else { return };
        let log = self.shared.log;
        let waited = if self.rng.one_in(3) { log.flush() } else { log.make_stable(last) };
        if let Err(error) = waited {
            fail("make durable", &error);
        }
        let writer = self.writer;
        let acks: Vec<Said> = self.pending.drain(..).map(|(counter, lsn)| Said::Ack { writer, counter, lsn }).collect();
        tell(&acks);
    }

    /// Gives up the beginning of the log if it has become long.
    fn truncate(&mut self) {
        let (log, keep) = (self.shared.log, u64::from(self.shared.args.keep));
        let (floor, end) = (log.floor(), log.end_lsn());
        let live = end - floor;
        if live <= keep {
            return;
        }
        // Mostly half of what may stay does stay; at times next to nothing.
        let stays = if self.rng.one_in(8) { self.rng.below(keep) } else { keep / 2 + self.rng.below(keep / 2) };
        let lsn = floor + (live - stays);
        tell(&[Said::Ask(lsn)]);
        match log.truncate_before(lsn) {
            Ok(truncation) => tell(&[Said::Cut(truncation.floor)]),
            Err(error) => fail("truncate", &error),
        }
    }
}

/// Tells the parent. Where nobody listens any more there is nothing left to do.
fn tell(said: &[Said]) {
    let lines: String = said.iter().map(|said| format!("{said}\n")).collect();
    let mut out = io::stdout().lock();
    if out.write_all(lines.as_bytes()).and_then(|()| out.flush()).is_err() {
        process::exit(i32::from(Ending::Io.code()));
    }
}

/// The same for whoever can still return.
fn say(said: &Said) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{said}").and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}

fn fail(action: &str, error: &Error) -> ! {
    let text = format!("could not {action}: {error}");
    end(&if matches!(error, Error::NoSpace { .. }) { Said::NoSpace(text) } else { Said::Failed(text) })
}

fn end(said: &Said) -> ! {
    let _ = say(said);
    process::exit(i32::from(Ending::Io.code()))
}
