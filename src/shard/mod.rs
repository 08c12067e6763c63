//! The single writer for its recipients: asks the rooms below, writes one batch per turn, and lets nothing out before
//! that batch is durable. Pure: no clock, no disk, no chance but what it is given.
//!
//! Calling order of a turn: any number of [`Shard::handle`], then `poll_commit`, `poll_read` and `poll_effect` until each is
//! empty, then sleep until [`Shard::poll_timeout`]. At most one batch is under way. Only a `node` makes these calls.
//!
//! Invariants:
//! 1. An effect that tells of a decision leaves after the batch that holds it is durable ([`ShardEvent::Committed`]).
//! 2. An attempt is in a durable batch before its message leaves for a link.
//! 3. Every message admitted is in exactly one place: a fifo, the delay queue, an open attempt, the ledger, or settled.

mod answered;
mod books;
pub mod bounds;
pub mod catalog;
mod checkpoint;
pub mod control;
pub mod event;
mod expiry;
#[cfg(test)]
mod expiry_tests;
mod gathering;
mod holding;
mod ledger;
#[cfg(test)]
mod ledger_tests;
mod lookups;
pub mod options;
mod orphans;
mod outbox;
mod outcomes;
mod pull;
mod receipt_epoch;
mod receipts;
mod recovery;
mod repeats;
mod restored;
#[cfg(test)]
mod shares_tests;
mod submit;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::admission::{KeyWindow, Places};
use crate::delivery::{Event, EventKind, Happened, InDoubt, Resolution};
use crate::metrics::Distribution;
use crate::model::{
    Address, Buggify, CarrierId, Class, DiskRoom, Frame, Lane, LinkId, Mono, Now, Point, Prng, Refusal, ReplyTo,
    TenantId, Wall,
};
use crate::queue::{Fifo, FifoKind, FifoName, InsertReason, Lanes, Lists, ScheduledQueue};
use crate::store::record::RestoredRecord;
use crate::store::{CommitSeq, Found, ReadRequest, Recovery, WriteBatch};
use crate::traffic::{ToLink, ToShard, Unanswered};

pub use bounds::Bounds;
pub use catalog::{Catalog, CatalogCarrier};
pub use event::{
    Ask, Cancelled, Claimed, DoubtAction, Effect, FoundDoubt, FoundMessage, LineResult, Lookup, Maintenance, Reply,
    Resolved, ShardEvent,
};
pub use options::Options;
pub use restored::RestoredStatus;

use books::{Books, CLOSED, Closed};
use expiry::Alarms;
use gathering::Gathering;
use lookups::Lookups;
use outbox::Outbox;
use outcomes::OutcomesLeft;
use pull::LinkSlot;
use receipts::Receipts;

/// See the head of this file. Lives on one core; nothing of it is shared.
#[derive(Debug)]
pub struct Shard {
    options: Options,
    catalog: Arc<Catalog>,
    links: Vec<LinkSlot>,
    now: Now,
    chance: Prng,
    buggify: Buggify,

    lanes: Lanes,
    scheduled: ScheduledQueue,
    books: Books,
    alarms: Alarms,
    outcomes_left: OutcomesLeft,
    /// That it was restored from a backup, if it was.
    restored: Option<RestoredRecord>,
    keys: KeyWindow,
    places: Places,
    /// Commits that recorded fingerprints, oldest first.
    key_commits: VecDeque<(u64, Wall)>,
    receipts: Receipts,
    lookups: Lookups,
    outbox: Outbox,

    /// Frames that did not fit into the batch being gathered.
    waiting_frames: VecDeque<Frame>,
    gathering: Gathering,
    next_segment: u64,
    first_segment: u64,
    next_reference: u16,
    durable: CommitSeq,
    in_flight: Option<CommitSeq>,
    effects: VecDeque<(CommitSeq, Effect)>,
    prompt: VecDeque<Effect>,
    reads: VecDeque<(CommitSeq, ReadRequest)>,
    folding: checkpoint::Folding,
    draining: bool,
    /// How much room the disk has.
    disk: DiskRoom,
    counters: Counters,
    measures: Measures,
    /// When the batch under way was handed out.
    commit_began: Mono,
    #[cfg(test)]
    replayed: books::tests::Replayed,
}

