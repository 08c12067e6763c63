//! What limits promise, judged by what sockets accepted: within the span of a rule, none of its counters ever holds more than the rule
//! allows. Finds out by itself on which counters a message counts. Knows each part at the instant of its write, and since when each
//! rule is in force. Refuses to know who gives permits.
//!
//! - For a rule in parts each part counts 1, for a rule in messages each attempt of which something was written. A part that its
//!   carrier throttles is written again by the same attempt, and counts once in a window.
//! - A window is judged if it lies within one version of its rule. An attempt does not count for a rule that is newer than its permit:
//!   shards may use permits for a while that they were given before a reload.
//! - A clock that was set while there was no process may cost each counter one window: the start cannot know how old a use is. The
//!   same holds if the process died soon after the clock was set.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::limit::{Of, Over, Per, Rule, Span, Value, When};
use crate::model::calendar::{DAY_MS, civil_from_days};
use crate::model::{Address, CarrierId, Content, Country, Head, SenderId, ShardId, Wall, Zone};
use crate::store::record::AttemptNote;
use crate::traffic::Submit;

use super::agenda::MS;
use super::contract::carrier_id;
use super::limits::country_of;
use super::oracle::{Intent, Invariant, Oracle};
use super::part::PartSeen;
use super::tally::{Count, Tally};

/// How long after a reload shards may use permits that they were given before it: they keep permits for a second, and their mail takes
/// time.
const PERMITS_NS: u64 = 1_500 * MS;

/// How long a process has time to record that the clock was set.
const RECORDED_NS: u64 = 30_000 * MS;

/// The zones of these worlds, and by how many minutes their clocks are ahead of UTC from November to February, when worlds are.
pub(super) const ZONES: [(&str, i64); 6] = [
    ("UTC", 0),
    ("Europe/Berlin", 60),
    ("Asia/Kathmandu", 345),
    ("America/St_Johns", -210),
    ("America/New_York", -300),
    ("Pacific/Kiritimati", 840),
];

/// By how many minutes the clocks of that zone are ahead.
pub(super) fn zone_minutes(zone: Zone) -> i64 {
    ZONES[zone_at(zone)].1
}

fn zone_at(zone: Zone) -> usize {
    ZONES.iter().position(|(name, _)| *name == zone.name()).unwrap_or(0)
}

/// What counts 1: message, attempt, and the part, or 0 for a rule in messages.
type Written = (u32, u32, u8);

/// What counts on one counter.
#[derive(Debug, Default)]
struct Counted {
    /// When each was written, ns; the oldest first. Those that have left the window are removed.
    uses: VecDeque<(u64, Written)>,
    /// The same by month of the calendar.
    months: BTreeMap<i64, BTreeSet<Written>>,
}

/// A rule as it is in force now.
#[derive(Debug)]
struct Version {
    rule: Rule,
    /// Permits that were given before are used by then, ns.
    settled_ns: u64,
    /// By shard: attempts count from this batch on.
    from: BTreeMap<ShardId, u64>,
    counters: BTreeMap<Value, Counted>,
}

/// The newest attempt of a message.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    number: u32,
    shard: ShardId,
    /// The batch that recorded it.
    batch: u64,
}

/// What months the wall clock showed in one zone.
#[derive(Debug, Default)]
struct Months {
    now: i64,
    seen: BTreeSet<i64>,
    /// It went back from one month to an earlier one: then it is not known in which of them something counts.
    turned_back: bool,
}

/// What was seen of limits; of worlds without limits nothing.
#[derive(Debug, Default)]
pub struct Limited {
    versions: Vec<Version>,
    /// Every version of a rule that was ever in force.
    ever: Vec<Rule>,
    /// How many there are. Each has a route with its own number; any other route leads over all.
    carriers: u16,
    /// Batches of each shard so far.
    batches: BTreeMap<ShardId, u64>,
    begun: BTreeMap<(ShardId, Address), u64>,
    attempts: BTreeMap<u32, Attempt>,
    /// By place in [`ZONES`].
    months: [Months; ZONES.len()],
    /// The wall clock was set, and no process has started since; or when it was set last under a process, ns.
    set_while_down: bool,
    set_at_ns: Option<u64>,
    /// Some counter was full at some time; some messages were parked; both were told.
    bit: [bool; 3],
}

/// What rules look at in a message.
#[derive(Debug)]
struct Facts<'a> {
    head: &'a Head,
    from: SenderId,
    tags: Vec<&'a str>,
    carrier: Option<CarrierId>,
    country: Option<Country>,
}

