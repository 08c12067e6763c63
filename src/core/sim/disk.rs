//! A shard's storage in virtual time: one batch on its way to the disk, one errand at the reader thread. Knows when
//! things are written, durable and reported, and what fails; refuses to know what they mean.

use std::collections::{BTreeSet, VecDeque};

use crate::model::ShardId;
use crate::node::Errand;
use crate::shard::{Maintenance, ShardEvent};
use crate::store::backend::{Backend, Maintainer, Op, RunId, Space, StoreError};
use crate::store::memory::{DroppedRanges, LooseRuns, MemoryMaintainer, MemoryReader, MemoryStore, Remains};
use crate::store::record::ReceiptNote;
use crate::store::{Answerer, CommitSeq, Found, ReadRequest, Recovery, WriteBatch, receipt_run, run};

use super::agenda::InOrder;
use super::faulty::{Faults, Operation};
use super::happening::{Happening, Inside};
use super::mutants::Mutant;
use super::oracle::Invariant;
use super::phase::{Phase, Phases};
use super::plan::{DiskPlan, pick};
use super::sabotage;
use super::stage::{Stage, note};
use super::tally::Count;

/// Longest time in which a run is written, in errands.
const RUN_ERRANDS: u64 = 40;

/// A read fault hits one of the first so many reads of an answer.
const READS_MAX: u64 = 4;

/// What the reader thread is working on.
#[derive(Debug)]
enum UnderWay {
    Answer(Box<Found>),
    Fails,
    Maintain(Maintenance),
    /// A run is being written; a mutant reports it as written too early.
    Run(RunId),
}

/// The part of a disk that survives from one life of the process to the next.
#[derive(Debug)]
pub struct Platter {
    /// What it holds.
    pub store: MemoryStore,
    /// The faults that are planned for it.
    pub faults: Faults,
}

/// All disks, as they survive from one life of the process to the next.
#[derive(Debug)]
pub struct Platters {
    /// By shard.
    pub shards: Vec<Platter>,
    /// Control's disk.
    pub control: Platter,
}

impl Platters {
    /// All disks, control's included.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Platter> {
        self.shards.iter_mut().chain([&mut self.control])
    }
}

/// The storage of one shard in one life of the process.
#[derive(Debug)]
pub struct Disk {
    at: usize,
    life: u32,
    plan: DiskPlan,
    store: MemoryStore,
    /// The faults that are planned for it.
    pub faults: Faults,
    answerer: Answerer<MemoryReader>,
    maintainer: MemoryMaintainer,
    errands: VecDeque<Errand>,
    under_way: Option<UnderWay>,
    answers: InOrder,
    /// Answers that the shard has not been given yet.
    telling: u32,
    /// The batch under way holds a checkpoint.
    checkpoint: bool,
    /// Durable batches of which the shard has not been told.
    untold: u32,
    /// Runs that are written but whose registration is not durable.
    loose_runs: BTreeSet<RunId>,
    /// Registrations in the batch under way.
    registering: Vec<RunId>,
    stalled_until_ns: u64,
    batches: u64,
    has_failed: bool,
}

impl Disk {
    /// The storage of shard number `at`.
    pub fn new(at: usize, life: u32, plan: DiskPlan, Platter { store, faults }: Platter) -> Self {
        let (answerer, maintainer) = (Answerer::new(store.reader()), store.maintainer());
        Self {
            at,
            life,
            plan,
            store,
            faults,
            answerer,
            maintainer,
            errands: VecDeque::new(),
            under_way: None,
            answers: InOrder::default(),
            telling: 0,
            checkpoint: false,
            untold: 0,
            loose_runs: BTreeSet::new(),
            registering: Vec::new(),
            stalled_until_ns: 0,
            batches: 0,
            has_failed: false,
        }
    }

