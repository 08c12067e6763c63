//! Tests of sending: which parts are sent, in which order, and which outcomes the shards get.

use super::world::World;
use crate::link::{CarrierEncoding, Options};
use crate::model::{CarrierError, Class, Coding, Content, Encoding, ErrorFamily, SenderId};
use crate::traffic::{Answer, NotWritten, PartSet, Span};
use stentor_smpp::coding::DefaultAlphabet;
use stentor_smpp::split::Splitting;
use stentor_smpp::status::CommandStatus;

const ONE: u64 = 4_915_112_345_001;
const TWO: u64 = 4_915_112_345_002;
const OK: CommandStatus = CommandStatus::ROK;

#[test]
fn a_message_goes_out_and_its_answer_comes_back() {
    let mut world = World::bound(|_| {});
    let address = world.send(1, ONE, Class::Transactional, "hello");
    let got = world.got[0].clone();
    assert_eq!((got.source.clone(), got.to.as_slice()), ((5, 0, b"Bank".to_vec()), &b"4915112345001"[..]));
    assert_eq!((got.esm_class, got.data_coding, got.registered, got.body()), (0, 0, 1, "hello".to_owned()));
    assert!(world.told.is_empty(), "no outcome before the carrier's answer");
    let written = world.now.mono;
    world.advance_ms(5);
    world.answer(&got, OK, b"abc");
    let told = &world.told[0];
    assert_eq!((told.address, told.part, told.parts, told.id.as_slice()), (address, 1, 1, &b"abc"[..]));
    assert_eq!((told.answer, told.written_at), (Answer::Accepted(Span { at: 0, len: 3 }), written));
    assert_eq!(world.open(), 0);
}

#[test]
fn the_window_is_never_exceeded_and_the_most_urgent_goes_first() {
    let mut world = World::bound(|options| options.window = 2);
    for text in ["m1", "m2", "m3", "m4"] {
        world.wait(0, ONE, Class::Marketing, text);
    }
    world.demand(0);
    assert_eq!(world.texts(), ["m1", "m2"], "two under way");
    world.send(1, TWO, Class::Transactional, "t1");
    world.answer(&world.got[0].clone(), OK, b"1");
    assert_eq!(world.texts(), ["m1", "m2", "m3"], "m3 and m4 hold all the places that may be prepared");
    world.answer(&world.got[1].clone(), OK, b"2");
    assert_eq!(world.texts(), ["m1", "m2", "m3", "t1"], "t1 was granted when m3 left, and passes m4");
}

#[test]
fn an_otp_gets_the_next_slot_though_bulk_waits() {
    let mut world = World::bound(|options| options.window = 2);
    for text in ["m1", "m2", "m3", "m4", "m5", "m6"] {
        world.wait(0, ONE, Class::Marketing, text);
    }
    world.demand(0);
    world.send(1, TWO, Class::Otp, "code");
    assert_eq!(world.texts(), ["m1", "m2"]);
    assert_eq!(world.shards[1].waiting[Class::Otp.index()].len(), 1, "not prepared without a free slot");
    world.answer(&world.got[0].clone(), OK, b"1");
    assert_eq!(world.texts(), ["m1", "m2", "code"]);
    world.answer(&world.got[2].clone(), OK, b"2");
    assert_eq!(world.texts(), ["m1", "m2", "code", "m3"]);
}

#[test]
fn a_slot_is_kept_for_an_otp_that_is_being_made_durable() {
    let mut world = World::bound(|options| options.window = 1);
    world.uses_grants = false;
    world.wait(0, ONE, Class::Marketing, "m1");
    world.demand(0);
    world.use_places(crate::model::ShardId(0), Class::Marketing, true);
    world.send(0, ONE, Class::Marketing, "m2");
    world.use_places(crate::model::ShardId(0), Class::Marketing, true);
    world.send(1, TWO, Class::Otp, "code");
    world.answer(&world.got[0].clone(), OK, b"1");
    assert_eq!(world.texts(), ["m1"], "the slot is free and m2 is prepared, but the place was granted to the code");
    assert_eq!(world.shards[1].places[Class::Otp.index()], 1);
    world.use_places(crate::model::ShardId(1), Class::Otp, false);
    assert_eq!(world.texts(), ["m1", "code"]);
    world.answer(&world.got[1].clone(), OK, b"2");
    assert_eq!(world.texts(), ["m1", "code", "m2"]);
}