impl<'a> Facts<'a> {
    fn of(intent: &'a Intent, carrier: Option<CarrierId>) -> Self {
        let content = Content::decode(&intent.content).unwrap_or_default();
        let tags = content.tags.split(',').filter(|tag| !tag.is_empty()).collect();
        let country = country_of(intent.head.to.number());
        Self { head: &intent.head, from: content.from, tags, carrier, country }
    }

    fn fit(&self, when: &When) -> bool {
        let is_sender = |pattern: &String| match pattern.split_once('*') {
            Some((beginning, _)) => self.from.as_str().starts_with(beginning),
            None => self.from.as_str() == pattern,
        };
        let is_here = |tag: &String| self.tags.contains(&tag.as_str());
        (when.countries.is_empty() || when.countries.iter().any(|country| Some(*country) == self.country))
            && (when.classes.is_empty() || when.classes.contains(&self.head.class))
            && (when.tenants.is_empty() || when.tenants.contains(&self.head.tenant))
            && (when.carriers.is_empty() || when.carriers.iter().any(|carrier| Some(*carrier) == self.carrier))
            && (when.tags.is_empty() || when.tags.iter().any(is_here))
            && (when.senders.is_empty() || when.senders.iter().any(is_sender))
    }

    /// The values for which the message counts under this rule.
    fn values(&self, rule: &Rule) -> BTreeSet<Value> {
        if !self.fit(&rule.when) {
            return BTreeSet::new();
        }
        match rule.per {
            Per::All => BTreeSet::from([Value::All]),
            Per::Tenant => BTreeSet::from([Value::Tenant(self.head.tenant)]),
            Per::Carrier => self.carrier.map(Value::Carrier).into_iter().collect(),
            Per::Sender => BTreeSet::from([Value::Sender(self.from)]),
            Per::Country => self.country.map(Value::Country).into_iter().collect(),
            Per::Tag => self.tags.iter().map(|tag| Value::Tag((*tag).to_owned())).collect(),
        }
    }
}

impl Counted {
    /// Counts what was written; gives how much its window holds now.
    fn within(&mut self, written: Written, at_ns: u64, span_ns: u64) -> u64 {
        self.uses.push_back((at_ns, written));
        while self.uses.front().is_some_and(|(first_ns, _)| first_ns + span_ns <= at_ns) {
            self.uses.pop_front();
        }
        self.uses.iter().map(|(_, written)| written).collect::<BTreeSet<_>>().len() as u64
    }

    /// Counts what was written; gives how much the month holds now, or several months together, and how many these are.
    fn within_month(&mut self, written: Written, months: &Months) -> (u64, u64) {
        let of_now = self.months.entry(months.now).or_default();
        of_now.insert(written);
        if !months.turned_back {
            return (of_now.len() as u64, 1);
        }
        (self.months.values().map(BTreeSet::len).sum::<usize>() as u64, months.seen.len() as u64)
    }
}

impl Months {
    fn show(&mut self, wall: Wall, ahead_minutes: i64) {
        let shown = wall.0.saturating_add_signed(ahead_minutes * 60_000);
        let (year, month, _) = civil_from_days((shown / DAY_MS) as i64);
        let before = std::mem::replace(&mut self.now, year * 12 + month);
        self.turned_back |= self.now < before;
        self.seen.insert(self.now);
    }
}

impl Limited {
    /// The world begins with these rules.
    pub fn begin(&mut self, shards: u8, carriers: u16, rules: &[Rule]) {
        self.carriers = carriers;
        self.batches = (0..shards).map(|shard| (ShardId(shard), 0)).collect();
        self.set_rules(rules, 0);
        for version in &mut self.versions {
            version.settled_ns = 0;
            version.from.clear();
        }
    }

    /// From now on these rules are in force. What each shard has taken by now is in its next batch at the latest.
    pub fn set_rules(&mut self, rules: &[Rule], now_ns: u64) {
        let from: BTreeMap<_, _> = self.batches.iter().map(|(shard, batches)| (*shard, batches + 2)).collect();
        let mut before = std::mem::take(&mut self.versions);
        for rule in rules {
            // What happens to a message that finds the counter spent does not matter here.
            let same = |known: &Version| Rule { over: rule.over, ..known.rule.clone() } == *rule;
            let version = match before.iter().position(same) {
                Some(at) => Version { rule: rule.clone(), ..before.swap_remove(at) },
                None => Version {
                    rule: rule.clone(),
                    settled_ns: now_ns + PERMITS_NS,
                    from: from.clone(),
                    counters: BTreeMap::new(),
                },
            };
            self.versions.push(version);
            if !self.ever.contains(rule) {
                self.ever.push(rule.clone());
            }
        }
    }

