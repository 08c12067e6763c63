//! Sends prepared messages: which connection sends next, and how many parts at once.
//!
//! Tokens and window slots of submits are taken here, when a PDU is written, and nowhere else. A turn asks the limits once,
//! sends, and at the end takes the tokens that it used. This is correct because the time does not change within a turn.

use crate::delivery::doubt::part_reference;
use crate::model::{Class, Content, Mono, Now, Tail};
use crate::traffic::{NotWritten, SubmitBatch};
use stentor_smpp::session::{SendError, Session};
use stentor_smpp::split::Position;

use super::super::Link;
use super::super::ceiling::{is_bulk, sum};
use super::super::prepared::Index;
use super::compose::{Unencodable, Wanted, plan};
use super::leg::{Leg, PartToken, Word};

/// The tokens and window slots that are left for this turn.
#[derive(Clone, Copy, Debug)]
struct Budget {
    tokens: u32,
    slots: u32,
    /// Those of the slots that are on the bind kept free for a trial: other messages cannot use them.
    aside: u32,
    /// Slots that are kept for urgent messages on their way from a shard.
    reserved: u32,
    /// Tokens that are kept for them.
    reserved_tokens: u32,
    /// The classes of which more messages wait at shards.
    awaited: [bool; Class::COUNT],
    sent: u32,
}

impl Budget {
    const fn is_spent(&self) -> bool {
        self.tokens == 0 || self.slots == 0
    }

    const fn urgent_only(&self) -> bool {
        self.slots.saturating_sub(self.aside) <= self.reserved || self.tokens <= self.reserved_tokens
    }
}

/// The result of an attempt to send one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// The session has the part.
    Yes,
    /// The message was given up, and its outcomes are reported: it is expired or unencodable, for example.
    Answered,
    /// This connection takes no more.
    Full,
}

impl Link {
    /// Takes over messages that a shard handed over, and places that it gave back.
    pub(in crate::link) fn handle_submits(&mut self, batch: SubmitBatch, now: Now) {
        let submitted = u32::try_from(batch.submits.len()).unwrap_or(u32::MAX);
        let missing = self.grants.handle_batch(batch.shard, batch.class, submitted, batch.unused, now.mono);
        self.counters.ungranted += u64::from(missing);
        for submit in batch.submits {
            self.prepared.insert(batch.shard, submit);
        }
    }

    /// Free window slots that may be used now, over the connections for which `counts` is true.
    pub(in crate::link) fn free_slots(&self, counts: impl Fn(u16) -> bool) -> u32 {
        let session = |leg: &Leg| leg.session.as_ref().map_or((0, 0), |s| (s.window_free(), s.outstanding()));
        let (mut free, mut outstanding) = (0_u32, 0_u32);
        for (at, leg) in self.legs.iter().enumerate().filter(|(_, leg)| leg.ready) {
            let (leg_free, leg_outstanding) = session(leg);
            free = free.saturating_add(if counts(at as u16) { leg_free } else { 0 });
            outstanding = outstanding.saturating_add(leg_outstanding);
        }
        free.min(self.breaker.in_flight_max().saturating_sub(outstanding))
    }

    /// Parts that may be sent now by the limit of the link and the limits of its connections together.
    pub(in crate::link) fn tokens(&mut self, now: Now) -> u32 {
        let legs = self.legs.iter_mut().filter(|leg| leg.ready);
        let bind_limits = legs.map(|leg| leg.limit.as_mut().map_or(u32::MAX, |limit| limit.allowance(now.mono)));
        bind_limits.fold(0, u32::saturating_add).min(self.flow.allowance(now.mono))
    }

    /// Sends as many parts as the limits and windows allow.
    pub(in crate::link) fn pump(&mut self, now: Now) {
        self.wake_at = None;
        let on_trial = self.prepared.on_trial() > 0 || self.trials.is_some();
        let waits = self.prepared.unsent() != [0; Class::COUNT] || self.grants.urgent_ungranted() > 0 || on_trial;
        if !waits || self.obstacle().is_some() {
            return;
        }
        self.steer_trials(now);
        self.flow.set_stalled(self.stalled_parts(now));
        let tokens = self.tokens(now);
        let (slots, aside) = (self.free_slots(|_| true), self.free_slots(|bind| self.trials.is_at(bind)));
        let reserved = self.reserved(tokens.min(slots.saturating_sub(aside)));
        // A token of a punctual limit is lost if it waits. None is kept then: a message on its way gets the next one.
        let reserved_tokens = if self.flow.is_punctual(now.mono) { 0 } else { reserved };
        let awaited = self.grants.awaited();
        let mut budget = Budget { tokens, slots, aside, reserved, reserved_tokens, awaited, sent: 0 };
        self.spend(&mut budget, now);
        let taken = self.flow.take(budget.sent, now.mono);
        debug_assert!(taken, "the allowance was asked at the same instant");
        self.wake_at = self.next_wake(&budget, now).into_iter().chain(self.next_trial_at(now.mono)).min();
    }

