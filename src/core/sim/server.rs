//! A carrier's side of one connection: the events of a server's session, turned into what a carrier has to decide.
//!
//! Knows which events concern a carrier and how each is answered. Refuses to know when an answer to a submit is due and how
//! the bytes go out: that is up to the caller, which is the simulated world or `stentor dev`.

use stentor_smpp::decode::DecodeError;
use stentor_smpp::pdu::{Bind, QuerySmResp, ShortMessage};
use stentor_smpp::session::{CloseReason, Event, Session};
use stentor_smpp::status::CommandStatus;

/// What becomes of a connection after a submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It stays. The submit is answered later under its sequence number, or never.
    Stay,
    /// The carrier breaks it off without an answer.
    BreakOff,
}

/// A carrier as one of its connections sees it.
pub trait Desk {
    /// The name in the answer to a bind.
    const SYSTEM_ID: &'static [u8];

    /// A client wants to bind; returns the status of the answer.
    fn bind(&mut self, bind: &Bind<'_>) -> CommandStatus;

    /// A client submits a message.
    fn submit(&mut self, sequence: u32, message: &ShortMessage<'_>) -> After;

    /// A client asks about the message `id` of `sender`. Without a call of `answer` it is never answered.
    fn query(&mut self, id: &[u8], sender: &[u8], answer: &mut dyn FnMut(CommandStatus, &QuerySmResp<'_>));

    /// The delivery with this token was answered.
    fn delivered(&mut self, token: u64, status: CommandStatus);

    /// The delivery with this token was not answered, or the answer cannot be read.
    fn undelivered(&mut self, token: u64);

    /// A PDU cannot be read.
    fn malformed(&mut self, error: &DecodeError);
}

/// Reads `input` and answers what can be answered at once. Returns why the session is over, once it is.
pub fn serve<D: Desk>(session: &mut Session<u64>, mut input: &[u8], now_ns: u64, desk: &mut D) -> Option<CloseReason> {
    let mut over = None;
    while let Some(event) = session.poll_event(&mut input, now_ns) {
        // A session that is ending accepts no answers any more; then they are lost.
        match event {
            Event::BindRequest { bind, .. } => {
                let status = desk.bind(&bind);
                let _ = session.answer_bind(status, D::SYSTEM_ID, now_ns);
            }
            Event::Submit { sequence, message, .. } => {
                if desk.submit(sequence, &message) == After::BreakOff {
                    session.handle_connection_lost();
                }
            }
            Event::Query { sequence, query } => {
                let (id, sender) = (query.message_id.to_vec(), query.source.digits.to_vec());
                desk.query(&id, &sender, &mut |status, told| {
                    let _ = session.answer_query(sequence, status, told);
                });
            }
            Event::Data { sequence, .. } => {
                let _ = session.answer_data(sequence, CommandStatus::RINVCMDID, b"");
            }
            Event::DeliverResp(response) => desk.delivered(response.token, response.status),
            Event::ResponseTimeout { token, .. } | Event::Unresolved { token, .. } => desk.undelivered(token),
            Event::Malformed { error, token, .. } => {
                desk.malformed(&error);
                token.into_iter().for_each(|token| desk.undelivered(token));
            }
            Event::Closed { reason } => over = Some(reason),
            Event::Bound { .. }
            | Event::BindFailed { .. }
            | Event::SubmitResp(_)
            | Event::DataResp(_)
            | Event::QueryResp { .. }
            | Event::Deliver { .. }
            | Event::Alert(_)
            | Event::Outbind(_)
            | Event::EnquireLink
            | Event::EnquireLinkResp
            | Event::UnbindRequested
            | Event::UnbindAnswered
            | Event::Refused { .. }
            | Event::UnknownResponse { .. } => {}
        }
    }
    over
}
