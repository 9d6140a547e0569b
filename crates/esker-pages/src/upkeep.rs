//! The store's own thread.

use std::{io, sync::Arc};

use crate::{Error, store::Inner, sync::thread};

/// The thread, which ends when this is dropped.
pub(crate) struct Upkeep {
    inner: Arc<Inner>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Upkeep {
    pub(crate) fn start(inner: Arc<Inner>) -> Result<Self, Error> {
        let work = inner.clone();
        let thread = thread::Builder::new().name("esker-pages".to_owned()).spawn(move || run(&work));
        let thread = thread.map_err(|source: io::Error| {
            let (action, file) = ("start a thread for", "the store".to_owned());
            Error::Log(esker_log::Error::Io { action, file, offset: None, source: Arc::new(source) })
        })?;
        Ok(Self { inner, thread: Some(thread) })
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.inner.cleaning.stop();
        if let Some(thread) = self.thread.take() {
            // It has said what it had to say by panicking.
            drop(thread.join());
        }
    }
}

fn run(inner: &Inner) {
    /// If the thread panics, nobody waits for it.
    struct StopAtTheEnd<'a>(&'a Inner);

    impl Drop for StopAtTheEnd<'_> {
        fn drop(&mut self) {
            self.0.cleaning.stop();
        }
    }

    let _stop = StopAtTheEnd(inner);
    while inner.cleaning.await_need() {
        // Writers meet the same error, and are told.
        drop(inner.upkeep());
        inner.cleaning.ended();
    }
}

impl Inner {
    pub(crate) fn upkeep(&self) -> Result<(), Error> {
        self.clean(self.segments_wanted() + 1)?;
        let surplus = self.options.surplus_bytes / u64::from(self.streams.segment_bytes().get());
        // Twice what is wanted free, so that nothing goes to and fro.
        let keep = u32::try_from(surplus).unwrap_or(u32::MAX).max((self.segments_wanted() + 1) * 2);
        self.streams.give_back(keep)?;
        if self.needs_checkpoint() {
            self.checkpoint()?;
        }
        Ok(())
    }
}
