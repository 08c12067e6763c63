//! A node with one shard over a store, for tests, which play its storage threads, its doors and its links: these live
//! on other cores. What the node sends is collected; what it is told goes through its turns, as in the daemon.

#![allow(clippy::expect_used, clippy::panic, reason = "tests drive it, and a panic is how they fail")]

use std::marker::PhantomData;

use crate::model::{GroupId, RouteId};
use crate::routing::{Condition, Route, RouteTable, Way};
use crate::shard::{Ask, CatalogCarrier, Maintenance, Options};
use crate::store::backend::Maintainer;
use crate::store::{Answerer, Backend, ReadRequest, WriteBatch, receipt_run, recover};
use crate::traffic::{QueryBatch, ReceiptToken, Submit, ToLink, Verdict};

use super::*;

/// The core of the shard.
const CORE: u8 = 7;
/// Most turns until everything must be at rest.
const TURNS_MAX: usize = 100_000;

/// A node with one shard, driven by a test. `T` tells the worlds of several files apart, so that each can add methods of its own.
#[derive(Debug)]
pub struct World<S: Backend, T> {
    pub node: Node,
    pub store: S,
    pub answerer: Answerer<S::Reader>,
    pub options: Options,
    pub now: Now,
    /// The batch on its way to the disk.
    pub batch: Option<WriteBatch>,
    pub reads: VecDeque<ReadRequest>,
    pub works: Vec<Maintenance>,
    pub replies: Vec<Reply>,
    /// The tickets of `replies`, in the same order.
    pub tickets: Vec<u64>,
    pub submits: Vec<Submit>,
    pub verdicts: Vec<(ReceiptToken, Verdict)>,
    /// Messages about which links are to query their carrier.
    pub queries: Vec<QueryBatch>,
    /// Grant places that the shard gave back unused.
    pub unused: u32,
    /// What the operator was told; `None`: an alarm that is no [`Alarm::Note`] fails the test.
    pub alarms: Option<Vec<String>>,
    /// The home of the counters of limits: the shard's node is not that of core 0.
    pub home: Home,
    of: PhantomData<T>,
}

/// A catalog with one route, number 1, over the carrier of that link.
pub fn catalog(link: LinkId, group: GroupId) -> Arc<Catalog> {
    let way = Way { carrier: link.carrier, weight: 1 };
    let route = Route { id: RouteId(1), name: "all".into(), when: Condition::default(), ways: vec![way] };
    let carrier = CatalogCarrier {
        id: link.carrier,
        name: "north".into(),
        group,
        home: Some(link.core),
        ..CatalogCarrier::default()
    };
    let routes = RouteTable { routes: vec![route] };
    Arc::new(Catalog { version: 1, routes, carriers: vec![carrier], shard_cores: vec![CORE], ..Catalog::default() })
}

impl<S: Backend, T> World<S, T> {
    /// Recovers the shard from the store.
    pub fn start(store: S, options: Options, catalog: Arc<Catalog>, now: Now) -> Self {
        let mut world = Self {
            home: Home::new([options.shard], Arc::clone(&catalog.limits)),
            node: Node::new(CORE, usize::from(CORE) + 1, catalog),
            answerer: Answerer::new(store.reader()),
            store,
            options: options.clone(),
            now,
            batch: None,
            reads: VecDeque::new(),
            works: Vec::new(),
            replies: Vec::new(),
            tickets: Vec::new(),
            submits: Vec::new(),
            verdicts: Vec::new(),
            queries: Vec::new(),
            unused: 0,
            alarms: None,
            of: PhantomData,
        };
        let found = recover(&world.store.reader()).expect("sound");
        world.node.seat_shard(options, 7, found, now);
        world.settle();
        world
    }

    /// The process dies and starts again from what is durable.
    pub fn restart(&mut self, options: Options) {
        let catalog = Arc::clone(&self.node.catalog);
        let found = recover(&self.store.reader()).expect("sound");
        (self.answerer, self.options) = (Answerer::new(self.store.reader()), options.clone());
        self.home = Home::new([options.shard], Arc::clone(&catalog.limits));
        self.node = Node::new(CORE, usize::from(CORE) + 1, catalog);
        self.node.seat_shard(options, 8, found, self.now);
        self.settle();
    }

    pub fn shard(&self) -> &Shard {
        &self.node.shards[0].1
    }

    pub fn shard_mut(&mut self) -> &mut Shard {
        &mut self.node.shards[0].1
    }

    /// Delivers an event, and does everything that does not need the disk.
    pub fn tell(&mut self, event: ShardEvent) {
        self.node.push(NodeEvent::Shard(self.node.shards[0].0, event));
        self.turn();
    }

    /// Delivers an event, and does everything that follows from it, until it is durable.
    pub fn handle(&mut self, event: ShardEvent) {
        self.tell(event);
        self.settle();
    }

    pub fn ask(&mut self, ask: Ask) -> Reply {
        self.handle(ShardEvent::Ask(ask));
        self.replies.pop().expect("an answer")
    }

