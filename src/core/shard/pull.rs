//! The messages that wait, in the lists of what is ready and in the delay queue, and what a shard does with the grants of links.
//!
//! A link grants places; the shard uses them as long as something waits that may be sent, and gives the others back. `links.rs`
//! decides which link is used, and holds the counts of each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::delivery::OpenAttempt;
use crate::model::{Address, Class, Head, Lane, LinkId, Msisdn, Point, Sound};
use crate::queue::{
    Chunk, DelayQueue, DueEntry, DuePosition, Era, Fifo, FifoName, Generation, InsertReason, Lanes, ListNumber, Paces,
    Part, Position, ScheduledQueue, Taken, Tick,
};
use crate::store::ReadRequest;
use crate::store::batch::{fifo_code, fifo_name};
use crate::store::record::{CheckpointRecord, DueNote, PutOffNote, TurnRecord};
use crate::traffic::{Bound, Demand, Grant, Submit, SubmitBatch, ToLink};

use super::catalog::Catalog;
use super::event::Effect;
use super::gathering::Place;
use super::links::{LinkSlot, Links};
use super::notes::fifo_note;
use super::permits::Permits;
use super::sets::Sets;
use super::turn::Turn;

/// What the simulator now and then reads at most, as if windows were full: a few messages.
const SMALL_READ_BYTES: usize = 2 << 10;

/// Lists, delay queue and links of a shard.
#[derive(Debug)]
pub(super) struct Pull {
    pub links: Links,
    pub lanes: Lanes,
    pub scheduled: DelayQueue,
    /// How fast messages leave, of classes whose wait is bounded.
    paces: Paces,
}

impl Pull {
    /// Starts with all lists and sets of counters that were ever used. `present`: how often the shard was restored from a backup.
    pub(super) fn new(present: Generation, lists: Vec<Lane>, sets: &Sets) -> Self {
        let (links, mut lanes) = (Links::default(), Lanes::new(present, lists));
        sets.by_carrier().for_each(|(set, each)| lanes.set_each(set, each));
        Self { links, lanes, scheduled: DelayQueue::default(), paces: Paces::default() }
    }

    /// Checks the invariants of links, lists and the delay queue.
    ///
    /// # Errors
    /// The first one that does not.
    pub(super) fn check(&self) -> Sound {
        self.links.check()?;
        self.lanes.check()?;
        self.paces.check()?;
        self.scheduled.check()
    }

    /// Routes and carriers have changed.
    pub(super) fn handle_catalog(&mut self, turn: &mut Turn, catalog: Arc<Catalog>) {
        let shard = turn.options.shard;
        self.links.handle_catalog(&catalog, catalog.core_of(shard), catalog.links_of(shard));
        self.links.regroup(&mut self.lanes);
        turn.catalog = catalog;
        self.choose_links(turn);
    }

    /// A link got its first bind, or lost its last.
    pub(super) fn handle_bound(&mut self, turn: &mut Turn, bound: Bound) {
        self.links.handle_bound(bound.link, bound.is_bound, &turn.catalog);
        self.links.regroup(&mut self.lanes);
        self.choose_links(turn);
    }

    /// A message that was handed to a link is finished there.
    pub(super) fn handle_over(&mut self, turn: &mut Turn, link: LinkId) {
        if self.links.handle_over(link) {
            self.choose_links(turn);
        }
    }

    /// Chooses anew which links are used. A link that is no longer used gets its places back, and is told that nothing waits for
    /// it.
    fn choose_links(&mut self, turn: &mut Turn) {
        for at in self.links.choose() {
            self.return_grants_of(turn, at);
            let (slot, shard) = (self.links.at_mut(at), turn.options.shard);
            if std::mem::take(&mut slot.told) != [0; Class::COUNT] {
                let demand = Demand { shard, waiting: [0; Class::COUNT] };
                turn.prompt.push_back(Effect::Link(slot.id, ToLink::Demand(demand)));
            }
        }
    }

