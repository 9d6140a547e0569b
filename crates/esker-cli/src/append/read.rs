//! Reading the input.
//!
//! Owns the files and standard input, the reading thread, and the place given with an error of the input. Refuses to wait
//! for more once a read has returned a complete record (A4).

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use super::{
    belt::{Belt, StopOnPanic},
    cut::{CutError, Cutter, Framing},
};
use crate::ending::{Ending, Failure};

/// What to append, in order.
#[derive(Debug)]
pub(super) struct Sources {
    paths: Vec<PathBuf>,
    bytes: Option<u64>,
}

impl Sources {
    /// Looks whether everything named is there, without opening it: opening may have effects, and may wait.
    pub(super) fn check(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut bytes = Some(0_u64);
        for path in paths.iter().filter(|path| !is_stdin(path)) {
            let metadata = fs::metadata(path).map_err(|error| Failure::io(path.display(), &error))?;
            if metadata.is_dir() {
                return Err(Failure::io(path.display(), &io::ErrorKind::IsADirectory.into()));
            }
            // Pipes and devices have no length to speak of.
            bytes = bytes.filter(|_| metadata.is_file()).and_then(|bytes| bytes.checked_add(metadata.len()));
        }
        let stdin = paths.is_empty() || paths.iter().any(|path| is_stdin(path));
        let paths = if paths.is_empty() { vec![PathBuf::from("-")] } else { paths.to_vec() };
        Ok(Self { paths, bytes: bytes.filter(|_| !stdin) })
    }

    /// How long it is all together, if that can be known.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.bytes
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Starts the thread that reads `sources` onto the belt.
pub(super) fn start(sources: Sources, framing: Framing, record_max: u32, belt: Arc<Belt>) -> Result<(), Failure> {
    let read_all = move || {
        let _stop = StopOnPanic(&belt);
        let mut outcome = Ok(());
        for path in &sources.paths {
            outcome = read_path(path, framing, record_max, &belt);
            if outcome.is_err() {
                break;
            }
        }
        belt.end(outcome.err());
    };
    let started = thread::Builder::new().name("reader".to_owned()).spawn(read_all);
    started.map(drop).map_err(|error| Failure::io("cannot start the reading thread", &error))
}

fn read_path(path: &Path, framing: Framing, record_max: u32, belt: &Belt) -> Result<(), Failure> {
    if is_stdin(path) {
        // Reads as long as ours go past the buffer of standard input.
        return read_input(&mut io::stdin().lock(), "standard input", framing, record_max, belt);
    }
    let name = path.display().to_string();
    let mut file = File::open(path).map_err(|error| Failure::io(&name, &error))?;
    read_input(&mut file, &name, framing, record_max, belt)
}

/// Reads one input to its end. Records do not reach across inputs.
fn read_input(input: &mut dyn Read, name: &str, framing: Framing, record_max: u32, belt: &Belt) -> Result<(), Failure> {
    let mut cutter = Cutter::new(framing, record_max);
    // How many records and bytes lie before the batch at hand.
    let mut position = Position::default();
    let Some(mut batch) = belt.empty() else { return Ok(()) };
    loop {
        if batch.filled == batch.bytes.len() {
            // One record fills the batch. Doubling keeps the copying linear, and only bytes that came make it grow.
            batch.bytes.resize(2 * batch.bytes.len(), 0);
        }
        let read = match input.read(&mut batch.bytes[batch.filled..]) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::io(name, &error)),
        };
        batch.filled += read;
        let bytes = &batch.bytes[..batch.filled];
        let cut = if read > 0 {
            cutter.cut(bytes, &mut batch.records)
        } else {
            cutter.finish(bytes).map(|last| {
                batch.records.extend(last);
                bytes.len()
            })
        };
        let records = batch.records.len() as u64;
        let unfinished = match cut {
            Ok(unfinished) => unfinished,
            Err(error) => {
                let at = batch.records.last().map_or(0, |&(at, len)| framing.end_of(at, len));
                belt.send(batch);
                return Err(position.after(records, at as u64).refuse(name, error));
            }
        };
        if records == 0 && read > 0 {
            continue;
        }
        position = position.after(records, unfinished as u64);
        let Some(mut next) = belt.empty() else { return Ok(()) };
        let rest = &batch.bytes[unfinished..batch.filled];
        if next.bytes.len() < rest.len() {
            next.bytes.resize(rest.len(), 0);
        }
        next.bytes[..rest.len()].copy_from_slice(rest);
        next.filled = rest.len();
        belt.send(std::mem::replace(&mut batch, next));
        if read == 0 {
            belt.give_back(batch);
            return Ok(());
        }
    }
}

impl Framing {
    /// Where the next record begins, after one whose payload is `len` bytes at `at`.
    fn end_of(self, at: u32, len: u32) -> usize {
        let delimiter = usize::from(self != Self::Length);
        at as usize + len as usize + delimiter
    }
}

/// A place in an input.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    records: u64,
    bytes: u64,
}

impl Position {
    fn after(self, records: u64, bytes: u64) -> Self {
        Self { records: self.records + records, bytes: self.bytes + bytes }
    }

    /// The error for the record that begins here.
    fn refuse(self, name: &str, error: CutError) -> Failure {
        let what = match error {
            CutError::TooLong { len_at_least, max } => {
                format!("is longer than --max-record allows: at least {len_at_least} bytes, over {max}")
            }
            CutError::Incomplete { found } => format!("is cut off after {found} bytes by the end of the input"),
        };
        let message = format!("{name}: record {} (at byte {}) {what}", self.records + 1, self.bytes);
        Failure::Told { ending: Ending::Io, message }
    }
}
