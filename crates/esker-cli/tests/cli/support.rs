//! Running the command in a scratch directory.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use tempfile::TempDir;

/// Longer than any of these commands takes on the slowest machine; what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A scratch directory to run the command in.
pub(crate) struct Scratch {
    dir: TempDir,
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code; nothing if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Ran {
    /// Standard output as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.out).expect("standard output is text")
    }

    /// Standard output as one JSON document.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.out).expect("standard output is one JSON document")
    }

    /// Passes the result on if the exit code is as expected.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.err);
        if code != 0 && code != 1 && code != 2 {
            assert!(self.err.lines().any(|line| line.starts_with("esker: ")), "an error is told: {}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a scratch directory") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts a file there.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("a scratch file");
        path
    }

    /// The command, not started yet.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_esker"));
        command.current_dir(self.dir.path()).args(args);
        for name in ["ESKER_DIR", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs `line`, split at spaces, with nothing on standard input.
    pub(crate) fn run(&self, line: &str) -> Ran {
        self.feed(line, b"")
    }

    /// Runs `line`, split at spaces, with `input` on standard input.
    pub(crate) fn feed(&self, line: &str, input: &[u8]) -> Ran {
        run(self.command(line.split(' ')), input)
    }

    /// Starts `line`, split at spaces, with pipes for everything.
    pub(crate) fn start(&self, line: &str) -> Child {
        start(self.command(line.split(' ')))
    }

    /// Everything below a directory of the scratch directory.
    pub(crate) fn snapshot(&self, name: &str) -> BTreeMap<PathBuf, (SystemTime, Option<Vec<u8>>)> {
        let mut found = BTreeMap::new();
        let mut pending = vec![self.path(name)];
        while let Some(path) = pending.pop() {
            let metadata = fs::symlink_metadata(&path).expect("it was listed");
            let content = if metadata.is_dir() {
                let entries = fs::read_dir(&path).expect("a directory can be listed");
                pending.extend(entries.map(|entry| entry.expect("a directory entry").path()));
                None
            } else {
                Some(fs::read(&path).expect("a file can be read"))
            };
            found.insert(path, (metadata.modified().expect("there are times"), content));
        }
        found
    }
}

/// Starts a command with pipes for everything.
pub(crate) fn start(mut command: Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts")
}

/// Runs a command to its end.
pub(crate) fn run(command: Command, input: &[u8]) -> Ran {
    let mut child = start(command);
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    thread::scope(|scope| {
        // A command that refuses its input closes it, and the rest of it goes nowhere.
        scope.spawn(move || stdin.write_all(input).ok());
        finish(child)
    })
}

/// Waits for a child to end and collects what it printed.
pub(crate) fn finish(mut child: Child) -> Ran {
    drop(child.stdin.take());
    let collect = |stream: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut stream) = stream {
                stream.read_to_end(&mut bytes).expect("a pipe can be read");
            }
            bytes
        })
    };
    let out = collect(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let err = collect(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().expect("a child can be killed");
            panic!("the command hangs");
        }
        thread::sleep(Duration::from_millis(2));
    };
    Ran {
        code: status.code(),
        out: out.join().expect("the collector ends"),
        err: String::from_utf8(err.join().expect("the collector ends")).expect("standard error is text"),
    }
}

/// Calls `probe` until it returns something.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} never happened");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Interrupts a child as Ctrl-C does.
#[cfg(unix)]
pub(crate) fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a child can be signalled");
}

/// Lines of text of many lengths, the empty one and one of 300,000 bytes included, about `bytes` bytes together; the same
/// ones every time.
pub(crate) fn lines(bytes: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes + 300_000);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    while text.len() < bytes {
        // Xorshift: any sequence without an evident pattern will do.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let len = if state.is_multiple_of(1000) { 300_000 } else { (state >> 32) % 120 };
        text.extend((0..len).map(|at| b' ' + ((state >> (at % 57)) % 95) as u8));
        text.extend_from_slice(if state.is_multiple_of(7) { b"\r\n" } else { b"\n" });
    }
    text
}

/// The lines of a text, sorted.
pub(crate) fn sorted(text: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
    lines.sort_unstable();
    lines
}

/// Opens a path that tests may change.
pub(crate) fn patch(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("a file to be changed");
    change(&mut bytes);
    fs::write(path, bytes).expect("a changed file");
}