    /// A shard gives a batch to its disk, with the attempts that begin in it.
    pub fn begun(&mut self, shard: ShardId, attempts: &[AttemptNote], now_ns: u64) {
        let Some(batch) = self.batches.get_mut(&shard) else { return };
        *batch += 1;
        for version in self.versions.iter_mut().filter(|version| now_ns < version.settled_ns) {
            version.from.insert(shard, *batch + 2);
        }
        for attempt in attempts {
            self.begun.insert((shard, Address::from_packed(attempt.address)), *batch);
        }
    }

    /// A shard hands an attempt to a link.
    pub fn handed_over(&mut self, shard: ShardId, submit: &Submit) {
        let Some(batch) = self.begun.get(&(shard, submit.address)).copied() else { return };
        let (from, bytes) = (submit.head.content_at as usize, submit.head.content_len as usize);
        let content = submit.arena.get(from..from + bytes).unwrap_or_default();
        let Some(message) = PartSeen::number_in(content) else { return };
        let number = self.attempts.get(&message).map_or(1, |before| before.number + 1);
        self.attempts.insert(message, Attempt { number, shard, batch });
    }

    /// A process starts: everything that its shards begin is judged by the present rules.
    pub fn started(&mut self, wall: Wall, now_ns: u64) -> bool {
        let is_recent = self.set_at_ns.take().is_some_and(|set_ns| now_ns < set_ns + RECORDED_NS);
        let is_unsure = std::mem::take(&mut self.set_while_down) || is_recent;
        for version in &mut self.versions {
            version.settled_ns = 0;
            for (shard, from) in &mut version.from {
                *from = self.batches.get(shard).map_or(*from, |batches| batches + 1).min(*from);
            }
            if is_unsure {
                version.counters.clear();
            }
        }
        if is_unsure {
            self.months = Default::default();
        }
        self.show(wall);
        is_unsure
    }

    fn show(&mut self, wall: Wall) {
        for (months, (_, ahead_minutes)) in self.months.iter_mut().zip(ZONES) {
            months.show(wall, ahead_minutes);
        }
    }

    /// The process stalls: permits that it has may be used when it goes on.
    pub fn stalls(&mut self, now_ns: u64, until_ns: u64) {
        for version in self.versions.iter_mut().filter(|version| now_ns < version.settled_ns) {
            version.settled_ns = until_ns + PERMITS_NS;
        }
    }

    /// The wall clock was set.
    pub fn clock_is_set(&mut self, (before, after): (Wall, Wall), is_down: bool, now_ns: u64) {
        self.show(before);
        self.show(after);
        if before != after && is_down {
            self.set_while_down = true;
        } else if before != after {
            self.set_at_ns = Some(now_ns);
        }
    }

    /// So many messages wait because of a limit. True once, when a limit was reached and messages have waited.
    pub fn note_parked(&mut self, parked: u64) -> bool {
        self.bit[1] |= parked > 0;
        let has_bit = self.bit[0] && self.bit[1];
        !std::mem::replace(&mut self.bit[2], has_bit) && has_bit
    }

    /// Whether a message counts on a rule, in any version of it, of which that is true.
    fn any(&self, intent: &Intent, is_such: impl Fn(&Rule) -> bool) -> bool {
        let carriers = match intent.head.route.0 {
            own if own <= self.carriers => own..=own,
            _ => 1..=self.carriers,
        };
        let facts: Vec<_> = carriers.map(|carrier| Facts::of(intent, Some(CarrierId(carrier)))).collect();
        let counts = |rule: &Rule| facts.iter().any(|facts| !facts.values(rule).is_empty());
        self.ever.iter().filter(|rule| is_such(rule)).any(counts)
    }

