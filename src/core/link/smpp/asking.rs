//! Asks a carrier that sends no receipts for the state of its messages, by `query_sm` (SMPP 3.4 §4.8). A shard gets the answer in
//! the form of a receipt.
//!
//! Only an answer with a final state counts. Any other answer changes nothing, and the message is asked about again later; the
//! same holds when the carrier refuses the query, does not know the id, says `UNKNOWN` or does not answer. `final_date` is not
//! used, just as the dates in receipts are not used.

use crate::model::{Mono, Now, Numbers, Tail};
use crate::traffic::{IfUnknown, QueryBatch, ReceiptIn, ReceiptToken, Span};
use stentor_smpp::pdu::{QuerySm, QuerySmResp};
use stentor_smpp::receipt;
use stentor_smpp::session::{Response, SendError};

use super::super::Link;
use super::super::event::{Alarm, BindId, LinkEffect};
use super::super::queries::{Next, Query};
use super::compose::source;
use super::leg::{Leg, Word};
use super::spelling;

/// Maximum number of queries sent in one turn.
const PER_TURN_MAX: usize = 256;

/// Pause before a query that a session did not take is tried again, ms.
const NOT_TAKEN_MS: u64 = 1_000;

impl Link {
    /// Takes over a shard's messages to ask about.
    pub(in crate::link) fn handle_queries(&mut self, batch: QueryBatch, now: Now) {
        let before = self.counters.queries_dropped;
        for asked in &batch.queries {
            let query = Query {
                shard: batch.shard,
                recipient: asked.recipient,
                sender: asked.sender,
                id: asked.id.of(&batch.arena).into(),
                until: now.mono.after_ms(asked.until.since(now.wall)),
            };
            let is_taken = self.queries.insert(query, now.wall.since(asked.sent_at), now.mono);
            self.counters.queries_dropped += u64::from(!is_taken);
        }
        if before == 0 && self.counters.queries_dropped > 0 && self.options.query.is_some() {
            self.effects.push_back(LinkEffect::Alarm(Alarm::QueriesFull));
        }
    }

    /// Sends the queries that are due, within the agreed rate.
    pub(in crate::link) fn ask_carrier(&mut self, now: Now) {
        self.query_at = None;
        if self.queries.is_empty() || self.draining || self.disk.is_out() {
            return;
        }
        for _ in 0..PER_TURN_MAX {
            // No timer is needed here: when a connection gets bound or has room again, an event says so.
            let Some(at) = self.leg_to_ask(now.mono) else { return };
            match self.queries.next(now.mono) {
                Next::Ask(query) => self.send_query(at, query, now),
                Next::At(at) => {
                    self.query_at = at;
                    return;
                }
            }
        }
        self.query_at = Some(now.mono);
    }

    /// A connection that may send a query: it can submit, it is not kept free for a trial, and queries take at most a quarter of
    /// its window (but always at least one slot). So a carrier that does not answer queries cannot block messages.
    fn leg_to_ask(&self, now: Mono) -> Option<usize> {
        let most = (self.options.window / 4).max(1);
        let has_room = |leg: &Leg| leg.session.as_ref().is_some_and(|session| session.window_free() > 0);
        let may_ask = |at: &usize| {
            self.legs.get(*at).is_some_and(|leg| {
                let is_free = leg.ready && !leg.give_up && !self.trials.is_at(*at as u16);
                is_free && leg.queries_out < most && has_room(leg) && leg.has_room(false, now)
            })
        };
        (0..self.legs.len()).map(|step| (self.turn + step) % self.legs.len()).find(may_ask)
    }

    fn send_query(&mut self, at: usize, number: u32, now: Now) {
        let (Some(query), Some(leg)) = (self.queries.get(number), self.legs.get_mut(at)) else { return };
        let Some(session) = leg.session.as_mut() else { return };
        let asked = QuerySm { message_id: &query.id, source: source(&query.sender, &self.options.numbering) };
        match session.query(Word::Query(number), &asked, now.mono.0) {
            Ok(_) => {
                leg.queries_out += 1;
                self.counters.queries += 1;
            }
            // An id that is longer than SMPP allows cannot be asked about.
            Err(SendError::Encode(_)) => {
                self.queries.take(number);
                self.counters.queries_dropped += 1;
            }
            Err(SendError::NotBound | SendError::WrongDirection | SendError::WindowFull | SendError::Backlogged) => {
                debug_assert!(false, "bind {at} was asked whether it has room");
                self.queries.put_back(number, now.mono.after_ms(NOT_TAKEN_MS));
            }
        }
    }

    /// The carrier answered a query.
    pub(in crate::link) fn handle_query_answer(
        &mut self,
        bind: BindId,
        number: u32,
        answer: &Response<'_, Word>,
        found: Option<QuerySmResp<'_>>,
        now: Now,
    ) {
        // The query was given up before, and is sent again later.
        if answer.late {
            self.counters.late_responses += 1;
            return;
        }
        if let Some(leg) = self.leg(bind) {
            leg.noise.handle_traffic();
        }
        let is_ok = answer.status.is_ok() && !answer.nacked;
        let Some((state, code)) = found.filter(|_| is_ok).and_then(end_told) else {
            if !is_ok {
                self.counters.count_status(answer.status.0);
            }
            self.counters.queries_open += 1;
            return self.handle_query_open(bind, number, now);
        };
        self.query_is_in(bind);
        let Some(query) = self.queries.take(number) else { return };
        self.counters.queries_settled += 1;
        let receipt = ReceiptIn {
            token: ReceiptToken::NONE,
            if_unknown: IfUnknown::Tell,
            recipient: query.recipient,
            numbers: Numbers { source: Tail::of(query.recipient), destination: Tail::NONE },
            is_untyped: false,
            is_shared: false,
            is_asked: true,
            id: Span::default(),
            state: spelling::state(state),
            error: spelling::error_of_query(state, code),
            reference: None,
            at: now.wall,
            text: Span::default(),
        };
        self.outbox.push_receipt(query.shard, receipt, &query.id, b"");
    }

    /// A query brought no final state, or no answer: the message is asked about again later.
    pub(in crate::link) fn handle_query_open(&mut self, bind: BindId, number: u32, now: Now) {
        self.query_is_in(bind);
        self.queries.put_back(number, now.mono);
    }

    fn query_is_in(&mut self, bind: BindId) {
        if let Some(leg) = self.leg(bind) {
            debug_assert!(leg.queries_out > 0, "{bind:?} has no query without an answer");
            leg.queries_out = leg.queries_out.saturating_sub(1);
        }
    }
}

/// The final state in an answer, with the network's error code. `UNKNOWN` is not taken as final: the carrier says that it
/// does not know the state.
fn end_told(found: QuerySmResp<'_>) -> Option<(receipt::ReceiptState, u8)> {
    let state = receipt::ReceiptState::from_code(found.message_state)?;
    (state.is_final() && state != receipt::ReceiptState::Unknown).then_some((state, found.error_code))
}
