//! The events that a session reports to its caller.
//!
//! Holds only the types: for responses, for PDUs received, for requests without a response at the end, and for the reason of
//! the end.

use super::super::decode::{DecodeError, Quirks};
use super::super::encode::EncodeError;
use super::super::framer::FramingError;
use super::super::pdu::{
    AlertNotification, Bind, BindMode, BindResp, DataSm, Header, Outbind, QuerySm, QuerySmResp, ShortMessage,
};
use super::super::status::CommandStatus;
use super::super::tlv::Tlvs;
use super::super::window::Request;
use std::fmt;

/// The response to a request of this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'a, T> {
    /// The caller's token for the request.
    pub token: T,
    /// The request's sequence number.
    pub sequence: u32,
    /// The peer's answer: success, or the reason of a refusal.
    pub status: CommandStatus,
    /// The SMSC's id of the message, raw; empty in most refusals and in deliver_sm_resp.
    pub message_id: &'a [u8],
    /// Optional parameters of the response.
    pub tlvs: Tlvs<'a>,
    /// True if [`Event::ResponseTimeout`] was reported for the request before.
    pub late: bool,
    /// True if the peer answered with generic_nack because it could not read the request.
    pub nacked: bool,
    /// When the request was queued, on the monotonic clock.
    pub queued_at_ns: u64,
}

impl<'a, T> Response<'a, T> {
    /// The same response with another token.
    pub fn under<U>(self, token: U) -> Response<'a, U> {
        let Self { sequence, status, message_id, tlvs, late, nacked, queued_at_ns, .. } = self;
        Response { token, sequence, status, message_id, tlvs, late, nacked, queued_at_ns }
    }
}

/// How far a request without a response got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The socket certainly did not accept its last byte, so the peer cannot have read it.
    NeverWritten,
    /// The peer may or may not have read it.
    Unanswered,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The caller closed it without unbinding.
    Requested,
    /// The peer answered this side's unbind.
    Unbound,
    /// The peer did not answer this side's unbind in time.
    UnbindTimeout,
    /// The peer sent unbind, and was answered.
    PeerUnbound,
    /// The peer refused the bind.
    BindRefused(CommandStatus),
    /// The session was not bound within [`Options::session_init_ns`](super::Options::session_init_ns).
    SessionInitTimeout,
    /// Nothing came from the peer after an enquire_link.
    EnquireLinkTimeout,
    /// Only enquire_link was exchanged for too long.
    Inactivity,
    /// The peer's stream cannot be cut into PDUs.
    Framing(FramingError),
    /// The caller reported that the connection is lost.
    ConnectionLost,
    /// The peer sends requests but does not read the responses.
    PeerNotReading,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Requested => f.write_str("closed by us"),
            CloseReason::Unbound => f.write_str("unbound"),
            CloseReason::UnbindTimeout => f.write_str("unbind was not answered"),
            CloseReason::PeerUnbound => f.write_str("the peer unbound"),
            CloseReason::BindRefused(status) => write!(f, "bind refused: {status}"),
            CloseReason::SessionInitTimeout => f.write_str("not bound in time"),
            CloseReason::EnquireLinkTimeout => f.write_str("enquire_link was not answered"),
            CloseReason::Inactivity => f.write_str("inactive for too long"),
            CloseReason::Framing(error) => error.fmt(f),
            CloseReason::ConnectionLost => f.write_str("connection lost"),
            CloseReason::PeerNotReading => f.write_str("the peer does not read our answers"),
        }
    }
}

