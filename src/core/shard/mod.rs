//! A shard is the single writer for its recipients: it gathers a turn's decisions into one batch, and lets nothing out before
//! that batch is durable.
//!
//! It has no clock, disk or randomness of its own: it is given the time, the store's answers and a seed.
//!
//! Calling order of a turn: any number of [`Shard::handle`], then `poll_commit`, `poll_read` and `poll_effect` until each is
//! empty, then sleep until [`Shard::poll_timeout`]. At most one batch is under way. Only a `node` makes these calls.
//!
//! A shard consists of its machines and the `Turn` that they share. Each machine owns its own state, is given the turn, and
//! returns what other machines must do; no machine calls another. The shard passes these results on: here, and in `moves.rs`,
//! `asks.rs` and `recovery.rs`, which have no state of their own.
//!
//! | machine | owns |
//! |---|---|
//! | `Intake` | frames that wait for room, the window of idempotency keys |
//! | `Pull` | lists, the delay queue, links with their grants |
//! | `Ledger` | attempts, doubts, progress of parts, which messages were cancelled or tried before |
//! | `Receipts` | parts that wait for receipts, receipts that wait for parts |
//! | `Asked` | parts whose carrier sends no receipts and is queried instead |
//! | `Handsets` | how many messages from handsets are kept, and their bytes |
//! | `Joining` | parts of such messages that wait for the other parts |
//! | `Retained` | how long notices are kept |
//! | `Alarms` | when each segment has something that expires |
//! | `Lookups` | questions of doors that wait for the store's answer |
//! | `OutcomesLeft` | outcomes that were too many for one turn |
//! | `Folding` | up to which commit events are folded |
//! | `Rerouting` | how many rerouted messages the operator has been told of |
//! | `Permits` | permits of limits, and what was used of them |
//!
//! Invariants:
//! 1. An effect that reveals a decision leaves only after the batch that holds the decision is durable
//!    ([`ShardEvent::Committed`]).
//! 2. An attempt is in a durable batch before its message leaves for a link.
//! 3. Every message admitted is in exactly one place: a fifo, the delay queue, an open attempt, the ledger, or settled. Settled
//!    means that its carrier has all of it, or that it has ended; its entry may then stay in a fifo or in the delay queue until
//!    it is passed over. An expired message that was taken from a fifo is in no place until its segment's alarm ends it.

mod answered;
mod asked;
mod asks;
mod awaited;
mod books;
pub mod bounds;
pub mod catalog;
mod checkpoint;
mod counters;
pub mod event;
mod expiry;
#[cfg(test)]
mod expiry_tests;
mod gathering;
mod handsets;
mod heard;
mod joining;
#[cfg(test)]
mod joining_tests;
mod leaving;
mod ledger;
#[cfg(test)]
mod ledger_tests;
mod links;
mod lookups;
mod manners;
mod moves;
mod notes;
pub mod options;
mod orphans;
mod outcomes;
mod permits;
#[cfg(test)]
mod permits_tests;
mod pull;
mod receipt_epoch;
mod receipts;
mod recovery;
mod repeats;
mod rerouting;
#[cfg(test)]
mod rerouting_tests;
mod restored;
mod retained;
mod sealing;
mod sets;
#[cfg(test)]
mod shares_tests;
mod shown;
mod status;
mod submit;
#[cfg(test)]
mod tests;
mod turn;
mod uses;
mod whereabouts;

use std::collections::BTreeMap;

use crate::delivery::{Happened, InDoubt};
use crate::model::time::CLOCK_STEP_MS;
use crate::model::{Address, Buggify, Class, DiskRoom, Lane, Mono, Now, Sound, WALKED_MAX, Wall, holds};
use crate::queue::{Fifo, Generation, InsertReason};
use crate::store::{CommitSeq, Found, ReadRequest, Recovery, WriteBatch};
use crate::traffic::{ToLink, ToShard};

pub use bounds::Bounds;
pub use catalog::{Catalog, CatalogCarrier};
pub use counters::{Counters, Measures};
pub use event::{
    Ask, Cancelled, Claimed, DoubtAction, Effect, FoundDoubt, FoundMessage, LineResult, Lookup, Maintenance, Reply,
    Resolved, ShardEvent,
};
pub use options::Options;
pub use restored::RestoredStatus;
pub use status::{Hold, Status};

