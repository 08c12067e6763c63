//! The permits that this shard has of its sets of counters: asks the home of the counters for them, and opens the gate of a set for
//! links while it has some.
//!
//! A permit is for one message, and for a number of parts. An attempt takes its permit when it is recorded; when it has ended, the
//! home is told what was written and when. Permits that no attempt takes within a second go back.
//!
//! Invariants:
//! 1. A set for which permits are asked has none, and its gate is not open; permits that a set has go back at a known time.

use std::collections::{BTreeMap, BTreeSet};

use crate::delivery::EndedPermit;
use crate::limit::{Asked, Counter, Given, Settled, ToHome, Units};
use crate::model::{LimitId, Mono, SetNumber, Sound, Wall, holds};
use crate::queue::{Gate, Lanes};
use crate::store::record::UsesNote;

use super::event::Effect;
use super::turn::Turn;
use super::uses::Uses;

/// Most permits asked for at once.
const ASKED_MAX: u64 = 8_192;
/// Uses of a set within this time are told as one, ns.
const TOGETHER_NS: u64 = 1_000_000;
/// Permits that no attempt takes go back after this time.
const HELD_NS: u64 = 1_000_000_000;

/// The permits of one set.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    units: Units,
    /// The home has not answered the last ask.
    is_asked: bool,
    /// When the permits go back.
    until: Mono,
    /// Parts of the message that lacked permits last.
    least: u8,
}

/// What attempts of one set have used, and when, since the home was last told.
#[derive(Clone, Copy, Debug, Default)]
struct Ended {
    given: Units,
    used: Units,
    at: Mono,
}

/// The permits of a shard; see the top of this file.
#[derive(Debug, Default)]
pub(super) struct Permits {
    held: BTreeMap<SetNumber, Held>,
    /// When permits go back, by set.
    until: BTreeSet<(Mono, SetNumber)>,
    /// Sets to be looked at when the turn ends.
    looked_at: BTreeSet<SetNumber>,
    /// By set, and by when it was used: what leaves together is told together, under the latest of its instants.
    ended: BTreeMap<(SetNumber, u64), Ended>,
    uses: Uses,
    /// The home was told what was used before the start.
    has_said: bool,
}

impl Permits {
    /// Whether a message of that many parts may count on a set; then its permit is taken.
    pub(super) fn take(&mut self, turn: &Turn, set: SetNumber, parts: u8) -> bool {
        if turn.sets.counters(set).is_empty() {
            return true;
        }
        self.looked_at.insert(set);
        let Some(held) = self.held.get_mut(&set) else { return false };
        let wanted = Units::message(parts);
        let is_given = held.units.messages >= wanted.messages && held.units.parts >= wanted.parts;
        if is_given {
            held.units.take_off(wanted);
        } else {
            held.least = parts;
        }
        is_given
    }

    /// A message for which a permit was taken is not sent after all.
    pub(super) fn put_back(&mut self, turn: &Turn, set: SetNumber, parts: u8) {
        if !turn.sets.counters(set).is_empty() {
            let held = self.held.entry(set).or_default();
            held.units.add(Units::message(parts));
            self.until.insert((held.until, set));
            self.looked_at.insert(set);
        }
    }

    /// Takes in attempts that have ended. What an attempt from before the start has used is not known, so it counts as all of it,
    /// at `at`.
    pub(super) fn end(&mut self, turn: &Turn, ended: impl IntoIterator<Item = EndedPermit>, at: Wall) {
        // What ends one after the other is mostly of one set.
        let mut run = (SetNumber::NONE, Units::default());
        for EndedPermit { set, carrier, parts, permit } in ended {
            let set = turn.sets.over(set, carrier);
            let counters = turn.sets.counters(set);
            if counters.is_empty() {
                continue;
            }
            let used = match permit.given {
                false => Units::message(parts),
                true if permit.written > 0 => Units::message(permit.written),
                true => Units::default(),
            };
            if run.0 != set {
                self.add_uses(turn, std::mem::replace(&mut run, (set, Units::default())), at);
            }
            run.1.add(used);
            if permit.given {
                let own = self.ended.entry((set, permit.at.0 / TOGETHER_NS)).or_default();
                own.given.add(Units::message(parts));
                own.used.add(used);
                // Of an attempt of which nothing was written it is 0.
                own.at = own.at.max(permit.at);
            }
        }
        self.add_uses(turn, run, at);
    }

