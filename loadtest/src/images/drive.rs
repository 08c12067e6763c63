//! A real node with one shard over a real store, driven hard in a process of its own, so that the shim sees everything
//! that it does to the disk: messages, attempts, answers, receipts, checkpoints, runs, retention, and a second start.
//!
//! Knows what a node asks of its host, and plays a carrier in the simplest form. Refuses to know crashes. What it does
//! depends on its seed alone.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stentor::disk::directory::{DataDirectory, FORMAT_VERSION, Format, HighWaterFile};
use stentor::disk::fjall::{FjallMaintainer, FjallOptions, FjallReader, FjallStore};
use stentor::disk::fjall_mutants::Mutant;
use stentor::disk::fjall_start::{self, Started};
use stentor_core::link::{BindId, LinkEvent};
use stentor_core::model::{
    CarrierError, CarrierId, Class, Coding, Content, Encoding, ErrorFamily, Frame, GroupId, Head, KeyPrint, Line,
    LinkId, Mono, Msisdn, Now, Numbers, Prng, ReceiptState, ReplyTo, RouteId, SenderId, ShardId, Tail, Wall,
};
use stentor_core::node::{Alarm, Errand, Host, Node, NodeEvent, Wanted};
use stentor_core::routing::{Condition, Route, RouteTable, Way};
use stentor_core::shard::{Ask, Catalog, CatalogCarrier, Maintenance, Options as ShardOptions, Reply, ShardEvent};
use stentor_core::store::backend::{Backend, Maintainer, Op, RunSink, Space, StoreError};
use stentor_core::store::key::Key;
use stentor_core::store::{Answerer, Recovery, WriteBatch, receipt_run, run};
use stentor_core::traffic::{
    Answer, Grant, IfUnknown, Outcome, OutcomeBatch, ReceiptBatch, ReceiptIn, ReceiptToken, Span, Submit, ToLink,
    ToShard, Unanswered,
};

use super::marks::{self, Mark, Marks};

/// Turns of everyday traffic before the flood and after it.
const TURNS: u64 = 160;
/// Messages of one turn of the flood, and bytes of each.
const FLOOD: (u64, u64) = (256, 2_000);
/// Turns between two checks of the journals, and between two writes of the high-water mark.
const LOOK: u64 = 5;
/// The time at which the wall clock begins, ms.
const EPOCH: u64 = 1_750_000_000_000;
/// The shard's core; the link and the doors are on core 0, which this driver plays.
const CORE: u8 = 1;
const LINK: LinkId = LinkId { carrier: CarrierId(1), core: 0 };
const GROUP: GroupId = GroupId(1);
const ROUTE: RouteId = RouteId(1);
const MINUTE_MS: u64 = 60_000;

/// The options of the hidden command that runs in the traced process.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The traced directory; the data directory is `data` in it
    #[arg(long, value_name = "DIR")]
    pub root: PathBuf,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Write on until the journal was rotated and the old one is removed
    #[arg(long)]
    pub flood: bool,
    /// Stop cleanly at the end, with a last checkpoint
    #[arg(long)]
    pub stop: bool,
    /// Number of a deliberate bug of the store
    #[arg(long, value_name = "N")]
    pub mutant: Option<usize>,
}

/// The format of the data directory.
pub(super) fn format() -> Format {
    Format { version: FORMAT_VERSION, node: 0, shards: 1, created: EPOCH / 1_000 }
}

/// The options with which the store is opened.
pub(super) fn store_options(mutant: Option<Mutant>) -> FjallOptions {
    FjallOptions { mutant, ..FjallOptions::shared_by(4) }
}

/// The options of the shard: small limits, so that everything happens often.
pub(super) fn shard_options() -> ShardOptions {
    let day_ms = 24 * 60 * MINUTE_MS;
    ShardOptions {
        shards: 1,
        receipts_max: 240,
        fold_events: 900,
        retention_ms: day_ms,
        receipt_wait_ms: day_ms,
        ..ShardOptions::default()
    }
}

/// The catalog that the shard is given.
pub(super) fn catalog() -> Arc<Catalog> {
    let way = Way { carrier: LINK.carrier, weight: 1 };
    let route = Route { id: ROUTE, name: "all".into(), when: Condition::default(), ways: vec![way] };
    let carrier = CatalogCarrier {
        id: LINK.carrier,
        name: "only".into(),
        group: GROUP,
        home: Some(0),
        ..CatalogCarrier::default()
    };
    let routes = RouteTable { routes: vec![route] };
    Arc::new(Catalog { version: 1, routes, carriers: vec![carrier], shard_cores: vec![CORE], ..Catalog::default() })
}

