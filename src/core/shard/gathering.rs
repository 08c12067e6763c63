//! The batch of the present turn: everything decided since the last batch was handed to the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::delivery::Event;
use crate::model::limits::{SEGMENT_BYTES_MAX, SEGMENT_MESSAGES_MAX, TURN_BYTES_MAX, TURN_MESSAGES_MAX};
use crate::model::{Address, Class, Head, Lane, Segment, Wall};
use crate::queue::{
    DueEntry, DuePosition, Era, FifoName, Generation, InsertReason, ListNumber, Position, SlotRuns, Tick,
};
use crate::store::record::{DueTakenNote, EventNote, HandsetRecord, SegmentNote, TakenNote};
use crate::store::{CommitSeq, WriteBatch, batch::fifo_code};

/// Slots of one segment whose messages become ready together.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub segment: u64,
    pub runs: SlotRuns,
    /// The segment, if it is in memory; if not, the list reads it later.
    pub at_hand: Option<Arc<Segment>>,
}

/// Which list a message that becomes ready enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It was ready when it was admitted, in that lane.
    Fresh(Lane),
    /// Its time has come, it is to be tried again, or it was rerouted, in that lane.
    Due {
        lane: Lane,
        /// It may have been sent before a restore, so its list is one of those of the backup.
        restored: bool,
    },
    /// A link gave it back unsent: it returns to this fifo.
    Back(FifoName),
}

/// The batch, with the segment that is being filled and what has still to enter a list or the delay queue.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    batch: WriteBatch,
    building: Segment,
    building_arena: Vec<u8>,
    messages: usize,
    bytes: usize,
    /// Messages that will enter a list or the delay queue when the turn is closed.
    entering: u64,
    ready: Vec<(Place, Vec<Piece>)>,
    due: BTreeMap<Tick, Vec<DueEntry>>,
    taken: BTreeMap<FifoName, (Position, u32)>,
    due_taken: BTreeMap<Era, DueTakenNote>,
    ended: BTreeMap<(ListNumber, Generation), i32>,
}

impl Gathering {
    pub(super) fn new(seq: CommitSeq) -> Self {
        Self { batch: WriteBatch { seq, ..WriteBatch::default() }, ..Self::default() }
    }

    pub(super) const fn seq(&self) -> CommitSeq {
        self.batch.seq
    }

    pub(super) fn batch(&mut self) -> &mut WriteBatch {
        &mut self.batch
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batch.is_empty()
            && self.building.heads.is_empty()
            && self.ready.is_empty()
            && self.due.is_empty()
            && self.taken.is_empty()
            && self.due_taken.is_empty()
    }

    /// Whether a segment is begun and not closed.
    pub(super) const fn is_building(&self) -> bool {
        !self.building.heads.is_empty()
    }

    /// Messages that become ready when the turn is closed.
    pub(super) fn ready_messages(&self) -> impl Iterator<Item = Address> {
        let pieces = self.ready.iter().flat_map(|(_, pieces)| pieces);
        pieces.flat_map(|piece| piece.runs.iter().map(|slot| Address::new(piece.segment, slot)))
    }

    /// Entries that are put off when the turn is closed.
    pub(super) fn due(&self) -> impl Iterator<Item = (Tick, &DueEntry)> {
        self.due.iter().flat_map(|(tick, entries)| entries.iter().map(|entry| (*tick, entry)))
    }

    /// The batch as far as it is gathered.
    pub(super) const fn gathered(&self) -> &WriteBatch {
        &self.batch
    }

    /// Messages admitted in this turn.
    pub(super) const fn messages(&self) -> usize {
        self.messages
    }

    /// Bytes of the contents admitted in this turn.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages that become ready or are put off in this turn and are in no list or queue yet.
    pub(super) const fn entering(&self) -> u64 {
        self.entering
    }

    /// Whether another frame of this size fits into this turn, with `beyond` messages more than the usual limit. The first frame
    /// always fits.
    pub(super) const fn has_room(&self, messages: usize, bytes: usize, beyond: usize) -> bool {
        self.messages == 0
            || (self.messages + messages <= TURN_MESSAGES_MAX + beyond && self.bytes + bytes <= TURN_BYTES_MAX)
    }

    /// Puts a message into the segment being built; advances `next_segment` if a new segment is begun.
    pub(super) fn admit(&mut self, mut head: Head, content: &[u8], next_segment: &mut u64) -> Address {
        let full = self.building.heads.len() >= SEGMENT_MESSAGES_MAX
            || (!self.building.heads.is_empty() && self.building_arena.len() + content.len() > SEGMENT_BYTES_MAX);
        if full {
            self.close_segment();
        }
        if self.building.heads.is_empty() {
            self.building.number = *next_segment;
            *next_segment += 1;
        }
        head.content_at = self.building_arena.len() as u32;
        head.content_len = content.len() as u32;
        self.building_arena.extend_from_slice(content);
        let slot = self.building.heads.len() as u16;
        self.building.heads.push(head);
        self.messages += 1;
        self.bytes += content.len();
        Address::new(self.building.number, slot)
    }

    /// The address that the next [`Self::admit`] of a content of this size will give.
    pub(super) fn next_address(&self, content_len: usize, next_segment: u64) -> Address {
        let heads = self.building.heads.len();
        let begins =
            heads == 0 || heads >= SEGMENT_MESSAGES_MAX || self.building_arena.len() + content_len > SEGMENT_BYTES_MAX;
        if begins { Address::new(next_segment, 0) } else { Address::new(self.building.number, heads as u16) }
    }

