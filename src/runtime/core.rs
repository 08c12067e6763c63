//! One core: its shards and links, and the loop that turns them. Carries events in and effects out; decides nothing.
//!
//! Every door of the core (connections to carriers, the inbox) enters by a method of [`Core`], which handles its event and
//! then turns: until nothing moves any more, batches go to the storage threads, questions to the readers, effects to their
//! doors or to other cores. Then the core sleeps until its inbox or the next timeout wakes it. Shards and links that feed
//! each other, or an inbox that is never empty, do not keep the executor: a turn ends when its poll has had its time, and
//! the loop goes on with what is left when others have run.
//!
//! Each batch costs a sync. The loop hands one out as soon as no other task of its core is ready; while some are, or when the
//! last batch was large, not before [`GATHER_NS`] have passed, for what comes meanwhile goes into the same batch.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use crate::{
    egress::{Connection, Dial, LinkOwner},
    http::Door,
    link::{self, Alarm, BindId, Disconnect, Link, LinkEffect, LinkEvent},
    mesh::{Full, Inbox, Sender},
    model::{DiskRoom, LinkId, Mono, Now, ReplyTo, ShardId},
    shard::{self, Ask, Catalog, Effect, Reply, Shard, ShardEvent},
    traffic::{ToLink, ToShard},
};

use super::{
    backup, executor,
    storage::{Errand, Storage, Stored},
};

/// Items taken from the inbox in one turn.
const INBOX_MAX: usize = 256;
/// How long a core gathers under load: about as long as a sync takes where disks are slow.
const GATHER_NS: u64 = 8_000_000;
/// A batch that tells of so many messages tells of load: some ten thousand a second.
const LARGE: usize = 256;

/// What reaches a core from elsewhere.
#[derive(Debug)]
pub enum ToCore {
    /// A door asks one of its shards.
    Ask(ShardId, Ask),
    /// A shard answers one of its doors.
    Reply(ReplyTo, Reply),
    /// The threads of one of its shards answer.
    Stored(ShardId, Stored),
    /// A shard speaks to one of its links.
    Link(LinkId, ToLink),
    /// A link speaks to one of its shards.
    Shard(ShardId, ToShard),
    /// A backup wants a snapshot of a shard's store.
    BackUp(ShardId, backup::Order),
    /// The disk has so much room.
    Disk(DiskRoom),
    /// The daemon ends: shards and links drain.
    Drain,
    /// Checkpoints, as the last thing before the end.
    Seal,
    /// The loop ends.
    End,
}

struct ShardSlot {
    id: ShardId,
    shard: Shard,
    storage: Storage,
    /// What its threads' mailboxes had no room for.
    errands: VecDeque<Errand>,
}

struct LinkSlot {
    id: LinkId,
    link: Link,
    dial: Rc<Dial>,
    connections: Vec<Option<Rc<Connection>>>,
}

/// See the head of this file. Everything behind one `RefCell`: a method borrows it for the length of a turn, never across
/// an await.
pub struct Core {
    id: u8,
    state: RefCell<State>,
    door: Rc<Door>,
    waker: RefCell<Option<Waker>>,
    deadline: Cell<Option<Mono>>,
    /// Of the executor, when the loop was polled last.
    polls: Cell<u64>,
}

struct State {
    shards: Vec<ShardSlot>,
    links: Vec<LinkSlot>,
    shard_cores: Vec<u8>,
    cores: Vec<Sender<ToCore>>,
    /// By core: what its mailbox had no room for.
    overflow: Vec<VecDeque<ToCore>>,
    /// From this core to itself, and what came in: a turn that was over before it was through leaves it to the next.
    local: VecDeque<ToCore>,
    pace: Pace,
    disk: DiskRoom,
    draining: bool,
    sealing: bool,
    ended: bool,
}

/// When batches are handed out.
#[derive(Debug, Default)]
struct Pace {
    /// When the last one was, and whether it was large.
    last: Mono,
    was_large: bool,
    /// One may be waiting.
    is_waiting: bool,
}

impl Pace {
    /// Whether it is time; `is_idle`: nothing else is ready, and nothing is left of what came in.
    fn is_due(&self, now: Mono, is_idle: bool) -> bool {
        (is_idle && !self.was_large) || now.since(self.last) >= GATHER_NS
    }

