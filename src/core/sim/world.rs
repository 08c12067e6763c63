//! The simulated world: all its actors, and its events, one after the other, until everything has come to rest and has
//! been judged. Decides faults; the plan says how many.

use std::sync::Arc;

use crate::admission::numbering::Numbering;
use crate::model::{DiskRoom, Prng, ShardId};
use crate::shard::{Ask, Reply};
use crate::store::memory::MemoryStore;

use super::agenda::SECOND;
use super::clients::Clients;
use super::control;
use super::crowd::Crowd;
use super::disk::{Platter, Platters};
use super::doors::Doors;
use super::ending::Ending;
use super::faulty::{Fault, Faults, Operation};
use super::handsets;
use super::happening::Happening;
use super::limits;
use super::mutants::Mutant;
use super::network::Network;
use super::operator::Operator;
use super::oracle::{Invariant, Oracle, Question, Violation};
use super::phase::{Phase, Phases};
use super::plan::Plan;
use super::process::Process;
use super::quotas::Quotas;
use super::sabotage;
use super::simulator::SimOptions;
use super::smsc::Carriers;
use super::stage::{Stage, note};
use super::tally::Count;
use super::trace::Trace;
use super::wire::Complaint;

/// Longest time that an operator takes to decide, and before deciding again if a shard did not confirm.
const HESITATION_NS: u64 = 10 * SECOND;
/// Most changes of control that the operator requests.
const CONFIGURED_MAX: u64 = 16;
/// Time between two checks of waiting messages.
pub(super) const PATROL_NS: u64 = 30 * SECOND;
/// Most events at one instant.
const SAME_INSTANT_MAX: u32 = 50_000;

/// The simulated world.
#[derive(Debug)]
pub struct World {
    pub(super) plan: Plan,
    /// The state that all actors share.
    pub stage: Stage,
    pub(super) hash_seed: u64,
    pub(super) process: Option<Process>,
    pub(super) life: u32,
    /// The disks, while there is no process.
    pub(super) disks: Option<Platters>,
    pub(super) net: Network,
    pub(super) carriers: Carriers,
    pub(super) clients: Clients,
    pub(super) doors: Doors,
    pub(super) numbering: Arc<Numbering>,
    pub(super) operator: Operator,
    pub(super) crashes_left: u32,
    /// The phase in which the process is to crash, and until when that is awaited.
    pub(super) aim: Option<(Phase, u64)>,
    /// Until then the process is stalled.
    pub(super) stalled_until_ns: u64,
    pub(super) stops_left: u32,
    pub(super) ended_cleanly: bool,
    pub(super) started_ns: u64,
    /// Until then something stalled, was short of room or was set.
    pub(super) troubled_until_ns: u64,
    pub(super) calm_since: u64,
    pub(super) ending: Ending,
    pub(super) over: bool,
    pub(super) disk_room: DiskRoom,
    /// Bytes on disk and amount of memory used, at each measurement.
    pub measures: Vec<(u64, u64)>,
}

/// What finds out the country of any number.
pub fn all_countries() -> Arc<Numbering> {
    match Numbering::new(None) {
        Ok(numbering) => Arc::new(numbering),
        Err(unknown) => unreachable!("no country is asked for: {unknown:?}"),
    }
}

impl World {
    /// The world of a seed.
    pub fn new(seed: u64, options: &SimOptions) -> Self {
        let mut chance = Prng::new(seed);
        let mut plan = Plan::draw(&mut chance);
        let mut more = Prng::new(!seed);
        handsets::plan(&mut plan, &mut more);
        plan.bound_waits(&mut more);
        Self::of(plan, chance, options)
    }