/// A token of a carrier that throttled is not kept for an OTP on its way, but a slot is: bulk would take each one that gets
/// free, and the OTP would never be granted a place.
#[test]
fn an_otp_gets_the_next_slot_of_a_carrier_that_throttled() {
    let mut world = World::bound(|options| options.window = 1);
    for text in ["m1", "m2", "m3", "m4"] {
        world.wait(0, ONE, Class::Marketing, text);
    }
    world.demand(0);
    world.answer(&world.got[0].clone(), CommandStatus::RTHROTTLED, b"");
    world.advance_ms(1_500);
    assert_eq!(world.texts(), ["m1", "m1"]);
    world.send(1, TWO, Class::Otp, "code");
    for _ in 0..3 {
        let last = world.got.last().expect("one").clone();
        world.answer(&last, OK, b"1");
        world.advance_ms(500);
    }
    assert_eq!(world.texts(), ["m1", "m1", "code", "m2", "m3"]);
}

#[test]
fn shards_share_fairly() {
    let mut world = World::bound(|options| options.window = 4);
    for n in 0..20 {
        world.wait(0, ONE + n, Class::Marketing, "a");
        world.wait(1, ONE + n, Class::Marketing, "b");
    }
    world.demand(0);
    world.demand(1);
    for n in 0..20 {
        world.answer(&world.got[n].clone(), OK, b"1");
    }
    let from_b = world.texts().iter().filter(|text| *text == "b").count();
    assert!((8..=12).contains(&from_b), "{from_b} of {}", world.got.len());
}

#[test]
fn an_idle_link_leaves_standing_places_and_recalls_them() {
    let mut world = World::bound(|options| options.window = 20);
    world.advance_ms(150);
    let places = |world: &World, shard: usize| world.shards[shard].places;
    assert_eq!((places(&world, 0), places(&world, 1)), ([4, 4, 0, 0], [4, 4, 0, 0]));
    world.advance_ms(5_000);
    assert_eq!(places(&world, 0), [4, 4, 0, 0], "no more of them");
    world.send(0, ONE, Class::Otp, "code");
    assert_eq!(world.texts(), ["code"], "no round trip");
    assert_eq!(places(&world, 0), [4, 3, 0, 0]);
    world.answer(&world.got[0].clone(), OK, b"1");
    world.advance_ms(150);
    assert_eq!(places(&world, 0), [4, 4, 0, 0], "filled up again");
    for _ in 0..50 {
        world.wait(1, TWO, Class::Marketing, "m");
    }
    world.demand(1);
    assert_eq!((places(&world, 0), places(&world, 1)), ([0; 4], [0; 4]), "recalled: the window is full");
    world.send(0, ONE, Class::Otp, "late");
    world.answer(&world.got[1].clone(), OK, b"2");
    assert_eq!(world.texts().last().map(String::as_str), Some("late"));
}

#[test]
fn a_shard_that_wants_no_standing_places_is_left_alone() {
    let mut world = World::bound(|options| options.window = 20);
    world.advance_ms(150);
    world.use_places(crate::model::ShardId(0), Class::Otp, true);
    world.use_places(crate::model::ShardId(0), Class::Emergency, true);
    world.advance_ms(5_000);
    assert_eq!(world.shards[0].places, [0; 4]);
    assert_eq!(world.shards[1].places, [4, 4, 0, 0]);
}

#[test]
fn prepared_is_bound_by_a_quarter_second_of_the_rate() {
    let mut world = World::bound(|options| {
        options.window = 1_000;
        options.rate_parts_per_s = Some(100);
    });
    world.uses_grants = false;
    for _ in 0..500 {
        world.wait(0, ONE, Class::Marketing, "m");
    }
    world.demand(0);
    assert_eq!(world.shards[0].places[Class::Marketing.index()], 25);
    world.uses_grants = true;
    world.answers = Some(OK);
    world.use_places(crate::model::ShardId(0), Class::Marketing, true);
    world.advance_ms(2_000);
    assert!((195..=200).contains(&world.got.len()), "{} in two seconds", world.got.len());
    let prepared = world.link.status(world.now.mono).prepared;
    assert!(prepared <= 25, "{prepared}");
}