    /// The same, and notes that one may be waiting if it is not.
    fn hands_out(&mut self, now: Mono, is_idle: bool) -> bool {
        let is_due = self.is_due(now, is_idle);
        self.is_waiting = !is_due;
        is_due
    }

    fn handed_out(&mut self, now: Mono, weight: usize) {
        (self.last, self.was_large) = (now, weight >= LARGE);
    }

    /// When to look again though nothing comes.
    fn deadline(&self) -> Option<Mono> {
        (self.is_waiting && self.was_large).then(|| self.last.after_ns(GATHER_NS))
    }

    /// Whether to look again when what is ready has run.
    const fn asks_again(&self) -> bool {
        self.is_waiting && !self.was_large
    }
}

/// A link that is to live on a core.
#[derive(Debug)]
pub struct LinkSeat {
    /// Its machine.
    pub link: Link,
    /// Its identity.
    pub id: LinkId,
    /// How its connections are opened.
    pub dial: Dial,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Core").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Core {
    /// A core with its shards and links; `cores` are the mailboxes of all cores by number, `shard_cores` where shards run.
    pub fn new(
        id: u8,
        shards: Vec<(ShardId, Shard, Storage)>,
        links: Vec<LinkSeat>,
        cores: Vec<Sender<ToCore>>,
        shard_cores: Vec<u8>,
        door: Rc<Door>,
    ) -> Rc<Self> {
        let shards = shards
            .into_iter()
            .map(|(id, shard, storage)| ShardSlot { id, shard, storage, errands: VecDeque::new() })
            .collect();
        let links = links
            .into_iter()
            .map(|seat| LinkSlot { id: seat.id, link: seat.link, dial: Rc::new(seat.dial), connections: Vec::new() })
            .collect();
        let overflow = cores.iter().map(|_| VecDeque::new()).collect();
        let state = State {
            shards,
            links,
            shard_cores,
            cores,
            overflow,
            local: VecDeque::new(),
            pace: Pace::default(),
            disk: DiskRoom::Ample,
            draining: false,
            sealing: false,
            ended: false,
        };
        Rc::new(Self {
            id,
            state: RefCell::new(state),
            door,
            waker: RefCell::new(None),
            deadline: Cell::new(None),
            polls: Cell::new(0),
        })
    }

    /// Turns until [`ToCore::End`].
    pub async fn run(self: Rc<Self>, mut inbox: Inbox<ToCore>) {
        let mut items = Vec::with_capacity(INBOX_MAX);
        self.turn_as(true);
        loop {
            let (drained, is_alone) = self.wait(&mut inbox, &mut items).await;
            if drained == Some(0) {
                return;
            }
            self.state.borrow_mut().local.extend(items.drain(..));
            self.turn_as(is_alone);
            if self.state.borrow().ended {
                // Tasks that outlive this loop keep the core alive; the threads beside its shards must end all the same.
                self.state.borrow_mut().shards.clear();
                return;
            }
            executor::breathe().await;
        }
    }

