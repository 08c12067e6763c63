//! The process under test, in one of its lives: its nodes, the mailboxes between them, their disks and connections.
//! Brings events to the nodes and carries out what they ask for; decides nothing.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Arc;

use crate::control::{Change, Entries};
use crate::delivery::DoubtPolicy;
use crate::limit::Span;
use crate::link::{BindId, Disconnect, LinkEvent};
use crate::mesh::ShardMap;
use crate::model::{DiskRoom, Lane, LinkId, Mono, RouteId, ShardId, TenantId};
use crate::node::{Node, NodeEvent, Wanted};
use crate::shard::{Ask, Catalog, Shard, ShardEvent};
use crate::store::memory::MemoryReader;

use super::agenda::{SECOND, US};
use super::contract;
use super::control::{self, ControlHost};
use super::disk::{Disk, Platters};
use super::happening::{ConnId, Happening, Inside};
use super::machine::{Machine, Mailboxes, Tampering};
use super::mutants::Mutant;
use super::network::{Incoming, Network};
use super::oracle::Invariant;
use super::phase::{Phase, Phases};
use super::plan::{HostPlan, Plan};
use super::stage::{Stage, note};
use super::tally::Count;

/// How long a drain may take before unfinished work is given up. The daemon's own limit belongs to the daemon's code.
const DRAIN_NS: u64 = 9 * SECOND;
/// Longest time for which other nodes run before a late turn continues.
const OTHERS_NS: u64 = 50 * US;

/// A node, and when it asked for its next turn.
#[derive(Debug)]
struct Seat {
    node: Node,
    /// Its links, as indices into the list of all links.
    links: Vec<usize>,
    wake_at: Option<u64>,
    /// It was drained at some time, and waits for the other nodes.
    through: bool,
}

/// The connections of a link.
#[derive(Debug)]
struct Wires {
    core: usize,
    place: usize,
    carrier: usize,
    conns: BTreeMap<BindId, ConnId>,
    /// Attempts to connect, by number: the outcome of an older attempt is ignored.
    connecting: BTreeMap<BindId, u64>,
    attempts: u64,
}

/// The stage of its life in which a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stretch {
    Serving,
    Draining,
    Sealing,
}

/// The process under test, in one of its lives.
#[derive(Debug)]
pub struct Process {
    /// Number of this life.
    pub life: u32,
    /// By core.
    seats: Vec<Seat>,
    /// The connections of all links.
    wires: Vec<Wires>,
    /// By shard.
    disks: Vec<Disk>,
    control: ControlHost,
    mailboxes: Mailboxes,
    tampering: Tampering,
    stretch: Stretch,
    hash_seed: u64,
    silent_until: Mono,
    /// The carrier that it was started without.
    left_out: Option<usize>,
}