/// Why a PDU was not queued. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The session is not bound: not yet, no longer, or it is unbinding.
    NotBound,
    /// The bind's mode or the session's role does not allow it.
    WrongDirection,
    /// The window has no room for another request.
    WindowFull,
    /// More bytes wait for the socket than the limit allows.
    Backlogged,
    /// A field breaks the protocol's limits.
    Encode(EncodeError),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::NotBound => f.write_str("the session is not bound"),
            SendError::WrongDirection => f.write_str("the bind does not carry this kind of message"),
            SendError::WindowFull => f.write_str("the window is full"),
            SendError::Backlogged => f.write_str("too many bytes wait for the socket"),
            SendError::Encode(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SendError {}

impl From<EncodeError> for SendError {
    fn from(error: EncodeError) -> Self {
        SendError::Encode(error)
    }
}

/// What happened. Every PDU that arrives causes exactly one event; some events have no PDU.
///
/// Borrowed fields point into the input or into the session, and are valid until the next call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'a, T> {
    /// Client: the bind was accepted.
    Bound {
        /// The mode that was asked for.
        mode: BindMode,
        /// Name and version of the SMSC.
        resp: BindResp<'a>,
    },
    /// Client: the bind was refused. [`Event::Closed`] follows.
    BindFailed {
        /// The reason.
        status: CommandStatus,
    },
    /// Server: a client wants to bind. Answer with `answer_bind`; nothing else is possible before that.
    BindRequest {
        /// The mode that is asked for.
        mode: BindMode,
        /// The client's account and password.
        bind: Bind<'a>,
    },
    /// Client: submit_sm was answered.
    SubmitResp(Response<'a, T>),
    /// Server: deliver_sm was answered.
    DeliverResp(Response<'a, T>),
    /// data_sm was answered.
    DataResp(Response<'a, T>),
    /// Client: query_sm was answered.
    QueryResp {
        /// The response as for any request.
        answer: Response<'a, T>,
        /// State of the message; `None` in a refusal without a body.
        found: Option<QuerySmResp<'a>>,
    },
    /// No response came in time. The request no longer counts in the window; a late response is still reported for a while.
    ResponseTimeout {
        /// The caller's token for the request.
        token: T,
        /// The request's sequence number.
        sequence: u32,
        /// Kind of the request.
        request: Request,
        /// How far it got; [`Fate::NeverWritten`] means that the socket is stalled.
        fate: Fate,
    },
    /// Server: a message was submitted. Answer with `answer_submit`, at any time and in any order.
    Submit {
        /// To be passed to `answer_submit`.
        sequence: u32,
        /// The message.
        message: ShortMessage<'a>,
        /// Deviations that were tolerated.
        quirks: Quirks,
    },
    /// Client: a receipt or a message from a handset. Answer with `answer_deliver`, at any time and in any order.
    Deliver {
        /// To be passed to `answer_deliver`.
        sequence: u32,
        /// The message.
        message: ShortMessage<'a>,
        /// Deviations that were tolerated.
        quirks: Quirks,
    },
    /// A data_sm. Answer with `answer_data`, at any time and in any order.
    Data {
        /// To be passed to `answer_data`.
        sequence: u32,
        /// The message.
        message: DataSm<'a>,
        /// Deviations that were tolerated.
        quirks: Quirks,
    },
    /// Server: the client asks for the state of a message. Answer with `answer_query`.
    Query {
        /// To be passed to `answer_query`.
        sequence: u32,
        /// The message.
        query: QuerySm<'a>,
    },
    /// Client: a subscriber can be reached again. Needs no answer.
    Alert(AlertNotification<'a>),
    /// Client: the SMSC asks for a bind. Needs no answer.
    Outbind(Outbind<'a>),
    /// The peer sent enquire_link, and was answered.
    EnquireLink,
    /// The peer answered an enquire_link of this side.
    EnquireLinkResp,
    /// The peer sent unbind. It is answered at once, or when the outstanding responses have come; then [`Event::Closed`] follows.
    UnbindRequested,
    /// The peer answered this side's unbind. [`Event::Closed`] follows.
    UnbindAnswered,
    /// A request came at the wrong time or is of an unknown kind, and was refused.
    Refused {
        /// Header of the request.
        header: Header,
        /// Status of the refusal.
        status: CommandStatus,
    },
    /// A PDU could not be read. If it was a request, it was answered with an error; if it was a response, its request no longer
    /// counts in the window.
    Malformed {
        /// Header of the PDU, and what is wrong with it.
        error: DecodeError,
        /// Token of the request that it answers, if it is a response to an outstanding request.
        token: Option<T>,
        /// The bytes after its header.
        body: &'a [u8],
    },
    /// A response that matches no known request: worth counting and logging.
    UnknownResponse {
        /// Header of the response.
        header: Header,
        /// The message id in it; empty if there is none.
        message_id: &'a [u8],
    },
    /// The session ended before this request was answered.
    Unresolved {
        /// The caller's token for the request.
        token: T,
        /// The request's sequence number.
        sequence: u32,
        /// Kind of the request.
        request: Request,
        /// Whether the peer can have read it.
        fate: Fate,
    },
    /// The last event, after all [`Event::Unresolved`]. Unless the connection is lost, send the remaining bytes from
    /// `poll_transmit`; then close the connection.
    Closed {
        /// Why the session ended.
        reason: CloseReason,
    },
}
