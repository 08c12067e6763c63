//! What became of parts: from responses, lost connections and our own decisions to outcomes.
//!
//! Each part handed over leaves through [`Link::conclude`] exactly once.

use crate::model::limits::CARRIER_ID_BYTES_MAX;
use crate::model::{CarrierError, ErrorFamily, Mono, Now};
use crate::traffic::{Answer, NotWritten, Outcome, Span, Unanswered};
use stentor_smpp::receipt_id::id_key;
use stentor_smpp::session::Answer as Response;

use super::Link;
use super::breaker::{Breaker, BreakerTurn};
use super::event::{Alarm, BindId, LinkEffect, SessionLoss};
use super::held::Held;
use super::leg::{Missed, PartToken};
use super::prepared::Index;

/// Submits that could not be read are told of once in so long.
const UNREADABLE_TOLD_NS: u64 = 10_000_000_000;

/// How a submit ended that has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It certainly did not leave.
    NotWritten(NotWritten),
    /// Nobody knows.
    Unanswered(Unanswered),
}

impl Link {
    /// A submit was answered.
    pub(super) fn handle_answer(&mut self, bind: BindId, response: &Response<'_, PartToken>, now: Now) {
        if let Some(leg) = self.leg(bind) {
            leg.noise.handle_traffic();
        }
        if response.late {
            self.counters.late_responses += 1;
            return self.handle_late(bind, response);
        }
        match self.refusal(response) {
            None => self.handle_accepted(response),
            Some(CarrierError { family: ErrorFamily::Throttle, .. }) => self.handle_throttled(bind, response, now),
            Some(error) => self.handle_refused(bind, response, error, now),
        }
    }

    /// What a response says against its submit; `None`: taken. A generic_nack takes nothing, whatever its status.
    fn refusal(&self, response: &Response<'_, PartToken>) -> Option<CarrierError> {
        let family = match (self.options.family_of(response.status), response.nacked) {
            (None, true) => Some(ErrorFamily::OurBug),
            (family, _) => family,
        };
        family.map(|family| CarrierError::of_answer(family, response.status.0))
    }

    /// The answer to a part that was given up. What it says is told; it consumes nothing and holds nothing back.
    fn handle_late(&mut self, bind: BindId, response: &Response<'_, PartToken>) {
        let refusal = self.refusal(response);
        let Some(leg) = self.leg(bind) else { return };
        // Only what ended for want of time is kept: of the rest everything was said.
        let Some(at) = leg.missed.iter().position(|missed| missed.token == response.token) else { return };
        let Missed { token, shard, address, attempt, parts, sender, coding } = leg.missed.swap_remove(at);
        let id = response.message_id.get(..CARRIER_ID_BYTES_MAX).unwrap_or(response.message_id);
        let id = if refusal.is_none() { id } else { &[] };
        if !id.is_empty() {
            self.ids.insert(id_key(self.id_seed(), id), shard);
        }
        let answer = refusal.map_or(Answer::Accepted(Span::default()), Answer::Refused);
        let (part, written_at) = (token.part, Mono(response.queued_at_ns));
        let outcome = Outcome { address, attempt, part, parts, answer, bind: bind.0, written_at, sender, coding };
        self.outbox.push_outcome(shard, outcome, id);
    }

    fn handle_accepted(&mut self, response: &Response<'_, PartToken>) {
        let written_at = Mono(response.queued_at_ns);
        self.counters.accepted += 1;
        self.flow.handle_accepted(written_at);
        self.close_breaker(Breaker::handle_accepted);
        let PartToken { index, part } = response.token;
        let Some(held) = self.held(index) else { return };
        held.parts.handle_settled(part, true);
        let shard = held.shard;
        let id = response.message_id.get(..CARRIER_ID_BYTES_MAX).unwrap_or(response.message_id);
        if !id.is_empty() {
            self.ids.insert(id_key(self.id_seed(), id), shard);
        }
        self.conclude(index, part, Answer::Accepted(Span::default()), written_at, id);
        self.finish(index);
    }

