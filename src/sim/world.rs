//! The simulated world: everybody in it, and what happens, one thing after the other, until everything has come to rest and
//! has been judged. Decides faults; the plan says how many.

use crate::admission::numbering::Numbering;
use crate::model::{DiskRoom, Prng, ShardId, Wall};
use crate::shard::{Ask, Reply};
use crate::store::memory::MemoryStore;

use super::agenda::{MS, SECOND};
use super::clients::Clients;
use super::control;
use super::disk::{Platter, Platters};
use super::doors::Doors;
use super::faulty::{Fault, Faults, Operation};
use super::handsets;
use super::happening::Happening;
use super::mutants::Mutant;
use super::network::Network;
use super::operator::Operator;
use super::oracle::{Invariant, Oracle, Question, Violation};
use super::phase::{Phase, Phases};
use super::plan::{Plan, pick};
use super::process::Process;
use super::quotas::Quotas;
use super::simulator::SimOptions;
use super::smsc::Carriers;
use super::stage::{Stage, note};
use super::tally::Count;
use super::trace::Trace;
use super::wire::Complaint;

/// How long a crash waits for the place at which it is aimed.
const AIM_NS: u64 = 10 * SECOND;
/// A process or a disk stands still so long at most.
const STALL_NS: u64 = 20 * SECOND;
/// How long an operator thinks before deciding, at most; and before deciding again where nobody answered.
const HESITATION_NS: u64 = 10 * SECOND;
/// How long what has expired may wait on, once faults have ended and their consequences, ms.
const EXPIRY_MS: u64 = 60_000;
/// How often an operator wants something of control, at most.
const CONFIGURED_MAX: u64 = 16;
/// Things that may happen at one instant.
const SAME_INSTANT_MAX: u32 = 50_000;

/// What the world is waiting for once it is calm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Everything comes to rest.
    Rest,
    /// Every record is read.
    Reading,
    /// The process ends cleanly and starts again.
    Stopping,
    /// Every record is read again.
    ReadingAgain,
}

/// See the head of this file.
#[derive(Debug)]
pub struct World {
    plan: Plan,
    /// What everybody shares.
    pub stage: Stage,
    hash_seed: u64,
    process: Option<Process>,
    life: u32,
    /// While there is no process.
    disks: Option<Platters>,
    net: Network,
    carriers: Carriers,
    clients: Clients,
    doors: Doors,
    numbering: Numbering,
    operator: Operator,
    crashes_left: u32,
    /// Where the process is to be hit, and until when that is waited for.
    aim: Option<(Phase, u64)>,
    /// Until then the process stands still.
    stalled_until_ns: u64,
    stops_left: u32,
    ended_cleanly: bool,
    started_ns: u64,
    calm_since: u64,
    ending: Ending,
    over: bool,
    disk_room: DiskRoom,
    /// Octets on disk, and what is remembered, at each look.
    pub measures: Vec<(u64, u64)>,
}

impl World {
    /// The world of that seed.
    pub fn new(seed: u64, options: &SimOptions) -> Self {
        let mut chance = Prng::new(seed);
        let mut plan = Plan::draw(&mut chance);
        handsets::plan(&mut plan, &mut Prng::new(!seed));
        Self::of(plan, chance, options)
    }

