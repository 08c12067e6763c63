//! One core of the daemon: a [`Node`] in its loop, with what it needs of the machine. Carries events in and effects out.
//!
//! Everything that reaches the core (connections to carriers, the inbox) enters by a method of [`Core`], which passes it to the
//! node and then gives the node a turn. Then the core sleeps until its inbox or the next timeout wakes it. Shards and links
//! that feed each other, or an inbox that is never empty, do not keep the executor: a turn ends when its poll has had its time,
//! and the loop goes on with the rest when other tasks have run. [`Pace`] decides when batches are handed out.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use crate::{
    egress::{Connection, Dial, LinkOwner, PduLog, pdus::Tap},
    http::Door,
};
use stentor_core::{
    link::{self, BindId, Disconnect, Link},
    mesh::{Full, Inbox, Sender},
    model::{LimitId, LinkId, Mono, ReplyTo, ShardId},
    node::{self, Alarm, Host, Node, NodeEvent, Stretch, Wanted},
    shard::{self, Catalog, Reply, Shard},
    store::{WriteBatch, fold::ReaderAt},
};

use super::{
    backup,
    pace::Pace,
    storage::{Errand, Storage},
};
use crate::host::executor;

/// Items taken from the inbox in one turn.
const INBOX_MAX: usize = 256;
/// Time until a reader thread that had no room is asked again.
const RETRY_MS: u64 = 1;

/// What reaches a core from other threads.
#[derive(Debug)]
pub enum ToCore {
    /// Mail for the core's node.
    Node(NodeEvent),
    /// A backup asks for a snapshot of a shard's store.
    BackUp(ShardId, backup::Order),
}

/// One core. See the head of this file. All state is behind one `RefCell`: a method borrows it for the length of a turn, never
/// across an await.
pub struct Core {
    id: u8,
    state: RefCell<State>,
    door: Rc<Door>,
    waker: RefCell<Option<Waker>>,
    deadline: Cell<Option<Mono>>,
    /// The executor's count of polls when the loop last ran.
    polls: Cell<u64>,
    /// Turns so far.
    turns: Cell<u64>,
}

struct State {
    node: Node,
    pace: Pace,
    storages: Vec<(ShardId, Storage)>,
    /// By the index of the link.
    wires: Vec<Wires>,
    cores: Vec<Sender<ToCore>>,
}

/// The connections of one link.
struct Wires {
    dial: Rc<Dial>,
    /// By bind.
    open: Vec<Option<Rc<Connection>>>,
    /// By bind, while PDUs are logged: how far the incoming bytes were read.
    taps: Vec<Option<Tap>>,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Core").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Core {
    /// The core of a node whose shards are seated, with the threads beside them; `cores` are the mailboxes of all cores by
    /// number.
    pub fn new(
        id: u8,
        node: Node,
        storages: Vec<(ShardId, Storage)>,
        cores: Vec<Sender<ToCore>>,
        door: Rc<Door>,
    ) -> Rc<Self> {
        let state = State { node, pace: Pace::default(), storages, wires: Vec::new(), cores };
        let (state, waker) = (RefCell::new(state), RefCell::new(None));
        Rc::new(Self { id, state, door, waker, deadline: Cell::new(None), polls: Cell::new(0), turns: Cell::new(0) })
    }

    /// Runs turns until [`NodeEvent::End`].
    pub async fn run(self: Rc<Self>, mut inbox: Inbox<ToCore>) {
        let mut items = Vec::with_capacity(INBOX_MAX);
        self.turn_as(true);
        loop {
            let (drained, is_alone) = self.wait(&mut inbox, &mut items).await;
            if drained == Some(0) {
                return;
            }
            self.state.borrow_mut().take(&mut items);
            self.turn_as(is_alone);
            if self.stretch() == Stretch::Ended {
                // Tasks that outlive this loop keep the core alive; the threads beside its shards must end anyway.
                self.state.borrow_mut().storages.clear();
                return;
            }
            executor::breathe().await;
        }
    }

