//! Worlds with limits: which rules a world has, how its messages look, how reloads change the rules, and what becomes of them in the
//! calm. Knows ranges and probabilities. What must be true of what is sent is in [`super::limited`].

use crate::limit::{Of, Over, Per, Rule, Span, When};
use crate::model::{CarrierId, Class, Country, LimitId, Prng, TenantId, Wall, Zone};
use crate::shard::{Bounds, Options as ShardOptions};

use super::agenda::{Latency, MS, SECOND};
use super::carrier::{Behaviour, Delay};
use super::clients::RECIPIENT_BASE;
use super::hands::PACE_PARTS_MIN;
use super::happening::Happening;
use super::limited::{ZONES, zone_minutes};
use super::plan::{CarrierPlan, KindPlan, Lives, Plan, pick};
use super::stage::{Stage, WALL_BASE_MS, note};
use super::tally::Count;
use super::world::World;

/// Most rules that are in force at a time; rules have numbers from 1 to this.
const RULES_MAX: u16 = 6;
/// Most parts of a message in these worlds.
const PARTS_MAX: u64 = 3;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// The beginning of December 2026, UTC: the first month that begins after the usual beginning of a world.
const DECEMBER_MS: u64 = 1_796_083_200_000;
/// [`LimitPlan::drain_ms`] of usual and of small worlds.
const DRAIN_MS: u64 = 3 * HOUR_MS;
const BRIEF_DRAIN_MS: u64 = 60_000;
/// How often the wall clock is set while there is no process.
const SETS_MAX: u32 = 4;
/// Longer than a slow socket takes to accept bytes, ms.
const RESPONSE_MS: u64 = 30_000;
/// More than is ever sent.
const PLENTY: u64 = 1_000_000;

/// Numbers of recipients in the other country begin here.
const ELSEWHERE_BASE: u64 = 436_601_000_000;
/// The countries in which recipients live, and one in which none does.
const COUNTRIES: [&str; 3] = ["DE", "AT", "FR"];
const SENDERS: [&str; 4] = ["Stentor", "AcmeOne", "AcmeTwo", "Bank"];
const PATTERNS: [&str; 4] = ["Stentor", "Acme*", "AcmeOne", "Ba*"];
const TAGS: [&str; 3] = ["a", "b", "c"];
/// Tags of a message; one that is there twice counts once.
const TAG_LISTS: [&str; 7] = ["", "", "a", "b", "a,b", "c,b", "c,c"];

/// The limits of a world.
#[derive(Clone, Debug)]
pub struct LimitPlan {
    /// The rules in force.
    pub rules: Vec<Rule>,
    /// Rules may be about carriers.
    by_carrier: bool,
    /// The rules stay in force in the calm, if everything can be sent in time under them.
    stays: bool,
    /// Otherwise they allow plenty in the calm; if false, there are none any more.
    raised: bool,
    /// What the wall clock shows when the world begins.
    begins: Wall,
    /// How often the wall clock may still be set while there is no process.
    sets_left: u32,
    /// Rules stay in force in the calm if everything can be sent within this time, ms.
    drain_ms: u64,
}

impl LimitPlan {
    fn draw(scope: Scope, chaos_ns: u64, chance: &mut Prng) -> Self {
        // Half of the worlds begin shortly before a month does; in half of those it begins while there are faults.
        let before_ms = if chance.chance(500_000) { chance.below(chaos_ns / MS) } else { chance.below(2 * DAY_MS) };
        let is_late = chance.chance(500_000);
        let rules = *pick(chance, &[1, 1, 2, 2, 3, 4, 5, RULES_MAX]);
        let rules: Vec<Rule> = (1..=rules).map(|id| scope.rule(id, chance)).collect();
        Self {
            by_carrier: scope.by_carrier,
            stays: chance.chance(700_000),
            raised: chance.chance(500_000),
            sets_left: SETS_MAX,
            drain_ms: DRAIN_MS,
            begins: Wall(if is_late { december_ms(&rules) - before_ms } else { WALL_BASE_MS }),
            rules,
        }
    }

