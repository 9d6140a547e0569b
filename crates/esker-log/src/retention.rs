//! How much of the log is kept, by its length and by its age.
//!
//! Owns what is to be given up next, and the file that says when segments were begun. Refuses to give anything up itself:
//! that is truncation, with all its order.
//!
//! The file `times` is a text: a line for each segment that was begun while [`Options::retain_age`](crate::Options::retain_age)
//! was set, with the LSN of its first byte and the time, in milliseconds since 1970. It is advice: it is not synced, lines
//! that say nothing are passed over, and of a segment that has none it is known only that it is older than the next one that
//! has.

use std::{
    collections::BTreeMap,
    fmt::Write,
    io,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use esker_format::{Lsn, SegmentBytes};
use esker_storage::{Access, Storage, StorageFile};

use crate::{Error, Options, names::TIMES, names::TIMES_NEW, sync::Mutex};

/// How often a log is looked at whose age matters, for each time that it is kept.
const LOOKS: u32 = 16;
const LOOK_EVERY_MIN: Duration = Duration::from_millis(10);
const LOOK_EVERY_MAX: Duration = Duration::from_secs(60);

/// What is kept.
#[derive(Debug)]
pub(crate) struct Retention {
    bytes: Option<u64>,
    age: Option<Age>,
    segment_bytes: SegmentBytes,
}

#[derive(Debug)]
struct Age {
    max: Duration,
    clock: fn() -> SystemTime,
    times: Mutex<Times>,
}

#[derive(Debug)]
struct Times {
    file: Arc<dyn StorageFile>,
    file_bytes: u64,
    /// When segments were begun, in milliseconds since 1970, by their bases.
    begun: BTreeMap<Lsn, u64>,
}

impl Retention {
    /// As the options say; `None` if everything is kept until somebody truncates.
    pub(crate) fn open(
        storage: &dyn Storage,
        options: &Options,
        segment_bytes: SegmentBytes,
        floor: Lsn,
    ) -> Result<Option<Self>, Error> {
        let age = match options.retain_age {
            Some(max) => Some(Age { max, clock: options.clock, times: Mutex::new(Times::open(storage, floor)?) }),
            None => None,
        };
        let is_any = age.is_some() || options.retain_bytes.is_some();
        Ok(is_any.then_some(Self { bytes: options.retain_bytes, age, segment_bytes }))
    }

    /// How often somebody is to look, if time alone makes a difference.
    pub(crate) fn look_every(&self) -> Option<Duration> {
        self.age.as_ref().map(|age| (age.max / LOOKS).clamp(LOOK_EVERY_MIN, LOOK_EVERY_MAX))
    }

    /// Where the log is to begin, of which there is what lies between `floor` and `end`. Notes the time if a segment was
    /// begun.
    pub(crate) fn floor(&self, floor: Lsn, end: Lsn) -> Result<Lsn, Error> {
        let mut wanted = floor;
        if let Some(bytes) = self.bytes {
            let from = Lsn::new(end.get().saturating_sub(bytes)).segment_base(self.segment_bytes);
            wanted = wanted.max(from);
        }
        if let Some(age) = &self.age {
            let now = millis((age.clock)());
            let mut times = age.times.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let newest = end.segment_base(self.segment_bytes);
            let noted = times.note(newest, now);
            let oldest = now.saturating_sub(u64::try_from(age.max.as_millis()).unwrap_or(u64::MAX));
            // What lies below a segment was appended before that was begun.
            let begun = times.begun.iter().filter(|&(_, &begun)| begun <= oldest).map(|(&base, _)| base);
            wanted = wanted.max(begun.max().unwrap_or(Lsn::ZERO));
            times.begun = times.begun.split_off(&wanted.segment_base(self.segment_bytes));
            noted?;
        }
        Ok(wanted)
    }
}

impl Times {
    /// Reads what is there, and writes what of it still matters to a new file, which so stays short.
    fn open(storage: &dyn Storage, floor: Lsn) -> Result<Self, Error> {
        let mut begun = BTreeMap::new();
        match storage.open(TIMES, Access::Read) {
            Ok(file) => {
                let read = || -> io::Result<Vec<u8>> {
                    let mut bytes = vec![0; file.len()? as usize];
                    let read = file.read_at(&mut bytes, 0)?;
                    bytes.truncate(read);
                    Ok(bytes)
                };
                let bytes = read().map_err(|error| Error::io("read", TIMES, error))?;
                begun.extend(String::from_utf8_lossy(&bytes).lines().filter_map(parse));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => return Err(Error::io("open", TIMES, error)),
        }
        let begun = begun.split_off(&floor);
        match storage.remove(TIMES_NEW) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", TIMES_NEW, error));
            }
            _ => (),
        }
        let text = begun.iter().fold(String::new(), |mut text, (&base, &begun)| {
            line(&mut text, base, begun);
            text
        });
        let file = storage.create(TIMES_NEW).map_err(|error| Error::io("create", TIMES_NEW, error))?;
        file.write_all_at(text.as_bytes(), 0).map_err(|error| Error::io_at("write", TIMES_NEW, 0, error))?;
        storage.rename(TIMES_NEW, TIMES).map_err(|error| Error::io("rename", TIMES_NEW, error))?;
        Ok(Self { file, file_bytes: text.len() as u64, begun })
    }

    /// The segment at `base` is there, and nothing behind it: it was begun by now, unless that is known already.
    fn note(&mut self, base: Lsn, now: u64) -> Result<(), Error> {
        if base == Lsn::ZERO || self.begun.contains_key(&base) {
            return Ok(());
        }
        self.begun.insert(base, now);
        let mut text = String::new();
        line(&mut text, base, now);
        let at = self.file_bytes;
        self.file.write_all_at(text.as_bytes(), at).map_err(|error| Error::io_at("write", TIMES, at, error))?;
        self.file_bytes += text.len() as u64;
        Ok(())
    }
}

fn line(text: &mut String, base: Lsn, begun: u64) {
    writeln!(text, "{} {begun}", base.get()).expect("a string takes everything");
}

fn parse(line: &str) -> Option<(Lsn, u64)> {
    let (base, begun) = line.split_once(' ')?;
    let base = base.parse().ok().filter(|&base| base < Lsn::LIMIT.get())?;
    Some((Lsn::new(base), begun.parse().ok()?))
}

fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
