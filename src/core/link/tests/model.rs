//! A model test: a carrier, shards and an operator do everything that the rules permit, in random order.
//!
//! The world itself checks that each part has one outcome, that each message has a grant, and that the window is kept. This file
//! checks the rate, the order of first submits of a tenant, that each (recipient, class) in flight is on one bind, the number of
//! prepared messages, which messages are unanswered beside one on trial, and that a drain ends.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::world::{Got, Told, World};
use crate::link::{BindId, Disconnect, LinkEvent};
use crate::mesh::ShardMap;
use crate::model::{Address, Class, Content, Mono, ShardId, TenantId};
use crate::traffic::Trial;
use stentor_smpp::status::CommandStatus;

const SHARDS: u8 = 3;
const RECIPIENTS: u64 = 5;
const FIRST: u64 = 4_915_112_345_000;

#[derive(Clone, Copy, Debug)]
struct Plan {
    binds: u16,
    window: u32,
    rate: Option<u32>,
    bind_rate: Option<u32>,
    steps: usize,
    seed: u64,
    faults: bool,
}

fn plans(faults: bool) -> impl Strategy<Value = Plan> {
    let rate = || prop_oneof![Just(None), (5_u32..400).prop_map(Some)];
    (1_u16..4, 1_u32..12, rate(), rate(), 20_usize..400, any::<u64>()).prop_map(
        move |(binds, window, rate, bind_rate, steps, seed)| Plan {
            binds,
            window,
            rate,
            bind_rate,
            steps,
            seed,
            faults,
        },
    )
}

/// The observable results of a run.
#[derive(Debug, PartialEq, Eq)]
struct Trace {
    got: Vec<Got>,
    told: Vec<Told>,
}

struct Run {
    world: World,
    plan: Plan,
    prng: crate::model::Prng,
    /// Messages by their text.
    by_text: BTreeMap<String, Address>,
    /// By message: (recipient, class), its tenant, and its position in the order of waiting.
    lanes: BTreeMap<Address, (u64, Class, TenantId, usize)>,
    /// Messages on trial, and which messages may be unanswered beside each.
    trials: BTreeMap<Address, Trial>,
    throttled: bool,
    count: usize,
    /// Submits that reached the carrier after the link had given them up, as indices into `got`.
    ghosts: BTreeSet<usize>,
}

impl Run {
    fn new(plan: Plan) -> Self {
        let mut world = World::bound(|options| {
            options.shards = ShardMap::new(SHARDS, 1);
            options.binds = plan.binds;
            options.window = plan.window;
            options.rate_parts_per_s = plan.rate;
            options.bind_rate_parts_per_s = plan.bind_rate;
            options.reconnect_max_ms = 3_000;
            options.response_timeout_ms = 20_000;
        });
        world.outstanding_max = plan.window as usize;
        let prng = crate::model::Prng::new(plan.seed);
        let (by_text, lanes, trials) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let ghosts = BTreeSet::new();
        Self { world, plan, prng, by_text, lanes, trials, throttled: false, count: 0, ghosts }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.prng.below(bound as u64) as usize
    }

    fn step(&mut self) {
        self.watch(Self::act);
        self.check_prepared();
        self.check_binds();
        self.check_trials();
    }

    /// Runs an action, and records which submits reached the carrier although the link had given them up before.
    fn watch(&mut self, does: impl FnOnce(&mut Self)) {
        let (told, got) = (self.world.told.len(), self.world.got.len());
        does(self);
        let given_up: BTreeSet<Address> = self.world.told[..told].iter().map(|told| told.address).collect();
        let came = got..self.world.got.len();
        let ghosts = came.filter(|at| self.address_of(&self.world.got[*at]).is_some_and(|of| given_up.contains(&of)));
        self.ghosts.extend(ghosts.collect::<Vec<_>>());
    }

    fn act(&mut self) {
        match self.below(if self.plan.faults { 35 } else { 28 }) {
            0..10 => self.new_messages(),
            10..20 => self.answer_some(),
            20..25 => {
                let ns = self.prng.below(120_000_000);
                self.world.advance_ns(ns);
            }
            25 => self.use_late_grants(),
            26 => self.use_standing_places(),
            27 => self.world.uses_grants = self.below(2) == 0,
            28 => self.lose_a_bind(),
            29 => {
                self.world.writes = !self.world.writes;
                if self.world.writes {
                    self.write_all();
                }
            }
            30 => self.write_some(),
            31 => self.world.handle(LinkEvent::Pause),
            32 => self.world.handle(LinkEvent::Resume),
            33 => self.world.advance_ms(25_000),
            _ => self.world.handle(LinkEvent::Rebind),
        }
    }

