//! What the caller sends on a session: requests with their tokens, and answers to the peer's requests.
//!
//! Knows phase, direction, window and backlog. Everything is checked before anything changes.

use super::super::encode::{encode, encode_header};
use super::super::pdu::{BindMode, BindResp, CommandId, DataSm, MessageResp, Pdu, QuerySm, QuerySmResp, ShortMessage};
use super::super::status::CommandStatus;
use super::super::window::{Outstanding, Request};
use super::{CloseReason, Core, Phase, Role, SendError, Session, Timer};

impl<T: Copy> Session<T> {
    /// Client: queues a submit_sm and returns its sequence number. `token` comes back in [`super::Event::SubmitResp`],
    /// [`super::Event::ResponseTimeout`] or [`super::Event::Unresolved`].
    pub fn submit(&mut self, token: T, message: &ShortMessage<'_>, now_ns: u64) -> Result<u32, SendError> {
        self.core.request(Request::Submit, token, &Pdu::SubmitSm(*message), now_ns)
    }

    /// Server: queues a deliver_sm, as [`Session::submit`].
    pub fn deliver(&mut self, token: T, message: &ShortMessage<'_>, now_ns: u64) -> Result<u32, SendError> {
        self.core.request(Request::Deliver, token, &Pdu::DeliverSm(*message), now_ns)
    }

    /// Queues a data_sm, as [`Session::submit`].
    pub fn data(&mut self, token: T, message: &DataSm<'_>, now_ns: u64) -> Result<u32, SendError> {
        self.core.request(Request::Data, token, &Pdu::DataSm(*message), now_ns)
    }

    /// Client: queues a query_sm, as [`Session::submit`].
    pub fn query(&mut self, token: T, query: &QuerySm<'_>, now_ns: u64) -> Result<u32, SendError> {
        self.core.request(Request::Query, token, &Pdu::QuerySm(*query), now_ns)
    }

    /// Client: answers [`super::Event::Deliver`].
    pub fn answer_deliver(&mut self, sequence: u32, status: CommandStatus) -> Result<(), SendError> {
        self.core.answer(sequence, status, &Pdu::DeliverSmResp(MessageResp::default()))
    }

    /// Answers [`super::Event::Data`]. A refusal with an empty id is sent without a body.
    pub fn answer_data(&mut self, sequence: u32, status: CommandStatus, message_id: &[u8]) -> Result<(), SendError> {
        self.core.answer(sequence, status, &Pdu::DataSmResp(MessageResp { message_id, ..MessageResp::default() }))
    }

    /// Server: answers [`super::Event::Submit`]. A refusal with an empty id is sent without a body.
    pub fn answer_submit(&mut self, sequence: u32, status: CommandStatus, message_id: &[u8]) -> Result<(), SendError> {
        self.core.answer(sequence, status, &Pdu::SubmitSmResp(MessageResp { message_id, ..MessageResp::default() }))
    }

    /// Server: answers [`super::Event::Query`].
    pub fn answer_query(
        &mut self,
        sequence: u32,
        status: CommandStatus,
        found: &QuerySmResp<'_>,
    ) -> Result<(), SendError> {
        self.core.answer(sequence, status, &Pdu::QuerySmResp(*found))
    }

    /// Server: answers [`super::Event::BindRequest`]. After a refusal the client may try again, until
    /// [`Options::session_init_ns`](super::Options::session_init_ns) is over or the caller closes the session.
    pub fn answer_bind(&mut self, status: CommandStatus, system_id: &[u8], now_ns: u64) -> Result<(), SendError> {
        let core = &mut self.core;
        let Phase::Deciding { mode, sequence } = core.phase else {
            return Err(SendError::NotBound);
        };
        let resp = Pdu::BindResp(mode, BindResp { system_id, ..BindResp::default() });
        encode(core.outbox.buffer(), sequence, status, &resp)?;
        if status.is_ok() {
            core.become_bound(mode, now_ns);
        } else {
            core.phase = Phase::Open;
        }
        Ok(())
    }

    /// Queues raw bytes that the session does not track, so that a simulated carrier can misbehave.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        if !self.core.is_over() {
            self.core.outbox.buffer().extend_from_slice(bytes);
        }
    }
}

impl<T: Copy> Core<T> {
    fn request(&mut self, request: Request, token: T, pdu: &Pdu<'_>, now_ns: u64) -> Result<u32, SendError> {
        let Phase::Bound { mode } = self.phase else {
            return Err(SendError::NotBound);
        };
        if !may_send(self.role, mode, request) {
            return Err(SendError::WrongDirection);
        }
        if self.window.free() == 0 {
            return Err(SendError::WindowFull);
        }
        if self.outbox.backlog_bytes() >= self.options.backlog_bytes_max {
            return Err(SendError::Backlogged);
        }
        let sequence = self.window.take_sequence();
        encode(self.outbox.buffer(), sequence, CommandStatus::ROK, pdu)?;
        let stream_end = self.outbox.end();
        self.window.insert(Outstanding { sequence, token, request, queued_at_ns: now_ns, stream_end });
        if !self.timers.is_set(Timer::Response) && self.overdue_at_ns.is_none() {
            self.timers.set(Timer::Response, now_ns.saturating_add(self.options.response_ns));
        }
        if let Some(limit_ns) = self.options.inactivity_ns {
            self.timers.set(Timer::Inactivity, now_ns.saturating_add(limit_ns));
        }
        Ok(sequence)
    }

    fn answer(&mut self, sequence: u32, status: CommandStatus, pdu: &Pdu<'_>) -> Result<(), SendError> {
        if self.listening().is_none() {
            return Err(SendError::NotBound);
        }
        if !self.may_answer() {
            return Err(SendError::Backlogged);
        }
        encode(self.outbox.buffer(), sequence, status, pdu)?;
        self.unanswered_inbound = self.unanswered_inbound.saturating_sub(1);
        Ok(())
    }

    /// Queues an answer without a body to a request about which the caller need not decide.
    pub(super) fn answer_at_once(&mut self, id: CommandId, status: CommandStatus, sequence: u32) {
        if self.may_answer() {
            encode_header(self.outbox.buffer(), id, status, sequence);
        }
    }

    /// False, and the session ends, if the peer leaves too many responses unread.
    fn may_answer(&mut self) -> bool {
        let may = self.outbox.backlog_bytes() < self.options.backlog_bytes_max;
        if !may {
            self.close(CloseReason::PeerNotReading);
        }
        may
    }
}

fn may_send(role: Role, mode: BindMode, request: Request) -> bool {
    match (role, request) {
        (Role::Client, Request::Submit | Request::Data | Request::Query) => mode.can_submit(),
        (Role::Server, Request::Deliver | Request::Data) => mode.can_deliver(),
        (Role::Client, Request::Deliver) | (Role::Server, Request::Submit | Request::Query) => false,
    }
}