    /// Sleeps until the inbox has items (returns how many), or until the next timeout has come, a turn was not finished or a
    /// waiting batch may be handed out (`None`). Also returns whether no other task has run since the last time.
    async fn wait(&self, inbox: &mut Inbox<ToCore>, items: &mut Vec<ToCore>) -> (Option<usize>, bool) {
        let mut armed = None;
        let mut timer: Pin<Box<dyn Future<Output = ()>>> = Box::pin(std::future::pending());
        poll_fn(|context: &mut Context<'_>| {
            let polls = executor::polls_begun();
            let is_alone = polls - self.polls.replace(polls) <= 1;
            let (left, wants_out, asks_again) = {
                let State { node, pace, .. } = &*self.state.borrow();
                let now = executor::now().mono;
                (node.waiting(), pace.wants_out(now, is_alone), pace.asks_again(now))
            };
            // What is left is done first; meanwhile the mailbox fills, and its senders wait.
            if left >= INBOX_MAX {
                return Poll::Ready((None, is_alone));
            }
            if let Poll::Ready(drained) = pin!(inbox.drain(items, INBOX_MAX)).poll(context) {
                return Poll::Ready((Some(drained), is_alone));
            }
            if left > 0 || wants_out {
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
                // Run again after all tasks that are ready.
                context.waker().wake_by_ref();
            }
            *self.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn stretch(&self) -> Stretch {
        self.state.borrow().node.stretch()
    }

    /// See [`Node::is_drained`].
    pub fn is_drained(&self) -> bool {
        self.state.borrow().node.is_drained()
    }

    /// See [`Node::is_sealed`].
    pub fn is_sealed(&self) -> bool {
        self.state.borrow().node.is_sealed()
    }

    /// How many turns there were: if no more than before, nothing has happened.
    pub const fn turns(&self) -> u64 {
        self.turns.get()
    }

    /// Gives existing links their options and seats new ones. No link is ever removed.
    pub fn seat_links(self: &Rc<Self>, links: Vec<(link::Options, Dial)>, seed: impl Fn(LinkId) -> u64) {
        let now = executor::now();
        for (options, dial) in links {
            let (seed, dial) = (seed(options.link), Rc::new(dial));
            let State { node, wires, .. } = &mut *self.state.borrow_mut();
            let place = node.seat_link(options, seed, now);
            match wires.get_mut(place) {
                Some(known) => known.dial = dial,
                None => wires.push(Wires { dial, open: Vec::new(), taps: Vec::new() }),
            }
        }
    }

    /// A reload: new options for existing links, and new links.
    pub fn reconfigure_links(self: &Rc<Self>, links: Vec<(link::Options, Dial)>, seed: impl Fn(LinkId) -> u64) {
        self.seat_links(links, seed);
        self.turn();
    }

    /// A reload: existing shards get the catalog and their options.
    pub fn reconfigure_shards(self: &Rc<Self>, catalog: &Arc<Catalog>, options: Vec<shard::Options>) {
        let now = executor::now();
        self.state.borrow_mut().node.handle_catalog(catalog, now);
        for options in options {
            self.state.borrow_mut().node.handle_options(options, now);
        }
        self.turn();
    }

    /// How far readers of records have come, by shard.
    pub fn handle_readers(&self, of: impl Fn(ShardId) -> Vec<ReaderAt>) {
        self.state.borrow_mut().node.handle_readers(of, executor::now());
    }

    /// Calls `look` with the shard at this index; `None` after the last one.
    pub fn visit_shard<R>(&self, place: usize, look: impl FnOnce(ShardId, &Shard) -> R) -> Option<R> {
        self.state.borrow().node.shards().nth(place).map(|(id, shard)| look(id, shard))
    }

    /// Calls `look` with the link at this index; `None` after the last one.
    pub fn visit_link<R>(&self, place: usize, look: impl FnOnce(LinkId, &mut Link) -> R) -> Option<R> {
        self.state.borrow_mut().node.links().nth(place).map(|(id, link)| look(id, link))
    }

    /// See [`Node::limits_used`].
    pub fn limits_used(&self) -> Vec<(LimitId, f64)> {
        self.state.borrow_mut().node.limits_used(executor::now())
    }

    /// See [`Node::is_clock_set`].
    pub fn follow_clock(self: &Rc<Self>) {
        if self.state.borrow().node.is_clock_set(executor::now()) {
            self.turn();
        }
    }

    /// A turn after an event from outside the loop. Its batch waits for what other tasks add to it.
    fn turn(self: &Rc<Self>) {
        self.turn_as(false);
    }

    /// Gives the node a turn, then notes when to wake. `is_alone`: no other task is ready.
    fn turn_as(self: &Rc<Self>, is_alone: bool) {
        self.turns.set(self.turns.get() + 1);
        let (deadline, is_through, replies) = self.state.borrow_mut().turn(self, is_alone);
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
}

impl State {
    fn take(&mut self, items: &mut Vec<ToCore>) {
        for item in items.drain(..) {
            match item {
                ToCore::Node(event) => self.node.push(event),
                ToCore::BackUp(id, order) => {
                    if let Some(storage) = storage(&mut self.storages, id) {
                        storage.ask(Errand::BackUp(order));
                    }
                }
            }
        }
    }

    fn lose(&mut self, link: usize, bind: BindId, reason: Disconnect, torn: bool) {
        if let Some(wires) = self.wires.get_mut(link) {
            forget(&mut wires.open, bind);
            forget(&mut wires.taps, bind);
        }
        self.node.handle_disconnected(link, bind, reason, torn, executor::now());
    }

    /// The PDU log of that link, and how far the incoming bytes of that connection were read; to be called before the session
    /// handles what is logged.
    fn tap(&mut self, link: usize, bind: BindId) -> Option<(&PduLog, &mut Tap)> {
        let Self { node, wires, .. } = self;
        let Wires { dial, taps, .. } = wires.get_mut(link)?;
        let Some(log) = &dial.pdus else {
            taps.clear();
            return None;
        };
        let place = usize::from(bind.0);
        if taps.len() <= place {
            taps.resize_with(place + 1, || None);
        }
        Some((log, taps[place].get_or_insert_with(|| Tap::at(node.begun(link, bind)))))
    }

    fn turn(&mut self, core: &Rc<Core>, is_alone: bool) -> (Option<Mono>, bool, Vec<(ReplyTo, Reply)>) {
        let now = executor::now();
        let Self { node, pace, storages, wires, cores } = self;
        let (mono, replies) = (now.mono, Vec::new());
        let mut machine = Machine { core, now: mono, is_alone, pace, storages, wires, cores, replies };
        let is_through = node.turn(now, &mut machine);
        let replies = machine.replies;
        storages.iter_mut().for_each(|(_, storage)| storage.ask_again());
        let is_full = storages.iter().any(|(_, storage)| storage.is_full());
        let retry_at = is_full.then(|| now.mono.after_ms(RETRY_MS));
        let deadline = node.poll_timeout().into_iter().chain(retry_at).chain(self.pace.deadline(mono)).min();
        (deadline, is_through && !self.pace.asks_again(mono), replies)
    }
}

fn forget<T>(of_binds: &mut [Option<T>], bind: BindId) {
    if let Some(place) = of_binds.get_mut(usize::from(bind.0)) {
        *place = None;
    }
}

fn storage(storages: &mut [(ShardId, Storage)], id: ShardId) -> Option<&mut Storage> {
    storages.iter_mut().find(|(known, _)| *known == id).map(|(_, storage)| storage)
}

/// What a node's turn can use of the machine.
struct Machine<'a> {
    core: &'a Rc<Core>,
    now: Mono,
    is_alone: bool,
    pace: &'a mut Pace,
    storages: &'a mut [(ShardId, Storage)],
    wires: &'a mut [Wires],
    cores: &'a [Sender<ToCore>],
    /// Sent when the turn is over, because their receivers may enter the core again.
    replies: Vec<(ReplyTo, Reply)>,
}

impl Host for Machine<'_> {
    fn takes_batches(&mut self, is_through: bool) -> bool {
        self.pace.hands_out(self.now, self.is_alone && is_through)
    }

    fn commit(&mut self, shard: ShardId, batch: WriteBatch) {
        self.pace.handed_out(self.now, batch.weight());
        let Some(storage) = storage(self.storages, shard) else { return };
        if storage.commits.try_push(batch).is_err() {
            unreachable!("one batch at a time is under way to a storage thread");
        }
    }

    fn errand(&mut self, shard: ShardId, errand: node::Errand) {
        if let Some(storage) = storage(self.storages, shard) {
            storage.ask(Errand::Work(errand));
        }
    }

    fn reply(&mut self, to: ReplyTo, reply: Reply) {
        self.replies.push((to, reply));
    }

    fn post(&mut self, core: u8, mail: NodeEvent) -> Option<NodeEvent> {
        match self.cores[usize::from(core)].try_push(ToCore::Node(mail)) {
            Ok(()) => None,
            Err(Full(ToCore::Node(mail))) => Some(mail),
            Err(Full(ToCore::BackUp(..))) => unreachable!("it was pushed as mail"),
        }
    }

    fn connection(&mut self, link: usize, bind: BindId, wanted: Wanted) {
        let (wires, place) = (&mut self.wires[link], usize::from(bind.0));
        if let Wanted::Connect(way) = wanted {
            let owner = Rc::new(Seat { core: Rc::clone(self.core), link });
            if wires.open.len() <= place {
                wires.open.resize(place + 1, None);
            }
            wires.open[place] = Some(Connection::open(bind, Rc::clone(&wires.dial), way, owner));
            return;
        }
        let Some(Some(open)) = wires.open.get(place) else { return };
        match wanted {
            Wanted::Connect(_) => unreachable!("connected above"),
            Wanted::Transmit => open.transmit(),
            Wanted::Close => open.close(),
            Wanted::Pause => open.pause(true),
            Wanted::Resume => open.pause(false),
        }
    }

    fn alarm(&mut self, alarm: Alarm<'_>) {
        let core = self.core.id;
        match alarm {
            Alarm::Shard(_, what) => tracing::error!("{what}"),
            Alarm::Note(_, what) => tracing::warn!("{what}"),
            Alarm::Link(carrier, alarm @ (link::Alarm::LinkUp | link::Alarm::BreakerClosed)) => {
                tracing::info!(carrier, core, "carrier {carrier}: {alarm}");
            }
            Alarm::Link(carrier, link::Alarm::Unread { bind: BindId(bind), peer, what, hex, untold }) => {
                tracing::warn!(
                    carrier,
                    core,
                    bind,
                    peer,
                    what,
                    hex,
                    untold,
                    "carrier {carrier}: a PDU that cannot be read"
                );
            }
            Alarm::Link(carrier, link::Alarm::SessionLost { bind: BindId(bind), why }) => {
                tracing::warn!(carrier, core, bind, "carrier {carrier}: session lost: {why}");
            }
            Alarm::Link(carrier, alarm) => tracing::warn!(carrier, core, "carrier {carrier}: {alarm}"),
            Alarm::Misrouted(mail) => tracing::error!(core, ?mail, "mail for a shard or link that is not on this core"),
        }
    }

    fn is_late(&mut self) -> bool {
        executor::is_late()
    }
}

/// The end through which a link's connections talk to it.
struct Seat {
    core: Rc<Core>,
    /// The link's index.
    link: usize,
}

impl LinkOwner for Seat {
    fn connected(&self, bind: BindId) {
        self.core.state.borrow_mut().node.handle_connected(self.link, bind, executor::now());
        self.core.turn();
    }

