//! `cargo xtask sanitize`: the tests of the layers under AddressSanitizer and ThreadSanitizer.
//!
//! Both come with the stable toolchain on Linux; the flags that turn them on are unstable, which `RUSTC_BOOTSTRAP` lifts.
//! The standard library is not instrumented, so ThreadSanitizer does not see what a wait for one of its locks orders. The
//! latch-free crates take their locks by attempts under `--cfg esker_tsan`, which are compiled into them and are seen; `thread.supp`
//! names the few places left where the gap shows, and nothing of ours.

use std::process::Command;

use crate::args::Args;
use crate::loom::LATCH_FREE;
use crate::run::{Failure, cargo, root, run as execute, rustflags, target_dir};

pub(crate) fn run(mut args: Args) -> Result<(), Failure> {
    let which = args.positional();
    args.finish()?;
    match which.as_deref() {
        Some("address") => address(),
        Some("thread") => thread(),
        None => address().and_then(|()| thread()),
        Some(other) => Err(Failure::Usage(format!("there is no sanitizer `{other}`, only address and thread"))),
    }
}

fn address() -> Result<(), Failure> {
    let mut command = tests("address", "-Zsanitizer=address")?;
    command.env("LSAN_OPTIONS", suppressions("leak.supp"));
    execute(command.args(["--workspace", "--exclude", "xtask", "--lib", "--bins", "--tests"]))
}

fn thread() -> Result<(), Failure> {
    let mut command = tests("thread", "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer --cfg esker_tsan")?;
    command.env("TSAN_OPTIONS", suppressions("thread.supp"));
    execute(command.args(LATCH_FREE.iter().flat_map(|name| ["-p", name])).arg("--lib"))
}

/// `cargo test` with a sanitizer. The target is named so that build scripts and macros are built without it; doctests
/// are left out, because rustdoc does not get the flags.
fn tests(name: &str, flags: &str) -> Result<Command, Failure> {
    let host = host()?;
    let mut command = cargo(&["test", "--target", &host]);
    command.env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_DIR", target_dir(name));
    rustflags(&mut command, flags);
    Ok(command)
}

/// The option that names a file of `xtask`: what is known to be reported without being a fault.
fn suppressions(file: &str) -> String {
    format!("suppressions={}", root().join("xtask").join(file).display())
}

fn host() -> Result<String, Failure> {
    let output = Command::new("rustc").arg("-vV").output();
    let output = output.map_err(|error| Failure::failed(format!("cannot run rustc: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Failure::failed("rustc -vV does not name its host"))
}
