//! The home of all counters: it gives shards permits to send, so that no counter ever has more within its span than its rule
//! allows.
//!
//! A shard asks for a set of counters; the home gives what all of them have room for, or keeps the ask until the first room
//! arises. A permit counts from when it is given until the span after its use is over; what was not used comes back. Nothing
//! polls: the home knows when the oldest use of a counter leaves its span.
//!
//! It is told the time. Refuses to know messages and lists.
//!
//! Calling order: [`Home::handle`], [`Home::set_rules`] or [`Home::handle_timeout`], then [`Home::poll_given`] until it is empty,
//! then sleep until [`Home::poll_timeout`].
//!
//! Invariants:
//! 1. An ask that is not answered waits at exactly one counter, or for the first words of a shard ([`ToHome::Hello`]).
//! 2. Nothing is given before every shard has said what it used before the start.
//! 3. Asks are answered in the order in which they came to the counter at which they wait, so none waits for ever.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::model::zone::QUARTER_MS;
use crate::model::{LimitId, Mono, Now, ReplyTo, SetNumber, ShardId, Sound, Wall, holds};

use super::rule::{Counter, LimitTable, Of, Rule, Span, Units};
use super::window::{SLOTS_MAX, Slot, Window};

/// A span is counted in this many coarse slots, so an even stream of many uses reaches this part of the amount less.
const SLOTS: u64 = SLOTS_MAX as u64 / 2;
/// The longest fine slot, ns: what waits wakes by so much later.
const FINE_NS_MAX: u64 = 2_000_000;
/// A use may be dated too early by some of this (`link/smpp/writes.rs`), and the way to a carrier may shorten a span by the rest.
const GUARD_NS: u64 = 3_000_000;
/// Instants are counted from here, ns, so that uses from before the machine started have one.
const EPOCH_NS: u64 = 1 << 62;

/// From a shard to the home.
#[derive(Clone, Debug)]
pub enum ToHome {
    /// What the shard had used when it started, by counter: when, and how much. `said`: the time on the clock of these; it may be
    /// set before the home hears of it.
    Hello { shard: ShardId, said: Now, used: Vec<(Counter, Vec<(Wall, Units)>)> },
    /// The shard wants permits.
    Ask(Asked),
    /// The shard wants none any more, and gives back what it has.
    Withdraw { shard: ShardId, set: SetNumber, counters: Arc<[Counter]>, unused: Units },
    /// Attempts have ended.
    Settled(Vec<Settled>),
    /// A door asks for the state of all counters.
    Look(ReplyTo),
}

/// Permits wanted for a set of counters. It replaces an earlier ask for the set.
#[derive(Clone, Debug)]
pub struct Asked {
    pub shard: ShardId,
    pub set: SetNumber,
    /// At least one.
    pub counters: Arc<[Counter]>,
    /// Most that is wanted.
    pub wanted: Units,
    /// Less than this is of no use.
    pub least: Units,
    /// Permits of earlier answers that the shard gives back.
    pub unused: Units,
}

/// Attempts of one set of counters that have ended.
#[derive(Clone, Debug)]
pub struct Settled {
    pub counters: Arc<[Counter]>,
    /// The permits that they had.
    pub given: Units,
    /// What was written.
    pub used: Units,
    /// When the last of it was written.
    pub at: Mono,
}

/// From the home to a shard: permits for a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    pub set: SetNumber,
    pub units: Units,
}

/// The state of a counter, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub counter: Counter,
    /// What counts now, in the unit of its rule: used within the span, or given and not used yet.
    pub used: u64,
    /// When it will have room, ms from now; `None` if it has room, or if that depends on attempts under way.
    pub wakes_in_ms: Option<u64>,
}

type AskKey = (ShardId, SetNumber);

/// One counter.
#[derive(Clone, Debug)]
struct Meter {
    counter: Counter,
    of: Of,
    amount: u64,
    span: Span,
    /// Permits whose attempts have not ended.
    given: Units,
    /// Uses: in ns since [`EPOCH_NS`], or in ms of the wall clock for a month.
    window: Window,
    /// Asks that wait for room here, the first first.
    waiting: VecDeque<AskKey>,
    /// When it is looked at again.
    wakes_at: Option<Mono>,
}