/// A node whose one shard is recovered from its store.
pub(super) fn node(seed: u64, found: Recovery, now: Now) -> Node {
    let mut node = Node::new(CORE, usize::from(CORE) + 1, catalog());
    node.seat_shard(shard_options(), seed, found, now);
    node
}

/// A moment of the driver's own clock.
pub(super) fn moment(turn: u64, later_ms: u64) -> Now {
    Now { mono: Mono((turn * 5 + later_ms) * 1_000_000), wall: Wall(EPOCH + turn * 5 + later_ms) }
}

/// Drives a shard through one life.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let mutant = options.mutant.and_then(|number| Mutant::ALL.get(number).copied());
    let mut marks = Marks::open(&options.root)?;
    let data = options.root.join("data");
    marks.set(&Mark::Starting { is_new: true })?;
    let mut driver = Driver::start(&data, options.seed, mutant, marks)?;
    (0..TURNS).try_for_each(|_| driver.everyday())?;
    driver = driver.again(&data)?;
    (0..TURNS).try_for_each(|_| driver.everyday())?;
    if options.flood {
        while driver.rotations < 1 || driver.ground.store.journal_count() > 1 {
            driver.flood()?;
        }
        (0..TURNS).try_for_each(|_| driver.everyday())?;
    }
    // The retention and the wait for receipts pass: segments are dropped, runs deleted.
    driver.later_ms += 5 * 24 * 60 * MINUTE_MS;
    (0..TURNS).try_for_each(|_| driver.everyday())?;
    if options.stop { driver.stop() } else { Ok(()) }
}

struct Driver {
    _directory: DataDirectory,
    node: Node,
    ground: Ground,
    chance: Prng,
    mutant: Option<Mutant>,
    turn: u64,
    later_ms: u64,
    rotations: usize,
    receipts: VecDeque<(Msisdn, u64)>,
}

