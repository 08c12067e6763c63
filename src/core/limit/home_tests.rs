//! What the home gives, and when.

use super::*;
use crate::limit::{Over, Per, Value, When};
use crate::model::{LimitId, Zone};

const SECOND: u64 = 1_000_000_000;
const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);

fn rule(id: u16, of: Of, amount: u64, span: Span) -> Rule {
    Rule {
        id: LimitId(id),
        name: id.to_string(),
        when: When::default(),
        per: Per::All,
        of,
        amount,
        span,
        over: Over::Wait,
    }
}

fn table(rules: &[Rule]) -> Arc<LimitTable> {
    Arc::new(LimitTable { rules: rules.to_vec() })
}

fn at(ns: u64) -> Now {
    Now { mono: Mono(5 * SECOND + ns), wall: Wall(1_700_000_000_000 + ns / 1_000_000) }
}

fn counters(rules: &[u16]) -> Arc<[Counter]> {
    rules.iter().map(|rule| Counter { rule: LimitId(*rule), value: Value::All }).collect()
}

fn units(messages: u64, parts: u64) -> Units {
    Units { messages, parts }
}

fn ask(shard: ShardId, rules: &[u16], wanted: Units, least: u8) -> ToHome {
    let (set, counters) = (SetNumber(rules.iter().map(|rule| u32::from(*rule)).sum()), counters(rules));
    ToHome::Ask(Asked { shard, set, counters, wanted, least: Units::message(least), unused: Units::default() })
}

/// As many as were given are used at that time, or fewer.
fn settled(rules: &[u16], given: Units, used: Units, now: Now) -> ToHome {
    ToHome::Settled(vec![Settled { counters: counters(rules), given, used, at: now.mono }])
}

fn hello(shard: ShardId, used: Vec<(Counter, Vec<(Wall, Units)>)>) -> ToHome {
    ToHome::Hello { shard, said: at(0), used }
}

struct World {
    home: Home,
    now: Now,
}

impl World {
    fn new(rules: &[Rule]) -> Self {
        let mut world = Self { home: Home::new([A, B], table(rules)), now: at(0) };
        world.tell(hello(A, Vec::new()));
        world.tell(hello(B, Vec::new()));
        world
    }

    fn tell(&mut self, mail: ToHome) {
        self.home.handle(mail, self.now);
        assert_eq!(self.home.check(), Ok(()));
    }

    fn given(&mut self) -> Vec<(ShardId, Units)> {
        let given = std::iter::from_fn(|| self.home.poll_given()).map(|(shard, given)| (shard, given.units)).collect();
        assert_eq!(self.home.check(), Ok(()));
        given
    }

    /// Goes on until the home wakes; gives how long that took, ms.
    fn wakes(&mut self) -> Option<u64> {
        let before = self.now;
        let ns = self.home.poll_timeout()?.since(before.mono);
        self.now = before.after_ns(ns.next_multiple_of(1_000_000));
        self.home.handle_timeout(self.now);
        Some(ns / 1_000_000)
    }
}

#[test]
fn what_is_given_counts_until_its_use_has_left_the_span() {
    let mut world = World::new(&[rule(1, Of::Parts, 5, Span::Sliding(1_000))]);
    world.tell(ask(A, &[1], units(10, 10), 1));
    assert_eq!(world.given(), [(A, units(5, 5))]);
    world.tell(ask(B, &[1], units(2, 2), 1));
    assert_eq!((world.given(), world.home.poll_timeout()), (vec![], None), "all is under way");
    world.now = at(SECOND / 2);
    world.tell(settled(&[1], units(5, 5), units(3, 4), world.now));
    assert_eq!(world.given(), [(B, units(1, 1))], "what was not written comes back");
    world.tell(settled(&[1], units(1, 1), units(1, 1), world.now));
    world.tell(ask(A, &[1], units(9, 9), 1));
    let wakes_in = world.wakes().expect("it has a time");
    assert!((1_003..=1_010).contains(&wakes_in), "{wakes_in} ms");
    assert_eq!(world.given(), [(A, units(5, 5))]);
}