/// What a shard counts; read by the metrics of its core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages taken, by [`Class::index`].
    pub accepted: [u64; Class::COUNT],
    /// Lines that repeated a key.
    pub duplicates: u64,
    /// Lines refused, in the order of [`Counters::REFUSALS`].
    pub refused: [u64; Counters::REFUSALS.len()],
    /// Attempts recorded.
    pub attempts: u64,
    /// Messages that a carrier took whole.
    pub submitted: u64,
    /// Messages that reached a final state, in the order of [`EventKind::FINALS`].
    pub finals: [u64; EventKind::FINALS.len()],
    /// Attempts that went in doubt.
    pub in_doubt: u64,
    /// Messages that left the ledger, by [`Resolution::index`].
    pub resolved: [u64; Resolution::ALL.len()],
    /// Attempts refused and tried again.
    pub retried: u64,
    /// Receipts matched.
    pub receipts: u64,
    /// Receipts after a final state.
    pub receipts_late: u64,
    /// Receipts parked because nobody knew them.
    pub receipts_parked: u64,
    /// Parked receipts given up for want of room: from numbers to which nothing was under way, and others.
    pub receipts_dropped: [u64; 2],
    /// Receipts that said of a message what had been said often enough, and were not written down.
    pub receipts_repeated: u64,
    /// Messages from handsets that were not taken for want of room.
    pub handsets_refused: u64,
    /// Messages of several parts whose receipts are late from now on, for want of room.
    pub parts_forgotten: u64,
    /// Parts taken by a carrier that there was no room to remember.
    pub parts_unnoted: u64,
    /// Attempts consumed that there was no room to remember.
    pub attempts_uncounted: u64,
    /// Cancellations that were not taken for want of room.
    pub cancellations_refused: u64,
    /// Checkpoints that were not written because they would not fit.
    pub checkpoints_too_large: u64,
    /// Damaged segments that were met.
    pub quarantined: u64,
}

/// What a shard measures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measures {
    /// From acceptance, or `send_at`, until the message was written to its carrier, µs; one for each submitted.
    pub accept_to_submit_us: Distribution,
    /// From handing out a batch until it is durable, µs.
    pub commit_us: Distribution,
    /// Messages admitted by each batch.
    pub commit_messages: Distribution,
}

impl Counters {
    /// The refusals that [`Counters::refused`] counts.
    pub const REFUSALS: [Refusal; 10] = [
        Refusal::QueueFull,
        Refusal::KeyWindowFull,
        Refusal::KeyReused,
        Refusal::AlreadyExpired,
        Refusal::Draining,
        Refusal::NoRoute,
        Refusal::OverQuota,
        Refusal::DiskFull,
        Refusal::QueueShareFull,
        Refusal::KeyShareFull,
    ];
}

/// How a shard stands, for people and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Messages ready, by class.
    pub waiting: [u64; Class::COUNT],
    /// Entries put off.
    pub scheduled: u64,
    /// Messages of each tenant that wait, ready or put off; of those that have any.
    pub tenants: Vec<(TenantId, u64)>,
    /// Attempts without an outcome.
    pub open: u64,
    /// Ledger entries.
    pub doubts: u64,
    /// The same by carrier, class and reason.
    pub ledger: BTreeMap<(CarrierId, Class, Unanswered), u64>,
    /// Fingerprints in the window.
    pub keys: u64,
    /// Parts in the open epoch whose final receipt is missing.
    pub receipts_waiting: u64,
    /// Receipts parked.
    pub orphans: u64,
    /// Messages from handsets kept, and their octets.
    pub handsets: (u64, u64),
    /// Why nothing is sent from here, if nothing is.
    pub held_by: Option<Hold>,
    /// When the oldest ready message at a head was accepted.
    pub oldest: Option<Wall>,
    /// What was counted since the start.
    pub counters: Counters,
    /// What was measured since the start.
    pub measures: Measures,
}

/// Why a shard begins no attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hold {
    /// As many attempts are without an answer, or in doubt, as may be.
    LedgerFull,
    /// The disk has no room.
    DiskOut,
}

impl Hold {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::LedgerFull, Self::DiskOut];

    /// The name in metrics and alarms.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LedgerFull => "ledger_full",
            Self::DiskOut => "disk_full",
        }
    }
}