    /// Handles as many PDUs as there is time for, a stretch at a time; then one turn for all of them.
    fn bytes(&self, bind: BindId, bytes: &[u8]) -> usize {
        let (mut rest, now) = (bytes, executor::now());
        let is_told = self.core.state.borrow_mut().tap(self.link, bind).is_some();
        while !rest.is_empty() {
            let mut state = self.core.state.borrow_mut();
            let dealt_with = state.node.handle_bytes(self.link, bind, rest, now);
            if is_told && let Some((log, tap)) = state.tap(self.link, bind) {
                log.received(bind, tap, rest.get(..dealt_with).unwrap_or_default());
            }
            drop(state);
            rest = rest.get(dealt_with..).unwrap_or_default();
            if executor::is_very_late() {
                break;
            }
        }
        self.core.turn();
        bytes.len() - rest.len()
    }

    fn take_transmit(&self, bind: BindId, out: &mut Vec<u8>) -> bool {
        let state = &mut *self.core.state.borrow_mut();
        let taken_before = out.len();
        let some = state.node.take_transmit(self.link, bind, out);
        if some && let Some(log) = state.wires.get(self.link).and_then(|wires| wires.dial.pdus.as_ref()) {
            log.sent(bind, &out[taken_before..]);
        }
        some
    }