/// All counters; see the top of this file.
#[derive(Debug, Default)]
pub struct Home {
    table: Arc<LimitTable>,
    /// Shards that have not said what they used.
    silent: BTreeSet<ShardId>,
    meters: Vec<Meter>,
    numbers: BTreeMap<Counter, usize>,
    /// Asks without an answer, and the counter at which each waits.
    asks: BTreeMap<AskKey, (Asked, Option<usize>)>,
    wakes: BTreeSet<(Mono, usize)>,
    given: VecDeque<(ShardId, Given)>,
}

impl Meter {
    fn new(counter: Counter, rule: Option<&Rule>) -> Self {
        let mut meter = Self {
            counter,
            of: Of::Parts,
            amount: u64::MAX,
            span: Span::Sliding(1_000),
            given: Units::default(),
            window: Window::default(),
            waiting: VecDeque::new(),
            wakes_at: None,
        };
        meter.set_rule(rule);
        meter
    }

    /// Takes another amount, span or unit. Uses stay known, except where the clocks by which they are counted differ. A rule that is
    /// gone holds until the shards know it: what they ask for under it may count under another.
    fn set_rule(&mut self, rule: Option<&Rule>) {
        let Some(&Rule { of, amount, span, .. }) = rule else { return };
        if matches!(self.span, Span::Month(_)) != matches!(span, Span::Month(_)) {
            self.window.clear();
        }
        (self.of, self.amount, self.span) = (of, amount, span);
    }

    fn add(&mut self, ago_ns: u64, units: Units, now: Now) {
        match self.span {
            Span::Sliding(ms) => {
                let coarse = (ms * 1_000_000).div_ceil(SLOTS);
                let slot = Slot { fine: coarse.min(FINE_NS_MAX), coarse: Some(coarse) };
                self.window.add((EPOCH_NS + now.mono.0).saturating_sub(ago_ns), units, slot);
            }
            // In every zone months begin at a full quarter of an hour.
            Span::Month(_) => {
                let slot = Slot { fine: QUARTER_MS, coarse: None };
                self.window.add(now.wall.0.saturating_sub(ago_ns / 1_000_000), units, slot);
            }
        }
        self.expire(now);
    }

    fn expire(&mut self, now: Now) {
        let horizon = match self.span {
            Span::Sliding(ms) => (EPOCH_NS + now.mono.0).saturating_sub(ms * 1_000_000 + GUARD_NS),
            Span::Month(zone) => zone.month(now.wall).began.0,
        };
        self.window.expire(horizon);
    }

    const fn used(&self) -> u64 {
        self.window.sum().of(self.of) + self.given.of(self.of)
    }

    const fn room(&self) -> u64 {
        self.amount.saturating_sub(self.used())
    }

    /// When it has that much room if nothing comes back unused; `None`: it depends on attempts under way.
    fn room_at(&self, least: u64, now: Now) -> Option<Mono> {
        let mut lacks = least.saturating_sub(self.room());
        if lacks == 0 {
            return Some(now.mono);
        }
        for (end, units) in self.window.slots() {
            lacks = lacks.saturating_sub(units.of(self.of));
            match self.span {
                _ if lacks > 0 => {}
                Span::Sliding(ms) => return Some(Mono((end + ms * 1_000_000 + GUARD_NS).saturating_sub(EPOCH_NS))),
                Span::Month(zone) => return Some(now.mono_at(zone.month(now.wall).ends)),
            }
        }
        None
    }
}

/// What a rule of that unit gives of `units`, if it has that much room.
fn cut(units: &mut Units, of: Of, room: u64) {
    match of {
        Of::Parts => units.parts = units.parts.min(room),
        Of::Messages => units.messages = units.messages.min(room),
    }
    // Each message has at least one part.
    units.messages = units.messages.min(units.parts);
}

impl Home {
    /// Without counters. Gives nothing before each of these shards has said what it used.
    pub fn new(shards: impl IntoIterator<Item = ShardId>, table: Arc<LimitTable>) -> Self {
        Self { silent: shards.into_iter().collect(), table, ..Self::default() }
    }

    /// The rules have changed.
    pub fn set_rules(&mut self, table: &Arc<LimitTable>, now: Now) {
        self.table = Arc::clone(table);
        for meter in &mut self.meters {
            meter.set_rule(table.get(meter.counter.rule));
            meter.expire(now);
        }
        (0..self.meters.len()).for_each(|at| self.retry(at, now));
    }

