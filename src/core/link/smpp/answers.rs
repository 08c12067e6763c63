//! The outcomes of parts: made from responses, lost connections and our own decisions.
//!
//! Each part handed over gets its outcome through [`Link::conclude`] exactly once. A late answer adds a second outcome, by
//! [`Link::handle_late`].

use crate::model::limits::CARRIER_ID_BYTES_MAX;
use crate::model::{CarrierError, Class, ErrorFamily, Mono, Now};
use crate::traffic::{Answer, NotWritten, Outcome, Span, Unanswered};
use stentor_smpp::receipt_id::id_key;
use stentor_smpp::session::Response;

use super::super::Link;
use super::super::breaker::{Breaker, BreakerTurn};
use super::super::event::{Alarm, BindId, LinkEffect, SessionLoss};
use super::super::in_hand::InHand;
use super::super::prepared::Index;
use super::leg::{Missed, PartToken};

/// The operator is told at most once in this time that the carrier could not read a submit.
const UNREADABLE_TOLD_NS: u64 = 10_000_000_000;

/// How a submit without a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::link) enum End {
    /// It was certainly not sent.
    NotWritten(NotWritten),
    /// It may have been sent.
    Unanswered(Unanswered),
}

impl Link {
    /// A submit was answered.
    pub(in crate::link) fn handle_answer(&mut self, bind: BindId, response: &Response<'_, PartToken>, now: Now) {
        if let Some(leg) = self.leg(bind) {
            leg.noise.handle_traffic();
        }
        let queued_at = Mono(response.queued_at_ns);
        let written_at = self.leg(bind).map_or(queued_at, |leg| leg.written_at(queued_at, now.mono));
        if response.late {
            self.counters.late_responses += 1;
            return self.handle_late(bind, response, written_at);
        }
        match self.refusal(response) {
            None => self.handle_accepted(response, written_at),
            Some(CarrierError { family: ErrorFamily::Throttle, .. }) => {
                self.handle_throttled(bind, response, written_at, now);
            }
            Some(error) => self.handle_refused(bind, response, error, written_at, now),
        }
    }

    /// The error in a response; `None`: the carrier accepted the submit. A `generic_nack` accepts nothing, whatever its status.
    fn refusal(&self, response: &Response<'_, PartToken>) -> Option<CarrierError> {
        let family = match (self.options.family_of(response.status), response.nacked) {
            (None, true) => Some(ErrorFamily::OurBug),
            (family, _) => family,
        };
        family.map(|family| CarrierError::of_answer(family, response.status.0))
    }

    /// The answer to a part that was given up before. The shard is told; windows, rate and breaker do not change.
    fn handle_late(&mut self, bind: BindId, response: &Response<'_, PartToken>, written_at: Mono) {
        let refusal = self.refusal(response);
        let Some(leg) = self.leg(bind) else { return };
        // Only parts that ran into the response time-out are kept in `missed`; all others have their final outcome.
        let Some(at) = leg.missed.iter().position(|missed| missed.token == response.token) else { return };
        let Missed { token, shard, address, attempt, parts, sender, coding } = leg.missed.swap_remove(at);
        let id = response.message_id.get(..CARRIER_ID_BYTES_MAX).unwrap_or(response.message_id);
        let id = if refusal.is_none() { id } else { &[] };
        if !id.is_empty() {
            self.ids.insert(id_key(self.id_seed(), id), shard);
        }
        let answer = refusal.map_or(Answer::Accepted(Span::default()), Answer::Refused);
        let part = token.part;
        let outcome = Outcome { address, attempt, part, parts, answer, bind: bind.0, written_at, sender, coding };
        self.outbox.push_outcome(shard, outcome, id);
    }

    fn handle_accepted(&mut self, response: &Response<'_, PartToken>, written_at: Mono) {
        self.counters.accepted += 1;
        self.flow.handle_accepted(Mono(response.queued_at_ns));
        self.close_breaker(Breaker::handle_accepted);
        let PartToken { index, part } = response.token;
        let Some(in_hand) = self.in_hand(index) else { return };
        in_hand.parts.handle_settled(part, true);
        let shard = in_hand.shard;
        let id = response.message_id.get(..CARRIER_ID_BYTES_MAX).unwrap_or(response.message_id);
        if !id.is_empty() {
            self.ids.insert(id_key(self.id_seed(), id), shard);
        }
        self.conclude(index, part, Answer::Accepted(Span::default()), written_at, id);
        self.finish(index);
    }

