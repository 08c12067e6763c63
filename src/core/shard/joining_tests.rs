//! Messages from handsets in parts, over a store in memory: in any order, twice, over crashes, and never complete.

use crate::model::{Address, CarrierId, GroupId, Inboxes, LinkId, Mono, Msisdn, ReplyTo, TenantId, Whose};
use crate::node::world::catalog;
use crate::store::memory::{DroppedRanges, Drops, MemoryStore, Remains};
use crate::store::record::{HandsetRecord, JoiningRecord, decode};
use crate::store::{Backend, Reader, Space};
use crate::traffic::{HandsetIn, PartIn, ReceiptBatch, ReceiptToken, Span, Verdict};

use super::*;

const LINK: LinkId = LinkId { carrier: CarrierId(1), core: 2 };
const ANNA: u64 = 4_915_112_345_678;
const BERT: u64 = 4_915_112_345_679;
const DAY_MS: u64 = 24 * 3_600_000;

/// The worlds of this file.
#[derive(Debug)]
struct Parts;

type World = crate::node::world::World<MemoryStore, Parts>;

fn bounded(bounds: Bounds) -> Options {
    Options { bounds, ..Options::default() }
}

fn world_of(bounds: Bounds) -> World {
    let now = Now { mono: Mono(0), wall: Wall(1_000_000) };
    World::start(MemoryStore::new(Drops::AtOnce), bounded(bounds), catalog(LINK, GroupId(3)), now)
}

fn world() -> World {
    world_of(Bounds::DEFAULT)
}

/// A part, without its text.
fn part(reference: u16, parts: u8, part: u8) -> HandsetIn {
    HandsetIn { token: ReceiptToken(1), from: ANNA, part: Some(PartIn { reference, parts, part }), ..whole() }
}

fn whole() -> HandsetIn {
    HandsetIn { token: ReceiptToken(1), from: ANNA, ..HandsetIn::default() }
}

impl World {
    /// Tells the shard of a message or a part; nothing is durable yet.
    fn says(&mut self, message: HandsetIn, header: &[u8], text: &str) {
        let mut arena = Vec::new();
        let at = self.now.wall;
        let (to, header, text) = (
            Span::append(&mut arena, b"12345"),
            Span::append(&mut arena, header),
            Span::append(&mut arena, text.as_bytes()),
        );
        let message = HandsetIn { at, to, header, text, ..message };
        let batch =
            ReceiptBatch { link: LINK, group: GroupId(3), handsets: vec![message], arena, ..ReceiptBatch::default() };
        self.tell(ShardEvent::Traffic(ToShard::Receipts(batch)));
    }

    /// Tells the shard of a message or a part, and does everything that follows. Returns the verdict.
    fn brings(&mut self, message: HandsetIn, text: &str) -> Verdict {
        self.says(message, &[], text);
        self.settle();
        self.verdicts.pop().expect("a verdict").1
    }

    fn records(&self, space: Space) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let visit = &mut |_: &[u8], value: &[u8]| {
            found.push(value.to_vec());
            std::ops::ControlFlow::Continue(())
        };
        self.store.reader().range(space, &[0], &[255; 13], usize::MAX, visit).expect("read");
        found
    }

    fn kept(&self) -> Vec<HandsetRecord> {
        let kept: Vec<HandsetRecord> =
            self.records(Space::Handset).iter().map(|bytes| decode(bytes).expect("a record")).collect();
        let bytes = kept.iter().map(HandsetRecord::bytes).sum();
        assert_eq!(self.shard().status().handsets, (kept.len() as u64, bytes), "the counts agree with what is kept");
        kept
    }

    fn texts(&self) -> Vec<String> {
        self.kept().into_iter().map(|record| String::from_utf8(record.text).expect("text")).collect()
    }

    /// The number of parts on disk that wait.
    fn waiting(&self) -> usize {
        let records = self.records(Space::Joining).into_iter().map(|bytes| decode(&bytes).expect("a record"));
        records.filter(|record| matches!(record, JoiningRecord::Part(_))).count()
    }

    fn incomplete(&self) -> (u64, u64) {
        let status = self.shard().status();
        (status.handsets_incomplete, status.counters.handsets_incomplete)
    }

    /// kill -9, and a start.
    fn crashes(&mut self, options: Options) {
        let remains = Remains { dropped: DroppedRanges::StayDropped, ..Remains::default() };
        let store = std::mem::replace(&mut self.store, MemoryStore::new(Drops::AtOnce));
        (self.store, self.batch) = (store.crash(&remains).expect("a disk"), None);
        self.restart(options);
    }
}

