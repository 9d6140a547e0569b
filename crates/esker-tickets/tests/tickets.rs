//! Those who wait, in each of the ways there are.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use esker_tickets::{Ticket, Tickets, Watermark};
use futures::executor::block_on;

/// A watermark that rises by as much as it is allowed to.
#[derive(Clone, Default)]
struct Gate(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
    calls: AtomicUsize,
}

#[derive(Default)]
struct State {
    passed: u64,
    allowed: u64,
    error: Option<&'static str>,
    asked: Vec<u64>,
}

impl Gate {
    fn allow(&self, allowed: u64) {
        self.0.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner).allowed = allowed;
        self.0.changed.notify_all();
    }

    fn fail(&self, error: Option<&'static str>) {
        self.0.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner).error = error;
        self.0.changed.notify_all();
    }

    fn calls(&self) -> usize {
        self.0.calls.load(Ordering::SeqCst)
    }
}

impl Watermark for Gate {
    type Mark = u64;
    type Error = &'static str;

    fn mark(passed: u64) -> u64 {
        passed
    }

    fn passed(&self) -> u64 {
        self.0.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner).passed
    }

    fn pass(&self, position: u64) -> Result<u64, &'static str> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        let mut state = self.0.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        state.asked.push(position);
        loop {
            if let Some(error) = state.error {
                assert_ne!(error, "panic", "as it is told to");
                return Err(error);
            }
            if state.allowed > position {
                state.passed = state.passed.max(state.allowed);
                return Ok(state.passed);
            }
            state = self.0.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }
}

fn gate() -> (Gate, Tickets<Gate>) {
    let gate = Gate::default();
    (gate.clone(), Tickets::new(gate, "tickets of a test"))
}

fn poll(ticket: &mut Ticket<Gate>) -> Poll<Result<u64, &'static str>> {
    pin!(ticket).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn threads_futures_and_callbacks_are_told() {
    let (gate, tickets) = gate();
    let (sender, receiver) = mpsc::channel();
    tickets.ticket(3).then(move |outcome| sender.send(outcome).unwrap());
    let mut future = tickets.ticket(5);
    assert!(poll(&mut future).is_pending() && !future.is_passed());
    let waits = thread::spawn({
        let ticket = tickets.ticket(4);
        move || ticket.wait()
    });
    assert_eq!(tickets.waiting(), 2);
    gate.allow(6);
    assert_eq!(receiver.recv().unwrap(), Ok(6));
    assert_eq!(waits.join().unwrap(), Ok(6));
    assert_eq!(block_on(future), Ok(6));
    assert_eq!(tickets.waiting(), 0);
    // What has passed is told at once, and by nobody else.
    let calls = gate.calls();
    assert_eq!(tickets.ticket(5).wait(), Ok(6));
    assert_eq!(poll(&mut tickets.ticket(0)), Poll::Ready(Ok(6)));
    let (sender, receiver) = mpsc::channel();
    let here = thread::current().id();
    tickets.ticket(5).then(move |_| sender.send(thread::current().id()).unwrap());
    assert_eq!(receiver.recv().unwrap(), here);
    assert_eq!(gate.calls(), calls);
}

#[test]
fn whoever_waits_for_less_is_told_first() {
    let (gate, tickets) = gate();
    let mut late = tickets.ticket(100);
    assert!(poll(&mut late).is_pending());
    // Until the thread is held up by it.
    while gate.calls() == 0 {
        thread::yield_now();
    }
    gate.allow(1);
    assert_eq!(block_on(tickets.ticket(0)), Ok(1));
    assert!(poll(&mut late).is_pending());
    let mut between = tickets.ticket(50);
    assert!(poll(&mut between).is_pending());
    while gate.calls() < 3 {
        thread::yield_now();
    }
    gate.allow(11);
    assert_eq!(block_on(tickets.ticket(10)), Ok(11));
    gate.allow(60);
    assert_eq!(block_on(between), Ok(60));
    gate.allow(101);
    assert_eq!(block_on(late), Ok(101));

    let (gate, tickets) = self::gate();
    gate.fail(Some("not now"));
    let (mut high, mut low) = (tickets.ticket(9), tickets.ticket(2));
    let _told = (poll(&mut high), poll(&mut low));
    while tickets.waiting() > 0 {
        thread::yield_now();
    }
    assert_eq!((poll(&mut low), poll(&mut high)), (Poll::Ready(Err("not now")), Poll::Ready(Err("not now"))));
}

#[test]
fn errors_are_told_to_those_who_wait_for_it_and_later_ones_may_have_more_luck() {
    let (gate, tickets) = gate();
    gate.fail(Some("full"));
    assert_eq!(block_on(tickets.ticket(1)), Err("full"));
    assert_eq!(tickets.ticket(1).wait(), Err("full"));
    let (sender, receiver) = mpsc::channel();
    tickets.ticket(1).then(move |outcome| sender.send(outcome).unwrap());
    assert_eq!(receiver.recv().unwrap(), Err("full"));
    gate.fail(None);
    gate.allow(2);
    assert_eq!(block_on(tickets.ticket(1)), Ok(2));
}