    fn handle_refused(
        &mut self,
        bind: BindId,
        response: &Response<'_, PartToken>,
        error: CarrierError,
        written_at: Mono,
        now: Now,
    ) {
        let status = response.status.0;
        self.counters.refused += 1;
        self.counters.count_status(status);
        let PartToken { index, part } = response.token;
        if let Some(in_hand) = self.in_hand(index) {
            in_hand.stopped = true;
            in_hand.parts.handle_settled(part, false);
            self.conclude(index, part, Answer::Refused(error), written_at, &[]);
            self.prepared.pull_out(index);
            self.answer_unsent(index, NotWritten::SiblingRefused);
        }
        match error.family {
            ErrorFamily::Session => {
                self.lose(bind, SessionLoss::NotBound);
            }
            ErrorFamily::Credential | ErrorFamily::OurBug => {
                if error.family == ErrorFamily::OurBug {
                    self.tell_unreadable(bind, status, now.mono);
                }
                if self.breaker.handle_refused(now.mono) == Some(BreakerTurn::Opened) {
                    self.effects.push_back(LinkEffect::Alarm(Alarm::BreakerOpened { status }));
                }
            }
            ErrorFamily::Throttle | ErrorFamily::Transient | ErrorFamily::Permanent | ErrorFamily::Unknown => {
                self.close_breaker(Breaker::handle_other);
            }
        }
    }

    /// Told rarely, because the carrier decides how often it happens; the counters by command status count every case.
    fn tell_unreadable(&mut self, bind: BindId, status: u32, now: Mono) {
        if self.unreadable_told.is_none_or(|at| now.since(at) >= UNREADABLE_TOLD_NS) {
            self.unreadable_told = Some(now);
            self.effects.push_back(LinkEffect::Alarm(Alarm::Unreadable { bind, status }));
        }
    }

    /// The carrier throttled: the part goes back ahead of its followers. This consumes no attempt; the part is tried again until
    /// the message expires, unless the link cannot send or another part was refused.
    fn handle_throttled(&mut self, bind: BindId, response: &Response<'_, PartToken>, written_at: Mono, now: Now) {
        self.counters.throttled += 1;
        self.close_breaker(Breaker::handle_other);
        self.counters.count_status(response.status.0);
        self.flow.handle_throttled(Mono(response.queued_at_ns), now.mono);
        let obstacle = self.obstacle();
        let ready = self.leg(bind).is_some_and(|leg| leg.ready && !leg.give_up);
        let PartToken { index, part } = response.token;
        let flying = self.prepared.is_flying(index);
        let Some(in_hand) = self.in_hand(index) else { return };
        in_hand.throttled_at = written_at;
        in_hand.parts.handle_thrown_back(part);
        let end = match obstacle {
            _ if in_hand.is_expired(now.wall) => Some(NotWritten::Expired),
            _ if in_hand.stopped => Some(NotWritten::SiblingRefused),
            Some(why) => Some(why),
            None if ready || in_hand.parts.is_untouched() => None,
            None => Some(NotWritten::ConnectionLost),
        };
        match end {
            Some(why) => {
                self.prepared.pull_out(index);
                self.answer_unsent(index, why);
            }
            None if flying => self.prepared.put(bind.0, index),
            None => {}
        }
    }

    /// A submit ended without a response. If it was written, then by now.
    pub(in crate::link) fn handle_end(&mut self, bind: BindId, token: PartToken, end: End, now: Now) {
        let PartToken { index, part } = token;
        let flying = self.prepared.is_flying(index);
        let Some(in_hand) = self.in_hand(index) else { return };
        if end == End::NotWritten(NotWritten::ConnectionLost) && !in_hand.stopped {
            // As if the part had never been given to the session: it stays ahead of its followers.
            in_hand.parts.handle_thrown_back(part);
            if flying {
                self.prepared.put(bind.0, index);
            }
            return;
        }
        let (answer, written_at) = match end {
            End::NotWritten(why) => (Answer::NotWritten(why), in_hand.throttled_at),
            End::Unanswered(why) => (Answer::Unanswered(why), now.mono),
        };
        in_hand.parts.handle_settled(part, matches!(end, End::Unanswered(_)));
        self.conclude(index, part, answer, written_at, &[]);
        self.finish(index);
    }

