//! One connection of a link (a leg) and its session: its state, its deadlines, and the bytes that are being written.
//!
//! Knows states, deadlines, back-off and counts of bytes. Refuses to know messages and the other connections.

use crate::limit::SlidingLimit;
use crate::limit::sliding::GUARD_NS;
use crate::model::{Address, Coding, Mono, Prng, ShardId, Tail};
use stentor_smpp::session::Session;

use super::super::event::{Disconnect, SessionLoss};
use super::super::hosts::{HostChoice, Way};
use super::super::noise::Noise;
use super::super::options::Options;
use super::super::prepared::Index;
use super::writes::Writes;

/// The token that a session keeps with a submit: which part of which message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartToken {
    /// The message, in [`super::super::prepared::Prepared`].
    pub index: Index,
    /// Number of the part, from 1.
    pub part: u8,
}

/// The token that a session keeps with a request until its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A submit.
    Part(PartToken),
    /// A `query_sm`, by its number in [`super::super::queries::Queries`].
    Query(u32),
}

impl Word {
    /// The token of a submit; `None` for a query.
    pub const fn part(self) -> Option<PartToken> {
        match self {
            Self::Part(token) => Some(token),
            Self::Query(_) => None,
        }
    }
}

/// A part whose answer did not come in time, but may still come on its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The token of the submit. Its index may belong to another message by now.
    pub token: PartToken,
    /// The shard that owns the message.
    pub shard: ShardId,
    /// Address of the message in its shard.
    pub address: Address,
    /// Number of the attempt, from 1.
    pub attempt: u8,
    /// Number of parts of the message at this carrier.
    pub parts: u8,
    /// Last digits of the sender's number.
    pub sender: Tail,
    /// The encoding in which it was sent.
    pub coding: Coding,
}

/// The state of a connection, named by what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegState {
    /// Nothing: the connection is not wanted.
    Resting,
    /// The time of its next attempt to connect.
    Waiting { until: Mono },
    /// `Connected` from the owner of the socket.
    Connecting { deadline: Mono },
    /// The answer to the bind; the session keeps the time limit.
    Binding,
    /// Traffic: the session is bound.
    Bound,
    /// The socket to take the last bytes of the session, which has ended.
    Flushing { deadline: Mono },
    /// `Disconnected` from the owner of the socket.
    Closing,
}

/// Time limit for writing the last bytes of an ended session, ms.
const FLUSH_MS: u64 = 1_000;

/// A session that was bound for this time counts as good: its failures are forgotten, and the next attempt comes soon.
const STEADY_NS: u64 = 10_000_000_000;

/// When so many bytes wait for the socket, no more submits are given to the session.
const BACKLOG_BYTES_MAX: u64 = 256 * 1024;

/// On a link with a rate limit, parts that are not written after this time count as late: the limit took their tokens too
/// early and must be corrected.
const LATE_NS: u64 = GUARD_NS / 2;

/// Parts whose bytes are handed to the socket together.
#[derive(Clone, Copy, Debug, Default)]
struct Flight {
    parts: u32,
    since: Mono,
}

/// One connection of a link and its session.
#[derive(Debug)]
pub struct Leg {
    pub state: LegState,
    /// The session, from `Connected` to `Disconnected`.
    pub session: Option<Box<Session<Word>>>,
    /// Counts the sessions of this connection, so that an answer for one session is not sent on the next.
    pub generation: u32,
    /// The host of the last attempt to connect.
    pub way: Way,
    /// Rate limit of this connection alone; `None`: it has none.
    pub limit: Option<SlidingLimit>,
    /// Whether messages may be submitted now: it is bound, and of a pair the other half too.
    pub ready: bool,
    /// Command status with which the carrier last refused the account in a bind; cleared when a bind succeeds.
    pub refused: Option<u32>,
    /// How the last connection ended; cleared when a bind succeeds.
    pub lost: Option<Disconnect>,
    /// Details about the end of the connection whose `Disconnected` follows.
    pub words: Option<Box<str>>,
    /// Trouble since the last attempt to connect that the operator was not told yet: the host and what went wrong.
    pub trouble: Option<String>,
    /// Time limit for the answer to the bind, ns.
    pub bind_ns: u64,
    /// Receipts and messages from handsets that came by this connection, also in earlier sessions, and wait for a shard.
    pub inquiries: u32,
    /// Total bytes of these.
    pub inquiry_bytes: u64,
    /// Deliveries received in this event that are refused because the disk is full: sequence number, and whether it is a
    /// `data_sm`. Empty between two events.
    pub put_off: Vec<(u32, bool)>,
    /// Whether the owner was asked to stop reading.
    pub read_paused: bool,
    /// Parts that had no answer in time. At most one window, because the session is ended after the first of them.
    pub missed: Vec<Missed>,
    /// The session is to be unbound once the events of this turn are handled.
    pub give_up: bool,
    /// Why the session ended, if the carrier is the cause.
    pub blame: Option<SessionLoss>,
    /// We end the session as planned (drain, rebind, new options): this is no failure.
    pub parting: bool,
    /// Level of meaningless PDUs on its session.
    pub noise: Noise,
    /// Unanswered `query_sm` requests of its session.
    pub queries_out: u32,
    choice: HostChoice,
    failures: u32,
    /// When the present session was bound; `None`: it was not.
    bound_at: Option<Mono>,
    /// A `Transmit` was announced, and not all its bytes were reported as written.
    writing: bool,
    /// Bytes handed out by [`Self::take_transmit`] and not yet reported as written.
    unreported: u64,
    /// Parts whose bytes the owner has taken.
    taken: Flight,
    /// When late ones of them were written.
    pub writes: Writes,
    /// Parts whose bytes are still in the session.
    queued: Flight,
}

