//! What was measured on, in words that fit under a chart.

use std::{fs, path::Path, thread};

use serde::Serialize;

/// A machine, without its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) file_system: String,
}

impl Machine {
    /// The machine that this runs on, and the file system of `dir`.
    pub(crate) fn here(dir: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            cpu: cpu(&read("/proc/cpuinfo")).unwrap_or("a processor that says nothing of itself").to_owned(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            kernel: format!("Linux {}", version(&read("/proc/sys/kernel/osrelease"))),
            file_system: file_system(&read("/proc/self/mounts"), dir).unwrap_or("an unknown file system").to_owned(),
        }
    }

    /// Whether what is written there reaches no disk.
    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.file_system.as_str(), "tmpfs" | "ramfs")
    }

    pub(crate) fn line(&self) -> String {
        let Self { cpu, cores, kernel, file_system } = self;
        format!("{cpu}, {cores} cores, {kernel}, {file_system}")
    }
}

fn cpu(text: &str) -> Option<&str> {
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

/// The first two parts of a version: the rest tells builders apart.
fn version(release: &str) -> String {
    let parts: Vec<&str> = release.trim().split(['.', '-']).take(2).collect();
    parts.join(".")
}

/// The type of the file system with the longest mount point above `dir`.
fn file_system<'a>(mounts: &'a str, dir: &Path) -> Option<&'a str> {
    let mounted = mounts.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let above = mounted.filter(|(point, _)| dir.starts_with(point));
    // Of two on the same point, the later one hides the earlier one.
    above.max_by_key(|(point, _)| point.len()).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{cpu, file_system, version};

    #[test]
    fn machine_is_read_from_what_the_system_says() {
        assert_eq!(cpu("processor\t: 0\nmodel name\t: A Fast One\n"), Some("A Fast One"));
        assert_eq!(version("6.18.44-somebody-1\n"), "6.18");
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/disk xfs rw 0 0\n";
        let cases = [("/data", "ext4"), ("/tmp/x", "tmpfs"), ("/tmp/disk/x", "xfs"), ("/tmpx", "ext4")];
        for (dir, kind) in cases {
            assert_eq!(file_system(mounts, Path::new(dir)), Some(kind), "{dir}");
        }
    }
}
