//! The process under test, in one of its lives: the real shards and links, their mail, their disks. Knows how they are wired,
//! as the daemon wires them; decides nothing.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Arc;

use crate::delivery::DoubtPolicy;
use crate::link::{BindId, Link, LinkEffect, LinkEvent};
use crate::mesh::ShardMap;
use crate::model::{DiskRoom, Lane, LinkId, Mono, RouteId, ShardId};
use crate::shard::{Effect, Shard, ShardEvent};
use crate::store::CommitSeq;
use crate::store::memory::MemoryReader;
use crate::traffic::{ReceiptBatch, ToLink, ToShard, Verdict, VerdictBatch};

use super::agenda::{InOrder, SECOND};
use super::contract;
use super::disk::{Disk, Errand, Platter};
use super::happening::{ConnId, Happening, Inside};
use super::mutants::Mutant;
use super::network::{Incoming, Network};
use super::oracle::Invariant;
use super::phase::{Phase, Phases};
use super::plan::{HostPlan, Plan};
use super::sabotage;
use super::stage::{Stage, note};
use super::tally::Count;

/// How long a drain may take before what is under way is given up: the daemon's own figure is its owner's.
const DRAIN_NS: u64 = 9 * SECOND;

#[derive(Debug)]
struct ShardHost {
    shard: Shard,
    disk: Disk,
    wake_at: Option<u64>,
}

#[derive(Debug)]
struct LinkHost {
    link: Link,
    id: LinkId,
    carrier: usize,
    conns: BTreeMap<BindId, ConnId>,
    /// Attempts to connect, by number: a late outcome of an older one is void.
    connecting: BTreeMap<BindId, u64>,
    attempts: u64,
    wake_at: Option<u64>,
}

/// Where a process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stretch {
    Serving,
    Draining,
    Sealing,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Process {
    /// Which life.
    pub life: u32,
    shards: Vec<ShardHost>,
    links: Vec<LinkHost>,
    /// Mail is in order between any two: to a shard, to a link.
    mail: BTreeMap<(usize, usize, bool), InOrder>,
    mail_under_way: u32,
    stretch: Stretch,
    batches_told: u64,
    /// The receipt that a mutant gives to another message.
    last_id: Vec<u8>,
}

impl Process {
    /// Starts over what the disks hold.
    pub fn start(life: u32, platters: Vec<Platter>, plan: &Plan, hash_seed: u64, stage: &mut Stage) -> Self {
        let (now, map) = (stage.now(), ShardMap::new(plan.shards, plan.cores));
        let catalog = Arc::new(contract::catalog(plan));
        let mut shards = Vec::new();
        for (at, platter) in platters.into_iter().enumerate() {
            let disk = Disk::new(at, life, plan.disk, platter);
            let found = disk.recover(stage).unwrap_or_else(|error| {
                stage.oracle.break_at(Invariant::StoreSound, format!("recovery of shard {at}: {error}"));
                Default::default()
            });
            note!(stage, "life {life}: shard {at} starts after commit {}", found.last.0);
            let options = contract::shard_options(plan, ShardId(at as u8), hash_seed, stage.mutant);
            let mut shard = Shard::recover(options, stage.chance.next_u64(), found, now);
            shard.handle(ShardEvent::Catalog(Arc::clone(&catalog)), now);
            shards.push(ShardHost { shard, disk, wake_at: None });
        }
        let silent_until = if stage.is_mutant(Mutant::SkipSilence) { Mono(0) } else { now.mono.after_ns(SECOND) };
        let links = contract::links(plan, map, silent_until, stage.mutant)
            .into_iter()
            .map(|(carrier, options)| {
                let id = options.link;
                let link = Link::new(options, stage.chance.next_u64(), now);
                LinkHost {
                    link,
                    id,
                    carrier,
                    conns: BTreeMap::new(),
                    connecting: BTreeMap::new(),
                    attempts: 0,
                    wake_at: None,
                }
            })
            .collect();
        Self {
            life,
            shards,
            links,
            mail: BTreeMap::new(),
            mail_under_way: 0,
            stretch: Stretch::Serving,
            batches_told: 0,
            last_id: Vec::new(),
        }
    }

    /// The first turn of everybody.
    pub fn wake_all(&mut self, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        for at in 0..self.shards.len() {
            self.shards[at].shard.handle_timeout(stage.now());
            self.turn_shard(at, plan, stage);
        }
        for at in 0..self.links.len() {
            self.links[at].link.handle_timeout(stage.now());
            self.turn_link(at, plan, net, stage);
        }
    }

