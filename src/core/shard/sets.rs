//! The sets of counters of a shard, and their numbers. Every message has one, given when it is admitted; when the rules change, or
//! under rules about carriers the carriers of its route, each message that waits gets another when its turn comes.
//!
//! If the carrier that sends a message decides on its counters, its set names one set for each carrier of its route, and permits are
//! taken for that of the carrier that takes it ([`Sets::over`]).
//!
//! Invariants:
//! 1. A number stands for one set for ever. Numbers are given in order from 0, without a gap; 0 is [`SetNumber::NONE`].
//! 2. A new number is recorded by the batch that is the first to use it ([`Sets::take_new`]).
//! 3. New messages get no new number beyond [`SETS_MAX`]; messages that are judged anew get none beyond twice that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use crate::limit::{Counter, CounterSet, LimitTable, Subject};
use crate::model::{CarrierId, Content, Head, LimitId, Refusal, RouteId, SetNumber, Sound, holds};

use super::catalog::Catalog;

/// Most sets of one shard that new messages can get.
pub(super) const SETS_MAX: usize = 1 << 16;

/// Carriers, and the counters of a message if they send it.
type Judged = Vec<(CarrierId, Vec<Counter>)>;

/// The sets of a shard; see the top of this file.
#[derive(Clone, Debug)]
pub(super) struct Sets {
    of: Vec<CounterSet>,
    numbers: BTreeMap<CounterSet, SetNumber>,
    /// How many of them are recorded by a batch.
    recorded: usize,
    table: Arc<LimitTable>,
    prints: Prints,
    reads_content: bool,
    reads_country: bool,
    /// What the last message was given: the next one is often alike.
    last: (CounterSet, SetNumber),
    /// The same of the last one on whose counters the carrier decides, and the print.
    last_by_carrier: (Judged, u64, SetNumber),
    /// New messages of this turn, by set, that are in no list yet. Only of sets over which messages are refused.
    entering: BTreeMap<SetNumber, u64>,
}

/// The prints of the sets that are not stale.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Prints {
    /// Of the rules.
    rules: u64,
    /// Of the rules and the carriers of a route, if rules look at carriers.
    by_route: BTreeMap<RouteId, u64>,
    all: BTreeSet<u64>,
}

impl Prints {
    fn of(catalog: &Catalog) -> Self {
        let rules = catalog.limits.print();
        let mut by_route = BTreeMap::new();
        if catalog.limits.reads_carrier() {
            for route in &catalog.routes.routes {
                let mut hash = Xxh3::with_seed(rules);
                hash.update(&route.id.0.to_le_bytes());
                route.ways.iter().for_each(|way| hash.update(&way.carrier.0.to_le_bytes()));
                by_route.insert(route.id, hash.digest());
            }
        }
        let all = by_route.values().copied().chain([rules]).collect();
        Self { rules, by_route, all }
    }

    /// The print of messages of that route.
    fn of_route(&self, route: RouteId) -> u64 {
        self.by_route.get(&route).copied().unwrap_or(self.rules)
    }
}

impl Sets {
    /// With all sets that were ever used, as they were recorded: from number 1.
    pub(super) fn recorded(recorded: Vec<CounterSet>) -> Self {
        let mut of = vec![CounterSet::default()];
        of.extend(recorded);
        let numbers = of.iter().cloned().zip((0..).map(SetNumber)).collect();
        Self {
            recorded: of.len(),
            of,
            numbers,
            table: Arc::default(),
            prints: Prints::default(),
            reads_content: false,
            reads_country: false,
            last: Default::default(),
            last_by_carrier: Default::default(),
            entering: BTreeMap::new(),
        }
    }

    /// Rules or routes have changed. Returns whether messages must be judged anew.
    pub(super) fn set_rules(&mut self, catalog: &Catalog) -> bool {
        let table = &catalog.limits;
        self.table = Arc::clone(table);
        (self.reads_content, self.reads_country) = (table.reads_content(), table.reads_country());
        let prints = Prints::of(catalog);
        let has_changed = prints != self.prints;
        if has_changed {
            self.prints = prints;
            (self.last, self.last_by_carrier) = Default::default();
        }
        has_changed
    }

