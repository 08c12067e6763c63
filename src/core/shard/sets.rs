//! The sets of counters of a shard, and their numbers. Every message has one, given when it is admitted; when the rules change, each
//! message that waits gets another when its turn comes.
//!
//! Invariants:
//! 1. A number stands for one set for ever. Numbers are given in order from 0, without a gap; 0 is [`SetNumber::NONE`].
//! 2. A new number is recorded by the batch that is the first to use it ([`Sets::take_new`]).
//! 3. New messages get no new number beyond [`SETS_MAX`]; messages that are judged anew get none beyond twice that.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::limit::{Counter, CounterSet, LimitTable, Subject};
use crate::model::{Content, Head, LimitId, Refusal, SetNumber, Sound, holds};

use super::catalog::Catalog;

/// Most sets of one shard that new messages can get.
pub(super) const SETS_MAX: usize = 1 << 16;

/// The sets of a shard; see the top of this file.
#[derive(Clone, Debug)]
pub(super) struct Sets {
    of: Vec<CounterSet>,
    numbers: BTreeMap<CounterSet, SetNumber>,
    /// How many of them are recorded by a batch.
    recorded: usize,
    table: Arc<LimitTable>,
    /// Of the present rules.
    print: u64,
    reads_content: bool,
    /// What the last message was given: the next one is often alike.
    last: (Vec<Counter>, SetNumber),
    /// New messages of this turn, by set, that are in no list yet. Only of sets over which messages are refused.
    entering: BTreeMap<SetNumber, u64>,
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
            print: 0,
            reads_content: false,
            last: Default::default(),
            entering: BTreeMap::new(),
        }
    }

    /// The rules have changed. Returns whether messages must be judged anew.
    pub(super) fn set_rules(&mut self, table: &Arc<LimitTable>) -> bool {
        let print = table.print();
        self.table = Arc::clone(table);
        self.reads_content = table.reads_content();
        let has_changed = print != std::mem::replace(&mut self.print, print);
        if has_changed {
            self.last = Default::default();
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
        let ways = catalog.routes.get(head.route).map(|route| route.ways.as_slice());
        let carrier = ways.and_then(|ways| if let [only] = ways { Some(only.carrier) } else { None });
        let Head { to, class, tenant, .. } = *head;
        let subject = Subject { to, from: &content.from, class, tenant, carrier, tags: content.tags };
        let country = || catalog.numbering.as_ref().and_then(|numbering| numbering.country(to));
        let counters = self.table.counters(&subject, country);
        if self.table.is_too_much(&counters, head.parts) {
            return Err(Refusal::OverLimit);
        }
        if self.last.0 == counters && self.last.1 != SetNumber::NONE {
            return Ok(self.last.1);
        }
        let set = CounterSet { print: self.print, counters: counters.as_slice().into() };
        let number = match self.numbers.get(&set) {
            Some(number) => *number,
            None if self.of.len() >= sets_max => return Err(Refusal::LimitsFull),
            None => {
                let number = SetNumber(self.of.len() as u32);
                self.of.push(set.clone());
                self.numbers.insert(set, number);
                number
            }
        };
        self.last = (counters, number);
        Ok(number)
    }

    /// Whether one more new message may wait for that set, of which `waiting` are in lists: of a limit over which messages are
    /// refused, no more wait than it lets pass within its span.
    pub(super) fn admits(&mut self, set: SetNumber, waiting: impl FnOnce() -> u64, shards: u8) -> bool {
        let Some(most) = self.table.refused_over(self.counters(set)) else { return true };
        let entering = self.entering.entry(set).or_default();
        let is_admitted = waiting() + *entering < most.div_ceil(u64::from(shards.max(1)));
        *entering += u64::from(is_admitted);
        is_admitted
    }

    /// The new messages of this turn are in their lists.
    pub(super) fn entered(&mut self) {
        self.entering.clear();
    }

    /// The counters of a set.
    pub(super) fn counters(&self, set: SetNumber) -> &Arc<[Counter]> {
        let unknown = &self.of[0];
        &self.of.get(set.0 as usize).unwrap_or(unknown).counters
    }

    /// Whether a set was made under other rules than the present ones.
    pub(super) fn is_stale(&self, set: SetNumber) -> bool {
        self.of.get(set.0 as usize).is_none_or(|known| known.print != self.print)
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
