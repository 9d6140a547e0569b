//! A child process, seen by its parent.
//!
//! Owns the process, its two pipes and the signals. Whatever happens to the parent, the child ends: it is killed when this
//! is dropped, and ends by itself when its input does.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{Trouble, args::Torture, model::Model, record::Identity, said::Said};
use crate::ending::{Ending, Failure};

/// Longer than anything a child is waited for takes on the slowest machine; what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A child process.
#[derive(Debug)]
pub(super) struct Victim {
    life: u32,
    seed: u64,
    child: Child,
    input: Option<ChildStdin>,
    said: Receiver<(Instant, Said)>,
    listener: Option<JoinHandle<()>>,
    pings: u64,
    /// When it said that it was about to open the log, and that the log was open.
    pub(super) started: Option<Instant>,
    pub(super) opened: Option<Instant>,
    pub(super) locked: bool,
    /// How often it truncated the log.
    pub(super) truncations: u64,
    /// How many records it acknowledged, and their bytes.
    pub(super) acknowledged: u64,
    pub(super) bytes: u64,
}

impl Victim {
    /// Starts a child that opens the log in `dir`.
    pub(super) fn start(args: &Torture, dir: &Path, seed: u64, life: u32) -> Result<Self, Trouble> {
        let cannot = |error: &std::io::Error| Trouble::Failure(Failure::io("cannot start a process", error));
        let program = std::env::current_exe().map_err(|error| cannot(&error))?;
        let mut command = Command::new(program);
        command.arg("torture-life").arg(dir);
        for (name, value) in [
            ("--seed", seed),
            ("--life", life.into()),
            ("--writers", args.writers.into()),
            ("--keep", args.keep.into()),
        ] {
            command.arg(name).arg(value.to_string());
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // An interrupt from the terminal is for the parent, which ends the round first.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(|error| cannot(&error))?;
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().expect("its standard output is a pipe"));
        let (sender, said) = channel();
        let listener = thread::spawn(move || {
            let mut line = String::new();
            // A line without its end was cut off by the kill.
            while output.read_line(&mut line).is_ok_and(|read| read > 0) && line.ends_with('\n') {
                let said = Said::parse(line.trim_end())
                    .unwrap_or_else(|| Said::Failed(format!("said what nobody understands: {line:?}")));
                if sender.send((Instant::now(), said)).is_err() {
                    break;
                }
                line.clear();
            }
        });
        Ok(Self {
            life,
            seed,
            child,
            input,
            said,
            listener: Some(listener),
            pings: 0,
            started: None,
            opened: None,
            locked: false,
            truncations: 0,
            acknowledged: 0,
            bytes: 0,
        })
    }

    /// Listens until the child says what `wanted` asks for.
    pub(super) fn wait_for(
        &mut self,
        model: &mut Model,
        what: &str,
        wanted: impl Fn(&Said) -> bool,
    ) -> Result<(), Trouble> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.said.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok((at, said)) => {
                    self.hear(model, at, &said)?;
                    if wanted(&said) {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(self.violation(format!("hangs: {what} has not come for {} s", PATIENCE.as_secs())));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
                    return Err(self.violation(format!("ended by itself ({status}), before {what}")));
                }
            }
        }
    }

    /// Takes in what the child has said so far.
    pub(super) fn listen(&mut self, model: &mut Model) -> Result<(), Trouble> {
        loop {
            match self.said.try_recv() {
                Ok((at, said)) => self.hear(model, at, &said)?,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return Ok(()),
            }
        }
    }

    fn hear(&mut self, model: &mut Model, at: Instant, said: &Said) -> Result<(), Trouble> {
        match said {
            Said::Failed(text) => return Err(self.violation(format!("met what it should not: it {text}"))),
            Said::NoSpace(text) => {
                return Err(Trouble::Failure(Failure::Told {
                    ending: Ending::Io,
                    message: format!("the disk is too small for this: {text}"),
                }));
            }
            Said::Start => self.started = Some(at),
            Said::Open { .. } => self.opened = Some(at),
            Said::Locked => self.locked = true,
            Said::Cut(_) => self.truncations += 1,
            Said::Ack { writer, counter, .. } => {
                let identity = Identity { life: self.life, writer: *writer, counter: *counter };
                self.acknowledged += 1;
                self.bytes += identity.record_bytes(self.seed) as u64;
            }
            _ => (),
        }
        model.hear(self.life, said);
        Ok(())
    }

    fn violation(&self, text: String) -> Trouble {
        Trouble::Violation(format!("the process of life {} {text}", self.life))
    }

    /// Asks for a sign of life, and waits for it: a record that is appended and becomes durable after this.
    pub(super) fn ping(&mut self, model: &mut Model) -> Result<(), Trouble> {
        self.pings += 1;
        let sent = self.input.as_mut().is_some_and(|input| input.write_all(b"p").is_ok());
        if !sent {
            return Err(self.violation("does not listen any more".to_owned()));
        }
        let pings = self.pings;
        self.wait_for(model, "a record after it was stopped and continued", |said| *said == Said::Pong(pings))
    }

    /// Kills it, and takes in all that it has said.
    pub(super) fn kill(mut self, model: &mut Model) -> Result<Self, Trouble> {
        let killed = self.child.kill();
        let status = self.wait(model)?;
        // Whoever was refused the log, or told to close it, may have ended in good order.
        let may_have_ended = self.locked || self.input.is_none();
        if killed.is_err() || (cfg!(unix) && status.code().is_some() && !(may_have_ended && status.success())) {
            return Err(self.violation(format!("ended by itself ({status}) while it should work")));
        }
        Ok(self)
    }

    /// Asks it to close the log.
    pub(super) fn close(&mut self) {
        drop(self.input.take());
    }

    /// Asks it to close the log, and waits for that, or for the end that it has come to by itself.
    pub(super) fn end(mut self, model: &mut Model) -> Result<Self, Trouble> {
        self.close();
        if !self.locked {
            self.wait_for(model, "the close", |said| matches!(said, Said::Closed(_)))?;
        }
        let status = self.wait(model)?;
        if !status.success() {
            return Err(self.violation(format!("ended with {status}")));
        }
        Ok(self)
    }

    fn wait(&mut self, model: &mut Model) -> Result<ExitStatus, Trouble> {
        let status = self.child.wait().map_err(|error| Failure::io("cannot wait for a process", &error))?;
        if let Some(listener) = self.listener.take() {
            // It ends with its pipe, and does nothing that can panic.
            let _ = listener.join();
        }
        self.listen(model)?;
        Ok(status)
    }

    /// Stops it amid whatever it does.
    #[cfg(unix)]
    pub(super) fn pause(&self) -> Result<(), Trouble> {
        self.signal(rustix::process::Signal::STOP)
    }

    /// Lets it go on.
    #[cfg(unix)]
    pub(super) fn resume(&self) -> Result<(), Trouble> {
        self.signal(rustix::process::Signal::CONT)
    }

    #[cfg(unix)]
    fn signal(&self, signal: rustix::process::Signal) -> Result<(), Trouble> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal)
            .map_err(|error| Failure::io("cannot signal a process", &error.into()).into())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Nobody is left to be told; and it is gone already unless there was trouble.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