    /// Sleeps until the inbox holds something (how much), or the next timeout has come, a turn was not through or a batch that
    /// waits may be handed out (`None`). And whether no other task ran since the last time.
    async fn wait(&self, inbox: &mut Inbox<ToCore>, items: &mut Vec<ToCore>) -> (Option<usize>, bool) {
        let mut armed = None;
        let mut timer: Pin<Box<dyn Future<Output = ()>>> = Box::pin(std::future::pending());
        poll_fn(|context: &mut Context<'_>| {
            let polls = executor::polls_begun();
            let is_alone = polls - self.polls.replace(polls) <= 1;
            let (left, is_due, asks_again) = {
                let State { local, pace, .. } = &*self.state.borrow();
                let is_due = pace.is_waiting && pace.is_due(executor::now().mono, is_alone);
                (local.len(), is_due, pace.asks_again())
            };
            // What is left is done first; meanwhile the mailbox fills, and its senders wait.
            if left >= INBOX_MAX {
                return Poll::Ready((None, is_alone));
            }
            if let Poll::Ready(drained) = pin!(inbox.drain(items, INBOX_MAX)).poll(context) {
                return Poll::Ready((Some(drained), is_alone));
            }
            if left > 0 || is_due {
                return Poll::Ready((None, is_alone));
            }
            let deadline = self.deadline.get();
            if deadline != armed {
                armed = deadline;
                timer = match deadline {
                    Some(at) => Box::pin(executor::sleep_until_precisely(at)),
                    None => Box::pin(std::future::pending()),
                };
            }
            if timer.as_mut().poll(context).is_ready() {
                return Poll::Ready((None, is_alone));
            }
            if asks_again {
                // Behind all that is ready.
                context.waker().wake_by_ref();
            }
            *self.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Whether shards and links have nothing under way.
    pub fn is_drained(&self) -> bool {
        let state = self.state.borrow();
        state.draining
            && state.local.is_empty()
            && state.overflow.iter().all(VecDeque::is_empty)
            && state.links.iter().all(|slot| slot.link.is_drained())
            && state.shards.iter().all(|slot| slot.shard.is_quiet())
    }

    /// Whether every checkpoint asked for by [`ToCore::Seal`] is durable.
    pub fn is_sealed(&self) -> bool {
        let state = self.state.borrow();
        state.sealing && state.shards.iter().all(|slot| slot.shard.is_quiet() && !slot.shard.checkpoint_pending())
    }

    /// Ends the wait of links for answers: what is still open is in doubt.
    pub fn stop_links(self: &Rc<Self>) {
        let now = executor::now();
        for slot in &mut self.state.borrow_mut().links {
            slot.link.stop_now(now);
        }
        self.turn();
    }

    /// A reload: links that are here get their options, new ones are seated. None is ever taken away.
    pub fn reconfigure_links(self: &Rc<Self>, links: Vec<(link::Options, Dial)>, seed: impl Fn(LinkId) -> u64) {
        let now = executor::now();
        for (options, dial) in links {
            let (id, dial) = (options.link, Rc::new(dial));
            let mut state = self.state.borrow_mut();
            match state.link(id) {
                Some(slot) => {
                    slot.dial = dial;
                    slot.link.handle(LinkEvent::Reconfigure(Box::new(options)), now);
                }
                None => {
                    let mut link = Link::new(options, seed(id), now);
                    link.handle(LinkEvent::Disk(state.disk), now);
                    state.links.push(LinkSlot { id, link, dial, connections: Vec::new() });
                }
            }
        }
        self.turn();
    }

    /// A reload: shards that are here get the catalog and their options.
    pub fn reconfigure_shards(self: &Rc<Self>, catalog: &Arc<Catalog>, options: Vec<shard::Options>) {
        let now = executor::now();
        self.state.borrow_mut().adopt(catalog, now);
        self.turn();
        for options in options {
            if let Some(slot) = self.state.borrow_mut().shard(options.shard) {
                slot.shard.handle(ShardEvent::Reconfigure(Box::new(options)), now);
            }
        }
        self.turn();
    }

    /// Looks at the shard in that place; None behind the last.
    pub fn visit_shard<R>(&self, place: usize, look: impl FnOnce(ShardId, &Shard) -> R) -> Option<R> {
        self.state.borrow().shards.get(place).map(|slot| look(slot.id, &slot.shard))
    }

    /// Looks at the link in that place; None behind the last.
    pub fn visit_link<R>(&self, place: usize, look: impl FnOnce(LinkId, &mut Link) -> R) -> Option<R> {
        self.state.borrow_mut().links.get_mut(place).map(|slot| look(slot.id, &mut slot.link))
    }

    /// A turn of a door. What it brings to a batch waits for what other tasks bring.
    fn turn(self: &Rc<Self>) {
        self.turn_as(false);
    }

    /// Turns everything until nothing moves or it is late, then notes when to wake. `is_alone`: nothing else is ready.
    fn turn_as(self: &Rc<Self>, is_alone: bool) {
        let mut replies = Vec::new();
        let (deadline, is_through) = {
            let mut state = self.state.borrow_mut();
            state.timeouts();
            loop {
                state.dispatch(self, &mut replies);
                state.pump_shards(self.id, is_alone, &mut replies);
                state.pump_links(self);
                if state.local.is_empty() || executor::is_late() {
                    break;
                }
            }
            (state.next_deadline(), state.local.is_empty() && !state.pace.asks_again())
        };
        for (to, reply) in replies {
            self.door.deliver(to, reply);
        }
        let is_new = self.deadline.replace(deadline) != deadline;
        if (is_new || !is_through)
            && let Some(waker) = self.waker.borrow().as_ref()
        {
            waker.wake_by_ref();
        }
    }

    fn link_event(self: &Rc<Self>, link: LinkId, event: LinkEvent) {
        let now = executor::now();
        if let Some(slot) = self.state.borrow_mut().link(link) {
            slot.link.handle(event, now);
        }
    }
}

impl State {
    fn link(&mut self, id: LinkId) -> Option<&mut LinkSlot> {
        self.links.iter_mut().find(|slot| slot.id == id)
    }

    fn shard(&mut self, id: ShardId) -> Option<&mut ShardSlot> {
        self.shards.iter_mut().find(|slot| slot.id == id)
    }

    fn timeouts(&mut self) {
        let now = executor::now();
        for slot in &mut self.shards {
            if slot.shard.poll_timeout().is_some_and(|at| at <= now.mono) {
                slot.shard.handle_timeout(now);
            }
        }
        for slot in &mut self.links {
            if slot.link.poll_timeout().is_some_and(|at| at <= now.mono) {
                slot.link.handle_timeout(now);
            }
        }
    }

    /// At least one item, and as many as there is time for: the largest is a frame, a quarter of a shard's batch.
    fn dispatch(&mut self, core: &Rc<Core>, replies: &mut Vec<(ReplyTo, Reply)>) {
        let now = executor::now();
        while let Some(item) = self.local.pop_front() {
            match item {
                ToCore::Ask(id, ask) => self.tell_shard(id, ShardEvent::Ask(ask)),
                ToCore::Shard(id, traffic) => self.tell_shard(id, ShardEvent::Traffic(traffic)),
                ToCore::Reply(to, reply) => replies.push((to, reply)),
                ToCore::Stored(id, stored) => self.stored(id, stored, now),
                ToCore::Link(id, traffic) => match self.link(id) {
                    Some(slot) => slot.link.handle(LinkEvent::Traffic(traffic), now),
                    None => tracing::error!(core = core.id, ?id, "traffic for a link that does not live here"),
                },
                ToCore::BackUp(id, order) => {
                    if let Some(slot) = self.shard(id) {
                        slot.errands.push_back(Errand::BackUp(order));
                    }
                }
                ToCore::Disk(room) => {
                    self.disk = room;
                    self.shards.iter_mut().for_each(|slot| slot.shard.handle(ShardEvent::Disk(room), now));
                    self.links.iter_mut().for_each(|slot| slot.link.handle(LinkEvent::Disk(room), now));
                }
                ToCore::Drain => {
                    self.draining = true;
                    self.shards.iter_mut().for_each(|slot| slot.shard.handle(ShardEvent::Drain, now));
                    self.links.iter_mut().for_each(|slot| slot.link.handle(LinkEvent::Drain, now));
                }
                ToCore::Seal => {
                    self.sealing = true;
                    self.shards.iter_mut().for_each(|slot| slot.shard.want_checkpoint(now));
                }
                ToCore::End => self.ended = true,
            }
            if executor::is_late() {
                return;
            }
        }
    }

    /// Another catalog from now on.
    fn adopt(&mut self, catalog: &Arc<Catalog>, now: Now) {
        self.shard_cores.clone_from(&catalog.shard_cores);
        for slot in &mut self.shards {
            slot.shard.handle(ShardEvent::Catalog(Arc::clone(catalog)), now);
        }
    }

    fn stored(&mut self, id: ShardId, stored: Stored, now: Now) {
        let Some(slot) = self.shard(id) else { return };
        match stored {
            Stored::Committed(seq) => slot.shard.handle_committed(seq, now),
            Stored::Found(found) => slot.shard.handle_read(found, now),
            Stored::RunWritten(run) => slot.shard.handle_run_written(run, now),
            Stored::Quarantined(segments) => slot.shard.handle_quarantined(segments),
        }
    }

    fn tell_shard(&mut self, id: ShardId, event: ShardEvent) {
        let now = executor::now();
        match self.shard(id) {
            Some(slot) => slot.shard.handle(event, now),
            None => tracing::error!(shard = id.0, "an event for a shard that does not live here"),
        }
    }

    fn pump_shards(&mut self, core: u8, is_alone: bool, replies: &mut Vec<(ReplyTo, Reply)>) {
        let now = executor::now().mono;
        let hands_out = self.pace.hands_out(now, is_alone && self.local.is_empty());
        for at in 0..self.shards.len() {
            let slot = &mut self.shards[at];
            if hands_out {
                slot.shard.checkpoint_if_idle();
                while let Some(batch) = slot.shard.poll_commit() {
                    self.pace.handed_out(now, batch.weight());
                    if slot.storage.commits.try_push(batch).is_err() {
                        unreachable!("one batch at a time is under way to a storage thread");
                    }
                }
            }
            while let Some(request) = slot.shard.poll_read() {
                slot.errands.push_back(Errand::Read(request));
            }
            while let Some(effect) = self.shards[at].shard.poll_effect() {
                match effect {
                    Effect::Reply(to, reply) if to.core == core => replies.push((to, reply)),
                    Effect::Reply(to, reply) => self.send(core, to.core, ToCore::Reply(to, reply)),
                    Effect::Link(link, traffic) => self.send(core, link.core, ToCore::Link(link, traffic)),
                    Effect::Maintain(work) => self.shards[at].errands.push_back(Errand::Maintain(work)),
                    Effect::Alarm(what) => tracing::error!("{what}"),
                }
            }
            let slot = &mut self.shards[at];
            while let Some(errand) = slot.errands.pop_front() {
                if let Err(Full(errand)) = slot.storage.errands.try_push(errand) {
                    slot.errands.push_front(errand);
                    break;
                }
            }
        }
    }

    fn pump_links(&mut self, core: &Rc<Core>) {
        for at in 0..self.links.len() {
            while let Some(effect) = self.links[at].link.poll_effect() {
                self.link_effect(core, at, effect);
            }
        }
        for to in 0..self.overflow.len() {
            while let Some(item) = self.overflow[to].pop_front() {
                if let Err(Full(item)) = self.cores[to].try_push(item) {
                    self.overflow[to].push_front(item);
                    break;
                }
            }
        }
    }

    fn link_effect(&mut self, core: &Rc<Core>, at: usize, effect: LinkEffect) {
        let slot = &mut self.links[at];
        let connection = |slot: &LinkSlot, bind: BindId| slot.connections.get(usize::from(bind.0)).cloned().flatten();
        match effect {
            LinkEffect::Connect { bind, way } => {
                let owner = Rc::new(Seat { core: Rc::clone(core), link: slot.id });
                let opened = Connection::open(bind, Rc::clone(&slot.dial), way, owner);
                let place = usize::from(bind.0);
                if slot.connections.len() <= place {
                    slot.connections.resize(place + 1, None);
                }
                slot.connections[place] = Some(opened);
            }
            LinkEffect::Transmit { bind } => connection(slot, bind).iter().for_each(|open| open.transmit()),
            LinkEffect::Close { bind } => connection(slot, bind).iter().for_each(|open| open.close()),
            LinkEffect::PauseRead { bind } => connection(slot, bind).iter().for_each(|open| open.pause(true)),
            LinkEffect::ResumeRead { bind } => connection(slot, bind).iter().for_each(|open| open.pause(false)),
            LinkEffect::ToShard { shard, traffic } => {
                let to = self.shard_cores.get(usize::from(shard.0)).copied().unwrap_or_default();
                self.send(core.id, to, ToCore::Shard(shard, traffic));
            }
            LinkEffect::Alarm(alarm @ (Alarm::LinkUp | Alarm::BreakerClosed)) => {
                tracing::info!(carrier = slot.link.name(), core = core.id, ?alarm, "link");
            }
            LinkEffect::Alarm(alarm) => tracing::warn!(carrier = slot.link.name(), core = core.id, ?alarm, "link"),
        }
    }

    fn send(&mut self, from: u8, to: u8, item: ToCore) {
        if from == to {
            self.local.push_back(item);
            return;
        }
        let Some(queue) = self.overflow.get_mut(usize::from(to)) else { return };
        if !queue.is_empty() {
            queue.push_back(item);
        } else if let Err(Full(item)) = self.cores[usize::from(to)].try_push(item) {
            queue.push_back(item);
        }
    }

    /// When to wake if nothing comes. A mailbox that was full is tried again after a millisecond.
    fn next_deadline(&self) -> Option<Mono> {
        let shards = self.shards.iter().filter_map(|slot| slot.shard.poll_timeout());
        let links = self.links.iter().filter_map(|slot| slot.link.poll_timeout());
        let blocked = self.overflow.iter().any(|queue| !queue.is_empty())
            || self.shards.iter().any(|slot| !slot.errands.is_empty());
        let retry = blocked.then(|| executor::now().mono.after_ms(1));
        shards.chain(links).chain(retry).chain(self.pace.deadline()).min()
    }
}

/// A link's connections speak to it through this.
struct Seat {
    core: Rc<Core>,
    link: LinkId,
}

impl LinkOwner for Seat {
    fn connected(&self, bind: BindId) {
        self.core.link_event(self.link, LinkEvent::Connected { bind });
        self.core.turn();
    }

    fn bytes(&self, bind: BindId, bytes: &[u8]) -> usize {
        let now = executor::now();
        let link = |state: &mut State| state.link(self.link).map(|slot| slot.link.handle_bytes(bind, bytes, now));
        let dealt_with = link(&mut self.core.state.borrow_mut());
        self.core.turn();
        dealt_with.unwrap_or(bytes.len())
    }

    fn take_transmit(&self, bind: BindId, out: &mut Vec<u8>) -> bool {
        self.core.state.borrow_mut().link(self.link).is_some_and(|slot| slot.link.take_transmit(bind, out))
    }

    fn written(&self, bind: BindId, octets: usize) {
        self.core.link_event(self.link, LinkEvent::Written { bind, octets });
        self.core.turn();
    }

    fn disconnected(&self, bind: BindId, reason: Disconnect, torn: bool) {
        if let Some(slot) = self.core.state.borrow_mut().link(self.link)
            && let Some(place) = slot.connections.get_mut(usize::from(bind.0))
        {
            *place = None;
        }
        self.core.link_event(self.link, LinkEvent::Disconnected { bind, reason, torn });
        self.core.turn();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        mesh::{self, CoreId},
        runtime::{
            clock::Clock,
            executor::{Executor, Running},
            watchdog::Heartbeat,
        },
    };

    #[test]
    fn a_core_under_load_gathers_and_an_idle_one_does_not() {
        let (mut pace, soon, late) = (Pace::default(), Mono(1 + GATHER_NS), Mono(2 * GATHER_NS));
        pace.handed_out(Mono(GATHER_NS), LARGE - 1);
        assert!(pace.hands_out(soon, true) && !pace.asks_again());
        assert!(!pace.hands_out(soon, false) && pace.asks_again());
        assert!(pace.hands_out(late, false) && !pace.asks_again(), "not for ever");
        pace.handed_out(Mono(GATHER_NS), LARGE);
        assert!(!pace.hands_out(soon, true) && !pace.asks_again());
        assert_eq!(pace.deadline(), Some(late));
        assert!(pace.hands_out(late, true) && pace.deadline().is_none());
    }

    /// More than a millisecond's work: what is left of it by a turn that is late is done by the loop.
    #[test]
    fn a_turn_ends_in_time_and_the_loop_does_the_rest() {
        const MANY: usize = 1_000_000;
        let executor = Executor { core: CoreId(0), cpu: None, clock: Clock::start(), heart: Heartbeat::default() };
        let main = || async {
            let (own, inbox) = mesh::mailbox(4);
            let door = Door::new(0, Box::new(|_, ask| Err(ask)));
            let core = Core::new(0, Vec::new(), Vec::new(), vec![own], Vec::new(), door);
            core.state.borrow_mut().local.extend((0..MANY).map(|_| ToCore::Disk(DiskRoom::Ample)));
            core.state.borrow_mut().local.push_back(ToCore::End);
            core.turn();
            let left = core.state.borrow().local.len();
            assert!((1..=MANY).contains(&left), "{left}");
            Rc::clone(&core).run(inbox).await;
            assert!(core.state.borrow().local.is_empty());
        };
        executor.start(main).and_then(Running::join).expect("executor");
    }
}
