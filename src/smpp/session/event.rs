//! What a session tells its owner.
//!
//! Knows the words only: what was answered, what came in, what is left open at the end and why it ended.

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

/// The response to one of our requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a, T> {
    /// The owner's word for the request.
    pub token: T,
    /// The request's sequence number.
    pub sequence: u32,
    /// The peer's verdict.
    pub status: CommandStatus,
    /// The SMSC's id of the message, raw; empty in most refusals and in deliver_sm_resp.
    pub message_id: &'a [u8],
    /// Optional parameters of the response.
    pub tlvs: Tlvs<'a>,
    /// True if [`Event::ResponseTimeout`] was reported for it before.
    pub late: bool,
    /// True if the peer answered by generic_nack: it could not read the request.
    pub nacked: bool,
    /// When the request was queued, on the monotonic clock.
    pub queued_at_ns: u64,
}

impl<'a, T> Answer<'a, T> {
    /// The same under another word.
    pub fn under<U>(self, token: U) -> Answer<'a, U> {
        let Self { sequence, status, message_id, tlvs, late, nacked, queued_at_ns, .. } = self;
        Answer { token, sequence, status, message_id, tlvs, late, nacked, queued_at_ns }
    }
}

/// How far a request without an answer got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The socket certainly did not accept its last byte: the peer cannot have read it.
    NeverWritten,
    /// It may have been read; nobody knows.
    Unanswered,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The owner closed it without unbinding.
    Requested,
    /// Our unbind was answered.
    Unbound,
    /// Our unbind was not answered in time.
    UnbindTimeout,
    /// The peer sent unbind and was answered.
    PeerUnbound,
    /// The peer refused the bind.
    BindRefused(CommandStatus),
    /// No bound session in time.
    SessionInitTimeout,
    /// No sign of life after our enquire_link.
    EnquireLinkTimeout,
    /// Nothing but enquire_link for too long.
    Inactivity,
    /// The stream cannot be read.
    Framing(FramingError),
    /// The owner said that the connection is gone.
    ConnectionLost,
    /// The peer sends, and does not read what we answer.
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
    /// Not bound (yet, or any more, or unbinding).
    NotBound,
    /// The bind's mode or our role does not allow it.
    WrongDirection,
    /// As many requests wait as the window allows.
    WindowFull,
    /// The socket takes too little: more bytes wait than the limit allows.
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
            SendError::Backlogged => f.write_str("too many octets wait for the socket"),
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

/// What happened. Every PDU that arrives is exactly one event; some events come without one.
///
/// Borrowed fields point into the input or into the session and live until the next call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'a, T> {
    /// Client: the bind was accepted.
    Bound {
        /// As asked.
        mode: BindMode,
        /// What the SMSC calls itself, and its version.
        resp: BindResp<'a>,
    },
    /// Client: the bind was refused. [`Event::Closed`] follows.
    BindFailed {
        /// Why.
        status: CommandStatus,
    },
    /// Server: a client wants to bind. Answer by `answer_bind`; nothing else can happen before.
    BindRequest {
        /// Which ways.
        mode: BindMode,
        /// Who.
        bind: Bind<'a>,
    },
    /// Client: submit_sm was answered.
    SubmitResp(Answer<'a, T>),
    /// Server: deliver_sm was answered.
    DeliverResp(Answer<'a, T>),
    /// data_sm was answered.
    DataResp(Answer<'a, T>),
    /// Client: query_sm was answered; `found` is `None` in refusals without a body.
    QueryResp {
        /// Which and how.
        answer: Answer<'a, T>,
        /// What the SMSC knows.
        found: Option<QuerySmResp<'a>>,
    },
    /// No answer in time. The place in the window is free again; a late answer is still reported for a while.
    ResponseTimeout {
        /// The owner's word for the request.
        token: T,
        /// The request's sequence number.
        sequence: u32,
        /// What was asked.
        request: Request,
        /// How far it got: a stalled socket shows here.
        fate: Fate,
    },
    /// Server: a message to carry. Answer by `answer_submit`, whenever, in any order.
    Submit {
        /// What the answer needs.
        sequence: u32,
        /// The message.
        message: ShortMessage<'a>,
        /// What was forgiven.
        quirks: Quirks,
    },
    /// Client: a receipt or a message from a handset. Answer by `answer_deliver`, whenever, in any order.
    Deliver {
        /// What the answer needs.
        sequence: u32,
        /// The message.
        message: ShortMessage<'a>,
        /// What was forgiven.
        quirks: Quirks,
    },
    /// A data_sm. Answer by `answer_data`, whenever, in any order.
    Data {
        /// What the answer needs.
        sequence: u32,
        /// The message.
        message: DataSm<'a>,
        /// What was forgiven.
        quirks: Quirks,
    },
    /// Server: the state of a message is asked for. Answer by `answer_query`.
    Query {
        /// What the answer needs.
        sequence: u32,
        /// Which message.
        query: QuerySm<'a>,
    },
    /// Client: a subscriber can be reached again. Needs no answer.
    Alert(AlertNotification<'a>),
    /// Client: the SMSC asks for a bind. Needs no answer.
    Outbind(Outbind<'a>),
    /// The peer asked whether we live, and was answered.
    EnquireLink,
    /// The peer lives.
    EnquireLinkResp,
    /// The peer unbinds, and was answered. [`Event::Closed`] follows.
    UnbindRequested,
    /// Our unbind was answered. [`Event::Closed`] follows.
    UnbindAnswered,
    /// A request came at the wrong time or of a kind that we do not know, and was refused.
    Refused {
        /// Of the request.
        header: Header,
        /// What we answered.
        status: CommandStatus,
    },
    /// A PDU could not be read. A request was answered by an error; a response frees its request.
    Malformed {
        /// What is wrong with which PDU.
        error: DecodeError,
        /// The request that it answered, if it was a response to one that still waited.
        token: Option<T>,
        /// What stood behind its header.
        body: &'a [u8],
    },
    /// A response to nothing that we know: count and log it.
    UnknownResponse {
        /// Of the response.
        header: Header,
        /// The message id in it, if it is of a kind that has one.
        message_id: &'a [u8],
    },
    /// The session ended before this request was answered.
    Unresolved {
        /// The owner's word for the request.
        token: T,
        /// The request's sequence number.
        sequence: u32,
        /// What was asked.
        request: Request,
        /// Whether the peer can have seen it.
        fate: Fate,
    },
    /// The last event: all of [`Event::Unresolved`] were reported. Send what `poll_transmit` still gives, unless the
    /// connection is lost, and close it.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}
