//! Which part a receipt is about: ids and numbers as carriers write them. No receipt may settle another message.

use crate::model::{Content, Frame, SenderId};
use stentor_smpp::receipt_id::{Dialect, IdRelation};

use super::receipts::{CARL, event_of, world_keeping};
use super::*;

/// The sender of messages that have one.
const SENDER: &str = "+4930555000";

/// A receipt as its carrier writes it: source, destination, id.
type Written<'a> = (&'a str, &'a str, &'a str);

impl World {
    /// A message with a sender, which its carrier took under that id.
    fn taken_from(&mut self, sender: &str, to: &str, id: &str) -> MessageId {
        self.taken_until(Wall(u64::MAX), sender, to, id)
    }

    pub(super) fn taken_until(&mut self, expires_at: Wall, sender: &str, to: &str, id: &str) -> MessageId {
        let from = if sender.is_empty() { SenderId::default() } else { SenderId::parse(sender).expect("sender") };
        let mut content = Vec::new();
        Content { from, body: b"x", ..Content::default() }.encode(&mut content);
        let head = Head {
            to: number(to),
            tenant: TenantId(5),
            class: Class::Transactional,
            receipt: true,
            parts: 1,
            route: RouteId(1),
            expires_at,
            content_len: content.len() as u32,
            ..Head::default()
        };
        let frame = Frame { heads: vec![head], arena: content, ..Frame::default() };
        let Reply::Submitted(results) = self.ask(Ask::Submit(frame)) else { panic!("another answer") };
        let LineResult::Accepted(message) = results[0] else { panic!("{results:?}") };
        let submit = self.pulled(Class::Transactional);
        self.handle(self.outcome_event(&submit, id));
        message
    }

    /// Gives a receipt to the shard, read from what the carrier wrote as a link reads it.
    fn hears(&mut self, written: Written<'_>, state: ReceiptState, is_untyped: bool) -> Option<Verdict> {
        self.heard(written, |receipt| (receipt.state, receipt.is_untyped) = (state, is_untyped))
    }

    fn heard(&mut self, (source, destination, id): Written<'_>, alter: impl Fn(&mut ReceiptIn)) -> Option<Verdict> {
        let numbers = Numbers {
            source: Tail::of_written(source.as_bytes()),
            destination: Tail::of_written(destination.as_bytes()),
        };
        let number = Msisdn::from_digits(source.trim_start_matches('+').as_bytes()).map_or(0, Msisdn::number);
        self.verdicts.clear();
        self.handle(event_of(self.now.wall, id, |receipt| {
            (receipt.recipient, receipt.numbers) = (number, numbers);
            alter(receipt);
        }));
        self.verdicts.last().map(|(_, verdict)| *verdict)
    }

    fn delivers(&mut self, written: Written<'_>) {
        assert_eq!(self.hears(written, ReceiptState::Delivered, false), Some(Verdict::Kept), "{written:?}");
    }

    /// Configures another dialect.
    fn told(&mut self, dialect: Dialect, is_number_ignored: bool) {
        let mut told = catalog(LINK, GroupId(3));
        let changed = std::sync::Arc::make_mut(&mut told);
        (changed.carriers[0].dialect, changed.carriers[0].is_number_ignored) = (dialect, is_number_ignored);
        self.handle(ShardEvent::Catalog(told));
    }

    fn parked(&self) -> u64 {
        self.shard().status().orphans
    }
}

/// What a receipt does to a message to Anna under some id, by how it names the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fits {
    /// It settles the message, whatever else is known.
    Agrees,
    /// It settles the message if no other could be meant.
    Silent,
    /// It is kept, and settles nothing.
    Parks,
}

const ANNAS: [(&str, &str, Fits); 16] = [
    (ANNA, SENDER, Fits::Agrees),
    ("+4915112345678", "4930555000", Fits::Agrees),
    ("004915112345678", SENDER, Fits::Agrees),
    ("015112345678", "", Fits::Agrees),
    ("15112345678", "ACME", Fits::Agrees),
    ("12345678", SENDER, Fits::Agrees),
    (SENDER, ANNA, Fits::Agrees),
    ("", "015112345678", Fits::Agrees),
    ("", "", Fits::Silent),
    ("", SENDER, Fits::Silent),
    ("49151xxxx678", SENDER, Fits::Silent),
    ("ACME", "345678", Fits::Silent),
    (SENDER, "", Fits::Silent),
    (BERT, SENDER, Fits::Parks),
    ("0151000000", "", Fits::Parks),
    (SENDER, BERT, Fits::Parks),
];

