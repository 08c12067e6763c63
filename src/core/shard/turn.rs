//! One turn of a shard as its machines see it: what they are given (time, randomness, options, room on disk), and what they leave
//! behind (the batch being gathered, questions to the store, effects, counts). It decides nothing.
//!
//! Invariants:
//! 1. What is pushed by [`Turn::effect`] leaves when the batch that is being gathered now is durable. What is in [`Turn::prompt`]
//!    leaves at once: it reveals nothing that must be durable first.
//! 2. At most one batch is under way.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::admission::{Moment, Places};
use crate::model::{
    Address, Buggify, CarrierId, DiskRoom, GroupId, Head, LinkId, Mono, Now, Prng, ReplyTo, Sound, Wall, holds,
};
use crate::queue::{DueEntry, Tick};
use crate::store::fold::ReaderAt;
use crate::store::{CommitSeq, ReadRequest, Recovery};
use crate::traffic::{ToLink, Verdict};

use super::catalog::Catalog;
use super::counters::{Counters, Measures};
use super::event::{Effect, Reply};
use super::gathering::Gathering;
use super::options::Options;
use super::restored::Restored;
use super::sets::Sets;
use super::whereabouts::Whereabouts;

/// The state that all machines of a shard share.
#[derive(Debug)]
pub(super) struct Turn {
    pub options: Options,
    pub catalog: Arc<Catalog>,
    /// The sets of counters on which messages count.
    pub sets: Sets,
    /// How far the readers of this shard's records have come.
    pub readers: Vec<ReaderAt>,
    /// What is to be done with messages that were unsent when a backup was made.
    pub restored: Restored,
    pub now: Now,
    /// How far the wall clock has jumped ahead of the monotonic clock since the shard began, ms; negative if it jumped back. Ages
    /// are measured without these jumps.
    pub ahead_ms: i64,
    pub chance: Prng,
    pub buggify: Buggify,
    /// The shard is stopping: it takes nothing new and hands nothing to links.
    pub draining: bool,
    pub disk: DiskRoom,

    /// The oldest segment whose history is kept. The next field is the number that the next segment gets.
    pub first_segment: u64,
    pub next_segment: u64,
    /// How many messages of each tenant wait, and who may take a place.
    pub places: Places,
    /// Up to which tick the delay queue has been emptied, since the clock last went back.
    pub due_from: Tick,
    /// The batch that this turn's decisions go into.
    pub gathering: Gathering,
    /// Messages that left their waiting place or ended during the present event or the end of a turn. What lookups and visits
    /// under way know of them is outdated. Empty in between.
    pub moved: Vec<Address>,

    /// Everything up to this batch is durable.
    pub durable: CommitSeq,
    /// The batch that the store is writing, and when it was handed to the store.
    pub in_flight: Option<CommitSeq>,
    pub commit_began: Mono,
    /// Effects in order, each with the batch that must be durable before it may leave.
    pub effects: VecDeque<(CommitSeq, Effect)>,
    /// Effects that may leave at once.
    pub prompt: VecDeque<Effect>,
    /// The newest batch of which an effect has left. For the check alone.
    left: CommitSeq,
    /// Which messages are not settled; kept in debug builds only.
    pub whereabouts: Whereabouts,
    /// Questions to the store, each with the batch that must be durable before it is asked.
    pub reads: VecDeque<(CommitSeq, ReadRequest)>,
    pub counters: Counters,
    pub measures: Measures,
}

