//! What a seed decides before anything happens: how many shards, links and clients there are, how slow, how faulty and
//! how long everything is. Knows ranges and probabilities, not how the plan is carried out.

use crate::admission::{Quota, TenantOptions};
use crate::delivery::{Backoff, DoubtPolicy, RetryPolicy};
use crate::link::ceiling::CEILING;
use crate::link::{BindKind, QueryOptions};
use crate::model::{Class, NodeId, Period, Prng, TenantId};
use crate::shard::Options as ShardOptions;
use crate::store::memory::Drops;
use stentor_smpp::split::Splitting;

use super::agenda::{Latency, MS, SECOND, US};
use super::carrier::{Behaviour, Delay, ErrorDialect, IdDialect, ReceiptForm};
use super::clients::RECIPIENT_BASE;
use super::limits::LimitPlan;
use super::spelling::Spelling;
use super::stage::WALL_JUMP_MAX_MS;

/// The plan of a world.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many shards.
    pub shards: u8,
    /// How many cores the shards are spread over.
    pub cores: u8,
    /// The carriers, each with a route of its own; the first has id 1.
    pub carriers: Vec<CarrierPlan>,
    /// There is one more route, over all carriers.
    pub shared_route: bool,
    /// When that route is removed; `None`: never.
    pub route_gone_ns: Option<u64>,
    /// Messages that clients send.
    pub messages: u32,
    /// Messages that handsets write.
    pub handsets: u32,
    /// How many recipients the messages go to.
    pub recipients: u32,
    /// All clients act in the first tenth of the time.
    pub burst: bool,
    /// How long faults happen, ns.
    pub chaos_ns: u64,
    /// Most crashes of the process.
    pub crashes_max: u32,
    /// Most clean stops.
    pub stops_max: u32,
    /// Number of jumps of the wall clock.
    pub wall_jumps: u32,
    /// Number of connections that the network cuts.
    pub cuts: u32,
    /// How often a connection goes silent for a while.
    pub freezes: u32,
    /// How often the process stalls while the rest of the world goes on.
    pub stalls: u32,
    /// How often a disk stalls.
    pub disk_stalls: u32,
    /// Number of disk operations that fail.
    pub disk_faults: u32,
    /// How often the disk is short of room.
    pub disk_shortages: u32,
    /// Number of backups that are made and restored later.
    pub backups: u32,
    /// At the end the world goes on until retention has passed.
    pub ages: bool,
    /// Time between two measurements of how large everything is; `None` in usual worlds.
    pub measured_ns: Option<u64>,
    /// Most copies of a message that a carrier is sent if no carrier hangs up on it; such a message is never given up.
    /// Only in worlds where nothing else fails.
    pub innocents_copies_max: Option<u32>,
    /// How long a message is certainly kept, ms; `None` in usual worlds, which end before retention has passed.
    pub known_ms: Option<u64>,
    /// Messages that ask for a receipt, in parts per million.
    pub receipts_ppm: u32,
    /// How long the process is down after a crash or a stop.
    pub downtime: Latency,
    /// The shards' settings, except the shard's id and the hasher seed.
    pub shard: ShardOptions,
    /// The disk.
    pub disk: DiskPlan,
    /// Time of mail from one core's mailbox to another's.
    pub mailbox: Latency,
    /// Places in each mailbox.
    pub mailbox_places: u32,
    /// Items of mail after which a turn is late, in parts per million.
    pub late_ppm: u32,
    /// Time between us and a carrier, one way.
    pub network: Latency,
    /// Time from a link's write until the socket accepts the bytes.
    pub socket: Latency,
    /// Time between a client and its door, one way.
    pub door: Latency,
    /// Replies that do not reach their client, in parts per million.
    pub reply_lost_ppm: u32,
    /// Messages with a key, in parts per million.
    pub keyed_ppm: u32,
    /// Requests of which three copies are sent at once, in parts per million; only if all of their messages have keys.
    pub copied_ppm: u32,
    /// Requests with a key for the whole request, in parts per million.
    pub claimed_ppm: u32,
    /// Limits of the tenants that have any.
    pub tenants: Vec<TenantOptions>,
    /// The traffic classes in use. Each class is left out of some worlds, so that messages of rare classes do not always
    /// wait behind the others.
    pub classes: Vec<Class>,
    /// Settings that only special kinds of worlds have.
    pub kind: KindPlan,
}

