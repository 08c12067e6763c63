//! The simulated world: everybody in it, and what happens, one thing after the other, until everything has come to rest and
//! has been judged. Decides faults; the plan says how many.

use crate::model::Prng;
use crate::shard::ShardEvent;
use crate::store::memory::MemoryStore;

use super::agenda::SECOND;
use super::clients::Clients;
use super::happening::Happening;
use super::network::Network;
use super::oracle::{Invariant, Oracle, Violation};
use super::plan::{Plan, pick};
use super::process::Process;
use super::simulator::SimOptions;
use super::smsc::Carriers;
use super::stage::{Stage, note};
use super::tally::Count;
use super::trace::Trace;
use super::wire::Complaint;

/// How long everything may take to come to rest once faults have ended.
const REST_NS: u64 = 3_600 * SECOND;
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
    disks: Vec<MemoryStore>,
    net: Network,
    carriers: Carriers,
    clients: Clients,
    crashes_left: u32,
    stops_left: u32,
    ended_cleanly: bool,
    calm_since: u64,
    ending: Ending,
    over: bool,
}

impl World {
    /// The world of that seed.
    pub fn new(seed: u64, options: &SimOptions) -> Self {
        let mut chance = Prng::new(seed);
        let plan = Plan::draw(&mut chance);
        let rates = plan.carriers.iter().map(|carrier| carrier.rate).collect();
        let carriers = Carriers::new(&plan, chance.next_u64());
        let trace = Trace::new(options.lines_max);
        let mut stage = Stage::new(chance, trace, Oracle::new(rates), options.mutant);
        note!(stage, "{plan:?}");
        let disks = (0..plan.shards).map(|_| MemoryStore::new(plan.disk.drops)).collect();
        let mut world = Self {
            clients: Clients::new(&plan),
            crashes_left: plan.crashes_max,
            stops_left: plan.stops_max,
            plan,
            stage,
            hash_seed: options.hash_seed,
            process: None,
            life: 0,
            disks,
            net: Network::default(),
            carriers,
            ended_cleanly: false,
            calm_since: 0,
            ending: Ending::Rest,
            over: false,
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
        some(plan.wall_jumps, || Happening::WallJumps);
        some(plan.cuts, || Happening::Cut);
        some(plan.freezes, || Happening::Freeze);
        stage.agenda.at(SECOND / 10, Happening::ClientActs);
        stage.agenda.at(plan.chaos_ns, Happening::Calm);
    }

    /// Lets everything happen.
    pub fn run(&mut self) -> Option<Violation> {
        let (mut instant, mut times) = (0, 0);
        while !self.over {
            let Some(what) = self.stage.agenda.pop() else { break };
            let now_ns = self.stage.now_ns();
            times = if now_ns == instant { times + 1 } else { 0 };
            instant = now_ns;
            if times > SAME_INSTANT_MAX {
                self.stage.oracle.break_at(Invariant::NoSpin, format!("again and again: {what:?}"));
            }
            self.happen(what);
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

    fn happen(&mut self, what: Happening) {
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
            Happening::ClientActs => {
                self.clients.act(plan, stage);
                let next = self.clients.next_act_ns(plan, stage);
                if !self.clients.are_done() {
                    stage.agenda.after(next, Happening::ClientActs);
                }
            }
            Happening::Asked(shard, ticket, question, ask) => {
                if let Some(process) = self.process.as_mut() {
                    stage.oracle.asked(ticket, question);
                    process.ask(shard, ShardEvent::Ask(*ask), plan, stage);
                }
            }
            Happening::Replied(to, reply) => self.clients.replied(to, *reply, plan, stage),
            Happening::PatienceEnds(ticket) => self.clients.impatient(ticket, plan, stage),
            Happening::Crash => self.crash(),
            Happening::Stop => self.stop(),
            Happening::Start => self.start(),
            Happening::WallJumps => self.jump_wall(),
            Happening::Cut => self.cut(),
            Happening::Freeze => self.freeze(),
            Happening::Calm => self.calm(),
            Happening::Look => self.look(),
        }
    }

    fn start(&mut self) {
        if self.process.is_some() {
            return;
        }
        self.life += 1;
        self.stage.shift_mono();
        let disks = std::mem::take(&mut self.disks);
        let mut process = Process::start(self.life, disks, &self.plan, self.hash_seed, &mut self.stage);
        if std::mem::take(&mut self.ended_cleanly)
            && let Some(what) = process.fresh_doubts()
        {
            self.stage.oracle.break_at(Invariant::CleanStop, what);
        }
        process.wake_all(&self.plan, &mut self.net, &mut self.stage);
        self.process = Some(process);
        self.clients.look_up_told(&self.plan, &mut self.stage);
    }

    fn crash(&mut self) {
        if self.stage.calm || self.crashes_left == 0 {
            return;
        }
        let Some(process) = self.process.take() else { return };
        self.crashes_left -= 1;
        self.stage.tally.add(Count::Crashes);
        note!(self.stage, "life {} is killed", process.life);
        self.bury(process);
    }

    fn bury(&mut self, process: Process) {
        self.disks = process.crash(&self.plan, &mut self.net, &mut self.stage);
        self.stage.oracle.forget_questions();
        let downtime = self.plan.downtime.draw(&mut self.stage.chance);
        self.stage.agenda.after(downtime, Happening::Start);
    }

    fn stop(&mut self) {
        if self.stage.calm && self.ending != Ending::Stopping || self.stops_left == 0 {
            return;
        }
        if let Some(process) = self.process.as_mut() {
            self.stops_left -= 1;
            process.drain(&self.plan, &mut self.net, &mut self.stage);
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

    fn jump_wall(&mut self) {
        if self.stage.calm {
            return;
        }
        self.stage.jump_wall();
        self.stage.tally.add(Count::WallJumps);
        note!(self.stage, "the wall clock jumps to {:?}", self.stage.wall());
        if let Some(process) = self.process.as_mut() {
            process.wake_all(&self.plan, &mut self.net, &mut self.stage);
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
        self.stage.agenda.after(SECOND, Happening::Look);
    }

    fn look(&mut self) {
        let plan = &self.plan;
        let unrest = match self.process.as_mut() {
            None => Some("the process is down".to_owned()),
            Some(_) if !self.clients.are_done() => Some("clients are not done".to_owned()),
            Some(_) if self.carriers.receipts_open() > 0 => Some("receipts are not answered".to_owned()),
            Some(_) if self.stage.oracle.unanswered().is_some() && self.ending == Ending::Rest => {
                Some(format!("ticket {:?} is not answered", self.stage.oracle.unanswered()))
            }
            Some(process) => process.unrest(plan, &self.stage),
        };
        match (unrest, self.ending) {
            (Some(what), _) if self.stage.now_ns() - self.calm_since > REST_NS => {
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
        stage.tally = tally;
        if self.ending == Ending::ReadingAgain {
            self.over = true;
            return;
        }
        self.ending = Ending::Stopping;
        self.stops_left = 1;
        self.stage.agenda.after(0, Happening::Stop);
    }
}
