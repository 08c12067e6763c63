//! Checkpoints: the state of the shard after a commit, written together with the folded events up to it, so that a restart
//! replays only what came later.
//!
//! The snapshot is taken when its commit is handed over; folding takes a while.

use crate::delivery::Retention;
use crate::model::Point;
use crate::queue::{Era, FifoName};
use crate::store::backend::{Op, Space};
use crate::store::batch::fifo_name;
use crate::store::fold::Folded;
use crate::store::key::Key;
use crate::store::record::CheckpointRecord;
use crate::store::{CommitSeq, ReadRequest, Snapshot, WriteBatch};

use super::event::{Effect, Maintenance};
use super::turn::Turn;

/// How far events are folded, and whether a checkpoint is wanted or under way.
#[derive(Debug)]
pub(super) struct Folding {
    folded_to: u64,
    /// The batch that writes `folded_to`, and the value that holds until that batch is durable.
    settling: Option<(CommitSeq, u64)>,
    events: usize,
    under_way: bool,
    wanted: bool,
    /// Fifos of which every record up to the checkpoint under way was taken.
    pub through: Vec<FifoName>,
}

impl Folding {
    pub(super) const fn new(folded_to: u64) -> Self {
        Self { folded_to, settling: None, events: 0, under_way: false, wanted: false, through: Vec::new() }
    }

    /// Every event up to this commit is in a durable state record.
    pub(super) fn durable_to(&self) -> u64 {
        self.settling.map_or(self.folded_to, |(_, before)| before)
    }

    /// Everything up to that batch is durable.
    pub(super) fn handle_committed(&mut self, upto: CommitSeq) {
        self.settling.take_if(|(seq, _)| *seq <= upto);
    }

    /// Has a checkpoint taken after the next commit, or after the last one if there is nothing to write.
    pub(super) const fn want(&mut self) {
        self.wanted = true;
    }

    pub(super) const fn replayed(&mut self, events: usize) {
        self.events += events;
    }
}

/// What replaying a turn without events costs at a restart, counted in events.
const TURN_COST: usize = 4;

impl Folding {
    /// A batch is handed out. Returns whether a checkpoint is taken now.
    pub(super) fn is_due(&mut self, turn: &mut Turn, batch: &WriteBatch) -> bool {
        let record = &batch.turn;
        self.events += record.events.len() + record.attempts.len() + record.segments.len() + TURN_COST;
        let due = self.events >= turn.options.fold_events || self.wanted;
        !self.under_way && (due || turn.buggify.at(Point::FoldDue))
    }

    /// Whether a checkpoint is wanted while there is nothing to write: it is then taken after the last commit.
    pub(super) fn is_due_when_idle(&self, turn: &Turn) -> bool {
        self.wanted && !self.under_way && turn.in_flight.is_none() && turn.gathering.is_empty()
    }

    /// A checkpoint is taken, even if it is not written in the end.
    pub(super) const fn begin(&mut self) {
        self.wanted = false;
        self.events = 0;
    }

    /// Asks the store to fold the events since the last checkpoint; the checkpoint is written with them.
    pub(super) fn fold(&mut self, turn: &mut Turn, seq: CommitSeq, snapshot: Box<Snapshot>) {
        if !fits(turn, &snapshot.checkpoint, &[]) {
            return;
        }
        self.under_way = true;
        let from = self.folded_to + 1;
        let (retention, now) = (Retention { kept_ms: turn.options.retention_ms }, turn.now.wall);
        let readers = turn.readers.clone();
        turn.reads.push_back((seq, ReadRequest::Fold { from, snapshot, retention, now, readers }));
    }

    /// The events are damaged: there is no checkpoint this time, and a restart replays more.
    pub(super) const fn handle_failed(&mut self) {
        self.under_way = false;
    }

    /// The events are folded. Returns whether the checkpoint is written.
    pub(super) fn handle_folded(&mut self, turn: &mut Turn, checkpoint: &CheckpointRecord, folded: &Folded) -> bool {
        self.under_way = false;
        if !fits(turn, checkpoint, &folded.ops) {
            return false;
        }
        let before = self.durable_to();
        self.settling = Some((turn.gathering.seq(), before));
        self.folded_to = checkpoint.commit;
        true
    }