impl Process {
    /// Starts from the contents of the disks.
    pub fn start(life: u32, platters: Platters, plan: &Plan, hash_seed: u64, stage: &mut Stage) -> Self {
        let (now, map) = (stage.now(), ShardMap::new(plan.shards, plan.cores));
        stage.oracle.crowd.start(stage.now_ns());
        let is_unsure = stage.oracle.limited.started(stage.wall(), stage.now_ns());
        stage.tally.add_many(Count::ClockSetWhileDown, u64::from(is_unsure));
        let control = ControlHost::start(life, platters.control, plan, stage);
        let left_out = plan.left_out(stage.now_ns());
        stage.tally.add_many(Count::LeftOut, u64::from(left_out.is_some()));
        let catalog = Arc::new(catalog(plan, left_out, &control, stage));
        let node = |core| Node::new(core, usize::from(plan.cores), Arc::clone(&catalog));
        let seat = |core| Seat { node: node(core), links: Vec::new(), wake_at: None, through: false };
        let mut seats: Vec<_> = (0..plan.cores).map(seat).collect();
        let mut disks = Vec::new();
        for (at, platter) in platters.shards.into_iter().enumerate() {
            let disk = Disk::new(at, life, plan.disk, platter);
            let found = disk.recover(stage).unwrap_or_else(|error| {
                stage.oracle.break_at(Invariant::StoreSound, format!("recovery of shard {at}: {error}"));
                Default::default()
            });
            note!(stage, "life {life}: shard {at} starts after commit {}", found.last.0);
            let options = contract::shard_options(plan, ShardId(at as u8), hash_seed, stage.mutant);
            let seat = &mut seats[usize::from(map.core_of(options.shard).0)];
            seat.node.seat_shard(options, stage.chance.next_u64(), found, now);
            disks.push(disk);
        }
        let silent_until = if stage.is_mutant(Mutant::SkipSilence) { Mono(0) } else { now.mono.after_ns(SECOND) };
        let mut wires = Vec::new();
        let links = contract::links(plan, map, silent_until, stage.mutant);
        for (carrier, options) in links.into_iter().filter(|(carrier, _)| Some(*carrier) != left_out) {
            let core = usize::from(options.link.core);
            let place = seats[core].node.seat_link(options, stage.chance.next_u64(), now);
            seats[core].links.push(wires.len());
            let (conns, connecting) = (BTreeMap::new(), BTreeMap::new());
            wires.push(Wires { core, place, carrier, conns, connecting, attempts: 0 });
        }
        let mailboxes = Mailboxes::new(life, plan.cores, plan.mailbox_places);
        Self {
            life,
            seats,
            wires,
            disks,
            control,
            mailboxes,
            tampering: Tampering::new(&catalog.limits),
            stretch: Stretch::Serving,
            hash_seed,
            silent_until,
            left_out,
        }
    }

    /// Runs a turn of every node.
    pub fn turn_all(&mut self, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        (0..self.seats.len()).for_each(|core| self.turn(core, plan, net, stage));
    }

    /// The room on the disk has changed: every node is told.
    pub fn disk_has(&mut self, room: DiskRoom, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        self.seats.iter_mut().for_each(|seat| seat.node.push(NodeEvent::Disk(room)));
        self.turn_all(plan, net, stage);
    }

    /// A door asks a shard.
    pub fn ask(&mut self, shard: ShardId, ask: Ask, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        self.tell(shard, ShardEvent::Ask(ask), plan, net, stage);
    }

    fn tell(&mut self, shard: ShardId, event: ShardEvent, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        let core = usize::from(ShardMap::new(plan.shards, plan.cores).core_of(shard).0);
        self.seats[core].node.push(NodeEvent::Shard(shard, event));
        self.turn(core, plan, net, stage);
    }

    /// Bytes on all disks, and how much the nodes remember: the length of their debug output, which contains every field.
    pub fn size(&self) -> (u64, u64) {
        let disk = self.disks.iter().map(Disk::bytes).sum();
        (disk, self.seats.iter().map(|seat| described(&seat.node)).sum())
    }

    /// Handles one event.
    pub fn handle(&mut self, what: Inside, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        match what {
            Inside::Arrives(core, mail) => {
                self.mailboxes.handle_taken(core);
                self.seats[usize::from(core)].node.push(*mail);
                self.turn(usize::from(core), plan, net, stage);
            }
            Inside::Wakes(core) => {
                if is_wanted(&mut self.seats[core].wake_at, stage) {
                    self.turn(core, plan, net, stage);
                }
            }
            Inside::Durable(at, seq) => self.disks[at].handle_durable(seq, stage),
            Inside::ControlDurable(version) => self.control.handle_durable(version, stage),
            Inside::ControlTold(version) => {
                self.control.handle_told(version, stage);
                self.publish(plan, net, stage);
            }
            Inside::ErrandDone(at) => self.disks[at].handle_done(stage),
            Inside::Told(at, event) => {
                self.disks[at].handle_told(&event);
                let is_early = matches!(*event, ShardEvent::Committed(_)) && stage.is_mutant(Mutant::AcknowledgeEarly);
                if !is_early {
                    self.tell(ShardId(at as u8), *event, plan, net, stage);
                }
            }
            Inside::Connected(at, bind, attempt, host) => {
                if self.wires[at].connecting.get(&bind) == Some(&attempt) {
                    self.connected(at, bind, host, stage, net);
                    self.turn(self.wires[at].core, plan, net, stage);
                }
            }
            Inside::SocketTakes(id) => self.socket_takes(id, plan, net, stage),
            Inside::Hears(id, bytes) => self.hears(id, &bytes, plan, net, stage),
            Inside::Loses(id, reason) => self.loses(id, reason, plan, net, stage),
            Inside::DrainOver => self.drain_over(plan, stage),
        }
        self.go_on(plan, stage);
    }

