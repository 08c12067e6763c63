//! Tests of trials: messages that a lost session left unanswered are sent again with no others beside them.

use super::world::World;
use crate::link::{BindId, Disconnect, LinkEvent};
use crate::model::{Address, Class, Content, ShardId};
use crate::traffic::{Answer, NotWritten, Trial, Unanswered};
use stentor_smpp::status::CommandStatus;

const ONE: u64 = 4_915_112_345_001;
const OK: CommandStatus = CommandStatus::ROK;
const BULK: Class = Class::Transactional;

impl World {
    /// Adds messages on trial at the first shard, each to a number of its own.
    fn tried(&mut self, texts: impl IntoIterator<Item = String>, trial: Trial) -> Vec<Address> {
        let mut addresses = Vec::new();
        for text in texts {
            let content = Content { body: text.as_bytes(), ..Content::default() };
            let to = ONE + 1_000 + self.shards[0].waiting[BULK.index()].len() as u64;
            let submit = self.submit_of(to, BULK, &content, |submit| submit.trial = Some(trial));
            addresses.push(submit.address);
            self.shards[0].waiting[BULK.index()].push_back(submit);
        }
        addresses
    }

    fn others(&mut self, texts: &[&str]) {
        for (at, text) in texts.iter().enumerate() {
            self.wait(1, ONE + at as u64, BULK, text);
        }
        self.demand(1);
    }

    /// Texts that the carrier has not answered.
    fn unanswered(&self) -> Vec<String> {
        self.pending().map(|at| self.got[at].body()).collect()
    }

    fn answer_all(&mut self) {
        for at in self.pending().collect::<Vec<_>>() {
            self.answer(&self.got[at].clone(), OK, b"1");
        }
    }
}

fn texts(from: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |at| format!("{from}{at}"))
}

#[test]
fn nothing_is_beside_a_message_that_goes_alone() {
    let mut world = World::bound(|options| options.window = 4);
    world.others(&["a", "b", "c", "d", "e"]);
    assert_eq!(world.unanswered(), ["a", "b", "c", "d"]);
    world.tried(texts("x", 2), Trial::Alone);
    world.demand(0);
    world.advance_ms(20);
    world.answer(&world.got[0].clone(), OK, b"1");
    assert_eq!(world.unanswered(), ["b", "c", "d"], "nothing new goes there until it is free");
    world.answer_all();
    assert_eq!(world.unanswered(), ["x0"]);
    world.advance_ms(100);
    assert_eq!(world.unanswered(), ["x0"]);
    world.answer_all();
    assert_eq!(world.unanswered(), ["e"], "others have their time in between");
    world.answer_all();
    world.advance_ms(119);
    assert!(world.unanswered().is_empty(), "{:?}", world.unanswered());
    world.others(&["f"]);
    assert_eq!(world.unanswered(), ["f"]);
    world.advance_ms(10);
    world.answer_all();
    assert_eq!(world.unanswered(), ["x1"], "when they had as much as the trial took");
    world.answer_all();
    assert_eq!(world.open(), 0);
}

#[test]
fn a_group_goes_together_and_others_go_over_other_binds() {
    let mut world = World::bound(|options| (options.window, options.binds) = (20, 2));
    world.tried(texts("x", 20), Trial::InGroup);
    world.demand(0);
    let binds: Vec<_> = world.got.iter().map(|got| got.bind).collect();
    assert_eq!((world.unanswered().len(), binds.iter().all(|bind| *bind == binds[0])), (16, true));
    world.others(&["a", "b", "c"]);
    assert_eq!(world.unanswered()[16..], ["a", "b", "c"]);
    assert!(world.got[16..].iter().all(|got| got.bind != binds[0]));
    for at in 0..16 {
        world.answer(&world.got[at].clone(), OK, b"1");
    }
    world.advance_ms(10);
    assert_eq!(world.unanswered()[3..], texts("x", 20).collect::<Vec<_>>()[16..], "the rest");
}

