//! The link's sessions: connecting, binding, handling what they report, ending.

use crate::limit::SlidingLimit;
use crate::model::{ErrorFamily, Now, Point, ShardId};
use crate::traffic::{Bound, NotWritten, ToShard, Unanswered};
use stentor_smpp::pdu::BindMode;
use stentor_smpp::session::{CloseReason, Event, Fate, Options as SessionOptions, Session};
use stentor_smpp::status::CommandStatus;

use super::super::Link;
use super::super::event::{Alarm, BindId, Disconnect, LinkEffect, SessionLoss};
use super::super::options::BindKind;
use super::super::trouble::{LastTrouble, Trouble, WORDS_MAX};
use super::answers::End;
use super::leg::{Leg, LegState, Word};

/// How many PDUs are handled before the caller gets control back: a fraction of a millisecond of work. The caller may continue
/// at once; effects are gathered until it polls them.
pub(in crate::link) const PDUS_MAX: usize = 256;

/// Bytes that may wait for a peer that does not read; about 60,000 answers.
pub(in crate::link) const UNREAD_BYTES_MAX: u64 = 1 << 20;

/// How long a session that we give up waits for outstanding answers, ms.
const FAREWELL_MS: u64 = 5_000;

const MS_NS: u64 = 1_000_000;

impl Link {
    /// The mode in which this connection binds.
    pub(in crate::link) fn mode(&self, bind: BindId) -> BindMode {
        match (self.options.bind, bind.0 % 2) {
            (BindKind::Transceiver, _) => BindMode::Transceiver,
            (BindKind::Transmitter, _) | (BindKind::Pair, 0) => BindMode::Transmitter,
            (BindKind::Pair, _) => BindMode::Receiver,
        }
    }

    /// A connection by its number. Connections are never removed, so every number that was given out is valid.
    pub(in crate::link) fn leg(&mut self, bind: BindId) -> Option<&mut Leg> {
        debug_assert!(usize::from(bind.0) < self.legs.len(), "there is no {bind:?}");
        self.legs.get_mut(usize::from(bind.0))
    }

    fn is_wanted(&self, bind: BindId) -> bool {
        !self.draining && bind.0 < self.options.connections()
    }

    /// The host that a connection tries first; both halves of a pair begin with the same host.
    fn first_host(&self, bind: BindId) -> u16 {
        let place = match self.options.bind {
            BindKind::Transceiver | BindKind::Transmitter => bind.0,
            BindKind::Pair => bind.0 / 2,
        };
        self.options.binds_before.wrapping_add(place)
    }

    pub(in crate::link) fn handle_connected(&mut self, bind: BindId, now: Now) {
        // In any other state the link no longer wants this connection, and its `Close` is on the way.
        let Some(LegState::Connecting { deadline }) = self.leg(bind).map(|leg| leg.state) else { return };
        let bind_ns = deadline.since(now.mono);
        let (mode, session) = (self.mode(bind), self.session_options(bind_ns));
        let request = self.options.account.request(self.options.numbering.bind);
        let session = Session::client(&session, mode, &request, now.mono.0);
        let Some(leg) = self.leg(bind) else { return };
        leg.bind_ns = bind_ns;
        match session {
            Ok(session) => leg.begin(Box::new(session)),
            Err(_) => {
                leg.refused = Some(CommandStatus::RINVSYSID.0);
                self.close(bind);
            }
        }
    }

    /// Options of a session that must be bound within `bind_ns`.
    fn session_options(&self, bind_ns: u64) -> SessionOptions {
        let options = &self.options;
        SessionOptions {
            window: options.window.max(1),
            session_init_ns: bind_ns,
            enquire_link_ns: Some(options.enquire_link_ms * MS_NS),
            enquire_response_ns: options.enquire_response_ms() * MS_NS,
            response_ns: options.response_timeout_ms * MS_NS,
            backlog_bytes_max: UNREAD_BYTES_MAX,
            ..SessionOptions::default()
        }
    }

