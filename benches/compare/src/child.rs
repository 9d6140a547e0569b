//! One measurement in a process of its own: this program again.

use std::{
    env, fs,
    io::Read,
    path::Path,
    process::{self, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    Fallible,
    contender::{
        Contender, Promise, Size, Subject, batched::Batched, commitlog::Commitlog, esker::Esker, esker_raft::EskerRaft,
        fjall::Fjall, mutexed::Mutexed, okaywal::Okaywal, private, raft_engine::RaftEngine, single::Single, sled::Sled,
        wal_db::WalDb, walrus::Walrus,
    },
    measure::{self, LATENCY_WRITERS, Measure, RECORD_BYTES, Step, Task},
    outcome::Outcome,
    pages,
    workload::{
        append_path::{self, Engine},
        bandwidth,
        buffered::{self, Keeps},
        device_bytes, durable, iterate, latency, memory, open, random_read, replace_get, tickets, window,
    },
};

/// The argument that makes this program a child.
pub(crate) const COMMAND: &str = "child";
/// Where a child leaves what it found. Standard output is not its own: a peer may talk there.
const OUTCOME: &str = "outcome.json";
/// A measurement that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Says that a process which is to be killed has done enough.
const READY: &str = "ready";

/// A directory for children: one below it for the contender's files, and what they leave for us beside it.
#[derive(Debug)]
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new(scratch: &Path) -> Fallible<Self> {
        let place = tempfile::Builder::new().prefix("cell-").tempdir_in(scratch)?;
        fs::create_dir(place.path().join("log"))?;
        Ok(Self(place))
    }

    /// Runs one step of a task to its end.
    pub(crate) fn run(&self, task: &mut Task, step: Step) -> Fallible<Outcome> {
        let mut child = Child::start(task, step, self.0.path())?;
        let status = child.wait_until(|_| false)?;
        child.check(status)?;
        Ok(serde_json::from_slice(&fs::read(self.0.path().join(OUTCOME))?)?)
    }

    /// Runs the step that is to be killed, and kills it.
    pub(crate) fn crash(&self, task: &mut Task) -> Fallible {
        let ready = self.0.path().join(READY);
        let mut child = Child::start(task, Step::Crash, self.0.path())?;
        let status = child.wait_until(|_| ready.exists())?;
        if status.is_some() {
            child.check(status)?;
            return Err("it ended before it was killed".into());
        }
        child.process.kill()?;
        child.process.wait()?;
        fs::remove_file(ready)?;
        Ok(())
    }
}

struct Child {
    process: process::Child,
    said: Option<JoinHandle<String>>,
}

