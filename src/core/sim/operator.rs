//! The operator of the simulated world: makes backups of the running process, restores the last one over all data, and
//! decides what happens to the messages that were unsent in it. Uses the real backup format, cut and rewriting, over
//! stores in memory; the oracle says what must be true afterwards ([`super::restored`]).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crate::control::Entries;
use crate::delivery::DoubtPolicy;
use crate::model::{Class, ReplyTo, ShardId};
use crate::shard::Ask;
use crate::store::backend::{Backend, Maintainer, Op, Reader, RunId, RunSink, Space, StoreError};
use crate::store::backup::{BackupReader, BackupWriter, CONTROL, Manifest, Piece, Table};
use crate::store::control::{ControlPlan, ControlSurvey};
use crate::store::extent::Extent;
use crate::store::key::Key;
use crate::store::memory::{MemoryReader, MemoryStore};
use crate::store::record::decode;
use crate::store::restored::{Entry, Plan as Restore, Survey};
use crate::store::run;

use super::disk::{Platter, Platters};
use super::faulty::Faults;
use super::happening::{ConnId, Happening};
use super::mutants::Mutant;
use super::oracle::{Invariant, Question};
use super::plan::{Plan, pick};
use super::restored::Mark;
use super::sabotage;
use super::stage::{Stage, note};
use super::tally::Count;

/// The first ticket of the operator; clients never use so many.
const TICKETS_FROM: u64 = 1 << 48;
/// Greater than every key.
const LAST_KEY: [u8; 64] = [u8::MAX; 64];

/// The operator of the simulated world.
#[derive(Debug, Default)]
pub struct Operator {
    /// The last backup, and what had been seen when it was begun.
    backup: Option<(Vec<u8>, Mark)>,
    /// The decision for held messages, by class.
    decisions: BTreeMap<Class, DoubtPolicy>,
    /// Shards and classes for which the decision was not confirmed yet.
    undecided: BTreeSet<(ShardId, Class)>,
    asked: BTreeMap<u64, (ShardId, Class)>,
    tickets: u64,
}

impl Operator {
    /// Whether every shard of the last restore has confirmed the decisions about unsent messages.
    pub fn has_decided(&self) -> bool {
        self.undecided.is_empty()
    }

    /// Whether there is a backup to restore.
    pub const fn has_backup(&self) -> bool {
        self.backup.is_some()
    }

    /// Makes a backup of stores that are in use.
    pub fn back_up(&mut self, stores: &[MemoryReader], control: &Entries, plan: &Plan, stage: &mut Stage) {
        let mark = stage.wall();
        note!(stage, "a backup of {mark:?}");
        stage.tally.add(Count::Backups);
        match written(stores, control, plan, mark.0) {
            Ok(bytes) => self.backup = Some((bytes, stage.oracle.mark())),
            Err(what) => stage.oracle.break_at(Invariant::StoreSound, format!("a backup: {what}")),
        }
    }

    /// The contents of all disks after a restore of the last backup.
    /// `newest`: the newest connection ever opened.
    pub fn restore(&mut self, newest: ConnId, plan: &Plan, stage: &mut Stage) -> Option<Platters> {
        let (bytes, mark) = self.backup.as_ref()?;
        let unsent = *pick(&mut stage.chance, &[DoubtPolicy::Hold, DoubtPolicy::Resend, DoubtPolicy::Drop]);
        let unsent = if stage.chance.chance(500_000) { DoubtPolicy::Hold } else { unsent };
        note!(stage, "a restore; what was unsent: {unsent:?}");
        stage.tally.add(Count::Restores);
        stage.oracle.restored(mark, newest, unsent);
        let told = if stage.is_mutant(Mutant::SendRestored) { DoubtPolicy::Resend } else { unsent };
        let (stores, mut control) = match read(bytes, plan, stage.wall().0, told) {
            Ok(stores) => stores,
            Err(what) => {
                stage.oracle.break_at(Invariant::StoreSound, format!("a restore: {what}"));
                return None;
            }
        };
        self.asked.clear();
        self.undecided.clear();
        if unsent == DoubtPolicy::Hold {
            let decided = |class| (class, *pick(&mut stage.chance, &[DoubtPolicy::Resend, DoubtPolicy::Drop]));
            self.decisions = Class::ALL.map(decided).into();
            let shards = (0..plan.shards).map(ShardId);
            self.undecided = shards.flat_map(|shard| Class::ALL.map(|class| (shard, class))).collect();
        }
        let platter = |store| Platter { store, faults: Faults::default() };
        let mut platters: Vec<_> = stores.into_iter().map(platter).collect();
        if stage.is_mutant(Mutant::ReuseNumbers) {
            platters.iter_mut().for_each(|platter| sabotage::close_gap(&mut platter.store));
        }
        if stage.is_mutant(Mutant::ReuseVersions) {
            sabotage::go_back(&mut control, mark.version());
        }
        Some(Platters { shards: platters, control: platter(control) })
    }