#[test]
fn nothing_is_given_before_every_shard_has_said_what_it_used() {
    let counter = counters(&[1])[0].clone();
    let rules = [rule(1, Of::Messages, 5, Span::Sliding(10_000))];
    let mut world = World { home: Home::new([A, B], table(&rules)), now: at(0) };
    let used = |ago_ms: u64, messages| (Wall(at(0).wall.0 - ago_ms), units(messages, messages));
    world.tell(hello(A, vec![(counter.clone(), vec![used(20_000, 9), used(4_000, 1)])]));
    world.tell(ask(A, &[1], units(10, 10), 1));
    assert_eq!(world.given(), []);
    // The clock went back: what was used in its future counts from now.
    let ahead = (Wall(at(0).wall.0 + 86_400_000), units(2, 2));
    world.tell(hello(B, vec![(counter, vec![ahead])]));
    assert_eq!(world.given(), [(A, units(2, 510))], "parts are not counted");
    world.tell(ask(A, &[1], units(10, 10), 1));
    let wakes_in = world.wakes().expect("it has a time");
    assert!((6_000..=6_060).contains(&wakes_in), "{wakes_in} ms");
    assert_eq!(world.given(), [(A, units(1, 255))]);
}

/// Found with a daemon that was killed under a carrier that answers late: more seemed to be used than was ever allowed.
#[test]
fn after_a_start_no_span_seems_to_hold_more_than_it_may() {
    let counter = counters(&[1])[0].clone();
    let rules = [rule(1, Of::Messages, 5, Span::Sliding(10_000))];
    let mut world = World { home: Home::new([A, B], table(&rules)), now: at(0) };
    let used = |ago_ms: u64, messages| (Wall(at(0).wall.0 - ago_ms), units(messages, messages));
    world.tell(hello(A, vec![(counter.clone(), vec![used(8_000, 3), used(5_000, 1)])]));
    world.tell(hello(B, vec![(counter, vec![used(4_000, 3)])]));
    assert_eq!(world.home.look(world.now)[0].used, 5);
    world.tell(ask(A, &[1], units(9, 9), 1));
    let wakes_in = world.wakes().expect("it has a time");
    assert!((2_000..=2_060).contains(&wakes_in), "{wakes_in} ms");
    assert_eq!(world.given(), [(A, units(1, 255))], "of the oldest three one");
}

#[test]
fn a_set_gets_what_all_its_counters_have() {
    let rules = [rule(1, Of::Messages, 4, Span::Sliding(1_000)), rule(2, Of::Parts, 9, Span::Sliding(60_000))];
    let mut world = World::new(&rules);
    world.tell(ask(A, &[1, 2], units(10, 30), 1));
    assert_eq!(world.given(), [(A, units(4, 9))]);
    world.tell(settled(&[1, 2], units(4, 9), units(2, 6), world.now));
    world.tell(ask(B, &[2], units(10, 10), 3));
    assert_eq!(world.given(), [(B, units(3, 3))]);
    world.tell(ask(A, &[1, 2], units(1, 1), 1));
    world.tell(ask(A, &[1], units(9, 9), 1));
    assert_eq!(world.given(), [(A, units(2, 510))], "another set does not wait for the second counter");
    let seen: Vec<_> = world.home.look(world.now).into_iter().map(|seen| (seen.used, seen.wakes_in_ms)).collect();
    assert!(matches!(seen[..], [(4, Some(1_000..=1_020)), (9, Some(60_000..=60_300))]), "{seen:?}");
    assert_eq!(world.home.used(world.now), [(LimitId(1), 1.0), (LimitId(2), 1.0)]);
}

