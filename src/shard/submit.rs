//! The lines of a frame, one by one, into the segment of this turn, if admission says yes.

use crate::admission::{Allowance, Gate, Known, Seen};
use crate::model::limits::{TURN_BYTES_MAX, TURN_MESSAGES_MAX};
use crate::model::{Address, Frame, Head, KeyPrint, Lane, MessageId, Point, Refusal, ReplyTo, TenantId};
use crate::queue::{DueEntry, InsertReason};
use crate::store::Op;
use crate::store::key::Key;
use crate::store::record::{WaitingRecord, encode};

use super::event::{Claimed, LineResult, Reply};
use super::{Ask, Counters, Shard};

/// Messages of a frame that does not wait behind those of large requests, at most.
const PASSING_MESSAGES_MAX: usize = 64;
/// So many messages of such frames may come on top of a full turn.
const PASSING_BEYOND: usize = TURN_MESSAGES_MAX / 16;
/// Whether it need not wait behind others: in whatever order it is taken, no request's own order suffers.
fn passes(frame: &Frame) -> bool {
    frame.alone && frame.heads.len() <= PASSING_MESSAGES_MAX
}

/// Messages that may be in a turn beyond its limit when this frame is among them.
fn beyond(frame: &Frame) -> usize {
    if passes(frame) { PASSING_BEYOND } else { 0 }
}

