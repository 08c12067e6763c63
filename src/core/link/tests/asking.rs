//! Tests of queries to carriers that send no receipts: at the agreed rate, until there is a final state, without delaying messages.

use super::world::{START, World};
use crate::link::{BindId, BindKind, Disconnect, LinkEvent, Options, QueryOptions};
use crate::model::{Class, ErrorFamily, ReceiptState, SenderId, ShardId};
use crate::traffic::{QueryBatch, QueryOf, ReceiptToken, Span, ToLink};
use stentor_smpp::status::CommandStatus;

const ONE: u64 = 4_915_112_345_001;
const FIRST: BindId = BindId(0);
const MINUTE_MS: u64 = 60_000;
const ENROUTE: u8 = 1;
const DELIVERED: u8 = 2;
const UNDELIVERABLE: u8 = 5;
const UNKNOWN: u8 = 7;

fn asks(rate_per_s: u32) -> impl Fn(&mut Options) {
    move |options| {
        options.query = Some(QueryOptions { rate_per_s, first_ms: MINUTE_MS });
        (options.window, options.response_timeout_ms) = (8, 5_000);
    }
}

/// Shard 1 hands over messages to ask about that were sent just now.
fn sent(world: &mut World, ids: &[&str]) {
    let mut batch = QueryBatch { shard: ShardId(1), ..QueryBatch::default() };
    for id in ids {
        let id = Span::append(&mut batch.arena, id.as_bytes());
        let (sent_at, until) = (world.now.wall, world.now.wall.after_ms(24 * 60 * MINUTE_MS));
        let sender = SenderId::parse("Bank").expect("a sender");
        batch.queries.push(QueryOf { id, sender, recipient: ONE, sent_at, until });
    }
    world.handle(LinkEvent::Traffic(ToLink::Queries(batch)));
}

/// When the carrier was asked, ms, and about which id.
fn asked(world: &World) -> Vec<(u64, String)> {
    let at = |at: crate::model::Mono| at.since(START.mono) / 1_000_000;
    world.queried.iter().map(|query| (at(query.at), String::from_utf8_lossy(&query.id).into_owned())).collect()
}

#[test]
fn a_message_is_asked_about_until_its_end_is_told() {
    let mut world = World::bound(asks(10));
    let begin = world.now.mono.since(START.mono) / 1_000_000;
    sent(&mut world, &["17"]);
    world.states.insert(b"17".to_vec(), (ENROUTE, 0));
    world.advance_ms(MINUTE_MS - 1);
    assert_eq!(asked(&world), []);
    world.advance_ms(3 * MINUTE_MS);
    assert!(asked(&world).iter().map(|(at, _)| at - begin).eq([MINUTE_MS, 2 * MINUTE_MS]), "{:?}", asked(&world));
    assert_eq!(world.queried[0].source, (5, 0, b"Bank".to_vec()), "the sender as it was submitted");
    assert!(world.receipts.is_empty(), "the message is still on its way");
    world.states.insert(b"17".to_vec(), (UNKNOWN, 0));
    world.advance_ms(4 * MINUTE_MS);
    assert!(world.receipts.is_empty(), "the carrier does not know the state");
    world.states.insert(b"17".to_vec(), (UNDELIVERABLE, 27));
    world.advance_ms(10 * MINUTE_MS);
    let [told] = &world.receipts[..] else { panic!("{:?}", world.receipts) };
    let receipt = told.receipt;
    assert_eq!((told.shard, told.id.as_slice()), (ShardId(1), &b"17"[..]));
    assert_eq!((receipt.state, receipt.recipient, receipt.is_asked), (ReceiptState::Undeliverable, ONE, true));
    assert_eq!((receipt.error.number, receipt.error.family), (27, ErrorFamily::Unknown));
    assert_eq!(receipt.token, ReceiptToken::NONE);
    let questions = world.queried.len();
    world.advance_ms(200 * MINUTE_MS);
    assert_eq!((world.queried.len(), world.link.poll_timeout().is_some()), (questions, true), "nothing is left to ask");
    let counters = world.link.counters();
    assert_eq!((counters.queries, counters.queries_settled, counters.queries_open), (4, 1, 3));
}

#[test]
fn never_more_questions_in_a_second_than_agreed_whatever_they_are_answered() {
    let mut world = World::bound(asks(5));
    let ids: Vec<_> = (0..40).map(|id| id.to_string()).collect();
    sent(&mut world, &ids.iter().map(String::as_str).collect::<Vec<_>>());
    world.advance_ms(MINUTE_MS + 10_000);
    assert_eq!(world.queried.len(), 40, "each once");
    world.advance_ms(2 * MINUTE_MS);
    assert!(world.queried.len() >= 80 && world.receipts.is_empty(), "the carrier does not know the ids");
    let at: Vec<_> = world.queried.iter().map(|query| query.at).collect();
    assert!(at.windows(6).all(|six| six[5].since(six[0]) >= 1_000_000_000));
}

#[test]
fn a_carrier_that_answers_no_question_is_sent_messages_all_the_same() {
    let mut world = World::bound(asks(100));
    world.is_dumb = true;
    world.answers = Some(CommandStatus::ROK);
    sent(&mut world, &["1", "2", "3", "4", "5"]);
    world.advance_ms(MINUTE_MS + 1_000);
    assert_eq!(world.queried.len(), 2, "a quarter of the window");
    world.send(0, ONE, Class::Transactional, "hi");
    assert_eq!(world.got.len(), 1);
    world.advance_ms(20_000);
    assert_eq!(world.queried.len(), 5, "when these are given up, the others are sent");
    assert_eq!((world.sessions[&FIRST], world.link.counters().sessions_lost), (1, 0), "no reason for a new session");
    world.is_dumb = false;
    world.states.extend(["1", "2", "3", "4", "5"].map(|id| (id.as_bytes().to_vec(), (DELIVERED, 0))));
    world.advance_ms(5 * MINUTE_MS);
    assert_eq!(world.receipts.len(), 5);
}

#[test]
fn what_was_out_on_a_lost_connection_is_asked_again_on_the_next() {
    let mut world = World::bound(asks(10));
    world.is_dumb = true;
    sent(&mut world, &["1"]);
    world.advance_ms(MINUTE_MS);
    assert_eq!(world.queried.len(), 1);
    world.disconnect(FIRST, Disconnect::ByPeer);
    world.is_dumb = false;
    world.states.insert(b"1".to_vec(), (DELIVERED, 0));
    world.advance_ms(2 * MINUTE_MS);
    assert_eq!((world.queried.len(), world.receipts.len(), world.sessions[&FIRST]), (2, 1, 2));
}

#[test]
fn questions_go_where_submits_go_and_wait_for_a_bind() {
    let mut world = World::new(|options| {
        asks(10)(options);
        options.bind = BindKind::Pair;
    });
    world.accepts = None;
    sent(&mut world, &["1"]);
    world.states.insert(b"1".to_vec(), (DELIVERED, 0));
    world.advance_ms(3 * MINUTE_MS);
    assert_eq!(world.queried.len(), 0);
    world.accepts = Some(CommandStatus::ROK);
    world.advance_ms(3 * MINUTE_MS);
    assert_eq!((world.queried.len(), world.queried[0].bind, world.receipts.len()), (1, FIRST, 1));
}