/// Id in the response, id in the receipt, the configured form of ids, and whether the id alone proves the part if no number does.
const IDS: [(&str, &str, Option<IdRelation>, bool); 14] = [
    ("12345", "12345", None, true),
    ("12345", "0000012345", None, true),
    ("0012345", "12345", None, true),
    ("00AB12", "ab12", None, true),
    ("aBcXy9", "ABCXY9", None, true),
    ("16FD2706-8BAF-433B-82EB-8C7FADA847DA", "16fd2706-8baf-433b-82eb-8c7fada847da", None, true),
    ("3039", "12345", None, false),
    ("12345", "3039", None, false),
    ("3039", "12345", Some(IdRelation::DecimalToHex), true),
    ("12345", "3039", Some(IdRelation::HexToDecimal), true),
    ("12345", "12345", Some(IdRelation::Same), true),
    ("order-7", "ORDER-7", Some(IdRelation::DecimalToHex), true),
    ("730100000000000000012345", "730100000000000000012345", None, true),
    ("0x3039", "3039", None, true),
];

/// Every way to write an id with every way to write numbers, the receipt before the response and after it, with the part in
/// memory and in a run: the message is settled or the receipt kept, and no other message is ever settled.
#[test]
fn each_dialect_finds_its_own_message_and_no_other() {
    let (mut right, mut parked) = (0, 0);
    for (response, written, told, is_proof) in IDS {
        for (source, destination, fits) in ANNAS {
            for (is_early, in_run) in [(false, false), (true, false), (false, true)] {
                let settles = fits == Fits::Agrees || fits == Fits::Silent && is_proof;
                let said = (source, destination, written);
                let mut world = world_keeping(if in_run { 4 } else { 1_000 });
                world.told(told.map(Dialect::told).unwrap_or_default(), false);
                let other = world.taken_from(SENDER, BERT, "another");
                if is_early {
                    world.delivers(said);
                }
                let anna = world.taken_from(SENDER, ANNA, response);
                if in_run {
                    world.others_taken(5);
                    assert!(world.runs() > 0);
                }
                if !is_early {
                    world.delivers(said);
                }
                let expected = if settles { MessageState::Delivered } else { MessageState::Submitted };
                let why = format!("{response} {said:?} {told:?} early {is_early} in a run {in_run}");
                assert_eq!([anna, other].map(|id| world.state(id)), [expected, MessageState::Submitted], "{why}");
                assert_eq!(world.parked(), u64::from(!settles), "{why}");
                (right, parked) = (right + usize::from(settles), parked + usize::from(!settles));
            }
        }
    }
    assert_eq!((right, parked), (3 * (12 * 13 + 2 * 8), 3 * (12 * 3 + 2 * 8)));
}

/// Field K4 and K5: ids from 1 to 40, hexadecimal in responses and decimal in receipts, with the form configured or not.
#[test]
fn ids_that_look_like_others_are_not_mixed_up() {
    for (told, names_number) in [(true, true), (true, false), (false, true)] {
        let mut world = world_keeping(1_000);
        world.told(if told { Dialect::told(IdRelation::DecimalToHex) } else { Dialect::default() }, false);
        let number = |at: usize| format!("49151123400{at:02}");
        let ids: Vec<_> = (1..=40).map(|at| world.taken_from(SENDER, &number(at), &format!("{at:x}"))).collect();
        for at in 1..=40 {
            let (source, id) = (if names_number { number(at) } else { String::new() }, at.to_string());
            let state = if at % 2 == 0 { ReceiptState::Delivered } else { ReceiptState::Undeliverable };
            world.hears((&source, SENDER, &id), state, false);
        }
        for (at, id) in (1..=40).zip(ids) {
            let expected = if at % 2 == 0 { MessageState::Delivered } else { MessageState::Undelivered };
            assert_eq!(world.state(id), expected, "{at}, told {told}, with its number {names_number}");
        }
    }
}

