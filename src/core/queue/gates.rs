//! The lists of messages that count on limits, by set of counters, and whether links may take from them.
//!
//! A set's gate is one value, so a spent limit costs nothing for each message that waits for it. A change of it costs time for
//! each list of the set that has messages. Lists without counters are not known here, except while they are stale.
//!
//! Knows what is next in a list. Refuses to know messages, limits and tenants' turns.
//!
//! Invariants:
//! 1. Each list that has something next is in exactly one index, by the gate of its set: it is open, or stale, or in none if its
//!    gate is shut. Sets have the sums of their lists.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Lane, SetNumber, Sound, holds};

use super::lanes::Turn;
use super::list::{FifoName, ListNumber};

/// Whether links may take from the lists of a set of counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// They may.
    Open,
    /// They may not: a limit has no room.
    Shut,
    /// They may not: the set was made under other rules, and each of its messages is judged anew.
    Stale,
}

type Next = (Turn, FifoName);

/// A list, as the check sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed {
    pub lane: Lane,
    pub next: Option<Next>,
    pub waiting: u64,
}

/// What is known of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Members {
    waiting: u64,
    /// Those that have messages.
    lists: BTreeSet<ListNumber>,
}

/// The gates of all sets; see the top of this file.
#[derive(Clone, Debug, Default)]
pub(super) struct Gates {
    /// By number of the set; one that is not here is shut, except [`SetNumber::NONE`].
    gates: Vec<Gate>,
    /// By lane, with [`SetNumber::NONE`] in place of the set: what is next in its open lists.
    open: BTreeMap<Lane, BTreeSet<Next>>,
    stale: BTreeSet<Next>,
    sets: BTreeMap<SetNumber, Members>,
    /// Sets whose gate was shut when they got messages.
    stirred: BTreeSet<SetNumber>,
}

impl Gates {
    /// The gate of a set.
    pub(super) fn gate(&self, set: SetNumber) -> Gate {
        let unknown = if set == SetNumber::NONE { Gate::Open } else { Gate::Shut };
        self.gates.get(set.0 as usize).copied().unwrap_or(unknown)
    }

    /// Sets a gate. The caller has taken out of the indexes what is next in the set's lists, and puts it back.
    pub(super) fn set(&mut self, set: SetNumber, gate: Gate) {
        let at = set.0 as usize;
        while self.gates.len() <= at {
            self.gates.push(self.gate(SetNumber(self.gates.len() as u32)));
        }
        self.gates[at] = gate;
    }

    /// What is next in a list has changed. Returns whether links may take from the list.
    pub(super) fn moved(&mut self, lane: Lane, before: Option<Next>, next: Option<Next>) -> bool {
        match self.gate(lane.set) {
            Gate::Open if lane.set == SetNumber::NONE => return true,
            _ if before == next => {}
            Gate::Open => {
                let key = Lane { set: SetNumber::NONE, ..lane };
                let own = self.open.entry(key).or_default();
                change(own, before, next);
                if own.is_empty() {
                    self.open.remove(&key);
                }
            }
            Gate::Stale => change(&mut self.stale, before, next),
            Gate::Shut => {}
        }
        self.gate(lane.set) == Gate::Open
    }

    /// The messages of a list of a set were `before`, and are `after`.
    pub(super) fn count(&mut self, set: SetNumber, list: ListNumber, before: u64, after: u64) {
        let members = self.sets.entry(set).or_default();
        members.waiting = members.waiting + after - before;
        if after > 0 {
            members.lists.insert(list);
        } else {
            members.lists.remove(&list);
        }
        if members.lists.is_empty() {
            self.sets.remove(&set);
        }
        if after > before && self.gate(set) == Gate::Shut {
            self.stirred.insert(set);
        }
    }

    /// The first message of the lists with counters of that lane from which links may take.
    pub(super) fn next(&self, lane: Lane) -> Option<Next> {
        self.open.get(&lane)?.first().copied()
    }

    /// The first message of all stale lists.
    pub(super) fn next_stale(&self) -> Option<Next> {
        self.stale.first().copied()
    }

    /// The lists of a set that have messages.
    pub(super) fn lists_of(&self, set: SetNumber) -> impl Iterator<Item = ListNumber> {
        self.sets.get(&set).into_iter().flat_map(|members| &members.lists).copied()
    }

    /// Messages in the lists of a set.
    pub(super) fn waiting_of(&self, set: SetNumber) -> u64 {
        self.sets.get(&set).map_or(0, |members| members.waiting)
    }

    /// Sets with messages whose gate is shut.
    pub(super) fn shut(&self) -> impl Iterator<Item = (SetNumber, u64)> {
        self.sets.iter().filter(|(set, _)| self.gate(**set) == Gate::Shut).map(|(set, own)| (*set, own.waiting))
    }