    /// The disk has so much room: everybody is told.
    pub fn disk_has(&mut self, room: DiskRoom, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        for at in 0..self.shards.len() {
            self.shards[at].shard.handle(ShardEvent::Disk(room), stage.now());
            self.turn_shard(at, plan, stage);
        }
        for at in 0..self.links.len() {
            self.tell(at, LinkEvent::Disk(room), plan, net, stage);
        }
    }

    /// A shard's event from a door.
    pub fn ask(&mut self, shard: ShardId, event: ShardEvent, plan: &Plan, stage: &mut Stage) {
        let at = usize::from(shard.0);
        self.shards[at].shard.handle(event, stage.now());
        self.turn_shard(at, plan, stage);
    }

    /// Octets of all disks, and how much shards and links remember: the length of their description, into which every
    /// field of theirs goes.
    pub fn size(&self) -> (u64, u64) {
        let disk = self.shards.iter().map(|host| host.disk.octets()).sum();
        let shards: u64 = self.shards.iter().map(|host| described(&host.shard)).sum();
        (disk, shards + self.links.iter().map(|host| described(&host.link)).sum::<u64>())
    }

    /// Something happens.
    pub fn handle(&mut self, what: Inside, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        match what {
            Inside::ToShard(at, traffic) => {
                self.mail_under_way -= 1;
                self.shards[at].shard.handle(ShardEvent::Traffic(traffic), stage.now());
                self.turn_shard(at, plan, stage);
            }
            Inside::ToLink(at, traffic) => {
                self.mail_under_way -= 1;
                self.tell(at, LinkEvent::Traffic(traffic), plan, net, stage);
            }
            Inside::ShardWakes(at) => {
                if is_wanted(&mut self.shards[at].wake_at, stage) {
                    self.shards[at].shard.handle_timeout(stage.now());
                    self.turn_shard(at, plan, stage);
                }
            }
            Inside::LinkWakes(at) => {
                if is_wanted(&mut self.links[at].wake_at, stage) {
                    self.links[at].link.handle_timeout(stage.now());
                    self.turn_link(at, plan, net, stage);
                }
            }
            Inside::Durable(at, seq) => self.shards[at].disk.handle_durable(seq, stage),
            Inside::Committed(at, seq) => self.committed(at, seq, plan, stage),
            Inside::ErrandDone(at) => self.shards[at].disk.handle_done(stage),
            Inside::Read(at, found) => {
                self.shards[at].disk.handle_told();
                self.shards[at].shard.handle_read(*found, stage.now());
                self.turn_shard(at, plan, stage);
            }
            Inside::RunWritten(at, run) => {
                self.shards[at].disk.handle_told();
                self.shards[at].shard.handle_run_written(run, stage.now());
                self.turn_shard(at, plan, stage);
            }
            Inside::Connected(at, bind, attempt, host) => {
                if self.links[at].connecting.get(&bind) == Some(&attempt) {
                    self.connected(at, bind, host, plan, net, stage);
                }
            }
            Inside::SocketTakes(id) => self.socket_takes(id, plan, net, stage),
            Inside::Hears(id, octets) => {
                let mut rest = &octets[..];
                while let Some((at, bind)) = net.get(id).map(|conn| (conn.link, conn.bind)).filter(|_| !rest.is_empty())
                    && net.hear(id, rest) == Incoming::Read
                {
                    let dealt_with = self.links[at].link.handle_bytes(bind, rest, stage.now());
                    rest = &rest[dealt_with..];
                    self.turn_link(at, plan, net, stage);
                }
            }
            Inside::Loses(id, reason) => self.loses(id, reason, plan, net, stage),
            Inside::DrainOver => self.drain_over(plan, net, stage),
        }
        self.go_on(plan, stage);
    }

    fn committed(&mut self, at: usize, seq: CommitSeq, plan: &Plan, stage: &mut Stage) {
        self.shards[at].disk.handle_committed();
        if !stage.is_mutant(Mutant::AcknowledgeEarly) {
            self.shards[at].shard.handle_committed(seq, stage.now());
            self.turn_shard(at, plan, stage);
        }
    }

    fn tell(&mut self, at: usize, event: LinkEvent, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        self.links[at].link.handle(event, stage.now());
        self.turn_link(at, plan, net, stage);
    }

