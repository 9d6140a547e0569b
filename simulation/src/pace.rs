//! How slow calls of the simulated disk wait: so that the scheduler may let any other thread run meanwhile.

use esker_sim::Pace;
use shuttle::thread;

#[derive(Debug)]
pub(crate) struct Scheduled;

impl Pace for Scheduled {
    fn tick(&self) {
        thread::yield_now();
    }

    /// No history has a call hang for ever; one that takes many ticks comes to the same for the others.
    fn sleep_until(&self, is_over: &dyn Fn() -> bool) {
        while !is_over() {
            thread::yield_now();
        }
    }

    fn wake(&self) {}
}