    /// The same for few messages.
    fn brief(mut self) -> Self {
        for rule in &mut self.rules {
            let least = if rule.of == Of::Parts { PARTS_MAX.min(rule.amount) } else { 1 };
            rule.amount = (rule.amount / 3).max(least);
        }
        Self { drain_ms: BRIEF_DRAIN_MS, ..self }
    }

    /// Whether so many messages can be sent in time under the present rules, however they are distributed.
    fn drains(&self, messages: u32) -> bool {
        let parts = u64::from(messages) * PARTS_MAX;
        let takes_ms = |rule: &Rule| match rule.span {
            Span::Sliding(ms) => parts.div_ceil(rule.amount) * ms,
            Span::Month(_) => self.drain_ms,
        };
        self.rules.iter().map(takes_ms).sum::<u64>() < self.drain_ms
    }

    /// Makes the rules let everything through.
    fn lift(&mut self) {
        if self.raised {
            self.rules.iter_mut().for_each(|rule| rule.amount = PLENTY);
        } else {
            self.rules.clear();
        }
    }
}

/// When December begins for the first of these rules that is by the month.
fn december_ms(rules: &[Rule]) -> u64 {
    let zone = rules.iter().find_map(|rule| match rule.span {
        Span::Month(zone) => Some(zone),
        Span::Sliding(_) => None,
    });
    DECEMBER_MS.saturating_add_signed(-zone.map_or(0, zone_minutes) * 60_000)
}

impl Plan {
    /// Limits of all kinds in a usual world: rules that overlap, clocks that are set, processes that die, reloads that change the
    /// rules.
    pub fn limited(prng: &mut Prng) -> Self {
        Self::under_limits(Self::draw(prng), prng)
    }

    fn under_limits(usual: Self, prng: &mut Prng) -> Self {
        let cores = prng.between(1, 2) as u8;
        let most_s = *pick(prng, &[60, 200, 600]);
        let chaos_ns = prng.between(20, most_s) * SECOND;
        let mut tenants = usual.shard.tenants.clone();
        if tenants.is_empty() {
            tenants = vec![(TenantId(1), 1), (TenantId(2), 2)];
        }
        let by_carrier = prng.chance(500_000);
        let scope = Scope { by_carrier, carriers: usual.carriers.len() as u16, tenants: tenants.len() as u32 };
        let limits = LimitPlan::draw(scope, chaos_ns, prng);
        let shared_route = usual.shared_route || by_carrier && usual.carriers.len() > 1 && prng.chance(500_000);
        // No part is still on its way into a slow socket when its answer is not awaited any more.
        let response_ms = if usual.socket.slow_ppm > 0 { RESPONSE_MS } else { 0 };
        let present = |carrier: CarrierPlan| CarrierPlan {
            home: carrier.home.map(|home| home % cores),
            absent: false,
            response_timeout_ms: carrier.response_timeout_ms.max(response_ms),
            ..carrier
        };
        // The wall clock may pass several days, and no message may be forgotten meanwhile.
        let kept_ms = 60 * DAY_MS;
        Self {
            shards: prng.between(2, 4) as u8,
            cores,
            carriers: usual.carriers.into_iter().map(present).collect(),
            shared_route,
            messages: prng.between(40, 200) as u32,
            recipients: prng.between(4, 40) as u32,
            chaos_ns,
            crashes_max: prng.between(0, 5) as u32,
            stops_max: prng.between(0, 3) as u32,
            wall_jumps: prng.between(0, 3) as u32,
            backups: 0,
            ages: false,
            shard: ShardOptions {
                tenants,
                queue_messages_max: 1_000_000,
                keys_max: 1_000_000,
                key_window_ms: kept_ms,
                receipt_wait_ms: kept_ms,
                retention_ms: kept_ms,
                bounds: Bounds::DEFAULT,
                ..usual.shard
            },
            tenants: Vec::new(),
            kind: KindPlan {
                reloads: prng.between(0, 6) as u32,
                rest_ns: 2 * DRAIN_MS * MS,
                look_ns: 5 * SECOND,
                wall_jump_max_ms: DAY_MS,
                limits: Some(limits),
                ..KindPlan::default()
            },
            ..usual
        }
        .spelled()
    }

