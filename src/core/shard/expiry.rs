//! Ends messages when they expire, whether or not a link takes them; likewise messages whose wait for a receipt is over.
//!
//! Each segment of which something is not settled has one *alarm*: in memory while it is young, as an entry of the delay queue
//! once it has outlived two folds. When an alarm is due, its segment gets a *visit*: the reader thread finds which messages of
//! the segment have expired, the shard ends them, and the alarm is set again for what is left.
//!
//! Invariants:
//! 1. A segment of which something is not settled has an alarm, in memory or in the delay queue, not later than the earliest
//!    expiry of what is unsent, and the earliest end of a wait for a receipt, unless the clock went back so often that the delay
//!    queue has no era for it. So an expired message that is met in a list is passed over and forgotten: the visit ends it, or
//!    has done so. Nothing is remembered for each message, however many are in lists that no link takes from.
//! 2. What a visit ends was waiting when the store was asked, and nothing has happened to it since ([`Alarms::touch`]).
//! 3. A message that was ended is never sent, even if the clock went back since: [`Alarms::is_over`].
//! 4. Memory holds at most [`OVERDUE_MAX`] alarms that have come from the delay queue; further ones wait there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::{
    Address, Class, Head, Lane, Mono, Now, Point, RouteId, Segment, SetNumber, Sound, TenantId, WALKED_MAX, Wall, holds,
};
use crate::queue::{DelayQueue, DueEntry, ERAS_MAX, InsertReason, ScheduledQueue};
use crate::store::book::Book;
use crate::store::expiry::{Overdue, Place, Visit, Visited};
use crate::store::record::{AlarmNote, CheckpointRecord, SegmentNote, TurnRecord};
use crate::store::{ReadRequest, Snapshot};

use super::books::Expired;
use super::turn::Turn;

/// Most alarms in memory that have come from the delay queue.
pub(super) const OVERDUE_MAX: usize = 65_536;
/// An alarm that found no room goes back into the delay queue for so long, ms.
const NO_ROOM_MS: u64 = 5_000;
/// Most messages, and segments, of one visit: a few milliseconds of work for the reader thread, and as much in a turn.
const VISIT_MESSAGES_MAX: u32 = 8_192;
const VISIT_SEGMENTS_MAX: usize = 512;
/// Pause between visits while less than a full visit is overdue, ms: each visit reads all events since the last fold.
const VISIT_PAUSE_MS: u64 = 250;
/// A segment is not visited again before this has passed, ms.
const AGAIN_MS: u64 = 1_000;
/// Alarms are set for whole seconds, so that alarms of many segments share a record, ms.
const GRAIN_MS: u64 = 1_000;
/// Most alarms that one turn moves into the delay queue, or finds to be due.
const MOVED_PER_TURN_MAX: usize = 8_192;

/// The alarm of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Alarm {
    at: Wall,
    /// The most urgent class of its messages.
    class: Class,
    /// Messages in the segment.
    messages: u32,
    /// The commit that wrote the segment, while the alarm has always been in memory; `None` if it came from the delay queue.
    young: Option<u64>,
    /// Whether it has outlived a fold while something was not settled.
    outlived: bool,
}

/// The alarms of a shard that are in memory, and the visit under way.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    /// All alarms in memory, by segment.
    of: BTreeMap<u64, Alarm>,
    /// How many alarms in `of` have come from the delay queue.
    woken: usize,
    /// Alarms that are not known to be due yet, by time.
    order: BTreeSet<(Wall, u64)>,
    /// Alarms that are due, the most urgent first.
    overdue: BTreeSet<(Class, Wall, u64)>,
    overdue_messages: u64,
    /// Segments of the visit under way, with the slots to which something has happened since it began.
    visit: Option<BTreeMap<u64, BTreeSet<u16>>>,
    visit_began: Mono,
    /// A visit has been taken in since `take_visited` was called last.
    visited: bool,
    /// Segments whose alarms have outlived two folds, to be moved into the delay queue.
    settled: VecDeque<u64>,
    /// What was ended: every message of a segment below a number that expires up to a time. One such step, and one more for each
    /// time that the clock went back since.
    ended_to: Vec<(Wall, u64)>,
}

/// Most steps; the two oldest are merged when there are more.
const STEPS_MAX: usize = 8;