impl Shard {
    /// A shard as its store left it; for a new store, [`Recovery::default`].
    pub fn recover(options: Options, seed: u64, found: Recovery, now: Now) -> Self {
        let mut chance = Prng::new(seed);
        let buggify = Buggify::new(options.buggify_ppm, chance.next_u64());
        let mut shard = Self {
            catalog: Arc::default(),
            links: Vec::new(),
            now,
            chance,
            buggify,
            lanes: Lanes::default(),
            scheduled: ScheduledQueue::default(),
            #[cfg(test)]
            replayed: books::tests::Replayed::from(&Books::new(&options)),
            books: Books::new(&options),
            alarms: Alarms::default(),
            outcomes_left: OutcomesLeft::default(),
            restored: None,
            keys: KeyWindow::new(options.keys_max, options.key_window_ms),
            places: Places::new(options.queue_messages_max, &options.tenants),
            key_commits: VecDeque::new(),
            receipts: Receipts::new(&options),
            lookups: Lookups::default(),
            outbox: Outbox::default(),
            waiting_frames: VecDeque::new(),
            gathering: Gathering::new(found.last.next()),
            next_segment: found.checkpoint.next_segment.max(1),
            first_segment: found.checkpoint.first_segment.max(1),
            next_reference: found.checkpoint.next_reference,
            durable: found.last,
            in_flight: None,
            effects: VecDeque::new(),
            prompt: VecDeque::new(),
            reads: VecDeque::new(),
            folding: checkpoint::Folding::new(found.checkpoint.commit),
            draining: false,
            disk: DiskRoom::Ample,
            counters: Counters::default(),
            measures: Measures::default(),
            commit_began: now.mono,
            options,
        };
        shard.keys.share_out(&shard.options.tenants);
        shard.replay(found);
        #[cfg(test)]
        shard.replay_anew();
        shard
    }

    /// Something happened.
    pub fn handle(&mut self, event: ShardEvent, now: Now) {
        self.now = now;
        match event {
            ShardEvent::Ask(ask) => self.ask(ask),
            ShardEvent::Traffic(ToShard::Grant(grant)) => self.granted(grant),
            ShardEvent::Traffic(ToShard::Outcomes(batch)) => self.outcomes(batch),
            ShardEvent::Traffic(ToShard::Receipts(batch)) => self.receipts(&batch),
            ShardEvent::Committed(upto) => self.handle_committed(upto),
            ShardEvent::Found(found) => self.handle_found(found),
            ShardEvent::RunWritten(run) => self.handle_run_written(run),
            ShardEvent::Quarantined(segments) => self.counters.quarantined += segments,
            ShardEvent::Catalog(catalog) => {
                self.adopt(catalog);
                self.settle_ledger_by_parked();
            }
            ShardEvent::Reconfigure(options) => self.reconfigure(*options),
            ShardEvent::Disk(room) => self.disk_has(room),
            ShardEvent::Drain => {
                self.draining = true;
                self.return_grants();
            }
            ShardEvent::Checkpoint => self.folding.want(),
        }
    }

    fn handle_committed(&mut self, upto: CommitSeq) {
        debug_assert!(upto > self.durable, "commits come back once and in order");
        self.durable = upto;
        self.folding.handle_committed(upto);
        if self.in_flight.is_some_and(|seq| seq <= upto) {
            self.in_flight = None;
            self.measures.commit_us.record(self.now.mono.since(self.commit_began) / 1_000);
        }
    }

    fn handle_found(&mut self, found: Found) {
        match found {
            Found::Ready { name, chunks, edge } => self.lanes.fifo(name).loaded(chunks, edge),
            Found::Due { entries, edge } => self.scheduled.loaded(entries, edge),
            Found::Messages { token, messages } => self.found_messages(token, messages),
            Found::Scan { token, messages, next } => self.found_scan(token, messages, next),
            Found::Folded { snapshot, folded } => self.folded(snapshot, folded),
            Found::Expired { visited } => self.visited(visited),
            Found::Probe { token, notes } => self.probed(token, &notes),
            Found::Failed { request, error } => self.read_failed(*request, &error),
        }
    }