    /// The operator requests changes of control.
    pub fn configure(&mut self, changes: Vec<Change>, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        self.control.change(changes, stage);
        self.publish(plan, net, stage);
    }

    /// Tells every node what control has published.
    fn publish(&mut self, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        if !self.control.poll(stage) {
            return;
        }
        control::judge_catalog(self.control.published(), plan, stage);
        self.tell_catalog(plan, net, stage);
    }

    /// Tells every node the present routes and carriers.
    pub fn tell_catalog(&mut self, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        let mut catalog = catalog(plan, self.left_out, &self.control, stage);
        if stage.is_mutant(Mutant::KeepLimits) && !stage.calm {
            catalog.limits = Arc::clone(&self.tampering.limits);
        }
        let catalog = Arc::new(catalog);
        self.seats.iter_mut().for_each(|seat| seat.node.handle_catalog(&catalog, stage.now()));
        self.turn_all(plan, net, stage);
    }

    /// The configuration is reloaded: links first, then routes and shards, as the daemon does.
    pub fn reload(&mut self, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        let map = ShardMap::new(plan.shards, plan.cores);
        let links = contract::links(plan, map, self.silent_until, stage.mutant);
        for (_, options) in links.into_iter().filter(|(carrier, _)| Some(*carrier) != self.left_out) {
            let node = &mut self.seats[usize::from(options.link.core)].node;
            // Every link exists already, so none needs a seed.
            node.seat_link(options, 0, stage.now());
        }
        for shard in (0..plan.shards).map(ShardId) {
            let options = contract::shard_options(plan, shard, self.hash_seed, stage.mutant);
            self.seats[usize::from(map.core_of(shard).0)].node.handle_options(options, stage.now());
        }
        self.tell_catalog(plan, net, stage);
    }

    /// Sends an event of the operator to every link of a carrier.
    pub fn tell_links(
        &mut self,
        carrier: usize,
        event: impl Fn() -> LinkEvent,
        plan: &Plan,
        net: &mut Network,
        stage: &mut Stage,
    ) {
        for wires in self.wires.iter().filter(|wires| wires.carrier == carrier) {
            let link = LinkId { carrier: contract::carrier_id(carrier), core: wires.core as u8 };
            self.seats[wires.core].node.push(NodeEvent::Link(link, event()));
        }
        self.turn_all(plan, net, stage);
    }

    /// Whether the process was started without one of the carriers.
    pub const fn has_left_out(&self) -> bool {
        self.left_out.is_some()
    }

    /// Waiting messages, by shard and tenant; shards that were restored are left out, as they may hold messages back.
    pub fn places(&self) -> Vec<(ShardId, TenantId, u64)> {
        let of = |(id, shard): (ShardId, &Shard)| {
            let is_restored = shard.restored().is_some();
            let tenants = if is_restored { Vec::new() } else { shard.status().tenants };
            tenants.into_iter().map(|(tenant, waiting)| (id, tenant, waiting)).collect::<Vec<_>>()
        };
        self.shards().flat_map(of).collect()
    }

    /// Messages that wait because of a limit, counted once for each.
    pub fn parked(&self) -> u64 {
        self.shards().flat_map(|(_, shard)| shard.status().parked).map(|(_, parked)| parked).sum()
    }

