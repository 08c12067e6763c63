//! What a seed decides before anything happens: how many shards, links and clients there are, how slow, how faulty and how
//! long everything is. Knows ranges and chances; refuses to know what is done with them.

use crate::admission::{Quota, TenantOptions};
use crate::delivery::{Backoff, DoubtPolicy, RetryPolicy};
use crate::link::{BindKind, QueryOptions};
use crate::model::{Class, NodeId, Period, Prng, TenantId};
use crate::shard::Options as ShardOptions;
use crate::store::memory::Drops;
use stentor_smpp::split::Splitting;

use super::agenda::{Latency, MS, SECOND, US};
use super::carrier::{Behaviour, Delay, ErrorDialect, IdDialect, ReceiptForm};
use super::clients::RECIPIENT_BASE;
use super::spelling::Spelling;

/// Everything that is settled from the start.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many shards.
    pub shards: u8,
    /// How many cores they are spread over.
    pub cores: u8,
    /// The carriers, each with a route of its own; number 1 is the first.
    pub carriers: Vec<CarrierPlan>,
    /// There is a last route over all carriers.
    pub shared_route: bool,
    /// When that route is taken away.
    pub route_gone_ns: Option<u64>,
    /// Messages that clients think up.
    pub messages: u32,
    /// Messages that handsets write.
    pub handsets: u32,
    /// Recipients that they are sent to.
    pub recipients: u32,
    /// Everybody comes at once, in the first tenth of the time.
    pub burst: bool,
    /// How long faults happen.
    pub chaos_ns: u64,
    /// Crashes of the process at most.
    pub crashes_max: u32,
    /// Clean stops at most.
    pub stops_max: u32,
    /// Jumps of the wall clock.
    pub wall_jumps: u32,
    /// Cuts of connections by the network.
    pub cuts: u32,
    /// Times at which a connection goes silent for a while.
    pub freezes: u32,
    /// Times at which the process stands still while the world goes on.
    pub stalls: u32,
    /// Times at which a disk stands still.
    pub disk_stalls: u32,
    /// Operations of disks that fail.
    pub disk_faults: u32,
    /// Times at which the disk is short of room.
    pub disk_shortages: u32,
    /// Backups that are made, and restored later.
    pub backups: u32,
    /// When all is over, time passes until retention has.
    pub ages: bool,
    /// Between two looks at how large everything is; never in usual worlds.
    pub measured_ns: Option<u64>,
    /// How often a carrier is sent a message at most on which none hangs up; then none of these is given up. Only in worlds where
    /// nothing else fails.
    pub innocents_copies_max: Option<u32>,
    /// How long a message is certainly known; for ever in usual worlds, which end before retention does.
    pub known_ms: Option<u64>,
    /// Messages that want a receipt, in a million.
    pub receipts_ppm: u32,
    /// How long the process is gone after a crash or a stop.
    pub downtime: Latency,
    /// The shards' settings, but for identity and hasher seed.
    pub shard: ShardOptions,
    /// The disk.
    pub disk: DiskPlan,
    /// From one core's mailbox to another.
    pub mailbox: Latency,
    /// Places in each.
    pub mailbox_places: u32,
    /// Items of mail after which a turn is late, in a million.
    pub late_ppm: u32,
    /// Between us and a carrier, one way.
    pub network: Latency,
    /// From a link's bytes to the socket.
    pub socket: Latency,
    /// Between a client and its door, one way.
    pub door: Latency,
    /// Replies that do not reach their client, in a million.
    pub reply_lost_ppm: u32,
    /// Messages with a key, in a million.
    pub keyed_ppm: u32,
    /// Requests, all of whose messages have keys, that are sent three times at once, in a million.
    pub copied_ppm: u32,
    /// Requests with a key of their own, in a million.
    pub claimed_ppm: u32,
    /// Limits of those tenants that have any.
    pub tenants: Vec<TenantOptions>,
    /// A seed of each kind is left out of some worlds, so that rare ones are not always buried under the others.
    pub classes: Vec<Class>,
    /// What only worlds of a kind have.
    pub kind: KindPlan,
}

