//! A core's questions to shards and to the core that counts for limits, and the requests that wait for the answers.
//!
//! Knows which request waits under which ticket, and how long to wait for a full mailbox. Does not know what is asked.
//!
//! Invariants:
//! - A ticket is answered once; an answer to a ticket that no request waits for any more is dropped.
//! - A request that is dropped gives its ticket back: nothing is kept for a client that went away, except the claim on memory
//!   for what it sent, until the shard has answered.

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use super::memory::Room;
use crate::host::executor::{self, HEARTBEAT};
use stentor_core::{
    model::{ReplyTo, ShardId},
    shard::{Ask, Reply},
};

/// How often a full mailbox is tried, one [`HEARTBEAT`] apart: after half a second the shard counts as overloaded.
const TRIES: u32 = 50;

/// Puts a question into a shard's mailbox, or returns it when the mailbox is full.
pub type Send = Box<dyn Fn(ShardId, Ask) -> Result<(), Ask>>;

/// Puts the question what was used of all limits into the mailbox of the core that counts; false when the mailbox is full.
pub type Look = Box<dyn Fn(ReplyTo) -> bool>;

/// The mailbox stayed full: 503 `overloaded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overloaded;

/// One per core; shared by the requests of that core and by its inbox task.
pub struct Door {
    core: u8,
    send: Send,
    look: Look,
    slots: RefCell<Slots>,
    late: Cell<u64>,
}

#[derive(Debug, Default)]
struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug, Default)]
struct Slot {
    /// How often the slot was given back: tells a late answer from one that a request waits for.
    generation: u32,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Free,
    Waiting(Option<Waker>),
    Answered(Reply),
    /// The request was dropped; what it asked is still in memory.
    Abandoned {
        #[allow(dead_code, reason = "held, not read: dropped when the shard has answered")]
        room: Room,
    },
}

impl Slot {
    /// Frees the slot for another request; returns what it still held.
    fn give_back(&mut self) -> State {
        self.generation = self.generation.wrapping_add(1);
        std::mem::take(&mut self.state)
    }
}

impl Door {
    /// The door of `core`.
    pub fn new(core: u8, send: Send, look: Look) -> Rc<Self> {
        Rc::new(Self { core, send, look, slots: RefCell::default(), late: Cell::new(0) })
    }

    /// The core that it belongs to.
    pub const fn core(&self) -> u8 {
        self.core
    }

    /// Asks a shard and waits for its answer, however long the commit before it takes.
    ///
    /// # Errors
    /// [`Overloaded`]: nothing was asked.
    pub async fn ask(self: &Rc<Self>, to: ShardId, ask: impl FnOnce(ReplyTo) -> Ask) -> Result<Reply, Overloaded> {
        Ok(self.post(to, None, ask).await?.await)
    }

    /// Asks a shard; the answer can be awaited later. A copy of `room`, which covers what is asked, is held until it comes.
    ///
    /// # Errors
    /// [`Overloaded`]: nothing was asked.
    pub async fn post(
        self: &Rc<Self>,
        to: ShardId,
        room: Option<&Room>,
        ask: impl FnOnce(ReplyTo) -> Ask,
    ) -> Result<PendingReply, Overloaded> {
        let mut answer = self.open();
        let mut left = Some(ask(answer.reply_to()));
        tried(|| {
            left = left.take().and_then(|ask| (self.send)(to, ask).err());
            left.is_none()
        })
        .await?;
        answer.room = room.cloned();
        Ok(answer)
    }

    /// Asks what was used of all limits, and waits for the answer.
    ///
    /// # Errors
    /// [`Overloaded`]: nothing was asked.
    pub async fn look(self: &Rc<Self>) -> Result<Reply, Overloaded> {
        let answer = self.open();
        tried(|| (self.look)(answer.reply_to())).await?;
        Ok(answer.await)
    }