    /// What a start reads from it.
    ///
    /// # Errors
    /// As [`crate::store::recover`].
    pub fn recover(&self, stage: &Stage) -> Result<Recovery, StoreError> {
        sabotage::recover(&self.store.reader(), stage.wall(), stage.mutant)
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.under_way.is_none() && self.errands.is_empty() && self.store.begun() == 0 && self.telling == 0
    }

    /// A write, a sync or a read has failed: the process ends.
    pub const fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Reads what is durable.
    pub fn reader(&self) -> MemoryReader {
        self.store.reader()
    }

    /// Bytes of all stored data.
    pub fn bytes(&self) -> u64 {
        self.store.disk_bytes()
    }

    /// Notes where in its work the storage is.
    pub fn note_phases(&self, phases: &mut Phases) {
        let written = self.store.begun() > 0;
        phases.note(Phase::Fresh, self.batches == 0);
        phases.note(Phase::Written, written);
        phases.note(Phase::Checkpoint, written && self.checkpoint);
        phases.note(Phase::Untold, self.untold > 0);
        phases.note(Phase::RunLoose, !self.loose_runs.is_empty());
        match &self.under_way {
            Some(UnderWay::Answer(found)) => phases.note(Phase::Folding, matches!(**found, Found::Folded { .. })),
            Some(UnderWay::Run(_)) => phases.note(Phase::RunWriting, true),
            Some(UnderWay::Maintain(work)) => {
                phases.note(Phase::Dropping, matches!(work, Maintenance::DropRange { .. } | Maintenance::DeleteRun(_)));
            }
            Some(UnderWay::Fails) | None => {}
        }
    }

    /// The shard has been told of a durable batch, or given an answer.
    pub const fn handle_told(&mut self, event: &ShardEvent) {
        match event {
            ShardEvent::Committed(_) => self.untold -= 1,
            _ => self.telling -= 1,
        }
    }

    /// Nothing becomes durable before `until_ns`.
    pub fn stall(&mut self, until_ns: u64) {
        self.stalled_until_ns = self.stalled_until_ns.max(until_ns);
    }

    /// A batch is handed to the storage thread.
    pub fn commit(&mut self, mut batch: WriteBatch, stage: &mut Stage) {
        let seq = batch.seq;
        self.batches += 1;
        self.checkpoint = batch.checkpoint.is_some();
        if self.checkpoint {
            stage.tally.add(Count::Checkpoints);
        }
        if stage.is_mutant(Mutant::LoseLists) {
            batch.lists.clear();
        }
        let now_ns = stage.now_ns();
        stage.oracle.begun(ShardId(self.at as u8), &batch.turn.attempts, now_ns);
        let mut ops = batch.into_ops();
        if stage.is_mutant(Mutant::LoseBatch) && self.batches % 16 == 9 {
            ops = vec![Op::Put { space: Space::DeadLetter, key: b"lost".to_vec(), value: Vec::new() }];
        }
        for op in &ops {
            let (Op::Put { key, .. } | Op::Delete { key, .. }) = op;
            stage.trace.bytes(key);
        }
        let registration = |op: &Op| match op {
            Op::Put { space: Space::Meta, key, .. } => run::parse_registration_key(key),
            Op::Put { .. } | Op::Delete { .. } => None,
        };
        self.registering = ops.iter().filter_map(registration).collect();
        let written = self.store.commit_begin(ops);
        self.expect(written, stage);
        if self.faults.strikes(Operation::Write, stage.now_ns()) {
            return self.fail(Operation::Write, stage);
        }
        let stalled_ns = self.stalled_until_ns.saturating_sub(stage.now_ns());
        if stalled_ns > 0 {
            stage.tally.add(Count::CommitsStalled);
        }
        let delay = stalled_ns + self.plan.commit.draw(&mut stage.chance);
        note!(stage, "shard {} commits {} in {delay}", self.at, seq.0);
        stage.agenda.after(delay, Happening::Inside(self.life, Inside::Durable(self.at, seq)));
    }

