//! The links that a shard may hand messages to, and which link of each carrier is used.
//!
//! Used is the link on the shard's own core, or the carrier's only one. While that has no bind, a link on another core that has
//! one is used: the next core in order. A link in use is not changed without need.
//!
//! Knows counts, and which links have a bind; does not know messages.
//!
//! Invariants:
//! 1. Places held = granted − used − given back, for each link and class. A link that is not used holds none.
//! 2. At most one link of each carrier is used, and only while no other link of it has messages of this shard: messages that come
//!    back from that link would be overtaken.

use crate::model::{CarrierId, Class, LinkId, RouteId, Sound, holds};

use crate::queue::{GroupNumber, Lanes, Taker};

use super::catalog::Catalog;

/// A link, and what this shard has to do with it.
#[derive(Debug)]
pub(super) struct LinkSlot {
    pub id: LinkId,
    pub routes: Vec<RouteId>,
    /// The group of lists from which it takes.
    pub group: GroupNumber,
    /// How many messages the link believes to be waiting here, by class, including those for which it has granted places.
    pub told: [u32; Class::COUNT],
    /// Places that it granted on demand and that are not used yet, by class.
    pub grants: [u32; Class::COUNT],
    /// Places that it granted without a demand (standing places) and that are not used yet, by class; see
    /// [`super::pull::Pull::has_place`].
    pub standing: [u32; Class::COUNT],
    /// Messages handed over whose batch has not left this shard yet, by class. The link still counts them as waiting.
    pub leaving: [u32; Class::COUNT],
    /// Messages handed over that the link has not finished.
    pub out: u32,
    /// Whether the shard demands and uses places of this link.
    pub is_used: bool,
    /// What became of all places that it has granted, by class.
    pub ever: [Places; Class::COUNT],
    is_own: bool,
    is_bound: bool,
}

/// How many places a link granted since the process started, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub granted: u64,
    pub used: u64,
    pub given_back: u64,
}

/// All links that this shard has heard of. None is ever forgotten: there are as many as carriers times cores.
#[derive(Debug, Default)]
pub(super) struct Links {
    slots: Vec<LinkSlot>,
    own_core: u8,
    /// Limits look at carriers.
    by_carrier: bool,
}

impl LinkSlot {
    fn new(id: LinkId, routes: Vec<RouteId>) -> Self {
        Self {
            id,
            routes,
            group: GroupNumber::default(),
            told: Default::default(),
            grants: Default::default(),
            standing: Default::default(),
            leaving: Default::default(),
            out: 0,
            is_used: false,
            ever: Default::default(),
            is_own: false,
            is_bound: false,
        }
    }

    fn check(&self) -> Sound {
        for class in Class::ALL.map(Class::index) {
            let (held, ever) = (u64::from(self.grants[class] + self.standing[class]), self.ever[class]);
            holds!(1, held + ever.used + ever.given_back == ever.granted, "{:?} holds {held} of {ever:?}", self.id);
            holds!(1, held == 0 || self.is_used, "{:?} holds {held}, and is not used", self.id);
        }
        Ok(())
    }
}

impl Links {
    /// Routes and carriers have changed; `own`: the shard's own links.
    pub(super) fn handle_catalog(&mut self, catalog: &Catalog, own_core: u8, own: Vec<(LinkId, Vec<RouteId>)>) {
        self.own_core = own_core;
        self.by_carrier = catalog.limits.reads_carrier();
        for slot in &mut self.slots {
            slot.routes = catalog.routes.over(slot.id.carrier);
            slot.is_own = false;
        }
        for (id, routes) in own {
            self.slot(id, || routes).is_own = true;
        }
        let place = |slot: &LinkSlot| catalog.carriers.iter().position(|carrier| carrier.id == slot.id.carrier);
        self.slots.sort_by_key(|slot| (place(slot).unwrap_or(usize::MAX), !slot.is_own, slot.id.core));
    }

    /// Says which routes' messages are taken together.
    pub(super) fn regroup(&mut self, lanes: &mut Lanes) {
        let carrier = |slot: &LinkSlot| self.by_carrier.then_some(slot.id.carrier);
        let taker = |slot: &LinkSlot| Taker::new(slot.routes.clone(), carrier(slot));
        let groups = lanes.regroup(&self.slots.iter().map(taker).collect::<Vec<_>>());
        self.slots.iter_mut().zip(groups).for_each(|(slot, group)| slot.group = group);
    }

