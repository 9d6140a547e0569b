//! Whole reads and writes at a position, made of the partial ones that systems offer.
//!
//! Owns the loops and the one call per system beneath each. Refuses to interpret errors, beyond repeating what a signal
//! interrupted.
//!
//! # Invariants
//!
//! - **L1 (progress or an end):** every round moves on by at least one byte, ends the call, or was interrupted by a
//!   signal.

use std::{
    fs::File,
    io::{self, IoSlice},
};

use crate::OFFSET_MAX;

/// How many slices go to the system at once: below every system's limit (1,024 on Linux, macOS and the BSDs), and
/// enough to make the call's own cost small.
const SLICES_MAX: usize = 64;

/// Reads until `dst` is full or the file ends.
pub(super) fn read(file: &File, dst: &mut [u8], offset: u64) -> io::Result<usize> {
    read_by(|dst, offset| read_some(file, dst, offset), dst, offset)
}

/// Reads a range of which the last part lies beyond every possible file.
pub(super) fn read_to_greatest(file: &File, dst: &mut [u8], offset: u64) -> io::Result<usize> {
    match OFFSET_MAX.checked_sub(offset).and_then(|room| usize::try_from(room).ok()) {
        Some(room) if room > 0 => read(file, &mut dst[..room], offset),
        _ => Ok(0),
    }
}

pub(super) fn write_all(file: &File, src: &[u8], offset: u64) -> io::Result<()> {
    write_by(|srcs, offset| write_some(file, &srcs[0], offset), &[IoSlice::new(src)], offset)
}

pub(super) fn write_all_vectored(file: &File, srcs: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
    write_by(|srcs, offset| write_some_vectored(file, srcs, offset), srcs, offset)
}

fn read_by(
    mut read_some: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
    dst: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    let mut done = 0;
    while done < dst.len() {
        match read_some(&mut dst[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(bytes) => done += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes all slices by calls that take at least one slice, of which the first is not empty, and say how many bytes they
/// wrote.
fn write_by(
    mut write_some: impl FnMut(&[IoSlice<'_>], u64) -> io::Result<usize>,
    srcs: &[IoSlice<'_>],
    offset: u64,
) -> io::Result<()> {
    let mut at = offset;
    // The first slice that is not wholly written, and how much of it is.
    let (mut index, mut written) = (0, 0);
    loop {
        let mut batch = [IoSlice::new(&[]); SLICES_MAX];
        let mut filled = 0;
        for (distance, src) in srcs[index..].iter().enumerate() {
            let rest = if distance == 0 { &src[written..] } else { &src[..] };
            if rest.is_empty() {
                continue;
            }
            if filled == SLICES_MAX {
                break;
            }
            batch[filled] = IoSlice::new(rest);
            filled += 1;
        }
        if filled == 0 {
            return Ok(());
        }
        let mut bytes = match write_some(&batch[..filled], at) {
            Ok(0) => {
                return Err(io::Error::new(io::ErrorKind::WriteZero, "the system wrote nothing and did not say why"));
            }
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        at += bytes as u64;
        while bytes >= srcs[index].len() - written {
            bytes -= srcs[index].len() - written;
            (index, written) = (index + 1, 0);
            if index == srcs.len() {
                assert_eq!(bytes, 0, "the system reported {bytes} bytes more than it was given");
                return Ok(());
            }
        }
        written += bytes;
    }
}

#[cfg(unix)]
fn read_some(file: &File, dst: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, dst, offset)
}

#[cfg(unix)]
fn write_some(file: &File, src: &[u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, src, offset)
}

// These two move the handle's cursor too, which does no harm: nobody uses it.
#[cfg(windows)]
fn read_some(file: &File, dst: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, dst, offset)
}

#[cfg(windows)]
fn write_some(file: &File, src: &[u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, src, offset)
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "macos", target_os = "freebsd"))]
fn write_some_vectored(file: &File, srcs: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    Ok(rustix::io::pwritev(file, srcs, offset)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "macos", target_os = "freebsd")))]
fn write_some_vectored(file: &File, srcs: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    write_some(file, &srcs[0], offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system that interrupts every third call and otherwise writes at most `most` bytes of the slices it got.
    fn write_in_bits(
        disk: &mut Vec<u8>,
        calls: &mut usize,
        most: usize,
        srcs: &[IoSlice<'_>],
        at: u64,
    ) -> io::Result<usize> {
        *calls += 1;
        assert!(!srcs.is_empty() && srcs.len() <= SLICES_MAX, "{} slices in one call", srcs.len());
        assert!(!srcs[0].is_empty(), "an empty first slice would look like no progress");
        if calls.is_multiple_of(3) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let bytes: Vec<u8> = srcs.iter().flat_map(|src| src.iter().copied()).take(most).collect();
        let at = at as usize;
        disk.resize(disk.len().max(at + bytes.len()), 0);
        disk[at..at + bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    #[test]
    fn partial_and_interrupted_writes_are_completed() {
        for slices in [0, 1, 2, SLICES_MAX - 1, SLICES_MAX, SLICES_MAX + 1, 3 * SLICES_MAX + 5] {
            for most in [1, 2, 7, 100, usize::MAX] {
                // Lengths 0 to 4, so that empty slices stand at the front, in the middle and at the end.
                let pieces: Vec<Vec<u8>> =
                    (0..slices).map(|i| (0..i % 5).map(|j| (i * 5 + j) as u8).collect()).collect();
                let srcs: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
                let (mut disk, mut calls) = (Vec::new(), 0);
                write_by(|srcs, at| write_in_bits(&mut disk, &mut calls, most, srcs, at), &srcs, 3).unwrap();
                let expected: Vec<u8> = pieces.concat();
                let found = disk.get(3..).unwrap_or_default();
                assert_eq!(found, expected, "{slices} slices, at most {most} bytes a call");
            }
        }
    }

    #[test]
    fn a_write_that_makes_no_progress_is_an_error() {
        let error = write_by(|_, _| Ok(0), &[IoSlice::new(b"x")], 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }

    #[test]
    fn a_write_error_ends_the_write() {
        let mut calls = 0;
        let fail = |_: &[IoSlice<'_>], _| {
            calls += 1;
            if calls == 1 { Ok(1) } else { Err(io::ErrorKind::StorageFull.into()) }
        };
        let error = write_by(fail, &[IoSlice::new(b"xyz")], 0).unwrap_err();
        assert_eq!((error.kind(), calls), (io::ErrorKind::StorageFull, 2));
    }

    #[test]
    fn partial_and_interrupted_reads_are_completed_up_to_the_end() {
        let disk: Vec<u8> = (0..100).collect();
        for (offset, wanted, expected) in
            [(0, 100, 100), (0, 101, 100), (99, 5, 1), (100, 5, 0), (40, 20, 20), (7, 0, 0)]
        {
            let mut calls = 0usize;
            let mut dst = vec![0xee; wanted];
            let read_some = |dst: &mut [u8], at: u64| {
                calls += 1;
                if calls.is_multiple_of(3) {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                let rest = &disk[at as usize..];
                let bytes = rest.len().min(dst.len()).min(3);
                dst[..bytes].copy_from_slice(&rest[..bytes]);
                Ok(bytes)
            };
            assert_eq!(read_by(read_some, &mut dst, offset).unwrap(), expected, "{wanted} bytes at {offset}");
            assert_eq!(dst[..expected], disk[offset as usize..offset as usize + expected]);
        }
    }
}