/// Events that usual worlds never have, and the longer time limits of worlds that last for weeks.
#[derive(Clone, Debug)]
pub struct KindPlan {
    /// Number of reloads that change the configuration.
    pub reloads: u32,
    /// Number of operator actions.
    pub tended: u32,
    /// Number of requests by tenants for messages that they do not own.
    pub strangers: u32,
    /// How often hours or days pass in one step.
    pub leaps: u32,
    /// Time between two look-ups of all messages whose ids were told.
    pub looked_up_ns: Option<u64>,
    /// How long messages live, where that is days.
    pub lives: Option<Lives>,
    /// A carrier that restarts leave out of the catalog, from when on, and until when, ns.
    pub left_out: Option<(usize, u64, u64)>,
    /// Silence after which a link sends `enquire_link`, ms.
    pub enquire_link_ms: u64,
    /// Longest pause between attempts to connect, ms.
    pub reconnect_max_ms: u64,
    /// After how long a receipt that found no connection is sent again, ns.
    pub receipt_retry_ns: u64,
    /// How long everything may take to come to rest once faults have ended; below it, the time between two checks for that, ns.
    pub rest_ns: u64,
    pub look_ns: u64,
    /// Every message that a carrier took and for which a receipt is wanted reaches its end by queries.
    pub settled_by_query: bool,
    /// What waits at links and what leaves them is judged.
    pub crowded: bool,
    /// How much of a carrier's rate is used at least while there is enough to send, per cent.
    pub used_percent: Option<u64>,
    /// The largest jump of the wall clock, ms.
    pub wall_jump_max_ms: u64,
    /// Limits by rules.
    pub limits: Option<LimitPlan>,
}

impl Default for KindPlan {
    fn default() -> Self {
        Self {
            reloads: 0,
            tended: 0,
            strangers: 0,
            leaps: 0,
            looked_up_ns: None,
            lives: None,
            left_out: None,
            enquire_link_ms: 10_000,
            reconnect_max_ms: 3_000,
            receipt_retry_ns: 200 * MS,
            rest_ns: 3_600 * SECOND,
            look_ns: SECOND,
            settled_by_query: false,
            crowded: false,
            used_percent: None,
            wall_jump_max_ms: WALL_JUMP_MAX_MS,
            limits: None,
        }
    }
}

/// How long messages live in worlds that last for weeks.
#[derive(Clone, Copy, Debug)]
pub struct Lives {
    /// Messages scheduled for later, in parts per million…
    pub scheduled_ppm: u32,
    /// …at most so far ahead, ms.
    pub ahead_max_ms: u64,
    /// Most ms until they expire.
    pub lasts_max_ms: u64,
    /// Messages of several parts, in parts per million.
    pub long_ppm: u32,
}

/// How the disk behaves.
#[derive(Clone, Copy, Debug)]
pub struct DiskPlan {
    /// Time from handing over a batch until it is durable.
    pub commit: Latency,
    /// Time from then until its shard is told.
    pub told: Latency,
    /// Time that the reader thread takes for an errand: a read, or maintenance.
    pub errand: Latency,
    /// When dropped ranges disappear from reads.
    pub drops: Drops,
}

/// How one of a carrier's hosts behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPlan {
    /// It behaves as the carrier does.
    Sound,
    /// Connections to it fail.
    Dead,
    /// It accepts a bind but hangs up soon, at the latest when it is sent something.
    Faithless,
}