#[test]
fn parts_are_joined_in_whatever_order_they_come() {
    for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1], [3, 1, 2]] {
        let mut world = world();
        for number in order {
            assert!(world.kept().is_empty());
            assert_eq!(world.brings(part(7, 3, number), &format!("<{number}>")), Verdict::Kept);
        }
        let [record] = &world.kept()[..] else { panic!("{:?}", world.kept()) };
        let expected = HandsetRecord {
            wall: 1_000_000,
            group: 3,
            from: ANNA,
            to: b"12345".to_vec(),
            text: b"<1><2><3>".to_vec(),
            parts: 3,
            ..HandsetRecord::default()
        };
        assert_eq!((record, world.waiting(), world.incomplete()), (&expected, 0, (0, 0)));
        assert_eq!(world.shard().status().counters.handsets_joined, 1);
    }
}

#[test]
fn a_message_of_one_part_is_kept_as_it_came() {
    let mut world = world();
    assert_eq!(world.brings(HandsetIn { data_coding: 8, ..whole() }, "hello"), Verdict::Kept);
    assert_eq!(world.brings(HandsetIn { data_coding: 8, ..whole() }, "hello"), Verdict::Kept);
    let [first, second] = &world.kept()[..] else { panic!("{:?}", world.kept()) };
    assert_eq!(first, second, "the same text again is another message");
    assert_eq!((first.parts, first.data_coding, first.text.as_slice(), first.tenant), (1, 8, &b"hello"[..], None));
}

#[test]
fn a_carrier_hears_nothing_of_a_part_that_is_not_durable() {
    let mut world = world();
    world.says(part(7, 2, 1), &[], "a");
    assert!(world.batch.is_some() && world.verdicts.is_empty());
    world.sync();
    assert_eq!((world.verdicts.len(), world.waiting()), (1, 1));
}

/// Both parts come in one turn: a record that one batch writes and removes is not there afterwards.
#[test]
fn parts_of_one_turn_are_joined_in_it() {
    let mut world = world();
    world.says(part(1, 2, 1), &[], "held up");
    assert!(world.batch.is_some(), "the disk is busy");
    world.says(part(7, 2, 2), &[], "b");
    world.says(part(7, 2, 1), &[], "a");
    world.settle();
    assert_eq!((world.texts(), world.waiting()), (vec!["ab".to_owned()], 1));
    world.crashes(Options::default());
    assert_eq!((world.texts(), world.incomplete()), (vec!["ab".to_owned()], (1, 0)));
}

#[test]
fn a_part_that_is_told_twice_is_taken_once() {
    let mut world = world();
    for _ in 0..3 {
        assert_eq!(world.brings(part(7, 2, 1), "a"), Verdict::Kept);
    }
    assert_eq!(world.waiting(), 1);
    world.brings(part(7, 2, 2), "b");
    for crashes in [false, true] {
        if crashes {
            world.crashes(Options::default());
        }
        assert_eq!(
            [1, 2].map(|number| world.brings(part(7, 2, number), ["a", "b"][number as usize - 1])),
            [Verdict::Kept; 2]
        );
        assert_eq!((world.texts(), world.waiting(), world.incomplete()), (vec!["ab".to_owned()], 0, (0, 0)));
    }
    // Much later it is another message.
    world.pass(3_600_001);
    for (number, text) in [(1, "a"), (2, "b")] {
        assert_eq!(world.brings(part(7, 2, number), text), Verdict::Kept);
    }
    assert_eq!(world.texts(), ["ab", "ab"]);
    // And the prints that are remembered are forgotten.
    world.pass(3_600_001);
    world.checkpoint();
    world.settle();
    assert_eq!(world.records(Space::Joining), Vec::<Vec<u8>>::new());
}

#[test]
fn what_waits_waits_over_a_crash() {
    let mut world = world();
    world.brings(part(7, 3, 2), "b");
    world.crashes(Options::default());
    world.brings(part(7, 3, 3), "c");
    world.checkpoint();
    world.crashes(Options::default());
    assert_eq!((world.incomplete(), world.waiting()), ((1, 0), 2));
    world.says(part(7, 3, 1), &[], "a");
    // Nothing of the last batch survives: its carrier got no answer, and delivers again.
    world.crashes(Options::default());
    assert_eq!((world.texts().len(), world.waiting()), (0, 2));
    world.brings(part(7, 3, 1), "a");
    assert_eq!((world.texts(), world.waiting()), (vec!["abc".to_owned()], 0));
    world.crashes(Options::default());
    assert_eq!(world.texts(), ["abc"]);
}