#[test]
fn what_waits_for_its_trial_takes_no_places_from_others() {
    let mut world = World::bound(|options| (options.window, options.binds) = (4, 2));
    world.tried(texts("x", 100), Trial::Alone);
    world.demand(0);
    assert_eq!(world.shards[0].waiting[BULK.index()].len(), 0, "all are handed over");
    let many: Vec<_> = texts("o", 50).collect();
    world.others(&many.iter().map(String::as_str).collect::<Vec<_>>());
    for _ in 0..50 {
        let others: Vec<_> = world.pending().filter(|at| world.got[*at].body().starts_with('o')).collect();
        others.into_iter().for_each(|at| world.answer(&world.got[at].clone(), OK, b"1"));
    }
    let sent = world.texts();
    assert_eq!(sent.iter().filter(|text| text.starts_with('o')).count(), 50);
    assert_eq!(sent.iter().filter(|text| text.starts_with('x')).count(), 1);
}

#[test]
fn a_carrier_that_answers_nothing_is_handed_no_more_than_so_many() {
    let mut world = World::bound(|options| options.window = 10);
    world.tried(texts("x", 3_000), Trial::Alone);
    world.demand(0);
    assert!((1_024..1_060).contains(&world.open()), "{}", world.open());
}

/// An OTP waits for the trial to end. The trial must not wait for the OTP in turn.
#[test]
fn what_is_urgent_waits_for_a_trial_and_not_the_trial_for_it() {
    let mut world = World::bound(|options| options.window = 2);
    for at in 0..5 {
        world.wait(1, ONE + at, Class::Otp, "code");
    }
    world.tried(texts("x", 1), Trial::Alone);
    world.demand(0);
    world.demand(1);
    assert_eq!(world.unanswered()[0], "x0");
    for _ in 0..5 {
        world.answer_all();
    }
    assert_eq!((world.texts().len(), world.open()), (6, 0));
}

#[test]
fn the_one_that_was_alone_is_lost_alone_and_the_rest_goes_on() {
    let mut world = World::bound(|options| (options.window, options.reconnect_max_ms) = (4, 1_000));
    let tried = world.tried(texts("x", 3), Trial::Alone);
    world.demand(0);
    world.disconnect(BindId(0), Disconnect::ByPeer);
    let lost = Answer::Unanswered(Unanswered::ConnectionLost);
    let back = Answer::NotWritten(NotWritten::LinkDown);
    let told: Vec<_> = world.told.iter().map(|told| (told.address, told.answer)).collect();
    assert_eq!(told, [(tried[0], lost), (tried[1], back), (tried[2], back)], "the only bind is gone");
    let mut world = World::bound(|options| (options.window, options.binds, options.reconnect_max_ms) = (4, 2, 1_000));
    let tried = world.tried(texts("x", 2), Trial::Alone);
    world.demand(0);
    let first = world.got[0].bind;
    world.disconnect(first, Disconnect::ByPeer);
    assert_eq!(world.told.iter().map(|told| (told.address, told.answer)).collect::<Vec<_>>(), [(tried[0], lost)]);
    world.advance_ms(10);
    assert_eq!((world.unanswered(), world.got[1].bind != first), (vec!["x1".to_owned()], true), "over another bind");
    world.handle(LinkEvent::Drain);
    world.answer_all();
    world.use_places(ShardId(0), BULK, true);
    assert_eq!(world.open(), 0);
}

#[test]
fn a_trial_of_many_parts_is_one_message_and_thrown_back_ones_keep_the_bind() {
    let mut world = World::bound(|options| options.window = 10);
    world.tried(["y".repeat(400)], Trial::Alone);
    world.others(&["a"]);
    world.answer_all();
    world.demand(0);
    assert_eq!(world.unanswered().len(), 3, "all its parts");
    world.answer(&world.got[1].clone(), CommandStatus::RTHROTTLED, b"");
    world.others(&["b"]);
    for at in 2..4 {
        world.answer(&world.got[at].clone(), OK, b"1");
    }
    assert!(!world.texts().contains(&"b".to_owned()), "a part is left");
    world.advance_ms(5_000);
    assert_eq!(world.got.len(), 5);
    world.answer_all();
    assert_eq!(world.unanswered(), ["b"]);
}