#[test]
fn a_ticket_that_is_dropped_leaves_nothing() {
    let (gate, tickets) = gate();
    let waker = Arc::new(Counts(AtomicU64::new(0)));
    let mut dropped: Vec<_> = (0..100).map(|position| tickets.ticket(position)).collect();
    for ticket in &mut dropped {
        let waker = Waker::from(waker.clone());
        assert!(pin!(ticket).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(tickets.waiting(), 100);
    drop(dropped);
    assert_eq!(tickets.waiting(), 0);
    assert_eq!(Arc::strong_count(&waker), 1, "wakers are dropped");
    gate.allow(1000);
    assert_eq!(block_on(tickets.ticket(500)), Ok(1000));
    assert_eq!(waker.0.load(Ordering::SeqCst), 0, "and are not called");
}

struct Counts(AtomicU64);

impl std::task::Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn nothing_runs_before_somebody_waits_and_nothing_after_nobody_does() {
    let (gate, tickets) = gate();
    let idle: Vec<_> = (0..10).map(|position| tickets.ticket(position)).collect();
    drop(idle);
    drop(tickets);
    assert_eq!(gate.calls(), 0);
}

#[test]
fn closing_serves_all_and_later_tickets_serve_themselves() {
    let (gate, tickets) = gate();
    let mut future = tickets.ticket(1);
    assert!(poll(&mut future).is_pending());
    gate.allow(5);
    tickets.close();
    assert_eq!(poll(&mut future), Poll::Ready(Ok(5)));
    gate.allow(9);
    let mut late = tickets.ticket(8);
    assert_eq!(poll(&mut late), Poll::Ready(Ok(9)));
    gate.fail(Some("closed"));
    let mut never = tickets.ticket(20);
    drop(tickets);
    assert_eq!(poll(&mut never), Poll::Ready(Err("closed")));
}

#[test]
fn a_callback_that_panics_takes_nobody_with_it() {
    let (gate, tickets) = gate();
    let told = Arc::new(AtomicU64::new(0));
    for position in 0..20 {
        let told = told.clone();
        tickets.ticket(position).then(move |_| {
            told.fetch_add(1, Ordering::SeqCst);
            assert!(position % 2 == 0, "some do");
        });
    }
    gate.allow(30);
    assert_eq!(block_on(tickets.ticket(25)), Ok(30));
    tickets.close();
    assert_eq!(told.load(Ordering::SeqCst), 20);
}

#[test]
fn a_watermark_that_panics_leaves_nobody_waiting() {
    let gate = Gate(Arc::default());
    let tickets = Tickets::new(gate.clone(), "tickets of a test");
    let (sender, receiver) = mpsc::channel::<()>();
    tickets.ticket(3).then(move |_| drop(sender));
    let future = tickets.ticket(5);
    let outcome = thread::spawn(move || block_on(future));
    gate.fail(Some("panic"));
    assert!(outcome.join().is_err(), "whoever polls again meets the panic");
    assert!(receiver.recv().is_err());
    std::mem::forget(tickets);
}

#[test]
fn a_callback_may_wait_again_and_may_be_the_last_to_know_the_desk() {
    let (gate, tickets) = gate();
    gate.allow(1000);
    let tickets = Arc::new(tickets);
    let (sender, receiver) = mpsc::channel();
    fn again(tickets: Arc<Tickets<Gate>>, position: u64, sender: mpsc::Sender<u64>) {
        tickets.clone().ticket(position).then(move |outcome| {
            sender.send(outcome.unwrap()).unwrap();
            if position < 50 {
                again(tickets, position + 10, sender);
            }
        });
    }
    again(tickets, 10, sender);
    let mut told = Vec::new();
    while let Ok(passed) = receiver.recv_timeout(Duration::from_secs(20)) {
        told.push(passed);
    }
    assert_eq!(told, [1000; 5]);
}

#[test]
fn many_threads_and_many_tickets_are_all_told() {
    let (gate, tickets) = gate();
    let told = AtomicU64::new(0);
    thread::scope(|scope| {
        for nth in 0..4 {
            let (tickets, told) = (&tickets, &told);
            scope.spawn(move || {
                let all = (0..5000).map(|n| tickets.ticket(n * 4 + nth));
                let done = block_on(futures::future::join_all(all));
                told.fetch_add(done.into_iter().filter(|outcome| outcome.is_ok()).count() as u64, Ordering::SeqCst);
            });
        }
        for step in 1..=100 {
            gate.allow(step * 200);
            thread::yield_now();
        }
    });
    assert_eq!((told.load(Ordering::SeqCst), tickets.waiting()), (20_000, 0));
}