    /// A link got its first bind, or lost its last.
    pub(super) fn handle_bound(&mut self, id: LinkId, is_bound: bool, catalog: &Catalog) {
        self.slot(id, || catalog.routes.over(id.carrier)).is_bound = is_bound;
    }

    /// Whether a link, of that carrier or of any, could take a message of that route now.
    pub(super) fn may_send(&self, route: RouteId, carrier: Option<CarrierId>) -> bool {
        let is_such = |slot: &LinkSlot| carrier.is_none_or(|carrier| carrier == slot.id.carrier);
        self.slots.iter().any(|slot| slot.is_bound && is_such(slot) && slot.routes.contains(&route))
    }

    /// Checks the invariants.
    ///
    /// # Errors
    /// The first one that does not.
    pub(super) fn check(&self) -> Sound {
        for slot in &self.slots {
            slot.check()?;
            let mut others =
                self.slots.iter().filter(|other| other.id.carrier == slot.id.carrier && other.id != slot.id);
            let has_anything = |other: &LinkSlot| other.is_used || other.out > 0;
            let beside = others.find(|other| slot.is_used && has_anything(other)).map(|other| (other.id, other.out));
            holds!(2, beside.is_none(), "{:?} is used beside {beside:?}", slot.id);
        }
        Ok(())
    }

    fn slot(&mut self, id: LinkId, routes: impl FnOnce() -> Vec<RouteId>) -> &mut LinkSlot {
        let known = self.slots.iter().position(|slot| slot.id == id);
        let at = known.unwrap_or_else(|| {
            self.slots.push(LinkSlot::new(id, routes()));
            self.slots.len() - 1
        });
        &mut self.slots[at]
    }

    /// Chooses which links are used from now on. Returns those that are used no longer: their places must be given back.
    pub(super) fn choose(&mut self) -> Vec<usize> {
        let chosen: Vec<bool> = self.slots.iter().map(|slot| self.is_chosen(slot)).collect();
        let mut left = Vec::new();
        for (at, (slot, is_used)) in self.slots.iter_mut().zip(chosen).enumerate() {
            let was_used = std::mem::replace(&mut slot.is_used, is_used);
            left.extend((was_used && !is_used).then_some(at));
        }
        left
    }

    fn is_chosen(&self, slot: &LinkSlot) -> bool {
        let others = || self.slots.iter().filter(|other| other.id.carrier == slot.id.carrier && other.id != slot.id);
        !slot.routes.is_empty()
            && others().all(|other| other.out == 0 && self.preference(slot) < self.preference(other))
    }

    /// A rank: the lowest is used. Two links of a carrier never have the same.
    const fn preference(&self, slot: &LinkSlot) -> (u8, u8) {
        let rank = match (slot.is_bound, slot.is_own) {
            (true, true) => 0,
            (true, false) if slot.is_used => 1,
            (true, false) => 2,
            (false, true) => 3,
            (false, false) => 4,
        };
        (rank, slot.id.core.wrapping_sub(self.own_core))
    }

    /// A message that was handed to a link is finished there. Returns whether links must be chosen anew.
    pub(super) fn handle_over(&mut self, id: LinkId) -> bool {
        // A link that this shard has never heard of has no messages of it.
        let Some(slot) = self.get_mut(id) else { return false };
        debug_assert!(slot.out > 0, "{id:?} tells the end of a message that it was not given");
        slot.out = slot.out.saturating_sub(1);
        slot.out == 0 && !slot.is_used
    }

    /// Messages that links have.
    pub(super) fn out(&self) -> u64 {
        self.slots.iter().map(|slot| u64::from(slot.out)).sum()
    }

    pub(super) const fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn at(&self, at: usize) -> &LinkSlot {
        &self.slots[at]
    }

    pub(super) fn at_mut(&mut self, at: usize) -> &mut LinkSlot {
        &mut self.slots[at]
    }

