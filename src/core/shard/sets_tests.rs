//! Which set of counters a message gets.

use super::*;
use crate::limit::{Of, Over, Per, Rule, Span, Value, When};
use crate::model::{CarrierId, Class, Msisdn, RouteId, SenderId, TenantId, Zone};
use crate::routing::{Condition, Route, RouteTable, Way};

fn rule(id: u16, per: Per, over: Over) -> Rule {
    let (when, of, span) = (When::default(), Of::Parts, Span::Sliding(1_000));
    Rule { id: LimitId(id), name: id.to_string(), when, per, of, amount: 5, span, over }
}

fn table(rules: Vec<Rule>) -> Catalog {
    Catalog { limits: Arc::new(LimitTable { rules }), ..Catalog::default() }
}

fn judged(sets: &mut Sets, tenant: u32, tags: &str, parts: u8) -> Result<SetNumber, Refusal> {
    judged_by(&Catalog::default(), sets, tenant, tags, parts)
}

fn judged_by(catalog: &Catalog, sets: &mut Sets, tenant: u32, tags: &str, parts: u8) -> Result<SetNumber, Refusal> {
    let mut arena = Vec::new();
    Content { from: SenderId::parse("ACME").expect("a sender"), tags, ..Content::default() }.encode(&mut arena);
    let to = Msisdn::from_number(4_915_112_345_678).expect("a number");
    let (class, tenant, route) = (Class::Otp, TenantId(tenant), RouteId(1));
    let judged = sets.judge(&Head { to, class, tenant, parts, route, ..Head::default() }, &arena, catalog, 9);
    assert_eq!(sets.check(), Ok(()));
    judged
}

#[test]
fn messages_with_the_same_counters_have_one_set() {
    let mut sets = Sets::recorded(Vec::new());
    assert_eq!(judged(&mut sets, 1, "", 1), Ok(SetNumber::NONE), "there is no limit");
    assert!(sets.set_rules(&table(vec![rule(1, Per::Tenant, Over::Wait), rule(2, Per::Tag, Over::Wait)])));
    let numbers = [(1, ""), (2, ""), (1, "a"), (1, "")].map(|(tenant, tag)| judged(&mut sets, tenant, tag, 1));
    assert_eq!(numbers, [1, 2, 3, 1].map(|number| Ok(SetNumber(number))));
    (4..9).for_each(|tenant| assert!(judged(&mut sets, tenant, "", 1).is_ok()));
    assert_eq!(judged(&mut sets, 3, "", 1), Err(Refusal::LimitsFull), "no number is left");
    assert_eq!(judged(&mut sets, 1, "", 6), Err(Refusal::OverLimit), "more parts than ever pass at once");
    assert_eq!(sets.counters(SetNumber(2))[..], [Counter { rule: LimitId(1), value: Value::Tenant(TenantId(2)) }]);
    let new: Vec<_> = sets.unrecorded().collect();
    let recorded = sets.take_new();
    assert_eq!((new.len(), recorded.len(), sets.take_new().len()), (8, 8, 0));
    let mut again = Sets::recorded(recorded.into_iter().map(|(_, set)| set).collect());
    again.set_rules(&table(vec![rule(1, Per::Tenant, Over::Wait), rule(2, Per::Tag, Over::Wait)]));
    assert_eq!(judged(&mut again, 2, "", 1), Ok(SetNumber(2)));
}

#[test]
fn sets_are_stale_under_other_rules_and_fit_again_under_the_same() {
    let (one, other) = (table(vec![rule(1, Per::All, Over::Wait)]), table(vec![rule(1, Per::Tenant, Over::Wait)]));
    let mut sets = Sets::recorded(Vec::new());
    sets.set_rules(&one);
    let set = judged(&mut sets, 1, "", 1).expect("a set");
    let faster = table(vec![Rule { amount: 900, span: Span::Month(Zone::UTC), ..rule(1, Per::All, Over::Wait) }]);
    let least = table(vec![Rule { amount: 800, ..rule(1, Per::All, Over::Wait) }]);
    assert!(sets.set_rules(&faster) && !sets.set_rules(&least), "only what one message may have counts");
    for (rules, stale) in
        [(&one, [true, false]), (&other, [true, true]), (&one, [true, false]), (&table(vec![]), [false, true])]
    {
        sets.set_rules(rules);
        assert_eq!([SetNumber::NONE, set].map(|set| sets.is_stale(set)), stale);
    }
}

/// A route over these carriers.
fn routed(carriers: &[u16], rules: &[Rule]) -> Catalog {
    let ways = carriers.iter().map(|carrier| Way { carrier: CarrierId(*carrier), weight: 1 }).collect();
    let route = Route { id: RouteId(1), name: "all".into(), when: Condition::default(), ways };
    Catalog { routes: RouteTable { routes: vec![route] }, ..table(rules.to_vec()) }
}