#[test]
fn parts_of_others_stay_apart() {
    let mut world = world();
    let others = [
        part(8, 2, 2),
        part(7, 3, 2),
        HandsetIn { from: BERT, ..part(7, 2, 2) },
        HandsetIn { data_coding: 8, ..part(7, 2, 2) },
    ];
    world.brings(part(7, 2, 1), "a");
    for other in others {
        world.brings(other, "other");
    }
    assert_eq!((world.texts().len(), world.incomplete()), (0, (5, 0)));
    world.brings(part(7, 2, 2), "b");
    assert_eq!((world.texts(), world.incomplete()), (vec!["ab".to_owned()], (4, 0)));
}

/// A reference has 8 bits, and is used again: a message that lacks a part then will never get it.
#[test]
fn a_reference_that_is_used_anew_gives_up_the_older_message() {
    let mut world = world();
    world.brings(part(7, 2, 1), "old");
    world.brings(part(7, 2, 1), "new");
    assert_eq!((world.texts(), world.kept()[0].missing.clone()), (vec!["old".to_owned()], vec![(2, 3)]));
    assert_eq!((world.incomplete(), world.waiting()), ((1, 1), 1));
    world.brings(part(7, 2, 2), "er");
    assert_eq!(world.texts(), ["old", "newer"]);
}

#[test]
fn what_lacks_a_part_for_a_day_is_given_up_with_the_next_checkpoint_or_part() {
    for by_checkpoint in [true, false] {
        let mut world = world();
        for (number, text) in [(2, "b"), (4, "d")] {
            assert_eq!(world.brings(part(7, 5, number), text), Verdict::Kept);
        }
        world.checkpoint();
        world.pass(DAY_MS);
        world.checkpoint();
        assert_eq!((world.texts().len(), world.incomplete()), (0, (1, 0)));
        world.pass(1);
        match by_checkpoint {
            true => world.checkpoint(),
            false => assert_eq!(world.brings(part(8, 2, 1), "another"), Verdict::Kept),
        }
        let [record] = &world.kept()[..] else { panic!("{:?}", world.kept()) };
        assert_eq!((record.text.as_slice(), record.parts), (&b"bd"[..], 5));
        assert_eq!(record.missing, [(1, 0), (3, 1), (5, 2)], "each at its place");
        assert_eq!((world.incomplete().1, world.waiting()), (1, usize::from(!by_checkpoint)));
        // Counted once, whether before or after the checkpoint.
        world.crashes(Options::default());
        assert_eq!(world.kept().len(), 1);
        world.checkpoint();
        world.crashes(Options::default());
        assert_eq!(world.kept().len(), 1);
    }
}

#[test]
fn over_the_bounds_the_oldest_is_given_up() {
    let few = Bounds { joining_max: 2, ..Bounds::DEFAULT };
    let small = Bounds { joining_bytes_max: 2 * (66 + 5 + 10 + 1), ..Bounds::DEFAULT };
    for bounds in [few, small] {
        let mut world = world_of(bounds);
        for (reference, text) in [(1, "a"), (2, "b"), (3, "c")] {
            assert_eq!(world.brings(part(reference, 2, 1), text), Verdict::Kept);
        }
        assert_eq!((world.texts(), world.incomplete(), world.waiting()), (vec!["a".to_owned()], (2, 1), 2));
        assert_eq!(world.kept()[0].missing, [(2, 1)]);
    }
    // A restart keeps to a smaller bound. What is remembered is bounded as well: four prints.
    let mut world = world();
    for reference in 1..=6 {
        assert_eq!(world.brings(part(reference, 2, 1), "a"), Verdict::Kept);
    }
    world.crashes(bounded(Bounds { joining_max: 1, ..Bounds::DEFAULT }));
    assert_eq!((world.texts(), world.waiting()), (vec!["a".to_owned(); 5], 1));
    assert_eq!(world.records(Space::Joining).len(), 1 + 4, "one that waits, and the newest four of five that did");
}

/// A part that waits has its room reserved: a message that is given up must find some.
#[test]
fn what_waits_counts_among_what_is_kept() {
    let mut world = world_of(Bounds { handset_messages_max: 2, ..Bounds::DEFAULT });
    assert_eq!([world.brings(part(1, 2, 1), "a"), world.brings(whole(), "b")], [Verdict::Kept; 2]);
    assert_eq!(world.brings(whole(), "c"), Verdict::Full);
    assert_eq!(world.brings(part(2, 2, 1), "d"), Verdict::Full);
    assert_eq!(world.brings(part(1, 2, 1), "a"), Verdict::Kept, "it is here");
    assert_eq!(world.brings(part(1, 2, 1), "x"), Verdict::Full, "of another message, which has no place");
    assert_eq!(world.brings(part(1, 2, 2), "e"), Verdict::Kept, "it needs no further place");
    assert_eq!(world.brings(part(1, 2, 2), "e"), Verdict::Kept, "it was here");
    assert_eq!((world.texts(), world.brings(whole(), "c")), (vec!["b".to_owned(), "ae".to_owned()], Verdict::Full));
    let mut world = world_of(Bounds { handset_bytes_max: 204, ..Bounds::DEFAULT });
    assert_eq!(world.brings(part(1, 2, 1), &"a".repeat(60)), Verdict::Kept);
    assert_eq!(world.brings(part(1, 2, 2), &"b".repeat(64)), Verdict::Full);
    assert_eq!(world.brings(part(1, 2, 2), &"b".repeat(63)), Verdict::Kept);
    assert_eq!(world.kept()[0].bytes(), 190, "the five bytes for each missing part are free again");
}