impl Turn {
    /// The first turn of a shard, from what its store found.
    pub(super) fn new(options: Options, seed: u64, found: &Recovery, now: Now) -> Self {
        let mut chance = Prng::new(seed);
        let buggify = Buggify::new(options.buggify_ppm, chance.next_u64());
        Self {
            catalog: Arc::default(),
            sets: Sets::recorded(found.sets.clone()),
            readers: Vec::new(),
            restored: Restored::default(),
            now,
            ahead_ms: found
                .keys
                .last()
                .filter(|(commit, _)| *commit > found.checkpoint.commit)
                .map_or(found.checkpoint.ahead_ms, |(_, record)| {
                    record.ahead_ms.last().map_or(0, |(_, ahead_ms)| *ahead_ms)
                }),
            chance,
            buggify,
            draining: false,
            disk: DiskRoom::Ample,
            first_segment: found.checkpoint.first_segment.max(1),
            next_segment: found.checkpoint.next_segment.max(found.restored.as_ref().map_or(1, |record| record.below)),
            places: Places::new(options.queue_messages_max, &options.tenants),
            due_from: Tick::default(),
            gathering: Gathering::new(found.last.next()),
            moved: Vec::new(),
            durable: found.last,
            in_flight: None,
            commit_began: now.mono,
            effects: VecDeque::new(),
            prompt: VecDeque::new(),
            left: found.last,
            whereabouts: Whereabouts::default(),
            reads: VecDeque::new(),
            counters: Counters::default(),
            measures: Measures::default(),
            options,
        }
    }

    /// Sets the time. If the wall clock has gone more or less far than the monotonic clock, it has jumped by the difference.
    pub(super) fn follow(&mut self, now: Now) {
        let was = std::mem::replace(&mut self.now, now);
        self.ahead_ms = self.ahead_ms.saturating_add(now.jumped_ms(was));
    }

    /// The present time on the clock without jumps, for everything that has an age.
    pub(super) const fn moment(&self) -> Moment {
        Moment::of(self.now.wall, self.ahead_ms)
    }

    /// Adds an effect that leaves when everything decided until now is durable.
    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push_back((self.gathering.seq(), effect));
    }

    pub(super) fn reply(&mut self, to: ReplyTo, reply: Reply) {
        self.effect(Effect::Reply(to, reply));
    }

    pub(super) fn tell_link(&mut self, link: LinkId, traffic: ToLink) {
        self.effect(Effect::Link(link, traffic));
    }

    /// Tells the operator at once.
    pub(super) fn alarm(&mut self, what: &str) {
        let what = format!("shard {}: {what}", self.options.shard.0);
        self.prompt.push_back(Effect::Alarm(what));
    }

    /// Asks the store at once.
    pub(super) fn read(&mut self, request: ReadRequest) {
        self.reads.push_back((CommitSeq(0), request));
    }

    /// The newest batch that holds, or will hold, a decision. A question that waits for it misses nothing: a message may have
    /// ended, or been cancelled, in a batch that is not durable yet.
    pub(super) fn decided(&self) -> CommitSeq {
        if self.gathering.is_empty() { self.in_flight.unwrap_or(self.durable) } else { self.gathering.seq() }
    }

    /// Until when the receipt of a message that its carrier took is waited for, seconds: `receipt_wait_ms` after the message was
    /// taken, or after its expiry if that is later.
    pub(super) fn receipt_until(&self, taken_at: Wall, head: Option<&Head>) -> u32 {
        let from = head.map_or(taken_at, |head| head.expires_at.max(taken_at));
        u32::try_from(from.after_ms(self.options.receipt_wait_ms).0 / 1_000).unwrap_or(u32::MAX)
    }

    /// The group within which a carrier's receipts are matched; `None` if the catalog does not have the carrier.
    pub(super) fn carrier_group(&self, carrier: CarrierId) -> Option<GroupId> {
        self.catalog.carriers.iter().find(|known| known.id == carrier).map(|known| known.group)
    }

    /// Checks the invariants.
    ///
    /// # Errors
    /// The first one that does not.
    pub(super) fn check(&self) -> Sound {
        let (left, durable) = (self.left, self.durable);
        holds!(1, left <= durable, "something of batch {left:?} has left, and only {durable:?} is durable");
        let telling = self.prompt.iter().find(|effect| tells_of_a_decision(effect));
        holds!(1, telling.is_none(), "{telling:?} leaves at once");
        let gathered = self.gathering.seq();
        let is_in_order = self.effects.iter().is_sorted_by_key(|(needs, _)| *needs);
        let last = self.effects.back().map(|(needs, _)| *needs);
        holds!(1, is_in_order && last.is_none_or(|last| last <= gathered), "effects of {last:?} at {gathered:?}");
        let last = self.in_flight.unwrap_or(durable);
        let is_one = self.in_flight.is_none_or(|seq| seq == durable.next()) && gathered == last.next();
        holds!(2, is_one, "{gathered:?} is gathered, {:?} under way, {durable:?} durable", self.in_flight);
        Ok(())
    }

    /// The next effect whose cause is durable.
    pub(super) fn next_effect(&mut self) -> Option<Effect> {
        debug_assert_eq!(self.check(), Ok(()), "the invariants of turn.rs");
        if let Some(effect) = self.prompt.pop_front() {
            return Some(effect);
        }
        let (needs, _) = self.effects.front()?;
        let needs_nothing = self.in_flight.is_none() && self.gathering.is_empty();
        if *needs > self.durable && !needs_nothing {
            return None;
        }
        let (needs, effect) = self.effects.pop_front()?;
        self.left = self.left.max(needs.min(self.decided()));
        Some(effect)
    }

    /// Puts a message, or an alarm, into the delay queue until `at`.
    pub(super) fn put_off(&mut self, at: Wall, entry: DueEntry) {
        self.gathering.put_off(Tick::at_or_after(at), entry);
    }
}