/// What never happens in usual worlds, and how patient those are that last for weeks.
#[derive(Clone, Debug)]
pub struct KindPlan {
    /// Times at which the configuration is reloaded with something else in it.
    pub reloads: u32,
    /// Things that an operator does by hand.
    pub tended: u32,
    /// Things that tenants want of messages which are not theirs.
    pub strangers: u32,
    /// Times at which hours or days pass in one step.
    pub leaps: u32,
    /// Between two times at which somebody looks up all that was told.
    pub looked_up_ns: Option<u64>,
    /// How long messages live, where that is days.
    pub lives: Option<Lives>,
    /// A carrier that a restart leaves out of the catalog, from when on, and until when.
    pub left_out: Option<(usize, u64, u64)>,
    /// Silence after which a session is asked whether it lives, ms.
    pub enquire_link_ms: u64,
    /// Longest pause between attempts to connect, ms.
    pub reconnect_max_ms: u64,
    /// When a receipt that found no way is tried again.
    pub receipt_retry_ns: u64,
    /// How long everything may take to come to rest once faults have ended, and between two looks whether it has.
    pub rest_ns: u64,
    pub look_ns: u64,
    /// Everything that a carrier took and whose receipt is wanted comes to its end, by being asked about.
    pub settled_by_query: bool,
    /// So much of a carrier's rate is used at least while there is enough to send, per cent.
    pub used_percent: Option<u64>,
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
            used_percent: None,
        }
    }
}

/// How long messages live in worlds that last for weeks.
#[derive(Clone, Copy, Debug)]
pub struct Lives {
    /// Messages with a time of their own, in a million…
    pub scheduled_ppm: u32,
    /// …which is so far ahead at most, ms.
    pub ahead_max_ms: u64,
    /// Until they expire, at most, ms.
    pub lasts_max_ms: u64,
    /// Messages of several parts, in a million.
    pub long_ppm: u32,
}

/// How the disk behaves.
#[derive(Clone, Copy, Debug)]
pub struct DiskPlan {
    /// From handing a batch over to its being durable.
    pub commit: Latency,
    /// From then to its shard's knowing it.
    pub told: Latency,
    /// A question, or a piece of maintenance.
    pub errand: Latency,
    /// When dropped ranges stop being seen.
    pub drops: Drops,
}

/// What one of a carrier's hosts is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPlan {
    /// It does what the carrier does.
    Sound,
    /// Nobody is there.
    Dead,
    /// It binds, hangs up soon, and at the latest when it is given something to do.
    Faithless,
}

/// A carrier and the contract with it.
#[derive(Clone, Debug)]
pub struct CarrierPlan {
    /// Parts in any second by contract.
    pub rate: Option<u32>,
    /// The same on each bind.
    pub bind_rate: Option<u32>,
    /// It refuses what comes sooner after another than its rate says.
    pub is_strict: bool,
    /// Times at which it is away, from and until.
    pub away: Vec<(u64, u64)>,
    /// Submits without an answer per bind by contract.
    pub window: u32,
    /// Its hosts, which stay what they are when all is well; one of them is sound.
    pub hosts: Vec<HostPlan>,
    /// Binds of one link.
    pub binds: u16,
    /// Transceivers or pairs.
    pub kind: BindKind,
    /// The core of its one link; none: a link on every core.
    pub home: Option<u8>,
    /// How it behaves while there is chaos.
    pub behaviour: Behaviour,
    /// It never comes: nobody can connect, and what is meant for it alone can only expire.
    pub absent: bool,
    /// Connections that fail, in a million.
    pub unreachable_ppm: u32,
    /// Binds refused, in a million.
    pub bind_refused_ppm: u32,
    /// Binds that it takes of our account at a time, now and always; none: as many as there are.
    pub binds_max: Option<u16>,
    /// Answers that come when our patience has ended, in a million.
    pub answer_late_ppm: u32,
    /// Submits answered twice, in a million.
    pub answer_twice_ppm: u32,
    /// It ends a session in order, with answers still to come, instead of dropping the connection.
    pub goodbye_ppm: u32,
    /// Answers under a number that no submit has, in a million; half of them instead of the right one.
    pub answer_astray_ppm: u32,
    /// How it writes numbers in receipts, and whether we know how it writes ids.
    pub spelling: Spelling,
    /// How it takes long messages.
    pub splitting: Splitting,
    /// When we give an answer up, ms.
    pub response_timeout_ms: u64,
    /// It sends no receipts, and is asked so; none: it sends them.
    pub query: Option<QueryOptions>,
}

impl Plan {
    /// What that seed decides.
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
            // Whether something was due before a restore is judged by the wall clock.
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

    /// Carriers write numbers and ids in ways of their own.
    pub(super) fn spelled(mut self) -> Self {
        for carrier in &mut self.carriers {
            carrier.spelling = Spelling::of(&carrier.behaviour, self.shards);
            carrier.behaviour.id_missing = Spelling::leaves_ids_out(&carrier.behaviour, self.shards);
        }
        self
    }

    /// No draw of its own: of the worlds with a route over all half lose it, at a time that is decided with their recipients.
    fn losing_a_route(self) -> Self {
        let lasts = self.carriers.iter().any(|carrier| !carrier.absent);
        let at_ns = self.chaos_ns / 10 * u64::from(self.recipients % 10);
        let goes = self.shared_route && lasts && self.messages.is_multiple_of(2);
        Self { route_gone_ns: goes.then_some(at_ns), ..self }
    }

