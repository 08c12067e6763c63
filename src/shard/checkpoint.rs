//! Checkpoints: the shard as it stands after a commit, written together with the folded events up to it, so that a start
//! replays only what came later. The snapshot is taken when its commit is handed over; folding takes its time.

use crate::delivery::Retention;
use crate::model::Point;
use crate::queue::{FifoName, Lists, Position};
use crate::store::backend::{Op, Space};
use crate::store::batch::fifo_code;
use crate::store::fold::Folded;
use crate::store::key::Key;
use crate::store::record::{AttemptNote, CheckpointRecord, DoubtNote, FifoNote, ProgressNote};
use crate::store::{CommitSeq, ReadRequest, WriteBatch};
use crate::traffic::PartSet;

use super::Shard;
use super::event::{Effect, Maintenance};

/// How far folding is.
#[derive(Debug)]
pub(super) struct Folding {
    folded_to: u64,
    /// The batch that makes this true, until it is durable, and what is true until then.
    settling: Option<(CommitSeq, u64)>,
    events: usize,
    under_way: bool,
    wanted: bool,
}

impl Folding {
    pub(super) const fn new(folded_to: u64) -> Self {
        Self { folded_to, settling: None, events: 0, under_way: false, wanted: false }
    }

    /// Every event up to this commit is in a durable state record.
    pub(super) fn durable_to(&self) -> u64 {
        self.settling.map_or(self.folded_to, |(_, before)| before)
    }

    /// Everything up to that batch is durable.
    pub(super) fn handle_committed(&mut self, upto: CommitSeq) {
        self.settling.take_if(|(seq, _)| *seq <= upto);
    }

    /// The next commit, or the last one if nothing is to be written, is to be followed by a checkpoint.
    pub(super) const fn want(&mut self) {
        self.wanted = true;
    }

    pub(super) const fn replayed(&mut self, events: usize) {
        self.events += events;
    }
}

/// What a turn without events costs a start, in events.
const TURN_COST: usize = 4;

impl Shard {
    /// Whether a checkpoint is wanted or being written.
    pub const fn checkpoint_pending(&self) -> bool {
        self.folding.wanted || self.folding.under_way
    }

    pub(super) fn fold_if_due(&mut self, seq: CommitSeq, batch: &WriteBatch) {
        let turn = &batch.turn;
        self.folding.events += turn.events.len() + turn.attempts.len() + turn.segments.len() + TURN_COST;
        let due = self.folding.events >= self.options.fold_events || self.folding.wanted;
        if !self.folding.under_way && (due || self.buggify.at(Point::FoldDue)) {
            self.start_fold(seq);
        }
    }

    /// Starts a wanted checkpoint although there is nothing to write: the last commit will do.
    pub(super) fn checkpoint_if_idle(&mut self) {
        if self.folding.wanted && !self.folding.under_way && self.in_flight.is_none() && self.gathering.is_empty() {
            self.start_fold(self.durable);
        }
    }

    fn start_fold(&mut self, seq: CommitSeq) {
        self.folding.wanted = false;
        self.folding.events = 0;
        // Before, for what is too old belongs into no checkpoint, whatever becomes of this one.
        self.expire_receipts();
        let snapshot = Box::new(self.snapshot(seq));
        #[cfg(test)]
        self.replay_anew();
        if !self.fits(&snapshot, &[]) {
            return;
        }
        self.folding.under_way = true;
        let from = self.folding.folded_to + 1;
        let (retention, now) = (Retention { kept_ms: self.options.retention_ms }, self.now.wall);
        self.reads.push_back((seq, ReadRequest::Fold { from, snapshot, retention, now }));
    }

    /// Whether the store can keep it. The bounds of all sets see to that; if it does not fit all the same, the shard goes on
    /// without it: a start reads more events then, and the next one may fit. The operator is told.
    fn fits(&mut self, snapshot: &CheckpointRecord, ops: &[Op]) -> bool {
        let most = self.options.bounds.checkpoint_octets_max;
        let states = ops.iter().map(|op| match op {
            Op::Put { value, .. } => value.len(),
            Op::Delete { .. } => 0,
        });
        let octets = states.chain([snapshot.octets()]).max().unwrap_or_default();
        if octets <= most {
            return true;
        }
        self.counters.checkpoints_too_large += 1;
        let shard = self.options.shard.0;
        let what =
            format!("shard {shard}: a checkpoint with {octets} octets in one record, of {most} at most, is left out");
        self.prompt.push_back(Effect::Alarm(what));
        false
    }

