//! What a PDU of the peer does to a session.
//!
//! Knows which PDU is welcome in which phase and role. One PDU, one event. Receipts and messages are taken on any bind
//! of a client, whatever its mode: a carrier that delivers on a transmitter must not lose receipts by it.

use super::super::decode::{DecodeError, decode};
use super::super::framer::{Frame, FramingError};
use super::super::pdu::{BindMode, BindResp, CommandId, Header, MessageResp, Pdu, QuerySmResp};
use super::super::status::CommandStatus;
use super::super::window::{Request, Settled};
use super::{Answer, CloseReason, Core, Event, Phase, Role};

impl<T: Copy> Core<T> {
    pub(super) fn receive<'a>(&mut self, frame: &Frame<'a>, now_ns: u64) -> Event<'a, T> {
        let id = frame.header.command_id;
        self.heard(
            id != CommandId::ENQUIRE_LINK && id != CommandId::ENQUIRE_LINK_RESP,
            now_ns,
        );
        let decoded = match decode(frame) {
            Ok(decoded) => decoded,
            Err(error) => return self.malformed(error, now_ns),
        };
        let (header, quirks) = (decoded.header, decoded.quirks);
        let sequence = header.sequence_number;
        match decoded.pdu {
            Pdu::SubmitSmResp(resp) => match self.settle(&header, Request::Submit, resp, now_ns) {
                Some(answer) => Event::SubmitResp(answer),
                None => Event::UnknownResponse {
                    header,
                    message_id: resp.message_id,
                },
            },
            Pdu::DeliverSmResp(resp) => match self.settle(&header, Request::Deliver, resp, now_ns) {
                Some(answer) => Event::DeliverResp(answer),
                None => Event::UnknownResponse {
                    header,
                    message_id: resp.message_id,
                },
            },
            Pdu::DataSmResp(resp) => match self.settle(&header, Request::Data, resp, now_ns) {
                Some(answer) => Event::DataResp(answer),
                None => Event::UnknownResponse {
                    header,
                    message_id: resp.message_id,
                },
            },
            Pdu::QuerySmResp(found) => self.query_answered(&header, found, now_ns),
            Pdu::SubmitSm(message) if self.role == Role::Server && self.client_may_submit() => {
                self.unanswered_inbound += 1;
                Event::Submit {
                    sequence,
                    message,
                    quirks,
                }
            }
            Pdu::DeliverSm(message) if self.role == Role::Client && self.listening().is_some() => {
                self.unanswered_inbound += 1;
                Event::Deliver {
                    sequence,
                    message,
                    quirks,
                }
            }
            Pdu::DataSm(message) if self.data_is_welcome() => {
                self.unanswered_inbound += 1;
                Event::Data {
                    sequence,
                    message,
                    quirks,
                }
            }
            Pdu::QuerySm(query) if self.role == Role::Server && self.client_may_submit() => {
                self.unanswered_inbound += 1;
                Event::Query { sequence, query }
            }
            Pdu::SubmitSm(_) | Pdu::DeliverSm(_) | Pdu::DataSm(_) | Pdu::QuerySm(_) => {
                self.refuse(header, CommandStatus::RINVBNDSTS)
            }
            Pdu::EnquireLink => {
                self.answer_at_once(CommandId::ENQUIRE_LINK_RESP, CommandStatus::ROK, sequence);
                Event::EnquireLink
            }
            Pdu::EnquireLinkResp => Event::EnquireLinkResp,
            Pdu::Bind(mode, bind) => match (self.role, self.phase) {
                (Role::Server, Phase::Open) => {
                    self.phase = Phase::Deciding { mode, sequence };
                    Event::BindRequest { mode, bind }
                }
                (Role::Server, _) => self.refuse(header, CommandStatus::RALYBND),
                (Role::Client, _) => self.refuse(header, CommandStatus::RINVBNDSTS),
            },
            Pdu::BindResp(_, resp) => self.bind_answered(header, resp, now_ns),
            Pdu::Unbind => {
                self.answer_at_once(CommandId::UNBIND_RESP, CommandStatus::ROK, sequence);
                self.close(CloseReason::PeerUnbound);
                Event::UnbindRequested
            }
            Pdu::UnbindResp => match self.phase {
                Phase::Unbinding { reason, .. } => {
                    self.close(reason);
                    Event::UnbindAnswered
                }
                Phase::Open
                | Phase::Deciding { .. }
                | Phase::Binding { .. }
                | Phase::Bound { .. }
                | Phase::Draining { .. }
                | Phase::Closing { .. }
                | Phase::Closed => Event::UnknownResponse {
                    header,
                    message_id: &[],
                },
            },
            Pdu::GenericNack => self.nacked(header, now_ns),
            Pdu::Outbind(outbind) => Event::Outbind(outbind),
            Pdu::AlertNotification(alert) => Event::Alert(alert),
            Pdu::Unknown { id, .. } if id.is_response() => Event::UnknownResponse {
                header,
                message_id: &[],
            },
            Pdu::Unknown { .. } => {
                self.answer_at_once(CommandId::GENERIC_NACK, CommandStatus::RINVCMDID, sequence);
                Event::Refused {
                    header,
                    status: CommandStatus::RINVCMDID,
                }
            }
        }
    }

    /// A stream that cannot be read. SMPP 3.4 §3.3 foresees a generic_nack; who speaks another protocol gets none.
    pub(super) fn fail_framing(&mut self, error: FramingError) {
        match error {
            FramingError::TooShort(_) | FramingError::TooLong { .. } => {
                self.answer_at_once(CommandId::GENERIC_NACK, CommandStatus::RINVCMDLEN, 0);
            }
            FramingError::Stranger(_) => {}
        }
        self.close(CloseReason::Framing(error));
    }

    fn client_may_submit(&self) -> bool {
        self.listening().is_some_and(BindMode::can_submit)
    }

    fn data_is_welcome(&self) -> bool {
        match self.role {
            Role::Client => self.listening().is_some(),
            Role::Server => self.client_may_submit(),
        }
    }

    fn settle<'a>(
        &mut self,
        header: &Header,
        request: Request,
        resp: MessageResp<'a>,
        now_ns: u64,
    ) -> Option<Answer<'a, T>> {
        let settled = self.window.settle(header.sequence_number, Some(request))?;
        self.window_shrank(now_ns);
        Some(answer(header, settled, resp, false))
    }

    fn query_answered<'a>(&mut self, header: &Header, found: QuerySmResp<'a>, now_ns: u64) -> Event<'a, T> {
        let resp = MessageResp {
            message_id: found.message_id,
            ..MessageResp::default()
        };
        match self.settle(header, Request::Query, resp, now_ns) {
            Some(answer) => {
                let found = (header.command_status.is_ok() || !found.message_id.is_empty()).then_some(found);
                Event::QueryResp { answer, found }
            }
            None => Event::UnknownResponse {
                header: *header,
                message_id: found.message_id,
            },
        }
    }

    fn bind_answered<'a>(&mut self, header: Header, resp: BindResp<'a>, now_ns: u64) -> Event<'a, T> {
        let Phase::Binding { mode, .. } = self.phase else {
            return Event::UnknownResponse {
                header,
                message_id: &[],
            };
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
        let status = header.command_status;
        match self.phase {
            Phase::Binding { sequence, .. } if sequence == header.sequence_number => return self.bind_failed(status),
            Phase::Unbinding { sequence, reason, .. } if sequence == header.sequence_number => {
                self.close(reason);
                return Event::UnbindAnswered;
            }
            Phase::Open
            | Phase::Deciding { .. }
            | Phase::Binding { .. }
            | Phase::Bound { .. }
            | Phase::Draining { .. }
            | Phase::Unbinding { .. }
            | Phase::Closing { .. }
            | Phase::Closed => {}
        }
        let Some(settled) = self.window.settle(header.sequence_number, None) else {
            return Event::UnknownResponse {
                header,
                message_id: &[],
            };
        };
        self.window_shrank(now_ns);
        let request = settled.outstanding.request;
        let answer = answer(&header, settled, MessageResp::default(), true);
        match request {
            Request::Submit => Event::SubmitResp(answer),
            Request::Deliver => Event::DeliverResp(answer),
            Request::Data => Event::DataResp(answer),
            Request::Query => Event::QueryResp { answer, found: None },
        }
    }

    fn malformed<'a>(&mut self, error: DecodeError, now_ns: u64) -> Event<'a, T> {
        let Header {
            command_id,
            sequence_number,
            ..
        } = error.header;
        if command_id.is_response() {
            let settled = self.window.settle(sequence_number, None);
            self.window_shrank(now_ns);
            return Event::Malformed {
                error,
                token: settled.map(|settled| settled.outstanding.token),
            };
        }
        if answers_exist(command_id) {
            self.answer_at_once(command_id.response(), error.status(), sequence_number);
        }
        Event::Malformed { error, token: None }
    }

    fn refuse<'a>(&mut self, header: Header, status: CommandStatus) -> Event<'a, T> {
        self.answer_at_once(header.command_id.response(), status, header.sequence_number);
        Event::Refused { header, status }
    }
}

fn answers_exist(id: CommandId) -> bool {
    id != CommandId::OUTBIND && id != CommandId::ALERT_NOTIFICATION
}

fn answer<'a, T>(header: &Header, settled: Settled<T>, resp: MessageResp<'a>, nacked: bool) -> Answer<'a, T> {
    Answer {
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
