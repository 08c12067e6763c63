//! *Where*: ordered rules → route → carriers. The first rule that fits wins; a route is its rule's identity.

use crate::model::{CarrierId, Class, Head, Msisdn, RouteId, SenderId, TenantId};

/// When a rule applies: every list that is not empty must hold a fitting entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Leading digits of the recipient.
    pub prefixes: Vec<String>,
    /// Senders, whole; ending in `*`: what begins so.
    pub senders: Vec<String>,
    /// Classes.
    pub classes: Vec<Class>,
    /// Tenants.
    pub tenants: Vec<TenantId>,
    /// Tags, any of the message's.
    pub tags: Vec<String>,
}

/// A way to a handset over one carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The carrier.
    pub carrier: CarrierId,
    /// Share of the traffic, relative to the other ways of this route.
    pub weight: u32,
}

/// A rule and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its identity, for ever bound to its name.
    pub id: RouteId,
    /// Its name in the configuration.
    pub name: String,
    /// When it applies.
    pub when: Condition,
    /// Where it leads.
    pub ways: Vec<Way>,
}

/// What a rule may look at, borrowed from a message.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Recipient.
    pub to: Msisdn,
    /// Sender.
    pub from: &'a SenderId,
    /// Urgency.
    pub class: Class,
    /// Owner.
    pub tenant: TenantId,
    /// Tags, comma separated.
    pub tags: &'a str,
}

impl<'a> Question<'a> {
    /// The question that a message asks.
    pub const fn of(head: &Head, from: &'a SenderId, tags: &'a str) -> Self {
        Self { to: head.to, from, class: head.class, tenant: head.tenant, tags }
    }
}

/// The rules, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTable {
    /// First fit wins.
    pub routes: Vec<Route>,
}

impl RouteTable {
    /// The route of a message, if any rule fits.
    pub fn find(&self, question: &Question<'_>) -> Option<&Route> {
        let mut digits = [0; 15];
        let number = question.to.write_digits(&mut digits);
        self.routes.iter().find(|route| route.when.fits(number, question))
    }

    /// The route of that identity, if it still exists.
    pub fn get(&self, id: RouteId) -> Option<&Route> {
        self.routes.iter().find(|route| route.id == id)
    }

    /// Routes that lead over this carrier.
    pub fn over(&self, carrier: CarrierId) -> Vec<RouteId> {
        let leads = |route: &&Route| route.ways.iter().any(|way| way.carrier == carrier);
        self.routes.iter().filter(leads).map(|route| route.id).collect()
    }
}

impl Condition {
    fn fits(&self, number: &str, question: &Question<'_>) -> bool {
        (self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| number.starts_with(prefix.as_str())))
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
                        prefixes: vec!["49".into(), "43".into()],
                        classes: vec![Class::Otp],
                        ..Condition::default()
                    },
                ),
                route(2, Condition { tags: vec!["vip".into()], ..Condition::default() }),
                route(3, Condition { prefixes: vec!["49".into()], ..Condition::default() }),
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
