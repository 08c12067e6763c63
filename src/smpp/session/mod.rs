//! One SMPP session as a state machine without I/O, in the role of the client (ESME) or of the server (SMSC).
//!
//! Knows which PDU may be sent when, which request waits for which response, when to send enquire_link, and how a session
//! ends. Refuses to know sockets, clocks, retries, rates, and what a message means.
//!
//! Whenever something happens, the caller calls, in this order:
//! 1. one of `handle_*`, a request (`submit`, `deliver`, `data`, `query`, `unbind`, `close`) or an answer (`answer_*`);
//! 2. [`Session::poll_event`] until it returns `None`, with the bytes that arrived (or none). The caller may send and
//!    answer between two events, since an event borrows from the session only until its fields are no longer used;
//! 3. [`Session::poll_transmit`], which returns bytes for the socket, and [`Session::handle_written`] when the socket has
//!    accepted some of them;
//! 4. [`Session::poll_timeout`]: the time by which to call [`Session::handle_timeout`].
//!
//! ```
//! # use stentor_smpp::{pdu::{Bind, BindMode}, session::{Event, Options, Session}};
//! # let (now_ns, received) = (0, &b""[..]);
//! let bind = Bind { system_id: b"stentor", password: b"secret", interface_version: 0x34, ..Bind::default() };
//! let mut session: Session<u64> = Session::client(&Options::default(), BindMode::Transceiver, &bind, now_ns).unwrap();
//! let mut input = received;
//! while let Some(event) = session.poll_event(&mut input, now_ns) {
//!     if let Event::Deliver { sequence, .. } = event {
//!         // store the message first, then:
//!         let _ = session.answer_deliver(sequence, stentor_smpp::status::CommandStatus::ROK);
//!     }
//! }
//! let mut out = Vec::new();
//! if session.poll_transmit(&mut out) { /* write, then session.handle_written(bytes) */ }
//! ```
//!
//! **What was written.** The session knows the position of each request in the outgoing stream. When it ends, every request
//! without a response is reported once, in the order of sending: as [`Fate::NeverWritten`] if the socket certainly did not
//! accept its last byte, else as [`Fate::Unanswered`]. For this, the caller reports how many bytes the socket accepted; if it
//! cannot know (a write was cancelled, a TLS layer buffers the bytes), it calls [`Session::handle_written_unknown`].
//! A session that ends on its own withdraws the requests that `poll_transmit` has not yet returned; those returned count as
//! sent, because the caller may still write them.
//!
//! Times are nanoseconds of a monotonic clock. No call allocates per PDU; buffers grow to their working size and are reused.

mod event;
mod outbox;
mod receive;
mod send;
mod timer;

#[cfg(test)]
mod tests;

pub use event::{CloseReason, Event, Fate, Response, SendError};
pub use timer::Timer;

use super::encode::{EncodeError, encode, encode_header};
use super::framer::{Framer, PDU_BYTES_MAX};
use super::pdu::{Bind, BindMode, CommandId, Pdu};
use super::status::CommandStatus;
use super::window::{Outstanding, Window};
use outbox::Outbox;
use timer::TimerTable;

const SECOND_NS: u64 = 1_000_000_000;

/// Limits and timers of a session, as agreed with the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Most requests without a response.
    pub window: u32,
    /// Longest PDU that is read, in bytes.
    pub pdu_bytes_max: u32,
    /// Most bytes that wait for the socket. With more, requests are refused; a peer that causes more responses than it reads is
    /// disconnected.
    pub backlog_bytes_max: u64,
    /// Longest time from the connection to the bound session. After it the session ends, and a later bind response is not read.
    pub session_init_ns: u64,
    /// Silence of the peer after which enquire_link is sent; `None`: never.
    pub enquire_link_ns: Option<u64>,
    /// Longest time from an enquire_link to the next bytes from the peer.
    pub enquire_response_ns: u64,
    /// Time with nothing but enquire_link after which the session unbinds; `None`: it stays bound.
    pub inactivity_ns: Option<u64>,
    /// Longest time from a request to its response.
    pub response_ns: u64,
    /// Longest time from unbind to its response.
    pub unbind_ns: u64,
    /// First sequence number, 1..=0x7FFFFFFF.
    pub first_sequence: u32,
}