    fn handle_refused(&mut self, bind: BindId, response: &Response<'_, PartToken>, error: CarrierError, now: Now) {
        let status = response.status.0;
        self.counters.refused += 1;
        self.counters.count_status(status);
        let PartToken { index, part } = response.token;
        if let Some(held) = self.held(index) {
            held.stopped = true;
            held.parts.handle_settled(part, false);
            self.conclude(index, part, Answer::Refused(error), Mono(response.queued_at_ns), &[]);
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

    /// A carrier decides how often it says so; the counters by status tell all.
    fn tell_unreadable(&mut self, bind: BindId, status: u32, now: Mono) {
        if self.unreadable_told.is_none_or(|at| now.since(at) >= UNREADABLE_TOLD_NS) {
            self.unreadable_told = Some(now);
            self.effects.push_back(LinkEffect::Alarm(Alarm::Unreadable { bind, status }));
        }
    }

    /// Too fast: the part goes back before its followers; it consumes no attempt and ends only with the message's time.
    fn handle_throttled(&mut self, bind: BindId, response: &Response<'_, PartToken>, now: Now) {
        self.counters.throttled += 1;
        self.close_breaker(Breaker::handle_other);
        self.counters.count_status(response.status.0);
        self.flow.handle_throttled(Mono(response.queued_at_ns), now.mono);
        let obstacle = self.obstacle();
        let ready = self.leg(bind).is_some_and(|leg| leg.ready && !leg.give_up);
        let PartToken { index, part } = response.token;
        let flying = self.prepared.is_flying(index);
        let Some(held) = self.held(index) else { return };
        held.parts.handle_thrown_back(part);
        let end = match obstacle {
            _ if held.is_expired(now.wall) => Some(NotWritten::Expired),
            _ if held.stopped => Some(NotWritten::SiblingRefused),
            Some(why) => Some(why),
            None if ready || held.parts.is_untouched() => None,
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

    /// A submit ended without a response.
    pub(super) fn handle_end(&mut self, bind: BindId, token: PartToken, end: End) {
        let PartToken { index, part } = token;
        let flying = self.prepared.is_flying(index);
        let Some(held) = self.held(index) else { return };
        if end == End::NotWritten(NotWritten::ConnectionLost) && !held.stopped {
            // As if it had never been given to the session: it keeps its place before its followers.
            held.parts.handle_thrown_back(part);
            if flying {
                self.prepared.put(bind.0, index);
            }
            return;
        }
        let (answer, written_at) = match end {
            End::NotWritten(why) => (Answer::NotWritten(why), Mono(0)),
            End::Unanswered(why) => (Answer::Unanswered(why), held.sent_at),
        };
        held.parts.handle_settled(part, matches!(end, End::Unanswered(_)));
        self.conclude(index, part, answer, written_at, &[]);
        self.finish(index);
    }

    /// A part's answer did not come in time; its session may still bring it. No other end is kept here, or a carrier that
    /// answers what nobody can read would fill this without end.
    pub(super) fn miss(&mut self, bind: BindId, token: PartToken) {
        let Some(held) = self.held(token.index) else { return };
        let (shard, parts, sender, coding) = (held.shard, held.total(), held.sender, held.coding());
        let (address, attempt) = (held.submit.address, held.submit.attempt);
        if let Some(leg) = self.leg(bind) {
            leg.missed.push(Missed { token, shard, address, attempt, parts, sender, coding });
        }
    }

    /// Answers all of a message that was not sent; the message stands in no queue, and is gone when nothing of it is
    /// under way.
    pub(super) fn answer_unsent(&mut self, index: Index, why: NotWritten) {
        while let Some(part) = self.prepared.get_mut(index).and_then(Held::take_unsent) {
            self.conclude(index, part, Answer::NotWritten(why), Mono(0), &[]);
        }
        self.prepared.fly(index);
        self.finish(index);
    }

    /// The message, or what is left of it, cannot be coded; it stands in no queue.
    pub(super) fn answer_unencodable(&mut self, index: Index) {
        let Some(held) = self.held(index) else { return };
        held.replan();
        if let Some(part) = held.take_unsent() {
            self.conclude(index, part, Answer::Unencodable, Mono(0), &[]);
        }
        self.answer_unsent(index, NotWritten::SiblingRefused);
    }

    /// Answers everything that is not sent.
    pub(super) fn reject_all(&mut self, why: NotWritten, now: Now) {
        if self.prepared.unsent() == (0, 0) && self.prepared.on_trial() == 0 {
            return;
        }
        for index in self.prepared.take_all_unsent() {
            let expired = |held: &mut Held| held.parts.is_untouched() && held.is_expired(now.wall);
            let why = if self.prepared.get_mut(index).is_some_and(expired) { NotWritten::Expired } else { why };
            self.answer_unsent(index, why);
        }
    }

    /// A connection that cannot submit gives back what it has not begun; what it has begun ends here.
    pub(super) fn release(&mut self, bind: BindId) {
        for index in self.prepared.release(bind.0) {
            self.answer_unsent(index, NotWritten::ConnectionLost);
        }
    }

    /// Forgets a message of which nothing is left to wait for.
    fn finish(&mut self, index: Index) {
        if self.prepared.get_mut(index).is_some_and(Held::is_over) {
            self.prepared.remove(index);
        }
    }

    /// The message of which something waits for an answer, or is to be answered: it is here until that is concluded.
    fn held(&mut self, index: Index) -> Option<&mut Held> {
        let held = self.prepared.get_mut(index);
        debug_assert!(held.is_some(), "message {index} went before all of it was answered");
        held
    }

    /// The one way out: tells the shard what became of one part.
    fn conclude(&mut self, index: Index, part: u8, answer: Answer, written_at: Mono, id: &[u8]) {
        let bind = self.prepared.bind_of(index);
        let Some(held) = self.held(index) else { return };
        let (shard, address, attempt, parts) = (held.shard, held.submit.address, held.submit.attempt, held.total());
        let (sender, coding) = (held.sender, held.coding());
        match answer {
            Answer::Accepted(_) | Answer::Refused(_) => {}
            Answer::NotWritten(_) => self.counters.not_written += 1,
            Answer::Unanswered(_) => self.counters.unanswered += 1,
            Answer::Unencodable => self.counters.unencodable += 1,
        }
        let outcome = Outcome { address, attempt, part, parts, answer, bind, written_at, sender, coding };
        self.outbox.push_outcome(shard, outcome, id);
    }

    pub(super) fn close_breaker(&mut self, by: fn(&mut Breaker) -> Option<BreakerTurn>) {
        if by(&mut self.breaker) == Some(BreakerTurn::Closed) {
            self.effects.push_back(LinkEffect::Alarm(Alarm::BreakerClosed));
        }
    }

    /// Keys of the id table need only agree within this link.
    pub(super) fn id_seed(&self) -> u64 {
        u64::from(self.options.group.0)
    }
}