impl Alarms {
    /// Takes what a checkpoint holds.
    pub(super) fn recover(checkpoint: &CheckpointRecord, book: &Book) -> Self {
        let ended_to = checkpoint.ended_to.iter().map(|(expires_at, below)| (Wall(*expires_at), *below)).collect();
        let mut alarms = Self { ended_to, ..Self::default() };
        book.alarms.iter().for_each(|note| alarms.recover_alarm(note, checkpoint.commit));
        alarms
    }

    /// An alarm from a checkpoint, up to whose commit its segment is folded.
    fn recover_alarm(&mut self, note: &AlarmNote, commit: u64) {
        let (at, class) = (Wall(note.at), class_of(note.class));
        self.insert(note.segment, Alarm { at, class, messages: note.messages, young: Some(commit), outlived: true });
    }

    /// A commit writes these segments: their alarms begin.
    pub(super) fn begin(&mut self, segments: &[SegmentNote], commit: u64) {
        for note in segments {
            let (at, class, young) = (Wall(note.expires_at), class_of(note.class), Some(commit));
            self.insert(note.number, Alarm { at, class, messages: note.messages, young, outlived: false });
        }
    }

    /// An alarm has left the delay queue and is due. `last`: the last message of its segment.
    pub(super) fn keep(&mut self, last: Address, class: u8) {
        let (class, messages) = (class_of(class), u32::from(last.slot()) + 1);
        self.insert(last.segment(), Alarm { at: Wall(0), class, messages, young: None, outlived: true });
    }

    fn insert(&mut self, segment: u64, alarm: Alarm) {
        self.remove(segment);
        self.woken += usize::from(alarm.young.is_none());
        self.of.insert(segment, alarm);
        self.order.insert((alarm.at, segment));
    }

    const fn has_room(&self) -> bool {
        self.woken < OVERDUE_MAX
    }

    pub(super) fn remove(&mut self, segment: u64) {
        // It may have no alarm: all of it was settled at the last fold.
        let Some(alarm) = self.of.remove(&segment) else { return };
        self.woken -= usize::from(alarm.young.is_none());
        if !self.order.remove(&(alarm.at, segment)) && self.overdue.remove(&(alarm.class, alarm.at, segment)) {
            self.overdue_messages -= u64::from(alarm.messages);
        }
    }

    /// Finds the alarms that are due at `now`.
    fn wake(&mut self, now: Wall) {
        for _ in 0..MOVED_PER_TURN_MAX {
            let Some(&(at, segment)) = self.order.first().filter(|(at, _)| *at <= now) else { return };
            self.order.pop_first();
            if let Some(alarm) = self.of.get(&segment) {
                self.overdue.insert((alarm.class, at, segment));
                self.overdue_messages += u64::from(alarm.messages);
            }
        }
    }

    /// The segments of the next visit, if it is time for one; they are taken out of what is overdue.
    fn visit(&mut self, now: Now) -> Option<Vec<u64>> {
        let is_whole =
            self.overdue_messages >= u64::from(VISIT_MESSAGES_MAX) || self.overdue.len() >= VISIT_SEGMENTS_MAX;
        let is_time = is_whole || now.mono >= self.next_visit();
        if self.visit.is_some() || self.overdue.is_empty() || !is_time {
            return None;
        }
        let mut messages = 0;
        let mut segments = Vec::new();
        while messages < VISIT_MESSAGES_MAX && segments.len() < VISIT_SEGMENTS_MAX {
            let Some((_, _, segment)) = self.overdue.pop_first() else { break };
            let own = self.of.get(&segment).map_or(0, |alarm| alarm.messages);
            self.overdue_messages -= u64::from(own);
            messages += own;
            segments.push(segment);
        }
        segments.sort_unstable();
        self.visit = Some(segments.iter().map(|segment| (*segment, BTreeSet::new())).collect());
        self.visit_began = now.mono;
        Some(segments)
    }

    const fn next_visit(&self) -> Mono {
        self.visit_began.after_ms(VISIT_PAUSE_MS)
    }

    /// Something happened to a message: what the visit under way finds about it is outdated.
    pub(super) fn touch(&mut self, address: Address) {
        if let Some(visit) = &mut self.visit
            && let Some(touched) = visit.get_mut(&address.segment())
        {
            touched.insert(address.slot());
        }
    }

    /// When to call `wake_and_visit` next, on the monotonic clock.
    pub(super) fn next_at(&self, now: Now, draining: bool) -> Option<Mono> {
        let next = self.order.first().map(|(at, _)| now.mono_at(*at));
        let visit = (self.visit.is_none() && !self.overdue.is_empty() && !draining).then(|| self.next_visit());
        next.into_iter().chain(visit).min()
    }

