//! `esker fsync-test`: what the disk below a directory gives for each way of making bytes stable.
//!
//! A log's speed is that of its syncs. What is measured is what logs do: small writes over blocks that are there already, each
//! followed by a sync; the same where the file grows; larger ones; and new files with their directory entry.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    args::FsyncTest,
    ending::{Ending, Failure, Outcome},
    interrupt,
    output::Output,
    talk::Talk,
};

const BLOCK_BYTES: usize = 4 << 10;
const FILE_BYTES: u64 = 16 << 20;
/// A sync that takes less than this did not wait for any disk that keeps what it says.
const TOO_FAST: Duration = Duration::from_micros(15);

/// A way to make bytes stable.
struct Way {
    name: &'static str,
    bytes: usize,
    how: How,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// `fdatasync` after writing over what was written before.
    Data,
    /// `fsync` after that.
    All,
    /// `fdatasync` after writing behind the end of the file.
    Growing,
    /// Writes with `O_DSYNC`.
    #[cfg(unix)]
    WriteThrough,
    /// A new file, synced, and its directory.
    NewFile,
}

const WAYS: &[Way] = &[
    Way { name: "4 KiB over written blocks, fdatasync", bytes: BLOCK_BYTES, how: How::Data },
    Way { name: "4 KiB over written blocks, fsync", bytes: BLOCK_BYTES, how: How::All },
    #[cfg(unix)]
    Way { name: "4 KiB over written blocks, O_DSYNC", bytes: BLOCK_BYTES, how: How::WriteThrough },
    Way { name: "4 KiB behind the end, fdatasync", bytes: BLOCK_BYTES, how: How::Growing },
    Way { name: "64 KiB over written blocks, fdatasync", bytes: 64 << 10, how: How::Data },
    Way { name: "1 MiB over written blocks, fdatasync", bytes: 1 << 20, how: How::Data },
    Way { name: "a new file of 4 KiB, fsync, and its directory", bytes: BLOCK_BYTES, how: How::NewFile },
];

/// What was found of one way.
struct Found {
    way: &'static Way,
    times: Vec<Duration>,
}

impl Found {
    fn at(&self, share: f64) -> Duration {
        let last = self.times.len().saturating_sub(1);
        self.times.get((last as f64 * share) as usize).copied().unwrap_or_default()
    }

    fn per_second(&self) -> f64 {
        self.times.len() as f64 / self.times.iter().sum::<Duration>().as_secs_f64().max(1e-9)
    }
}

/// Removes what was made, however the test ends.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing to be done about what cannot be removed; its name says whose it is.
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Runs the command.
pub(crate) fn run(args: &FsyncTest, json: bool, talk: Talk) -> Outcome {
    interrupt::end_at_once()?;
    let dir = args.dir.as_path();
    let failed = |error: io::Error| Failure::io(dir.display(), &error);
    let scratch = Scratch(dir.join(format!("esker-fsync-test-{}", std::process::id())));
    fs::create_dir(&scratch.0).map_err(failed)?;
    let time = Duration::from_millis(u64::from(args.millis));
    let bar = talk.progress(Some(WAYS.len() as u64));
    let mut all = Vec::new();
    for way in WAYS {
        all.push(Found { way, times: measure(way, &scratch.0, time).map_err(failed)? });
        bar.inc(1);
    }
    bar.finish_and_clear();
    for found in &mut all {
        found.times.sort_unstable();
    }
    let advice = advice(&all);
    let mut out = Output::lock();
    if json {
        let ways: Vec<Value> = all
            .iter()
            .map(|found| {
                json!({
                    "way": found.way.name, "bytes": found.way.bytes, "per_second": found.per_second(),
                    "p50_us": found.at(0.5).as_secs_f64() * 1e6, "p99_us": found.at(0.99).as_secs_f64() * 1e6,
                })
            })
            .collect();
        out.line(&json!({ "schema": 1, "ways": ways, "advice": advice }))?;
    } else {
        out.line(&format_args!("{:<46} {:>10} {:>10} {:>10} {:>9}", "", "per second", "p50 µs", "p99 µs", "MB/s"))?;
        for found in &all {
            let micros = |share| found.at(share).as_secs_f64() * 1e6;
            let megabytes = found.per_second() * found.way.bytes as f64 / 1e6;
            out.line(&format_args!(
                "{:<46} {:>10.0} {:>10.0} {:>10.0} {megabytes:>9.1}",
                found.way.name,
                found.per_second(),
                micros(0.5),
                micros(0.99)
            ))?;
        }
        out.line(&advice)?;
    }
    out.finish()?;
    Ok(Ending::Done)
}

fn measure(way: &Way, dir: &Path, time: Duration) -> io::Result<Vec<Duration>> {
    let block = vec![0x5a; way.bytes];
    let path = dir.join("file");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let mut file = options.open(&path)?;
    if way.how != How::Growing && way.how != How::NewFile {
        // Written, and not only allocated: the first write to an allocated block changes the file's metadata.
        for _ in 0..FILE_BYTES / (1 << 20) {
            file.write_all(&vec![1; 1 << 20])?;
        }
        file.sync_all()?;
    }
    #[cfg(unix)]
    if way.how == How::WriteThrough {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::DSYNC.bits() as i32;
        file = OpenOptions::new().write(true).custom_flags(flags).open(&path)?;
    }
    file.seek(SeekFrom::Start(0))?;
    let (mut times, mut at, begun) = (Vec::new(), 0_u64, Instant::now());
    // A slow disk gets at least a few.
    while begun.elapsed() < time || times.len() < 3 {
        if at + way.bytes as u64 > FILE_BYTES && way.how != How::Growing {
            at = 0;
            file.seek(SeekFrom::Start(0))?;
        }
        let begun = Instant::now();
        if way.how == How::NewFile {
            let mut new = File::create(dir.join(times.len().to_string()))?;
            new.write_all(&block)?;
            new.sync_all()?;
            sync_dir(dir)?;
        } else {
            file.write_all(&block)?;
            match way.how {
                How::All => file.sync_all()?,
                How::Data | How::Growing => file.sync_data()?,
                _ => (),
            }
        }
        times.push(begun.elapsed());
        at += way.bytes as u64;
    }
    Ok(times)
}

#[cfg(unix)]
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(not(unix))]
fn sync_dir(_dir: &Path) -> io::Result<()> {
    Ok(())
}

fn advice(all: &[Found]) -> String {
    let Some(data) = all.iter().find(|found| found.way.how == How::Data) else { return String::new() };
    let median = data.at(0.5);
    if median < TOO_FAST {
        return "a sync comes back before any disk could have answered: this is memory, or the disk does not wait; do not rely on it"
            .to_owned();
    }
    let micros = median.as_micros();
    let growing = all.iter().find(|found| found.way.how == How::Growing);
    let times = growing.map_or(1.0, |found| found.at(0.5).as_secs_f64() / median.as_secs_f64());
    let reuse = if times > 1.3 {
        format!("; a file that grows takes {times:.1} times as long, so let segments be used again")
    } else {
        String::new()
    };
    format!(
        "a sync takes {micros} µs: one writer that waits for each record gets {:.0} a second, and many writers, who share syncs, as many \
         each{reuse}",
        data.per_second()
    )
}