impl Leg {
    /// A connection that is to be opened at the link's first timeout.
    pub fn new(options: &Options, now: Mono) -> Self {
        Self {
            state: LegState::Waiting { until: now },
            session: None,
            generation: 0,
            way: Way::default(),
            limit: options.bind_rate_parts_per_s.map(SlidingLimit::new),
            ready: false,
            refused: None,
            inquiries: 0,
            inquiry_bytes: 0,
            put_off: Vec::new(),
            read_paused: false,
            missed: Vec::new(),
            give_up: false,
            blame: None,
            parting: false,
            noise: Noise::default(),
            queries_out: 0,
            choice: HostChoice::default(),
            failures: 0,
            bound_at: None,
            lost: None,
            words: None,
            trouble: None,
            bind_ns: 0,
            writing: false,
            unreported: 0,
            taken: Flight::default(),
            writes: Writes::default(),
            queued: Flight::default(),
        }
    }

    /// When its next timer is due.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let own = match self.state {
            LegState::Waiting { until } => Some(until),
            LegState::Connecting { deadline } | LegState::Flushing { deadline } => Some(deadline),
            LegState::Resting | LegState::Binding | LegState::Bound | LegState::Closing => None,
        };
        let session = self.session.as_ref().and_then(|session| session.poll_timeout()).map(Mono);
        own.into_iter().chain(session).min()
    }

    /// The connection is open: starts this session on it.
    pub fn begin(&mut self, session: Box<Session<Word>>) {
        self.session = Some(session);
        self.generation = self.generation.wrapping_add(1);
        self.state = LegState::Binding;
        (self.writing, self.unreported, self.give_up) = (false, 0, false);
        (self.taken, self.queued, self.writes) = (Flight::default(), Flight::default(), Writes::default());
        (self.blame, self.parting, self.noise) = (None, false, Noise::default());
        (self.read_paused, self.queries_out) = (false, 0);
        self.missed.clear();
    }

    /// The carrier accepted the bind.
    pub fn handle_bound(&mut self, now: Mono) {
        self.state = LegState::Bound;
        self.bound_at = Some(now);
        (self.refused, self.lost) = (None, None);
    }

    /// The session has ended; its last bytes may still be written.
    pub fn flush(&mut self, now: Mono) {
        if matches!(self.state, LegState::Binding | LegState::Bound) {
            self.state = LegState::Flushing { deadline: now.after_ms(FLUSH_MS) };
        }
    }

    /// Starts an attempt to connect and returns where to. `first`: index of the host that it tries first; `hosts`: their number.
    pub fn connect(&mut self, first: u16, hosts: u16, deadline: Mono) -> Way {
        self.state = LegState::Connecting { deadline };
        self.parting = false;
        self.way = self.choice.way(first, hosts);
        self.way
    }

    /// The connection has ended: chooses the pause until the next attempt, or rests if the connection is not `wanted`.
    pub fn rest_or_retry(&mut self, options: &Options, wanted: bool, now: Mono, chance: &mut Prng) {
        let steady = self.bound_at.map(|since| now.since(since) >= STEADY_NS);
        if steady == Some(true) && self.blame != Some(SessionLoss::Noise) {
            self.failures = 0;
        }
        match steady {
            _ if self.parting => {}
            Some(steady) => {
                self.choice.handle_session(steady && !self.blame.is_some_and(SessionLoss::is_its_hosts_fault));
            }
            None => self.choice.handle_failed(),
        }
        (self.bound_at, self.read_paused) = (None, false);
        let doubled = options.reconnect_min_ms.max(1) << self.failures.min(20);
        let longest = options.reconnect_max_ms.max(options.reconnect_min_ms).max(1);
        let pause_ms = if self.refused.is_some() { longest } else { doubled.min(longest) };
        self.failures = self.failures.saturating_add(1);
        self.session = None;
        self.state = match wanted {
            true => LegState::Waiting { until: now.after_ms(chance.between(pause_ms / 2, pause_ms)) },
            false => LegState::Resting,
        };
    }

    /// New options may let the next attempt succeed: it is made now.
    pub fn retry_now(&mut self, now: Mono) {
        if let LegState::Waiting { until } = &mut self.state {
            *until = now;
            (self.failures, self.refused) = (0, None);
        }
    }

    /// Number of attempts in a row that failed.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether more parts may be given to the session. With a rate limit, none may while parts are stalled: the limit counts
    /// those as sent.
    pub fn has_room(&self, limited: bool, now: Mono) -> bool {
        let backlog = self.session.as_ref().map_or(u64::MAX, |session| session.backlog_bytes());
        backlog < BACKLOG_BYTES_MAX && !(limited && self.stalled_parts(now) > 0)
    }

    /// Parts that the limits count as sent but that the socket has not taken for longer than [`LATE_NS`].
    pub fn stalled_parts(&self, now: Mono) -> u32 {
        let oldest = if self.taken.parts > 0 { self.taken } else { self.queued };
        if oldest.parts > 0 && now.since(oldest.since) > LATE_NS { self.taken.parts + self.queued.parts } else { 0 }
    }

    /// Parts were given to the session.
    pub fn handle_sent(&mut self, parts: u32, now: Mono) {
        if self.queued.parts == 0 {
            self.queued.since = now;
        }
        self.queued.parts += parts;
    }

    /// Whether the owner must be told that there are bytes to write. True only once per write.
    pub fn announces(&mut self) -> bool {
        let waiting = self.session.as_ref().map_or(0, |session| session.backlog_bytes());
        let announces = !self.writing && waiting > self.unreported && self.state != LegState::Closing;
        self.writing |= announces;
        announces
    }

    /// Hands out the bytes to write.
    pub fn take_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        let some = self.session.as_mut().is_some_and(|session| session.poll_transmit(out));
        self.unreported += (out.len() - before) as u64;
        if some {
            self.taken.since = if self.taken.parts == 0 { self.queued.since } else { self.taken.since };
            self.taken.parts += self.queued.parts;
            self.queued = Flight::default();
        }
        self.writing = self.unreported > 0;
        some
    }

    /// The socket took bytes. Returns how many parts were sent later than the limits assumed.
    pub fn handle_written(&mut self, bytes: usize, now: Mono) -> u32 {
        if let Some(session) = self.session.as_mut() {
            session.handle_written(bytes);
        }
        debug_assert!(bytes as u64 <= self.unreported, "{bytes} bytes are written, {} were taken", self.unreported);
        self.unreported = self.unreported.saturating_sub(bytes as u64);
        if self.unreported > 0 {
            return 0;
        }
        self.writing = false;
        self.take_late(now)
    }

    /// When a part was written that was queued at `queued`; now, if that is not known yet.
    pub fn written_at(&self, queued: Mono, now: Mono) -> Mono {
        let is_under_way = |flight: &Flight| flight.parts > 0 && flight.since <= queued;
        if is_under_way(&self.taken) || is_under_way(&self.queued) { now } else { self.writes.written_at(queued) }
    }

    /// The connection has ended: bytes that its socket was given may have been sent at any time until now. Returns the same as
    /// [`Self::handle_written`].
    pub fn handle_gone(&mut self, now: Mono) -> u32 {
        self.queued = Flight::default();
        self.take_late(now)
    }

    fn take_late(&mut self, now: Mono) -> u32 {
        let taken = std::mem::take(&mut self.taken);
        if taken.parts > 0 {
            self.writes.handle_written(taken.since, now);
        }
        if taken.parts > 0 && now.since(taken.since) > LATE_NS { taken.parts } else { 0 }
    }

    /// Whether all bytes of an ended session are written.
    pub fn is_flushed(&self) -> bool {
        !self.writing && self.session.as_ref().is_none_or(|session| session.backlog_bytes() == 0)
    }
}