    /// The world of a plan.
    pub fn of(plan: Plan, mut chance: Prng, options: &SimOptions) -> Self {
        let rates = plan.carriers.iter().map(|carrier| [carrier.rate, carrier.bind_rate]).collect();
        let carriers = Carriers::new(&plan, chance.next_u64());
        let trace = Trace::new(options.lines_max);
        let mut stage = Stage::new(chance, trace, Oracle::new(rates, &plan.shard), options.mutant);
        stage.oracle.known_ms = plan.known_ms;
        stage.oracle.reloads.may_lose_routes = plan.kind.left_out.is_some();
        stage.oracle.quotas = Quotas::new(&plan.tenants);
        stage.oracle.crowd = Crowd::new(&plan);
        note!(stage, "{plan:?}");
        let numbering = options.numbering.clone().unwrap_or_else(all_countries);
        stage.numbering = Some(Arc::clone(&numbering));
        limits::begin(&plan, &mut stage);
        let platter = |_| Platter { store: MemoryStore::new(plan.disk.drops), faults: Faults::default() };
        let disks = Platters { shards: (0..plan.shards).map(platter).collect(), control: platter(0) };
        let mut world = Self {
            clients: Clients::new(&plan),
            doors: Doors::new(&plan),
            numbering,
            operator: Operator::default(),
            crashes_left: plan.crashes_max,
            aim: None,
            stalled_until_ns: 0,
            stops_left: plan.stops_max,
            plan,
            stage,
            hash_seed: options.hash_seed,
            process: None,
            life: 0,
            disks: Some(disks),
            net: Network::default(),
            carriers,
            ended_cleanly: false,
            started_ns: 0,
            troubled_until_ns: 0,
            calm_since: 0,
            ending: Ending::Rest,
            over: false,
            disk_room: DiskRoom::Ample,
            measures: Vec::new(),
        };
        world.put_down();
        world
    }

    /// Schedules the events that are certain to happen.
    fn put_down(&mut self) {
        let (plan, stage) = (&self.plan, &mut self.stage);
        stage.agenda.at(0, Happening::Start);
        let mut some = |times: u32, what: fn() -> Happening| {
            for _ in 0..times {
                let at_ns = stage.chance.below(plan.chaos_ns);
                stage.agenda.at(at_ns, what());
            }
        };
        some(plan.crashes_max, || Happening::Crash);
        some(plan.stops_max, || Happening::Stop);
        some(plan.stalls, || Happening::Stall);
        some(plan.disk_stalls, || Happening::DiskStalls);
        some(plan.disk_faults, || Happening::DiskFails);
        some(plan.disk_shortages, || Happening::DiskShort);
        some(plan.wall_jumps, || Happening::WallJumps);
        some(plan.cuts, || Happening::Cut);
        some(plan.freezes, || Happening::Freeze);
        for _ in 0..plan.backups {
            let backup_ns = stage.chance.below(plan.chaos_ns);
            let restore_ns = stage.chance.between(backup_ns, plan.chaos_ns);
            stage.agenda.at(backup_ns, Happening::Backup);
            stage.agenda.at(restore_ns, Happening::Restore);
        }
        for _ in 0..stage.control_chance.below(CONFIGURED_MAX) {
            let at_ns = stage.control_chance.below(plan.chaos_ns);
            stage.agenda.at(at_ns, Happening::Configure);
        }
        for _ in 0..plan.handsets {
            let at_ns = stage.handset_chance.below(plan.chaos_ns);
            stage.agenda.at(at_ns, Happening::HandsetWrites);
        }
        self.put_down_kind();
        let (plan, stage) = (&self.plan, &mut self.stage);
        stage.agenda.at(SECOND / 10, Happening::ClientActs);
        stage.agenda.at(PATROL_NS, Happening::Patrol);
        stage.agenda.at(plan.chaos_ns, Happening::Calm);
        plan.route_gone_ns.into_iter().for_each(|at_ns| stage.agenda.at(at_ns, Happening::RouteGone));
        if let Some(first_ns) = plan.measured_ns {
            stage.agenda.at(first_ns, Happening::Measure);
        }
    }