impl Default for Options {
    /// Window 10 (as Kannel suggests), enquire_link 30 s, response 60 s (as in Jasmin); no inactivity limit.
    fn default() -> Self {
        Options {
            window: 10,
            pdu_bytes_max: PDU_BYTES_MAX,
            backlog_bytes_max: 4 << 20,
            session_init_ns: 30 * SECOND_NS,
            enquire_link_ns: Some(30 * SECOND_NS),
            enquire_response_ns: 30 * SECOND_NS,
            inactivity_ns: None,
            response_ns: 60 * SECOND_NS,
            unbind_ns: 5 * SECOND_NS,
            first_sequence: 1,
        }
    }
}

/// The role of this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// ESME: binds and submits.
    Client,
    /// SMSC: accepts binds and delivers.
    Server,
}

/// What the session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Server: a bind request.
    Open,
    /// Server: the caller's answer to a bind request.
    Deciding { mode: BindMode, sequence: u32 },
    /// Client: the response to its bind request.
    Binding { mode: BindMode, sequence: u32 },
    /// Nothing: both sides may send requests.
    Bound { mode: BindMode },
    /// The last outstanding responses, before this side sends unbind.
    Draining { mode: BindMode, reason: CloseReason },
    /// Client: the peer sent unbind with this sequence number; it is answered once the outstanding responses have come. Meanwhile
    /// the requests that were withdrawn, from `unsent` on, are reported to the caller.
    Dismissed { mode: BindMode, sequence: u32, unsent: Option<u32> },
    /// The response to this side's unbind.
    Unbinding { mode: BindMode, sequence: u32, reason: CloseReason },
    /// The caller, to which requests without a response are being reported. Those beyond position `written` were never sent.
    Closing { reason: CloseReason, written: u64 },
    /// Nothing: the session has ended.
    Closed,
}

/// One session. `T` is the caller's token for a request.
#[derive(Debug)]
pub struct Session<T> {
    framer: Framer,
    core: Core<T>,
}

/// Everything except the framer, so that a frame can be borrowed from that while the rest changes.
#[derive(Debug)]
struct Core<T> {
    role: Role,
    phase: Phase,
    options: Options,
    window: Window<T>,
    outbox: Outbox,
    timers: TimerTable,
    /// Set while the requests that are overdue at this time are being reported.
    overdue_at_ns: Option<u64>,
    unanswered_inbound: u64,
}

impl<T: Copy> Session<T> {
    /// A client on a new connection; its bind request is queued at once.
    pub fn client(options: &Options, mode: BindMode, bind: &Bind<'_>, now_ns: u64) -> Result<Self, EncodeError> {
        let mut session = Self::new(options, Role::Client, now_ns);
        let core = &mut session.core;
        let sequence = core.window.take_sequence();
        encode(core.outbox.buffer(), sequence, CommandStatus::ROK, &Pdu::Bind(mode, *bind))?;
        core.phase = Phase::Binding { mode, sequence };
        Ok(session)
    }

    /// A server on a new connection; it waits for a bind request.
    pub fn server(options: &Options, now_ns: u64) -> Self {
        Self::new(options, Role::Server, now_ns)
    }

    fn new(options: &Options, role: Role, now_ns: u64) -> Self {
        let mut timers = TimerTable::default();
        timers.set(Timer::SessionInit, now_ns.saturating_add(options.session_init_ns));
        let core = Core {
            role,
            phase: Phase::Open,
            options: options.clone(),
            window: Window::new(options.window, options.first_sequence),
            outbox: Outbox::default(),
            timers,
            overdue_at_ns: None,
            unanswered_inbound: 0,
        };
        Session { framer: Framer::new(options.pdu_bytes_max), core }
    }

    /// The socket accepted this many more bytes of those from [`Session::poll_transmit`].
    pub fn handle_written(&mut self, bytes: usize) {
        self.core.outbox.record_written(bytes as u64);
    }

    /// The caller does not know how many bytes from [`Session::poll_transmit`] were sent: all of them count as sent.
    pub fn handle_written_unknown(&mut self) {
        self.core.outbox.record_written(u64::MAX);
    }