    fn written(&self, bind: BindId, bytes: usize) {
        self.core.state.borrow_mut().node.handle_written(self.link, bind, bytes, executor::now());
        self.core.turn();
    }

    fn words(&self, bind: BindId, words: String) {
        self.core.state.borrow_mut().node.handle_words(self.link, bind, words, executor::now());
    }

    fn disconnected(&self, bind: BindId, reason: Disconnect, torn: bool) {
        self.core.state.borrow_mut().lose(self.link, bind, reason, torn);
        self.core.turn();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{
        clock::Clock,
        executor::{Executor, Io, Running},
        watchdog::Heartbeat,
    };
    use stentor_core::{
        mesh::{self, CoreId},
        model::DiskRoom,
    };

    /// More than a millisecond of work: if a turn is late, the loop does the rest of it.
    #[test]
    fn a_turn_ends_in_time_and_the_loop_does_the_rest() {
        const MANY: usize = 1_000_000;
        let main = || async {
            let (own, inbox) = mesh::mailbox(4);
            let door = Door::new(0, Box::new(|_, ask| Err(ask)), Box::new(|_| false));
            let core = Core::new(0, Node::new(0, 1, Arc::default()), Vec::new(), vec![own], door);
            let push = |event| core.state.borrow_mut().node.push(event);
            (0..MANY).for_each(|_| push(NodeEvent::Disk(DiskRoom::Ample)));
            push(NodeEvent::End);
            core.turn();
            let left = core.state.borrow().node.waiting();
            assert!((1..=MANY).contains(&left), "{left}");
            Rc::clone(&core).run(inbox).await;
            assert_eq!(core.state.borrow().node.waiting(), 0);
        };
        for io in Io::here() {
            let executor =
                Executor { io, core: CoreId(0), cpu: None, clock: Clock::start(), heart: Heartbeat::default() };
            executor.start(main).and_then(Running::join).expect("executor");
        }
    }
}