    /// Whether a checkpoint is wanted or being written.
    pub(super) const fn is_pending(&self) -> bool {
        self.wanted || self.under_way
    }

    /// The first commit whose events are in no durable state record.
    pub(super) fn events_from(&self) -> u64 {
        self.durable_to() + 1
    }
}

/// Puts the checkpoint into this turn's batch; keys that it makes unnecessary may be dropped. `through`: fifos of which every
/// record was taken.
pub(super) fn write(turn: &mut Turn, snapshot: Box<Snapshot>, folded: Folded, through: Vec<FifoName>) {
    let checkpoint = &snapshot.checkpoint;
    for (space, from, to) in droppable(checkpoint) {
        turn.effect(Effect::Maintain(Maintenance::DropRange { space, from, to }));
    }
    let heads = checkpoint.fifos.iter().filter_map(|note| Some((fifo_name(note.fifo)?, note.commit)));
    let through = through.into_iter().map(|name| (name, checkpoint.commit + 1));
    for (name, commit) in heads.chain(through) {
        let (from, to) = (Key::Ready(name, 0).bytes(), Key::Ready(name, commit).bytes());
        turn.effect(Effect::Maintain(Maintenance::DropRange { space: Space::Ready, from, to }));
    }
    tell_unread(turn, &folded);
    turn.effect(Effect::Maintain(Maintenance::Checkpoint));
    turn.gathering.batch().checkpoint = Some((snapshot, folded.ops));
}

/// Alarms for readers that will never see some records because this checkpoint drops them.
fn tell_unread(turn: &mut Turn, folded: &Folded) {
    let shard = turn.options.shard.0;
    for (reader, messages) in &folded.unread {
        turn.counters.records_unread += messages;
        let name = &reader.name;
        let what = format!("shard {shard}: {messages} records were dropped at their retention, unread by {name}");
        turn.effect(Effect::Alarm(what));
    }
}

/// Whether the store can hold the checkpoint. The bounds of all sets see to that. If it does not fit nevertheless, the shard goes
/// on without it: a restart replays more events, and the next checkpoint may fit. The operator is told.
fn fits(turn: &mut Turn, checkpoint: &CheckpointRecord, ops: &[Op]) -> bool {
    let most = turn.options.bounds.checkpoint_bytes_max;
    let states = ops.iter().map(|op| match op {
        Op::Put { value, .. } => value.len(),
        Op::Delete { .. } => 0,
    });
    let bytes = states.chain([checkpoint.bytes()]).max().unwrap_or_default();
    if bytes <= most {
        return true;
    }
    turn.counters.checkpoints_too_large += 1;
    let shard = turn.options.shard.0;
    let what =
        format!("shard {shard}: a checkpoint is left out: one of its records has {bytes} bytes, and may have {most}");
    turn.prompt.push_back(Effect::Alarm(what));
    false
}

/// For each space, the range of keys that may be freed once the checkpoint is durable.
fn droppable(checkpoint: &CheckpointRecord) -> Vec<(Space, Vec<u8>, Vec<u8>)> {
    let cursors = [
        (Space::Book, Key::Page(checkpoint.commit, 0).bytes()),
        (Space::Event, Key::Turn(checkpoint.commit + 1).bytes()),
        (Space::Segment, Key::Segment(checkpoint.first_segment).bytes()),
        (Space::State, Key::State(checkpoint.first_segment).bytes()),
        (Space::Receipt, Key::Receipts(checkpoint.receipts_from).bytes()),
        (Space::Dedup, Key::Keys(checkpoint.keys_from).bytes()),
        (Space::Outbox, Key::Outbox(checkpoint.outbox_from, 0).bytes()),
        (Space::Handset, Key::Handset(checkpoint.handsets_from, 0).bytes()),
    ];
    let cursors = cursors.into_iter().map(|(space, to)| (space, vec![0], to));
    // Of eras that are between those left, everything was taken.
    let mut from = 0;
    let eras = checkpoint.due.iter().map(|note| {
        let gone = Key::Due(Era(std::mem::replace(&mut from, note.era + 1)), 0, 0);
        (Space::Due, gone.bytes(), Key::Due(Era(note.era), note.tick, note.commit).bytes())
    });
    cursors.chain(eras).collect()
}
