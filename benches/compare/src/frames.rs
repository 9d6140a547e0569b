//! The plain frames of the yardsticks: length, CRC-32, payload.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use crate::{Fallible, record::Tally};

/// Length and checksum.
pub(crate) const FRAME_BYTES: usize = 8;
const CHUNK_BYTES: usize = 1 << 20;

/// Frames a record into a buffer.
#[inline]
pub(crate) fn push(buffer: &mut Vec<u8>, record: &[u8]) {
    buffer.extend_from_slice(&(record.len() as u32).to_le_bytes());
    buffer.extend_from_slice(&crc32fast::hash(record).to_le_bytes());
    buffer.extend_from_slice(record);
}

/// A file whose blocks are written, so that a sync commits no file-system metadata.
pub(crate) fn written_file(path: &Path, bytes: u64) -> Fallible<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    // Ones are no frame: they say a length that no record has.
    let chunk = vec![0xff; CHUNK_BYTES];
    let mut at = 0;
    while at < bytes {
        let len = (bytes - at).min(CHUNK_BYTES as u64);
        file.write_all_at(&chunk[..len as usize], at)?;
        at += len;
    }
    file.sync_all()?;
    Ok(file)
}

/// The frames from `from` on, up to the first bytes that are none, handed to `each`. Returns how many bytes they take.
pub(crate) fn read(file: &File, from: u64, mut each: impl FnMut(&[u8]) -> Fallible) -> Fallible<u64> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let (mut at, mut have) = (from, 0);
    loop {
        let read = file.read_at(&mut buffer[have..], at + have as u64)?;
        have += read;
        let mut rest = &buffer[..have];
        while let Some((header, behind)) = rest.split_at_checked(FRAME_BYTES) {
            let (len, checksum) = header.split_at(4);
            let len = u32::from_le_bytes(len.try_into()?) as usize;
            if len == 0 || len > CHUNK_BYTES - FRAME_BYTES {
                return Ok(at + (have - rest.len()) as u64 - from);
            }
            let Some((record, behind)) = behind.split_at_checked(len) else { break };
            if crc32fast::hash(record).to_le_bytes() != checksum {
                return Err(format!("wrong checksum at {}", at + (have - rest.len()) as u64).into());
            }
            each(record)?;
            rest = behind;
        }
        let left = rest.len();
        at += (have - left) as u64;
        if read == 0 {
            return Ok(at - from);
        }
        buffer.copy_within(have - left..have, 0);
        have = left;
    }
}

/// Counts the frames from `from` on.
pub(crate) fn tally(file: &File, from: u64, tally: &mut Tally) -> Fallible {
    read(file, from, |record| tally.add(record)).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::{FRAME_BYTES, push, read, written_file};

    #[test]
    fn frames_are_read_back_across_chunks_up_to_what_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = written_file(&dir.path().join("frames"), 4 << 20).unwrap();
        let mut bytes = Vec::new();
        let record = [7; 1000];
        for _ in 0..3000 {
            push(&mut bytes, &record);
        }
        file.write_all_at(&bytes, 0).unwrap();
        let mut count = 0;
        let end = read(&file, 0, |found| {
            assert_eq!(found, record);
            count += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!((count, end), (3000, 3000 * (FRAME_BYTES as u64 + 1000)));
        file.write_all_at(&[8], 500).unwrap();
        read(&file, 0, |_| Ok(())).unwrap_err();
    }
}