    /// Runs the world to its end.
    pub fn run(&mut self) -> Option<Violation> {
        let (mut instant, mut times) = (0, 0);
        while !self.over {
            let Some(what) = self.stage.agenda.pop() else { break };
            let now_ns = self.stage.now_ns();
            self.stage.oracle.wall = self.stage.wall();
            times = if now_ns == instant { times + 1 } else { 0 };
            instant = now_ns;
            if times > SAME_INSTANT_MAX {
                self.stage.oracle.break_at(Invariant::NoSpin, format!("again and again: {what:?}"));
            }
            self.happen(what);
            self.look_after_process();
            self.hear_complaints();
            if self.stage.oracle.broken.is_some() {
                break;
            }
        }
        self.stage.oracle.broken.clone()
    }

    fn hear_complaints(&mut self) {
        if let Some(complaint) = self.stage.oracle.wire.complaint() {
            let (invariant, what) = match complaint {
                Complaint::Rate(what) => (Invariant::Rate, what),
                Complaint::Window(what) => (Invariant::Window, what),
                Complaint::Unreadable(what) => (Invariant::Readable, what),
            };
            self.stage.oracle.break_at(invariant, what);
        }
    }

    /// Ends a process whose disk has failed, or that has reached the phase in which it is to crash.
    fn look_after_process(&mut self) {
        if let Some(process) = self.process.take_if(|process| process.has_failed()) {
            note!(self.stage, "life {} ends by its disk", process.life);
            self.bury(process);
        }
        if let Some((phase, until_ns)) = self.aim
            && self.process.is_some()
            && (self.stage.now_ns() > until_ns || self.phases().has(phase) && self.stage.chance.chance(300_000))
        {
            self.kill();
        }
    }

    fn stands_still(&self) -> bool {
        self.stage.now_ns() < self.stalled_until_ns && self.process.is_some()
    }

    fn happen(&mut self, what: Happening) {
        if self.stands_still() && what.is_for_process() {
            return self.stage.agenda.at(self.stalled_until_ns, what);
        }
        let (plan, net, stage) = (&self.plan, &mut self.net, &mut self.stage);
        match what {
            Happening::Inside(life, inside) => {
                if let Some(process) = self.process.as_mut().filter(|process| process.life == life) {
                    process.handle(inside, plan, net, stage);
                    if process.has_ended() {
                        self.ended();
                    }
                }
            }
            Happening::CarrierHears(id, bytes) => self.carriers.hears(id, &bytes, plan, net, stage),
            Happening::CarrierLoses(id) => self.carriers.loses(id, plan, net, stage),
            Happening::CarrierWakes(id) => self.carriers.wakes(id, plan, net, stage),
            Happening::CarrierAnswers(id, number) => self.carriers.answer(id, number, plan, net, stage),
            Happening::ReceiptDue(carrier, number) => self.carriers.deliver(carrier, number, plan, net, stage),
            Happening::HandsetWrites => self.carriers.handset_writes(plan, stage),
            Happening::PartDue(carrier, number) => self.carriers.deliver_part(carrier, number, plan, net, stage),
            Happening::ClientActs => {
                self.clients.act(plan, stage);
                let next = self.clients.next_act_ns(plan, stage);
                if !self.clients.are_done() {
                    stage.agenda.after(next, Happening::ClientActs);
                }
            }
            Happening::Asked(shard, ticket, question, ask) => self.asked(shard, ticket, question, *ask),
            Happening::Replied(to, reply) => {
                stage.replies_under_way -= 1;
                match &*reply {
                    Reply::Released(_) => self.operator.released(to, stage),
                    Reply::Doubts { found, .. } => self.operator.sees(found, plan, stage),
                    Reply::Submitted(_)
                    | Reply::Claimed(_)
                    | Reply::Found(_)
                    | Reply::Cancelled(_)
                    | Reply::Records { .. }
                    | Reply::Inbound { .. }
                    | Reply::Resolved(_)
                    | Reply::Limits(_)
                    | Reply::Parked(_)
                    | Reply::Unreadable => {}
                }
                self.doors.settle(to, &reply, stage);
                self.clients.replied(to, *reply, plan, stage);
            }
            Happening::PatienceEnds(ticket) => self.clients.impatient(ticket, plan, stage),
            Happening::Crash => self.crash(),
            Happening::Stall => self.stall(),
            Happening::DiskStalls => self.stall_disk(),
            Happening::DiskFails => self.break_disk(),
            Happening::DiskShort => self.run_short(),
            Happening::DiskAmple => self.have_room(DiskRoom::Ample),
            Happening::RouteGone => self.process.iter_mut().for_each(|one| one.tell_catalog(plan, net, stage)),
            Happening::Special(what) => self.happen_specially(what),
            Happening::Patrol => self.patrol(),
            Happening::Stop => self.stop(),
            Happening::Start => self.start(),
            Happening::Backup => self.back_up(),
            Happening::Restore => self.restore(),
            Happening::Decide => self.decide(),
            Happening::Configure => self.configure(),
            Happening::WallJumps => self.jump_wall(),
            Happening::Cut => self.cut(),
            Happening::Freeze => self.freeze(),
            Happening::Calm => self.calm(),
            Happening::Look => self.look(),
            Happening::Measure => self.measure(),
        }
    }