    /// Sends the decisions to every shard that has not confirmed them.
    pub fn decide(&mut self, plan: &Plan, stage: &mut Stage) {
        for (shard, class) in &self.undecided {
            let policy = self.decisions.get(class).copied().unwrap_or(DoubtPolicy::Resend);
            self.tickets += 1;
            let reply = ReplyTo { core: 0, ticket: TICKETS_FROM + self.tickets };
            self.asked.insert(reply.ticket, (*shard, *class));
            note!(stage, "shard {} is told {class:?} {policy:?}", shard.0);
            stage.asks_under_way += 1;
            let ask = Ask::Release { reply, class: Some(*class), policy };
            let delay = plan.door.draw(&mut stage.chance);
            stage.agenda.after(delay, Happening::Asked(*shard, reply.ticket, Question::Release, Box::new(ask)));
        }
    }

    /// A ticket for a question of the operator.
    pub(super) const fn ticket(&mut self) -> ReplyTo {
        self.tickets += 1;
        ReplyTo { core: 0, ticket: TICKETS_FROM + self.tickets }
    }

    /// A shard has confirmed that a decision is on stable storage.
    pub fn released(&mut self, to: ReplyTo, stage: &mut Stage) {
        if let Some(answered) = self.asked.remove(&to.ticket) {
            stage.tally.add(Count::Decisions);
            self.undecided.remove(&answered);
        }
    }
}