/// Field P6: among parts under equal ids the recipient decides; if a receipt names none, it cannot be known which is meant.
#[test]
fn an_id_that_several_wait_under_settles_none_of_them_without_a_number() {
    for receipts_max in [1_000, 4] {
        let mut world = world_keeping(receipts_max);
        let ids = [ANNA, BERT, CARL].map(|number| world.taken_from("ACME", number, "1"));
        world.others_taken(if receipts_max == 4 { 8 } else { 0 });
        world.delivers(("", "", "1"));
        assert_eq!((ids.map(|id| world.state(id)), world.parked()), ([MessageState::Submitted; 3], 1));
        // Nor when only one is left: it may be about either of the others.
        world.delivers((BERT, "", "1"));
        world.delivers((ANNA, "", "1"));
        let again = world.taken_from("ACME", "4915100000001", "1");
        let states = [ids[0], ids[1], ids[2], again].map(|id| world.state(id));
        let expected =
            [MessageState::Delivered, MessageState::Delivered, MessageState::Submitted, MessageState::Submitted];
        assert_eq!((states, world.parked()), (expected, 1), "{receipts_max}");
    }
}

/// Field K5: a parked receipt stays for the message that it is about.
#[test]
fn a_parked_receipt_of_another_number_waits_for_its_own_message() {
    let mut world = world();
    world.delivers((BERT, "", "7"));
    let anna = world.taken_from(SENDER, ANNA, "7");
    assert_eq!((world.state(anna), world.parked()), (MessageState::Submitted, 1));
    let bert = world.taken_from(SENDER, BERT, "7");
    assert_eq!([anna, bert].map(|id| world.state(id)), [MessageState::Submitted, MessageState::Delivered]);
    assert_eq!(world.parked(), 0);
}

/// Security H3: any handset can send a text that looks like a receipt.
#[test]
fn a_text_that_looks_like_a_receipt_settles_only_what_its_number_agrees_with() {
    for early in [false, true] {
        let mut world = world();
        let anna = (!early).then(|| world.taken_from(SENDER, ANNA, "7001"));
        for source in ["4915199999999", "", "ACME"] {
            world.hears((source, "12345", "7001"), ReceiptState::Undeliverable, true);
        }
        let anna = anna.unwrap_or_else(|| world.taken_from(SENDER, ANNA, "7001"));
        assert_eq!(world.state(anna), MessageState::Submitted, "early {early}");
        world.hears((ANNA, "12345", "7001"), ReceiptState::Undeliverable, true);
        assert_eq!(world.state(anna), MessageState::Undelivered);
    }
}

/// The operator may choose this, take it back, and choose it later.
#[test]
fn numbers_that_are_ignored_say_nothing_and_what_was_parked_is_looked_at_again() {
    for receipts_max in [1_000, 4] {
        let mut world = world_keeping(receipts_max);
        let ids = [ANNA, BERT].map(|number| world.taken_from(SENDER, number, &format!("id-{number}")));
        world.others_taken(if receipts_max == 4 { 8 } else { 0 });
        let strange = ["0800111222", "0800111333"];
        for (number, own) in strange.into_iter().zip([ANNA, BERT]) {
            world.delivers((number, SENDER, &format!("id-{own}")));
        }
        assert_eq!((ids.map(|id| world.state(id)), world.parked()), ([MessageState::Submitted; 2], 2));
        world.told(Dialect::default(), true);
        world.pass(1);
        assert_eq!(
            (ids.map(|id| world.state(id)), world.parked()),
            ([MessageState::Delivered; 2], 0),
            "{receipts_max}"
        );
        let later = world.taken_from(SENDER, CARL, "id-carl");
        world.delivers(("0800111444", SENDER, "id-carl"));
        assert_eq!(world.state(later), MessageState::Delivered);
    }
}

/// The operator is told of a carrier whose first receipts all name other numbers, once.
#[test]
fn a_carrier_whose_numbers_never_fit_is_told_of() {
    let told = |world: &World| {
        let alarms = world.alarms.iter().flatten();
        alarms.filter(|alarm| alarm.contains("dialect.number")).count()
    };
    for fits_first in [false, true] {
        let mut world = world();
        world.alarms = Some(Vec::new());
        if fits_first {
            world.taken_from(SENDER, ANNA, "first");
            world.delivers((ANNA, SENDER, "first"));
        }
        for at in 0..40 {
            assert_eq!(told(&world), usize::from(at >= 20 && !fits_first), "after {at}");
            world.taken_from(SENDER, ANNA, &format!("id-{at}"));
            world.delivers(("0800111222", SENDER, &format!("id-{at}")));
        }
        assert_eq!((told(&world), world.parked()), (usize::from(!fits_first), 40));
    }
}

