//! Waiting for records to become durable without holding a thread.

use std::sync::Arc;

use esker_format::Lsn;
use esker_iobufs::Engine;
use esker_tickets::Watermark;

use crate::Error;

/// What is durable of a log, for those who wait for it: see [`Ticket`](crate::Ticket).
#[derive(Debug)]
pub struct Durable(pub(crate) Arc<Engine>);

impl Watermark for Durable {
    type Mark = Lsn;
    type Error = Error;

    fn mark(passed: u64) -> Lsn {
        Lsn::new(passed)
    }

    fn passed(&self) -> u64 {
        self.0.stable().get()
    }

    fn pass(&self, position: u64) -> Result<u64, Error> {
        Ok(self.0.make_stable(Lsn::new(position))?.get())
    }
}