    /// The batch has become durable; its shard is told later.
    pub fn handle_durable(&mut self, seq: CommitSeq, stage: &mut Stage) {
        if self.faults.strikes(Operation::Sync, stage.now_ns()) {
            stage.tally.add(Count::SyncsFailed);
            if !stage.is_mutant(Mutant::IgnoreFailedSync) {
                return self.fail(Operation::Sync, stage);
            }
            self.store.lose_begun();
        }
        let synced = self.store.commit_sync();
        self.expect(synced, stage);
        for run in self.registering.drain(..) {
            self.loose_runs.remove(&run);
        }
        self.untold += 1;
        let delay = self.plan.told.draw(&mut stage.chance);
        stage
            .agenda
            .after(delay, Happening::Inside(self.life, Inside::Told(self.at, Box::new(ShardEvent::Committed(seq)))));
    }

    /// Work for the reader thread.
    pub fn push(&mut self, errand: Errand, stage: &mut Stage) {
        self.errands.push_back(errand);
        self.start(stage);
    }

    /// The reader thread has finished its errand.
    pub fn handle_done(&mut self, stage: &mut Stage) {
        match self.under_way.take() {
            Some(UnderWay::Answer(mut found)) => {
                sabotage::answer(&mut found, stage.mutant);
                self.tell(ShardEvent::Found(*found), stage);
            }
            Some(UnderWay::Fails) => return self.fail(Operation::Read, stage),
            Some(UnderWay::Maintain(work)) => self.maintain(work, stage),
            Some(UnderWay::Run(run)) => {
                let written = self.maintainer.finish_run();
                self.expect(written, stage);
                if !stage.is_mutant(Mutant::RegisterEarly) {
                    self.loose_runs.insert(run);
                    self.tell(ShardEvent::RunWritten(run), stage);
                }
            }
            None => {}
        }
        self.start(stage);
    }

    fn tell(&mut self, event: ShardEvent, stage: &mut Stage) {
        let arrival = stage.now_ns() + self.plan.told.draw(&mut stage.chance);
        self.telling += 1;
        let told = Inside::Told(self.at, Box::new(event));
        stage.agenda.at(self.answers.arrival(arrival), Happening::Inside(self.life, told));
    }

    fn start(&mut self, stage: &mut Stage) {
        if self.under_way.is_some() || self.has_failed {
            return;
        }
        let Some(errand) = self.errands.pop_front() else { return };
        let work = match errand {
            Errand::Read(request) => self.read(request, stage),
            Errand::Maintain(_) if self.faults.strikes(Operation::Upkeep, stage.now_ns()) => {
                return self.fail(Operation::Upkeep, stage);
            }
            Errand::Maintain(Maintenance::WriteRun { run, notes }) => self.begin_run(run, notes, stage),
            Errand::Maintain(work) => UnderWay::Maintain(work),
        };
        // A run takes longer than other errands.
        let times = if matches!(work, UnderWay::Run(_)) { stage.chance.between(1, RUN_ERRANDS) } else { 1 };
        self.under_way = Some(work);
        let delay = times * self.plan.errand.draw(&mut stage.chance);
        stage.agenda.after(delay, Happening::Inside(self.life, Inside::ErrandDone(self.at)));
    }

    /// Executes a read. The store's own retries do not help against this fault; an answer with fewer reads than the
    /// chosen one does not fail.
    fn read(&mut self, request: ReadRequest, stage: &mut Stage) -> UnderWay {
        let strikes = self.faults.strikes(Operation::Read, stage.now_ns());
        let failure = strikes.then(|| {
            let what = "a read failed".to_owned();
            let is_damage = stage.is_mutant(Mutant::TakeForDamage);
            let failure = if is_damage { StoreError::Damaged(what) } else { StoreError::Failed(what) };
            (stage.chance.below(READS_MAX) as u32, failure)
        });
        self.store.fail_read(failure);
        let found = self.answerer.answer(request);
        self.store.fail_read(None);
        match found {
            Found::Failed { error: StoreError::Failed(_), .. } => UnderWay::Fails,
            found => UnderWay::Answer(Box::new(found)),
        }
    }