    /// Time has passed: what is due becomes ready.
    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        for _ in 0..Self::DUE_PER_TURN_MAX {
            let is_due = self.scheduled.next_at().is_some_and(|at| at <= now.wall);
            if is_due && self.buggify.at(Point::DueLater) {
                break;
            }
            let Some(entry) = self.scheduled.take(now.wall) else { break };
            self.gathering.due_taken(self.scheduled.head());
            match entry.reason {
                // Not so for what was in doubt: an entry of an earlier life may be left of it when the message itself waits
                // elsewhere, and was cancelled there.
                InsertReason::Scheduled | InsertReason::Retry if self.passes_over(entry.address) => {}
                // All of its segment is settled.
                InsertReason::Scheduled | InsertReason::Retry if entry.address.segment() < self.first_segment => {}
                InsertReason::Scheduled | InsertReason::Retry => {
                    let due = self.scheduled.head().tick.wall();
                    let held = self.restored_due(&entry, due);
                    self.happens(entry.address, Happened::Due { from_backup: held.is_some() });
                    self.lookups.became_ready(entry.address, held.is_some());
                    let kind = held.unwrap_or(FifoKind::Due);
                    self.gathering.due(FifoName { lane: entry.lane, kind }, entry.address);
                }
                InsertReason::DoubtWait => self.doubt_wait_over(entry.address),
                InsertReason::Expiry => self.alarm_due(&entry),
            }
        }
        self.wake_alarms();
    }

    /// Whether a message whose turn has come was cancelled: it is passed over, and its place is free. One that a receipt has
    /// closed goes on into its list, where its head says whose place it is.
    fn passes_over(&mut self, address: Address) -> bool {
        let Some(tenant) = self.books.cancelled.get(&address).copied().filter(|tenant| *tenant != CLOSED) else {
            return false;
        };
        self.books.cancelled.remove(&address);
        self.places.leave(tenant);
        true
    }

    /// Entries of the delay queue that one turn moves at most.
    const DUE_PER_TURN_MAX: usize = 8_192;

    /// The batch of this turn, if there is something to write and none is under way.
    pub(crate) fn poll_commit(&mut self) -> Option<WriteBatch> {
        self.checkpoint_if_idle();
        self.admit_waiting();
        if self.in_flight.is_some() {
            return None;
        }
        self.close_turn();
        if self.gathering.is_empty() {
            return None;
        }
        let seq = self.gathering.seq();
        self.commit_began = self.now.mono;
        self.measures.commit_messages.record(self.gathering.messages() as u64);
        let mut batch = self.gathering.finish(self.now.wall, self.next_reference);
        batch.extra.extend(self.waiting_record());
        #[cfg(test)]
        self.replayed.turn(&batch.turn, &self.books);
        if !batch.keys.is_empty() {
            self.key_commits.push_back((seq.0, self.now.wall));
        }
        self.receipts.committed(seq);
        self.alarms.begin(&batch.turn.segments, seq.0);
        self.in_flight = Some(seq);
        self.fold_if_due(seq, &batch);
        Some(batch)
    }

    /// The next question for the reader thread.
    pub(crate) fn poll_read(&mut self) -> Option<ReadRequest> {
        if let Some((name, from)) = self.lanes.wants_read(self.durable.0) {
            let octets = if self.buggify.at(Point::WindowsFull) { 1 } else { self.lanes.share() };
            let messages = Fifo::WINDOW_MESSAGES_MAX;
            let request = ReadRequest::Ready { name, from, messages, octets, first_segment: self.first_segment };
            self.reads.push_back((CommitSeq(0), request));
        }
        if let Some(from) = self.scheduled.wants_read(self.durable.0) {
            self.reads.push_back((CommitSeq(0), ReadRequest::Due { from, limit: ScheduledQueue::LOADED_MAX / 2 }));
        }
        let at = self.reads.iter().position(|(needs, _)| *needs <= self.durable)?;
        self.reads.remove(at).map(|(_, request)| request)
    }

    /// The next effect whose cause is durable.
    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        let effect = match self.prompt.pop_front() {
            Some(effect) => effect,
            None => {
                let (needs, _) = self.effects.front()?;
                let needs_nothing = self.in_flight.is_none() && self.gathering.is_empty();
                if *needs > self.durable && !needs_nothing {
                    return None;
                }
                self.effects.pop_front()?.1
            }
        };
        if let Effect::Link(link, ToLink::Submits(batch)) = &effect {
            self.note_leaving(*link, batch);
        }
        Some(effect)
    }

    /// Until when to sleep if nothing comes; `None`: until something does.
    pub fn poll_timeout(&self) -> Option<Mono> {
        if self.has_admissible() {
            return Some(self.now.mono);
        }
        let due = self.scheduled.next_at().map(|at| self.now.mono_at(at));
        due.into_iter().chain(self.alarms.next_at(self.now, self.draining)).min()
    }

    /// Nothing is under way: neither at a link nor at the store, and everything was told.
    pub fn is_quiet(&self) -> bool {
        self.books.attempts.open_count() == 0
            && self.in_flight.is_none()
            && self.gathering.is_empty()
            && self.effects.is_empty()
            && self.outcomes_left.is_empty()
            && self.waiting_frames.is_empty()
    }

    /// Something is decided that no batch holds yet.
    pub fn has_gathered(&self) -> bool {
        !self.gathering.is_empty()
    }

    /// What was made to happen that seldom does.
    pub const fn buggify(&self) -> &Buggify {
        &self.buggify
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        let mut waiting = [0; Class::COUNT];
        for (lane, depth, _) in self.lanes() {
            waiting[lane.class.index()] += depth;
        }
        let oldest = self.lanes().filter_map(|(_, _, oldest)| oldest).min();
        let mut ledger = BTreeMap::new();
        for (_, doubt) in self.books.attempts.ledger() {
            *ledger.entry((doubt.carrier, doubt.lane.class, doubt.lost.reason)).or_default() += 1;
        }
        Status {
            waiting,
            scheduled: self.scheduled.messages(),
            tenants: self.places.iter().collect(),
            open: self.books.attempts.open_count() as u64,
            doubts: ledger.values().sum(),
            ledger,
            keys: self.keys.len() as u64,
            receipts_waiting: self.receipts.waiting() as u64,
            orphans: self.receipts.orphans() as u64,
            handsets: self.outbox.handsets(),
            held_by: self.hold(Class::Marketing),
            oldest,
            counters: self.counters,
            measures: self.measures.clone(),
        }
    }

    /// Lanes that hold ready messages: how many, and when the oldest that is in memory was accepted.
    pub fn lanes(&self) -> impl Iterator<Item = (Lane, u64, Option<Wall>)> {
        // What was passed over and is to be ended still counts, also where no entry is left.
        let mut lists: BTreeMap<Lists, (u64, Option<Wall>)> =
            self.lanes.passed_early().map(|lists| (lists, (0, None))).collect();
        let ready = self.lanes.iter().filter(|(name, _)| !self.lanes.is_withheld(name));
        for (name, fifo) in ready.filter(|(_, fifo)| fifo.waiting() > 0) {
            let (entries, known) = lists.entry(Lists::of(*name)).or_default();
            *entries += fifo.waiting();
            *known = known.iter().copied().chain(self.oldest_of(fifo)).min();
        }
        let mut lanes: BTreeMap<Lane, (u64, Option<Wall>)> = BTreeMap::new();
        for (lists, (entries, oldest)) in lists {
            let depth = self.lanes.depth(lists, entries);
            if depth > 0 {
                let (of_lane, known) = lanes.entry(lists.lane).or_default();
                *of_lane += depth;
                *known = known.iter().copied().chain(oldest).min();
            }
        }
        lanes.into_iter().map(|(lane, (depth, oldest))| (lane, depth, oldest))
    }

    /// When the message at the head of a fifo was accepted, if it is known and still waits.
    fn oldest_of(&self, fifo: &Fifo) -> Option<Wall> {
        let (segment, slot) = fifo.peek()?;
        let head = segment.head(slot)?;
        let is_over = self.alarms.is_over(segment.address(slot), head, self.now.wall);
        (!is_over).then_some(head.accepted_at)
    }

    /// The ledger: every attempt that nobody answered, in the order of addresses.
    pub fn doubts(&self) -> impl Iterator<Item = (&Address, &InDoubt)> {
        self.books.attempts.ledger()
    }

    /// Other options from now on; what was laid out for the old ones at the start stays as it is.
    fn reconfigure(&mut self, options: Options) {
        let Options { queue_messages_max, tenants, in_doubt_wait_ms, doubt, retry, retention_ms, .. } = options;
        self.places.share_out(queue_messages_max, &tenants);
        self.keys.share_out(&tenants);
        self.options =
            Options { queue_messages_max, tenants, in_doubt_wait_ms, doubt, retry, retention_ms, ..self.options };
        self.reconcile_ledger();
    }

    /// Something happens to a message: the books know it from now on, and this turn's batch holds it. What that took out of the
    /// books.
    fn happens(&mut self, address: Address, what: Happened) -> Closed {
        let event = Event { address, at: self.now.wall, what };
        self.gathering.event(&event);
        self.books.apply(&event, &mut self.counters)
    }

    /// Tests replay each turn from here on, and compare.
    #[cfg(test)]
    fn replay_anew(&mut self) {
        self.replayed = books::tests::Replayed::from(&self.books);
    }

    fn effect(&mut self, effect: Effect) {
        self.effects.push_back((self.gathering.seq(), effect));
    }

    fn reply(&mut self, to: ReplyTo, reply: Reply) {
        self.effect(Effect::Reply(to, reply));
    }

    fn tell_link(&mut self, link: LinkId, traffic: ToLink) {
        self.effect(Effect::Link(link, traffic));
    }
}
