//! Running other programs, always showing the command that is run.
//!
//! Owns child processes and the failure type of all commands. Refuses to hide output: what is captured is shown, too.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a chore ended.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line was not understood.
    Usage(String),
    /// A check found something, or could not be run.
    Failed(String),
}

impl Failure {
    pub(crate) fn failed(what: impl fmt::Display) -> Self {
        Self::Failed(what.to_string())
    }
}

/// The workspace's root, wherever the command was called from.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask is a folder of the workspace").to_owned()
}

/// Where builds with special flags go, so that they do not throw away the ordinary build.
pub(crate) fn target_dir(name: &str) -> PathBuf {
    let base = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    base.join(name)
}

/// `cargo`, to be run in the workspace's root.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    // `cargo run` tells its child about this package; the packages that are built next must not hear of it.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" {
            command.env_remove(name);
        }
    }
    command
}

/// Adds to the flags for rustc, keeping those of the environment.
pub(crate) fn rustflags(command: &mut Command, flags: &str) {
    let all = match std::env::var("RUSTFLAGS") {
        Ok(outer) if !outer.is_empty() => format!("{outer} {flags}"),
        _ => flags.to_owned(),
    };
    command.env("RUSTFLAGS", all);
}

/// Runs `command` to its end and fails unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let shown = show(command);
    println!("$ {shown}");
    let status = command.status().map_err(|error| Failure::failed(format!("cannot run `{shown}`: {error}")))?;
    if status.success() { Ok(()) } else { Err(Failure::failed(format!("`{shown}` ended with {status}"))) }
}

/// What a program said, and whether it succeeded.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) success: bool,
}

/// Runs `command` to its end, showing its output while it comes and keeping it. Success is for the caller to judge.
pub(crate) fn listen(command: &mut Command) -> Result<Said, Failure> {
    let shown = show(command);
    println!("$ {shown}");
    let cannot = |error: io::Error| Failure::failed(format!("cannot run `{shown}`: {error}"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(cannot)?;
    let stdout = child.stdout.take().expect("stdout is piped");
    let stderr = child.stderr.take().expect("stderr is piped");
    let (out, err) = std::thread::scope(|scope| {
        let err = scope.spawn(|| echo(stderr, &mut io::stderr()));
        (echo(stdout, &mut io::stdout()), err.join().expect("the echo of stderr does not panic"))
    });
    let status = child.wait().map_err(cannot)?;
    let text = out.map_err(cannot)? + &err.map_err(cannot)?;
    Ok(Said { text, success: status.success() })
}

/// Runs `command` to its end and keeps its output without showing it.
pub(crate) fn hear(command: &mut Command) -> Result<Said, Failure> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::failed(format!("cannot run `{}`: {error}", show(command))))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok(Said { text, success: output.status.success() })
}

fn echo(from: impl io::Read, to: &mut impl Write) -> io::Result<String> {
    let mut all = String::new();
    for line in BufReader::new(from).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        writeln!(to, "{line}")?;
        all.push_str(&line);
        all.push('\n');
    }
    Ok(all)
}

/// The command as one would type it, with the environment it sets.
fn show(command: &Command) -> String {
    let set = command.get_envs().filter_map(|(name, value)| {
        let value = value?.to_string_lossy();
        Some(format!("{}={}", name.to_string_lossy(), quote(&value)))
    });
    let program = Path::new(command.get_program()).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let args = command.get_args().map(|arg| quote(&arg.to_string_lossy()));
    set.chain([program]).chain(args).collect::<Vec<_>>().join(" ")
}

fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("'{text}'") }
}

#[cfg(test)]
mod tests {
    use super::{listen, rustflags, show};
    use std::process::Command;

    #[test]
    fn shown_command_can_be_typed() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["test", "--", "a b"]);
        rustflags(&mut command, "--cfg loom");
        let shown = show(&command);
        assert!(shown.starts_with("RUSTFLAGS='") && shown.contains("--cfg loom' "), "{shown}");
        assert!(shown.ends_with("cargo test -- 'a b'"), "{shown}");
    }

    #[test]
    fn listening_hears_both_streams_and_the_verdict() {
        let said = listen(&mut super::cargo(&["--no-such-option"])).unwrap();
        assert!(!said.success && said.text.contains("no-such-option"));
        let said = listen(&mut super::cargo(&["--version"])).unwrap();
        assert!(said.success && said.text.starts_with("cargo "));
    }
}
