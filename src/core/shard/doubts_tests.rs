//! Messages that are lost again and again: how they are sent again, and when they are given up.

use std::collections::BTreeMap;

use crate::delivery::policy::DOUBTED_AGAIN_MS;
use crate::traffic::Trial;

use super::*;

/// Marketing is sent again.
const CLASS: Class = Class::Marketing;
const EXHAUSTED: Happened =
    Happened::Dead { reason: DeadLetterReason::InDoubtExhausted, by: Some(Resolution::PolicyDrop) };

impl World {
    /// Sends the message again after that long, and loses it.
    fn again(&mut self, after_ms: u64) -> Submit {
        self.pass(after_ms + 10);
        let submit = self.pulled(CLASS);
        self.lost(&submit);
        submit
    }

    fn accepted_many(&mut self, messages: u16) -> Vec<MessageId> {
        let head = |at: u16| Head {
            to: Msisdn::from_number(4_915_110_000_000 + u64::from(at)).expect("a number"),
            tenant: TenantId(5),
            class: CLASS,
            receipt: true,
            parts: 1,
            route: RouteId(1),
            expires_at: Wall(u64::MAX),
            ..Head::default()
        };
        let mut ids = Vec::new();
        for from in (0..messages).step_by(1_000) {
            let heads = (from..messages.min(from + 1_000)).map(head).collect();
            let Reply::Submitted(results) = self.ask(Ask::Submit(Frame { heads, ..Frame::default() })) else {
                panic!("another answer")
            };
            ids.extend(results.iter().map(|result| match result {
                LineResult::Accepted(id) => *id,
                other => panic!("{other:?}"),
            }));
        }
        ids
    }

    /// Hands over everything that waits.
    fn handed_over(&mut self) -> Vec<Submit> {
        let messages = self.shard().status().waiting[CLASS.index()] as u32;
        let grant = Grant { link: LINK, class: CLASS, messages, standing: false };
        self.handle(ShardEvent::Traffic(ToShard::Grant(grant)));
        std::mem::take(&mut self.submits)
    }

    fn end_together(&mut self, submits: &[Submit], answer: Answer) {
        let outcome =
            |submit: &Submit| Outcome { attempt: submit.attempt, bind: 4, ..Outcome::first(submit.address, answer) };
        let outcomes = submits.iter().map(outcome).collect();
        let batch = OutcomeBatch { link: LINK, group: GroupId(3), outcomes, arena: b"id".to_vec() };
        self.handle(ShardEvent::Traffic(ToShard::Outcomes(batch)));
    }
}

const LOST: Answer = Answer::Unanswered(Unanswered::ConnectionLost);
const TAKEN: Answer = Answer::Accepted(Span { at: 0, len: 0 });

/// Field case 13, core A9: a message was sent every eleven seconds, for two days.
#[test]
fn what_is_lost_alone_three_times_is_given_up() {
    let mut world = world();
    let (id, first) = world.sent(CLASS, ANNA, 1);
    assert_eq!(first.trial, None);
    world.lost(&first);
    assert_eq!(world.again(WAIT_MS).trial, Some(Trial::Alone));
    world.pass(10 * WAIT_MS);
    assert_eq!(world.story(id).0, MessageState::InDoubt, "a carrier that is silent for a while ends no message");
    // Our own crash does not count; the message waits anew.
    let mut world = world.crashed(options());
    assert_eq!(world.again(DOUBTED_AGAIN_MS).trial, Some(Trial::Alone));
    world.checkpoint();
    let mut world = world.crashed(options());
    world.pass(DOUBTED_AGAIN_MS + 10);
    assert_eq!(world.pulled(CLASS).trial, Some(Trial::Alone));
    // That session may be lost by this message, which is alone again.
    let mut world = world.crashed(options());
    assert_eq!(world.listed(DoubtFilter::default())[0].doubt.doubts.lost, 3);
    assert_eq!(world.again(WAIT_MS).attempt, 5);
    assert_eq!(world.listed(DoubtFilter::default())[0].policy, DoubtPolicy::Drop);
    world.pass(WAIT_MS + 10);
    let (state, story) = world.story(id);
    assert_eq!((state, story.last()), (MessageState::Dead, Some(&EXHAUSTED)));
    assert_eq!(world.outbox().iter().map(|notice| notice.end).collect::<Vec<_>>(), [EXHAUSTED]);
}

#[test]
fn a_receipt_still_settles_what_would_be_given_up() {
    let mut world = start(
        MemoryStore::new(Drops::AtOnce),
        Options { doubts_max: 1, ..options() },
        Now { mono: Mono(0), wall: Wall(1_000_000) },
    );
    let (id, first) = world.sent(CLASS, ANNA, 1);
    world.lost(&first);
    world.again(WAIT_MS);
    world.receipt(ANNA, "77", ReceiptState::Delivered, None);
    assert_eq!(world.story(id).0, MessageState::Delivered);
}

