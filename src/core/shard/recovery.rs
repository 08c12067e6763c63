//! Recovery at a start, and checkpoints, which are its reverse.
//!
//! At a start each machine takes its part of the checkpoint; then every later turn is applied as it was decided; then every
//! attempt that was open goes in doubt. For a checkpoint each machine notes what it knows after a commit.

use crate::model::{Class, Wall};
use crate::store::fold::Folded;
use crate::store::key::Key;
use crate::store::record::{CheckpointRecord, InboundRecord, JoiningRecord, RestoredRecord, TurnRecord};
use crate::store::{CommitSeq, Recovery, Snapshot};
use crate::traffic::Unanswered;

use super::Shard;
use super::checkpoint;
use super::event::{Effect, Maintenance};
use super::expiry::Alarms;
use super::handsets::Handsets;
use super::restored::Restored;
use super::retained::Retained;

impl Shard {
    /// Restores the shard from what its store found.
    pub(super) fn replay(&mut self, found: Recovery) {
        self.pull.recover(&found.checkpoint);
        self.alarms = Alarms::recover(&found.checkpoint, &found.book);
        self.ledger.recover(&found.checkpoint, &found.book);
        self.permits.recover(&found.book.uses);
        self.receipts.recover(&found.checkpoint);
        self.handsets = Handsets::recover(&found.checkpoint);
        self.notices = Retained::recover(found.checkpoint.outbox_from, &found.checkpoint.outbox_marks);
        let missing: u64 = found.turns.iter().map(|(commit, turn)| self.replay_turn(*commit, turn)).sum();
        if missing > 0 {
            self.turn.alarm(&format!("{missing} entries of lists or the delay queue were taken but never were there"));
        }
        if self.ledger.books.unreadable > 0 {
            let many = self.ledger.books.unreadable;
            self.turn.alarm(&format!("{many} unreadable notes of attempts and doubts: their messages are untracked"));
        }
        self.pull.scheduled.replayed();
        self.turn.due_from = self.pull.scheduled.passed();
        for (run, until) in &found.runs {
            self.receipts.replay_run(*run, Wall(*until));
        }
        for (commit, record) in &found.receipts {
            self.receipts.replay(*commit, record);
            self.asked.replay(record);
        }
        self.asked.expire(self.turn.now.wall);
        self.replay_parked(found.orphans, found.orphans_left_out);
        self.replay_joining(found.joining);
        for (commit, record) in &found.keys {
            self.intake.replay(*commit, record);
        }
        self.turn.places.recover(&found.waiting.0);
        self.replay_left_open(found.restored, found.last.0);
        self.settle_moved();
    }

    /// Applies a recorded turn. Returns how many entries it took that cannot have been where it took them.
    fn replay_turn(&mut self, commit: u64, record: &TurnRecord) -> u64 {
        self.folding.replayed(record.events.len() + record.attempts.len() + record.segments.len());
        for note in &record.segments {
            self.turn.next_segment = self.turn.next_segment.max(note.number + 1);
        }
        self.alarms.replay(commit, record, self.turn.next_segment);
        self.handsets.replay(commit, record.handsets);
        self.ledger.replay(record, &mut self.turn.counters);
        self.end_permits(Wall(record.wall));
        self.pull.replay(commit, record)
    }

    /// Restores the latest parked receipts. Older ones that the store has left out are dropped from disk.
    fn replay_parked(&mut self, found: Vec<(u64, u32, InboundRecord)>, left_out: bool) {
        if let Some((commit, index, _)) = found.first().filter(|_| left_out) {
            let (key, from) = (Key::Orphan(*commit, *index), vec![0]);
            let dropped = Maintenance::DropRange { space: key.space(), from, to: key.bytes() };
            self.turn.effect(Effect::Maintain(dropped));
        }
        for (commit, index, record) in found {
            let is_foreign = !self.ledger.books.attempts.is_under_way_to(record.from);
            self.receipts.replay_parked(&mut self.turn, (commit, index), record, is_foreign);
        }
        self.receipts.shed_orphans(&mut self.turn);
    }