    /// Whether a message has expired, and its segment's alarm ends it or has done so. Once expired it stays so, even if the clock
    /// goes back.
    pub(super) fn is_over(&self, address: Address, head: &Head, now: Wall) -> bool {
        let segment = address.segment();
        let was_over = || self.ended_to.iter().any(|(upto, below)| head.expires_at <= *upto && segment < *below);
        head.expires_at <= now || was_over()
    }

    /// Notes that messages which expire at that time were ended. `next_segment`: segments from this number on are newer and not
    /// concerned.
    pub(super) fn note_ended(&mut self, expires_at: Wall, next_segment: u64) {
        let steps = &mut self.ended_to;
        if steps.iter().any(|(upto, below)| *upto >= expires_at && *below >= next_segment) {
            return;
        }
        steps.retain(|(upto, below)| *upto > expires_at || *below > next_segment);
        steps.push((expires_at, next_segment));
        if steps.len() > STEPS_MAX {
            let (upto, below) = steps.remove(0);
            steps[0] = (steps[0].0.max(upto), steps[0].1.max(below));
        }
    }

    fn notes(&self) -> Vec<AlarmNote> {
        let note = |(segment, alarm): (&u64, &Alarm)| AlarmNote {
            segment: *segment,
            at: alarm.at.0,
            messages: alarm.messages,
            class: alarm.class as u8,
        };
        self.of.iter().map(note).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Everything up to `commit` is folded; `unsettled` says how much is left of each segment to which something had happened.
    /// Returns the young segments that need no alarm any more.
    fn folded(&mut self, commit: u64, unsettled: &[(u64, u32)]) -> Vec<u64> {
        let mut over = Vec::new();
        for (segment, alarm) in self.of.iter_mut().filter(|(_, alarm)| alarm.young.is_some_and(|young| young <= commit))
        {
            let left = unsettled.binary_search_by_key(segment, |(number, _)| *number).ok().map(|at| unsettled[at].1);
            if !self.order.contains(&(alarm.at, *segment)) {
                // It is due: its visit will tell what is left.
            } else if left == Some(0) {
                over.push(*segment);
            } else if std::mem::replace(&mut alarm.outlived, true) {
                self.settled.push_back(*segment);
            }
        }
        over
    }
}

impl Alarms {
    /// Checks the invariants. `unsettled`: segments of which something is not settled, each with its earliest expiry.
    ///
    /// # Errors
    /// The first one that does not.
    pub(super) fn check(&self, turn: &Turn, queue: &DelayQueue, mut unsettled: BTreeMap<u64, Wall>) -> Sound {
        holds!(4, self.woken <= OVERDUE_MAX, "{} alarms", self.woken);
        if self.of.len() <= WALKED_MAX {
            let woken = self.of.values().filter(|alarm| alarm.young.is_none()).count();
            holds!(4, woken == self.woken, "{woken} alarms, and {} are counted", self.woken);
        }
        let latest = |expires_at: Wall| expires_at.max(turn.now.wall).after_ms(NO_ROOM_MS + GRAIN_MS);
        let is_in_time = |at: Wall, expires_at: Wall| at <= latest(expires_at);
        unsettled.retain(|segment, expires_at| {
            let in_memory = self.of.get(segment).is_some_and(|alarm| is_in_time(alarm.at, *expires_at));
            *segment >= turn.first_segment && !in_memory
        });
        if unsettled.is_empty() || !queue.eras().all(|(_, queue)| queue.entries().len() as u64 == queue.waiting()) {
            return Ok(());
        }
        let put_off = queue.eras().flat_map(|(_, queue)| queue.entries()).chain(turn.gathering.due());
        // An alarm that finds no era of the clock waits longer than it should.
        let is_any_time = queue.eras().count() >= ERAS_MAX;
        let mut late_to = Vec::new();
        for (tick, entry) in put_off.filter(|(_, entry)| entry.reason == InsertReason::Expiry) {
            let segment = entry.address.segment();
            late_to.push((segment, tick.wall()));
            if unsettled.get(&segment).is_some_and(|expires_at| is_any_time || is_in_time(tick.wall(), *expires_at)) {
                unsettled.remove(&segment);
            }
        }
        let late = unsettled.first_key_value().map(|(segment, expires_at)| (segment, expires_at, self.of.get(segment)));
        holds!(1, late.is_none(), "at {:?} nothing wakes {late:?}; put off: {late_to:?}", turn.now.wall);
        Ok(())
    }

