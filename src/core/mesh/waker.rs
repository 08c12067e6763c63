//! The waking half of the mesh: how the one consumer of a mailbox, a task or a plain thread, goes to sleep and how
//! a producer on any thread wakes it. [`Parking`] knows no queue: the mailbox tells it when something was published
//! and looks again before it sleeps.
//!
//! # Why no wake-up is lost
//! ```text
//! producer                               consumer
//! P1  publish the item                   C1  register the waker
//! P2  fence(SeqCst)                      C2  parked := true
//! P3  parked? if so: parked := false,    C3  fence(SeqCst)
//!     the producer that did this wakes   C4  look into the queue again; empty → sleep
//! ```
//! All SeqCst fences have one total order. If P2 comes before C3, the consumer's look C4 happens after the publish P1
//! and finds the item: it does not sleep. If C3 comes before P2, the producer's P3 reads `parked` as C2 wrote it, or as
//! another producer turned it after C2; in the first case this producer wakes, in the second that other one does. Both
//! wake the waker of C1: C1 precedes C2 in the consumer, and P3's swap acquires what C2's store released. A producer
//! that turned the flag for an earlier sleep and is late with its wake takes the waker of the new C1; it wakes that
//! sleep early, and the consumer runs C1 to C4 again, to which the same argument applies.
//!
//! A model of this protocol under loom (two producers, every interleaving with up to four preemptions) loses nothing,
//! and loses a wake-up as soon as the fences are removed.
//!
//! # Why it is woken once
//! Only the producer whose swap turned `parked` from true to false wakes; a hundred producers that publish to a
//! sleeping consumer cost one wake-up. A consumer that found work at C4 leaves the flag up: at worst one producer
//! wakes a task that is already running.
//!
//! # Foreign executors
//! The waker may belong to a task of an executor on another thread. Glommio 0.9.0 (`task/raw.rs`, `do_wake`) then
//! queues it on an unbounded channel of the owner and writes its eventfd if the owner sleeps, with a membarrier on
//! the sleeping side. Its reference count is the only field touched from outside and is atomic. Should this path ever
//! drop a wake-up, the delay is bounded by the executor's heartbeat: it looks at that channel every 10 ms. An executor
//! on epoll uses the protocol above a second time (`host/executor/reactor.rs`).

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering, fence},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread, ThreadId},
    time::{Duration, Instant},
};

use crossbeam::utils::CachePadded;
use futures_util::task::AtomicWaker;

use super::mailbox::{Inbox, Sender, mailbox};

/// The parking place of one consumer, shared by it and its producers.
#[derive(Debug, Default)]
pub struct Parking {
    parked: CachePadded<AtomicBool>,
    waker: AtomicWaker,
}

impl Parking {
    /// Producer, after publishing (P2, P3): wakes the consumer if it sleeps or is about to.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.parked.load(Ordering::Relaxed) && self.parked.swap(false, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Consumer, after it found nothing (C1 to C3): it must look again before it sleeps.
    pub fn prepare(&self, waker: &Waker) {
        self.waker.register(waker);
        self.parked.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
    }
}

/// A waker that unparks one thread, so that plain threads sleep by the same protocol as tasks.
#[derive(Debug)]
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// The waker of the calling thread; it sleeps by `std::thread::park`.
fn thread_waker() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}

/// A mailbox whose consumer is a plain thread. `capacity` counts items (batches), at least 1.
pub fn thread_mailbox<T>(capacity: usize) -> (Sender<T>, ThreadInbox<T>) {
    let (sender, inbox) = mailbox(capacity);
    (sender, ThreadInbox { inbox, waker: None })
}

/// The consumer's end for a plain thread.
pub struct ThreadInbox<T> {
    inbox: Inbox<T>,
    waker: Option<(ThreadId, Waker)>,
}

impl<T> ThreadInbox<T> {
    /// Moves up to `max` items into `into` and says how many; the thread sleeps while there is none.
    /// 0 means that every sender is gone and every item was handed out.
    pub fn drain(&mut self, into: &mut Vec<T>, max: usize) -> usize {
        self.wait(into, max, None).unwrap_or(0)
    }

    /// As [`Self::drain`], for at most `timeout`; None when it passed without an item.
    pub fn drain_for(&mut self, into: &mut Vec<T>, max: usize, timeout: Duration) -> Option<usize> {
        self.wait(into, max, Some(Instant::now() + timeout))
    }

    /// Moves up to `max` items into `into` without waiting and says how many.
    pub fn try_drain(&mut self, into: &mut Vec<T>, max: usize) -> usize {
        self.inbox.try_drain(into, max)
    }

    fn wait(&mut self, into: &mut Vec<T>, max: usize, until: Option<Instant>) -> Option<usize> {
        let waker = self.own_waker();
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(drained) = self.inbox.poll_drain(&mut context, into, max) {
                return Some(drained);
            }
            match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => thread::park(),
                Some(Duration::ZERO) => return None,
                Some(left) => thread::park_timeout(left),
            }
        }
    }

    fn own_waker(&mut self) -> Waker {
        let current = thread::current().id();
        match &self.waker {
            Some((thread, waker)) if *thread == current => waker.clone(),
            Some(_) | None => {
                let waker = thread_waker();
                self.waker = Some((current, waker.clone()));
                waker
            }
        }
    }
}

impl<T> fmt::Debug for ThreadInbox<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Thread{:?}", self.inbox)
    }
}
