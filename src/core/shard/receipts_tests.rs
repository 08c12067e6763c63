//! Ids that a carrier gives again: receipts are told apart by the numbers that they come from.

use super::*;

pub(super) const CARL: &str = "4915112345670";
const NUMBERS: [&str; 3] = [ANNA, BERT, CARL];
const ENDS: [(ReceiptState, MessageState); 3] = [
    (ReceiptState::Delivered, MessageState::Delivered),
    (ReceiptState::Undeliverable, MessageState::Undelivered),
    (ReceiptState::Expired, MessageState::Expired),
];
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

fn keeping(receipts_max: usize) -> Options {
    Options { receipts_max, ..options() }
}

pub(super) fn world_keeping(receipts_max: usize) -> World {
    let now = Now { mono: Mono(0), wall: Wall(1_000_000) };
    start(MemoryStore::new(Drops::AtOnce), keeping(receipts_max), now)
}

pub(super) fn receipt_event(
    at: Wall,
    (from, id): (&str, &str),
    state: ReceiptState,
    reference: Option<u16>,
) -> ShardEvent {
    let number = number(from).number();
    let numbers = Numbers { source: Tail::of(number), destination: Tail::NONE };
    event_of(at, id, |receipt| {
        (receipt.recipient, receipt.numbers) = (number, numbers);
        (receipt.state, receipt.reference) = (state, reference);
    })
}

/// A receipt that says `DELIVRD` and names no number, changed by `alter`.
pub(super) fn event_of(at: Wall, id: &str, alter: impl FnOnce(&mut ReceiptIn)) -> ShardEvent {
    let mut receipt = ReceiptIn {
        token: ReceiptToken(1),
        if_unknown: IfUnknown::Park,
        recipient: 0,
        numbers: Numbers::default(),
        is_untyped: false,
        is_shared: false,
        is_asked: false,
        id: Span { at: 0, len: id.len() as u16 },
        state: ReceiptState::Delivered,
        error: CarrierError::default(),
        reference: None,
        at,
        text: Span::default(),
    };
    alter(&mut receipt);
    let batch = ReceiptBatch {
        link: LINK,
        group: GroupId(3),
        receipts: vec![receipt],
        arena: id.into(),
        ..ReceiptBatch::default()
    };
    ShardEvent::Traffic(ToShard::Receipts(batch))
}

impl World {
    pub(super) fn outcome_event(&self, submit: &Submit, id: &str) -> ShardEvent {
        let outcome = Outcome {
            attempt: submit.attempt,
            bind: 4,
            sender: Self::sender_of(submit),
            ..Outcome::first(submit.address, Answer::Accepted(Span { at: 0, len: id.len() as u16 }))
        };
        let batch = OutcomeBatch { link: LINK, group: GroupId(3), outcomes: vec![outcome], arena: id.into() };
        ShardEvent::Traffic(ToShard::Outcomes(batch))
    }

    /// A message that the carrier took under that id.
    fn taken(&mut self, to: &str, id: &str) -> MessageId {
        let (message, submit) = self.sent(Class::Transactional, to, 1);
        self.handle(self.outcome_event(&submit, id));
        message
    }

    /// So many other messages, which wait for receipts.
    pub(super) fn others_taken(&mut self, messages: usize) {
        let from = self.shard().status().counters.submitted;
        for at in 0..messages as u64 {
            self.taken(CARL, &format!("other-{}", from + at));
        }
    }

    pub(super) fn state(&mut self, id: MessageId) -> MessageState {
        self.story(id).0
    }

    pub(super) fn runs(&self) -> usize {
        self.store.reader().runs(RunFamily::Receipt).len()
    }

    fn late(&self) -> u64 {
        self.shard().status().counters.receipts_late
    }