#[test]
fn a_link_with_a_rate_is_silent_at_first() {
    let mut world = World::bound(|options| {
        options.rate_parts_per_s = Some(100);
        options.silent_until = super::world::START.mono.after_ms(1_000);
    });
    world.send(0, ONE, Class::Transactional, "t");
    world.advance_ms(990);
    assert!(world.got.is_empty());
    world.advance_ms(20);
    assert_eq!(world.texts(), ["t"]);
}

#[test]
fn a_bind_rate_holds_each_bind() {
    let mut world = World::bound(|options| {
        options.binds = 2;
        options.window = 1_000;
        options.bind_rate_parts_per_s = Some(50);
    });
    world.answers = Some(OK);
    for n in 0..400 {
        world.wait(0, ONE + n, Class::Marketing, "m");
    }
    world.demand(0);
    world.advance_ms(1_000);
    for bind in 0..2 {
        let count = world.got.iter().filter(|got| got.bind.0 == bind).count();
        assert!((49..=50).contains(&count), "{count} on {bind}");
    }
}

#[test]
fn long_texts_go_in_parts_with_others_between() {
    let mut world = World::bound(|options| options.window = 3);
    let address = world.wait(0, ONE, Class::Transactional, &"x".repeat(400));
    world.wait(0, TWO, Class::Transactional, "short");
    world.wait(0, ONE, Class::Transactional, "follower");
    world.demand(0);
    for n in 0..5 {
        world.answer(&world.got[n].clone(), OK, b"1");
    }
    assert_eq!(world.got[1].body(), "short", "between the parts");
    assert_eq!(world.got[4].body(), "follower", "not before the last part to the same recipient");
    for (n, part, bytes) in [(0, 1, 159), (2, 2, 159), (3, 3, 100)] {
        let got = &world.got[n];
        assert_eq!((got.esm_class, got.text.len(), &got.text[..6]), (0x40, bytes, &[5, 0, 3, 0x34, 3, part][..]));
    }
    let told = world.told.iter().filter(|told| told.address == address);
    assert_eq!(told.map(|told| (told.part, told.parts)).collect::<Vec<_>>(), [(1, 3), (2, 3), (3, 3)]);
}

#[test]
fn a_refused_part_stops_the_rest() {
    let mut world = World::bound(|options| options.window = 1);
    world.send(0, ONE, Class::Transactional, &"x".repeat(400));
    world.answer(&world.got[0].clone(), OK, b"1");
    world.answer(&world.got[1].clone(), CommandStatus::RINVDSTADR, b"");
    assert_eq!(world.got.len(), 2);
    let refused = Answer::Refused(CarrierError::of_answer(ErrorFamily::Permanent, 0x0B));
    assert_eq!(world.outcomes()[1..], [refused, Answer::NotWritten(NotWritten::SiblingRefused)]);
    assert_eq!(world.open(), 0);
}

#[test]
fn parts_answered_in_an_earlier_attempt_are_not_sent_again() {
    let mut world = World::bound(|_| {});
    world.answers = Some(OK);
    let text = "x".repeat(400);
    let content = Content { body: text.as_bytes(), ..Content::default() };
    let submit = world.submit_of(ONE, Class::Transactional, &content, |submit| {
        let mut answered = PartSet::default();
        answered.insert(2);
        submit.answered = Some(Box::new(answered));
        (submit.attempt, submit.cut) = (2, 3);
    });
    world.shards[0].waiting[Class::Transactional.index()].push_back(submit);
    world.demand(0);
    let numbers: Vec<u8> = world.got.iter().map(|got| got.text[5]).collect();
    assert_eq!(numbers, [1, 3]);
    assert_eq!(world.told.iter().map(|told| told.part).collect::<Vec<_>>(), [1, 3]);
}

/// Core A6: the carrier took two of 3 parts, and now the message is cut into 2 parts, or into 4.
#[test]
fn what_is_cut_otherwise_than_when_parts_of_it_were_taken_goes_back_whole() {
    for (letters, parts) in [(200, 2), (500, 4)] {
        let mut world = World::bound(|_| {});
        world.answers = Some(OK);
        let text = "x".repeat(letters);
        let content = Content { body: text.as_bytes(), ..Content::default() };
        let submit = world.submit_of(ONE, Class::Transactional, &content, |submit| {
            let mut answered = PartSet::default();
            answered.insert(1);
            answered.insert(2);
            submit.answered = Some(Box::new(answered));
            (submit.attempt, submit.cut) = (2, 3);
        });
        world.shards[0].waiting[Class::Transactional.index()].push_back(submit);
        world.demand(0);
        assert!(world.got.is_empty(), "{parts} parts");
        assert_eq!(world.outcomes(), vec![Answer::NotWritten(NotWritten::CutChanged); parts]);
        assert_eq!(world.open(), 0);
    }
}

