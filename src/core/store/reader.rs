//! Questions of a shard to its reader thread, and their answers: a pure function of the store's content, the same for
//! the daemon and the simulator.
//!
//! A damaged segment affects only its own messages: it is reported once ([`Answerer::take_quarantined`]); in a list of
//! ready messages and in a page of records it counts as a segment without messages; a request for one of its messages
//! fails.

#[path = "walk.rs"]
mod walk;

use std::collections::{BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use crate::delivery::{Event, Happened, Retention};
use crate::model::{
    Address, Agreement, CarrierId, Class, Head, Lane, Msisdn, Numbers, RouteId, Segment, SetNumber, TenantId, Wall,
    Whose,
};
use crate::queue::{Chunk, DueEntry, DuePosition, Era, FifoName, InsertReason, Position, SlotRuns, Tick};

use super::backend::{Reader, Space, StoreError};
use super::book::Snapshot;
use super::expiry::{self, Stands, Visit, Visited};
use super::fold::{self, Folded, ReaderAt, UnreadCount};
use super::key::Key;
use super::receipt_run;
use super::record::{
    DecodeError, DueCode, DueRecord, HandsetRecord, ReadyRecord, ReceiptNote, StateRecord, TurnRecord, decode,
};
use super::segment;

pub use walk::{Step, Walk};

/// A question to the store. `token` is returned with the answer.
#[derive(Clone, Debug)]
pub enum ReadRequest {
    /// The next ready messages of a fifo: at least `messages` of them or `bytes` bytes, if there are that many.
    /// Segments before `first_segment` are settled and may be dropped.
    Ready { name: FifoName, from: Position, messages: u32, bytes: usize, first_segment: u64 },
    /// The next entries of the delay queue.
    Due { era: Era, from: DuePosition, limit: usize },
    /// Messages by address, with their folded events and those since `events_from`.
    Messages { token: u64, addresses: Vec<Address>, events_from: u64 },
    /// Messages of a tenant, or of all, in the order of addresses: at most `limit`, and no more than the work limit of
    /// a question allows.
    Scan { token: u64, whose: Whose, from: Address, limit: usize, events_from: u64 },
    /// Messages to a recipient, the newest first, from before `below` (`None`: from the newest) back to `since` and to
    /// segment `first_segment`: at most `limit`, and no more than the work limit of a question allows.
    Search {
        token: u64,
        whose: Whose,
        to: Msisdn,
        since: Wall,
        below: Option<Address>,
        first_segment: u64,
        limit: usize,
        events_from: u64,
    },
    /// Messages from handsets, in order, beginning at a commit and an index in it: at most `limit`, and no more than
    /// the work limit of a question allows.
    Handsets { token: u64, whose: Whose, from: Address, limit: usize },
    /// Fold the events of `from..=snapshot.commit`, find what may be dropped, and what of that `readers` have not read.
    Fold { from: u64, snapshot: Box<Snapshot>, retention: Retention, now: Wall, readers: Vec<ReaderAt> },
    /// Which messages of these segments have expired.
    Expire(Visit),
    /// Look up receipts' keys in the sealed runs.
    Probe { token: u64, receipts: Vec<ReceiptKeys> },
}

/// Where a part of a receipt may be found in the runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptKeys {
    /// Keys, the likeliest first.
    pub keys: Vec<u64>,
    /// The numbers in the receipt.
    pub numbers: Numbers,
    /// Whether numbers that contradict a part are ignored.
    pub is_number_ignored: bool,
}

impl ReceiptKeys {
    /// What the receipt's numbers say about a part.
    pub fn agreement(&self, note: &ReceiptNote) -> Agreement {
        note.agreement(self.numbers, self.is_number_ignored)
    }
}

/// A message as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredMessage {
    /// Its address.
    pub address: Address,
    /// Its fixed part.
    pub head: Head,
    /// Its encoded content.
    pub content: Vec<u8>,
    /// What happened to it, in order.
    pub events: Vec<Event>,
}