    /// Each receipt comes, and settles the message to its number.
    fn hears_each(&mut self, ids: &[MessageId; 3], order: [usize; 3]) {
        let mut expected = [MessageState::Submitted; 3];
        for at in order {
            self.receipt(NUMBERS[at], "1", ENDS[at].0, None);
            expected[at] = ENDS[at].1;
            assert_eq!(ids.map(|id| self.state(id)), expected, "in the order {order:?}");
        }
        assert_eq!((self.shard().status().orphans, self.late()), (0, 0));
    }
}

#[test]
fn messages_to_several_numbers_under_one_id_get_their_own_receipts() {
    for order in ORDERS {
        for crashes in [false, true] {
            let mut world = world();
            let ids = NUMBERS.map(|number| world.taken(number, "1"));
            assert_eq!(world.shard().status().receipts_waiting, 3);
            if crashes {
                world = world.crashed(options());
            }
            world.hears_each(&ids, order);
            assert_eq!(world.shard().status().receipts_waiting, 0);
        }
    }
}

/// With room for few parts in memory, the parts are in one run, in several, or some in a run and some in memory.
#[test]
fn messages_under_one_id_get_their_own_receipts_out_of_runs() {
    for (receipts_max, order) in [2, 3, 4, 6].into_iter().flat_map(|most| ORDERS.map(|order| (most, order))) {
        for crashes in [false, true] {
            let mut world = world_keeping(receipts_max);
            let ids = NUMBERS.map(|number| world.taken(number, "1"));
            world.others_taken(3);
            assert!(world.runs() > 0);
            if crashes {
                world.checkpoint();
                world = world.crashed(keeping(receipts_max));
            }
            world.hears_each(&ids, order);
        }
    }
}

#[test]
fn receipts_of_one_id_that_outran_their_responses_are_each_its_own_messages() {
    for order in ORDERS {
        let mut world = world();
        let sent = NUMBERS.map(|number| world.sent(Class::Transactional, number, 1));
        for (number, (said, _)) in NUMBERS.into_iter().zip(ENDS) {
            world.receipt(number, "1", said, None);
        }
        assert_eq!(world.shard().status().orphans, 3);
        for at in order {
            world.handle(world.outcome_event(&sent[at].1, "1"));
            assert_eq!(world.state(sent[at].0), ENDS[at].1, "{order:?}");
        }
        assert_eq!((world.shard().status().orphans, world.shard().status().receipts_waiting), (0, 0));
        let orphans = &mut 0;
        let count = &mut |_: &[u8], _: &[u8]| {
            *orphans += 1;
            std::ops::ControlFlow::Continue(())
        };
        world.store.reader().range(Space::Orphan, &[0], &[255; 13], 100, count).expect("read");
        assert_eq!(*orphans, 0, "nor on disk");
    }
}

#[test]
fn a_receipt_that_comes_once_more_is_not_taken_for_one_of_another_number() {
    for crashes in [false, true] {
        let mut world = world_keeping(4);
        let first = world.taken(ANNA, "1");
        world.receipt(ANNA, "1", ReceiptState::Delivered, None);
        // First it is in memory, then it is only known as answered.
        let second = world.taken(BERT, "1");
        for others in [0, 4] {
            world.others_taken(others);
            if crashes {
                world.checkpoint();
                world = world.crashed(keeping(4));
            }
            world.receipt(ANNA, "1", ReceiptState::Expired, None);
            assert_eq!([first, second].map(|id| world.state(id)), [MessageState::Delivered, MessageState::Submitted]);
        }
        assert_eq!((world.runs(), world.shard().status().orphans), (2, 0));
        world.receipt(BERT, "1", ReceiptState::Undeliverable, None);
        assert_eq!(world.state(second), MessageState::Undelivered);
        let late = world.late();
        world.receipt(BERT, "1", ReceiptState::Undeliverable, None);
        assert_eq!((world.late(), world.shard().status().orphans), (late + 1, 0));
    }
}