    /// Sets that got messages while their gate was shut, since the last call.
    pub(super) fn take_stirred(&mut self) -> BTreeSet<SetNumber> {
        std::mem::take(&mut self.stirred)
    }

    /// Checks the invariant against all lists with messages.
    ///
    /// # Errors
    /// What is not so.
    pub(super) fn check(&self, lists: &BTreeMap<ListNumber, Listed>) -> Sound {
        let (mut open, mut stale, mut sets) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        for (number, Listed { lane, next, waiting }) in lists {
            match self.gate(lane.set) {
                Gate::Open if lane.set != SetNumber::NONE => {
                    let own: &mut BTreeSet<Next> = open.entry(Lane { set: SetNumber::NONE, ..*lane }).or_default();
                    own.extend(*next);
                }
                Gate::Stale => stale.extend(*next),
                Gate::Open | Gate::Shut => {}
            }
            if lane.set != SetNumber::NONE && *waiting > 0 {
                let members: &mut Members = sets.entry(lane.set).or_default();
                members.waiting += waiting;
                members.lists.insert(*number);
            }
        }
        open.retain(|_, own| !own.is_empty());
        holds!(1, self.open == open, "{open:?} can be taken, and {:?} is known", self.open);
        holds!(1, self.stale == stale, "{stale:?} is stale, and {:?} is known", self.stale);
        holds!(1, self.sets == sets, "{sets:?} wait, and {:?} are counted", self.sets);
        Ok(())
    }
}

fn change(index: &mut BTreeSet<Next>, before: Option<Next>, next: Option<Next>) {
    if let Some(before) = before {
        index.remove(&before);
    }
    index.extend(next);
}

#[cfg(test)]
mod tests {
    use crate::model::{Address, Class, RouteId, TenantId};
    use crate::queue::{Generation, ListKind};

    use super::*;

    const fn lane(set: u32) -> Lane {
        Lane { class: Class::Otp, route: RouteId(1), tenant: TenantId(1), set: SetNumber(set) }
    }

    fn next(list: u32, slot: u16) -> Next {
        let generation = Generation(0);
        ((generation, 2, Address::new(1, slot)), FifoName { list: ListNumber(list), generation, kind: ListKind::Fresh })
    }

    #[test]
    fn a_list_is_taken_from_while_its_gate_is_open() {
        let mut gates = Gates::default();
        assert_eq!([0, 1, 70_000].map(|set| gates.gate(SetNumber(set))), [Gate::Open, Gate::Shut, Gate::Shut]);
        gates.count(SetNumber(2), ListNumber(5), 0, 3);
        assert_eq!(gates.take_stirred(), BTreeSet::from([SetNumber(2)]));
        assert!(!gates.moved(lane(2), None, Some(next(5, 1))), "it is shut");
        assert_eq!((gates.next(lane(0)), gates.shut().collect::<Vec<_>>()), (None, vec![(SetNumber(2), 3)]));
        gates.set(SetNumber(2), Gate::Open);
        assert!(gates.moved(lane(2), None, Some(next(5, 1))));
        gates.set(SetNumber(3), Gate::Open);
        gates.moved(lane(3), None, Some(next(6, 0)));
        assert_eq!(gates.next(lane(0)), Some(next(6, 0)), "the oldest");
        gates.moved(lane(3), Some(next(6, 0)), None);
        assert_eq!((gates.next(lane(0)), gates.take_stirred().len()), (Some(next(5, 1)), 0));
        gates.set(SetNumber::NONE, Gate::Stale);
        assert!(!gates.moved(lane(0), None, Some(next(1, 9))));
        assert_eq!(gates.next_stale(), Some(next(1, 9)));
    }

    #[test]
    fn breaking_invariant_1_forgets_what_is_next() {
        let breach = |change: fn(&mut Gates)| {
            let mut gates = Gates::default();
            gates.set(SetNumber(2), Gate::Open);
            gates.count(SetNumber(2), ListNumber(5), 0, 3);
            gates.moved(lane(2), None, Some(next(5, 1)));
            let listed = Listed { lane: lane(2), next: Some(next(5, 1)), waiting: 3 };
            let lists = BTreeMap::from([(ListNumber(5), listed)]);
            assert_eq!(gates.check(&lists), Ok(()));
            change(&mut gates);
            gates.check(&lists).expect_err("a breach").number
        };
        assert_eq!(breach(|gates| gates.open.clear()), 1);
        assert_eq!(breach(|gates| gates.sets.clear()), 1);
        assert_eq!(breach(|gates| gates.stale.extend([next(5, 1)])), 1);
        assert_eq!(breach(|gates| gates.set(SetNumber(2), Gate::Stale)), 1);
    }
}
