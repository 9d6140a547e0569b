//! Waiting for a watermark to rise: by a thread, as a future of any executor, or with a callback.
//!
//! Owns those who wait, and the thread that works for all of them. Refuses to know what is waited for, and how it comes
//! about: that is for the [`Watermark`] to say.
//!
//! # Invariants
//!
//! - **K1 (everybody is told):** each ticket that is waited for is told once: that the watermark has passed it, or of an error.
//! - **K2 (the lowest is asked for):** of all tickets that are waited for, the lowest is asked for by somebody, so that what lies
//!   behind it keeps nobody waiting. Where the thread is held up by a higher one, another comes to help.
//! - **K3 (dropping is free):** a ticket that is dropped leaves nothing behind, and what it stood for comes about or not as if it
//!   had never been.
//!
//! # Example
//!
//! ```
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use esker_tickets::{Tickets, Watermark};
//!
//! struct Counter(AtomicU64);
//!
//! impl Watermark for Counter {
//!     type Mark = u64;
//!     type Error = String;
//!     fn mark(passed: u64) -> u64 {
//!         passed
//!     }
//!     fn passed(&self) -> u64 {
//!         self.0.load(Ordering::Acquire)
//!     }
//!     fn pass(&self, position: u64) -> Result<u64, String> {
//!         Ok(self.0.fetch_max(position + 1, Ordering::AcqRel).max(position + 1))
//!     }
//! }
//!
//! let tickets = Tickets::new(Counter(AtomicU64::new(0)), "counter");
//! assert_eq!(tickets.ticket(7).wait(), Ok(8));
//! assert_eq!(futures::executor::block_on(tickets.ticket(9)), Ok(10));
//! ```

#![forbid(unsafe_code)]

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread::{self, JoinHandle},
};

/// Something that rises, and can be made to.
pub trait Watermark: Send + Sync + 'static {
    /// Up to where it is, as those are told who waited.
    type Mark: Send + 'static;
    /// Why it does not rise.
    type Error: Clone + Send + 'static;

    /// What everything below `passed` being passed is called.
    fn mark(passed: u64) -> Self::Mark;

    /// Everything below this has been passed. Never falls.
    fn passed(&self) -> u64;

    /// Makes the watermark rise above `position`, and returns up to where it is. May block.
    ///
    /// # Errors
    ///
    /// What keeps it from rising.
    fn pass(&self, position: u64) -> Result<u64, Self::Error>;
}

/// Hands out tickets, and has a thread for those who wait without one, which is started when the first of them comes.
pub struct Tickets<W: Watermark> {
    shared: Arc<Shared<W>>,
}

struct Shared<W: Watermark> {
    watermark: W,
    name: String,
    desk: Mutex<Desk<W::Error>>,
    /// Notified, under the lock, when somebody comes to wait, and when the desk closes.
    came: Condvar,
}

struct Desk<E> {
    /// By what they wait for, and by the number of the ticket.
    waiting: BTreeMap<(u64, u64), Waiter<E>>,
    /// What went wrong for tickets that will be asked by their futures.
    failed: HashMap<u64, E>,
    next: u64,
    /// The positions that threads are asking for at this moment.
    asked: BTreeSet<u64>,
    /// The first one stays, the others help.
    threads: Vec<JoinHandle<()>>,
    is_closed: bool,
}

impl<E> Desk<E> {
    /// The lowest position that somebody waits for, unless somebody asks for that or for less.
    fn to_ask(&self) -> Option<u64> {
        let (&(lowest, _), _) = self.waiting.first_key_value()?;
        self.asked.first().is_none_or(|&asked| asked > lowest).then_some(lowest)
    }
}

enum Waiter<E> {
    Future(Waker),
    Callback(Box<dyn FnOnce(Result<u64, E>) + Send>),
}

/// The right to be told when the watermark has passed a position.
///
/// Nothing happens before it is waited for: by [`wait`](Ticket::wait), by polling it, or by [`then`](Ticket::then). Dropping
/// it cancels only the wait.
pub struct Ticket<W: Watermark> {
    shared: Arc<Shared<W>>,
    position: u64,
    /// Its number, once it waits as a future.
    number: Option<u64>,
}