    /// A part of a message is written. Gives what it did to its counters.
    fn wrote(&mut self, (message, part): (u32, u8), facts: &Facts<'_>, now: (u64, Wall)) -> Option<Told> {
        let Attempt { number, shard, batch } = *self.attempts.get(&message)?;
        self.show(now.1);
        let mut told = Told { full: false, over: None };
        for Version { rule, from, counters, .. } in &mut self.versions {
            if from.get(&shard).is_some_and(|from| batch < *from) {
                continue;
            }
            let written = (message, number, if rule.of == Of::Parts { part } else { 0 });
            for value in facts.values(rule) {
                let counted = counters.entry(value.clone()).or_default();
                let (count, times) = match rule.span {
                    Span::Sliding(ms) => (counted.within(written, now.0, ms * MS), 1),
                    Span::Month(zone) => counted.within_month(written, &self.months[zone_at(zone)]),
                };
                told.full |= count >= rule.amount * times;
                if count > rule.amount * times {
                    let (uses, last) = (&counted.uses, (written, batch, &*from));
                    let what = || format!("{count} in {times} spans on {value:?} of {rule:?}: {uses:?}, last {last:?}");
                    told.over.get_or_insert_with(what);
                }
            }
        }
        self.bit[0] |= told.full;
        Some(told)
    }
}

/// What a part did to the counters on which it counts.
#[derive(Debug)]
struct Told {
    /// One of them is full now.
    full: bool,
    /// One of them has more than it may.
    over: Option<String>,
}

impl Oracle {
    /// A part is written to a carrier's connection.
    pub fn counts(&mut self, carrier: usize, part: &PartSeen, now: (u64, Wall), tally: &mut Tally) {
        let Self { limited, truths, .. } = self;
        let truth = part.message.and_then(|number| Some((number, truths.get(number as usize)?)));
        let Some((number, truth)) = truth.filter(|_| !limited.versions.is_empty()) else { return };
        let facts = Facts::of(&truth.intent, Some(carrier_id(carrier)));
        let Some(told) = limited.wrote((number, part.part), &facts, now) else { return };
        tally.add_many(Count::LimitsReached, u64::from(told.full));
        if part.part == 1 {
            self.note_pace(carrier, now.0);
        }
        if let Some(what) = told.over {
            self.break_at(Invariant::Limits, what);
        }
    }

    /// Whether a message may be refused because of a limit: one that refuses, or one that never lets that many parts through.
    pub(super) fn may_be_over_limit(&self, message: u32) -> bool {
        let intent = &self.truths[message as usize].intent;
        self.may_never_pass(intent) || self.limited.any(intent, |rule| rule.over == Over::Refuse)
    }