    /// Whether the route over all is gone by then.
    pub fn is_route_gone(&self, now_ns: u64) -> bool {
        self.route_gone_ns.is_some_and(|gone_ns| gone_ns <= now_ns)
    }

    /// Some worlds reach the bounds of what a shard may remember: where only people make room again, nothing would ever end.
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

    /// In half of the worlds two or three tenants share what there is, and then it is often little.
    fn with_tenants(mut self, prng: &mut Prng) -> Self {
        if prng.chance(500_000) {
            let tenants = prng.between(2, 3) as u32;
            self.shard.tenants = (1..=tenants).map(|at| (TenantId(at), prng.between(1, 3) as u32)).collect();
            if prng.chance(300_000) {
                self.shard.queue_messages_max = prng.between(5, 40);
            }
            if prng.chance(200_000) {
                self.shard.keys_max = prng.between(5, 40) as usize;
            }
        }
        self
    }

    /// Some tenants may bring in little in a second, or in an hour.
    fn with_limits(mut self, prng: &mut Prng) -> Self {
        for (id, _) in &self.shard.tenants {
            let quota = Quota { messages: prng.between(1, 60), period: Period::Hour };
            let quota = prng.chance(300_000).then_some(quota);
            let rate = prng.chance(200_000).then(|| prng.between(1, 8) as u32);
            self.tenants.push(TenantOptions { id: *id, rate, quota, ..TenantOptions::default() });
        }
        self
    }

    /// Whose messages there may be: those of all tenants, or of nobody.
    pub fn owners(&self) -> Vec<TenantId> {
        let tenants: Vec<_> = self.shard.tenants.iter().map(|(tenant, _)| *tenant).collect();
        if tenants.is_empty() { vec![TenantId::default()] } else { tenants }
    }

    /// Whether nobody will ever take what goes by the route at that place.
    pub fn is_absent(&self, route: usize) -> bool {
        match self.carriers.get(route) {
            Some(carrier) => carrier.absent,
            None => self.carriers.iter().all(|carrier| carrier.absent),
        }
    }

    /// Whether that carrier is away then.
    pub fn is_away(&self, carrier: usize, now_ns: u64) -> bool {
        self.carriers[carrier].away.iter().any(|(from_ns, to_ns)| (*from_ns..*to_ns).contains(&now_ns))
    }

    /// The carrier that a start leaves out at that time.
    pub fn left_out(&self, now_ns: u64) -> Option<usize> {
        let (carrier, from_ns, to_ns) = self.kind.left_out?;
        (from_ns..to_ns).contains(&now_ns).then_some(carrier)
    }

    /// Whether messages may lose their routes.
    pub const fn may_lose_routes(&self) -> bool {
        self.route_gone_ns.is_some() || self.kind.left_out.is_some()
    }

    /// Routes: one of each carrier, and perhaps one over all.
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
        // No draw of its own either: some of those who drop connections do so for ever at one recipient's.
        if behaviour.disconnect_ppm % 4 == 3 {
            behaviour.hangs_up_on = (RECIPIENT_BASE + u64::from(behaviour.disconnect_ppm / 4 % 20)).to_string();
        }
        // No draw of its own: half of those who drop connections also end sessions in order, each in some of the cases.
        let disconnects = behaviour.disconnect_ppm + behaviour.taken_disconnect_ppm;
        let goodbye_ppm = if disconnects % 2 == 1 { disconnects.wrapping_mul(7_919) % 1_000_000 } else { 0 };
        Self {
            rate,
            bind_rate: None,
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
            // No draw of its own either: half of those who have a link on every core.
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
        retry: RetryPolicy::uniform(Backoff {
            attempts_max: prng.between(1, 8) as u8,
            backoff_min_ms: prng.between(50, 2_000),
            backoff_max_ms: prng.between(1_000, 10_000),
            jitter_permille: prng.between(0, 500) as u16,
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

/// Mostly fast; in some worlds also slow now and then.
fn latency(prng: &mut Prng, min_ns: u64, max_ns: u64, slow_ns: u64) -> Latency {
    let slow_ppm = if prng.chance(400_000) { prng.between(0, 50_000) as u32 } else { 0 };
    Latency { min_ns, max_ns: max_ns.max(min_ns), slow_ppm, slow_ns }
}

/// One of them; the list is not empty.
pub fn pick<'a, T>(prng: &mut Prng, from: &'a [T]) -> &'a T {
    &from[prng.below(from.len() as u64) as usize]
}
