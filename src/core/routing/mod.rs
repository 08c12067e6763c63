//! Routing: ordered rules choose the route of a message, and the route names the carriers. The first matching rule wins.

use std::fmt;

use crate::model::{CarrierId, Class, Head, Msisdn, RouteId, SenderId, TenantId};

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

/// First digits of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    digits: u8,
    number: u64,
}

/// The first digits of a number, by how many they are: one comparison decides on a prefix, and there may be hundreds.
#[derive(Clone, Copy, Debug)]
struct Beginnings([u64; Msisdn::DIGITS_MAX + 1]);

impl Prefix {
    /// A prefix of 1 to 15 digits; `None` for anything else.
    pub fn new(text: &str) -> Option<Self> {
        let is_good =
            (1..=Msisdn::DIGITS_MAX).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
        let number = text.parse().ok().filter(|_| is_good)?;
        Some(Self { digits: text.len() as u8, number })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:0digits$}", self.number, digits = usize::from(self.digits))
    }
}

impl Beginnings {
    fn of(number: Msisdn) -> Self {
        let mut rest = number.number();
        // No number begins so.
        let mut all = [u64::MAX; Msisdn::DIGITS_MAX + 1];
        for at in (1..=rest.checked_ilog10().map_or(0, |log| log as usize + 1)).rev() {
            all[at] = rest;
            rest /= 10;
        }
        Self(all)
    }

    const fn begins_with(&self, prefix: Prefix) -> bool {
        self.0[prefix.digits as usize] == prefix.number
    }
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
    fn a_prefix_is_compared_digit_by_digit() {
        let prefix = |text| Prefix::new(text).expect("digits");
        let begins =
            |number, text| Beginnings::of(Msisdn::from_number(number).expect("a number")).begins_with(prefix(text));
        for (number, text) in [(4_915_112_345, "4"), (4_915_112_345, "49151"), (123_456_789_012_345, "123456789012345")]
        {
            assert!(begins(number, text), "{number} {text}");
        }
        for (number, text) in
            [(4_915_112_345, "5"), (4_915_112_345, "049"), (1_000_000, "10000000"), (4_915_112, "49152")]
        {
            assert!(!begins(number, text), "{number} {text}");
        }
        assert_eq!(["", "1234567890123456", "4a", "+49"].map(Prefix::new), [None; 4]);
        assert_eq!(["049", "7"].map(|text| prefix(text).to_string()), ["049", "7"]);
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