/// Core A7: the carrier took the first message and lost the second; a receipt without an id may be about either.
#[test]
fn a_receipt_without_an_id_settles_the_only_message_that_it_can_be_about() {
    // One message waits for its receipt, and nothing else is under way.
    let mut world = world();
    let alone = world.taken_from(SENDER, ANNA, "1");
    world.delivers((ANNA, SENDER, ""));
    assert_eq!((world.state(alone), world.parked()), (MessageState::Delivered, 0));
    // The receipt comes again: no message is left that it can be about.
    world.delivers((ANNA, SENDER, ""));
    assert_eq!((world.state(alone), world.parked()), (MessageState::Delivered, 1));

    // One message waits for its receipt, and one is in doubt.
    let mut world = super::world();
    let first = world.taken_from(SENDER, ANNA, "1");
    let (second, submit) = world.sent(Class::Transactional, ANNA, 1);
    world.lost(&submit);
    world.delivers((ANNA, SENDER, ""));
    assert_eq!([first, second].map(|id| world.state(id)), [MessageState::Submitted, MessageState::InDoubt]);
    assert_eq!(world.parked(), 1);

    // Two messages wait.
    let mut world = super::world();
    let both = ["1", "2"].map(|id| world.taken_from(SENDER, ANNA, id));
    world.delivers((ANNA, SENDER, ""));
    assert_eq!((both.map(|id| world.state(id)), world.parked()), ([MessageState::Submitted; 2], 1));

    // The receipt comes before the response.
    let mut world = super::world();
    let (early, submit) = world.sent(Class::Transactional, ANNA, 1);
    world.delivers((ANNA, SENDER, ""));
    world.handle(world.outcome_event(&submit, "1"));
    assert_eq!((world.state(early), world.parked()), (MessageState::Delivered, 0));
}

/// Parts that have gone into a run are not known by their recipient: then it cannot be known whether a part is the only one.
#[test]
fn a_receipt_without_an_id_settles_nothing_while_parts_stand_in_runs() {
    let mut world = world_keeping(4);
    world.others_taken(5);
    assert!(world.runs() > 0);
    let anna = world.taken_from(SENDER, ANNA, "1");
    world.delivers((ANNA, SENDER, ""));
    assert_eq!((world.state(anna), world.parked()), (MessageState::Submitted, 1));
}

/// A parked receipt says the same after a restart as before.
#[test]
fn a_parked_receipt_says_the_same_after_a_crash() {
    for (said, is_ambiguous) in [((BERT, SENDER, "7"), false), (("", "", "7"), true)] {
        let mut world = world();
        if is_ambiguous {
            let _ = [BERT, CARL].map(|number| world.taken_from(SENDER, number, "7"));
        }
        // A message is under way, so that a receipt that is not ambiguous is kept on disk.
        let _ = world.sent(Class::Transactional, BERT, 1);
        world.delivers(said);
        world = world.crashed(options());
        let anna = world.taken_from(SENDER, ANNA, "7");
        assert_eq!(world.state(anna), MessageState::Submitted, "{said:?}");
    }
}

/// A parked receipt is kept as long as receipts are waited for, and no longer.
#[test]
fn a_parked_receipt_waits_as_long_as_a_message_does() {
    for (age, expected) in [(99, MessageState::Delivered), (101, MessageState::Submitted)] {
        let mut world = world();
        let (early, submit) = world.sent(Class::Transactional, ANNA, 1);
        world.delivers((ANNA, SENDER, "1"));
        world.pass(options().receipt_wait_ms / 100 * age);
        (0..2).for_each(|_| world.checkpoint());
        world.handle(world.outcome_event(&submit, "1"));
        assert_eq!(world.state(early), expected, "after {age} hundredths");
    }
}

/// A carrier that did not hear our answer delivers again, without a number: the part that got the same id later is not settled.
#[test]
fn a_silent_receipt_that_comes_once_more_is_no_tenant_elses() {
    for (receipts_max, others) in [(1_000, 0), (4, 0), (4, 4), (4, 9)] {
        let mut world = world_keeping(receipts_max);
        let first = world.taken_from(SENDER, ANNA, "7");
        world.others_taken(others);
        world.delivers(("", "", "7"));
        assert_eq!(world.state(first), MessageState::Delivered);
        let second = world.taken_from(SENDER, BERT, "7");
        let before = world.shard().status().counters.finals;
        world.hears(("", "", "7"), ReceiptState::Expired, false);
        assert_eq!([first, second].map(|id| world.state(id)), [MessageState::Delivered, MessageState::Submitted]);
        assert_eq!(world.shard().status().counters.finals, before, "{receipts_max} {others}");
    }
}