    /// Everything that a shard wants done.
    fn turn_shard(&mut self, at: usize, plan: &Plan, stage: &mut Stage) {
        let host = &mut self.shards[at];
        host.shard.checkpoint_if_idle();
        while let Some(batch) = host.shard.poll_commit() {
            let seq = batch.seq;
            host.disk.commit(batch, stage);
            if stage.is_mutant(Mutant::AcknowledgeEarly) {
                host.shard.handle_committed(seq, stage.now());
            }
        }
        while let Some(mut request) = host.shard.poll_read() {
            sabotage::ask(&mut request, stage.mutant);
            host.disk.push(Errand::Read(request), stage);
        }
        while let Some(effect) = self.shards[at].shard.poll_effect() {
            match effect {
                Effect::Reply(to, reply) => {
                    stage.told(ShardId(at as u8), to, &reply);
                    note!(stage, "shard {at} replies {to:?}");
                    let delay = plan.door.draw(&mut stage.chance);
                    stage.replies_under_way += 1;
                    stage.agenda.after(delay, Happening::Replied(to, Box::new(reply)));
                }
                Effect::Link(link, traffic) => self.mail_to_link(at, link, traffic, plan, stage),
                Effect::Maintain(work) => self.shards[at].disk.push(Errand::Maintain(work), stage),
                Effect::Alarm(what) => stage.oracle.break_at(Invariant::NoAlarm, what),
            }
        }
        let host = &mut self.shards[at];
        if let Some(wanted) = host.shard.poll_timeout() {
            wake(&mut host.wake_at, wanted, Happening::Inside(self.life, Inside::ShardWakes(at)), stage);
        }
    }

    /// Everything that a link wants done.
    fn turn_link(&mut self, at: usize, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        while let Some(effect) = self.links[at].link.poll_effect() {
            self.link_effect(at, effect, plan, net, stage);
        }
        let host = &mut self.links[at];
        if let Some(wanted) = host.link.poll_timeout() {
            wake(&mut host.wake_at, wanted, Happening::Inside(self.life, Inside::LinkWakes(at)), stage);
        }
    }

    fn link_effect(&mut self, at: usize, effect: LinkEffect, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        let host = &mut self.links[at];
        match effect {
            LinkEffect::Connect { bind, way } => {
                let carrier = &plan.carriers[host.carrier];
                let kind = carrier.hosts.get(usize::from(way.host)).copied().unwrap_or(HostPlan::Sound);
                let stands = !stage.fault(carrier.unreachable_ppm) && kind != HostPlan::Dead && !carrier.absent;
                let delay = 2 * plan.network.draw(&mut stage.chance);
                host.attempts += 1;
                host.connecting.insert(bind, host.attempts);
                let outcome = Inside::Connected(at, bind, host.attempts, stands.then_some(kind));
                stage.agenda.after(delay, Happening::Inside(self.life, outcome));
            }
            LinkEffect::Transmit { bind } => {
                let mut octets = Vec::new();
                if host.link.take_transmit(bind, &mut octets)
                    && let Some(id) = host.conns.get(&bind)
                {
                    net.write(*id, &octets, plan, stage);
                }
            }
            LinkEffect::Close { bind } => match host.conns.get(&bind) {
                Some(id) => {
                    let left = net.close_by_link(*id, plan, stage);
                    stage.wrote(*id, host.carrier, &left);
                }
                // It is still connecting: the outcome will be dropped.
                None => {
                    host.connecting.remove(&bind);
                    let gone = crate::link::Disconnect::ByUs;
                    self.tell(at, LinkEvent::Disconnected { bind, reason: gone, torn: false }, plan, net, stage);
                }
            },
            LinkEffect::PauseRead { bind } | LinkEffect::ResumeRead { bind } => {
                let paused = matches!(effect, LinkEffect::PauseRead { .. });
                if let Some(id) = host.conns.get(&bind) {
                    net.pause_read(*id, paused, stage);
                }
            }
            LinkEffect::ToShard { shard, traffic } => {
                self.mail_to_shard(at, usize::from(shard.0), traffic, plan, stage)
            }
            LinkEffect::Alarm(alarm) => note!(stage, "link {at} alarm {alarm:?}"),
        }
    }