    /// Runs turns of a node until it has nothing more to do now.
    fn turn(&mut self, core: usize, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        loop {
            let seat = &mut self.seats[core];
            let mut machine = Machine {
                core: core as u8,
                plan,
                stage: &mut *stage,
                disks: &mut self.disks,
                mailboxes: &mut self.mailboxes,
                tampering: &mut self.tampering,
                wanted: Vec::new(),
                forged: Vec::new(),
                gathers: false,
            };
            let is_through = seat.node.turn(machine.stage.now(), &mut machine) && !machine.gathers;
            let (wanted, forged) = (machine.wanted, machine.forged);
            for (id, link) in seat.node.links().filter(|(_, link)| link.counters().ungranted > 0) {
                let what = format!("{id:?} was handed {} messages more than it granted", link.counters().ungranted);
                stage.oracle.break_at(Invariant::Granted, what);
            }
            let mut wakes_at = seat.node.poll_timeout().map(|at| stage.agenda_ns(at));
            if !is_through {
                wakes_at = Some(stage.now_ns() + stage.chance.between(1, OTHERS_NS));
            }
            if let Some(at_ns) = wakes_at {
                wake(&mut seat.wake_at, at_ns, Happening::Inside(self.life, Inside::Wakes(core)), stage);
            }
            let mut goes_on = false;
            for (to, mail) in forged {
                if usize::from(to) == core {
                    self.seats[core].node.push(mail);
                    goes_on = true;
                } else {
                    self.mailboxes.put(to, mail, plan, stage);
                }
            }
            for (place, bind, wanted) in wanted {
                goes_on |= self.connection(self.seats[core].links[place], bind, wanted, plan, net, stage);
            }
            if !goes_on {
                return;
            }
        }
    }

    /// Carries out what a link wants of a connection; true if its node was given an event at once.
    fn connection(
        &mut self,
        at: usize,
        bind: BindId,
        wanted: Wanted,
        plan: &Plan,
        net: &mut Network,
        stage: &mut Stage,
    ) -> bool {
        let Self { seats, wires, .. } = self;
        let wires = &mut wires[at];
        let (node, conn) = (&mut seats[wires.core].node, wires.conns.get(&bind).copied());
        match (wanted, conn) {
            (Wanted::Connect(way), _) => {
                let carrier = &plan.carriers[wires.carrier];
                let kind = carrier.hosts.get(usize::from(way.host)).copied().unwrap_or(HostPlan::Sound);
                let is_away = plan.is_away(wires.carrier, stage.now_ns());
                let stands =
                    !stage.fault(carrier.unreachable_ppm) && kind != HostPlan::Dead && !carrier.absent && !is_away;
                let delay = 2 * plan.network.draw(&mut stage.chance);
                wires.attempts += 1;
                wires.connecting.insert(bind, wires.attempts);
                let outcome = Inside::Connected(at, bind, wires.attempts, stands.then_some(kind));
                stage.agenda.after(delay, Happening::Inside(self.life, outcome));
            }
            (Wanted::Transmit, _) => {
                let mut bytes = Vec::new();
                if node.take_transmit(wires.place, bind, &mut bytes)
                    && let Some(id) = conn
                {
                    let link = LinkId { carrier: contract::carrier_id(wires.carrier), core: wires.core as u8 };
                    stage.leaves(link, &bytes);
                    net.write(id, &bytes, plan, stage);
                }
            }
            (Wanted::Close, Some(id)) => {
                let left = net.close_by_link(id, plan, stage);
                stage.wrote(id, wires.carrier, &left);
            }
            // The link is still connecting: the outcome will be ignored.
            (Wanted::Close, None) => {
                wires.connecting.remove(&bind);
                node.handle_disconnected(wires.place, bind, Disconnect::ByUs, false, stage.now());
                return true;
            }
            (Wanted::Pause, Some(id)) => net.pause_read(id, true, stage),
            (Wanted::Resume, Some(id)) => net.pause_read(id, false, stage),
            (Wanted::Pause | Wanted::Resume, None) => {}
        }
        false
    }

    fn connected(&mut self, at: usize, bind: BindId, kind: Option<HostPlan>, stage: &mut Stage, net: &mut Network) {
        let Self { seats, wires, .. } = self;
        let wires = &mut wires[at];
        let node = &mut seats[wires.core].node;
        wires.connecting.remove(&bind);
        note!(stage, "link {at} {bind:?} connects: {kind:?}");
        let Some(kind) = kind else {
            stage.tally.add(Count::Unreachable);
            return node.handle_disconnected(wires.place, bind, Disconnect::Unreachable, false, stage.now());
        };
        let id = net.open(self.life, at, bind, (wires.carrier, kind));
        wires.conns.insert(bind, id);
        if kind == HostPlan::Faithless {
            stage.tally.add(Count::HostsFaithless);
            let until = stage.chance.below(2 * SECOND);
            stage.agenda.after(until, Happening::CarrierLoses(id));
        }
        // The carrier's side is created when it first receives something.
        node.handle_connected(wires.place, bind, stage.now());
    }