/// The answer to a [`ReadRequest`].
#[derive(Debug)]
pub enum Found {
    /// Chunks from the requested position on; everything up to `edge` is among them.
    Ready { name: FifoName, chunks: Vec<Chunk>, edge: Position },
    /// Entries from the requested position on; where reading stopped, or `None` at the end.
    Due { era: Era, entries: Vec<(DuePosition, DueEntry)>, edge: Option<DuePosition> },
    /// One for each address; `None` if the segment is gone or has no such slot.
    Messages { token: u64, messages: Vec<Option<StoredMessage>> },
    /// Messages in the requested order, and where the next page begins; a page may have none of the tenant's messages.
    Scan { token: u64, messages: Vec<StoredMessage>, next: Option<Address> },
    /// Messages from handsets with their places, and where the next page begins; a page may have none of the tenant's
    /// messages.
    Handsets { token: u64, found: Vec<(Address, HandsetRecord)>, next: Option<Address> },
    /// Folded states, with the checkpoint that makes them valid.
    Folded { snapshot: Box<Snapshot>, folded: Folded },
    /// What has expired, by segment; segments that cannot be read are left out.
    Expired { visited: Vec<Visited> },
    /// For each receipt the parts that it may be about, each with the index of the key that led there: one part that
    /// the numbers agree with, or else at most two parts about which the numbers say nothing.
    Probe { token: u64, notes: Vec<Vec<(usize, ReceiptNote)>> },
    /// The question could not be answered.
    Failed { request: Box<ReadRequest>, error: StoreError },
}

/// A segment that cannot be read, found for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Its number.
    pub segment: u64,
    /// What is wrong with it.
    pub why: String,
    /// Its bytes, if the store gave any.
    pub bytes: Option<Bytes>,
}

/// Answers questions; keeps the segments that it decoded last.
#[derive(Debug)]
pub struct Answerer<R> {
    reader: R,
    recent: VecDeque<Arc<Segment>>,
    /// Damaged segments found so far.
    damaged: BTreeSet<u64>,
    quarantined: Vec<Quarantined>,
}

fn damaged(what: &str, error: DecodeError) -> StoreError {
    StoreError::Damaged(format!("{what}: {error}"))
}

impl<R: Reader> Answerer<R> {
    /// Segments kept decoded: retries of one campaign are in few segments.
    const RECENT_MAX: usize = 24;

    /// An answerer that reads from that store.
    pub const fn new(reader: R) -> Self {
        Self { reader, recent: VecDeque::new(), damaged: BTreeSet::new(), quarantined: Vec::new() }
    }

    /// Damaged segments found since the last call. Each is reported once.
    pub fn take_quarantined(&mut self) -> Vec<Quarantined> {
        std::mem::take(&mut self.quarantined)
    }

    /// Answers a question that takes a single step.
    fn answer_at_once(&mut self, request: ReadRequest) -> Found {
        let result = match &request {
            ReadRequest::Ready { name, from, messages, bytes, first_segment } => {
                self.ready(*name, *from, (*messages, *bytes), *first_segment)
            }
            ReadRequest::Due { era, from, limit } => self.due(*era, *from, *limit),
            ReadRequest::Fold { from, snapshot, retention, now, readers } => {
                self.fold(*from, snapshot, (*retention, *now), readers)
            }
            ReadRequest::Expire(visit) => self.expire(visit),
            ReadRequest::Probe { token, receipts } => self.probe(*token, receipts),
            ReadRequest::Handsets { token, whose, from, limit } => self.handsets(*token, *whose, *from, *limit),
            ReadRequest::Messages { .. } | ReadRequest::Scan { .. } | ReadRequest::Search { .. } => {
                unreachable!("answered by steps")
            }
        };
        result.unwrap_or_else(|error| Found::Failed { request: Box::new(request), error })
    }

    fn segment(&mut self, number: u64) -> Result<Option<Arc<Segment>>, StoreError> {
        if let Some(segment) = self.recent(number) {
            return Ok(Some(segment));
        }
        let bytes = self.packed(number)?;
        bytes.map(|bytes| self.unpacked(number, bytes)).transpose()
    }

    fn recent(&self, number: u64) -> Option<Arc<Segment>> {
        self.recent.iter().find(|segment| segment.number == number).cloned()
    }

    fn packed(&mut self, number: u64) -> Result<Option<Bytes>, StoreError> {
        let key = Key::Segment(number);
        let found = self.reader.get(key.space(), &key.bytes());
        found.map_err(|error| self.quarantine(number, error, None))
    }

    fn unpacked(&mut self, number: u64, bytes: Bytes) -> Result<Arc<Segment>, StoreError> {
        let segment = match segment::decode(&bytes) {
            Ok(segment) if segment.number == number => Arc::new(segment),
            Ok(segment) => {
                let error = StoreError::Damaged(format!("seg {number} carries number {}", segment.number));
                return Err(self.quarantine(number, error, Some(bytes)));
            }
            Err(error) => {
                let error = damaged(&format!("seg {number}"), error);
                return Err(self.quarantine(number, error, Some(bytes)));
            }
        };
        if self.recent.len() >= Self::RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(segment.clone());
        Ok(segment)
    }