    fn add_uses(&mut self, turn: &Turn, (set, used): (SetNumber, Units), at: Wall) {
        turn.sets.counters(set).iter().for_each(|counter| self.uses.add(counter, at, used));
    }

    /// The rules are others, or it is the first that this shard knows of: sets of other rules are stale.
    pub(super) fn handle_rules(&mut self, turn: &mut Turn, lanes: &mut Lanes, has_changed: bool) {
        let is_first = !std::mem::replace(&mut self.has_said, true);
        if has_changed || is_first {
            for set in turn.sets.all() {
                if turn.sets.is_stale(set) {
                    self.give_back(turn, set);
                    lanes.set_gate(set, Gate::Stale);
                } else {
                    self.begin(turn, lanes, set);
                }
            }
        }
        if is_first {
            let used =
                self.uses.iter().map(|(counter, own)| (counter.clone(), own.iter().copied().collect())).collect();
            turn.prompt.push_back(Effect::Home(ToHome::Hello { shard: turn.options.shard, said: turn.now, used }));
        }
    }

    pub(super) fn clock_jumped(&mut self, ms: i64) {
        self.uses.shift(ms);
    }

    /// A set is used for the first time, or again.
    pub(super) fn begin(&mut self, turn: &Turn, lanes: &mut Lanes, set: SetNumber) {
        let each = turn.sets.each(set);
        if !each.is_empty() {
            lanes.set_each(set, each);
        }
        if turn.sets.counters(set).is_empty() {
            lanes.set_gate(set, Gate::Open);
        } else if lanes.gate(set) == Gate::Stale {
            lanes.set_gate(set, Gate::Shut);
            self.looked_at.insert(set);
        }
    }

    /// The home has answered.
    pub(super) fn handle_given(&mut self, turn: &mut Turn, lanes: &mut Lanes, given: Given) {
        let Given { set, units } = given;
        let until = turn.now.mono.after_ns(HELD_NS);
        let held = self.held.entry(set).or_default();
        held.units.add(units);
        held.is_asked = false;
        self.until.remove(&(held.until, set));
        held.until = until;
        self.until.insert((until, set));
        if lanes.gate(set) == Gate::Shut && lanes.waiting_of(set) > 0 {
            lanes.set_gate(set, Gate::Open);
        } else {
            self.give_back(turn, set);
        }
    }

    /// Gives back what is left of a set's permits, and withdraws the ask.
    fn give_back(&mut self, turn: &mut Turn, set: SetNumber) {
        let Some(held) = self.held.remove(&set) else { return };
        self.until.remove(&(held.until, set));
        if held.is_asked || !held.units.is_zero() {
            let (shard, counters) = (turn.options.shard, turn.sets.counters(set).clone());
            let withdrawn = ToHome::Withdraw { shard, set, counters, unused: held.units };
            turn.prompt.push_back(Effect::Home(withdrawn));
        }
    }

    /// Links may send for routes for which they could not: sets that wait are looked at again.
    pub(super) fn look_again(&mut self, lanes: &Lanes) {
        self.looked_at.extend(lanes.shut());
    }

    /// Permits that nothing took go back.
    pub(super) fn expire(&mut self, turn: &mut Turn, lanes: &mut Lanes) {
        while let Some(&(at, set)) = self.until.first().filter(|(at, _)| *at <= turn.now.mono) {
            self.until.remove(&(at, set));
            if self.held.get(&set).is_some_and(|held| !held.is_asked) {
                self.give_back(turn, set);
                if lanes.gate(set) == Gate::Open {
                    lanes.set_gate(set, Gate::Shut);
                }
                self.looked_at.insert(set);
            }
        }
    }

    /// When [`Self::expire`] is to be called next.
    pub(super) fn next_at(&self) -> Option<Mono> {
        self.until.first().map(|(at, _)| *at)
    }

    /// Ends the turn: tells the home what has ended, and asks for what is wanted. `may_send`: whether a link could take a message
    /// of that set.
    pub(super) fn tend(&mut self, turn: &mut Turn, lanes: &mut Lanes, may_send: impl Fn(&Lanes, SetNumber) -> bool) {
        if !self.ended.is_empty() {
            let settled = std::mem::take(&mut self.ended).into_iter().map(|((set, _), Ended { given, used, at })| {
                let counters = turn.sets.counters(set).clone();
                Settled { counters, given, used, at }
            });
            let settled = ToHome::Settled(settled.collect());
            turn.prompt.push_back(Effect::Home(settled));
        }
        self.looked_at.append(&mut lanes.take_stirred());
        for set in std::mem::take(&mut self.looked_at) {
            self.look_at(turn, lanes, set, &may_send);
        }
    }