    /// Time has passed: visits what is due. `events_from`: the first commit whose events are in no state record yet.
    pub(super) fn wake_and_visit(&mut self, turn: &mut Turn, events_from: u64) {
        self.wake(turn.now.wall);
        self.visit_overdue(turn, events_from);
    }

    pub(super) fn visit_overdue(&mut self, turn: &mut Turn, events_from: u64) {
        if turn.draining {
            return;
        }
        let Some(segments) = self.visit(turn.now) else { return };
        let (receipt_wait_ms, restored) = (turn.options.receipt_wait_ms, turn.restored.below());
        let ended_to = self.ended_to.clone();
        let visit = Visit { segments, events_from, now: turn.now.wall, ended_to, receipt_wait_ms, restored };
        turn.reads.push_back((turn.decided(), ReadRequest::Expire(visit)));
    }

    /// An alarm has left the delay queue because it is due.
    pub(super) fn handle_due(&mut self, turn: &mut Turn, entry: &DueEntry) {
        let segment = entry.address.segment();
        if segment < turn.first_segment || self.of.contains_key(&segment) {
            return;
        }
        if !self.has_room() || turn.buggify.at(Point::AlarmsFull) {
            return put_off(turn, entry.address, entry.lane.class, turn.now.wall.after_ms(NO_ROOM_MS));
        }
        self.look_now(turn, entry.address, entry.lane.class);
    }

    /// The clock showed `was`, and went back. Alarms that the wrong clock has put off are in memory, in the delay queue or on
    /// their way there, or were due before they were looked at. All these segments are visited now.
    pub(super) fn handle_clock_back<'a>(
        &mut self,
        turn: &mut Turn,
        was: Wall,
        queues: impl Iterator<Item = &'a ScheduledQueue>,
    ) {
        let (now, last) = (turn.now.wall, was.after_ms(NO_ROOM_MS + GRAIN_MS));
        let in_memory: Vec<u64> = self.order.range((now, 0)..=(last, u64::MAX)).map(|(_, segment)| *segment).collect();
        for segment in in_memory {
            if let Some(alarm) = self.of.get(&segment).copied() {
                self.insert(segment, Alarm { at: now, ..alarm });
            }
        }
        let under_way = turn.gathering.due().filter(|(tick, _)| (now..=last).contains(&tick.wall()));
        let alarms = queues.flat_map(|queue| queue.due_between(now, last)).chain(under_way.map(|(_, entry)| entry));
        let alarms: Vec<DueEntry> = alarms.filter(|entry| entry.reason == InsertReason::Expiry).copied().collect();
        for entry in alarms {
            let is_known = self.of.contains_key(&entry.address.segment());
            if !is_known && self.has_room() {
                self.look_now(turn, entry.address, entry.lane.class);
            }
        }
    }

    /// Has the segment whose last message is `last` visited now.
    fn look_now(&mut self, turn: &mut Turn, last: Address, class: Class) {
        self.keep(last, class as u8);
        turn.gathering.batch().turn.alarms.kept.push((last.packed(), class as u8));
    }

    fn done(&mut self, turn: &mut Turn, segment: u64) {
        self.remove(segment);
        turn.gathering.batch().turn.alarms.done.push(segment);
    }