impl<W: Watermark> Tickets<W> {
    /// Nobody waits yet. `name` is that of the thread.
    #[must_use]
    pub fn new(watermark: W, name: &str) -> Self {
        let desk = Desk {
            waiting: BTreeMap::new(),
            failed: HashMap::new(),
            next: 0,
            asked: BTreeSet::new(),
            threads: Vec::new(),
            is_closed: false,
        };
        let shared = Shared { watermark, name: name.to_owned(), desk: Mutex::new(desk), came: Condvar::new() };
        Self { shared: Arc::new(shared) }
    }

    /// A ticket for a position.
    #[must_use]
    pub fn ticket(&self, position: u64) -> Ticket<W> {
        Ticket { shared: self.shared.clone(), position, number: None }
    }

    /// How many wait without a thread.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.desk().waiting.len()
    }

    /// Serves all who wait, and ends the thread. Tickets that come later are served by whoever polls them.
    pub fn close(&self) {
        let threads = {
            let mut desk = self.shared.desk();
            desk.is_closed = true;
            self.shared.came.notify_all();
            mem::take(&mut desk.threads)
        };
        // One of them may be the one that closes: a callback can hold the last handle.
        for thread in threads.into_iter().filter(|thread| thread.thread().id() != thread::current().id()) {
            drop(thread.join());
        }
        self.shared.serve();
    }
}

impl<W: Watermark> Drop for Tickets<W> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<W: Watermark> fmt::Debug for Tickets<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

impl<W: Watermark> Shared<W> {
    fn desk(&self) -> MutexGuard<'_, Desk<W::Error>> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts somebody in the queue. Whoever cannot be served by a thread is served here.
    fn wait_for(self: &Arc<Self>, position: u64, number: Option<u64>, waiter: Waiter<W::Error>) -> u64 {
        let mut desk = self.desk();
        let number = number.unwrap_or_else(|| {
            desk.next += 1;
            desk.next
        });
        desk.waiting.insert((position, number), waiter);
        let is_held_up = desk.to_ask() == Some(position) && !desk.asked.is_empty();
        let is_served = desk.is_closed
            || if desk.threads.is_empty() {
                !self.spawn(&mut desk, Self::run)
            } else {
                is_held_up && !self.spawn(&mut desk, Self::serve)
            };
        self.came.notify_all();
        drop(desk);
        if is_served {
            self.serve();
        }
        number
    }

    /// Says whether there is one thread more.
    fn spawn(self: &Arc<Self>, desk: &mut Desk<W::Error>, run: fn(&Self)) -> bool {
        let shared = self.clone();
        let thread = thread::Builder::new().name(self.name.clone()).spawn(move || run(&shared));
        // The helpers among them end soon. The first one does not.
        let mut nth = 0;
        desk.threads.retain(|thread| {
            nth += 1;
            nth == 1 || !thread.is_finished()
        });
        thread.map(|thread| desk.threads.push(thread)).is_ok()
    }

    fn run(&self) {
        loop {
            {
                let mut desk = self.desk();
                while desk.to_ask().is_none() {
                    if desk.is_closed && desk.waiting.is_empty() {
                        return;
                    }
                    desk = self.came.wait(desk).unwrap_or_else(PoisonError::into_inner);
                }
            }
            self.serve();
        }
    }

    /// Serves until nobody waits whom nobody else serves.
    fn serve(&self) {
        loop {
            let position = {
                let mut desk = self.desk();
                let Some(position) = desk.to_ask() else { return };
                desk.asked.insert(position);
                position
            };
            let outcome = catch_unwind(AssertUnwindSafe(|| self.watermark.pass(position)));
            self.desk().asked.remove(&position);
            self.came.notify_all();
            match outcome.unwrap_or_else(|panic| self.give_up(panic)) {
                Ok(passed) => {
                    let later = {
                        let mut desk = self.desk();
                        let later = desk.waiting.split_off(&(passed.max(position + 1), 0));
                        mem::replace(&mut desk.waiting, later)
                    };
                    tell(later.into_values(), &Ok(passed.max(position + 1)));
                }
                Err(error) => self.fail(position, &error),
            }
        }
    }

