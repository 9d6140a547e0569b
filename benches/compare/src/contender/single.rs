//! `limit-durable`: one thread writes each record over blocks that are there already, and syncs.

use std::{
    cell::Cell,
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Mutex, PoisonError},
};

use crate::{
    Fallible,
    contender::{Appender, Size, Subject},
    frames::{self, FRAME_BYTES},
    record::Tally,
};

pub(crate) struct Single {
    file: File,
    syncs: Mutex<Cell<u64>>,
}

impl Subject for Single {
    type Appender<'a> = Writer<'a>;

    fn create(dir: &Path, size: Size) -> Fallible<Self> {
        if size.writers != 1 {
            return Err("this yardstick is of one writer".into());
        }
        let file = frames::written_file(&dir.join("plain"), size.file_bytes(FRAME_BYTES))?;
        Ok(Self { file, syncs: Mutex::default() })
    }

    fn appender(&self, _writer: u32) -> Fallible<Writer<'_>> {
        Ok(Writer { single: self, at: 0, frame: Vec::new() })
    }

    fn sync(&self) -> Fallible {
        self.file.sync_data()?;
        Ok(())
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.syncs.lock().unwrap_or_else(PoisonError::into_inner).get())
    }

    fn read_back(self, _dir: &Path, tally: &mut Tally) -> Fallible {
        frames::tally(&self.file, 0, tally)
    }
}

pub(crate) struct Writer<'a> {
    single: &'a Single,
    at: u64,
    frame: Vec<u8>,
}

impl Appender for Writer<'_> {
    fn append(&mut self, record: &[u8]) -> Fallible {
        self.frame.clear();
        frames::push(&mut self.frame, record);
        self.single.file.write_all_at(&self.frame, self.at)?;
        self.at += self.frame.len() as u64;
        Ok(())
    }

    fn append_durable(&mut self, record: &[u8]) -> Fallible {
        self.append(record)?;
        self.single.sync()?;
        let syncs = self.single.syncs.lock().unwrap_or_else(PoisonError::into_inner);
        syncs.set(syncs.get() + 1);
        Ok(())
    }
}
