//! Which tenant's turn it is at a link.
//!
//! A *group* is a set of routes whose messages are taken together: those that lead over one link. In a group each class
//! has its own order of tenants ([`Turns`]), whatever route their messages have. Links with the same routes share a
//! group, unless limits look at carriers: then each carrier has its own.
//!
//! Knows which tenants have something to take. Refuses to know messages and links.

use std::collections::BTreeMap;

use crate::model::{CarrierId, Class, Lane, RouteId, Sound, TenantId};

use super::turns::Turns;

/// The number of a group; valid until groups are set again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupNumber(usize);

/// The routes of a link, and its carrier if limits look at carriers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taker {
    /// Ascending.
    pub routes: Vec<RouteId>,
    pub carrier: Option<CarrierId>,
}

impl Taker {
    /// The taker of these routes.
    pub fn new(mut routes: Vec<RouteId>, carrier: Option<CarrierId>) -> Self {
        routes.sort_unstable();
        Self { routes, carrier }
    }

    /// Whether that route is one of its own.
    pub fn leads(&self, route: RouteId) -> bool {
        self.routes.binary_search(&route).is_ok()
    }
}

#[derive(Clone, Debug)]
struct Group {
    of: Taker,
    turns: [Turns<TenantId>; Class::COUNT],
}

/// All groups; see the top of this file.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    groups: Vec<Group>,
    of_route: BTreeMap<RouteId, Vec<usize>>,
}

impl Groups {
    /// Sets who takes; gives the group of each. If these are not the same as before, all orders begin anew, and the caller
    /// must say again who waits.
    pub fn set(&mut self, takers: &[Taker]) -> (Vec<GroupNumber>, bool) {
        let mut distinct: Vec<&Taker> = Vec::new();
        let mut numbers = Vec::new();
        for taker in takers {
            let known = distinct.iter().position(|own| *own == taker);
            numbers.push(GroupNumber(known.unwrap_or(distinct.len())));
            if known.is_none() {
                distinct.push(taker);
            }
        }
        let is_same = self.groups.iter().map(|group| &group.of).eq(distinct.iter().copied());
        if !is_same {
            let group = |taker: &&Taker| Group { of: (*taker).clone(), turns: Default::default() };
            self.groups = distinct.iter().map(group).collect();
            self.of_route = BTreeMap::new();
            for (at, group) in self.groups.iter().enumerate() {
                group.of.routes.iter().for_each(|route| self.of_route.entry(*route).or_default().push(at));
            }
        }
        (numbers, !is_same)
    }

    /// Every group, and whose it is.
    pub fn iter(&self) -> impl Iterator<Item = (GroupNumber, &Taker)> {
        self.groups.iter().enumerate().map(|(at, group)| (GroupNumber(at), &group.of))
    }

    /// The routes of a group, ascending.
    pub fn routes(&self, group: GroupNumber) -> &[RouteId] {
        self.groups.get(group.0).map_or(&[], |group| &group.of.routes)
    }

    /// The carrier of a group, if limits look at carriers.
    pub fn carrier(&self, group: GroupNumber) -> Option<CarrierId> {
        self.groups.get(group.0)?.of.carrier
    }

    /// The tenant of that lane has something to take. `carrier`: only this one may take it.
    pub fn wait(&mut self, lane: Lane, carrier: Option<CarrierId>) {
        for at in self.of_route.get(&lane.route).into_iter().flatten() {
            let group = &mut self.groups[*at];
            if carrier.is_none() || carrier == group.of.carrier {
                group.turns[lane.class.index()].wait(lane.tenant);
            }
        }
    }

    /// The tenant of that lane has nothing to take there any more, as for [`Self::wait`]; `has_other`: whether it has something
    /// else that this taker may take.
    pub fn leave(&mut self, lane: Lane, carrier: Option<CarrierId>, has_other: impl Fn(&Taker) -> bool) {
        for at in self.of_route.get(&lane.route).into_iter().flatten() {
            let group = &mut self.groups[*at];
            if (carrier.is_none() || carrier == group.of.carrier) && !has_other(&group.of) {
                group.turns[lane.class.index()].leave(lane.tenant);
            }
        }
    }

    /// The order of the tenants of a class.
    pub fn turns(&self, group: GroupNumber, class: Class) -> Option<&Turns<TenantId>> {
        self.groups.get(group.0).map(|group| &group.turns[class.index()])
    }

    /// As [`Turns::serve`].
    pub fn serve(&mut self, group: GroupNumber, class: Class, tenant: TenantId, parts: u32, weight: u32) {
        if let Some(group) = self.groups.get_mut(group.0) {
            group.turns[class.index()].serve(tenant, parts, weight);
        }
    }

    /// Checks the orders.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&self) -> Sound {
        self.groups.iter().flat_map(|group| &group.turns).try_for_each(Turns::check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SetNumber;

    const fn lane(route: u16, tenant: u32) -> Lane {
        Lane { class: Class::Otp, route: RouteId(route), tenant: TenantId(tenant), set: SetNumber::NONE }
    }

    #[test]
    fn a_tenant_waits_in_each_group_that_has_its_route() {
        let mut groups = Groups::default();
        let taker = |routes: &[u16], carrier: Option<u16>| {
            Taker::new(routes.iter().rev().copied().map(RouteId).collect(), carrier.map(CarrierId))
        };
        let takers = [taker(&[1, 2], None), taker(&[2], None), taker(&[1, 2], None)];
        let (numbers, changed) = groups.set(&takers);
        assert_eq!((numbers[0], changed), (numbers[2], true));
        groups.wait(lane(1, 7), None);
        groups.wait(lane(2, 7), None);
        groups.wait(lane(2, 8), None);
        let waiting = |groups: &Groups| {
            [numbers[0], numbers[1]].map(|group| {
                groups.turns(group, Class::Otp).expect("a group").iter().map(|tenant| tenant.0).collect::<Vec<_>>()
            })
        };
        assert_eq!(waiting(&groups), [vec![7, 8], vec![7, 8]]);
        groups.leave(lane(2, 7), None, |taker| taker.routes.contains(&RouteId(1)));
        assert_eq!(waiting(&groups), [vec![7, 8], vec![8]]);
        groups.serve(numbers[0], Class::Otp, TenantId(7), 1, 1);
        assert_eq!(waiting(&groups), [vec![8, 7], vec![8]]);
        assert!(!groups.set(&takers).1, "the same takers change nothing");
        assert_eq!(waiting(&groups), [vec![8, 7], vec![8]]);
        assert!(groups.set(&takers[1..2]).1);
        assert!(groups.turns(GroupNumber(0), Class::Otp).is_some_and(Turns::is_empty));
        let takers = [taker(&[1], Some(4)), taker(&[1], Some(5))];
        let (own, _) = groups.set(&takers);
        assert_ne!(own[0], own[1], "each carrier has its own");
        groups.wait(lane(1, 7), Some(CarrierId(5)));
        assert_eq!(waiting(&groups), [vec![], vec![7]]);
        groups.wait(lane(1, 8), None);
        groups.leave(lane(1, 7), Some(CarrierId(5)), |_| false);
        assert_eq!((waiting(&groups), groups.carrier(own[1])), ([vec![8], vec![8]], Some(CarrierId(5))));
    }
}