/// Whether an effect reveals a decision that others rely on, or uses a granted place. Alarms and notes are for people, and may
/// leave early.
fn tells_of_a_decision(effect: &Effect) -> bool {
    match effect {
        Effect::Reply(..) | Effect::Maintain(_) | Effect::Link(_, ToLink::Queries(_)) => true,
        Effect::Link(_, ToLink::Submits(batch)) => !batch.submits.is_empty(),
        Effect::Link(_, ToLink::Verdicts(batch)) => batch.verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Kept),
        // The home lives no longer than this process.
        Effect::Link(_, ToLink::Demand(_)) | Effect::Home(_) | Effect::Alarm(_) | Effect::Note(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::model::Class;
    use crate::traffic::SubmitBatch;

    use super::*;

    /// One batch under way and another being gathered.
    fn turn() -> Turn {
        let now = Now { mono: Mono(0), wall: Wall(1) };
        let mut turn = Turn::new(Options::default(), 1, &Recovery::default(), now);
        assert_eq!(turn.gathering.finish(now.wall, 0).seq, CommitSeq(1));
        turn.in_flight = Some(CommitSeq(1));
        turn.gathering.batch().turn.alarms.done.push(7);
        turn.effect(Effect::Alarm("kept".to_owned()));
        assert_eq!(turn.check(), Ok(()));
        turn
    }

    #[test]
    fn breaking_invariant_1_lets_an_effect_out_before_its_batch_is_durable() {
        let number = |turn: &Turn| turn.check().expect_err("a breach").number;
        let mut early = turn();
        assert!(early.next_effect().is_none());
        early.durable = CommitSeq(2);
        (early.in_flight, early.gathering) = (None, Gathering::new(CommitSeq(3)));
        assert!(early.next_effect().is_some());
        assert_eq!(early.check(), Ok(()));
        // As if that batch had not become durable after all.
        (early.durable, early.in_flight) = (CommitSeq(1), Some(CommitSeq(2)));
        assert_eq!(number(&early), 1);
        let mut prompt = turn();
        let batch = SubmitBatch { shard: prompt.options.shard, class: Class::Otp, submits: Vec::new(), unused: 3 };
        prompt.prompt.push_back(Effect::Link(LinkId::default(), ToLink::Submits(batch)));
        assert_eq!(prompt.check(), Ok(()));
        prompt.prompt.push_back(Effect::Reply(ReplyTo::default(), Reply::Unreadable));
        assert_eq!(number(&prompt), 1, "it does not wait for the batch");
        let mut late = turn();
        late.effects.push_front((CommitSeq(3), Effect::Alarm("of a batch to come".to_owned())));
        assert_eq!(number(&late), 1);
    }

    #[test]
    fn breaking_invariant_2_hands_out_a_second_batch() {
        let mut turn = turn();
        assert_eq!(turn.gathering.finish(Wall(1), 0).seq, CommitSeq(2));
        turn.effects.clear();
        assert_eq!(turn.check().expect_err("a breach").number, 2);
        turn.in_flight = Some(CommitSeq(2));
        assert_eq!(turn.check().expect_err("a breach").number, 2, "the first is not durable");
    }
}