    pub(super) fn close_segment(&mut self) {
        if self.building.heads.is_empty() {
            return;
        }
        let mut segment = std::mem::take(&mut self.building);
        let capacity = self.building_arena.capacity();
        segment.arena = Arc::new(std::mem::replace(&mut self.building_arena, Vec::with_capacity(capacity)));
        let (mut expires_at, mut class) = (Wall(u64::MAX), Class::Marketing);
        for head in &segment.heads {
            (expires_at, class) = (expires_at.min(head.expires_at), class.min(head.class));
        }
        let (number, messages, class) = (segment.number, segment.heads.len() as u32, class as u8);
        let note = SegmentNote { number, messages, expires_at: expires_at.0, class };
        self.batch.turn.segments.push(note);
        self.batch.segments.push(Arc::new(segment));
    }

    /// A message becomes ready: at its admission, when its time has come, or to be tried again.
    pub(super) fn ready(&mut self, place: Place, address: Address) {
        self.push_ready(place, address, None);
    }

    /// A message becomes ready whose segment is in memory. It need not be read before it is taken, so newer messages cannot go
    /// before it.
    pub(super) fn ready_at_hand(&mut self, place: Place, address: Address, segment: Arc<Segment>) {
        self.push_ready(place, address, Some(segment));
    }

    /// A message becomes ready again because its link gave it back unsent.
    pub(super) fn returned(&mut self, name: FifoName, address: Address, segment: Option<Arc<Segment>>) {
        self.push_ready(Place::Back(name), address, segment);
    }

    fn push_ready(&mut self, place: Place, address: Address, at_hand: Option<Arc<Segment>>) {
        self.entering += 1;
        let at = match self.ready.iter().rposition(|(known, _)| *known == place) {
            Some(at) => at,
            None => {
                self.ready.push((place, Vec::new()));
                self.ready.len() - 1
            }
        };
        let pieces = &mut self.ready[at].1;
        // Each piece may hold its own cut of a segment, with different messages of it: only one and the same cut is shared.
        let is_of = |piece: &Piece| match (&piece.at_hand, &at_hand) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        match pieces.last_mut() {
            Some(piece) if piece.segment == address.segment() && is_of(piece) => piece.runs.push(address.slot()),
            Some(_) | None => {
                pieces.push(Piece { segment: address.segment(), runs: SlotRuns::one(address.slot()), at_hand });
            }
        }
    }

    pub(super) fn put_off(&mut self, tick: Tick, entry: DueEntry) {
        self.entering += u64::from(entry.reason != InsertReason::Expiry);
        self.due.entry(tick).or_default().push(entry);
    }

    pub(super) fn event(&mut self, event: &Event) {
        self.batch.turn.events.push(EventNote { address: event.address.packed(), what: event.what });
    }

    /// A message left a fifo; `head` is the fifo's head now.
    pub(super) fn taken(&mut self, name: FifoName, head: Position) {
        let entry = self.taken.entry(name).or_insert((head, 0));
        *entry = (head, entry.1 + 1);
    }

    /// An entry left the delay queue; `head` is the head of its era now.
    pub(super) fn due_taken(&mut self, era: Era, head: DuePosition, is_alarm: bool) {
        let note = self.due_taken.entry(era).or_default();
        let (entries, alarms) = (note.entries + 1, note.alarms + u32::from(is_alarm));
        let DuePosition { tick: Tick(tick), commit, index } = head;
        *note = DueTakenNote { era: era.0, tick, commit, index, entries, alarms };
    }

    /// Changes the number of entries of ended messages in a list of a generation; negative when they leave.
    pub(super) fn ended(&mut self, list: ListNumber, generation: Generation, entries: i32) {
        *self.ended.entry((list, generation)).or_default() += entries;
    }

    /// Hands over what became ready since the last call. Pieces of this turn's segments get their segment.
    pub(super) fn drain_ready(&mut self) -> Vec<(Place, Vec<Piece>)> {
        let mut ready = std::mem::take(&mut self.ready);
        let messages = self.due.values().flatten().filter(|entry| entry.reason != InsertReason::Expiry);
        self.entering = messages.count() as u64;
        for piece in ready.iter_mut().flat_map(|(_, pieces)| pieces) {
            if piece.at_hand.is_none() {
                piece.at_hand = self.batch.segments.iter().find(|segment| segment.number == piece.segment).cloned();
            }
        }
        ready
    }

    pub(super) fn drain_due(&mut self) -> BTreeMap<Tick, Vec<DueEntry>> {
        self.entering = 0;
        std::mem::take(&mut self.due)
    }

    /// Finishes the batch; what follows belongs to the next one.
    pub(super) fn finish(&mut self, wall: Wall, next_reference: u16) -> WriteBatch {
        let next = Self::new(self.batch.seq.next());
        let done = std::mem::replace(self, next);
        let mut batch = done.batch;
        self.building_arena = done.building_arena;
        batch.turn.wall = wall.0;
        batch.turn.next_reference = next_reference;
        let bytes = batch.handsets.iter().map(HandsetRecord::bytes).sum();
        batch.turn.handsets = (batch.handsets.len() as u32, bytes);
        batch.turn.taken = done
            .taken
            .into_iter()
            .map(|(name, (head, messages))| TakenNote {
                fifo: fifo_code(name),
                commit: head.commit,
                index: head.index,
                messages,
            })
            .collect();
        let ended = done.ended.into_iter().filter(|(_, entries)| *entries != 0);
        batch.turn.ended = ended.map(|((list, generation), entries)| (list.0, generation.0, entries)).collect();
        batch.turn.due_taken = done.due_taken.into_values().collect();
        batch
    }
}