    fn begin_run(&mut self, run: RunId, mut notes: Vec<ReceiptNote>, stage: &mut Stage) -> UnderWay {
        stage.tally.add(Count::RunsWritten);
        let begun = self.maintainer.begin_run(run, &mut |sink| receipt_run::put(&mut notes, sink));
        self.expect(begun, stage);
        if stage.is_mutant(Mutant::RegisterEarly) {
            self.tell(ShardEvent::RunWritten(run), stage);
        }
        UnderWay::Run(run)
    }

    fn maintain(&mut self, work: Maintenance, stage: &mut Stage) {
        let done = match work {
            Maintenance::DropRange { space, from, to } => {
                stage.tally.add(Count::RangesDropped);
                self.maintainer.drop_range(space, &from, &to)
            }
            Maintenance::DeleteRun(run) => {
                stage.tally.add(Count::RunsDeleted);
                self.maintainer.delete_run(run)
            }
            // Dropped ranges reach the disk at some checkpoint, not necessarily the next.
            Maintenance::Checkpoint if stage.chance.chance(500_000) => self.maintainer.checkpoint(),
            Maintenance::Checkpoint | Maintenance::WriteRun { .. } => Ok(()),
        };
        self.expect(done, stage);
    }

    /// An operation fails: the process ends.
    fn fail(&mut self, operation: Operation, stage: &mut Stage) {
        stage.tally.add(match operation {
            Operation::Write => Count::WritesFailed,
            Operation::Sync => Count::EndsBySync,
            Operation::Read => Count::ReadsFailed,
            Operation::Upkeep => Count::UpkeepFailed,
            Operation::Open => Count::OpensFailed,
        });
        note!(stage, "disk {} fails: {operation:?}", self.at);
        self.has_failed = true;
    }

    /// The process dies: of the batch under way everything survives, or nothing, or some blocks, by chance.
    pub fn crash(self, stage: &mut Stage) -> Platter {
        let remains = self.remains(stage);
        note!(stage, "shard {} keeps {remains:?}", self.at);
        let store = self.store.crash(&remains).unwrap_or_else(|error| {
            self.expect(Err(error), stage);
            MemoryStore::new(self.plan.drops)
        });
        Platter { store, faults: self.faults }
    }

    fn remains(&self, stage: &mut Stage) -> Remains {
        let mut remains = Remains { torn_counts: stage.is_mutant(Mutant::AcceptTorn), ..Remains::default() };
        if self.store.begun() > 0 {
            match stage.chance.below(3) {
                0 => {
                    stage.tally.add(Count::BatchesSurvived);
                    remains.batches = 1;
                }
                1 => stage.tally.add(Count::BatchesLost),
                _ => {
                    stage.tally.add(Count::BatchesTorn);
                    remains.blocks = stage.chance.next_u64();
                }
            }
        }
        if stage.chance.chance(500_000) {
            if self.store.dropped_lately() > 0 {
                stage.tally.add(Count::RangesCameBack);
            }
            remains.dropped = DroppedRanges::ComeBack;
        }
        remains.loose_runs = *pick(&mut stage.chance, &[LooseRuns::Whole, LooseRuns::Half, LooseRuns::Lost]);
        if !self.loose_runs.is_empty() || matches!(self.under_way, Some(UnderWay::Run(_))) {
            stage.tally.add(match remains.loose_runs {
                LooseRuns::Whole => Count::RunsUnregistered,
                LooseRuns::Half => Count::RunsHalf,
                LooseRuns::Lost => Count::RunsLost,
            });
        }
        remains
    }

    fn expect(&self, done: Result<(), StoreError>, stage: &mut Stage) {
        if let Err(error) = done {
            stage.oracle.break_at(Invariant::StoreSound, format!("shard {}: {error}", self.at));
        }
    }
}
