//! What is limited: rules, and the counters that a message counts on.
//!
//! A rule says which messages it is about, for which values they are counted apart, and how much may be sent in which time. A
//! counter is a rule and one such value. Knows no counts (`home.rs`).

use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use crate::model::{CarrierId, Class, Country, LimitId, Msisdn, SenderId, SetNumber, TenantId, Zone};

/// Most rules of a configuration.
pub const RULES_MAX: usize = 1_000;

/// By what messages of one rule are counted apart: one counter for each value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Per {
    /// One counter for all.
    #[default]
    All,
    Tenant,
    Carrier,
    Sender,
    Country,
    /// A message with several tags counts on a counter for each.
    Tag,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Of {
    #[default]
    Parts,
    Messages,
}

/// The time in which no more than the amount is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Any interval of that length, ms.
    Sliding(u64),
    /// A month of the calendar in that zone.
    Month(Zone),
}

/// What happens to a message that finds a counter spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Over {
    /// It waits until there is room.
    #[default]
    Wait,
    /// A new message is refused while its counter has no room for those that wait.
    Refuse,
}

/// Which messages a rule is about: every list that is not empty must contain a matching entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    pub countries: Vec<Country>,
    pub classes: Vec<Class>,
    pub tenants: Vec<TenantId>,
    pub carriers: Vec<CarrierId>,
    /// One of the message's tags must be among them.
    pub tags: Vec<String>,
    /// Senders, compared as a whole; an entry that ends in `*` matches all senders with that prefix.
    pub senders: Vec<String>,
}

/// One `[[limit]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Number of the rule; a name keeps its number for ever.
    pub id: LimitId,
    /// Its name in the configuration.
    pub name: String,
    pub when: When,
    pub per: Per,
    pub of: Of,
    /// How many parts or messages may be sent within `span`, for each value of `per`; at least 1.
    pub amount: u64,
    pub span: Span,
    pub over: Over,
}

/// The value for which a counter counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    #[default]
    All,
    Tenant(TenantId),
    Carrier(CarrierId),
    Sender(SenderId),
    Country(Country),
    Tag(String),
}

/// One counter: a rule and a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counter {
    pub rule: LimitId,
    pub value: Value,
}

/// The counters on which a message counts, as one value that a shard numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CounterSet {
    /// A hash of all by which the message was judged: the rules, and if they look at carriers, those of its route.
    pub print: u64,
    /// Ascending.
    pub counters: Arc<[Counter]>,
    /// If the carrier that will send the message decides on its counters: the set on which it counts for each. A carrier that
    /// is missing never sends it, and `counters` is empty.
    pub each: Arc<[(CarrierId, SetNumber)]>,
}

/// How much is sent, or may be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units {
    pub messages: u64,
    pub parts: u64,
}

impl Units {
    /// One message of that many parts.
    pub const fn message(parts: u8) -> Self {
        Self { messages: 1, parts: parts as u64 }
    }

    /// The number that counts for a rule.
    pub const fn of(self, of: Of) -> u64 {
        match of {
            Of::Parts => self.parts,
            Of::Messages => self.messages,
        }
    }

    /// Whether it is nothing.
    pub const fn is_zero(self) -> bool {
        self.messages == 0 && self.parts == 0
    }

    /// Adds other units.
    pub const fn add(&mut self, more: Self) {
        self.messages += more.messages;
        self.parts += more.parts;
    }

    /// Takes other units off; never below zero.
    pub const fn take_off(&mut self, less: Self) {
        self.messages = self.messages.saturating_sub(less.messages);
        self.parts = self.parts.saturating_sub(less.parts);
    }
}

/// What a rule may look at in a message.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub to: Msisdn,
    pub from: &'a SenderId,
    pub class: Class,
    pub tenant: TenantId,
    /// The carrier that sends it; `None` if its route is gone.
    pub carrier: Option<CarrierId>,
    /// Comma-separated.
    pub tags: &'a str,
}

/// All rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitTable {
    /// At most [`RULES_MAX`].
    pub rules: Vec<Rule>,
}