    fn socket_takes(&mut self, id: ConnId, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        let Some((at, bind)) = net.get(id).map(|conn| (conn.link, conn.bind)) else { return };
        let taken = net.accept(id, plan, stage);
        if taken.is_empty() {
            return;
        }
        let Wires { core, place, carrier, .. } = self.wires[at];
        stage.wrote(id, carrier, &taken);
        self.seats[core].node.handle_written(place, bind, taken.len(), stage.now());
        self.turn(core, plan, net, stage);
    }

    fn hears(&mut self, id: ConnId, bytes: &[u8], plan: &Plan, net: &mut Network, stage: &mut Stage) {
        let mut rest = bytes;
        while let Some((at, bind)) = net.get(id).map(|conn| (conn.link, conn.bind)).filter(|_| !rest.is_empty())
            && net.hear(id, rest) == Incoming::Read
        {
            let Wires { core, place, .. } = self.wires[at];
            let dealt_with = self.seats[core].node.handle_bytes(place, bind, rest, stage.now());
            rest = &rest[dealt_with..];
            self.turn(core, plan, net, stage);
        }
    }

    fn loses(&mut self, id: ConnId, reason: Disconnect, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        let Some((at, bind)) = net.get(id).map(|conn| (conn.link, conn.bind)) else { return };
        let Some((torn, left)) = net.lose_at_link(id, plan, stage) else { return };
        let Wires { core, place, carrier, .. } = self.wires[at];
        stage.wrote(id, carrier, &left);
        stage.oracle.wire.handle_end(id);
        self.wires[at].conns.remove(&bind);
        note!(stage, "link {at} {bind:?} loses {id:?}: {reason:?}, torn {torn}");
        self.seats[core].node.handle_disconnected(place, bind, reason, torn, stage.now());
        self.turn(core, plan, net, stage);
    }

    /// Asks the process to end: each node gets the order in its own mailbox, as in the daemon.
    pub fn drain(&mut self, plan: &Plan, stage: &mut Stage) {
        if self.stretch != Stretch::Serving {
            return;
        }
        note!(stage, "life {} drains", self.life);
        self.stretch = Stretch::Draining;
        (0..plan.cores).for_each(|core| self.mailboxes.put(core, NodeEvent::Drain, plan, stage));
        stage.agenda.after(DRAIN_NS, Happening::Inside(self.life, Inside::DrainOver));
    }

    fn drain_over(&mut self, plan: &Plan, stage: &mut Stage) {
        if self.stretch != Stretch::Draining {
            return;
        }
        stage.tally.add(Count::StopsForced);
        for (core, _) in self.seats.iter().enumerate().filter(|(_, seat)| !seat.through) {
            self.mailboxes.put(core as u8, NodeEvent::Stop, plan, stage);
        }
    }

    /// Marks the nodes that have been drained; when all have, each writes its last checkpoints.
    fn go_on(&mut self, plan: &Plan, stage: &mut Stage) {
        if self.stretch != Stretch::Draining {
            return;
        }
        self.seats.iter_mut().for_each(|seat| seat.through |= seat.node.is_drained());
        if self.seats.iter().all(|seat| seat.through) {
            note!(stage, "life {} seals", self.life);
            self.stretch = Stretch::Sealing;
            (0..plan.cores).for_each(|core| self.mailboxes.put(core, NodeEvent::Seal, plan, stage));
        }
    }

    /// Whether the process was asked to end.
    pub fn is_ending(&self) -> bool {
        self.stretch != Stretch::Serving
    }

    /// Whether a drain is complete.
    pub fn has_ended(&self) -> bool {
        !self.has_failed()
            && self.stretch == Stretch::Sealing
            && self.seats.iter().all(|seat| seat.node.is_sealed())
            && self.is_posted()
            && self.disks.iter().all(Disk::is_idle)
            && self.control.is_idle()
    }

