//! A start: the checkpoint, then every turn after it, applied as it was decided. What was open is in doubt now.

use crate::delivery::{EventKind, InDoubt, Lost, OpenAttempt, Progress, Resolution, Taken, attempt::Verdict};
use crate::model::{Address, CarrierId, Class, KeyPrint, Lane, Msisdn, RouteId, TenantId, Wall};
use crate::queue::{DuePosition, Fifo, FifoKind, FifoName, Lists, Position, ScheduledQueue, Tick};
use crate::store::Recovery;
use crate::store::record::{AttemptNote, CheckpointRecord, DoubtNote, FifoCode, ProgressNote, TurnRecord};
use crate::traffic::PartSet;

use super::Shard;
use super::expiry::Alarms;
use super::ledger::in_doubt;
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
        self.places.restore(&found.waiting);
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
            self.restore_attempt(note, Wall(*at));
        }
        for note in &checkpoint.doubts {
            if let Some(doubt) = restored_doubt(note) {
                self.attempts.doubts.insert(Address::from_packed(note.attempt.address), doubt);
            }
        }
        self.outbox = Outbox::restore(checkpoint);
        for &(recipient, packed, since) in &checkpoint.once_in_doubt {
            if let Some(recipient) = Msisdn::from_number(recipient) {
                self.attempts.restore_once_in_doubt(recipient, Address::from_packed(packed), Wall(since));
            }
        }
        for note in &checkpoint.progress {
            self.attempts.progress.restore(Address::from_packed(note.address), progress(note));
        }
        self.cancelled = checkpoint
            .cancelled
            .iter()
            .map(|(packed, tenant)| (Address::from_packed(*packed), TenantId(*tenant)))
            .collect();
        self.tried = checkpoint.tried.iter().map(|&(packed, tried)| (Address::from_packed(packed), tried)).collect();
        self.receipts.replay_next_run(checkpoint.next_run);
    }

    fn replay_turn(&mut self, commit: u64, turn: &TurnRecord) {
        let at = Wall(turn.wall);
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
        for &(packed, kind, detail) in &turn.events {
            if let Some(kind) = EventKind::from_index(kind) {
                self.replay_event(Address::from_packed(packed), kind, detail, at);
            }
        }
        for note in &turn.attempts {
            self.restore_attempt(note, at);
        }
        self.next_reference = turn.next_reference;
    }

    fn replay_ended(&mut self, class: u8, route: u16, restored: bool, entries: i64) {
        if let Some(class) = Class::from_index(class) {
            self.lanes.add_ended(Lists { lane: Lane { class, route: RouteId(route) }, restored }, entries);
        }
    }

    fn restore_attempt(&mut self, note: &AttemptNote, at: Wall) {
        let (Some(class), Some(recipient)) = (Class::from_index(note.class), Msisdn::from_number(note.recipient))
        else {
            return;
        };
        let address = Address::from_packed(note.address);
        self.tried.remove(&address);
        let open = OpenAttempt {
            attempt: note.attempt,
            reference: note.reference,
            carrier: CarrierId(note.carrier),
            lane: Lane { class, route: RouteId(note.route) },
            recipient,
            tenant: TenantId(note.tenant),
            parts: note.parts,
            at,
            segment: None,
            outcomes: 0,
            resumed: 0,
            verdict: Verdict::Accepted,
            lost_on: None,
            unnoted: false,
        };
        self.attempts.insert(address, open);
    }

    fn replay_event(&mut self, address: Address, kind: EventKind, detail: u32, at: Wall) {
        match kind {
            EventKind::Due | EventKind::Attempt | EventKind::Intermediate | EventKind::Late => {}
            EventKind::PartAccepted => {
                let (part, parts) = (detail as u8, (detail >> 8) as u8);
                let open = self.attempts.get(address).map(|open| (open.carrier, open.reference));
                let doubt = || self.attempts.doubts.get(&address).map(|doubt| (doubt.carrier, doubt.reference));
                if let Some((carrier, reference)) = open.or_else(doubt) {
                    self.replay_part(address, Taken { carrier, reference, part, parts, at });
                }
            }
            EventKind::PartDelivered => {
                if let Some(progress) = self.attempts.progress.get_mut(&address) {
                    progress.delivered.insert(detail as u8);
                    progress.settled.insert(detail as u8);
                }
            }
            EventKind::Submitted => drop(self.attempts.remove(address)),
            EventKind::Returned => {
                if let Some(open) = self.attempts.remove(address).filter(|open| open.attempt > 1) {
                    self.remember_tried(address, open.attempt - 1);
                }
            }
            EventKind::Refused => {
                let open = self.attempts.remove(address).map(|open| open.attempt);
                let doubt = self.attempts.doubts.remove(&address).map(|doubt| doubt.attempt);
                if let Some(attempt) = open.or(doubt) {
                    self.remember_tried(address, attempt);
                }
            }
            EventKind::InDoubt => {
                if let Some(open) = self.attempts.remove(address) {
                    self.attempts.doubt(address, in_doubt(&open, Lost::unpack(detail), at), true);
                } else if let Some(doubt) = self.attempts.doubts.get_mut(&address) {
                    // It was in doubt already when the backup was made that this shard was restored from.
                    doubt.lost = Lost::unpack(detail);
                }
            }
            EventKind::Resolved if Resolution::from_index(detail as u8) == Some(Resolution::HandSent) => {
                if let Some(doubt) = self.attempts.doubts.get_mut(&address) {
                    doubt.vouched = true;
                }
            }
            EventKind::Resolved => drop(self.attempts.doubts.remove(&address)),
            EventKind::Resent => {
                if let Some(doubt) = self.attempts.doubts.remove(&address) {
                    self.remember_tried(address, doubt.attempt);
                }
            }
            EventKind::Cancelled => {
                self.cancelled.insert(address, TenantId(detail));
            }
            EventKind::Delivered
            | EventKind::Undelivered
            | EventKind::Expired
            | EventKind::Rejected
            | EventKind::Dead => {
                // Final by a receipt of one part, while nobody knows of the others.
                if let Some(open) = self.attempts.remove(address) {
                    self.attempts.restore_once_in_doubt(open.recipient, address, at);
                }
                self.attempts.doubts.remove(&address);
                self.tried.remove(&address);
                if let Some(progress) = self.attempts.progress.get_mut(&address) {
                    progress.closed = true;
                }
            }
        }
    }
}

fn fifo_name((class, route, kind): FifoCode) -> Option<FifoName> {
    let kind = FifoKind::from_code(kind)?;
    Some(FifoName { lane: Lane { class: Class::from_index(class)?, route: RouteId(route) }, kind })
}

fn restored_doubt(note: &DoubtNote) -> Option<InDoubt> {
    let DoubtNote { attempt, sent_at, since, lost, resend_at, vouched } = *note;
    Some(InDoubt {
        attempt: attempt.attempt,
        reference: attempt.reference,
        carrier: CarrierId(attempt.carrier),
        lane: Lane { class: Class::from_index(attempt.class)?, route: RouteId(attempt.route) },
        recipient: Msisdn::from_number(attempt.recipient)?,
        tenant: TenantId(attempt.tenant),
        parts: attempt.parts,
        sent_at: Wall(sent_at),
        since: Wall(since),
        lost: Lost::unpack(lost),
        resend_at: Wall(resend_at),
        vouched,
    })
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