    /// Runs a turn: everything that does not need the disk.
    pub fn turn(&mut self) {
        // The node is taken out, because the world is its host.
        let mut node = std::mem::replace(&mut self.node, Node::new(CORE, 0, Arc::default()));
        loop {
            assert!(node.turn(self.now, self), "a turn is never late here");
            self.home.handle_timeout(self.now);
            let Some((shard, given)) = self.home.poll_given() else { break };
            node.push(NodeEvent::Shard(shard, ShardEvent::Given(given)));
        }
        self.node = node;
    }

    /// The batch under way becomes durable.
    pub fn sync(&mut self) {
        let batch = self.batch.take().expect("a batch is under way");
        let seq = batch.seq;
        self.store.commit(batch.into_ops()).expect("kept");
        self.tell(ShardEvent::Committed(seq));
    }

    /// Answers every read of the reader thread.
    pub fn read(&mut self) {
        while let Some(request) = self.reads.pop_front() {
            let found = self.answerer.answer(request);
            self.tell(ShardEvent::Found(found));
        }
    }

    fn maintain(&mut self, work: Maintenance) {
        let mut maintainer = self.store.maintainer();
        match work {
            Maintenance::DropRange { space, from, to } => {
                maintainer.drop_range(space, &from, &to).expect("dropped");
            }
            Maintenance::WriteRun { run, mut notes } => {
                maintainer.write_run(run, &mut |sink| receipt_run::put(&mut notes, sink)).expect("in order");
                self.tell(ShardEvent::RunWritten(run));
            }
            Maintenance::DeleteRun(run) => maintainer.delete_run(run).expect("deleted"),
            Maintenance::Checkpoint => {}
        }
    }

    /// Runs until nothing more can happen at this time.
    pub fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            self.turn();
            if self.batch.is_some() {
                self.sync();
            }
            self.read();
            for work in std::mem::take(&mut self.works) {
                self.maintain(work);
            }
            let is_due = self.next_at().is_some_and(|at| at <= self.now.mono);
            if self.batch.is_none() && !is_due {
                return;
            }
        }
        panic!("the node does not come to rest");
    }

    /// Time passes, and the node wakes whenever it asked to.
    pub fn pass(&mut self, ms: u64) {
        let end = self.now.after_ns(ms * 1_000_000);
        loop {
            let next = self.next_at().filter(|at| *at <= end.mono);
            let at = next.unwrap_or(end.mono).max(self.now.mono);
            self.now = self.now.after_ns(at.0 - self.now.mono.0);
            self.settle();
            if next.is_none() {
                return;
            }
        }
    }

    fn next_at(&self) -> Option<Mono> {
        self.node.poll_timeout().into_iter().chain(self.home.poll_timeout()).min()
    }

    /// Makes a checkpoint.
    pub fn checkpoint(&mut self) {
        self.handle(ShardEvent::Checkpoint);
        assert!(!self.shard().checkpoint_pending());
    }
}

impl<S: Backend, T> Host for World<S, T> {
    fn commit(&mut self, _: ShardId, batch: WriteBatch) {
        assert!(self.batch.replace(batch).is_none(), "at most one batch is under way");
    }

    fn errand(&mut self, _: ShardId, errand: Errand) {
        match errand {
            Errand::Read(request) => self.reads.push_back(request),
            Errand::Maintain(work) => self.works.push(work),
        }
    }

    fn reply(&mut self, to: ReplyTo, _: Reply) {
        panic!("{to:?}: a door on this core");
    }

    fn post(&mut self, _: u8, mail: NodeEvent) -> Option<NodeEvent> {
        match mail {
            NodeEvent::Reply(to, reply) => {
                self.tickets.push(to.ticket);
                self.replies.push(reply);
            }
            NodeEvent::Link(_, LinkEvent::Traffic(ToLink::Submits(batch))) => {
                self.submits.extend(batch.submits);
                self.unused += batch.unused;
            }
            NodeEvent::Link(_, LinkEvent::Traffic(ToLink::Verdicts(batch))) => self.verdicts.extend(batch.verdicts),
            NodeEvent::Link(_, LinkEvent::Traffic(ToLink::Queries(batch))) => self.queries.push(batch),
            NodeEvent::Link(_, LinkEvent::Traffic(ToLink::Demand(_))) => {}
            NodeEvent::Home(mail) => self.home.handle(mail, self.now),
            other => panic!("{other:?}"),
        }
        None
    }

    fn connection(&mut self, _: usize, _: BindId, wanted: Wanted) {
        panic!("{wanted:?}: no link is here");
    }

    fn alarm(&mut self, alarm: Alarm<'_>) {
        match (alarm, &mut self.alarms) {
            (Alarm::Shard(_, what) | Alarm::Note(_, what), Some(alarms)) => alarms.push(what),
            (Alarm::Note(..), None) => {}
            (alarm, _) => panic!("{alarm:?}"),
        }
    }

    fn is_late(&mut self) -> bool {
        false
    }
}
