//! What is taken from lists, and from which: those of messages that count on limits are opened and shut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{CarrierId, Class, Head, Lane, RouteId, SetNumber, Sound, TenantId, holds};
use crate::queue::fifo::Taken;
use crate::queue::gates::{Gate, Listed};
use crate::queue::groups::GroupNumber;
use crate::queue::list::{FifoName, ListKind, ListNumber};

use super::{Lanes, List, Turn, Unsent};

impl Lanes {
    /// The gate of a set of counters.
    pub fn gate(&self, set: SetNumber) -> Gate {
        self.gates.gate(set)
    }

    /// The set only names one for each carrier: the carrier that takes a message decides on which set it counts. Called before
    /// anything waits in a list of the set.
    pub fn set_each(&mut self, set: SetNumber, each: &Arc<[(CarrierId, SetNumber)]>) {
        self.gates.set_each(set, each);
    }

    /// Opens or shuts the lists of a set of counters. Costs time for each of them that has messages.
    pub fn set_gate(&mut self, set: SetNumber, gate: Gate) {
        if self.gates.gate(set) == gate {
            return;
        }
        let own: Vec<ListNumber> = match set {
            // Lists without counters are not among those that the gates know.
            SetNumber::NONE => {
                self.lists.iter().filter(|(_, list)| list.lane.set == set).map(|(own, _)| *own).collect()
            }
            _ => self.gates.lists_of(set).collect(),
        };
        let had: Vec<_> = own.iter().map(|number| self.index(*number, set, false)).collect();
        self.gates.set(set, gate);
        for (number, had) in own.into_iter().zip(had) {
            let has = self.index(number, set, true);
            let Some(lane) = self.lists.get(&number).map(|list| list.lane) else { continue };
            for carrier in has.iter().filter(|carrier| !had.contains(carrier)) {
                self.groups.wait(lane, *carrier);
            }
            for carrier in had.iter().filter(|carrier| !has.contains(carrier)) {
                self.leave_groups(lane, *carrier);
            }
        }
    }

    /// Puts a list into all that depends on the gate of a set, or takes it out. Returns who may take from it, among those for
    /// whom its messages count on that set.
    fn index(&mut self, number: ListNumber, set: SetNumber, enters: bool) -> Vec<Option<CarrierId>> {
        let Some(&List { lane, next, waiting, .. }) = self.lists.get(&number) else { return Vec::new() };
        let ways: Vec<(Option<CarrierId>, bool)> = match lane.set == set {
            true => self.gates.ways(set).collect(),
            false if self.gates.gate(lane.set) == Gate::Open => {
                let is_open = self.gates.gate(set) == Gate::Open;
                self.gates.takers(lane.set, set).map(|carrier| (carrier, is_open)).collect()
            }
            false => Vec::new(),
        };
        for (carrier, _) in ways.iter().filter(|(_, is_open)| !is_open) {
            self.keep(lane, *carrier, waiting, enters);
        }
        if next.is_none() {
            return Vec::new();
        }
        let (before, after) = if enters { (None, next) } else { (next, None) };
        if self.gates.gate(lane.set) == Gate::Stale {
            self.gates.change_stale(before, after);
        }
        let open: Vec<_> = ways.into_iter().filter(|(_, is_open)| *is_open).map(|(carrier, _)| carrier).collect();
        if lane.set != SetNumber::NONE {
            open.iter().for_each(|carrier| self.gates.change_open(lane, *carrier, before, after));
        }
        open
    }

    /// Messages of a list are kept from a carrier, or from all, from now on (`is_kept`), or no longer.
    fn keep(&mut self, lane: Lane, carrier: Option<CarrierId>, waiting: [u64; 2], is_kept: bool) {
        let key = (lane.class, lane.route, carrier);
        let kept = self.sums.kept.entry(key).or_default();
        for (kept, waiting) in kept.iter_mut().zip(waiting) {
            *kept = if is_kept { *kept + waiting } else { *kept - waiting };
        }
        if *kept == [0; 2] {
            self.sums.kept.remove(&key);
        }
    }