    /// Whether no mail waits anywhere.
    fn is_posted(&self) -> bool {
        self.mailboxes.are_empty() && self.seats.iter().all(|seat| !seat.node.has_mail())
    }

    fn shards(&self) -> impl Iterator<Item = (ShardId, &Shard)> {
        self.seats.iter().flat_map(|seat| seat.node.shards())
    }

    /// The process dies; gives what its disks hold.
    pub fn crash(mut self, plan: &Plan, net: &mut Network, stage: &mut Stage) -> Platters {
        net.abandon(self.life, plan, stage);
        stage.oracle.wire.handle_crash();
        self.shards().for_each(|(_, shard)| stage.tally.add_fired(shard.buggify().fired()));
        let links = self.seats.iter_mut().flat_map(|seat| seat.node.links());
        links.for_each(|(_, link)| stage.tally.add_fired(link.buggify().fired()));
        let shards = self.disks.into_iter().map(|disk| disk.crash(stage)).collect();
        Platters { shards, control: self.control.crash(stage) }
    }

    /// Whether a disk has failed: then the process ends, as the daemon does when a commit fails.
    pub fn has_failed(&self) -> bool {
        self.disks.iter().any(Disk::has_failed) || self.control.has_failed()
    }

    /// The disk of one of its shards.
    pub fn disk(&mut self, shard: usize) -> Option<&mut Disk> {
        self.disks.get_mut(shard)
    }

    /// Control, with its disk.
    pub const fn control(&mut self) -> &mut ControlHost {
        &mut self.control
    }

    /// What control has published.
    pub fn entries(&self) -> &Entries {
        self.control.published()
    }

    /// Readers of the stores of all its shards.
    pub fn stores(&self) -> Vec<MemoryReader> {
        self.disks.iter().map(Disk::reader).collect()
    }

    /// The phases of the turn that apply now.
    pub fn phases(&self) -> Phases {
        let mut phases = Phases::default();
        self.disks.iter().for_each(|disk| disk.note_phases(&mut phases));
        self.control.note_phases(&mut phases);
        self.shards().for_each(|(_, shard)| phases.note(Phase::Gathered, shard.has_gathered()));
        phases.note(Phase::Mail, !self.is_posted());
        phases.note(Phase::Draining, self.stretch == Stretch::Draining);
        phases.note(Phase::Sealing, self.stretch == Stretch::Sealing);
        phases
    }

    /// Attempts that a start after a clean stop found in doubt; `None` if there are none.
    pub fn fresh_doubts(&self) -> Option<String> {
        let (found, shard) = self.shards().find(|(_, shard)| shard.status().counters.in_doubt > 0)?;
        Some(format!("shard {} finds attempts open: {:?}", found.0, shard.status()))
    }

    /// Waiting messages, by shard, on routes whose carriers are all absent.
    pub fn waiting_in_vain(&self, plan: &Plan) -> Vec<(ShardId, RouteId, u64)> {
        let routes = (0..usize::from(plan.routes())).filter(|route| plan.is_absent(*route));
        let routes: Vec<_> = routes.map(contract::route_id).collect();
        let depth = |(id, shard): (ShardId, &Shard)| {
            let lanes = shard.lanes().filter(|(lane, ..)| routes.contains(&lane.route));
            lanes.map(|(lane, depth, _)| (id, lane.route, depth)).collect::<Vec<_>>()
        };
        self.shards().flat_map(depth).collect()
    }

    /// Messages that wait, by shard, for the route that was removed.
    pub fn stranded(&self, plan: &Plan, stage: &Stage) -> Vec<(ShardId, RouteId, u64)> {
        let gone = contract::route_id(plan.carriers.len());
        let is_gone = plan.is_route_gone(stage.now_ns());
        let lanes = |(id, shard): (ShardId, &Shard)| {
            let lanes = shard.lanes().filter(|(lane, depth, _)| is_gone && lane.route == gone && *depth > 0);
            lanes.map(|(lane, depth, _)| (id, lane.route, depth)).collect::<Vec<_>>()
        };
        self.shards().flat_map(lanes).collect()
    }