#[test]
fn the_carrier_that_sends_a_message_decides_on_its_counters() {
    let only = When { carriers: vec![CarrierId(8)], ..When::default() };
    let rules = [rule(1, Per::Tag, Over::Wait), Rule { when: only, amount: 2, ..rule(2, Per::Carrier, Over::Wait) }];
    let catalog = routed(&[7, 8, 9], &rules);
    let mut sets = Sets::recorded(Vec::new());
    assert!(sets.set_rules(&catalog) && !sets.set_rules(&catalog));
    let set = judged_by(&catalog, &mut sets, 1, "", 1).expect("a set");
    let counters = |sets: &Sets, carrier| sets.counters(sets.over(set, CarrierId(carrier))).to_vec();
    let own = Counter { rule: LimitId(2), value: Value::Carrier(CarrierId(8)) };
    assert_eq!([7, 8, 9].map(|carrier| counters(&sets, carrier)), [vec![], vec![own.clone()], vec![]]);
    assert_eq!((sets.counters(set).len(), sets.counters_of_all(set).collect::<Vec<_>>()), (0, vec![&own]));
    assert_eq!(judged_by(&catalog, &mut sets, 2, "", 1), Ok(set), "the same for another");
    let long = judged_by(&catalog, &mut sets, 1, "", 3).expect("a set");
    let carriers: Vec<_> = sets.each(long).iter().map(|(carrier, _)| carrier.0).collect();
    assert_eq!(carriers, [7, 9], "it has more parts than the other ever takes");
    assert_eq!(judged_by(&catalog, &mut sets, 1, "a", 6), Err(Refusal::OverLimit));

    assert!(sets.set_rules(&routed(&[7, 8], &rules)), "the route has other carriers");
    assert!(sets.is_stale(set) && !sets.is_stale(sets.over(set, CarrierId(8))));
    assert!(sets.set_rules(&routed(&[9, 7], &rules[..1])));
    let plain = judged_by(&routed(&[9, 7], &rules[..1]), &mut sets, 1, "a", 1).expect("a set");
    assert!(sets.each(plain).is_empty(), "no rule looks at carriers");
    let mut again = Sets::recorded(sets.take_new().into_iter().map(|(_, set)| set).collect());
    again.set_rules(&catalog);
    assert_eq!(judged_by(&catalog, &mut again, 1, "", 1), Ok(set), "a start knows it");
}

#[test]
fn messages_are_refused_when_no_carrier_would_let_more_pass() {
    let refuses = [rule(1, Per::Carrier, Over::Refuse)];
    let catalog = routed(&[7, 8], &refuses);
    let mut sets = Sets::recorded(Vec::new());
    sets.set_rules(&catalog);
    let set = judged_by(&catalog, &mut sets, 1, "", 1).expect("a set");
    assert_eq!((0..99).filter(|_| sets.admits(set, || 0, 1)).count(), 10);
    let only = When { carriers: vec![CarrierId(7)], ..When::default() };
    let catalog = routed(&[7, 8], &[Rule { when: only, ..rule(1, Per::Carrier, Over::Refuse) }]);
    sets.set_rules(&catalog);
    let set = judged_by(&catalog, &mut sets, 1, "", 1).expect("a set");
    assert_eq!((0..99).filter(|_| sets.admits(set, || 0, 1)).count(), 99, "the other has no limit");
}

#[test]
fn of_a_limit_that_refuses_no_more_wait_than_it_lets_pass() {
    let mut sets = Sets::recorded(Vec::new());
    sets.set_rules(&table(vec![rule(1, Per::All, Over::Refuse)]));
    let set = judged(&mut sets, 1, "", 1).expect("a set");
    let mut admitted = |waiting| (0..9).filter(|_| sets.admits(set, || waiting, 2)).count();
    assert_eq!([admitted(0), admitted(0)], [3, 0], "half of it in each of two shards");
    sets.entered();
    assert_eq!((0..9).filter(|_| sets.admits(set, || 2, 2)).count(), 1);
    assert!(sets.admits(SetNumber::NONE, || 99, 2));
}

fn breach(change: fn(&mut Sets)) -> u8 {
    let mut sets = Sets::recorded(Vec::new());
    sets.set_rules(&table(vec![rule(1, Per::Tenant, Over::Wait)]));
    for tenant in [1, 2] {
        judged(&mut sets, tenant, "", 1).expect("a set");
    }
    change(&mut sets);
    sets.check().expect_err("a breach").number
}

#[test]
fn breaking_invariant_1_gives_a_number_again() {
    assert_eq!(breach(|sets| sets.of.swap(1, 2)), 1);
    assert_eq!(breach(|sets| sets.of.truncate(2)), 1);
}

#[test]
fn breaking_invariant_2_records_a_set_that_is_not_there() {
    assert_eq!(breach(|sets| sets.recorded = 9), 2);
}

#[test]
fn breaking_invariant_3_has_more_sets_than_there_may_be() {
    let set = |print| CounterSet { print, ..CounterSet::default() };
    let sets = Sets::recorded((1..=2 * SETS_MAX as u64).map(set).collect());
    assert_eq!(sets.check().expect_err("a breach").number, 3);
}