/// A carrier and the contract with it.
#[derive(Clone, Debug)]
pub struct CarrierPlan {
    /// Most parts in any second by contract; `None`: no limit.
    pub rate: Option<u32>,
    /// The same limit for each bind.
    pub bind_rate: Option<u32>,
    /// How much of the parts a class takes at most while a less urgent one waits, per cent.
    pub class_ceiling: u32,
    /// It refuses a part that comes sooner after the previous one than the rate permits.
    pub is_strict: bool,
    /// When it is away: from and until, ns.
    pub away: Vec<(u64, u64)>,
    /// Most unanswered submits per bind, by contract.
    pub window: u32,
    /// Its hosts, which stay as they are in the calm; one of them is sound.
    pub hosts: Vec<HostPlan>,
    /// Number of binds of one link.
    pub binds: u16,
    /// Transceivers, or pairs of transmitter and receiver.
    pub kind: BindKind,
    /// The core of its only link; `None`: a link on every core.
    pub home: Option<u8>,
    /// How it behaves while there are faults.
    pub behaviour: Behaviour,
    /// It is never there: no connection succeeds, and messages for it alone can only expire.
    pub absent: bool,
    /// Connections that fail, in parts per million.
    pub unreachable_ppm: u32,
    /// Binds refused, in parts per million.
    pub bind_refused_ppm: u32,
    /// Most binds of our account that it accepts at a time, in the calm too; `None`: no limit.
    pub binds_max: Option<u16>,
    /// Answers that come after our response timeout, in parts per million.
    pub answer_late_ppm: u32,
    /// Submits answered twice, in parts per million.
    pub answer_twice_ppm: u32,
    /// How often it unbinds with answers still due instead of dropping the connection, in parts per million.
    pub goodbye_ppm: u32,
    /// Answers with a sequence number that no submit has, in parts per million; half of them replace the right answer.
    pub answer_astray_ppm: u32,
    /// How it writes numbers in receipts, and whether the configuration says how it writes ids.
    pub spelling: Spelling,
    /// How it takes long messages: which form of splitting.
    pub splitting: Splitting,
    /// How long we wait for an answer, ms.
    pub response_timeout_ms: u64,
    /// It sends no receipts and is queried with these settings; `None`: it sends receipts.
    pub query: Option<QueryOptions>,
}

impl Plan {
    /// Draws the usual plan.
    pub fn draw(prng: &mut Prng) -> Self {
        let cores = *pick(prng, &[1, 2, 2, 3]);
        let stormy = prng.chance(700_000);
        let carriers: Vec<_> = (0..prng.between(1, 3)).map(|_| CarrierPlan::draw(prng, cores, stormy)).collect();
        let backups = if prng.chance(150_000) { prng.between(1, 2) as u32 } else { 0 };
        let some = |prng: &mut Prng, max: u64| if stormy { prng.between(0, max) as u32 } else { 0 };
        let plan = Self {
            shards: prng.between(1, 3) as u8,
            cores,
            shared_route: carriers.len() > 1 && prng.chance(300_000),
            route_gone_ns: None,
            carriers,
            messages: prng.between(10, 120) as u32,
            handsets: 0,
            recipients: prng.between(2, 20) as u32,
            burst: prng.chance(300_000),
            chaos_ns: prng.between(5, 60) * SECOND,
            crashes_max: prng.between(0, 4) as u32,
            stops_max: u32::from(prng.chance(300_000)),
            // Whether a message was due before a restore is judged by the wall clock.
            wall_jumps: if backups == 0 { some(prng, 2) } else { 0 },
            cuts: some(prng, 6),
            freezes: some(prng, 2),
            stalls: some(prng, 2),
            disk_stalls: some(prng, 2),
            disk_faults: some(prng, 2),
            backups,
            ages: prng.chance(150_000),
            measured_ns: None,
            innocents_copies_max: None,
            known_ms: None,
            receipts_ppm: 850_000,
            downtime: {
                let usual_ns = if prng.chance(300_000) { 50 * MS } else { 2 * SECOND };
                latency(prng, 10 * MS, usual_ns, 20 * SECOND)
            },
            shard: shard_options(prng),
            disk: DiskPlan {
                commit: latency(prng, 100 * US, 8 * MS, 700 * MS),
                told: latency(prng, 10 * US, MS, 50 * MS),
                errand: latency(prng, 50 * US, 5 * MS, 300 * MS),
                drops: if prng.chance(500_000) { Drops::AtOnce } else { Drops::AtCheckpoint },
            },
            mailbox: latency(prng, US, 500 * US, 100 * MS),
            mailbox_places: prng.between(2, 8) as u32,
            late_ppm: if prng.chance(500_000) { prng.between(0, 300_000) as u32 } else { 0 },
            network: latency(prng, 100 * US, 30 * MS, 400 * MS),
            socket: Latency { slow_ppm: if stormy { 20_000 } else { 0 }, ..latency(prng, 0, 0, 1_500 * MS) },
            door: latency(prng, 10 * US, 2 * MS, 200 * MS),
            reply_lost_ppm: some(prng, 80_000),
            keyed_ppm: prng.between(0, 1_000_000) as u32,
            copied_ppm: some(prng, 300_000),
            claimed_ppm: some(prng, 300_000),
            tenants: Vec::new(),
            classes: classes(prng),
            disk_shortages: some(prng, 2),
            kind: KindPlan::default(),
        };
        plan.with_tenants(prng).bounded(prng).with_limits(prng).spelled().losing_a_route()
    }

