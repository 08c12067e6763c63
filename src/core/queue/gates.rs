//! The lists of messages that count on limits, by set of counters, and whether links may take from them.
//!
//! A set's gate is one value, so a spent limit costs nothing for each message that waits for it. A change of it costs time for
//! each list of the set that has messages. Lists without counters are not known here, except while they are stale.
//!
//! If the carrier that takes a message decides on which set it counts, its own set only names these ([`Gates::set_each`]). The
//! gate of its own set is open, and for each carrier the gate of the set on which it counts there decides.
//!
//! Knows what is next in a list. Refuses to know messages, limits and tenants' turns.
//!
//! Invariants:
//! 1. Each list that has something next is in the indexes by the gate of its set: of all or, by carrier, of each that may take
//!    from it; or of what is stale; or in none if its gate is shut. Sets have the sums of their lists.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{CarrierId, Class, Lane, RouteId, SetNumber, Sound, TenantId, holds};

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
/// What is next in open lists, by route, and by carrier if only that one may take.
type OpenLists = BTreeMap<(RouteId, Option<CarrierId>), BTreeSet<Next>>;

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
    /// Those of them whose own set is another one: they count on this one if a certain carrier takes them.
    shared: u64,
    /// Those that have messages.
    lists: BTreeSet<ListNumber>,
}

/// The gates of all sets; see the top of this file.
#[derive(Clone, Debug, Default)]
pub(super) struct Gates {
    /// By number of the set; one that is not here is shut, except [`SetNumber::NONE`].
    gates: Vec<Gate>,
    /// By class and tenant.
    open: BTreeMap<(Class, TenantId), OpenLists>,
    stale: BTreeSet<Next>,
    /// Sets that name one for each carrier.
    each: BTreeMap<SetNumber, Arc<[(CarrierId, SetNumber)]>>,
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

    /// The set only names one for each carrier. Called before anything waits in a list of the set.
    pub(super) fn set_each(&mut self, set: SetNumber, each: &Arc<[(CarrierId, SetNumber)]>) {
        self.each.insert(set, Arc::clone(each));
    }

    /// The set on which messages of that set count if this carrier takes them.
    pub(super) fn over(&self, set: SetNumber, carrier: Option<CarrierId>) -> SetNumber {
        let own = self.each.get(&set).and_then(|each| each.iter().find(|(own, _)| Some(*own) == carrier));
        own.map_or(set, |(_, counted)| *counted)
    }

    /// Whether the set only names one for each carrier.
    pub(super) fn is_by_carrier(&self, set: SetNumber) -> bool {
        self.each.contains_key(&set)
    }

    /// Whether links may take from the lists of a set: of all carriers (`None`) or, where each has its own gate, of each.
    pub(super) fn ways(&self, set: SetNumber) -> impl Iterator<Item = (Option<CarrierId>, bool)> {
        let is_open = self.gate(set) == Gate::Open;
        let each = self.each.get(&set).filter(|_| is_open);
        let all = each.is_none().then_some((None, is_open));
        let each = each.into_iter().flat_map(|each| each.iter());
        all.into_iter().chain(each.map(|(carrier, set)| (Some(*carrier), self.gate(*set) == Gate::Open)))
    }

    /// Whether a carrier may take from the lists of a set.
    pub(super) fn is_open(&self, set: SetNumber, carrier: Option<CarrierId>) -> bool {
        self.ways(set).any(|(own, is_open)| is_open && (own.is_none() || own == carrier))
    }

    /// The carriers for which messages of the set `own` count on `set`: all (`None`), or those for which it names it.
    pub(super) fn takers(&self, own: SetNumber, set: SetNumber) -> impl Iterator<Item = Option<CarrierId>> {
        let each = self.each.get(&own).filter(|_| own != set).into_iter().flat_map(|each| each.iter());
        let named = each.filter(move |(_, counted)| *counted == set).map(|(carrier, _)| Some(*carrier));
        (own == set).then_some(None).into_iter().chain(named)
    }

    /// What is next in a list has changed.
    pub(super) fn moved(&mut self, lane: Lane, before: Option<Next>, next: Option<Next>) {
        let gate = self.gate(lane.set);
        if before == next || gate == Gate::Shut || gate == Gate::Open && lane.set == SetNumber::NONE {
            return;
        }
        if gate == Gate::Stale {
            return self.change_stale(before, next);
        }
        match self.each.get(&lane.set).cloned() {
            None => self.change_open(lane, None, before, next),
            Some(each) => {
                for &(carrier, set) in each.iter() {
                    if self.gate(set) == Gate::Open {
                        self.change_open(lane, Some(carrier), before, next);
                    }
                }
            }
        }
    }