use asked::Asked;
use checkpoint::Folding;
use expiry::Alarms;
use gathering::Place;
use handsets::Handsets;
use joining::Joining;
use ledger::Ledger;
use lookups::{Listing, Lookups};
use outcomes::OutcomesLeft;
use permits::Permits;
use pull::Pull;
use receipts::Receipts;
use rerouting::Rerouting;
use retained::Retained;
use submit::Intake;
use turn::Turn;

/// At most so many entries of the delay queue are moved in one turn; the rest follow in the next turns.
const DUE_PER_TURN_MAX: usize = 8_192;

/// One shard, with all its machines. Lives on one core; nothing of it is shared.
#[derive(Debug)]
pub struct Shard {
    turn: Turn,
    intake: Intake,
    pull: Pull,
    ledger: Ledger,
    receipts: Receipts,
    asked: Asked,
    handsets: Handsets,
    joining: Joining,
    notices: Retained,
    alarms: Alarms,
    lookups: Lookups,
    outcomes_left: OutcomesLeft,
    folding: Folding,
    rerouting: Rerouting,
    permits: Permits,
    #[cfg(test)]
    replayed: books::tests::Replayed,
}

impl Shard {
    /// Builds a shard from what its store found; for a new store, from [`Recovery::default`].
    pub fn recover(options: Options, seed: u64, mut found: Recovery, now: Now) -> Self {
        let ledger = Ledger::new(&options);
        let present = Generation(found.restored.as_ref().map_or(0, |record| record.generation));
        let lists = std::mem::take(&mut found.lists);
        let turn = Turn::new(options, seed, &found, now);
        let mut shard = Self {
            intake: Intake::new(&turn.options),
            pull: Pull::new(present, lists, &turn.sets),
            receipts: Receipts::new(&turn.options),
            asked: Asked::default(),
            handsets: Handsets::default(),
            joining: Joining::default(),
            notices: Retained::default(),
            alarms: Alarms::default(),
            lookups: Lookups::default(),
            outcomes_left: OutcomesLeft::default(),
            folding: Folding::new(found.checkpoint.commit),
            rerouting: Rerouting::default(),
            permits: Permits::default(),
            #[cfg(test)]
            replayed: books::tests::Replayed::from(&ledger.books),
            ledger,
            turn,
        };
        shard.replay(found);
        shard.ledger.replayed(&shard.turn);
        #[cfg(test)]
        shard.replay_anew();
        shard
    }

    /// Sets the time. If the wall clock has gone back, what waits for a time that the wrong clock gave waits anew, as far as
    /// memory knows of it: alarms and doubts do, a message that waits for its next try does not.
    fn follow_clock(&mut self, now: Now) {
        let was = self.turn.now.wall;
        let ahead_ms = self.turn.ahead_ms;
        self.turn.follow(now);
        let jumped_ms = self.turn.ahead_ms - ahead_ms;
        if jumped_ms != 0 {
            self.permits.clock_jumped(jumped_ms);
            self.folding.want();
        }
        if now.wall.after_ms(CLOCK_STEP_MS) < was {
            let eras = self.pull.scheduled.eras();
            self.alarms.handle_clock_back(&mut self.turn, was, eras.map(|(_, queue)| queue));
            self.ledger.reconcile(&mut self.turn);
        }
    }