    /// A link grants places.
    pub(super) fn handle_grant(&mut self, turn: &mut Turn, grant: Grant) {
        let class = grant.class.index();
        let Some(slot) = self.links.get_mut(grant.link) else {
            // No catalog that this shard has seen has this link.
            return tell_unused(turn, grant.link, grant.class, grant.messages);
        };
        slot.ever[class].granted += u64::from(grant.messages);
        if grant.messages == 0 {
            // A grant of nothing recalls what is left of earlier ones.
            return give_back_all(turn, slot, grant.class);
        }
        if !slot.is_used || turn.draining {
            give_back(turn, slot, grant.class, grant.messages);
        } else if grant.standing {
            slot.standing[class] += grant.messages;
        } else {
            slot.grants[class] += grant.messages;
        }
    }

    /// Gives every place back: nothing is sent any more.
    pub(super) fn return_grants(&mut self, turn: &mut Turn) {
        for at in 0..self.links.len() {
            self.return_grants_of(turn, at);
        }
    }

    fn return_grants_of(&mut self, turn: &mut Turn, at: usize) {
        let slot = self.links.at_mut(at);
        Class::ALL.into_iter().for_each(|class| give_back_all(turn, slot, class));
    }

    /// Moves what became ready in this turn into its lists.
    pub(super) fn place_ready(&mut self, turn: &mut Turn) {
        let commit = turn.gathering.seq().0;
        for (place, pieces) in turn.gathering.drain_ready() {
            let name = match place {
                Place::Fresh(lane) => self.lanes.fresh(lane),
                Place::Due { lane, restored } => self.lanes.due(lane, restored),
                Place::Back(name) => name,
            };
            let messages = pieces.iter().map(|piece| piece.runs.len()).sum();
            let records = pieces.iter().map(|piece| (piece.segment, piece.runs.clone())).collect();
            let chunks: Vec<_> = pieces
                .into_iter()
                .filter_map(|piece| Some(Chunk { commit, segment: piece.at_hand?, runs: piece.runs }))
                .collect();
            let is_left_on_disk = !chunks.is_empty() && turn.buggify.at(Point::WindowFull);
            let chunks = if is_left_on_disk { Vec::new() } else { chunks };
            if turn.options.class_wait_ms[self.lanes.lane(name.list).class.index()] > 0 {
                self.paces.enter(name.list, self.lanes.waiting_in(name.list), turn.now.mono);
            }
            self.lanes.append(name, commit, messages, chunks);
            let batch = turn.gathering.batch();
            batch.ready.push((name, records));
            batch.turn.appended.push((fifo_code(name), messages));
        }
    }

    /// Moves what was put off in this turn into the delay queue.
    pub(super) fn place_due(&mut self, turn: &mut Turn) {
        let commit = turn.gathering.seq().0;
        let now = Tick::at_or_after(turn.now.wall);
        let mut by_place: BTreeMap<(Era, Tick), Vec<DueEntry>> = BTreeMap::new();
        for (tick, entries) in turn.gathering.drain_due() {
            by_place.entry(self.scheduled.place(tick, now)).or_default().extend(entries);
        }
        for (place, entries) in by_place {
            self.scheduled.insert(place, commit, &entries);
            let batch = turn.gathering.batch();
            let (era, put) = (place.0.0, entries.len() as u32);
            let alarms = entries.iter().filter(|entry| entry.reason == InsertReason::Expiry).count() as u32;
            match batch.turn.put_off.last_mut().filter(|note| note.era == era) {
                Some(note) => (note.entries, note.alarms) = (note.entries + put, note.alarms + alarms),
                None => batch.turn.put_off.push(PutOffNote { era, entries: put, alarms }),
            }
            batch.due.push((place, entries));
        }
        turn.due_from = self.scheduled.passed();
    }

    /// Gives back the places of a class of which nothing may be sent at present, standing ones included: the link would keep
    /// slots free for them.
    pub(super) fn return_held_grants(&mut self, turn: &mut Turn, at: usize, class: Class) {
        give_back_all(turn, self.links.at_mut(at), class);
    }