/// However many parts it has, and a refusal in between does not reset the count.
#[test]
fn a_message_has_one_doubt_for_each_lost_session() {
    let mut world = world();
    let (id, first) = world.sent(CLASS, ANNA, 3);
    world.lost(&first);
    assert_eq!(world.listed(DoubtFilter::default())[0].doubt.doubts.lost, 1);
    world.pass(WAIT_MS + 10);
    let again = world.pulled(CLASS);
    for part in 1..=3 {
        world.answered(&again, part, Answer::Refused(busy(8)));
    }
    assert_eq!(world.story(id).0, MessageState::Scheduled);
    world.pass(20_000);
    let again = world.pulled(CLASS);
    assert_eq!((again.attempt, again.trial), (3, Some(Trial::Alone)));
    world.lost(&again);
    assert_eq!(world.listed(DoubtFilter::default())[0].doubt.doubts.lost, 2);
}

#[test]
fn the_wait_of_an_older_doubt_does_not_cut_a_newer_one_short() {
    let mut world = world();
    let (id, submit) = world.sent(CLASS, ANNA, 1);
    world.lost(&submit);
    world.pass(WAIT_MS / 2);
    assert_eq!(world.decide(id, DoubtAction::Resend), Resolved::Done);
    let again = world.pulled(CLASS);
    world.lost(&again);
    world.pass(WAIT_MS / 2 + 10);
    assert_eq!(world.story(id).0, MessageState::InDoubt);
    world.pass(DOUBTED_AGAIN_MS);
    assert_eq!(world.story(id).0, MessageState::Queued);
}

/// Plays a carrier that hangs up at some messages (`culprits`), and sends as the trials demand. Returns how often each message
/// was sent.
fn sent(world: &mut World, window: u16, culprits: &[Address]) -> BTreeMap<Address, u32> {
    let mut copies = BTreeMap::new();
    let mut wait_ms = 0;
    for _ in 0..6 {
        world.pass(wait_ms + 10);
        let submits = world.handed_over();
        let (alone, others): (Vec<_>, Vec<_>) =
            submits.into_iter().partition(|submit| submit.trial == Some(Trial::Alone));
        let (groups, free): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|submit| submit.trial == Some(Trial::InGroup));
        let sessions = alone.chunks(1).chain(groups.chunks(16)).chain(free.chunks(usize::from(window)));
        for session in sessions {
            session.iter().for_each(|submit| *copies.entry(submit.address).or_default() += 1);
            let hangs_up = session.iter().any(|submit| culprits.contains(&submit.address));
            world.end_together(session, if hangs_up { LOST } else { TAKEN });
        }
        wait_ms = if wait_ms == 0 { WAIT_MS } else { DOUBTED_AGAIN_MS };
    }
    copies
}

/// A window of 2,000 messages is lost because of the message at that place.
fn check_culprit_at(place: usize) {
    const WINDOW: u16 = 2_000;
    let mut world = world();
    let ids = world.accepted_many(WINDOW);
    let copies = sent(&mut world, WINDOW, &[ids[place].address()]);
    for (at, id) in ids.iter().enumerate() {
        let in_its_group = place >= 16 && at >= 16 && at / 16 == place / 16;
        let expected = match (at == place, in_its_group) {
            (true, false) => 4,
            (true, true) => 5,
            (false, true) => 3,
            (false, false) => 2,
        };
        assert_eq!(copies[&id.address()], expected, "{at}, with the culprit at {place}");
    }
    let status = world.shard().status();
    assert_eq!((status.waiting, status.open), ([0; Class::COUNT], 0));
    world.pass(DOUBTED_AGAIN_MS + 10);
    let (state, story) = world.story(ids[place]);
    assert_eq!((state, story.last()), (MessageState::Dead, Some(&EXHAUSTED)));
    assert_eq!(world.outbox().len(), 1, "no other message is given up");
}

#[test]
fn a_culprit_at_every_even_place_of_a_large_window_is_found_and_harms_no_other() {
    (0..2_000).step_by(2).for_each(check_culprit_at);
}

#[test]
fn a_culprit_at_every_odd_place_of_a_large_window_is_found_and_harms_no_other() {
    (1..2_000).step_by(2).for_each(check_culprit_at);
}

/// Found by the simulator: each of two messages had its own cut of their segment, and both came back with that of the first.
#[test]
fn what_was_read_apart_and_comes_back_together_is_not_mixed_up() {
    let mut world = world();
    let ids = world.accepted_many(100);
    let submits = world.handed_over();
    for (at, submit) in submits.iter().enumerate() {
        // In separate commits, and so read separately when they are sent again.
        world.end_together(std::slice::from_ref(submit), if at == 3 || at == 7 { LOST } else { TAKEN });
        world.pass(100);
    }
    world.pass(WAIT_MS);
    let apart = world.handed_over();
    assert_eq!(apart.len(), 2);
    world.end_together(&apart, Answer::NotWritten(NotWritten::LinkDown));
    let again: Vec<_> = world.handed_over().iter().map(|submit| submit.address).collect();
    assert_eq!(again, [ids[3].address(), ids[7].address()]);
}