    /// Takes in one item of mail, except [`ToHome::Look`], which is answered by [`Home::look`].
    pub fn handle(&mut self, mail: ToHome, now: Now) {
        match mail {
            ToHome::Hello { shard, said, used } => self.handle_hello(shard, said, used, now),
            ToHome::Ask(asked) => {
                let key = (asked.shard, asked.set);
                self.forget_ask(key);
                let (counters, unused) = (Arc::clone(&asked.counters), asked.unused);
                self.asks.insert(key, (asked, None));
                self.take_back(&counters, unused, now);
                self.answer(key, now);
            }
            ToHome::Withdraw { shard, set, counters, unused } => {
                self.forget_ask((shard, set));
                self.take_back(&counters, unused, now);
            }
            ToHome::Settled(settled) => {
                for Settled { counters, given, used, at } in settled {
                    let ago_ns = now.mono.since(at);
                    for number in self.numbers_of(&counters) {
                        self.meters[number].add(ago_ns, used, now);
                    }
                    self.take_back(&counters, given, now);
                }
            }
            ToHome::Look(_) => debug_assert!(false, "answered by the node"),
        }
    }

    fn handle_hello(&mut self, shard: ShardId, said: Now, used: Vec<(Counter, Vec<(Wall, Units)>)>, now: Now) {
        if !self.silent.remove(&shard) {
            return;
        }
        for (counter, uses) in used {
            let number = self.number(&counter);
            for (at, units) in uses {
                // A use that lies ahead was written under a clock that was wrong: it counts from now.
                let ago_ns = said.wall.since(at).saturating_mul(1_000_000).saturating_add(now.mono.since(said.mono));
                self.meters[number].add(ago_ns, units, now);
            }
        }
        if self.silent.is_empty() {
            // Shards know by when a part was written, and not since when. But no span held more than its amount, so where more
            // seems to lie in one, the oldest are older. Of as many, each of those kept is dated no earlier than it was.
            for meter in &mut self.meters {
                meter.expire(now);
                meter.window.keep_newest(meter.of, meter.amount);
            }
            let keys: Vec<AskKey> = self.asks.keys().copied().collect();
            keys.into_iter().for_each(|key| self.answer(key, now));
        }
    }

    fn number(&mut self, counter: &Counter) -> usize {
        if let Some(number) = self.numbers.get(counter) {
            return *number;
        }
        let number = self.meters.len();
        self.meters.push(Meter::new(counter.clone(), self.table.get(counter.rule)));
        self.numbers.insert(counter.clone(), number);
        number
    }

    fn numbers_of(&mut self, counters: &[Counter]) -> Vec<usize> {
        counters.iter().map(|counter| self.number(counter)).collect()
    }

    /// An ask is withdrawn, or replaced by another.
    fn forget_ask(&mut self, key: AskKey) {
        if let Some((_, Some(at))) = self.asks.remove(&key) {
            self.meters[at].waiting.retain(|known| *known != key);
        }
    }

    /// Permits come back: they were not used, or their use is counted.
    fn take_back(&mut self, counters: &[Counter], units: Units, now: Now) {
        for number in self.numbers_of(counters) {
            self.meters[number].given.take_off(units);
            self.retry(number, now);
        }
    }

    /// A counter may have room: answers the asks that wait for it, in order.
    fn retry(&mut self, number: usize, now: Now) {
        while let Some(key) = self.meters[number].waiting.pop_front() {
            self.answer(key, now);
            if self.meters[number].waiting.front() == Some(&key) {
                break;
            }
        }
        if self.meters[number].waiting.is_empty() {
            self.wake_at(number, None);
        }
    }

    fn wake_at(&mut self, number: usize, at: Option<Mono>) {
        if let Some(before) = std::mem::replace(&mut self.meters[number].wakes_at, at) {
            self.wakes.remove(&(before, number));
        }
        self.wakes.extend(at.map(|at| (at, number)));
    }

