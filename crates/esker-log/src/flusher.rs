//! A thread that makes everything durable now and then.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use esker_iobufs::{EngineError, IoBufs};

use crate::{Error, names::LOG};

/// Makes everything durable now and then. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Flusher {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Flusher {
    pub(crate) fn start(engine: Arc<IoBufs>, interval: Duration) -> Result<Self, Error> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let signal = stop.clone();
        let run = move || {
            let (stopped, changed) = &*signal;
            let mut guard = stopped.lock().unwrap_or_else(PoisonError::into_inner);
            while !*guard {
                (guard, _) = changed.wait_timeout(guard, interval).unwrap_or_else(PoisonError::into_inner);
                if *guard {
                    break;
                }
                drop(guard);
                // A full disk may have room the next time. A stopped log stays so: its users learn it by their own calls.
                if let Err(EngineError::Poisoned(_)) = engine.flush() {
                    return;
                }
                guard = stopped.lock().unwrap_or_else(PoisonError::into_inner);
            }
        };
        let thread = thread::Builder::new()
            .name("esker-flush".to_owned())
            .spawn(run)
            .map_err(|error| Error::io("start a thread to flush", LOG, error))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        let (stopped, changed) = &*self.stop;
        *stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic in it has been reported by the runtime.
            drop(thread.join());
        }
    }
}