    fn mail_to_link(&mut self, from: usize, link: LinkId, traffic: ToLink, plan: &Plan, stage: &mut Stage) {
        let Some(at) = self.links.iter().position(|host| host.id == link) else {
            return stage.oracle.break_at(Invariant::NoAlarm, format!("shard {from} writes to {link:?}"));
        };
        note!(stage, "shard {from} to link {at}: {}", summary_to_link(&traffic));
        if let ToLink::Submits(batch) = &traffic {
            batch.submits.iter().for_each(|submit| stage.oracle.handed_over(ShardId(from as u8), submit));
            self.batches_told += 1;
            if stage.is_mutant(Mutant::SubmitTwice) && self.batches_told % 7 == 3 {
                self.post((from, at, true), Inside::ToLink(at, traffic.clone()), plan, stage);
            }
        }
        self.post((from, at, true), Inside::ToLink(at, traffic), plan, stage);
    }

    fn mail_to_shard(&mut self, from: usize, at: usize, mut traffic: ToShard, plan: &Plan, stage: &mut Stage) {
        note!(stage, "link {from} to shard {at}: {}", summary_to_shard(&traffic));
        match &mut traffic {
            ToShard::Receipts(batch) => {
                self.batches_told += 1;
                if stage.is_mutant(Mutant::MatchWrongId) {
                    sabotage::exchange_ids(batch, &mut self.last_id);
                }
                let forgets = stage.is_mutant(Mutant::ForgetReceipt) && self.batches_told % 8 == 5;
                if forgets || stage.is_mutant(Mutant::AnswerReceiptsEarly) {
                    let kept = Inside::ToLink(from, ToLink::Verdicts(all_kept(ShardId(at as u8), batch)));
                    self.post((at, from, true), kept, plan, stage);
                }
                if forgets {
                    return;
                }
            }
            ToShard::Outcomes(_) => {
                self.batches_told += 1;
                if stage.is_mutant(Mutant::DropOutcomes) && self.batches_told % 16 == 7 {
                    return;
                }
            }
            ToShard::Grant(_) => {}
        }
        self.post((at, from, false), Inside::ToShard(at, traffic), plan, stage);
    }

    fn post(&mut self, way: (usize, usize, bool), what: Inside, plan: &Plan, stage: &mut Stage) {
        let at_ns = stage.now_ns() + plan.mailbox.draw(&mut stage.chance);
        let arrival = self.mail.entry(way).or_default().arrival(at_ns);
        self.mail_under_way += 1;
        stage.agenda.at(arrival, Happening::Inside(self.life, what));
    }

    fn connected(
        &mut self,
        at: usize,
        bind: BindId,
        kind: Option<HostPlan>,
        plan: &Plan,
        net: &mut Network,
        stage: &mut Stage,
    ) {
        let host = &mut self.links[at];
        host.connecting.remove(&bind);
        note!(stage, "link {at} {bind:?} connects: {kind:?}");
        let Some(kind) = kind else {
            stage.tally.add(Count::Unreachable);
            let reason = crate::link::Disconnect::Unreachable;
            return self.tell(at, LinkEvent::Disconnected { bind, reason, torn: false }, plan, net, stage);
        };
        let id = net.open(self.life, at, bind, (host.carrier, kind));
        host.conns.insert(bind, id);
        if kind == HostPlan::Faithless {
            stage.tally.add(Count::HostsFaithless);
            let until = stage.chance.below(2 * SECOND);
            stage.agenda.after(until, Happening::CarrierLoses(id));
        }
        // The carrier's side is made when it first hears something.
        self.tell(at, LinkEvent::Connected { bind }, plan, net, stage);
    }

    fn socket_takes(&mut self, id: ConnId, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        let Some((at, bind)) = net.get(id).map(|conn| (conn.link, conn.bind)) else { return };
        let taken = net.accept(id, plan, stage);
        if taken.is_empty() {
            return;
        }
        stage.wrote(id, self.links[at].carrier, &taken);
        self.tell(at, LinkEvent::Written { bind, octets: taken.len() }, plan, net, stage);
    }

    fn loses(
        &mut self,
        id: ConnId,
        reason: crate::link::Disconnect,
        plan: &Plan,
        net: &mut Network,
        stage: &mut Stage,
    ) {
        let Some((at, bind)) = net.get(id).map(|conn| (conn.link, conn.bind)) else { return };
        let Some((torn, left)) = net.lose_at_link(id, plan, stage) else { return };
        let host = &mut self.links[at];
        stage.wrote(id, host.carrier, &left);
        stage.oracle.wire.handle_end(id);
        host.conns.remove(&bind);
        note!(stage, "link {at} {bind:?} loses {id:?}: {reason:?}, torn {torn}");
        self.tell(at, LinkEvent::Disconnected { bind, reason, torn }, plan, net, stage);
    }