    /// Gives back demanded places of a class for which nothing waits any more. Standing places stay.
    pub(super) fn return_idle_grants(&mut self, turn: &mut Turn, at: usize, class: Class) {
        let slot = self.links.at_mut(at);
        if self.lanes.waiting(class, slot.group) == 0 {
            let unused = std::mem::take(&mut slot.grants[class.index()]);
            give_back(turn, slot, class, unused);
        }
    }

    /// A batch leaves for its link. The link counts it off from what it believes to be waiting when it arrives, and so does this
    /// shard.
    pub(super) fn note_leaving(&mut self, link: LinkId, batch: &SubmitBatch) {
        // Places of a link that this shard does not know were given back by a batch without messages; nothing was counted.
        let Some(slot) = self.links.get_mut(link) else { return };
        let (class, left) = (batch.class.index(), batch.submits.len() as u32);
        debug_assert!(slot.leaving[class] >= left, "{link:?}: {left} of {} leave", slot.leaving[class]);
        slot.leaving[class] = slot.leaving[class].saturating_sub(left);
        // The link does the same sum. The result may be negative, hence 0: standing places may have been used for messages that
        // the link was not told of.
        slot.told[class] = if batch.unused > 0 { 0 } else { slot.told[class].saturating_sub(left) };
    }

    /// Tells a link how many messages wait, if the link would otherwise grant too few places. `held`: the classes of which
    /// nothing may be sent at present; their ready messages are not counted.
    ///
    /// On demand a link grants only what it believes to be waiting (`told`) and has no place for yet. Each demand is a message to
    /// another core, so not every change is told, but only
    /// - a change that the link would otherwise never learn: more waits than it believes, and each message that it knows of has a
    ///   place already (`told <= placed`), so it would grant nothing more;
    /// - one that it far underrates: more than twice as much waits as it believes. A queue that grows is told again at each
    ///   doubling, not at each message.
    ///
    /// Between the two, no message is forgotten: the link knows of messages without a place and goes on granting, which raises
    /// `placed` until it reaches `told`, and then the first condition holds. If only messages wait that already have a place
    /// (`ready == 0`), nothing more is wanted.
    pub(super) fn demand(&mut self, turn: &mut Turn, at: usize, held: [bool; Class::COUNT]) {
        let slot = self.links.at(at);
        if turn.draining || !slot.is_used {
            return;
        }
        let mut waiting = [0; Class::COUNT];
        let mut news = false;
        for class in Class::ALL {
            let index = class.index();
            // A count above u32::MAX is told as u32::MAX: a link only looks whether there are more than it can place.
            let ready = self.lanes.waiting(class, slot.group).min(u64::from(u32::MAX)) as u32;
            let ready = if held[class.index()] { 0 } else { ready };
            waiting[index] = ready.saturating_add(slot.leaving[index]);
            // Standing places of a class that is not urgent are for messages that are still to come.
            let standing = if class.is_urgent() { slot.standing[index] } else { 0 };
            let (told, placed) = (slot.told[index], slot.grants[index] + standing + slot.leaving[index]);
            // Tell it if the link has a place for all that it knows of, or knows of less than half: see above.
            news |= ready > 0 && (waiting[index] / 2 > told || (waiting[index] > told && told <= placed));
        }
        if news {
            let (id, shard) = (slot.id, turn.options.shard);
            self.links.at_mut(at).told = waiting;
            turn.prompt.push_back(Effect::Link(id, ToLink::Demand(Demand { shard, waiting })));
        }
    }

    /// Takes back messages whose batch has not left for the link yet, if they follow, to the same recipient and class, one that
    /// came back from there: they would overtake it. Returns their addresses.
    pub(super) fn recall_followers(
        &mut self,
        turn: &mut Turn,
        link: LinkId,
        of: &BTreeSet<(Msisdn, Class)>,
    ) -> Vec<Address> {
        let mut recalled = Vec::new();
        for (_, effect) in &mut turn.effects {
            let Effect::Link(to, ToLink::Submits(batch)) = effect else { continue };
            if *to != link {
                continue;
            }
            let (class, before) = (batch.class, batch.submits.len());
            batch.submits.retain(|submit| {
                let stays = !of.contains(&(submit.head.to, submit.head.class));
                recalled.extend((!stays).then_some(submit.address));
                stays
            });
            let gone = (before - batch.submits.len()) as u32;
            batch.unused += gone;
            if let Some(slot) = self.links.get_mut(link) {
                let leaving = &mut slot.leaving[class.index()];
                debug_assert!(slot.out >= gone && *leaving >= gone, "{link:?}: {gone} come back of {leaving}");
                slot.out = slot.out.saturating_sub(gone);
                *leaving = leaving.saturating_sub(gone);
            }
        }
        recalled
    }