    /// Restores parts of messages from handsets that wait, as many as there is room for.
    fn replay_joining(&mut self, found: Vec<(u64, u32, JoiningRecord)>) {
        self.joining.replay(found);
        let shed = self.joining.shed(&mut self.turn);
        self.keep_handsets(shed);
    }

    /// Puts every open attempt in doubt; must be called last in the replay. `last`: the last commit found.
    fn replay_left_open(&mut self, record: Option<RestoredRecord>, last: u64) {
        self.turn.restored = Restored::new(record);
        for class in Class::ALL {
            self.pull.lanes.set_unsent(class, self.turn.restored.unsent_in_lists(class));
        }
        let is_first_start = self.turn.restored.is_first_start(last);
        let reason = if is_first_start { Unanswered::Restored } else { Unanswered::Crashed };
        let left_open: Vec<_> = self.ledger.books.attempts.sorted().into_iter().map(|(address, _)| address).collect();
        for address in left_open {
            let has_ended = self.ledger.settle_left_open(&self.turn, address);
            if !has_ended && self.ledger.doubt(&mut self.turn, address, reason, None) {
                self.handle_doubt(address);
            }
        }
        if is_first_start {
            self.ledger.hold_again(&mut self.turn);
        }
        self.ledger.reconcile(&mut self.turn);
        self.end_permits(self.turn.now.wall);
    }

    /// Takes a checkpoint after that batch.
    pub(super) fn start_fold(&mut self, seq: CommitSeq) {
        self.folding.begin();
        // Before the snapshot: what is too old must not be in it.
        let horizon = Wall(self.turn.now.wall.0.saturating_sub(self.turn.options.receipt_wait_ms));
        self.receipts.expire(&mut self.turn, horizon);
        self.asked.expire(self.turn.now.wall);
        self.ledger.expire_memory(horizon, self.turn.first_segment);
        let snapshot = Box::new(self.snapshot(seq));
        // After the snapshot: messages given up now are kept by the batch after `seq`, and counted with that.
        let horizon = Wall(self.turn.now.wall.0.saturating_sub(self.turn.options.joining_ms));
        let given_up = self.joining.expire(&mut self.turn, horizon);
        self.keep_handsets(given_up);
        #[cfg(test)]
        self.replay_anew();
        self.folding.fold(&mut self.turn, seq, snapshot);
    }

    fn snapshot(&mut self, seq: CommitSeq) -> Snapshot {
        self.end_permits(self.turn.now.wall);
        let Self { turn, intake, pull, ledger, receipts, handsets, notices, alarms, folding, permits, .. } = self;
        pull.forget_remainders(!alarms.is_empty());
        folding.through = pull.lanes.retire(turn.options.swept_per_checkpoint);
        let (next_segment, first_segment) = (turn.next_segment, turn.first_segment);
        let checkpoint = CheckpointRecord { commit: seq.0, next_segment, first_segment, ..CheckpointRecord::default() };
        let mut snapshot = Snapshot { checkpoint, ..Snapshot::default() };
        ledger.note(turn, &mut snapshot);
        alarms.note(&mut snapshot);
        snapshot.book.uses = permits.note(turn);
        let checkpoint = &mut snapshot.checkpoint;
        pull.note(checkpoint);
        receipts.note(checkpoint);
        handsets.note(turn, checkpoint);
        notices.mark(checkpoint.commit, turn.now.wall, turn.options.retention_ms);
        (checkpoint.outbox_from, checkpoint.outbox_marks) = notices.notes();
        intake.note(turn, checkpoint);
        snapshot
    }

    /// The events are folded: segments that are fully settled are known, and the checkpoint goes into this turn's batch.
    pub(super) fn handle_folded(&mut self, snapshot: Box<Snapshot>, folded: Folded) {
        if !self.folding.handle_folded(&mut self.turn, &snapshot.checkpoint, &folded) {
            return;
        }
        self.turn.first_segment = snapshot.checkpoint.first_segment;
        self.alarms.handle_folded(&mut self.turn, snapshot.checkpoint.commit, &folded.unsettled);
        let through = std::mem::take(&mut self.folding.through);
        checkpoint::write(&mut self.turn, snapshot, folded, through);
    }
}
