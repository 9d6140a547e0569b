//! The clauses about the bytes and the length of one file, used by one thread through one handle.
//!
//! Owns a plain model of a file, a `Vec<u8>`, against which sequences of operations are compared. Refuses large files: a
//! storage may keep them in memory.
//!
//! # Invariants
//!
//! C1 and C2 of the suite.

use std::{
    io::{ErrorKind, IoSlice},
    sync::Arc,
};

use super::{Expected, Violation, ensure, expect_bytes, expect_error};
use crate::{OFFSET_MAX, Storage, StorageFile};

/// Bytes of which none is zero and neighbours differ, so that shifted, lost and zeroed bytes all show.
fn pattern(bytes: usize, salt: usize) -> Vec<u8> {
    (0..bytes).map(|i| ((i * 7 + salt * 31) % 255) as u8 + 1).collect()
}

fn file_with(storage: &dyn Storage, bytes: &[u8]) -> Result<Arc<dyn StorageFile>, Violation> {
    let file = storage.create("file").expected("creating")?;
    file.write_all_at(bytes, 0).expected("writing")?;
    Ok(file)
}

pub(super) fn reads_are_short_only_at_the_end(storage: &dyn Storage) -> Result<(), Violation> {
    let content = pattern(10_000, 0);
    let file = file_with(storage, &content)?;
    for offset in [0, 1, 4095, 4096, 9_999, 10_000, 10_001, 1 << 40, OFFSET_MAX - 1, OFFSET_MAX, u64::MAX] {
        for wanted in [0, 1, 511, 4096, 10_000, 20_000] {
            let below = &content[usize::try_from(offset).map_or(content.len(), |at| at.min(content.len()))..];
            let expected = &below[..below.len().min(wanted)];
            let mut found = vec![0xee; wanted];
            let read = file.read_at(&mut found, offset).expected("reading")?;
            ensure!(read == expected.len(), "{wanted} bytes at {offset}: {read} were read and not {}", expected.len());
            ensure!(found[..read] == *expected, "{wanted} bytes at {offset}: they are not what was written");
        }
    }
    Ok(())
}

pub(super) fn exact_reads_beyond_the_end_fail(storage: &dyn Storage) -> Result<(), Violation> {
    let file = file_with(storage, &pattern(100, 0))?;
    let mut dst = [0; 10];
    file.read_exact_at(&mut dst, 90).expected("reading the last bytes")?;
    ensure!(dst[..] == pattern(100, 0)[90..], "the last bytes are not what was written");
    for offset in [91, 100, 101, OFFSET_MAX] {
        let what = format!("reading exactly 10 bytes at {offset} of 100");
        expect_error(file.read_exact_at(&mut dst, offset), &[ErrorKind::UnexpectedEof], &what)?;
    }
    file.read_exact_at(&mut [], 100).expected("reading nothing at the end")
}

pub(super) fn writes_beyond_the_end_extend_with_zeros(storage: &dyn Storage) -> Result<(), Violation> {
    let file = storage.create("file").expected("creating")?;
    let mut model = Vec::new();
    for (offset, bytes) in [(10, 5), (15, 1), (5000, 3), (4000, 2000), (100_000, 1)] {
        let src = pattern(bytes, offset);
        file.write_all_at(&src, offset as u64).expected("writing beyond the end")?;
        model.resize(model.len().max(offset + bytes), 0);
        model[offset..offset + bytes].copy_from_slice(&src);
        expect_bytes(&*file, &model, &format!("after {bytes} bytes at {offset}"))?;
    }
    Ok(())
}

pub(super) fn writes_change_only_their_range(storage: &dyn Storage) -> Result<(), Violation> {
    let mut model = pattern(20_000, 0);
    let file = file_with(storage, &model)?;
    for (offset, bytes) in [(0, 1), (19_999, 1), (511, 2), (4095, 4098), (1000, 513), (0, 20_000)] {
        let src = pattern(bytes, offset + 1);
        file.write_all_at(&src, offset as u64).expected("overwriting")?;
        model[offset..offset + bytes].copy_from_slice(&src);
        expect_bytes(&*file, &model, &format!("after {bytes} bytes over {offset}"))?;
    }
    Ok(())
}

pub(super) fn empty_writes_change_nothing(storage: &dyn Storage) -> Result<(), Violation> {
    let content = pattern(100, 0);
    let file = file_with(storage, &content)?;
    for offset in [0, 50, 100, 5000] {
        file.write_all_at(&[], offset).expected("writing nothing")?;
        file.write_all_vectored_at(&[], offset).expected("writing no slices")?;
        file.write_all_vectored_at(&[IoSlice::new(&[]), IoSlice::new(&[])], offset).expected("writing empty slices")?;
        file.preallocate(offset, 0).expected("preallocating nothing")?;
        expect_bytes(&*file, &content, &format!("after writing nothing at {offset}"))?;
    }
    Ok(())
}

pub(super) fn set_len_cuts_and_extends_with_zeros(storage: &dyn Storage) -> Result<(), Violation> {
    let mut model = pattern(10_000, 0);
    let file = file_with(storage, &model)?;
    for len in [10_000, 9_999, 12_000, 5_000, 5_000, 20_000, 4_096, 4_097, 1, 600, 0, 0, 30] {
        file.set_len(len as u64).expected("setting the length")?;
        model.resize(len, 0);
        expect_bytes(&*file, &model, &format!("after the length was set to {len}"))?;
    }
    Ok(())
}

