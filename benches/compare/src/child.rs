//! One measurement in a process of its own: this program again.

use std::{
    env, fs,
    io::Read,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Fallible,
    contender::{
        Contender, Promise, Size, Subject, commitlog::Commitlog, esker::Esker, fjall::Fjall, mutexed::Mutexed,
        okaywal::Okaywal, private, raft_engine::RaftEngine, single::Single, sled::Sled, wal_db::WalDb, walrus::Walrus,
    },
    measure::{Measure, Task},
    outcome::Outcome,
    workload::{
        bandwidth,
        buffered::{self, Keeps},
        durable, window,
    },
};

/// The argument that makes this program a child.
pub(crate) const COMMAND: &str = "child";
/// Where a child leaves what it found. Standard output is not its own: a peer may talk there.
const OUTCOME: &str = "outcome.json";
/// A measurement that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs one measurement in a child process, in a fresh directory below `scratch`, which is removed again.
pub(crate) fn run(task: &mut Task, scratch: &Path) -> Fallible<Outcome> {
    let place = tempfile::Builder::new().prefix("cell-").tempdir_in(scratch)?;
    task.dir = place.path().join("log");
    fs::create_dir(&task.dir)?;
    measure(task, place.path())
}

/// Runs one measurement in the directory that the task names, and keeps what is there.
fn measure(task: &Task, place: &Path) -> Fallible<Outcome> {
    let mut child = Command::new(env::current_exe()?)
        .args([COMMAND, &serde_json::to_string(task)?])
        .current_dir(place)
        // How walrus-rust is told where its files go, and to be quiet.
        .env("WALRUS_DATA_DIR", &task.dir)
        .env("WALRUS_QUIET", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stderr = child.stderr.take().ok_or("stderr is piped")?;
    let said = thread::spawn(move || {
        let mut said = String::new();
        // What is no text is not worth an error of its own.
        drop(stderr.read_to_string(&mut said));
        said
    });
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            return Err(format!("took longer than {} s", PATIENCE.as_secs()).into());
        }
        thread::sleep(Duration::from_millis(2));
    };
    let said = said.join().unwrap_or_default();
    if !status.success() {
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        return Err(format!("{status}: {last}").into());
    }
    Ok(serde_json::from_slice(&fs::read(place.join(OUTCOME))?)?)
}

/// What the child does.
pub(crate) fn main(task: Option<&str>) -> Fallible {
    let task: Task = serde_json::from_str(task.ok_or("a child needs a task")?)?;
    let outcome = perform(&task)?;
    fs::write(OUTCOME, serde_json::to_vec(&outcome)?)?;
    Ok(())
}

fn perform(task: &Task) -> Fallible<Outcome> {
    let Task { measure, contender, dir, .. } = task;
    let time = Duration::from_millis(task.millis);
    match *measure {
        Measure::Durable { writers, record_bytes } => {
            let size = Size { promise: Promise::Durable, writers, record_bytes, bytes: task.bytes };
            match contender {
                Contender::Esker => durable::run::<Esker>(dir, size, time),
                Contender::RaftEngine => durable::run::<RaftEngine>(dir, size, time),
                Contender::WalDb => durable::run::<WalDb>(dir, size, time),
                Contender::Walrus => durable::run::<Walrus>(dir, size, time),
                Contender::Fjall => durable::run::<Fjall>(dir, size, time),
                Contender::Sled => durable::run::<Sled>(dir, size, time),
                Contender::Commitlog => durable::run::<Commitlog>(dir, size, time),
                Contender::Okaywal => durable::run::<Okaywal>(dir, size, time),
                Contender::Mutexed => durable::run::<Mutexed>(dir, size, time),
                Contender::LimitDurable => durable::run::<Single>(dir, size, time),
                other => cannot(*other, *measure),
            }
        }
        Measure::Window { in_flight, record_bytes } => {
            let size = Size { promise: Promise::Durable, writers: 1, record_bytes, bytes: task.bytes };
            window::run(dir, size, in_flight, time)
        }
        Measure::Bandwidth => bandwidth::run(dir, task.bytes, time),
        Measure::Buffered { writers, record_bytes } => {
            let size = Size { promise: Promise::Buffered, writers, record_bytes, bytes: task.bytes };
            match contender {
                Contender::Esker => kept::<Esker>(dir, size, time),
                Contender::RaftEngine => kept::<RaftEngine>(dir, size, time),
                Contender::WalDb => kept::<WalDb>(dir, size, time),
                Contender::Walrus => kept::<Walrus>(dir, size, time),
                Contender::Fjall => kept::<Fjall>(dir, size, time),
                Contender::Sled => kept::<Sled>(dir, size, time),
                Contender::Commitlog => kept::<Commitlog>(dir, size, time),
                Contender::Mutexed => kept::<Mutexed>(dir, size, time),
                Contender::LimitBuffered => kept::<private::Buffered>(dir, size, time),
                Contender::LimitMemory => buffered::run::<private::Memory>(dir, size, time, Keeps::Nothing),
                other => cannot(*other, *measure),
            }
        }
    }
}

fn kept<S: Subject>(dir: &Path, size: Size, time: Duration) -> Fallible<Outcome> {
    buffered::run::<S>(dir, size, time, Keeps::Everything)
}

fn cannot(contender: Contender, measure: Measure) -> Fallible<Outcome> {
    Err(format!("{} does not do this: {}", contender.name(), measure.title()).into())
}