    /// The same in a small world, of which a million can be run: few messages over one carrier or two, in seconds.
    pub fn limited_briefly(prng: &mut Prng) -> Self {
        let mut usual = Self::draw(prng);
        usual.carriers.truncate(prng.between(1, 2) as usize);
        usual.carriers.iter_mut().for_each(|carrier| carrier.binds = carrier.binds.min(2));
        let usual = Self::under_limits(usual, prng);
        let most_s = *pick(prng, &[2, 4, 12]);
        Self {
            shards: prng.between(u64::from(usual.cores), 2) as u8,
            messages: prng.between(6, 30) as u32,
            recipients: prng.between(2, 12) as u32,
            chaos_ns: prng.between(1, most_s) * SECOND,
            crashes_max: prng.between(0, 2) as u32,
            stops_max: prng.between(0, 1) as u32,
            wall_jumps: prng.between(0, 2) as u32,
            kind: KindPlan {
                reloads: prng.between(0, 2) as u32,
                look_ns: 60 * SECOND,
                limits: usual.kind.limits.map(LimitPlan::brief),
                ..usual.kind
            },
            ..usual
        }
    }

    /// One limit for all messages, more messages than it lets through at once, and nothing that fails: it is used up.
    pub fn limited_and_well(prng: &mut Prng) -> Self {
        let usual = Self::strict(prng);
        let (amount, ms) = *pick(prng, &[(1, 1_000), (7, 1_000), (30, 1_000), (12, 2_500), (1, 10_000), (40, 10_000)]);
        let rule = Rule {
            id: LimitId(1),
            name: "l1".into(),
            when: When::default(),
            per: Per::All,
            of: Of::Messages,
            amount,
            span: Span::Sliding(ms),
            over: Over::Wait,
        };
        let limits = LimitPlan {
            rules: vec![rule],
            by_carrier: false,
            stays: true,
            raised: false,
            begins: Wall(WALL_BASE_MS),
            sets_left: 0,
            drain_ms: DAY_MS,
        };
        let answers = |carrier: CarrierPlan| CarrierPlan {
            rate: None,
            bind_rate: None,
            is_strict: false,
            // A message whose parts wait for each other counts from its first part until its last has left the span.
            window: 256,
            behaviour: Behaviour {
                response_delay: Delay { min_us: 5_000, max_us: prng.between(20, 400) * 1_000 },
                receipt_delay: Delay { min_us: 100_000, max_us: 2_000_000 },
                ..Behaviour::default()
            },
            ..carrier
        };
        Self {
            carriers: usual.carriers.into_iter().map(answers).collect(),
            // Mail between cores takes as long as on a machine that is not starved.
            mailbox: Latency { min_ns: 1_000, max_ns: 50_000, slow_ppm: 0, slow_ns: 0 },
            mailbox_places: 64,
            // Twice as many spans as are judged.
            messages: (amount * 50).max(PACE_PARTS_MIN as u64) as u32,
            shard: ShardOptions {
                key_window_ms: 60 * DAY_MS,
                receipt_wait_ms: 60 * DAY_MS,
                retention_ms: 60 * DAY_MS,
                ..usual.shard
            },
            kind: KindPlan {
                lives: Some(Lives { scheduled_ppm: 0, ahead_max_ms: 1_000, lasts_max_ms: DAY_MS, long_ppm: 1_000_000 }),
                used_percent: Some(98),
                limits: Some(limits),
                ..usual.kind
            },
            ..usual
        }
    }

    /// The rules in force.
    pub fn limits(&self) -> &[Rule] {
        self.kind.limits.as_ref().map_or(&[], |limits| &limits.rules)
    }

    /// By how much the wall clock may be wrong because it was set, ms.
    pub fn wall_jumped_ms(&self) -> u64 {
        let sets = if self.kind.limits.is_some() { SETS_MAX } else { 0 };
        self.kind.wall_jump_max_ms * u64::from(self.wall_jumps + sets)
    }
}

/// What rules can be about.
#[derive(Clone, Copy, Debug)]
struct Scope {
    by_carrier: bool,
    carriers: u16,
    tenants: u32,
}

