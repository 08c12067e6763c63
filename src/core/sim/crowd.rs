//! What waits at the links of a crowded world, and what leaves them: classes keep their ceiling, tenants take turns, and no OTP
//! waits long. Knows messages from when a link is handed them, and parts from when the link gives their bytes to a socket.
//! Refuses to know how the link decides.
//!
//! Judged are only worlds with one core, one carrier with one bind, and no faults ([`Plan::crowded`]): elsewhere a message can be on
//! its way from another core, wait for a bind that cannot send, or leave without being written. A message that came at the same instant as a
//! part leaves counts as not there yet: which was first is not seen from here.

use std::collections::{BTreeMap, VecDeque};

use crate::link::ceiling::{quantum, slack};
use crate::model::{Address, Class, LinkId, ShardId, TenantId};
use crate::traffic::Submit;

use super::agenda::{MS, SECOND};
use super::oracle::Invariant;
use super::part::PartSeen;
use super::plan::Plan;

/// Over so many successive parts a ceiling is judged.
const PARTS: usize = 200;

/// By how much a token may come later than its interval: limits are a little stricter than they need to be, and even out
/// bursts.
const UNEVEN_NS: u64 = 20 * MS;

/// Divisible by all weights in these worlds, so that what a tenant got is a whole number.
const SCALE: i64 = 2_520;

/// What is judged of a link, and what it has to keep.
#[derive(Clone, Copy, Debug)]
struct Terms {
    ceiling: u32,
    window: u64,
    rate: u64,
    /// In which time a carrier answers a submit at the latest, on its way there and back too.
    answer_ns: u64,
}

/// A message that a link has and that is not completely sent.
#[derive(Debug)]
struct Held {
    of: (ShardId, Address),
    class: Class,
    tenant: TenantId,
    /// What one part of it adds to what its tenant got.
    step: i64,
    since_ns: u64,
    /// Urgent and bulk parts that had left the link when it came.
    before: (u32, u32),
    /// Parts that are left; `None`: it has not begun.
    left: Option<u8>,
}

/// What two tenants got while both had messages that had not begun: how far the first is ahead now, and was at most and least.
#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    lead: i64,
    most: i64,
    least: i64,
}

#[derive(Debug, Default)]
struct AtLink {
    held: BTreeMap<u32, Held>,
    /// By class but the last: of the last parts of it and of less urgent classes, which were of it.
    recent: [VecDeque<bool>; Class::COUNT - 1],
    pairs: BTreeMap<(Class, TenantId, TenantId), Pair>,
    /// Urgent and bulk parts that have left.
    gone: (u32, u32),
    bytes: Vec<u8>,
}

/// All links of a crowded world; of other worlds nothing.
#[derive(Debug, Default)]
pub struct Crowd {
    /// By carrier.
    terms: Vec<Terms>,
    links: BTreeMap<LinkId, AtLink>,
    /// Nothing is sent before: the first second after a start.
    silent_until_ns: u64,
    /// Parts of the longest message in these worlds.
    parts_max: i64,
}

/// What is wrong.
type Wrong = Option<(Invariant, String)>;

impl Crowd {
    /// The links of that plan.
    pub fn new(plan: &Plan) -> Self {
        let terms = plan.carriers.iter().filter(|_| plan.kind.crowded).map(|carrier| Terms {
            ceiling: carrier.class_ceiling,
            window: carrier.window.into(),
            rate: carrier.rate.map_or(u64::MAX, u64::from),
            answer_ns: 2 * plan.network.max_ns + carrier.behaviour.response_delay.max_us * 1_000,
        });
        Self { terms: terms.collect(), links: BTreeMap::new(), silent_until_ns: 0, parts_max: 12 }
    }

    /// A process starts: nothing waits at its links.
    pub fn start(&mut self, now_ns: u64) {
        self.links.clear();
        self.silent_until_ns = now_ns + SECOND;
    }

    fn terms(&self, link: LinkId) -> Option<Terms> {
        self.terms.get(usize::from(link.carrier.0).checked_sub(1)?).copied()
    }

    /// A shard's message reaches a link.
    pub fn arrives(&mut self, link: LinkId, shard: ShardId, submit: &Submit, now_ns: u64) {
        if self.terms(link).is_none() {
            return;
        }
        let at = self.links.entry(link).or_default();
        let (from, bytes) = (submit.head.content_at as usize, submit.head.content_len as usize);
        let content = submit.arena.get(from..from + bytes).unwrap_or_default();
        let Some(number) = PartSeen::number_in(content) else { return };
        let held = Held {
            of: (shard, submit.address),
            class: submit.head.class,
            tenant: submit.head.tenant,
            step: SCALE / i64::from(submit.weight.max(1)),
            since_ns: now_ns.max(self.silent_until_ns),
            before: at.gone,
            left: None,
        };
        at.held.insert(number, held);
    }

    /// A link gives a message back unsent.
    pub fn returns(&mut self, link: LinkId, shard: ShardId, address: Address) {
        let Some(at) = self.links.get_mut(&link) else { return };
        let gone = at.held.iter().find(|(_, held)| held.of == (shard, address)).map(|(number, _)| *number);
        if let Some(held) = gone.and_then(|number| at.held.remove(&number)) {
            at.part_with(held.class, held.tenant);
        }
    }