    /// The set of a message under the present rules.
    ///
    /// # Errors
    /// [`Refusal::OverLimit`] if a limit can never let it pass, and [`Refusal::LimitsFull`] if there is no number left.
    pub(super) fn judge(
        &mut self,
        head: &Head,
        content: &[u8],
        catalog: &Catalog,
        sets_max: usize,
    ) -> Result<SetNumber, Refusal> {
        if self.table.is_empty() {
            return Ok(SetNumber::NONE);
        }
        let content =
            if self.reads_content { Content::decode(content).unwrap_or_default() } else { Content::default() };
        let Head { to, class, tenant, route, parts, .. } = *head;
        let numbering = catalog.numbering.as_ref().filter(|_| self.reads_country);
        let country = numbering.and_then(|numbering| numbering.country(to));
        let table = Arc::clone(&self.table);
        let counters = |carrier| {
            let subject = Subject { to, from: &content.from, class, tenant, carrier, tags: content.tags };
            let counters = table.counters(&subject, country);
            (!table.is_too_much(&counters, parts)).then_some(counters)
        };
        let print = self.prints.of_route(route);
        let ways = match catalog.routes.get(route) {
            Some(route) if !self.prints.by_route.is_empty() => route.ways.as_slice(),
            Some(_) | None => &[],
        };
        if ways.len() < 2 {
            let counters = counters(ways.first().map(|way| way.carrier)).ok_or(Refusal::OverLimit)?;
            return self.number(print, counters, sets_max);
        }
        let own = |carrier: CarrierId| Some((carrier, counters(Some(carrier))?));
        let judged: Judged = ways.iter().filter_map(|way| own(way.carrier)).collect();
        let (last, of, number) = &self.last_by_carrier;
        if *last == judged && *of == print && !last.is_empty() {
            return Ok(*number);
        }
        let Some((_, first)) = judged.first() else { return Err(Refusal::OverLimit) };
        if judged.len() == ways.len() && judged.iter().all(|(_, counters)| counters == first) {
            return self.number(print, first.clone(), sets_max);
        }
        let mut each = Vec::with_capacity(judged.len());
        for (carrier, counters) in &judged {
            each.push((*carrier, self.number(self.prints.rules, counters.clone(), sets_max)?));
        }
        let number = self.number_of(CounterSet { print, each: each.into(), ..CounterSet::default() }, sets_max)?;
        self.last_by_carrier = (judged, print, number);
        Ok(number)
    }

    fn number(&mut self, print: u64, counters: Vec<Counter>, sets_max: usize) -> Result<SetNumber, Refusal> {
        let (last, number) = &self.last;
        if *last.counters == counters && last.print == print && last.each.is_empty() && *number != SetNumber::NONE {
            return Ok(*number);
        }
        self.number_of(CounterSet { print, counters: counters.into(), ..CounterSet::default() }, sets_max)
    }

    fn number_of(&mut self, set: CounterSet, sets_max: usize) -> Result<SetNumber, Refusal> {
        let number = match self.numbers.get(&set) {
            Some(number) => *number,
            None if self.of.len() >= sets_max => return Err(Refusal::LimitsFull),
            None => {
                let number = SetNumber(self.of.len() as u32);
                self.of.push(set.clone());
                self.numbers.insert(set.clone(), number);
                number
            }
        };
        self.last = (set, number);
        Ok(number)
    }

    /// Whether one more new message may wait for that set, of which `waiting` are in lists: of a limit over which messages are
    /// refused, no more wait than it lets pass within its span.
    pub(super) fn admits(&mut self, set: SetNumber, waiting: impl FnOnce() -> u64, shards: u8) -> bool {
        let most = match &self.set(set).each[..] {
            [] => self.table.refused_over(self.counters(set)),
            // Each carrier lets through what its own counters allow.
            each => each.iter().map(|(_, set)| self.table.refused_over(self.counters(*set))).sum(),
        };
        let Some(most) = most else { return true };
        let entering = self.entering.entry(set).or_default();
        let is_admitted = waiting() + *entering < most.div_ceil(u64::from(shards.max(1)));
        *entering += u64::from(is_admitted);
        is_admitted
    }