    /// The reader thread has answered; `expire` ends an expired message. Returns false if no visit was under way.
    pub(super) fn handle_visited(
        &mut self,
        turn: &mut Turn,
        visited: Vec<Visited>,
        mut expire: impl FnMut(&mut Turn, Address, &Overdue) -> Expired,
    ) -> bool {
        let Some(mut asked) = self.visit.take() else { return false };
        self.visited = true;
        let soon = turn.now.wall.after_ms(AGAIN_MS);
        for Visited { segment, messages, overdue, next } in visited {
            let Some(touched) = asked.remove(&segment) else { continue };
            if segment < turn.first_segment {
                // All of it is settled. It may still be on disk, but without its history.
                self.done(turn, segment);
                continue;
            }
            let mut left = None;
            for message in overdue {
                let address = Address::new(segment, message.slot);
                let is_left = touched.contains(&message.slot)
                    || match expire(turn, address, &message) {
                        Expired::Elsewhere => true,
                        Expired::Before => false,
                        Expired::Now(_) if message.place == Place::AtCarrier => false,
                        Expired::Now(_) => {
                            self.note_ended(message.expires_at, turn.next_segment);
                            let record = &mut turn.gathering.batch().turn;
                            record.expired_to = record.expired_to.max(message.expires_at.0);
                            false
                        }
                    };
                if is_left {
                    let class = left.map_or(message.lane.class, |class: Class| class.min(message.lane.class));
                    left = Some(class);
                }
            }
            self.done(turn, segment);
            let next = next.map(|(at, class)| (at.max(soon), class)).into_iter().chain(left.map(|class| (soon, class)));
            if let Some((at, class)) = next.reduce(|(a, of_a), (b, of_b)| (a.min(b), of_a.min(of_b))) {
                put_off(turn, Address::new(segment, messages.saturating_sub(1) as u16), class, at);
            }
        }
        // Segments without an answer are unreadable, so there is nothing to expire; the operator was told.
        asked.into_keys().for_each(|segment| self.done(turn, segment));
        true
    }

    /// Whether a visit has been taken in since the last call.
    pub(super) const fn take_visited(&mut self) -> bool {
        std::mem::replace(&mut self.visited, false)
    }

    /// The store could not answer a visit: its segments are visited again later.
    pub(super) fn handle_visit_failed(&mut self, turn: &mut Turn) {
        debug_assert!(self.visit.is_some(), "an answer to a visit that is not under way");
        let Some(asked) = self.visit.take() else { return };
        let soon = turn.now.wall.after_ms(NO_ROOM_MS);
        for segment in asked.into_keys() {
            if let Some(alarm) = self.of.get(&segment).copied() {
                self.insert(segment, Alarm { at: soon, ..alarm });
            }
        }
    }

    /// The events up to a commit are folded: some segments need no alarm any more, and the alarms of others are to go into the
    /// delay queue.
    pub(super) fn handle_folded(&mut self, turn: &mut Turn, commit: u64, unsettled: &[(u64, u32)]) {
        for segment in self.folded(commit, unsettled) {
            self.done(turn, segment);
        }
    }

    /// Moves alarms that have outlived two folds into the delay queue, as many as one turn may.
    pub(super) fn settle(&mut self, turn: &mut Turn) {
        let many = self.settled.len().min(MOVED_PER_TURN_MAX);
        for segment in self.settled.drain(..many).collect::<Vec<_>>() {
            let Some(alarm) = self.of.get(&segment).copied() else { continue };
            if alarm.young.is_some() && self.order.contains(&(alarm.at, segment)) {
                self.done(turn, segment);
                let last = Address::new(segment, alarm.messages.saturating_sub(1) as u16);
                put_off(turn, last, alarm.class, alarm.at);
            }
        }
    }

    /// Whether a message in a list has ended, or its segment's alarm will end it. In a segment that retention took, all is
    /// settled. If a message expired only by a clock that went back since, its segment is visited now.
    pub(super) fn has_ended(&mut self, turn: &mut Turn, segment: &Segment, slot: u16) -> bool {
        if segment.number < turn.first_segment {
            return true;
        }
        let now = turn.now.wall;
        let over = segment.head(slot).filter(|head| self.is_over(segment.address(slot), head, now));
        if let Some(head) = over.filter(|head| head.expires_at > now) {
            self.look_again(turn, segment, head.class);
        }
        over.is_some()
    }

    /// A message expired before the clock went back. It may have been in another place when its segment was visited, and its
    /// alarm may be set by the wrong clock, so the segment is visited now.
    fn look_again(&mut self, turn: &mut Turn, segment: &Segment, class: Class) {
        let (number, now) = (segment.number, turn.now.wall);
        let is_known =
            self.of.get(&number).is_some_and(|alarm| alarm.at <= now || !self.order.contains(&(alarm.at, number)));
        // Without room, its own alarm ends it later, as set by the wrong clock.
        if is_known || !self.has_room() {
            return;
        }
        self.look_now(turn, segment.address(segment.heads.len().saturating_sub(1) as u16), class);
    }

    /// Puts alarms into a checkpoint.
    pub(super) fn note(&self, snapshot: &mut Snapshot) {
        let Snapshot { checkpoint, book } = snapshot;
        book.alarms = self.notes();
        checkpoint.ended_to = self.ended_to.iter().map(|(expires_at, below)| (expires_at.0, *below)).collect();
    }

