//! A bounded mailbox: many producers on any threads, one consumer that parks without polling.
//!
//! Knows places, order per producer and how to put its consumer to sleep (the protocol and its proof are in
//! [`super::waker`]); does not know what it carries. Items are meant to be batches: one push, one wake-up and one cache
//! line per batch.
//!
//! Invariants:
//! - `taken` ≥ items in the queue + open reservations, and a place is only handed out while `taken` ≤ capacity:
//!   redeeming a reservation therefore never fails.
//! - Items of one producer arrive in the order in which it redeemed or pushed them.
//! - A full mailbox refuses at once and hands the item back; nothing waits in a producer.
//! - When the last sender is gone the consumer still gets every item, then the end.

use std::{
    fmt,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use crossbeam::{queue::ArrayQueue, utils::CachePadded};

use super::waker::Parking;

/// A mailbox whose consumer is a task. `capacity` counts items (batches), at least 1.
pub fn mailbox<T>(capacity: usize) -> (Sender<T>, Inbox<T>) {
    let shared = Shared::new(capacity);
    (Sender { shared: Arc::clone(&shared) }, Inbox { shared })
}

/// No place was free; gives the item back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

struct Shared<T> {
    queue: ArrayQueue<T>,
    taken: CachePadded<AtomicUsize>,
    senders: AtomicUsize,
    parking: Parking,
}

impl<T> Shared<T> {
    fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            queue: ArrayQueue::new(capacity.max(1)),
            taken: CachePadded::new(AtomicUsize::new(0)),
            senders: AtomicUsize::new(1),
            parking: Parking::default(),
        })
    }

    fn reserve(&self) -> bool {
        let free = self.taken.fetch_add(1, Ordering::AcqRel) < self.queue.capacity();
        if !free {
            self.release(1);
        }
        free
    }

    fn release(&self, places: usize) {
        self.taken.fetch_sub(places, Ordering::AcqRel);
    }

    fn fill(&self, item: T) {
        if self.queue.push(item).is_err() {
            unreachable!("a reserved place is free");
        }
        self.parking.wake();
    }

    fn drain(&self, into: &mut Vec<T>, max: usize) -> usize {
        let before = into.len();
        into.extend(std::iter::from_fn(|| self.queue.pop()).take(max));
        let drained = into.len() - before;
        if drained > 0 {
            self.release(drained);
        }
        drained
    }
}

/// The producers' end; clones share the places. Lives on any thread.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Pushes one item and wakes the consumer if it sleeps.
    ///
    /// # Errors
    /// [`Full`] with the item when every place is taken or reserved.
    pub fn try_push(&self, item: T) -> Result<(), Full<T>> {
        if !self.shared.reserve() {
            return Err(Full(item));
        }
        self.shared.fill(item);
        Ok(())
    }

    /// Takes a place before the item exists, for items that must not be lost once their cause was admitted. `None` if
    /// the mailbox is full.
    pub fn try_reserve(&self) -> Option<Reservation<T>> {
        self.shared.reserve().then(|| Reservation { sender: self.clone(), open: true })
    }

    /// Places taken now, reservations included; may be stale when read.
    pub fn taken(&self) -> usize {
        self.shared.taken.load(Ordering::Relaxed).min(self.capacity())
    }

    /// All places.
    pub fn capacity(&self) -> usize {
        self.shared.queue.capacity()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.shared.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.parking.wake();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Sender({} of {})", self.taken(), self.capacity())
    }
}

/// One place in a mailbox. Dropped unused, it gives the place back.
#[derive(Debug)]
#[must_use = "a reservation that is dropped gives its place back"]
pub struct Reservation<T> {
    sender: Sender<T>,
    open: bool,
}

impl<T> Reservation<T> {
    /// Fills the place; cannot fail.
    pub fn push(mut self, item: T) {
        self.open = false;
        self.sender.shared.fill(item);
    }
}

impl<T> Drop for Reservation<T> {
    fn drop(&mut self) {
        if self.open {
            self.sender.shared.release(1);
        }
    }
}

/// The consumer's end for a task; it may move between threads, but has one owner.
pub struct Inbox<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Inbox<T> {
    /// Moves up to `max` items into `into` and says how many; waits while there is none.
    /// 0 means that every sender is gone and every item was handed out.
    pub fn drain(&mut self, into: &mut Vec<T>, max: usize) -> impl Future<Output = usize> {
        poll_fn(move |context| self.poll_drain(context, into, max))
    }

    /// [`Self::drain`] as a poll, for a task that waits for several things. `max` of 0 is taken as 1.
    pub fn poll_drain(&mut self, context: &mut Context<'_>, into: &mut Vec<T>, max: usize) -> Poll<usize> {
        let drained = self.try_drain(into, max);
        if drained > 0 {
            return Poll::Ready(drained);
        }
        self.shared.parking.prepare(context.waker());
        let ended = self.shared.senders.load(Ordering::Acquire) == 0;
        match self.try_drain(into, max) {
            0 if !ended => Poll::Pending,
            drained => Poll::Ready(drained),
        }
    }

    /// Moves up to `max` items into `into` without waiting and says how many; 0 when there is none now.
    pub fn try_drain(&mut self, into: &mut Vec<T>, max: usize) -> usize {
        self.shared.drain(into, max.max(1))
    }
}

impl<T> fmt::Debug for Inbox<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Inbox({} of {})", self.shared.queue.len(), self.shared.queue.capacity())
    }
}