    /// Takes in one event. What follows from it is decided now and goes into the batch being gathered.
    pub fn handle(&mut self, event: ShardEvent, now: Now) {
        self.follow_clock(now);
        match event {
            ShardEvent::Ask(ask) => self.handle_ask(ask),
            ShardEvent::Traffic(ToShard::Grant(grant)) => self.pull.handle_grant(&mut self.turn, grant),
            ShardEvent::Traffic(ToShard::Outcomes(batch)) => self.handle_outcomes(batch),
            ShardEvent::Traffic(ToShard::Receipts(batch)) => self.handle_receipts(&batch),
            ShardEvent::Traffic(ToShard::Bound(bound)) => {
                self.pull.handle_bound(&mut self.turn, bound);
                self.permits.look_again(&self.pull.lanes);
                self.asked.handle_bound(&mut self.turn, bound);
            }
            ShardEvent::Committed(upto) => self.handle_committed(upto),
            ShardEvent::Found(found) => self.handle_found(found),
            ShardEvent::RunWritten(run) => self.receipts.handle_run_written(&mut self.turn, run),
            ShardEvent::Quarantined(segments) => self.turn.counters.quarantined += segments,
            ShardEvent::Given(given) => self.permits.handle_given(&mut self.turn, &mut self.pull.lanes, given),
            ShardEvent::Catalog(catalog) => {
                self.receipts.handle_catalog(&catalog);
                let has_changed = self.turn.sets.set_rules(&catalog);
                self.pull.handle_catalog(&mut self.turn, catalog);
                self.permits.handle_rules(&mut self.turn, &mut self.pull.lanes, has_changed);
                self.permits.look_again(&self.pull.lanes);
                self.settle_ledger_by_parked();
                self.look_again();
            }
            ShardEvent::Readers(readers) => self.turn.readers = readers,
            ShardEvent::Reconfigure(options) => self.handle_options(*options),
            ShardEvent::Disk(room) => self.handle_disk(room),
            ShardEvent::Drain => {
                self.turn.draining = true;
                self.pull.return_grants(&mut self.turn);
            }
            ShardEvent::Checkpoint => self.folding.want(),
        }
        self.settle_moved();
    }

    fn handle_committed(&mut self, upto: CommitSeq) {
        debug_assert!(upto > self.turn.durable, "commits come back once and in order");
        self.turn.durable = upto;
        self.folding.handle_committed(upto);
        if self.turn.in_flight.is_some_and(|seq| seq <= upto) {
            self.turn.in_flight = None;
            self.turn.measures.commit_us.record(self.turn.now.mono.since(self.turn.commit_began) / 1_000);
        }
    }

    fn handle_found(&mut self, found: Found) {
        match found {
            Found::Ready { name, chunks, edge } => {
                self.turn.counters.segments_read += chunks.len() as u64;
                let missing = self.pull.lanes.loaded(name, chunks, edge);
                self.handle_miscounted(missing, &name);
            }
            Found::Due { era, entries, edge } => {
                let missing = self.pull.scheduled.loaded(era, entries, edge);
                self.handle_miscounted(missing, &era);
            }
            Found::Messages { token, messages } => self.handle_found_messages(token, messages),
            Found::Scan { token, messages, next } => self.handle_found_scan(token, messages, next),
            Found::Handsets { token, found, next } => self.handle_found_handsets(token, found, next),
            Found::Folded { snapshot, folded } => self.handle_folded(snapshot, folded),
            Found::Expired { visited } => self.handle_visited(visited),
            Found::Probe { token, notes } => self.handle_probed(token, &notes),
            Found::Failed { request, error } => self.handle_read_failed(*request, &error),
        }
    }

    /// Alarms if the store held more, or fewer, entries than were counted. The list or queue has already corrected its count to
    /// what was read.
    fn handle_miscounted(&mut self, entries: u64, of: &dyn std::fmt::Debug) {
        if entries > 0 {
            self.turn.alarm(&format!("the count of entries of {of:?} was wrong by {entries}"));
        }
    }

    /// Takes note of how much room the disk has. While there is little, checkpoints are wanted: they free room, since they fold
    /// events and drop what is past its retention.
    fn handle_disk(&mut self, room: DiskRoom) {
        self.turn.disk = room;
        if room.is_low() {
            self.folding.want();
        }
    }

    /// The configuration was reloaded. Only the options named here change; the rest fixed the size or layout of something at the
    /// start, and stays as it was.
    fn handle_options(&mut self, options: Options) {
        let Options { queue_messages_max, tenants, inboxes, in_doubt_wait_ms, doubts_max, .. } = options;
        let Options { doubt, retry, class_wait_ms, retention_ms, weights, .. } = options;
        self.turn.places.share_out(queue_messages_max, &tenants);
        self.intake.share_out(&tenants);
        let known = &self.turn.options;
        if class_wait_ms != known.class_wait_ms {
            self.pull.forget_paces();
        }
        self.turn.options = Options {
            queue_messages_max,
            tenants,
            weights,
            inboxes,
            in_doubt_wait_ms,
            doubts_max,
            doubt,
            retry,
            class_wait_ms,
            retention_ms,
            ..*known
        };
        self.ledger.reconcile(&mut self.turn);
    }

