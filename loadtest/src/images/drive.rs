//! A real shard over a real store, driven hard in a process of its own, so that the shim sees everything that it does to
//! the disk: messages, attempts, answers, receipts, checkpoints, runs, retention, and a second start.
//!
//! Knows: how a shard is turned (as `runtime` turns it), and a carrier's side of the conversation in the simplest form.
//! Refuses to know: crashes. What it does depends on its seed alone.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stentor::model::{
    CarrierId, Class, Content, Encoding, Frame, GroupId, Head, KeyPrint, Line, LinkId, Mono, Msisdn, Now, Prng,
    ReplyTo, RouteId, SenderId, Wall,
};
use stentor::routing::{Condition, Route, RouteTable, Way};
use stentor::shard::{Ask, Catalog, CatalogCarrier, Effect, Maintenance, Options as ShardOptions, Shard, ShardEvent};
use stentor::smpp::receipt::ReceiptState;
use stentor::store::backend::{Backend, Maintainer, Op, Space};
use stentor::store::directory::{DataDirectory, FORMAT_VERSION, Format, HighWaterFile};
use stentor::store::fjall::{FjallMaintainer, FjallOptions, FjallReader, FjallStore};
use stentor::store::fjall_mutants::Mutant;
use stentor::store::fjall_start::{self, Started};
use stentor::store::key::Key;
use stentor::store::{Answerer, WriteBatch, content, run};
use stentor::traffic::{
    Answer, Grant, IfUnknown, Outcome, OutcomeBatch, ReceiptBatch, ReceiptIn, ReceiptToken, Span, Submit, ToLink,
    ToShard, Unanswered,
};

use super::marks::{self, Mark, Marks};

/// Turns of everyday traffic before the flood and after it.
const TURNS: u64 = 160;
/// Messages and octets of one turn of the flood.
const FLOOD: (u64, u64) = (256, 2_000);
/// Turns between two looks after the journals, and between two writings of the high-water mark.
const LOOK: u64 = 5;
/// A wall clock's beginning, ms.
const EPOCH: u64 = 1_750_000_000_000;
const LINK: LinkId = LinkId { carrier: CarrierId(1), core: 0 };
const GROUP: GroupId = GroupId(1);
const ROUTE: RouteId = RouteId(1);
const MINUTE_MS: u64 = 60_000;

/// What was typed; for the process that the shim stands before.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The traced directory; the data directory is `data` in it
    #[arg(long, value_name = "DIR")]
    pub root: PathBuf,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Write on until the journal was rotated and the old one is gone
    #[arg(long)]
    pub flood: bool,
    /// Stop in good order at the end, with a last checkpoint
    #[arg(long)]
    pub stop: bool,
    /// Number of a deliberate bug of the store
    #[arg(long, value_name = "N")]
    pub mutant: Option<usize>,
}

/// What the data directory is made for.
pub fn format() -> Format {
    Format { version: FORMAT_VERSION, node: 0, shards: 1, created: EPOCH / 1_000 }
}

/// How the store is opened.
pub fn store_options(mutant: Option<Mutant>) -> FjallOptions {
    FjallOptions { mutant, ..FjallOptions::shared_by(4) }
}

/// How the shard is set: small measures, so that everything happens often.
pub fn shard_options() -> ShardOptions {
    let day_ms = 24 * 60 * MINUTE_MS;
    ShardOptions {
        shards: 1,
        receipts_max: 240,
        fold_events: 900,
        retention_ms: day_ms,
        orphan_ms: day_ms,
        ..ShardOptions::default()
    }
}

/// What the shard is told of carriers.
pub fn catalog() -> Arc<Catalog> {
    let way = Way { carrier: LINK.carrier, weight: 1 };
    let route = Route { id: ROUTE, name: "all".into(), when: Condition::default(), ways: vec![way] };
    let carrier = CatalogCarrier { id: LINK.carrier, name: "only".into(), group: GROUP, home: Some(0) };
    let routes = RouteTable { routes: vec![route] };
    Arc::new(Catalog { version: 1, routes, carriers: vec![carrier], shard_cores: vec![0] })
}

/// A moment of the driver's own time.
pub fn moment(turn: u64, later_ms: u64) -> Now {
    Now { mono: Mono((turn * 5 + later_ms) * 1_000_000), wall: Wall(EPOCH + turn * 5 + later_ms) }
}