    /// How many of `free` slots and tokens are kept for urgent messages on their way from a shard: those that have a place, and
    /// as many of the others as the ceilings leave them. If it is the turn of a bulk message, none is kept from it.
    fn reserved(&self, free: u32) -> u32 {
        let expected = self.grants.urgent_expected();
        let all: u64 = expected.iter().sum();
        if all == 0 {
            return 0;
        }
        let (prepared, ceilings) = (self.prepared.unsent(), self.prepared.ceilings());
        let wanted = Class::ALL.map(|of| expected[of.index()] + u64::from(prepared[of.index()]));
        let urgent_here = sum(prepared, Class::is_urgent);
        let left = (free - ceilings.beside_urgent(free, wanted)).saturating_sub(urgent_here);
        let granted = if ceilings.is_bulk_due(wanted) { 0 } else { self.grants.out().1 };
        u32::try_from(all).unwrap_or(u32::MAX).min(left.max(granted))
    }

    /// Lets each connection send in turn, and repeats while any of them still sends.
    fn spend(&mut self, budget: &mut Budget, now: Now) {
        let legs = self.legs.len();
        let ready = self.legs.iter().filter(|leg| leg.ready).count().max(1);
        loop {
            let before = budget.sent;
            let share = (budget.tokens / u32::try_from(ready).unwrap_or(1)).max(1);
            for step in 0..legs {
                let at = (self.turn + step) % legs;
                if !budget.is_spent() && self.legs[at].ready {
                    self.fill(at, share, budget, now);
                }
            }
            self.turn = (self.turn + 1) % legs.max(1);
            if budget.sent == before || budget.is_spent() {
                return;
            }
        }
    }

    /// Sends at most `share` parts on one connection.
    fn fill(&mut self, at: usize, share: u32, budget: &mut Budget, now: Now) {
        let limited = self.flow.is_limited();
        let leg = &mut self.legs[at];
        let limited = limited || leg.limit.is_some();
        if !leg.has_room(limited, now.mono) {
            return;
        }
        let share = leg.limit.as_mut().map_or(share, |limit| limit.allowance(now.mono).min(share));
        let session = leg.session.take();
        debug_assert!(session.is_some(), "bind {at} is ready without a session");
        let Some(mut session) = session else { return };
        let mut sent = 0;
        while sent < share && !budget.is_spent() && session.window_free() > 0 {
            let Some(index) = self.next_message(at as u16, budget.urgent_only()) else { break };
            match self.send_part(&mut session, index, now) {
                Sent::Yes => {
                    sent += 1;
                    budget.sent += 1;
                    budget.tokens -= 1;
                    budget.slots -= 1;
                    if !self.trials.is_at(at as u16) {
                        self.prepared.handle_sent(index, budget.awaited);
                    }
                    self.prepared.put(at as u16, index);
                }
                Sent::Answered => {}
                Sent::Full => {
                    self.prepared.put(at as u16, index);
                    break;
                }
            }
        }
        let leg = &mut self.legs[at];
        leg.session = Some(session);
        if sent > 0 {
            self.counters.sent += u64::from(sent);
            leg.handle_sent(sent, now.mono);
            if let Some(limit) = &mut leg.limit {
                let taken = limit.take(sent, now.mono);
                debug_assert!(taken, "the allowance was asked at the same instant");
            }
        }
    }