    /// Applies a recorded turn. `next_segment`: the number after its segments.
    pub(super) fn replay(&mut self, commit: u64, record: &TurnRecord, next_segment: u64) {
        // Removed first, since the same turn may set an alarm anew for a segment.
        record.alarms.done.iter().for_each(|segment| self.remove(*segment));
        self.begin(&record.segments, commit);
        record.alarms.kept.iter().for_each(|(last, class)| self.keep(Address::from_packed(*last), *class));
        if record.expired_to > 0 {
            self.note_ended(Wall(record.expired_to), next_segment);
        }
    }
}

/// Puts an alarm into the delay queue until `at`. `last`: the last message of its segment.
fn put_off(turn: &mut Turn, last: Address, class: Class, at: Wall) {
    let at = Wall(at.0.div_ceil(GRAIN_MS).saturating_mul(GRAIN_MS));
    let lane = Lane { class, route: RouteId(0), tenant: TenantId::default(), set: SetNumber::NONE };
    let entry = DueEntry { address: last, lane, reason: InsertReason::Expiry };
    turn.put_off(at, entry);
}

fn class_of(index: u8) -> Class {
    Class::from_index(index).unwrap_or(Class::Marketing)
}

#[cfg(test)]
mod tests {
    use crate::queue::Tick;
    use crate::shard::Options;
    use crate::store::Recovery;

    use super::*;

    fn is_over(alarms: &Alarms, segment: u64, expires_at: u64, now: u64) -> bool {
        let head = Head { expires_at: Wall(expires_at), ..Head::default() };
        alarms.is_over(Address::new(segment, 0), &head, Wall(now))
    }

    fn turn() -> Turn {
        let now = Now { mono: Mono(0), wall: Wall(100_000) };
        Turn::new(Options::default(), 1, &Recovery::default(), now)
    }

    #[test]
    fn breaking_invariant_1_forgets_an_alarm_or_sets_it_too_late() {
        let mut turn = turn();
        let (mut alarms, mut queue) = (Alarms::default(), DelayQueue::default());
        let unsettled = || BTreeMap::from([(4, Wall(200_000)), (5, Wall(300_000))]);
        let note = |number, expires_at| SegmentNote { number, messages: 1, expires_at, class: 1 };
        alarms.begin(&[note(4, 200_000), note(5, 300_000)], 1);
        assert_eq!(alarms.check(&turn, &queue, unsettled()), Ok(()));
        let number = |alarms: &Alarms, turn: &Turn, queue: &DelayQueue| {
            alarms.check(turn, queue, unsettled()).expect_err("a breach").number
        };
        alarms.remove(5);
        assert_eq!(number(&alarms, &turn, &queue), 1, "it has no alarm");
        put_off(&mut turn, Address::new(5, 0), Class::Otp, Wall(310_000));
        assert_eq!(number(&alarms, &turn, &queue), 1, "its alarm is later than its expiry");
        put_off(&mut turn, Address::new(5, 0), Class::Otp, Wall(300_000));
        assert_eq!(alarms.check(&turn, &queue, unsettled()), Ok(()), "it enters the delay queue with this turn");
        for (tick, entries) in turn.gathering.drain_due() {
            let place = queue.place(tick, Tick::default());
            queue.insert(place, 2, &entries);
        }
        assert_eq!(alarms.check(&turn, &queue, unsettled()), Ok(()));
        alarms.begin(&[note(4, 250_000)], 1);
        assert_eq!(number(&alarms, &turn, &queue), 1, "late");
    }

    #[test]
    fn breaking_invariant_4_takes_in_what_there_is_no_room_for() {
        let (mut alarms, turn, queue) = (Alarms::default(), turn(), DelayQueue::default());
        (1..=OVERDUE_MAX as u64).for_each(|segment| alarms.keep(Address::new(segment, 0), 1));
        assert_eq!((alarms.has_room(), alarms.check(&turn, &queue, BTreeMap::new())), (false, Ok(())));
        alarms.keep(Address::new(OVERDUE_MAX as u64 + 1, 0), 1);
        assert_eq!(alarms.check(&turn, &queue, BTreeMap::new()).expect_err("a breach").number, 4);
        let mut few = Alarms::default();
        few.keep(Address::new(1, 0), 1);
        few.of.clear();
        assert_eq!(few.check(&turn, &queue, BTreeMap::new()).expect_err("a breach").number, 4, "a wrong count");
    }