#[test]
fn a_window_full_of_culprits_ends_too() {
    let mut world = world();
    let ids = world.accepted_many(100);
    let culprits: Vec<_> = ids.iter().map(|id| id.address()).collect();
    let copies = sent(&mut world, 100, &culprits);
    world.pass(DOUBTED_AGAIN_MS + 10);
    assert_eq!((world.outbox().len(), world.shard().status().doubts), (100, 0));
    assert!(copies.values().all(|copies| (4..=5).contains(copies)), "{copies:?}");
}

/// Missing answers are noticed one by one, in the order of sending: that is one loss all the same.
#[test]
fn what_is_missed_one_by_one_goes_alone_no_more_often_than_what_is_lost_at_once() {
    let mut world = world();
    world.accepted_many(60);
    let sent = world.handed_over();
    for submits in sent.chunks(3) {
        world.end_together(submits, Answer::Unanswered(Unanswered::ResponseTimeout));
        world.pass(100);
    }
    world.pass(WAIT_MS);
    let again = world.handed_over();
    let alone = again.iter().filter(|submit| submit.trial == Some(Trial::Alone)).count();
    assert_eq!((again.len(), alone), (60, 16));
    // The next lost session begins anew.
    let (_, other) = world.sent(CLASS, ANNA, 1);
    world.pass(20_000);
    world.lost(&other);
    world.pass(WAIT_MS + 10);
    assert_eq!(world.pulled(CLASS).trial, Some(Trial::Alone));
}

#[test]
fn a_changed_policy_applies_to_what_stands_in_the_ledger() {
    use DoubtPolicy::{Drop, Hold, Resend};
    let mut world = world();
    let (held, submit) = world.sent(Class::Transactional, ANNA, 1);
    world.lost(&submit);
    let (waiting, submit) = world.sent(Class::Marketing, BERT, 1);
    world.lost(&submit);
    let changed = Options { doubt: [Drop, Drop, Resend, Hold], in_doubt_wait_ms: 500, ..options() };
    world.handle(ShardEvent::Reconfigure(Box::new(changed.clone())));
    world.pass(510);
    assert_eq!(world.story(held).0, MessageState::Queued);
    world.pass(2 * WAIT_MS);
    assert_eq!(world.story(waiting), (MessageState::InDoubt, vec![]), "its old wait is void");
    // The same over a restart: what was put off under another policy is treated by the present one.
    let mut world = world.crashed(Options { doubt: [Drop, Drop, Resend, Resend], ..changed });
    world.pass(510);
    assert_eq!(world.story(waiting).0, MessageState::Queued);
    let again = world.pulled(Class::Marketing);
    world.lost(&again);
    let world = &mut world.crashed(Options { doubt: [Drop; 4], ..options() });
    assert_eq!(world.story(waiting).0, MessageState::InDoubt);
    world.pass(WAIT_MS + 10);
    assert_eq!(world.story(waiting).0, MessageState::Dead);
    assert_eq!(world.outbox().len(), 1);
}

/// Found by the simulator: the checkpoint held a wait that had passed while the policy was not to send.
#[test]
fn a_wait_that_passed_under_another_policy_begins_anew() {
    use DoubtPolicy::Hold;
    let mut world = world();
    let (id, submit) = world.sent(Class::Marketing, ANNA, 1);
    world.lost(&submit);
    world.checkpoint();
    world.handle(ShardEvent::Reconfigure(Box::new(Options { doubt: [Hold; 4], ..options() })));
    world.pass(2 * WAIT_MS);
    assert_eq!(world.story(id).0, MessageState::InDoubt);
    let mut world = world.crashed(options());
    assert_eq!(world.story(id).0, MessageState::InDoubt);
    world.pass(WAIT_MS + 10);
    assert_eq!(world.story(id).0, MessageState::Queued);
}

#[test]
fn notices_past_retention_are_dropped() {
    let mut world = world();
    let (_, submit) = world.sent(Class::Otp, ANNA, 1);
    world.lost(&submit);
    world.pass(WAIT_MS + 10);
    world.checkpoint();
    world.pass(world.options.retention_ms + 10);
    let (_, submit) = world.sent(Class::Otp, ANNA, 1);
    world.lost(&submit);
    world.pass(WAIT_MS + 10);
    world.tell(ShardEvent::Checkpoint);
    while world.batch.is_some() || !world.reads.is_empty() {
        world.read();
        if world.batch.is_some() {
            world.sync();
        }
    }
    let dropped = world.works.drain(..).find_map(|work| match work {
        Maintenance::DropRange { space: Space::Outbox, from, to } => Some((from, to)),
        _ => None,
    });
    let (from, to) = dropped.expect("a range");
    let mut kept = 0;
    let mut gone = 0;
    let visit = &mut |key: &[u8], _: &[u8]| {
        if key >= &from[..] && key < &to[..] {
            gone += 1
        } else {
            kept += 1
        }
        std::ops::ControlFlow::Continue(())
    };
    world.store.reader().range(Space::Outbox, &[0], &[255; 13], 100, visit).expect("read");
    assert_eq!((gone, kept), (1, 1));
}