    /// Sends the next part of a message that is in no queue.
    fn send_part(&mut self, session: &mut Session<Word>, index: Index, now: Now) -> Sent {
        let in_hand = self.prepared.get_mut(index);
        debug_assert!(in_hand.is_some(), "message {index} was next, but is not here");
        let Some(in_hand) = in_hand else { return Sent::Answered };
        if in_hand.plan.is_some() && in_hand.era != self.era {
            if !in_hand.parts.is_untouched() {
                return self.give_up_rest(index, NotWritten::LinkDown);
            }
            in_hand.replan();
        }
        if in_hand.parts.is_untouched() && in_hand.is_expired(now.wall) {
            return self.give_up_rest(index, NotWritten::Expired);
        }
        let head = &in_hand.submit.head;
        let (from, bytes) = (head.content_at as usize, head.content_len as usize);
        let content = in_hand.submit.arena.get(from..from.saturating_add(bytes)).unwrap_or_default();
        let Ok(content) = Content::decode(content) else { return self.give_up_unencodable(index) };
        let planned = match in_hand.plan {
            Some(planned) => planned,
            None => match plan(head, &content, &self.options) {
                Ok(planned) => planned,
                Err(Unencodable) => return self.give_up_unencodable(index),
            },
        };
        (in_hand.plan, in_hand.era) = (Some(planned), self.era);
        in_hand.sender = Tail::of_written(content.from.as_bytes());
        // Parts of two different cuts under one reference cannot be joined to a message.
        if in_hand.submit.answered.take_if(|_| in_hand.submit.cut != planned.parts()).is_some() {
            return self.give_up_rest(index, NotWritten::CutChanged);
        }
        let Some(number) = in_hand.parts.next(Some(planned.parts()), in_hand.submit.answered.as_deref()) else {
            return self.give_up_rest(index, NotWritten::SiblingRefused);
        };
        let position = if in_hand.parts.is_behind(number) { Position::default() } else { in_hand.position };
        let reference = in_hand.submit.reference;
        let (address, attempt) = (in_hand.submit.address, in_hand.submit.attempt);
        let user_reference = self.options.part_references.then(|| part_reference(address, attempt, number));
        let content = &content;
        let wanted =
            Wanted { head, content, reference, user_reference, plan: planned, position, number, now: now.wall };
        let Ok((message, position)) = self.composer.compose(&wanted, &self.options) else {
            return self.give_up_unencodable(index);
        };
        match session.submit(Word::Part(PartToken { index, part: number }), &message, now.mono.0) {
            Ok(_) => {
                if !in_hand.parts.is_behind(number) {
                    in_hand.position = position;
                }
                in_hand.parts.handle_sent(number, planned.parts());
                Sent::Yes
            }
            Err(SendError::Encode(_)) => self.give_up_unencodable(index),
            Err(SendError::NotBound | SendError::WrongDirection | SendError::WindowFull | SendError::Backlogged) => {
                Sent::Full
            }
        }
    }

    fn give_up_rest(&mut self, index: Index, why: NotWritten) -> Sent {
        self.answer_unsent(index, why);
        Sent::Answered
    }

    fn give_up_unencodable(&mut self, index: Index) -> Sent {
        self.answer_unencodable(index);
        Sent::Answered
    }

    /// Parts that the limits count as sent but that still wait for a socket.
    fn stalled_parts(&self, now: Now) -> u32 {
        self.legs.iter().map(|leg| leg.stalled_parts(now.mono)).sum()
    }

    /// When tokens are available again, if messages wait for tokens and not for slots.
    fn next_wake(&mut self, budget: &Budget, now: Now) -> Option<Mono> {
        let prepared = self.prepared.unsent();
        let waits = prepared != [0; Class::COUNT] || self.prepared.on_trial() > 0 || self.grants.urgent_ungranted() > 0;
        if !waits || budget.slots == 0 {
            return None;
        }
        if self.flow.allowance(now.mono) == 0 {
            return Some(self.flow.next_at(now.mono));
        }
        // The tokens may be kept for urgent messages on their way, whose arrival starts a turn of its own. Until then, bulk
        // messages can continue as soon as there are more tokens than are kept; of these, a ceiling may take some off.
        let bulk = sum(prepared, is_bulk) > 0;
        let bulk_held_back = bulk && budget.tokens <= budget.reserved_tokens && self.flow.is_limited();
        let enough = budget.tokens.saturating_add(1);
        let soon = bulk_held_back.then(|| self.flow.next_for(enough, now.mono)).flatten().filter(|at| *at > now.mono);
        let legs = self.legs.iter_mut().filter(|leg| leg.ready);
        let limits = legs.filter_map(|leg| leg.limit.as_mut());
        limits.map(|limit| limit.next_at(now.mono)).filter(|at| *at > now.mono).chain(soon).min()
    }
}
