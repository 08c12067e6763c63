//! The cache of names with lookups that succeed, fail, or do not end.

use std::net::Ipv4Addr;

use super::*;

const SECOND: u64 = 1_000_000_000;
const FAR: Mono = Mono(u64::MAX);

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn at(seconds: u64) -> Mono {
    Mono(100 * SECOND + seconds * SECOND)
}

/// Asks for a name, and lets its lookup find one address.
fn found(names: &mut Names, name: &str, last: u8, now: Mono) {
    let number = names.ask(name, now).expect("room");
    assert_eq!(names.begin().as_deref(), Some(name));
    names.end(name, vec![address(last)], now);
    assert_eq!(names.look(name, number, now, FAR), NameState::Addresses(vec![address(last)]));
}

#[test]
fn one_lookup_serves_all_who_ask() {
    let mut names = Names::new(4);
    let (first, second) = (names.ask("a", at(0)).expect("room"), names.ask("a", at(1)).expect("room"));
    assert_eq!((first, names.begin().as_deref()), (second, Some("a")));
    assert_eq!(names.begin(), None, "it is being looked up");
    let third = names.ask("a", at(2)).expect("room");
    assert_eq!(names.look("a", third, at(2), FAR), NameState::NotYet);
    names.end("a", vec![address(1), address(2), address(1)], at(3));
    for number in [first, second, third] {
        assert_eq!(names.look("a", number, at(3), FAR), NameState::Addresses(vec![address(1), address(2)]));
    }
    let soon = names.ask("a", at(7)).expect("room");
    assert_eq!(names.look("a", soon, at(7), FAR), NameState::Addresses(vec![address(1), address(2)]), "it is fresh");
    assert_eq!(names.begin(), None);
    names.ask("a", at(8)).expect("room");
    assert_eq!(names.begin().as_deref(), Some("a"), "it is not any more");
    assert_eq!(names.counters(), Counters { found: 1, ..Counters::default() });
}

#[test]
fn what_was_last_found_serves_when_a_lookup_fails_or_takes_long() {
    let mut names = Names::new(4);
    found(&mut names, "a", 1, at(0));
    let number = names.ask("a", at(60)).expect("room");
    assert_eq!(names.begin().as_deref(), Some("a"));
    assert_eq!(names.look("a", number, at(60), FAR), NameState::NotYet);
    assert_eq!(names.look("a", number, at(61), FAR), NameState::Addresses(vec![address(1)]), "it takes long");
    let next = names.ask("a", at(65)).expect("room");
    assert_eq!(names.look("a", next, at(65), FAR), NameState::Addresses(vec![address(1)]), "and took long before");
    assert_eq!(names.end("a", Vec::new(), at(70)), Turn::Failed(true));
    assert_eq!(names.look("a", number, at(70), FAR), NameState::Addresses(vec![address(1)]), "it failed");
    assert_eq!(names.counters(), Counters { found: 1, failed: 1, outdated: 3, ..Counters::default() });
    let number = names.ask("a", at(80)).expect("room");
    names.begin();
    assert_eq!(names.end("a", vec![address(2)], at(80)), Turn::Mended);
    assert_eq!(names.look("a", number, at(80), FAR), NameState::Addresses(vec![address(2)]));
}

#[test]
fn without_addresses_it_is_waited_until_the_deadline() {
    let mut names = Names::new(4);
    let number = names.ask("a", at(0)).expect("room");
    names.begin();
    assert_eq!(names.look("a", number, at(9), at(10)), NameState::NotYet);
    assert_eq!(names.look("a", number, at(10), at(10)), NameState::None(NoAddress::Slow));
    assert_eq!(names.end("a", Vec::new(), at(11)), Turn::Failed(false));
    assert_eq!(names.look("a", number, at(11), FAR), NameState::None(NoAddress::NotFound));
    let soon = names.ask("a", at(11)).expect("room");
    assert_eq!(names.look("a", soon, at(11), FAR), NameState::None(NoAddress::NotFound), "no second lookup so soon");
    names.ask("a", at(12)).expect("room");
    assert_eq!(names.begin().as_deref(), Some("a"));
    assert_eq!(names.end("a", Vec::new(), at(12)), Turn::Same, "told once");
}

#[test]
fn names_whose_lookup_failed_leave_a_thread_to_the_others() {
    let mut names = Names::new(3);
    for name in ["a", "b", "c"] {
        names.ask(name, at(0)).expect("room");
    }
    let begun: Vec<_> = std::iter::from_fn(|| names.begin()).collect();
    assert_eq!(begun, ["a", "b", "c"], "they have not failed yet");
    for name in ["a", "b", "c"] {
        names.end(name, Vec::new(), at(10));
        names.ask(name, at(20)).expect("room");
    }
    assert_eq!((names.begin().as_deref(), names.begin().as_deref(), names.begin()), (Some("a"), Some("b"), None));
    names.ask("d", at(20)).expect("room");
    assert_eq!((names.begin().as_deref(), names.begin()), (Some("d"), None), "it overtakes the one that failed");
    names.end("a", Vec::new(), at(30));
    assert_eq!(names.begin().as_deref(), Some("c"));
}

#[test]
fn the_number_of_names_and_of_their_addresses_is_bounded() {
    let mut names = Names::new(4);
    for number in 0..NAMES_MAX {
        found(&mut names, &number.to_string(), 1, at(0));
    }
    found(&mut names, "0", 1, at(60));
    found(&mut names, "one more", 1, at(60));
    assert_eq!(names.known.len(), NAMES_MAX);
    assert!(names.known.contains_key("0") && !names.known.contains_key("1"), "the one asked for longest ago has gone");
    for name in names.known.keys().cloned().collect::<Vec<_>>() {
        names.ask(&name, at(120)).expect("it is remembered already");
    }
    assert_eq!(names.ask("yet another", at(120)), Err(NoAddress::Full));
    assert_eq!((names.known.len(), names.counters().refused), (NAMES_MAX, 1));
    let name = names.begin().expect("one of them");
    names.end(&name, (0..100).map(address).collect(), at(121));
    assert_eq!(names.known[&name].addresses, (0..ADDRESSES_MAX as u8).map(address).collect::<Vec<_>>());
    assert!(names.ask("yet another", at(121)).is_ok());
}