#[test]
fn what_is_late_or_cannot_be_said_never_leaves() {
    let mut world = World::bound(|_| {});
    let now = world.now.wall;
    let late = Content { body: b"late", ..Content::default() };
    let late = world.submit_of(ONE, Class::Otp, &late, |submit| submit.head.expires_at = now);
    let odd = Content { body: "日".as_bytes(), ..Content::default() };
    let odd = world.submit_of(ONE, Class::Otp, &odd, |submit| submit.head.encoding = Encoding::Gsm7);
    let broken = Content { body: b"x", tlvs: &[1, 2, 3], ..Content::default() };
    let broken = world.submit_of(ONE, Class::Otp, &broken, |_| {});
    world.shards[0].waiting[Class::Otp.index()].extend([late, odd, broken]);
    world.demand(0);
    assert!(world.got.is_empty());
    let expired = Answer::NotWritten(NotWritten::Expired);
    assert_eq!(world.outcomes(), [expired, Answer::Unencodable, Answer::Unencodable]);
    assert_eq!(world.open(), 0);
}

#[test]
fn a_pdu_says_what_the_carrier_wants() {
    let mut world = World::bound(|options| {
        options.transliterate = true;
        options.text.splitting = Splitting::Sar;
        options.tlvs = vec![0x14, 0, 0, 1, 7, 0x14, 1, 0, 1, 8];
    });
    world.answers = Some(OK);
    let from = SenderId::parse("72345").expect("a sender");
    let text = "“quoted”".repeat(21);
    let content = Content { from, body: text.as_bytes(), tlvs: &[0x14, 1, 0, 1, 9], ..Content::default() };
    let expires_at = world.now.wall.after_ms(90_500);
    let submit = world.submit_of(ONE, Class::Transactional, &content, |submit| {
        submit.head.expires_at = expires_at;
        submit.head.receipt = false;
        submit.head.flash = true;
    });
    world.shards[0].waiting[Class::Transactional.index()].push_back(submit);
    world.demand(0);
    let got = world.got[0].clone();
    assert_eq!((got.source, got.registered, got.data_coding), ((3, 0, b"72345".to_vec()), 0, 0x10));
    assert_eq!(got.validity, b"000000000130000R");
    let sar = [2, 0x0C, 0, 2, 0, 0x34, 2, 0x0E, 0, 1, 2, 2, 0x0F, 0, 1, 1];
    assert_eq!(got.tlvs, [&sar[..], &[0x14, 0, 0, 1, 7], &[0x14, 1, 0, 1, 9]].concat());
    let whole: String = world.texts().concat();
    assert_eq!(whole, "\"quoted\"".repeat(21), "both parts, transliterated");
}

/// Sends one message with this content through a link with these options.
fn one(change: impl FnOnce(&mut Options), content: &Content<'_>, encoding: Encoding) -> World {
    let mut world = World::bound(change);
    world.answers = Some(OK);
    let submit = world.submit_of(ONE, Class::Transactional, content, |submit| submit.head.encoding = encoding);
    world.shards[0].waiting[Class::Transactional.index()].push_back(submit);
    world.demand(0);
    assert_eq!(world.open(), 0);
    world
}

#[test]
fn bytes_go_with_their_header() {
    let content = Content { body: &[1, 2, 3], udh: &[6, 5, 4, 0x0B, 0x84, 0x23, 0xF0], ..Content::default() };
    let got = one(|_| {}, &content, Encoding::Binary).got[0].clone();
    assert_eq!((got.esm_class, got.data_coding), (0x40, 4));
    assert_eq!(got.text, [6, 5, 4, 0x0B, 0x84, 0x23, 0xF0, 1, 2, 3]);
    assert_eq!(got.source, (0, 0, Vec::new()), "no sender: the carrier's own");
}

