//! What Ctrl-C does.
//!
//! Owns the handler of SIGINT. A command that only reads ends at once; one that appends is told to stop, and ends at
//! once if it is told again.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::ending::{Ending, Failure};

/// Ends the process at the first interrupt. For commands that leave nothing half done.
pub(crate) fn end_at_once() -> Result<(), Failure> {
    install(|| end())
}

/// Calls `stop` at the first interrupt and ends the process at the second.
pub(crate) fn stop_first(stop: impl Fn() + Send + 'static) -> Result<(), Failure> {
    let told = AtomicBool::new(false);
    install(move || {
        // Relaxed: the handler's thread is the only one that looks at it.
        if told.swap(true, Ordering::Relaxed) {
            end();
        }
        stop();
    })
}

fn install(handler: impl Fn() + Send + 'static) -> Result<(), Failure> {
    ctrlc::set_handler(handler)
        .map_err(|error| Failure::Told { ending: Ending::Io, message: format!("cannot handle interrupts: {error}") })
}

fn end() -> ! {
    std::process::exit(i32::from(Ending::Interrupted.code()))
}
