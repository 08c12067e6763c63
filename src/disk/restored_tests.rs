//! Tests of a shard with a real store, backed up at some commit and restored elsewhere, while the original goes on.

use std::ops::{Deref, DerefMut};
use std::path::Path;

use stentor_core::delivery::{DoubtPolicy, EventKind};
use stentor_core::model::{
    Address, CarrierId, Class, Frame, GroupId, Head, LinkId, MessageId, MessageState, Mono, Msisdn, Now, ReplyTo,
    RouteId, TenantId, Wall, Whose,
};
use stentor_core::node::world::{World, catalog};
use stentor_core::shard::{Ask, Cancelled, LineResult, Lookup, Options, Reply, ShardEvent};
use stentor_core::store::backup::{BackupWriter, CONTROL, Manifest, Table};
use stentor_core::store::{Backend, Space};
use stentor_core::traffic::{Answer, Grant, Outcome, OutcomeBatch, Span, ToShard, Unanswered};

use super::fjall::{FjallOptions, FjallStore};
use super::fjall_backup::{self, StoreSnapshot};

const ROUTE: RouteId = RouteId(1);
const LINK: LinkId = LinkId { carrier: CarrierId(1), core: 0 };
/// 2023-11-14, 22:13:20 UTC.
const BEGIN_MS: u64 = 1_700_000_000_000;
const HOUR_MS: u64 = 3_600_000;

/// A shard with a store on disk.
struct Restored(World<FjallStore, ()>);