/// The host of the node: its store, and a carrier.
struct Ground {
    store: FjallStore,
    answerer: Answerer<FjallReader>,
    maintainer: FjallMaintainer,
    mark: HighWaterFile,
    marks: Marks,
    last: u64,
    next_id: u64,
    outcomes: VecDeque<(Submit, u64)>,
    /// Events that the shard gets next.
    answers: Vec<ShardEvent>,
    /// The first error.
    failed: Option<String>,
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Driver {
    fn start(data: &Path, seed: u64, mutant: Option<Mutant>, marks: Marks) -> Result<Self, String> {
        Self::start_at(data, Prng::new(seed), mutant, marks, (0, 0, 0))
    }

    fn start_at(
        data: &Path,
        mut chance: Prng,
        mutant: Option<Mutant>,
        mut marks: Marks,
        (turn, later_ms, next_id): (u64, u64, u64),
    ) -> Result<Self, String> {
        let directory = DataDirectory::open(data, format()).map_err(told)?;
        let started = fjall_start::start(&directory.shard(0), store_options(mutant)).map_err(told)?;
        let Started { store, mark, found, .. } = started;
        marks.set(&Mark::Serving)?;
        let (answerer, maintainer, last) = (Answerer::new(store.reader()), store.maintainer(), found.last.0);
        let now = moment(turn, later_ms);
        let node = node(chance.next_u64(), found, now);
        let (outcomes, answers) = (VecDeque::new(), Vec::new());
        let ground =
            Ground { store, answerer, maintainer, mark, marks, last, next_id, outcomes, answers, failed: None };
        let receipts = VecDeque::new();
        Ok(Self { _directory: directory, node, ground, chance, mutant, turn, later_ms, rotations: 0, receipts })
    }

    /// A second life on the same directory, without a clean end of the first.
    fn again(self, data: &Path) -> Result<Self, String> {
        let Self { _directory, ground, chance, mutant, turn, later_ms, .. } = self;
        let Ground { store, answerer, maintainer, mut marks, next_id, .. } = ground;
        drop((answerer, maintainer, store, _directory));
        marks.set(&Mark::Starting { is_new: false })?;
        Self::start_at(data, chance, mutant, marks, (turn, later_ms, next_id))
    }

    fn now(&self) -> Now {
        moment(self.turn, self.later_ms)
    }

    fn everyday(&mut self) -> Result<(), String> {
        let (messages, bytes) = (self.chance.between(1, 30), self.chance.between(10, 160));
        self.submit(messages, bytes, true);
        self.converse();
        self.end_turn()
    }

    fn flood(&mut self) -> Result<(), String> {
        self.submit(FLOOD.0, FLOOD.1, false);
        let before = self.ground.store.journal_count();
        self.end_turn()?;
        self.rotations += usize::from(self.ground.store.journal_count() > before);
        Ok(())
    }

    fn submit(&mut self, messages: u64, bytes: u64, is_mixed: bool) {
        let mut frame = Frame { reply: ReplyTo { core: 0, ticket: self.turn }, ..Frame::default() };
        let wall = self.now().wall;
        for index in 0..messages {
            let body: Vec<u8> = (0..bytes.div_ceil(8)).flat_map(|_| self.chance.next_u64().to_le_bytes()).collect();
            let content = Content { from: SenderId::default(), body: &body, ..Content::default() };
            let at = frame.arena.len();
            content.encode(&mut frame.arena);
            let is_later = is_mixed && self.chance.chance(100_000);
            let class = if is_mixed { Class::ALL[self.chance.below(4) as usize] } else { Class::Marketing };
            frame.heads.push(Head {
                to: Msisdn::from_number(491_700_000_000 + self.chance.below(100_000)).unwrap_or_default(),
                class,
                encoding: Encoding::Binary,
                receipt: true,
                parts: 1,
                route: ROUTE,
                send_at: if is_later { wall.after_ms(self.chance.between(20, 400)) } else { Wall(0) },
                expires_at: wall.after_ms(30 * 24 * 60 * MINUTE_MS),
                content_at: at as u32,
                content_len: (frame.arena.len() - at) as u32,
                ..Head::default()
            });
            if is_mixed && self.chance.chance(200_000) {
                let print = KeyPrint { key: u128::from(self.chance.below(4_000)), content: self.chance.below(2) };
                frame.keys.push(Line { index: index as u32, print });
            }
        }
        self.tell(ShardEvent::Ask(Ask::Submit(frame)));
    }

    fn tell(&mut self, event: ShardEvent) {
        self.node.push(NodeEvent::Shard(ShardId(0), event));
    }

    /// The carrier's part: grants, answers to submits, receipts.
    fn converse(&mut self) {
        let now = self.now();
        for class in Class::ALL {
            let grant = Grant { link: LINK, class, messages: 8, standing: false };
            self.tell(ShardEvent::Traffic(ToShard::Grant(grant)));
        }
        let mut batch = OutcomeBatch { link: LINK, group: GROUP, ..OutcomeBatch::default() };
        for _ in 0..self.ground.outcomes.len() / 2 {
            let Some((submit, id)) = self.ground.outcomes.pop_front() else { break };
            let answer = match self.chance.below(20) {
                0 => Answer::Refused(CarrierError::of_answer(ErrorFamily::Throttle, 0x58)),
                1 => Answer::Unanswered(Unanswered::ConnectionLost),
                _ => {
                    self.receipts.push_back((submit.head.to, id));
                    Answer::Accepted(Span::append(&mut batch.arena, id.to_string().as_bytes()))
                }
            };
            let Submit { address, attempt, .. } = submit;
            batch.outcomes.push(Outcome {
                address,
                attempt,
                part: 1,
                parts: 1,
                answer,
                bind: 0,
                written_at: now.mono,
                sender: Tail::NONE,
                coding: Coding::Gsm7,
            });
        }
        self.tell(ShardEvent::Traffic(ToShard::Outcomes(batch)));
        let mut batch = ReceiptBatch { link: LINK, group: GROUP, ..ReceiptBatch::default() };
        while self.receipts.len() > 60 {
            let Some((to, id)) = self.receipts.pop_front() else { break };
            // Every fifth receipt never comes; every twentieth has an unknown id.
            let id = match self.chance.below(20) {
                0..4 => continue,
                4 => id + 1_000_000,
                _ => id,
            };
            batch.receipts.push(ReceiptIn {
                token: ReceiptToken(id),
                if_unknown: IfUnknown::Park,
                recipient: to.number(),
                numbers: Numbers { source: Tail::of(to.number()), destination: Tail::NONE },
                is_untyped: false,
                is_shared: false,
                is_asked: false,
                id: Span::append(&mut batch.arena, id.to_string().as_bytes()),
                state: ReceiptState::Delivered,
                error: CarrierError::default(),
                reference: None,
                at: now.wall,
                text: Span::default(),
            });
        }
        self.tell(ShardEvent::Traffic(ToShard::Receipts(batch)));
    }

    fn end_turn(&mut self) -> Result<(), String> {
        self.settle()?;
        self.turn += 1;
        if self.turn.is_multiple_of(LOOK) {
            let ground = &mut self.ground;
            ground.marks.set(&Mark::Checkpoint)?;
            ground.maintainer.checkpoint().map_err(told)?;
            ground.mark.write(ground.last).map_err(told)?;
        }
        Ok(())
    }

    /// Turns the node until nothing is left to do.
    fn settle(&mut self) -> Result<(), String> {
        loop {
            self.node.turn(moment(self.turn, self.later_ms), &mut self.ground);
            if let Some(error) = self.ground.failed.take() {
                return Err(error);
            }
            if self.ground.answers.is_empty() {
                return Ok(());
            }
            for event in self.ground.answers.split_off(0) {
                self.tell(event);
            }
        }
    }

    /// Ends as the daemon does: everything is answered, then a checkpoint and a "clean" mark.
    fn stop(mut self) -> Result<(), String> {
        self.node.push(NodeEvent::Drain);
        while !self.ground.outcomes.is_empty() {
            self.turn += 1;
            self.converse();
            if self.ground.outcomes.len() == 1 {
                self.ground.outcomes.clear();
            }
            self.settle()?;
        }
        self.node.push(NodeEvent::Seal);
        self.settle()?;
        while self.node.shards().any(|(_, shard)| shard.checkpoint_pending()) {
            self.settle()?;
        }
        self.ground.mark.seal(self.ground.last).map_err(told)
    }
}

/// Content that a run should have.
#[derive(Default)]
struct Said(Vec<(Vec<u8>, u64)>);

impl RunSink for Said {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.0.push((key.to_vec(), marks::digest(value)));
        Ok(())
    }
}

