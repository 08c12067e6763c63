//! One message that the link holds: which of its parts are sent, answered or thrown back.
//!
//! Knows part numbers. Refuses to know binds and queues. A part is *thrown back* if the carrier throttled it or the session never
//! wrote it: it must be sent again in the same attempt.
//!
//! Invariants:
//! 1. A part is in exactly one state: not sent (`next` and above, unless answered in an earlier attempt), thrown back
//!    (`again`), under way (`under_way`: a session waits for its answer), or settled.
//! 2. A part is given out for sending only once, and again only after it is thrown back: two requests for it never wait for
//!    answers at the same time.

use crate::model::{Coding, Mono, ShardId, Sound, Tail, Wall, holds};
use crate::traffic::{PartSet, Submit};
use stentor_smpp::split::{Plan, Position};

use super::smpp::compose;

/// A message that the link holds, and the state of its parts.
#[derive(Debug)]
pub struct InHand {
    /// The message as the shard handed it over.
    pub submit: Submit,
    /// The shard that handed it over.
    pub shard: ShardId,
    /// Position in the order in which messages were handed to this link; the older message has the smaller number.
    pub order: u64,
    /// How the text is encoded and cut into parts; `None` until the first part is composed.
    pub plan: Option<Plan>,
    /// The link's count of option changes when `plan` was made.
    pub era: u32,
    /// Position in the text after the highest part that was composed.
    pub position: Position,
    /// Last digits of the sender's number; set when the message is planned.
    pub sender: Tail,
    /// When a part was written that the carrier then throttled; 0 if none was.
    pub throttled_at: Mono,
    /// A part was refused, so no more parts are sent.
    pub stopped: bool,
    pub parts: Parts,
}

/// The state of each part of one message. Until the message is planned it counts as one part.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The next part that was not sent yet.
    next: u8,
    /// Whether `next` has passed the last part.
    ended: bool,
    /// Parts that were thrown back, ascending.
    again: Vec<u8>,
    /// Parts whose answer a session waits for.
    under_way: PartSet,
    /// Whether the carrier has a part of this attempt, or may have one.
    begun: bool,
}

impl InHand {
    /// A message that was just handed over.
    pub fn new(submit: Submit, shard: ShardId, order: u64) -> Self {
        let parts = Parts { next: 1, ended: false, again: Vec::new(), under_way: PartSet::default(), begun: false };
        Self {
            submit,
            shard,
            order,
            plan: None,
            era: 0,
            position: Position::default(),
            sender: Tail::NONE,
            throttled_at: Mono(0),
            stopped: false,
            parts,
        }
    }

    /// Number of parts at this carrier; 1 until the message is planned.
    pub fn total(&self) -> u8 {
        self.plan.as_ref().map_or(1, Plan::parts)
    }

    /// The encoding in which it is sent; unknown until it is planned.
    pub fn coding(&self) -> Coding {
        self.plan.as_ref().map_or(Coding::Unknown, |plan| compose::coding(plan.alphabet()))
    }

    /// Discards the plan, so that a new one is made, if the carrier has nothing of this attempt.
    pub fn replan(&mut self) {
        if self.parts.is_untouched() {
            self.plan = None;
            self.position = Position::default();
            self.parts.again.clear();
            (self.parts.next, self.parts.ended) = (1, false);
        }
    }

    /// Whether the message has expired.
    pub fn is_expired(&self, now: Wall) -> bool {
        self.submit.head.expires_at != Wall(0) && now >= self.submit.head.expires_at
    }

    /// The part to send now; see [`Parts::next`].
    pub fn next_part(&mut self) -> Option<u8> {
        let total = self.plan.as_ref().map(Plan::parts);
        self.parts.next(total, self.submit.answered.as_deref())
    }

    /// Takes one of the parts that are not sent, and skips it for sending; to be called until `None`. A message that is not
    /// planned yet counts as one part.
    pub fn take_unsent(&mut self) -> Option<u8> {
        let part = self.next_part()?;
        if self.parts.again.is_empty() {
            self.parts.pass(self.total());
        } else {
            self.parts.again.remove(0);
        }
        Some(part)
    }

    /// Checks the invariants; see [`Parts::check`].
    pub fn check(&self, waited_for: &[u8]) -> Sound {
        self.parts.check(waited_for)
    }

    /// Whether no part is under way and no part is left to send.
    pub fn is_over(&mut self) -> bool {
        self.parts.under_way.is_empty() && self.next_part().is_none()
    }
}