/// Drives a shard through a life.
pub fn run(options: &Options) -> Result<(), String> {
    let mutant = options.mutant.and_then(|number| Mutant::ALL.get(number).copied());
    let mut marks = Marks::open(&options.root)?;
    let data = options.root.join("data");
    marks.set(&Mark::Starting { is_new: true })?;
    let mut host = Host::start(&data, options.seed, mutant, marks)?;
    (0..TURNS).try_for_each(|_| host.everyday())?;
    host = host.again(&data)?;
    (0..TURNS).try_for_each(|_| host.everyday())?;
    if options.flood {
        while host.rotations < 1 || host.store.journal_count() > 1 {
            host.flood()?;
        }
        (0..TURNS).try_for_each(|_| host.everyday())?;
    }
    // Retention and patience pass: segments are dropped, runs deleted.
    host.later_ms += 5 * 24 * 60 * MINUTE_MS;
    (0..TURNS).try_for_each(|_| host.everyday())?;
    if options.stop { host.stop() } else { Ok(()) }
}

struct Host {
    _directory: DataDirectory,
    store: FjallStore,
    answerer: Answerer<FjallReader>,
    maintainer: FjallMaintainer,
    mark: HighWaterFile,
    shard: Shard,
    marks: Marks,
    chance: Prng,
    mutant: Option<Mutant>,
    turn: u64,
    later_ms: u64,
    rotations: usize,
    last: u64,
    next_id: u64,
    outcomes: VecDeque<(Submit, u64)>,
    receipts: VecDeque<(Msisdn, u64)>,
    written: VecDeque<stentor::store::backend::RunId>,
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Host {
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
        let mut shard = Shard::recover(shard_options(), chance.next_u64(), found, now);
        shard.handle(ShardEvent::Catalog(catalog()), now);
        Ok(Self {
            _directory: directory,
            store,
            answerer,
            maintainer,
            mark,
            shard,
            marks,
            chance,
            mutant,
            turn,
            later_ms,
            rotations: 0,
            last,
            next_id,
            outcomes: VecDeque::new(),
            receipts: VecDeque::new(),
            written: VecDeque::new(),
        })
    }

    /// A second life over the same directory, without a good end of the first.
    fn again(self, data: &Path) -> Result<Self, String> {
        let Self {
            _directory, store, answerer, maintainer, mut marks, chance, mutant, turn, later_ms, next_id, ..
        } = self;
        drop((answerer, maintainer, store, _directory));
        marks.set(&Mark::Starting { is_new: false })?;
        Self::start_at(data, chance, mutant, marks, (turn, later_ms, next_id))
    }

    fn now(&self) -> Now {
        moment(self.turn, self.later_ms)
    }

    fn everyday(&mut self) -> Result<(), String> {
        let (messages, octets) = (self.chance.between(1, 30), self.chance.between(10, 160));
        self.submit(messages, octets, true);
        self.converse();
        self.end_turn()
    }

    fn flood(&mut self) -> Result<(), String> {
        self.submit(FLOOD.0, FLOOD.1, false);
        let before = self.store.journal_count();
        self.end_turn()?;
        self.rotations += usize::from(self.store.journal_count() > before);
        Ok(())
    }

