//! What is taken from lists, and from which: those of messages that count on limits are opened and shut.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Class, Head, Lane, RouteId, SetNumber, Sound, TenantId};
use crate::queue::fifo::Taken;
use crate::queue::gates::{Gate, Listed};
use crate::queue::groups::GroupNumber;
use crate::queue::list::{FifoName, ListKind, ListNumber};

use super::{Lanes, Turn};

impl Lanes {
    /// The gate of a set of counters.
    pub fn gate(&self, set: SetNumber) -> Gate {
        self.gates.gate(set)
    }

    /// Opens or shuts the lists of a set of counters. Costs time for each of them that has messages.
    pub fn set_gate(&mut self, set: SetNumber, gate: Gate) {
        let before = self.gates.gate(set);
        if before == gate {
            return;
        }
        let own: Vec<ListNumber> = match set {
            // Lists without counters are not among those that the gates know.
            SetNumber::NONE => {
                self.lists.iter().filter(|(_, list)| list.lane.set == set).map(|(own, _)| *own).collect()
            }
            _ => self.gates.lists_of(set).collect(),
        };
        for number in &own {
            self.forget_next(*number);
        }
        self.gates.set(set, gate);
        for number in own {
            let Some(list) = self.lists.get(&number) else { continue };
            let (lane, waiting) = (list.lane, list.waiting);
            if (before == Gate::Open) != (gate == Gate::Open) {
                self.keep(lane, waiting, gate != Gate::Open);
            }
            self.look_again(number);
        }
    }

    /// Messages of a list are kept from links from now on (`is_kept`), or no longer.
    fn keep(&mut self, lane: Lane, waiting: [u64; 2], is_kept: bool) {
        let kept = self.sums.kept.entry((lane.class, lane.route)).or_default();
        for (kept, waiting) in kept.iter_mut().zip(waiting) {
            *kept = if is_kept { *kept + waiting } else { *kept - waiting };
        }
        if *kept == [0; 2] {
            self.sums.kept.remove(&(lane.class, lane.route));
        }
    }

    /// Sets with messages whose gate is shut, and how many messages of each wait.
    pub fn shut(&self) -> impl Iterator<Item = (SetNumber, u64)> {
        self.gates.shut()
    }

    /// Messages that wait in the lists of a set of counters, with those that no link may take.
    pub fn waiting_of(&self, set: SetNumber) -> u64 {
        self.gates.waiting_of(set)
    }

    /// The routes of the lists of a set of counters that have messages.
    pub fn routes_of(&self, set: SetNumber) -> impl Iterator<Item = RouteId> {
        self.gates.lists_of(set).filter_map(|number| self.lists.get(&number)).map(|list| list.lane.route)
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

    /// The gate of a list is about to change: as if the list had nothing.
    fn forget_next(&mut self, number: ListNumber) {
        let Some(list) = self.lists.get_mut(&number) else { return };
        let (lane, before) = (list.lane, list.next.take());
        let is_open = self.gates.moved(lane, before, None);
        self.tell_groups(lane, is_open && before.is_some(), false);
    }

    /// Takes the next message of a class for a group. It is of the tenant whose turn it is, and of that tenant's lists
    /// on the group's routes: restored ones first, then those given back, then the oldest in memory. `weight`: of a
    /// tenant. `has_permit`: whether a message of that many parts may count on that set of counters; if not, the gate of
    /// the set is shut, and another message is taken.
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
            let set = self.lane(name.list).set;
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
        let routes = self.groups.routes(group);
        let list = |lane: Lane| self.lists.get(&self.table.known(lane)?)?.next;
        let is_open = self.gates.gate(SetNumber::NONE) == Gate::Open;
        let own = routes.iter().filter(|_| is_open).map(lane).filter_map(list);
        let counted = routes.iter().map(lane).filter_map(|lane| self.gates.next(lane));
        own.chain(counted).min()
    }

    /// Checks what is known of the lists whose messages count on limits.
    pub(super) fn check_gates(&self) -> Sound {
        let mut listed = BTreeMap::new();
        for (number, list) in &self.lists {
            let waiting = list.waiting[0] + list.waiting[1];
            listed.insert(*number, Listed { lane: list.lane, next: list.next, waiting });
        }
        self.gates.check(&listed)
    }
}