    /// Changes the number of entries of ended messages in a part of a list; negative when they leave.
    pub(super) fn add_ended(&mut self, turn: &mut Turn, part: Part, entries: i32) {
        self.lanes.add_ended(part, entries.into());
        turn.gathering.ended(part.list, self.lanes.generation_of(part), entries);
    }

    /// Messages handed to links that the links have not finished.
    pub(super) fn out(&self) -> u64 {
        self.links.out()
    }

    /// How many links the shard knows.
    pub(super) fn links(&self) -> usize {
        self.links.len()
    }

    /// How many places of a class a link has granted, of whatever kind.
    pub(super) fn places(&self, at: usize, class: Class) -> u32 {
        let slot = self.links.at(at);
        slot.grants[class.index()] + slot.standing[class.index()]
    }

    /// Whether a link has a place for the next message of a class, if `used` of its places are used. Standing places of an urgent
    /// class are for any message; those of another class only for tenants that have just begun to wait, since all others take
    /// turns at the places that were demanded.
    pub(super) fn has_place(&self, at: usize, class: Class, used: u32) -> bool {
        let slot = self.links.at(at);
        let is_for_next = || class.is_urgent() || self.lanes.next_is_new(class, slot.group);
        used < slot.grants[class.index()] || used < self.places(at, class) && is_for_next()
    }

    /// The id of a link.
    pub(super) fn link(&self, at: usize) -> LinkId {
        self.links.at(at).id
    }

    /// Takes the next message for a link.
    pub(super) fn take(
        &mut self,
        turn: &mut Turn,
        permits: &mut Permits,
        at: usize,
        class: Class,
    ) -> Option<(FifoName, Taken)> {
        let weight = |tenant| turn.options.weight_of(tenant);
        let has_permit = |set, parts| permits.take(turn, set, parts);
        let (name, taken) = self.lanes.take(class, self.links.at(at).group, weight, has_permit)?;
        turn.gathering.taken(name, taken.head);
        if turn.options.class_wait_ms[class.index()] > 0 {
            self.paces.leave(name.list, self.lanes.waiting_in(name.list), turn.now.mono);
        }
        Some((name, taken))
    }

    /// Whether a new message of that lane is expected to wait longer than its class may.
    pub(super) fn is_too_slow(&self, turn: &Turn, lane: Lane) -> bool {
        let most_ms = turn.options.class_wait_ms[lane.class.index()];
        if most_ms == 0 {
            return false;
        }
        let Some((list, waiting)) = self.lanes.waiting_before(lane).filter(|(_, waiting)| *waiting > 0) else {
            return false;
        };
        // A carrier that takes messages and writes none has a fast pace: what it gave back says how long it has waited.
        let waited = |head: &Head| turn.now.wall.since(head.accepted_at.max(head.send_at));
        self.lanes.given_back_first(list).map_or(0, waited) > most_ms
            || self.paces.wait_ns(list, waiting, turn.now.mono) > most_ms.saturating_mul(1_000_000)
    }

    /// Bounds of waits are new: what was measured for others is forgotten.
    pub(super) fn forget_paces(&mut self) {
        self.paces.clear();
    }

    /// Takes the next message that waits for a route that is gone.
    pub(super) fn take_stray(&mut self, turn: &mut Turn) -> Option<(FifoName, Taken)> {
        let (name, taken) = self.lanes.take_stray(|route| turn.catalog.routes.get(route).is_some())?;
        turn.gathering.taken(name, taken.head);
        self.forget_pace_if_empty(name);
        Some((name, taken))
    }