    /// Asks the process to end.
    pub fn drain(&mut self, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        if self.stretch != Stretch::Serving {
            return;
        }
        note!(stage, "life {} drains", self.life);
        self.stretch = Stretch::Draining;
        for at in 0..self.shards.len() {
            self.shards[at].shard.handle(ShardEvent::Drain, stage.now());
            self.turn_shard(at, plan, stage);
        }
        for at in 0..self.links.len() {
            self.tell(at, LinkEvent::Drain, plan, net, stage);
        }
        stage.agenda.after(DRAIN_NS, Happening::Inside(self.life, Inside::DrainOver));
        self.go_on(plan, stage);
    }

    fn drain_over(&mut self, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        if self.stretch != Stretch::Draining {
            return;
        }
        stage.tally.add(Count::StopsForced);
        for at in 0..self.links.len() {
            self.links[at].link.stop_now(stage.now());
            self.turn_link(at, plan, net, stage);
        }
    }

    fn go_on(&mut self, plan: &Plan, stage: &mut Stage) {
        if self.stretch == Stretch::Draining && self.is_drained() {
            note!(stage, "life {} seals", self.life);
            self.stretch = Stretch::Sealing;
            for at in 0..self.shards.len() {
                self.shards[at].shard.want_checkpoint(stage.now());
                self.turn_shard(at, plan, stage);
            }
        }
    }

    fn is_drained(&self) -> bool {
        self.mail_under_way == 0
            && self.shards.iter().all(|host| host.shard.is_quiet())
            && self.links.iter().all(|host| host.link.is_drained())
    }

    /// Whether it was asked to end.
    pub fn is_ending(&self) -> bool {
        self.stretch != Stretch::Serving
    }

    /// Whether a drain has come to its end.
    pub fn has_ended(&self) -> bool {
        let sealed =
            |host: &ShardHost| host.shard.is_quiet() && !host.shard.checkpoint_pending() && host.disk.is_idle();
        self.stretch == Stretch::Sealing && self.mail_under_way == 0 && self.shards.iter().all(sealed)
    }

    /// The process is gone; what its disks hold.
    pub fn crash(self, plan: &Plan, net: &mut Network, stage: &mut Stage) -> Vec<Platter> {
        net.abandon(self.life, plan, stage);
        stage.oracle.wire.handle_crash();
        let shards = self.shards.iter().map(|host| host.shard.buggify());
        let links = self.links.iter().map(|host| host.link.buggify());
        shards.chain(links).for_each(|buggify| stage.tally.add_fired(buggify.fired()));
        self.shards.into_iter().map(|host| host.disk.crash(stage)).collect()
    }

    /// A disk has failed: the process ends, as it does when a commit fails.
    pub fn has_failed(&self) -> bool {
        self.shards.iter().any(|host| host.disk.has_failed())
    }

    /// The disk of one of its shards.
    pub fn disk(&mut self, shard: usize) -> Option<&mut Disk> {
        self.shards.get_mut(shard).map(|host| &mut host.disk)
    }

    /// Readers of all its stores.
    pub fn stores(&self) -> Vec<MemoryReader> {
        self.shards.iter().map(|host| host.disk.reader()).collect()
    }

    /// Where it stands in its turn.
    pub fn phases(&self) -> Phases {
        let mut phases = Phases::default();
        for host in &self.shards {
            host.disk.note_phases(&mut phases);
            phases.note(Phase::Gathered, host.shard.has_gathered());
        }
        phases.note(Phase::Mail, self.mail_under_way > 0);
        phases.note(Phase::Draining, self.stretch == Stretch::Draining);
        phases.note(Phase::Sealing, self.stretch == Stretch::Sealing);
        phases
    }

    /// What a start found in doubt that was under way when the process ended.
    pub fn fresh_doubts(&self) -> Option<String> {
        let found = self.shards.iter().position(|host| host.shard.status().counters.in_doubt > 0)?;
        Some(format!("shard {found} finds attempts open: {:?}", self.shards[found].shard.status()))
    }

    /// Messages that wait, by shard, on routes by which nobody will ever take them.
    pub fn waiting_in_vain(&self, plan: &Plan) -> Vec<(ShardId, RouteId, u64)> {
        let routes = (0..usize::from(plan.routes())).filter(|route| plan.is_absent(*route));
        let routes: Vec<_> = routes.map(contract::route_id).collect();
        let depth = |(at, host): (usize, &ShardHost)| {
            let lanes = host.shard.lanes().filter(|(lane, ..)| routes.contains(&lane.route));
            lanes.map(|(lane, depth, _)| (ShardId(at as u8), lane.route, depth)).collect::<Vec<_>>()
        };
        self.shards.iter().enumerate().flat_map(depth).collect()
    }

