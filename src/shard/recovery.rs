//! A start: the checkpoint, then every turn after it, applied as it was decided. What was open is in doubt now.

use crate::delivery::{InDoubt, Progress};
use crate::model::{Address, CarrierId, Class, KeyPrint, Lane, Msisdn, RouteId, TenantId, Wall};
use crate::queue::{DuePosition, Fifo, FifoKind, FifoName, Lists, Position, ScheduledQueue, Tick};
use crate::store::Recovery;
use crate::store::record::{CheckpointRecord, DoubtNote, FifoCode, ProgressNote, TurnRecord};
use crate::traffic::PartSet;

use super::Shard;
use super::books::{doubt_of, open_attempt};
use super::expiry::Alarms;
use super::outbox::Outbox;

impl Shard {
    pub(super) fn replay(&mut self, found: Recovery) {
        self.restore(&found.checkpoint);
        for (commit, turn) in &found.turns {
            self.replay_turn(*commit, turn);
        }
        for (run, sealed_at) in &found.runs {
            self.receipts.replay_run(*run, Wall(*sealed_at));
        }
        for (commit, record) in &found.receipts {
            self.receipts.replay(*commit, &record.entries, &record.answered);
        }
        self.replay_orphans(found.orphans, found.orphans_left_out);
        for &(commit, messages, octets) in &found.handsets {
            self.outbox.add_handsets(commit, u64::from(messages), octets);
        }
        for (commit, record) in &found.keys {
            let mut newest = Wall(0);
            for &(key, content, address, at, tenant) in &record.0 {
                newest = Wall(at);
                let (print, address) = (KeyPrint { key, content }, Address::from_packed(address));
                self.keys.restore(print, TenantId(tenant), address, newest);
            }
            self.key_commits.push_back((*commit, newest));
        }
        self.places.restore(&found.waiting.0);
        self.replay_restored(found.restored, found.last.0);
    }

    fn restore(&mut self, checkpoint: &CheckpointRecord) {
        for note in &checkpoint.fifos {
            if let Some(name) = fifo_name(note.fifo) {
                let head = Position { commit: note.commit, index: note.index };
                self.lanes.restore(name, Fifo::recovered(head, note.newest, note.waiting));
            }
        }
        let (tick, commit, index) = checkpoint.due_head;
        let head = DuePosition { tick: Tick(tick), commit, index };
        self.scheduled = ScheduledQueue::recovered(head, checkpoint.due_waiting, checkpoint.due_alarms);
        self.alarms = Alarms::restore(checkpoint.alarms_from, &checkpoint.ended_to);
        checkpoint.alarms.iter().for_each(|note| self.alarms.restore_alarm(note, checkpoint.commit));
        for &(class, route, restored, entries) in &checkpoint.ended {
            self.replay_ended(class, route, restored, entries);
        }
        for (note, at) in &checkpoint.open {
            self.books.begin_again(note, Wall(*at));
        }
        for note in &checkpoint.doubts {
            if let Some(doubt) = restored_doubt(note) {
                self.books.attempts.doubts.insert(Address::from_packed(note.attempt.address), doubt);
            }
        }
        self.outbox = Outbox::restore(checkpoint);
        for &(recipient, packed, since) in &checkpoint.once_in_doubt {
            if let Some(recipient) = Msisdn::from_number(recipient) {
                self.books.attempts.restore_once_in_doubt(recipient, Address::from_packed(packed), Wall(since));
            }
        }
        for note in &checkpoint.progress {
            self.books.attempts.progress.restore(Address::from_packed(note.address), progress(note));
        }
        self.books.cancelled = checkpoint
            .cancelled
            .iter()
            .map(|(packed, tenant)| (Address::from_packed(*packed), TenantId(*tenant)))
            .collect();
        self.books.tried =
            checkpoint.tried.iter().map(|&(packed, tried)| (Address::from_packed(packed), tried)).collect();
        self.receipts.replay_next_run(checkpoint.next_run);
    }

    fn replay_turn(&mut self, commit: u64, turn: &TurnRecord) {
        self.folding.replayed(turn.events.len() + turn.attempts.len() + turn.segments.len());
        // An alarm that goes may come again by another entry of the same turn.
        turn.alarms.done.iter().for_each(|segment| self.alarms.remove(*segment));
        for note in &turn.segments {
            self.next_segment = self.next_segment.max(note.number + 1);
        }
        self.alarms.begin(&turn.segments, commit);
        turn.alarms.kept.iter().for_each(|(last, class)| self.alarms.keep(Address::from_packed(*last), *class));
        if turn.expired_to > 0 {
            self.alarms.note_ended(Wall(turn.expired_to), self.next_segment);
        }
        for &(class, route, restored, entries) in &turn.ended {
            self.replay_ended(class, route, restored, entries.into());
        }
        for &(code, messages) in &turn.appended {
            if let Some(name) = fifo_name(code) {
                self.lanes.fifo(name).replay_append(commit, u64::from(messages));
            }
        }
        for note in &turn.taken {
            if let Some(name) = fifo_name(note.fifo) {
                let head = Position { commit: note.commit, index: note.index };
                self.lanes.fifo(name).replay_taken(head, u64::from(note.messages));
            }
        }
        self.scheduled.replay_insert(u64::from(turn.put_off), u64::from(turn.alarms.armed));
        if let Some((tick, commit, index, entries)) = turn.due_taken {
            let head = DuePosition { tick: Tick(tick), commit, index };
            self.scheduled.replay_taken(head, u64::from(entries), u64::from(turn.alarms.taken));
        }
        self.books.replay(turn, &mut self.counters);
        self.next_reference = turn.next_reference;
    }

    fn replay_ended(&mut self, class: u8, route: u16, restored: bool, entries: i64) {
        if let Some(class) = Class::from_index(class) {
            self.lanes.add_ended(Lists { lane: Lane { class, route: RouteId(route) }, restored }, entries);
        }
    }
}

fn fifo_name((class, route, kind): FifoCode) -> Option<FifoName> {
    let kind = FifoKind::from_code(kind)?;
    Some(FifoName { lane: Lane { class: Class::from_index(class)?, route: RouteId(route) }, kind })
}

fn restored_doubt(note: &DoubtNote) -> Option<InDoubt> {
    let DoubtNote { attempt, sent_at, since, lost, resend_at, vouched } = *note;
    let open = open_attempt(&attempt, Wall(sent_at))?;
    Some(InDoubt { resend_at: Wall(resend_at), vouched, ..doubt_of(&open, lost, Wall(since)) })
}

fn progress(note: &ProgressNote) -> Progress {
    let set = |parts: &[u8]| {
        let mut set = PartSet::default();
        for part in parts {
            set.insert(*part);
        }
        set
    };
    Progress {
        carrier: CarrierId(note.carrier),
        reference: note.reference,
        parts: note.parts,
        accepted: set(&note.accepted),
        delivered: set(&note.delivered),
        settled: set(&note.settled),
        closed: note.closed,
        since: Wall(note.since),
    }
}