    /// What was next in a stale list is `before`, and what is next now is `next`.
    pub(super) fn change_stale(&mut self, before: Option<Next>, next: Option<Next>) {
        change(&mut self.stale, before, next);
    }

    /// The same of an open list, for all carriers or for one.
    pub(super) fn change_open(
        &mut self,
        lane: Lane,
        carrier: Option<CarrierId>,
        before: Option<Next>,
        next: Option<Next>,
    ) {
        let (owner, key) = ((lane.class, lane.tenant), (lane.route, carrier));
        let routes = self.open.entry(owner).or_default();
        let own = routes.entry(key).or_default();
        change(own, before, next);
        if own.is_empty() {
            routes.remove(&key);
        }
        if routes.is_empty() {
            self.open.remove(&owner);
        }
    }

    /// The messages of a list of a set were `before`, and are `after`.
    pub(super) fn count(&mut self, set: SetNumber, list: ListNumber, before: u64, after: u64) {
        self.count_in(set, list, (before, after), false);
        let Some(each) = self.each.get(&set).cloned() else { return };
        for (at, (_, set)) in each.iter().enumerate() {
            if each[..at].iter().all(|(_, known)| known != set) {
                self.count_in(*set, list, (before, after), true);
            }
        }
    }

    fn count_in(&mut self, set: SetNumber, list: ListNumber, (before, after): (u64, u64), is_shared: bool) {
        let members = self.sets.entry(set).or_default();
        members.waiting = members.waiting + after - before;
        if is_shared {
            members.shared = members.shared + after - before;
        }
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

    /// The first message of a tenant's lists with counters from which this carrier may take, on routes of which `leads` is true.
    pub(super) fn next(
        &self,
        owner: (Class, TenantId),
        carrier: Option<CarrierId>,
        leads: impl Fn(RouteId) -> bool,
    ) -> Option<Next> {
        let may_take = |of: Option<CarrierId>, route| (of.is_none() || of == carrier) && leads(route);
        let open = self.open.get(&owner)?.iter().filter(|((route, of), _)| may_take(*of, *route));
        open.filter_map(|(_, own)| own.first()).min().copied()
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
    pub(super) fn shut(&self) -> impl Iterator<Item = SetNumber> {
        self.sets.keys().copied().filter(|set| self.gate(*set) == Gate::Shut)
    }

    /// Sets with messages that no carrier may take because of a limit, and how many these are. A set that names one for each carrier
    /// is among them if all of these are shut.
    pub(super) fn parked(&self) -> impl Iterator<Item = (SetNumber, u64)> {
        let is_shut = |(set, _): &(&SetNumber, &Members)| match self.each.get(set) {
            Some(each) => self.gate(**set) == Gate::Open && each.iter().all(|(_, set)| self.gate(*set) == Gate::Shut),
            None => self.gate(**set) == Gate::Shut,
        };
        let parked = self.sets.iter().filter(is_shut).map(|(set, own)| (*set, own.waiting - own.shared));
        parked.filter(|(_, waiting)| *waiting > 0)
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
                    for (carrier, _) in self.ways(lane.set).filter(|(_, is_open)| *is_open) {
                        let Some(next) = *next else { continue };
                        let routes: &mut OpenLists = open.entry((lane.class, lane.tenant)).or_default();
                        routes.entry((lane.route, carrier)).or_default().insert(next);
                    }
                }
                Gate::Stale => stale.extend(*next),
                Gate::Open | Gate::Shut => {}
            }
            if lane.set != SetNumber::NONE && *waiting > 0 {
                let each = self.each.get(&lane.set).into_iter().flat_map(|each| each.iter());
                let counted: BTreeSet<SetNumber> = each.map(|(_, set)| *set).chain([lane.set]).collect();
                for set in counted {
                    let members: &mut Members = sets.entry(set).or_default();
                    members.waiting += waiting;
                    members.shared += if set == lane.set { 0 } else { *waiting };
                    members.lists.insert(*number);
                }
            }
        }
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
    use crate::model::Address;
    use crate::queue::{Generation, ListKind};