    /// The messages of a list in one of its two generations were `before`, and are `after`: so are those that are kept.
    pub(super) fn count_kept(&mut self, lane: Lane, generation: usize, before: u64, after: u64) {
        for (carrier, is_open) in self.gates.ways(lane.set) {
            let key = (lane.class, lane.route, carrier);
            if !is_open {
                let kept = self.sums.kept.entry(key).or_default();
                kept[generation] = kept[generation] + after - before;
                if *kept == [0; 2] {
                    self.sums.kept.remove(&key);
                }
            }
        }
    }

    /// Finds out what is next in a list, and says so to the groups of its route if it begins or ceases to have something.
    pub(super) fn look_again(&mut self, number: ListNumber) {
        let (present, unsent) = (self.present, self.unsent);
        let Some(list) = self.lists.get_mut(&number) else { return };
        let lane = list.lane;
        let next = list.find_next(present, unsent[lane.class.index()] == Unsent::Sent);
        let before = std::mem::replace(&mut list.next, next);
        self.gates.moved(lane, before, next);
        if before.is_some() == next.is_some() {
            return;
        }
        if lane.set == SetNumber::NONE {
            self.list_plain(lane, next.is_some());
        }
        if next.is_some() {
            let Self { gates, groups, .. } = self;
            let open = gates.ways(lane.set).filter(|(_, is_open)| *is_open);
            open.for_each(|(carrier, _)| groups.wait(lane, carrier));
        } else if self.gates.is_by_carrier(lane.set) {
            let open: Vec<_> = self.gates.ways(lane.set).filter(|(_, is_open)| *is_open).collect();
            open.into_iter().for_each(|(carrier, _)| self.leave_groups(lane, carrier));
        } else if self.gates.gate(lane.set) == Gate::Open {
            self.leave_groups(lane, None);
        }
    }

    /// A list of messages that count on no limit begins or ceases to have something next.
    fn list_plain(&mut self, lane: Lane, has: bool) {
        let owner = (lane.class, lane.tenant);
        let routes = self.plain.entry(owner).or_default();
        if has {
            routes.insert(lane.route);
        } else {
            routes.remove(&lane.route);
        }
        if routes.is_empty() {
            self.plain.remove(&owner);
        }
    }

    /// A list has nothing more for a carrier, or for all: its tenant leaves the groups in which nothing else of it waits.
    fn leave_groups(&mut self, lane: Lane, carrier: Option<CarrierId>) {
        let (owner, gates) = ((lane.class, lane.tenant), &self.gates);
        let plain = self.plain.get(&owner).filter(|_| gates.gate(SetNumber::NONE) == Gate::Open);
        self.groups.leave(lane, carrier, |taker| {
            let leads = |route| taker.leads(route);
            plain.is_some_and(|routes| routes.iter().any(|route| leads(*route)))
                || gates.next(owner, taker.carrier, leads).is_some()
        });
    }

    /// Sets with messages whose gate is shut.
    pub fn shut(&self) -> impl Iterator<Item = SetNumber> {
        self.gates.shut()
    }

    /// Sets with messages that no carrier may take because of a limit, and how many of each wait.
    pub fn parked(&self) -> impl Iterator<Item = (SetNumber, u64)> {
        self.gates.parked()
    }

    /// Messages that wait in the lists of a set of counters, with those that no link may take.
    pub fn waiting_of(&self, set: SetNumber) -> u64 {
        self.gates.waiting_of(set)
    }

    /// The routes of the messages that count on a set of counters, with the carrier that must take them for that, or `None` for any.
    pub fn ways_of(&self, set: SetNumber) -> impl Iterator<Item = (RouteId, Option<CarrierId>)> {
        let lanes = self.gates.lists_of(set).filter_map(|number| self.lists.get(&number)).map(|list| list.lane);
        lanes.flat_map(move |lane| self.gates.takers(lane.set, set).map(move |carrier| (lane.route, carrier)))
    }

    /// The parts of a message that is next in a list of a set of counters, if one is in memory.
    pub fn next_parts(&self, set: SetNumber) -> Option<u8> {
        let lists = self.gates.lists_of(set).filter_map(|number| self.lists.get(&number));
        let (_, name) = lists.filter_map(|list| list.next).next()?;
        self.parts_of(name)
    }

