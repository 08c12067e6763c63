//! Which tenant's turn it is at a link.
//!
//! A *group* is a set of routes whose messages are taken together: those that lead over one link. In a group each class
//! has its own order of tenants ([`Turns`]), whatever route their messages have. Links with the same routes share a
//! group.
//!
//! Knows which tenants have something to take. Refuses to know messages and links.

use std::collections::BTreeMap;

use crate::model::{Class, Lane, RouteId, Sound, TenantId};

use super::turns::Turns;

/// The number of a group; valid until groups are set again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupNumber(usize);

#[derive(Clone, Debug)]
struct Group {
    routes: Vec<RouteId>,
    turns: [Turns<TenantId>; Class::COUNT],
}

/// All groups; see the top of this file.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    groups: Vec<Group>,
    of_route: BTreeMap<RouteId, Vec<usize>>,
}

impl Groups {
    /// Sets the sets of routes; gives the group of each. If these are not the same as before, all orders begin anew, and
    /// the caller must say again who waits.
    pub fn set(&mut self, sets: &[Vec<RouteId>]) -> (Vec<GroupNumber>, bool) {
        let mut distinct: Vec<&Vec<RouteId>> = Vec::new();
        let mut numbers = Vec::new();
        for set in sets {
            let known = distinct.iter().position(|own| *own == set);
            numbers.push(GroupNumber(known.unwrap_or(distinct.len())));
            if known.is_none() {
                distinct.push(set);
            }
        }
        let is_same = self.groups.iter().map(|group| &group.routes).eq(distinct.iter().copied());
        if !is_same {
            let group = |routes: &&Vec<RouteId>| Group { routes: (*routes).clone(), turns: Default::default() };
            self.groups = distinct.iter().map(group).collect();
            self.of_route = BTreeMap::new();
            for (at, group) in self.groups.iter().enumerate() {
                group.routes.iter().for_each(|route| self.of_route.entry(*route).or_default().push(at));
            }
        }
        (numbers, !is_same)
    }

    /// Every group and its routes.
    pub fn iter(&self) -> impl Iterator<Item = (GroupNumber, &[RouteId])> {
        self.groups.iter().enumerate().map(|(at, group)| (GroupNumber(at), group.routes.as_slice()))
    }

    /// The routes of a group.
    pub fn routes(&self, group: GroupNumber) -> &[RouteId] {
        self.groups.get(group.0).map_or(&[], |group| &group.routes)
    }

    /// The tenant of that lane has something to take.
    pub fn wait(&mut self, lane: Lane) {
        for at in self.of_route.get(&lane.route).into_iter().flatten() {
            self.groups[*at].turns[lane.class.index()].wait(lane.tenant);
        }
    }

    /// The tenant of that lane has nothing to take there any more; `has_other`: whether it has something on one of these
    /// routes.
    pub fn leave(&mut self, lane: Lane, has_other: impl Fn(&[RouteId]) -> bool) {
        for at in self.of_route.get(&lane.route).into_iter().flatten() {
            let group = &mut self.groups[*at];
            if !has_other(&group.routes) {
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
        let sets = [vec![RouteId(1), RouteId(2)], vec![RouteId(2)], vec![RouteId(1), RouteId(2)]];
        let (numbers, changed) = groups.set(&sets);
        assert_eq!((numbers[0], changed), (numbers[2], true));
        groups.wait(lane(1, 7));
        groups.wait(lane(2, 7));
        groups.wait(lane(2, 8));
        let waiting = |groups: &Groups| {
            [numbers[0], numbers[1]].map(|group| {
                groups.turns(group, Class::Otp).expect("a group").iter().map(|tenant| tenant.0).collect::<Vec<_>>()
            })
        };
        assert_eq!(waiting(&groups), [vec![7, 8], vec![7, 8]]);
        groups.leave(lane(2, 7), |routes| routes.contains(&RouteId(1)));
        assert_eq!(waiting(&groups), [vec![7, 8], vec![8]]);
        groups.serve(numbers[0], Class::Otp, TenantId(7), 1, 1);
        assert_eq!(waiting(&groups), [vec![8, 7], vec![8]]);
        assert!(!groups.set(&sets).1, "the same sets change nothing");
        assert_eq!(waiting(&groups), [vec![8, 7], vec![8]]);
        assert!(groups.set(&sets[1..2]).1);
        assert!(groups.turns(GroupNumber(0), Class::Otp).is_some_and(Turns::is_empty));
    }
}