    /// The watermark panicked, and this thread goes with it. Nobody is left waiting: those who poll again serve themselves, and
    /// callbacks are dropped.
    fn give_up(&self, panic: Box<dyn std::any::Any + Send>) -> ! {
        let left = {
            let mut desk = self.desk();
            desk.is_closed = true;
            mem::take(&mut desk.waiting)
        };
        self.came.notify_all();
        for waiter in left.into_values() {
            drop(catch_unwind(AssertUnwindSafe(|| match waiter {
                Waiter::Future(waker) => waker.wake(),
                Waiter::Callback(callback) => drop(callback),
            })));
        }
        std::panic::resume_unwind(panic)
    }

    /// Tells those who wait for this position. Others may have more luck.
    fn fail(&self, position: u64, error: &W::Error) {
        let told: Vec<_> = {
            let mut desk = self.desk();
            let later = desk.waiting.split_off(&(position + 1, 0));
            let now = mem::replace(&mut desk.waiting, later);
            let failed: Vec<_> = now.iter().filter(|(_, waiter)| matches!(waiter, Waiter::Future(_))).collect();
            let failed: Vec<_> = failed.into_iter().map(|((_, number), _)| (*number, error.clone())).collect();
            desk.failed.extend(failed);
            now.into_values().collect()
        };
        tell(told.into_iter(), &Err(error.clone()));
    }
}

/// A waker or a callback that panics is no reason not to tell the others.
fn tell<E: Clone>(told: impl Iterator<Item = Waiter<E>>, outcome: &Result<u64, E>) {
    for waiter in told {
        let outcome = outcome.clone();
        drop(catch_unwind(AssertUnwindSafe(|| match waiter {
            Waiter::Future(waker) => waker.wake(),
            Waiter::Callback(callback) => callback(outcome),
        })));
    }
}

impl<W: Watermark> Ticket<W> {
    /// What is waited for.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether the watermark has passed it.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.shared.watermark.passed() > self.position
    }

    /// Waits on this thread, which may do the work itself, and returns up to where the watermark is then.
    ///
    /// # Errors
    ///
    /// What keeps the watermark from rising.
    pub fn wait(self) -> Result<W::Mark, W::Error> {
        let passed = match self.shared.watermark.passed() {
            passed if passed > self.position => passed,
            _ => self.shared.watermark.pass(self.position)?,
        };
        Ok(W::mark(passed))
    }

    /// Calls `callback` when the watermark has passed the position, or cannot: at once if it has, or else on the thread that
    /// serves those who wait, which all others wait for meanwhile; so it should do little.
    pub fn then(self, callback: impl FnOnce(Result<W::Mark, W::Error>) + Send + 'static) {
        match self.shared.watermark.passed() {
            passed if passed > self.position => callback(Ok(W::mark(passed))),
            _ => {
                let callback = move |outcome: Result<u64, W::Error>| callback(outcome.map(W::mark));
                self.shared.wait_for(self.position, None, Waiter::Callback(Box::new(callback)));
            }
        }
    }
}

impl<W: Watermark> Future for Ticket<W> {
    type Output = Result<W::Mark, W::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = |ticket: &mut Self| {
            let passed = ticket.shared.watermark.passed();
            if passed > ticket.position {
                return Some(Ok(W::mark(passed)));
            }
            let number = ticket.number?;
            ticket.shared.desk().failed.remove(&number).map(Err)
        };
        if let Some(outcome) = outcome(&mut self) {
            return Poll::Ready(outcome);
        }
        let (position, number) = (self.position, self.number);
        self.number = Some(self.shared.wait_for(position, number, Waiter::Future(context.waker().clone())));
        // Whoever closes the desk serves those who are there, and after that they serve themselves.
        outcome(&mut self).map_or(Poll::Pending, Poll::Ready)
    }
}

impl<W: Watermark> Drop for Ticket<W> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let mut desk = self.shared.desk();
            let waiter = desk.waiting.remove(&(self.position, number));
            desk.failed.remove(&number);
            drop(desk);
            // A waker may do anything when it is dropped.
            drop(waiter);
        }
    }
}

impl<W: Watermark> fmt::Debug for Ticket<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("position", &self.position).finish_non_exhaustive()
    }
}