    /// A link gives bytes to a socket; gives the first thing that is wrong with what they are.
    pub fn leaves(&mut self, link: LinkId, bytes: &[u8], now_ns: u64) -> Wrong {
        let terms = self.terms(link)?;
        let at = self.links.entry(link).or_default();
        at.bytes.extend_from_slice(bytes);
        let mut wrong = None;
        for part in PartSeen::take_from(&mut at.bytes) {
            wrong = wrong.or(at.leaves(part, terms, self.parts_max, now_ns));
        }
        wrong.map(|(invariant, what)| (invariant, format!("{link:?}: {what}")))
    }
}

impl AtLink {
    fn leaves(&mut self, part: PartSeen, terms: Terms, parts_max: i64, now_ns: u64) -> Wrong {
        let number = part.message?;
        let held = self.held.get_mut(&number)?;
        let (class, tenant, step, begins) = (held.class, held.tenant, held.step, held.left.is_none());
        let left = held.left.unwrap_or(part.parts).saturating_sub(1);
        held.left = Some(left);
        let mut wrong = if begins { self.judge_wait(number, terms, now_ns) } else { None };
        let gone = if class.is_urgent() { &mut self.gone.0 } else { &mut self.gone.1 };
        *gone += 1;
        if begins {
            let cost = step * i64::from(part.parts);
            wrong = wrong.or(self.judge_turns(class, tenant, (cost, step), parts_max, now_ns));
        }
        if left == 0 {
            self.held.remove(&number);
        }
        wrong.or(self.judge_ceilings(class, terms.ceiling, now_ns))
    }

    /// An urgent message begins to leave. The parts before it are at most a quantum; each of them, and it, needs a token, and
    /// each window's worth of them an answer.
    fn judge_wait(&self, number: u32, terms: Terms, now_ns: u64) -> Wrong {
        let held = self.held.get(&number).filter(|held| held.class.is_urgent())?;
        let (urgent, bulk) = (self.gone.0 - held.before.0, self.gone.1 - held.before.1);
        let parts = u64::from(urgent + bulk);
        let windows = 1 + (parts + 1).div_ceil(terms.window);
        let most_ns = windows * terms.answer_ns + (parts + 2) * SECOND / terms.rate + UNEVEN_NS;
        let waited_ns = now_ns - held.since_ns;
        let is_late = urgent + bulk > quantum(urgent, terms.ceiling) || waited_ns > most_ns;
        let what =
            || format!("urgent message {number} waited for {urgent} + {bulk} parts and {waited_ns} ns of {most_ns}");
        is_late.then(|| (Invariant::Urgent, what()))
    }

    /// A tenant's message begins to leave: what it got is compared with what others got while they waited too. `cost`: of the
    /// message, and of one part.
    fn judge_turns(&mut self, class: Class, tenant: TenantId, cost: (i64, i64), parts_max: i64, now_ns: u64) -> Wrong {
        let mut others: BTreeMap<TenantId, i64> = BTreeMap::new();
        let waits = |held: &&Held| held.class == class && held.left.is_none() && held.since_ns < now_ns;
        others.extend(self.held.values().filter(waits).map(|held| (held.tenant, held.step)));
        let goes_on = others.remove(&tenant).is_some();
        let is_waiting = |pair: TenantId| pair == tenant || others.contains_key(&pair);
        self.pairs.retain(|(of, a, b), _| *of != class || (is_waiting(*a) && is_waiting(*b)));
        let mut wrong = None;
        for (other, other_step) in &others {
            let (a, b, sign) = if tenant < *other { (tenant, *other, 1) } else { (*other, tenant, -1) };
            let pair = self.pairs.entry((class, a, b)).or_default();
            pair.lead += sign * cost.0;
            (pair.most, pair.least) = (pair.most.max(pair.lead), pair.least.min(pair.lead));
            // A message of each; twice, since one may have had its turn and wait behind another of its recipient.
            if pair.most - pair.least > 2 * parts_max * (cost.1 + other_step) {
                let what = format!("{a:?} and {b:?} in {class:?}: {pair:?} in parts by weight times {SCALE}");
                wrong = Some((Invariant::Turns, what));
            }
        }
        if !goes_on {
            self.part_with(class, tenant);
        }
        wrong
    }

    /// A tenant has no message that waits any more.
    fn part_with(&mut self, class: Class, tenant: TenantId) {
        self.pairs.retain(|(of, a, b), _| *of != class || (*a != tenant && *b != tenant));
    }

    fn judge_ceilings(&mut self, class: Class, ceiling: u32, now_ns: u64) -> Wrong {
        let mut wrong = None;
        for (level, recent) in self.recent.iter_mut().enumerate() {
            let waits = |held: &Held| held.class.index() > level && held.since_ns < now_ns;
            if !self.held.values().any(waits) {
                recent.clear();
            } else if class.index() >= level {
                recent.push_back(class.index() == level);
                recent.drain(..recent.len().saturating_sub(PARTS));
                let (all, own) = (recent.len() as u32, recent.iter().filter(|own| **own).count() as u32);
                if own > all * ceiling / 100 + slack(ceiling) {
                    let waits: Vec<_> = self.held.iter().filter(|(_, held)| waits(held)).take(3).collect();
                    let what = format!("{own} of {all} parts are of class {level}, and these wait: {waits:?}");
                    wrong = Some((Invariant::Ceiling, what));
                }
            }
        }
        wrong
    }
}