#[test]
fn asks_are_answered_in_their_order_and_one_that_needs_much_is_not_passed() {
    let mut world = World::new(&[rule(1, Of::Parts, 3, Span::Sliding(1_000))]);
    world.tell(ask(A, &[1], units(2, 2), 1));
    assert_eq!(world.given(), [(A, units(2, 2))]);
    world.tell(ask(A, &[1], units(1, 3), 3));
    world.tell(ask(B, &[1], units(1, 1), 1));
    assert_eq!(world.given(), [], "there is room for one part, but it is not B's turn");
    world.tell(settled(&[1], units(2, 2), units(0, 0), world.now));
    assert_eq!(world.given(), [(A, units(1, 3))]);
    world.tell(ToHome::Withdraw { shard: B, set: SetNumber(1), counters: counters(&[1]), unused: units(0, 0) });
    world.tell(settled(&[1], units(1, 3), units(0, 0), world.now));
    assert_eq!((world.given(), world.home.look(world.now)[0].used), (vec![], 0));
}

#[test]
fn an_ask_gives_back_what_is_left_and_replaces_the_one_before() {
    let mut world = World::new(&[rule(1, Of::Parts, 5, Span::Sliding(1_000))]);
    world.tell(ask(A, &[1], units(4, 4), 1));
    assert_eq!(world.given(), [(A, units(4, 4))]);
    let ToHome::Ask(asked) = ask(A, &[1], units(1, 5), 5) else { unreachable!("it asks") };
    world.tell(ToHome::Ask(Asked { unused: units(4, 4), ..asked }));
    assert_eq!(world.given(), [(A, units(1, 5))]);
    world.tell(ask(A, &[1], units(1, 1), 1));
    world.tell(ask(A, &[1], units(2, 2), 1));
    world.tell(settled(&[1], units(1, 5), units(0, 0), world.now));
    assert_eq!(world.given(), [(A, units(2, 2))]);
}

#[test]
fn a_month_begins_anew_by_the_calendar() {
    let mut world = World::new(&[rule(1, Of::Messages, 3, Span::Month(Zone::UTC))]);
    let new_year = Wall(1_704_067_200_000);
    world.now = Now { wall: Wall(new_year.0 - 3_000), ..world.now };
    world.tell(ask(A, &[1], units(9, 9), 1));
    assert_eq!(world.given(), [(A, units(3, 765))]);
    world.tell(settled(&[1], units(3, 765), units(3, 3), world.now));
    world.tell(ask(A, &[1], units(9, 9), 1));
    assert_eq!(world.wakes(), Some(3_000));
    assert_eq!((world.now.wall, world.given()), (new_year, vec![(A, units(3, 765))]));
}

#[test]
fn a_month_begins_at_midnight_of_its_zone() {
    // The first of October and of November, 2026, in Berlin: between them the clock is turned back.
    let (october, november) = (Wall(1_790_805_600_000), Wall(1_793_487_600_000));
    let zone = Zone::parse("Europe/Berlin").expect("a zone");
    let mut world = World::new(&[rule(1, Of::Messages, 3, Span::Month(zone))]);
    world.now = Now { wall: Wall(october.0 - 1), ..world.now };
    world.tell(ask(A, &[1], units(1, 1), 1));
    assert_eq!(world.given(), [(A, units(1, 255))]);
    world.tell(settled(&[1], units(1, 255), units(1, 1), world.now));
    world.now = Now { wall: october, ..world.now };
    world.tell(ask(A, &[1], units(9, 9), 1));
    assert_eq!(world.given(), [(A, units(3, 765))], "what was sent in September does not count");
    world.tell(settled(&[1], units(3, 765), units(3, 3), world.now));
    world.tell(ask(A, &[1], units(9, 9), 1));
    let wakes_in_ms: Vec<_> = world.home.look(world.now).into_iter().map(|seen| seen.wakes_in_ms).collect();
    assert_eq!(wakes_in_ms, [Some(november.0 - october.0)]);
    world.wakes();
    assert_eq!((world.now.wall, world.given()), (november, vec![(A, units(3, 765))]));
}