impl Deref for Restored {
    type Target = World<FjallStore, ()>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Restored {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Restored {
    fn open(path: &Path, at_ms: u64) -> Self {
        let (store, _) = FjallStore::open(path, FjallOptions::shared_by(4)).expect("a store");
        let options = Options { in_doubt_wait_ms: 1_000, ..Options::default() };
        Self(World::start(store, options, catalog(LINK, GroupId(1)), now(at_ms)))
    }

    /// Sets the clock.
    fn at(&mut self, at_ms: u64) {
        self.now = now(at_ms);
        self.settle();
    }

    fn send(&mut self, class: Class, to: u64, send_at_ms: u64) -> MessageId {
        let head = Head {
            to: Msisdn::from_number(to).expect("a number"),
            class,
            receipt: true,
            parts: 1,
            route: ROUTE,
            send_at: Wall(send_at_ms),
            expires_at: Wall(BEGIN_MS + 100 * HOUR_MS),
            content_len: 2,
            ..Head::default()
        };
        let frame = Frame { heads: vec![head], arena: b"hi".to_vec(), ..Frame::default() };
        match self.ask(Ask::Submit(frame)) {
            Reply::Submitted(results) => match results[..] {
                [LineResult::Accepted(id)] => id,
                _ => panic!("{results:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    fn grant(&mut self, class: Class, messages: u32) -> Vec<Address> {
        self.submits.clear();
        let grant = Grant { link: LINK, class, messages, standing: false };
        self.handle(ShardEvent::Traffic(ToShard::Grant(grant)));
        self.submits.iter().map(|submit| submit.address).collect()
    }

    fn accept(&mut self, address: Address, attempt: u8) {
        let mut arena = Vec::new();
        let answer = Answer::Accepted(Span::append(&mut arena, address.to_string().as_bytes()));
        let outcome = Outcome { attempt, ..Outcome::first(address, answer) };
        let batch = OutcomeBatch { link: LINK, group: GroupId(1), outcomes: vec![outcome], arena };
        self.handle(ShardEvent::Traffic(ToShard::Outcomes(batch)));
    }

    fn look(&mut self, id: MessageId) -> (MessageState, Vec<EventKind>) {
        let reply = ReplyTo::default();
        match self.ask(Ask::Lookup { reply, whose: Whose::Of(TenantId(0)), ids: vec![id] }) {
            Reply::Found(found) => match &found[..] {
                [Lookup::Found(found)] => {
                    (found.view.state, found.view.timeline.iter().map(|entry| entry.kind()).collect())
                }
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    fn state(&mut self, id: MessageId) -> MessageState {
        self.look(id).0
    }

    fn release(&mut self, class: Option<Class>, policy: DoubtPolicy) -> u64 {
        match self.ask(Ask::Release { reply: ReplyTo::default(), class, policy }) {
            Reply::Released(messages) => messages,
            other => panic!("{other:?}"),
        }
    }

    fn backup(&self) -> Vec<u8> {
        let snapshot = StoreSnapshot::open(&self.store.reader()).expect("a snapshot");
        let manifest = Manifest {
            stentor: "0".to_owned(),
            node: 0,
            shards: 1,
            created: 1,
            mark: self.now.wall.0,
            commits: vec![snapshot.commit().0],
        };
        let mut bytes = Vec::new();
        let mut out = BackupWriter::begin(&mut bytes, &manifest).expect("begun");
        snapshot.write(0, &mut out).expect("written");
        out.table(CONTROL, Table::Space(Space::Meta)).expect("control");
        out.finish().expect("finished");
        bytes
    }
}

fn now(at_ms: u64) -> Now {
    Now { mono: Mono((at_ms - BEGIN_MS) * 1_000_000), wall: Wall(at_ms) }
}

fn restore(backup: &[u8], to: &Path, at_ms: u64, unsent: DoubtPolicy) -> Restored {
    let checked = fjall_backup::check(backup).expect("whole");
    fjall_backup::restore(&checked, backup, to, at_ms, unsent).expect("restored");
    Restored::open(&to.join("shard-00"), at_ms)
}

/// Messages in every place in which a backup may find one.
struct Placed {
    world: Restored,
    ready: MessageId,
    open: MessageId,
    submitted: MessageId,
    soon: MessageId,
    late: MessageId,
    otp: MessageId,
}

fn placed(path: &Path, with_checkpoint: bool) -> Placed {
    let mut world = Restored::open(path, BEGIN_MS);
    let class = Class::Transactional;
    let submitted = world.send(class, 491_511_111_111, 0);
    let taken = world.grant(class, 1);
    world.accept(taken[0], 1);
    let open = world.send(class, 491_511_111_112, 0);
    assert_eq!(world.grant(class, 1), [open.address()]);
    let ready = world.send(class, 491_511_111_113, 0);
    if with_checkpoint {
        world.checkpoint();
    }
    let soon = world.send(class, 491_511_111_114, BEGIN_MS + HOUR_MS);
    let late = world.send(class, 491_511_111_115, BEGIN_MS + 9 * HOUR_MS);
    let otp = world.send(Class::Otp, 491_511_111_116, 0);
    Placed { world, ready, open, submitted, soon, late, otp }
}

#[test]
fn what_was_unsent_is_in_doubt_until_it_is_released() {
    for with_checkpoint in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let Placed { mut world, ready, open, submitted, soon, late, otp } = placed(&at("old"), with_checkpoint);
        let backup = world.backup();
        let after = world.send(Class::Transactional, 491_511_111_119, 0);

        let restored_ms = BEGIN_MS + 2 * HOUR_MS;
        let mut world = restore(&backup, &at("new"), restored_ms, DoubtPolicy::Hold);
        assert_eq!(world.state(submitted), MessageState::Submitted);
        for (id, what) in [(ready, "ready"), (open, "open"), (soon, "come due meanwhile"), (otp, "otp")] {
            assert_eq!(world.state(id), MessageState::InDoubt, "{what}, {with_checkpoint}");
        }
        assert_eq!(world.state(late), MessageState::Scheduled, "it cannot have been sent");
        let status = world.shard().restored().expect("it was");
        assert_eq!((status.mark, status.at), (Wall(BEGIN_MS), Wall(restored_ms)));
        assert_eq!(status.waiting, [0, 1, 2, 0], "{status:?}");
        assert_eq!(
            world.shard().doubts().map(|(at, doubt)| (*at, doubt.lost.reason)).collect::<Vec<_>>(),
            [(open.address(), Unanswered::Restored)]
        );

        let fresh = world.send(Class::Transactional, 491_511_111_120, 0);
        assert!(fresh.address() > after.address(), "no number is used twice");
        assert_eq!(world.grant(Class::Transactional, 9), [fresh.address()], "what is new passes what is held");
        assert!(world.grant(Class::Otp, 9).is_empty());
        world.accept(fresh.address(), 1);

        // A restart changes nothing.
        drop(world);
        let mut world = Restored::open(&at("new").join("shard-00"), restored_ms + 5);
        assert_eq!([ready, open, soon, otp].map(|id| world.state(id)), [MessageState::InDoubt; 4]);

        assert_eq!(world.release(Some(Class::Transactional), DoubtPolicy::Resend), 3);
        world.pass(1_000);
        let mut sent = world.grant(Class::Transactional, 9);
        sent.sort();
        assert_eq!(sent, [open.address(), ready.address(), soon.address()]);
        let (_, timeline) = world.look(ready);
        assert_eq!(timeline, [EventKind::InDoubt, EventKind::Resent, EventKind::Attempt]);
        assert_eq!(world.state(otp), MessageState::InDoubt, "not that class");
        drop(world);
        let mut world = Restored::open(&at("new").join("shard-00"), restored_ms + HOUR_MS);
        assert_eq!(world.release(Some(Class::Otp), DoubtPolicy::Drop), 1);
        assert_eq!(world.look(otp), (MessageState::Dead, vec![EventKind::InDoubt, EventKind::Dead]));
        world.at(BEGIN_MS + 9 * HOUR_MS);
        assert!(world.grant(Class::Transactional, 9).contains(&late.address()), "its time came after the restore");
    }
}

#[test]
fn a_restore_may_say_at_once_what_becomes_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let Placed { world, ready, open, otp, .. } = placed(&at("old"), true);
    let backup = world.backup();
    let mut world = restore(&backup, &at("resend"), BEGIN_MS + 1, DoubtPolicy::Resend);
    assert_eq!(world.state(ready), MessageState::Queued);
    assert_eq!(world.grant(Class::Transactional, 9), [ready.address()]);
    assert_eq!(world.state(open), MessageState::InDoubt, "as its class says: after the wait");
    let mut world = restore(&backup, &at("drop"), BEGIN_MS + 1, DoubtPolicy::Drop);
    assert_eq!([ready, open].map(|id| world.state(id)), [MessageState::Dead, MessageState::InDoubt], "after the wait");
    world.at(BEGIN_MS + HOUR_MS);
    assert_eq!([ready, open, otp].map(|id| world.state(id)), [MessageState::Dead; 3]);
}

#[test]
fn what_comes_due_after_a_restore_is_like_any_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let Placed { world, soon, late, .. } = placed(&at("old"), true);
    let mut world = restore(&world.backup(), &at("new"), BEGIN_MS + 2 * HOUR_MS, DoubtPolicy::Hold);
    world.at(BEGIN_MS + 9 * HOUR_MS);
    assert_eq!([soon, late].map(|id| world.state(id)), [MessageState::InDoubt, MessageState::Queued]);
    let mut cancel = |id| {
        let ask = Ask::Cancel { reply: ReplyTo::default(), tenant: TenantId(0), id };
        matches!(world.ask(ask), Reply::Cancelled(Cancelled::Done))
    };
    assert_eq!([cancel(soon), cancel(late)], [false, true]);
}

#[test]
fn a_restored_one_is_restored_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let Placed { world, ready, .. } = placed(&at("old"), true);
    let mut world = restore(&world.backup(), &at("once"), BEGIN_MS + HOUR_MS, DoubtPolicy::Hold);
    let second = world.send(Class::Transactional, 491_511_111_120, 0);
    let mut world = restore(&world.backup(), &at("twice"), BEGIN_MS + 2 * HOUR_MS, DoubtPolicy::Hold);
    assert_eq!([ready, second].map(|id| world.state(id)), [MessageState::InDoubt; 2]);
    let third = world.send(Class::Transactional, 491_511_111_121, 0);
    assert!(third.address() > second.address());
    assert!(world.release(None, DoubtPolicy::Resend) >= 3);
    let sent = world.grant(Class::Transactional, 9);
    assert!([ready, second, third].iter().all(|id| sent.contains(&id.address())), "{sent:?}");
}

#[test]
fn retention_passes_over_the_numbers_that_a_restore_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let Placed { world, submitted, .. } = placed(&at("old"), true);
    let mut world = restore(&world.backup(), &at("new"), BEGIN_MS + HOUR_MS, DoubtPolicy::Drop);
    let fresh = world.send(Class::Otp, 491_511_111_120, 0);
    let taken = world.grant(Class::Otp, 9);
    world.accept(taken[0], 1);
    // The scheduled message has expired.
    world.at(BEGIN_MS + 200 * HOUR_MS);
    assert!(world.grant(Class::Transactional, 9).is_empty());
    // Long after everything was settled, or the wait for its receipt was over.
    world.at(BEGIN_MS + 1_000 * HOUR_MS);
    (0..2).for_each(|_| world.checkpoint());
    let gone = world.shard().first_segment();
    assert!(gone > submitted.address().segment() && gone > fresh.address().segment(), "{gone}");
}

#[test]
fn a_backup_reads_one_moment_while_the_store_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let Placed { mut world, ready, .. } = placed(&at("old"), false);
    let snapshot = StoreSnapshot::open(&world.store.reader()).expect("a snapshot");
    let commit = snapshot.commit();
    let later = world.send(Class::Transactional, 491_511_111_119, 0);
    world.grant(Class::Transactional, 9);
    // Folds the events and drops their ranges, while the snapshot is open.
    world.checkpoint();
    let manifest = Manifest {
        stentor: "0".to_owned(),
        node: 0,
        shards: 1,
        created: 1,
        mark: world.now.wall.0,
        commits: vec![commit.0],
    };
    let mut bytes = Vec::new();
    let mut out = BackupWriter::begin(&mut bytes, &manifest).expect("begun");
    snapshot.write(0, &mut out).expect("written");
    out.table(CONTROL, Table::Space(Space::Meta)).expect("control");
    out.finish().expect("finished");
    let mut world = restore(&bytes, &at("new"), BEGIN_MS + 1, DoubtPolicy::Hold);
    assert_eq!(world.state(ready), MessageState::InDoubt);
    let reply = ReplyTo::default();
    let found = world.ask(Ask::Lookup { reply, whose: Whose::Of(TenantId(0)), ids: vec![later] });
    assert_eq!(found, Reply::Found(vec![Lookup::Unknown]));
}

#[test]
fn only_an_empty_place_is_restored_into() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let Placed { world, .. } = placed(&at("old"), true);
    let backup = world.backup();
    let checked = fjall_backup::check(&backup[..]).expect("whole");
    let again = |to: &Path| fjall_backup::restore(&checked, &backup[..], to, BEGIN_MS, DoubtPolicy::Hold);
    again(&at("new")).expect("restored");
    let refused = again(&at("new")).expect_err("refused").to_string();
    assert!(refused.contains("is not empty, it holds"), "{refused}");
    let broken = &backup[..backup.len() - 9];
    let refused = fjall_backup::restore(&checked, broken, &at("other"), BEGIN_MS, DoubtPolicy::Hold);
    assert!(refused.expect_err("refused").to_string().contains("cut off"));
    assert!(!at("other").join("stentor.format").exists(), "a half-made directory is not usable");
}

#[test]
fn what_is_held_expires_all_the_same_and_was_in_doubt_until_then() {
    for with_checkpoint in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let Placed { world, ready, open, soon, otp, .. } = placed(&at("old"), with_checkpoint);
        let mut world = restore(&world.backup(), &at("new"), BEGIN_MS + 2 * HOUR_MS, DoubtPolicy::Hold);
        world.at(BEGIN_MS + 101 * HOUR_MS);
        let held = vec![EventKind::InDoubt, EventKind::Expired];
        assert_eq!(world.look(ready), (MessageState::Expired, held.clone()));
        assert_eq!(world.look(otp), (MessageState::Expired, held));
        let was_tried = vec![EventKind::Attempt, EventKind::InDoubt, EventKind::Expired];
        assert_eq!(world.look(open), (MessageState::Expired, was_tried));
        let was_due = vec![EventKind::Due, EventKind::InDoubt, EventKind::Expired];
        assert_eq!(world.look(soon), (MessageState::Expired, was_due));
        let status = world.shard().restored().expect("it was");
        assert_eq!((status.waiting, world.shard().doubts().count()), ([0; Class::COUNT], 0));
        assert_eq!(world.shard().status().waiting, [0; Class::COUNT]);
        // None of it is sent, whatever the operator decides now.
        world.release(None, DoubtPolicy::Resend);
        assert!(world.grant(Class::Otp, 9).is_empty());
        assert_eq!(world.look(otp).0, MessageState::Expired);
    }
}