    /// Passes received bytes to a session and handles the events that it reports. Returns how many bytes were consumed. Bytes
    /// that arrive on a connection that we close are dropped, and count as consumed.
    pub(in crate::link) fn run_session(&mut self, bind: BindId, bytes: &[u8], now: Now) -> usize {
        let Some(leg) = self.leg(bind).filter(|leg| leg.state != LegState::Closing) else { return bytes.len() };
        // Bytes that arrive before `Connected` or after the end of the session belong to no session: they are dropped.
        let Some(mut session) = leg.session.take() else { return bytes.len() };
        let stops_early = !bytes.is_empty() && self.buggify.at(Point::ReadLater);
        let (mut input, mut left) = (bytes, if stops_early { 1 } else { PDUS_MAX });
        self.hear(bind, &mut session, &mut input, &mut left, now);
        if self.leg(bind).is_some_and(|leg| std::mem::take(&mut leg.give_up)) {
            session.unbind(FAREWELL_MS * MS_NS, now.mono.0);
            self.hear(bind, &mut session, &mut input, &mut left, now);
        }
        if let Some(leg) = self.leg(bind) {
            leg.session = Some(session);
        }
        self.answer_put_off(bind);
        bytes.len() - input.len()
    }

    /// Handles the events of a session until it has no more, or has read `left` PDUs.
    fn hear(&mut self, bind: BindId, session: &mut Session<Word>, input: &mut &[u8], left: &mut usize, now: Now) {
        while *left > 0 || input.is_empty() {
            let before = input.len();
            let Some(event) = session.poll_event(input, now.mono.0) else { return };
            self.handle_session_event(bind, event, now);
            if let Event::Closed { reason: CloseReason::Framing(error) } = event {
                self.tell_broken(bind, error, session.broken_bytes(), now);
            }
            *left -= usize::from(input.len() < before);
        }
    }

    fn handle_session_event(&mut self, bind: BindId, event: Event<'_, Word>, now: Now) {
        match event {
            Event::Bound { .. } => self.handle_bound(bind, now),
            Event::BindFailed { status } => self.handle_bind_failed(bind, status, now),
            Event::SubmitResp(answer) => {
                if let Some(part) = answer.token.part() {
                    self.handle_answer(bind, &answer.under(part), now);
                }
            }
            Event::QueryResp { answer, found } => {
                if let Word::Query(number) = answer.token {
                    self.handle_query_answer(bind, number, &answer, found, now);
                }
            }
            // A query that is not answered does not end the session: the carrier may still answer submits.
            Event::ResponseTimeout { token: Word::Query(number), .. }
            | Event::Unresolved { token: Word::Query(number), .. } => self.handle_query_open(bind, number, now),
            // `Unanswered` and not `NotWritten`, whatever the fate: a stalled socket may still take bytes that wait for it.
            Event::ResponseTimeout { token: Word::Part(token), .. } => {
                self.miss(bind, token);
                self.handle_end(bind, token, End::Unanswered(Unanswered::ResponseTimeout), now);
                self.lose(bind, SessionLoss::ResponseTimeout);
            }
            Event::Unresolved { token: Word::Part(token), fate, .. } => {
                let unanswered = if self.stopped { Unanswered::Stopped } else { Unanswered::ConnectionLost };
                self.handle_end(bind, token, self.end_of(fate, unanswered), now);
            }
            Event::Deliver { sequence, message, .. } => self.handle_deliver(bind, sequence, &message, now),
            Event::Data { sequence, message, .. } => self.handle_data(bind, sequence, &message, now),
            Event::Malformed { error, token, body } => {
                self.counters.malformed += 1;
                self.tell_malformed(bind, &error, body, now);
                match token {
                    Some(Word::Part(token)) => {
                        self.handle_end(bind, token, End::Unanswered(Unanswered::ResponseTimeout), now);
                    }
                    Some(Word::Query(number)) => self.handle_query_open(bind, number, now),
                    None => self.handle_noise(bind, now),
                }
            }
            Event::UnknownResponse { .. } => {
                self.counters.unknown_responses += 1;
                self.handle_noise(bind, now);
            }
            Event::Refused { .. } => {
                self.counters.strange_requests += 1;
                self.handle_noise(bind, now);
            }
            Event::Alert(_) | Event::Outbind(_) | Event::EnquireLink | Event::EnquireLinkResp => {
                self.handle_noise(bind, now);
            }
            Event::Closed { reason } => self.handle_closed(bind, reason, now),
            Event::DataResp(_)
            | Event::DeliverResp(_)
            | Event::BindRequest { .. }
            | Event::Submit { .. }
            | Event::Query { .. }
            | Event::UnbindRequested
            | Event::UnbindAnswered => {}
        }
    }

