//! Preallocation, and giving space back.
//!
//! Owns the order of steps by which a file gets longer without losing anything when the disk is full. Refuses to touch
//! bytes below the present end of the file, but to make holes where it is told to.
//!
//! # Invariants
//!
//! - **G1 (all or nothing):** on an error the length is set back to what it was; should that fail too, what was added
//!   reads as zeros.

use std::{fs::File, io};

use super::positional;

/// How many zeros are written at once.
const ZEROS_BYTES: usize = 1 << 16;

/// Reserves from `offset` to `end`, which is greater. The caller keeps others from cutting the file meanwhile.
pub(super) fn preallocate(file: &File, offset: u64, end: u64) -> io::Result<()> {
    or_restore_length(file, |len_before| reserve(file, offset, end, len_before))
}

fn or_restore_length(file: &File, grow: impl FnOnce(u64) -> io::Result<()>) -> io::Result<()> {
    let len_before = file.metadata()?.len();
    let result = grow(len_before);
    if result.is_err() && file.metadata().is_ok_and(|metadata| metadata.len() > len_before) {
        // Gives back what was reserved before the disk was full. The first error is the one to report; if this fails as
        // well the file is longer than before, by zeros.
        let _ = file.set_len(len_before);
    }
    result
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn reserve(file: &File, offset: u64, end: u64, len_before: u64) -> io::Result<()> {
    use rustix::{fs::FallocateFlags, io::Errno};
    loop {
        match rustix::fs::fallocate(file, FallocateFlags::empty(), offset, end - offset) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return fill_with_zeros(file, offset, end, len_before),
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn reserve(file: &File, offset: u64, end: u64, len_before: u64) -> io::Result<()> {
    fill_with_zeros(file, offset, end, len_before)
}

/// Sets the length and writes zeros over the part that is new, which makes the file system find the blocks. Holes below
/// the old end stay holes: filling those could overwrite what another thread is writing there.
fn fill_with_zeros(file: &File, offset: u64, end: u64, len_before: u64) -> io::Result<()> {
    if end <= len_before {
        return Ok(());
    }
    file.set_len(end)?;
    let zeros = vec![0; ZEROS_BYTES];
    let mut at = offset.max(len_before);
    while at < end {
        let bytes = usize::try_from(end - at).map_or(ZEROS_BYTES, |left| left.min(ZEROS_BYTES));
        positional::write_all(file, &zeros[..bytes], at)?;
        at += bytes as u64;
    }
    Ok(())
}

/// Makes a hole. `false` where the file system cannot.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn give_back(file: &File, offset: u64, len: u64) -> io::Result<bool> {
    use rustix::{
        fs::{FallocateFlags, fallocate},
        io::Errno,
    };
    match fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn give_back(_: &File, _: u64, _: u64) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_growth_restores_the_length_and_keeps_the_bytes() {
        let file = tempfile::tempfile().unwrap();
        positional::write_all(&file, b"kept", 0).unwrap();
        let grow_and_fail = |len_before| {
            assert_eq!(len_before, 4);
            file.set_len(1000)?;
            positional::write_all(&file, &[0; 10], 4)?;
            Err(io::ErrorKind::StorageFull.into())
        };
        let error = or_restore_length(&file, grow_and_fail).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let mut bytes = [0; 5];
        assert_eq!(positional::read(&file, &mut bytes, 0).unwrap(), 4);
        assert_eq!(&bytes[..4], b"kept");
    }

    #[test]
    fn filling_with_zeros_keeps_what_was_there_and_reserves_the_rest() {
        let file = tempfile::tempfile().unwrap();
        positional::write_all(&file, &[7; 1000], 0).unwrap();
        // Below the end: nothing to do. Across the end, and beyond it with a gap: longer, by zeros.
        for (offset, end, expected_len) in
            [(10, 900, 1000), (500, 2000, 2000), (3 << 16, (5 << 16) + 1, (5 << 16) + 1), (0, 4096, (5 << 16) + 1)]
        {
            let len = file.metadata().unwrap().len();
            fill_with_zeros(&file, offset, end, len).unwrap();
            assert_eq!(file.metadata().unwrap().len(), expected_len, "{offset}..{end}");
        }
        let mut bytes = vec![0xee; (5 << 16) + 1];
        assert_eq!(positional::read(&file, &mut bytes, 0).unwrap(), bytes.len());
        assert!(bytes[..1000].iter().all(|&byte| byte == 7));
        assert!(bytes[1000..].iter().all(|&byte| byte == 0));
    }
}