    /// Gives each carrier its way of writing numbers and ids.
    pub(super) fn spelled(mut self) -> Self {
        for carrier in &mut self.carriers {
            carrier.spelling = Spelling::of(&carrier.behaviour, self.shards);
            carrier.behaviour.id_missing = Spelling::leaves_ids_out(&carrier.behaviour, self.shards);
        }
        self
    }

    /// Half of the worlds with a route over all carriers lose it. Uses no draw of its own, so that the other draws stay
    /// the same; the time follows from the number of recipients.
    fn losing_a_route(self) -> Self {
        let lasts = self.carriers.iter().any(|carrier| !carrier.absent);
        let at_ns = self.chaos_ns / 10 * u64::from(self.recipients % 10);
        let goes = self.shared_route && lasts && self.messages.is_multiple_of(2);
        Self { route_gone_ns: goes.then_some(at_ns), ..self }
    }

    /// Whether the route over all carriers has been removed by `now_ns`.
    pub fn is_route_gone(&self, now_ns: u64) -> bool {
        self.route_gone_ns.is_some_and(|gone_ns| gone_ns <= now_ns)
    }

    /// Some worlds reach the bounds of what a shard may remember; not those where only an operator makes room again,
    /// which would never end.
    fn bounded(mut self, prng: &mut Prng) -> Self {
        let bounds = &mut self.shard.bounds;
        if prng.chance(300_000) {
            bounds.parked_foreign_max = prng.between(1, 3) as usize;
        }
        let decides_itself = self.backups == 0 && !self.shard.doubt.contains(&DoubtPolicy::Hold);
        if decides_itself && prng.chance(300_000) {
            bounds.unanswered_max = prng.between(1, 12) as usize;
            bounds.unanswered_urgent_max = bounds.unanswered_max + prng.between(1, 4) as usize;
        }
        self
    }

    /// In half of the worlds two or three tenants share the limits, which are then often small.
    fn with_tenants(mut self, prng: &mut Prng) -> Self {
        if prng.chance(500_000) {
            let tenants = prng.between(2, 3) as u32;
            self.shard.tenants = (1..=tenants).map(|at| (TenantId(at), prng.between(1, 3) as u32)).collect();
            self.shard.weights = (1..=tenants).map(|at| (TenantId(at), [1, 10, 100][at as usize - 1])).collect();
            if prng.chance(300_000) {
                self.shard.queue_messages_max = prng.between(5, 40);
            }
            if prng.chance(200_000) {
                self.shard.keys_max = prng.between(5, 40) as usize;
            }
        }
        self
    }

    /// Gives some tenants a low rate or a low hourly quota.
    fn with_limits(mut self, prng: &mut Prng) -> Self {
        for (id, _) in &self.shard.tenants {
            let quota = Quota { messages: prng.between(1, 60), period: Period::Hour };
            let quota = prng.chance(300_000).then_some(quota);
            let rate = prng.chance(200_000).then(|| prng.between(1, 8) as u32);
            self.tenants.push(TenantOptions { id: *id, rate, quota, ..TenantOptions::default() });
        }
        self
    }

    /// The tenants that may own messages; the default tenant if none is configured.
    pub fn owners(&self) -> Vec<TenantId> {
        let tenants: Vec<_> = self.shard.tenants.iter().map(|(tenant, _)| *tenant).collect();
        if tenants.is_empty() { vec![TenantId::default()] } else { tenants }
    }

    /// Whether no carrier will ever take messages for the route with this index.
    pub fn is_absent(&self, route: usize) -> bool {
        match self.carriers.get(route) {
            Some(carrier) => carrier.absent,
            None => self.carriers.iter().all(|carrier| carrier.absent),
        }
    }

    /// Whether that carrier is away at `now_ns`.
    pub fn is_away(&self, carrier: usize, now_ns: u64) -> bool {
        self.carriers[carrier].away.iter().any(|(from_ns, to_ns)| (*from_ns..*to_ns).contains(&now_ns))
    }