/// Writes a backup; gives its bytes.
fn written(stores: &[MemoryReader], control: &Entries, plan: &Plan, mark: u64) -> Result<Vec<u8>, String> {
    let told = |error: StoreError| error.to_string();
    let mut commits = Vec::new();
    let mut tables = Vec::new();
    for (shard, store) in stores.iter().enumerate() {
        let found = store.get(Space::Meta, &Key::Checkpoint.bytes()).map_err(told)?;
        let checkpoint = found.map(|bytes| decode(&bytes)).transpose().map_err(|error| error.to_string())?;
        let extent = Extent::of(checkpoint.unwrap_or_default());
        let newest = store.last(Space::Event, &LAST_KEY).map_err(told)?;
        commits.push(extent.last_commit(newest.and_then(|(key, _)| Key::number(&key))).0);
        for run in registered(store).map_err(told)? {
            let mut entries =
                entries(|visit| store.run_range(run, &[0], &LAST_KEY, usize::MAX, visit)).map_err(told)?;
            entries.retain(|(key, _)| extent.holds(Table::Run(run), key));
            tables.push((shard as u16, Table::Run(run), entries));
        }
        for space in Space::ALL {
            let from = extent.first_key(space);
            let mut entries = entries(|visit| store.range(space, &from, &LAST_KEY, usize::MAX, visit)).map_err(told)?;
            entries.retain(|(key, _)| extent.holds(Table::Space(space), key));
            tables.push((shard as u16, Table::Space(space), entries));
        }
    }
    tables.push((CONTROL, Table::Space(Space::Entry), control.stored().collect()));
    tables.push((CONTROL, Table::Space(Space::Meta), vec![control.stored_version()]));
    let (node, shards) = (plan.shard.node.0, u16::from(plan.shards));
    let manifest = Manifest { stentor: "simulated".to_owned(), node, shards, created: 0, mark, commits };
    let mut bytes = Vec::new();
    let mut write = || -> std::io::Result<u64> {
        let mut out = BackupWriter::begin(&mut bytes, &manifest)?;
        for (store, table, entries) in &tables {
            out.table(*store, *table)?;
            entries.iter().try_for_each(|(key, value)| out.entry(key, value))?;
        }
        out.finish()
    };
    write().map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn registered(store: &MemoryReader) -> Result<Vec<RunId>, StoreError> {
    let (from, to) = run::registration_bounds();
    let found = entries(|visit| store.range(Space::Meta, &from, &to, usize::MAX, visit))?;
    Ok(found.iter().filter_map(|(key, _)| run::parse_registration_key(key)).collect())
}

/// Collects all entries that `walk` visits.
fn entries(
    walk: impl FnOnce(&mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>) -> Result<usize, StoreError>,
) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    walk(&mut |key, value| {
        entries.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(entries)
}

/// Reads a backup into the stores of shards and of control.
fn read(
    bytes: &[u8],
    plan: &Plan,
    now_ms: u64,
    unsent: DoubtPolicy,
) -> Result<(Vec<MemoryStore>, MemoryStore), String> {
    let mut reader = BackupReader::open(bytes).map_err(|error| error.to_string())?;
    let Manifest { shards, mark, commits, .. } = reader.manifest().clone();
    let mut pieces: Vec<Vec<Piece>> = vec![Vec::new(); usize::from(shards)];
    let mut of_control = Vec::new();
    while let Some(piece) = reader.next_piece().map_err(|error| error.to_string())? {
        pieces.get_mut(usize::from(piece.store)).unwrap_or(&mut of_control).push(piece);
    }
    let filled = |(pieces, commit): (Vec<Piece>, u64)| {
        let mut survey = Survey::default();
        pieces.iter().try_for_each(|piece| survey.note(piece)).map_err(|error| error.to_string())?;
        let restore = Restore::new(survey, commit, mark, now_ms, unsent).map_err(|error| error.to_string())?;
        fill(&pieces, &restore, MemoryStore::new(plan.disk.drops))
    };
    let stores: Result<_, String> = pieces.into_iter().zip(commits).map(filled).collect();
    Ok((stores?, fill_control(&of_control, mark, now_ms, MemoryStore::new(plan.disk.drops))?))
}

fn fill_control(pieces: &[Piece], mark: u64, now_ms: u64, mut store: MemoryStore) -> Result<MemoryStore, String> {
    let mut survey = ControlSurvey::default();
    pieces.iter().try_for_each(|piece| survey.note(piece)).map_err(|error| error.to_string())?;
    let rewriting = ControlPlan::new(&survey, mark, now_ms);
    let put = |space, (key, value)| Op::Put { space, key, value };
    let mut ops = vec![put(Space::Meta, rewriting.record())];
    for piece in pieces {
        for (key, value) in piece.entries() {
            let rewritten = rewriting.rewrite(piece.table, key, value).map_err(|error| error.to_string())?;
            ops.extend(rewritten.map(|entry| put(Space::Entry, entry)));
        }
    }
    store.commit(ops).map_err(|error| error.to_string())?;
    Ok(store)
}

fn fill(pieces: &[Piece], restore: &Restore, mut store: MemoryStore) -> Result<MemoryStore, String> {
    let mut tables: BTreeMap<Table, Vec<Entry>> = BTreeMap::new();
    for piece in pieces {
        let table = tables.entry(piece.table).or_default();
        for (key, value) in piece.entries() {
            if restore.keeps(piece.table, key) {
                table.push((key.to_vec(), value.to_vec()));
            }
        }
    }
    let meta = tables.entry(Table::Space(Space::Meta)).or_default();
    meta.push(restore.record());
    let mut ops = Vec::new();
    for (table, entries) in tables {
        match table {
            Table::Run(run) => {
                let mut put = |sink: &mut dyn RunSink| entries.iter().try_for_each(|(key, value)| sink.put(key, value));
                store.maintainer().write_run(run, &mut put).map_err(|error| error.to_string())?;
            }
            Table::Space(space) => {
                ops.extend(entries.into_iter().map(|(key, value)| Op::Put { space, key, value }));
            }
        }
    }
    store.commit(ops).map_err(|error| error.to_string())?;
    Ok(store)
}