    fn snapshot(&mut self, seq: CommitSeq) -> CheckpointRecord {
        let key_horizon = self.now.wall.0.saturating_sub(self.options.key_window_ms);
        while self.key_commits.front().is_some_and(|(_, at)| at.0 < key_horizon) {
            self.key_commits.pop_front();
        }
        self.forget_remainders();
        let first_kept = crate::model::Address::new(self.first_segment, 0);
        self.books.cancelled.retain(|address, _| *address >= first_kept);
        let head = self.scheduled.head();
        self.outbox.mark(seq.0, self.now.wall, self.options.retention_ms);
        let (outbox_from, outbox_marks) = self.outbox.notes();
        CheckpointRecord {
            commit: seq.0,
            next_segment: self.next_segment,
            first_segment: self.first_segment,
            fifos: self.lanes.iter().map(|(name, fifo)| fifo_note(*name, fifo)).collect(),
            due_head: (head.tick.0, head.commit, head.index),
            due_waiting: self.scheduled.waiting(),
            open: self
                .books
                .attempts
                .sorted()
                .into_iter()
                .map(|(address, open)| (attempt_note(address, open), open.at.0))
                .collect(),
            doubts: self.books.attempts.doubts.iter().map(|(address, doubt)| doubt_note(*address, doubt)).collect(),
            progress: self
                .books
                .attempts
                .progress
                .iter()
                .map(|(address, progress)| progress_note(*address, progress))
                .collect(),
            cancelled: self.books.cancelled.iter().map(|(address, tenant)| (address.packed(), tenant.0)).collect(),
            tried: self.books.tried.iter().map(|(address, attempt)| (address.packed(), *attempt)).collect(),
            receipts_from: self.receipts.first_commit().unwrap_or(seq.0 + 1),
            keys_from: self.key_commits.front().map_or(seq.0 + 1, |(commit, _)| *commit),
            next_reference: self.next_reference,
            next_run: self.receipts.next_run(),
            once_in_doubt: self
                .books
                .attempts
                .once_in_doubt()
                .map(|(recipient, address, since)| (recipient.number(), address.packed(), since.0))
                .collect(),
            outbox_from,
            outbox_marks,
            due_alarms: self.scheduled.alarms(),
            alarms: self.alarms.notes(),
            alarms_from: self.alarms.covered_from(),
            ended: self.lanes.ended().map(ended_note).collect(),
            ended_to: self.alarms.ended_to(),
        }
    }

    /// The events are folded: the checkpoint goes into this turn's batch, what lies behind it may go.
    pub(super) fn folded(&mut self, snapshot: Box<CheckpointRecord>, folded: Folded) {
        self.folding.under_way = false;
        if !self.fits(&snapshot, &folded.ops) {
            return;
        }
        let before = self.folding.durable_to();
        self.folding.settling = Some((self.gathering.seq(), before));
        self.folding.folded_to = snapshot.commit;
        self.first_segment = snapshot.first_segment;
        self.alarms_folded(snapshot.commit, &folded.unsent);
        for (space, to) in droppable(&snapshot) {
            let from = vec![0];
            self.effect(Effect::Maintain(Maintenance::DropRange { space, from, to }));
        }
        for note in &snapshot.fifos {
            let (from, to) = fifo_bounds(note);
            self.effect(Effect::Maintain(Maintenance::DropRange { space: Space::Ready, from, to }));
        }
        self.effect(Effect::Maintain(Maintenance::Checkpoint));
        self.gathering.batch().checkpoint = Some((snapshot, folded.ops));
    }
}

/// Up to which key each space may be freed once the checkpoint is durable.
fn droppable(snapshot: &CheckpointRecord) -> [(Space, Vec<u8>); 7] {
    let (tick, commit, _) = snapshot.due_head;
    [
        (Space::Event, Key::Turn(snapshot.commit + 1).bytes()),
        (Space::Segment, Key::Segment(snapshot.first_segment).bytes()),
        (Space::State, Key::State(snapshot.first_segment).bytes()),
        (Space::Receipt, Key::Receipts(snapshot.receipts_from).bytes()),
        (Space::Dedup, Key::Keys(snapshot.keys_from).bytes()),
        (Space::Due, Key::Due(tick, commit).bytes()),
        (Space::Outbox, Key::Outbox(snapshot.outbox_from, 0).bytes()),
    ]
}

fn fifo_bounds(note: &FifoNote) -> (Vec<u8>, Vec<u8>) {
    let mut prefix = vec![note.fifo.0];
    prefix.extend_from_slice(&note.fifo.1.to_be_bytes());
    prefix.push(note.fifo.2);
    let to = [&prefix[..], &note.commit.to_be_bytes()[..]].concat();
    (prefix, to)
}

fn ended_note((lists, entries): (Lists, i64)) -> (u8, u16, bool, i64) {
    (lists.lane.class as u8, lists.lane.route.0, lists.restored, entries)
}

fn fifo_note(name: FifoName, fifo: &crate::queue::Fifo) -> FifoNote {
    let Position { commit, index } = fifo.head();
    FifoNote { fifo: fifo_code(name), commit, index, newest: fifo.newest(), waiting: fifo.waiting() }
}

pub(super) fn attempt_note(address: crate::model::Address, open: &crate::delivery::OpenAttempt) -> AttemptNote {
    AttemptNote {
        address: address.packed(),
        recipient: open.recipient.number(),
        tenant: open.tenant.0,
        carrier: open.carrier.0,
        reference: open.reference,
        route: open.lane.route.0,
        class: open.lane.class as u8,
        attempt: open.attempt,
        parts: open.parts,
    }
}

fn doubt_note(address: crate::model::Address, doubt: &crate::delivery::InDoubt) -> DoubtNote {
    let attempt = AttemptNote {
        address: address.packed(),
        recipient: doubt.recipient.number(),
        tenant: doubt.tenant.0,
        carrier: doubt.carrier.0,
        reference: doubt.reference,
        route: doubt.lane.route.0,
        class: doubt.lane.class as u8,
        attempt: doubt.attempt,
        parts: doubt.parts,
    };
    DoubtNote {
        attempt,
        sent_at: doubt.sent_at.0,
        since: doubt.since.0,
        lost: doubt.lost,
        resend_at: doubt.resend_at.0,
        vouched: doubt.vouched,
    }
}

fn progress_note(address: crate::model::Address, progress: &crate::delivery::Progress) -> ProgressNote {
    let list = |set: &PartSet| set.iter().collect();
    ProgressNote {
        address: address.packed(),
        carrier: progress.carrier.0,
        reference: progress.reference,
        parts: progress.parts,
        closed: progress.closed,
        since: progress.since.0,
        accepted: list(&progress.accepted),
        delivered: list(&progress.delivered),
        settled: list(&progress.settled),
    }
}
