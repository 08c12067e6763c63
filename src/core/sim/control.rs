//! The daemon's control in one life of the process, over a disk of its own: changes are committed, published to all
//! nodes, and answered. Knows when things are written, durable and reported; the oracle says what must be true of them
//! ([`super::entries`]).

use std::sync::Arc;

use crate::control::{Bound, Bounds, Change, Control, ControlEvent, Effect, Entries, Kind, Names, applied};
use crate::store::Backend;
use crate::store::control::recover;
use crate::store::memory::{MemoryStore, Remains};

use super::contract;
use super::disk::Platter;
use super::faulty::{Faults, Operation};
use super::happening::{Happening, Inside};
use super::limits;
use super::mutants::Mutant;
use super::oracle::Invariant;
use super::phase::{Phase, Phases};
use super::plan::{DiskPlan, Plan};
use super::stage::{Stage, note};
use super::tally::Count;

/// Names of each kind that the operator invents, beside those in use; more than the bounds allow.
const NAMES: u64 = 16;
/// Kinds of names that the operator invents: the first ones.
const KINDS: u64 = 5;
/// Settings that the operator sets and removes.
const SETTINGS: u64 = 5;

/// Small, so that every table is full at times.
const fn bounds() -> Bounds {
    let kinds = [Bound { entries: 12, bytes: 80 }; Kind::COUNT];
    Bounds { kinds, all: Bound { entries: 40, bytes: 280 } }
}

/// The daemon's control in one life of the process.
#[derive(Debug)]
pub struct ControlHost {
    life: u32,
    plan: DiskPlan,
    control: Control,
    store: MemoryStore,
    /// Faults of its disk.
    pub faults: Faults,
    /// A batch is durable, and control has not been told.
    untold: bool,
    has_failed: bool,
}

impl ControlHost {
    /// Starts from the contents of the disk, and requests what every start requests: numbers for every name in use, and
    /// a version.
    pub fn start(life: u32, Platter { store, faults }: Platter, plan: &Plan, stage: &mut Stage) -> Self {
        let found = recover(&store.reader()).map_err(|error| error.to_string());
        let control = found.and_then(|found| Control::recover(found, bounds()).map_err(|error| error.to_string()));
        let control = control.unwrap_or_else(|what| {
            stage.oracle.break_at(Invariant::StoreSound, what);
            Control::default()
        });
        note!(stage, "life {life}: control starts after version {}", control.published().version());
        let judged = stage.oracle.entries.found(control.published());
        expect(judged, stage);
        let mut host = Self { life, plan: plan.disk, control, store, faults, untold: false, has_failed: false };
        let changes = [names(plan).changes(), vec![applied(stage.wall())]].concat();
        host.change(changes, stage);
        host
    }

    /// The entries published last.
    pub const fn published(&self) -> &Arc<Entries> {
        self.control.published()
    }

    /// Requests these changes.
    pub fn change(&mut self, changes: Vec<Change>, stage: &mut Stage) {
        let ticket = stage.oracle.entries.asked(&changes);
        note!(stage, "control, request {ticket}: {changes:?}");
        self.control.handle(ControlEvent::Change { ticket, changes });
        self.commit(stage);
    }

    fn commit(&mut self, stage: &mut Stage) {
        let Some(batch) = self.control.poll_commit() else { return };
        let version = batch.record.version;
        let written = self.store.commit_begin(batch.into_ops()).map_err(|error| error.to_string());
        expect(written, stage);
        if self.faults.strikes(Operation::Write, stage.now_ns()) {
            return self.fail(Count::WritesFailed, stage);
        }
        let delay = self.plan.commit.draw(&mut stage.control_chance);
        stage.agenda.after(delay, Happening::Inside(self.life, Inside::ControlDurable(version)));
        if stage.is_mutant(Mutant::PublishEarly) {
            self.control.handle_committed(version);
        }
    }

    /// The batch of that version has become durable; control is told later.
    pub fn handle_durable(&mut self, version: u64, stage: &mut Stage) {
        if self.faults.strikes(Operation::Sync, stage.now_ns()) {
            stage.tally.add(Count::SyncsFailed);
            return self.fail(Count::EndsBySync, stage);
        }
        let synced = self.store.commit_sync().map_err(|error| error.to_string());
        expect(synced, stage);
        self.untold = true;
        let delay = self.plan.told.draw(&mut stage.control_chance);
        stage.agenda.after(delay, Happening::Inside(self.life, Inside::ControlTold(version)));
    }

    /// Control is told that a batch is durable.
    pub fn handle_told(&mut self, version: u64, stage: &mut Stage) {
        self.untold = false;
        if !stage.is_mutant(Mutant::PublishEarly) {
            self.control.handle_committed(version);
        }
        self.commit(stage);
    }