impl Ground {
    fn write(&mut self, batch: WriteBatch) -> Result<(), String> {
        let seq = batch.seq;
        let ops = batch.into_ops();
        let is = |wanted: &dyn Fn(&[u8]) -> bool| {
            ops.iter().any(|op| matches!(op, Op::Put { space: Space::Meta, key, .. } if wanted(key)))
        };
        self.marks.set(&Mark::Batch {
            seq: seq.0,
            is_checkpoint: is(&|key| *key == Key::Checkpoint.bytes()),
            is_registration: is(&|key| run::parse_registration_key(key).is_some()),
            changes: ops.iter().map(marks::change).collect(),
        })?;
        self.store.commit(ops).map_err(told)?;
        self.marks.set(&Mark::Kept(seq.0))?;
        self.last = seq.0;
        self.answers.push(ShardEvent::Committed(seq));
        Ok(())
    }

    fn maintain(&mut self, work: Maintenance) -> Result<(), String> {
        match work {
            Maintenance::DropRange { space, from, to } => {
                self.marks.set(&Mark::Drop { space, from: from.clone(), to: to.clone() })?;
                self.maintainer.drop_range(space, &from, &to).map_err(told)
            }
            Maintenance::WriteRun { run, mut notes } => {
                let mut said = Said::default();
                receipt_run::put(&mut notes, &mut said).map_err(told)?;
                self.marks.set(&Mark::Run { number: run.1, entries: said.0 })?;
                self.maintainer.write_run(run, &mut |sink| receipt_run::put(&mut notes, sink)).map_err(told)?;
                self.answers.push(ShardEvent::RunWritten(run));
                self.marks.set(&Mark::RunKept(run.1))
            }
            Maintenance::DeleteRun(run) => self.maintainer.delete_run(run).map_err(told),
            Maintenance::Checkpoint => self.maintainer.checkpoint().map_err(told),
        }
    }

    fn note(&mut self, done: Result<(), String>) {
        if let Err(error) = done {
            self.failed.get_or_insert(error);
        }
    }
}

impl Host for Ground {
    fn commit(&mut self, _: ShardId, batch: WriteBatch) {
        let done = self.write(batch);
        self.note(done);
    }

    fn errand(&mut self, _: ShardId, errand: Errand) {
        match errand {
            Errand::Read(request) => self.answers.push(ShardEvent::Found(self.answerer.answer(request))),
            Errand::Maintain(work) => {
                let done = self.maintain(work);
                self.note(done);
            }
        }
    }

    fn reply(&mut self, _: ReplyTo, _: Reply) {}

    fn post(&mut self, _: u8, mail: NodeEvent) -> Option<NodeEvent> {
        if let NodeEvent::Link(_, LinkEvent::Traffic(ToLink::Submits(batch))) = mail {
            for submit in batch.submits {
                self.next_id += 1;
                self.outcomes.push_back((submit, self.next_id));
            }
        }
        None
    }

    fn connection(&mut self, _: usize, _: BindId, _: Wanted) {}

    fn alarm(&mut self, alarm: Alarm<'_>) {
        self.note(Err(format!("an alarm: {alarm:?}")));
    }

    fn is_late(&mut self) -> bool {
        false
    }
}