    /// The session received a PDU without use for us; see [`super::super::noise`].
    fn handle_noise(&mut self, bind: BindId, now: Now) {
        let too_much = |leg: &mut Leg| leg.noise.handle_noise(now.mono) && leg.state == LegState::Bound && !leg.give_up;
        if self.leg(bind).is_some_and(too_much) && self.lose(bind, SessionLoss::Noise) {
            self.counters.noisy_sessions += 1;
        }
    }

    fn end_of(&self, fate: Fate, unanswered: Unanswered) -> End {
        match fate {
            Fate::Unanswered => End::Unanswered(unanswered),
            Fate::NeverWritten if self.draining => End::NotWritten(NotWritten::Drained),
            Fate::NeverWritten => End::NotWritten(NotWritten::ConnectionLost),
        }
    }

    fn handle_bound(&mut self, bind: BindId, now: Now) {
        self.counters.binds += 1;
        let bind_rate = self.options.bind_rate_parts_per_s;
        self.pause_reading_if_full(bind);
        let Some(leg) = self.leg(bind) else { return };
        leg.handle_bound(now.mono);
        match (&mut leg.limit, bind_rate) {
            (Some(limit), Some(rate)) => limit.set_rate(rate),
            (limit, rate) => *limit = rate.map(SlidingLimit::new),
        }
    }

    fn handle_bind_failed(&mut self, bind: BindId, status: CommandStatus, now: Now) {
        self.counters.count_status(status.0);
        self.note_trouble(bind, Trouble::BindRefused(status.0), now);
        let credential = self.options.family_of(status) == Some(ErrorFamily::Credential);
        let Some(leg) = self.leg(bind) else { return };
        if credential {
            leg.refused = Some(status.0);
            self.effects.push_back(LinkEffect::Alarm(Alarm::AccountRefused { bind, status: status.0 }));
        }
    }

    /// Ends the session in good order (with an unbind), for this reason. This includes a session that may not submit at present
    /// because the other half of its pair is gone: its window would be wrong when the other half is back.
    /// False if the session was about to end anyway.
    pub(in crate::link) fn lose(&mut self, bind: BindId, why: SessionLoss) -> bool {
        let is_here = |leg: &&mut Leg| !leg.give_up && leg.blame.is_none() && leg.state == LegState::Bound;
        let Some(leg) = self.leg(bind).filter(is_here) else { return false };
        let news = leg.ready;
        (leg.give_up, leg.blame) = (true, Some(why));
        if news {
            self.effects.push_back(LinkEffect::Alarm(Alarm::SessionLost { bind, why }));
        }
        true
    }

    fn handle_closed(&mut self, bind: BindId, reason: CloseReason, now: Now) {
        self.counters.count_end(reason);
        let bind_ms = self.leg(bind).map_or(0, |leg| leg.bind_ns / MS_NS);
        let why = match reason {
            CloseReason::Requested | CloseReason::Unbound | CloseReason::UnbindTimeout => None,
            CloseReason::ConnectionLost => None,
            CloseReason::PeerUnbound => Some(SessionLoss::PeerUnbound),
            CloseReason::BindRefused(_) => Some(SessionLoss::BindRefused),
            CloseReason::SessionInitTimeout => Some(SessionLoss::BindUnanswered { within_ms: bind_ms }),
            CloseReason::EnquireLinkTimeout | CloseReason::Inactivity => {
                Some(SessionLoss::Silent { within_ms: self.options.enquire_response_ms() })
            }
            CloseReason::PeerNotReading => Some(SessionLoss::NotReading),
            CloseReason::Framing(_) => Some(SessionLoss::Garbage),
        };
        let Some(leg) = self.leg(bind) else { return };
        // A session that was never bound is not reported as lost: `note_trouble` tells its trouble, and otherwise each attempt
        // would add a line to the log.
        let is_lost = leg.state == LegState::Bound;
        if let Some(why) = why.filter(|_| is_lost) {
            self.effects.push_back(LinkEffect::Alarm(Alarm::SessionLost { bind, why }));
        }
        let Some(leg) = self.leg(bind) else { return };
        leg.blame = leg.blame.or(why);
        leg.flush(now.mono);
        // The refusal of a bind was noted with its command status already, which says more.
        if let Some(why) = leg.blame.filter(|why| *why != SessionLoss::BindRefused) {
            self.note_trouble(bind, Trouble::Session(why), now);
        }
    }