    /// A question reaches its door, if a process is alive.
    fn asked(&mut self, shard: ShardId, ticket: u64, question: Question, ask: Ask) {
        let (plan, stage) = (&self.plan, &mut self.stage);
        stage.asks_under_way -= 1;
        let Some(process) = self.process.as_mut() else { return };
        let (question, ask) = match (question, ask) {
            (Question::Submit(mut messages), Ask::Submit(empty)) => {
                let frame = self.doors.take_in((shard, empty.reply), &messages, &self.numbering, stage);
                messages.truncate(frame.heads.len());
                self.clients.turned_away(ticket, messages.len(), stage);
                if messages.is_empty() {
                    return;
                }
                (Question::Submit(messages), Ask::Submit(frame))
            }
            others => others,
        };
        if let Ask::Release { class: Some(class), policy, .. } = ask {
            stage.oracle.decided(shard, class, policy);
        }
        let ask = sabotage::lend(ask, &question, stage);
        stage.oracle.asked(ticket, question);
        process.ask(shard, ask, plan, &mut self.net, stage);
    }

    fn start(&mut self) {
        if self.process.is_some() {
            return;
        }
        let now_ns = self.stage.now_ns();
        let Some(mut disks) = self.disks.take() else { return };
        if disks.iter_mut().any(|disk| disk.faults.strikes(Operation::Open, now_ns)) {
            self.disks = Some(disks);
            self.stage.tally.add(Count::OpensFailed);
            let downtime = self.plan.downtime.draw(&mut self.stage.chance);
            return self.stage.agenda.after(downtime, Happening::Start);
        }
        self.life += 1;
        self.started_ns = now_ns;
        self.stage.shift_mono();
        if self.stage.is_mutant(Mutant::SwapShards) && self.life > 1 && disks.shards.len() > 1 {
            disks.shards.swap(0, 1);
        }
        let mut process = Process::start(self.life, disks, &self.plan, self.hash_seed, &mut self.stage);
        if std::mem::take(&mut self.ended_cleanly)
            && let Some(what) = process.fresh_doubts()
        {
            self.stage.oracle.break_at(Invariant::CleanStop, what);
        }
        if self.disk_room != DiskRoom::Ample {
            process.disk_has(self.disk_room, &self.plan, &mut self.net, &mut self.stage);
        }
        process.turn_all(&self.plan, &mut self.net, &mut self.stage);
        self.process = Some(process);
        self.doors = Doors::new(&self.plan);
        self.stage.oracle.quotas.forget();
        self.clients.look_up_told(&self.plan, &mut self.stage);
    }