    /// The new messages of this turn are in their lists.
    pub(super) fn entered(&mut self) {
        self.entering.clear();
    }

    fn set(&self, set: SetNumber) -> &CounterSet {
        self.of.get(set.0 as usize).unwrap_or(&self.of[0])
    }

    /// The counters of a set.
    pub(super) fn counters(&self, set: SetNumber) -> &Arc<[Counter]> {
        &self.set(set).counters
    }

    /// The counters of a set, or of all sets that it names.
    pub(super) fn counters_of_all(&self, set: SetNumber) -> impl Iterator<Item = &Counter> {
        let own = self.counters(set).iter();
        let named = self.each(set).iter().flat_map(|(_, counted)| self.counters(*counted).iter());
        own.chain(named).collect::<BTreeSet<_>>().into_iter()
    }

    /// For each carrier the set on which messages of that set count, if the carrier decides; otherwise empty.
    pub(super) fn each(&self, set: SetNumber) -> &Arc<[(CarrierId, SetNumber)]> {
        &self.set(set).each
    }

    /// The set on which a message of that set counts if this carrier sends it.
    pub(super) fn over(&self, set: SetNumber, carrier: CarrierId) -> SetNumber {
        let own = self.each(set).iter().find(|(own, _)| *own == carrier);
        own.map_or(set, |(_, counted)| *counted)
    }

    /// The sets that are not made of counters, with what they are made of.
    pub(super) fn by_carrier(&self) -> impl Iterator<Item = (SetNumber, &Arc<[(CarrierId, SetNumber)]>)> {
        let sets = (0..).map(SetNumber).zip(&self.of);
        sets.filter(|(_, set)| !set.each.is_empty()).map(|(number, set)| (number, &set.each))
    }

    /// Whether a set was made under other rules than the present ones.
    pub(super) fn is_stale(&self, set: SetNumber) -> bool {
        self.of.get(set.0 as usize).is_none_or(|known| !self.prints.all.contains(&known.print))
    }

    /// Whether the rule of that number exists.
    pub(super) fn has_rule(&self, id: LimitId) -> bool {
        self.table.get(id).is_some()
    }

    /// The numbers of all sets.
    pub(super) fn all(&self) -> impl Iterator<Item = SetNumber> + use<> {
        (0..self.of.len() as u32).map(SetNumber)
    }

    /// The sets that are new since [`Self::take_new`].
    pub(super) fn unrecorded(&self) -> impl Iterator<Item = SetNumber> + use<> {
        (self.recorded as u32..self.of.len() as u32).map(SetNumber)
    }

    /// The sets that no batch has recorded yet.
    pub(super) fn take_new(&mut self) -> Vec<(SetNumber, CounterSet)> {
        let first = std::mem::replace(&mut self.recorded, self.of.len());
        (first as u32..).map(SetNumber).zip(self.of[first..].iter().cloned()).collect()
    }

    /// Checks the invariants.
    ///
    /// # Errors
    /// The first one that does not hold.
    pub(super) fn check(&self) -> Sound {
        let (sets, numbers) = (self.of.len(), self.numbers.len());
        holds!(
            1,
            numbers == sets && self.of.first() == Some(&CounterSet::default()),
            "{numbers} numbers of {sets} sets"
        );
        let is_own = self.numbers.get(&self.of[sets - 1]) == Some(&SetNumber(sets as u32 - 1));
        holds!(1, is_own, "the last of {sets} has another number");
        holds!(2, self.recorded <= sets, "{} of {sets} are recorded", self.recorded);
        holds!(3, sets <= 2 * SETS_MAX, "{sets} sets");
        Ok(())
    }
}

#[cfg(test)]
#[path = "sets_tests.rs"]
mod tests;