    fn submit(&mut self, messages: u64, octets: u64, is_mixed: bool) {
        let mut frame = Frame { reply: ReplyTo { core: 0, ticket: self.turn }, ..Frame::default() };
        let wall = self.now().wall;
        for index in 0..messages {
            let body: Vec<u8> = (0..octets.div_ceil(8)).flat_map(|_| self.chance.next_u64().to_le_bytes()).collect();
            let content = Content { from: SenderId::default(), body: &body, ..Content::default() };
            let at = frame.arena.len();
            content::encode(&content, &mut frame.arena);
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
        self.shard.handle(ShardEvent::Ask(Ask::Submit(frame)), self.now());
    }

    /// The carrier's side: places, answers to what it was given, receipts.
    fn converse(&mut self) {
        let now = self.now();
        for class in Class::ALL {
            let grant = Grant { link: LINK, class, messages: 8, standing: false };
            self.shard.handle(ShardEvent::Traffic(ToShard::Grant(grant)), now);
        }
        let mut batch = OutcomeBatch { link: LINK, group: GROUP, ..OutcomeBatch::default() };
        for _ in 0..self.outcomes.len() / 2 {
            let Some((submit, id)) = self.outcomes.pop_front() else { break };
            let answer = match self.chance.below(20) {
                0 => Answer::Refused(0x58),
                1 => Answer::Unanswered(Unanswered::ConnectionLost),
                _ => {
                    self.receipts.push_back((submit.head.to, id));
                    Answer::Accepted(Span::append(&mut batch.arena, id.to_string().as_bytes()))
                }
            };
            let Submit { address, attempt, .. } = submit;
            batch.outcomes.push(Outcome { address, attempt, part: 1, parts: 1, answer, bind: 0, written_at: now.mono });
        }
        self.shard.handle(ShardEvent::Traffic(ToShard::Outcomes(batch)), now);
        let mut batch = ReceiptBatch { link: LINK, group: GROUP, ..ReceiptBatch::default() };
        while self.receipts.len() > 60 {
            let Some((to, id)) = self.receipts.pop_front() else { break };
            // Every fifth receipt never comes; every twentieth names an id that nobody knows.
            let id = match self.chance.below(20) {
                0..4 => continue,
                4 => id + 1_000_000,
                _ => id,
            };
            batch.receipts.push(ReceiptIn {
                token: ReceiptToken(id),
                if_unknown: IfUnknown::Park,
                recipient: to.number(),
                id: Span::append(&mut batch.arena, id.to_string().as_bytes()),
                state: Some(ReceiptState::Delivered),
                error: 0,
                reference: None,
                at: now.wall,
                text: Span::default(),
            });
        }
        self.shard.handle(ShardEvent::Traffic(ToShard::Receipts(batch)), now);
        self.shard.handle_timeout(now);
    }

    fn end_turn(&mut self) -> Result<(), String> {
        self.settle()?;
        self.turn += 1;
        if self.turn.is_multiple_of(LOOK) {
            self.marks.set(&Mark::Checkpoint)?;
            self.maintainer.checkpoint().map_err(told)?;
            self.mark.write(self.last).map_err(told)?;
        }
        Ok(())
    }

    /// Turns the shard until nothing moves, as a core does.
    fn settle(&mut self) -> Result<(), String> {
        loop {
            let mut moved = false;
            self.shard.checkpoint_if_idle();
            while let Some(batch) = self.shard.poll_commit() {
                self.commit(batch)?;
                moved = true;
            }
            while let Some(request) = self.shard.poll_read() {
                let found = self.answerer.answer(request);
                self.shard.handle_read(found, self.now());
                moved = true;
            }
            while let Some(effect) = self.shard.poll_effect() {
                self.effect(effect)?;
                moved = true;
            }
            while let Some(run) = self.written.pop_front() {
                self.shard.handle_run_written(run, self.now());
                moved = true;
            }
            if !moved {
                return Ok(());
            }
        }
    }

    fn commit(&mut self, batch: WriteBatch) -> Result<(), String> {
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
        self.shard.handle_committed(seq, self.now());
        Ok(())
    }

    fn effect(&mut self, effect: Effect) -> Result<(), String> {
        match effect {
            Effect::Reply(..) => Ok(()),
            Effect::Link(_, ToLink::Submits(batch)) => {
                for submit in batch.submits {
                    self.next_id += 1;
                    self.outcomes.push_back((submit, self.next_id));
                }
                Ok(())
            }
            Effect::Link(_, ToLink::Demand(_) | ToLink::Verdicts(_)) => Ok(()),
            Effect::Maintain(work) => self.maintain(work),
            Effect::Alarm(what) => Err(format!("an alarm: {what}")),
        }
    }

    fn maintain(&mut self, work: Maintenance) -> Result<(), String> {
        match work {
            Maintenance::DropRange { space, from, to } => {
                self.marks.set(&Mark::Drop { space, from: from.clone(), to: to.clone() })?;
                self.maintainer.drop_range(space, &from, &to).map_err(told)
            }
            Maintenance::WriteRun { run, entries } => {
                let said = entries.iter().map(|(key, value)| (key.clone(), marks::digest(value))).collect();
                self.marks.set(&Mark::Run { number: run.1, entries: said })?;
                let fill = &mut |sink: &mut dyn stentor::store::backend::RunSink| {
                    entries.iter().try_for_each(|(key, value)| sink.put(key, value))
                };
                self.maintainer.write_run(run, fill).map_err(told)?;
                self.written.push_back(run);
                self.marks.set(&Mark::RunKept(run.1))
            }
            Maintenance::DeleteRun(run) => self.maintainer.delete_run(run).map_err(told),
            Maintenance::Checkpoint => self.maintainer.checkpoint().map_err(told),
        }
    }

    /// As the daemon ends: everything is answered, a checkpoint, a mark that says "clean".
    fn stop(mut self) -> Result<(), String> {
        self.shard.handle(ShardEvent::Drain, self.now());
        while !self.outcomes.is_empty() {
            self.turn += 1;
            self.converse();
            if self.outcomes.len() == 1 {
                self.outcomes.clear();
            }
            self.settle()?;
        }
        self.shard.want_checkpoint(self.now());
        while self.shard.checkpoint_pending() {
            self.settle()?;
        }
        self.mark.seal(self.last).map_err(told)
    }
}
