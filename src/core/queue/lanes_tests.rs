//! Tests of all lists of a shard without a store: in which order messages are taken, what is counted, and what is
//! forgotten. Refuses to know where the messages come from that a read brings.

use std::sync::Arc;

use super::super::runs::SlotRuns;
use super::*;
use crate::model::Head;

fn lane(route: u16) -> Lane {
    lane_of(route, 0)
}

fn lane_of(route: u16, tenant: u32) -> Lane {
    Lane { class: Class::Otp, route: RouteId(route), tenant: TenantId(tenant), set: SetNumber::NONE }
}

/// The group of a link with these routes.
fn group(lanes: &mut Lanes, routes: &[RouteId]) -> GroupNumber {
    lanes.regroup(&[Taker::new(routes.to_vec(), None)])[0]
}

fn waiting(lanes: &mut Lanes, class: Class, routes: &[RouteId]) -> u64 {
    let group = group(lanes, routes);
    lanes.waiting(class, group)
}

/// Takes the next message for a link with these routes.
fn take(lanes: &mut Lanes, routes: &[RouteId]) -> Option<(FifoName, Taken)> {
    let group = group(lanes, routes);
    let taken = lanes.take(Class::Otp, group, |tenant| if tenant == TenantId(9) { 3 } else { 1 }, |_, _| true);
    assert_eq!(lanes.check(), Ok(()));
    taken
}

/// Lanes of a shard that was restored once: generation 0 is what the backup held.
fn restored_once() -> Lanes {
    Lanes::new(Generation(1), Vec::new())
}

fn held(lanes: &mut Lanes, route: u16) -> FifoName {
    FifoName { generation: Generation(0), ..lanes.fresh(lane(route)) }
}

fn append(lanes: &mut Lanes, kind: ListKind, route: u16, commit: u64) {
    let name = FifoName { kind, ..lanes.fresh(lane(route)) };
    append_to(lanes, name, commit);
}

fn append_to(lanes: &mut Lanes, name: FifoName, commit: u64) {
    let segment = Arc::new(Segment { number: commit, ..Segment::default() });
    lanes.append(name, commit, 1, vec![Chunk { commit, segment, runs: SlotRuns::one(0) }]);
}

#[test]
fn breaking_invariant_1_puts_what_is_older_behind_what_is_newer() {
    let mut lanes = Lanes::default();
    for (commit, segment) in [(11, 3), (12, 4), (13, 1)] {
        give_back(&mut lanes, commit, segment);
    }
    assert_eq!(lanes.check(), Ok(()));
    // As if no caller had checked which fifo fits.
    let name = FifoName { kind: ListKind::Returned(ListKind::RETURNED_LAST), ..lanes.fresh(lane(1)) };
    append_to(&mut lanes, name, 14);
    assert_eq!(lanes.check().expect_err("a breach").number, 1, "what was said to be the last is not");
    give_back(&mut lanes, 15, 15);
    append_to(&mut lanes, name, 16);
    lanes.change(name, |fifo| fifo.expect(Address::new(99, 0)));
    assert_eq!(lanes.check(), Ok(()));
    let segment = Arc::new(Segment { number: 2, ..Segment::default() });
    lanes.append(name, 17, 1, vec![Chunk { commit: 17, segment, runs: SlotRuns::one(0) }]);
    assert_eq!(lanes.check().expect_err("a breach").number, 1);
}

#[test]
fn breaking_invariant_7_counts_past_the_fifos() {
    let mut lanes = Lanes::default();
    append(&mut lanes, ListKind::Fresh, 1, 1);
    assert_eq!(lanes.check(), Ok(()));
    let number = lanes.list_of(lane(1));
    let list = lanes.lists.get_mut(&number).expect("a list");
    list.fifos[0].1.take();
    assert_eq!(lanes.check().expect_err("a breach").number, 7);
}

#[test]
fn what_comes_back_goes_first_then_the_oldest_of_the_routes() {
    let mut lanes = Lanes::default();
    append(&mut lanes, ListKind::Fresh, 2, 1);
    append(&mut lanes, ListKind::Fresh, 1, 2);
    append(&mut lanes, ListKind::Fresh, 9, 3);
    append(&mut lanes, ListKind::Due, 1, 4);
    let routes = [RouteId(1), RouteId(2)];
    assert_eq!(waiting(&mut lanes, Class::Otp, &routes), 3);
    assert_eq!(waiting(&mut lanes, Class::Marketing, &routes), 0);
    let order: Vec<_> = std::iter::from_fn(|| take(&mut lanes, &routes)).map(|(_, t)| t.segment.number).collect();
    assert_eq!(order, vec![4, 1, 2]);
    assert_eq!(lanes.entries_total(), 1);
}