    fn quarantine(&mut self, segment: u64, error: StoreError, bytes: Option<Bytes>) -> StoreError {
        if matches!(error, StoreError::Damaged(_)) && self.damaged.insert(segment) {
            self.quarantined.push(Quarantined { segment, why: error.to_string(), bytes });
        }
        error
    }

    /// A segment that must exist; a damaged one is replaced by one without messages.
    fn segment_or_gap(&mut self, number: u64) -> Result<Arc<Segment>, StoreError> {
        match self.segment(number) {
            Ok(Some(segment)) => return Ok(segment),
            Ok(None) => {
                let missing = StoreError::Damaged(format!("seg {number} has ready messages but is missing"));
                self.quarantine(number, missing, None);
            }
            Err(StoreError::Damaged(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(gap(number))
    }

    fn ready(
        &mut self,
        name: FifoName,
        from: Position,
        (messages, bytes): (u32, usize),
        first_segment: u64,
    ) -> Result<Found, StoreError> {
        let mut records = Vec::new();
        let (mut gathered, mut failure) = (0, None);
        let bounds = (Key::Ready(name, from.commit).bytes(), Key::Ready(name, u64::MAX).bytes());
        self.reader.range(Space::Ready, &bounds.0, &bounds.1, usize::MAX, &mut |key, value| {
            match (Key::ready(key), decode::<ReadyRecord>(value)) {
                (Some((_, commit)), Ok(record)) => {
                    gathered += record.0.iter().flat_map(|(_, runs)| runs).map(|&(_, n)| u32::from(n)).sum::<u32>();
                    records.push((commit, record));
                }
                (_, Err(error)) => failure = Some(damaged("ready", error)),
                (None, Ok(_)) => failure = Some(StoreError::Damaged("ready: key".into())),
            }
            let skipped = records.first().filter(|(commit, _)| *commit == from.commit).map_or(0, |_| from.index);
            if gathered >= messages.saturating_add(skipped) || failure.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        let edge = Position::after(records.last().map_or(from.commit, |(commit, _)| *commit));
        let mut chunks: Vec<Chunk> = Vec::new();
        let (mut found, mut held) = (0, 0);
        for (commit, record) in records {
            let mut index = if commit == from.commit { from.index } else { 0 };
            let mut skip = index;
            for (number, runs) in record.0 {
                let runs = skip_slots(SlotRuns(runs), &mut skip);
                if runs.is_empty() {
                    continue;
                }
                if found >= messages || held >= bytes && found > 0 {
                    return Ok(Found::Ready { name, chunks, edge: Position { commit, index } });
                }
                // A settled message is passed over by its shard, whether its segment still exists or not.
                let segment = if number < first_segment { gap(number) } else { self.segment_or_gap(number)? };
                let (chunk, is_whole) = Chunk { commit, segment, runs }.slim().fitting(bytes);
                index += chunk.runs.len();
                found += chunk.runs.len();
                held += chunk.segment.memory_bytes();
                chunks.push(chunk);
                if !is_whole {
                    return Ok(Found::Ready { name, chunks, edge: Position { commit, index } });
                }
            }
        }
        Ok(Found::Ready { name, chunks, edge })
    }

    /// A page ends at a place that can be named: if a commit has more messages than a place can number, all the rest
    /// are on this page.
    fn handsets(&self, token: u64, whose: Whose, from: Address, limit: usize) -> Result<Found, StoreError> {
        let (mut found, mut next, mut passed_bytes, mut failure) = (Vec::new(), None, 0, None);
        let first = Key::Handset(from.segment(), from.slot().into()).bytes();
        let last = Key::Handset(u64::MAX, u32::MAX).bytes();
        self.reader.range(Space::Handset, &first, &last, usize::MAX, &mut |key, value| {
            let (Some((commit, index)), Ok(record)) = (Key::place(key), decode::<HandsetRecord>(value)) else {
                failure = Some(StoreError::Damaged("handset".into()));
                return ControlFlow::Break(());
            };
            let slot = u16::try_from(index).ok();
            let at = Address::new(commit, slot.unwrap_or(u16::MAX));
            if (found.len() >= limit || passed_bytes >= Self::SCAN_PASSED_BYTES_MAX) && slot.is_some() {
                next = Some(at);
                return ControlFlow::Break(());
            }
            passed_bytes += value.len();
            let owner = record.tenant.map(TenantId);
            if whose == Whose::All || owner.is_some_and(|owner| whose.includes(owner)) {
                found.push((at, record));
            }
            ControlFlow::Continue(())
        })?;
        failure.map_or(Ok(Found::Handsets { token, found, next }), Err)
    }

    fn due(&self, era: Era, from: DuePosition, limit: usize) -> Result<Found, StoreError> {
        let (mut entries, mut edge, mut failure) = (Vec::new(), None, None);
        let bounds = (Key::Due(era, from.tick.0, from.commit).bytes(), Key::Due(era, u64::MAX, u64::MAX).bytes());
        self.reader.range(Space::Due, &bounds.0, &bounds.1, usize::MAX, &mut |key, value| {
            let (Some((_, tick, commit)), Ok(record)) = (Key::due(key), decode::<DueRecord>(value)) else {
                failure = Some(StoreError::Damaged("due".into()));
                return ControlFlow::Break(());
            };
            for (index, code) in record.0.into_iter().enumerate() {
                let position = DuePosition { tick: Tick(tick), commit, index: index as u32 };
                if position < from {
                    continue;
                }
                if entries.len() >= limit {
                    edge = Some(position);
                    return ControlFlow::Break(());
                }
                match due_entry(code) {
                    Some(entry) => entries.push((position, entry)),
                    None => failure = Some(StoreError::Damaged("due: fields".into())),
                }
            }
            ControlFlow::Continue(())
        })?;
        failure.map_or(Ok(Found::Due { era, entries, edge }), Err)
    }

    /// Adds the folded events, then those of commits after each segment's fold, for all messages in one pass.
    fn add_events(&self, mut messages: Vec<&mut StoredMessage>, events_from: u64) -> Result<(), StoreError> {
        if messages.is_empty() {
            return Ok(());
        }
        messages.sort_unstable_by_key(|message| message.address);
        let mut folded_to = Vec::with_capacity(messages.len());
        for of_segment in messages.chunk_by_mut(|a, b| a.address.segment() == b.address.segment()) {
            let folded = self.folded(of_segment[0].address.segment())?;
            folded_to.resize(folded_to.len() + of_segment.len(), folded.folded_to);
            for message in of_segment {
                message.events.extend(folded_events(&folded, message.address));
            }
        }
        let asked = messages[0].address..=messages[messages.len() - 1].address;
        let mut failure = None;
        let bounds = (Key::Turn(events_from).bytes(), Key::Turn(u64::MAX).bytes());
        self.reader.range(Space::Event, &bounds.0, &bounds.1, usize::MAX, &mut |key, value| {
            let (Some(commit), Ok(turn)) = (Key::number(key), decode::<TurnRecord>(value)) else {
                failure = Some(StoreError::Damaged("ev".into()));
                return ControlFlow::Break(());
            };
            for event in events_of(&turn).filter(|event| asked.contains(&event.address)) {
                let at = messages.partition_point(|message| message.address < event.address);
                // A message that is requested twice is in the list twice.
                let asked_for = messages.iter_mut().zip(&folded_to).skip(at);
                for (message, _) in asked_for
                    .take_while(|(message, _)| message.address == event.address)
                    .filter(|(_, folded_to)| commit > **folded_to)
                {
                    message.events.push(event);
                }
            }
            ControlFlow::Continue(())
        })?;
        failure.map_or(Ok(()), Err)
    }

    fn folded(&self, segment: u64) -> Result<StateRecord, StoreError> {
        let key = Key::State(segment);
        match self.reader.get(key.space(), &key.bytes())? {
            Some(bytes) => decode(&bytes).map_err(|error| damaged("st", error)),
            None => Ok(StateRecord::default()),
        }
    }

    fn fold(
        &mut self,
        from: u64,
        snapshot: &Snapshot,
        (retention, now): (Retention, Wall),
        readers: &[ReaderAt],
    ) -> Result<Found, StoreError> {
        let mut snapshot = Box::new(snapshot.clone());
        let checkpoint = &mut snapshot.checkpoint;
        let mut folded = fold::fold(&self.reader, from, checkpoint.commit)?;
        let first = checkpoint.first_segment;
        checkpoint.first_segment = fold::retire(&self.reader, first, retention, now)?;
        folded.unread = self.unread(first, checkpoint.first_segment, readers)?;
        Ok(Found::Folded { snapshot, folded })
    }

    /// What these readers have not read of segments that are dropped, from `first` up to `keep`. A damaged segment is
    /// not counted: no reader could have read it.
    fn unread(&mut self, first: u64, keep: u64, readers: &[ReaderAt]) -> Result<Vec<(ReaderAt, u64)>, StoreError> {
        let Some(slowest) = readers.iter().map(|reader| reader.at.segment()).min() else { return Ok(Vec::new()) };
        let from = first.max(slowest);
        if from >= keep {
            return Ok(Vec::new());
        }
        // Goes through the segments that exist, because a restore leaves numbers out.
        let (mut dropped, mut count) = (Vec::new(), UnreadCount::of(readers));
        let bounds = (Key::State(from).bytes(), Key::State(keep).bytes());
        self.reader.range(Space::State, &bounds.0, &bounds.1, usize::MAX, &mut |key, _| {
            dropped.extend(Key::number(key));
            ControlFlow::Continue(())
        })?;
        for number in dropped {
            match self.segment(number) {
                Ok(segment) => segment.iter().for_each(|segment| count.dropped(segment)),
                Err(StoreError::Damaged(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count.finish())
    }

    /// A segment in which everything is over is not read; one that is damaged or gone has nothing to expire.
    fn expire(&mut self, visit: &Visit) -> Result<Found, StoreError> {
        let mut visited = Vec::with_capacity(visit.segments.len());
        for (number, stands) in expiry::stands(&self.reader, visit)? {
            if stands.is_over() {
                visited.push(Visited::nothing(number));
                continue;
            }
            match self.visit(number, &stands, visit) {
                Ok(found) => visited.extend(found),
                Err(StoreError::Damaged(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Found::Expired { visited })
    }

    /// A segment is not unpacked if its header says that nothing in it expires before a later time.
    fn visit(&mut self, number: u64, stands: &Stands, visit: &Visit) -> Result<Option<Visited>, StoreError> {
        if let Some(segment) = self.recent(number) {
            return Ok(Some(stands.judge(&segment, visit)));
        }
        let Some(bytes) = self.packed(number)? else { return Ok(None) };
        match segment::urgency(&bytes) {
            Ok((named, urgency, messages)) if named == number && urgency.expires_at > visit.now_of(number) => {
                let next = Some((urgency.expires_at, urgency.class));
                Ok(Some(Visited { messages, next, ..Visited::nothing(number) }))
            }
            // Unpacking it reports any damage.
            Ok(_) | Err(_) => self.unpacked(number, bytes).map(|segment| Some(stands.judge(&segment, visit))),
        }
    }

    fn probe(&self, token: u64, receipts: &[ReceiptKeys]) -> Result<Found, StoreError> {
        let notes: Result<Vec<_>, _> =
            receipts.iter().map(|receipt| receipt_run::find(&self.reader, receipt)).collect();
        notes.map(|notes| Found::Probe { token, notes })
    }
}

/// All events of a turn, in the order in which they happened to any one message. Attempts come last: the outcome of an
/// attempt comes in a later turn, and what led to it came before.
pub fn events_of(turn: &TurnRecord) -> impl Iterator<Item = Event> + '_ {
    let at = Wall(turn.wall);
    let attempts = turn.attempts.iter().map(move |note| {
        let what = Happened::Attempt { carrier: CarrierId(note.carrier), attempt: note.attempt };
        Event { address: Address::from_packed(note.address), at, what }
    });
    let events = turn.events.iter().map(move |note| Event { address: note.address(), at, what: note.what });
    events.chain(attempts)
}

/// The folded events of one message; the events of a state are sorted by slot.
fn folded_events(state: &StateRecord, address: Address) -> impl Iterator<Item = Event> + '_ {
    let slot = address.slot();
    let first = state.events.partition_point(|event| event.slot < slot);
    let mine = state.events[first..].iter().take_while(move |event| event.slot == slot);
    mine.map(move |event| Event { address, at: event.at(), what: event.what })
}

fn stored(segment: &Segment, address: Address) -> Option<StoredMessage> {
    let head = *segment.head(address.slot())?;
    Some(StoredMessage { address, head, content: segment.content(&head).to_vec(), events: Vec::new() })
}

/// Stands for a segment whose messages are not available.
fn gap(number: u64) -> Arc<Segment> {
    Arc::new(Segment { number, ..Segment::default() })
}

fn skip_slots(runs: SlotRuns, skip: &mut u32) -> SlotRuns {
    if *skip == 0 {
        return runs;
    }
    let mut rest = SlotRuns::default();
    for slot in runs.iter() {
        if *skip > 0 {
            *skip -= 1;
        } else {
            rest.push(slot);
        }
    }
    rest
}

/// One entry of a due record, as read back.
pub fn due_entry((address, class, route, tenant, set, reason): DueCode) -> Option<DueEntry> {
    let (address, tenant) = (Address::from_packed(address), TenantId(tenant));
    let lane = Lane { class: Class::from_index(class)?, route: RouteId(route), tenant, set: SetNumber(set) };
    Some(DueEntry { address, lane, reason: InsertReason::from_index(reason)? })
}
