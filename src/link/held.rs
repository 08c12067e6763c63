//! One message in the link's hands: which of its parts were sent, answered, thrown back.
//!
//! Knows part numbers. Refuses to know binds, queues and codings.
//!
//! Invariants:
//! 1. A part is in exactly one of: not sent (`next` and above, unless answered in an earlier attempt), thrown back
//!    (`again`), under way (`under_way` counts them), settled.
//! 2. A part is given out for sending at most once until it is thrown back.

use crate::model::{Mono, ShardId, Tail, Wall};
use crate::smpp::split::{Plan, Position};
use crate::traffic::{PartSet, Submit};

/// See the head of this file.
#[derive(Debug)]
pub struct Held {
    /// As handed over.
    pub submit: Submit,
    /// By whom.
    pub shard: ShardId,
    /// Place among all messages handed to this link; an older one has a smaller.
    pub order: u64,
    /// Made when its first part is composed.
    pub plan: Option<Plan>,
    /// The link's options under which `plan` was made.
    pub era: u32,
    /// Behind the part that was composed last in ascending order.
    pub position: Position,
    /// What the number ends in that it is sent from; known when it is planned.
    pub sender: Tail,
    /// When its last part was sent.
    pub sent_at: Mono,
    /// No more of it shall be sent: a part was refused.
    pub stopped: bool,
    /// Its parts.
    pub parts: Parts,
}

/// Where each part of one message stands. Until the message is planned it has one part.
#[derive(Clone, Debug)]
pub struct Parts {
    next: u8,
    /// `next` has passed the last part.
    ended: bool,
    again: Vec<u8>,
    under_way: u8,
    begun: bool,
}

impl Held {
    /// Not looked at yet.
    pub fn new(submit: Submit, shard: ShardId, order: u64) -> Self {
        let parts = Parts { next: 1, ended: false, again: Vec::new(), under_way: 0, begun: false };
        Self {
            submit,
            shard,
            order,
            plan: None,
            era: 0,
            position: Position::default(),
            sender: Tail::NONE,
            sent_at: Mono(0),
            stopped: false,
            parts,
        }
    }

    /// Parts at this carrier; 1 until it is planned.
    pub fn total(&self) -> u8 {
        self.plan.as_ref().map_or(1, Plan::parts)
    }

    /// Forgets how it was cut, if it is untouched.
    pub fn replan(&mut self) {
        if self.parts.is_untouched() {
            self.plan = None;
            self.position = Position::default();
            self.parts.again.clear();
            (self.parts.next, self.parts.ended) = (1, false);
        }
    }

    /// Whether it has passed its time.
    pub fn is_expired(&self, now: Wall) -> bool {
        self.submit.head.expires_at != Wall(0) && now >= self.submit.head.expires_at
    }

    /// The part to be sent now; see [`Parts::next`].
    pub fn next_part(&mut self) -> Option<u8> {
        let total = self.plan.as_ref().map(Plan::parts);
        self.parts.next(total, self.submit.answered.as_deref())
    }

    /// Takes out one part after the other of those that were not sent; a message that never became parts is one part.
    pub fn take_unsent(&mut self) -> Option<u8> {
        let part = self.next_part()?;
        if self.parts.again.is_empty() {
            self.parts.pass(self.total());
        } else {
            self.parts.again.remove(0);
        }
        Some(part)
    }

    /// Nothing of it is under way and nothing is left to be sent.
    pub fn is_over(&mut self) -> bool {
        self.parts.under_way == 0 && self.next_part().is_none()
    }
}

impl Parts {
    /// The part to be sent now: thrown back ones first, each before its followers, then the next that was not answered
    /// in an earlier attempt. `total` is none until the message is planned. It stays due until [`Self::handle_sent`].
    pub fn next(&mut self, total: Option<u8>, answered: Option<&PartSet>) -> Option<u8> {
        if let Some(part) = self.again.first() {
            return Some(*part);
        }
        if let (Some(total), Some(answered)) = (total, answered) {
            while !self.ended && answered.contains(self.next) {
                self.pass(total);
            }
        }
        (!self.ended).then_some(self.next)
    }

    /// That part of `total` is on its way.
    pub fn handle_sent(&mut self, part: u8, total: u8) {
        self.under_way += 1;
        if self.again.first() == Some(&part) {
            self.again.remove(0);
        } else {
            self.pass(total);
        }
    }

    /// A part that was under way is settled; `begun` if the carrier has it, or may have it.
    pub fn handle_settled(&mut self, begun: bool) {
        self.under_way = self.under_way.saturating_sub(1);
        self.begun |= begun;
    }

    /// A part that was under way is due again.
    pub fn handle_thrown_back(&mut self, part: u8) {
        self.under_way = self.under_way.saturating_sub(1);
        let at = self.again.partition_point(|other| *other < part);
        self.again.insert(at, part);
    }

    /// The carrier has nothing of this attempt: the message may go over another bind, or be taken back as a whole.
    pub const fn is_untouched(&self) -> bool {
        !self.begun && self.under_way == 0
    }

    /// A part that lies behind the position up to which the message was composed.
    pub fn is_behind(&self, part: u8) -> bool {
        part < self.next || self.ended
    }

    const fn pass(&mut self, total: u8) {
        self.ended = self.next >= total;
        self.next = self.next.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Parts {
        Parts { next: 1, ended: false, again: Vec::new(), under_way: 0, begun: false }
    }

    #[test]
    fn thrown_back_parts_go_first_and_answered_ones_never() {
        let mut answered = PartSet::default();
        answered.insert(2);
        let mut parts = parts();
        for part in [1, 3, 4] {
            assert_eq!(parts.next(Some(4), Some(&answered)), Some(part));
            parts.handle_sent(part, 4);
        }
        assert_eq!(parts.next(Some(4), Some(&answered)), None);
        parts.handle_thrown_back(4);
        parts.handle_thrown_back(3);
        assert_eq!(parts.next(Some(4), Some(&answered)), Some(3));
        parts.handle_sent(3, 4);
        assert_eq!(parts.next(Some(4), Some(&answered)), Some(4));
        parts.handle_settled(false);
        parts.handle_settled(false);
        assert!(parts.is_untouched());
    }

    #[test]
    fn the_last_of_255_parts_ends_it() {
        let mut parts = parts();
        for part in 1..=255 {
            assert_eq!(parts.next(Some(255), None), Some(part));
            parts.handle_sent(part, 255);
        }
        assert_eq!((parts.next(Some(255), None), parts.under_way), (None, 255));
    }
}
