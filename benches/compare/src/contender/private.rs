//! `limit-memory` and `limit-buffered`: each writer has a buffer of its own, and shares nothing with the others.
//! Where somebody syncs all the while, it is the thread of `limit-durable`, with a file of its own.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use crate::{
    Fallible,
    contender::{
        Appender, Size, Subject,
        single::{self, Single},
    },
    frames::{self, FRAME_BYTES},
    record::Tally,
};

/// The file of the buffered ones.
pub(crate) const FILE: &str = "plain";
const BUFFER_BYTES: usize = 8 << 20;

/// Buffers that are copied to, checksummed and thrown away.
pub(crate) struct Memory;

/// The same, and a file for the one thread more that syncs.
pub(crate) struct Apart {
    single: Single,
    writers: u32,
}

/// Buffers that are written to each writer's part of one file.
pub(crate) struct Buffered {
    file: File,
    part_bytes: u64,
    writers: u64,
}

impl Subject for Memory {
    type Appender<'a> = Forgetful;

    fn create(_dir: &Path, _size: Size) -> Fallible<Self> {
        Ok(Self)
    }

    fn appender(&self, writer: u32) -> Fallible<Forgetful> {
        Ok(Forgetful { buffer: touched(), writer: writer as usize, appended: 0 })
    }

    fn sync(&self) -> Fallible {
        Ok(())
    }

    fn read_back(self, _dir: &Path, _tally: &mut Tally) -> Fallible {
        Err("nothing was kept".into())
    }
}

impl Subject for Apart {
    type Appender<'a> = Either<'a>;

    fn create(dir: &Path, size: Size) -> Fallible<Self> {
        Ok(Self { single: Single::create(dir, Size { writers: 1, ..size })?, writers: size.writers })
    }

    fn appender(&self, writer: u32) -> Fallible<Either<'_>> {
        Ok(if writer < self.writers {
            Either::Forgetful(Memory.appender(writer)?)
        } else {
            Either::Durable(self.single.appender(writer)?)
        })
    }

    fn sync(&self) -> Fallible {
        self.single.sync()
    }

    fn read_back(self, _dir: &Path, _tally: &mut Tally) -> Fallible {
        Err("nothing was kept".into())
    }
}

impl Subject for Buffered {
    type Appender<'a> = Part<'a>;

    fn create(dir: &Path, size: Size) -> Fallible<Self> {
        let writers = u64::from(size.writers);
        let part_bytes = (size.file_bytes(FRAME_BYTES) / writers).next_multiple_of(BUFFER_BYTES as u64);
        let file = frames::written_file(&dir.join(FILE), part_bytes * writers)?;
        Ok(Self { file, part_bytes, writers })
    }

    fn appender(&self, writer: u32) -> Fallible<Part<'_>> {
        let at = u64::from(writer) * self.part_bytes;
        Ok(Part { file: &self.file, at, end: at + self.part_bytes, buffer: touched() })
    }

    fn sync(&self) -> Fallible {
        self.file.sync_data()?;
        Ok(())
    }

    fn read_back(self, _dir: &Path, tally: &mut Tally) -> Fallible {
        for writer in 0..self.writers {
            frames::tally(&self.file, writer * self.part_bytes, tally)?;
        }
        Ok(())
    }
}

/// A buffer whose memory is there already.
fn touched() -> Vec<u8> {
    let mut buffer = vec![1; BUFFER_BYTES];
    buffer.clear();
    buffer
}

pub(crate) struct Forgetful {
    buffer: Vec<u8>,
    writer: usize,
    appended: u64,
}

impl Appender for Forgetful {
    #[inline]
    fn append(&mut self, record: &[u8]) -> Fallible {
        if self.buffer.len() + record.len() + FRAME_BYTES > BUFFER_BYTES {
            std::hint::black_box(&self.buffer);
            self.buffer.clear();
        }
        frames::push(&mut self.buffer, record);
        self.appended += 1;
        Ok(())
    }

    fn append_durable(&mut self, _record: &[u8]) -> Fallible {
        Err("nothing is durable here".into())
    }

    fn finish(&mut self) -> Fallible {
        std::hint::black_box((&self.buffer, self.writer, self.appended));
        Ok(())
    }
}

/// What a thread beside [`Apart`] does.
pub(crate) enum Either<'a> {
    Forgetful(Forgetful),
    Durable(single::Writer<'a>),
}

impl Appender for Either<'_> {
    #[inline]
    fn append(&mut self, record: &[u8]) -> Fallible {
        match self {
            Self::Forgetful(appender) => appender.append(record),
            Self::Durable(appender) => appender.append(record),
        }
    }

    fn append_durable(&mut self, record: &[u8]) -> Fallible {
        match self {
            Self::Forgetful(appender) => appender.append_durable(record),
            Self::Durable(appender) => appender.append_durable(record),
        }
    }

    fn finish(&mut self) -> Fallible {
        match self {
            Self::Forgetful(appender) => appender.finish(),
            Self::Durable(appender) => appender.finish(),
        }
    }
}

pub(crate) struct Part<'a> {
    file: &'a File,
    at: u64,
    end: u64,
    buffer: Vec<u8>,
}

impl Part<'_> {
    fn write(&mut self) -> Fallible {
        if self.at + self.buffer.len() as u64 > self.end {
            return Err("a writer's part of the file is full".into());
        }
        self.file.write_all_at(&self.buffer, self.at)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Appender for Part<'_> {
    #[inline]
    fn append(&mut self, record: &[u8]) -> Fallible {
        if self.buffer.len() + record.len() + FRAME_BYTES > BUFFER_BYTES {
            self.write()?;
        }
        frames::push(&mut self.buffer, record);
        Ok(())
    }

    fn append_durable(&mut self, _record: &[u8]) -> Fallible {
        Err("this yardstick syncs at the end only".into())
    }

    fn finish(&mut self) -> Fallible {
        self.write()
    }
}