    /// Checks that the submits in flight to one (recipient, class) are on one bind. Submits that were given up do not count.
    fn check_binds(&self) {
        let mut binds: BTreeMap<(u64, Class), BindId> = BTreeMap::new();
        for at in self.world.pending() {
            let got = &self.world.got[at];
            let Some(address) = self.address_of(got) else { continue };
            if !self.world.shards.iter().any(|shard| shard.open.contains_key(&address)) {
                continue;
            }
            let (recipient, class, ..) = self.lanes[&address];
            let bind = *binds.entry((recipient, class)).or_insert(got.bind);
            assert_eq!(bind, got.bind, "{recipient} {class:?} on two binds");
        }
    }

    /// The message of a first part.
    fn address_of(&self, got: &Got) -> Option<Address> {
        let skip = if got.esm_class == 0x40 { 6 } else { 0 };
        let body = std::str::from_utf8(got.text.get(skip..)?).ok()?;
        self.by_text.get(body.get(..6)?).copied()
    }

    fn new_messages(&mut self) {
        for _ in 0..=self.below(6) {
            let recipient = FIRST + self.prng.below(RECIPIENTS);
            let shard = (recipient % u64::from(SHARDS)) as u8;
            let class = Class::ALL[self.below(4)];
            let tenant = TenantId(self.below(3) as u32);
            let filling = "x".repeat([0, 0, 0, 300, 700][self.below(5)]);
            let text = format!("{:06}{filling}", self.count);
            let expires = [None, None, Some(300)][self.below(3)];
            let expires_at = expires.map(|ms| self.world.now.wall.after_ms(ms));
            let content = Content { body: text.as_bytes(), ..Content::default() };
            let trial = match self.count % 9 {
                3 => Some(Trial::Alone),
                5 | 7 => Some(Trial::InGroup),
                _ => None,
            };
            let submit = self.world.submit_of(recipient, class, &content, |submit| {
                submit.head.expires_at = expires_at.unwrap_or_default();
                submit.trial = trial;
                (submit.head.tenant, submit.weight) = (tenant, 1 + 10 * tenant.0);
            });
            self.trials.extend(trial.map(|trial| (submit.address, trial)));
            self.by_text.insert(text[..6].to_owned(), submit.address);
            self.lanes.insert(submit.address, (recipient, class, tenant, self.count));
            self.count += 1;
            self.world.shards[usize::from(shard)].waiting[class.index()].push_back(submit);
            self.world.demand(shard);
        }
    }

    fn answer_some(&mut self) {
        for _ in 0..=self.below(4) {
            let pending: Vec<usize> = self.world.pending().collect();
            if pending.is_empty() {
                return;
            }
            let at = pending[self.below(pending.len())];
            let got = self.world.got[at].clone();
            let status = match self.below(if self.plan.faults { 14 } else { 1 }) {
                0..9 => CommandStatus::ROK,
                9 | 10 => CommandStatus::RTHROTTLED,
                11 => CommandStatus::RINVDSTADR,
                12 => CommandStatus::RINVSERTYP,
                _ => CommandStatus::RSYSERR,
            };
            self.throttled |= status == CommandStatus::RTHROTTLED;
            let id = at.to_string();
            self.world.answer(&got, status, if status.is_ok() { id.as_bytes() } else { b"" });
        }
    }

    fn use_late_grants(&mut self) {
        for shard in 0..SHARDS {
            for class in Class::ALL {
                self.world.use_places(ShardId(shard), class, self.prng.chance(500_000));
            }
        }
    }

    fn use_standing_places(&mut self) {
        let shard = ShardId(self.below(usize::from(SHARDS)) as u8);
        let class = [Class::Transactional, Class::Marketing][self.below(2)];
        (0..=self.below(4)).for_each(|_| self.world.use_standing(shard, class));
    }

    fn lose_a_bind(&mut self) {
        let bind = BindId(self.below(usize::from(self.plan.binds)) as u16);
        if self.world.servers.contains_key(&bind) {
            self.world.disconnect(bind, Disconnect::ByPeer);
        }
    }

    fn write_some(&mut self) {
        let bind = BindId(self.below(usize::from(self.plan.binds)) as u16);
        let bytes = self.below(2_000);
        self.world.write(bind, bytes);
    }

    fn write_all(&mut self) {
        for bind in 0..self.plan.binds {
            self.world.write(BindId(bind), usize::MAX);
        }
    }

