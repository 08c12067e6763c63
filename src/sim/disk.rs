//! A shard's storage in virtual time: one batch under way to the platter, one errand at the reader thread. Knows when
//! things are durable and when they are told; refuses to know what they mean.

use std::collections::VecDeque;

use crate::shard::Maintenance;
use crate::store::backend::{Backend, Maintainer, Op, RunId, Space, StoreError};
use crate::store::memory::{DroppedRanges, MemoryMaintainer, MemoryReader, MemoryStore};
use crate::store::{Answerer, CommitSeq, Found, ReadRequest, Recovery, WriteBatch, recover};

use super::agenda::InOrder;
use super::happening::{Happening, Inside};
use super::mutants::Mutant;
use super::oracle::Invariant;
use super::plan::DiskPlan;
use super::stage::{Stage, note};
use super::tally::Count;

/// Work for the reader thread.
#[derive(Debug)]
pub enum Errand {
    /// A question.
    Read(ReadRequest),
    /// Maintenance.
    Maintain(Maintenance),
}

/// What the reader thread comes back with.
#[derive(Debug)]
enum Done {
    Found(Box<Found>),
    Maintain(Maintenance),
}

/// The storage of one shard in one life of the process.
#[derive(Debug)]
pub struct Disk {
    at: usize,
    life: u32,
    plan: DiskPlan,
    store: MemoryStore,
    answerer: Answerer<MemoryReader>,
    maintainer: MemoryMaintainer,
    errands: VecDeque<Errand>,
    under_way: Option<Done>,
    answers: InOrder,
    /// Answers that the shard has not heard yet.
    telling: u32,
    batches: u64,
}

impl Disk {
    /// The storage of shard number `at`.
    pub fn new(at: usize, life: u32, plan: DiskPlan, store: MemoryStore) -> Self {
        let (answerer, maintainer) = (Answerer::new(store.reader()), store.maintainer());
        Self {
            at,
            life,
            plan,
            store,
            answerer,
            maintainer,
            errands: VecDeque::new(),
            under_way: None,
            answers: InOrder::default(),
            telling: 0,
            batches: 0,
        }
    }

    /// What a start reads.
    ///
    /// # Errors
    /// Those of [`recover`].
    pub fn recover(&self, stage: &Stage) -> Result<Recovery, StoreError> {
        let mut found = recover(&self.store.reader())?;
        if stage.is_mutant(Mutant::ForgetKeys) {
            found.keys.clear();
        }
        if stage.is_mutant(Mutant::LoseReady) {
            for fifo in found.checkpoint.fifos.iter_mut().filter(|fifo| fifo.waiting > 0) {
                (fifo.commit, fifo.index, fifo.waiting) = (fifo.newest, u32::MAX, 0);
            }
        }
        Ok(found)
    }