fn give_back(lanes: &mut Lanes, commit: u64, segment: u64) {
    let name = lanes.returned(lane(1), Address::new(segment, 0));
    let segment = Arc::new(Segment { number: segment, ..Segment::default() });
    lanes.append(name, commit, 1, vec![Chunk { commit, segment, runs: SlotRuns::one(0) }]);
}

fn take_all(lanes: &mut Lanes, messages: usize) -> Vec<u64> {
    let take = || take(lanes, &[RouteId(1)]).map(|(_, taken)| taken.segment.number);
    std::iter::from_fn(take).take(messages).collect()
}

#[test]
fn what_is_given_back_again_and_again_keeps_its_place() {
    let mut lanes = Lanes::default();
    append(&mut lanes, ListKind::Fresh, 1, 9);
    for (commit, segment) in [(11, 1), (12, 2), (13, 3)] {
        give_back(&mut lanes, commit, segment);
    }
    assert_eq!(take_all(&mut lanes, 2), [1, 2]);
    give_back(&mut lanes, 14, 1);
    give_back(&mut lanes, 15, 2);
    assert_eq!(take_all(&mut lanes, 1), [1]);
    give_back(&mut lanes, 16, 1);
    assert_eq!(take_all(&mut lanes, 9), [1, 2, 3, 9]);
}