impl Scope {
    fn of(plan: &Plan, limits: &LimitPlan) -> Self {
        let (carriers, tenants) = (plan.carriers.len() as u16, plan.shard.tenants.len() as u32);
        Self { by_carrier: limits.by_carrier, carriers, tenants }
    }

    fn rule(self, id: u16, chance: &mut Prng) -> Rule {
        let per = [Per::All, Per::All, Per::Tenant, Per::Sender, Per::Country, Per::Tag, Per::Carrier];
        let kinds = if self.by_carrier { per.len() } else { per.len() - 1 };
        let of = *pick(chance, &[Of::Parts, Of::Messages]);
        let (amount, span) = rate(chance);
        // Where less is allowed than a message has parts, it is refused.
        let least = if of == Of::Parts && chance.chance(700_000) { PARTS_MAX } else { 1 };
        Rule {
            id: LimitId(id),
            name: format!("l{id}"),
            when: if chance.chance(500_000) { When::default() } else { self.when(chance) },
            per: *pick(chance, &per[..kinds]),
            of,
            amount: amount.max(least),
            span,
            over: if chance.chance(250_000) { Over::Refuse } else { Over::Wait },
        }
    }

    /// About some messages, in one or several respects.
    fn when(self, chance: &mut Prng) -> When {
        let mut when = When::default();
        for _ in 0..chance.between(1, 2) {
            match chance.below(if self.by_carrier { 6 } else { 5 }) {
                0 => when.countries.extend(*pick(chance, &COUNTRIES.map(Country::new))),
                1 => when.classes.extend([*pick(chance, &Class::ALL), *pick(chance, &Class::ALL)]),
                2 => when.tenants.push(TenantId(chance.between(1, self.tenants.into()) as u32)),
                3 => when.tags.push((*pick(chance, &TAGS)).to_owned()),
                4 => when.senders.push((*pick(chance, &PATTERNS)).to_owned()),
                _ => when.carriers.push(CarrierId(chance.between(1, self.carriers.into()) as u16)),
            }
        }
        when
    }
}

/// How much, and in which time.
fn rate(chance: &mut Prng) -> (u64, Span) {
    let (most, ms) = match chance.below(9) {
        0 => (6, 1_000),
        1 => (8, chance.between(1_000, 10_000)),
        // One in ten seconds.
        2 => (1, 10_000),
        3 => (6, 10_000),
        4 => (20, 60_000),
        5 => (30, chance.between(60_000, 900_000)),
        6 => (60, HOUR_MS),
        7 => (60, chance.between(1_000, HOUR_MS)),
        _ => {
            let (name, _) = *pick(chance, &ZONES);
            return (chance.between(5, 80), Span::Month(Zone::parse(name).unwrap_or(Zone::UTC)));
        }
    };
    (chance.between(1, most), Span::Sliding(ms))
}

/// The names of all rules that a world may have.
pub fn names(plan: &Plan) -> Vec<String> {
    let most = if plan.kind.limits.is_some() { RULES_MAX } else { 0 };
    (1..=most).map(|id| format!("l{id}")).collect()
}

/// How long the text of a message is.
pub fn characters(chance: &mut Prng) -> usize {
    let (least, most) = if chance.chance(300_000) { (161, 430) } else { (8, 150) };
    chance.between(least, most) as usize
}

/// How long it is if its characters are wide ones.
pub fn wide(characters: usize) -> usize {
    characters.min(180)
}

/// The number of a recipient: every second one lives in another country.
pub const fn recipient(number: u64) -> u64 {
    if number.is_multiple_of(2) { number } else { number - RECIPIENT_BASE + ELSEWHERE_BASE }
}

/// The country of that number.
pub fn country_of(number: u64) -> Option<Country> {
    Country::new(COUNTRIES[usize::from(number < RECIPIENT_BASE)])
}

/// Sender and tags of a message.
pub fn looks(chance: &mut Prng) -> (&'static str, &'static str) {
    (*pick(chance, &SENDERS), *pick(chance, &TAG_LISTS))
}

/// The world begins.
pub fn begin(plan: &Plan, stage: &mut Stage) {
    let Some(limits) = &plan.kind.limits else { return };
    stage.begin_at(limits.begins);
    stage.oracle.limited.begin(plan.shards, plan.carriers.len() as u16, &limits.rules);
}