    /// Time has passed: messages, doubts and alarms that are due leave the delay queue.
    pub fn handle_timeout(&mut self, now: Now) {
        self.follow_clock(now);
        self.look_again();
        self.permits.expire(&mut self.turn, &mut self.pull.lanes);
        for _ in 0..DUE_PER_TURN_MAX {
            let Some((entry, tick)) = self.pull.take_due(&mut self.turn) else { break };
            match entry.reason {
                // A doubt wait is not passed over here: an entry of an older doubt may be left in the queue while its message
                // waits, cancelled, in another place, and the mark of the cancellation is needed there.
                InsertReason::Scheduled | InsertReason::Retry
                    if self.ledger.passes_over(&mut self.turn, entry.address) => {}
                // Everything in its segment is settled.
                InsertReason::Scheduled | InsertReason::Retry if entry.address.segment() < self.turn.first_segment => {}
                InsertReason::Scheduled | InsertReason::Retry => {
                    let from_backup = self.turn.restored.is_of_backup(&entry, tick.wall());
                    self.ledger.happens(&mut self.turn, entry.address, Happened::Due { from_backup });
                    let (lane, restored) = (entry.lane, from_backup);
                    self.lookups.entered(entry.address, Listing { lane, restored });
                    let place = Place::Due { lane, restored };
                    self.turn.gathering.ready(place, entry.address);
                }
                InsertReason::DoubtWait => self.ledger.doubt_wait_over(&mut self.turn, entry.address),
                InsertReason::Expiry => self.alarms.handle_due(&mut self.turn, &entry),
            }
        }
        self.settle_moved();
        self.alarms.wake_and_visit(&mut self.turn, self.folding.events_from());
    }

    /// The batch of this turn, if there is something to write and none is under way.
    pub(crate) fn poll_commit(&mut self) -> Option<WriteBatch> {
        if self.folding.is_due_when_idle(&self.turn) {
            self.start_fold(self.turn.durable);
        }
        self.admit_waiting();
        if self.turn.in_flight.is_some() {
            return None;
        }
        self.close_turn();
        if self.turn.gathering.is_empty() {
            return None;
        }
        debug_assert_eq!(self.ledger.check_notices(&self.turn), Ok(()), "the invariants of ledger.rs");
        let seq = self.turn.gathering.seq();
        self.turn.commit_began = self.turn.now.mono;
        self.turn.measures.commit_messages.record(self.turn.gathering.messages() as u64);
        let mut batch = self.turn.gathering.finish(self.turn.now.wall, self.ledger.last_reference());
        batch.lists = self.pull.lanes.take_new_lists();
        batch.sets = self.turn.sets.take_new();
        batch.extra.extend(submit::waiting_record(&mut self.turn));
        #[cfg(test)]
        self.replayed.turn(&batch.turn, &self.ledger.books);
        self.intake.committed(&self.turn, &batch);
        self.receipts.committed(seq);
        self.alarms.begin(&batch.turn.segments, seq.0);
        self.turn.in_flight = Some(seq);
        if self.folding.is_due(&mut self.turn, &batch) {
            self.start_fold(seq);
        }
        Some(batch)
    }

    /// The next question for the reader thread.
    pub(crate) fn poll_read(&mut self) -> Option<ReadRequest> {
        self.pull.read_ahead(&mut self.turn);
        let at = self.turn.reads.iter().position(|(needs, _)| *needs <= self.turn.durable)?;
        self.turn.reads.remove(at).map(|(_, request)| request)
    }

