//! Claim, fill, complete: the path of an append, over a storage that forgets.

use std::{
    io::{self, IoSlice},
    sync::Arc,
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use esker_format::{Epoch, FileOffset, LogId, Lsn, MessageKind, SegmentBytes};
use esker_iobufs::{ActiveSegment, IoBufs, Options, SegmentSource, SourceError};
use esker_storage::StorageFile;

/// A file that takes everything and keeps nothing.
#[derive(Debug)]
struct NullFile;

impl StorageFile for NullFile {
    fn len(&self) -> io::Result<u64> {
        Ok(0)
    }
    fn set_len(&self, _len: u64) -> io::Result<()> {
        Ok(())
    }
    fn read_at(&self, _dst: &mut [u8], _offset: u64) -> io::Result<usize> {
        Ok(0)
    }
    fn write_all_at(&self, _src: &[u8], _offset: u64) -> io::Result<()> {
        Ok(())
    }
    fn write_all_vectored_at(&self, _srcs: &[IoSlice<'_>], _offset: u64) -> io::Result<()> {
        Ok(())
    }
    fn preallocate(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }
}

struct Endless;

impl SegmentSource for Endless {
    fn activate(&self, base: Lsn) -> Result<ActiveSegment, SourceError> {
        Ok(ActiveSegment { offset: FileOffset::new(base.get()), floor: Lsn::ZERO })
    }
    fn stable_to(&self, _stable: Lsn) {}
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("iobufs/append");
    for len in [64u32, 256, 4096] {
        let options = Options {
            buffer_bytes: 1 << 20,
            buffers: 8,
            segment_bytes: SegmentBytes::new(16 << 20).expect("a power of two"),
            log_id: LogId::from_bytes([7; 16]),
            epoch: Epoch::new(1),
            tip: Lsn::ZERO,
            tip_segment: FileOffset::ZERO,
        };
        let engine = IoBufs::start(Arc::new(NullFile), Arc::new(Endless), options).expect("valid options");
        let payload = vec![7; len as usize];
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
            bencher.iter(|| {
                let mut reservation = engine.reserve(MessageKind::Inline, len).expect("there is room");
                reservation.payload_mut().copy_from_slice(&payload);
                reservation.complete()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, append);
criterion_main!(benches);