    /// The carrier that a start at this time leaves out.
    pub fn left_out(&self, now_ns: u64) -> Option<usize> {
        let (carrier, from_ns, to_ns) = self.kind.left_out?;
        (from_ns..to_ns).contains(&now_ns).then_some(carrier)
    }

    /// Whether messages may lose their routes.
    pub const fn may_lose_routes(&self) -> bool {
        self.route_gone_ns.is_some() || self.kind.left_out.is_some()
    }

    /// Number of routes: one for each carrier, and perhaps one over all.
    pub fn routes(&self) -> u16 {
        self.carriers.len() as u16 + u16::from(self.shared_route)
    }
}

impl CarrierPlan {
    pub(super) fn draw(prng: &mut Prng, cores: u8, stormy: bool) -> Self {
        let most = if prng.chance(400_000) { 8 } else { 60 };
        let rate = prng.chance(500_000).then(|| prng.between(3, most) as u32);
        let everywhere = rate.is_none() && prng.chance(300_000);
        let (window, hosts, binds) = (prng.between(1, 12) as u32, hosts(prng), prng.between(1, 3) as u16);
        let kind = if prng.chance(250_000) { BindKind::Pair } else { BindKind::Transceiver };
        let home = (!everywhere).then(|| prng.below(u64::from(cores)) as u8);
        let mut behaviour = behaviour(prng, stormy);
        // No draw of its own: some carriers that drop connections also do so always for one recipient.
        if behaviour.disconnect_ppm % 4 == 3 {
            behaviour.hangs_up_on = (RECIPIENT_BASE + u64::from(behaviour.disconnect_ppm / 4 % 20)).to_string();
        }
        // No draw of its own: half of the carriers that drop connections also unbind sometimes, each in its own share of cases.
        let disconnects = behaviour.disconnect_ppm + behaviour.taken_disconnect_ppm;
        let goodbye_ppm = if disconnects % 2 == 1 { disconnects.wrapping_mul(7_919) % 1_000_000 } else { 0 };
        Self {
            rate,
            bind_rate: None,
            class_ceiling: CEILING,
            is_strict: false,
            away: Vec::new(),
            window,
            hosts,
            binds,
            kind,
            home,
            behaviour,
            absent: prng.chance(100_000),
            unreachable_ppm: if stormy { prng.between(0, 300_000) as u32 } else { 0 },
            bind_refused_ppm: if stormy { prng.between(0, 100_000) as u32 } else { 0 },
            // No draw of its own: half of the carriers with a link on every core.
            binds_max: (everywhere && kind == BindKind::Transceiver && window % 2 == 0).then_some(1),
            answer_late_ppm: sometimes(prng, stormy, 60_000),
            answer_twice_ppm: sometimes(prng, stormy, 100_000),
            goodbye_ppm,
            answer_astray_ppm: sometimes(prng, stormy, 60_000),
            spelling: Spelling::default(),
            splitting: *pick(prng, &[Splitting::Udh8, Splitting::Udh16, Splitting::Sar, Splitting::Payload]),
            response_timeout_ms: prng.between(500, 8_000),
            query: None,
        }
    }
}

fn hosts(prng: &mut Prng) -> Vec<HostPlan> {
    if prng.chance(700_000) {
        return vec![HostPlan::Sound];
    }
    let kinds = [HostPlan::Sound, HostPlan::Dead, HostPlan::Faithless];
    let mut hosts: Vec<_> = (0..prng.between(2, 4)).map(|_| *pick(prng, &kinds)).collect();
    let sound = prng.below(hosts.len() as u64) as usize;
    hosts[sound] = HostPlan::Sound;
    hosts
}

/// Each fault is absent from half of the stormy worlds.
fn sometimes(prng: &mut Prng, stormy: bool, most: u64) -> u32 {
    if stormy && prng.chance(500_000) { prng.between(0, most) as u32 } else { 0 }
}