    /// Takes the next message of a class that was unsent when the backup was made.
    pub(super) fn take_restored(&mut self, turn: &mut Turn, class: Class) -> Option<(FifoName, Taken)> {
        let (name, taken) = self.lanes.take_restored(class)?;
        turn.gathering.taken(name, taken.head);
        Some((name, taken))
    }

    /// Takes the message at the head of a list, which the caller has just looked at.
    pub(super) fn drop_first(&mut self, turn: &mut Turn, name: FifoName) {
        if let Some(taken) = self.lanes.take_from(name) {
            turn.gathering.taken(name, taken.head);
            self.forget_pace_if_empty(name);
        }
    }

    fn forget_pace_if_empty(&mut self, name: FifoName) {
        if self.lanes.waiting_in(name.list) == 0 {
            self.paces.forget(name.list);
        }
    }

    /// Uses places of a link: the messages leave for it once the batch being gathered, which holds their attempts, is durable.
    pub(super) fn hand_over(&mut self, turn: &mut Turn, at: usize, class: Class, submits: Vec<Submit>) {
        let used = submits.len() as u32;
        let slot = self.links.at_mut(at);
        let demanded = used.min(slot.grants[class.index()]);
        slot.grants[class.index()] -= demanded;
        slot.standing[class.index()] -= used - demanded;
        slot.ever[class.index()].used += u64::from(used);
        slot.leaving[class.index()] += used;
        slot.out += used;
        if used > 0 {
            turn.counters.attempts += u64::from(used);
            let batch = SubmitBatch { shard: turn.options.shard, class, submits, unused: 0 };
            turn.tell_link(slot.id, ToLink::Submits(batch));
        }
    }

    /// A link gave a message back unsent; it returns to its list.
    pub(super) fn handle_returned(&mut self, turn: &mut Turn, address: Address, open: OpenAttempt) {
        turn.places.enter(open.lane.tenant, 1);
        let name = self.lanes.returned(open.lane, address);
        turn.gathering.returned(name, address, open.segment);
    }

    /// Takes the next entry of the delay queue that is due, and the tick at which it was due.
    pub(super) fn take_due(&mut self, turn: &mut Turn) -> Option<(DueEntry, Tick)> {
        let is_due = self.scheduled.next_at().is_some_and(|at| at <= turn.now.wall);
        if is_due && turn.buggify.at(Point::DueLater) {
            return None;
        }
        let (entry, era, head) = self.scheduled.take(turn.now.wall)?;
        turn.gathering.due_taken(era, head, entry.reason == InsertReason::Expiry);
        turn.due_from = self.scheduled.passed();
        Some((entry, head.tick))
    }

    /// Messages that wait in lists and in the delay queue, including those that enter them at the end of this turn. If lists are
    /// full of entries of ended messages, it is as if all places were taken.
    pub(super) fn queued(&self, turn: &Turn) -> u64 {
        let messages = self.lanes.depth_total() + self.scheduled.messages() + turn.gathering.entering();
        turn.places.taken(messages, self.lanes.entries_total())
    }

    /// Once no alarm is left anywhere, no message that was passed over early can still have to be ended by a visit, so none is
    /// counted any more.
    pub(super) fn forget_remainders(&mut self, has_alarms: bool) {
        self.lanes.forget_remainders(!has_alarms && self.scheduled.alarms() == 0);
    }

    /// Asks the store for what will be taken next.
    pub(super) fn read_ahead(&mut self, turn: &mut Turn) {
        if let Some((name, from)) = self.lanes.wants_read(turn.durable.0) {
            let bytes = if turn.buggify.at(Point::WindowsFull) { SMALL_READ_BYTES } else { self.lanes.share() };
            let (messages, first_segment) = (Fifo::WINDOW_MESSAGES_MAX, turn.first_segment);
            turn.read(ReadRequest::Ready { name, from, messages, bytes, first_segment });
        }
        if let Some((era, from)) = self.scheduled.wants_read(turn.durable.0) {
            turn.read(ReadRequest::Due { era, from, limit: ScheduledQueue::LOADED_MAX / 2 });
        }
    }