impl Shard {
    pub(super) fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Submit(frame) => self.submit(frame),
            Ask::Claim { reply, tenant, print } => self.claim(reply, tenant, print),
            Ask::Lookup { reply, tenant, ids } => self.lookup(reply, tenant, ids),
            Ask::Cancel { reply, tenant, id } => self.cancel(reply, tenant, id),
            Ask::Records { reply, tenant, from, limit } => self.records(reply, tenant, from, limit),
            Ask::Doubts { reply, filter, from, limit } => self.list_doubts(reply, &filter, from, limit),
            Ask::Resolve { reply, ids, action } => self.resolve(reply, ids, action),
            Ask::Release { reply, class, policy } => self.release(reply, class, policy),
        }
    }

    /// Admits a frame now, or with the next batch if this one is full. Behind frames of large requests that wait, a small
    /// one that is all of its request does not, and may come on top of a full batch.
    pub(super) fn submit(&mut self, frame: Frame) {
        let waits = !self.waiting_frames.is_empty() && !passes(&frame);
        if waits || !self.has_room_for(&frame) {
            self.waiting_frames.push_back(frame);
            return;
        }
        self.admit_frame(frame);
    }

    fn has_room_for(&mut self, frame: &Frame) -> bool {
        self.gathering.has_room(frame.heads.len(), frame.arena.len(), beyond(frame))
            && (self.gathering.messages() == 0 || !self.buggify.at(Point::TurnFull))
    }

    /// Frames that waited and have room now: a quarter of a turn at once, for a whole one takes long; the rest at the next
    /// call, which [`Shard::poll_timeout`] asks for.
    pub(super) fn admit_waiting(&mut self) {
        let messages = self.gathering.messages() + TURN_MESSAGES_MAX / 4;
        let bytes = self.gathering.bytes() + TURN_BYTES_MAX / 4;
        while self.gathering.messages() < messages
            && self.gathering.bytes() < bytes
            && let Some(frame) = self.waiting_frames.pop_front()
        {
            if !self.has_room_for(&frame) {
                self.waiting_frames.push_front(frame);
                return;
            }
            self.admit_frame(frame);
        }
    }

    /// Whether a frame waits for nothing but the next call.
    pub(super) fn has_admissible(&self) -> bool {
        self.waiting_frames
            .front()
            .is_some_and(|frame| self.gathering.has_room(frame.heads.len(), frame.arena.len(), beyond(frame)))
    }

    fn admit_frame(&mut self, frame: Frame) {
        let mut allowance = Allowance::default();
        let mut keys = frame.keys.iter().peekable();
        let mut results = Vec::with_capacity(frame.heads.len());
        for (index, head) in frame.heads.iter().enumerate() {
            let print = keys.next_if(|line| line.index as usize == index).map(|line| line.print);
            let at = head.content_at as usize;
            let content = frame.arena.get(at..at + head.content_len as usize).unwrap_or_default();
            results.push(self.admit(head, print, content, &mut allowance));
        }
        allowance.close(&mut self.places);
        self.reply(frame.reply, Reply::Submitted(results));
    }

    /// Messages that wait, in lists and in the delay queue, with what enters them at the end of this turn; all places, where
    /// lists are full of what has ended.
    pub(super) fn queued(&self) -> u64 {
        let messages = self.lanes.depth_total() + self.scheduled.messages() + self.gathering.entering();
        self.places.taken(messages, self.lanes.entries_total())
    }

    const fn gate(&self) -> Gate {
        Gate { now: self.now.wall, is_draining: self.draining, disk: self.disk }
    }

    /// What the next commit has to hold of whose messages wait.
    pub(super) fn waiting_record(&mut self) -> Option<Op> {
        let (key, record) = (Key::Waiting, WaitingRecord(self.places.take_changed()?));
        Some(Op::Put { space: key.space(), key: key.bytes(), value: encode(&record) })
    }

    fn admit(&mut self, head: &Head, print: Option<KeyPrint>, content: &[u8], allowance: &mut Allowance) -> LineResult {
        if let Some(seen) = print.and_then(|print| self.keys.look(print, self.now.wall)) {
            return self.known(seen.into());
        }
        if !allowance.is_of(head.tenant) {
            allowance.close(&mut self.places);
            let taken = self.queued();
            *allowance = Allowance::of(head.tenant, &mut self.places, taken);
        }
        if let Some(refusal) = self.gate().refusal(head, allowance) {
            return self.refuse(refusal);
        }
        if self.gathering.is_building() && self.buggify.at(Point::SegmentFull) {
            self.gathering.close_segment();
        }
        if let Some(print) = print {
            let address = self.gathering.next_address(content.len(), self.next_segment);
            match self.keys.claim(print, head.tenant, address, self.now.wall) {
                Seen::New => self.gathering.batch().keys.push((print, head.tenant, address, self.now.wall)),
                seen @ (Seen::Same(..) | Seen::Other | Seen::Full | Seen::ShareFull) => return self.known(seen.into()),
            }
        }
        allowance.take();
        let head = Head { accepted_at: self.now.wall, ..*head };
        let address = self.gathering.admit(head, content, &mut self.next_segment);
        self.place(&head, address);
        self.counters.accepted[head.class.index()] += 1;
        LineResult::Accepted(MessageId::new(self.now.wall, self.options.node, self.options.shard, address))
    }

    fn known(&mut self, known: Known) -> LineResult {
        match known {
            Known::Before(first, at) => {
                self.counters.duplicates += 1;
                LineResult::Duplicate(MessageId::new(at, self.options.node, self.options.shard, first))
            }
            Known::Refused(refusal) => self.refuse(refusal),
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> LineResult {
        if let Some(at) = Counters::REFUSALS.iter().position(|known| *known == refusal) {
            self.counters.refused[at] += 1;
        }
        LineResult::Refused(refusal)
    }

    fn place(&mut self, head: &Head, address: Address) {
        let lane = Lane { class: head.class, route: head.route };
        if head.send_at > self.now.wall {
            let entry = DueEntry { address, lane, reason: InsertReason::Scheduled };
            self.gathering.put_off(self.scheduled.tick_for(head.send_at), entry);
        } else {
            self.gathering.fresh(lane, address);
        }
    }

    fn claim(&mut self, reply: ReplyTo, tenant: TenantId, print: KeyPrint) {
        // What is known of it is said first, whatever holds now: as of a message that was taken before.
        let is_known = self.keys.look(print, self.now.wall).is_some();
        if let Some(refusal) = self.gate().refusal_of_keys().filter(|_| !is_known) {
            return self.reply(reply, Reply::Claimed(Claimed::Refused(refusal)));
        }
        let claimed = match self.keys.claim(print, tenant, Address::default(), self.now.wall) {
            Seen::New => {
                self.gathering.batch().keys.push((print, tenant, Address::default(), self.now.wall));
                Claimed::Ours
            }
            Seen::ShareFull => Claimed::Refused(Refusal::KeyShareFull),
            Seen::Same(..) => Claimed::Ours,
            Seen::Other => Claimed::Reused,
            Seen::Full => Claimed::Full,
        };
        self.reply(reply, Reply::Claimed(claimed));
    }
}

#[cfg(test)]
#[path = "submit_tests.rs"]
mod tests;