    /// Remembers a part whose answer did not come in time, as its session may still bring it. Other ends are not remembered:
    /// a carrier whose answers cannot be read would let the list grow without bound.
    pub(in crate::link) fn miss(&mut self, bind: BindId, token: PartToken) {
        let Some(in_hand) = self.in_hand(token.index) else { return };
        let (shard, parts, sender, coding) = (in_hand.shard, in_hand.total(), in_hand.sender, in_hand.coding());
        let (address, attempt) = (in_hand.submit.address, in_hand.submit.attempt);
        if let Some(leg) = self.leg(bind) {
            leg.missed.push(Missed { token, shard, address, attempt, parts, sender, coding });
        }
    }

    /// Reports the unsent parts of a message as not written. The message must be in no queue; it is removed as soon as no part
    /// of it is under way.
    pub(in crate::link) fn answer_unsent(&mut self, index: Index, why: NotWritten) {
        let unsent = |in_hand: &mut InHand| Some((in_hand.take_unsent()?, in_hand.throttled_at));
        while let Some((part, throttled_at)) = self.prepared.get_mut(index).and_then(unsent) {
            self.conclude(index, part, Answer::NotWritten(why), throttled_at, &[]);
        }
        self.prepared.fly(index);
        self.finish(index);
    }

    /// Reports a message, or the rest of it, as unencodable. The message must be in no queue.
    pub(in crate::link) fn answer_unencodable(&mut self, index: Index) {
        let Some(in_hand) = self.in_hand(index) else { return };
        in_hand.replan();
        if let Some(part) = in_hand.take_unsent() {
            self.conclude(index, part, Answer::Unencodable, Mono(0), &[]);
        }
        self.answer_unsent(index, NotWritten::SiblingRefused);
    }

    /// Reports all unsent parts as not written.
    pub(in crate::link) fn reject_all(&mut self, why: NotWritten, now: Now) {
        if self.prepared.unsent() == [0; Class::COUNT] && self.prepared.on_trial() == 0 {
            return;
        }
        for index in self.prepared.take_all_unsent() {
            let expired = |in_hand: &mut InHand| in_hand.parts.is_untouched() && in_hand.is_expired(now.wall);
            let why = if self.prepared.get_mut(index).is_some_and(expired) { NotWritten::Expired } else { why };
            self.answer_unsent(index, why);
        }
    }

    /// Takes the messages from a connection that cannot submit: those not begun become shared again, the unsent parts of those
    /// begun are reported as not written.
    pub(in crate::link) fn release(&mut self, bind: BindId) {
        for index in self.prepared.release(bind.0) {
            self.answer_unsent(index, NotWritten::ConnectionLost);
        }
    }

    /// Removes a message if all its parts are concluded.
    fn finish(&mut self, index: Index) {
        if self.prepared.get_mut(index).is_some_and(InHand::is_over) {
            self.prepared.remove(index);
        }
    }

    /// A message with a part that is not concluded; such a message must still be here.
    fn in_hand(&mut self, index: Index) -> Option<&mut InHand> {
        let in_hand = self.prepared.get_mut(index);
        debug_assert!(in_hand.is_some(), "message {index} was removed before all its parts were concluded");
        in_hand
    }

    /// Tells the shard the outcome of one part. No other function does so for a part that is under way or unsent.
    fn conclude(&mut self, index: Index, part: u8, answer: Answer, written_at: Mono, id: &[u8]) {
        let bind = self.prepared.bind_of(index);
        let Some(in_hand) = self.in_hand(index) else { return };
        let (shard, address, attempt, parts) =
            (in_hand.shard, in_hand.submit.address, in_hand.submit.attempt, in_hand.total());
        let (sender, coding) = (in_hand.sender, in_hand.coding());
        match answer {
            Answer::Accepted(_) | Answer::Refused(_) => {}
            Answer::NotWritten(_) => self.counters.not_written += 1,
            Answer::Unanswered(_) => self.counters.unanswered += 1,
            Answer::Unencodable => self.counters.unencodable += 1,
        }
        let outcome = Outcome { address, attempt, part, parts, answer, bind, written_at, sender, coding };
        self.outbox.push_outcome(shard, outcome, id);
    }

    pub(in crate::link) fn close_breaker(&mut self, by: fn(&mut Breaker) -> Option<BreakerTurn>) {
        if by(&mut self.breaker) == Some(BreakerTurn::Closed) {
            self.effects.push_back(LinkEffect::Alarm(Alarm::BreakerClosed));
        }
    }

    /// Seed for the keys of the id table, which are compared only within this link.
    pub(in crate::link) fn id_seed(&self) -> u64 {
        u64::from(self.options.group.0)
    }
}