    /// Remembers what went wrong on a connection.
    fn note_trouble(&mut self, bind: BindId, what: Trouble, now: Now) {
        let words = self.leg(bind).and_then(|leg| leg.words.take());
        let trouble = LastTrouble { at: now.wall, peer: self.peer(bind), what, words };
        if let Some(leg) = self.leg(bind) {
            leg.trouble = Some(format!("{}: {}", trouble.peer, trouble.said()));
        }
        self.last_trouble = Some(trouble);
    }

    /// Details from the connection's owner; its `Disconnected` follows.
    pub(in crate::link) fn handle_words(&mut self, bind: BindId, mut words: String) {
        words.truncate(words.floor_char_boundary(WORDS_MAX));
        if let Some(leg) = self.leg(bind) {
            leg.words = Some(words.into());
        }
    }

    /// Raises an alarm for a connection that ended with trouble, unless the same was told recently.
    fn tell_trouble(&mut self, bind: BindId, now: Now) {
        let Some(leg) = self.legs.get_mut(usize::from(bind.0)) else { return };
        leg.words = None;
        let Some(what) = leg.trouble.take().filter(|what| self.told.is_news(leg.way.host, what, now.mono)) else {
            return;
        };
        let again_ms = match leg.state {
            LegState::Waiting { until } => Some(until.since(now.mono) / MS_NS),
            _ => None,
        };
        let failures = leg.failures();
        self.effects.push_back(LinkEffect::Alarm(Alarm::Trouble { bind, what, again_ms, failures }));
    }

    /// The host of a connection, as the configuration names it.
    pub(in crate::link) fn peer(&self, bind: BindId) -> String {
        let host = self.legs.get(usize::from(bind.0)).map_or(0, |leg| leg.way.host);
        let name = self.options.host_names.get(usize::from(host));
        name.cloned().unwrap_or_else(|| format!("host {}", u32::from(host) + 1))
    }

    pub(in crate::link) fn handle_written(&mut self, bind: BindId, bytes: usize, now: Now) {
        let Some(leg) = self.leg(bind) else { return };
        let late = leg.handle_written(bytes, now.mono);
        self.charge(bind, late, now);
    }

    /// Counts parts that were written late against the rate limits at their real time.
    fn charge(&mut self, bind: BindId, late: u32, now: Now) {
        if let Some(limit) = self.leg(bind).and_then(|leg| leg.limit.as_mut()) {
            limit.charge(late, now.mono);
        }
        if self.flow.is_limited() {
            self.flow.charge(late, now.mono);
        }
    }

    pub(in crate::link) fn handle_disconnected(&mut self, bind: BindId, reason: Disconnect, torn: bool, now: Now) {
        let Some(leg) = self.leg(bind) else { return };
        if leg.state == LegState::Resting || matches!(leg.state, LegState::Waiting { .. }) {
            return;
        }
        let late = leg.handle_gone(now.mono);
        self.charge(bind, late, now);
        let Some(leg) = self.leg(bind) else { return };
        if let Some(session) = leg.session.as_mut().filter(|session| !session.is_closed()) {
            if torn || reason == Disconnect::ByUs {
                session.handle_written_unknown();
            }
            session.handle_connection_lost();
            leg.state = LegState::Bound;
            self.run_session(bind, &[], now);
        }
        let wanted = self.is_wanted(bind);
        // If a session was given up, its reason is noted already and says more than the end of the connection.
        let is_news = |leg: &mut Leg| !leg.parting && (leg.session.is_none() || leg.blame.is_none());
        if self.leg(bind).is_some_and(is_news) {
            match reason {
                Disconnect::ByUs => {}
                Disconnect::Unreachable
                | Disconnect::Tls
                | Disconnect::CertificateRefused { .. }
                | Disconnect::ByPeer
                | Disconnect::Broken => self.note_trouble(bind, Trouble::Connection(reason), now),
            }
        }
        if let Some(leg) = self.legs.get_mut(usize::from(bind.0)) {
            leg.lost = Some(reason);
            leg.rest_or_retry(&self.options, wanted, now.mono, &mut self.chance);
        }
        self.tell_trouble(bind, now);
    }