    #[test]
    fn what_comes_due_where_there_is_no_room_waits_in_the_delay_queue() {
        let (mut alarms, mut turn) = (Alarms::default(), turn());
        (1..=OVERDUE_MAX as u64).for_each(|segment| alarms.keep(Address::new(segment, 0), 1));
        let lane = Lane { class: Class::Otp, route: RouteId(0), tenant: TenantId::default(), set: SetNumber::NONE };
        let address = Address::new(OVERDUE_MAX as u64 + 1, 0);
        let entry = DueEntry { address, lane, reason: InsertReason::Expiry };
        alarms.handle_due(&mut turn, &entry);
        let put_off: Vec<_> = turn.gathering.due().map(|(tick, entry)| (tick.wall(), entry.address)).collect();
        assert_eq!(put_off, [(turn.now.wall.after_ms(NO_ROOM_MS), address)]);
        alarms.remove(7);
        alarms.handle_due(&mut turn, &entry);
        assert!(alarms.of.contains_key(&address.segment()));
    }

    /// An alarm that a fast clock has put off is visited when the clock goes back, wherever the alarm is then.
    #[test]
    fn what_was_put_off_by_a_clock_that_was_ahead_is_visited_at_once() {
        let (was, back) = (Wall(400_000), Wall(100_000));
        let (mut alarms, mut turn) = (Alarms::default(), turn());
        turn.now.wall = was;
        let note = |number| SegmentNote { number, messages: 1, expires_at: 90_000, class: 1 };
        // One is in memory, after a read that failed; two are in no batch yet, one of which was due; one waits for its own time.
        alarms.begin(&[note(1)], 1);
        alarms.wake(was);
        alarms.visit(Now { mono: Mono(1_000_000_000), wall: was }).expect("a visit");
        alarms.handle_visit_failed(&mut turn);
        put_off(&mut turn, Address::new(2, 0), Class::Otp, was.after_ms(AGAIN_MS));
        put_off(&mut turn, Address::new(4, 0), Class::Otp, Wall(was.0 - 50_000));
        alarms.begin(&[SegmentNote { expires_at: 900_000, ..note(3) }], 1);
        turn.now.wall = back;
        alarms.handle_clock_back(&mut turn, was, std::iter::empty());
        assert_eq!([1, 2, 3, 4].map(|segment| alarms.of[&segment].at), [back, Wall(0), Wall(900_000), Wall(0)]);
    }

    #[test]
    fn what_was_ended_stays_so_however_often_the_clock_goes_back() {
        let mut alarms = Alarms::default();
        alarms.note_ended(Wall(100), 10);
        assert!(is_over(&alarms, 9, 100, 5), "the clock went back");
        assert!(!is_over(&alarms, 10, 100, 5) && !is_over(&alarms, 9, 101, 5));
        alarms.note_ended(Wall(50), 20);
        assert!(is_over(&alarms, 15, 50, 5), "and again");
        assert!(!is_over(&alarms, 15, 60, 5), "not what was made in between");
        alarms.note_ended(Wall(200), 30);
        assert_eq!(alarms.ended_to, [(Wall(200), 30)], "one step covers all");
        for n in 0..100 {
            alarms.note_ended(Wall(190 - n), 31 + n);
        }
        assert!(alarms.ended_to.len() <= STEPS_MAX);
        assert!((0..100).all(|n| is_over(&alarms, 30 + n, 190 - n, 5)));
    }

    #[test]
    fn the_most_urgent_are_visited_first_and_as_many_as_a_visit_may() {
        let mut alarms = Alarms::default();
        for (segment, class) in [(1, 3), (2, 1), (3, 2), (4, 1)] {
            alarms.keep(Address::new(segment, 3_999), class);
        }
        let now = Now { mono: Mono(1_000_000_000), wall: Wall(5) };
        alarms.wake(now.wall);
        assert_eq!(alarms.visit(now), Some(vec![2, 3, 4]));
        assert_eq!(alarms.visit(now), None, "one at a time");
        alarms.visit = None;
        assert_eq!(alarms.visit(now), None, "what is left is less than a full visit");
        assert_eq!(alarms.next_at(now, false), Some(now.mono.after_ms(VISIT_PAUSE_MS)));
        assert_eq!(alarms.visit(now.after_ns(VISIT_PAUSE_MS * 1_000_000)), Some(vec![1]));
    }
}