impl LimitTable {
    /// The rule with this number, if it still exists.
    pub fn get(&self, id: LimitId) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == id)
    }

    /// Whether no message has a counter.
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// A hash of all that decides on which counters a message counts, and whether one message alone is too much; 0 if there
    /// are no rules. If it changes, every message that waits is judged anew.
    pub fn print(&self) -> u64 {
        if self.rules.is_empty() {
            return 0;
        }
        let mut hash = Xxh3::new();
        for Rule { id, when, per, of, amount, .. } in &self.rules {
            let least = (*of == Of::Parts).then_some((*amount).min(u64::from(u8::MAX)));
            hash.update(format!("{id:?} {when:?} {per:?} {of:?} {least:?}").as_bytes());
        }
        hash.digest().max(1)
    }

    /// Whether a message of that many parts is more than one of these counters allows within its whole span.
    pub fn is_too_much(&self, counters: &[Counter], parts: u8) -> bool {
        let most =
            |counter: &Counter| self.get(counter.rule).filter(|rule| rule.of == Of::Parts).map(|rule| rule.amount);
        counters.iter().filter_map(most).any(|most| most < u64::from(parts))
    }

    /// The most that a tightest of these counters allows within its span, among those over which messages are refused.
    pub fn refused_over(&self, counters: &[Counter]) -> Option<u64> {
        let most =
            |counter: &Counter| self.get(counter.rule).filter(|rule| rule.over == Over::Refuse).map(|rule| rule.amount);
        counters.iter().filter_map(most).min()
    }

    /// Whether a rule looks at what is in a message's content: its sender or its tags.
    pub fn reads_content(&self) -> bool {
        let reads = |rule: &Rule| {
            matches!(rule.per, Per::Sender | Per::Tag) || !rule.when.tags.is_empty() || !rule.when.senders.is_empty()
        };
        self.rules.iter().any(reads)
    }

    /// Whether a rule looks at the recipient's country.
    pub fn reads_country(&self) -> bool {
        self.rules.iter().any(|rule| rule.per == Per::Country || !rule.when.countries.is_empty())
    }

    /// Whether a rule looks at the carrier that sends a message.
    pub fn reads_carrier(&self) -> bool {
        self.rules.iter().any(|rule| rule.per == Per::Carrier || !rule.when.carriers.is_empty())
    }

    /// The counters on which a message counts, in ascending order. `country`: the recipient's, if [`Self::reads_country`].
    pub fn counters(&self, subject: &Subject<'_>, country: Option<Country>) -> Vec<Counter> {
        let mut counters = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.when.fits(subject, country)) {
            let mut add = |value| counters.push(Counter { rule: rule.id, value });
            match rule.per {
                Per::All => add(Value::All),
                Per::Tenant => add(Value::Tenant(subject.tenant)),
                Per::Carrier => subject.carrier.into_iter().for_each(|carrier| add(Value::Carrier(carrier))),
                Per::Sender => add(Value::Sender(*subject.from)),
                Per::Country => country.into_iter().for_each(|country| add(Value::Country(country))),
                Per::Tag => subject.tags().for_each(|tag| add(Value::Tag(tag.to_owned()))),
            }
        }
        counters.sort_unstable();
        counters.dedup();
        counters
    }
}

impl<'a> Subject<'a> {
    fn tags(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.tags.split(',').filter(|tag| !tag.is_empty())
    }
}

impl When {
    fn fits(&self, subject: &Subject<'_>, country: Option<Country>) -> bool {
        let has = |carrier| self.carriers.contains(&carrier);
        (self.countries.is_empty() || country.is_some_and(|country| self.countries.contains(&country)))
            && (self.classes.is_empty() || self.classes.contains(&subject.class))
            && (self.tenants.is_empty() || self.tenants.contains(&subject.tenant))
            && (self.carriers.is_empty() || subject.carrier.is_some_and(has))
            && (self.tags.is_empty() || subject.tags().any(|tag| self.tags.iter().any(|wanted| wanted == tag)))
            && (self.senders.is_empty() || self.senders.iter().any(|pattern| subject.from.fits(pattern)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: u16, per: Per, when: When) -> Rule {
        let (of, span) = (Of::Parts, Span::Sliding(1_000));
        Rule { id: LimitId(id), name: id.to_string(), when, per, of, amount: 1, span, over: Over::Wait }
    }

    #[test]
    fn a_message_counts_on_every_rule_that_fits() {
        let de = Country::new("DE").expect("a country");
        let table = LimitTable {
            rules: vec![
                rule(1, Per::All, When::default()),
                rule(2, Per::Tag, When { classes: vec![Class::Marketing], ..When::default() }),
                rule(3, Per::Country, When { countries: vec![de], ..When::default() }),
                rule(4, Per::Sender, When { senders: vec!["AC*".into()], tags: vec!["b".into()], ..When::default() }),
                rule(5, Per::Carrier, When { carriers: vec![CarrierId(3)], ..When::default() }),
                rule(6, Per::Tenant, When { tenants: vec![TenantId(7), TenantId(8)], ..When::default() }),
            ],
        };
        let from = SenderId::parse("ACME").expect("a sender");
        let to = Msisdn::from_digits(b"4915112345").expect("a number");
        let of = |class, tags, tenant, carrier, country| {
            let subject = Subject { to, from: &from, class, tenant: TenantId(tenant), carrier, tags };
            let mut found = Vec::new();
            for Counter { rule, value } in table.counters(&subject, country) {
                found.push((rule.0, value));
            }
            found
        };
        assert_eq!(of(Class::Otp, "", 1, None, None), [(1, Value::All)]);
        let tagged = of(Class::Marketing, "a,b", 7, Some(CarrierId(3)), Some(de));
        let expected = [
            (1, Value::All),
            (2, Value::Tag("a".into())),
            (2, Value::Tag("b".into())),
            (3, Value::Country(de)),
            (4, Value::Sender(from)),
            (5, Value::Carrier(CarrierId(3))),
            (6, Value::Tenant(TenantId(7))),
        ];
        assert_eq!(tagged, expected);
        assert_eq!(of(Class::Otp, "a,a", 1, Some(CarrierId(2)), Country::new("FR")), [(1, Value::All)]);
        let reads = |table: &LimitTable| [table.reads_content(), table.reads_country(), table.reads_carrier()];
        assert_eq!((reads(&table), reads(&LimitTable::default())), ([true; 3], [false; 3]));
    }
}