#[test]
fn rules_may_change_while_asks_wait() {
    let with = |amount| table(&[rule(1, Of::Parts, amount, Span::Sliding(1_000))]);
    let mut world = World::new(&with(2).rules);
    world.tell(ask(A, &[1], units(9, 9), 1));
    world.tell(ask(B, &[1], units(9, 9), 1));
    assert_eq!(world.given(), [(A, units(2, 2))]);
    world.home.set_rules(&with(5), world.now);
    assert_eq!(world.given(), [(B, units(3, 3))]);
    world.tell(ask(A, &[1], units(9, 9), 1));
    world.home.set_rules(&with(1), world.now);
    assert_eq!(world.given(), []);
    world.home.set_rules(&table(&[]), world.now);
    assert_eq!((world.given(), world.home.look(world.now)), (vec![], vec![]), "the shards do not know that it is gone");
    world.tell(ToHome::Withdraw { shard: A, set: SetNumber(1), counters: counters(&[1]), unused: units(0, 0) });
}

/// Random asks, uses and returns: no window ever holds more than its amount, and nearly all of it is used.
#[test]
fn no_span_ever_holds_more_than_the_amount() {
    let mut chance = crate::model::Prng::new(7);
    for (amount, span_ms) in [(1, 1_000), (7, 1_000), (100, 1_000), (50, 10_000)] {
        let mut world = World::new(&[rule(1, Of::Parts, amount, Span::Sliding(span_ms))]);
        let (mut under_way, mut written) = (Vec::new(), Vec::new());
        for shard in [A, B] {
            world.tell(ask(shard, &[1], units(64, 64), 1));
        }
        let until = world.now.mono.after_ms(20 * span_ms);
        while world.now.mono < until {
            for (shard, given) in world.given() {
                under_way.push((world.now.mono.after_ms(chance.below(3)), given.parts));
                world.tell(ask(shard, &[1], units(64, 64), 1));
            }
            let (due, later) = under_way.into_iter().partition(|(due, _)| *due <= world.now.mono);
            under_way = later;
            for (_, parts) in due {
                let used = if chance.below(4) == 0 { chance.below(parts + 1) } else { parts };
                (0..used).for_each(|_| written.push(world.now.mono));
                world.tell(settled(&[1], units(parts, parts), units(used, used), world.now));
            }
            world.now = world.now.after_ns(1_000_000);
            world.home.handle_timeout(world.now);
        }
        let most = amount as usize;
        let span = |from: usize| written[from + most].since(written[from]);
        assert!((0..written.len().saturating_sub(most)).all(|from| span(from) > span_ms * 1_000_000), "{amount}");
        assert!(written.len() * 100 >= most * 20 * 95, "{} of {}", written.len(), most * 20);
    }
}

fn breach(change: fn(&mut Home)) -> u8 {
    let mut world = World::new(&[rule(1, Of::Parts, 2, Span::Sliding(1_000))]);
    world.tell(ask(A, &[1], units(2, 2), 1));
    assert_eq!(world.given().len(), 1);
    world.tell(settled(&[1], units(2, 2), units(2, 2), world.now));
    world.tell(ask(B, &[1], units(2, 2), 1));
    change(&mut world.home);
    world.home.check().expect_err("a breach").number
}

#[test]
fn breaking_invariant_1_forgets_where_an_ask_waits() {
    assert_eq!(breach(|home| home.meters[0].waiting.clear()), 1);
    assert_eq!(breach(|home| home.asks.clear()), 1);
}

#[test]
fn breaking_invariant_2_gives_too_early() {
    let given = |home: &mut Home| home.given.push_back((A, Given { set: SetNumber(1), units: units(1, 1) }));
    let mut home = Home::new([A], table(&[]));
    given(&mut home);
    assert_eq!(home.check().expect_err("a breach").number, 2);
}

#[test]
fn breaking_invariant_3_wakes_no_ask() {
    assert_eq!(breach(|home| home.meters[0].wakes_at = None), 3);
}