    /// Why the process is not at rest; none if it is.
    pub fn unrest(&mut self, plan: &Plan, stage: &Stage) -> Option<String> {
        for (at, host) in self.shards.iter().enumerate() {
            let status = host.shard.status();
            let held = |lane: Lane| plan.shard.doubt[lane.class.index()] == DoubtPolicy::Hold;
            let undecided = host.shard.doubts().find(|(_, doubt)| !held(doubt.lane));
            let waits = status.waiting.iter().sum::<u64>() + status.scheduled + status.open;
            let restored = host.shard.restored().map_or(0, |restored| restored.waiting.iter().sum());
            let counted = status.tenants.iter().map(|(_, messages)| messages).sum::<u64>();
            if waits == 0 && counted > restored {
                return Some(format!("shard {at}: nothing waits, and {:?} are counted as waiting", status.tenants));
            }
            if waits > 0 || undecided.is_some() || !host.shard.is_quiet() || !host.disk.is_idle() {
                return Some(format!(
                    "shard {at}: {status:?}, undecided {undecided:?}, quiet {}",
                    host.shard.is_quiet()
                ));
            }
        }
        if self.mail_under_way > 0 {
            return Some(format!("{} letters", self.mail_under_way));
        }
        for (at, host) in self.links.iter_mut().enumerate() {
            let status = host.link.status(stage.now().mono);
            if status.outstanding + status.prepared > 0 {
                return Some(format!("link {at}: {status:?}"));
            }
        }
        None
    }
}

fn wake(wake_at: &mut Option<u64>, wanted: Mono, what: Happening, stage: &mut Stage) {
    let at_ns = stage.agenda_ns(wanted).max(stage.now_ns());
    if wake_at.is_none_or(|known| known > at_ns) {
        *wake_at = Some(at_ns);
        stage.agenda.at(at_ns, what);
    }
}

/// Whether the wish to be woken has come; one that was overtaken by an earlier one is void.
fn is_wanted(wake_at: &mut Option<u64>, stage: &Stage) -> bool {
    wake_at.take_if(|wanted| *wanted <= stage.now_ns()).is_some()
}

fn all_kept(shard: ShardId, batch: &ReceiptBatch) -> VerdictBatch {
    VerdictBatch { shard, verdicts: batch.receipts.iter().map(|receipt| (receipt.token, Verdict::Kept)).collect() }
}

fn summary_to_link(traffic: &ToLink) -> String {
    match traffic {
        ToLink::Demand(demand) => format!("demand {:?}", demand.waiting),
        ToLink::Submits(batch) => {
            let submits: Vec<_> = batch.submits.iter().map(|s| format!("{}#{}", s.address, s.attempt)).collect();
            format!("submits {:?} {submits:?} unused {}", batch.class, batch.unused)
        }
        ToLink::Verdicts(batch) => format!("verdicts {:?}", batch.verdicts),
    }
}

fn summary_to_shard(traffic: &ToShard) -> String {
    match traffic {
        ToShard::Grant(grant) => format!("grant {} {:?}", grant.messages, grant.class),
        ToShard::Outcomes(batch) => {
            let outcomes: Vec<_> = batch
                .outcomes
                .iter()
                .map(|o| format!("{}#{} {}/{} {:?}", o.address, o.attempt, o.part, o.parts, o.answer))
                .collect();
            format!("outcomes {outcomes:?}")
        }
        ToShard::Receipts(batch) => {
            let id =
                |receipt: &crate::traffic::ReceiptIn| String::from_utf8_lossy(receipt.id.of(&batch.arena)).into_owned();
            let receipts: Vec<_> = batch
                .receipts
                .iter()
                .map(|r| format!("{:?} {} {:?} {:?}", r.token, id(r), r.state, r.if_unknown))
                .collect();
            format!("receipts {receipts:?}")
        }
    }
}

/// How long a description is.
fn described(what: &impl fmt::Debug) -> u64 {
    struct Length(u64);
    impl Write for Length {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 += text.len() as u64;
            Ok(())
        }
    }
    let mut length = Length(0);
    // A length cannot fail.
    let _ = write!(length, "{what:?}");
    length.0
}