pub(super) fn preallocation_keeps_bytes_and_extends_with_zeros(storage: &dyn Storage) -> Result<(), Violation> {
    let mut model = pattern(5_000, 0);
    let file = file_with(storage, &model)?;
    for (offset, len) in [(0, 10), (4_990, 10), (4_990, 11), (0, 8_192), (100_000, 70_000), (0, 1), (0, 200_000)] {
        file.preallocate(offset as u64, len as u64).expected("preallocating")?;
        model.resize(model.len().max(offset + len), 0);
        expect_bytes(&*file, &model, &format!("after {len} bytes at {offset} were preallocated"))?;
    }
    let src = pattern(100_000, 1);
    file.write_all_at(&src, 50_000).expected("writing into preallocated space")?;
    model[50_000..150_000].copy_from_slice(&src);
    expect_bytes(&*file, &model, "after a write into preallocated space")
}

pub(super) fn vectored_writes_equal_plain_ones(storage: &dyn Storage) -> Result<(), Violation> {
    let file = storage.create("file").expected("creating")?;
    let mut model = Vec::new();
    // More slices than any system takes in one call; lengths 0 to 12, and in the last round some large ones.
    for (round, slices) in [1, 2, 3, 63, 64, 65, 1_023, 1_024, 1_025, 5_000, 20].into_iter().enumerate() {
        let bytes = |i: usize| if slices == 20 { i * 10_000 } else { (i * 5 + round) % 13 };
        let pieces: Vec<Vec<u8>> = (0..slices).map(|i| pattern(bytes(i), i + round)).collect();
        let srcs: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let offset = round * 700;
        file.write_all_vectored_at(&srcs, offset as u64).expected("writing many slices")?;
        let joined = pieces.concat();
        if !joined.is_empty() {
            model.resize(model.len().max(offset + joined.len()), 0);
            model[offset..offset + joined.len()].copy_from_slice(&joined);
        }
        expect_bytes(&*file, &model, &format!("after {slices} slices at {offset}"))?;
    }
    Ok(())
}

pub(super) fn ends_above_the_greatest_offset_are_refused(storage: &dyn Storage) -> Result<(), Violation> {
    let content = pattern(100, 0);
    let file = file_with(storage, &content)?;
    let refused = [ErrorKind::InvalidInput, ErrorKind::FileTooLarge];
    for offset in [OFFSET_MAX, u64::MAX - 1, u64::MAX] {
        let what = format!("at {offset}");
        expect_error(file.write_all_at(b"xx", offset), &refused, &format!("writing {what}"))?;
        let srcs = [IoSlice::new(b"x"), IoSlice::new(b"x")];
        expect_error(file.write_all_vectored_at(&srcs, offset), &refused, &format!("writing slices {what}"))?;
        expect_error(file.preallocate(offset, 2), &refused, &format!("preallocating {what}"))?;
        expect_error(file.preallocate(2, offset), &refused, &format!("preallocating as much as {offset}"))?;
    }
    for len in [OFFSET_MAX + 1, u64::MAX] {
        expect_error(file.set_len(len), &refused, &format!("setting the length to {len}"))?;
    }
    expect_bytes(&*file, &content, "after writes were refused")
}

/// A thousand operations drawn by a small fixed generator, each compared with the model.
pub(super) fn any_sequence_gives_the_expected_bytes(storage: &dyn Storage) -> Result<(), Violation> {
    let file = storage.create("file").expected("creating")?;
    let mut model: Vec<u8> = Vec::new();
    let mut state = 1u64;
    let mut draw = |below: u64| {
        // Knuth's MMIX generator; its high bits are good enough to choose an operation.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % below) as usize
    };
    for step in 0..1_000 {
        let (offset, bytes) = (draw(40_000), draw(5_000));
        let src = pattern(bytes, step);
        let end = offset + bytes;
        match draw(8) {
            0 => {
                file.set_len(offset as u64).expected("setting the length")?;
                model.resize(offset, 0);
            }
            1 => {
                file.preallocate(offset as u64, bytes as u64).expected("preallocating")?;
                if bytes > 0 {
                    model.resize(model.len().max(end), 0);
                }
            }
            vectored @ 2.. => {
                if vectored < 5 {
                    let (front, back) = src.split_at(draw(bytes as u64 + 1));
                    let srcs = [IoSlice::new(front), IoSlice::new(back)];
                    file.write_all_vectored_at(&srcs, offset as u64).expected("writing two slices")?;
                } else {
                    file.write_all_at(&src, offset as u64).expected("writing")?;
                }
                if bytes > 0 {
                    model.resize(model.len().max(end), 0);
                    model[offset..end].copy_from_slice(&src);
                }
            }
        }
        expect_bytes(&*file, &model, &format!("after step {step}"))?;
    }
    Ok(())
}

pub(super) fn syncs_succeed_and_change_nothing(storage: &dyn Storage) -> Result<(), Violation> {
    let mut model = pattern(3_000, 0);
    let file = file_with(storage, &model)?;
    for round in 0..3 {
        file.sync_data().expected("syncing the data")?;
        expect_bytes(&*file, &model, "after a sync of the data")?;
        file.sync_all().expected("syncing everything")?;
        expect_bytes(&*file, &model, "after a sync of everything")?;
        let src = pattern(100, round + 1);
        file.write_all_at(&src, 2_950).expected("writing after a sync")?;
        model.resize(3_050, 0);
        model[2_950..].copy_from_slice(&src);
        expect_bytes(&*file, &model, "after a write after a sync")?;
    }
    Ok(())
}