impl Child {
    fn start(task: &mut Task, step: Step, place: &Path) -> Fallible<Self> {
        task.dir = place.join("log");
        task.step = step;
        let mut process = Command::new(env::current_exe()?)
            .args([COMMAND, &serde_json::to_string(task)?])
            .current_dir(place)
            // How walrus-rust is told where its files go, and to be quiet.
            .env("WALRUS_DATA_DIR", &task.dir)
            .env("WALRUS_QUIET", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stderr = process.stderr.take().ok_or("stderr is piped")?;
        let said = thread::spawn(move || {
            let mut said = Vec::new();
            // What cannot be read is not worth an error of its own.
            drop(stderr.read_to_end(&mut said));
            String::from_utf8_lossy(&said).into_owned()
        });
        Ok(Self { process, said: Some(said) })
    }

    /// Waits until it ends, or until `enough`; then there is no status yet.
    fn wait_until(&mut self, enough: impl Fn(&Self) -> bool) -> Fallible<Option<ExitStatus>> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(Some(status));
            }
            if enough(self) {
                return Ok(None);
            }
            if begun.elapsed() > PATIENCE {
                self.process.kill()?;
                self.process.wait()?;
                return Err(format!("took longer than {} s", PATIENCE.as_secs()).into());
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn check(&mut self, status: Option<ExitStatus>) -> Fallible {
        match status {
            Some(status) if !status.success() => {
                let said = self.said.take().and_then(|said| said.join().ok()).unwrap_or_default();
                let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
                Err(format!("{status}: {last}").into())
            }
            _ => Ok(()),
        }
    }
}

/// What the child does.
pub(crate) fn main(task: Option<&str>) -> Fallible {
    let task: Task = serde_json::from_str(task.ok_or("a child needs a task")?)?;
    let outcome = match task.step {
        Step::Prepare => prepare(&task)?,
        Step::Crash => crash(&task)?,
        Step::Run => perform(&task)?,
    };
    fs::write(OUTCOME, serde_json::to_vec(&outcome)?)?;
    Ok(())
}

fn prepare(task: &Task) -> Fallible<Outcome> {
    let Task { measure, contender, dir, bytes, .. } = task;
    match measure {
        Measure::Iterate | Measure::RandomRead { from: measure::Place::File } => {
            iterate::prepare(dir, *contender, *bytes)?
        }
        Measure::Open { .. } => open::prepare(dir, *bytes)?,
        other => return cannot(*contender, *other),
    }
    Ok(Outcome::default())
}

fn crash(task: &Task) -> Fallible<Outcome> {
    match task.measure {
        Measure::Open { .. } => open::crash(&task.dir, Path::new(READY), task.bytes)?,
        other => return cannot(task.contender, other),
    }
    Ok(Outcome::default())
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
        Measure::Tickets { in_flight, record_bytes } => {
            let size = Size { promise: Promise::Durable, writers: 1, record_bytes, bytes: task.bytes };
            tickets::run(dir, size, in_flight, time)
        }
        Measure::Groups { groups, record_bytes } => {
            let size = Size { promise: Promise::Durable, writers: groups, record_bytes, bytes: task.bytes };
            match contender {
                Contender::Esker => durable::run::<EskerRaft>(dir, size, time),
                Contender::RaftEngine => durable::run::<RaftEngine>(dir, size, time),
                other => cannot(*other, *measure),
            }
        }
        Measure::Bandwidth => bandwidth::run(dir, task.bytes, time),
        Measure::AppendPath { writers, record_bytes } => {
            let size = append_path::size(writers, record_bytes, time);
            match contender {
                Contender::Esker => buffered::run::<Engine>(dir, size, time, Keeps::Nothing),
                Contender::EskerBatched => buffered::run::<Batched<Engine>>(dir, size, time, Keeps::Nothing),
                Contender::LimitMemory => buffered::run::<private::Memory>(dir, size, time, Keeps::Nothing),
                other => cannot(*other, *measure),
            }
        }
        Measure::Latency { pace } => {
            let (writers, record_bytes) = (LATENCY_WRITERS, RECORD_BYTES);
            let size = Size { promise: Promise::Buffered, writers, record_bytes, bytes: task.bytes };
            match contender {
                Contender::Esker => latency::run::<Esker>(dir, size, pace, time, Keeps::Everything),
                Contender::Mutexed => latency::run::<Mutexed>(dir, size, pace, time, Keeps::Everything),
                Contender::LimitMemory => latency::run::<private::Apart>(dir, size, pace, time, Keeps::Nothing),
                other => cannot(*other, *measure),
            }
        }
        Measure::Iterate => iterate::run(dir, *contender, task.bytes),
        Measure::Open { .. } => open::run(dir),
        Measure::RandomRead { from } => random_read::run(dir, *contender, from, time),
        Measure::Memory => memory::run(dir, task.bytes),
        Measure::DeviceBytes => device_bytes::run(dir, task.bytes, time),
        Measure::ReplaceGet { pages } => match contender {
            Contender::Esker => replace_get::run::<pages::esker::Esker>(dir, pages, time),
            Contender::Sled => replace_get::run::<pages::sled::Sled>(dir, pages, time),
            Contender::Marble => replace_get::run::<pages::marble::Marble>(dir, pages, time),
            Contender::Redb => replace_get::run::<pages::redb::Redb>(dir, pages, time),
            Contender::Fjall => replace_get::run::<pages::fjall::Fjall>(dir, pages, time),
            other => cannot(*other, *measure),
        },
        Measure::Buffered { writers, record_bytes } => {
            let size = Size { promise: Promise::Buffered, writers, record_bytes, bytes: task.bytes };
            match contender {
                Contender::Esker => kept::<Esker>(dir, size, time),
                Contender::EskerBatched => kept::<Batched<Esker>>(dir, size, time),
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