    /// Answers an ask, or makes it wait at the first counter that lacks room. One that was the first there is the first again.
    fn answer(&mut self, key: AskKey, now: Now) {
        let Some((asked, stood)) = self.asks.get_mut(&key) else { return };
        if !self.silent.is_empty() {
            return;
        }
        let (counters, mut units, least, was_first) = (Arc::clone(&asked.counters), asked.wanted, asked.least, *stood);
        *stood = None;
        let numbers = self.numbers_of(&counters);
        for &number in &numbers {
            let meter = &mut self.meters[number];
            meter.expire(now);
            cut(&mut units, meter.of, meter.room());
            let is_enough = units.messages >= least.messages && units.parts >= least.parts;
            let is_first = was_first == Some(number);
            if is_enough && (is_first || meter.waiting.is_empty()) {
                continue;
            }
            if is_first {
                meter.waiting.push_front(key)
            } else {
                meter.waiting.push_back(key)
            }
            let is_next = meter.waiting.front() == Some(&key);
            let at = if is_next { meter.room_at(least.of(meter.of), now) } else { meter.wakes_at };
            if let Some((_, stood)) = self.asks.get_mut(&key) {
                *stood = Some(number);
            }
            return self.wake_at(number, at);
        }
        if numbers.iter().all(|number| self.meters[*number].of == Of::Messages) {
            // Parts are not counted here, so they never lack.
            units.parts = units.messages * u64::from(u8::MAX);
        }
        for number in numbers {
            self.meters[number].given.add(units);
        }
        self.asks.remove(&key);
        self.given.push_back((key.0, Given { set: key.1, units }));
    }

    /// Counters have room now that asks wait for.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(&(at, number)) = self.wakes.first().filter(|(at, _)| *at <= now.mono) {
            self.wakes.remove(&(at, number));
            self.meters[number].wakes_at = None;
            self.retry(number, now);
        }
    }

    /// The next permits to be sent to a shard.
    pub fn poll_given(&mut self) -> Option<(ShardId, Given)> {
        self.given.pop_front()
    }

    /// When to call [`Home::handle_timeout`] next; `None`: nothing waits for a time.
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// The state of all counters whose rules exist, ascending by counter.
    pub fn look(&mut self, now: Now) -> Vec<Seen> {
        let (table, numbers, meters) = (&self.table, &self.numbers, &mut self.meters);
        let known = numbers.iter().filter(|(counter, _)| table.get(counter.rule).is_some());
        known
            .map(|(counter, number)| {
                let meter = &mut meters[*number];
                meter.expire(now);
                let is_spent = meter.room() == 0;
                let wakes_at = meter.room_at(1, now).filter(|_| is_spent);
                let wakes_in_ms = wakes_at.map(|at| at.since(now.mono).div_ceil(1_000_000));
                Seen { counter: counter.clone(), used: meter.used(), wakes_in_ms }
            })
            .collect()
    }

    /// How much of each rule is used: the largest share among its counters.
    pub fn used(&mut self, now: Now) -> Vec<(LimitId, f64)> {
        let mut most: BTreeMap<LimitId, f64> = self.table.rules.iter().map(|rule| (rule.id, 0.0)).collect();
        for meter in &mut self.meters {
            meter.expire(now);
            if let Some(known) = most.get_mut(&meter.counter.rule) {
                *known = known.max(meter.used() as f64 / meter.amount as f64);
            }
        }
        most.into_iter().collect()
    }

    /// Checks the invariants.
    ///
    /// # Errors
    /// The first one that does not hold.
    pub fn check(&self) -> Sound {
        let mut waits = 0;
        for (number, meter) in self.meters.iter().enumerate() {
            waits += meter.waiting.len();
            let stands = |key: &AskKey| self.asks.get(key).is_some_and(|(_, stood)| *stood == Some(number));
            holds!(1, meter.waiting.iter().all(stands), "{:?} wait at {:?}", meter.waiting, meter.counter);
            let first = meter.waiting.front().and_then(|key| self.asks.get(key)).map(|(asked, _)| asked.least);
            // One that can never be given is judged anew by its shard, and then withdrawn.
            let first = first.filter(|least| least.of(meter.of) <= meter.amount);
            let is_due = first.is_none() || meter.wakes_at.is_some() || !meter.given.is_zero();
            holds!(3, is_due, "nothing wakes {:?}", meter.counter);
        }
        let asks = self.asks.len();
        holds!(1, waits == asks || !self.silent.is_empty(), "{asks} are not answered, and {waits} wait");
        holds!(2, self.silent.is_empty() || self.given.is_empty(), "{:?} are silent", self.silent);
        Ok(())
    }
}

#[cfg(test)]
#[path = "home_tests.rs"]
mod tests;
