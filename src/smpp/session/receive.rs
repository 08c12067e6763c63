//! The effect of a PDU from the peer on a session.
//!
//! Knows which PDU is allowed in which phase and role. Each PDU causes one event. A client accepts receipts and messages on
//! a bind of any mode, so that no receipt is lost if a carrier delivers on a transmitter.

use super::super::decode::{DecodeError, Decoded, decode};
use super::super::framer::{Frame, FramingError};
use super::super::pdu::{Bind, BindMode, BindResp, CommandId, Header, MessageResp, Pdu, QuerySmResp};
use super::super::status::CommandStatus;
use super::super::window::{Request, Settled};
use super::{CloseReason, Core, Event, Phase, Response, Role};

impl<T: Copy> Core<T> {
    pub(super) fn receive<'a>(&mut self, frame: &Frame<'a>, now_ns: u64) -> Event<'a, T> {
        let id = frame.header.command_id;
        self.heard(id != CommandId::ENQUIRE_LINK && id != CommandId::ENQUIRE_LINK_RESP, now_ns);
        let Decoded { header, pdu, quirks } = match decode(frame) {
            Ok(decoded) => decoded,
            Err(error) => return self.malformed(error, frame.body, now_ns),
        };
        let sequence = header.sequence_number;
        match pdu {
            Pdu::SubmitSmResp(resp) => self.answered(header, Request::Submit, resp, now_ns),
            Pdu::DeliverSmResp(resp) => self.answered(header, Request::Deliver, resp, now_ns),
            Pdu::DataSmResp(resp) => self.answered(header, Request::Data, resp, now_ns),
            Pdu::QuerySmResp(found) => self.query_answered(header, found, now_ns),
            Pdu::BindResp(_, resp) => self.bind_answered(header, resp, now_ns),
            Pdu::UnbindResp => self.unbind_answered(header),
            Pdu::EnquireLinkResp => Event::EnquireLinkResp,
            Pdu::GenericNack => self.nacked(header, now_ns),
            Pdu::SubmitSm(message) => self.welcome(Role::Server, header, Event::Submit { sequence, message, quirks }),
            Pdu::DeliverSm(message) => self.welcome(Role::Client, header, Event::Deliver { sequence, message, quirks }),
            Pdu::DataSm(message) => self.welcome(self.role, header, Event::Data { sequence, message, quirks }),
            Pdu::QuerySm(query) => self.welcome(Role::Server, header, Event::Query { sequence, query }),
            Pdu::Bind(mode, bind) => self.bind_requested(header, mode, bind),
            Pdu::Unbind => {
                self.unbind_requested(sequence, now_ns);
                Event::UnbindRequested
            }
            Pdu::EnquireLink => {
                self.answer_at_once(CommandId::ENQUIRE_LINK_RESP, CommandStatus::ROK, sequence);
                Event::EnquireLink
            }
            Pdu::Outbind(outbind) => Event::Outbind(outbind),
            Pdu::AlertNotification(alert) => Event::Alert(alert),
            Pdu::Unknown { id, .. } if id.is_response() => Event::UnknownResponse { header, message_id: &[] },
            Pdu::Unknown { .. } => {
                self.answer_at_once(CommandId::GENERIC_NACK, CommandStatus::RINVCMDID, sequence);
                Event::Refused { header, status: CommandStatus::RINVCMDID }
            }
        }
    }

    /// Ends the session because the stream cannot be read. SMPP 3.4 §3.3 demands a generic_nack; a peer that speaks another
    /// protocol gets none.
    pub(super) fn fail_framing(&mut self, error: FramingError) {
        match error {
            FramingError::TooShort(_) | FramingError::TooLong { .. } => {
                self.answer_at_once(CommandId::GENERIC_NACK, CommandStatus::RINVCMDLEN, 0);
            }
            FramingError::Stranger(_) => {}
        }
        self.close(CloseReason::Framing(error));
    }

    /// Passes a request to the caller if this side's role and the bind's mode allow it; refuses it otherwise.
    fn welcome<'a>(&mut self, role: Role, header: Header, event: Event<'a, T>) -> Event<'a, T> {
        let carried = match self.role {
            Role::Client => self.listening().is_some(),
            Role::Server => self.listening().is_some_and(BindMode::can_submit),
        };
        if self.role == role && matches!(self.phase, Phase::Closing { .. } | Phase::Closed) {
            // Not answered: the peer might take a refusal as final, but without an answer it sends the request again in the
            // next session.
            return Event::Refused { header, status: CommandStatus::RINVBNDSTS };
        }
        if self.role != role || !carried {
            return self.refuse(header, CommandStatus::RINVBNDSTS);
        }
        self.unanswered_inbound += 1;
        event
    }

    fn bind_requested<'a>(&mut self, header: Header, mode: BindMode, bind: Bind<'a>) -> Event<'a, T> {
        match (self.role, self.phase == Phase::Open) {
            (Role::Server, true) => {
                self.phase = Phase::Deciding { mode, sequence: header.sequence_number };
                Event::BindRequest { mode, bind }
            }
            (Role::Server, false) => self.refuse(header, CommandStatus::RALYBND),
            (Role::Client, _) => self.refuse(header, CommandStatus::RINVBNDSTS),
        }
    }

    fn answered<'a>(&mut self, header: Header, request: Request, resp: MessageResp<'a>, now_ns: u64) -> Event<'a, T> {
        match self.window.settle(header.sequence_number, Some(request)) {
            Some(settled) => {
                self.window_shrank(now_ns);
                told(request, answer(&header, settled, resp, false), None)
            }
            None => Event::UnknownResponse { header, message_id: resp.message_id },
        }
    }

    fn query_answered<'a>(&mut self, header: Header, found: QuerySmResp<'a>, now_ns: u64) -> Event<'a, T> {
        let message_id = found.message_id;
        let Some(settled) = self.window.settle(header.sequence_number, Some(Request::Query)) else {
            return Event::UnknownResponse { header, message_id };
        };
        self.window_shrank(now_ns);
        let resp = MessageResp { message_id, ..MessageResp::default() };
        let found = (header.command_status.is_ok() || found != QuerySmResp::default()).then_some(found);
        told(Request::Query, answer(&header, settled, resp, false), found)
    }

    fn unbind_answered<'a>(&mut self, header: Header) -> Event<'a, T> {
        let Some(reason) = self.unbinding() else {
            return Event::UnknownResponse { header, message_id: &[] };
        };
        self.close(reason);
        Event::UnbindAnswered
    }

    fn bind_answered<'a>(&mut self, header: Header, resp: BindResp<'a>, now_ns: u64) -> Event<'a, T> {
        let Phase::Binding { mode, .. } = self.phase else {
            return Event::UnknownResponse { header, message_id: &[] };
        };
        if header.command_status.is_ok() {
            self.become_bound(mode, now_ns);
            return Event::Bound { mode, resp };
        }
        self.bind_failed(header.command_status)
    }

    fn bind_failed<'a>(&mut self, status: CommandStatus) -> Event<'a, T> {
        self.close(CloseReason::BindRefused(status));
        Event::BindFailed { status }
    }

    fn nacked<'a>(&mut self, header: Header, now_ns: u64) -> Event<'a, T> {
        // A peer that could not read the bind does not know its sequence number, and no other request is outstanding then.
        let is_for_bind = header.sequence_number == 0 && matches!(self.phase, Phase::Binding { .. });
        if is_for_bind || self.own_sequence() == Some(header.sequence_number) {
            return match self.unbinding() {
                Some(_) => self.unbind_answered(header),
                None => self.bind_failed(header.command_status),
            };
        }
        let Some(settled) = self.window.settle(header.sequence_number, None) else {
            return Event::UnknownResponse { header, message_id: &[] };
        };
        self.window_shrank(now_ns);
        told(settled.outstanding.request, answer(&header, settled, MessageResp::default(), true), None)
    }

    fn malformed<'a>(&mut self, error: DecodeError, body: &'a [u8], now_ns: u64) -> Event<'a, T> {
        let Header { command_id, sequence_number, .. } = error.header;
        if command_id.is_response() {
            // A request that was given up has already been reported.
            let settled = self.window.settle(sequence_number, None).filter(|settled| !settled.late);
            self.window_shrank(now_ns);
            return Event::Malformed { error, token: settled.map(|settled| settled.outstanding.token), body };
        }
        if answers_exist(command_id) {
            self.answer_at_once(command_id.response(), error.status(), sequence_number);
        }
        Event::Malformed { error, token: None, body }
    }

    fn refuse<'a>(&mut self, header: Header, status: CommandStatus) -> Event<'a, T> {
        self.answer_at_once(header.command_id.response(), status, header.sequence_number);
        Event::Refused { header, status }
    }
}

fn told<'a, T>(request: Request, answer: Response<'a, T>, found: Option<QuerySmResp<'a>>) -> Event<'a, T> {
    match request {
        Request::Submit => Event::SubmitResp(answer),
        Request::Deliver => Event::DeliverResp(answer),
        Request::Data => Event::DataResp(answer),
        Request::Query => Event::QueryResp { answer, found },
    }
}

fn answers_exist(id: CommandId) -> bool {
    id != CommandId::OUTBIND && id != CommandId::ALERT_NOTIFICATION
}

fn answer<'a, T>(header: &Header, settled: Settled<T>, resp: MessageResp<'a>, nacked: bool) -> Response<'a, T> {
    Response {
        token: settled.outstanding.token,
        sequence: header.sequence_number,
        status: header.command_status,
        message_id: resp.message_id,
        tlvs: resp.tlvs,
        late: settled.late,
        nacked,
        queued_at_ns: settled.outstanding.queued_at_ns,
    }
}