    /// Puts lists and the delay queue into a checkpoint.
    pub(super) fn note(&self, checkpoint: &mut CheckpointRecord) {
        checkpoint.fifos = self.lanes.iter().map(|(name, fifo)| fifo_note(name, fifo)).collect();
        checkpoint.due = self.scheduled.eras().map(|(era, queue)| due_note(era, queue)).collect();
        let generation_of = |part| self.lanes.generation_of(part).0;
        checkpoint.ended =
            self.lanes.ended().map(|(part, entries)| (part.list.0, generation_of(part), entries)).collect();
    }

    /// Takes lists and the delay queue from a checkpoint.
    pub(super) fn recover(&mut self, checkpoint: &CheckpointRecord) {
        for note in &checkpoint.fifos {
            if let Some(name) = fifo_name(note.fifo) {
                let head = Position { commit: note.commit, index: note.index };
                self.lanes.recover(name, Fifo::recovered(head, note.newest, note.waiting));
            }
        }
        self.scheduled = DelayQueue::recovered(checkpoint.due.iter().map(|note| {
            let head = DuePosition { tick: Tick(note.tick), commit: note.commit, index: note.index };
            (Era(note.era), ScheduledQueue::recovered(head, note.waiting, note.alarms))
        }));
        for &(list, generation, entries) in &checkpoint.ended {
            self.replay_ended(list, generation, entries);
        }
    }

    /// Applies a recorded turn. Returns how many entries it took that cannot have been where it took them: 0, unless records
    /// contradict each other.
    pub(super) fn replay(&mut self, commit: u64, record: &TurnRecord) -> u64 {
        let mut missing = 0;
        for &(list, generation, entries) in &record.ended {
            self.replay_ended(list, generation, entries.into());
        }
        for &(code, messages) in &record.appended {
            if let Some(name) = fifo_name(code) {
                self.lanes.replay_append(name, commit, u64::from(messages));
            }
        }
        for note in &record.taken {
            if let Some(name) = fifo_name(note.fifo) {
                let head = Position { commit: note.commit, index: note.index };
                missing += self.lanes.replay_taken(name, head, u64::from(note.messages));
            }
        }
        for note in &record.put_off {
            self.scheduled.replay_insert(Era(note.era), note.entries.into(), note.alarms.into());
        }
        for note in &record.due_taken {
            let head = DuePosition { tick: Tick(note.tick), commit: note.commit, index: note.index };
            missing += self.scheduled.replay_taken(Era(note.era), head, note.entries.into(), note.alarms.into());
        }
        missing
    }

    fn replay_ended(&mut self, list: u32, generation: u8, entries: i64) {
        let part = self.lanes.part_of(ListNumber(list), Generation(generation));
        self.lanes.add_ended(part, entries);
    }
}

fn due_note(Era(era): Era, queue: &ScheduledQueue) -> DueNote {
    let DuePosition { tick: Tick(tick), commit, index } = queue.head();
    DueNote { era, tick, commit, index, waiting: queue.waiting(), alarms: queue.alarms() }
}

/// Gives all unused places of a class back to their link.
fn give_back_all(turn: &mut Turn, slot: &mut LinkSlot, class: Class) {
    let index = class.index();
    let unused = std::mem::take(&mut slot.grants[index]) + std::mem::take(&mut slot.standing[index]);
    give_back(turn, slot, class, unused);
}

/// Gives unused places back to their link, at once.
fn give_back(turn: &mut Turn, slot: &mut LinkSlot, class: Class, unused: u32) {
    slot.ever[class.index()].given_back += u64::from(unused);
    tell_unused(turn, slot.id, class, unused);
}

fn tell_unused(turn: &mut Turn, link: LinkId, class: Class, unused: u32) {
    if unused > 0 {
        let batch = SubmitBatch { shard: turn.options.shard, class, submits: Vec::new(), unused };
        turn.prompt.push_back(Effect::Link(link, ToLink::Submits(batch)));
    }
}
