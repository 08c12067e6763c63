//! Parts of a carrier that sends no receipts: its link is told of them, also after a restart, and the carrier's answers settle
//! them.

use std::sync::Arc;

use crate::traffic::{Bound, QueryBatch, QueryOf};

use super::receipts::event_of;
use super::*;

const SENDER: &str = "4930555000";

fn queried() -> Arc<Catalog> {
    let mut catalog = catalog(LINK, GroupId(3));
    Arc::make_mut(&mut catalog).carriers[0].is_queried = true;
    catalog
}

fn world_of(bounds: Bounds, receipts_max: usize) -> World {
    let now = Now { mono: Mono(0), wall: Wall(1_000_000) };
    World::start(MemoryStore::new(Drops::AtOnce), Options { bounds, receipts_max, ..options() }, queried(), now)
}

impl World {
    /// A message that its carrier took under that id.
    fn taken_by_dumb(&mut self, to: &str, id: &str) -> MessageId {
        self.taken_until(self.now.wall.after_ms(60_000), SENDER, to, id)
    }

    /// What the link was told since the last call: the ids, and the queries.
    fn asked(&mut self) -> Vec<(String, QueryOf)> {
        let batches = std::mem::take(&mut self.queries);
        let of = |batch: &QueryBatch, query: &QueryOf| {
            (String::from_utf8_lossy(query.id.of(&batch.arena)).into_owned(), *query)
        };
        batches
            .iter()
            .flat_map(|batch| batch.queries.iter().map(|query| of(batch, query)).collect::<Vec<_>>())
            .collect()
    }

    fn ids_asked(&mut self) -> Vec<String> {
        let mut ids: Vec<_> = self.asked().into_iter().map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids
    }

    fn binds(&mut self) {
        self.handle(ShardEvent::Traffic(ToShard::Bound(Bound { link: LINK, is_bound: true })));
    }

    /// The link tells what its carrier answered.
    fn told_end(&mut self, to: &str, id: &str, state: ReceiptState) {
        let number = number(to).number();
        let at = self.now.wall;
        self.handle(event_of(at, id, |receipt| {
            (receipt.token, receipt.is_asked, receipt.if_unknown) = (ReceiptToken::NONE, true, IfUnknown::Tell);
            (receipt.recipient, receipt.numbers.source) = (number, Tail::of(number));
            receipt.state = state;
        }));
    }

    fn crashed_queried(self, receipts_max: usize) -> Self {
        let remains = Remains { dropped: DroppedRanges::StayDropped, ..Remains::default() };
        let store = self.store.crash(&remains).expect("a disk");
        World::start(store, Options { receipts_max, ..options() }, queried(), self.now)
    }
}

#[test]
fn a_link_is_told_once_of_what_its_carrier_took_and_again_after_a_start() {
    let mut world = world_of(Bounds::DEFAULT, 1_000);
    let taken_at = world.now.wall;
    let message = world.taken_by_dumb(ANNA, "0x0A1");
    let asked = world.asked();
    let [(id, query)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((id.as_str(), query.sender.as_str(), query.recipient), ("0x0A1", SENDER, number(ANNA).number()));
    let wait_ms = options().receipt_wait_ms;
    assert_eq!((query.sent_at, query.until), (taken_at, taken_at.after_ms(60_000 + wait_ms)));
    world.binds();
    assert_eq!(world.ids_asked(), [] as [&str; 0], "it was told already");

    let mut world = world.crashed_queried(1_000);
    assert_eq!(world.ids_asked(), [] as [&str; 0], "no link is bound yet");
    world.binds();
    assert_eq!(world.asked()[0].1.sender.as_str(), SENDER);
    world.told_end(ANNA, "0x0A1", ReceiptState::Undeliverable);
    assert_eq!((world.state(message), world.shard().status().asked), (MessageState::Undelivered, 0));
    assert!(world.verdicts.is_empty(), "no link waits for a verdict");
    let mut world = world.crashed_queried(1_000);
    world.binds();
    assert_eq!(world.ids_asked(), [] as [&str; 0], "its end is known");
}

/// The id in an answer is written as in the response, whatever the dialect says of receipts.
#[test]
fn an_answer_is_matched_by_the_id_that_was_asked_for() {
    use stentor_smpp::receipt_id::{Dialect, IdRelation};
    let mut world = world_of(Bounds::DEFAULT, 1_000);
    let mut told = queried();
    Arc::make_mut(&mut told).carriers[0].dialect = Dialect::told(IdRelation::DecimalToHex);
    world.handle(ShardEvent::Catalog(told));
    let message = world.taken_by_dumb(ANNA, "12AB");
    world.told_end(ANNA, "12AB", ReceiptState::Delivered);
    assert_eq!(world.state(message), MessageState::Delivered);
    world.told_end(ANNA, "77", ReceiptState::Delivered);
    assert_eq!(world.shard().status().orphans, 0, "an answer about an unknown part is not kept");
}

#[test]
fn what_has_left_the_open_epoch_is_still_asked_about_after_a_start() {
    let mut world = world_of(Bounds::DEFAULT, 8);
    let first = world.taken_by_dumb(ANNA, "first");
    let ids: Vec<_> = (0..40).map(|at| format!("other-{at:02}")).collect();
    for id in &ids {
        world.taken_by_dumb(BERT, id);
    }
    assert!(world.runs() > 0, "some are in a run");
    world.checkpoint();
    world.asked();
    let mut world = world.crashed_queried(8);
    world.binds();
    let asked = world.ids_asked();
    assert!(asked.contains(&"first".to_owned()) && asked.len() == 41, "{asked:?}");
    world.told_end(ANNA, "first", ReceiptState::Delivered);
    assert_eq!(world.state(first), MessageState::Delivered);
}

#[test]
fn what_there_is_no_room_for_is_not_asked_about_and_counted() {
    let mut world = world_of(Bounds { asked_max: 2, ..Bounds::DEFAULT }, 1_000);
    for id in ["1", "2", "3"] {
        world.taken_by_dumb(ANNA, id);
    }
    assert_eq!((world.ids_asked(), world.shard().status().counters.queries_full), (vec!["1".into(), "2".into()], 1));
    world.told_end(ANNA, "1", ReceiptState::Delivered);
    world.taken_by_dumb(ANNA, "4");
    assert_eq!(world.ids_asked(), ["4"]);
}

#[test]
fn who_waits_no_longer_is_not_asked_for_after_a_start() {
    let mut world = world_of(Bounds::DEFAULT, 1_000);
    world.taken_by_dumb(ANNA, "1");
    world.asked();
    world.pass(60_000 + options().receipt_wait_ms + 2_000);
    let mut world = world.crashed_queried(1_000);
    world.binds();
    assert_eq!((world.ids_asked().len(), world.shard().status().asked), (0, 0));
}