    /// Whether a limit has never let as many parts through at once as the message has.
    pub(super) fn may_never_pass(&self, intent: &Intent) -> bool {
        let parts = u64::from(intent.head.parts);
        self.limited.any(intent, |rule| rule.of == Of::Parts && rule.amount < parts)
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{LimitId, Msisdn, RouteId, TenantId};

    use super::*;

    const SECOND: u64 = 1_000 * MS;

    fn rule(of: Of, amount: u64, span: Span) -> Rule {
        let (name, when) = (String::new(), When::default());
        Rule { id: LimitId(1), name, when, per: Per::Tenant, of, amount, span, over: Over::Wait }
    }

    fn intent(tenant: u32, tags: &str) -> Intent {
        let mut content = Vec::new();
        let from = SenderId::parse("AcmeOne").expect("a sender");
        Content { from, body: b"x", tags, ..Content::default() }.encode(&mut content);
        let to = Msisdn::from_number(436_601_000_001).expect("a number");
        let head = Head { to, tenant: TenantId(tenant), route: RouteId(1), ..Head::default() };
        Intent { shard: ShardId(0), head, content, key: None }
    }

    /// A world in which the first attempt of each message is in the first batch.
    fn seen(rule: Rule) -> Limited {
        let mut seen = Limited::default();
        seen.begin(1, 1, &[rule]);
        for message in 0..10 {
            seen.attempts.insert(message, Attempt { number: 1, shard: ShardId(0), batch: 1 });
        }
        seen
    }

    fn is_over(seen: &mut Limited, part: (u32, u8), tenant: u32, at: (u64, Wall)) -> bool {
        let intent = intent(tenant, "");
        let told = seen.wrote(part, &Facts::of(&intent, None), at);
        told.is_some_and(|told| told.over.is_some())
    }

    #[test]
    fn no_window_holds_more_than_is_allowed() {
        let mut seen = seen(rule(Of::Parts, 2, Span::Sliding(10_000)));
        let mut is_over = |part, tenant, at_s: u64| is_over(&mut seen, part, tenant, (at_s * SECOND, Wall(0)));
        let first = [is_over((0, 1), 1, 1), is_over((0, 1), 1, 2), is_over((0, 2), 1, 3), is_over((1, 1), 2, 3)];
        assert_eq!(first, [false; 4], "written again it counts once, and another tenant counts apart");
        assert!(is_over((2, 1), 1, 10));
        assert!(!is_over((3, 1), 1, 13), "exactly ten seconds later the first part has left the window");
    }

    #[test]
    fn a_message_counts_once_for_each_attempt() {
        let mut seen = seen(rule(Of::Messages, 1, Span::Sliding(10_000)));
        let at = (0, Wall(0));
        assert_eq!([(0, 1), (0, 2), (0, 3)].map(|part| is_over(&mut seen, part, 1, at)), [false; 3]);
        seen.attempts.insert(0, Attempt { number: 2, shard: ShardId(0), batch: 1 });
        assert!(is_over(&mut seen, (0, 3), 1, at));
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        let mut seen = seen(rule(Of::Messages, 1, Span::Month(Zone::UTC)));
        let december = 1_796_083_200_000;
        assert!(!is_over(&mut seen, (0, 1), 1, (0, Wall(december - 1))));
        assert!(!is_over(&mut seen, (1, 1), 1, (1, Wall(december))));
        seen.clock_is_set((Wall(december), Wall(december - 5)), false, 2);
        assert!(is_over(&mut seen, (2, 1), 1, (2, Wall(december - 5))), "two months, and three messages");
    }

    #[test]
    fn months_are_those_of_the_zone() {
        let zone = Zone::parse("Asia/Kathmandu").expect("a zone");
        let mut seen = seen(rule(Of::Messages, 1, Span::Month(zone)));
        let december = 1_796_083_200_000 - 345 * 60_000;
        assert!(!is_over(&mut seen, (0, 1), 1, (0, Wall(december - 1))));
        assert!(!is_over(&mut seen, (1, 1), 1, (1, Wall(december))));
        assert!(
            is_over(&mut seen, (2, 1), 1, (2, Wall(december + 345 * 60_000))),
            "nothing begins with December in UTC"
        );
    }

    #[test]
    fn only_a_clock_that_was_set_before_a_start_costs_a_window() {
        let over_after = |set: Option<(bool, u64)>| {
            let mut seen = seen(rule(Of::Parts, 1, Span::Sliding(3_600_000)));
            is_over(&mut seen, (0, 1), 1, (0, Wall(0)));
            if let Some((is_down, at_s)) = set {
                seen.clock_is_set((Wall(5), Wall(9)), is_down, at_s * SECOND);
            }
            seen.started(Wall(9), 100 * SECOND);
            is_over(&mut seen, (1, 1), 1, (101 * SECOND, Wall(9)))
        };
        assert_eq!(
            [None, Some((true, 20)), Some((false, 90)), Some((false, 20))].map(over_after),
            [true, false, false, true]
        );
    }

    #[test]
    fn what_a_shard_began_before_a_reload_does_not_count_for_new_rules() {
        let mut seen = seen(rule(Of::Parts, 5, Span::Month(Zone::UTC)));
        seen.begun(ShardId(0), &[], 0);
        seen.set_rules(&[rule(Of::Parts, 1, Span::Month(Zone::UTC))], 0);
        seen.begun(ShardId(0), &[], SECOND);
        let mut in_batch = |message, batch| {
            seen.attempts.insert(message, Attempt { number: 1, shard: ShardId(0), batch });
            is_over(&mut seen, (message, 1), 1, (0, Wall(0)))
        };
        assert_eq!(
            [(0, 1), (1, 3), (2, 4), (3, 4)].map(|(message, batch)| in_batch(message, batch)),
            [false, false, false, true]
        );
    }

    #[test]
    fn rules_look_at_what_they_say() {
        let intent = intent(3, "a,c");
        let facts = Facts::of(&intent, Some(CarrierId(2)));
        let values = |per, when| facts.values(&Rule { per, when, ..rule(Of::Parts, 1, Span::Month(Zone::UTC)) });
        let country = Country::new("AT").expect("a country");
        assert_eq!(values(Per::Country, When::default()), BTreeSet::from([Value::Country(country)]));
        let tags = ["a", "c"].map(|tag| Value::Tag(tag.to_owned()));
        assert_eq!(values(Per::Tag, When { senders: vec!["Acme*".into()], ..When::default() }), BTreeSet::from(tags));
        assert!(values(Per::All, When { senders: vec!["Acme".into()], ..When::default() }).is_empty());
        assert!(values(Per::All, When { carriers: vec![CarrierId(1)], ..When::default() }).is_empty());
    }
}