impl Parts {
    /// The part to send now: first those thrown back, in ascending order, then the next one that was not answered in an earlier
    /// attempt. `total` is `None` until the message is planned. Returns the same part until [`Self::handle_sent`].
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

    /// The part was given to a session.
    pub fn handle_sent(&mut self, part: u8, total: u8) {
        self.under_way.insert(part);
        if self.again.first() == Some(&part) {
            self.again.remove(0);
        } else {
            self.pass(total);
        }
    }

    /// A part that was under way is settled. `begun`: whether the carrier has it, or may have it.
    pub fn handle_settled(&mut self, part: u8, begun: bool) {
        self.land(part);
        self.begun |= begun;
    }

    /// A part that was under way must be sent again.
    pub fn handle_thrown_back(&mut self, part: u8) {
        self.land(part);
        let at = self.again.partition_point(|other| *other < part);
        self.again.insert(at, part);
    }

    /// Whether the carrier has nothing of this attempt: the message may go over another bind, or be given back as a whole.
    pub fn is_untouched(&self) -> bool {
        !self.begun && self.under_way.is_empty()
    }

    /// Whether the part is among those that were already composed or skipped, so that its text begins before
    /// [`Held::position`].
    pub fn is_behind(&self, part: u8) -> bool {
        part < self.next || self.ended
    }

    fn land(&mut self, part: u8) {
        let was_there = self.under_way.remove(part);
        debug_assert!(was_there, "part {part} is answered, but was not under way");
    }

    /// Checks the invariants. `waited_for`: the part of this message in each submit whose answer a session waits for.
    fn check(&self, waited_for: &[u8]) -> Sound {
        let mut distinct = PartSet::default();
        for part in waited_for {
            holds!(2, distinct.insert(*part), "two requests wait for part {part}");
        }
        holds!(1, distinct == self.under_way, "{waited_for:?} are waited for, under way is {:?}", self.under_way);
        let is_ordered = self.again.is_sorted_by(|a, b| a < b);
        holds!(1, is_ordered, "thrown back: {:?}", self.again);
        for part in self.again.iter().copied().chain(self.under_way.iter()) {
            holds!(1, self.is_behind(part), "part {part} counts as not sent, but it was sent");
        }
        let both = self.again.iter().find(|part| self.under_way.contains(**part));
        holds!(1, both.is_none(), "part {both:?} is thrown back and under way");
        Ok(())
    }

    const fn pass(&mut self, total: u8) {
        self.ended = self.next >= total;
        // There is no part after 255: `ended` is set then.
        self.next = self.next.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Parts {
        Parts { next: 1, ended: false, again: Vec::new(), under_way: PartSet::default(), begun: false }
    }

    fn broken(parts: &Parts, waited_for: &[u8]) -> Option<u8> {
        parts.check(waited_for).err().map(|broken| broken.number)
    }

    #[test]
    fn breaking_invariant_1_is_noticed() {
        let mut parts = parts();
        (1..=3).for_each(|part| parts.handle_sent(part, 4));
        parts.handle_settled(2, true);
        parts.handle_thrown_back(1);
        assert_eq!(parts.check(&[3]), Ok(()));
        assert_eq!(broken(&parts, &[]), Some(1), "no session waits for part 3");
        assert_eq!(broken(&parts, &[2, 3]), Some(1), "part 2 is settled, and a session waits for it");
        let mut twice = parts.clone();
        twice.again.push(3);
        assert_eq!(broken(&twice, &[3]), Some(1), "thrown back and under way");
        twice.again = vec![1, 1];
        assert_eq!(broken(&twice, &[3]), Some(1), "thrown back twice");
        twice.again = vec![4];
        assert_eq!(broken(&twice, &[3]), Some(1), "thrown back, and not sent yet");
    }

    #[test]
    fn breaking_invariant_2_is_noticed() {
        let mut parts = parts();
        parts.handle_sent(1, 2);
        // As if it had not advanced to the next part.
        parts.next = 1;
        assert_eq!(parts.next(Some(2), None), Some(1));
        parts.handle_sent(1, 2);
        assert_eq!(broken(&parts, &[1, 1]), Some(2));
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
        parts.handle_settled(1, false);
        parts.handle_settled(3, false);
        assert!(parts.is_untouched());
    }

    #[test]
    fn the_last_of_255_parts_ends_it() {
        let mut parts = parts();
        for part in 1..=255 {
            assert_eq!(parts.next(Some(255), None), Some(part));
            parts.handle_sent(part, 255);
        }
        assert_eq!((parts.next(Some(255), None), parts.under_way.len()), (None, 255));
    }
}