    /// The parts of the message that is next in a fifo, if it is in memory.
    fn parts_of(&self, name: FifoName) -> Option<u8> {
        self.peek(name).and_then(|(segment, slot)| segment.head(slot)).map(|head| head.parts)
    }

    /// The message that is next in a list, if a link has given it back unsent.
    pub fn given_back_first(&self, list: ListNumber) -> Option<&Head> {
        let (_, name) = self.lists.get(&list)?.next?;
        let (segment, slot) = self.peek(name).filter(|_| matches!(name.kind, ListKind::Returned(_)))?;
        segment.head(slot)
    }

    /// Sets whose gate is shut and that have got messages since the last call.
    pub fn take_stirred(&mut self) -> BTreeSet<SetNumber> {
        self.gates.take_stirred()
    }

    /// Takes the next message of a class for a group. It is of the tenant whose turn it is, and of that tenant's lists
    /// on the group's routes: restored ones first, then those given back, then the oldest in memory. `weight`: of a
    /// tenant. `has_permit`: whether a message of that many parts may count on that set of counters, which is the one for the
    /// group's carrier; if not, the gate of the set is shut, and another message is taken.
    pub fn take(
        &mut self,
        class: Class,
        group: GroupNumber,
        weight: impl FnOnce(TenantId) -> u32,
        mut has_permit: impl FnMut(SetNumber, u8) -> bool,
    ) -> Option<(FifoName, Taken)> {
        let (tenant, name, parts) = loop {
            let tenant = self.groups.turns(group, class)?.first()?;
            let (_, name) = self.next_of(class, group, tenant)?;
            let parts = self.parts_of(name).unwrap_or(1);
            let set = self.gates.over(self.lane(name.list).set, self.groups.carrier(group));
            if set == SetNumber::NONE || has_permit(set, parts) {
                break (tenant, name, parts);
            }
            self.set_gate(set, Gate::Shut);
        };
        self.groups.serve(group, class, tenant, parts.into(), weight(tenant));
        Some((name, self.take_from(name)?))
    }

    /// Takes the next message of a list whose lane has an unknown route, or whose set of counters was made under other
    /// rules; nothing that is withheld.
    pub fn take_stray(&mut self, is_known: impl Fn(RouteId) -> bool) -> Option<(FifoName, Taken)> {
        if let Some((_, name)) = self.gates.next_stale() {
            return Some((name, self.take_from(name)?));
        }
        if self.sums.waiting.keys().all(|(_, route)| is_known(*route)) {
            return None;
        }
        let strays = self.lists.values().filter(|list| !is_known(list.lane.route));
        let name = strays.filter_map(|list| list.next).min()?.1;
        Some((name, self.take_from(name)?))
    }

    /// The first of a tenant's messages that a group may take.
    fn next_of(&self, class: Class, group: GroupNumber, tenant: TenantId) -> Option<(Turn, FifoName)> {
        let lane = |route: &RouteId| Lane { class, route: *route, tenant, set: SetNumber::NONE };
        let list = |lane: Lane| self.lists.get(&self.table.known(lane)?)?.next;
        let routes = self.groups.routes(group);
        let leads = |route| routes.binary_search(&route).is_ok();
        let plain = self.plain.get(&(class, tenant)).filter(|_| self.gates.gate(SetNumber::NONE) == Gate::Open);
        let own = plain.into_iter().flatten().filter(|route| leads(**route)).map(lane).filter_map(list);
        let counted = self.gates.next((class, tenant), self.groups.carrier(group), leads);
        own.chain(counted).min()
    }

    /// Checks what is known of the lists whose messages count on limits.
    pub(super) fn check_gates(&self) -> Sound {
        let mut listed = BTreeMap::new();
        let mut plain: BTreeMap<_, BTreeSet<RouteId>> = BTreeMap::new();
        for (number, list) in &self.lists {
            let waiting = list.waiting[0] + list.waiting[1];
            listed.insert(*number, Listed { lane: list.lane, next: list.next, waiting });
            if list.lane.set == SetNumber::NONE && list.next.is_some() {
                plain.entry((list.lane.class, list.lane.tenant)).or_default().insert(list.lane.route);
            }
        }
        holds!(8, self.plain == plain, "{plain:?} have something next, and {:?} are known", self.plain);
        self.gates.check(&listed)
    }
}