/// Slots on the bind that is kept free for a trial do not count: bulk messages must not use slots that are kept for urgent
/// messages on the other binds.
#[test]
fn the_places_of_a_trial_do_not_count_as_kept_for_what_is_urgent() {
    let mut world = World::bound(|options| (options.window, options.binds) = (4, 2));
    let many: Vec<_> = texts("o", 40).collect();
    world.others(&many.iter().map(String::as_str).collect::<Vec<_>>());
    world.tried(texts("x", 1), Trial::Alone);
    world.demand(0);
    // One bind is cleared for the trial, which then stays unanswered.
    while !world.unanswered().contains(&"x0".to_owned()) {
        let first = world.pending().next().expect("something is out");
        world.answer(&world.got[first].clone(), OK, b"1");
        world.advance_ms(1);
    }
    for at in 0..3 {
        world.wait(1, ONE + 500 + at, Class::Otp, "code");
    }
    world.demand(1);
    for _ in 0..6 {
        let bulk = world.pending().find(|at| world.got[*at].body().starts_with('o')).expect("bulk is out");
        world.answer(&world.got[bulk].clone(), OK, b"1");
    }
    assert_eq!(world.texts().iter().filter(|text| *text == "code").count(), 3);
}

/// If all messages of a trial have expired, the trial ends without a submit, and no answer will wake the link.
#[test]
fn a_trial_that_says_nothing_to_the_carrier_holds_nothing_up() {
    let mut world = World::bound(|options| options.window = 4);
    world.tried(texts("x", 1), Trial::Alone);
    let expired = world.shards[0].waiting[BULK.index()].back_mut().expect("it waits");
    expired.head.expires_at = world.now.wall;
    world.demand(0);
    world.others(&["a", "b"]);
    world.advance_ms(50);
    assert_eq!(world.unanswered(), ["a", "b"]);
}

/// An outage is not part of a trial: the pause before the next trial is not lengthened by it.
#[test]
fn after_an_outage_trials_go_on_at_once() {
    let mut world = World::bound(|options| {
        (options.window, options.reconnect_max_ms, options.response_timeout_ms) = (4, 1_000, 2_000);
    });
    world.tried(texts("x", 1), Trial::Alone);
    world.demand(0);
    assert_eq!(world.unanswered(), ["x0"]);
    let bind = world.got[0].bind;
    world.handle(LinkEvent::Pause);
    world.disconnect(bind, Disconnect::ByPeer);
    world.advance_ms(3_600_000);
    world.handle(LinkEvent::Resume);
    world.advance_ms(2_000);
    world.tried(texts("y", 1), Trial::Alone);
    world.demand(0);
    world.advance_ms(3_000);
    assert!(world.texts().contains(&"y0".to_owned()), "{:?}", world.texts());
}

#[test]
fn breaking_invariant_1_is_noticed() {
    let unanswered = |trials: &[Option<Trial>]| {
        let mut world = World::bound(|options| options.window = 20);
        let texts: Vec<String> = texts("x", trials.len()).collect();
        world.others(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((world.unanswered().len(), world.link.check_trials()), (trials.len(), Ok(())));
        // As if the link had ignored the trial when it sent them.
        for (index, trial) in (0..).zip(trials) {
            world.link.prepared.get_mut(index).expect("is here").submit.trial = *trial;
        }
        world.link.check_trials().err().map(|broken| (broken.file, broken.number))
    };
    let broken = Some(("stentor_core::link::trial", 1));
    let (group, alone) = (Some(Trial::InGroup), Some(Trial::Alone));
    assert_eq!(unanswered(&[group, group]), None);
    assert_eq!(unanswered(&[alone]), None);
    assert_eq!(unanswered(&[alone, None]), broken);
    assert_eq!(unanswered(&[group, None]), broken);
    assert_eq!(unanswered(&[alone, group]), broken);
    assert_eq!(unanswered(&[group; 17]), broken);
}