    /// The phases of the turn that apply to the process now.
    pub(super) fn phases(&self) -> Phases {
        let mut phases = self.process.as_ref().map(Process::phases).unwrap_or_default();
        phases.note(Phase::Replying, self.stage.replies_under_way > 0);
        phases.note(Phase::Unsent, self.net.is_pending());
        phases.note(Phase::Unanswered, self.carriers.are_asked());
        phases.note(Phase::Idle, phases.is_empty());
        phases
    }

    pub(super) fn bury(&mut self, process: Process) {
        self.stalled_until_ns = 0;
        self.disks = Some(process.crash(&self.plan, &mut self.net, &mut self.stage));
        self.stage.oracle.process_died();
        let downtime = self.plan.downtime.draw(&mut self.stage.chance);
        self.stage.agenda.after(downtime, Happening::Start);
        self.may_set_clock(downtime);
    }

    fn stop(&mut self) {
        if self.stage.calm && self.ending != Ending::Stopping || self.stops_left == 0 {
            return;
        }
        if let Some(process) = self.process.as_mut() {
            self.stops_left -= 1;
            process.drain(&self.plan, &mut self.stage);
        }
    }

    /// A clean stop is complete.
    fn ended(&mut self) {
        let Some(process) = self.process.take() else { return };
        self.stage.tally.add(Count::Stops);
        note!(self.stage, "life {} has ended", process.life);
        if let Some(ticket) = self.stage.oracle.unanswered() {
            self.stage.oracle.break_at(Invariant::Answers, format!("ticket {ticket} got no answer before the end"));
        }
        self.ended_cleanly = true;
        self.bury(process);
        if self.ending == Ending::Stopping {
            self.ending = Ending::ReadingAgain;
        }
    }

    fn back_up(&mut self) {
        if let Some(process) = self.process.as_ref() {
            self.operator.back_up(&process.stores(), process.entries(), &self.plan, &mut self.stage);
        }
    }

    /// The present process, if any, is killed; the next one finds the contents of the last backup.
    fn restore(&mut self) {
        if self.stage.calm || !self.operator.has_backup() {
            return;
        }
        if let Some(process) = self.process.take() {
            self.bury(process);
        }
        self.aim = None;
        self.ended_cleanly = false;
        if let Some(disks) = self.operator.restore(self.net.newest(), &self.plan, &mut self.stage) {
            self.disks = Some(disks);
        }
        let hesitation_ns = self.stage.chance.below(HESITATION_NS);
        self.stage.agenda.after(hesitation_ns, Happening::Decide);
    }

    fn decide(&mut self) {
        if self.operator.has_decided() {
            return;
        }
        if self.process.as_ref().is_some_and(|process| !process.is_ending()) {
            self.operator.decide(&self.plan, &mut self.stage);
        }
        self.stage.agenda.after(HESITATION_NS, Happening::Decide);
    }

    /// The operator requests changes of control; sometimes control's disk is about to fail.
    fn configure(&mut self) {
        let stage = &mut self.stage;
        let Some(process) = self.process.as_mut().filter(|process| !process.is_ending()) else { return };
        // Where it is judged how much of a rate is used, no process ends.
        let may_fail = !stage.calm && self.plan.kind.used_percent.is_none();
        if may_fail && stage.control_chance.chance(50_000) {
            let operation =
                [Operation::Write, Operation::Sync, Operation::Open][stage.control_chance.below(3) as usize];
            process.control().faults.push(Fault { operation, after: 0, until_ns: None });
        }
        let wishes = control::wishes(stage);
        process.configure(wishes, &self.plan, &mut self.net, stage);
    }

    fn measure(&mut self) {
        let Some(every_ns) = self.plan.measured_ns.filter(|_| !self.stage.calm) else { return };
        let again_ns = match &self.process {
            Some(process) => {
                self.measures.push(process.size());
                every_ns
            }
            None => SECOND,
        };
        self.stage.agenda.after(again_ns, Happening::Measure);
    }
}