/// A reload changes a rule; false if it is to change something else.
pub(super) fn change(plan: &mut Plan, stage: &mut Stage) -> bool {
    let Some(mut limits) = plan.kind.limits.take() else { return false };
    let (scope, chance) = (Scope::of(plan, &limits), &mut stage.kind_chance);
    let rules = &mut limits.rules;
    let at = chance.below(rules.len() as u64) as usize;
    let free = (1..=RULES_MAX).find(|id| rules.iter().all(|rule| rule.id.0 != *id));
    let done = match (chance.below(10), rules.get_mut(at), free) {
        (0, ..) => false,
        (1 | 2, Some(rule), _) => {
            rule.amount = chance.between(1, rule.amount * 2);
            true
        }
        (3 | 4, Some(rule), _) => {
            (rule.amount, rule.span) = rate(chance);
            true
        }
        (5, Some(rule), _) => {
            rule.over = *pick(chance, &[Over::Wait, Over::Refuse]);
            true
        }
        (6, Some(rule), _) => {
            *rule = scope.rule(rule.id.0, chance);
            true
        }
        (7, Some(_), _) => {
            rules.remove(at);
            true
        }
        (_, _, Some(id)) => {
            rules.push(scope.rule(id, chance));
            true
        }
        (_, _, None) => false,
    };
    if done {
        stage.tally.add(Count::LimitsChanged);
        note!(stage, "a reload changes limits: {:?}", limits.rules);
    }
    plan.kind.limits = Some(limits);
    done
}

impl World {
    /// The process is down for so long: sometimes the wall clock is set meanwhile.
    pub(super) fn may_set_clock(&mut self, within_ns: u64) {
        // A plan without jumps is one whose world is judged by the wall clock.
        let may = self.plan.wall_jumps > 0 && !self.stage.calm;
        let Some(limits) = self.plan.kind.limits.as_mut().filter(|limits| may && limits.sets_left > 0) else { return };
        if self.stage.kind_chance.chance(300_000) {
            limits.sets_left -= 1;
            let after_ns = self.stage.kind_chance.below(within_ns);
            self.stage.agenda.after(after_ns, Happening::WallJumps);
        }
    }

    /// The wall clock was set.
    pub(super) fn clock_is_set(&mut self, before: Wall) {
        let (is_down, now_ns) = (self.process.is_none(), self.stage.now_ns());
        self.stage.oracle.limited.clock_is_set((before, self.stage.wall()), is_down, now_ns);
    }

    /// The calm begins: a clock that was set back by days would keep the world from ending.
    pub(super) fn right_clock(&mut self) {
        if self.plan.kind.limits.is_some() {
            let before = self.stage.wall();
            self.stage.right_wall();
            self.clock_is_set(before);
        }
    }

    /// The calm begins: limits under which not everything can be sent are lifted.
    pub(super) fn lift_limits(&mut self) {
        let before = self.plan.clone();
        let Some(limits) = &mut self.plan.kind.limits else { return };
        if limits.rules.is_empty() || limits.stays && limits.drains(self.plan.messages) {
            self.stage.tally.add_many(Count::LimitsKept, u64::from(!limits.rules.is_empty()));
            return;
        }
        limits.lift();
        note!(self.stage, "limits are lifted: {:?}", limits.rules);
        self.stage.tally.add(Count::LimitsLifted);
        let now_ns = self.stage.now_ns();
        self.stage.oracle.reloaded(&before, &self.plan, now_ns);
        // A process that is ending reads no configuration; the next one starts with it.
        if let Some(process) = self.process.as_mut().filter(|process| !process.is_ending()) {
            process.reload(&self.plan, &mut self.net, &mut self.stage);
        }
    }

    /// Counts messages that wait because of a limit.
    pub(super) fn note_parked(&mut self) {
        if let Some(process) = self.process.as_ref().filter(|_| self.plan.kind.limits.is_some()) {
            let parked = process.parked();
            self.stage.tally.add_many(Count::Parked, parked);
            let is_first = self.stage.oracle.limited.note_parked(parked);
            self.stage.tally.add_many(Count::LimitsBit, u64::from(is_first));
        }
    }
}