    /// Closes a connection at once; it stays in state `Closing` until its `Disconnected`.
    pub(in crate::link) fn close(&mut self, bind: BindId) {
        if let Some(leg) = self.leg(bind) {
            leg.state = LegState::Closing;
            self.effects.push_back(LinkEffect::Close { bind });
        }
    }

    pub(in crate::link) fn handle_leg_timeouts(&mut self, now: Now) {
        for at in 0..self.legs.len() {
            let bind = BindId(at as u16);
            let wanted = self.is_wanted(bind);
            let (first, hosts) = (self.first_host(bind), self.options.hosts);
            let deadline = now.mono.after_ms(self.options.connect_timeout_ms);
            let leg = &mut self.legs[at];
            match leg.state {
                LegState::Waiting { until } if now.mono >= until && wanted => {
                    let way = leg.connect(first, hosts, deadline);
                    self.effects.push_back(LinkEffect::Connect { bind, way });
                }
                LegState::Waiting { until } if now.mono >= until => leg.state = LegState::Resting,
                LegState::Connecting { deadline } if now.mono >= deadline => {
                    self.note_trouble(bind, Trouble::Connection(Disconnect::Unreachable), now);
                    self.close(bind);
                }
                LegState::Flushing { deadline } if now.mono >= deadline => self.close(bind),
                LegState::Binding | LegState::Bound => {
                    let due = leg.session.as_ref().and_then(|session| session.poll_timeout());
                    if due.is_some_and(|due| due <= now.mono.0) {
                        if let Some(session) = &mut leg.session {
                            session.handle_timeout(now.mono.0);
                        }
                        self.run_session(bind, &[], now);
                    }
                }
                LegState::Waiting { .. }
                | LegState::Connecting { .. }
                | LegState::Flushing { .. }
                | LegState::Resting
                | LegState::Closing => {}
            }
        }
    }

    /// Updates which connections can submit. Takes the messages back from those that no longer can, and tells the operator and
    /// the shards when the link as a whole goes up or down.
    pub(in crate::link) fn review_legs(&mut self, now: Now) {
        let bound = |leg: Option<&Leg>| leg.and_then(|leg| leg.session.as_ref()?.bound()).is_some();
        for at in 0..self.legs.len() {
            let bind = BindId(at as u16);
            if matches!(self.legs[at].state, LegState::Flushing { .. }) && self.legs[at].is_flushed() {
                self.close(bind);
            }
            let ready = match self.options.bind {
                BindKind::Transceiver | BindKind::Transmitter => bound(self.legs.get(at)),
                BindKind::Pair => at % 2 == 0 && bound(self.legs.get(at)) && bound(self.legs.get(at + 1)),
            };
            self.legs[at].ready = ready;
            if !ready {
                self.release(bind);
            }
        }
        let up = self.legs.iter().any(|leg| leg.ready);
        if up != self.up {
            (self.up, self.since) = (up, now.wall);
            if up {
                self.told.forget();
            }
            // A link that drains goes down as planned: that is no reason for an alarm.
            if up || !self.draining {
                let alarm = if up { Alarm::LinkUp } else { Alarm::LinkDown };
                self.effects.push_back(LinkEffect::Alarm(alarm));
                let bound = Bound { link: self.options.link, is_bound: up };
                let shards = (0..self.options.shards.shards()).map(ShardId);
                let tell = |shard| LinkEffect::ToShard { shard, traffic: ToShard::Bound(bound) };
                self.effects.extend(shards.map(tell));
            }
        }
    }
}