    /// A world as planned.
    pub fn of(plan: Plan, mut chance: Prng, options: &SimOptions) -> Self {
        let rates = plan.carriers.iter().map(|carrier| carrier.rate).collect();
        let carriers = Carriers::new(&plan, chance.next_u64());
        let trace = Trace::new(options.lines_max);
        let mut stage = Stage::new(chance, trace, Oracle::new(rates, &plan.shard), options.mutant);
        stage.oracle.known_ms = plan.known_ms;
        stage.oracle.quotas = Quotas::new(&plan.tenants);
        note!(stage, "{plan:?}");
        let numbering = match Numbering::new(None) {
            Ok(numbering) => numbering,
            Err(unknown) => unreachable!("no country is asked for: {unknown:?}"),
        };
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
            calm_since: 0,
            ending: Ending::Rest,
            over: false,
            disk_room: DiskRoom::Ample,
            measures: Vec::new(),
        };
        world.put_down();
        world
    }

    /// What is certain to happen.
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
        stage.agenda.at(SECOND / 10, Happening::ClientActs);
        stage.agenda.at(plan.chaos_ns, Happening::Calm);
        plan.route_gone_ns.into_iter().for_each(|at_ns| stage.agenda.at(at_ns, Happening::RouteGone));
        if let Some(first_ns) = plan.measured_ns {
            stage.agenda.at(first_ns, Happening::Measure);
        }
    }

    /// Lets everything happen.
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

    /// Ends a process whose disk has failed, and one that stands where it is to be hit.
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

    fn happen(&mut self, what: Happening) {
        let stands_still = self.stage.now_ns() < self.stalled_until_ns && self.process.is_some();
        if stands_still && what.is_for_process() {
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
            Happening::CarrierHears(id, octets) => self.carriers.hears(id, &octets, plan, net, stage),
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
                if matches!(*reply, Reply::Released(_)) {
                    self.operator.released(to, stage);
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

    /// A question reaches the door that it is meant for, if a process is there.
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

    fn crash(&mut self) {
        if self.stage.calm || self.crashes_left == 0 {
            return;
        }
        let aimed = self.stage.chance.chance(600_000);
        let phase = *pick(&mut self.stage.chance, &Phase::ALL);
        if !aimed || phase == Phase::Fresh {
            self.kill();
        }
        if !aimed {
            return;
        }
        self.aim = Some((phase, self.stage.now_ns() + AIM_NS));
        if matches!(phase, Phase::Draining | Phase::Sealing)
            && let Some(process) = self.process.as_mut()
        {
            process.drain(&self.plan, &mut self.stage);
        }
    }

    fn kill(&mut self) {
        self.aim = None;
        if self.crashes_left == 0 {
            return;
        }
        let phases = self.phases();
        let Some(process) = self.process.take() else { return };
        self.crashes_left -= 1;
        self.stage.tally.add(Count::Crashes);
        self.stage.tally.add_crash(phases);
        note!(self.stage, "life {} is killed: {:?}", process.life, phases.iter().collect::<Vec<_>>());
        self.bury(process);
    }

    /// Where the process stands.
    fn phases(&self) -> Phases {
        let mut phases = self.process.as_ref().map(Process::phases).unwrap_or_default();
        phases.note(Phase::Replying, self.stage.replies_under_way > 0);
        phases.note(Phase::Unsent, self.net.is_pending());
        phases.note(Phase::Unanswered, self.carriers.are_asked());
        phases.note(Phase::Idle, phases.is_empty());
        phases
    }

    fn stall(&mut self) {
        let stands = self.stage.now_ns() < self.stalled_until_ns;
        if !self.stage.calm && self.process.is_some() && !stands {
            let ns = self.stage.chance.below(STALL_NS);
            note!(self.stage, "the process stands still for {ns}");
            self.stage.tally.add(Count::Stalls);
            self.stalled_until_ns = self.stage.now_ns() + ns;
        }
    }

    fn stall_disk(&mut self) {
        let shard = self.stage.chance.below(u64::from(self.plan.shards)) as usize;
        let until_ns = self.stage.now_ns() + self.stage.chance.below(STALL_NS);
        if let Some(disk) = self.process.as_mut().and_then(|process| process.disk(shard)) {
            disk.stall(until_ns);
        }
    }

    /// Under the floor, or out of room, for a while.
    fn run_short(&mut self) {
        if self.stage.calm {
            return;
        }
        let room = *pick(&mut self.stage.chance, &[DiskRoom::Low, DiskRoom::Out]);
        let for_ns = self.stage.chance.below(STALL_NS / 2);
        self.stage.tally.add(Count::Shortages);
        self.stage.oracle.was_short = true;
        self.have_room(room);
        self.stage.agenda.after(for_ns, Happening::DiskAmple);
    }

    fn have_room(&mut self, room: DiskRoom) {
        note!(self.stage, "the disk's room: {room:?}");
        self.disk_room = room;
        if let Some(process) = self.process.as_mut() {
            process.disk_has(room, &self.plan, &mut self.net, &mut self.stage);
        }
    }

    fn break_disk(&mut self) {
        if self.stage.calm {
            return;
        }
        let stage = &mut self.stage;
        let shard = stage.chance.below(u64::from(self.plan.shards)) as usize;
        let for_ever = stage.chance.chance(300_000);
        let fault = Fault {
            operation: *pick(&mut stage.chance, &Operation::ALL),
            after: stage.chance.below(6) as u32,
            until_ns: for_ever.then(|| stage.now_ns() + stage.chance.below(2 * STALL_NS)),
        };
        note!(stage, "disk {shard}: {fault:?}");
        if for_ever {
            stage.tally.add(Count::FaultsForEver);
        }
        let faults = match self.process.as_mut() {
            Some(process) => process.disk(shard).map(|disk| &mut disk.faults),
            None => {
                self.disks.as_mut().and_then(|disks| disks.shards.get_mut(shard)).map(|platter| &mut platter.faults)
            }
        };
        if let Some(faults) = faults {
            faults.push(fault);
        }
    }

    fn bury(&mut self, process: Process) {
        self.stalled_until_ns = 0;
        self.disks = Some(process.crash(&self.plan, &mut self.net, &mut self.stage));
        self.stage.oracle.process_died();
        let downtime = self.plan.downtime.draw(&mut self.stage.chance);
        self.stage.agenda.after(downtime, Happening::Start);
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

    /// A clean stop has come to its end.
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

    /// Whatever process there is dies; the next one finds what the last backup holds.
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

    /// The operator wants something of control; now and then its disk is about to fail.
    fn configure(&mut self) {
        let stage = &mut self.stage;
        let Some(process) = self.process.as_mut().filter(|process| !process.is_ending()) else { return };
        if !stage.calm && stage.control_chance.chance(50_000) {
            let operation =
                [Operation::Write, Operation::Sync, Operation::Open][stage.control_chance.below(3) as usize];
            process.control().faults.push(Fault { operation, after: 0, until_ns: None });
        }
        let wishes = control::wishes(stage);
        process.configure(wishes, &self.plan, &mut self.net, stage);
    }

    fn jump_wall(&mut self) {
        if self.stage.calm {
            return;
        }
        let forward = self.stage.jump_wall();
        self.stage.tally.add(if forward { Count::WallForward } else { Count::WallBackward });
        note!(self.stage, "the wall clock jumps to {:?}", self.stage.wall());
        if let Some(process) = self.process.as_mut() {
            process.turn_all(&self.plan, &mut self.net, &mut self.stage);
        }
    }

    fn cut(&mut self) {
        let standing = self.net.standing();
        if !self.stage.calm && !standing.is_empty() {
            let id = *pick(&mut self.stage.chance, &standing);
            self.net.cut(id, &mut self.stage);
        }
    }

    fn freeze(&mut self) {
        let standing = self.net.standing();
        if !self.stage.calm && !standing.is_empty() {
            let id = *pick(&mut self.stage.chance, &standing);
            let ns = self.stage.chance.between(SECOND, 30 * SECOND);
            self.net.freeze(id, ns, &mut self.stage);
        }
    }

    fn calm(&mut self) {
        note!(self.stage, "calm");
        self.stage.calm = true;
        self.calm_since = self.stage.now_ns();
        self.carriers.calm_down();
        self.have_room(DiskRoom::Ample);
        self.aim = None;
        if let Some(process) = self.process.as_mut() {
            process.control().faults.clear();
            let shards = 0..usize::from(self.plan.shards);
            shards.for_each(|at| process.disk(at).into_iter().for_each(|disk| disk.faults.clear()));
        }
        if let Some(disks) = self.disks.as_mut() {
            disks.iter_mut().for_each(|disk| disk.faults.clear());
        }
        self.stage.agenda.after(SECOND, Happening::Look);
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

    /// Faults are over, their consequences too: what has expired may not wait any more.
    fn judge_waiting(&mut self) {
        let quiet_since_ns = self.calm_since.max(self.started_ns) + STALL_NS;
        let Some(process) = self.process.as_ref().filter(|process| !process.is_ending()) else { return };
        // What a clock put off that was ahead may wait until then.
        let was_ahead = self.stage.wall() < self.stage.ahead_until.after_ms(EXPIRY_MS);
        if was_ahead || self.stage.now_ns() < quiet_since_ns + EXPIRY_MS * MS {
            return;
        }
        let since = Wall(self.stage.wall().0.saturating_sub(EXPIRY_MS));
        let stranded = process.stranded(&self.plan, &self.stage);
        self.stage.oracle.judge_stranded(&stranded);
        for (shard, route, waiting) in process.waiting_in_vain(&self.plan) {
            self.stage.oracle.judge_waiting(shard, route, waiting, since);
        }
    }

    fn look(&mut self) {
        self.judge_waiting();
        let plan = &self.plan;
        let unrest = match self.process.as_mut() {
            None => Some("the process is down".to_owned()),
            Some(_) if !self.operator.has_decided() => Some("the operator has not decided".to_owned()),
            Some(_) if !self.clients.are_done() => Some("clients are not done".to_owned()),
            Some(_) if self.stage.now_ns() < self.stalled_until_ns => Some("the process stands still".to_owned()),
            Some(_) if self.stage.asks_under_way + self.stage.replies_under_way > 0 => {
                Some("doors are not done".to_owned())
            }
            Some(process) if process.is_ending() => Some("the process is ending".to_owned()),
            Some(_) if self.carriers.receipts_open() > 0 => Some("receipts are not answered".to_owned()),
            Some(_) if self.stage.oracle.unanswered().is_some() && self.ending == Ending::Rest => {
                Some(format!("ticket {:?} is not answered", self.stage.oracle.unanswered()))
            }
            Some(process) => process.unrest(plan, &self.stage),
        };
        match (unrest, self.ending) {
            (Some(what), _) if self.stage.now_ns() - self.calm_since > self.stage.oracle.rest_ns(plan) => {
                self.stage.oracle.break_at(Invariant::EverythingEnds, format!("{:?}: {what}", self.ending));
            }
            (Some(_), _) => {}
            (None, Ending::Rest) => {
                self.clients.read_all(plan, &mut self.stage);
                self.ending = Ending::Reading;
            }
            (None, Ending::Reading | Ending::ReadingAgain) => self.judge(),
            (None, Ending::Stopping) => {}
        }
        if !self.over {
            self.stage.agenda.after(SECOND, Happening::Look);
        }
    }

    fn judge(&mut self) {
        let Some(stored) = self.clients.read() else {
            if self.ending == Ending::ReadingAgain && !self.clients.are_reading() {
                self.clients.read_all(&self.plan, &mut self.stage);
            }
            return;
        };
        let stage = &mut self.stage;
        note!(stage, "{} messages are stored", stored.len());
        let mut tally = std::mem::take(&mut stage.tally);
        stage.oracle.judge_all(&self.plan, &stored, &mut tally);
        // Retention takes what handsets wrote as well.
        if let Some(process) = self.process.as_ref().filter(|_| !stage.oracle.aged)
            && let Err(what) = stage.oracle.handsets.judge(&process.stores(), &self.plan.shard, &mut tally)
        {
            stage.oracle.break_at(Invariant::Handsets, what);
        }
        stage.tally = tally;
        if self.ending == Ending::ReadingAgain {
            self.over = true;
            return;
        }
        let mut stop_in = 0;
        if self.plan.ages {
            self.age();
            stop_in = SETTLED_AFTER;
        }
        self.ending = Ending::Stopping;
        self.stops_left = 1;
        self.stage.agenda.after(stop_in, Happening::Stop);
    }

    /// Nothing happens until retention has passed, and the patience with receipts.
    fn age(&mut self) {
        note!(self.stage, "time passes");
        let shard = &self.plan.shard;
        let ms = 2 * (shard.receipt_wait_ms + shard.retention_ms);
        self.stage.age(ms);
        self.stage.oracle.aged = true;
        if let Some(process) = self.process.as_mut() {
            process.turn_all(&self.plan, &mut self.net, &mut self.stage);
        }
    }
}

/// When all has followed from a time that has passed.
const SETTLED_AFTER: u64 = 30 * SECOND;
