//! `cargo xtask small-disk`: logs on real file systems of a few MiB, to see what happens when they are full.
//!
//! Makes a `tmpfs`, for which user namespaces suffice where they are allowed, and an `ext4` in a file, which wants root, each
//! in a mount namespace of its own, so that nothing is left when the test ends; and runs the ignored tests of `esker` there.
//! What cannot be made on a machine is skipped with a word. If none can be made, the command fails; CI goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::args::Args;
use crate::run::{Failure, cargo, root, run as execute, target_dir};

const TEST: &[&str] = &["test", "--locked", "-p", "esker", "--test", "small_disk"];

/// A file system to be made by a shell in a namespace of its own: at `$1`, with a file at `$2` to put it in.
struct FileSystem {
    name: &'static str,
    /// What enters the namespace.
    enter: &'static [&'static str],
    mount: &'static str,
}

const FILE_SYSTEMS: &[FileSystem] = &[
    FileSystem {
        name: "tmpfs",
        enter: &["unshare", "--mount", "--map-root-user", "--user"],
        mount: r#"mount -t tmpfs -o size=8m none "$1""#,
    },
    FileSystem {
        name: "ext4",
        enter: &["unshare", "--mount"],
        mount: r#"truncate -s 16M "$2" && mkfs.ext4 -q -F "$2" && mount -o loop "$2" "$1""#,
    },
];

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    args.finish()?;
    if all()? { Ok(()) } else { Err(Failure::failed("no small file system can be made here")) }
}

/// The step of CI, which goes on where nothing can be made.
pub(crate) fn check() -> Result<(), Failure> {
    if !all()? {
        println!("small-disk: SKIPPED: no small file system can be made here, so nothing was tested");
    }
    Ok(())
}

/// Runs the tests on every file system that can be made. Returns whether there was one.
fn all() -> Result<bool, Failure> {
    // Built before, because a namespace is no place for that.
    execute(cargo(TEST).arg("--no-run"))?;
    let mut any = false;
    for file_system in FILE_SYSTEMS {
        let place = Place::new(file_system.name)?;
        if let Some(reason) = file_system.why_not(&place) {
            println!("small-disk: {}: skipped: {reason}", file_system.name);
            continue;
        }
        println!("small-disk: {}", file_system.name);
        execute(&mut file_system.test(&place))?;
        any = true;
    }
    Ok(any)
}

impl FileSystem {
    /// Why it cannot be made here, in the words of whoever refused.
    fn why_not(&self, place: &Place) -> Option<String> {
        match self.inside(place, "exec true").output() {
            Ok(output) if output.status.success() => None,
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                Some(said.lines().next().map_or_else(|| output.status.to_string(), str::to_owned))
            }
            Err(error) => Some(format!("cannot run {}: {error}", self.enter[0])),
        }
    }

    fn test(&self, place: &Place) -> Command {
        let test = cargo(TEST);
        let mut command = self.inside(place, r#"shift 2 && exec "$@""#);
        command.arg(test.get_program()).args(test.get_args());
        command.args(["--", "--ignored", "--test-threads=1"]).env("ESKER_SMALL_DISK", &place.mount);
        for (name, value) in test.get_envs() {
            if value.is_none() {
                command.env_remove(name);
            }
        }
        command
    }

    /// A shell that does something where the file system is mounted.
    fn inside(&self, place: &Place, what: &str) -> Command {
        let mut command = Command::new(self.enter[0]);
        command.args(&self.enter[1..]).args(["sh", "-c", &format!("{} && {what}", self.mount), "sh"]);
        command.arg(&place.mount).arg(&place.image).current_dir(root());
        command
    }
}

/// Where a file system is mounted, and the file that holds it.
struct Place {
    mount: PathBuf,
    image: PathBuf,
}

impl Place {
    fn new(name: &str) -> Result<Self, Failure> {
        let folder = target_dir("small-disk");
        let mount = folder.join(name);
        let cannot = |path: &Path, error: std::io::Error| Failure::failed(format!("{}: {error}", path.display()));
        fs::create_dir_all(&mount).map_err(|error| cannot(&mount, error))?;
        Ok(Self { mount, image: folder.join(format!("{name}.img")) })
    }
}