    /// The next effect whose cause is durable.
    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        let effect = self.turn.next_effect()?;
        if let Effect::Link(link, ToLink::Submits(batch)) = &effect {
            self.pull.note_leaving(*link, batch);
        }
        Some(effect)
    }

    /// When to call [`Shard::handle_timeout`] next if nothing else happens before; `None` if nothing waits for a time.
    pub fn poll_timeout(&self) -> Option<Mono> {
        if self.intake.has_admissible(&self.turn) || self.receipts.looks_again() {
            return Some(self.turn.now.mono);
        }
        let due = self.pull.scheduled.next_at().map(|at| self.turn.now.mono_at(at));
        let alarm = self.alarms.next_at(self.turn.now, self.turn.draining);
        due.into_iter().chain(alarm).chain(self.permits.next_at()).min()
    }

    /// Whether nothing is under way: no attempt at a link, no batch at the store, no effect still to leave, no frame or outcome
    /// that waits.
    pub fn is_quiet(&self) -> bool {
        self.ledger.books.attempts.open_count() == 0
            && self.turn.in_flight.is_none()
            && self.turn.gathering.is_empty()
            && self.turn.effects.is_empty()
            && self.outcomes_left.is_empty()
            && self.intake.is_quiet()
    }

    /// Whether something is decided that no batch holds yet.
    pub fn has_gathered(&self) -> bool {
        !self.turn.gathering.is_empty()
    }

    /// Checks the invariants of the shard and of its machines.
    ///
    /// # Errors
    /// The first one that does not.
    pub fn check(&self) -> Sound {
        self.turn.check()?;
        self.pull.check()?;
        self.ledger.check(&self.turn, &self.pull.scheduled)?;
        self.receipts.check()?;
        self.asked.check(self.turn.options.bounds.asked_max)?;
        self.turn.sets.check()?;
        self.permits.check(&self.pull.lanes)?;
        self.joining.check()?;
        self.alarms.check(&self.turn, &self.pull.scheduled, self.expiries())?;
        self.check_places()
    }

    /// Checks that each message is in exactly one place, as far as memory can tell.
    fn check_places(&self) -> Sound {
        let Pull { lanes, scheduled, .. } = &self.pull;
        let attempts = &self.ledger.books.attempts;
        let (mut in_windows, mut in_lists, mut in_queue, mut put_off) = (0, 0, 0, 0);
        for (_, fifo) in lanes.iter() {
            (in_windows, in_lists) = (in_windows + u64::from(fifo.in_window()), in_lists + fifo.waiting());
        }
        for (_, queue) in scheduled.eras() {
            (in_queue, put_off) = (in_queue + queue.entries().len() as u64, put_off + queue.waiting());
        }
        if in_windows + in_queue + attempts.open_count() as u64 + attempts.doubts.len() as u64 > WALKED_MAX as u64 {
            return Ok(());
        }
        let waits = |reason| matches!(reason, InsertReason::Scheduled | InsertReason::Retry);
        let queued = scheduled.eras().flat_map(|(_, queue)| queue.entries().map(|(_, entry)| entry));
        let queued = queued.chain(self.turn.gathering.due().map(|(_, entry)| entry));
        let queued = queued.filter(|entry| waits(entry.reason)).map(|entry| (entry.address, "the delay queue"));
        let ready = lanes.iter().flat_map(|(_, fifo)| fifo.addresses()).chain(self.turn.gathering.ready_messages());
        let mut places: Vec<(Address, &str)> = ready.map(|address| (address, "a list")).chain(queued).collect();
        places.extend(attempts.open().map(|address| (address, "an attempt")));
        places.extend(attempts.ledger().map(|(address, _)| (*address, "the ledger")));
        places.sort_unstable();
        let twice = places.windows(2).find(|pair| pair[0].0 == pair[1].0);
        holds!(3, twice.is_none(), "it is in two places: {twice:?}");
        let is_all_known = in_windows == in_lists && in_queue == put_off;
        let is_nowhere = |address: &Address| places.binary_search_by_key(address, |(known, _)| *known).is_err();
        let lost = self.turn.whereabouts.placed().find(is_nowhere).filter(|_| is_all_known);
        holds!(3, lost.is_none(), "{lost:?} is nowhere");
        Ok(())
    }

    /// Segments with unsettled messages, each with the earliest expiry among them, as far as memory knows it.
    fn expiries(&self) -> BTreeMap<u64, Wall> {
        let (whereabouts, now) = (&self.turn.whereabouts, self.turn.now.wall);
        let mut earliest = BTreeMap::new();
        let mut wanted = |address: Address, expires_at: Wall| {
            let known = earliest.entry(address.segment()).or_insert(Wall(u64::MAX));
            *known = expires_at.min(*known);
        };
        let fifos = self.pull.lanes.iter().map(|(_, fifo)| fifo);
        for chunk in fifos.filter(|fifo| fifo.in_window() as usize <= WALKED_MAX).flat_map(Fifo::chunks) {
            for (slot, head) in chunk.runs.iter().filter_map(|slot| Some((slot, chunk.segment.head(slot)?))) {
                let address = chunk.segment.address(slot);
                if whereabouts.is_unsettled(address) && !self.alarms.is_over(address, head, now) {
                    wanted(address, head.expires_at);
                }
            }
        }
        whereabouts.ending().for_each(|address| wanted(address, Wall(u64::MAX)));
        earliest
    }

    /// Whether a checkpoint is wanted or being written.
    pub const fn checkpoint_pending(&self) -> bool {
        self.folding.is_pending()
    }

    /// The faults that this shard injects in the simulator.
    pub const fn buggify(&self) -> &Buggify {
        &self.turn.buggify
    }

    /// A snapshot of the shard's state, for the status page and metrics.
    pub fn status(&self) -> Status {
        let lanes: Vec<_> = self.lanes().collect();
        let mut waiting = [0; Class::COUNT];
        for (lane, depth, _) in &lanes {
            waiting[lane.class.index()] += depth;
        }
        let oldest = lanes.iter().filter_map(|(_, _, oldest)| *oldest).min();
        let mut ledger = BTreeMap::new();
        for (_, doubt) in self.ledger.books.attempts.ledger() {
            *ledger.entry((doubt.carrier, doubt.lane.class, doubt.lost.reason)).or_default() += 1;
        }
        Status {
            waiting,
            lanes,
            scheduled: self.pull.scheduled.messages(),
            tenants: self.turn.places.iter().collect(),
            open: self.ledger.books.attempts.open_count() as u64,
            doubts: ledger.values().sum(),
            ledger,
            keys: self.intake.keys(),
            receipts_waiting: self.receipts.waiting() as u64,
            orphans: self.receipts.orphans() as u64,
            asked: self.asked.len() as u64,
            handsets: self.handsets.kept(),
            handsets_incomplete: self.joining.waiting().0,
            held_by: self.ledger.hold(&self.turn, Class::Marketing),
            parked: Permits::parked_by_rule(&self.turn, &self.pull.lanes),
            oldest,
            counters: self.turn.counters,
            measures: self.turn.measures.clone(),
        }
    }

    /// Lanes that hold ready messages: how many, and when the oldest of those in memory was accepted.
    pub fn lanes(&self) -> impl Iterator<Item = (Lane, u64, Option<Wall>)> {
        self.pull.lanes.depths(|fifo| self.oldest_of(fifo)).into_iter()
    }

    /// When the message at the head of a fifo was accepted; `None` if the head is not in memory, or its message has expired.
    fn oldest_of(&self, fifo: &Fifo) -> Option<Wall> {
        let (segment, slot) = fifo.peek()?;
        let head = segment.head(slot)?;
        let is_over = self.alarms.is_over(segment.address(slot), head, self.turn.now.wall);
        (!is_over).then_some(head.accepted_at)
    }

    /// The ledger: every attempt whose carrier gave no answer, ordered by address.
    pub fn doubts(&self) -> impl Iterator<Item = (&Address, &InDoubt)> {
        self.ledger.books.attempts.ledger()
    }

    /// The state of the restore; `None` if this shard was never restored from a backup.
    pub fn restored(&self) -> Option<RestoredStatus> {
        self.turn.restored.status(|class| self.pull.lanes.restored_waiting(class))
    }

    /// The number of the oldest segment that is kept.
    pub fn first_segment(&self) -> u64 {
        self.turn.first_segment
    }

    /// Restarts the comparison: tests replay each turn from here on and compare the books.
    #[cfg(test)]
    fn replay_anew(&mut self) {
        self.replayed = books::tests::Replayed::from(&self.ledger.books);
    }
}
