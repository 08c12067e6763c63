//! Breaks each invariant of the prepared messages, as a bug would, and asserts that the check notices.

use std::sync::Arc;

use super::*;
use crate::model::{Address, Head, Msisdn};

const BULK: Class = Class::Transactional;

/// Three messages to one number, and one to another.
fn prepared() -> Prepared {
    let mut prepared = Prepared::new(2, 7);
    for (slot, number) in [(0, 1), (1, 1), (2, 1), (3, 2)] {
        let to = Msisdn::from_number(4_915_112_345_000 + number).expect("a number");
        let submit = Submit {
            address: Address::new(1, slot),
            attempt: 1,
            reference: 1,
            head: Head { to, class: BULK, ..Head::default() },
            arena: Arc::default(),
            answered: None,
            cut: 0,
            trial: None,
            weight: 1,
        };
        prepared.insert(ShardId(0), submit);
    }
    prepared
}

/// Sends the first part of a bind's next message.
fn send(prepared: &mut Prepared, bind: u16) -> Awaited {
    let index = prepared.next(bind, false).expect("a message");
    prepared.get_mut(index).expect("is here").parts.handle_sent(1, 1);
    prepared.put(bind, index);
    Awaited { index, part: 1, bind }
}

fn broken(prepared: &Prepared, awaited: &[Awaited]) -> Option<(&'static str, u8)> {
    prepared.check(awaited.to_vec()).err().map(|broken| (broken.file, broken.number))
}

const HERE: &str = "stentor_core::link::prepared";

#[test]
fn breaking_invariant_1_is_noticed() {
    let mut prepared = prepared();
    let first = send(&mut prepared, 0);
    assert_eq!(prepared.check(vec![first]), Ok(()));
    let elsewhere = Awaited { bind: 1, ..first };
    assert_eq!(broken(&prepared, &[elsewhere]), Some((HERE, 1)), "it counts as being at another bind");
    // As if the place of the first message had not been recorded.
    prepared.stays.clear();
    let second = send(&mut prepared, 1);
    assert_eq!(broken(&prepared, &[first, second]), Some((HERE, 1)));
}

#[test]
fn breaking_invariant_2_is_noticed() {
    let mut prepared = prepared();
    prepared.shared[BULK.index()].swap(0, 1);
    assert_eq!(broken(&prepared, &[]), Some((HERE, 2)));
    let mut prepared = self::prepared();
    // As if the second one had been taken first.
    let second = prepared.shared[BULK.index()].remove(1).expect("there");
    prepared.keep(0, second, Place::Own(0));
    assert_eq!(broken(&prepared, &[]), Some((HERE, 2)));
}

#[test]
fn breaking_invariant_3_is_noticed() {
    let mut prepared = prepared();
    let index = prepared.next(0, false).expect("a message");
    prepared.get_mut(index).expect("is here").parts.handle_sent(1, 2);
    prepared.keep(0, index, Place::Begun(0));
    let first = Awaited { index, part: 1, bind: 0 };
    assert_eq!(prepared.check(vec![first]), Ok(()));
    // As if the code had not checked whether the message must wait.
    let index = prepared.shared[BULK.index()].pop_front().expect("there");
    prepared.get_mut(index).expect("is here").parts.handle_sent(1, 1);
    prepared.keep(0, index, Place::Flying(0));
    assert_eq!(broken(&prepared, &[first, Awaited { index, ..first }]), Some((HERE, 3)));
}

#[test]
fn breaking_invariant_4_is_noticed() {
    let unknown = Awaited { index: 9, part: 1, bind: 0 };
    assert_eq!(broken(&prepared(), &[unknown]), Some((HERE, 4)));
    let breaks: [fn(&mut Prepared); 8] = [
        |prepared| prepared.unsent.1 += 1,
        |prepared| prepared.on_trial += 1,
        |prepared| prepared.in_hand -= 1,
        |prepared| prepared.free.push(7),
        |prepared| prepared.shared[BULK.index()].push_back(3),
        |prepared| prepared.shared = Default::default(),
        |prepared| prepared.benches[1].begun[BULK.index()].push_back(3),
        |prepared| {
            prepared.stays.insert(1, Stay { bind: 0, messages: 1 });
        },
    ];
    for (at, breaks) in breaks.into_iter().enumerate() {
        let mut prepared = prepared();
        breaks(&mut prepared);
        assert_eq!(broken(&prepared, &[]), Some((HERE, 4)), "{at}");
    }
}