    /// The time from [`Session::poll_timeout`] has come. Harmless at any other time.
    pub fn handle_timeout(&mut self, now_ns: u64) {
        while let Some(timer) = self.core.timers.take_expired(now_ns) {
            self.core.expire(timer, now_ns);
        }
    }

    /// The connection is lost: ends the session. Bytes that the socket has not accepted are certainly not sent.
    pub fn handle_connection_lost(&mut self) {
        self.core.close(CloseReason::ConnectionLost);
    }

    /// Ends the session without unbinding.
    pub fn close(&mut self) {
        self.core.close(CloseReason::Requested);
    }

    /// Ends the session in an orderly way: no new requests; outstanding responses are awaited for at most `drain_ns`; then
    /// unbind, its response, end. A session that is not bound ends at once.
    pub fn unbind(&mut self, drain_ns: u64, now_ns: u64) {
        self.core.unbind(CloseReason::Unbound, drain_ns, now_ns);
    }

    /// The next event, taken off the front of `input`; `None` when all of `input` is consumed and every event was reported. Call
    /// it with empty input after a timeout or after ending the session.
    pub fn poll_event<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8], now_ns: u64) -> Option<Event<'s, T>> {
        if let Some(event) = self.core.poll_settled(now_ns) {
            return Some(event);
        }
        if self.core.is_over() {
            *input = &[];
            return None;
        }
        match self.framer.next_frame(input)? {
            Ok(frame) => Some(self.core.receive(&frame, now_ns)),
            Err(error) => {
                self.core.fail_framing(error);
                self.core.poll_settled(now_ns)
            }
        }
    }

    /// Appends all bytes for the socket to `out` (if `out` is empty, the buffers are swapped, not copied). False if there are
    /// none.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        self.core.outbox.take(out)
    }

    /// When to call [`Session::handle_timeout`]; `None` once the session is over.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.core.timers.next()
    }

    /// The mode of the bind; `None` while no messages may be sent.
    pub fn bound(&self) -> Option<BindMode> {
        match self.core.phase {
            Phase::Bound { mode } => Some(mode),
            Phase::Open
            | Phase::Deciding { .. }
            | Phase::Binding { .. }
            | Phase::Draining { .. }
            | Phase::Dismissed { .. }
            | Phase::Unbinding { .. }
            | Phase::Closing { .. }
            | Phase::Closed => None,
        }
    }

    /// True once [`Event::Closed`] was reported.
    pub fn is_closed(&self) -> bool {
        self.core.phase == Phase::Closed
    }

    /// Number of this side's requests without a response.
    pub fn outstanding(&self) -> u32 {
        self.core.window.len()
    }

    /// The caller's tokens for these requests, oldest first.
    pub fn outstanding_tokens(&self) -> impl Iterator<Item = T> {
        self.core.window.iter().map(|outstanding| outstanding.token)
    }

    /// Number of requests that the window has room for; 0 while nothing may be sent.
    pub fn window_free(&self) -> u32 {
        if self.bound().is_some() { self.core.window.free() } else { 0 }
    }

    /// Number of the peer's requests that the caller has not answered.
    pub fn unanswered_inbound(&self) -> u64 {
        self.core.unanswered_inbound
    }

    /// After [`CloseReason::Framing`]: the first bytes that could not be read.
    pub fn broken_bytes(&self) -> &[u8] {
        self.framer.broken_bytes()
    }

    /// The bytes received so far of a PDU that is not complete.
    pub fn begun(&self) -> &[u8] {
        self.framer.begun()
    }

    /// Number of bytes that the socket has not accepted yet.
    pub fn backlog_bytes(&self) -> u64 {
        self.core.outbox.backlog_bytes()
    }
}

