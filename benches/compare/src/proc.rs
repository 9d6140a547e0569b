//! What the system knows about this process: processor time, memory, bytes written.

use std::{fs, time::Duration};

use rustix::time::{ClockId, clock_gettime};

use crate::Fallible;

/// Processor time of all threads, those that have ended included, user and system.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The number behind `name:` in a file of `/proc/self`.
fn field(file: &str, name: &str) -> Fallible<u64> {
    let text = fs::read_to_string(format!("/proc/self/{file}"))?;
    parse(&text, name).ok_or_else(|| format!("/proc/self/{file} says nothing of {name}").into())
}

fn parse(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The most memory that was resident at once since the process began, in bytes.
pub(crate) fn peak_resident_bytes() -> Fallible<u64> {
    Ok(field("status", "VmHWM")? << 10)
}

/// What is resident now and belongs to no file, in bytes: heap and stacks.
pub(crate) fn anonymous_bytes() -> Fallible<u64> {
    Ok(field("smaps_rollup", "Anonymous")? << 10)
}

/// Bytes that this process has handed to the system's write calls.
pub(crate) fn bytes_written() -> Fallible<u64> {
    field("io", "wchar")
}

#[cfg(test)]
mod tests {
    use super::{anonymous_bytes, cpu_time, parse, peak_resident_bytes};

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "VmRSSx:\t1 kB\nVmRSS:\t   42 kB\n";
        assert_eq!((parse(text, "VmRSS"), parse(text, "VmHWM")), (Some(42), None));
    }

    #[test]
    fn memory_that_is_touched_is_resident() {
        let before = anonymous_bytes().unwrap();
        let memory = std::hint::black_box(vec![1_u8; 32 << 20]);
        assert!(anonymous_bytes().unwrap() >= before + (30 << 20));
        drop(memory);
        assert!(peak_resident_bytes().unwrap() >= 30 << 20 && !cpu_time().is_zero());
    }
}