    /// Carries out what control can do now; true if it published something.
    pub fn poll(&mut self, stage: &mut Stage) -> bool {
        let mut is_news = false;
        while let Some(effect) = self.control.poll_effect() {
            match effect {
                Effect::Publish(entries) => {
                    note!(stage, "control publishes version {}", entries.version());
                    let judged = stage.oracle.entries.published(&entries);
                    expect(judged, stage);
                    is_news = true;
                }
                Effect::Reply(ticket, result) => {
                    note!(stage, "control answers request {ticket}: {result:?}");
                    stage.tally.add(if result.is_ok() { Count::Configured } else { Count::ConfiguredNot });
                    let judged = stage.oracle.entries.answered(ticket, result.is_ok(), self.control.published());
                    expect(judged, stage);
                }
            }
        }
        is_news
    }

    /// Whether no change is requested or under way.
    pub fn is_idle(&self) -> bool {
        self.control.is_idle() && self.store.begun() == 0 && !self.untold
    }

    /// A write or a sync has failed: the process ends.
    pub const fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Notes where in its work control is.
    pub fn note_phases(&self, phases: &mut Phases) {
        phases.note(Phase::ControlWritten, self.store.begun() > 0);
        phases.note(Phase::ControlUntold, self.untold);
    }

    fn fail(&mut self, count: Count, stage: &mut Stage) {
        stage.tally.add(count);
        note!(stage, "control's disk fails");
        self.has_failed = true;
    }

    /// The process dies: of the batch under way everything survives, or nothing, or some blocks.
    pub fn crash(self, stage: &mut Stage) -> Platter {
        let mut remains = Remains::default();
        if self.store.begun() > 0 {
            match stage.control_chance.below(3) {
                0 => remains.batches = 1,
                1 => {}
                _ => remains.blocks = stage.control_chance.next_u64(),
            }
        }
        stage.oracle.entries.forget_open();
        note!(stage, "control keeps {remains:?}");
        let store = self.store.crash(&remains).unwrap_or_else(|error| {
            expect(Err(error.to_string()), stage);
            MemoryStore::new(self.plan.drops)
        });
        Platter { store, faults: self.faults }
    }
}

fn expect(done: Result<(), String>, stage: &mut Stage) {
    if let Err(what) = done {
        stage.oracle.break_at(Invariant::Control, format!("control: {what}"));
    }
}

/// The names in use, numbered as in the contract: it counts from 1, and control hears of them first.
fn names(plan: &Plan) -> Names {
    let all = contract::catalog(plan, None);
    Names {
        routes: all.routes.routes.iter().map(|route| route.name.clone()).collect(),
        carriers: all.carriers.iter().map(|carrier| carrier.name.clone()).collect(),
        groups: all.carriers.iter().map(|carrier| format!("g{}", carrier.group.0)).collect(),
        tenants: Vec::new(),
        limits: limits::names(plan),
    }
}

/// Checks that the names in use have the numbers by which nodes know them.
pub fn judge_catalog(entries: &Entries, plan: &Plan, stage: &mut Stage) {
    let catalog = contract::catalog(plan, None);
    let strange = catalog.routes.routes.iter().find(|route| entries.route(&route.name) != Some(route.id.0));
    if let Some(route) = strange {
        let number = entries.route(&route.name);
        expect(Err(format!("route {} has number {number:?}, and is used as {}", route.name, route.id.0)), stage);
    }
    let strange = catalog.carriers.iter().find(|carrier| entries.carrier(&carrier.name) != Some(carrier.id.0));
    if let Some(carrier) = strange {
        let number = entries.carrier(&carrier.name);
        expect(Err(format!("carrier {} has number {number:?}, and is used as {}", carrier.name, carrier.id.0)), stage);
    }
    let strange = catalog.limits.rules.iter().find(|rule| entries.limit(&rule.name) != Some(rule.id.0));
    if let Some(rule) = strange {
        let number = entries.limit(&rule.name);
        expect(Err(format!("limit {} has number {number:?}, and is used as {}", rule.name, rule.id.0)), stage);
    }
}

/// Changes that an operator requests: new names, a configuration, settings set and removed; some are impossible.
pub fn wishes(stage: &mut Stage) -> Vec<Change> {
    let wall = stage.wall();
    let chance = &mut stage.control_chance;
    let mut wishes = Vec::new();
    for _ in 0..chance.between(1, 4) {
        let key = format!("s{}", chance.below(SETTINGS)).into_bytes();
        let kind = Kind::ALL[chance.below(KINDS) as usize];
        wishes.push(match chance.below(8) {
            0 => applied(wall),
            1 | 2 => {
                let value = chance.next_u64().to_le_bytes().repeat(chance.between(1, 4) as usize);
                Change::Put { kind: Kind::Configuration, key, value }
            }
            3 => Change::Remove { kind: Kind::Configuration, key },
            4 if chance.chance(100_000) => Change::Remove { kind, key },
            _ => {
                let kind = if kind.is_numbered() { kind } else { Kind::Tenant };
                Change::Number { kind, name: format!("x{}", chance.below(NAMES)) }
            }
        });
    }
    wishes
}