impl<T: Copy> Core<T> {
    fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Closing { .. } | Phase::Closed)
    }

    /// The mode while the peer may send messages: from the bind to the end, also while this side unbinds.
    fn listening(&self) -> Option<BindMode> {
        match self.phase {
            Phase::Bound { mode }
            | Phase::Draining { mode, .. }
            | Phase::Dismissed { mode, .. }
            | Phase::Unbinding { mode, .. } => Some(mode),
            Phase::Open | Phase::Deciding { .. } | Phase::Binding { .. } | Phase::Closing { .. } | Phase::Closed => {
                None
            }
        }
    }

    /// The reason of this side's unbind, while its response is awaited.
    fn unbinding(&self) -> Option<CloseReason> {
        match self.phase {
            Phase::Unbinding { reason, .. } => Some(reason),
            Phase::Open
            | Phase::Deciding { .. }
            | Phase::Binding { .. }
            | Phase::Bound { .. }
            | Phase::Draining { .. }
            | Phase::Dismissed { .. }
            | Phase::Closing { .. }
            | Phase::Closed => None,
        }
    }

    /// The sequence number of this side's bind or unbind request, while its response is awaited.
    fn own_sequence(&self) -> Option<u32> {
        match self.phase {
            Phase::Binding { sequence, .. } | Phase::Unbinding { sequence, .. } => Some(sequence),
            Phase::Open
            | Phase::Deciding { .. }
            | Phase::Bound { .. }
            | Phase::Draining { .. }
            | Phase::Dismissed { .. }
            | Phase::Closing { .. }
            | Phase::Closed => None,
        }
    }

    fn become_bound(&mut self, mode: BindMode, now_ns: u64) {
        self.phase = Phase::Bound { mode };
        self.timers.stop(Timer::SessionInit);
        self.heard(true, now_ns);
    }

    /// Notes that bytes came from the peer; `message` is false for enquire_link and its response.
    fn heard(&mut self, message: bool, now_ns: u64) {
        if self.listening().is_none() {
            return;
        }
        self.timers.stop(Timer::EnquireResponse);
        if let Some(interval_ns) = self.options.enquire_link_ns {
            self.timers.set(Timer::EnquireLink, now_ns.saturating_add(interval_ns));
        }
        if let (true, Some(limit_ns), Phase::Bound { .. }) = (message, self.options.inactivity_ns, self.phase) {
            self.timers.set(Timer::Inactivity, now_ns.saturating_add(limit_ns));
        }
    }

    fn expire(&mut self, timer: Timer, now_ns: u64) {
        match timer {
            Timer::SessionInit => self.close(CloseReason::SessionInitTimeout),
            Timer::EnquireLink => self.enquire_link(now_ns),
            Timer::EnquireResponse => self.close(CloseReason::EnquireLinkTimeout),
            Timer::Inactivity => self.unbind(CloseReason::Inactivity, self.options.response_ns, now_ns),
            Timer::Response => self.overdue_at_ns = Some(now_ns),
            Timer::Unbind => match self.phase {
                Phase::Draining { mode, reason } => self.send_unbind(mode, reason, now_ns),
                Phase::Dismissed { sequence, .. } => self.end_as_asked(sequence),
                Phase::Unbinding { .. } => self.close(CloseReason::UnbindTimeout),
                Phase::Open
                | Phase::Deciding { .. }
                | Phase::Binding { .. }
                | Phase::Bound { .. }
                | Phase::Closing { .. }
                | Phase::Closed => {}
            },
        }
    }

    fn enquire_link(&mut self, now_ns: u64) {
        let sequence = self.window.take_sequence();
        encode_header(self.outbox.buffer(), CommandId::ENQUIRE_LINK, CommandStatus::ROK, sequence);
        self.timers.set(Timer::EnquireResponse, now_ns.saturating_add(self.options.enquire_response_ns));
    }

    fn unbind(&mut self, reason: CloseReason, drain_ns: u64, now_ns: u64) {
        match self.phase {
            Phase::Bound { mode } => {
                self.timers.stop(Timer::Inactivity);
                if self.window.is_empty() {
                    return self.send_unbind(mode, reason, now_ns);
                }
                self.phase = Phase::Draining { mode, reason };
                self.timers.set(Timer::Unbind, now_ns.saturating_add(drain_ns));
            }
            Phase::Open | Phase::Deciding { .. } | Phase::Binding { .. } => self.close(reason),
            Phase::Draining { .. }
            | Phase::Dismissed { .. }
            | Phase::Unbinding { .. }
            | Phase::Closing { .. }
            | Phase::Closed => {}
        }
    }

    fn send_unbind(&mut self, mode: BindMode, reason: CloseReason, now_ns: u64) {
        let sequence = self.window.take_sequence();
        encode_header(self.outbox.buffer(), CommandId::UNBIND, CommandStatus::ROK, sequence);
        self.phase = Phase::Unbinding { mode, sequence, reason };
        self.timers.set(Timer::Unbind, now_ns.saturating_add(self.options.unbind_ns));
    }

    /// To be called after a request left the window: when it is empty, a pending unbind, or a pending response to the peer's
    /// unbind, is sent.
    fn window_shrank(&mut self, now_ns: u64) {
        match self.phase {
            Phase::Draining { mode, reason } if self.window.is_empty() => self.send_unbind(mode, reason, now_ns),
            Phase::Dismissed { sequence, .. } if self.window.is_empty() => self.end_as_asked(sequence),
            _ => {}
        }
    }

    /// The peer ends the session. Its outstanding responses are read for as long as an unbind may take; no more requests are
    /// sent.
    fn unbind_requested(&mut self, sequence: u32, now_ns: u64) {
        self.outbox.call_back_requests();
        let taken = self.outbox.taken();
        let is_owed = self.window.oldest().is_some_and(|oldest| oldest.stream_end <= taken);
        match (self.role, self.phase) {
            (Role::Client, Phase::Bound { mode } | Phase::Draining { mode, .. }) if is_owed => {
                self.timers.stop(Timer::Inactivity);
                self.timers.set(Timer::Unbind, now_ns.saturating_add(self.options.unbind_ns));
                self.phase = Phase::Dismissed { mode, sequence, unsent: self.window.first_behind(taken) };
            }
            _ => self.end_as_asked(sequence),
        }
    }

    fn end_as_asked(&mut self, sequence: u32) {
        self.answer_at_once(CommandId::UNBIND_RESP, CommandStatus::ROK, sequence);
        self.close(CloseReason::PeerUnbound);
    }

    fn close(&mut self, reason: CloseReason) {
        if self.is_over() {
            return;
        }
        self.timers.stop_all();
        self.overdue_at_ns = None;
        let written = if reason == CloseReason::ConnectionLost {
            self.outbox.call_back_all();
            self.outbox.written()
        } else {
            self.outbox.call_back_requests();
            self.outbox.taken()
        };
        self.phase = Phase::Closing { reason, written };
    }

    /// Events without a PDU: overdue requests, requests without a response when the session has ended, and the end.
    fn poll_settled<'s>(&mut self, now_ns: u64) -> Option<Event<'s, T>> {
        if let Phase::Dismissed { mode, sequence, unsent: Some(first) } = self.phase
            && let Some((Outstanding { sequence: number, token, request, .. }, unsent)) = self.window.withdraw(first)
        {
            self.phase = Phase::Dismissed { mode, sequence, unsent };
            return Some(Event::Unresolved { token, sequence: number, request, fate: Fate::NeverWritten });
        }
        if let Some(overdue_at_ns) = self.overdue_at_ns
            && let Some(event) = self.give_up_overdue(overdue_at_ns, now_ns)
        {
            return Some(event);
        }
        let Phase::Closing { reason, written } = self.phase else {
            return None;
        };
        match self.window.give_up_oldest() {
            Some(Outstanding { sequence, token, request, stream_end, .. }) => {
                Some(Event::Unresolved { token, sequence, request, fate: fate(stream_end, written) })
            }
            None => {
                self.phase = Phase::Closed;
                Some(Event::Closed { reason })
            }
        }
    }

    fn give_up_overdue<'s>(&mut self, overdue_at_ns: u64, now_ns: u64) -> Option<Event<'s, T>> {
        let due_ns = self.window.oldest().map(|oldest| oldest.queued_at_ns.saturating_add(self.options.response_ns));
        match due_ns {
            Some(due_ns) if due_ns <= overdue_at_ns => {
                let Outstanding { sequence, token, request, stream_end, .. } = self.window.give_up_oldest()?;
                self.window_shrank(now_ns);
                Some(Event::ResponseTimeout { token, sequence, request, fate: fate(stream_end, self.outbox.written()) })
            }
            Some(due_ns) => {
                self.overdue_at_ns = None;
                self.timers.set(Timer::Response, due_ns);
                None
            }
            None => {
                self.overdue_at_ns = None;
                None
            }
        }
    }
}

fn fate(stream_end: u64, written: u64) -> Fate {
    if stream_end <= written { Fate::Unanswered } else { Fate::NeverWritten }
}