/// Seed 196: a link that drains gives messages back by class and bind, not by age.
#[test]
fn what_is_given_back_in_any_order_is_taken_by_age() {
    let mut lanes = Lanes::default();
    append(&mut lanes, ListKind::Fresh, 1, 9);
    for (commit, segment) in (11..).zip([3, 4, 8, 5, 6, 7, 1, 2]) {
        give_back(&mut lanes, commit, segment);
    }
    assert_eq!(take_all(&mut lanes, 9), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn nothing_overtakes_what_was_given_back_and_is_on_disk() {
    let mut lanes = Lanes::default();
    append(&mut lanes, ListKind::Fresh, 1, 1);
    append(&mut lanes, ListKind::Fresh, 2, 2);
    let name = lanes.returned(lane(1), Address::new(1, 5));
    lanes.append(name, 3, 1, Vec::new());
    assert_eq!(take_all(&mut lanes, 9), [] as [u64; 0]);
    assert!(take(&mut lanes, &[RouteId(2)]).is_some(), "another lane goes on");
    assert_eq!(lanes.wants_read(3), Some((name, Position { commit: 3, index: 0 })));
}

#[test]
fn what_is_held_lets_everything_else_pass_until_it_is_released() {
    let mut lanes = restored_once();
    let routes = [RouteId(1)];
    let name = held(&mut lanes, 1);
    append_to(&mut lanes, name, 1);
    append(&mut lanes, ListKind::Fresh, 1, 2);
    lanes.set_unsent(Class::Otp, Unsent::Held);
    assert_eq!((waiting(&mut lanes, Class::Otp, &routes), lanes.restored_waiting(Class::Otp)), (1, 1));
    assert_eq!(take(&mut lanes, &routes).map(|(_, taken)| taken.segment.number), Some(2));
    assert!(take(&mut lanes, &routes).is_none());
    assert_eq!(lanes.depth_total(), 1, "it still counts against the limit of the queue");
    append(&mut lanes, ListKind::Fresh, 1, 3);
    lanes.set_unsent(Class::Otp, Unsent::GivenUp);
    assert_eq!(take_all(&mut lanes.clone(), 9), [3], "what is given up later is not sent before");
    lanes.set_unsent(Class::Otp, Unsent::Sent);
    assert_eq!(take_all(&mut lanes, 9), [1, 3]);
}

#[test]
fn what_is_held_is_not_read_ahead() {
    let mut lanes = restored_once();
    let name = held(&mut lanes, 1);
    lanes.recover(name, Fifo::recovered(Position { commit: 1, index: 0 }, 5, 7));
    lanes.set_unsent(Class::Otp, Unsent::Held);
    assert_eq!(lanes.wants_read(9), None);
    lanes.set_unsent(Class::Otp, Unsent::GivenUp);
    assert_eq!(lanes.clone().wants_read(9), Some((name, Position { commit: 1, index: 0 })));
    lanes.set_unsent(Class::Otp, Unsent::Sent);
    assert_eq!(lanes.wants_read(9), Some((name, Position { commit: 1, index: 0 })));
}

#[test]
fn what_has_ended_is_counted_no_more_and_keeps_its_entry_until_it_is_passed() {
    let mut lanes = restored_once();
    append(&mut lanes, ListKind::Fresh, 1, 1);
    append(&mut lanes, ListKind::Fresh, 1, 2);
    let name = held(&mut lanes, 1);
    append_to(&mut lanes, name, 3);
    let [own, restored] = [1, 0].map(|generation| lanes.part_of(name.list, Generation(generation)));
    assert_eq!([own, restored].map(|part| lanes.generation_of(part).0), [1, 0]);
    lanes.add_ended(own, 1);
    assert_eq!((lanes.depth_total(), lanes.entries_total(), lanes.depth(own, 2)), (2, 3, 1));
    lanes.add_ended(restored, 1);
    assert_eq!((lanes.depth_total(), lanes.restored_waiting(Class::Otp)), (1, 0));
    assert_eq!(lanes.perhaps_ended().len(), 2);
    lanes.set_unsent(Class::Otp, Unsent::Held);
    assert_eq!(
        lanes.perhaps_ended(),
        [FifoName { generation: Generation(1), ..name }],
        "what is held is not looked at"
    );
    take_all(&mut lanes, 2);
    lanes.add_ended(own, -2);
    assert_eq!(lanes.depth(own, 0), 1, "passed over, and to be ended");
    lanes.add_ended(own, 1);
    assert_eq!(lanes.ended().collect::<Vec<_>>(), [(restored, 1)]);
}

#[test]
fn a_remainder_goes_when_nothing_is_left_that_it_could_mean() {
    let mut lanes = Lanes::default();
    append(&mut lanes, ListKind::Fresh, 1, 1);
    let list = lanes.list_of(lane(1));
    let part = lanes.part_of(list, Generation(0));
    lanes.add_ended(part, 1);
    lanes.forget_remainders(true);
    assert_eq!(lanes.ended().count(), 1, "its entry is still there");
    take_all(&mut lanes, 1);
    lanes.forget_remainders(false);
    assert_eq!(lanes.ended().count(), 0);
    lanes.add_ended(part, -1);
    lanes.forget_remainders(false);
    assert_eq!(lanes.ended().count(), 1, "its message is going to be ended");
    lanes.forget_remainders(true);
    assert_eq!(lanes.ended().count(), 0);
}

#[test]
fn fifos_share_what_all_windows_may_hold() {
    let mut lanes = Lanes::default();
    let share = |lanes: &mut Lanes| {
        lanes.wants_read(9);
        lanes.share()
    };
    assert_eq!(share(&mut lanes), WINDOW_BYTES[1]);
    for route in 1..=64 {
        append(&mut lanes, ListKind::Fresh, route, 1);
    }
    assert_eq!(share(&mut lanes), WINDOWS_BYTES_MAX / 64);
    for route in 65..=10_000 {
        append(&mut lanes, ListKind::Fresh, route, 1);
    }
    assert_eq!(share(&mut lanes), WINDOW_BYTES[0]);
}

#[test]
fn what_older_restores_held_goes_first() {
    let mut lanes = Lanes::new(Generation(2), Vec::new());
    append(&mut lanes, ListKind::Returned(7), 1, 5);
    for (generation, kind, commit) in [(1, ListKind::Returned(0), 6), (0, ListKind::Fresh, 7), (0, ListKind::Due, 8)] {
        let name = FifoName { generation: Generation(generation), kind, ..held(&mut lanes, 1) };
        append_to(&mut lanes, name, commit);
    }
    assert_eq!(take_all(&mut lanes, 9), [8, 7, 6, 5]);
    let due = lanes.due(lane(1), true);
    assert_eq!((due.generation, due.kind), (Generation(1), ListKind::Due), "held by the last restore");
}

#[test]
fn a_fifo_that_holds_nothing_costs_nothing_and_begins_again_where_it_is_needed() {
    let mut lanes = Lanes::default();
    append(&mut lanes, ListKind::Fresh, 1, 1);
    append(&mut lanes, ListKind::Fresh, 2, 2);
    let [one, two] = [1, 2].map(|route| lanes.fresh(lane(route)));
    assert_eq!(lanes.retire(0), [], "both hold something");
    take_all(&mut lanes, 1);
    assert_eq!(lanes.retire(0), [one]);
    assert_eq!(lanes.iter().map(|(name, _)| name).collect::<Vec<_>>(), [two]);
    // Records that were dropped may be on disk again, and are not read.
    lanes.append(one, 9, 1, Vec::new());
    assert_eq!(lanes.wants_read(9), Some((one, Position { commit: 9, index: 0 })));
    assert_eq!(lanes.retire(0), [], "it is being read");
    let mut replayed = Lanes::new(Generation(0), vec![lane(1)]);
    replayed.replay_append(one, 9, 1);
    assert_eq!(replayed.wants_read(9), Some((one, Position { commit: 9, index: 0 })), "a start knows the same");
}

#[test]
fn when_many_lists_become_empty_at_once_few_are_dropped_at_once() {
    let mut lanes = Lanes::default();
    for tenant in 0..1_000 {
        let name = lanes.fresh(lane_of(1, tenant));
        append_to(&mut lanes, name, 1);
        lanes.take_from(name);
    }
    assert_eq!((lanes.retire(0).len(), lanes.iter().count()), (DROPPED_MAX, 0), "none of them stays in memory");
    let swept: usize = (0..1_000).map(|_| lanes.retire(ListKind::COUNT).len()).sum();
    assert_eq!(swept, 1_000 * ListKind::COUNT, "each has its turn");
}

#[test]
fn what_is_not_in_memory_is_dropped_again_in_turn() {
    let mut lanes = restored_once();
    append(&mut lanes, ListKind::Fresh, 1, 1);
    lanes.list_of(lane(2));
    let mut swept: Vec<FifoName> = (0..5).flat_map(|_| lanes.retire(8)).collect();
    swept.sort();
    let all: Vec<FifoName> = std::iter::successors(Some(FifoName::FIRST), |name| Some(name.next(Generation(1))))
        .take(2 * 2 * ListKind::COUNT)
        .filter(|name| *name != lanes.fresh(lane(1)))
        .collect();
    assert_eq!(swept, all, "each once, without the one that holds something");
}

#[test]
fn a_list_keeps_its_number_and_is_new_once() {
    let mut lanes = Lanes::new(Generation(0), vec![lane(7)]);
    append(&mut lanes, ListKind::Fresh, 7, 1);
    append(&mut lanes, ListKind::Due, 8, 2);
    let new = lanes.take_new_lists();
    assert_eq!(new, [(ListNumber(1), lane(8))]);
    assert_eq!((lanes.take_new_lists(), lanes.lane(ListNumber(0))), (Vec::new(), lane(7)));
}

#[test]
fn breaking_invariant_8_forgets_who_has_something() {
    let breach = |change: fn(&mut Lanes)| {
        let mut lanes = Lanes::default();
        append(&mut lanes, ListKind::Fresh, 1, 1);
        let group = group(&mut lanes, &[RouteId(1)]);
        let cold = lanes.fresh(lane_of(1, 2));
        lanes.append(cold, 1, 1, Vec::new());
        assert_eq!((lanes.check(), lanes.next_is_new(Class::Otp, group)), (Ok(()), true));
        change(&mut lanes);
        lanes.check().expect_err("a breach").number
    };
    assert_eq!(breach(|lanes| lanes.lists.values_mut().for_each(|list| list.next = None)), 8);
    assert_eq!(breach(|lanes| lanes.groups.leave(lane(1), None, |_| false)), 8);
    assert_eq!(breach(|lanes| lanes.groups.wait(lane_of(1, 2), None)), 8);
    assert_eq!(breach(|lanes| lanes.low = Default::default()), 8);
}

/// Many messages of one tenant, each in a segment of its own.
fn backlog(lanes: &mut Lanes, route: u16, tenant: u32, commits: std::ops::Range<u64>) {
    for commit in commits {
        let name = lanes.fresh(lane_of(route, tenant));
        append_to(lanes, name, commit);
    }
}

#[test]
fn a_backlog_delays_another_tenant_by_one_message() {
    let mut lanes = Lanes::default();
    backlog(&mut lanes, 1, 1, 1..100);
    backlog(&mut lanes, 2, 2, 200..300);
    let routes = [RouteId(1), RouteId(2)];
    let take = |lanes: &mut Lanes| take(lanes, &routes).map(|(_, taken)| taken.segment.number);
    (0..10).for_each(|_| assert!(take(&mut lanes).is_some()));
    for commit in [1_000, 1_001] {
        backlog(&mut lanes, 1, 3, commit..commit + 1);
        assert_eq!(take(&mut lanes), Some(commit), "it is next, whatever waits");
        (0..7).for_each(|_| assert!(take(&mut lanes).is_some()));
    }
}

#[test]
fn tenants_take_turns_by_weight_over_all_routes_of_a_link() {
    let mut lanes = Lanes::default();
    backlog(&mut lanes, 1, 1, 1..100);
    backlog(&mut lanes, 2, 1, 100..200);
    backlog(&mut lanes, 2, 2, 1_000..1_100);
    backlog(&mut lanes, 1, 9, 2_000..2_100);
    let mut got = [0; 3];
    for _ in 0..100 {
        let (name, _) = take(&mut lanes, &[RouteId(1), RouteId(2)]).expect("there is more");
        got[match lanes.lane(name.list).tenant.0 {
            1 => 0,
            2 => 1,
            _ => 2,
        }] += 1;
    }
    assert_eq!(got, [20, 20, 60], "one with two routes gets no more");
}

#[test]
fn windows_of_many_tenants_are_small_and_each_is_read_in_its_turn() {
    let mut lanes = Lanes::default();
    for tenant in 0..1_000 {
        let name = lanes.fresh(lane_of(1, tenant));
        lanes.recover(name, Fifo::recovered(Position { commit: 1, index: 0 }, 5, 7));
    }
    let read: BTreeSet<FifoName> =
        std::iter::from_fn(|| lanes.wants_read(9)).map(|(name, _)| name).take(2_000).collect();
    assert_eq!(read.len(), 1_000, "each once");
    let waits = waiting(&mut lanes, Class::Otp, &[RouteId(1)]);
    assert_eq!((lanes.share(), waits), (WINDOWS_BYTES_MAX / 1_000, 7_000));
    assert_eq!(lanes.check(), Ok(()));
}

/// 1,000 tenants of weights 1, 10 and 100, each with a backlog of messages of one to three parts.
#[test]
fn a_million_parts_are_shared_by_weight() {
    const TENANTS: u32 = 1_000;
    let weight = |tenant: TenantId| [1, 10, 100][tenant.0 as usize % 3];
    let heads = (0_u32..2_000).map(|slot| Head { parts: 1 + (slot % 3) as u8, ..Head::default() }).collect();
    let segment = Arc::new(Segment { number: 1, heads, ..Segment::default() });
    let mut lanes = Lanes::default();
    let group = group(&mut lanes, &[RouteId(1)]);
    for tenant in 0..TENANTS {
        let name = lanes.fresh(lane_of(1, tenant));
        let chunk = Chunk { commit: 1, segment: segment.clone(), runs: SlotRuns(vec![(0, 2_000)]) };
        lanes.append(name, 1, 2_000, vec![chunk]);
    }
    let (mut got, mut sum, mut messages, mut reads) = (vec![0_u64; TENANTS as usize], 0, 0, 0);
    while sum < 1_000_000 {
        while let Some((name, from)) = lanes.wants_read(1) {
            let runs = SlotRuns(vec![(from.index as u16, 2_000 - from.index as u16)]);
            let (chunk, is_whole) = Chunk { commit: 1, segment: segment.clone(), runs }.fitting(lanes.share());
            let index = from.index + chunk.runs.len();
            let edge = if is_whole { Position::after(1) } else { Position { commit: 1, index } };
            assert_eq!(lanes.loaded(name, vec![chunk], edge), 0);
            reads += 1;
        }
        messages += 1;
        let (name, taken) = lanes.take(Class::Otp, group, weight, |_, _| true).expect("all have more");
        let parts = u64::from(taken.segment.head(taken.slot).expect("a head").parts);
        got[lanes.lane(name.list).tenant.0 as usize] += parts;
        sum += parts;
    }
    let weights: u64 = (0..TENANTS).map(|tenant| u64::from(weight(TenantId(tenant)))).sum();
    for tenant in 0..TENANTS {
        let has = got[tenant as usize] as f64;
        let due = sum as f64 * f64::from(weight(TenantId(tenant))) / weights as f64;
        assert!((has - due).abs() <= (0.02 * due).max(3.0), "tenant {tenant}: {has} parts of {due}");
    }
    assert!(reads * 100 <= 2 * messages, "{reads} reads for {messages} messages");
    assert_eq!(lanes.check(), Ok(()));
}