pub(super) fn behaviour(prng: &mut Prng, stormy: bool) -> Behaviour {
    let dialect = Behaviour {
        response_delay: Delay { min_us: prng.between(0, 5_000), max_us: prng.between(1_000, 200_000) },
        receipt_delay: Delay { min_us: prng.between(0, 200_000), max_us: prng.between(100_000, 8_000_000) },
        id_dialect: *pick(prng, &IdDialect::ALL),
        receipt_form: *pick(prng, &ReceiptForm::ALL),
        error_dialect: *pick(prng, &ErrorDialect::ALL),
        date_digits: *pick(prng, &[10, 12, 14]),
        tlv_unterminated: prng.chance(300_000),
        error_body: prng.chance(300_000),
        ..Behaviour::default()
    };
    if !stormy {
        return dialect;
    }
    let mut sometimes = |most: u64| sometimes(prng, stormy, most);
    Behaviour {
        throttled_ppm: sometimes(150_000),
        transient_ppm: sometimes(150_000),
        permanent_ppm: sometimes(50_000),
        swallowed_ppm: sometimes(60_000),
        answer_lost_ppm: sometimes(60_000),
        disconnect_ppm: sometimes(30_000),
        taken_disconnect_ppm: sometimes(30_000),
        undelivered_ppm: sometimes(150_000),
        expired_ppm: sometimes(100_000),
        rejected_ppm: sometimes(100_000),
        receipt_lost_ppm: sometimes(100_000),
        receipt_twice_ppm: sometimes(150_000),
        receipt_first_ppm: sometimes(200_000),
        receipt_unknown_ppm: sometimes(60_000),
        intermediate_ppm: sometimes(150_000),
        regress_ppm: sometimes(100_000),
        receipt_elsewhere_ppm: sometimes(500_000),
        receipt_unasked_ppm: sometimes(100_000),
        ..dialect
    }
}

fn shard_options(prng: &mut Prng) -> ShardOptions {
    let policies = [DoubtPolicy::Resend, DoubtPolicy::Hold, DoubtPolicy::Drop];
    let mut doubt = ShardOptions::default().doubt;
    if prng.chance(300_000) {
        doubt = Class::ALL.map(|_| *pick(prng, &policies));
    }
    ShardOptions {
        node: NodeId(prng.below(1_024) as u16),
        queue_messages_max: if prng.chance(100_000) { prng.between(5, 40) } else { 1_000_000 },
        keys_max: if prng.chance(100_000) { prng.between(1, 20) as usize } else { 1_000_000 },
        receipts_max: if prng.chance(500_000) { prng.between(2, 60) as usize } else { 1_000_000 },
        in_doubt_wait_ms: prng.between(200, 10_000),
        doubt,
        retry: Class::ALL.map(|_| {
            RetryPolicy::uniform(Backoff {
                attempts_max: prng.between(1, 8) as u8,
                backoff_min_ms: prng.between(50, 2_000),
                backoff_max_ms: prng.between(1_000, 10_000),
                jitter_permille: prng.between(0, 500) as u16,
            })
        }),
        fold_events: if prng.chance(700_000) { prng.between(10, 400) as usize } else { 256 * 1024 },
        swept_per_checkpoint: 16,
        buggify_ppm: if prng.chance(500_000) { prng.between(0, 300_000) as u32 } else { 0 },
        ..ShardOptions::default()
    }
}

fn classes(prng: &mut Prng) -> Vec<Class> {
    let mut classes: Vec<_> = Class::ALL.into_iter().filter(|_| prng.chance(600_000)).collect();
    if classes.is_empty() {
        classes.push(Class::Transactional);
    }
    classes
}

/// Mostly fast; in some worlds also slow at times.
fn latency(prng: &mut Prng, min_ns: u64, max_ns: u64, slow_ns: u64) -> Latency {
    let slow_ppm = if prng.chance(400_000) { prng.between(0, 50_000) as u32 } else { 0 };
    Latency { min_ns, max_ns: max_ns.max(min_ns), slow_ppm, slow_ns }
}

impl Plan {
    /// In some worlds new messages are refused that would wait too long.
    pub fn bound_waits(&mut self, prng: &mut Prng) {
        if prng.chance(200_000) {
            let most = |class| if class == Class::Emergency { 0 } else { prng.between(500, 20_000) };
            self.shard.class_wait_ms = Class::ALL.map(most);
        }
    }
}

/// One element of the list, which must not be empty.
pub fn pick<'a, T>(prng: &mut Prng, from: &'a [T]) -> &'a T {
    &from[prng.below(from.len() as u64) as usize]
}