    use super::*;

    const fn lane(set: u32) -> Lane {
        Lane { class: Class::Otp, route: RouteId(1), tenant: TenantId(1), set: SetNumber(set) }
    }

    fn next(list: u32, slot: u16) -> Next {
        let generation = Generation(0);
        ((generation, 2, Address::new(1, slot)), FifoName { list: ListNumber(list), generation, kind: ListKind::Fresh })
    }

    fn taken(gates: &Gates, carrier: Option<CarrierId>) -> Option<Next> {
        let own = gates.next((Class::Otp, TenantId(1)), carrier, |route| route == RouteId(1));
        assert_eq!(gates.next((Class::Otp, TenantId(1)), carrier, |route| route == RouteId(2)), None);
        own
    }

    #[test]
    fn a_list_is_taken_from_while_its_gate_is_open() {
        let mut gates = Gates::default();
        assert_eq!([0, 1, 70_000].map(|set| gates.gate(SetNumber(set))), [Gate::Open, Gate::Shut, Gate::Shut]);
        gates.count(SetNumber(2), ListNumber(5), 0, 3);
        assert_eq!(gates.take_stirred(), BTreeSet::from([SetNumber(2)]));
        gates.moved(lane(2), None, Some(next(5, 1)));
        assert_eq!((taken(&gates, None), gates.parked().collect::<Vec<_>>()), (None, vec![(SetNumber(2), 3)]));
        gates.set(SetNumber(2), Gate::Open);
        gates.moved(lane(2), None, Some(next(5, 1)));
        gates.set(SetNumber(3), Gate::Open);
        gates.moved(lane(3), None, Some(next(6, 0)));
        assert_eq!(taken(&gates, Some(CarrierId(9))), Some(next(6, 0)), "the oldest");
        gates.moved(lane(3), Some(next(6, 0)), None);
        assert_eq!((taken(&gates, None), gates.take_stirred().len()), (Some(next(5, 1)), 0));
        gates.set(SetNumber::NONE, Gate::Stale);
        gates.moved(lane(0), None, Some(next(1, 9)));
        assert_eq!(gates.next_stale(), Some(next(1, 9)));
    }

    #[test]
    fn where_the_carrier_decides_each_takes_while_its_own_gate_is_open() {
        let mut gates = Gates::default();
        let carriers = [1, 2, 3].map(CarrierId);
        let each: Arc<[_]> =
            [(carriers[0], SetNumber(5)), (carriers[1], SetNumber(6)), (carriers[2], SetNumber(6))].into();
        gates.set_each(SetNumber(7), &each);
        gates.set(SetNumber(7), Gate::Open);
        gates.count(SetNumber(7), ListNumber(4), 0, 3);
        gates.count(SetNumber(6), ListNumber(8), 0, 1);
        assert_eq!(gates.take_stirred(), BTreeSet::from([SetNumber(5), SetNumber(6)]));
        assert_eq!([5, 6, 7].map(|set| gates.waiting_of(SetNumber(set))), [3, 4, 3]);
        assert_eq!(gates.parked().collect::<Vec<_>>(), [(SetNumber(6), 1), (SetNumber(7), 3)]);
        gates.set(SetNumber(6), Gate::Open);
        gates.moved(lane(7), None, Some(next(4, 1)));
        let by_each = carriers.map(|carrier| taken(&gates, Some(carrier)));
        assert_eq!(by_each, [None, Some(next(4, 1)), Some(next(4, 1))]);
        assert_eq!((taken(&gates, None), gates.parked().count()), (None, 0), "another carrier may take it");
        let over = [Some(carriers[0]), Some(CarrierId(4)), None].map(|carrier| gates.over(SetNumber(7), carrier));
        assert_eq!(over, [5, 7, 7].map(SetNumber));
        let takers = |own, set| gates.takers(SetNumber(own), SetNumber(set)).collect::<Vec<_>>();
        assert_eq!([takers(7, 6), takers(7, 7), takers(5, 6)].map(|takers| takers.len()), [2, 1, 0]);
        let listed = Listed { lane: lane(7), next: Some(next(4, 1)), waiting: 3 };
        let other = Listed { lane: lane(6), next: None, waiting: 1 };
        assert_eq!(gates.check(&BTreeMap::from([(ListNumber(4), listed), (ListNumber(8), other)])), Ok(()));
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