#[test]
fn an_id_given_again_to_the_same_number_is_the_new_messages_in_memory_and_in_a_run() {
    for others in [0, 8] {
        for crash in 0..3 {
            let mut world = world_keeping(4);
            let first = world.taken(ANNA, "1");
            world.receipt(ANNA, "1", ReceiptState::Delivered, None);
            // Outside the open epoch it is known as answered, which is recorded again when more leaves the epoch.
            world.others_taken(4);
            let second = world.taken(ANNA, "1");
            world.others_taken(others);
            if crash == 1 {
                world.checkpoint();
            }
            if crash > 0 {
                world = world.crashed(keeping(4));
            }
            world.receipt(ANNA, "1", ReceiptState::Undeliverable, None);
            let states = [first, second].map(|id| world.state(id));
            assert_eq!(states, [MessageState::Delivered, MessageState::Undelivered], "{others} {crash}");
        }
    }
}

/// A commit holds parts and answers in two lists.
#[test]
fn an_id_given_again_in_the_turn_of_its_receipt_waits_after_a_crash() {
    for others in [0, 4] {
        let mut world = world_keeping(4);
        let first = world.taken(ANNA, "1");
        world.others_taken(others);
        let (second, submit) = world.sent(Class::Transactional, ANNA, 1);
        let (_, other) = world.sent(Class::Transactional, BERT, 1);
        // This batch is under way; what comes now goes into the next.
        world.tell(world.outcome_event(&other, "other"));
        assert!(world.batch.is_some());
        world.tell(receipt_event(world.now.wall, (ANNA, "1"), ReceiptState::Delivered, None));
        world.read();
        world.tell(world.outcome_event(&submit, "1"));
        world.settle();
        let mut world = world.crashed(keeping(4));
        assert_eq!([first, second].map(|id| world.state(id)), [MessageState::Delivered, MessageState::Submitted]);
        world.receipt(ANNA, "1", ReceiptState::Undeliverable, None);
        assert_eq!(world.state(second), MessageState::Undelivered);
    }
}

#[test]
fn a_carrier_may_write_numbers_in_a_way_of_its_own() {
    for others in [0, 4] {
        let mut world = world_keeping(4);
        let id = world.taken(ANNA, "1");
        world.others_taken(others);
        world.receipt("15112345678", "1", ReceiptState::Delivered, None);
        assert_eq!((world.state(id), world.shard().status().orphans), (MessageState::Delivered, 0));
        world.receipt("15112345678", "1", ReceiptState::Delivered, None);
        assert_eq!((world.late(), world.shard().status().orphans), (1, 0), "once more");
    }
}

/// A part in the open epoch is newer than one in a run: the reader is asked only about receipts that could be another part's.
#[test]
fn runs_are_asked_only_for_what_the_open_epoch_does_not_know() {
    let mut world = world_keeping(80);
    // Some more, since a run is collected in small steps.
    world.others_taken(84);
    assert_eq!(world.runs(), 1);
    for id in ["own-1", "own-2", "own-3"] {
        world.taken(ANNA, id);
    }
    let mut asked = |event: ShardEvent| {
        world.tell(event);
        let asked = world.reads.len();
        world.settle();
        asked
    };
    let told = |from: &str, id: &str| receipt_event(Wall(0), (from, id), ReceiptState::Delivered, None);
    let silent = |id: &str| {
        let ShardEvent::Traffic(ToShard::Receipts(mut batch)) = told(ANNA, id) else { unreachable!("a receipt") };
        (batch.receipts[0].recipient, batch.receipts[0].numbers) = (0, Numbers::default());
        ShardEvent::Traffic(ToShard::Receipts(batch))
    };
    let known = [told(ANNA, "own-1"), told("15112345678", "own-2"), silent("own-3")];
    assert_eq!(known.map(&mut asked), [0, 0, 0]);
    assert_eq!([told(BERT, "own-1"), told(ANNA, "nobodys"), silent("nobodys")].map(&mut asked), [1, 1, 1]);
}