#[test]
fn latin1_by_its_own_number() {
    let latin1 = |options: &mut Options| options.encoding = CarrierEncoding::Latin1;
    let content = Content { body: "cafés".as_bytes(), ..Content::default() };
    let got = one(latin1, &content, Encoding::Auto).got[0].clone();
    assert_eq!((got.data_coding, got.text.as_slice()), (3, &b"caf\xE9s"[..]));
    let got = one(latin1, &content, Encoding::Ucs2).got[0].clone();
    assert_eq!((got.data_coding, got.text.len()), (8, 10));
    let content = Content { body: "façade".as_bytes(), ..Content::default() };
    let got = one(latin1, &content, Encoding::Auto).got[0].clone();
    assert_eq!((got.data_coding, got.text.as_slice()), (3, &b"fa\xE7ade"[..]), "beyond GSM 7-bit, too");
}

#[test]
fn a_shard_is_told_in_what_a_part_was_sent() {
    let latin1 = |options: &mut Options| options.encoding = CarrierEncoding::Latin1;
    let ascii = |options: &mut Options| options.text.default_alphabet = DefaultAlphabet::Ascii;
    type Row = (fn(&mut Options), &'static str, Encoding, Coding);
    let table: [Row; 6] = [
        (|_| {}, "plain", Encoding::Auto, Coding::Gsm7),
        (|_| {}, "Привет", Encoding::Auto, Coding::Ucs2),
        (|_| {}, "plain", Encoding::Ucs2, Coding::Ucs2),
        (|_| {}, "bytes", Encoding::Binary, Coding::Binary),
        (latin1, "façade", Encoding::Auto, Coding::Latin1),
        (ascii, "plain", Encoding::Auto, Coding::Ascii),
    ];
    for (change, text, encoding, expected) in table {
        let content = Content { body: text.as_bytes(), ..Content::default() };
        let told = one(change, &content, encoding).told;
        assert_eq!(told.iter().map(|told| told.coding).collect::<Vec<_>>(), [expected], "{text:?} as {encoding:?}");
    }
}

#[test]
fn what_the_carriers_own_alphabet_lacks_is_replaced() {
    let said = |default_alphabet, body: &str, encoding| {
        let content = Content { body: body.as_bytes(), ..Content::default() };
        let change = |options: &mut Options| {
            options.transliterate = true;
            options.text.default_alphabet = default_alphabet;
        };
        let got = one(change, &content, encoding).got[0].clone();
        (got.data_coding, got.text)
    };
    let ascii = said(DefaultAlphabet::Ascii, "Café Größe £5", Encoding::Auto);
    assert_eq!(ascii, (0, b"Cafe Grosse GBP5".to_vec()));
    assert_eq!(said(DefaultAlphabet::Latin1, "für 5 €", Encoding::Auto), (0, b"f\xFCr 5 EUR".to_vec()));
    assert_eq!(said(DefaultAlphabet::Gsm7, "“ж”", Encoding::Auto).0, 8);
    assert_eq!(
        said(DefaultAlphabet::Gsm7, "“ж”", Encoding::Auto).1,
        [0x20, 0x1C, 4, 0x36, 0x20, 0x1D],
        "as it was written"
    );
    assert_eq!(said(DefaultAlphabet::Gsm7, "thực", Encoding::Gsm7), (0, b"thuc".to_vec()));
}

#[test]
fn a_carrier_that_cuts_itself_gets_it_whole() {
    let text = "y".repeat(1_000);
    let content = Content { body: text.as_bytes(), ..Content::default() };
    let got = one(|options| options.text.splitting = Splitting::Payload, &content, Encoding::Auto).got[0].clone();
    assert_eq!((got.text.len(), &got.tlvs[..4], got.tlvs.len()), (0, &[0x04, 0x24, 0x03, 0xE8][..], 1_004));
}

#[test]
fn a_recipient_stays_at_one_bind_while_in_flight() {
    let mut world = World::bound(|options| {
        options.binds = 2;
        options.window = 3;
    });
    for n in 0..6 {
        world.wait(0, ONE, Class::Marketing, &n.to_string());
    }
    world.demand(0);
    assert_eq!(world.texts(), ["0", "1", "2"], "one bind only, and no more than its window");
    let bind = world.got[0].bind;
    assert!(world.got.iter().all(|got| got.bind == bind));
    world.send(0, TWO, Class::Marketing, "other");
    assert_ne!(world.got[3].bind, bind, "another recipient goes where there is room");
    for n in [0, 1, 2] {
        world.answer(&world.got[n].clone(), OK, b"1");
    }
    assert_eq!(world.texts(), ["0", "1", "2", "other", "3", "4", "5"]);
}