#[test]
fn headers_of_parts_are_kept_once() {
    let mut world = world();
    for (number, header) in [(1, &b"\x24\x01\x01"[..]), (2, b""), (3, b"\x24\x01\x01"), (4, b"\x25\x01\x01")] {
        world.says(part(7, 4, number), header, "x");
        world.settle();
    }
    assert_eq!(world.kept()[0].header, b"\x24\x01\x01\x25\x01\x01");
}

/// Retention: a cursor, counts by marks; dropped ranges that come back are not counted.
#[test]
fn what_is_past_retention_goes_and_a_start_does_not_count_it() {
    let mut world = world();
    let retention_ms = Options::default().retention_ms;
    world.brings(whole(), "old");
    world.checkpoint();
    world.pass(retention_ms / 2);
    world.brings(whole(), "new");
    world.checkpoint();
    world.pass(retention_ms / 2 + retention_ms / 32);
    world.checkpoint();
    assert_eq!(world.texts(), ["new"]);
    world.brings(whole(), "newest");
    world.crashes(Options::default());
    assert_eq!(world.texts(), ["new", "newest"]);
}

#[test]
fn senders_without_numbers_stay_apart() {
    let mut world = world();
    let mut say = |name: &[u8], number: u8, text: &str| {
        let mut arena = Vec::new();
        let (name, text) = (Span::append(&mut arena, name), Span::append(&mut arena, text.as_bytes()));
        let message = HandsetIn { from: 0, name, text, ..part(7, 2, number) };
        let (group, handsets) = (GroupId(3), vec![message]);
        let batch = ReceiptBatch { link: LINK, group, handsets, arena, ..ReceiptBatch::default() };
        world.handle(ShardEvent::Traffic(ToShard::Receipts(batch)));
    };
    say(b"Info", 1, "a");
    say(b"Bank", 2, "x");
    say(b"Info", 2, "b");
    assert!(Msisdn::from_digits(b"Info").is_none());
    assert_eq!((world.texts(), world.kept()[0].name.clone()), (vec!["ab".to_owned()], b"Info".to_vec()));
}

/// From users, A10: messages from handsets were kept, and could not be read.
#[test]
fn a_message_is_its_numbers_owners_and_is_read_in_pages() {
    let mut inboxes = Inboxes::default();
    inboxes.add("12345", TenantId(7));
    let now = Now { mono: Mono(0), wall: Wall(1_000_000) };
    let options = Options { inboxes, ..Options::default() };
    let mut world = World::start(MemoryStore::new(Drops::AtOnce), options, catalog(LINK, GroupId(3)), now);
    for message in [whole(), part(7, 2, 1), part(7, 2, 2), whole()] {
        world.brings(message, "hello");
    }
    let owners: Vec<_> = world.kept().iter().map(|record| record.tenant).collect();
    assert_eq!(owners, [Some(7), Some(7), Some(7)]);
    world.handle(ShardEvent::Reconfigure(Box::default()));
    world.brings(whole(), "hello");
    assert_eq!(world.kept().last().map(|record| record.tenant), Some(None), "a reload took the number from its tenant");
    assert_eq!(world.shard().status().counters.handsets_kept, [3, 1], "of a tenant, of no tenant");
    let mut pages = |whose, limit| {
        let (mut pages, mut from) = (Vec::new(), Address::default());
        loop {
            let asked = Ask::Inbound { reply: ReplyTo::default(), whose, from, limit };
            let Reply::Inbound { found, next } = world.ask(asked) else { panic!("another answer") };
            pages.push(found.len());
            let Some(next) = next else { return pages };
            from = next;
        }
    };
    assert_eq!(pages(Whose::All, 3), [3, 1]);
    assert_eq!(pages(Whose::Of(TenantId(7)), 1), [1, 1, 1, 0], "whether more are its own is found out on the way");
    assert_eq!(pages(Whose::Of(TenantId(8)), 10), [0]);
    assert_eq!(pages(Whose::Of(TenantId(0)), 10), [0], "a message of no tenant is not the nameless tenant's");
}