    pub(super) fn get_mut(&mut self, id: LinkId) -> Option<&mut LinkSlot> {
        self.slots.iter_mut().find(|slot| slot.id == id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::{CarrierId, GroupId};
    use crate::routing::{Condition, Route, RouteTable, Way};
    use crate::shard::CatalogCarrier;

    const CARRIER: CarrierId = CarrierId(1);

    const fn link(core: u8) -> LinkId {
        LinkId { carrier: CARRIER, core }
    }

    /// A shard on core 1, and a carrier with a link on every core.
    fn links() -> (Links, Catalog) {
        let way = Way { carrier: CARRIER, weight: 1 };
        let route = Route { id: RouteId(1), name: "all".into(), when: Condition::default(), ways: vec![way] };
        let carrier =
            CatalogCarrier { id: CARRIER, name: "north".into(), group: GroupId(1), ..CatalogCarrier::default() };
        let routes = RouteTable { routes: vec![route] };
        let catalog =
            Catalog { version: 1, routes, carriers: vec![carrier], shard_cores: vec![1], ..Catalog::default() };
        let mut links = Links::default();
        links.handle_catalog(&catalog, 1, catalog.links_of(crate::model::ShardId(0)));
        assert!(links.choose().is_empty());
        (links, catalog)
    }

    #[test]
    fn breaking_invariant_1_loses_a_place() {
        let (mut links, catalog) = links();
        links.handle_bound(link(1), true, &catalog);
        links.choose();
        let slot = links.at_mut(0);
        (slot.grants[0], slot.standing[0]) = (3, 2);
        slot.ever[0] = Places { granted: 9, used: 3, given_back: 1 };
        assert_eq!(links.check(), Ok(()));
        links.at_mut(0).grants[0] -= 1;
        assert_eq!(links.check().expect_err("a breach").number, 1, "used, and not counted");
        links.at_mut(0).ever[0].used += 1;
        assert_eq!(links.check(), Ok(()));
        links.at_mut(0).is_used = false;
        assert_eq!(links.check().expect_err("a breach").number, 1, "places of a link that is not used");
    }

    #[test]
    fn breaking_invariant_2_uses_two_links_of_a_carrier() {
        let (mut links, catalog) = links();
        [0, 1].into_iter().for_each(|core| links.handle_bound(link(core), true, &catalog));
        links.choose();
        assert_eq!((used(&links), links.check()), (BTreeSet::from([1]), Ok(())));
        links.at_mut(1).out = 1;
        assert_eq!(links.check().expect_err("a breach").number, 2, "the other has something");
        (links.at_mut(1).out, links.at_mut(1).is_used) = (0, true);
        assert_eq!(links.check().expect_err("a breach").number, 2, "both are used");
    }

    fn used(links: &Links) -> BTreeSet<u8> {
        (0..links.len()).map(|at| links.at(at)).filter(|slot| slot.is_used).map(|slot| slot.id.core).collect()
    }

    #[test]
    fn the_own_link_is_used_unless_it_alone_has_no_bind() {
        let (mut links, catalog) = links();
        let mut hear = |core, is_bound| {
            links.handle_bound(link(core), is_bound, &catalog);
            let left: Vec<_> = links.choose().into_iter().map(|at| links.at(at).id.core).collect();
            (used(&links).into_iter().collect::<Vec<_>>(), left)
        };
        assert_eq!(hear(0, false), (vec![1], vec![]), "no link has a bind: the shard waits for its own");
        assert_eq!(hear(0, true), (vec![0], vec![1]));
        assert_eq!(hear(2, true), (vec![0], vec![]), "nearer, but there is no need");
        assert_eq!(hear(0, false), (vec![2], vec![0]));
        assert_eq!(hear(1, true), (vec![1], vec![2]));
        assert_eq!(hear(2, false), (vec![1], vec![]));
        assert_eq!(hear(1, false), (vec![1], vec![]));
    }

    #[test]
    fn no_link_is_used_while_another_of_the_carrier_has_something() {
        let (mut links, catalog) = links();
        links.handle_bound(link(1), true, &catalog);
        links.at_mut(0).out = 2;
        links.handle_bound(link(1), false, &catalog);
        links.handle_bound(link(0), true, &catalog);
        assert_eq!(links.choose(), [0]);
        assert_eq!(used(&links), BTreeSet::new());
        assert!(!links.handle_over(link(1)));
        assert!(links.handle_over(link(1)));
        assert!(links.choose().is_empty());
        assert_eq!(used(&links), BTreeSet::from([0]));
        assert!(!links.handle_over(link(2)), "the shard does not know this link");
    }

    #[test]
    fn a_link_that_no_route_leads_over_is_not_used_and_keeps_its_counts() {
        let (mut links, catalog) = links();
        links.handle_bound(link(1), true, &catalog);
        links.at_mut(0).out = 1;
        let bare = Catalog { routes: RouteTable::default(), ..catalog.clone() };
        links.handle_catalog(&bare, 1, bare.links_of(crate::model::ShardId(0)));
        assert_eq!((links.choose(), links.at(0).out), (vec![0], 1));
        links.handle_catalog(&catalog, 1, catalog.links_of(crate::model::ShardId(0)));
        assert!(links.choose().is_empty());
        assert_eq!((used(&links), links.at(0).is_bound), (BTreeSet::from([1]), true));
    }
}