    fn look_at(
        &mut self,
        turn: &mut Turn,
        lanes: &mut Lanes,
        set: SetNumber,
        may_send: impl Fn(&Lanes, SetNumber) -> bool,
    ) {
        if turn.sets.counters(set).is_empty() {
            return;
        }
        let (gate, waiting) = (lanes.gate(set), lanes.waiting_of(set));
        let held = self.held.get(&set).copied().unwrap_or_default();
        if gate == Gate::Stale || held.is_asked {
            return;
        }
        let is_useless = waiting == 0 || held.units.messages == 0 || held.units.parts == 0;
        if gate == Gate::Open && is_useless {
            lanes.set_gate(set, Gate::Shut);
        }
        if waiting == 0 {
            return self.give_back(turn, set);
        }
        if lanes.gate(set) == Gate::Open || turn.draining {
            return;
        }
        if !may_send(lanes, set) {
            return self.give_back(turn, set);
        }
        let parts = if held.least > 0 { held.least } else { lanes.next_parts(set).unwrap_or(1).max(1) };
        let (messages, least) = (waiting.min(ASKED_MAX), Units::message(parts));
        let asked = Asked {
            shard: turn.options.shard,
            set,
            counters: turn.sets.counters(set).clone(),
            wanted: Units { messages, parts: messages * least.parts },
            least,
            unused: held.units,
        };
        self.until.remove(&(held.until, set));
        self.held.insert(set, Held { is_asked: true, ..Held::default() });
        turn.prompt.push_back(Effect::Home(ToHome::Ask(asked)));
    }

    /// Messages that wait for room of a counter, by counter. One that waits for either of two carriers counts for the counters of
    /// both.
    pub(super) fn parked(turn: &Turn, lanes: &Lanes) -> Vec<(Counter, u64)> {
        let mut parked: BTreeMap<&Counter, u64> = BTreeMap::new();
        for (set, waiting) in lanes.parked() {
            for counter in turn.sets.counters_of_all(set) {
                *parked.entry(counter).or_default() += waiting;
            }
        }
        parked.into_iter().map(|(counter, waiting)| (counter.clone(), waiting)).collect()
    }

    /// As [`Self::parked`], by rule.
    pub(super) fn parked_by_rule(turn: &Turn, lanes: &Lanes) -> Vec<(LimitId, u64)> {
        let mut parked: BTreeMap<LimitId, u64> = BTreeMap::new();
        for (set, waiting) in lanes.parked() {
            let rules: BTreeSet<LimitId> = turn.sets.counters_of_all(set).map(|counter| counter.rule).collect();
            rules.into_iter().for_each(|rule| *parked.entry(rule).or_default() += waiting);
        }
        parked.into_iter().collect()
    }

    /// Puts what was used into a checkpoint's book.
    pub(super) fn note(&mut self, turn: &Turn) -> Vec<UsesNote> {
        let is_known = |counter: &Counter| turn.catalog.version == 0 || turn.sets.has_rule(counter.rule);
        self.uses.expire(turn.now.wall, is_known);
        let note = |(counter, own): (&Counter, &_)| UsesNote::of(counter, own);
        self.uses.iter().map(note).collect()
    }

    /// Takes what a checkpoint's book holds.
    pub(super) fn recover(&mut self, notes: &[UsesNote]) {
        for note in notes {
            let Some(counter) = note.counter.counter() else { continue };
            note.uses().for_each(|(at, units)| self.uses.add(&counter, at, units));
        }
    }

    #[cfg(test)]
    pub(super) fn forget_until(&mut self, _: SetNumber) {
        self.until.clear();
    }

    #[cfg(test)]
    pub(super) fn seem_asked(&mut self, set: SetNumber) {
        self.held.entry(set).or_default().is_asked = true;
    }

    /// Checks the invariant.
    ///
    /// # Errors
    /// What does not hold.
    pub(super) fn check(&self, lanes: &Lanes) -> Sound {
        for (set, held) in &self.held {
            let (gate, is_asked) = (lanes.gate(*set), held.is_asked);
            holds!(1, !is_asked || held.units.is_zero() && gate != Gate::Open, "{set:?} is {gate:?} with {held:?}");
            holds!(
                1,
                held.units.is_zero() || is_asked || self.until.contains(&(held.until, *set)),
                "{set:?}: {held:?}"
            );
        }
        Ok(())
    }
}