    /// Nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.under_way.is_none() && self.errands.is_empty() && self.store.begun() == 0 && self.telling == 0
    }

    /// The shard has heard an answer.
    pub const fn handle_told(&mut self) {
        self.telling -= 1;
    }

    /// A batch is handed to the storage thread.
    pub fn commit(&mut self, batch: WriteBatch, stage: &mut Stage) {
        let seq = batch.seq;
        self.batches += 1;
        if batch.checkpoint.is_some() {
            stage.tally.add(Count::Checkpoints);
        }
        let mut ops = batch.into_ops();
        if stage.is_mutant(Mutant::LoseBatch) && self.batches % 16 == 9 {
            ops = vec![Op::Put { space: Space::DeadLetter, key: b"lost".to_vec(), value: Vec::new() }];
        }
        for op in &ops {
            let (Op::Put { key, .. } | Op::Delete { key, .. }) = op;
            stage.trace.octets(key);
        }
        let written = self.store.commit_begin(ops);
        self.expect(written, stage);
        let delay = self.plan.commit.draw(&mut stage.chance);
        note!(stage, "shard {} commits {} in {delay}", self.at, seq.0);
        stage.agenda.after(delay, Happening::Inside(self.life, Inside::Durable(self.at, seq)));
    }

    /// The batch has become durable; its shard learns of it in a while.
    pub fn handle_durable(&mut self, seq: CommitSeq, stage: &mut Stage) {
        let synced = self.store.commit_sync();
        self.expect(synced, stage);
        let delay = self.plan.told.draw(&mut stage.chance);
        stage.agenda.after(delay, Happening::Inside(self.life, Inside::Committed(self.at, seq)));
    }

    /// Work for the reader thread.
    pub fn push(&mut self, errand: Errand, stage: &mut Stage) {
        self.errands.push_back(errand);
        self.start(stage);
    }

    /// The reader thread is done with what it was at.
    pub fn handle_done(&mut self, stage: &mut Stage) {
        let told = match self.under_way.take() {
            Some(Done::Found(found)) => Some(Inside::Read(self.at, found)),
            Some(Done::Maintain(work)) => self.maintain(work, stage).map(|run| Inside::RunWritten(self.at, run)),
            None => None,
        };
        if let Some(told) = told {
            let arrival = stage.now_ns() + self.plan.told.draw(&mut stage.chance);
            self.telling += 1;
            stage.agenda.at(self.answers.arrival(arrival), Happening::Inside(self.life, told));
        }
        self.start(stage);
    }

    fn start(&mut self, stage: &mut Stage) {
        if self.under_way.is_some() {
            return;
        }
        let Some(errand) = self.errands.pop_front() else { return };
        self.under_way = Some(match errand {
            Errand::Read(request) => Done::Found(Box::new(self.answerer.answer(request))),
            Errand::Maintain(work) => Done::Maintain(work),
        });
        let delay = self.plan.errand.draw(&mut stage.chance);
        stage.agenda.after(delay, Happening::Inside(self.life, Inside::ErrandDone(self.at)));
    }

    fn maintain(&mut self, work: Maintenance, stage: &mut Stage) -> Option<RunId> {
        let (done, run) = match work {
            Maintenance::DropRange { space, from, to } => (self.maintainer.drop_range(space, &from, &to), None),
            Maintenance::DeleteRun(run) => (self.maintainer.delete_run(run), None),
            Maintenance::Checkpoint => (self.maintainer.checkpoint(), None),
            Maintenance::WriteRun { run, entries } => {
                stage.tally.add(Count::RunsWritten);
                let mut fill = |sink: &mut dyn crate::store::backend::RunSink| {
                    entries.iter().try_for_each(|(key, value)| sink.put(key, value))
                };
                (self.maintainer.write_run(run, &mut fill), Some(run))
            }
        };
        self.expect(done, stage);
        run
    }

    /// The process is gone: of the batch under way all is there or nothing, as chance will have it.
    pub fn crash(self, stage: &mut Stage) -> MemoryStore {
        let begun = self.store.begun();
        let survivors = if begun > 0 && stage.chance.chance(500_000) { 1 } else { 0 };
        if begun > 0 {
            stage.tally.add(if survivors > 0 { Count::BatchesSurvived } else { Count::BatchesLost });
        }
        let come_back = stage.chance.chance(500_000);
        if come_back {
            stage.tally.add(Count::RangesCameBack);
        }
        let dropped = if come_back { DroppedRanges::ComeBack } else { DroppedRanges::StayDropped };
        note!(stage, "shard {} keeps {survivors} of {begun}, dropped ranges come back: {come_back}", self.at);
        match self.store.crash(survivors, dropped) {
            Ok(store) => store,
            Err(error) => {
                self.expect(Err(error), stage);
                MemoryStore::new(self.plan.drops)
            }
        }
    }

    fn expect(&self, done: Result<(), StoreError>, stage: &mut Stage) {
        if let Err(error) = done {
            stage.oracle.break_at(Invariant::StoreSound, format!("shard {}: {error}", self.at));
        }
    }
}