    /// Called by the core's inbox task with what a shard answered to this core.
    pub fn deliver(&self, to: ReplyTo, reply: Reply) {
        let mut abandoned = None;
        let waiting = {
            let Slots { slots, free } = &mut *self.slots.borrow_mut();
            let slot =
                slots.get_mut(to.ticket as u32 as usize).filter(|slot| slot.generation == (to.ticket >> 32) as u32);
            match slot {
                Some(Slot { state: state @ State::Waiting(_), .. }) => {
                    match std::mem::replace(state, State::Answered(reply)) {
                        State::Waiting(waker) => waker,
                        State::Free | State::Answered(_) | State::Abandoned { .. } => None,
                    }
                }
                Some(slot @ Slot { state: State::Abandoned { .. }, .. }) => {
                    abandoned = Some(slot.give_back());
                    free.push(to.ticket as u32);
                    self.late.set(self.late.get() + 1);
                    None
                }
                Some(Slot { state: State::Free | State::Answered(_), .. }) | None => {
                    self.late.set(self.late.get() + 1);
                    None
                }
            }
        };
        drop(abandoned);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Number of requests that wait for shards.
    pub fn waiting(&self) -> usize {
        let slots = self.slots.borrow();
        slots.slots.len() - slots.free.len()
    }

    /// Answers that came after their request was dropped.
    pub fn late(&self) -> u64 {
        self.late.get()
    }

    fn open(self: &Rc<Self>) -> PendingReply {
        let Slots { slots, free } = &mut *self.slots.borrow_mut();
        let index = free.pop().unwrap_or_else(|| {
            slots.push(Slot::default());
            slots.len() as u32 - 1
        });
        let slot = &mut slots[index as usize];
        slot.state = State::Waiting(None);
        PendingReply { index, generation: slot.generation, door: Rc::clone(self), room: None }
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Door").field("core", &self.core).field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

/// An answer that has not come yet. If this is dropped, the answer is dropped too when it comes.
#[derive(Debug)]
pub struct PendingReply {
    door: Rc<Door>,
    index: u32,
    generation: u32,
    room: Option<Room>,
}

impl PendingReply {
    fn reply_to(&self) -> ReplyTo {
        ReplyTo { core: self.door.core, ticket: u64::from(self.generation) << 32 | u64::from(self.index) }
    }
}

impl Future for PendingReply {
    type Output = Reply;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Reply> {
        let mut slots = self.door.slots.borrow_mut();
        let state = &mut slots.slots[self.index as usize].state;
        match std::mem::take(state) {
            State::Answered(reply) => Poll::Ready(reply),
            State::Free | State::Abandoned { .. } => unreachable!("polled after its answer"),
            State::Waiting(_) => {
                *state = State::Waiting(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl Drop for PendingReply {
    fn drop(&mut self) {
        let Slots { slots, free } = &mut *self.door.slots.borrow_mut();
        let slot = &mut slots[self.index as usize];
        if let (State::Waiting(_), Some(room)) = (&slot.state, self.room.take()) {
            slot.state = State::Abandoned { room };
            return;
        }
        slot.give_back();
        free.push(self.index);
    }
}

/// Tries to put something into a mailbox until there is room, [`TRIES`] times.
async fn tried(mut put: impl FnMut() -> bool) -> Result<(), Overloaded> {
    for _ in 1..TRIES {
        if put() {
            return Ok(());
        }
        executor::sleep(HEARTBEAT).await;
    }
    if put() { Ok(()) } else { Err(Overloaded) }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, sync::Arc, task::Wake};

    use super::{super::memory::Memory, *};
    use stentor_core::{
        model::{Address, MessageId, NodeId, TenantId, Wall},
        shard::Cancelled,
    };

    struct Silent;

    impl Wake for Silent {
        fn wake(self: Arc<Self>) {}
    }

    fn cancel(reply: ReplyTo) -> Ask {
        let id = MessageId::new(Wall(1), NodeId(0), ShardId(0), Address::new(1, 1));
        Ask::Cancel { reply, tenant: TenantId(0), id }
    }

    /// A door whose questions end up in a list.
    fn door() -> (Rc<Door>, Rc<RefCell<Vec<ReplyTo>>>) {
        let asked = Rc::new(RefCell::new(Vec::new()));
        let (into, looks) = (Rc::clone(&asked), Rc::clone(&asked));
        let send = move |_, ask| {
            let Ask::Cancel { reply, .. } = ask else { return Err(ask) };
            into.borrow_mut().push(reply);
            Ok(())
        };
        let look = move |reply| {
            looks.borrow_mut().push(reply);
            true
        };
        (Door::new(3, Box::new(send), Box::new(look)), asked)
    }

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(&Waker::from(Arc::new(Silent))))
    }

    #[test]
    fn an_answer_finds_its_request() {
        let (door, asked) = door();
        let (mut first, mut second) = (pin!(door.ask(ShardId(0), cancel)), pin!(door.ask(ShardId(0), cancel)));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        let tickets = asked.borrow().clone();
        assert_eq!((tickets[0].core, door.waiting()), (3, 2));
        door.deliver(tickets[1], Reply::Cancelled(Cancelled::Done));
        door.deliver(tickets[1], Reply::Unreadable);
        assert!(poll(first.as_mut()).is_pending());
        assert_eq!(poll(second.as_mut()), Poll::Ready(Ok(Reply::Cancelled(Cancelled::Done))));
        assert_eq!((door.waiting(), door.late()), (1, 1));
    }

    #[test]
    fn what_was_used_is_asked_for_without_a_shard() {
        let (door, asked) = door();
        let mut looking = pin!(door.look());
        assert!(poll(looking.as_mut()).is_pending());
        let ticket = asked.borrow()[0];
        door.deliver(ticket, Reply::Limits(Vec::new()));
        assert_eq!(poll(looking.as_mut()), Poll::Ready(Ok(Reply::Limits(Vec::new()))));
        assert_eq!(door.waiting(), 0);
    }

    #[test]
    fn who_went_leaves_nothing_behind() {
        let (door, asked) = door();
        for _ in 0..1_000 {
            let mut gone = Box::pin(door.ask(ShardId(0), cancel));
            assert!(poll(gone.as_mut()).is_pending());
        }
        assert_eq!((door.waiting(), door.slots.borrow().slots.len()), (0, 1));
        let mut next = pin!(door.ask(ShardId(0), cancel));
        assert!(poll(next.as_mut()).is_pending());
        asked.borrow()[..1_000].iter().for_each(|ticket| door.deliver(*ticket, Reply::Unreadable));
        assert!(poll(next.as_mut()).is_pending(), "a late answer is not taken for another's");
        assert_eq!(door.late(), 1_000);
    }

    #[test]
    fn what_was_sent_is_claimed_until_the_shard_has_answered_even_if_the_client_has_gone() {
        let (door, asked) = door();
        let memory = Memory::new(1 << 20, 1);
        for stays in [true, false] {
            let room = memory.open(TenantId(0));
            assert!(room.grow_now(1_000));
            let mut posted = Box::pin(door.post(ShardId(0), Some(&room), cancel));
            let Poll::Ready(Ok(answer)) = poll(posted.as_mut()) else { panic!("the mailbox has room") };
            drop(posted);
            drop(room);
            let ticket = *asked.borrow().last().expect("asked");
            let mut answer = Some(Box::pin(answer)).filter(|_| stays);
            assert_eq!((memory.measures().requests_bytes, door.waiting()), (1_000, 1));
            door.deliver(ticket, Reply::Unreadable);
            if let Some(answer) = &mut answer {
                assert_eq!(poll(answer.as_mut()), Poll::Ready(Reply::Unreadable));
            }
            drop(answer);
            assert_eq!((memory.measures().requests_bytes, door.waiting()), (0, 0));
        }
        assert_eq!(door.late(), 1);
    }
}
