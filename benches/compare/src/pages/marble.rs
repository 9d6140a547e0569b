//! marble: a heap of objects for somebody else's log. It writes batches only, each to a file of its own, so each thread hands
//! over what it has written when it is to be durable, and looks into what it has not handed over yet when it reads. It has no
//! cache. Each thread needs a clone. Somebody has to call its maintenance: here a thread that does nothing else.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{Handle, Pages, Size};
use crate::Fallible;

/// How long its maintenance rests.
const REST: Duration = Duration::from_millis(10);

pub(crate) struct Marble {
    heap: Mutex<marble::Marble>,
    stop: Arc<AtomicBool>,
    maintenance: Option<JoinHandle<()>>,
}

impl Pages for Marble {
    type Handle<'a> = Pending;

    fn open(dir: &Path, _size: Size) -> Fallible<Self> {
        let config = marble::Config { path: dir.to_owned(), fsync_each_batch: true, ..marble::Config::default() };
        let heap = config.open()?;
        let stop = Arc::new(AtomicBool::new(false));
        let maintenance = {
            let (heap, stop) = (heap.clone(), stop.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // What it fails of shows in the space that is taken.
                    drop(heap.maintenance());
                    thread::sleep(REST);
                }
            })
        };
        Ok(Self { heap: Mutex::new(heap), stop, maintenance: Some(maintenance) })
    }

    fn handle(&self) -> Pending {
        let heap = self.heap.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Pending { heap, pages: HashMap::new() }
    }
}

impl Drop for Marble {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.maintenance.take().map(JoinHandle::join));
    }
}

pub(crate) struct Pending {
    heap: marble::Marble,
    pages: HashMap<u32, Vec<u8>>,
}

impl Handle for Pending {
    fn get(&mut self, page: u32, look: &mut dyn FnMut(&[u8])) -> Fallible {
        if let Some(content) = self.pages.get(&page) {
            look(content);
        } else {
            look(&self.heap.read(u64::from(page) + 1)?.ok_or("a page is not there")?);
        }
        Ok(())
    }

    fn replace(&mut self, page: u32, content: &[u8]) -> Fallible {
        self.pages.insert(page, content.to_vec());
        Ok(())
    }

    fn flush(&mut self) -> Fallible {
        self.heap.write_batch(self.pages.drain().map(|(page, content)| (u64::from(page) + 1, Some(content))))?;
        Ok(())
    }
}