    /// Why the process is not at rest; `None` if it is.
    pub fn unrest(&mut self, plan: &Plan, stage: &Stage) -> Option<String> {
        for (id, shard) in self.shards() {
            let (at, status) = (id.0, shard.status());
            let held = |lane: Lane| plan.shard.doubt[lane.class.index()] == DoubtPolicy::Hold;
            let undecided = shard.doubts().find(|(_, doubt)| !held(doubt.lane));
            let waits = status.waiting.iter().sum::<u64>() + status.scheduled + status.open;
            let restored = shard.restored().map_or(0, |restored| restored.waiting.iter().sum());
            let counted = status.tenants.iter().map(|(_, messages)| messages).sum::<u64>();
            if waits == 0 && counted > restored {
                return Some(format!("shard {at}: nothing waits, and {:?} are counted as waiting", status.tenants));
            }
            let is_asked = plan.kind.settled_by_query && status.asked > 0;
            if waits > 0
                || is_asked
                || undecided.is_some()
                || !shard.is_quiet()
                || !self.disks[usize::from(at)].is_idle()
            {
                return Some(format!("shard {at}: {status:?}, undecided {undecided:?}, quiet {}", shard.is_quiet()));
            }
        }
        if !self.is_posted() {
            return Some(format!("mail: {:?}", self.mailboxes));
        }
        if let Some(what) = self.limits_held(plan, stage) {
            return Some(what);
        }
        for (id, link) in self.seats.iter_mut().flat_map(|seat| seat.node.links()) {
            let status = link.status(stage.now().mono);
            if status.outstanding + status.prepared > 0 {
                return Some(format!("{id:?}: {status:?}"));
            }
        }
        None
    }
}

impl Process {
    /// A limit of which something is used although everything has left its span: permits that were not given back.
    fn limits_held(&mut self, plan: &Plan, stage: &Stage) -> Option<String> {
        let slides = |id| plan.limits().iter().any(|rule| rule.id == id && matches!(rule.span, Span::Sliding(_)));
        let used: Vec<_> = self.seats.iter_mut().flat_map(|seat| seat.node.limits_used(stage.now())).collect();
        let held = used.into_iter().find(|(id, used)| *used > 0.0 && slides(*id));
        held.map(|(id, used)| format!("{used} of {id:?} is used or given"))
    }
}

fn wake(wake_at: &mut Option<u64>, wanted_ns: u64, what: Happening, stage: &mut Stage) {
    let at_ns = wanted_ns.max(stage.now_ns());
    if wake_at.is_none_or(|known| known > at_ns) {
        *wake_at = Some(at_ns);
        stage.agenda.at(at_ns, what);
    }
}

/// Whether the requested wake-up time has come; a request that was replaced by an earlier one is ignored.
fn is_wanted(wake_at: &mut Option<u64>, stage: &Stage) -> bool {
    wake_at.take_if(|wanted| *wanted <= stage.now_ns()).is_some()
}

/// The catalog that every node is given: present routes and carriers, under the version of what control has published.
fn catalog(plan: &Plan, left_out: Option<usize>, control: &ControlHost, stage: &Stage) -> Catalog {
    let is_gone = plan.is_route_gone(stage.now_ns());
    let catalog = if is_gone {
        contract::catalog_without_shared(plan, stage.mutant())
    } else {
        contract::catalog(plan, stage.mutant())
    };
    let catalog = match left_out {
        Some(carrier) => contract::leave_out(catalog, carrier),
        None => catalog,
    };
    // Countries are found out only for limits.
    let numbering = stage.numbering.clone().filter(|_| !catalog.limits.is_empty());
    Catalog { version: control.published().version(), numbering, ..catalog }
}

/// The length of something's debug output.
fn described(what: &impl fmt::Debug) -> u64 {
    struct Length(u64);
    impl Write for Length {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 += text.len() as u64;
            Ok(())
        }
    }
    let mut length = Length(0);
    // Counting a length cannot fail.
    let _ = write!(length, "{what:?}");
    length.0
}