/// A receipt whose id is in another form than its carrier writes is only a guess, and does not keep a receipt from its own part.
#[test]
fn a_guess_alone_makes_nothing_ambiguous() {
    let mut world = world();
    let other = world.taken_from(SENDER, BERT, "597");
    world.delivers(("", "", "255"));
    let own = world.taken_from(SENDER, ANNA, "255");
    assert_eq!([other, own].map(|id| world.state(id)), [MessageState::Submitted, MessageState::Delivered]);
}

/// Parts whose wait is over can no longer be meant.
#[test]
fn a_part_whose_receipt_never_came_is_no_candidate_after_its_time() {
    for id in ["7", ""] {
        let mut world = world();
        let late = world.taken_until(Wall(world.now.wall.0 + 1_000), SENDER, ANNA, "7");
        world.pass(options().receipt_wait_ms + 2_000);
        (0..2).for_each(|_| world.checkpoint());
        let waits = world.taken_from(SENDER, ANNA, if id.is_empty() { "8" } else { "7" });
        world.delivers((if id.is_empty() { ANNA } else { "" }, "", id));
        assert_eq!(
            [late, waits].map(|id| world.state(id)),
            [MessageState::Submitted, MessageState::Delivered],
            "{id:?}"
        );
    }
}

/// A receipt without an id is about a message that was sent before it came.
#[test]
fn a_receipt_without_an_id_says_nothing_of_what_is_sent_later() {
    let mut world = world();
    let first = world.taken_from(SENDER, ANNA, "1");
    world.delivers((ANNA, SENDER, ""));
    world.pass(1_000);
    world.delivers((ANNA, SENDER, ""));
    assert_eq!((world.state(first), world.parked()), (MessageState::Delivered, 1));
    world.pass(1_000);
    let second = world.taken_from(SENDER, ANNA, "2");
    assert_eq!((world.state(second), world.parked()), (MessageState::Submitted, 1));
}

/// They have no id in common, so none drives out another.
#[test]
fn receipts_without_ids_of_many_numbers_are_kept_side_by_side() {
    let mut world = world();
    let number = |at: usize| format!("4915112300{at:03}");
    let sent: Vec<_> = (0..20).map(|at| world.sent(Class::Transactional, &number(at), 1)).collect();
    for at in 0..20 {
        world.delivers((&number(at), SENDER, ""));
    }
    assert_eq!(world.parked(), 20);
    for (id, submit) in sent {
        let event = world.outcome_event(&submit, &format!("id-{id}"));
        world.handle(event);
        assert_eq!(world.state(id), MessageState::Delivered);
    }
}

/// A shard that may not be the only one to know an id settles only a part that a number names.
#[test]
fn a_shard_that_is_asked_beside_others_says_that_it_may_be() {
    for (source, if_unknown, expected) in [
        ("", IfUnknown::Tell, Verdict::Perhaps),
        (BERT, IfUnknown::Tell, Verdict::Perhaps),
        (BERT, IfUnknown::Settle, Verdict::Unknown),
        ("", IfUnknown::Park, Verdict::Kept),
        (ANNA, IfUnknown::Tell, Verdict::Kept),
    ] {
        let mut world = world();
        let anna = world.taken_from(SENDER, ANNA, "7");
        let told =
            world.heard((source, SENDER, "7"), |receipt| (receipt.if_unknown, receipt.is_shared) = (if_unknown, true));
        assert_eq!(told, Some(expected), "{source:?} {if_unknown:?}");
        let state = if source == ANNA { MessageState::Delivered } else { MessageState::Submitted };
        assert_eq!(world.state(anna), state);
        assert_eq!(world.parked(), u64::from(if_unknown == IfUnknown::Park));
        let unknown = world.heard(("", "", "8"), |receipt| receipt.if_unknown = IfUnknown::Tell);
        assert_eq!(unknown, Some(Verdict::Unknown));
    }
}
