//! A start: the checkpoint, then every turn after it, applied as it was decided. What was open is in doubt now.

use crate::delivery::{EventKind, InDoubt, OpenAttempt, Progress, attempt::Verdict};
use crate::model::{Address, CarrierId, Class, KeyPrint, Lane, Msisdn, RouteId, TenantId, Wall};
use crate::queue::{DuePosition, Fifo, FifoKind, FifoName, Position, ScheduledQueue, Tick};
use crate::store::Recovery;
use crate::store::record::{AttemptNote, CheckpointRecord, FifoCode, ProgressNote, TurnRecord};
use crate::traffic::{PartSet, Unanswered};

use super::Shard;

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
        for (commit, index, record) in found.orphans {
            self.receipts.replay_orphan((commit, index), record);
        }
        for (commit, record) in &found.keys {
            let mut newest = Wall(0);
            for &(key, content, address, at) in &record.0 {
                newest = Wall(at);
                self.keys.restore(KeyPrint { key, content }, Address::from_packed(address), newest);
            }
            self.key_commits.push_back((*commit, newest));
        }
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
        self.scheduled = ScheduledQueue::recovered(head, checkpoint.due_waiting);
        for note in &checkpoint.open {
            self.restore_attempt(note, Wall(0));
        }
        for (note, since, reason) in &checkpoint.doubts {
            if let Some((address, doubt)) = in_doubt(note, Wall(*since), *reason) {
                self.attempts.doubts.insert(address, doubt);
            }
        }
        for &(recipient, packed, since) in &checkpoint.once_in_doubt {
            if let Some(recipient) = Msisdn::from_number(recipient) {
                self.attempts.restore_once_in_doubt(recipient, Address::from_packed(packed), Wall(since));
            }
        }
        for note in &checkpoint.progress {
            self.attempts.progress.insert(Address::from_packed(note.address), progress(note));
        }
        self.cancelled = checkpoint.cancelled.iter().map(|packed| Address::from_packed(*packed)).collect();
        self.tried = checkpoint.tried.iter().map(|&(packed, tried)| (Address::from_packed(packed), tried)).collect();
        self.receipts.replay_next_run(checkpoint.next_run);
    }

    fn replay_turn(&mut self, commit: u64, turn: &TurnRecord) {
        let at = Wall(turn.wall);
        self.folding.replayed(turn.events.len() + turn.attempts.len() + turn.segments.len());
        for note in &turn.segments {
            self.next_segment = self.next_segment.max(note.number + 1);
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
        self.scheduled.replay_insert(u64::from(turn.put_off));
        if let Some((tick, commit, index, entries)) = turn.due_taken {
            let head = DuePosition { tick: Tick(tick), commit, index };
            self.scheduled.replay_taken(head, u64::from(entries));
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
        };
        self.attempts.insert(address, open);
    }

    fn replay_event(&mut self, address: Address, kind: EventKind, detail: u32, at: Wall) {
        match kind {
            EventKind::Due | EventKind::Attempt | EventKind::Intermediate | EventKind::Late => {}
            EventKind::PartAccepted => {
                let (part, parts) = (detail as u8, (detail >> 8) as u8);
                if let Some((carrier, reference)) =
                    self.attempts.get(address).map(|open| (open.carrier, open.reference))
                {
                    self.attempts.part_accepted(address, carrier, reference, part, parts, at);
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
                    self.tried.insert(address, open.attempt - 1);
                }
            }
            EventKind::Refused => {
                if let Some(open) = self.attempts.remove(address) {
                    self.tried.insert(address, open.attempt);
                }
            }
            EventKind::InDoubt => {
                if let Some(open) = self.attempts.remove(address) {
                    self.attempts.doubt(address, doubt_of(&open, at, detail as u8), true);
                } else if let Some(doubt) = self.attempts.doubts.get_mut(&address) {
                    doubt.reason = unanswered(detail as u8);
                }
            }
            EventKind::Resent => {
                if let Some(doubt) = self.attempts.doubts.remove(&address) {
                    self.tried.insert(address, doubt.attempt);
                }
            }
            EventKind::Cancelled => {
                self.cancelled.insert(address);
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

const fn unanswered(reason: u8) -> Unanswered {
    match reason {
        1 => Unanswered::ConnectionLost,
        2 => Unanswered::ResponseTimeout,
        3 => Unanswered::Stopped,
        5 => Unanswered::Restored,
        0 | 4 | 6.. => Unanswered::Crashed,
    }
}

fn doubt_of(open: &OpenAttempt, since: Wall, reason: u8) -> InDoubt {
    InDoubt {
        attempt: open.attempt,
        carrier: open.carrier,
        lane: open.lane,
        recipient: open.recipient,
        tenant: open.tenant,
        parts: open.parts,
        since,
        reason: unanswered(reason),
    }
}

fn in_doubt(note: &AttemptNote, since: Wall, reason: u8) -> Option<(Address, InDoubt)> {
    let doubt = InDoubt {
        attempt: note.attempt,
        carrier: CarrierId(note.carrier),
        lane: Lane { class: Class::from_index(note.class)?, route: RouteId(note.route) },
        recipient: Msisdn::from_number(note.recipient)?,
        tenant: TenantId(note.tenant),
        parts: note.parts,
        since,
        reason: unanswered(reason),
    };
    Some((Address::from_packed(note.address), doubt))
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
