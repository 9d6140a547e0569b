//! What the operating system knows of a process and a directory.

use std::{fs, io, path::Path};

/// How many bytes the files of a directory are long.
pub(crate) fn directory_bytes(dir: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(dir)? {
        // A file that is gone by now takes nothing.
        match entry?.metadata() {
            Ok(metadata) => sum += metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}

/// The memory that this process holds at the moment, in bytes; `None` where the system does not say.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The value below which so many thousandths of the sorted `values` lie.
pub(crate) fn quantile(values: &[u64], thousandths: usize) -> u64 {
    values.get((values.len() * thousandths / 1000).min(values.len().saturating_sub(1))).copied().unwrap_or(0)
}