    /// Checks that granted and prepared bulk messages are never more than the window of all binds, or than the rate sends in a
    /// quarter of a second.
    fn check_prepared(&mut self) {
        let bulk = |places: &[u32; Class::COUNT]| places[2] + places[3];
        let standing: u32 = self.world.shards.iter().map(|shard| bulk(&shard.standing)).sum();
        let places: u32 = self.world.shards.iter().map(|shard| bulk(&shard.places)).sum();
        let status = self.world.link.status(self.world.now.mono);
        let window = u32::from(self.plan.binds) * self.plan.window;
        let bound = window.min(self.plan.rate.map_or(u32::MAX, |rate| (rate / 4).max(1)));
        let beside = (bound / 8 / u32::from(SHARDS)).clamp(1, 4) * 2 * u32::from(SHARDS);
        assert!(places <= bound && standing <= beside, "{places} places, {standing} standing ones");
        assert_eq!(status.granted.0, places, "both sides count the same places");
        // Urgent messages have a slot each, except those with standing places, which are not more than the slots either.
        assert!(self.throttled || status.prepared + places + standing <= bound + beside + 2 * window, "{status:?}");
    }

    /// Checks which messages are unanswered beside a message on trial.
    fn check_trials(&self) {
        for bind in 0..self.plan.binds {
            let pending = self.world.pending().filter(|at| !self.ghosts.contains(at));
            let here = pending.filter(|at| self.world.got[*at].bind == BindId(bind));
            let messages: BTreeSet<Address> = here.filter_map(|at| self.address_of(&self.world.got[at])).collect();
            let trials: Vec<_> = messages.iter().map(|address| self.trials.get(address).copied()).collect();
            let is_alone = trials.contains(&Some(Trial::Alone));
            assert!(!is_alone || messages.len() == 1, "alone among {messages:?}");
            let is_group = trials.contains(&Some(Trial::InGroup));
            assert!(!is_group || (messages.len() <= 16 && !trials.contains(&None)), "a group among {messages:?}");
        }
    }

    fn finish(mut self) -> Trace {
        self.world.writes = true;
        self.watch(Self::write_all);
        self.world.handle(LinkEvent::Drain);
        self.use_late_grants();
        for at in self.world.pending().collect::<Vec<_>>() {
            let got = self.world.got[at].clone();
            if self.world.servers.contains_key(&got.bind) {
                self.world.answer(&got, CommandStatus::ROK, b"1");
            }
        }
        self.world.advance_ms(10_000);
        let status = self.world.link.status(self.world.now.mono);
        assert!(self.world.link.is_drained(), "{status:?}");
        assert_eq!((self.world.open(), status.prepared), (0, 0), "nothing is left");
        self.check_rates();
        self.check_order();
        Trace { got: self.world.got, told: self.world.told }
    }

    fn check_rates(&self) {
        let all: Vec<Mono> = self.world.got.iter().map(|got| got.at).collect();
        check_rate(&all, self.plan.rate);
        for bind in 0..self.plan.binds {
            let on_bind = self.world.got.iter().filter(|got| got.bind == BindId(bind)).map(|got| got.at);
            check_rate(&on_bind.collect::<Vec<_>>(), self.plan.bind_rate);
        }
    }

    /// Checks that first parts of one (tenant, recipient, class) reached the carrier in the order of waiting.
    fn check_order(&self) {
        let mut last: BTreeMap<(u64, Class, TenantId), usize> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (at, got) in self.world.got.iter().enumerate() {
            if self.ghosts.contains(&at) {
                continue;
            }
            let Some(address) = self.address_of(got).filter(|address| !self.trials.contains_key(address)) else {
                continue;
            };
            if seen.insert(address) {
                let (recipient, class, tenant, count) = self.lanes[&address];
                let before = last.insert((recipient, class, tenant), count);
                assert!(before.is_none_or(|before| before < count), "{count} after {before:?}");
            }
        }
    }
}

fn check_rate(instants: &[Mono], rate: Option<u32>) {
    let Some(rate) = rate else { return };
    for window in instants.windows(rate as usize + 1) {
        let span = window[rate as usize].since(window[0]);
        assert!(span >= 1_000_000_000, "{} parts within {span} ns", rate + 1);
    }
}

fn run(plan: Plan) -> Trace {
    let mut run = Run::new(plan);
    for _ in 0..plan.steps {
        run.step();
    }
    run.finish()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn with_a_carrier_that_behaves(plan in plans(false)) {
        let trace = run(plan);
        prop_assert_eq!(trace, run(plan), "the same seed, the same bytes");
    }

    #[test]
    fn with_faults_of_every_kind(plan in plans(true)) {
        let trace = run(plan);
        prop_assert_eq!(trace, run(plan), "the same seed, the same bytes");
    }
}
