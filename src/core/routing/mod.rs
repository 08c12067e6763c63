//! Routing: ordered rules choose the route of a message, and the route names the carriers. The first matching rule wins.

use crate::model::{Beginnings, CarrierId, Class, Head, Msisdn, Prefix, RouteId, SenderId, TenantId};

/// When a rule applies: every list that is not empty must contain a matching entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Leading digits of the recipient.
    pub prefixes: Vec<Prefix>,
    /// Senders, compared as a whole; an entry that ends in `*` matches all senders with that prefix.
    pub senders: Vec<String>,
    pub classes: Vec<Class>,
    pub tenants: Vec<TenantId>,
    /// Tags; one of the message's tags must be among them.
    pub tags: Vec<String>,
}

/// One carrier of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub carrier: CarrierId,
    /// Share of the traffic relative to the other carriers of this route. Routing does not read it: in this version the carriers
    /// of a route share evenly, and the configuration accepts only equal weights.
    pub weight: u32,
}

/// A rule and the carriers to which it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Number of the route; a name keeps its number for ever.
    pub id: RouteId,
    /// Its name in the configuration.
    pub name: String,
    /// The messages to which it applies.
    pub when: Condition,
    /// Its carriers.
    pub ways: Vec<Way>,
}

/// The fields of a message that a rule may look at.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub to: Msisdn,
    pub from: &'a SenderId,
    pub class: Class,
    pub tenant: TenantId,
    /// Comma-separated.
    pub tags: &'a str,
}

impl<'a> Question<'a> {
    /// Takes these fields from a message.
    pub const fn of(head: &Head, from: &'a SenderId, tags: &'a str) -> Self {
        Self { to: head.to, from, class: head.class, tenant: head.tenant, tags }
    }
}

/// All routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTable {
    /// In the order in which they are tried; the first that matches wins.
    pub routes: Vec<Route>,
}

impl RouteTable {
    /// The first route whose rule matches the message.
    pub fn find(&self, question: &Question<'_>) -> Option<&Route> {
        let number = Beginnings::of(question.to);
        self.routes.iter().find(|route| route.when.fits(&number, question))
    }

    /// The route with this number, if it still exists.
    pub fn get(&self, id: RouteId) -> Option<&Route> {
        self.routes.iter().find(|route| route.id == id)
    }

    /// All routes that lead to this carrier.
    pub fn over(&self, carrier: CarrierId) -> Vec<RouteId> {
        let leads = |route: &&Route| route.ways.iter().any(|way| way.carrier == carrier);
        self.routes.iter().filter(leads).map(|route| route.id).collect()
    }
}

impl Condition {
    fn fits(&self, number: &Beginnings, question: &Question<'_>) -> bool {
        (self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| number.begins_with(*prefix)))
            && (self.senders.is_empty() || self.senders.iter().any(|pattern| question.from.fits(pattern)))
            && (self.classes.is_empty() || self.classes.contains(&question.class))
            && (self.tenants.is_empty() || self.tenants.contains(&question.tenant))
            && (self.tags.is_empty()
                || question.tags.split(',').any(|tag| self.tags.iter().any(|wanted| wanted == tag)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(id: u16, when: Condition) -> Route {
        Route { id: RouteId(id), name: id.to_string(), when, ways: vec![Way { carrier: CarrierId(id), weight: 1 }] }
    }

    #[test]
    fn the_first_rule_that_fits_wins() {
        let table = RouteTable {
            routes: vec![
                route(
                    1,
                    Condition {
                        prefixes: ["49", "43"].into_iter().filter_map(Prefix::new).collect(),
                        classes: vec![Class::Otp],
                        ..Condition::default()
                    },
                ),
                route(2, Condition { tags: vec!["vip".into()], ..Condition::default() }),
                route(3, Condition { prefixes: Prefix::new("49").into_iter().collect(), ..Condition::default() }),
            ],
        };
        let find = |to: &str, class, tags| {
            let to = Msisdn::from_digits(to.as_bytes()).expect("number");
            let question = Question { to, from: &SenderId::default(), class, tenant: TenantId(0), tags };
            table.find(&question).map(|route| route.id.0)
        };
        assert_eq!(find("4915112345", Class::Otp, ""), Some(1));
        assert_eq!(find("4915112345", Class::Marketing, "a,vip"), Some(2));
        assert_eq!(find("4915112345", Class::Marketing, "a"), Some(3));
        assert_eq!(find("3315112345", Class::Otp, ""), None);
        assert_eq!(table.over(CarrierId(2)), vec![RouteId(2)]);
    }
}
