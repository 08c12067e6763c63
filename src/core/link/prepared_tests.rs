//! Breaks each invariant of the prepared messages, as a bug would, and asserts that the check notices.

use std::sync::Arc;

use super::*;
use crate::model::{Address, Head, Msisdn, TenantId};

const BULK: Class = Class::Transactional;
const TENANT: TenantId = TenantId(0);

/// Three messages to one number, and one to another.
fn prepared() -> Prepared {
    let mut prepared = Prepared::new(2, 7);
    for (slot, number) in [(0, 1), (1, 1), (2, 1), (3, 2)] {
        insert(&mut prepared, slot, number, Head { class: BULK, ..Head::default() }, 1);
    }
    prepared
}

fn insert(prepared: &mut Prepared, slot: u16, number: u64, head: Head, weight: u32) {
    let to = Msisdn::from_number(4_915_112_345_000 + number).expect("a number");
    let submit = Submit {
        address: Address::new(1, slot),
        attempt: 1,
        reference: 1,
        head: Head { to, ..head },
        arena: Arc::default(),
        answered: None,
        cut: 0,
        trial: None,
        weight,
    };
    prepared.insert(ShardId(0), submit);
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
    prepared.shared[BULK.index()].queue_mut(TENANT).swap(0, 1);
    assert_eq!(broken(&prepared, &[]), Some((HERE, 2)));
    let mut prepared = self::prepared();
    // As if the second one had been taken first.
    let second = prepared.shared[BULK.index()].queue_mut(TENANT).remove(1).expect("there");
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
    let index = prepared.shared[BULK.index()].queue_mut(TENANT).pop_front().expect("there");
    prepared.get_mut(index).expect("is here").parts.handle_sent(1, 1);
    prepared.keep(0, index, Place::Flying(0));
    assert_eq!(broken(&prepared, &[first, Awaited { index, ..first }]), Some((HERE, 3)));
}

#[test]
fn breaking_invariant_4_is_noticed() {
    let unknown = Awaited { index: 9, part: 1, bind: 0 };
    assert_eq!(broken(&prepared(), &[unknown]), Some((HERE, 4)));
    let breaks: [fn(&mut Prepared); 9] = [
        |prepared| prepared.unsent[BULK.index()] += 1,
        |prepared| prepared.shared[BULK.index()].push(TenantId(1), 3),
        |prepared| prepared.on_trial += 1,
        |prepared| prepared.in_hand -= 1,
        |prepared| prepared.free.push(7),
        |prepared| prepared.shared[BULK.index()].push(TENANT, 3),
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

/// Sends a message of one part, and takes its answer; gives its slot and its class.
fn send_whole(prepared: &mut Prepared, bind: u16) -> (u16, Class) {
    let index = prepared.next(bind, false).expect("a message");
    prepared.handle_sent(index, [false; Class::COUNT]);
    let in_hand = prepared.remove(index).expect("it was given");
    (in_hand.submit.address.slot(), in_hand.submit.head.class)
}

fn of(tenant: u32, class: Class, parts: u8) -> Head {
    Head { tenant: TenantId(tenant), class, parts, ..Head::default() }
}

#[test]
fn a_message_of_another_tenant_is_next_whatever_the_first_has_here() {
    let mut prepared = Prepared::new(2, 7);
    (0..250).for_each(|slot| insert(&mut prepared, slot, slot.into(), of(1, BULK, 1), 1));
    (0..50).for_each(|slot| assert_eq!(send_whole(&mut prepared, slot % 2).0, slot));
    insert(&mut prepared, 1_000, 999, of(2, BULK, 1), 1);
    assert_eq!([0, 0].map(|bind| send_whole(&mut prepared, bind).0), [1_000, 50]);
    assert_eq!(prepared.check(Vec::new()), Ok(()));
}

#[test]
fn tenants_with_messages_here_share_by_weight_in_parts() {
    let mut prepared = Prepared::new(1, 7);
    for slot in 0..600 {
        // Tenant 1 weighs 3 and has messages of three parts, tenant 2 weighs 1 and has messages of one part.
        let (head, weight) = if slot % 2 == 0 { (of(1, BULK, 3), 3) } else { (of(2, BULK, 1), 1) };
        insert(&mut prepared, slot, slot.into(), head, weight);
    }
    let mut parts = [0_u32; 2];
    for _ in 0..400 {
        let (slot, _) = send_whole(&mut prepared, 0);
        parts[usize::from(slot % 2)] += if slot % 2 == 0 { 3 } else { 1 };
        assert!(parts[0].abs_diff(3 * parts[1]) <= 6, "{parts:?}");
    }
}

#[test]
fn what_a_lost_session_leaves_keeps_its_order_within_its_tenant() {
    let mut prepared = Prepared::new(2, 7);
    for slot in 0..6 {
        insert(&mut prepared, slot, 1, of(u32::from(slot % 2), BULK, 1), 1);
    }
    let first = send(&mut prepared, 0);
    // The others are for the same number: they follow it to its bind.
    assert_eq!(prepared.next(1, false), None);
    prepared.get_mut(first.index).expect("is here").parts.handle_thrown_back(1);
    prepared.put(0, first.index);
    assert!(prepared.release(0).is_empty());
    assert_eq!(prepared.check(Vec::new()), Ok(()));
    let slots: Vec<_> = (0..6).map(|_| send_whole(&mut prepared, 1).0).collect();
    for tenant in 0..2 {
        let own: Vec<_> = slots.iter().copied().filter(|slot| slot % 2 == tenant).collect();
        assert_eq!(own, [tenant, tenant + 2, tenant + 4], "{slots:?}");
    }
}

#[test]
fn a_flood_leaves_each_fifth_part_to_the_less_urgent() {
    let mut prepared = Prepared::new(1, 7);
    for slot in 0..400 {
        let class = if slot % 2 == 0 { Class::Otp } else { Class::Marketing };
        insert(&mut prepared, slot, slot.into(), of(1, class, 1), 1);
    }
    let is_otp = |prepared: &mut Prepared| send_whole(prepared, 0).1 == Class::Otp;
    let otp = (0..200).filter(|_| is_otp(&mut prepared)).count();
    assert_eq!(otp, 160);
    prepared.set_ceiling(100);
    assert_eq!((0..40).filter(|_| is_otp(&mut prepared)).count(), 40, "strict");
}
